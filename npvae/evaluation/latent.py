"""What the latent dimensions are used for: which of them depend on x, how many nats they carry, and what these nats buy."""

from typing import NamedTuple

import numpy as np

from npvae.core import gaussian
from npvae.core.checks import finite, generator, positive_integer
from npvae.evaluation.arguments import ROWS_AT_ONCE, checked_data, checked_labels, given, posterior


def active_units(vae, x, threshold=0.01, condition=None):
    """Which latents the encoder uses: those whose posterior mean varies over the data.

        active_z  <=>  Var_x( E_q(z|x)[z] ) = Var_x( mu_z(x) ) > 0.01                            Burda et al. (2016)

    x: (B, D), at least two examples; condition: the labels (B,), for a conditional model. Returns bool (Z,).
    Raises TypeError, ValueError and NonFiniteError as `elbo` does, ValueError for a single row or a negative threshold.
    """
    x = checked_data("active_units", vae, x)
    labels = checked_labels("active_units", vae, x, condition)
    if len(x) < 2:
        raise ValueError("active_units: x has 1 row, and a variance over x needs at least 2.")
    if not (isinstance(threshold, (int, float, np.number)) and threshold >= 0):
        raise ValueError(f"active_units: threshold must be a number of at least 0, got {threshold!r}.")
    mu, _ = posterior(vae, x, labels)
    finite("active_units", "the encoder's outputs leave the range of numbers.", mu=mu)
    return np.var(mu, axis=0) > threshold


def kl_per_dimension(vae, x, condition=None):
    """KL( q(z|x) || N(0, 1) ) of each latent, averaged over x, in nats; its sum is the mean KL of an example.

    x: (B, D); condition: the labels (B,), for a conditional model. Returns (Z,) float64. A latent near 0 is unused: q(z|x) is the
    prior whatever x is.
    Raises TypeError, ValueError and NonFiniteError as `elbo` does.
    """
    x = checked_data("kl_per_dimension", vae, x)
    labels = checked_labels("kl_per_dimension", vae, x, condition)
    with np.errstate(all="ignore"):  # the result is looked at below
        kl = np.mean(gaussian.kl_per_dimension(*posterior(vae, x, labels)), axis=0)  # (Z,)
    finite("kl_per_dimension", "the encoder's outputs leave the range of numbers.", kl=kl)
    return kl


class RateDistortion(NamedTuple):
    """Where a model stands in the plane of rate and distortion, in nats per example, and the standard errors over the examples."""

    rate: float
    distortion: float
    rate_error: float
    distortion_error: float

    @property
    def elbo(self):
        """-(rate + distortion): models of the same ELBO lie on a line of slope -1."""
        return -(self.rate + self.distortion)


def rate_distortion(vae, x, rng, samples=1, condition=None):
    """The two parts of the ELBO, the nats that a code costs and the nats that are still missing once it is known.

        R = E_x KL( q(z|x) || p(z) )      D = -E_x E_q(z|x)[ log p(x|z) ]      H - D <= I(x; z) <= R      Alemi et al. (2018)

    H, the entropy of the data, is below every D + R = -ELBO. R = 0 is the auto-decoding limit: the code is ignored. D = 0, for
    discrete data, is the auto-encoding limit: the code says all. The loss at beta stops where the curve has slope -beta, so models
    trained at several beta draw it: visual.plot_rate_distortion.
    x: (B, D), at least two rows; rng: a numpy.random.Generator; samples: K, the draws of z for each example; condition: the labels
    (B,), for a conditional model. Returns RateDistortion(rate, distortion, rate_error, distortion_error); its .elbo is -(R + D).
    For densities D may be negative; of grey pixels the Bernoulli's D is a cross-entropy.
    Raises TypeError, ValueError and NonFiniteError as `elbo` does, ValueError for a single row.
    """
    where = "rate_distortion"
    samples = positive_integer(where, "samples", samples)
    generator(where, rng)
    x = checked_data(where, vae, x)
    labels = checked_labels(where, vae, x, condition)
    if len(x) < 2:
        raise ValueError(f"{where}: x has 1 row, and a standard error over x needs at least 2.")
    with np.errstate(all="ignore"):  # the results are looked at below
        mu, logvar = posterior(vae, x, labels)  # (B, Z), (B, Z)
        kl, nll = gaussian.kl_divergence(mu, logvar), _nll(vae, x, labels, mu, logvar, rng, samples)  # (B,), (B,)
        errors = [(np.std(a, ddof=1) / np.sqrt(len(x))).item() for a in (kl, nll)]
    finite(where, "the model's outputs leave the range of numbers.", kl=kl, nll=nll, errors=errors)
    return RateDistortion(np.mean(kl).item(), np.mean(nll).item(), *errors)


def _nll(vae, x, labels, mu, logvar, rng, samples):
    """-log p(x|z), averaged over K draws of z ~ q(z|x): (B,) float64, some rows and one draw of each at a time."""
    nll = np.zeros(len(x))  # (B,)
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        model = given(vae, labels, rows)
        for _ in range(samples):
            z, _ = gaussian.reparameterize(mu[rows], logvar[rows], rng.standard_normal(mu[rows].shape))  # (R, Z)
            nll[rows] += vae.likelihood.nll(model.decode(z), x[rows]) / samples
    return nll
