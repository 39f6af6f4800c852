"""The trapezoid rule for integrals over one or two latents, with the step halved until nothing changes.

Equal steps look naive. But for a smooth integrand that has died away at both ends the rule is exponentially accurate, and the only
things to settle are the interval and the step. The functions take many points at once, z (n, Z) -> (n,), give finite
numbers, and are asked about no point twice.
"""

import math

import numpy as np

from npvae.core.gaussian import LOG_2PI
from npvae.core.numerics import logsumexp

REACH = 9.0  # where the prior has e^-40.5 of its height
STEPS = {1: 512, 2: 128}  # of the first lattice on [-9, 9], along each axis
EDGE = 40.0  # what is this many nats below the top at the edge needs no wider interval
NEGLIGIBLE = 80.0  # and what is this many below it is left out, even where it is 10^15 times as wide as the peak
MOST_NODES = 2**22
ROUNDING = 64 * np.finfo(np.float64).eps  # relative: what no finer step can improve


class NotStable(ValueError):
    """At the finest or widest grid allowed, the result still changes by more than the tolerance, or a peak may be unseen."""


def not_stable(change):
    """The error that says how large the last change was."""
    return NotStable(f"the integral is not stable at the finest grid (its last change: {change:.2g} nats)")


def too_far():
    """The error of a posterior that is out of reach."""
    return NotStable("p(x|z) p(z) has not died away at the edge of the widest grid")


def first_lattice(Z):
    """low (Z,), the step h and the shape of the lattice that every integral begins with."""
    return np.full(Z, -REACH), 2 * REACH / STEPS[Z], (STEPS[Z] + 1,) * Z


def log_integral(f, values, tolerance):
    """log of the integral of e^f over all of R^Z.

        integral = h^Z sum_i e^f(z_i),    z_i = low + h i                                                          [QUAD-1]

    f: points (n, Z) -> (n,); values: f at the nodes of `first_lattice`, in its shape. The lattice is widened until e^f has died
    away at its edges, cut down to where it is not negligible, and halved until the result is stable: the sums over every other node
    along each axis (2 of them for Z = 1, 4 for Z = 2), which have no node in common, agree within the tolerance, and there is no
    room for an unseen peak between the nodes. Raises NotStable at MOST_NODES.
    """
    Z = values.ndim
    low, h, _ = first_lattice(Z)
    low, values = _widened(f, low, h, values)
    while True:
        low, values = _cropped(low, h, values)
        logs = np.array([logsumexp(part.ravel(), 0) for part in _every_other(values)]) + Z * math.log(2 * h)
        change = float(np.ptp(logs))
        if change <= tolerance + ROUNDING * abs(float(logs[0])) and not np.any(_hiding(values)[1]):
            return float(logsumexp(logs, 0)) - Z * math.log(2)  # their mean: the sum over all nodes
        if values.size * 2**Z > MOST_NODES or h < 1e-15:
            raise not_stable(change)
        values, h = _halved(f, low, h, values, _hiding(values)[0] >= values.max() - NEGLIGIBLE)


def normal_mean(g, Z, tolerance):
    """E[ g(eps) ] for eps ~ N(0, I).

        E[g] = sum_i p_i g(eps_i),    p_i = phi(eps_i) h^Z,    phi: the density of N(0, I), on [-9, 9]             [QUAD-3]

    g: points (n, Z) -> (n,). Stable as for `log_integral`. Raises NotStable at MOST_NODES.
    """
    return _normal(g, Z, tolerance, lambda values, p: float(np.sum(p * values)), MOST_NODES)


def normal_log_mean(log_w, Z, K, tolerance):
    """E log 1/K sum_k w_k of K independent weights w_k = w(eps_k), eps_k ~ N(0, I): what L_K is in expectation.

        log S = integral_0^infinity ( e^-t - e^(-t S) ) / t dt                            Frullani's integral
        E log 1/K sum_k w_k = integral ( exp(-e^u) - E[ exp(-e^u w / K) ]^K ) du,    t = e^u                       [QUAD-4]

    An expectation over K draws becomes the K-th power of one over a single draw: K costs nothing.
    log_w: points (n, Z) -> (n,). The integral over u is a trapezoid rule, too. Raises NotStable.
    """

    def log_mean(values, p):
        c = float(logsumexp((values + np.log(p)).ravel(), 0))  # log E[w]: the weights are divided by their mean
        a, p = values[p > 1e-18] - c, p[p > 1e-18] / np.sum(p[p > 1e-18])
        order = np.argsort(a)
        a, p = a[order], p[order]
        above = np.append(np.cumsum(p[::-1])[::-1], 0)  # the probability of a and all larger ones
        u = np.arange(-40.0 - a[-1], 4.0 - a[0] + 0.25, 0.25)
        # e^-t w is 1 for the small weights and 0 for the large ones, to 17 digits: only those between need work
        shares = np.empty_like(u)
        for i, v in enumerate(u - math.log(K)):
            some = slice(*np.searchsorted(a, (-45 - v, 4 - v)))
            shares[i] = np.sum(p[some] * np.expm1(-np.exp(a[some] + v))) - above[some.stop]
        power = np.exp(K * np.log1p(np.maximum(shares, -1)))  # E[ exp(-e^u w / K) ]^K
        return c + 0.25 * float(np.sum(np.exp(-np.exp(u)) - power))

    with np.errstate(over="ignore", divide="ignore", under="ignore"):  # exp(-e^u) is 0 for large u, and the power 0^K = e^-inf
        return _normal(log_w, Z, tolerance, log_mean, MOST_NODES // 16)  # each of them is used for all u


def _normal(g, Z, tolerance, summary, most):
    """summary(values of g, their probabilities) under N(0, I), on a lattice over [-9, 9] halved until it is stable."""
    low, h, shape = first_lattice(Z)
    values = _filled(g, low, h, np.full(shape, np.nan))
    while True:
        nodes = -REACH + h * np.arange(len(values))
        p = h * np.exp(-0.5 * (nodes**2 + LOG_2PI))
        p = p if Z == 1 else p[:, None] * p
        parts = [summary(v, w * 2**Z) for v, w in zip(_every_other(values), _every_other(p))]
        if np.ptp(parts) <= tolerance + ROUNDING * abs(parts[0]):
            return summary(values, p)
        if values.size * 2**Z > most:
            raise not_stable(float(np.ptp(parts)))
        values, h = _halved(g, low, h, values, np.ones(values.shape, bool))


# --- lattices ---------------------------------------------------------------------------------------------------------------------


def _every_other(values):
    """The 2^Z lattices of twice the step that the lattice is made of."""
    return [values[tuple(slice(start, None, 2) for start in starts)] for starts in np.ndindex((2,) * values.ndim)]


def _hiding(values):
    """How high f may be near each node, and where a peak could hide between a node and the next one.

    A parabola through a node and its two neighbors along an axis has its top less than the second difference above the node. Where
    that is under 2 nats, a peak is at least 0.7 steps wide (one sigma), and the sums over every other node see it."""
    height, hiding = values.copy(), np.zeros(values.shape, bool)
    for axis in range(values.ndim):
        v, inner_height, inner_hiding = (np.moveaxis(a, axis, 0) for a in (values, height, hiding))  # views
        with np.errstate(invalid="ignore"):  # of two nodes that are left out, -inf
            left, right = v[1:-1] - v[:-2], v[1:-1] - v[2:]
        top = (left >= 0) & (right >= 0) & (left + right < np.inf)  # higher than both neighbors, neither of them left out
        second = np.where(top, left + right, 0)
        inner_height[1:-1] += second
        inner_hiding[1:-1] |= second > 2
    return height, hiding & (height >= values.max() - EDGE)


def _widened(f, low, h, values):
    """The lattice with half as much again on every side where e^f has not died away, until there is none: low, values."""
    while True:
        height, top = _hiding(values)[0], values.max()
        widths = []
        for axis in range(values.ndim):
            others = tuple(a for a in range(values.ndim) if a != axis)
            live = height.max(axis=others) >= top - EDGE  # (n,)
            profile = values.max(axis=others)  # (n,)    where it rises at an end, there is a peak beyond
            more = len(profile) // 2 + 1
            widths.append((more * int(live[0] or profile[0] > profile[1]), more * int(live[-1] or profile[-1] > profile[-2])))
        if not np.any(widths):
            return low, values
        if np.prod([n + sum(more) for n, more in zip(values.shape, widths)]) > MOST_NODES:
            raise too_far()
        low = low - h * np.array([before for before, _ in widths])
        values = _filled(f, low, h, np.pad(values, widths, constant_values=np.nan))


def _cropped(low, h, values):
    """The smallest lattice that holds all nodes near which e^f may not be negligible, and one more on each side: low, values."""
    live = _hiding(values)[0] >= values.max() - NEGLIGIBLE
    cuts = []
    for axis in range(values.ndim):
        where = np.flatnonzero(live.any(axis=tuple(a for a in range(values.ndim) if a != axis)))
        cuts.append(slice(max(0, where[0] - 1), where[-1] + 2))
    return low + h * np.array([cut.start for cut in cuts]), values[tuple(cuts)]


def _halved(f, low, h, values, wanted):
    """The lattice with a node in the middle of every two: values, h. It is left out, -inf, where no node beside it is wanted."""
    wanted = np.pad(wanted, 1)
    around = [wanted[tuple(slice(i, i + n) for i, n in zip(shift, values.shape))] for shift in np.ndindex((3,) * values.ndim)]
    lower = np.ix_(*(np.arange(2 * n - 1) // 2 for n in values.shape))  # the old node at or below each of the new lattice
    finer = np.where(np.any(around, axis=0)[lower], np.nan, -np.inf)
    finer[(slice(None, None, 2),) * values.ndim] = values
    return _filled(f, low, h / 2, finer), h / 2


def _filled(f, low, h, values):
    """values, with f where they are NaN."""
    missing = np.isnan(values)
    values[missing] = f(low + h * np.argwhere(missing))
    return values
