"""The toy sets in the plane: their moments, their shapes, and densities that integrate to one and are those of the samples."""

import math
import re

import numpy as np
import pytest

from npvae.data import load_dataset, load_toy
from npvae.data.toy import NOISE, TOYS, _log_normal_cdf, grid, log_density, paraboloid, ring, spiral, two_moons

N = 40_000


def within(sample, expected, errors=5):
    """The sample's mean lies within so many standard errors of the expected one."""
    assert abs(sample.mean() - expected) < errors * sample.std() / math.sqrt(len(sample))


def test_the_paraboloid_is_an_exponential_added_to_both_coordinates_and_noise(rng):
    y = paraboloid(N, rng)
    u, v = (y[:, 0] + y[:, 1]) / math.sqrt(2), (y[:, 0] - y[:, 1]) / math.sqrt(2)
    within(y[:, 0], 1.0)
    within(y[:, 1], 1.0)
    within((u - math.sqrt(2)) ** 2, 3.0)  # variance 2 of sqrt 2 t, and 1 of the noise
    within((u - math.sqrt(2)) ** 3, 2 * 2**1.5)  # the third moment of t - 1 is 2
    within(v, 0.0)
    within(v**2, 1.0)
    within((u - math.sqrt(2)) * v, 0.0)
    within(v**4, 3.0)


def test_the_ring_has_radius_one_and_every_direction(rng):
    y = ring(N, rng)
    r = np.hypot(*y.T)
    within(r, 1.0)
    within((r - 1) ** 2, NOISE**2)
    for k in (1, 2, 3):
        angle = k * np.arctan2(y[:, 1], y[:, 0])
        within(np.cos(angle), 0.0)
        within(np.sin(angle), 0.0)


def test_each_row_of_the_moons_lies_near_one_of_the_two_half_circles(rng):
    y = two_moons(N, rng)
    a = np.linspace(0, math.pi, 300)
    upper = np.stack([np.cos(a), np.sin(a)], axis=1)
    lower = np.stack([1 - np.cos(a), 0.5 - np.sin(a)], axis=1)  # it hangs, and reaches into the other
    far = [np.hypot(*(y[:1000, None] - moon).transpose(2, 0, 1)).min(axis=1) for moon in (upper, lower)]
    assert np.minimum(*far).max() < 5 * NOISE
    assert all((from_one > 5 * NOISE).sum() > 200 for from_one in far), "some rows are of the other"
    within(y[:, 0], 0.5)
    within(y[:, 1], 0.25)
    within(y[:, 0] ** 2, (0.5 + 1.5) / 2 + NOISE**2)


def test_the_spiral_winds_one_and_a_half_times_out_to_radius_two(rng):
    y = spiral(N, rng)
    t = np.sqrt(np.random.default_rng(1).uniform(size=N))
    within(np.sum(y**2, axis=1), 4 * 0.5 + 2 * NOISE**2)  # E t^2 = 1/2
    within(y[:, 0], np.mean(2 * t * np.cos(3 * np.pi * t)), errors=8)
    line = np.linspace(0, 1, 600)[:, None]
    curve = 2 * line * np.concatenate([np.cos(3 * np.pi * line), np.sin(3 * np.pi * line)], axis=1)  # (600, 2)
    far = np.min(np.hypot(*(y[:500, None] - curve).transpose(2, 0, 1)), axis=1)
    assert far.max() < 5 * NOISE
    assert np.hypot(*y.T).max() > 1.9 and (np.hypot(*y.T) < 0.3).any()


def test_the_grid_has_twenty_five_equal_spots(rng):
    y = grid(N, rng)
    nearest = np.rint(y)
    spots, counts = np.unique(nearest, axis=0, return_counts=True)
    assert sorted(map(tuple, spots)) == [(i, j) for i in range(-2, 3) for j in range(-2, 3)]
    assert abs(counts - N / 25).max() < 5 * math.sqrt(N / 25)
    within(((y - nearest) ** 2).ravel(), NOISE**2)


@pytest.mark.parametrize(
    "name, low, high, n", [("paraboloid", -9.0, 34.0, 430), ("ring", -2.0, 2.0, 200), ("grid", -3.0, 3.0, 200)]
)
def test_a_density_integrates_to_one_and_its_mean_over_samples_is_minus_the_stated_entropy(name, low, high, n, rng):
    h = (high - low) / n
    side = low + h * (np.arange(n) + 0.5)
    logp = log_density(name, np.stack(np.meshgrid(side, side), axis=2).reshape(-1, 2))
    assert np.sum(np.exp(logp)) * h * h == pytest.approx(1, abs=2e-4)
    entropy = -np.sum(np.exp(logp) * logp) * h * h
    within(-log_density(name, TOYS[name](N, rng)), entropy)
    stated = re.search(rf"([\d.]+)( nats)? for the {name}", log_density.__doc__)[1]
    assert entropy == pytest.approx(float(stated), abs=6e-5)


def test_densities_are_the_printed_formulas(rng):
    """Literal sums: the exponential's convolution by quadrature, the grid's 25 Gaussians, the ring along a ray."""
    y = paraboloid(6, rng)
    t = np.linspace(0, 60, 60_001)
    for row, logp in zip(y, log_density("paraboloid", y)):
        inside = np.exp(-t - 0.5 * ((row[0] - t) ** 2 + (row[1] - t) ** 2)) / (2 * np.pi)
        assert logp == pytest.approx(math.log(np.sum((inside[1:] + inside[:-1]) / 2) * 1e-3), rel=1e-6)
    for row, logp in zip(y := grid(6, rng), log_density("grid", y)):
        spots = [np.exp(-((row[0] - i) ** 2 + (row[1] - j) ** 2) / 0.02) for i in range(-2, 3) for j in range(-2, 3)]
        assert logp == pytest.approx(math.log(sum(spots) / 25 / (2 * np.pi * 0.01)), rel=1e-12)
    at = np.array([[0.6, 0.8], [0.0, -1.1]])
    expected = [math.log(1 / (math.sqrt(2 * math.pi) * 0.1) / (2 * math.pi * r)) - (r - 1) ** 2 / 0.02 for r in (1.0, 1.1)]
    np.testing.assert_allclose(log_density("ring", at), expected, rtol=1e-12)


def test_the_paraboloids_density_is_finite_far_out_and_has_no_seam_where_the_series_begins():
    u = 1 / math.sqrt(2) - 30 + np.array([-2e-9, 2e-9])  # on either side of Phi's argument -30
    seam = log_density("paraboloid", np.outer(u, [1, 1]) / math.sqrt(2))
    assert abs(seam[1] - seam[0]) < 2e-7 and np.isfinite(seam).all()
    far = log_density("paraboloid", np.array([[-200.0, -200.0], [200.0, 200.0], [-300.0, 300.0]]))
    assert np.isfinite(far).all() and (far < -100).all()
    assert np.isposinf(log_density("ring", np.zeros((1, 2))))


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_set_is_drawn_from_the_generator_given(name, rng):
    data = load_toy(name, 50, rng=np.random.default_rng(3))
    same = load_toy(name, 50, rng=np.random.default_rng(3))
    assert (data.name, data.train.shape, data.test.shape, data.scale, data.image_shape) == (name, (50, 2), (50, 2), None, (2,))
    assert data.train.dtype == np.float64 and data.train_labels is None
    np.testing.assert_array_equal(data.train, same.train)
    generator = np.random.default_rng(3)
    np.testing.assert_array_equal(TOYS[name](50, generator), data.train)
    np.testing.assert_array_equal(TOYS[name](50, generator), data.test, "the test rows are the next ones")
    assert not np.array_equal(data.train, load_toy(name, 50, rng=rng).train)


def test_by_its_name_alone_a_toy_set_is_always_the_same():
    first, again = load_dataset("ring"), load_dataset("ring")
    np.testing.assert_array_equal(first.train, again.train)
    assert first.train.shape == first.test.shape == (1000, 2)
    np.testing.assert_array_equal(first.train, ring(1000, np.random.default_rng([ord(letter) for letter in "ring"])))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda rng: load_toy("moons", rng=rng), ValueError, "no data set 'moons'; there are paraboloid, .*, grid"),
        (lambda rng: load_toy("ring", 0, rng=rng), ValueError, "load_toy: n must be at least 1, got 0"),
        (lambda rng: load_toy("ring", 2.5, rng=rng), TypeError, "load_toy: n must be an integer, got 2.5"),
        (lambda rng: load_toy("ring", rng=7), TypeError, r"load_toy: rng must be a numpy.random.Generator, got int"),
        (lambda rng: log_density("spiral", np.zeros((1, 2))), ValueError, "'spiral' has no density in closed form here"),
        (lambda rng: log_density("grid", np.zeros(2)), ValueError, r"y has shape \(2,\), expected \(n, 2\)"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_the_toy_sets(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(rng)


@pytest.mark.parametrize(
    "x, exact",
    [
        (-60.0, -1805.01356068056714), (-30.1, -457.329564416382258), (-29.9, -451.322912458528634), (-20.0, -203.917155371097264),
        (-12.0, -75.4106730015687959), (-8.5, -39.1973964282176693), (0.0, -0.693147180559945309), (5.0, -2.86651612963763593e-7),
    ],
)  # fmt: skip
def test_the_logarithm_of_the_normal_distribution_function_keeps_its_digits(x, exact):
    """Values of 60-digit arithmetic; the form changes on the way out into the tail."""
    np.testing.assert_allclose(_log_normal_cdf(x), exact, rtol=1e-14, atol=1e-15)


def test_the_ring_has_both_its_sides_near_the_middle():
    r = 1e-4
    p = sum(math.exp(-((side * r - 1) ** 2) / 0.02) for side in (1, -1)) / (math.sqrt(2 * math.pi) * 0.1) / (2 * math.pi * r)
    np.testing.assert_allclose(log_density("ring", np.array([[0.0, r]])), math.log(p), rtol=1e-12)
