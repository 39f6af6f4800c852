"""Checks of a model that need no derivative: what must not change its loss, what must change it by exactly so much, and a model
whose log p(x) is known."""

import numpy as np

from npvae.core.layers import Dense
from npvae.core.likelihoods import Gaussian
from npvae.models import VAE
from npvae.verify.mistakes.cases import gradient
from npvae.verify.mistakes.saying import close


def loss(case):
    """total, reconstruction, kl as an array (3,)."""
    return np.array(case.model.loss(case.x, case.eps, case.beta))


def assert_same(a, b, what="a value that must not change"):
    """Equal to rounding."""
    close(what, a, b, atol=1e-13)


def dense(W, b):
    """A Dense layer that holds W and b."""
    layer = Dense(*W.shape, rng=np.random.default_rng(0))
    layer.W, layer.b = W, b
    return layer


def check_duplicates(case, times=2):
    """The mean over the batch: every example twice changes neither loss nor gradient."""
    twice = case._replace(x=np.tile(case.x, (times, 1)), eps=np.tile(case.eps, (times, 1)))
    assert_same(loss(twice), loss(case), f"the loss with every example {times} times")
    assert_same(gradient(twice), gradient(case), f"the gradient with every example {times} times")


def check_inactive_latent(case):
    """The sum over the latents: one more with mu = 0, logvar = 0, at which the decoder does not look, changes nothing."""
    model, Z = case.model, case.model.latent_dim
    encoder, decoder, likelihood = (part.astype(float) for part in (model.encoder, model.decoder, model.likelihood))
    head, first = encoder.layers[-1], decoder.layers[0]
    columns, idle = [*range(Z), 0, *range(Z, 2 * Z), 0], [Z, 2 * Z + 1]
    W, b = head.W[:, columns], head.b[columns]
    W[:, idle], b[idle] = 0, 0
    encoder.layers[-1] = dense(W, b)
    decoder.layers[0] = dense(np.vstack([first.W, np.zeros(first.n_out)]), first.b)
    noise = np.random.default_rng(1).normal(size=(len(case.x), 1))
    wide = case._replace(model=VAE(encoder, decoder, likelihood, Z + 1), eps=np.hstack([case.eps, noise]))
    assert_same(loss(wide), loss(case), "the loss with a latent that says nothing")
    gradient(wide), gradient(case)
    used = [column for column in range(2 * Z + 2) if column not in idle]
    what = "the gradient with a latent that says nothing"
    assert_same(encoder.layers[-1].dW[:, used], model.encoder.layers[-1].dW, what)
    assert_same(decoder.layers[0].dW[:-1], model.decoder.layers[0].dW, what)


def check_copied_pixel(case):
    """The sum over the pixels: one that comes twice, on both sides, adds its own term; these terms make up the reconstruction."""
    D = case.x.shape[1]
    terms = [loss(with_pixel_twice(case, d)) - loss(case) for d in range(D)]
    _, reconstruction, _ = loss(case)
    assert_same(np.sum(terms, axis=0), [reconstruction, reconstruction, 0], "what the pixels add, all in all")


def with_pixel_twice(case, d):
    """The decoder gives pixel d twice, and the data hold it twice; the encoder does not look at the copy."""
    model, columns = case.model, [*range(case.x.shape[1]), d]
    encoder, decoder, likelihood = (part.astype(float) for part in (model.encoder, model.decoder, model.likelihood))
    first, last = encoder.layers[0], decoder.layers[-1]
    encoder.layers[0] = dense(np.vstack([first.W, np.zeros(first.n_out)]), first.b)
    decoder.layers[-1] = dense(last.W[:, columns], last.b[columns])
    return case._replace(model=VAE(encoder, decoder, likelihood, model.latent_dim), x=case.x[:, columns])


# --- a model whose log p(x) is known ---------------------------------------------------------------------------------------------
# x = W z + b + sigma noise with z ~ N(0, I):  log p(x) = log N(x; b, W W^T + sigma^2 I), and the exact posterior is
# N( M^-1 W^T (x - b) / sigma^2, M^-1 ) with M = I + W^T W / sigma^2. Orthogonal columns of W make M diagonal, so that a VAE with
# one Dense layer on each side can hold that posterior exactly.

SIGMA, D, Z = 0.5, 5, 2


def linear_gaussian(rng):
    """-> a VAE whose q(z|x) is the exact posterior, x (3, D), and log p(x) (3,)."""
    W = np.linalg.qr(rng.normal(size=(D, Z)))[0] * [1.5, 0.6]
    b = rng.normal(size=D)
    variance = 1 / (1 + np.sum(W**2, axis=0) / SIGMA**2)  # (Z,)    of the posterior
    to_mu = W * variance / SIGMA**2  # (D, Z)
    encoder = dense(np.hstack([to_mu, np.zeros((D, Z))]), np.concatenate([-b @ to_mu, np.log(variance)]))
    model = VAE(encoder, dense(W.T, b), Gaussian(SIGMA), Z)
    x = rng.normal(size=(3, Z)) @ W.T + b + SIGMA * rng.normal(size=(3, D))
    covariance = W @ W.T + SIGMA**2 * np.eye(D)
    quadratic = np.sum((x - b) @ np.linalg.inv(covariance) * (x - b), axis=1)
    return model, x, -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + quadratic)


def monte_carlo_elbo(model, x, rng, groups=50, size=500):
    """The ELBO of each row of x, through model.loss, and its standard error: (rows,), (rows,)."""
    means = np.array([[model.loss(np.tile(row, (size, 1)), model.noise(size, rng)).elbo for _ in range(groups)] for row in x])
    return means.mean(axis=1), means.std(axis=1) / np.sqrt(groups)
