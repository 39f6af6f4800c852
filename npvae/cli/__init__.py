"""The command line: one file a verb. `npvae` and `python -m npvae` are the same."""

import argparse
import os
import signal
import sys

from npvae import __version__
from npvae.cli import compare, demo, evaluate, gradcheck, mistakes, recipes, reconstruct, sample, trace, train

VERBS = {"demo": demo, "train": train, "recipes": recipes, "sample": sample, "reconstruct": reconstruct, "evaluate": evaluate,
         "compare": compare, "trace": trace, "gradcheck": gradcheck, "mistakes": mistakes}  # fmt: skip


def build_parser():
    """The whole command line, verb by verb."""
    parser = argparse.ArgumentParser(
        prog="npvae",
        description="The variational autoencoder, every line of its mathematics written out in NumPy.",
        epilog="Start with: npvae demo.  Exit codes: 0 done, 1 a check failed, 2 bad usage or bad input, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"npvae {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, module in VERBS.items():
        verb = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(verb)
        verb.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
        verb.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
        verb.set_defaults(run=module.run)
    return parser


def main(argv=None):
    """Run one verb and return its exit code. An error is one sentence on stderr; --debug shows the traceback instead."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except KeyboardInterrupt as interruption:
        if args.debug:
            raise
        print(f"npvae {args.verb}: {str(interruption) or 'interrupted before it was done.'}", file=sys.stderr)
        return 128 + int(getattr(interruption, "signal", signal.SIGINT))
    except BrokenPipeError:  # the reader, such as head, has seen enough; nobody is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError) as error:
        if args.debug:
            raise
        print(f"npvae {args.verb}: {error}", file=sys.stderr)
        return 2
