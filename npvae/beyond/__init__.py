"""The book, volume two: convolution, more likelihoods, more objectives, in the style of core/."""

from npvae.beyond.architectures import convolutional
from npvae.beyond.categorical import Categorical
from npvae.beyond.convolution import Conv2D, ConvTranspose2D
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.beyond.objectives import capacity, doubly_reparameterized, free_bits, importance_weighted
from npvae.beyond.pooling import Flatten, MaxPool2D, Reshape
from npvae.models.config import LAYERS

LAYERS.update({kind.__name__: kind for kind in (DiagonalGaussian, ContinuousBernoulli, Categorical)})

LAYERS.update({kind.__name__: kind for kind in (Conv2D, ConvTranspose2D, MaxPool2D, Reshape, Flatten)})

__all__ = [
    "Categorical", "ContinuousBernoulli", "Conv2D", "ConvTranspose2D", "DiagonalGaussian", "Flatten", "MaxPool2D", "Reshape",
    "capacity", "convolutional", "doubly_reparameterized", "free_bits", "importance_weighted",
]  # fmt: skip
