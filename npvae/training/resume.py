"""Taking up a run where its checkpoint left it."""

import json

from npvae.training.archive import CheckpointError, plain, read_archive
from npvae.training.checkpoint import unpack
from npvae.training.state import State


def resumed_state(path, plan):
    """Put the file's last parameters and optimizer state into plan.model and plan.optimizer -> State.

    Raises CheckpointError, before anything is changed, if the file is unusable or belongs to a run with other settings."""
    manifest, arrays = read_archive(path)
    try:
        training = manifest["training"]
        if training is None:
            raise CheckpointError(f"{path}: it holds a model, but no training run; start anew from load_checkpoint(file).model.")
        _check_agreement(path, training["settings"] | {"patience": training["patience"]}, plan)
        file = unpack(path, manifest, arrays, plan.model)
        state = State.from_plain(training, file.best_theta, file.history)
        if state.step > plan.epoch_steps or len(state.history) != state.epoch - 1:
            raise ValueError("epoch, step and history do not fit together")
        _check_optimizer(file.optimizer_state, plan)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{path}: its training state is damaged ({type(error).__name__}: {error}); use another copy."
        raise CheckpointError(message) from error
    plan.patience = training["patience"]
    plan.model.params.theta = file.theta
    plan.optimizer.load_state_dict(file.optimizer_state)
    return state


def _check_agreement(path, theirs, plan):
    """The run in the file and this call must have the same settings; patience may be left out."""
    ours = json.loads(json.dumps(plan.settings, default=plain))
    ours["patience"] = theirs["patience"] if plan.patience is None else plan.patience
    theirs, ours = dict(_flat("", theirs)), dict(_flat("", ours))
    differences = [
        f"{name} is {_shown(name, theirs)} in the file, {_shown(name, ours)} here"
        for name in dict.fromkeys([*theirs, *ours])
        if (name in theirs, theirs.get(name)) != (name in ours, ours.get(name))
    ]
    if differences:
        raise CheckpointError(
            f"{path}: this file is of a run with other settings: {'; '.join(differences)}. "
            "Resume with the same ones, or start a new run from load_checkpoint(file).model."
        )


def _shown(name, settings):
    """A setting for a person; of a hash the first digits are enough."""
    if name not in settings:
        return "missing"
    return f"{settings[name][:12]}..." if name.endswith("sha256") else repr(settings[name])


def _flat(name, value):
    """Nested plain data as ("model.encoder.layers.0.n_in", 784) and so on."""
    if isinstance(value, (dict, list)) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def _check_optimizer(state, plan):
    """The optimizer's averages must be as long as theta and of its dtype.  Raises ValueError."""
    theta = plan.model.params.theta
    if set(state) != set(plan.optimizer.state_dict()) or not isinstance(state["t"], int) or state["t"] < 0:
        raise ValueError(f"the optimizer's state has {', '.join(state)}")
    for name in plan.optimizer.averages:
        a = state[name]
        if (a is None) != (state["t"] == 0) or (a is not None and (a.shape, a.dtype) != (theta.shape, theta.dtype)):
            raise ValueError(f"the optimizer's {name} does not fit the parameters")
