"""The pictures: each draws the numbers it was given, where it says; no text is cut off; files are the same bytes each time."""

import math
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pictures import assert_readable

from npvae import visual
from npvae.core.layers import Dense
from npvae.core.likelihoods import Gaussian
from npvae.data import load_digits
from npvae.models import VAE, Autoencoder
from npvae.training.history import History


def records(epochs=5, beta=1.0, **more):
    """Made-up records of a training run, with falling losses."""
    out = []
    for e in range(1, epochs + 1):
        reconstruction, kl = 20 + 10 / e, 3 - 2 / e
        record = {"epoch": e, "beta": beta, "lr": 1e-3, "loss": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
        record["elbo"] = -(reconstruction + kl)
        record |= {f"valid_{name}": record[name] + 0.5 for name in ("loss", "reconstruction", "kl", "elbo")}
        out.append(record | more)
    return out


def digits(n):
    return load_digits().floats("test", np.float64)[:n]


def manifold_vae(D=4):
    """A linear decoder whose first pixel is z1 and whose second is z2."""
    rng = np.random.default_rng(0)
    decoder = Dense(2, D, rng=rng)
    decoder.W = np.eye(2, D)
    return VAE(Dense(D, 4, rng=rng), decoder, Gaussian(), 2)


def drawn(figure):
    """The array of the one image in the figure."""
    (axes,) = figure.axes
    (image,) = axes.images
    return np.asarray(image.get_array())


def cells(picture, h, w, gap):
    """The picture cut into its images: (rows, columns, h, w); the strips between them must be blank."""
    rows, columns = (picture.shape[0] + gap) // (h + gap), (picture.shape[1] + gap) // (w + gap)
    padded = np.zeros((rows * (h + gap), columns * (w + gap)))
    padded[: picture.shape[0], : picture.shape[1]] = picture
    grid = padded.reshape(rows, h + gap, columns, w + gap).transpose(0, 2, 1, 3)
    assert not grid[:, :, h:].any() and not grid[:, :, :, w:].any()
    return grid[:, :, :h, :w]


def labels_of(ticks):
    return [t.get_text() for t in ticks]


ROWS = np.random.default_rng(0).random((12, 7))
PICTURES = {
    "history": lambda: visual.plot_history(records()),
    "history with beta": lambda: visual.plot_history([r | {"beta": r["epoch"] / 5} for r in records()]),
    "history of one epoch": lambda: visual.plot_history(records(1)),
    "history of 1e5 nats": lambda: visual.plot_history([r | {"elbo": -123456.0 - r["epoch"], "kl": 98765.4} for r in records()]),
    "history, grey": lambda: visual.plot_history(records(measure="grey cross-entropy")),
    "history of an autoencoder": lambda: visual.plot_history(records(kl=0.0)),
    "reconstructions": lambda: visual.plot_reconstructions(digits(10), 1 - digits(10), (8, 8)),
    "reconstructions, 23": lambda: visual.plot_reconstructions(digits(23), 1 - digits(23), (8, 8), n=23),
    "reconstruction, 1": lambda: visual.plot_reconstructions(digits(1), 1 - digits(1), (8, 8)),
    "reconstructions of rows": lambda: visual.plot_reconstructions(ROWS, 1 - ROWS, (7,)),
    "samples": lambda: visual.plot_samples(digits(50), (8, 8)),
    "sample, 1": lambda: visual.plot_samples(digits(1), (8, 8)),
    "samples in named rows": lambda: visual.plot_samples(digits(30), (8, 8), row_names=["label 0", "label 1", "label 2"]),
    "points": lambda: visual.plot_points({"data": ROWS[:, :2], "generated": ROWS[:, 2:4]}),
    "points of ten groups": lambda: visual.plot_points({f"label {i}": ROWS[:, :2] + i for i in range(10)}),
    "samples of rows": lambda: visual.plot_samples(ROWS, (7,)),
    "latent": lambda: visual.plot_latent(np.random.default_rng(0).normal(0, 1, (99, 2)), np.arange(99) % 10),
    "latent, 3 of 5": lambda: visual.plot_latent(np.random.default_rng(0).normal(0, 300, (40, 5))),
    "latent, 1": lambda: visual.plot_latent(np.linspace(-1, 1, 30)[:, None], np.arange(30) % 3),
    "manifold": lambda: visual.plot_manifold(manifold_vae(), (2, 2)),
    "manifold of MNIST's size": lambda: visual.plot_manifold(manifold_vae(784), (28, 28), n=15),
    "kl": lambda: visual.plot_kl_per_dimension(np.linspace(0, 3, 20)),
    "kl, 1": lambda: visual.plot_kl_per_dimension(np.array([0.7])),
    "kl, 30": lambda: visual.plot_kl_per_dimension(np.linspace(0, 1200, 30)),
    "kl, 200": lambda: visual.plot_kl_per_dimension(np.linspace(0, 3, 200)),
    "kl, 99": lambda: visual.plot_kl_per_dimension(np.linspace(0, 3, 99)),
}


# ---- all of them -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_is_cut_off_and_no_tick_labels_collide(name):
    figure = PICTURES[name]()
    assert isinstance(figure, Figure)
    assert_readable(figure)


@pytest.mark.parametrize("name", PICTURES)
def test_size_and_text_follow_the_house_style(name):
    figure = PICTURES[name]()
    width, height = figure.get_size_inches()
    assert figure.dpi == 100 and figure.get_facecolor() == (1, 1, 1, 1)
    grid = figure.axes[0].images or name.startswith(("latent", "points", "reconstructions of rows"))
    assert width <= 6 and (height <= 3.5 or grid)
    texts = [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
    assert all(t.replace("\N{MINUS SIGN}", "-").isascii() for t in texts)


def test_the_training_and_the_validation_curve_differ_in_grey_too():
    axes = visual.plot_history(records()).axes[0]
    training, validation = axes.lines
    lightness = [np.dot(to_rgb(line.get_color()), (0.3, 0.59, 0.11)) for line in (training, validation)]
    assert abs(lightness[0] - lightness[1]) > 0.2
    assert training.get_linestyle() == "-" and validation.get_linestyle() == "--"
    assert labels_of(axes.get_legend().get_texts()) == ["training", "validation"]


def test_matplotlib_is_imported_by_the_first_picture_alone_and_pyplot_never():
    code = (
        "import sys, numpy as np, npvae; from npvae import visual\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure = visual.plot_kl_per_dimension(np.ones(3))\n"
        "assert 'matplotlib' in sys.modules and figure._repr_png_()[1:4] == b'PNG'\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_drawing_leaves_matplotlibs_settings_alone():
    def settings():
        return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}  # reading that one chooses it

    before = settings()
    for name in ("history", "latent", "samples"):
        visual.canvas.png(PICTURES[name]())
    assert settings() == before


# ---- files -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["history", "reconstructions", "latent", "manifold", "kl"])
def test_the_same_picture_is_the_same_file(tmp_path, name):
    figure = PICTURES[name]()
    for file, picture in (("a", figure), ("b", figure), ("c", PICTURES[name]())):
        visual.save(picture, tmp_path / f"{file}.png")
    content = (tmp_path / "a.png").read_bytes()
    assert content == (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes() == figure._repr_png_()
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) > 500
    assert not any(chunk in content for chunk in (b"tEXt", b"tIME", b"Software", b"Matplotlib"))


def test_save_says_what_is_wrong(tmp_path):
    figure = PICTURES["kl, 1"]()
    with pytest.raises(OSError, match=r"save: cannot write .*nowhere.k\.png: No such file or directory; choose a folder"):
        visual.save(figure, tmp_path / "nowhere" / "k.png")
    with pytest.raises(OSError, match=r"cannot write .*\.png: Is a directory"):
        (tmp_path / "folder.png").mkdir()
        visual.save(figure, tmp_path / "folder.png")
    with pytest.raises(ValueError, match=r"pictures are written as PNG; give a path that ends in .png, got 'k.pdf'"):
        visual.save(figure, "k.pdf")


def test_the_file_shows_the_very_pixels_ink_dark_on_white(tmp_path):
    """Each pixel of an image is a square of equal pixels in the file: nothing is smoothed, moved or flipped."""
    images = np.random.default_rng(1).random((6, 12))
    images[0, 0], images[0, 1] = 0, 1
    visual.save(visual.plot_samples(images, (3, 4), columns=3), tmp_path / "s.png")
    file = matplotlib.image.imread(tmp_path / "s.png")
    assert np.ptp(file[..., :3], axis=2).max() == 0  # grey
    margin, zoom = 10, 100 // 4
    grey = file[margin:-margin, margin:-margin, 0]
    blocks = grey.reshape(7, zoom, 14, zoom)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    grid = cells(1 - blocks[:, 0, :, 0], 3, 4, gap=1)
    np.testing.assert_allclose(grid.reshape(6, 12), images, atol=2 / 255)  # two of the file's 256 grey levels
    assert blocks[0, 0, 0, 0] == 1 and blocks[0, 0, 1, 0] == 0  # 0 is white, 1 is black


# ---- plot_history ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, History])
def test_history_draws_each_term_against_the_epoch(kind):
    history = records()
    figure = visual.plot_history(kind(history))
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["ELBO", "reconstruction", "KL"]
    for title, name in (("ELBO", "elbo"), ("reconstruction", "reconstruction"), ("KL", "kl")):
        training, validation = panels[title].lines
        for line, key in ((training, name), (validation, f"valid_{name}")):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
            np.testing.assert_array_equal(line.get_ydata(), [r[key] for r in history])
    assert panels["ELBO"].get_ylabel() == "nats per example" and panels["KL"].get_xlabel() == "epoch"


def test_history_shows_beta_only_if_it_changes():
    figure = visual.plot_history([r | {"beta": r["epoch"] / 5} for r in records()])
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert sorted(panels) == ["ELBO", "KL", "beta", "reconstruction"]
    np.testing.assert_allclose(panels["beta"].lines[0].get_ydata(), [0.2, 0.4, 0.6, 0.8, 1])
    assert len(panels["beta"].lines) == 1


def test_history_calls_grey_pixels_a_cross_entropy_and_no_elbo():
    titles = [axes.get_title() for axes in visual.plot_history(records(measure="grey cross-entropy")).axes]
    assert titles == ["-(grey cross-entropy + KL)", "grey cross-entropy", "KL"]
    titles = [axes.get_title() for axes in visual.plot_history(records(measure="negative log-likelihood")).axes]
    assert titles == ["ELBO", "reconstruction", "KL"]


def test_history_of_an_autoencoder_has_no_elbo_and_no_kl():
    (axes,) = visual.plot_history(records(kl=0.0)).axes
    assert axes.get_title() == "reconstruction" and axes.get_xlabel() == "epoch"


def test_history_without_validation_or_with_gaps():
    plain = [{k: v for k, v in r.items() if not k.startswith("valid")} for r in records()]
    assert all(len(axes.lines) == 1 for axes in visual.plot_history(plain).axes)
    gaps = [records()[0], plain[1], records()[2]]  # validated every other epoch
    valid = visual.plot_history(gaps).axes[0].lines[1].get_ydata()
    np.testing.assert_array_equal(np.isnan(valid), [False, True, False])


def test_one_epoch_is_a_point_at_a_whole_epoch():
    figure = visual.plot_history(records(1))
    assert [line.get_marker() for line in figure.axes[0].lines] == ["o", "x"]
    FigureCanvasAgg(figure).draw()
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


def test_wrong_histories_are_refused():
    with pytest.raises(ValueError, match="the history has no records yet"):
        visual.plot_history([])
    with pytest.raises(ValueError, match="the records lack kl, elbo; they have epoch, reconstruction"):
        visual.plot_history([{"epoch": 1, "reconstruction": 2.0}])


# ---- plot_reconstructions, plot_samples ------------------------------------------------------------------------------------------


def test_originals_stand_above_their_reconstructions():
    x, x_hat = digits(7), 1 - digits(7)
    figure = visual.plot_reconstructions(x, x_hat, (8, 8))
    grid = cells(drawn(figure), 8, 8, gap=1)
    np.testing.assert_array_equal(grid[0].reshape(7, 64), x)
    np.testing.assert_array_equal(grid[1].reshape(7, 64), x_hat)
    axes = figure.axes[0]
    assert labels_of(axes.get_yticklabels()) == ["original", "reconstruction"]
    np.testing.assert_array_equal(axes.get_yticks(), [3.5, 12.5])  # the middles of pixel rows 0..7 and 9..16
    assert axes.yaxis_inverted()  # row 0 on top


def test_reconstructions_stop_at_n_and_go_on_in_a_second_band():
    x = digits(30)
    assert cells(drawn(visual.plot_reconstructions(x, x, (8, 8), n=4)), 8, 8, gap=1).shape[:2] == (2, 4)
    assert cells(drawn(visual.plot_reconstructions(x, x, [8, 8])), 8, 8, gap=1).shape[:2] == (2, 10)
    figure = visual.plot_reconstructions(x, 1 - x, (8, 8), n=13)
    picture = drawn(figure)
    first, second = picture[:17], picture[21:]
    assert not picture[17:21].any() and second.shape == first.shape
    grid = cells(second, 8, 8, gap=1)
    np.testing.assert_array_equal(grid[0, :3].reshape(3, 64), x[10:13])
    np.testing.assert_array_equal(grid[1, :3].reshape(3, 64), 1 - x[10:13])
    assert not grid[:, 3:].any()  # blank, not black
    np.testing.assert_array_equal(figure.axes[0].get_yticks(), [3.5, 12.5, 24.5, 33.5])


def test_plain_rows_are_drawn_as_pairs_of_curves():
    figure = visual.plot_reconstructions(ROWS, 1 - ROWS, (7,), n=6)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 6
    for i, axes in enumerate(shown):
        original, reconstruction = axes.lines
        np.testing.assert_array_equal(original.get_xdata(), np.arange(1, 8))
        np.testing.assert_array_equal(original.get_ydata(), ROWS[i])
        np.testing.assert_array_equal(reconstruction.get_ydata(), 1 - ROWS[i])
    assert labels_of(figure.legends[0].get_texts()) == ["original", "reconstruction"]
    (axes,) = visual.plot_samples(ROWS, (7,)).axes
    np.testing.assert_array_equal([line.get_ydata() for line in axes.lines], ROWS)


def test_samples_fill_the_grid_row_by_row():
    grid = cells(drawn(visual.plot_samples(digits(23), (8, 8), columns=7)), 8, 8, gap=1).reshape(-1, 64)
    np.testing.assert_array_equal(grid[:23], digits(23))
    assert len(grid) == 28 and not grid[23:].any()
    assert cells(drawn(visual.plot_samples(digits(3), (8, 8))), 8, 8, gap=1).shape[:2] == (1, 3)


def test_the_grey_scale_is_zero_to_one_or_wider():
    def limits(figure):
        return figure.axes[0].images[0].get_clim()

    assert limits(visual.plot_samples(0.3 + 0.2 * digits(4), (8, 8))) == (0, 1)
    assert limits(visual.plot_samples(load_digits().test[:4], (8, 8))) == (0, 16)
    assert limits(visual.plot_reconstructions(digits(2), digits(2) * 3 - 1, (8, 8))) == (-1, 2)


def test_data_given_are_not_written_into():
    x = digits(5)
    before = x.copy()
    visual.plot_reconstructions(x, x, (8, 8)), visual.plot_samples(x, (8, 8))
    np.testing.assert_array_equal(x, before)


# ---- plot_latent -----------------------------------------------------------------------------------------------------------------


def test_each_posterior_mean_is_drawn_as_its_label(rng):
    mu, labels = rng.normal(0, 1, (50, 2)), np.repeat([3, 7, 11, 0, 8], 10)
    axes = visual.plot_latent(mu, labels).axes[0]
    assert len(axes.collections) == 5
    for collection, text, label in zip(axes.collections, axes.texts, (0, 3, 7, 8, 11)):
        np.testing.assert_array_equal(collection.get_offsets(), mu[labels == label])
        assert text.get_text() == str(label)
        np.testing.assert_array_equal(text.get_position(), np.median(mu[labels == label], axis=0))
    shapes = {len(collection.get_paths()[0].vertices) for collection in axes.collections}
    assert len(shapes) == 5  # glyphs, not dots
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("mean of z1", "mean of z2")
    np.testing.assert_array_equal(visual.plot_latent(mu).axes[0].collections[0].get_offsets(), mu)


def test_of_many_latents_the_two_with_the_largest_variance_are_drawn(rng):
    mu = rng.normal(0, 1, (60, 5)) * [0.1, 2, 0.1, 5, 1] + [9, 0, 9, 0, 9]
    axes = visual.plot_latent(mu).axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), mu[:, [3, 1]])
    assert axes.get_xlabel() == "mean of z4 (largest variance of 5)"
    assert axes.get_ylabel() == "mean of z2 (second largest)"


def test_one_latent_is_drawn_against_the_label_or_the_row(rng):
    mu, labels = rng.normal(0, 1, (6, 1)), np.array([2, 2, 5, 5, 5, 2])
    axes = visual.plot_latent(mu, labels).axes[0]
    np.testing.assert_array_equal(axes.collections[1].get_offsets(), np.column_stack([mu[labels == 5], [5, 5, 5]]))
    axes = visual.plot_latent(mu).axes[0]
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), np.column_stack([mu, np.arange(6)]))
    assert axes.get_ylabel() == "row"


# ---- plot_manifold ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 4, 15])
def test_the_manifold_is_the_grid_of_prior_quantiles_z1_rightwards_z2_upwards(n):
    figure = visual.plot_manifold(manifold_vae(), (2, 2), n=n)
    axes = figure.axes[0]
    low = axes.images[0].get_clim()[0]
    picture = drawn(figure)
    grid = cells(picture - low, 2, 2, gap=1) + low
    assert grid.shape[:2] == (n, n) and axes.yaxis_inverted()
    z1, z2 = grid[:, :, 0, 0], grid[:, :, 0, 1]  # the decoder's first two pixels
    shares = (np.arange(n) + 0.5) / n
    for i in range(n):
        phi = [0.5 * (1 + math.erf(z / math.sqrt(2))) for z in z1[i]]  # the distribution function of N(0, 1)
        np.testing.assert_allclose(phi, shares, rtol=1e-12)
        phi = [0.5 * (1 + math.erf(z / math.sqrt(2))) for z in z2[:, i]]
        np.testing.assert_allclose(phi, shares[::-1], rtol=1e-12)


def test_the_manifolds_ticks_name_the_latents_of_their_row_and_column():
    axes = visual.plot_manifold(manifold_vae(), (2, 2), n=5).axes[0]
    assert labels_of(axes.get_xticklabels()) == ["-1.28", "-0.52", "0.00", "0.52", "1.28"]
    np.testing.assert_array_equal(axes.get_xticks(), [0.5, 3.5, 6.5, 9.5, 12.5])
    assert labels_of(axes.get_yticklabels()) == ["-1.28", "-0.52", "0.00", "0.52", "1.28"]
    np.testing.assert_array_equal(axes.get_yticks(), [12.5, 9.5, 6.5, 3.5, 0.5])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")


def test_wrong_models_for_the_manifold_are_refused(rng):
    with pytest.raises(ValueError, match="the model has 3 latent dimensions, and a plane shows 2: train with latent_dim=2"):
        visual.plot_manifold(VAE.dense(4, (3,), 3, rng=rng), (2, 2))
    with pytest.raises(TypeError, match=r"the model must be a VAE, whose z has the prior N\(0, I\); got Autoencoder"):
        visual.plot_manifold(Autoencoder.dense(4, (3,), 2, rng=rng), (2, 2))
    with pytest.raises(ValueError, match=r"image_shape \(4,\) is a plain row; only images fit"):
        visual.plot_manifold(manifold_vae(), (4,))
    with pytest.raises(ValueError, match=r"the decoder's mean has shape \(225, 4\), expected \(n, 9\)"):
        visual.plot_manifold(manifold_vae(), (3, 3))
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        visual.plot_manifold(manifold_vae(), (2, 2), n=0)


# ---- plot_kl_per_dimension -------------------------------------------------------------------------------------------------------


def test_bars_are_the_latents_in_falling_order_hollow_below_the_threshold():
    axes = visual.plot_kl_per_dimension(np.array([0.5, 0.002, 2.0, 0.009])).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2.0, 0.5, 0.009, 0.002]
    assert labels_of(axes.get_xticklabels()) == ["z3", "z1", "z4", "z2"]
    assert [bar.get_facecolor() == (1, 1, 1, 1) for bar in axes.patches] == [False, False, True, True]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.01, 0.01])
    assert axes.get_title() == "2 of 4 latents above 0.01 nats; 2.51 nats in all"
    axes = visual.plot_kl_per_dimension(np.array([0.5, 0.002, 2.0, 0.009]), threshold=1.0).axes[0]
    assert axes.get_title() == "1 of 4 latents above 1 nats; 2.51 nats in all"


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------

X = np.zeros((3, 64))
WRONG = [
    (
        lambda: visual.plot_samples(X, (8, 7)),
        ValueError,
        r"plot_samples: images has shape \(3, 64\), expected \(n, 56\); .*\(8, 7\)",
    ),
    (lambda: visual.plot_samples(X, (8, 8, 1)), ValueError, r"image_shape must be \(height, width\), or \(D,\).* got \(8, 8, 1\)"),
    (lambda: visual.plot_samples(X, 64), ValueError, r"image_shape must be \(height, width\).* got 64"),
    (lambda: visual.plot_samples(X.reshape(3, 8, 8), (8, 8)), ValueError, r"images has shape \(3, 8, 8\), expected \(n, 64\)"),
    (lambda: visual.plot_samples(X[:0], (8, 8)), ValueError, "images has no rows"),
    (lambda: visual.plot_samples(X, (8, 8), columns=0), ValueError, "columns must be at least 1, got 0"),
    (lambda: visual.plot_samples(np.log(X - 1 + (X == 0)), (8, 8)), ValueError, r"images is -inf at \[0, 0\]"),
    (lambda: visual.plot_reconstructions(X, X[:2], (8, 8)), ValueError, r"x_hat has shape \(2, 64\) but x has shape \(3, 64\)"),
    (lambda: visual.plot_reconstructions(X, X, (8, 8), n=0), ValueError, "n must be at least 1, got 0"),
    (lambda: visual.plot_latent(X[0]), ValueError, r"mu has shape \(64,\), expected \(N, Z\); .*model.encode"),
    (lambda: visual.plot_latent(X[:0]), ValueError, r"mu has shape \(0, 64\); there is nothing to draw"),
    (
        lambda: visual.plot_latent(X, np.zeros(4, int)),
        ValueError,
        r"labels has shape \(4,\), expected \(3,\); one label for each row",
    ),
    (lambda: visual.plot_latent(X, np.zeros(3)), TypeError, "labels must be integers, got float64"),
    (lambda: visual.plot_latent(X + np.nan), ValueError, r"mu is nan at \[0, 0\].*last good checkpoint"),
    (lambda: visual.plot_kl_per_dimension(X), ValueError, r"kl has shape \(3, 64\), expected \(Z,\)"),
    (lambda: visual.plot_kl_per_dimension(X[0, :0]), ValueError, "kl is empty"),
    (lambda: visual.plot_kl_per_dimension(X[0] + np.inf), ValueError, r"kl is inf at \[0\]"),
]


@pytest.mark.filterwarnings("ignore:divide by zero")  # the log that makes the -inf
@pytest.mark.parametrize(("call", "error", "match"), WRONG)
def test_wrong_arguments_are_told_so(call, error, match):
    with pytest.raises(error, match=match):
        call()
