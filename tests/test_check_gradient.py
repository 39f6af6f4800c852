"""check_gradient: verdicts at every scale, at kinks and in traps; blocks large and small; the report. The judges behind it are in
test_judges.py, bad input in test_check_gradient_input.py."""

import json

import numpy as np
import pytest
from losses import W, X, loss, loss_gradient, sum_tanh, tanh_slope

from npvae.verify import Report, check_gradient
from npvae.verify.compare import Row

METHODS = ("auto", "richardson", "central", "forward")
# --- the verdict ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("s", 10.0 ** np.arange(-12, 7, 2))
def test_a_gradient_twice_too_large_is_caught_at_every_scale(s, method):
    def f(t):
        return s * sum_tanh(t)

    assert check_gradient(f, X, s * tanh_slope(X), method=method).ok
    report = check_gradient(f, X, 2 * s * tanh_slope(X), method=method)
    assert not report.ok and report.worst.relative_error == pytest.approx(0.5, rel=1e-4)
    assert "2 times too large" in report.diagnosis


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("c", 10.0 ** np.array([-8, -6, -3, 3, 6, 10]))
def test_a_gradient_twice_too_large_is_caught_at_every_scale_of_theta(c, method):
    def f(t):
        return sum_tanh(t / c)

    g = tanh_slope(X) / c
    assert check_gradient(f, c * X, g, method=method).ok
    assert not check_gradient(f, c * X, 2 * g, method=method).ok


def test_the_complex_step_and_richardson_go_further_down():
    for method in ("auto", "richardson"):
        assert check_gradient(lambda t: sum_tanh(t / 1e-11), 1e-11 * X, tanh_slope(X) / 1e-11, method=method).ok
        assert not check_gradient(lambda t: sum_tanh(t / 1e-11), 1e-11 * X, 2 * tanh_slope(X) / 1e-11, method=method).ok


@pytest.mark.parametrize("s", [1e-300, 1e-200, 1e200])
def test_scales_at_which_squares_overflow_or_vanish(s):
    assert check_gradient(lambda t: s * sum_tanh(t), X, s * tanh_slope(X)).ok
    assert not check_gradient(lambda t: s * sum_tanh(t), X, 2 * s * tanh_slope(X)).ok
    assert not check_gradient(lambda t: s * sum_tanh(t), X, 2 * s * tanh_slope(X), directions=8).ok


@pytest.mark.parametrize("s", [1e-200, 1e-150, 1e-30, 1e-12, 1e6, 1e200])
def test_the_bound_of_random_directions_is_as_small_at_every_scale(s):
    report = check_gradient(lambda t: s * sum_tanh(t), X, s * tanh_slope(X), directions=8, method="complex")
    assert report.ok and report.norm_error < 1e-12


@pytest.mark.parametrize("method, error", [("auto", 1e-8), ("richardson", 1e-5), ("central", 1e-4), ("forward", 1e-3)])
def test_small_errors_are_seen_and_smaller_ones_are_not_made_up(method, error):
    assert check_gradient(sum_tanh, X, tanh_slope(X), method=method).ok
    wrong = tanh_slope(X)
    wrong[3] *= 1 + error
    report = check_gradient(sum_tanh, X, wrong, method=method)
    assert not report.ok and report.worst.index == (3,) and report.worst.wrong == 1
    assert check_gradient(sum_tanh, X, wrong, method=method, rtol=10 * error).ok


def test_the_complex_step_is_exact_to_rounding():
    report = check_gradient(loss, W, loss_gradient(W))
    assert report.ok and report.method == "complex" and report.norm_error < 1e-15
    assert [row.name for row in report.rows] == ["b", "W"]  # backward order


def test_names_may_come_in_another_order_and_any_layout():
    g = loss_gradient(W)
    theta = {"W": np.asfortranarray(W["W"]), "b": np.repeat(W["b"], 2)[::2]}
    assert check_gradient(loss, theta, {"b": g["b"], "W": g["W"]}).ok


@pytest.mark.parametrize("theta", [0.3, np.float64(0.3), np.array(0.3)])
def test_theta_may_be_one_number(theta):
    assert check_gradient(lambda t: np.sin(t), theta, np.cos(0.3)).ok
    report = check_gradient(lambda t: np.sin(t), theta, 2 * np.cos(0.3))
    assert not report.ok and report.worst.index == () and "worst: theta: analytic" in str(report)


@pytest.mark.parametrize("directions", [None, 8])
def test_blocks_of_very_different_scales_are_judged_each_by_its_own(directions):
    theta = {f"{k}": np.array([0.5, -0.2, 1.0]) + 0.1 * k for k in range(-6, 7, 3)}

    def f(t):
        return sum(10.0 ** int(k) * np.sum(np.sin(v)) for k, v in t.items())

    g = {k: 10.0 ** int(k) * np.cos(v) for k, v in theta.items()}
    assert check_gradient(f, theta, g, directions=directions).ok
    for k in theta:
        report = check_gradient(f, theta, {**g, k: 2 * g[k]}, directions=directions)
        assert [row.name for row in report.rows if row.verdict == "wrong"] == [k]


def test_a_large_constant_or_a_cancelled_one_raises_the_floor_of_differences_alone():
    for f in (lambda t: 1e9 + sum_tanh(t), lambda t: (1e9 + sum_tanh(t)) - 1e9, lambda t: sum_tanh(t) - sum_tanh(X)):
        for method in ("auto", "richardson", "central"):
            assert check_gradient(f, X, tanh_slope(X), method=method).ok
            assert not check_gradient(f, X, 2 * tanh_slope(X), method=method).ok


def test_a_steep_function_and_the_edge_of_a_domain():
    assert check_gradient(lambda t: np.sum(np.sin(300 * t)), X, 300 * np.cos(300 * X), method="richardson").ok
    assert not check_gradient(lambda t: np.sum(np.sin(300 * t)), X, 300.03 * np.cos(300 * X), method="richardson").ok
    near = np.array([1e-6, 1.0])
    with np.errstate(invalid="ignore"):
        assert check_gradient(lambda t: np.sum(np.log(t)), near, 1 / near).ok


# --- kinks ----------------------------------------------------------------------------------------------------------------------

KINKY = np.array([0.0, 1.0, -1.0, 1e-5, -1e-7])


def relu(t):
    return np.sum(t * (t.real > 0))


@pytest.mark.parametrize("method", METHODS)
def test_at_a_kink_any_slope_between_the_two_sides_is_right(method):
    for slope in (0.0, 0.3, 1.0):
        report = check_gradient(relu, KINKY, np.array([slope, 1, 0, 1, 0]), method=method)
        assert report.ok and report.rows[0].kinks <= 1
    assert "(1 at a kink)" in str(check_gradient(relu, KINKY, np.array([0.3, 1, 0, 1, 0]), method=method))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrong", [[1.5, 1, 0, 1, 0], [-0.1, 1, 0, 1, 0], [0, 1, 0, 0.5, 0], [0, 1, 0, 1, 0.5], [0, 0.9, 0, 1, 0]])
def test_a_wrong_gradient_at_or_near_a_kink_is_caught(wrong, method):
    assert not check_gradient(relu, KINKY, np.array(wrong, float), method=method).ok


# --- traps of the complex step --------------------------------------------------------------------------------------------------


def test_a_trap_leads_to_richardson_and_the_report_says_why():
    g = X / np.linalg.norm(X)
    report = check_gradient(lambda t: np.linalg.norm(t), X, g)
    assert report.ok and report.method == "richardson" and "np.linalg.norm" in report.notes[0]
    assert not check_gradient(lambda t: np.linalg.norm(t), X, 1.001 * g).ok
    with pytest.raises(ValueError, match=r"check_gradient: the complex step does not fit f: .*Use method='richardson'"):
        check_gradient(lambda t: np.linalg.norm(t), X, g, method="complex")


@pytest.mark.parametrize("weight", [1.0, 1e-4, 1e-6, 1e-9])
def test_a_trap_in_a_small_term_accuses_no_right_gradient(weight):
    def f(t):
        return sum_tanh(t) + weight * np.sum(np.abs(t))

    assert check_gradient(f, X, tanh_slope(X) + weight * np.sign(X)).ok


@pytest.mark.parametrize("weight", [1.0, 1e-4, 1e-5])
def test_a_trap_in_a_small_term_hides_no_wrong_gradient(weight):
    """The complex step of np.linalg.norm is 0, and so is the gradient of one who forgot the term."""
    report = check_gradient(lambda t: sum_tanh(t) + weight * np.linalg.norm(t) ** 2, X, tanh_slope(X))
    assert not report.ok and report.method == "richardson"


@pytest.mark.parametrize("P", [1000, 2100])
def test_a_trap_too_small_to_be_seen_along_a_direction_is_found_at_its_entry(P):
    x = np.random.default_rng(0).normal(size=P)
    g = tanh_slope(x)
    g[7] += 1e-7 * np.sign(x[7])

    def f(t):
        return sum_tanh(t) + 1e-7 * np.abs(t[7])

    report = check_gradient(f, x, g)
    assert report.ok and report.method == "richardson" and "at theta[7] the complex step says" in report.notes[0]
    with pytest.raises(ValueError, match=r"does not fit f: at theta\[7\] the complex step says"):
        check_gradient(f, x, g, method="complex")


# --- random directions ----------------------------------------------------------------------------------------------------------


def large(P, seed=0):
    """theta in two blocks, f, its gradient: P entries, cheap."""
    rng = np.random.default_rng(seed)
    c = rng.normal(size=P)
    theta = {"small": rng.normal(size=3), "large": rng.normal(size=(P // 20, 20))}

    def f(t):
        return np.sum(t["small"] ** 3) + np.sum(c * t["large"].ravel() ** 2)

    return theta, f, {"small": 3 * theta["small"] ** 2, "large": 2 * c.reshape(-1, 20) * theta["large"]}


@pytest.mark.parametrize("method", ["auto", "richardson"])
def test_a_large_gradient_is_certified(method):
    theta, f, g = large(4000)
    report = check_gradient(f, theta, g, method=method)
    assert report.ok and report.directions == 8 and report.confidence == 1 - 1e-9 and report.evaluations < 100
    assert report.norm_error < (1e-13 if method == "auto" else 1e-5)
    assert "|numeric| <= " in str(report) and "at confidence 1 - 1e-09 (8 random directions)" in str(report)


@pytest.mark.parametrize("method", ["auto", "richardson"])
def test_one_wrong_entry_in_a_large_gradient_is_pinned(method):
    theta, f, g = large(4000)
    rng = np.random.default_rng(3)
    for i, j in zip(rng.integers(200, size=4), rng.integers(20, size=4)):
        wrong = {name: a.copy() for name, a in g.items()}
        wrong["large"][i, j] *= 1.01
        report = check_gradient(f, theta, wrong, method=method)
        assert not report.ok and report.worst.name == "large" and report.worst.index == (i, j)
        assert [row.verdict for row in report.rows] == ["wrong", "ok"]


def test_the_smallest_block_counts_as_much_as_the_largest():
    theta, f, g = large(4000)
    report = check_gradient(f, theta, {**g, "small": np.array([1, 1, 1.0001]) * g["small"]})
    assert report.worst.name == "small" and report.worst.index == (2,)


def test_richardson_looks_at_small_blocks_too_though_its_bound_is_of_the_whole():
    theta, f, g = large(4000)
    small, g["small"] = {**theta, "small": 1e-4 * theta["small"]}, 1e-8 * g["small"]
    assert check_gradient(f, small, g, method="richardson").ok

    def f_small(t):
        return 1e-5 * np.sum(t["small"]) + f({**t, "small": 0 * t["small"]})

    slope = np.full(3, 1e-5)
    assert check_gradient(f_small, theta, {**g, "small": slope}, method="richardson").ok
    report = check_gradient(f_small, theta, {**g, "small": 2 * slope}, method="richardson")
    assert [row.name for row in report.rows if row.verdict == "wrong"] == ["small"]


def test_an_error_too_thin_for_any_entry_is_not_verified_and_nobody_is_accused():
    theta, f, g = large(4000)
    report = check_gradient(f, theta, {**g, "large": (1 + 3e-10) * g["large"]})
    assert not report.ok and all(row.verdict == "ok" for row in report.rows)
    assert "no entry looked at is wrong by itself" in report.diagnosis and "NOT verified" in str(report)


def test_a_large_block_without_gradient():
    theta, f, g = large(4000)

    def f_small(t):
        return f({**t, "large": 0 * t["large"]})

    report = check_gradient(f_small, theta, {**g, "large": 0 * g["large"]})
    assert report.ok and [row.verdict for row in report.rows] == ["proves nothing", "ok"]
    assert not check_gradient(f, theta, {**g, "large": 0 * g["large"]}).ok
    assert not check_gradient(f_small, theta, {**g, "large": 1e-9 * g["large"]}).ok


def test_a_dense_error_is_blamed_on_its_block_and_named():
    theta, f, g = large(4000)
    report = check_gradient(f, theta, {**g, "large": 2 * g["large"]})
    assert [row.verdict for row in report.rows] == ["wrong", "ok"] and "large: 2 times too large" in report.diagnosis


@pytest.mark.parametrize("directions", [2, 8, 32])
def test_directions_can_be_forced_and_must_be_even(directions):
    assert check_gradient(loss, W, loss_gradient(W), directions=directions).directions == directions
    with pytest.raises(ValueError, match="check_gradient: directions must be an even number"):
        check_gradient(loss, W, loss_gradient(W), directions=directions + 1)


def test_a_large_relu_function_at_its_kinks():
    """A row of zeros and biases of zero: 300 units at their kink, which differences along a direction take for errors."""
    rng = np.random.default_rng(0)
    x, v = rng.normal(size=(3, 10)), rng.normal(size=300)
    x[0] = 0
    theta = {"W": rng.normal(size=(10, 300)), "b": np.zeros(300)}

    def f(t):
        a = x @ t["W"] + t["b"]
        return np.sum(((a * (a.real > 0)) @ v) ** 2) + np.sum((a * (a.real > 0)) @ v)

    a = x @ theta["W"]
    da = (2 * (np.maximum(a, 0) @ v) + 1)[:, None] * v * (a > 0)
    g = {"W": x.T @ da, "b": da.sum(axis=0)}
    for method in ("auto", "richardson"):
        assert check_gradient(f, theta, g, method=method).ok
        assert not check_gradient(f, theta, {**g, "W": 1.001 * g["W"]}, method=method).ok


# --- gradient functions, terms, float32 -----------------------------------------------------------------------------------------


def test_a_gradient_function_is_called_twice():
    assert check_gradient(sum_tanh, X, tanh_slope).ok
    total = np.zeros(5)

    def accumulated(t):
        total[...] += tanh_slope(t)
        return total.copy()

    report = check_gradient(sum_tanh, X, accumulated)
    assert not report.ok and "accumulated" in report.diagnosis
    rng = np.random.default_rng(0)
    report = check_gradient(sum_tanh, X, lambda t: tanh_slope(t) + rng.normal(size=5))
    assert not report.ok and "second, identical call" in report.diagnosis


def test_a_second_call_may_round_otherwise():
    units = iter((0.0, 1.0))
    assert check_gradient(sum_tanh, X, lambda t: tanh_slope(t) * (1 + 2e-16 * next(units))).ok


@pytest.mark.parametrize("method", METHODS)
def test_a_value_may_round_otherwise_from_call_to_call(method):
    rng = np.random.default_rng(0)

    def f(t):
        return sum_tanh(t) * (1 + 3e-16 * rng.integers(-1, 2))

    assert check_gradient(f, X, tanh_slope(X), method=method).ok
    assert not check_gradient(f, X, 1.01 * tanh_slope(X), method=method).ok


def test_terms_let_the_diagnosis_name_the_missing_one():
    terms = {"data": lambda t: sum_tanh(t), "decay": lambda t: 0.1 * np.sum(t**2)}
    report = check_gradient(lambda t: sum(f(t) for f in terms.values()), X, tanh_slope(X), terms=terms)
    assert not report.ok and "decay" in report.diagnosis and "missing" in report.diagnosis


def test_float32_is_explained():
    x = X.astype(np.float32)
    report = check_gradient(sum_tanh, x, tanh_slope(x))
    assert report.ok and any("theta is float32" in note for note in report.notes)
    assert any("grad is not in float64" in note for note in report.notes)
    assert not check_gradient(sum_tanh, x, 1.0001 * tanh_slope(x)).ok
    many = np.random.default_rng(0).normal(size=2100)
    assert check_gradient(sum_tanh, many, tanh_slope(many).astype(np.float32)).ok
    assert not check_gradient(sum_tanh, many, (1.001 * tanh_slope(many)).astype(np.float32)).ok
    report = check_gradient(lambda t: 1e12 + sum_tanh(t), X, tanh_slope(X), method="richardson")
    assert not any("float32" in note for note in report.notes)  # noise, but of float64
    report = check_gradient(lambda t: sum_tanh(t.astype(np.float32)), X, tanh_slope(X))
    assert report.ok and any("does it compute in float32" in note for note in report.notes)
    assert not check_gradient(lambda t: sum_tanh(t.astype(np.float32)), X, 1.2 * tanh_slope(X)).ok


# --- the report -----------------------------------------------------------------------------------------------------------------


def test_the_report_begins_with_a_sentence_and_ends_with_how_it_was_found():
    report = check_gradient(loss, W, loss_gradient(W))
    lines = str(report).splitlines()
    assert lines[0] == "check_gradient: the gradient is right: 2 blocks, 8 entries."
    assert lines[2].split()[:4] == ["gradient", "of", "shape", "worst"] and lines[3].startswith("b ") and lines[4].startswith("W ")
    assert lines[-1].startswith("complex step, ") and "norm error" in lines[-1] and "floor" in lines[-1]
    report.assert_ok()


def test_a_wrong_gradient_is_told_with_its_worst_entry_and_both_values():
    g = loss_gradient(W)
    wrong = {**g, "W": g["W"] * np.array([[1, 1], [1, 1], [1, 3.0]])}
    report = check_gradient(loss, W, wrong)
    assert report.worst.name == "W" and report.worst.index == (2, 1) and report.worst.numeric == pytest.approx(g["W"][2, 1])
    assert report.worst.analytic == wrong["W"][2, 1] and report.worst.relative_error == pytest.approx(2 / 3)
    assert "WRONG in 1 of 2 blocks; worst: W[2, 1]: analytic" in str(report).splitlines()[0]
    with pytest.raises(AssertionError) as raised:
        report.assert_ok()
    assert str(raised.value) == str(report)


@pytest.mark.parametrize("directions", [None, 8])
def test_the_report_survives_json(directions):
    for grad in (loss_gradient(W), {**W, "b": 2 * loss_gradient(W)["b"]}):
        report = check_gradient(loss, W, grad, directions=directions)
        d = json.loads(json.dumps(report.to_dict()))
        assert d["ok"] is report.ok and d["worst"]["name"] == report.worst.name and len(d["rows"]) == 2
        assert d["rows"][1]["shape"] == [3, 2] and d["worst"]["index"] == list(report.worst.index)
        assert d["method"] == "complex" and d["evaluations"] > 10 and d["diagnosis"] == report.diagnosis


def test_a_block_that_f_does_not_use_proves_nothing_and_is_named():
    report = check_gradient(lambda t: sum_tanh(t["a"]), {"a": X, "b": X}, {"a": tanh_slope(X), "b": 0 * X})
    assert report.ok and report.rows[0].verdict == "proves nothing" and not report.vacuous
    assert any("proves nothing for b" in note for note in report.notes)
    assert not check_gradient(lambda t: sum_tanh(t["a"]), {"a": X, "b": X}, {"a": tanh_slope(X), "b": 1e-9 * X}).ok


@pytest.mark.parametrize("method", METHODS)
def test_a_check_at_a_minimum_proves_nothing_and_is_not_ok(method):
    report = check_gradient(lambda t: np.sum((t - X) ** 2), X, np.zeros(5), method=method)
    assert not report.ok and report.vacuous and "proves nothing" in report.diagnosis
    assert "NOT verified" in str(report).splitlines()[0]


def test_the_worst_row_is_a_wrong_one_even_beside_one_that_is_nothing_but_rounding():
    rounding = Row("r", (1,), (0,), 1e-20, 0.0, 1.0, 1e-20, "proves nothing")
    wrong = Row("w", (1,), (0,), 1.0, 1.000001, 1e-6, 1e-14, "wrong", 1)
    assert Report("check_gradient", "complex", (rounding, wrong), 1e-6, ok=False).worst is wrong


def test_a_single_wrong_entry_is_pointed_at():
    grad = tanh_slope(X)
    grad[2] += 0.1234
    assert "4 of the 5 entries are right: what is special about theta[2]?" in str(check_gradient(sum_tanh, X, grad))


def test_of_several_wrong_blocks_without_explanation_the_first_from_the_loss_is_where_to_start():
    noise = np.random.default_rng(5)
    grad = {name: g + noise.normal(size=g.shape) for name, g in loss_gradient(W).items()}
    assert "Start with b, the first wrong block from the loss back" in str(check_gradient(loss, W, grad))


def test_a_gradient_that_is_right_only_the_first_time_is_told_even_if_the_doctor_has_no_word_for_it():
    calls = []

    def grad(t):
        calls.append(t)
        return tanh_slope(t) * (1 + 1e-11 * (len(calls) - 1))

    report = check_gradient(sum_tanh, X, grad)
    assert not report.ok and report.diagnosis == "The gradient of a second, identical call is another one."
