"""What the peers have in common: the models, their initial parameters, the batches; so that all compute the same numbers."""

from typing import NamedTuple

import numpy as np

import npvae

N_BATCHES = 8  # batches that a training step goes through in turn


class Shape(NamedTuple):
    """A model of dense layers."""

    data_dim: int
    hidden: tuple[int, ...]
    latent_dim: int
    activation: str


MODELS = {
    "784-400-20": Shape(784, (400,), 20, "ReLU"),
    "784-200-200-50": Shape(784, (200, 200), 50, "Tanh"),
    "64-128-2": Shape(64, (128,), 2, "Tanh"),
}


def vae(name):
    """The model of that name with its initial parameters, float32."""
    shape = MODELS[name]
    activation = getattr(npvae, shape.activation)
    rng = np.random.default_rng(0)
    return npvae.VAE.dense(shape.data_dim, shape.hidden, shape.latent_dim, activation=activation, init="uniform", rng=rng)


def images(name, n):
    """n images for that model, (n, D) float32 in [0, 1]: digits, or MNIST; repeated if there are not so many."""
    D = MODELS[name].data_dim
    rows = npvae.data.load_digits().floats("train") if D == 64 else mnist(n) / np.float32(255)
    return np.resize(rows, (n, D))


def mnist(n):
    """The first n training images of MNIST, 8-bit (n, 784); without the files, random ones that are as dark."""
    try:
        return npvae.data.load_mnist().train[:n]
    except FileNotFoundError:
        rng = np.random.default_rng(1)
        return rng.integers(256, size=(n, 784), dtype=np.uint8) * (rng.random((n, 784)) < 0.2)


def batches(name, B):
    """N_BATCHES batches of B images."""
    return images(name, N_BATCHES * B).reshape(N_BATCHES, B, -1)


def noise(name, B):
    """eps (B, Z) for the comparison of the peers' losses and gradients."""
    return np.random.default_rng(2).standard_normal((B, MODELS[name].latent_dim), np.float32)


def gradient(name):
    """Some gradient (P,) for that model, to step along."""
    return np.random.default_rng(4).standard_normal(vae(name).params.size, np.float32)


def parameters(name):
    """[(W, b), ...] of the encoder, then of the decoder: (n_in, n_out), (n_out,)."""
    model = vae(name)
    return [[(layer.W.copy(), layer.b.copy()) for layer in chain.layers if isinstance(layer, npvae.Dense)]
            for chain in (model.encoder, model.decoder)]  # fmt: skip


def summary(loss, gradients):
    """What peers compare: the loss, and the gradient's products with 16 random vectors, divided by its norm.

    gradients: arrays in the order of `parameters`. A gradient that is off by a part in 10^4 moves the products by about as much."""
    grad = np.concatenate([np.asarray(g).ravel() for g in gradients])
    norm, rng = float(np.linalg.norm(grad)), np.random.default_rng(3)
    products = [float(rng.standard_normal(grad.size, np.float32) @ grad) / norm for _ in range(16)]  # one at a time: little memory
    return {"loss": float(loss), "norm": norm, "products": products}


def disagreement(a, b):
    """How far two summaries are apart: the largest relative difference of loss, norm and products."""
    products = np.abs(np.subtract(a["products"], b["products"])).max()
    return max(abs(a["loss"] / b["loss"] - 1), abs(a["norm"] / b["norm"] - 1), float(products))
