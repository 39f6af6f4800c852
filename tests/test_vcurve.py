"""The V-curve as a picture: every method given is drawn, in values that a reader can read off, and nothing else is accepted."""

import numpy as np
import pytest

from npvae.verify.derivatives import VCurve, v_curve
from npvae.visual import plot_vcurve, save


def drawn(figure):
    """{label: (x, y)} of the lines."""
    return {line.get_label(): line.get_data() for line in figure.axes[0].get_lines() if not line.get_label().startswith("_")}


def test_every_method_is_drawn_with_its_own_line_and_the_numbers_of_the_curve(rng, tmp_path):
    theta = rng.normal(size=3)
    curve = v_curve(lambda t: np.sum(np.tanh(t)), theta, 1 - np.tanh(theta) ** 2)
    figure = plot_vcurve(curve)
    lines = drawn(figure)
    assert list(lines) == ["forward difference", "central difference", "Richardson", "complex step"]
    np.testing.assert_array_equal(lines["central difference"][0], curve.steps)
    np.testing.assert_array_equal(lines["central difference"][1], np.maximum(curve.errors["central"], 1e-17))
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log") and axes.get_xlim()[0] > axes.get_xlim()[1]
    assert len({(line.get_linestyle(), line.get_marker()) for line in axes.get_lines()[:4]}) == 4  # told apart without colour
    save(figure, tmp_path / "v.png")
    assert (tmp_path / "v.png").stat().st_size > 10_000


def test_a_method_that_was_left_out_is_not_drawn():
    curve = VCurve(np.array([1e-1, 1e-2]), {"central": np.array([1e-3, 0.0])})
    lines = drawn(plot_vcurve(curve))
    assert list(lines) == ["central difference"] and lines["central difference"][1][1] == 1e-17  # 0 has no logarithm


@pytest.mark.parametrize(
    "errors, words",
    [({}, "got none"), ({"secant": np.ones(2)}, "got secant"), ({"central": np.ones(3)}, r"errors\['central'\] has shape \(3,\)")],
)
def test_what_is_no_curve_is_refused(errors, words):
    with pytest.raises(ValueError, match=words):
        plot_vcurve(VCurve(np.array([1e-1, 1e-2]), errors))
