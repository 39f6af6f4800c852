"""Small conditional models with data, noise, beta and labels, drawn by Hypothesis or made to order."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from model_cases import LIKELIHOODS, SMOOTH
from strategies import seeds, sizes

from npvae import ReLU, Tanh
from npvae.models import ConditionalVAE


class Case(NamedTuple):
    """A conditional model and the arguments of its loss; other ones may be given by name."""

    model: Any
    x: np.ndarray  # (B, D)
    eps: np.ndarray  # (B, Z)
    beta: float
    labels: np.ndarray  # (B,)

    def loss(self, **other):
        case = self._replace(**other)
        return case.model.loss(case.x, case.eps, case.beta, condition=case.labels)

    def gradient(self, **other):
        case = self._replace(**other)
        case.model.loss_and_grad(case.x, case.eps, case.beta, condition=case.labels)
        return case.model.params.grad.copy()


def make_case(
    B=7, D=5, hidden=(6,), Z=3, n_classes=4, likelihood="Bernoulli", activation=Tanh, beta=1.0, seed=0, dtype=np.float64
):  # fmt: skip
    """Every parameter is away from 0, so that no bias hides and mu, logvar, noise and labels all matter."""
    rng = np.random.default_rng(seed)
    options = dict(n_classes=n_classes, rng=rng, dtype=dtype)
    model = ConditionalVAE.dense(D, hidden, Z, LIKELIHOODS[likelihood](), activation, **options)
    model.params.theta += rng.normal(scale=0.3, size=model.params.size).astype(dtype)
    x = (rng.uniform(size=(B, D)) if likelihood == "Bernoulli" else rng.normal(size=(B, D))).astype(dtype)
    return Case(model, x, model.noise(B, rng), beta, rng.integers(0, n_classes, B))


@st.composite
def cases(draw, activations=(*SMOOTH, ReLU)):
    """Unequal sizes, no to two hidden layers, every activation and likelihood, beta from 0 on."""
    B, D, Z, n_classes, H = draw(sizes(5))
    return make_case(
        B, D, draw(st.sampled_from([(), (H,), (H, 4)])), Z, n_classes, draw(st.sampled_from(list(LIKELIHOODS))),
        draw(st.sampled_from(activations)), draw(st.sampled_from([0.0, 0.25, 1.0, 4.0])), draw(seeds),
    )  # fmt: skip
