"""Strings as data: each place of a string is a row of zeros with a single 1 at its letter, and back.

Short words or molecule strings (SMILES, Weininger 1988), for the Categorical likelihood:

    data = from_strings(["CC", "CCO", "CC=O"], "molecules")
    data.alphabet                                    # " =CO": the padding, then the letters in order
    data.image_shape                                 # (4, 4): length, letters
    read_strings(data.train, data.alphabet)          # ["CC", "CCO"]; the last string is held out as test

    vae = VAE.dense(16, likelihood=Categorical(4), rng=rng)
    read_strings(vae.sample(10, rng), data.alphabet)
"""

import pathlib

import numpy as np

from npvae.core.checks import positive_integer
from npvae.data.dataset import Dataset

PADDING = " "


def load_strings(path, alphabet=None, length=None, test_fraction=0.1):
    """A data set from a text file (UTF-8) with one string a line; space at the end of a line does not count.

    The rest as in `from_strings`. Raises ValueError that names file and line; FileNotFoundError if the file is not there."""
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is no text in UTF-8 ({error.reason} at byte {error.start}).") from None
    lines = [line.rstrip() for line in text.rstrip().split("\n")] if text.strip() else []
    for number, line in enumerate(lines, start=1):
        if not line:
            raise ValueError(f"{path}, line {number}: the line is empty; remove it, or give the file one string a line.")
    return _dataset(str(path), lines, path.stem, alphabet, length, test_fraction)


def from_strings(strings, name, alphabet=None, length=None, test_fraction=0.1):
    """A data set of one-hot rows: uint8 (N, L A), scale 1, image_shape (L, A), with its alphabet of A letters.

    alphabet: a string, the padding first; if None, a space and then all letters that occur, sorted. length: L; if None, that of the
    longest string. Shorter ones are filled with padding, which read_strings takes off again. The last tenth (test_fraction) of the
    strings is held out as test. Raises ValueError for a letter outside the alphabet, a string that is too long or ends with the
    padding, or too few strings; TypeError if they are no list of strings.
    """
    if isinstance(strings, (str, bytes)):
        raise TypeError(f"data set {name!r}: strings must be a list of strings, got one string, {strings!r:.40}.")
    return _dataset(f"data set {name!r}", list(strings), name, alphabet, length, test_fraction)


def read_strings(x, alphabet):
    """The strings behind one-hot rows or probabilities: the likeliest letter of each place, without the padding at the end.

    x: (N, L A), the mean or a sample of a Categorical; alphabet: A letters, the padding first. Returns a list of N strings.
    """
    x, letters = np.asarray(x), _letters("read_strings", alphabet)
    if x.ndim != 2 or x.shape[1] % len(letters):
        raise ValueError(
            f"read_strings: x has shape {x.shape}, expected (N, L A): a number of columns that {len(letters)} letters divide."
        )
    places = x.reshape(len(x), x.shape[1] // len(letters), len(letters)).argmax(axis=2)  # (N, L)
    return ["".join(letters[i] for i in row).rstrip(letters[0]) for row in places]


def _dataset(where, strings, name, alphabet, length, test_fraction):
    """The Dataset; `where` begins what an error says."""
    for number, string in enumerate(strings, start=1):
        if not isinstance(string, str):
            raise TypeError(f"{where}, line {number}: expected a string, got {string!r:.60}.")
    if not 0 < test_fraction < 1:
        raise ValueError(f"{where}: test_fraction must be above 0 and below 1, got {test_fraction!r}.")
    n = int(len(strings) * (1 - test_fraction))
    if n < 1:
        raise ValueError(f"{where}: there are {len(strings)} strings, too few to hold a test set out.")
    if alphabet is None:
        alphabet = PADDING + "".join(sorted(set("".join(strings)) - {PADDING}))
    alphabet = _letters(where, alphabet)
    length = positive_integer(where, "length", max(map(len, strings)) if length is None else length)
    rows = np.zeros((len(strings), length, len(alphabet)), np.uint8)
    for i, string in enumerate(strings):
        rows[i, np.arange(length), _indices(f"{where}, line {i + 1}", string, alphabet, length)] = 1
    rows = rows.reshape(len(strings), length * len(alphabet))
    return Dataset(name, rows[:n], rows[n:], scale=1.0, image_shape=(length, len(alphabet)), alphabet=alphabet)


def _indices(where, string, alphabet, length):
    """The letters' positions in the alphabet, filled up with 0, the padding's."""
    if len(string) > length:
        raise ValueError(f"{where}: {string!r:.60} has {len(string)} letters, more than length = {length}.")
    if string.endswith(alphabet[0]):
        raise ValueError(f"{where}: {string!r:.60} ends with {alphabet[0]!r}, the padding, and could not be read back.")
    for place, letter in enumerate(string, start=1):
        if letter not in alphabet:
            raise ValueError(f"{where}: {string!r:.60} has {letter!r} at place {place}, which is not in the alphabet {alphabet!r}.")
    return [alphabet.index(letter) for letter in string] + [0] * (length - len(string))


def _letters(where, alphabet):
    """-> alphabet, if it is one.  Raises TypeError, ValueError."""
    if not isinstance(alphabet, str):
        raise TypeError(f"{where}: alphabet must be a string, the padding first, such as ' abc'; got {alphabet!r:.60}.")
    twice = sorted({letter for letter in alphabet if alphabet.count(letter) > 1})
    if twice or len(alphabet) < 2:
        reason = f"has {twice[0]!r} twice" if twice else "needs the padding and at least one letter"
        raise ValueError(f"{where}: the alphabet {alphabet!r:.60} {reason}.")
    return alphabet
