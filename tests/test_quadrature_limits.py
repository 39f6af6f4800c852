"""Where quadrature could be wrong in silence: peaks between the nodes, far out, or known to q(z|x) alone; a q(z|x) wider than what
the decoder does. The result is right, or refused with the reason."""

import itertools
import math

import numpy as np
import pytest

from npvae import VAE, Chain, Dense, Gaussian, Tanh
from npvae.core.checks import NonFiniteError
from npvae.core.numerics import logsumexp
from npvae.core.parameters import Layer
from npvae.evaluation import exact, gauss_legendre, quadrature, trapezoid

log_p, elbo, kl, expected_bound = (
    exact.log_likelihood_by_quadrature,
    exact.elbo_by_quadrature,
    exact.kl_to_posterior,
    exact.expected_bound_by_quadrature,
)
STEP = 18 / 512  # of the first lattice, Z = 1


class Function(Layer):
    """Any function of z as a layer; nothing is learned here."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x), None

    def backward(self, dy, cache, need_dx=True):
        raise NotImplementedError


def dense(W, b):
    W, b = np.array(W, float), np.array(b, float)
    return Dense(*W.shape, rng=np.random.default_rng(0), init=lambda *_: (W, b))


def told(decoder, sigma, mu, logvar, D=1):
    """A VAE with this decoder, whose q(z|x) is N(mu, e^logvar) for every x."""
    head = np.append(np.atleast_1d(mu), np.atleast_1d(logvar))
    return VAE(dense(np.zeros((D, len(head))), head), Chain(decoder), Gaussian(sigma), len(head) // 2)


def linear(logvar, W=((1, 2),), sigma=0.5):
    return told([dense(W, [0, 0])], sigma, np.full(len(W), 0.2), logvar, D=2)


X = np.array([[0.3, 0.1]])


def gap(vae, x):
    return np.max(np.abs(log_p(vae, x) - elbo(vae, x) - kl(vae, x)))


def log_gaussian(z, mean, width):
    return -0.5 * np.sum(((z - mean) / width) ** 2 + np.log(2 * np.pi * np.square(width)), axis=1)


def trapezoid_of(f, Z, known=None, tolerance=1e-8):
    low, h, shape = trapezoid.first_lattice(Z)
    return trapezoid.log_integral(f, f(low + h * np.argwhere(np.ones(shape, bool))).reshape(shape), tolerance, known)


def legendre_of(f, Z, known=None, tolerance=1e-8):
    return gauss_legendre.log_integral_and_mean(lambda z: (f(z), np.ones(len(z))), Z, tolerance, known)[0]


each_rule = pytest.mark.parametrize("rule", [trapezoid_of, legendre_of])

# ---- peaks that are narrow, or far out -------------------------------------------------------------------------------------------


def test_a_mode_beyond_a_plateau_is_found_since_the_encoder_knows_it():
    """x = 1 needs z > 12, where the prior has e^-72 of its height; on [-9, 9] the decoder says -1, 20,000 nats worse."""
    vae, x = told([dense([[5]], [-60]), Tanh(), dense([[1]], [0])], 0.01, 14, -1), np.ones((1, 1))
    z = np.linspace(10, 20, 200_001)
    truth = logsumexp(-((1 - np.tanh(5 * z - 60)) ** 2) / 2e-4 - z**2 / 2, 0) + math.log(5e-5 / 0.01 / (2 * math.pi))
    assert abs(log_p(vae, x)[0] - truth) < 1e-9 and abs(kl(vae, x)[0] - 24.1079987733) < 1e-8
    assert gap(vae, x) < 1e-8


WIDTH, PLACE = 1e-4, 0.3337  # of a bump of the decoder, a 350th of a step wide
OF_THE_BUMP = -8.33406307937693  # log p(x), by mpmath


def bump(mu, sigma):
    def f(z):
        return np.tanh((z - PLACE) / WIDTH + 1) - np.tanh((z - PLACE) / WIDTH - 1)

    return told([Function(f), dense([[1]], [0])], 0.04, mu, 2 * math.log(sigma)), np.full((1, 1), 1.5)


@pytest.mark.parametrize("sigma", [1e-4, 1e-3, 0.1])
def test_a_narrow_mode_at_the_encoders_mean_is_found(sigma):
    vae, x = bump(PLACE, sigma)
    assert abs(log_p(vae, x)[0] - OF_THE_BUMP) < 1e-10
    assert gap(vae, x) < 1e-8


def test_a_narrow_mode_within_q_is_found_or_its_absence_is_told():
    """Between the points of q(z|x) that are looked at, the KL gives it away: 700 nats hang on the bump."""
    outcomes = []
    for place in (0.017, 0.26, 0.48):
        vae, x = bump(PLACE + place * 0.01, 0.01)
        assert abs(log_p(vae, x)[0] - OF_THE_BUMP) < 1e-9
        try:
            assert gap(vae, x) < 1e-8
            outcomes.append("found")
        except ValueError as error:
            assert "KL( q(z|x) || p(z|x) ) = -" in str(error) and "a peak of p(x|z) p(z) that q(z|x) knows" in str(error)
            outcomes.append("told")
    assert outcomes == ["found", "told", "found"]


def test_what_jensens_inequality_refutes_is_an_error(monkeypatch):
    """Rules that lose some mass, and the sentence that says so; not where the loss is within the tolerance."""
    exactly = exact.linear_vae(exact.ppca(np.random.default_rng(0).standard_normal((50, 3)), 1))
    x = np.zeros((2, 3))
    one, other = quadrature.log_integral, quadrature.log_integral_and_mean
    for loss in (1e-8, 1e-4):
        monkeypatch.setattr(quadrature, "log_integral", lambda *a, loss=loss: one(*a) - loss)
        monkeypatch.setattr(
            quadrature, "log_integral_and_mean", lambda *a, loss=loss, **k: tuple(np.subtract(other(*a, **k), (loss, 0)))
        )
        for function, sentence in ((log_p, r"log p\(x\) = .* is less than the ELBO, -"), (kl, r"KL\( .* \) = -0.0001 is below 0")):
            if loss > 1e-6:
                with pytest.raises(ValueError, match=rf"row 0: {sentence}.*knows is.*evaluation.log_likelihood"):
                    function(exactly, x)
                function(exactly, x, tolerance=1e-4)
            else:
                function(exactly, x)


@each_rule
@pytest.mark.parametrize("Z", [1, 2])
@pytest.mark.parametrize(("place", "foot"), [(0.31234, 0.0), (0.31234, -200.0), (-13.1, -200.0)])
def test_a_known_point_leads_to_a_peak_that_no_node_sees(rule, Z, place, foot, monkeypatch):
    """1e-4 wide, between the nodes or outside of the first interval; beside a broad one that has half of the mass, or little."""

    def f(z):
        return np.logaddexp(log_gaussian(z, place, 1e-4), foot + log_gaussian(z, 0.5, 0.5))

    points = place + 2e-4 * np.array([[-0.7], [0.3], [1e4]]) * np.ones(Z)
    assert abs(rule(f, Z) - foot) < 1e-9  # where nobody knows it, it is missing
    if rule is trapezoid_of and Z == 2 and foot == 0:  # equal steps have no room for both
        monkeypatch.setattr(trapezoid, "MOST_NODES", 2**18)
        with pytest.raises(trapezoid.NotStable, match="a peak too narrow for the finest grid"):
            rule(f, Z, (points, f(points)))
    else:
        assert abs(rule(f, Z, (points, f(points))) - math.log1p(math.exp(foot))) < 1e-9


@each_rule
def test_a_foot_far_below_the_known_peak_need_not_die_away(rule):
    def f(z):
        return np.logaddexp(log_gaussian(z, 0.31234, 1e-4), -200 - 1e-3 * np.abs(z[:, 0]))

    points = np.array([[0.3123], [0.4]])
    assert abs(rule(f, 1, (points, f(points)))) < 1e-9


@each_rule
@pytest.mark.parametrize("side", [-1, 1])
def test_what_rises_towards_the_edge_is_followed(rule, side):
    """At the edge, 120 nats below the top; but beyond it lies all but a 150th of the integral."""

    def f(z):
        return np.logaddexp(log_gaussian(z, 0, 0.3), 5 + log_gaussian(z, 25 * side, 1.0))

    assert f(np.array([[9.0 * side]])) < f(np.zeros((1, 1))) - 100
    assert abs(rule(f, 1) - math.log1p(math.exp(5))) < 1e-9


@each_rule
def test_a_low_broad_foot_beyond_the_edge_is_not_cut_off(rule):
    """At the edge, 21 nats below the top: 1e-8 of the integral lies outside."""

    def f(z):
        return np.logaddexp(log_gaussian(z, 0, 0.1), math.log(1e-7) + log_gaussian(z, 0, 6.0))

    assert abs(rule(f, 1, tolerance=1e-9) - math.log1p(1e-7)) < 1e-9


@pytest.mark.parametrize("Z", [1, 2])
@pytest.mark.parametrize("steps", [0.3, 0.6, 0.75, 1.0, 1.3])
def test_a_peak_amid_the_nodes_where_the_half_sums_agree_by_symmetry(Z, steps):
    """The sums over every other node are equal there; and wrong, together: by 2 exp(-2 pi^2 steps^2)."""
    h = 18 / trapezoid.STEPS[Z]
    nodes = np.arange(-60, 61)
    even, odd = (2 * np.sum(np.exp(-(((nodes[i::2] - 0.5) / steps) ** 2) / 2)) for i in (0, 1))
    assert abs(even / odd - 1) < 1e-12
    assert abs(trapezoid_of(lambda z: log_gaussian(z, 3.5 * h, steps * h), Z)) < 1e-9


def test_how_much_is_asked_is_bounded():
    """No end of integrals: a plateau that never dies away, and a step that no box is cut finely enough for."""
    asked = 0

    def step(z):
        nonlocal asked
        asked += len(z)
        assert asked < 2**22
        return np.where(z[:, 0] + 0.7 * z[:, 1] > 0.1234, 0.0, -3.0) + log_gaussian(z, 0, 1)

    for f, rules, sentence in (
        (step, [legendre_of], "not stable at the finest grid"),
        (lambda z: 0 * step(z), [legendre_of, trapezoid_of], "has not died away at the edge of the widest grid"),
    ):
        for rule in rules:
            asked = 0
            with pytest.raises(trapezoid.NotStable, match=sentence):
                rule(f, 2)


# ---- a wide q(z|x) ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [1.0, 7.3, 2e3])
def test_what_the_decoder_does_within_a_wide_q_is_resolved(sigma):
    """Its bump is 0.001 standard deviations wide at sigma = 2000."""

    def f(z):
        return (np.tanh(z + 0.7) - np.tanh(z - 1.3)) / 2

    vae, x = told([Function(f), dense([[1]], [0])], 0.02, 0.513 * sigma, 2 * math.log(sigma)), np.zeros((1, 1))
    z = np.linspace(-25, 25, 50_001)
    error = np.sum(f(z) ** 2 * np.exp(log_gaussian(z[:, None], 0.513 * sigma, sigma))) * 1e-3  # f is 0 elsewhere
    constant = -math.log(0.02) - 0.5 * math.log(2 * math.pi)
    truth = constant - error / (2 * 0.02**2) - 0.5 * (0.513**2 * sigma**2 + sigma**2 - 1 - 2 * math.log(sigma))
    digits = 1e-8 + 2e-14 * abs(truth)
    assert abs(elbo(vae, x)[0] - truth) < digits
    joint = log_gaussian(z[:, None], 0, 1) - f(z) ** 2 / (2 * 0.02**2)
    assert abs(kl(vae, x)[0] - (logsumexp(joint, 0) + math.log(1e-3) + constant - truth)) < digits
    assert abs(expected_bound(vae, x, 1)[0] - truth) < digits


def test_each_latent_has_the_steps_that_its_sigma_needs(rng):
    vae = told([dense(rng.standard_normal((2, 3)), np.zeros(3)), Tanh()], 0.5, [0.3, -0.2], [1.5, -4.0], D=3)
    x = rng.random((1, 3))
    assert gap(vae, x) < 1e-8
    asked = []
    trapezoid.normal_mean(lambda e: asked.append(e) or 0 * e[:, 0], 2, 1e-8, [7.4, 0.1])
    assert [len(np.unique(axis)) for axis in asked[0].T] == [math.ceil(7.4 * 128) + 1, 129]
    asked.clear()
    gauss_legendre.log_integral_and_mean(lambda e: (log_gaussian(e, 0, 1), asked.append(e) or 0 * e[:, 0]), 2, 1e-8, sigma=[7.4, 0])
    assert [len(np.unique(axis)) for axis in asked[0].T] == [8 * 8 * 8, 8 * 8]


@pytest.mark.parametrize("sigma", [30.0, 600.0])
def test_both_rules_see_a_bump_of_width_one_in_z_wherever_it_is_in_eps(sigma):
    for place in (0.01, 0.52, 1.234, 3.1):

        def f(eps, place=place):
            return np.exp(-0.5 * (sigma * (eps[:, 0] - place)) ** 2)

        truth = math.exp(-0.5 * place**2 / (1 + sigma**-2)) / math.sqrt(1 + sigma**2)
        assert abs(trapezoid.normal_mean(f, 1, 1e-8, sigma) - truth) < 1e-10
        mean = gauss_legendre.log_integral_and_mean(lambda e, f=f: (log_gaussian(e, 0, 1), f(e)), 1, 1e-8, sigma=sigma)[1]
        assert abs(mean - truth) < 1e-10


def test_a_q_that_no_grid_holds_is_refused():
    wide, far = linear(24.0), told([dense([[1, 2]], [0, 0])], 0.5, 1e6, 0.0, D=2)
    too_wide = r"row 0: q\(z\|x\) is too wide \(sigma = 1.63e\+05\) for a grid as fine in z as a decoder needs"
    for function in (elbo, lambda vae, x: expected_bound(vae, x, 7)):
        with pytest.raises(ValueError, match=too_wide):
            function(wide, X)
    for vae, function in itertools.product((wide, far), (log_p, kl)):
        with pytest.raises(ValueError, match=r"row 0: the widest grid does not reach mu \+- 6 sigma of q\(z\|x\).* needs no grid"):
            function(vae, X)
    with pytest.raises(ValueError, match="does not reach"):
        kl(linear(18.0), X)  # sigma = 8,103: the first boxes are not too many, but cut once
    held = linear(16.4)  # sigma = 3641: C is reached, the expectation is not resolved
    assert abs(log_p(held, X)[0] - log_p(linear(0.0), X)[0]) < 1e-9
    for z in (720.0, 1400.0):
        with pytest.raises(ValueError, match="too wide|leave the range of numbers"):
            elbo(linear(z), X)
    with pytest.raises(NonFiniteError, match="elbo_by_quadrature: result is -inf .* row 0 leaves the range of numbers"):
        elbo(told([dense([[0, 0]], [0, 0])], 0.5, 1e200, 0.0, D=2), X)


def test_with_two_latents_the_mean_has_to_be_stable_along_both():
    """A narrow bump along one of the axes, whatever the other latent is."""
    s, c = 0.05, 0.31
    truth = s / math.sqrt(1 + s**2) * math.exp(-(c**2) / (2 * (1 + s**2)))
    for axis in (0, 1):
        mean = trapezoid.normal_mean(lambda e, axis=axis: np.exp(-(((e[:, axis] - c) / s) ** 2) / 2), 2, 1e-9)
        assert abs(mean - truth) < 1e-9
