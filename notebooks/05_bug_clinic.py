# The source of 05_bug_clinic.ipynb: edit this file, then run: python notebooks/build.py 05_bug_clinic

# %% [markdown]
# # 5. The bug clinic: the gradient check passed, and the model is wrong
#
# **You will be able to** say why a gradient check cannot see a wrong loss; examine a VAE with six other questions, each a few
# lines long; read what `check_model` says of a wrong backward pass; and diagnose three patients on your own.
#
# **You need** notebooks 1 and 4. **Time:** 60 minutes; the cells run in a few seconds.
#
# npvae has a museum of mistakes, most of them found in public code: `npvae.verify.mistakes`. Each can be *planted* in the library
# and taken out again:
#
#     with planted("kl_missing_half"):
#         ...                                   here the library makes that mistake
#
# A wrong forward pass is planted together with the backward pass that belongs to it, since that is how people write it: first
# the wrong formula, then its derivative, without an error.

# %%
import math
import textwrap
from contextlib import nullcontext

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Bernoulli, Tanh, evaluation
from npvae.core import gaussian  # the module: planted functions are found in it, whereas an imported name would stay right
from npvae.verify import check_model
from npvae.verify.mistakes import CHECKS, FAMILIES, MISTAKES, complaints, planted
from npvae.verify.mistakes.cases import bernoulli_case, gaussian_case
from npvae.verify.mistakes.invariances import (
    check_copied_pixel,
    check_duplicates,
    check_inactive_latent,
    linear_gaussian,
    monte_carlo_elbo,
)

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})
print(len(MISTAKES), "mistakes,", len(CHECKS), "checks")


def admit(name):
    """planted(name), or nothing at all for the healthy one."""
    return nullcontext() if name == "healthy" else planted(name)


def say(text):
    """Print a long sentence in short lines."""
    print(textwrap.fill(text, 110, subsequent_indent="    "))


# %% [markdown]
# ## 1. Six patients and a clean bill of health
#
# | patient | what it does |
# |---|---|
# | `kl_mean_over_latents` | averages the KL over the latents in place of summing |
# | `kl_sigma_for_variance` | has sigma in the KL where the variance belongs |
# | `variance_as_sigma` | samples z = mu + exp(logvar) eps, without the 1/2 |
# | `recon_mean_over_pixels` | averages the reconstruction over the pixels and sums the KL |
# | `adam_eps_hat` | puts Adam's eps in the wrong place |
# | `elbo_at_posterior_mean` | reports log p(x given mu) - KL as the ELBO |
#
# **Predict, then run.** Which of the six does the gradient check find? `____`

# %%
SIX = [
    "kl_mean_over_latents", "kl_sigma_for_variance", "variance_as_sigma", "recon_mean_over_pixels", "adam_eps_hat",
    "elbo_at_posterior_mean",
]  # fmt: skip
rng = np.random.default_rng(0)
model = VAE.dense(5, (4,), 3, Bernoulli(), Tanh, rng=rng, dtype=float)
x, eps = (rng.uniform(size=(6, 5)) < 0.5).astype(float), rng.standard_normal((6, 3))
print("patient                   loss      the gradient is   norm error")
for name in ["healthy", *SIX]:
    with admit(name):
        loss, report = model.loss(x, eps, 1.7), check_model(model, x, eps, beta=1.7)
    print(f"{name:<24}  {loss.total:.4f}    {'right' if report.ok else 'wrong':<15}   {report.norm_error:.1e}")
    assert report.ok and report.norm_error < 1e-13

# %% [markdown]
# None, and to the last digit. The check asks whether the backward pass is the derivative of the loss *as coded*. These losses
# are wrong, their derivatives are right; and the last two mistakes are in places that no derivative passes through. All six
# models train. Nothing crashes. So other questions are needed, whose answers do not come from the code that is on trial.

# %% [markdown]
# ## 2. Is the KL the KL? Ask for a definition
#
# The closed formula (KL-1) is one way to the number. The definition is another: a mean over samples, with densities that one
# writes down from a book.
#
# $$
# \mathrm{KL} = \mathbb{E}_q \left[ \log q(z \mid x) - \log p(z) \right]
# \approx \frac{1}{N} \sum_{n=1}^{N} \left( \log q(z_n) - \log p(z_n) \right) \tag{1}
# $$
#
# The mean has a standard error, the standard deviation over the root of N. A formula five of them away is wrong.
#
# **Predict, then run.** At mu = (0.5, -1.25, 0), logvar = (0.25, -2, 1) the KL is 1.85. What does the mean over the latents
# give? And would a check of 100 samples have seen `kl_sigma_for_variance`? `____`

# %%
N = 200_000
mu, logvar = np.array([[0.5, -1.25, 0.0]]), np.array([[0.25, -2.0, 1.0]])
sigma = np.sqrt(np.exp(logvar))
z = mu + sigma * np.random.default_rng(1).standard_normal((N, 3))  # written here, not taken from the library
log_ratio = np.sum(-0.5 * ((z - mu) / sigma) ** 2 - np.log(sigma) + 0.5 * z**2, axis=1)
sampled, error = log_ratio.mean(), log_ratio.std() / math.sqrt(N)
print(f"by samples {sampled:.4f} +- {error:.4f}\n\npatient                   formula   standard errors away")
formulas = {}
for name in ["healthy", *SIX[:3], "kl_missing_half", "kl_logvar_sign", "kl_without_mu"]:
    with admit(name):
        (kl,) = gaussian.kl_divergence(mu, logvar)
    print(f"{name:<24}  {kl:.4f}    {(kl - sampled) / error:+8.1f}")
    assert (abs(kl - sampled) < 5 * error) == (name in ("healthy", "variance_as_sigma"))
    formulas[name] = kl
coarse = (sampled - formulas["kl_sigma_for_variance"]) / (log_ratio.std() / 10)
print(f"\nwith 100 samples kl_sigma_for_variance would be {coarse:.1f} standard errors away")
assert 2.5 < coarse < 4

# %% [markdown]
# Every wrong KL is hundreds of standard errors away. With 100 samples, `kl_sigma_for_variance` would be about three away,
# and pass: a statistical check must say how sharp it is. `variance_as_sigma` is not seen here, since its KL is right; it does
# not sample what its KL believes.
#
# There is a cheaper question, without samples: the KL is 0 at the prior and positive everywhere else.

# %%
grid = np.linspace(-3, 3, 121)[:, None]
plt.figure(layout="constrained")
lowest = {}
for name, style in (("healthy", "-"), ("kl_sigma_for_variance", "--"), ("kl_logvar_sign", ":")):
    with admit(name):
        values = gaussian.kl_divergence(0 * grid, grid)
    lowest[name] = values.min()
    plt.plot(grid, values, style, color="black" if name == "healthy" else "tab:blue", label=name)
noise = np.random.default_rng(2).standard_normal((2000, 1))
for v in range(-3, 4):
    z = np.exp(v / 2) * noise
    plt.plot(
        v, np.mean(-0.5 * noise**2 - 0.5 * v + 0.5 * z**2), "o", color="black", ms=4, label="2,000 samples" if v == 3 else None
    )
plt.axhline(0, color="0.7", lw=0.8)
plt.xlabel("logvar (mu = 0)")
plt.ylabel("KL in nats")
plt.ylim(-2.2, 9)
plt.legend()
print(", ".join(f"{name}: lowest value {value:.3f}" for name, value in lowest.items()))
assert lowest["healthy"] == 0 and lowest["kl_sigma_for_variance"] < -0.19 and lowest["kl_logvar_sign"] < -1

# %% [markdown]
# *The picture:* the right KL touches 0 at logvar = 0, and the sampled dots lie on it. The two wrong curves go below 0, one only a
# little and only for logvar between 0 and 2.5: a check that draws narrow numbers misses it.

# %% [markdown]
# ## 3. Does z come from q? Ask for its moments
#
# By (REP-1) the mean of z is mu, its variance is exp(logvar), and different rows have nothing to do with each other. Three
# averages answer that.
#
# **Predict, then run.** Asked for variance 4, with which variance does `variance_as_sigma` sample? `____`

# %%
rows, mean, variance = 100_000, 8.0, 4.0
draws = {}
print("patient                        mean   variance   covariance of neighbors")
for name in ("healthy", "variance_as_sigma", "extra_jitter", "noise_shared_across_rows", "z_clipped"):
    noise = np.random.default_rng(3).standard_normal((rows, 1))
    with admit(name):
        z, _ = gaussian.reparameterize(np.full_like(noise, mean), np.full_like(noise, math.log(variance)), noise)
    centered = z - mean
    covariance = np.mean(centered[1:] * centered[:-1])
    draws[name] = z
    print(f"{name:<26}  {z.mean():7.3f}  {np.mean(centered**2):9.4f}   {covariance:+.4f}")
    assert (abs(np.mean(centered**2) - 4) < 0.1) == (name in ("healthy", "extra_jitter"))

# %%
bins = np.linspace(-10, 26, 73)
plt.figure(layout="constrained")
plt.hist(draws["healthy"][:, 0], bins, density=True, color="0.75", label="healthy")
plt.hist(draws["variance_as_sigma"][:, 0], bins, density=True, histtype="step", color="tab:blue", label="variance_as_sigma")
line = np.linspace(-10, 26, 300)
plt.plot(line, np.exp(-0.5 * (line - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance), "k--", lw=1, label="q: N(8, 4)")
plt.xlabel("z")
plt.ylabel("density")
plt.legend()
assert abs(draws["variance_as_sigma"].std() / draws["healthy"].std() - 2) < 0.01

# %% [markdown]
# *The picture:* the healthy samples fill the density of q; those of the patient are twice as wide.
#
# In `noise_shared_across_rows` all rows carry one and the same noise, and neighbors agree. `z_clipped` (to the interval from -5
# to 5) shows only because the mean is 8: with mu near 0 it would have passed. `extra_jitter` adds noise of variance 1e-4, and at
# variance 4 no one can see that; the museum's own check samples with a tiny variance, too. *A check sees what its arguments show
# it: choose them far out, small and large.*

# %% [markdown]
# ## 4. A model whose answer is known
#
# Let the decoder be linear, x = W z + b plus Gaussian noise of standard deviation sigma. Then everything is Gaussian, and
#
# $$
# p(x) = N(x; b, W W^T + \sigma^2 I) \tag{2}
# $$
#
# is an exact number from a linear-algebra routine. If the columns of W are orthogonal, the posterior has independent latents,
#
# $$
# q(z \mid x) = N \left( M^{-1} W^T (x - b) / \sigma^2, M^{-1} \right) \quad \text{with} \quad M = I + W^T W / \sigma^2 \tag{3}
# $$
#
# (M is diagonal then), so that an encoder of one dense layer can hold it. With the exact posterior the gap in (ELBO-1) is 0:
# **the ELBO must be log p(x)**, not only below it. `linear_gaussian` builds that VAE from the library's parts, with log p(x).
#
# **Predict, then run.** A bound can never lie above log p(x). Which patients get a "bound" above it? `____`

# %%
errors = {}
for name in ["healthy", "kl_missing_half", "gaussian_without_constant", *SIX]:
    rng = np.random.default_rng(4)
    linear, data, log_p = linear_gaussian(rng)
    with admit(name):
        elbo, error = monte_carlo_elbo(linear, data, rng, groups=20, size=500)
    errors[name] = np.mean(elbo - log_p), np.sqrt(np.sum(error**2)) / len(error)
    print(f"{name:<26} ELBO - log p(x) = {errors[name][0]:+.4f} +- {errors[name][1]:.4f} nats")

silent = [name for name, (difference, error) in errors.items() if abs(difference) < 5 * error]
print("\nnot seen:", ", ".join(silent))
assert silent == ["healthy", "adam_eps_hat", "elbo_at_posterior_mean"]

# %%
plt.figure(layout="constrained", figsize=(6, 2.8))
for i, (difference, _) in enumerate(errors.values()):
    plt.barh(i, difference, color="0.6" if difference < 0 else "tab:blue")
plt.yticks(range(len(errors)), list(errors))
plt.gca().invert_yaxis()
plt.axvline(0, color="black", lw=0.8)
plt.xlabel("ELBO - log p(x) in nats, exact posterior: should be 0")

# %% [markdown]
# *The picture:* a bar for each patient. The blue bars lie above log p(x), where no bound can be; the gray ones below it are wrong,
# too, since the posterior is exact here. Two patients and the healthy model have no bar.
#
# This one question sees nearly every wrong likelihood, KL, sampler and reduction at once. What it does not see is not
# part of `loss`: the optimizer, and the code that writes the report.

# %% [markdown]
# ## 5. What the report says: the order of the bounds
#
# `npvae.evaluation` estimates the ELBO and the tighter bounds
#
# $$
# L_K = \mathbb{E} \left[ \log \frac{1}{K} \sum_{k=1}^{K} \frac{p(x \mid z_k) p(z_k)}{q(z_k \mid x)} \right]
# \quad \text{with} \quad \mathrm{ELBO} = L_1 \le L_5 \le L_{50} \le \log p(x) \tag{4}
# $$
#
# (Burda et al. 2016). Take the same linear model and move its q a little away from the posterior. Then the order is strict, and
# the ELBO is known: log p(x) minus the KL between two Gaussians. (ELBO and L_1 are drawn separately, and agree up to the error of
# sampling.) Four ways to report it wrongly:


# %%
def reported(K=None):
    """ELBO (K = None) or L_K by npvae.evaluation, mean over the data; q is shifted and a little too wide."""
    rng = np.random.default_rng(5)
    linear, data, _ = linear_gaussian(rng)
    linear.encoder.layers[0].b += 0.3  # both means by 0.3, both log-variances by 0.3
    many = np.tile(data, (4000, 1))
    return np.mean(evaluation.elbo(linear, many, rng) if K is None else evaluation.log_likelihood(linear, many, rng, samples=K))


linear, data, log_p = linear_gaussian(np.random.default_rng(5))
exact_variance = np.exp(linear.encode(data)[1][0])
gap = 0.5 * np.sum(0.3**2 / exact_variance + np.expm1(0.3) - 0.3)
print(f"log p(x) {log_p.mean():.3f}, exact ELBO {log_p.mean() - gap:.3f}\n")
print("patient                        ELBO      L_1      L_5     L_50")
table = {}
for name in ("healthy", "elbo_at_posterior_mean", "mean_of_logs", "log_k_forgotten", "surrogate_reported_as_bound"):
    with admit(name):
        table[name] = [reported(K) for K in (None, 1, 5, 50)]
    print(f"{name:<27}", *(f"{value:8.3f}" for value in table[name]))
elbo, *L = table["healthy"]
assert abs(elbo - (log_p.mean() - gap)) < 0.05 and abs(L[0] - elbo) < 0.1 and L[0] < L[1] < L[2] < log_p.mean() + 0.02
assert table["elbo_at_posterior_mean"][0] > log_p.mean()
assert table["log_k_forgotten"][3] > log_p.mean() and table["surrogate_reported_as_bound"][3] > log_p.mean()
assert abs(table["mean_of_logs"][3] - table["mean_of_logs"][1]) < 0.1

# %% [markdown]
# At the posterior mean the "ELBO" beats log p(x): the noise that z has to pay for is missing. The mean of the logarithms does not
# grow with K: it is the ELBO again. Without -log K the result grows without end. The surrogate (the
# weighted mean of the logarithms, right as a source of gradients) is no bound when reported.

# %% [markdown]
# ## 6. What must not change: invariances
#
# No known answer is needed to say how two answers must be related. The convention is: sum over pixels and latents, mean over the
# batch. So
#
# - every example twice in the batch changes *nothing*, neither loss nor gradient;
# - one more latent with q = prior, at which the decoder does not look, changes *nothing*;
# - a pixel that comes twice adds *its own term* once more.
#
# **Predict, then run.** Which patient fails which? `kl_mean_over_latents`: `____`, `recon_mean_over_pixels`: `____`,
# `sum_over_the_batch`: `____`

# %%
questions = {
    "batch twice": lambda: check_duplicates(bernoulli_case()),
    "idle latent": lambda: check_inactive_latent(bernoulli_case()),
    "pixel twice": lambda: check_copied_pixel(gaussian_case()),
}
failed = {}
for name in ("healthy", "kl_mean_over_latents", "recon_mean_over_pixels", "sum_over_the_batch", "both_means"):
    failed[name] = []
    print(name)
    for question, ask in questions.items():
        try:
            with admit(name):
                ask()
        except AssertionError as error:
            failed[name].append(question)
            print(f"    {question}: {error}")
assert list(failed.values()) == [[], ["idle latent"], ["pixel twice"], ["batch twice"], ["idle latent", "pixel twice"]]

# %% [markdown]
# Each reduction has its own question. This is also the cheapest way to find out what a *foreign* implementation does, whose
# documentation says "loss" and no more.

# %% [markdown]
# ## 7. The optimizer: vectors
#
# Adam's first step has a known length whatever the gradient is, by (ADAM-5) lr times g / (g + eps). Small gradients tell the
# variants apart, since only there does eps matter.
#
# **Predict, then run.** With eps = 1e-8 and a gradient of 1e-7, how long is the first step of `adam_eps_hat`, as a part of the
# right one? `____`

# %%
print("patient                      g = 1e-2      1e-5      1e-7      1e-9")
ratios = {}
for name in ("healthy", "adam_eps_hat", "adam_eps_inside_sqrt", "adam_no_bias_correction", "adam_no_sqrt"):
    ratios[name] = []
    for g in (1e-2, 1e-5, 1e-7, 1e-9):
        theta = np.zeros(1)
        with admit(name):
            Adam(lr=1e-3).step(theta, np.array([g]))
        ratios[name].append(-theta[0] / (1e-3 * g / (g + 1e-8)))
    print(f"{name:<27}", *(f"{ratio:9.4f}" for ratio in ratios[name]))
assert np.allclose(ratios["healthy"], 1, rtol=1e-12) and all(np.max(np.abs(np.log(r))) > 0.5 for r in list(ratios.values())[1:])
assert abs(ratios["adam_eps_hat"][2] - 0.264) < 0.001

# %% [markdown]
# The table is the first step divided by the right first step. At g = 0.01, the size that one would try by hand, `adam_eps_hat`
# cannot be told from Adam. The gradients of a VAE on images are often below 1e-5.

# %% [markdown]
# ## 8. The other ward: wrong backward passes
#
# If the loss is right and the backward pass is wrong, the gradient check is the specialist. It also says *what* is wrong, when
# an explanation fits to rounding. What it says, block by block from the loss back:

# %%
BACKWARD = [
    "missing_batch_mean", "kl_gradient_missing", "reparam_missing_half", "no_gradient_through_sampling", "backward_without_beta",
    "heads_swapped", "tanh_derivative", "bias_mean", "last_row_only", "weight_transposed",
    "bce_gradient_half",
]  # fmt: skip
for name in BACKWARD:
    with admit(name):
        report = check_model(*bernoulli_case())
    wrong = [row.name for row in report.rows if row.verdict == "wrong"]
    print(f"{name}: {len(wrong)} of {len(report.rows)} blocks wrong, the first is {wrong[0]}")
    for line in report.diagnosis.splitlines():
        say("    " + line)
    print()
print("of the last one the museum says:", MISTAKES["bce_gradient_half"].unnamed)

# %% [markdown]
# A constant factor, a missing term, a swapped pair have a pattern, and are named. The last mistake has none: then the report
# says which part's backward alone is wrong, at which block, and no more. A guess would be worse than silence. Repair the first
# wrong block, counted from the loss; blocks after it may only have inherited its error.

# %% [markdown]
# ## 9. The whole clinic
#
# The museum's battery has one check for each question of this notebook, and some more: extreme arguments, dtypes, warnings,
# resumed runs. Which mistake is seen by which check is in the catalogue, and the test suite plants every one of them and holds
# the catalogue to it. First, our six:

# %%
for name in SIX:
    with planted(name):
        found = list(complaints())
    print(f"{name:<24} seen by {', '.join(found)}")
    assert found and "derivative" not in found and set(found) == set(MISTAKES[name].seen_by)

# %%
checks, families = list(CHECKS), list(FAMILIES)
ordered = sorted(MISTAKES.values(), key=lambda mistake: families.index(mistake.family))
seen = np.array([[check in mistake.seen_by for check in checks] for mistake in ordered])
color = np.where(seen, 1.0, 0.0)
color[:, checks.index("derivative")] *= 2
plt.figure(figsize=(6, 4.6), layout="constrained")
plt.imshow(
    color, aspect="auto", interpolation="nearest", cmap=plt.matplotlib.colors.ListedColormap(["white", "#5b8db8", "#d1622b"])
)
starts = [next(i for i, m in enumerate(ordered) if m.family == family) for family in families]
ends = [*starts[1:], len(ordered)]
for start in starts[1:]:
    plt.axhline(start - 0.5, color="0.6", lw=0.6)
for column in range(1, len(checks)):
    plt.axvline(column - 0.5, color="0.9", lw=0.6)
plt.yticks([(a + b - 1) / 2 for a, b in zip(starts, ends)], [f"{f} ({b - a})" for f, a, b in zip(families, starts, ends)])
plt.xticks(range(len(checks)), checks, rotation=90)
plt.tick_params(length=0)

consistent = [m for m in ordered if m.family in ("likelihood", "kl", "sampling", "reduction")]
backward = [m for m in ordered if m.family == "backward"]
for what, group in (("wrong losses, consistently differentiated", consistent), ("wrong backward passes", backward)):
    print(f"{what}: the derivative check sees {sum('derivative' in m.seen_by for m in group)} of {len(group)}")
assert not any("derivative" in m.seen_by for m in consistent)

# %% [markdown]
# *The picture:* a row for each mistake, in groups, and a column for each check; a filled cell means that the check sees it. The
# first column, derivative, is orange: nearly full in the group of the wrong backward passes, empty in the four
# groups above it. The other columns fill each other's gaps; none of them fills the picture.
#
# That is the answer to "my gradient check passed": good, and now the other questions. The same table in words is printed
# by `npvae mistakes`, and `npvae mistakes kl_missing_half` tells one of them.

# %% [markdown]
# ## Exercises
#
# Three patients without a name, only a number (which is the name, in disguise). `examine` says what the checks say. Find out
# what is wrong with each, and prove it with a number of your own; everything of sections 2 to 7 works within `with
# patient(number):`.


# %%
def patient(number):
    """The mistake of this number, planted."""
    return planted(number.to_bytes(40, "big").lstrip(b"\0").decode())


def examine(number):
    """What the gradient check and the battery say."""
    with patient(number):
        print("gradient:", "right" if check_model(model, x, eps, beta=1.7).ok else "wrong")
        for check, sentence in complaints().items():
            say(f"{check}: {sentence}")


ONE = 8510953181946760445786591292789
TWO = 2707863293554157934468674316018131437652591321130399135603
THREE = 563027598219387198666033682640561518
for number in (ONE, TWO, THREE):
    print(f"--- patient {number % 1000}")
    examine(number)

# %% [markdown]
# 1. The first patient. Vary mu and logvar, one at a time, and look at the KL.
# 2. The second patient. Mind the standard error.
# 3. The third patient. By how much is it off, and what is that number for three samples?
# 4. Somebody divides the whole objective, reconstruction and KL, by D. Is that a mistake? Which questions see it?
# 5. Write a check that sees `z_clipped`. Why did a check with mu = 0.5, logvar = 0 not?
# 6. Which checks of the battery see a mistake that no other check sees?
#
# <details><summary>Answer to 1</summary>
#
# `kl_without_mu`: the KL does not change with mu at all. It is 0 at mu = 2, logvar = 0, where 2 nats are right.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# `noise_shared_across_rows`: the mean over the rows has no spread at all, because every row has the same noise. Two rows with the
# same mu and logvar have the same z.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# `log_k_forgotten`: it is too large by 1.0986 at three samples, which is log 3.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# The optimum is the same, so the model that is learned may be, too; but the number is not nats per example, and is no bound on
# log p(x). The known answer sees it, and so do the printed values.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# Ask for the mean of z at mu = 8: it is 5. At mu = 0.5 the limits -5 and 5 are more than four standard deviations away, and
# hardly any draw reaches them.
#
# </details>
#
# <details><summary>Answer to 6</summary>
#
# The last cell prints them. Most checks are the only one for something; that is why there are so many.
#
# </details>

# %%
with patient(ONE) as mistake:
    print("1:", mistake.id, gaussian.kl_divergence(np.array([[0.0], [2.0]]), np.zeros((2, 1))))
    assert mistake.id == "kl_without_mu" and gaussian.kl_divergence(np.array([[2.0]]), np.zeros((1, 1)))[0] == 0
with patient(TWO) as mistake:
    z, _ = gaussian.reparameterize(np.zeros((4, 1)), np.zeros((4, 1)), np.random.default_rng(6).standard_normal((4, 1)))
    print("2:", mistake.id, z[:, 0].round(3))
    assert mistake.id == "noise_shared_across_rows" and np.ptp(z) == 0
linear, data, log_p = linear_gaussian(np.random.default_rng(7))
with patient(THREE) as mistake:
    excess = evaluation.log_likelihood(linear, data, np.random.default_rng(8), samples=3) - log_p
    print("3:", mistake.id, excess.round(4))
    assert mistake.id == "log_k_forgotten" and np.allclose(excess, math.log(3)) and f"{math.log(3):.4f}" == "1.0986"
print("4: seen by", ", ".join(MISTAKES["objective_divided_by_d"].seen_by))
with planted("z_clipped"):
    for m in (0.5, 8.0):
        z, _ = gaussian.reparameterize(
            np.full((1000, 1), m), np.zeros((1000, 1)), np.random.default_rng(9).standard_normal((1000, 1))
        )
        print(f"5: mean of z {z.mean():.2f} for mu = {m}")
alone = [name for j, name in enumerate(checks) if np.any(seen[:, j] & (seen.sum(axis=1) == 1))]
print("6:", ", ".join(alone))
assert len(alone) > len(checks) / 2

# %% [markdown]
# ## Summary
#
# | question | what it needs | what it finds |
# |---|---|---|
# | is the gradient that of the loss? | nothing but the code | wrong backward passes, by name |
# | is the KL that of samples? is it 0 at the prior, positive elsewhere? | the definition | wrong KLs |
# | has z the moments of q? | two averages | wrong samplers |
# | is the ELBO log p(x) where it must be? | a model that can be solved | nearly every wrong loss |
# | are the bounds in order? | the same model, another q | wrong reports |
# | what must not change? | a second batch | wrong reductions |
# | is the step the known step? | a few numbers | wrong optimizers |
#
# A check that passes says what it asked, and nothing else. Ask more than one question, and make sure that each of them can fail.
#
# **Next:** your own model: `npvae gradcheck --file my_layers.py` for its gradients, and this list for the rest.
