"""The parts of PyTorch's training step, one by one."""

import torch
from torch.nn import functional as F

from benchmarks import workloads
from benchmarks.peer import Workload, repeated
from benchmarks.peers.torch_peer import VAE, versions

__all__ = ["WORKLOADS", "versions"]


class Middle:
    """A model in the middle of a step, with all that its parts need at hand. Each part returns what it computes."""

    def __init__(self, model, batch):
        self.vae = VAE(model)
        self.x, self.eps = torch.tensor(workloads.batches(model, batch)[0]), torch.tensor(workloads.noise(model, batch))
        self.forward()
        self.logits = self.out.detach().requires_grad_()
        self.dout = self.likelihood()

    def forward(self):
        """Encoder, sample, decoder; the graph is recorded."""
        self.mu, self.logvar = self.vae.encoder(self.x).chunk(2, dim=1)
        self.out = self.vae.decoder(self.mu + torch.exp(0.5 * self.logvar) * self.eps)
        return self.out.detach()

    def likelihood(self):
        """Cross-entropy and its gradient."""
        self.logits.grad = None
        (F.binary_cross_entropy_with_logits(self.logits, self.x, reduction="sum") / len(self.x)).backward()
        return self.logits.grad

    def backward(self):
        """From the likelihood's gradient to that of every parameter, the KL's included."""
        self.vae.zero_grad()
        kl = -0.5 * torch.sum(1 + self.logvar - self.mu.pow(2) - self.logvar.exp()) / len(self.x)
        torch.autograd.backward([self.out, kl], [self.dout, None], retain_graph=True)
        return self.vae.gradients()


def part(model, batch, which):
    """forward, likelihood or backward alone."""
    f = getattr(Middle(model, batch), which)
    result = f()
    return Workload(repeated(f), workloads.summary(1.0, result if which == "backward" else [result.numpy()]))


def adam(model, **how):
    """A step of torch.optim.Adam on the model's parameters; how: foreach, fused."""
    vae = VAE(model)
    gradient, before = torch.tensor(workloads.gradient(model)), torch.nn.utils.parameters_to_vector(vae.parameters()).detach()
    torch.nn.utils.vector_to_parameters(gradient, vae.parameters())  # a way to cut the vector up
    for p in vae.parameters():
        p.grad = p.data.clone()
    torch.nn.utils.vector_to_parameters(before.clone(), vae.parameters())
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, **how)
    optimizer.step()
    after = torch.nn.utils.parameters_to_vector(vae.parameters()).detach()
    return Workload(repeated(optimizer.step), workloads.summary(1.0, [(after - before).numpy()]))


WORKLOADS = {"part": part, "adam": adam}
