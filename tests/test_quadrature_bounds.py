"""E L_K by quadrature where the importance weights are thousands of nats apart or the draws a billion; narrow posteriors on a grid;
arguments that are refused."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from npvae import VAE, Dense, Gaussian
from npvae.core.checks import NonFiniteError
from npvae.core.numerics import logsumexp
from npvae.evaluation import exact, trapezoid

log_p, elbo, expected_bound = exact.log_likelihood_by_quadrature, exact.elbo_by_quadrature, exact.expected_bound_by_quadrature
X = np.array([[0.3, 0.1]])


def linear(logvar, W=((1, 2),), sigma=0.5):
    """A linear decoder, whose q(z|x) is N(0.2, e^logvar) for every x."""

    def dense(W, b):
        return Dense(*W.shape, rng=np.random.default_rng(0), init=lambda *_: (W, b))

    Z = len(W)
    head = np.append(np.full(Z, 0.2), np.broadcast_to(logvar, Z))
    return VAE(dense(np.zeros((2, 2 * Z)), head), dense(np.array(W, float), np.zeros(2)), Gaussian(sigma), Z)


# ---- E L_K -----------------------------------------------------------------------------------------------------------------------


def bound_of_two(vae, n):
    """E L_2 over all pairs of n nodes: E max + E log(1 + e^-|difference|) - log 2."""
    (mu,), (logvar,) = (a[0] for a in vae.encode(X))
    eps = np.linspace(-9, 9, n)
    z, p = mu + np.exp(logvar / 2) * eps, np.exp(-(eps**2) / 2)
    a = -vae.likelihood.nll(vae.decode(z[:, None]), np.tile(X, (n, 1))) - z**2 / 2 + eps**2 / 2 + logvar / 2
    order = np.argsort(a)
    a, p = a[order], p[order] / p.sum()
    soft = 0.0
    for i in range(0, n, 64):
        near = slice(*np.searchsorted(a, (a[i] - 45, a[i : i + 64][-1] + 45)))
        soft += p[i : i + 64] @ np.log1p(np.exp(-np.abs(a[i : i + 64, None] - a[near]))) @ p[near]
    return np.sum(a * p * (2 * np.cumsum(p) - p)) + soft - math.log(2)


@pytest.mark.parametrize(("logvar", "n"), [(0.0, 2049), (2.0, 8193)])
def test_weights_thousands_of_nats_apart_are_averaged_right(logvar, n):
    """At logvar = 2 they differ by 6,000 nats; the sums over every other of 1,025 nodes agree on a result that is off by 3e-6."""
    assert abs(expected_bound(linear(logvar), X, 2)[0] - bound_of_two(linear(logvar), n)) < 1e-8


@pytest.mark.parametrize("K", [1, 2, 5])
def test_for_few_different_weights_it_is_the_sum_over_all_draws(K):
    a, p = np.array([40.0, -900.0, 0.0, -3.0]), np.array([0.01, 0.2, 0.39, 0.4])
    total = 0.0
    for draws in itertools.product(range(4), repeat=K):
        total += np.prod(p[list(draws)]) * logsumexp(a[list(draws)], 0)
    assert abs(trapezoid._log_mean(a, p, K) - total + math.log(K)) < 1e-12


@pytest.mark.parametrize("K", [10**3, 10**6, 10**9])
def test_for_many_draws_of_two_weights_it_is_the_sum_over_how_many_are_large(K):
    """The number of draws of the large one is binomial."""
    p, w = 1e-4 if K < 10**9 else 3e-8, math.exp(10)
    n = np.arange(0, int(K * p + 15 * math.sqrt(K * p) + 30))
    n = n[n <= K]
    log_choose = np.array([math.lgamma(K + 1) - math.lgamma(i + 1) - math.lgamma(K - i + 1) for i in n])
    if K > 10**6:  # lgamma of large numbers has no digits left; Poisson's limit is off by K p^2 = 1e-6 of it
        log_choose = np.array([i * math.log(K) - math.lgamma(i + 1) for i in n])
    binomial = np.exp(log_choose + n * math.log(p) + (K - n) * math.log1p(-p))
    truth = np.sum(binomial / binomial.sum() * np.log((n * w + K - n) / K))
    assert abs(trapezoid._log_mean(np.array([0.0, 10.0]), np.array([1 - p, p]), K) - truth) < 1e-9


def test_it_rises_to_log_p_up_to_the_largest_number_of_draws():
    for vae, Ks in ((linear(1.0), (1, 3, 100, 10**5, 10**9)), (linear([-0.5, 0.0], [[1, 2], [0.5, -1]], 2.0), (1, 10**9))):
        levels = [expected_bound(vae, X, K)[0] for K in Ks]
        assert np.all(np.diff(levels) > 0) and abs(levels[0] - elbo(vae, X)[0]) < 1e-9
        assert -1e-9 < log_p(vae, X)[0] - levels[-1] < 2e-8


def test_a_single_draw_has_the_elbos_rule_however_wide_q_is():
    for logvar in (6.0, 12.0):
        vae = linear(logvar)
        assert abs(expected_bound(vae, X, 1)[0] / elbo(vae, X)[0] - 1) < 1e-12
    with pytest.raises(ValueError, match=r"row 0: the importance weights of q\(z\|x\) are spread over 1.4e\+08 nats, too many"):
        expected_bound(linear(12.0), X, 2)


def test_too_many_draws_are_refused():
    for K, came in ((2 * 10**9, "10^9.30"), (10**400, "10^400.00"), (10**5000, "10^5000.00")):
        with pytest.raises(ValueError, match=f"samples must be at most 10.9, got {came.replace('^', '.')}; .*9 sigma"):
            expected_bound(linear(0.0), X, K)


# ---- pictures and arguments ------------------------------------------------------------------------------------------------------


def test_a_narrow_q_on_a_grid():
    axis = np.array([0.0, 0.2, 0.4])
    drawn = exact.posterior_on_grid(linear(-1400.0), X, axis)
    assert np.all(np.isfinite(drawn.posterior)) and drawn.q[1] > 1e300 and drawn.q[0] == drawn.q[2] == 0
    with pytest.raises(NonFiniteError, match=r"posterior_on_grid: 1 / sigma is inf at \[0\].*too narrow to be drawn"):
        exact.posterior_on_grid(linear(-1500.0), X, axis)
    vae = linear(-1500.0)  # the numbers exist all the same
    assert abs(log_p(vae, X)[0] - elbo(vae, X)[0] - exact.kl_to_posterior(vae, X)[0]) < 1e-8


def test_each_latent_of_the_grid_has_its_own_sigma():
    q = exact.posterior_on_grid(linear([-1.0, 2.0], [[1, 2], [0.5, -1]]), X, np.array([0.2, 0.9]), np.array([-1.0, 0.2])).q
    sigma = np.exp([-0.5, 1.0])
    for (i, z0), (j, z1) in itertools.product(enumerate([0.2, 0.9]), enumerate([-1.0, 0.2])):
        want = math.exp(-0.5 * (((z0 - 0.2) / sigma[0]) ** 2 + ((z1 - 0.2) / sigma[1]) ** 2)) / (2 * math.pi * np.prod(sigma))
        assert abs(q[i, j] / want - 1) < 1e-12


def test_wrong_tolerances_and_complex_models_are_refused():
    vae = linear(0.0)
    for function in (log_p, elbo, exact.kl_to_posterior, exact.linear_elbo):
        with pytest.raises(TypeError, match="the model is complex128; densities are for real parameters"):
            function(vae.astype(np.complex128), X)
        if function is not exact.linear_elbo:
            with pytest.raises(ValueError, match="tolerance must be a positive number of nats, got True"):
                function(vae, X, tolerance=True)


def test_memory_of_many_weights_stays_bounded(rng):
    log_w, p = 3000 * rng.standard_normal(40_000), np.full(40_000, 1 / 40_000)
    tracemalloc.start()
    trapezoid._log_mean(log_w, p, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6, f"{peak / 1e6:.0f} MB"  # at once: 40,000 x 164 numbers, 50 MB each of several times
