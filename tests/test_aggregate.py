"""The aggregated posterior against quadrature, closed forms and its two limits; rate and distortion against the best linear VAE.

Seeds are fixed; a z-score of 4.5 happens once in 150,000 draws, and a wrong factor lies tens of standard errors away.
"""

import math
import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
from conditional_cases import make_case
from hypothesis import given
from strategies import log_variances, seeds, sizes

from npvae.core import gaussian
from npvae.core.checks import NonFiniteError
from npvae.core.layers import Dense
from npvae.core.likelihoods import Gaussian
from npvae.data import load_digits
from npvae.evaluation import aggregate, elbo
from npvae.evaluation.aggregate import aggregated_posterior
from npvae.evaluation.latent import rate_distortion
from npvae.models import VAE, Autoencoder, ConditionalVAE


def with_codes(mu, logvar):
    """A VAE and rows x, of which row n has q(z|x_n) = N(mu_n, e^logvar_n): x_n is the n-th one-hot row, and the encoder a table."""
    (N, Z), rng = mu.shape, np.random.default_rng(0)
    encoder = Dense(N, 2 * Z, rng=rng)
    encoder.W = np.hstack([mu, logvar])
    return VAE(encoder, Dense(Z, N, rng=rng), Gaussian(), Z).astype(np.float64), np.eye(N)


def aggregated(mu, logvar, seed=0, samples=5000):
    return aggregated_posterior(*with_codes(mu, logvar), np.random.default_rng(seed), samples=samples)


def by_quadrature(mu, logvar):
    """I and KL( q(z) || p(z) ) of codes (N, 1): 20,001 points of the trapezoidal rule."""
    reach = np.max(np.abs(mu) + 12 * np.exp(0.5 * logvar))
    z, step = np.linspace(-reach, reach, 20_001, retstep=True)
    q_n = np.exp(-0.5 * ((z - mu) ** 2 / np.exp(logvar))) / np.sqrt(2 * np.pi * np.exp(logvar))  # (N, G)
    q = np.mean(q_n, axis=0)
    log_p = -0.5 * (z**2 + np.log(2 * np.pi))
    safe = np.log(np.maximum(q, 1e-300))
    information = np.mean([step * np.sum(row * (np.log(np.maximum(row, 1e-300)) - safe)) for row in q_n])
    return information, step * np.sum(q * (safe - log_p))


# ---- the two parts of the KL -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_information_and_marginal_kl_are_those_of_quadrature(seed):
    rng = np.random.default_rng(seed)
    mu, logvar = rng.normal(0, 1.5, (5, 1)), rng.uniform(-3, 1, (5, 1))
    information, marginal = by_quadrature(mu, logvar)
    found = aggregated(mu, logvar, seed, samples=20_000)
    assert abs(found.mutual_information - information) < 4.5 * found.mutual_information_error < 0.05
    assert abs(found.marginal_kl - marginal) < 4.5 * found.marginal_kl_error < 0.1
    assert found.kl == pytest.approx(information + marginal, rel=1e-9)  # Hoffman & Johnson's identity
    assert (found.rows, found.samples) == (5, 20_000)


@given(shape=sizes(2), seed=seeds)
def test_they_add_up_to_the_mean_kl_and_no_row_tells_more_than_log_n(shape, seed):
    rng, (N, Z) = np.random.default_rng(seed), shape
    mu, logvar = rng.normal(0, 2, (N + 1, Z)), log_variances(rng, N + 1, Z) / 2
    found = aggregated(mu, logvar, seed, samples=2000)
    assert found.kl == pytest.approx(np.mean(gaussian.kl_divergence(mu, logvar)), rel=1e-12)
    errors = found.mutual_information_error + found.marginal_kl_error
    assert abs(found.mutual_information + found.marginal_kl - found.kl) < 5 * errors + 1e-12
    assert -4.5 * found.mutual_information_error - 1e-12 < found.mutual_information <= math.log(N + 1) + 1e-12


def test_of_a_gaussian_x_the_closed_form():
    """mu = a x for x ~ N(0, I), sigma constant: q(z) = N(0, a^2 + sigma^2). x stands at 30 x 30 quantiles of N(0, I)."""
    a, sigma = np.array([1.2, 0.5]), np.array([0.8, 0.9])
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / 30) for i in range(30)])
    quantiles /= quantiles.std()
    mu = a * np.stack(np.meshgrid(quantiles, quantiles), axis=-1).reshape(-1, 2)
    logvar = np.broadcast_to(2 * np.log(sigma), mu.shape)
    variance = a**2 + sigma**2
    found = aggregated(mu, logvar)
    information, marginal = 0.5 * np.sum(np.log(variance / sigma**2)), 0.5 * np.sum(variance - 1 - np.log(variance))
    assert abs(found.mutual_information - information) < 4.5 * found.mutual_information_error < 0.08
    assert abs(found.marginal_kl - marginal) < 4.5 * found.marginal_kl_error < 0.08
    np.testing.assert_allclose(found.mean, 0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.diag(variance), rtol=1e-12, atol=1e-12)


def test_a_collapsed_model_has_no_information_in_any_draw():
    for mu, logvar in ((0.0, 0.0), (1.5, -2.0), (-3.0, 3.0)):
        found = aggregated(np.full((6, 2), mu), np.full((6, 2), logvar))
        assert abs(found.mutual_information) < 1e-13 and found.mutual_information_error < 1e-13
        assert abs(found.marginal_kl - found.kl) <= 4.5 * found.marginal_kl_error + 1e-13
    found = aggregated(np.zeros((6, 2)), np.zeros((6, 2)))  # at the prior
    assert found.kl == 0 and abs(found.marginal_kl) < 1e-13 and found.marginal_kl_error < 1e-13
    np.testing.assert_array_equal(found.mean, np.zeros(2))
    np.testing.assert_array_equal(found.covariance, np.eye(2))


@pytest.mark.parametrize("logvar", [-4.0, -60.0, -300.0, -1480.0])
def test_separated_codes_tell_log_n_and_twins_half_of_them(logvar):
    """Also where sigma is far below the spacing of floats at mu, so that z - mu has no digits, or hardly a number at all."""
    mu = 100.0 * np.arange(8)[:, None] + [[1 / 3, 7.0]]
    found = aggregated(mu, np.full((8, 2), logvar))
    assert found.mutual_information == pytest.approx(math.log(8), rel=1e-13) and found.mutual_information_error < 1e-13
    twins = aggregated(np.repeat(mu, 2, axis=0), np.full((16, 2), logvar))
    assert twins.mutual_information == pytest.approx(math.log(8), rel=1e-13) and twins.mutual_information_error < 1e-13


def test_the_moments_are_those_of_the_mixture(rng):
    mu, logvar = rng.normal(0, 1, (6, 3)), rng.uniform(-2, 1, (6, 3))
    found = aggregated(mu, logvar, samples=2)
    n = rng.integers(6, size=200_000)
    z = mu[n] + np.exp(0.5 * logvar[n]) * rng.standard_normal((200_000, 3))
    np.testing.assert_allclose(found.mean, z.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(found.covariance, np.cov(z.T), atol=0.04)
    assert found.covariance.shape == (3, 3) and np.max(np.abs(found.covariance - np.diag(np.diag(found.covariance)))) > 0.1


def test_the_standard_errors_are_those_of_repetition(rng):
    vae, x = with_codes(rng.normal(0, 1, (6, 2)), rng.uniform(-2, 0, (6, 2)))
    found = [aggregated_posterior(vae, x, np.random.default_rng(seed), samples=60) for seed in range(400)]
    for name in ("mutual_information", "marginal_kl"):
        errors = [getattr(f, f"{name}_error") for f in found]
        assert np.std([getattr(f, name) for f in found]) == pytest.approx(np.mean(errors), rel=0.12)


def test_information_of_few_rows_is_a_lower_bound_of_that_of_more(rng):
    mu, logvar = rng.normal(0, 1, (200, 1)), np.full((200, 1), -2.0)
    all_rows = aggregated(mu, logvar).mutual_information
    parts = [aggregated(mu[i : i + 4], logvar[i : i + 4], i, 400).mutual_information for i in range(0, 200, 4)]
    assert np.mean(parts) < all_rows - 0.1


# ---- how they are computed -------------------------------------------------------------------------------------------------------


def test_chunks_change_nothing(rng, monkeypatch):
    mu, logvar = rng.normal(0, 1, (7, 3)), rng.uniform(-2, 0, (7, 3))
    whole = aggregated(mu, logvar, samples=50)
    for at_once in (1, 22, 7 * 49):
        monkeypatch.setattr(aggregate, "AT_ONCE", at_once)
        parts = aggregated(mu, logvar, samples=50)
        for a, b in zip(whole, parts):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_float32_agrees_with_its_float64_twin_beyond_one_chunk_of_rows(rng):
    vae, x = VAE.dense(64, (8,), 3, rng=rng), load_digits().floats("train")  # 1,437 rows
    vae.encoder.layers[-1].W *= 3
    narrow = aggregated_posterior(vae, x, np.random.default_rng(1), samples=200)
    wide = aggregated_posterior(vae.astype(np.float64), x, np.random.default_rng(1), samples=200)
    assert narrow.mean.dtype == narrow.covariance.dtype == np.float64 and isinstance(narrow.marginal_kl, float)
    for a, b in zip(narrow, wide):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_conditional_model_is_told_the_labels(rng):
    labels = np.array([0, 1, 2, 1, 0, 2, 2, 1, 0])
    vae = ConditionalVAE.dense(4, (), 1, n_classes=3, rng=rng, dtype=np.float64)
    head = vae.encoder.layers[0]
    head.W *= 0
    head.W[4:, 0], head.b = [-40, 0, 40], [0, -4]  # the code is the label
    x = rng.random((9, 4))
    found = aggregated_posterior(vae, x, rng, condition=labels)
    assert found.mutual_information == pytest.approx(math.log(3), rel=1e-12)
    with pytest.raises(TypeError, match="condition is missing"):
        aggregated_posterior(vae, x, rng)


def test_memory_does_not_grow_with_rows_times_samples():
    mu = np.linspace(-1, 1, 20_000)[:, None]
    vae = VAE(Dense(1, 2, rng=np.random.default_rng(0)), Dense(1, 1, rng=np.random.default_rng(0)), Gaussian(), 1)
    tracemalloc.start()
    aggregated_posterior(vae, mu, np.random.default_rng(0), samples=150)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 14e6, f"{peak / 1e6:.1f} MB"  # one array of all pairs: 24 MB


# ---- rate and distortion ---------------------------------------------------------------------------------------------------------

LAMBDA, SIGMA = np.array([4.0, 1.5, 0.6, 0.3]), 0.7


def best_linear_vae(beta, Z=2):
    """The linear VAE that is best for data of covariance diag(LAMBDA), noise SIGMA and this beta (beta SIGMA^2 < 1.5).

    W_i = sqrt(lambda_i - beta sigma^2), posterior variance beta sigma^2 / lambda_i, mean W_i x_i / lambda_i."""
    variance = beta * SIGMA**2 / LAMBDA[:Z]
    W = np.sqrt(LAMBDA[:Z] - beta * SIGMA**2)
    encoder, decoder = Dense(4, 2 * Z, rng=np.random.default_rng(0)), Dense(Z, 4, rng=np.random.default_rng(0))
    encoder.W = np.hstack([np.eye(4, Z) * W / LAMBDA[:Z], np.zeros((4, Z))])
    encoder.b = np.concatenate([np.zeros(Z), np.log(variance)])
    decoder.W, decoder.b = np.eye(Z, 4) * W[:, None], np.zeros(4)
    return VAE(encoder, decoder, Gaussian(SIGMA), Z).astype(np.float64)


def gaussian_data(rng, N=60):
    """Rows whose mean is 0 and whose covariance is diag(LAMBDA), to rounding."""
    x = rng.standard_normal((N, 4))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / N)).T * np.sqrt(LAMBDA)


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.5])
def test_rate_and_distortion_of_the_best_linear_vae_in_closed_form(rng, beta):
    """R = 1/2 sum log( lambda / beta sigma^2 ) over the active ones; each of them leaves beta sigma^2, the others all of theirs."""
    vae, x = best_linear_vae(beta), gaussian_data(rng)
    found = [rate_distortion(vae, x, np.random.default_rng(seed), samples=5) for seed in range(30)]
    rate = 0.5 * np.sum(np.log(LAMBDA[:2] / (beta * SIGMA**2)))
    distortion = 0.5 * (4 * np.log(2 * np.pi * SIGMA**2) + 2 * beta + np.sum(LAMBDA[2:]) / SIGMA**2)
    np.testing.assert_allclose([f.rate for f in found], rate, rtol=1e-12)
    draws = np.array([f.distortion for f in found])
    assert abs(draws.mean() - distortion) < 4.5 * draws.std(ddof=1) / np.sqrt(30) < 0.2


def test_more_beta_is_less_rate_and_more_distortion_and_beta_one_has_the_best_elbo(rng):
    x = gaussian_data(rng)
    curve = [rate_distortion(best_linear_vae(beta), x, np.random.default_rng(0), samples=100) for beta in (0.25, 0.5, 1, 2, 3)]
    assert np.all(np.diff([f.rate for f in curve]) < -0.3) and np.all(np.diff([f.distortion for f in curve]) > 0.1)
    assert np.argmax([f.elbo for f in curve]) == 2


def test_their_sum_is_minus_the_elbo_of_the_same_draws(rng):
    vae, x = VAE.dense(64, (8,), 3, rng=rng), (load_digits().train[:1100] >= 8).astype(np.uint8)
    found = rate_distortion(vae, x, np.random.default_rng(5))
    assert found.elbo == -(found.rate + found.distortion)
    assert found.elbo == pytest.approx(np.mean(elbo(vae, x, np.random.default_rng(5))), rel=1e-6)


def test_the_standard_errors_are_over_the_examples(rng):
    vae, x = VAE.dense(64, (8,), 3, rng=rng, dtype=np.float64), (load_digits().train[:50] >= 8).astype(np.uint8)
    vae.decoder.layers[0].W *= 0  # the decoder does not listen: all draws give the same nll
    nll, kl = vae.likelihood.nll(vae.decode(np.zeros((50, 3))), x.astype(float)), gaussian.kl_divergence(*vae.encode(x))
    found = rate_distortion(vae, x, rng, samples=3)
    assert found.distortion == pytest.approx(nll.mean(), rel=1e-12)
    assert found.distortion_error == pytest.approx(nll.std(ddof=1) / np.sqrt(50), rel=1e-12)
    assert found.rate_error == pytest.approx(kl.std(ddof=1) / np.sqrt(50), rel=1e-12)


def test_each_example_gets_its_own_draws_and_k_of_them(rng):
    vae, x = best_linear_vae(1.0), gaussian_data(rng, 7)
    used, counted = np.random.default_rng(1), np.random.default_rng(1)
    rate_distortion(vae, x, used, samples=3)
    counted.standard_normal(7 * 3 * 2)
    assert used.random() == counted.random()


def test_rate_and_distortion_of_a_conditional_model():
    case = make_case(B=1100)  # more than one chunk
    vae, x, labels = case.model, case.x, case.labels
    found = rate_distortion(vae, x, np.random.default_rng(2), condition=labels)
    np.testing.assert_allclose(found.elbo, np.mean(elbo(vae, x, np.random.default_rng(2), condition=labels)), rtol=1e-12)
    with pytest.raises(TypeError, match="condition is missing"):
        rate_distortion(vae, x, np.random.default_rng(2))


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------

BOTH = {"aggregated_posterior": aggregated_posterior, "rate_distortion": rate_distortion}


@pytest.mark.parametrize("name", BOTH)
def test_wrong_arguments_are_told_so(rng, name):
    f, vae, x = BOTH[name], VAE.dense(64, (8,), 2, rng=rng), np.zeros((5, 64))
    with pytest.raises(TypeError, match=f"{name}: the model must be a VAE, got Autoencoder"):
        f(Autoencoder.dense(64, (8,), 2, rng=rng), x, rng)
    with pytest.raises(ValueError, match=f"{name}: x has 1 row, .*at least 2"):
        f(vae, x[:1], rng)
    with pytest.raises(ValueError, match=r"x has shape \(5, 63\)"):
        f(vae, x[:, 1:], rng)
    with pytest.raises(ValueError, match=f"{name}: samples must be at least 1, got 0"):
        f(vae, x, rng, samples=0)
    with pytest.raises(TypeError, match=f"{name}: rng must be a numpy.random.Generator, got int"):
        f(vae, x, 0)
    with pytest.raises(TypeError, match=f"{name}: condition is for a ConditionalVAE"):
        f(vae, x, rng, condition=np.zeros(5, int))
    x[3, 2] = np.nan
    with pytest.raises(NonFiniteError, match=rf"{name}: x is nan at \[3, 2\]"):
        f(vae, x, rng)
    for logvar in (2e38, 700.0):  # the second: finite numbers, whose squares are not
        vae = vae.astype(np.float64)
        vae.encoder.layers[-1].b = [0, 0, logvar, 0]
        with pytest.raises(NonFiniteError, match=f"{name}: .* leave the range of numbers"):
            f(vae, rng.random((5, 64)), rng, samples=3)


def test_one_draw_has_no_standard_error(rng):
    with pytest.raises(ValueError, match="aggregated_posterior: samples is 1, and a standard error needs at least 2"):
        aggregated_posterior(VAE.dense(64, (8,), 2, rng=rng), np.zeros((5, 64)), rng, samples=1)


@pytest.mark.parametrize("name", BOTH)
def test_data_and_model_are_left_alone(rng, name):
    vae, x = VAE.dense(64, (8,), 2, rng=rng), load_digits().floats("test")[:5]
    before, theta = x.copy(), vae.params.theta.copy()
    BOTH[name](vae, x, rng, samples=4)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(vae.params.theta, theta)
    assert not np.any(vae.params.grad)
