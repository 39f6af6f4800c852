"""Two small models with data, noise and beta, made of sines alone: the same numbers on every machine, and none of them 0."""

from typing import Any, NamedTuple

import numpy as np

from npvae.core.layers import ReLU, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.models import VAE


class Case(NamedTuple):
    """A model and the arguments of its loss."""

    model: Any
    x: np.ndarray  # (B, D)
    eps: np.ndarray | None  # (B, Z)
    beta: float


def waves(*shape, speed=1.0):
    """sin(speed), sin(2 speed), ... in that shape."""
    return np.sin(speed * np.arange(1, 1 + np.prod(shape))).reshape(shape)


def bernoulli_case(dtype=np.float64):
    """B = 7, D = 5, Z = 3, beta = 1.7; Tanh, two hidden layers with a square weight between them."""
    B, D, Z = 7, 5, 3
    model = VAE.dense(D, (2, 2), Z, Bernoulli(), Tanh, rng=np.random.default_rng(0), dtype=dtype)
    model.params.theta = waves(model.params.size).astype(dtype)
    return Case(model, (0.5 + 0.5 * waves(B, D, speed=0.3)).astype(dtype), 1.5 * waves(B, Z, speed=2.2).astype(dtype), 1.7)


def gaussian_case(dtype=np.float64):
    """B = 4, D = 3, Z = 1, beta = 0.3; ReLU, a learned sigma."""
    B, D, Z = 4, 3, 1
    model = VAE.dense(D, (5,), Z, Gaussian(learn=True), ReLU, rng=np.random.default_rng(0), dtype=dtype)
    model.params.theta = waves(model.params.size, speed=1.3).astype(dtype)
    return Case(model, 1.5 * waves(B, D, speed=1.1).astype(dtype), 1.5 * waves(B, Z, speed=2.2).astype(dtype), 0.3)


def gradient(case):
    """A copy of what loss_and_grad leaves in params.grad."""
    case.model.loss_and_grad(case.x, case.eps, case.beta)
    return case.model.params.grad.copy()
