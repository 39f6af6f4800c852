"""Wrong samples and wrong noise; a wrong sample comes with the gradient that belongs to it."""

from functools import partial

import numpy as np
from numpy import exp, expm1, log, maximum, minimum

from npvae.core import layers
from npvae.models import VAE
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import both, kl, method, noise, sampler

_ = partial(exhibit, "sampling")
RIGHT = "z = mu + sigma eps,  sigma = e^(logvar/2)   [REP-1]"


def tanh_on_mean():
    """mu = tanh(head), the same everywhere, and the chain rule through it."""

    def split(self, code):
        return np.tanh(code[:, : self.latent_dim]), code[:, self.latent_dim :]

    sample = sampler(lambda mu, s, eps: mu + s * eps, lambda mu, s, eps: (1 - mu**2, 0.5 * s * eps))
    divergence = kl(lambda mu, lv: 0.5 * (mu**2 + expm1(lv) - lv), lambda mu, lv: (mu * (1 - mu**2), 0.5 * expm1(lv)))
    return both(method(VAE, "_split", split), sample, divergence)


def noisy_encoder(encode=VAE.encode):
    """encode returns a draw of z for mu."""
    hidden = np.random.default_rng(0)

    def noisy(self, x):
        mu, logvar = encode(self, x)
        return mu + exp(logvar / 2) * hidden.standard_normal(mu.shape, mu.dtype), logvar

    return method(VAE, "encode", noisy)


def seeded_anew(initialize):
    """Initial weights from a generator of the layer's own, with the same seed every time."""
    return lambda n_in, n_out, rng: initialize(n_in, n_out, np.random.default_rng(123))


HIDDEN = np.random.default_rng(0)  # what a global generator is to a function that has been handed another

EXHIBITS = [
    _("variance_as_sigma", "e^logvar taken for sigma",
      wrong="z = mu + e^logvar eps", right=RIGHT,
      symptom="standard deviation 3.99 measured for a variance of 4, where 2 is right; finite differences agree to 5e-10",
      evidence="numpy-ml models/vae.py, keras-team/keras#3283, #9970, #9972, rachtsingh/ibp_vae#3, vae_tacotron2#3, BVAE-tf#7, "
      "PaddlePaddle/Paddle#3770, sutaoyu/IBMEA#2",
      seen_by="unbiased values moments bound ordering",
      plant=sampler(lambda mu, s, eps: mu + s**2 * eps, lambda mu, s, eps: (1, s**2 * eps))),
    _("std_head_used_as_logvar", "a head called 'standard deviation' multiplies the noise, and the KL reads it as logvar",
      wrong="z = mu + logvar eps", right=RIGHT,
      symptom="at logvar = -9 the standard deviation is 9, where 0.0111 is right",
      evidence="y0ast/VAE-Torch#3, a published tutorial (in its text)",
      seen_by="unbiased values moments bound ordering",
      plant=sampler(lambda mu, s, eps: mu + 2 * log(s) * eps, lambda mu, s, eps: (1, eps))),
    _("no_logvar_head", "an encoder without a second head: sigma is 1 whatever x is",
      wrong="z = mu + eps,  KL = sum_z 1/2 mu^2", right="q(z|x) = N(mu(x), diag sigma^2(x))   [ELBO-3]",
      symptom="the gradient of logvar is 0; the ELBO of a perfect encoder falls short of log p(x)",
      evidence="a published tutorial (sigma is read from a variable that does not exist)",
      seen_by="unbiased values moments monte_carlo_kl kl_at_prior bound ordering",
      plant=both(sampler(lambda mu, s, eps: mu + 0 * s + eps, lambda mu, s, eps: (1, 0)),
                 kl(lambda mu, lv: 0.5 * mu**2 + 0 * lv, lambda mu, lv: (mu, 0 * lv)))),
    _("no_sampling", "z is the mean: no sample at all",
      wrong="z = mu", right=RIGHT,
      symptom="variance of z 0 where e^logvar is right; the KL sends sigma to 1 and the pictures do not care",
      evidence="a published tutorial",
      seen_by="unbiased values moments bound ordering",
      plant=sampler(lambda mu, s, eps: mu + 0 * s, lambda mu, s, eps: (1, 0))),
    _("noise_without_mean", "z says nothing of x but through sigma",
      wrong="z = sigma eps", right=RIGHT,
      symptom="mu goes to 0, and sigma(x) alone tells little: at most a nat or two less than the mean image's 25.1 on digits",
      evidence="a published tutorial",
      seen_by="unbiased values moments bound ordering",
      plant=sampler(lambda mu, s, eps: s * eps, lambda mu, s, eps: (0, 0.5 * s * eps))),
    _("noise_scaled", "a hundredth of the noise",
      wrong="z = mu + 0.01 sigma eps", right=RIGHT,
      symptom="an objective of about 60 on MNIST, where 90 to 100 is right",
      evidence="keras-team/keras#4211",
      seen_by="unbiased values moments bound ordering",
      plant=sampler(lambda mu, s, eps: mu + 0.01 * s * eps, lambda mu, s, eps: (1, 0.005 * s * eps))),
    _("extra_jitter", "a little more noise on z, 'to be safe'",
      wrong="z = mu + sigma eps + 0.01 noise", right=RIGHT,
      symptom="variance of z e^logvar + 0.0001, which is not the one in the KL: 2.23e-4 for 1.23e-4 at logvar = -9",
      evidence="a published tutorial",
      seen_by="unbiased values moments duplicates inactive_latent ordering",
      plant=sampler(lambda mu, s, eps: mu + s * eps + 0.01 * np.random.default_rng(0).standard_normal(eps.shape, eps.dtype),
                    lambda mu, s, eps: (1, 0.5 * s * eps))),
    _("noise_shared_across_rows", "one eps shared by all rows of the batch",
      wrong="z_b = mu_b + sigma_b eps_1", right="z_b = mu_b + sigma_b eps_b   [REP-1]",
      symptom="rows move together: the correlation of neighbouring rows is 1 where 0 is right",
      seen_by="unbiased values moments ordering",
      plant=sampler(lambda mu, s, eps: mu + s * eps[:1], lambda mu, s, eps: (1, 0.5 * s * eps[:1]))),
    _("z_clipped", "z kept within [-5, 5]: units that leave never come back",
      wrong="z = clip(mu + sigma eps, -5, 5)", right=RIGHT,
      symptom="at mu = -8 the mean of z is -5 and its gradient 0",
      evidence="a published tutorial",
      seen_by="moments",
      plant=sampler(lambda mu, s, eps: minimum(maximum(mu + s * eps, -5), 5),
                    lambda mu, s, eps: (inside := abs((mu + s * eps).real) < 5, inside * s * eps * 0.5))),
    _("tanh_on_mean", "a tanh behind the mean's head",
      wrong="mu = tanh(head)", right="mu = head, without bounds   [ELBO-3]",
      symptom="means within -1 and 1, outside of which lies 32 % of the prior",
      evidence="a published tutorial",
      seen_by="unbiased values bound ordering",
      plant=tanh_on_mean()),
    _("uniform_noise", "eps from the wrong distribution",
      wrong="eps ~ U(0, 1)", right="eps ~ N(0, I)   [REP-1]",
      symptom="noise with mean 1/2 and variance 1/12 = 0.083, where 0 and 1 are right",
      seen_by="moments bound",
      plant=noise(lambda shape, rng: rng.random(shape))),
    _("noise_from_elsewhere", "the generator that was handed over is ignored for a global one",
      wrong="eps = global generator", right="eps = rng.standard_normal((B, Z)), rng an argument   [REP-1]",
      symptom="two runs with seed 0 differ by 100 % of the noise; what another part of the program draws changes results",
      evidence="scikit-learn#15266",
      seen_by="randomness resume",
      plant=noise(lambda shape, rng: HIDDEN.standard_normal(shape))),
    _("same_noise_every_call", "a generator made anew, with a seed by default, in each call",
      wrong="rng = default_rng(0) inside noise()", right="one generator, handed along   [REP-1]",
      symptom="every batch gets the same eps: 1 draw where an epoch of MNIST has 60,000",
      evidence="HIPS/autograd examples (default seed 0 in each call)",
      seen_by="bound randomness",
      plant=noise(lambda shape, rng: np.random.default_rng(0).standard_normal(shape))),
    _("same_seed_twice", "every layer seeds itself, with the same number",
      wrong="W = draw(default_rng(123)) in every layer", right="one generator for all layers   [INIT-1]",
      symptom="layers of one shape start equal, correlation 1: mean and logvar heads as one",
      evidence="yburda/iwae (seed 123 everywhere)",
      seen_by="randomness",
      plant=method(layers, "INITIALIZERS", {name: seeded_anew(f) for name, f in layers.INITIALIZERS.items()})),
    _("noise_on_at_inference", "encode draws: it returns a z where mu is asked for",
      wrong="encode(x) = mu + sigma eps, logvar", right="encode(x) = mu, logvar   [ELBO-3]",
      symptom="two calls differ by sigma sqrt(2): 1.5 at logvar = 0.1",
      evidence="a public thread on VAEs in reinforcement learning",
      seen_by="ordering purity",
      plant=noisy_encoder()),
]  # fmt: skip
