"""npvae: the variational autoencoder, every line of its mathematics written out in NumPy."""

from npvae import beyond, core, data, evaluation, models, recipes, teaching, training, verify, visual
from npvae.core.layers import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import SGD, Adagrad, Adam, Momentum, RMSProp
from npvae.data import load_digits
from npvae.models import VAE, Autoencoder, ConditionalVAE
from npvae.training import fit
from npvae.verify import check_gradient, check_layer, check_model

__version__ = "0.1.0"

__all__ = [
    "SGD", "VAE", "Adagrad", "Adam", "Autoencoder", "Bernoulli", "Chain", "ConditionalVAE", "Dense", "Gaussian", "Momentum",
    "RMSProp", "ReLU", "Sigmoid", "Softplus", "Tanh", "beyond", "check_gradient", "check_layer", "check_model", "core", "data",
    "evaluation", "fit", "load_digits", "models", "recipes", "teaching", "training", "verify", "visual",
]  # fmt: skip
