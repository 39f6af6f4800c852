"""The layers: what they compute, their gradients, what they leave alone, how they start, and what they refuse."""

import math

import numpy as np
import pytest
from derivatives import assert_agree, central_difference, complex_step, layer_arguments, layer_gradients, weighted_output
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import few, seeds, sizes, values

from npvae import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.parameters import named_parameters

ACTIVATIONS = [Tanh, ReLU, Softplus, Sigmoid]


def dense(init):
    return lambda n_in, n_out, rng: Dense(n_in, n_out, rng=rng, init=init)


def chain(n_in, n_out, rng):
    return Chain([Dense(n_in, 4, rng=rng), Tanh(), Dense(4, n_out, rng=rng, init="uniform"), Sigmoid()])


def relu_chain(n_in, n_out, rng):
    return Chain([Dense(n_in, 4, rng=rng, init="he"), ReLU(), Dense(4, n_out, rng=rng), ReLU()])


def nested_chain(n_in, n_out, rng):
    inner = Chain([Dense(n_in, 4, rng=rng), Softplus()])
    return Chain([Tanh(), inner, Chain([Chain([Dense(4, 6, rng=rng), ReLU()]), Dense(6, n_out, rng=rng)])])


LAYERS = {
    **{f"dense-{init}": dense(init) for init in ("glorot", "he", "uniform")},
    **{kind.__name__.lower(): lambda n_in, n_out, rng, kind=kind: kind() for kind in ACTIVATIONS},
    "chain": chain,
    "relu-chain": relu_chain,
    "nested-chain": nested_chain,
    "empty-chain": lambda n_in, n_out, rng: Chain([]),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def layer_and_data(make, shape, seed):
    """A layer with no parameter left at 0, its input, and a random cotangent of its output."""
    B, n_in, n_out = shape
    rng = np.random.default_rng(seed)
    layer = make(n_in, n_out, rng)
    for _, owner, name in named_parameters("", [layer]):
        setattr(owner, name, getattr(owner, name) + 0.1 * rng.normal(size=getattr(owner, name).shape))
    x = values(rng, B, n_in)
    return layer, x, rng.normal(size=layer.forward(x)[0].shape)


def nearest_kink(layer, x):
    """The smallest distance of an input of a ReLU from 0."""
    if not isinstance(layer, Chain):
        return np.min(np.abs(x)) if isinstance(layer, ReLU) else math.inf
    nearest = math.inf
    for inner in layer.layers:
        nearest = min(nearest, nearest_kink(inner, x))
        x, _ = inner.forward(x)
    return nearest


# --- derivatives -----------------------------------------------------------------------------------------------------------------


@each_layer
@given(shape=sizes(3), seed=seeds)
@example(shape=(1, 1, 1), seed=0)
def test_the_gradients_agree_with_the_complex_step(make, shape, seed):
    layer, x, dy = layer_and_data(make, shape, seed)
    numeric = complex_step(weighted_output(layer, dy), layer_arguments(layer, x))
    assert_agree(layer_gradients(layer, x, dy), numeric, rtol=1e-10)


@each_layer
@few
@given(shape=sizes(3), seed=seeds)
def test_the_gradients_agree_with_central_differences(make, shape, seed):
    layer, x, dy = layer_and_data(make, shape, seed)
    assume(nearest_kink(layer, x) > 1e-3)
    numeric = central_difference(weighted_output(layer, dy, float), layer_arguments(layer, x))
    assert_agree(layer_gradients(layer, x, dy), numeric, rtol=1e-6, floor=1e-7)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@given(zeros=st.sets(st.integers(0, 9)), seed=seeds)
@example(zeros=set(range(10)), seed=0)
def test_an_activation_is_differentiated_right_at_exactly_zero(kind, zeros, seed):
    rng = np.random.default_rng(seed)
    x, dy = values(rng, 2, 5), rng.normal(size=(2, 5))
    x.ravel()[list(zeros)] = 0
    numeric = complex_step(lambda x: dy * kind().forward(x)[0], x)
    assert_agree(kind().backward(dy, kind().forward(x)[1]), numeric, rtol=1e-12)


@pytest.mark.parametrize("kind, slope", [(Tanh, 1), (ReLU, 0), (Softplus, 0.5), (Sigmoid, 0.25)])
def test_the_slope_at_zero(kind, slope):
    for zero in (0.0, -0.0):
        _, cache = kind().forward(np.array([[zero]]))
        assert kind().backward(np.ones((1, 1)), cache) == slope


# --- values ----------------------------------------------------------------------------------------------------------------------


def test_dense_is_x_w_plus_b():
    layer = Dense(2, 3, rng=np.random.default_rng(0))
    layer.W, layer.b = [[1, 2, 3], [4, 5, 6]], [0.5, -0.5, 0]
    x, dy = np.array([[1.0, 10], [0, -1]]), np.array([[1.0, 0, 2], [0, 3, 0]])
    y, cache = layer.forward(x)
    assert np.array_equal(y, [[41.5, 51.5, 63], [-3.5, -5.5, -6]])
    assert np.array_equal(layer.backward(dy, cache), [[7, 16], [6, 15]])
    assert np.array_equal(layer.dW, [[1, 0, 2], [10, -3, 20]])
    assert np.array_equal(layer.db, [1, 3, 2])


def test_the_activations_are_their_functions():
    x = np.array([[-800.0, -2, 0], [1, 3, 800]])
    assert np.array_equal(ReLU().forward(x)[0], [[0, 0, 0], [1, 3, 800]])
    for kind, f in [(Tanh, math.tanh), (Softplus, lambda a: max(a, 0) + math.log1p(math.exp(-abs(a))))]:
        assert kind().forward(x)[0] == pytest.approx(np.vectorize(f)(x), rel=1e-15)
    logistic = [[0, 1 / (1 + math.exp(2)), 0.5], [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-3)), 1]]
    assert Sigmoid().forward(x)[0] == pytest.approx(np.array(logistic), rel=1e-15)


@given(shape=sizes(3), seed=seeds)
def test_a_chain_is_its_layers_one_after_the_other(shape, seed):
    layer, x, dy = layer_and_data(nested_chain, shape, seed)
    tanh, first, (inner, last) = layer.layers[0], layer.layers[1], layer.layers[2].layers
    h = np.log1p(np.exp(np.tanh(x) @ first.layers[0].W + first.layers[0].b))
    a = h @ inner.layers[0].W + inner.layers[0].b
    assert layer.forward(x)[0] == pytest.approx(np.maximum(a, 0) @ last.W + last.b, rel=1e-12, abs=1e-12)
    flat = Chain([tanh, *first.layers, *inner.layers, last])
    assert np.array_equal(flat.forward(x)[0], layer.forward(x)[0])
    assert np.array_equal(flat.backward(dy, flat.forward(x)[1]), layer.backward(dy, layer.forward(x)[1]))


# --- purity and types ------------------------------------------------------------------------------------------------------------


def attributes(layer):
    """The names of all that a layer, and those it is made of, hold."""
    return [sorted(vars(layer)), *(attributes(inner) for inner in layer.layers)]


def arrays(nested):
    """All arrays of nested lists and tuples, in order."""
    return [a for part in nested for a in arrays(part)] if isinstance(nested, (list, tuple)) else [nested]


def bits(layer, x, dy, cache):
    """All that a backward pass may read and must not change."""
    return [a.tobytes() for a in [x, dy, *arrays(cache), *(getattr(o, p) for _, o, p in named_parameters("", [layer]))]]


@each_layer
@few
@given(shape=sizes(3), seed=seeds)
def test_forward_and_backward_change_nothing_but_the_gradients(make, shape, seed):
    layer, x, dy = layer_and_data(make, shape, seed)
    x_before = x.tobytes()
    _, cache = layer.forward(x)
    assert x.tobytes() == x_before
    before = bits(layer, x, dy, cache)
    layer.backward(dy, cache)
    layer.backward(dy, cache, need_dx=False)
    assert bits(layer, x, dy, cache) == before


@each_layer
@few
@given(shape=sizes(3), seed=seeds)
def test_gradients_are_assigned_and_the_layer_remembers_no_input(make, shape, seed):
    layer, x, dy = layer_and_data(make, shape, seed)
    want = layer_gradients(layer, x, dy)
    _, cache = layer.forward(x)
    layer.forward(x[::-1] + 1)
    dx = layer.backward(dy, cache)
    assert np.array_equal(dx, want.pop("x"))
    for name, owner, p in named_parameters("", [layer]):
        assert np.array_equal(getattr(owner, "d" + p), want[name]), f"d{name} of the second call"


@each_layer
def test_a_layer_holds_parameters_and_no_activations(make, rng):
    layer = make(3, 5, rng)
    held = attributes(layer)
    y, cache = layer.forward(values(rng, 2, 3))
    layer.backward(y, cache)
    assert attributes(layer) == held


@each_layer
@few
@given(shape=sizes(3), seed=seeds)
def test_without_dx_the_parameters_still_get_their_gradients(make, shape, seed):
    layer, x, dy = layer_and_data(make, shape, seed)
    want = layer_gradients(layer, x, dy)
    for _, owner, p in named_parameters("", [layer]):
        setattr(owner, "d" + p, np.full(getattr(owner, p).shape, np.nan))
    assert layer.backward(dy, layer.forward(x)[1], need_dx=False) is None
    for name, owner, p in named_parameters("", [layer]):
        assert np.array_equal(getattr(owner, "d" + p), want[name]), name


@each_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("B", [1, 4])
def test_the_dtype_is_kept_in_every_output_cache_and_gradient(make, dtype, B):
    layer, x, dy = layer_and_data(make, (B, 3, 5), 0)
    layer, x, dy = layer.astype(dtype), x.astype(dtype), dy.astype(dtype)
    y, cache = layer.forward(x)
    dx = layer.backward(dy, cache)
    assert (y.dtype, dx.dtype) == (dtype, dtype)
    assert (y.shape, dx.shape) == (dy.shape, x.shape)
    assert {a.dtype for a in arrays(cache)} <= {np.dtype(dtype), np.dtype(bool)}
    for _, owner, p in named_parameters("", [layer]):
        assert getattr(owner, p).dtype == getattr(owner, "d" + p).dtype == dtype


@each_layer
def test_float32_gradients_are_the_float64_ones_to_float32_accuracy(make):
    layer, x, dy = layer_and_data(make, (7, 3, 5), 3)
    double = layer_gradients(layer, x, dy)
    single = layer_gradients(layer.astype(np.float32), x.astype(np.float32), dy.astype(np.float32))
    assert_agree(single, double, rtol=1e-5)


@each_layer
def test_rows_do_not_see_each_other(make):
    layer, x, _ = layer_and_data(make, (5, 3, 2), 1)
    y, _ = layer.forward(x)
    assert layer.forward(x[::-1])[0] == pytest.approx(y[::-1], rel=1e-13, abs=1e-13)
    assert layer.forward(x[2:3])[0] == pytest.approx(y[2:3], rel=1e-13, abs=1e-13)


# --- errors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (4, 2), (1, 4, 3), ()])
def test_dense_refuses_an_input_of_another_width(shape, rng):
    with pytest.raises(ValueError, match=rf"^Dense\(3, 2\): x has shape \({', '.join(map(str, shape))},?\), expected \(B, 3\)"):
        Dense(3, 2, rng=rng).forward(np.zeros(shape))


@pytest.mark.parametrize(
    "n_in, n_out, error, message",
    [
        (0, 2, ValueError, "^Dense: n_in must be at least 1, got 0"),
        (3, -1, ValueError, "^Dense: n_out must be at least 1, got -1"),
        (3.0, 2, TypeError, r"^Dense: n_in must be an integer, got 3\.0"),
        (3, True, TypeError, "^Dense: n_out must be an integer, got True"),
        ("3", 2, TypeError, "^Dense: n_in must be an integer, got '3'"),
    ],
)
def test_dense_refuses_widths_that_are_none(n_in, n_out, error, message, rng):
    with pytest.raises(error, match=message):
        Dense(n_in, n_out, rng=rng)


def test_dense_names_its_initializers(rng):
    with pytest.raises(ValueError, match="^Dense: init must be one of glorot, he, uniform or a function, got 'xavier'"):
        Dense(3, 2, rng=rng, init="xavier")


@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0)])
def test_dense_wants_a_generator(rng):
    message = rf"^Dense: rng must be a numpy.random.Generator, got {type(rng).__name__}; pass np.random.default_rng\(0\)"
    with pytest.raises(TypeError, match=message):
        Dense(3, 2, rng=rng)


def test_dense_refuses_an_integer_dtype(rng):
    with pytest.raises(TypeError, match="^Dense.W must be an array of floats, got int32"):
        Dense(3, 2, rng=rng, dtype=np.int32)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (Tanh, r"^Chain: layer 1 must be a Layer with forward and backward, got <class .*Tanh'>; make an instance: Tanh\(\.\.\.\)"),
        (np.tanh, r"^Chain: layer 1 must be a Layer with forward and backward, got <ufunc 'tanh'>\.$"),
        ("relu", r"^Chain: layer 1 must be a Layer with forward and backward, got 'relu'\.$"),
    ],
)
def test_chain_names_what_is_no_layer(wrong, message, rng):
    with pytest.raises(TypeError, match=message):
        Chain([Dense(3, 2, rng=rng), wrong])


def test_chain_names_the_layer_whose_input_does_not_fit(rng):
    with pytest.raises(ValueError, match=r"^Dense\(5, 2\): x has shape \(1, 4\), expected \(B, 5\)"):
        Chain([Dense(3, 4, rng=rng), Tanh(), Dense(5, 2, rng=rng)]).forward(np.zeros((1, 3)))


@pytest.mark.parametrize("shape", [(4, 1), (1, 2), (2,), (4, 3)])
def test_dense_refuses_a_cotangent_of_another_shape(shape, rng):
    layer = Dense(3, 2, rng=rng)
    with pytest.raises(ValueError, match=r"^Dense\(3, 2\).backward: dy has shape \(.*\), expected \(4, 2\)"):
        layer.backward(np.zeros(shape), np.zeros((4, 3)))


def test_dense_refuses_an_initializer_whose_arrays_do_not_fit(rng):
    with pytest.raises(ValueError, match=r"^Dense: W of init has shape \(2, 3\), expected \(3, 2\)"):
        Dense(3, 2, rng=rng, init=lambda n_in, n_out, rng: (np.zeros((n_out, n_in)), np.zeros(n_out)))
    with pytest.raises(ValueError, match=r"^Dense: b of init has shape \(1,\), expected \(2,\)"):
        Dense(3, 2, rng=rng, init=lambda n_in, n_out, rng: (np.zeros((n_in, n_out)), np.zeros(1)))
