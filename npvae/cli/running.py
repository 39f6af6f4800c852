"""A run from its settings: the data, the arguments of fit, and the files that are left; shared by train and demo."""

import shlex
import time

import numpy as np

from npvae.beyond import objectives
from npvae.cli.building import make_model
from npvae.cli.common import MODEL_FILE, write_json
from npvae.cli.pictures import draw
from npvae.cli.validation import validation_record
from npvae.core import optimizers
from npvae.data import load_dataset
from npvae.training import Interrupted, fit, schedules
from npvae.training.archive import versions

OBJECTIVES = {
    "importance-weighted": objectives.importance_weighted,
    "doubly-reparameterized": objectives.doubly_reparameterized,
}
SAMPLES = 5  # draws of z of these objectives, if none are asked for
OPTIMIZERS = {
    "adam": optimizers.Adam,
    "sgd": optimizers.SGD,
    "momentum": optimizers.Momentum,
    "rmsprop": optimizers.RMSProp,
    "adagrad": optimizers.Adagrad,
}


def build(settings, download=False):
    """-> model, data, rng.  The settings are those of `npvae train`; those that were left open (None) are filled in."""
    data = load_dataset(settings["data"], download=download)
    convolutional = settings["architecture"] == "convolutional"
    left_open = {
        "validation": "valid" if data.valid is not None else "test",
        "likelihood": "bernoulli" if data.alphabet is None else "categorical",
        "activation": "relu" if convolutional else "tanh",
        "init": "he" if convolutional else "glorot",
        "samples": None if settings["objective"] is None else SAMPLES,
    }
    settings.update({name: value for name, value in left_open.items() if settings[name] is None})
    settings |= {"image_shape": list(data.image_shape), "alphabet": data.alphabet}
    if settings["standardize"]:
        if settings["likelihood"] not in ("gaussian", "pixel-gaussian"):
            raise ValueError(
                f"--standardize gives the data mean 0 and variance 1, out of reach of --likelihood {settings['likelihood']}; "
                "choose gaussian or pixel-gaussian."
            )
        data = data.standardized()
    rng = np.random.default_rng(settings["seed"])
    return make_model(settings, data, rng), data, rng


def train(model, data, rng, settings, folder, *, resume=None, checkpoint_every=10.0, progress=None):
    """fit with these settings, and everything a run leaves in its folder.  -> metrics (plain data), History.

    Raises Interrupted after Ctrl-C or SIGTERM, with the command that goes on."""
    start = time.perf_counter()
    arguments = {**fit_arguments(settings, data), "checkpoint": folder / MODEL_FILE, "checkpoint_every": checkpoint_every}
    try:
        history = fit(model, data, rng=rng, resume=resume, progress=progress, **arguments)
    except Interrupted as stop:
        where = str(stop).partition(";")[0]
        command = f"npvae train --resume {shlex.quote(str(folder))}"
        raise Interrupted(f"{where}; go on with: {command}", stop.history, stop.signal) from stop
    history.to_csv(folder / "history.csv")
    record = validation_record(model, data, settings, history, folder, _last_beta(arguments, data))
    metrics = {
        "units": "nats per example: summed over the data and latent dimensions, averaged over the examples",
        "settings": plain(settings),
        "data": {"name": data.name, "train": len(data.train), "test": len(data.test), "values": data.train.shape[1]},
        "parameters": model.params.size,
        "seconds": round(time.perf_counter() - start, 3),
        "last": history.records[-1],
        "record": None if record is None else record.to_plain(),
        "versions": versions(),
    }
    if data.standardization is not None:
        metrics["units"] += f"; of the standardized data, {data.standardization.log_volume:+.6g} for those of the data themselves"
        metrics["log_volume"] = data.standardization.log_volume
    write_json(folder / "metrics.json", metrics)
    draw(model, data, settings, history, folder)
    return metrics, history


def plain(settings):
    """The settings as JSON gives them back: lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def fit_arguments(settings, data):
    """What the settings say to fit."""
    adam_eps = {"eps": settings["adam_eps"]} if settings["optimizer"] == "adam" else {}
    objective = _objective(settings)
    return {
        "optimizer": OPTIMIZERS[settings["optimizer"]](lr=settings["lr"], **adam_eps),
        "validation": None if settings["validation"] == "none" else settings["validation"],
        "beta": _beta(settings, -(-len(data.train) // settings["batch_size"])) if objective is None else 1.0,
        "objective": objective,
        "samples": settings["samples"],
        "lr": _lr(settings),
        "binarize": None if settings["binarize"] == "none" else settings["binarize"],
        **{name: settings[name] for name in ("epochs", "batch_size", "clip_norm", "patience")},
    }


def _lr(settings):
    """A schedule, or None for a constant learning rate, which is the optimizer's own."""
    kind, lr, end = (settings[name] for name in ("lr_schedule", "lr", "lr_end"))
    if kind == "constant":
        if end is not None:
            raise ValueError("--lr-end needs --lr-schedule cosine, exponential, stages or step.")
        return None
    if kind == "cosine":
        return schedules.cosine(lr, 0.0 if end is None else end)
    end = lr / 10 if end is None else end
    if kind == "step":
        return schedules.step_decay(lr, factor=end / lr, every=0.5)
    return schedules.exponential(lr, end) if kind == "exponential" else schedules.stages(lr, end)


def _beta(settings, epoch_steps):
    """A number, or a schedule if --beta-warmup or --beta-cycles asks for one."""
    if settings["beta_warmup"] and settings["beta_cycles"]:
        raise ValueError("--beta-warmup and --beta-cycles exclude each other.")
    if settings["beta_warmup"]:
        return schedules.linear_warmup(settings["beta"], warmup=settings["beta_warmup"] * epoch_steps)
    if settings["beta_cycles"]:
        return schedules.cyclical(settings["beta"], cycles=settings["beta_cycles"])
    return settings["beta"]


def _last_beta(arguments, data):
    """The weight of the KL in the loss of the validation rows; None if that is an objective."""
    if arguments["objective"] is not None:
        return None
    steps = arguments["epochs"] * -(-len(data.train) // arguments["batch_size"])
    return arguments["beta"](steps - 1, steps) if callable(arguments["beta"]) else arguments["beta"]


def _objective(settings):
    """The objective of --objective, --capacity or --free-bits; None for the model's own loss."""
    asked = [name for name in ("objective", "capacity", "free_bits") if settings[name] is not None]
    if not asked:
        return None
    flag = f"--{asked[0].replace('_', '-')}"
    if len(asked) > 1:
        raise ValueError(f"{flag} and --{asked[1].replace('_', '-')} exclude each other.")
    if settings["kind"] == "autoencoder":
        raise ValueError(f"{flag} is about the KL, and --kind autoencoder has none.")
    for other in ("beta_warmup", "beta_cycles"):
        if settings[other]:
            raise ValueError(f"{flag} and --{other.replace('_', '-')} exclude each other: beta is constant there.")
    if flag == "--objective":
        if settings["beta"] != 1:
            raise ValueError(
                f"--objective is the bound L_K, in which the KL has no weight of its own; leave --beta {settings['beta']:g} out."
            )
        return OBJECTIVES[settings["objective"]]
    if flag == "--capacity":
        return objectives.capacity(settings["beta"], settings["capacity"])
    return objectives.free_bits(settings["free_bits"], settings["beta"])
