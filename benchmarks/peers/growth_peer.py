"""npvae at several sizes of one setting, which take turns within one process."""

import functools
import gc
import tracemalloc

import numpy as np

import npvae
from benchmarks import workloads
from benchmarks.peer import Workload
from benchmarks.peers.numpy_peer import versions  # noqa: F401    a peer says what it stands on
from npvae.evaluation import log_likelihood

ROWS = 2**14  # images in memory that all training steps go through, whatever the batch
LR = 1e-5  # small: thousands of steps leave the numbers of the deepest network in their usual range, and cost the same


class Turns:
    """The same work at several sizes: one burst lets each work in turn; `result` is the peak memory of each, in megabytes."""

    def __init__(self, make, cases):
        self.workloads = [make(**case) for case in cases]
        self.result = [peak_megabytes(workload.run) for workload in self.workloads]

    def burst(self, seconds):
        """-> seconds a call, of each size."""
        return [workload.burst(seconds) for workload in self.workloads]


def peak_megabytes(run):
    """Peak of the memory that one call of `run` allocates beyond what was there before it.

    The first call is not counted, since it makes what stays: the optimizer's moments. NumPy reports its arrays to tracemalloc;
    what BLAS takes for itself is not in it."""
    run(1)
    gc.collect()
    tracemalloc.start()
    run(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


@functools.cache
def images(data_dim, n):
    """n images of 784 or 64 pixels, in [0, 1], float32."""
    return workloads.images({784: "784-400-20", 64: "64-128-2"}[data_dim], n)


def bytes_of_images(n):
    """n images of 784 pixels as they lie in files: 8-bit."""
    return (255 * images(784, n)).astype(np.uint8)


def model_of(data_dim=784, hidden=(400,), latent_dim=20):
    """A model whose numbers keep their size through many layers."""
    rng = np.random.default_rng(0)
    return npvae.VAE.dense(data_dim, tuple(hidden), latent_dim, activation=npvae.ReLU, init="he", rng=rng)


def step(batch=128, **sizes):
    """A training step: forward, backward, Adam; the noise drawn for every step."""
    vae, optimizer, rng = model_of(**sizes), npvae.Adam(lr=LR), np.random.default_rng(0)
    x = images(vae.data_dim, ROWS).reshape(-1, batch, vae.data_dim)
    done = 0

    def run(n):
        nonlocal done
        for _ in range(n):
            vae.loss_and_grad(x[done % len(x)], vae.noise(batch, rng))
            optimizer.step(vae.params.theta, vae.params.grad)
            done += 1

    return Workload(run)


def importance_sampling(samples, rows=4, **sizes):
    """L_k of a few binary images."""
    vae, x = model_of(**sizes), (images(784, rows) >= 0.5).astype(np.float32)

    def run(n):
        for i in range(n):
            log_likelihood(vae, x, np.random.default_rng(i), samples=samples)

    return Workload(run)


def epoch(rows, **sizes):
    """An epoch of `fit` over so many 8-bit images."""
    vae, x = model_of(**sizes), bytes_of_images(rows)
    data = npvae.data.Dataset("images", train=x, test=x[:1], scale=255.0)

    def run(n):
        for i in range(n):
            rng = np.random.default_rng(i)
            npvae.fit(vae, data, optimizer=npvae.Adam(lr=LR), epochs=1, batch_size=128, rng=rng, progress=False)

    return Workload(run)


WORKLOADS = {make.__name__: functools.partial(Turns, make) for make in (step, importance_sampling, epoch)}
