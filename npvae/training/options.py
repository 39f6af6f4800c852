"""The arguments of `fit`, looked at before anything is changed."""

import hashlib
import math
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npvae.beyond.likelihoods import ContinuousBernoulli
from npvae.core.checks import finite, generator, has_shape, positive_integer
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import Optimizer
from npvae.data.dataset import Dataset, scaled
from npvae.data.standardize import Standardization
from npvae.models.base import Model
from npvae.models.conditional import ConditionalVAE
from npvae.training.batches import CHUNK_ROWS, Rows

BINARIZE = (None, "threshold", "static", "dynamic")


@dataclass
class Plan:
    """What is to be done: the checked arguments of `fit`, and what follows from them."""

    model: Model
    optimizer: Optimizer
    train: Rows
    validation: Rows | None
    epochs: int
    batch_size: int
    binarize: str | None
    beta: Callable
    lr: Callable | None
    objective: Callable | None  # (step, steps) -> the objective of that step
    samples: int | None
    clip_norm: float | None
    patience: int | None
    checkpoint: str | None
    checkpoint_every: float
    callbacks: tuple
    standardization: Standardization | None
    range: tuple[float, float]  # of the training rows, scaled
    settings: dict  # what a resumed run must agree in, plain data

    @property
    def epoch_steps(self):
        """Optimizer steps an epoch."""
        return -(-len(self.train) // self.batch_size)

    @property
    def total_steps(self):
        """Optimizer steps of the whole run."""
        return self.epochs * self.epoch_steps


def make_plan(
    model, data, *, optimizer, epochs, batch_size, rng, validation, beta, lr, binarize, objective, samples, clip_norm, patience,
    checkpoint, resume, callbacks, checkpoint_every,
):  # fmt: skip
    """The Plan.  Raises ValueError or TypeError with the name of the argument, what came, and what to do."""
    _check_objects(model, optimizer, objective, callbacks)
    generator("fit", rng)
    epochs, batch_size = positive_integer("fit", "epochs", epochs), positive_integer("fit", "batch_size", batch_size)
    if binarize not in BINARIZE:
        raise ValueError(f"fit: binarize must be one of {', '.join(map(repr, BINARIZE))}; got {binarize!r}.")
    if binarize is not None and isinstance(model.likelihood, ContinuousBernoulli):
        raise ValueError(
            f"fit: binarize={binarize!r} makes zeros and ones, where the density of a ContinuousBernoulli has no upper bound; "
            "use Bernoulli, or leave the pixels grey (None)."
        )
    train = _training(data, model, binarize)
    if batch_size > len(train):
        raise ValueError(f"fit: batch_size is {batch_size}, but there are only {len(train)} training examples.")
    held_out = _validation(data, validation, model, binarize)
    samples = _samples(samples, objective, beta)
    if patience is not None and held_out is None:
        raise ValueError('fit: patience stops on the validation loss; give validation="valid", "test" or an array of floats.')
    settings = {
        "model": model_config(model), "optimizer": optimizer.config(), "batch_size": batch_size, "binarize": binarize,
        "beta": _described(beta), "lr": _described(lr), "clip_norm": clip_norm,
        "objective": _described(objective), "samples": samples,
    }  # fmt: skip
    if checkpoint is not None or resume is not None:
        settings |= _fingerprints(data, train, held_out)
    plan = Plan(
        model=model, optimizer=optimizer, train=train, validation=held_out, epochs=epochs, batch_size=batch_size, binarize=binarize,
        beta=_schedule("beta", beta), lr=None if lr is None else _schedule("lr", lr),
        objective=_objective(objective), samples=samples,
        clip_norm=None if clip_norm is None else _positive("clip_norm", clip_norm),
        patience=None if patience is None else positive_integer("fit", "patience", patience),
        checkpoint=None if checkpoint is None else os.fspath(checkpoint), callbacks=tuple(callbacks),
        checkpoint_every=number("fit: checkpoint_every", checkpoint_every),
        standardization=getattr(data, "standardization", None), range=train.range(), settings=settings,
    )  # fmt: skip
    for step in (0, plan.total_steps - 1):
        for schedule in (plan.beta, plan.lr, plan.objective):
            if schedule is not None:
                schedule(step, plan.total_steps)
    return plan


def _check_objects(model, optimizer, objective, callbacks):
    if not isinstance(model, Model):
        raise TypeError(f"fit: model must be a model such as VAE.dense(784, rng=rng), got {model!r:.80}.")
    if np.issubdtype(model.dtype, np.complexfloating):
        raise TypeError("fit: this is a model's complex twin, made for checking gradients; train the real model.")
    if not isinstance(optimizer, Optimizer):
        hint = f"; make an instance: {optimizer.__name__}()" if isinstance(optimizer, type) else ""
        raise TypeError(f"fit: optimizer must be an optimizer such as Adam(lr=1e-3), got {optimizer!r}{hint}.")
    if objective is not None and not callable(objective):
        raise TypeError(f"fit: objective must be a function (model, x, eps) -> Loss, got {objective!r}.")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"fit: callbacks must be functions (record, model), got {callback!r}.")


def _samples(samples, objective, beta):
    """-> K for an objective, 1 if it was left open; None without one."""
    if objective is None and samples is not None:
        raise ValueError("fit: samples is the number of noise draws that an objective asks for; give objective=, too, or drop it.")
    if objective is not None and (callable(beta) or beta != 1.0):
        raise ValueError(
            f"fit: beta is {_described(beta)}, but objective takes the place of the loss; weigh the KL there, or drop it."
        )
    return positive_integer("fit", "samples", 1 if samples is None else samples) if objective is not None else None


def _training(data, model, binarize):
    """The training rows -> Rows."""
    if isinstance(data, Dataset):
        return _rows("data", data.train, data.scale, model, binarize, _labels(data, "train", model))
    if isinstance(model, ConditionalVAE):
        raise ValueError(f"fit: data must be a Dataset with train_labels for a ConditionalVAE, got {type(data).__name__}.")
    return _rows("data", data, None, model, binarize)


def _labels(data, split, model):
    """The labels of a split, which only a conditional model takes -> (N,) or None."""
    if not isinstance(model, ConditionalVAE):
        return None
    name = f"{split}_labels"
    if getattr(data, name) is None:
        raise ValueError(
            f"fit: a ConditionalVAE needs labels, but data set {data.name!r} has no {name}; train a VAE, or give them."
        )
    return model.as_labels("fit", getattr(data, name), name=name)


def _rows(name, rows, scale, model, binarize, labels=None):
    """The array behind `name`, checked as a whole -> Rows."""
    if not isinstance(rows, np.ndarray):
        raise TypeError(f"fit: {name} must be a Dataset or a NumPy array of floats, got {type(rows).__name__}.")
    if scale is None and not np.issubdtype(rows.dtype, np.floating):
        raise TypeError(f"fit: {name} is an array of {rows.dtype}, expected floats; {_integer_fix(name, rows)}.")
    has_shape("fit", name, rows, ("N", model.data_dim), "one example a row, as many columns as the model has data dimensions.")
    if len(rows) == 0:
        raise ValueError(f"fit: {name} has no rows.")
    if scale is None:
        finite("fit", "remove or repair such rows (the first index is the row).", **{name: rows})
    low, high = (scaled(end, scale, model.real_dtype) for end in (rows.min(), rows.max()))
    if binarize is not None and not (low >= 0 and high <= 1):
        raise ValueError(f"fit: binarize={binarize!r} needs {name} in [0, 1], but it goes from {low:.6g} to {high:.6g}; scale it.")
    check_data = getattr(model.likelihood, "check_data", None)
    simple = isinstance(model.likelihood, (Bernoulli, Gaussian))  # they ask for no more than a range
    if check_data is not None and not (simple and low >= 0 and high <= 1):
        _check_by_chunks(check_data, rows, scale, model.real_dtype)
    return Rows(rows, scale, labels)


def _check_by_chunks(check_data, rows, scale, dtype):
    """check_data of all rows, which as floats could be too many for the memory."""
    for start in range(0, len(rows), CHUNK_ROWS):
        try:
            check_data(scaled(rows[start : start + CHUNK_ROWS], scale, dtype))
        except ValueError:
            check_data(scaled(rows, scale, dtype))  # again, for a message that counts and numbers them all
            raise


def _integer_fix(name, rows):
    """What to do about integers."""
    if rows.dtype.kind not in "biu":
        return "pass floats"
    top = int(rows.max(initial=0))
    if top <= 1:
        return f"pass {name}.astype(np.float32)"
    top = 255 if 16 < top <= 255 else top
    return f"scale it: pass {name} / {top}, or a Dataset with scale={top}, which stays 8-bit in memory"


def _validation(data, validation, model, binarize):
    """The validation rows -> Rows or None."""
    if validation is None:
        return None
    if not isinstance(validation, str):
        if isinstance(model, ConditionalVAE):
            raise ValueError('fit: validation of a ConditionalVAE needs labels; give "valid" or "test", a split of the Dataset.')
        return _rows("validation", validation, None, model, binarize)
    if validation not in ("valid", "test"):
        raise ValueError(f'fit: validation must be None, "valid", "test" or an array of floats, got {validation!r}.')
    if not isinstance(data, Dataset):
        raise ValueError(f"fit: validation={validation!r} needs a Dataset; data is an array, so pass an array of floats.")
    rows = getattr(data, validation)
    if rows is None:
        raise ValueError(f'fit: data set {data.name!r} has no {validation} split; use "test", or pass an array of floats.')
    return _rows(f"the {validation} split", rows, data.scale, model, binarize, _labels(data, validation, model))


def _objective(objective):
    """An objective, or one that changes with the step, as a function (step, steps) -> objective."""
    if objective is None or not hasattr(objective, "at"):
        return None if objective is None else lambda step, steps: objective

    def at(step, steps):
        result = objective.at(step, steps)
        if not callable(result):
            raise TypeError(f"fit: objective.at({step}, {steps}) must give a function (model, x, eps) -> Loss, got {result!r:.80}.")
        return result

    return at


def _schedule(name, value):
    """A number or a function (step, steps) -> number, as a function whose results are looked at."""
    if not callable(value):
        value = number(f"fit: {name}", value)
        return lambda step, steps: value
    return lambda step, steps: number(f"fit: the schedule {name} at step {step} of {steps}", value(step, steps))


def number(where, value):
    """-> float(value), if it is a finite number of at least 0.  Raises TypeError, ValueError."""
    try:
        if isinstance(value, (bool, str)):
            raise TypeError
        result = float(operator.pos(value))
    except (TypeError, ValueError):
        raise TypeError(f"{where} must be a number, got {value!r}.") from None
    if not 0 <= result < math.inf:
        raise ValueError(f"{where} must be a finite number of at least 0, got {value!r}.")
    return result


def _positive(name, value):
    value = number(f"fit: {name}", value)
    if value == 0:
        raise ValueError(f"fit: {name} must be above 0, got 0.")
    return value


def _described(value):
    """A number as it is, a function by its name: plain data."""
    return getattr(value, "__qualname__", type(value).__name__) if callable(value) else value


def model_config(model):
    """The model's config without a learned sigma, which is a parameter."""
    config = model.config()
    if config["likelihood"].get("learn"):
        config["likelihood"] = {name: v for name, v in config["likelihood"].items() if name != "sigma"}
    return config


def _fingerprints(data, train, held_out):
    """Those of all that is trained and measured on, and of the standardization if there is one."""
    found = {"data": fingerprint(train), "validation": None if held_out is None else fingerprint(held_out)}
    standardization = getattr(data, "standardization", None)
    if standardization is not None:
        found["standardization"] = {"sha256": _sha256(standardization.mean, standardization.std)}
    return found


def fingerprint(data):
    """What tells two data sets apart: shape, dtype, scale, the SHA-256 of the rows, and that of the labels if they are used."""
    rows = data.rows
    found = {"shape": list(rows.shape), "dtype": rows.dtype.str, "scale": data.scale, "sha256": _sha256(rows)}
    return found if data.labels is None else found | {"labels_sha256": _sha256(data.labels.astype("<i8"))}


def _sha256(*arrays):
    """Of the bytes of the arrays, one after the other."""
    digest = hashlib.sha256()
    for a in arrays:
        digest.update(np.asarray(a, order="C").data)
    return digest.hexdigest()


def measure(plan):
    """What `reconstruction` measures under this plan: values of different measures do not compare."""
    if plan.binarize is not None:
        return f"negative log-likelihood, {plan.binarize} binarization"
    top = 1 if plan.train.scale is None else plan.train.scale
    grey = isinstance(plan.model.likelihood, Bernoulli) and not all(
        np.isin(plan.train.rows[i : i + 1000], (0, top)).all() for i in range(0, len(plan.train), 1000)
    )
    return "grey cross-entropy" if grey else "negative log-likelihood"
