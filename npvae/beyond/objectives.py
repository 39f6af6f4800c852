"""Losses other than the ELBO's, for fit(objective=...): functions (vae, x, eps) -> Loss that leave the gradient in vae.params.grad.

    fit(vae, data, objective=capacity(beta=100, C=linear_warmup(25.0)), samples=1, ...)

All are made of the same two parts, reconstruction and KL, and report them as they are: Loss.elbo stays the ELBO, whatever is being
minimized. beta-VAE (Higgins et al. 2017) needs nothing from here: it is the loss of every model, reconstruction + beta kl, and
fit(..., beta=4).

eps is (K, B, Z): K draws of z for each example, over which the reconstruction is averaged. x goes through the encoder once.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from npvae.core.checks import has_shape
from npvae.core.gaussian import kl_divergence, kl_divergence_backward, kl_per_dimension, reparameterize, reparameterize_backward
from npvae.models.base import Loss
from npvae.models.vae import VAE


def capacity(beta, C):
    """An objective that draws the KL to C nats, from above and from below.

        loss = reconstruction + beta |KL - C|,      KL = 1/B sum_b KL_b          Burgess et al. (2018)            [CAP-1]
        dloss/dKL = beta sign(KL - C),              0 where KL = C                                                 [CAP-2]

    beta: a number of at least 0; C: nats, a number or a schedule (step, steps) -> number, such as linear_warmup(25.0). With C = 0
    it is the beta-VAE. The bars matter: beta max(KL - C, 0) would be a limit, but no target, and beta (KL - C) only the beta-VAE's
    loss less a constant. Raises ValueError or TypeError for a beta or C that is negative or no number.
    """
    beta = _number("capacity", "beta", beta)
    if callable(C):
        return _by_step(lambda step, steps: capacity(beta, C(step, steps)), f"capacity(beta={beta}, C={_name(C)})")
    C = _number("capacity", "C", C)

    def objective(vae, x, eps, condition=None):
        vae, x, eps = _arguments("capacity", vae, x, eps, condition)
        with np.errstate(all="ignore"):  # the result is looked at below
            samples = forward(vae, x, eps)
            kl = kl_divergence(samples.mu, samples.logvar)  # (B,)
            mean_kl = np.mean(kl).item()
            sign = (mean_kl.real > C) - (mean_kl.real < C)  # of KL - C: 1, 0 or -1
            nll = _backward(vae, samples, np.full(len(x), beta * sign / len(x), vae.dtype))  # (K, B)
            reconstruction = np.mean(nll).item()
        loss = Loss(reconstruction + beta * sign * (mean_kl - C), reconstruction, mean_kl)
        return _checked("capacity", vae, loss, samples, eps, nll, kl)

    return _named(objective, f"capacity(beta={beta}, C={C})")


def free_bits(nats, beta=1.0):
    """An objective in which each latent may tell `nats` nats for nothing, so that it is not given up early in training.

        loss = reconstruction + beta sum_z max(nats, KL_z),     KL_z = 1/B sum_b KL_bz                             [FREE-1]
        dloss/dKL_z = beta where KL_z > nats, else 0                    Kingma et al. (2016), eq. 15               [FREE-2]

    A group of their equation is a single latent here. The maximum is taken of the batch mean, as theirs: taken of each example, the
    nats that a plain picture leaves unused would be lost, while under the mean a rare one may use them. Below its free nats a
    latent feels the reconstruction alone, and at KL_z = nats the slope is taken as 0, too. free_bits(0) is the ELBO.
    Raises ValueError or TypeError for nats or a beta that is negative or no number.
    """
    nats, beta = _number("free_bits", "nats", nats), _number("free_bits", "beta", beta)

    def objective(vae, x, eps, condition=None):
        vae, x, eps = _arguments("free_bits", vae, x, eps, condition)
        with np.errstate(all="ignore"):
            samples = forward(vae, x, eps)
            kl = kl_per_dimension(samples.mu, samples.logvar)  # (B, Z)
            kl_z = np.mean(kl, axis=0)  # (Z,)
            paid = ~(kl_z.real <= nats)  # (Z,)    a NaN is not hidden by the nats
            nll = _backward(vae, samples, np.full(len(x), beta / len(x), vae.dtype), paid)  # (K, B)
            reconstruction, mean_kl = np.mean(nll).item(), np.mean(np.sum(kl, axis=1)).item()
            price = np.sum(np.where(paid, kl_z, nats)).item()
        loss = Loss(reconstruction + beta * price, reconstruction, mean_kl)
        return _checked("free_bits", vae, loss, samples, eps, nll, kl)

    return _named(objective, f"free_bits({nats}, beta={beta})")


# --- K samples, there and back ----------------------------------------------------------------------------------------------------


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


def _backward(vae, samples, dkl, latents=True):
    """All the way back, for the mean reconstruction and KL weights dkl (B,), of the chosen latents (Z,) -> nll (K, B)."""
    K, B, _ = samples.z.shape
    nll, dz = decoder_backward(vae, samples, np.full((K, B), 1 / (K * B), vae.dtype))
    dmu, dlogvar = kl_divergence_backward(samples.mu, samples.logvar, dkl)  # (B, Z), (B, Z)
    encoder_backward(vae, samples, dz, dmu * latents, dlogvar * latents)
    return nll


# --- the doors --------------------------------------------------------------------------------------------------------------------


def _arguments(where, vae, x, eps, condition):
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


def _checked(where, vae, loss, samples, eps, nll, kl):
    """-> loss, if it is finite; else NonFiniteError naming the first stage that is not."""
    x, mu, logvar, z, out, _ = samples
    return vae._checked(where, loss, x=x, eps=eps, mu=mu, logvar=logvar, z=z, out=out, reconstruction=nll, kl=kl)


def _number(where, name, value):
    """-> float(value), if it is a finite number of at least 0.  Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}.")
    if not 0 <= value < math.inf:
        raise ValueError(f"{where}: {name} must be a finite number of at least 0, got {value!r}.")
    return float(value)


def _by_step(at, name):
    """An objective that depends on the step: .at(step, steps) is the objective of that step, which `fit` asks for."""

    def objective(vae, x, eps, condition=None):
        raise TypeError(f"{name}: this objective depends on the step; use .at(step, steps)(vae, x, eps).")

    objective.at = at
    return _named(objective, name)


def _named(objective, name):
    """The objective carries the call that makes it as its name, so that a checkpoint can tell two of them apart."""
    objective.__name__ = name.partition("(")[0]
    objective.__qualname__ = name
    return objective


def _name(schedule):
    """A schedule of npvae.training.schedules carries its own call; a function of one's own has its name."""
    return getattr(schedule, "__qualname__", type(schedule).__name__)
