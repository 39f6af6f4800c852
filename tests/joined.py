"""What the tests of the parameter vector share: a small model, a user's own layer, and what it means that they are one memory."""

import textwrap

import numpy as np

from npvae import VAE, Bernoulli, Chain, Dense, ReLU, Tanh
from npvae.core.parameters import Layer


def scale_layer():
    """The user's layer printed in Layer's docstring, as it stands there."""
    lines = Layer.__doc__.split("\n\n")[1]
    namespace = {"Layer": Layer, "np": np, "__name__": "a_users_module"}
    exec(textwrap.dedent(lines), namespace)
    return namespace["Scale"]


Scale = scale_layer()


def small_vae(rng, likelihood=None, dtype=np.float64):
    encoder = Chain([Dense(5, 4, rng=rng, dtype=dtype), Tanh(), Dense(4, 6, rng=rng, dtype=dtype)])
    decoder = Chain([Dense(3, 4, rng=rng, dtype=dtype, init="uniform"), ReLU(), Dense(4, 5, rng=rng, dtype=dtype)])
    return VAE(encoder, decoder, likelihood or Bernoulli(), 3)


def assert_joined(params, layers):
    """Each W and dW of these named layers is a view into theta and grad, at its place, with its name."""
    named = list(params)
    assert [name for name, _, _ in named] == [f"{prefix}{name}" for prefix, layer, name in layers]
    start = 0
    for (_, W, dW), (_, layer, p) in zip(named, layers):
        assert getattr(layer, p) is W and getattr(layer, "d" + p) is dW
        for view, vector in ((W, params.theta), (dW, params.grad)):
            assert np.shares_memory(view, vector[start : start + W.size])
            assert np.array_equal(view.ravel(), vector[start : start + W.size], equal_nan=True)
        start += W.size
    assert start == params.size == params.theta.size == params.grad.size


def slots(model):
    """(prefix, layer, parameter) of a model built of plain chains, spelled out by hand."""
    found = [
        (f"{part}.{i}.", layer, p)
        for part in ("encoder", "decoder")
        for i, layer in enumerate(getattr(model, part).layers)
        for p in layer.parameters
    ]
    return found + [("likelihood.0.", model.likelihood, p) for p in model.likelihood.parameters]
