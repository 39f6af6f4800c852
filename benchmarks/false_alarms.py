"""Right gradients, by the thousand: does a check ever accuse one?

    python benchmarks/false_alarms.py --n 10000

draws networks, layers, likelihoods and functions (tests/random_networks.py), checks each by the complex step and by Richardson
extrapolation, and counts the false alarms. Exit code 1 if there is one.
"""

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from random_networks import draw


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000, help="how many cases (each is checked twice)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    checks, alarms, nothing, kinks, worst, start = Counter(), 0, 0, 0, {}, time.perf_counter()
    for seed in range(arguments.first, arguments.first + arguments.n):
        case = draw(np.random.default_rng(seed))
        for method in ("auto",) if case.exact_only else ("auto", "richardson"):
            report = case.check(method)
            checks[report.method] += 1
            kinks += sum(row.kinks for row in report.rows)
            nothing += report.vacuous
            if not (report.ok or report.vacuous):
                alarms += 1
                print(f"FALSE ALARM, seed {seed}, {case.label}, method {method}:\n{report}\n")
            elif report.ok and not report.directions and report.norm_error > worst.get(report.method, (0.0, ""))[0]:
                worst[report.method] = report.norm_error, f"seed {seed}, {case.label}"
    seconds = time.perf_counter() - start
    print(f"{alarms} false alarms in {checks.total():,} checks of {arguments.n:,} right gradients, {seconds:.0f} s")
    print(f"{', '.join(f'{n:,} by {m}' for m, n in checks.items())}; {kinks:,} entries at a kink; {nothing} checks proved nothing")
    for method, (error, label) in worst.items():
        print(f"largest norm error by {method}: {error:.1e} ({label})")
    return int(alarms > 0)


if __name__ == "__main__":
    sys.exit(main())
