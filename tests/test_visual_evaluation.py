"""The pictures of the evaluation: each draws the numbers it was given, where it says, in the house style; no text is cut off."""

import math

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pictures import assert_readable

from npvae import visual
from npvae.evaluation.latent import RateDistortion
from npvae.evaluation.samples import CopyTest, TwoSampleTest, copy_test, nearest_neighbors, two_sample_test

POINTS = [RateDistortion(8.5, 11.5, 0.1, 0.4), RateDistortion(2.0, 17.0, 0.1, 0.3), RateDistortion(0.1, 24.4, 0.0, 0.2)]
ROWS = np.random.default_rng(0).random((40, 6))
MU, LOGVAR = np.random.default_rng(1).normal(0, 1, (50, 2)), np.full((50, 2), -2.0)


def two_samples(scale=1.0):
    return two_sample_test(scale * ROWS[:20], scale * ROWS[20:], np.random.default_rng(0), 60)


PICTURES = {
    "rate and distortion, exact": lambda: visual.plot_rate_distortion(POINTS, [0.5, 1, 4], exact=[(0, 24), (5, 14), (9, 11)]),
    "rate and distortion, named": lambda: visual.plot_rate_distortion(POINTS, exact=[(0, 24)], exact_label="linear VAE, exact"),
    "rate and distortion, 1": lambda: visual.plot_rate_distortion([(0.0, -1200.0)]),
    "rate and distortion, crowded": lambda: visual.plot_rate_distortion(
        [(0.001 * i, 25.0) for i in range(4)] + [(9, 12)], range(5)
    ),
    "aggregated, far": lambda: visual.plot_aggregated_posterior(40 * MU, LOGVAR - 30),
    "aggregated, 2 of 6": lambda: visual.plot_aggregated_posterior(np.tile(MU, 3), np.tile(LOGVAR, 3)),
    "aggregated, 1": lambda: visual.plot_aggregated_posterior(MU[:, :1], LOGVAR[:, :1]),
    "aggregated, 1 row": lambda: visual.plot_aggregated_posterior(MU[:1], LOGVAR[:1]),
    "two samples": lambda: visual.plot_two_sample_test(two_samples()),
    "two samples, all equal": lambda: visual.plot_two_sample_test(TwoSampleTest(0.0, np.zeros(9), 1.0, 1.0)),
    "two samples, far apart": lambda: visual.plot_two_sample_test(TwoSampleTest(1.9, 1e-7 * ROWS[:, 0], 0.02, 1.0)),
    "copies": lambda: visual.plot_copies(copy_test(ROWS[:15] + 0.01, ROWS[:30], ROWS[30:])),
    "copies, far": lambda: visual.plot_copies(copy_test(ROWS[:15] + 3e5, ROWS[:30], ROWS[30:] + 1e5)),
    "neighbors": lambda: visual.plot_nearest_neighbors(ROWS[:10], ROWS[10:20], (2, 3)),
    "neighbors, 23": lambda: visual.plot_nearest_neighbors(ROWS[:30], ROWS[10:], (3, 2), n=23),
    "neighbors, curves": lambda: visual.plot_nearest_neighbors(ROWS[:3], ROWS[7:10], (6,)),
}


@pytest.fixture(scope="module", params=PICTURES)
def picture(request):
    figure = PICTURES[request.param]()
    FigureCanvasAgg(figure).draw()
    return request.param, figure


def test_no_text_is_cut_off_and_no_labels_collide(picture):
    _, figure = picture
    assert_readable(figure)
    renderer = figure.canvas.get_renderer()
    for axes in figure.axes:
        names = [text.get_window_extent(renderer) for text in axes.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(names) for b in names[:i])


def test_size_and_text_follow_the_house_style(picture):
    name, figure = picture
    width, height = figure.get_size_inches()
    assert isinstance(figure, Figure) and figure.dpi == 100 and figure.get_facecolor() == (1, 1, 1, 1)
    assert width <= 6 and (height <= 3.5 or name.startswith(("aggregated", "neighbors")))
    texts = [t.get_text() for t in figure.findobj(matplotlib.text.Text)]
    assert all(t.replace("\N{MINUS SIGN}", "-").isascii() for t in texts)


# ---- rate and distortion ---------------------------------------------------------------------------------------------------------


def test_the_points_their_errors_and_their_betas():
    figure = visual.plot_rate_distortion(POINTS, betas=[0.5, 1, 4])
    (axes,) = figure.axes
    points, (horizontal, vertical) = axes.containers[0][0], axes.containers[0][2]
    np.testing.assert_array_equal(points.get_xydata(), [(8.5, 11.5), (2.0, 17.0), (0.1, 24.4)])
    np.testing.assert_allclose(horizontal.get_segments()[0], [(8.3, 11.5), (8.7, 11.5)])  # two standard errors each way
    np.testing.assert_allclose(vertical.get_segments()[1], [(2.0, 16.4), (2.0, 17.6)])
    named = {text.get_text(): text.xy for text in axes.texts}
    assert {name: tuple(at) for name, at in named.items()} == {
        "beta 0.5": (8.5, 11.5),
        "beta 1": (2.0, 17.0),
        "beta 4": (0.1, 24.4),
    }
    joined = axes.lines[0].get_xydata()  # by rate
    np.testing.assert_array_equal(joined[:, 0], [0.1, 2.0, 8.5])
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlabel() == "rate R = KL (nats per example)" and axes.get_ylabel().startswith("distortion D = -log p(x|z)")


def test_the_line_is_that_of_the_best_elbo():
    figure = visual.plot_rate_distortion(POINTS)
    (axes,) = figure.axes
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith("D + R")]
    assert line.get_label() == "D + R = 19.00, the best"  # 2 + 17, not 8.5 + 11.5
    assert line.get_xy1() == (0, 19.0) and line.get_slope() == -1
    assert not axes.texts


def test_a_known_curve_is_drawn_by_rate_in_another_grey():
    figure = visual.plot_rate_distortion([(1.0, 9.0)], exact=[(5, 14), (0, 24), (9, 11)])
    curve = figure.axes[0].lines[0]
    np.testing.assert_array_equal(curve.get_xydata(), [(0, 24), (5, 14), (9, 11)])
    assert to_rgb(curve.get_color())[0] > 0.5 and curve.get_label() == "exact"


def test_the_legend_says_whose_curve_the_known_one_is():
    figure = visual.plot_rate_distortion([(1.0, 9.0)], exact=[(0, 24), (9, 11)], exact_label="linear VAE, exact")
    assert labels_of(figure.legends[0]) == ["linear VAE, exact", "D + R = 10.00, the best", "models"]


# ---- the aggregated posterior ----------------------------------------------------------------------------------------------------


def regions(figure):
    """How many of the three regions each pixel lies in, and the coordinates of the pixels' middles."""
    (axes,) = figure.axes
    (image,) = axes.images
    inside = np.asarray(image.get_array())  # row 0 at the bottom
    left, right, bottom, top = image.get_extent()
    assert image.origin == "lower" and (left, right) == (bottom, top)
    step = (right - left) / len(inside)
    return inside, left + step * (np.arange(len(inside)) + 0.5)


def test_the_regions_of_one_gaussian_are_ellipses_that_hold_50_90_99_percent():
    mu, sigma = np.array([[1.0, -0.5]]), np.array([[0.4, 1.2]])
    inside, z = regions(visual.plot_aggregated_posterior(mu, 2 * np.log(sigma)))
    z1, z2 = np.meshgrid(z, z)
    radius = np.hypot((z1 - 1.0) / 0.4, (z2 + 0.5) / 1.2)
    expected = sum(radius < math.sqrt(-2 * math.log(1 - share)) for share in (0.5, 0.9, 0.99))
    assert np.mean(inside != expected) < 0.005  # pixels on the edges


def test_shades_and_the_priors_circles_agree_where_q_is_the_prior():
    figure = visual.plot_aggregated_posterior(np.zeros((3, 2)), np.zeros((3, 2)))
    inside, z = regions(figure)
    row = inside[len(z) // 2]
    for line, times in zip(figure.axes[0].lines, (3, 2, 1)):
        radii = np.hypot(*line.get_xydata().T)
        assert np.ptp(radii) < 1e-12
        assert radii[0] == pytest.approx(z[row >= times].max(), abs=0.04)  # a pixel
    assert [np.hypot(*line.get_xydata()[0]) for line in figure.axes[0].lines] == pytest.approx([1.1774, 2.1460, 3.0349], abs=1e-4)


def test_of_a_mixture_every_part_is_drawn_however_narrow():
    inside, z = regions(visual.plot_aggregated_posterior(np.array([[2.0, 1.0], [-3.0, 0.0]]), np.full((2, 2), -40.0)))
    rows, columns = np.nonzero(inside == 3)
    np.testing.assert_allclose([z[columns].min(), z[columns].max()], [-3, 2], atol=0.06)
    np.testing.assert_allclose([z[rows].min(), z[rows].max()], [0, 1], atol=0.06)


def test_many_rows_come_in_parts():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(0, 1, (5000, 2)), np.full((5000, 2), -3.0)
    mu[4096:] += [4, 0]  # the second part is needed
    inside, z = regions(visual.plot_aggregated_posterior(mu, logvar))
    assert np.any(inside[:, z > 3] >= 2)


def test_the_latents_whose_means_vary_most_are_drawn():
    mu = np.random.default_rng(0).normal(0, 1, (60, 4)) * [0.1, 2, 0.2, 3] + [9, 0, 0, 0]
    (axes,) = visual.plot_aggregated_posterior(mu, np.zeros((60, 4))).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z4 (mean varies most of 4)", "z2 (second most)")
    assert axes.get_xlim()[1] < 15
    (axes,) = visual.plot_aggregated_posterior(mu[:, :2], np.zeros((60, 2))).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")


def test_of_one_latent_the_two_densities():
    (axes,) = visual.plot_aggregated_posterior(np.array([[1.0], [-1.0]]), np.log([[0.25], [0.25]])).axes
    z, p = axes.lines[0].get_xydata().T
    np.testing.assert_allclose(p, np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi), rtol=1e-12)
    outline = axes.collections[0].get_paths()[0].vertices
    q = np.mean([np.exp(-2 * (z - m) ** 2) / math.sqrt(0.5 * math.pi) for m in (-1, 1)], axis=0)
    assert outline[:, 1].max() == pytest.approx(q.max(), rel=1e-3)
    assert labels_of(axes.get_legend()) == ["q(z)", "prior"]


def labels_of(legend):
    return [text.get_text() for text in legend.get_texts()]


# ---- samples against data --------------------------------------------------------------------------------------------------------


def test_the_null_distribution_and_the_observed_statistic():
    test = two_samples()
    (axes,) = visual.plot_two_sample_test(test).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(heights) == 60 and len(heights) == 10
    assert axes.patches[0].get_x() == pytest.approx(test.null.min())
    (line,) = axes.lines
    assert list(line.get_xdata()) == [test.statistic] * 2 and line.get_linestyle() == "--"
    assert axes.get_title() == f"MMD^2 = {test.statistic:.3g}; p = {test.p_value:.3g} from 60 permutations"
    assert set(labels_of(axes.get_legend())) == {"a and b dealt anew", "observed"}


def test_the_distances_of_samples_and_of_held_out_rows():
    test = copy_test(ROWS[:15] + 0.01, ROWS[:30], ROWS[30:])
    (axes,) = visual.plot_copies(test).axes
    held_out, found = axes.patches
    for patch, values in ((held_out, test.held_out_distance), (found, test.distance)):
        corners = patch.get_xy()
        assert corners[:, 0].min() <= values.min() + 1e-12
        heights = np.unique(np.round(corners[:, 1] * len(values), 9))
        np.testing.assert_allclose(heights, np.round(heights), atol=1e-9)  # shares of rows, each 1 / len
    assert held_out.get_fill() and not found.get_fill()
    assert found.get_xy()[:, 1].max() == pytest.approx(1)  # all samples in one bin
    assert list(axes.lines[0].get_xdata()) == [test.threshold] * 2
    assert axes.get_title() == f"100.0% of the samples below the threshold; p = {test.p_value:.3g}"
    assert set(labels_of(axes.get_legend())) == {"held-out rows", "samples", "threshold"}


def test_samples_stand_above_their_nearest_training_rows():
    a, train = ROWS[:5], ROWS[5:]
    neighbors = train[nearest_neighbors(a, train).row]
    (axes,) = visual.plot_nearest_neighbors(a, neighbors, (2, 3)).axes
    picture = np.asarray(axes.images[0].get_array())  # two rows of 2 x 3 images, one pixel between them
    for i in range(5):
        np.testing.assert_array_equal(picture[:2, 4 * i : 4 * i + 3].ravel(), a[i])
        np.testing.assert_array_equal(picture[3:, 4 * i : 4 * i + 3].ravel(), neighbors[i])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["sample", "training row"]
    curves = visual.plot_nearest_neighbors(a, neighbors, (6,))
    assert labels_of(curves.legends[0]) == ["sample", "training row"]


def test_what_is_given_is_not_written_into():
    arrays = [MU.copy(), LOGVAR.copy(), ROWS.copy()]
    visual.plot_aggregated_posterior(arrays[0], arrays[1]), visual.plot_nearest_neighbors(arrays[2], arrays[2], (2, 3))
    for a, b in zip(arrays, (MU, LOGVAR, ROWS)):
        np.testing.assert_array_equal(a, b)


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------

NAN = CopyTest(np.array([np.nan]), np.zeros(1, int), np.ones(3), 1.0, 0.0, 1.0)
WRONG = [
    (lambda: visual.plot_rate_distortion([]), ValueError, "plot_rate_distortion: points is empty; give rows such as"),
    (lambda: visual.plot_rate_distortion([(1.0,)]), ValueError, r"points has shape \(1, 1\), expected \(n, 2\); rate and"),
    (lambda: visual.plot_rate_distortion(POINTS, [1.0]), ValueError, r"betas has shape \(1,\), expected \(3,\); one number"),
    (lambda: visual.plot_rate_distortion([(1, np.nan)]), ValueError, r"points is nan at \[0, 1\].*cannot be drawn"),
    (lambda: visual.plot_rate_distortion(POINTS, exact=[]), ValueError, "exact is empty"),
    (lambda: visual.plot_rate_distortion(POINTS[0]), TypeError, "points must be a list of them, .*got a single RateDistortion"),
    (lambda: visual.plot_aggregated_posterior(MU[:, 0], LOGVAR), ValueError, r"mu has shape \(50,\), expected \(N, Z\)"),
    (lambda: visual.plot_aggregated_posterior(MU, LOGVAR[:9]), ValueError, r"logvar has shape \(9, 2\) but mu has shape"),
    (lambda: visual.plot_aggregated_posterior(MU[:0], MU[:0]), ValueError, r"mu has shape \(0, 2\); there is nothing to draw"),
    (lambda: visual.plot_aggregated_posterior(MU, LOGVAR + 1e4), ValueError, "sigma is inf at .*last good checkpoint"),
    (lambda: visual.plot_two_sample_test(0.3), TypeError, "test must be what evaluation.two_sample_test returns, got float"),
    (lambda: visual.plot_copies(two_samples()), TypeError, "test must be what evaluation.copy_test returns, got TwoSampleTest"),
    (lambda: visual.plot_copies(NAN), ValueError, r"distance is nan at \[0\]"),
    (lambda: visual.plot_nearest_neighbors(ROWS, ROWS[:3], (2, 3)), ValueError, r"neighbors has shape \(3, 6\) but samples"),
    (lambda: visual.plot_nearest_neighbors(ROWS, ROWS, (2, 2)), ValueError, r"plot_nearest_neighbors: samples has shape \(40, 6\)"),
]


@pytest.mark.parametrize(("call", "error", "match"), WRONG)
def test_wrong_arguments_are_told_so(call, error, match):
    with pytest.raises(error, match=match):
        call()
