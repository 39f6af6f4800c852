"""The static binarized MNIST: one fixed draw of black and white pixels, on which log-likelihoods are compared."""

import hashlib
import pathlib

import numpy as np

from npvae.data.arrays import read_arrays
from npvae.data.dataset import Dataset
from npvae.data.root import find_folder
from npvae.data.source import Source, check

FOLDERS = ("static-binarized-mnist", "binarized-mnist")
SPLITS = ("train", "valid", "test")
SOURCE = Source(  # SHA-256 and sizes as TensorFlow Datasets records them
    "the static binarized MNIST",
    ("https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",),
    {
        "binarized_mnist_train.amat": ("ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d", 78_400_000),
        "binarized_mnist_valid.amat": ("1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2", 15_680_000),
        "binarized_mnist_test.amat": ("e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c", 15_680_000),
    },
)
PACKED = "static_binarized_mnist.npz"  # the same bits, eight to a byte, 2.3 MB
PACKED_SHA256 = {  # of the packed arrays' bytes, row by row: quicker than to write the 110 MB of text again, and just as strict
    "train": "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906",
    "valid": "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d",
    "test": "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2",
}
PIXELS = 784


def load_binarized_mnist(root=None, download=False):
    """MNIST's pixels drawn once as 0 or 1 (Larochelle; Salakhutdinov & Murray 2008): 50,000 / 10,000 / 10,000 rows, no labels.

    The rows do not stand in MNIST's order. Looked for in root/static-binarized-mnist, root/binarized-mnist and root (root as for
    `load_mnist`): static_binarized_mnist.npz, with np.packbits(rows, axis=1) as train, valid, test; or the three original texts,
    binarized_mnist_{train,valid,test}.amat. Either is used only if it holds the published bits, by SHA-256.
    download: fetch the texts that are missing (110 MB).
    Raises FileNotFoundError that says which files it looked for, and where; DownloadError; ValueError for other bits."""
    folder = find_folder(root, FOLDERS, [PACKED, *SOURCE.files])
    if (folder / PACKED).is_file():
        splits = _unpack(folder / PACKED)
    else:
        if download:
            from npvae.data.download import fetch

            fetch(SOURCE, folder)
        splits = {split: _read_text(folder / file) for split, file in zip(SPLITS, SOURCE.files)}
    return Dataset(name="binarized-mnist", scale=1.0, image_shape=(28, 28), **splits)


def _read_text(path):
    """(N, 784) from lines of 784 digits, one character between each two."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.parent}: {path.name} is not there. Put {PACKED}, or {', '.join(SOURCE.files)}, into that folder, or name "
            "another by root= or NPVAE_DATA, or have them fetched with download=True (--download)."
        )
    characters = np.frombuffer(check(path, SOURCE), np.uint8)  # right to the last bit, so nothing else needs a check
    return (characters[::2] & 1).reshape(-1, PIXELS)  # "0" is 48, "1" is 49


def _unpack(path):
    arrays = read_arrays(path)
    for split, sha256 in PACKED_SHA256.items():
        packed = arrays.get(split)
        if packed is None or packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] * 8 != PIXELS:
            found = "is missing" if packed is None else f"is {packed.dtype} {packed.shape}"
            raise ValueError(f"{path}: array {split} {found}; expected np.packbits(rows, axis=1), uint8 (N, {PIXELS // 8}).")
        if hashlib.sha256(packed.tobytes()).hexdigest() != sha256:
            raise ValueError(f"{path}: array {split} has a wrong SHA-256: these are not the bits of {SOURCE.title}.")
    return {split: np.unpackbits(np.ascontiguousarray(arrays[split]), axis=1) for split in SPLITS}
