"""Points in a plane, and samples in rows with names: each group and each row stands where and as what it was given."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from test_visual import cells, digits, drawn, labels_of

from npvae import visual

SPOTS = np.random.default_rng(0).normal(size=(30, 2))


def test_each_group_is_drawn_at_its_points_in_the_order_given():
    figure = visual.plot_points({"data": SPOTS, "generated": SPOTS + 1})
    below, above = figure.axes[0].collections
    np.testing.assert_array_equal(below.get_offsets(), SPOTS)
    np.testing.assert_array_equal(above.get_offsets(), SPOTS + 1)
    assert labels_of(figure.legends[0].get_texts()) == ["data", "generated"]
    assert figure.axes[0].get_aspect() == 1


def test_up_to_thirty_groups_differ_and_the_first_two_also_in_grey_and_shape():
    figure = visual.plot_points({str(i): SPOTS[:3] + i for i in range(30)})
    looks = [(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in figure.axes[0].collections]
    assert len(set(looks)) == 30
    first, second = (np.dot(to_rgb(color), (0.3, 0.59, 0.11)) for color, _ in looks[:2])
    assert abs(first - second) > 0.15 and looks[0][1] != looks[1][1]


def test_many_points_are_fainter_than_few():
    few, many = (visual.plot_points({"x": np.resize(SPOTS, (n, 2))}).axes[0].collections[0].get_alpha() for n in (30, 3000))
    assert few == 1 and 0.2 < many < 0.5


def test_rows_of_samples_have_their_names_beside_them():
    figure = visual.plot_samples(digits(12), (8, 8), columns=4, row_names=["label 0", "label 1", 27])
    grid = cells(drawn(figure), 8, 8, gap=1)
    assert grid.shape[:2] == (3, 4)
    np.testing.assert_array_equal(grid.reshape(12, 64), digits(12))
    assert labels_of(figure.axes[0].get_yticklabels()) == ["label 0", "label 1", "27"]
    np.testing.assert_array_equal(figure.axes[0].get_yticks(), [3.5, 12.5, 21.5])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: visual.plot_points({}), "there are no groups; give a dict"),
        (lambda: visual.plot_points({"x": SPOTS[:, :1]}), r"x has shape \(30, 1\), expected \(N, 2\); .*plot_samples"),
        (lambda: visual.plot_points({"data": SPOTS, "x": SPOTS[:0]}), "x has no points"),
        (lambda: visual.plot_points({"x": SPOTS / 0.0}), r"x is -?inf at \[0, 0\]"),
        (lambda: visual.plot_samples(digits(9), (8, 8), columns=4, row_names=["a", "b"]), "2 row_names, but 9 images.* 3 rows"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")  # the infinities that are refused
def test_wrong_groups_and_names_are_told_so(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_unit_is_as_long_on_both_axes_unless_one_column_would_be_a_thread():
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert visual.plot_points({"x": x}).axes[0].get_aspect() == 1
    assert visual.plot_points({"x": x * [1, 50]}).axes[0].get_aspect() == "auto"
