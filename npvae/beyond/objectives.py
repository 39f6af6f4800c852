"""Losses other than the ELBO's, for fit(objective=...): functions (vae, x, eps) -> Loss that leave the gradient in vae.params.grad.

    fit(vae, data, objective=capacity(beta=100, C=linear_warmup(25.0)), samples=1, ...)

All are made of the same two parts, reconstruction and KL, and report them as they are: Loss.elbo stays the ELBO, whatever is being
minimized. beta-VAE (Higgins et al. 2017) needs nothing from here: it is the loss of every model, reconstruction + beta kl, and
fit(..., beta=4).

eps is (K, B, Z): K draws of z for each example, over which the reconstruction is averaged. x goes through the encoder once.
"""

import math

import numpy as np

from npvae.beyond.draws import arguments, checked, elbo_backward, forward
from npvae.beyond.importance import doubly_reparameterized, importance_weighted
from npvae.core.gaussian import kl_divergence, kl_per_dimension
from npvae.models.base import Loss

__all__ = ["capacity", "doubly_reparameterized", "free_bits", "importance_weighted"]


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
        vae, x, eps = arguments("capacity", vae, x, eps, condition)
        with np.errstate(all="ignore"):  # the result is looked at below
            samples = forward(vae, x, eps)
            kl = kl_divergence(samples.mu, samples.logvar)  # (B,)
            mean_kl = np.mean(kl).item()
            sign = (mean_kl.real > C) - (mean_kl.real < C)  # of KL - C: 1, 0 or -1
            nll = elbo_backward(vae, samples, np.full(len(x), beta * sign / len(x), vae.dtype))  # (K, B)
            reconstruction = np.mean(nll).item()
        loss = Loss(reconstruction + beta * sign * (mean_kl - C), reconstruction, mean_kl)
        return checked("capacity", vae, loss, samples, eps, nll, kl=kl)

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
        vae, x, eps = arguments("free_bits", vae, x, eps, condition)
        with np.errstate(all="ignore"):
            samples = forward(vae, x, eps)
            kl = kl_per_dimension(samples.mu, samples.logvar)  # (B, Z)
            kl_z = np.mean(kl, axis=0)  # (Z,)
            paid = ~(kl_z.real <= nats)  # (Z,)    a NaN is not hidden by the nats
            nll = elbo_backward(vae, samples, np.full(len(x), beta / len(x), vae.dtype), paid)  # (K, B)
            reconstruction, mean_kl = np.mean(nll).item(), np.mean(np.sum(kl, axis=1)).item()
            price = np.sum(np.where(paid, kl_z, nats)).item()
        loss = Loss(reconstruction + beta * price, reconstruction, mean_kl)
        return checked("free_bits", vae, loss, samples, eps, nll, kl=kl)

    return _named(objective, f"free_bits({nats}, beta={beta})")


# --- arguments and names ----------------------------------------------------------------------------------------------------------


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
