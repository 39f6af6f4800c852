"""The continuous Bernoulli against exact arithmetic, from one end of the logits to the other, through 0 and in complex numbers."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import exact
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import floats

from npvae.beyond import ContinuousBernoulli
from npvae.beyond.likelihoods import SERIES, normalizer_and_mean

U = np.finfo(np.float64).eps

# lambda, log C, mean: correct in every digit
CONTINUOUS_BERNOULLI_TABLE = [
    (0.1, 1.01033855949085408, 0.330119613313418697),
    (0.3, 0.750587750880458752, 0.430222501143828668),
    (0.4, 0.706717456716220392, 0.466303462376431686),
    (0.49, 0.693280537010057672, 0.496666311036594427),
    (0.499, 0.69314851389558976, 0.499666666311110366),
    (0.5, 0.693147180559945309, 0.5),
    (0.9, 1.01033855949085408, 0.669880386686581303),
    (0.99, 1.54519754551289732, 0.792581901447143809),
]

logits = st.one_of(floats, st.floats(-1.01, 1.01, allow_subnormal=False), st.floats(-700, 700, allow_subnormal=False))


def one(number):
    return np.array([[number]], float)


def digits(a):
    """So many that at least 80 stay right where numbers like 1 / a cancel."""
    return 80 + 2 * max(0, -a.adjusted())


def continuous_bernoulli(logit):
    """log C, mean and 1 - mean from the exact value of the float."""
    with localcontext() as context:
        a = Decimal(float(logit))
        context.prec = digits(a)
        if a == 0:
            return Decimal(2).ln(), Decimal("0.5"), Decimal("0.5")
        e = (-a).exp()
        mean = 1 / (1 - e) - 1 / a
        return (a * (1 + e) / (1 - e)).ln(), mean, 1 - mean


@pytest.mark.parametrize("lam, log_c, mean", CONTINUOUS_BERNOULLI_TABLE)
def test_the_continuous_bernoulli_reproduces_the_table(lam, log_c, mean):
    logit = one(math.log(lam) - math.log1p(-lam))
    C, got, rest = normalizer_and_mean(logit)
    assert np.log(C[0, 0]) == pytest.approx(log_c, rel=1e-14, abs=0)
    assert got[0, 0] == pytest.approx(mean, rel=1e-14, abs=0) == ContinuousBernoulli().mean(logit)[0, 0]
    assert rest[0, 0] == pytest.approx(1 - mean, rel=1e-14, abs=0)
    for x in (0.0, 0.25, 1.0):
        nll, dout = ContinuousBernoulli().nll_and_grad(logit, one(x))
        assert nll[0] == pytest.approx(-log_c - x * math.log(lam) - (1 - x) * math.log1p(-lam), rel=1e-14, abs=4 * U)
        assert dout[0, 0] == pytest.approx(mean - x, rel=1e-14, abs=2 * U)


@given(logit=logits)
@example(logit=0.0)
@example(logit=1e-100)
@example(logit=-1e-9)
@example(logit=1.0)
@example(logit=np.nextafter(1, 0))
@example(logit=-1.1257909969)  # the worst of a scan of 1,000 logits: 1.71 units
@example(logit=700.0)
@example(logit=-700.0)
def test_log_c_mean_and_gradient_err_by_two_units_of_rounding_at_most(logit):
    """Measured over 1,000 logits within +-700: 1.6 u for log C, 1.7 u for the mean (u = 2.2e-16, relative)."""
    log_c, mean, rest = continuous_bernoulli(logit)
    C, got, got_rest = normalizer_and_mean(one(logit))
    for approximate, exactly in ((np.log(C), log_c), (got, mean), (got_rest, rest)):
        assert exact.error(approximate[0, 0], exactly) <= 2.5 * U * float(exactly)
    slopes = [ContinuousBernoulli().nll_and_grad(one(logit), one(x))[1][0, 0] for x in (0.0, 1.0)]
    assert slopes == [got[0, 0], -got_rest[0, 0]]  # no cancellation for black and white


@given(logit=logits, x=st.floats(0, 1, allow_subnormal=False))
def test_the_nll_errs_by_rounding_only(logit, x):
    with localcontext() as context:
        a = Decimal(float(logit))
        context.prec = digits(a)
        want = (((a.exp() - 1) / a).ln() if a else Decimal(0)) - a * Decimal(x)  # log of the integral of e^(lx), minus l x
    got = ContinuousBernoulli().nll(one(logit), one(x))[0]
    assert exact.error(got, want) <= 4 * U * max(1, abs(float(want)))


def test_the_series_has_the_numbers_of_bernoulli_over_factorials():
    """Akiyama and Tanigawa's triangle, in fractions."""
    for k, coefficient in enumerate(SERIES, start=1):
        row = [Fraction(1, m + 1) for m in range(2 * k + 1)]
        for _ in range(2 * k):
            row = [(m + 1) * (row[m] - row[m + 1]) for m in range(len(row) - 1)]
        assert coefficient == float(row[0] / math.factorial(2 * k))


@pytest.mark.parametrize("dtype, largest", [(np.float32, 80.0), (np.float64, 700.0)])
def test_it_is_finite_from_end_to_end(dtype, largest):
    out = np.concatenate([[0, 1e-38], np.linspace(-largest, largest, 2001), [-1e30, 1e30]]).astype(dtype)[:, None]
    for x in (0, 0.5, 1):
        nll, dout = ContinuousBernoulli().nll_and_grad(out, np.full(out.shape, x, dtype))
        assert np.isfinite(nll).all() and np.isfinite(dout).all() and np.abs(dout).max() <= 1


@pytest.mark.parametrize("step", [1e-30, -1e-30, 1e-12])
@pytest.mark.parametrize("x", [0.0, 0.3, 0.5, 1.0])
def test_the_continuous_bernoulli_is_complex_safe_everywhere(x, step):
    """At exactly 0 too, next to it, and on both sides of the seam at |l| = 1."""
    out = np.array([0, -0.0, 1e-300, 1e-16, -1e-8, 1e-3, np.nextafter(1, 0), 1, -1, np.nextafter(-1, 0), 40, -40, 700, -700, 1e5])
    out = out[:, None]
    numeric = ContinuousBernoulli().nll(out + 1j * step, np.full(out.shape, x)).imag / step
    analytic = ContinuousBernoulli().nll_and_grad(out, np.full(out.shape, x))[1][:, 0]
    assert numeric == pytest.approx(analytic, abs=4 * U)
    of_c, of_mean, of_rest = (part.imag / step for part in normalizer_and_mean(out[:2] + 1j * step))
    assert of_c == pytest.approx(np.zeros((2, 1)), abs=1e-11)
    assert of_mean == pytest.approx(np.full((2, 1), 1 / 12), rel=1e-14) and np.array_equal(of_rest, -of_mean)
