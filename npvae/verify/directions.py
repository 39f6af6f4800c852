"""A gradient with hundreds of thousands of entries, certified by a few random directions; and a wrong one, pinned to its entry.

Let e = grad - true gradient, and d_1 ... d_k independent vectors of standard normal numbers. Then s_i = grad.d_i - (derivative of f
along d_i) = e.d_i ~ N(0, |e|^2), so sum s_i^2 / |e|^2 ~ chi^2_k, and with confidence 1 - alpha

    |e| <= sqrt( sum_i s_i^2 / q )             q the lower alpha-quantile of chi^2 with k degrees of freedom

whatever the error is, as long as the directions do not know it. Each block's directions are divided by the norm of its gradient, so
that the bound holds for the relative error of every block at once, the small ones too, down to where rounding sets in (a block of
less than 1e-5 of the whole is then told with what is known of it).
"""

import math

import numpy as np

from npvae.verify.slopes import SHORT, along, complex_slope, noise

K = 8  # directions: one alone proves little, its factor 1/sqrt(q) at confidence 1 - 1e-9 being 8e8; eight have 6.3


def chi2_lower_quantile(k, alpha):
    """q with P( chi^2_k <= q ) = alpha, for even k.

    P = e^-y sum_{j >= k/2} y^j / j!  with y = q/2: this tail does not cancel for small q.  Raises ValueError."""
    if k < 2 or k % 2 or not 0 < alpha < 1:
        raise ValueError(f"chi2_lower_quantile: k must be even and alpha between 0 and 1, got {k} and {alpha}.")

    def probability(q):
        y = q / 2
        term = math.exp(-y + (k // 2) * math.log(y) - math.lgamma(k // 2 + 1))
        total, j = 0.0, k // 2
        while term > 1e-17 * total:
            total += term
            j += 1
            term *= y / j
        return total

    low, high = 1e-300, 1.0
    while probability(high) < alpha:
        high *= 2
    for _ in range(200):  # bisection in log q: the quantile may be 1e-9 or 40
        middle = math.sqrt(low * high)
        low, high = (middle, high) if probability(middle) < alpha else (low, middle)
    return math.sqrt(low * high)


def directions(P, k, seed):
    """k vectors of P standard normal numbers, the same for the same seed, one at a time."""
    for i in range(k):
        yield np.random.default_rng([seed, i]).standard_normal(P)


def disagreements(F, g, scale, k, method, seed):
    """s_i = (grad - numeric derivative) along scale * d_i, and what the noise of f leaves in it: (k,), (k,).

    A scale of 0 leaves entries out."""
    s, rounding = np.empty(k), np.zeros(k)
    for i, d in enumerate(directions(len(g), k, seed)):
        d *= scale
        s[i], rounding[i] = _disagreement(F, g, d, method)
    return s, rounding


def _disagreement(F, g, d, method):
    """Along one direction, and its noise. A difference is so short that few units, if any, cross their kinks."""
    if method == "complex":
        return g @ d - complex_slope(F, d).sum(), 0.0
    h = SHORT / np.max(np.abs(d) / np.maximum(1, np.abs(F.theta)))
    return g @ d - along(F, d, "central", h).sum(), noise(F) / h


def worst_entry(F, g, part, method, seed):
    """An entry of the block where grad is wrong: the block is halved, again and again, towards the larger error; log2(P) steps.

    Two directions, the same at each step, cut to the half, so that only one half must be evaluated."""
    start, stop = part.start, part.stop
    drawn = [d[part] for d in directions(len(g), 2, seed)]

    def error(low, high):
        s = np.empty(len(drawn))
        for i, normal in enumerate(drawn):
            d = np.zeros_like(g)
            d[low:high] = normal[low - part.start : high - part.start]
            s[i], _ = _disagreement(F, g, d, method)
        return s

    s = error(start, stop)
    while stop - start > 1:
        middle = (start + stop) // 2
        lower = error(start, middle)
        upper = s - lower
        if lower @ lower >= upper @ upper:
            stop, s = middle, lower
        else:
            start, s = middle, upper
    return start
