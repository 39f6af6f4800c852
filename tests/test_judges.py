"""The judges on functions whose derivatives are known: differences, the complex step and its traps, noise, the chi-square bound,
Taylor rates, the V-curve, the z-test. What the checks make of them is in test_check_gradient.py."""

import math
import re

import numpy as np
import pytest
from random_networks import draw

from npvae.core.gaussian import reparameterize, reparameterize_backward
from npvae.verify.derivatives import (
    central_difference,
    complex_step,
    forward_difference,
    richardson,
    taylor_rates,
    unbiasedness,
    v_curve,
)
from npvae.verify.directions import chi2_lower_quantile, directions, disagreements, worst_entry
from npvae.verify.function import Function
from npvae.verify.kinks import second_look
from npvae.verify.slopes import STEPS, complex_noise, noise, norm, steady
from npvae.verify.traps import complex_trap

THETA = {"W": np.array([[0.3, -1.2], [2.0, 0.7], [-0.4, 1.5]]), "b": np.array([0.9, -0.2])}


def loss(t):
    return np.sum(np.tanh(t["W"]) @ t["b"] ** 2) + np.sum(np.exp(t["b"]))


def loss_gradient(t):
    y = np.tanh(t["W"])
    return {"W": (1 - y**2) * t["b"] ** 2, "b": 2 * t["b"] * y.sum(axis=0) + np.exp(t["b"])}


def largest_error(found, expected):
    return max(np.max(np.abs(found[name] - expected[name])) for name in expected)


# --- the four methods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, least, most",
    [(complex_step, 0, 1e-15), (richardson, 1e-15, 1e-11), (central_difference, 1e-13, 1e-9), (forward_difference, 1e-10, 1e-6)],
)
def test_a_gradient_has_the_structure_of_theta_and_the_error_of_its_method(method, least, most):
    found = method(loss, THETA)
    assert list(found) == ["W", "b"] and found["W"].shape == (3, 2)
    assert least <= largest_error(found, loss_gradient(THETA)) <= most


@pytest.mark.parametrize("method", [complex_step, richardson, central_difference, forward_difference])
def test_an_array_gives_an_array_and_a_number_a_number(method):
    assert method(lambda t: np.sum(t**2), np.array([[1.0, 2.0]])) == pytest.approx(np.array([[2.0, 4.0]]), rel=1e-6)
    assert method(np.sin, 0.3) == pytest.approx(math.cos(0.3), rel=1e-6)
    assert np.shape(method(np.sin, 0.3)) == ()


@pytest.mark.parametrize("method, order", [(forward_difference, 1), (central_difference, 2), (richardson, 4)])
def test_halving_a_long_step_divides_the_error_by_two_to_the_order(method, order):
    x = np.array([0.4])
    errors = [abs(method(lambda t: np.exp(t[0]), x, h=h)[0] - np.exp(0.4)) for h in (0.1, 0.05)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_steps_scale_with_large_entries():
    x = np.array([1e9, 1e9])
    assert central_difference(lambda t: np.sum(t**2), x) == pytest.approx(2 * x, rel=1e-9)


def test_a_function_that_the_complex_step_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"complex_step: .*real number for complex theta.*Use richardson"):
        complex_step(lambda t: np.linalg.norm(t), np.ones(3))


# --- steps and noise ------------------------------------------------------------------------------------------------------------


def sigma_of(f, theta):
    return noise(Function("test", f, theta))


def test_noise_is_a_rounding_or_so_of_a_plain_sum_and_follows_its_scale():
    x = np.random.default_rng(0).normal(size=20)
    for scale in (1e-300, 1e-12, 1.0, 1e200):
        sigma = sigma_of(lambda t, s=scale: s * np.sum(np.exp(t)), x)
        assert 0.1 < sigma / (scale * np.sum(np.exp(x)) * 1.1e-16) < 30


def test_noise_sees_cancellation_and_float32():
    x = np.random.default_rng(0).normal(size=20)
    cancelled = sigma_of(lambda t: (1e8 + np.sum(np.sin(t))) - 1e8, x)
    assert 1e-9 < cancelled < 1e-7  # u 1e8 = 1.1e-8
    single = sigma_of(lambda t: np.sum(np.exp(t.astype(np.float32))), x)
    assert 1e-7 < single < 1e-4


def test_noise_is_not_fooled_by_a_steep_function():
    assert sigma_of(lambda t: np.sum(np.sin(1e8 * t)), np.array([0.3])) < 1e-6


def test_complex_noise_finds_a_cancellation_in_the_derivative():
    F = Function("test", lambda t: np.sum(np.exp(t) - t), np.full(3, 1e-9))  # e^x - 1 of 1e-9 keeps half of its digits
    d = np.ones(3)
    error = abs(np.imag(F(F.theta + 1e-30j)).sum() / 1e-30 - 3 * math.expm1(1e-9))
    assert 1e-17 < complex_noise(F, d) < 1e-15 and error < 20 * complex_noise(F, d)


@pytest.mark.parametrize("k", [1, 1e3, 1e6])
def test_a_steep_function_gets_a_shorter_step(k):
    F = Function("test", lambda t: np.sum(np.sin(k * t)), np.array([0.3]))
    slope, h = steady(F, np.ones(1), STEPS["richardson"])
    assert slope.sum() == pytest.approx(k * math.cos(0.3 * k), rel=1e-6)
    assert h * k < 0.1


def test_norm_neither_overflows_nor_vanishes():
    assert norm([3e-200, 4e-200]) == pytest.approx(5e-200) and norm([3e200, 4e200]) == pytest.approx(5e200) and norm([0.0]) == 0


# --- traps of the complex step: each with a right gradient ----------------------------------------------------------------------

X = np.array([1.5, -1.5, 0.4, -0.3])


def into_buffer(t):
    buffer = np.zeros(4)
    buffer[:] = t
    return np.sum(buffer**2)


def with_out(t):
    return np.sum(np.exp(t, out=np.empty(4)))


UNFIT = {  # name: f and the decisive words of the reason
    "abs": (lambda t: np.sum(np.abs(t) * t**2), "np.abs"),
    "abs alone": (lambda t: np.sum(np.abs(t)), "gives a real number"),
    "sign": (lambda t: np.sum(np.sign(t) * t), "factor 2 is what np.sign"),
    "var": (lambda t: np.var(t) + np.sum(t), "np.var"),
    "std": (lambda t: np.std(t) + np.sum(t), "np.std"),
    "norm": (lambda t: np.linalg.norm(t), "np.linalg.norm"),
    "norm of a weight decay": (lambda t: np.sum(np.tanh(t)) + 1e-5 * np.linalg.norm(t) ** 2, "np.linalg.norm"),
    "vdot": (lambda t: np.vdot(t, t), "np.vdot"),
    "conj": (lambda t: np.sum(t.conj() * t), "conj"),
    "astype": (lambda t: np.sum(t.astype(float) ** 2), "ComplexWarning"),
    "buffer": (into_buffer, "buffer of floats"),
    "logaddexp": (lambda t: np.sum(np.logaddexp(0, t)), "TypeError.*logaddexp"),
    "heaviside": (lambda t: np.sum(np.heaviside(t, 0) * t**2), "heaviside"),
    "out": (with_out, "does not take complex numbers"),
    "math": (lambda t: sum(math.exp(v) for v in t), "math.exp"),
    "other value": (lambda t: np.sum(t**2) + (1j if np.iscomplexobj(t) else 0), "for theta as complex numbers"),
    "real": (lambda t: np.sum(t.real**2), r"\.real or a cast"),
    "float": (lambda t: float(np.sum(t**2)), "complex numbers"),
}
FIT = {
    "powers": lambda t: np.sum(np.exp(t) + np.log(t**2 + 1) + np.sqrt(t**2 + 1) + 1 / (t**2 + 1)),
    "max for abs": lambda t: np.sum(np.maximum(t, -t)),
    "clip": lambda t: np.sum(np.clip(t, -0.5, 0.5) * t),
    "logsumexp": lambda t: t.real.max() + np.log(np.sum(np.exp(t - t.real.max()))),
    "matmul": lambda t: np.sum((t.reshape(2, 2) @ t.reshape(2, 2)) * np.einsum("i,j->ij", t[:2], t[2:])),
    "offset": lambda t: 1e9 + np.sum(np.tanh(t)),
    "steep": lambda t: np.sum(np.sin(1e6 * t)),
    "zero by cancellation": lambda t: np.sum(np.tanh(t)) - np.sum(np.tanh(X)),
}


if np.__version__ < "2":  # there the sign of a complex number is that of its real part, and sign(x) x is |x|
    FIT["sign"] = UNFIT.pop("sign")[0]


@pytest.mark.parametrize("name", UNFIT)
def test_a_trap_is_found_and_named(name):
    f, words = UNFIT[name]
    found = complex_trap(Function("test", f, X))
    assert found is not None and re.search(words, found), found


@pytest.mark.parametrize("name", FIT)
def test_a_function_that_is_fit_is_not_refused(name):
    assert complex_trap(Function("test", FIT[name], X)) is None


def test_many_units_at_their_kink_are_no_trap():
    rng = np.random.default_rng(0)
    v = rng.normal(size=(8, 3))

    def f(t):
        a = t @ v
        return np.sum(a * (a.real > 0) @ np.array([1.0, -2.0, 3.0]))

    assert complex_trap(Function("test", f, np.zeros((2, 8)))) is None


def test_a_unit_that_is_shut_to_both_sides_in_backward_is_no_trap():
    """3 relu(t) - relu(-t): slopes 3 and 1, and 0 with both units shut, as backward and the complex step have it."""

    def f(t):
        return np.sum(3 * t * (t.real > 0) + t * (t.real < 0))

    assert complex_trap(Function("test", f, np.zeros(3))) is None


def test_close_to_the_edge_of_a_domain_the_step_gets_shorter():
    with np.errstate(invalid="ignore"):
        assert complex_trap(Function("test", lambda t: np.sum(np.log(1 - t)), np.array([1 - 1e-6, 0.5]))) is None


# --- a second look at an entry --------------------------------------------------------------------------------------------------


def look(f, x, analytic, numeric=np.inf, rtol=1e-6):
    F = Function("test", f, np.array([x]))
    return second_look(F, 0, analytic, numeric, noise(F), rtol)


def ramp(t):
    return np.sum(np.maximum(t, 0) * 3 + 0.1 * np.sin(t))


@pytest.mark.parametrize("analytic, verdict", [(0.1, "kink"), (1.7, "kink"), (3.1, "kink"), (3.2, "wrong"), (0.0, "wrong")])
def test_at_a_kink_anything_between_the_slopes_is_right(analytic, verdict):
    assert look(ramp, 0.0, analytic).verdict == verdict


@pytest.mark.parametrize("x, slope", [(1e-5, 3.1), (-1e-5, 0.1), (1e-7, 3.1), (-1e-7, 0.1)])
def test_a_kink_nearby_falls_out_of_the_step(x, slope):
    assert look(ramp, x, slope).verdict == "ok"
    assert look(ramp, x, slope).numeric == pytest.approx(slope, rel=1e-4)
    assert look(ramp, x, 1.6).verdict == "wrong"


def test_a_kink_on_a_steep_slope_is_seen_and_its_bracket_holds():
    def f(t):
        return np.sum(np.maximum(t, 0) + 1e4 * t**2)

    assert look(f, 0.0, 0.0).verdict == look(f, 0.0, 1.0).verdict == "kink"
    assert look(f, 0.0, 1.4).verdict == "wrong"


@pytest.mark.parametrize("k", [1, 1e2, 1e4, 1e6])
def test_smooth_steep_functions_are_not_taken_for_kinks(k):
    for x in (0.0, 0.3 / k):

        def f(t, k=k):
            return np.sum(np.sin(k * t))

        slope = k * math.cos(k * x)
        assert look(f, x, slope).verdict == "ok"
        assert look(f, x, slope * (1 + 1e-4), numeric=slope).verdict == "wrong"


def test_a_judge_that_errs_is_overruled_only_on_proof():
    assert look(lambda t: np.sum(np.sin(t)), 0.3, math.cos(0.3), numeric=1.01 * math.cos(0.3)).verdict == "ok"
    assert look(lambda t: np.sum(np.sin(t)), 0.3, math.cos(0.3) * (1 + 1e-11), numeric=math.cos(0.3)).verdict == "wrong"


# --- directions and the chi-square bound ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "k, factors",
    [
        (2, (7.0533, 707.1, 2.24e4)),
        (4, (1.8346, 18.80, 105.7)),
        (8, (0.7793, 2.654, 6.330)),
        (16, (0.4148, 0.8303, 1.3095)),
        (32, (0.2472, 0.3767, 0.4871)),
    ],
)
def test_factors_of_the_bound(k, factors):
    """1 / sqrt(q) at 99 %, 1 - 1e-6, 1 - 1e-9."""
    for alpha, factor in zip((1e-2, 1e-6, 1e-9), factors):
        q = chi2_lower_quantile(k, alpha)
        digits = len(f"{factor:.10g}".replace(".", "").strip("0"))
        assert 1 / math.sqrt(q) == pytest.approx(factor, rel=0.6 * 10.0 ** (1 - digits) if factor < 1000 else 2e-3)


def test_chi2_of_two_degrees_of_freedom_is_an_exponential_distribution():
    for alpha in (1e-12, 1e-9, 0.01, 0.5, 0.999):
        assert chi2_lower_quantile(2, alpha) == pytest.approx(-2 * math.log1p(-alpha), rel=1e-12)


@pytest.mark.parametrize("k, alpha", [(3, 0.1), (0, 0.1), (8, 0.0), (8, 1.0)])
def test_odd_k_and_impossible_confidence_are_refused(k, alpha):
    with pytest.raises(ValueError, match="even"):
        chi2_lower_quantile(k, alpha)


def test_the_bound_covers_the_error_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    error = rng.normal(size=30) * 10.0 ** rng.uniform(-3, 0, size=30)
    q = chi2_lower_quantile(4, 0.1)
    for seed in range(2000):
        s = np.array([error @ d for d in directions(30, 4, seed)])
        covered += np.linalg.norm(error) <= np.linalg.norm(s) / math.sqrt(q)
    assert 0.88 < covered / 2000 < 0.92  # 3 standard deviations of 0.9


def quadratic(P, seed=0):
    """F, its gradient, for f = sum(c x^2 + x^3)."""
    c = np.random.default_rng(seed).normal(size=P)
    x = np.random.default_rng(seed + 1).normal(size=P)
    return Function("test", lambda t: np.sum(c * t**2 + t**3), x), 2 * c * x + 3 * x**2


@pytest.mark.parametrize("method", ["complex", "central"])
def test_disagreements_are_the_error_along_the_directions(method):
    F, g = quadratic(50)
    error = np.zeros(50)
    error[7] = 0.01
    s, rounding = disagreements(F, g + error, np.ones(50), 6, method, seed=3)
    expected = [d @ error for d in directions(50, 6, 3)]
    assert s == pytest.approx(expected, abs=1e-12 if method == "complex" else 20 * rounding.max())
    assert np.all(rounding < 1e-4) and (method == "complex") == (not rounding.any())


@pytest.mark.parametrize("method", ["complex", "richardson"])
@pytest.mark.parametrize("planted", [0, 1, 500, 997, 998])
def test_bisection_finds_a_planted_entry(method, planted):
    F, g = quadratic(1200)
    part = slice(100, 1099)
    g[part.start + planted] *= 1.01
    assert worst_entry(F, g, part, method, seed=0) == part.start + planted


# --- second opinions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_taylor_rates_are_two_for_the_right_gradient_and_one_for_another(scale):
    g = {name: scale * value for name, value in loss_gradient(THETA).items()}

    def f(t):
        return scale * loss(t)

    assert taylor_rates(f, THETA, g) == pytest.approx(2 * np.ones(6), abs=0.1)
    assert taylor_rates(f, THETA, {**g, "b": 2 * g["b"]}) == pytest.approx(np.ones(6), abs=0.1)


def test_a_small_error_shows_as_a_rate_that_falls():
    g = {name: 1.003 * value for name, value in loss_gradient(THETA).items()}
    rates = taylor_rates(loss, THETA, g, halvings=10)
    assert rates[0] > 1.3 and rates[-1] < 1.1


def test_a_linear_function_has_no_remainder():
    assert np.isnan(taylor_rates(lambda t: np.sum(t), np.ones(3), np.ones(3))).all()


def test_the_v_curve_has_its_minima_where_theory_puts_them():
    curve = v_curve(loss, THETA, loss_gradient(THETA))
    best = {method: curve.steps[np.argmin(errors)] for method, errors in curve.errors.items()}
    least = {method: np.min(errors) for method, errors in curve.errors.items()}
    assert 1e-9 < best["forward"] < 1e-6 and 1e-6 < best["central"] < 1e-4 and 1e-4 < best["richardson"] < 3e-2
    assert least["complex"] < 1e-15 < least["richardson"] < least["central"] < least["forward"] < 1e-7
    assert np.max(curve.errors["complex"][curve.steps <= 1e-8]) < 1e-14  # no right branch
    for method, order in (("forward", 1), ("central", 2), ("richardson", 4)):  # the left branch, from 1e-1 to 1e-1.5
        errors = curve.errors[method]
        assert math.log10(errors[0] / errors[1]) == pytest.approx(order / 2, abs=0.15)
        assert errors[-1] > 1e-2  # the right one


def test_the_v_curve_leaves_out_what_does_not_fit_and_refuses_a_zero_gradient():
    curve = v_curve(lambda t: np.linalg.norm(t), np.array([3.0, 4.0]), np.array([0.6, 0.8]), steps=[1e-3, 1e-4])
    assert set(curve.errors) == {"forward", "central", "richardson"} and len(curve.errors["central"]) == 2
    with pytest.raises(ValueError, match="v_curve: grad is zero everywhere"):
        v_curve(lambda t: np.sum(t**2), np.zeros(2), np.zeros(2))


def estimates(half, N=200_000):
    """Draws of d/dlogvar E[ (z - 1)^2 ], z = mu + e^(logvar / 2) eps, and its exact value e^logvar."""
    mu, logvar = np.full((N, 1), 0.4), np.full((N, 1), np.log(1.4))
    z, cache = reparameterize(mu, logvar, np.random.default_rng(0).standard_normal((N, 1)))
    _, dlogvar = reparameterize_backward(2 * (z - 1), cache)
    return dlogvar * (1 if half else 2), np.array([1.4])


def test_the_reparameterized_estimator_is_unbiased_and_without_its_half_it_is_not():
    right = unbiasedness(*estimates(half=True))
    assert right.ok and np.all(np.abs(right.z) < 4.5)
    wrong = unbiasedness(*estimates(half=False))
    assert not wrong.ok and np.all(np.abs(wrong.z) > 20)


def test_an_estimator_without_variance_must_be_right_to_rounding():
    assert unbiasedness(np.full((5, 2), 0.1), np.full(2, 0.1)).ok
    assert not unbiasedness(np.full((5, 2), 0.1), np.full(2, 0.1001)).ok


@pytest.mark.parametrize(
    "samples, exact, words",
    [
        (np.ones((5, 2)), np.ones(3), r"samples have shape \(5, 2\), exact has \(3,\)"),
        (np.ones((1, 2)), np.ones(2), "at least two draws"),
        (np.float64(1), np.float64(1), "one a row"),
        (np.array([[1.0], [np.nan]]), np.ones(1), "not finite"),
    ],
)
def test_samples_that_cannot_be_tested_are_refused(samples, exact, words):
    with pytest.raises(ValueError, match=words):
        unbiasedness(samples, exact)


# --- no right gradient is accused -----------------------------------------------------------------------------------------------


def assert_not_accused(seed):
    case = draw(np.random.default_rng(seed))
    for method in ("auto",) if case.exact_only else ("auto", "richardson"):
        report = case.check(method)
        assert report.ok or report.vacuous, f"seed {seed}: {case.label}, {method}\n{report}"


@pytest.mark.parametrize(
    "start", [*range(0, 80, 20), *(pytest.param(start, marks=pytest.mark.slow) for start in range(80, 200, 20))]
)
def test_random_right_gradients_pass(start):
    """Cases of benchmarks/false_alarms.py, by the complex step and by Richardson extrapolation."""
    for seed in range(start, start + 20):
        assert_not_accused(seed)


@pytest.mark.parametrize("seed", [122, 143, 1188, 1736, 2752, 2894, 3148, 4459, 6230, 9337, 9582, 9896])
def test_the_hardest_of_ten_thousand_pass(seed):
    """Units at their kink or saturated, gradients that are all cancellation, steps between noise and truncation."""
    assert_not_accused(seed)
