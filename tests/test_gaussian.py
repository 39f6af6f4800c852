"""The diagonal Gaussian: KL, reparameterized sample and log-density against tables, exact values, derivatives and their meaning."""

import math

import exact
import numpy as np
import pytest
from derivatives import assert_agree, central_difference, complex_step
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import few, floats, log_variances, logvars, seeds, sizes, values

from npvae.core.gaussian import (
    LOG_2PI,
    kl_divergence,
    kl_divergence_backward,
    kl_per_dimension,
    log_density,
    log_density_backward,
    reparameterize,
    reparameterize_backward,
)

# mu, logvar, KL, dKL/dlogvar (dKL/dmu is mu): correct in every digit
KL_TABLE = [
    (1, 0, 0.5, 0),
    (0, 1, 0.359140914229522618, 0.859140914229522618),
    (0.5, -1, 0.308939720585721, -0.316060279414278839),
    (0, -2, 0.567667641618306346, -0.432332358381693654),
    (0, 3, 8.04276846159383387, 9.54276846159383387),
    (0, 0.1, 0.00258545903782381241, 0.0525854590378238124),
    (0, 1e-3, 2.50083354170834028e-7, 0.000500250083354170834),
    (0, -1e-3, 2.49916687495834028e-7, -0.000499750083312504166),
    (0, 1e-5, 2.50000833335416671e-11, 5.00002500008333354e-6),
    (0, 1e-8, 2.50000000833333335e-17, 5.00000002500000008e-9),
]
U = np.finfo(np.float64).eps

away_from_prior = st.floats(1, 30).flatmap(lambda a: st.sampled_from([-a, a]))
near_prior = st.floats(-12, 0).flatmap(lambda e: st.sampled_from([-(10.0**e), 10.0**e]))


def row(*numbers):
    return np.array([numbers], float)


# --- KL: values -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu, logvar, kl, slope", KL_TABLE)
def test_kl_and_its_gradient_reproduce_the_table(mu, logvar, kl, slope):
    dmu, dlogvar = kl_divergence_backward(row(mu), row(logvar), np.ones(1))
    assert kl_divergence(row(mu), row(logvar))[0] == pytest.approx(kl, rel=1e-14, abs=U * abs(logvar))
    assert dmu[0, 0] == mu
    assert dlogvar[0, 0] == pytest.approx(slope, rel=4 * U, abs=0)


def test_kl_of_the_three_dimensional_vector():
    mu, logvar = row(0.5, -1.25, 0), row(0.25, -2, 1)
    assert kl_divergence(mu, logvar) == pytest.approx([1.8500712641916997057], rel=1e-15)
    assert kl_per_dimension(mu, logvar)[0] == pytest.approx(
        [0.142012708343870742, 1.34891764161830635, 0.359140914229522618], rel=1e-15
    )
    dmu, dlogvar = kl_divergence_backward(mu, logvar, np.ones(1))
    assert np.array_equal(dmu, mu)
    assert dlogvar[0] == pytest.approx([0.14201270834387074204, -0.43233235838169365405, 0.85914091422952261768], rel=1e-15)


@given(mu=st.one_of(st.just(0.0), floats), logvar=away_from_prior)
@example(mu=0.0, logvar=-30.0)
@example(mu=0.0, logvar=30.0)
def test_kl_is_within_4_ulp_away_from_the_prior(mu, logvar):
    assert exact.ulps(kl_divergence(row(mu), row(logvar))[0], exact.kl(mu, logvar)) <= 4


@given(logvar=near_prior)
@example(logvar=1e-8)
@example(logvar=-1e-5)
def test_kl_errs_by_u_logvar_at_most_close_to_the_prior(logvar):
    assert exact.error(kl_divergence(row(0), row(logvar))[0], exact.kl(0, logvar)) <= U * abs(logvar)


@given(logvar=st.one_of(near_prior, away_from_prior))
def test_kl_slope_is_within_4_ulp_everywhere(logvar):
    _, dlogvar = kl_divergence_backward(row(0), row(logvar), np.ones(1))
    assert exact.ulps(dlogvar[0, 0], exact.kl_slope(logvar)) <= 4


def test_the_bounds_reject_the_naive_kl():
    """exp(logvar) - 1 - logvar has no digit left at 1e-8, and its gradient has lost half of them."""
    logvar = np.float64(1e-8)
    naive = 0.5 * (np.exp(logvar) - 1 - logvar)
    assert exact.error(naive, exact.kl(0, logvar)) > 1e7 * U * logvar
    assert abs(naive / 2.5e-17 - 1) > 0.9
    assert exact.ulps(0.5 * (np.exp(logvar) - 1), exact.kl_slope(logvar)) > 1e6


@given(mu=floats, logvar=st.one_of(logvars, near_prior))
@example(mu=0.0, logvar=-30.0)
@example(mu=0.0, logvar=30.0)
@example(mu=0.0, logvar=5e-324)
def test_kl_is_never_negative(mu, logvar):
    assert kl_divergence(row(mu), row(logvar))[0] >= 0


@given(mu=floats, logvar=logvars)
@example(mu=0.0, logvar=0.0)
@example(mu=1e-3, logvar=0.0)
@example(mu=0.0, logvar=1e-3)
@example(mu=0.0, logvar=-1e-3)
def test_kl_is_zero_at_the_prior_and_nowhere_else(mu, logvar):
    kl = kl_divergence(row(mu), row(logvar))[0]
    if mu == 0 and logvar == 0:
        assert kl == 0
    elif abs(mu) >= 1e-150 or abs(logvar) >= 1e-7:  # below, squares underflow or rounding may give 0
        assert kl > 0


@given(shape=sizes(2), seed=seeds)
@example(shape=(1, 1), seed=0)
def test_kl_sums_over_the_latents_of_each_example(shape, seed):
    rng = np.random.default_rng(seed)
    mu, logvar = values(rng, *shape), log_variances(rng, *shape)
    want = [[float(exact.kl(m, s)) for m, s in zip(*pair)] for pair in zip(mu, logvar)]
    assert kl_per_dimension(mu, logvar) == pytest.approx(np.array(want), rel=1e-12)
    assert kl_divergence(mu, logvar) == pytest.approx([math.fsum(r) for r in want], rel=1e-12)


@given(shape=sizes(2), extra=st.integers(1, 3), seed=seeds)
def test_an_inactive_latent_adds_nothing_to_the_kl(shape, extra, seed):
    rng = np.random.default_rng(seed)
    mu, logvar, prior = values(rng, *shape), log_variances(rng, *shape), np.zeros((shape[0], extra))
    more = kl_divergence(np.hstack([mu, prior]), np.hstack([logvar, prior]))
    assert more == pytest.approx(kl_divergence(mu, logvar), rel=1e-14)


# --- derivatives ----------------------------------------------------------------------------------------------------------------


def kl_case(rng, logvar):
    """A function, its arguments, and the gradient that its backward pass gives under a random cotangent."""
    at = {"mu": values(rng, *logvar.shape), "logvar": logvar}
    dkl = rng.normal(size=len(logvar))
    dmu, dlogvar = kl_divergence_backward(**at, dkl=dkl)
    return lambda a: dkl * kl_divergence(a["mu"], a["logvar"]), at, {"mu": dmu, "logvar": dlogvar}


def sample_case(rng, logvar):
    at = {"mu": values(rng, *logvar.shape), "logvar": logvar}
    eps, dz = rng.normal(size=logvar.shape), rng.normal(size=logvar.shape)
    _, cache = reparameterize(**at, eps=eps)
    dmu, dlogvar = reparameterize_backward(dz, cache)
    return lambda a: dz * reparameterize(a["mu"], a["logvar"], eps)[0], at, {"mu": dmu, "logvar": dlogvar}


def density_case(rng, logvar):
    at = {"x": values(rng, *logvar.shape), "mu": values(rng, *logvar.shape), "logvar": logvar}
    dlogp = rng.normal(size=len(logvar))
    dx, dmu, dlogvar = log_density_backward(**at, dlogp=dlogp)
    return lambda a: dlogp * log_density(a["x"], a["mu"], a["logvar"]), at, {"x": dx, "mu": dmu, "logvar": dlogvar}


each_function = pytest.mark.parametrize("case", [kl_case, sample_case, density_case])


@each_function
@given(shape=sizes(2), seed=seeds)
@example(shape=(1, 1), seed=0)
def test_the_gradient_agrees_with_the_complex_step(case, shape, seed):
    rng = np.random.default_rng(seed)
    f, at, gradient = case(rng, log_variances(rng, *shape))
    assert_agree(gradient, complex_step(f, at), rtol=1e-10)


@each_function
@few
@given(shape=sizes(2), seed=seeds)
def test_the_gradient_agrees_with_central_differences(case, shape, seed):
    rng = np.random.default_rng(seed)
    f, at, gradient = case(rng, log_variances(rng, *shape))
    assert_agree(gradient, central_difference(f, at), rtol=1e-6, floor=1e-7)


@each_function
@pytest.mark.parametrize("logvar", [-30.0, 0.0, 30.0])
def test_the_gradient_is_right_at_extreme_variances_and_at_zero(case, logvar, rng):
    f, at, gradient = case(rng, np.full((1, 3), logvar))
    assert_agree(gradient, complex_step(f, at), rtol=1e-10, floor=1e-30)


# --- log-density ----------------------------------------------------------------------------------------------------------------


def test_log_density_and_its_gradient_reproduce_the_exact_value():
    x, mu, logvar = row(1.3), row(-0.4), row(-0.7)
    dx, dmu, dlogvar = log_density_backward(x, mu, logvar, np.ones(1))
    assert log_density(x, mu, logvar) == pytest.approx([-3.4788111954995114366], rel=1e-15)
    assert dmu[0, 0] == pytest.approx(3.42337960269981009, rel=1e-15)
    assert dx[0, 0] == -dmu[0, 0]
    assert dlogvar[0, 0] == pytest.approx(2.40987266229483857, rel=1e-15)


@pytest.mark.parametrize("Z, constant", [(1, 0.9189385332046727), (3, 2.756815599614018), (784, 720.4478100324634)])
def test_log_density_keeps_its_constant(Z, constant):
    zeros = np.zeros((1, Z))
    assert log_density(zeros, zeros, zeros) == pytest.approx([-constant], rel=1e-15)
    assert pytest.approx(2 * constant, rel=1e-15) == Z * LOG_2PI


# --- purity, types, errors -------------------------------------------------------------------------------------------------------


def every_call(B, Z, dtype):
    """Name -> (function, arguments) for each public function of the file."""
    rng = np.random.default_rng(1)
    x, mu, logvar, eps, dz = (rng.normal(size=(B, Z)).astype(dtype) for _ in range(5))
    d = rng.normal(size=B).astype(dtype)
    _, cache = reparameterize(mu, logvar, eps)
    return {
        "kl_per_dimension": (kl_per_dimension, (mu, logvar)),
        "kl_divergence": (kl_divergence, (mu, logvar)),
        "kl_divergence_backward": (kl_divergence_backward, (mu, logvar, d)),
        "reparameterize": (reparameterize, (mu, logvar, eps)),
        "reparameterize_backward": (reparameterize_backward, (dz, cache)),
        "log_density": (log_density, (x, mu, logvar)),
        "log_density_backward": (log_density_backward, (x, mu, logvar, d)),
    }


def arrays(nested):
    """All arrays of nested tuples, in order."""
    return [a for part in nested for a in arrays(part)] if isinstance(nested, tuple) else [nested]


@pytest.mark.parametrize("name", every_call(1, 1, np.float64))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("B", [1, 3])
def test_the_arguments_stay_and_the_dtype_too(name, dtype, B):
    f, arguments = every_call(B, 2, dtype)[name]
    before = [a.tobytes() for a in arrays(arguments)]
    first, second = (arrays(f(*arguments)) for _ in range(2))
    assert before == [a.tobytes() for a in arrays(arguments)]
    assert all(a.dtype == dtype and len(a) == B for a in first)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


def test_another_draw_between_forward_and_backward_is_harmless(rng):
    mu, logvar, eps, dz = rng.normal(size=(4, 3, 2))
    _, cache = reparameterize(mu, logvar, eps)
    want = 0.5 * np.exp(logvar / 2) * eps * dz
    reparameterize(mu, logvar + 1, -eps)
    assert reparameterize_backward(dz, cache)[1] == pytest.approx(want, rel=1e-14)


@pytest.mark.parametrize("f", [kl_divergence, kl_per_dimension])
def test_kl_refuses_unequal_shapes(f):
    with pytest.raises(ValueError, match=r"^kl_divergence: logvar has shape \(3,\) but mu has shape \(3, 1\); they must be equal"):
        f(np.zeros((3, 1)), np.zeros(3))


def test_reparameterize_refuses_unequal_shapes():
    a = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"^reparameterize: eps has shape \(1, 2\) but mu has shape \(3, 2\)"):
        reparameterize(a, a, a[:1])  # one noise for all rows
    with pytest.raises(ValueError, match=r"^reparameterize: logvar has shape \(2,\) but mu has shape \(3, 2\)"):
        reparameterize(a, a[0], a)


def test_log_density_refuses_unequal_shapes():
    a = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"^log_density: mu has shape \(3,\) but x has shape \(3, 2\)"):
        log_density(a, a[:, 0], a)
    with pytest.raises(ValueError, match=r"^log_density: logvar has shape \(1, 2\) but x has shape \(3, 2\)"):
        log_density(a, a, a[:1])


@pytest.mark.parametrize("shape", [(3,), (4, 3, 2)])
def test_kl_and_log_density_sum_over_the_columns_of_a_matrix_only(shape):
    a = np.zeros(shape)
    with pytest.raises(ValueError, match=r"^kl_divergence: mu has shape \(.*\), expected \(B, Z\)"):
        kl_divergence(a, a)
    with pytest.raises(ValueError, match=r"^log_density: x has shape \(.*\), expected \(B, Z\)"):
        log_density(a, a, a)


@pytest.mark.parametrize("shape", [(3, 1), (1,), ()])
def test_the_backward_passes_refuse_a_cotangent_that_would_broadcast(shape):
    """dkl of shape (B, 1) would give gradients of shape (B, B, Z)."""
    a, d = np.zeros((3, 2)), np.ones(shape)
    with pytest.raises(ValueError, match=r"^kl_divergence_backward: dkl has shape \(.*\), expected \(3,\)"):
        kl_divergence_backward(a, a, d)
    with pytest.raises(ValueError, match=r"^log_density_backward: dlogp has shape \(.*\), expected \(3,\)"):
        log_density_backward(a, a, a, d)


def test_the_backward_passes_refuse_unequal_shapes():
    a, d = np.zeros((3, 2)), np.ones(3)
    with pytest.raises(ValueError, match=r"^kl_divergence_backward: logvar has shape \(1, 2\) but mu has shape \(3, 2\)"):
        kl_divergence_backward(a, a[:1], d)
    with pytest.raises(ValueError, match=r"^log_density_backward: mu has shape \(1, 2\) but x has shape \(3, 2\)"):
        log_density_backward(a, a[:1], a, d)
    with pytest.raises(ValueError, match=r"^log_density_backward: logvar has shape \(1, 2\) but x has shape \(3, 2\)"):
        log_density_backward(a, a, a[:1], d)
    with pytest.raises(ValueError, match=r"^reparameterize_backward: dz has shape \(1, 2\) but eps has shape \(3, 2\)"):
        reparameterize_backward(a[:1], reparameterize(a, a, a)[1])
