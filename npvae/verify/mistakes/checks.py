"""The battery: small checks of the whole library, each of which asks one kind of question.

No single one sees all mistakes, least of all the derivative check: it is blind to any wrong loss that is differentiated correctly.
"""

import itertools

import numpy as np

from npvae import evaluation
from npvae.core import gaussian
from npvae.core.layers import ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import Adam
from npvae.verify import check_gradient, check_layer, check_model
from npvae.verify.mistakes import expectations, housekeeping, volume_two
from npvae.verify.mistakes.adam_vectors import (
    SIXTY_DIGITS,
    LiteralAdam,
    check_constant_gradient,
    check_sixty_digits,
    check_whole_chain,
)
from npvae.verify.mistakes.cases import bernoulli_case, gaussian_case, waves
from npvae.verify.mistakes.invariances import (
    check_copied_pixel,
    check_duplicates,
    check_inactive_latent,
    linear_gaussian,
    monte_carlo_elbo,
)
from npvae.verify.mistakes.saying import close, close_in_mean, close_to_mean, demand

# From literal loops over Python numbers; (total, reconstruction, kl) of the two cases, in nats per example.
LOSS_OF_BERNOULLI_CASE = (6.362609512938494, 4.9004478809937115, 0.8600950776145778)
LOSS_OF_GAUSSIAN_CASE = (13.989119078704167, 13.637910847790497, 1.1706941030455658)
KL_AT_TEST_VECTOR = 1.8500712641916997057  # mu = (0.5, -1.25, 0), logvar = (0.25, -2, 1); both with 60 digits
KL_NEAR_PRIOR = 2.50000833335416671e-11  # mu = 0, logvar = 1e-5


def gradient_reports(directions=None):
    """Yield the reports of the gradient check: of two models, of what they leave untouched, and of volume two.

    directions: as in check_model, for the models."""
    yield check_model(*bernoulli_case(), directions=directions)
    yield check_model(*gaussian_case(), directions=directions)
    x, y, lv = waves(2, 2), waves(2, 2, speed=0.7), waves(2, 2, speed=1.7)
    for layer in (Tanh(), ReLU(), Softplus(), Sigmoid()):
        yield check_layer(layer, 2 * x)
    gradient = dict(zip(("x", "mu", "logvar"), gaussian.log_density_backward(x, y, lv, np.ones(2))))
    yield check_gradient(lambda a: np.sum(gaussian.log_density(**a)), {"x": x, "mu": y, "logvar": lv}, gradient)
    yield from volume_two.gradient_reports()


def derivative():
    """The gradients are those of the loss, as coded: complex step along random directions."""
    for report in gradient_reports(directions=8):
        demand(report.ok, str(report).partition("\n\n")[0])  # its sentence and its explanation, without the table
        demand(report.method == "complex", f"{report.subject}: {' '.join(report.notes)}")
    volume_two.slopes()


def values():
    """The loss and its parts are the printed equations: numbers from literal loops, and with 60 digits."""
    for name, case, expected in (
        ("Bernoulli", bernoulli_case(), LOSS_OF_BERNOULLI_CASE),
        ("Gaussian", gaussian_case(), LOSS_OF_GAUSSIAN_CASE),
    ):
        loss, with_gradient = case.model.loss(*case[1:]), case.model.loss_and_grad(*case[1:])
        for part, *numbers, right in zip(("loss", "reconstruction", "KL"), loss, with_gradient, expected):
            close(f"the {part} of the {name} model", numbers[0], right)
            close(f"the {part} that comes with the gradient", numbers[1], right)
        close(f"the ELBO of the {name} model", loss.elbo, -(expected[1] + expected[2]))
    kl = gaussian.kl_divergence(np.array([[0.5, -1.25, 0.0]]), np.array([[0.25, -2.0, 1.0]]))
    close("the KL at mu = (0.5, -1.25, 0), logvar = (0.25, -2, 1)", kl, KL_AT_TEST_VECTOR)
    kl = gaussian.kl_divergence(np.zeros((1, 1)), np.full((1, 1), 1e-5))
    close("the KL at mu = 0, logvar = 1e-5", kl, KL_NEAR_PRIOR, rtol=1e-9)
    volume_two.objectives(*LOSS_OF_BERNOULLI_CASE[1:])


def moments():
    """z has mean mu and variance e^logvar, independent from row to row, also far from 0."""
    mu, logvar = np.tile([0.5, -8.0], (5_000, 1)), np.tile([1.0, -9.0], (5_000, 1))
    eps = bernoulli_case().model.noise(5_000, np.random.default_rng(1))[:, :2]
    z, _ = gaussian.reparameterize(mu, logvar, eps)
    close_in_mean("the mean of z", z, mu[0])
    close_in_mean("the variance of z", (z - mu) ** 2, np.exp(logvar[0]))
    close_in_mean("the covariance of neighbouring rows of z", (z - mu)[1:] * (z - mu)[:-1], 0)


def monte_carlo_kl():
    """The KL is the mean of log q(z) - log p(z) over z ~ q, with densities that know nothing of the formula."""
    mu, logvar = np.array([[0.5, -1.25, 0.0]]), np.array([[0.25, -2.0, 1.0]])
    eps = np.random.default_rng(2).normal(size=(5_000, 3))
    log_q = -0.5 * np.sum(eps**2 + logvar, axis=1)  # both without 3/2 log 2 pi
    log_p = -0.5 * np.sum((mu + np.exp(logvar / 2) * eps) ** 2, axis=1)
    close_to_mean("the KL", gaussian.kl_divergence(mu, logvar), (log_q - log_p)[:, None])


def kl_at_prior():
    """The KL is 0 at the prior and positive everywhere else."""
    grid = np.array(list(itertools.product(np.linspace(-2, 2, 9), np.linspace(-6, 6, 25))))
    kl = gaussian.kl_divergence(grid[:, :1], grid[:, 1:])
    at_prior = np.all(grid == 0, axis=1)
    close("the KL at mu = 0, logvar = 0", kl[at_prior], 0)
    lowest = int(np.argmin(np.where(at_prior, np.inf, kl)))
    where = f"mu = {grid[lowest, 0]:g}, logvar = {grid[lowest, 1]:g}"
    demand(kl[lowest] > 0, f"the KL at {where} is {kl[lowest]:.4g}, should be positive")


def normalization():
    """Each likelihood sums or integrates to 1; its mean and its samples are those of its own density."""
    logits = np.array([[-2.0, 0.3, 1.5]])
    x = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    p = np.exp(-Bernoulli().nll(np.repeat(logits, len(x), axis=0), x))
    close("the sum of the Bernoulli probabilities of all x", p.sum(), 1)
    close("the Bernoulli's mean, held to its own density,", Bernoulli().mean(logits)[0], p @ x)
    samples = Bernoulli().sample(np.repeat(logits, 5_000, axis=0), np.random.default_rng(3))
    close_in_mean("the mean of Bernoulli samples", samples, p @ x)
    x, likelihood = np.linspace(-20, 20, 4001)[:, None], Gaussian(0.7)
    p = np.exp(-likelihood.nll(np.full_like(x, 1.3), x)) * 0.01
    close("the integral of the Gaussian density", p.sum(), 1)
    close("the Gaussian's mean, held to its own density,", likelihood.mean(np.array([[1.3]]))[0], p @ x)
    samples = likelihood.sample(np.full((5_000, 1), 1.3), np.random.default_rng(3))
    close_in_mean("the variance of Gaussian samples", (samples - 1.3) ** 2, p @ (x - 1.3) ** 2)
    volume_two.normalization()


def duplicates():
    """Twice the same batch: the same loss and gradient."""
    check_duplicates(bernoulli_case())


def inactive_latent():
    """One more latent that says nothing: the same loss and gradient."""
    check_inactive_latent(bernoulli_case())


def copied_pixel():
    """Each pixel adds its own term."""
    check_copied_pixel(gaussian_case())


def bound():
    """The ELBO of a model with the exact posterior is log p(x). Of a conditional one it is log p(x|c)."""
    rng = np.random.default_rng(4)
    model, x, log_p = linear_gaussian(rng)
    elbo, error = monte_carlo_elbo(model, x, rng, groups=10, size=200)
    for j in np.flatnonzero(~(np.abs(elbo - log_p) < 6 * error)):
        raise AssertionError(f"ELBO {elbo[j]:.4g}; with the exact posterior it must equal log p(x) = {log_p[j]:.4g}")
    volume_two.bound(rng)


def ordering():
    """What evaluation reports: ELBO = L_1 < L_20 <= log p(x), each with its known value. With the exact posterior all are equal."""
    rng = np.random.default_rng(5)
    model, x, log_p = linear_gaussian(rng)
    close("L_3 with the exact posterior", evaluation.log_likelihood(model, x, rng, samples=3), log_p, rtol=1e-9)
    exact = np.exp(model.encode(x)[1][0])  # the posterior's variances
    model.encoder.layers[0].b += [0.3, 0.3, 0.3, 0.3]  # q shifted, and wider: ELBO = log p(x) - KL( q || posterior )
    elbo = log_p - 0.5 * np.sum(0.3**2 / exact + np.expm1(0.3) - 0.3)
    close_in_mean("the ELBO", evaluation.elbo(model, np.tile(x, (300, 1)), rng, samples=10).reshape(-1, 3), elbo)
    close_in_mean("L_1", evaluation.log_likelihood(model, np.tile(x, (1000, 1)), rng, samples=1).reshape(-1, 3), elbo)
    samples = evaluation.log_likelihood(model, np.tile(x, (100, 1)), rng, samples=20).reshape(-1, 3)
    l20, error = samples.mean(axis=0), samples.std(axis=0) / 10
    for got, low, high, slack in zip(l20, elbo, log_p, 5 * error):
        what = f"L_20 is {got:.4g}, should be well above the ELBO {low:.4g} and at most log p(x) = {high:.4g}"
        demand(low + 0.2 < got < high + slack, what)


def adam():
    """Numbers that only Adam gives, its defaults, its lr left alone, and steps that go on where they were saved."""
    check_constant_gradient(Adam)
    for lr, eps in SIXTY_DIGITS:
        check_sixty_digits(Adam, lr, eps)
    check_whole_chain(Adam, steps=1)
    theta, expected, first, literal = np.zeros(4), np.zeros(4), Adam(), LiteralAdam()
    gradients = np.array([[1e-9, -1e-4, 0.1, 300.0], [3e-9, 2e-4, -0.2, -100.0]])
    first.step(theta, gradients[0])
    close("Adam.lr after a step", first.lr, 1e-3)
    second = Adam()
    second.load_state_dict(first.state_dict())
    second.step(theta, gradients[1])
    for grad in gradients:
        literal.step(expected, grad)
    close("theta after a step, a saved state, and another step", theta, expected)


CHECKS = {
    check.__name__: check
    for check in (
        derivative, expectations.unbiased, values, moments, monte_carlo_kl, kl_at_prior, normalization, duplicates, inactive_latent,
        copied_pixel, bound, ordering, adam, housekeeping.extremes, housekeeping.precision, housekeeping.purity,
        housekeeping.refusals, housekeeping.memory, housekeeping.randomness, housekeeping.epochs, housekeeping.resume,
        volume_two.standardization,
    )
}  # fmt: skip


def asks(name):
    """-> what the check of that name asks: the first sentence of its docstring."""
    return " ".join(CHECKS[name].__doc__.split()).partition(". ")[0].removesuffix(".")


def complaints(names=tuple(CHECKS)):
    """What the checks say against the library as it is now: {name: sentence} of those that fail, by whatever error.

    names: of the checks to ask; all of them, if nothing is said."""
    found = {}
    for name in names:
        try:
            CHECKS[name]()
        except Exception as error:  # a planted mistake may raise anything
            found[name] = " ".join(str(error).split()) or type(error).__name__
    return found
