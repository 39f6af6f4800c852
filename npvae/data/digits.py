"""The 1,797 handwritten digits of 8 x 8 pixels that come with the package."""

from importlib.resources import files

import numpy as np

from npvae.data.dataset import Dataset

N_TRAIN = 1437  # the first 1,437 rows in the original order; the last 360 are the test set


def load_digits():
    """UCI's Optical Recognition of Handwritten Digits (test part; Alpaydin & Kaynak 1998, CC BY 4.0, see DIGITS.txt).

    1,797 images of 8 x 8 pixels with values 0..16, so scale is 16. The split is fixed: rows 0..1436 of the original order train,
    rows 1437..1796 test; train and test joined are the whole set in its original order.
    """
    with (files("npvae.data") / "digits.npz").open("rb") as f, np.load(f, allow_pickle=False) as archive:
        pixels, labels = archive["pixels"], archive["labels"]  # (1797, 64), (1797,) uint8
    return Dataset(
        name="digits",
        train=pixels[:N_TRAIN],
        test=pixels[N_TRAIN:],
        scale=16.0,
        train_labels=labels[:N_TRAIN],
        test_labels=labels[N_TRAIN:],
        image_shape=(8, 8),
    )
