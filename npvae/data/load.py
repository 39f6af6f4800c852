"""A data set by its name, or by the file or folder it lies in: what the command line's --data understands."""

import pathlib

import numpy as np

from npvae.data import binarized
from npvae.data.arrays import from_arrays, load_arrays
from npvae.data.binarized import load_binarized_mnist
from npvae.data.digits import load_digits
from npvae.data.idx import load_idx_folder, read_idx
from npvae.data.mnist import load_fashion_mnist, load_mnist
from npvae.data.strings import load_strings
from npvae.data.tables import load_csv
from npvae.data.toy import TOYS, load_toy

FETCHED = {"mnist": load_mnist, "fashion-mnist": load_fashion_mnist, "binarized-mnist": load_binarized_mnist}
NAMES = ("digits", *FETCHED, *TOYS)
BY_ENDING = {(".npy", ".npz"): load_arrays, (".csv", ".csv.gz"): load_csv, (".txt",): load_strings}


def load_dataset(source, download=False):
    """One of NAMES; a file .npy, .npz, .csv, .csv.gz or .txt (strings); a folder of MNIST-format files; one IDX file.

    A toy set by its name is always the same one: 1,000 rows to train and 1,000 to test, drawn with its name as the seed.
    download: fetch MNIST, Fashion-MNIST or the static binarized MNIST if it is not on this machine.
    Raises ValueError, FileNotFoundError or DownloadError that says what was looked for."""
    if source == "digits":
        return load_digits()
    if source in FETCHED:
        return FETCHED[source](download=download)
    if source in TOYS:
        return load_toy(source, rng=np.random.default_rng(list(source.encode())))
    path = pathlib.Path(source)
    if not path.exists():
        raise FileNotFoundError(f"data {str(source)!r}: no such file, and no data set of that name; there are {', '.join(NAMES)}.")
    if path.is_dir():
        packed_or_text = [binarized.PACKED, *binarized.SOURCE.files]
        return load_binarized_mnist(path) if any((path / file).is_file() for file in packed_or_text) else load_idx_folder(path)
    if path.name == binarized.PACKED:  # bits, eight to a byte: as an array of bytes they would be noise
        return load_binarized_mnist(path.parent)
    for endings, load in BY_ENDING.items():
        if path.name.lower().endswith(endings):
            return load(path)
    return from_arrays(path, {"train": read_idx(path)})
