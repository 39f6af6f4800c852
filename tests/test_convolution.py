"""Convolution, transposed convolution, pooling, rows and pictures: what they compute, against loops that follow the printed
equations; their gradients; that one convolution is the other's adjoint; what they leave alone."""

import math

import numpy as np
import pytest
from convolution_cases import each_kind, layers, made, settings
from derivatives import assert_agree, central_difference, complex_step, layer_arguments, layer_gradients, weighted_output
from hypothesis import given
from hypothesis import strategies as st
from strategies import few, seeds, values

from npvae import check_layer
from npvae.beyond import Conv2D, ConvTranspose2D, Flatten, MaxPool2D, Reshape, convolution

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
    numeric = complex_step(weighted_output(layer, dy), layer_arguments(layer, x))
    assert_agree(layer_gradients(layer, x, dy), numeric, rtol=1e-11)


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
def test_the_gradients_agree_with_central_differences(kind):
    layer, x = made(kind, (dict(c_in=2, c_out=3, kernel=(3, 2), stride=(2, 1), padding=(1, 0)), (2, 4, 3, 2)), 0)
    dy = np.random.default_rng(1).normal(size=layer.forward(x)[0].shape)
    numeric = central_difference(weighted_output(layer, dy, float), layer_arguments(layer, x))
    assert_agree(layer_gradients(layer, x, dy), numeric, rtol=1e-8, floor=1e-8)


@each_kind
@few
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
@few
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
@few
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
@few
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
