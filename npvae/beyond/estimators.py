"""Estimators of one gradient, that of the ELBO: all of them right on average, and far apart in their noise.

    ELBO = E_q[ log w(z) ],    log w = log p(x|z) + log p(z) - log q(z|x)

Each is a function (vae, x, eps) -> Loss with eps (K, B, Z), averages over its K draws, and leaves a gradient in vae.params.grad, so
that fit(vae, data, objective=score_function, samples=4) trains with it.

For decoder and likelihood all of them give the same gradient; they differ in the encoder's.
"""

import numpy as np

from npvae.beyond.draws import arguments, checked, decoder_backward, elbo_backward, encoder_backward, forward
from npvae.beyond.importance import log_weights, path_backward, total_backward
from npvae.core.gaussian import kl_divergence
from npvae.models.base import Loss


def analytic_kl(vae, x, eps, condition=None):
    """The derivative of the loss of every model, reconstruction + KL, with K draws for the reconstruction.

        loss = 1/B sum_b ( 1/K sum_k -log p(x|z_k) + KL( q(z|x) || p(z) ) )             Kingma & Welling (2014), eq. 7

    For K = 1 it is VAE.loss_and_grad. x: (B, D); eps: (K, B, Z); condition: the labels (B,) of a conditional model. Returns
    Loss(total, reconstruction, kl), in nats per example.
    Raises TypeError or ValueError for wrong arguments, NonFiniteError naming the first quantity that is not finite.
    """
    vae, x, eps = arguments("analytic_kl", vae, x, eps, condition)
    with np.errstate(all="ignore"):  # the result is looked at below
        samples = forward(vae, x, eps)
        kl = kl_divergence(samples.mu, samples.logvar)  # (B,)
        nll = elbo_backward(vae, samples, np.full(len(x), 1 / len(x), vae.dtype))  # (K, B)
        reconstruction, mean_kl = np.mean(nll).item(), np.mean(kl).item()
    loss = Loss(reconstruction + mean_kl, reconstruction, mean_kl)
    return checked("analytic_kl", vae, loss, samples, eps, nll, kl=kl)


def sampled_kl(vae, x, eps, condition=None):
    """The derivative of the loss -1/K sum_k log w_k: the KL is sampled, too.

        loss = 1/B sum_b 1/K sum_k ( -log p(x|z_k) + log q(z_k|x) - log p(z_k) )        Kingma & Welling (2014), eq. 6

    Its gradient is [IWG-3, IWG-4] with weights 1/K; `importance_weighted` with K = 1 is the same. x: (B, D); eps: (K, B, Z);
    condition: the labels (B,) of a conditional model. Returns Loss(total, reconstruction, kl), in nats per example, total =
    reconstruction + kl, which are plain averages over the draws.
    Raises TypeError or ValueError for wrong arguments, NonFiniteError naming the first quantity that is not finite.
    """

    def backward(vae, samples, eps, log_w, mean):
        total_backward(vae, samples, mean)

    return _estimate("sampled_kl", vae, x, eps, condition, backward)


def path_derivative(vae, x, eps, condition=None):
    """The gradient through z alone: what log q(z|x) gives for mu and logvar at a fixed z is left out.

        dELBO/dphi = E[ dlog w/dz dz/dphi ],    since  E_q[ dlog q(z|x)/dphi at fixed z ] = 0    Roeder et al. (2017)  [PATH-2]

    Where q is the exact posterior, log w is the same for every z, and the encoder's gradient is 0 for every draw, which of the
    others only `leave_one_out` has. It is not the derivative of the loss that is returned, draw by draw.
    Arguments, result and errors are those of `sampled_kl`.
    """

    def backward(vae, samples, eps, log_w, mean):
        path_backward(vae, samples, eps, mean, np.ones_like(mean))

    return _estimate("path_derivative", vae, x, eps, condition, backward)


def score_function(vae, x, eps, condition=None):
    """The gradient that needs no dz: each draw makes itself likelier or rarer, by as much as its log w says.

        dELBO/dphi = E[ log w  dlog q(z|x)/dphi ]                z held fixed                  Ranganath et al. (2014)  [SCORE-1]
        dlog q/dmu = eps / sigma,    dlog q/dlogvar = 1/2 (eps^2 - 1)                                             [SCORE-2]

    It works for discrete z as well, and pays for it: see its variance. Also known as REINFORCE (Williams 1992). It is not the
    derivative of the loss that is returned. Arguments, result and errors are those of `sampled_kl`.
    """

    def backward(vae, samples, eps, log_w, mean):
        _score_backward(vae, samples, eps, mean * log_w, mean)

    return _estimate("score_function", vae, x, eps, condition, backward)


def leave_one_out(vae, x, eps, condition=None):
    """`score_function` less a baseline: for each draw, the mean log w of the K - 1 others.

        dELBO/dphi = E 1/K sum_k ( log w_k - 1/(K-1) sum_{j != k} log w_j ) dlog q(z_k|x)/dphi
                                                                         Mnih & Rezende (2016); Kool et al. (2019)  [SCORE-3]

    What does not depend on z_k changes nothing on average, since E[ dlog q/dphi ] = 0. Raises ValueError for K = 1; arguments,
    result and other errors are those of `sampled_kl`.
    """
    if np.ndim(eps) == 3 and len(eps) == 1:
        raise ValueError("leave_one_out: eps holds 1 draw for each example; the baseline is the mean of the others, give two.")

    def backward(vae, samples, eps, log_w, mean):
        others = (np.sum(log_w, axis=0) - log_w) / (len(log_w) - 1)  # (K, B)
        _score_backward(vae, samples, eps, mean * (log_w - others), mean)

    return _estimate("leave_one_out", vae, x, eps, condition, backward)


def _estimate(name, vae, x, eps, condition, backward):
    """The loss -1/K sum_k log w_k; its gradient is left to `backward`, which gets the weight 1 / (K B) of each draw."""
    vae, x, eps = arguments(name, vae, x, eps, condition)
    with np.errstate(all="ignore"):  # the result is looked at below
        samples = forward(vae, x, eps)
        nll, log_w = log_weights(vae, samples, eps)  # (K, B), (K, B)
        backward(vae, samples, eps, log_w, np.full_like(log_w, 1 / log_w.size))
        loss = Loss(-np.mean(log_w).item(), np.mean(nll).item(), np.mean(-nll - log_w).item())
    return checked(name, vae, loss, samples, eps, nll, log_w=log_w)


def _score_backward(vae, samples, eps, signal, mean):
    """Fill the gradient of -sum_kb signal_kb log q(z_kb|x_b) for the encoder, z held fixed; the decoder's as everywhere.

    signal, mean: (K, B)."""
    decoder_backward(vae, samples, mean)
    signal = signal[:, :, None]  # (K, B, 1)
    dmu = -np.exp(-0.5 * samples.logvar) * np.sum(signal * eps, axis=0)  # (B, Z)
    dlogvar = -0.5 * np.sum(signal * (eps**2 - 1), axis=0)  # (B, Z)
    encoder_backward(vae, samples, np.zeros_like(samples.z), dmu, dlogvar)
