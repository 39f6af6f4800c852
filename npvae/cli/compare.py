"""Two results side by side: the differences with their standard errors, or the reason why the two do not compare.

A result is a record that npvae evaluate wrote, or a run's folder: that stands for the record in it, of the model that lies there
now. Of several it takes the one whose protocol is that of the other result. A folder without records stands for its metrics.json,
what npvae train measured on its validation rows. Exit code 2 if two results do not compare.

examples:
  npvae compare npvae-run npvae-other
  npvae compare npvae-run/evaluation-test-threshold-L100-1a2b3c4d-5e6f7a8b.json npvae-other
"""

import shlex

from npvae.cli.common import MODEL_FILE, counted, likelihood_text, say, shown_error
from npvae.cli.records import again, pair, stale
from npvae.evaluation.protocol import protocol_differences
from npvae.evaluation.record import ProtocolError, compare

HELP = "the difference of two results, or why there is none"
PAIRED = "+- is the standard error of the mean difference, row by row."
UNPAIRED = (
    "+- is made of the two standard errors, as if the rows were others: too large, since both are of the same rows. The values of",
    "single rows, which a better one needs, lie beside the records that npvae evaluate writes (.rows.npz); here they are missing.",
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
    differences = compare(a.record, b.record)
    paired = all(d.paired for d in differences)
    p, notes = b.record.protocol, [*stale("A", a), *stale("B", b)]
    lines = [
        f"A: {_described(a)}",
        f"B: {_described(b)}",
        *notes,
        f"{p.measure} of {counted(p.rows, f'{p.split} row')} of {p.data}, binarize {p.binarization}",
        p.reduction,
        "",
        f"  {'':<28}{'A':>14}{'B':>14}{'B - A':>14}",
        *map(_line, differences),
        "",
        *((PAIRED,) if paired else UNPAIRED),
        *_next(b),
    ]
    table = [d._asdict() | {"better": _better(d.name)} for d in differences]
    say(args, "\n".join(lines), {"a": str(a.path), "b": str(b.path), "notes": notes, "paired": paired, "differences": table})


def _described(found):
    """What tells the two apart, for a person."""
    return f"{found.path}, {found.model_type} {found.sha256[:8]}, {likelihood_text(found.record.protocol.likelihood)}"


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
