"""The bounds against a linear-Gaussian VAE whose log p(x), ELBO and posterior are known in closed form; the latents' statistics.

In that model p(z) = N(0, I) and p(x|z) = N(z W + b, sigma^2 I), so p(x) = N(b, W^T W + sigma^2 I), and with orthogonal rows of W
the posterior p(z|x) has a diagonal covariance: the encoder can be exact, or wrong by a known amount.
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npvae.core import gaussian
from npvae.core.checks import NonFiniteError
from npvae.core.layers import Dense
from npvae.core.likelihoods import Gaussian
from npvae.core.numerics import logsumexp
from npvae.data import load_digits
from npvae.evaluation import active_units, bounds, elbo, kl_per_dimension, log_likelihood
from npvae.models import VAE, Autoencoder

D, Z, SIGMA = 5, 2, 0.6


def linear_vae(rng, shift=0.0, wider=1.0):
    """A VAE with linear networks; q(z|x) is the exact posterior, its mean moved by `shift`, its sigma times `wider`."""
    rotation, _ = np.linalg.qr(rng.standard_normal((D, Z)))
    W = rotation.T * np.array([[1.3], [0.7]])  # (Z, D), orthogonal rows
    b = rng.standard_normal(D)
    variance = 1 / (1 + np.sum(W**2, axis=1) / SIGMA**2)  # (Z,)
    V = W.T * variance / SIGMA**2  # (D, Z)    posterior mean = (x - b) V
    encoder, decoder = Dense(D, 2 * Z, rng=rng), Dense(Z, D, rng=rng)
    encoder.W = np.hstack([V, np.zeros((D, Z))])
    encoder.b = np.hstack([shift - b @ V, np.log(variance * wider**2)])
    decoder.W, decoder.b = W, b
    return VAE(encoder, decoder, Gaussian(SIGMA), Z)


def exact_log_p(vae, x):
    """log N(x; b, W^T W + sigma^2 I) of each row."""
    W, b = vae.decoder.layers[0].W, vae.decoder.layers[0].b
    C = W.T @ W + SIGMA**2 * np.eye(D)
    r = x - b
    return -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + np.sum(r @ np.linalg.inv(C) * r, axis=1))


def exact_elbo(vae, x):
    """E_q[ log p(x|z) ] - KL: the reconstruction at mu, less the trace of the noise that q adds to it."""
    mu, logvar = vae.encode(x)
    W = vae.decoder.layers[0].W
    at_mean = -vae.likelihood.nll(vae.decode(mu), x)
    trace = np.exp(logvar) @ np.sum(W**2, axis=1) / SIGMA**2
    return at_mean - 0.5 * trace - gaussian.kl_divergence(mu, logvar)


def digits_vae(rng, dtype=np.float64):
    return VAE.dense(64, (16,), 3, rng=rng, dtype=dtype)


def black_and_white(n):
    return (load_digits().train[:n] >= 8).astype(np.uint8)


# ---- the bounds ------------------------------------------------------------------------------------------------------------------


def test_with_the_exact_posterior_every_bound_is_log_p_for_every_sample(rng):
    vae = linear_vae(rng)
    x = 2 * rng.standard_normal((40, D))
    for samples in (1, 2, 7, 2000):
        np.testing.assert_allclose(log_likelihood(vae, x, rng, samples=samples), exact_log_p(vae, x), rtol=1e-12)
    np.testing.assert_allclose(exact_elbo(vae, x), exact_log_p(vae, x), rtol=1e-12)


def test_the_elbo_is_the_closed_form_in_expectation(rng):
    """Decoding the posterior mean would give far more; averaging a squared weight far less."""
    vae = linear_vae(rng, shift=0.4, wider=1.5)
    x = rng.standard_normal((30, D))
    draws = np.stack([elbo(vae, x, rng, samples=50) for _ in range(40)])  # (40, B)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.max(np.abs(draws.mean(axis=0) - exact_elbo(vae, x)) / error) < 5
    assert np.max(error) < 0.2
    mu, logvar = vae.encode(x)
    at_posterior_mean = -vae.likelihood.nll(vae.decode(mu), x) - gaussian.kl_divergence(mu, logvar)
    assert np.min((at_posterior_mean - draws.mean(axis=0)) / error) > 5  # the mistake this test is for


def test_l1_is_the_elbo_in_expectation_and_not_draw_by_draw(rng):
    vae = linear_vae(rng, shift=0.4, wider=1.5)
    x = rng.standard_normal((20, D))
    l1 = np.stack([log_likelihood(vae, x, rng, samples=1) for _ in range(4000)])
    error = l1.std(axis=0, ddof=1) / np.sqrt(len(l1))
    assert np.max(np.abs(l1.mean(axis=0) - exact_elbo(vae, x)) / error) < 5
    seed = 5
    assert not np.allclose(
        log_likelihood(vae, x, np.random.default_rng(seed), samples=1), elbo(vae, x, np.random.default_rng(seed))
    )  # the ELBO's KL is analytic


def mean_over_draws(bound, vae, x, draws, **options):
    """The mean over x of the bound, and its standard error over the draws."""
    values = np.array([bound(vae, x, np.random.default_rng(seed), **options).mean() for seed in range(draws)])
    return values.mean(), values.std(ddof=1) / np.sqrt(draws)


def assert_rising_to_log_p(bound, vae, x):
    """ELBO = L_1 < L_5 < L_50 <= log p, each gap beyond five standard errors."""
    levels = [mean_over_draws(bound, vae, x, 60, samples=K) for K in (1, 5, 50)]
    for (low, low_error), (high, high_error) in zip(levels, levels[1:]):
        assert high - low > 5 * np.hypot(low_error, high_error)
    (l50, error), log_p = levels[-1], exact_log_p(vae, x).mean()
    assert l50 < log_p + 3 * error
    assert log_p - l50 < 0.2 * (log_p - levels[0][0])


def test_the_bound_rises_with_the_samples_to_log_p_and_never_above(rng):
    assert_rising_to_log_p(log_likelihood, linear_vae(rng, shift=0.4, wider=1.5), rng.standard_normal((100, D)))


def test_the_mean_of_the_logs_and_the_weighted_surrogate_are_refused_as_bounds(rng):
    """Two known mistakes: (1/K) sum log w does not rise with K; sum of normalized w times log w overshoots log p."""

    def log_weights(vae, x, rng, samples):
        return np.stack([log_likelihood(vae, x, rng, samples=1) for _ in range(samples)])  # (K, B)

    def mean_of_logs(vae, x, rng, samples):
        return log_weights(vae, x, rng, samples).mean(axis=0)

    def surrogate(vae, x, rng, samples):
        log_w = log_weights(vae, x, rng, samples)
        return np.sum(np.exp(log_w - logsumexp(log_w, 0)) * log_w, axis=0)

    vae, x = linear_vae(rng, shift=0.4, wider=1.5), rng.standard_normal((100, D))
    for wrong in (mean_of_logs, surrogate):
        with pytest.raises(AssertionError):
            assert_rising_to_log_p(wrong, vae, x)


def test_l3_of_three_given_weights():
    """log w = (-1000.5, -999.25, -1003): a value that underflows without the shift; the mean of the logs is -1000.9167."""
    log_w = np.array([-1000.5, -999.25, -1003.0])
    assert abs(logsumexp(log_w, 0) - np.log(3) - -1000.0785679434228) < 1e-12

    class Given:
        """A likelihood that gives those three numbers, one a sample."""

        def nll(self, out, x):
            return -log_w[: len(out)]

        def check_data(self, x):
            pass

    vae = VAE(Dense(1, 2, rng=np.random.default_rng(0)), Dense(1, 1, rng=np.random.default_rng(0)), Gaussian(), 1)
    vae.encoder.layers[0].W = np.zeros((1, 2))  # q(z|x) = N(0, 1) = p(z): the weights are p(x|z)
    vae.likelihood = Given()
    bound = log_likelihood(vae, np.zeros((1, 1)), np.random.default_rng(0), samples=3)
    np.testing.assert_allclose(bound, [-1000.0785679434228], rtol=1e-15)


def test_it_is_log_p_of_the_bernoulli_decoder_by_quadrature(rng):
    """One latent: log p(x) by 4,000 points of the trapezoidal rule; L_K comes close from below.

    q is wider than the prior, so the weights have a small variance: L_K is good to about 1 / sqrt(K) = 0.007."""
    vae = VAE.dense(6, (4,), 1, rng=rng, dtype=np.float64)
    for layer in vae.decoder.layers[::2]:
        layer.W *= 2
    head = vae.encoder.layers[-1]
    head.W *= 0.3
    head.b = np.array([0.0, 0.3])
    x = rng.integers(0, 2, (8, 6))
    z = np.linspace(-9, 9, 4000)[:, None]
    out, zero = vae.decode(z), np.zeros_like(z)
    log_prior = gaussian.log_density(z, zero, zero) + np.log(z[1, 0] - z[0, 0])
    log_p = [logsumexp(log_prior - vae.likelihood.nll(out, np.broadcast_to(row, out.shape)), 0) for row in x.astype(float)]
    np.testing.assert_allclose(log_likelihood(vae, x, rng, samples=20_000), log_p, atol=0.03)
    assert np.all(elbo(vae, x, rng, samples=2000) < np.array(log_p) + 0.03)


# ---- how they are computed -------------------------------------------------------------------------------------------------------


@given(B=st.integers(1, 7), K=st.integers(1, 13), at_once=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_chunks_change_nothing(B, K, at_once, seed):
    vae = linear_vae(np.random.default_rng(seed), shift=0.3, wider=1.2)
    x = np.random.default_rng(seed).standard_normal((B, D))
    for bound in (elbo, log_likelihood):
        whole = bound(vae, x, np.random.default_rng(seed), samples=K)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounds, "AT_ONCE", 1024 * at_once)  # at_once samples a chunk
            parts = bound(vae, x, np.random.default_rng(seed), samples=K)
        np.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-12)


def test_each_example_gets_exactly_the_samples_asked_for(rng):
    """The generator is left where B K Z normal numbers leave it: K is neither rounded to a chunk nor raised to the batch size."""
    vae = linear_vae(rng)
    for bound in (elbo, log_likelihood):
        for B, K in ((3, 1), (1, 5), (4, 1025), (1100, 1), (2, 2049)):
            used, counted = np.random.default_rng(1), np.random.default_rng(1)
            bound(vae, np.zeros((B, D)), used, samples=K)
            counted.standard_normal(B * K * Z)
            assert used.random() == counted.random(), (bound.__name__, B, K)


def test_rows_do_not_depend_on_the_rows_after_them(rng):
    vae, x = digits_vae(rng), black_and_white(30)
    for bound in (elbo, log_likelihood):
        few = bound(vae, x[:4], np.random.default_rng(2), samples=20)
        np.testing.assert_allclose(few, bound(vae, x, np.random.default_rng(2), samples=20)[:4], rtol=1e-12)


def test_k_samples_are_k_draws_in_a_row(rng):
    """For one example: the ELBO is the mean, L_K the log-mean-exp, of K one-sample values off one generator, in float32 too."""
    K = 2500
    vae, x = digits_vae(rng, np.float32), black_and_white(1)
    for bound, combine in ((elbo, np.mean), (log_likelihood, lambda a: logsumexp(a, 0) - np.log(K))):
        one_by_one = np.random.default_rng(3)
        ones = np.concatenate([bound(vae, x, one_by_one, samples=1) for _ in range(K)])
        assert ones.std() > 0.01
        together = bound(vae, x, np.random.default_rng(3), samples=K)
        assert together.dtype == np.float64
        np.testing.assert_allclose(together, [combine(ones)], rtol=1e-6)


def test_float32_agrees_with_its_float64_twin_even_where_sigma_is_tiny(rng):
    """The noise is the same, and the weights keep their digits where (z - mu) / sigma has none left in float32."""
    vae = digits_vae(rng)
    bias = vae.encoder.layers[-1].b
    bias[:3], bias[3:] = 3.0, -30.0  # mu near 3, sigma near 3e-7: below the spacing of float32 at 3
    x = black_and_white(5)
    for bound in (elbo, log_likelihood):
        wide = bound(vae, x, np.random.default_rng(4), samples=50)
        narrow = bound(vae.astype(np.float32), x, np.random.default_rng(4), samples=50)
        np.testing.assert_allclose(narrow, wide, rtol=3e-6)


@pytest.mark.parametrize(("B", "K"), [(1, 60_000), (40_000, 1)])
def test_memory_stays_bounded_whatever_samples_and_rows(rng, B, K):
    vae = VAE.dense(64, (32,), 2, rng=rng)
    x = np.zeros((B, 64), np.float32)
    for bound in (elbo, log_likelihood):
        tracemalloc.start()
        bound(vae, x, rng, samples=K)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6e6, f"{bound.__name__}: {peak / 1e6:.1f} MB"  # all draws at once: over 40 MB


def test_evaluation_leaves_data_and_model_alone(rng):
    vae, x = digits_vae(rng), black_and_white(9).astype(float)
    before, theta = x.copy(), vae.params.theta.copy()
    elbo(vae, x, rng), log_likelihood(vae, x, rng, samples=3), active_units(vae, x), kl_per_dimension(vae, x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(vae.params.theta, theta)
    assert not np.any(vae.params.grad)


# ---- latents ---------------------------------------------------------------------------------------------------------------------


def linear_encoder(gains, logvar):
    """mu = x gains, logvar constant."""
    n = len(gains)
    encoder = Dense(n, 2 * n, rng=np.random.default_rng(0))
    encoder.W, encoder.b = np.hstack([np.diag(gains), np.zeros((n, n))]), np.hstack([np.zeros(n), logvar])
    return VAE(encoder, Dense(n, n, rng=np.random.default_rng(0)), Gaussian(), n)


def test_a_unit_is_active_if_its_mean_varies_by_more_than_a_hundredth(rng):
    x = rng.standard_normal((3000, 4))
    x = (x - x.mean(axis=0)) / x.std(axis=0) + [0, 5, 0, -3]  # variance 1; a mean of its own makes no unit active
    vae = linear_encoder(np.array([1.0, 0.099, 0.101, 0.0]), logvar=np.array([-3.0, -9.0, 0.0, -9.0]))
    np.testing.assert_array_equal(active_units(vae, x), [True, False, True, False])
    np.testing.assert_array_equal(active_units(vae, x, threshold=0.5), [True, False, False, False])
    assert active_units(vae, x).dtype == bool


def test_kl_per_dimension_is_the_mean_over_x_in_chunks_too(rng):
    vae, x = digits_vae(rng, np.float32), load_digits().floats("train")  # 1,437 rows: more than one chunk
    kl = kl_per_dimension(vae, x)
    mu, logvar = vae.astype(np.float64).encode(x)
    assert kl.shape == (3,) and kl.dtype == np.float64
    np.testing.assert_allclose(kl, gaussian.kl_per_dimension(mu, logvar).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(kl.sum(), gaussian.kl_divergence(mu, logvar).mean(), rtol=1e-5)


def test_a_collapsed_latent_has_no_kl_and_is_inactive():
    vae = linear_encoder(np.array([0.9, 0.0]), logvar=np.array([-2.0, 0.0]))
    x = np.random.default_rng(0).standard_normal((50, 2))
    assert kl_per_dimension(vae, x)[1] == 0 and kl_per_dimension(vae, x)[0] > 0.1
    assert not active_units(vae, x)[1]


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------

ALL = {
    "elbo": elbo,
    "log_likelihood": log_likelihood,
    "active_units": lambda vae, x, rng: active_units(vae, x),
    "kl_per_dimension": lambda vae, x, rng: kl_per_dimension(vae, x),
}


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_vae_is_refused(rng, name):
    autoencoder = Autoencoder.dense(64, (8,), 2, rng=rng)
    with pytest.raises(TypeError, match=f"{name}: the model must be a VAE, got Autoencoder. An autoencoder has no"):
        ALL[name](autoencoder, np.zeros((3, 64)), rng)
    with pytest.raises(TypeError, match=f"{name}: the model must be a VAE, got str"):
        ALL[name]("model.npz", np.zeros((3, 64)), rng)


@pytest.mark.parametrize("name", ALL)
def test_wrong_data_is_refused_before_any_work(rng, name):
    vae = digits_vae(rng)
    x = np.zeros((2000, 64))
    with pytest.raises(ValueError, match=r"x has shape \(3, 63\), expected \(B, 64\)"):
        ALL[name](vae, np.zeros((3, 63)), rng)
    with pytest.raises(ValueError, match="x holds integers from 0 to 16; scale them first"):
        ALL[name](vae, load_digits().train, rng)
    with pytest.raises(ValueError, match="x has no rows"):
        ALL[name](vae, x[:0], rng)
    x[1500, 3] = np.nan
    with pytest.raises(NonFiniteError, match=rf"{name}: x is nan at \[1500, 3\]"):
        ALL[name](vae, x, rng)
    x[1500, 3:5] = 1.5  # in the second chunk, yet counted at the door
    state = rng.bit_generator.state
    with pytest.raises(ValueError, match="2 of 128000 values outside"):
        ALL[name](vae, x, rng)
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("name", ALL)
def test_a_broken_model_is_named(rng, name):
    vae = digits_vae(rng, np.float32)
    vae.decoder.layers[0].W[1, 2] = np.nan
    with pytest.raises(NonFiniteError, match=rf"{name}: decoder.0.W is nan at \[1, 2\].*last good checkpoint"):
        ALL[name](vae, black_and_white(4), rng)
    vae = digits_vae(rng, np.float32)
    vae.encoder.layers[-1].W *= 1e38  # finite parameters, infinite outputs
    vae.encoder.layers[-1].W[:, 0] = 3e38
    with pytest.raises(NonFiniteError, match=f"{name}: .* leave the range of numbers"):
        ALL[name](vae, black_and_white(4), rng)


@pytest.mark.parametrize("bound", [elbo, log_likelihood])
def test_wrong_samples_and_generators_are_refused(rng, bound):
    vae, x = digits_vae(rng), black_and_white(2)
    with pytest.raises(ValueError, match=f"{bound.__name__}: samples must be at least 1, got 0"):
        bound(vae, x, rng, samples=0)
    with pytest.raises(TypeError, match="samples must be an integer, got 2.5"):
        bound(vae, x, rng, samples=2.5)
    with pytest.raises(TypeError, match="rng must be a numpy.random.Generator, got int; pass np.random.default_rng"):
        bound(vae, x, 0)
    with pytest.raises(TypeError, match="rng"):
        bound(vae, x)


def test_wrong_arguments_of_active_units(rng):
    vae = digits_vae(rng)
    with pytest.raises(ValueError, match="x has 1 row, and a variance over x needs at least 2"):
        active_units(vae, black_and_white(1))
    for wrong in (-1, "a", None, np.nan):
        with pytest.raises(ValueError, match="threshold must be a number of at least 0, got"):
            active_units(vae, black_and_white(5), threshold=wrong)


def test_zeros_and_ones_may_be_integers_floats_or_booleans(rng):
    vae, x = digits_vae(rng), black_and_white(3)
    values = [elbo(vae, a, np.random.default_rng(0)) for a in (x, x.astype(bool), x.astype(np.float32), x.astype(np.int64))]
    for value in values[1:]:
        np.testing.assert_array_equal(value, values[0])


def test_a_likelihood_of_ones_own_needs_no_check_of_the_data(rng):
    class Own(Gaussian):
        check_data = None

    vae = VAE(Dense(D, 2 * Z, rng=rng), Dense(Z, D, rng=rng), Own(), Z)
    assert np.all(np.isfinite(elbo(vae, np.full((2, D), 7.0), rng)))
