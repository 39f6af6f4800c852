"""Mistakes that people have made in VAE code, planted one by one; each must be seen by exactly the checks that the table says.

Read the table for what it teaches. Every wrong *loss* in it passes the derivative check, since its gradient has been made
consistent with it: a gradient check proves that loss and gradient agree, never that the loss is right. The checks stand in
battery.py, one sentence each; how a mistake is planted, in planting.py. mu and lv are the encoder's outputs, s = e^(lv/2).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from battery import CHECKS, failing
from numpy import exp, expm1, log, log1p, maximum, minimum, sqrt
from planting import (
    accumulating,
    adam,
    adam_step,
    bernoulli,
    both,
    dense_backward,
    gaussian_gradient_times,
    gradient_times,
    kl,
    kl_backward,
    kl_weight,
    layer_backward,
    likelihood_times,
    method,
    overwrites_cache,
    sampler,
    sampler_backward,
    squared_error_without_half,
    swapped_heads,
    terms_times,
    writes_upstream,
)

from npvae import VAE, Adam, Bernoulli, Dense, ReLU, Tanh
from npvae.core import likelihoods
from npvae.core.numerics import sigmoid, softplus
from npvae.models import Loss, vae


class Mutant(NamedTuple):
    """A mistake in a sentence, how it is planted, and the names of the checks that see it."""

    id: str
    what: str
    plant: Callable
    seen_by: str


# --- wrong values, each with the gradient that belongs to it --------------------------------------------------------------------

KL = [
    Mutant("kl_mean_over_latents", "the mean over Z for the sum: beta is 1/Z of what it says",
           kl(lambda mu, lv: 0.5 * (mu**2 + expm1(lv) - lv), lambda mu, lv: (mu / mu.shape[1], 0.5 * expm1(lv) / mu.shape[1]),
              reduce=lambda terms: np.mean(terms, axis=1)),
           "values monte_carlo_kl inactive_latent bound"),
    Mutant("kl_missing_half", "the 1/2 forgotten",
           kl(lambda mu, lv: mu**2 + expm1(lv) - lv, lambda mu, lv: (2 * mu, expm1(lv))),
           "values monte_carlo_kl bound"),
    Mutant("kl_sign", "rewards the divergence",
           kl(lambda mu, lv: -0.5 * (mu**2 + expm1(lv) - lv), lambda mu, lv: (-mu, -0.5 * expm1(lv))),
           "values monte_carlo_kl kl_at_prior bound"),
    Mutant("kl_logvar_sign", "+ logvar for - logvar",
           kl(lambda mu, lv: 0.5 * (mu**2 + expm1(lv) + lv), lambda mu, lv: (mu, 0.5 * (exp(lv) + 1))),
           "values monte_carlo_kl kl_at_prior bound"),
    Mutant("kl_sigma_for_variance", "sigma where sigma^2 belongs",
           kl(lambda mu, lv: 0.5 * (mu**2 + expm1(lv / 2) - lv), lambda mu, lv: (mu, 0.5 * (0.5 * exp(lv / 2) - 1))),
           "values monte_carlo_kl kl_at_prior bound"),
    Mutant("kl_logvar_read_as_logstd", "the KL reads log sigma where the sampler reads log sigma^2",
           kl(lambda mu, lv: 0.5 * (mu**2 + expm1(2 * lv) - 2 * lv), lambda mu, lv: (mu, expm1(2 * lv))),
           "values monte_carlo_kl bound"),
    Mutant("kl_log_sigma_for_log_variance", "log sigma where log sigma^2 belongs",
           kl(lambda mu, lv: 0.5 * (mu**2 + expm1(lv) - lv / 2), lambda mu, lv: (mu, 0.5 * (exp(lv) - 0.5))),
           "values monte_carlo_kl kl_at_prior bound"),
    Mutant("kl_constant_missing", "no - 1: another number with the right gradient",
           kl(lambda mu, lv: 0.5 * (mu**2 + exp(lv) - lv), lambda mu, lv: (mu, 0.5 * expm1(lv))),
           "values monte_carlo_kl kl_at_prior inactive_latent bound"),
    Mutant("kl_without_mu", "the means drift freely",
           kl(lambda mu, lv: 0.5 * (expm1(lv) - lv), lambda mu, lv: (0 * mu, 0.5 * expm1(lv))),
           "values monte_carlo_kl kl_at_prior bound"),
    Mutant("kl_reversed", "KL( p || q ) for KL( q || p )",
           kl(lambda mu, lv: 0.5 * ((1 + mu**2) * exp(-lv) - 1 + lv),
              lambda mu, lv: (mu * exp(-lv), 0.5 - 0.5 * (1 + mu**2) * exp(-lv))),
           "values monte_carlo_kl bound"),
    Mutant("kl_omitted", "an autoencoder with noise",
           kl(lambda mu, lv: 0 * mu * lv, lambda mu, lv: (0 * mu, 0 * lv)),
           "values monte_carlo_kl kl_at_prior bound"),
    Mutant("kl_summed_twice", "over the latents, then over the batch: every example carries the KL of all",
           kl(lambda mu, lv: 0.5 * (mu**2 + expm1(lv) - lv), lambda mu, lv: (len(mu) * mu, len(mu) * 0.5 * expm1(lv)),
              reduce=lambda terms: np.full(len(terms), np.sum(terms))),
           "values duplicates bound"),
    Mutant("kl_cancellation", "e^logvar - 1 without expm1: right on paper, no digits left near the prior",
           kl(lambda mu, lv: 0.5 * (mu**2 + exp(lv) - 1 - lv), lambda mu, lv: (mu, 0.5 * (exp(lv) - 1))),
           "values"),
]  # fmt: skip

SAMPLE = [
    Mutant("variance_as_sigma", "e^logvar taken for sigma",
           sampler(lambda mu, s, eps: mu + s**2 * eps, lambda mu, s, eps: (1, s**2 * eps)),
           "values moments bound"),
    Mutant("no_sampling", "z = mu",
           sampler(lambda mu, s, eps: mu + 0 * s, lambda mu, s, eps: (1, 0)),
           "values moments bound"),
    Mutant("noise_without_mean", "z = sigma eps: z says nothing of x",
           sampler(lambda mu, s, eps: s * eps, lambda mu, s, eps: (0, 0.5 * s * eps)),
           "values moments bound"),
    Mutant("noise_scaled", "a hundredth of the noise",
           sampler(lambda mu, s, eps: mu + 0.01 * s * eps, lambda mu, s, eps: (1, 0.005 * s * eps)),
           "values moments bound"),
    Mutant("noise_shared_across_rows", "one eps for all rows",
           sampler(lambda mu, s, eps: mu + s * eps[:1], lambda mu, s, eps: (1, 0.5 * s * eps[:1])),
           "values moments"),
    Mutant("z_clipped", "z kept within [-5, 5], with no gradient beyond: units that leave never come back",
           sampler(lambda mu, s, eps: minimum(maximum(mu + s * eps, -5), 5),
                   lambda mu, s, eps: (inside := abs((mu + s * eps).real) < 5, inside * 0.5 * s * eps)),
           "moments"),
    Mutant("uniform_noise", "eps from [0, 1) in place of N(0, 1)",
           method(VAE, "noise", lambda self, B, rng: rng.random((B, self.latent_dim))),
           "moments bound"),
]  # fmt: skip

REDUCTION = [
    Mutant("recon_mean_over_pixels", "the mean over D for the sum: beta is D times what it says",
           likelihood_times(lambda x: 1 / x.shape[1]),
           "values normalization copied_pixel bound"),
    Mutant("both_means", "means over D and over Z: beta is D/Z of what it says",
           both(KL[0].plant, likelihood_times(lambda x: 1 / x.shape[1])),
           "values monte_carlo_kl normalization inactive_latent copied_pixel bound"),
    Mutant("sum_over_the_batch", "loss and gradient grow with the batch",
           both(terms_times(lambda B: B), gradient_times(lambda B: B)),
           "values duplicates bound"),
    Mutant("elbo_minimized", "the ELBO handed to a minimizer as its loss",
           both(terms_times(lambda B: -1), gradient_times(lambda B: -1)),
           "values bound"),
    Mutant("beta_in_the_reported_elbo", "-(reconstruction + beta kl) called ELBO",
           method(Loss, "elbo", property(lambda self: -self.total)),
           "values"),
]  # fmt: skip

LIKELIHOOD = [
    Mutant("gaussian_without_constant", "1/2 log 2 pi left out: not a likelihood, and no two models compare",
           method(likelihoods, "LOG_2PI", 0.0),
           "values normalization bound"),
    Mutant("squared_error_without_half", "(x - out)^2 / sigma^2: called sigma, really sigma / sqrt(2)",
           squared_error_without_half(),
           "values normalization bound"),
    Mutant("bce_missing_second_term", "black pixels cost nothing",
           bernoulli(lambda a, x: x * softplus(-a), lambda a, x: -x * sigmoid(-a)),
           "values normalization"),
    Mutant("probability_clipped", "the log of a probability kept within [1e-7, 1 - 1e-7]",
           bernoulli(lambda a, x: -x * log(maximum(sigmoid(a), 1e-7)) - (1 - x) * log(maximum(sigmoid(-a), 1e-7)),
                     lambda a, x: sigmoid(a) - x),
           "values"),
    Mutant("bce_gradient_cancellation", "sigmoid(a) - x, which is 0 for confident right answers",
           bernoulli(lambda a, x: maximum(a, 0) * (1 - x) + maximum(-a, 0) * x + log1p(exp(-maximum(a, -a))),
                     lambda a, x: sigmoid(a) - x),
           "values"),
    Mutant("data_outside_unit_interval", "any number accepted as a pixel",
           method(Bernoulli, "check_data", lambda self, x: None),
           "refusals"),
    Mutant("sigmoid_missing", "logits shown as probabilities",
           method(Bernoulli, "mean", lambda self, out: out),
           "normalization"),
    Mutant("sigmoid_twice", "a probability squashed again: never below 1/2",
           method(Bernoulli, "mean", lambda self, out: sigmoid(sigmoid(out))),
           "normalization"),
    Mutant("softplus_as_probability", "ones drawn with probability softplus(a)",
           method(Bernoulli, "sample", lambda self, out, rng: (rng.random(out.shape) < softplus(out)).astype(out.dtype)),
           "normalization"),
]  # fmt: skip

# --- right values with a wrong gradient: what derivative checks are for ---------------------------------------------------------

BACKWARD = [
    Mutant("missing_batch_mean", "no 1/B", gradient_times(lambda B: B), "derivative duplicates"),
    Mutant("gradient_factor_two", "2 x", gradient_times(lambda B: 2), "derivative"),
    Mutant("tanh_derivative", "1 - y for 1 - y^2", layer_backward(Tanh, lambda dy, y: dy * (1 - y)), "derivative"),
    Mutant("missing_activation_derivative", "dy passed on", layer_backward(Tanh, lambda dy, y: dy), "derivative"),
    Mutant("relu_mask_forgotten", "dy passed on where x < 0", layer_backward(ReLU, lambda dy, active: dy), "derivative"),
    Mutant("weight_transposed", "dy W where the shapes allow it",
           dense_backward(W=lambda layer: layer.W if layer.n_in == layer.n_out else layer.W.T), "derivative inactive_latent"),
    Mutant("bias_mean", "1/B once more", dense_backward(db=lambda dy: dy.mean(axis=0)), "derivative duplicates adam"),
    Mutant("last_row_only", "the last example for all", dense_backward(dW=lambda x, dy: x[-1:].T @ dy[-1:]),
           "derivative duplicates adam"),
    Mutant("gaussian_gradient_half", "half of dL/dout", gaussian_gradient_times(0.5), "derivative"),
    Mutant("gradient_accumulates", "+= for =: the first call is right", method(Dense, "backward", accumulating),
           "purity duplicates"),
    Mutant("relu_writes_upstream", "the upstream gradient overwritten", layer_backward(ReLU, writes_upstream), "purity"),
    Mutant("cache_overwritten", "the cache used up by one backward pass", layer_backward(Tanh, overwrites_cache), "purity"),
    Mutant("no_gradient_through_sampling", "the reconstruction does not reach the encoder",
           sampler_backward(lambda mu, s, eps: (0, 0)), "derivative"),
    Mutant("encoder_branch_dropped", "no way back through sigma", sampler_backward(lambda mu, s, eps: (1, 0)), "derivative"),
    Mutant("reparam_missing_half", "s eps", sampler_backward(lambda mu, s, eps: (1, s * eps)), "derivative"),
    Mutant("reparam_missing_sigma", "1/2 eps", sampler_backward(lambda mu, s, eps: (1, 0.5 * eps)), "derivative"),
    Mutant("reparam_missing_eps", "1/2 s", sampler_backward(lambda mu, s, eps: (1, 0.5 * s)), "derivative"),
    Mutant("reparam_logvar_for_sigma", "1/2 lv eps", sampler_backward(lambda mu, s, eps: (1, log(s) * eps)), "derivative"),
    Mutant("stale_noise", "the noise of another draw", sampler_backward(lambda mu, s, eps: (1, 0.5 * s * eps[::-1])),
           "derivative"),
    Mutant("heads_swapped", "dmu into the logvar head and back", method(vae, "reparameterize_backward", swapped_heads),
           "derivative"),
    Mutant("kl_gradient_missing", "the KL in the loss alone", kl_backward(lambda mu, lv: (0 * mu, 0 * lv)), "derivative"),
    Mutant("kl_gradient_missing_half", "sigma^2 - 1", kl_backward(lambda mu, lv: (mu, expm1(lv))), "derivative"),
    Mutant("kl_gradient_sign", "-mu", kl_backward(lambda mu, lv: (-mu, 0.5 * expm1(lv))), "derivative"),
    Mutant("kl_gradient_not_averaged", "no 1/B in the KL's part", kl_weight(lambda dkl: dkl * len(dkl)), "derivative duplicates"),
    Mutant("backward_without_beta", "beta in the loss alone", kl_weight(lambda dkl: np.full_like(dkl, 1 / len(dkl))),
           "derivative"),
]  # fmt: skip

# --- Adam: no gradient check can see any of these -------------------------------------------------------------------------------

ADAM = [
    Mutant("adam_eps_hat", "a constant eps beside the uncorrected root",
           adam(lambda m, v, c1, c2, eps, *_: math.sqrt(c2) / c1 * m / (sqrt(v) + eps)), "adam"),
    Mutant("adam_eps_hat_wrong_factor", "c2 eps for sqrt(c2) eps in the folded form",
           adam(lambda m, v, c1, c2, eps, *_: math.sqrt(c2) / c1 * m / (sqrt(v) + c2 * eps)), "adam"),
    Mutant("adam_eps_inside_sqrt", "sqrt(vhat + eps)", adam(lambda m, v, c1, c2, eps, *_: m / c1 / sqrt(v / c2 + eps)), "adam"),
    Mutant("adam_no_bias_correction", "m / (sqrt(v) + eps)", adam(lambda m, v, c1, c2, eps, *_: m / (sqrt(v) + eps)), "adam"),
    Mutant("adam_no_sqrt", "mhat / vhat", adam(lambda m, v, c1, c2, eps, *_: m / c1 / (v / c2 + eps)), "adam"),
    Mutant("adam_multiplies", "times the root", adam(lambda m, v, c1, c2, eps, *_: m / c1 * (sqrt(v / c2) + eps)), "adam"),
    Mutant("adam_t_per_tensor", "t counts twice a step", adam(adam_step, t=lambda t: 2 * t), "adam"),
    Mutant("adam_t_unused", "the correction of step 1 for ever", adam(adam_step, t=lambda t: 1), "adam"),
    Mutant("adam_first_moment_loses_history", "m = (1 - beta1) g",
           adam(adam_step, averages=lambda g, m, v, b1, b2: ((1 - b1) * g, b2 * v + (1 - b2) * g * g)), "adam"),
    Mutant("adam_stale_moments", "the moments of the step before",
           adam(lambda m, v, c1, c2, eps, old_m, old_v: adam_step(old_m, old_v, c1, c2, eps)), "adam"),
    Mutant("adam_default_drift", "lr = 0.001001 where the paper says 0.001",
           method(Adam.__init__, "__defaults__", (1.001e-3, 0.9, 0.999, 1e-8)), "adam"),
    Mutant("adam_state_not_saved", "a resumed run starts its averages anew",
           method(Adam, "state_dict", lambda self: {"t": 0, "m": None, "v": None}), "adam"),
]  # fmt: skip

CONSISTENT = KL + SAMPLE + REDUCTION + LIKELIHOOD
NEED_TWO_CALLS = {"gradient_accumulates", "relu_writes_upstream", "cache_overwritten"}  # the first gradient is right
MUTANTS = CONSISTENT + BACKWARD + ADAM


def test_the_library_passes_the_whole_battery():
    assert failing() == set()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.id for mutant in MUTANTS])
def test_a_planted_mistake_is_seen_by_the_checks_in_the_table(mutant, monkeypatch):
    mutant.plant(monkeypatch)
    assert failing() == set(mutant.seen_by.split()) != set(), mutant.what


def test_a_derivative_check_sees_wrong_gradients_and_no_wrong_loss():
    """The lesson of the table: derivatives prove agreement, not truth, and say nothing about sampling or an optimizer."""
    seen = {mutant.id: set(mutant.seen_by.split()) for mutant in MUTANTS}
    assert len(seen) == len(MUTANTS) >= 60
    assert [mutant.id for mutant in CONSISTENT + ADAM if "derivative" in seen[mutant.id]] == []
    assert {mutant.id for mutant in BACKWARD if "derivative" not in seen[mutant.id]} == NEED_TWO_CALLS
    assert set().union(*seen.values()) == set(CHECKS), "every check earns its place"
