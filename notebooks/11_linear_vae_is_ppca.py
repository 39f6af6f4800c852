# The source of 11_linear_vae_is_ppca.ipynb: edit this file, then run: python notebooks/build.py 11_linear_vae_is_ppca

# %% [markdown]
# # 11. The linear VAE is pPCA
#
# **You will be able to** derive the maximum of the likelihood of probabilistic PCA and say why a VAE of linear layers reaches
# it; use it as an oracle for a training program, to a hundredth of a nat; say what the diagonal q decides and how
# little; and hold any Gaussian VAE against a bound that costs a second.
#
# **You need** notebooks 1, sections 1, 2, 4 and 5, and 10; some linear algebra: eigenvalues, traces. **Time:** 60 minutes; the
# cells run in about five seconds.
#
# A VAE is usually trained towards a number that nobody knows. Here is one where it is known to all digits. Labels such as
# (PPCA-3) are those of `npvae.evaluation.exact`; (ELBO-1), (KL-1) and (NOR-1) are derived in notebook 1.

# %%
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Gaussian, fit, load_digits
from npvae.core.gaussian import LOG_2PI, kl_divergence
from npvae.evaluation import bounds, exact

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})


def agree(name, value, expected, tolerance=1e-10):
    """One line, and an error if the two differ."""
    difference = np.max(np.abs(np.asarray(value) - expected))
    assert difference <= tolerance, f"{name}: {value} and {expected} differ by {difference:.1e}"
    print(f"{name}: equal within {tolerance:.0e}")


digits = load_digits()
train_x, test_x = digits.floats("train", np.float64), digits.floats("test", np.float64)
x = np.vstack([train_x, test_x])  # all 1,797 digits, from 0 to 1
N, D = x.shape

# %% [markdown]
# ## 1. The model, and its best parameters
#
# Let the decoder be one linear layer and the likelihood a Gaussian with one sigma for all pixels. In rows, as everywhere in
# this library, with q latents, W of shape (q, D) and an offset m:
#
# $$
# x = z W + m + \sigma \epsilon \quad \text{with} \quad z \sim N(0, I_q) \quad \text{and} \quad \epsilon \sim N(0, I_D) \tag{1}
# $$
#
# A sum of Gaussians is a Gaussian. No integral is left to do:
#
# $$
# p(x) = N(m, C) \quad \text{with} \quad C = W^T W + \sigma^2 I \tag{2}
# $$
#
# This is *probabilistic PCA* (Tipping & Bishop 1999). Which m, W and sigma make N rows of data most likely? For any C the
# best m is their mean. Let S be their covariance, with 1/N, and with eigenvalues $\lambda$ in descending order. Then the
# mean log-likelihood is
#
# $$
# \frac{1}{N} \sum_n \log p(x_n) = -\frac{1}{2} \left( D \log 2\pi + \log \det C + \mathrm{tr}( C^{-1} S ) \right) \tag{3}
# $$
#
# Let c be the eigenvalues of C, also in descending order. From (2): at least D - q of them are $\sigma^2$, and none is
# smaller.
#
# **The directions.** With the eigenvectors u of C and v of S, as rows, the trace is
#
# $$
# \mathrm{tr}( C^{-1} S ) = \sum_i \sum_j \frac{\lambda_j}{c_i} P_{ij} \quad \text{with} \quad P_{ij} = (u_i v_j^T)^2 \tag{4}
# $$
#
# All rows and columns of P sum to 1, for these are squared coordinates of unit vectors. A sum that is linear in such a P is
# smallest at a permutation (Birkhoff), and of all permutations at the one that pairs the largest $\lambda$ with the largest
# c: any other has two pairs that gain by trading partners. So the eigenvectors of C are those of S, in the same order, and
#
# $$
# \log \det C + \mathrm{tr}( C^{-1} S ) = \sum_i \left( \log c_i + \frac{\lambda_i}{c_i} \right) \tag{5}
# $$
#
# **The eigenvalues.** log c + lambda / c has the derivative 1/c - lambda / c², zero at $c = \lambda$ and a minimum. So the
# first q eigenvalues c are those of S, if they are above $\sigma^2$. The others are all $\sigma^2$, and for them
# (D - q) log sigma² + (their sum of lambda) / sigma² is smallest at their mean:
#
# $$
# \sigma^2 = \frac{1}{D - q} \sum_{i > q} \lambda_i \tag{PPCA-1}
# $$
#
# (the mean of the smaller ones is indeed below the first q). W has to make up the difference. With the first q eigenvectors
# as the columns of U,
#
# $$
# W = \mathrm{diag}( \lambda_i - \sigma^2 )^{1/2} U^T \tag{PPCA-2}
# $$
#
# since then C has the eigenvalues $(\lambda - \sigma^2) + \sigma^2$. Put it into (3). The quotients are q ones and D - q
# numbers whose mean is one, D in all:
#
# $$
# \frac{1}{N} \sum_n \log p(x_n) =
# -\frac{1}{2} \left( D \log 2\pi + \sum_{i \le q} \log \lambda_i + (D - q) \log \sigma^2 + D \right) \tag{PPCA-3}
# $$
#
# Code: `npvae.evaluation.exact.ppca`. Here are the digits, held against numbers that were written down beforehand.

# %%
known = {2: (0.05411698468049, 0.0057067249516), 5: (0.03619681192811, 8.9076366860631), 10: (0.02275137234102, 17.4519470218778)}
S = (x - x.mean(axis=0)).T @ (x - x.mean(axis=0)) / N
lam = np.linalg.eigvalsh(S)[::-1]
for q, (sigma2, log_likelihood) in known.items():
    p = exact.ppca(x, q)
    C = p.W.T @ p.W + p.sigma2 * np.eye(D)
    by_3 = -0.5 * (D * LOG_2PI + np.linalg.slogdet(C)[1] + np.trace(np.linalg.solve(C, S)))
    print(f"q = {q:2d}: sigma^2 = {p.sigma2:.12f}, mean log p(x) = {p.log_likelihood:.10f} nats")
    agree("  PPCA-1: sigma^2", [p.sigma2, lam[q:].mean()], sigma2)
    agree("  PPCA-2: eigenvalues of C", np.linalg.eigvalsh(C)[::-1][:q], lam[:q])
    agree("  PPCA-3, against (3) and the anchor", [p.log_likelihood, by_3], log_likelihood)
print(f"q = 10: sigma {math.sqrt(p.sigma2):.2f}, density of a pixel at its top {1 / math.sqrt(2 * math.pi * p.sigma2):.1f}")

# %% [markdown]
# Log-likelihoods above 0 are no mistake: these are densities, and with sigma = 0.15, as for q = 10, the density of a pixel is 2.6
# at its top.
#
# ## 2. The posterior, and log p(x) of one row
#
# p(z|x) is proportional to p(x|z) p(z). Its logarithm is quadratic in z,
#
# $$
# -\frac{1}{2 \sigma^2} |x - m - z W|^2 - \frac{1}{2} |z|^2 \tag{6}
# $$
#
# so it is a Gaussian. What stands around z twice is its precision, with a factor -1/2; what stands beside z once gives its
# mean:
#
# $$
# M = I + \frac{1}{\sigma^2} W W^T \quad \text{and} \quad \mu = \frac{1}{\sigma^2} (x - m) W^T M^{-1} \tag{7}
# $$
#
# At the optimum the rows of W are orthogonal, with squared lengths $\lambda - \sigma^2$. So M is *diagonal*, with
# $1 + (\lambda - \sigma^2) / \sigma^2 = \lambda / \sigma^2$ on it, whatever x is:
#
# $$
# \mu = (x - m) W^T \mathrm{diag}( 1 / \lambda ) \quad \text{and variances} \quad \sigma_i^2 = \sigma^2 / \lambda_i \tag{PPCA-4}
# $$
#
# For log p(x) we need the exponent of N(m, C), which is a D x D system. But (6) gives it away. p(x|z) p(z) is p(x) times
# p(z|x), and at the mean of the posterior the second has the exponent 0. So the exponent of p(x) is (6) at $z = \mu$:
#
# $$
# \log p(x) = -\frac{1}{2} \left( D \log 2\pi + \sum_{i \le q} \log \lambda_i + (D - q) \log \sigma^2 +
# \frac{1}{\sigma^2} |x - m - \mu W|^2 + |\mu|^2 \right) \tag{PPCA-5}
# $$
#
# Code: `npvae.evaluation.exact.PPCA`.

# %%
p = exact.ppca(x, 5)
mu, logvar = p.posterior(x)  # (N, 5), (N, 5)
M = np.eye(5) + p.W @ p.W.T / p.sigma2
agree("PPCA-4: mu, against (7)", mu, (x - p.mean) @ np.linalg.solve(M, p.W).T / p.sigma2)
agree("PPCA-4: covariance, against (7)", np.diag(np.exp(logvar[0])), np.linalg.inv(M))
C = p.W.T @ p.W + p.sigma2 * np.eye(D)
quadratic = np.sum((x - p.mean) * np.linalg.solve(C, (x - p.mean).T).T, axis=1)
agree("PPCA-5: each row", p.log_density(x), -0.5 * (D * LOG_2PI + np.linalg.slogdet(C)[1] + quadratic), 1e-9)
agree("PPCA-5: mean, against PPCA-3", p.log_density(x).mean(), p.log_likelihood)

# %% [markdown]
# ## 3. The VAE that sits there
#
# Now let q(z|x) be the usual encoder's, with a linear layer for mu and for logvar. (PPCA-4) is of that form: mu is linear in
# x, logvar is constant, and a diagonal is enough. So at the best decoder q can *be* the posterior, the gap in (ELBO-1) is 0,
# and the ELBO is log p(x). Elsewhere the ELBO is at most log p(x), which is at most (PPCA-3). Hence **the largest mean ELBO
# of a linear VAE is the pPCA log-likelihood**, to all digits (Lucas et al. 2019). No encoder, however deep, gets a linear
# decoder above it.
#
# And the ELBO itself needs no sample. In the squared error put z = mu + sigma eps; the mixed term averages out,
# and each latent's noise adds its variance times the squared length of its row of W:
#
# $$
# \mathbb{E}_q |x - b - z W|^2 = |x - b - \mu W|^2 + \sum_i \sigma_i^2 |w_i|^2 \tag{8}
# $$
#
# where b is the decoder's bias, m at the optimum, and w_i the row i of W. The rest of the ELBO is there already:
#
# $$
# \mathrm{ELBO} = \log N( x; \mu W + b, \sigma^2 I ) - \frac{1}{2 \sigma^2} \sum_i \sigma_i^2 |w_i|^2 -
# \mathrm{KL}( q(z \mid x) \Vert p(z) ) \tag{PPCA-6}
# $$
#
# for any encoder. Code: `npvae.evaluation.exact.linear_elbo`; `linear_vae` makes the VAE.
#
# **Predict, then run.** In the sampled ELBO of this VAE, how much does one row vary from draw to draw: not at all, by a tenth
# of a nat, by nats? `____` And L of notebook 10, with the q that is the posterior? `____`

# %%
vae = exact.linear_vae(p)
elbo = exact.linear_elbo(vae, x)
agree("PPCA-6: mean ELBO at the optimum is the log-likelihood", elbo.mean(), p.log_likelihood)
agree("and row by row", elbo, p.log_density(x), 1e-9)
kl = kl_divergence(*vae.encode(x)).mean()
agree("KL, the anchor", kl, 6.481392622855)
agree("reconstruction, the anchor", elbo.mean() + kl, 15.389029308918)
one = np.repeat(x[:1], 1000, axis=0)
sampled, weighted = (f(vae, one, np.random.default_rng(1), samples=1) for f in (bounds.elbo, bounds.log_likelihood))
print(f"standard deviation over draws: ELBO with the analytic KL {sampled.std():.2f}, L_1 {abs(weighted).std():.2f} nats")
assert abs(sampled.mean() - elbo[0]) < 4.5 * sampled.std() / math.sqrt(1000) and weighted.std() < 1e-9

# %% [markdown]
# The ELBO with the analytic KL still varies by more than a nat; L with one draw does not vary at all, since every weight is
# p(x). Averages over rows and steps are what make training work.
#
# Is it a maximum? Step away from it in any direction:

# %%
rng = np.random.default_rng(2)
best = vae.params.theta.copy()
losses = []
for _ in range(50):
    direction = rng.standard_normal(best.size)
    vae.params.theta[:] = best + 1e-3 * direction
    losses.append(p.log_likelihood - exact.linear_elbo(vae, x).mean())
vae.params.theta[:] = best
print(f"50 random steps, all downwards: the least by {min(losses):.4f} nats, the largest by {max(losses):.4f}")
assert min(losses) > 0

# %% [markdown]
# ### "The ELBO at the posterior mean"
#
# A frequent shortcut: decode mu in place of a draw, "to have less noise".
#
# **Predict, then run.** The ELBO here is 8.91 nats, and nothing is above it. What does the shortcut give, more or less? `____`

# %%
at_mean = (-vae.likelihood.nll(vae.decode(mu), x)).mean() - kl
by_9 = p.log_likelihood + 0.5 * np.sum(1 - p.variances)
print(f"at the posterior mean {at_mean:.4f}, the ELBO {p.log_likelihood:.4f}, difference {at_mean - p.log_likelihood:.4f} nats")
agree("(9)", at_mean, by_9)
assert round(at_mean, 3) == 11.208 and round(p.log_likelihood, 4) == 8.9076

# %% [markdown]
# It claims 11.208 nats, 2.3 more than *any* linear model of these data can have. By (PPCA-6) it leaves out what the noise
# costs. At the optimum the squared length of row i is $\lambda - \sigma^2$ and the variance $\sigma^2 / \lambda$, so that is
#
# $$
# \frac{1}{2 \sigma^2} \sum_i \frac{\sigma^2}{\lambda_i} (\lambda_i - \sigma^2)
# = \frac{1}{2} \sum_i \left( 1 - \frac{\sigma^2}{\lambda_i} \right) \tag{9}
# $$
#
# up to half a nat for each latent, and nearly that for one that carries much. The number grows with the latents and proves
# nothing.
#
# > **A common mistake here.** An "ELBO" evaluated at z = mu is not a bound. Here it is above log p(x), the more so, the more the
# > decoder uses its latents.
#
# ## 4. Training towards it
#
# Now forget the closed form. A VAE of two linear layers from a random start, minibatches, one draw of z for each row, plain
# Adam with a learning rate that falls to 0. It knows nothing of eigenvalues. (PPCA-6) watches, without noise.
#
# **Predict, then run.** After 4,000 steps with 100 rows: how far from the bound, in nats? `____` Has it found the two
# principal directions? `____`

# %%
p = exact.ppca(x, 2)
trained = VAE.dense(64, hidden=(), latent_dim=2, likelihood=Gaussian(learn=True), output_mean=x.mean(axis=0), dtype=np.float64,
                    rng=np.random.default_rng(3))  # fmt: skip
optimizer, rng, steps = Adam(lr=1e-2), np.random.default_rng(4), 4000
gaps = {}
for step in range(steps + 1):
    if step in (0, 30, 100, 200, 300, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000):
        gaps[step] = p.log_likelihood - exact.linear_elbo(trained, x).mean()
        assert gaps[step] > 0
    optimizer.lr = 1e-2 * (1 - step / steps)
    batch = x[rng.integers(0, N, 100)]
    trained.loss_and_grad(batch, trained.noise(100, rng))
    optimizer.step(trained.params.theta, trained.params.grad)
figure, axis = plt.subplots(layout="constrained")
axis.loglog(np.maximum(list(gaps), 10), gaps.values(), "o-", color="tab:blue", ms=4)
axis.set(xlabel="steps", ylabel="pPCA log-likelihood - ELBO, nats")
for step in (0, 100, 200, 1000, 2000, 4000):
    print(f"step {step:5d}: {gaps[step]:7.3f} nats below the bound")
sigma = trained.likelihood.config()["sigma"]
print(f"sigma {sigma:.3f}, in closed form {math.sqrt(p.sigma2):.3f}")
assert gaps[4000] < 0.03 and abs(sigma - math.sqrt(p.sigma2)) < 1e-3

# %% [markdown]
# *The picture:* the distance to the bound over the steps, both on logarithmic scales. It falls from 65 nats to 0.4 within 200
# steps, is still at 0.2 after 1,000, while the learning rate is large, and falls to a hundredth with it. (The first point, at
# step 0, is drawn at 10.)
#
# It never gets above the bound. That is the test: a training program that ends 0.5 below has a mistake or too few steps, and
# one that ends *above* has a wrong loss. Neither can be seen from a curve that merely goes down.
#
# ## 5. Which directions?
#
# Compare what was learned with the eigenvectors. Two questions: does W span the same plane, and are its rows the principal
# directions themselves?

# %%
W = trained.decoder.layers[0].W  # (2, D)
Q = np.linalg.qr(W.T)[0]  # (D, 2)    an orthonormal basis of its plane
U = np.linalg.qr(p.W.T)[0]  # (D, 2)    and of the principal one
cosines = np.linalg.svd(Q.T @ U)[1]
rows = W / np.linalg.norm(W, axis=1)[:, None]
turned = math.degrees(math.acos(np.abs(rows @ U).max(axis=1).min()))
print(f"cosines between the two planes: {cosines[0]:.4f} and {cosines[1]:.4f}")
print(f"the rows of W: cosine {rows[0] @ rows[1]:.3f} to each other, up to {turned:.0f} degrees from a principal direction")
assert cosines[1] > 0.995 and abs(rows[0] @ rows[1]) < 0.1
figure, axes = plt.subplots(1, 4, figsize=(6, 1.9), layout="constrained")
names = ("pPCA, row 1", "pPCA, row 2", "trained, row 1", "trained, row 2")
for axis, name, image in zip(axes, names, [*p.W, *W]):
    axis.imshow(image.reshape(8, 8), cmap="RdBu", vmin=-0.3, vmax=0.3)
    axis.set(title=name, xticks=[], yticks=[])
    axis.title.set_fontsize(9)

# %% [markdown]
# *The picture:* four images of 8 x 8 pixels, red below zero and blue above. The rows of the trained W are mixtures of the two
# of pPCA, up to their signs.
#
# The plane is right, the axes in it are not. Is that allowed? Let R be any rotation of the latents. RW has the same C, so the
# same p(x): **the likelihood does not see R**. The ELBO does. The precision of the posterior becomes $R M R^T$, which is not
# diagonal any more, and the covariance of q(z|x) has to be. What does that cost? For a Gaussian posterior with precision M the
# best q(z|x) has the right mean, and variances v that minimize
#
# $$
# \mathrm{KL}( q(z \mid x) \Vert p(z \mid x) ) =
# \frac{1}{2} \left( \sum_i ( M_{ii} v_i - 1 - \log v_i ) - \log \det M \right) \tag{10}
# $$
#
# at one over the diagonal of M, with what is left of it:
#
# $$
# \mathrm{gap} = \frac{1}{2} \left( \sum_i \log M_{ii} - \log \det M \right) \tag{11}
# $$
#
# never negative (Hadamard), and 0 for a diagonal M alone. So the diagonal q(z|x) decides: of all rotations only those are best
# that make the rows of W orthogonal, the principal directions, up to order and signs. But *how firmly* does it decide?
#
# **Predict, then run.** The two latents are turned by 45 degrees. How much ELBO is lost: 0.001, 0.1 or 1 nat? `____` And
# if, with q = 5, the first is mixed with the fifth? `____`

# %%


def turned_gap(optimum, i, j, angle):
    """The ELBO lost by rotating latents i and j of the best linear VAE, with the best diagonal q: measured, and by (11)."""
    q = len(optimum.W)
    R = np.eye(q)
    R[[i, i, j, j], [i, j, i, j]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    M = R @ np.diag(1 / optimum.variances) @ R.T
    model = exact.linear_vae(optimum)
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    decoder.W[:] = R @ decoder.W
    encoder.W[:, :q] = encoder.W[:, :q] @ R.T
    encoder.b[:q], encoder.b[q:] = encoder.b[:q] @ R.T, -np.log(np.diag(M))
    measured = optimum.log_likelihood - exact.linear_elbo(model, x).mean()
    return measured, 0.5 * (np.sum(np.log(np.diag(M))) - np.linalg.slogdet(M)[1])


angles = np.linspace(0, math.pi / 2, 19)
figure, axis = plt.subplots(layout="constrained")
for q, i, j, color in ((5, 0, 4, "tab:blue"), (2, 0, 1, "0.5")):
    optimum = exact.ppca(x, q)
    measured, by_11 = np.transpose([turned_gap(optimum, i, j, angle) for angle in angles])
    agree(f"(11), q = {q}, latents {i + 1} and {j + 1}, at all angles", measured, by_11, 1e-9)
    print(f"  lost at 45 degrees: {measured[9]:.4f} nats")
    assert {2: 0.0005 < measured[9] < 0.002, 5: 0.08 < measured[9] < 0.2}[q]
    axis.plot(np.degrees(angles), measured, color=color, label=f"q = {q}, latents {i + 1} and {j + 1}")
print("the first five eigenvalues of the digits:", *(f"{value:.2f}" for value in lam[:5]))
axis.set(xlabel="angle, degrees", ylabel="ELBO lost, nats", xticks=[0, 15, 30, 45, 60, 75, 90])
_ = axis.legend()

# %% [markdown]
# *The picture:* the lost ELBO over the angle, 0 at 0 and at 90 degrees, where the two have changed places, with a maximum at
# 45. The curve for latents 1 and 5 rises to about a tenth of a nat; that for q = 2 lies on the axis.
#
# A thousandth of a nat, because the two eigenvalues, 0.70 and 0.64, are nearly equal. The training of section 4 ended a hundredth
# from the optimum, with its axes 26 degrees off: it did not feel that. The diagonal q decides, and hardly anybody hears it: where
# eigenvalues are close, directions in a latent space mean little. (With equal eigenvalues the gap is 0: there is nothing to
# decide.)
#
# ## 6. A yardstick for the others
#
# Everything with a Gaussian likelihood and one sigma can be held against (PPCA-3). A VAE with hidden layers and Z latents
# that ends below the pPCA of Z latents, fitted to the same rows in a second, is not trained well: a linear one could do
# better. How far above does a nonlinear one get?
#
# **Predict, then run.** Two latents, hidden layers of 128 and 64 units. With how many latents does pPCA reach the same, on
# the training rows? On the test rows? `____` and `____`

# %%
deep = VAE.dense(64, hidden=(128, 64), latent_dim=2, likelihood=Gaussian(sigma=0.27, learn=True), output_mean=train_x.mean(axis=0),
                 dtype=np.float64, rng=np.random.default_rng(5))  # fmt: skip
fit(deep, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(6), epochs=60, batch_size=64, progress=False)
reached = [bounds.elbo(deep, rows, np.random.default_rng(7), samples=20).mean() for rows in (train_x, test_x)]
qs = range(9)
fitted = [exact.ppca(train_x, q) for q in qs]
linear = np.array([[f.log_likelihood, f.log_density(test_x).mean()] for f in fitted])  # (9, 2)
print("           q = 2   q = 3   q = 4   q = 5   q = 6   VAE, Z = 2")
for k, name in enumerate(("training", "test")):
    print(f"{name:<9}", *(f"{value:7.2f}" for value in linear[2:7, k]), f"{reached[k]:12.2f}")
assert linear[4, 0] < reached[0] < linear[6, 0] and linear[3, 1] < reached[1] < linear[5, 1]

for name, some in (("training", train_x[::144]), ("test", test_x[::36])):
    exactly, bound = exact.log_likelihood_by_quadrature(deep, some), exact.elbo_by_quadrature(deep, some)
    gap = exactly - bound
    print(f"10 {name} digits, by quadrature: log p(x) {exactly.mean():.2f}, ELBO {bound.mean():.2f} nats; ", end="")
    print(f"gap: mean {gap.mean():.2f}, median {np.median(gap):.2f}, largest {gap.max():.2f}")
    assert gap.min() > 0
figure, axis = plt.subplots(layout="constrained")
for k, (name, style) in enumerate((("training", "-"), ("test", "--"))):
    axis.plot(qs, linear[:, k], style, color="0.4", label=f"pPCA, {name}")
    axis.axhline(reached[k], ls=style, color="tab:blue", lw=1, label=f"VAE with 2 latents, {name}")
axis.set(xlabel="q", ylabel="nats per digit")
_ = axis.legend(fontsize=8)

# %% [markdown]
# *The picture:* pPCA's log-likelihood rising with the number of latents, solid for training and dashed for test rows, close
# together; and the VAE's ELBO with two latents as two horizontal lines, further apart.
#
# Two bent latents are worth nearly six straight ones on the training rows, and between four and five on the test rows: it has
# learned some of its rows by heart, where pPCA has too few parameters to. And what it reports is a bound. Its posterior is no
# Gaussian with a diagonal covariance, and q need not be the best one: log p(x) is about a nat higher for the typical digit, and
# 11.5 nats for one of these twenty. The linear VAE has no gap, the nonlinear one has; comparing the two by their ELBOs favors the
# linear one.
#
# ## Exercises
#
# 1. What is (PPCA-3) with q = 0, in words?
# 2. Somebody's linear VAE with 5 latents reports an ELBO of 9.3 on all 1,797 digits. What do you say?
# 3. By how much is an "ELBO at the posterior mean" too high with q = 10?
# 4. With q = D - 1, what is sigma²? And why does the library refuse q = 61 on the digits, of which three pixels are always 0?
# 5. The decoder stays linear. The encoder gets two hidden layers. Which ELBO can it reach?
#
# <details><summary>Answer to 1</summary>
#
# A Gaussian around the mean picture with one variance, the mean of all pixels' variances: -7.204 nats.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# It is above 8.9076, so it is no ELBO of these data: z = mu in place of a draw, a missing constant, a mean in place of a sum,
# other scaling.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# By (9), half of 10 minus the sum of the posterior variances, 4.55 nats.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# The smallest eigenvalue. The digits lie in 61 dimensions, so with q = 61 the rest has no variance, sigma is 0, and the
# likelihood has no upper bound.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# The same: at the best linear decoder the posterior is linear in x already.
#
# </details>

# %%
nothing, ten = exact.ppca(x, 0), exact.ppca(x, 10)
print(f"1: {nothing.log_likelihood:.3f} nats")
print(f"3: {0.5 * np.sum(1 - ten.variances):.2f} nats")
agree("1: the mean variance", nothing.sigma2, x.var(axis=0).mean())
print(f"4: pixels that are 0 in all digits: {np.sum(x.max(axis=0) == 0)}")
try:
    exact.ppca(x, 61)
except ValueError as error:
    print("4:", error)

# %% [markdown]
# ## Summary
#
# | what | label |
# |---|---|
# | the best sigma and W of p(x) = N(m, C) | (PPCA-1), (PPCA-2) |
# | their log-likelihood, the maximum of the ELBO | (PPCA-3) |
# | the posterior: linear mean, constant diagonal variances | (PPCA-4) |
# | log p(x) of a row, without a D x D system | (PPCA-5) |
# | the ELBO without a sample, for any encoder | (PPCA-6) |
#
# A linear VAE is an oracle: its optimum is known, plain training gets within hundredths of a nat and never above. The ELBO
# at the posterior mean is not a bound. The diagonal q picks the principal directions, by a margin that may be a thousandth of a
# nat. And every Gaussian VAE should beat the pPCA of its size.
#
# **Next:** [12_collapse_predicted](12_collapse_predicted.ipynb) holds sigma fixed and asks which latents stay in use.
