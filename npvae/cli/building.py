"""The model that the settings of `npvae train` describe."""

import numpy as np

from npvae.beyond import architectures, likelihoods
from npvae.beyond.categorical import Categorical
from npvae.core import layers
from npvae.core.layers import INITIALIZERS
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.models import VAE, Autoencoder, ConditionalVAE
from npvae.recipes import normal

ACTIVATIONS = {"tanh": layers.Tanh, "relu": layers.ReLU, "softplus": layers.Softplus, "sigmoid": layers.Sigmoid}
INITS = {**INITIALIZERS, "normal": normal}
MODELS = {"vae": VAE, "conditional": ConditionalVAE, "autoencoder": Autoencoder}
LIKELIHOODS = {  # each from the settings and the data
    "bernoulli": lambda settings, data: Bernoulli(),
    "gaussian": lambda settings, data: Gaussian(settings["sigma"], learn=settings["learn_sigma"]),
    "pixel-gaussian": lambda settings, data: likelihoods.DiagonalGaussian(),
    "continuous-bernoulli": lambda settings, data: likelihoods.ContinuousBernoulli(),
    "categorical": lambda settings, data: Categorical(len(data.alphabet)),
}


def make_model(settings, data, rng):
    """The model, with its first parameters drawn from rng.  Raises ValueError where settings and data do not fit each other."""
    if (settings["likelihood"] == "categorical") != (data.alphabet is not None):
        reason = "holds strings, which need" if data.alphabet is not None else "holds no strings, which are what is meant by"
        raise ValueError(f"{data.name} {reason} --likelihood categorical.")
    if settings["likelihood"] == "continuous-bernoulli" and settings["binarize"] != "none":
        raise ValueError("--likelihood continuous-bernoulli is for grey pixels; with --binarize choose bernoulli.")
    likelihood = LIKELIHOODS[settings["likelihood"]](settings, data)
    options = {
        "rng": rng,
        "dtype": np.dtype(settings["dtype"]),
        "init": INITS[settings["init"]] if settings["init"] == "normal" else settings["init"],
        "output_mean": data.train.mean(axis=0) / (data.scale or 1.0) if settings["output_mean"] else None,
    }
    if settings["architecture"] == "convolutional":
        return _convolutional(settings, data, likelihood, options)
    if settings["kind"] == "conditional":
        options["n_classes"] = _n_classes(data)
    kind, activation = MODELS[settings["kind"]], ACTIVATIONS[settings["activation"]]
    return kind.dense(data.train.shape[1], settings["hidden"], settings["latent_dim"], likelihood, activation, **options)


def _convolutional(settings, data, likelihood, options):
    """The model of beyond.architectures.  Raises ValueError for what it has not got."""
    if settings["kind"] == "conditional":
        raise ValueError("--kind conditional needs --architecture dense.")
    if settings["activation"] != "relu":
        raise ValueError(f"--architecture convolutional has --activation relu, not {settings['activation']}.")
    if len(settings["hidden"]) != 1:
        raise ValueError(f"--architecture convolutional has one dense layer: --hidden takes one width, got {settings['hidden']}.")
    if len(data.image_shape) != 2 or data.alphabet is not None:
        raise ValueError(f"--architecture convolutional needs images, and {data.name} has none.")
    kind, channels, (hidden,) = MODELS[settings["kind"]], settings["channels"], settings["hidden"]
    return architectures.convolutional(
        data.image_shape, settings["latent_dim"], likelihood, channels=channels, hidden=hidden, kind=kind, **options
    )


def _n_classes(data):
    """The labels are 0 .. n - 1, of all splits.  Raises ValueError if there are none, or if one of them never occurs."""
    labels = [labels for _, _, labels in data.splits() if labels is not None and len(labels)]
    if not labels:
        raise ValueError(f"--kind conditional needs labels, and {data.name} has none.")
    there = np.unique(np.concatenate(labels))
    if not np.array_equal(there, np.arange(len(there))):
        shown = ", ".join(map(str, there[:10].tolist())) + (" ..." if len(there) > 10 else "")
        raise ValueError(f"--kind conditional needs labels numbered 0, 1, 2 ... without a gap; those of {data.name} are {shown}.")
    return len(there)
