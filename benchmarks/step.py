"""How far a training step is from its own matrix products.

    python benchmarks/step.py                                   the 784-400-20 ReLU model at batch 128, float32
    OPENBLAS_CORETYPE=SkylakeX python benchmarks/step.py        the same on other BLAS kernels

Times the step (forward, backward, Adam) and its bare matrix products in turn, in one process, and prints medians of
milliseconds and their ratio. Absolute times drift with the machine; the ratio of one run is what compares.
"""

import argparse
import os
import platform
import time

import numpy as np

import npvae


def matrix_products(model, B, rng):
    """A function that does the step's matrix products and nothing else: y = x W, dW = x^T dy, dx = dy W^T (not for the first)."""
    dense = [layer for chain in (model.encoder, model.decoder) for layer in chain.layers if isinstance(layer, npvae.Dense)]
    work = [
        (rng.random((B, layer.n_in), np.float32), rng.random((B, layer.n_out), np.float32), layer.W.copy(), np.empty_like(layer.W))
        for layer in dense
    ]

    def run():
        for i, (x, dy, W, dW) in enumerate(work):
            x @ W
            np.matmul(x.T, dy, out=dW)
            if i > 0:
                dy @ W.T

    return run


def bursts(functions, repeats, calls):
    """name -> milliseconds a call, one median burst after another: the functions take turns, each burst is warmed first."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            function()
            start = time.perf_counter()
            for _ in range(calls):
                function()
            times[name].append((time.perf_counter() - start) / calls * 1e3)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=31, help="bursts of each function (default: 31)")
    parser.add_argument("--calls", type=int, default=20, help="calls a burst (default: 20)")
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    B = args.batch_size
    model = npvae.VAE.dense(784, (400,), 20, activation=npvae.ReLU, init="uniform", rng=rng)
    optimizer = npvae.Adam(lr=1e-3)
    x, eps = rng.random((B, 784), np.float32), model.noise(B, rng)

    def step():
        model.loss_and_grad(x, eps)
        optimizer.step(model.params.theta, model.params.grad)

    functions = {
        "matrix products": matrix_products(model, B, rng),
        "forward and backward": lambda: model.loss_and_grad(x, eps),
        "Adam": lambda: optimizer.step(model.params.theta, model.params.grad),
        "step": step,
    }
    times = bursts(functions, args.repeats, args.calls)
    base = np.median(times["matrix products"])
    kernel = os.environ.get("OPENBLAS_CORETYPE", "default")
    print(f"784-400-20 ReLU, batch {B}, float32, {model.params.size:,} parameters; NumPy {np.__version__}, {platform.machine()}, ")
    print(f"OPENBLAS_CORETYPE {kernel}, OPENBLAS_NUM_THREADS {os.environ.get('OPENBLAS_NUM_THREADS', 'default')}")
    for name, t in times.items():
        low, median, high = np.percentile(t, (25, 50, 75))
        print(f"  {name:<22}{median:8.3f} ms  ({low:.3f} to {high:.3f})   {median / base:5.2f} x its matrix products")


if __name__ == "__main__":
    main()
