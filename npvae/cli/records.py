"""Records in the folders of runs: their names, and which of several is meant."""

import itertools
import pathlib
import shlex
from typing import NamedTuple

from npvae.cli.common import MODEL_FILE
from npvae.evaluation.protocol import ANEW, CONCERNS, protocol_differences, remedy
from npvae.evaluation.record import ProtocolError, Record, model_origin
from npvae.training import CheckpointError, load_checkpoint

METRICS, UNKNOWN = "metrics.json", "unknown"


class Found(NamedTuple):
    """A record and its file."""

    path: pathlib.Path
    record: Record

    @property
    def sha256(self):
        """Of the model that was measured; "unknown" if the record does not say."""
        return _of_model(self.record, "sha256")

    @property
    def model_type(self):
        """Such as VAE."""
        return _of_model(self.record, "type")

    def of_training(self):
        """Whether npvae train wrote it."""
        return "epoch" in self.record.origin


def record_name(protocol, sha256):
    """evaluation-test-threshold-L100-1a2b3c4d-5e6f7a8b.json: the file of a protocol and a model in a run's folder."""
    k = "" if protocol.k is None else f"-L{protocol.k}"
    return f"evaluation-{protocol.split}-{protocol.binarization}{k}-{protocol.key()}-{sha256[:8]}.json"


def find(where):
    """The records that a path may mean -> [Found, ...]: that of a file; of a folder those of the model that lies there now.

    If there are none of that model, all in the folder; if there are none at all, its metrics.json. Raises OSError, ValueError."""
    path = pathlib.Path(where)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder; npvae evaluate writes records into the run's folder.")
    if not path.is_dir():
        return [Found(path, Record.load(path))]
    files = sorted(path.glob("evaluation-*.json"))
    if not files and not (path / METRICS).exists():
        raise FileNotFoundError(f"{path}: there is no record in this folder; npvae evaluate --model {path} writes one.")
    found = [Found(file, Record.load(file)) for file in files or [path / METRICS]]
    names = {file.name for file in files}
    found = [one for one in found if not names & ({record_name(one.record.protocol, one.sha256)} - {one.path.name})]
    there = _model_in(path / MODEL_FILE)
    return [one for one in found if one.sha256 == there] or found


def pair(a, b):
    """The two records that the paths a and b mean -> Found, Found: if a folder holds several, those that compare.

    If several do, those of one k, too; of a folder beside itself, two different ones. Raises ProtocolError if no two compare,
    ValueError if several pairs do equally well."""
    firsts, seconds = find(a), find(b)
    if len(firsts) == len(seconds) == 1:
        return firsts[0], seconds[0]
    itself = [one.path for one in firsts] == [one.path for one in seconds]
    pairs = list(itertools.combinations(firsts, 2) if itself else itertools.product(firsts, seconds))
    alike = [two for two in pairs if not _differences(*two)]
    least = min((_concerning(*two) for two in alike), default=0)
    alike = [two for two in alike if _concerning(*two) == least]
    if not alike:
        first, second = min(pairs, key=lambda two: len(_differences(*two)))
        none = f"no two records of {a} compare" if itself else f"no record of {a} compares with one of {b}"
        raise ProtocolError(
            f"{none}; the nearest are {first.path} and {second.path}, with {'; '.join(_differences(first, second))}. "
            + ("Name another run beside it." if itself else again(first, second))
        )
    if len(alike) > 1:
        choices = " or ".join(f"{first.path} {second.path}" for first, second in alike)
        raise ValueError(f"{a} and {b} hold {len(alike)} pairs of records that compare; name the two that you mean: {choices}")
    return alike[0]


def again(first, second):
    """What to do about two records that do not compare."""
    told = remedy(first.record.protocol, second.record.protocol)
    if told != ANEW:
        return told
    trained = [two for two in ((first, second), (second, first)) if two[0].of_training()]
    if not trained:
        return f"{told[:-1]}: {_evaluation(second, first)}" if _checkpoint(second).exists() else told
    files = list(dict.fromkeys(str(one.path) for one, _ in trained))
    commands = " and ".join(dict.fromkeys(_evaluation(*two) for two in trained))
    drawn = any(one.record.protocol.rows_seed is not None for one, _ in trained)
    pixels = ", on pixels that it drew with a seed of its own" if drawn else ""
    how = "is measured with the same flags by" if len(trained) == 2 else "is measured by"
    holds = f"{' and '.join(files)} {'holds' if len(files) == 1 else 'hold'} what training measured{pixels}"
    return f"{holds}; what compares {how}: {commands}"


def _evaluation(found, other):
    """The command that measures the model of one record as the other was measured; if training did that, on the same pixels."""
    file, one, p = _checkpoint(found), found.record.protocol, other.record.protocol
    command = f"npvae evaluate --model {shlex.quote(str(file.parent if file.name == MODEL_FILE else file))}"
    if other.of_training():
        return f"{command} --binarize {one.binarization if p.binarization == 'none' else p.binarization}"
    flags = {"split": p.split, "binarize": p.binarization, "samples": p.k, "seed": p.rows_seed}
    flags["limit"] = p.rows if p.split == one.split and p.rows < one.rows else None
    return " ".join([command, *(f"--{name} {value}" for name, value in flags.items() if value is not None)])


def stale(name, found):
    """A note if the model beside the record is not the one that was measured -> [line], or []."""
    if not isinstance(found.record.origin.get("checkpoint"), str):
        return []
    file = _checkpoint(found)
    there = _model_in(file)
    if there in (None, found.sha256):
        return []
    return [f"Note: {name} is of model {found.sha256[:8]}, and {file} has changed since: it is {there[:8]}. Evaluate it anew."]


def _checkpoint(found):
    """The file beside a record that its model was in; model.npz, if the record does not say."""
    checkpoint = found.record.origin.get("checkpoint")
    return found.path.parent / (pathlib.PurePath(checkpoint).name if isinstance(checkpoint, str) else MODEL_FILE)


def _differences(first, second):
    return protocol_differences(first.record.protocol, second.record.protocol)


def _concerning(first, second):
    """In how many of those entries they differ that concern some of the numbers alone."""
    return sum(getattr(first.record.protocol, name) != getattr(second.record.protocol, name) for name in CONCERNS)


def _of_model(record, name):
    model = record.origin.get("model")
    return str(model.get(name, UNKNOWN)) if isinstance(model, dict) else UNKNOWN


def _model_in(path):
    """The SHA-256 of the model in a checkpoint; None if there is none that can be read: a record stands without its model."""
    if not path.is_file():
        return None
    try:
        return model_origin(load_checkpoint(path).model)["sha256"]
    except CheckpointError:
        return None
