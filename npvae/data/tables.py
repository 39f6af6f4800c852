"""A table of numbers in a text file, comma-separated: .csv, gzipped or not."""

import csv
import gzip
import io
import math
import pathlib
import zlib

import numpy as np

from npvae.data.arrays import from_arrays

LABEL = "label"  # the column of that name gives the labels


def load_csv(path, test_fraction=0.1):
    """A data set from a .csv or .csv.gz file: one example a line, numbers separated by commas; the last tenth is held out.

    A first line of names is optional. Where one of them is `label`, that column holds integers, the labels. All other columns are
    floats and used as they are: divide the pixels of images by 255 yourself, or save them as uint8 in a .npz file.
    Raises FileNotFoundError; ValueError with line and column: ragged lines, text, empty cells, NaN, infinity, no rows.
    """
    path = pathlib.Path(path)
    text = _read(path)
    try:
        names, first = _header(path, text)
        table = _numbers(path, text, names, first)
    except csv.Error as error:
        raise ValueError(f"{path}: {error}; a quotation mark may never be closed.") from error
    arrays = {"train": table}
    if LABEL in names:
        column = names.index(LABEL)
        arrays = {"train": np.delete(table, column, axis=1), "train_labels": _labels(path, text, first, table[:, column], column)}
    if arrays["train"].shape[1] == 0:
        raise ValueError(f"{path}: there is no column but {LABEL!r}.")
    return from_arrays(path, arrays, test_fraction, name=path.name.removesuffix(".gz").removesuffix(".csv"))


def _read(path):
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")  # spreadsheets put a byte order mark in front
        return text.replace("\r\n", "\n").replace("\r", "\n")  # and one of theirs ends lines with a carriage return alone
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or truncated gzip file ({error}); fetch it again.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text in UTF-8 (byte {error.start}); save it as comma-separated text.") from error


def _rows(text):
    """Yield (line number, cells) of the lines that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""))
    yield from ((reader.line_num, cells) for cells in reader if cells)


def _header(path, text):
    """-> the names of the columns, or [], and the number of lines before the first row of numbers."""
    line, cells = next(_rows(text), (0, []))
    names = [cell.strip() for cell in cells]
    numeric = [cell for cell in names if _number(cell) is not None]
    if not cells or (numeric and LABEL not in names):  # numbers; if text stands among them, it will be found there
        return [], 0
    if "" in names:
        raise ValueError(
            f"{path}, line {line}, column {names.index('') + 1}: this column has no name. If it numbers the rows, leave it out "
            "(pandas: to_csv(..., index=False)); else name it."
        )
    if names.count(LABEL) > 1:
        raise ValueError(f"{path}, line {line}: {names.count(LABEL)} columns are named {LABEL!r}; expected one at most.")
    return names, line


def _numbers(path, text, names, first):
    """(N, columns) float64 of the lines after the first `first`; only when they are refused is it found out where and why."""
    if not any(line > first for line, _ in _rows(text)):
        raise ValueError(f"{path}: there are no rows of numbers.")
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", comments=None, quotechar='"', skiprows=first, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path}, {_culprit(text, first, len(names)) or error}") from None
    if (names and len(names) != table.shape[1]) or not np.isfinite(table).all():
        raise ValueError(f"{path}, {_culprit(text, first, len(names))}")
    return table


def _number(cell):
    try:
        return float(cell)
    except ValueError:
        return None


def _culprit(text, first, width):
    """What is wrong with the first line that is, or None if nothing is."""
    for line, cells in _rows(text):
        if line <= first:
            continue
        width = width or len(cells)
        if len(cells) != width:
            return f"line {line}: {len(cells)} columns, but {width} in the lines before; every line needs as many."
        for column, cell in enumerate(cells, 1):
            value = _number(cell)
            if value is None:
                other = "," in cell or ";" in cell or "\t" in cell
                hint = "; columns are separated by commas, decimals written with a point" if other else ""
                return f"line {line}, column {column}: {cell.strip()!r} is not a number{hint}."
            if not math.isfinite(value):
                return f"line {line}, column {column}: {cell.strip()} is not a finite number; remove the line or fill in a value."
    return None


def _labels(path, text, first, values, column):
    wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) >= 2**53))
    if len(wrong):
        line = [line for line, _ in _rows(text) if line > first][wrong[0]]
        raise ValueError(f"{path}, line {line}, column {column + 1}: label {values[wrong[0]]} is not an integer below 2^53.")
    return values.astype(np.int64)
