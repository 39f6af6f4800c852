"""The likelihoods of volume two: derivatives, literal references, what must not change a loss, and what is told about wrong
arguments. Their distributions and samplers are in test_beyond_distributions.py, exact values in test_continuous_bernoulli.py."""

import math

import numpy as np
import pytest
from derivatives import assert_agree, central_difference, complex_step
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import floats, seeds, sizes, values

from npvae import VAE, Bernoulli, Gaussian
from npvae.beyond import Categorical, ContinuousBernoulli, DiagonalGaussian
from npvae.core.checks import NonFiniteError
from npvae.models import from_config
from npvae.verify.likelihood import check_likelihood

U = np.finfo(np.float64).eps
N = 40_000  # samples
CLASSES = 3


def likelihoods():
    return {"pixels": DiagonalGaussian(0.3), "continuous": ContinuousBernoulli(), "categorical": Categorical(CLASSES)}


each_likelihood = pytest.mark.parametrize("kind", likelihoods())


def one(number):
    return np.array([[number]], float)


def one_hot(rng, B, L, n=CLASSES):
    """Random classes, (B, L n)."""
    return np.eye(n)[rng.integers(0, n, (B, L))].reshape(B, L * n)


def drawn(kind, rng, B, L):
    """out and x of that likelihood: L pixels, or L letters."""
    D = L * CLASSES if kind == "categorical" else L
    out = values(rng, B, likelihoods()[kind].n_outputs(D))
    if kind == "categorical":
        return out, one_hot(rng, B, L)
    return out, np.clip(rng.uniform(-0.3, 1.3, (B, D)), 0, 1) if kind == "continuous" else values(rng, B, D)


# --- derivatives -----------------------------------------------------------------------------------------------------------------


@each_likelihood
@given(shape=sizes(2), weighted=st.booleans(), seed=seeds)
@example(shape=(1, 1), weighted=False, seed=0)
def test_the_gradient_agrees_with_the_complex_step(kind, shape, weighted, seed):
    rng = np.random.default_rng(seed)
    likelihood, (out, x) = likelihoods()[kind], drawn(kind, rng, *shape)
    dnll = rng.normal(size=shape[0]) if weighted else None
    analytic = likelihood.nll_and_grad(out, x, dnll)[1]
    numeric = complex_step(lambda out: likelihood.nll(out, x) * (1 if dnll is None else dnll), out)
    assert_agree(analytic, numeric, rtol=1e-10)
    assert np.linalg.norm(analytic - numeric) <= 1e-13 * np.linalg.norm(numeric)


@each_likelihood
def test_the_gradient_agrees_with_central_differences(kind, rng):
    likelihood, (out, x) = likelihoods()[kind], drawn(kind, rng, 3, 5)
    assert_agree(
        likelihood.nll_and_grad(out, x)[1], central_difference(lambda out: likelihood.nll(out, x), out), rtol=1e-6, floor=1e-7
    )


@each_likelihood
def test_check_likelihood_finds_nothing(kind, rng):
    out, x = drawn(kind, rng, 3, 5)
    check_likelihood(likelihoods()[kind], out, x).assert_ok()


@pytest.mark.parametrize("s", [-1000.0, 2 * math.log(0.3), 0.0, 700.0])
def test_the_pixel_variance_is_complex_safe_at_its_floor_and_at_extremes(s):
    out, x = np.array([[0.5, s]]), one(1.2)
    numeric = complex_step(lambda out: DiagonalGaussian(0.3).nll(out, x), out)
    assert_agree(DiagonalGaussian(0.3).nll_and_grad(out, x)[1], numeric, rtol=1e-13)


@each_likelihood
@given(shape=sizes(2), seed=seeds)
def test_dnll_weighs_the_gradient_of_each_example_and_not_its_nll(kind, shape, seed):
    rng = np.random.default_rng(seed)
    likelihood, (out, x), dnll = likelihoods()[kind], drawn(kind, rng, *shape), rng.normal(size=shape[0])
    plain, weighted = likelihood.nll_and_grad(out, x), likelihood.nll_and_grad(out, x, dnll)
    assert np.array_equal(weighted[0], plain[0])
    assert weighted[1] == pytest.approx(dnll[:, None] * plain[1], rel=1e-14)
    assert np.array_equal(plain[0], likelihood.nll(out, x))


@each_likelihood
def test_a_whole_model_has_the_right_gradient(kind, rng):
    L, Z = 4, 2
    likelihood, (_, x) = likelihoods()[kind], drawn(kind, rng, 3, L)
    model = VAE.dense(x.shape[1], (5,), Z, likelihood, rng=rng, dtype=np.float64)
    eps, twin = model.noise(3, rng), model.astype(complex)
    model.loss_and_grad(x, eps, beta=1.7)

    def f(theta):
        twin.params.theta = theta
        return twin.loss(x, eps, beta=1.7).total

    numeric = complex_step(f, model.params.theta.copy())
    assert np.linalg.norm(model.params.grad - numeric) <= 1e-13 * np.linalg.norm(numeric)


# --- literal references ----------------------------------------------------------------------------------------------------------


def pixel_nll(out, x, min_sigma):
    """One example: sum_d 1/2 ( (x - m)^2 / sigma^2 + log sigma^2 + log 2 pi ), out = m_1 .. m_D, s_1 .. s_D       [PIX-1, -2]"""
    total = 0.0
    for d in range(len(x)):
        variance = min_sigma**2 + math.exp(out[len(x) + d])
        total += 0.5 * ((x[d] - out[d]) ** 2 / variance + math.log(variance) + math.log(2 * math.pi))
    return total


def continuous_bernoulli_nll(out, x):
    """One example: -sum_d log( C lambda^x (1 - lambda)^(1-x) ) with the C of the paper                             [CB-1, -2]"""
    total = 0.0
    for logit, value in zip(out, x):
        lam = 1 / (1 + math.exp(-logit))
        C = 2 * math.atanh(1 - 2 * lam) / (1 - 2 * lam)
        total -= math.log(C * lam**value * (1 - lam) ** (1 - value))
    return total


def categorical_nll(out, x, n):
    """One example: -sum over the places of log( e^a_i / sum_j e^a_j ), i the place's letter                      [CAT-1, -2]"""
    total = 0.0
    for start in range(0, len(x), n):
        group = [math.exp(a) for a in out[start : start + n]]
        total -= math.log(group[x[start : start + n].index(1.0)] / sum(group))
    return total


@each_likelihood
@given(shape=sizes(2), seed=seeds)
def test_the_nll_agrees_with_literal_loops(kind, shape, seed):
    out, x = drawn(kind, np.random.default_rng(seed), *shape)
    literal = {
        "pixels": lambda out, x: pixel_nll(out, x, 0.3),
        "continuous": continuous_bernoulli_nll,
        "categorical": lambda out, x: categorical_nll(out, x, CLASSES),
    }[kind]
    want = [literal(*rows) for rows in zip(out.tolist(), x.tolist())]
    tolerance = 1e-9 if kind == "continuous" else 1e-12  # 1 - 2 lambda loses digits near 1/2
    assert likelihoods()[kind].nll(out, x) == pytest.approx(want, rel=tolerance, abs=tolerance)


@given(shape=sizes(2), sigma=st.floats(0.5, 20), seed=seeds)
def test_with_one_variance_for_all_it_is_the_gaussian(shape, sigma, seed):
    rng = np.random.default_rng(seed)
    m, x = values(rng, *shape), values(rng, *shape)
    out = np.hstack([m, np.full(shape, math.log(sigma**2 - 0.09))])
    nll, dout = DiagonalGaussian(0.3).nll_and_grad(out, x)
    want, dm = Gaussian(sigma).nll_and_grad(m, x)
    assert nll == pytest.approx(want, rel=1e-12)
    assert dout[:, : shape[1]] == pytest.approx(dm, rel=1e-11, abs=1e-14)


def test_the_floor_bounds_the_likelihood_of_a_pixel_that_never_changes():
    met = np.array([[0.7, -1e6]])  # s -> -infinity
    nll, dout = DiagonalGaussian(0.1).nll_and_grad(met, one(0.7))
    assert nll[0] == pytest.approx(math.log(0.1) + 0.5 * math.log(2 * math.pi), rel=1e-14)
    assert np.array_equal(dout, [[0, 0]])
    assert DiagonalGaussian(0.1).nll(np.array([[0.7, 500.0]]), one(0.7))[0] == pytest.approx(250 + 0.9189385332046727, rel=1e-14)


@given(a=floats, b=floats, first=st.booleans())
def test_two_classes_are_a_bernoulli_on_the_difference_of_the_logits(a, b, first):
    out, x = np.array([[a, b]]), np.array([[float(first), float(not first)]])
    nll, dout = Categorical(2).nll_and_grad(out, x)
    want, slope = Bernoulli().nll_and_grad(one(a - b), one(float(first)))
    assert nll == pytest.approx(want, rel=1e-12, abs=4 * U)
    assert dout[0] == pytest.approx([slope[0, 0], -slope[0, 0]], abs=4 * U)


@pytest.mark.parametrize("L, n", [(1, 2), (5, 3), (7, 30)])
def test_logits_of_zero_cost_log_n_a_place(L, n, rng):
    assert Categorical(n).nll(np.zeros((4, L * n)), one_hot(rng, 4, L, n)) == pytest.approx([L * math.log(n)] * 4, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_softmax_stays_finite_at_the_extremes(dtype):
    out, x = np.array([[1e4, 0, -1e4]], dtype), np.eye(3, dtype=dtype)
    nll, dout = Categorical(3).nll_and_grad(np.repeat(out, 3, axis=0), x)
    assert np.array_equal(nll, [0, 1e4, 2e4])
    assert np.array_equal(dout, [[0, 0, 0], [1, -1, 0], [1, 0, -1]])


# --- the mean and its inverse --------------------------------------------------------------------------------------------------


def test_output_for_mean_is_the_output_with_that_mean():
    mean = np.array([0.001, 0.1306604763, 0.5, 0.9, 0.999])
    continuous = ContinuousBernoulli().output_for_mean(mean)
    assert ContinuousBernoulli().mean(continuous) == pytest.approx(mean, rel=1e-13)
    assert continuous[[0, 2, 4]] == pytest.approx([-1000, 0, 1000], rel=1e-10, abs=1e-14)
    assert np.array_equal(ContinuousBernoulli().output_for_mean(np.array([0.0, 1.0])), continuous[[0, 4]])

    pixels = DiagonalGaussian().output_for_mean(mean)
    assert np.array_equal(DiagonalGaussian().mean(pixels[None])[0], mean) and np.array_equal(pixels[5:], np.zeros(5))

    letters = np.array([0.2, 0.3, 0.5, 0.0, 0.0, 1.0])
    p = Categorical(3).mean(Categorical(3).output_for_mean(letters)[None])[0]
    assert p[:3] == pytest.approx(letters[:3], rel=1e-14)
    assert p[3:] == pytest.approx([1 / 1002, 1 / 1002, 1000 / 1002], rel=1e-14)


@each_likelihood
def test_a_model_starts_at_the_mean_of_the_data(kind, rng):
    _, x = drawn(kind, rng, 50, 4)
    model = VAE.dense(x.shape[1], (5,), 2, likelihoods()[kind], rng=rng, dtype=np.float64, output_mean=x.mean(axis=0))
    model.decoder.layers[-1].W = np.zeros_like(model.decoder.layers[-1].W)
    assert model.reconstruct(x[:1])[0] == pytest.approx(x.mean(axis=0), rel=1e-12)


def test_how_many_outputs_each_data_value_takes():
    counts = {kind: [likelihood.n_outputs(D) for D in (1, 6)] for kind, likelihood in likelihoods().items()}
    assert counts == {"pixels": [2, 12], "continuous": [1, 6], "categorical": [1, 6]}


# --- what must not change ------------------------------------------------------------------------------------------------------


@each_likelihood
@given(shape=sizes(2), seed=seeds)
def test_each_example_is_judged_alone(kind, shape, seed):
    rng = np.random.default_rng(seed)
    out, x = drawn(kind, rng, *shape)
    order = rng.permutation(np.repeat(np.arange(len(x)), 2))
    nll, dout = likelihoods()[kind].nll_and_grad(out, x)
    again, dagain = likelihoods()[kind].nll_and_grad(out[order], x[order])
    assert again == pytest.approx(nll[order], rel=1e-13, abs=1e-13) and dagain == pytest.approx(dout[order], rel=1e-13)


@each_likelihood
@given(seed=seeds)
def test_the_order_of_the_pixels_or_places_does_not_matter(kind, seed):
    rng = np.random.default_rng(seed)
    B, L = 3, 5
    out, x = drawn(kind, rng, B, L)
    order = rng.permutation(L)

    def shuffled(rows):
        parts = rows.reshape(B, 2, L, 1) if rows.shape[1] == 2 * L else rows.reshape(B, 1, L, rows.shape[1] // L)
        return parts[:, :, order].reshape(rows.shape)

    nll, dout = likelihoods()[kind].nll_and_grad(out, x)
    again, dagain = likelihoods()[kind].nll_and_grad(shuffled(out), shuffled(x))
    assert again == pytest.approx(nll, rel=1e-13) and np.array_equal(dagain, shuffled(dout))


@given(shift=st.floats(-1e4, 1e4), seed=seeds)
def test_a_number_added_to_all_logits_of_a_place_changes_nothing(shift, seed):
    out, x = drawn("categorical", np.random.default_rng(seed), 3, 5)
    shifts = np.repeat(shift * np.linspace(-1, 1, 5), CLASSES)
    nll, dout = Categorical(CLASSES).nll_and_grad(out, x)
    again, dagain = Categorical(CLASSES).nll_and_grad(out + shifts, x)
    assert again == pytest.approx(nll, rel=1e-10) and dagain == pytest.approx(dout, abs=1e-10)
    assert dout.reshape(3, 5, CLASSES).sum(axis=2) == pytest.approx(np.zeros((3, 5)), abs=4 * U)


@given(shape=sizes(2), seed=seeds)
def test_black_and_white_exchanged_are_the_logits_negated(shape, seed):
    out, x = drawn("continuous", np.random.default_rng(seed), *shape)
    nll, dout = ContinuousBernoulli().nll_and_grad(out, x)
    again, dagain = ContinuousBernoulli().nll_and_grad(-out, 1 - x)
    assert again == pytest.approx(nll, rel=1e-12, abs=1e-13) and -dagain == pytest.approx(dout, abs=4 * U)


@each_likelihood
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("B", [1, 3])
def test_the_dtype_is_kept_and_the_arguments_too(kind, dtype, B, rng):
    likelihood, (out, x) = likelihoods()[kind].astype(dtype), drawn(kind, rng, B, 5)
    out, x, dnll = (a.astype(dtype) for a in (out, x, rng.random(B)))
    before = [a.tobytes() for a in (out, x, dnll)]
    for a in (out, x, dnll):
        a.flags.writeable = False
    pairs = [likelihood.nll_and_grad(out, x, dnll), likelihood.nll_and_grad(out, x)]
    nlls, douts = [*(nll for nll, _ in pairs), likelihood.nll(out, x)], [dout for _, dout in pairs]
    rows = [likelihood.mean(out), likelihood.sample(out, rng)]
    assert [a.tobytes() for a in (out, x, dnll)] == before
    assert {a.dtype for a in [*nlls, *douts, *rows]} == {np.dtype(dtype)}
    assert [a.shape for a in nlls] == [(B,)] * 3 and [a.shape for a in douts] == [out.shape] * 2
    assert [a.shape for a in rows] == [x.shape] * 2
    if dtype == np.float32:
        nll, dout = likelihood.nll_and_grad(out.astype(float), x.astype(float), dnll.astype(float))
        assert nlls[0] == pytest.approx(nll, rel=1e-5) and douts[0] == pytest.approx(dout, rel=1e-4, abs=1e-6)


@each_likelihood
def test_a_model_is_rebuilt_from_its_config(kind, rng):
    model = VAE.dense(6, (5,), 2, likelihoods()[kind], rng=rng)
    again = from_config(model.config())
    assert again.config() == model.config() and type(again.likelihood) is type(model.likelihood)
    assert again.params.size == model.params.size


def test_the_config_holds_the_arguments():
    assert DiagonalGaussian(0.3).config() == {"type": "DiagonalGaussian", "min_sigma": 0.3}
    assert Categorical(7).config() == {"type": "Categorical", "n_classes": 7}
    assert DiagonalGaussian().min_sigma == 0.01
    assert not isinstance(ContinuousBernoulli(), Bernoulli), "grey data are no cross-entropy under it"


# --- errors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "1", None, True])
def test_a_floor_that_is_not_positive_is_refused(value):
    with pytest.raises(ValueError, match=rf"^DiagonalGaussian: min_sigma must be a positive number, got {value!r}"):
        DiagonalGaussian(value)


@pytest.mark.parametrize("n, error", [(0, ValueError), (1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_a_number_of_classes_that_makes_no_choice_is_refused(n, error):
    with pytest.raises(error, match="^Categorical: n_classes must be"):
        Categorical(n)


@pytest.mark.parametrize(
    "kind, message",
    [
        ("pixels", r"^DiagonalGaussian: out has shape \(2, 6\), expected \(2, 12\); means, then s"),
        ("continuous", r"^ContinuousBernoulli: out has shape \(2, 12\) but x has shape \(2, 6\); they must be equal"),
        ("categorical", r"^Categorical: out has shape \(2, 12\) but x has shape \(2, 6\); they must be equal"),
    ],
)
@pytest.mark.parametrize("method", ["nll", "nll_and_grad"])
def test_outputs_that_do_not_fit_the_data_are_refused(kind, message, method):
    out, x = np.zeros((2, 6 if kind == "pixels" else 12)), np.eye(3)[[[0, 1], [2, 0]]].reshape(2, 6)
    with pytest.raises(ValueError, match=message):
        getattr(likelihoods()[kind], method)(out, x)


@each_likelihood
@pytest.mark.parametrize("dnll", [np.ones((3, 1)), np.ones(1), 1 / 3])
def test_a_weight_that_would_broadcast_is_refused(kind, dnll, rng):
    with pytest.raises(ValueError, match=r": dnll has shape \(.*\), expected \(3,\); one weight an example"):
        likelihoods()[kind].nll_and_grad(*drawn(kind, rng, 3, 5), dnll)


@pytest.mark.parametrize(
    "x, message",
    [
        ([-0.5, 0.5, 1.5], r"2 of 3 values outside \[0, 1\] \(smallest -0.5, largest 1.5\); scale it to \[0, 1\]"),
        ([0.5, 1.5], r"1 of 2 values outside .* scale it"),
        ([-0.5, 1.0], r"1 of 2 values outside .* scale it"),
        ([0.0, 255.0], r"1 of 2 values outside .*; divide 8-bit images by 255"),
    ],
)
def test_the_continuous_bernoulli_refuses_values_outside_the_unit_interval(x, message):
    for refuse in (ContinuousBernoulli().check_data, lambda x: ContinuousBernoulli().nll(np.zeros(x.shape), x)):
        with pytest.raises(ValueError, match=f"^ContinuousBernoulli: x has {message}"):
            refuse(np.array([x]))
    ContinuousBernoulli().check_data(np.zeros((0, 5)))


@pytest.mark.parametrize("group", [[0, 0, 0], [1, 1, 0], [0.2, 0.3, 0.5], [2, -1, 0], [0, 0, 2]])
def test_the_categorical_says_which_row_and_place_is_not_one_hot(group):
    x = np.array([[0, 1, 0, 1, 0, 0], [0, 0, 1, *group]], float)
    for refuse in (Categorical(3).check_data, lambda x: Categorical(3).nll(np.zeros(x.shape), x)):
        with pytest.raises(
            ValueError, match=r"^Categorical: x is not one-hot in row 1, place 1: \[.*\(1 of 4 groups of 3 are wrong"
        ):
            refuse(x)
    Categorical(3).check_data(np.zeros((0, 6)))


def test_the_categorical_refuses_columns_that_are_no_groups():
    with pytest.raises(ValueError, match="^Categorical: x has 7 columns, which are not groups of 3 classes"):
        Categorical(3).check_data(np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"^Categorical: out has shape \(6,\), expected \(B, L n\)"):
        Categorical(3).mean(np.zeros(6))


@pytest.mark.parametrize("kind", ["continuous", "categorical"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_broken_data_are_named(kind, value):
    x = np.array([[0.0, 1.0, 0.0], [0.0, value, 1.0]])
    with pytest.raises(NonFiniteError, match=rf": x is {value} at \[1, 1\]; remove or repair such rows first"):
        likelihoods()[kind].nll_and_grad(np.zeros((2, 3)), x)


@each_likelihood
@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0)])
def test_sample_wants_a_generator(kind, rng):
    name = type(likelihoods()[kind]).__name__
    with pytest.raises(TypeError, match=rf"^{name}.sample: rng must be a numpy.random.Generator, got {type(rng).__name__}"):
        likelihoods()[kind].sample(np.zeros((2, 6)), rng)
