"""How the mistakes of test_mutants.py are planted: each function here returns plant(patch), which changes the library through
pytest's monkeypatch. A forward pass changes together with the backward pass that belongs to it, unless the name says otherwise."""

import math

import numpy as np

from npvae import VAE, Adam, Bernoulli, Dense, Gaussian
from npvae.models import Loss, vae


def kl(per_dimension, slopes, reduce=lambda terms: np.sum(terms, axis=1)):
    """Another KL, with the backward pass that belongs to it: slopes(mu, logvar) -> its derivatives."""

    def plant(patch):
        patch.setattr(vae, "kl_divergence", lambda mu, logvar: reduce(per_dimension(mu, logvar)))
        kl_backward(slopes)(patch)

    return plant


def kl_backward(slopes):
    """The right KL with another backward pass."""

    def backward(mu, logvar, dkl):
        dmu, dlogvar = slopes(mu, logvar)
        return dmu * dkl[:, None], dlogvar * dkl[:, None]

    return lambda patch: patch.setattr(vae, "kl_divergence_backward", backward)


def kl_weight(weight):
    """dKL replaced by weight(dkl)."""
    original = vae.kl_divergence_backward
    return lambda patch: patch.setattr(vae, "kl_divergence_backward", lambda mu, lv, dkl: original(mu, lv, weight(dkl)))


def sampler(z, slopes):
    """Another sample z(mu, s, eps), with the backward pass that belongs to it: slopes(mu, s, eps) -> dz/dmu, dz/dlogvar."""

    def forward(mu, logvar, eps):
        return z(mu, np.exp(logvar / 2), eps), (mu, np.exp(logvar / 2), eps)

    def plant(patch):
        patch.setattr(vae, "reparameterize", forward)
        patch.setattr(vae, "reparameterize_backward", lambda dz, cache: tuple(dz * slope for slope in slopes(*cache)))

    return plant


def sampler_backward(slopes):
    """The right sample with another backward pass."""
    return lambda patch: sampler(lambda mu, s, eps: mu + s * eps, slopes)(patch)


def method(owner, name, function):
    """One attribute of a class or module replaced."""
    return lambda patch: patch.setattr(owner, name, function)


def both(*plants):
    """Two changes that make one mistake."""
    return lambda patch: [plant(patch) for plant in plants]


def bernoulli(nll, slope):
    """Another Bernoulli term nll(logit, x) with its derivative slope(logit, x)."""

    def nll_and_grad(self, out, x, dnll):
        return self.nll(out, x), slope(out, x) * dnll[:, None]

    def checked_nll(self, out, x):
        self.check_data(x)
        return np.sum(nll(out, x), axis=1)

    return both(method(Bernoulli, "nll", checked_nll), method(Bernoulli, "nll_and_grad", nll_and_grad))


def likelihood_times(factor):
    """The nll of each example times factor(x), in value and gradient."""

    def plant(patch):
        for kind in (Bernoulli, Gaussian):
            nll, nll_and_grad = kind.nll, kind.nll_and_grad

            def scaled(self, out, x, dnll, nll=nll, nll_and_grad=nll_and_grad):
                return nll(self, out, x) * factor(x), nll_and_grad(self, out, x, dnll * factor(x))[1]

            patch.setattr(kind, "nll", lambda self, out, x, nll=nll: nll(self, out, x) * factor(x))
            patch.setattr(kind, "nll_and_grad", scaled)

    return plant


def squared_error_without_half():
    """sum_d (x - out)^2 / sigma^2 + log sigma + 1/2 log 2 pi, with its gradient."""

    def nll(self, out, x):
        sigma, log_sigma = self._sigma()
        return np.sum((x - out) ** 2 / sigma**2 + log_sigma + 0.5 * math.log(2 * math.pi), axis=1)

    def nll_and_grad(self, out, x, dnll):
        sigma, _ = self._sigma()
        if self.learn:
            self.dlog_sigma[...] = np.sum((x.shape[1] - 2 * np.sum((x - out) ** 2 / sigma**2, axis=1)) * dnll)
        return self.nll(out, x), -2 * (x - out) / sigma**2 * dnll[:, None]

    return both(method(Gaussian, "nll", nll), method(Gaussian, "nll_and_grad", nll_and_grad))


def gaussian_gradient_times(factor):
    """dL/dout of the Gaussian times factor."""
    original = Gaussian.nll_and_grad

    def nll_and_grad(self, out, x, dnll):
        nll, dout = original(self, out, x, dnll)
        return nll, dout * factor

    return method(Gaussian, "nll_and_grad", nll_and_grad)


def gradient_times(factor):
    """Every gradient of the VAE times factor(B)."""
    original = VAE.loss_and_grad

    def loss_and_grad(self, x, eps, beta=1.0):
        loss = original(self, x, eps, beta)
        self.params.grad *= factor(len(x))
        return loss

    return method(VAE, "loss_and_grad", loss_and_grad)


def terms_times(factor):
    """Every reported term of the VAE's loss times factor(B)."""
    original = VAE._total
    return method(
        VAE, "_total", staticmethod(lambda nll, kl, beta: Loss(*(factor(len(nll)) * part for part in original(nll, kl, beta))))
    )


def adam(direction, averages=lambda g, m, v, b1, b2: (b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g), t=lambda t: t):
    """Another Adam: theta -= lr * direction(m, v, c1, c2, eps)."""

    def update(self, theta, grad, m, v):
        before = m.copy(), v.copy()
        m[...], v[...] = averages(grad, m, v, self.beta1, self.beta2)
        c1, c2 = 1 - self.beta1 ** t(self.t), 1 - self.beta2 ** t(self.t)
        theta -= self.lr * direction(m, v, c1, c2, self.eps, *before)

    return method(Adam, "_update", update)


def adam_step(m, v, c1, c2, eps, *before):
    return (m / c1) / (np.sqrt(v / c2) + eps)


def layer_backward(kind, dx):
    """Another backward pass of an activation: dx(dy, cache)."""
    return method(kind, "backward", lambda self, dy, cache, need_dx=True: dx(dy, cache))


def dense_backward(dW=lambda x, dy: x.T @ dy, db=lambda dy: dy.sum(axis=0), W=lambda layer: layer.W.T):
    """Another backward pass of Dense, in one of its three products."""

    def backward(self, dy, x, need_dx=True):
        self.dW[...], self.db[...] = dW(x, dy), db(dy)
        return dy @ W(self) if need_dx else None

    return method(Dense, "backward", backward)


def accumulating(self, dy, x, need_dx=True):
    """Dense.backward with += for =."""
    self.dW[...] += x.T @ dy
    self.db[...] += dy.sum(axis=0)
    return dy @ self.W.T if need_dx else None


def writes_upstream(dy, active):
    """ReLU's dx, written into dy."""
    dy *= active
    return dy


def overwrites_cache(dy, y):
    """Tanh's dx, with 1 - y^2 written over y."""
    np.subtract(1, np.square(y, out=y), out=y)
    return dy * y


def swapped_heads(dz, cache, original=vae.reparameterize_backward):
    """dmu and dlogvar in each other's place."""
    dmu, dlogvar = original(dz, cache)
    return dlogvar, dmu
