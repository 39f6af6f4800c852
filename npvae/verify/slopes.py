"""Slopes of a Function along a direction, what rounding leaves in them, and steps that are short enough.

derivatives.py has the formulas; here is what the checks are built from.
"""

import math

import numpy as np

U = np.finfo(np.float64).eps / 2  # unit roundoff
SHORT = U ** (1 / 2)  # for differences along a direction: a step of many entries at once crosses the kinks of many units
METHODS = ("complex", "richardson", "central", "forward")
STEPS = {"complex": 1e-30, "richardson": U ** (1 / 5), "central": U ** (1 / 3), "forward": U ** (1 / 2)}


def along(F, d, method, h):
    """The derivative of each part of F at its theta along d (P,), by one method with step h: (parts,)."""
    x, words = F.theta, "theta"
    if method == "complex":
        return _imaginary(F, x, d, h)
    if method == "forward":
        return (F(x + h * d, f"{words} + {h:.1e} d") - F.value) / h
    if method == "central":
        return (F(x + h * d, f"{words} + {h:.1e} d") - F(x - h * d, f"{words} - {h:.1e} d")) / (2 * h)
    return (4 * along(F, d, "central", h / 2) - along(F, d, "central", h)) / 3


def _imaginary(F, x, d, h, words="theta"):
    """Im f(x + ih d) / h of each part."""
    point = x.astype(np.complex128)
    point.imag = h * d
    return np.imag(F(point, f"{words} + {h:.0e} i d")) / h


def complex_slope(F, d):
    """The derivative of each part along d, many entries at once, by the complex step: (parts,).

    Its h is so small that h^2 is 0: where two entries meet in a product, x W, their imaginary parts make a real -h^2, which would
    open or shut a ReLU unit that stands at exactly 0. A slope so small that it would vanish too is taken with the usual h.
    """
    longest = np.max(np.abs(d))
    for h in (1e-170, STEPS["complex"]):
        slope = longest * _imaginary(F, F.theta, d / longest, h)
        if np.max(np.abs(slope)) > 1e-100 * longest:
            break
    return slope


def coordinate(F, j, method, h):
    """The derivative of each part of F with respect to entry j: (parts,).  h is scaled to the entry."""
    d = np.zeros_like(F.theta)
    d[j] = 1
    return along(F, d, method, h if method == "complex" else scaled_step(F.theta[j], h))


def all_entries(F, method, h):
    """The derivative of each part with respect to each entry: (P, parts)."""
    return np.array([coordinate(F, j, method, h) for j in range(len(F.theta))])


def scaled_step(x, h):
    """h max(1, |x|), rounded so that x + h is a number that exists."""
    step = h * np.maximum(1, np.abs(x))
    return (x + step) - x


def norm(v):
    """|v|, also where its squares would overflow or vanish: a gradient may be as small as it likes."""
    largest = np.max(np.abs(v), initial=0.0)
    return float(largest * np.linalg.norm(np.asarray(v) / largest)) if largest > 0 else 0.0


# --- how far to trust them ------------------------------------------------------------------------------------------------------


def noise(F, seed=0):
    """The standard deviation of the rounding in f near theta, from differences of fourth order, at least u |f|; measured once.

    The values at nine points, so close together that a smooth f is a straight line there, leave only noise in their k-th
    differences: sigma^2 = (k!)^2 / (2k)! mean( D_k^2 ).                                   More & Wild (2011), "ECnoise"
    If f is a staircase at that distance (it computes in float32, say), the points move apart until they see more than one step.
    """
    if F.noise is None:
        d = np.random.default_rng(seed).choice([-1.0, 1.0], len(F.theta)) * np.maximum(1, np.abs(F.theta))
        for spacing in 10.0 ** np.arange(-14, -4):
            values = np.array([F(F.theta + i * spacing * d, f"theta + {spacing:.0e} d").sum() for i in range(-4, 5)])
            if len(np.unique(values)) > 4:
                break
        k = 4
        D = np.diff(values, k)
        sigma = math.factorial(k) / math.sqrt(math.factorial(2 * k)) * norm(D) / math.sqrt(len(D))
        F.noise = float(max(sigma, U * np.max(np.abs(values)), U * np.sum(np.abs(F.value))))
    return F.noise


def complex_noise(F, d):
    """The rounding of the complex step: how much Im f(theta + ih d)/h moves when theta does by a few units in its last place, and h
    becomes another number."""
    nudges = ((-5, 1.0), (3, 1.37), (8, 1.61), (-2, 1.83))  # units, factors
    slopes = np.array(
        [_imaginary(F, F.theta * (1 + 2 * U * i), d, STEPS["complex"] * c, f"theta (1 + {2 * U * i:.0e})").sum() for i, c in nudges]
    )
    return norm(slopes - np.mean(slopes)) / math.sqrt(len(slopes))


def steady(F, d, h):
    """Richardson along d with a step that is short enough: (parts,), and that step.

    Unless c(h) and c(h/2) differ by less than 3e-7 of themselves, there may be a kink within h, or one of f', or h^4 is not small:
    then h / 8 must give the same, or it takes h's place, down to where rounding begins."""
    h = power_of_two(h)
    slope, change = _extrapolated(F, d, h)
    for _ in range(12):
        if change <= 3e-7 * abs(slope.sum()):
            break
        finer, finer_change = _extrapolated(F, d, h / 8)
        size = max(abs(slope.sum()), abs(finer.sum()))
        off = abs(finer.sum() - slope.sum()) - 1e-7 * size
        if off <= 20 * noise(F) / h:
            break
        slope, change, h = finer, finer_change, h / 8
        if off <= 20 * noise(F) / h:
            break
    return slope, h


def _extrapolated(F, d, h):
    """Richardson along d, (parts,), and how far its two central differences lie apart."""
    wide, narrow = along(F, d, "central", h), along(F, d, "central", h / 2)
    return (4 * narrow - wide) / 3, abs(narrow.sum() - wide.sum())


def power_of_two(h):
    """The nearest one: x + h and x + h/2 are then exact."""
    return 2.0 ** np.round(np.log2(h))


def staying_apart(gaps, rounding):
    """The last step at which the slopes stay apart, or 0: their gap is clear of rounding, no smaller than a step before, and does
    not vanish before rounding hides it. (Of a smooth f it shrinks with the step; a kink near theta falls out of it.)"""
    clear = np.flatnonzero(gaps > 20 * rounding)
    i = int(clear[-1]) if len(clear) else 0
    stays = i > 0 and gaps[i] > 0.5 * gaps[i - 1]
    hidden = i + 1 == len(gaps) or 20 * rounding[i + 1] >= 0.5 * gaps[i]
    return i if stays and hidden else 0
