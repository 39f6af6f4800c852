"""One training step, written down: every number between the data and the new parameters, in the order of computation.

The layers' own forward and backward do the work, on a twin of the model, so a trace shows what the library really computes.
"""

import copy
from typing import NamedTuple

import numpy as np

from npvae.core.gaussian import kl_divergence, kl_divergence_backward, reparameterize, reparameterize_backward
from npvae.core.layers import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import SGD, Adagrad, Adam, Momentum, Optimizer, RMSProp
from npvae.models.vae import VAE


class Row(NamedTuple):
    """One quantity of the step: its name, its equation's label, the equation in plain text, its shape and its value."""

    name: str
    equation: str
    formula: str
    shape: tuple
    value: np.ndarray


# What each layer does with its input {x}, and with {dy} = dL/d(its output {y}): label and formula.
FORWARD: dict[type, tuple[str, str]] = {
    Dense: ("DENSE-1", "{x} W + b"),
    Tanh: ("ACT-1", "tanh({x})"),
    ReLU: ("ACT-3", "max({x}, 0)"),
    Softplus: ("ACT-5", "log(1 + e^{x})"),
    Sigmoid: ("ACT-7", "1 / (1 + e^-{x})"),
}
BACKWARD: dict[tuple[type, str], tuple[str, str]] = {
    (Dense, "W"): ("DENSE-2", "{x}^T {dy}"),
    (Dense, "b"): ("DENSE-3", "sum over the batch of {dy}"),
    (Dense, "x"): ("DENSE-4", "{dy} W^T"),
    (Tanh, "x"): ("ACT-2", "(1 - {y}^2) {dy}"),
    (ReLU, "x"): ("ACT-4", "{dy} where {x} > 0, else 0"),
    (Softplus, "x"): ("ACT-6", "sigmoid({x}) {dy}"),
    (Sigmoid, "x"): ("ACT-8", "{y} (1 - {y}) {dy}"),
}
LIKELIHOODS: dict[type, dict[str, tuple[str, str]]] = {
    Bernoulli: {
        "mean": ("ACT-7", "sigmoid(out)"),
        "nll": ("BER-1", "sum_d (1 - x) softplus(out) + x softplus(-out)"),
        "dout": ("BER-2", "((1 - x) sigmoid(out) - x sigmoid(-out)) / B"),
    },
    Gaussian: {
        "mean": ("NOR-1", "out"),
        "nll": ("NOR-1", "sum_d 1/2 ((x - out) / sigma)^2 + log sigma + 1/2 log 2 pi"),
        "dout": ("NOR-2", "-(x - out) / sigma^2 / B"),
        "dlog_sigma": ("NOR-3", "sum_b (D - sum_d ((x - out) / sigma)^2) / B"),
    },
}
OPTIMIZERS: dict[type, dict[str, tuple[str, str]]] = {
    SGD: {"new": ("SGD-1", "{theta} - lr {g}")},
    Momentum: {"v": ("MOM-1", "mu v + {g}"), "new": ("MOM-2", "{theta} - lr v")},
    RMSProp: {"v": ("RMS-1", "rho v + (1 - rho) {g}^2"), "new": ("RMS-2", "{theta} - lr {g} / (sqrt(v) + eps)")},
    Adagrad: {"v": ("ADA-1", "v + {g}^2"), "new": ("ADA-2", "{theta} - lr {g} / (sqrt(v) + eps)")},
    Adam: {
        "m": ("ADAM-1", "beta1 m + (1 - beta1) {g}"),
        "v": ("ADAM-2", "beta2 v + (1 - beta2) {g}^2"),
        "mhat": ("ADAM-3", "m / (1 - beta1^t)"),
        "vhat": ("ADAM-4", "v / (1 - beta2^t)"),
        "new": ("ADAM-5", "{theta} - lr mhat / (sqrt(vhat) + eps)"),
    },
}


def trace(vae, x, eps, beta=1.0, optimizer=None):
    """-> list of Row: every intermediate of one training step, forward, backward, and the optimizer's step if there is one.

    vae: a VAE of any depth; x: (B, D); eps: (B, Z); optimizer: one of the library's, or None to stop at the gradient.
    Model and optimizer stay as they are. Layers, likelihoods and optimizers of your own appear without an equation.
    Raises TypeError for another kind of model or optimizer, ValueError as `vae.loss` does.
    """
    if not isinstance(vae, VAE):
        raise TypeError(f"trace: vae must be a VAE, got {type(vae).__name__}.")
    if not (optimizer is None or isinstance(optimizer, Optimizer)):
        raise TypeError(f"trace: optimizer must be an instance such as Adam(lr=0.1), or None; got {optimizer!r:.60}.")
    vae.loss(x, eps, beta)  # complains about wrong arguments
    twin = vae.astype(vae.dtype)  # backward writes gradients and the optimizer parameters: into the twin's
    table = _Table()
    step = _forward(table, twin, np.asarray(x, twin.real_dtype), np.asarray(eps, twin.real_dtype), float(beta))
    _backward(table, twin, **step)
    if optimizer is not None:
        _update(table, twin.params, copy.deepcopy(optimizer))
    return table.rows


class _Table:
    """The rows so far."""

    def __init__(self):
        self.rows = []

    def add(self, name, value, equation="", formula=""):
        value = np.array(value)  # a copy: gradients and parameters are overwritten later
        self.rows.append(Row(name, equation, formula, value.shape, value))


def _forward(table, vae, x, eps, beta):
    """The first half of `VAE.loss_and_grad`, noting everything.  -> what the second half needs."""
    for name, value in {"x": x, "eps": eps, "beta": beta}.items():
        table.add(name, value, formula="given")
    for name, value, _ in vae.params:
        table.add(name, value, formula="parameter")
    code, code_name, encoder = _chain_forward(table, "encoder.", vae.encoder, x, "x")
    mu, logvar = code[:, : vae.latent_dim], code[:, vae.latent_dim :]
    table.add("mu", mu, formula=f"first half of the columns of {code_name}")
    table.add("logvar", logvar, formula=f"second half of the columns of {code_name}")
    z, sample = reparameterize(mu, logvar, eps)
    table.add("sigma", sample[0], "REP-1", "e^(logvar/2)")
    table.add("z", z, "REP-1", "mu + sigma eps")
    out, out_name, decoder = _chain_forward(table, "decoder.", vae.decoder, z, "z")
    formulas = LIKELIHOODS.get(type(vae.likelihood), {})
    table.add("out", out, formula=out_name)
    table.add("mean", vae.likelihood.mean(out), *formulas.get("mean", ("", "E[x|z]")))
    nll, kl = vae.likelihood.nll(out, x), kl_divergence(mu, logvar)
    table.add("nll", nll, *formulas.get("nll", ("", "-log p(x|z)")))
    table.add("kl", kl, "KL-1", "sum_z 1/2 (mu^2 + sigma^2 - 1 - logvar)")
    reconstruction, mean_kl = np.mean(nll).item(), np.mean(kl).item()
    table.add("loss.reconstruction", reconstruction, "ELBO-4", "mean over the batch of nll")
    table.add("loss.kl", mean_kl, "ELBO-4", "mean over the batch of kl")
    table.add("loss.total", reconstruction + beta * mean_kl, "ELBO-4", "loss.reconstruction + beta loss.kl")
    return dict(x=x, beta=beta, mu=mu, logvar=logvar, sample=sample, out=out, encoder=encoder, decoder=decoder)


def _backward(table, vae, x, beta, mu, logvar, sample, out, encoder, decoder):
    """The second half of `VAE.loss_and_grad`, noting everything; leaves the gradient in vae.params.grad."""
    B, dtype = len(x), vae.dtype
    formulas = LIKELIHOODS.get(type(vae.likelihood), {})
    _, dout = vae.likelihood.nll_and_grad(out, x, dnll=np.full(B, 1 / B, dtype))
    table.add("dout", dout, *formulas.get("dout", ("", "gradient of nll / B")))
    for name in vae.likelihood.parameters:
        equation = formulas.get(f"d{name}", ("", "gradient of nll / B"))
        table.add(f"likelihood.0.d{name}", getattr(vae.likelihood, f"d{name}"), *equation)
    dz, dz_name = _chain_backward(table, vae, decoder, dout, "dout")
    table.add("dz", dz, "CHAIN-2", dz_name)
    dmu, dlogvar = reparameterize_backward(dz, sample)
    dmu_kl, dlogvar_kl = kl_divergence_backward(mu, logvar, dkl=np.full(B, beta / B, dtype))
    table.add("dmu.sample", dmu, "REP-2", "dz")
    table.add("dlogvar.sample", dlogvar, "REP-3", "1/2 sigma eps dz")
    table.add("dmu.kl", dmu_kl, "KL-2", "beta mu / B")
    table.add("dlogvar.kl", dlogvar_kl, "KL-3", "1/2 (sigma^2 - 1) beta / B")
    table.add("dmu", dmu + dmu_kl, "ELBO-4", "dmu.sample + dmu.kl")
    table.add("dlogvar", dlogvar + dlogvar_kl, "ELBO-4", "dlogvar.sample + dlogvar.kl")
    dcode = np.concatenate([dmu + dmu_kl, dlogvar + dlogvar_kl], axis=1)
    table.add("dcode", dcode, formula="dmu and dlogvar, side by side")
    _chain_backward(table, vae, encoder, dcode, "dcode", need_dx=False)


def _chain_forward(table, prefix, chain, x, x_name):
    """-> y, its name, and a list of (name, layer, cache, name of x, name of y) for the way back; inner Chains are opened."""
    visited = []
    for i, layer in enumerate(chain.layers):
        name = f"{prefix}{i}"
        if type(layer) is Chain:
            x, x_name, inner = _chain_forward(table, f"{name}.", layer, x, x_name)
            visited += inner
            continue
        x, cache = layer.forward(x)
        equation, formula = FORWARD.get(type(layer), ("", f"{type(layer).__name__}({{x}})"))
        table.add(f"{name}.y", x, equation, formula.format(x=x_name))
        visited.append((name, layer, cache, x_name, f"{name}.y"))
        x_name = f"{name}.y"
    return x, x_name, visited


def _chain_backward(table, vae, visited, dy, dy_name, need_dx=True):
    """-> dL/d(the first layer's input) and its name."""
    for i, (name, layer, cache, x_name, y_name) in reversed(list(enumerate(visited))):
        names = dict(x=x_name, y=y_name, dy=dy_name)
        own = f"{type(layer).__name__}.backward({dy_name})"
        dx = layer.backward(dy, cache, need_dx=need_dx or i > 0)
        for parameter, _, gradient in vae.params:
            if parameter.startswith(f"{name}."):
                equation, formula = BACKWARD.get((type(layer), parameter.removeprefix(f"{name}.")), ("", own))
                table.add(_gradient(parameter), gradient, equation, formula.format(**names))
        if need_dx or i > 0:
            equation, formula = BACKWARD.get((type(layer), "x"), ("", own))
            table.add(f"{name}.dx", dx, equation, formula.format(**names))
        dy, dy_name = dx, f"{name}.dx"
    return dy, dy_name


def _gradient(name):
    """The name of a parameter's gradient: "encoder.0.W" -> "encoder.0.dW"."""
    layer, _, parameter = name.rpartition(".")
    return f"{layer}.d{parameter}"


def _update(table, params, optimizer):
    """The optimizer's own step on the whole vector; then its averages and the new parameters, one parameter after the other."""
    kind = type(optimizer).__name__
    formulas = OPTIMIZERS.get(type(optimizer), {})
    optimizer.step(params.theta, params.grad)
    table.add(f"{kind}.t", optimizer.t, formula="steps made, this one included")
    for name in optimizer.hyperparameters:
        table.add(f"{kind}.{name}", getattr(optimizer, name), formula="given")
    averages = {name: getattr(optimizer, name) for name in optimizer.averages}
    if isinstance(optimizer, Adam):
        averages["mhat"] = optimizer.m / (1 - optimizer.beta1**optimizer.t)
        averages["vhat"] = optimizer.v / (1 - optimizer.beta2**optimizer.t)
    start = 0
    for name, value, _ in params:
        parts = {average: vector[start : start + value.size].reshape(value.shape) for average, vector in averages.items()}
        for part, numbers in {**parts, "new": value}.items():
            equation, formula = formulas.get(part, ("", f"{kind}.step"))
            table.add(f"{name}.{part}", numbers, equation, formula.format(theta=name, g=_gradient(name)))
        start += value.size
