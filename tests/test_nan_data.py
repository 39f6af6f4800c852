"""A NaN in the data never becomes a black pixel: it is refused where a file is read, and where pixels are made black and white."""

import numpy as np
import pytest
from test_cli import fails

from npvae import VAE
from npvae.core.checks import NonFiniteError
from npvae.data import load_dataset
from npvae.training.batches import Rows, TrainingBatches, ValidationBatches, binarized


@pytest.fixture
def rows():
    x = np.full((7, 4), 0.75)
    x[5, 2] = np.nan
    return x


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_file_with_a_value_that_is_not_finite_is_refused_with_its_place(split, bad, rows, tmp_path):
    splits = {name: np.nan_to_num(rows) for name in ("train", "valid", "test")}
    np.savez(tmp_path / "x.npz", **splits)
    assert load_dataset(tmp_path / "x.npz").train.shape == (7, 4)
    splits[split][3, 1] = bad
    np.savez(tmp_path / "x.npz", **splits)
    with pytest.raises(NonFiniteError, match=rf"x\.npz: {split} is {bad} at \[3, 1\] \(1 of 28 values are not finite\); remove"):
        load_dataset(tmp_path / "x.npz")


@pytest.mark.parametrize("how", ["threshold", "static"])
def test_pixels_that_are_nan_are_neither_cut_nor_drawn(how, rows, rng):
    with pytest.raises(NonFiniteError, match=r"binarize: rows is nan at \[5, 2\] .*; remove or repair such rows"):
        binarized(Rows(rows, None), how, rng, np.float32)
    assert binarized(Rows(np.nan_to_num(rows), None), how, rng, np.float32).rows.shape == (7, 4)


@pytest.mark.parametrize("kind", [TrainingBatches, ValidationBatches])
def test_batches_are_not_made_of_them(kind, rows, rng):
    with pytest.raises(NonFiniteError, match="rows is nan"):
        kind(VAE.dense(4, (), 1, rng=rng), Rows(rows, None), 2, "threshold", 0)


@pytest.mark.parametrize("binarize", ["none", "threshold", "dynamic"])
def test_train_refuses_them_before_it_begins(binarize, rows, tmp_path, capsys):
    np.save(tmp_path / "x.npy", rows)
    said = fails(capsys, "train", "--data", str(tmp_path / "x.npy"), "--binarize", binarize, "--out", str(tmp_path / "run"))
    assert "x.npy: train is nan at [5, 2]" in said and not (tmp_path / "run").exists()
