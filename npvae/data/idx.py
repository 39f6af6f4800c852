"""MNIST's own file format, IDX: four bytes that say type and rank, the lengths, the bytes; plain or gzipped."""

import gzip
import os
import pathlib
import zlib

import numpy as np

from npvae.data.dataset import Dataset

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path):
    """The array of unsigned bytes in an IDX file, gzipped or not.  Raises ValueError that says what is wrong with the file."""
    path = pathlib.Path(path)
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or truncated gzip file ({error}); fetch it again.") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes: it starts with {content[:4].hex(' ') or 'nothing'}.")
    rank = content[3]
    if len(content) < 4 + 4 * rank:
        raise ValueError(f"{path}: its header is cut short; fetch it again.")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank))
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if data.size != np.prod(shape, dtype=np.int64):
        raise ValueError(f"{path}: the header promises {shape} = {np.prod(shape)} bytes, but {data.size} follow; fetch it again.")
    return data.reshape(shape)


def load_idx_folder(folder, name=None):
    """The four MNIST-format files in a folder, gzipped or not, as a Dataset: 8-bit images as rows, labels, scale 255.

    Raises FileNotFoundError that names the files expected, ValueError if one is damaged."""
    folder = pathlib.Path(folder)
    arrays = {}
    for split, (images_name, labels_name) in NAMES.items():
        images, labels = (read_idx(_find(folder, file)) for file in (images_name, labels_name))
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(f"{folder}: {split} images have shape {images.shape}, labels {labels.shape}; they do not match.")
        arrays[split], arrays[f"{split}_labels"] = images.reshape(len(images), -1), labels
    return Dataset(name=name or folder.name, scale=255.0, image_shape=images.shape[1:], **arrays)


def load_mnist(root=None):
    """MNIST (LeCun, Cortes, Burges): 60,000 training and 10,000 test images of 28 x 28 pixels, from files on this machine.

    root: a folder that holds mnist/ (or the four files themselves); else $NPVAE_DATA; else ~/.cache/npvae.
    Raises FileNotFoundError that says which files it looked for, and where."""
    return _load("mnist", root)


def load_fashion_mnist(root=None):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): MNIST's format and sizes, ten kinds of clothing; root as for `load_mnist`."""
    return _load("fashion-mnist", root)


def data_root(root=None):
    """Where data sets lie: root, else $NPVAE_DATA, else a per-user cache."""
    if root is not None:
        return pathlib.Path(root)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("NPVAE_DATA") or cache / "npvae")


def _load(name, root):
    root = data_root(root)
    return load_idx_folder(root / name if (root / name).is_dir() else root, name)


def _find(folder, file):
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder}: {file}.gz is not there (nor {file}). Put the four MNIST-format files, "
        f"{', '.join(f'{n}.gz' for pair in NAMES.values() for n in pair)}, into that folder, or say with root= or NPVAE_DATA "
        "where they are."
    )
