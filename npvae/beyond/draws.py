"""K draws of z for each example, there and back: what all objectives of beyond/ are made of.

eps is (K, B, Z). x goes through the encoder once; its K draws go through the decoder as K B rows, all examples, K times.
"""

from typing import Any, NamedTuple

import numpy as np

from npvae.core.checks import has_shape
from npvae.core.gaussian import kl_divergence_backward, reparameterize, reparameterize_backward
from npvae.models.vae import VAE


class Samples(NamedTuple):
    """q(z|x) of a batch and K draws from it, decoded; and what the way back needs."""

    x: np.ndarray  # (B, D)
    mu: np.ndarray  # (B, Z)
    logvar: np.ndarray  # (B, Z)
    z: np.ndarray  # (K, B, Z)
    out: np.ndarray  # (K B, n)
    caches: Any

    def repeated_x(self):
        """x once for each draw: (K B, D)."""
        K, B, _ = self.z.shape
        return np.broadcast_to(self.x, (K, *self.x.shape)).reshape(K * B, -1)


def forward(vae, x, eps):
    """Encode once, draw K times, decode all -> Samples.  x: (B, D); eps: (K, B, Z)."""
    K, B, Z = eps.shape
    code, encoder_cache = vae.encoder.forward(x)  # (B, 2Z)
    mu, logvar = vae._split(code)  # (B, Z), (B, Z)
    z, sample_cache = reparameterize(np.broadcast_to(mu, eps.shape), np.broadcast_to(logvar, eps.shape), eps)  # (K, B, Z)
    out, decoder_cache = vae.decoder.forward(z.reshape(K * B, Z))  # (K B, n)
    return Samples(x, mu, logvar, z, out, (encoder_cache, sample_cache, decoder_cache))


def decoder_backward(vae, samples, dnll):
    """From the weight of each draw's nll back to z; fills the gradients of decoder and likelihood.

    dnll: (K, B).  Returns nll (K, B) and dL/dz (K, B, Z)."""
    K, B, Z = samples.z.shape
    nll, dout = vae.likelihood.nll_and_grad(samples.out, samples.repeated_x(), dnll=dnll.reshape(K * B))  # (K B,), (K B, n)
    dz = vae.decoder.backward(dout, samples.caches[2])  # (K B, Z)
    return nll.reshape(K, B), dz.reshape(K, B, Z)


def encoder_backward(vae, samples, dz, dmu, dlogvar):
    """From the draws, and from what depends on mu and logvar directly, back through the encoder; fills its gradients.

    dz: (K, B, Z), of each draw; dmu, dlogvar: (B, Z), of all else, such as the KL. An example's K draws come from one mu: their
    gradients add up."""
    dmu_k, dlogvar_k = reparameterize_backward(dz, samples.caches[1])  # (K, B, Z), (K, B, Z)
    dcode = np.concatenate([np.sum(dmu_k, axis=0) + dmu, np.sum(dlogvar_k, axis=0) + dlogvar], axis=1)  # (B, 2Z)
    vae.encoder.backward(dcode, samples.caches[0], need_dx=False)


def elbo_backward(vae, samples, dkl, latents=True):
    """All the way back, for the mean reconstruction and KL weights dkl (B,), of the chosen latents (Z,) -> nll (K, B)."""
    K, B, _ = samples.z.shape
    nll, dz = decoder_backward(vae, samples, np.full((K, B), 1 / (K * B), vae.dtype))
    dmu, dlogvar = kl_divergence_backward(samples.mu, samples.logvar, dkl)  # (B, Z), (B, Z)
    encoder_backward(vae, samples, dz, dmu * latents, dlogvar * latents)
    return nll


# --- the doors --------------------------------------------------------------------------------------------------------------------


def arguments(where, vae, x, eps, condition):
    """The model with its labels, if it is conditional; x and eps in its real dtype.  Raises TypeError, ValueError."""
    if not isinstance(vae, VAE):
        raise TypeError(f"{where}: the model must be a VAE, whose encoder gives mu and logvar; got {vae!r:.60}.")
    if vae.n_classes:
        vae = vae.given(condition)
    elif condition is not None:
        raise TypeError(f"{where}: this model is not conditional; leave condition out, or make a ConditionalVAE.")
    x = vae.as_data(where, x)
    if eps is None:
        raise TypeError(f"{where}: eps is missing; draw it once, rng.standard_normal((K, B, Z)), and pass it in.")
    eps = np.asarray(eps)
    if not np.issubdtype(eps.dtype, np.floating):
        raise TypeError(f"{where}: eps must be an array of floats, got {eps.dtype}.")
    hint = "K draws of noise for each example; fit(..., samples=K) makes them."
    has_shape(where, "eps", eps, ("K", len(x), vae.latent_dim), hint)
    if len(eps) == 0:
        raise ValueError(f"{where}: eps holds no draws, K = 0.")
    return vae, x, eps.astype(vae.real_dtype, copy=False)


def checked(where, vae, loss, samples, eps, nll, **terms):
    """-> loss, if it and its parts are finite; else NonFiniteError naming the first stage that is not."""
    x, mu, logvar, z, out, _ = samples
    total = loss if np.isfinite(loss.elbo) else loss._replace(total=loss.elbo)  # one draw's infinity, which has no weight in total
    vae._checked(where, total, x=x, eps=eps, mu=mu, logvar=logvar, z=z, out=out, reconstruction=nll, **terms)
    return loss
