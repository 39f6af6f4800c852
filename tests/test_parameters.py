"""Layer and ParamVector: one memory seen twice. Names, order, what a write reaches, what is refused."""

import numpy as np
import pytest
from derivatives import assert_agree, complex_step
from joined import Scale, assert_joined, slots, small_vae

from npvae import VAE, Adam, Bernoulli, Chain, Dense, Gaussian, Tanh
from npvae.core.parameters import Layer, ParamVector, named_parameters

# --- Layer: assigning copies -----------------------------------------------------------------------------------------------------


def test_assigning_a_parameter_copies_into_the_array_that_is_there(rng):
    layer = Dense(2, 3, rng=rng)
    W, dW = layer.W, layer.dW
    mine = np.arange(6.0).reshape(2, 3)
    layer.W = mine
    layer.dW = -mine
    assert layer.W is W and layer.dW is dW
    mine[...] = 99
    assert np.array_equal(W, [[0, 1, 2], [3, 4, 5]]) and np.array_equal(dW, -W)
    layer.W = [[1, 1, 1], [2, 2, 2]]  # lists and integers, too
    layer.W *= 2
    layer.W += 1
    layer.W[0] = 0
    assert layer.W is W and np.array_equal(W, [[0, 0, 0], [5, 5, 5]])


def test_the_first_assignment_copies_and_makes_the_gradient():
    mine = np.ones(3)
    layer = Scale(3)
    layer.g = mine
    mine[0] = 7
    assert np.array_equal(layer.g, [1, 1, 1]) and np.array_equal(layer.dg, [0, 0, 0])
    single = Dense(2, 3, rng=np.random.default_rng(0), dtype=np.float32)
    assert {a.dtype for a in (single.W, single.dW, single.b, single.db)} == {np.dtype(np.float32)}


def test_the_initializer_s_own_array_is_not_adopted(rng):
    mine = np.ones((2, 3))
    layer = Dense(2, 3, rng=rng, init=lambda n_in, n_out, rng: (mine, np.zeros(3)))
    layer.W *= 2
    assert np.array_equal(mine, np.ones((2, 3)))


@pytest.mark.parametrize("name", ["W", "dW"])
@pytest.mark.parametrize("shape", [(3, 2), (3,), (1, 3), ()])
def test_a_wrong_shape_is_refused_with_both_shapes(name, shape, rng):
    layer = Dense(2, 3, rng=rng)
    before = getattr(layer, name).copy()
    with pytest.raises(ValueError, match=rf"^Dense.{name} has shape \(2, 3\); got \({', '.join(map(str, shape))},?\)\.$"):
        setattr(layer, name, np.ones(shape))
    assert np.array_equal(getattr(layer, name), before)


def test_complex_numbers_do_not_fit_into_a_real_parameter(rng):
    layer = Dense(2, 3, rng=rng)
    before = layer.W.copy()
    for name in ("W", "dW"):
        with pytest.raises(TypeError, match=rf"^Dense.{name} is real \(float64\); for complex values make a twin: .astype"):
            setattr(layer, name, np.ones((2, 3)) + 1e-30j)
    assert np.array_equal(layer.W, before) and not layer.dW.any()


@pytest.mark.parametrize(
    "wrong, dtype", [(np.ones(3, int), "int64"), ([1, 2], "int64"), ([True], "bool"), (["a"], "<U1"), (None, "object")]
)
def test_parameters_are_floats(wrong, dtype):
    class Wrong(Layer):
        parameters = ("g",)

        def __init__(self):
            self.g = wrong

    with pytest.raises(TypeError, match=rf"^Wrong.g must be an array of floats, got {dtype}\.$"):
        Wrong()


def test_other_attributes_are_plain(rng):
    layer = Dense(2, 3, rng=rng)
    note = [1, 2]
    for name in ("note", "depth", "d", "aW"):  # some start as a gradient does, some end as a parameter
        setattr(layer, name, note)
        assert getattr(layer, name) is note


# --- ParamVector: names, order, one memory ---------------------------------------------------------------------------------------


def test_names_are_group_position_and_parameter_in_forward_order(rng):
    vae = small_vae(rng, Gaussian(learn=True))
    names = [name for name, _, _ in vae.params]
    assert names == [
        "encoder.0.W", "encoder.0.b", "encoder.2.W", "encoder.2.b",
        "decoder.0.W", "decoder.0.b", "decoder.2.W", "decoder.2.b", "likelihood.0.log_sigma",
    ]  # fmt: skip
    assert [value.shape for _, value, _ in vae.params] == [(5, 4), (4,), (4, 6), (6,), (3, 4), (4,), (4, 5), (5,), (1,)]
    assert vae.params.size == 5 * 4 + 4 + 4 * 6 + 6 + 3 * 4 + 4 + 4 * 5 + 5 + 1
    assert_joined(vae.params, slots(vae))


def test_nested_chains_have_nested_names(rng):
    inner = Dense(4, 6, rng=rng)
    encoder = Chain([Chain([Dense(5, 4, rng=rng), Tanh(), Chain([inner])]), Scale(6)])
    vae = VAE(encoder, Dense(3, 5, rng=rng), Bernoulli(), 3)
    assert [name for name, _, _ in vae.params] == [
        "encoder.0.0.W", "encoder.0.0.b", "encoder.0.2.0.W", "encoder.0.2.0.b", "encoder.1.g", "decoder.0.W", "decoder.0.b",
    ]  # fmt: skip
    vae.params.theta[:] = np.arange(vae.params.size)
    assert np.array_equal(inner.W.ravel(), np.arange(24, 48)) and np.array_equal(inner.db, np.zeros(6))


def test_gathering_keeps_the_values_and_starts_with_no_gradient(rng):
    layer = Dense(2, 3, rng=rng, init="uniform")
    W, b = layer.W.copy(), layer.b.copy()
    layer.dW = np.full((2, 3), 9.0)
    params = ParamVector({"net": [layer]}, np.float64)
    assert np.array_equal(params.theta, np.concatenate([W.ravel(), b])) and np.array_equal(params.grad, np.zeros(9))
    assert_joined(params, [("net.0.", layer, "W"), ("net.0.", layer, "b")])


STATEMENTS = [
    "layer.W = rng.normal(size=(4, 6))",
    "layer.W *= 2",
    "layer.W += 1",
    "layer.b[0] = 5.5",
    "layer.b[...] = 3",
    "vae.likelihood.log_sigma = [0.25]",
    "vae.likelihood.log_sigma -= 1",
    "params.theta = rng.normal(size=params.size)",
    "params.theta *= 1.5",
    "params.theta[...] = rng.normal(size=params.size)",
    "layer.dW = rng.normal(size=(4, 6))",
    "params.grad = rng.normal(size=params.size)",
    "params.grad /= 3",
    "vae.loss_and_grad(rng.normal(size=(2, 5)), rng.normal(size=(2, 3)))",
    "Adam().step(params.theta, params.grad)",
]


def test_every_way_of_writing_reaches_the_one_vector(rng):
    vae = small_vae(rng, Gaussian(learn=True))
    params, layer = vae.params, vae.encoder.layers[2]
    theta, grad = params.theta, params.grad
    for statement in STATEMENTS:
        before = theta.tobytes() + grad.tobytes()
        exec(statement, {"vae": vae, "params": params, "layer": layer, "rng": rng, "Adam": Adam})
        assert theta.tobytes() + grad.tobytes() != before, f"{statement}: reached nothing"
        assert params.theta is theta and params.grad is grad, statement
        assert_joined(params, slots(vae))


def test_in_place_arithmetic_scales_each_parameter(rng):
    vae = small_vae(rng)
    before = {name: value.copy() for name, value, _ in vae.params}
    vae.params.theta *= 1.5
    assert all(np.array_equal(value, 1.5 * before[name]) for name, value, _ in vae.params)
    vae.decoder.layers[0].W *= 2
    assert np.array_equal(vae.params.theta[54:66], 3 * before["decoder.0.W"].ravel())


@pytest.mark.parametrize("name", ["theta", "grad"])
def test_the_vector_refuses_another_length(name, rng):
    params = ParamVector({"net": [Dense(2, 3, rng=rng)]}, np.float64)
    before = getattr(params, name).copy()
    for wrong, shape in ((np.zeros(8), "8,"), (np.zeros((9, 1)), "9, 1"), (0.0, "")):
        with pytest.raises(ValueError, match=rf"^ParamVector.{name} has shape \(9,\); got \({shape}\)\.$"):
            setattr(params, name, wrong)
    with pytest.raises(TypeError, match="complex128.*float64"):
        setattr(params, name, np.zeros(9, complex))
    assert np.array_equal(getattr(params, name), before)


def test_the_vector_has_the_dtype_that_it_is_given(rng):
    layer = Dense(2, 3, rng=rng)
    params = ParamVector({"net": [layer]}, np.float32)
    assert params.dtype == params.theta.dtype == params.grad.dtype == layer.W.dtype == layer.dW.dtype == np.float32


def test_a_model_without_parameters_has_an_empty_vector():
    params = ParamVector({"net": [Tanh()]}, np.float64)
    assert params.size == 0 and list(params) == []


def test_named_parameters_walk_into_layers_of_layers(rng):
    layers = [Tanh(), Chain([Dense(2, 3, rng=rng), Chain([Scale(3)])])]
    assert [name for name, _, _ in named_parameters("net.", layers)] == ["net.1.0.W", "net.1.0.b", "net.1.1.0.g"]


# --- gathering is refused before anything has moved -------------------------------------------------------------------------------


def unchanged(layers):
    return [(getattr(layer, p), getattr(layer, p).copy(), "_gathered" in vars(layer)) for layer in layers for p in layer.parameters]


def assert_refused(groups, layers, message):
    before = unchanged(layers)
    with pytest.raises(ValueError, match=message):
        ParamVector(groups, np.float64)
    for (a, values, owned), (now, _, owned_now) in zip(before, unchanged(layers)):
        assert now is a and np.array_equal(now, values) and owned_now == owned


def test_a_layer_that_comes_twice_is_refused(rng):
    first, twice = Dense(2, 3, rng=rng), Dense(3, 3, rng=rng)
    groups = {"encoder": [first, twice], "decoder": [Chain([twice])]}
    assert_refused(groups, [first, twice], r"^decoder.0.0.W: this Dense stands in the model twice; make a second one\.$")


def test_a_layer_of_another_model_is_refused_and_both_models_stay_whole(rng):
    vae = small_vae(rng, Gaussian(learn=True))
    new = Dense(5, 4, rng=rng)
    theirs = vae.decoder.layers[0]
    message = r"^net.1.W: this Dense belongs to another model already; make a new one, or copy it with .astype\(dtype\)\.$"
    assert_refused({"net": [new, theirs]}, [new, theirs], message)
    assert_refused(
        {"net": [new], "likelihood": [vae.likelihood]}, [new], r"^likelihood.0.log_sigma: this Gaussian belongs to another"
    )
    assert_joined(vae.params, slots(vae))
    ParamVector({"net": [new, theirs.astype(np.float64)]}, np.float64)  # what the message advises
    assert_joined(vae.params, slots(vae))


def test_layers_without_parameters_may_be_shared(rng):
    tanh = Tanh()
    for _ in range(2):
        VAE(Chain([tanh, Dense(5, 6, rng=rng), tanh]), Chain([tanh, Dense(3, 5, rng=rng)]), Bernoulli(), 3)


def test_a_parameter_that_was_never_assigned_is_refused():
    class Forgetful(Layer):
        parameters = ("W",)

    assert_refused({"net": [Forgetful()]}, [], r"^net.0.W: Forgetful names this parameter but never assigns it\.$")


# --- a user's own layer -----------------------------------------------------------------------------------------------------------


def test_a_users_layer_works_in_a_chain_and_a_vae(rng):
    scale = Scale(4)
    scale.g = rng.normal(size=4)
    encoder = Chain([Dense(5, 4, rng=rng), scale, Tanh(), Dense(4, 6, rng=rng)])
    vae = VAE(encoder, Chain([Dense(3, 4, rng=rng), Scale(4), Dense(4, 5, rng=rng)]), Bernoulli(), 3)
    x, eps = rng.random((2, 5)), rng.normal(size=(2, 3))
    twin = vae.astype(np.complex128)

    def loss(theta):
        twin.params.theta = theta
        return twin.loss(x, eps).total

    vae.loss_and_grad(x, eps)
    assert_agree(vae.params.grad, complex_step(loss, vae.params.theta), rtol=1e-10)
    assert {"encoder.1.g", "decoder.1.g"} < {name for name, _, _ in vae.params}
    assert scale.dg.any()
    assert_joined(vae.params, slots(vae))


def test_a_forgotten_comma_in_the_names_of_the_parameters_is_told():
    with pytest.raises(TypeError, match=r'^Slip: parameters must be a tuple of names, \("gamma",\), got a text'):

        class Slip(Layer):
            parameters = "gamma"
