"""Two-dimensional data as what they are: points in a plane."""

import numpy as np

from npvae.core.checks import finite, has_shape
from npvae.visual.canvas import ACCENT, FONT, INK, new_figure, style

# Groups differ in colour and marker: also on a grey print, and up to 30 of them. Later ones lie above earlier ones.
COLORS = (INK, ACCENT, "#2b6cb0", "#2f855a", "#6b46c1", "#975a16")
MARKERS = {"o": 10, "x": 14, "^": 10, "s": 8, "+": 18, "v": 10, "D": 7, "1": 20, "p": 10, "<": 10}  # and their sizes


def plot_points(groups):
    """Groups of points over each other, such as {"data": x, "generated": x_new}: where one group has points, so should the other.

    groups: name -> (N, 2). Large groups are drawn fainter, so that density shows.
    Raises ValueError if there is no group, or one that is no finite (N, 2)."""
    if not groups:
        raise ValueError('plot_points: there are no groups; give a dict such as {"data": x, "generated": x_new}.')
    arrays = {name: np.asarray(points) for name, points in groups.items()}
    for name, points in arrays.items():
        has_shape("plot_points", name, points, ("N", 2), "one point a row; other data go to plot_samples.")
        if len(points) == 0:
            raise ValueError(f"plot_points: {name} has no points.")
        finite("plot_points", "NaN and infinity cannot be drawn.", **{name: points})
    figure = new_figure(5.0, 4.4, layout="constrained")
    axes = style(figure.add_subplot(), xlabel="column 1", ylabel="column 2")
    for i, (name, points) in enumerate(arrays.items()):
        color, (marker, size) = COLORS[i % len(COLORS)], [*MARKERS.items()][i % len(MARKERS)]
        faint = min(1.0, max(0.25, 15 / len(points) ** 0.5))
        line = {"linewidths": 0.9} if marker in "x+1" else {"linewidths": 0}
        axes.scatter(*points.T, s=size, c=color, marker=marker, alpha=faint, label=name, **line)
    spans = np.ptp(np.concatenate(list(arrays.values())), axis=0)
    if spans.max() < 3 * spans.min():  # else one column would be a thread
        axes.set_aspect("equal", adjustable="datalim")
    legend = figure.legend(loc="outside upper center", ncols=5, fontsize=FONT, frameon=False, labelcolor=INK)
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
    return figure
