"""Wrong numbers in reports: the model may be right, and what is said about it is not."""

from functools import partial

import numpy as np
from numpy import exp, log

from npvae.core import gaussian
from npvae.core.numerics import logsumexp
from npvae.evaluation import bounds
from npvae.models import VAE, Loss
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import everywhere, importance_bound, method

_ = partial(exhibit, "evaluation")
BOUND = "L_K = log 1/K sum_k w_k,  w_k = p(x|z_k) p(z_k) / q(z_k|x)"


def at_the_mean(vae, x, rng, samples=1):
    """log p(x|mu) - KL."""
    mu, logvar = vae.encode(x)
    return -vae.likelihood.nll(vae.decode(mu), x) - gaussian.kl_divergence(mu, logvar)


def without_draws(vae, x, rng, samples=5000, original=bounds.log_likelihood):
    """n samples become 100, without a word."""
    return original(vae, x, rng, samples=100)


def weighted_mean(log_w):
    """sum_k wtilde_k log w_k, what the gradient's surrogate is worth."""
    weights = exp(log_w - logsumexp(log_w, axis=1)[:, None])
    return np.sum(weights * log_w, axis=1)


def density_of_recovered_noise(z, mu, logvar):
    """log q(z|x) from (z - mu) / logvar."""
    eps = (z - mu) / logvar
    return gaussian.log_density(eps, 0 * eps, 0 * eps) - 0.5 * np.sum(logvar, axis=1)


def density_with_sigma(z, mu, logvar):
    """log q(z|x) with sigma for sigma^2."""
    return -0.5 * np.sum(gaussian.LOG_2PI + logvar + (z - mu) ** 2 * exp(-logvar / 2), axis=1)


def kl_reported(change):
    """Loss.kl replaced by change(loss) in what the VAE reports; the total keeps its value."""
    original = VAE._total
    return method(VAE, "_total", staticmethod(lambda nll, kl, beta: change(original(nll, kl, beta))))


EXHIBITS = [
    _("beta_in_the_reported_elbo", "the training objective called ELBO",
      wrong="ELBO = -(reconstruction + beta KL)", right="ELBO = -(reconstruction + KL), whatever beta is   [ELBO-3]",
      symptom="-6.3626 for -5.7605 nats in the check's model at beta = 1.7, and better-looking numbers as beta falls",
      evidence="AntixK/PyTorch-VAE (0.00025 in training, 1.0 in validation)",
      seen_by="values",
      plant=method(Loss, "elbo", property(lambda self: -self.total))),
    _("kl_reported_negative", "minus the KL printed as the KL",
      wrong="kl = -KL", right="kl = KL >= 0, and reconstruction + beta kl is the loss   [ELBO-4]",
      symptom="-0.8601 for 0.8601 nats in the check's model; a collapsed posterior looks like progress",
      evidence="AntixK/PyTorch-VAE",
      seen_by="derivative values bound epochs",
      plant=kl_reported(lambda loss: Loss(loss.total, loss.reconstruction, -loss.kl))),
    _("kl_not_reported", "the 'loss' that is printed is the reconstruction alone",
      wrong="total = reconstruction", right="total = reconstruction + beta kl   [ELBO-4]",
      symptom="4.9004 for 6.3626 nats in the check's model: a collapse stays invisible",
      evidence="abhayran's NumPy VAE",
      seen_by="values epochs",
      plant=kl_reported(lambda loss: Loss(loss.reconstruction, loss.reconstruction, loss.kl))),
    _("elbo_at_posterior_mean", "one decoding of the mean called ELBO",
      wrong="ELBO = log p(x|mu) - KL", right="ELBO = E_q[ log p(x|z) ] - KL   [ELBO-3]",
      symptom="11.208 nats on digits, above the exact log-likelihood of 8.9076: no bound",
      evidence="pyautoencoder (a figure's script, with sampling off in evaluation mode)",
      seen_by="ordering",
      plant=everywhere(bounds.elbo, at_the_mean)),
    _("mean_of_logs", "the mean of the logarithms for the logarithm of the mean: K does not help",
      wrong="L_K = 1/K sum_k log w_k", right=BOUND,
      symptom="-1000.9167 for -1000.0786 in the three-sample example; the ELBO, for every K",
      evidence="arahuja/generative-tf#1",
      seen_by="ordering",
      plant=importance_bound(lambda log_w: np.mean(log_w, axis=1))),
    _("log_k_forgotten", "the sum of the weights for their mean",
      wrong="L_K = log sum_k w_k", right=BOUND,
      symptom="log K too high: 8.5 nats at K = 5000, far above log p(x)",
      seen_by="ordering",
      plant=importance_bound(lambda log_w: logsumexp(log_w, axis=1))),
    _("surrogate_reported_as_bound", "the training surrogate printed as L_K",
      wrong="L_K = sum_k wtilde_k log w_k", right=BOUND,
      symptom="at least L_K and no bound: L_K + log K - entropy of the weights, up to 3.0 nats too high at K = 20",
      evidence="pythae; nbip's README warns of it",
      seen_by="ordering",
      plant=importance_bound(weighted_mean)),
    _("nll_sign", "+ log p(x) under the name of a negative log-likelihood, or the other way round",
      wrong="log_likelihood = -L_K", right=BOUND,
      symptom="-8.9076 for 8.9076 nats: the worst model is reported as the best",
      evidence="pythae get_nll; beware: a positive log-density is legal (chainer#5440)",
      seen_by="ordering",
      plant=importance_bound(lambda log_w: log(log_w.shape[1]) - logsumexp(log_w, axis=1))),
    _("samples_ignored", "fewer samples than a batch silently become a batch",
      wrong="K = 100 when 1 was asked for", right=BOUND + ", K exactly",
      symptom="n_samples = 1 yields L_100: better than the ELBO that it should equal",
      evidence="pythae",
      seen_by="ordering",
      plant=everywhere(bounds.log_likelihood, without_draws)),
    _("eps_recovered_by_logvar", "the noise recovered with logvar where sigma belongs",
      wrong="eps = (z - mu) / logvar", right="eps = (z - mu) / sigma   [REP-1]",
      symptom="weights infinite near logvar = 0 (division by 0), wrong elsewhere",
      evidence="AntixK/PyTorch-VAE IWAE",
      seen_by="ordering",
      plant=importance_bound(lambda log_w: logsumexp(log_w, axis=1) - log(log_w.shape[1]), density_of_recovered_noise)),
    _("density_with_sigma_for_variance", "sigma where sigma^2 belongs in the density that the weights divide by",
      wrong="log q = -1/2 sum_z log 2 pi + logvar + (z - mu)^2 / sigma", right="... (z - mu)^2 / sigma^2   [GAU-1]",
      symptom="with the exact posterior L_K no longer is log p(x) for every K = 1, 2, 3 ...",
      seen_by="ordering",
      plant=importance_bound(lambda log_w: logsumexp(log_w, axis=1) - log(log_w.shape[1]), density_with_sigma)),
]  # fmt: skip
