"""Two results side by side: the differences with their standard errors, or the reason why the two do not compare.

A result is a record that npvae evaluate wrote; a run's folder with one record in it; or the metrics.json of npvae train, which a
folder without records stands for: the numbers of its validation rows. Exit code 2 if two results do not compare.

examples:
  npvae compare npvae-run npvae-other
  npvae compare npvae-run/evaluation-test-threshold-L100-1a2b3c4d.json npvae-other
"""

import shlex

from npvae.cli.common import likelihood_text, say, shown_error
from npvae.cli.records import read_record
from npvae.evaluation.record import compare

HELP = "the difference of two results, or why there is none"
PAIRED = "+- is the standard error of the mean difference, row by row."
UNPAIRED = (
    "+- is made of the two standard errors, as if the rows were others: too large, since both are of the same rows. The values of",
    "single rows, which a better one needs, lie beside the records that npvae evaluate writes (.rows.npz); here they are missing.",
)


def add_arguments(parser):
    """A, B."""
    parser.add_argument("a", metavar="A", help="a record, or a run's folder")
    parser.add_argument("b", metavar="B", help="another")


def run(args):
    """Print the table of differences B - A."""
    (path_a, a), (path_b, b) = read_record(args.a), read_record(args.b)
    differences = compare(a, b)
    paired = all(d.paired for d in differences)
    p = b.protocol
    lines = [
        f"A: {path_a}, {_model(a)}",
        f"B: {path_b}, {_model(b)}",
        f"{p.measure} of {p.rows:,} {p.split} rows of {p.data}, binarize {p.binarization}",
        p.reduction,
        "",
        f"  {'':<28}{'A':>14}{'B':>14}{'B - A':>14}",
        *(f"  {d.name:<28}{d.a:>14.4f}{d.b:>14.4f}{d.difference:>+14.4f}  +- {shown_error(d.standard_error)}" for d in differences),
        "",
        *((PAIRED,) if paired else UNPAIRED),
        f"Next: npvae sample --model {shlex.quote(str(path_b.parent))}",
    ]
    result = {"a": str(path_a), "b": str(path_b), "paired": paired, "differences": [d._asdict() for d in differences]}
    say(args, "\n".join(lines), result)


def _model(record):
    """What tells the two models apart, for a person."""
    model = record.origin.get("model", {})
    return f"{model.get('type', 'model')} {str(model.get('sha256', 'unknown'))[:8]}, {likelihood_text(record.protocol.likelihood)}"
