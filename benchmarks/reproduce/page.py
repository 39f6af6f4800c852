"""RESULTS.md: what each card gave, beside what was published."""

import importlib
import inspect
import json
import pathlib
from datetime import timedelta
from typing import NamedTuple

from benchmarks.reproduce import CARDS
from npvae.data.atomic import replace_file

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE / "RESULTS.md"
HEAD = "| | published | accepted | ours | standard error | | seed | time |\n|---|---:|---:|---:|---:|---|---|---:|"
INTRODUCTION = """# Published numbers, reproduced

Written by `python -m benchmarks.reproduce`, from runs that were really made. Nats per example, lower is better. *Accepted* is what
was settled before the run; *standard error* is that of the mean over the test images: what other images would change. Another seed,
or another draw of the same images' pixels, is not in it. *Time* is that of the training steps, one core, and longer than need be
where the machine had other work: what a card takes by itself stands above its protocol.

**Each table stands for itself.** Grey pixels, the static binarization and pixels drawn afresh are three data sets: their numbers do
not compare with each other (notebook 14)."""


class Row(NamedTuple):
    """A line of a table: a number of ours beside a published one.

    published: as text, "" if there is none; accepted: (low, high) or None; error: the standard error or None."""

    what: str
    published: str
    accepted: tuple[float, float] | None
    ours: float
    error: float | None
    seed: str
    seconds: float
    digits: int = 2

    @property
    def within(self):
        """Whether ours is accepted; None if nothing was settled."""
        return None if self.accepted is None else self.accepted[0] <= self.ours <= self.accepted[1]

    def line(self):
        """Markdown."""
        number = f".{self.digits}f"
        accepted = "" if self.accepted is None else f"{self.accepted[0]:{number}} to {self.accepted[1]:{number}}"
        error = "" if self.error is None else f"{self.error:{number}}"
        verdict = {None: "", True: "within", False: "**outside**"}[self.within]
        clock = timedelta(seconds=round(self.seconds)) if self.seconds else ""
        cells = (self.what, self.published, accepted, f"**{self.ours:{number}}**", error, verdict, self.seed, clock)
        return f"| {' | '.join(str(cell) for cell in cells)} |"


def likelihood_row(what, published, accepted, outcome):
    """The Row of a -L_K, from what Job.measure gave."""
    what = f"{what}-L_{outcome['samples']}"
    return Row(what, published, accepted, outcome["nll"], outcome["error"], f"{outcome['seed']}", outcome["seconds"])


def card(name):
    """The module of that name."""
    return importlib.import_module(f"benchmarks.reproduce.{name}")


def load(name):
    """What the runs of a card gave: {run: outcome}; None if it has not been run."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(name, outcomes):
    """Write what the runs of a card gave."""
    replace_file(RESULTS / f"{name}.json", lambda file: file.write((json.dumps(outcomes, indent=1) + "\n").encode()))


def page():
    """RESULTS.md as text, from the files in RESULTS."""
    parts = [INTRODUCTION]
    for name in CARDS:
        outcomes = load(name)
        parts += [f"## {card(name).TITLE}", f"    python -m benchmarks.reproduce {name}", f"It takes {card(name).TIME}."]
        if outcomes is None:
            parts.append("Not run yet.")
            continue
        parts += [
            inspect.cleandoc(card(name).__doc__),
            *tables(card(name), outcomes),
            f"![{card(name).TITLE}](results/{name}.png)",
        ]
        parts.append(". ".join(sorted({f"{outcome['date']}; {outcome['machine']}" for outcome in outcomes.values()})) + ".")
    return "\n\n".join(parts) + "\n"


def tables(module, outcomes):
    """The table of a card, and what is said below it."""
    lines = [row.line() for row in module.rows(outcomes)]
    return ["\n".join([HEAD, *lines]), module.notes(outcomes)]
