"""One BLAS thread or as many as there are cores? npvae's step and its bare matrix products, both ways, in turn."""

from benchmarks.compare import Contestant, compare, quartiles
from benchmarks.tables import lines, timing_table

TITLE = "One BLAS thread, or as many as cores"
NOTE = (
    "Milliseconds, and what part of the time with one thread as many as there are cores take. 784-400-20. What lies between the "
    "matrix products runs on one core in any case. On an idle machine: beside a busy program threads wait for each other."
)
MODEL = "784-400-20"
BATCHES = (20, 128, 512, 2048)
MANY, ONE = "all threads", "one thread"


def measure(options):
    """-> a case for every batch size, of the step and of the products."""
    cases = []
    for batch in (128,) if options.quick else BATCHES:
        options.say(f"{MODEL}, batch {batch}")
        arguments = {"model": MODEL, "batch": batch}
        for what, workload in (("step", "step"), ("its matrix products", "matrix products")):
            both = {
                MANY: Contestant("numpy_peer", workload, arguments),
                ONE: Contestant("numpy_peer", workload, arguments, threads=1),
            }
            about = {"case": f"{what}, batch {batch}", "what": what, "batch": batch}
            cases.append({**about, **compare(both, options)})
    return cases


def table(cases):
    """Markdown."""
    return timing_table(cases, MANY)


def picture(cases):
    """Milliseconds against the batch size, a panel for the step and one for the products."""
    panels = {}
    for case in cases:
        for label, times in case["times"].items():
            points = panels.setdefault(case["what"], {}).setdefault(label, [])
            points.append((case["batch"], quartiles(times)[1] * 1e3))
    return lines(panels, "batch size", "milliseconds")
