"""What can be wrong with a block of a gradient: one function a hypothesis, each from the numbers alone.

A hypothesis predicts the analytic block from the numeric one. It yields a Fit where the prediction is right to rounding in every
entry; where it is not, it yields nothing. The numbers of a block are scaled by a power of two, which is exact, so that its largest
is about 1: gradients of 1e-300 and of 1e300 are then judged alike, and no product of two of them overflows.
"""

from typing import Any, NamedTuple

import numpy as np

from npvae.verify.constants import SEEN_AS, Number, cause, size

MULTIPLE = 20  # an explanation may miss by so many times the floor; by less, down to 2 times, where that would leave few digits
ROUNDING = 2.0**-52  # of the largest entry: what computing the prediction itself may cost
DIGITS = 2.5e-4  # of the largest entry: what may be missed at most, or any number fits


class Block(NamedTuple):
    """A wrong block, scaled: analytic a, numeric n, and what else is known about it."""

    name: str
    exponent: int  # of the power of two that a, n, terms, rows, and the gradients among the tensors, are divided by
    a: np.ndarray
    n: np.ndarray
    tol: float  # the largest |a - prediction| of an explanation
    terms: dict[str, np.ndarray]
    rows: np.ndarray | None  # (B, *shape)
    tensors: dict[str, np.ndarray]
    suspects: dict[str, np.ndarray]  # what the whole block would be after a mistake, in words

    @property
    def entries(self):
        """How many entries stand clearly above the noise: the data that an explanation must explain."""
        return int(np.sum(np.maximum(np.abs(self.a), np.abs(self.n)) > 100 * self.tol))

    def residual(self, prediction):
        """max|a - prediction|, relative to the largest entry; None if it is above the noise."""
        miss = np.max(np.abs(self.a - prediction))
        return float(miss / peak(self.a, self.n)) if miss <= self.tol else None

    def scaled(self, gradient):
        """Another gradient in the units of this block; None if it holds a NaN, or would overflow."""
        gradient = np.asarray(gradient, np.float64)
        top = peak(gradient)
        usable = top == 0 or (np.isfinite(top) and np.frexp(top)[1] - self.exponent < 300)
        return np.ldexp(gradient, -self.exponent) if usable else None

    def cut(self, index):
        """The part of the block at `index`, with its terms; None if that part is not clearly wrong."""
        terms = {name: term[index] for name, term in self.terms.items()}
        part = self._replace(a=self.a[index], n=self.n[index], terms=terms, rows=None, tensors={}, suspects={})
        return part if _is_clear(part) else None


class Fit(NamedTuple):
    """A hypothesis that explains a block; cheap ones are preferred, weak ones count only in company of other blocks."""

    kind: str
    cost: float
    text: str
    residual: float
    weak: bool = False
    key: Any = None  # blocks whose fits have the same key (the text, if None) are explained together


class Clues(NamedTuple):
    """What the hypotheses know beside the block: the numbers worth trying, and mixtures of terms that some block proposed."""

    numbers: list[Number]
    mixtures: list[dict[str, Number]]
    Z: int | None  # an axis of length 2Z holds mu, then logvar
    dead: bool  # some block is 0 throughout: what is missing upstream of it is missing already there


def peak(*arrays):
    """The largest absolute entry of all, 0 if there is none."""
    return max((float(np.max(np.abs(a))) for a in arrays if np.size(a)), default=0.0)


def make_block(name, analytic, numeric, floor, terms=None, rows=None, tensors=None, suspects=None):
    """-> Block, or None if nothing can be said: the block is right, holds a NaN, or is drowned in noise.

    terms: {term: array like the block}; rows: (B, *shape); tensors: {name: array that broadcasts to the block}; suspects:
    {what a mistake would be called: the block after it}."""
    a, n = np.asarray(analytic, np.float64), np.asarray(numeric, np.float64)
    if a.shape != n.shape or a.size == 0 or not (np.all(np.isfinite(a)) and np.all(np.isfinite(n))):
        return None
    top = peak(a, n)
    floor = float(floor)
    if not (top > 0 and 2 * floor / top <= DIGITS):
        return None
    exponent = int(np.frexp(top)[1])
    floor = max(float(np.ldexp(floor, -exponent)), ROUNDING)
    tol = min(MULTIPLE * floor, max(2 * floor, DIGITS * float(np.ldexp(top, -exponent))))
    block = Block(name, exponent, np.ldexp(a, -exponent), np.ldexp(n, -exponent), tol, {}, None, {}, {})
    if not _is_clear(block):
        return None
    known = {t: block.scaled(term) for t, term in (terms or {}).items() if np.shape(term) == a.shape}
    blocks = {text: block.scaled(suspect) for text, suspect in (suspects or {}).items() if np.shape(suspect) == a.shape}
    fields = {t: _field(block, t, array) for t, array in (tensors or {}).items()}
    return block._replace(
        terms={} if any(term is None for term in known.values()) else known,
        rows=block.scaled(rows) if rows is not None and np.shape(rows)[1:] == a.shape else None,
        tensors={t: array for t, array in fields.items() if array is not None},
        suspects={text: suspect for text, suspect in blocks.items() if suspect is not None},
    )


def _field(block, name, array):
    """A local tensor, in the shape of the block; None if it does not broadcast, or is no use. dy is a gradient: it is scaled."""
    array = block.scaled(array) if name.startswith("d") else np.asarray(array, np.float64)
    if array is None or not np.all(np.isfinite(array)) or peak(array) > 1e50:
        return None
    fits = array.ndim <= block.n.ndim and all(i in (1, j) for i, j in zip(array.shape[::-1], block.n.shape[::-1]))
    return np.broadcast_to(array, block.n.shape) if fits else None


def _is_clear(block):
    """The error stands well above the noise, and so do the numbers."""
    error = peak(block.a - block.n)
    return error > 10 * block.tol and block.tol <= DIGITS * peak(block.a, block.n)


def suspected(block, clues):
    """a is what a mistake that somebody thought of would make of it."""
    for text, suspect in block.suspects.items():
        residual = block.residual(suspect)
        if residual is not None:
            yield Fit("suspected", 1.5, text, residual, weak=block.entries < 2)


# --- one number for the whole block ---------------------------------------------------------------------------------------------


def zero(block, clues):
    """a = 0 where n is not."""
    residual = block.residual(0.0)
    if residual is not None:
        text = "0 everywhere, and the numeric gradient is not: not propagated. Is it computed, and stored?"
        yield Fit("zero", 0, text, residual, weak=block.entries < 2)


def factor(block, clues):
    """a = c n for a number c that is known."""
    for number in clues.numbers:
        residual = block.residual(number.value * block.n)
        if residual is not None:
            seen = SEEN_AS.get(number.value)
            also = f" (checkers that divide by |a| + |n| show this as {seen})" if seen else ""
            text = f"{size(number.value)} everywhere; {cause(number)}{also}."
            yield Fit("factor", number.cost, text, residual, weak=block.entries < 2 and number.value not in (2, 0.5, -1))


def unknown_factor(block, clues):
    """a = c n for a number c that is not known: a fact, without a cause."""
    square = np.sum(block.n**2)
    if square == 0:
        return
    c = float(np.sum(block.a * block.n) / square)
    residual = block.residual(c * block.n)
    if residual is not None and abs(c - 1) > 1e-3 and abs(c) > 1e-3 and not any(abs(c / m.value - 1) < 1e-3 for m in clues.numbers):
        tried = ", ".join(name for m in clues.numbers if m.cost == 1 for name, _ in m.meanings)
        text = (
            f"a constant factor, {c:.6g} times the numeric gradient everywhere; {c:.6g} is none of {tried}, nor a product of two."
        )
        yield Fit("factor", 9, text, residual, weak=block.entries < 3)


# --- terms of the loss ----------------------------------------------------------------------------------------------------------


def propose_mixture(block, numbers):
    """-> {term: Number} with which the terms' gradients add up to a, by least squares; None if they do not, or not uniquely."""
    terms = {name: term for name, term in block.terms.items() if peak(term) > 100 * block.tol}
    if not terms or block.entries < 2 * len(terms):  # fewer free choices than data
        return None
    columns = np.stack([term.ravel() for term in terms.values()], axis=1)  # (P, T)
    norms = np.linalg.norm(columns, axis=0)
    _, spread, _ = np.linalg.svd(columns / norms, full_matrices=False)
    slack = 2 * block.tol * np.sqrt(block.a.size) / (spread[-1] * norms) if spread[-1] > 1e-10 else np.full(len(norms), np.inf)
    if np.any(slack > 2e-3):  # the terms are parallel here, and share the gradient in any proportion
        return None
    coefficients = np.linalg.lstsq(columns / norms, block.a.ravel(), rcond=None)[0] / norms
    known = (Number(1.0, 0, ()), Number(0.0, 1, ()), *numbers)
    mixture = {}
    for name, c, s in zip(terms, coefficients, slack):
        near = [number for number in known if abs(c - number.value) <= s]
        if not near:
            return None
        mixture[name] = near[0]
    return None if all(number.value == 1 for number in mixture.values()) else mixture


def terms_of_loss(block, clues):
    """a = sum of c_t n_t over the terms t of the loss, not all c_t = 1."""
    for mixture in clues.mixtures:
        if len(block.terms) < 2 or not mixture.keys() <= block.terms.keys():
            continue
        residual = block.residual(
            sum((mixture[name].value if name in mixture else 1.0) * term for name, term in block.terms.items())
        )
        if residual is not None:
            wrong = [number for number in mixture.values() if number.value != 1]
            cost = 1 + sum(number.cost for number in wrong)
            yield Fit("terms", cost, _mixture_text(mixture, block.terms, clues.dead), residual, weak=block.entries < 4)


def _mixture_text(mixture, terms, dead):
    parts = []
    for name, number in mixture.items():
        if number.value == 0 and name == "reconstruction" and not dead:
            parts.append(
                "the gradient of the reconstruction is missing (0 times): no path through the sampling, from dz to mu and logvar"
            )
        elif number.value == 0:
            parts.append(f"the gradient of the {name} term is missing (0 times)")
        elif number.value != 1:
            parts.append(f"the gradient of the {name} term is {size(number.value)} ({cause(number)})")
    right = [name for name in terms if name not in mixture or mixture[name].value == 1]
    return "; ".join(parts) + (f"; that of the {' and '.join(right)} is right." if right else ".")


# --- rows of the batch ----------------------------------------------------------------------------------------------------------


def rows_of_batch(block, clues):
    """a is made of some rows of the batch only, or of one row twice."""
    if block.rows is None or len(block.rows) < 2:
        return
    B, weak = len(block.rows), block.entries < 2
    for b, row in enumerate(block.rows):
        which = {0: "the first row (0)", B - 1: f"the last row ({B - 1})"}.get(b, f"row {b}")
        for prediction, text, cost in (
            (row, f"only {which} of the batch of {B} is used; sum over the rows.", 2),
            (B * row, f"only {which} of the batch of {B} is used, {B} times; sum over the rows.", 2.5),
            (block.n - row, f"{which} of the batch of {B} is missing.", 3),
            (block.n + row, f"{which} of the batch of {B} is counted twice.", 3),
        ):
            residual = block.residual(prediction)
            if residual is not None:
                yield Fit("rows", cost, text, residual, weak)
    if block.a.ndim == 1 and block.a.size == B:
        residual = block.residual(np.sum(block.rows, axis=1))
        if residual is not None:
            text = "summed over the wrong axis: over the features of each row, where the sum over the rows of the batch is due."
            yield Fit("axis", 2, text, residual, weak)
