"""Right on paper, wrong in floating point; and functions that do more than they say."""

from functools import partial

import numpy as np
from numpy import exp, log, log1p, maximum, minimum

from npvae.core import checks, gaussian, numerics
from npvae.core.layers import Tanh
from npvae.core.likelihoods import Bernoulli
from npvae.core.numerics import sigmoid
from npvae.core.parameters import Layer
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import bernoulli, bernoulli_backward, both, everywhere, kl, method

_ = partial(exhibit, "numerics")


def stable_nll(a, x):
    """The Bernoulli term as it should be."""
    return maximum(a, 0) * (1 - x) + maximum(-a, 0) * x + log1p(exp(-maximum(a, -a)))


def clipped(p, lowest):
    """p within [lowest, 1 - lowest], in its own precision."""
    return minimum(maximum(p, p.real.dtype.type(lowest)), p.real.dtype.type(1 - lowest))


def naive_logsumexp(a, axis):
    """log sum exp, without the shift."""
    return log(np.sum(exp(a), axis=axis))


def own_formula(self, out, x, dnll=None, right=Bernoulli.nll_and_grad):
    """nll_and_grad with a formula of its own for the nll."""
    return np.sum(log(1 + exp(out)) - x * out, axis=1), right(self, out, x, dnll)[1]


def rebinding(self, name, value, right=Layer.__setattr__):
    """layer.W = value makes W another array."""
    right(self, name, value) if name not in self.__dict__ else self.__dict__.update({name: value})


def eps_overwritten(dz, cache):
    """reparameterize_backward that uses eps as its work space."""
    sigma, eps = cache
    eps *= 0.5 * sigma * dz
    return dz, eps.copy()


def sampled_in_double(mu, logvar, eps):
    """A constant that is an array, and a float64 one."""
    sigma = exp(np.array([0.5]) * logvar)
    return mu + sigma * eps, (sigma, eps)


def nothing(*args, **kwargs):
    """No check at all."""


EXHIBITS = [
    _("naive_softplus", "log(1 + e^a) as it is printed",
      wrong="softplus(a) = log(1 + e^a)", right="softplus(a) = max(a, 0) + log(1 + e^-|a|)   [ACT-5]",
      symptom="infinite beyond a = 709, 0 below -37",
      evidence="jonona's NumPy VAE",
      seen_by="extremes",
      plant=everywhere(numerics.softplus, lambda a: log(1 + exp(a)))),
    _("naive_sigmoid", "1 / (1 + e^-a) as it is printed, on both sides of 0",
      wrong="sigmoid(a) = 1 / (1 + e^-a)", right="sigmoid(a) = e^min(a, 0) / (e^min(a, 0) + e^-max(a, 0))   [ACT-7]",
      symptom="overflow below a = -709, -88 in float32",
      evidence="deep-learning-from-scratch, numpy-ml, MyGrad until #182",
      seen_by="extremes",
      plant=everywhere(numerics.sigmoid, lambda a: 1 / (1 + exp(-a)))),
    _("tanh_sigmoid_tail", "the identity with tanh, which has no digits left for a << 0",
      wrong="sigmoid(a) = 1/2 (1 + tanh(a/2))", right="sigmoid(a) = e^min(a, 0) / (e^min(a, 0) + e^-max(a, 0))   [ACT-7]",
      symptom="0 for 1.93e-22 at a = -50: relative error 1.0",
      seen_by="extremes",
      plant=everywhere(numerics.sigmoid, lambda a: 0.5 * (1 + np.tanh(a / 2)))),
    _("log_of_sigmoid", "the logarithm of a number that is 0 already",
      wrong="log sigmoid(a) = log(sigmoid(a))", right="log sigmoid(a) = -softplus(-a)",
      symptom="-infinity below a = -745, where -745 is right; 0 above 37",
      seen_by="extremes",
      plant=everywhere(numerics.log_sigmoid, lambda a: log(sigmoid(a)))),
    _("naive_tanh", "the quotient of exponentials",
      wrong="tanh(a) = (e^2a - 1) / (e^2a + 1)", right="tanh(a)   [ACT-1]",
      symptom="NaN at a = 1000: infinity over infinity",
      evidence="micrograd#74",
      seen_by="extremes",
      plant=method(Tanh, "forward", lambda self, x: (y := (exp(2 * x) - 1) / (exp(2 * x) + 1), y))),
    _("logsumexp_unshifted", "the sum of exponentials without the maximum taken out",
      wrong="logsumexp(a) = log sum_i e^a_i", right="logsumexp(a) = m + log sum_i e^(a_i - m),  m = max a_i   [LSE-1]",
      symptom="-infinity or NaN for log-weights near -1000, where -1000.0786 is right",
      evidence="xqding/Importance_Weighted_Autoencoders#2, #3",
      seen_by="extremes",
      plant=everywhere(numerics.logsumexp, naive_logsumexp)),
    _("kl_cancellation", "e^logvar - 1 without expm1: right on paper, no digits left near the prior",
      wrong="1/2 ( mu^2 + e^logvar - 1 - logvar )", right="1/2 ( mu^2 + expm1(logvar) - logvar )   [KL-1]",
      symptom="100 % wrong at logvar = 1e-8, 3.3e-6 at 1e-5",
      seen_by="values",
      plant=kl(lambda mu, lv: 0.5 * (mu**2 + exp(lv) - 1 - lv), lambda mu, lv: (mu, 0.5 * (exp(lv) - 1)))),
    _("probability_clipped", "the log of a probability kept within [1e-7, 1 - 1e-7]",
      wrong="nll = -log clip(sigmoid(l), 1e-7, 1 - 1e-7)", right="nll = softplus(-l) at x = 1   [BER-1]",
      symptom="16.118 for 30 nats at logit -30, x = 1, and beyond that a loss that never changes",
      evidence="numpy-ml VAELoss, hwalsuklee, VampPrior code",
      seen_by="extremes",
      plant=bernoulli(lambda a, x: -x * log(maximum(sigmoid(a), 1e-7)) - (1 - x) * log(maximum(sigmoid(-a), 1e-7)),
                      lambda a, x: sigmoid(a) - x)),
    _("eps_too_small_for_float32", "a safeguard that float32 rounds away",
      wrong="nll = -log clip(sigmoid(l), 1e-15, 1 - 1e-15)", right="nll from the logits   [BER-1]",
      symptom="in float32 1 - 1e-15 = 1, and log(1 - 1) = -infinity: NaN",
      evidence="scikit-learn#24315, #16117",
      seen_by="extremes",
      plant=bernoulli(lambda a, x: -x * log(clipped(sigmoid(a), 1e-15)) - (1 - x) * log(1 - clipped(sigmoid(a), 1e-15)),
                      lambda a, x: sigmoid(a) - x)),
    _("bce_division", "the chain rule step by step, through a division by p",
      wrong="dnll/dl = ((1-x) / (1-p) - x / p) p (1-p)", right="dnll/dl = (1-x) sigmoid(l) - x sigmoid(-l)   [BER-2]",
      symptom="0/0 = NaN where 1 - p is 0: at l > 37 in float64, l > 17 in float32",
      evidence="kwj2104/Simple-Variational-Autoencoder",
      seen_by="extremes",
      plant=bernoulli_backward(lambda a, x: ((1 - x) / (1 - sigmoid(a)) - x / sigmoid(a)) * sigmoid(a) * (1 - sigmoid(a)))),
    _("bce_gradient_cancellation", "sigmoid(l) - x, which is 0 for confident right answers",
      wrong="dnll/dl = sigmoid(l) - x", right="dnll/dl = (1-x) sigmoid(l) - x sigmoid(-l)   [BER-2]",
      symptom="0 for -4.248e-18 at l = 40, x = 1",
      seen_by="extremes",
      plant=bernoulli(stable_nll, lambda a, x: sigmoid(a) - x)),
    _("gradient_formula_duplicated", "the loss written twice, once beside its gradient, and one copy is worse",
      wrong="nll_and_grad: nll = log(1 + e^l) - x l", right="one formula for nll and nll_and_grad   [BER-1]",
      symptom="infinite at l = 800 in one, 0 in the other",
      evidence="scikit-learn#28046",
      seen_by="extremes",
      plant=method(Bernoulli, "nll_and_grad", own_formula)),
    _("silent_broadcast", "shapes that NumPy stretches in silence",
      wrong="(B, 1) with (B, Z)", right="equal shapes, or an error",
      symptom="a KL of (3,) from mu (3, 1) and logvar (3, 4): numbers, and no error",
      evidence="a published tutorial; PyTorch's squared error only warns",
      seen_by="refusals",
      plant=both(everywhere(checks.same_shape, nothing), everywhere(checks.has_shape, nothing))),
    _("float64_creep", "a float64 constant in a float32 model",
      wrong="sigma = e^(np.array([0.5]) logvar)", right="sigma = e^(0.5 logvar)   [REP-1]",
      symptom="from there on float64: 2 times slower, without a word",
      evidence="HIPS/autograd#163, #172, #199, dlsyscourse/hw1#20, tinygrad commit dc325af",
      seen_by="precision",
      plant=everywhere(gaussian.reparameterize, sampled_in_double)),
    _("input_written", "an argument used as work space",
      wrong="eps *= 1/2 sigma dz", right="dlogvar = 1/2 sigma eps dz   [REP-3]",
      symptom="the first gradient is right; a second step with the same noise has another, 100 % of it",
      evidence="deep-learning-from-scratch, kwj2104",
      seen_by="derivative purity",
      plant=everywhere(gaussian.reparameterize_backward, eps_overwritten)),
    _("views_rebound", "layer.W = ... makes another array, and the model's vector keeps the old one",
      wrong="self.W = value", right="self.W[...] = value",
      symptom="the optimizer trains a W that 0 layers use",
      seen_by="memory",
      plant=method(Layer, "__setattr__", rebinding)),
]  # fmt: skip
