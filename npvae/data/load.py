"""A data set by its name, or by the file or folder it lies in: what the command line's --data understands."""

import pathlib

from npvae.data.arrays import from_arrays, load_arrays
from npvae.data.digits import load_digits
from npvae.data.idx import load_fashion_mnist, load_idx_folder, load_mnist, read_idx

NAMED = {"digits": load_digits, "mnist": load_mnist, "fashion-mnist": load_fashion_mnist}


def load_dataset(source):
    """digits, mnist or fashion-mnist; a .npy or .npz file; a folder of four MNIST-format files, or one IDX file of images.

    Raises ValueError or FileNotFoundError that says what was looked for."""
    if source in NAMED:
        return NAMED[source]()
    path = pathlib.Path(source)
    if path.is_dir():
        return load_idx_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"data {str(source)!r}: no such file, and no data set of that name; there are {', '.join(NAMED)}.")
    if path.suffix in (".npy", ".npz"):
        return load_arrays(path)
    return from_arrays(path, {"train": read_idx(path)})
