"""log p(x), the ELBO, the KL to the posterior and E L_K by quadrature: against closed forms, against each other, and against plain
sums over many nodes; where the posterior is narrow, far out, or in two pieces."""

import tracemalloc

import numpy as np
import pytest

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, ConditionalVAE, Dense, Gaussian, ReLU, fit
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.core.checks import NonFiniteError
from npvae.core.numerics import logsumexp
from npvae.core.parameters import Layer
from npvae.data import load_digits
from npvae.evaluation import exact, gauss_legendre, log_likelihood, quadrature, trapezoid

D = 5


def log_p(vae, x, **options):
    return exact.log_likelihood_by_quadrature(vae, x, **options)


def gap(vae, x, **options):
    """log p(x) - ELBO - KL to the posterior: 0, if all three are right."""
    return log_p(vae, x, **options) - exact.elbo_by_quadrature(vae, x, **options) - exact.kl_to_posterior(vae, x, **options)


def linear_vae(rng, sigma, Z, logvar=-1.0):
    """Linear networks; the encoder is not the posterior."""
    vae = VAE(Dense(D, 2 * Z, rng=rng), Dense(Z, D, rng=rng), Gaussian(sigma), Z)
    head = vae.encoder.layers[0]
    head.W[:, Z:], head.b[Z:] = 0, logvar
    return vae


def exact_log_p(vae, x, sigma):
    """log N(x; b, W^T W + sigma^2 I), by the posterior mean: no digits are lost where sigma is tiny."""
    W, b = vae.decoder.layers[0].W, vae.decoder.layers[0].b
    M = W @ W.T + sigma**2 * np.eye(len(W))
    m = (x - b) @ W.T @ np.linalg.inv(M)
    r = x - b - m @ W
    log_det = np.linalg.slogdet(M)[1] + (D - len(W)) * np.log(sigma**2)
    return -0.5 * (D * np.log(2 * np.pi) + log_det + np.sum(r**2, axis=1) / sigma**2 + np.sum(m**2, axis=1))


def plain_sum(vae, x, n=40_001, reach=12.0):
    """log p(x) for one latent by as many nodes as it takes."""
    z = np.linspace(-reach, reach, n)[:, None]
    out, log_prior = vae.decode(z), -0.5 * (z[:, 0] ** 2 + np.log(2 * np.pi)) + np.log(z[1, 0] - z[0, 0])
    return np.array([logsumexp(log_prior - vae.likelihood.nll(out, np.tile(row, (n, 1))), 0) for row in x])


class Square(Layer):
    """y = x^2: of z it makes two posteriors, one on each side."""

    def forward(self, x):
        return x**2, x

    def backward(self, dy, x, need_dx=True):
        return 2 * x * dy


def two_sided(rng, Z, sigma=0.1):
    """E[x|z] = z^2 W + b: the posterior has 2^Z equal modes."""
    return VAE(Dense(D, 2 * Z, rng=rng), Chain([Square(), Dense(Z, D, rng=rng)]), Gaussian(sigma), Z)


# ---- log p(x) --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Z", [1, 2])
@pytest.mark.parametrize("sigma", [3.0, 0.2, 0.02, 0.002])
def test_it_is_the_closed_form_of_a_linear_decoder(rng, sigma, Z):
    vae = linear_vae(rng, sigma, Z)
    x = vae.likelihood.sample(vae.decode(vae.noise(4, rng)), rng)
    np.testing.assert_allclose(log_p(vae, x), exact_log_p(vae, x, sigma), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("Z", [1, 2])
def test_posteriors_outside_of_the_first_interval_are_found(rng, Z):
    vae = linear_vae(rng, 0.3, Z)
    z = 40 * np.eye(Z)[[0, -1, 0]] * [[1], [-1], [0.25]]  # 40, -40 and 10 standard deviations of the prior
    x = vae.decode(z) + 0.1
    mean = (x - vae.decoder.layers[0].b) @ np.linalg.pinv(vae.decoder.layers[0].W)
    assert np.all(np.abs(mean).max(axis=1) > 9)
    np.testing.assert_allclose(log_p(vae, x), exact_log_p(vae, x, 0.3), rtol=1e-11)
    if Z == 1:  # the interval of the textbook would say
        cut = plain_sum(vae, x, reach=9.0)
        assert np.all(log_p(vae, x) - cut > 1)
    vae.encoder.layers[0].W[:, :Z] = np.linalg.pinv(vae.decoder.layers[0].W)
    vae.encoder.layers[0].b[:Z] = -vae.decoder.layers[0].b @ vae.encoder.layers[0].W[:, :Z]
    assert np.max(np.abs(gap(vae, x))) < 1e-8


def test_any_decoder_and_likelihood_is_a_plain_sum_over_many_nodes(rng):
    x = rng.random((3, D))
    for likelihood in (Bernoulli(), Gaussian(0.3), DiagonalGaussian(), ContinuousBernoulli()):
        vae = VAE.dense(D, (6,), 1, likelihood, rng=rng, dtype=np.float64)
        vae.decoder.layers[0].W *= 4
        data = (x > 0.5).astype(int) if isinstance(likelihood, Bernoulli) else x
        np.testing.assert_allclose(log_p(vae, data), plain_sum(vae, data), rtol=0, atol=1e-11)


def test_kinks_cost_nodes_and_no_digits(rng):
    vae = VAE.dense(D, (6,), 1, Gaussian(0.3), ReLU, rng=rng, dtype=np.float64)
    x = rng.random((2, D))
    np.testing.assert_allclose(log_p(vae, x), plain_sum(vae, x, n=400_001), rtol=0, atol=3e-9)
    assert np.max(np.abs(gap(vae, x))) < 3e-8


def test_gauss_hermite_nodes_under_the_prior_are_off_by_nats(rng):
    """Why the nodes are where they are: 64 nodes of the textbook's rule, at a posterior of width 0.01."""
    vae = linear_vae(rng, 0.02, 1)
    x = vae.decode(vae.noise(8, rng)) + 0.01
    z, weights = np.polynomial.hermite_e.hermegauss(64)
    nll = np.stack([vae.likelihood.nll(vae.decode(z[:, None]), np.tile(row, (64, 1))) for row in x])
    textbook = logsumexp(np.log(weights / weights.sum()) - nll, 1)
    truth = exact_log_p(vae, x, 0.02)
    assert np.max(np.abs(textbook - truth)) > 3
    np.testing.assert_allclose(log_p(vae, x), truth, rtol=1e-11)


# ---- log p(x) = ELBO + KL --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """Two VAEs after some epochs on digits, one with a learned sigma, and the rows that they are asked about."""
    data, models = load_digits(), []
    for likelihood, Z, binarize in ((Bernoulli(), 2, "threshold"), (Gaussian(0.3, learn=True), 1, None)):
        rng = np.random.default_rng(0)
        vae = VAE.dense(64, (16,), Z, likelihood, rng=rng)
        fit(vae, data, optimizer=Adam(lr=0.01), epochs=4, batch_size=128, rng=rng, binarize=binarize)
        x = data.floats("test")[:5]
        models.append((vae, (x >= 0.5).astype(int) if binarize else x))
    return models


def test_the_three_agree_after_training_on_digits(trained):
    for (vae, x), rows in zip(trained, (1, 5)):
        assert np.max(np.abs(gap(vae, x[:rows]))) < 1e-8


def test_a_float32_model_is_measured_by_its_float64_twin(trained):
    vae, x = trained[1]
    assert vae.dtype == np.float32 and np.all(exact.kl_to_posterior(vae, x) > 0.01)
    for function in (log_p, exact.elbo_by_quadrature, exact.kl_to_posterior):
        np.testing.assert_array_equal(function(vae, x), function(vae.astype(np.float64), x))
        assert function(vae, x).dtype == np.float64


@pytest.mark.parametrize("Z", [1, 2])
@pytest.mark.parametrize("sigma", [2.0, 0.02])
def test_the_three_agree_for_wide_and_narrow_posteriors(rng, sigma, Z):
    vae = VAE.dense(D, (6,), Z, Gaussian(sigma), rng=rng, dtype=np.float64)
    x = vae.likelihood.sample(vae.decode(vae.noise(2, rng)), rng)
    assert np.max(np.abs(gap(vae, x))) < 1e-8


@pytest.mark.parametrize(("Z", "rows"), [(1, 4), (2, 1)])
def test_the_three_agree_where_the_posterior_has_several_modes(rng, Z, rows):
    vae = two_sided(rng, Z)
    x = vae.likelihood.sample(vae.decode(1.5 + 0.3 * vae.noise(rows, rng)), rng)
    assert np.max(np.abs(gap(vae, x))) < 1e-8
    if Z == 1:
        np.testing.assert_allclose(log_p(vae, x), plain_sum(vae, x), rtol=1e-11)
        grid = exact.posterior_on_grid(vae, x[0], np.array([-1.5, -0.4, 0.4, 1.5]))
        np.testing.assert_allclose(grid.posterior, grid.posterior[::-1], rtol=1e-9)


def test_the_kl_is_that_of_two_gaussians_where_the_posterior_is_one(rng):
    vae = linear_vae(rng, 0.6, 2, logvar=np.array([-1.0, 0.4]))
    x = rng.standard_normal((3, D))
    W, b = vae.decoder.layers[0].W, vae.decoder.layers[0].b
    precision = np.eye(2) + W @ W.T / 0.36
    mean = (x - b) @ W.T @ np.linalg.inv(precision) / 0.36
    mu, logvar = vae.encode(x)
    r = mu - mean
    trace = np.exp(logvar) @ np.diag(precision)
    kl = 0.5 * (trace + np.sum(r @ precision * r, axis=1) - 2 - logvar.sum(axis=1) - np.linalg.slogdet(precision)[1])
    np.testing.assert_allclose(exact.kl_to_posterior(vae, x), kl, rtol=1e-10)


def test_the_kl_of_the_posterior_to_itself_is_nothing(rng):
    x = rng.standard_normal((50, D)) @ rng.standard_normal((D, D))
    for q in (1, 2):
        p = exact.ppca(x, q)
        vae = exact.linear_vae(p)
        np.testing.assert_allclose(exact.kl_to_posterior(vae, x[:3]), 0, atol=1e-10)
        np.testing.assert_allclose(log_p(vae, x[:3]), p.log_density(x[:3]), rtol=1e-11)


def test_labels_are_told_row_by_row(rng):
    told = ConditionalVAE.dense(D, (6,), 1, Gaussian(0.4), n_classes=3, rng=rng, dtype=np.float64)
    x, labels = rng.random((5, D)), np.array([2, 0, 2, 1, 0])
    for function in (log_p, exact.elbo_by_quadrature, exact.kl_to_posterior):
        together = function(told, x, condition=labels)
        for i in range(5):
            np.testing.assert_allclose(function(told, x[[i]], condition=labels[[i]]), together[[i]], rtol=1e-13)
        assert np.max(np.abs(function(told, x, condition=(labels + 1) % 3) - together)) > 1e-3
    assert np.max(np.abs(gap(told, x, condition=labels))) < 1e-8
    sampled = log_likelihood(told, x, rng, samples=4000, condition=labels)
    np.testing.assert_allclose(sampled, log_p(told, x, condition=labels), atol=0.1)
    one = exact.posterior_on_grid(told, x[0], np.linspace(-9, 9, 801), condition=2)
    assert abs(one.posterior.sum() * 18 / 800 - 1) < 1e-9


# ---- E L_K -----------------------------------------------------------------------------------------------------------------------


def test_the_expected_bound_rises_with_the_samples_to_log_p(trained):
    vae, x = trained[1]
    levels = [exact.elbo_by_quadrature(vae, x)]
    levels += [exact.expected_bound_by_quadrature(vae, x, K) for K in (1, 2, 5, 50, 5000)]
    levels.append(log_p(vae, x))
    assert np.max(np.abs(levels[0] - levels[1])) < 1e-8  # E L_1 is the ELBO, with log p(z) - log q(z|x) averaged, too
    assert np.all(np.diff(levels[1:], axis=0) > 0)
    assert np.all(levels[-1] - levels[-2] < 0.02 * (levels[-1] - levels[0]))


def test_for_two_draws_it_is_the_integral_over_both(rng):
    vae = VAE.dense(D, (6,), 1, Gaussian(0.5), rng=rng, dtype=np.float64)
    x = rng.random((3, D))
    mu, logvar = vae.encode(x)
    eps = np.linspace(-9, 9, 301)
    p = np.exp(-0.5 * eps**2) / np.exp(-0.5 * eps**2).sum()
    for row, m, s, got in zip(x, mu[:, 0], np.exp(0.5 * logvar[:, 0]), exact.expected_bound_by_quadrature(vae, x, 2)):
        z = m + s * eps
        log_px = -vae.likelihood.nll(vae.decode(z[:, None]), np.tile(row, (301, 1)))
        log_w = log_px - 0.5 * z**2 + 0.5 * eps**2 + np.log(s)
        assert abs(p @ (np.logaddexp(log_w[:, None], log_w) - np.log(2)) @ p - got) < 1e-8


def test_the_draws_of_the_sampled_bound_average_to_it(rng):
    vae = linear_vae(rng, 0.5, 1, logvar=0.3)
    x = vae.likelihood.sample(vae.decode(vae.noise(4, rng)), rng)
    draws = np.stack([log_likelihood(vae, x, rng, samples=5) for _ in range(400)])
    error = draws.std(axis=0, ddof=1) / 20
    assert np.max(np.abs(draws.mean(axis=0) - exact.expected_bound_by_quadrature(vae, x, 5)) / error) < 4.5


def test_two_latents_have_an_expected_bound_too(rng):
    vae = linear_vae(rng, 1.0, 2, logvar=-0.5)
    x = rng.standard_normal((1, D))
    levels = [exact.expected_bound_by_quadrature(vae, x, K)[0] for K in (1, 8)]
    assert abs(levels[0] - exact.elbo_by_quadrature(vae, x)[0]) < 1e-8
    assert levels[0] < levels[1] < log_p(vae, x)[0]


def test_with_the_exact_posterior_it_is_log_p_for_every_number_of_draws(rng):
    p = exact.ppca(rng.standard_normal((50, D)), 1)
    vae, x = exact.linear_vae(p), rng.standard_normal((2, D))
    for K in (1, 3, 1000):
        np.testing.assert_allclose(exact.expected_bound_by_quadrature(vae, x, K), p.log_density(x), rtol=1e-10)


# ---- pictures --------------------------------------------------------------------------------------------------------------------


def test_densities_on_a_grid_are_densities(rng):
    for Z in (1, 2):
        vae = linear_vae(rng, 0.7, Z)
        x = rng.standard_normal(D)
        axes = [np.linspace(-9, 9, 181), np.linspace(-8, 8, 161)][:Z]
        grid = exact.posterior_on_grid(vae, x, *axes)
        assert grid.q.shape == grid.prior.shape == grid.posterior.shape == (181, 161)[:Z]
        for density in (grid.prior, grid.q, grid.posterior):
            assert abs(density.sum() * 0.1**Z - 1) < 1e-9
        mu, logvar = vae.encode(x[None])
        mean = sum(a.sum() for a in [axes[0] * grid.q.reshape(181, -1).sum(axis=1)]) * 0.1**Z
        assert abs(mean - mu[0, 0]) < 1e-9  # the first latent runs along the first axis
        np.testing.assert_array_equal(exact.posterior_on_grid(vae, x[None], *axes).posterior, grid.posterior)
        z = np.stack([axis[[70] * Z] for axis in axes], axis=1)[:1]
        log_joint = -vae.likelihood.nll(vae.decode(z), x[None]) + np.log(grid.prior[(70,) * Z])
        assert abs(np.log(grid.posterior[(70,) * Z]) - (log_joint - log_p(vae, x[None]))[0]) < 1e-9


# ---- how it is computed ----------------------------------------------------------------------------------------------------------


def log_gaussian(z, mean, width):
    return -0.5 * np.sum(((z - mean) / width) ** 2 + np.log(2 * np.pi * width**2), axis=1)


def trapezoid_of(f, Z, tolerance=1e-8):
    low, h, shape = trapezoid.first_lattice(Z)
    return trapezoid.log_integral(f, f(low + h * np.argwhere(np.ones(shape, bool))).reshape(shape), tolerance)


def legendre_of(f, Z, tolerance=1e-8):
    return gauss_legendre.log_integral_and_mean(lambda z: (f(z), z[:, 0]), Z, tolerance)


@pytest.mark.parametrize("Z", [1, 2])
@pytest.mark.parametrize(("mean", "width"), [(0, 1), (-3.3, 0.01), (2.7, 1e-4), (30, 0.5), (-9.01, 0.3), (8, 2), (1, 6)])
def test_both_rules_know_the_integral_of_a_gaussian_of_any_place_and_width(Z, mean, width):
    """log of the integral: 0, and 3 with three nats more; its mean, too."""
    place = mean * np.arange(1, Z + 1) / Z

    def f(z):
        return 3 + log_gaussian(z, place, width)

    assert abs(trapezoid_of(f, Z) - 3) < 1e-9
    log_mass, first = legendre_of(f, Z)
    assert abs(log_mass - 3) < 1e-9 and abs(first - place[0]) < 1e-7


def test_a_peak_between_the_nodes_beside_a_broad_one_is_not_overlooked():
    """On the first lattice it is 300 nats below the broad peak, which seems stable. In truth it holds half of the integral."""
    step = 18 / 512
    narrow, broad = (3.5 * step, step / 50), (-4.0, 0.1)

    def f(z):
        return np.logaddexp(log_gaussian(z, *narrow), log_gaussian(z, *broad))

    on_nodes = f(np.array([[3.0 * step]])) - f(np.array([[-4.0]]))
    assert on_nodes < -250
    assert abs(trapezoid_of(f, 1) - np.log(2)) < 1e-9
    assert abs(legendre_of(f, 1)[0] - np.log(2)) < 1e-9


@pytest.mark.parametrize(("Z", "most"), [(1, 1500), (2, 50_000)])
def test_no_node_is_asked_twice_and_narrow_peaks_cost_little(Z, most):
    asked = []

    def f(z):
        asked.append(z)
        return log_gaussian(z, 0.3, 1e-3)

    assert abs(trapezoid_of(f, Z)) < 1e-9
    z = np.concatenate(asked)
    assert len(np.unique(z, axis=0)) == len(z) < most


def test_the_normal_mean_is_exact_for_moments_and_waves():
    assert abs(trapezoid.normal_mean(lambda e: e[:, 0] ** 4 + e[:, 0], 1, 1e-8) - 3) < 1e-12
    assert abs(trapezoid.normal_mean(lambda e: e[:, 0] ** 2 * e[:, 1] ** 4, 2, 1e-8) - 3) < 1e-12
    assert abs(trapezoid.normal_mean(lambda e: np.cos(20 * e[:, 0]) + 1, 1, 1e-8) - 1) < 1e-12
    wave = trapezoid.normal_mean(lambda e: np.cos(0.5 * e[:, 0] + e[:, 1]), 2, 1e-8)
    assert abs(wave - np.exp(-0.625)) < 1e-12


def test_rows_do_not_depend_on_each_other_nor_on_what_is_kept(rng, monkeypatch):
    vae, x = VAE.dense(D, (6,), 2, Gaussian(0.5), rng=rng), rng.random((3, D))
    before = vae.params.theta.copy(), x.copy()
    together = log_p(vae, x)
    np.testing.assert_array_equal(log_p(vae, x[1:2]), together[1:2])
    monkeypatch.setattr(quadrature, "KEPT", 0)
    monkeypatch.setattr(quadrature, "AT_ONCE", 100)
    np.testing.assert_allclose(log_p(vae, x[:1]), together[:1], rtol=1e-13)
    np.testing.assert_array_equal(vae.params.theta, before[0])
    np.testing.assert_array_equal(x, before[1])


def test_memory_stays_bounded(rng):
    """The decoder gives 17 million numbers for the first lattice of this model: 130 MB, if it were asked at once."""
    vae = VAE.dense(1024, (), 2, Gaussian(20.0), rng=rng)
    x = vae.sample(1, rng)
    tracemalloc.start()
    log_p(vae, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6, f"{peak / 1e6:.0f} MB"


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------

ALL = {
    "log_likelihood_by_quadrature": log_p,
    "elbo_by_quadrature": exact.elbo_by_quadrature,
    "kl_to_posterior": exact.kl_to_posterior,
    "expected_bound_by_quadrature": lambda vae, x, **options: exact.expected_bound_by_quadrature(vae, x, 3, **options),
    "posterior_on_grid": lambda vae, x, **options: exact.posterior_on_grid(vae, x[:1], np.zeros(3), **options),
}
each = pytest.mark.parametrize("name", ALL)


@each
def test_wrong_models_and_data_are_refused(rng, name):
    x = rng.random((2, D))
    vae = VAE.dense(D, (4,), 1, rng=rng)
    with pytest.raises(ValueError, match=r"the model has 3 latents; quadrature is for 1 or 2.*Use evaluation.log_likelihood"):
        ALL[name](VAE.dense(D, (), 3, rng=rng), x)
    with pytest.raises(TypeError, match="the model must be a VAE, got Autoencoder"):
        ALL[name](Autoencoder.dense(D, (), 1, rng=rng), x)
    with pytest.raises(ValueError, match=r"x has shape \(\d, 4\), expected \(B, 5\)"):
        ALL[name](vae, x[:, :4])
    with pytest.raises(ValueError, match="x holds integers from 0 to 3; scale them first"):
        ALL[name](vae, np.array([[0, 1, 2, 3, 0]]))
    with pytest.raises(ValueError, match="values outside"):
        ALL[name](vae, 2 * x + 1)
    with pytest.raises(NonFiniteError, match=r"x is nan at \[0, 0\]"):
        ALL[name](vae, x * np.nan)
    with pytest.raises(TypeError, match="condition is for a ConditionalVAE"):
        ALL[name](vae, x, condition=[1] if name == "posterior_on_grid" else [1, 0])
    with pytest.raises(ValueError, match="tolerance must be a positive number of nats, got 0"):
        ALL[name](vae, x, tolerance=0)
    with pytest.raises(TypeError, match="condition is missing"):
        ALL[name](ConditionalVAE.dense(D, (), 1, n_classes=2, rng=rng), x)


@each
def test_broken_models_are_named(rng, name):
    x = rng.random((2, D))
    vae = VAE.dense(D, (4,), 1, rng=rng)
    vae.decoder.layers[0].W[0, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"decoder.0.W is nan at \[0, 1\].*last good checkpoint"):
        ALL[name](vae, x)
    vae = VAE.dense(D, (4,), 1, rng=rng)
    vae.encoder.layers[-1].b[1] = 2000
    with pytest.raises(NonFiniteError, match="sigma is inf at .* the encoder's outputs leave the range of numbers"):
        ALL[name](vae, x)
    vae = VAE.dense(D, (4,), 1, Gaussian(1e-200), rng=rng)
    with pytest.raises(NonFiniteError, match=f"{name}.*: log p.x.z. is -inf at z = .*; the outputs leave the range of numbers"):
        ALL[name](vae, x)


def test_what_does_not_become_stable_is_told(rng, monkeypatch):
    vae = VAE.dense(D, (6,), 2, Gaussian(0.1), ReLU, rng=rng)
    vae.decoder.layers[0].b = rng.uniform(-1, 1, 6)
    x = vae.sample(1, rng)
    assert abs(gap(vae, x, tolerance=1e-4)) < 1e-3
    for rule in (trapezoid, gauss_legendre):
        monkeypatch.setattr(rule, "MOST_NODES", 2**18)
    for name in ("log_likelihood_by_quadrature", "elbo_by_quadrature", "kl_to_posterior"):
        with pytest.raises(ValueError, match=rf"{name}: row 0: .*not stable at the finest grid.*kinks \(ReLU\).*larger tolerance"):
            ALL[name](vae, x, tolerance=1e-15)
    far = linear_vae(rng, 0.3, 2)
    far.encoder.layers[0].W[:] = 0  # q(z|x) is near
    for function in (log_p, exact.kl_to_posterior):
        with pytest.raises(ValueError, match="row 0: p.x.z. p.z. has not died away at the edge of the widest grid"):
            function(far, far.decode(np.full((1, 2), 3e3)))


def test_wrong_samples_and_axes_are_refused(rng):
    vae, x = VAE.dense(D, (4,), 2, rng=rng), rng.random((2, D))
    with pytest.raises(ValueError, match="expected_bound_by_quadrature: samples must be at least 1, got 0"):
        exact.expected_bound_by_quadrature(vae, x, 0)
    with pytest.raises(TypeError, match="samples must be an integer, got 2.5"):
        exact.expected_bound_by_quadrature(vae, x, 2.5)
    with pytest.raises(ValueError, match=r"x has shape \(2, 5\), expected one example"):
        exact.posterior_on_grid(vae, x, np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="got 1 axes for 2 latents"):
        exact.posterior_on_grid(vae, x[0], np.zeros(3))
    with pytest.raises(ValueError, match=r"axis 1 has shape \(\), expected \(n,\)"):
        exact.posterior_on_grid(vae, x[0], np.zeros(3), 3.0)
    with pytest.raises(NonFiniteError, match="axis 0 is nan"):
        exact.posterior_on_grid(vae, x[0], np.array([np.nan]), np.zeros(2))
