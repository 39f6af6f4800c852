"""A whole model's gradient; and if it is wrong, which layer's backward is to blame."""

import numpy as np

from npvae.verify.examine import CONFIDENCE, Hints, examine
from npvae.verify.function import Function
from npvae.verify.layer import check_layer
from npvae.verify.likelihood import check_likelihood


def check_model(
    model, x, eps, beta=1.0, *, method="auto", rtol=None, directions=None, confidence=CONFIDENCE, seed=0, **condition
):  # fmt: skip
    """Is what model.loss_and_grad leaves in params.grad the gradient of model.loss?  -> Report by parameter name.

    x, eps, beta: the arguments of loss; **condition: further ones, such as a conditional model's labels. The loss is differentiated
    as a sum of its terms, reconstruction and beta kl, so that the diagnosis can tell which of them is at fault; then each layer's
    backward is checked alone, from the loss back, and the first that is wrong is named. Works on copies in float64 and complex128:
    the model keeps its bits. A model in another dtype is also compared with its float64 copy. The rest as in check_gradient.
    """
    where = f"check_model({type(model).__name__})"
    for method_name in ("loss", "loss_and_grad", "astype", "params"):
        if not hasattr(model, method_name):
            raise TypeError(f"{where}: model has no .{method_name}; use check_gradient for functions, check_layer for layers.")
    double = model.astype(np.float64)
    arguments = dict(condition, beta=beta)
    F = Function(
        where, _terms(model, x, eps, arguments), {name: value for name, value, _ in double.params}, ("reconstruction", "kl")
    )
    first, second = (_gradient(F, double, x, eps, arguments) for _ in range(2))
    sizes = {"B": len(x), "D": np.size(x) // len(x), "Z": getattr(model, "latent_dim", 1), "beta": float(beta)}
    constants = {name: size for name, size in sizes.items() if size not in (0, 1)}  # the others leave no trace
    report = examine(
        F, first, subject=where, method=method, rtol=rtol, directions=directions, confidence=confidence, seed=seed,
        hints=Hints(again=second, constants=constants), notes=_own_dtype(model, first, x, eps, arguments),
    )  # fmt: skip
    if report.ok:
        return report
    blame = _blame(double, x, eps, arguments, seed, explained=report.diagnosis is not None)
    return report.but(blame) if blame else report


def _terms(model, x, eps, arguments):
    """theta -> (reconstruction, beta kl), real or complex as theta is."""
    twins = {}

    def f(theta):
        dtype = np.complex128 if np.iscomplexobj(next(iter(theta.values()))) else np.float64
        if dtype not in twins:
            twins[dtype] = model.astype(dtype)
        for name, value, _ in twins[dtype].params:
            value[...] = theta[name]
        loss = twins[dtype].loss(x, eps, **arguments)
        return loss.reconstruction, arguments["beta"] * loss.kl

    return f


def _gradient(F, model, x, eps, arguments):
    model.loss_and_grad(x, eps, **arguments)
    return F.gradient({name: grad for name, _, grad in model.params}, "the gradient")


def _own_dtype(model, g, x, eps, arguments):
    """How far a float32 model's gradient lies from that of its float64 copy, in words."""
    if model.params.dtype == np.float64:
        return []
    twin = model.astype(model.params.dtype)
    twin.loss_and_grad(x, eps, **arguments)
    error = np.linalg.norm(twin.params.grad - g) / (np.linalg.norm(g) or 1.0)
    return [
        f"The model is {model.params.dtype}: checked as a float64 copy, whose gradient its own meets to {error:.1e} (norm). "
        "That is rounding if it is near 1e-6."
    ]


def _blame(model, x, eps, arguments, seed, explained):
    """The first part, from the loss back, whose backward alone is wrong, in words; else, unless explained, what joins them."""
    for name, part, inputs in reversed(_parts_with_inputs(model, x, eps, arguments)):
        check = check_likelihood if name == "likelihood" else check_layer
        label = f"{name} ({type(part).__name__})"
        try:
            report = check(part, *inputs, seed=seed)
        except (TypeError, ValueError) as error:  # a gradient of another shape, say
            return f"{label} alone cannot even be checked: {error}"
        if not (report.ok or report.vacuous):
            return f"The backward of {label} alone is wrong, at {report.worst.name}. " + (report.diagnosis or "")
    if explained:
        return None
    right = "Each part's backward alone is right"
    if eps is None or not hasattr(model, "encoder"):
        return f"{right}: look at the lines that join them."
    sampling = _check_sampling(model, x, eps, arguments, seed)
    if sampling.ok or sampling.vacuous:
        return f"{right}, and so is the sampling: look at the KL, and at the weights (1/B, beta) of the terms."
    where = " and ".join(row.name for row in sampling.rows if row.verdict == "wrong")
    cause = sampling.diagnosis or f"{where}: no simple explanation; a backward pass with noise of its own looks like this."
    return f"{right}, but not the way through the sampling, from z back to {where}. {cause}"


def _check_sampling(model, x, eps, arguments, seed):
    """The gradient that the encoder is handed, against the loss as a function of mu and logvar; at beta = 0, without the KL."""
    handed = {}
    double, Z = model.astype(np.float64), eps.shape[1]
    forward, backward = double.encoder.forward, double.encoder.backward

    def heard_forward(h):
        handed["code"], cache = forward(h)
        return handed["code"], cache

    def heard_backward(dcode, *rest, **options):
        handed["dcode"] = np.array(dcode)
        return backward(dcode, *rest, **options)

    double.encoder.forward, double.encoder.backward = heard_forward, heard_backward
    arguments = {**arguments, "beta": 0.0}
    double.loss_and_grad(x, eps, **arguments)
    twins = {dtype: model.astype(dtype) for dtype in (np.float64, np.complex128)}

    def f(theta):
        code = np.concatenate([theta["mu"], theta["logvar"]], axis=1)
        twin = twins[code.dtype.type]
        twin.encoder.forward = lambda h: (code, None)
        return twin.loss(x, eps, **arguments).total

    mu, logvar = handed["code"][:, :Z], handed["code"][:, Z:]
    F = Function("check_model", f, {"mu": mu.copy(), "logvar": logvar.copy()})
    g = F.gradient({"mu": handed["dcode"][:, :Z], "logvar": handed["dcode"][:, Z:]}, "the gradient")
    noise = {"eps": eps, "eps of the rows in reverse": eps[::-1], "eps of the next row": np.roll(eps, -1, axis=0)}
    local = {"sigma": np.exp(0.5 * logvar), "sigma^2": np.exp(logvar), "mu": mu, "logvar": logvar, **noise}
    return examine(F, g, subject="sampling", seed=seed, hints=Hints(tensors={"mu": local, "logvar": local}))


def _parts_with_inputs(model, x, eps, arguments):
    """(name, part, what it was given) of every layer and the likelihood, in the order in which loss_and_grad uses them."""
    seen = []

    def listen(name, part, method):
        original = getattr(part, method)

        def heard(*inputs, **options):
            seen.append((name, part, [np.array(a) for a in inputs]))
            return original(*inputs, **options)

        setattr(part, method, heard)
        return lambda: delattr(part, method)

    chains = {name: getattr(getattr(model, name, None), "layers", []) for name in ("encoder", "decoder")}
    undo = [listen(f"{name}.{i}", layer, "forward") for name, layers in chains.items() for i, layer in enumerate(layers)]
    if hasattr(model, "likelihood"):
        undo.append(listen("likelihood", model.likelihood, "nll_and_grad"))
    model.loss_and_grad(x, eps, **arguments)
    for restore in undo:
        restore()
    return seen
