"""The VAE: its whole gradient against exact derivatives, its loss against literal loops, and the contract of every method."""

import copy
import pickle

import numpy as np
import pytest
import reference
from derivatives import assert_agree, central_difference
from hypothesis import given
from model_cases import (
    LIKELIHOODS,
    SMOOTH,
    assert_same_config,
    blocks,
    cases,
    check_gradient_by_complex_step,
    gradient,
    loss_of_theta,
    make_case,
)
from strategies import few

from npvae import VAE, Bernoulli, Dense, Gaussian, load_digits
from npvae.core.parameters import Layer
from npvae.models import Loss, from_config

# --- the gradient and the value -------------------------------------------------------------------------------------------------


@given(cases())
def test_the_whole_gradient_agrees_with_the_complex_step(case):
    check_gradient_by_complex_step(case)


@few
@given(cases(activations=SMOOTH))  # a difference across the kink of a ReLU would mean nothing
def test_the_whole_gradient_agrees_with_central_differences(case):
    numeric = central_difference(loss_of_theta(case, float), case.model.params.theta.copy())
    assert_agree(blocks(case.model, gradient(case)), blocks(case.model, numeric), rtol=1e-6, floor=1e-7)


@given(cases())
def test_the_loss_agrees_with_literal_loops(case):
    np.testing.assert_allclose(case.model.loss(*case[1:]), reference.vae_loss(*case), rtol=1e-12)


@given(cases())
def test_loss_and_loss_and_grad_return_the_same_parts_that_add_up(case):
    loss = case.model.loss(*case[1:])
    assert loss == case.model.loss_and_grad(*case[1:])
    assert isinstance(loss, Loss) and [type(part) for part in loss] == [float] * 3
    assert loss.total == loss.reconstruction + case.beta * loss.kl
    assert loss.elbo == -(loss.reconstruction + loss.kl), "the ELBO has weight 1 on the KL whatever beta is"


@given(cases())
def test_gradients_are_assigned_never_accumulated(case):
    first = gradient(case)
    case.model.params.grad[:] = np.nan  # whatever is not assigned stays visible
    assert np.array_equal(gradient(case), first)


@given(cases())
def test_the_complex_twin_has_the_same_loss(case):
    twin = case.model.astype(complex)
    loss = twin.loss(*case[1:])
    assert [type(part) for part in loss] == [complex] * 3 and twin.real_dtype == np.float64
    np.testing.assert_allclose(np.real(loss), case.model.loss(*case[1:]), rtol=1e-14)
    np.testing.assert_allclose(gradient(case._replace(model=twin)), gradient(case), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_float32_keeps_its_dtype_everywhere_and_stays_close_to_float64(likelihood):
    case = make_case(B=16, D=30, hidden=(20, 10), likelihood=likelihood, dtype=np.float32)
    model, rng = case.model, np.random.default_rng(1)
    twin = case._replace(model=model.astype(np.float64))
    single, double = gradient(case), gradient(twin)
    assert np.linalg.norm(single - double) <= 2e-6 * np.linalg.norm(double)
    np.testing.assert_allclose(model.loss(*case[1:]), twin.model.loss(*case[1:]), rtol=1e-5)
    assert [type(part) for part in model.loss(*case[1:])] == [float] * 3
    outputs = *model.encode(case.x), model.decode(case.eps), model.reconstruct(case.x), model.sample(3, rng), model.noise(3, rng)
    arrays = [array for _, *pair in model.params for array in pair] + [model.params.theta, model.params.grad, *outputs]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert model.loss(case.x.astype(np.float64), case.eps.astype(np.float64)) == model.loss(case.x, case.eps), "cast at the door"


# --- the other methods ----------------------------------------------------------------------------------------------------------


@given(cases())
def test_shapes_of_every_method(case):
    model, (B, D), Z = case.model, case.x.shape, case.eps.shape[1]
    rng = np.random.default_rng(0)
    assert (model.data_dim, model.latent_dim) == (D, Z)
    mu, logvar = model.encode(case.x)
    assert mu.shape == logvar.shape == model.noise(B, rng).shape == (B, Z)
    assert model.decode(mu).shape == model.reconstruct(case.x).shape == model.sample(B, rng).shape == (B, D)


def test_only_noise_and_sample_draw_and_only_from_their_generator():
    model, x, _, _ = make_case()
    state = np.random.get_state()[1].copy()  # noqa: NPY002  the global generator, which must stay as it is
    mu, logvar = model.encode(x)
    for again, once in ((model.encode(x)[0], mu), (model.encode(x)[1], logvar), (model.reconstruct(x), model.reconstruct(x))):
        np.testing.assert_array_equal(again, once)
    np.testing.assert_array_equal(model.reconstruct(x), model.likelihood.mean(model.decode(mu)), "decoded from z = mu")
    samples = [model.sample(4, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(samples[0], samples[1])
    assert not np.any(samples[0] == samples[2])
    z = model.noise(4, np.random.default_rng(1))
    np.testing.assert_array_equal(samples[0], model.likelihood.mean(model.decode(z)), "z comes from the prior N(0, I)")
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_noise_is_standard_normal_and_independent():
    eps = make_case(Z=3).model.noise(50_000, np.random.default_rng(5))
    np.testing.assert_allclose(eps.mean(axis=0), 0, atol=5 / np.sqrt(50_000))
    np.testing.assert_allclose(np.cov(eps.T), np.eye(3), atol=5 * np.sqrt(2 / 50_000))
    assert abs(np.mean(eps[1:] * eps[:-1])) < 5 / np.sqrt(150_000), "rows are drawn one by one"


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_no_gradient_passes_through_another_precision(likelihood, monkeypatch):
    """A stray float64 would cost time and not show in params.grad, which casts it back."""
    case = make_case(hidden=(5, 4), likelihood=likelihood, dtype=np.float32)
    backward, seen = Dense.backward, []

    def watched(self, dy, x, need_dx=True):
        dx = backward(self, dy, x, need_dx)
        seen.extend(a.dtype for a in (dy, x, dx) if a is not None)
        return dx

    monkeypatch.setattr(Dense, "backward", watched)
    gradient(case)
    assert len(seen) == 17 and set(seen) == {np.dtype(np.float32)}


def test_the_decoder_mirrors_the_encoder():
    model = VAE.dense(30, (20, 10), 4, rng=np.random.default_rng(0))
    widths = [[layer.W.shape for layer in chain.layers if isinstance(layer, Dense)] for chain in (model.encoder, model.decoder)]
    assert widths == [[(30, 20), (20, 10), (10, 8)], [(4, 10), (10, 20), (20, 30)]]
    assert [type(layer).__name__ for layer in model.encoder.layers] == ["Dense", "Tanh", "Dense", "Tanh", "Dense"]
    assert model.dtype == np.float32 and VAE.dense(30, rng=np.random.default_rng(0)).latent_dim == 20


def test_columns_of_the_encoder_are_mu_then_logvar():
    model, x, _, _ = make_case(Z=2)
    model.encoder.layers[-1].W[...] = 0
    model.encoder.layers[-1].b[...] = [1, 2, -3, -4]
    mu, logvar = model.encode(x)
    assert np.all(mu == [1, 2]) and np.all(logvar == [-3, -4])


def test_black_and_white_data_may_be_integers_or_booleans():
    model, x, eps, _ = make_case()
    bits = x > 0.5
    expected = model.loss(bits.astype(float), eps)
    assert model.loss(bits, eps) == model.loss(bits.astype(np.uint8), eps) == model.loss(bits.astype(int), eps) == expected


def test_a_model_of_ones_own_layers():
    class Scale(Layer):
        parameters = ("g",)

        def __init__(self, n):
            self.g = np.linspace(0.5, 1.5, n)

        def forward(self, x):
            return x * self.g, x

        def backward(self, dy, x, need_dx=True):
            self.dg = np.sum(dy * x, axis=0)
            return dy * self.g if need_dx else None

    case = make_case()
    encoder, decoder = (chain.astype(float) for chain in (case.model.encoder, case.model.decoder))
    decoder.layers.insert(1, Scale(5))
    encoder.layers.insert(0, Scale(6))
    model = VAE(encoder, decoder, Gaussian(learn=True), 3)
    assert [name for name, _, _ in model.params] == [
        "encoder.0.g", "encoder.1.W", "encoder.1.b", "encoder.3.W", "encoder.3.b",
        "decoder.0.W", "decoder.0.b", "decoder.1.g", "decoder.3.W", "decoder.3.b", "likelihood.0.log_sigma",
    ]  # fmt: skip
    check_gradient_by_complex_step(case._replace(model=model))


# --- where the output starts ----------------------------------------------------------------------------------------------------

CEILING = {
    "grey": 27.110266,
    "thresholded": 25.108913,
}  # nats; a decoder that knows the pixel means alone, on all digits


@pytest.mark.parametrize("pixels", CEILING)
def test_output_mean_starts_the_model_at_the_collapsed_ceiling(pixels):
    digits = load_digits()
    x = np.concatenate([digits.floats("train", np.float64), digits.floats("test", np.float64)])
    x = x if pixels == "grey" else np.asarray(x >= 0.5, float)
    mean = x.mean(axis=0)
    rng = np.random.default_rng(0)
    model = VAE.dense(64, (8,), 2, rng=rng, dtype=np.float64, output_mean=mean)
    last = model.decoder.layers[-1]
    np.testing.assert_allclose(1 / (1 + np.exp(-last.b)), np.clip(mean, 0.001, 0.999), rtol=1e-12)
    last.W = np.zeros_like(last.W)  # the decoder ignores z
    eps = model.noise(len(x), rng)
    assert CEILING[pixels] < model.loss(x, eps).reconstruction < CEILING[pixels] + 0.015, "black pixels start at 0.001, not 0"
    rare = (mean < 0.001) | (mean > 0.999)
    last.b[rare] = [np.log(m / (1 - m)) if m else -60 for m in mean[rare]]
    assert model.loss(x, eps).reconstruction == pytest.approx(CEILING[pixels], abs=5e-7)


def test_output_mean_of_a_gaussian_is_the_bias_itself():
    mean = np.array([-2.0, 0.5, 7.0])
    model = VAE.dense(3, (4,), 2, Gaussian(), rng=np.random.default_rng(0), output_mean=mean)
    np.testing.assert_array_equal(model.decoder.layers[-1].b, mean.astype(np.float32))


# --- twins, copies, descriptions ------------------------------------------------------------------------------------------------


def test_a_twin_has_parameters_of_its_own():
    model, x, eps, _ = make_case(likelihood="Gaussian with learned sigma")
    twin, before = model.astype(np.float64), model.loss(x, eps)
    assert twin.loss(x, eps) == before
    twin.params.theta *= 2
    twin.likelihood.log_sigma += 1
    twin.loss_and_grad(x, eps)
    assert model.loss(x, eps) == before and twin.loss(x, eps) != before and not np.any(model.params.grad)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_copies_are_whole_models(duplicate):
    case = make_case(likelihood="Gaussian with learned sigma")
    twin = case._replace(model=duplicate(case.model))
    assert twin.model.loss(*case[1:]) == case.model.loss(*case[1:])
    check_gradient_by_complex_step(twin)  # the gradient reaches params.grad: the copy's views are views again
    assert not np.shares_memory(twin.model.params.theta, case.model.params.theta)
    twin.model.params.theta += 0.1
    assert twin.model.loss(*case[1:]) != case.model.loss(*case[1:])


@given(cases())
def test_a_model_is_rebuilt_from_its_config(case):
    model = from_config(case.model.config())
    assert_same_config(model, case.model)
    model.params.theta = case.model.params.theta
    assert model.loss(*case[1:]) == case.model.loss(*case[1:])


def test_config_of_foreign_parts_is_refused():
    config = make_case().model.config()
    for key, value, message in (
        ("type", "GAN", "unknown model 'GAN'"),
        ("likelihood", {"type": "Poisson"}, "unknown layer or likelihood 'Poisson'"),
    ):
        with pytest.raises(ValueError, match=message):
            from_config({**config, key: value})


def test_one_layer_in_place_of_a_chain():
    rng = np.random.default_rng(0)
    model = VAE(Dense(3, 4, rng=rng), Dense(2, 3, rng=rng), Bernoulli(), 2)
    assert model.sample(5, rng).shape == (5, 3)


def test_a_model_says_what_it_is():
    vae = VAE.dense(6, (5,), 2, rng=np.random.default_rng(0))
    assert repr(vae) == "<VAE: 6 values, 2 latents, Bernoulli, 110 parameters, float32>"
