"""Two results side by side: the differences with their standard errors, or the reason why the two do not compare.

A result is a record that npvae evaluate wrote, or a run's folder: that stands for the record in it, of the model that lies there
now. Of several it takes the one whose protocol is that of the other result. A folder without records stands for its metrics.json,
what npvae train measured on its validation rows. Numbers that do not compare, such as bounds of another --samples or the losses of
two --beta, are left out and named; if none is left, or the rows are others, the exit code is 2.

examples:
  npvae compare npvae-run npvae-other
  npvae compare npvae-run/evaluation-test-threshold-L100-1a2b3c4d-5e6f7a8b.json npvae-other
"""

import shlex

from npvae.cli.common import MODEL_FILE, counted, likelihood_text, say, shown_error
from npvae.cli.records import UNKNOWN, again, pair, stale
from npvae.evaluation.protocol import protocol_differences
from npvae.evaluation.record import ProtocolError, compare, listed

HELP = "the difference of two results, or why there is none"
PAIRED = "+- is the standard error of the mean difference, row by row."
UNPAIRED = (
    "+- is made of the two standard errors, as if the rows were others: too large, since both are of the same rows. The values of",
    "single rows, which a better one needs, lie beside the records that npvae evaluate writes (.rows.npz); {without} none.",
)
HIGHER, LOWER = ("ELBO", "L_", "grey L_"), ("reconstruction", "grey cross-entropy", "nll", "loss")  # is better; names begin so


def add_arguments(parser):
    """A, B."""
    parser.add_argument("a", metavar="A", help="a record, or a run's folder")
    parser.add_argument("b", metavar="B", help="another")


def run(args):
    """Print the table of differences B - A."""
    a, b = pair(args.a, args.b)
    differences = protocol_differences(a.record.protocol, b.record.protocol)
    if differences:
        raise ProtocolError(f"{a.path} and {b.path} do not compare: {'; '.join(differences)}. {again(a, b)}")
    differences, left_out = compare(a.record, b.record)
    paired = all(d.paired for d in differences)
    p, notes = b.record.protocol, [*_same(a, b), *stale("A", a), *stale("B", b)]
    lines = [
        f"A: {_described(a)}",
        f"B: {_described(b)}",
        *notes,
        f"{p.measure} of {counted(p.rows, f'{p.split} row')} of {p.data}, binarize {p.binarization}",
        p.reduction,
        "",
        f"  {'':<28}{'A':>14}{'B':>14}{'B - A':>14}",
        *map(_line, differences),
        *([f"  Left out: {listed(left_out)}"] if left_out else []),
        "",
        *((PAIRED,) if paired else _unpaired(a, b)),
        *_next(b),
    ]
    table = [d._asdict() | {"better": _better(d.name)} for d in differences]
    result = {"a": str(a.path), "b": str(b.path), "notes": notes, "paired": paired, "differences": table, "left_out": left_out}
    say(args, "\n".join(lines), result)


def _described(found):
    """What tells the two apart, for a person."""
    return f"{found.path}, {found.model_type} {found.sha256[:8]}, {likelihood_text(found.record.protocol.likelihood)}"


def _same(a, b):
    """A note if the two are one -> [line], or []."""
    if a.path.resolve() == b.path.resolve():
        return ["Note: A and B are one and the same record."]
    return ["Note: A and B are of the same model."] if a.sha256 == b.sha256 != UNKNOWN else []


def _unpaired(a, b):
    """How the standard errors were made, and who has no values of single rows."""
    without = " and ".join(name for name, one in (("A", a), ("B", b)) if not one.record.values) or "one of the two"
    has = "have" if without == "A and B" else "has"
    return [line.format(without=f"{without} {has}") for line in UNPAIRED]


def _line(d):
    better = _better(d.name)
    numbers = f"  {d.name:<28}{d.a:>14.4f}{d.b:>14.4f}{d.difference:>+14.4f}  +- {shown_error(d.standard_error):<9}"
    return (numbers + (f"{better} is better" if better else "")).rstrip()


def _better(name):
    """Which direction is better: "higher", "lower", or None where neither is, such as for the KL alone."""
    return "higher" if name.startswith(HIGHER) else "lower" if name.startswith(LOWER) else None


def _next(found):
    """What to do with the second model, if it lies beside its record."""
    folder = found.path.parent
    verb = "reconstruct" if found.model_type == "Autoencoder" else "sample"
    return [f"Next: npvae {verb} --model {shlex.quote(str(folder))}"] if (folder / MODEL_FILE).exists() else []
