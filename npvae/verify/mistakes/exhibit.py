"""What an exhibit of the museum is: one mistake, told and switchable."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mistake:
    """One mistake of VAE code.

    id, family    its name, and the part of the library that it spoils
    what          the mistake in a few words
    wrong, right  the line as it is written by mistake, and as it should be, with the number of its equation
    symptom       what it does to the numbers
    evidence      where it happened in public; "planted": written for this museum
    seen_by       the names of the checks that fail when it is planted
    diagnosis     words that the report of check_model says about it (mistakes of the backward pass)
    unnamed       or the reason why the report says that the gradient is wrong, and not how
    plant         the function that changes the library through a Patch; use `planted(id)`
    """

    id: str
    family: str
    what: str
    wrong: str
    right: str
    symptom: str
    evidence: str
    seen_by: tuple[str, ...]
    diagnosis: tuple[str, ...]
    unnamed: str
    plant: Callable = field(repr=False, compare=False)


def exhibit(family, id, what, *, wrong, right, symptom, seen_by, plant, evidence="planted", diagnosis=(), unnamed=""):
    """-> Mistake; seen_by is a text of names."""
    return Mistake(id, family, what, wrong, right, symptom, evidence, tuple(seen_by.split()), tuple(diagnosis), unnamed, plant)
