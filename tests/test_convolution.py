"""Convolution, transposed convolution, pooling, rows and pictures: what they compute, against loops that follow the printed
equations; their gradients; that one convolution is the other's adjoint; what they leave alone and what they refuse."""

import math

import hypothesis
import numpy as np
import pytest
from derivatives import assert_agree, central_difference, complex_step, layer_arguments, layer_gradients, layer_output
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import seeds, values

from npvae import check_layer
from npvae.beyond import Conv2D, ConvTranspose2D, Flatten, MaxPool2D, Reshape, convolution
from npvae.models.config import LAYERS


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


# --- values: the printed equations, in loops -------------------------------------------------------------------------------------


def literal_convolution(x, W, b, stride, padding):
    """[CONV-2] and [CONV-3], a scalar at a time; x is 0 outside."""
    (B, H, width, c_in), (kh, kw, _, c_out) = x.shape, W.shape
    (s, t), (P, Q) = stride, padding
    y = np.empty((B, math.floor((H + 2 * P - kh) / s) + 1, math.floor((width + 2 * Q - kw) / t) + 1, c_out))
    for n, i, j, o in np.ndindex(y.shape):
        y[n, i, j, o] = b[o]
        for p, q, c in np.ndindex(kh, kw, c_in):
            u, v = s * i + p - P, t * j + q - Q
            if 0 <= u < H and 0 <= v < width:
                y[n, i, j, o] += x[n, u, v, c] * W[p, q, c, o]
    return y


def literal_transposed_convolution(x, W, b, stride, padding, output_padding):
    """[CONVT-1] and [CONVT-2], a scalar at a time."""
    (B, H, width, c_in), (kh, kw, c_out, _) = x.shape, W.shape
    (s, t), (P, Q) = stride, padding
    y = np.empty((B, (H - 1) * s + kh - 2 * P + output_padding[0], (width - 1) * t + kw - 2 * Q + output_padding[1], c_out))
    for n, u, v, o in np.ndindex(y.shape):
        y[n, u, v, o] = b[o]
        for i, j, p, q, c in np.ndindex(H, width, kh, kw, c_in):
            if s * i + p - P == u and t * j + q - Q == v:
                y[n, u, v, o] += x[n, i, j, c] * W[p, q, o, c]
    return y


def literal_pooling(x, size, stride):
    """[POOL-1] and the place of each maximum, the first in reading order, a scalar at a time."""
    B, H, width, C = x.shape
    y = np.empty((B, (H - size[0]) // stride[0] + 1, (width - size[1]) // stride[1] + 1, C))
    place = np.empty(y.shape, "i,i")
    for n, i, j, c in np.ndindex(y.shape):
        best = -math.inf
        for p, q in np.ndindex(size):
            u, v = stride[0] * i + p, stride[1] * j + q
            if x[n, u, v, c] > best:
                best, place[n, i, j, c] = x[n, u, v, c], (u, v)
        y[n, i, j, c] = best
    return y, place


@given(drawn=settings(), seed=seeds)
def test_convolution_agrees_with_literal_loops(drawn, seed):
    layer, x = made(Conv2D, drawn, seed)
    want = literal_convolution(x, layer.W, layer.b, layer.stride, layer.padding)
    y, _ = layer.forward(x)
    assert y.shape == want.shape
    assert y == pytest.approx(want, rel=1e-12, abs=1e-12)


@given(drawn=settings(transposed=True), seed=seeds)
def test_transposed_convolution_agrees_with_literal_loops(drawn, seed):
    layer, x = made(ConvTranspose2D, drawn, seed)
    want = literal_transposed_convolution(x, layer.W, layer.b, layer.stride, layer.padding, layer.output_padding)
    y, _ = layer.forward(x)
    assert y.shape == want.shape
    assert y == pytest.approx(want, rel=1e-12, abs=1e-12)


@given(drawn=settings(pooling=True), seed=seeds, ties=st.booleans())
def test_pooling_and_its_gradient_agree_with_literal_loops(drawn, seed, ties):
    layer, x = made(MaxPool2D, drawn, seed)
    x = np.sign(x) if ties else x
    want, place = literal_pooling(x, layer.size, layer.stride)
    y, cache = layer.forward(x)
    assert np.array_equal(y, want)
    dy = np.random.default_rng(seed).integers(1, 9, y.shape).astype(float)
    dx = np.zeros(x.shape)
    for n, i, j, c in np.ndindex(y.shape):
        u, v = place[n, i, j, c]
        dx[n, u, v, c] += dy[n, i, j, c]
    assert np.array_equal(layer.backward(dy, cache), dx)


def test_a_transposed_convolution_by_hand():
    """[[1, 2], [3, 4]], each number times the kernel 1 .. 9, two apart, a frame of one pixel cut off and a row and a column more at
    the end; PyTorch 2.13's conv_transpose2d gives the same."""
    layer = ConvTranspose2D(1, 1, 3, stride=2, padding=1, output_padding=1, rng=np.random.default_rng(0))
    layer.W, layer.b = np.arange(1.0, 10).reshape(3, 3, 1, 1), [0.5]
    y, _ = layer.forward(np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1))
    want = np.array([[5, 14, 10, 12], [14, 36, 24, 30], [15, 34, 20, 24], [24, 55, 32, 36.0]])
    assert np.array_equal(y[0, :, :, 0], want + 0.5)


@given(drawn=settings(), seed=seeds)
def test_transposed_convolution_is_the_adjoint_of_convolution(drawn, seed):
    """<conv(y), x> = <y, convT(x)> for the same W, at all shapes, strides, paddings and kernels."""
    (arguments, shape), rng = drawn, np.random.default_rng(seed)
    conv = Conv2D(**arguments, rng=rng)
    y = values(rng, *shape)
    stride, kernel, padding = conv.stride, conv.kernel, conv.padding
    rest = [(n + 2 * p - k) % s for n, p, k, s in zip(shape[1:], padding, kernel, stride)]
    transposed = ConvTranspose2D(conv.c_out, conv.c_in, kernel, stride, padding, rest, rng=rng)
    transposed.W = conv.W
    down, _ = conv.forward(y)
    x = values(rng, *down.shape)
    up, _ = transposed.forward(x)
    assert up.shape == y.shape
    assert np.sum(down * x) == pytest.approx(np.sum(y * up), rel=1e-11, abs=1e-9)


@given(drawn=settings(), seed=seeds)
def test_the_gradient_of_each_convolution_is_the_other(drawn, seed):
    conv, x = made(Conv2D, drawn, seed)
    y, cache = conv.forward(x)
    rest = [(n + 2 * p - k) % s for n, p, k, s in zip(x.shape[1:], conv.padding, conv.kernel, conv.stride)]
    transposed = ConvTranspose2D(conv.c_out, conv.c_in, conv.kernel, conv.stride, conv.padding, rest, rng=np.random.default_rng(0))
    transposed.W = conv.W
    assert conv.backward(y, cache) == pytest.approx(transposed.forward(y)[0], rel=1e-13, abs=1e-12)
    conv.b *= 0
    assert transposed.backward(x, y) == pytest.approx(conv.forward(x)[0], rel=1e-13, abs=1e-12)


def test_a_kernel_of_one_pixel_is_a_dense_layer_on_every_pixel(rng):
    layer, x = made(Conv2D, (dict(c_in=3, c_out=4, kernel=1), (2, 5, 3, 3)), 0)
    assert layer.forward(x)[0] == pytest.approx(x @ layer.W[0, 0] + layer.b, rel=1e-13)


def test_a_kernel_of_the_whole_picture_is_a_dense_layer(rng):
    layer, x = made(Conv2D, (dict(c_in=3, c_out=4, kernel=(5, 2)), (2, 5, 2, 3)), 0)
    assert layer.forward(x)[0].reshape(2, 4) == pytest.approx(x.reshape(2, -1) @ layer.W.reshape(-1, 4) + layer.b, rel=1e-13)


@given(drawn=settings(), seed=seeds)
def test_a_moved_picture_gives_a_moved_answer(drawn, seed):
    (arguments, (B, *_)), stride = drawn, drawn[0]["stride"]
    layer, x = made(Conv2D, (arguments | {"padding": 0}, (B, 9, 10, arguments["c_in"])), seed)
    moved, _ = layer.forward(x[:, stride[0] :, stride[1] :])
    assert moved == pytest.approx(layer.forward(x)[0][:, 1:, 1:], rel=1e-12, abs=1e-12)


def sizes_of(layers, picture):
    """Width of the picture after each layer."""
    x, widths = np.zeros((1, picture, picture, 1)), []
    for layer in layers:
        x, _ = layer.forward(x)
        widths.append(x.shape[2])
    return widths


def test_the_sizes_of_article_4_and_how_they_reach_28(rng):
    down = [Conv2D(1, 1, padding=1, rng=rng), MaxPool2D(), Conv2D(1, 1, padding=1, rng=rng), MaxPool2D()]
    assert sizes_of(down, 28) == [28, 14, 14, 7]
    assert sizes_of([ConvTranspose2D(1, 1, rng=rng)] * 3, 7) == [9, 11, 13]  # stride 1, as printed in the article
    twice = ConvTranspose2D(1, 1, stride=2, padding=1, output_padding=1, rng=rng)
    assert sizes_of([twice, twice, ConvTranspose2D(1, 1, padding=1, rng=rng)], 7) == [14, 28, 28]


def test_rows_become_pictures_in_reading_order_and_back():
    x = np.arange(24.0).reshape(2, 12)
    picture, cache = Reshape((2, 3, 2)).forward(x)
    assert picture[1, 0, 2].tolist() == [16, 17] and picture[0, 1, 0].tolist() == [6, 7]
    assert np.array_equal(Reshape((2, 3, 2)).backward(picture, cache), x)
    assert np.array_equal(Flatten().forward(picture)[0], x)
    channels_first, shape = Flatten(channels_first=True).forward(picture)
    assert channels_first[0].tolist() == [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]
    assert np.array_equal(Flatten(channels_first=True).backward(channels_first, shape), picture)


# --- derivatives -----------------------------------------------------------------------------------------------------------------


@each_kind
@given(data=st.data())
def test_the_gradients_agree_with_the_complex_step(kind, strategy, data):
    layer, x, dy = layers(strategy, kind, data)
    numeric = complex_step(lambda a: dy * layer_output(layer, a), layer_arguments(layer, x))
    assert_agree(layer_gradients(layer, x, dy), numeric, rtol=1e-11)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
def test_the_gradients_agree_with_central_differences(kind):
    layer, x = made(kind, (dict(c_in=2, c_out=3, kernel=(3, 2), stride=(2, 1), padding=(1, 0)), (2, 4, 3, 2)), 0)
    dy = np.random.default_rng(1).normal(size=layer.forward(x)[0].shape)
    numeric = central_difference(lambda a: dy * layer_output(layer, a), layer_arguments(layer, x))
    assert_agree(layer_gradients(layer, x, dy), numeric, rtol=1e-8, floor=1e-8)


@each_kind
@hypothesis.settings(max_examples=10)
@given(data=st.data())
def test_check_layer_finds_nothing(kind, strategy, data):
    layer, x, dy = layers(strategy, kind, data)
    report = check_layer(layer, x, dy)
    assert report.ok and report.method == "complex" and report.norm_error <= 1e-13, str(report)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
@pytest.mark.parametrize("entry", [("W", (0, 1, 0, 1)), ("b", (0,)), ("x", (0, 1, 0, 0))])
def test_check_layer_finds_one_wrong_entry(kind, entry):
    """So the tests above can fail."""

    class Wrong(kind):
        def backward(self, dy, cache, need_dx=True):
            dx = super().backward(dy, cache).copy()
            (dx if entry[0] == "x" else getattr(self, "d" + entry[0]))[entry[1]] *= 1 + 1e-6
            return dx

    layer, x = made(Wrong, (dict(c_in=2, c_out=3, kernel=2), (2, 3, 3, 2)), 0)
    report = check_layer(layer, x)
    assert [row.name for row in report.rows if row.verdict == "wrong"] == [entry[0]]


def test_pixels_that_no_window_sees_get_no_gradient():
    """5 rows at stride 2 and a kernel of 2 rows: row 4 is not seen; nor are columns 2, 5 and 6 of 7 at stride 3."""
    layer, x = made(Conv2D, (dict(c_in=1, c_out=2, kernel=2, stride=(2, 3)), (1, 5, 7, 1)), 0)
    y, cache = layer.forward(x)
    assert y.shape == (1, 2, 2, 2)
    seen = layer.backward(np.ones(y.shape), cache)[0, :, :, 0] != 0
    assert np.array_equal(seen, np.outer([1, 1, 1, 1, 0], [1, 1, 0, 1, 1, 0, 0]))
    pooled, cache = MaxPool2D(2).forward(x)
    dx = MaxPool2D(2).backward(np.ones(pooled.shape), cache)[0, :, :, 0]
    assert pooled.shape == (1, 2, 3, 1) and dx.sum() == 6 and not dx[4].any() and not dx[:, 6].any()


# --- pooling ---------------------------------------------------------------------------------------------------------------------


def test_of_equal_pixels_the_first_takes_the_gradient():
    x = np.zeros((1, 2, 4, 1))
    x[0, :, :2, 0] = [[1, 2], [2, 2]]
    y, cache = MaxPool2D(2).forward(x)
    assert y.ravel().tolist() == [2, 0]
    dx = MaxPool2D(2).backward(np.array([3.0, 5]).reshape(y.shape), cache)
    assert dx[0, :, :, 0].tolist() == [[0, 3, 5, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("direction", [1, -1])
def test_at_a_tie_the_complex_step_sees_the_same_gradient_from_both_sides(direction):
    x, v = np.zeros((1, 2, 2, 1)), np.arange(1.0, 5).reshape(1, 2, 2, 1)
    y, _ = MaxPool2D(2).forward(x + 1j * 1e-30 * direction * v)
    assert y.imag.item() / 1e-30 == direction and y.dtype == np.complex128


def test_overlapping_windows_add_their_gradients():
    x = np.array([1.0, 5, 2, 3]).reshape(1, 1, 4, 1)
    y, cache = MaxPool2D((1, 2), stride=1).forward(x)
    assert y.ravel().tolist() == [5, 5, 3]
    assert MaxPool2D((1, 2), stride=1).backward(np.array([1.0, 10, 100]).reshape(y.shape), cache).ravel().tolist() == [
        0,
        11,
        0,
        100,
    ]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pooling_does_not_hide_a_nan(place, dtype):
    x = np.ones((1, 2, 2, 1), dtype)
    x.ravel()[place] = np.nan
    assert np.isnan(MaxPool2D(2).forward(x)[0])


# --- purity and types ------------------------------------------------------------------------------------------------------------


def arrays(nested):
    """All arrays of nested lists and tuples, in order."""
    if isinstance(nested, (list, tuple)):
        return [a for part in nested for a in arrays(part)]
    return [nested] if isinstance(nested, np.ndarray) else []


@each_kind
@given(data=st.data())
def test_nothing_is_changed_but_the_gradients_which_are_assigned(kind, strategy, data):
    layer, x, dy = layers(strategy, kind, data)
    held, want = sorted(vars(layer)), layer_gradients(layer, x, dy)
    y, cache = layer.forward(x)
    before = [a.tobytes() for a in (x, dy, *arrays(cache), *(getattr(layer, p) for p in layer.parameters))]
    layer.forward(np.flip(x) + 1)
    for name in layer.parameters:
        setattr(layer, "d" + name, np.full(getattr(layer, name).shape, np.nan))
    assert layer.backward(dy, cache, need_dx=False) is None
    assert all(np.array_equal(getattr(layer, "d" + name), want["0." + name]) for name in layer.parameters)
    assert np.array_equal(layer.backward(dy, cache), want["x"])
    assert [a.tobytes() for a in (x, dy, *arrays(cache), *(getattr(layer, p) for p in layer.parameters))] == before
    assert sorted(vars(layer)) == held


DTYPES = [np.float32, np.float64, np.complex128]


@each_kind
@pytest.mark.parametrize("dtype", DTYPES)
@hypothesis.settings(max_examples=10)
@given(data=st.data())
def test_the_dtype_is_kept_in_every_output_cache_and_gradient(kind, strategy, dtype, data):
    layer, x, dy = layers(strategy, kind, data)
    layer, x, dy = layer.astype(dtype), x.astype(dtype), dy.astype(dtype)
    y, cache = layer.forward(x)
    dx = layer.backward(dy, cache)
    assert (y.dtype, dx.dtype, y.shape, dx.shape) == (dtype, dtype, dy.shape, x.shape)
    assert {a.dtype for a in arrays(cache)} <= {np.dtype(dtype), np.dtype(bool)}
    assert all(getattr(layer, "d" + name).dtype == dtype for name in layer.parameters)


@each_kind
@given(data=st.data())
def test_pictures_do_not_see_each_other(kind, strategy, data):
    layer, x, _ = layers(strategy, kind, data)
    y, _ = layer.forward(x)
    assert layer.forward(x[::-1])[0] == pytest.approx(y[::-1], rel=1e-12, abs=1e-12)
    assert layer.forward(x[:1])[0] == pytest.approx(y[:1], rel=1e-12, abs=1e-12)
    assert layer.forward(x[:0])[0].shape == (0, *y.shape[1:])


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
@pytest.mark.parametrize("chunk", [1, 300, 700])
def test_the_chunks_of_the_batch_make_no_difference(kind, chunk, monkeypatch):
    """At 300 window entries, some chunks hold two pictures and the last holds one."""
    layer, x = made(kind, (dict(c_in=2, c_out=3, kernel=3, stride=2, padding=1), (7, 5, 4, 2)), 0)
    dy = np.random.default_rng(1).normal(size=layer.forward(x)[0].shape)
    whole = layer.forward(x)[0], layer_gradients(layer, x, dy)
    monkeypatch.setattr(convolution, "CHUNK", chunk)
    assert layer.forward(x)[0] == pytest.approx(whole[0], rel=1e-13, abs=1e-13)
    assert_agree(layer_gradients(layer, x, dy), whole[1], rtol=1e-13)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
def test_float32_gradients_are_the_float64_ones_to_float32_accuracy(kind):
    layer, x = made(kind, (dict(c_in=2, c_out=3, padding=1), (40, 28, 28, 2)), 3)
    dy = 1 + np.random.default_rng(1).normal(size=layer.forward(x)[0].shape)
    double = layer_gradients(layer, x, dy)
    assert_agree(layer_gradients(layer.astype(np.float32), x.astype(np.float32), dy.astype(np.float32)), double, rtol=2e-6)


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
