"""Every forward pass is complex-safe: f(x + ihv) = f(x) + ih f'(x) v, in both directions, at exactly 0 too.

This is what makes exact derivative checks possible. The derivatives here are typed in, not taken from the complex step.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import log_variances, seeds, sizes, values

from npvae import Bernoulli, Chain, Dense, Gaussian, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.gaussian import kl_divergence, kl_per_dimension, log_density, reparameterize
from npvae.core.numerics import log_sigmoid, logsumexp, sigmoid, softplus

H = 1e-30
directions = pytest.mark.parametrize("direction", [1, -1])


def slope(f, x, v, h=H):
    """Im f(x + ihv) / h, after looking that f kept the complex dtype and the value."""
    y = f(x + 1j * h * v)
    assert y.dtype == np.complex128
    assert y.real == pytest.approx(f(x), rel=1e-14, abs=1e-14)
    return y.imag / h


def logistic(a):
    """sigmoid in real arithmetic that does not overflow."""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, e) / (1 + e)


ELEMENTWISE = {  # name: (forward, derivative)
    "softplus": (softplus, logistic),
    "sigmoid": (sigmoid, lambda a: logistic(a) * logistic(-a)),
    "log_sigmoid": (log_sigmoid, lambda a: logistic(-a)),
    "Softplus": (lambda a: Softplus().forward(a)[0], logistic),
    "Sigmoid": (lambda a: Sigmoid().forward(a)[0], lambda a: logistic(a) * logistic(-a)),
    "Tanh": (lambda a: Tanh().forward(a)[0], lambda a: 1 / np.cosh(a) ** 2),
    "ReLU": (lambda a: ReLU().forward(a)[0], lambda a: np.where(a > 0, 1.0, 0.0)),
}
each_elementwise = pytest.mark.parametrize("forward, derivative", ELEMENTWISE.values(), ids=ELEMENTWISE)


@each_elementwise
@directions
@given(zeros=st.integers(0, 2**10 - 1), seed=seeds)
def test_elementwise_functions(forward, derivative, direction, zeros, seed):
    x = values(np.random.default_rng(seed), 2, 5)
    x.ravel()[[bool(zeros >> j & 1) for j in range(10)]] = 0
    assert slope(forward, x, direction) == pytest.approx(direction * derivative(x), rel=1e-13)


@pytest.mark.parametrize(
    "name, at_zero", [("softplus", 1 / 2), ("log_sigmoid", 1 / 2), ("sigmoid", 1 / 4), ("Tanh", 1), ("ReLU", 0)]
)
@directions
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("h", [1e-8, H, 1e-200])
def test_at_exactly_zero_the_slope_is_the_same_from_both_sides(name, at_zero, direction, zero, h):
    assert slope(ELEMENTWISE[name][0], np.array([zero]), direction, h) == pytest.approx([direction * at_zero], abs=1e-15)


@each_elementwise
@directions
def test_elementwise_functions_at_extremes(forward, derivative, direction):
    x = np.array([-1000.0, -40.0, 40.0, 600.0])
    with np.errstate(over="ignore"):  # of the cosh in tanh'; the functions themselves run below, where overflow is an error
        want = direction * derivative(x)
    assert slope(forward, x, direction) == pytest.approx(want, rel=1e-12, abs=1e-300)


def test_the_check_rejects_the_absolute_value_and_a_choice_by_sign():
    """np.abs drops the imaginary part; np.where on the sign tears the derivative at 0. Both would pass a test away from 0 and 1."""
    x = np.array([0.0, 2.0])
    torn = slope(lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))), x, 1)
    assert np.all(np.abs(torn - logistic(x)) > 0.1)
    one_sided = [slope(lambda a: np.maximum(a, 0), x, d)[0] for d in (1, -1)]
    assert one_sided == [1, 0]  # a ReLU whose slope at 0 depends on the direction


@pytest.mark.parametrize("axis", [0, 1, -1])
@directions
@given(ties=st.booleans(), seed=seeds)
def test_logsumexp(axis, direction, ties, seed):
    rng = np.random.default_rng(seed)
    a, v = values(rng, 3, 5), direction * rng.normal(size=(3, 5))
    if ties:
        a[:] = 0  # every term is the largest
    w = np.exp(a)
    want = np.sum(w * v, axis=axis) / np.sum(w, axis=axis)
    assert slope(lambda a: logsumexp(a, axis), a, v) == pytest.approx(want, rel=1e-12, abs=1e-14)


# --- functions of several arguments: each moves in a direction of its own ---------------------------------------------------------


@directions
@given(shape=sizes(2), at_prior=st.booleans(), seed=seeds)
def test_kl(direction, shape, at_prior, seed):
    rng = np.random.default_rng(seed)
    mu, logvar = (np.zeros(shape), np.zeros(shape)) if at_prior else (values(rng, *shape), log_variances(rng, *shape))
    dmu, dlogvar = direction * rng.normal(size=(2, *shape))
    want = mu * dmu + 0.5 * np.expm1(logvar) * dlogvar
    got = kl_per_dimension(mu + 1j * H * dmu, logvar + 1j * H * dlogvar).imag / H
    assert got == pytest.approx(want, rel=1e-12, abs=1e-14)
    assert kl_divergence(mu + 1j * H * dmu, logvar + 1j * H * dlogvar).imag / H == pytest.approx(
        got.sum(axis=1), rel=1e-12, abs=1e-12
    )


@directions
@given(shape=sizes(2), seed=seeds)
def test_reparameterize(direction, shape, seed):
    rng = np.random.default_rng(seed)
    mu, logvar, eps = values(rng, *shape), log_variances(rng, *shape), rng.normal(size=shape)
    dmu, dlogvar = direction * rng.normal(size=(2, *shape))
    z, _ = reparameterize(mu + 1j * H * dmu, logvar + 1j * H * dlogvar, eps)
    assert z.real == pytest.approx(reparameterize(mu, logvar, eps)[0], rel=1e-14)
    assert z.imag / H == pytest.approx(dmu + 0.5 * np.exp(logvar / 2) * eps * dlogvar, rel=1e-12, abs=1e-14)


@directions
@given(shape=sizes(2), seed=seeds)
def test_log_density(direction, shape, seed):
    rng = np.random.default_rng(seed)
    x, mu, logvar = values(rng, *shape), values(rng, *shape), log_variances(rng, *shape)
    dx, dmu, dlogvar = direction * rng.normal(size=(3, *shape))
    t = (x - mu) * np.exp(-logvar)
    want = np.sum(t * (dmu - dx) + 0.5 * (t * (x - mu) - 1) * dlogvar, axis=1)
    got = log_density(x + 1j * H * dx, mu + 1j * H * dmu, logvar + 1j * H * dlogvar)
    assert got.imag / H == pytest.approx(want, rel=1e-11, abs=1e-11)


@directions
@given(shape=sizes(3), seed=seeds)
def test_dense_in_its_input_and_its_parameters(direction, shape, seed):
    B, n_in, n_out = shape
    rng = np.random.default_rng(seed)
    layer, x = Dense(n_in, n_out, rng=rng), values(rng, B, n_in)
    dx, dW, db = (direction * rng.normal(size=s) for s in ((B, n_in), (n_in, n_out), n_out))
    twin = layer.astype(np.complex128)
    twin.W, twin.b = layer.W + 1j * H * dW, layer.b + 1j * H * db
    y, _ = twin.forward(x + 1j * H * dx)
    assert y.real == pytest.approx(layer.forward(x)[0], rel=1e-13, abs=1e-13)
    assert y.imag / H == pytest.approx(dx @ layer.W + x @ dW + db, rel=1e-11, abs=1e-12)
    assert layer.W.dtype == np.float64  # the twin has parameters of its own


@directions
def test_a_chain_hands_the_imaginary_part_through(direction, rng):
    layer = Chain([Dense(3, 4, rng=rng), Tanh(), Chain([Dense(4, 2, rng=rng), ReLU()]), Softplus(), Sigmoid()])
    x, v = values(rng, 5, 3), rng.normal(size=(5, 3))
    step = 1e-5
    central = (layer.forward(x + step * v)[0] - layer.forward(x - step * v)[0]) / (2 * step)
    assert slope(lambda x: layer.forward(x)[0], x, direction * v) == pytest.approx(direction * central, rel=1e-6, abs=1e-9)


@directions
@given(shape=sizes(2), at_zero=st.booleans(), seed=seeds)
def test_bernoulli_nll(direction, shape, at_zero, seed):
    rng = np.random.default_rng(seed)
    out = np.zeros(shape) if at_zero else values(rng, *shape)
    x, v = np.clip(rng.uniform(-0.3, 1.3, shape), 0, 1), direction * rng.normal(size=shape)
    want = np.sum((logistic(out) - x) * v, axis=1)
    assert slope(lambda out: Bernoulli().nll(out, x), out, v) == pytest.approx(want, rel=1e-11, abs=1e-13)


@directions
@pytest.mark.parametrize("learn", [False, True])
@given(shape=sizes(2), seed=seeds)
def test_gaussian_nll(direction, learn, shape, seed):
    rng = np.random.default_rng(seed)
    out, x, v = values(rng, *shape), values(rng, *shape), direction * rng.normal(size=shape)
    likelihood = Gaussian(0.7, learn=learn)
    want = np.sum((out - x) * v, axis=1) / 0.49
    assert slope(lambda out: likelihood.nll(out, x), out, v) == pytest.approx(want, rel=1e-11, abs=1e-11)


@directions
@given(shape=sizes(2), sigma=st.floats(0.05, 20), seed=seeds)
def test_gaussian_nll_in_its_log_sigma(direction, shape, sigma, seed):
    rng = np.random.default_rng(seed)
    out, x = values(rng, *shape), values(rng, *shape)
    twin = Gaussian(sigma, learn=True).astype(np.complex128)
    twin.log_sigma += 1j * H * direction
    nll, dout = twin.nll_and_grad(out, x)
    want = direction * (shape[1] - np.sum(((x - out) / sigma) ** 2, axis=1))
    assert nll.imag / H == pytest.approx(want, rel=1e-12, abs=1e-12)
    assert dout.dtype == np.complex128
