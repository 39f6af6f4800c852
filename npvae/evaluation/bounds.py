"""Lower bounds of log p(x), one number for each example, in nats: the ELBO and the importance-weighted bound L_K.

Log-likelihoods are log-likelihoods: higher is better, and those of a density may be positive. `nll` is the negative of one.

Both draw z ~ q(z|x) as z = mu + sigma eps. The noise is drawn example by example, and for each example draw by draw, always in
float64: so a result depends neither on how the work is cut into chunks nor on the rows that come after, and a float32 model and
its float64 twin see the same noise. Memory stays bounded however many draws and rows there are.

A conditional model is told the labels, condition (B,): log p(x) is then log p(x|c) everywhere.

On grey pixels the Bernoulli "log p(x|z)" is a cross-entropy and these numbers bound no log-likelihood: binarize first.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from npvae.core.checks import finite, generator, positive_integer
from npvae.core.gaussian import kl_divergence, reparameterize
from npvae.core.numerics import logsumexp
from npvae.evaluation.arguments import checked_data, checked_labels, given
from npvae.evaluation.progress import Progress

AT_ONCE = 2**18  # numbers of x: so few that they stay in the cache of one core (benchmarks/importance.py)
np.empty(2**24, np.uint8)  # 16 MB, freed at once: glibc then keeps freed arrays of up to that size and does not fetch each anew


class Estimate(NamedTuple):
    """What importance sampling says of each example; float64, (B,) each."""

    log_likelihood: np.ndarray  # L_K, nats
    monte_carlo_error: np.ndarray  # its standard error over the draws of z, nats; NaN for K = 1, which cannot tell
    effective_samples: np.ndarray  # of the K draws, between 1 and K: near 1, one draw decides and L_K lies far below log p(x)


def elbo(vae, x, rng, samples=1, condition=None):
    """An unbiased estimate of the ELBO of each example, in nats; the KL is analytic, never sampled.

        ELBO = 1/K sum_k log p(x|z_k) - KL( q(z|x) || p(z) ),    z_k ~ q(z|x)          Kingma & Welling (2014), eq. 10

    x: (B, D), floats or 0/1 integers; rng: a numpy.random.Generator; samples: K, the draws of z for each example; condition: the
    labels (B,), for a conditional model. Returns (B,) float64. Never above log p(x) in expectation; at z = mu alone it could be.
    Raises TypeError for a model that is no VAE, a missing generator or missing labels, ValueError for samples < 1, x of a wrong
    shape or range or wrong labels, NonFiniteError if a parameter, x or the result is not finite.
    """
    x, labels, samples = _arguments("elbo", vae, x, rng, samples, condition)
    result = np.zeros(len(x))  # (B,)
    with np.errstate(all="ignore"):  # the result is looked at below
        for rows, mu, logvar, eps in _noise(vae, x, labels, rng, samples):
            log_px, _ = _decoded(vae, x, labels, rows, mu, logvar, eps)  # (R, K)
            result[rows] += np.sum(log_px - kl_divergence(mu, logvar)[:, None], axis=1) / samples
    finite("elbo", "the model's outputs leave the range of numbers.", elbo=result)
    return result


def importance_sampling(vae, x, rng, samples=5000, condition=None, progress=None, workers=1):
    """The importance-weighted lower bound L_K of log p(x) of each example, in nats, and how far K draws can be trusted.

        L_K = log 1/K sum_k w_k,    w_k = p(x|z_k) p(z_k) / q(z_k|x),    z_k ~ q(z|x)    Burda et al. (2016), eq. 8   [IW-1]
        effective samples = (sum_k w_k)^2 / sum_k w_k^2                                    Kong (1992)               [IW-2]
        standard error of L_K = sqrt( (K / effective samples - 1) / (K - 1) )              delta method              [IW-3]

    E L_1 is the ELBO; E L_K rises with K towards log p(x), and L_K is log p(x) for every K if q is the exact posterior. The error
    is that of the mean weight, relative to it, as far as the K draws show it: weights that were never drawn are not in it, so
    it can be trusted if the effective samples are many.

    x: (B, D), floats or 0/1 integers; rng: a numpy.random.Generator; samples: K, the draws of z for each example; condition: the
    labels (B,), for a conditional model; progress: a line on stderr with cost, result and time left; None writes it on a terminal
    only; workers: threads, which change no digit. With several, let BLAS have one (OPENBLAS_NUM_THREADS=1), or they wait for each
    other.
    Returns an Estimate. Raises the same errors as `elbo`.
    """
    x, labels, samples = _arguments("log_likelihood", vae, x, rng, samples, condition)
    workers = positive_integer("log_likelihood", "workers", workers)
    log_sum, log_sum_2 = np.full((2, len(x)), -np.inf)  # (B,) each    logs of sum_k w_k and sum_k w_k^2, so far

    def log_weights(rows, mu, logvar, eps):
        with np.errstate(all="ignore"):  # the result is looked at below
            log_px, z = _decoded(vae, x, labels, rows, mu, logvar, eps)  # (R, K), (R, K, Z)
            # log p(z) - log q(z|x) in terms of eps: (z - mu) / sigma would have no digits left where sigma is tiny
            log_w = log_px + 0.5 * np.sum(eps**2 - z**2 + logvar[:, None], axis=2)  # (R, K)
            return rows, log_w.size, logsumexp(log_w, axis=1), logsumexp(2 * log_w, axis=1)

    with np.errstate(all="ignore"), Progress(progress, f"L_{samples}", len(x), samples) as line:
        for rows, draws, first, second in _in_order(log_weights, _noise(vae, x, labels, rng, samples), workers):
            log_sum[rows] = np.logaddexp(log_sum[rows], first)
            log_sum_2[rows] = np.logaddexp(log_sum_2[rows], second)
            line.add(draws, log_sum)
    result = log_sum - np.log(samples)
    finite("log_likelihood", "the model's outputs leave the range of numbers.", log_likelihood=result)
    effective = np.clip(np.exp(2 * log_sum - log_sum_2), 1, samples)  # clipped: rounding may leave the range
    with np.errstate(invalid="ignore"):  # K = 1: 0/0, NaN
        error = np.sqrt((samples / effective - 1) / np.float64(samples - 1))
    return Estimate(result, error, effective)


def log_likelihood(vae, x, rng, samples=5000, condition=None, progress=None, workers=1):
    """L_K of `importance_sampling` alone: log p(x) of each example from below, in nats, (B,)."""
    return importance_sampling(vae, x, rng, samples, condition, progress, workers).log_likelihood


def nll(vae, x, rng, samples=5000, condition=None, progress=None, workers=1):
    """-L_K: the negative log-likelihood of each example from above, in nats, (B,).  Lower is better."""
    return -log_likelihood(vae, x, rng, samples, condition, progress, workers)


def _arguments(where, vae, x, rng, samples, condition):
    samples = positive_integer(where, "samples", samples)
    generator(where, rng)
    x = checked_data(where, vae, x)
    return x, checked_labels(where, vae, x, condition), samples


def _noise(vae, x, labels, rng, samples):
    """The work in chunks: rows (a slice of R examples), mu, logvar (R, Z), eps (R, k, Z).

    Whole rows as long as all draws of one fit into a chunk; else parts of the draws of one row."""
    at_once = max(1, AT_ONCE // max(256, vae.data_dim))  # draws
    step = max(1, at_once // samples)  # rows
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        with np.errstate(all="ignore"):
            mu, logvar = (a.astype(np.float64) for a in given(vae, labels, rows).encode(x[rows]))  # (R, Z), (R, Z)
        for done in range(0, samples, at_once):
            yield rows, mu, logvar, rng.standard_normal((len(mu), min(at_once, samples - done), vae.latent_dim))


def _decoded(vae, x, labels, rows, mu, logvar, eps):
    """-> log p(x|z) (R, k) in float64, and z (R, k, Z), of the draws z = mu + sigma eps."""
    R, k, Z = eps.shape
    mu, logvar = (np.broadcast_to(a[:, None], eps.shape) for a in (mu, logvar))
    z, _ = reparameterize(mu, logvar, eps)  # (R, k, Z)
    out = given(vae, labels, rows, k).decode(z.reshape(R * k, Z)).reshape(R, k, -1)  # (R, k, n)
    of_draws = getattr(vae.likelihood, "nll_of_draws", None)  # a likelihood may know a faster way for many z of one x
    if of_draws is None:
        log_px = -vae.likelihood.nll(out.reshape(R * k, -1), np.repeat(x[rows], k, axis=0)).reshape(R, k)  # (R, k)
    else:
        log_px = -of_draws(out, x[rows])  # (R, k)
    return log_px.astype(np.float64), z


def _in_order(f, jobs, workers):
    """f(*job) of each job, in their order, however many threads work on them; few are begun ahead, so that memory stays bounded."""
    if workers == 1:
        yield from (f(*job) for job in jobs)
        return
    from concurrent.futures import ThreadPoolExecutor  # here, since it takes 10 ms that `import npvae` need not

    with ThreadPoolExecutor(workers) as pool:
        begun = deque()
        for job in jobs:
            begun.append(pool.submit(f, *job))
            if len(begun) > 2 * workers:  # none idles while another's result is taken
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
