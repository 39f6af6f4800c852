"""The optimizers: every step as printed, against literal loops; any shape, strides and dtype; saved states; errors."""

import inspect
import math

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from npvae import SGD, Adagrad, Adam, Momentum, RMSProp
from npvae.core.optimizers import BLOCK, FLUSH

ALL = {
    "SGD": lambda: SGD(0.1),
    "Momentum": lambda: Momentum(0.1, mu=0.8),
    "RMSProp": lambda: RMSProp(0.01),
    "Adagrad": lambda: Adagrad(0.1),
    "Adam": lambda: Adam(0.01),
}
each_optimizer = pytest.mark.parametrize("make", ALL.values(), ids=ALL)

LOOPS = [
    (lambda lr, decay, eps: SGD(lr), lambda theta, g, lr, decay, eps: reference.sgd(theta, g, lr)),
    (lambda lr, decay, eps: Momentum(lr, decay), lambda theta, g, lr, decay, eps: reference.momentum(theta, g, lr, decay)),
    (RMSProp, reference.rmsprop),
    (lambda lr, decay, eps: Adagrad(lr, eps), lambda theta, g, lr, decay, eps: reference.adagrad(theta, g, lr, eps)),
    (lambda lr, decay, eps: Adam(lr, decay, 0.97, eps), lambda theta, g, lr, b, eps: reference.adam(theta, g, lr, b, 0.97, eps)),
]  # fmt: skip


@pytest.mark.parametrize("make, loop", LOOPS, ids=ALL)
@given(seed=seeds, lr=st.floats(1e-4, 1), decay=st.floats(0, 0.99), log_eps=st.floats(-12, -2))
def test_steps_follow_the_printed_equations(make, loop, seed, lr, decay, log_eps):
    rng = np.random.default_rng(seed)
    start, gradients = rng.normal(size=3), rng.normal(size=(6, 3)) * 10.0 ** rng.integers(-6, 3, 3)
    theta, optimizer, path = start.copy(), make(lr, decay, 10**log_eps), []
    for grad in gradients:
        optimizer.step(theta, grad)
        path.append(theta.copy())
    for j in range(3):
        expected = loop(start[j].item(), gradients[:, j].tolist(), lr, decay, 10**log_eps)
        scale = max(1, max(map(abs, expected)))
        np.testing.assert_allclose([p[j] for p in path], expected, rtol=1e-12, atol=1e-13 * scale)


# --- memory ---------------------------------------------------------------------------------------------------------------------


FILL = 7.25
LAYOUTS = {  # functions -> memory, and the part of it (6, 10) that is used
    "contiguous": lambda: (memory := np.full((6, 10), FILL), memory),
    "transposed": lambda: (memory := np.full((10, 6), FILL), memory.T),
    "every second column": lambda: (memory := np.full((6, 20), FILL), memory[:, ::2]),
    "every third row, from the last": lambda: (memory := np.full((18, 10), FILL), memory[::-3]),
    "axes in another order": lambda: (memory := np.full((10, 6, 2), FILL), memory.transpose(1, 0, 2)[:, :, 1]),
}


@each_optimizer
@pytest.mark.parametrize("theta_layout", LAYOUTS)
@pytest.mark.parametrize("grad_layout", LAYOUTS)
def test_memory_layout_makes_no_difference(make, theta_layout, grad_layout, rng):
    start, gradients = rng.normal(size=(6, 10)), rng.normal(size=(4, 6, 10))
    expected, optimizer, strided = start.copy(), make(), make()
    memory, theta = LAYOUTS[theta_layout]()
    theta[...] = start
    for values in gradients:
        _, grad = LAYOUTS[grad_layout]()
        grad[...] = values
        strided.step(theta, grad)
        optimizer.step(expected, values)
    np.testing.assert_allclose(theta, expected, rtol=1e-14)
    assert np.count_nonzero(memory == FILL) == memory.size - theta.size, "wrote beside theta"


@each_optimizer
@pytest.mark.parametrize("size", [0, 1, BLOCK, 2 * BLOCK + 17])
def test_working_in_blocks_changes_nothing(make, rng, size):
    start, gradients = rng.normal(size=size), rng.normal(size=(2, size))
    theta, pieces, optimizer = start.copy(), [start[i::2].copy() for i in range(2)], make()
    halves = [make(), make()]
    for grad in gradients:
        optimizer.step(theta, grad)
        for i in range(2):
            halves[i].step(pieces[i], grad[i::2].copy())
    for i in range(2):
        np.testing.assert_allclose(theta[i::2], pieces[i], rtol=1e-14)


@each_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zero_dimensional_theta_and_its_dtype(make, dtype):
    theta, vector = np.array(1.5, dtype), np.array([1.5], dtype)
    optimizer, other = make(), make()
    for g in (0.3, -0.1):
        assert optimizer.step(theta, np.array(g, dtype)) is None
        other.step(vector, np.array([g], dtype))
    assert theta.shape == () and theta.dtype == dtype and theta == vector[0] and theta != 1.5
    assert all(getattr(optimizer, name).dtype == dtype for name in optimizer.averages)


@each_optimizer
def test_a_float64_gradient_steps_a_float32_theta(make, rng):
    grad = rng.normal(size=5)
    theta, expected, optimizer = np.zeros(5, np.float32), np.zeros(5), make()
    optimizer.step(theta, grad)
    make().step(expected, grad)
    np.testing.assert_allclose(theta, expected, rtol=1e-6)
    assert all(getattr(optimizer, name).dtype == np.float32 for name in optimizer.averages)


@each_optimizer
def test_zero_gradients_from_the_start_move_nothing(make, rng):
    start = rng.normal(size=5)
    theta, optimizer = start.copy(), make()
    for _ in range(3):
        optimizer.step(theta, np.zeros(5))
    np.testing.assert_array_equal(theta, start)


@each_optimizer
def test_the_gradient_is_never_written(make, rng):
    theta, grad = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    before = grad.copy()
    grad.flags.writeable = False
    optimizer = make()
    for layout in (grad, np.asfortranarray(grad)):
        optimizer.step(theta, layout)
    np.testing.assert_array_equal(grad, before)


@each_optimizer
def test_a_saved_state_continues_bit_for_bit(make, rng):
    gradients, theta, optimizer = rng.normal(size=(6, 5)), rng.normal(size=5), make()
    fresh = make()
    fresh.load_state_dict(make().state_dict())  # that of an optimizer which has made no step
    fresh_start, first_step = np.zeros(5), np.zeros(5)
    fresh.step(fresh_start, gradients[0])
    make().step(first_step, gradients[0])
    assert fresh_start.tobytes() == first_step.tobytes() and first_step.all()
    for grad in gradients[:3]:
        optimizer.step(theta, grad)
    state, resumed_theta, resumed = optimizer.state_dict(), theta.copy(), make()
    saved = {name: np.copy(value) for name, value in state.items()}
    resumed.load_state_dict(state)
    for grad in gradients[3:]:
        optimizer.step(theta, grad)
        resumed.step(resumed_theta, grad)
    assert theta.tobytes() == resumed_theta.tobytes() and resumed.t == optimizer.t == 6 and fresh.t == 1
    for name, value in saved.items():
        np.testing.assert_array_equal(state[name], value, err_msg="the saved state is a copy, later steps leave it alone")


def test_default_hyperparameters_are_those_of_the_papers():
    """Tests that pass every value explicitly would never notice a default that has drifted."""
    assert Adam().config() == {"type": "Adam", "lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert RMSProp().config() == {"type": "RMSProp", "lr": 1e-3, "rho": 0.9, "eps": 1e-8}
    assert Adagrad().config() == {"type": "Adagrad", "lr": 1e-2, "eps": 1e-8}
    assert Momentum(0.1).config() == {"type": "Momentum", "lr": 0.1, "mu": 0.9}
    assert SGD(0.1).config() == {"type": "SGD", "lr": 0.1}
    for kind in (SGD, Momentum):
        assert inspect.signature(kind).parameters["lr"].default is inspect.Parameter.empty


# --- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Momentum, RMSProp, Adagrad, Adam])
def test_two_arrays_need_two_optimizers(make):
    optimizer, other = make(lr=0.1), np.ones((2, 3))
    optimizer.step(np.ones((3, 2)), np.ones((3, 2)))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=rf"theta has shape \(2, 3\).*array of shape \(3, 2\); make one {make.__name__} for each"):
        optimizer.step(other, np.ones((2, 3)))
    np.testing.assert_array_equal(other, 1)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


BAD_HYPERPARAMETERS = [
    (lambda: Adam(lr=-1e-3), ValueError, r"Adam: lr must be at least 0 and below inf, got -0\.001"),
    (lambda: SGD(-1), ValueError, "SGD: lr must be at least 0"),
    (lambda: SGD(math.nan), ValueError, "SGD: lr must be at least 0 and below inf, got nan"),
    (lambda: SGD(math.inf), ValueError, "SGD: lr must be at least 0 and below inf, got inf"),
    (lambda: Adam(beta1=1), ValueError, "Adam: beta1 must be at least 0 and below 1, got 1"),
    (lambda: Adam(beta2=-0.1), ValueError, "Adam: beta2 must be at least 0 and below 1"),
    (lambda: Adam(eps=-1e-8), ValueError, "Adam: eps must be at least 0"),
    (lambda: Momentum(0.1, mu=1.5), ValueError, "Momentum: mu must be at least 0 and below 1, got 1.5"),
    (lambda: RMSProp(rho=2), ValueError, "RMSProp: rho must be at least 0 and below 1"),
    (lambda: RMSProp(eps=-1), ValueError, "RMSProp: eps must be at least 0"),
    (lambda: Adagrad(eps=-1), ValueError, "Adagrad: eps must be at least 0"),
    (lambda: Adam(lr="fast"), TypeError, "Adam: lr must be a number, got 'fast'"),
    (lambda: SGD(None), TypeError, "SGD: lr must be a number, got None"),
    (lambda: Adam(beta1=True), TypeError, "Adam: beta1 must be a number, got True"),
]


@pytest.mark.parametrize("make, error, message", BAD_HYPERPARAMETERS)
def test_bad_hyperparameters_are_refused_in_a_sentence(make, error, message):
    with pytest.raises(error, match=message):
        make()


READ_ONLY = np.ones(3)
READ_ONLY.flags.writeable = False
BAD_STEPS = [
    (np.arange(3), np.ones(3), TypeError, "theta must be an array of floats, which is changed in place"),
    ([1.0, 2.0, 3.0], np.ones(3), TypeError, "theta must be an array of floats"),
    (1.0, 1.0, TypeError, "theta must be an array of floats"),
    (READ_ONLY, np.ones(3), ValueError, "theta .*read-only"),
    (np.ones(3), np.ones(4), ValueError, r"grad has shape \(4,\) but theta has shape \(3,\)"),
    (np.ones(3), np.ones((3, 1)), ValueError, r"grad has shape \(3, 1\) but theta has shape \(3,\)"),
    (np.ones((3, 1)), np.ones(3), ValueError, r"grad has shape \(3,\) but theta has shape \(3, 1\)"),
    (np.ones(3), [1.0, 2.0, 3.0], TypeError, "grad must be an array of floats"),
    (np.ones(3), np.ones(3, np.uint8), TypeError, "grad must be an array of floats"),
    (np.ones(3), np.ones(3, complex), TypeError, "grad must be an array of floats"),
    (np.ones(3), None, TypeError, "grad must be an array of floats"),
]


@each_optimizer
@pytest.mark.parametrize("theta, grad, error, message", BAD_STEPS)
def test_a_bad_step_is_refused_before_anything_has_changed(make, theta, grad, error, message):
    optimizer = make()
    optimizer.step(np.ones(3), np.array([0.5, -1.0, 2.0]))
    before, theta_before = optimizer.state_dict(), np.copy(theta)
    with pytest.raises(error, match=message):
        optimizer.step(theta, grad)
    np.testing.assert_array_equal(theta, theta_before)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("foreign", [{}, {"t": 3}, {"t": 3, "v": np.ones(2)}, {"t": 3, "m": None, "v": None, "vmax": None}])
def test_a_foreign_state_is_refused_and_the_own_one_kept(foreign):
    optimizer = Adam()
    optimizer.step(np.ones(2), np.ones(2))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=f"^Adam.load_state_dict: expected t, m, v; got {', '.join(foreign)}\\.$"):
        optimizer.load_state_dict(foreign)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("make", [Adam, RMSProp, lambda: Momentum(1e-3)])
def test_averages_that_decay_below_the_normal_numbers_become_0(make):
    """Subnormal numbers are many times slower; 0.9 times the smallest of them rounds to itself, so they would stay for ever."""
    optimizer, theta = make(), np.ones(5, np.float32)
    optimizer.step(theta, np.full(5, 1e-18, np.float32))
    before = theta.copy()
    for _ in range(64 * 30):
        optimizer.step(theta, np.zeros(5, np.float32))
    assert np.array_equal(theta, before)
    for name in ("m",) if isinstance(optimizer, Adam) else optimizer.averages:
        assert not getattr(optimizer, name).any()


@pytest.mark.parametrize("make", [lambda: Adam(beta2=0.9, eps=0), lambda: RMSProp(eps=0)])
def test_without_eps_a_gradient_that_stays_at_0_moves_nothing_to_nan(make):
    """Were both averages set to 0, the step would be 0 / 0."""
    optimizer, theta = make(), np.ones(5, np.float32)
    optimizer.step(theta, np.ones(5, np.float32))
    for _ in range(64 * 30):
        optimizer.step(theta, np.zeros(5, np.float32))
    assert np.isfinite(theta).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_averages_become_0_every_64th_step_and_normal_ones_stay(dtype):
    tiny = np.finfo(dtype).tiny  # the smallest normal number
    gradients, theta, optimizer = np.array([tiny, -tiny, tiny / 2, -tiny / 2], dtype), np.zeros(4, dtype), Momentum(1.0, mu=0)
    for _ in range(FLUSH - 1):
        optimizer.step(theta, gradients)
    assert np.array_equal(optimizer.v, gradients), "until then they are left alone"
    optimizer.step(theta, gradients)
    assert np.array_equal(optimizer.v, [tiny, -tiny, 0, 0])
    assert np.array_equal(gradients, [tiny, -tiny, tiny / 2, -tiny / 2]), "they are the caller's"


def test_parameters_that_are_subnormal_stay_so():
    tiny = np.finfo(np.float32).tiny
    theta, optimizer = np.array([tiny / 2, -tiny / 4], np.float32), Momentum(0.0)
    for _ in range(FLUSH):
        optimizer.step(theta, np.ones(2, np.float32))
    assert np.array_equal(theta, [tiny / 2, -tiny / 4])
