"""Mistakes in the importance-weighted bound as an objective, and in the estimators of gradients."""

from functools import partial

import numpy as np
from numpy import exp

from npvae.beyond import draws, estimators, importance
from npvae.beyond.importance import log_weights, normalized, path_backward, total_backward
from npvae.core.numerics import logsumexp
from npvae.models.base import Loss
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import everywhere


def objective(name, backward, total=None):
    """An objective of K draws with another way back, backward(vae, samples, eps, log_w), and another total(log_w) -> (B,)."""

    def wrong(vae, x, eps, condition=None):
        vae, x, eps = draws.arguments(name, vae, x, eps, condition)
        with np.errstate(all="ignore"):
            samples = draws.forward(vae, x, eps)
            nll, log_w = log_weights(vae, samples, eps)
            backward(vae, samples, eps, log_w)
            loss = importance.importance_loss(nll, log_w)
        return loss if total is None else loss._replace(total=np.mean(total(log_w)).item())

    return wrong


def instead_of_l_k(backward, total=None):
    """Plants another importance_weighted."""
    return everywhere(importance.importance_weighted, objective("importance_weighted", backward, total))


def instead_of_dreg(backward):
    """Plants another doubly_reparameterized."""
    return everywhere(importance.doubly_reparameterized, objective("doubly_reparameterized", backward))


# --- L_K --------------------------------------------------------------------------------------------------------------------------


def shares_of_losses(log_w):
    """softmax of the losses -log w: the worst draw counts most."""
    return exp(-log_w - logsumexp(-log_w, axis=0))


def backward_of_weighted_losses(vae, samples, eps, log_w):
    """Of sum_k v_k (-log w_k) with those shares, which depend on the losses, too: v_k (1 + l_k - sum_j v_j l_j), l = -log w."""
    v = shares_of_losses(log_w)
    total_backward(vae, samples, v * (1 - log_w + np.sum(v * log_w, axis=0)) / len(samples.x))


def backward_of_mean(vae, samples, eps, log_w):
    """Of -1/K sum_k log w_k."""
    total_backward(vae, samples, np.full_like(log_w, 1 / log_w.size))


def right_backward(vae, samples, eps, log_w):
    """As it should be."""
    total_backward(vae, samples, normalized(log_w) / len(samples.x))


def shares_not_held(vae, samples, eps, log_w):
    """Of sum_k v_k log w_k with v = w / sum w differentiated, too."""
    v = normalized(log_w)
    total_backward(vae, samples, v * (1 + log_w - np.sum(v * log_w, axis=0)) / len(samples.x))


def without_score(vae, samples, eps, log_w):
    """log q(z|x) taken for a constant of the encoder: only nll and log p(z) go back through z."""
    v = normalized(log_w) / len(samples.x)
    _, dz = draws.decoder_backward(vae, samples, v)
    draws.encoder_backward(vae, samples, dz + v[:, :, None] * samples.z, 0 * samples.mu, 0 * samples.logvar)


def unshifted(log_w):
    """w / sum w, of the weights themselves."""
    w = exp(log_w)
    return w / np.sum(w, axis=0)


# --- DReG -------------------------------------------------------------------------------------------------------------------------


def shares_not_squared(vae, samples, eps, log_w):
    """v_k dlog w_k/dz dz/dphi."""
    v = normalized(log_w)
    path_backward(vae, samples, eps, v / len(samples.x), np.ones_like(v))


def squared_everywhere(vae, samples, eps, log_w):
    """v_k^2, for the decoder as well."""
    v = normalized(log_w)
    path_backward(vae, samples, eps, v**2 / len(samples.x), np.ones_like(v))


def log_q_not_held(vae, samples, eps, log_w):
    """v_k^2 dlog w_k/dphi for the encoder: through mu and sigma of log q, too."""
    v, B = normalized(log_w), len(samples.x)
    total_backward(vae, samples, v**2 / B)
    of_encoder = [gradient.copy() for name, _, gradient in vae.params if name.startswith("encoder.")]
    total_backward(vae, samples, v / B)
    for gradient, wrong in zip((gradient for name, _, gradient in vae.params if name.startswith("encoder.")), of_encoder):
        gradient[...] = wrong


# --- the score function -----------------------------------------------------------------------------------------------------------


def score_without_its_minus_one(vae, samples, eps, signal, mean):
    """dlog q/dlogvar = 1/2 eps^2."""
    draws.decoder_backward(vae, samples, mean)
    signal = signal[:, :, None]
    dmu, dlogvar = -exp(-0.5 * samples.logvar) * np.sum(signal * eps, axis=0), -0.5 * np.sum(signal * eps**2, axis=0)
    draws.encoder_backward(vae, samples, np.zeros_like(samples.z), dmu, dlogvar)


def score_of_a_moving_sample(vae, samples, eps, signal, mean):
    """z not held fixed: the derivative of log q(z|x) with z = mu + sigma eps, which is -1/2 for logvar and 0 for mu."""
    draws.decoder_backward(vae, samples, mean)
    dlogvar = 0.5 * np.sum(signal, axis=0)[:, None] * np.ones_like(samples.mu)
    draws.encoder_backward(vae, samples, np.zeros_like(samples.z), np.zeros_like(samples.mu), dlogvar)


def baseline_of_all(vae, x, eps, condition=None):
    """The mean log w of all draws as baseline, the draw's own among them."""

    def backward(vae, samples, eps, log_w):
        mean = np.full_like(log_w, 1 / log_w.size)
        estimators._score_backward(vae, samples, eps, mean * (log_w - np.mean(log_w, axis=0)), mean)

    loss = objective("leave_one_out", backward, total=lambda log_w: -log_w)(vae, x, eps, condition)
    return Loss(*loss)


consistent, backward, average = (partial(exhibit, family) for family in ("reduction", "backward", "estimators"))
L_K = "loss = -log 1/K sum_k w_k   [IW-1]"
DREG = "v_k^2 dlog w_k/dz dz/dphi for the encoder, v_k dlog w_k/dtheta for the decoder   [DREG-1]"
ONE_SLOPE = "the slope along one direction is all that is asked of an objective"

EXHIBITS = [
    consistent("iwae_weights_on_loss", "importance weights of the losses, in place of those of the draws",
      wrong="loss = sum_k v_k l_k,  v = softmax(l),  l_k = -log w_k", right=L_K,
      symptom="the worst draw counts most: 6.583 nats in the check, where -L_3 is 5.238 and the plain mean 5.697",
      evidence="AntixK/PyTorch-VAE#34, PR#53",
      seen_by="unbiased values",
      plant=instead_of_l_k(backward_of_weighted_losses, lambda log_w: -np.sum(shares_of_losses(log_w) * log_w, axis=0))),
    consistent("iwae_mean_of_logs", "the mean of the logarithms for the logarithm of the mean",
      wrong="loss = -1/K sum_k log w_k", right=L_K,
      symptom="the ELBO with K draws, however large K is: 5.697 nats for 5.238 in the check",
      evidence="arahuja/generative-tf#1",
      seen_by="unbiased values",
      plant=instead_of_l_k(backward_of_mean, lambda log_w: -log_w)),
    consistent("iwae_log_k_forgotten", "a sum of weights where their mean belongs",
      wrong="loss = -log sum_k w_k", right=L_K,
      symptom="log K nats too good, and better with every draw, with the right gradient: 4.140 for 5.238 nats at K = 3",
      evidence="scverse/scvi-tools#13 (one of its two snippets)",
      seen_by="values",
      plant=instead_of_l_k(right_backward, lambda log_w: -logsumexp(log_w, axis=0))),
    exhibit("numerics", "iwae_weights_unshifted", "the shares of the weights without the maximum taken out",
      wrong="v_k = e^(log w_k) / sum_j e^(log w_j)", right="v_k = e^(log w_k - log sum_j w_j)   [IWG-2]",
      symptom="0/0 = NaN in the gradient as soon as log w is below -745, while the loss stays finite",
      evidence="xqding/Importance_Weighted_Autoencoders#2 (is it necessary?), #3 (one of two places has it)",
      seen_by="extremes",
      plant=everywhere(importance.normalized, unshifted)),
    backward("iwae_shares_not_held", "the weights differentiated together with what they weigh",
      wrong="dL_K = d( sum_k v_k log w_k )", right="dL_K = sum_k v_k dlog w_k, the v held constant   [IWG-2]",
      symptom="a second term, v_k (log w_k - sum_j v_j log w_j): a slope of -0.751 for -0.447 in the check",
      evidence="AntixK/PyTorch-VAE PR#53",
      seen_by="derivative unbiased",
      unnamed=ONE_SLOPE,
      plant=instead_of_l_k(shares_not_held)),
    backward("iwae_log_q_constant", "log q(z|x) taken for a constant",
      wrong="dlog w/dlogvar = 0 at fixed z and eps", right="dlog w/dlogvar = 1/2   [IWG-4]",
      symptom="the entropy of q has lost its gradient, and q shrinks to a point: a slope of -2.204 for -0.447 in the check",
      seen_by="derivative unbiased",
      unnamed=ONE_SLOPE,
      plant=instead_of_l_k(without_score)),
    average("dreg_shares_not_squared", "the gradient through z alone, with the weights of the other one",
      wrong="E sum_k v_k dlog w_k/dz dz/dphi", right=DREG,
      symptom="biased for K > 1, and right for K = 1, where it is the path derivative",
      evidence="Roeder et al. (2017) propose it for L_K; Tucker et al. (2019) show the bias",
      seen_by="unbiased",
      plant=instead_of_dreg(shares_not_squared)),
    average("dreg_squared_everywhere", "squared weights for the decoder as well",
      wrong="v_k^2 for all parameters", right=DREG,
      symptom="the decoder's gradient too small, by a factor K where all draws are equally good: 0.223 for 0.433 in the check",
      seen_by="unbiased",
      plant=instead_of_dreg(squared_everywhere)),
    average("dreg_log_q_not_held", "squared weights of the whole derivative, log q's mu and sigma included",
      wrong="v_k^2 dlog w_k/dphi", right=DREG,
      symptom="the score of log q comes back, which the squares had replaced: 0.024 for 0.151 in the check",
      seen_by="unbiased",
      plant=instead_of_dreg(log_q_not_held)),
    average("score_without_minus_one", "the score of sigma without its mean taken off",
      wrong="dlog q/dlogvar = 1/2 eps^2", right="dlog q/dlogvar = 1/2 (eps^2 - 1)   [SCORE-2]",
      symptom="a score whose mean is 1/2 and not 0: every nat of log w pushes sigma one way",
      seen_by="unbiased",
      plant=everywhere(estimators._score_backward, score_without_its_minus_one)),
    average("score_of_a_moving_sample", "the score of a sample that moves with mu and sigma",
      wrong="dlog q(mu + sigma eps | x)/dphi", right="dlog q(z|x)/dphi, z held fixed   [SCORE-1]",
      symptom="(z - mu) / sigma = eps does not depend on phi: the gradient for mu is 0, whatever the data are",
      seen_by="unbiased",
      plant=everywhere(estimators._score_backward, score_of_a_moving_sample)),
    average("baseline_of_all_draws", "a baseline that knows the draw itself",
      wrong="baseline_k = 1/K sum_j log w_j", right="baseline_k = 1/(K-1) sum_{j != k} log w_j   [SCORE-3]",
      symptom="(K - 1) / K of the encoder's gradient: half of it at K = 2",
      seen_by="unbiased",
      plant=everywhere(estimators.leave_one_out, baseline_of_all)),
]  # fmt: skip
