"""The museum: mistakes that people have made in VAE code, each of which can be switched on.

    from npvae.verify.mistakes import MISTAKES, failing, planted

    with planted("kl_missing_half"):
        print(failing())                     # {'values', 'monte_carlo_kl', 'bound', 'ordering'}: the checks that see it
    print(MISTAKES["kl_missing_half"])       # the equation that it breaks, its symptom, where it happened

What they teach: a gradient check proves that loss and gradient agree, and never that the loss is right. Every wrong loss here
comes with the gradient that belongs to it, and passes the derivative check to the last digit. Other questions find it: is the KL
what Monte Carlo gives, has z the moments it should have, does the likelihood sum to one, is the ELBO log p(x) where it must be?
No single check sees everything; README.md, beside this file, shows which sees what.

exhibits/ holds the mistakes, planting.py how they are planted, checks.py and housekeeping.py the checks that look for them.
"""

import contextlib
import difflib

from npvae.verify.mistakes.checks import CHECKS, asks, complaints, gradient_reports
from npvae.verify.mistakes.exhibit import Mistake
from npvae.verify.mistakes.exhibits import (
    adam,
    backward_latent,
    backward_layers,
    beyond,
    checking,
    data,
    evaluation,
    importance,
    kl,
    likelihood,
    numerics,
    reduction,
    sampling,
    training,
)
from npvae.verify.mistakes.planting import Patch

__all__ = [
    "CHECKS",
    "CONSISTENT",
    "FAMILIES",
    "MISTAKES",
    "WITH_EVIDENCE",
    "Mistake",
    "asks",
    "complaints",
    "failing",
    "find",
    "gradient_reports",
    "matrix",
    "planted",
]

_ROOMS = (
    likelihood, kl, sampling, reduction, backward_layers, backward_latent, beyond, importance, adam, evaluation, training, data,
    numerics, checking,
)  # fmt: skip

MISTAKES: dict[str, Mistake] = {mistake.id: mistake for room in _ROOMS for mistake in room.EXHIBITS}

WITH_EVIDENCE = sum(mistake.evidence != "planted" for mistake in MISTAKES.values())  # the others were made up for the museum

FAMILIES = {
    "likelihood": "Wrong likelihoods, with the gradient that belongs to them",
    "kl": "Wrong KL divergences, with the gradient that belongs to them",
    "sampling": "Wrong samples and wrong noise, with the gradient that belongs to them",
    "reduction": "Sums for means and means for sums, with the gradient that belongs to them",
    "backward": "Wrong gradients of the right loss",
    "estimators": "Gradients that are wrong on average over the noise",
    "adam": "Wrong Adams",
    "evaluation": "Wrong numbers in reports",
    "training": "Batches, records, patience, resumed runs",
    "data": "Labels, and the scale of the columns",
    "numerics": "Right on paper, wrong in floating point; side effects",
    "checking": "Right gradients that are accused",
}
HINTS = 5  # names told for one that is unknown
CONSISTENT = ("likelihood", "kl", "sampling", "reduction")  # a wrong loss, differentiated correctly


def find(id):
    """-> the Mistake of that id.  Raises ValueError with the names that it is part of, in any case, and the closest ones."""
    if id not in MISTAKES:
        text = str(id).lower().replace("-", "_")
        holding = [name for name in MISTAKES if text and text in name]
        close = list(dict.fromkeys([*holding, *difflib.get_close_matches(text, MISTAKES, n=3, cutoff=0.5)]))
        hint = f"did you mean {', '.join(close[:HINTS])}{', ...' if len(close) > HINTS else ''}? " if close else ""
        raise ValueError(f"there is no mistake {id!r}; {hint}npvae mistakes lists them all.")
    return MISTAKES[id]


@contextlib.contextmanager
def planted(id):
    """Within the with block the library makes that mistake; after it, also after an error, all is as it was.

    Yields the Mistake. Raises ValueError for an unknown id."""
    mistake, patch = find(id), Patch()
    try:
        mistake.plant(patch)
        yield mistake
    finally:
        patch.restore()


def failing():
    """-> the names of the checks that the library, as it is now, does not pass."""
    return set(complaints())


def matrix():
    """-> {id: {name of a check: does it see the mistake?}}: the table of README.md, which the tests hold against the library."""
    return {mistake.id: {name: name in mistake.seen_by for name in CHECKS} for mistake in MISTAKES.values()}
