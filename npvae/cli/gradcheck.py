"""Gradients checked against exact derivatives: the library's, a trained model's, or those of your own layers.

examples:
  npvae gradcheck                               every layer, likelihood and model of the library
  npvae gradcheck --model npvae-run             a trained model, on rows of its test data
  npvae gradcheck --file my_layers.py           yours; the file defines CHECKS = [(layer, x), (layer, x, "name"), ...]
  npvae gradcheck --file my_layers.py --full    with every block's worst entry

A layer of yours is any object with forward(x) -> y, cache and backward(dy, cache) -> dx, that lists its parameters' names in
.parameters = ("W", "b") and leaves their gradients in .dW, .db. A layer without parameters leaves .parameters out. An entry of
CHECKS may end with a name, which is printed in place of the layer's class. Exit code 1 if a check fails, 2 if one cannot be made.
"""

import argparse
import pathlib
import runpy
import shlex
import sys
import traceback
from collections import Counter
from functools import partial

import numpy as np

from npvae.cli.common import add_download_argument, condition, load_data, load_model, number, positive, say, seed
from npvae.cli.library import checks_of_the_library
from npvae.verify import check_layer, check_model

MODEL_ONLY = {"data": None, "rows": 8, "beta": 1.0}  # flags that go with --model, and what they are if left out
HELP = "are the gradients right? the library's, a model's, or yours"


def add_arguments(parser):
    """--model, --data, --download, --rows, --beta, --file, --full, --seed."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="DIR|FILE", help="a trained model in place of the library's parts")
    what.add_argument(
        "--file", metavar="FILE", help='a Python file that defines CHECKS = [(layer, x), (layer, x, "name"), ...]; it is run'
    )
    parser.add_argument("--data", metavar="NAME|FILE", help="the model's data, if not those of its run; with --model")
    add_download_argument(parser)
    parser.add_argument("--rows", type=positive, metavar="B", help="test rows in the batch, with --model (default: 8)")
    parser.add_argument("--beta", type=number, help="weight of the KL, with --model (default: 1)")
    parser.add_argument("--full", action="store_true", help="the whole table of every check, not only of those that fail")
    parser.add_argument("--seed", type=seed, default=0, help="of the points and directions (default: 0)")
    parser.add_argument("stray", nargs="?", help=argparse.SUPPRESS)  # a file without --file; `run` tells where it goes


def run(args):
    """Check, say what was found, and return 0, 1 (a check fails) or 2 (one could not be made)."""
    _complete(args)
    if args.file:
        checks = _of_file(args.file, args.seed)
    elif args.model:
        checks = [_of_model(args)]
    else:
        checks = checks_of_the_library(np.random.default_rng(args.seed))
    found = {}  # name -> Report, or the sentence that says why there is none
    for i, (name, check) in enumerate(checks):
        try:
            found[f"{i + 1}. {name}"] = check()
        except Exception as error:  # a user's layer may raise anything; the others are checked all the same
            if args.debug:
                raise
            found[f"{i + 1}. {name}"] = _refusal(error)
    refusals = {name: sentence for name, sentence in found.items() if isinstance(sentence, str)}
    reports = {name: report for name, report in found.items() if name not in refusals}
    result = {"ok": not refusals and all(r.ok for r in reports.values()), "refused": refusals}
    result["reports"] = {name: report.to_dict() for name, report in reports.items()}
    say(args, _text(args, found), result)
    if not all(report.ok for report in reports.values()):
        return 1
    return 2 if refusals else 0


def _complete(args):
    """Fill in the flags that go with --model.  Raises ValueError for one without it, and for a file without --file."""
    if args.stray is not None:
        raise ValueError(f"a file of yours goes after --file: npvae gradcheck --file {shlex.quote(args.stray)}")
    given = [f"--{name}" for name in MODEL_ONLY if getattr(args, name) is not None]
    if given and not args.model:
        raise ValueError(f"{', '.join(given)} {'needs' if len(given) == 1 else 'need'} --model DIR, a trained model.")
    for name, default in MODEL_ONLY.items():
        if getattr(args, name) is None:
            setattr(args, name, default)


def _refusal(error):
    """Why there is no report: the sentence of npvae, or what the layer's own code raised, and in which of its passes."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, (TypeError, ValueError)) and frames[-1].f_globals.get("__name__", "").startswith("npvae."):
        return str(error)
    passes = [frame.f_code.co_name for frame in frames if frame.f_code.co_name in ("forward", "backward")]
    return f"{passes[-1] if passes else 'the layer'} raised {type(error).__name__}: {error} (--debug shows the line)"


def _text(args, found):
    """One line for each check, in order, the tables of those that fail, and the count."""
    states = {name: _state(result) for name, result in found.items()}
    label, width = max(map(len, map(_label, states.values()))), max(map(len, found))
    lines = []
    for name, result in found.items():
        start = f"{_label(states[name]):{label}} {name:{width}}  "
        if isinstance(result, str):
            lines.append(f"{start}could not be checked: {result}")
            continue
        lines.append(f"{start}norm error {'<=' if result.confidence else '  '} {result.norm_error:.1e}")
        if args.full or args.model or not result.ok:
            lines += ["", *("  " + line if line else line for line in str(result).split("\n")), ""]
    return "\n".join([*lines, _count(Counter(states.values()))])


def _state(result):
    """What a Report, or the sentence in place of one, comes to."""
    if isinstance(result, str):
        return "not checked"
    if result.ok:
        return "right"
    if any(row.verdict == "wrong" for row in result.rows):
        return "wrong"
    if result.vacuous:
        return "proves nothing"
    return "not verified" if result.confidence else "misbehaves"  # random directions may also find a fault in no single entry


def _label(state):
    return {"not checked": "?    ", "right": "ok   "}.get(state, state.upper())


def _count(states):
    """The last line: how many of each, and the next command."""
    if set(states) == {"right"}:
        return f"All {states['right']} right. Next: npvae mistakes  (what a gradient check cannot see)"
    order = ("wrong", "misbehaves", "not verified", "proves nothing", "not checked", "right")
    counts = ", ".join(f"{states[state]} {state}" for state in order if states[state])
    failed = any(states[state] for state in order[:3])
    follow = "npvae mistakes  (such bugs, and what sees them)" if failed else "npvae gradcheck --help  (what a layer must have)"
    return f"{counts}. Next: {follow}"


def _of_file(path, seed):
    """(name, check) of each entry of the file's CHECKS.  Raises ValueError, FileNotFoundError in one sentence."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; give a Python file that defines CHECKS = [(layer, x), ...].")
    sys.path.insert(0, str(path.parent.resolve()))  # as `python FILE` does, so that it can import its neighbours
    try:
        names = runpy.run_path(str(path))
    except SystemExit as error:
        raise ValueError(f"{path}: running it ended in sys.exit({error.code!r}); take that out.") from None
    except Exception as error:
        raise ValueError(f"{path}: running it raised {type(error).__name__}: {error}") from error
    checks = names.get("CHECKS")
    example = 'expected CHECKS = [(layer, x), (layer, x, "name"), ...] with x an array of floats'
    if not isinstance(checks, (list, tuple)) or not checks:
        raise ValueError(f"{path}: it defines no list CHECKS; {example}.")
    for i, entry in enumerate(checks):
        if not isinstance(entry, (list, tuple)) or len(entry) not in (2, 3) or not isinstance((*entry, "")[2], str):
            size = f" of {len(entry)}" if isinstance(entry, (list, tuple)) else ""
            raise ValueError(f"{path}: CHECKS[{i}] is {type(entry).__name__}{size}; {example}.")
    return [(name[0] if name else type(layer).__name__, partial(check_layer, layer, x, seed=seed)) for layer, x, *name in checks]


def _of_model(args):
    trained = load_model(args)
    model, data = trained.model, load_data(args, trained)
    x = data.floats("test", np.float64)[: args.rows]
    eps = model.noise(len(x), np.random.default_rng(args.seed))
    given = condition(model, model.n_classes and data.test_labels[: len(x)])
    name = f"{type(model).__name__}, {model.params.size:,} parameters"
    return name, partial(check_model, model, x, eps, beta=args.beta, seed=args.seed, **given)
