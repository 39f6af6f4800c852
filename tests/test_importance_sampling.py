"""L_K as an estimate: its error over the draws, effective samples, threads that change no digit, the line that tells the cost."""

import io
import math
import tracemalloc

import numpy as np
import pytest
from exact import bernoulli_nll
from hypothesis import given
from strategies import seeds

from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.evaluation import bounds
from npvae.evaluation.bounds import elbo, importance_sampling, log_likelihood, nll
from npvae.evaluation.progress import Progress
from npvae.models import VAE


class Weighted:
    """A likelihood whose log p(x|z_k) are given numbers, one after the other; with q = p they are the log-weights."""

    def __init__(self, log_w):
        self.log_w = iter(log_w)

    def nll(self, out, x):
        return -np.array([next(self.log_w) for _ in x])


def prior_posterior(rng, log_w):
    """A model of one pixel with q(z|x) = p(z) whose importance weights are those given."""
    vae = VAE.dense(1, (), 1, rng=rng, dtype=np.float64)
    vae.params.theta[...] = 0
    vae.likelihood = Weighted(log_w)
    return vae


def black_and_white(rng, n=7, D=12):
    return (rng.random((n, D)) < 0.4).astype(np.float32)


def test_effective_samples_and_error_are_those_of_the_printed_formulas(rng):
    log_w = np.array([-1000.5, -999.25, -1003.0])
    estimate = importance_sampling(prior_posterior(rng, log_w), np.zeros((1, 1)), rng, samples=3)
    w = np.array([0.218702188334981923, 0.763345642836497431, 0.0179521688285206463])  # normalized, to 18 digits
    np.testing.assert_allclose(estimate.log_likelihood, -1000.0785679434228, rtol=1e-15)
    np.testing.assert_allclose(estimate.effective_samples, 1 / np.sum(w**2), rtol=1e-12)
    np.testing.assert_allclose(estimate.monte_carlo_error, np.std(3 * w, ddof=1) / np.sqrt(3), rtol=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, 5, 100])
def test_chunks_change_nothing(rng, at_once, monkeypatch):
    log_w = np.random.default_rng(1).normal(scale=5, size=12)
    whole = importance_sampling(prior_posterior(rng, log_w), np.zeros((2, 1)), rng, samples=6)
    monkeypatch.setattr(bounds, "AT_ONCE", 256 * at_once)
    parts = importance_sampling(prior_posterior(rng, log_w), np.zeros((2, 1)), rng, samples=6)
    np.testing.assert_allclose(parts, whole, rtol=1e-13)


@pytest.mark.parametrize("K", [1, 3])
def test_both_bounds_are_their_literal_loops_each_row_with_its_own_q(rng, K):
    vae = VAE.dense(6, (), 2, rng=rng, dtype=np.float64)
    vae.encoder.layers[-1].W *= 2  # mu and logvar differ a lot from row to row
    x = black_and_white(rng, 4, 6).astype(float)
    noise = np.random.default_rng(8).standard_normal((4, K, 2))
    l_k, elbos = [], []
    for row, eps, mu, logvar in zip(x, noise, *vae.encode(x)):
        z = mu + np.exp(logvar / 2) * eps  # (K, 2)
        log_px = [-math.fsum(float(bernoulli_nll(a, p)) for a, p in zip(vae.decode(z[k : k + 1])[0], row)) for k in range(K)]
        ratio = [math.fsum((e * e - t * t + v) / 2 for e, t, v in zip(eps[k], z[k], logvar)) for k in range(K)]
        l_k.append(math.log(math.fsum(math.exp(a + b) for a, b in zip(log_px, ratio)) / K))
        kl = math.fsum((m * m + math.exp(v) - 1 - v) / 2 for m, v in zip(mu, logvar))
        elbos.append(math.fsum(log_px) / K - kl)
    np.testing.assert_allclose(log_likelihood(vae, x, np.random.default_rng(8), K), l_k, rtol=1e-12)
    np.testing.assert_allclose(elbo(vae, x, np.random.default_rng(8), K), elbos, rtol=1e-12)


def test_equal_weights_are_all_effective_and_one_great_weight_decides_alone(rng):
    x = np.zeros((1, 1))
    equal = importance_sampling(prior_posterior(rng, [-3.0] * 50), x, rng, samples=50)
    assert equal.effective_samples == pytest.approx(50) and equal.monte_carlo_error == pytest.approx(0, abs=1e-7)
    assert 1 <= equal.effective_samples[0] <= 50
    alone = importance_sampling(prior_posterior(rng, [-3.0] * 49 + [700.0]), x, rng, samples=50)
    assert alone.effective_samples == pytest.approx(1) and alone.monte_carlo_error == pytest.approx(1)


@pytest.mark.parametrize("K", range(2, 40))
def test_effective_samples_are_never_more_than_the_draws(rng, K):
    """Rounding would leave some K with a trifle more, and the error as the root of a negative number."""
    estimate = importance_sampling(prior_posterior(rng, [-1 / 3] * K), np.zeros((1, 1)), rng, samples=K)
    assert 1 <= estimate.effective_samples[0] <= K and estimate.monte_carlo_error[0] >= 0


def test_one_draw_tells_no_error(rng):
    estimate = importance_sampling(prior_posterior(rng, [-3.0]), np.zeros((1, 1)), rng, samples=1)
    assert np.isnan(estimate.monte_carlo_error[0]) and estimate.effective_samples[0] == 1


def test_the_error_is_the_spread_of_repeated_estimates(rng):
    vae = VAE.dense(12, (8,), 2, rng=rng, dtype=np.float64)
    vae.params.theta *= 0.7  # no heavy tails: the spread of the weights is finite, and seen in 400 of them
    x = black_and_white(rng)
    repeats = [importance_sampling(vae, x, np.random.default_rng(seed), samples=400) for seed in range(100)]
    spread = np.std([one.log_likelihood for one in repeats], axis=0, ddof=1)  # (B,)
    stated = np.mean([one.monte_carlo_error for one in repeats], axis=0)
    np.testing.assert_allclose(stated, spread, rtol=0.25)  # the spread of 100 is known to 7 %


def test_nll_is_the_negative_of_the_log_likelihood(rng):
    vae, x = VAE.dense(12, (8,), 2, rng=rng), black_and_white(rng)
    up, down = (f(vae, x, np.random.default_rng(3), samples=9) for f in (log_likelihood, nll))
    np.testing.assert_array_equal(down, -up)
    assert np.all(up < 0)  # probabilities of black and white are below 1


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)])
@pytest.mark.parametrize("samples", [1, 4, 3000])
def test_threads_change_no_digit(rng, likelihood, samples):
    vae = VAE.dense(12, (8,), 2, rng=rng, likelihood=likelihood)
    x = black_and_white(rng, n=300 if samples < 10 else 3)
    one, three = (importance_sampling(vae, x, np.random.default_rng(3), samples, workers=n) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_results_come_in_the_order_of_the_jobs():
    assert list(bounds._in_order(lambda i: -i, ((i,) for i in range(20)), 2)) == [-i for i in range(20)]


def test_wide_data_take_no_more_memory(rng):
    vae, x = VAE.dense(4000, (), 2, rng=rng), np.zeros((1, 4000), np.float32)
    tracemalloc.start()
    importance_sampling(vae, x, rng, samples=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6, f"{peak / 1e6:.1f} MB"  # all draws at once: over 16 MB


def test_an_error_in_a_thread_is_the_callers(rng):
    vae = prior_posterior(rng, [])
    with pytest.raises((StopIteration, RuntimeError)):
        importance_sampling(vae, np.zeros((3, 1)), rng, samples=2000, workers=2)


# ---- the Bernoulli's way for many draws ------------------------------------------------------------------------------------------


@given(seeds)
def test_many_draws_of_one_example_have_the_nll_of_each(seed):
    rng = np.random.default_rng(seed)
    R, K, D = rng.integers(1, 6, size=3)
    out, x = rng.normal(scale=10, size=(R, K, D)), rng.choice([0.0, 1.0, 0.3], size=(R, D))
    each = [[Bernoulli().nll(out[r, k][None], x[r][None])[0] for k in range(K)] for r in range(R)]
    np.testing.assert_allclose(Bernoulli().nll_of_draws(out, x), each, rtol=1e-13, atol=1e-13 * np.abs(out).sum(axis=2).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_beyond_the_exponential_are_exact(dtype):
    out = np.array([[[1000.0, -1000.0, 0.5], [100.0, 3.0, -800.0], [1e30, -1e30, 0.0]]], dtype)  # (1, 3, 3)
    x = np.array([[1.0, 0.0, 0.25]], dtype)
    got = Bernoulli().nll_of_draws(out, x)
    exact = [sum(float(bernoulli_nll(logit, p)) for logit, p in zip(row, x[0])) for row in out[0, :2]]
    assert got.dtype == dtype
    np.testing.assert_allclose(got[0], [*exact, np.log(2)], rtol=8 * np.finfo(dtype).eps)  # +-1e30 are sure, and right


def test_logits_whose_sum_is_beyond_the_numbers_are_exact():
    out = np.array([[[3e38, 3e38, 0.0]]], np.float32)  # x . l and sum softplus(l) are both infinite
    assert Bernoulli().nll_of_draws(out, np.array([[1.0, 1.0, 0.25]], np.float32))[0, 0] == np.float32(np.log(2))


@pytest.mark.parametrize("size", [1, 10, 100, 1e4, 1e5])
def test_sure_and_right_logits_lose_no_digits_in_float32(rng, size):
    """784 pixels of which each is nearly certain: the sums are 1e5 times their difference, and a probability is at most 1."""
    x = rng.choice([0.0, 1.0], size=(2, 784)).astype(np.float32)
    out = (size * (2 * x[:, None] - 1) * (1 + 0.3 * rng.standard_normal((2, 5, 784)))).astype(np.float32)
    got = Bernoulli().nll_of_draws(out, x)
    each = [Bernoulli().nll(draws.astype(np.float64), np.tile(row, (5, 1)).astype(np.float64)) for draws, row in zip(out, x)]
    assert np.all(got >= 0)
    np.testing.assert_allclose(got, each, rtol=2e-5, atol=1e-37)


def test_the_noise_and_the_data_are_left_alone(rng):
    out, x = rng.normal(size=(2, 3, 4)), black_and_white(rng, 2, 4)
    before = out.copy()
    Bernoulli().nll_of_draws(out, x)
    np.testing.assert_array_equal(out, before)


# ---- the line that tells the cost ------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def a_minute(monkeypatch, show, stream, rows=30, samples=5, seconds=20.0):
    """Progress over equal chunks of 50 draws, with results -100, -99 ..., and so many seconds each."""
    clock = iter(seconds * np.arange(1000.0))
    monkeypatch.setattr("npvae.evaluation.progress.time.monotonic", lambda: next(clock))
    with Progress(show, f"L_{samples}", rows, samples, stream) as line:
        for _ in range(rows * samples // 50):
            line.add(50, np.log(samples) + np.arange(float(rows)) - 100)
    return stream.getvalue()


def test_a_terminal_sees_cost_result_error_and_time_left(monkeypatch):
    text = a_minute(monkeypatch, None, Terminal())
    lines = [part.strip() for part in text.split("\r") if part]
    assert lines[0] == "L_5 of 10/30 rows: -95.50 +- 0.96 nats; 5 draws a row, 2 a second, 0:00:40 left"
    assert lines[-1] == "L_5 of 30/30 rows: -85.50 +- 1.61 nats; 5 draws a row, 2 a second, 60.0 s"
    assert text.endswith("\n") and text.count("\n") == 1


def test_a_row_counts_when_all_its_draws_are_made(monkeypatch):
    text = a_minute(monkeypatch, None, Terminal(), rows=2, samples=100)
    assert [part.strip() for part in text.split("\r") if part] == [
        "L_100 of 0/2 rows: none finished yet; 100 draws a row, 2 a second, 0:01:00 left",
        "L_100 of 1/2 rows: -100.00 nats; 100 draws a row, 2 a second, 0:00:40 left",
        "L_100 of 1/2 rows: -100.00 nats; 100 draws a row, 2 a second, 0:00:20 left",
        "L_100 of 2/2 rows: -99.50 +- 0.50 nats; 100 draws a row, 2 a second, 80.0 s",
    ]


def test_the_line_is_rewritten_five_times_a_second_at_most(monkeypatch):
    text = a_minute(monkeypatch, None, Terminal(), rows=1, samples=5000, seconds=0.05)  # 100 chunks in 5 seconds
    assert 15 <= text.count("\r") <= 22 and "L_5000 of 1/1 rows: -100.00 nats" in text.split("\r")[-1]


def test_a_file_gets_one_line_if_asked_and_none_else(monkeypatch):
    assert a_minute(monkeypatch, None, io.StringIO()) == ""
    assert a_minute(monkeypatch, False, Terminal()) == ""
    text = a_minute(monkeypatch, True, io.StringIO())
    assert text == "L_5 of 30/30 rows: -85.50 +- 1.61 nats; 5 draws a row, 2 a second, 60.0 s\n"


@pytest.mark.parametrize("n, samples", [(30, 5), (2, 3000), (1, 2500)])
def test_all_draws_are_counted_whether_chunks_hold_many_rows_or_parts_of_one(rng, monkeypatch, n, samples):
    monkeypatch.setattr(bounds, "AT_ONCE", 256 * 1000)
    lines = []
    monkeypatch.setattr(bounds, "Progress", lambda *a: lines.append(Progress(False, *a[1:])) or lines[-1])
    importance_sampling(VAE.dense(12, (), 2, rng=rng), black_and_white(rng, n), rng, samples=samples)
    assert lines[0].draws == n * samples


def test_short_work_shows_nothing(rng, capsys):
    importance_sampling(VAE.dense(12, (), 2, rng=rng), black_and_white(rng), rng, samples=5)
    assert capsys.readouterr().err == ""
    stream = Terminal()
    with Progress(None, "L_5", 3, 5, stream) as line:
        line.add(15, np.zeros(3))
    assert stream.getvalue() == ""


def test_a_zero_of_workers_is_told(rng):
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        log_likelihood(VAE.dense(12, (), 2, rng=rng), black_and_white(rng), rng, samples=5, workers=0)
