"""Gradients with too many entries to differentiate one by one: certified by random directions, or pinned to block and entry."""

from dataclasses import replace

import numpy as np

from npvae.verify.compare import GRAINS, RTOL, Comparison, judge
from npvae.verify.directions import chi2_lower_quantile, disagreements, worst_entry
from npvae.verify.slopes import U, complex_noise, norm

TOLERANCE = {"complex": 1e-12, "richardson": 1e-5, "central": 1e-4, "forward": 1e-3}  # of the bound, beyond what rounding explains
SAMPLE = 64  # entries of a large wrong block that the doctor gets to see; a block of up to 4 SAMPLE entries is shown whole


def certify(F, g, method, k, confidence, seed, grain=0.0, least=0.0):
    """g (P,) against f along k random directions, and where they disagree, block by block and entry by entry: -> Comparison.

    Its error is a bound, with the stated confidence, of the relative error of every block (of the whole, for differences; the notes
    name blocks so far below the whole that less is known of them); seen: the suspected blocks, or a sample of them."""
    factor = 1 / np.sqrt(chi2_lower_quantile(k, 1 - confidence))
    for measured in (False, True):
        sizes, left = _sizes(F, g, method, measured, least)
        s, rounding = disagreements(F, g, _inverse(F, g, sizes), k, method, seed)
        bound = factor * norm(s)
        fine = bound <= TOLERANCE[method] + factor * (20 * norm(rounding) + 200 * norm(left) + GRAINS * grain)
        if fine or method != "complex":
            break
    suspects = [] if fine else _suspects(F, g, method, left + GRAINS / 200 * grain, 1 / factor, seed)
    judged = {}
    for name, part in F.slices.items():
        largest = np.array([part.start + int(np.argmax(np.abs(g[part])))])
        entries = _sample(F, g, part, method, seed) if name in suspects else largest
        judged[name] = judge(F, g, name, entries, method, RTOL[method], grain, least)
    rows = {name: row for name, (_, row, _) in judged.items()}
    if fine and bound >= 1:  # a gradient of zeros would pass as well
        rows = {name: row if row.verdict == "wrong" else replace(row, verdict="proves nothing") for name, row in rows.items()}
    return Comparison(
        list(rows.values()),
        {name: (judged[name][0].entries, judged[name][0].parts) for name in suspects},
        bound,
        all(rows[name].verdict != "wrong" and rows[name].kinks for name in suspects),
        next((trap for _, _, trap in judged.values() if trap), None),
        _less_known(F, g, sizes, bound) if method == "complex" else [],
    )


def _less_known(F, g, sizes, bound):
    """What is known of blocks whose gradient is far below the rest, in words: their own relative bound is a larger one."""
    notes = []
    for (name, part), size in zip(F.slices.items(), sizes):
        own = norm(g[part])
        if 0 < own < 0.99 * size:
            known = f"certified to {bound * size / own:.0e} of itself only" if bound * size < 0.1 * own else "not certified"
            notes.append(f"{name} is small beside the rest: {known}; check it alone.")
    return notes


def _sizes(F, g, method, measured, least):
    """The size of each block's gradient, and what rounding leaves of it, relatively: two arrays, (blocks,).

    Directions are divided by the sizes, so that every block counts alike; differences have one rounding error for all blocks, and
    only the whole has a size. The rounding of the complex step is measured on demand, where it matters: in blocks whose gradient
    is itself rounding."""
    whole = norm(g) or 1.0
    if method != "complex":
        return np.full(len(F.slices), whole), np.zeros(len(F.slices))
    sizes = np.array([norm(g[part]) for part in F.slices.values()])
    left = U * sizes
    if measured:
        left += [complex_noise(F, _in_block(F, part, i)) for i, part in enumerate(F.slices.values())]
        left += least * np.sqrt([part.stop - part.start for part in F.slices.values()]) / 200
        left += U * whole  # see ACROSS in compare.py
        sizes = np.maximum(sizes, 1e11 * left)
    sizes[sizes == 0] = whole
    return sizes, left / sizes


def _in_block(F, part, seed):
    """A direction (P,) of standard normal numbers in one block, 0 elsewhere."""
    d = np.zeros_like(F.theta)
    d[part] = np.random.default_rng(seed).standard_normal(part.stop - part.start)
    return d


def _inverse(F, g, sizes):
    """1 / the size of its block, for each entry: (P,)."""
    scale = np.empty(len(g))
    for part, size in zip(F.slices.values(), sizes):
        scale[part] = 1 / size
    return scale


def _suspects(F, g, method, left, factor, seed):
    """The names of the blocks that disagree with f along directions of their own, relative to their own size."""
    excess = {}
    for (name, part), relative in zip(F.slices.items(), left):
        own = np.zeros_like(g)
        own[part] = 1 / (norm(g[part]) or norm(g) or 1.0)
        s, rounding = disagreements(F, g, own, 2, method, seed)
        allowed = TOLERANCE[method] * (factor if method == "complex" else 1) + 10 * norm(rounding) + 200 * relative
        excess[name] = norm(s) / np.sqrt(2) / allowed  # the root mean square of two
    most = max(excess, key=excess.get)
    return [name for name in excess if excess[name] > 1 or name == most]


def _sample(F, g, part, method, seed):
    """Entries of a suspected block: all of a small one; of a large one some, and the one that bisection finds; as whole rows of a
    matrix that is not wide, so that the doctor can tell its columns apart."""
    n = part.stop - part.start
    if n <= 4 * SAMPLE:
        return np.arange(part.start, part.stop)
    rng, pinned = np.random.default_rng(seed), worst_entry(F, g, part, method, seed) - part.start
    width = next(shape for shape, p in zip(F.shapes.values(), F.slices.values()) if p == part)[-1]
    if width <= SAMPLE:
        rows = np.unique(np.append(rng.choice(n // width, 2 * SAMPLE // width, replace=False), pinned // width))
        return part.start + (rows[:, None] * width + np.arange(width)).ravel()
    return part.start + np.unique(np.append(rng.choice(n, SAMPLE, replace=False), pinned))
