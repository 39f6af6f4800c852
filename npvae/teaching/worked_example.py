"""The smallest VAE that has everything: 3 pixels, 2 hidden (tanh), 1 latent, 2 hidden (tanh), 3 logits. 27 parameters.

notebooks/02_worked_example computes one training step of it by hand. No two weights of a layer are of the same size and no input
reads the same backwards, so that a transposed matrix, swapped heads or a reversed row cannot give the right numbers by chance.
"""

import numpy as np

from npvae.core.layers import Chain, Dense, Tanh
from npvae.core.likelihoods import Bernoulli
from npvae.models.vae import VAE


def worked_example():
    """-> vae, x (1, 3), eps (1, 1): the model, one black-and-white example and its noise, in float64."""
    encoder = Chain([
        _dense([[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]], [0.1, -0.3]),  # (3, 2)
        Tanh(),
        _dense([[0.7, -0.4], [0.2, 0.5]], [0.1, -0.2]),  # (2, 2)    columns mu, logvar
    ])  # fmt: skip
    decoder = Chain([
        _dense([[0.6, -0.8]], [-0.2, 0.3]),  # (1, 2)
        Tanh(),
        _dense([[0.5, 0.3, -0.2], [-0.4, -0.6, 0.9]], [0.2, -0.3, 0.4]),  # (2, 3)
    ])  # fmt: skip
    return VAE(encoder, decoder, Bernoulli(), latent_dim=1), np.array([[1.0, 1.0, 0.0]]), np.array([[0.5]])


def _dense(W, b):
    """A Dense layer with these weights and biases."""
    return Dense(len(W), len(b), rng=np.random.default_rng(0), init=lambda n_in, n_out, rng: (W, b))
