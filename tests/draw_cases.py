"""K draws of z in literal loops: log w, L_K, and the slopes of log w that the estimators are made of; and runs of an objective."""

import math

import numpy as np
import reference
from derivatives import assert_agree, complex_step
from model_cases import blocks

from npvae.beyond.categorical import Categorical
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.models import VAE
from npvae.verify.mistakes.cases import Case


def noise(case, K, seed=3):
    """eps (K, B, Z); the first draw is the case's own."""
    others = np.random.default_rng(seed).normal(size=(K - 1, *case.eps.shape))
    return np.concatenate([case.eps[None], others]).astype(case.eps.dtype)


def outcome_of(objective, case, eps, **condition):
    """-> the loss as an array (3,), and the gradient (P,)."""
    loss = objective(case.model, case.x, eps, **condition)
    return np.array(loss), case.model.params.grad.copy()


def of_encoder(model):
    """Which entries of the gradient are the encoder's: bool (P,)."""
    return np.concatenate([np.full(value.size, name.startswith("encoder.")) for name, value, _ in model.params])


def check_by_complex_step(objective, model, x, eps, rtol=1e-12, **condition):
    """Every entry to 1e-10 of its block, the whole vector to rtol in norm."""
    objective(model, x, eps, **condition)
    analytic, twin = model.params.grad.copy(), model.astype(complex)

    def f(theta):
        twin.params.theta = theta
        return objective(twin, x, eps, **condition).total

    numeric = complex_step(f, model.params.theta.copy())
    assert_agree(blocks(model, analytic), blocks(model, numeric), rtol=1e-10)
    assert np.linalg.norm(analytic - numeric) <= rtol * np.linalg.norm(numeric)


def beyond_case(kind, B=3, Z=2):
    """A model with one of the likelihoods of volume two."""
    likelihood = {"DiagonalGaussian": DiagonalGaussian, "ContinuousBernoulli": ContinuousBernoulli, "Categorical": Categorical}[
        kind
    ]
    likelihood = likelihood(3) if kind == "Categorical" else likelihood()
    rng = np.random.default_rng(4)
    model = VAE.dense(6, (4,), Z, likelihood, rng=rng, dtype=np.float64)
    x = np.eye(3)[rng.integers(3, size=(B, 2))].reshape(B, 6) if kind == "Categorical" else rng.uniform(size=(B, 6))
    return Case(model, x, rng.normal(size=(B, Z)), 1.0)


# --- literal loops ----------------------------------------------------------------------------------------------------------------


def log_normal(value, mean, logvar):
    """log N(value; mean, e^logvar), of one number."""
    return -0.5 * (math.log(2 * math.pi) + logvar + (value - mean) ** 2 / math.exp(logvar))


def log_weights_by_loops(case, eps):
    """log w and nll of each draw, lists [k][b]: the three densities as they are defined, from z."""
    log_w, nll = [], []
    for noise_k in eps.tolist():
        log_w.append([])
        nll.append([])
        for row, code, noise in zip(case.x.tolist(), reference.chain(case.model.encoder.layers, case.x.tolist()), noise_k):
            Z = len(noise)
            z = reference.reparameterize(code[:Z], code[Z:], noise)
            (out,) = reference.chain(case.model.decoder.layers, [z])
            nll[-1].append(reference.nll(case.model.likelihood, out, row))
            log_p = math.fsum(log_normal(value, 0.0, 0.0) for value in z)
            log_q = math.fsum(log_normal(value, m, lv) for value, m, lv in zip(z, code[:Z], code[Z:]))
            log_w[-1].append(log_p - log_q - nll[-1][-1])
    return log_w, nll


def slopes_by_loops(case, eps):
    """Of each draw, by complex steps at fixed mu and logvar: dlog w/dz, dlog q/dmu, dlog q/dlogvar at fixed z; all (K, B, Z)."""
    twin, (mu, logvar) = case.model.astype(complex), case.model.encode(case.x)
    at_z, at_mu, at_logvar = (np.zeros(eps.shape) for _ in range(3))
    for k, b, i in np.ndindex(*eps.shape):
        step = np.zeros(eps.shape[2], complex)
        step[i] = 1e-30j
        m, lv = mu[b], logvar[b]
        z = m + np.exp(lv / 2) * eps[k, b]

        def log_q(z, m, lv):
            return np.sum(-0.5 * (lv + (z - m) ** 2 / np.exp(lv)))

        nll = twin.likelihood.nll(twin.decode((z + step)[None]), case.x[b : b + 1])[0]
        at_z[k, b, i] = np.imag(-nll - 0.5 * np.sum((z + step) ** 2) - log_q(z + step, m, lv)) / 1e-30
        at_mu[k, b, i] = np.imag(log_q(z, m + step, lv)) / 1e-30
        at_logvar[k, b, i] = np.imag(log_q(z, m, lv + step)) / 1e-30
    return at_z, at_mu, at_logvar


def encoder_gradient(case, dmu, dlogvar):
    """The gradient of encoder.0.W and .b, of an encoder of one Dense layer, from dL/dmu and dL/dlogvar (B, Z), by loops."""
    B, Z = dmu.shape
    D = case.x.shape[1]
    dW, db = np.zeros((D, 2 * Z)), np.zeros(2 * Z)
    for b in range(B):
        for j, d in enumerate([*dmu[b], *dlogvar[b]]):
            db[j] += d
            for i in range(D):
                dW[i, j] += case.x[b, i] * d
    return np.concatenate([dW.ravel(), db])
