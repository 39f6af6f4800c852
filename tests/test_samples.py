"""Samples against data: the two-sample statistic against loops and closed forms, its p-values against their promise, neighbors and
copies against searches and counts by hand. Seeds are fixed; 4.5 standard errors happen once in 150,000 draws."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds, sizes, values

from npvae.core.checks import NonFiniteError
from npvae.data import load_digits
from npvae.evaluation import samples
from npvae.evaluation.samples import _sharpen, _squared_distances, copy_test, nearest_neighbors, two_sample_test


def literal_mmd(a, b, h):
    """Gretton et al. (2012), Lemma 6, pair by pair."""

    def k(x, y):
        return math.exp(-sum((s - t) ** 2 for s, t in zip(x, y)) / (2 * h**2))

    within_a = sum(k(x, y) for x, y in itertools.permutations(a.tolist(), 2)) / (len(a) * (len(a) - 1))
    within_b = sum(k(x, y) for x, y in itertools.permutations(b.tolist(), 2)) / (len(b) * (len(b) - 1))
    return within_a + within_b - 2 * sum(k(x, y) for x in a.tolist() for y in b.tolist()) / (len(a) * len(b))


def literal_bandwidth(rows):
    return math.sqrt(np.median([np.sum((x - y) ** 2) for x, y in itertools.combinations(rows, 2)]))


# ---- the two-sample test ---------------------------------------------------------------------------------------------------------


@given(shape=sizes(3), seed=seeds, h=st.one_of(st.none(), st.floats(0.1, 20)))
def test_the_statistic_is_the_printed_one_with_the_median_bandwidth(shape, seed, h):
    rng, (N, M, D) = np.random.default_rng(seed), shape
    a, b = values(rng, N + 1, D), values(rng, M + 1, D)
    found = two_sample_test(a, b, rng, permutations=3, bandwidth=h)
    assert found.bandwidth == pytest.approx(h or literal_bandwidth(np.concatenate([a, b])), rel=1e-12)
    assert found.statistic == pytest.approx(literal_mmd(a, b, found.bandwidth), rel=1e-9, abs=1e-13)
    assert isinstance(found.statistic, float) and isinstance(found.p_value, float) and found.null.shape == (3,)


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_statistic_is_unbiased(rng, shift):
    """For N(0, I) and N(m, I) in D dimensions, MMD^2 = 2 (h^2 / (h^2 + 2))^(D/2) (1 - e^(-|m|^2 / (2 (h^2 + 2))))."""
    h, D = 1.3, 2
    exact = 2 * (h**2 / (h**2 + 2)) ** (D / 2) * (1 - math.exp(-D * shift**2 / (2 * (h**2 + 2))))
    draws = [
        two_sample_test(rng.standard_normal((7, D)), rng.standard_normal((4, D)) + shift, rng, 1, bandwidth=h).statistic
        for _ in range(600)
    ]
    error = np.std(draws, ddof=1) / np.sqrt(600)
    assert abs(np.mean(draws) - exact) < 4.5 * error < 0.05


def test_the_null_deals_all_rows_into_groups_of_the_old_sizes_each_alike(rng):
    a, b = rng.standard_normal((2, 2)), rng.standard_normal((3, 2))
    found = two_sample_test(a, b, rng, permutations=3000, bandwidth=1.0)
    rows = np.concatenate([a, b])
    groups = [list(g) for g in itertools.combinations(range(5), 2)]
    possible = np.array([literal_mmd(rows[g], np.delete(rows, g, axis=0), 1.0) for g in groups])  # 10 different ones
    distance = np.abs(found.null[:, None] - possible)
    assert np.max(np.min(distance, axis=1)) < 1e-12
    counts = np.bincount(np.argmin(distance, axis=1), minlength=10)
    assert np.max(np.abs(counts - 300)) < 4.5 * np.sqrt(3000 * 0.1 * 0.9)


def test_p_values_are_uniform_if_there_is_nothing_to_find(rng):
    p = np.array([two_sample_test(rng.random((6, 3)), rng.random((9, 3)), rng, 39).p_value for _ in range(400)])
    assert set(np.round(40 * p)) <= set(range(1, 41))  # the observed grouping is one of the 40
    for alpha in (0.05, 0.25, 0.5, 0.9):
        assert abs(np.mean(p <= alpha + 1e-9) - alpha) < 4.5 * np.sqrt(alpha * (1 - alpha) / 400)


@pytest.mark.parametrize("difference", ["mean", "scale", "shape"])
def test_a_difference_is_seen(rng, difference):
    a, b = rng.standard_normal((120, 3)), rng.standard_normal((150, 3))
    if difference == "shape":  # the same mean and covariance
        b = rng.choice([-1.0, 1.0], (150, 3)) * np.sqrt(0.9) + np.sqrt(0.1) * b
    b = {"mean": b + 0.6, "scale": 1.6 * b, "shape": b}[difference]
    found = two_sample_test(a, b, rng, permutations=200, bandwidth=0.5 if difference == "shape" else None)
    assert found.p_value == 1 / 201 and found.statistic > found.null.max()


def test_the_observed_grouping_counts_when_it_comes_back(rng):
    """Of 2 + 2 rows there are three groupings; the one observed comes back in a third of all cases, summed in another order."""
    for _ in range(40):
        a, b = rng.standard_normal((2, 3)), 10 + rng.standard_normal((2, 3))
        assert abs(two_sample_test(a, b, rng, permutations=1000).p_value - 1 / 3) < 4.5 * 0.015


@given(seed=seeds, shift=st.sampled_from([0.0, 1e6]), scale=st.sampled_from([1e-200, 1.0, 1e150]))
def test_neither_order_nor_origin_nor_unit_matter(seed, shift, scale):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((5, 3)), rng.standard_normal((8, 3))
    plain = two_sample_test(a, b, np.random.default_rng(1), 20)
    moved = two_sample_test((a + shift) * scale, (b + shift) * scale, np.random.default_rng(1), 20)
    assert moved.statistic == pytest.approx(plain.statistic, rel=1e-6, abs=1e-8)
    np.testing.assert_allclose(moved.null, plain.null, rtol=1e-6, atol=1e-8)
    assert moved.bandwidth == pytest.approx(plain.bandwidth * scale, rel=1e-6)
    swapped = two_sample_test(b[::-1], a[::-1], rng, 20)
    assert swapped.statistic == pytest.approx(plain.statistic, rel=1e-9, abs=1e-12)


def test_a_row_far_out_costs_no_digits(rng):
    a, b = rng.standard_normal((40, 3)), rng.standard_normal((40, 3))
    a[7] = 1e12
    assert two_sample_test(a, b, rng, 1).statistic == pytest.approx(
        literal_mmd(a, b, two_sample_test(a, b, rng, 1).bandwidth), rel=1e-6
    )


def test_clusters_far_apart_keep_the_digits_of_their_inner_distances(rng):
    a, b = (np.concatenate([rng.normal(size=(8, 3)), 1e9 + rng.normal(size=(8, 3))]) for _ in range(2))
    kernel = np.exp(-0.5 * np.sum((np.concatenate([a, b])[:, None] - np.concatenate([a, b])) ** 2, axis=2))
    aa, bb = (np.sum(k) - 16 for k in (kernel[:16, :16], kernel[16:, 16:]))
    expected = aa / 240 + bb / 240 - 2 * np.sum(kernel[:16, 16:]) / 256
    assert two_sample_test(a, b, rng, 5, bandwidth=1.0).statistic == pytest.approx(expected, rel=1e-6)  # of numbers around 1e9


def test_close_pairs_are_sharpened_wherever_they_stand(rng):
    """Two clusters, with more rows than are looked at in one part."""
    rows = np.repeat([0.0, 1e9], [300, 400])[:, None] + rng.normal(size=(700, 2))
    squares = _squared_distances(rows, rows)
    _sharpen(squares, rows)
    expected = np.sum((rows[:, None] - rows) ** 2, axis=2)
    np.testing.assert_allclose(squares, expected, rtol=1e-9)


def test_zeros_of_either_sign_and_squares_that_vanish_are_no_distance(rng):
    tiny = np.append(np.arange(1, 21) * 1e-170, 1.0)[:, None]
    for a, b in ((np.zeros((10, 2)), -np.zeros((10, 2))), (tiny[::2], tiny[1::2])):
        with pytest.raises(ValueError, match="most pairs of rows are equal .beside the farthest ones., so that their median"):
            two_sample_test(a, b, rng, 9)


def test_many_permutations_come_in_parts_and_numbers_may_be_booleans(rng):
    a, b = rng.random((20, 6)) < 0.3, rng.random((25, 6)) < 0.5
    found = two_sample_test(a, b, np.random.default_rng(0), permutations=700)
    assert found.null.shape == (700,) and len(set(np.round(found.null, 12))) > 600
    assert found.p_value == (1 + np.sum(found.null >= found.statistic - 1e-12)) / 701
    again = two_sample_test(a.astype(np.int8), b.astype(np.float32), np.random.default_rng(0), permutations=700)
    np.testing.assert_array_equal(again.null, found.null)


def test_extreme_bandwidths_are_limits(rng):
    a, b = rng.random((5, 2)), rng.random((6, 2))
    assert two_sample_test(a, b, rng, 5, bandwidth=1e-250).statistic == 0  # every row is far from every other
    assert abs(two_sample_test(a, b, rng, 5, bandwidth=1e250).statistic) < 1e-14  # no row is


# ---- nearest neighbors -----------------------------------------------------------------------------------------------------------


@given(shape=sizes(3), seed=seeds, rows=st.integers(1, 9), others=st.integers(1, 9))
def test_neighbors_are_those_of_a_search(shape, seed, rows, others):
    rng, (N, M, D) = np.random.default_rng(seed), shape
    a, reference = values(rng, N, D), values(rng, M, D)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "ROWS", rows)
        patch.setattr(samples, "OTHERS", others)
        found = nearest_neighbors(a, reference)
    distance = np.array([[math.dist(x, y) for y in reference] for x in a])  # (N, M)
    np.testing.assert_array_equal(found.row, distance.argmin(axis=1))
    np.testing.assert_allclose(found.distance, distance.min(axis=1), rtol=1e-12)


def test_an_equal_row_is_found_and_its_distance_is_zero(rng):
    reference = load_digits().floats("test")[:200]
    both = np.concatenate([reference, reference])
    found = nearest_neighbors(reference[::-1], both)
    np.testing.assert_array_equal(found.row % 200, np.arange(200)[::-1])
    np.testing.assert_array_equal(found.distance, np.zeros(200))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e150])
@pytest.mark.parametrize("origin", [0.0, 1e6])
def test_small_distances_keep_their_digits(rng, scale, origin):
    reference = (rng.integers(-9, 9, (50, 4)) + origin) * scale
    reference[0] = (1e12 + origin) * scale  # one row far out
    step = 2.0**-14 * scale  # exact in floats, unlike a square that is the difference of large ones
    a = reference[10:] + [step, 0, 0, 0]
    np.testing.assert_allclose(nearest_neighbors(a, reference).distance, (a - reference[10:])[:, 0], rtol=1e-12)


def test_memory_does_not_grow_with_all_pairs(rng):
    a, reference = rng.random((3000, 2), dtype=np.float32), rng.random((5000, 2), dtype=np.float32)
    tracemalloc.start()
    found = nearest_neighbors(a, reference)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6, f"{peak / 1e6:.1f} MB"  # all pairs: 120 MB
    np.testing.assert_allclose(found.distance, np.linalg.norm(a - reference[found.row].astype(float), axis=1), rtol=1e-12)


# ---- copies ----------------------------------------------------------------------------------------------------------------------


def test_the_p_value_counts_all_orders():
    """3 samples and 4 held-out rows on a line, the one training row at 0: 35 orders, each observed, for each of the 4 quantiles."""
    for r in (1, 2, 3, 4):
        seen = []
        for places in itertools.combinations(range(1, 8), 3):
            fresh = [i for i in range(1, 8) if i not in places]
            rows, held_out = (np.array(numbers, float)[:, None] for numbers in (places, fresh))
            found = copy_test(rows, np.zeros((1, 1)), held_out, quantile=r / 4 - 0.1)
            assert found.threshold == fresh[r - 1]
            assert found.share == sum(i < fresh[r - 1] for i in places) / 3
            seen.append((round(3 * found.share), found.p_value))
        for count, p_value in seen:
            assert p_value == pytest.approx(sum(other >= count for other, _ in seen) / 35, rel=1e-12)
        assert np.mean([count for count, _ in seen]) == pytest.approx(3 * r / 5)  # the share expected: r / (H + 1)


def test_a_tie_is_not_nearer():
    rows = np.array([[1.0], [2.0], [2.0], [3.0]])
    found = copy_test(rows[1:], np.zeros((1, 1)), rows, quantile=0.5)
    assert (found.threshold, found.share, found.p_value) == (2.0, 0.0, 1.0)


def test_the_threshold_is_the_distance_of_the_printed_rank():
    held_out = np.arange(1.0, 101.0)[:, None]  # distances 1 to 100
    for quantile, r in ((0.01, 1), (0.011, 2), (0.07, 7), (0.14, 14), (0.55, 55), (0.551, 56), (0.999, 100)):
        assert copy_test(np.zeros((3, 1)), np.zeros((1, 1)), held_out, quantile).threshold == pytest.approx(r)


def test_fresh_rows_are_no_copies_at_the_promised_rate(rng):
    train = rng.standard_normal((30, 2))
    p = [copy_test(rng.standard_normal((40, 2)), train, rng.standard_normal((50, 2)), quantile=0.1).p_value for _ in range(400)]
    for alpha in (0.05, 0.25, 0.5):
        assert np.mean(np.array(p) <= alpha) < alpha + 4.5 * np.sqrt(alpha * (1 - alpha) / 400)
    assert np.mean(np.array(p) <= 0.25) > 0.1  # and the promise is not kept by never speaking


def test_memorized_rows_are_found_all_or_some():
    digits, rng = load_digits(), np.random.default_rng(0)
    train, held_out = digits.floats("train", np.float64), digits.floats("test", np.float64)
    rows = rng.integers(len(train), size=60)
    copies = train[rows] + 0.02 * rng.standard_normal((60, 64))
    found = copy_test(copies, train, held_out)
    np.testing.assert_array_equal(found.row, rows)
    assert found.share == 1 and found.p_value < 1e-30
    some = np.concatenate([copies[:12], held_out[:180]])
    found = copy_test(some, train, held_out[180:])
    assert 12 / 192 <= found.share < 0.1 and found.p_value < 0.002
    found = copy_test(held_out[:180], train, held_out[180:])
    assert found.share < 0.05 and found.p_value > 0.05
    assert found.distance.shape == found.row.shape == found.held_out_distance.shape == (180,)


def test_held_out_rows_that_are_copies_themselves_are_told(rng):
    """Of the digits in black and white some in the test set are equal to one of the training set; a larger quantile passes them."""
    digits = load_digits()
    train, held_out = digits.train >= 8, digits.test >= 8
    with pytest.raises(ValueError, match=r"copy_test: 10 of 360 held_out rows are equal to training rows.*quantile=0.01"):
        copy_test(train[:50], train, held_out)
    found = copy_test(train[:50], train, held_out, quantile=0.05)
    assert found.share == 1 and found.p_value < 1e-20


def test_p_values_of_large_samples_are_numbers():
    far, near = np.linspace(1, 2, 20_000)[:, None], np.linspace(0.1, 0.9, 20_000)[:, None]
    assert copy_test(far + 2, np.zeros((1, 1)), far).p_value == 1
    assert 0 <= copy_test(near, np.zeros((1, 1)), far).p_value < 1e-100
    assert 0.3 < copy_test(far + 1e-9, np.zeros((1, 1)), far).p_value < 0.7


# ---- wrong arguments -------------------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).random((6, 4))
CALLS = {
    "two_sample_test": lambda a, b: two_sample_test(a, b, np.random.default_rng(0), 5),
    "nearest_neighbors": nearest_neighbors,
    "copy_test": lambda a, b: copy_test(a, b, X),
}
FIRST = {"two_sample_test": "a", "nearest_neighbors": "a", "copy_test": "samples"}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_rows_are_told_so(name):
    call, a = CALLS[name], FIRST[name]
    with pytest.raises(ValueError, match=rf"{name}: \w+ has shape \(6, 3\), expected \(N, 4\); .*as wide as {a}"):
        call(X, X[:, :3])
    with pytest.raises(ValueError, match=rf"{name}: {a} has shape \(6,\), expected \(N, D\)"):
        call(X[:, 0], X)
    with pytest.raises(ValueError, match=rf"{name}: {a} has shape \(0, 4\); it holds nothing"):
        call(X[:0], X)
    with pytest.raises(ValueError, match=rf"{name}: {a} has shape \(6, 0\); it holds nothing"):
        call(X[:, :0], X)
    with pytest.raises(ValueError, match=f"{name}: {a} holds integers from 0 to 16; scale them.*{a} / 16"):
        call(load_digits().test, X)
    with pytest.raises(TypeError, match=f"{name}: {a} must be an array of floats, got <U1"):
        call(np.array([["a"]]), X)
    with pytest.raises(NonFiniteError, match=rf"{name}: {a} is nan at \[0, 0\]"):
        call(X * np.nan, X)
    with pytest.raises(NonFiniteError, match=r"\w+: .*too far apart for distances"):
        call(0 * X + 1.7e308, 0 * X[:4] - 1.7e308)


def test_wrong_arguments_of_the_two_sample_test(rng):
    with pytest.raises(ValueError, match="two_sample_test: b has 1 row, and distances within it need at least 2"):
        two_sample_test(X, X[:1], rng)
    with pytest.raises(ValueError, match="two_sample_test: a has 1 row"):
        two_sample_test(X[:1], X, rng)
    with pytest.raises(ValueError, match=r"a and b have 4001 rows together.*give at most 4000, such as rng.choice\(a, 2000"):
        two_sample_test(np.zeros((3999, 1)), np.zeros((2, 1)), rng)
    with pytest.raises(ValueError, match="two_sample_test: most pairs of rows are equal.*give bandwidth="):
        two_sample_test(np.zeros((5, 2)), np.zeros((2, 2)), rng)
    two = rng.random((2, 50))
    a, b = two[[0] * 6 + [1] * 4], two[[0] * 3 + [1] * 2]  # 60 : 40, of the pairs 49 % are equal; the squares of equal ones round
    with pytest.raises(ValueError, match="two_sample_test: most pairs of rows are equal"):
        two_sample_test(two[[0] * 8 + [1] * 4], b, rng)
    assert two_sample_test(a, b, rng).bandwidth == pytest.approx(math.dist(*two))
    assert two_sample_test(a, a, rng, bandwidth=1).statistic <= 0
    with pytest.raises(ValueError, match="bandwidth must be a number between 0 and inf, both excluded, got -1"):
        two_sample_test(X, X, rng, bandwidth=-1)
    with pytest.raises(TypeError, match="bandwidth must be a number, got 'median'"):
        two_sample_test(X, X, rng, bandwidth="median")
    with pytest.raises(ValueError, match="permutations must be at least 1, got 0"):
        two_sample_test(X, X, rng, permutations=0)
    with pytest.raises(TypeError, match="two_sample_test: rng must be a numpy.random.Generator, got int"):
        two_sample_test(X, X, 0)


@pytest.mark.parametrize("quantile", [0, 1, -0.1, math.nan])
def test_a_quantile_is_between_0_and_1(quantile):
    with pytest.raises(ValueError, match="copy_test: quantile must be a number between 0 and 1, both excluded, got"):
        copy_test(X, X, X, quantile=quantile)


def test_rows_given_are_not_written_into(rng):
    a, b, before = X.copy(), X + 1, X.copy()
    two_sample_test(a, b, rng, 5), nearest_neighbors(a, b), copy_test(a, b, b + 0.1)
    np.testing.assert_array_equal(a, before)
    np.testing.assert_array_equal(b, before + 1)
