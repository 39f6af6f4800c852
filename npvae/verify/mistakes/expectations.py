"""The battery's question to gradients that are right on average only: is the average, over all noise, what it should be?

The model is as small as can be, and made of the museum's own layers: x = w z + b + noise, one latent. log w is then quadratic in
eps, and the Gauss-Hermite rule with 3 nodes gives the expectations of the ELBO's estimators without error.
"""

import itertools

import numpy as np

from npvae.beyond import estimators
from npvae.beyond import objectives as losses
from npvae.core.parameters import Layer
from npvae.models import VAE
from npvae.verify.mistakes.cases import waves
from npvae.verify.mistakes.saying import close


class Line(Layer):
    """y = x W + b"""

    parameters = ("W", "b")

    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        """-> y, cache."""
        return x @ self.W + self.b, x

    def backward(self, dy, x, need_dx=True):
        """Fill dW, db; -> dx."""
        self.dW, self.db = x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class UnitNormal(Layer):
    """x ~ N(out, I), without its constant."""

    def n_outputs(self, D):
        """A mean for each."""
        return D

    def nll(self, out, x):
        """1/2 sum_d (x - out)^2"""
        return 0.5 * np.sum((x - out) ** 2, axis=1)

    def nll_and_grad(self, out, x, dnll):
        """The nll, and out - x."""
        return self.nll(out, x), (out - x) * dnll[:, None]


def unbiased():
    """The estimators of one gradient have one expectation, over all of their noise."""
    encoder = Line(np.array([[0.4, 0.1], [-0.3, 0.2]]), np.array([0.3, -0.6]))
    model = VAE(encoder, Line(np.array([[0.8, -0.5]]), np.array([0.1, -0.2])), UnitNormal(), 1)
    x = waves(2, 2)
    elbo = _expectation(estimators.sampled_kl, model, x, K=1, nodes=3)
    for name, K in (("path_derivative", 1), ("score_function", 1), ("leave_one_out", 2)):
        gradient = _expectation(getattr(estimators, name), model, x, K, nodes=3)
        close(f"the expectation of the gradient of {name}, held to that of sampled_kl,", gradient, elbo, rtol=1e-9, atol=1e-12)
    l_2 = _expectation(losses.importance_weighted, model, x, K=2, nodes=10)
    gradient = _expectation(losses.doubly_reparameterized, model, x, K=2, nodes=10)
    what = "the expectation of the gradient of doubly_reparameterized, held to that of importance_weighted,"
    close(what, gradient, l_2, rtol=1e-4, atol=1e-5)


def _expectation(objective, model, x, K, nodes):
    """Of the gradient over eps (K, B, 1), by the Gauss-Hermite rule: all rows share the nodes."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights, total = weights / weights.sum(), 0.0
    for i in itertools.product(range(nodes), repeat=K):
        objective(model, x, np.repeat(points[list(i)], len(x)).reshape(K, len(x), 1))
        total = total + np.prod(weights[list(i)]) * model.params.grad
    return total
