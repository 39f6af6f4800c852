"""A user's own arrays, from a .npy or .npz file."""

import pathlib

import numpy as np

from npvae.data.dataset import Dataset

KEYS = ("train", "valid", "test", "train_labels", "valid_labels", "test_labels", "scale", "image_shape")


def load_arrays(path, test_fraction=0.1):
    """A data set from a .npy file, or from a .npz file with `train` (or one array of any name), and any of the other KEYS.

    Floats are used as they are; 8-bit integers are images: scale 255 unless the file's `scale` says otherwise (0/1 arrays: 1).
    Where there is no `test`, the last tenth of the rows is held out. More than two axes are flattened, the shape remembered.
    Raises ValueError if the file is no such archive, FileNotFoundError if it is not there.
    """
    path = pathlib.Path(path)
    try:
        content = np.load(path, allow_pickle=False)
        arrays = dict(content) if isinstance(content, np.lib.npyio.NpzFile) else {"train": content}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file.") from None
    except Exception as error:  # numpy.load raises six different types on damaged files
        raise ValueError(f"{path}: cannot be read as .npy or .npz without pickle ({type(error).__name__}: {error}).") from error
    return from_arrays(path, arrays, test_fraction)


def from_arrays(path, arrays, test_fraction=0.1):
    """The same from arrays in memory, a dict with the KEYS; `path` gives the name and stands in the errors."""
    path, arrays = pathlib.Path(path), dict(arrays)
    if "train" not in arrays and len(arrays) == 1:
        arrays = {"train": next(iter(arrays.values()))}
    unknown = [key for key in arrays if key not in KEYS]
    if "train" not in arrays or unknown:
        raise ValueError(f"{path}: expected an array `train` and any of {', '.join(KEYS[1:])}; it has {', '.join(arrays)}.")
    train = arrays["train"]
    if train.ndim < 2:
        raise ValueError(f"{path}: expected one example a row, (N, D) or (N, height, width); got shape {train.shape}.")
    image_shape = tuple(int(n) for n in arrays.pop("image_shape", train.shape[1:]))
    scale = _scale(path, train, arrays.pop("scale", None))
    arrays = {key: _rows(a, train.dtype) if not key.endswith("labels") else a for key, a in arrays.items()}
    if "test" not in arrays:
        arrays = _hold_out(path, arrays, test_fraction)
    return Dataset(name=path.stem, scale=scale, image_shape=image_shape, **arrays)


def _rows(a, dtype):
    return a.reshape(len(a), -1).astype(np.uint8 if dtype.kind == "b" else dtype, copy=False)


def _scale(path, train, given):
    if np.issubdtype(train.dtype, np.floating):
        return None
    if train.dtype != bool and train.dtype != np.uint8:
        raise ValueError(f"{path}: arrays must be floats, 8-bit images (uint8) or bool, got {train.dtype}.")
    if given is not None:
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
