"""Checkpoints: a model, and all that it takes to go on training as if nothing had happened."""

import os
from dataclasses import dataclass, field

import numpy as np

from npvae.core.checks import first_nonfinite
from npvae.data.standardize import Standardization
from npvae.models import from_config
from npvae.training.archive import CheckpointError, read_archive, write_archive
from npvae.training.history import History


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    model       with its best parameters (by validation loss) if there are such, else with the last ones
    theta, best_theta      the last parameters (P,), and the best ones or None
    optimizer   the optimizer's config, or None       optimizer_state    for its load_state_dict, or None
    history     a History, or None                    training           where `fit` stood, plain data, or None; its "range" is
                                                                         that of the training rows as the model was given them
    standardization        how the training data was standardized (apply, undo), or None
    manifest    all of the file but its arrays: format, versions of npvae, NumPy and Python, shapes, hashes
    """

    path: str
    model: object
    theta: np.ndarray
    best_theta: np.ndarray | None
    optimizer: dict | None
    optimizer_state: dict | None
    history: History | None
    training: dict | None
    standardization: Standardization | None
    manifest: dict = field(repr=False)

    @property
    def steps(self):
        """The optimizer steps that the model has made, 0 if none; None if the file knows of no training."""
        step = (self.training or {}).get("step")
        if isinstance(step, int):
            return step + (self.history.records[-1]["step"] if self.history else 0)
        return None if self.optimizer_state is None else self.optimizer_state.get("t")


def save_checkpoint(path, model, optimizer=None, *, history=None, training=None, best_theta=None, standardization=None):
    """Write the model, and what else is given, to one .npz file at exactly this path: whole or not at all.

    best_theta: (P,), parameters to keep beside those of the model; training: plain data; standardization: that of the data.
    Raises CheckpointError if a parameter is not finite or the file cannot be written; an older file then stays as it was.
    """
    arrays = {name: value for name, value, _ in model.params}
    if best_theta is not None:
        arrays |= {f"best/{name}": value for name, value in _split(model.params, best_theta)}
    for name, value in arrays.items():
        bad = first_nonfinite(value)
        if bad:
            raise CheckpointError(
                f"{path}: not written, since {name} is {bad[1]} at {list(bad[0])}; an older file stays as it was."
            )
    if standardization is not None:
        arrays |= {f"standardization/{name}": getattr(standardization, name) for name in ("mean", "std")}
    kept = None
    if optimizer is not None:
        state = optimizer.state_dict()
        averages = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        arrays |= {f"optimizer/{name}": value for name, value in averages.items()}
        kept = {"config": optimizer.config(), "state": {name: v for name, v in state.items() if name not in averages}}
    manifest = {
        "model": model.config(),
        "optimizer": kept,
        "training": training,
        "history": None if history is None else history.to_list(),
    }
    write_archive(path, manifest, arrays)


def load_checkpoint(path, model=None):
    """Read a file that `save_checkpoint` or `fit` wrote -> Checkpoint.

    model: None to build the model from its description in the file; or one whose parameters have the same names and shapes,
    which is filled (and stays as it was if anything is wrong). A model of other layers than the library's own needs that.
    Raises CheckpointError: not there, damaged, truncated, foreign, too new, or made by another architecture.
    """
    checkpoint = unpack(path, *read_archive(path), model)
    checkpoint.model.params.theta = checkpoint.theta if checkpoint.best_theta is None else checkpoint.best_theta
    return checkpoint


def unpack(path, manifest, arrays, model=None):
    """The content of a file, checked against the model (None: built here) but not put into it yet -> Checkpoint."""
    try:
        target = from_config(manifest["model"]) if model is None else model
        optimizer, training, history = manifest["optimizer"], manifest["training"], manifest["history"]
        config, state = (None, None) if optimizer is None else (optimizer["config"], dict(optimizer["state"]))
        history = None if history is None else History(history)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"there is no {error}" if isinstance(error, KeyError) else error
        hint = " If it has layers of your own, build the model and pass it as model=." if model is None else ""
        raise CheckpointError(f"{path}: the manifest does not describe a model of this library: {message}.{hint}") from error
    groups = {"": {}, "best": {}, "optimizer": {}, "standardization": {}}
    for name, value in arrays.items():
        group, _, rest = name.rpartition("/")
        groups.setdefault(group, {})[rest] = value
    theta = _join(path, target.params, groups[""])
    best_theta = _join(path, target.params, groups["best"]) if groups["best"] else None
    return Checkpoint(
        path=os.fspath(path), model=target, theta=theta, best_theta=best_theta, optimizer=config,
        optimizer_state=None if state is None else {**state, **groups["optimizer"]},
        history=history, training=training, standardization=_standardization(path, target, groups["standardization"]),
        manifest=manifest,
    )  # fmt: skip


def _standardization(path, model, arrays):
    """The Standardization in the file, or None; CheckpointError if it is none, or none of this model's data."""
    if not arrays:
        return None
    try:
        found = Standardization(**arrays)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the standardization is damaged ({error}); use another copy.") from error
    if found.mean.shape != (model.data_dim,):
        raise CheckpointError(f"{path}: the standardization has {found.mean.size} columns, the model's data {model.data_dim}.")
    return found


def _split(params, theta):
    """Yield (name, part) of a vector (P,) like params.theta."""
    start = 0
    for name, value, _ in params:
        yield name, theta[start : start + value.size].reshape(value.shape)
        start += value.size


def _join(path, params, arrays):
    """The named arrays as one vector (P,) in the model's order, or CheckpointError with everything that does not fit."""
    expected = {name: value.shape for name, value, _ in params}
    wrong = [f"{name} {shape} is not in the file" for name, shape in expected.items() if name not in arrays]
    wrong += [f"the model has no {name} {a.shape}" for name, a in arrays.items() if name not in expected]
    both = [name for name in expected if name in arrays]
    wrong += [f"{n} is {arrays[n].shape} in the file, {expected[n]} in the model" for n in both if arrays[n].shape != expected[n]]
    castable = [name for name in both if np.can_cast(arrays[name].dtype, params.dtype, "same_kind")]
    wrong += [f"{name} is {arrays[name].dtype} in the file, {params.dtype} in the model" for name in both if name not in castable]
    broken = [name for name in castable if not np.isfinite(arrays[name]).all()]
    if broken and not wrong:
        raise CheckpointError(f"{path}: {', '.join(broken)} holds NaN or infinity: the model is broken; use an earlier copy.")
    if wrong:
        raise CheckpointError(f"{path}: the parameters do not fit the model: {'; '.join(wrong)}. Build the model of the file.")
    return np.concatenate([arrays[name].reshape(-1) for name in expected]) if expected else np.empty(0, params.dtype)
