"""What is known of a gradient estimator: its expectation, by quadrature; its mean and variance, by drawing; and whether they agree.

    for row in compare_estimators(vae, x, rng):
        print(row.name, row.z, row.encoder_variance)

An estimator is an objective, a function (vae, x, eps) -> Loss that fills vae.params.grad. Everything here is computed with a
float64 twin: the model that is given keeps its gradient.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from npvae.beyond.draws import arguments
from npvae.beyond.estimators import analytic_kl, leave_one_out, path_derivative, sampled_kl, score_function
from npvae.core.checks import generator, has_shape, positive_integer
from npvae.core.gaussian import LOG_2PI

ELBO_ESTIMATORS = analytic_kl, sampled_kl, path_derivative, leave_one_out, score_function
EDGE = 8.0  # of eps: the normal density there is 5e-15
INTERVALS = {1: (32, 64, 128, 256, 512, 1024), 2: (24, 36, 54, 80, 120, 180)}  # from -8 to 8, in 1 or 2 numbers of noise
SETTLED = 1e-10  # of the root mean square of the gradient's norm
GROUPS = 200  # of draws: the variance of their means is known to sqrt(2 / 200) = 10 % for each parameter
AT_ONCE = 2**20  # values of x in one call


def expected_gradient(objective, vae, x, K=1, condition=None):
    """The expectation of an objective's gradient over all of its noise, by the trapezoid rule.

        E[ g ] = integral g(eps) N(eps; 0, I) deps = h^n sum_i g(eps_i) N(eps_i; 0, I),      n = K Z <= 2           [PATH-3]

    on [-8, 8]^n, with ever smaller h until the sum no longer moves. An example's gradient depends on its own noise alone, so that
    all of them share the nodes. For a smooth integrand the error falls faster than any power of h (Trefethen & Weideman 2014).
    x: (B, D); K: the draws for each example; condition: the labels (B,) of a conditional model. Returns (P,) float64, in the order
    of vae.params.theta. Raises ValueError for K Z > 2, and where the sum does not settle, as with the kinks of ReLU; TypeError,
    ValueError and NonFiniteError as the objective does.
    """
    gradient, x, Z = _gradient("expected_gradient", objective, vae, x, condition)
    n = positive_integer("expected_gradient", "K", K) * Z
    if n not in INTERVALS:
        raise ValueError(
            f"expected_gradient: K Z is {K} x {Z} = {n}, and the rule goes over at most 2 numbers of noise for each example; "
            "use a model of fewer latents, or gradient_moments, which draws."
        )
    result = None
    for intervals in INTERVALS[n]:
        before, total, square = result, 0.0, 0.0
        for orbit, weight in _orbits(n, intervals):
            m, B = len(orbit), len(x)
            eps = np.repeat(orbit.reshape(m, K, Z).swapaxes(0, 1), B, axis=1)  # (K, m B, Z)
            g = gradient(np.tile(x, (m, 1)), eps, None if condition is None else np.tile(condition, m))  # (P,)
            total, square = total + weight * g, square + weight * (g @ g)
        result, scale = total, math.sqrt(square)
        if before is not None and np.linalg.norm(result - before) <= SETTLED * scale:
            return result
    raise ValueError(
        f"expected_gradient: with {intervals} intervals the sum still moves, by {np.linalg.norm(result - before) / scale:.1e} of "
        "the gradient's size; at the kinks of ReLU, or where the encoder's sigma is very large, it cannot settle. Use smooth "
        "activations such as Tanh or Softplus, or gradient_moments, which draws."
    )


def _orbits(n, intervals):
    """The nodes of the trapezoid rule under N(0, I) in n dimensions, in groups that differ by sign and order alone.

    They have one weight, so that a group is one call. Yields the group's nodes eps (m, n), and the weight of all m together."""
    h = 2 * EDGE / intervals
    for i in itertools.combinations_with_replacement(range(intervals // 2 + 1), n):
        signed = itertools.product(*((j, -j) for j in i))
        orbit = h * np.array(sorted({order for node in signed for order in itertools.permutations(node)}))  # (m, n)
        distance2 = orbit[0] @ orbit[0]
        if distance2 <= EDGE**2:
            yield orbit, len(orbit) * h**n * math.exp(-0.5 * (distance2 + n * LOG_2PI))


class Moments(NamedTuple):
    """Of a gradient over its noise, for each parameter; the standard error of mean is sqrt(variance / draws)."""

    mean: np.ndarray  # (P,)
    variance: np.ndarray  # (P,) of one draw of eps (K, B, Z)
    draws: int


def gradient_moments(objective, vae, x, rng, draws=20_000, K=1, condition=None):
    """Mean and variance of an objective's gradient for the batch x, over the noise -> Moments.

        var[ g(eps) ] = m var[ 1/m sum_i g(eps_i) ]          so that m draws can be one call, with x repeated m times

    x: (B, D); rng: a numpy.random.Generator; draws: of eps (K, B, Z), at least 2, rounded up to whole calls; K: the draws of z for
    each example in one of eps; condition: the labels (B,) of a conditional model. Memory stays bounded, however many draws.
    Raises TypeError without a generator; ValueError for draws < 2 or K < 1; else as the objective does.
    """
    where = "gradient_moments"
    gradient, x, Z = _gradient(where, objective, vae, x, condition)
    K, draws, rng = positive_integer(where, "K", K), positive_integer(where, "draws", draws), generator(where, rng)
    if draws < 2:
        raise ValueError(f"{where}: draws must be at least 2, since a variance needs two; got 1.")
    m = max(1, min(draws // GROUPS, AT_ONCE // (K * x.size)))  # draws in one call
    groups = max(2, -(-draws // m))
    rows = np.tile(x, (m, 1))  # (m B, D)
    labels = None if condition is None else np.tile(condition, m)  # (m B,)
    mean, square = 0.0, 0.0
    for count in range(1, groups + 1):  # Welford (1962)
        g = gradient(rows, rng.standard_normal((K, len(rows), Z)), labels)  # (P,)
        delta = g - mean
        mean = mean + delta / count
        square = square + delta * (g - mean)
    return Moments(mean, m * square / (groups - 1), m * groups)


class Comparison(NamedTuple):
    """One estimator: is it right on average, and how noisy is it?"""

    name: str
    z: float  # the largest |mean - exact| of any parameter, in standard errors: below 4.5 for one without bias
    encoder_variance: float  # of one draw, summed over the encoder's parameters
    decoder_variance: float  # the same for decoder and likelihood


def compare_estimators(vae, x, rng, draws=20_000, K=2, estimators=ELBO_ESTIMATORS, exact=None, condition=None):
    """Draw from every estimator, and hold its mean against the exact gradient -> [Comparison, ...], in the order given.

    x: (B, D), the batch; rng: a numpy.random.Generator; draws, K: see `gradient_moments`; estimators: objectives that all estimate
    one gradient; exact: that gradient, (P,), by default the first one's `expected_gradient`, for which K Z may be 2 at most (that
    of the ELBO does not depend on K: expected_gradient(analytic_kl, vae, x) serves for every K). condition: the labels (B,).
    With P parameters, the largest of P |z| of an estimator without bias is above 4.5 with a probability of P / 150,000.
    Raises TypeError or ValueError for wrong arguments.
    """
    where, estimators = "compare_estimators", tuple(estimators)
    if not estimators:
        raise ValueError(f"{where}: estimators is empty; give objectives such as sampled_kl.")
    generator(where, rng)  # before the long rule
    for objective in estimators:
        _gradient(where, objective, vae, x, condition)
    if exact is None:
        exact = expected_gradient(estimators[0], vae, x, K, condition)
    has_shape(where, "exact", exact, (vae.params.size,), "one number for each parameter of the model.")
    of_encoder = np.concatenate([np.full(value.size, name.startswith("encoder.")) for name, value, _ in vae.params])  # (P,)
    rows = []
    for objective in estimators:
        mean, variance, n = gradient_moments(objective, vae, x, rng, draws, K, condition)
        floor = 1e-8 * math.sqrt(np.mean(mean**2 + variance)) or 1.0  # an estimator may have no variance, but has rounding errors
        z = np.abs(mean - exact) / np.maximum(np.sqrt(variance / n), floor)  # (P,)
        traces = np.sum(variance[of_encoder]).item(), np.sum(variance[~of_encoder]).item()
        rows.append(Comparison(objective.__name__, np.max(z).item(), *traces))
    return rows


def _gradient(where, objective, vae, x, condition):
    """-> a function (x, eps, condition) -> gradient (P,) of a float64 twin; x in float64; Z.  Raises TypeError, ValueError."""
    if not callable(objective):
        raise TypeError(f"{where}: objective must be a function (vae, x, eps) -> Loss, got {objective!r:.60}.")
    arguments(where, vae, x, np.zeros((1, len(np.atleast_1d(x)), getattr(vae, "latent_dim", 1))), condition)
    twin = vae.astype(np.float64)

    def gradient(x, eps, condition):
        objective(twin, x, eps, **({} if condition is None else {"condition": condition}))
        return twin.params.grad  # until the next call

    return gradient, twin.as_data(where, x), twin.latent_dim
