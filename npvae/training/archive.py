"""The file format: one .npz without pickle, named arrays and a JSON manifest with the shape, dtype and SHA-256 of each.

`numpy.load(path)` opens it, too; the manifest is the text in the bytes of the array "manifest".
"""

import hashlib
import io
import json
import pathlib
import platform
import zipfile

import numpy as np

from npvae.data.atomic import check_room, replace_file

FORMAT, VERSION = "npvae checkpoint", 1
OVERHEAD = 65_536  # bytes for manifest and archive beside the arrays


class CheckpointError(ValueError):
    """A checkpoint could not be written, read or used: which file, why, and what to do."""


def write_archive(path, manifest, arrays):
    """Write manifest (plain data) and arrays ({name: array}) to path, whole or not at all.  Raises CheckpointError."""
    arrays = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    described = [{"name": n, "shape": list(a.shape), "dtype": a.dtype.str, "sha256": _sha256(a)} for n, a in arrays.items()]
    head = {"format": FORMAT, "version": VERSION, "versions": versions()}
    text = json.dumps({**head, **manifest, "arrays": described}, indent=1, default=plain)
    archive = io.BytesIO()  # in memory first: the file is then written in one go, and a failing disk meets no half-open archive
    np.savez(archive, manifest=np.frombuffer(text.encode(), np.uint8), **arrays)
    try:
        replace_file(path, lambda file: file.write(archive.getbuffer()))
    except OSError as error:
        raise CheckpointError(
            f"{path}: the checkpoint could not be written ({reason(error)}); what was in the file before is untouched. "
            "Make room, or give another folder."
        ) from error


def check_writable(path, size):
    """Refuse a path that will not hold two checkpoints of `size` bytes, the old one and the next.  Raises CheckpointError."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: this is a folder; checkpoint must be a file name, e.g. {path / 'checkpoint.npz'}.")
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: the folder {path.parent} does not exist; make it first.")
    try:
        check_room(path, (size + OVERHEAD) * (1 if path.exists() else 2))
    except OSError as error:
        raise CheckpointError(
            f"{path}: checkpoints cannot be written there ({reason(error)}); nothing was trained. "
            "Make room, or give another folder."
        ) from error


def read_archive(path):
    """-> manifest, {name: array}, whole and verified.

    Raises CheckpointError if the file is not there, damaged, truncated, foreign or from a newer version."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file.")
    try:
        content = _read_members(path)
    except Exception as error:  # damage makes zipfile and numpy raise a dozen types, MemoryError among them
        raise CheckpointError(
            f"{path}: damaged, truncated or no checkpoint at all ({type(error).__name__}: {error}); use another copy."
        ) from error
    manifest = _manifest(path, content.pop("manifest", None))
    _compare(path, manifest["arrays"], content)
    return manifest, content


def _read_members(path):
    """All arrays of the .npz. Each member is read whole first, which checks its CRC-32, and then parsed."""
    with open(path, "rb") as file, zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    return {name: np.lib.format.read_array(io.BytesIO(data), allow_pickle=False) for name, data in members.items()}


def _manifest(path, array):
    """The manifest as plain data; its head is checked."""
    if array is None:
        raise CheckpointError(f"{path}: no npvae checkpoint, it has no manifest; give a file that save_checkpoint or fit wrote.")
    try:
        manifest = json.loads(array.tobytes().decode())
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}")
        version = manifest["version"]
        if not version >= 1:
            raise ValueError(f"its version is {version!r}")
        for entry in manifest["arrays"]:
            entry["name"] + entry["sha256"], tuple(entry["shape"]), np.dtype(entry["dtype"])
    except (ValueError, TypeError, KeyError) as error:
        message = f"it has no {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{path}: no npvae checkpoint, or its manifest is damaged ({message}); use another copy.") from error
    if version > VERSION:
        raise CheckpointError(f"{path}: format {version}, but this version of npvae reads up to {VERSION}; update npvae.")
    return manifest


def _compare(path, described, arrays):
    """The arrays must be those that the manifest describes, to the last bit; everything wrong is listed."""
    described = {entry["name"]: entry for entry in described}
    wrong = [f"{name} is missing" for name in described if name not in arrays]
    wrong += [f"{name} is unexpected" for name in arrays if name not in described]
    for name, entry in described.items():
        if name not in arrays:
            continue
        a = arrays[name]
        if list(a.shape) != entry["shape"] or a.dtype.str != entry["dtype"]:
            wrong.append(f"{name} is {a.dtype.str} {list(a.shape)}, the manifest says {entry['dtype']} {entry['shape']}")
        elif _sha256(a) != entry["sha256"]:
            wrong.append(f"{name} has been changed (SHA-256)")
    if wrong:
        raise CheckpointError(f"{path}: damaged: {'; '.join(wrong)}. Use another copy.")


def versions():
    """Those of npvae, NumPy and Python: bit-identical continuation is promised for equal ones on one machine."""
    from npvae import __version__

    return {"npvae": __version__, "numpy": np.__version__, "python": platform.python_version()}


def plain(value):
    """For json: NumPy's numbers and arrays as Python's."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{value!r} cannot be kept in a checkpoint; use numbers, strings, lists and dicts.")


def reason(error):
    """What the operating system said."""
    return error.strerror or str(error)


def _sha256(a):
    return hashlib.sha256(np.asarray(a, order="C").data if a.size else b"").hexdigest()
