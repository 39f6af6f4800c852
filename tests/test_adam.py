"""Adam: numbers that three well-known wrong Adams do not pass; in place equal to Algorithm 1 as printed; its properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npvae import Adam
from npvae.verify.mistakes.adam_vectors import (
    AFTER,
    SIXTY_DIGITS,
    START_GRADIENT,
    START_LOSS,
    LiteralAdam,
    Network,
    check_constant_gradient,
    check_sixty_digits,
    check_whole_chain,
)


class WrongAdam(LiteralAdam):
    """The averages are right, `direction` is not; its one right form is [ADAM-5]: m / c1 / (sqrt(v / c2) + eps)."""

    def step(self, theta, grad):
        lr, beta1, beta2, eps = self.arguments
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * grad
        self.v = beta2 * self.v + (1 - beta2) * grad**2
        theta -= lr * self.direction(1 - beta1**self.t, 1 - beta2**self.t, eps)


class EpsilonHat(WrongAdam):
    def direction(self, c1, c2, eps):
        return math.sqrt(c2) / c1 * self.m / (np.sqrt(self.v) + eps)


class EpsilonInsideTheRoot(WrongAdam):
    def direction(self, c1, c2, eps):
        return self.m / c1 / np.sqrt(self.v / c2 + eps)


class NoBiasCorrection(WrongAdam):
    def direction(self, c1, c2, eps):
        return self.m / (np.sqrt(self.v) + eps)


right_adams = pytest.mark.parametrize("kind", [Adam, LiteralAdam])
wrong_adams = pytest.mark.parametrize("kind", [EpsilonHat, EpsilonInsideTheRoot, NoBiasCorrection])


@right_adams
def test_adam_with_a_constant_gradient_makes_steps_of_a_closed_form(kind):
    check_constant_gradient(kind)


@right_adams
@pytest.mark.parametrize("lr, eps", SIXTY_DIGITS)
def test_adam_matches_sixty_digit_vectors(kind, lr, eps):
    check_sixty_digits(kind, lr, eps)


def test_backprop_through_the_vector_network_is_exact_before_adam_comes_in():
    net = Network()
    assert net.loss_and_grad() == pytest.approx(START_LOSS, rel=1e-12)
    net.compare(START_GRADIENT, what=1)


@right_adams
@pytest.mark.parametrize("steps", AFTER)
def test_adam_and_backprop_match_the_whole_chain_vector(kind, steps):
    check_whole_chain(kind, steps)


@wrong_adams
def test_a_wrong_adam_fails_every_one_of_these_assertions(kind):
    """An epsilon in another place or a missing bias correction looks like Adam, and trains; only exact numbers tell."""
    checks = [lambda: check_constant_gradient(kind)]
    checks += [lambda lr=lr, eps=eps: check_sixty_digits(kind, lr, eps) for lr, eps in SIXTY_DIGITS]
    checks += [lambda steps=steps: check_whole_chain(kind, steps) for steps in AFTER]
    for check in checks:
        with pytest.raises(AssertionError):
            check()


# --- in place equals literal ----------------------------------------------------------------------------------------------------


def compare_with_literal(gradients, dtype=np.float64, rtol=1e-12, **hyperparameters):
    """Adam and adam_update side by side. theta starts at 0 before each step, so that the step itself is compared, not its digits
    beside a large theta; no step of Adam depends on theta."""
    paths = []
    for optimizer in (Adam(**hyperparameters), LiteralAdam(**hyperparameters)):
        path = np.empty((len(gradients), 3, gradients.shape[1]), dtype)  # theta, m, v after each step
        for now, grad in zip(path, gradients):
            theta = np.zeros(grad.shape, dtype)
            optimizer.step(theta, grad)
            now[:] = theta, optimizer.m, optimizer.v
        assert theta.dtype == dtype and optimizer.m.dtype == dtype and optimizer.v.dtype == dtype
        paths.append(path)
    np.testing.assert_allclose(*paths, rtol=rtol, atol=0)


def gradients_of_all_sizes(rng, steps, dtype=np.float64):
    """From 1e-12 to 1e3 in one array (16,): each entry keeps its size over the steps, as a weight's gradient roughly does."""
    return (rng.uniform(0.2, 1, (steps, 16)) * rng.choice([-1, 1], (steps, 16)) * 10.0 ** np.arange(-12, 4)).astype(dtype)


@given(seeds, st.floats(-12, -2), st.floats(-6, 0), st.sampled_from([0.0, 0.5, 0.9, 0.99]), st.sampled_from([0.0, 0.9, 0.999]))
def test_adam_in_place_equals_algorithm_1(seed, log_eps, log_lr, beta1, beta2):
    gradients = gradients_of_all_sizes(np.random.default_rng(seed), 30)
    compare_with_literal(gradients, lr=10**log_lr, beta1=beta1, beta2=beta2, eps=10**log_eps)


@pytest.mark.parametrize("eps", [1e-12, 1e-8, 1e-2])
def test_adam_in_place_equals_algorithm_1_over_thousands_of_steps(rng, eps):
    compare_with_literal(gradients_of_all_sizes(rng, 3000), eps=eps)


def test_adam_in_place_equals_algorithm_1_in_float32(rng):
    compare_with_literal(gradients_of_all_sizes(rng, 200, np.float32), np.float32, rtol=2e-6)


# --- properties -----------------------------------------------------------------------------------------------------------------


def steps_of_adam(gradients, **hyperparameters):
    """Each step by itself: theta is put back to 0 before it."""
    optimizer, steps = Adam(**hyperparameters), []
    for grad in gradients:
        theta = np.zeros_like(grad)
        optimizer.step(theta, grad)
        steps.append(theta)
    return np.array(steps)


@given(seeds, st.floats(-9, 9))
def test_without_epsilon_the_scale_of_the_gradient_does_not_matter(seed, log_scale):
    gradients = np.random.default_rng(seed).normal(size=(8, 5))
    steps = steps_of_adam(gradients, eps=0)
    np.testing.assert_allclose(steps_of_adam(gradients * 10**log_scale, eps=0), steps, rtol=1e-12, atol=1e-16)


@given(seeds, st.integers(1, 40), st.sampled_from([(0.9, 0.999), (0.9, 0.9), (0.5, 0.6), (0.0, 0.99)]))
def test_steps_are_bounded(seed, last, betas):
    """|step| <= lr max(1, (1 - beta1) / sqrt(1 - beta2)) for one gradient after zeros and for constant ones (Kingma & Ba, 2.1).

    Growing gradients can exceed that; the bound for all is Cauchy-Schwarz on the two sums that make m and v,
    |step| / lr <= (1 - beta1) / c1 sqrt( c2 / (1 - beta2) sum_k (beta1^2 / beta2)^k ),  reached at g_(t-k) = (beta1 / beta2)^k."""
    beta1, beta2 = betas
    arguments = {"lr": 1.0, "beta1": beta1, "beta2": beta2, "eps": 1e-300}
    k = np.arange(last)
    bound = (1 - beta1) / (1 - beta1**last) * np.sqrt((1 - beta2**last) / (1 - beta2) * np.sum((beta1**2 / beta2) ** k))
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(last, 3)) * np.exp(rng.normal(scale=3, size=(last, 3)))
    assert np.all(np.abs(steps_of_adam(gradients, **arguments)[-1]) <= bound * (1 + 1e-12))
    worst = ((beta1 / beta2) ** k)[::-1, None] + np.zeros((1, 1))
    np.testing.assert_allclose(-steps_of_adam(worst, **arguments)[-1], bound, rtol=1e-11)
    paper = max(1, (1 - beta1) / math.sqrt(1 - beta2)) * (1 + 1e-12)
    sparse = Adam(**arguments)
    sparse.load_state_dict({"t": last - 1, "m": np.zeros(1), "v": np.zeros(1)})  # as zero gradients leave it
    theta = np.zeros(1)
    sparse.step(theta, gradients[-1, :1])
    assert np.all(np.abs(theta) <= paper)
    np.testing.assert_allclose(steps_of_adam(np.full((last, 1), 0.3), **arguments), -1, rtol=1e-12)
