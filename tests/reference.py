"""The mathematics once more, as literal loops over Python numbers: slow, and so plain that each line answers to its equation.

Nothing here shares code with the package or uses an array operation; lists of lists are rows of examples. The models and the
optimizers must agree with these loops to 1e-12. The labels in brackets are the equation numbers in the package's docstrings.
"""

import math

# --- layers -----------------------------------------------------------------------------------------------------------------


def dense(x, W, b):
    """y_bj = sum_i x_bi W_ij + b_j                                                                            [DENSE-1]"""
    y = []
    for row in x:
        y.append([])
        for j in range(len(b)):
            total = b[j]
            for i in range(len(row)):
                total += row[i] * W[i][j]
            y[-1].append(total)
    return y


def softplus(a):
    """log(1 + e^a), as max(a, 0) + log(1 + e^-|a|)                                                             [ACT-5]"""
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


def sigmoid(a):
    """1 / (1 + e^-a), with the exponent that cannot overflow                                                   [ACT-7]"""
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


def relu(a):
    """max(a, 0)                                                                                                [ACT-3]"""
    return a if a > 0 else 0.0


ACTIVATIONS = {"Tanh": math.tanh, "ReLU": relu, "Softplus": softplus, "Sigmoid": sigmoid}


def chain(layers, x):
    """y = f_n( ... f_1(x) ), reading the weights of npvae's layers and nothing else                          [CHAIN-1]"""
    for layer in layers:
        kind = type(layer).__name__
        if kind == "Dense":
            x = dense(x, layer.W.tolist(), layer.b.tolist())
        else:
            x = [[ACTIVATIONS[kind](a) for a in row] for row in x]
    return x


# --- the Gaussian -----------------------------------------------------------------------------------------------------------


def kl_divergence(mu, logvar):
    """One example: sum_z 1/2 ( mu^2 + sigma^2 - 1 - log sigma^2 )                                               [KL-1]"""
    total = 0.0
    for m, lv in zip(mu, logvar):
        total += 0.5 * (m**2 + math.exp(lv) - 1 - lv)
    return total


def reparameterize(mu, logvar, eps):
    """One example: z = mu + sigma eps                                                                          [REP-1]"""
    return [m + math.exp(lv / 2) * e for m, lv, e in zip(mu, logvar, eps)]


# --- likelihoods ------------------------------------------------------------------------------------------------------------


def bernoulli_nll(logits, x):
    """One example: sum_d (1 - x) softplus(l) + x softplus(-l)                                                  [BER-1]"""
    total = 0.0
    for logit, value in zip(logits, x):
        total += (1 - value) * softplus(logit) + value * softplus(-logit)
    return total


def gaussian_nll(means, x, sigma):
    """One example: sum_d 1/2 ((x - mean) / sigma)^2 + log sigma + 1/2 log 2 pi                                 [NOR-1]"""
    total = 0.0
    for mean, value in zip(means, x):
        total += 0.5 * ((value - mean) / sigma) ** 2 + math.log(sigma) + 0.5 * math.log(2 * math.pi)
    return total


def nll(likelihood, out, x):
    """One example, by the likelihood's name; a learned sigma is e^log_sigma."""
    if type(likelihood).__name__ == "Bernoulli":
        return bernoulli_nll(out, x)
    return gaussian_nll(out, x, math.exp(likelihood.log_sigma[0]) if likelihood.learn else likelihood.sigma)


# --- models -----------------------------------------------------------------------------------------------------------------


def vae_loss(model, x, eps, beta):
    """1/B sum_b ( nll_b + beta KL_b ) -> total, reconstruction, kl                                            [ELBO-4]"""
    B, Z = len(x), model.latent_dim
    reconstruction = kl = 0.0
    for row, noise, code in zip(x.tolist(), eps.tolist(), chain(model.encoder.layers, x.tolist())):
        mu, logvar = code[:Z], code[Z:]
        z = reparameterize(mu, logvar, noise)
        (out,) = chain(model.decoder.layers, [z])
        reconstruction += nll(model.likelihood, out, row) / B
        kl += kl_divergence(mu, logvar) / B
    return reconstruction + beta * kl, reconstruction, kl


def autoencoder_loss(model, x):
    """1/B sum_b nll_b                                                                                            [AE-1]"""
    outs = chain(model.decoder.layers, chain(model.encoder.layers, x.tolist()))
    total = 0.0
    for out, row in zip(outs, x.tolist()):
        total += nll(model.likelihood, out, row) / len(x)
    return total


# --- optimizers: one number theta, all its gradients in order -> theta after each step --------------------------------------


def sgd(theta, gradients, lr):
    """theta = theta - lr g                                                                                     [SGD-1]"""
    path = []
    for g in gradients:
        theta = theta - lr * g
        path.append(theta)
    return path


def momentum(theta, gradients, lr, mu):
    """v = mu v + g;   theta = theta - lr v                                                              [MOM-1, MOM-2]"""
    path, v = [], 0.0
    for g in gradients:
        v = mu * v + g
        theta = theta - lr * v
        path.append(theta)
    return path


def rmsprop(theta, gradients, lr, rho, eps):
    """v = rho v + (1 - rho) g^2;   theta = theta - lr g / (sqrt(v) + eps)                               [RMS-1, RMS-2]"""
    path, v = [], 0.0
    for g in gradients:
        v = rho * v + (1 - rho) * g**2
        theta = theta - lr * g / (math.sqrt(v) + eps)
        path.append(theta)
    return path


def adagrad(theta, gradients, lr, eps):
    """v = v + g^2;   theta = theta - lr g / (sqrt(v) + eps)                                             [ADA-1, ADA-2]"""
    path, v = [], 0.0
    for g in gradients:
        v = v + g**2
        theta = theta - lr * g / (math.sqrt(v) + eps)
        path.append(theta)
    return path


def adam(theta, gradients, lr, beta1, beta2, eps):
    """Algorithm 1 of Kingma & Ba (2015)                                                                [ADAM-1 to -5]"""
    path, m, v = [], 0.0, 0.0
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        mhat = m / (1 - beta1**t)
        vhat = v / (1 - beta2**t)
        theta = theta - lr * mhat / (math.sqrt(vhat) + eps)
        path.append(theta)
    return path
