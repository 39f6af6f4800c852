"""Layers: forward gives (y, cache), backward takes dy and that cache, fills the layer's gradients and gives dx.

A layer remembers nothing of its input, so encoding a picture between forward and backward is harmless. Gradients are assigned,
never accumulated. need_dx=False saves dL/dx where nobody asks for it: at the first layer, whose input is the data.
"""

import numpy as np

from npvae.core.checks import generator, has_shape, positive_integer
from npvae.core.numerics import sigmoid, softplus
from npvae.core.parameters import Layer, named_parameters


def glorot(n_in, n_out, rng):
    """W ~ U(-a, a), a = sqrt(6 / (n_in + n_out)), b = 0: keeps tanh activations and gradients at one scale.      [INIT-1]

    Glorot & Bengio (2010).  Returns W (n_in, n_out), b (n_out,)."""
    a = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-a, a, (n_in, n_out)), np.zeros(n_out)


def he(n_in, n_out, rng):
    """W ~ N(0, 2 / n_in), b = 0: the 2 makes up for the half that ReLU sets to zero.  He et al. (2015).          [INIT-2]

    Returns W (n_in, n_out), b (n_out,)."""
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)


def uniform(n_in, n_out, rng):
    """W, b ~ U(-a, a), a = 1 / sqrt(n_in): what PyTorch's Linear does, for comparing with its numbers.             [INIT-3]

    Returns W (n_in, n_out), b (n_out,)."""
    a = 1 / np.sqrt(n_in)
    return rng.uniform(-a, a, (n_in, n_out)), rng.uniform(-a, a, n_out)


INITIALIZERS = {"glorot": glorot, "he": he, "uniform": uniform}


class Dense(Layer):
    """y = x W + b                  x (B, n_in)   W (n_in, n_out)   b (n_out,)   y (B, n_out)                     [DENSE-1]

    rng: a numpy.random.Generator for the initial W; init: "glorot", "he", "uniform", or a function (n_in, n_out, rng) -> W, b.
    """

    parameters = ("W", "b")

    def __init__(self, n_in, n_out, *, rng, dtype=np.float64, init="glorot"):
        self.n_in, self.n_out = positive_integer("Dense", "n_in", n_in), positive_integer("Dense", "n_out", n_out)
        if not callable(init) and init not in INITIALIZERS:
            raise ValueError(f"Dense: init must be one of {', '.join(INITIALIZERS)} or a function, got {init!r}.")
        initialize = init if callable(init) else INITIALIZERS[init]
        W, b = initialize(self.n_in, self.n_out, generator("Dense", rng))
        has_shape("Dense", "W of init", W, (self.n_in, self.n_out))
        has_shape("Dense", "b of init", b, (self.n_out,))
        self.W, self.b = np.asarray(W, dtype), np.asarray(b, dtype)

    def config(self):
        """n_in and n_out; the initialization is history."""
        return {**super().config(), "n_in": self.n_in, "n_out": self.n_out}

    def forward(self, x):
        """-> y (B, n_out), cache [DENSE-1].  Raises ValueError if x is not (B, n_in)."""
        if x.ndim != 2 or x.shape[1] != self.n_in:
            raise ValueError(f"Dense({self.n_in}, {self.n_out}): x has shape {x.shape}, expected (B, {self.n_in}).")
        y = x @ self.W  # (B, n_out)
        y += self.b  # in place, which spares a second array of y's size: a quarter of a decoder's time at 334 x 784
        return y, x  # the backward pass needs x and nothing else

    def backward(self, dy, x, need_dx=True):
        """Fill dW, db; -> dx (B, n_in).

        dL/dW = x^T dy                                                                                         [DENSE-2]
        dL/db = sum over the batch of dy                                                                       [DENSE-3]
        dL/dx = dy W^T                                                                                         [DENSE-4]
        """
        has_shape(f"Dense({self.n_in}, {self.n_out}).backward", "dy", dy, (len(x), self.n_out))
        np.matmul(x.T, dy, out=self.dW)  # (n_in, n_out)
        np.sum(dy, axis=0, out=self.db)  # (n_out,)
        return dy @ self.W.T if need_dx else None  # (B, n_in)


class Tanh(Layer):
    """y = tanh(x), element by element.                                                                             [ACT-1]"""

    def forward(self, x):
        """-> y, cache.  Any shape."""
        y = np.tanh(x)
        return y, y

    def backward(self, dy, y, need_dx=True):
        """dL/dx = (1 - y^2) dL/dy                                                                                  [ACT-2]"""
        return dy * (1 - y**2) if need_dx else None


class ReLU(Layer):
    """y = max(x, 0), element by element.  At x = 0 the slope is taken as 0, in both passes.                        [ACT-3]"""

    def forward(self, x):
        """-> y, cache.  Any shape."""
        active = x.real > 0
        return x * active, active

    def backward(self, dy, active, need_dx=True):
        """dL/dx = dL/dy where x > 0, else 0                                                                        [ACT-4]"""
        return dy * active if need_dx else None


class Softplus(Layer):
    """y = softplus(x) = log(1 + e^x), element by element: a ReLU without the kink.                                 [ACT-5]"""

    def forward(self, x):
        """-> y, cache.  Any shape."""
        return softplus(x), x

    def backward(self, dy, x, need_dx=True):
        """dL/dx = sigmoid(x) dL/dy                                                                                 [ACT-6]"""
        return dy * sigmoid(x) if need_dx else None


class Sigmoid(Layer):
    """y = sigmoid(x) = 1 / (1 + e^-x), element by element.                                                         [ACT-7]

    For hidden layers. The Bernoulli likelihood takes logits: a Sigmoid before it would squash them twice."""

    def forward(self, x):
        """-> y, cache.  Any shape."""
        y = sigmoid(x)
        return y, y

    def backward(self, dy, y, need_dx=True):
        """dL/dx = y (1 - y) dL/dy                                                                                  [ACT-8]"""
        return dy * y * (1 - y) if need_dx else None


class Chain(Layer):
    """One layer after the other: y = f_n( ... f_2( f_1(x) ) ); backward runs through them from the last to the first.  [CHAIN-1]"""

    def __init__(self, layers):
        self.layers = list(layers)
        for i, layer in enumerate(self.layers):
            if not (isinstance(layer, Layer) and hasattr(layer, "forward") and hasattr(layer, "backward")):
                hint = f"; make an instance: {layer.__name__}(...)" if isinstance(layer, type) else ""
                raise TypeError(f"Chain: layer {i} must be a Layer with forward and backward, got {layer!r}{hint}.")

    def config(self):
        """The layers' own configs, in order."""
        return {**super().config(), "layers": [layer.config() for layer in self.layers]}

    def forward(self, x):
        """-> y, and the caches of all layers."""
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x)
            caches.append(cache)
        return x, caches

    def backward(self, dy, caches, need_dx=True):
        """dL/dx by the chain rule: each layer turns dL/d(its output) into dL/d(its input).                         [CHAIN-2]

        Without need_dx the way back ends at the first layer with parameters."""
        end = 0 if need_dx else self._first_with_parameters()
        for i in reversed(range(end, len(self.layers))):
            dy = self.layers[i].backward(dy, caches[i], need_dx=need_dx or i > end)
        return dy if need_dx else None

    def _first_with_parameters(self):
        """The position of the first layer that has parameters, or is made of some that do; the length if there is none."""
        return next((i for i, layer in enumerate(self.layers) if any(named_parameters("", [layer]))), len(self.layers))
