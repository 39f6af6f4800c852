"""The parts of npvae's training step, one by one."""

import numpy as np

import npvae
from benchmarks import workloads
from benchmarks.peer import Workload, repeated
from benchmarks.peers.numpy_peer import versions
from npvae.core.gaussian import kl_divergence_backward, reparameterize, reparameterize_backward
from npvae.core.optimizers import adam_update

__all__ = ["WORKLOADS", "versions"]


class Middle:
    """A model in the middle of a step, with all that its parts need at hand. Each part returns what it computes."""

    def __init__(self, model, batch):
        self.vae = workloads.vae(model)
        self.x, self.eps = workloads.batches(model, batch)[0], workloads.noise(model, batch)
        self.dnll = np.full(batch, 1 / batch, np.float32)
        self.forward()
        self.likelihood()

    def forward(self):
        """Encoder, sample, decoder."""
        code, self.encoder_cache = self.vae.encoder.forward(self.x)
        self.mu, self.logvar = np.split(code, 2, axis=1)
        z, self.sample_cache = reparameterize(self.mu, self.logvar, self.eps)
        self.out, self.decoder_cache = self.vae.decoder.forward(z)
        return self.out

    def likelihood(self):
        """-log p(x|z) and its gradient."""
        _, self.dout = self.vae.likelihood.nll_and_grad(self.out, self.x, self.dnll)
        return self.dout

    def backward(self):
        """From the likelihood's gradient to that of every parameter, the KL's included."""
        dz = self.vae.decoder.backward(self.dout, self.decoder_cache)
        dmu, dlogvar = reparameterize_backward(dz, self.sample_cache)
        dmu_kl, dlogvar_kl = kl_divergence_backward(self.mu, self.logvar, self.dnll)
        self.vae.encoder.backward(np.concatenate([dmu + dmu_kl, dlogvar + dlogvar_kl], axis=1), self.encoder_cache, need_dx=False)
        return self.vae.params.grad


def part(model, batch, which):
    """forward, likelihood or backward alone."""
    f = getattr(Middle(model, batch), which)
    return Workload(repeated(f), workloads.summary(1.0, [f()]))


def adam(model, literal=False):
    """A step of Adam on the model's parameters: npvae.Adam, or as printed, on each array."""
    params = workloads.vae(model).params
    params.grad = workloads.gradient(model)
    before = params.theta.copy()
    if literal:
        step = literal_adam(params)
    else:
        optimizer = npvae.Adam(lr=1e-3)
        step = repeated(lambda: optimizer.step(params.theta, params.grad))
    step(1)
    return Workload(step, workloads.summary(1.0, [params.theta - before]))


def literal_adam(params):
    """-> run(n): Algorithm 1 as printed, array by array."""
    state = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value, _ in params}
    t = 0

    def run(n):
        nonlocal t
        for _ in range(n):
            t += 1
            for name, value, grad in params:
                value[...], *state[name] = adam_update(value, grad, *state[name], t, 1e-3, 0.9, 0.999, 1e-8)

    return run


WORKLOADS = {"part": part, "adam": adam}
