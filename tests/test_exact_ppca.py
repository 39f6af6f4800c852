"""Probabilistic PCA and the linear VAE: closed forms against published digits, literal formulas, and every neighbor being worse."""

import os
import pathlib
import tracemalloc

import numpy as np
import pytest

from npvae import VAE, Adam, Bernoulli, Chain, ConditionalVAE, Dense, Gaussian, Tanh, fit
from npvae.core import gaussian
from npvae.core.checks import NonFiniteError
from npvae.data import load_digits, load_fashion_mnist, load_mnist
from npvae.evaluation import elbo, exact
from npvae.training.schedules import cosine

DATA = pathlib.Path(os.environ.get("NPVAE_DATA", ""))

# all 1,797 digits, x = pixel / 16: sigma^2, log-likelihood, first posterior variances
DIGITS = {
    0: (0.07333244246598, -7.2039966990877, []),
    1: (0.06340348596125, -3.7484636280699, [0.09072459]),
    2: (0.05411698468049, 0.0057067249516, [0.07743645, 0.08466805]),
    5: (0.03619681192811, 8.9076366860631, [0.05179433, 0.05663127, 0.06538998, 0.09170632, 0.13337823]),
    10: (0.02275137234102, 17.4519470218778, [0.03255513, 0.03559537, 0.04110063, 0.05764167, 0.0838344]),
    20: (0.01127419726672, 27.2772999288681, [0.01613234, 0.0176389, 0.02036697, 0.02856371, 0.04154323]),
    30: (0.00564775009726, 34.1923613357167, [0.00808141, 0.00883612, 0.01020273, 0.01430884, 0.02081086]),
}
EIGENVALUES = [
    0.6988567, 0.63916657, 0.55355288, 0.39470357, 0.2713847, 0.23076419, 0.2025612, 0.17183833, 0.1573772, 0.14449688, 0.11134051,
    0.10666393,
]  # fmt: skip


def digits():
    data = load_digits()
    return np.concatenate([data.train, data.test]) / 16


def small(rng, N=40, D=5):
    """Rows with a mean and a covariance without symmetry."""
    return rng.standard_normal((N, D)) @ rng.uniform(-1, 1, (D, D)) + rng.uniform(-3, 3, D)


def log_normal(x, mean, C):
    """log N(x; mean, C) of each row, literally."""
    r = x - mean
    return -0.5 * (x.shape[1] * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + np.sum(r @ np.linalg.inv(C) * r, axis=1))


# ---- pPCA ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", DIGITS)
def test_the_digits_to_all_known_digits(q):
    sigma2, log_likelihood, variances = DIGITS[q]
    p = exact.ppca(digits(), q)
    assert abs(p.sigma2 - sigma2) < 0.6e-14
    assert abs(p.log_likelihood - log_likelihood) < 2e-13
    np.testing.assert_allclose(p.variances[: len(variances)], variances, rtol=0, atol=0.6e-8)
    np.testing.assert_allclose(p.eigenvalues[:12], EIGENVALUES, rtol=0, atol=0.6e-8)
    assert abs(p.mean.mean() - 0.30526028624) < 1e-11 and p.W.shape == (q, 64) and isinstance(p.log_likelihood, float)


@pytest.mark.slow
@pytest.mark.parametrize("load, name, sigma2, table, eigenvalues, mean, trace", [
    (load_mnist, "mnist", [0.06725132, 0.06080236, 0.05609580, 0.03486734, 0.02459713, 0.01259605],
     [-54.314911, -17.014479, 12.427659, 182.154681, 299.758428, 507.905384],
     [5.116788, 3.741328, 3.252654, 2.841573, 2.567075], 0.1306604763, 52.725035),
    (load_fashion_mnist, "fashion-mnist", [0.08701054, 0.06182220, 0.04641276, 0.02468580, 0.01918792, 0.01276112],
     [-155.291197, -24.203500, 85.252742, 314.806101, 396.761410, 513.860241],
     [19.809476, 12.112009, 4.106088, 3.381772, 2.624726], 0.2860405970, 68.216261),
], ids=["mnist", "fashion"])  # fmt: skip
def test_mnist_and_fashion_to_all_known_digits(load, name, sigma2, table, eigenvalues, mean, trace):
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not on this machine; set NPVAE_DATA")
    x = load().floats("train", np.float64)
    p = exact.ppca(x, 50)
    assert abs(p.sigma2 - sigma2[-1]) < 0.6e-8 and abs(p.log_likelihood - table[-1]) < 0.6e-6
    assert abs(p.log_density(x[:20_000]).sum() + p.log_density(x[20_000:]).sum() - 60_000 * p.log_likelihood) < 1e-4
    np.testing.assert_allclose(p.eigenvalues[:5], eigenvalues, rtol=0, atol=0.6e-6)
    assert abs(p.mean.mean() - mean) < 1e-10 and abs(p.eigenvalues.sum() - trace) < 0.6e-6
    lam = p.eigenvalues
    for q, s, log_likelihood in zip((0, 1, 2, 10, 20), sigma2, table):  # the other rows follow from the same eigenvalues
        assert abs(lam[q:].mean() - s) < 0.6e-8
        log_det = np.log(lam[:q]).sum() + (784 - q) * np.log(lam[q:].mean())
        assert abs(-0.5 * (784 * np.log(2 * np.pi) + log_det + 784) - log_likelihood) < 0.6e-6


@pytest.mark.parametrize("q", [0, 1, 3, 4])
def test_density_and_posterior_are_those_of_the_gaussian_model(rng, q):
    x = small(rng)
    p = exact.ppca(x, q)
    C = p.W.T @ p.W + p.sigma2 * np.eye(5)
    new = 3 * rng.standard_normal((7, 5))
    np.testing.assert_allclose(p.log_density(new), log_normal(new, p.mean, C), rtol=1e-12)
    assert abs(p.log_density(x).mean() - p.log_likelihood) < 1e-13 * abs(p.log_likelihood)
    mu, logvar = p.posterior(new)
    covariance = np.linalg.inv(np.eye(q) + p.W @ p.W.T / p.sigma2)
    np.testing.assert_allclose(mu, (new - p.mean) @ p.W.T @ covariance / p.sigma2, rtol=1e-11, atol=1e-13)
    assert mu.shape == logvar.shape == (7, q)
    np.testing.assert_allclose(np.exp(logvar), np.broadcast_to(np.diag(covariance), (7, q)), rtol=1e-12)


def test_every_other_gaussian_of_the_family_is_worse(rng):
    x = small(rng)
    p = exact.ppca(x, 2)
    for _ in range(30):
        W, mean = p.W + 0.1 * rng.standard_normal(p.W.shape), p.mean + 0.1 * rng.standard_normal(5)
        sigma2 = p.sigma2 * np.exp(0.1 * rng.standard_normal())
        assert log_normal(x, mean, W.T @ W + sigma2 * np.eye(5)).mean() < p.log_likelihood


def test_directions_are_orthogonal_descending_and_of_fixed_sign(rng):
    x = small(rng)
    p = exact.ppca(x, 3)
    gram = p.W @ p.W.T
    np.testing.assert_allclose(gram, np.diag(p.eigenvalues[:3] - p.sigma2), atol=1e-14)
    assert np.all(np.diff(p.eigenvalues) < 0) and np.all(np.diff(np.diag(gram)) < 0)
    largest = np.abs(p.W).argmax(axis=1)
    assert np.all(p.W[np.arange(3), largest] > 0)
    mirrored = exact.ppca(2 * p.mean - x, 3)  # the same covariance
    np.testing.assert_allclose(mirrored.W, p.W, atol=1e-13)


def test_the_covariance_is_that_of_all_rows_in_whatever_order_and_number(rng):
    """More rows than are taken at a time; dividing by N, so that copies of all rows change nothing."""
    x = small(rng, N=2500)
    p = exact.ppca(x, 2)
    np.testing.assert_allclose(p.eigenvalues, np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1], rtol=1e-12)
    for other in (x[::-1], np.concatenate([x, x])):
        np.testing.assert_allclose(exact.ppca(other, 2).W, p.W, rtol=0, atol=1e-13)
        assert abs(exact.ppca(other, 2).log_likelihood - p.log_likelihood) < 1e-12


def test_a_tiny_sigma_keeps_its_digits(rng):
    """Eigenvalues of the covariance itself are good to 1e-16 of the largest: sigma^2 = 1e-14 would have two digits."""
    z, noise = rng.standard_normal((200, 1)), rng.standard_normal((200, 3))
    z, noise = z - z.mean(), noise - noise.mean(axis=0)
    noise -= z @ (z.T @ noise) / (z.T @ z)  # uncorrelated with z: the eigenvalues are those of the parts
    rotation, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    x = np.hstack([z, 1e-7 * noise]) @ rotation
    want = 1e-14 * np.trace(noise.T @ noise / 200) / 3
    p = exact.ppca(x, 1)
    assert abs(p.sigma2 / want - 1) < 1e-7
    assert abs(p.log_density(x).mean() - p.log_likelihood) < 1e-6
    by_covariance = np.linalg.eigvalsh(np.cov(x.T, bias=True))[:3].mean()
    assert abs(by_covariance / want - 1) > 1e-4


@pytest.mark.parametrize(("q", "ratio"), [(2, 1e-6), (3, 1e-9), (4, 1e-11), (2, 1e-15)])
def test_what_rounding_costs_where_sigma_is_tiny_is_as_the_docstring_says(rng, q, ratio):
    """Scales from 1e8 to 1e-6, or two directions and noise: log_density averages to log_likelihood, but for its rounding."""
    scales = 10 ** np.linspace(8, -6, 6) if ratio > 1e-15 else np.array([3.0, 1, *np.full(4, 3e-15)])
    x = rng.standard_normal((50, 6)) * scales @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    p = exact.ppca(x, q)
    spread = np.linalg.norm(x - p.mean, axis=1).max()
    assert ratio / 30 < np.sqrt(p.sigma2) / spread < 30 * ratio
    assert abs(p.log_density(x).mean() - p.log_likelihood) < 6 * 2.3e-16 * spread / np.sqrt(p.sigma2)


def test_memory_for_many_rows_stays_bounded(rng):
    x = rng.standard_normal((20_000, 16)).astype(np.float32)
    tracemalloc.start()
    exact.ppca(x, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5e6, f"{peak / 1e6:.1f} MB"  # in float64, all rows at once would be 2.6 MB, several times


def test_inputs_and_dtypes(rng):
    """float32 rows are computed in float64; zeros and ones may be integers or booleans; nothing is written into x."""
    x = small(rng).astype(np.float32)
    before = x.copy()
    p, wide = exact.ppca(x, 2), exact.ppca(x.astype(np.float64), 2)
    assert p.W.dtype == p.mean.dtype == p.eigenvalues.dtype == np.float64
    np.testing.assert_array_equal(p.W, wide.W)
    np.testing.assert_array_equal(x, before)
    bits = rng.integers(0, 2, (30, 4))
    for other in (bits.astype(bool), bits.astype(np.float32), bits.astype(np.uint8)):
        assert exact.ppca(other, 1).log_likelihood == exact.ppca(bits, 1).log_likelihood


def test_equal_eigenvalues_leave_a_latent_without_weight():
    x = np.concatenate([np.eye(3), -np.eye(3)])
    p = exact.ppca(x, 1)
    np.testing.assert_allclose(p.eigenvalues, 1 / 3, rtol=1e-15)
    np.testing.assert_allclose(p.W, 0, atol=1e-7)
    np.testing.assert_allclose(p.posterior(x)[1], 0, atol=1e-14)


# ---- the linear VAE --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1, 2, 5, 30])
def test_the_linear_vae_at_its_optimum_has_the_log_likelihood_as_its_elbo(q):
    x = digits()
    p = exact.ppca(x, q)
    vae = exact.linear_vae(p)
    np.testing.assert_allclose(exact.linear_elbo(vae, x), p.log_density(x), rtol=0, atol=1e-11)
    assert abs(exact.linear_elbo(vae, x).mean() - p.log_likelihood) < 1e-12
    for got, want in zip(vae.encode(x), p.posterior(x)):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    assert vae.likelihood.learn and abs(vae.likelihood.config()["sigma"] ** 2 - p.sigma2) < 1e-15


def test_at_five_latents_the_elbo_splits_as_known():
    x = digits()
    vae = exact.linear_vae(exact.ppca(x, 5))
    kl = gaussian.kl_divergence(*vae.encode(x)).mean()
    assert abs(kl - 6.481392622855) < 1e-12
    assert abs(exact.linear_elbo(vae, x).mean() + kl - 15.389029308918) < 1e-12
    at_mean = -vae.likelihood.nll(vae.decode(vae.encode(x)[0]), x).mean() - kl
    assert abs(at_mean - 11.208) < 5e-4  # what decoding the posterior mean alone would give: above the log-likelihood


def test_every_other_linear_vae_is_worse(rng):
    """Also with another sigma, another encoder, and other variances: the maximum over all parameters is pPCA."""
    x = small(rng)
    p = exact.ppca(x, 2)
    vae = exact.linear_vae(p)
    best = vae.params.theta.copy()
    for i in [*range(vae.params.size), *[None] * 20]:
        step = 1e-3 * rng.standard_normal(vae.params.size) if i is None else 1e-3 * np.eye(vae.params.size)[i]
        vae.params.theta = best + step
        assert exact.linear_elbo(vae, x).mean() < p.log_likelihood - 1e-9


def test_linear_elbo_is_the_elbo_of_any_encoder(rng):
    """By quadrature, which knows nothing of linearity, and in expectation over draws; learned and fixed sigma, with labels, too."""
    x, labels = small(rng), rng.integers(0, 3, 40)
    for Z in (1, 2):
        encoder = Chain([Dense(5, 4, rng=rng), Tanh(), Dense(4, 2 * Z, rng=rng)])
        vae = VAE(encoder, Dense(Z, 5, rng=rng), Gaussian(0.7, learn=Z == 1), Z)
        np.testing.assert_allclose(exact.linear_elbo(vae, x), exact.elbo_by_quadrature(vae, x), rtol=1e-11)
    told = ConditionalVAE.dense(5, (), 2, Gaussian(0.5), n_classes=3, rng=rng, dtype=np.float64)
    closed = exact.linear_elbo(told, x, condition=labels)
    np.testing.assert_allclose(closed, exact.elbo_by_quadrature(told, x, condition=labels), rtol=1e-11)
    draws = np.stack([elbo(vae, x, rng) for _ in range(400)])
    error = draws.std(axis=0, ddof=1) / 20
    assert np.max(np.abs(draws.mean(axis=0) - exact.linear_elbo(vae, x)) / error) < 5


def test_a_float32_linear_vae_is_measured_in_float64(rng):
    x = np.tile(small(rng), (60, 1))  # more rows than are taken at a time
    p = exact.ppca(x, 2)
    vae = exact.linear_vae(p, dtype=np.float32)
    got = exact.linear_elbo(vae, x)
    assert vae.dtype == np.float32 and got.dtype == np.float64
    np.testing.assert_allclose(got, p.log_density(x), rtol=0, atol=2e-4)
    np.testing.assert_array_equal(got, exact.linear_elbo(vae.astype(np.float64), x))


# ---- collapse --------------------------------------------------------------------------------------------------------------------


def test_how_many_latents_of_the_digits_stay_active():
    lam = exact.ppca(digits(), 0).eigenvalues
    counts = {0.5: 3, 0.2: 7, 0.1: 12, 0.05: 18, 0.02: 30, 0.01: 39}
    assert {sigma2: int(exact.active_latents(lam, sigma2).sum()) for sigma2 in counts} == counts
    np.testing.assert_array_equal(exact.active_latents(lam, 0.1, beta=5), exact.active_latents(lam, 0.5))
    np.testing.assert_array_equal(exact.active_latents([3.0, 2.0, 1.0], 2.0), [True, False, False])  # worth the noise: not active
    assert exact.active_latents(lam, 0.5).dtype == bool


@pytest.mark.parametrize(("q", "sigma2", "beta"), [(2, 0.05, 1.0), (5, 0.3, 2.0), (10, 0.1, 0.5), (64, 0.2, 1.0), (1, 2.0, 1.0)])
def test_rate_and_distortion_are_those_of_the_vae_made_from_the_optimum(q, sigma2, beta):
    x = digits()
    best = exact.linear_optimum(x, q, sigma2, beta)
    vae = exact.linear_vae(best)
    mu, logvar = vae.encode(x)
    kl = gaussian.kl_divergence(mu, logvar)
    assert abs(kl.mean() - best.rate) < 1e-11
    assert abs(exact.linear_elbo(vae, x).mean() - best.elbo) < 1e-11
    assert abs(best.elbo + best.rate + best.distortion) < 1e-12
    np.testing.assert_array_equal(best.active, best.eigenvalues[:q] > beta * sigma2)
    np.testing.assert_array_equal(np.linalg.norm(best.W, axis=1) > 0, best.active)
    np.testing.assert_array_equal(np.var(mu, axis=0) > 1e-20, best.active)
    assert np.all(best.variances[~best.active] == 1)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_every_other_linear_beta_vae_has_a_larger_loss(rng, beta):
    x = small(rng)
    lam = exact.ppca(x, 0).eigenvalues
    best = exact.linear_optimum(x, 3, (lam[1] + lam[2]) / 2 / beta, beta)
    assert best.active.sum() == 2  # one of the latents collapsed
    vae = exact.linear_vae(best)
    theta, free = vae.params.theta.copy(), vae.params.size - 1  # sigma, the last parameter, is held fixed
    for _ in range(40):
        vae.params.theta = theta + np.append(1e-3 * rng.standard_normal(free), 0)
        rate = gaussian.kl_divergence(*vae.encode(x)).mean()
        assert -exact.linear_elbo(vae, x).mean() + (beta - 1) * rate > best.distortion + beta * best.rate + 1e-10


def test_the_optimum_at_the_sigma_of_ppca_is_ppca():
    x = digits()
    p = exact.ppca(x, 5)
    best = exact.linear_optimum(x, 5, p.sigma2)
    assert abs(best.elbo - p.log_likelihood) < 1e-12
    np.testing.assert_allclose(best.W, p.W, atol=1e-14)
    assert abs(best.rate - 6.481392622855) < 1e-12 and abs(best.distortion + 15.389029308918) < 1e-12


def test_the_slope_of_the_rate_distortion_curve_is_minus_beta():
    """At fixed sigma^2; and with all D latents the rate is Shannon's: 1/2 log2(lambda / level) bits above the water level."""
    x = digits()
    for beta in (0.5, 1.0, 4.0):
        low, high = (exact.linear_optimum(x, 10, 0.05, beta * (1 + h)) for h in (-1e-4, 1e-4))
        assert abs((high.distortion - low.distortion) / (high.rate - low.rate) + beta) < 1e-6 * beta
    best = exact.linear_optimum(x, 64, 0.1)
    lam = best.eigenvalues
    assert abs(best.rate - np.sum(0.5 * np.log(np.maximum(lam / 0.1, 1)))) < 1e-12
    squared_error = 2 * 0.1 * (best.distortion - 32 * np.log(2 * np.pi * 0.1))
    assert abs(squared_error - np.sum(np.minimum(lam, 0.1))) < 1e-12


# ---- trained ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("q", [2, 5])
def test_plain_training_reaches_the_closed_form_within_a_hundredth_of_a_nat(q):
    x, rng = digits(), np.random.default_rng(0)
    vae = VAE.dense(64, (), q, Gaussian(learn=True), rng=rng)
    fit(vae, x, optimizer=Adam(), epochs=2000, batch_size=128, rng=rng, lr=cosine(0.01))
    gap = exact.ppca(x, q).log_likelihood - exact.linear_elbo(vae, x).mean()
    assert 0 < gap < 0.01


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------


def test_wrong_rows_are_refused(rng):
    x = small(rng)
    for call in (lambda x: exact.ppca(x, 1), lambda x: exact.linear_optimum(x, 1, 0.5), exact.ppca(x, 1).log_density):
        with pytest.raises(ValueError, match="x holds integers from 0 to 16; scale them first, e.g. x / 16"):
            call(load_digits().train)
        with pytest.raises(ValueError, match=r"x has shape \(5,\), expected \(N, D\)"):
            call(x[0])
        with pytest.raises(ValueError, match=r"x has shape \(0, 5\): there is nothing in it"):
            call(x[:0])
        with pytest.raises(TypeError, match="x must be an array of floats, got <U"):
            call(np.array([["a", "b"]]))
        with pytest.raises(TypeError, match="x must be an array of floats, got complex128"):
            call(x.astype(complex))
        broken = x.copy()
        broken[7, 2] = np.nan
        with pytest.raises(NonFiniteError, match=r"x is nan at \[7, 2\]"):
            call(broken)
    with pytest.raises(ValueError, match=r"PPCA.posterior: x has shape \(40, 4\), expected \(B, 5\)"):
        exact.ppca(x, 1).posterior(x[:, :4])
    with pytest.raises(ValueError, match="x has 1 row, and a covariance needs at least 2"):
        exact.ppca(x[:1], 0)
    for scale in (1e200, 1e-200):
        with pytest.raises(ValueError, match="whose square leaves the range of numbers; rescale x"):
            exact.ppca(scale * x, 1)


def test_wrong_numbers_of_latents_are_refused(rng):
    x = small(rng)
    for q in (-1, 5):
        with pytest.raises(ValueError, match=rf"ppca: q must be from 0 to D - 1 = 4, got {q}"):
            exact.ppca(x, q)
    for q in (1.0, True, None):
        with pytest.raises(TypeError, match=f"q must be an integer, got {q}"):
            exact.ppca(x, q)
    assert exact.linear_optimum(x, 5, 0.5).W.shape == (5, 5)
    with pytest.raises(ValueError, match="linear_optimum: q must be from 0 to D = 5, got 6"):
        exact.linear_optimum(x, 6, 0.5)


def test_a_likelihood_without_bound_is_refused(rng):
    flat = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 5)) + 7
    for x in (flat, flat.astype(np.float32)):
        assert np.isfinite(exact.ppca(x, 1).log_likelihood)
        with pytest.raises(ValueError, match="with q = 2, sigma.2 = 0 .*rows span 2 dimensions about their mean.*choose q < 2"):
            exact.ppca(x, 2)
    with pytest.raises(ValueError, match="all rows are equal.*nothing to learn"):
        exact.ppca(np.full((10, 3), 0.1), 0)
    with pytest.raises(ValueError, match="span 1 dimension about"):  # two rows make a line
        exact.ppca(small(rng, N=2), 1)


def test_wrong_models_and_variances_are_refused(rng):
    x = small(rng)
    with pytest.raises(ValueError, match="a VAE has at least 1 latent, and this optimum has q = 0"):
        exact.linear_vae(exact.ppca(x, 0))
    with pytest.raises(TypeError, match="expected what ppca or linear_optimum returns, got int"):
        exact.linear_vae(3)
    with pytest.raises(TypeError, match="must be one Dense layer.*got Dense - Tanh - Dense and Gaussian.*elbo_by_quadrature"):
        exact.linear_elbo(VAE.dense(5, (4,), 2, Gaussian(), rng=rng), x)
    with pytest.raises(TypeError, match="got Dense and Bernoulli"):
        exact.linear_elbo(VAE.dense(5, (), 2, Bernoulli(), rng=rng), rng.random((3, 5)))
    with pytest.raises(TypeError, match="linear_elbo: the model must be a VAE, got PPCA"):
        exact.linear_elbo(exact.ppca(x, 1), x)
    for value in (0, -1.0, np.nan, np.inf, "1", True):
        for name in ("sigma2", "beta"):
            arguments = {"sigma2": 0.5, "beta": 1.0, name: value}
            with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, got"):
                exact.linear_optimum(x, 1, **arguments)
            with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, got"):
                exact.active_latents([1.0, 0.5], **arguments)
    with pytest.raises(ValueError, match="beta sigma2 must be a finite number above 0, got 0.0"):
        exact.linear_optimum(x, 1, 1e-200, 1e-200)
    with pytest.raises(ValueError, match=r"eigenvalues has shape \(1, 2\), expected \(D,\)"):
        exact.active_latents([[1.0, 0.5]], 0.1)
