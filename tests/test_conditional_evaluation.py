"""The bounds and the latents' statistics of a conditional model, against one whose log p(x|c) is known in closed form."""

import numpy as np
import pytest
from conditional_cases import make_case

from npvae import VAE, Dense, Gaussian
from npvae.core import gaussian
from npvae.evaluation import active_units, bounds, elbo, kl_per_dimension, log_likelihood
from npvae.models import ConditionalVAE


def linear_conditional(rng, D=5, Z=2, n_classes=3, sigma=0.6):
    """p(x|c) = N(b_c, W^T W + sigma^2 I), and an encoder that is its exact posterior -> model, x, labels, log p(x|c)."""
    rotation, _ = np.linalg.qr(rng.standard_normal((D, Z)))
    W = rotation.T * np.array([[1.3], [0.7]])  # (Z, D), orthogonal rows
    b = 2 * rng.standard_normal((n_classes, D))
    variance = 1 / (1 + np.sum(W**2, axis=1) / sigma**2)  # (Z,)
    V = W.T * variance / sigma**2  # (D, Z)    posterior mean = (x - b_c) V
    encoder, decoder = Dense(D + n_classes, 2 * Z, rng=rng), Dense(Z + n_classes, D, rng=rng)
    encoder.W = np.hstack([np.vstack([V, -b @ V]), np.zeros((D + n_classes, Z))])
    encoder.b = np.hstack([np.zeros(Z), np.log(variance)])
    decoder.W, decoder.b = np.vstack([W, b]), np.zeros(D)
    labels = rng.integers(0, n_classes, 20)
    x = 2 * rng.standard_normal((20, D))
    C, r = W.T @ W + sigma**2 * np.eye(D), x - b[labels]
    log_p = -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + np.sum(r @ np.linalg.inv(C) * r, axis=1))
    return ConditionalVAE(encoder, decoder, Gaussian(sigma), Z, n_classes), x, labels, log_p


@pytest.mark.parametrize("at_once", [3 * 1024, 2**20], ids=["parts of a row", "all at once"])
def test_with_the_exact_posterior_the_bound_is_log_p_of_x_given_c(rng, monkeypatch, at_once):
    monkeypatch.setattr(bounds, "AT_ONCE", at_once)  # 3 samples of z at a time
    model, x, labels, log_p = linear_conditional(rng)
    for samples in (1, 2, 7):
        np.testing.assert_allclose(log_likelihood(model, x, rng, samples, condition=labels), log_p, rtol=1e-12)
    wrong = log_likelihood(model, x, rng, 7, condition=(labels + 1) % 3)
    assert np.mean(wrong) < np.mean(log_p) - 1


def test_the_elbo_is_the_closed_form_given_c(rng):
    model, x, labels, log_p = linear_conditional(rng)
    draws = np.stack([elbo(model, x, rng, samples=50, condition=labels) for _ in range(40)])  # (40, B)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.max(np.abs(draws.mean(axis=0) - log_p) / error) < 5 and np.max(error) < 0.2


def test_elbo_does_not_depend_on_how_the_work_is_cut(rng, monkeypatch):
    model, x, labels, _ = linear_conditional(rng)
    whole = elbo(model, x, np.random.default_rng(3), samples=7, condition=labels)
    monkeypatch.setattr(bounds, "AT_ONCE", 16 * 1024)
    np.testing.assert_allclose(elbo(model, x, np.random.default_rng(3), samples=7, condition=labels), whole, rtol=1e-12)


def test_the_latents_statistics_are_those_of_the_posterior_given_c(rng, monkeypatch):
    monkeypatch.setattr("npvae.evaluation.arguments.ROWS_AT_ONCE", 3)  # 7 rows: 3, 3, 1
    case = make_case()
    mu, logvar = case.model.encode(case.x, condition=case.labels)
    kl = gaussian.kl_per_dimension(mu, logvar).mean(axis=0)
    np.testing.assert_allclose(kl_per_dimension(case.model, case.x, condition=case.labels), kl, rtol=1e-12)
    variance = np.var(mu, axis=0)
    active = active_units(case.model, case.x, threshold=np.median(variance), condition=case.labels)
    np.testing.assert_array_equal(active, variance > np.median(variance))


EVALUATIONS = {
    "elbo": lambda model, x, c: elbo(model, x, np.random.default_rng(0), condition=c),
    "log_likelihood": lambda model, x, c: log_likelihood(model, x, np.random.default_rng(0), 5, condition=c),
    "active_units": lambda model, x, c: active_units(model, x, condition=c),
    "kl_per_dimension": lambda model, x, c: kl_per_dimension(model, x, condition=c),
}


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluations_refuse_bad_labels_by_their_own_name(name):
    case, evaluate = make_case(), EVALUATIONS[name]
    with pytest.raises(TypeError, match=rf"^{name}: condition is missing; .* give condition=, the integer labels \(7,\)"):
        evaluate(case.model, case.x, None)
    with pytest.raises(ValueError, match=rf"^{name}: condition has shape \(6,\), expected \(7,\)"):
        evaluate(case.model, case.x, case.labels[1:])
    vae = VAE.dense(5, (4,), 3, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=f"^{name}: condition is for a ConditionalVAE; this VAE is told no labels"):
        evaluate(vae, case.x, case.labels)


def test_the_view_for_one_batch_is_not_evaluated_as_a_model():
    """Evaluation repeats the rows of x, each K times, in another order than the view repeats its labels."""
    model = ConditionalVAE.dense(6, n_classes=3, rng=np.random.default_rng(0))
    for evaluate in (elbo, log_likelihood):
        with pytest.raises(TypeError, match="pass the ConditionalVAE itself"):
            evaluate(model.given([0, 1]), np.zeros((2, 6)), np.random.default_rng(0), samples=3)
