"""npvae's L_K of MNIST's test images; what every library is given stands here, too."""

import numpy as np

import npvae
from benchmarks import workloads
from benchmarks.peer import Workload
from benchmarks.peers.numpy_peer import versions
from npvae.evaluation import log_likelihood

__all__ = ["WORKLOADS", "versions"]

MODEL = "784-200-200-50"
K = 5000  # draws
IMAGES = 100  # that the bursts go through, from the first; repeated where a burst is longer
SAME = 5  # images on which all must agree, given the same noise


def images(n):
    """The first n test images of MNIST, black and white, (n, 784) float32; without the files, random ones."""
    try:
        rows = npvae.data.load_mnist().test[:n]
    except FileNotFoundError:
        rows = workloads.mnist(n)
    return (rows >= 128).astype(np.float32)


def noise():
    """eps (SAME, K, Z), float64."""
    return np.random.default_rng(2).standard_normal((SAME, K, workloads.MODELS[MODEL].latent_dim))


def summary(values):
    """What is compared: the mean of L_K, and its values, image by image."""
    return workloads.summary(np.mean(values), [values])


class Replay(np.random.Generator):
    """A generator whose normal numbers are those of a given array, so that every library sees the same noise."""

    def __init__(self, numbers):
        super().__init__(np.random.PCG64(0))
        self.numbers, self.used = numbers.ravel(), 0

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """The next numbers."""
        n = int(np.prod(size))
        self.used += n
        return self.numbers[self.used - n : self.used].reshape(size).astype(dtype)


def importance(workers=1):
    """A call is one image; many calls are one call of log_likelihood on as many rows, as it is used."""
    vae, x, rng = workloads.vae(MODEL), images(IMAGES), np.random.default_rng(1)

    def run(n):
        log_likelihood(vae, np.resize(x, (n, x.shape[1])), rng, samples=K, progress=False, workers=workers)

    values = log_likelihood(vae, x[:SAME], Replay(noise()), samples=K, progress=False, workers=workers)
    return Workload(run, summary(values))


WORKLOADS = {"importance": importance}
