"""What a trained model is worth, and what its latents do: bounds of log p(x), active units, KL per dimension."""

from npvae.evaluation.bounds import elbo, log_likelihood
from npvae.evaluation.latent import active_units, kl_per_dimension

__all__ = ["active_units", "elbo", "kl_per_dimension", "log_likelihood"]
