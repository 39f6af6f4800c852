"""Sums that should be means and means that should be sums, each with the gradient that belongs to it."""

from functools import partial

from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.exhibits import kl
from npvae.verify.mistakes.planting import both, likelihood_times, loss_times

_ = partial(exhibit, "reduction")
RIGHT = "loss = 1/B sum_b ( sum_d nll_d + beta sum_z KL_z )   [ELBO-4]"

EXHIBITS = [
    _("recon_mean_over_pixels", "the mean over D for the sum: beta is D times what it says",
      wrong="loss = 1/B sum_b ( 1/D sum_d nll_d + beta sum_z KL_z )", right=RIGHT,
      symptom="beta 784 on MNIST, 12,288 on 64 x 64 RGB: all there is to win is (206.03 - 45.76) / 784 = 0.204 nats, "
      "so that the KL stays below that and every picture is the mean image",
      evidence="AntixK/PyTorch-VAE, MMVAE#19, orybkin/sigma-vae-tensorflow#2, sigma-vae-pytorch#12, pytorch/examples#234, #294, "
      "#652, ikostrikov/TensorFlow-VAE-GAN-DRAW#16, ccpem/affinity-vae#210",
      seen_by="values normalization copied_pixel bound ordering",
      plant=likelihood_times(lambda x: 1 / x.shape[1])),
    _("both_means", "means over D and over Z: beta is D/Z of what it says",
      wrong="loss = 1/B sum_b ( 1/D sum_d nll_d + beta 1/Z sum_z KL_z )", right=RIGHT,
      symptom="beta 784/20 = 39.2 on MNIST: a linear VAE would keep no latent, since 19.6 > 5.12, the largest eigenvalue",
      evidence="a published tutorial",
      seen_by="values monte_carlo_kl normalization inactive_latent copied_pixel bound ordering",
      plant=both(kl.EXHIBITS[0].plant, likelihood_times(lambda x: 1 / x.shape[1]))),
    _("sum_over_the_batch", "loss and gradient grow with the batch",
      wrong="loss = sum_b ( ... )", right=RIGHT,
      symptom="the check's model with 7 rows: 44.54 for 6.3626 nats; the learning rate means another thing at each batch size",
      evidence="abhayran's NumPy VAE; yburda/iwae (with Adam's eps = 1e-4)",
      seen_by="values duplicates bound",
      plant=loss_times(len)),
    _("objective_divided_by_d", "the whole objective per pixel: the same optimum, but no longer nats per example",
      wrong="loss = 1/(B D) sum_b ( ... )", right=RIGHT,
      symptom="the check's model with 5 pixels: 1.2725 for 6.3626 nats; 105 nats of MNIST read 0.134",
      evidence="HIPS/autograd examples; pytorch/examples#290 (a consistent rescaling, reported as a mistake)",
      seen_by="values copied_pixel bound",
      plant=loss_times(lambda x: 1 / x.shape[1])),
    _("elbo_minimized", "the ELBO handed to a minimizer as its loss",
      wrong="loss = 1/B sum_b ( log p(x|z) - beta KL )", right=RIGHT,
      symptom="the check's model: -6.3626 for 6.3626 nats; training moves away from the data",
      evidence="a published tutorial (in its formula)",
      seen_by="values bound",
      plant=loss_times(lambda x: -1)),
]  # fmt: skip
