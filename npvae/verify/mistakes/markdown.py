"""The museum as a page: README.md."""

import textwrap

from npvae.verify.doctor import PATTERNS
from npvae.verify.mistakes import CHECKS, CONSISTENT, FAMILIES, MISTAKES, WITH_EVIDENCE, matrix
from npvae.verify.mistakes.cases import bernoulli_case
from npvae.verify.mistakes.left_out import LEFT_OUT

HEAD = """# The museum of mistakes

This page is generated: `python -m npvae.verify.mistakes > npvae/verify/mistakes/README.md`. A test plants every mistake and demands
that exactly the checks marked here see it.

Each mistake can be switched on, in Python or on the command line:

```python
from npvae.verify.mistakes import failing, planted

with planted("kl_missing_half"):
    print(failing())
```

```bash
npvae mistakes kl_missing_half
```
"""

INDISTINCT = """Some mistakes leave the same numbers, and are told together: constants of equal value (B = Z = 2), 1/B missing and B
too much, sigma twice and sigma^2 for sigma, a factor on every term and the same factor on the loss. Some leave no
simple pattern in a whole model, since sums over the batch hide it (a missing sigma, a wrong activation); there each
part is checked alone. A block that mixes a right path with a wrong one, upstream of the mistake, has no name of its
own.
"""


def as_markdown():
    """README.md: what the matrix shows, its legend, a table for each family, and what is left out."""
    parts = [HEAD, _lesson(), "## The checks\n", _legend(), "## What they see\n"]
    for family, title in FAMILIES.items():
        parts += [f"### {title}\n", _table([m for m in MISTAKES.values() if m.family == family])]
    return "\n".join([*parts, "## What the gradient check says\n", _names(), "## Left out\n", _left_out()])


def _lesson():
    consistent = [m for m in MISTAKES.values() if m.family in CONSISTENT]
    blind = [m for m in consistent if "derivative" not in m.seen_by]
    backward = [m for m in MISTAKES.values() if m.family == "backward"]
    caught = [m for m in backward if "derivative" in m.seen_by]
    named = [m for m in backward if not m.unnamed]
    missed = [m for m in MISTAKES.values() if "derivative" not in m.seen_by]
    text = (
        "A gradient check proves that loss and gradient agree, never that the loss is right. "
        f"In {len(consistent)} mistakes of likelihood, KL, sampling and reduction the gradient fits the wrong loss: the derivative "
        f"check sees {len(consistent) - len(blind)} of them. Of the {len(backward)} wrong gradients it sees {len(caught)}, and its "
        f"report says of {len(named)} what is wrong, not only where. Of all {len(MISTAKES)} mistakes it misses {len(missed)}. "
        "No check sees everything, and each of the others sees something that no gradient tells."
    )
    source = (
        f"{WITH_EVIDENCE} of the {len(MISTAKES)} mistakes have public evidence: a thread, a code base or a tutorial that "
        f"`npvae mistakes ID` names. The other {len(MISTAKES) - WITH_EVIDENCE} were made up for this museum; their evidence says "
        '"planted".'
    )
    return "\n".join(["## What it shows\n", *(textwrap.fill(paragraph, 120) + "\n" for paragraph in (text, source))])


def _legend():
    lines = ["| | check | what it asks |", "|---|---|---|"]
    for i, (name, check) in enumerate(CHECKS.items(), start=1):
        lines.append(f"| {i} | `{name}` | {' '.join(check.__doc__.split())} |")
    return "\n".join(lines) + "\n"


def _table(mistakes):
    seen = matrix()
    lines = ["| mistake | what | " + " | ".join(map(str, range(1, len(CHECKS) + 1))) + " |", "|---|---|" + "---|" * len(CHECKS)]
    for m in mistakes:
        marks = " | ".join("x" if there else "" for there in seen[m.id].values())
        lines.append(f"| `{m.id}` | {m.what.replace('|', chr(92) + '|')} | {marks} |")
    return "\n".join(lines) + "\n"


def _names():
    case = bernoulli_case()
    lines = ["Words of the report for each wrong gradient, which a test holds it to; or why it has no name."]
    lines += [f"Most are said of a model with a batch of {len(case.x)} rows and beta = {case.beta:g}: hence"]
    lines += [f'"{len(case.x)} times" where 1/B is wrong, and "{case.beta:g} times" where beta is.\n']
    lines += ["| mistake | the report says | no name, because |", "|---|---|---|"]
    for m in MISTAKES.values():
        if m.family == "backward":
            lines.append(f"| `{m.id}` | {' ... '.join(m.diagnosis).replace('|', chr(92) + '|')} | {m.unnamed} |")
    lines += [
        "",
        "The patterns that it knows, for gradients of yours as well (npvae/verify/doctor.py):\n",
        "| pattern | what it is |",
        "|---|---|",
    ]
    lines += [f"| {kind} | {what} |" for kind, what in PATTERNS.items()]
    return "\n".join([*lines, "", INDISTINCT])


def _left_out():
    lines = ["Known mistakes that are not here.\n", "| mistake | what | why |", "|---|---|---|"]
    lines += [f"| `{name}` | {what} | {why} |" for name, (what, why) in LEFT_OUT.items()]
    return "\n".join(lines) + "\n"
