"""What must not change the loss, and what must change it by exactly so much: the rule "sum over D and Z, mean over B", seen from
outside; inputs left alone; and the bound itself, ELBO <= log p(x), against a model whose log p(x) is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cases import cases, gradient

from npvae.core.gaussian import kl_divergence, kl_per_dimension
from npvae.verify.mistakes.invariances import (
    assert_same,
    check_copied_pixel,
    check_duplicates,
    check_inactive_latent,
    linear_gaussian,
    loss,
    monte_carlo_elbo,
)

# --- the batch: a mean ----------------------------------------------------------------------------------------------------------


@given(cases(), st.integers(2, 4))
def test_duplicating_the_batch_changes_neither_loss_nor_gradient(case, times):
    check_duplicates(case, times)


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_neither_loss_nor_gradient(case, random):
    order = random.sample(range(len(case.x)), len(case.x))
    shuffled = case._replace(x=case.x[order], eps=case.eps[order])
    assert_same(loss(shuffled), loss(case))
    assert_same(gradient(shuffled), gradient(case))


@given(cases(), st.data())
def test_the_batch_may_be_cut_anywhere_if_the_parts_are_weighted_by_their_sizes(case, data):
    """The mean of the means of unequal batches is another number: a training loop must weight them."""
    B = len(case.x)
    cut = data.draw(st.integers(0, B), label="cut")
    parts = [case._replace(x=case.x[rows], eps=case.eps[rows]) for rows in (slice(cut), slice(cut, None))]
    parts = [part for part in parts if len(part.x)]
    assert_same(sum(len(part.x) / B * loss(part) for part in parts), loss(case))
    assert_same(sum(len(part.x) / B * gradient(part) for part in parts), gradient(case))


@given(cases())
def test_an_example_does_not_see_its_batch_mates(case):
    alone = [case.model.encode(row[None])[0][0] for row in case.x]
    assert_same(case.model.encode(case.x)[0], alone)
    assert_same(case.model.reconstruct(case.x), [case.model.reconstruct(row[None])[0] for row in case.x])


# --- latents and pixels: sums ---------------------------------------------------------------------------------------------------


@given(cases())
def test_an_inactive_latent_changes_nothing(case):
    check_inactive_latent(case)


@given(cases())
def test_a_copied_pixel_doubles_its_term(case):
    check_copied_pixel(case)


@given(cases())
def test_beta_weighs_the_kl_and_nothing_else(case):
    (total, reconstruction, kl), (_, reconstruction_0, kl_0) = loss(case), loss(case._replace(beta=0.0))
    assert (reconstruction, kl) == (reconstruction_0, kl_0)
    at_0, at_1 = gradient(case._replace(beta=0.0)), gradient(case._replace(beta=1.0))
    assert_same(gradient(case), at_0 + case.beta * (at_1 - at_0))
    assert_same(total, reconstruction + case.beta * kl)


@given(cases())
def test_the_kl_is_never_negative_and_zero_only_at_the_prior(case):
    assert case.model.loss(*case[1:]).kl > 0
    head = case.model.encoder.layers[-1]
    head.W, head.b = np.zeros_like(head.W), np.zeros_like(head.b)
    assert case.model.loss(*case[1:]).kl == 0


@pytest.mark.parametrize("scale", [10.0**k for k in range(-9, 3)])
def test_kl_terms_are_never_negative_at_any_scale(rng, scale):
    mu, logvar = rng.normal(size=(2, 500, 4)) * scale
    assert np.all(kl_per_dimension(mu, logvar) >= 0) and np.all(kl_divergence(0 * mu, np.minimum(logvar, 700)) >= 0)


# --- nothing is written -----------------------------------------------------------------------------------------------------------


@given(cases())
def test_inputs_and_parameters_are_left_as_they_are(case):
    model = case.model
    before = [array.tobytes() for array in (case.x, case.eps, model.params.theta)]
    for array in (case.x, case.eps):
        array.flags.writeable = False
    loss(case), gradient(case), model.encode(case.x), model.decode(case.eps), model.reconstruct(case.x)
    model.sample(2, np.random.default_rng(0))
    assert [array.tobytes() for array in (case.x, case.eps, model.params.theta)] == before


@given(cases())
def test_other_calls_between_two_steps_are_harmless(case):
    expected = gradient(case)
    other = case._replace(x=case.x[:1], eps=case.eps[:1] + 1)
    loss(other), gradient(other), case.model.reconstruct(other.x)
    np.testing.assert_array_equal(gradient(case), expected)


# --- the bound --------------------------------------------------------------------------------------------------------------------


def test_the_elbo_of_the_exact_posterior_is_log_p_on_average(rng):
    model, x, log_p = linear_gaussian(rng)
    elbo, error = monte_carlo_elbo(model, x, rng)
    assert np.all(np.abs(elbo - log_p) < 4.5 * error)
    # and exactly, without Monte Carlo: E (x - W z - b)^2 is known for a linear decoder
    mu, logvar = model.encode(x)
    W = model.decoder.layers[0].W
    spread = np.sum(W**2, axis=1) @ np.exp(logvar).T / (2 * model.likelihood.sigma**2)
    assert_same(-model.likelihood.nll(model.decode(mu), x) - spread - kl_divergence(mu, logvar), log_p)


@pytest.mark.parametrize(
    "mu_shift, logvar_shift, gap",
    [(0.0, 1.0, "KL of a wider q"), (0.0, -1.0, "KL of a narrower q"), (0.4, 0.0, "KL of a shifted q")],
)
def test_the_elbo_of_any_other_q_stays_below_by_the_kl_to_the_posterior(rng, mu_shift, logvar_shift, gap):
    """log p(x) - ELBO = KL( q || p(z|x) ), the gap of the bound."""
    model, x, log_p = linear_gaussian(rng)
    exact_logvar = model.encode(x)[1]
    model.encoder.layers[0].b += np.repeat([mu_shift, logvar_shift], model.latent_dim)
    elbo, error = monte_carlo_elbo(model, x, rng)
    kl_to_posterior = 0.5 * np.sum(mu_shift**2 / np.exp(exact_logvar) + np.exp(logvar_shift) - 1 - logvar_shift, axis=1)
    assert np.all(elbo < log_p), gap
    assert np.all(np.abs(log_p - elbo - kl_to_posterior) < 4.5 * error), gap
