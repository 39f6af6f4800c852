"""Layer and ParamVector: one memory seen twice. Names, order, what a write reaches, what is refused, copies, configurations."""

import copy
import json
import pickle
import textwrap

import numpy as np
import pytest
from derivatives import assert_agree, complex_step

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.parameters import Layer, ParamVector, named_parameters
from npvae.models import from_config


def scale_layer():
    """The user's layer printed in Layer's docstring, as it stands there."""
    lines = Layer.__doc__.split("\n\n")[1]
    namespace = {"Layer": Layer, "np": np, "__name__": "a_users_module"}
    exec(textwrap.dedent(lines), namespace)
    return namespace["Scale"]


Scale = scale_layer()


def small_vae(rng, likelihood=None, dtype=np.float64):
    encoder = Chain([Dense(5, 4, rng=rng, dtype=dtype), Tanh(), Dense(4, 6, rng=rng, dtype=dtype)])
    decoder = Chain([Dense(3, 4, rng=rng, dtype=dtype, init="uniform"), ReLU(), Dense(4, 5, rng=rng, dtype=dtype)])
    return VAE(encoder, decoder, likelihood or Bernoulli(), 3)


def assert_joined(params, layers):
    """Each W and dW of these named layers is a view into theta and grad, at its place, with its name."""
    named = list(params)
    assert [name for name, _, _ in named] == [f"{prefix}{name}" for prefix, layer, name in layers]
    start = 0
    for (_, W, dW), (_, layer, p) in zip(named, layers):
        assert getattr(layer, p) is W and getattr(layer, "d" + p) is dW
        for view, vector in ((W, params.theta), (dW, params.grad)):
            assert np.shares_memory(view, vector[start : start + W.size])
            assert np.array_equal(view.ravel(), vector[start : start + W.size], equal_nan=True)
        start += W.size
    assert start == params.size == params.theta.size == params.grad.size


def slots(model):
    """(prefix, layer, parameter) of a model built of plain chains, spelled out by hand."""
    found = [
        (f"{part}.{i}.", layer, p)
        for part in ("encoder", "decoder")
        for i, layer in enumerate(getattr(model, part).layers)
        for p in layer.parameters
    ]
    return found + [("likelihood.0.", model.likelihood, p) for p in model.likelihood.parameters]


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
    assert layer.dg.dtype == layer.g.dtype


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
        with pytest.raises(TypeError, match="complex128.*float64"):
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
    layer.note = note = [1, 2]
    assert layer.note is note


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


def test_every_way_of_writing_reaches_the_one_vector(rng):
    vae = small_vae(rng, Gaussian(learn=True))
    params, layer = vae.params, vae.encoder.layers[2]
    theta, grad, P = params.theta, params.grad, params.size
    writes = {
        "layer.W = a": lambda: setattr(layer, "W", rng.normal(size=(4, 6))),
        "layer.W *= 2": lambda: layer.__setattr__("W", layer.W.__imul__(2)),
        "layer.b[0] = a": lambda: layer.b.__setitem__(0, 5.5),
        "log_sigma = a": lambda: setattr(vae.likelihood, "log_sigma", [0.25]),
        "params.theta = a": lambda: setattr(params, "theta", rng.normal(size=P)),
        "params.theta[...] = a": lambda: params.theta.__setitem__(..., rng.normal(size=P)),
        "layer.dW = a": lambda: setattr(layer, "dW", rng.normal(size=(4, 6))),
        "params.grad = a": lambda: setattr(params, "grad", rng.normal(size=P)),
        "backward": lambda: vae.loss_and_grad(rng.normal(size=(2, 5)), rng.normal(size=(2, 3))),
        "step": lambda: Adam().step(params.theta, params.grad),
    }
    for name, write in writes.items():
        before = theta.tobytes() + grad.tobytes()
        write()
        assert theta.tobytes() + grad.tobytes() != before, f"{name} reached nothing"
        assert params.theta is theta and params.grad is grad, name
        assert_joined(params, slots(vae))
    params.theta *= 1.5
    params.grad /= 3
    layer.W *= 2
    assert params.theta is theta and params.grad is grad
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
    for wrong in (np.zeros(8), np.zeros((9, 1)), 0.0):
        with pytest.raises(ValueError, match=rf"^ParamVector.{name} has shape \(9,\); got \("):
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


# --- copies ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_astype_makes_an_independent_twin_in_the_dtype(dtype, rng):
    vae = small_vae(rng, Gaussian(0.5, learn=True))
    twin, before = vae.astype(dtype), vae.params.theta.copy()
    assert twin.params.dtype == twin.dtype == dtype and twin.real_dtype == np.empty(0, dtype).real.dtype
    assert np.array_equal(twin.params.theta, before.astype(dtype))
    assert not np.shares_memory(twin.params.theta, vae.params.theta)
    twin.params.theta[...] = 0
    assert np.array_equal(vae.params.theta, before)
    for model in (vae, twin):
        assert_joined(model.params, slots(model))


def test_a_gathered_layer_s_twin_belongs_to_nobody(rng):
    vae = small_vae(rng)
    twin = vae.encoder.astype(np.float32)
    twin.layers[0].W *= 0
    assert vae.encoder.layers[0].W.all() and twin.layers[0].dW.dtype == np.float32
    VAE(twin, vae.decoder.astype(np.float32), Bernoulli(), 3)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda a: pickle.loads(pickle.dumps(a)),
    "a list": lambda a: copy.deepcopy([a, a])[1],
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_a_copied_model_has_its_own_vector_joined_to_its_own_layers(duplicate, kind, rng):
    model = kind.dense(5, (4,), 3, Gaussian(0.5, learn=True), rng=rng, dtype=np.float32)
    twin, x, eps = duplicate(model), rng.random((2, 5)), model.noise(2, rng)
    assert twin.params.theta.tobytes() == model.params.theta.tobytes() and twin.params.dtype == np.float32
    assert twin.loss_and_grad(x, eps) == model.loss_and_grad(x, eps)
    assert np.array_equal(twin.params.grad, model.params.grad) and model.params.grad.any()
    twin.params.theta *= 2
    assert not np.array_equal(twin.params.theta, model.params.theta)
    for m in (model, twin):
        assert_joined(m.params, slots(m))


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copied_layer_belongs_to_nobody_and_can_be_gathered(duplicate, rng):
    vae = small_vae(rng)
    layer = duplicate(vae.encoder.layers[0])
    assert np.array_equal(layer.W, vae.encoder.layers[0].W) and not np.shares_memory(layer.W, vae.params.theta)
    params = ParamVector({"net": [layer]}, np.float64)
    params.theta *= 0
    assert not layer.W.any() and vae.encoder.layers[0].W.all()


# --- configurations --------------------------------------------------------------------------------------------------------------


MODELS = {
    "vae": lambda rng: VAE.dense(5, (4, 7), 3, rng=rng),
    "vae-double-gaussian": lambda rng: VAE.dense(5, (4,), 3, Gaussian(0.5), ReLU, rng=rng, dtype=np.float64),
    "learned-sigma": lambda rng: VAE.dense(5, (), 3, Gaussian(0.5, learn=True), Softplus, rng=rng),
    "nested": lambda rng: VAE(
        Chain([Chain([Dense(5, 4, rng=rng)]), Sigmoid(), Dense(4, 6, rng=rng)]), Dense(3, 5, rng=rng), Bernoulli(), 3
    ),
    "autoencoder": lambda rng: Autoencoder.dense(5, (4,), 3, rng=rng, init="he"),
    "complex twin": lambda rng: small_vae(rng, Gaussian(0.5, learn=True)).astype(np.complex128),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_is_built_again_from_its_config(make, rng):
    model = make(rng)
    config = json.loads(json.dumps(model.config()))  # plain data
    again = from_config(config)
    assert again.config() == model.config() == config
    assert type(again) is type(model) and again.params.dtype == model.params.dtype
    assert [(name, value.shape) for name, value, _ in again.params] == [(name, value.shape) for name, value, _ in model.params]
    again.params.theta = model.params.theta
    x, eps = rng.random((2, 5)), model.noise(2, rng)
    assert again.loss(x, eps) == model.loss(x, eps)


def test_the_config_of_a_learned_sigma_holds_its_value_now():
    likelihood = Gaussian(0.5, learn=True)
    likelihood.log_sigma = [np.log(2)]
    assert likelihood.config() == {"type": "Gaussian", "sigma": pytest.approx(2), "learn": True}
    assert Gaussian(0.5).config() == {"type": "Gaussian", "sigma": 0.5, "learn": False}


@pytest.mark.parametrize("part", ["encoder", "likelihood", "model"])
def test_a_config_with_an_unknown_part_is_refused(part, rng):
    config = VAE.dense(5, (4,), 3, rng=rng).config()
    message = "^unknown layer or likelihood 'mine.Scale': the library has Tanh, ReLU, .*; build the model yourself and load into it"
    if part == "encoder":
        config["encoder"]["layers"][1] = {"type": "mine.Scale"}
    elif part == "likelihood":
        config["likelihood"] = {"type": "mine.Scale"}
    else:
        config["type"] = "mine.Scale"
        message = "^unknown model 'mine.Scale': the library has VAE, Autoencoder"
    with pytest.raises(ValueError, match=message):
        from_config(config)


def test_a_users_layer_is_named_with_its_module_and_is_not_rebuilt(rng):
    vae = VAE(Chain([Dense(5, 6, rng=rng), Scale(6)]), Dense(3, 5, rng=rng), Bernoulli(), 3)
    assert vae.config()["encoder"]["layers"][1] == {"type": "a_users_module.Scale"}
    with pytest.raises(ValueError, match="^unknown layer or likelihood 'a_users_module.Scale'"):
        from_config(vae.config())


def test_named_parameters_walk_into_layers_of_layers(rng):
    layers = [Tanh(), Chain([Dense(2, 3, rng=rng), Chain([Scale(3)])])]
    assert [name for name, _, _ in named_parameters("net.", layers)] == ["net.1.0.W", "net.1.0.b", "net.1.1.0.g"]
