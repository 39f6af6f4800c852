"""Layers of convolutions: how their weights start, that their settings describe them, and what they refuse, in which words."""

import math

import numpy as np
import pytest
from convolution_cases import each_kind, layers, made
from hypothesis import given
from hypothesis import strategies as st
from strategies import few

from npvae.beyond import Conv2D, ConvTranspose2D, Flatten, MaxPool2D, Reshape
from npvae.models.config import LAYERS

# --- initialization --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, stride, factor", [(Conv2D, 2, 1), (ConvTranspose2D, 1, 1), (ConvTranspose2D, (2, 3), 6)])
@pytest.mark.parametrize("init, variance", [("he", 2 / 270), ("glorot", 2 / (270 + 40)), ("uniform", 1 / 3 / 270)])
def test_weights_start_as_those_of_a_dense_layer_on_one_window(kind, stride, factor, init, variance, rng):
    layer = kind(30, 40, kernel=(3, 3), stride=stride, init=init, rng=rng)
    assert np.mean(layer.W**2) == pytest.approx(factor * variance, rel=4.5 * math.sqrt(2 / layer.W.size))
    assert layer.W.shape == ((3, 3, 30, 40) if kind is Conv2D else (3, 3, 40, 30)) and layer.b.shape == (40,)
    assert layer.b.any() == (init == "uniform") and np.abs(layer.b).max() <= 1 / math.sqrt(270)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_he_keeps_the_scale_of_a_signal_through_a_transposed_convolution(stride, rng):
    layer = ConvTranspose2D(40, 50, kernel=6, stride=stride, init="he", rng=rng)
    y, _ = layer.forward(rng.normal(size=(2, 12, 12, 40)))
    assert np.var(y[:, 6:-6, 6:-6]) == pytest.approx(2, rel=0.1)  # the 2 that ReLU halves


def test_a_function_can_initialize(rng):
    def count(n_in, n_out, rng):
        return np.arange(n_in * n_out).reshape(n_in, n_out), np.arange(n_out)

    conv = Conv2D(2, 3, (2, 1), rng=rng, init=count, dtype=np.float32)
    assert conv.W[1, 0, 0].tolist() == [6, 7, 8] and conv.b.tolist() == [0, 1, 2] and conv.W.dtype == conv.b.dtype == np.float32
    transposed = ConvTranspose2D(2, 3, (2, 1), stride=2, rng=rng, init=count)
    assert np.array_equal(transposed.W, 2 * np.swapaxes(conv.W, 2, 3)) and transposed.W.flags.c_contiguous


# --- description -----------------------------------------------------------------------------------------------------------------


@each_kind
@few
@given(data=st.data())
def test_a_layer_is_made_again_from_its_config(kind, strategy, data):
    layer, x, _ = layers(strategy, kind, data)
    config = layer.config()
    again = LAYERS[config.pop("type")](**config, **({"rng": np.random.default_rng(0)} if kind.parameters else {}))
    for name in layer.parameters:
        setattr(again, name, getattr(layer, name))
    assert type(again) is kind and np.array_equal(again.forward(x)[0], layer.forward(x)[0])


# --- errors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (dict(c_in=0), ValueError, "c_in must be at least 1, got 0"),
        (dict(c_out=2.0), TypeError, r"c_out must be an integer, got 2\.0"),
        (dict(kernel=0), ValueError, "kernel must be at least 1, got 0"),
        (dict(kernel=(3, 3, 1)), TypeError, r"kernel must be an integer or a pair of integers, got \(3, 3, 1\)"),
        (dict(kernel="3"), TypeError, "kernel must be an integer or a pair of integers, got '3'"),
        (dict(stride=(1, 0)), ValueError, r"stride must be at least 1, got \(1, 0\)"),
        (dict(stride=True), TypeError, "stride must be an integer or a pair of integers, got True"),
        (dict(padding=-1), ValueError, "padding must be at least 0, got -1"),
        (dict(padding="same"), TypeError, "padding must be an integer or a pair of integers, got 'same'"),
        (dict(rng=None), TypeError, "rng must be a numpy.random.Generator, got NoneType"),
        (dict(init="xavier"), ValueError, "init must be one of glorot, he, uniform or a function, got 'xavier'"),
        (
            dict(init=lambda i, o, rng: (np.zeros((o, i)), np.zeros(o))),
            ValueError,
            r"W of init has shape \(2, 9\), expected \(9, 2\)",
        ),
        (dict(init=lambda i, o, rng: (np.zeros((i, o)), np.zeros(1))), ValueError, r"b of init has shape \(1,\), expected \(2,\)"),
    ],
)
def test_a_wrong_setting_is_named(kind, wrong, error, message, rng):
    with pytest.raises(error, match=rf"^{kind.__name__}: {message}"):
        kind(**{"c_in": 1, "c_out": 2, "rng": rng, **wrong})


@pytest.mark.parametrize("extra, stride", [(2, 2), ((0, 3), (1, 3)), (1, 1)])
def test_output_padding_is_below_the_stride(extra, stride, rng):
    with pytest.raises(ValueError, match=r"^ConvTranspose2D: output_padding must be below the stride \(\d, \d\), got"):
        ConvTranspose2D(1, 1, stride=stride, output_padding=extra, rng=rng)


@pytest.mark.parametrize("layer", [Conv2D(3, 2, rng=np.random.default_rng(0)), ConvTranspose2D(3, 2, rng=np.random.default_rng(0))])
@pytest.mark.parametrize(
    "shape, hint",
    [
        ((5, 28, 28), r"pictures of one channel have that axis, too: x\[\.\.\., np\.newaxis\], or Reshape"),
        ((5, 784), "pictures of one channel have that axis"),
        ((5, 3, 28, 28), "the channels are the last axis"),
        ((5, 28, 28, 1), "the channels are the last axis"),
        ((1, 5, 28, 28, 3), "the channels are the last axis"),
    ],
)
def test_an_input_that_is_no_picture_of_these_channels_is_refused(layer, shape, hint):
    with pytest.raises(
        ValueError, match=rf"^{type(layer).__name__}\(3, 2\): x has shape \({str(shape)[1:-1]}\), expected \(B, H, W, 3\); {hint}"
    ):
        layer.forward(np.zeros(shape))


def test_a_kernel_larger_than_the_picture_is_refused(rng):
    with pytest.raises(
        ValueError, match=r"^Conv2D\(1, 2\): the window \(5, 3\) is larger than the picture, \(4, 9\); use a smaller"
    ):
        Conv2D(1, 2, (5, 3), rng=rng).forward(np.zeros((1, 4, 9, 1)))
    message = r"^Conv2D\(1, 2\): the window \(3, 7\) is larger than the picture, \(4, 4\) and its padding \(0, 1\); use"
    with pytest.raises(ValueError, match=message):
        Conv2D(1, 2, (3, 7), padding=(0, 1), rng=rng).forward(np.zeros((1, 4, 4, 1)))
    assert Conv2D(1, 2, (5, 3), padding=(1, 0), rng=rng).forward(np.zeros((1, 3, 3, 1)))[0].shape == (1, 1, 1, 2)
    with pytest.raises(ValueError, match=r"^MaxPool2D\(\(2, 2\)\): the window \(2, 2\) is larger than the picture, \(1, 4\); use"):
        MaxPool2D().forward(np.zeros((1, 1, 4, 3)))


@pytest.mark.parametrize("kernel, padding", [(3, (2, 0)), ((2, 3), 1), ((1, 3), (2, 1))])
def test_a_padding_that_takes_away_the_whole_picture_is_refused(kernel, padding, rng):
    message = r"^ConvTranspose2D\(1, 2\): the picture would be [123] x 5 and the padding \(., .\) takes all of it away; use less"
    with pytest.raises(ValueError, match=message):
        ConvTranspose2D(1, 2, kernel, padding=padding, rng=rng).forward(np.zeros((1, 1, 3, 1)))


@pytest.mark.parametrize("axis", range(4))
@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D, MaxPool2D, Flatten, Reshape])
def test_a_cotangent_of_another_shape_is_refused(kind, axis):
    arguments, shape = (dict(c_in=2, c_out=3, kernel=2), (2, 4, 5, 2)) if kind.parameters else ({}, (2, 4, 4, 3))
    if kind is Reshape:
        arguments, shape = {"shape": (2, 3, 4)}, (2, 24)
    layer, x = made(kind, (arguments, shape), 0)
    y, cache = layer.forward(x)
    wrong = list(y.shape)
    wrong[axis % y.ndim] += 1
    if kind is Reshape and axis == 0:
        wrong = [2, 24]  # any number of rows will do
    with pytest.raises(ValueError, match=rf"^{kind.__name__}.*backward: dy has shape \(.*\), expected \("):
        layer.backward(np.zeros(wrong), cache)


@pytest.mark.parametrize(
    "shape, error, message",
    [
        (784, TypeError, r"shape must be a tuple such as \(28, 28, 1\), got 784"),
        ((), TypeError, r"shape must be a tuple such as \(28, 28, 1\), got \(\)"),
        ((28, -1), ValueError, "each size of shape must be at least 1, got -1"),
    ],
)
def test_reshape_wants_a_shape(shape, error, message):
    with pytest.raises(error, match=f"^Reshape: {message}"):
        Reshape(shape)


def test_rows_and_pictures_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"^Reshape\(\(2, 3\)\): x has shape \(4, 7\), expected \(B, 6\); one picture a row"):
        Reshape((2, 3)).forward(np.zeros((4, 7)))
    with pytest.raises(
        ValueError, match=r"^Flatten: x has shape \(7,\), expected \(B, \.\.\.\): the first axis counts the examples"
    ):
        Flatten().forward(np.zeros(7))
    with pytest.raises(
        ValueError, match=r"^MaxPool2D\(\(2, 2\)\): x has shape \(4, 8, 8\), expected \(B, H, W, C\); pictures of one"
    ):
        MaxPool2D().forward(np.zeros((4, 8, 8)))
    with pytest.raises(ValueError, match=r"^MaxPool2D: size must be at least 1, got 0"):
        MaxPool2D(0)
    with pytest.raises(TypeError, match=r"^MaxPool2D: stride must be an integer or a pair of integers, got 1\.5"):
        MaxPool2D(2, 1.5)


def test_no_rows_become_no_pictures_and_no_rows_again():
    layer = Reshape((5, 2))
    y, cache = layer.forward(np.zeros((0, 10)))
    assert layer.backward(y, cache).shape == (0, 10)
