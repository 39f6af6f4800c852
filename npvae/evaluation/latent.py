"""What the latent dimensions are used for: which of them depend on x, and how many nats each one carries."""

import numpy as np

from npvae.core import gaussian
from npvae.core.checks import finite
from npvae.evaluation.arguments import checked_data, checked_labels, posterior


def active_units(vae, x, threshold=0.01, condition=None):
    """Which latents the encoder uses: those whose posterior mean varies over the data.

        active_z  <=>  Var_x( E_q(z|x)[z] ) = Var_x( mu_z(x) ) > 0.01                            Burda et al. (2016)

    x: (B, D), at least two examples; condition: the labels (B,), for a conditional model. Returns bool (Z,).
    Raises TypeError, ValueError and NonFiniteError as `elbo` does, ValueError for a single row or a negative threshold.
    """
    x = checked_data("active_units", vae, x)
    labels = checked_labels("active_units", vae, x, condition)
    if len(x) < 2:
        raise ValueError("active_units: x has 1 row, and a variance over x needs at least 2.")
    if not threshold >= 0:
        raise ValueError(f"active_units: threshold must be at least 0, got {threshold}.")
    mu, _ = posterior(vae, x, labels)
    finite("active_units", "the encoder's outputs leave the range of numbers.", mu=mu)
    return np.var(mu, axis=0) > threshold


def kl_per_dimension(vae, x, condition=None):
    """KL( q(z|x) || N(0, 1) ) of each latent, averaged over x, in nats; its sum is the mean KL of an example.

    x: (B, D); condition: the labels (B,), for a conditional model. Returns (Z,) float64. A latent near 0 is unused: q(z|x) is the
    prior whatever x is.
    Raises TypeError, ValueError and NonFiniteError as `elbo` does.
    """
    x = checked_data("kl_per_dimension", vae, x)
    labels = checked_labels("kl_per_dimension", vae, x, condition)
    with np.errstate(all="ignore"):  # the result is looked at below
        kl = np.mean(gaussian.kl_per_dimension(*posterior(vae, x, labels)), axis=0)  # (Z,)
    finite("kl_per_dimension", "the encoder's outputs leave the range of numbers.", kl=kl)
    return kl
