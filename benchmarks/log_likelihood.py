"""What L_5000 of MNIST's test images costs with a 784-200-200-50 model, beside PyTorch where that is there.

    OPENBLAS_NUM_THREADS=2 python benchmarks/log_likelihood.py                  100 images a burst, three bursts each, in turn
    OPENBLAS_NUM_THREADS=2 python benchmarks/log_likelihood.py --images 10000 --repeats 1          the whole test set (minutes)

Every peer is a process of its own, since the idle threads of one library disturb another; they take turns, and each is warmed
before its burst. Model, images and number of draws are the same, all in float32; on the first images all get the same noise,
and must agree to a part in 10^4. What is printed are medians for 10,000 images, the ratios to PyTorch, and peak memory.

    npvae               log_likelihood as it is called, BLAS with as many threads as OPENBLAS_NUM_THREADS says
    npvae, 2 workers    the same with workers=2 and one BLAS thread each
    torch, BCE          binary_cross_entropy_with_logits of every pixel, as its users write it
    torch, product      log p(x|z) = x . l - sum softplus(l), the form that npvae uses (Bernoulli.nll_of_draws)

Without NPVAE_DATA the images are random black and white ones, which cost the same.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

import numpy as np

import npvae
from npvae.cli.common import positive
from npvae.evaluation import log_likelihood

K, SIZES, LATENT, SAME = 5000, (784, 200, 200), 50, 5  # draws, widths, latents, images on which all must agree
PEERS = ("npvae", "npvae, 2 workers", "torch, BCE", "torch, product")


class Replay(np.random.Generator):
    """A generator whose normal numbers are those of a given array, so that every library sees the same noise."""

    def __init__(self, numbers):
        super().__init__(np.random.PCG64(0))
        self.numbers, self.used = numbers.ravel(), 0

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        """The next numbers."""
        n = int(np.prod(size))
        self.used += n
        return self.numbers[self.used - n : self.used].reshape(size).astype(dtype)


def images(n):
    """n test images of MNIST, black and white; random ones if there is no MNIST."""
    try:
        x = npvae.data.load_mnist().floats("test", np.float32)[:n] >= 0.5
    except FileNotFoundError:
        x = np.random.default_rng(0).random((n, SIZES[0])) < 0.13
    return x.astype(np.float32)


def model():
    """The model, the same in every process."""
    return npvae.VAE.dense(SIZES[0], SIZES[1:], LATENT, rng=np.random.default_rng(0))


def npvae_peer(workers):
    """-> L_K of rows with this noise."""
    vae = model()
    return lambda x, noise: log_likelihood(vae, x, Replay(noise) if noise is not None else RNG, samples=K, workers=workers)


def torch_peer(product):
    """The same, in PyTorch."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits, softplus

    torch.set_num_threads(int(os.environ.get("TORCH_THREADS", 2)))

    def chain(layers):
        modules = []
        for layer in layers:
            modules.append(nn.Tanh())
            if hasattr(layer, "W"):
                modules[-1] = nn.Linear(*layer.W.shape)
                modules[-1].weight.data, modules[-1].bias.data = torch.tensor(layer.W.T.copy()), torch.tensor(layer.b.copy())
        return nn.Sequential(*modules)

    vae = model()
    encoder, decoder = chain(vae.encoder.layers), chain(vae.decoder.layers)

    def one(x, mu, logvar, eps):
        z = mu + torch.exp(0.5 * logvar) * eps
        out = decoder(z)
        if product:
            log_px = out @ x - softplus(out).sum(1)
        else:
            log_px = -binary_cross_entropy_with_logits(out, x.expand_as(out), reduction="none").sum(1)
        log_w = log_px + 0.5 * (eps**2 - z**2 + logvar).sum(1)
        return torch.logsumexp(log_w, 0) - np.log(K)

    def run(x, noise):
        with torch.inference_mode():
            x = torch.tensor(x)
            mu, logvar = encoder(x).chunk(2, dim=1)
            eps = (torch.randn(K, LATENT) for _ in x) if noise is None else torch.tensor(noise, dtype=torch.float32)
            return np.array([float(one(*arguments)) for arguments in zip(x, mu, logvar, eps)])

    return run


RNG = np.random.default_rng(1)


def peer(name, n):
    """What a child process does: agree on a few images, then the burst.  Prints a line of JSON."""
    run = npvae_peer(2 if "workers" in name else 1) if name.startswith("npvae") else torch_peer("product" in name)
    x = images(n)
    noise = np.random.default_rng(2).standard_normal((SAME, K, LATENT))
    values = run(x[:SAME], noise)
    start = time.perf_counter()
    run(x, None)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"values": values.tolist(), "seconds": seconds, "megabytes": memory}))


def main():
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=positive, default=100, metavar="N", help="a burst: the first N test images (default: 100)")
    parser.add_argument("--repeats", type=positive, default=3, metavar="N", help="bursts of every peer (default: 3)")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer, args.images)
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    print(f"L_{K}, {'-'.join(map(str, (*SIZES, LATENT)))}, {args.images} images a burst; {os.cpu_count()} cores, BLAS threads: "
          f"{threads}; numpy {np.__version__}, {platform.processor() or platform.machine()}")  # fmt: skip
    found = {name: [] for name in PEERS}
    for _ in range(args.repeats):
        for name in PEERS:
            environment = {**os.environ, **({"OPENBLAS_NUM_THREADS": "1"} if "workers" in name else {})}
            command = [sys.executable, os.path.abspath(__file__), "--peer", name, "--images", str(args.images)]
            child = subprocess.run(command, env=environment, capture_output=True, text=True)
            if child.returncode == 0:
                found[name].append(json.loads(child.stdout.splitlines()[-1]))
            elif "No module named 'torch'" not in child.stderr:
                raise SystemExit(child.stderr)
    report({name: runs for name, runs in found.items() if runs}, args.images)


def report(found, n):
    """Medians, ratios, memory; stops if two peers do not compute the same."""
    first = np.array(found["npvae"][0]["values"])
    for name, runs in found.items():
        off = max(float(np.max(np.abs(np.array(run["values"]) - first))) for run in runs)
        if off > 1e-4 * np.max(np.abs(first)):
            raise SystemExit(f"{name} computes something else: {off:.2g} nats off.")
    seconds = {name: float(np.median([run["seconds"] for run in runs])) * 10_000 / n for name, runs in found.items()}
    torches = [value for name, value in seconds.items() if name.startswith("torch")]
    for name, runs in found.items():
        spread = [run["seconds"] * 10_000 / n for run in runs]
        ratio = "".join(f"{seconds[name] / other:8.2f} x" for other in torches)
        memory = max(run["megabytes"] for run in runs)
        print(
            f"  {name:<20}{seconds[name]:7.0f} s for 10,000 images ({min(spread):.0f} to {max(spread):.0f}){ratio}{memory:8.0f} MB"
        )
    if torches:
        print("  the columns with x: ratios to PyTorch with BCE, and with the product")


if __name__ == "__main__":
    main()
