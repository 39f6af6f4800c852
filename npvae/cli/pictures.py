"""The pictures of a run: what it learned, as its data are shown: images, points in a plane, curves, or strings in a text file."""

import pathlib

import numpy as np

from npvae import evaluation, visual
from npvae.cli.common import condition
from npvae.data.strings import read_strings
from npvae.models import Autoencoder
from npvae.training import batches

PICTURED = 5_000  # test rows in the latent map and the posterior statistics: enough to see, quick to draw
POINTS = 1_000  # points of each group in a plane
SAMPLES, OF_EACH_LABEL = 50, 10  # images


def draw(model, data, settings, history, folder):
    """The run's pictures, as PNG, and for strings its texts."""
    x = binarized(data.floats("test", model.real_dtype)[:PICTURED], settings["binarize"], settings["seed"])
    labels = None if data.test_labels is None else data.test_labels[: len(x)]
    given = condition(model, labels)
    code = model.encode(x, **given)
    mu = code if isinstance(model, Autoencoder) else code[0]
    visual.save(visual.plot_history(history), folder / "history.png")
    x_hat = model.reconstruct(x, **given)
    draw_reconstructions(_undone(data, x), _undone(data, x_hat), data.image_shape, data.alphabet, folder)
    if isinstance(model, Autoencoder):
        visual.save(visual.plot_latent(mu, labels), folder / "latent.png")
        return
    _draw_samples(model, data, _undone(data, x), np.random.default_rng(settings["seed"]), folder)
    kl = evaluation.kl_per_dimension(model, x, **given)
    visual.save(visual.plot_kl_per_dimension(kl), folder / "kl_per_dimension.png")
    if model.latent_dim > 1:
        visual.save(visual.plot_latent(mu, labels), folder / "latent.png")
    if model.latent_dim == 2 and len(data.image_shape) > 1 and data.alphabet is None and not model.n_classes:
        visual.save(visual.plot_manifold(model, data.image_shape), folder / "manifold.png")


def _draw_samples(model, data, x, rng, folder):
    """New data: points among those of the test set, x; else means of x given z, or strings."""
    if model.n_classes:
        labels = np.repeat(np.arange(model.n_classes), OF_EACH_LABEL)
        draw_samples(
            _undone(data, model.sample(len(labels), rng, condition=labels)), data.image_shape, data.alphabet, folder, labels
        )
    elif data.image_shape == (2,):
        n = min(POINTS, len(x))
        new = model.likelihood.sample(model.decode(model.noise(n, rng)), rng)  # with its noise: as the data are
        visual.save(visual.plot_points({"data": x[:n], "generated": _undone(data, new)}), folder / "samples.png")
    else:
        draw_samples(_undone(data, model.sample(SAMPLES, rng)), data.image_shape, data.alphabet, folder)


def draw_samples(x, image_shape, alphabet, folder, labels=None):
    """samples.png, or samples.txt for strings -> the file's path.  labels: (n,) or None, those of equal value side by side."""
    folder = pathlib.Path(folder)
    if alphabet is not None:
        names = [""] * len(x) if labels is None else [f"{label}\t" for label in labels]
        return _write(folder / "samples.txt", [name + text for name, text in zip(names, read_strings(x, alphabet))])
    if tuple(image_shape) == (2,):
        groups = {"generated": x} if labels is None else {f"label {c}": x[labels == c] for c in np.unique(labels)}
        figure = visual.plot_points(groups)
    elif labels is None or len(set(labels.tolist())) == 1:
        figure = visual.plot_samples(x, image_shape)
    else:
        names, counts = np.unique(labels, return_counts=True)
        columns = min(counts.min(), 2 * OF_EACH_LABEL)
        rows = np.concatenate([x[labels == name][:columns] for name in names])
        figure = visual.plot_samples(rows, image_shape, columns=int(columns), row_names=[f"label {name}" for name in names])
    visual.save(figure, folder / "samples.png")
    return folder / "samples.png"


def draw_reconstructions(x, x_hat, image_shape, alphabet, folder, n=10):
    """reconstructions.png of the first n rows (of points: of up to 1,000), or reconstructions.txt -> the file's path."""
    folder = pathlib.Path(folder)
    if alphabet is not None:
        pairs = zip(read_strings(x[:n], alphabet), read_strings(x_hat[:n], alphabet))
        return _write(folder / "reconstructions.txt", [f"{a}\t{b}" for a, b in pairs])
    if tuple(image_shape) == (2,):
        figure = visual.plot_points({"data": x[:POINTS], "reconstruction": x_hat[:POINTS]})
    else:
        figure = visual.plot_reconstructions(x[:n], x_hat[:n], image_shape, n=n)
    visual.save(figure, folder / "reconstructions.png")
    return folder / "reconstructions.png"


def binarized(x, how, seed):
    """The rows as black and white, as fit makes its validation rows: thresholded, or drawn once ("static", "dynamic")."""
    how = {"none": None, "dynamic": "static"}.get(how, how)
    return batches.binarized(batches.Rows(x, None), how, np.random.default_rng(seed), x.dtype).floats(slice(None), x.dtype)


def _undone(data, x):
    return x if data.standardization is None else data.standardization.undo(x)


def _write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
