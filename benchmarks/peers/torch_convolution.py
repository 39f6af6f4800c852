"""PyTorch's layers one by one, and the convolutional model of article 4, a step and an epoch of it.

channels_last: PyTorch keeps pictures (B, C, H, W) unless told to lay the channels out last, as npvae has them."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import npvae
from benchmarks import workloads
from benchmarks.peer import Workload, repeated
from benchmarks.peers import numpy_convolution as ours
from benchmarks.peers.torch_peer import versions  # importing it sets the number of threads, too
from npvae.beyond import Conv2D, ConvTranspose2D, Flatten, MaxPool2D, Reshape

__all__ = ["WORKLOADS", "versions"]

# Between convolutions and dense layers rows are small pictures: npvae has them in the order (7, 7, 64), PyTorch in (64, 7, 7).
PIXELS = np.arange(7 * 7 * 64).reshape(7, 7, 64).transpose(2, 0, 1).ravel()
AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # of npvae's b, Dense.W and both convolutions' W, in PyTorch's order


def reordered(a, order):
    """a with that order along every axis that counts the small pictures' pixels."""
    for axis, n in enumerate(a.shape):
        if n == len(order):
            a = np.take(a, order, axis)
    return a


def to_torch(a):
    """One of npvae's parameters as PyTorch has it."""
    return torch.tensor(reordered(a, PIXELS).transpose(AXES[a.ndim]).copy())


def from_torch(a):
    """The way back, for gradients."""
    return reordered(a.numpy().transpose(np.argsort(AXES[a.ndim])), np.argsort(PIXELS))


def translated(layer):
    """PyTorch's module for one of npvae's layers, with its parameters."""
    match layer:
        case npvae.Dense():
            module = nn.Linear(layer.n_in, layer.n_out)
        case ConvTranspose2D():
            sizes = layer.kernel, layer.stride, layer.padding, layer.output_padding
            module = nn.ConvTranspose2d(layer.c_in, layer.c_out, *sizes)
        case Conv2D():
            module = nn.Conv2d(layer.c_in, layer.c_out, layer.kernel, layer.stride, layer.padding)
        case MaxPool2D():
            return nn.MaxPool2d(layer.size, layer.stride)
        case Reshape():
            height, width, channels = layer.shape
            return nn.Unflatten(1, (channels, height, width))
        case Flatten():
            return nn.Flatten()
        case npvae.ReLU():
            return nn.ReLU()
    module.weight.data, module.bias.data = to_torch(layer.W), to_torch(layer.b)
    return module


def memory_format(channels_last):
    """PyTorch's name for the order of axes in memory."""
    return torch.channels_last if channels_last else torch.contiguous_format


def one_layer(name, channels_last=False):
    """Forward and backward through one layer."""
    layer, *pictures = ours.given(name)
    form = memory_format(channels_last)
    module = translated(layer).to(memory_format=form)
    x, dy = (torch.tensor(np.moveaxis(a, -1, 1).copy()) for a in pictures)
    if x.ndim == 4:
        x, dy = x.contiguous(memory_format=form), dy.contiguous(memory_format=form)
    x.requires_grad_(not ours.LAYERS[name].first)

    def both():
        x.grad = None
        module.zero_grad()
        y = module(x)
        y.backward(dy)
        return y

    y = as_ours(both())
    result = ours.summary(y, None if x.grad is None else as_ours(x.grad), [from_torch(p.grad) for p in module.parameters()])
    return Workload(repeated(both), result)


def as_ours(a):
    """(B, C, H, W) -> an array (B, H, W, C)."""
    return np.moveaxis(a.detach().numpy(), 1, -1)


class VAE(nn.Module):
    """The same model with the same parameters."""

    def __init__(self):
        super().__init__()
        model = ours.model()
        self.encoder, self.decoder = (nn.Sequential(*map(translated, half.layers)) for half in (model.encoder, model.decoder))

    def forward(self, x, eps):
        """-> the loss: mean over the batch of squared error + KL. The constant makes the former a Gaussian of variance 1/2."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        out = self.decoder(mu + torch.exp(0.5 * logvar) * eps)
        kl = 0.5 * torch.sum(mu**2 + logvar.exp() - 1 - logvar)
        return (F.mse_loss(out, x, reduction="sum") + kl) / len(x) + 784 / 2 * math.log(math.pi)


class Training:
    """The model, its optimizer, and what it computes at the beginning."""

    def __init__(self, channels_last):
        self.vae = VAE().to(memory_format=memory_format(channels_last))
        self.optimizer = torch.optim.Adam(self.vae.parameters(), lr=1e-3)
        self.x, eps = map(torch.tensor, ours.first_batch())
        loss = self.vae(self.x, eps)
        loss.backward()
        self.result = workloads.summary(loss.detach(), [from_torch(p.grad) for p in self.vae.parameters()])

    def step(self, x):
        """Forward, backward, Adam; the noise drawn."""
        self.optimizer.zero_grad()
        self.vae(x, torch.randn(len(x), 2)).backward()
        self.optimizer.step()


def step(channels_last=False):
    """A training step."""
    training = Training(channels_last)
    return Workload(repeated(lambda: training.step(training.x)), training.result)


def epoch(n, channels_last=False):
    """n images once, as floats in memory, in a new order."""
    training = Training(channels_last)
    images = torch.tensor(workloads.mnist(n)).to(torch.float32).div(255)

    def one():
        for index in torch.randperm(len(images)).split(ours.B):
            training.step(images[index])

    return Workload(repeated(one), training.result)


WORKLOADS = {"layer": one_layer, "step": step, "epoch": epoch}
