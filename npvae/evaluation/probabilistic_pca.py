"""Probabilistic PCA in closed form (Tipping & Bishop 1999): the best linear model of the data, and its likelihood.

    p(z) = N(0, I),    p(x|z) = N(z W + mean, sigma^2 I),    so p(x) = N(mean, W^T W + sigma^2 I)

Everything is computed in float64. Log-likelihoods are those of densities, in nats per example: they may well be positive.
"""

import math
from dataclasses import dataclass

import numpy as np

from npvae.core.checks import finite, has_shape
from npvae.core.gaussian import LOG_2PI
from npvae.evaluation.arguments import ROWS_AT_ONCE


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    """A linear decoder z W + mean with its best encoder: what pPCA and the optimum of a linear beta-VAE have in common.

    mean (D,); W (q, D): orthogonal rows, the principal direction first, the entry of largest magnitude positive in each;
    sigma2: the variance of p(x|z); eigenvalues (D,): lambda, of the covariance of the data, descending; beta.
    """

    mean: np.ndarray
    W: np.ndarray
    sigma2: float
    eigenvalues: np.ndarray
    beta: float

    @property
    def _scale(self):
        """lambda_i of the latents that are active, beta sigma^2 of the others: (q,)."""
        return np.maximum(self.eigenvalues[: len(self.W)], self.beta * self.sigma2)

    @property
    def variances(self):
        """The variances of the best q(z|x), (q,): the same for every x, 1 for a latent that is not active."""
        return self.beta * self.sigma2 / self._scale

    @property
    def encoder(self):
        """V (D, q), in the best encoder's mu = (x - mean) V."""
        return self.W.T / self._scale

    def posterior(self, x):
        """The best q(z|x): mu (B, q) and logvar (B, q). For pPCA it is p(z|x), the posterior itself.

            mu = (x - mean) W^T diag(1 / lambda),       sigma_i^2 = sigma^2 / lambda_i          Tipping & Bishop (1999)  [PPCA-4]

        (beta sigma^2 in place of sigma^2 for the beta-VAE.)  x: (B, D). Raises ValueError as `ppca` does."""
        mu = (self._rows("posterior", x) - self.mean) @ self.encoder  # (B, q)
        return mu, np.broadcast_to(np.log(self.variances), mu.shape).copy()

    def _rows(self, method, x):
        where = f"{type(self).__name__}.{method}"
        x = rows_of_data(where, x)
        has_shape(where, "x", x, ("B", len(self.mean)), "one example a row, as wide as the rows that the model was made from.")
        return x.astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False)
class PPCA(LinearGaussian):
    """Probabilistic PCA: the Gaussian N(mean, W^T W + sigma^2 I) of largest likelihood; see `ppca`, which makes it."""

    log_likelihood: float

    def log_density(self, x):
        """log p(x) of each row, in nats, by the posterior mean m, at which the exponent of p(x|z) p(z) is that of p(x):

            log p(x) = -1/2 ( D log 2 pi + sum_{i<=q} log lambda_i + (D - q) log sigma^2
                              + |x - mean - m W|^2 / sigma^2 + |m|^2 )                                             [PPCA-5]

        x: (B, D).  Returns (B,). Its digits are those of x - mean - m W, a difference: where sigma is far smaller than x - mean,
        rounding costs up to about D 2e-16 |x - mean| / sigma nats.
        """
        m, _ = self.posterior(x)  # (B, q)
        r = self._rows("log_density", x) - self.mean - m @ self.W  # (B, D)
        D, q = r.shape[1], len(self.W)
        log_det = np.sum(np.log(self.eigenvalues[:q])) + (D - q) * math.log(self.sigma2)
        return -0.5 * (D * LOG_2PI + log_det + np.sum(r**2, axis=1) / self.sigma2 + np.sum(m**2, axis=1))


def ppca(x, q):
    """Probabilistic PCA with q latents: the maximum of the likelihood, in closed form.

        sigma^2 = 1/(D-q) sum_{i>q} lambda_i                                   Tipping & Bishop (1999), eq. 8      [PPCA-1]
        W = diag( lambda_i - sigma^2 )^(1/2) U^T      (U: the first q eigenvectors, in columns)          eq. 7     [PPCA-2]
        1/N sum_n log p(x_n) = -1/2 ( D log 2 pi + sum_{i<=q} log lambda_i + (D - q) log sigma^2 + D )             [PPCA-3]

    x: (N, D) floats, or zeros and ones; q: 0 <= q < D. lambda, U: of the covariance 1/N sum (x - mean)^T (x - mean).
    Returns a PPCA: .log_likelihood (nats, the mean over the rows), .W (q, D), .mean (D,), .sigma2, .eigenvalues (D,),
    .posterior(x), .log_density(x). No VAE with a linear decoder, one sigma and q latents has a larger mean ELBO on x.
    Raises ValueError for fewer than 2 rows, q out of range, unscaled integers, and where sigma^2 = 0: then the likelihood has no
    upper bound; NonFiniteError for a NaN or an infinity; TypeError for what is no array of numbers.
    """
    x = rows_of_data("ppca", x)
    mean, U, lam, rank = spectrum("ppca", x)
    D, q = len(mean), count("ppca", q, len(mean) - 1, "D - 1")
    if q >= rank:
        what = f"the rows span {rank} dimension{'s' * (rank != 1)} about their mean" if rank else "all rows are equal"
        raise ValueError(
            f"ppca: with q = {q}, sigma^2 = 0 (to rounding): {what}, so the likelihood has no upper bound; "
            + (f"choose q < {rank}." if rank else "there is nothing to learn.")
        )
    sigma2 = float(np.mean(lam[q:]))
    W = np.sqrt(np.maximum(lam[:q] - sigma2, 0))[:, None] * U[:q]  # (q, D)
    log_det = float(np.sum(np.log(lam[:q]))) + (D - q) * math.log(sigma2)
    return PPCA(mean, W, sigma2, lam, 1.0, log_likelihood=-0.5 * (D * LOG_2PI + log_det + D))


def spectrum(where, x):
    """mean (D,), principal directions (D, D) in rows, eigenvalues (D,) of the covariance, and the rank of x about its mean.

    By X = Q R, some rows at a time: X^T X = R^T R, so the singular values s of R give lambda = s^2 / N, with twice the digits that
    an eigenvalue of X^T X has. Rank: above the rounding of x itself, in the precision in which x was given."""
    N, D = x.shape
    if N < 2:
        raise ValueError(f"{where}: x has {N} row{'s' * (N != 1)}, and a covariance needs at least 2.")
    largest = float(np.max(np.abs(x)))
    if largest > 1e140 or 0 < largest < 1e-140:
        raise ValueError(f"{where}: the largest value of x is {largest:.3g}, whose square leaves the range of numbers; rescale x.")
    mean = np.mean(x, axis=0, dtype=np.float64)  # (D,)
    R, square, step = np.zeros((0, D)), 0.0, max(ROWS_AT_ONCE, D)
    for start in range(0, N, step):
        part = x[start : start + step].astype(np.float64)
        square += float(np.sum(part**2))
        R = np.linalg.qr(np.vstack([R, part - mean]), mode="r")
    _, s, U = np.linalg.svd(np.vstack([R, np.zeros((D - len(R), D))]))  # (D,), (D, D)
    U *= np.sign(U[np.arange(D), np.argmax(np.abs(U), axis=1)])[:, None]
    precision = max(np.finfo(kind).eps for kind in (np.float64, x.dtype if x.dtype.kind == "f" else np.float64))
    return mean, U, s**2 / N, int(np.sum(s > 4 * precision * math.sqrt(square)))


def rows_of_data(where, x):
    """x as rows of finite numbers that are data.  Raises TypeError, ValueError, NonFiniteError."""
    x = np.asarray(x)
    if x.dtype != bool and not np.issubdtype(x.dtype, np.floating):
        if not np.issubdtype(x.dtype, np.integer):
            raise TypeError(f"{where}: x must be an array of floats, got {x.dtype}.")
        if x.size and (x.min() < 0 or x.max() > 1):
            raise ValueError(f"{where}: x holds integers from {x.min()} to {x.max()}; scale them first, e.g. x / {x.max()}.")
    has_shape(where, "x", x, ("N", "D"), "one example a row; flatten images with x.reshape(len(x), -1).")
    if 0 in x.shape:
        raise ValueError(f"{where}: x has shape {x.shape}: there is nothing in it.")
    finite(where, "remove or repair such rows.", x=x)
    return x


def count(where, q, most, meaning):
    """-> q, an integer from 0 to `most`.  Raises TypeError, ValueError."""
    if isinstance(q, bool) or not isinstance(q, (int, np.integer)):
        raise TypeError(f"{where}: q must be an integer, got {q!r}.")
    if not 0 <= q <= most:
        raise ValueError(f"{where}: q must be from 0 to {meaning} = {most}, got {q}.")
    return int(q)


def positive(where, name, value):
    """-> float(value), a finite number above 0.  Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < math.inf:
        raise ValueError(f"{where}: {name} must be a finite number above 0, got {value!r}.")
    return float(value)
