"""L_K as an objective and its doubly reparameterized gradient: values and gradients against literal loops and the complex step,
what they are for one draw, for copied draws and with the exact posterior, weights a thousand nats apart, tiny sigmas, `fit`, and
what is told about wrong arguments."""

import math

import conditional_cases
import numpy as np
import pytest
from draw_cases import (
    beyond_case,
    check_by_complex_step,
    encoder_gradient,
    log_weights_by_loops,
    noise,
    of_encoder,
    outcome_of,
    slopes_by_loops,
)
from hypothesis import given
from hypothesis import strategies as st
from model_cases import LIKELIHOODS, cases, make_case
from runs import outcome, run

from npvae import VAE, Adam, Autoencoder, Chain, Gaussian, ReLU, check_gradient
from npvae.beyond import doubly_reparameterized, importance_weighted, objectives
from npvae.beyond.estimators import path_derivative, sampled_kl
from npvae.beyond.importance import normalized
from npvae.core.checks import NonFiniteError
from npvae.training import CheckpointError
from npvae.verify.mistakes.cases import bernoulli_case
from npvae.verify.mistakes.invariances import linear_gaussian
from npvae.verify.mistakes.volume_two import IMPORTANCE_OF_BERNOULLI_CASE, draws

OBJECTIVES = {each.__name__: each for each in (importance_weighted, doubly_reparameterized)}
each_objective = pytest.mark.parametrize("name", OBJECTIVES)


# --- derivatives -----------------------------------------------------------------------------------------------------------------


@given(cases(), st.sampled_from([1, 2, 3]))
def test_the_gradient_agrees_with_the_complex_step(case, K):
    """All activations, networks without and with hidden layers, all likelihoods of the core."""
    check_by_complex_step(importance_weighted, case.model, case.x, noise(case, K))


@pytest.mark.parametrize("kind", ["DiagonalGaussian", "ContinuousBernoulli", "Categorical"])
def test_the_gradient_with_a_likelihood_of_volume_two_agrees_with_the_complex_step(kind):
    case = beyond_case(kind)
    check_by_complex_step(importance_weighted, case.model, case.x, noise(case, 3))


def test_the_gradient_of_a_conditional_model_agrees_with_the_complex_step():
    case = conditional_cases.make_case(B=5, D=4, hidden=(3,), Z=2, likelihood="Gaussian with learned sigma")
    check_by_complex_step(importance_weighted, case.model, case.x, noise(case, 3), condition=case.labels)


def test_check_gradient_finds_nothing_in_the_one_and_refuses_the_other():
    """The doubly reparameterized gradient is right on average over eps alone, and its docstring says so."""
    case = make_case(likelihood="Gaussian with learned sigma", activation=ReLU, seed=2)
    eps = noise(case, 3)
    for objective in OBJECTIVES.values():
        _, analytic = outcome_of(objective, case, eps)
        twins = {dtype: case.model.astype(dtype) for dtype in (float, complex)}

        def f(theta, objective=objective, twins=twins):
            twin = twins[complex if np.iscomplexobj(theta) else float]
            twin.params.theta = theta
            return objective(twin, case.x, eps).total

        report = check_gradient(f, case.model.params.theta.copy(), analytic)
        assert "complex step" in str(report) and report.ok == (objective is importance_weighted)


# --- literal references ----------------------------------------------------------------------------------------------------------


@given(cases(), st.sampled_from([1, 2, 5]))
def test_the_loss_agrees_with_literal_loops(case, K):
    eps = noise(case, K)
    log_w, nll = log_weights_by_loops(case, eps)
    B = len(case.x)
    L_K = [math.log(math.fsum(math.exp(log_w[k][b]) for k in range(K)) / K) for b in range(B)]
    reconstruction = math.fsum(value for row in nll for value in row) / (K * B)
    elbo = math.fsum(value for row in log_w for value in row) / (K * B)
    for objective in OBJECTIVES.values():
        loss = objective(case.model, case.x, eps)
        assert loss == pytest.approx((-math.fsum(L_K) / B, reconstruction, -elbo - reconstruction), rel=1e-11, abs=1e-11)
        assert loss.elbo == pytest.approx(elbo, rel=1e-11) and loss.elbo <= -loss.total + 1e-12 * abs(loss.total)


def test_the_numbers_that_the_museum_holds_are_those_of_literal_loops():
    log_w, nll = (np.array(numbers) for numbers in log_weights_by_loops(bernoulli_case(), draws()))
    L_3 = [math.log(math.fsum(math.exp(each) for each in column) / 3) for column in log_w.T.tolist()]
    expected = -math.fsum(L_3) / 7, np.mean(nll), -np.mean(log_w + nll)
    assert expected == pytest.approx(IMPORTANCE_OF_BERNOULLI_CASE, rel=1e-14)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("K", [1, 4])
def test_the_doubly_reparameterized_gradient_agrees_with_literal_loops(likelihood, K):
    """-1/B sum_b sum_k v_k^2 dlog w/dz dz/dphi, with the slopes by complex steps in which q's mu and sigma are held fixed."""
    case = make_case(B=3, D=4, hidden=(), Z=2, likelihood=likelihood, seed=5)
    case = case._replace(model=case.model.astype(float))
    eps = noise(case, K)
    _, grad = outcome_of(doubly_reparameterized, case, eps)
    log_w, (at_z, _, _) = np.array(log_weights_by_loops(case, eps)[0]), slopes_by_loops(case, eps)
    _, logvar = case.model.encode(case.x)
    dmu, dlogvar = np.zeros((2, 3, 2))
    for k, b, i in np.ndindex(*eps.shape):
        v = math.exp(log_w[k, b]) / math.fsum(math.exp(log_w[j, b]) for j in range(K))
        dmu[b, i] -= v**2 * at_z[k, b, i] / 3
        dlogvar[b, i] -= v**2 * at_z[k, b, i] / 3 * 0.5 * math.exp(logvar[b, i] / 2) * eps[k, b, i]
    encoder = of_encoder(case.model)
    assert grad[encoder] == pytest.approx(encoder_gradient(case, dmu, dlogvar), rel=1e-11, abs=1e-13)
    _, other = outcome_of(importance_weighted, case, eps)
    assert np.array_equal(grad[~encoder], other[~encoder])


# --- one draw, copied draws, the exact posterior ------------------------------------------------------------------------------


@given(cases())
def test_with_one_draw_they_are_estimators_of_the_elbo_to_the_last_bit(case):
    for objective, same in ((importance_weighted, sampled_kl), (doubly_reparameterized, path_derivative)):
        loss, grad = outcome_of(objective, case, case.eps[None])
        again, dagain = outcome_of(same, case, case.eps[None])
        assert np.array_equal(grad, dagain) and loss == pytest.approx(again, rel=1e-13)
        assert loss[0] == pytest.approx(loss[1] + loss[2], rel=1e-12)


@given(cases())
def test_every_draw_twice_is_the_same_bound_with_the_same_gradient(case):
    """The doubly reparameterized one has half the encoder's: each share is halved, and squared. It is right for fresh draws."""
    eps, encoder = noise(case, 3), of_encoder(case.model)
    for objective, factor in ((importance_weighted, 1.0), (doubly_reparameterized, 0.5)):
        loss, grad = outcome_of(objective, case, eps)
        again, dagain = outcome_of(objective, case, np.concatenate([eps, eps]))
        assert again == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(dagain, np.where(encoder, factor, 1.0) * grad, rtol=1e-10, atol=1e-12)


def test_with_the_exact_posterior_every_draw_gives_log_p_and_the_path_nothing():
    """All weights are equal then, whatever eps is; only dlog q at fixed z is left in the encoder's gradient, pure noise."""
    rng = np.random.default_rng(0)
    model, x, log_p = linear_gaussian(rng)
    encoder = of_encoder(model)
    for K in (1, 6):
        eps = rng.normal(size=(K, 3, 2))
        assert importance_weighted(model, x, eps).total == pytest.approx(-np.mean(log_p), rel=1e-12)
        assert np.max(np.abs(model.params.grad[encoder])) > 0.01
        assert doubly_reparameterized(model, x, eps).total == pytest.approx(-np.mean(log_p), rel=1e-12)
        assert np.max(np.abs(model.params.grad[encoder])) < 1e-12
        assert np.max(np.abs(model.params.grad[~encoder])) > 0.01


# --- weights ----------------------------------------------------------------------------------------------------------------------


def test_the_best_draw_has_the_largest_share():
    log_w = np.array([[-1003.0, 2.0], [-1000.0, -5.0], [-1001.0, 2.0]])
    shares = np.exp([[-3.0, 0.0], [0.0, -7.0], [-1.0, 0.0]])
    assert normalized(log_w) == pytest.approx(shares / shares.sum(axis=0), rel=1e-14)
    for spread in (1e3, 1e6):
        assert np.array_equal(normalized(np.array([[-spread], [0.0], [-2 * spread]])), [[0.0], [1.0], [0.0]])


@each_objective
@pytest.mark.parametrize("dtype, far", [(np.float64, 300.0), (np.float32, 300.0), (np.float64, 1e6)])
def test_weights_a_thousand_nats_apart_leave_the_best_draw_alone(name, dtype, far):
    """sigma = 0.02, and draws 2, 6 and `far` sigmas away: log w differs by more than 1e3 nats (1e12 at the last)."""
    case = make_case(likelihood="Gaussian", seed=1, dtype=dtype)
    model = VAE(case.model.encoder.astype(dtype), case.model.decoder.astype(dtype), Gaussian(0.02), 3)
    directions = np.ones_like(case.eps)
    eps = np.stack([6 * directions, 0.01 * directions, far * directions])
    log_w = -np.array([OBJECTIVES[name](model, case.x, eps[k : k + 1]).total for k in range(3)])
    loss = OBJECTIVES[name](model, case.x, eps)
    grad = model.params.grad.copy()
    expected, alone = [], []
    for b in range(len(case.x)):  # the best draw of each row, alone
        totals = [OBJECTIVES[name](model, case.x[b : b + 1], eps[k : k + 1, b : b + 1]).total for k in range(3)]
        best = int(np.argmin(totals))
        assert sorted(totals)[1] - sorted(totals)[0] > 100
        expected.append(OBJECTIVES[name](model, case.x[b : b + 1], eps[best : best + 1, b : b + 1]).total + math.log(3))
        alone.append(model.params.grad.astype(float))
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert max(log_w) - min(log_w) > 1e3
    assert loss.total == pytest.approx(np.mean(expected), rel=tolerance)
    scale = np.max(np.abs(alone))
    np.testing.assert_allclose(grad, np.mean(alone, axis=0), rtol=0, atol=tolerance * scale)


def narrow(model, logvar):
    """A twin with the same mu, and log sigma^2 = logvar at every x."""
    model = model.astype(model.dtype)
    head = model.encoder.layers[-1]
    head.W[:, model.latent_dim :], head.b[model.latent_dim :] = 0, logvar
    return model


@pytest.mark.parametrize("logvar", [-80.0, -600.0])
def test_where_sigma_is_tiny_log_w_keeps_its_digits(logvar):
    """z - mu is 0 in floating point, so that log q(z|x) computed from it would not know eps; K = 1 has a closed form at z = mu."""
    case = make_case(B=2, Z=3)
    model, eps = narrow(case.model, logvar), noise(case._replace(eps=case.eps[:2]), 1)
    mu, _ = model.encode(case.x)
    nll = model.likelihood.nll(model.decode(mu), case.x)
    expected = nll + np.sum(0.5 * mu**2 - 0.5 * logvar - 0.5 * eps[0] ** 2, axis=1)
    assert importance_weighted(model, case.x, eps).total == pytest.approx(np.mean(expected), rel=1e-13)
    doubly_reparameterized(model, case.x, eps)
    assert np.all(np.isfinite(model.params.grad))


# --- what must not change them ---------------------------------------------------------------------------------------------------


@each_objective
@given(case=cases(), times=st.integers(2, 3))
def test_duplicating_the_batch_changes_neither_loss_nor_gradient(name, case, times):
    eps = noise(case, 2)
    loss, grad = outcome_of(OBJECTIVES[name], case, eps)
    again, dagain = outcome_of(OBJECTIVES[name], case._replace(x=np.tile(case.x, (times, 1))), np.tile(eps, (1, times, 1)))
    assert again == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(dagain, grad, rtol=1e-10, atol=1e-12)


@each_objective
@given(case=cases(), seed=st.integers(0, 99))
def test_the_order_of_draws_and_rows_changes_neither_loss_nor_gradient(name, case, seed):
    """The draws of each row may be put in an order of its own: no draw is told from the others, and no row looks at another's."""
    eps, rng = noise(case, 3), np.random.default_rng(seed)
    loss, grad = outcome_of(OBJECTIVES[name], case, eps)
    rows = rng.permutation(len(case.x))
    again, dagain = outcome_of(OBJECTIVES[name], case._replace(x=case.x[rows]), _each_row_in_its_own_order(eps, rng)[:, rows])
    assert again == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(dagain, grad, rtol=1e-10, atol=1e-12)


def _each_row_in_its_own_order(eps, rng):
    return np.stack([eps[rng.permutation(len(eps)), b] for b in range(eps.shape[1])], axis=1)


@each_objective
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dtype_inputs_and_parameters_are_kept(name, dtype):
    case, objective = make_case(likelihood="Gaussian with learned sigma"), OBJECTIVES[name]
    model, eps = case.model.astype(dtype), noise(case, 3)
    before = [a.tobytes() for a in (case.x, eps, model.params.theta)]
    for a in (case.x, eps):
        a.flags.writeable = False
    model.params.grad = np.full(model.params.size, 7.0)  # assigned, never added to
    loss = objective(model, case.x, eps)
    expected, grad = outcome_of(objective, case, eps)
    assert [a.tobytes() for a in (case.x, eps, model.params.theta)] == before
    assert {type(number) for number in loss} == {complex if dtype == np.complex128 else float}
    assert np.array(loss) == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-13)
    assert model.params.grad.dtype == dtype
    assert loss == objective(model, *(a.astype(model.real_dtype) for a in (case.x, eps)))  # cast at the door
    np.testing.assert_allclose(model.params.grad, grad, rtol=1e-3, atol=1e-5 if dtype == np.float32 else 1e-12)


def test_a_float32_model_is_never_computed_in_float64(monkeypatch):
    case = make_case(likelihood="Gaussian with learned sigma", dtype=np.float32)
    backward, seen = Chain.backward, []

    def watched(self, dy, *args, **kwargs):
        seen.append(dy.dtype)
        return backward(self, dy, *args, **kwargs)

    monkeypatch.setattr(Chain, "backward", watched)
    for objective in OBJECTIVES.values():
        objective(case.model, case.x, noise(case, 3))
    assert set(seen) == {np.dtype(np.float32)}


# --- fit --------------------------------------------------------------------------------------------------------------------------


def test_they_are_found_among_the_objectives_and_have_a_name_for_checkpoints():
    for name, objective in OBJECTIVES.items():
        assert getattr(objectives, name) is objective and objective.__qualname__ == name


def test_fit_with_one_draw_is_fit_with_the_sampled_kl():
    for objective, same in ((importance_weighted, sampled_kl), (doubly_reparameterized, path_derivative)):
        theta = [outcome(run(objective=each, samples=1, epochs=2))["theta"] for each in (objective, same)]
        assert theta[0] == theta[1]


@each_objective
def test_fit_raises_the_bound(name):
    """All pixels of a row are black, or all white: 6 log 2 nats for a model that has seen nothing, log 2 are the least."""
    coins = np.repeat(np.arange(40) % 2, 6).reshape(40, 6).astype(float)
    history = run(data=coins, objective=OBJECTIVES[name], samples=5, epochs=40, optimizer=Adam(2e-2)).history
    assert history["loss"][0] > 3 and math.log(2) < history["loss"][-1] < 0.9
    assert all(loss < -elbo for loss, elbo in zip(history["loss"], history["elbo"]))


def test_a_run_is_not_resumed_with_another_objective_or_number_of_draws(tmp_path):
    file = tmp_path / "run.npz"
    run(objective=importance_weighted, samples=2, epochs=1, checkpoint=file)
    with pytest.raises(CheckpointError, match="objective is 'importance_weighted' in the file, 'doubly_reparameterized' here"):
        run(objective=doubly_reparameterized, samples=2, epochs=2, resume=file)
    with pytest.raises(CheckpointError, match="samples is 2 in the file, 3 here"):
        run(objective=importance_weighted, samples=3, epochs=2, resume=file)
    resumed = outcome(run(objective=importance_weighted, samples=2, epochs=2, resume=file))
    assert resumed["theta"] == outcome(run(objective=importance_weighted, samples=2, epochs=2))["theta"]


# --- errors ----------------------------------------------------------------------------------------------------------------------


@each_objective
def test_the_arguments_are_looked_at(name):
    case, objective = make_case(B=4, Z=3), OBJECTIVES[name]
    eps = noise(case, 2)
    for wrong in (eps[0], eps[:, :3], eps[:, :, :2], eps.reshape(4, 2, 3)):
        with pytest.raises(ValueError, match=rf"^{name}: eps has shape .*, expected \(K, 4, 3\); K draws of noise"):
            objective(case.model, case.x, wrong)
    with pytest.raises(ValueError, match=rf"^{name}: eps holds no draws"):
        objective(case.model, case.x, eps[:0])
    with pytest.raises(TypeError, match=rf"^{name}: eps is missing; draw it once"):
        objective(case.model, case.x, None)
    with pytest.raises(TypeError, match=rf"^{name}: the model must be a VAE, whose encoder gives mu and logvar; got "):
        objective(make_case(kind=Autoencoder).model, case.x, eps)
    with pytest.raises(TypeError, match=rf"^{name}: this model is not conditional; leave condition out"):
        objective(case.model, case.x, eps, condition=np.zeros(4, int))
    with pytest.raises(ValueError, match=r"Bernoulli: x has 48 of 48 values outside \[0, 1\]"):
        objective(case.model, case.x + 2, eps)


@each_objective
@pytest.mark.parametrize(
    "quantity, likelihood, message",
    [
        ("x", "Gaussian", r"x is nan at \[2, 1\]"),
        ("eps", "Gaussian", r"eps is nan at \[1, 2, 1\]"),
        ("logvar", "Gaussian", r"z is -?inf at \["),
        ("z", "Bernoulli", r"log_w is -inf at \[0, 0\]"),
    ],
)
def test_the_first_quantity_that_is_not_finite_is_named(name, quantity, likelihood, message):
    case = make_case(likelihood=likelihood, hidden=())
    eps, head = noise(case, 2), case.model.encoder.layers[-1]
    if quantity in ("x", "eps"):
        (case.x if quantity == "x" else eps[1])[2, 1] = np.nan
    else:
        head.b[case.model.latent_dim + 1] = 1500.0 if quantity == "logvar" else 800.0
        head.W = np.zeros_like(head.W)
    with pytest.raises(NonFiniteError, match=rf"^VAE.{name}: {message}"):
        OBJECTIVES[name](case.model, case.x, eps)
    head.W[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="encoder.0.W is nan .*the parameter itself is broken"):
        OBJECTIVES[name](case.model, case.x, eps)


@each_objective
def test_the_infinity_of_a_draw_without_weight_is_told_too(name):
    """Its share is 0 and -L_K finite, but the reconstruction that would be reported is not."""
    case = make_case(likelihood="Gaussian", hidden=())
    case.model.decoder.layers[0].W *= 1e60
    eps = noise(case, 2)
    eps[1, 2] = 1e100  # its squares are numbers still, those of the decoder's outputs are not
    with pytest.raises(NonFiniteError, match=rf"^VAE.{name}: reconstruction is inf at \[1, 2\]"):
        OBJECTIVES[name](case.model, case.x, eps)
