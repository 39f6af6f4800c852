"""Patients for the doctor: wrong gradients of a real VAE and of real layers, beside the right ones by complex step.

B, D, H, Z = 6, 5, 4, 3 and beta = 2.5: no two alike, so that no wrong name fits by accident.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
from derivatives import complex_step, layer_arguments, weighted_output
from model_cases import blocks, make_case

from npvae import Bernoulli, Dense, ReLU, Sigmoid, Tanh
from npvae.core.gaussian import reparameterize
from npvae.core.parameters import Layer
from npvae.models import vae
from npvae.verify.doctor import diagnose

B, D, H, Z, BETA = 6, 5, 4, 3, 2.5
CONSTANTS = {"B": B, "D": D, "Z": Z, "beta": BETA}


class Patient(NamedTuple):
    """The arguments of diagnose; analytic is right until something is planted."""

    analytic: dict
    numeric: dict
    floors: dict
    more: dict[str, Any]

    def planted(self, **wrong):
        """The same patient with some blocks replaced; a function is applied to the right block."""
        changed = {name: new(self.numeric[name]) if callable(new) else new for name, new in wrong.items()}
        return self._replace(analytic={**self.analytic, **changed})

    def scaled(self, c):
        """Every gradient times c."""

        def times(tree):
            return {key: times(v) if isinstance(v, dict) else v * c for key, v in tree.items()}

        more = {key: times(v) if key in ("terms", "rows", "again") else v for key, v in self.more.items()}
        if "tensors" in more:
            more["tensors"] = {
                block: {t: v * c if t in ("dy", "dz") else v for t, v in tensors.items()}
                for block, tensors in more["tensors"].items()
            }
        return Patient(times(self.analytic), times(self.numeric), times(self.floors), more)

    def findings(self):
        return diagnose(self.analytic, self.numeric, self.floors, **self.more)


def floors_of(numeric):
    """What rounding leaves in a complex step: a few units in the last place of the block."""
    return {name: 2e-14 * max(float(np.max(np.abs(n))), 1e-3 * max(np.max(np.abs(m)) for m in numeric.values()))
            for name, n in numeric.items()}  # fmt: skip


# --- the whole model ------------------------------------------------------------------------------------------------------------


@functools.cache
def healthy_model(seed=3):
    """A case, and its numeric gradients by term."""
    case = make_case(B=B, D=D, hidden=(H,), Z=Z, beta=BETA, seed=seed)
    twin = case.model.astype(complex)

    def parts(theta):
        twin.params.theta = theta
        loss = twin.loss(case.x, case.eps, BETA)
        return loss.reconstruction, BETA * loss.kl

    theta = case.model.params.theta.copy()
    terms = {
        name: blocks(case.model, complex_step(lambda t, i=i: parts(t)[i], theta)) for i, name in enumerate(("reconstruction", "kl"))
    }
    return case, terms


def model_patient(plant=None):
    """The model with a mistake planted in its backward pass by plant(patch), for as long as it runs."""
    case, terms = healthy_model()
    with pytest.MonkeyPatch.context() as patch:
        if plant:
            plant(patch)
        case.model.loss_and_grad(case.x, case.eps, BETA)
    analytic = {name: grad.copy() for name, _, grad in case.model.params}
    numeric = {name: terms["reconstruction"][name] + terms["kl"][name] for name in analytic}
    return Patient(analytic, numeric, floors_of(numeric), {"constants": CONSTANTS, "terms": terms})


def sample(slopes):
    """Another backward pass of the sample: slopes(sigma, eps) -> dz/dmu, dz/dlogvar."""

    def plant(patch):
        patch.setattr(vae, "reparameterize_backward", lambda dz, cache: tuple(dz * slope for slope in slopes(*cache)))

    return plant


def kl(change):
    """Another backward pass of the KL: change(dmu, dlogvar) -> those of the mistake."""
    right = vae.kl_divergence_backward
    return lambda patch: patch.setattr(vae, "kl_divergence_backward", lambda mu, logvar, dkl: change(*right(mu, logvar, dkl)))


def reconstruction(weight):
    """The gradient of the reconstruction times weight."""
    right = Bernoulli.nll_and_grad

    def plant(patch):
        patch.setattr(Bernoulli, "nll_and_grad", lambda self, out, x, dnll: right(self, out, x, weight * dnll))

    return plant


def both(*plants):
    return lambda patch: [plant(patch) for plant in plants]


def swap_heads(patch):
    right = vae.reparameterize_backward
    patch.setattr(vae, "reparameterize_backward", lambda dz, cache: right(dz, cache)[::-1])
    kl(lambda dmu, dlogvar: (dlogvar, dmu))(patch)


def encoder_branch_dropped(patch):
    """The hidden layer of the encoder hears from mu only."""
    right = Dense.backward

    def backward(self, dy, x, need_dx=True):
        dx = right(self, dy, x, need_dx)
        return dy[:, :Z] @ self.W.T[:Z] if self.n_out == 2 * Z else dx

    patch.setattr(Dense, "backward", backward)


WITHOUT_PATTERN: dict[str, Any] = {  # for a whole model: sums over the batch hide what a layer alone would show
    "reparam_missing_sigma": sample(lambda s, eps: (1, 0.5 * eps)),
    "reparam_missing_eps": sample(lambda s, eps: (1, 0.5 * s)),
    "reparam_logvar_for_sigma": sample(lambda s, eps: (1, np.log(s) * eps)),
    "stale_noise": sample(lambda s, eps: (1, 0.5 * s * eps[::-1])),
    "wrong_activation_derivative": lambda patch: patch.setattr(Tanh, "backward", lambda self, dy, y, need_dx=True: dy * (1 - y)),
    "missing_activation_derivative": lambda patch: patch.setattr(Tanh, "backward", lambda self, dy, y, need_dx=True: dy),
    "encoder_branch_dropped": encoder_branch_dropped,
    "leftover_upstream": both(sample(lambda s, eps: (1, 1)), kl(lambda dmu, dlv: (0 * dmu, 0 * dlv))),  # both heads get dz itself
}


# --- single layers --------------------------------------------------------------------------------------------------------------


def layer_patient(layer, x, backward=None, tensors=True):
    """A layer, its numeric gradients row by row, and what `backward(arguments, dy)` -> {"x": dx, ...} makes of it."""
    rng = np.random.default_rng(5)
    arguments = layer_arguments(layer, x)
    y = layer.forward(x)[0]
    dy = rng.standard_normal(y.shape)
    names, output = list(arguments), weighted_output(layer, dy)
    rows = {name: [] for name in names}
    for b in range(len(x)):
        of_row = complex_step(lambda args, b=b: output(args)[b], arguments)
        for name in names:
            rows[name].append(of_row[name])
    rows = {name: np.array(row) for name, row in rows.items()}
    numeric = {name: row.sum(axis=0) for name, row in rows.items()}
    analytic = {**numeric, **(backward(arguments, dy) if backward else {})}
    more = {"constants": {"B": len(x)}, "rows": rows}
    if tensors and x.shape == y.shape:
        more["tensors"] = {"x": {"x": x, "y": y, "dy": dy}}
    return Patient(analytic, numeric, floors_of(numeric), more)


def activation_patient(kind, slope):
    """An activation whose dx is dy * slope(x, y)."""
    x = np.random.default_rng(1).normal(size=(B, D))
    y = kind().forward(x)[0]
    return layer_patient(kind(), x, lambda _, dy: {"x": dy * slope(x, y)})


class Sample(Layer):
    """z = mu + sigma eps as a layer of x = logvar; mu and eps are fixed."""

    eps = np.random.default_rng(7).normal(size=(B, Z))

    def forward(self, x):
        return reparameterize(np.zeros((B, Z)), x, self.eps)


def sampler_patient(slope):
    """dlogvar = dz * slope(sigma, eps, logvar)."""
    logvar = np.random.default_rng(2).normal(size=(B, Z))
    sigma, eps = np.exp(logvar / 2), Sample.eps
    patient = layer_patient(Sample(), logvar, lambda _, dz: {"x": dz * slope(sigma, eps, logvar)}, tensors=False)
    dz = patient.numeric["x"] / (0.5 * sigma * eps)
    return patient._replace(
        more={"constants": {"B": B}, "tensors": {"x": {"sigma": sigma, "eps": eps, "dz": dz, "logvar": logvar}}}
    )


def dense_patient(rows=B, n_out=H, **wrong):
    """A Dense layer (D, n_out) with x of `rows` rows; wrong: {"W": function of (x, dy)}."""
    rng = np.random.default_rng(4)
    layer, x = Dense(D, n_out, rng=rng), rng.normal(size=(rows, D))
    return layer_patient(layer, x, lambda _, dy: {f"0.{name}": change(x, dy) for name, change in wrong.items()})


ACTIVATIONS = {
    "tanh' missing": (
        Tanh,
        lambda x, y: 1,
        "activation",
        ["equal to dy", "derivative of the activation is missing", "dy (1 - y^2)"],
    ),
    "1 - y for tanh'": (Tanh, lambda x, y: 1 - y, "activation", ["1 - y in place of 1 - y^2"]),
    "sigmoid' for tanh'": (Tanh, lambda x, y: y * (1 - y), "activation", ["y (1 - y) in place of 1 - y^2"]),
    "tanh' of x": (Tanh, lambda x, y: 1 - x**2, "activation", ["1 - x^2 in place of 1 - y^2"]),
    "tanh' at y": (Tanh, lambda x, y: 1 - np.tanh(y) ** 2, "activation", ["1 - tanh(y)^2 in place of 1 - y^2"]),
    "tanh' twice": (Tanh, lambda x, y: (1 - y**2) ** 2, "activation", ["1 - y^2", "applied twice"]),
    "tanh' divided by": (Tanh, lambda x, y: 1 / (1 - y**2), "activation", ["divided by the derivative"]),
    "sigmoid' missing": (Sigmoid, lambda x, y: 1, "activation", ["equal to dy", "dy (y (1 - y))"]),
    "relu' missing": (ReLU, lambda x, y: 1, "activation", ["equal to dy", "dy (x > 0)"]),
    "mask of another pass": (ReLU, lambda x, y: x[::-1] > 0, "mask", ["in the wrong ones", "mask of another layer"]),
    "tanh' of one column missing": (
        Tanh,
        lambda x, y: np.where(np.arange(D) == 1, 0, 1 - y**2),
        "slices",
        ["right but for column 1: 0"],
    ),
}
SAMPLERS = {
    "sigma missing": (lambda s, eps, lv: 0.5 * eps, ["the factor sigma is missing"]),
    "eps missing": (lambda s, eps, lv: 0.5 * s, ["the factor eps is missing"]),
    "sigma squared": (lambda s, eps, lv: 0.5 * s**2 * eps, ["the factor sigma stands there once too often"]),
    "1/sigma": (lambda s, eps, lv: 0.5 / s * eps, ["divided by sigma, and not multiplied"]),
    "logvar for sigma": (lambda s, eps, lv: 0.5 * lv * eps, ["logvar in place of sigma"]),
    "sigma and 1/2 missing": (lambda s, eps, lv: eps, ["the factor sigma is missing; besides, 2 times too large"]),
}
