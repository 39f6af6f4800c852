"""Lower bounds of log p(x), one number for each example, in nats: the ELBO and the importance-weighted bound L_K.

Both draw z ~ q(z|x) as z = mu + sigma eps. The noise is drawn example by example, and for each example sample by sample, always
in float64: so a result depends neither on how the work is cut into chunks nor on the rows that come after, and a float32 model and
its float64 twin see the same noise. Memory stays bounded however many samples and rows there are.

A conditional model is told the labels, condition (B,): log p(x) is then log p(x|c) everywhere.

On grey pixels the Bernoulli "log p(x|z)" is a cross-entropy and these numbers bound no log-likelihood: binarize first.
"""

import numpy as np

from npvae.core.checks import finite, generator, positive_integer
from npvae.core.gaussian import kl_divergence, log_density, reparameterize
from npvae.core.numerics import logsumexp
from npvae.evaluation.arguments import checked_data, checked_labels, given

AT_ONCE = 2**20  # numbers: about 1,000 samples of z at a time, fewer if x has more than 1,000 values


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
        for rows, mu, logvar, _, _, log_px in _draws(vae, x, labels, rng, samples):
            result[rows] += np.sum(log_px - kl_divergence(mu, logvar).reshape(log_px.shape), axis=1) / samples
    finite("elbo", "the model's outputs leave the range of numbers.", elbo=result)
    return result


def log_likelihood(vae, x, rng, samples=5000, condition=None):
    """The importance-weighted lower bound L_K of log p(x) of each example, in nats.

        L_K = log 1/K sum_k w_k,    w_k = p(x|z_k) p(z_k) / q(z_k|x),    z_k ~ q(z|x)          Burda et al. (2016), eq. 8

    x: (B, D), floats or 0/1 integers; rng: a numpy.random.Generator; samples: K, exactly; condition: the labels (B,), for a
    conditional model. Returns (B,) float64.
    L_1 is the ELBO in expectation; E L_K rises with K towards log p(x), and equals it for every K if q is the exact posterior.
    Raises the same errors as `elbo`.
    """
    x, labels, samples = _arguments("log_likelihood", vae, x, rng, samples, condition)
    result = np.full(len(x), -np.inf)  # (B,)    log of the sum of the weights so far
    with np.errstate(all="ignore"):  # the result is looked at below
        for rows, _, logvar, eps, z, log_px in _draws(vae, x, labels, rng, samples):
            zero = np.zeros_like(z)
            log_pz = log_density(z, zero, zero)  # (N,)
            # log q(z|x) in terms of eps: (z - mu) / sigma would have no digits left where sigma is tiny
            log_qz = log_density(eps, zero, zero) - 0.5 * np.sum(logvar, axis=1)  # (N,)
            log_w = log_px + (log_pz - log_qz).reshape(log_px.shape)  # (R, K)
            result[rows] = np.logaddexp(result[rows], logsumexp(log_w, axis=1))
    result -= np.log(samples)
    finite("log_likelihood", "the model's outputs leave the range of numbers.", log_likelihood=result)
    return result


def _arguments(where, vae, x, rng, samples, condition):
    samples = positive_integer(where, "samples", samples)
    generator(where, rng)
    x = checked_data(where, vae, x)
    return x, checked_labels(where, vae, x, condition), samples


def _draws(vae, x, labels, rng, samples):
    """Samples of q(z|x), some at a time: rows (a slice of R examples), mu, logvar, eps, z (N, Z), log p(x|z) (R, K); N = R K.

    Whole rows as long as all samples of one fit into a chunk; else parts of the samples of one row."""
    at_once = max(1, AT_ONCE // max(1024, vae.data_dim))
    step = max(1, at_once // samples)  # rows
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        posterior = given(vae, labels, rows).encode(x[rows])  # (R, Z), (R, Z)
        for done in range(0, samples, at_once):
            K = min(at_once, samples - done)
            mu, logvar = (np.repeat(a.astype(np.float64), K, axis=0) for a in posterior)  # (N, Z)
            eps = rng.standard_normal(mu.shape)  # (N, Z)
            z, _ = reparameterize(mu, logvar, eps)  # (N, Z)
            out = given(vae, labels, rows, K).decode(z)  # (N, n)
            nll = vae.likelihood.nll(out, np.repeat(x[rows], K, axis=0))  # (N,)
            yield rows, mu, logvar, eps, z, -nll.astype(np.float64).reshape(-1, K)
