"""The battery's questions to what came after the plain VAE: convolution, other likelihoods and objectives, labels, standardization.

checks.py and housekeeping.py ask them together with their own."""

import itertools

import numpy as np

from npvae.beyond import objectives as losses
from npvae.beyond.categorical import Categorical
from npvae.beyond.convolution import Conv2D
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.beyond.pooling import MaxPool2D
from npvae.data.dataset import Dataset
from npvae.models import ConditionalVAE
from npvae.verify import check_layer, check_likelihood
from npvae.verify.mistakes.cases import bernoulli_case, waves
from npvae.verify.mistakes.invariances import dense, linear_gaussian, monte_carlo_elbo
from npvae.verify.mistakes.saying import close, close_in_mean, demand

FREE_BITS_OF_BERNOULLI_CASE = 7.732146243206591  # 0.2 nats free for each latent, beta = 3; from literal loops
IMPORTANCE_OF_BERNOULLI_CASE = (5.238219507269426, 4.62632564792862, 1.0710662476881838)  # -L_3, reconstruction, kl; literal loops
NODES, WEIGHTS = (a / 2 for a in np.polynomial.legendre.leggauss(24))  # of an integral over an interval of length 1
LETTERS = np.array([[1, 0, 0, 0, 1, 0], [1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0]], float)  # "ab", "aa" and "cb"


def gradient_reports():
    """Yield the reports of the gradient check: of a convolution and of letters."""
    layer = Conv2D(1, 2, kernel=(3, 2), stride=(2, 1), padding=1, rng=np.random.default_rng(0))
    yield check_layer(layer, waves(1, 4, 3, 1, speed=1.9), directions=2)
    yield check_likelihood(Categorical(3), 2 * waves(3, 6, speed=0.7), LETTERS, directions=2)


def slopes():
    """Gradients of pixels and of an objective, against a complex step along a direction that is none of the axes."""
    x = 0.5 + 0.5 * waves(3, 3, speed=0.3)
    for likelihood in (DiagonalGaussian(), ContinuousBernoulli()):
        out, along = waves(2, 3, likelihood.n_outputs(3), speed=0.7)
        exact = np.sum(likelihood.nll(2 * out + 1e-20j * along, x).imag) / 1e-20
        what = f"the slope of {type(likelihood).__name__}.nll along a direction"
        close(what, np.sum(likelihood.nll_and_grad(2 * out, x)[1] * along), exact, rtol=1e-9)
    model, x, eps, _ = bernoulli_case()
    twin, along = model.astype(np.complex128), waves(model.params.size, speed=0.7)
    twin.params.theta = model.params.theta + 1e-20j * along
    cases = ("capacity(3, 2)", losses.capacity(3.0, C=2.0), eps[None]), ("importance_weighted", losses.importance_weighted, draws())
    for name, objective, noise in cases:
        objective(model, x, noise)
        exact = objective(twin, x, noise).total.imag / 1e-20
        close(f"the slope of {name} along a direction", model.params.grad @ along, exact, rtol=1e-9)


def objectives(reconstruction, kl):
    """The printed equations of the objectives, on the small Bernoulli model, whose reconstruction and KL are these."""
    for C in (0.5, 2.0):
        total = _total(losses.capacity(3.0, C))
        close(f"the loss of capacity(3, {C:g}), whose KL is {kl:.3g},", total, reconstruction + 3 * abs(kl - C))
    close("the loss of free_bits(0.2, beta=3)", _total(losses.free_bits(0.2, beta=3.0)), FREE_BITS_OF_BERNOULLI_CASE)
    model, x, *_ = bernoulli_case()
    for name in ("importance_weighted", "doubly_reparameterized"):
        loss = getattr(losses, name)(model, x, draws())
        for part, number, right in zip(("-L_3", "the reconstruction", "the KL"), loss, IMPORTANCE_OF_BERNOULLI_CASE):
            close(f"{part} of {name}", number, right)


def draws():
    """Noise of the Bernoulli case, K = 3; the first draw is its own.  (3, 7, 3)."""
    return 1.5 * waves(3, 7, 3, speed=2.2)


def _total(objective):
    model, x, eps, _ = bernoulli_case()
    return objective(model, x, eps[None]).total


def normalization():
    """Each likelihood sums or integrates to 1; its mean and its samples are those of its own density."""
    _density(ContinuousBernoulli(), [[-2.0], [0.5], [6.0]], NODES + 0.5, WEIGHTS)
    _density(DiagonalGaussian(0.5), [[1.3, -0.4]], np.linspace(-20, 20, 4001), 0.01)
    out = np.array([[0.1, -0.2, 0.4, 1.3, -0.7, 0.5]])
    x = np.array([np.append(np.eye(3)[i], np.eye(3)[j]) for i, j in itertools.product(range(3), repeat=2)])
    p = np.exp(-Categorical(3).nll(np.repeat(out, 9, axis=0), x))
    close("the sum of the Categorical's probabilities of all words", p.sum(), 1)
    close("the Categorical's mean, held to its own density,", Categorical(3).mean(out)[0], p @ x)
    samples = Categorical(3).sample(np.repeat(out, 2_000, axis=0), np.random.default_rng(3))
    close_in_mean("the mean of Categorical samples", samples, p @ x)


def _density(likelihood, outs, x, weights):
    """A single pixel: the integral, the mean and the samples, for each of outs."""
    name, x = type(likelihood).__name__, x[:, None]
    for out in np.array(outs)[:, None]:
        p = np.exp(-likelihood.nll(np.repeat(out, len(x), axis=0), x)) * weights
        close(f"the integral of the {name}'s density at {out[0]}", p.sum(), 1)
        close(f"the {name}'s mean at {out[0]}, held to its own density,", likelihood.mean(out)[0], p @ x)
        samples = likelihood.sample(np.repeat(out, 2_000, axis=0), np.random.default_rng(3))
        close_in_mean(f"the mean of {name} samples", samples, p @ x)
        close_in_mean(f"the mean square of {name} samples", samples**2, p @ x**2)


def extremes():
    """At and near the logit 0, far from it, where a variance wants to vanish, and where pixels are equal: no overflow, no NaN, a
    bound, one largest pixel."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        logits, x = np.array([0.0, 1e-9, 1e4, -1e4])[:, None], np.array([0.25, 0.25, 1.0, 0.0])[:, None]
        nll, dout = ContinuousBernoulli().nll_and_grad(logits, x)
        right = [0, 0.25e-9, -np.log(1e4), -np.log(1e4)]
        close("the ContinuousBernoulli nll at the logits 0, 1e-9, 1e4 and -1e4", nll, right, atol=1e-15)
        close("its gradient", dout[:, 0], [0.25, 0.25, -1e-4, 1e-4], rtol=1e-9)
        nll, _ = DiagonalGaussian(0.01).nll_and_grad(np.array([[0.3, -100.0]]), np.array([[0.3]]))
        close("the DiagonalGaussian nll of a pixel met exactly, at s = -100,", nll, np.log(0.01) + 0.5 * np.log(2 * np.pi))
        nll, dout = Categorical(3).nll_and_grad(np.array([[1e4, 0.0, -1e4]]), np.array([[0.0, 0.0, 1.0]]))
        close("the Categorical nll of a letter with logit -1e4 beside one with 1e4", nll, 2e4)
        close("its gradient", dout, [[1, 0, -1]])
    model, x, *_ = bernoulli_case()
    for layer in (model.encoder.layers[-1], model.decoder.layers[-1]):
        layer.W, layer.b = 0 * layer.W, 0 * layer.b
    model.decoder.layers[-1].b -= 2000.0
    losses.importance_weighted(model, x, draws())
    demand(np.isfinite(model.params.grad).all(), "the gradient of importance_weighted, where log w is near -5000, is not finite")
    dx = MaxPool2D(2).backward(np.ones((1, 1, 1, 1)), MaxPool2D(2).forward(np.zeros((1, 2, 2, 1)))[1])
    close("what the gradients of four equal pixels of a window add up to", dx.sum(), 1)


def bound(rng):
    """The ELBO of a conditional model with the exact posterior is log p(x|c): x = W z + b + m_c + noise, a mean for each class."""
    plain, x, log_p = linear_gaussian(rng)
    mean, to_mu = rng.normal(size=(4, x.shape[1])), plain.encoder.layers[0].W
    encoder = dense(np.vstack([to_mu, -mean @ to_mu]), plain.encoder.layers[0].b)  # of x - m_c
    decoder = dense(np.vstack([plain.decoder.layers[0].W, mean]), plain.decoder.layers[0].b)
    model = ConditionalVAE(encoder, decoder, plain.likelihood, plain.latent_dim, n_classes=4)
    c, size = 2, 100
    elbo, error = monte_carlo_elbo(model.given(np.full(size, c)), x[:1] + mean[c], rng, groups=10, size=size)
    what = f"ELBO {elbo[0]:.4g} of a conditional model; with the exact posterior it must equal log p(x|c) = {log_p[0]:.4g}"
    demand(abs(elbo[0] - log_p[0]) < 6 * error[0], what)


def labels(batches, rows, label):
    """Each row of an epoch comes with its own label.  label: (N,)."""
    own = dict(zip(rows[:, 0], label))
    for x, _, given in batches.epoch(1):
        right = [own[first] for first in x[:, 0]]
        demand(given["condition"].tolist() == right, f"the labels of a batch are {given['condition']}, should be {np.array(right)}")


def standardization():
    """Columns are scaled by the mean and standard deviation of the training rows alone, and log p(x) counts the change of scale."""
    rows = 3 + 2 * waves(8, 2, speed=0.9)
    data = Dataset("waves", train=rows[:5], test=rows[5:] + 10).standardized()
    mean, std = rows[:5].mean(axis=0), rows[:5].std(axis=0)
    close("the mean that standardizes", data.standardization.mean, mean)
    close("the standard deviation that standardizes", data.standardization.std, std)
    close("the test rows, standardized", data.test, (rows[5:] + 10 - mean) / std)
    axes = [m + s * np.linspace(-8, 8, 41) for m, s in zip(mean, std)]
    x = np.array(list(itertools.product(*axes)))
    u = data.standardization.apply(x)
    nll = np.sum(0.5 * u**2 + 0.5 * np.log(2 * np.pi), axis=1) + data.standardization.log_volume
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    close("the integral over x of a density of standardized data", np.exp(-nll).sum() * cell, 1)
