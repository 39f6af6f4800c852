"""What a trained model is worth, and what its latents do: bounds of log p(x), exact answers, latents, samples, records.

elbo, log_likelihood, nll, importance_sampling      bounds of log p(x), with their errors
active_units, kl_per_dimension, rate_distortion     what the latents carry
aggregated_posterior                                q(z) against the prior; the mutual information of x and z
two_sample_test, copy_test, nearest_neighbors       samples against held-out data, and against the training data
exact                                               closed forms of the linear VAE, and quadrature for one or two latents
Record, compare                                     a result with its protocol; different protocols do not compare
"""

from npvae.evaluation import exact
from npvae.evaluation.aggregate import aggregated_posterior
from npvae.evaluation.bounds import elbo, importance_sampling, log_likelihood, nll
from npvae.evaluation.latent import active_units, kl_per_dimension, rate_distortion
from npvae.evaluation.protocol import Protocol
from npvae.evaluation.record import ProtocolError, Record, compare
from npvae.evaluation.samples import copy_test, nearest_neighbors, two_sample_test

__all__ = [
    "Protocol",
    "ProtocolError",
    "Record",
    "active_units",
    "aggregated_posterior",
    "compare",
    "copy_test",
    "elbo",
    "exact",
    "importance_sampling",
    "kl_per_dimension",
    "log_likelihood",
    "nearest_neighbors",
    "nll",
    "rate_distortion",
    "two_sample_test",
]
