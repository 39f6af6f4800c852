"""A second look at an entry where gradient and numeric derivative differ: a wrong gradient, a kink, or a judge that errs?

Near a kink, such as ReLU's at 0, a difference straddles two slopes and is neither. So the step shrinks from 1e-3 to 1e-14, and the
slopes to the right and to the left are followed: of a smooth f they meet; a kink that lay within the step falls out of it; and at
a kink exactly at theta they stay apart, where a value between them is not called wrong.
"""

from typing import NamedTuple

import numpy as np

from npvae.verify.slopes import STEPS, scaled_step, staying_apart, steady

SHRINKING = 10.0 ** -np.arange(3, 15)


class Look(NamedTuple):
    """verdict: "kink"; "ok", if the differences confirm the gradient and refute the judge's number; else "wrong".
    numeric: the derivative as they see it, to within slack."""

    verdict: str
    numeric: float
    slack: float


def second_look(F, j, analytic, numeric, sigma, rtol):
    """Entry j once more, by one-sided slopes: -> Look.  numeric: what the judge said; sigma: the noise of f."""
    h, right, left = _slopes(F, j)
    rounding, gaps, centers = 4 * sigma / h, np.abs(right - left), (right + left) / 2
    i = staying_apart(gaps, rounding)
    if i:
        bend = np.maximum(np.abs(np.diff(right)), np.abs(np.diff(left)))[:i] / 5  # what is left of it at the smaller step
        best = 1 + int(np.argmin(bend + rounding[1 : i + 1]))
        low, high = sorted((right[best], left[best]))
        slack = rtol * max(abs(low), abs(high)) + bend[best - 1] + 5 * rounding[best]
        return Look("kink" if low - slack <= analytic <= high + slack else "wrong", centers[best], gaps[best])
    change = np.append(np.abs(np.diff(centers)), np.inf)
    drift = np.minimum(change, np.roll(change, 1))  # from the centers of the steps next to it
    apart = np.abs(centers - centers[:, None]) - gaps[:, None] - 2 * drift[:, None] - 5 * (rounding + rounding[:, None])
    coarse = np.any(np.triu(apart, 1) > 0, axis=1)  # a shorter step sees another slope: f is steeper than this step can see
    best = int(np.argmin(np.where(coarse, np.inf, gaps + drift + rounding)))
    size = max(abs(right[best]), abs(left[best]), abs(analytic))
    slack = rtol * size + 0.6 * gaps[best] + drift[best] + 5 * rounding[best]
    if abs(analytic - centers[best]) > slack:
        return Look("wrong", centers[best], slack)
    if abs(numeric - centers[best]) > slack:
        return Look("ok", centers[best], slack)
    d = np.zeros_like(F.theta)  # one-sided slopes cannot tell the two apart; can extrapolation?
    d[j] = 1
    slope, step = steady(F, d, scaled_step(F.theta[j], STEPS["richardson"]))
    center, slack = slope.sum(), rtol * size + 20 * sigma / step
    return Look("ok" if abs(analytic - center) <= slack < abs(numeric - center) else "wrong", center, slack)


def _slopes(F, j):
    """The steps h at which f exists on both sides of entry j, and the slopes to the right and to the left."""
    x, value, found = F.theta, F.value.sum(), []
    for step in SHRINKING * max(1.0, abs(x[j])):
        d = np.zeros_like(x)
        d[j] = h = (x[j] + step) - x[j]
        try:
            found.append((h, *(s * (F(x + s * d, f"{F.entry(j)} +- {h:.0e}").sum() - value) / h for s in (1, -1))))
        except ValueError:  # f ends there; closer to theta it may not
            if step is SHRINKING[-1] and not found:
                raise
    return np.array(found).T
