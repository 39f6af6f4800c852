"""The trapezoid rule for integrals over one or two latents, with the step halved until nothing changes.

Equal steps look naive. But for a smooth integrand that has died away at both ends the rule is exponentially accurate, and the only
things to settle are the interval and the step. The functions take many points at once, z (n, Z) -> (n,), give finite
numbers, and are asked about no point twice.

No rule knows what it has not asked for: a peak narrower than the first step that no node and no known point falls on is not in
the result.
"""

import math

import numpy as np

from npvae.core.gaussian import LOG_2PI
from npvae.core.numerics import logsumexp

REACH = 9.0  # where the prior has e^-40.5 of its height
STEPS = {1: 512, 2: 128}  # of the first lattice on [-9, 9], along each axis
EDGE = 40.0  # what is this many nats below the top at the edge needs no wider interval
NEGLIGIBLE = 80.0  # and what is this many below it is left out, even where it is 10^15 times as wide as the peak
SHARP = 0.8  # nats, the second difference at the top of a peak of 1.1 steps: the sum of all nodes is off by 4e-11 of it, at worst
MOST_NODES = 2**22
MOST_TIMES = 2**20  # values of u in Frullani's integral
ROUNDING = 64 * np.finfo(np.float64).eps  # relative: what no finer step can improve


class NotStable(ValueError):
    """At the finest or widest grid allowed, the result still changes by more than the tolerance, or a peak is or may be unseen."""


def not_stable(change):
    """The error that says how large the last change was."""
    return NotStable(
        f"the integral is not stable at the finest grid (its last change: {change:.2g} nats); where that is little, or the decoder "
        "has kinks (ReLU), ask for less with a larger tolerance"
    )


def hidden():
    """The error of a peak too narrow for a grid that holds all the mass."""
    return NotStable("p(x|z) p(z) has a peak too narrow for the finest grid")


def too_far():
    """The error of a posterior that is out of reach."""
    return NotStable("p(x|z) p(z) has not died away at the edge of the widest grid")


def out_of_reach():
    """The error of a q(z|x) that is."""
    return NotStable("the widest grid does not reach mu +- 6 sigma of q(z|x), where p(x|z) p(z) might have its mass")


def too_wide(sigma):
    """The error of a q(z|x) within which the decoder does more than can be seen."""
    return NotStable(f"q(z|x) is too wide (sigma = {sigma:.3g}) for a grid as fine in z as a decoder needs")


def first_lattice(Z):
    """low (Z,), the step h and the shape of the lattice that every integral begins with."""
    return np.full(Z, -REACH), 2 * REACH / STEPS[Z], (STEPS[Z] + 1,) * Z


def nodes_of_normal(Z):
    """Nodes eps (n, Z) up to 6, at steps of 0.035, or 0.28 for Z = 2, and their probabilities under N(0, I), (n,)."""
    h = 2 * REACH * Z / STEPS[Z]
    n = math.ceil(6 / h)
    eps = h * (np.argwhere(np.ones((2 * n + 1,) * Z, bool)) - n)
    p = np.exp(-0.5 * np.sum(eps**2, axis=1))
    return eps, p / p.sum()


def log_integral(f, values, tolerance, known=None):
    """log of the integral of e^f over all of R^Z.

        integral = h^Z sum_i e^f(z_i),    z_i = low + h i                                                          [QUAD-1]

    f: points (n, Z) -> (n,); values: f at the nodes of `first_lattice`, in its shape; known: other points (m, Z) and f at them
    (m,), if there are any. The lattice is widened until it holds them and e^f has died away at its edges, cut down to where it is
    not negligible, and halved until the result is stable: the sums over every other node along each axis (2 of them for Z = 1, 4
    for Z = 2), which have no node in common, agree within the tolerance; no known point lies on a peak that the nodes do not see;
    and no node is the top of a peak so sharp that it may be higher beside the node. Raises NotStable at MOST_NODES.
    """
    Z = values.ndim
    low, h, _ = first_lattice(Z)
    known = known or (np.empty((0, Z)), np.empty(0))
    low, values = _widened(f, *_reaching(f, low, h, values, known[0]), known)
    while True:
        low, values = _cropped(low, h, values, known)
        logs = np.array([logsumexp(part.ravel(), 0) for part in _every_other(values)]) + Z * math.log(2 * h)
        change = float(np.ptp(logs))
        height, hiding, top = _hiding(low, h, values, known)
        if change <= tolerance + ROUNDING * abs(float(logs[0])) and not np.any(hiding):
            return float(logsumexp(logs, 0)) - Z * math.log(2)  # their mean: the sum over all nodes
        if values.size * 2**Z > MOST_NODES or h < 1e-15:
            raise hidden() if np.any(hiding) else not_stable(change)
        values, h = _halved(f, low, h, values, height >= top - NEGLIGIBLE)


def normal_mean(g, Z, tolerance, sigma=1.0):
    """E[ g(eps) ] for eps ~ N(0, I).

        E[g] = sum_i p_i g(eps_i),    p_i = phi(eps_i) h^Z,    phi: the density of N(0, I), on [-9, 9]             [QUAD-3]

    g: points (n, Z) -> (n,); sigma: (Z,), where g is a function of z = mu + sigma eps: the first step is that of `first_lattice`
    in eps and in z. It is halved until the sums over all nodes and over every other agree within the tolerance. Raises NotStable
    at MOST_NODES.
    """
    return _normal(g, Z, tolerance, sigma, lambda values, p: float(np.sum(p * values)), MOST_NODES)


def normal_log_mean(log_w, Z, K, tolerance, sigma=1.0):
    """E log 1/K sum_k w_k of K independent weights w_k = w(eps_k), eps_k ~ N(0, I): what L_K is in expectation.

        log S = integral_0^infinity ( e^-t - e^(-t S) ) / t dt                            Frullani's integral
        E log 1/K sum_k w_k = integral ( exp(-e^u) - E[ exp(-e^u w / K) ]^K ) du,    t = e^u                       [QUAD-4]

    An expectation over K draws becomes the K-th power of one over a single draw: K costs nothing.
    log_w: points (n, Z) -> (n,); sigma: as for `normal_mean`. The integral over u is a trapezoid rule, too. Raises NotStable.
    """
    return _normal(log_w, Z, tolerance, sigma, lambda log_w, p: _log_mean(log_w, p, K), MOST_NODES // 16)


def _log_mean(log_w, p, K):
    """[QUAD-4] for weights that take the values w with probabilities p.

    The power lies between e^-t and 1, so the integrand is less than t = e^u: nothing, below u = -40. And both of its terms are less
    than e^-46 where t > e^4 and t w / K > e^4 for all weights but the smallest, together less probable than e^(-46/K)."""
    log_p = np.log(p).ravel()
    c = float(logsumexp(log_w.ravel() + log_p, 0))  # log E[w]: the weights are divided by their mean
    order = np.argsort(log_w, axis=None)
    a, log_p = log_w.ravel()[order] - c, log_p[order] - float(logsumexp(log_p, 0))
    least = a[min(len(a) - 1, np.searchsorted(np.cumsum(np.exp(log_p)), math.exp(-46 / K)))]
    last = 4 - max(a[0], least - math.log(K))
    if 4 * (last + 40) > MOST_TIMES:
        raise NotStable(f"the importance weights of q(z|x) are spread over {a[-1] - a[0]:.2g} nats, too many for the mean of L_K")
    u = np.arange(-40.0, last + 0.25, 0.25)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):  # exp(-e^u) is 0 for large u, and the power 0^K = e^-inf
        power = np.exp(K * np.log1p(np.maximum(_mean_of_expm1(a, log_p, u - math.log(K)), -1)))  # E[ exp(-e^u w / K) ]^K
        return c + 0.25 * float(np.sum(np.exp(-np.exp(u)) - power))


def _mean_of_expm1(a, log_p, v):
    """E[ exp(-e^v w) ] - 1 for each v, in steps of 1/4, with w = e^a, a ascending: (n,), (n,), (m,) -> (m,).

    For a + v > 4 the exponential is 0, for a + v < -37 it is 1 - e^v w, to all digits: only those between need work."""
    window = np.arange(4 * (37 + 4))
    first = np.ceil(4 * (-37 - a - v[0])).astype(int)  # descending: the first v at which each w needs work
    result, some = np.zeros_like(v), 2**20 // len(window)
    for k in (slice(start, start + some) for start in range(0, len(a), some)):
        at = first[k, None] + window
        terms = np.expm1(-np.exp(a[k, None] + v[0] + 0.25 * at)) * np.exp(log_p[k, None])
        inside = (at >= 0) & (at < len(v))
        if np.any(inside):
            begin = max(0, first[k][-1])
            sums = np.bincount(at[inside] - begin, terms[inside])
            result[begin : begin + len(sums)] += sums
    i = np.arange(len(v))
    small, large = np.searchsorted(-first, -i, "left"), np.searchsorted(-first, len(window) - i, "left")
    below = np.append(-np.inf, np.logaddexp.accumulate(a + log_p))  # log of the sum of p w over all weights below
    above = np.append(np.cumsum(np.exp(log_p[::-1]))[::-1], 0)  # the probability of a weight and all larger ones
    return result - np.exp(v + below[small]) - above[large]


def _normal(g, Z, tolerance, sigma, summary, most):
    """summary(values of g, their probabilities) under N(0, I), on a lattice over [-9, 9] halved until it is stable."""
    steps = [math.ceil(STEPS[Z] * max(1.0, float(s))) for s in np.broadcast_to(sigma, Z)]
    if math.prod(n + 1 for n in steps) > most:
        raise too_wide(np.max(sigma))
    low, h = np.full(Z, -REACH), 2 * REACH / np.array(steps, float)
    values = _filled(g, low, h, np.full([n + 1 for n in steps], np.nan))
    while True:
        p = np.ones(())
        for n, step in zip(values.shape, h):
            p = p[..., None] * (step * np.exp(-0.5 * ((-REACH + step * np.arange(n)) ** 2 + LOG_2PI)))
        whole = summary(values, p)
        change = float(np.ptp([whole, *(summary(v, w * 2**Z) for v, w in zip(_every_other(values), _every_other(p)))]))
        if change <= tolerance + ROUNDING * abs(whole):
            return whole
        if values.size * 2**Z > most:
            raise not_stable(change)
        values, h = _halved(g, low, h, values, np.ones(values.shape, bool))


# --- lattices ---------------------------------------------------------------------------------------------------------------------


def _every_other(values):
    """The 2^Z lattices of twice the step that the lattice is made of."""
    return [values[tuple(slice(start, None, 2) for start in starts)] for starts in np.ndindex((2,) * values.ndim)]


def _hiding(low, h, values, known):
    """How high f may be near each node; beside which a peak could hide; and the highest value seen.

    A parabola through a node and its two neighbors along an axis has its top less than the second difference above the node. Where
    that is under SHARP, the peak is so wide that the sum over all nodes has it right. Known points count for the nodes around."""
    height, hiding = values.copy(), np.zeros(values.shape, bool)
    for axis in range(values.ndim):
        v, inner_height, inner_hiding = (np.moveaxis(a, axis, 0) for a in (values, height, hiding))  # views
        with np.errstate(invalid="ignore"):  # of two nodes that are left out, -inf
            left, right = v[1:-1] - v[:-2], v[1:-1] - v[2:]
        top = (left >= 0) & (right >= 0) & (left + right < np.inf)  # higher than both neighbors, neither of them left out
        second = np.where(top, left + right, 0)
        inner_height[1:-1] += second
        inner_hiding[1:-1] |= second > SHARP
    z, known_values = known
    below = np.floor((z - low) / h).astype(int)  # (m, Z)    the node before each of the points
    inside = np.all((below >= 0) & (below < np.array(values.shape) - 1), axis=1)  # the others were cut off as negligible
    around = [tuple((below[inside] + corner).T) for corner in np.ndindex((2,) * values.ndim)]
    unseen = known_values[inside] > np.max([values[nodes] for nodes in around], axis=0) + SHARP
    for nodes in around:
        np.maximum.at(height, nodes, known_values[inside])
        np.logical_or.at(hiding, nodes, unseen)
    top = max(values.max(), known_values.max(initial=-np.inf))
    return height, hiding & (height >= top - EDGE), top


def _reaching(f, low, h, values, points):
    """The lattice made wide enough to have all points between its nodes: low, h, values."""
    shape = np.array(values.shape)
    before = np.maximum(0, np.ceil((low - points.min(axis=0, initial=np.inf)) / h))
    after = np.maximum(0, np.floor((points.max(axis=0, initial=-np.inf) - low) / h) + 2 - shape)
    if np.prod(shape + before + after) > MOST_NODES:
        raise out_of_reach()
    widths = [(int(b), int(a)) for b, a in zip(before, after)]
    return low - h * before, h, _filled(f, low - h * before, h, np.pad(values, widths, constant_values=np.nan))


def _widened(f, low, h, values, known):
    """The lattice with half as much again on every side where e^f has not died away, until there is none: low, values."""
    while True:
        height, _, top = _hiding(low, h, values, known)
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


def _cropped(low, h, values, known):
    """The smallest lattice that holds all nodes near which e^f may not be negligible, and one more on each side: low, values."""
    height, _, top = _hiding(low, h, values, known)
    live = height >= top - NEGLIGIBLE
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
