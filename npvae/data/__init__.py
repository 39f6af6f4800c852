"""Data: the bundled digits, MNIST-format files, arrays of one's own."""

from npvae.data.arrays import load_arrays
from npvae.data.dataset import Dataset
from npvae.data.digits import load_digits
from npvae.data.idx import load_fashion_mnist, load_idx_folder, load_mnist, read_idx
from npvae.data.load import load_dataset

__all__ = [
    "Dataset",
    "load_arrays",
    "load_dataset",
    "load_digits",
    "load_fashion_mnist",
    "load_idx_folder",
    "load_mnist",
    "read_idx",
]
