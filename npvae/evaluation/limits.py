"""Floor and ceiling of a loss: what no model can pass, and what a model reaches that ignores z. Without them a loss says little.

Everything is a loss here, -log p(x) or a bound of it, in nats per example: lower is better.
"""

import copy
import math
from typing import NamedTuple

import numpy as np

from npvae.beyond.categorical import Categorical
from npvae.beyond.likelihoods import DiagonalGaussian
from npvae.core.checks import finite, has_shape, positive_integer
from npvae.core.gaussian import LOG_2PI
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.data.dataset import Dataset, scaled
from npvae.evaluation import exact

CHUNK_ROWS = 1024  # few enough that the float64 copies of a chunk of images stay small
DRAWN = ("static", "dynamic")
BINARIZE = (None, "none", "threshold", *DRAWN)
KEPT = 1e-17  # share of min_sigma^2: a variance this little above the floor is the floor


class Limits(NamedTuple):
    """Of a loss, in nats per example; None where there is none, or none can be told. See `limits`."""

    floor: float | None
    ceiling: float | None
    linear: float | None = None

    def shifted(self, volume):
        """The limits of a loss that is `volume` nats larger: that of the data, where they were standardized."""
        return Limits(*(None if value is None else value + volume for value in self))

    def remark(self, loss):
        """What is to be said of this loss beside its limits: a sentence, or None."""
        if self.ceiling is not None and loss > self.ceiling:
            return f"{loss:.4f} is worse than the model that ignores z: not trained, or not enough."
        return None


def limits(data, likelihood, x, binarize=None, latent_dim=None, drawn_from=None):
    """What a loss, -ELBO or -log p(x), of the rows x lies between -> Limits(floor, ceiling, linear).

        ceiling = 1/B sum_b -log p(x_b | out*),      out* the same for all rows: the best for the training rows
        floor   = 1/B sum_b sum_d -( x log x + (1 - x) log(1 - x) )           Bernoulli: the entropy of grey pixels

    ceiling: the collapsed model. It ignores z, its KL is 0, and its output gives the mean of the training rows (of Bernoulli kept
    within [0.001, 0.999]), and where a variance is learned, theirs: one for all pixels, or with DiagonalGaussian one for each.
    floor: what no model can pass. It is 0 for letters and for black-and-white pixels; if those were drawn from grey ones, it is in
    expectation the entropy of these, drawn_from. A Gaussian of fixed sigma has D/2 log(2 pi sigma^2), other densities have none.
    linear, for a Gaussian and a latent_dim: what the best linear VAE of as many latents reaches. That is probabilistic PCA of the
    training rows, with the sigma of the likelihood where it is fixed; None if they lie in so few dimensions, or if their pixels are
    to be drawn. None for DiagonalGaussian: a linear VAE with a sigma for each pixel is factor analysis, which has no closed form.

    data: a Dataset, whose training rows count; x, drawn_from: (B, D) floats, scaled; binarize: None, "none", "threshold", "static"
    or "dynamic". Raises TypeError, ValueError for other arguments, NonFiniteError for a NaN.
    """
    x, grey, latent_dim = _arguments(data, x, binarize, latent_dim, drawn_from)
    rows = _TrainingRows(data, binarize)
    out, twin = _collapsed(likelihood, rows)
    ceiling = None if out is None else _mean(lambda part: twin.nll(np.broadcast_to(out, (len(part), len(out))), part), x)
    return Limits(_floor(likelihood, grey), ceiling, _linear(likelihood, rows, x, latent_dim))


def cross_entropy(x, p):
    """-sum_d ( x log p + (1 - x) log(1 - p) ), with 0 log 0 = 0, in nats: mean over the rows.

    x: (B, D) in [0, 1]; p: (D,) or (B, D), probabilities. With p = x it is the entropy of the pixels; with the mean of the rows,
    the loss of the collapsed model on its own rows. Infinite if a pixel is what p holds impossible. Raises ValueError for other
    shapes.
    """
    x, p = np.asarray(x, np.float64), np.asarray(p, np.float64)
    has_shape("cross_entropy", "x", x, ("B", "D"))
    has_shape("cross_entropy", "p", p, x.shape if p.ndim == 2 else x.shape[1:])
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, times 0
        terms = np.where(x > 0, x * np.log(p), 0) + np.where(x < 1, (1 - x) * np.log1p(-p), 0)
    return float(-np.mean(np.sum(terms, axis=1)))


def _arguments(data, x, binarize, latent_dim, drawn_from):
    """x, the rows that it was drawn from (else x) and latent_dim at the door."""
    if not isinstance(data, Dataset):
        raise TypeError(f"limits: data must be a Dataset, whose training rows the ceiling is made of; got {type(data).__name__}.")
    if binarize not in BINARIZE:
        raise ValueError(f"limits: binarize must be one of {', '.join(map(repr, BINARIZE))}; got {binarize!r}.")
    x = np.asarray(x)
    grey = x if drawn_from is None else np.asarray(drawn_from)
    has_shape("limits", "x", x, ("B", data.train.shape[1]), "one example a row, as wide as the data set's.")
    has_shape("limits", "drawn_from", grey, x.shape, "the rows that x was drawn from.")
    for name, rows in (("x", x), ("drawn_from", grey)):
        if not np.issubdtype(rows.dtype, np.floating):
            raise TypeError(f"limits: {name} must be an array of floats, scaled as the model is given them; got {rows.dtype}.")
        finite("limits", "remove or repair such rows.", **{name: rows})
    if len(x) == 0:
        raise ValueError("limits: x has no rows.")
    return x, grey, None if latent_dim is None else positive_integer("limits", "latent_dim", latent_dim)


def _mean(f, x):
    """The mean of f(rows) (rows,) over all rows of x, some at a time; f works in float64."""
    cuts = range(0, len(x), CHUNK_ROWS)
    return float(sum(np.sum(f(x[i : i + CHUNK_ROWS])) for i in cuts) / len(x))


class _TrainingRows:
    """The training rows, scaled and black and white if asked for, with their mean; read some at a time."""

    def __init__(self, data, binarize):
        self.data, self.cut, self.drawn, self.N = data, binarize == "threshold", binarize in DRAWN, len(data.train)
        if data.scale is None:
            finite("limits", "remove or repair such rows.", **{"data.train": data.train})
        self.mean = sum(np.sum(rows, axis=0) for rows in self.chunks()) / self.N  # (D,)

    def chunks(self):
        """Yield the rows in float64; those to be drawn, as the probabilities of their pixels."""
        for i in range(0, self.N, CHUNK_ROWS):
            rows = scaled(self.data.train[i : i + CHUNK_ROWS], self.data.scale, np.float64)
            yield (rows >= 0.5).astype(np.float64) if self.cut else rows

    def variances(self):
        """Of each column: (D,). A pixel drawn with probability p has the variance p (1 - p), and so has one of mean p."""
        if self.drawn:
            return self.mean * (1 - self.mean)
        return sum(np.sum((rows - self.mean) ** 2, axis=0) for rows in self.chunks()) / self.N

    def array(self):
        """(N, D), in float32 where that loses nothing."""
        rows = self.data.floats("train", np.float32 if self.data.scale is not None else self.data.train.dtype)
        return (rows >= 0.5).astype(rows.dtype) if self.cut else rows


def _collapsed(likelihood, train):
    """The output (n,) of the collapsed model, and its likelihood in float64 -> None, None if they cannot be told."""
    if isinstance(likelihood, Gaussian) and likelihood.learn:
        variance = np.mean(train.variances())
        return (train.mean, Gaussian(math.sqrt(variance))) if variance > 0 else (None, None)
    if isinstance(likelihood, DiagonalGaussian):
        least = likelihood.min_sigma**2
        s = np.log(np.maximum(train.variances() - least, KEPT * least))  # sigma^2 = min_sigma^2 + e^s
        return np.concatenate([train.mean, s]), likelihood
    if not hasattr(likelihood, "output_for_mean"):  # one of the user's own may have none
        return None, None
    return likelihood.output_for_mean(train.mean), copy.deepcopy(likelihood).astype(np.float64)


def _floor(likelihood, x):
    if isinstance(likelihood, Bernoulli):
        return _mean(lambda rows: len(rows) * [cross_entropy(rows, rows)], x)
    if isinstance(likelihood, Categorical):
        return 0.0
    if isinstance(likelihood, Gaussian) and not likelihood.learn:
        return x.shape[1] * (math.log(likelihood.sigma) + 0.5 * LOG_2PI)
    return None


def _linear(likelihood, train, x, latent_dim):
    """The loss of the best linear VAE on x, or None; there is none for rows that are yet to be drawn."""
    if latent_dim is None or train.drawn or not isinstance(likelihood, Gaussian):
        return None
    train, D = train.array(), x.shape[1]
    if not likelihood.learn:
        best = exact.linear_vae(exact.linear_optimum(train, min(latent_dim, D), likelihood.sigma**2))
        return -_mean(lambda rows: exact.linear_elbo(best, rows), x)
    try:
        best = exact.ppca(train, min(latent_dim, D - 1))  # with q = D it is the same Gaussian: any covariance
    except ValueError:  # sigma^2 = 0: the rows lie in a space of q dimensions, and the likelihood has no upper bound
        return None
    return -_mean(best.log_density, x)
