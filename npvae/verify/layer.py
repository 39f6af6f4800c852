"""One layer's backward alone, against a random cotangent: so that one wrong line blames one layer."""

import copy

import numpy as np

from npvae.verify.examine import examine
from npvae.verify.function import Function, alike, array

COARSE = 4 * np.finfo(float).eps  # of dy: what the derivative of an activation, 1 - y^2, may be off by where it saturates


def check_layer(layer, x, dy=None, *, method="auto", rtol=None, directions=None, seed=0):
    """Is layer.backward the derivative of layer.forward at x?  -> Report by block: "x" (for dx) and each parameter.

        dx, dW, ... must be the derivatives of  f(x, W, ...) = sum( dy * forward(x) )

    layer: anything with forward(x) -> y, cache and backward(dy, cache) -> dx that lists its parameters' names in .parameters and
    leaves their gradients in .dW, .db, ...; a subclass of Layer, or a class of your own. x: floats, one example a row; use unequal
    sizes, so that a transposed weight cannot hide. dy: the cotangent, like y; random and non-uniform if None, since a constant one
    is blind to much. The check works on a copy in float64: layer and x keep their bits. It also asks whether backward leaves dy
    and the cache alone, and gives the same when called again.

    Raises TypeError or ValueError where no comparison can be made: no such methods, a gradient of another shape, x of integers.
    """
    where = f"check_layer({type(layer).__name__})"
    _has_methods(where, layer)
    x = array(where, "x", x)
    twin = in_dtype(layer, np.float64)
    names = [name for name, _, _ in parameters_of(twin)]
    theta = {"x": x, **{name: getattr(owner, p) for name, owner, p in parameters_of(twin)}}
    y, _ = _forward(where, twin, x)
    rng = np.random.default_rng(seed)
    dy = rng.standard_normal(y.shape) if dy is None else _cotangent(where, dy, y)
    F = Function(where, _weighted_output(where, layer, dy, names), theta, [f"row {b}" for b in range(len(y))], who="forward")
    first, second, trouble = _backward_calls(where, twin, F, x, dy)
    constants = {"B": len(y), "n_in": int(np.prod(x.shape[1:])), "n_out": int(np.prod(y.shape[1:]))}
    local = {"x": {"x": x, "y": y, "dy": dy}} if x.shape == y.shape else None
    report = examine(
        F, first, subject=where, method=method, rtol=rtol, directions=directions, seed=seed, again=second,
        constants={name: n for name, n in constants.items() if n > 1}, tensors=local, suspects={"x": _other_products(twin, x, dy)},
        parts_are="rows", least=COARSE * float(np.max(np.abs(dy))),
    )  # fmt: skip
    return report.but(trouble) if trouble else report


def _other_products(layer, x, dy):
    """What dx would be if a square weight had not been transposed; another shape would have raised an error."""
    weights = {name: getattr(owner, p) for name, owner, p in parameters_of(layer)}
    return {
        f"dy {name} in place of dy {name}^T: the weight is not transposed.": dy @ W
        for name, W in weights.items()
        if dy.ndim == 2 and W.shape == (dy.shape[1], x.shape[-1]) == W.shape[::-1]
    }


def in_dtype(layer, dtype):
    """A copy of the layer, with parameters of its own in that dtype."""
    if hasattr(layer, "astype"):
        return layer.astype(dtype)
    twin = copy.deepcopy(layer)
    for _, owner, p in list(parameters_of(twin)):
        value = np.array(getattr(owner, p), dtype)
        if p not in getattr(owner, "__dict__", {}):
            setattr(owner, p, value)
            continue
        owner.__dict__[p] = value  # past a __setattr__ that keeps the old dtype
        if "d" + p in owner.__dict__:
            owner.__dict__["d" + p] = np.zeros_like(value)
    return twin


def parameters_of(layer, prefix=""):
    """Yield (name, owner, attribute) of the layer's parameters and of those of the layers that it is made of: "W", "0.W"."""
    for p in getattr(layer, "parameters", ()):
        yield prefix + p, layer, p
    for i, inner in enumerate(getattr(layer, "layers", ())):
        yield from parameters_of(inner, f"{prefix}{i}.")


def _has_methods(where, layer):
    for method in ("forward", "backward"):
        if isinstance(layer, type) or not callable(getattr(layer, method, None)):
            hint = f"; make an instance: {layer.__name__}(...)" if isinstance(layer, type) else ""
            raise TypeError(f"{where}: layer must have forward and backward, got {layer!r}{hint}.")
    for name, owner, p in parameters_of(layer):
        if not hasattr(owner, p):
            raise ValueError(f"{where}: .parameters names {name!r}, which the layer does not have.")


def _forward(where, layer, x):
    """forward(x) -> y, cache, held to that."""
    result = layer.forward(x)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], np.ndarray)):
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        raise TypeError(f"{where}: forward must return y, cache with y an array, got {got}.")
    if result[0].ndim == 0 or len(result[0]) != len(x):
        raise ValueError(
            f"{where}: forward gives y of shape {result[0].shape} for {len(x)} rows of x; expected one row an example."
        )
    return result


def _cotangent(where, dy, y):
    dy = np.asarray(dy, np.float64)
    if dy.shape != y.shape:
        raise ValueError(f"{where}: dy has shape {dy.shape}, but y is {y.shape}.")
    return dy


def _weighted_output(where, layer, dy, names):
    """f: x and the parameters -> sum over each row of dy * y."""
    twins = {dtype: in_dtype(layer, dtype) for dtype in (np.float64, np.complex128)}

    def f(theta):
        twin = twins[np.complex128 if np.iscomplexobj(theta["x"]) else np.float64]
        for name, owner, p in list(parameters_of(twin)):
            setattr(owner, p, theta[name])
        y, _ = _forward(where, twin, theta["x"])
        return (dy * y).reshape(len(y), -1).sum(axis=1)

    return f


def _backward_calls(where, layer, F, x, dy):
    """The gradient (P,) of a first backward pass, of a second one (None if that need not be said of it), and what a pass does that
    it must not, in words or None."""
    y, cache = _forward(where, layer, x.copy())
    given, trouble = dy.copy(), None
    first = _gradients(F, layer, layer.backward(given, cache), x)
    if not np.array_equal(given, dy):
        trouble = "backward writes into dy, which belongs to the layer above: a gradient used twice would be wrong the second time."
    second = _gradients(F, layer, layer.backward(dy.copy(), cache), x)
    _, cache = _forward(where, layer, x.copy())
    _forward(where, layer, np.flip(x).reshape(x.shape))
    third = _gradients(F, layer, layer.backward(dy.copy(), cache), x)
    same = alike(first, second), alike(first, third)
    if same == (True, False):
        trouble = (
            "The gradient changes when another forward pass comes between forward and backward: the layer keeps in itself what "
            "belongs into the cache."
        )
    elif same == (False, True):
        trouble = "backward writes into its cache: called again with the same cache, it gives another gradient."
    return first, None if same == (False, True) else second, trouble


def _gradients(F, layer, dx, x):
    """What a backward pass has left, as (P,).  Raises with the shape, the name or the index of what does not fit."""
    given = {"x": dx}
    for name, owner, p in parameters_of(layer):
        if not hasattr(owner, "d" + p):
            raise ValueError(f"{F.where}: backward leaves no .d{p} (the gradient of {name}).")
        given[name] = getattr(owner, "d" + p)
    return F.gradient(given, "the gradient")
