"""A data set as it lies in memory: images as uint8 with their scale, or floats, in fixed splits."""

from dataclasses import dataclass, replace

import numpy as np

from npvae.data.standardize import Standardization


@dataclass(frozen=True)
class Dataset:
    """Rows of data in fixed splits. Integers stay uint8 in memory; x / scale is in [0, 1]. Floats are used as they are, scale None.

    train, valid (or None), test: (N, D); labels: (N,) integers or None; image_shape: (height, width), or (D,) for plain rows.
    alphabet: for strings as one-hot rows, their letters; image_shape is (length, letters) then. standardization: how the rows were
    standardized, or None.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    valid: np.ndarray | None = None
    scale: float | None = None
    train_labels: np.ndarray | None = None
    valid_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    image_shape: tuple[int, ...] = ()
    alphabet: str | None = None
    standardization: Standardization | None = None

    def __post_init__(self):
        D = self.train.shape[-1]
        if not self.image_shape:
            object.__setattr__(self, "image_shape", (D,))
        for split, rows, labels in self.splits():
            where = f"data set {self.name!r}, {split}"
            if rows.ndim != 2 or rows.shape[1] != D:
                raise ValueError(f"{where}: expected rows of {D} values, got an array of shape {rows.shape}.")
            if len(rows) == 0 and split == "train":
                raise ValueError(f"{where}: there are no examples.")
            if labels is not None and labels.shape != (len(rows),):
                raise ValueError(f"{where}: {len(rows)} examples but labels of shape {labels.shape}.")
            if (self.scale is None) != np.issubdtype(rows.dtype, np.floating):
                raise ValueError(f"{where}: integers need a scale (255 for 8-bit images), floats have none; got {rows.dtype}.")
        if int(np.prod(self.image_shape)) != D:
            raise ValueError(f"data set {self.name!r}: image_shape {self.image_shape} does not have {D} pixels.")
        if self.alphabet is not None and self.image_shape[1:] != (len(self.alphabet),):
            raise ValueError(
                f"data set {self.name!r}: an alphabet of {len(self.alphabet)} letters needs image_shape (length, "
                f"{len(self.alphabet)}), got {self.image_shape}."
            )
        if self.standardization is not None and (self.scale is not None or self.standardization.mean.shape != (D,)):
            raise ValueError(f"data set {self.name!r}: standardized rows are floats, and their mean and std have {D} values each.")

    def splits(self):
        """Yield (name, rows, labels or None) of the splits that are there."""
        for split in ("train", "valid", "test"):
            rows = getattr(self, split)
            if rows is not None:
                yield split, rows, getattr(self, f"{split}_labels")

    def floats(self, split="test", dtype=np.float32):
        """A whole split as floats, scaled to [0, 1] if it is integers: (N, D)."""
        rows = getattr(self, split)
        if rows is None:
            raise ValueError(f"data set {self.name!r} has no {split} split.")
        return scaled(rows, self.scale, dtype)

    def standardized(self, by=None):
        """The same data with columns of mean 0 and variance 1: numbers of the *training* rows, or given ones, used for every split.

        by: a Standardization, for instance the one that a model was trained with. Integers are scaled to [0, 1] before and become
        float32; floats keep their dtype. Raises ValueError for strings, and for what is standardized already.
        """
        if self.standardization is not None or self.alphabet is not None:
            reason = "is standardized already" if self.alphabet is None else "holds strings, letters by 0 and 1"
            raise ValueError(f"data set {self.name!r} {reason}; it cannot be standardized.")
        dtype = np.float32 if self.scale is not None else self.train.dtype
        floats = {split: self.floats(split, dtype) for split, _, _ in self.splits()}
        by = Standardization.of(floats["train"]) if by is None else by
        return replace(self, scale=None, standardization=by, **{split: by.apply(x) for split, x in floats.items()})


def scaled(rows, scale, dtype):
    """rows / scale in dtype, without a float64 in between; a copy only where one is needed.  (B, D) -> (B, D)."""
    return rows.astype(dtype, copy=False) if scale is None else np.divide(rows, scale, dtype=dtype)
