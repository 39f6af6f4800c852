"""The cards' pictures: curves by name."""

from benchmarks.tables import round_numbers
from npvae.visual.canvas import ACCENT, FONT, INK, new_figure, style

STYLES = ("-", "--", ":", "-.")
LONG, FEW = 30, 0.03  # a curve of so many points may leave out this share of the first, which would hide all others


def lines(curves, xlabel, ylabel, marked=None, logarithmic=False):
    """A Figure. curves, marked: {label: (x, y)}, drawn as lines, as circles; logarithmic: x."""
    figure, marked = new_figure(layout="constrained"), marked or {}
    axes = style(figure.add_subplot(), "", xlabel, ylabel)
    for (label, (x, y)), dashes in zip(curves.items(), STYLES[: len(curves)], strict=True):
        axes.plot(x, y, dashes, color=INK, linewidth=1.2, label=label)
    for i, (label, (x, y)) in enumerate(marked.items()):
        size, face = (7, "none") if i == 0 else (3, ACCENT)
        axes.plot(x, y, "o", color=ACCENT, markersize=size, markerfacecolor=face, linestyle="none", label=label)
    if logarithmic:
        axes.set_xscale("log")
        ticks = round_numbers(*axes.get_xlim())
        axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
        axes.minorticks_off()
    every = [y for _, y in [*curves.values(), *marked.values()]]
    low, high = min(map(min, every)), max(map(_top, every))
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.legend(fontsize=FONT, frameon=False)
    return figure


def _top(y):
    """The largest value; without the first few of a long curve."""
    return sorted(y)[-1 - (int(FEW * len(y)) if len(y) >= LONG else 0)]
