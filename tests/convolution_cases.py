"""Convolutions, poolings and reshapings drawn by Hypothesis: settings, a layer with no parameter at 0, and its input."""

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from strategies import seeds, values

from npvae.beyond import Conv2D, ConvTranspose2D, Flatten, MaxPool2D, Reshape


@st.composite
def settings(draw, transposed=False, pooling=False):
    """Sizes of a layer and of its input, in which rows and columns differ: the constructor's arguments, and the shape of x."""

    def pair(low, high):
        return draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    window, stride, padding = pair(1, 4), pair(1, 3), (0, 0) if pooling else pair(0, 2)
    c_in, c_out = draw(st.sampled_from([(1, 2), (2, 1), (3, 2), (2, 3)]))
    least = (1, 1) if transposed else [max(1, k - 2 * p) for k, p in zip(window, padding)]  # of which a window sees something
    shape = (draw(st.integers(1, 3)), *(n + more for n, more in zip(least, pair(0, 4 - 2 * transposed))), c_in)
    if pooling:
        return dict(size=window, stride=stride), shape
    arguments = dict(c_in=c_in, c_out=c_out, kernel=window, stride=stride, padding=padding)
    if transposed:
        arguments["output_padding"] = tuple(draw(st.integers(0, s - 1)) for s in stride)
        sizes = [(n - 1) * s + k + o for n, s, k, o in zip(shape[1:], stride, window, arguments["output_padding"])]
        assume(all(n > 2 * p for n, p in zip(sizes, padding)))
    return arguments, shape


def made(kind, drawn, seed):
    """A layer with no parameter at 0, and its input."""
    (arguments, shape), rng = drawn, np.random.default_rng(seed)
    layer = kind(**arguments, **({"rng": rng} if kind.parameters else {}))
    for name in layer.parameters:
        setattr(layer, name, rng.normal(size=getattr(layer, name).shape))
    return layer, values(rng, *shape)


flat = st.just(({"shape": (2, 3, 5)}, (4, 30)))
pictures = st.sampled_from([(3, 4, 5, 2), (1, 2, 1, 3), (2, 3, 1)])
LAYER_CASES = {
    "conv": (Conv2D, settings()),
    "transposed": (ConvTranspose2D, settings(transposed=True)),
    "pool": (MaxPool2D, settings(pooling=True)),
    "reshape": (Reshape, flat),
    "flatten": (Flatten, pictures.map(lambda shape: ({}, shape))),
    "flatten-channels-first": (Flatten, pictures.map(lambda shape: ({"channels_first": True}, shape))),
}
each_kind = pytest.mark.parametrize("kind, strategy", LAYER_CASES.values(), ids=LAYER_CASES)


def layers(strategy, kind, data):
    """One layer of that kind, its input, and a random cotangent of its output."""
    layer, x = made(kind, data.draw(strategy), seed := data.draw(seeds))
    return layer, x, np.random.default_rng(seed + 1).normal(size=layer.forward(x)[0].shape)
