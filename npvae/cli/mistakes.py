"""The museum of mistakes: what people have got wrong in VAE code, each planted in the running library, and which checks see it.

examples:
  npvae mistakes                                all of them, by family
  npvae mistakes kl_missing_half                one: the equation, the symptom, where it happened; planted, and looked for
  npvae mistakes tanh_derivative                a wrong gradient, with what the gradient check says about it
  npvae mistakes kl_sign --json
"""

import dataclasses
import textwrap

from npvae.cli.common import say
from npvae.verify.mistakes import CHECKS, FAMILIES, MISTAKES, asks, complaints, find, gradient_reports, planted

HELP = "bugs that can be switched on, and what sees them"
WIDTH = 130  # characters of a line of a complaint


def add_arguments(parser):
    """ID."""
    parser.add_argument("id", nargs="?", metavar="ID", help="plant this one (default: list them all)")


def run(args):
    """List the mistakes, or plant one; 1 if other checks see it than the museum says."""
    if args.id is None:
        say(args, _catalogue(), {m.id: _plain(m) for m in MISTAKES.values()})
        return 0
    mistake = find(args.id)
    with planted(mistake.id):
        said = complaints()
        report = _first_wrong(mistake)
    agrees = set(said) == set(mistake.seen_by)
    result = {**_plain(mistake), "complaints": said, "as_stated": agrees, "report": report and report.to_dict()}
    lines = [*_label(mistake), *_findings(mistake, said, agrees, report), *_report(report), "", _next(mistake)]
    say(args, "\n".join(lines), result)
    return 0 if agrees else 1


def _first_wrong(mistake):
    """The report of the gradient check with the mistake in place: the first that is not ok; None for other families."""
    if mistake.family != "backward":
        return None
    return next((report for report in gradient_reports() if not report.ok), None)


def _plain(mistake):
    """Plain data, for JSON."""
    return {field.name: getattr(mistake, field.name) for field in dataclasses.fields(mistake) if field.name != "plant"}


def _catalogue():
    """All mistakes by family: id, what, seen by; then what the checks ask."""
    width = max(map(len, MISTAKES))
    lines = [f"{len(MISTAKES)} mistakes and the checks that see them"]
    for family, title in FAMILIES.items():
        lines += ["", f"{title}:"]
        for m in MISTAKES.values():
            if m.family == family:
                lines += [f"  {m.id:{width}}  {m.what}", f"  {'':{width}}  seen by {', '.join(m.seen_by)}"]
    lines += ["", "What the checks ask:", *(f"  {name:16}{asks(name)}" for name in CHECKS)]
    blind = sum("derivative" not in m.seen_by for m in MISTAKES.values())
    lines += ["", f"The derivative check does not see {blind} of them. Next: npvae mistakes {next(iter(MISTAKES))}"]
    return "\n".join(lines)


def _label(m):
    lines = [f"{m.id}: {m.what}", "", f"  wrong     {m.wrong}", f"  right     {m.right}", f"  symptom   {m.symptom}"]
    return [*lines, f"  evidence  {m.evidence}"]


def _findings(m, said, agrees, report):
    """What every check asks and says, with the mistake in place; the whole report, if there is one, follows."""
    lines = ["", f"Planted now; {len(said)} of {len(CHECKS)} checks see it:", ""]
    for name in CHECKS:
        if name not in said:
            lines.append(f"  {name:16}passes")
            continue
        complaint = "its report stands below" if name == "derivative" and report else said[name]
        indents = {"initial_indent": f"  {name:16}", "subsequent_indent": " " * 18}
        lines += textwrap.wrap(f"SEES IT: {complaint}", WIDTH, **indents, break_on_hyphens=False)
        lines.append(f"{'':18}it asks: {asks(name)}")
    if not agrees:
        lines += ["", f"The museum says that {', '.join(m.seen_by)} see it: a check or the library has changed."]
    return lines


def _report(report):
    return [] if report is None else ["", "The gradient check:", "", str(report)]


def _next(mistake):
    """The next useful command: another mistake of the family, the next of the museum after its last."""
    ids = list(MISTAKES)
    return f"Next: npvae mistakes {ids[(ids.index(mistake.id) + 1) % len(ids)]}"
