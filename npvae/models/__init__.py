"""Models: the mathematics of core/, wired."""

from npvae.models.autoencoder import Autoencoder
from npvae.models.base import Loss
from npvae.models.config import from_config
from npvae.models.vae import VAE

__all__ = ["VAE", "Autoencoder", "Loss", "from_config"]
