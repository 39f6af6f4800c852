"""The pictures: training curves, reconstructions, samples, latent map, latent manifold, KL per latent.

Each function checks what it is given (ValueError, TypeError) and returns a matplotlib Figure. x, images: (n, D) with values as the
model takes them, whatever their range; image_shape: (height, width), or (D,) for data that are no images, drawn as curves.
"""

from statistics import NormalDist

import numpy as np

from npvae.core.checks import finite, has_shape, positive_integer, same_shape
from npvae.models import VAE
from npvae.visual.canvas import ACCENT, DPI, FONT, HEIGHT, INK, WIDTH, image_figure, mosaic, new_figure, style

COLUMNS = 10  # pairs side by side in plot_reconstructions


def plot_history(history):
    """ELBO, reconstruction and KL against epochs, for training and validation rows; beta, too, if it changes.

    history: what `fit` returns, or its records: dicts with epoch, reconstruction, kl, elbo and, if there was validation, the same
    with valid_ in front; beta and measure if there are any. Without a KL (an autoencoder) only the reconstruction is drawn."""
    records = list(history)
    if not records:
        raise ValueError("plot_history: the history has no records yet; train for an epoch first.")
    names = dict.fromkeys(name for record in records for name in record)
    values = {name: [record.get(name, np.nan) for record in records] for name in names}
    missing = [name for name in ("epoch", "reconstruction", "kl", "elbo") if name not in values]
    if missing:
        raise ValueError(f"plot_history: the records lack {', '.join(missing)}; they have {', '.join(values)}.")
    term = "grey cross-entropy" if "grey cross-entropy" in values.get("measure", ()) else "reconstruction"
    titles = {"elbo": "ELBO" if term == "reconstruction" else f"-({term} + KL)", "reconstruction": term, "kl": "KL", "beta": "beta"}
    if not np.any(values["kl"]):
        grid = [["reconstruction"]]
    elif len(set(values.get("beta", ()))) > 1:
        grid = [["elbo", "reconstruction"], ["beta", "kl"]]
    else:
        grid = [["elbo", "reconstruction"], ["elbo", "kl"]]
    figure = new_figure(layout="constrained")
    panels = figure.subplot_mosaic(grid, sharex=True)
    few = len(records) < 3  # a line of one point shows nothing
    for name, axes in panels.items():
        style(axes, titles[name], ylabel={"elbo": "nats per example", "beta": ""}.get(name, "nats"))
        axes.plot(values["epoch"], values[name], color=INK, lw=1.4, marker="o" if few else None, label="training")
        if f"valid_{name}" in values:
            valid, mark = values[f"valid_{name}"], "x" if few else None
            axes.plot(values["epoch"], valid, color=ACCENT, lw=1.4, ls="--", marker=mark, label="validation")
    for name in grid[-1]:
        panels[name].set_xlabel("epoch", fontsize=FONT, color=INK)
    panels[grid[0][0]].legend(fontsize=FONT, frameon=False, labelcolor=INK)
    panels[grid[0][0]].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return figure


def plot_reconstructions(x, x_hat, image_shape, n=10):
    """The first n rows of x, and under each what the model makes of it; curves over each other if they are no images.

    x, x_hat: (N, D)."""
    return pairs("plot_reconstructions", {"x": x, "x_hat": x_hat}, ("original", "reconstruction"), image_shape, n)


def pairs(where, arrays, names, image_shape, n):
    """The first n rows of one array, and under each the same row of the other; curves over each other if they are no images.

    arrays: what the caller calls the two, and the two, (N, D) each; names: what the picture calls them."""
    (first, x), (second, y) = ((name, _rows(where, name, a, image_shape)) for name, a in arrays.items())
    same_shape(where, **{first: x, second: y})
    n = min(positive_integer(where, "n", n), len(x))
    x, y = x[:n], y[:n]
    if len(image_shape) == 1:
        return _pairs_of_curves(x, y, names)
    low, high = _range(x, y)
    columns, (h, w) = min(n, COLUMNS), image_shape
    gap = _gap(w)
    bands, centres = [], []
    for start in range(0, n, columns):
        band = np.full((2, columns, h, w), low)
        for row, part in zip(band, (x, y)):
            part = part[start : start + columns]
            row[: len(part)] = part.reshape(-1, h, w)
        if bands:
            bands.append(np.full((4 * gap, bands[0].shape[1]), low))
        top = sum(map(len, bands))
        centres += [top + (h - 1) / 2, top + h + gap + (h - 1) / 2]
        bands.append(mosaic(band.reshape(-1, h, w), columns, gap, low))
    picture = np.concatenate(bands)
    figure, axes = image_figure(picture, low, high, _zoom(picture, w, (WIDTH - 1.1) * DPI), left=1.0)
    axes.set_yticks(centres, names * (len(centres) // 2), fontsize=FONT)
    axes.tick_params(length=0)
    return figure


def plot_samples(images, image_shape, columns=10, row_names=None):
    """Rows of data as images, `columns` side by side; data that are no images as curves in one plot.  images: (n, D).

    row_names: a text for each row of images, written to its left, such as the label that its images were drawn with."""
    images = _rows("plot_samples", "images", images, image_shape)
    columns = min(positive_integer("plot_samples", "columns", columns), len(images))
    if len(image_shape) == 1:
        figure = new_figure(layout="constrained")
        axes = style(figure.add_subplot(), f"{len(images)} samples", "column", "value")
        axes.plot(*_curves(images), color=INK, lw=0.8, alpha=0.5, marker=_marker(images))
        return figure
    names, rows = [str(name) for name in row_names or ()], -(-len(images) // columns)
    if names and len(names) != rows:
        raise ValueError(f"plot_samples: {len(names)} row_names, but {len(images)} images in rows of {columns} make {rows} rows.")
    low, high = _range(images)
    h, w = image_shape
    gap, left = _gap(w), 0.1 + max((0.1 + 0.07 * len(name) for name in names), default=0.0)
    picture = mosaic(images.reshape(-1, h, w), columns, gap, low)
    figure, axes = image_figure(picture, low, high, _zoom(picture, w, (WIDTH - 0.1 - left) * DPI), left=left)
    if names:
        axes.set_yticks(np.arange(rows) * (h + gap) + (h - 1) / 2, names, fontsize=FONT)
        axes.tick_params(length=0)
    return figure


def plot_latent(mu, labels=None):
    """Where the encoder puts each example: its posterior mean, drawn as its label; a point without labels.

    mu: (N, Z), from `encode`; of more than two latents the two with the largest variance are drawn, of one its value against the
    label (or the row). labels: (N,) integers."""
    mu = np.asarray(mu)
    has_shape("plot_latent", "mu", mu, ("N", "Z"), "one example a row: model.encode(x)[0].")
    if mu.size == 0:
        raise ValueError(f"plot_latent: mu has shape {mu.shape}; there is nothing to draw.")
    finite("plot_latent", "the model is broken: go back to the last good checkpoint.", mu=mu)
    if labels is not None:
        labels = np.asarray(labels)
        has_shape("plot_latent", "labels", labels, (len(mu),), "one label for each row of mu.")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"plot_latent: labels must be integers, got {labels.dtype}.")
    (x, xlabel), (y, ylabel) = _two_latents(mu, labels)
    figure = new_figure(5.0, 4.2, layout="constrained")
    axes = style(figure.add_subplot(), xlabel=xlabel, ylabel=ylabel)
    if labels is None:
        axes.scatter(x, y, s=6, color=INK, alpha=0.5, linewidths=0)
    else:
        _scatter_labels(axes, x, y, labels)
    if mu.shape[1] > 1:
        axes.set_aspect("equal", adjustable="datalim")
    return figure


def plot_manifold(model, image_shape, n=15):
    """What the decoder makes of an n x n grid over a two-dimensional latent space: z1 to the right, z2 upwards.

        z_i = Phi^-1( (i + 1/2) / n ),  i = 0 .. n-1            Kingma & Welling (2014), Fig. 4

    Phi is the distribution function of N(0, 1), so every image stands for the same share of the prior.
    Raises TypeError if the model is no VAE, ValueError if it has another latent_dim than 2 or the data are no images."""
    n = positive_integer("plot_manifold", "n", n)
    if not isinstance(model, VAE):
        raise TypeError(f"plot_manifold: the model must be a VAE, whose z has the prior N(0, I); got {type(model).__name__}.")
    if model.latent_dim != 2:
        raise ValueError(
            f"plot_manifold: the model has {model.latent_dim} latent dimensions, and a plane shows 2: train with latent_dim=2 "
            "(--latent-dim 2), or draw samples with plot_samples."
        )
    if len(image_shape) == 1:
        raise ValueError(f"plot_manifold: image_shape {tuple(image_shape)} is a plain row; only images fit into a grid.")
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])  # (n,), increasing
    z1, z2 = np.meshgrid(quantiles, quantiles[::-1])  # row 0, the top, has the largest z2
    images = model.likelihood.mean(model.decode(np.stack([z1.ravel(), z2.ravel()], axis=1)))  # (n n, D)
    images = _rows("plot_manifold", "the decoder's mean", images, image_shape)
    low, high = _range(images)
    h, w = image_shape
    gap = _gap(w)
    picture = mosaic(images.reshape(-1, h, w), n, gap, low)
    figure, axes = image_figure(picture, low, high, _zoom(picture, w, (HEIGHT + 0.6) * DPI), left=0.6, bottom=0.45)
    ticks = np.unique(np.linspace(0, n - 1, 5).round().astype(int))
    names = [f"{quantiles[i]:.2f}" for i in ticks]
    axes.set_xticks(ticks * (w + gap) + (w - 1) / 2, names, fontsize=FONT)
    axes.set_yticks((n - 1 - ticks) * (h + gap) + (h - 1) / 2, names, fontsize=FONT)
    axes.set_xlabel("z1", fontsize=FONT, color=INK)
    axes.set_ylabel("z2", fontsize=FONT, color=INK)
    return figure


def plot_kl_per_dimension(kl, threshold=0.01):
    """How many nats each latent carries, the largest first; those below the threshold (dotted) are hollow.

    kl: (Z,), from `kl_per_dimension`."""
    kl = np.asarray(kl)
    has_shape("plot_kl_per_dimension", "kl", kl, ("Z",), "one number a latent: evaluation.kl_per_dimension(model, x).")
    if kl.size == 0:
        raise ValueError("plot_kl_per_dimension: kl is empty.")
    finite("plot_kl_per_dimension", "the model is broken: go back to the last good checkpoint.", kl=kl)
    order = np.argsort(-kl, kind="stable")
    used = kl[order] > threshold
    figure = new_figure(min(WIDTH, 3.6 + 0.15 * len(kl)), layout="constrained")
    title = f"{used.sum()} of {len(kl)} latents above {threshold:g} nats; {kl.sum():.2f} nats in all"
    axes = style(figure.add_subplot(), title, "latent dimension, by KL", "KL (nats per example)")
    axes.bar(np.arange(len(kl)), kl[order], color=[INK if u else "white" for u in used], edgecolor=INK, linewidth=0.8)
    axes.axhline(threshold, color=ACCENT, ls=":", lw=1.2)
    step = -(-len(kl) // (30 if len(kl) < 100 else 16))  # as many names as fit, shorter and longer ones
    axes.set_xticks(np.arange(0, len(kl), step), [f"z{i + 1}" for i in order[::step]], fontsize=FONT - 1)
    axes.set_xlim(-0.6, len(kl) - 0.4)
    return figure


def _rows(where, name, x, image_shape):
    """x at the door: (n, D) finite numbers, D as image_shape says."""
    if not isinstance(image_shape, (tuple, list)) or not 1 <= len(image_shape) <= 2:
        raise ValueError(f"{where}: image_shape must be (height, width), or (D,) for plain rows, got {image_shape!r}.")
    D = int(np.prod(image_shape))
    x = np.asarray(x)
    has_shape(where, name, x, ("n", D), f"one example a row, image_shape {tuple(image_shape)} has {D} values.")
    if len(x) == 0:
        raise ValueError(f"{where}: {name} has no rows.")
    x = x.astype(np.float64)
    finite(where, "NaN and infinity cannot be drawn.", **{name: x})
    return x


def _range(*arrays):
    """What white and black stand for: 0 and 1, further out if the values are."""
    return min(0.0, *(a.min() for a in arrays)), max(1.0, *(a.max() for a in arrays))


def _gap(width):
    """Pixels between two images: an eighth of one."""
    return max(1, width // 8)


def _zoom(picture, width, target):
    """Figure pixels for each pixel: the picture about `target` wide, one image of it at most 100."""
    return max(1, min(int(target // picture.shape[1]), 100 // width))


def _curves(x):
    """Column numbers from 1, and the rows as columns, as plot takes them."""
    return np.arange(1, x.shape[1] + 1), x.T


def _marker(x):
    return "." if x.shape[1] <= 20 else None


def _pairs_of_curves(x, y, names):
    columns = min(len(x), 5)
    rows = -(-len(x) // columns)
    figure = new_figure(height=max(1.6, 0.4 + 1.2 * rows), layout="constrained")
    for i, axes in enumerate(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat):
        style(axes).set_visible(i < len(x))
        if i < len(x):
            axes.plot(*_curves(x[i : i + 1]), color=INK, lw=1.2, marker=_marker(x), label=names[0])
            axes.plot(*_curves(y[i : i + 1]), color=ACCENT, lw=1.2, ls="--", marker=_marker(x), label=names[1])
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2, fontsize=FONT, frameon=False, labelcolor=INK)
    figure.supxlabel("column", fontsize=FONT, color=INK)
    return figure


def _two_latents(mu, labels):
    """(values, axis label) for the horizontal and the vertical axis."""
    N, Z = mu.shape
    if Z == 1:
        return (mu[:, 0], "mean of z1"), (np.arange(N), "row") if labels is None else (labels, "label")
    variance = np.var(mu, axis=0, dtype=np.float64)
    best = np.argsort(-variance, kind="stable")[:2] if Z > 2 else (0, 1)
    ranks = (f" (largest variance of {Z})", " (second largest)") if Z > 2 else ("", "")
    return tuple((mu[:, i], f"mean of z{i + 1}{rank}") for i, rank in zip(best, ranks))


def _scatter_labels(axes, x, y, labels):
    """Each point as its label, each label in a colour of its own and once more, large, at its median."""
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    for i, label in enumerate(np.unique(labels)):
        here = labels == label
        color = 0.75 * np.array(colormaps["tab10"](i % 10)[:3])  # darker than usual, for thin digits on white
        axes.scatter(x[here], y[here], s=18, marker=f"${label}$", color=color, linewidths=0)
        axes.text(
            np.median(x[here]), np.median(y[here]), str(label), fontsize=13, weight="bold", color=INK, ha="center", va="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
