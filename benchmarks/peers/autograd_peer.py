"""HIPS autograd: NumPy with automatic differentiation, and Adam as printed, on each array."""

import autograd
import autograd.numpy as np
import numpy

from benchmarks import workloads
from benchmarks.peer import Workload
from npvae.core.optimizers import adam_update


def versions():
    """Of what stands below."""
    from importlib.metadata import version

    return {"autograd": version("autograd")}


def forward(layers, activation, x):
    """Dense layers with the activation between them."""
    for W, b in layers[:-1]:
        x = activation(np.dot(x, W) + b)
    W, b = layers[-1]
    return np.dot(x, W) + b


def training_step(model, batch):
    """Forward, backward, Adam; the noise drawn for every step."""
    shape = workloads.MODELS[model]
    activation = {"ReLU": lambda a: np.maximum(a, 0), "Tanh": np.tanh}[shape.activation]
    x = workloads.batches(model, batch)

    def loss(parameters, x, eps):
        encoder, decoder = parameters
        code = forward(encoder, activation, x)
        mu, logvar = code[:, : shape.latent_dim], code[:, shape.latent_dim :]
        logits = forward(decoder, activation, mu + np.exp(0.5 * logvar) * eps)
        softplus = np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits)))
        kl = 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar)
        return (np.sum(softplus - x * logits) + kl) / len(x)

    value_and_grad = autograd.value_and_grad(loss)
    parameters = workloads.parameters(model)
    value, gradients = value_and_grad(parameters, x[0], workloads.noise(model, batch))
    result = workloads.summary(value, [g for chain in gradients for layer in chain for g in layer])
    moments = [[[(0 * a, 0 * a) for a in layer] for layer in chain] for chain in parameters]
    rng, t = numpy.random.default_rng(0), 0

    def run(n):
        nonlocal parameters, moments, t
        for i in range(n):
            t += 1
            eps = rng.standard_normal((batch, shape.latent_dim), numpy.float32)
            _, gradients = value_and_grad(parameters, x[i % len(x)], eps)
            new = [[[adam_update(a, g, *mv, t, 1e-3, 0.9, 0.999, 1e-8) for a, g, mv in zip(*layers)] for layers in zip(*chains)]
                   for chains in zip(parameters, gradients, moments)]  # fmt: skip
            parameters = [[tuple(a for a, _, _ in layer) for layer in chain] for chain in new]
            moments = [[[(m, v) for _, m, v in layer] for layer in chain] for chain in new]

    return Workload(run, result)


WORKLOADS = {"step": training_step}
