# The source of 13_gradient_estimators.ipynb: edit this file, then run: python notebooks/build.py 13_gradient_estimators

# %% [markdown]
# # 13. Which gradient estimator, and why
#
# **You will be able to** derive the gradient of the importance-weighted bound, the path derivative, the score function with
# and without a baseline, and the doubly reparameterized gradient; test an estimator for bias against an exact gradient; say
# which has the least noise where, and why more samples can make a gradient worse.
#
# **You need** notebook 1, sections 1 to 5; (IW-1) of notebook 10; the linear VAE of notebook 11. **Time:** 75 minutes; the cells
# run in about ten seconds.
#
# The ELBO is an expectation over noise, and its gradient is estimated from a few draws. There are many ways. All in this
# notebook are right on average; some have a thousand times the variance of others, and noise is time. The steps in between are
# numbered (1), (2), ...; what the library computes carries its label.

# %%
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Bernoulli, fit, load_digits
from npvae.beyond.comparison import ELBO_ESTIMATORS, compare_estimators, expected_gradient, gradient_moments
from npvae.beyond.estimators import analytic_kl, leave_one_out, path_derivative, sampled_kl, score_function
from npvae.beyond.objectives import doubly_reparameterized, importance_weighted
from npvae.core.gaussian import log_density
from npvae.evaluation import exact

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})
digits = load_digits()
grey = digits.floats("train", np.float64)
binary = (grey > 0.5).astype(np.float64)
batch = binary[:4]


def agree(what, computed, expected, rtol=1e-10):
    """Print both numbers and stop if they differ by more than rtol of the larger."""
    print(f"{what:<52} {computed:+.8g}   {expected:+.8g}")
    assert abs(computed - expected) <= rtol * max(abs(computed), abs(expected)), what


def model(epochs):
    """A VAE of one latent for black-and-white digits, so that everything can be integrated; trained or fresh."""
    vae = VAE.dense(
        64, hidden=(16,), latent_dim=1, likelihood=Bernoulli(), rng=np.random.default_rng(1), dtype=np.float64,
        output_mean=binary.mean(axis=0),
    )  # fmt: skip
    if epochs:
        fit(vae, binary, optimizer=Adam(lr=3e-3), epochs=epochs, batch_size=64, rng=np.random.default_rng(2), progress=False)
    return vae


fresh, trained = model(0), model(30)


def gradient(objective, vae, eps):
    """-> the loss, and the gradient that the objective leaves in the model."""
    return objective(vae, batch, eps), vae.params.grad.copy()


# %% [markdown]
# ## 1. One weight, and everything in it
#
# Draw $z = \mu + \sigma \epsilon$ from q(z|x) and ask how much likelier the pair (x, z) is under the model than z under q:
# $w = p(x|z) p(z) / q(z|x)$. Its mean under q is p(x), and the mean of its logarithm the ELBO. For the Gaussians, with
# $(z - \mu) / \sigma = \epsilon$ and $\ell = \log \sigma^2$, the constants $\log 2 \pi$ of p(z) and q(z|x) cancel:
#
# $$
# \log w = \log p(x|z) + \log p(z) - \log q(z|x) = -\mathrm{nll} + \frac{1}{2} \sum_i ( \epsilon_i^2 + \ell_i - z_i^2 )
# \tag{IWG-1}
# $$
#
# Written with $\epsilon$, it needs no division by $\sigma$. The bound (IW-1) of K draws, L_K, is the logarithm of their mean:
# the ELBO for K = 1, and closer to log p(x) for more. Its derivative with respect to any parameter $\theta$, for given noise:
#
# $$
# \frac{d L_K}{d \theta} = \frac{\sum_k d w_k / d \theta}{\sum_j w_j} = \sum_k v_k \frac{d \log w_k}{d \theta}, \qquad
# v_k = \frac{w_k}{\sum_j w_j} \tag{IWG-2}
# $$
#
# since $dw = w \thickspace d \log w$. So all that is needed is the derivative of a single $\log w$, by (IWG-1) at fixed
# $\epsilon$. It depends on z, and once more on $\ell$ directly:
#
# $$
# \frac{\partial \log w}{\partial z} = -\frac{\partial \mathrm{nll}}{\partial z} - z \tag{IWG-3}
# $$
#
# $$
# \frac{\partial \log w}{\partial \ell} = \frac{1}{2} \quad \text{at fixed z and} \quad \epsilon \tag{IWG-4}
# $$
#
# and from z it goes on to $\mu$ and $\ell$ by (REP-2) and (REP-3). Nothing else depends on $\mu$. With K = 1 this is the
# gradient of the ELBO with a *sampled* KL: the KL is $\log q - \log p$ at the draw. The usual loss has its mean in closed form
# (KL-1), the *analytic* KL. Code: `npvae.beyond.importance.importance_weighted`, `npvae.beyond.estimators.sampled_kl`.

# %%
eps = np.random.default_rng(3).standard_normal((3, 4, 1))  # (K, B, Z)
mu, logvar = trained.encode(batch)
z = mu + np.exp(logvar / 2) * eps
nll = np.array([trained.likelihood.nll(trained.decode(draw), batch) for draw in z])  # (K, B)
log_w = -nll + 0.5 * np.sum(eps**2 + logvar - z**2, axis=2)
literal = -nll[0] + log_density(z[0], 0 * mu, 0 * mu) - log_density(z[0], mu, logvar)
agree("IWG-1, against three densities", log_w[0, 0], literal[0])

share = np.exp(log_w - log_w.max(axis=0))
share /= share.sum(axis=0)  # v_k
loss, grad = gradient(importance_weighted, trained, eps)
agree("L_3", -loss.total, np.mean(log_w.max(axis=0) + np.log(np.mean(np.exp(log_w - log_w.max(axis=0)), axis=0))))


def slope(objective, vae, eps, seed=5):
    """The gradient along a random direction, and the same by the complex step through the value of the loss."""
    direction = np.random.default_rng(seed).standard_normal(vae.params.size)
    twin = vae.astype(complex)
    twin.params.theta = vae.params.theta + 1e-30j * direction
    return gradient(objective, vae, eps)[1] @ direction, objective(twin, batch, eps).total.imag / 1e-30


agree("IWG-2, IWG-3, IWG-4: a random direction", *slope(importance_weighted, trained, eps))
agree("sampled KL: the same for K = 1", *slope(sampled_kl, trained, eps[:1]))
agree("K = 1: one and the same", np.linalg.norm(gradient(importance_weighted, trained, eps[:1])[1]),
      np.linalg.norm(gradient(sampled_kl, trained, eps[:1])[1]))  # fmt: skip
print("shares of the three draws of the first picture:", share[:, 0].round(2))
many = np.random.default_rng(6).standard_normal((2000, 4, 1))
places = mu + np.exp(logvar / 2) * many
many_nll = trained.likelihood.nll(trained.decode(places.reshape(-1, 1)), np.tile(batch, (2000, 1))).reshape(2000, 4)
log_ws = -many_nll + 0.5 * np.sum(many**2 + logvar - places**2, axis=2)
print(f"log w of 2,000 draws for each of the four pictures: from {log_ws.min():.0f} to {log_ws.max():.0f} nats")
assert log_ws.max() < -15

# %% [markdown]
# ## 2. The path, without the score
#
# Call the encoder's parameters $\phi$. They are in $\log w$ in two places: in the draw z, and in the density $q$ at the draw.
# So the derivative has two parts, the *path* through z with q held fixed, and the *score* $d \log q / d \phi$ with z held fixed:
#
# $$
# \frac{d \log w}{d \phi} = \frac{\partial \log w}{\partial z} \frac{dz}{d\phi} - \frac{\partial \log q(z|x)}{\partial \phi}
# \tag{1}
# $$
#
# In the first, $\mu$ and $\sigma$ inside $\log q$ are constants, and its slope $-(z - \mu) / \sigma^2 = -\epsilon / \sigma$ counts:
#
# $$
# \frac{\partial \log w}{\partial z} = -\frac{\partial \mathrm{nll}}{\partial z} - z + \frac{\epsilon}{\sigma} \tag{PATH-1}
# $$
#
# (In (IWG-3) that term was missing, since with everything moving $\log q$ is $-\epsilon^2 / 2 - \ell / 2$, which does not know
# z.) The score is zero on average, whatever $q$ is, for its mean is the derivative of a constant:
#
# $$
# \mathbb{E}_q \Big[ \frac{\partial \log q}{\partial \phi} \Big] = \int q \frac{1}{q} \frac{\partial q}{\partial \phi} dz
# = \frac{\partial}{\partial \phi} \int q \thickspace dz = \frac{\partial 1}{\partial \phi} = 0 \tag{2}
# $$
#
# Take the mean of (1), and drop what is zero on average but not draw by draw:
#
# $$
# \frac{d \mathrm{ELBO}}{d \phi} = \mathbb{E} \Big[ \frac{\partial \log w}{\partial z} \frac{dz}{d\phi} \Big] \tag{PATH-2}
# $$
#
# This is the *path derivative* (Roeder et al. 2017). **Why it is worth having:** if $q$ is the exact posterior, $w = p(x)$ for
# every z. Then $\partial \log w / \partial z$ is zero, and with it the estimate for *every* draw: no noise at all at the
# optimum. The full gradient (1) still has the score's.
#
# ### An exact gradient to compare with
#
# With one latent, the mean over the noise is an integral over one number. The trapezoid rule, which for a smooth function
# under a normal density converges faster than any power of the step, does it to all digits:
#
# $$
# \mathbb{E}[g] = \int g(\epsilon) N(\epsilon; 0, I) d\epsilon \approx h^n \sum_i g(\epsilon_i) N(\epsilon_i; 0, I)
# \tag{PATH-3}
# $$
#
# in $n = KZ$ numbers of noise, 1 or 2 here. All estimators must give one and the same integral. Code:
# `npvae.beyond.comparison.expected_gradient`.
#
# **Predict, then run.** Which of the estimators are the derivative of the loss that they return, for fixed noise? `____`

# %%
exact_gradient = expected_gradient(analytic_kl, trained, batch)
h, total = 16 / 128, 0
for node in np.arange(-8, 8 + h / 2, h):
    weight = h * math.exp(-(node**2) / 2) / math.sqrt(2 * math.pi)
    total = total + weight * gradient(path_derivative, trained, np.full((1, 4, 1), node))[1]
agree("PATH-3, PATH-1: the path's integral, by hand", np.linalg.norm(total), np.linalg.norm(exact_gradient))
assert np.abs(total - exact_gradient).max() < 1e-8
for objective in (sampled_kl, path_derivative, score_function):
    difference = np.abs(expected_gradient(objective, trained, batch) - exact_gradient).max()
    print(f"largest difference of expectations, {objective.__name__:<16} {'below 1e-8' if difference < 1e-8 else difference}")
    assert difference < 1e-8
for objective in (analytic_kl, sampled_kl, path_derivative, score_function):
    one, other = slope(objective, trained, eps[:1])
    derivative = abs(one - other) < 1e-9 * abs(other)
    print(f"{objective.__name__:<16} is the derivative of its loss, draw by draw: {derivative}")
    assert derivative == (objective in (analytic_kl, sampled_kl))

# %% [markdown]
# So `check_gradient` accuses the last two, and is right to: they are right on average, and that is another claim, which needs
# another test.
#
# ## 3. The score function, and its baseline
#
# What if z cannot be differentiated? Move the derivative from the draw to the density. For any $f$ that does not depend on
# $\phi$, since $\partial q / \partial \phi = q \thickspace \partial \log q / \partial \phi$:
#
# $$
# \frac{d}{d \phi} \mathbb{E}_q[f(z)] = \int f \frac{\partial q}{\partial \phi} dz
# = \mathbb{E}_q \Big[ f(z) \frac{\partial \log q}{\partial \phi} \Big] \tag{3}
# $$
#
# With $f = \log w$, which contains $-\log q$, there is one term more, the mean of $-\partial \log q / \partial \phi$; by (2) it
# is zero. This is the *score function* or REINFORCE:
#
# $$
# \frac{d \mathrm{ELBO}}{d \phi} = \mathbb{E}_q \Big[ \log w \frac{\partial \log q}{\partial \phi} \Big] \tag{SCORE-1}
# $$
#
# and for the Gaussian, by (GAU-3) and (GAU-4) with $z - \mu = \sigma \epsilon$:
#
# $$
# \frac{\partial \log q}{\partial \mu} = \frac{\epsilon}{\sigma}, \qquad
# \frac{\partial \log q}{\partial \ell} = \frac{1}{2} ( \epsilon^2 - 1 ) \tag{SCORE-2}
# $$
#
# Every draw makes itself likelier in proportion to $\log w$. But $\log w$ is a large negative number, -18 to -30 nats in the first
# cell of section 1: all draws are pushed away, the bad a little more, and the truth is the small difference. Subtract from each
# draw's $\log w$ anything that does not depend on that draw; by (2) the mean stays. The other draws' mean is at hand:
#
# $$
# \frac{d \mathrm{ELBO}}{d \phi} = \mathbb{E} \frac{1}{K} \sum_k \Big( \log w_k - \frac{1}{K-1} \sum_{j \ne k} \log w_j \Big)
# \frac{\partial \log q(z_k|x)}{\partial \phi} \tag{SCORE-3}
# $$
#
# With the draw's own $\log w$ in the mean, it would be biased, by the factor $1 - 1/K$.
#
# **Predict, then run.** Order the five by the variance of the encoder's gradient: a fresh model, and a trained one. `____`


# %%
def table(vae, x, draws=8000):
    """Compare the five on a batch; print z-score and variances; -> {name: row}."""
    rows = {row.name: row for row in compare_estimators(vae, x, np.random.default_rng(4), draws=draws, K=2)}
    print(f"{'':<18} {'largest z':>9} {'variance, encoder':>18} {'decoder':>9}")
    for name, row in rows.items():
        print(f"{name:<18} {row.z:9.1f} {max(row.encoder_variance, 1e-20):18.2g} {row.decoder_variance:9.2g}")
        assert row.z < 4.5
    return rows


print("fresh")
at_start = table(fresh, batch)
print("trained, 30 epochs")
at_end = table(trained, batch)
print("a linear VAE whose q(z|x) is the posterior")
linear = exact.linear_vae(exact.ppca(grey, 1))
at_optimum = table(linear, grey[:4])
print(f"{trained.params.size} parameters")
for title, rows in (("fresh", at_start), ("trained", at_end), ("linear", at_optimum)):
    others = {name: row.encoder_variance for name, row in rows.items() if row.encoder_variance > 1e-20 and name != "score_function"}
    quotients = ", ".join(f"{name} {rows['score_function'].encoder_variance / v:.2g}" for name, v in others.items())
    print(f"{title}: variance of score_function over that of {quotients}")
assert len(at_end) == len(ELBO_ESTIMATORS) == 5
assert at_start["analytic_kl"].encoder_variance < at_start["path_derivative"].encoder_variance
assert at_end["path_derivative"].encoder_variance < at_end["analytic_kl"].encoder_variance / 5
assert at_optimum["path_derivative"].encoder_variance < 1e-20 < at_optimum["sampled_kl"].encoder_variance
for rows in (at_start, at_end):
    assert rows["analytic_kl"].encoder_variance < rows["sampled_kl"].encoder_variance
    assert rows["score_function"].encoder_variance > 100 * rows["leave_one_out"].encoder_variance

# %% [markdown]
# Read it in three steps.
#
# - **Bias.** z is the largest distance from the exact gradient among all parameters (2,194 for the digits' VAE, encoder and decoder
#   together), in standard errors. For none is it above 4.5: right on average, all of them.
# - **Fresh model.** The analytic KL wins: its KL has no noise, and q is far from the posterior, so the path has plenty.
# - **Trained model.** The order turns: now the path derivative has a thirtieth of the analytic KL's variance. At the exact
#   posterior it has none. The last table has one more with none there, the baseline: equal weights leave nothing to choose.
#
# The bare score function has up to tens of thousands of times the variance of the others, most against the best of them: the
# analytic KL at the start, the path derivative after training. Its baseline takes nearly all of it away.
#
# **A test that cannot fail proves nothing.** So plant a bias: a baseline that includes the draw itself, right but for a factor
# of one half at K = 2.


# %%
def own_baseline(vae, x, eps):
    """leave_one_out with the draw's own log w in the mean: (1 - 1/K) of the encoder's gradient."""
    loss = leave_one_out(vae, x, eps)
    for name, _, slot in vae.params:
        slot *= 1 - 1 / len(eps) if name.startswith("encoder.") else 1
    return loss


settings = dict(draws=8000, K=2, estimators=[own_baseline], exact=exact_gradient)
(row,) = compare_estimators(trained, batch, np.random.default_rng(5), **settings)
print(f"own draw in the baseline: z = {row.z:.0f}")
assert row.z > 20

# %% [markdown]
# ## 4. Many draws: why a better bound can have a worse gradient
#
# L_K with larger K is a tighter bound, and one would think a better objective. Let $\hat{W}$ be the mean of the K weights.
# Its mean is $p = p(x)$, its variance V/K, with V that of one weight. Expand the logarithm:
#
# $$
# L_K = \log p + \frac{\hat{W} - p}{p} - \frac{(\hat{W} - p)^2}{2 p^2} + \ldots, \qquad
# \mathbb{E} L_K = \log p - \frac{V}{2 K p^2} + \ldots \tag{4}
# $$
#
# $\log p$ does not depend on the encoder. So the *expected* gradient for the encoder comes from the last term: it falls like
# 1/K. Its *noise* comes from the first, and falls like $1 / \sqrt{K}$ only. The signal-to-noise ratio therefore falls (Rainforth
# et al. 2018), while the decoder, whose signal is the gradient of $\log p$, has none of this trouble:
#
# $$
# \mathrm{SNR}_{encoder} \sim \frac{1/K}{1/\sqrt{K}} = \frac{1}{\sqrt{K}}, \qquad
# \mathrm{SNR}_{decoder} \sim \frac{1}{1/\sqrt{K}} = \sqrt{K} \tag{5}
# $$
#
# **The way out** (Tucker et al. 2019). Put (1) into (IWG-2):
#
# $$
# \frac{d L_K}{d \phi} = \sum_k v_k \frac{\partial \log w_k}{\partial z_k} \frac{dz_k}{d\phi} -
# \sum_k v_k \frac{\partial \log q(z_k|x)}{\partial \phi} \tag{6}
# $$
#
# In section 2 the score could be dropped. Here it is multiplied by v_k, which depends on z. But its mean can be
# reparameterized once more. The gradient of a mean can be taken by (3), or through the path $z = \mu + \sigma \epsilon$; both are
# the same number. For any smooth $f$:
#
# $$
# \mathbb{E} \Big[ f(z_k) \frac{\partial \log q(z_k|x)}{\partial \phi} \Big]
# = \mathbb{E} \Big[ \frac{\partial f}{\partial z_k} \frac{dz_k}{d\phi} \Big] \tag{7}
# $$
#
# Take f = v_k as a function of z_k, the other draws and all parameters held fixed. By the quotient rule, with w_k above
# and below:
#
# $$
# \frac{\partial v_k}{\partial z_k} = \frac{1}{\sum_j w_j} \frac{\partial w_k}{\partial z_k} -
# \frac{w_k}{(\sum_j w_j)^2} \frac{\partial w_k}{\partial z_k} = ( v_k - v_k^2 ) \frac{\partial \log w_k}{\partial z_k} \tag{8}
# $$
#
# So in the mean the second sum in (6) is like the first, but with the weights v_k - v_k^2. Subtract it: the v_k cancel,
# their squares stay.
#
# $$
# \mathbb{E} \frac{d L_K}{d \phi} = \mathbb{E} \sum_k v_k^2 \frac{\partial \log w_k}{\partial z_k} \frac{dz_k}{d\phi}
# \tag{DREG-1}
# $$
#
# For K = 1 it is (PATH-2). For large K each v_k is about w_k / (Kp), so that K terms of the size $1 / K^2$ are added: the
# signal is of the order 1/K as it must be, but now the noise is $\sqrt{K} / K^2$, and the ratio *rises* like $\sqrt{K}$. The small
# print: the noise is that of $w^2$ times a slope, so that its variance must exist, which asks for the mean of $w^4$ under q. If q
# is narrower than the posterior, its tails may forbid that.
#
# Code: `npvae.beyond.importance.doubly_reparameterized`.

# %%
both = [expected_gradient(objective, trained, batch, K=2) for objective in (importance_weighted, doubly_reparameterized)]
agree("DREG-1, K = 2, by quadrature", np.linalg.norm(both[1]), np.linalg.norm(both[0]))
assert np.abs(both[0] - both[1]).max() < 1e-9
one, other = (gradient(f, trained, eps[:1])[1] for f in (doubly_reparameterized, path_derivative))
agree("K = 1: the path derivative", np.linalg.norm(one), np.linalg.norm(other))
assert not np.isclose(*slope(doubly_reparameterized, trained, eps))  # not the derivative of its loss, draw by draw

# %% [markdown]
# **Predict, then run.** From K = 1 to K = 64, by which factor does the encoder's signal-to-noise ratio fall or rise, for
# `importance_weighted` and for `doubly_reparameterized`? `____`
#
# The model is the linear VAE, whose posterior is known, with a q of 1.3 times the posterior's variance, and then with half of
# it. The signal is measured by the less noisy estimator; both have the same.

# %%
DRAWS = (1, 4, 16, 64)


def signal_to_noise(width):
    """|mean| over the root of the summed variance, of the encoder's and the decoder's gradient: {objective: (encoder, decoder)}."""
    vae = exact.linear_vae(exact.ppca(grey, 1))
    vae.encoder.layers[0].b[1] += math.log(width)
    of_encoder = np.concatenate([np.full(value.size, name.startswith("encoder.")) for name, value, _ in vae.params])
    ratios = {importance_weighted: [], doubly_reparameterized: []}
    for K in DRAWS:
        moments = {f: gradient_moments(f, vae, grey[:2], np.random.default_rng(6), draws=1000, K=K) for f in ratios}
        mean = moments[doubly_reparameterized].mean
        for f, found in moments.items():
            parts = of_encoder, ~of_encoder
            ratios[f].append([np.linalg.norm(mean[part]) / math.sqrt(found.variance[part].sum()) for part in parts])
    return {f.__name__: np.array(rows) for f, rows in ratios.items()}


wide, narrow = signal_to_noise(1.3), signal_to_noise(0.5)
print("encoder, K =           ", *(f"{K:7d}" for K in DRAWS), "   slope in log K, from 4 on")
powers = {}
for title, ratios in (("q wide", wide), ("q narrow", narrow)):
    for name, values in ratios.items():
        powers[title, name] = np.polyfit(np.log(DRAWS[1:]), np.log(values[1:, 0]), 1)[0]
        print(f"{title:<9} {name[:13]:<13}", *(f"{value:7.2g}" for value in values[:, 0]), f"  {powers[title, name]:+.1f}")
decoder = np.polyfit(np.log(DRAWS[1:]), np.log(wide["importance_weighted"][1:, 1]), 1)[0]
print(f"decoder: slope {decoder:+.1f}")
assert abs(powers["q wide", "importance_weighted"] + 0.5) < 0.15 and abs(powers["q wide", "doubly_reparameterized"] - 0.5) < 0.15
assert abs(decoder - 0.5) < 0.15 and powers["q narrow", "doubly_reparameterized"] < 0.3

# %%
figure, axes = plt.subplots(1, 2, sharey=True, layout="constrained")
for place, title, ratios in zip(axes, ("q: 1.3 times the variance of p(z|x)", "q: half its variance"), (wide, narrow)):
    for (name, values), look in zip(ratios.items(), ("o--", "s-")):
        place.loglog(DRAWS, values[:, 0], look, color="tab:blue", ms=4, label=name)
    place.loglog(DRAWS, wide["importance_weighted"][:, 1], "^:", color="0.6", ms=4, label="decoder (wide)")
    place.set(xlabel="K", xticks=DRAWS, xticklabels=DRAWS)
    place.set_title(title, fontsize=9)
axes[0].set_ylabel("signal to noise")
axes[1].legend(fontsize=7, loc="lower left")
assert wide["doubly_reparameterized"][3, 0] > 50 * wide["importance_weighted"][3, 0]

# %% [markdown]
# *The picture:* two panels over K from 1 to 64. Left, squares (doubly reparameterized) rise by nearly the factor 8 that
# $\sqrt{K}$ promises, and circles (importance weighted) fall by about as much, while the decoder's dotted line rises. Right,
# where q is too narrow, circles still fall, and squares stay level.
#
# So the theorem holds where its small print does. With a narrow q the doubly reparameterized gradient is still the better one
# at every K above 1, but more draws do not help the encoder.
#
# Which is it for the trained Bernoulli VAE of sections 1 to 3? Far out, its tanh layer is flat, so that w is the prior over q but
# for a factor, and the mean of its fourth power needs a q with a variance above 3/4. Measure it: for the first picture alone, for
# the batch of four, and for the next four.

# %%
q_variance = np.exp(trained.encode(binary[:8])[1][:, 0])
print(f"variance of q(z|x) for the eight pictures: {q_variance.min():.2f} to {q_variance.max():.2f}")
assert q_variance.max() < 0.75
of_encoder = np.concatenate([np.full(value.size, name.startswith("encoder.")) for name, value, _ in trained.params])
measured = {}
print("doubly reparameterized, K =", *(f"{K:7d}" for K in DRAWS))
for title, rows in (("the first picture", binary[:1]), ("pictures 1 to 4", batch), ("pictures 5 to 8", binary[4:8])):
    for seed in (6, 7):
        found = measured[title, seed] = []
        for K in DRAWS:
            moments = gradient_moments(doubly_reparameterized, trained, rows, np.random.default_rng(seed), draws=1000, K=K)
            found.append(np.linalg.norm(moments.mean[of_encoder]) / math.sqrt(moments.variance[of_encoder].sum()))
        print(f"{title:<17}, seed {seed}  ", *(f"{value:7.2g}" for value in found))
        assert (found[3] > 2 * found[0]) if len(rows) == 1 else (found[3] < found[0] / 2)
rng = np.random.default_rng(6)
each = [gradient(doubly_reparameterized, trained, rng.standard_normal((64, 4, 1)))[1][of_encoder] for _ in range(1000)]
squares = np.sort(np.sum((each - np.mean(each, axis=0)) ** 2, axis=1))[::-1]
print(f"pictures 1 to 4, K = 64: the 10 noisiest of 1,000 draws make {squares[:10].sum() / squares.sum():.0%} of the variance")
assert squares[:10].sum() > 0.9 * squares.sum()

# %% [markdown]
# It depends on the pictures. For the first one the ratio is higher at K = 64 than at 1; for either batch of four it is lower, by a
# factor of two or more. And two seeds, with 1,000 draws each, differ by more than a factor of two in places: ten draws in a
# thousand make 99 % of the variance. No slope in K can be read from such numbers, and the theorem promises none here.
#
# ## 5. Which one, then?
#
# | you train | use | because |
# |---|---|---|
# | a VAE by the ELBO, as usual | the analytic KL, one draw | least noise early; it can be checked as a derivative |
# | the last nats of a good fit | the path derivative | its noise vanishes as q comes near the posterior |
# | a prior or q without a closed KL | the path derivative, or the sampled KL | neither needs the KL |
# | discrete z, a decoder without derivatives | leave-one-out, K of 2 or more | the others need dz |
# | the bound of K draws | doubly reparameterized | the encoder's signal does not drown |
# | only the decoder matters | importance weighted | its decoder gradient improves with K as well |
#
# The five of section 3 estimate the ELBO's gradient, and differ in the encoder's part alone: given the draws, the decoder's is
# one and the same. That of L_K is another, for the decoder as well: the weights of (IWG-2) are in it, and
# `doubly_reparameterized` has the same one. And all are gradients of a *bound*: no estimator repairs a wrong loss (notebook 12).
#
# ## Exercises
#
# 1. Show that the sampled KL has the mean (KL-1) over the noise, from (IWG-1).
# 2. Which estimators are zero for every draw if q is the exact posterior? Is the gradient of L_K then zero for every draw?
# 3. A program uses v_k where (DREG-1) has its square. At which K do you notice?
# 4. Why can the baseline of (SCORE-3) not use the draw itself? Some programs go further and normalize the K values of $\log w$:
#    less their mean, over their standard deviation. What does that estimate, and why does training work all the same?
# 5. Someone finds that training with L_K, K = 64, gives a worse encoder than K = 1. Is that a bug?
#
# <details><summary>Answer to 1</summary>
#
# Without the nll, $-\log w$ has the terms $(z^2 - \ell - \epsilon^2) / 2$. The mean of $\epsilon^2$ is 1, that of $z^2$ is
# $\mu^2 + \sigma^2$. Together: half of $\mu^2 + \sigma^2 - 1 - \ell$.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# The path derivative and the doubly reparameterized one, as the slope of $\log w$ is zero; and leave-one-out, as all $\log w$
# are equal. The full gradient of L_K keeps the mean score of the K draws, which is zero on average only.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# From K = 2 on; at K = 1 the weight is 1, and its square, too. A test with one draw proves nothing about weights.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# (2) asks for a factor that does not depend on the draw. The draw's own share in a mean over K is 1/K, which shrinks the gradient
# by $1 - 1/K$ in the mean: with large K nobody notices, and Adam hides a factor anyway. The standard deviation contains the draw,
# too, so that the normalized gradient is biased; for large K it is about the gradient of each example over that example's spread
# of $\log w$. So each example points where it should, with a weight of its own, and training goes on. But it is no longer the
# gradient of the ELBO.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# Not necessarily. By (5) the encoder's gradient has an eighth of the signal-to-noise ratio. Try the doubly reparameterized
# gradient before searching for one.
#
# </details>

# %%
noise = np.random.default_rng(7).standard_normal((4000, 4, 1))
sampled, analytic = sampled_kl(trained, batch, noise).kl, analytic_kl(trained, batch, noise).kl
print(f"exercise 1: sampled KL {sampled:.1f}, analytic {analytic:.1f}")
assert abs(sampled - analytic) < 0.05
draws = np.random.default_rng(8).standard_normal((3, 4, 1))
for objective in (path_derivative, doubly_reparameterized, leave_one_out, importance_weighted):
    objective(linear, grey[:4], draws)
    size = max(np.abs(slot).max() for name, _, slot in linear.params if name.startswith("encoder."))
    print(f"exercise 2: {objective.__name__:<24} {'zero for every draw' if size < 1e-9 else 'not zero'}")
    assert (size < 1e-9) == (objective is not importance_weighted)

# %% [markdown]
# ## Summary
#
# | estimator | encoder's gradient | noise at the optimum |
# |---|---|---|
# | analytic KL | through z and through (KL-2), (KL-3) | stays |
# | sampled KL | (IWG-3), (IWG-4) | stays |
# | path derivative | (PATH-2) | vanishes |
# | score function | (SCORE-1) | stays, large |
# | leave-one-out | (SCORE-3) | vanishes |
# | importance weighted | (IWG-2) | relative to its signal it grows with K |
# | doubly reparameterized | (DREG-1) | falls with K, if the weights have moments enough |
#
# Right on average is a claim about an integral: test it by quadrature where there are one or two numbers of noise, by a z-score
# elsewhere, and see the test fail on a planted bias.
#
# **Next:** your own estimator: `compare_estimators` takes any function (vae, x, eps) that leaves its gradient in the model. And
# [14_published_numbers](14_published_numbers.ipynb), where these objectives have trained for hours, and what it was worth.
