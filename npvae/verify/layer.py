"""One layer's backward alone, against a random cotangent: so that one wrong line blames one layer."""

import copy
import inspect

import numpy as np

from npvae.verify.examine import Hints, examine
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
    if np.issubdtype(np.asarray(x).dtype, np.integer):
        hint = "An index has no derivative: check such a table with check_gradient."
        raise TypeError(f"{where}: x holds integers, which cannot take a small step; use .astype(float). {hint}")
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
    local = {"x": {"x": x, "y": y, "dy": dy}} if _element_by_element(twin, x, y) else None
    constants = {name: n for name, n in constants.items() if n > 1}
    report = examine(
        F, first, subject=where, method=method, rtol=rtol, directions=directions, seed=seed,
        hints=Hints(second, constants, tensors=local, suspects={"x": _wrong_dx(twin, x, y, dy)}, parts_are="rows"),
        notes=_unseen(where, layer, twin), least=COARSE * float(np.max(np.abs(dy))),
    )  # fmt: skip
    return report.but(trouble) if trouble else report


def _element_by_element(layer, x, y):
    """Is the layer a function without parameters, of each entry of x alone? Moving one entry must move that of y and no other."""
    if x.shape != y.shape or list(parameters_of(layer)):
        return False
    for j in {0, x.size // 2, x.size - 1}:
        moved = x.copy()
        moved.flat[j] += 0.1
        others = np.flatnonzero(_forward("check_layer", layer, moved)[0] != y)
        if set(others) - {j}:
            return False
    return True


def _wrong_dx(layer, x, y, dy):
    """{what a mistake would be called: what dx would then be}, for a layer that is no function of each entry alone."""
    if dy.ndim != 2 or _element_by_element(layer, x, y):
        return {}
    weights = {name: getattr(owner, p) for name, owner, p in parameters_of(layer)}
    wrong = {
        f"dy {name} in place of dy {name}^T: the weight is not transposed.": dy @ W
        for name, W in weights.items()
        if W.shape == (dy.shape[1], x.shape[-1])
    }
    if x.shape == y.shape:
        alone = "as if each output depended on its own input alone; here it depends on several"
        wrong |= {
            "equal to dy: the derivative of the layer itself is missing.": dy,
            f"dy y (1 - y), {alone} (for a softmax, dx = y (dy - sum(dy y))).": dy * y * (1 - y),
            f"dy y, {alone} (for a softmax, dx = y (dy - sum(dy y))).": dy * y,
        }
    return wrong


def _unseen(where, layer, after):
    """A remark about arrays that look like parameters which the layer does not list.  Raises ValueError if backward leaves their
    gradients, in the copy `after` it: a wrong one would go unseen."""
    listed = {p for _, owner, p in parameters_of(layer) if owner is layer}
    arrays = {name for name, a in getattr(layer, "__dict__", {}).items() if _holds_floats(a)} - listed - {"x", "y"}
    names = sorted(name for name in arrays if _holds_floats(getattr(after, "d" + name, None)))
    if names:
        told, listing = (", ".join(form.format(name) for name in names) for form in (".d{}", '"{}"'))
        raise ValueError(f"{where}: backward leaves {told}, which would not be checked: list the names, parameters = ({listing},).")
    if arrays and not list(parameters_of(layer)):
        return [f"The layer lists no parameters: only dx was checked, not what belongs to .{', .'.join(sorted(arrays))}."]
    return []


def _holds_floats(a):
    if isinstance(a, dict):
        return any(_holds_floats(value) for value in a.values())
    return isinstance(a, np.ndarray) and np.issubdtype(a.dtype, np.floating)


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
    if isinstance(getattr(layer, "parameters", ()), str):  # a forgotten comma
        raise TypeError(f'{where}: .parameters is the text {layer.parameters!r}; write ("{layer.parameters}",) with a comma.')
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
        raise TypeError(
            f"{where}: forward must return two things, y and what backward needs (`return y, x`), got {got}; "
            "they come back in backward(dy, cache)."
        )
    if x.ndim == 1 and result[0].shape != x.shape:
        raise ValueError(f"{where}: x has one axis, {x.shape}; give rows, one an example: x[np.newaxis, :].")
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
    try:
        inspect.signature(layer.backward).bind(dy, cache)
    except TypeError:
        raise TypeError(f"{where}: backward must take two arguments, dy and the cache that forward returned.") from None
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
            "The gradient changes when another forward pass comes between forward and backward: the layer keeps its input in self; "
            "return it from forward, as the cache."
        )
    elif same == (False, True):
        trouble = "backward writes into its cache: called again with the same cache, it gives another gradient."
    return first, None if same == (False, True) else second, trouble


def _gradients(F, layer, dx, x):
    """What a backward pass has left, as (P,).  Raises with the shape, the name or the index of what does not fit."""
    if dx is None:
        raise TypeError(f"{F.where}: backward returned None; does it end with `return dx`?")
    given = {"x": dx}
    for name, owner, p in parameters_of(layer):
        if not hasattr(owner, "d" + p):
            raise ValueError(f"{F.where}: backward leaves no .d{p} (the gradient of {name}).")
        given[name] = getattr(owner, "d" + p)
    return F.gradient(given, "the gradient")
