"""What the comparisons have in common on paper: Markdown tables, and two kinds of pictures."""

import numpy as np

from benchmarks.compare import quartiles, ratio
from npvae.visual.canvas import FONT, INK, new_figure, style

COLORS = ("#c8501e", "0.55", "#1b6ca8", "#5aa0d8", "#0b3c5d", "#4a8f3c", "0.75")  # npvae's accent, its bare products, the others


def markdown(head, rows):
    """A table: head and rows are lists of texts."""
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def timing_table(cases, reference, unit="ms", scale=1e3):
    """A row a case, a column a contestant: its median, and below what part of it `reference` needs, with quartiles.

    cases: what `compare` gives, each with its name under "case"."""
    labels = list(dict.fromkeys(label for case in cases for label in case["times"]))
    rows = []
    for case in cases:
        row = [case["case"]]
        for label in labels:
            if label not in case["times"]:
                row.append("")
                continue
            text = figures(quartiles(case["times"][label])[1] * scale)
            if label != reference:
                text += f"<br>{ratio_text(case['times'], reference, label)}"
            row.append(text)
        rows.append(row)
    missing = {label: why for case in cases for label, why in case["missing"].items()}
    notes = "".join(f"\n\n{label}: {why}" for label, why in missing.items())
    return markdown([f"{unit}", *labels], rows) + notes


def ratio_text(times, of, to):
    """Median and quartiles of `of` / `to`."""
    low, middle, high = ratio(times, of, to)
    return f"{middle:.2f} x ({low:.2f} to {high:.2f})"


def figures(value):
    """Three figures of a number."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def lines(panels, xlabel, ylabel):
    """A figure: panels {title: {label: [(x, y), ...]}} side by side, both axes logarithmic, one legend."""
    figure = new_figure(2.7 * len(panels) + 1.6, 3.2, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    labels = list(dict.fromkeys(label for series in panels.values() for label in series))
    for ax, (title, series) in zip(axes, panels.items()):
        style(ax, title, xlabel, ylabel if ax is axes[0] else "")
        for label, points in series.items():
            x, y = zip(*points)
            color = COLORS[labels.index(label) % len(COLORS)]
            ax.plot(x, y, "o-", color=color, linewidth=2 if label == labels[0] else 1, markersize=3, label=label)
        ax.set(xscale="log", yscale="log")
        ticks = sorted({point[0] for points in series.values() for point in points})
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ticks = round_numbers(*ax.get_ylim())
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc="outside right center", fontsize=FONT, frameon=False, labelcolor=INK)
    return figure


def round_numbers(low, high):
    """Powers of ten between low and high; with twice and five times these if they are few."""
    powers = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)))
    for factors in ((1,), (1, 2, 5)):
        numbers = [f * power for power in powers for f in factors if low <= f * power <= high]
        if len(numbers) >= 3:
            break
    return numbers


def bars(groups, xlabel):
    """A figure: groups {title: {label: (low, middle, high)}} of horizontal bars, one group below the other."""
    labels = list(dict.fromkeys(label for group in groups.values() for label in group))
    n = sum(len(group) for group in groups.values())
    figure = new_figure(6.5, 0.9 + 0.2 * n + 0.45 * len(groups), layout="constrained")
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[len(group) + 0.6 for group in groups.values()])[:, 0]
    for ax, (title, group) in zip(axes, groups.items()):
        style(ax, title, xlabel if ax is axes[-1] else "")
        low, middle, high = np.array(list(group.values())).T
        y = np.arange(len(group))[::-1]
        color = [COLORS[labels.index(label) % len(COLORS)] for label in group]
        ax.barh(y, middle, xerr=[middle - low, high - middle], color=color, height=0.7, error_kw={"ecolor": INK, "linewidth": 0.8})
        ax.set_yticks(y, list(group))
        for at, value, end in zip(y, middle, high):
            ax.annotate(figures(value), (end, at), xytext=(4, 0), textcoords="offset points", va="center", fontsize=FONT, color=INK)
        ax.margins(x=0.12)
        ax.set_xlim(left=0)
    return figure
