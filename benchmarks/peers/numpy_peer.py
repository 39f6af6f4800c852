"""npvae, and the bare matrix products of its step."""

import numpy as np

import npvae
from benchmarks import workloads
from benchmarks.machine import blas_kernels
from benchmarks.peer import Workload, repeated


def versions():
    """Of what stands below."""
    return {"npvae": npvae.__version__, "numpy": np.__version__, "BLAS kernels": blas_kernels()}


def training_step(model, batch):
    """Forward, backward, Adam; the noise drawn for every step."""
    vae, optimizer, rng = workloads.vae(model), npvae.Adam(lr=1e-3), np.random.default_rng(0)
    x = workloads.batches(model, batch)
    loss = vae.loss_and_grad(x[0], workloads.noise(model, batch))
    result = workloads.summary(loss.total, [vae.params.grad])

    def run(n):
        for i in range(n):
            vae.loss_and_grad(x[i % len(x)], vae.noise(batch, rng))
            optimizer.step(vae.params.theta, vae.params.grad)

    return Workload(run, result)


def matrix_products(model, batch):
    """The matrix products of that step and nothing else: y = x W, dW = x^T dy, dx = dy W^T (not for the first layer)."""
    rng = np.random.default_rng(0)
    work = []
    for W, _ in sum(workloads.parameters(model), []):
        x, dy = (rng.random((batch, n), np.float32) for n in W.shape)
        work.append((x, dy, W, np.empty_like(W)))

    def run(n):
        for _ in range(n):
            for i, (x, dy, W, dW) in enumerate(work):
                x @ W
                np.matmul(x.T, dy, out=dW)
                if i > 0:
                    dy @ W.T

    return Workload(run)


def epoch(model, batch, n):
    """An epoch over n images by `fit`, which shuffles, scales and draws the noise."""
    vae, optimizer, rng = workloads.vae(model), npvae.Adam(lr=1e-3), np.random.default_rng(0)
    rows = workloads.mnist(n)
    loss = vae.loss_and_grad(rows[:batch] / np.float32(255), workloads.noise(model, batch))
    result = workloads.summary(loss.total, [vae.params.grad])
    data = npvae.data.Dataset("MNIST", rows, rows[:1], scale=255.0, image_shape=(28, 28))

    def one():
        npvae.fit(vae, data, optimizer=optimizer, epochs=1, batch_size=batch, rng=rng, progress=False)

    return Workload(repeated(one), result)


WORKLOADS = {
    "step": training_step,
    "matrix products": matrix_products,
    "epoch": epoch,
}
