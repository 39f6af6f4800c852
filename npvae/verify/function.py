"""The function under examination: called on fresh copies, so that nothing of the caller's can change, and held to its promises.

theta is an array, or a dict of named arrays; here it is one flat vector (P,), and f may be asked at any real or complex vector.
"""

import contextlib

import numpy as np


def blocks(where, name, value):
    """-> {name: array} in order, for an array (which is then called "theta") or a dict of arrays; nothing is copied.

    Raises TypeError, ValueError: neither of the two, not floats, empty, or not finite."""
    given = value if isinstance(value, dict) else {"theta": value}
    if not given:
        raise ValueError(f"{where}: {name} is an empty dict; there is nothing to differentiate.")
    for key, a in given.items():
        if not isinstance(key, str):
            raise TypeError(f"{where}: the names in {name} must be text, got {key!r}.")
        label = f"{name}[{key!r}]" if isinstance(value, dict) else name
        if not isinstance(a, (np.ndarray, np.floating, float)):
            hint = "; write it with a decimal point" if isinstance(a, int) else ""
            raise TypeError(f"{where}: {label} must be an array of floats, got {type(a).__name__}{hint}.")
        dtype = np.asarray(a).dtype
        if np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.bool_):
            raise TypeError(f"{where}: {label} holds integers ({dtype}), which cannot take a small step; use .astype(float).")
        if not np.issubdtype(dtype, np.floating):
            raise TypeError(f"{where}: {label} must be an array of real floats, got {dtype}.")
        if np.size(a) == 0:
            raise ValueError(f"{where}: {label} is empty (shape {np.shape(a)}); there is nothing to differentiate.")
    return {key: np.asarray(a) for key, a in given.items()}


def array(where, name, value):
    """One array of floats -> a copy in float64.  Raises TypeError, ValueError."""
    if isinstance(value, dict):
        raise TypeError(f"{where}: {name} must be an array of floats, got dict.")
    return np.array(blocks(where, name, value)["theta"], np.float64)


class Function:
    """f at any point of theta's structure, as a vector of parts (n,) that sum to f's value: (1,) unless `parts` names several.

    Raises TypeError or ValueError, in one sentence, for whatever f does that a loss must not do.
    """

    def __init__(self, where, f, theta, parts=None, who="f"):
        if not callable(f):
            raise TypeError(f"{where}: f must be a function of theta, got {type(f).__name__}; pass the function, not its value.")
        self.where, self.f, self.who = where, f, who
        self.alone, self.parts = parts is None, ("f",) if parts is None else tuple(parts)
        self.calls = 0
        self.noise = None  # of its values; see slopes.noise
        self.lone = not isinstance(theta, dict)
        given = blocks(where, "theta", theta)
        self.shapes = {name: a.shape for name, a in given.items()}
        self.slices, start = {}, 0
        for name, a in given.items():
            self.slices[name] = slice(start, start + a.size)
            start += a.size
        self.theta = self.flatten(given)  # (P,)    float64, a copy
        bad = np.flatnonzero(~np.isfinite(self.theta))
        if len(bad):
            raise ValueError(f"{where}: {self.entry(bad[0])} is {self.theta[bad[0]]}; a check needs a finite point.")
        self.value = self._first_values()

    def _first_values(self):
        """f at theta, twice: a loss that draws its own noise is told so before anything is compared."""
        values = [self(self.theta) for _ in range(2)]
        if not alike(*values):
            a, b = (v.sum() for v in values)
            if self.who != "f":
                raise ValueError(f"{self.where}: {self.who} is random: fix its noise (or its mask) while it is checked.")
            raise ValueError(
                f"{self.where}: your loss is random: the same theta gave {a:.9g} and then {b:.9g}. "
                "Draw the noise once, outside of f, and pass it in."
            )
        return values[0]

    def __call__(self, vector, at="theta"):
        """The parts of f at a vector (P,), real or complex; `at` says in words where that is."""
        copy = vector.copy()
        self.calls += 1
        try:
            value = self.f(self.structured(copy))
        except Exception as error:
            if at == "theta":
                raise
            raise ValueError(
                f"{self.where}: {self.who} raised {type(error).__name__} ({error}) at {at}, though not at theta."
            ) from error
        if not np.array_equal(copy, vector):
            j = np.flatnonzero(copy != vector)[0]
            raise ValueError(f"{self.where}: {self.who} changes its input ({self.entry(j)}); let it work on a copy.")
        return self._numbers(value, np.iscomplexobj(vector), at)

    def _numbers(self, value, complex_argument, at):
        values = [value] if self.alone else list(value)
        if len(values) != len(self.parts):
            raise ValueError(f"{self.where}: f gave {len(values)} parts, expected {len(self.parts)}: {', '.join(self.parts)}.")
        for v in values:
            if v is None:
                raise TypeError(f"{self.where}: f returned None; does it end with `return loss`?")
            if isinstance(v, (tuple, list)):
                raise TypeError(f"{self.where}: f returned a {type(v).__name__}; it must return the loss alone: lambda t: f(t)[0].")
            if np.ndim(v) > 0:
                what = f"an array of shape {np.shape(v)}"
                raise TypeError(f"{self.where}: f returned {what}; a gradient belongs to one number: return e.g. the sum.")
            if isinstance(v, (bool, np.bool_, str)) or not np.issubdtype(np.asarray(v).dtype, np.number):
                raise TypeError(f"{self.where}: f returned {type(v).__name__}; expected a number.")
            if np.iscomplexobj(v) and not complex_argument:
                raise TypeError(f"{self.where}: f returned the complex number {v} for real theta; a loss must be real.")
            if not np.isfinite(v):
                raise ValueError(f"{self.where}: f is {v} at {at}; a gradient there means nothing.")
        found = np.array(values)
        return found.astype(np.complex128 if np.iscomplexobj(found) else np.float64)

    # --- between the structure and the vector -----------------------------------------------------------------------------------

    def flatten(self, structure):
        """{name: array} -> (P,), float64."""
        return np.concatenate([np.ravel(np.asarray(a, np.float64)) for a in structure.values()])

    def structured(self, vector):
        """(P,) -> what f takes: an array or a dict of arrays, views into the vector."""
        named = self.named(vector)
        return named["theta"] if self.lone else named

    def named(self, vector):
        """(P,) -> {name: array}, views into the vector."""
        return {name: vector[part].reshape(self.shapes[name]) for name, part in self.slices.items()}

    def locate(self, j):
        """Entry j of the vector -> (name, index)."""
        for name, part in self.slices.items():
            if j < part.stop:
                return name, tuple(int(i) for i in np.unravel_index(j - part.start, self.shapes[name]))
        raise IndexError(j)

    def entry(self, j):
        """Entry j in words: W[3, 1]."""
        name, index = self.locate(j)
        return name + (str(list(index)) if index else "")

    def gradient(self, grad, name="grad"):
        """The caller's gradient as (P,), once it has theta's names, shapes and finite numbers.

        Raises TypeError, ValueError; the hint tells a transposed weight and a bias summed along the wrong axis."""
        if isinstance(grad, dict) == self.lone:
            kinds = ["a dict of arrays", "an array"]
            want, got = kinds if not self.lone else kinds[::-1]
            raise TypeError(f"{self.where}: theta is {want}, but {name} is {got if grad is not None else None}.")
        given = {"theta": grad} if self.lone else grad
        missing, extra = [n for n in self.shapes if n not in given], [n for n in given if n not in self.shapes]
        if missing or extra:
            told = [f"{verb} {', '.join(map(repr, names))}" for verb, names in (("has no", missing), ("has", extra)) if names]
            raise ValueError(f"{self.where}: {name} {' and '.join(told)}; theta has {', '.join(map(repr, self.shapes))}.")
        for key, shape in self.shapes.items():
            label = name if self.lone else f"{name}[{key!r}]"
            if given[key] is None:
                raise TypeError(f"{self.where}: {label} is None; was the backward pass run?")
            if np.shape(given[key]) != shape:
                hint = _shape_hint(np.shape(given[key]), shape)
                raise ValueError(f"{self.where}: {label} has shape {np.shape(given[key])}, but {key} is {shape}: {hint}")
            dtype = np.asarray(given[key]).dtype
            if not np.issubdtype(dtype, np.floating) and not np.issubdtype(dtype, np.integer):
                raise TypeError(f"{self.where}: {label} must hold real numbers, got {dtype}.")
        vector = self.flatten({key: given[key] for key in self.shapes})
        bad = np.flatnonzero(~np.isfinite(vector))
        if len(bad):
            raise ValueError(
                f"{self.where}: {name} is {vector[bad[0]]} at {self.entry(bad[0])} ({len(bad)} of {len(vector)} entries are not "
                "finite), though f is finite there."
            )
        return vector


def _shape_hint(got, want):
    if len(want) == 2 and got == want[::-1]:
        return "it is transposed."
    if [n for n in got if n > 1] == [n for n in want if n > 1]:
        return "an axis of length 1 too many, or too few; keepdims?"
    return "was it summed along the wrong axis, or not at all?"


def alike(a, b):
    """Are two vectors the same but for rounding? Some BLAS round differently from call to call."""
    return bool(np.max(np.abs(a - b)) <= 1e-12 * np.max(np.abs(a)))


@contextlib.contextmanager
def untouched(*structures, then=lambda: None):
    """Whatever happens inside, the arrays of these structures have their old bits afterwards; `then` runs just before that."""
    arrays = [a for s in structures for a in (s.values() if isinstance(s, dict) else [s]) if isinstance(a, np.ndarray)]
    saved = [a.copy() for a in arrays]
    try:
        yield
    finally:
        try:
            with contextlib.suppress(Exception):  # it only tidies up; what went wrong inside has been or is being told
                then()
        finally:
            for a, before in zip(arrays, saved):
                if a.flags.writeable and a.tobytes() != before.tobytes():
                    a[...] = before
