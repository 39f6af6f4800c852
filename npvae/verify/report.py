"""What a check found, as plain data: a sentence first, then the numbers."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from npvae.verify.compare import Row

HOW = {
    "complex": "complex step",
    "richardson": "Richardson extrapolation",
    "central": "central differences",
    "forward": "forward differences",
}


@dataclass(frozen=True)
class Report:
    """The result of check_gradient, check_layer, check_likelihood or check_model.

    ok: the gradient is right, as far as the method sees; False, too, if nothing could be proved or backward misbehaves.
    worst: the entry that differs most, with name, index, analytic, numeric, relative_error; diagnosis: what is probably wrong, in
    words, or None. rows: one a block, in backward order, each with a verdict: "ok", "wrong", "proves nothing" (both gradients are
    zero, or below what rounding leaves). norm_error: |grad - numeric| / |numeric|, or its upper bound at `confidence` if the check
    used random directions. method: the judge; evaluations: how often f was called; notes: what else to know.
    """

    subject: str
    method: str
    rows: tuple[Row, ...]
    norm_error: float
    confidence: float | None = None
    directions: int = 0
    evaluations: int = 0
    diagnosis: str | None = None
    notes: tuple[str, ...] = field(default=())
    ok: bool = True

    @property
    def worst(self):
        """The row that is worst: wrong ones first, then by relative error beyond what rounding explains."""
        return max(self.rows, key=lambda r: (r.verdict == "wrong", _beyond_rounding(r)))

    @property
    def vacuous(self):
        """Nothing was there to compare: zero, or below what rounding leaves, in every block."""
        return all(r.verdict == "proves nothing" for r in self.rows)

    def __str__(self):
        return "\n".join([self._sentence(), *self._explanation(), "", *_table(self.rows), *self._how(), *self.notes])

    def _sentence(self):
        wrong = [r for r in self.rows if r.verdict == "wrong"]
        entries = sum(int(np.prod(r.shape)) for r in self.rows)
        if wrong:
            w = self.worst
            where = f" in {len(wrong)} of {len(self.rows)} blocks" if len(self.rows) > 1 else ""
            numbers = f"analytic {w.analytic + 0.0:.6g}, numeric {w.numeric + 0.0:.6g}, relative error {w.relative_error:.2g}."
            return f"{self.subject}: the gradient is WRONG{where}; worst: {_entry(w)}: {numbers}"
        if not self.ok:
            return f"{self.subject}: NOT verified."
        return f"{self.subject}: the gradient is right: {_count(len(self.rows), 'block')}, {_count(entries, 'entry', 'entries')}."

    def _explanation(self):
        if self.ok or self.diagnosis:
            return [self.diagnosis] if self.diagnosis else []
        return [f"No simple explanation fits to rounding. {self._where_to_look()}"]

    def _where_to_look(self):
        wrong = [r for r in self.rows if r.verdict == "wrong"]
        if not wrong:
            return "Look at the worst entry."
        first, entries = wrong[0], int(np.prod(wrong[0].shape))
        if not self.subject.startswith("check_gradient"):
            return f"Derive the line that computes d{first.name} again; write it out for its worst entry, {_entry(first)}."
        if len(self.rows) > 1:
            return f"Start with {first.name}, the first wrong block from the loss back; later ones may only inherit its error."
        if first.wrong < entries:
            return f"{entries - first.wrong} of the {entries} entries are right: what is special about {_entry(first)}?"
        return f"Write the derivative out for one entry, {_entry(first)}."

    def _how(self):
        n = f"norm error |grad - numeric| / |numeric| {'<=' if self.confidence else '='} {self.norm_error:.1e}"
        if self.confidence:
            n += f" at confidence 1 - {1 - self.confidence:.0e} ({self.directions} random directions)"
        return [
            "",
            f"{HOW[self.method]}, {self.evaluations} evaluations of f; {n}; floor: what rounding can leave in an entry",
        ]

    def but(self, trouble):
        """The same report, not ok, with one more thing that is wrong."""
        return replace(self, ok=False, diagnosis="\n".join(filter(None, [trouble, self.diagnosis])))

    def to_dict(self):
        """Plain data, ready for JSON."""
        rows = [{**asdict(r), "shape": list(r.shape), "index": list(r.index)} for r in self.rows]
        return {
            "subject": self.subject,
            "ok": self.ok,
            "diagnosis": self.diagnosis,
            "method": self.method,
            "norm_error": self.norm_error,
            "confidence": self.confidence,
            "directions": self.directions,
            "evaluations": self.evaluations,
            "worst": {**asdict(self.worst), "shape": list(self.worst.shape), "index": list(self.worst.index)},
            "rows": rows,
            "notes": list(self.notes),
        }

    def assert_ok(self):
        """Raise AssertionError with the whole report unless ok; for tests."""
        __tracebackhide__ = True  # pytest then shows the report and the line of the test
        if not self.ok:
            raise AssertionError(str(self))


def _beyond_rounding(r):
    size = max(abs(r.analytic), abs(r.numeric))
    return abs(r.analytic - r.numeric) / (size + r.floor) if size + r.floor > 0 else 0.0


def _count(n, one, many=None):
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _entry(r):
    return r.name + (str(list(r.index)) if r.index else "")


def _table(rows):
    """The rows as text, columns as wide as they need."""
    head = ("gradient of", "shape", "worst at", "analytic", "numeric", "rel. error", "floor", "verdict")
    lines = [head]
    for r in rows:
        verdict = r.verdict.upper() if r.verdict == "wrong" else r.verdict
        verdict += f" ({r.wrong} of {int(np.prod(r.shape))})" if r.wrong and np.prod(r.shape) > 1 else ""
        verdict += f" ({r.kinks} at a kink)" if r.kinks else ""
        numbers = (f"{r.analytic + 0.0:.6e}", f"{r.numeric + 0.0:.6e}", f"{r.relative_error:.1e}", f"{r.floor:.0e}")
        lines.append((r.name, str(r.shape), str(list(r.index)) if r.index else "", *numbers, verdict))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines]
