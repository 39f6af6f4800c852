"""softplus, sigmoid, log sigmoid and log-sum-exp: values, accuracy to the last digits, extremes, derivatives, types."""

import math

import exact
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import floats, seeds, sizes, values

from npvae.core.numerics import log_sigmoid, logsumexp, row_blocks, sigmoid, softplus

# a, softplus(a), sigmoid(a): correct in every digit
TABLE = [
    (-800, 0.0, 0.0),  # 3.7e-348, below the smallest float64
    (-40, 4.24835425529158899e-18, 4.24835425529158898e-18),
    (-5, 0.00671534848911806862, 0.00669285092428485556),
    (-1, 0.313261687518222834, 0.268941421369995121),
    (0, 0.693147180559945309, 0.5),
    (0.5, 0.974076984180106681, 0.622459331201854565),
    (1, 1.31326168751822283, 0.731058578630004879),
    (5, 5.00671534848911807, 0.993307149075715144),
    (40, 40.0, 0.999999999999999996),
    (800, 800.0, 1.0),
]

arguments = st.one_of(floats, st.floats(-40, 40, allow_subnormal=False), st.floats(-744, 1000, allow_subnormal=False))
extremes = [-1000.0, -745.0, -0.0, 0.0, 709.5, 1000.0]


@pytest.mark.parametrize("a, plus, gate", TABLE)
def test_softplus_and_sigmoid_reproduce_the_table(a, plus, gate):
    a = np.array([float(a)])
    assert softplus(a)[0] == pytest.approx(plus, rel=4 * 2**-53, abs=0)
    assert sigmoid(a)[0] == pytest.approx(gate, rel=4 * 2**-53, abs=0)
    assert log_sigmoid(-a)[0] == -softplus(a)[0]


@given(a=arguments)
@example(a=-745.0)
@example(a=1000.0)
def test_softplus_is_within_4_ulp(a):
    assert exact.ulps(softplus(np.float64(a)), exact.softplus(a)) <= 4
    assert exact.ulps(-log_sigmoid(np.float64(-a)), exact.softplus(a)) <= 4


@given(a=arguments)
@example(a=-744.0)
@example(a=1000.0)
def test_sigmoid_is_within_4_ulp(a):
    assert exact.ulps(sigmoid(np.float64(a)), exact.sigmoid(a)) <= 4


def test_the_accuracy_measure_rejects_the_naive_forms():
    """The forms that textbooks print lose their digits where ours keep them: the bound of 4 ulp is not empty."""
    a = np.float64(-40.0)
    assert exact.ulps(np.log(1 + np.exp(a)), exact.softplus(a)) > 1e15
    assert exact.ulps(0.5 * (1 + np.tanh(a / 2)), exact.sigmoid(a)) > 1e15
    for naive in (lambda a: np.log(1 + np.exp(a)), lambda a: 1 / (1 + np.exp(-a))):
        with pytest.raises(RuntimeWarning, match="overflow"):
            naive(np.array([800.0, -800.0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes_stay_finite_without_a_warning(dtype):
    a = np.array(extremes, dtype)
    for f in (softplus, sigmoid, log_sigmoid):
        assert f(a).dtype == dtype
        assert np.isfinite(f(a)).all()
    assert np.array_equal(softplus(a[[0, -1]]), [0, 1000])
    assert np.array_equal(log_sigmoid(a[[0, -1]]), [-1000, 0])
    assert np.array_equal(sigmoid(a[[0, -1]]), [0, 1])


def test_infinities_give_the_limits():
    a = np.array([-np.inf, np.inf])
    assert np.array_equal(softplus(a), [0, np.inf])
    assert np.array_equal(sigmoid(a), [0, 1])
    assert np.isnan(softplus(np.nan)) and np.isnan(sigmoid(np.nan))


@given(a=arguments)
def test_softplus_and_sigmoid_have_their_symmetries(a):
    """softplus(a) - softplus(-a) = a,  sigmoid(a) + sigmoid(-a) = 1."""
    a = np.float64(a)
    assert softplus(a) - softplus(-a) == pytest.approx(a, rel=1e-15, abs=1e-15)
    assert sigmoid(a) + sigmoid(-a) == pytest.approx(1, rel=1e-15)


# --- log-sum-exp ----------------------------------------------------------------------------------------------------------------


def test_logsumexp_reproduces_the_importance_weights():
    log_w = np.array([-1000.5, -999.25, -1003.0])
    total = logsumexp(log_w, axis=0)
    assert total == pytest.approx(-998.979955654754694, rel=1e-15)
    assert total - math.log(3) == pytest.approx(-1000.0785679434228, rel=1e-15)
    weights = [0.218702188334981923, 0.763345642836497431, 0.0179521688285206463]
    assert np.exp(log_w - total) == pytest.approx(weights, rel=1e-12)  # 1e3 u: the rounding of -998.98
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        np.log(np.sum(np.exp(log_w)))  # without the shift all three underflow


@given(shape=sizes(3), axis=st.integers(-3, 2), seed=seeds)
def test_logsumexp_sums_the_given_axis_away(shape, axis, seed):
    a = values(np.random.default_rng(seed), *shape)
    got = logsumexp(a, axis)
    assert got.shape == np.sum(a, axis).shape
    rows = np.moveaxis(a, axis, -1)
    want = [float(exact.logsumexp(*rows[j])) for j in np.ndindex(got.shape)]
    assert got.ravel() == pytest.approx(want, rel=1e-14, abs=1e-14)


@given(shift=st.floats(-1e4, 1e4), seed=seeds)
@example(shift=1e4, seed=0)
@example(shift=-1e4, seed=0)
def test_logsumexp_moves_with_a_shift(shift, seed):
    a = values(np.random.default_rng(seed), 3, 5)
    assert logsumexp(a + shift, 1) == pytest.approx(logsumexp(a, 1) + shift, abs=1e-11)


def test_logsumexp_of_impossible_terms_is_minus_infinity():
    a = np.array([[-np.inf, -np.inf], [-np.inf, 3.0], [0.0, -np.inf]])
    assert np.array_equal(logsumexp(a, axis=1), [-np.inf, 3, 0])


def test_logsumexp_passes_nan_and_infinity_on():
    a = np.array([[np.nan, 0.0], [np.inf, 0.0]])
    got = logsumexp(a, axis=1)
    assert np.isnan(got[0]) and got[1] == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_keeps_the_dtype(dtype):
    a = np.array([[1000, -1000], [88, 89]], dtype)
    for axis in (0, 1):
        assert logsumexp(a, axis).dtype == dtype
        assert np.isfinite(logsumexp(a, axis)).all()


@pytest.mark.parametrize("f", [softplus, sigmoid, log_sigmoid, lambda a: logsumexp(a, 1)])
def test_the_argument_is_left_as_it_was(f, rng):
    a = values(rng, 3, 5)
    before = a.tobytes()
    f(a)
    assert a.tobytes() == before


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 0), (41, 784), (42, 784), (100, 784), (1, 40_000), (3, 40_000), (70_000, 1)])
def test_blocks_of_rows_hold_each_row_once_in_order_and_never_much(shape):
    a = np.zeros(shape, np.int8)
    blocks = row_blocks(a)
    assert np.array_equal(np.concatenate([np.arange(len(a))[rows] for rows in blocks]), np.arange(len(a)))
    assert all(a[rows].size <= 2**15 or len(a[rows]) == 1 for rows in blocks)
    assert len(blocks) == max(1, math.ceil(len(a) / max(1, 2**15 // max(1, a.shape[1]))))  # nor are they crumbs
