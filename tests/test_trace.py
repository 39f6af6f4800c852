"""`trace` shows what the library computes, bit for bit, and changes nothing."""

import numpy as np
import pytest

from npvae import (
    SGD,
    VAE,
    Adagrad,
    Adam,
    Autoencoder,
    Bernoulli,
    Chain,
    Dense,
    Gaussian,
    Momentum,
    ReLU,
    RMSProp,
    Sigmoid,
    Softplus,
    Tanh,
)
from npvae.core.parameters import Layer
from npvae.teaching import Row, trace, worked_example


class Scale(Layer):
    """A layer that the library does not know: y = x g."""

    parameters = ("g",)

    def __init__(self, n):
        self.g = np.linspace(0.5, 1.5, n)

    def forward(self, x):
        return x * self.g, x

    def backward(self, dy, x, need_dx=True):
        self.dg = np.sum(dy * x, axis=0)
        return dy * self.g if need_dx else None


class Residual(Layer):
    """A layer made of another one: y = x + inner(x)."""

    def __init__(self, inner):
        self.layers = [inner]

    def forward(self, x):
        y, cache = self.layers[0].forward(x)
        return x + y, cache

    def backward(self, dy, cache, need_dx=True):
        return dy + self.layers[0].backward(dy, cache)


class Laplace(Gaussian):
    """A likelihood that the library does not know."""

    def nll(self, out, x):
        return np.sum(np.abs(x - out), axis=1) + x.shape[1] * np.log(2)

    def nll_and_grad(self, out, x, dnll=None):
        return self.nll(out, x), -np.sign(x - out) * (1 if dnll is None else dnll[:, None])


ORDER = """
    x eps encoder.0.y encoder.1.y encoder.2.y mu logvar sigma z decoder.0.y decoder.1.y decoder.2.y out nll kl loss.total
    dout decoder.2.dW decoder.2.db decoder.2.dx decoder.1.dx decoder.0.dW decoder.0.db dz dmu.sample dlogvar.sample dmu.kl
    dlogvar.kl dmu dlogvar encoder.2.dW encoder.2.db encoder.2.dx encoder.1.dx encoder.0.dW encoder.0.db encoder.0.W.m
    encoder.0.W.v encoder.0.W.mhat encoder.0.W.vhat encoder.0.W.new decoder.2.b.new
"""


def dense_model(**kw):
    return VAE.dense(7, **{"hidden": (5, 4), "latent_dim": 3, "dtype": np.float64, "rng": np.random.default_rng(1)} | kw)


def nested_model():
    rng = np.random.default_rng(2)
    encoder = Chain(
        [Chain([Chain([Dense(7, 5, rng=rng), Tanh()]), Residual(Dense(5, 5, rng=rng))]), Scale(5), Dense(5, 4, rng=rng)]
    )
    decoder = Chain([Dense(2, 5, rng=rng), Chain([Softplus(), Dense(5, 7, rng=rng)]), Scale(7)])
    return VAE(encoder, decoder, Gaussian(sigma=0.7, learn=True), latent_dim=2)


MODELS = {
    "worked example": lambda: worked_example()[0],
    "tanh, Bernoulli": dense_model,
    "no hidden layer": lambda: dense_model(hidden=()),
    "ReLU, float32": lambda: dense_model(activation=ReLU, dtype=np.float32),
    "softplus, Gaussian": lambda: dense_model(activation=Softplus, likelihood=Gaussian(sigma=0.5)),
    "sigmoid, learned sigma": lambda: dense_model(activation=Sigmoid, likelihood=Gaussian(sigma=2.0, learn=True)),
    "chains within chains and layers of one's own": nested_model,
    "a likelihood of one's own": lambda: dense_model(likelihood=Laplace()),
}
OPTIMIZERS = {
    "SGD": lambda: SGD(lr=0.1),
    "Momentum": lambda: Momentum(lr=0.1),
    "RMSProp": lambda: RMSProp(),
    "Adagrad": lambda: Adagrad(),
    "Adam": lambda: Adam(lr=0.1),
}


def batch(vae, B=4):
    rng = np.random.default_rng(5)
    return rng.integers(0, 2, (B, vae.data_dim)).astype(float), vae.noise(B, rng)


def values(rows):
    return {row.name: row.value for row in rows}


def gradient_name(name):
    layer, _, parameter = name.rpartition(".")
    return f"{layer}.d{parameter}"


@pytest.mark.parametrize("model", MODELS)
def test_loss_and_gradient_are_those_of_loss_and_grad_bit_for_bit(model):
    vae = MODELS[model]()
    x, eps = batch(vae)
    traced = values(trace(vae, x, eps, beta=0.25))
    loss = vae.loss_and_grad(x, eps, beta=0.25)
    assert traced["loss.total"] == loss.total
    assert traced["loss.reconstruction"] == loss.reconstruction
    assert traced["loss.kl"] == loss.kl
    assert len(list(vae.params)) > 0
    for name, value, gradient in vae.params:
        np.testing.assert_array_equal(traced[gradient_name(name)], gradient, err_msg=name, strict=True)
        np.testing.assert_array_equal(traced[name], value, err_msg=name, strict=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", ["worked example", "sigmoid, learned sigma"])
def test_the_step_is_the_optimizers_own_bit_for_bit_at_any_t(model, optimizer):
    vae, optimizer = MODELS[model](), OPTIMIZERS[optimizer]()
    x, eps = batch(vae)
    for _ in range(3):
        traced = values(trace(vae, x, eps, optimizer=optimizer))
        vae.loss_and_grad(x, eps)
        optimizer.step(vae.params.theta, vae.params.grad)
        for name, value, _ in vae.params:
            np.testing.assert_array_equal(traced[f"{name}.new"], value, err_msg=name)
        for average in optimizer.averages:
            parts = [traced[f"{name}.{average}"].ravel() for name, _, _ in vae.params]
            np.testing.assert_array_equal(np.concatenate(parts), getattr(optimizer, average))


def test_mhat_and_vhat_give_the_new_parameters_by_adam_5():
    """[ADAM-3], [ADAM-4], [ADAM-5]: literally, from the numbers of the table alone."""
    vae, optimizer = dense_model(), Adam(lr=0.1, beta1=0.8, beta2=0.95, eps=1e-3)
    x, eps = batch(vae)
    for t in (1, 2, 3):
        traced = values(trace(vae, x, eps, optimizer=optimizer))
        assert traced["Adam.t"] == t
        for name, value, _ in vae.params:
            mhat, vhat = (traced[f"{name}.{part}"] for part in ("mhat", "vhat"))
            np.testing.assert_allclose(mhat, traced[f"{name}.m"] / (1 - 0.8**t), rtol=1e-14)
            np.testing.assert_allclose(vhat, traced[f"{name}.v"] / (1 - 0.95**t), rtol=1e-14)
            np.testing.assert_allclose(traced[f"{name}.new"], value - 0.1 * mhat / (np.sqrt(vhat) + 1e-3), rtol=1e-12)
        vae.loss_and_grad(x, eps)
        optimizer.step(vae.params.theta, vae.params.grad)


@pytest.mark.parametrize("model", MODELS)
def test_model_gradient_optimizer_and_data_stay_as_they_were(model):
    vae, optimizer = MODELS[model](), Adam(lr=0.1)
    optimizer.step(np.zeros_like(vae.params.theta), np.ones_like(vae.params.theta))
    vae.params.grad[:] = np.arange(vae.params.size)
    x, eps = batch(vae)
    arrays = vae.params.theta, vae.params.grad, x, eps, optimizer.m, optimizer.v
    before = [a.copy() for a in arrays]
    trace(vae, x, eps, optimizer=optimizer)
    for a, b in zip(arrays, before):
        np.testing.assert_array_equal(a, b, strict=True)
    assert optimizer.t == 1


def test_rows_are_copies_with_their_own_shape_and_a_name_each():
    vae, x, eps = worked_example()
    rows = trace(vae, x, eps, optimizer=Adam())
    assert all(isinstance(row, Row) and row.shape == row.value.shape and row.formula for row in rows)
    assert len({row.name for row in rows}) == len(rows)
    rows[0].value[:] = 7
    values(rows)["encoder.0.W"][:] = 7
    assert x.tolist() == [[1, 1, 0]]
    assert vae.params.theta[0] == 0.1


def test_the_rows_come_in_the_order_of_computation():
    vae, x, eps = worked_example()
    names = [row.name for row in trace(vae, x, eps, optimizer=Adam())]
    assert [name for name in names if name in ORDER.split()] == ORDER.split()
    assert "encoder.0.dx" not in names  # nobody asks for dL/d(data)


def test_nobody_computes_the_derivative_for_the_data():
    asked = []

    class Spy(Tanh):
        def backward(self, dy, y, need_dx=True):
            asked.append(need_dx)
            return super().backward(dy, y, need_dx)

    rng = np.random.default_rng(0)
    encoder = Chain([Chain([Spy()]), Dense(3, 2, rng=rng), Spy(), Dense(2, 2, rng=rng)])
    vae = VAE(encoder, Chain([Spy(), Dense(1, 3, rng=rng)]), Bernoulli(), latent_dim=1)
    names = [row.name for row in trace(vae, *batch(vae))]
    assert asked == [True, True, False]  # the decoder's first layer, whose dx is dz; the encoder's tanh; the encoder's first layer
    assert "encoder.0.0.dx" not in names and "decoder.0.dx" in names


def test_what_the_library_does_not_know_has_no_equation():
    equations = {row.name: row.equation for row in trace(nested_model(), *batch(nested_model()))}
    assert equations["encoder.0.0.0.y"] == "DENSE-1"
    assert equations["encoder.1.y"] == equations["encoder.1.dg"] == equations["encoder.1.dx"] == ""
    assert equations["encoder.0.1.0.dW"] == ""  # within a layer of one's own
    assert equations["likelihood.0.dlog_sigma"] == "NOR-3"


def test_without_an_optimizer_the_table_ends_at_the_gradient():
    vae, x, eps = worked_example()
    assert trace(vae, x, eps)[-1].name == "encoder.0.db"


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (dict(vae=Autoencoder.dense(3, (2,), 1, rng=np.random.default_rng(0))), TypeError, "must be a VAE, got Autoencoder"),
        (dict(optimizer=Adam), TypeError, "instance such as Adam"),
        (dict(x=np.ones((1, 4))), ValueError, "x has shape"),
        (dict(eps=np.ones((2, 1))), ValueError, "eps has shape"),
        (dict(beta=-1.0), ValueError, "beta"),
    ],
)
def test_wrong_arguments_are_named(wrong, error, message):
    vae, x, eps = worked_example()
    with pytest.raises(error, match=message):
        trace(**{"vae": vae, "x": x, "eps": eps} | wrong)


def test_bernoulli_and_gaussian_name_their_own_equations():
    for likelihood, nll, dout in ((Bernoulli(), "BER-1", "BER-2"), (Gaussian(), "NOR-1", "NOR-2")):
        vae = dense_model(likelihood=likelihood)
        equations = {row.name: row.equation for row in trace(vae, *batch(vae))}
        assert (equations["nll"], equations["dout"]) == (nll, dout)
