"""Is the complex step exact for a function? Decided by test: np.abs, np.var and others do something else to complex numbers."""

import contextlib
import warnings

import numpy as np

from npvae.verify.slopes import STEPS, along, complex_slope, noise, power_of_two, staying_apart


def complex_trap(F, seed=0):
    """None if the complex step is exact for f, else a sentence with the likely reason.

    Decided by test: f must take complex numbers, give one back, with Im f = 0 on real theta; and in each block its derivative
    along one random direction must lie between the two one-sided slopes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            value = F(F.theta + 0j, "complex theta")
    except (ValueError, TypeError, ArithmeticError, Warning) as error:
        reason = error.__cause__ or error
        return (
            f"f does not take complex numbers ({type(reason).__name__}): one of its functions is for real numbers "
            "only, such as np.logaddexp, np.heaviside, math.exp, a cast to float or a buffer of floats."
        )
    if not np.iscomplexobj(value):
        return (
            "f gives a real number for complex theta: np.abs, np.linalg.norm, .real or a cast to float drops the imaginary part "
            "(np.maximum(x, -x) keeps it)."
        )
    if np.any(np.imag(value) != 0) or np.any(np.abs(value.real - F.value) > 1e-9 * np.abs(F.value) + 100 * noise(F)):
        return f"f is {value.sum():.6g} for theta as complex numbers, but {F.value.sum():.6g} for theta as real ones."
    rng, blind = np.random.default_rng(seed), False
    for name, part in F.slices.items():
        d = np.zeros_like(F.theta)
        d[part] = rng.choice([-1.0, 1.0], part.stop - part.start) * power_of_two(np.maximum(1, np.abs(F.theta[part])))
        exact, verdict, difference = _against_differences(F, d)
        if verdict in ("kinks", "refuted") and not _only_kinks(F, d, part):
            return _likely_trap(name, exact, difference)
        blind = blind or abs(exact) < 1e8 * 20 * noise(F) / STEPS["central"]  # so large is f that differences do not see much
    unsafe = _asked_for(F) if blind else []
    if unsafe:
        return f"f uses np.{', np.'.join(unsafe)} of complex numbers, and is too large for differences to see whether it matters."
    return None


def _asked_for(F):
    """The names of the functions without a complex derivative that f was seen to use; not every use can be seen."""
    seen = set()

    class Watched(np.ndarray):
        """An array that notes them, wherever it goes."""

        def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
            if ufunc in (np.absolute, np.sign, np.conjugate) and any(np.iscomplexobj(a) for a in inputs):
                seen.add(ufunc.__name__)
            plain = [a.view(np.ndarray) if isinstance(a, Watched) else a for a in inputs]
            if out is not None:
                options["out"] = tuple(a.view(np.ndarray) if isinstance(a, Watched) else a for a in out)
            result = getattr(ufunc, method)(*plain, **options)
            return result.view(Watched) if isinstance(result, np.ndarray) else result

    with contextlib.suppress(Exception):  # f may be no friend of subclasses; then nothing is known
        F((F.theta + 0j).view(Watched), "complex theta")
    return sorted(seen)


def _against_differences(F, d):
    """-> the complex step along d, what differences say of it, and the first of them. "fits"; "kink": it lies between the slopes to
    both sides, which stay apart however small the step; "kinks": they stay apart, but it does not; "refuted".

    While a central difference disagrees, the step shrinks, until it agrees or drowns in rounding."""
    exact, value, seen = complex_slope(F, d).sum(), F.value.sum(), []
    for h in power_of_two(STEPS["central"]) * 0.125 ** np.arange(9):
        try:
            right, left = (s * (F(F.theta + s * h * d, f"theta +- {h:.0e} d").sum() - value) / h for s in (1, -1))
        except ValueError:  # f ends there; closer to theta it may not
            if h < 1e-12 and not seen:
                raise
            continue
        central, rounding, size = (right + left) / 2, 20 * noise(F) / h, max(abs(right), abs(left), abs(exact))
        inside = min(right, left) - rounding <= exact <= max(right, left) + rounding
        seen.append((abs(right - left), rounding / 5, inside, central, abs(central - exact)))
        first = seen[0][4]  # what a shorter step must explain, by more than its rounding
        if len(seen) > 1 and rounding > 4 * first:
            break
        if abs(central - exact) <= 1e-8 * size + (min(rounding, 0.2 * first) if len(seen) > 1 else rounding):
            return exact, "fits", central
    gaps, roundings, inside, centers, _ = map(np.array, zip(*seen))
    last = staying_apart(gaps, roundings)
    return exact, "refuted" if not last else "kink" if inside[last] else "kinks", centers[0]


def _only_kinks(F, d, part):
    """Do differences refute the complex step along d only because units have their kink at theta? The block is halved towards the
    larger disagreement, down to one entry: there the slopes to both sides stay apart, if so."""

    def off(low, high):
        some, h = np.zeros_like(d), power_of_two(STEPS["central"])
        some[low:high] = d[low:high]
        return some, abs((complex_slope(F, some) - along(F, some, "central", h)).sum())

    start, stop = part.start, part.stop
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (start, middle) if off(start, middle)[1] >= off(middle, stop)[1] else (middle, stop)
    return _against_differences(F, off(start, stop)[0])[1] in ("kink", "kinks")


def _likely_trap(name, exact, difference):
    if abs(exact - 2 * difference) < 1e-3 * abs(exact):
        reason = "a factor 2 is what np.sign(x) * x gives"
    else:
        reason = "np.abs, np.var, np.std, np.linalg.norm, np.vdot and x.conj() do other things to complex numbers"
    return f"along a random direction of {name} the complex step says {exact:.9g}, a central difference {difference:.9g}; {reason}."
