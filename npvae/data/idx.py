"""MNIST's own file format, IDX: four bytes that say type and rank, the lengths, the bytes; plain or gzipped."""

import gzip
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


def _find(folder, file):
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder}: {file}.gz is not there (nor {file}). Put the four MNIST-format files, "
        f"{', '.join(f'{n}.gz' for pair in NAMES.values() for n in pair)}, into that folder."
    )
