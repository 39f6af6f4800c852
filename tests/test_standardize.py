"""Standardization: numbers of the training rows alone, exact both ways, and what it does to a density."""

import math

import numpy as np
import pytest
from hypothesis import given
from strategies import seeds

from npvae.data import Dataset, Standardization, load_digits

ROWS = np.array([[1.0, 10.0, 5.0], [3.0, 30.0, 5.0]])


def test_each_column_is_shifted_by_its_mean_and_divided_by_its_deviation():
    s = Standardization.of(ROWS)
    assert s.mean.tolist() == [2.0, 20.0, 5.0] and s.std.tolist() == [1.0, 10.0, 1.0], "population deviation; constant column: 1"
    assert s.apply(ROWS).tolist() == [[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]
    assert s.undo(np.array([2.0, 2.0, 2.0])).tolist() == [4.0, 40.0, 7.0], "a single row too"
    assert s.log_volume == pytest.approx(math.log(10))


@given(seeds)
def test_undo_is_the_inverse_and_nothing_is_written_into(seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(rng.uniform(-100, 100, 3), rng.uniform(0.01, 100, 3), (7, 3))
    before, s = rows.copy(), Standardization.of(rows)
    u = s.apply(rows)
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(u.std(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(s.undo(u), rows, rtol=1e-12)
    np.testing.assert_array_equal(rows, before)


def test_the_dtype_is_kept_and_large_means_cost_no_digits(rng):
    """float32 rows around a million: x - mean in float32 would round the mean itself by 0.03."""
    rows = (1e6 + rng.standard_normal((5000, 2))).astype(np.float32)
    s = Standardization.of(rows)
    u = s.apply(rows)
    assert u.dtype == np.float32 and s.undo(u).dtype == np.float32
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(u, (exact - exact.mean(axis=0)) / exact.std(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(s.undo(u), rows, rtol=1e-7)
    assert s.apply(np.array([[1, 2]])).dtype == np.float64, "integers become float64"


def test_a_constant_column_becomes_exactly_zero():
    """The rounded mean of ten 0.1 is not 0.1: divided by the rounded deviation the column would have size 1."""
    rows = np.full((10, 2), 0.1)
    rows[:, 1] = np.arange(10)
    assert rows.mean(axis=0)[0] != 0.1
    s = Standardization.of(rows)
    assert s.mean[0] == 0.1 and s.std[0] == 1 and s.apply(rows)[:, 0].tolist() == [0.0] * 10


def test_a_density_of_standardized_rows_becomes_one_of_the_rows_by_log_volume(rng):
    """log N(x; mean, std^2) from log N(u; 0, 1), summed over the columns."""
    s = Standardization(mean=np.array([3.0, -1.0]), std=np.array([0.1, 20.0]))
    x = rng.normal(size=(5, 2)) * s.std + s.mean
    nats_of_u = 0.5 * np.sum(s.apply(x) ** 2 + math.log(2 * math.pi), axis=1)
    nats_of_x = 0.5 * np.sum(((x - s.mean) / s.std) ** 2 + np.log(2 * np.pi * s.std**2), axis=1)
    np.testing.assert_allclose(nats_of_u + s.log_volume, nats_of_x, rtol=1e-12)


def test_equality_is_that_of_all_numbers():
    s = Standardization.of(ROWS)
    assert s == Standardization(s.mean.copy(), s.std.copy())
    assert s != Standardization(s.mean + 1e-12, s.std) and s != Standardization(s.mean, s.std * (1 + 1e-12)) and s != 3
    assert s != Standardization(s.mean[:2], s.std[:2])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Standardization(np.zeros(2), np.ones(3)), r"one number a column, \(D,\) each; got \(2,\) and \(3,\)"),
        (lambda: Standardization(np.zeros((2, 1)), np.ones((2, 1))), r"one number a column, .*got \(2, 1\)"),
        (lambda: Standardization(np.zeros(2), np.array([1.0, 0.0])), "std above 0; take std 1 for a constant column"),
        (lambda: Standardization(np.array([0.0, np.nan]), np.ones(2)), "expected finite numbers"),
        (lambda: Standardization(np.zeros(2), np.array([1.0, np.inf])), "expected finite numbers"),
        (lambda: Standardization.of(np.zeros(3)), r"expected one example a row, \(N, D\) with N at least 1; got shape \(3,\)"),
        (lambda: Standardization.of(np.zeros((0, 3))), r"with N at least 1; got shape \(0, 3\)"),
        (lambda: Standardization.of(np.array([[1.0, 2.0], [1.0, np.nan]])), "row 1, column 1 is nan; only finite numbers"),
        (lambda: Standardization.of(np.array([[np.inf, 2.0], [1.0, 3.0]])), "row 0, column 0 is inf"),
        (lambda: Standardization.of(np.array([[1.0], [np.inf], [-np.inf]])), "row 1, column 0 is inf"),
        (lambda: Standardization.of(ROWS).apply(ROWS[:, :2]), r"expected rows of 3 values, .*; got shape \(2, 2\)"),
        (lambda: Standardization.of(ROWS).undo(np.float64(1)), r"expected rows of 3 values, .*; got shape \(\)"),
    ],
)
def test_what_cannot_be_standardized(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_values_whose_spread_overflows_are_refused():
    for rows in ([1.7e308, 1.6e308], [1e200, -1e200]):
        with pytest.raises(ValueError, match="overflow; divide the data by a constant first"):
            Standardization.of(np.array(rows)[:, None])


# --- of a data set ----------------------------------------------------------------------------------------------------------------


def test_the_numbers_come_from_the_training_rows_alone_and_serve_every_split(rng):
    data = Dataset("mine", train=rng.normal(5, 2, (50, 3)), valid=rng.normal(0, 1, (9, 3)), test=rng.normal(9, 4, (20, 3)),
                   train_labels=np.arange(50))  # fmt: skip
    done = data.standardized()
    s = done.standardization
    np.testing.assert_allclose(s.mean, data.train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(s.std, data.train.std(axis=0), rtol=1e-12)
    for split, rows, _ in data.splits():
        np.testing.assert_array_equal(getattr(done, split), s.apply(rows))
    assert abs(done.test.mean()) > 0.5, "the test rows keep their own mean"
    assert (done.name, done.image_shape, done.scale, data.standardization) == ("mine", (3,), None, None)
    assert done.train_labels is data.train_labels


def test_integers_are_scaled_first_and_become_float32():
    digits = load_digits()
    done = digits.standardized()
    assert done.train.dtype == done.test.dtype == np.float32 and done.scale is None and done.image_shape == (8, 8)
    np.testing.assert_allclose(done.standardization.mean, digits.train.mean(axis=0) / 16, rtol=1e-12)
    np.testing.assert_allclose(done.standardization.undo(done.test), digits.floats("test"), atol=2e-7)
    np.testing.assert_array_equal(done.train[:, 0], 0)  # a corner that never has ink
    assert np.isfinite(done.test).all()


def test_a_model_gets_its_own_numbers_again_whatever_the_data():
    digits = load_digits()
    own = digits.standardized().standardization
    other = Dataset("few", train=digits.train[:5], test=digits.test[:5], scale=16.0)
    again = other.standardized(by=own)
    assert again.standardization is own
    np.testing.assert_array_equal(again.train, digits.standardized().train[:5])


def test_data_that_are_not_to_be_standardized():
    digits = load_digits()
    done = digits.standardized()
    with pytest.raises(ValueError, match="data set 'digits' is standardized already; it cannot be standardized"):
        done.standardized()
    words = np.eye(4, dtype=np.uint8)[[[0, 1, 2], [3, 3, 0]]].reshape(2, 12)
    strings = Dataset("words", train=words, test=words, scale=1.0, image_shape=(3, 4), alphabet=" abc")
    with pytest.raises(ValueError, match="data set 'words' holds strings"):
        strings.standardized()
    with pytest.raises(ValueError, match="expected rows of 64 values"):
        Dataset("wide", train=np.zeros((2, 65)), test=np.zeros((2, 65))).standardized(by=done.standardization)
    with pytest.raises(ValueError, match=r"an alphabet of 4 letters needs image_shape \(length, 4\), got \(4, 3\)"):
        Dataset("words", train=words, test=words, scale=1.0, image_shape=(4, 3), alphabet=" abc")
    for wrong in (
        {"scale": 16.0, "train": digits.train, "test": digits.test},
        {"train": done.train[:, :9], "test": done.test[:, :9]},
    ):
        with pytest.raises(ValueError, match="standardized rows are floats, and their mean and std have (64|9) values each"):
            Dataset("digits", standardization=done.standardization, **wrong)


def test_later_changes_of_the_arrays_it_was_given_do_not_reach_it():
    mean, std = np.zeros(2), np.ones(2)
    standardization = Standardization(mean, std)
    mean += 1
    std += 1
    assert standardization == Standardization(np.zeros(2), np.ones(2))
