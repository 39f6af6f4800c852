"""From a model's config back to a model."""

import numpy as np

from npvae.core.layers import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.models.autoencoder import Autoencoder
from npvae.models.conditional import ConditionalVAE
from npvae.models.vae import VAE

LAYERS: dict[str, type] = {  # beyond/ adds its own
    kind.__name__: kind for kind in (Dense, Tanh, ReLU, Softplus, Sigmoid, Bernoulli, Gaussian)
}
MODELS = {kind.__name__: kind for kind in (VAE, Autoencoder, ConditionalVAE)}


def from_config(config):
    """The model that `model.config()` describes, with fresh parameters.

    Raises ValueError for a layer, likelihood or model that is not the library's own: build such a model yourself."""
    kind = _lookup(MODELS, "model", config["type"])
    dtype = np.dtype(config["dtype"])
    encoder, decoder, likelihood = (_layer(config[part], dtype) for part in ("encoder", "decoder", "likelihood"))
    return kind(encoder, decoder, likelihood, *(config[name] for name in kind.sizes))


def _layer(config, dtype):
    arguments = {name: value for name, value in config.items() if name != "type"}
    if config["type"] == "Chain":
        return Chain([_layer(inner, dtype) for inner in config["layers"]])
    kind = _lookup(LAYERS, "layer or likelihood", config["type"])
    if kind.parameters:  # drawn here, to be overwritten
        arguments |= {"rng": np.random.default_rng(0), "dtype": dtype}
    return kind(**arguments)


def _lookup(known, what, name):
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}: the library has {', '.join(known)}; build the model yourself and load into it.")
    return known[name]
