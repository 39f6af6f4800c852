"""Where a check could look away: huge constants in f, blocks far below the rest, edges of a domain, zeros that agree; and the
constants of the verdict, each held from the side on which a larger one would pass mistakes."""

import numpy as np
import pytest

from npvae import Tanh
from npvae.verify import check_gradient, check_layer
from npvae.verify.constants import known_numbers
from npvae.verify.derivatives import unbiasedness

RNG = np.random.default_rng(1)


# --- what differences cannot see ------------------------------------------------------------------------------------------------


def test_a_bound_that_proves_nothing_is_not_called_right():
    t = RNG.normal(size=5000)
    g = 1 / (1 + np.exp(-t)) / 5000
    nearly_all_zero = np.where(g == g.max(), g, 0)
    report = check_gradient(lambda t: 1e5 + np.mean(np.logaddexp(0, t)), t, nearly_all_zero)
    assert not report.ok and report.vacuous and "proves nothing" in str(report)


@pytest.mark.parametrize("weight, grad, ok", [(1, 1, True), (1000, 1000, True), (1000, 0, False)])
def test_abs_beside_a_huge_value_is_seen(weight, grad, ok):
    X, y, w = RNG.normal(size=(200, 5)), 3e5 + 1e5 * RNG.normal(size=200), RNG.normal(size=5)
    g = 2 * X.T @ (X @ w - y) + grad * np.sign(w)
    report = check_gradient(lambda t: np.sum((X @ t - y) ** 2) + weight * np.sum(np.abs(t)), w, g)
    assert report.ok == ok and report.method == "richardson" and "np.absolute" in report.notes[0]


def test_a_zero_that_the_complex_step_agrees_with_is_asked_of_a_difference():
    def f(t):
        return 1e8 * t[0] + np.abs(t[1])

    report = check_gradient(f, np.ones(2), np.array([1e8, 0.0]))
    assert not report.ok and report.worst.index == (1,) and report.worst.numeric == pytest.approx(1, rel=1e-3)
    assert check_gradient(f, np.ones(2), np.array([1e8, 1.0])).ok
    relu, at = (lambda t: np.sum(t * (t.real > 0))), np.array([-3e-7, 0.0, 2.0])
    assert check_gradient(relu, at, np.array([0.0, 0.0, 1.0])).ok  # near a kink a difference proves nothing


def test_a_block_far_below_the_rest_is_told_with_what_is_known_of_it():
    theta = {"w": RNG.normal(size=2100), "tiny": RNG.normal(size=10)}
    slope = {name: 1 - np.tanh(a) ** 2 for name, a in theta.items()}

    def check(ratio, error, **options):
        grad = {"w": slope["w"], "tiny": ratio * (1 + error) * slope["tiny"]}
        return check_gradient(lambda t: np.sum(np.tanh(t["w"])) + ratio * np.sum(np.tanh(t["tiny"])), theta, grad, **options)

    assert check(1e-3, 0).notes == () and not check(1e-3, 1e-6).ok
    report = check(1e-7, 1e-6)
    assert "tiny is small beside the rest: certified to" in report.notes[0]
    assert not check(1e-7, 1e-4, directions=0).ok  # entry by entry more is seen
    assert "tiny is small beside the rest: not certified" in check(1e-12, 0.1).notes[0]


@pytest.mark.parametrize(
    "f, slope, at",
    [
        (lambda t: np.sum(np.real(t) * np.log(np.real(t))), lambda t: np.log(t) + 1, [1e-4, 0.3, 0.6999]),
        (lambda t: np.sum(np.sqrt(np.real(t))), lambda t: 0.5 / np.sqrt(t), [1e-4, 0.2]),
        (lambda t: np.sum(np.arccos(np.real(t))), lambda t: -1 / np.sqrt(1 - t**2), [0.9999, 0.1]),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_step_shrinks_at_the_edge_of_a_domain(f, slope, at):
    at = np.array(at)
    assert check_gradient(f, at, slope(at)).ok
    assert not check_gradient(f, at, 1.01 * slope(at)).ok


def test_a_function_steeper_than_the_first_steps_can_see_is_not_called_wrong():
    x = np.random.default_rng(1).normal(size=16)

    def f(t):
        return np.exp(-(np.linalg.norm(t / 1e-9) ** 2) / 2)  # 0 at any step of 1e-8

    grad = -x / 1e-9 * f(x * 1e-9)
    assert check_gradient(f, x * 1e-9, grad).ok and not check_gradient(f, x * 1e-9, 1.01 * grad).ok


def test_a_block_of_kinks_only_is_told_to_prove_little():
    report = check_gradient(lambda t: np.max(t), np.ones(4), np.full(4, 0.9))
    assert "Every entry of theta is at a kink" in report.notes[0]


# --- constants of the verdict ---------------------------------------------------------------------------------------------------


def test_a_large_gradient_off_by_1e_11_is_not_certified():
    t = RNG.normal(size=5000)
    g = 1 - np.tanh(t) ** 2
    assert check_gradient(lambda t: np.sum(np.tanh(t)), t, g).ok
    assert not check_gradient(lambda t: np.sum(np.tanh(t)), t, g * (1 + 1e-11)).ok


def test_an_error_of_1e_11_of_the_blocks_largest_is_above_the_floor():
    t, scale = RNG.normal(size=3), np.array([1.0, 1e-5, 1e-5])
    g = scale * (1 - np.tanh(t) ** 2)
    assert check_gradient(lambda t: np.sum(scale * np.tanh(t)), t, g).ok
    assert not check_gradient(lambda t: np.sum(scale * np.tanh(t)), t, g + [0, 1e-11, 0]).ok


def test_an_error_of_1e_11_in_a_saturated_unit_is_above_its_coarseness():
    class Off(Tanh):
        def backward(self, dy, y, need_dx=True):
            return super().backward(dy, y) + np.array([0, 1e-11])

    x = np.array([[0.3, 8.0], [-0.2, -9.0]])
    assert check_layer(Tanh(), x).ok and not check_layer(Off(), x).ok


def test_an_estimator_without_variance_must_be_right_to_rounding():
    assert unbiasedness(np.full((10, 2), 0.1), np.full(2, 0.1)).ok
    assert not unbiasedness(np.full((10, 2), 0.1), np.full(2, 0.1 * (1 + 1e-9))).ok


def test_the_threshold_of_unbiasedness_is_shared_among_the_entries():
    thresholds = [unbiasedness(RNG.normal(size=(5, n)), np.zeros(n)).threshold for n in (1, 100)]
    assert thresholds == pytest.approx([4.49, 5.4], abs=0.02)


def test_two_constants_that_differ_by_a_thousandth_are_two():
    values = [number.value for number in known_numbers({"B": 6.0, "K": 6.003})]
    assert 6.0 in values and 6.003 in values


@pytest.mark.parametrize(
    "options, words",
    [
        ({"rtol": np.nan}, "rtol must be a number from 0 to below 1, got nan"),
        ({"rtol": -1e-3}, "rtol must be"),
        ({"confidence": 99}, "confidence must be a number between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        check_gradient(lambda t: np.sum(t**2), np.ones(3), 2 * np.ones(3), **options)


@pytest.mark.parametrize(
    "options, words", [({"constants": [3]}, "constants must be a dict"), ({"constants": {"B": "3"}}, r"constants\['B'\] must be"),
                       ({"terms": [np.sum]}, "terms must be a dict")],
)  # fmt: skip
def test_what_is_no_dict_of_numbers_or_functions_is_refused(options, words):
    with pytest.raises(TypeError, match=words):
        check_gradient(lambda t: np.sum(t**2), np.ones(3), 2 * np.ones(3), **options)


def test_a_term_may_be_called_f():
    assert check_gradient(lambda t: np.sum(t**2), np.ones(3), 2 * np.ones(3), terms={"f": lambda t: np.sum(t**2)}).ok
