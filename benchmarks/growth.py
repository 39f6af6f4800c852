"""How time and memory grow with batch, width, depth, latent size, k and the size of the data; npvae alone.

A growth is told by its exponent: time ~ size ** exponent is a line in a log-log plot, and the exponent is its slope. The sizes of
one variable take turns within one process, and the exponent is fitted turn by turn, so that a machine that drifts does not bend it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.compare import quartiles
from benchmarks.peer import Peer
from benchmarks.tables import figures, markdown, round_numbers
from benchmarks.turns import quiet_turns
from npvae.visual.canvas import ACCENT, FONT, INK, new_figure, style

TITLE = "Growth"
NOTE = (
    "Time ~ size ^ exponent: 1 is linear, less is an overhead that has not yet been outgrown. Fitted by least squares to the "
    "logarithms of the larger half of the sizes (at least three), in every turn; median of the turns, quartiles in brackets; "
    "beside it the exponent from the last size but one to the last. Memory is the peak of what one call allocates beyond what was "
    "there before (NumPy's arrays, by tracemalloc): images and model are not in it (in training 16 bytes a parameter: "
    "value, gradient, Adam's two moments), but for the epoch, in which the moments are new. Log-likelihood works through the "
    "draws in chunks, which 250 draws do not fill. npvae alone, float32."
)
LIMIT = 1.05  # of linear: for the exponent of time, and for memory that must be flat the ratio of the last to the first
BURST = 0.3  # seconds


class Variable(NamedTuple):
    """What is varied, and all that is fixed; `workload`: of growth_peer; `case`: size -> its arguments.

    Exponents are those against size ** power. limited: that of time has a limit; flat: memory must not grow."""

    name: str
    fixed: str
    workload: str
    sizes: tuple[int, ...]
    case: Callable[[int], dict]
    power: int = 1
    limited: bool = False
    flat: bool = False


def doubled(first, last):
    """(first, 2 first, 4 first, ..., last)."""
    return tuple(first * 2**i for i in range((last // first).bit_length()))


VARIABLES = (
    Variable("batch", "step, 784-400-20", "step", doubled(64, 2048), lambda n: {"batch": n}, limited=True),
    Variable("width h", "step, 784-h-20, batch 128", "step", doubled(128, 2048), lambda n: {"hidden": [n]}),
    Variable(
        "width h", "step, 64-h-h-2, batch 128", "step", doubled(128, 2048),
        lambda n: {"data_dim": 64, "hidden": [n, n], "latent_dim": 2}, power=2, limited=True,
    ),
    Variable("depth", "step, layers of 200 between 784 and 20, batch 128", "step", doubled(1, 32), lambda n: {"hidden": n * [200]}),
    Variable("latent size z", "step, 784-400-z, batch 128", "step", doubled(16, 1024), lambda n: {"latent_dim": n}),
    Variable(
        "k", "log-likelihood of 4 images, 784-200-200-50", "importance_sampling", doubled(250, 16_000),
        lambda n: {"samples": n, "hidden": [200, 200], "latent_dim": 50}, limited=True, flat=True,
    ),
    Variable("images", "epoch of fit, 784-400-20, batch 128, 8-bit data", "epoch", doubled(2**9, 2**16), lambda n: {"rows": n}),
)  # fmt: skip


def measure(options):
    """-> a case for every variable: times (turns x sizes, seconds) and megabytes (a number a size)."""
    return [measure_one(variable, options) for variable in VARIABLES]


def measure_one(variable, options):
    """All sizes of one variable, in a process of their own."""
    options.say(f"{variable.name}: {variable.fixed}")
    sizes = variable.sizes[1:4] if options.quick else variable.sizes
    burst = BURST / 6 if options.quick else BURST
    with Peer("growth_peer", options.cores, options.kernels) as peer:
        megabytes = peer.prepare(variable.workload, cases=[variable.case(size) for size in sizes])
        times, steal = quiet_turns(lambda: peer.burst(variable.workload, burst), options.repeats, options.cores)
    about = {key: getattr(variable, key) for key in ("name", "fixed", "power", "limited", "flat")}
    return {**about, "sizes": list(sizes), "times": times, "megabytes": megabytes, "steal": steal}


# --- the exponents ---------------------------------------------------------------------------------------------------------------


def exponent(sizes, values):
    """Slope of log values against log sizes by least squares: p of values = c sizes ** p."""
    x = np.log(sizes) - np.mean(np.log(sizes))
    return float(x @ np.log(values) / (x @ x))


def fitted(case):
    """How many of the sizes, the largest ones, the exponent is fitted to: half of them, at least three."""
    return max(3, len(case["sizes"]) // 2)


def exponents(case, last):
    """Exponents over the last so many sizes -> quartiles of time's over the turns, and memory's."""
    sizes = np.array(case["sizes"][-last:]) ** case["power"]
    of_time = quartiles([exponent(sizes, turn[-last:]) for turn in case["times"]])
    return of_time, exponent(sizes, case["megabytes"][-last:])


def verdicts(case):
    """Texts: for every limit whether it holds."""
    last, texts = fitted(case), []
    if case["limited"]:
        (_, slope, _), _ = exponents(case, last)
        texts.append(f"time at most {LIMIT:g}: {holds(slope <= LIMIT)}")
    if case["flat"]:
        ratio = case["megabytes"][-1] / case["megabytes"][-last]
        texts.append(f"memory flat: {holds(ratio <= LIMIT)} ({ratio:.2f} times from {span(case)})")
    return texts


def holds(is_so):
    """In words."""
    return "holds" if is_so else "**does not hold**"


# --- on paper --------------------------------------------------------------------------------------------------------------------


def table(cases):
    """Markdown: the exponents, then milliseconds and megabytes at every size."""
    head = ["against", "what", "fitted over", "time", "last pair", "memory", "last pair", "limit"]
    return "\n\n".join([markdown(head, [row(case) for case in cases]), *(sizes_table(case) for case in cases)])


def row(case):
    """A line of the first table."""
    (low, middle, high), of_memory = exponents(case, fitted(case))
    (_, last, _), last_of_memory = exponents(case, 2)
    time = f"{two_places(middle)} ({two_places(low)} to {two_places(high)})"
    against = case["name"] + squared(case)
    limits = "<br>".join(verdicts(case))
    return [against, case["fixed"], span(case), time, two_places(last), two_places(of_memory), two_places(last_of_memory), limits]


def squared(case):
    """What the exponent is against, if not the size itself."""
    return " squared" if case["power"] == 2 else ""


def two_places(value):
    """0.98; never -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


def span(case):
    """The sizes that the exponent is fitted to, in words."""
    return f"{case['sizes'][-fitted(case)]:,} to {case['sizes'][-1]:,}"


def sizes_table(case):
    """What was measured of one variable."""
    return markdown(
        [f"{case['name']} ({case['fixed']})", *(f"{size:,}" for size in case["sizes"])],
        [
            ["milliseconds", *(figures(1e3 * time) for time in medians(case))],
            ["megabytes", *(figures(megabytes) for megabytes in case["megabytes"])],
        ],
    )


def medians(case):
    """Seconds a call of each size."""
    return [quartiles(times)[1] for times in zip(*case["times"])]


def picture(cases):
    """A row a variable: its time on the left, its memory on the right; a line over the sizes that the exponent is fitted to."""
    figure = new_figure(6.5, 0.3 + 1.6 * len(cases), layout="constrained")
    for (left, right), case in zip(figure.subplots(len(cases), 2, squeeze=False), cases):
        (_, of_time, _), of_memory = exponents(case, fitted(case))
        panel(left, case, np.multiply(medians(case), 1e3), of_time, "milliseconds")
        panel(right, case, np.array(case["megabytes"]), of_memory, "megabytes")
        left.set_title(case["fixed"], fontsize=FONT + 1, color=INK, loc="left")
    return figure


def panel(ax, case, values, slope, ylabel):
    """Values against sizes, both axes logarithmic, the slope written in; memory that does not change is seen as a flat line."""
    style(ax, "", case["name"], ylabel)
    sizes = np.array(case["sizes"])
    x, y = (np.log(a[-fitted(case) :]) for a in (sizes, values))
    line = np.mean(y) + slope * case["power"] * (x - np.mean(x))
    ax.plot(np.exp(x), np.exp(line), "-", color="0.75", linewidth=5, solid_capstyle="round")
    ax.plot(sizes, values, "o-", color=ACCENT, linewidth=1.2, markersize=3)
    of = " of h squared" if case["power"] == 2 else ""
    ax.text(0.03, 0.97, f"exponent {two_places(slope)}{of}", transform=ax.transAxes, fontsize=FONT, color=INK, va="top")
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(sizes, [f"{size}" if size < 10_000 else f"{size / 1000:.0f}k" for size in sizes])
    middle, half = np.sqrt(values.min() * values.max()), max(3, 1.4 * np.sqrt(values.max() / values.min()))
    ax.set_ylim(middle / half, middle * half)
    ticks = round_numbers(middle / half, middle * half)
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
