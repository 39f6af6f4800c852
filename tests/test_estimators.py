"""Estimators of the ELBO's gradient, draw by draw: each against literal loops, two of them against the complex step, what a
constant in log p and the exact posterior do to them, `fit` with them, and what is told about wrong arguments."""

import math

import conditional_cases
import numpy as np
import pytest
from draw_cases import check_by_complex_step, encoder_gradient, log_weights_by_loops, noise, of_encoder, outcome_of, slopes_by_loops
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import LIKELIHOODS, cases, make_case
from runs import outcome, run

from npvae import VAE, Autoencoder, Gaussian
from npvae.beyond.comparison import ELBO_ESTIMATORS, compare_estimators, gradient_moments
from npvae.beyond.estimators import analytic_kl, leave_one_out, path_derivative, sampled_kl, score_function
from npvae.core.checks import NonFiniteError
from npvae.verify.mistakes.invariances import linear_gaussian

each_estimator = pytest.mark.parametrize("estimator", ELBO_ESTIMATORS)


# --- draw by draw -----------------------------------------------------------------------------------------------------------------


@given(cases())
def test_the_analytic_kl_with_one_draw_is_the_model_s_own_loss_to_the_last_bit(case):
    loss = case.model.loss_and_grad(case.x, case.eps)
    expected = case.model.params.grad.copy()
    assert analytic_kl(case.model, case.x, case.eps[None]) == loss
    assert np.array_equal(case.model.params.grad, expected)


@settings(max_examples=10)
@given(cases(), st.sampled_from([2, 3]))
def test_two_of_them_are_the_derivative_of_what_they_return(case, K):
    for estimator in (analytic_kl, sampled_kl):
        check_by_complex_step(estimator, case.model, case.x, noise(case, K))


def test_so_they_are_for_a_conditional_model():
    case = conditional_cases.make_case(B=3, D=4, hidden=(), Z=2)
    for estimator in (analytic_kl, sampled_kl):
        check_by_complex_step(estimator, case.model, case.x, noise(case, 2), condition=case.labels)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_others_agree_with_literal_loops(likelihood):
    """dlog w/dz at fixed mu and sigma, dlog q/dphi at fixed z, both by complex steps; three draws."""
    K, case = 3, make_case(B=2, D=4, hidden=(), Z=2, likelihood=likelihood, seed=5)
    eps, (_, logvar), encoder = noise(case, K), case.model.encode(case.x), of_encoder(case.model)
    log_w, (at_z, at_mu, at_logvar) = np.array(log_weights_by_loops(case, eps)[0]), slopes_by_loops(case, eps)
    _, plain = outcome_of(sampled_kl, case, eps)
    for estimator in (path_derivative, score_function, leave_one_out):
        dmu, dlogvar = np.zeros((2, 2, 2))
        for k, b, i in np.ndindex(*eps.shape):
            baseline = math.fsum(log_w[j, b] for j in range(K) if j != k) / (K - 1) if estimator is leave_one_out else 0.0
            signal = log_w[k, b] - baseline
            through_z = at_z[k, b, i] * np.array([1.0, 0.5 * math.exp(logvar[b, i] / 2) * eps[k, b, i]])
            slope = through_z if estimator is path_derivative else signal * np.array([at_mu[k, b, i], at_logvar[k, b, i]])
            dmu[b, i] -= slope[0] / (2 * K)
            dlogvar[b, i] -= slope[1] / (2 * K)
        loss, grad = outcome_of(estimator, case, eps)
        assert grad[encoder] == pytest.approx(encoder_gradient(case, dmu, dlogvar), rel=1e-11, abs=1e-13), estimator.__name__
        assert np.array_equal(grad[~encoder], plain[~encoder])
        assert loss[0] == pytest.approx(-np.mean(log_w), rel=1e-12) and loss[0] == pytest.approx(loss[1] + loss[2], rel=1e-12)


@each_estimator
@given(case=cases(), seed=st.integers(0, 99))
def test_copies_of_rows_and_the_order_of_draws_change_nothing(estimator, case, seed):
    eps = noise(case, 3)
    loss, grad = outcome_of(estimator, case, eps)
    order = np.random.default_rng(seed).permutation(3)
    again, dagain = outcome_of(estimator, case._replace(x=np.tile(case.x, (2, 1))), np.tile(eps, (1, 2, 1))[order])
    assert again == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(dagain, grad, rtol=1e-9, atol=1e-11 * max(1, np.max(np.abs(grad))))


@each_estimator
def test_float32_models_stay_in_float32_and_nothing_given_is_changed(estimator):
    case = make_case(likelihood="Gaussian with learned sigma")
    model, eps = case.model.astype(np.float32), noise(case, 3)
    before = [a.tobytes() for a in (case.x, eps, model.params.theta)]
    loss = np.array(estimator(model, case.x, eps))
    expected, grad = outcome_of(estimator, case, eps)
    assert [a.tobytes() for a in (case.x, eps, model.params.theta)] == before
    assert model.params.grad.dtype == np.float32 and loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(model.params.grad, grad, rtol=1e-3, atol=1e-4)


class Shifted(Gaussian):
    """log p(x|z) and a constant more."""

    def nll(self, out, x):
        return super().nll(out, x) - 1000.0


def test_a_constant_in_log_p_changes_the_plain_score_function_alone():
    case = make_case(likelihood="Gaussian")
    shifted = case._replace(model=VAE(case.model.encoder.astype(float), case.model.decoder.astype(float), Shifted(0.7), 3))
    for estimator in (sampled_kl, path_derivative, leave_one_out, score_function):
        _, grad = outcome_of(estimator, case, noise(case, 4))
        _, again = outcome_of(estimator, shifted, noise(case, 4))
        if estimator is score_function:
            assert np.max(np.abs(again - grad)) > 10
        else:
            np.testing.assert_allclose(again, grad, rtol=1e-9, atol=1e-10)


def test_with_the_exact_posterior_the_path_derivative_has_no_noise():
    rng = np.random.default_rng(0)
    model, x, log_p = linear_gaussian(rng)
    encoder = of_encoder(model)
    noise_of = {}
    for estimator in ELBO_ESTIMATORS:
        moments = gradient_moments(estimator, model, x, rng, draws=200, K=2)
        noise_of[estimator] = np.sum(moments.variance[encoder])
    assert noise_of[path_derivative] < 1e-24
    assert noise_of[leave_one_out] < 1e-20  # log w is the same for every draw, so that the baseline is all of it
    assert min(noise_of[each] for each in (analytic_kl, sampled_kl, score_function)) > 0.1
    rows = compare_estimators(model, x, rng, draws=2, K=1, estimators=[path_derivative], exact=np.zeros(model.params.size))
    assert rows[0].encoder_variance < 1e-24 and math.isfinite(rows[0].z)


def test_fit_takes_any_of_them():
    for estimator in ELBO_ESTIMATORS:
        assert run(objective=estimator, samples=2, epochs=1).history["loss"][-1] < 6
    plain = outcome(run(epochs=1))["theta"]
    assert outcome(run(objective=analytic_kl, samples=1, epochs=1))["theta"] == plain


# --- errors -----------------------------------------------------------------------------------------------------------------------


@each_estimator
def test_the_arguments_of_an_estimator_are_looked_at(estimator):
    case, name = make_case(B=4, Z=3), estimator.__name__
    eps = noise(case, 2)
    for wrong in (eps[0], eps[:, :3], eps[:, :, :2]):
        with pytest.raises(ValueError, match=rf"^{name}: eps has shape .*, expected \(K, 4, 3\); K draws of noise"):
            estimator(case.model, case.x, wrong)
    with pytest.raises(TypeError, match=rf"^{name}: eps is missing"):
        estimator(case.model, case.x, None)
    with pytest.raises(TypeError, match=rf"^{name}: the model must be a VAE"):
        estimator(make_case(kind=Autoencoder).model, case.x, eps)
    eps[1, 2, 1] = np.nan
    with pytest.raises(NonFiniteError, match=rf"^VAE.{name}: eps is nan at \[1, 2, 1\]"):
        estimator(case.model, case.x, eps)


def test_leaving_one_out_needs_another():
    case = make_case()
    with pytest.raises(ValueError, match="^leave_one_out: eps holds 1 draw for each example; .* give two"):
        leave_one_out(case.model, case.x, case.eps[None])
