"""The importance-weighted bound L_K as a training objective, and its doubly reparameterized gradient.

    fit(vae, data, objective=importance_weighted, samples=50, ...)

K draws of z for each example, each with its weight w_k = p(x|z_k) p(z_k) / q(z_k|x):

    L_K = log 1/K sum_k w_k,    E L_1 = ELBO <= E L_2 <= ... <= log p(x)                    Burda et al. (2016), theorem 1

The gradient of every objective here is that of a weighted sum of log w_k, with weights that are held constant. In the value of
L_K the draws enter as one sum, but in its gradient the good ones count most: each by its share of the sum.
"""

import math

import numpy as np

from npvae.beyond.draws import arguments, checked, decoder_backward, encoder_backward, forward
from npvae.core.numerics import logsumexp
from npvae.models.base import Loss


def importance_weighted(vae, x, eps, condition=None):
    """-L_K as a loss; fills vae.params.grad with its gradient for the very noise eps.

        loss = -1/B sum_b L_Kb                                        Burda et al. (2016), eq. 8
        dL_K/dtheta = sum_k v_k dlog w_k/dtheta,    v_k = w_k / sum_j w_j                   their eq. 14          [IWG-2]

    x: (B, D); eps: (K, B, Z); condition: the labels (B,) of a conditional model. Returns Loss(total, reconstruction, kl), in nats
    per example: total is the loss; reconstruction and kl are plain averages over the K draws, kl that of log q(z|x) - log p(z),
    which may be below 0 for a few draws. So Loss.elbo is an estimate of the ELBO, never above -total, and equal to it for K = 1.
    Raises TypeError or ValueError for wrong arguments, NonFiniteError naming the first quantity that is not finite.
    """
    vae, x, eps = arguments("importance_weighted", vae, x, eps, condition)
    with np.errstate(all="ignore"):  # the result is looked at below
        samples = forward(vae, x, eps)
        nll, log_w = log_weights(vae, samples, eps)  # (K, B), (K, B)
        v = normalized(log_w)  # (K, B)
        total_backward(vae, samples, v / len(x))
        loss = importance_loss(nll, log_w)
    return checked("importance_weighted", vae, loss, samples, eps, nll, log_w=log_w)


def doubly_reparameterized(vae, x, eps, condition=None):
    """-L_K as a loss, with another estimate of its gradient, whose noise does not drown the signal as K grows.

        E dL_K/dphi = E sum_k v_k^2 dlog w_k/dz_k dz_k/dphi            phi: encoder          Tucker et al. (2019)  [DREG-1]
        dL_K/dtheta = sum_k v_k dlog w_k/dtheta                        theta: decoder, as in `importance_weighted`

    In dlog w_k/dz_k the mu and sigma of q(z_k|x) are held fixed. The two sides of [DREG-1] agree in expectation over eps, not for
    any one eps: the gradient left in vae.params.grad is not the derivative of the loss that is returned, and check_gradient would
    rightly say so. Arguments, result and errors are those of `importance_weighted`.
    """
    vae, x, eps = arguments("doubly_reparameterized", vae, x, eps, condition)
    with np.errstate(all="ignore"):  # the result is looked at below
        samples = forward(vae, x, eps)
        nll, log_w = log_weights(vae, samples, eps)  # (K, B), (K, B)
        v = normalized(log_w)  # (K, B)
        path_backward(vae, samples, eps, v / len(x), v)
        loss = importance_loss(nll, log_w)
    return checked("doubly_reparameterized", vae, loss, samples, eps, nll, log_w=log_w)


# --- log w and its way back -------------------------------------------------------------------------------------------------------


def log_weights(vae, samples, eps):
    """The log-weight of each draw, in nats; and its nll.

        log w = log p(x|z) + log p(z) - log q(z|x)
              = -nll + 1/2 sum_z ( eps^2 + logvar - z^2 )              since (z - mu) / sigma = eps                 [IWG-1]

    log 2 pi cancels; (z - mu) / sigma, computed, would have no digits left where sigma is tiny.
    eps: (K, B, Z).  Returns nll, log w: (K, B).
    """
    K, B, _ = eps.shape
    nll = vae.likelihood.nll(samples.out, samples.repeated_x()).reshape(K, B)  # (K, B)
    return nll, 0.5 * np.sum(eps**2 + samples.logvar - samples.z**2, axis=2) - nll


def normalized(log_w):
    """v_k = w_k / sum_j w_j = e^(log w_k - log sum_j w_j) over the draws: dL_K/dlog w_k.  (K, B) -> (K, B).

    No weight is ever formed: e^(log w) would be 0 for every draw of a picture, and 0/0 their share."""
    return np.exp(log_w - logsumexp(log_w, axis=0))


def total_backward(vae, samples, weights):
    """Fill the gradient of -sum_kb weights_kb log w_kb, for constant weights: through z, and through log q itself.

        dlog w/dz      = -dnll/dz - z                                                                              [IWG-3]
        dlog w/dlogvar = 1/2          for z and eps held fixed; mu enters through z alone                          [IWG-4]

    weights: (K, B).
    """
    _, dz = decoder_backward(vae, samples, weights)  # (K, B, Z)
    dz = dz + weights[:, :, None] * samples.z  # (K, B, Z)
    dmu = np.zeros_like(samples.mu)  # (B, Z)
    dlogvar = np.broadcast_to(-0.5 * np.sum(weights, axis=0)[:, None], dmu.shape)  # (B, Z)
    encoder_backward(vae, samples, dz, dmu, dlogvar)


def path_backward(vae, samples, eps, weights, factors):
    """As `total_backward` for decoder and likelihood; for the encoder the path z alone, each draw's times one factor more.

        dlog w/dz = -dnll/dz - z + eps / sigma                         mu and sigma of q(z|x) held fixed            [PATH-1]

    and through z = mu + sigma eps the last term gives eps / sigma for mu, 1/2 eps^2 for logvar.  weights, factors: (K, B).
    """
    _, dz = decoder_backward(vae, samples, weights)  # (K, B, Z)
    dz = factors[:, :, None] * (dz + weights[:, :, None] * samples.z)  # (K, B, Z)
    path = (weights * factors)[:, :, None]  # (K, B, 1)
    dmu = -np.exp(-0.5 * samples.logvar) * np.sum(path * eps, axis=0)  # (B, Z)
    dlogvar = -0.5 * np.sum(path * eps**2, axis=0)  # (B, Z)
    encoder_backward(vae, samples, dz, dmu, dlogvar)


def importance_loss(nll, log_w):
    """Loss of -L_K; reconstruction and kl averaged over the draws.  nll, log_w: (K, B)."""
    total = -np.mean(logsumexp(log_w, axis=0) - math.log(len(log_w))).item()
    return Loss(total, np.mean(nll).item(), np.mean(-nll - log_w).item())
