"""check_gradient and its arguments: a sentence for each kind of bad input, and nothing of the caller changes, whatever happens."""

import numpy as np
import pytest
from losses import W, X, loss, sum_tanh, tanh_slope

from npvae import VAE, Gaussian
from npvae.verify import check_gradient

# --- bad input: a sentence each -------------------------------------------------------------------------------------------------


def changes_its_input(t):
    t *= 2
    return np.sum(t)


def raises_elsewhere(t):
    if not np.array_equal(t.real, X):
        raise RuntimeError("boom")
    return np.sum(t)


def nan_elsewhere(t):
    return np.sum(t) if np.array_equal(t.real, X) else np.nan


rng_of_a_bad_loss = np.random.default_rng(0)
ONES = np.ones(5)
SENTENCES = [  # f, theta, grad, exception, decisive words
    (lambda t: t**2, X, X, TypeError, r"f returned an array of shape \(5,\); .*one number"),
    (lambda t: np.array([np.sum(t)]), X, X, TypeError, r"array of shape \(1,\)"),
    (lambda t: (np.sum(t), 1), X, X, TypeError, "f returned a tuple; it must return the loss alone"),
    (lambda t: (np.sum(t), 2 * t), X, X, TypeError, r"lambda t: f\(t\)\[0\]"),
    (lambda t: None, X, X, TypeError, "f returned None; does it end with `return loss`"),
    (lambda t: "0.5", X, X, TypeError, "f returned str; expected a number"),
    (lambda t: True, X, X, TypeError, "f returned bool"),
    (lambda t: np.nan, X, X, ValueError, "f is nan at theta"),
    (lambda t: np.inf, X, X, ValueError, "f is inf at theta"),
    (lambda t: np.sum(t) + 1j, X, X, TypeError, "complex number .* a loss must be real"),
    (lambda t: np.sum(t) + rng_of_a_bad_loss.normal(), X, ONES, ValueError, "your loss is random: .*Draw the noise once"),
    (changes_its_input, X, ONES, ValueError, r"f changes its input \(theta\[0\]\)"),
    (raises_elsewhere, X, ONES, ValueError, r"f raised RuntimeError \(boom\) at theta \+.* though not at theta"),
    (nan_elsewhere, X, ONES, ValueError, r"f is nan at theta \+"),
    (3.0, X, ONES, TypeError, "f must be a function of theta, got float"),
    (np.sum, X, np.ones(4), ValueError, r"grad has shape \(4,\), but theta is \(5,\)"),
    (loss, W, {**W, "W": W["W"].T}, ValueError, r"grad\['W'\] has shape \(2, 3\), but W is \(3, 2\): it is transposed"),
    (loss, W, {**W, "b": np.ones((1, 2))}, ValueError, "an axis of length 1 too many, or too few; keepdims"),
    (loss, W, {**W, "b": np.ones(3)}, ValueError, "summed along the wrong axis"),
    (loss, W, {"W": W["W"]}, ValueError, "grad has no 'b'"),
    (loss, W, {**W, "c": X}, ValueError, "grad has 'c'; theta has 'W', 'b'"),
    (loss, W, {**W, "b": None}, TypeError, r"grad\['b'\] is None; was the backward pass run"),
    (loss, W, None, TypeError, "theta is a dict of arrays, but grad is None"),
    (loss, W, X, TypeError, "theta is a dict of arrays, but grad is an array"),
    (np.sum, X, {"theta": X}, TypeError, "theta is an array, but grad is a dict"),
    (np.sum, X, X + 1j, TypeError, "grad must hold real numbers, got complex128"),
    (np.sum, X, np.array([1, 1, np.nan, 1, 1]), ValueError, r"grad is nan at theta\[2\] \(1 of 5 entries"),
    (np.sum, np.arange(3), np.ones(3), TypeError, r"theta holds integers \(int64\).*astype\(float\)"),
    (np.sum, 3, 1.0, TypeError, "got int; write it with a decimal point"),
    (np.sum, [1.0, 2.0], np.ones(2), TypeError, "theta must be an array of floats, got list"),
    (np.sum, X + 1j, ONES, TypeError, "real floats, got complex128"),
    (np.sum, X.astype(object), ONES, TypeError, "real floats, got object"),
    (np.sum, np.array([1, np.nan]), np.ones(2), ValueError, r"theta\[1\] is nan"),
    (np.sum, np.zeros((0, 3)), np.zeros((0, 3)), ValueError, r"theta is empty \(shape \(0, 3\)\)"),
    (loss, {**W, "c": np.zeros(0)}, W, ValueError, r"theta\['c'\] is empty"),
    (loss, {}, {}, ValueError, "theta is an empty dict"),
    (lambda t: np.sum(t[0]), {0: X}, {0: ONES}, TypeError, "the names in theta must be text, got 0"),
]


@pytest.mark.parametrize("f, theta, grad, exception, words", SENTENCES, ids=[words for *_, words in SENTENCES])
def test_bad_input_gets_a_sentence_and_is_left_as_it_was(f, theta, grad, exception, words):
    given = [a for s in (theta, grad) for a in (s.values() if isinstance(s, dict) else [s]) if isinstance(a, np.ndarray)]
    before = [a.tobytes() for a in given]
    with pytest.raises(exception, match=words) as raised:
        check_gradient(f, theta, grad)
    assert str(raised.value).startswith("check_gradient: ")
    assert [a.tobytes() for a in given] == before


def test_other_arguments_are_checked():
    with pytest.raises(ValueError, match="method must be auto, complex, richardson, central, forward; got 'cs'"):
        check_gradient(np.sum, X, ONES, method="cs")
    with pytest.raises(ValueError, match="the terms a, b sum to .* but f is .* give each with its weight"):
        check_gradient(np.sum, X, ONES, terms={"a": np.sum, "b": np.sum})


def test_a_constant_function_is_told():
    for grad in (np.zeros(5), ONES):
        report = check_gradient(lambda t: 3, X, grad)
        assert not report.ok and "f stays 3 when every entry of theta moves by a thousandth" in report.diagnosis


# --- nothing of the caller's changes --------------------------------------------------------------------------------------------


def model_and_loss():
    """A model, f that writes into it, and theta and grad that share its memory."""
    rng = np.random.default_rng(0)
    model = VAE.dense(5, (3,), 2, Gaussian(0.7), rng=rng, dtype=np.float64)
    x, eps = rng.normal(size=(4, 5)), model.noise(4, rng)
    model.loss_and_grad(x, eps)

    def f(theta):
        model.params.theta = theta
        return model.loss(x, eps).total

    return model, f


def test_a_model_that_shares_memory_with_theta_keeps_its_bits():
    model, f = model_and_loss()
    before = model.params.theta.tobytes(), model.params.grad.tobytes()
    report = check_gradient(f, model.params.theta, model.params.grad)
    assert report.ok and report.method == "richardson"  # a real model casts no complex theta
    assert (model.params.theta.tobytes(), model.params.grad.tobytes()) == before


def test_a_model_into_which_f_copies_theta_keeps_its_bits():
    model, f = model_and_loss()
    before = model.params.theta.tobytes()
    assert check_gradient(f, model.params.theta.copy(), model.params.grad.copy()).ok
    assert model.params.theta.tobytes() == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("forever", [False, True])
def test_bits_are_kept_when_f_raises_halfway(error, forever):
    model, f = model_and_loss()
    calls = 0

    def breaks(theta):
        nonlocal calls
        calls += 1
        value = f(theta)
        if calls == 30 or (forever and calls > 30):
            raise error
        return value

    before = model.params.theta.tobytes(), model.params.grad.tobytes()
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else ValueError):
        check_gradient(breaks, model.params.theta, model.params.grad)
    assert calls > 29 and (model.params.theta.tobytes(), model.params.grad.tobytes()) == before


def test_a_gradient_that_f_overwrites_is_the_one_that_was_given():
    """f runs the backward pass too, into the very array that is to be checked."""
    grad = 2 * tanh_slope(X)

    def f(t):
        grad[...] = tanh_slope(t.real)
        return sum_tanh(t)

    report = check_gradient(f, X.copy(), grad)
    assert not report.ok and grad.tobytes() == (2 * tanh_slope(X)).tobytes()


def test_read_only_arrays_and_signed_zeros_are_fine():
    theta = np.array([0.0, -0.0, 1.0])
    theta.flags.writeable = False
    grad = tanh_slope(theta)
    grad.flags.writeable = False
    assert check_gradient(sum_tanh, theta, grad).ok
    assert np.signbit(theta).tolist() == [False, True, False]


def test_a_read_only_view_of_what_f_writes_into_is_no_obstacle():
    base = X.copy()
    view = base.view()
    view.flags.writeable = False

    def f(t):
        base[...] = t.real + 1  # which nobody can undo through a read-only view
        return np.sum(np.tanh(t))

    assert check_gradient(f, view, tanh_slope(X)).ok
