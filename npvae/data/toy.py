"""Data in the plane, made on the spot: five shapes that show what a model with few latents can and cannot fold."""

import math

import numpy as np

from npvae.core.checks import generator, has_shape, positive_integer
from npvae.core.gaussian import LOG_2PI
from npvae.core.numerics import logsumexp
from npvae.data.dataset import Dataset

NOISE = 0.1  # standard deviation across the line of the ring, the moons, the spiral, and of each spot of the grid
GRID = np.arange(-2.0, 3.0)  # the grid's coordinates


def paraboloid(n, rng):
    """y_j = 1/2 ||x||^2 + e_j,   j = 1, 2,   x and e standard normal in the plane   (article 5).

    1/2 ||x||^2 is a number a row, Exp(1), and is added to both coordinates: (n, 1) to (n, 2). The article adds an array of shape
    (n,) to (n, 2), which NumPy refuses (unless n is 1 or 2).  rng: numpy.random.Generator.  Returns (n, 2) float64."""
    x, e = rng.standard_normal((n, 2)), rng.standard_normal((n, 2))
    return 0.5 * np.sum(x**2, axis=1, keepdims=True) + e  # (n, 2)


def ring(n, rng):
    """y = r (cos a, sin a),   r ~ N(1, NOISE^2),   a uniform.  rng: numpy.random.Generator.  Returns (n, 2) float64."""
    r, a = 1 + NOISE * rng.standard_normal(n), rng.uniform(0, 2 * math.pi, n)
    return r[:, None] * _direction(a)


def two_moons(n, rng):
    """Two half circles that reach into each other, (cos a, sin a) and (1 - cos a, 1/2 - sin a), a uniform in 0..pi, plus noise.

    Each row is of either moon with probability 1/2.  rng: numpy.random.Generator.  Returns (n, 2) float64."""
    lower, a = rng.integers(0, 2, n), rng.uniform(0, math.pi, n)
    y = np.where(lower[:, None] == 0, _direction(a), [1.0, 0.5] - _direction(a))
    return y + NOISE * rng.standard_normal((n, 2))


def spiral(n, rng):
    """y = 2 t (cos 3 pi t, sin 3 pi t) + noise: one and a half turns from 0 to radius 2; t = sqrt(u), u uniform in 0..1.

    The square root spreads the rows almost evenly along the line.  rng: numpy.random.Generator.  Returns (n, 2) float64."""
    t = np.sqrt(rng.uniform(size=n))
    return 2 * t[:, None] * _direction(3 * math.pi * t) + NOISE * rng.standard_normal((n, 2))


def grid(n, rng):
    """Twenty-five Gaussians of deviation NOISE at the points with coordinates -2, -1, 0, 1, 2, each as likely.

    rng: numpy.random.Generator.  Returns (n, 2) float64."""
    return rng.choice(GRID, (n, 2)) + NOISE * rng.standard_normal((n, 2))


def _direction(a):
    return np.stack([np.cos(a), np.sin(a)], axis=1)  # (n, 2)


def _log_paraboloid(y):
    """With u = (y1 + y2) / sqrt 2 and v = (y1 - y2) / sqrt 2: u = sqrt 2 t + N(0, 1), t ~ Exp(1), and v ~ N(0, 1), independent.

    p(u) = l exp( l^2/2 - l u ) Phi(u - l),   l = 1 / sqrt 2        (an exponential of rate l plus a standard normal)"""
    u, v = (y[:, 0] + y[:, 1]) / math.sqrt(2), (y[:, 0] - y[:, 1]) / math.sqrt(2)
    rate = 1 / math.sqrt(2)
    log_u = math.log(rate) + rate**2 / 2 - rate * u + np.array([_log_normal_cdf(a) for a in u - rate])
    return log_u - 0.5 * (LOG_2PI + v**2)


def _log_normal_cdf(x):
    """log Phi(x).  Below -30, where erfc leaves the floats soon, by the asymptotic series (Abramowitz & Stegun 26.2.12)."""
    if x > -30:
        return math.log(math.erfc(-x / math.sqrt(2)) / 2)
    return -0.5 * (LOG_2PI + x * x) - math.log(-x) + math.log1p(-1 / x**2 + 3 / x**4 - 15 / x**6 + 105 / x**8)


def _log_ring(y):
    """p(y) = ( N(r; 1, NOISE^2) + N(-r; 1, NOISE^2) ) / (2 pi r),   r = ||y||: a negative radius points the other way."""
    r = np.hypot(y[:, 0], y[:, 1])
    both = np.stack([_log_normal(r, 1.0), _log_normal(-r, 1.0)])
    with np.errstate(divide="ignore"):  # at the very center p is infinite
        return logsumexp(both, axis=0) - LOG_2PI - np.log(r)


def _log_grid(y):
    """p(y) = product over the coordinates of 1/5 sum_k N(y_j; k, NOISE^2)."""
    spots = _log_normal(y[:, :, None], GRID)  # (n, 2, 5)
    return np.sum(logsumexp(spots, axis=2) - math.log(len(GRID)), axis=1)


def _log_normal(y, mean):
    return -0.5 * (LOG_2PI + ((y - mean) / NOISE) ** 2) - math.log(NOISE)


TOYS = {"paraboloid": paraboloid, "ring": ring, "two-moons": two_moons, "spiral": spiral, "grid": grid}
LOG_DENSITIES = {"paraboloid": _log_paraboloid, "ring": _log_ring, "grid": _log_grid}


def load_toy(name, n=1000, *, rng):
    """One of TOYS as a data set: n rows to train on and n others to test, (n, 2) float64 each.

    rng: numpy.random.Generator.  Raises ValueError for a name that is not in TOYS."""
    if name not in TOYS:
        raise ValueError(f"load_toy: there is no data set {name!r}; there are {', '.join(TOYS)}.")
    n, rng = positive_integer("load_toy", "n", n), generator("load_toy", rng)
    return Dataset(name=name, train=TOYS[name](n, rng), test=TOYS[name](n, rng))


def log_density(name, y):
    """log p(y) of the paraboloid, the ring or the grid: exact.  y: (n, 2).  Returns (n,), in nats.

    Its mean over the data is what no model's log-likelihood can exceed on average; minus that mean tends to the entropy, which is
    3.3142 nats for the paraboloid, 0.9492 for the ring, 1.4516 for the grid.
    Raises ValueError for the other shapes, whose densities are integrals along a curve."""
    if name not in LOG_DENSITIES:
        raise ValueError(f"log_density: {name!r} has no density in closed form here; {', '.join(LOG_DENSITIES)} have.")
    has_shape("log_density", "y", y, ("n", 2))
    return LOG_DENSITIES[name](np.asarray(y, np.float64))
