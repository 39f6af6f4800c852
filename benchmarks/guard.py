"""Fails if a training step has become slow, as a multiple of its own matrix products in the same process.

    python -m benchmarks.guard

One core, 784-400-20, batch 128. The matrix products are the part that no NumPy program can avoid; the rest (activations,
likelihood, KL, Adam) must not grow beside them. Counts that need no clock (arrays allocated, products made, no float64) are
tests: tests/test_performance.py.
"""

import sys

from benchmarks.compare import quartiles
from benchmarks.peer import Peer

LIMIT = 3.0  # it is 1.7 to 2.2 on a quiet machine
TURNS = 15


def main():
    """Exit code 1 above the limit. The median of several turns counts, since a busy machine disturbs now the one, now the other."""
    arguments = {"model": "784-400-20", "batch": 128}
    with Peer("numpy_peer", cores=1) as peer:
        for workload in ("step", "matrix products"):
            peer.prepare(workload, **arguments)
        turns = [peer.burst("step", 0.2) / peer.burst("matrix products", 0.2) for _ in range(TURNS)]
        kernels = peer.versions()["BLAS kernels"]
    low, middle, high = quartiles(turns)
    print(f"a step takes {middle:.2f} times its matrix products ({low:.2f} to {high:.2f}; limit {LIMIT}); {kernels}")
    if middle > LIMIT:
        sys.exit("A training step has become slower than it was: python -m benchmarks parts --own shows which part.")


if __name__ == "__main__":
    main()
