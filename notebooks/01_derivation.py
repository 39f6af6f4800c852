# The source of 01_derivation.ipynb: edit this file, then run: python notebooks/build.py 01_derivation

# %% [markdown]
# # 1. The derivation: every gradient of a variational autoencoder
#
# **You will be able to** derive the loss of a VAE from $\log p(x)$, the gradient of that loss with respect to every
# parameter, and the Adam step; say for each line of `npvae/core` which equation it is; and name the mistake that public code
# makes at that place.
#
# **You need** the chain rule, matrix products, the Gaussian density and a little NumPy. **Time:** 120 minutes, pen and paper
# included. The sections stand alone: 1 to 5 are the model and its loss, 6 to 9 are the network and its gradient, 10 to 13 the
# rest.
#
# **How to read.** Formulas that the library uses carry its labels, such as (KL-2); the same label stands in the docstring of
# the function that computes it. The steps in between are numbered (1), (2), ... Each result is checked by the cell below it.
# Where it says *predict, then run*, write your number down first.

# %% [markdown]
# ## Notation
#
# | letter | meaning | | letter | meaning |
# |---|---|---|---|---|
# | B | examples in the batch, index b | | x | data, shape (B, D) |
# | D | data values of an example, index d | | z | latents, shape (B, Z) |
# | H | hidden units | | mu, logvar | mean and log-variance of q, each (B, Z) |
# | Z | latent values of an example, index k | | eps | noise, shape (B, Z) |
# | P | parameters | | L | the loss, one number |
#
# Rows are examples. A `d` before a name means the derivative of the loss: `dW` is dL/dW, of the same shape as `W`. One rule
# never changes: **sum over D, sum over Z, mean over B**, so that every number is in nats per example.
#
# Derivatives are checked by the *complex step*: for a function that is analytic, a tiny imaginary part $h$ comes out
# multiplied by the derivative, with nothing subtracted and so nothing lost.
#
# $$
# f(a + ih) = f(a) + ih f'(a) + O(h^2) \quad \text{so} \quad f'(a) = \frac{\mathrm{Im} f(a + ih)}{h} + O(h^2) \tag{1}
# $$

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

from npvae.core.gaussian import (
    kl_divergence,
    kl_divergence_backward,
    log_density,
    log_density_backward,
    reparameterize,
    reparameterize_backward,
)
from npvae.core.layers import Chain, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.core.likelihoods import Bernoulli, Gaussian
from npvae.core.numerics import logsumexp, sigmoid, softplus
from npvae.core.optimizers import SGD, Adagrad, Adam, Momentum, RMSProp, adam_update
from npvae.models import VAE, Autoencoder
from npvae.training import schedules

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})


def derivative(f, a):
    """f'(a) by the complex step (1), exact to rounding."""
    return np.imag(f(a + 1e-30j)) / 1e-30


def agree(what, computed, expected, rtol=1e-10):
    """Print both numbers and stop if they differ by more than rtol of the larger."""
    print(f"{what:<46} {computed:+.10g}   {expected:+.10g}")
    assert abs(computed - expected) <= rtol * max(abs(computed), abs(expected)), what


agree("derivative of sin at 0.3, and cos(0.3)", derivative(np.sin, 0.3), math.cos(0.3))

# %% [markdown]
# ## 1. From log p(x) to the ELBO
#
# A VAE says how an example comes about: draw a latent $z$ from the prior $p(z) = N(0, I)$, then draw $x$ from $p(x \mid z)$,
# whose parameters a network, the *decoder*, computes from $z$. We want the parameters under which the data are likely, and
#
# $$
# p(x) = \int p(x \mid z) p(z) dz \tag{2}
# $$
#
# is an integral over all $z$ through a network: hopeless. So a second network, the *encoder*, proposes for each $x$ which $z$
# are worth a look: $q(z \mid x)$, a Gaussian. Any density $q$ with $q > 0$ will do for what follows. Since $\log p(x)$ does
# not depend on $z$ and $q$ integrates to 1, and since $p(x, z) = p(z \mid x) p(x)$ by the product rule,
#
# $$
# \log p(x) = \mathbb{E}_q \left[ \log p(x) \right] = \mathbb{E}_q \left[ \log \frac{p(x, z)}{p(z \mid x)} \right] \tag{3}
# $$
#
# Multiply and divide by $q(z \mid x)$ inside, and split the logarithm of the product:
#
# $$
# \log p(x) = \mathbb{E}_q \left[ \log \frac{p(x, z)}{q(z \mid x)} \right] +
# \mathrm{KL}( q(z \mid x) \Vert p(z \mid x) ) \tag{ELBO-1}
# $$
#
# with the Kullback-Leibler divergence
#
# $$
# \mathrm{KL}( q \Vert p ) = \mathbb{E}_q \left[ \log \frac{q(z)}{p(z)} \right] \tag{4}
# $$
#
# It is never negative: the line $t - 1$ touches $\log t$ at $t = 1$ and lies above it elsewhere, hence
#
# $$
# -\mathrm{KL}( q \Vert p ) = \mathbb{E}_q \left[ \log \frac{p(z)}{q(z)} \right]
# \le \mathbb{E}_q \left[ \frac{p(z)}{q(z)} - 1 \right] = \int p(z) dz - 1 = 0 \tag{5}
# $$
#
# Leaving the KL out of (ELBO-1) can therefore only lower the right side. What is left is the **evidence lower bound**:
#
# $$
# \log p(x) \ge \mathrm{ELBO} = \mathbb{E}_q \left[ \log p(x, z) - \log q(z \mid x) \right] \tag{ELBO-2}
# $$
#
# The gap is exactly $\mathrm{KL}( q(z \mid x) \Vert p(z \mid x) )$: the bound is tight when the encoder finds the true
# posterior. Last, split $\log p(x, z) = \log p(x \mid z) + \log p(z)$ and collect the last two logarithms by (4):
#
# $$
# \log p(x) \ge \mathbb{E}_q \left[ \log p(x \mid z) \right] - \mathrm{KL}( q(z \mid x) \Vert p(z) ) \tag{ELBO-3}
# $$
#
# The first term asks that $x$ can be reconstructed from $z$; the second keeps every code close to the prior. Code:
# `npvae.VAE`.
#
# **Check** on a model where everything is known: one latent, $x = wz + c$ plus Gaussian noise of standard deviation $s$. Then
# $p(x)$ is $N(c, w^2 + s^2)$ and the posterior is Gaussian, too. The integrals are sums over a fine grid.

# %%
w, c, s, x = 1.5, -0.5, 0.8, 2.0
grid = np.linspace(-20, 20, 40_001)
dz_grid = grid[1] - grid[0]


def log_normal(x, mean, sd):
    return -0.5 * np.log(2 * np.pi) - np.log(sd) - 0.5 * ((x - mean) / sd) ** 2


log_joint = log_normal(x, w * grid + c, s) + log_normal(grid, 0, 1)  # log p(x, z) on the grid
log_px = log_normal(x, c, math.hypot(w, s))
posterior_mean, posterior_sd = w * (x - c) / (w**2 + s**2), s / math.hypot(w, s)


def elbo_and_gap(mean, sd):
    """ELBO-2 and KL(q || posterior), both by summing over the grid."""
    q, log_q = np.exp(log_normal(grid, mean, sd)), log_normal(grid, mean, sd)
    return np.sum(q * (log_joint - log_q)) * dz_grid, np.sum(q * (log_q - log_normal(grid, posterior_mean, posterior_sd))) * dz_grid


agree("(2): log of the integral, log p(x)", np.log(np.sum(np.exp(log_joint)) * dz_grid), log_px)
elbo, gap = elbo_and_gap(0.3, 0.6)
print(f"q = N(0.3, 0.6^2): ELBO {elbo:.6f}, gap {gap:.6f}")
agree("ELBO-1: ELBO + gap, log p(x)", elbo + gap, log_px)
agree("q = posterior: ELBO, log p(x)", elbo_and_gap(posterior_mean, posterior_sd)[0], log_px)

# %%
means = np.linspace(-1, 3, 81)
plt.figure(layout="constrained")
plt.axhline(log_px, color="black", label="log p(x)")
for sd, style in ((posterior_sd, "-"), (2 * posterior_sd, "--"), (posterior_sd / 5, ":")):
    plt.plot(means, [elbo_and_gap(m, sd)[0] for m in means], style, color="tab:blue", label=f"ELBO, sd of q {sd:.2f}")
plt.ylim(-8, -1.5)
plt.xlabel("mean of q")
plt.ylabel("nats")
plt.legend(loc="lower center")
assert max(elbo_and_gap(m, posterior_sd)[0] for m in means) <= log_px

# %% [markdown]
# *The picture:* three curves under a horizontal line. Only with the posterior's own standard deviation and mean does the ELBO
# touch log p(x).
#
# > **A mistake found in public code**, `elbo_at_posterior_mean`: the decoder is run once, at z = mu, and the result is called
# > the ELBO. That is no bound at all. The next cell shows it above log p(x); on the 8x8 digits with five latents it gives
# > 11.208 where the exact value is 8.908.

# %%
at_mean = log_normal(x, w * posterior_mean + c, s) - (0.5 * (posterior_mean**2 + posterior_sd**2 - 1) - math.log(posterior_sd))
print(f"log p(x|mu) - KL = {at_mean:.6f}, above log p(x) = {log_px:.6f}")
assert at_mean > log_px

# %% [markdown]
# ### The loss
#
# Optimizers minimize, so the loss is minus the ELBO, averaged over the examples of a batch. The expectation over $q$ is
# replaced by one sample, which is unbiased. A weight $\beta$ on the KL, 1 for the ELBO, is often wanted:
#
# $$
# L = \frac{1}{B} \sum_{b=1}^{B} \left( -\log p(x_b \mid z_b) + \beta \mathrm{KL}_b \right)
# \quad \text{with} \quad z_b \sim q(z \mid x_b) \tag{ELBO-4}
# $$
#
# Inside the bracket everything is summed: independent pixels multiply their probabilities, so their logarithms add, and the
# same holds for the latents. Only over the examples do we average. Code: `npvae.VAE.loss`.
#
# > **A mistake found in public code**, `recon_mean_over_pixels`: the reconstruction is averaged over the D pixels while the
# > KL is summed.
#
# **Predict, then run.** D = 784 and beta = 1 in such code. Which beta is that in the convention above? Your number: `____`

# %%
D, reconstruction, kl = 784, 90.0, 25.0  # sums over pixels and latents, in nats
wrong = reconstruction / D + kl
for beta in (1, 784):
    print(f"beta = {beta}: {D} x wrong loss = {D * wrong:.0f}, right loss = {reconstruction + beta * kl:.0f}")
agree("the mean over pixels is beta = D", D * wrong, reconstruction + D * kl)

# %% [markdown]
# Up to a scale of the whole loss, it is beta = 784. Then the KL is so dear that the best model ignores $z$ and paints the
# mean image.
#
# > **Another**, `elbo_called_loss`: the ELBO itself is handed to the minimizer. The loss then falls without end, and so does
# > the probability of the data.

# %% [markdown]
# ## 2. The KL in closed form
#
# Both $q$ and the prior are products over the latents, of a Gaussian each. So the logarithm of their ratio is a sum, and the
# expectation of a term that depends on one latent alone is an expectation over that latent, since the others integrate to 1:
#
# $$
# \mathrm{KL}( q \Vert p ) = \sum_k \int N(z; \mu_k, \sigma_k^2) \log \frac{N(z; \mu_k, \sigma_k^2)}{N(z; 0, 1)} dz \tag{6}
# $$
#
# One dimension is enough from here on. The constants $\frac{1}{2} \log 2\pi$ cancel in the ratio:
#
# $$
# \log \frac{N(z; \mu, \sigma^2)}{N(z; 0, 1)}
# = \frac{1}{2} \left( z^2 - \frac{(z - \mu)^2}{\sigma^2} - \log \sigma^2 \right) \tag{7}
# $$
#
# Three integrals are left, with $t = (z - \mu) / \sigma$ and $\varphi(t) = e^{-t^2/2} / \sqrt{2\pi}$.
#
# *First*, the constant. The square of the integral of $e^{-t^2/2}$ is an integral over the plane, easy in polar coordinates:
#
# $$
# \left( \int e^{-t^2/2} dt \right)^2 = \int_0^{2\pi} \int_0^\infty e^{-r^2/2} r dr d\theta = 2\pi
# \quad \text{so} \quad \int \varphi(t) dt = 1 \tag{8}
# $$
#
# *Second*, the variance, by parts, with $\varphi' = -t \varphi$ and a boundary term that vanishes:
#
# $$
# \mathbb{E}_q \left[ (z - \mu)^2 \right] = \sigma^2 \int t \cdot t \varphi(t) dt
# = \sigma^2 \left( \left[ -t \varphi(t) \right]_{-\infty}^{\infty} + \int \varphi(t) dt \right) = \sigma^2 \tag{9}
# $$
#
# *Third*, the second moment. $\mathbb{E}[z - \mu] = 0$, because $t \varphi(t)$ is odd, so the middle term of the square drops
# out:
#
# $$
# \mathbb{E}_q \left[ z^2 \right] = \mathbb{E}_q \left[ (\mu + (z - \mu))^2 \right] = \mu^2 + 2 \mu \cdot 0 + \sigma^2 \tag{10}
# $$
#
# Put (9) and (10) into the expectation of (7), term by term: $\mu^2 + \sigma^2$ from the first, $-1$ from the second, and
#
# $$
# \mathrm{KL} = \frac{1}{2} \left( \mu^2 + \sigma^2 - 1 - \log \sigma^2 \right) \tag{KL-1}
# $$
#
# for one latent; the KL of an example is the sum over its latents. The encoder gives $v = \log \sigma^2$, so $\sigma^2 = e^v$
# is positive whatever the network says. Differentiate, with $d\sigma^2 / dv = \sigma^2$, and multiply by dL/dKL:
#
# $$
# \frac{\partial L}{\partial \mu} = \mu \frac{\partial L}{\partial \mathrm{KL}} \tag{KL-2}
# $$
#
# $$
# \frac{\partial L}{\partial \log \sigma^2}
# = \frac{1}{2} \left( \sigma^2 - 1 \right) \frac{\partial L}{\partial \mathrm{KL}} \tag{KL-3}
# $$
#
# Both vanish together only at $\mu = 0$, $\sigma = 1$. There the KL is 0, and elsewhere it is positive, since
# $e^v \ge 1 + v$. Code: `npvae.core.gaussian.kl_divergence` and `kl_divergence_backward`.

# %%
mu, logvar = np.array([[0.5, -1.25, 0.0]]), np.array([[0.25, -2.0, 1.0]])
sigma = np.exp(logvar / 2)
(kl,) = kl_divergence(mu, logvar)
integrals = 0
for m, sd in zip(mu[0], sigma[0]):
    q = np.exp(log_normal(grid, m, sd))
    integrals += np.sum(q * (log_normal(grid, m, sd) - log_normal(grid, 0, 1))) * dz_grid
agree("KL-1, and the integral (6) on the grid", kl, integrals)
agree("KL-1, and the value of a 50-digit calculator", kl, 1.8500712641916997057)

z = mu + sigma * np.random.default_rng(0).standard_normal((400_000, 3))
ratio = np.sum(log_normal(z, mu, sigma) - log_normal(z, 0, 1), axis=1)
error = ratio.std() / math.sqrt(len(z))
print(f"Monte Carlo, 400,000 samples: {ratio.mean():.4f} +- {error:.4f}")
assert abs(ratio.mean() - kl) < 4 * error

dmu, dlogvar = kl_divergence_backward(mu, logvar, np.ones(1))
for k in range(3):
    unit = np.eye(3)[[k]]
    agree(f"KL-2, latent {k}", dmu[0, k] + 1, derivative(lambda a, u=unit: kl_divergence(mu + a * u, logvar)[0], 0) + 1)
    agree(f"KL-3, latent {k}", dlogvar[0, k], derivative(lambda a, u=unit: kl_divergence(mu, logvar + a * u)[0], 0))

# %% [markdown]
# (The 1 added to KL-2 only keeps the comparison relative where the derivative is 0.)
#
# > **Mistakes**, most of them found in public code, and what each gives at this point, where 1.850071 is right. All of them
# > train, all of them pass a gradient check if the backward pass follows, and a Monte-Carlo estimate like the one above
# > catches every one.

# %%
var = sigma**2
wrong = {
    "kl_mean_over_latents    mean over Z": (np.mean(0.5 * (mu**2 + var - 1 - logvar)), 0.616690),
    "kl_missing_half         factor 1 for 1/2": (np.sum(mu**2 + var - 1 - logvar), 3.700143),
    "kl_logvar_sign          + log sigma^2": (np.sum(0.5 * (mu**2 + var - 1 + logvar)), 1.100071),
    "kl_sigma_for_variance   sigma for sigma^2": (np.sum(0.5 * (mu**2 + sigma - 1 - logvar)), 1.356125),
    "kl_logvar_read_as_logstd": (np.sum(0.5 * (mu**2 + np.exp(2 * logvar) - 1 - 2 * logvar)), 4.684297),
    "kl_constant_missing     no -1": (np.sum(0.5 * (mu**2 + var - logvar)), 3.350071),
    "kl_without_mu": (np.sum(0.5 * (var - 1 - logvar)), 0.943821),
}
for name, (value, expected) in wrong.items():
    print(f"{name:<46} {value:.6f}")
    assert abs(value - expected) < 1e-6 and abs(value - kl) > 0.4

# %% [markdown]
# **Close to the prior** the formula as printed loses its digits: $e^v - 1 - v$ is about $v^2 / 2$, the small difference of
# numbers near 1. `expm1(v)` computes $e^v - 1$ without forming $e^v$.
#
# **Predict, then run.** At mu = 0, log sigma^2 = 1e-8 the KL is 2.5e-17. What does 0.5 * (exp(v) - 1 - v) give? Your number:
# `____`

# %%
v = 1e-8
print(f"naive: {0.5 * (np.exp(v) - 1 - v):.6e}")
print(f"expm1: {0.5 * (np.expm1(v) - v):.6e}")
assert abs(0.5 * (np.exp(v) - 1 - v) / 2.5e-17 - 1) > 0.9
assert abs(0.5 * (np.expm1(v) - v) / 2.5e-17 - 1) < 1e-6

# %% [markdown]
# > `kl_cancellation`: the naive form is 100 % wrong there, and its gradient at v = 1e-5 has lost six digits.

# %% [markdown]
# ## 3. Reparameterization: a gradient through a sample
#
# The other term of the loss is the expectation under $q$ of $f(z) = -\log p(x \mid z)$. Its parameters, $\mu$ and $\sigma$,
# stand in the density that we sample from: a drawn number $z$ has no derivative with respect to them. The way out is to draw
# the noise elsewhere:
#
# $$
# z = \mu + \sigma \epsilon \quad \text{with} \quad \sigma = e^{\log \sigma^2 / 2}, \quad \epsilon \sim N(0, I) \tag{REP-1}
# $$
#
# By the change of variables $\epsilon = (z - \mu) / \sigma$ the density of this $z$ is the one we want,
#
# $$
# \varphi \left( \frac{z - \mu}{\sigma} \right) \left| \frac{d\epsilon}{dz} \right|
# = \frac{1}{\sigma} \varphi \left( \frac{z - \mu}{\sigma} \right) = N(z; \mu, \sigma^2) \tag{11}
# $$
#
# and the expectation has become one over a density without parameters, so that differentiating goes inside:
#
# $$
# \mathbb{E}_q \left[ f(z) \right] = \int \varphi(\epsilon) f(\mu + \sigma \epsilon) d\epsilon
# \quad \Rightarrow \quad \frac{\partial}{\partial \mu} \mathbb{E}_q \left[ f(z) \right]
# = \mathbb{E}_\epsilon \left[ f'(z) \frac{\partial z}{\partial \mu} \right] \tag{12}
# $$
#
# and alike for $\log \sigma^2$. One draw of the noise gives an unbiased estimate of the right side. With
# $\partial z / \partial \mu = 1$ and $\partial \sigma / \partial \log \sigma^2 = \sigma / 2$, by the chain rule:
#
# $$
# \frac{\partial L}{\partial \mu} = \frac{\partial L}{\partial z} \tag{REP-2}
# $$
#
# $$
# \frac{\partial L}{\partial \log \sigma^2} = \frac{1}{2} \sigma \epsilon \frac{\partial L}{\partial z} \tag{REP-3}
# $$
#
# Code: `npvae.core.gaussian.reparameterize` and `reparameterize_backward`. The backward pass must use the very $\epsilon$ of
# the forward pass, which is why it travels in the cache.
#
# **Check** with $f(z) = z^2$, where (10) gives the answer: $\mathbb{E}[f] = \mu^2 + \sigma^2$, with derivatives $2\mu$ and
# $\sigma^2$.

# %%
n, m, v = 400_000, 0.7, -0.6
eps = np.random.default_rng(6).standard_normal((n, 1))
z, cache = reparameterize(np.full((n, 1), m), np.full((n, 1), v), eps)
dmu, dlogvar = reparameterize_backward(2 * z, cache)  # dL/dz = f'(z) = 2z
for what, samples, exact in (("d/dmu", dmu, 2 * m), ("d/dlogvar", dlogvar, math.exp(v))):
    error = samples.std() / math.sqrt(n)
    print(f"{what:<10} mean over the noise {samples.mean():.4f} +- {error:.4f}, exactly {exact:.4f}")
    assert abs(samples.mean() - exact) < 4 * error


def f(mu, logvar):
    """f(z) for the first noise drawn."""
    return reparameterize(np.array([[mu]]), np.array([[logvar]]), eps[:1])[0][0, 0] ** 2


agree("REP-2, for one draw", dmu[0, 0], derivative(lambda a: f(a, v), m))
agree("REP-3, for one draw", dlogvar[0, 0], derivative(lambda a: f(m, a), v))

# %% [markdown]
# > **A mistake found in public code**, `variance_as_sigma`: z = mu + exp(logvar) eps, without the 1/2. Asked for variance 4
# > it samples with standard deviation 4 where 2 is right. Finite differences agree with it to 5e-10, since forward and
# > backward are wrong together.
#
# **Predict, then run.** The numbers drawn by both, asked for variance 4. Your standard deviations: `____` and `____`

# %%
logvar4 = math.log(4)
right, wrong = np.std(np.exp(logvar4 / 2) * eps), np.std(np.exp(logvar4) * eps)
print(f"right {right:.2f}, variance taken for sigma {wrong:.2f}")
assert abs(right - 2) < 0.01 and abs(wrong - 4) < 0.02

# %% [markdown]
# ## 4. The Gaussian log-density
#
# It is needed to estimate $\log p(x)$ by importance sampling, and the Gaussian likelihood is a special case. The density is a
# product over the dimensions, so its logarithm is a sum:
#
# $$
# \log N(x; \mu, \mathrm{diag} \sigma^2)
# = -\frac{1}{2} \sum_k \left( \log 2\pi + \log \sigma_k^2 + \frac{(x_k - \mu_k)^2}{\sigma_k^2} \right) \tag{GAU-1}
# $$
#
# Differentiate one term. With $1 / \sigma^2 = e^{-v}$ and $v = \log \sigma^2$, the last fraction has the derivative minus
# itself with respect to $v$:
#
# $$
# \frac{\partial L}{\partial x} = -\frac{x - \mu}{\sigma^2} \frac{\partial L}{\partial \log N} \tag{GAU-2}
# $$
#
# $$
# \frac{\partial L}{\partial \mu} = \frac{x - \mu}{\sigma^2} \frac{\partial L}{\partial \log N} \tag{GAU-3}
# $$
#
# $$
# \frac{\partial L}{\partial \log \sigma^2}
# = \frac{1}{2} \left( \frac{(x - \mu)^2}{\sigma^2} - 1 \right) \frac{\partial L}{\partial \log N} \tag{GAU-4}
# $$
#
# Code: `npvae.core.gaussian.log_density` and `log_density_backward`. A log-density may well be positive: a density is no
# probability.

# %%
point = [np.array([[a]]) for a in (1.3, -0.4, -0.7)]  # x, mu, logvar
agree("GAU-1, and the calculator's value", log_density(*point)[0], -3.4788111954995114366)
gradients = log_density_backward(*point, np.ones(1))
for i, label in enumerate(("GAU-2", "GAU-3", "GAU-4")):
    agree(label, gradients[i][0, 0], derivative(lambda a, i=i: log_density(*point[:i], point[i] + a, *point[i + 1 :])[0], 0))

# %% [markdown]
# > **A mistake found in public code**, `gaussian_gradient_half`: 0.25 for the 0.5 of (GAU-4). A gradient check shows a
# > constant ratio of 1/2 in one head.

# %% [markdown]
# ## 5. The likelihoods
#
# The decoder's raw output says which distribution $x$ has. What we need of it is the negative log-likelihood (nll) of each
# example and its derivative with respect to that raw output.
#
# ### Bernoulli: black and white pixels
#
# The output is a *logit* $l$, any real number, and the probability of a white pixel is $p = 1 / (1 + e^{-l})$, called
# sigmoid(l). Then $1 - p = 1 / (1 + e^{l})$, and with the name softplus(a) for $\log(1 + e^a)$:
#
# $$
# -\log p = \log(1 + e^{-l}) = \mathrm{softplus}(-l), \qquad -\log(1 - p) = \log(1 + e^{l}) = \mathrm{softplus}(l) \tag{13}
# $$
#
# A pixel has the probability $p^x (1-p)^{1-x}$, and independent pixels add up:
#
# $$
# \mathrm{nll} = \sum_d \left( (1 - x_d) \mathrm{softplus}(l_d) + x_d \mathrm{softplus}(-l_d) \right) \tag{BER-1}
# $$
#
# Differentiate: $\mathrm{softplus}'(a) = e^a / (1 + e^a) = \mathrm{sigmoid}(a)$, with the inner minus sign in the second
# term:
#
# $$
# \frac{\partial \mathrm{nll}}{\partial l} = (1 - x) \mathrm{sigmoid}(l) - x \mathrm{sigmoid}(-l)
# = \mathrm{sigmoid}(l) - x \tag{BER-2}
# $$
#
# The last form, from $\mathrm{sigmoid}(-l) = 1 - \mathrm{sigmoid}(l)$, is the famous one: predicted minus true. The middle
# one is the one to compute: for a white pixel with a large logit the last form subtracts two numbers near 1. Code:
# `npvae.Bernoulli.nll_and_grad`.

# %%
bernoulli = Bernoulli()
for logit, x, value, slope in (
    (-3.0, 0.25, 0.79858735157374205876, -0.20257412682243321912),
    (2.5, 0.0, 2.5788897342925496233, 0.9241418199787564488),
    (40.0, 1.0, 4.2483542552915889863e-18, -4.2483542552915889773e-18),
    (-30.0, 1.0, 30.000000000000093576, -0.99999999999990642377),
):
    nll, dl = bernoulli.nll_and_grad(np.array([[logit]]), np.array([[x]]))
    agree(f"BER-1 at l = {logit}, x = {x}", nll[0], value)
    agree("BER-2", dl[0, 0], slope)
    agree("BER-2, complex step", dl[0, 0], derivative(lambda a, x=x: bernoulli.nll(np.array([[a]]), np.array([[x]]))[0], logit))
print("sigmoid(40) - 1 =", 1 / (1 + math.exp(-40)) - 1)

# %% [markdown]
# > **Mistakes found in public code.** `probability_clipped`: log(clip(p, 1e-7, 1 - 1e-7)) gives 16.118 at l = -30, x = 1,
# > where 30 is right, with gradient exactly 0: the worst pixel teaches nothing. `data_outside_unit_interval`: x = 1.5 at l =
# > 100 gives -50, a loss without a lower bound; npvae refuses such data. `bernoulli_on_gray`: on grey pixels (BER-1) is a
# > cross-entropy, and never below the entropy of the greys, 45.76 nats on MNIST: no likelihood, and not comparable with one.

# %%
clipped = -math.log(max(1 / (1 + math.exp(30)), 1e-7))
unbounded = (1 - 1.5) * softplus(100.0) + 1.5 * softplus(-100.0)  # BER-1 at l = 100, x = 1.5
print(f"clipped: {clipped:.3f}, x = 1.5 at l = 100: {unbounded:.1f}")
assert abs(clipped - 16.118) < 1e-3 and unbounded == -50
grey = 0.3  # the best logit for a grey pixel is log(0.3 / 0.7), and even there the cross-entropy is the entropy of 0.3
best = bernoulli.nll(np.array([[math.log(grey / (1 - grey))]]), np.array([[grey]]))[0]
agree("cross-entropy at its minimum, entropy", best, -grey * math.log(grey) - (1 - grey) * math.log(1 - grey))

# %% [markdown]
# ### Gaussian: real data
#
# The output $o$ is the mean, and one $\sigma$ is shared by all data values. Minus (GAU-1) with the same sigma everywhere:
#
# $$
# \mathrm{nll} = \sum_d \frac{1}{2} \left( \frac{x_d - o_d}{\sigma} \right)^2 + D \log \sigma + \frac{D}{2} \log 2\pi \tag{NOR-1}
# $$
#
# $$
# \frac{\partial \mathrm{nll}}{\partial o} = -\frac{x - o}{\sigma^2} \tag{NOR-2}
# $$
#
# If $\sigma$ is learned, then as $\log \sigma$, which may be any number. With
# $\partial \sigma^{-2} / \partial \log \sigma = -2 \sigma^{-2}$:
#
# $$
# \frac{\partial \mathrm{nll}}{\partial \log \sigma} = D - \sum_d \left( \frac{x_d - o_d}{\sigma} \right)^2 \tag{NOR-3}
# $$
#
# It vanishes where $\sigma^2$ is the mean squared error: the best $\sigma$ is the typical error. With $\sigma = 1$ the nll is
# half the squared error plus a constant, with $\sigma^2 = 1/2$ it is the squared error without the half. So "MSE + KL" always
# stands for some $\sigma$; say which. Code: `npvae.Gaussian.nll_and_grad`.

# %%
x, out = np.array([[0.2, -1.0, 0.7]]), np.array([[0.5, -0.4, 1.5]])
learned = Gaussian(sigma=0.6, learn=True)
nll, dout = learned.nll_and_grad(out, x)
agree("NOR-1, and -GAU-1", nll[0], -log_density(x, out, np.full((1, 3), 2 * math.log(0.6)))[0])
for d in range(3):
    agree(f"NOR-2, value {d}", dout[0, d], derivative(lambda a, d=d: learned.nll(out + a * np.eye(3)[[d]], x)[0], 0))
slope = learned.dlog_sigma[0]
twin = learned.astype(complex)
twin.log_sigma += 1e-30j
agree("NOR-3", slope, np.imag(twin.nll(out, x)[0]) / 1e-30)
best = Gaussian(sigma=math.sqrt(np.mean((x - out) ** 2)), learn=True)
best.nll_and_grad(out, x)
print(f"NOR-3 where sigma^2 is the mean squared error: {best.dlog_sigma[0]:.1e}")
assert abs(best.dlog_sigma[0]) < 1e-14
short = Gaussian().nll(out, x)[0] - 0.5 * np.sum((x - out) ** 2)
agree("constant left out at sigma = 1, per pixel", short / 3, 0.918938533204672742)

# %% [markdown]
# > **A mistake found in public code**, `mse_without_constant`: half the squared error called "nll". It is short by 0.918939 a
# > pixel, 720.45 nats for 784, and ELBOs of different sigma no longer compare.

# %% [markdown]
# ## 6. Activations, and how to compute them
#
# They act element by element, so that $\partial L / \partial x = f'(x) \partial L / \partial y$. Code: the classes of
# `npvae.core.layers` and the functions of `npvae.core.numerics`.
#
# **tanh.** The quotient rule on $\sinh / \cosh$ gives $(\cosh^2 - \sinh^2) / \cosh^2 = 1 - \tanh^2$: the derivative needs the
# output alone.
#
# $$
# y = \tanh(x) \tag{ACT-1}
# $$
#
# $$
# \frac{\partial L}{\partial x} = (1 - y^2) \frac{\partial L}{\partial y} \tag{ACT-2}
# $$
#
# **ReLU.** At 0 there is no derivative. Any value from 0 to 1 would do; npvae takes 0, in both passes alike.
#
# $$
# y = \max(x, 0) \tag{ACT-3}
# $$
#
# $$
# \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \quad \text{where} \quad x > 0,
# \quad \text{else} \quad 0 \tag{ACT-4}
# $$
#
# **softplus.** $e^a$ overflows at $a = 710$. Take the larger of 1 and $e^a$ out of the logarithm, and the exponent is never
# positive:
#
# $$
# \mathrm{softplus}(a) = \log(1 + e^a) = \max(a, 0) + \log(1 + e^{-|a|}) \tag{ACT-5}
# $$
#
# $$
# \frac{\partial L}{\partial x} = \mathrm{sigmoid}(x) \frac{\partial L}{\partial y} \tag{ACT-6}
# $$
#
# **sigmoid.** Multiply numerator and denominator by $p = e^{\min(a, 0)}$, and call $q = p e^{-a} = e^{-\max(a, 0)}$. Again no
# exponent is positive:
#
# $$
# \mathrm{sigmoid}(a) = \frac{1}{1 + e^{-a}} = \frac{p}{p + q}
# \quad \text{with} \quad p = e^{\min(a, 0)}, \quad q = e^{-\max(a, 0)} \tag{ACT-7}
# $$
#
# $$
# \frac{\partial L}{\partial x} = y (1 - y) \frac{\partial L}{\partial y} \tag{ACT-8}
# $$
#
# since $y' = e^{-a} / (1 + e^{-a})^2$, which is $y$ times $1 - y$.
#
# **log-sum-exp.** The same idea for a sum: take the largest term out, and it is $e^0 = 1$. The importance-sampled estimate of
# $\log p(x)$ is logsumexp of K log-weights, minus $\log K$.
#
# $$
# \log \sum_i e^{a_i} = m + \log \sum_i e^{a_i - m} \quad \text{with} \quad m = \max_i a_i \tag{LSE-1}
# $$

# %%
for layer, label in ((Tanh(), "ACT-2"), (ReLU(), "ACT-4"), (Softplus(), "ACT-6"), (Sigmoid(), "ACT-8")):
    for a in (-1.7, 0.4):
        y, cache = layer.forward(np.array([a]))
        dx = layer.backward(np.ones(1), cache)[0]
        agree(
            f"{label} {type(layer).__name__} at {a}", dx, derivative(lambda a, layer=layer: layer.forward(np.array([a]))[0][0], a)
        )
print("ReLU's slope at exactly 0:", ReLU().backward(np.ones(1), ReLU().forward(np.zeros(1))[1])[0])
agree("ACT-5 at -40", softplus(-40.0), 4.24835425529158899e-18)
agree("ACT-5 at 800", softplus(800.0), 800.0)
agree("ACT-7 at -5", sigmoid(-5.0), 0.00669285092428485556)
log_w = np.array([-1000.5, -999.25, -1003.0])
agree("LSE-1 - log 3", logsumexp(log_w, axis=0) - math.log(3), -1000.0785679434228)

# %% [markdown]
# > **Mistakes found in public code.** `naive_softplus`: log(1 + exp(a)) is infinite beyond a = 709. `sigmoid_twice`: a
# > Sigmoid layer before a likelihood that applies its own confines the pixels to [0.5, 0.731], and a black one costs 0.693 at
# > best. `mean_of_logs`: the mean of the three log-weights above is -1000.9167 where the log of the mean is -1000.0786.
# > `logsumexp_unshifted` gives log 0 = -inf.

# %%
with np.errstate(over="ignore", divide="ignore"):
    print("naive softplus(710):", np.log(1 + np.exp(710.0)), "  unshifted log-sum-exp:", np.log(np.sum(np.exp(log_w))))
    assert np.isinf(np.log(1 + np.exp(710.0))) and np.isinf(np.log(np.sum(np.exp(log_w))))
twice = sigmoid(sigmoid(np.array([-800.0, 800.0])))
print(f"sigmoid twice: from {twice[0]:.3f} to {twice[1]:.3f}; a black pixel costs {-math.log(1 - twice[0]):.3f}")
print(f"mean of logs {log_w.mean():.4f}")
assert twice[0] == 0.5 and abs(twice[1] - 0.731) < 1e-3 and abs(log_w.mean() + 1000.9167) < 1e-4

# %% [markdown]
# ## 7. The dense layer and the chain rule
#
# A dense layer is written $y = xW + b$, because the rows of $x$ are the examples. With its indices:
#
# $$
# y_{bj} = \sum_i x_{bi} W_{ij} + b_j \tag{DENSE-1}
# $$
#
# $W$ at place (i, j) occurs in column $j$ of $y$ only, and there in every row, with the factor x at (b, i). So, summing over
# all ways:
#
# $$
# \frac{\partial L}{\partial W_{ij}}
# = \sum_b \sum_{j'} \frac{\partial L}{\partial y_{bj'}} \frac{\partial y_{bj'}}{\partial W_{ij}}
# = \sum_b x_{bi} \frac{\partial L}{\partial y_{bj}} \tag{14}
# $$
#
# A sum over $b$ of x at (b, i) times dy at (b, j) is a matrix product with the first factor transposed. The bias is a weight
# whose input is 1. And the input at (b, i) occurs in row $b$ of $y$, in every column $j$, with the factor W at (i, j):
#
# $$
# \frac{\partial L}{\partial W} = x^T \frac{\partial L}{\partial y} \tag{DENSE-2}
# $$
#
# $$
# \frac{\partial L}{\partial b} = \sum_b \frac{\partial L}{\partial y_b} \tag{DENSE-3}
# $$
#
# $$
# \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} W^T \tag{DENSE-4}
# $$
#
# To remember them: the shapes leave no other choice. Only if n_in = n_out do they, and that is where a transposed W slips
# through. Code: `npvae.Dense`.
#
# **Layers in a chain.** Each layer is a function of the one before:
#
# $$
# y = f_n( \ldots f_2( f_1(x) ) ) \tag{CHAIN-1}
# $$
#
# The derivative of the loss with respect to what goes into layer $i$ is made from the one with respect to what comes out of
# it, and of nothing else:
#
# $$
# \frac{\partial L}{\partial x_i}
# = \sum_j \frac{\partial L}{\partial y_j} \frac{\partial y_j}{\partial x_i}
# \quad \text{with} \quad y = f(x) \quad \text{one layer} \tag{CHAIN-2}
# $$
#
# From the last layer to the first, each step is a row times a matrix. In the other direction it would be matrix times matrix:
# the loss is one number and the parameters are many, so backward is the cheap way, about twice the cost of the forward pass
# for all derivatives together. Code: `npvae.Chain`.

# %%
rng = np.random.default_rng(2)
layer, x, dy = Dense(2, 3, rng=rng), rng.standard_normal((4, 2)), rng.standard_normal((4, 3))
layer.b = rng.standard_normal(3)
y, cache = layer.forward(x)
dx = layer.backward(dy, cache)
for b in range(4):  # L = sum of dy * y, so that dL/dy is dy; every element by its own double sum
    for j in range(3):
        assert abs(y[b, j] - (sum(x[b, i] * layer.W[i, j] for i in range(2)) + layer.b[j])) < 1e-15
for i in range(2):
    for j in range(3):
        assert abs(layer.dW[i, j] - sum(x[b, i] * dy[b, j] for b in range(4))) < 1e-14
for j in range(3):
    assert abs(layer.db[j] - sum(dy[b, j] for b in range(4))) < 1e-14
for b in range(4):
    for i in range(2):
        assert abs(dx[b, i] - sum(dy[b, j] * layer.W[i, j] for j in range(3))) < 1e-14
print("DENSE-1 to DENSE-4 agree with their double sums, element by element")

chain = Chain([layer, Tanh(), Dense(3, 2, rng=rng), Softplus()])
dy = rng.standard_normal((4, 2))
y, caches = chain.forward(x)
dx = chain.backward(dy, caches)
bump = np.zeros((4, 2))
bump[1, 0] = 1
agree("CHAIN-2, dL/dx[1, 0] through four layers", dx[1, 0], derivative(lambda a: np.sum(dy * chain.forward(x + a * bump)[0]), 0))

# %% [markdown]
# > **Mistakes found in public code.** `weight_transposed`: dy W for dy W^T; with a square W no shape complains and everything
# > upstream is wrong. `bias_wrong_axis`: the mean over the batch in place of the sum; a constant ratio 1/B in that bias
# > alone. `gradient_accumulates`: += in place of =; right at the first call, twice as large at the second.

# %% [markdown]
# ## 8. Where the parameters start
#
# Let the inputs have mean 0 and second moment $m$, the weights mean 0 and variance $V$, all independent. A sum of n_in
# products has
#
# $$
# \mathbb{E}[y_j^2] = n_{in} V m, \qquad \mathbb{E}[dx_i^2] = n_{out} V \mathbb{E}[dy_j^2] \tag{15}
# $$
#
# the first going forward by (DENSE-1), the second going backward by (DENSE-4). To keep both scales one would need V = 1 /
# n_in and V = 1 / n_out; the compromise is V = 2 / (n_in + n_out), and since U(-a, a) has variance $a^2 / 3$:
#
# $$
# W \sim U(-a, a), \quad a = \sqrt{\frac{6}{n_{in} + n_{out}}}, \quad b = 0 \tag{INIT-1}
# $$
#
# That is Glorot & Bengio's choice for tanh. ReLU sets half of a symmetric input to 0, so that the second moment halves; a 2
# makes up for it (He et al.):
#
# $$
# W \sim N(0, 2 / n_{in}), \quad b = 0 \tag{INIT-2}
# $$
#
# PyTorch's Linear draws weights *and* biases with variance 1 / (3 n_in); needed for comparing with its published curves:
#
# $$
# W, b \sim U(-a, a), \quad a = \frac{1}{\sqrt{n_{in}}} \tag{INIT-3}
# $$
#
# The last bias can do better than 0: before anything is learned, the decoder should give the data's mean $\bar{x}$. For a
# Gaussian that is the output itself. For a Bernoulli solve $\mathrm{sigmoid}(l) = \bar{x}$:
#
# $$
# l = \log \bar{x} - \log(1 - \bar{x}) \tag{INIT-4}
# $$
#
# Code: `npvae.core.layers.glorot`, `he`, `uniform`; `output_for_mean` of the likelihoods, used by
# `VAE.dense(..., output_mean=...)`.

# %%
rng = np.random.default_rng(3)
for init, variance in (("glorot", 2 / (300 + 500)), ("he", 2 / 300), ("uniform", 1 / (3 * 300))):
    W = Dense(300, 500, rng=rng, init=init).W
    print(f"{init:<8} variance {W.var():.6f}, by the formula {variance:.6f}")
    assert abs(W.var() / variance - 1) < 0.02
for kind, init, expected in ((Tanh, "glorot", None), (ReLU, "he", 1 / 2), (ReLU, "uniform", 1 / 1500)):
    h = rng.standard_normal((500, 300))
    for _ in range(10):
        h = kind().forward(Dense(300, 300, rng=rng, init=init).forward(h)[0])[0]
    print(f"second moment after ten layers of {kind.__name__} with {init}: {np.mean(h**2):.1e}")
    assert expected is None or abs(np.mean(h**2) / expected - 1) < 0.1
mean = np.array([0.05, 0.5, 0.9])
agree("INIT-4: sigmoid of the logit of 0.05, 0.05", sigmoid(Bernoulli().output_for_mean(mean))[0], 0.05)

# %% [markdown]
# The inputs had second moment 1. He's choice keeps 1/2 of it, the half that ReLU lets through, however deep the net. With
# variance 1 / (3 n_in) each layer keeps one sixth, as (15) says, the half of a third. What is left after ten layers comes
# from the biases alone: the second moment $m$ at which $m = (m / 3 + 1 / 900) / 2$, which is 1/1500.
#
# > **Mistakes found in public code.** `same_seed_twice`: every layer seeds its own generator, so that the heads for mean and
# > log-variance start equal. `output_bias_zero` is no mistake but costs about one nat on MNIST (87.5 against 86.3); a
# > published number without this line cannot be compared.

# %% [markdown]
# ## 9. The whole gradient
#
# Everything is there. For a VAE with one hidden tanh layer on each side and Bernoulli pixels the forward pass is
#
# $$
# h = \tanh(x W_1 + b_1), \qquad [\mu, \log \sigma^2] = h W_2 + b_2, \qquad z = \mu + \sigma \epsilon \tag{16}
# $$
#
# $$
# g = \tanh(z W_3 + b_3), \qquad l = g W_4 + b_4 \tag{17}
# $$
#
# and the loss is (ELBO-4) with (BER-1) and (KL-1). Now backward, in reverse order, with $\odot$ for the product element by
# element. The mean over the batch puts 1/B on the two places where the loss begins, and nowhere else. The decoder, by
# (BER-2), (DENSE-2) to (DENSE-4) and (ACT-2):
#
# $$
# dl = \frac{1}{B} \left( \mathrm{sigmoid}(l) - x \right), \qquad dW_4 = g^T dl, \qquad db_4 = \sum_b dl_b \tag{18}
# $$
#
# $$
# da_3 = (1 - g^2) \odot (dl W_4^T), \qquad dW_3 = z^T da_3, \qquad db_3 = \sum_b da_{3,b}, \qquad dz = da_3 W_3^T \tag{19}
# $$
#
# Here the two ways from the code to the loss meet, through the sample and through the KL, and their derivatives add. By
# (REP-2), (KL-2), (REP-3), (KL-3):
#
# $$
# d\mu = dz + \frac{\beta}{B} \mu, \qquad d\log \sigma^2
# = \frac{1}{2} \sigma \odot \epsilon \odot dz + \frac{\beta}{2B} (\sigma^2 - 1) \tag{20}
# $$
#
# With $dc = [d\mu, d\log \sigma^2]$ side by side, the encoder follows like the decoder; dL/dx is nobody's business, so it
# stops there:
#
# $$
# dW_2 = h^T dc, \qquad db_2 = \sum_b dc_b, \qquad da_1 = (1 - h^2) \odot (dc W_2^T) \tag{21}
# $$
#
# $$
# dW_1 = x^T da_1, \qquad db_1 = \sum_b da_{1,b} \tag{22}
# $$
#
# For Gaussian data replace dl by (NOR-2) times 1/B; a learned sigma gets the mean over the batch of (NOR-3). For other
# activations replace the factor in (19) and (21). More layers repeat (21). That is all. Code: `npvae.VAE.loss_and_grad`,
# whose second half is (18) to (22).
#
# **Check**: these lines in NumPy, against the library and against the complex step for every single parameter.

# %%
rng = np.random.default_rng(4)
B, D, H, Z, beta = 3, 5, 4, 2, 0.7
vae = VAE.dense(D, hidden=(H,), latent_dim=Z, rng=rng, dtype=np.float64)
vae.params.theta += 0.3 * rng.standard_normal(vae.params.size)  # biases away from 0
x, eps = rng.integers(0, 2, (B, D)).astype(float), vae.noise(B, rng)
W1, b1, W2, b2, W3, b3, W4, b4 = (value for _, value, _ in vae.params)

h = np.tanh(x @ W1 + b1)  # (16)
mu, logvar = np.split(h @ W2 + b2, 2, axis=1)
sigma = np.exp(logvar / 2)
z = mu + sigma * eps
g = np.tanh(z @ W3 + b3)  # (17)
logits = g @ W4 + b4

dl = (1 / (1 + np.exp(-logits)) - x) / B  # (18)
dW4, db4 = g.T @ dl, dl.sum(axis=0)
da3 = (1 - g**2) * (dl @ W4.T)  # (19)
dW3, db3, dz = z.T @ da3, da3.sum(axis=0), da3 @ W3.T
dmu = dz + beta / B * mu  # (20)
dlogvar = 0.5 * sigma * eps * dz + beta / (2 * B) * (sigma**2 - 1)
dc = np.concatenate([dmu, dlogvar], axis=1)
dW2, db2 = h.T @ dc, dc.sum(axis=0)  # (21)
da1 = (1 - h**2) * (dc @ W2.T)
dW1, db1 = x.T @ da1, da1.sum(axis=0)  # (22)

vae.loss_and_grad(x, eps, beta)
by_hand = np.concatenate([a.ravel() for a in (dW1, db1, dW2, db2, dW3, db3, dW4, db4)])
twin = vae.astype(complex)
exact = np.empty(vae.params.size)
for i in range(vae.params.size):
    twin.params.theta[i] += 1e-30j
    exact[i] = twin.loss(x, eps, beta).total.imag / 1e-30
    twin.params.theta[i] = vae.params.theta[i]
for name, gradient in (("(18) to (22)", by_hand), ("loss_and_grad", vae.params.grad)):
    worst = np.max(np.abs(gradient - exact)) / np.max(np.abs(exact))
    print(f"{name:<14} against the complex step: largest difference of {exact.size} below 1e-14: {worst < 1e-14}")
    assert worst < 1e-14

# %% [markdown]
# **Predict, then run.** What is the ratio wrong / right of `dW2`'s first column if one forgets (a) the 1/B in (18) and (20),
# (b) the 1/2 in (REP-3)? (a): `____` (b): `____`

# %%
agree("(a) no 1/B: ratio B, everywhere", (h.T @ (B * dc))[0, 0] / dW2[0, 0], B)
dlogvar_without_half = sigma * eps * dz + beta / (2 * B) * (sigma**2 - 1)
print("(b) first column (mu): unchanged; third column (logvar):", np.round((h.T @ dlogvar_without_half)[:, 0] / dW2[:, Z], 2))

# %% [markdown]
# In (b) no constant ratio shows, since only one of the two ways is wrong: the column is 2 times the reconstruction's part
# plus 1 times the KL's part.
#
# > **Mistakes found in public code**, each with its fingerprint. `missing_batch_mean`: ratio B in every block.
# > `reparam_missing_half`: 2 parts reconstruction, 1 part KL in the logvar head. `no_gradient_through_sampling`: 0 parts
# > reconstruction, 1 part KL. `kl_gradient_missing`: 1 and 0. `backward_without_beta`: KL weight 1/beta. `stale_noise`: a
# > second draw of eps in the backward pass, relative error 0.23 in the logvar head. All are seen by the check above.

# %% [markdown]
# ## 10. The plain autoencoder
#
# Without noise and without KL the code is a point, $z$ is the encoder's output, and what is left of (ELBO-4) is
#
# $$
# L = \frac{1}{B} \sum_{b=1}^{B} -\log p(x_b \mid z_b) \quad \text{with} \quad z_b = \mathrm{encoder}(x_b) \tag{AE-1}
# $$
#
# Its gradient is (18), (19), (21) and (22) with $dc = dz$. No term says where the codes lie, so no one knows where to sample:
# notebook 3 shows what that looks like. Code: `npvae.Autoencoder`.
#
# > **A mistake found in public code**, `kl_omitted`: a "VAE" trained on the reconstruction alone. sigma goes to 0, mu
# > spreads, samples are noise.

# %%
rng = np.random.default_rng(5)
autoencoder = Autoencoder.dense(D, hidden=(H,), latent_dim=Z, rng=rng, dtype=np.float64)
loss = autoencoder.loss_and_grad(x)
codes = autoencoder.encode(x)
agree("AE-1: loss, mean of BER-1", loss.total, np.mean(Bernoulli().nll(autoencoder.decode(codes), x)))
direction = rng.standard_normal(autoencoder.params.size)
twin = autoencoder.astype(complex)
twin.params.theta += 1e-30j * direction
agree("its slope along a random direction", autoencoder.params.grad @ direction, twin.loss(x).total.imag / 1e-30)

# %% [markdown]
# ## 11. Gradient descent and its descendants
#
# With $g = \partial L / \partial \theta$ on the current batch and a step size, the *learning rate* lr, the oldest rule is
#
# $$
# \theta \leftarrow \theta - \mathrm{lr} g \tag{SGD-1}
# $$
#
# In a long narrow valley it zigzags. **Momentum** sums the gradients with fading memory:
#
# $$
# v \leftarrow \mu v + g \tag{MOM-1}
# $$
#
# $$
# \theta \leftarrow \theta - \mathrm{lr} v \tag{MOM-2}
# $$
#
# A constant gradient gives $v = g (1 + \mu + \mu^2 + \ldots)$, which tends to $g / (1 - \mu)$: ten times the step at
# $\mu = 0.9$. Here the symbol $\mu$ is the momentum coefficient, not the mean of $q$.
#
# **RMSProp** divides by the gradient's running size, so that every parameter takes steps of about lr:
#
# $$
# v \leftarrow \rho v + (1 - \rho) g^2 \tag{RMS-1}
# $$
#
# $$
# \theta \leftarrow \theta - \mathrm{lr} \frac{g}{\sqrt{v} + \mathrm{eps}} \tag{RMS-2}
# $$
#
# **Adagrad** never forgets, so its steps shrink, as $1 / \sqrt{t}$ for gradients of one size:
#
# $$
# v \leftarrow v + g^2 \tag{ADA-1}
# $$
#
# $$
# \theta \leftarrow \theta - \mathrm{lr} \frac{g}{\sqrt{v} + \mathrm{eps}} \tag{ADA-2}
# $$
#
# Code: `npvae.SGD`, `Momentum`, `RMSProp`, `Adagrad`.

# %%
gradients = [0.1, -0.2, 0.05, 0.4, 0.0]


def path(optimizer, gradients=gradients):
    """theta after the last step, from theta = 1."""
    theta = np.ones(1)
    for gradient in gradients:
        optimizer.step(theta, np.array([gradient]))
    return theta[0]


def literal(rule, gradients=gradients):
    """The same with the equations written out for one number; rule(theta, v, g) -> theta, v."""
    theta, v = 1.0, 0.0
    for g in gradients:
        theta, v = rule(theta, v, g)
    return theta


def momentum(theta, v, g):
    v = 0.9 * v + g  # MOM-1
    return theta - 0.1 * v, v  # MOM-2


def rmsprop(theta, v, g):
    v = 0.9 * v + 0.1 * g**2  # RMS-1
    return theta - 0.1 * g / (math.sqrt(v) + 1e-8), v  # RMS-2


def adagrad(theta, v, g):
    v = v + g**2  # ADA-1
    return theta - 0.1 * g / (math.sqrt(v) + 1e-8), v  # ADA-2


agree("SGD-1", path(SGD(lr=0.1)), literal(lambda theta, v, g: (theta - 0.1 * g, v)))
agree("MOM-1, MOM-2", path(Momentum(lr=0.1, mu=0.9)), literal(momentum))
agree("RMS-1, RMS-2", path(RMSProp(lr=0.1, rho=0.9)), literal(rmsprop))
agree("ADA-1, ADA-2", path(Adagrad(lr=0.1)), literal(adagrad))
steps = [1 - path(Momentum(lr=1e-3, mu=0.9), [1.0] * n) for n in (100, 101)]
agree("Momentum's step for a constant gradient", steps[1] - steps[0], 1e-3 / (1 - 0.9), rtol=1e-4)

# %% [markdown]
# ## 12. Adam, and why 1 - beta^t
#
# Adam keeps both averages: of the gradient, for the direction, and of its square, for the size.
#
# $$
# m \leftarrow \beta_1 m + (1 - \beta_1) g \tag{ADAM-1}
# $$
#
# $$
# v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \tag{ADAM-2}
# $$
#
# Both start at 0, and that pulls the first averages towards 0. By how much? Unroll (ADAM-1) from m = 0:
#
# $$
# m_t = (1 - \beta_1) \left( g_t + \beta_1 g_{t-1} + \ldots + \beta_1^{t-1} g_1 \right) \tag{23}
# $$
#
# If the gradients have one and the same expectation, it comes out as a factor, and the geometric series is left:
#
# $$
# \mathbb{E}[m_t] = \mathbb{E}[g] (1 - \beta_1) \sum_{i=0}^{t-1} \beta_1^i = \mathbb{E}[g] (1 - \beta_1^t) \tag{24}
# $$
#
# The same holds for $v$, with $g^2$ and beta2. So divide:
#
# $$
# \hat{m} = \frac{m}{1 - \beta_1^t} \tag{ADAM-3}
# $$
#
# $$
# \hat{v} = \frac{v}{1 - \beta_2^t} \tag{ADAM-4}
# $$
#
# $$
# \theta \leftarrow \theta - \mathrm{lr} \frac{\hat{m}}{\sqrt{\hat{v}} + \mathrm{eps}} \tag{ADAM-5}
# $$
#
# That is Algorithm 1 of Kingma & Ba (2015), with t = 1 at the first step and eps outside the root. Code:
# `npvae.core.optimizers.adam_update`.
#
# For a constant gradient $\hat{m} = g$ and $\hat{v} = g^2$ at every t, so that each step is exactly lr times
# $g / (|g| + \mathrm{eps})$. So is the first step, whatever comes later: Adam's first step has the length lr for every
# parameter.
#
# **Folded**, so that no array has to be divided twice: call the two corrections c1 = 1 - beta1^t and c2 = 1 - beta2^t, and
# multiply numerator and denominator of (ADAM-5) by the root of c2:
#
# $$
# \theta \leftarrow \theta - \frac{\mathrm{lr} \sqrt{c_2}}{c_1} \cdot \frac{m}{\sqrt{v} + \sqrt{c_2} \mathrm{eps}} \tag{ADAM-6}
# $$
#
# The same numbers, with fewer passes over the arrays. Code: `npvae.Adam`.

# %%
theta, m, v = np.ones(1), np.zeros(1), np.zeros(1)
for t, gradient in enumerate(gradients, start=1):
    theta, m, v = adam_update(theta, np.array([gradient]), m, v, t, lr=1.0, beta1=0.9, beta2=0.999, eps=0.1)
agree("ADAM-1 to ADAM-5, five steps, 60-digit value", theta[0], 0.23364299238810598463)
agree("ADAM-6, the same five steps", path(Adam(lr=1.0, eps=0.1)), 0.23364299238810598463)
agree("first step, |g| = 0.3", 1 - path(Adam(lr=0.01), [0.3]), 0.01 * 0.3 / (0.3 + 1e-8))

# %%
t = np.arange(1, 61)
averages = {}
for name, beta1 in (("m", 0.9), ("v", 0.999)):
    a, values = 0.0, []
    for _ in t:
        a = beta1 * a + (1 - beta1) * 1.0
        values.append(a)
    averages[name] = np.array(values)
plt.figure(layout="constrained")
plt.plot(t, averages["m"], "-", color="black", label="m, beta1 = 0.9")
plt.plot(t, averages["v"], "--", color="black", label="v, beta2 = 0.999")
plt.plot(t, averages["m"] / (1 - 0.9**t), ":", color="tab:blue", lw=3, label="corrected, both")
plt.xlabel("step t")
plt.ylabel("average of a gradient that is 1")
plt.legend()
assert np.allclose(averages["m"], 1 - 0.9**t) and np.allclose(averages["v"], 1 - 0.999**t)

# %% [markdown]
# *The picture:* m reaches 0.96 after thirty steps, v stays below 0.06 for sixty; divided by 1 - beta^t both are 1 from the
# first step on.
#
# > **Mistakes found in public code.** No gradient check can see any of them. `adam_no_bias_correction`: the first step is
# > 3.16 times too long, 0.1 / sqrt(0.001). `adam_eps_hat`: a constant next to sqrt(v) in (ADAM-6), without sqrt(c2): another
# > optimizer. `adam_eps_inside_sqrt`: sqrt(vhat + eps). `adam_t_is_epoch`: t counts epochs, so the correction of the first
# > step stays for a whole epoch.
#
# **Predict, then run.** With eps = 1e-8 and a first gradient of 1e-7, how much shorter than (ADAM-5)'s is the first step of
# `adam_eps_hat`? Your factor: `____`

# %%
for g in (1e-3, 1e-5, 1e-6, 1e-7):
    right = g / (g + 1e-8)
    hat = math.sqrt(0.001) / 0.1 * (0.1 * g) / (math.sqrt(0.001) * g + 1e-8)
    print(f"g = {g:.0e}: step ratio eps-hat / Algorithm 1 = {hat / right:.4f}")
assert abs(hat / right - 0.2643) < 1e-4
g = 1.0
agree("no bias correction, first step", (0.1 * g) / (math.sqrt(0.001) * g + 1e-8), 3.16, rtol=1e-3)

# %% [markdown]
# ## 13. Schedules
#
# The learning rate and beta need not stay what they are. With step counting from 0 to steps, and w steps of warm-up, these
# are the library's. A KL weight that starts at 0 and grows lets the decoder find a use for the latents before they cost
# anything:
#
# $$
# \mathrm{start} + (\mathrm{end} - \mathrm{start}) \min \left( 1, \frac{\mathrm{step}}{w} \right) \tag{SCHED-1}
# $$
#
# The same several times, cycles of c steps each, r the part of a cycle in which the weight grows:
#
# $$
# \mathrm{end} \min \left( 1, \frac{\tau}{r} \right) \quad \text{with} \quad \tau = \frac{\mathrm{step} \bmod c}{c} \tag{SCHED-2}
# $$
#
# And three ways for a learning rate to fall: along half a cosine, by stairs (each s steps long), and by the same factor at
# every step:
#
# $$
# \mathrm{end} + (\mathrm{start} - \mathrm{end}) \frac{1 + \cos(\pi \mathrm{step} / \mathrm{steps})}{2} \tag{SCHED-3}
# $$
#
# $$
# \mathrm{start} \cdot \mathrm{factor}^{\lfloor \mathrm{step} / s \rfloor} \tag{SCHED-4}
# $$
#
# $$
# \mathrm{start} \left( \frac{\mathrm{end}}{\mathrm{start}} \right)^{\mathrm{step} / \mathrm{steps}} \tag{SCHED-5}
# $$
#
# A fourth, that of Burda et al., has stairs that grow longer: n stages, each g times as long as the one before, so that stage i
# begins when $(1 + g + \ldots + g^{i-1}) / (1 + g + \ldots + g^{n-1})$ of all steps are done. From stage to stage the rate falls
# by one and the same factor:
#
# $$
# \mathrm{start} \left( \frac{\mathrm{end}}{\mathrm{start}} \right)^{i / (n - 1)}
# \quad \text{in stage} \quad i = 0, \ldots, n - 1 \tag{SCHED-6}
# $$
#
# Code: `npvae.training.schedules`. Whatever the schedule, the reported ELBO is the one with beta = 1.
#
# > **A mistake found in public code**, `kl_annealed_in_reported_elbo`: -(reconstruction + beta KL) is reported while beta is
# > still small. The curve looks better than the model by (1 - beta) KL: 12.5 nats at beta = 0.5 and a KL of 25.

# %%
for label, schedule, by_hand in (
    ("SCHED-1", schedules.linear_warmup(1.0, warmup=200), 50 / 200),
    ("SCHED-2", schedules.cyclical(1.0, cycles=10, ramp=0.8), (50 % 100) / 100 / 0.8),
    ("SCHED-3", schedules.cosine(1e-3, 1e-4), 1e-4 + 9e-4 * (1 + math.cos(math.pi / 20)) / 2),
    ("SCHED-4", schedules.step_decay(1e-3, factor=0.5, every=20), 1e-3 * 0.5**2),
    ("SCHED-5", schedules.exponential(1e-3, 1e-5), 1e-3 * 10 ** (-2 / 20)),
    ("SCHED-6", schedules.stages(1e-3, 1e-4, n=4, growth=3), 1e-3 * 10 ** (-1 / 3)),  # stages of 25, 75, 225 and 675 steps
):
    agree(f"{label} at step 50 of 1,000", schedule(50, 1000), by_hand)
assert (1 - 0.5) * 25 == 12.5

# %% [markdown]
# ## Exercises
#
# Pen and paper first. The answers are folded; the last cell computes them.
#
# 1. Derive the KL between $N(\mu, \sigma^2)$ and a prior $N(0, s^2)$. What are its two derivatives?
# 2. For which $\sigma$ is the KL smallest if $\mu$ is fixed, and what is left?
# 3. A pixel has x = 1 and logit 2. What are its nll and its gradient? And with x = 0?
# 4. Show that $\mathrm{softplus}(a) - \mathrm{softplus}(-a) = a$, and use it to write (BER-1) as
#    $\mathrm{softplus}(l) - x l$. Why does npvae not compute it so?
# 5. A dense layer has n_in = n_out = 2. Find a weight matrix and a dy for which dy W and dy W^T agree. Why is that a bad test
#    case?
# 6. After how many steps is the bias correction of v below 1 %, with beta2 = 0.999?
#
# <details><summary>Answer to 1</summary>
#
# The logarithm of the ratio gains log s, and the prior's exponent is divided by s^2: KL = log(s / sigma) + (mu^2 + sigma^2) /
# (2 s^2) - 1/2. The derivatives are mu / s^2 for mu and (sigma^2 / s^2 - 1) / 2 for log sigma^2. At s = 1 they are (KL-1) to
# (KL-3).
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# (KL-3) vanishes at sigma = 1, whatever mu is. What is left is mu^2 / 2.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# x = 1: nll = softplus(-2) = 0.126928, gradient sigmoid(2) - 1 = -0.119203. x = 0: nll = softplus(2) = 2.126928, gradient
# 0.880797.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# log(1 + e^a) - log(1 + e^-a) = log(e^a) = a. At l = 40, x = 1 the short form is 40 - 40 = 0 where 4.2e-18 is right: it
# cancels for confident correct pixels.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# Any symmetric W, for example [[1, 2], [2, 3]], and any dy. A test on symmetric weights cannot see a forgotten transpose;
# draw unequal sizes.
#
# </details>
#
# <details><summary>Answer to 6</summary>
#
# 0.999^t < 0.01 at t = 4603: log 0.01 / log 0.999 = 4602.9.
#
# </details>

# %%
s, mu, sigma = 1.7, 0.4, 0.6
q = np.exp(log_normal(grid, mu, sigma))
agree(
    "1",
    math.log(s / sigma) + (mu**2 + sigma**2) / (2 * s**2) - 0.5,
    np.sum(q * (log_normal(grid, mu, sigma) - log_normal(grid, 0, s))) * dz_grid,
)
agree("2", kl_divergence(np.array([[mu]]), np.zeros((1, 1)))[0], mu**2 / 2)
for x, value, slope in ((1.0, 0.126928, -0.119203), (0.0, 2.126928, 0.880797)):
    nll, dl = bernoulli.nll_and_grad(np.array([[2.0]]), np.array([[x]]))
    agree(f"3, x = {x:.0f}: nll", nll[0], value, rtol=1e-5)
    agree(f"3, x = {x:.0f}: gradient", dl[0, 0], slope, rtol=1e-5)
print("4: short form", softplus(40.0) - 40.0, " npvae", bernoulli.nll(np.array([[40.0]]), np.ones((1, 1)))[0])
assert softplus(40.0) - 40.0 == 0
print("6:", math.ceil(math.log(0.01) / math.log(0.999)))
assert 0.999**4603 < 0.01 < 0.999**4602

# %% [markdown]
# ## Summary
#
# | step | forward | backward |
# |---|---|---|
# | loss | (ELBO-4) | 1/B on each example |
# | likelihood | (BER-1), (NOR-1) | (BER-2), (NOR-2), (NOR-3) |
# | decoder and encoder | (DENSE-1), (ACT-1), (CHAIN-1) | (DENSE-2) to (DENSE-4), (ACT-2), (CHAIN-2) |
# | sample | (REP-1) | (REP-2), (REP-3) |
# | KL | (KL-1) | (KL-2), (KL-3) |
# | step | | (ADAM-1) to (ADAM-5) |
#
# One page of formulas, every one of them checked above. A derivative check proves that forward and backward belong together;
# it does not prove that the forward is the right loss. For that the integrals, the samples and the exact values were needed.
#
# **Next:** [02_worked_example](02_worked_example.ipynb) puts numbers in: one training step, by hand, to six digits.
