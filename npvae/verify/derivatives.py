"""The judges: derivatives of any function of an array, or of a dict of named arrays, that nobody had to derive.

    forward difference     ( f(x + h) - f(x) ) / h                                 error  h f''/2      + 2 u |f| / h
    central difference     c(h) = ( f(x + h) - f(x - h) ) / 2h                     error  h^2 f'''/6   + u |f| / h
    Richardson             ( 4 c(h/2) - c(h) ) / 3                                 error  O(h^4)       + 3 u |f| / h
    complex step           Im f(x + ih) / h                                        error  h^2 f'''/6, and nothing is subtracted

u = 1.1e-16 is the unit roundoff. Small steps drown differences in rounding, large ones in truncation: the V-curve; the steps
below sit at its bottom, u^(1/2), u^(1/3), u^(1/5), times max(1, |x_j|) for each coordinate. The complex step has no right branch:
h = 1e-30 is as good as 1e-8, and the derivative exact to rounding, if f does the same arithmetic on complex numbers as on real ones
(Squire & Trapp 1998; Martins, Sturdza & Alonso 2003); `complex_trap` finds out.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from npvae.verify.function import Function
from npvae.verify.slopes import METHODS, STEPS, U, all_entries, noise, norm
from npvae.verify.traps import complex_trap


def forward_difference(f, theta, h=STEPS["forward"]):
    """The gradient of f by forward differences; structured like theta."""
    return _gradient("forward_difference", f, theta, "forward", h)


def central_difference(f, theta, h=STEPS["central"]):
    """The gradient of f by central differences; structured like theta."""
    return _gradient("central_difference", f, theta, "central", h)


def richardson(f, theta, h=STEPS["richardson"]):
    """The gradient of f by central differences at h and h/2, extrapolated to h = 0; structured like theta."""
    return _gradient("richardson", f, theta, "richardson", h)


def complex_step(f, theta, h=STEPS["complex"]):
    """The gradient of f by the complex step, exact to rounding; structured like theta.

    Raises ValueError if f is not fit for it, with the likely reason."""
    F = Function("complex_step", f, theta)
    trap = complex_trap(F)
    if trap:
        raise ValueError(f"complex_step: {trap} Use richardson(f, theta).")
    return F.structured(all_entries(F, "complex", h).sum(axis=1))


def _gradient(where, f, theta, method, h):
    F = Function(where, f, theta)
    return F.structured(all_entries(F, method, h).sum(axis=1))


# --- second opinions ------------------------------------------------------------------------------------------------------------


def taylor_rates(f, theta, grad, h=0.01, halvings=6, seed=0):
    """How fast the remainder f(theta + h d) - f(theta) - h grad.d shrinks as h halves: rates near 2 prove grad, near 1 refute it.

    A verdict without a tolerance: d is one random direction.  Returns the rates, (halvings,); the last ones drown in rounding when
    the remainder does (a function that is linear along d has no remainder: nan).
    """
    F = Function("taylor_rates", f, theta)
    g = F.gradient(grad)
    d = np.random.default_rng(seed).standard_normal(len(g))
    steps = h * 0.5 ** np.arange(halvings + 1)
    remainders = np.abs([F(F.theta + s * d, f"theta + {s:.1e} d").sum() - F.value.sum() - s * (g @ d) for s in steps])
    remainders[remainders <= 4 * noise(F)] = np.nan
    return np.log2(remainders[:-1] / remainders[1:])


class VCurve(NamedTuple):
    """Norm errors |grad - numeric| / |numeric's best| of each method at each step: errors[method] belongs to steps."""

    steps: np.ndarray
    errors: dict


def v_curve(f, theta, grad, steps=None):
    """The error of every method against its step, judged by grad, which should be right; for `visual.plot_vcurve`.

    steps: 1e-1 down to 1e-15 if None. A complex step that f is not fit for is left out."""
    F = Function("v_curve", f, theta)
    g = F.gradient(grad)
    if not np.any(g):
        raise ValueError("v_curve: grad is zero everywhere, so no error is relative to anything.")
    steps = 10.0 ** np.arange(-1, -15.5, -0.5) if steps is None else np.asarray(steps, float)
    methods = [m for m in METHODS if m != "complex" or complex_trap(F) is None]
    errors = {m: np.array([norm(all_entries(F, m, h).sum(axis=1) - g) / norm(g) for h in steps]) for m in methods}
    return VCurve(steps, errors)


class Unbiasedness(NamedTuple):
    """z: (mean - exact) / standard error, entry by entry; ok if every |z| is below threshold."""

    z: np.ndarray
    threshold: float
    ok: bool


def unbiasedness(samples, exact, level=7e-6):
    """Is the mean of a stochastic gradient estimator the exact gradient?  z = (mean - exact) / (standard deviation / sqrt(N)).

    samples: (N, ...), independent draws; exact: (...); level: the probability that a right estimator fails, shared among its
    entries (Bonferroni): for one entry the threshold is 4.5. A bias shows as z that grows with sqrt(N).
    Raises ValueError for shapes that differ, fewer than two draws, or values not finite."""
    samples, exact = np.asarray(samples, float), np.asarray(exact, float)
    if samples.ndim == 0 or samples.shape[1:] != exact.shape or len(samples) < 2:
        raise ValueError(
            f"unbiasedness: samples have shape {samples.shape}, exact has {exact.shape}; give at least two draws, one a row."
        )
    if not (np.isfinite(samples).all() and np.isfinite(exact).all()):
        raise ValueError("unbiasedness: samples or exact hold values that are not finite.")
    error = samples.std(axis=0, ddof=1) / math.sqrt(len(samples))
    difference = samples.mean(axis=0) - exact
    rounding = 8 * U * np.max(np.abs(samples), axis=0)  # an estimator without variance must only be right to rounding
    z = np.where(np.abs(difference) <= rounding, 0.0, difference / np.maximum(error, np.finfo(float).tiny))
    threshold = NormalDist().inv_cdf(1 - level / (2 * exact.size))
    return Unbiasedness(z, threshold, bool(np.all(np.abs(z) < threshold)))
