"""JAX on the CPU: the whole step, Adam included, in one jit with donated buffers."""

import os

if os.environ.get("OMP_NUM_THREADS") == "1":
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp

from benchmarks import workloads
from benchmarks.peer import Workload


def versions():
    """Of what stands below."""
    return {"jax": jax.__version__}


def forward(layers, activation, x):
    """Dense layers with the activation between them."""
    for W, b in layers[:-1]:
        x = activation(x @ W + b)
    W, b = layers[-1]
    return x @ W + b


def loss(parameters, x, eps, activation):
    """Mean over the batch of cross-entropy + KL."""
    encoder, decoder = parameters
    mu, logvar = jnp.split(forward(encoder, activation, x), 2, axis=1)
    logits = forward(decoder, activation, mu + jnp.exp(0.5 * logvar) * eps)
    nll = jnp.sum(jax.nn.softplus(logits) - x * logits)
    kl = 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - 1 - logvar)
    return (nll + kl) / len(x)


def adam(theta, m, v, g, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma & Ba's Algorithm 1 -> theta, m, v."""
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return theta - lr * (m / (1 - beta1**t)) / (jnp.sqrt(v / (1 - beta2**t)) + eps), m, v


def training_step(model, batch):
    """Forward, backward, Adam; the noise drawn for every step."""
    shape = workloads.MODELS[model]
    activation = {"ReLU": jax.nn.relu, "Tanh": jnp.tanh}[shape.activation]
    x = jnp.asarray(workloads.batches(model, batch))
    xs = [jax.block_until_ready(x[i]) for i in range(len(x))]
    parameters = jax.tree.map(jnp.asarray, workloads.parameters(model))

    def loss_of(parameters, x, eps):
        return loss(parameters, x, eps, activation)

    value, gradients = jax.value_and_grad(loss_of)(parameters, xs[0], jnp.asarray(workloads.noise(model, batch)))
    result = workloads.summary(value, jax.tree.leaves(gradients))

    def step(state, x):
        parameters, m, v, t, key = state
        key, now = jax.random.split(key)
        eps = jax.random.normal(now, (batch, shape.latent_dim))
        value, g = jax.value_and_grad(loss_of)(parameters, x, eps)
        t = t + 1
        new = jax.tree.map(lambda p, m, v, g: adam(p, m, v, g, t), parameters, m, v, g)
        parameters, m, v = jax.tree.transpose(jax.tree.structure(parameters), jax.tree.structure((0, 0, 0)), new)
        return (parameters, m, v, t, key), value

    step = jax.jit(step, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = [parameters, zeros, jax.tree.map(jnp.zeros_like, parameters), jnp.float32(0), jax.random.key(0)]

    def run(n):
        nonlocal state
        for i in range(n):
            state, value = step(tuple(state), xs[i % len(xs)])
        jax.block_until_ready(state)

    return Workload(run, result)


WORKLOADS = {"step": training_step}
