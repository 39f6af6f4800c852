"""What subnormal numbers cost Adam, and what flushing them to 0 saves.

    python -m benchmarks.subnormals

The average m of a weight whose gradient stays at 0 shrinks by beta1 a step. After some 800 steps it is below 1e-38, the smallest
normal float32, and stays there: 0.9 times the smallest subnormal number rounds to itself. Border pixels and dead ReLUs make a
tenth of the 784-400-20 model's weights end so on MNIST. Times Adam on such averages, with and without the flush, in turn.
"""

import numpy as np

import npvae
from benchmarks.compare import ratio
from benchmarks.machine import blas_kernels
from benchmarks.peer import Workload, repeated

P, TURNS = 652_824, 15


class Unflushed(npvae.Adam):
    """Adam that leaves subnormal averages as they are."""

    def _flush(self, *averages):
        pass


def main():
    """Print the two times and their ratio."""
    rng = np.random.default_rng(0)
    grad = rng.normal(size=P).astype(np.float32)
    workloads = {}
    for name, optimizer in (("with the flush", npvae.Adam()), ("without", Unflushed())):
        theta, g = rng.normal(size=P).astype(np.float32), grad.copy()
        for step in range(1280):
            if step == 1:
                g[rng.random(P) < 0.1] = 0
            optimizer.step(theta, g)
        workloads[name] = Workload(repeated(lambda step=optimizer.step, theta=theta, g=g: step(theta, g)))
    times = {name: [] for name in workloads}
    for _ in range(TURNS):
        for name, workload in workloads.items():
            times[name].append(workload.burst(0.2))
    print(f"NumPy {np.__version__}, {blas_kernels()}")
    for name, t in times.items():
        print(f"Adam on {P:,} float32 parameters, a tenth of the gradients 0, {name:<16}{np.median(t) * 1e3:8.3f} ms")
    print(f"ratio {ratio(times, 'without', 'with the flush')[1]:.2f}")


if __name__ == "__main__":
    main()
