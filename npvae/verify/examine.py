"""The course of a check, once there are a function and a gradient: choose the judge, compare, ask the doctor, report."""

import numpy as np

from npvae.verify.certify import certify
from npvae.verify.compare import RTOL, compare
from npvae.verify.directions import K
from npvae.verify.doctor import diagnose, explain
from npvae.verify.function import alike
from npvae.verify.report import Report
from npvae.verify.slopes import METHODS, STEPS, noise, norm
from npvae.verify.traps import complex_trap

EVERY_ENTRY = 2_000  # parameters up to which each is differentiated
CONFIDENCE = 1 - 1e-9


def examine(
    F, g, *, subject, method="auto", rtol=None, directions=None, confidence=CONFIDENCE, seed=0,
    again=None, constants=None, tensors=None, suspects=None, parts_are="terms", notes=(), grain=0.0, least=0.0,
):  # fmt: skip
    """g (P,) against the Function F -> Report.  again (P,): the gradient of a second call; parts_are: what F's parts mean to the
    doctor, "terms" of the loss or "rows" of the batch; grain, least: the rounding that g comes with, relative and absolute; the
    rest as in check_gradient."""
    if rtol is not None and not (isinstance(rtol, (int, float)) and 0 <= rtol < 1):
        raise ValueError(f"{F.where}: rtol must be a number from 0 to below 1, got {rtol!r}.")
    if not (isinstance(confidence, (int, float)) and 0 < confidence < 1):
        raise ValueError(f"{F.where}: confidence must be a number between 0 and 1, such as 0.99, got {confidence!r}.")
    constant, asked = is_constant(F), method
    method, remarks = ("central", []) if constant else choose(F, method)
    if directions is None:
        directions = 0 if len(g) <= EVERY_ENTRY else K
    if directions and (directions % 2 or directions < 2):
        raise ValueError(f"{F.where}: directions must be an even number of at least 2, or 0 for every entry; got {directions}.")
    found = _found(F, g, method, directions, confidence, seed, rtol, grain, least)
    if found.trap:  # it passed the first test, but errs in single entries
        method, remarks = _instead(F, asked, found.trap)
        found = _found(F, g, method, directions, confidence, seed, rtol, grain, least)
    rows, seen = found.rows, found.seen
    error = found.bound if directions else norm(g - found.numeric) / (norm(found.numeric) or 1.0)
    wrong = any(row.verdict == "wrong" for row in rows)
    vacuous = all(row.verdict == "proves nothing" for row in rows)
    unstable = again is not None and not alike(g, again)
    if constant:
        diagnosis = (
            f"{F.who} stays {F.value.sum():.6g} when every entry of theta moves by a thousandth: it does not depend on theta here. "
            "Does it compute with the theta it is given?"
        )
    elif vacuous and not wrong:
        diagnosis = "This check proves nothing: the gradient is zero, or below what rounding leaves in the numeric one."
    else:
        diagnosis = (
            _diagnosis(F, g, seen, rows, RTOL[method], again, constants, tensors, suspects, parts_are)
            if wrong or unstable
            else None
        )
    if directions and not (found.certified or wrong or vacuous):
        diagnosis = (
            "Along random directions the gradient is off by more than rounding explains, but no entry looked at is wrong by itself."
        )
    if unstable and not wrong and diagnosis is None:
        diagnosis = "The gradient of a second, identical call is another one."
    ok = not (wrong or vacuous or unstable or (directions and not found.certified))
    notes = (*notes, *remarks, *_silent_blocks(rows), *getattr(found, "notes", ()), *_only_kinks(rows), *_coarse(F, g, method))
    return Report(
        subject, method, tuple(reversed(rows)), error, confidence if directions else None, directions, F.calls, diagnosis, notes, ok
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


def _diagnosis(F, g, seen, rows, rtol, again, constants, tensors, suspects, parts_are):
    """What the doctor says of the blocks seen, as one text or None."""
    analytic, numeric, parts, floors = {}, {}, {}, {}
    for row in rows:
        if row.name not in seen:
            continue
        entries, slopes = seen[row.name]  # (n,), (n, parts)
        shape = row.shape if len(entries) == np.prod(row.shape) else (len(entries),)
        analytic[row.name], numeric[row.name] = g[entries].reshape(shape), slopes.sum(axis=1).reshape(shape)
        parts[row.name] = [slopes[:, i].reshape(shape) for i in range(slopes.shape[1])]
        floors[row.name] = row.floor + rtol * float(np.max(np.abs(numeric[row.name])))
    if not analytic:
        return None
    split = {}
    if len(F.parts) > 1 and parts_are == "rows":
        split["rows"] = {name: np.array(p) for name, p in parts.items()}
    elif len(F.parts) > 1:
        split["terms"] = {term: {name: p[i] for name, p in parts.items()} for i, term in enumerate(F.parts)}
    if again is not None:
        split["again"] = {name: again[seen[name][0]].reshape(a.shape) for name, a in analytic.items()}
    findings = diagnose(analytic, numeric, floors, constants=constants, tensors=tensors, suspects=suspects, **split)
    return explain(findings, [row.name for row in rows if row.verdict == "wrong"])


def _found(F, g, method, directions, confidence, seed, rtol, grain, least):
    if directions:
        return certify(F, g, method, directions, confidence, seed, grain, least)
    return compare(F, g, method, RTOL[method] if rtol is None else rtol, grain, least)


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
