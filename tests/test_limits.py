"""Floors and ceilings: the anchors known to all digits, literal references for every likelihood, and what is none."""

import dataclasses
import os

import numpy as np
import pytest

from npvae import Bernoulli, Gaussian, load_digits
from npvae.beyond import Categorical, ContinuousBernoulli, DiagonalGaussian
from npvae.core.checks import NonFiniteError
from npvae.data import Dataset, from_strings, load_fashion_mnist, load_mnist
from npvae.evaluation import exact
from npvae.evaluation.limits import Limits, cross_entropy, limits

DIGITS = load_digits()
ALL = np.concatenate([DIGITS.train, DIGITS.test])
TEST = DIGITS.floats("test", np.float64)
needs_data = pytest.mark.skipif("NPVAE_DATA" not in os.environ, reason="MNIST is not on this machine; set NPVAE_DATA")


def data_of(train, scale=None):
    return Dataset("rows", train=train, test=train, scale=scale)


def same(a, b):
    """All limits to 1e-11; None is only None."""
    return np.allclose(np.array(a, float), np.array(b, float), rtol=1e-11, atol=0, equal_nan=True)


# ---- anchors ---------------------------------------------------------------------------------------------------------------------


def test_the_anchors_of_the_digits():
    """All 1,797 rows under their own means: black where x >= 8, and grey; the floor is the entropy of the greys."""
    grey, black = ALL / 16, (ALL >= 8).astype(float)
    assert cross_entropy(black, black.mean(axis=0)) == pytest.approx(25.108913, abs=5e-7)
    assert cross_entropy(grey, grey.mean(axis=0)) == pytest.approx(27.110266, abs=5e-7)
    assert cross_entropy(grey, grey) == pytest.approx(13.657741, abs=5e-7)
    assert cross_entropy(black, black) == 0
    assert cross_entropy(black, np.full(64, 0.5)) == pytest.approx(64 * np.log(2), rel=1e-14)


@pytest.mark.slow
@needs_data
def test_the_anchors_of_mnist_and_fashion_mnist():
    data = load_mnist()
    rows = data.train.reshape(10, -1, 784)  # in parts: a float64 copy of all would take 400 MB
    mean = data.train.mean(axis=0, dtype=np.float64) / 255
    assert np.mean([cross_entropy(part / 255, mean) for part in rows]) == pytest.approx(206.027477, abs=5e-7)
    assert np.mean([cross_entropy(part / 255, part / 255) for part in rows]) == pytest.approx(45.756802, abs=5e-7)
    for one, floor in ((data, 45.534486), (load_fashion_mnist(), 189.858328)):
        assert limits(one, Bernoulli(), one.floats("test", np.float64)).floor == pytest.approx(floor, abs=5e-7)


@pytest.mark.slow
@needs_data
def test_the_anchors_of_the_static_binarization():
    from npvae.data import load_binarized_mnist

    data = load_binarized_mnist()
    found = [limits(data, Bernoulli(), data.floats(split, np.float64)) for split in ("valid", "test")]
    assert [one.ceiling for one in found] == pytest.approx([206.484039, 205.952026], abs=5e-7)
    assert [one.floor for one in found] == [0.0, 0.0]


# ---- every likelihood, literally -------------------------------------------------------------------------------------------------


def test_bernoulli_knows_the_mean_of_the_training_rows_within_a_thousandth():
    for binarize, cut in (("none", False), ("threshold", True)):
        x = (TEST >= 0.5).astype(float) if cut else TEST
        train = DIGITS.train / 16 >= 0.5 if cut else DIGITS.train / 16
        p = np.clip(train.mean(axis=0), 0.001, 0.999)
        expected = np.mean([-sum(v * np.log(q) + (1 - v) * np.log(1 - q) for v, q in zip(row, p)) for row in x])
        found = limits(DIGITS, Bernoulli(), x.astype(np.float32), binarize)
        assert found.ceiling == pytest.approx(expected, rel=1e-12)
        assert found.floor == (0 if cut else pytest.approx(cross_entropy(TEST, TEST), rel=1e-13)) and found.linear is None


def test_pixels_that_were_drawn_have_the_floor_of_the_greys_they_were_drawn_from(rng):
    x = (rng.random(TEST.shape) < TEST).astype(float)
    drawn, grey = limits(DIGITS, Bernoulli(), x, "dynamic", drawn_from=TEST), limits(DIGITS, Bernoulli(), TEST, "static")
    assert drawn.floor == grey.floor == pytest.approx(cross_entropy(TEST, TEST), rel=1e-13)
    assert drawn.ceiling == pytest.approx(grey.ceiling, abs=0.5) and limits(DIGITS, Bernoulli(), x, "dynamic").floor == 0


def test_a_gaussian_of_fixed_sigma_pays_its_constants_and_the_squares():
    sigma, mean = 0.3, DIGITS.train.mean(axis=0) / 16
    constants = 64 * (np.log(sigma) + 0.5 * np.log(2 * np.pi))
    found = limits(DIGITS, Gaussian(sigma), TEST)
    assert found.floor == pytest.approx(constants, rel=1e-13)
    assert found.ceiling == pytest.approx(constants + np.mean(np.sum((TEST - mean) ** 2, axis=1)) / (2 * sigma**2), rel=1e-12)


def test_a_gaussian_that_learns_its_sigma_has_that_of_the_training_rows_and_no_floor():
    """The ceiling on the training rows is probabilistic PCA without a latent."""
    found = limits(DIGITS, Gaussian(5.0, learn=True), DIGITS.floats("train", np.float64))
    assert found.floor is None
    assert found.ceiling == pytest.approx(-exact.ppca(DIGITS.floats("train", np.float64), 0).log_likelihood, rel=1e-12)


def test_the_diagonal_gaussian_has_a_variance_for_each_pixel_not_below_its_own_least():
    found = limits(DIGITS, DiagonalGaussian(0.05), TEST)
    train = DIGITS.train / 16
    variance = np.maximum(train.var(axis=0), 0.05**2)
    nll = 0.5 * np.sum((TEST - train.mean(axis=0)) ** 2 / variance + np.log(2 * np.pi * variance), axis=1)
    assert found.ceiling == pytest.approx(nll.mean(), rel=1e-10) and found.floor is None
    assert (train.var(axis=0) < 0.05**2).any()


def test_pixels_drawn_for_a_gaussian_have_the_variance_of_the_draw():
    train = np.random.default_rng(0).random((40, 5))
    black = (np.random.default_rng(1).random((4000, *train.shape)) < train).reshape(-1, 5)
    found = limits(data_of(train), Gaussian(learn=True), train, "dynamic", latent_dim=2)
    variance = np.mean(black.var(axis=0))
    expected = 2.5 * np.log(2 * np.pi * variance) + np.mean(np.sum((train - black.mean(axis=0)) ** 2, axis=1)) / (2 * variance)
    assert found.ceiling == pytest.approx(expected, rel=2e-3) and found.linear is None


def test_pixels_drawn_for_a_diagonal_gaussian_have_each_their_own_variance_of_the_draw(rng):
    p = np.array([0.02, 0.3, 0.5, 0.9])
    train, x = np.tile(p, (20, 1)), (rng.random((50, 4)) < p).astype(float)
    nll = 0.5 * np.mean(np.sum((x - p) ** 2 / (p * (1 - p)) + np.log(2 * np.pi * p * (1 - p)), axis=1))
    assert limits(data_of(train), DiagonalGaussian(), x, "dynamic").ceiling == pytest.approx(nll, rel=1e-12)


def test_the_continuous_bernoulli_is_best_at_the_mean():
    """The ceiling on the training rows is the least over all logits, since the mean is what they are to meet."""
    train = np.clip(DIGITS.floats("train", np.float64), 0.01, 0.99)
    found = limits(data_of(train), ContinuousBernoulli(), train)
    logits = ContinuousBernoulli().output_for_mean(train.mean(axis=0))

    def nll(shift):
        return np.mean(ContinuousBernoulli().nll(np.broadcast_to(logits + shift, train.shape), train))

    assert found.ceiling == pytest.approx(nll(0), rel=1e-13) and found.floor is None
    assert nll(0) < min(nll(0.01), nll(-0.01))


def test_letters_have_a_floor_of_0_and_the_ceiling_of_their_frequencies():
    data = from_strings(["ab", "aa", "ab", "bb"] * 5, name="words")
    train, x = data.floats("train", np.float64), data.floats("test", np.float64)
    found = limits(data, Categorical(3), x)
    p = np.maximum(train.mean(axis=0), 0.001).reshape(2, 3)  # at each place: a space, which never occurs, a and b
    p = (p / p.sum(axis=1, keepdims=True)).reshape(6)
    assert found.floor == 0
    assert found.ceiling == pytest.approx(-np.mean(np.sum(x * np.log(p), axis=1)), rel=1e-12)


def test_a_likelihood_of_ones_own_has_the_limits_it_can_have():
    class Unknown(Gaussian):
        output_for_mean = property()  # there is no such attribute

    class Known(Bernoulli):
        pass

    assert limits(DIGITS, Unknown(learn=False), TEST).ceiling is None
    assert limits(DIGITS, Known(), TEST) == limits(DIGITS, Bernoulli(), TEST)


# ---- the best linear VAE ---------------------------------------------------------------------------------------------------------


def test_the_best_linear_vae_is_probabilistic_pca_of_the_training_rows():
    best = exact.ppca(DIGITS.floats("train"), 5)
    found = limits(DIGITS, Gaussian(learn=True), TEST, latent_dim=5)
    assert found.linear == pytest.approx(-np.mean(best.log_density(TEST)), rel=1e-12)
    on_train = limits(DIGITS, Gaussian(learn=True), DIGITS.floats("train"), latent_dim=5)
    assert on_train.linear == pytest.approx(-best.log_likelihood, rel=1e-6) and on_train.linear < on_train.ceiling


def test_with_a_sigma_for_each_pixel_there_is_no_closed_form(rng):
    """That linear VAE is factor analysis; probabilistic PCA, of one sigma, is worse here than the model that ignores z."""
    sigma, loading = np.array([0.05, 0.1, 0.3, 1.0, 3.0, 10.0]), np.full((1, 6), 0.3)
    x = rng.normal(size=(2000, 1)) @ loading + sigma * rng.normal(size=(2000, 6))
    found, one_sigma = (
        limits(data_of(x), likelihood, x, latent_dim=1) for likelihood in (DiagonalGaussian(), Gaussian(learn=True))
    )
    covariance = loading.T @ loading + np.diag(sigma**2)
    factors = 0.5 * (6 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + np.sum(x @ np.linalg.inv(covariance) * x) / 2000)
    assert factors < found.ceiling < one_sigma.linear and found.linear is None


def test_with_a_fixed_sigma_it_is_the_best_of_that_sigma():
    train = DIGITS.floats("train", np.float64)
    found = [limits(DIGITS, Gaussian(sigma), train, latent_dim=5) for sigma in (1.0, 0.3, 0.1)]
    best = [exact.linear_optimum(train, 5, sigma**2).elbo for sigma in (1.0, 0.3, 0.1)]
    assert [one.linear for one in found] == pytest.approx([-elbo for elbo in best], rel=1e-6)
    assert found[0].linear == pytest.approx(found[0].ceiling, rel=1e-9)  # sigma = 1: every latent has collapsed


def test_with_as_many_latents_as_values_it_is_the_gaussian_of_any_covariance(rng):
    train = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 3))
    C = np.cov(train.T, bias=True)
    expected = 0.5 * (3 * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + 3)
    for latents in (2, 3, 7):
        assert limits(data_of(train), Gaussian(learn=True), train, latent_dim=latents).linear == pytest.approx(expected, rel=1e-10)
    one = rng.normal(size=(9, 1))
    assert limits(data_of(one), Gaussian(learn=True), one, latent_dim=1).linear == pytest.approx(
        0.5 * (np.log(2 * np.pi * one.var()) + 1), rel=1e-10
    )


def test_rows_in_so_few_dimensions_have_no_bound(rng):
    train = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6))
    assert limits(data_of(train), Gaussian(learn=True), train, latent_dim=1).linear is not None
    assert limits(data_of(train), Gaussian(learn=True), train, latent_dim=2).linear is None
    assert limits(data_of(train), Gaussian(0.5), train, latent_dim=6).linear is not None
    constant = np.ones((5, 3))
    assert limits(data_of(constant), Gaussian(learn=True), constant, latent_dim=1) == Limits(None, None, None)


def test_thresholded_rows_are_compared_with_thresholded_training_rows():
    black, grey = (TEST >= 0.5).astype(float), limits(DIGITS, Gaussian(learn=True), TEST, latent_dim=2)
    found = limits(DIGITS, Gaussian(learn=True), black, "threshold", latent_dim=2)
    train = (DIGITS.train >= 8).astype(float)
    assert found.linear == pytest.approx(-np.mean(exact.ppca(train, 2).log_density(black)), rel=1e-9)
    assert found.ceiling != grey.ceiling


# ---- parts, remarks, errors ------------------------------------------------------------------------------------------------------


def test_rows_in_parts_give_the_whole(monkeypatch):
    cases = [(Bernoulli(), {}), (Gaussian(learn=True), {"latent_dim": 3}), (DiagonalGaussian(), {})]
    whole = [limits(DIGITS, one, TEST, **given) for one, given in cases]
    monkeypatch.setattr("npvae.evaluation.limits.CHUNK_ROWS", 100)
    for (one, given), before in zip(cases, whole):
        assert same(limits(DIGITS, one, TEST, **given), before)


def test_limits_depend_neither_on_the_precision_of_the_model_nor_touch_anything():
    likelihood, x = Gaussian(0.5, learn=True), DIGITS.floats("test")
    before, sigma = x.copy(), likelihood.log_sigma.copy()
    assert same(limits(DIGITS, likelihood, x, latent_dim=2), limits(DIGITS, likelihood, TEST, latent_dim=2))
    assert np.array_equal(x, before) and np.array_equal(likelihood.log_sigma, sigma)


def test_a_loss_above_the_ceiling_is_remarked_and_shifted_limits_keep_what_is_none():
    found = Limits(1.0, 5.0)
    assert "worse than the model that ignores z" in found.remark(5.0001) and found.remark(5.0) is None
    assert Limits(None, None).remark(1e9) is None
    assert found.shifted(2.5) == Limits(3.5, 7.5, None)


@pytest.mark.parametrize(
    "given, error, said",
    [
        ({"data": TEST}, TypeError, "data must be a Dataset"),
        ({"x": TEST[:, :5]}, ValueError, r"x has shape \(360, 5\), expected \(B, 64\)"),
        ({"x": TEST[:0]}, ValueError, "x has no rows"),
        ({"x": DIGITS.test}, TypeError, "x must be an array of floats, scaled as the model is given them; got uint8"),
        ({"x": np.full((1, 64), np.nan)}, NonFiniteError, "x is nan"),
        ({"binarize": "half"}, ValueError, "binarize must be one of None, 'none', 'threshold', 'static', 'dynamic'; got 'half'"),
        ({"latent_dim": 0}, ValueError, "latent_dim must be at least 1"),
        ({"latent_dim": 2.0}, TypeError, "latent_dim must be an integer"),
        ({"drawn_from": TEST[:3]}, ValueError, "drawn_from has shape"),
        ({"x": 16 * TEST}, ValueError, r"outside \[0, 1\]"),
    ],
)
def test_wrong_arguments_are_told(given, error, said):
    with pytest.raises(error, match=said):
        limits(**{"data": DIGITS, "likelihood": Bernoulli(), "x": TEST, **given})


@pytest.mark.parametrize("binarize", [None, "threshold"])
def test_a_nan_among_the_training_rows_is_told(binarize):
    train = TEST.copy()
    train[3, 5] = np.nan
    with pytest.raises(NonFiniteError, match=r"data.train is nan at \[3, 5\]"):
        limits(dataclasses.replace(data_of(TEST), train=train), Bernoulli(), (TEST >= 0.5).astype(float), binarize)


def test_cross_entropy_takes_the_limit_of_0_log_0_and_refuses_other_shapes():
    assert cross_entropy([[0.0, 1.0]], [0.0, 1.0]) == 0
    assert cross_entropy([[1.0, 1.0]], [0.0, 1.0]) == np.inf
    assert cross_entropy([[0.25], [0.5]], [0.5]) == pytest.approx(np.log(2))
    for x, p in (([0.5], [0.5]), ([[0.5]], [[0.5], [0.5]]), ([[0.5]], [0.5, 0.5])):
        with pytest.raises(ValueError, match="cross_entropy: "):
            cross_entropy(x, p)
