"""Random streams and batches: everything random in training comes from here.

A stream is a function of (root seed, purpose, epoch) and of nothing else. So a resumed run needs no generator state, and
evaluating, or not, cannot change training.
"""

from dataclasses import dataclass, replace

import numpy as np

from npvae.core.checks import finite
from npvae.data.dataset import scaled

SHUFFLE, NOISE, BINARIZE, EVALUATION = range(4)  # the purposes; part of the checkpoint format: never renumber
CHUNK_ROWS = 4096


def stream(root, purpose, epoch):
    """The generator of one purpose in one epoch. Epochs count from 1; 0 stands for what is drawn once a run."""
    return np.random.default_rng(np.random.SeedSequence(root, spawn_key=(purpose, epoch)))


@dataclass(frozen=True)
class Rows:
    """Rows of data (N, D) as they lie in memory: integers with their scale, or floats with scale None.

    labels: (N,) integers for a conditional model, else None.
    """

    rows: np.ndarray
    scale: float | None
    labels: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    def range(self):
        """The smallest and the largest of all values, scaled: two floats."""
        return tuple(float(end) / (self.scale or 1.0) for end in (self.rows.min(), self.rows.max()))

    def floats(self, index, dtype):
        """The rows at index (or a slice), scaled: (B, D)."""
        return scaled(self.rows[index], self.scale, dtype)

    def given(self, index):
        """What a model is told beside the rows at index, as keyword arguments of its methods: their labels, or nothing."""
        return {} if self.labels is None else {"condition": self.labels[index]}


def binarized(data, how, rng, dtype):
    """All rows as 0/1, fixed: "threshold": x >= 1/2; "static": x ~ Bernoulli(grey value), drawn once.  Rows -> Rows.

    Raises NonFiniteError for a NaN, which would become black in silence."""
    if how not in ("threshold", "static"):
        return data
    if data.scale is None:
        finite("binarize", "remove or repair such rows (the first index is the row).", rows=data.rows)
    black = np.empty(data.rows.shape, np.uint8)
    for start in range(0, len(data), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        x = data.floats(rows, dtype)
        black[rows] = x >= 0.5 if how == "threshold" else rng.random(x.shape, dtype=dtype) < x
    return replace(data, rows=black, scale=1.0)


class TrainingBatches:
    """Each epoch: the rows in a new order, cut into batches; the last one is as short as it comes.

    binarize: None, "threshold", "static" (drawn once for the run) or "dynamic" (drawn afresh each epoch).
    samples: None for noise (B, Z); K for noise (K, B, Z).
    """

    def __init__(self, model, data, batch_size, binarize, root, samples=None):
        self.model, self.batch_size, self.root, self.samples = model, batch_size, root, samples
        self.data = binarized(data, binarize, stream(root, BINARIZE, 0), model.real_dtype)
        self.dynamic = binarize == "dynamic"

    def __len__(self):
        return -(-len(self.data) // self.batch_size)  # batches an epoch

    def epoch(self, epoch, start=0):
        """Yield (x, eps, given) from batch number `start` on; given: {} or {"condition": labels (B,)}.

        What the earlier batches drew is drawn and thrown away."""
        dtype = self.model.real_dtype
        order = stream(self.root, SHUFFLE, epoch).permutation(len(self.data))
        noise_rng, pixel_rng = stream(self.root, NOISE, epoch), stream(self.root, BINARIZE, epoch)
        for i in range(len(self)):
            rows = order[i * self.batch_size : (i + 1) * self.batch_size]
            eps = noise(self.model, len(rows), noise_rng, self.samples)
            if self.dynamic:
                u = pixel_rng.random((len(rows), self.data.rows.shape[1]), dtype=dtype)  # (B, D)
            if i < start:
                continue
            x = self.data.floats(rows, dtype)  # (B, D)
            yield (u < x).astype(dtype) if self.dynamic else x, eps, self.data.given(rows)


class ValidationBatches:
    """The validation rows in order, the same pixels at every epoch: thresholded, or drawn once for "static" and "dynamic"."""

    def __init__(self, model, data, batch_size, binarize, root, samples=None):
        self.model, self.batch_size, self.root, self.samples = model, batch_size, root, samples
        fixed = "static" if binarize == "dynamic" else binarize
        self.data = binarized(data, fixed, stream(root, EVALUATION, 0), model.real_dtype)

    def epoch(self, epoch):
        """Yield (x, eps, given), as TrainingBatches does."""
        noise_rng = stream(self.root, EVALUATION, epoch)
        for start in range(0, len(self.data), self.batch_size):
            rows = slice(start, start + self.batch_size)
            x = self.data.floats(rows, self.model.real_dtype)
            yield x, noise(self.model, len(x), noise_rng, self.samples), self.data.given(rows)


def noise(model, B, rng, samples):
    """eps (B, Z), or (K, B, Z) if there are K samples; None for a model without noise."""
    if samples is None:
        return model.noise(B, rng)
    eps = model.noise(samples * B, rng)  # (K B, Z)
    return None if eps is None else eps.reshape(samples, B, -1)
