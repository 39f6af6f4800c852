"""How fast npvae is, beside the frameworks and beside its own matrix products.

    python -m benchmarks                            everything (an hour), into npvae-benchmarks/
    python -m benchmarks step epoch                 only these
    python -m benchmarks step --quick               one case of each, few turns: a minute
    python -m benchmarks step --kernels Haswell --out elsewhere
    python -m benchmarks --kernel-times             which BLAS kernels suit this processor

PyTorch, JAX and autograd take part if they are installed: pip install '.[bench]'. MNIST is found by NPVAE_DATA; without it the
pictures are random. Every benchmark writes NAME.json, NAME.png, and all write RESULTS.md.
"""

import argparse
import datetime
import importlib
import json
import os
import pathlib
import sys

from benchmarks import machine
from benchmarks.compare import Disagreement, quartiles
from benchmarks.peer import PeerError
from npvae.cli.common import positive
from npvae.data.atomic import replace_file
from npvae.visual.canvas import save

NAMES = ("step", "parts", "threads", "epoch", "importance", "layers", "growth", "start")
OUT = pathlib.Path("npvae-benchmarks")


def parser():
    """The flags."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)} (default: all)")
    p.add_argument("--cores", type=positive, default=2, metavar="N", help="that each process may use (default: 2)")
    p.add_argument("--repeats", type=positive, metavar="N", help="turns (default: 15; with --quick 3)")
    p.add_argument("--quick", action="store_true", help="one case of each, few turns")
    p.add_argument("--only", default="", metavar="TEXT", help="of step and parts: only the cases with this text in their names, "
                   "such as 784-400-20")  # fmt: skip
    p.add_argument("--own", action="store_true", help="npvae alone, no frameworks")
    p.add_argument("--kernels", default="suited", metavar="NAME", help="OPENBLAS_CORETYPE for NumPy: suited (default; the fastest "
                   "here), default (OpenBLAS' own choice), or a name such as Haswell")  # fmt: skip
    p.add_argument("--kernel-times", action="store_true", help="only show how fast each kind of kernels is here")
    p.add_argument(
        "--out", type=pathlib.Path, default=OUT, metavar="FOLDER", help="where the results go (default: npvae-benchmarks)"
    )
    return p


def main(argv=None):
    """Measure, print, write."""
    p = parser()
    options = p.parse_args(argv)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        p.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}.")
    if options.cores > os.cpu_count():
        p.error(f"--cores {options.cores}: this machine has {os.cpu_count()}.")
    if options.kernel_times:
        return print(kernel_table(options.cores))
    options.repeats = options.repeats or (3 if options.quick else 15)
    if options.kernels == "suited":
        options.kernels = machine.suited(machine.kernel_times(options.cores))
    elif options.kernels == "default":
        options.kernels = None
    options.say = lambda text: print(f"  {text} ...", file=sys.stderr, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    about = machine.describe(options)
    print(", ".join(f"{name} {text}" for name, text in about.items()))
    for name in options.names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        data = benchmark.measure(options)
        if not data:
            p.error(f"no case of {name} has {options.only!r} in its name.")
        result = {"date": f"{datetime.date.today()}", "repeats": options.repeats, "machine": about, "data": data}
        replace_file(options.out / f"{name}.json", lambda f, result=result: f.write(json.dumps(result, indent=1).encode()))
        save(benchmark.picture(data), options.out / f"{name}.png")
        replace_file(options.out / "RESULTS.md", lambda f: f.write(results_page(options.out).encode()))
        print(f"\n## {benchmark.TITLE}\n\n{benchmark.table(data)}", flush=True)
    print(f"\n{options.out} holds the figures as .json, the pictures, and RESULTS.md.")


def kernel_table(cores):
    """A line for each kind of kernels that runs here."""
    times = machine.kernel_times(cores)
    lines = [f"The matrix products of a step (784-400-20, batch 128), {cores} cores, OPENBLAS_CORETYPE:"]
    for name, seconds in times.items():
        low, middle, high = quartiles(seconds)
        lines.append(f"  {name or 'not set':<16}{middle * 1e3:7.2f} ms  ({low * 1e3:.2f} to {high * 1e3:.2f})")
    if machine.blas_kernels() == machine.UNKNOWN:
        lines.append("Some may be the same under another name: threadpoolctl would tell (pip install threadpoolctl).")
    best = machine.suited(times)
    lines.append(f"Set it so: export OPENBLAS_CORETYPE={best}" if best else "OpenBLAS' own choice suits: there is nothing to set.")
    return "\n".join(lines)


def results_page(folder):
    """RESULTS.md: the tables and pictures of all results that lie in the folder."""
    parts = ["# Results\n\nWritten by `python -m benchmarks`; what they mean stands in benchmarks/README.md."]
    for name in NAMES:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        benchmark = importlib.import_module(f"benchmarks.{name}")
        result = json.loads(path.read_text())
        parts += [f"## {benchmark.TITLE}", benchmark.NOTE, benchmark.table(result["data"]), f"![]({name}.png)", taken_on(result)]
    return "\n\n".join(parts) + "\n"


def taken_on(result):
    """When, how often, and on what."""
    about = ", ".join(f"{key} {text}" for key, text in result["machine"].items())
    steal = max(steals(result["data"]), default=0.0)
    return f"{result['date']}, {result['repeats']} turns; the machine's host took up to {steal:.0%} of the cores away; {about}."


def steals(data):
    """All entries "steal" in nested lists and dicts."""
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    own = [data["steal"]] if isinstance(data, dict) and "steal" in data else []
    return own + [steal for part in parts for steal in steals(part)]


def run():
    """main, with its errors in a sentence."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nStopped. What was finished before has been written.")
    except (PeerError, Disagreement, OSError) as error:
        sys.exit(f"python -m benchmarks: {error}")


if __name__ == "__main__":
    run()
