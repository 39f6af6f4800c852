"""Copies of models and layers keep vector and views joined, and a model is built again from its configuration."""

import copy
import json
import pickle

import numpy as np
import pytest
from joined import Scale, assert_joined, slots, small_vae

from npvae import VAE, Autoencoder, Bernoulli, Chain, Dense, Gaussian, ReLU, Sigmoid, Softplus
from npvae.core.parameters import ParamVector
from npvae.models import from_config

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


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_the_vector_alone_cannot_be_copied(duplicate, rng):
    with pytest.raises(
        TypeError, match=r"^ParamVector: copy the model with its layers, or only the numbers: params.theta.copy\(\)"
    ):
        duplicate(small_vae(rng).params)


def test_a_twin_has_floats(rng):
    for twin, name in ((Dense(2, 3, rng=rng), "Dense"), (small_vae(rng), "Chain"), (Gaussian(learn=True), "Gaussian")):
        with pytest.raises(TypeError, match=rf"^{name}.astype: dtype must be one of floats, got int64\.$"):
            twin.astype(np.int64)


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
    message = "^unknown layer or likelihood 'mine.Scale': the library has Dense, .*; build the model yourself and load into it"
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
