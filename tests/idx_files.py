"""Small files in MNIST's format, for the tests of what reads and fetches them."""

import gzip

import numpy as np

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 4), dtype=np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def idx(array):
    """The bytes of an IDX file."""
    return b"\x00\x00\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_mnist_format(folder, suffix=".gz", **replaced):
    """Five training images and two test images with their labels; keyword arguments, named like the files, replace contents."""
    folder.mkdir(exist_ok=True)
    contents = {
        "train-images-idx3-ubyte": idx(IMAGES),
        "train-labels-idx1-ubyte": idx(LABELS),
        "t10k-images-idx3-ubyte": idx(IMAGES[:2]),
        "t10k-labels-idx1-ubyte": idx(LABELS[:2]),
    }
    for name, content in (contents | {key.replace("_", "-"): value for key, value in replaced.items()}).items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content, mtime=0) if suffix else content)
    return folder
