"""What the pictures share: the figure, its style, images side by side, and the way into a file.

Figures are matplotlib.figure.Figure objects without pyplot: no window, no global state, nothing to close. Nothing here depends on
colour: ink is dark on white, and the one accent differs in lightness and line style, too.
"""

import functools
import io
import pathlib

import numpy as np

DPI = 100
WIDTH, HEIGHT = 6.0, 3.5  # inches, unless a grid of images needs more
MARGIN = 0.1
FONT = 8
INK, ACCENT = "0.15", "#c8501e"


def new_figure(width=WIDTH, height=HEIGHT, layout=None):
    """An empty white figure, width x height inches; layout="constrained" makes room for all labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout or "none")
    figure._repr_png_ = functools.partial(png, figure)  # how a notebook shows it, whatever its backend
    return figure


def style(axes, title="", xlabel="", ylabel=""):
    """The one style: small type, no box."""
    axes.set_title(title, fontsize=FONT + 1, color=INK)
    axes.set_xlabel(xlabel, fontsize=FONT, color=INK)
    axes.set_ylabel(ylabel, fontsize=FONT, color=INK)
    axes.tick_params(labelsize=FONT, colors=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_facecolor("white")
    return axes


def image_figure(pixels, low, high, zoom, left=0.1, bottom=0.1):
    """A figure around one grey picture (h, w), ink dark on white, each of its pixels zoom x zoom of the figure's.

    left, bottom: inches kept free for labels. Returns figure, axes; pixel (i, j) lies at x = j, y = i, from the top left."""
    h, w = pixels.shape
    width, height = left + w * zoom / DPI + MARGIN, bottom + h * zoom / DPI + MARGIN
    figure = new_figure(width, height)
    axes = figure.add_axes((left / width, bottom / height, w * zoom / DPI / width, h * zoom / DPI / height))
    style(axes).imshow(pixels, cmap="gray_r", vmin=low, vmax=high, interpolation="nearest", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    return figure, axes


def mosaic(images, columns, gap, blank):
    """Images (n, h, w) in rows of `columns`, `gap` pixels of `blank` between them: one picture, row by row from the top left."""
    n, h, w = images.shape
    rows = -(-n // columns)
    picture = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), blank, images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        picture[top : top + h, left : left + w] = image
    return picture


def png(figure):
    """The figure as PNG bytes: the same figure gives the same bytes, without date and software in them."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def save(figure, path):
    """Write the figure as PNG.

    The same figure gives the same bytes on one machine. Raises ValueError for another suffix than .png, OSError with the reason
    if the file cannot be written."""
    path = pathlib.Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"save: pictures are written as PNG; give a path that ends in .png, got {str(path)!r}.")
    content = png(figure)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OSError(f"save: cannot write {path}: {error.strerror}; choose a folder that exists and has room.") from error
