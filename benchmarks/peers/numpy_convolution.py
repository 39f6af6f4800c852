"""npvae's layers one by one, and the convolutional model of article 4, a step and an epoch of it.

What every library is given stands here, too: the layers with their parameters, x, dy, the model, the noise."""

import math
from typing import NamedTuple

import numpy as np

import npvae
from benchmarks import workloads
from benchmarks.peer import Workload, repeated
from benchmarks.peers.numpy_peer import versions
from npvae.beyond import Conv2D, ConvTranspose2D, MaxPool2D, convolutional

__all__ = ["WORKLOADS", "versions"]

B = 256  # images a step of the convolutional model
EVERY = 32  # of the rows of y and dx, one in so many is compared: all of them times 16 random vectors would fill the memory


class Case(NamedTuple):
    """A layer, the shape of one example of its x, the batch; the first layer of a model needs no dL/dx."""

    kind: type
    settings: dict
    shape: tuple
    batch: int = B
    first: bool = False


HALVED = {"stride": 2, "padding": 1, "output_padding": 1}
LAYERS = {
    "Dense 784 -> 400": Case(npvae.Dense, {"n_in": 784, "n_out": 400}, (784,), 128, first=True),
    "Dense 400 -> 784": Case(npvae.Dense, {"n_in": 400, "n_out": 784}, (400,), 128),
    "Conv2D 1 -> 32": Case(Conv2D, {"c_in": 1, "c_out": 32, "padding": 1}, (28, 28, 1), first=True),
    "MaxPool2D of 28 x 28": Case(MaxPool2D, {}, (28, 28, 32)),
    "Conv2D 32 -> 64": Case(Conv2D, {"c_in": 32, "c_out": 64, "padding": 1}, (14, 14, 32)),
    "MaxPool2D of 14 x 14": Case(MaxPool2D, {}, (14, 14, 64)),
    "ConvTranspose2D 64 -> 64": Case(ConvTranspose2D, {"c_in": 64, "c_out": 64, **HALVED}, (7, 7, 64)),
    "ConvTranspose2D 64 -> 32": Case(ConvTranspose2D, {"c_in": 64, "c_out": 32, **HALVED}, (14, 14, 64)),
    "ConvTranspose2D 32 -> 1": Case(ConvTranspose2D, {"c_in": 32, "c_out": 1, "padding": 1}, (28, 28, 32)),
}


def given(name):
    """-> the layer with its parameters, x, dy: float32, the same in every process."""
    kind, settings, shape, batch, _ = LAYERS[name]
    rng = np.random.default_rng(0)
    initial = {"rng": rng, "dtype": np.float32, "init": "uniform"} if kind.parameters else {}
    layer, x = kind(**settings, **initial), rng.standard_normal((batch, *shape), np.float32)
    return layer, x, rng.standard_normal(layer.forward(x)[0].shape, np.float32)


def summary(y, dx, gradients):
    """What is compared of a layer: the mean square of y; some rows of y and dx (if any), and the gradients' mean over the batch.

    y and dx have npvae's order of axes."""
    parts = [y[::EVERY], *([] if dx is None else [dx[::EVERY]]), *(gradient / len(y) for gradient in gradients)]
    return workloads.summary(np.mean(np.square(y, dtype=np.float64)), parts)


def one_layer(name):
    """Forward and backward through one layer."""
    layer, x, dy = given(name)
    need_dx = not LAYERS[name].first

    def both():
        y, cache = layer.forward(x)
        return y, layer.backward(dy, cache, need_dx)

    gradients = [getattr(layer, f"d{parameter}") for parameter in layer.parameters]
    return Workload(repeated(both), summary(*both(), gradients))


def model():
    """The model of article 4, with squared error as a Gaussian of variance 1/2."""
    return convolutional((28, 28), 2, npvae.Gaussian(math.sqrt(0.5)), rng=np.random.default_rng(0))


def first_batch():
    """x (B, 784) and eps (B, 2), on which the libraries must agree.

    x is random: in the flat parts of real images rounding decides which pixel of a window is the largest."""
    rng = np.random.default_rng(2)
    return rng.random((B, 784), np.float32), rng.standard_normal((B, 2), np.float32)


def first_step(vae):
    """What is compared of a model: its loss and gradient at the beginning."""
    x, eps = first_batch()
    loss = vae.loss_and_grad(x, eps)
    return workloads.summary(loss.total, [vae.params.grad])


def step():
    """Forward, backward, Adam; the noise drawn for every step."""
    vae, optimizer, rng = model(), npvae.Adam(lr=1e-3), np.random.default_rng(0)
    result, (x, _) = first_step(vae), first_batch()

    def one():
        vae.loss_and_grad(x, vae.noise(B, rng))
        optimizer.step(vae.params.theta, vae.params.grad)

    return Workload(repeated(one), result)


def epoch(n):
    """n images once by `fit`, which shuffles, scales and draws the noise."""
    vae, optimizer, rng = model(), npvae.Adam(lr=1e-3), np.random.default_rng(0)
    result, rows = first_step(vae), workloads.mnist(n)
    data = npvae.data.Dataset("MNIST", rows, rows[:1], scale=255.0, image_shape=(28, 28))

    def one():
        npvae.fit(vae, data, optimizer=optimizer, epochs=1, batch_size=B, rng=rng, progress=False)

    return Workload(repeated(one), result)


WORKLOADS = {"layer": one_layer, "step": step, "epoch": epoch}
