"""The numbers that a gradient may be wrong by, each with its name and its likely cause: 6 = B, the mean over the batch is missing.

A number is an atom (2, 1/2, -1, 4, 1/4, c or 1/c for a constant c of the problem) or the product of two atoms. Atoms come first:
2 is "2" and never "2 B x 1/B". Two atoms of one value (B = Z = 2) are told together, since no number tells them apart.
"""

import math
from typing import NamedTuple

SAME = 1e-12  # two numbers closer than this, relatively, are one


class Number(NamedTuple):
    """A value, its cost (1 an atom, 2 a product) and its meanings: pairs (name, cause)."""

    value: float
    cost: int
    meanings: tuple[tuple[str, str], ...]


PLAIN = (
    (2.0, "2", "a 1/2 is missing, or a 2 stands there twice"),
    (0.5, "1/2", "a 2 is missing, or a 1/2 stands there twice"),
    (-1.0, "-1", "a minus sign too many, or too few"),
    (4.0, "4", "two factors of 2 too many"),
    (0.25, "1/4", "two factors of 2 too few"),
)
SEEN_AS = {2.0: "1/3", 0.5: "1/3", 4.0: "0.6", 0.25: "0.6"}  # |a - n| / (|a| + |n|), which many checkers print
CAUSES = {  # name: what it means when the gradient is c times, and when it is 1/c times what it should be
    "B": (
        "the mean over the batch (1/B) is missing",
        "the mean over the batch (1/B) is taken once too often, or in place of a sum",
    ),
    "D": ("the D data values are summed where the loss averages them", "the D data values are averaged where the loss sums them"),
    "Z": ("the Z latents are summed where the loss averages them", "the Z latents are averaged where the loss sums them"),
    "K": ("the K samples are summed where the loss averages them", "the K samples are averaged once too often"),
    "beta": ("beta is applied twice, or where the loss has none", "beta is missing"),
}


def known_numbers(constants=None):
    """-> list of Number, atoms first, no value twice.  constants: {"B": 6, "beta": 4.0}; those of value 0, 1 or -1 say nothing."""
    atoms: list[Number] = []
    for value, name, cause in PLAIN:
        _add(atoms, value, 1, name, cause)
    for name, c in (constants or {}).items():
        if math.isfinite(c) and 1e-100 < abs(c) < 1e100 and abs(c) != 1:
            times, over = CAUSES.get(name, (f"1/{name} is missing, or {name} too much", f"{name} is missing, or 1/{name} too much"))
            _add(atoms, float(c), 1, name, times)
            _add(atoms, 1 / c, 1, f"1/{name}", over)
    numbers = list(atoms)
    for i, p in enumerate(atoms):
        for q in atoms[i:]:
            value = p.value * q.value
            if not (_near(value, 1) or any(_near(value, atom.value) for atom in atoms)):
                _add(numbers, value, 2, f"{p.meanings[0][0]} x {q.meanings[0][0]}", "perhaps two factors at once")
    return numbers


def _add(numbers, value, cost, name, cause):
    """A new number, or one more meaning of one that is there."""
    for i, number in enumerate(numbers):
        if _near(number.value, value):
            numbers[i] = number._replace(meanings=(*number.meanings, (name, cause)))
            return
    numbers.append(Number(value, cost, ((name, cause),)))


def _near(v, w):
    return abs(v - w) <= SAME * max(abs(v), abs(w))


def size(value):
    """6 -> "6 times too large"; 1/6 -> "6 times too small"; -1 -> "of the opposite sign"."""
    if abs(abs(value) - 1) <= SAME:
        return "of the opposite sign"
    how = f"{abs(value):.6g} times too large" if abs(value) > 1 else f"{1 / abs(value):.6g} times too small"
    return how if value > 0 else f"{how} and of the opposite sign"


def cause(number):
    """ "6 = B: the mean over the batch (1/B) is missing"; several meanings are joined by "; or"."""
    plain = {name for _, name, _ in PLAIN}
    return "; or ".join(why if name in plain else f"{_shown(number.value)} = {name}: {why}" for name, why in number.meanings)


def _shown(value):
    """6, 1/6, 2.5, 1/2.5."""
    return f"{value:.6g}" if abs(value) >= 1 else f"1/{1 / value:.6g}"
