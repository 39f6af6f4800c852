"""log p(x), the ELBO and KL( q(z|x) || p(z|x) ) as integrals over z, for one or two latents and any decoder and likelihood.

With so few latents nothing needs to be sampled or bounded: the integrals are done by quadrature, to ten digits. Gauss-Hermite
nodes under the prior, the textbook's choice, are off by nats where the posterior is narrower than their spacing; equal steps that
are halved until nothing changes are not. A model in float32 is evaluated by its float64 twin.

What is guaranteed: every peak of p(x|z) p(z) counts that is as wide as the first step of z, 0.035 for one latent and 0.14 for two,
and lies in [-9, 9] or within 6 sigma of mu; and a narrower one that stands out, by 2 nats, at a node of the first lattice or at one
of the nodes under q(z|x), or a farther one that shows by rising towards the edge. No rule can find any other: where the mass of
q(z|x) lies in it, the ELBO exceeds log p(x), or the KL is below 0, and that is an error; else it is missing in silence.

A conditional model is told the labels, condition (B,): log p(x) is then log p(x|c) everywhere. tolerance is in nats; a smooth
decoder gives more digits than asked for, one with kinks (ReLU) and two latents may need 1e-5.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from npvae.core.checks import NonFiniteError, finite, has_shape, positive_integer
from npvae.core.gaussian import LOG_2PI, kl_divergence
from npvae.evaluation import gauss_legendre, trapezoid
from npvae.evaluation.arguments import checked_data, checked_labels, posterior
from npvae.evaluation.gauss_legendre import log_integral_and_mean
from npvae.evaluation.trapezoid import ROUNDING, NotStable, first_lattice, log_integral, normal_log_mean, normal_mean

AT_ONCE = 2**20  # numbers that the decoder gives at a time
KEPT = 2**24  # numbers of its output for the first lattice that are kept for the next row
MOST_SAMPLES = 10**9  # one of so many lies beyond 9 sigma of q(z|x) with a probability of 2e-10


def log_likelihood_by_quadrature(vae, x, condition=None, tolerance=1e-8):
    """log p(x) of each example, in nats: the integral by quadrature, not a bound of it.

        log p(x) = log integral p(x|z) p(z) dz                          Kingma & Welling (2014), section 2.1       [QUAD-2]

    The trapezoid rule on [-9, 9] along each latent, or wider: as far as 6 sigma from mu of q(z|x), and to where p(x|z) p(z) has
    died away. The step is halved until the result is stable, row by row [QUAD-1]; q(z|x) tells where to look, too, and the result
    is held against its ELBO. What can be missed all the same stands at the top of this file.
    x: (B, D), floats or 0/1 integers; condition: the labels (B,), for a conditional model. Returns (B,) float64.
    Raises ValueError for more than 2 latents, where a result does not become stable or is less than the ELBO, and for a q(z|x) out
    of reach; NonFiniteError if a parameter, x or a log p(x|z) is not finite; and what `elbo` raises for other wrong arguments.
    """
    return _each("log_likelihood_by_quadrature", _Row.log_likelihood, vae, x, condition, tolerance)


def elbo_by_quadrature(vae, x, condition=None, tolerance=1e-8):
    """The ELBO of each example, in nats, without a sample: the expectation over q(z|x) by quadrature, the KL in closed form.

        ELBO = E[ log p(x|mu + sigma eps) ] - KL( q(z|x) || p(z) ),    eps ~ N(0, I)                               [QUAD-6]

    By the trapezoid rule over eps on [-9, 9] [QUAD-3], its first step at most 0.035 in eps and in z for one latent, 0.14 for two:
    what a decoder does in less may be missed. Arguments, result (B,) and errors: those of `log_likelihood_by_quadrature`, and
    ValueError for a sigma so large that the steps would be too many (above 8,000 for one latent, 16 for two).
    """
    return _each("elbo_by_quadrature", _Row.elbo, vae, x, condition, tolerance)


def kl_to_posterior(vae, x, condition=None, tolerance=1e-8):
    """KL( q(z|x) || p(z|x) ) of each example, in nats: the gap between the ELBO and log p(x).

        p(z|x) = p(x|z) p(z) / C,    C = integral p(x|z) p(z) dz
        KL = E_q[ log q(z|x) - log p(x|z) - log p(z) ] + log C                                                     [QUAD-7]

    C and the expectation by Gauss-Legendre nodes on boxes cut until they agree [QUAD-5]: nothing is shared with the two functions
    above but the model, so that log p(x) = ELBO + KL is a test of all three, of all but a peak that no node of either rule sees.
    Arguments, result (B,) and errors: theirs (for sigma above 5,000, or 10), and ValueError where the result is below 0, since a
    peak is missing then.
    """

    def integrate(row, tolerance):
        z = row.z(gauss_legendre.nodes_of_normal(row.Z))
        log_C, _ = log_integral_and_mean(lambda z: (row.log_joint(z), np.ones(len(z))), row.Z, tolerance, (z, row.log_joint(z)))

        def log_ratio(eps):
            log_normal = _log_normal(eps)
            return log_normal, log_normal - 0.5 * np.sum(row.logvar) - row.log_joint(row.z(eps))

        kl = log_integral_and_mean(log_ratio, row.Z, tolerance, sigma=row.sigma)[1] + log_C
        if kl < -_slack(tolerance, log_C):
            raise _unseen(f"KL( q(z|x) || p(z|x) ) = {kl:.6g} is below 0")
        return kl

    return _each("kl_to_posterior", integrate, vae, x, condition, tolerance)


def expected_bound_by_quadrature(vae, x, samples, condition=None, tolerance=1e-8):
    """E L_K of each example, in nats: the importance-weighted bound, averaged over all draws of its K samples.

        E L_K = E log 1/K sum_k w_k,    w_k = p(x|z_k) p(z_k) / q(z_k|x),    z_k ~ q(z|x)                          [QUAD-8]

    samples: K, up to 10^9. E L_1 is the ELBO, by its rule [QUAD-3]; E L_K rises with K, to log p(x). By Frullani's integral
    [QUAD-4], at the same cost for every K; dear where the weights differ by thousands of nats within q(z|x), and refused where by
    far more. Other arguments, result (B,) and errors: those of `elbo_by_quadrature` (for sigma above 500, or 4); ValueError for
    samples out of range.
    """
    where = "expected_bound_by_quadrature"
    K = positive_integer(where, "samples", samples)
    if K > MOST_SAMPLES:
        raise ValueError(
            f"{where}: samples must be at most 10^9, got 10^{math.log10(K):.2f}; of so many draws some lie beyond 9 sigma of "
            "q(z|x), where the integral ends. The limit for ever more samples is log_likelihood_by_quadrature."
        )

    def integrate(row, tolerance):
        def log_w(eps):
            return row.log_w(eps, row.log_joint(row.z(eps)))

        if K == 1:
            return normal_mean(log_w, row.Z, tolerance, row.sigma)
        return normal_log_mean(log_w, row.Z, K, tolerance, row.sigma)

    return _each(where, integrate, vae, x, condition, tolerance)


class Densities(NamedTuple):
    """Densities of z at the points of a grid: (n,) for one latent, (n, m) for two, the first latent along the first axis."""

    axes: tuple[np.ndarray, ...]
    prior: np.ndarray
    q: np.ndarray
    posterior: np.ndarray


def posterior_on_grid(vae, x, *axes, condition=None, tolerance=1e-8):
    """The prior p(z), q(z|x) and the posterior p(z|x) = p(x|z) p(z) / p(x) of one example on a grid, to be drawn.

    x: (D,) or (1, D); axes: the values of z along each latent, (n,), or (n,) and (m,); condition: its label, for a conditional
    model. Returns Densities(axes, prior, q, posterior). Raises the errors of `log_likelihood_by_quadrature`, and ValueError for
    more rows than one or another number of axes.
    """
    where = "posterior_on_grid"
    x = np.atleast_2d(x)
    if len(x) != 1:
        raise ValueError(f"{where}: x has shape {x.shape}, expected one example, (D,) or (1, D).")
    condition = None if condition is None else np.reshape(condition, (1,))
    ((_, row),) = _rows(where, vae, x, condition)
    if len(axes) != row.Z:
        raise ValueError(f"{where}: got {len(axes)} axes for {row.Z} latents; give the values of z along each of them.")
    axes = tuple(np.asarray(axis, np.float64) for axis in axes)
    for i, axis in enumerate(axes):
        has_shape(where, f"axis {i}", axis, ("n",))
        finite(where, **{f"axis {i}": axis})
    log_p = _each(where, _Row.log_likelihood, vae, x, condition, tolerance)[0]
    z = np.stack([grid.ravel() for grid in np.meshgrid(*axes, indexing="ij")], axis=1)  # (n, Z)
    with np.errstate(over="ignore"):  # far from a narrow q(z|x): its density is 0
        precision = np.exp(-0.5 * row.logvar)
        finite(where, "q(z|x) is too narrow to be drawn.", **{"1 / sigma": precision})
        eps = (z - row.mu) * precision
        logs = _log_normal(z), _log_normal(eps) - 0.5 * np.sum(row.logvar), row.log_joint(z) - log_p
    return Densities(axes, *(np.exp(a).reshape([len(axis) for axis in axes]) for a in logs))


# --- rows -------------------------------------------------------------------------------------------------------------------------


class _Decoder:
    """The decoder of all rows with one label."""

    def __init__(self, where, vae):
        self.where, self.vae, self.width = where, vae, vae.likelihood.n_outputs(vae.data_dim)

    @functools.cached_property
    def first(self):
        """The nodes of the first lattice (n, Z), and the decoder's output for them, unless that is too much to keep."""
        low, h, shape = first_lattice(self.vae.latent_dim)
        z = low + h * np.argwhere(np.ones(shape, bool))
        with np.errstate(all="ignore"):  # log_px looks at the result
            return z, self.vae.decode(z) if len(z) * self.width <= KEPT else None

    def log_px(self, x, z, out=None):
        """log p(x|z) of one x (D,) at z (n, Z): (n,).  Raises NonFiniteError."""
        step = max(1, AT_ONCE // self.width)
        result = np.empty(len(z))
        with np.errstate(all="ignore"):  # the result is looked at below
            for cut in (slice(start, start + step) for start in range(0, len(z), step)):
                part = self.vae.decode(z[cut]) if out is None else out[cut]
                result[cut] = -self.vae.likelihood.nll(part, np.broadcast_to(x, (len(part), len(x))))
        if not np.all(np.isfinite(result)):
            i = np.flatnonzero(~np.isfinite(result))[0]
            raise NonFiniteError(f"{self.where}: log p(x|z) is {result[i]} at z = {z[i]}; the outputs leave the range of numbers.")
        return result


class _Row(NamedTuple):
    """One example: x (D,) and the mu, logvar (Z,) of its q(z|x)."""

    decoder: _Decoder
    x: np.ndarray
    mu: np.ndarray
    logvar: np.ndarray

    @property
    def Z(self):
        return len(self.mu)

    @property
    def sigma(self):
        return np.exp(0.5 * self.logvar)  # (Z,)

    def z(self, eps):
        """mu + sigma eps: (n, Z)."""
        return self.mu + self.sigma * eps

    def log_px(self, z):
        """log p(x|z): (n,)."""
        return self.decoder.log_px(self.x, z)

    def log_joint(self, z):
        """log p(x|z) + log p(z): (n,)."""
        return self.decoder.log_px(self.x, z) + _log_normal(z)

    def log_w(self, eps, log_joint):
        """log p(x|z) + log p(z) - log q(z|x) at z(eps): (n,)."""
        return log_joint - _log_normal(eps) + 0.5 * np.sum(self.logvar)

    def log_likelihood(self, tolerance):
        """log p(x). The decoder's output for the first lattice serves all rows."""
        z, out = self.decoder.first
        first = self.decoder.log_px(self.x, z, out) + _log_normal(z)
        eps, p = trapezoid.nodes_of_normal(self.Z)
        known = self.z(eps), self.log_joint(self.z(eps))
        log_p = log_integral(self.log_joint, first.reshape(first_lattice(self.Z)[2]), tolerance, known)
        most = log_p + _slack(tolerance, log_p)
        # Jensen: a look at the ELBO by these nodes, and where it is too high, one by as many as it takes
        if np.sum(p * self.log_w(eps, known[1])) > most and (elbo := self.elbo(tolerance)) > most:
            raise _unseen(f"log p(x) = {log_p:.6g} is less than the ELBO, {elbo:.6g}")
        return log_p

    def elbo(self, tolerance):
        """The ELBO: the reconstruction by quadrature, the KL in closed form."""
        kl = kl_divergence(self.mu[None], self.logvar[None])[0]
        return normal_mean(lambda eps: self.log_px(self.z(eps)), self.Z, tolerance, self.sigma) - kl


def _slack(tolerance, value):
    """How far two integrals, stable to the tolerance each, may be on the wrong side of each other."""
    return 2 * tolerance + ROUNDING * abs(value)


def _unseen(what):
    """The error of a result that Jensen's inequality refutes."""
    return NotStable(f"{what}: a peak of p(x|z) p(z) that q(z|x) knows is narrower than the finest grid or beyond the widest")


def _log_normal(z):
    """log N(z; 0, I): (n, Z) -> (n,)."""
    return -0.5 * np.sum(z**2 + LOG_2PI, axis=1)


def _rows(where, vae, x, condition):
    """Yield (index, _Row), label by label."""
    checked_data(where, vae, x)
    if vae.latent_dim > 2:
        raise ValueError(
            f"{where}: the model has {vae.latent_dim} latents; quadrature is for 1 or 2, since its nodes grow with a power of "
            "them. Use evaluation.log_likelihood (importance sampling)."
        )
    vae = in_float64(where, vae)
    x = vae.as_data(where, x)
    labels = checked_labels(where, vae, x, condition)
    mu, logvar = posterior(vae, x, labels)
    with np.errstate(over="ignore"):
        finite(where, "the encoder's outputs leave the range of numbers.", mu=mu, logvar=logvar, sigma=np.exp(0.5 * logvar))
    for label in [None] if labels is None else np.unique(labels):
        decoder = _Decoder(where, vae if label is None else vae.given(np.array([label])))
        for i in range(len(x)) if label is None else np.flatnonzero(labels == label):
            yield i, _Row(decoder, x[i], mu[i], logvar[i])


def _each(where, integrate, vae, x, condition, tolerance):
    """integrate(row, tolerance) of every row: (B,) float64.  Raises ValueError where an integral does not become stable."""
    number = isinstance(tolerance, (int, float, np.number)) and not isinstance(tolerance, bool)
    if not (number and 0 < tolerance < math.inf):
        raise ValueError(f"{where}: tolerance must be a positive number of nats, got {tolerance!r}.")
    results = {}
    for i, row in _rows(where, vae, x, condition):
        try:
            with np.errstate(over="ignore"):  # of what is huge; the result is looked at
                results[i] = integrate(row, tolerance)
        except NotStable as error:
            raise ValueError(f"{where}: row {i}: {error}. evaluation.log_likelihood (importance sampling) needs no grid.") from None
        finite(where, f"row {i} leaves the range of numbers.", result=results[i])
    return np.array([results[i] for i in range(len(results))])


def in_float64(where, vae):
    """The model itself, or its float64 twin.  Raises TypeError for one with complex parameters."""
    if np.issubdtype(vae.dtype, np.complexfloating):
        raise TypeError(f"{where}: the model is {vae.dtype}; densities are for real parameters, evaluate the model it came from.")
    return vae if vae.dtype == np.float64 else vae.astype(np.float64)
