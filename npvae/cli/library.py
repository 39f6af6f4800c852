"""Every gradient of the library, each with its check: what `npvae gradcheck` goes through."""

from functools import partial

import numpy as np

from npvae.beyond.categorical import Categorical
from npvae.beyond.convolution import Conv2D, ConvTranspose2D
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.beyond.objectives import capacity, free_bits, importance_weighted
from npvae.beyond.pooling import Flatten, MaxPool2D, Reshape
from npvae.core import gaussian
from npvae.core.layers import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.models import VAE, Autoencoder, ConditionalVAE
from npvae.verify import check_gradient, check_layer, check_likelihood, check_model

B = 6  # rows of every check
LARGE = 784, (400,), 20  # D, hidden, Z of the model that random directions certify


def checks_of_the_library(rng):
    """[(name, check), ...] of everything here that has a backward pass, at random points, with unequal sizes."""
    return [*_layers(rng), *_gaussian(rng), *_likelihoods(rng), *_models(rng), *_objectives(rng), _large(rng)]


def _layers(rng):
    """Layers of rows, and layers of images (B, H, W, C), whose strides do not divide their sizes."""
    x, images = rng.normal(size=(B, 5)), rng.normal(size=(2, 5, 6, 3))
    chain = Chain([Dense(5, 4, rng=rng), ReLU(), Dense(4, 3, rng=rng)])
    cases = [(layer, x) for layer in (Dense(5, 3, rng=rng), Tanh(), ReLU(), Softplus(), Sigmoid(), chain)]
    cases += [
        (Conv2D(3, 2, kernel=(3, 2), stride=2, padding=1, rng=rng), images),
        (ConvTranspose2D(3, 2, kernel=(3, 2), stride=2, padding=1, output_padding=1, rng=rng), images),
        (MaxPool2D(2), images),
        (Flatten(), images),
        (Reshape((5, 6, 3)), images.reshape(2, 90)),
    ]
    return [(type(layer).__name__, partial(check_layer, layer, x)) for layer, x in cases]


def _gaussian(rng):
    """KL, sample and log-density of core.gaussian, with their gradients."""
    mu, logvar, eps, dz = (rng.normal(size=(B, 3)) for _ in range(4))
    dkl, theta = rng.normal(size=B), {"mu": mu, "logvar": logvar}

    def kl(t):
        return dkl @ gaussian.kl_divergence(t["mu"], t["logvar"])

    def z(t):
        return np.sum(dz * gaussian.reparameterize(t["mu"], t["logvar"], eps)[0])

    def log_density(t):
        return dkl @ gaussian.log_density(eps, t["mu"], t["logvar"])

    gradients = (
        (kl, gaussian.kl_divergence_backward(mu, logvar, dkl)),
        (z, gaussian.reparameterize_backward(dz, gaussian.reparameterize(mu, logvar, eps)[1])),
        (log_density, gaussian.log_density_backward(eps, mu, logvar, dkl)[1:]),
    )
    names = {kl: "kl_divergence", z: "reparameterize", log_density: "log_density"}
    return [(names[f], partial(check_gradient, f, theta, dict(zip(theta, grad)))) for f, grad in gradients]


def _likelihoods(rng):
    pixels, x = rng.uniform(size=(B, 6)), rng.normal(size=(B, 6))
    letters = np.eye(3)[rng.integers(3, size=(B, 2))].reshape(B, 6)  # two places, three letters
    cases = (
        ("Bernoulli", Bernoulli(), pixels),
        ("Gaussian", Gaussian(0.7), x),
        ("Gaussian, learned sigma", Gaussian(0.7, learn=True), x),
        ("DiagonalGaussian", DiagonalGaussian(), x),
        ("ContinuousBernoulli", ContinuousBernoulli(), pixels),
        ("Categorical", Categorical(3), letters),
    )
    return [(name, partial(check_likelihood, one, rng.normal(size=(B, one.n_outputs(6))), data)) for name, one, data in cases]


def _models(rng):
    """Small models of every kind; the labels of the conditional one are all different."""
    pixels, labels = rng.uniform(size=(B, 5)), {"condition": np.arange(B)}
    cases = (
        ("Autoencoder 5-7-4-3", Autoencoder, {}, {}),
        ("VAE 5-7-4-3", VAE, {}, {"beta": 2.5}),
        ("VAE 5-7-4-3, ReLU, Gaussian", VAE, {"likelihood": Gaussian(0.7, learn=True), "activation": ReLU}, {"beta": 0.5}),
        ("ConditionalVAE 5-7-4-3", ConditionalVAE, {"n_classes": B}, {"beta": 2.5, **labels}),
    )
    checks = []
    for name, kind, parts, options in cases:
        model = kind.dense(5, (7, 4), 3, rng=rng, dtype=np.float64, **parts)
        checks.append((name, partial(check_model, model, pixels, model.noise(B, rng), **options)))
    return checks


def _objectives(rng):
    """The losses of beyond.objectives, over the parameters of a small VAE; two draws an example."""
    vae = VAE.dense(5, (4,), 3, rng=rng, dtype=np.float64)
    x, eps = rng.uniform(size=(B, 5)), rng.normal(size=(2, B, 3))

    def check(objective):
        twins = {dtype: vae.astype(dtype) for dtype in (np.float64, np.complex128)}

        def f(theta):
            twin = twins[np.complex128 if np.iscomplexobj(theta) else np.float64]
            twin.params.theta = theta
            return objective(twin, x, eps).total

        objective(vae, x, eps)
        return check_gradient(f, vae.params.theta.copy(), vae.params.grad.copy())

    cases = {"capacity": capacity(3.0, 0.2), "free_bits": free_bits(0.05, beta=2.0), "importance_weighted": importance_weighted}
    return [(name, partial(check, objective)) for name, objective in cases.items()]


def _large(rng):
    model = VAE.dense(*LARGE, rng=rng, activation=ReLU, dtype=np.float64)
    images = rng.uniform(size=(8, LARGE[0]))
    return f"VAE of {model.params.size:,} parameters", partial(check_model, model, images, model.noise(8, rng))
