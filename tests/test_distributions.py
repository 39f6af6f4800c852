"""That the distributions are what they say: they add up to one, and their samples have the mean and variance they claim.

Seeds are fixed; a z-score of 4.5 happens once in 150,000 draws, and a wrong factor lies tens of standard errors away.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import floats, logvars, seeds, values

from npvae import Bernoulli, Gaussian
from npvae.core.gaussian import kl_divergence, log_density, reparameterize

N = 40_000  # samples


def row(*numbers):
    return np.array([numbers], float)


# --- the densities and probabilities sum to one --------------------------------------------------------------------------------


@given(mu=floats, logvar=logvars)
@example(mu=0.0, logvar=-30.0)
@example(mu=0.0, logvar=30.0)
def test_the_density_integrates_to_one_with_mean_mu_and_variance_sigma_squared(mu, logvar):
    """The trapezoidal rule converges faster than any power of the step for such functions: 1e-12 with 321 points."""
    sigma = math.exp(logvar / 2)
    x, step = np.linspace(mu - 10 * sigma, mu + 10 * sigma, 321, retstep=True)
    p = step * np.exp(log_density(x[:, None], np.full((321, 1), mu), np.full((321, 1), logvar)))
    assert np.sum(p) == pytest.approx(1, rel=1e-12)
    assert np.sum(p * (x - mu)) == pytest.approx(0, abs=1e-12 * sigma)
    assert np.sum(p * (x - mu) ** 2) == pytest.approx(sigma**2, rel=1e-12)


def test_the_density_of_two_dimensions_integrates_to_one():
    mu, logvar = row(0.5, -1.5), row(0.8, -1.2)
    axes = [np.linspace(m - 9 * math.exp(s / 2), m + 9 * math.exp(s / 2), 161) for m, s in zip(mu[0], logvar[0])]
    x = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    ones = np.ones((len(x), 1))
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert cell * np.sum(np.exp(log_density(x, ones * mu, ones * logvar))) == pytest.approx(1, rel=1e-12)


@given(D=st.integers(1, 6), seed=seeds)
def test_bernoulli_probabilities_of_all_pictures_sum_to_one(D, seed):
    out = values(np.random.default_rng(seed), 1, D)
    pictures = np.array(list(itertools.product([0.0, 1.0], repeat=D)))
    p = np.exp(-Bernoulli().nll(np.repeat(out, len(pictures), axis=0), pictures))
    assert np.sum(p) == pytest.approx(1, rel=1e-13)
    assert p @ pictures == pytest.approx(Bernoulli().mean(out)[0], rel=1e-12)


@given(out=floats, sigma=st.floats(0.05, 20), learn=st.booleans())
def test_the_gaussian_density_integrates_to_one_about_its_mean(out, sigma, learn):
    gaussian = Gaussian(sigma, learn=learn)
    x, step = np.linspace(out - 10 * sigma, out + 10 * sigma, 321, retstep=True)
    p = step * np.exp(-gaussian.nll(np.full((321, 1), out), x[:, None]))
    assert np.sum(p) == pytest.approx(1, rel=1e-12)
    assert p @ x == pytest.approx(gaussian.mean(row(out))[0, 0], rel=1e-12, abs=1e-12 * sigma)
    assert p @ (x - out) ** 2 == pytest.approx(sigma**2, rel=1e-12)


# --- the samples ---------------------------------------------------------------------------------------------------------------


def test_the_sample_has_mean_mu_variance_sigma_squared_and_independent_entries(rng):
    """mu = 8 would show a clipped z, logvar = -8 an added jitter of 0.01; a z-score of 4.5 happens once in 150,000."""
    mu, logvar = np.array([8.0, -1.25, 0.0]), np.array([0.25, -8.0, math.log(4)])
    z, _ = reparameterize(np.tile(mu, (N, 1)), np.tile(logvar, (N, 1)), rng.standard_normal((N, 3)))
    u = (z - mu) / np.exp(logvar / 2)
    assert np.all(np.abs(u.mean(axis=0)) * math.sqrt(N) < 4.5)
    assert np.all(np.abs((u**2).mean(axis=0) - 1) * math.sqrt(N / 2) < 4.5)
    columns = (u.T @ u)[np.triu_indices(3, 1)] / math.sqrt(N)
    neighbours = np.sum(u[1:] * u[:-1], axis=0) / math.sqrt(N)
    assert np.all(np.abs(columns) < 4.5) and np.all(np.abs(neighbours) < 4.5)


def test_the_sample_is_mu_plus_sigma_eps():
    z, _ = reparameterize(row(1, 2, 3), row(0, math.log(4), -math.log(4)), row(-1, 0.5, 2))
    assert z[0] == pytest.approx([0, 3, 4], rel=1e-15, abs=1e-15)
    mu = row(0.3, -7)
    assert np.array_equal(reparameterize(mu, row(5, -5), np.zeros((1, 2)))[0], mu)  # without noise it is the mean


@pytest.mark.parametrize("mu, logvar", [(0.0, 0.0), (0.5, 0.25), (-1.25, -2.0), (0.0, 1.0), (2.0, -6.0), (0.0, -math.log(2))])
def test_the_analytic_kl_is_the_mean_of_log_q_minus_log_p(mu, logvar, rng):
    """Sampler, density and KL speak of the same sigma: a Monte-Carlo estimate within 4.5 standard errors."""
    mu, logvar = np.full((N, 1), mu), np.full((N, 1), logvar)
    z, _ = reparameterize(mu, logvar, rng.standard_normal((N, 1)))
    ratio = log_density(z, mu, logvar) - log_density(z, 0 * z, 0 * z)
    error = ratio.mean() - kl_divergence(mu[:1], logvar[:1])[0]
    assert abs(error) <= 4.5 * ratio.std() / math.sqrt(N) + 1e-15


def test_bernoulli_samples_are_pixels_with_the_claimed_mean(rng):
    out = np.array([-1000.0, -3.0, -0.5, 0.0, 0.541, 2.0, 1000.0])
    x = Bernoulli().sample(np.tile(out, (N, 1)), rng)
    mean = Bernoulli().mean(out[None])[0]
    assert set(np.unique(x)) == {0.0, 1.0}
    assert x[:, 0].max() == 0 and x[:, -1].min() == 1
    z = (x - mean)[:, 1:-1] / np.sqrt(mean * (1 - mean))[1:-1]
    assert np.all(np.abs(z.mean(axis=0)) * math.sqrt(N) < 4.5)
    assert np.all(np.abs((z.T @ z)[np.triu_indices(5, 1)]) / math.sqrt(N) < 4.5)  # pixels are independent


@pytest.mark.parametrize("learn", [False, True])
def test_gaussian_samples_have_the_claimed_mean_and_variance(learn, rng):
    out, gaussian = np.array([-3.0, 0.0, 8.0]), Gaussian(0.2, learn=learn)
    u = (gaussian.sample(np.tile(out, (N, 1)), rng) - gaussian.mean(out[None])) / 0.2
    assert np.all(np.abs(u.mean(axis=0)) * math.sqrt(N) < 4.5)
    assert np.all(np.abs((u**2).mean(axis=0) - 1) * math.sqrt(N / 2) < 4.5)
    assert np.all(np.abs((u.T @ u)[np.triu_indices(3, 1)]) / math.sqrt(N) < 4.5)


# --- the samples, draw by draw -------------------------------------------------------------------------------------------------


class EndsOfTheUnitInterval(np.random.Generator):
    """Draws the smallest and the largest number that `random` can give, in turn."""

    def random(self, shape):
        return np.resize([0, 1 - 2.0**-53], shape)


def test_a_pixel_of_probability_0_is_never_white_and_one_of_probability_1_never_black():
    rng = EndsOfTheUnitInterval(np.random.PCG64(0))
    x = Bernoulli().sample(np.array([[-1000.0, -1000.0, 1000.0, 1000.0]]), rng)
    assert np.array_equal(x, [[0, 0, 1, 1]])


@pytest.mark.parametrize("learn", [False, True])
def test_a_gaussian_sample_is_the_output_plus_sigma_times_the_noise(learn, rng):
    """Its distribution would be the same with a minus, the data set that a seed stands for would not."""
    out, noise = values(rng, 3, 5), np.random.default_rng(1).standard_normal((3, 5))
    assert Gaussian(2, learn).sample(out, np.random.default_rng(1)) == pytest.approx(out + 2 * noise, rel=1e-14)
