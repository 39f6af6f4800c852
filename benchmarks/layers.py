"""Layers one by one, forward and backward, and the convolutional model: a step, and an epoch of MNIST; npvae beside PyTorch."""

import copy
import math

import numpy as np

from benchmarks.compare import Contestant, compare, quartiles
from benchmarks.peers.numpy_convolution import LAYERS, B
from benchmarks.tables import COLORS, timing_table
from npvae.visual.canvas import FONT, INK, new_figure, style

TITLE = "Layers, and the convolutional model"
STEPS, IMAGES = 60, 60_000  # steps of the epoch that are made, images of the whole
NOTE = (
    "Milliseconds forward and backward, and how many times npvae's time is of it (quartiles of the turns in brackets). The first "
    "layers, Dense 784 -> 400 and Conv2D 1 -> 32, need no dL/dx, and compute none. Dense layers have batch 128, pictures batch "
    f"{B}. The step is that of the convolutional model of article 4 on 28 x 28 pictures, with Adam. PyTorch lays pictures out "
    "channels first unless told otherwise. The epoch is npvae's `fit`, and PyTorch with floats in memory; it is extrapolated from "
    f"{STEPS} of its {math.ceil(IMAGES / B)} steps."
)
QUICK = ("Dense 784 -> 400", "Conv2D 32 -> 64")
CONTESTANTS = {
    "npvae": ("numpy_convolution", {}),
    "PyTorch": ("torch_convolution", {}),
    "PyTorch, channels_last": ("torch_convolution", {"channels_last": True}),
}
MARKERS = (("o", COLORS[0], 0.0), ("s", COLORS[2], -0.15), ("D", COLORS[3], 0.15))  # and how far off the case's line


def measure(options):
    """-> a case for every layer and the step; and one for the epoch, unless it must be quick."""
    cases = []
    for name in QUICK if options.quick else LAYERS:
        options.say(name)
        pictures = len(LAYERS[name].shape) > 1
        cases.append({"case": name, **compare(contestants("layer", pictures, name=name), options)})
    options.say("a step of the convolutional model")
    cases.append({"case": "convolutional model, step", **compare(contestants("step"), options)})
    return {"cases": cases, "epoch": None if options.quick else epoch(options)}


def contestants(workload, pictures=True, **arguments):
    """Label -> Contestant. Where there are no pictures there are no channels to lay out."""
    return {
        label: Contestant(module, workload, {**arguments, **how})
        for label, (module, how) in CONTESTANTS.items()
        if pictures or not how
    }


def epoch(options):
    """The case of the epoch: seconds, from those of its first steps. A turn takes a minute, so there are fewer."""
    options.say(f"an epoch of the convolutional model, from {STEPS} steps")
    fewer = copy.copy(options)
    fewer.repeats = min(options.repeats, 5)
    case = compare(contestants("epoch", n=STEPS * B), fewer)
    case["times"] = {label: [t * IMAGES / (STEPS * B) for t in times] for label, times in case["times"].items()}
    return {"case": "convolutional model, epoch", **case}


def table(data):
    """Markdown: milliseconds, then the epoch's seconds."""
    tables = [timing_table(data["cases"], "npvae")]
    if data["epoch"]:
        tables.append(timing_table([data["epoch"]], "npvae", "s", 1))
    return "\n\n".join(tables)


def picture(data):
    """A line a case, a point a contestant: milliseconds with their quartiles, on a logarithmic axis."""
    cases = data["cases"]
    figure = new_figure(6.5, 1.1 + 0.35 * len(cases), layout="constrained")
    ax = style(figure.subplots(), "Forward and backward", "milliseconds")
    for label, (marker, color, offset) in zip(CONTESTANTS, MARKERS):
        points = [(at + offset, *quartiles(case["times"][label])) for at, case in enumerate(cases) if label in case["times"]]
        if points:
            y, low, middle, high = np.array(points).T
            spread = 1e3 * np.array([middle - low, high - middle])
            ax.errorbar(1e3 * middle, y, xerr=spread, fmt=marker, color=color, markersize=4, linewidth=1, label=label)
    ax.set_yticks(range(len(cases)), [case["case"] for case in cases])
    ax.set_ylim(len(cases) - 0.5, -0.5)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.grid(axis="x", which="both", color="0.9", linewidth=0.5)
    ax.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=len(CONTESTANTS), fontsize=FONT, frameon=False, labelcolor=INK)
    return figure
