"""The worked example: the numbers of notebook 2, typed in by hand, against arithmetic without NumPy and against the library.

HAND is written to six digits, as a reader with a pocket calculator gets it. The scalar code below shares nothing with the package.
"""

import re
from math import exp, log, sqrt, tanh
from pathlib import Path

import numpy as np
import pytest

from npvae import Adam
from npvae.teaching import trace, worked_example

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "02_worked_example.py"

HAND = {
    "encoder.0.y": [[0.500000, -0.100000]],
    "encoder.1.y": [[0.462117, -0.099668]],
    "mu": [[0.403548]],
    "logvar": [[-0.434681]],
    "sigma": [[0.804656]],
    "z": [[0.805876]],
    "decoder.0.y": [[0.283526, -0.344701]],
    "decoder.1.y": [[0.276165, -0.331668]],
    "out": [[0.470750, -0.018150, 0.046266]],
    "mean": [[0.615561, 0.495463, 0.511564]],
    "nll": [1.904032],
    "kl": [0.122502],
    "loss.reconstruction": 1.904032,
    "loss.kl": 0.122502,
    "loss.total": 2.026534,
    "dout": [[-0.384439, -0.504537, 0.511564]],
    "decoder.2.dW": [[-0.106169, -0.139336, 0.141276], [0.127506, 0.167339, -0.169669]],
    "decoder.2.db": [-0.384439, -0.504537, 0.511564],
    "decoder.2.dx": [[-0.445893, 0.916906]],
    "decoder.1.dx": [[-0.411886, 0.816043]],
    "decoder.0.dW": [[-0.331930, 0.657630]],
    "decoder.0.db": [-0.411886, 0.816043],
    "dz": [[-0.899966]],
    "dmu.sample": [[-0.899966]],
    "dlogvar.sample": [[-0.181041]],
    "dmu.kl": [[0.403548]],
    "dlogvar.kl": [[-0.176264]],
    "dmu": [[-0.496418]],
    "dlogvar": [[-0.357305]],
    "encoder.2.dW": [[-0.229403, -0.165117], [0.049477, 0.035612]],
    "encoder.2.db": [-0.496418, -0.357305],
    "encoder.2.dx": [[-0.204570, -0.277936]],
    "encoder.1.dx": [[-0.160884, -0.275175]],
    "encoder.0.dW": [[-0.160884, -0.275175], [-0.160884, -0.275175], [0, 0]],
    "encoder.0.db": [-0.160884, -0.275175],
}
HAND_ADAM = {  # lr = 0.1, the first step
    "encoder.0.W.m": [[-0.016088, -0.027518], [-0.016088, -0.027518], [0, 0]],
    "encoder.0.W.v": [[2.58836e-05, 7.57214e-05], [2.58836e-05, 7.57214e-05], [0, 0]],
    "encoder.0.W.mhat": [[-0.160884, -0.275175], [-0.160884, -0.275175], [0, 0]],
    "encoder.0.W.vhat": [[0.025884, 0.075721], [0.025884, 0.075721], [0, 0]],
    "encoder.0.W.new": [[0.2, -0.1], [0.4, 0.5], [-0.5, 0.6]],
    "encoder.0.b.new": [0.2, -0.2],
    "encoder.2.W.new": [[0.8, -0.3], [0.1, 0.4]],
    "encoder.2.b.new": [0.2, -0.1],
    "decoder.0.W.new": [[0.7, -0.9]],
    "decoder.0.b.new": [-0.1, 0.2],
    "decoder.2.W.new": [[0.6, 0.4, -0.3], [-0.5, -0.7, 1.0]],
    "decoder.2.b.new": [0.3, -0.2, 0.3],
}
HAND_AFTER = {"loss.reconstruction": 1.201804, "loss.kl": 0.293261, "loss.total": 1.495064}

X, EPS = [1, 1, 0], 0.5
START = {
    "encoder.0.W": [[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]],
    "encoder.0.b": [0.1, -0.3],
    "encoder.2.W": [[0.7, -0.4], [0.2, 0.5]],
    "encoder.2.b": [0.1, -0.2],
    "decoder.0.W": [[0.6, -0.8]],
    "decoder.0.b": [-0.2, 0.3],
    "decoder.2.W": [[0.5, 0.3, -0.2], [-0.4, -0.6, 0.9]],
    "decoder.2.b": [0.2, -0.3, 0.4],
}


def affine(x, W, b):
    return [b[j] + sum(x[i] * W[i][j] for i in range(len(x))) for j in range(len(b))]


def outer(x, dy):
    return [[a * b for b in dy] for a in x]


def back(dy, W):
    return [sum(dy[j] * row[j] for j in range(len(dy))) for row in W]


def forward(p):
    """One row through the network, with the parameters p."""
    r = {}
    r["a1"] = affine(X, p["encoder.0.W"], p["encoder.0.b"])
    r["h1"] = [tanh(a) for a in r["a1"]]
    r["mu"], r["logvar"] = affine(r["h1"], p["encoder.2.W"], p["encoder.2.b"])
    r["sigma"] = exp(r["logvar"] / 2)
    r["z"] = r["mu"] + r["sigma"] * EPS
    r["a2"] = affine([r["z"]], p["decoder.0.W"], p["decoder.0.b"])
    r["h2"] = [tanh(a) for a in r["a2"]]
    r["l"] = affine(r["h2"], p["decoder.2.W"], p["decoder.2.b"])
    r["p"] = [1 / (1 + exp(-a)) for a in r["l"]]
    r["nll"] = -sum(log(q) if x else log(1 - q) for x, q in zip(X, r["p"]))
    r["kl"] = (r["mu"] ** 2 + r["sigma"] ** 2 - 1 - r["logvar"]) / 2
    return r


def scalar_step():
    """The training step in plain Python, under the names that `trace` gives."""
    p, r = START, forward(START)
    dl = [q - x for x, q in zip(X, r["p"])]
    dh2 = back(dl, p["decoder.2.W"])
    da2 = [(1 - h**2) * d for h, d in zip(r["h2"], dh2)]
    (dz,) = back(da2, p["decoder.0.W"])
    dlogvar_sample, dlogvar_kl = 0.5 * r["sigma"] * EPS * dz, 0.5 * (r["sigma"] ** 2 - 1)
    dcode = [dz + r["mu"], dlogvar_sample + dlogvar_kl]
    dh1 = back(dcode, p["encoder.2.W"])
    da1 = [(1 - h**2) * d for h, d in zip(r["h1"], dh1)]
    return {
        "encoder.0.y": [r["a1"]], "encoder.1.y": [r["h1"]], "mu": [[r["mu"]]], "logvar": [[r["logvar"]]],
        "sigma": [[r["sigma"]]], "z": [[r["z"]]], "decoder.0.y": [r["a2"]], "decoder.1.y": [r["h2"]], "out": [r["l"]],
        "mean": [r["p"]], "nll": [r["nll"]], "kl": [r["kl"]],
        "loss.reconstruction": r["nll"], "loss.kl": r["kl"], "loss.total": r["nll"] + r["kl"],
        "dout": [dl], "decoder.2.dW": outer(r["h2"], dl), "decoder.2.db": dl, "decoder.2.dx": [dh2], "decoder.1.dx": [da2],
        "decoder.0.dW": outer([r["z"]], da2), "decoder.0.db": da2, "dz": [[dz]],
        "dmu.sample": [[dz]], "dlogvar.sample": [[dlogvar_sample]], "dmu.kl": [[r["mu"]]], "dlogvar.kl": [[dlogvar_kl]],
        "dmu": [dcode[:1]], "dlogvar": [dcode[1:]], "encoder.2.dW": outer(r["h1"], dcode), "encoder.2.db": dcode,
        "encoder.2.dx": [dh1], "encoder.1.dx": [da1], "encoder.0.dW": outer(X, da1), "encoder.0.db": da1,
    }  # fmt: skip


def scalar_adam(theta, g):
    """One parameter, t = 1, lr = 0.1 -> m, v, mhat, vhat, new."""
    m, v = 0.9 * 0 + 0.1 * g, 0.999 * 0 + 0.001 * g**2
    mhat, vhat = m / (1 - 0.9), v / (1 - 0.999)
    return m, v, mhat, vhat, theta - 0.1 * mhat / (sqrt(vhat) + 1e-8)


def scalar_adam_step():
    """-> the quantities of HAND_ADAM and more, under the names that `trace` gives; and all new parameters."""
    step, numbers = scalar_step(), {}
    for name, theta in START.items():
        layer, _, parameter = name.rpartition(".")
        theta, g = np.array(theta), np.array(step[f"{layer}.d{parameter}"])
        results = np.array([scalar_adam(*pair) for pair in zip(theta.ravel().tolist(), g.ravel().tolist())]).T
        for part, values in zip(("m", "v", "mhat", "vhat", "new"), results):
            numbers[f"{name}.{part}"] = values.reshape(theta.shape)
    return numbers, {name: numbers[f"{name}.new"].tolist() for name in START}


def to_six_digits(actual, hand, name):
    assert np.shape(actual) == np.shape(hand), name
    half = 5.0001e-11 if name.endswith(".v") else 5.0001e-7  # half a unit of the sixth digit
    np.testing.assert_allclose(actual, hand, rtol=0, atol=half, err_msg=name)


@pytest.mark.parametrize("name", HAND)
def test_the_numbers_typed_in_are_those_of_scalar_arithmetic(name):
    to_six_digits(scalar_step()[name], HAND[name], name)


@pytest.mark.parametrize("name", HAND_ADAM)
def test_the_adam_step_typed_in_is_that_of_scalar_arithmetic(name):
    to_six_digits(scalar_adam_step()[0][name], HAND_ADAM[name], name)


def test_the_loss_after_the_step_is_that_of_scalar_arithmetic():
    r = forward(scalar_adam_step()[1])
    to_six_digits(r["nll"], HAND_AFTER["loss.reconstruction"], "reconstruction")
    to_six_digits(r["kl"], HAND_AFTER["loss.kl"], "kl")
    to_six_digits(r["nll"] + r["kl"], HAND_AFTER["loss.total"], "total")


def test_the_worked_example_is_the_one_of_this_file():
    vae, x, eps = worked_example()
    assert vae.dtype == x.dtype == eps.dtype == np.float64
    assert x.tolist() == [X]
    assert eps.tolist() == [[EPS]]
    assert {name: value.tolist() for name, value, _ in vae.params} == START


def test_the_library_gives_the_numbers_typed_in_and_those_of_scalar_arithmetic_to_rounding():
    vae, x, eps = worked_example()
    rows = {row.name: row.value for row in trace(vae, x, eps, optimizer=Adam(lr=0.1))}
    for name, hand in HAND.items():
        to_six_digits(rows[name], hand, name)
        np.testing.assert_allclose(rows[name], scalar_step()[name], rtol=1e-13, atol=1e-15, err_msg=name)
    for name, hand in HAND_ADAM.items():
        to_six_digits(rows[name], hand, name)
    for name, values in scalar_adam_step()[0].items():
        np.testing.assert_allclose(rows[name], values, rtol=1e-12, atol=0, err_msg=name)


def test_one_step_of_loss_and_grad_and_adam_ends_at_the_loss_typed_in():
    vae, x, eps = worked_example()
    vae.loss_and_grad(x, eps)
    Adam(lr=0.1).step(vae.params.theta, vae.params.grad)
    loss = vae.loss(x, eps)
    to_six_digits(loss.reconstruction, HAND_AFTER["loss.reconstruction"], "reconstruction")
    to_six_digits(loss.kl, HAND_AFTER["loss.kl"], "kl")
    to_six_digits(loss.total, HAND_AFTER["loss.total"], "total")


def test_notebook_2_states_every_one_of_these_numbers():
    text = NOTEBOOK.read_text(encoding="utf-8")
    for table in (HAND, HAND_ADAM, HAND_AFTER):
        for name, hand in table.items():
            for number in np.ravel(hand).tolist():
                assert re.search(rf"(?<![\d.]){re.escape(written(abs(number), name))}(?![\d])", text), (name, number)


def written(number, name):
    """As the notebook has it: 0.7, 0.803744, 2.58836e-05."""
    return f"{number:.5e}" if name.endswith(".v") and number else f"{number:.6f}" if number != round(number, 1) else f"{number:g}"
