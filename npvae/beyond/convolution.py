"""Convolution by hand. Images are (B, H, W, C): batch, rows, columns, channels. A convolution is one Dense layer on every window.

One sum of products holds all of it; its terms pair the window of x at i, j with the pixel i, j of y (s: the stride):

    T(x, W, y) = sum_{b,i,j,p,q,c,o} x[b, s i + p, s j + q, c] W[p, q, c, o] y[b, i, j, o]                     [CONV-1]

T is linear in each of the three, so its derivatives need no fourth thing: `correlate` is dT/dy, `spread` is dT/dx and
`kernel_gradient` is dT/dW. Conv2D goes forward by the first and back by the other two; ConvTranspose2D does the same with x and y
in exchanged roles.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from npvae.core.checks import generator, has_shape, positive_integer
from npvae.core.layers import INITIALIZERS
from npvae.core.parameters import Layer

CHUNK = 2**20  # entries of windows written out at a time: few enough to stay in the cache until the next line reads them


def correlate(x, W, stride):
    """dT/dy [CONV-1]: y[b,i,j,o] = sum_{p,q,c} x[b, s i + p, s j + q, c] W[p,q,c,o], the windows of x times W.

    x (B, H, W, C), W (kh, kw, C, O) -> y (B, H', W', O)."""
    windows = _windows(x, W.shape[:2], stride)
    y = np.empty((*windows.shape[:3], W.shape[3]), np.result_type(x, W))
    for rows in _chunks(windows.shape):
        np.matmul(_matrix(windows[rows], 3), _matrix(W, 1), out=_matrix(y[rows], 1))
    return y


def spread(y, W, stride, onto):
    """dT/dx [CONV-1]: x[b, s i + p, s j + q, c] += sum_o y[b,i,j,o] W[p,q,c,o] for all i, j, p, q: a pixel of y becomes a window.

    y (B, H', W', O), W (kh, kw, C, O), onto: x (B, H, W, C), added to. Where windows overlap they add up."""
    shape = (*y.shape[:3], *W.shape[:3])  # of the windows: (B, H', W', kh, kw, C)
    for rows in _chunks(shape):
        windows = (_matrix(y[rows], 1) @ _matrix(W, 1).T).reshape(-1, *shape[1:])
        for p, q in np.ndindex(W.shape[:2]):
            at = each_window(onto[rows], (p, q), stride, shape[1:3])
            at += windows[:, :, :, p, q]


def kernel_gradient(x, y, stride, out):
    """dT/dW [CONV-1]: out[p,q,c,o] = sum_{b,i,j} x[b, s i + p, s j + q, c] y[b,i,j,o], the windows of x against the pixels of y.

    x (B, H, W, C), y (B, H', W', O), out: dW (kh, kw, C, O), filled."""
    windows = _windows(x, out.shape[:2], stride)
    out[...] = 0
    for rows in _chunks(windows.shape):
        out += (_matrix(windows[rows], 3).T @ _matrix(y[rows], 1)).reshape(out.shape)


def _windows(x, kernel, stride):
    """Every window of x, at every stride: a view (B, H', W', kh, kw, C), whose pixels lie in memory once."""
    windows = sliding_window_view(x, kernel, axis=(1, 2))[:, :: stride[0], :: stride[1]]  # (B, H', W', C, kh, kw)
    return windows.transpose(0, 1, 2, 4, 5, 3)


def each_window(x, place, stride, n):
    """The pixel at one place (p, q) of each of the n windows: a view (B, n_rows, n_columns, C)."""
    (p, q), (down, right), (rows, columns) = place, stride, n
    return x[:, p : p + down * (rows - 1) + 1 : down, q : q + right * (columns - 1) + 1 : right]


def _matrix(a, n):
    """a as a matrix, its last n axes as the columns."""
    return a.reshape(-1, math.prod(a.shape[-n:]))


def _chunks(shape):
    """Slices of the batch, so that windows of this shape (B, ...) come in chunks of at most CHUNK entries, or an image each."""
    images = max(1, CHUNK // math.prod(shape[1:]))
    return [slice(start, start + images) for start in range(0, shape[0], images)]


def _padded(x, padding):
    """x with rows and columns of zeros around it."""
    return np.pad(x, [(0, 0), *((n, n) for n in padding), (0, 0)]) if any(padding) else x


def _inside(x, padding):
    """x without them: a view."""
    (_, H, W, _), (rows, columns) = x.shape, padding
    return x[:, rows : H - rows, columns : W - columns]


def _sum_over_pixels(y):
    """(B, H, W, C) -> (C,), each picture as a matrix product: faster than np.sum, and in float32 more accurate."""
    B, H, W, C = y.shape
    return (np.ones(H * W, y.dtype) @ y.reshape(B, H * W, C)).sum(axis=0)


class _Convolution(Layer):
    """What the two convolutions share: their sizes, and how W and b start."""

    parameters = ("W", "b")

    def __init__(self, c_in, c_out, kernel, stride, padding):
        name = type(self).__name__
        self.c_in, self.c_out = positive_integer(name, "c_in", c_in), positive_integer(name, "c_out", c_out)
        self.kernel, self.stride = pair(name, "kernel", kernel, 1), pair(name, "stride", stride, 1)
        self.padding = pair(name, "padding", padding, 0)
        self._where = f"{name}({self.c_in}, {self.c_out})"

    def _initial(self, rng, init):
        """W (kh, kw, c_in, c_out) and b (c_out,) as a Dense layer on one window would start."""
        name, n_in = type(self).__name__, math.prod(self.kernel) * self.c_in
        if not callable(init) and init not in INITIALIZERS:
            raise ValueError(f"{name}: init must be one of {', '.join(INITIALIZERS)} or a function, got {init!r}.")
        W, b = (init if callable(init) else INITIALIZERS[init])(n_in, self.c_out, generator(name, rng))
        has_shape(name, "W of init", W, (n_in, self.c_out))
        has_shape(name, "b of init", b, (self.c_out,))
        return np.reshape(W, (*self.kernel, self.c_in, self.c_out)), b

    def config(self):
        """The constructor's arguments; the initialization is history."""
        sizes = {"kernel": list(self.kernel), "stride": list(self.stride), "padding": list(self.padding)}
        return {**super().config(), "c_in": self.c_in, "c_out": self.c_out, **sizes}


class Conv2D(_Convolution):
    """Convolution: the same small W at every place of the picture.  (Like all networks' "convolution", it does not flip W.)

        y[b,i,j,o] = b[o] + sum_{p,q,c} x[b, s i + p - P, s j + q - P, c] W[p,q,c,o]                           [CONV-2]
        H' = floor( (H + 2P - kh) / s ) + 1, and W' alike                                                       [CONV-3]

    x (B, H, W, c_in), 0 outside; W (kh, kw, c_in, c_out)   b (c_out,)   y (B, H', W', c_out); s: the stride, P: the padding.
    kernel, stride, padding: an integer, or a pair (rows, columns). Where the stride does not divide, the last rows are not seen.
    rng, dtype, init: as for Dense, with n_in = kh kw c_in and n_out = c_out.
    """

    def __init__(self, c_in, c_out, kernel=3, stride=1, padding=0, *, rng, dtype=np.float64, init="glorot"):
        super().__init__(c_in, c_out, kernel, stride, padding)
        W, b = self._initial(rng, init)
        self.W, self.b = np.asarray(W, dtype), np.asarray(b, dtype)

    def forward(self, x):
        """-> y, cache [CONV-2].  Raises ValueError if x is not (B, H, W, c_in), or if the kernel is larger than the picture."""
        are_images(self._where, x, self.c_in)
        x = _padded(x, self.padding)
        fits(self._where, self.kernel, x, self.padding)
        y = correlate(x, self.W, self.stride)
        y += self.b
        return y, x  # the padded picture

    def backward(self, dy, x, need_dx=True):
        """Fill dW, db; -> dx (B, H, W, c_in), which is 0 at pixels that no window sees.  x: the padded picture of forward.

        dL/dW[p,q,c,o] = sum_{b,i,j} x[b, s i + p - P, s j + q - P, c] dy[b,i,j,o]                             [CONV-4]
        dL/db[o] = sum_{b,i,j} dy[b,i,j,o]                                                                     [CONV-5]
        dL/dx[b,u,v,c] = sum_{i,j,p,q,o: s i + p - P = u, s j + q - P = v} dy[b,i,j,o] W[p,q,c,o]              [CONV-6]
        """
        n = ((size - k) // s + 1 for size, k, s in zip(x.shape[1:], self.kernel, self.stride))
        has_shape(f"{self._where}.backward", "dy", dy, (len(x), *n, self.c_out))
        kernel_gradient(x, dy, self.stride, out=self.dW)
        self.db = _sum_over_pixels(dy)
        if not need_dx:
            return None
        dx = np.zeros(x.shape, np.result_type(dy, self.W))
        spread(dy, self.W, self.stride, onto=dx)
        return _inside(dx, self.padding)


class ConvTranspose2D(_Convolution):
    """Transposed convolution: the adjoint of Conv2D(c_out, c_in) with the same W; at stride s it enlarges a picture s times.

        y[b,u,v,o] = b[o] + sum_{i,j,p,q,c: s i + p - P = u, s j + q - P = v} x[b,i,j,c] W[p,q,o,c]             [CONVT-1]
        H' = (H - 1) s + kh - 2P + output_padding, and W' alike                                                [CONVT-2]
        sum( conv(y) x ) = sum( y convT(x) ) for all x and y, both without b                                   [CONVT-3]

    x (B, H, W, c_in)   W (kh, kw, c_out, c_in)   b (c_out,)   y (B, H', W', c_out); s: the stride, P: the padding.
    output_padding: since Conv2D's sizes are rounded down, up to s - 1 rows more have the same adjoint; it says how many.
    rng, dtype, init: as for Conv2D; W is then taken times s, since only one in s^2 places of the kernel reaches a given pixel.
    """

    def __init__(
        self, c_in, c_out, kernel=3, stride=1, padding=0, output_padding=0, *, rng, dtype=np.float64, init="glorot"
    ):  # fmt: skip
        super().__init__(c_in, c_out, kernel, stride, padding)
        self.output_padding = pair("ConvTranspose2D", "output_padding", output_padding, 0)
        if any(n >= s for n, s in zip(self.output_padding, self.stride)):
            raise ValueError(f"ConvTranspose2D: output_padding must be below the stride {self.stride}, got {output_padding!r}.")
        W, b = self._initial(rng, init)
        W = np.swapaxes(W, 2, 3) * math.sqrt(math.prod(self.stride))
        self.W, self.b = np.asarray(W, dtype, order="C"), np.asarray(b, dtype)

    def config(self):
        """The constructor's arguments; the initialization is history."""
        return {**super().config(), "output_padding": list(self.output_padding)}

    def forward(self, x):
        """-> y, cache [CONVT-1].  Raises ValueError if x is not (B, H, W, c_in), or if the padding takes away the whole picture."""
        are_images(self._where, x, self.c_in)
        size = self._padded_size(x)
        if any(n <= 2 * p for n, p in zip(size, self.padding)):
            raise ValueError(
                f"{self._where}: the picture would be {size[0]} x {size[1]} and the padding {self.padding} takes all of it away; "
                "use less padding or a larger kernel."
            )
        y = np.empty((len(x), *size, self.c_out), np.result_type(x, self.W))
        y[...] = self.b
        spread(x, self.W, self.stride, onto=y)
        return _inside(y, self.padding), x

    def backward(self, dy, x, need_dx=True):
        """Fill dW, db; -> dx (B, H, W, c_in).  dy is 0 outside.

        dL/dW[p,q,o,c] = sum_{b,i,j} dy[b, s i + p - P, s j + q - P, o] x[b,i,j,c]                            [CONVT-4]
        dL/db[o] = sum_{b,u,v} dy[b,u,v,o]                                                                    [CONVT-5]
        dL/dx[b,i,j,c] = sum_{p,q,o} dy[b, s i + p - P, s j + q - P, o] W[p,q,o,c]                            [CONVT-6]
        """
        size = (n - 2 * p for n, p in zip(self._padded_size(x), self.padding))
        has_shape(f"{self._where}.backward", "dy", dy, (len(x), *size, self.c_out))
        self.db = _sum_over_pixels(dy)
        dy = _padded(dy, self.padding)
        kernel_gradient(dy, x, self.stride, out=self.dW)
        return correlate(dy, self.W, self.stride) if need_dx else None

    def _padded_size(self, x):
        """H' + 2P and W' + 2P."""
        settings = zip(x.shape[1:], self.stride, self.kernel, self.output_padding)
        return tuple((n - 1) * s + k + extra for n, s, k, extra in settings)


def pair(where, name, value, least):
    """3 -> (3, 3), (3, 5) -> (3, 5).  Raises TypeError, ValueError."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in both):
        raise TypeError(f"{where}: {name} must be an integer or a pair of integers, got {value!r}.")
    if min(both) < least:
        raise ValueError(f"{where}: {name} must be at least {least}, got {value!r}.")
    return int(both[0]), int(both[1])


def are_images(where, x, C="C"):
    """Refuse x unless it is (B, H, W, C).  Raises ValueError."""
    hint = "pictures of one channel have that axis, too: x[..., np.newaxis], or Reshape((height, width, 1)) on flat rows."
    has_shape(where, "x", x, ("B", "H", "W", C), hint if x.ndim < 4 else "the channels are the last axis.")


def fits(where, kernel, x, padding=(0, 0)):
    """Refuse a window that is larger than the picture, which x is with its padding.  Raises ValueError."""
    if any(k > n for k, n in zip(kernel, x.shape[1:])):
        H, W = _inside(x, padding).shape[1:3]
        padded = f" and its padding {padding}" if any(padding) else ""
        raise ValueError(f"{where}: the window {kernel} is larger than the picture, {(H, W)}{padded}; use a smaller one, or pad.")
