"""The plain autoencoder: the VAE's contract without noise, KL and prior."""

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

from npvae import VAE, Autoencoder, Bernoulli, Dense
from npvae.models import from_config


@given(cases(Autoencoder))
def test_the_whole_gradient_agrees_with_the_complex_step(case):
    check_gradient_by_complex_step(case)


@few
@given(cases(Autoencoder, activations=SMOOTH))
def test_the_whole_gradient_agrees_with_central_differences(case):
    numeric = central_difference(loss_of_theta(case, float), case.model.params.theta.copy())
    assert_agree(blocks(case.model, gradient(case)), blocks(case.model, numeric), rtol=1e-6, floor=1e-7)


@given(cases(Autoencoder))
def test_the_loss_agrees_with_literal_loops(case):
    loss = case.model.loss(case.x)
    np.testing.assert_allclose(loss.total, reference.autoencoder_loss(case.model, case.x), rtol=1e-12)
    assert loss == case.model.loss_and_grad(case.x) == case.model.loss(case.x, None, case.beta), "beta plays no part"
    assert loss == (loss.reconstruction, loss.reconstruction, 0.0) and [type(part) for part in loss] == [float] * 3


@given(cases(Autoencoder))
def test_gradients_are_assigned_never_accumulated(case):
    first = gradient(case)
    case.model.params.grad[:] = np.nan
    assert np.array_equal(gradient(case), first)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_its_gradient_is_that_of_a_vae_with_beta_0_and_no_noise(likelihood):
    """With sigma = e^0 eps = 0 and beta = 0, a VAE whose mu is the code is an autoencoder: the same numbers by another path."""
    case = make_case(Autoencoder, hidden=(), likelihood=likelihood)
    encoder = Dense(6, 6, rng=np.random.default_rng(0))
    encoder.W, encoder.b = np.zeros((6, 6)), np.zeros(6)
    encoder.W[:, :3], encoder.b[:3] = case.model.encoder.layers[0].W, case.model.encoder.layers[0].b
    vae = VAE(encoder, case.model.decoder.astype(float), case.model.likelihood.astype(float), 3)
    theirs, ours = vae.loss_and_grad(case.x, np.zeros((4, 3)), beta=0), case.model.loss_and_grad(case.x)
    assert theirs.total == pytest.approx(ours.total, rel=1e-14)
    np.testing.assert_allclose(encoder.dW[:, :3], case.model.encoder.layers[0].dW, rtol=1e-12)
    np.testing.assert_allclose(encoder.db[:3], case.model.encoder.layers[0].db, rtol=1e-12)
    assert not np.any(encoder.dW[:, 3:]), "without noise and KL the variance has no gradient"


@given(cases(Autoencoder))
def test_shapes_of_every_method(case):
    model, (B, D) = case.model, case.x.shape
    z = model.encode(case.x)
    assert z.shape == (B, model.latent_dim)
    assert model.decode(z).shape == model.reconstruct(case.x).shape == (B, D)
    np.testing.assert_array_equal(model.reconstruct(case.x), model.likelihood.mean(model.decode(z)))
    assert model.noise(B, np.random.default_rng(0)) is None and case.eps is None


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_float32_keeps_its_dtype_everywhere_and_stays_close_to_float64(likelihood):
    case = make_case(Autoencoder, B=16, D=30, hidden=(20,), likelihood=likelihood, dtype=np.float32)
    single, double = gradient(case), gradient(case._replace(model=case.model.astype(np.float64)))
    assert np.linalg.norm(single - double) <= 2e-6 * np.linalg.norm(double)
    z = case.model.encode(case.x)
    arrays = [array for _, *pair in case.model.params for array in pair] + [z, case.model.decode(z), case.model.reconstruct(case.x)]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@given(cases(Autoencoder))
def test_it_is_rebuilt_from_its_config(case):
    model = from_config(case.model.config())
    assert isinstance(model, Autoencoder)
    assert_same_config(model, case.model)
    model.params.theta = case.model.params.theta
    assert model.loss(case.x) == case.model.loss(case.x)


def test_what_it_refuses(rng):
    model, x, _, _ = make_case(Autoencoder)
    with pytest.raises(ValueError, match="Autoencoder.sample: an autoencoder has no prior p.z. to sample from; train a VAE"):
        model.sample(3, rng)
    for method in (model.loss, model.loss_and_grad):
        with pytest.raises(ValueError, match="eps must be None, an autoencoder draws no noise"):
            method(x, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"Autoencoder.loss: x has shape \(4, 5\), expected \(B, 6\)"):
        model.loss(x[:, :5])
    with pytest.raises(ValueError, match=r"Autoencoder.decode: z has shape \(4, 2\), expected \(B, 3\)"):
        model.decode(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"Autoencoder: the encoder gives 6 outputs, expected 3: 1 x latent_dim .*the code"):
        Autoencoder(Dense(6, 6, rng=rng), Dense(3, 6, rng=rng), Bernoulli(), 3)
