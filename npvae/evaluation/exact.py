"""Exact answers, all of them under this name: the linear VAE here, pPCA and quadrature from the files beside it.

A VAE whose decoder is one Dense layer and whose likelihood is a Gaussian with one sigma is the model of probabilistic PCA. So its
log p(x), its posterior, its optimum and what collapses there are known, to all digits (Lucas et al. 2019). For any other decoder
with one or two latents the integrals over z are done by quadrature.
"""

import math
from dataclasses import dataclass

import numpy as np

from npvae.core.checks import finite, has_shape
from npvae.core.gaussian import LOG_2PI, kl_divergence
from npvae.core.layers import Dense
from npvae.core.likelihoods import Gaussian
from npvae.evaluation.arguments import ROWS_AT_ONCE, checked_data, checked_labels, given
from npvae.evaluation.probabilistic_pca import PPCA, LinearGaussian, count, positive, ppca, rows_of_data, spectrum
from npvae.evaluation.quadrature import (
    Densities,
    elbo_by_quadrature,
    expected_bound_by_quadrature,
    in_float64,
    kl_to_posterior,
    log_likelihood_by_quadrature,
    posterior_on_grid,
)
from npvae.models import VAE

__all__ = [
    "PPCA",
    "Densities",
    "LinearOptimum",
    "active_latents",
    "elbo_by_quadrature",
    "expected_bound_by_quadrature",
    "kl_to_posterior",
    "linear_elbo",
    "linear_optimum",
    "linear_vae",
    "log_likelihood_by_quadrature",
    "posterior_on_grid",
    "ppca",
]


# --- the linear VAE ---------------------------------------------------------------------------------------------------------------


def linear_vae(optimum, dtype=np.float64):
    """The linear VAE that sits at the optimum: its networks are one Dense layer each, its Gaussian learns sigma from there.

    optimum: from `ppca`, whose log-likelihood is then the VAE's mean ELBO on the same rows, and whose posterior is its q(z|x); or
    from `linear_optimum`. Returns a VAE. Raises ValueError for q = 0, TypeError for anything else.
    """
    if not isinstance(optimum, LinearGaussian):
        raise TypeError(f"linear_vae: expected what ppca or linear_optimum returns, got {type(optimum).__name__}.")
    q, D = optimum.W.shape
    if q == 0:
        raise ValueError("linear_vae: a VAE has at least 1 latent, and this optimum has q = 0.")
    V, rng = optimum.encoder, np.random.default_rng(0)  # the layers draw nothing
    W = np.hstack([V, np.zeros((D, q))])  # (D, 2q)    columns mu, then logvar
    b = np.concatenate([-optimum.mean @ V, np.log(optimum.variances)])
    encoder = Dense(D, 2 * q, rng=rng, dtype=dtype, init=lambda *_: (W, b))
    decoder = Dense(q, D, rng=rng, dtype=dtype, init=lambda *_: (optimum.W, optimum.mean))
    return VAE(encoder, decoder, Gaussian(math.sqrt(optimum.sigma2), learn=True), q)


def linear_elbo(vae, x, condition=None):
    """The ELBO of each example, in nats, without a sample: of a VAE with a linear decoder and a Gaussian of one sigma.

        ELBO = log N(x; mu W + b, sigma^2 I) - 1/(2 sigma^2) sum_i sigma_i^2 |w_i|^2 - KL( q(z|x) || p(z) )        [PPCA-6]

    w_i: row i of W; b: the decoder's bias; the second term is what the noise of q(z|x) adds to the squared error, on average. Any
    encoder will do.
    x: (B, D); condition: the labels (B,), for a conditional model.  Returns (B,) float64. Raises TypeError for another decoder
    than one Dense layer or another likelihood than Gaussian, and the errors of `elbo`.
    """
    where = "linear_elbo"
    checked_data(where, vae, x)
    if [type(layer) for layer in vae.decoder.layers] != [Dense] or type(vae.likelihood) is not Gaussian:
        layers = " - ".join(type(layer).__name__ for layer in vae.decoder.layers) or "none"
        raise TypeError(
            f"{where}: the decoder must be one Dense layer and the likelihood a Gaussian of one sigma; got {layers} and "
            f"{type(vae.likelihood).__name__}. For 1 or 2 latents use elbo_by_quadrature, else evaluation.elbo."
        )
    vae = in_float64(where, vae)
    x = vae.as_data(where, x)
    labels = checked_labels(where, vae, x, condition)
    W, sigma2 = vae.decoder.layers[0].W[: vae.latent_dim], vae.likelihood.config()["sigma"] ** 2  # below come the labels' rows
    result = np.empty(len(x))
    with np.errstate(all="ignore"):  # the result is looked at below
        for start in range(0, len(x), ROWS_AT_ONCE):
            rows = slice(start, min(start + ROWS_AT_ONCE, len(x)))
            view = given(vae, labels, rows)
            mu, logvar = view.encode(x[rows])
            noise = np.exp(logvar) @ np.sum(W**2, axis=1) / (2 * sigma2)  # (R,)
            result[rows] = -vae.likelihood.nll(view.decode(mu), x[rows]) - noise - kl_divergence(mu, logvar)
    finite(where, "the model's outputs leave the range of numbers.", linear_elbo=result)
    return result


# --- collapse, predicted ----------------------------------------------------------------------------------------------------------


def active_latents(eigenvalues, sigma2, beta=1.0):
    """Which latents a linear beta-VAE uses at its optimum, if its sigma^2 is held fixed: those worth more than the noise.

        latent i is active  <=>  lambda_i > beta sigma^2                          Lucas et al. (2019), section 4   [COLL-1]

    eigenvalues: lambda (D,), of the data's covariance, such as ppca(x, 0).eigenvalues; sigma2, beta: above 0.
    Returns bool (D,): a VAE with q latents has the first q of them. Raises ValueError for a wrong shape or range.
    """
    lam = np.asarray(eigenvalues, np.float64)
    has_shape("active_latents", "eigenvalues", lam, ("D",), "the eigenvalues of a covariance; ppca(x, 0).eigenvalues has them.")
    finite("active_latents", eigenvalues=lam)
    return lam > positive("active_latents", "beta", beta) * positive("active_latents", "sigma2", sigma2)


@dataclass(frozen=True, eq=False)
class LinearOptimum(LinearGaussian):
    """The optimum of a linear beta-VAE at a fixed sigma^2; see `linear_optimum`, which makes it."""

    rate: float
    distortion: float

    @property
    def active(self):
        """Which of the q latents carry anything: (q,) bool."""
        return active_latents(self.eigenvalues, self.sigma2, self.beta)[: len(self.W)]

    @property
    def elbo(self):
        """-(distortion + rate), the mean ELBO of the rows, in nats, whatever beta is."""
        return -(self.distortion + self.rate)


def linear_optimum(x, q, sigma2, beta=1.0):
    """The optimum of a linear beta-VAE with q latents on the rows x, if its sigma^2 is held fixed: every term in closed form.

        W_i = (lambda_i - beta sigma^2)^(1/2) u_i^T,    variance of q(z_i|x) = beta sigma^2 / lambda_i             [COLL-2]
        rate = mean KL = 1/2 sum_active log( lambda_i / (beta sigma^2) )                                           [COLL-3]
        distortion = mean nll = ( sum_active beta sigma^2 + sum_others lambda_i ) / (2 sigma^2)
                                + D/2 log( 2 pi sigma^2 )                                                          [COLL-4]

    Active: i <= q with lambda_i > beta sigma^2 [COLL-1]; the others have W_i = 0 and q(z_i|x) = p(z_i). It is Shannon's reverse
    water-filling: beta sigma^2 is the water level, and as beta runs, (rate, distortion) runs along the rate-distortion function of
    the Gaussian with these eigenvalues. With beta = 1 and sigma^2 = ppca(x, q).sigma2 it is pPCA.
    x: (N, D); 0 <= q <= D; sigma2, beta: above 0. Returns a LinearOptimum: .rate, .distortion, .elbo, .active (q,), .variances
    (q,), and .W, .mean, .posterior(x) as `ppca` does. Raises the errors of `ppca`, but for that of sigma^2 = 0.
    """
    x = rows_of_data("linear_optimum", x)
    sigma2, beta = positive("linear_optimum", "sigma2", sigma2), positive("linear_optimum", "beta", beta)
    mean, U, lam, _ = spectrum("linear_optimum", x)
    D, q = len(mean), count("linear_optimum", q, len(mean), "D")
    level = positive("linear_optimum", "beta sigma2", beta * sigma2)
    active = np.arange(D) < q
    active &= active_latents(lam, sigma2, beta)
    W = np.sqrt(np.where(active, lam - level, 0))[:q, None] * U[:q]  # (q, D)
    rate = 0.5 * float(np.sum(np.log(lam[active]) - math.log(level)))
    squared_error = float(np.sum(np.where(active, level, lam)))
    distortion = squared_error / (2 * sigma2) + 0.5 * D * (LOG_2PI + math.log(sigma2))
    return LinearOptimum(mean, W, sigma2, lam, beta, rate=rate, distortion=distortion)
