"""What a wrong argument is told: one sentence that says what was expected, what came, where, and what to do."""

import numpy as np


class NonFiniteError(ValueError):
    """A NaN or an infinity arose; the message names the first quantity that holds one, and its index."""


def same_shape(where, **arrays):
    """Refuse arrays of different shapes, which NumPy would broadcast in silence, (B,) against (B, 1) into (B, B).

    Raises ValueError naming `where` and both shapes."""
    (first, a), *others = arrays.items()
    for name, b in others:
        if np.shape(b) != np.shape(a):
            raise ValueError(f"{where}: {name} has shape {np.shape(b)} but {first} has shape {np.shape(a)}; they must be equal.")


def has_shape(where, name, a, shape, hint=""):
    """Refuse `a` unless it has `shape`, in which a letter stands for any length: ("B", 20).  Raises ValueError."""
    got = np.shape(a)
    if len(got) != len(shape) or any(n != want for n, want in zip(got, shape) if not isinstance(want, str)):
        letters = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{where}: {name} has shape {got}, expected ({letters}){'; ' + hint if hint else '.'}")


def first_nonfinite(a):
    """-> (index, value) of the first NaN or infinity of `a`, or None."""
    bad = np.argwhere(~np.isfinite(a))
    if len(bad) == 0:
        return None
    index = tuple(int(i) for i in bad[0])
    return index, np.asarray(a)[index]


def finite(where, hint="", **arrays):
    """Refuse a NaN or an infinity; the arrays are given in the order of computation, so that the first culprit is named.

    Raises NonFiniteError."""
    for name, a in arrays.items():
        found = first_nonfinite(a)
        if found:
            index, value = found
            n = np.size(a) - int(np.isfinite(a).sum())
            place = f" at {list(index)}" if index else ""
            raise NonFiniteError(
                f"{where}: {name} is {value}{place} ({n} of {np.size(a)} values are not finite)"
                + (f"; {hint}" if hint else ", and nothing before it.")
            )


def positive_integer(where, name, n):
    """-> int(n) if n is an integer of at least 1.  Raises TypeError, ValueError."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{where}: {name} must be an integer, got {n!r}.")
    if n < 1:
        raise ValueError(f"{where}: {name} must be at least 1, got {n}.")
    return int(n)


def generator(where, rng):
    """-> rng, if it is a numpy.random.Generator.  Raises TypeError: there is no default and no global generator."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{where}: rng must be a numpy.random.Generator, got {type(rng).__name__}; pass np.random.default_rng(0).")
    return rng
