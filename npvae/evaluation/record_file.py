"""A record's file: one JSON object, and beside it, where the single rows are known, their values (.rows.npz).

The JSON object holds the SHA-256 of the file of values, so that the values of another evaluation are never taken for its own.
"""

import hashlib
import io
import json
import pathlib
import zipfile

import numpy as np

from npvae.data.atomic import check_room, replace_file

FORMAT = "npvae record"


def rows_file(path):
    """The file of the values row by row that belongs to a record's file."""
    path = pathlib.Path(path)
    return path.with_name(f"{path.name.removesuffix('.json')}.rows.npz")


def check_place(path, how=""):
    """Refuse a place that will not hold a record, and a file that is there and is none.  Raises OSError in one sentence.

    how: words that follow "choose another place", such as " with --record FILE"."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, and a record is a file; choose another place{how}.")
    if path.exists() and not (path.is_file() and _is_record(path)):
        raise FileExistsError(f"{path} is there already and is no record, so it is not replaced; choose another place{how}.")
    try:
        check_room(path, 2**16)
    except OSError as error:
        raise OSError(f"cannot write the record to {path}: {error.strerror or error}; choose another place{how}.") from None


def write(path, plain, values):
    """Write the values of the rows, if there are any, then the record with their SHA-256, each whole or not at all."""
    path = pathlib.Path(path)
    check_place(path)
    if values:
        buffer = io.BytesIO()
        np.savez(buffer, **values)
        replace_file(rows_file(path), lambda file: file.write(buffer.getbuffer()))
        plain = plain | {"values": {"file": rows_file(path).name, "sha256": _sha256(buffer.getbuffer())}}
    replace_file(path, lambda file: file.write((json.dumps(plain, indent=1) + "\n").encode()))


def read(path):
    """-> the plain data of the record in a file, and {name: (rows,)}, {} where there are none.

    The file is a record's own, or one with a record in it: the metrics.json of a run, or what npvae evaluate --json printed.
    Raises OSError, or ValueError for what holds no record."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name the file of a record in it.")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; npvae evaluate writes records, and so does Record.save.")
    try:
        content = json.loads(path.read_bytes().decode())
    except ValueError:
        raise ValueError("this is no record, not even JSON; npvae evaluate writes records.") from None
    if isinstance(content, dict) and "record" in content:
        content = content["record"]
        if content is None:
            raise ValueError("the run measured no validation rows, so it has no record; npvae evaluate writes one.")
    return content, _values(path, content)


def _is_record(path):
    """Whether the file is a record's own."""
    try:
        content = json.loads(path.read_bytes().decode())
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _values(path, content):
    """{name: (rows,)} from the file beside the record; {} if it is not there.  Raises ValueError if it is another."""
    described = content.get("values") if isinstance(content, dict) else None
    beside = rows_file(path)
    if not isinstance(described, dict) or not beside.exists():
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
