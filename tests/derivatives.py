"""Two judges of a gradient, independent of the package: the complex step and central differences.

Both take f, a function of one array or of a dict of named arrays, and differentiate the sum of what f returns; the answer has the
structure of the argument. f may return an array: its elements are differenced before they are summed, so that terms which do not
depend on the entry add no rounding. A backward pass with cotangent dy is checked with f = dy * forward.
"""

import numpy as np

from npvae.core.parameters import named_parameters


def complex_step(f, at, h=1e-30):
    """d sum(f) / d at = Im sum f(at + ih e_j) / h for every entry j: exact to rounding, if f is complex-safe."""

    def derivative(nudged, entry):
        y = f(nudged(entry + 1j * h))
        assert np.iscomplexobj(y), "f dropped the imaginary part"
        return np.sum(np.imag(y)) / h

    return _each_entry(derivative, at, complex)


def central_difference(f, at, h=6e-6):
    """d sum(f) / d at = sum( f(at + s e_j) - f(at - s e_j) ) / 2s with s = h max(1, |at_j|) for every entry j."""

    def derivative(nudged, entry):
        step = h * max(1.0, abs(entry))
        high, low = entry + step, entry - step
        above = np.array(f(nudged(high)))  # a copy: f may give back a view of its argument, which moves on
        return np.sum(above - f(nudged(low))) / (high - low)

    return _each_entry(derivative, at, float)


def _each_entry(derivative, at, dtype):
    if not isinstance(at, dict):
        return _each_entry_of_dict(lambda nudged, entry: derivative(lambda v: nudged(v)["at"], entry), {"at": at}, dtype)["at"]
    return _each_entry_of_dict(derivative, at, dtype)


def _each_entry_of_dict(derivative, at, dtype):
    """One copy of the arguments serves all evaluations; each entry is put back when its derivative is known."""
    arguments = {name: np.array(a, dtype) for name, a in at.items()}
    gradient = {name: np.zeros(np.shape(a)) for name, a in at.items()}
    for name, moved in arguments.items():
        for j in np.ndindex(moved.shape):
            entry = moved[j]

            def nudged(value, moved=moved, j=j):
                moved[j] = value
                return arguments

            gradient[name][j] = derivative(nudged, float(at[name][j]))
            moved[j] = entry
    return gradient


def assert_agree(analytic, numeric, rtol, floor=1e-14):
    """|analytic - numeric| <= rtol * (largest entry of the block) + floor in every block; names the worst entry if not.

    floor is the rounding of sums of order one."""
    if not isinstance(numeric, dict):
        analytic, numeric = {"gradient": analytic}, {"gradient": numeric}
    assert set(analytic) == set(numeric), f"blocks {sorted(analytic)} against {sorted(numeric)}"
    for name, n in numeric.items():
        a = np.asarray(analytic[name])
        assert a.shape == n.shape, f"{name}: shape {a.shape}, expected {n.shape}"
        error = np.abs(a - n)
        j = np.unravel_index(np.argmax(error), error.shape)
        allowed = rtol * max(np.max(np.abs(n)), np.max(np.abs(a))) + floor
        assert error[j] <= allowed, f"{name}{list(map(int, j))}: analytic {a[j]!r}, numeric {n[j]!r}, allowed error {allowed:.1e}"


# --- layers ---------------------------------------------------------------------------------------------------------------------


def layer_arguments(layer, x):
    """{"x": x, "0.W": W, ...}: everything that a layer's output depends on; a Chain's parameters are "0.<position>.W"."""
    return {"x": x, **{name: getattr(owner, p).copy() for name, owner, p in named_parameters("", [layer])}}


def weighted_output(layer, dy, dtype=complex):
    """-> f: arguments, as layer_arguments gives them -> dy * forward, of a twin of the layer that takes these parameters."""
    twin = layer.astype(dtype)
    slots = list(named_parameters("", [twin]))

    def output(arguments):
        for name, owner, p in slots:
            setattr(owner, p, arguments[name])
        return dy * twin.forward(arguments["x"])[0]

    return output


def layer_gradients(layer, x, dy):
    """The same dict of what backward gives: dx and the layer's own gradients, copied."""
    _, cache = layer.forward(x)
    dx = layer.backward(dy, cache)
    return {"x": dx, **{name: getattr(owner, "d" + p).copy() for name, owner, p in named_parameters("", [layer])}}
