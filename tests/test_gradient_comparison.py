"""What is known of gradient estimators: those of the ELBO, and those of L_K, have one expectation, by quadrature, and it is the
derivative of the integrated bound; their variances are in the known order; and the comparison accuses no right estimator and sees
every planted bias."""

import itertools
import math

import conditional_cases
import numpy as np
import pytest
from draw_cases import of_encoder, outcome_of
from model_cases import LIKELIHOODS, make_case

from npvae import Autoencoder, ReLU
from npvae.beyond import comparison, doubly_reparameterized, importance_weighted
from npvae.beyond.comparison import ELBO_ESTIMATORS, compare_estimators, expected_gradient, gradient_moments
from npvae.beyond.draws import decoder_backward, elbo_backward, encoder_backward, forward
from npvae.beyond.estimators import _score_backward, analytic_kl, leave_one_out, path_derivative, sampled_kl, score_function
from npvae.beyond.importance import importance_loss, log_weights, normalized, path_backward, total_backward
from npvae.core.checks import NonFiniteError


def small(likelihood="Gaussian with learned sigma", weights=0.5, B=2, Z=1, seed=3, **options):
    """One latent, so that everything can be integrated, and half the weights, so that it is soon done; q is not the posterior."""
    case = make_case(B=B, D=3, hidden=(2,), Z=Z, likelihood=likelihood, seed=seed, **options)
    case.model.params.theta *= weights
    return case


# --- in expectation ---------------------------------------------------------------------------------------------------------------

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(30)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def integrated_slope(objective, case, K, direction):
    """The slope of E_eps[ loss.total ] along a direction of theta: complex step, and the Gauss-Hermite rule, which is not the
    package's."""
    twin, total = case.model.astype(complex), 0.0
    twin.params.theta = case.model.params.theta + 1e-30j * direction
    for i in itertools.product(range(len(NODES)), repeat=K):
        eps = np.broadcast_to(NODES[list(i)].reshape(K, 1, 1), (K, len(case.x), 1))
        total += np.prod(WEIGHTS[list(i)]) * objective(twin, case.x, eps).total.imag / 1e-30
    return total


def assert_same_gradient(got, expected, rtol):
    assert np.linalg.norm(got - expected) <= rtol * np.linalg.norm(expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_all_have_the_same_expectation_the_derivative_of_the_elbo(likelihood):
    case = small(likelihood)
    exact = expected_gradient(analytic_kl, case.model, case.x)
    for direction in np.random.default_rng(0).normal(size=(2, case.model.params.size)):
        assert exact @ direction == pytest.approx(integrated_slope(analytic_kl, case, 1, direction), rel=1e-10)
    for estimator in (sampled_kl, path_derivative, score_function, importance_weighted, doubly_reparameterized):
        assert_same_gradient(expected_gradient(estimator, case.model, case.x), exact, 1e-10)


def test_the_expectation_for_two_draws_is_the_derivative_of_l_2():
    """And the doubly reparameterized gradient has it, too: squared shares and the path alone are the whole of it."""
    case = small(B=1)
    exact = expected_gradient(importance_weighted, case.model, case.x, K=2)
    direction = np.random.default_rng(0).normal(size=case.model.params.size)
    assert exact @ direction == pytest.approx(integrated_slope(importance_weighted, case, 2, direction), rel=1e-9)
    assert_same_gradient(expected_gradient(doubly_reparameterized, case.model, case.x, K=2), exact, 1e-10)
    elbo = expected_gradient(leave_one_out, case.model, case.x, K=2)
    assert_same_gradient(elbo, expected_gradient(analytic_kl, case.model, case.x), 1e-10)
    assert np.linalg.norm(elbo - exact) > 1e-3 * np.linalg.norm(elbo)  # L_2 is another bound


def test_two_latents_are_integrated_as_well():
    case = small("Gaussian", Z=2)
    assert_same_gradient(
        expected_gradient(path_derivative, case.model, case.x), expected_gradient(analytic_kl, case.model, case.x), 1e-10
    )


def test_the_expectation_of_a_conditional_model_is_that_of_its_labels():
    case = conditional_cases.make_case(B=2, D=3, hidden=(2,), Z=1)._replace(labels=np.array([0, 3]))
    exact = expected_gradient(analytic_kl, case.model, case.x, condition=case.labels)
    assert_same_gradient(expected_gradient(path_derivative, case.model, case.x, condition=case.labels), exact, 1e-10)
    each = [expected_gradient(analytic_kl, case.model, case.x[[b]], condition=case.labels[[b]]) for b in range(2)]
    assert_same_gradient(sum(each) / 2, exact, 1e-12)
    moments = gradient_moments(analytic_kl, case.model, case.x, np.random.default_rng(0), draws=4000, condition=case.labels)
    assert np.max(np.abs(moments.mean - exact) / (np.sqrt(moments.variance / moments.draws) + 1e-12)) < 4.5


# --- mean and variance, by drawing -----------------------------------------------------------------------------------------------


def test_few_draws_are_made_one_by_one_and_their_moments_are_the_plain_ones():
    case = small(B=3)
    moments = gradient_moments(score_function, case.model, case.x, np.random.default_rng(7), draws=5, K=2)
    rng = np.random.default_rng(7)
    drawn = np.array([outcome_of(score_function, case, rng.standard_normal((2, 3, 1)))[1] for _ in range(5)])
    assert moments.draws == 5
    np.testing.assert_allclose(moments.mean, drawn.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(moments.variance, drawn.var(axis=0, ddof=1), rtol=1e-10, atol=1e-14)


def test_the_variance_from_calls_of_many_draws_is_that_of_one():
    """Against E g^2 - (E g)^2 by the Gauss-Hermite rule; 200 calls of 40 draws, so to about 10 % each."""
    case = small()
    gradients = np.array([outcome_of(sampled_kl, case._replace(x=case.x[:1]), np.full((1, 1, 1), node))[1] for node in NODES])
    exact = WEIGHTS @ gradients**2 - (WEIGHTS @ gradients) ** 2
    moments = gradient_moments(sampled_kl, case.model, case.x[:1], np.random.default_rng(1), draws=8000)
    assert moments.draws == 8000
    assert np.sum(moments.variance) == pytest.approx(np.sum(exact), rel=0.25)
    assert np.max(np.abs(moments.mean - WEIGHTS @ gradients) / np.sqrt(exact / 8000 + 1e-20)) < 4.5
    two_rows = gradient_moments(sampled_kl, case.model, np.tile(case.x[:1], (2, 1)), np.random.default_rng(2), draws=8000)
    assert np.sum(two_rows.variance) == pytest.approx(np.sum(exact) / 2, rel=0.25)  # the mean of two


def test_draws_are_rounded_up_to_whole_calls_and_the_model_keeps_its_gradient():
    case = small(dtype=np.float32)
    case.model.params.grad = np.full(case.model.params.size, 7.0)
    theta = case.model.params.theta.copy()
    moments = gradient_moments(analytic_kl, case.model, case.x, np.random.default_rng(1), draws=1001)
    assert moments.draws == 1005 and moments.mean.dtype == moments.variance.dtype == np.float64
    exact = expected_gradient(analytic_kl, case.model, case.x)
    assert np.all(case.model.params.grad == 7) and np.array_equal(case.model.params.theta, theta)
    assert_same_gradient(exact, expected_gradient(analytic_kl, case.model.astype(float), case.x), 1e-14)


# --- the comparison ---------------------------------------------------------------------------------------------------------------


def test_a_row_of_the_comparison_is_made_of_the_moments():
    """z is in standard errors of the mean; the likelihood's own sigma is not the encoder's."""
    case = small()
    exact = np.linspace(-1, 1, case.model.params.size)
    moments = gradient_moments(sampled_kl, case.model, case.x, np.random.default_rng(5), draws=400, K=2)
    (row,) = compare_estimators(case.model, case.x, np.random.default_rng(5), 400, 2, [sampled_kl], exact)
    encoder = of_encoder(case.model)
    assert row.encoder_variance == pytest.approx(moments.variance[encoder].sum(), rel=1e-12)
    assert row.decoder_variance == pytest.approx(moments.variance[~encoder].sum(), rel=1e-12)
    noisy = moments.variance > 1e-6
    z = np.abs(moments.mean - exact)[noisy] / np.sqrt(moments.variance[noisy] / moments.draws)
    assert row.z >= z.max() * (1 - 1e-12)
    (alone,) = compare_estimators(
        case.model, case.x, np.random.default_rng(5), 400, 2, [sampled_kl], np.where(noisy, exact, moments.mean)
    )
    assert alone.z == pytest.approx(z.max(), rel=1e-9)


def test_no_right_estimator_is_accused_and_their_noise_has_the_known_order():
    """The order is that of a model which uses its latent; where q is nearly the prior, the score in sampled_kl is the noisiest."""
    case = small(weights=1)
    rows = compare_estimators(case.model, case.x, np.random.default_rng(0), draws=5_000)
    assert [row.name for row in rows] == [each.__name__ for each in ELBO_ESTIMATORS]
    assert max(row.z for row in rows) < 4.5
    noise_of = {row.name: row.encoder_variance for row in rows}
    assert max(noise_of["analytic_kl"], noise_of["sampled_kl"], noise_of["path_derivative"]) < 0.5 * noise_of["leave_one_out"]
    assert noise_of["leave_one_out"] < 0.7 * noise_of["score_function"]
    same = [row.decoder_variance for row in rows]
    assert max(same) < 1.5 * min(same)


def planted(backward):
    """An estimator made of the package's own parts, with another way back: backward(vae, samples, eps, log_w, mean)."""

    def estimator(vae, x, eps):
        samples = forward(vae, x, eps)
        nll, log_w = log_weights(vae, samples, eps)
        backward(vae, samples, eps, log_w, np.full_like(log_w, 1 / log_w.size))
        return importance_loss(nll, log_w)

    return estimator


def score_without_its_minus_one(vae, samples, eps, log_w, mean):
    """dlog q/dlogvar = 1/2 eps^2"""
    decoder_backward(vae, samples, mean)
    signal = (mean * log_w)[:, :, None]
    dmu, dlogvar = -np.sum(signal * eps, axis=0) * np.exp(-samples.logvar / 2), -0.5 * np.sum(signal * eps**2, axis=0)
    encoder_backward(vae, samples, 0 * eps, dmu, dlogvar)


def no_path_through_z(vae, samples, eps, log_w, mean):
    """The sample taken for a constant, and no score in its place."""
    decoder_backward(vae, samples, mean)
    dlogvar = -0.5 * np.sum(mean, axis=0)[:, None] * np.ones_like(samples.mu)
    encoder_backward(vae, samples, 0 * eps, 0 * samples.mu, dlogvar)


def baseline_of_all(vae, samples, eps, log_w, mean):
    """A baseline that the draw itself is part of: (K - 1) / K of the gradient."""
    _score_backward(vae, samples, eps, mean * (log_w - np.mean(log_w, axis=0)), mean)


def one_percent_more(vae, samples, eps, log_w, mean):
    """The analytic gradient times 1.01, which is seen only with enough draws."""
    elbo_backward(vae, samples, np.full(len(samples.x), 1 / len(samples.x)))
    vae.params.grad *= 1.01


def one_entry_wrong(vae, samples, eps, log_w, mean):
    """A single number of the decoder's, 0.2 % too large."""
    elbo_backward(vae, samples, np.full(len(samples.x), 1 / len(samples.x)))
    vae.decoder.layers[-1].db[0] *= 1.002


def shares_not_squared(vae, samples, eps, log_w, mean):
    """The path alone with v, where v^2 belongs (Roeder et al. 2017 for L_K, biased as Tucker et al. 2019 showed)."""
    path_backward(vae, samples, eps, normalized(log_w) / len(samples.x), np.ones_like(log_w))


def shares_of_the_losses(vae, samples, eps, log_w, mean):
    """softmax of -log w: the worst draw counts most."""
    total_backward(vae, samples, normalized(-log_w) / len(samples.x))


ELBO_MISTAKES = {
    "score without its minus one": (score_without_its_minus_one, 10_000),
    "no path through z": (no_path_through_z, 10_000),
    "a baseline of all draws": (baseline_of_all, 40_000),
    "one entry wrong": (one_entry_wrong, 100_000),
    "one percent more": (one_percent_more, 400_000),
}


@pytest.mark.parametrize("name", [*list(ELBO_MISTAKES)[:-1], pytest.param("one percent more", marks=pytest.mark.slow)])
def test_a_planted_bias_is_seen(name):
    backward, draws = ELBO_MISTAKES[name]
    case, rng = small(), np.random.default_rng(0)
    exact = expected_gradient(analytic_kl, case.model, case.x)
    (row,) = compare_estimators(case.model, case.x, rng, draws, estimators=[planted(backward)], exact=exact)
    assert row.z > 20


def test_no_right_estimator_of_l_2_is_accused_and_planted_biases_are_seen():
    case = small(B=1)
    estimators = [importance_weighted, doubly_reparameterized, planted(shares_not_squared), planted(shares_of_the_losses)]
    rows = compare_estimators(case.model, case.x, np.random.default_rng(0), 30_000, estimators=estimators)
    assert max(row.z for row in rows[:2]) < 4.5 and min(row.z for row in rows[2:]) > 20


def test_the_signal_of_many_draws_drowns_unless_it_is_doubly_reparameterized():
    """The encoder's |mean| over its standard deviation falls with K for L_K's own gradient (Rainforth et al. 2018), and rises for
    the other one (Tucker et al. 2019)."""
    case, ratio = small(B=1), {}
    encoder = of_encoder(case.model)
    for objective, K in itertools.product((importance_weighted, doubly_reparameterized), (1, 32)):
        moments = gradient_moments(objective, case.model, case.x, np.random.default_rng(0), draws=2000, K=K)
        ratio[objective, K] = np.linalg.norm(moments.mean[encoder]) / math.sqrt(np.sum(moments.variance[encoder]))
    assert ratio[importance_weighted, 32] < 0.5 * ratio[importance_weighted, 1]
    assert ratio[doubly_reparameterized, 32] > 2 * ratio[doubly_reparameterized, 1]


# --- errors -----------------------------------------------------------------------------------------------------------------------


def test_what_the_rule_cannot_integrate_is_refused(monkeypatch):
    case = make_case(Z=3)
    with pytest.raises(ValueError, match="^expected_gradient: K Z is 1 x 3 = 3, and the rule goes over at most 2"):
        expected_gradient(sampled_kl, case.model, case.x)
    with pytest.raises(ValueError, match="^expected_gradient: K Z is 3 x 1 = 3"):
        expected_gradient(sampled_kl, small().model, small().x, K=3)
    monkeypatch.setitem(comparison.INTERVALS, 1, (32, 64, 128))  # more would not help, and last
    kinked = small(activation=ReLU, seed=1)
    with pytest.raises(ValueError, match="^expected_gradient: with 128 intervals the sum still moves, by .*Tanh or Softplus"):
        expected_gradient(sampled_kl, kinked.model, kinked.x)


def test_the_arguments_of_expectation_and_comparison_are_looked_at(rng):
    (model, x, *_), auto = small(), make_case(kind=Autoencoder)
    for f in (expected_gradient, lambda *parts: gradient_moments(*parts, rng)):
        with pytest.raises(TypeError, match="objective must be a function .*, got 'sampled_kl'"):
            f("sampled_kl", model, x)
        with pytest.raises(TypeError, match="the model must be a VAE"):
            f(sampled_kl, auto.model, auto.x)
        with pytest.raises(ValueError, match=r"x has shape \(2, 2\), expected \(B, 3\)"):
            f(sampled_kl, model, x[:, :2])
        with pytest.raises(NonFiniteError, match=r"x is nan at \[1, 2\]"):
            f(sampled_kl, model, np.where(np.arange(6).reshape(2, 3) == 5, np.nan, x))
    for K in (0, -1, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="^expected_gradient: K must be"):
            expected_gradient(sampled_kl, model, x, K=K)
        with pytest.raises((TypeError, ValueError), match="^gradient_moments: K must be"):
            gradient_moments(sampled_kl, model, x, rng, K=K)
    with pytest.raises(ValueError, match="^gradient_moments: draws must be at least 2"):
        gradient_moments(sampled_kl, model, x, rng, draws=1)
    with pytest.raises(TypeError, match="^gradient_moments: rng must be a numpy.random.Generator"):
        gradient_moments(sampled_kl, model, x, 0)
    with pytest.raises(TypeError, match="^compare_estimators: rng must be a numpy.random.Generator"):
        compare_estimators(model, x, 0)
    with pytest.raises(ValueError, match="^compare_estimators: estimators is empty"):
        compare_estimators(model, x, rng, estimators=[])
    with pytest.raises(ValueError, match=r"^compare_estimators: exact has shape \(3,\), expected"):
        compare_estimators(model, x, rng, exact=np.zeros(3))
