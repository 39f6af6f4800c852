"""PyTorch on the CPU, as its users write it: Linear layers, binary cross-entropy on logits, torch.optim.Adam."""

import os

import numpy as np
import torch
from PIL import Image  # matplotlib needs it, so it is there
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks import workloads
from benchmarks.peer import Workload, repeated

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def versions():
    """Of what stands below."""
    return {"torch": torch.__version__}


def chain(layers, activation):
    """Linear layers with these weights, with the activation between them."""
    modules = []
    for W, b in layers:
        linear = nn.Linear(*W.shape)
        linear.weight.data, linear.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
        modules += [linear, getattr(nn, activation)()]
    return nn.Sequential(*modules[:-1])


class VAE(nn.Module):
    """The same model with the same parameters."""

    def __init__(self, model):
        super().__init__()
        activation = workloads.MODELS[model].activation
        self.encoder, self.decoder = (chain(layers, activation) for layers in workloads.parameters(model))

    def forward(self, x, eps):
        """-> the loss: mean over the batch of cross-entropy + KL."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * logvar) * eps
        nll = self.cross_entropy(self.decoder(z), x)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return (nll + kl) / len(x)

    @staticmethod
    def cross_entropy(logits, x):
        """Its sum."""
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")

    def gradients(self):
        """In the order of workloads.parameters, as arrays."""
        return [(p.grad.T if p.ndim == 2 else p.grad).numpy() for p in self.parameters()]


def training_step(model, batch, fused=False, compiled=False):
    """Forward, backward, Adam; the noise drawn for every step."""
    vae, x = VAE(model), torch.tensor(workloads.batches(model, batch))
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=fused or None)
    loss_of = torch.compile(vae) if compiled else vae
    loss = loss_of(x[0], torch.tensor(workloads.noise(model, batch)))
    loss.backward()
    result = workloads.summary(loss.detach(), vae.gradients())
    latent_dim = workloads.MODELS[model].latent_dim

    def run(n):
        for i in range(n):
            optimizer.zero_grad()
            loss_of(x[i % len(x)], torch.randn(batch, latent_dim)).backward()
            optimizer.step()

    return Workload(run, result)


class Images(Dataset):
    """8-bit images, one by one: through PIL and from there to floats, as torchvision's MNIST with ToTensor does it."""

    def __init__(self, rows):
        self.rows, self.labels = torch.from_numpy(rows.reshape(-1, 28, 28)), torch.zeros(len(rows), dtype=torch.int64)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        picture = Image.fromarray(self.rows[i].numpy())
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.labels[i])


def in_batches(rows, batch, loader):
    """A function -> the batches of an epoch in a new order: by a DataLoader, or cut from floats in memory."""
    if loader:
        loader = DataLoader(Images(rows), batch_size=batch, shuffle=True)
        return lambda: (x.view(len(x), -1) for x, _ in loader)
    x = torch.from_numpy(rows).to(torch.float32).div(255)
    return lambda: (x[index] for index in torch.randperm(len(x)).split(batch))


def sigmoid_cross_entropy(logits, x):
    """As pytorch/examples/vae has it: a sigmoid, then its logarithm."""
    return F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")


def epoch(model, batch, n, loader=False, fused=False):
    """An epoch over n images. loader: as pytorch/examples/vae does it; else data in memory, and cross-entropy on logits."""
    vae, rows = VAE(model), workloads.mnist(n)
    if loader:
        vae.cross_entropy = sigmoid_cross_entropy
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=fused or None)
    loss = vae(torch.from_numpy(rows[:batch] / np.float32(255)), torch.tensor(workloads.noise(model, batch)))
    loss.backward()
    result = workloads.summary(loss.detach(), vae.gradients())
    batches, latent_dim = in_batches(rows, batch, loader), workloads.MODELS[model].latent_dim

    def one():
        total = 0.0
        for x in batches():
            optimizer.zero_grad()
            loss = vae(x, torch.randn(len(x), latent_dim))
            loss.backward()
            optimizer.step()
            total += len(x) * loss.item()
        return total

    return Workload(repeated(one), result)


WORKLOADS = {"step": training_step, "epoch": epoch}
