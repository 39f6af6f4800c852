"""Analytic against numeric, block by block: a verdict without a fixed tolerance.

    an entry is wrong  iff  |analytic - numeric| > rtol max( |analytic|, |numeric| ) + floor

The floor is what rounding leaves in the numeric derivative, and it is measured: differences leave the noise of f over the step; the
complex step 100 u of the block's largest entry and 1000 u of the largest of all (u = 1.1e-16), or of what the derivative moves by
when theta moves by a few units in its last place. An absolute tolerance in its place would pass every mistake in a gradient that
happens to be small.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from npvae.verify.kinks import second_look
from npvae.verify.slopes import STEPS, U, along, complex_noise, noise, norm, scaled_step, steady

RTOL = {"complex": 1e-9, "richardson": 1e-6, "central": 1e-5, "forward": 1e-4}
ACROSS = 1000 * U  # of the largest entry of all: 1 - y^2 of a saturated unit is as coarse, and its block may have no other
GRAINS = 64  # roundings that a gradient computed in float32 may have gathered
DOUBTED = 4  # entries of a block that are 0 twice, and are asked of a difference
ENOUGH = 4  # entries of a block found wrong beyond doubt, after which the others are not looked at twice


@dataclass(frozen=True)
class Row:
    """One block of the gradient: its entry that is worst, and what is said of the block."""

    name: str
    shape: tuple
    index: tuple  # of the worst entry
    analytic: float
    numeric: float
    relative_error: float  # |analytic - numeric| / max( |analytic|, |numeric| ) of that entry
    floor: float  # the absolute error that rounding can leave in an entry
    verdict: str  # "ok", "wrong", "proves nothing"
    wrong: int = 0  # entries that are wrong
    kinks: int = 0  # entries at a kink, where any slope between the two sides is right


def relative_error(analytic, numeric):
    """|a - n| / max( |a|, |n| ), 0 where both are 0."""
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    return np.abs(analytic - numeric) / np.where(size > 0, size, 1)


class Judged(NamedTuple):
    """Some entries of a block, (n,): their numeric derivatives by part (n, parts) and of f, at a kink the given one; what rounding
    leaves in them; how far the gradient is off, in units of what is allowed; which are wrong, which lie at a kink."""

    entries: np.ndarray
    parts: np.ndarray
    numeric: np.ndarray
    floors: np.ndarray
    excess: np.ndarray
    wrong: np.ndarray
    kink: np.ndarray


class Comparison(NamedTuple):
    """rows: one a block, in forward order; seen: {name: (entries (n,), the numeric derivative of each part (n, parts))} of those
    that the doctor may look at; error: |grad - numeric| / |numeric|, or its upper bound; certified: the error is as small as
    rounding allows; trap: an entry where the complex step was found to err, in words, or None; notes: what else to know."""

    rows: list
    seen: dict
    error: float
    certified: bool
    trap: str | None
    notes: list


def compare(F, g, method, rtol, grain=0.0, least=0.0):
    """g (P,) against the numeric derivative of every entry."""
    judged = {
        name: judge(F, g, name, np.arange(part.start, part.stop), method, rtol, grain, least) for name, part in F.slices.items()
    }
    rows, numeric = [row for _, row, _ in judged.values()], np.concatenate([found.numeric for found, _, _ in judged.values()])
    return Comparison(
        rows,
        {name: (found.entries, found.parts) for name, (found, _, _) in judged.items()},
        norm(g - numeric) / (norm(numeric) or 1.0),
        all(row.verdict != "wrong" for row in rows),
        next((trap for _, _, trap in judged.values() if trap), None),
        [],
    )


def judge(F, g, name, entries, method, rtol, grain=0.0, least=0.0):
    """Entries (n,) of g, all of one block, against their numeric derivatives.  grain: the rounding that g comes with, relative to
    its block; least: what it may have anywhere, absolutely."""
    parts, steps = _derivatives(F, entries, method)
    numeric, a = parts.sum(axis=1), g[entries]
    for measured in (False, True):  # on demand: few gradients are themselves rounding
        floors = _floors(F, name, numeric, method, steps, measured) + GRAINS * grain * np.max(np.abs(g[F.slices[name]]))
        floors += ACROSS * np.max(np.abs(g)) + least
        excess = np.abs(a - numeric) / (rtol * np.maximum(np.abs(a), np.abs(numeric)) + floors + np.finfo(float).tiny)
        if np.all(excess <= 1):
            break
    found = Judged(entries, parts, numeric, floors, excess, excess > 1, np.zeros(len(a), bool))
    if method == "complex":
        _doubt_zeros(F, a, found)
    trap = _look_twice(F, a, found, method, rtol)
    return found, _row(F, name, a, found), trap


def _doubt_zeros(F, a, found):
    """Where gradient and complex step both say 0, differences are asked, too: np.abs has imaginary part 0, and may be forgotten.
    They count where both sides see one slope; near a kink they do not."""
    for i in np.flatnonzero((a == 0) & (found.numeric == 0))[:DOUBTED]:
        d = np.zeros_like(F.theta)
        d[found.entries[i]] = 1
        h = scaled_step(F.theta[found.entries[i]], STEPS["central"])
        try:
            right, left = along(F, d, "forward", h).sum(), -along(F, -d, "forward", h).sum()
        except ValueError:  # f ends there
            continue
        if abs(right - left) < 0.01 * abs(right) and abs(right) > 100 * noise(F) / h:
            found.wrong[i], found.excess[i] = True, np.inf


def _look_twice(F, a, found, method, rtol):
    """Entries that differ by a kink, or by the judge's own error, are no longer wrong; -> that of the complex step, in words."""
    confirmed, trap = 0, None
    for i in np.argsort(-found.excess):
        if not found.wrong[i] or confirmed == ENOUGH:
            break
        j, numeric = found.entries[i], found.numeric[i]
        look = second_look(F, j, a[i], numeric, noise(F), rtol)
        if look.verdict == "wrong":
            confirmed += 1
            if abs(look.numeric - numeric) > look.slack:
                _correct(found, i, look.numeric)
            continue
        if look.verdict == "ok" and method == "complex":
            trap = f"at {F.entry(j)} the complex step says {numeric:.9g}, differences {look.numeric:.9g}."
        found.wrong[i], found.kink[i], found.excess[i] = False, look.verdict == "kink", 0
        _correct(found, i, a[i] if found.kink[i] else look.numeric)
    return trap


def _correct(found, i, numeric):
    """A better numeric derivative of entry i; the difference goes to the largest of its parts."""
    found.parts[i, np.argmax(np.abs(found.parts[i]))] += numeric - found.numeric[i]
    found.numeric[i] = numeric


def _derivatives(F, entries, method):
    """The numeric derivative of each part (n, parts), and the steps (n,)."""
    parts, steps = [], []
    for j in entries:
        h = STEPS[method] if method == "complex" else scaled_step(F.theta[j], STEPS[method])
        d = np.zeros_like(F.theta)
        d[j] = 1
        slope, h = _within_domain(F, d, method, h)
        parts.append(slope)
        steps.append(h)
    return np.array(parts), np.array(steps)


def _within_domain(F, d, method, h):
    """The derivative of each part along d (parts,) and its step, which shrinks while f ends, as a log does, within it."""
    for _ in range(12):
        try:
            return steady(F, d, h) if method == "richardson" else (along(F, d, method, h), h)
        except ValueError as error:
            if method == "complex" or not isinstance(error.__cause__, (ValueError, ArithmeticError, Warning, type(None))):
                raise
            told, h = error, h / 8
    raise told


def _floors(F, name, numeric, method, steps, measured):
    """What rounding can leave in each of these numeric derivatives: (n,)."""
    if method != "complex":
        return (50 if method == "richardson" else 20) * noise(F) / steps  # `steady` leaves up to 20 more
    floor = 100 * U * np.max(np.abs(numeric))
    if measured:
        part = F.slices[name]
        d = np.zeros_like(F.theta)
        d[part] = np.random.default_rng(part.start).standard_normal(part.stop - part.start)
        floor += 100 * complex_noise(F, d) / np.sqrt(part.stop - part.start)
    return np.full(len(numeric), floor)


def _row(F, name, a, found):
    """The row of one block; its worst entry is the most excessive of the wrong ones, if there are any."""
    numeric, floors, count = found.numeric, found.floors, int(found.wrong.sum())
    i = int(np.argmax(np.where(found.wrong == (count > 0), found.excess, -1.0)))
    silent = np.all(np.maximum(np.abs(a), np.abs(numeric)) <= floors)
    verdict = "wrong" if count else "proves nothing" if silent else "ok"
    index, error = F.locate(found.entries[i])[1], relative_error(a[i], numeric[i]).item()
    kinks = int(found.kink.sum())
    return Row(name, F.shapes[name], index, a[i].item(), numeric[i].item(), error, floors[i].item(), verdict, count, kinks)
