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
from npvae.evaluation.protocol import Protocol, protocol_differences
from npvae.evaluation.record_file import FORMAT

VERSION = 1


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

    measure and rows_sha256 are those of npvae.evaluation.protocol. Raises TypeError, ValueError for what is no Number or Protocol.
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
        if not isinstance(plain.get("version"), int) or plain["version"] > VERSION:
            raise ValueError(f"the record's version is {plain.get('version')!r}, this npvae reads up to {VERSION}; update npvae.")
        try:
            given = {name: _object(plain, name) for name in ("protocol", "numbers", "origin", "limits")}
            protocol = _made(Protocol, "its protocol", given["protocol"])
            numbers = {name: _number(name, entries) for name, entries in given["numbers"].items()}
            return cls(numbers, protocol, given["origin"], given["limits"], values or {})
        except (TypeError, ValueError) as error:
            raise ValueError(f"the record is damaged: {str(error).removesuffix('.')}.") from error


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


def _number(name, given):
    """-> Number.  Raises TypeError for what is no finite number."""
    found = _made(Number, name, given)
    for value in (found.mean, *(e for e in (found.standard_error, found.monte_carlo_error) if e is not None)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise TypeError(f"{name} is {value!r:.40}, not a finite number")
    if isinstance(found.rows, bool) or not isinstance(found.rows, int):
        raise TypeError(f"the rows of {name} are {found.rows!r:.40}")
    return found


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


def compare(a, b):
    """The numbers that two records have in common -> [Difference, ...].

        paired:    error^2 = Var_b( v^B_b - v^A_b ) / B               where both records have the values of the single rows
        else:      error^2 = error_A^2 + error_B^2

    Both records are of the same rows, and easy rows are easy for both: paired errors are far smaller. The other form is that of
    independent rows, and so too large.
    Raises TypeError for what is no Record, ProtocolError if the protocols differ in anything that matters, see
    `protocol_differences`, or nothing is in common.
    """
    for name, record in (("a", a), ("b", b)):
        if not isinstance(record, Record):
            raise TypeError(f"compare: {name} must be a Record, got {type(record).__name__}; Record.load(FILE) reads one.")
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
