"""The likelihoods: values against tables and exact arithmetic, gradients, and that they are the distributions they claim to be."""

import math

import exact
import numpy as np
import pytest
from derivatives import assert_agree, central_difference, complex_step
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import few, floats, seeds, sizes, values

from npvae import Bernoulli, Gaussian
from npvae.core.checks import NonFiniteError
from npvae.core.gaussian import log_density

# logit, x, nll, dnll/dlogit: correct in every digit
BERNOULLI_TABLE = [
    (-3, 0.25, 0.79858735157374205876, -0.20257412682243321912),
    (2.5, 1, 0.078889734292549623344, -0.075858180021243551193),
    (2.5, 0, 2.5788897342925496233, 0.9241418199787564488),
    (0, 0.5, 0.6931471805599453094, 0),
    (40, 1, 4.2483542552915889863e-18, -4.2483542552915889773e-18),
    (-30, 1, 30.000000000000093576, -0.99999999999990642377),
    (60, 0, 60, 1),
]
U = np.finfo(np.float64).eps
HALF_LOG_2PI = 0.9189385332046727

logits = st.one_of(floats, st.floats(-40, 40, allow_subnormal=False), st.floats(-744, 744, allow_subnormal=False))


def one(number):
    return np.array([[number]], float)


def likelihoods():
    return {"bernoulli": Bernoulli(), "fixed": Gaussian(0.7), "learned": Gaussian(0.7, learn=True)}


each_likelihood = pytest.mark.parametrize("kind", likelihoods())


def data(kind, rng, B, D):
    """Grey pixels for Bernoulli (black and white among them), real numbers for the Gaussian."""
    return np.clip(rng.uniform(-0.3, 1.3, (B, D)), 0, 1) if kind == "bernoulli" else values(rng, B, D)


# --- Bernoulli: values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("logit, x, nll, slope", BERNOULLI_TABLE)
def test_bernoulli_reproduces_the_table(logit, x, nll, slope):
    got, dout = Bernoulli().nll_and_grad(one(logit), one(x))
    assert got[0] == pytest.approx(nll, rel=4 * U, abs=0)
    assert dout[0, 0] == pytest.approx(slope, rel=4 * U, abs=0)


@given(logit=logits, x=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1, allow_subnormal=False)))
@example(logit=1000.0, x=0.0)
@example(logit=1000.0, x=1.0)
@example(logit=-1000.0, x=0.25)
@example(logit=37.3, x=1 - 1e-7)  # max(l, 0) - l x loses seven digits here
def test_bernoulli_nll_is_within_4_ulp(logit, x):
    assert exact.ulps(Bernoulli().nll(one(logit), one(x))[0], exact.bernoulli_nll(logit, x)) <= 4


@given(logit=logits, x=st.sampled_from([0.0, 1.0]))
@example(logit=744.0, x=1.0)
@example(logit=-744.0, x=0.0)
def test_bernoulli_gradient_is_within_4_ulp_on_black_and_white(logit, x):
    dout = Bernoulli().nll_and_grad(one(logit), one(x))[1][0, 0]
    assert exact.ulps(dout, exact.bernoulli_gradient(logit, x)) <= 4


@given(logit=logits, x=st.floats(0, 1, allow_subnormal=False))
def test_bernoulli_gradient_errs_by_2u_at_most_on_grey(logit, x):
    """sigmoid(l) - x crosses zero on grey x, so that only an absolute bound can hold."""
    dout = Bernoulli().nll_and_grad(one(logit), one(x))[1][0, 0]
    assert exact.error(dout, exact.bernoulli_gradient(logit, x)) <= 2 * U


def test_the_bounds_reject_clipped_probabilities_and_the_plain_difference():
    p = np.clip(1 / (1 + np.exp(30.0)), 1e-7, 1 - 1e-7)
    assert -np.log(p) == pytest.approx(16.118, abs=1e-3)  # where 30.0000 is right
    assert exact.ulps(-np.log(p), exact.bernoulli_nll(-30, 1)) > 1e15
    assert 1 / (1 + np.exp(-40.0)) - 1 == 0  # where -4.248e-18 is right


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bernoulli_stays_finite_at_the_extremes(dtype):
    out, x = np.array([[1000, 1000, -1000, -1000]], dtype), np.array([[0, 1, 0, 1]], dtype)
    nll, dout = Bernoulli().nll_and_grad(out, x)
    assert nll[0] == 2000
    assert np.array_equal(dout, [[1, 0, 0, -1]])


@pytest.mark.parametrize("D, nats", [(64, 44.361420), (784, 543.427390)])
def test_a_logit_of_zero_costs_log_2_a_pixel_whatever_the_pixel(D, nats, rng):
    assert Bernoulli().nll(np.zeros((3, D)), rng.random((3, D))) == pytest.approx([nats] * 3, abs=5e-7)


@pytest.mark.parametrize("x", [0.0, 0.001, 0.25, 0.5, 0.9, 1.0])
def test_the_grey_cross_entropy_is_least_where_the_mean_is_x(x):
    """Both terms matter: without the second, the white output would cost nothing."""
    grid = np.linspace(-12, 12, 4801)[:, None]
    nll = Bernoulli().nll(grid, np.full(grid.shape, x))
    best = Bernoulli().mean(grid[np.argmin(nll)])
    assert best == pytest.approx(x, abs=2e-3)
    if 0 < x < 1:
        logit = one(math.log(x / (1 - x)))
        entropy = -x * math.log(x) - (1 - x) * math.log(1 - x)
        assert Bernoulli().nll(logit, one(x))[0] == pytest.approx(entropy, rel=1e-14)
        assert Bernoulli().nll_and_grad(logit, one(x))[1][0, 0] == pytest.approx(0, abs=2 * U)


# --- Gaussian: values ------------------------------------------------------------------------------------------------------------


def test_gaussian_keeps_its_constants():
    """(x - out) / sigma = 2 in one pixel:  nll = 2 + log sigma + 1/2 log 2 pi;  784 pixels met exactly leave D/2 log 2 pi."""
    assert Gaussian(0.5).nll(one(1), one(2)) == pytest.approx([2 - math.log(2) + HALF_LOG_2PI], rel=1e-15)
    nll, dout = Gaussian().nll_and_grad(np.zeros((1, 784)), np.zeros((1, 784)))
    assert nll == pytest.approx([720.4478100324634], rel=1e-15) and not dout.any()


def test_squared_error_is_the_case_of_variance_one_half(rng):
    out, x = values(rng, 3, 5), values(rng, 3, 5)
    sse = np.sum((x - out) ** 2, axis=1)
    assert Gaussian(math.sqrt(0.5)).nll(out, x) == pytest.approx(sse + 5 / 2 * math.log(math.pi), rel=1e-14)
    assert Gaussian(1).nll(out, x) == pytest.approx(sse / 2 + 5 * HALF_LOG_2PI, rel=1e-14)


@given(shape=sizes(2), sigma=st.floats(0.05, 20), learn=st.booleans(), seed=seeds)
def test_gaussian_nll_is_minus_the_log_density(shape, sigma, learn, seed):
    rng = np.random.default_rng(seed)
    out, x = values(rng, *shape), values(rng, *shape)
    want = -log_density(x, out, np.full(shape, 2 * math.log(sigma)))
    assert Gaussian(sigma, learn=learn).nll(out, x) == pytest.approx(want, rel=1e-12, abs=1e-12)


@given(shape=sizes(2), sigma=st.floats(0.05, 20), seed=seeds)
def test_a_learned_sigma_gives_what_the_same_fixed_sigma_gives(shape, sigma, seed):
    rng = np.random.default_rng(seed)
    out, x, dnll = values(rng, *shape), values(rng, *shape), rng.random(shape[0])
    fixed, learned = (Gaussian(sigma, learn).nll_and_grad(out, x, dnll) for learn in (False, True))
    assert learned[0] == pytest.approx(fixed[0], rel=1e-12, abs=1e-12)
    assert learned[1] == pytest.approx(fixed[1], rel=1e-12)


@given(shape=sizes(2), seed=seeds)
def test_the_most_likely_variance_is_the_mean_squared_error(shape, seed):
    rng = np.random.default_rng(seed)
    out, x = values(rng, *shape), values(rng, *shape)
    gaussian = Gaussian(math.sqrt(np.mean((x - out) ** 2)), learn=True)
    gaussian.nll_and_grad(out, x)
    assert gaussian.dlog_sigma == pytest.approx([0], abs=1e-12)
    best = gaussian.nll(out, x).sum()
    for step in (-0.01, 0.01):
        gaussian.log_sigma += step
        assert gaussian.nll(out, x).sum() > best
        gaussian.log_sigma -= step


# --- derivatives -----------------------------------------------------------------------------------------------------------------


def gradient_case(kind, rng, B, D, weighted):
    """(f, arguments, gradient): the weighted nll as a function of out and, if learned, log sigma."""
    likelihood, x, out = likelihoods()[kind], data(kind, rng, B, D), values(rng, B, D)
    dnll = rng.normal(size=B) if weighted else None
    at, gradient = {"out": out}, {"out": likelihood.nll_and_grad(out, x, dnll)[1]}
    if kind == "learned":
        at["log_sigma"], gradient["log_sigma"] = likelihood.log_sigma.copy(), likelihood.dlog_sigma.copy()

    def f(a):
        twin = likelihood.astype(a["out"].dtype)
        if kind == "learned":
            twin.log_sigma = a["log_sigma"]
        return twin.nll(a["out"], x) * (1 if dnll is None else dnll)

    return f, at, gradient


@each_likelihood
@given(shape=sizes(2), weighted=st.booleans(), seed=seeds)
@example(shape=(1, 1), weighted=False, seed=0)
def test_the_gradient_agrees_with_the_complex_step(kind, shape, weighted, seed):
    f, at, gradient = gradient_case(kind, np.random.default_rng(seed), *shape, weighted)
    assert_agree(gradient, complex_step(f, at), rtol=1e-10)


@each_likelihood
@few
@given(shape=sizes(2), weighted=st.booleans(), seed=seeds)
def test_the_gradient_agrees_with_central_differences(kind, shape, weighted, seed):
    f, at, gradient = gradient_case(kind, np.random.default_rng(seed), *shape, weighted)
    assert_agree(gradient, central_difference(f, at), rtol=1e-6, floor=1e-7)


@pytest.mark.parametrize("logit", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
@pytest.mark.parametrize("x", [0.0, 0.3, 0.5, 1.0])
def test_bernoulli_gradient_is_the_complex_step_at_extremes_and_at_zero(logit, x):
    out, x = one(logit), one(x)
    numeric = complex_step(lambda out: Bernoulli().nll(out, x), out)
    assert_agree(Bernoulli().nll_and_grad(out, x)[1], numeric, rtol=1e-10, floor=0 if x[0, 0] != 0.5 else U)


@each_likelihood
@given(shape=sizes(2), seed=seeds)
def test_dnll_weighs_the_gradient_of_each_example_and_not_its_nll(kind, shape, seed):
    rng = np.random.default_rng(seed)
    likelihood, x, out, dnll = likelihoods()[kind], data(kind, rng, *shape), values(rng, *shape), rng.normal(size=shape[0])
    plain, weighted = likelihood.nll_and_grad(out, x), likelihood.nll_and_grad(out, x, dnll)
    assert np.array_equal(weighted[0], plain[0])
    assert weighted[1] == pytest.approx(dnll[:, None] * plain[1], rel=1e-14)
    assert np.array_equal(plain[0], likelihood.nll(out, x))


# --- the mean and its inverse --------------------------------------------------------------------------------------------------


def test_bernoulli_mean_is_a_probability():
    out = np.array([[-1000.0, -5.0, 0.0, 5.0, 1000.0]])
    assert Bernoulli().mean(out)[0] == pytest.approx([0, 0.00669285092428485556, 0.5, 0.993307149075715144, 1], rel=1e-15)


def test_output_for_mean_is_the_output_with_that_mean():
    mean = np.array([0.001, 0.1306604763, 0.5, 0.9, 0.999])
    assert Bernoulli().mean(Bernoulli().output_for_mean(mean)) == pytest.approx(mean, rel=1e-14)
    assert np.array_equal(Gaussian().mean(Gaussian().output_for_mean(mean)), mean)
    logit = math.log(999)  # a pixel that is always black or always white keeps a finite logit
    assert Bernoulli().output_for_mean(np.array([0.0, 1.0])) == pytest.approx([-logit, logit], rel=1e-12)


# --- purity and types ------------------------------------------------------------------------------------------------------------


@each_likelihood
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("B", [1, 3])
def test_the_dtype_is_kept_and_the_arguments_too(kind, dtype, B, rng):
    likelihood = likelihoods()[kind].astype(dtype)
    x, out, dnll = (a.astype(dtype) for a in (data(kind, rng, B, 5), values(rng, B, 5), rng.random(B)))
    before = [a.tobytes() for a in (out, x, dnll)]
    nll, dout = likelihood.nll_and_grad(out, x, dnll)
    results = [
        nll,
        dout,
        *likelihood.nll_and_grad(out, x),
        likelihood.nll(out, x),
        likelihood.mean(out),
        likelihood.sample(out, rng),
    ]
    assert [a.tobytes() for a in (out, x, dnll)] == before
    assert [a.dtype for a in results] == [dtype] * len(results)
    assert [a.shape for a in results] == [(B,), (B, 5)] * 2 + [(B,), (B, 5), (B, 5)]
    if kind == "learned":
        assert likelihood.log_sigma.dtype == likelihood.dlog_sigma.dtype == dtype


@each_likelihood
def test_calling_twice_gives_the_same_gradient(kind, rng):
    likelihood, x, out, dnll = likelihoods()[kind], data(kind, rng, 3, 5), values(rng, 3, 5), rng.random(3)
    first = likelihood.nll_and_grad(out, x, dnll)[1]
    own = likelihood.dlog_sigma.copy() if kind == "learned" else None
    likelihood.nll(out + 1, x)
    assert np.array_equal(likelihood.nll_and_grad(out, x, dnll)[1], first)
    if kind == "learned":
        assert np.array_equal(likelihood.dlog_sigma, own) and own.all()


@each_likelihood
def test_each_data_value_takes_one_output(kind):
    assert [likelihoods()[kind].n_outputs(D) for D in (1, 784)] == [1, 784]


# --- errors ----------------------------------------------------------------------------------------------------------------------


def test_a_batch_of_many_blocks_gives_the_very_numbers_of_its_rows_one_by_one(rng):
    """Bernoulli works through large batches block by block: no row is left out, and none is affected by its neighbours."""
    out, x, dnll = 5 * rng.standard_normal((100, 784)), rng.random((100, 784)), rng.random(100)
    nll, dout = Bernoulli().nll_and_grad(out, x, dnll)
    assert np.array_equal(Bernoulli().nll(out, x), nll)
    for b in range(100):
        one_nll, one_dout = Bernoulli().nll_and_grad(out[b : b + 1], x[b : b + 1], dnll[b : b + 1])
        assert one_nll[0] == nll[b] and np.array_equal(one_dout[0], dout[b])


def test_complex_logits_keep_their_imaginary_part_with_the_gradient_too(rng):
    out, x = rng.standard_normal((3, 5)) + 1e-30j * rng.standard_normal((3, 5)), rng.random((3, 5))
    nll, dout = Bernoulli().nll_and_grad(out, x)
    assert np.array_equal(nll, Bernoulli().nll(out, x)) and np.all(nll.imag != 0) and np.all(dout.imag != 0)


def test_a_value_outside_of_the_range_is_counted_among_all_blocks():
    x = np.zeros((100, 784))
    x[[3, 99], 5] = 2.0
    with pytest.raises(ValueError, match=r"x has 2 of 78400 values outside"):
        Bernoulli().nll_and_grad(np.zeros(x.shape), x)


@pytest.mark.parametrize("kind, name", [("bernoulli", "Bernoulli"), ("fixed", "Gaussian"), ("learned", "Gaussian")])
@pytest.mark.parametrize("method", ["nll", "nll_and_grad"])
def test_unequal_shapes_are_refused(kind, name, method):
    with pytest.raises(ValueError, match=rf"^{name}: out has shape \(3, 1\) but x has shape \(3, 5\); they must be equal"):
        getattr(likelihoods()[kind], method)(np.zeros((3, 1)), np.zeros((3, 5)))


@pytest.mark.parametrize("kind, name", [("bernoulli", "Bernoulli"), ("fixed", "Gaussian"), ("learned", "Gaussian")])
@pytest.mark.parametrize("dnll", [np.ones((3, 1)), np.ones(1), 1 / 3])
def test_a_weight_that_would_broadcast_is_refused(kind, name, dnll):
    """(B, 1) would make the gradient of a Gaussian (B, B, D)."""
    with pytest.raises(ValueError, match=rf"^{name}: dnll has shape \(.*\), expected \(3,\); one weight an example"):
        likelihoods()[kind].nll_and_grad(np.zeros((3, 5)), np.zeros((3, 5)), dnll)


@pytest.mark.parametrize(
    "x, n, message",
    [
        ([-0.5, 0.5, 1.5], "2 of 3", r"smallest -0.5, largest 1.5\); scale it to \[0, 1\], or use the Gaussian"),
        ([0.5, 1.5], "1 of 2", r"smallest 0.5, largest 1.5\); scale it"),
        ([-0.5, 1.0], "1 of 2", r"smallest -0.5, largest 1\); scale it"),
        ([0.0, 16.0], "1 of 2", r"smallest 0, largest 16\); scale it"),  # the grey levels of the bundled digits
        ([0.0, 17.0], "1 of 2", r"smallest 0, largest 17\); divide 8-bit images by 255"),
    ],
)
def test_bernoulli_refuses_values_outside_the_unit_interval(x, n, message):
    """At x = 1.5 the nll would fall without bound: -50 at logit 100, -500 at logit 1000."""
    for refuse in (Bernoulli().check_data, lambda x: Bernoulli().nll(np.zeros(x.shape), x)):
        with pytest.raises(ValueError, match=rf"^Bernoulli: x has {n} values outside \[0, 1\] \({message}"):
            refuse(np.array([x]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_bernoulli_says_where_the_data_are_broken(value):
    x = np.array([[0.0, 1.0], [0.5, value]])
    with pytest.raises(NonFiniteError, match=rf"^Bernoulli: x is {value} at \[1, 1\]; remove or repair such rows first"):
        Bernoulli().nll_and_grad(np.zeros((2, 2)), x)


def test_empty_data_are_no_violation():
    assert Bernoulli().nll(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0,)


@pytest.mark.parametrize("sigma", [0, -1.0, math.inf, math.nan, "1", None, True])
def test_gaussian_refuses_a_sigma_that_is_not_positive(sigma):
    with pytest.raises(ValueError, match=rf"^Gaussian: sigma must be a positive number, got {sigma!r}"):
        Gaussian(sigma)


@each_likelihood
@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0)])
def test_sample_wants_a_generator(kind, rng):
    name = type(likelihoods()[kind]).__name__
    with pytest.raises(TypeError, match=rf"^{name}.sample: rng must be a numpy.random.Generator, got {type(rng).__name__}"):
        likelihoods()[kind].sample(np.zeros((2, 2)), rng)


@pytest.mark.parametrize("kind", ["bernoulli", "fixed", "learned"])
def test_float64_data_of_a_float32_model_give_float64(kind, rng):
    out, x = rng.normal(size=(5, 3)).astype(np.float32), rng.random((5, 3))
    likelihood = likelihoods()[kind]
    nll, dout = likelihood.nll_and_grad(out, x)
    assert nll.dtype == dout.dtype == np.float64
    np.testing.assert_allclose(nll, likelihoods()[kind].nll(out.astype(np.float64), x), rtol=1e-6)  # exp takes float32 to float32
