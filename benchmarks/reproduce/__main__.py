"""Published numbers, reproduced: trains, measures, and writes benchmarks/reproduce/RESULTS.md.

    python -m benchmarks.reproduce                          every card: under four hours on two cores
    python -m benchmarks.reproduce pytorch_example          one of them
    python -m benchmarks.reproduce --quick                  short versions on the bundled digits: do the directions hold? A minute
    python -m benchmarks.reproduce --list                   the cards, and what they take

MNIST and the static binarized MNIST are found by NPVAE_DATA, or fetched by --download. The runs of a card are processes of their
own, with one BLAS thread each, as many at once as there are --cores. Everything is kept in --work: after Ctrl-C, or a power
failure, the same command goes on where it was, and what is done is not done again.
"""

import argparse
import pathlib
import shutil
import signal
import sys

from benchmarks.reproduce import CARDS, page
from benchmarks.reproduce.job import Job
from benchmarks.reproduce.kept import Kept
from benchmarks.reproduce.processes import RunFailed, in_processes
from npvae.cli.common import add_download_argument, positive
from npvae.data import load_dataset
from npvae.data.atomic import replace_file
from npvae.visual.canvas import save


def parser():
    """The flags."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("cards", nargs="*", metavar="CARD", help=f"any of {', '.join(CARDS)} (default: all)")
    p.add_argument("--list", action="store_true", help="only list the cards")
    p.add_argument("--quick", action="store_true", help="short versions; nothing is written into RESULTS.md")
    p.add_argument("--cores", type=positive, default=2, metavar="N", help="runs at once (default: 2)")
    p.add_argument("--work", type=pathlib.Path, default=pathlib.Path("npvae-reproduce"), metavar="FOLDER",
                   help="where checkpoints and outcomes are kept (default: npvae-reproduce)")  # fmt: skip
    add_download_argument(p)
    p.add_argument("--run", metavar="NAME", help="only this run of one card, in this process; writes its outcome into --work")
    return p


def main(argv=None):
    """Run what is missing, tell, write."""
    p = parser()
    options = p.parse_args(argv)
    unknown = [name for name in options.cards if name not in CARDS]
    if unknown:
        p.error(f"there is no card {unknown[0]!r}; there are {', '.join(CARDS)}.")
    names = list(dict.fromkeys(options.cards)) or CARDS
    if options.list:
        return print("\n".join(f"{name:<18}{page.card(name).TITLE}: {page.card(name).TIME}" for name in names))
    kept = Kept(options.work, options.quick)
    if options.run is not None:
        if len(names) != 1 or options.run not in page.card(names[0]).RUNS:
            p.error(f"--run takes a run of one card: {'; '.join(f'{n}: ' + ', '.join(page.card(n).RUNS) for n in names)}.")
        return work(kept, names[0], options.run)
    missing = [(name, run) for name in names for run in kept.missing(name)]
    for data in {kept.settings(name, run).get("data", "digits") for name, run in missing}:
        load_dataset(data, options.download)  # if it is not there, this is the time to say so
    try:
        in_processes([command(options, name, run) for name, run in missing], options.cores)
    except RunFailed:
        tell(kept, [name for name in names if not kept.missing(name)])  # what is done is not lost by what failed
        raise
    wrong = tell(kept, names)
    if wrong:
        sys.exit(f"python -m benchmarks.reproduce: {len(wrong)} of the directions are wrong: {' '.join(wrong)}")


def work(kept, name, run):
    """One run, in this process."""
    job = Job(f"{name}, {run}", kept.begin(name, run))
    kept.write(name, run, page.card(name).run(job, **kept.settings(name, run)))
    job.say("done")


def tell(kept, names):
    """Print tables and directions of cards that are done; if these are the long versions, write their files -> what is wrong."""
    wrong = []
    for name in names:
        module, outcomes = page.card(name), kept.outcomes(name)
        print(f"\n## {module.TITLE}\n")
        if not kept.quick:
            publish(kept, name, outcomes)
            print("\n\n".join(page.tables(module, outcomes)), end="\n\n")
        for sentence, holds in module.directions(outcomes):
            print(f"{'right' if holds else 'WRONG'}: {sentence}", flush=True)
            wrong += [] if holds else [sentence]
    if names and not kept.quick:
        print(f"\n{page.PAGE} is written.")
    return wrong


def publish(kept, name, outcomes):
    """The outcomes, the records and the picture of a card, and RESULTS.md."""
    page.RESULTS.mkdir(exist_ok=True)
    for run in [run for run, outcome in outcomes.items() if "nll" in outcome]:
        for kind in ("json", "rows.npz"):
            shutil.copy(kept.folder(name, run) / f"record.{kind}", page.RESULTS / f"{name}-{run}.record.{kind}")
    save(page.card(name).picture(outcomes), page.RESULTS / f"{name}.png")
    page.write(name, outcomes)
    replace_file(page.PAGE, lambda file: file.write(page.page().encode()))


def command(options, name, run):
    """The words that start one run."""
    quick = ["--quick"] if options.quick else []
    return [sys.executable, "-m", "benchmarks.reproduce", name, "--run", run, "--work", str(options.work), *quick]


def run():
    """main, with its errors in a sentence."""
    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl-C: the runs keep what they have
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP, and is to have its way
            signal.signal(number, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. The same command goes on from here.")
    except (RunFailed, OSError, ValueError) as error:
        sys.exit(f"python -m benchmarks.reproduce: {error}")


if __name__ == "__main__":
    run()
