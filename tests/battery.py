"""A battery of small checks of the whole library, each of which asks one kind of question. test_mutants.py shows which mistakes
each of them sees, and that no single one sees them all: least of all the derivative check, blind to any wrong loss that is
differentiated correctly."""

import itertools
import math

import numpy as np
import pytest
import reference
from adam_vectors import SIXTY_DIGITS, LiteralAdam, check_constant_gradient, check_sixty_digits, check_whole_chain
from invariances import check_copied_pixel, check_duplicates, check_inactive_latent, linear_gaussian, monte_carlo_elbo
from model_cases import check_gradient_by_complex_step, gradient, make_case

from npvae import Adam, Bernoulli, Gaussian, ReLU, Tanh
from npvae.core.gaussian import log_density
from npvae.models import vae  # its kl_divergence and reparameterize, looked up there when they are called


def close(a, b, rtol=1e-12):
    np.testing.assert_allclose(a, b, rtol=rtol)


def close_in_mean(samples, expected):
    """The mean over axis 0 lies within 5 standard errors."""
    error = samples.std(axis=0) / math.sqrt(len(samples)) + 1e-12
    assert np.all(np.abs(samples.mean(axis=0) - expected) < 5 * error), f"{samples.mean(axis=0)} for {expected}"


def case_of_bernoulli(seed=0):
    return make_case(B=6, D=5, hidden=(4, 4), Z=3, beta=4.0, seed=seed)


def case_of_gaussian(seed=0):
    return make_case(B=3, D=2, hidden=(5,), Z=2, likelihood="Gaussian with learned sigma", activation=ReLU, beta=0.25, seed=seed)


# --- the checks -----------------------------------------------------------------------------------------------------------------


def derivative():
    """The gradient is that of the loss, as coded: the complex step."""
    check_gradient_by_complex_step(case_of_bernoulli())
    check_gradient_by_complex_step(case_of_gaussian())


def values():
    """The loss and its parts are the printed equations: literal loops, and numbers computed with 60 digits."""
    for case in (case_of_bernoulli(), case_of_gaussian()):
        loss = case.model.loss(*case[1:])
        close(loss, reference.vae_loss(*case))
        close(loss.elbo, -(loss.reconstruction + loss.kl))
    close(vae.kl_divergence(np.array([[0.5, -1.25, 0.0]]), np.array([[0.25, -2.0, 1.0]])), 1.8500712641916997057)
    close(vae.kl_divergence(np.zeros((1, 1)), np.full((1, 1), 1e-5)), 2.50000833335416671e-11, rtol=1e-9)
    nll, dout = Bernoulli().nll_and_grad(np.array([[-30.0], [40.0]]), np.ones((2, 1)))
    close(nll, [30.000000000000093576, 4.2483542552915889863e-18])
    close(dout[:, 0], [-0.99999999999990642377, -4.2483542552915889773e-18])


def moments():
    """z has mean mu and variance e^logvar, independent from row to row, also far from 0."""
    mu, logvar = np.tile([0.5, -8.0], (20_000, 1)), np.tile([1.0, -1.0], (20_000, 1))
    eps = make_case(Z=2).model.noise(20_000, np.random.default_rng(1))
    z, _ = vae.reparameterize(mu, logvar, eps)
    close_in_mean(z, mu[0])
    close_in_mean((z - mu) ** 2, np.exp(logvar[0]))
    close_in_mean((z - mu)[1:] * (z - mu)[:-1], 0)


def monte_carlo_kl():
    """The KL is the mean of log q(z) - log p(z) over z ~ q, with densities that know nothing of the formula."""
    mu, logvar = np.tile([0.5, -1.25, 0.0], (20_000, 1)), np.tile([0.25, -2.0, 1.0], (20_000, 1))
    z = mu + np.exp(logvar / 2) * np.random.default_rng(2).normal(size=mu.shape)
    close_in_mean(log_density(z, mu, logvar) - log_density(z, 0 * mu, 0 * mu), vae.kl_divergence(mu[:1], logvar[:1]))


def kl_at_prior():
    """The KL is 0 at the prior and positive everywhere else."""
    grid = np.array(list(itertools.product(np.linspace(-2, 2, 9), np.linspace(-6, 6, 25))))
    kl = np.array([vae.kl_divergence(mu.reshape(1, 1), logvar.reshape(1, 1))[0] for mu, logvar in grid])
    at_prior = np.all(grid == 0, axis=1)
    assert kl[at_prior] == 0 and np.all(kl[~at_prior] > 0)


def normalization():
    """Each likelihood sums or integrates to 1; its mean and its samples are those of its own density."""
    logits = np.array([[-2.0, 0.3, 1.5]])
    x = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    p = np.exp(-Bernoulli().nll(np.repeat(logits, len(x), axis=0), x))
    close(p.sum(), 1)
    close(Bernoulli().mean(logits)[0], p @ x)
    close_in_mean(Bernoulli().sample(np.repeat(logits, 20_000, axis=0), np.random.default_rng(3)), p @ x)
    x, gaussian = np.linspace(-20, 20, 4001)[:, None], Gaussian(0.7)
    p = np.exp(-gaussian.nll(np.full_like(x, 1.3), x)) * 0.01
    close(p.sum(), 1)
    close(gaussian.mean(np.array([[1.3]]))[0], p @ x)


def duplicates():
    """Twice the same batch: the same loss and gradient."""
    check_duplicates(case_of_bernoulli())


def inactive_latent():
    """One more latent that says nothing: the same loss and gradient."""
    check_inactive_latent(case_of_bernoulli())


def copied_pixel():
    """Each pixel adds its own term."""
    check_copied_pixel(case_of_bernoulli())
    check_copied_pixel(case_of_gaussian())


def bound():
    """The ELBO of a model with the exact posterior is log p(x)."""
    rng = np.random.default_rng(4)
    model, x, log_p = linear_gaussian(rng)
    elbo, error = monte_carlo_elbo(model, x, rng, groups=20, size=400)
    assert np.all(np.abs(elbo - log_p) < 5 * error)


def purity():
    """The same call gives the same, and no argument and no cache is written."""
    case = case_of_bernoulli()
    given = case.x.copy(), case.eps.copy()
    np.testing.assert_array_equal(gradient(case), gradient(case))
    np.testing.assert_array_equal((case.x, case.eps)[0], given[0])
    for layer in (Tanh(), ReLU()):
        dy, kept = np.array([[1.0, -2.0, 3.0]]), np.array([[1.0, -2.0, 3.0]])
        _, cache = layer.forward(np.array([[0.5, -0.7, 1.0]]))
        np.testing.assert_array_equal(layer.backward(dy, cache), layer.backward(kept.copy(), cache))
        np.testing.assert_array_equal(dy, kept)


def refusals():
    """Data that no Bernoulli gives, and missing noise, are refused."""
    model, x, eps, _ = case_of_bernoulli()
    for bad_x, bad_eps in ((x + 0.5, eps), (x * 255, eps), (x, None), (x, eps[:1])):
        with pytest.raises((TypeError, ValueError)):
            model.loss(bad_x, bad_eps)


def adam():
    """Numbers that only Adam gives, its defaults, and steps that go on where they were saved."""
    check_constant_gradient(Adam)
    for lr, eps in SIXTY_DIGITS:
        check_sixty_digits(Adam, lr, eps)
    check_whole_chain(Adam, steps=1)
    theta, expected, first, literal = np.zeros(4), np.zeros(4), Adam(), LiteralAdam()
    gradients = np.array([[1e-9, -1e-4, 0.1, 300.0], [3e-9, 2e-4, -0.2, -100.0]])
    first.step(theta, gradients[0])
    second = Adam()
    second.load_state_dict(first.state_dict())
    second.step(theta, gradients[1])
    for grad in gradients:
        literal.step(expected, grad)
    close(theta, expected)


CHECKS = {
    check.__name__: check
    for check in (
        derivative, values, moments, monte_carlo_kl, kl_at_prior, normalization, duplicates, inactive_latent, copied_pixel, bound,
        purity, refusals, adam,
    )
}  # fmt: skip


def failing():
    """The names of the checks that the library, as it is now, does not pass: by a false assertion or by any error."""
    names = set()
    for name, check in CHECKS.items():
        try:
            check()
        except Exception:  # a planted mistake may raise anything
            names.add(name)
        except pytest.fail.Exception:  # "did not raise" is no Exception
            names.add(name)
    return names
