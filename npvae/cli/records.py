"""Records in the folders of runs: their names, and which of several is meant."""

import pathlib
import shlex
from typing import NamedTuple

from npvae.cli.common import MODEL_FILE
from npvae.evaluation.protocol import protocol_differences
from npvae.evaluation.record import ProtocolError, Record, model_origin
from npvae.training import CheckpointError, load_checkpoint

METRICS = "metrics.json"


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

    Raises ProtocolError if no two do, ValueError if several do."""
    firsts, seconds = find(a), find(b)
    if len(firsts) == len(seconds) == 1:
        return firsts[0], seconds[0]
    pairs = [(first, second) for first in firsts for second in seconds]
    alike = [two for two in pairs if not _differences(*two)]
    if not alike:
        first, second = min(pairs, key=lambda two: len(_differences(*two)))
        raise ProtocolError(
            f"no record of {a} compares with one of {b}; the nearest are {first.path} and {second.path}, with "
            f"{'; '.join(_differences(first, second))}. {again(first, second)}"
        )
    if len(alike) > 1:
        choices = " or ".join(f"{first.path} {second.path}" for first, second in alike)
        raise ValueError(f"{a} and {b} hold {len(alike)} pairs of records that compare; name the two that you mean: {choices}")
    return alike[0]


def again(first, second):
    """What to do about two records that do not compare."""
    trained = [one for one in (first, second) if one.of_training()]
    if not trained:
        return "Evaluate one of them anew, as the other was."
    files = " and ".join(dict.fromkeys(str(one.path) for one in trained))
    commands = " and ".join(dict.fromkeys(f"npvae evaluate --model {shlex.quote(str(one.path.parent))}" for one in trained))
    drawn = any(one.record.protocol.rows_seed is not None for one in trained)
    pixels = ", on pixels that it drew with a seed of its own" if drawn else ""
    return f"{files} holds what training measured{pixels}; what compares is measured by {commands}, with the flags of the other."


def stale(name, found):
    """A note if the model beside the record is not the one that was measured -> [line], or []."""
    checkpoint = found.record.origin.get("checkpoint")
    if not isinstance(checkpoint, str):
        return []
    file = found.path.parent / pathlib.PurePath(checkpoint).name
    there = _model_in(file)
    if there in (None, found.sha256):
        return []
    return [f"Note: {name} is of model {found.sha256[:8]}, and {file} has changed since: it is {there[:8]}. Evaluate it anew."]


def _differences(first, second):
    return protocol_differences(first.record.protocol, second.record.protocol)


def _of_model(record, name):
    model = record.origin.get("model")
    return str(model.get(name, "unknown")) if isinstance(model, dict) else "unknown"


def _model_in(path):
    """The SHA-256 of the model in a checkpoint; None if there is none that can be read: a record stands without its model."""
    if not path.is_file():
        return None
    try:
        return model_origin(load_checkpoint(path).model)["sha256"]
    except CheckpointError:
        return None
