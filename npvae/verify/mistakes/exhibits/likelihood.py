"""Wrong likelihoods, each with the gradient that belongs to it."""

from functools import partial

import numpy as np
from numpy import log, maximum, minimum

from npvae.core import likelihoods
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.numerics import sigmoid, softplus
from npvae.models.base import Model
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import bernoulli, likelihood_times, method, squared_error_without_half

_ = partial(exhibit, "likelihood")

EXHIBITS = [
    _("gaussian_without_constant", "the constant of the Gaussian left out: no likelihood, and no two models compare",
      wrong="nll = sum_d 1/2 ((x - out) / sigma)^2 + D log sigma",
      right="nll = sum_d 1/2 ((x - out) / sigma)^2 + D log sigma + D/2 log 2 pi   [NOR-1]",
      symptom="0.918939 nats short per pixel: 720.45 for 784 pixels",
      evidence="pythae (the loss lacks what its NLL has), AntixK/PyTorch-VAE#56, pyautoencoder",
      seen_by="values normalization bound ordering",
      plant=method(likelihoods, "LOG_2PI", 0.0)),
    _("squared_error_without_half", "(x - out)^2 / sigma^2: called sigma, really sigma / sqrt(2)",
      wrong="nll = sum_d ((x - out) / sigma)^2 + ...", right="nll = sum_d 1/2 ((x - out) / sigma)^2 + ...   [NOR-1]",
      symptom="the density integrates to 0.7071 in place of 1; beta is off by a factor of 2",
      evidence="published tutorials: one scales by 1, one by 1/2, one by the mean",
      seen_by="values normalization bound ordering",
      plant=squared_error_without_half()),
    _("mse_called_bernoulli", "squared error of probabilities in place of the cross-entropy, as if they were alike",
      wrong="nll = sum_d (x - sigmoid(l))^2", right="nll = sum_d (1-x) softplus(l) + x softplus(-l)   [BER-1]",
      symptom="a certain and wrong pixel costs 1 nat, where the likelihood asks |l|: 30 at logit 30",
      evidence="three published tutorials ('MSE or cross-entropy')",
      seen_by="values normalization extremes",
      plant=bernoulli(lambda a, x: (x - sigmoid(a)) ** 2, lambda a, x: 2 * (sigmoid(a) - x) * sigmoid(a) * sigmoid(-a))),
    _("bce_missing_second_term", "black pixels cost nothing",
      wrong="nll = -sum_d x log s", right="nll = -sum_d x log s + (1-x) log(1-s),  s = sigmoid(l)   [BER-1]",
      symptom="the loss of an all-white picture is 0, whatever x is",
      evidence="a published tutorial",
      seen_by="values normalization",
      plant=bernoulli(lambda a, x: x * softplus(-a), lambda a, x: -x * sigmoid(-a))),
    _("logits_as_probabilities", "logits handed to a cross-entropy of probabilities, which clips them",
      wrong="nll = -sum_d x log l + (1-x) log(1-l)", right="nll = -sum_d x log s + (1-x) log(1-s),  s = sigmoid(l)   [BER-1]",
      symptom="outside 0 < l < 1 the gradient is 0, and a wrong pixel costs 16.118 (1e-7) whether l is 2 or 200",
      evidence="a published tutorial",
      seen_by="values normalization extremes",
      plant=bernoulli(lambda a, x: -x * log(_clipped(a)) - (1 - x) * log(1 - _clipped(a)),
                      lambda a, x: _inside(a) * ((1 - x) / (1 - _clipped(a)) - x / _clipped(a)))),
    _("likelihood_sign", "+ log p(x|z) added to the loss: the decoder is paid for being wrong",
      wrong="loss = 1/B sum_b log p(x|z) + beta KL", right="loss = 1/B sum_b -log p(x|z) + beta KL   [ELBO-4]",
      symptom="the reconstruction of the check's model: -4.9004 in place of 4.9004 nats; probabilities that sum to 261.2",
      evidence="pythae get_nll, whose test asserts a negative NLL of binary data",
      seen_by="values normalization bound ordering extremes",
      plant=likelihood_times(lambda x: -1)),
    _("data_outside_unit_interval", "any number accepted as a pixel of a Bernoulli",
      wrong="x in R", right="x in [0, 1]   [BER-1]",
      symptom="no lower bound: x = 1.5 gives -50 nats at logit 100 and -500 at 1000",
      evidence="a published tutorial (isotropic Gaussian data under a cross-entropy)",
      seen_by="refusals",
      plant=method(Bernoulli, "check_data", lambda self, x: None)),
    _("uint8_not_scaled", "8-bit pixels taken as they are",
      wrong="x in 0..255", right="x / 255",
      symptom="squared error starts near 7,283 per pixel on MNIST, 0.112 when scaled; beta is 65,025 times smaller",
      evidence="a published tutorial",
      seen_by="refusals",
      plant=method(Model, "as_data", lambda self, where, x: np.asarray(x).astype(self.real_dtype, copy=False))),
    _("sigmoid_missing", "logits shown as probabilities",
      wrong="E[x|z] = l", right="E[x|z] = sigmoid(l)   [BER-1]",
      symptom="'probabilities' such as -2.0 and 1.5, where 0.119 and 0.818 are right",
      evidence="FluxML/model-zoo#267, #289",
      seen_by="normalization",
      plant=method(Bernoulli, "mean", lambda self, out: out)),
    _("sigmoid_twice", "a probability squashed again",
      wrong="E[x|z] = sigmoid(sigmoid(l))", right="E[x|z] = sigmoid(l)   [BER-1]",
      symptom="every picture lies within 0.5 and 0.731: grey; a black pixel would cost at least ln 2 = 0.693 nats",
      evidence="FluxML/model-zoo#267, focal-loss-pytorch#5",
      seen_by="normalization",
      plant=method(Bernoulli, "mean", lambda self, out: sigmoid(sigmoid(out)))),
    _("softplus_as_probability", "ones drawn with probability softplus(l)",
      wrong="p(x=1|z) = softplus(l)", right="p(x=1|z) = sigmoid(l)   [BER-1]",
      symptom="0.693 in place of 0.5 at logit 0; above 1 beyond logit 0.541",
      evidence="jax examples/mnist_vae.py",
      seen_by="normalization",
      plant=method(Bernoulli, "sample", lambda self, out, rng: (rng.random(out.shape) < softplus(out)).astype(out.dtype))),
    _("sample_with_variance_for_sigma", "samples wider or narrower than their own density: sigma^2 where sigma belongs",
      wrong="x = out + sigma^2 noise", right="x = out + sigma noise   [NOR-1]",
      symptom="at sigma = 0.7 samples have a standard deviation of 0.49",
      seen_by="normalization",
      plant=method(Gaussian, "sample", lambda self, out, rng: out + self._sigma()[0] ** 2 * rng.standard_normal(out.shape))),
]  # fmt: skip


def _clipped(a):
    return minimum(maximum(a, 1e-7), 1 - 1e-7)


def _inside(a):
    return (a.real > 1e-7) & (a.real < 1 - 1e-7)
