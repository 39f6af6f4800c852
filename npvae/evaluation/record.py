"""A result and its protocol as plain data, and the comparison of two results, or the reason why there is none.

A number of nats compares with another only if both were measured in the same way on the same rows. A Record therefore carries,
beside its numbers, what was measured (a probability, a density, a cross-entropy of grey pixels), on which very rows (their
SHA-256), with how many importance samples. `compare` gives the differences with their standard errors, or raises ProtocolError
and says what differs.
"""

import hashlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np

from npvae.core.checks import finite, has_shape
from npvae.evaluation import record_file
from npvae.evaluation.protocol import Protocol, number_difference, protocol_differences, remedy
from npvae.evaluation.record_file import FORMAT

VERSION = 1
ROUNDING = 1e-6  # of the mean of |values|: what the mean of the same values may be off by, taken elsewhere or in float32


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
class Record:
    """Numbers with the protocol they were measured under.

        values = elbo(vae, x, rng)  # (B,)
        protocol = Protocol(measure(vae, x), vae.likelihood.config(), "digits", "test", len(x), rows_sha256(x), "threshold")
        Record({"ELBO": number(values)}, protocol, values={"ELBO": values}).save("mine.json")
        compare(Record.load("mine.json"), Record.load("npvae-run/metrics.json"))

    numbers    {name: Number}, see `number`
    origin     what may differ between records that compare, plain data: the model, the seed of the draws of z, versions
    limits     floor and ceiling of the loss and the like, {name: number or None}, in nats per example
    values     {name: (rows,)}: the numbers row by row, for the error of a difference; they are no part of the plain data

    measure and rows_sha256 are those of npvae.evaluation.protocol. Raises TypeError, ValueError for what is no Number or Protocol,
    for a Number that is not finite, or not of the protocol's rows, and for values whose mean is not that of their Number.
    """

    numbers: dict[str, Number]
    protocol: Protocol
    origin: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    values: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self):
        if not isinstance(self.protocol, Protocol):
            raise TypeError(f"Record: protocol must be a Protocol, got {type(self.protocol).__name__}.")
        for name in ("numbers", "origin", "limits", "values"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(f"Record: {name} must be a dict, got {type(getattr(self, name)).__name__}.")
        for name, one in self.numbers.items():
            if not isinstance(one, Number):
                raise TypeError(f"Record: numbers[{name!r}] must be a Number, got {type(one).__name__}; record.number makes one.")
        if not self.numbers:
            raise ValueError("Record: numbers is empty, and a record without a number records nothing.")
        for name, one in self.numbers.items():
            _check_number(name, one, self.protocol.rows)
        for name, values in self.values.items():
            _check_values(name, values, self.numbers.get(name))

    def save(self, path):
        """Write it to a file at exactly this path, and the values of the rows, if it has them, to NAME.rows.npz beside it.

        Raises OSError if that cannot be, or if a file is there that is no record."""
        record_file.write(path, self.to_plain(), self.values)

    @classmethod
    def load(cls, path):
        """The record in a file that `save`, npvae evaluate or npvae train (metrics.json) wrote, with its values, if they lie there.

        Raises OSError for a file that cannot be read, ValueError for what holds no record."""
        try:
            return cls.from_plain(*record_file.read(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_plain(self):
        """Plain data for JSON; `Record.from_plain` gives an equal record, without the values of single rows: `save` keeps them."""
        numbers = {name: number._asdict() for name, number in self.numbers.items()}
        head = {"format": FORMAT, "version": VERSION}
        return {**head, "protocol": asdict(self.protocol), "numbers": numbers, "limits": self.limits, "origin": self.origin}

    @classmethod
    def from_plain(cls, plain, values=None):
        """The record of plain data.  Raises ValueError with what is missing or wrong, if it is none."""
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            raise ValueError(f"this is no record of npvae: it has no format {FORMAT!r}.")
        version = plain.get("version")
        if type(version) is not int or version < 1:  # True is no version
            raise ValueError(f"the record is damaged: its version is {version!r:.40}, no whole number of at least 1.")
        if version > VERSION:
            raise ValueError(f"the record's version is {version!r:.40}, this npvae reads up to {VERSION}; update npvae.")
        try:
            given = {name: _object(plain, name) for name in ("protocol", "numbers", "origin", "limits")}
            protocol = _made(Protocol, "its protocol", given["protocol"])
            numbers = {name: _made(Number, name, entries) for name, entries in given["numbers"].items()}
            return cls(numbers, protocol, given["origin"], given["limits"], values or {})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the record is damaged: {str(error).removeprefix('Record: ').removesuffix('.')}.") from error


def _object(plain, name):
    """plain[name], a JSON object.  Raises TypeError."""
    if not isinstance(plain.get(name), dict):
        raise TypeError(f"its {name} is {plain[name]!r:.40}, no JSON object" if name in plain else f"it has no {name!r}")
    return plain[name]


def _made(kind, what, given):
    """kind(**given).  Raises TypeError that names an entry that is missing or unknown."""
    if not isinstance(given, dict):
        raise TypeError(f"{what} is {given!r:.40}, no JSON object")
    parameters = inspect.signature(kind).parameters
    missing = [name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in given]
    unknown = [name for name in given if name not in parameters]
    if missing or unknown:
        raise TypeError(f"{what} has no {missing[0]!r}" if missing else f"{what} has an unknown entry {unknown[0]!r}")
    return kind(**given)


def _check_number(name, one, rows):
    """Raises TypeError, ValueError for a Number that is not one of so many rows."""
    for what, value in (("mean", one.mean), ("standard_error", one.standard_error), ("monte_carlo_error", one.monte_carlo_error)):
        if value is None and what != "mean":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"Record: the {what} of {name} is {value!r:.40}, not an int or float.")
        try:
            known = math.isfinite(value)
        except OverflowError:
            raise ValueError(f"Record: the {what} of {name} is an integer too large for a float.") from None
        if not known:
            raise ValueError(f"Record: the {what} of {name} is {value!r}, not a finite number.")
        if value < 0 and what != "mean":
            raise ValueError(f"Record: the {what} of {name} is {value!r}, and an error is never negative.")
    if isinstance(one.rows, bool) or not isinstance(one.rows, int):
        raise TypeError(f"Record: the rows of {name} are {one.rows!r:.40}, not a whole number.")
    if one.rows != rows:
        raise ValueError(f"Record: {name} is of {one.rows:,} rows, and its protocol of {rows:,}.")


def _check_values(name, values, one):
    """Raises TypeError, ValueError unless values are the finite rows (rows,) that this Number is the mean of."""
    if one is None:
        raise ValueError(f"Record: values[{name!r}] are given, and numbers has no {name!r}.")
    what, values = f"values[{name!r}]", np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"Record: {what} must be an array of floats, got {values.dtype}.")
    has_shape("Record", what, values, (one.rows,), "one value a row.")
    finite("Record", "only finite values have a mean.", **{what: values})
    mean = float(np.mean(values, dtype=np.float64))
    if abs(mean - one.mean) > ROUNDING * float(np.mean(np.abs(values), dtype=np.float64)):
        raise ValueError(
            f"Record: {what} have the mean {mean:.6g}, and numbers[{name!r}] is {one.mean:.6g}; record.number makes one."
        )


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


class Comparison(NamedTuple):
    """The differences, and the numbers that do not compare: {name: why}."""

    differences: list[Difference]
    left_out: dict[str, str]


def compare(a, b):
    """The numbers that two records have in common -> Comparison(differences, left_out).

        paired:    error^2 = Var_b( v^B_b - v^A_b ) / B               where both records have the values of the single rows
        else:      error^2 = error_A^2 + error_B^2

    Both records are of the same rows, and easy rows are easy for both: paired errors are far smaller. The other form is that of
    independent rows, and so too large. Left out are numbers of one record alone, bounds and nll of another k, the loss of another
    beta, each with the reason: {"nll": "k 100 against 5,000", "loss": "only in A"}.
    Raises TypeError for what is no Record, ProtocolError if the protocols differ in what concerns every number, see
    `protocol_differences`, or no number is left.
    """
    for name, record in (("a", a), ("b", b)):
        if not isinstance(record, Record):
            raise TypeError(f"compare: {name} must be a Record, got {type(record).__name__}; Record.load(FILE) reads one.")
    differences = protocol_differences(a.protocol, b.protocol)
    if differences:
        raise ProtocolError(f"these two do not compare: {'; '.join(differences)}. {remedy(a.protocol, b.protocol)}")
    reasons = {name: _reason(name, a, b) for name in [*a.numbers, *b.numbers]}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    if len(left_out) == len(reasons):
        raise ProtocolError(f"these two do not compare: they have no number in common that was measured alike: {listed(left_out)}.")
    return Comparison([_difference(name, a, b) for name in reasons if name not in left_out], left_out)


def listed(left_out):
    """{name: why} for people: L_100, loss (only in A); nll (k 100 against 5,000)."""
    reasons = dict.fromkeys(left_out.values())
    return "; ".join(f"{', '.join(name for name, why in left_out.items() if why == reason)} ({reason})" for reason in reasons)


def _reason(name, a, b):
    """Why this number does not compare, or None."""
    if name in a.numbers and name in b.numbers:
        return number_difference(name, a.protocol, b.protocol)
    return f"only in {'A' if name in a.numbers else 'B'}"


def _difference(name, a, b):
    first, second = a.numbers[name], b.numbers[name]
    paired = name in a.values and name in b.values
    if paired:
        error = number(np.subtract(b.values[name], a.values[name], dtype=np.float64)).standard_error
    else:
        errors = first.standard_error, second.standard_error
        error = None if None in errors else math.hypot(*errors)
    return Difference(name, first.mean, second.mean, second.mean - first.mean, error, paired)
