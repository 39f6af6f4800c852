# The source of 10_elbo_exactly.ipynb: edit this file, then run: python notebooks/build.py 10_elbo_exactly

# %% [markdown]
# # 10. What the ELBO is, exactly
#
# **You will be able to** compute log p(x), the posterior and the gap of the ELBO to ten digits where there is one latent; say why
# equal steps do it and why the textbook's nodes may fail; derive the importance-weighted bound, its standard error and its
# effective samples, and say when the last two deceive.
#
# **You need** notebook 1, sections 1 to 3, and notebook 3. **Time:** 60 minutes; the cells run in about five seconds.
#
# A VAE is trained on a bound of a number that nobody sees. With one latent the number can be seen: the integral over z is one
# over a line, and a computer does it. So here nothing but the first number is estimated before section 6, and there the truth is at
# hand.
#
# Labels such as (QUAD-2) or (IW-1) are those of the library; (ELBO-1), (KL-1) and (REP-1) are derived in notebook 1.

# %%
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Chain, Dense, Gaussian, Softplus, load_digits
from npvae.core.gaussian import LOG_2PI, kl_divergence
from npvae.core.numerics import logsumexp
from npvae.evaluation import bounds, exact, gauss_legendre, trapezoid
from npvae.training import fit

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})


def agree(name, value, expected, tolerance=1e-10):
    """One line, and an error if the two differ."""
    difference = np.max(np.abs(np.asarray(value) - expected))
    assert difference <= tolerance, f"{name}: {value} and {expected} differ by {difference:.1e}"
    print(f"{name}: equal within {tolerance:.0e}")


# %% [markdown]
# ## 1. A VAE with one latent
#
# Black and white digits, 64 pixels, one hidden layer, and a single number z to say which digit it is. That is too little for
# good pictures. But it is a VAE like any other, and it is trained as any other.

# %%
digits = load_digits()
train_x = digits.floats("train", np.float64)
test_x = (digits.floats("test", np.float64) >= 0.5).astype(float)[:60]  # 60 pictures will do
vae = VAE.dense(64, hidden=(64,), latent_dim=1, output_mean=train_x.mean(axis=0), dtype=np.float64, rng=np.random.default_rng(1))
training = dict(epochs=60, batch_size=64, binarize="threshold", progress=False)
fit(vae, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), **training)
sampled = bounds.elbo(vae, test_x, np.random.default_rng(3), samples=100)
print(f"ELBO of {len(test_x)} test digits, 100 draws of z each: {sampled.mean():.2f} nats")
assert -25 < sampled.mean() < -21

# %% [markdown]
# Is that close to log p(x)? Training cannot tell. By (ELBO-1) the gap is the KL from q(z|x) to the posterior p(z|x), and to
# know the posterior is to know p(x).
#
# ## 2. One sum, equal steps
#
# The number that we are after is an integral over the line. Take the simplest rule there is: equal steps, equal weights.
#
# $$
# \int f(z) dz \approx h \sum_i f(z_i) \quad \text{with} \quad z_i = a + h i \tag{QUAD-1}
# $$
#
# (the trapezoid rule; its halved weights at the two ends do not matter where f has died away). How wrong is it? The sum
# depends on where the lattice begins, $S(a)$, and moving it by h gives the same points: $S$ is periodic. So it is a Fourier
# series, and its coefficients are
#
# $$
# \frac{1}{h} \int_0^h S(a) e^{-2 \pi i k a / h} da = \int f(a) e^{-2 \pi i k a / h} da = \hat{f}(2 \pi k / h) \tag{1}
# $$
#
# since the pieces of length h, one for each term of the sum, put the whole line together. The term $k = 0$ is the integral
# itself. All the others are the error: **the rule is as good as the Fourier transform of f is small at 2 pi / h**. For a peak
# in the shape of a Gaussian with standard deviation s it is tiny, relative to the integral at most
#
# $$
# 2 e^{-2 \pi^2 s^2 / h^2} + 2 e^{-8 \pi^2 s^2 / h^2} + \ldots \tag{2}
# $$
#
# **Predict, then run.** Steps of one standard deviation, $h = s$: nine or so values under the whole bell. How many digits of
# its area are right? `____` And with $h = 2s$? `____`

# %%
starts = np.linspace(0, 1, 21)  # of the lattice, in steps
print("h / s   largest relative error   by (2)")
for h in (3.0, 2.0, 1.5, 1.0):
    z = h * (np.arange(-60, 61) + starts[:, None])  # (21, 121)
    error = np.abs(h * np.sum(np.exp(-0.5 * (z**2 + LOG_2PI)), axis=1) - 1).max()
    by_2 = 2 * sum(math.exp(-2 * (math.pi * k / h) ** 2) for k in (1, 2, 3))
    print(f"{h:5.1f}   {error:22.1e}   {by_2:6.1e}")
    assert abs(error - by_2) < 1e-3 * by_2 + 1e-15
print(f"h = 2 s / 3, by (2): {2 * math.exp(-2 * (math.pi * 1.5) ** 2):.0e}")
i = np.arange(-60, 61)
simpson = np.sum(np.where(i % 2, 4 / 3, 2 / 3) * np.exp(-0.5 * (i**2 + LOG_2PI)))
print(f"Simpson's rule, h = s: {abs(simpson - 1):.1e}")
assert abs(simpson - 1) > 1e5 * by_2

# %% [markdown]
# Eight digits with a step of one sigma, and at two thirds of a sigma nothing is left but rounding. Simpson's rule, of higher
# order, is *worse* here, by six orders of magnitude: its weights alternate, 4/3 and 2/3, so that it is 4/3 of this sum less 1/3 of
# the one with a step of 2h, and a third of that one's error stays.
#
# So there are two things to settle, how far and how fine, and both can be seen from the values. Widen the interval until f has
# died away. Halve the step until the sums over the even and over the odd nodes, which have no node in common, agree. That is
# all that `npvae.evaluation.exact.log_likelihood_by_quadrature` does with
#
# $$
# \log p(x) = \log \int p(x \mid z) p(z) dz \tag{QUAD-2}
# $$
#
# but for the logarithms that keep e to the -20,000 in range. Here it is by hand, for one digit, with 40 steps on [-9, 9] and
# with 80, 160, 320.

# %%


def log_joint(model, x, z):
    """log p(x|z) + log p(z) of one x (D,) at z (n,)."""
    out = model.decode(z[:, None])
    return -model.likelihood.nll(out, np.broadcast_to(x, (len(z), len(x)))) - 0.5 * (z**2 + LOG_2PI)


def by_hand(model, x, steps):
    """QUAD-1 on [-9, 9], in logarithms."""
    z = np.linspace(-9, 9, steps + 1)
    return logsumexp(log_joint(model, x, z), 0) + math.log(18 / steps)


log_p = exact.log_likelihood_by_quadrature(vae, test_x)  # (60,)
for steps in (10, 20, 40, 80, 160, 320):
    print(f"{steps:4d} steps   log p(x) = {by_hand(vae, test_x[0], steps):.9f}")
agree("QUAD-1 in QUAD-2, against the library", by_hand(vae, test_x[0], 320), log_p[0])

# %% [markdown]
# Is that really a log-probability? Ask a question that knows no integrals. A VAE over three black or white pixels gives a
# probability to each of the eight pictures, and the eight sum to 1, whatever its weights are.

# %%
small = VAE.dense(3, hidden=(8,), latent_dim=1, dtype=np.float64, rng=np.random.default_rng(4))
small.params.theta[:] = 1.5 * np.random.default_rng(5).standard_normal(small.params.size)
eight = np.array(list(np.ndindex(2, 2, 2)), float)
p = np.exp(exact.log_likelihood_by_quadrature(small, eight))
for picture, share in zip(eight.astype(int), p):
    print(*picture, f"  {share:.4f}")
agree("QUAD-2: the eight probabilities sum to", p.sum(), 1)

# %% [markdown]
# ## 3. Where the textbook's nodes fail
#
# An integral over N(0, 1) asks for Gauss-Hermite nodes: n of them are exact for every polynomial of degree 2n - 1 times the
# prior. But p(x|z) is no polynomial. It is a peak, and the nodes lie where the *prior* wants them, about $\pi / \sqrt{n}$
# apart in the middle. If the peak is narrower than that, it falls between two nodes, or onto one.
#
# To see it, take a model whose log p(x) is known without any integral: a linear decoder with Gaussian noise. There the
# posterior is Gaussian and known (notebook 11), and by Bayes' rule, at any z that we like,
#
# $$
# \log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x) \tag{3}
# $$
#
# **Predict, then run.** Points along a line, noise sigma from 1 down to 0.01. With 20 nodes, how many nats is Gauss-Hermite
# wrong at sigma = 0.1? `____` With 100 nodes at 0.01? `____`

# %%
rng = np.random.default_rng(6)
line_x = rng.standard_normal((40, 1)) * [2.0, 1.0] + 0.01 * rng.standard_normal((40, 2))


def by_hermite(model, x, n):
    """log p(x) of each row with n Gauss-Hermite nodes under the prior."""
    z, weights = np.polynomial.hermite_e.hermegauss(n)
    logs = [log_joint(model, row, z) + 0.5 * z**2 + np.log(weights) for row in x]
    return np.array([logsumexp(row, 0) for row in logs])


print("sigma   posterior's sd   largest error in nats: 20 nodes   100 nodes   quotient   equal steps, halved")
for sigma in (1.0, 0.3, 0.1, 0.03, 0.01):
    optimum = exact.linear_optimum(line_x, 1, sigma**2)
    model = exact.linear_vae(optimum)
    mu, logvar = model.encode(line_x)
    known = -model.likelihood.nll(model.decode(mu), line_x) - 0.5 * np.sum(mu**2 - logvar, axis=1)  # (3) at z = mu
    errors = [np.abs(by_hermite(model, line_x, n) - known).max() for n in (20, 100)]
    halved = np.abs(exact.log_likelihood_by_quadrature(model, line_x) - known).max()
    print(f"{sigma:5.2f}   {math.sqrt(optimum.variances[0]):14.4f}   {errors[0]:31.4f}   {errors[1]:9.4f}   ", end="")
    print(f"{'-' if sigma == 1 else format(errors[0] / errors[1], '.1f'):>8}   {'below 1e-8':>19}")
    assert halved < 1e-8 and (sigma > 0.5) == (errors[0] < 0.01) and (sigma > 0.2 or 5 < errors[0] / errors[1] < 7)

# %% [markdown]
# The error is not a small bias. It is the height of the peak above its surroundings: tens, hundreds, thousands of nats. And
# nothing in the answer shows it. More nodes help little: a peak is missed by a part of the spacing, which falls as
# $1 / \sqrt{n}$, and what is lost there is half of the *square* of the miss over s, which falls as 1/n. Five times the nodes divide
# the last three errors by 6.3, 5.2 and 5.1. A step that is halved until nothing changes finds the peak, and the library makes
# sure that none is left unseen between two nodes.

# %%
n = np.array([5, 10, 20, 30, 50, 70, 100, 140, 180])
steps = np.array([10, 14, 20, 28, 40, 56, 80, 112, 160])
figure, axis = plt.subplots(layout="constrained")


def errors_with(nodes):
    """The largest error over the digits, of Gauss-Hermite and of equal steps, with this many nodes each."""
    equal = [by_hand(vae, x, nodes - 1) for x in test_x]
    return np.abs([by_hermite(vae, test_x, nodes) - log_p, equal - log_p]).max(axis=1)


hermite = [errors_with(k)[0] for k in n]
equal = [errors_with(k + 1)[1] for k in steps]
axis.semilogy(n, hermite, "o-", color="0.6", ms=4, label="Gauss-Hermite under the prior")
axis.semilogy(steps + 1, np.maximum(equal, 1e-13), "o-", color="tab:blue", ms=4, label="equal steps on [-9, 9]")
axis.set(xlabel="nodes", ylabel="largest error of log p(x), nats")
axis.legend()
print("nodes   Gauss-Hermite   equal steps")
for k in (20, 35, 36, 41, 50):
    print(f"{k:5d}   {errors_with(k)[0]:13.4f}   {errors_with(k)[1]:11.4f}")
print(f"  161   {errors_with(161)[0]:13.0e}   {'below 1e-10':>11}")
assert [k for k in range(10, 51) if np.diff(errors_with(k))[0] < 0] == list(range(36, 51))
assert hermite[2] > 0.05 and equal[-1] < 1e-10 < 1e-7 < hermite[-1]

# %% [markdown]
# *The picture:* the error against the number of nodes, on a logarithmic scale, for the VAE of section 1. Gauss-Hermite comes
# down slowly. Equal steps are worse up to 35 nodes, with 20 nodes by a factor of four, since many of theirs lie far out where
# nothing is. Then they dive: with 161 they are at rounding, where Gauss-Hermite still has an error of some millionths of a nat.
#
# This VAE is harmless: its posteriors have standard deviations from 0.25 to 0.56 (section 5 prints them). In the table above, at
# sigma = 0.01, it was 0.0045.
#
# ## 4. Three more tools
#
# **Averages over the noise.** The ELBO has an expectation over q(z|x). With z = mu + sigma eps (REP-1) it is one over
# N(0, 1), the same for every x, and (QUAD-1) does that as well:
#
# $$
# \mathbb{E} [ g(\epsilon) ] \approx \sum_i p_i g(\epsilon_i)
# \quad \text{with} \quad p_i = h \varphi(\epsilon_i) \tag{QUAD-3}
# $$
#
# on [-9, 9], where $\varphi$ is the density of N(0, 1); with two latents, the product rule.
#
# **The average of the logarithm of a mean.** In section 6 we need the expectation of log of the mean of K random weights. K
# can be 5,000, and nobody integrates over 5,000 dimensions. But the logarithm can be written such that K draws come apart.
# For S > 0
#
# $$
# \log S = \int_0^\infty \frac{e^{-t} - e^{-tS}}{t} dt \tag{4}
# $$
#
# Both sides are 0 at S = 1, and the derivative of the right side is the integral of $e^{-tS}$ over t, which is 1/S. (It is
# known as Frullani's integral.) Let S be the mean of K independent weights. The exponential of a sum is a product, its
# expectation the K-th power of one factor's, and with $t = e^u$, so that $dt / t = du$,
#
# $$
# \mathbb{E} \log \frac{1}{K} \sum_k w_k = \int_{-\infty}^{\infty}
# \left( \exp(-e^u) - \left( \mathbb{E} \exp(-e^u w / K) \right)^K \right) du \tag{QUAD-4}
# $$
#
# The inner expectation is over a single weight, by (QUAD-3). K costs nothing.
#
# **A judge.** A number that only one rule has given is a number that one rule has given. Choose n nodes in [-1, 1] as the
# zeros of the Legendre polynomial of degree n, which is orthogonal to every polynomial of lower degree. Divide a polynomial f
# of degree up to 2n - 1 by it: $f = a P + b$, both a and b of degree below n. The integral of $a P$ is 0 and at the nodes
# $P = 0$, so f can be replaced by b on both sides, and weights that are right for degree n - 1 are right for 2n - 1. On a
# box, nodes and weights are scaled to its width:
#
# $$
# \int_{\mathrm{box}} f(z) dz \approx \sum_i v_i f(z_i) \tag{QUAD-5}
# $$
#
# with boxes that are cut in halves until the parts together give what the whole gave. Gauss and Legendre share neither a
# node nor a weight nor a rule to stop with the trapezoids. Code: `npvae.evaluation.trapezoid` and
# `npvae.evaluation.gauss_legendre`.

# %%
eps = np.linspace(-9, 9, 101)
weights = 0.18 * np.exp(-0.5 * (eps**2 + LOG_2PI))
agree("QUAD-3: E eps^6 is", np.sum(weights * eps**6), 15)
agree("QUAD-3: E e^eps is", trapezoid.normal_mean(lambda e: np.exp(e[:, 0]), 1, 1e-10), math.exp(0.5))


def log_w(e):
    """The log of a weight that is log-normal: (n, 1) -> (n,)."""
    return 1.2 * e[:, 0] - 0.3


pairs = np.logaddexp(log_w(eps[:, None])[:, None], log_w(eps[:, None])) - math.log(2)  # (101, 101)
agree("QUAD-4, K = 1: E log w is", trapezoid.normal_log_mean(log_w, 1, 1, 1e-10), -0.3)
agree("QUAD-4, K = 2, over pairs", trapezoid.normal_log_mean(log_w, 1, 2, 1e-10), weights @ pairs @ weights, 1e-8)
nodes, v = np.polynomial.legendre.leggauss(16)
agree("QUAD-5, 16 nodes, degree 30 of 31", v @ nodes**30, 2 / 31)
log_area, second = gauss_legendre.log_integral_and_mean(lambda z: (-0.5 * z[:, 0] ** 2, z[:, 0] ** 2), 1, 1e-10)
agree("QUAD-5: the bell's area and variance", [log_area, second], [0.5 * LOG_2PI, 1])

# %% [markdown]
# ## 5. The ELBO and its gap
#
# Now the ELBO without a sample, from (ELBO-3) with the KL of (KL-1) in closed form,
#
# $$
# \mathrm{ELBO} = \mathbb{E} [ \log p(x \mid \mu + \sigma \epsilon) ] - \mathrm{KL}( q(z \mid x) \Vert p(z) )
# \quad \text{with} \quad \epsilon \sim N(0, 1) \tag{QUAD-6}
# $$
#
# and the gap, for which the posterior is p(x|z) p(z) divided by its own integral C:
#
# $$
# \mathrm{KL}( q(z \mid x) \Vert p(z \mid x) ) =
# \mathbb{E}_q [ \log q(z \mid x) - \log p(x \mid z) - \log p(z) ] + \log C \tag{QUAD-7}
# $$
#
# C is p(x), of course. But the library computes it anew, by (QUAD-5), and the expectation as well. So if log p(x), the ELBO
# and the gap are each computed apart, then (ELBO-1), log p(x) = ELBO + KL, is a test of all three.
#
# **Predict, then run.** Is the mean gap of the trained VAE nearer to 0.001, 0.1 or 10 nats? `____` On all digits alike? `____`

# %%
elbo, gap = exact.elbo_by_quadrature(vae, test_x), exact.kl_to_posterior(vae, test_x)
print(f"log p(x) {log_p.mean():.4f}   ELBO {elbo.mean():.4f}   KL(q || p(z|x)) {gap.mean():.4f} nats, means")
print(f"gap: smallest {gap.min():.4f}, median {np.median(gap):.4f}, largest {gap.max():.4f}")
for level in (0.02, 0.1, 0.4):
    print(f"gap above {level}: {np.sum(gap > level)} of {len(gap)} digits")
fine = np.linspace(-9, 9, 1801)
mass = 0.01 * np.array([exact.posterior_on_grid(vae, x, fine).posterior for x in test_x])  # (60, 1801)
widths = np.sqrt(mass @ fine**2 - (mass @ fine) ** 2), np.exp(vae.encode(test_x)[1][:, 0] / 2)
for name, sd in zip(("p(z|x)", "q(z|x)"), widths):
    print(f"standard deviation of {name}: {sd.min():.2f} to {sd.max():.2f}, median {np.median(sd):.2f}")
agree("ELBO-1: log p - ELBO = KL, each digit", log_p - elbo, gap, 1e-8)
standard_error = np.sqrt(np.mean((sampled - elbo) ** 2) / len(test_x))
assert abs(sampled.mean() - elbo.mean()) < 4.5 * standard_error and 0 <= gap.min() < 0.02 and 0.05 < gap.mean() < 0.2 < gap.max()

# %% [markdown]
# A tenth of a nat of 23, on average. But it is not spread evenly: the best digit loses 0.006 nats, 25 of the 60 lose more than the
# tenth, and one loses 0.43. Look at the best, the median and the worst.

# %%
order = np.argsort(gap)
chosen = order[[0, len(order) // 2, -1]]
z = np.linspace(-5, 5, 501)
figure, axes = plt.subplots(1, 3, figsize=(6, 2.6), layout="constrained", sharex=True)
for axis, i in zip(axes, chosen):
    density = exact.posterior_on_grid(vae, test_x[i], z)
    axis.fill_between(z, density.posterior, color="0.8", label="p(z|x)")
    axis.plot(z, density.q, color="tab:blue", label="q(z|x)")
    axis.plot(z, density.prior, ":", color="0.4", label="p(z)")
    axis.set(title=f"a {digits.test_labels[i]}: gap {gap[i]:.3f}", xlabel="z", xlim=(-3, 4), yticks=[])
    axis.title.set_fontsize(9)
    agree(f"posterior of the {digits.test_labels[i]}: area", 0.02 * density.posterior.sum(), 1, 1e-3)
_ = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)

# %% [markdown]
# *The picture:* three digits, with the smallest, the median and the largest gap. In each the posterior as a grey area, q as
# a blue line, the prior dotted. On the left q and the posterior are one. On the right q stands beside the posterior and is too
# wide.
#
# So which part of the gap is the shape, which no Gaussian has, and which is the encoder's, that misses the best Gaussian?
# (Cremer et al. 2018 call the second the amortization gap: one network serves all digits.) Give every digit a Gaussian of its
# own, with the mean and the variance of its posterior.

# %%
z = np.linspace(-6, 6, 1201)


def own_gap(x, log_p):
    """KL(q || p(z|x)) of the Gaussian with the posterior's mean and variance."""
    log_posterior = log_joint(vae, x, z) - log_p
    posterior = 0.01 * np.exp(log_posterior)
    mean = posterior @ z
    variance = posterior @ (z - mean) ** 2
    log_q = -0.5 * ((z - mean) ** 2 / variance + math.log(variance) + LOG_2PI)
    return 0.01 * np.sum(np.exp(log_q) * (log_q - log_posterior))


own = np.array([own_gap(x, p) for x, p in zip(test_x, log_p)])
print(f"mean gap: the encoder's q {gap.mean():.4f}, a Gaussian for each digit {own.mean():.4f} nats")
learned = (train_x[:60] >= 0.5).astype(float)
print(f"mean gap of 60 training digits, the encoder's q: {exact.kl_to_posterior(vae, learned).mean():.4f} nats")
print(f"the digit on the right: {gap[order[-1]]:.4f} and {own[order[-1]]:.4f}")
assert own.min() > 0 and own.mean() < 0.3 * gap.mean() and own[order[-1]] < 0.1 * gap.max()

# %% [markdown]
# Nearly all of it is the encoder's. A better encoder would take it away; another family of q would not help here. Nor is it
# a matter of test against training: on digits that the encoder has learned from the gap is about the same.
#
# > **A common mistake here.** "The ELBO of the model" is reported as its log-likelihood. It is lower by the gap, and the gap
# > is different for each model: a better ELBO can be a better model or a better q.
#
# ## 6. Several draws: importance weighting
#
# Write p(x) as an average over q, with the weights w:
#
# $$
# p(x) = \int q(z \mid x) \frac{p(x \mid z) p(z)}{q(z \mid x)} dz = \mathbb{E}_q [ w ]
# \quad \text{with} \quad w = \frac{p(x \mid z) p(z)}{q(z \mid x)} \tag{5}
# $$
#
# The mean of K weights is an unbiased estimate of p(x). Its logarithm is not one of log p(x), since the logarithm bends
# down (Jensen): it is too low on average, and so a bound.
#
# $$
# L_K = \log \frac{1}{K} \sum_{k=1}^{K} w_k \quad \text{with} \quad z_k \sim q(z \mid x)
# \quad \text{and} \quad \mathbb{E} L_K \le \log p(x) \tag{IW-1}
# $$
#
# With K = 1 it is the ELBO, (ELBO-2). **And it rises with K.** Leave out one of K weights at random: the mean of what is left
# is, on average over what was left out, the mean of all K. So, by Jensen again,
#
# $$
# \log \frac{1}{K} \sum_k w_k = \log \mathrm{mean}_j \left( \frac{1}{K-1} \sum_{k \ne j} w_k \right)
# \ge \mathrm{mean}_j \log \frac{1}{K-1} \sum_{k \ne j} w_k \tag{6}
# $$
#
# On the left stand K draws, in each term on the right K - 1 of them. **How fast?** Let v be the variance of w over the square of
# its mean. The mean of K weights is off by a relative error with variance v/K, and log(1 + e) is about e - e²/2. So for large K
#
# $$
# \log p(x) - \mathbb{E} L_K \approx \frac{v}{2K} \tag{7}
# $$
#
# if v is finite. With (QUAD-4) we need not believe it.
#
# $$
# \mathbb{E} L_K = \mathbb{E} \log \frac{1}{K} \sum_k w_k \quad \text{by (QUAD-4), with} \quad
# \log w = \log p(x \mid z) + \log p(z) - \log q(z \mid x) \tag{QUAD-8}
# $$
#
# **Predict, then run.** On the digit with the largest gap: how many draws bring the gap down to a tenth of what it was?
# `____`

# %%
worst = test_x[[order[-1]]]
truth, q_mu, q_logvar = log_p[order[-1]], *(a[0] for a in vae.encode(worst))
Ks = [1, 2, 5, 20, 100, 1000]
expected = [exact.expected_bound_by_quadrature(vae, worst, K)[0] for K in Ks]
print("    K   log p(x) - E L_K   times K")
for K, bound in zip(Ks, expected):
    print(f"{K:5d}   {truth - bound:16.5f}   {K * (truth - bound):7.3f}")
agree("QUAD-8, K = 1: the ELBO", expected[0], elbo[order[-1]], 1e-8)
assert np.all(np.diff(expected) > 0) and expected[-1] < truth and truth - expected[3] < 0.1 * gap.max()
lognormal = [1.44 / 2 - 0.3 - trapezoid.normal_log_mean(log_w, 1, K, 1e-10) for K in (1000, 10_000)]
for K, difference in zip((1000, 10_000), lognormal):
    print(f"log-normal weights, K = {K:6,}: {difference:.3e}, and by (7) {math.expm1(1.44) / (2 * K):.3e}")
assert abs(lognormal[1] / (math.expm1(1.44) / 20_000) - 1) < 0.01

draws = {K: bounds.log_likelihood(vae, np.repeat(worst, 200, axis=0), np.random.default_rng(7), samples=K) for K in Ks}
for K, bound in zip(Ks, expected):
    assert abs(draws[K].mean() - bound) < 4.5 * draws[K].std() / math.sqrt(200), f"IW-1, K = {K}"
figure, axis = plt.subplots(layout="constrained")
for K in Ks:
    axis.plot(np.full(200, K), draws[K], ".", color="0.75", ms=3)
axis.plot(Ks, expected, "o-", color="tab:blue", ms=4, label="E L_K")
axis.axhline(truth, color="black", ls=":", label="log p(x)")
axis.set(xscale="log", xlabel="K", ylabel="nats", ylim=(truth - 3.5, truth + 2))
_ = axis.legend(loc="lower right")
away = draws[1] - truth
print(f"200 values of L_1 - log p(x): from {away.min():.1f} to {away.max():+.1f} nats, {np.mean(away > 0):.0%} of them above 0")
print(f"of L_1000: within {np.abs(draws[1000] - truth).max():.2f} nats")

# %% [markdown]
# The gap falls as 1/K from the start: about ten draws for a tenth of it.
#
# *The picture:* 200 values of $L$ for each K as grey dots, their expectation as a blue line that rises to the dotted log p(x).
# The dots of K = 1 lie from 2.2 nats below log p(x) to 1.5 above; those of K = 1000 stay within a tenth of a nat.
#
# It is a bound *on average*. A single value may lie above log p(x): with K = 1, two in five do.
#
# ### How far to trust it
#
# The draws tell something about themselves. The normalized weights are the w over their sum. If K independent terms of
# variance 1 are averaged with these weights, the variance of the average is the sum of the squared weights; with n equal
# weights it would be 1/n. So K draws are worth as much as this many:
#
# $$
# \mathrm{effective} = \frac{1}{\sum_k \left( w_k / \sum_j w_j \right)^2}
# = \frac{\left( \sum_k w_k \right)^2}{\sum_k w_k^2} \tag{IW-2}
# $$
#
# between 1, one draw decides, and K, all weights are equal. The same two sums give the error of the mean weight. Its variance
# is the sample variance over K,
#
# $$
# \frac{1}{K} \frac{1}{K - 1} \sum_k (w_k - \bar{w})^2 = \frac{1}{K - 1} \left( \frac{1}{K} \sum_k w_k^2 - \bar{w}^2 \right)
# = \frac{\bar{w}^2}{K - 1} \left( \frac{K}{\mathrm{effective}} - 1 \right) \tag{8}
# $$
#
# and a relative error of the mean is an absolute one of its logarithm (the delta method):
#
# $$
# \text{standard error of} \quad L_K = \sqrt{\frac{K / \mathrm{effective} - 1}{K - 1}} \tag{IW-3}
# $$
#
# Code: `npvae.evaluation.bounds.importance_sampling`.

# %%
w = np.array([0.5, 3.0, 1.0, 0.2])
effective = w.sum() ** 2 / np.sum(w**2)
agree("IW-2, two forms", 1 / np.sum((w / w.sum()) ** 2), effective)
agree("IW-3", math.sqrt((4 / effective - 1) / 3), w.std(ddof=1) / math.sqrt(4) / w.mean())
many = bounds.importance_sampling(vae, test_x, np.random.default_rng(8), samples=1000)
scaled = (many.log_likelihood - log_p) / many.monte_carlo_error  # (60,)
print(f"effective samples of 1,000: least {many.effective_samples.min():.0f}, median {np.median(many.effective_samples):.0f}")
print(f"within 2 standard errors of log p(x): {np.sum(np.abs(scaled) < 2)} of {len(scaled)} digits")
assert np.sum(np.abs(scaled) < 2) >= 52 and np.abs(scaled).max() < 4.5

# %% [markdown]
# ### When not to
#
# That was a good q. The error knows only the weights that were drawn. Two models where this matters, both with an exact
# answer beside them.
#
# **A mirror.** The decoder sees z and -z alike, so every posterior has two equal peaks; q sits on one of them. All that it
# draws there has nearly the same weight.
#
# **Predict, then run.** With 1,000 draws: how many are effective? What is the standard error? How wrong is L? `____`, `____`
# and `____`

# %%
rng = np.random.default_rng(9)
inner, outer = Dense(1, 2, rng=rng), Dense(2, 2, rng=rng)
inner.W[:], outer.W[:] = [[3.0, -3.0]], [[0.5, 0.25], [0.5, 0.25]]  # softplus(3z) + softplus(-3z), in two directions
z0, sigma = 1.5, 0.15
picture = outer.forward(Softplus().forward(inner.forward(np.array([[z0]]))[0])[0])[0]  # (1, 2)
encoder = Dense(2, 2, rng=rng)
encoder.W[:] = 0  # q is the same for every x: only this one is asked about
mirror = VAE(encoder, Chain([inner, Softplus(), outer]), Gaussian(sigma), 1)
fine = np.linspace(0, 3, 3001)  # mean and variance of the peak at z > 0
peak = exact.posterior_on_grid(mirror, picture, fine).posterior * 0.001
center = peak @ fine / peak.sum()
encoder.b[:] = center, math.log(peak @ (fine - center) ** 2 / peak.sum())

answer = bounds.importance_sampling(mirror, picture, np.random.default_rng(10), samples=1000)
true = exact.log_likelihood_by_quadrature(mirror, picture)[0]
print(f"effective samples {answer.effective_samples[0]:.0f} of 1000, standard error {answer.monte_carlo_error[0]:.4f} nats")
print(f"L_1000 - log p(x) = {answer.log_likelihood[0] - true:.3f}, and -log 2 = {-math.log(2):.3f}")
print(f"KL(q || p(z|x)) = {exact.kl_to_posterior(mirror, picture)[0]:.3f}")
assert answer.effective_samples[0] > 990 and answer.monte_carlo_error[0] < 0.005
agree("the mirror: off by log 2", answer.log_likelihood[0] - true, -math.log(2), 0.01)

# %% [markdown]
# A thousand effective samples, a standard error of 0.0003 nats, and 0.69 nats wrong, for half of the posterior was never
# visited. **Many effective samples say that the weights that came were alike, not that all came.**
#
# **A q that is too narrow.** Let posterior and q be Gaussians with one mean, standard deviations s and r s. The variance of
# the weights has the integral of the squared posterior over q, and the exponent
#
# $$
# -\frac{z^2}{s^2} + \frac{z^2}{2 r^2 s^2} \tag{9}
# $$
#
# falls only if $r^2 > 1/2$. Below that the variance is infinite, and an estimate of it from K draws is some finite number. A
# wide q wastes draws and says so; a narrow one is worse than it says. Eight latents make it plain; the decoder is linear, so that
# log p is known by (3).

# %%
q, sigma2, K = 8, 0.05, 200
data = np.random.default_rng(11).standard_normal((100, q))
known = exact.linear_optimum(data, q, sigma2)
one = np.repeat(data[:1], 300, axis=0)
print("   r   effective of 200   stated error   L - log p(x): mean   root mean square   over stated   too low in")
for r in (1.5, 1.0, 0.8, 0.6, 0.4):
    model = exact.linear_vae(known)
    mu, logvar = model.encode(one[:1])
    log_px = -model.likelihood.nll(model.decode(mu), one[:1])[0] - 0.5 * np.sum(mu**2 - logvar)  # (3) at z = mu
    model.encoder.layers[0].b[q:] += 2 * math.log(r)
    result = bounds.importance_sampling(model, one, np.random.default_rng(12), samples=K)
    effective, stated = np.median(result.effective_samples), np.median(result.monte_carlo_error)
    miss = result.log_likelihood - log_px
    rms = np.sqrt(np.mean(miss**2))
    print(f"{r:4.1f}   {effective:16.0f}   {stated:12.3f}   {round(miss.mean(), 2) + 0.0:18.2f}   {rms:16.2f}", end="")
    print(f"   {'-':>11}   {'-':>10}" if r == 1 else f"   {rms / stated:11.1f}   {np.mean(miss < 0):10.0%}")
    assert {1.5: rms < 2 * stated, 1.0: rms < 1e-6, 0.8: rms < 2 * stated, 0.6: rms > 2 * stated, 0.4: rms > 4 * stated}[r]

# %% [markdown]
# At r = 1, q is the posterior: every weight is p(x), up to rounding, and L is log p(x) with one draw. Wider, and the error is about
# as stated. At 0.6 it is twice what is stated, at 0.4 it is 4.6 times, and there L is too low in 96 % of the 300 runs. The ELBO
# leans that way: the KL(q || p(z|x)) that it wants small is dear for mass where the posterior has none, and cheap for what q leaves
# out (exercise 2 compares the two).
#
# Strictly, the digits' weights in this notebook have infinite variance, too: far out the tanh layers are flat, so that the
# posterior falls off as the prior does, with standard deviation 1, and q, at most 0.52 wide (section 5), falls faster. Then why
# does (7) hold in section 6? Integrate over the part of the line where draws come.

# %%
sd = math.exp(q_logvar[0] / 2)
for reach in (4, 5, 6):
    z = q_mu[0] + sd * np.linspace(-reach, reach, 4001)
    log_q = -0.5 * (((z - q_mu[0]) / sd) ** 2 + q_logvar[0] + LOG_2PI)
    log_square = 2 * (log_joint(vae, worst[0], z) - truth) - log_q  # of w^2 q / p(x)^2
    v = math.exp(logsumexp(log_square, 0)) * reach * sd / 2000 - 1
    print(f"the digit with the largest gap, within {reach} sigma of q: v / 2 = {v / 2:.3f}")
assert abs(v / 2 - 0.44) < 0.01 and sd**2 < 0.5

# %% [markdown]
# Within six sigma of q, v/2 is what the column "times K" shows. The rest, which is infinite, lies further out, where two draws
# in a billion fall, and up to K = 1000 nothing is seen of it.
#
# What to do: raise K by factors of ten and see whether L still rises; widen q for the evaluation; where Z is 1 or 2, ask
# `npvae.evaluation.exact`; and never compare two L of different K.
#
# ## Exercises
#
# 1. In (2), how small must h / s be for an error below 1e-15?
# 2. A posterior is a Gaussian with mean m and standard deviation s, and q has mean m and standard deviation r s. What is the
#    gap? Is it larger at r = 1/2, half as wide as the posterior, or at r = 2, twice as wide?
# 3. Ten normalized weights: one is 0.91, nine are 0.01. How many effective samples, and which standard error?
# 4. Two papers report L: one with K = 50, -86.0; the other with K = 5,000, -85.5. Which model is better?
# 5. In the mirror, what does a q with half of its mass on each peak give?
#
# <details><summary>Answer to 1</summary>
#
# 2 exp(-2 pi² s² / h²) = 1e-15 at h / s = 0.75. From -9 s to 9 s that is 25 nodes.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# (KL-1) in units of s: 1/2 (r² - 1) - log r. At 1/2 it is 0.318, at 2 it is 0.807: too narrow is the cheaper mistake.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# 1 / (0.91² + 9 * 0.01²) = 1.21; sqrt((10 / 1.21 - 1) / 9) = 0.90 nats. One draw decides, and even that error is too
# small.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# Nobody can tell. E L rises with K; the first model's with K = 5,000 may be anywhere above -86.0.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# It is nearly the posterior, so every weight is nearly p(x), and L is log p(x). A single Gaussian that covers both peaks finds
# them, too, but most of its draws miss them: see how many of 1,000 are effective.
#
# </details>

# %%
print(f"1: h / s = {math.pi * math.sqrt(2 / math.log(2e15)):.2f}")
narrow, wide = (kl_divergence(np.zeros((1, 1)), np.full((1, 1), 2 * math.log(r)))[0] for r in (0.5, 2))
print(f"2: {narrow:.3f} and {wide:.3f}")
w = np.array([0.91] + [0.01] * 9)
effective = 1 / np.sum(w**2)
print(f"3: {effective:.2f} effective, standard error {math.sqrt((10 / effective - 1) / 9):.2f}")
assert narrow < wide and round(effective, 2) == 1.21
encoder.b[:] = 0, math.log(center**2)  # one Gaussian around 0 that covers both peaks of the mirror
both = bounds.importance_sampling(mirror, picture, np.random.default_rng(10), samples=1000)
print(f"5: {both.effective_samples[0]:.0f} effective of 1000, L - log p(x) = {both.log_likelihood[0] - true:.2f}, ", end="")
print(f"standard error {both.monte_carlo_error[0]:.2f} nats")
assert both.effective_samples[0] < 200 and abs(both.log_likelihood[0] - true) < 4.5 * both.monte_carlo_error[0]

# %% [markdown]
# ## Summary
#
# | what | how | label |
# |---|---|---|
# | an integral over z | equal steps, halved until stable | (QUAD-1) |
# | log p(x) | the integral of likelihood times prior | (QUAD-2) |
# | an average over the noise | the same, under N(0, 1) | (QUAD-3) |
# | the average of the log of a mean | a power of one average | (QUAD-4) |
# | a judge | Gauss-Legendre on boxes | (QUAD-5) |
# | the ELBO, its gap | averages over q | (QUAD-6), (QUAD-7) |
# | the bound from K draws, its average | the log of the mean weight | (IW-1), (QUAD-8) |
# | how far to trust K draws | effective samples, standard error | (IW-2), (IW-3) |
#
# log p(x) = ELBO + KL(q || p(z|x)) holds to the last digit, once each of the three is computed apart. L with more draws
# closes the gap, on average and from below. Its error can be read from the weights, if q reaches where the posterior is.
#
# **Next:** [11_linear_vae_is_ppca](11_linear_vae_is_ppca.ipynb) has a VAE with any number of latents of which everything is
# known, its optimum included.
