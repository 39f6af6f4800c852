# The source of 12_collapse_predicted.ipynb: edit this file, then run: python notebooks/build.py 12_collapse_predicted

# %% [markdown]
# # 12. Posterior collapse, predicted
#
# **You will be able to** derive which latents of a linear VAE collapse, and predict their number before training; read a
# rate-distortion curve, and compute one exactly; say which beta and sigma a loss with a wrong mean in it really has, and
# what it costs; predict the beta at which a VAE with a Bernoulli likelihood collapses.
#
# **You need** notebook 1, sections 1 to 5, and notebook 11. **Time:** 60 minutes; the cells run in about twenty seconds.
#
# A latent has *collapsed* if q(z|x) is the prior whatever x is: it carries nothing, and costs nothing. People blame the
# optimizer, the decoder, the KL. For one model there is nothing to blame: the linear VAE can be solved, its best solution has
# collapsed latents, and which they are stands in the eigenvalues of the data (Lucas et al. 2019). The steps are numbered
# (1), (2), ...; what the library computes carries its label, (COLL-1) to (COLL-4).

# %%
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Gaussian, ReLU, Tanh, fit, load_digits
from npvae.beyond.estimators import analytic_kl
from npvae.evaluation import active_units, exact, kl_per_dimension
from npvae.evaluation.latent import rate_distortion
from npvae.training.schedules import cosine
from npvae.visual import plot_rate_distortion

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})
digits = load_digits()
x = np.concatenate([digits.floats("train", np.float64), digits.floats("test", np.float64)])  # (1797, 64)
D = x.shape[1]


def agree(what, computed, expected, rtol=1e-10):
    """Print both numbers and stop if they differ by more than rtol of the larger."""
    print(f"{what:<46} {computed:+.8g}   {expected:+.8g}")
    assert abs(computed - expected) <= rtol * max(abs(computed), abs(expected)), what


# %% [markdown]
# ## 1. The linear beta-VAE, solved
#
# The decoder is one dense layer, $zW + b$, with $q$ rows w_i in W; the likelihood is a Gaussian with a sigma that is *held
# fixed*. Let the data have the mean $b$ (that is the best bias) and the covariance $S = U^T \Lambda U$: rows u_i of U are
# the principal directions, lambda_1 >= lambda_2 >= ... their variances. From here on x stands for x less its mean.
#
# The loss is (ELBO-4). For a Gaussian q(z|x) with mean $\mu$ and variances s_i the expectation of the squared error over
# the noise is the squared error at $\mu$, plus what the noise adds, variance by variance (this is (PPCA-6)). With (NOR-1)
# and (KL-1):
#
# $$
# J = \frac{1}{2 \sigma^2} \Big( |x - \mu W|^2 + \sum_i s_i |w_i|^2 \Big) + \frac{D}{2} \log 2 \pi \sigma^2 +
# \frac{\beta}{2} \sum_i ( \mu_i^2 + s_i - 1 - \log s_i ) \tag{1}
# $$
#
# averaged over x. **One knob, not two.** Divide by $\beta$: apart from a constant, $J / \beta$ has $\beta \sigma^2$ wherever
# J has $\sigma^2$, and no other beta. So the best W, $\mu$ and $s$ depend on the product alone. Call it the *water level*:
#
# $$
# \tau = \beta \sigma^2 \tag{2}
# $$
#
# **The best encoder.** W is given. Set the derivatives with respect to s_i and $\mu$ to zero. In $\mu$, J is quadratic: a ridge
# regression.
#
# $$
# \frac{|w_i|^2}{\tau} + 1 - \frac{1}{s_i} = 0 \quad \text{and} \quad (\mu W - x) W^T + \tau \mu = 0
# $$
#
# The solution is
#
# $$
# s_i = \frac{\tau}{\tau + |w_i|^2}, \qquad \mu = x W^T ( W W^T + \tau I )^{-1} \tag{3}
# $$
#
# Both are the best for *any* encoder: no network could do better than this linear one.
#
# **What is left is a function of W.** If the rows of W are orthogonal (if they are not, J is larger, see exercise 4), (3) is
# the exact posterior of the model $z \sim N(0, I)$, $x \sim N(zW, \tau I)$. Then the gap in (ELBO-1) is zero, and $J / \beta$
# is, but for a constant, the negative log-likelihood of a Gaussian with covariance C:
#
# $$
# \frac{J}{\beta} = \frac{1}{2} \log \det C + \frac{1}{2} \mathrm{tr}( C^{-1} S ) + \mathrm{const}, \qquad
# C = W^T W + \tau I \tag{4}
# $$
#
# C has eigenvalues c_1 >= c_2 >= ..., at most $q$ of them above $\tau$ and all others equal to it. The trace is
#
# $$
# \mathrm{tr}( C^{-1} S ) = \sum_i \sum_j P_{ij} \frac{\lambda_i}{c_j}
# $$
#
# with P the squared cosines between the directions of S and of C, whose rows and columns each sum to 1. Such a mean over pairings
# is smallest for the one pairing that puts the largest $\lambda$ over the largest $c$ (exchange two that are in the wrong order,
# and the sum falls). So the directions of W are the principal ones, and each of them pays for itself alone:
#
# $$
# \frac{J}{\beta} = \sum_i f_i(c_i) + \mathrm{const}, \qquad f_i(c) = \frac{1}{2} \Big( \log c + \frac{\lambda_i}{c} \Big),
# \qquad f_i'(c) = \frac{c - \lambda_i}{2 c^2} \tag{5}
# $$
#
# $f$ falls until c = lambda_i and rises from there on. But $c$ cannot be below $\tau$, the noise that is there anyway. If
# lambda_i > tau, the best is c = lambda_i; if not, the best is $c = \tau$, at the wall, with w_i = 0. That is the
# whole theory of collapse:
#
# $$
# \text{latent i is active} \quad \Longleftrightarrow \quad \lambda_i > \beta \sigma^2 \tag{COLL-1}
# $$
#
# An active direction gains
#
# $$
# f_i( \tau ) - f_i( \lambda_i ) = \frac{1}{2} ( r - 1 - \log r ) \quad \text{with} \quad r = \frac{\lambda_i}{\tau}
# $$
#
# which grows with $r$, so that if there are more such directions than latents, the largest $q$ are taken. The eigenvalue of C there
# is the squared length of w_i plus $\tau$; with (3) for s_i:
#
# $$
# W_i = \sqrt{\lambda_i - \beta \sigma^2} \thickspace u_i, \qquad s_i = \frac{\beta \sigma^2}{\lambda_i} \tag{COLL-2}
# $$
#
# With $\beta = 1$ and $\sigma^2$ learned, this is (PPCA-2). Code: `npvae.evaluation.exact.active_latents` and
# `npvae.evaluation.exact.linear_optimum`.
#
# **What the optimum costs.** By (3) and (COLL-2), over the data, an active latent has
#
# $$
# \mu_i = \frac{\sqrt{\lambda_i - \tau}}{\lambda_i} \thickspace x u_i^T, \qquad
# \mathrm{Var}[ \mu_i ] = 1 - \frac{\tau}{\lambda_i}, \qquad \mathrm{Var}[ \mu_i ] + s_i = 1
# $$
#
# So in the KL of (1) all terms but one cancel:
#
# $$
# \mathrm{rate} = \mathbb{E}[\mathrm{KL}] = \frac{1}{2} \sum_{active} \log \frac{\lambda_i}{\beta \sigma^2} \tag{COLL-3}
# $$
#
# (The same remark says that q(z), the mean of all q(z|x), has the variance of the prior.) The squared error along u_i is
# what $\mu$ misses, plus what the noise adds:
#
# $$
# \lambda_i \left( 1 - \frac{|w_i|^2}{\lambda_i} \right)^2 + s_i |w_i|^2 =
# \frac{\tau^2}{\lambda_i} + \frac{\tau}{\lambda_i} ( \lambda_i - \tau ) = \tau
# $$
#
# A direction without a latent keeps all its variance.
#
# $$
# \mathrm{distortion} = \mathbb{E}[\mathrm{nll}] = \frac{1}{2 \sigma^2} \Big( \sum_{active} \beta \sigma^2 +
# \sum_{others} \lambda_i \Big) + \frac{D}{2} \log 2 \pi \sigma^2 \tag{COLL-4}
# $$
#
# This is Shannon's *reverse water-filling*: pour water to the level $\tau$ over the spectrum; what stands out above it is
# worth a code, half a logarithm each, and the error left in every direction is the water in it.
#
# **Predict, then run.** The four largest eigenvalues of the digits, pixels from 0 to 1, are 0.70, 0.64, 0.55 and 0.39. How
# many latents are active with $\sigma^2 = 0.5$? `____` And with the usual $\sigma = 1$? `____`

# %%
pca = exact.ppca(x, 0)
lam = pca.eigenvalues
print("eigenvalues:", *(f"{value:.2f}" for value in lam[:4]), "...")
for sigma2, expected in ((1.0, 0), (0.5, 3), (0.2, 7), (0.1, 12), (0.05, 18), (0.02, 30), (0.01, 39)):
    n = int(exact.active_latents(lam, sigma2).sum())
    print(f"sigma^2 = {sigma2:<5} active latents: {n}")
    assert n == expected

sigma2, beta, q = 0.1, 2.0, 15
best = exact.linear_optimum(x, q, sigma2, beta)
vae = exact.linear_vae(best)
mu, logvar = vae.encode(x)
level, n = beta * sigma2, int(best.active.sum())
agree("COLL-1: active", n, sum(lam > level))
agree("COLL-2: |w_1|^2", best.W[0] @ best.W[0], lam[0] - level)
agree("COLL-2: variance of q(z_1|x)", np.exp(logvar[0, 0]), level / lam[0])
agree("COLL-3: rate, from q(z|x) of every digit", kl_per_dimension(vae, x).sum(), 0.5 * np.log(lam[:n] / level).sum())
agree("COLL-3: the library's rate", best.rate, 0.5 * np.log(lam[:n] / level).sum())
distortion = (level * n + lam[n:].sum()) / (2 * sigma2) + D / 2 * math.log(2 * math.pi * sigma2)
agree("COLL-4: the library's distortion", best.distortion, distortion)
agree("rate + distortion, by the exact ELBO", -exact.linear_elbo(vae, x).mean(), best.rate + best.distortion)
agree("variance of mu_1, plus s_1", mu[:, 0].var() + np.exp(logvar[0, 0]), 1)
agree("one knob: the same W with beta 1", np.abs(exact.linear_optimum(x, q, level).W - best.W).max() + 1, 1)

# %%
figure, axes = plt.subplots(layout="constrained")
axes.semilogy(np.arange(1, 43), lam[:42], "o-", color="tab:blue", ms=3, lw=0.8)
for sigma2, n in ((0.5, 3), (0.1, 12), (0.02, 30)):
    axes.axhline(sigma2, color="0.5", ls="--", lw=1)
    place, side = ((42, sigma2), "right") if n < 30 else ((0, sigma2), "left")
    axes.annotate(f"sigma^2 = {sigma2}: {n} active", place, (0, 3), textcoords="offset points", ha=side)
axes.set(xlabel="i", ylabel="eigenvalue i of the digits")
assert lam[2] > 0.5 > lam[3] and lam[11] > 0.1 > lam[12] and lam[29] > 0.02 > lam[30]

# %% [markdown]
# *The picture:* the eigenvalues fall from 0.7 over two decades; three dashed water levels cut the falling line after 3, 12
# and 30 eigenvalues.
#
# The most common choice of all, half the squared error plus the KL, is $\sigma = 1$. On digits scaled to 0..1 it leaves a
# linear VAE **nothing**: its best is the mean picture. MNIST, whose eigenvalues begin with 5.12 and 3.74, keeps some.
#
# ### Why training finds the collapse
#
# (COLL-1) is about the optimum. Would gradient descent get there? Look at the collapsed model, $W = 0$, $\mu = 0$, $s = 1$,
# and let one latent stir a little, its row of W by a along u_i, its mean by c times the coordinate of x along u_i. Of (1) this
# leaves, to second order,
#
# $$
# \frac{\delta J}{\beta} = \frac{1}{2 \tau} ( a^2 - 2 \lambda_i a c ) + \frac{1}{2} \lambda_i c^2, \qquad
# \text{Hessian} \quad \frac{1}{\tau} \begin{pmatrix} 1 & -\lambda_i \cr -\lambda_i & \tau \lambda_i \end{pmatrix} \tag{6}
# $$
#
# Its determinant is
#
# $$
# \frac{\lambda_i}{\tau^2} ( \tau - \lambda_i )
# $$
#
# For an eigenvalue above $\tau$ it is negative: the collapsed model is a saddle, and the training of a linear VAE leaves it. If all
# are below, both eigenvalues of each Hessian are positive: it is a *minimum*, and training that comes near stays. Collapse needs no
# bad luck.


# %%
def loss_near_collapse(i, a, c, sigma2):
    """J at W = a u_i, mu = c x u_i, s = 1, with the encoder and decoder of the library."""
    vae = exact.linear_vae(exact.linear_optimum(x, 1, sigma2))
    u = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][i]
    vae.decoder.layers[0].W[...] = a * u
    vae.encoder.layers[0].W[...] = np.stack([c * u, 0 * u], axis=1)
    vae.encoder.layers[0].b[...] = -c * (x.mean(axis=0) @ u), 0
    return -exact.linear_elbo(vae, x).mean()


h = 1e-2
for i, sigma2 in ((2, 0.5), (3, 0.5)):
    corners = [[loss_near_collapse(i, a, c, sigma2) for c in (-h, 0, h)] for a in (-h, 0, h)]
    a_a, c_c = corners[2][1] - 2 * corners[1][1] + corners[0][1], corners[1][2] - 2 * corners[1][1] + corners[1][0]
    a_c = (corners[2][2] - corners[2][0] - corners[0][2] + corners[0][0]) / 4
    determinant = (a_a * c_c - a_c**2) / h**4
    agree(f"(6): determinant, eigenvalue {lam[i]:.3f}, sigma^2 {sigma2}", determinant, lam[i] * (sigma2 - lam[i]) / sigma2**2, 1e-3)
    assert (determinant < 0) == (lam[i] > sigma2)

# %% [markdown]
# ## 2. Trained, and counted
#
# Now a VAE starts at random and is trained by Adam; nobody tells it the eigenvalues.
#
# **Predict, then run.** With sigma^2 = 0.5, three latents are predicted. How many will be counted after 1,800 steps on minibatches?
# `____` And how far is the ELBO from its optimum? `____`

# %%
optimum = exact.linear_optimum(x, 15, 0.5)
for seed in (1, 2, 3):
    setup = dict(hidden=(), latent_dim=15, likelihood=Gaussian(math.sqrt(0.5)), output_mean=x.mean(axis=0), dtype=np.float64)
    model = VAE.dense(D, **setup, rng=np.random.default_rng(seed))
    settings = dict(epochs=120, batch_size=128, lr=cosine(5e-3), rng=np.random.default_rng(2), progress=False)
    fit(model, x, optimizer=Adam(lr=5e-3), **settings)
    gap, lengths = optimum.elbo - exact.linear_elbo(model, x).mean(), np.linalg.svd(model.decoder.layers[0].W)[1]
    counted = active_units(model, x).sum()
    print(f"seed {seed}: predicted 3 active, counted {counted}; ELBO {gap:.2f} nats below the optimum; ", end="")
    print("singular values of W:", *(f"{value:.2f}" for value in lengths[:5]))
    assert counted > 3 and 0 < gap < 0.05 and lengths[3] < lengths[2] / 3

# %% [markdown]
# W has three directions, and a little of others. But the usual count, by the variance of the mean, is 6 or 7: the third
# direction, whose eigenvalue is close to the water level, is shared by several latents. The loss hardly minds; it is two or three
# hundredths of a nat from its optimum. (After 100,000 steps with 20 latents the count is 3 for each of three seeds:
# `benchmarks/reproduce/RESULTS.md`, beta = 5.) To see the optimum and not the training, three things are made easier, and it is a
# matter of seconds:
#
# - **Fewer rows.** The optimum depends on the mean and the covariance alone. The 122 points +-sqrt(61 lambda_i) on the
#   axes have the covariance of the digits in the coordinates of their principal directions (61 variances are not zero).
# - **No random noise.** The loss is quadratic in the noise, so any few vectors of mean 0 and covariance I average it exactly.
#   The rows of a Hadamard matrix without its first column are such: all entries are 1 or -1, and columns are orthogonal.
# - **Levels in gaps.** The level 0.2 of section 1 is left out: it nearly touches an eigenvalue, and by (5) the last active latent
#   is worth next to nothing there. At 0.5, 0.25 and 0.12 it is worth a thousandth of a nat or more.

# %%
for level in (0.5, 0.25, 0.2, 0.12):
    k = int(np.sum(lam > level))
    worth = 0.5 * (lam[k - 1] / level - 1 - math.log(lam[k - 1] / level))
    print(f"level {level:<4}  eigenvalues beside it {lam[k - 1]:.4f} and {lam[k]:.4f}; worth of the last active: {worth:.5f} nats")
    assert (worth > 0.001) == (level != 0.2)
n = int(np.sum(lam > 1e-9))
axis_points = np.sqrt(n * lam[:n])[:, None] * np.eye(n, D)
points = np.concatenate([axis_points, -axis_points])  # (122, 64)
hadamard = np.ones((1, 1))
for _ in range(4):
    hadamard = np.kron(hadamard, [[1, 1], [1, -1]])
signs = np.broadcast_to(hadamard[:, None, 1:], (16, len(points), 15))  # (K, B, Z)
assert n == 61 and np.allclose(points.T @ points / len(points), np.diag(lam))
assert np.allclose(hadamard[:, 1:].T @ hadamard[:, 1:] / 16, np.eye(15)) and np.allclose(hadamard[:, 1:].sum(axis=0), 0)


def train_linear(sigma2, steps=600, rate=0.05):
    """A linear VAE of 15 latents from a random start; the derivative of its exact loss, Adam, a falling rate."""
    likelihood = Gaussian(math.sqrt(sigma2))
    vae = VAE.dense(D, hidden=(), latent_dim=15, likelihood=likelihood, rng=np.random.default_rng(1), dtype=np.float64)
    optimizer, schedule = Adam(lr=rate), cosine(rate)
    for step in range(steps):
        analytic_kl(vae, points, signs)
        optimizer.lr = schedule(step, steps)
        optimizer.step(vae.params.theta, vae.params.grad)
    return vae


agree("the signs average as all noise does", analytic_kl(vae, x[:9], signs[:, :9]).total, -exact.linear_elbo(vae, x[:9]).mean())
trained = {}
for sigma2 in (0.5, 0.25, 0.12):
    trained[sigma2] = vae = train_linear(sigma2)
    best = exact.linear_optimum(points, 15, sigma2)
    gap = best.elbo - exact.linear_elbo(vae, points).mean()
    found = int(active_units(vae, points).sum())
    print(f"sigma^2 = {sigma2}: predicted {int(best.active.sum())} active, trained {found}; ELBO {gap:.2f} nats below the optimum")
    assert found == best.active.sum() and 0 <= gap < 0.03

# %%
figure, axes = plt.subplots(layout="constrained")
places = np.arange(1, 16)
for sigma2, marker in zip(trained, "os^"):
    predicted = 0.5 * np.log(np.maximum(lam[:15] / sigma2, 1))
    measured = np.sort(kl_per_dimension(trained[sigma2], points))[::-1]
    axes.plot(places, predicted, color="0.6", lw=1)
    axes.plot(places, measured, marker, color="tab:blue", ms=4, mfc="none", label=f"trained, sigma^2 = {sigma2}")
axes.set(xlabel="latent, by its KL", ylabel="KL (nats)")
axes.legend()
for sigma2, vae in trained.items():
    measured = np.sort(kl_per_dimension(vae, points))[::-1]
    assert np.abs(measured - 0.5 * np.log(np.maximum(lam[:15] / sigma2, 1))).max() < 0.06

# %% [markdown]
# *The picture:* three rows of markers, the KL of each of the 15 latents of a trained model, on three grey lines, half the
# logarithm of eigenvalue over water level; the lines reach zero after 3, 5 and 10 latents, and so do the markers.
#
# > **Do not conclude** from a latent with KL 0 that training has failed. With this sigma it is right. What may be wrong is the
# > sigma.
#
# ## 3. Rate and distortion
#
# Rate (nats spent on the code) and distortion (nats still missing) are the two parts of the ELBO. Train a model for each beta
# and draw one against the other (Alemi et al. 2018). For the linear VAE we need no training: put different $\beta$ into
# (COLL-3) and (COLL-4). With $k$ active latents a small change of the level gives
#
# $$
# d \mathrm{rate} = -\frac{k}{2} \frac{d \tau}{\tau}, \qquad d \mathrm{distortion} = \frac{k}{2 \sigma^2} d \tau
# \quad \Rightarrow \quad \frac{d \mathrm{distortion}}{d \mathrm{rate}} = -\frac{\tau}{\sigma^2} = -\beta \tag{7}
# $$
#
# So beta is the exchange rate: at the optimum, the last nat of code saves beta nats of distortion. That is true of every
# model, not only of linear ones, as a minimum of distortion + beta rate means just that. At beta = 1 the two cancel, so there
# the sum, -ELBO, is least.
#
# **Predict, then run.** $\sigma^2 = 0.1$. At which beta does the curve of the linear VAE end at rate 0? `____` Can a VAE with
# a hidden layer be below this curve? `____`

# %%
sigma2 = 0.1
curve = [exact.linear_optimum(x, D - 3, sigma2, b) for b in np.geomspace(0.02, 8, 200)]
for b in (0.5, 3.0):
    low, high = (exact.linear_optimum(x, 15, sigma2, b * (1 + d)) for d in (-1e-4, 1e-4))
    agree(f"(7): slope at beta = {b}", (high.distortion - low.distortion) / (high.rate - low.rate), -b, 1e-6)
least = min(curve, key=lambda o: o.rate + o.distortion)
print(f"the least rate + distortion is at beta = {least.beta:.2f}; the rate is 0 from beta = {lam[0] / sigma2:.2f} on")
assert abs(least.beta - 1) < 0.02 and exact.linear_optimum(x, 15, sigma2, lam[0] / sigma2 + 1e-9).rate == 0

betas, models = (0.5, 1.0, 2.0, 4.0, 6.0), []
models_at = {}
shape = dict(hidden=(128,), latent_dim=15, activation=ReLU, likelihood=Gaussian(math.sqrt(sigma2)), output_mean=x.mean(axis=0))
for b in betas:
    model = VAE.dense(D, **shape, rng=np.random.default_rng(1))
    settings = dict(epochs=80, batch_size=128, lr=cosine(5e-3), beta=b, rng=np.random.default_rng(2), progress=False)
    fit(model, x, optimizer=Adam(lr=5e-3), **settings)
    models_at[b] = model
    models.append(rate_distortion(model, x, np.random.default_rng(3), samples=10))
    linear = exact.linear_optimum(x, 15, sigma2, b)
    print(
        f"beta {b:<4}  hidden layer: rate {models[-1].rate:5.2f}, distortion {models[-1].distortion:6.2f}    "
        f"linear: rate {linear.rate:5.2f}, distortion {linear.distortion:6.2f}"
    )
    assert b > 2 or models[-1].distortion + b * models[-1].rate < linear.distortion + b * linear.rate - 1
known = [(o.rate, o.distortion) for o in curve if o.rate < 12]
plot_rate_distortion(models, betas, exact=known, exact_label="linear VAE, exact")

# %% [markdown]
# *The picture:* a grey curve, the exact one of the linear VAE, falls from rate 0 to the right, ever less steep; of the five
# trained models, named by their beta, three lie below it, and those of beta 4 and 6 on top of each other at rate 0; a dashed
# line of slope -1, the best ELBO of the five, touches them at beta 1.
#
# Up to beta 2 the hidden layer buys more with each nat, as its decoder need not be linear. **But look at beta 4.** The rate is
# 0, where linear algebra does better with 0.68 nats. This is the *other* collapse: not what the loss asks for, but where
# training ended. Only the exact curve tells the two apart.
#
# ### But is that point not a saddle?
#
# The first eigenvalue, 0.70, is above the water level, 0.40, and a linear VAE leaves such a point (section 1). But (6) lets the
# decoder answer in proportion to z, and the encoder in proportion to x. Hidden layers may not be able to. Let the decoder stir by
# a g(z) along u_i, and the mean of the latent by c h(x), with g and h of mean 0. Noise costs the square of g, and what the code
# gains is the slope of g times what h knows of x. The mean slope of g under the prior is the mean of z g(z) (integrate by parts),
# so that in place of (6)
#
# $$
# \frac{\delta J}{\beta} = \frac{1}{2 \tau} \left( a^2 \mathbb{E}[ g^2 ] - 2 a c \thickspace \mathbb{E}[ z g ]
# \thickspace \mathbb{E}[ h \thickspace x u_i^T ] \right) + \frac{1}{2} c^2 \thickspace \mathbb{E}[ h^2 ]
# $$
#
# Its determinant is negative, and the collapsed model a saddle, if and only if
#
# $$
# \lambda_i \rho_g^2 \rho_h^2 > \tau \tag{8}
# $$
#
# where the two factors are squared correlations, of g with z and of h with the coordinate of x along u_i. For linear layers both
# are 1. For others the largest that the output layers can reach is a regression away: of z on the decoder's hidden units, of x
# on the encoder's. (Not only the mean of a latent can answer, but its variance, too, by the share of g that is in the squares of
# z. The column "with z^2" below counts both shares.)
#
# **Predict, then run.** How large is the left side of (8) before training, with ReLU and with tanh, and after it?
# `____`

# %%
rng = np.random.default_rng(4)
z, _ = np.linalg.qr(rng.standard_normal((4000, 15)))  # draws from the prior whose covariance is exactly I, over 4000
with_squares, _ = np.linalg.qr(np.hstack([z, len(z) * z**2 - 1]))  # z comes first, so that it stays what it is


def hidden(network, rows):
    """The outputs of the first hidden layer, less their means, and the share of them that is not flat: act'(.), on average."""
    dense, activation = network.layers[:2]
    out = activation.forward(dense.forward(rows)[0])[0]
    return out - out.mean(axis=0), np.mean(out > 0 if type(activation) is ReLU else 1 - out**2)


def predicted(features, rows):
    """The largest variance of a coordinate of rows (N, d) that is linear in the features (N, H)."""
    return np.linalg.norm(features @ np.linalg.lstsq(features, rows, rcond=None)[0], 2) ** 2


def left_of_8(model):
    """-> the largest left side of (8) that the output layers reach, without squares and with; the share of units that answer."""
    model = model.astype(np.float64)
    g, share = hidden(model.decoder, z * math.sqrt(len(z)))
    h, _ = hidden(model.encoder, x)
    known = predicted(h, x - x.mean(axis=0)) / len(x)
    return predicted(g, z) * known, predicted(g, with_squares) * known, share


target = exact.linear_optimum(x, 15, sigma2, 4.0)
print(f"beta 4, water level {4 * sigma2:.2f}; linear VAE: rate {target.rate:.2f}, loss {target.distortion + 4 * target.rate:.2f}")
print("             rate   loss   (8): fresh   trained   with z^2   decoder's units that answer: fresh   trained")
for activation, seed in ((ReLU, 1), (ReLU, 2), (ReLU, 3), (Tanh, 1), (Tanh, 2)):
    model = VAE.dense(D, **{**shape, "activation": activation}, rng=np.random.default_rng(seed))
    before, _, share_before = left_of_8(model)
    settings = dict(epochs=80, batch_size=128, lr=cosine(5e-3), beta=4.0, rng=np.random.default_rng(2), progress=False)
    fit(model, x, optimizer=Adam(lr=5e-3), **settings)
    found, (after, squares, share) = rate_distortion(model, x, np.random.default_rng(3), samples=10), left_of_8(model)
    print(f"{activation.__name__}, seed {seed}: {abs(found.rate):6.2f} {found.distortion + 4 * found.rate:6.2f}   ", end="")
    print(f"{before:10.2f}   {after:7.2f}   {squares:8.2f}   {share_before:34.1%}   {share:7.1%}")
    assert before > 0.65 and (found.rate < 0.01) == (after < 0.4) == (squares < 0.4)
    assert activation is Tanh or (share < 0.05 and (seed == 2 or model.decoder.layers[0].b.max() < 0))
    assert activation is ReLU or (share > 0.9 and after > 0.69 and found.distortion + 4 * found.rate < 8)

# %% [markdown]
# Fresh, all five stand at 0.69 or 0.70, above 0.40: a saddle. **But a ReLU unit that is on passes noise to the picture, near the
# collapse for nothing, and a bias below zero saves that: units are switched off.** With seeds 1 and 3 all biases of the decoder's
# hidden layer end below zero, and a unit is on for 0.7 % of the draws of z, where it was for half. What is left in the two layers
# knows so little of z and of x that 0.69 has become 0.02 and 0.24, below 0.40 (with the squares 0.03 and 0.27): *there* the
# collapsed model is no saddle any more for its output layers, and training stays. It is a race, and the seed decides: with seed 2
# the rate is 0.26 in the end, and the number is still 0.69. The slope of tanh is largest at 0, where the collapse puts it; its
# number stays at 0.70, and its losses, 7.94 and 7.90, come close to the linear 7.84.

# %% [markdown]
# ## 4. A mean in the wrong place
#
# Now the most frequent cause of collapse. By (2) the loss in a program, whatever it says, has a water level $\tau$: bring it
# to the form squared error / $(2\tau)$ + KL, and read it off. With D pixels and Z latents:
#
# | the program adds | it minimizes, up to a factor | water level |
# |---|---|---|
# | half the squared error, sum; KL, sum | SE/2 + KL | 1 |
# | squared error, sum; KL, sum | SE + KL | 1/2 |
# | squared error, **mean over pixels**; KL, sum | SE/D + KL | D/2 |
# | nll at sigma, mean over pixels; KL, sum | nll/D + KL | D sigma^2 |
# | squared error, mean; KL, mean over latents | SE/D + KL/Z | D/(2Z) |
# | any of these; pixels 0..255 in place of 0..1 | | the eigenvalues are 65,025 times as large |
#
# **Predict, then run.** For the digits, D = 64, take Z = 15. How many latents are active in each of the first five rows, with
# sigma^2 = 0.1 in the fourth? `____` And for MNIST, D = 784, whose first eigenvalue is 5.117, in the third? `____`

# %%
Z = 15
levels = {
    "SE/2 + KL": 1.0,
    "SE + KL": 0.5,
    "SE/D + KL": D / 2,
    "nll/D + KL, sigma^2 = 0.1": D * 0.1,
    "SE/D + KL/Z": D / (2 * Z),
    "sum of nll + KL, sigma^2 = 0.1": 0.1,
}
for name, tau in levels.items():
    print(f"{name:<32} water level {tau:6.3f}   active {int(exact.active_latents(lam, tau)[:Z].sum()):2d}")
assert [int(exact.active_latents(lam, tau)[:Z].sum()) for tau in levels.values()] == [0, 3, 0, 0, 0, 12]
mnist = np.array([5.116788, 3.741328, 3.252654, 2.841573, 2.567075])  # the first five eigenvalues of its training pictures
print("MNIST, squared error, mean over pixels: level", 784 / 2, "active", int(exact.active_latents(mnist, 784 / 2).sum()))
assert not exact.active_latents(mnist, 784 / 2).any() and exact.active_latents(mnist, 1.0).all()

wrong = VAE.dense(D, **shape, rng=np.random.default_rng(1))
settings = dict(epochs=20, batch_size=128, lr=cosine(5e-3), beta=D, rng=np.random.default_rng(2), progress=False)
fit(wrong, x, optimizer=Adam(lr=5e-3), **settings)  # D times nll/D + KL
found, blind = rate_distortion(wrong, x, np.random.default_rng(3)), exact.linear_optimum(x, 0, 0.1)
print(f"trained with the mean over pixels: {active_units(wrong, x).sum()} active, rate {abs(found.rate):.1f}", end="")
print(f"; with the sum: {active_units(models_at[1.0], x).sum()} active")
assert active_units(wrong, x).sum() == 0 and found.rate < 0.05 and abs(found.distortion - blind.distortion) < 1

# %% [markdown]
# With a mean over the pixels nothing is left, and the reconstructions are the mean picture. No schedule for beta helps: a
# warm-up ends at the same level. (`recon_mean_over_pixels` in the museum of mistakes is this row.) The remedies, in order:
#
# 1. Sum over pixels and latents, and take the mean over examples alone.
# 2. Learn sigma. Then $\sigma^2$ is the mean of the eigenvalues that have no latent (PPCA-1), and each of them is at most
#    lambda_q. So lambda_q > sigma^2 unless all the rest are equal to it: *a linear VAE that learns its sigma uses every
#    latent*, up to ties.
# 3. Only then think about beta, free bits, capacities (notebook 6).

# %%
for q in (2, 5, 10, 20):
    learned = exact.ppca(x, q)
    n = int(exact.active_latents(lam, learned.sigma2)[:q].sum())
    print(f"q = {q:2d}: learned sigma^2 = {learned.sigma2:.4f}, active {n}; at sigma^2 = 1: 0")
    assert n == q

# %% [markdown]
# ## 5. Not linear, not Gaussian: where does the collapsed model become unstable?
#
# Section 1 had two parts: the whole optimum, which needs linearity, and (6), the neighborhood of the collapsed model, which
# does not. *Near W = 0 every smooth decoder is linear*; with tanh it is, ReLU comes under (8). Take the Bernoulli likelihood.
# Collapsed, the decoder gives each pixel the logit of its mean $p$. A small change $\delta$ of the logits changes (BER-1) by its
# slope (BER-2) and its curvature:
#
# $$
# \delta \mathrm{nll} = \sum_d \Big( (p_d - x_d) \delta_d + \frac{1}{2} p_d (1 - p_d) \delta_d^2 \Big) + \ldots \tag{9}
# $$
#
# Measure pixel and logit in units that make the curvature 1, with $\eta = \delta \sqrt{p (1 - p)}$ and
# $y = (x - p) / \sqrt{p (1 - p)}$. What stands there is half of $|y - \eta|^2$, less a constant: a Gaussian with $\sigma = 1$ for
# the data $y$. So (6)
# applies with the eigenvalues of the covariance of $y$:
#
# $$
# \text{the collapsed Bernoulli VAE is stable} \quad \Longleftrightarrow \quad \beta > \lambda_1 ( \mathrm{Cov}[y] ) \tag{10}
# $$
#
# For black-and-white pixels $\mathrm{Cov}[y]$ is the matrix of their correlations; grey ones vary less. Stable means that
# training which comes near stays. It does not exclude a better optimum far away, so this is a prediction, and no theorem.
#
# **Predict, then run.** Notebook 3 found beta = 4 collapsed on grey digits, and 1 not. Where is the border? `____`

# %%
p = x.mean(axis=0)
varies = (p > 0) & (p < 1)
y = (x - p)[:, varies] / np.sqrt(p * (1 - p))[varies]
border = np.linalg.eigvalsh(y.T @ y / len(x))[-1]
print(f"the border: beta = {border:.2f}")
rates = {}
for b in (1.0, 2.0, 3.0, 4.0):
    vae = VAE.dense(D, hidden=(64,), latent_dim=8, rng=np.random.default_rng(1), dtype=np.float64, output_mean=p)
    settings = dict(epochs=40, batch_size=128, lr=cosine(3e-3), beta=b, rng=np.random.default_rng(2), progress=False)
    fit(vae, x, optimizer=Adam(lr=3e-3), **settings)
    rates[b] = kl_per_dimension(vae, x).sum()
    print(f"beta = {b}: KL {rates[b]:.2f} nats")
assert abs(border - 3.352) < 1e-3 and rates[1.0] > 2 and rates[2.0] > 0.4 and rates[4.0] < 0.02

# %% [markdown]
# The KL fades as beta comes near the border: 0.06 nats at 3, and 0.01 behind it, at 4.
#
# ## Exercises
#
# 1. $\sigma^2 = 0.1$ and $\beta = 2$ on the digits: how many latents are active? Which other pairs give the same encoder?
# 2. The pixels are divided by 2. What must happen to $\sigma^2$ for the same latents to be active, and what happens to the ELBO?
# 3. A colleague warms beta up from 0 to 1 with a mean over 784 pixels, and sees the KL rise and then fall to 0. Explain.
# 4. Why may the rows of W be taken orthogonal in section 1?
# 5. Someone anneals sigma and trains with 50 latents: 38 have KL below 0.001 nats. How many would you have given the model?
#
# <details><summary>Answer to 1</summary>
#
# Seven, as with 0.2 and 1: only the product counts, for the encoder and for W. The ELBO differs: it knows $\sigma$ alone.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# All eigenvalues are divided by 4, so $\sigma^2$ must be, too. The log-density grows by $\log 2$ for each pixel: D log 2 nats,
# as a density is per unit of x. The rate does not change.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# The effective beta runs from 0 to 784. In the beginning the level is low and latents become active; it rises over one
# eigenvalue after another, and each of them collapses in turn. It is the optimum of each moment that falls.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# W enters p(x) by $W^T W$ alone, so W may be rotated, W to RW, with no change of p(x). If rows are not orthogonal, the true
# posterior of the model in (4) has correlations, the q with single variances s_i cannot be it, and the gap in (ELBO-1) makes
# J larger than (4). The rotation that makes the rows orthogonal removes the gap, and changes nothing else.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# Twelve would give the same ELBO, if it is linear: the others are not lost but were never worth their nats. It does no harm to
# have them, either.
#
# </details>

# %%
for pair in ((0.1, 2.0), (0.2, 1.0), (0.05, 4.0)):
    one = exact.linear_optimum(x, 15, *pair)
    print(f"sigma^2 {pair[0]}, beta {pair[1]}: active {int(one.active.sum())}, rate {one.rate:.3f}, ELBO {one.elbo:.3f}")
    assert one.active.sum() == 7
half = exact.linear_optimum(x / 2, 15, 0.2 / 4)
agree("exercise 2: the ELBO grows by D log 2", half.elbo, exact.linear_optimum(x, 15, 0.2).elbo + D * math.log(2))

# %% [markdown]
# ## Summary
#
# | question | answer |
# |---|---|
# | which latents are active | those with an eigenvalue above beta sigma^2 (COLL-1) |
# | what they look like | principal directions, shortened (COLL-2) |
# | what they cost, what is missing | reverse water-filling (COLL-3), (COLL-4) |
# | the slope of the rate-distortion curve | -beta; the best ELBO at beta = 1 |
# | a mean over D pixels | beta is D times what it says: nothing stands out |
# | not Gaussian | the same for the data in units of their noise, near the collapsed model |
#
# **Next:** [13_gradient_estimators](13_gradient_estimators.ipynb) asks how the gradients of all this are estimated, and how
# noisily.
