"""A run from its settings: the model, the data, fit, and the files that are left; shared by train and demo."""

import shlex
import time

import numpy as np

from npvae import evaluation, visual
from npvae.cli.common import MODEL_FILE, write_json
from npvae.core import layers, likelihoods, optimizers
from npvae.data import load_dataset
from npvae.models import VAE, Autoencoder
from npvae.training import Interrupted, batches, fit, schedules
from npvae.training.archive import versions

ACTIVATIONS = {"tanh": layers.Tanh, "relu": layers.ReLU, "softplus": layers.Softplus, "sigmoid": layers.Sigmoid}
OPTIMIZERS = {
    "adam": optimizers.Adam,
    "sgd": optimizers.SGD,
    "momentum": optimizers.Momentum,
    "rmsprop": optimizers.RMSProp,
    "adagrad": optimizers.Adagrad,
}
MODELS = {"vae": VAE, "autoencoder": Autoencoder}
PICTURED = 5_000  # test rows in the latent map and the posterior statistics: enough to see, quick to draw


def build(settings):
    """-> model, data, rng.  The settings are those of `npvae train`; `validation` is filled in if it was left open."""
    data = load_dataset(settings["data"])
    if settings["validation"] is None:
        settings["validation"] = "valid" if data.valid is not None else "test"
    rng = np.random.default_rng(settings["seed"])
    if settings["likelihood"] == "gaussian":
        likelihood = likelihoods.Gaussian(settings["sigma"], learn=settings["learn_sigma"])
    else:
        likelihood = likelihoods.Bernoulli()
    model = MODELS[settings["kind"]].dense(
        data.train.shape[1],
        settings["hidden"],
        settings["latent_dim"],
        likelihood,
        ACTIVATIONS[settings["activation"]],
        rng=rng,
        dtype=np.dtype(settings["dtype"]),
        init=settings["init"],
        output_mean=data.train.mean(axis=0) / (data.scale or 1.0) if settings["output_mean"] else None,
    )
    return model, data, rng


def train(model, data, rng, settings, folder, *, resume=None, checkpoint_every=10.0, progress=None):
    """fit with these settings, and everything a run leaves in its folder.  -> metrics (plain data), History.

    Raises Interrupted after Ctrl-C or SIGTERM, with the command that goes on."""
    start = time.perf_counter()
    arguments = {**_fit_arguments(settings, data), "checkpoint": folder / MODEL_FILE, "checkpoint_every": checkpoint_every}
    try:
        history = fit(model, data, rng=rng, resume=resume, progress=progress, **arguments)
    except Interrupted as stop:
        where = str(stop).partition(";")[0]
        command = f"npvae train --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"{where}; go on with: {command}", stop.history, stop.signal) from stop
    history.to_csv(folder / "history.csv")
    metrics = {
        "units": "nats per example: summed over the data and latent dimensions, averaged over the examples",
        "settings": {**settings, "hidden": list(settings["hidden"])},
        "data": {"name": data.name, "train": len(data.train), "test": len(data.test), "values": data.train.shape[1]},
        "parameters": model.params.size,
        "seconds": round(time.perf_counter() - start, 3),
        "last": history.records[-1],
        "versions": versions(),
    }
    write_json(folder / "metrics.json", metrics)
    draw(model, data, settings, history, folder)
    return metrics, history


def _fit_arguments(settings, data):
    """What the settings say to fit."""
    adam_eps = {"eps": settings["adam_eps"]} if settings["optimizer"] == "adam" else {}
    return {
        "optimizer": OPTIMIZERS[settings["optimizer"]](lr=settings["lr"], **adam_eps),
        "validation": None if settings["validation"] == "none" else settings["validation"],
        "beta": _beta(settings, -(-len(data.train) // settings["batch_size"])),
        "lr": _lr(settings),
        "binarize": None if settings["binarize"] == "none" else settings["binarize"],
        **{name: settings[name] for name in ("epochs", "batch_size", "clip_norm", "patience")},
    }


def _lr(settings):
    """A schedule, or None for a constant learning rate, which is the optimizer's own."""
    kind, lr, end = (settings[name] for name in ("lr_schedule", "lr", "lr_end"))
    if kind == "constant":
        if end is not None:
            raise ValueError("--lr-end needs --lr-schedule cosine, exponential or step.")
        return None
    if kind == "cosine":
        return schedules.cosine(lr, 0.0 if end is None else end)
    end = lr / 10 if end is None else end
    return schedules.exponential(lr, end) if kind == "exponential" else schedules.step_decay(lr, factor=end / lr, every=0.5)


def _beta(settings, epoch_steps):
    """A number, or a schedule if --beta-warmup or --beta-cycles asks for one."""
    if settings["beta_warmup"] and settings["beta_cycles"]:
        raise ValueError("--beta-warmup and --beta-cycles exclude each other.")
    if settings["beta_warmup"]:
        return schedules.linear_warmup(settings["beta"], warmup=settings["beta_warmup"] * epoch_steps)
    if settings["beta_cycles"]:
        return schedules.cyclical(settings["beta"], cycles=settings["beta_cycles"])
    return settings["beta"]


def draw(model, data, settings, history, folder):
    """The run's pictures, as PNG."""
    x = binarized(data.floats("test", model.real_dtype)[:PICTURED], settings["binarize"], settings["seed"])
    labels = None if data.test_labels is None else data.test_labels[: len(x)]
    visual.save(visual.plot_history(history), folder / "history.png")
    visual.save(visual.plot_reconstructions(x[:10], model.reconstruct(x[:10]), data.image_shape), folder / "reconstructions.png")
    if isinstance(model, Autoencoder):
        visual.save(visual.plot_latent(model.encode(x), labels), folder / "latent.png")
        return
    rng = np.random.default_rng(settings["seed"])
    visual.save(visual.plot_samples(model.sample(50, rng), data.image_shape), folder / "samples.png")
    visual.save(visual.plot_kl_per_dimension(evaluation.kl_per_dimension(model, x)), folder / "kl_per_dimension.png")
    if model.latent_dim > 1:
        visual.save(visual.plot_latent(model.encode(x)[0], labels), folder / "latent.png")
    if model.latent_dim == 2 and len(data.image_shape) > 1:
        visual.save(visual.plot_manifold(model, data.image_shape), folder / "manifold.png")


def binarized(x, how, seed):
    """The rows as black and white, as fit makes its validation rows: thresholded, or drawn once ("static", "dynamic")."""
    how = {"none": None, "dynamic": "static"}.get(how, how)
    return batches.binarized(batches.Rows(x, None), how, np.random.default_rng(seed), x.dtype).floats(slice(None), x.dtype)
