"""One likelihood's gradient alone: with respect to the decoder's output, and to parameters of its own."""

import numpy as np

from npvae.verify.examine import Hints, examine
from npvae.verify.function import Function, array
from npvae.verify.layer import in_dtype, parameters_of


def check_likelihood(likelihood, out, x, *, method="auto", rtol=None, directions=None, seed=0):
    """Is what nll_and_grad gives the gradient of nll at out?  -> Report by block: "out" and each parameter.

        dout, ... must be the derivatives of  f(out, ...) = sum_b w_b nll_b(out, x)            w: random weights of the examples

    likelihood: anything with nll(out, x) -> (B,) and nll_and_grad(out, x, dnll=) -> nll, dout; out: (B, n); x: (B, D).
    Works on a copy in float64. Raises TypeError or ValueError where no comparison can be made.
    """
    where = f"check_likelihood({type(likelihood).__name__})"
    for name in ("nll", "nll_and_grad"):
        if not callable(getattr(likelihood, name, None)) or isinstance(likelihood, type):
            raise TypeError(f"{where}: likelihood must be an instance with nll and nll_and_grad, got {likelihood!r}.")
    out = array(where, "out", out)
    x = np.array(x, np.float64)
    weights = np.random.default_rng(seed).uniform(0.5, 1.5, len(out)) / len(out)  # (B,)
    twins = {dtype: in_dtype(likelihood, dtype) for dtype in (np.float64, np.complex128)}
    own = {name: getattr(owner, p).copy() for name, owner, p in parameters_of(twins[np.float64])}

    def f(theta):
        twin = twins[np.complex128 if np.iscomplexobj(theta["out"]) else np.float64]
        for name, owner, p in list(parameters_of(twin)):
            setattr(owner, p, theta[name])
        return weights * twin.nll(theta["out"], x)

    F = Function(where, f, {"out": out, **own}, [f"row {b}" for b in range(len(out))], who="nll")
    gradients = []
    for _ in range(2):
        twin = in_dtype(likelihood, np.float64)
        _, dout = twin.nll_and_grad(out.copy(), x.copy(), dnll=weights.copy())
        found = {name: getattr(owner, "d" + p) for name, owner, p in parameters_of(twin)}
        gradients.append(F.gradient({"out": dout, **found}, "the gradient"))
    constants = {name: n for name, n in {"B": len(out), "D": x.shape[-1]}.items() if n > 1}
    y = twins[np.float64].mean(out) if hasattr(likelihood, "mean") else None
    return examine(
        F, gradients[0], subject=where, method=method, rtol=rtol, directions=directions, seed=seed,
        hints=Hints(gradients[1], constants, tensors={"out": {"y": y}} if np.shape(y) == out.shape else None, parts_are="rows"),
    )  # fmt: skip
