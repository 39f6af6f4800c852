"""Between convolutions: MaxPool2D makes pictures smaller; Reshape and Flatten are the doors from flat rows to pictures and back."""

import math

import numpy as np

from npvae.beyond.convolution import are_images, each_window, fits, pair
from npvae.core.checks import has_shape, positive_integer
from npvae.core.parameters import Layer


class MaxPool2D(Layer):
    """The largest pixel of each window, channel by channel; of equal ones the first, in reading order, is the largest.

        y[b,i,j,c] = max_{p,q} x[b, s i + p, s j + q, c]                                                        [POOL-1]

    x (B, H, W, C) -> y (B, H', W', C), sizes as in [CONV-3] with P = 0; size, stride: an integer, or a pair (rows, columns);
    stride None: like size, so that the windows tile the picture. Complex x is compared by its real part.
    """

    def __init__(self, size=2, stride=None):
        self.size = pair("MaxPool2D", "size", size, 1)
        self.stride = self.size if stride is None else pair("MaxPool2D", "stride", stride, 1)

    def config(self):
        """The constructor's arguments."""
        return {**super().config(), "size": list(self.size), "stride": list(self.stride)}

    def forward(self, x):
        """-> y, cache [POOL-1].  Raises ValueError if x is not (B, H, W, C), or if the window is larger than the picture."""
        where = f"MaxPool2D({self.size})"
        are_images(where, x)
        fits(where, self.size, x)
        n = [(size - k) // s + 1 for size, k, s in zip(x.shape[1:], self.size, self.stride)]
        pixels = [each_window(x, place, self.stride, n) for place in np.ndindex(self.size)]  # kh kw views (B, H', W', C)
        y = pixels[0].real
        for pixel in pixels[1:]:
            y = np.maximum(y, pixel.real)
        first, undecided = [], np.ones(y.shape, bool)
        for pixel in pixels:
            first.append((pixel.real == y) & undecided)
            undecided ^= first[-1]
        if np.iscomplexobj(x):
            y = sum(pixel * chosen for pixel, chosen in zip(pixels, first))
        return np.ascontiguousarray(y), (first, x.shape)

    def backward(self, dy, cache, need_dx=True):
        """dL/dx[b,u,v,c] = sum of dL/dy[b,i,j,c] over the windows i, j whose largest pixel is u, v          [POOL-2]"""
        first, shape = cache  # first: kh kw arrays (B, H', W', C): is this place of the window its first maximum?
        has_shape(f"MaxPool2D({self.size}).backward", "dy", dy, first[0].shape)
        if not need_dx:
            return None
        dx = np.zeros(shape, dy.dtype)
        for place, chosen in zip(np.ndindex(self.size), first):
            at = each_window(dx, place, self.stride, dy.shape[1:3])
            at += dy * chosen
        return dx


class Reshape(Layer):
    """Rows (B, n) -> (B, *shape), in reading order: the same numbers, as pictures."""

    def __init__(self, shape):
        if not isinstance(shape, (tuple, list)) or not shape:
            raise TypeError(f"Reshape: shape must be a tuple such as (28, 28, 1), got {shape!r}.")
        self.shape = tuple(positive_integer("Reshape", "each size of shape", n) for n in shape)

    def config(self):
        """The constructor's argument."""
        return {**super().config(), "shape": list(self.shape)}

    def forward(self, x):
        """-> (B, *shape), and no cache.  Raises ValueError if x is not (B, product of shape)."""
        has_shape(f"Reshape({self.shape})", "x", x, ("B", math.prod(self.shape)), "one picture a row.")
        return x.reshape(len(x), *self.shape), None

    def backward(self, dy, cache, need_dx=True):
        """dL/dx = dL/dy, as rows again."""
        has_shape(f"Reshape({self.shape}).backward", "dy", dy, ("B", *self.shape))
        return dy.reshape(len(dy), math.prod(self.shape)) if need_dx else None


class Flatten(Layer):
    """(B, ...) -> rows (B, n), in reading order; with channels_first all pixels of the first channel come before the second's.

    A likelihood of two outputs a pixel wants them so: the means of all pixels, then their second parameters.
    """

    def __init__(self, channels_first=False):
        self.channels_first = bool(channels_first)

    def config(self):
        """The constructor's argument."""
        return {**super().config(), "channels_first": self.channels_first}

    def forward(self, x):
        """-> (B, n), and the shape of x.  Raises ValueError if x is a single number or one picture without a batch axis."""
        if x.ndim < 2:
            raise ValueError(f"Flatten: x has shape {x.shape}, expected (B, ...): the first axis counts the examples.")
        rows = np.moveaxis(x, -1, 1) if self.channels_first else x
        return rows.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(self, dy, shape, need_dx=True):
        """dL/dx = dL/dy, in the shape of x again."""
        has_shape("Flatten.backward", "dy", dy, (shape[0], math.prod(shape[1:])))
        if not need_dx:
            return None
        if self.channels_first:
            return np.moveaxis(dy.reshape(shape[0], shape[-1], *shape[1:-1]), 1, -1)
        return dy.reshape(shape)
