"""How long it takes to certify the gradient of a 784-400-20 model (652,824 parameters), and to find one wrong entry in it.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.certify

The best of five, in seconds; timings belong to the machine, and a busy one is no measure.
"""

import time

import numpy as np

from benchmarks.machine import blas_kernels
from npvae import VAE, ReLU, Tanh
from npvae.verify import check_gradient, check_model


def best(call, repeats=5):
    """The shortest of some calls, in seconds, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def main():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(8, 784))
    print(f"NumPy {np.__version__}, {blas_kernels()}")
    for activation in (Tanh, ReLU):
        model = VAE.dense(784, (400,), 20, activation=activation, rng=rng, dtype=np.float64)
        eps = model.noise(8, rng)
        seconds, report = best(lambda model=model, eps=eps: check_model(model, x, eps))
        print(f"{activation.__name__}: {model.params.size:,} parameters, norm error <= {report.norm_error:.1e}, {seconds:.2f} s")

        twin = model.astype(complex)
        model.loss_and_grad(x, eps)
        grad = model.params.grad.copy()
        wrong = int(rng.integers(len(grad)))
        grad[wrong] *= 1.01

        def f(theta, twins=(model, twin), eps=eps):
            net = twins[np.iscomplexobj(theta)]
            net.params.theta = theta
            return net.loss(x, eps).total

        seconds, report = best(lambda f=f, model=model, grad=grad: check_gradient(f, model.params.theta.copy(), grad), 1)
        print(f"1 % wrong at {wrong}: found at {report.worst.index[0]}, {report.evaluations} evaluations, {seconds:.2f} s")


if __name__ == "__main__":
    main()
