"""How mistakes are planted: each function here returns plant(patch), which changes the library through a Patch that can undo it.

A forward pass changes together with the backward pass that belongs to it, unless the name says otherwise: loss and gradient then
agree, and no gradient check has anything to say.
"""

import math
import sys

import numpy as np

from npvae.core import gaussian
from npvae.core.checks import same_shape
from npvae.core.layers import Dense
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.optimizers import Adam
from npvae.evaluation import bounds
from npvae.models import VAE, Loss


class Patch:
    """Replaces attributes and functions of the library, and puts them back in reverse order."""

    def __init__(self):
        self._undo = []

    def set(self, owner, name, value):
        """owner.name = value, where owner is a class, a module or a function that has the name itself."""
        before = vars(owner)[name] if isinstance(owner, type) else getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, before))

    def swap(self, original, wrong):
        """A function of the library replaced in every file that has imported it; the museum itself keeps the right one."""
        _swap(original.__name__, original, wrong)
        self._undo.append(lambda: _swap(original.__name__, wrong, original))

    def restore(self):
        """Put everything back."""
        while self._undo:
            self._undo.pop()()


def _swap(name, old, new):
    for path, module in list(sys.modules.items()):
        ours = path.split(".")[0] == "npvae" and not path.startswith("npvae.verify")
        if ours and name in vars(module) and vars(module)[name] is old:
            setattr(module, name, new)


def method(owner, name, function):
    """One attribute of a class or module replaced."""
    return lambda patch: patch.set(owner, name, function)


def everywhere(original, wrong):
    """One function replaced wherever it is used."""
    return lambda patch: patch.swap(original, wrong)


def both(*plants):
    """Several changes that make one mistake."""
    return lambda patch: [plant(patch) for plant in plants]


# --- the KL ---------------------------------------------------------------------------------------------------------------------


def kl(per_dimension, slopes, reduce=lambda terms: np.sum(terms, axis=1)):
    """Another KL, with the backward pass that belongs to it: slopes(mu, logvar) -> its derivatives."""

    def forward(mu, logvar):
        same_shape("kl_divergence", mu=mu, logvar=logvar)
        return reduce(per_dimension(mu, logvar))

    return both(everywhere(gaussian.kl_divergence, forward), kl_backward(slopes))


def kl_backward(slopes):
    """The right KL with another backward pass."""

    def backward(mu, logvar, dkl):
        dmu, dlogvar = slopes(mu, logvar)
        return dmu * dkl[:, None], dlogvar * dkl[:, None]

    return everywhere(gaussian.kl_divergence_backward, backward)


def kl_weight(weight):
    """dKL replaced by weight(dkl)."""
    original = gaussian.kl_divergence_backward
    return everywhere(original, lambda mu, lv, dkl: original(mu, lv, weight(dkl)))


# --- the sample -----------------------------------------------------------------------------------------------------------------


def sampler(z, slopes):
    """Another sample z(mu, sigma, eps), with the backward pass that belongs to it: slopes(...) -> dz/dmu, dz/dlogvar."""

    def forward(mu, logvar, eps):
        same_shape("reparameterize", mu=mu, logvar=logvar, eps=eps)
        sigma = np.exp(logvar / 2)
        return z(mu, sigma, eps), (mu, sigma, eps)

    def backward(dz, cache):
        return tuple(dz * slope for slope in slopes(*cache))

    return both(everywhere(gaussian.reparameterize, forward), everywhere(gaussian.reparameterize_backward, backward))


def sampler_backward(slopes):
    """The right sample with another backward pass."""
    return sampler(lambda mu, s, eps: mu + s * eps, slopes)


def noise(draw):
    """Another source of eps: draw(shape, rng)."""
    return method(VAE, "noise", lambda self, B, rng: draw((B, self.latent_dim), rng).astype(self.real_dtype, copy=False))


# --- the likelihood -------------------------------------------------------------------------------------------------------------


def bernoulli(nll, slope):
    """Another Bernoulli term nll(logit, x) with its derivative slope(logit, x)."""

    def checked_nll(self, out, x):
        same_shape("Bernoulli", x=x, out=out)
        self.check_data(x)
        return np.sum(nll(out, x), axis=1)

    return both(method(Bernoulli, "nll", checked_nll), bernoulli_backward(slope))


def bernoulli_backward(slope):
    """The right Bernoulli with another derivative slope(logit, x)."""

    def nll_and_grad(self, out, x, dnll=None):
        return self.nll(out, x), slope(out, x) * (1 if dnll is None else dnll[:, None])

    return method(Bernoulli, "nll_and_grad", nll_and_grad)


def likelihood_times(factor):
    """The nll of each example times factor(x), in value and gradient."""

    def plant(patch):
        for kind in (Bernoulli, Gaussian):
            nll, nll_and_grad = kind.nll, kind.nll_and_grad

            def scaled(self, out, x, dnll, nll=nll, nll_and_grad=nll_and_grad):
                return nll(self, out, x) * factor(x), nll_and_grad(self, out, x, dnll * factor(x))[1]

            patch.set(kind, "nll", lambda self, out, x, nll=nll: nll(self, out, x) * factor(x))
            patch.set(kind, "nll_and_grad", scaled)

    return plant


def squared_error_without_half():
    """sum_d (x - out)^2 / sigma^2 + log sigma + 1/2 log 2 pi, with its gradient."""

    def nll(self, out, x):
        same_shape("Gaussian", x=x, out=out)
        sigma, log_sigma = self._sigma()
        return np.sum((x - out) ** 2 / sigma**2 + log_sigma + 0.5 * math.log(2 * math.pi), axis=1)

    def nll_and_grad(self, out, x, dnll):
        sigma, _ = self._sigma()
        if self.learn:
            self.dlog_sigma[...] = np.sum((x.shape[1] - 2 * np.sum((x - out) ** 2 / sigma**2, axis=1)) * dnll)
        return self.nll(out, x), -2 * (x - out) / sigma**2 * dnll[:, None]

    return both(method(Gaussian, "nll", nll), method(Gaussian, "nll_and_grad", nll_and_grad))


def gaussian_backward(dout=lambda self, dout, out, x, dnll: dout, dlog_sigma=None):
    """The right Gaussian with another gradient: of the decoder's output, or of a learned log sigma."""
    original = Gaussian.nll_and_grad

    def nll_and_grad(self, out, x, dnll=None):
        nll, right = original(self, out, x, dnll)
        if self.learn and dlog_sigma is not None:
            self.dlog_sigma[...] = dlog_sigma(self, out, x, dnll)
        return nll, dout(self, right, out, x, dnll)

    return method(Gaussian, "nll_and_grad", nll_and_grad)


# --- the whole loss -------------------------------------------------------------------------------------------------------------


def loss_times(factor):
    """Every reported term of the VAE's loss, and its gradient, times factor(x)."""
    loss, loss_and_grad = VAE.loss, VAE.loss_and_grad

    def scaled(self, x, eps, beta=1.0):
        return Loss(*(factor(x) * part for part in loss(self, x, eps, beta)))

    def scaled_with_grad(self, x, eps, beta=1.0):
        result = loss_and_grad(self, x, eps, beta)
        self.params.grad *= factor(x)
        return Loss(*(factor(x) * part for part in result))

    return both(method(VAE, "loss", scaled), method(VAE, "loss_and_grad", scaled_with_grad))


def gradient_times(factor):
    """Every gradient of the VAE times factor(x)."""
    original = VAE.loss_and_grad

    def loss_and_grad(self, x, eps, beta=1.0):
        loss = original(self, x, eps, beta)
        self.params.grad *= factor(x)
        return loss

    return method(VAE, "loss_and_grad", loss_and_grad)


# --- layers ---------------------------------------------------------------------------------------------------------------------


def layer_backward(kind, dx):
    """Another backward pass of an activation: dx(dy, cache)."""
    return method(kind, "backward", lambda self, dy, cache, need_dx=True: dx(dy, cache))


def dense_backward(dW=lambda x, dy: x.T @ dy, db=lambda dy: dy.sum(axis=0), W=lambda layer: layer.W.T):
    """Another backward pass of Dense, in one of its three products."""

    def backward(self, dy, x, need_dx=True):
        self.dW[...], self.db[...] = dW(x, dy), db(dy)
        return dy @ W(self) if need_dx else None

    return method(Dense, "backward", backward)


# --- Adam -----------------------------------------------------------------------------------------------------------------------


def adam_step(m, v, c1, c2, eps, *before):
    """mhat / (sqrt(vhat) + eps)"""
    return (m / c1) / (np.sqrt(v / c2) + eps)


def adam(direction=adam_step, averages=lambda g, m, v, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g), t=lambda t: t):
    """Another Adam: theta -= lr direction(m, v, c1, c2, eps, m before, v before)."""

    def update(self, theta, grad, m, v):
        before = m.copy(), v.copy()
        m[...], v[...] = averages(grad, m, v, self.beta1, self.beta2)
        c1, c2 = 1 - self.beta1 ** t(self.t), 1 - self.beta2 ** t(self.t)
        theta -= self.lr * direction(m, v, c1, c2, self.eps, *before)

    return method(Adam, "_update", update)


# --- evaluation -----------------------------------------------------------------------------------------------------------------


def log_q_of_noise(z, mu, logvar):
    """log q(z|x)"""
    return gaussian.log_density(z, mu, logvar)


def importance_bound(combine, log_q=log_q_of_noise):
    """Another log_likelihood: combine(log w (B, K)) -> (B,), with log q(z|x) of another formula."""

    def log_likelihood(vae, x, rng, samples=5000):
        (mu, logvar), log_w = vae.encode(x), []
        for _ in range(samples):
            z = mu + np.exp(logvar / 2) * rng.standard_normal(mu.shape)
            log_w.append(gaussian.log_density(z, 0 * z, 0 * z) - log_q(z, mu, logvar) - vae.likelihood.nll(vae.decode(z), x))
        return combine(np.stack(log_w, axis=1))

    return everywhere(bounds.log_likelihood, log_likelihood)
