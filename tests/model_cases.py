"""Small models with data, noise and beta, drawn by Hypothesis or made to order; and the judge of a whole model's gradient."""

import numpy as np
from derivatives import assert_agree, complex_step
from hypothesis import strategies as st
from strategies import seeds, sizes

from npvae import VAE, Bernoulli, Gaussian, ReLU, Sigmoid, Softplus, Tanh
from npvae.verify.mistakes.cases import Case, gradient

LIKELIHOODS = {
    "Bernoulli": Bernoulli,
    "Gaussian": lambda: Gaussian(0.7),
    "Gaussian with learned sigma": lambda: Gaussian(0.7, learn=True),
}
SMOOTH = (Tanh, Softplus, Sigmoid)


def make_case(kind=VAE, B=4, D=6, hidden=(5,), Z=3, likelihood="Bernoulli", activation=Tanh, beta=1.0, seed=0, dtype=np.float64):
    """A case with every parameter away from 0, so that no bias hides and mu, logvar and the noise all matter."""
    rng = np.random.default_rng(seed)
    model = kind.dense(D, hidden, Z, LIKELIHOODS[likelihood](), activation, rng=rng, dtype=dtype)
    model.params.theta += rng.normal(scale=0.3, size=model.params.size).astype(dtype)
    x = rng.uniform(size=(B, D)).astype(dtype) if likelihood == "Bernoulli" else rng.normal(size=(B, D)).astype(dtype)
    return Case(model, x, model.noise(B, rng), beta)


@st.composite
def cases(draw, kind=VAE, activations=(*SMOOTH, ReLU)):
    """Unequal sizes, no to two hidden layers, every activation and likelihood, beta from 0 on."""
    B, D, Z, *hidden = draw(sizes(5))
    return make_case(
        kind,
        B,
        D,
        tuple(hidden[: draw(st.integers(0, 2))]),
        Z,
        draw(st.sampled_from(list(LIKELIHOODS))),
        draw(st.sampled_from(activations)),
        draw(st.sampled_from([0.0, 0.25, 1.0, 4.0])),
        draw(seeds),
    )


def blocks(model, vector):
    """A vector (P,) cut into the model's parameters, by name."""
    pieces, start = {}, 0
    for name, value, _ in model.params:
        pieces[name] = vector[start : start + value.size].reshape(value.shape)
        start += value.size
    return pieces


def assert_same_config(model, other):
    """Equal descriptions; a learned sigma, which goes through log and exp, to rounding."""
    (config, sigma), (expected, expected_sigma) = ((m.config(), m.config()["likelihood"].get("sigma")) for m in (model, other))
    for description in (config, expected):
        description["likelihood"].pop("sigma", None)
    assert config == expected and (sigma == expected_sigma or abs(sigma - expected_sigma) < 1e-14 * expected_sigma)


def loss_of_theta(case, dtype):
    """theta -> total loss, in a twin of that dtype: the function whose gradient loss_and_grad claims to give."""
    twin = case.model.astype(dtype)

    def f(theta):
        twin.params.theta = theta
        return twin.loss(case.x, case.eps, case.beta).total

    return f


def check_gradient_by_complex_step(case):
    """Every entry to 1e-10 of its block, the whole vector to 1e-13 in norm."""
    analytic = gradient(case)
    numeric = complex_step(loss_of_theta(case, complex), case.model.params.theta.copy())
    assert_agree(blocks(case.model, analytic), blocks(case.model, numeric), rtol=1e-10)
    assert np.linalg.norm(analytic - numeric) <= 1e-13 * np.linalg.norm(numeric)
