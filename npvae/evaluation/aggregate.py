"""The aggregated posterior q(z) = 1/N sum_n q(z|x_n) against the prior: what the KL term of the ELBO is spent on.

    1/N sum_n KL( q(z|x_n) || p(z) ) = I(x; z) + KL( q(z) || p(z) )                          Hoffman & Johnson (2016)

The first part is what the codes tell of x. The second is how far they are, taken together, from draws of the prior: `sample` draws
from the prior, where the decoder may never have been.
"""

from typing import NamedTuple

import numpy as np

from npvae.core.checks import finite, generator, positive_integer
from npvae.core.gaussian import LOG_2PI, kl_divergence, log_density, reparameterize
from npvae.core.numerics import logsumexp
from npvae.evaluation.arguments import checked_data, checked_labels, posterior

AT_ONCE = 2**18  # pairs of a draw and a row: 2 MB an array


class AggregatedPosterior(NamedTuple):
    """kl = mutual_information + marginal_kl, in nats, and the moments of q(z), which are 0 and I where q(z) is the prior."""

    kl: float  # mean over the rows, analytic
    mutual_information: float
    marginal_kl: float
    mutual_information_error: float  # standard errors of the Monte Carlo, for these rows
    marginal_kl_error: float
    mean: np.ndarray  # (Z,)
    covariance: np.ndarray  # (Z, Z)
    rows: int
    samples: int


def aggregated_posterior(vae, x, rng, samples=5000, condition=None):
    """The mean KL of x, split into the information of the codes and the distance of their distribution from the prior.

        I(x; z)            = E[ log q(z|x_n) - log q(z) ]              n uniform over the N rows, z ~ q(z|x_n)
        KL( q(z) || p(z) ) = E[ log q(z) - log p(z) ]                  q(z) = 1/N sum_n q(z|x_n), all N terms of it
        E z = 1/N sum_n mu_n     Cov z = Cov_n(mu_n) + diag( 1/N sum_n sigma_n^2 )             Hoffman & Johnson (2016)

    x: (N, D), at least two rows; rng: a numpy.random.Generator; samples: S, the draws of z in all, each compared with all N rows;
    condition: the labels (N,), for a conditional model, where x stands for the pair (x, c). Returns an AggregatedPosterior.
    I is 0 if q(z|x) is the same for all x (collapsed), and log N if no two of them overlap. It is above log N in no draw: near it,
    read "at least". In expectation it is a lower bound of the information about all x, of which these are N draws.
    kl has no sampling error; the two estimates have one each, add up to kl within them only, and may be below 0 by as much.
    Raises TypeError, ValueError and NonFiniteError as `elbo` does, ValueError for a single row or a single sample.
    """
    where = "aggregated_posterior"
    samples = positive_integer(where, "samples", samples)
    generator(where, rng)
    x = checked_data(where, vae, x)
    labels = checked_labels(where, vae, x, condition)
    if len(x) < 2:
        raise ValueError(f"{where}: x has 1 row, whose code has no others to be told from; give at least 2.")
    if samples < 2:
        raise ValueError(f"{where}: samples is 1, and a standard error needs at least 2.")
    broken = "the encoder's outputs leave the range of numbers."
    with np.errstate(all="ignore"):  # the results are looked at below
        mu, logvar = posterior(vae, x, labels)  # (N, Z), (N, Z)
        finite(where, broken, mu=mu, logvar=logvar)
        information, marginal = _terms(mu, logvar, rng, samples)  # (S,), (S,)
        kl = np.mean(kl_divergence(mu, logvar)).item()
        mean = np.mean(mu, axis=0)  # (Z,)
        covariance = (mu - mean).T @ (mu - mean) / len(x) + np.diag(np.mean(np.exp(logvar), axis=0))  # (Z, Z)
        errors = [(np.std(a, ddof=1) / np.sqrt(samples)).item() for a in (information, marginal)]
    finite(where, broken, kl=kl, mutual_information=information, marginal_kl=marginal, covariance=covariance, errors=errors)
    values = [np.mean(a).item() for a in (information, marginal)]
    return AggregatedPosterior(kl, *values, *errors, mean, covariance, len(x), samples)


def _terms(mu, logvar, rng, samples):
    """log q(z|x_n) - log q(z) and log q(z) - log p(z), (S,) each, for S independent draws of n and of z ~ q(z|x_n)."""
    n, eps = rng.integers(len(mu), size=samples), rng.standard_normal((samples, mu.shape[1]))  # (S,), (S, Z)
    z, _ = reparameterize(mu[n], logvar[n], eps)  # (S, Z)
    zero = np.zeros_like(eps)
    log_pz = log_density(z, zero, zero)  # (S,)
    # log q(z|x_n) in terms of eps: (z - mu) / sigma would have no digits left where sigma is tiny
    log_qz_n = log_density(eps, zero, zero) - 0.5 * np.sum(logvar[n], axis=1)  # (S,)
    log_qz = _log_mixture(mu, logvar, n, eps)  # (S,)
    return log_qz_n - log_qz, log_qz - log_pz


def _log_mixture(mu, logvar, n, eps):
    """log q(z) = log 1/N sum_m N(z; mu_m, sigma_m^2) at z = mu_n + sigma_n eps, (S,): some draws at a time, all N components.

    (z - mu_m) / sigma_m is written as (mu_n - mu_m) / sigma_m + sigma_n / sigma_m eps: to z's own component that is eps, to the
    last digit, and the density there exactly the one of q(z|x_n), however small sigma is."""
    sigma = np.exp(0.5 * logvar)  # (N, Z)
    constant = -0.5 * (mu.shape[1] * LOG_2PI + np.sum(logvar, axis=1))  # (N,)
    log_q, step = np.empty(len(n)), max(1, AT_ONCE // len(mu))
    for start in range(0, len(n), step):
        own, noise = n[start : start + step], eps[start : start + step]  # (R,), (R, Z)
        exponent = np.zeros((len(own), len(mu)))  # (R, N)
        for m, s, e in zip(mu.T, sigma.T, noise.T):  # (N,), (N,), (R,): latent by latent
            scaled = np.subtract.outer(m[own], m)  # (R, N)    (z - mu) / sigma
            scaled /= s
            scaled += np.divide.outer(s[own], s) * e[:, None]
            exponent += np.square(scaled, out=scaled)
        exponent *= -0.5
        log_q[start : start + step] = logsumexp(exponent + constant, axis=1)
    return log_q - np.log(len(mu))
