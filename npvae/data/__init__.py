"""Data: the bundled digits, MNIST and its relatives, toy sets, strings, arrays and tables of one's own; fetched, if asked for."""

from npvae.data.arrays import load_arrays
from npvae.data.binarized import load_binarized_mnist
from npvae.data.dataset import Dataset
from npvae.data.digits import load_digits
from npvae.data.idx import load_idx_folder, read_idx
from npvae.data.load import load_dataset
from npvae.data.mnist import load_fashion_mnist, load_mnist
from npvae.data.source import DownloadError
from npvae.data.standardize import Standardization
from npvae.data.strings import from_strings, load_strings, read_strings
from npvae.data.tables import load_csv
from npvae.data.toy import load_toy

__all__ = [
    "Dataset",
    "DownloadError",
    "Standardization",
    "from_strings",
    "load_arrays",
    "load_binarized_mnist",
    "load_csv",
    "load_dataset",
    "load_digits",
    "load_fashion_mnist",
    "load_idx_folder",
    "load_mnist",
    "load_strings",
    "read_idx",
    "read_strings",
    "load_toy",
]
