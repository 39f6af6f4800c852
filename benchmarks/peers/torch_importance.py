"""PyTorch's L_K of the same images, one after the other with all of its draws at once."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.peer import Workload
from benchmarks.peers import numpy_importance as ours
from benchmarks.peers.torch_peer import VAE, versions  # importing it sets the number of threads, too
from benchmarks.workloads import MODELS

__all__ = ["WORKLOADS", "versions"]

LATENT_DIM = MODELS[ours.MODEL].latent_dim


def cross_entropy(logits, x):
    """log p(x|z) (K,) as its users write it: binary_cross_entropy_with_logits of every pixel of every draw."""
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(1)


def product(logits, x):
    """log p(x|z) (K,) in the form that npvae uses (Bernoulli.nll_of_draws): x . l - sum softplus(l)."""
    return logits @ x - F.softplus(logits).sum(1)


def importance(as_product=False):
    """A call is one image."""
    vae, x, log_p = VAE(ours.MODEL), torch.tensor(ours.images(ours.IMAGES)), product if as_product else cross_entropy

    def one(x, mu, logvar, eps):
        z = mu + torch.exp(0.5 * logvar) * eps
        log_w = log_p(vae.decoder(z), x) + 0.5 * (eps**2 - z**2 + logvar).sum(1)
        return torch.logsumexp(log_w, 0) - math.log(ours.K)

    @torch.inference_mode()
    def bound(x, noise):
        mu, logvar = vae.encoder(x).chunk(2, dim=1)
        return np.array([float(one(*arguments)) for arguments in zip(x, mu, logvar, noise)])

    def run(n):
        rows = x[torch.arange(n) % len(x)]
        bound(rows, (torch.randn(ours.K, LATENT_DIM) for _ in rows))

    return Workload(run, ours.summary(bound(x[: ours.SAME], torch.tensor(ours.noise(), dtype=torch.float32))))


WORKLOADS = {"importance": importance}
