"""Any function: check_gradient.  (A layer, a model: layer.py, model.py.)"""

import copy

import numpy as np

from npvae.verify.compare import GRAINS
from npvae.verify.examine import CONFIDENCE, Hints, examine
from npvae.verify.function import Function, untouched


def check_gradient(
    f, theta, grad, *, method="auto", rtol=None, directions=None, confidence=CONFIDENCE, constants=None, terms=None, seed=0
):  # fmt: skip
    """Is grad the gradient of f at theta?  -> Report with .ok, .worst, .diagnosis; print it, or call .assert_ok() in a test.

        report = check_gradient(lambda theta: np.sum(theta**2), theta, 2 * theta)

    f: a function of what theta is, an array or a dict of named arrays, that returns one number; if it does the same arithmetic on
    complex arrays, the check is exact to rounding. grad: the same structure, or a function theta -> gradient, which is then called
    twice. Up to 2,000 parameters, every one is differentiated; beyond, random directions bound the relative error of every block at
    the stated confidence. directions: how many, an even number (8 if None); 0 differentiates every entry, however many.

    method: "complex", "richardson", "central", "forward", or "auto": the first if f is fit for it, else the second. Leave it alone,
    unless f is noisy: "central" then stands the noise best.
    rtol: allowed relative error of an entry beyond rounding (1e-9, 1e-6, 1e-5, 1e-4 by method); not for random directions.
    For the diagnosis: constants, {"B": 32, "beta": 4.0}, numbers that may have been forgotten; terms, {"kl": f_kl, ...}, functions
    like f that sum to f. seed: of the random directions; a failing check fails again.

    Raises ValueError or TypeError where no comparison can be made: f returns no finite number, draws its own noise, or changes its
    input; theta holds integers or nothing; grad has other names or shapes, or is not finite. theta and grad keep their bits.
    """
    where = "check_gradient"
    if constants is not None and not isinstance(constants, dict):
        raise TypeError(f"{where}: constants must be a dict such as {{'B': 32, 'beta': 4.0}}, got {constants!r}.")
    for name, c in (constants or {}).items():
        if not isinstance(c, (int, float, np.integer, np.floating)):
            raise TypeError(f"{where}: constants[{name!r}] must be a number, got {c!r}.")
    before, given = copy.deepcopy(theta), copy.deepcopy(grad) if not callable(grad) else grad
    with untouched(theta, grad, then=lambda: f(before)):  # f may have put theta somewhere, into a model, say
        F, again = Function(where, f, theta), None
        if callable(given):
            g, again = (F.gradient(given(F.structured(F.theta.copy())), "the gradient") for _ in range(2))
        else:
            g = F.gradient(given)
        grain = 0.0 if callable(grad) else _grain(grad)
        if terms is not None:
            F = _with_terms(F, terms, theta)
        return examine(
            F, g, subject=where, method=method, rtol=rtol, directions=directions, confidence=confidence, seed=seed,
            hints=Hints(again=again, constants=constants), notes=_about_float32(theta) + _about_grain(grain), grain=grain,
        )  # fmt: skip


def _with_terms(F, terms, theta):
    """The same function as a sum of its terms.  Raises TypeError, ValueError if they do not sum to it."""
    if not isinstance(terms, dict) or not terms or not all(callable(term) for term in terms.values()):
        raise TypeError(f"{F.where}: terms must be a dict {{name: function of theta}}, got {terms!r}.")
    functions = list(terms.values())
    split = Function(F.where, lambda point: [term(point) for term in functions], theta, parts=terms, who="a term of f")
    if not np.isclose(split.value.sum(), F.value.sum(), rtol=1e-9, atol=1e-12 * np.sum(np.abs(split.value))):
        raise ValueError(
            f"{F.where}: the terms {', '.join(terms)} sum to {split.value.sum():.9g}, but f is {F.value.sum():.9g}; "
            "give each with its weight (beta times the KL)."
        )
    return split


def _about_float32(theta):
    arrays = theta.values() if isinstance(theta, dict) else [theta]
    if any(getattr(a, "dtype", None) in (np.float32, np.float16) for a in arrays):
        return ["theta is float32: f was called with float64 copies, since differences of float32 numbers keep at best 4 digits."]
    return []


def _grain(grad):
    """The unit of rounding of a gradient that comes in less than float64, else 0."""
    dtypes = [np.asarray(a).dtype for a in (grad.values() if isinstance(grad, dict) else [grad])]
    return max(float(np.finfo(t).eps) if t in (np.float32, np.float16) else 0.0 for t in dtypes)


def _about_grain(grain):
    if not grain:
        return []
    size = f"{GRAINS * grain:.0e} of a block's largest entry"
    return [f"grad is not in float64: errors up to {size} pass for its rounding. Compute it in float64 to see smaller ones."]
