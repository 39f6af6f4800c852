"""The V-curve: how wrong each way of differentiating is, against its step."""

import numpy as np

from npvae.visual.canvas import ACCENT, FONT, INK, new_figure, style

LOOKS = {  # colour, line style and marker each tell the methods apart
    "forward": ("0.55", "-", "o", "forward difference"),
    "central": (INK, "-", "s", "central difference"),
    "richardson": ("#2b6cb0", "--", "^", "Richardson"),
    "complex": (ACCENT, "-.", "D", "complex step"),
}


def plot_vcurve(curve):
    """Error against step, both logarithmic; a method that is exact has its points at the rounding of float64.

    curve: what `npvae.verify.derivatives.v_curve` returns, with .steps (n,) and .errors {method: (n,)}.  Raises ValueError."""
    steps, errors = np.asarray(curve.steps, float), dict(curve.errors)
    unknown = [name for name in errors if name not in LOOKS]
    if unknown or not errors:
        raise ValueError(f"plot_vcurve: errors must belong to some of {', '.join(LOOKS)}; got {', '.join(unknown) or 'none'}.")
    for name, values in errors.items():
        if np.shape(values) != steps.shape:
            raise ValueError(f"plot_vcurve: errors[{name!r}] has shape {np.shape(values)}, steps has {steps.shape}.")
    figure = new_figure(height=4.0, layout="constrained")
    axes = style(figure.subplots(), "Error of a numeric gradient against its step", "step h", "relative error (norm)")
    axes.set(xscale="log", yscale="log")
    for name, (color, line, marker, label) in LOOKS.items():
        if name in errors:
            y = np.maximum(errors[name], 1e-17)  # an error of exactly 0 has no logarithm
            axes.plot(steps, y, color=color, ls=line, marker=marker, ms=3, lw=1.2, label=label)
    axes.axhline(np.finfo(float).eps / 2, color="0.8", lw=0.8, zorder=0)
    where = 0.01, np.finfo(float).eps / 2
    axes.annotate("u = 1.1e-16", where, xycoords=("axes fraction", "data"), va="bottom", fontsize=FONT - 1, color="0.5")
    axes.invert_xaxis()  # halving the step walks to the right
    figure.legend(loc="outside lower center", ncols=4, fontsize=FONT, frameon=False, labelcolor=INK)
    return figure
