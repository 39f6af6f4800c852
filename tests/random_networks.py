"""Random networks, layers and functions with right gradients: what a checker must never accuse.

`draw(rng)` gives one as a Case: a label, and check(method) -> Report. Sizes, scales, activations and likelihoods vary; biases may
be exactly 0 and rows of the input too, so that ReLU units stand at their kink; models may be float32, or trained for a while.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, ReLU, Sigmoid, Softplus, Tanh
from npvae.verify import check_gradient, check_layer, check_likelihood, check_model

ACTIVATIONS = (Tanh, ReLU, Softplus, Sigmoid)


class Case(NamedTuple):
    """exact_only: for the complex step alone. Where a number moves the inputs of many ReLU units that are exactly 0, some of them
    open to either side; the slope with all of them shut, which backward takes, then need not lie between those to the sides."""

    label: str
    check: Callable
    exact_only: bool = False


def draw(rng):
    """A Case of a random kind."""
    return KINDS[rng.integers(len(KINDS))](rng)


def drawn_directions(rng):
    """None, every entry, twice as often as eight random directions."""
    return rng.choice([None, None, 8])


def model(rng):
    """A VAE or an Autoencoder, by check_model."""
    D, Z, *hidden = rng.integers(1, 6, 2 + rng.integers(3))
    kind, activation = rng.choice([VAE, VAE, Autoencoder]), rng.choice(ACTIVATIONS)
    likelihood = (Bernoulli, lambda: Gaussian(10.0 ** rng.uniform(-1, 1)), lambda: Gaussian(0.7, learn=True))[rng.integers(3)]()
    dtype = rng.choice([np.float64, np.float64, np.float32])
    net = kind.dense(int(D), [int(h) for h in hidden], int(Z), likelihood, activation, rng=rng, dtype=dtype)
    B, beta = int(rng.integers(1, 6)), float(rng.choice([0.0, 0.25, 1.0, 4.0]))
    x = rng.uniform(size=(B, D)) if isinstance(likelihood, Bernoulli) else rng.normal(size=(B, D))
    eps, how = net.noise(B, rng), rng.choice(["fresh", "moved", "small", "large", "trained"])
    if how == "trained":
        optimizer = Adam(lr=0.05)
        for _ in range(40):
            net.loss_and_grad(x, eps, beta)
            optimizer.step(net.params.theta, net.params.grad)
    elif how != "fresh":
        net.params.theta += rng.normal(size=net.params.size).astype(dtype) * 0.3
        net.params.theta *= {"moved": 1.0, "small": 10.0 ** rng.uniform(-4, 0), "large": 10.0 ** rng.uniform(0, 0.4)}[how]
    if rng.random() < 0.25:
        x[: 1 + B // 2] = 0
    label = f"{kind.__name__}({D}, {hidden}, {Z}), {activation.__name__}, {likelihood.config()}, {how}, {np.dtype(dtype)}, B={B}"
    several = kind is Autoencoder and activation is ReLU  # a code of exactly 0, from a row of zeros or from units that are shut
    directions = drawn_directions(rng)
    label += f", directions {directions}"
    return Case(label, lambda method: check_model(net, x, eps, beta, method=method, directions=directions), exact_only=several)


def layer(rng):
    """A layer or a Chain, by check_layer."""
    n, m, k = rng.integers(1, 6, 3)
    activation = rng.choice(ACTIVATIONS)
    init = rng.choice(["glorot", "he", "uniform"])
    made = (
        lambda: Dense(n, m, rng=rng, init=init),
        lambda: activation(),
        lambda: Chain([Dense(n, m, rng=rng, init=init), activation(), Dense(m, k, rng=rng, dtype=np.float32)]),
        lambda: Chain([Dense(n, m, rng=rng), Chain([activation(), Dense(m, k, rng=rng)]), rng.choice(ACTIVATIONS)()]),
    )[rng.integers(4)]()
    scale = 10.0 ** rng.uniform(-6, 2)
    x = scale * rng.normal(size=(rng.integers(1, 6), n))
    x[rng.random(x.shape) < rng.choice([0, 0.3])] = 0
    x[0] = 1.0  # a layer whose input is 0 throughout has nothing to show
    label = f"{made.config()}, x of scale {scale:.0e}, {x.shape}"
    several = "ReLU" in str(made.config()) and isinstance(made, Chain) and not np.all(np.any(x, axis=1))
    directions = drawn_directions(rng)
    label += f", directions {directions}"
    return Case(label, lambda method: check_layer(made, x, method=method, directions=directions), exact_only=several)


def likelihood(rng):
    """A likelihood, by check_likelihood."""
    shape, scale = tuple(rng.integers(1, 6, 2)), 10.0 ** rng.uniform(-3, 1.5)
    made = (Bernoulli, lambda: Gaussian(10.0 ** rng.uniform(-1, 1)), lambda: Gaussian(0.7, learn=True))[rng.integers(3)]()
    out = scale * rng.normal(size=shape)
    out[rng.random(shape) < 0.2] = 0
    x = rng.uniform(size=shape) if rng.random() < 0.5 else (rng.random(shape) < 0.5).astype(float)
    return Case(f"{made.config()}, outputs of scale {scale:.0e}", lambda method: check_likelihood(made, out, x, method=method))


def function(rng):
    """A function as users write them, scaled and moved, by check_gradient."""
    n, m = rng.integers(1, 6, 2)
    name = rng.choice(list(FUNCTIONS))
    theta, f, grad = FUNCTIONS[name](rng, n, m)
    s, c = 10.0 ** rng.uniform(-12, 6), 10.0 ** rng.uniform(-3, 3)
    directions = drawn_directions(rng)

    def scaled(t):
        return s * f({key: value / c for key, value in t.items()})

    gradient = {key: s * value / c for key, value in grad(theta).items()}
    moved = {key: c * value for key, value in theta.items()}
    label = f"{name}({n}, {m}) times {s:.0e}, theta times {c:.0e}, directions {directions}"
    return Case(label, lambda method: check_gradient(scaled, moved, gradient, method=method, directions=directions))


KINDS = (model, layer, likelihood, function)


# --- functions of a dict of arrays: rng, n, m -> theta, f, its gradient ---------------------------------------------------------


def least_squares(rng, n, m):
    A, b = rng.normal(size=(m + 2, n)), rng.normal(size=m + 2)
    return {"w": rng.normal(size=n)}, lambda t: np.sum((A @ t["w"] - b) ** 2), lambda t: {"w": 2 * A.T @ (A @ t["w"] - b)}


def least_squares_solved(rng, n, m):
    """At its minimum but for 1e-6, where the gradient is all cancellation."""
    A, b = rng.normal(size=(n + 3, n)), rng.normal(size=n + 3)
    w = np.linalg.lstsq(A, b, rcond=None)[0] + 1e-6 * rng.normal(size=n)
    return {"w": w}, lambda t: np.sum((A @ t["w"] - b) ** 2), lambda t: {"w": 2 * A.T @ (A @ t["w"] - b)}


def softmax_regression(rng, n, m):
    X, label = rng.normal(size=(4, n)), rng.integers(m, size=4)

    def f(t):
        a = X @ t["W"] + t["b"]
        a = a - a.real.max(axis=1, keepdims=True)
        return np.mean(np.log(np.sum(np.exp(a), axis=1)) - a[np.arange(4), label])

    def grad(t):
        p = np.exp(X @ t["W"] + t["b"])
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(4), label] -= 1
        return {"W": X.T @ p / 4, "b": p.sum(axis=0) / 4}

    return {"W": rng.normal(size=(n, m)), "b": np.zeros(m)}, f, grad


def relu_regression(rng, n, m):
    """Two layers, biases at 0, the first row of the data too: every unit stands at its kink there."""
    X, y = rng.normal(size=(4, n)), rng.normal(size=4)
    X[0] = 0

    def f(t):
        a = X @ t["W"] + t["b"]
        return 0.5 * np.sum(((a * (a.real > 0)) @ t["v"] - y) ** 2)

    def grad(t):
        a = X @ t["W"] + t["b"]
        r = np.maximum(a, 0) @ t["v"] - y
        da = r[:, None] * t["v"] * (a > 0)
        return {"W": X.T @ da, "b": da.sum(axis=0), "v": np.maximum(a, 0).T @ r}

    return {"W": rng.normal(size=(n, m)), "b": np.zeros(m), "v": rng.normal(size=m)}, f, grad


def lasso(rng, n, m):
    """np.abs is no complex function."""
    A, b = rng.normal(size=(m + 2, n)), rng.normal(size=m + 2)
    weight = 10.0 ** rng.uniform(-7, 1)

    def f(t):
        return np.sum((A @ t["w"] - b) ** 2) + weight * np.sum(np.abs(t["w"]))

    return {"w": rng.normal(size=n)}, f, lambda t: {"w": 2 * A.T @ (A @ t["w"] - b) + weight * np.sign(t["w"])}


def log_density(rng, n, m):
    x = rng.normal(size=(m, n))

    def f(t):
        return np.sum(0.5 * ((x - t["mu"]) / np.exp(t["s"])) ** 2 + t["s"])

    def grad(t):
        r = (x - t["mu"]) / np.exp(t["s"])
        return {"mu": -np.sum(r / np.exp(t["s"]), axis=0), "s": np.sum(1 - r**2, axis=0)}

    return {"mu": rng.normal(size=n), "s": rng.normal(size=n)}, f, grad


def rosenbrock(rng, n, m):
    def f(t):
        x = t["x"]
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def grad(t):
        x, g = t["x"], np.zeros(n + 1)
        inner = x[1:] - x[:-1] ** 2
        g[1:] += 200 * inner
        g[:-1] += -400 * x[:-1] * inner - 2 * (1 - x[:-1])
        return {"x": g}

    return {"x": rng.normal(size=n + 1)}, f, grad


def waves(rng, n, m):
    """Steep: a hundred radians a unit."""
    k = 10.0 ** rng.uniform(0, 2)
    return {"x": rng.normal(size=(n, m))}, lambda t: np.sum(np.sin(k * t["x"])), lambda t: {"x": k * np.cos(k * t["x"])}


def float_only(rng, n, m):
    """logaddexp takes no complex numbers."""
    return {"a": 3 * rng.normal(size=n)}, lambda t: np.sum(np.logaddexp(0, t["a"])), lambda t: {"a": 1 / (1 + np.exp(-t["a"]))}


def offset(rng, n, m):
    """A large constant, which drowns differences and not the complex step."""
    height = 10.0 ** rng.uniform(0, 9)
    return {"x": rng.normal(size=n)}, lambda t: height + np.sum(np.tanh(t["x"])), lambda t: {"x": 1 - np.tanh(t["x"]) ** 2}


FUNCTIONS = {
    f.__name__: f
    for f in (
        least_squares, least_squares_solved, softmax_regression, relu_regression, lasso, log_density, rosenbrock, waves,
        float_only, offset,
    )
}  # fmt: skip
