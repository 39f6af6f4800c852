"""Standardization: each column shifted and scaled to mean 0 and variance 1, by numbers taken from the training rows alone."""

from dataclasses import dataclass

import numpy as np

BLOCK = 4096  # rows taken at a time for the variance, so that no float64 copy of a large data set is made


@dataclass(frozen=True, eq=False)
class Standardization:
    """u_d = (x_d - mean_d) / std_d                mean, std: (D,), kept as float64

    A density of u becomes one of x by the change of variables, log p(x) = log p(u) - sum_d log std_d, so that
    nats of x = nats of u + log_volume.  Raises ValueError if mean and std are not (D,), not finite, or std is not positive.
    """

    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self):
        for name in ("mean", "std"):
            object.__setattr__(self, name, np.array(getattr(self, name), np.float64))
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(f"mean and std: expected one number a column, (D,) each; got {self.mean.shape} and {self.std.shape}.")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise ValueError("mean and std: expected finite numbers, and std above 0; take std 1 for a constant column.")

    @classmethod
    def of(cls, rows):
        """Mean and standard deviation (of the population: divided by N) of each column; a constant column gets std 1.

        rows: (N, D) floats.  Sums are taken in float64.  Raises ValueError that names the first value that is not finite.
        """
        if rows.ndim != 2 or len(rows) == 0:
            raise ValueError(f"rows: expected one example a row, (N, D) with N at least 1; got shape {rows.shape}.")
        low = rows.min(axis=0)
        constant = low == rows.max(axis=0)  # the mean of ten 0.1 is not 0.1, and what is left would be blown up to size 1
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            mean = np.where(constant, low, np.mean(rows, axis=0, dtype=np.float64))  # (D,)
            square = sum(np.sum((rows[i : i + BLOCK] - mean) ** 2, axis=0) for i in range(0, len(rows), BLOCK))
        if not np.isfinite(square).all():
            _refuse(rows)
        return cls(mean, np.where(square == 0, 1.0, np.sqrt(square / len(rows))))

    def apply(self, x):
        """x -> u.  x: (..., D) floats, or one row (D,); a new array of the same dtype (float64 where x is not of floats)."""
        u = self._empty_like(x)
        np.subtract(x, self.mean, out=u, dtype=np.float64, casting="same_kind")  # in float64: x - mean cancels digits
        return np.divide(u, self.std, out=u, dtype=np.float64, casting="same_kind")

    def undo(self, u):
        """u -> x, the inverse of `apply`.  u: (..., D); a new array of the same dtype."""
        x = self._empty_like(u)
        np.multiply(u, self.std, out=x, dtype=np.float64, casting="same_kind")
        return np.add(x, self.mean, out=x, dtype=np.float64, casting="same_kind")

    @property
    def log_volume(self):
        """sum_d log std_d, in nats: what is added to the nats of a standardized x (-log p, -ELBO) to get the nats of x."""
        return float(np.sum(np.log(self.std)))

    def __eq__(self, other):
        if not isinstance(other, Standardization):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(self.std, other.std)

    def _empty_like(self, x):
        x = np.asarray(x)
        if x.shape[-1:] != self.mean.shape:
            raise ValueError(f"x: expected rows of {len(self.mean)} values, as mean and std have; got shape {x.shape}.")
        return np.empty(x.shape, x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64)


def _refuse(rows):
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad) == 0:
        raise ValueError("rows: the squares of a column overflow; divide the data by a constant first.")
    i, d = bad[0]
    raise ValueError(f"rows: row {i}, column {d} is {rows[i, d]}; only finite numbers can be standardized.")
