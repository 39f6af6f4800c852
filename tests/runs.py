"""Tiny training runs, and the judge of whether two of them ended in the same state, bit for bit."""

from typing import Any, NamedTuple

import numpy as np

from npvae import VAE, Adam
from npvae.data import Dataset
from npvae.training import History, fit

N, D, Z = 23, 6, 2
BATCH = 5
STEPS = 5  # steps an epoch: four batches of 5 and one of 3


def grey_data(seed=0, rows=N):
    """Grey 8-bit images of 2 x 3 pixels, with a validation and a test split."""
    rng = np.random.default_rng(seed)
    train, valid, test = (rng.integers(0, 256, (n, D)).astype(np.uint8) for n in (rows, 9, 7))
    return Dataset(name="grey", train=train, valid=valid, test=test, scale=255.0, image_shape=(2, 3))


def make_model(seed=0, kind=VAE, **options):
    return kind.dense(D, (5,), Z, rng=np.random.default_rng(seed), **options)


class Run(NamedTuple):
    model: Any
    optimizer: Any
    history: History


def run(model=None, data=None, optimizer=None, seed=1, **options):
    """fit on the grey data for three epochs, or as the options say."""
    model = make_model() if model is None else model
    optimizer = Adam(1e-2) if optimizer is None else optimizer
    options = {"epochs": 3, "batch_size": BATCH, **options}
    history = fit(model, grey_data() if data is None else data, optimizer=optimizer, rng=np.random.default_rng(seed), **options)
    return Run(model, optimizer, history)


def outcome(finished):
    """Everything that a resumed run must share with an uninterrupted one; times are not in it."""
    model, optimizer, history = finished
    averages = {name: value if isinstance(value, int) else value.tobytes() for name, value in optimizer.state_dict().items()}
    records = [{k: v for k, v in r.items() if k not in ("seconds", "examples_per_second")} for r in history]
    return {"theta": model.params.theta.tobytes(), "optimizer": averages, "lr": optimizer.lr, "records": records}


class Crash(Exception):
    """Raised in the middle of training, where a process might be killed."""


def crash_at(step, optimizer):
    """The optimizer, made to raise when it has made so many steps and is asked for the next: nothing has changed then."""
    proceed = optimizer.step

    def crash_or_proceed(theta, grad):
        if optimizer.t == step:
            raise Crash
        proceed(theta, grad)

    optimizer.step = crash_or_proceed
    return optimizer
