"""Capacity and free bits: gradients, literal loops, the cases in which they are the beta-VAE's loss to the last bit, what happens
at their kinks, what must not change them, `fit` with them, and what is told about wrong arguments."""

import math

import conditional_cases
import numpy as np
import pytest
import reference
from draw_cases import check_by_complex_step, noise, outcome_of
from hypothesis import given
from hypothesis import strategies as st
from model_cases import blocks, cases, gradient, make_case
from runs import outcome, run

from npvae import VAE, Adam, Autoencoder, Chain, Dense, Gaussian, ReLU, Tanh, check_gradient
from npvae.beyond import capacity, free_bits
from npvae.beyond.objectives import forward
from npvae.core.checks import NonFiniteError
from npvae.training import CheckpointError
from npvae.training.schedules import constant, linear_warmup

OBJECTIVES = {"capacity": lambda: capacity(2.0, 1.5), "free_bits": lambda: free_bits(0.5, 2.0)}
each_objective = pytest.mark.parametrize("kind", OBJECTIVES)


def kl_per_latent(case):
    """The batch mean of each latent's KL, (Z,), by literal loops."""
    mu, logvar = (a.tolist() for a in case.model.encode(case.x))
    return [
        math.fsum(reference.kl_divergence([m[z]], [v[z]]) for m, v in zip(mu, logvar)) / len(mu)
        for z in range(case.model.latent_dim)
    ]


def on_either_side(draw, case, beta):
    """A capacity below or above the KL; free bits below some latents' KL and above others', or none, or more than any."""
    kl = kl_per_latent(case)
    share = draw(st.sampled_from([0.0, 0.5, 2.0]))
    middle = sum(sorted([0.0, *kl])[-2:]) / 2  # below the largest alone
    nats = draw(st.sampled_from([0.0, middle, 2 * max(kl)]))
    return draw(st.sampled_from([capacity(beta, share * sum(kl)), free_bits(nats, beta)]))


# --- derivatives -----------------------------------------------------------------------------------------------------------------


@given(cases(), st.sampled_from([1, 3]), st.data())
def test_the_gradient_agrees_with_the_complex_step(case, K, data):
    """All activations, all likelihoods, beta 0, 1/4, 1 and 4, both sides of the kinks."""
    objective = on_either_side(data.draw, case, case.beta)
    check_by_complex_step(objective, case.model, case.x, noise(case, K), rtol=1e-13)


@each_objective
def test_the_gradient_of_a_conditional_model_agrees_with_the_complex_step(kind):
    case = conditional_cases.make_case(B=5, D=4, hidden=(3,), Z=2)
    check_by_complex_step(OBJECTIVES[kind](), case.model, case.x, noise(case, 3), rtol=1e-13, condition=case.labels)


@each_objective
@pytest.mark.parametrize("activation", [Tanh, ReLU])
def test_check_gradient_finds_nothing(kind, activation):
    case = make_case(likelihood="Gaussian with learned sigma", activation=activation, seed=2)
    objective, eps = OBJECTIVES[kind](), noise(case, 3)
    _, analytic = outcome_of(objective, case, eps)
    twins = {dtype: case.model.astype(dtype) for dtype in (float, complex)}

    def f(theta):
        twin = twins[complex if np.iscomplexobj(theta) else float]
        twin.params.theta = theta
        return objective(twin, case.x, eps).total

    report = check_gradient(f, case.model.params.theta.copy(), analytic)
    report.assert_ok()
    assert "complex step" in str(report)


# --- literal references ----------------------------------------------------------------------------------------------------------


@given(cases(), st.sampled_from([1, 3]), st.data())
def test_the_loss_agrees_with_literal_loops(case, K, data):
    eps, kl = noise(case, K), kl_per_latent(case)
    C, nats = (data.draw(st.floats(0, 2 * sum(kl)), label=name) for name in ("C", "nats"))
    draws = [reference.vae_loss(case.model, case.x, eps[k], 1.0) for k in range(K)]
    reconstruction = math.fsum(draw[1] for draw in draws) / K
    expected = {
        capacity(case.beta, C): reconstruction + case.beta * abs(sum(kl) - C),
        free_bits(nats, case.beta): reconstruction + case.beta * sum(max(nats, each) for each in kl),
    }
    for objective, total in expected.items():
        loss = objective(case.model, case.x, eps)
        assert loss == pytest.approx((total, reconstruction, sum(kl)), rel=1e-12, abs=1e-12)
        assert loss.elbo == -(loss.reconstruction + loss.kl)


# --- what they become ------------------------------------------------------------------------------------------------------------


@given(cases())
def test_capacity_0_is_the_beta_vae_to_the_last_bit(case):
    loss = case.model.loss_and_grad(case.x, case.eps, case.beta)
    expected = case.model.params.grad.copy()
    assert capacity(case.beta, 0)(case.model, case.x, case.eps[None]) == loss
    assert np.array_equal(case.model.params.grad, expected)


@given(cases())
def test_no_free_bits_is_the_beta_vae_with_the_same_gradient_to_the_last_bit(case):
    loss = case.model.loss_and_grad(case.x, case.eps, case.beta)
    expected = case.model.params.grad.copy()
    total, *rest = free_bits(0, case.beta)(case.model, case.x, case.eps[None])
    assert rest == [loss.reconstruction, loss.kl] and total == pytest.approx(loss.total, rel=1e-14)  # another order of summation
    assert np.array_equal(case.model.params.grad, expected)


@each_objective
@given(case=cases())
def test_k_draws_are_the_mean_of_each_alone(kind, case):
    objective, eps = OBJECTIVES[kind](), noise(case, 3)
    alone = [outcome_of(objective, case, eps[k : k + 1]) for k in range(3)]
    loss, grad = outcome_of(objective, case, eps)
    assert loss == pytest.approx(sum(each for each, _ in alone) / 3, rel=1e-12)
    np.testing.assert_allclose(grad, sum(each for _, each in alone) / 3, rtol=1e-10, atol=1e-12)


def gradients_at_beta_0_and_1(case):
    return gradient(case._replace(beta=0.0)), gradient(case._replace(beta=1.0))


@given(cases())
def test_below_its_capacity_the_kl_is_pushed_up(case):
    at_0, at_1 = gradients_at_beta_0_and_1(case)
    kl = case.model.loss(*case[1:]).kl
    loss, grad = outcome_of(capacity(3.0, 2 * kl), case, case.eps[None])
    np.testing.assert_allclose(grad, at_0 - 3 * (at_1 - at_0), rtol=1e-10, atol=1e-11)
    assert loss[0] == pytest.approx(loss[1] + 3 * kl, rel=1e-12)


@given(cases())
def test_at_the_kinks_the_slope_of_the_kl_is_0(case):
    at_0 = gradient(case._replace(beta=0.0))
    (total, reconstruction, kl), grad = outcome_of(capacity(3.0, case.model.loss(*case[1:]).kl), case, case.eps[None])
    assert total == reconstruction and np.array_equal(grad, at_0)
    if case.model.latent_dim == 1:
        (total, reconstruction, kl), grad = outcome_of(free_bits(kl, 3.0), case, case.eps[None])
        assert total == reconstruction + 3 * kl and np.array_equal(grad, at_0)


@given(cases())
def test_a_latent_below_its_free_nats_feels_the_reconstruction_alone(case):
    at_0, at_1 = gradients_at_beta_0_and_1(case)
    Z, kl = case.model.latent_dim, kl_per_latent(case)
    loss, grad = outcome_of(free_bits(2 * max(kl), 3.0), case, case.eps[None])
    assert np.array_equal(grad, at_0) and loss[0] == pytest.approx(loss[1] + 3 * Z * 2 * max(kl), rel=1e-12)
    nats = sum(sorted([0.0, *kl])[-2:]) / 2
    _, grad = outcome_of(free_bits(nats, 3.0), case, case.eps[None])
    head = [blocks(case.model, g)[f"encoder.{len(case.model.encoder.layers) - 1}.b"] for g in (grad, at_0, at_1)]
    for z in range(Z):
        for column in (z, Z + z):
            paid = 3 * (kl[z] > nats)
            assert head[0][column] == pytest.approx(head[1][column] + paid * (head[2] - head[1])[column], rel=1e-10, abs=1e-12)


def test_the_maximum_is_taken_of_the_batch_mean_and_not_of_each_example():
    """One example with all the KL, one with none: the mean of 2 nats pays 2, where maxima of 1 each would pay 2.5."""
    case = make_case(B=2, Z=1, hidden=())
    head = case.model.encoder.layers[-1]
    head.W, head.b = np.zeros_like(head.W), np.zeros_like(head.b)
    head.W[0, 0] = 1.0
    x = np.zeros_like(case.x)
    x[0, 0] = math.sqrt(8)  # mu = sqrt(8): 1/2 mu^2 = 4 nats
    loss = free_bits(1.0)(make_gaussian(case.model), x, case.eps[None])
    assert loss.kl == pytest.approx(2.0) and loss.total - loss.reconstruction == pytest.approx(2.0)


def make_gaussian(model):
    """The same networks with a likelihood that takes any x."""
    return VAE(model.encoder.astype(float), model.decoder.astype(float), Gaussian(), model.latent_dim)


# --- what must not change them ---------------------------------------------------------------------------------------------------


@each_objective
@given(case=cases(), times=st.integers(2, 3))
def test_duplicating_the_batch_changes_neither_loss_nor_gradient(kind, case, times):
    objective, eps = OBJECTIVES[kind](), noise(case, 2)
    loss, grad = outcome_of(objective, case, eps)
    twice = case._replace(x=np.tile(case.x, (times, 1)))
    again, dagain = outcome_of(objective, twice, np.tile(eps, (1, times, 1)))
    assert again == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(dagain, grad, rtol=1e-10, atol=1e-12)


@each_objective
@given(case=cases(), seed=st.integers(0, 99))
def test_the_order_of_rows_and_draws_changes_neither_loss_nor_gradient(kind, case, seed):
    objective, eps, rng = OBJECTIVES[kind](), noise(case, 3), np.random.default_rng(seed)
    loss, grad = outcome_of(objective, case, eps)
    rows, draws = rng.permutation(len(case.x)), rng.permutation(3)
    again, dagain = outcome_of(objective, case._replace(x=case.x[rows]), eps[draws][:, rows])
    assert again == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(dagain, grad, rtol=1e-10, atol=1e-12)


@each_objective
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dtype_inputs_and_parameters_are_kept(kind, dtype):
    case = make_case(likelihood="Gaussian with learned sigma")
    model, eps = case.model.astype(dtype), noise(case, 3)
    before = [a.tobytes() for a in (case.x, eps, model.params.theta)]
    for a in (case.x, eps):
        a.flags.writeable = False
    model.params.grad = np.full(model.params.size, 7.0)  # assigned, never added to
    loss = OBJECTIVES[kind]()(model, case.x, eps)
    expected, grad = outcome_of(OBJECTIVES[kind](), case, eps)
    assert [a.tobytes() for a in (case.x, eps, model.params.theta)] == before
    assert {type(number) for number in loss} == {complex if dtype == np.complex128 else float}
    assert np.array(loss) == pytest.approx(expected, rel=1e-5 if dtype == np.float32 else 1e-13)
    assert model.params.grad.dtype == dtype
    assert loss == OBJECTIVES[kind]()(model, *(a.astype(model.real_dtype) for a in (case.x, eps)))  # cast at the door
    np.testing.assert_allclose(model.params.grad, grad, rtol=1e-3, atol=1e-5 if dtype == np.float32 else 1e-12)


def test_forward_gives_k_draws_of_the_posterior_decoded():
    case = make_case()
    eps = noise(case, 3)
    samples = forward(case.model, case.x, eps)
    mu, logvar = case.model.encode(case.x)
    assert np.array_equal(samples.mu, mu) and np.array_equal(samples.logvar, logvar)
    for k in range(3):
        z = mu + np.exp(logvar / 2) * eps[k]
        assert samples.z[k] == pytest.approx(z, rel=1e-14)
        assert samples.out.reshape(3, len(mu), -1)[k] == pytest.approx(case.model.decode(z), rel=1e-12)


# --- schedules, names and fit ----------------------------------------------------------------------------------------------------


def test_a_capacity_that_depends_on_the_step_is_that_of_its_step():
    case = make_case()
    objective = capacity(4, linear_warmup(10.0, warmup=1.0))
    for step, C in ((0, 0), (5, 5), (20, 10)):
        then = objective.at(step, 10)
        assert then(case.model, case.x, case.eps[None]) == capacity(4, C)(case.model, case.x, case.eps[None])
    with pytest.raises(TypeError, match=r"^capacity\(beta=4.0, C=linear_warmup.*\): this objective depends on the step; use .at"):
        objective(case.model, case.x, case.eps[None])


def test_an_objective_is_named_by_the_call_that_makes_it():
    assert capacity(4, 25).__qualname__ == capacity(beta=4.0, C=25.0).__qualname__ == "capacity(beta=4.0, C=25.0)"
    assert capacity(4, linear_warmup(25.0)).__qualname__ == "capacity(beta=4.0, C=linear_warmup(25.0))"
    assert free_bits(0.5).__qualname__ == free_bits(nats=0.5, beta=1).__qualname__ == "free_bits(0.5, beta=1.0)"
    assert (capacity(4, 25).__name__, free_bits(1).__name__) == ("capacity", "free_bits")


def test_fit_with_the_elbo_s_objectives_is_fit_without():
    plain = outcome(run(validation="valid"))["theta"]
    assert outcome(run(validation="valid", objective=capacity(1, 0), samples=1))["theta"] == plain
    assert outcome(run(validation="valid", objective=free_bits(0)))["theta"] == plain


def test_fit_asks_a_scheduled_objective_for_each_step():
    plain = outcome(run(objective=capacity(4, 0.5), samples=2, validation="test"))
    scheduled = outcome(run(objective=capacity(4, constant(0.5)), samples=2, validation="test"))
    assert scheduled == plain
    warmed = run(objective=capacity(4, linear_warmup(0.5)), samples=2, validation="test")
    assert outcome(warmed)["theta"] != plain["theta"]


def test_training_reaches_the_capacity_and_stays_there():
    """The grey noise has nothing to tell, so that the KL of the ELBO is near 0; each objective asks for 1.5 nats in its way."""
    options = dict(optimizer=Adam(1e-2), epochs=100, batch_size=23)
    assert run(**options).history["kl"][-1] < 0.2
    assert run(**options, objective=capacity(20, 1.5)).history["kl"][-1] == pytest.approx(1.5, abs=0.15)
    last = run(**options, objective=free_bits(0.75)).history.records[-1]
    assert last["kl"] < 1.6 and last["loss"] - last["reconstruction"] == pytest.approx(1.5, abs=0.05)


def test_a_run_is_not_resumed_with_another_objective(tmp_path):
    file = tmp_path / "run.npz"
    run(objective=capacity(4, 25), epochs=1, checkpoint=file)
    message = r"objective is 'capacity\(beta=4.0, C=25.0\)' in the file, 'capacity\(beta=4.0, C=20.0\)' here"
    with pytest.raises(CheckpointError, match=message):
        run(objective=capacity(4, 20), epochs=2, resume=file)
    assert len(run(objective=capacity(4, 25), epochs=2, resume=file).history) == 2


# --- errors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1, -1e-9, math.inf, math.nan])
def test_a_negative_or_infinite_number_is_refused(value):
    with pytest.raises(ValueError, match=f"^capacity: C must be a finite number of at least 0, got {value!r}"):
        capacity(1, value)
    with pytest.raises(ValueError, match=f"^capacity: beta must be a finite number of at least 0, got {value!r}"):
        capacity(value, 1)
    with pytest.raises(ValueError, match=f"^free_bits: nats must be a finite number of at least 0, got {value!r}"):
        free_bits(value)
    with pytest.raises(ValueError, match=f"^free_bits: beta must be a finite number of at least 0, got {value!r}"):
        free_bits(1, beta=value)
    with pytest.raises(ValueError, match=f"^capacity: C must be a finite number of at least 0, got {value!r}"):
        capacity(1, lambda step, steps: value).at(0, 10)


@pytest.mark.parametrize("value", [None, "1", True, [1.0]])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match="^capacity: C must be a number"):
        capacity(1, value)
    with pytest.raises(TypeError, match="^free_bits: beta must be a number"):
        free_bits(1, value)


@each_objective
def test_the_arguments_of_an_objective_are_looked_at(kind):
    case, objective = make_case(B=4, Z=3), OBJECTIVES[kind]()
    eps = noise(case, 2)
    for wrong in (eps[0], eps[:, :3], eps[:, :, :2], eps.reshape(4, 2, 3)):
        with pytest.raises(ValueError, match=rf"^{kind}: eps has shape .*, expected \(K, 4, 3\); K draws of noise"):
            objective(case.model, case.x, wrong)
    with pytest.raises(ValueError, match=rf"^{kind}: eps holds no draws"):
        objective(case.model, case.x, eps[:0])
    with pytest.raises(TypeError, match=rf"^{kind}: eps is missing; draw it once"):
        objective(case.model, case.x, None)
    with pytest.raises(TypeError, match=rf"^{kind}: eps must be an array of floats, got int"):
        objective(case.model, case.x, np.ones((1, 4, 3), int))
    with pytest.raises(ValueError, match=r"x has shape \(4, 5\), expected \(B, 6\)"):
        objective(case.model, case.x[:, :5], eps)
    auto = make_case(kind=Autoencoder)
    for no_vae in (auto.model, None, type(case.model)):
        with pytest.raises(TypeError, match=rf"^{kind}: the model must be a VAE, whose encoder gives mu and logvar; got "):
            objective(no_vae, case.x, eps)


@each_objective
def test_labels_are_for_conditional_models(kind):
    case, plain = conditional_cases.make_case(), make_case(B=7, D=5)
    with pytest.raises(TypeError, match=rf"^{kind}: this model is not conditional; leave condition out"):
        OBJECTIVES[kind]()(plain.model, plain.x, plain.eps[None], condition=case.labels)
    with pytest.raises(TypeError, match="condition is missing; the model is conditional"):
        OBJECTIVES[kind]()(case.model, case.x, case.eps[None])


@each_objective
@pytest.mark.parametrize(
    "name, likelihood, message",
    [
        ("x", "Gaussian", r"x is nan at \[2, 1\]"),
        ("eps", "Gaussian", r"eps is nan at \[1, 2, 1\]"),
        ("logvar", "Gaussian", r"z is -?inf at \["),
        ("kl", "Bernoulli", "kl is inf"),
    ],
)
def test_the_first_quantity_that_is_not_finite_is_named(kind, name, likelihood, message):
    case = make_case(likelihood=likelihood, hidden=())
    eps, head = noise(case, 2), case.model.encoder.layers[-1]
    if name in ("x", "eps"):
        (case.x if name == "x" else eps[1])[2, 1] = np.nan
    else:
        head.b[case.model.latent_dim + 1] = 1500.0 if name == "logvar" else 800.0
        head.W = np.zeros_like(head.W)
    with pytest.raises(NonFiniteError, match=rf"^VAE.{kind}: {message}"):
        OBJECTIVES[kind]()(case.model, case.x, eps)
    head.W[0, 0] = np.nan
    with pytest.raises(NonFiniteError, match="encoder.0.W is nan .*the parameter itself is broken"):
        OBJECTIVES[kind]()(case.model, case.x, eps)


def test_free_nats_do_not_hide_a_kl_that_is_no_number():
    """logvar = infinity: the KL is infinity - infinity, while a decoder that begins with tanh still gives finite outputs."""
    rng = np.random.default_rng(0)
    vae = VAE(Chain([Dense(3, 2, rng=rng)]), Chain([Tanh(), Dense(1, 3, rng=rng)]), Gaussian(), 1)
    vae.encoder.layers[0].b = np.array([0, np.inf])
    with pytest.raises(NonFiniteError, match="encoder.0.b is inf"):
        free_bits(1.0)(vae, np.zeros((2, 3)), np.ones((1, 2, 1)))
