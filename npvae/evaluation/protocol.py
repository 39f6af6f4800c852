"""What was measured, and on which rows: all that two numbers must share to be compared, and how the two differ, if they do."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from npvae.beyond.categorical import Categorical
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.data.dataset import scaled
from npvae.models import Autoencoder

REDUCTION = "nats per example: summed over the data and latent dimensions, averaged over the rows"
CHUNK_ROWS = 4096
ANEW = "Evaluate one of them anew, as the other was."
DENSITIES = (Gaussian, DiagonalGaussian, ContinuousBernoulli)
KINDS: dict[str, Any] = {"likelihood": dict, "rows": int, "rows_seed": int, "k": int}  # of a Protocol; the others are text
CONCERNS = {"k": ("L_*", "grey L_*", "nll"), "loss": ("loss",)}  # the names of the only numbers that these say something of


@dataclass(frozen=True)
class Protocol:
    """What was measured, and how: all that another number must share to be compared with this one.

    measure          "log-probability", "log-density", "grey cross-entropy" ...: see `measure`
    likelihood       type and parameters; two of one measure compare, such as Gaussians of different sigma
    data, split      names; rows: how many; rows_sha256: which, see `rows_sha256`
    binarization     "none", "threshold", "static" or "dynamic"; rows_seed: of pixels that were drawn, else None
    labels_sha256    of the labels that a conditional model was told, else None
    k                importance samples of the L_k among the numbers; loss: what the loss among them is, with its beta; else None
    reduction        sums, means and units

    Raises TypeError for a value of another type, ValueError for rows or k below 1.
    """

    measure: str
    likelihood: dict
    data: str
    split: str
    rows: int
    rows_sha256: str
    binarization: str = "none"
    rows_seed: int | None = None
    labels_sha256: str | None = None
    k: int | None = None
    loss: str | None = None
    reduction: str = REDUCTION

    def __post_init__(self):
        for f in fields(self):
            value, kind, optional = getattr(self, f.name), KINDS.get(f.name, str), f.default is None
            if not (optional and value is None) and (isinstance(value, bool) or not isinstance(value, kind)):
                raise TypeError(f"Protocol: {f.name} must be {kind.__name__}{' or None' * optional}, got {value!r:.40}.")
        for name, value in (("rows", self.rows), ("k", self.k)):
            if value is not None and value < 1:
                raise ValueError(f"Protocol: {name} must be at least 1, got {value}.")

    def key(self):
        """Eight hexadecimal digits of everything here but a learned sigma, which is the model's: for the name of a file."""
        plain = asdict(self)
        if self.likelihood.get("learn"):
            plain["likelihood"] = {name: value for name, value in self.likelihood.items() if name != "sigma"}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]


# ---- what it is made of ----------------------------------------------------------------------------------------------------------


def measure(model, x):
    """What -reconstruction is on the rows x: numbers of different measures do not compare.

    "log-probability"      of discrete data: black-and-white pixels, letters; never above 0
    "log-density"          of real numbers; it has a unit of volume in it, and may be positive
    "grey cross-entropy"   Bernoulli on grey pixels: no likelihood at all
    "reconstruction of an autoencoder, ..."      which has no p(z), so that nothing of it bounds log p(x)
    """
    likelihood = model.likelihood
    if isinstance(likelihood, Bernoulli):
        found = "log-probability" if black_and_white(x) else "grey cross-entropy"
    else:
        known = {**dict.fromkeys(DENSITIES, "log-density"), Categorical: "log-probability"}
        found = known.get(type(likelihood), f"log p of {likelihood.config()['type']}")
    return f"reconstruction of an autoencoder, {found}" if isinstance(model, Autoencoder) else found


def black_and_white(x, white=1):
    """Whether all values of x (B, D) are 0 or white."""
    return all(np.isin(x[i : i + CHUNK_ROWS], (0, white)).all() for i in range(0, len(x), CHUNK_ROWS))


def rows_sha256(rows, scale=None):
    """The SHA-256 of rows (B, D), in order: of "B D " and then all values as little-endian float64, integers divided by scale.

    One and the same for uint8 pixels with a scale and for their floats, for float32 and for float64 that holds the same numbers.
    """
    digest = hashlib.sha256("".join(f"{n} " for n in np.shape(rows)).encode())
    for i in range(0, len(rows), CHUNK_ROWS):
        digest.update(_canonical(scaled(rows[i : i + CHUNK_ROWS], scale, np.float64)))
    return digest.hexdigest()


def _canonical(values):
    return np.ascontiguousarray(values + 0.0, "<f8").data  # + 0.0 turns -0.0 into 0.0


def labels_sha256(labels):
    """The SHA-256 of labels (B,), in order, as little-endian 64-bit integers; None for None."""
    return None if labels is None else hashlib.sha256(np.ascontiguousarray(labels, "<i8").data).hexdigest()


# ---- two of them -----------------------------------------------------------------------------------------------------------------


def protocol_differences(a, b):
    """Everything in which two protocols differ so that no number of theirs compares, a phrase for each; empty if numbers may.

    Where the rows are the same, bit for bit, it does not matter under which name or by which seed they came about; of two
    likelihoods, only what they measure matters. k and loss concern some numbers alone: see `number_difference`."""
    found = [] if a.measure == b.measure else [f"measure {a.measure} against {b.measure}"]
    if a.rows_sha256 != b.rows_sha256:
        found += _row_differences(a, b)
    elif a.rows != b.rows:
        found.append(f"rows {a.rows:,} against {b.rows:,} under one SHA-256, which only one of them can have")
    if a.labels_sha256 != b.labels_sha256:
        told = ["given no labels" if p.labels_sha256 is None else f"given labels {p.labels_sha256[:8]}" for p in (a, b)]
        found.append(f"{told[0]} against {told[1]}")
    if a.reduction != b.reduction:
        found.append(f"reduction {a.reduction!r} against {b.reduction!r}")
    return found


def number_difference(name, a, b):
    """Why the number `name` of two protocols does not compare although their rows do: a phrase, or None.

    k concerns L_*, grey L_* and nll, and the training loss, with its beta, only the number of that name."""
    for field, names in CONCERNS.items():
        first, second = getattr(a, field), getattr(b, field)
        if first != second and any(fnmatchcase(name, one) for one in names):
            return f"{field} " * (field != name) + f"{_shown(first)} against {_shown(second)}"
    return None


def remedy(a, b):
    """What to do about two protocols that differ: a sentence."""
    kinds = [p.measure.replace("grey cross-entropy", "log-probability") for p in (a, b)]  # which one, depends on the binarization
    if kinds[0] != kinds[1] or (a.labels_sha256 is None) != (b.labels_sha256 is None):  # log p(x), and log p(x | label)
        return "These are different quantities, and no other evaluation of the two models changes that."
    if a.data != b.data and a.rows_sha256 != b.rows_sha256:
        return "Only results of the same rows of the same data compare."
    return ANEW


def _row_differences(a, b):
    """Why the rows are others; if the protocols do not tell, their hashes."""
    found = [
        f"{name} {_shown(getattr(a, name))} against {_shown(getattr(b, name))}"
        for name in ("data", "split", "rows", "binarization")
        if getattr(a, name) != getattr(b, name)
    ]
    if a.rows_seed != b.rows_seed and None not in (a.rows_seed, b.rows_seed):
        found.append(f"pixels drawn with seed {a.rows_seed} against {b.rows_seed}")
    return found or [f"the rows themselves, SHA-256 {a.rows_sha256[:8]} against {b.rows_sha256[:8]}, under the same name"]


def _shown(value):
    return "not told" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
