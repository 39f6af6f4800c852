"""The course of a check, once there are a function and a gradient: choose the judge, compare, ask the doctor, report."""

from typing import NamedTuple

import numpy as np

from npvae.verify.certify import certify
from npvae.verify.compare import RTOL, compare
from npvae.verify.directions import K
from npvae.verify.doctor import diagnose, explain
from npvae.verify.function import alike
from npvae.verify.report import Report
from npvae.verify.slopes import METHODS, STEPS, noise
from npvae.verify.traps import complex_trap

EVERY_ENTRY = 2_000  # parameters up to which each is differentiated
CONFIDENCE = 1 - 1e-9


class Hints(NamedTuple):
    """What the doctor may know beside the numbers, see `doctor.diagnose`.  again (P,): the gradient of a second call; parts_are:
    what the parts of the Function are, "terms" of the loss or "rows" of the batch."""

    again: np.ndarray | None = None
    constants: dict | None = None
    tensors: dict | None = None
    suspects: dict | None = None
    parts_are: str = "terms"


NO_HINTS = Hints()


def examine(
    F, g, *, subject, method="auto", rtol=None, directions=None, confidence=CONFIDENCE, seed=0,
    hints=NO_HINTS, notes=(), grain=0.0, least=0.0,
):  # fmt: skip
    """g (P,) against the Function F -> Report.  grain, least: the rounding that g comes with, relative and absolute; the rest as in
    check_gradient."""
    directions = _settings(F, g, rtol, directions, confidence)
    constant = is_constant(F)
    chosen, remarks = ("central", []) if constant else choose(F, method)

    def compared(judge):
        if directions:
            return certify(F, g, judge, directions, confidence, seed, grain, least)
        return compare(F, g, judge, RTOL[judge] if rtol is None else rtol, grain, least)

    found = compared(chosen)
    if found.trap:  # the complex step passed the first test, but errs in single entries
        chosen, remarks = _instead(F, method, found.trap)
        found = compared(chosen)
    unstable = hints.again is not None and not alike(g, hints.again)
    vacuous = all(row.verdict == "proves nothing" for row in found.rows)
    diagnosis = _constant(F) if constant else _diagnosis(F, g, found, RTOL[chosen], hints, unstable, vacuous)
    remarks = (*notes, *remarks, *_silent_blocks(found.rows), *found.notes, *_only_kinks(found.rows), *_coarse(F, g, chosen))
    return Report(
        subject, chosen, tuple(reversed(found.rows)), found.error, confidence if directions else None, directions, F.calls,
        diagnosis, remarks, ok=found.certified and not (vacuous or unstable),
    )  # fmt: skip


def _settings(F, g, rtol, directions, confidence):
    """-> directions, once all three are what they should be.  Raises ValueError."""
    if rtol is not None and not (isinstance(rtol, (int, float)) and 0 <= rtol < 1):
        raise ValueError(f"{F.where}: rtol must be a number from 0 to below 1, got {rtol!r}.")
    if not (isinstance(confidence, (int, float)) and 0 < confidence < 1):
        raise ValueError(f"{F.where}: confidence must be a number between 0 and 1, such as 0.99, got {confidence!r}.")
    if directions is None:
        return 0 if len(g) <= EVERY_ENTRY else K
    if directions and (directions % 2 or directions < 2):
        raise ValueError(f"{F.where}: directions must be an even number of at least 2, or 0 for every entry; got {directions}.")
    return directions


def _constant(F):
    return (
        f"{F.who} stays {F.value.sum():.6g} when every entry of theta moves by a thousandth: it does not depend on theta here. "
        "Does it compute with the theta it is given?"
    )


def choose(F, method):
    """-> the judge's name, and what must be said of the choice.  Raises ValueError."""
    if method not in ("auto", *METHODS):
        raise ValueError(f"{F.where}: method must be auto, {', '.join(METHODS)}; got {method!r}.")
    if method in METHODS[1:]:
        return method, []
    trap = complex_trap(F)
    return ("complex", []) if trap is None else _instead(F, method, trap)


def _instead(F, asked, trap):
    """The judge in place of the complex step, and why.  Raises ValueError if the complex step was asked for."""
    if asked == "complex":
        raise ValueError(f"{F.where}: the complex step does not fit {F.who}: {trap} Use method='richardson'.")
    return "richardson", [f"The complex step does not fit {F.who}: {trap} Richardson extrapolation took its place."]


def _diagnosis(F, g, found, rtol, hints, unstable, vacuous):
    """What is wrong, in words, or None."""
    wrong = [row.name for row in found.rows if row.verdict == "wrong"]
    if vacuous:
        return "This check proves nothing: the gradient is zero, or below what rounding leaves in the numeric one."
    if not (found.certified or wrong):
        return (
            "Along random directions the gradient is off by more than rounding explains, but no entry looked at is wrong by itself."
        )
    if not (wrong or unstable):
        return None
    said = _doctor(F, g, found, wrong, rtol, hints)
    return said if said or wrong else "The gradient of a second, identical call is another one."


def _doctor(F, g, found, wrong, rtol, hints):
    """What the doctor says of the blocks that were seen, as one text or None."""
    analytic, numeric, parts, floors = {}, {}, {}, {}
    for row in found.rows:
        if row.name not in found.seen:
            continue
        entries, slopes = found.seen[row.name]  # (n,), (n, parts)
        shape = _shape_of_sample(entries - F.slices[row.name].start, row.shape)
        analytic[row.name], numeric[row.name] = g[entries].reshape(shape), slopes.sum(axis=1).reshape(shape)
        parts[row.name] = [slopes[:, i].reshape(shape) for i in range(slopes.shape[1])]
        floors[row.name] = row.floor + rtol * float(np.max(np.abs(numeric[row.name])))
    if not analytic:
        return None
    more = {"constants": hints.constants, "tensors": hints.tensors, "suspects": hints.suspects}
    if len(F.parts) > 1 and hints.parts_are == "rows":
        more["rows"] = {name: np.array(p) for name, p in parts.items()}
    elif len(F.parts) > 1:
        more["terms"] = {term: {name: p[i] for name, p in parts.items()} for i, term in enumerate(F.parts)}
    if hints.again is not None:
        more["again"] = {name: hints.again[found.seen[name][0]].reshape(a.shape) for name, a in analytic.items()}
    return explain(diagnose(analytic, numeric, floors, **more), wrong)


def _shape_of_sample(entries, shape):
    """The shape in which entries (n,) of a block are shown: its own, whole rows of it, or (n,)."""
    if len(entries) == np.prod(shape):
        return shape
    width = shape[-1]
    whole_rows = len(entries) % width == 0 and np.all(np.diff(entries.reshape(-1, width), axis=1) == 1)
    return (-1, width) if whole_rows else (len(entries),)


def is_constant(F, seed=0):
    """Does f stay the same, to the bit, when every entry of theta moves by a thousandth?"""
    d = np.random.default_rng(seed).uniform(0.5, 1.5, len(F.theta)) * np.maximum(1, np.abs(F.theta))
    try:
        return np.array_equal(F(F.theta + 1e-3 * d, "theta + 1e-3 d"), F.value)
    except ValueError:  # it ends there
        return False


def _silent_blocks(rows):
    silent = [row.name for row in rows if row.verdict == "proves nothing"]
    if not silent or len(silent) == len(rows):
        return []
    return [f"This check proves nothing for {', '.join(silent)}: zero, or below what rounding leaves, in both gradients."]


def _only_kinks(rows):
    at = [row.name for row in rows if row.kinks and row.kinks == np.prod(row.shape)]
    text = "Every entry of {} is at a kink, between the slopes to its two sides: one by one none is wrong, which proves little."
    return [text.format(", ".join(at))] if at else []


def _coarse(F, g, method):
    """A remark if the values of f carry more noise than float64 arithmetic explains."""
    sigma, size = (noise(F), float(np.sum(np.abs(F.value)))) if method != "complex" else (0.0, 1.0)
    if size == 0 or sigma <= 1e-11 * size or 20 * sigma / STEPS[method] <= 1e-5 * np.max(np.abs(g)):
        return []
    return [
        f"The value of {F.who} carries noise of {sigma / size:.0e} of itself, where float64 has 1e-16: does it compute in float32? "
        "That hides errors below the floor; check in float64."
    ]
