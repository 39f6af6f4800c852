"""Models: the mathematics of core/, wired."""

from npvae.models.autoencoder import Autoencoder
from npvae.models.base import Loss
from npvae.models.conditional import ConditionalVAE
from npvae.models.config import from_config
from npvae.models.vae import VAE

__all__ = ["VAE", "Autoencoder", "ConditionalVAE", "Loss", "from_config"]
