"""npvae: the variational autoencoder, every line of its mathematics written out in NumPy."""

from npvae import core, data, evaluation, models, teaching, training, visual
from npvae.core.layers import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import SGD, Adagrad, Adam, Momentum, RMSProp
from npvae.data import load_digits
from npvae.models import VAE, Autoencoder
from npvae.training import fit

__version__ = "0.1.0"

__all__ = [
    "SGD", "VAE", "Adagrad", "Adam", "Autoencoder", "Bernoulli", "Chain", "Dense", "Gaussian", "Momentum", "RMSProp", "ReLU",
    "Sigmoid", "Softplus", "Tanh", "core", "data", "evaluation", "fit", "load_digits", "models", "teaching", "training", "visual",
]  # fmt: skip
