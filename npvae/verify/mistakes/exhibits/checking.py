"""Right models that a gradient check accuses: the mistake lies in what the check is given."""

from functools import partial

import numpy as np
from numpy import exp, log1p, maximum

from npvae.core.numerics import sigmoid
from npvae.models import VAE
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import bernoulli, method

_ = partial(exhibit, "checking")


def redrawn(loss=VAE.loss):
    """loss draws its own noise, anew at each call."""
    rng = np.random.default_rng(0)
    return lambda self, x, eps, beta=1.0: loss(self, x, self.noise(len(x), rng), beta)


def jittered(loss=VAE.loss):
    """loss has a sampler of its own, with a little more noise than the one of loss_and_grad."""
    return lambda self, x, eps, beta=1.0: loss(self, x, np.asarray(eps) + 0.01, beta)


EXHIBITS = [
    _("noise_redrawn_in_check", "the loss draws its noise itself",
      wrong="loss(theta), eps ~ N(0, I) inside", right="loss(theta, x, eps), eps an argument   [REP-1]",
      symptom="a numeric gradient of noise / 2h: 1.3e4 against 0.74",
      evidence="pytorch#114333, Odyssey#2090, mlpack#1491 and LBANN#229 (a switch for the check alone)",
      seen_by="derivative values duplicates inactive_latent copied_pixel purity refusals",
      plant=method(VAE, "loss", redrawn())),
    _("model_call_and_step_differ", "two copies of the forward pass, one of them edited",
      wrong="loss: z = mu + sigma (eps + 0.01); loss_and_grad: z = mu + sigma eps",
      right="one z = mu + sigma eps for both   [REP-1]",
      symptom="evaluation is another model, by 8e-6 nats in the check's: in the gradient a relative error of 2e-4",
      evidence="a published tutorial; scikit-learn's two forward passes",
      seen_by="derivative values",
      plant=method(VAE, "loss", jittered())),
    _("complex_unsafe_call", "an absolute value in the forward pass, which cuts the imaginary part off",
      wrong="softplus(a) = max(a, 0) + log(1 + e^-abs(a))", right="e^-max(a, -a), the same for real a   [ACT-5]",
      symptom="by complex step the derivative is 1 or 0 where sigmoid(a) is right: an error of up to 0.5 at a = 0",
      seen_by="derivative",
      plant=bernoulli(lambda a, x: maximum(a, 0) * (1 - x) + maximum(-a, 0) * x + log1p(exp(-np.abs(a))),
                      lambda a, x: (1 - x) * sigmoid(a) - x * sigmoid(-a))),
]  # fmt: skip
