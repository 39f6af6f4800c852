"""Records as files: one JSON object each, and beside it, where the single rows are known, their values."""

import hashlib
import io
import json
import pathlib
import zipfile

import numpy as np

from npvae.evaluation.record import Record
from npvae.training.atomic import check_room, replace_file

METRICS = "metrics.json"


def record_name(protocol):
    """evaluation-test-threshold-L100-1a2b3c4d.json: the file of a protocol in a run's folder."""
    k = "" if protocol.k is None else f"-L{protocol.k}"
    return f"evaluation-{protocol.split}-{protocol.binarization}{k}-{protocol.key()}.json"


def values_file(path):
    """The file of the values row by row that belongs to a record's file."""
    return path.with_name(f"{path.name.removesuffix('.json')}.rows.npz")


def check_place(path, what="--record FILE"):
    """Refuse a place that will not hold a record, before anything is measured.  Raises OSError in one sentence."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, and a record is a file; name one with {what}.")
    try:
        check_room(path, 2**16)
    except OSError as error:
        raise OSError(f"cannot write the record to {path}: {error.strerror or error}; choose another place with {what}.") from None


def write_record(path, record):
    """Write the values of the rows, then the record with their SHA-256, each whole or not at all."""
    buffer = io.BytesIO()
    np.savez(buffer, **record.values)
    content = record.to_plain() | {"values": {"file": values_file(path).name, "sha256": _sha256(buffer.getbuffer())}}
    replace_file(values_file(path), lambda file: file.write(buffer.getbuffer()))
    replace_file(path, lambda file: file.write((json.dumps(content, indent=1) + "\n").encode()))


def read_record(where):
    """-> the file, its Record: of a record's own file, of a metrics.json, or of the one record in a run's folder.

    Raises FileNotFoundError, or ValueError for what holds no record, or several."""
    path = _file(pathlib.Path(where))
    try:
        content = json.loads(path.read_bytes().decode())
    except ValueError:
        raise ValueError(f"{path}: this is no record, not even JSON; npvae evaluate writes records.") from None
    if isinstance(content, dict) and "record" in content and "format" not in content:  # metrics.json, or what --json printed
        content = content["record"]
        if content is None:
            raise ValueError(f"{path}: the run measured no validation rows, so it has no record; npvae evaluate writes one.")
    try:
        return path, Record.from_plain(content, _values(path, content))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _file(path):
    """The file meant by a path, which may be a run's folder."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder; npvae evaluate writes records into the run's folder.")
    if not path.is_dir():
        return path
    found = sorted(path.glob("evaluation-*.json"))
    if len(found) > 1:
        raise ValueError(f"{path} holds {len(found)} records; name one of them: {', '.join(map(str, found))}")
    if not found and not (path / METRICS).exists():
        raise FileNotFoundError(f"{path}: there is no record in this folder; npvae evaluate --model {path} writes one.")
    return found[0] if found else path / METRICS


def _values(path, content):
    """{name: (rows,)} from the file beside the record; {} if it is not there.  Raises ValueError if it is another."""
    described = content.get("values") if isinstance(content, dict) else None
    beside = values_file(path)
    if not described or not beside.exists():
        return {}
    data = beside.read_bytes()
    if _sha256(data) != described.get("sha256"):
        raise ValueError(f"{beside.name} beside it holds the values of another evaluation; delete it, or evaluate anew.")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{beside.name} beside it is damaged ({error}); delete it, or evaluate anew.") from error


def _sha256(data):
    return hashlib.sha256(data).hexdigest()
