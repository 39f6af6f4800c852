"""Right losses with a wrong gradient, where decoder and encoder meet: the sample, the KL, their weights."""

from functools import partial

import numpy as np
from numpy import expm1, log

from npvae.core import gaussian
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import both, everywhere, kl_backward, kl_weight, sampler_backward

_ = partial(exhibit, "backward")
TO_LOGVAR = "dL/dlogvar = 1/2 sigma eps dL/dz   [REP-3]"


def swapped(original):
    """The two results of a function in each other's place."""
    return everywhere(original, lambda *args, **kwargs: original(*args, **kwargs)[::-1])


def other_noise():
    """The backward pass draws noise of its own, another at each call."""
    rng = np.random.default_rng(0)
    return sampler_backward(lambda mu, s, eps: (1, 0.5 * s * rng.standard_normal(eps.shape, eps.dtype)))


def half_of_logvar(original=gaussian.log_density_backward):
    """log_density_backward with 1/4 in place of 1/2."""

    def backward(x, mu, logvar, dlogp):
        dx, dmu, dlogvar = original(x, mu, logvar, dlogp)
        return dx, dmu, 0.5 * dlogvar

    return everywhere(original, backward)


EXHIBITS = [
    _("no_gradient_through_sampling", "the reconstruction does not reach the encoder",
      wrong="dL/dmu = dKL/dmu alone", right="dL/dmu = dL/dz + beta dKL/dmu   [REP-2]",
      symptom="encoder blocks = 0 x reconstruction + 1 x KL: the posterior goes to the prior",
      seen_by="derivative unbiased",
      diagnosis=("no path through the sampling",),
      plant=sampler_backward(lambda mu, s, eps: (0, 0))),
    _("encoder_branch_dropped", "no way back through sigma",
      wrong="dL/dlogvar = dKL/dlogvar alone", right=TO_LOGVAR,
      symptom="columns Z..2Z-1 of the head = 0 x reconstruction + 1 x KL: sigma goes to 1",
      seen_by="derivative unbiased",
      diagnosis=("(logvar): the gradient of the reconstruction is missing",),
      plant=sampler_backward(lambda mu, s, eps: (1, 0))),
    _("reparam_missing_half", "dsigma/dlogvar taken for sigma",
      wrong="dL/dlogvar = sigma eps dL/dz", right=TO_LOGVAR,
      symptom="the logvar head = 2 x reconstruction + 1 x KL; over many draws z = 136 standard errors off",
      seen_by="derivative unbiased",
      diagnosis=("(logvar): the gradient of the reconstruction term is 2 times too large",),
      plant=sampler_backward(lambda mu, s, eps: (1, s * eps))),
    _("reparam_missing_sigma", "the factor sigma forgotten on the way to logvar",
      wrong="dL/dlogvar = 1/2 eps dL/dz", right=TO_LOGVAR,
      symptom="element by element 1/sigma: 0.6065 of the gradient at logvar = 1",
      seen_by="derivative unbiased",
      diagnosis=("the factor sigma is missing",),
      plant=sampler_backward(lambda mu, s, eps: (1, 0.5 * eps))),
    _("reparam_missing_eps", "the factor eps forgotten on the way to logvar",
      wrong="dL/dlogvar = 1/2 sigma dL/dz", right=TO_LOGVAR,
      symptom="element by element 1/eps; the wrong sign in 50 % of all draws",
      seen_by="derivative unbiased",
      diagnosis=("the factor eps is missing",),
      plant=sampler_backward(lambda mu, s, eps: (1, 0.5 * s))),
    _("reparam_logvar_for_sigma", "logvar where sigma belongs",
      wrong="dL/dlogvar = 1/2 logvar eps dL/dz", right=TO_LOGVAR,
      symptom="element by element logvar/sigma: 0 at logvar = 0, where sigma = 1",
      seen_by="derivative unbiased",
      diagnosis=("logvar in place of sigma",),
      plant=sampler_backward(lambda mu, s, eps: (1, log(s) * eps))),
    _("stale_noise", "the backward pass draws noise of its own",
      wrong="dL/dlogvar = 1/2 sigma eps' dL/dz", right=TO_LOGVAR,
      symptom="relative error 0.23 in the gradient of logvar in the code where it was found",
      evidence="kwj2104 vae.py:111-112",
      seen_by="derivative unbiased duplicates inactive_latent purity randomness resume",
      diagnosis=("draws noise of its own",),
      plant=other_noise()),
    _("heads_swapped", "dmu into the logvar head and back",
      wrong="dcode = (dlogvar, dmu)", right="dcode = (dmu, dlogvar): columns mu, then logvar   [ELBO-4]",
      symptom="columns 0..Z-1 of the head hold what columns Z..2Z-1 should, and the other way round: 100 % of the head",
      seen_by="derivative unbiased",
      diagnosis=("halves are exchanged",),
      plant=both(swapped(gaussian.reparameterize_backward), swapped(gaussian.kl_divergence_backward))),
    _("leftover_upstream", "the encoder's backward pass starts from the decoder's last gradient",
      wrong="dcode = (dz, dz)", right="dcode = (dL/dmu, dL/dlogvar)   [REP-2, REP-3, KL-2, KL-3]",
      symptom="relative error 1.9 in the code where it was found; the shapes agree by symmetry",
      evidence="oakleafwarrior model.py:246-254",
      seen_by="derivative unbiased",
      diagnosis=("equal to the gradient of mu",),
      plant=both(everywhere(gaussian.reparameterize_backward, lambda dz, cache: (dz, dz)),
                 kl_backward(lambda mu, lv: (0 * mu, 0 * lv)))),
    _("logvar_gradient_sign", "the wrong sign of dL/dlogvar",
      wrong="dL/dlogvar = -( ... )", right=TO_LOGVAR,
      symptom="constant ratio -1 in columns Z..2Z-1 of the head: sigma moves away from its optimum",
      seen_by="derivative unbiased",
      diagnosis=("(logvar): of the opposite sign",),
      plant=both(sampler_backward(lambda mu, s, eps: (1, -0.5 * s * eps)), kl_backward(lambda mu, lv: (mu, -0.5 * expm1(lv))))),
    _("kl_gradient_missing", "the KL stands in the loss alone, not in the gradient",
      wrong="dmu = 0, dlogvar = 0", right="dmu = mu dKL, dlogvar = 1/2 (sigma^2 - 1) dKL   [KL-2, KL-3]",
      symptom="encoder blocks = 1 x reconstruction + 0 x KL: the reported KL grows",
      seen_by="derivative",
      diagnosis=("the gradient of the kl term is missing",),
      plant=kl_backward(lambda mu, lv: (0 * mu, 0 * lv))),
    _("kl_gradient_mean_missing", "the KL's gradient of the mean forgotten",
      wrong="dmu = 0", right="dmu = mu dKL   [KL-2]",
      symptom="columns 0..Z-1 of the head = 1 x reconstruction + 0 x KL: means drift freely",
      seen_by="derivative",
      diagnosis=("(mu): the gradient of the kl term is missing",),
      plant=kl_backward(lambda mu, lv: (0 * mu, 0.5 * expm1(lv)))),
    _("kl_gradient_missing_half", "the 1/2 forgotten in the KL's gradient of logvar",
      wrong="dlogvar = (sigma^2 - 1) dKL", right="dlogvar = 1/2 (sigma^2 - 1) dKL   [KL-3]",
      symptom="columns Z..2Z-1 of the head = 1 x reconstruction + 2 x KL",
      seen_by="derivative",
      diagnosis=("(logvar): the gradient of the kl term is 2 times too large",),
      plant=kl_backward(lambda mu, lv: (mu, expm1(lv)))),
    _("kl_gradient_sign", "the means are driven away from 0",
      wrong="dmu = -mu dKL", right="dmu = mu dKL   [KL-2]",
      symptom="columns 0..Z-1 of the head = 1 x reconstruction - 1 x KL",
      evidence="a public 'educational' NumPy VAE",
      seen_by="derivative",
      diagnosis=("(mu): the gradient of the kl term is of the opposite sign",),
      plant=kl_backward(lambda mu, lv: (-mu, 0.5 * expm1(lv)))),
    _("kl_gradient_not_averaged", "the 1/B forgotten in the KL's part of the gradient",
      wrong="dKL = beta", right="dKL = beta/B   [ELBO-4]",
      symptom="encoder blocks = 1 x reconstruction + 7 x KL at B = 7",
      seen_by="derivative duplicates",
      diagnosis=("the gradient of the kl term is 7 times too large", "(1/B) is missing"),
      plant=kl_weight(lambda dkl: dkl * len(dkl))),
    _("backward_without_beta", "beta stands in the loss alone, not in the gradient",
      wrong="dKL = 1/B", right="dKL = beta/B   [ELBO-4]",
      symptom="encoder blocks = 1 x reconstruction + 1/beta x KL: 0.588 at beta = 1.7",
      seen_by="derivative",
      diagnosis=("the gradient of the kl term is 1.7 times too small", "beta is missing"),
      plant=kl_weight(lambda dkl: np.full_like(dkl, 1 / len(dkl)))),
    _("log_density_gradient_quarter", "0.25 for 0.5 in the derivative of log sigma^2",
      wrong="dL/dlogvar = 1/4 ((x - mu)^2 / sigma^2 - 1) dL/dlogN",
      right="dL/dlogvar = 1/2 ((x - mu)^2 / sigma^2 - 1) dL/dlogN   [GAU-4]",
      symptom="constant ratio 1/2 in one head, relative difference 1/3",
      evidence="y0ast/VAE-Torch#5",
      seen_by="derivative",
      diagnosis=("logvar: 2 times too small",),
      plant=half_of_logvar()),
]  # fmt: skip
