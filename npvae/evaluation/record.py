"""A result and its protocol as plain data, and the comparison of two results, or the reason why there is none.

A number of nats compares with another only if both were measured in the same way on the same rows. A Record therefore carries,
beside its numbers, what was measured (a probability, a density, a cross-entropy of grey pixels), on which very rows (their
SHA-256), with how many importance samples. `compare` gives the differences with their standard errors, or raises ProtocolError
and says what differs.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from npvae.beyond.categorical import Categorical
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.core.checks import finite, has_shape
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.data.dataset import scaled
from npvae.models import Autoencoder

FORMAT, VERSION = "npvae record", 1
REDUCTION = "nats per example: summed over the data and latent dimensions, averaged over the rows"
CHUNK_ROWS = 4096
DENSITIES = (Gaussian, DiagonalGaussian, ContinuousBernoulli)


class ProtocolError(ValueError):
    """Two records that do not compare; the message names everything in which their protocols differ."""


class Number(NamedTuple):
    """A mean over rows, in nats per example.

    standard_error: that of the mean over the rows, None for a single row; monte_carlo_error: the part of it that more importance
    samples would remove, None where there are none.
    """

    mean: float
    standard_error: float | None
    rows: int
    monte_carlo_error: float | None = None


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

    def key(self):
        """Eight hexadecimal digits of everything here but a learned sigma, which is the model's: for the name of a file."""
        plain = asdict(self)
        if self.likelihood.get("learn"):
            plain["likelihood"] = {name: value for name, value in self.likelihood.items() if name != "sigma"}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Record:
    """Numbers with the protocol they were measured under.

    numbers    {name: Number}
    origin     what may differ between records that compare, plain data: the model, the seed of the draws of z, versions
    limits     floor and ceiling of the loss and the like, {name: number or None}, in nats per example
    values     {name: (rows,)}: the numbers row by row, for the error of a difference; they are no part of the plain data
    """

    numbers: dict[str, Number]
    protocol: Protocol
    origin: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    values: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def to_plain(self):
        """Plain data for JSON; `Record.from_plain` gives an equal record, without the values of single rows."""
        numbers = {name: number._asdict() for name, number in self.numbers.items()}
        head = {"format": FORMAT, "version": VERSION}
        return {**head, "protocol": asdict(self.protocol), "numbers": numbers, "limits": self.limits, "origin": self.origin}

    @classmethod
    def from_plain(cls, plain, values=None):
        """The record of plain data.  Raises ValueError with what is missing or wrong, if it is none."""
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            raise ValueError(f"this is no record of npvae: it has no format {FORMAT!r}.")
        if not isinstance(plain.get("version"), int) or plain["version"] > VERSION:
            raise ValueError(f"the record's version is {plain.get('version')!r}, this npvae reads up to {VERSION}; update npvae.")
        try:
            protocol = _protocol(plain["protocol"])
            numbers = {str(name): _number(name, **given) for name, given in plain["numbers"].items()}
            return cls(numbers, protocol, dict(plain["origin"]), dict(plain["limits"]), values or {})
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"there is no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"the record is damaged: {reason}.") from error


def _protocol(given):
    """-> Protocol.  Raises TypeError for fields that are missing, unknown or of another type."""
    protocol = Protocol(**given)
    kinds: dict[str, Any] = {"likelihood": dict, "rows": int, "rows_seed": int, "k": int}
    for f in fields(Protocol):
        value, optional = getattr(protocol, f.name), f.default is None
        if not (optional and value is None) and not isinstance(value, kinds.get(f.name, str)):
            raise TypeError(f"its {f.name} is {value!r:.40}")
    return protocol


def _number(name, mean, standard_error, rows, monte_carlo_error=None):
    """-> Number.  Raises TypeError for what is no finite number."""
    for value in (mean, *(error for error in (standard_error, monte_carlo_error) if error is not None)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise TypeError(f"{name} is {value!r:.40}, not a finite number")
    if isinstance(rows, bool) or not isinstance(rows, int):
        raise TypeError(f"the rows of {name} are {rows!r:.40}")
    return Number(mean, standard_error, rows, monte_carlo_error)


# ---- what a record is made of ----------------------------------------------------------------------------------------------------


def number(values, monte_carlo_errors=None):
    """The mean of values (rows,) with its standard errors -> Number.

        standard error = sqrt( sum_b (v_b - mean)^2 / (B - 1) / B ),      Monte-Carlo error = sqrt( sum_b e_b^2 ) / B

    monte_carlo_errors: (rows,), the error of each value by the draws behind it; the draws of different rows are independent.
    Raises ValueError for no values or another shape, NonFiniteError for a NaN or an infinity.
    """
    values = np.asarray(values, np.float64)
    has_shape("number", "values", values, ("B",))
    if len(values) == 0:
        raise ValueError("number: values has no rows.")
    finite("number", "only finite values have a mean.", values=values)
    error = standard_error(values)
    drawn = None
    if monte_carlo_errors is not None:
        has_shape("number", "monte_carlo_errors", monte_carlo_errors, (len(values),))
        drawn = float(np.linalg.norm(monte_carlo_errors)) / len(values)
        drawn = drawn if math.isfinite(drawn) else None  # one draw has no error that could be told
    return Number(float(np.mean(values)), None if math.isnan(error) else error, len(values), drawn)


def standard_error(values):
    """The standard error of the mean of values (B,): their standard deviation over sqrt(B); NaN for a single one."""
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else math.nan


def measure(model, x):
    """What -reconstruction is on the rows x: numbers of different measures do not compare.

    "log-probability"      of discrete data: black-and-white pixels, letters; never above 0
    "log-density"          of real numbers; it has a unit of volume in it, and may be positive
    "grey cross-entropy"   Bernoulli on grey pixels: no likelihood at all
    "reconstruction of an autoencoder, ..."      which has no p(z), so that nothing of it bounds log p(x)
    """
    likelihood = model.likelihood
    if isinstance(likelihood, Bernoulli):
        black = all(np.isin(x[i : i + CHUNK_ROWS], (0, 1)).all() for i in range(0, len(x), CHUNK_ROWS))
        found = "log-probability" if black else "grey cross-entropy"
    else:
        known = {**dict.fromkeys(DENSITIES, "log-density"), Categorical: "log-probability"}
        found = known.get(type(likelihood), f"log p of {likelihood.config()['type']}")
    return f"reconstruction of an autoencoder, {found}" if isinstance(model, Autoencoder) else found


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


def model_origin(model):
    """What tells two models apart, plain data; sha256: of the parameters by name, shape and value, in their own precision."""
    digest = hashlib.sha256()
    for name, value, _ in model.params:
        digest.update(f"{name} {value.shape} {value.dtype.name} ".encode())
        digest.update(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
    kind = {"type": type(model).__name__, "parameters": model.params.size, "dtype": model.dtype.name}
    return {**kind, "sha256": digest.hexdigest()}


# ---- the comparison --------------------------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """b - a of one number, with its standard error, and whether that was made from the single rows."""

    name: str
    a: float
    b: float
    difference: float
    standard_error: float | None
    paired: bool


def compare(a, b):
    """The numbers that two records have in common -> [Difference, ...].

        paired:    error^2 = Var_b( v^B_b - v^A_b ) / B               where both records have the values of the single rows
        else:      error^2 = error_A^2 + error_B^2

    Both records are of the same rows, and easy rows are easy for both: paired errors are far smaller. The other form is that of
    independent rows, and so too large.
    Raises ProtocolError if the protocols differ in anything that matters, see `protocol_differences`, or nothing is in common.
    """
    differences = protocol_differences(a.protocol, b.protocol)
    if differences:
        raise ProtocolError(f"these two do not compare: {'; '.join(differences)}. Evaluate one of them anew, as the other was.")
    common = [name for name in a.numbers if name in b.numbers]
    if not common:
        raise ProtocolError(
            f"these two do not compare: they have no number in common, {', '.join(a.numbers)} against {', '.join(b.numbers)}."
        )
    return [_difference(name, a, b) for name in common]


def _difference(name, a, b):
    first, second = a.numbers[name], b.numbers[name]
    values = [record.values.get(name) for record in (a, b)]
    paired = all(v is not None and len(v) == first.rows for v in values)
    if paired:
        error = number(values[1] - values[0]).standard_error
    else:
        errors = first.standard_error, second.standard_error
        error = None if None in errors else math.hypot(*errors)
    return Difference(name, first.mean, second.mean, second.mean - first.mean, error, paired)


def protocol_differences(a, b):
    """Everything in which two protocols differ so that their numbers do not compare, a phrase for each; empty if they do.

    Where the rows are the same, bit for bit, it does not matter under which name or by which seed they came about; of two
    likelihoods, only what they measure matters. k and loss matter where both records have one."""
    found = [] if a.measure == b.measure else [f"measure {a.measure} against {b.measure}"]
    if a.rows_sha256 != b.rows_sha256:
        found += _row_differences(a, b)
    if a.labels_sha256 != b.labels_sha256:
        told = ["given no labels" if p.labels_sha256 is None else f"given labels {p.labels_sha256[:8]}" for p in (a, b)]
        found.append(f"{told[0]} against {told[1]}")
    for name in ("k", "loss"):
        first, second = getattr(a, name), getattr(b, name)
        if first != second and None not in (first, second):
            found.append(f"{name} {_shown(first)} against {_shown(second)}")
    if a.reduction != b.reduction:
        found.append(f"reduction {a.reduction!r} against {b.reduction!r}")
    return found


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
    return f"{value:,}" if isinstance(value, int) else str(value)
