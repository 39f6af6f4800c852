"""What the convolutional model of article 4 costs: by layer, by step, by epoch of MNIST, and beside PyTorch where that is there.

    OPENBLAS_NUM_THREADS=2 python benchmarks/convolution.py                 layers and steps, at batch 256 of 28 x 28 pictures
    OPENBLAS_NUM_THREADS=2 python benchmarks/convolution.py --epoch         an epoch of MNIST (NPVAE_DATA), from 60 of its 235 steps
    OPENBLAS_NUM_THREADS=2 python benchmarks/convolution.py --epoch --steps 235         the whole epoch

npvae and PyTorch (eager, on the CPU, the same number of threads) take turns in one process, each burst warmed first; what is
printed are medians of milliseconds and the ratio. Absolute times drift with the machine; the ratio of one run is what compares.
Both train the same architecture in float32 with the same loss, squared error and KL, and Adam. PyTorch keeps pictures channels
first unless told otherwise; it is timed in both of its layouts.
"""

import argparse
import math
import os
import platform
import time

import numpy as np

import npvae
from npvae.beyond import Conv2D, ConvTranspose2D, MaxPool2D, convolutional

try:
    import torch
    from torch import nn
except ImportError:
    torch = None

B = 256
TRAIN = 60_000  # images of MNIST
LAYERS = {  # name: (npvae layer, shape of its input, the same as a PyTorch module)
    "Conv2D 1 -> 32": (lambda rng: Conv2D(1, 32, padding=1, rng=rng), (28, 28, 1), lambda: nn.Conv2d(1, 32, 3, padding=1)),
    "MaxPool2D of 28 x 28": (lambda rng: MaxPool2D(), (28, 28, 32), lambda: nn.MaxPool2d(2)),
    "Conv2D 32 -> 64": (lambda rng: Conv2D(32, 64, padding=1, rng=rng), (14, 14, 32), lambda: nn.Conv2d(32, 64, 3, padding=1)),
    "MaxPool2D of 14 x 14": (lambda rng: MaxPool2D(), (14, 14, 64), lambda: nn.MaxPool2d(2)),
    "ConvTranspose2D 64 -> 64": (
        lambda rng: ConvTranspose2D(64, 64, stride=2, padding=1, output_padding=1, rng=rng),
        (7, 7, 64),
        lambda: nn.ConvTranspose2d(64, 64, 3, 2, 1, 1),
    ),
    "ConvTranspose2D 64 -> 32": (
        lambda rng: ConvTranspose2D(64, 32, stride=2, padding=1, output_padding=1, rng=rng),
        (14, 14, 64),
        lambda: nn.ConvTranspose2d(64, 32, 3, 2, 1, 1),
    ),
    "ConvTranspose2D 32 -> 1": (
        lambda rng: ConvTranspose2D(32, 1, padding=1, rng=rng),
        (28, 28, 32),
        lambda: nn.ConvTranspose2d(32, 1, 3, padding=1),
    ),
}


def bursts(functions, repeats, calls):
    """name -> median milliseconds a call; the functions take turns, each burst is warmed first."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            function()
            start = time.perf_counter()
            for _ in range(calls):
                function()
            times[name].append((time.perf_counter() - start) / calls * 1e3)
    return {name: float(np.median(t)) for name, t in times.items()}


def report(name, times):
    """A line: npvae's milliseconds, PyTorch's, and their ratio."""
    ours, *theirs = times.values()
    print(f"  {name:<28}{ours:9.2f} ms" + "".join(f"{t:12.2f} ms  {ours / t:5.2f} x" for t in theirs), flush=True)


# --- one layer -------------------------------------------------------------------------------------------------------------------


def layer_pass(make, shape, rng):
    """A function that goes forward and back through one of npvae's layers. The first layer of a model needs no dx."""
    layer = make(rng).astype(np.float32)
    x = rng.standard_normal((B, *shape), np.float32)
    dy = rng.standard_normal(layer.forward(x)[0].shape, np.float32)
    return lambda: layer.backward(dy, layer.forward(x)[1], need_dx=shape[-1] > 1)


def torch_layer_pass(make, shape, memory_format):
    """The same for PyTorch's module."""
    height, width, channels = shape
    module = make().to(memory_format=memory_format)
    x = torch.randn(B, channels, height, width).to(memory_format=memory_format).requires_grad_(channels > 1)
    dy = torch.randn_like(module(x))

    def run():
        x.grad = None
        module(x).backward(dy)

    return run


# --- one step --------------------------------------------------------------------------------------------------------------------


def npvae_model(rng):
    """The model of article 4, squared error as a Gaussian of variance 1/2, and its optimizer."""
    return convolutional((28, 28), 2, npvae.Gaussian(math.sqrt(0.5)), rng=rng), npvae.Adam()


def npvae_step(rng):
    """A function that makes one step."""
    model, optimizer = npvae_model(rng)
    x, eps = rng.random((B, 784), np.float32), model.noise(B, rng)

    def step():
        model.loss_and_grad(x, eps)
        optimizer.step(model.params.theta, model.params.grad)

    return step


def torch_stepper(memory_format):
    """A function x (B, 1, 28, 28) -> None that makes one step of the same model in PyTorch."""
    pool = [nn.ReLU(), nn.MaxPool2d(2)]
    encoder = [nn.Conv2d(1, 32, 3, padding=1), *pool, nn.Conv2d(32, 64, 3, padding=1), *pool]
    encoder += [nn.Flatten(), nn.Linear(3136, 64), nn.ReLU(), nn.Linear(64, 4)]
    decoder = [nn.Linear(2, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)), nn.ConvTranspose2d(64, 64, 3, 2, 1, 1), nn.ReLU()]
    decoder += [nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 3, padding=1)]
    encoder, decoder = (nn.Sequential(*layers).to(memory_format=memory_format) for layers in (encoder, decoder))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)

    def step(x):
        optimizer.zero_grad()
        mu, logvar = encoder(x).chunk(2, dim=1)
        out = decoder(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
        kl = 0.5 * torch.sum(mu**2 + logvar.exp() - 1 - logvar)
        loss = (nn.functional.mse_loss(out, x, reduction="sum") + kl) / len(x)
        loss.backward()
        optimizer.step()

    return step


def torch_step(memory_format):
    """A function that makes one step."""
    step, x = torch_stepper(memory_format), torch.rand(B, 1, 28, 28)
    return lambda: step(x)


# --- one epoch -------------------------------------------------------------------------------------------------------------------


def npvae_epoch(images, rng):
    """A function that trains for an epoch of these images, by `fit`: shuffling, scaling and noise are part of it."""
    model, optimizer = npvae_model(rng)

    def epoch():
        data = npvae.data.Dataset("images", images, images[:1], scale=255.0, image_shape=(28, 28))
        npvae.fit(model, data, optimizer=optimizer, epochs=1, batch_size=B, rng=rng, progress=False)

    return epoch


def torch_epoch(images, memory_format):
    """The same in PyTorch: floats in memory, in a new order each epoch."""
    step = torch_stepper(memory_format)
    x = torch.from_numpy(images / np.float32(255)).reshape(-1, 1, 28, 28)

    def epoch():
        for rows in torch.randperm(len(x)).split(B):
            step(x[rows])

    return epoch


def epochs(steps, repeats, formats):
    """Seconds of an epoch of MNIST, from so many of its steps."""
    images = npvae.data.load_mnist().train[: steps * B]
    functions = {"npvae": npvae_epoch(images, np.random.default_rng(0))}
    functions |= {name: torch_epoch(images, memory_format) for name, memory_format in formats.items()}
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, epoch in functions.items():
            start = time.perf_counter()
            epoch()
            times[name].append((time.perf_counter() - start) * TRAIN / len(images))
    whole = len(images) == TRAIN
    print(f"An epoch of MNIST, {'whole' if whole else f'extrapolated from {steps} of its 235 steps'}, median of {repeats}:")
    for name, t in times.items():
        print(f"  {name:<28}{np.median(t):9.1f} s   {np.median(times['npvae']) / np.median(t):5.2f} x")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epoch", action="store_true", help="an epoch of MNIST in place of layers and steps")
    parser.add_argument("--steps", type=int, default=60, help="of 235 in the epoch (default: 60)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each function (default: 9)")
    args = parser.parse_args()

    threads = int(os.environ.get("OPENBLAS_NUM_THREADS", os.cpu_count() or 1))
    print(f"NumPy {np.__version__}, {platform.machine()}, {threads} threads, batch {B}, float32; ", end="")
    formats = {}
    if torch is None:
        print("PyTorch is not installed: npvae's own figures alone")
    else:
        torch.set_num_threads(threads)
        formats = {"PyTorch": torch.contiguous_format, "PyTorch, channels_last": torch.channels_last}
        print(f"PyTorch {torch.__version__}")
    if args.epoch:
        return epochs(args.steps, args.repeats, formats)
    rng = np.random.default_rng(0)
    print(f"  {'forward and backward':<28}{'npvae':>12}" + "".join(f"{name:>23}" for name in formats))
    for name, (make, shape, module) in LAYERS.items():
        functions = {"npvae": layer_pass(make, shape, rng)}
        functions |= {each: torch_layer_pass(module, shape, memory_format) for each, memory_format in formats.items()}
        report(name, bursts(functions, args.repeats, calls=3))
    functions = {"npvae": npvae_step(rng)} | {name: torch_step(memory_format) for name, memory_format in formats.items()}
    report("step, with Adam", bursts(functions, args.repeats, calls=3))


if __name__ == "__main__":
    main()
