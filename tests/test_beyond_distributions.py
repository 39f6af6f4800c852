"""The likelihoods of volume two are distributions: they add up to one, and their samples have the mean and variance they claim.

Seeds are fixed; a z-score of 4.5 happens once in 150,000 draws, and a wrong factor lies tens of standard errors away.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import floats, values

from npvae import Bernoulli
from npvae.beyond import Categorical, ContinuousBernoulli, DiagonalGaussian
from npvae.beyond.likelihoods import normalizer_and_mean

N = 40_000  # samples
logits = st.one_of(floats, st.floats(-1.01, 1.01, allow_subnormal=False), st.floats(-700, 700, allow_subnormal=False))


def one(number):
    return np.array([[number]], float)


# --- they add up to one ----------------------------------------------------------------------------------------------------------


def unit_interval(pieces=40, order=16):
    """Nodes and weights of Gauss-Legendre quadrature on pieces of [0, 1], shorter towards both ends."""
    node, weight = np.polynomial.legendre.leggauss(order)
    ends = (1 - np.cos(np.pi * np.linspace(0, 1, pieces + 1))) / 2
    width = np.diff(ends)[:, None] / 2
    return (ends[:-1, None] + width * (node + 1)).ravel(), (width * weight).ravel()


@given(logit=logits)
@example(logit=0.0)  # lambda = 1/2
@example(logit=math.log(0.01 / 0.99))
@example(logit=math.log(0.999999 / 1e-6))
@example(logit=700.0)
def test_the_continuous_bernoulli_density_integrates_to_one(logit):
    x, weight = unit_interval()
    p = weight * np.exp(-ContinuousBernoulli().nll(np.full((len(x), 1), logit), x[:, None]))
    assert np.sum(p) == pytest.approx(1, rel=1e-12)
    assert p @ x == pytest.approx(ContinuousBernoulli().mean(one(logit))[0, 0], rel=1e-11)


def test_the_bernoulli_cross_entropy_of_grey_pixels_does_not():
    x, weight = unit_interval()
    for logit in (0.0, 2.0, -7.0):
        mass = weight @ np.exp(-Bernoulli().nll(np.full((len(x), 1), logit), x[:, None]))
        assert mass == pytest.approx(1 / normalizer_and_mean(one(logit))[0][0, 0], rel=1e-12) and mass < 0.5 + 1e-12


@given(m=floats, s=st.floats(-12, 6), min_sigma=st.floats(0.01, 3))
def test_the_pixel_density_integrates_to_one_with_the_claimed_mean_and_variance(m, s, min_sigma):
    likelihood, variance = DiagonalGaussian(min_sigma), min_sigma**2 + math.exp(s)
    sigma = math.sqrt(variance)
    x, step = np.linspace(m - 10 * sigma, m + 10 * sigma, 321, retstep=True)
    p = step * np.exp(-likelihood.nll(np.tile([m, s], (321, 1)), x[:, None]))
    assert np.sum(p) == pytest.approx(1, rel=1e-12)
    assert p @ x == pytest.approx(likelihood.mean(np.array([[m, s]]))[0, 0], rel=1e-12, abs=1e-12 * sigma)
    assert p @ (x - m) ** 2 == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("L, n", [(1, 2), (1, 7), (3, 4), (5, 2)])
def test_the_probabilities_of_all_strings_sum_to_one(L, n, rng):
    out = values(rng, 1, L * n)
    strings = np.array([np.concatenate(rows) for rows in itertools.product(np.eye(n), repeat=L)])
    p = np.exp(-Categorical(n).nll(np.repeat(out, len(strings), axis=0), strings))
    assert np.sum(p) == pytest.approx(1, rel=1e-13)
    mean = Categorical(n).mean(out)
    assert p @ strings == pytest.approx(mean[0], rel=1e-12)
    assert mean.reshape(L, n).sum(axis=1) == pytest.approx(np.ones(L), rel=1e-14)


def test_continuous_bernoulli_samples_have_the_claimed_distribution(rng):
    """Mean and variance (dmean/dl), and the distribution function of the samples, which must be uniform."""
    out = np.array([-700.0, -40.0, -1.5, -1e-9, 0.0, 0.8, 6.0, 700.0])
    x = ContinuousBernoulli().sample(np.tile(out, (N, 1)), rng)
    assert x.min() >= 0 and x.max() <= 1
    mean, variance = ContinuousBernoulli().mean(out), normalizer_and_mean(out + 1e-30j)[1].imag / 1e-30
    z = (x - mean) / np.sqrt(variance)
    assert np.all(np.abs(z.mean(axis=0)) * math.sqrt(N) < 4.5)
    assert np.all(np.abs((z.T @ z)[np.triu_indices(8, 1)]) / math.sqrt(N) < 4.5)  # pixels are independent
    y, a = np.where(out > 0, 1 - x, x), -np.maximum(np.abs(out), 1e-9)
    uniform = np.expm1(a * y) / np.expm1(a)
    for moment in (1, 2, 3):
        error = np.mean(uniform**moment, axis=0) - 1 / (moment + 1)
        assert np.all(np.abs(error) * math.sqrt(N) < 4.5 * math.sqrt(1 / (2 * moment + 1) - 1 / (moment + 1) ** 2))


class EndsOfTheUnitInterval(np.random.Generator):
    """Draws the smallest and the largest number that `random` can give, in turn."""

    def random(self, shape):
        return np.resize([0, 1 - 2.0**-53], shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_sample_leaves_the_unit_interval(dtype):
    """At |l| = 30, e^l - 1 is rounded to -1 in float32, and the largest u leads to 1.2."""
    out = np.array([0, 1e-37, 1e-9, 1e-4, 0.1, 1, 2.5, 18, 30, 100, 1000])
    out = np.repeat(np.concatenate([out, -out]), 2).astype(dtype)
    x = ContinuousBernoulli().sample(out[None], EndsOfTheUnitInterval(np.random.PCG64(0)))
    ContinuousBernoulli().check_data(x)
    first, last = x[0, ::2], x[0, 1::2]
    up = out[::2] > 0
    assert np.array_equal(first, up)
    moderate = np.abs(out[::2]) < 3
    assert last[moderate] == pytest.approx(1 - up[moderate].astype(float), abs=1e-5)


def test_pixel_samples_have_the_claimed_mean_and_variance(rng):
    m, s = np.array([-3.0, 0.0, 8.0]), np.array([-30.0, 1.0, -2.0])
    likelihood = DiagonalGaussian(0.2)
    u = (likelihood.sample(np.tile(np.concatenate([m, s]), (N, 1)), rng) - m) / np.sqrt(0.04 + np.exp(s))
    assert np.all(np.abs(u.mean(axis=0)) * math.sqrt(N) < 4.5)
    assert np.all(np.abs((u**2).mean(axis=0) - 1) * math.sqrt(N / 2) < 4.5)
    assert np.all(np.abs((u.T @ u)[np.triu_indices(3, 1)]) / math.sqrt(N) < 4.5)


def test_categorical_samples_are_letters_with_the_claimed_frequencies(rng):
    out = np.array([[0.0, 1.0, -2.0, 3.0, 3.0, 0.5]])
    x = Categorical(3).sample(np.repeat(out, N, axis=0), rng)
    assert set(np.unique(x)) == {0.0, 1.0} and np.all(x.reshape(N, 2, 3).sum(axis=2) == 1)
    p = Categorical(3).mean(out)[0]
    assert np.all(np.abs(x.mean(axis=0) - p) * math.sqrt(N) < 4.5 * np.sqrt(p * (1 - p)))
    first, second = x.reshape(N, 2, 3).transpose(1, 0, 2)
    joint = first.T @ second / N - np.outer(p[:3], p[3:])
    assert np.all(np.abs(joint) * math.sqrt(N) < 4.5 * 0.5)  # places are independent
