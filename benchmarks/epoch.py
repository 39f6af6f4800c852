"""An epoch of MNIST as a user gets it, shuffling and scaling of the 8-bit images included, and the memory of it."""

import copy

from benchmarks.compare import Contestant, compare, quartiles
from benchmarks.tables import bars, figures, markdown, timing_table

TITLE = "An epoch of MNIST"
NOTE = (
    "Seconds, and how many times npvae's time is of it; the files have been read. 784-400-20, batch 128, Adam. npvae is `fit`. The "
    "DataLoader is pytorch/examples/vae: images one by one through PIL as torchvision's MNIST with ToTensor has it, then sigmoid "
    "and binary_cross_entropy. In memory: floats, one index a batch, cross-entropy on logits. Peak memory is that of the process."
)
MODEL, BATCH, IMAGES = "784-400-20", 128, 60_000
CONTESTANTS = {
    "npvae": ("numpy_peer", {}),
    "PyTorch, DataLoader": ("torch_peer", {"loader": True}),
    "PyTorch, in memory": ("torch_peer", {}),
    "PyTorch, in memory, fused Adam": ("torch_peer", {"fused": True}),
}


def measure(options):
    """-> the one case."""
    n = 6000 if options.quick else IMAGES
    options.say(f"an epoch over {n} images")
    fewer = copy.copy(options)
    fewer.repeats = min(options.repeats, 9)
    contestants = {
        label: Contestant(module, "epoch", {"model": MODEL, "batch": BATCH, "n": n, **how})
        for label, (module, how) in CONTESTANTS.items()
    }
    return [{"case": f"{n:,} images", **compare(contestants, fewer)}]


def table(cases):
    """Markdown: seconds, then megabytes."""
    rows = [[case["case"], *(figures(megabytes) for megabytes in case["memory"].values())] for case in cases]
    memory = markdown(["peak memory, MB", *cases[0]["memory"]], rows)
    return f"{timing_table(cases, 'npvae', 's', 1)}\n\n{memory}"


def picture(cases):
    """Bars of seconds and of megabytes."""
    (case,) = cases
    seconds = {label: quartiles(times) for label, times in case["times"].items()}
    memory = {label: (megabytes,) * 3 for label, megabytes in case["memory"].items()}
    return bars({f"An epoch over {case['case']}, seconds": seconds, "Peak memory of the process, MB": memory}, "")
