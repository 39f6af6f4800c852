"""A user's own arrays, from a .npy or .npz file."""

import math
import pathlib

import numpy as np

from npvae.core.checks import finite
from npvae.data.dataset import Dataset

KEYS = ("train", "valid", "test", "train_labels", "valid_labels", "test_labels", "scale", "image_shape")


def load_arrays(path, test_fraction=0.1):
    """A data set from a .npy file, or from a .npz file with `train` (or one array of any name), and any of the other KEYS.

    Floats are used as they are; 8-bit integers are images: scale 255 unless the file's `scale` says otherwise (0/1 arrays: 1).
    Where there is no `test`, the last tenth of the rows is held out. More than two axes are flattened, the shape remembered.
    Raises ValueError if the file is no such archive or holds a NaN or an infinity, FileNotFoundError if it is not there.
    """
    return from_arrays(path, read_arrays(path), test_fraction)


def read_arrays(path):
    """The arrays of a .npz file by their keys, or that of a .npy file as `train`; errors as for `load_arrays`."""
    path = pathlib.Path(path)
    try:
        with path.open("rb") as f:  # numpy.load leaves a file that it opens itself open when the archive is damaged
            content = np.load(f, allow_pickle=False)
            return dict(content) if isinstance(content, np.lib.npyio.NpzFile) else {"train": content}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file.") from None
    except Exception as error:  # numpy.load raises six different types on damaged files
        raise ValueError(f"{path}: cannot be read as .npy or .npz without pickle ({type(error).__name__}: {error}).") from error


def from_arrays(path, arrays, test_fraction=0.1, name=None):
    """The same from arrays in memory, a dict with the KEYS; `path` stands in the errors and gives the name where there is none."""
    path, arrays = pathlib.Path(path), dict(arrays)
    if "train" not in arrays and len(arrays) == 1:
        arrays = {"train": next(iter(arrays.values()))}
    unknown = [key for key in arrays if key not in KEYS]
    if "train" not in arrays or unknown:
        raise ValueError(f"{path}: expected an array `train` and any of {', '.join(KEYS[1:])}; it has {', '.join(arrays)}.")
    train = arrays["train"]
    image_shape = tuple(int(n) for n in arrays.pop("image_shape", train.shape[1:]))
    given = arrays.pop("scale", None)
    arrays = {key: _rows(path, key, a, train.dtype) if not key.endswith("labels") else a for key, a in arrays.items()}
    scale = _scale(path, train, given)
    if "test" not in arrays:
        arrays = _hold_out(path, arrays, test_fraction)
    return Dataset(name=name or path.stem, scale=scale, image_shape=image_shape, **arrays)


def _rows(path, name, a, dtype):
    """(N, D) in train's dtype, bool as uint8. Floats beside bytes are refused: the cast would lose them."""
    if a.ndim < 2:
        raise ValueError(f"{path}: {name}: expected one example a row, (N, D) or (N, height, width); got shape {a.shape}.")
    if a.dtype != dtype and not (a.dtype.kind == dtype.kind == "f"):
        raise ValueError(f"{path}: {name} is {a.dtype} but train is {dtype}; save all splits in the same dtype.")
    rows = a.reshape(len(a), math.prod(a.shape[1:])).astype(np.uint8 if dtype.kind == "b" else dtype, copy=False)
    if rows.dtype.kind == "f":
        finite(f"{path}", "remove or repair such rows (the first index is the row).", **{name: rows})
    return rows


def _scale(path, train, given):
    if np.issubdtype(train.dtype, np.floating):
        if given is not None:
            raise ValueError(f"{path}: floats are used as they are; divide them yourself and leave `scale` out.")
        return None
    if train.dtype != bool and train.dtype != np.uint8:
        raise ValueError(f"{path}: arrays must be floats, 8-bit images (uint8) or bool, got {train.dtype}.")
    if given is not None:
        if np.shape(given) != () or np.asarray(given).dtype.kind not in "iuf" or not 0 < given < math.inf:
            raise ValueError(f"{path}: scale must be a positive number, got {given}.")
        return float(given)
    return 1.0 if train.dtype == bool or train.max(initial=0) <= 1 else 255.0


def _hold_out(path, arrays, fraction):
    n = int(len(arrays["train"]) * (1 - fraction))
    if n < 1:
        raise ValueError(f"{path}: {len(arrays['train'])} examples are too few to hold a test set out; give a `test` array.")
    held = {"test": arrays["train"][n:]}
    if "train_labels" in arrays:
        held["test_labels"] = arrays["train_labels"][n:]
    return {**arrays, **{key.replace("test", "train"): arrays[key.replace("test", "train")][:n] for key in held}, **held}
