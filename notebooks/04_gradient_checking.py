# The source of 04_gradient_checking.ipynb: edit this file, then run: python notebooks/build.py 04_gradient_checking

# %% [markdown]
# # 4. Gradient checking: is this derivative right?
#
# **You will be able to** differentiate any function numerically in four ways and say how far to trust each; read "relative
# error 1/3" at a glance; verify a model of 652,824 parameters with a stated confidence; check your own function, layer or
# model in three lines, and read the report.
#
# **You need** Taylor's formula, and notebook 2 for the model with 27 parameters. **Time:** 60 minutes; the cells run in a few
# seconds.
#
# A gradient written by hand is wrong until it is checked. The check is simple: the derivative is the slope, so change a
# weight a little and see what the loss does. All the trouble is in the words "a little".

# %%
import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Bernoulli, ReLU
from npvae.teaching import worked_example
from npvae.verify import check_gradient, check_layer, check_model
from npvae.verify.derivatives import complex_step, richardson, taylor_rates, v_curve
from npvae.verify.directions import chi2_lower_quantile
from npvae.visual import plot_vcurve

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})
u = np.finfo(float).eps / 2  # unit roundoff: the relative error of one rounding, 1.1e-16

# %% [markdown]
# ## 1. One weight, by hand
#
# The model of notebook 2: three pixels, one latent, 27 parameters, and its noise, which stays fixed. Let everything stay
# fixed but the first weight of the encoder, so that the loss is a function f of one number $w$. Its derivative by backprop was
# -0.160884. Two ways to measure it, with a step $h$:
#
# $$
# \frac{f(w + h) - f(w)}{h} \quad \text{(forward difference)} \qquad
# \frac{f(w + h) - f(w - h)}{2h} \quad \text{(central difference)} \tag{1}
# $$

# %%
vae, x, eps = worked_example()
vae.loss_and_grad(x, eps)
theta, gradient = vae.params.theta.copy(), vae.params.grad.copy()
slope, w0 = gradient[0], theta[0]


def loss(theta):
    """The loss (ELBO-4) of the model with these 27 parameters, real or complex."""
    twin = vae.astype(theta.dtype)
    twin.params.theta = theta
    return twin.loss(x, eps).total


def f(w):
    """The same as a function of the first weight alone."""
    moved = theta.astype(np.result_type(w, float))
    moved[0] = w
    return loss(moved)


def forward(h):
    return (f(w0 + h) - f(w0)) / h


def central(h):
    return (f(w0 + h) - f(w0 - h)) / (2 * h)


print(f"backprop {slope:.10f}\n")
print("h        forward        its error     central        its error")
for h in (1e-1, 1e-2, 1e-3, 1e-4):
    print(f"{h:.0e}    {forward(h):.9f}   {forward(h) - slope:+.1e}      {central(h):.9f}   {central(h) - slope:+.1e}")
assert abs(slope + 0.160884) < 5e-7

# %% [markdown]
# A step ten times smaller makes the forward difference ten times better and the central one a hundred times. That is Taylor's
# formula, $f(w \pm h) = f \pm h f' + \frac{1}{2} h^2 f'' \pm \frac{1}{6} h^3 f''' + \ldots$, put into (1). In the central
# difference the even terms cancel:
#
# $$
# \frac{f(w + h) - f(w)}{h} = f' + \frac{h}{2} f'' + \ldots \qquad
# \frac{f(w + h) - f(w - h)}{2h} = f' + \frac{h^2}{6} f''' + \ldots \tag{2}
# $$
#
# **Predict, then run.** So take a really small step. How large is the error of the central difference at h = 1e-4, 1e-8,
# 1e-12, 1e-16? `____` `____` `____` `____`

# %%
for h in (1e-4, 1e-8, 1e-12, 1e-16):
    print(f"{h:.0e}    central {central(h):+.9f}   relative error {abs(central(h) - slope) / abs(slope):.0e}")
assert abs(central(1e-8) - slope) > abs(central(1e-4) - slope) and abs(central(1e-16) - slope) > 0.1 * abs(slope)

# %% [markdown]
# ## 2. The V
#
# The loss is stored with 16 digits. f(w + h) and f(w - h) agree in most of them when $h$ is small, the subtraction throws those
# away, and what is left of the rounding, about $u |f|$ with $u$ = 1.1e-16, is divided by $h$. At h = 1e-16 nothing is left at
# all. So there are two errors, and they pull the step in opposite directions:
#
# $$
# \mathrm{error}(h) \approx \frac{h}{2} |f''| + \frac{2u}{h} |f| \quad \text{(forward)} \qquad
# \mathrm{error}(h) \approx \frac{h^2}{6} |f'''| + \frac{u}{h} |f| \quad \text{(central)} \tag{3}
# $$
#
# The left term is *truncation*, the right one *rounding*. On logarithmic axes each is a straight line, and together they make
# a V. Here are the measured errors, and the lines of (3) with the numbers of this function. (Where its second and third
# derivative come from: section 4.)

# %%
second = (f(w0 + 1e-3 + 1e-30j) - f(w0 - 1e-3 + 1e-30j)).imag / 1e-30 / 2e-3  # f'' and f''': differences of exact slopes f'
third = (f(w0 + 1e-3 + 1e-30j) - 2 * f(w0 + 1e-30j) + f(w0 - 1e-3 + 1e-30j)).imag / 1e-30 / 1e-6
size = abs(f(w0))
print(f"|f| = {size:.4f}   |f''| = {abs(second):.4f}   |f'''| = {abs(third):.4f}")

steps = 10.0 ** np.arange(-14, -0.5, 0.25)
plt.figure(layout="constrained")
for rule, ink, marker, truncation, rounding in (
    (forward, "tab:blue", "o", steps / 2 * abs(second), 2 * u * size / steps),
    (central, "black", "s", steps**2 / 6 * abs(third), u * size / steps),
):
    plt.loglog(steps, [abs(rule(h) - slope) for h in steps], marker, color=ink, ms=3, label=rule.__name__)
    plt.loglog(steps, truncation, "-", color=ink, lw=1, label="  truncation")
    plt.loglog(steps, rounding, ":", color=ink, lw=1, label="  rounding")
plt.ylim(1e-13, 1e-1)
plt.gca().invert_xaxis()
plt.xlabel("step h, smaller to the right")
plt.ylabel("error of the slope")
plt.legend(loc="lower left", fontsize=8)
assert min(abs(central(h) - slope) for h in steps) < 1e-10 < 1e-9 < min(abs(forward(h) - slope) for h in steps)

# %% [markdown]
# *The picture:* two Vs, the step falling from left to right. On the left the points lie on the solid lines of truncation, of
# slope 1 (forward) and 2 (central); on the right they scatter below and around the dotted lines of rounding. The central V is
# deeper, and its bottom lies at a larger step.
#
# The bottom is where the two terms of (3) are about equal. If f and its derivatives are of one size, that is
#
# $$
# h \approx u^{1/2} \quad \text{with error about} \quad u^{1/2} \qquad \text{and} \qquad
# h \approx u^{1/3} \quad \text{with error about} \quad u^{2/3} \tag{4}
# $$
#
# **Predict, then run.** How many digits are right at best, forward and central? `____` `____`

# %%
for name, power, rule in (("forward", 1 / 2, forward), ("central", 1 / 3, central)):
    h = u**power
    print(f"{name}: h = {h:.1e}, expected error {u ** (1 - power):.0e}, measured {abs(rule(h) - slope):.0e}")
assert abs(forward(u**0.5) - slope) < 1e-7 and abs(central(u ** (1 / 3)) - slope) < 1e-9

# %% [markdown]
# Seven or eight digits of sixteen, and ten or eleven. The step is meant relative to the weight: for $|w| > 1$ it is multiplied
# by $|w|$, else $w + h$ itself would be rounded. A central difference with a step of 1e-4, as in many courses, is not wrong, but
# its error was 1e-8 above, and no smaller tolerance can be asked for.
#
# > **A mistake found in public code**, `fd_step_absolute`: one step for parameters of every size. In a public report of it
# > (tesseract-core#706) 400 checks of 400 accused a gradient that was right.

# %% [markdown]
# ## 3. Richardson: cancel one more term
#
# Call the central difference $c(h)$. Its error is $\frac{1}{6} f''' h^2$ plus terms in $h^4$. With half the step the first
# part is a quarter, so this combination has none of it:
#
# $$
# \frac{4 c(h/2) - c(h)}{3} = f' + O(h^4) \tag{5}
# $$
#
# The V gets a steeper left side, a bottom at $h \approx u^{1/5}$, and two more digits for twice the work.

# %%
h = u ** (1 / 5)
extrapolated = (4 * central(h / 2) - central(h)) / 3
print(f"h = {h:.1e}: central {abs(central(h) - slope):.0e}, Richardson {abs(extrapolated - slope):.0e}")
everything = richardson(loss, theta)
print(
    f"all 27 weights by richardson(loss, theta): norm error {np.linalg.norm(everything - gradient) / np.linalg.norm(gradient):.0e}"
)
assert abs(extrapolated - slope) < 1e-11

# %% [markdown]
# ## 4. The complex step: no subtraction, no rounding branch
#
# Step not along the real axis but across it. If f is analytic, Taylor's formula holds there, too, with $(ih)^2 = -h^2$:
#
# $$
# f(w + ih) = f + ih f' - \frac{h^2}{2} f'' - \frac{i h^3}{6} f''' + \ldots
# \quad \Rightarrow \quad \frac{\mathrm{Im} f(w + ih)}{h} = f' - \frac{h^2}{6} f''' + \ldots \tag{6}
# $$
#
# The value f and the derivative f' travel in different parts of one complex number. Nothing is subtracted, so nothing cancels,
# so $h$ can be as small as you like: at h = 1e-30 the truncation is 1e-60 and the rounding that of one evaluation. NumPy
# computes with complex numbers already; the function above needed no change. (Squire & Trapp 1998; Martins, Sturdza & Alonso
# 2003.)
#
# **Predict, then run.** The error at h = 1e-8, 1e-30 and 1e-200? `____`

# %%
for h in (1e-2, 1e-4, 1e-8, 1e-30, 1e-200):
    value = f(w0 + 1j * h).imag / h
    print(f"{h:.0e}    {value:.17f}   relative error {abs(value - slope) / abs(slope):.0e}")
assert abs(f(w0 + 1e-200j).imag / 1e-200 - slope) < 4 * u * abs(slope)

# %%
plot_vcurve(v_curve(loss, theta, gradient))

# %% [markdown]
# *The picture:* error against step for all 27 weights at once and four methods. Forward, central and Richardson fall, each
# more steeply than the one before, and rise again; the complex step falls as fast as the central difference, to 1e-16, and
# stays there.
#
# This is why npvae checks by the complex step: one evaluation for each derivative, as the forward difference, and all sixteen
# digits, so that a mistake of two parts in a billion is seen.
#
# ### The traps
#
# (6) holds if the *code* does to complex numbers what the formula means. A few functions do not. The function is a sum of
# absolute values, at (1.5, -1.5); its slopes are 1 and -1.

# %%
point = np.array([1.5, -1.5])
spellings = {
    "np.maximum(x, -x)": lambda x: np.maximum(x, -x),
    "np.abs(x)": lambda x: np.abs(x),
    "np.sign(x) * x": lambda x: np.sign(x) * x,
    "np.where(x > 0, x, -x)": lambda x: np.where(x > 0, x, -x),
}
for name, magnitude in spellings.items():
    slopes = [np.imag(magnitude(w + 1e-30j)) / 1e-30 for w in point]
    print(f"{name:<24} {slopes[0]:+.0f} {slopes[1]:+.0f}")

# %% [markdown]
# `np.abs` of a complex number is its length, a real number: derivative 0, and no warning. `np.sign` is $z / |z|$ since NumPy 2,
# so that the product has twice the slope. The other two are right, since comparisons of complex numbers look at the real part
# first. Whether a function is fit is best found by trying: does it give a complex number back, and does the slope agree with a
# central difference along a random direction? `complex_step` tries that each time, and refuses with the likely reason.

# %%
unfit = {
    "np.abs": lambda x: np.sum(np.abs(x)),
    "np.var": lambda x: np.var(x),
    "np.vdot": lambda x: np.vdot(x, x),
    "np.logaddexp": lambda x: np.sum(np.logaddexp(0, x)),
    "a float buffer": lambda x: np.sum(x.astype(float) ** 2),
}
for name, function in unfit.items():
    try:
        print(f"{name}: {complex_step(function, np.array([1.5, -1.5, 0.3]))}")
    except ValueError as error:
        print(textwrap.fill(f"{name}: {error}", 110, subsequent_indent="    "))

# %% [markdown]
# > `complex_unsafe_call` is what such a line is called in the catalog of mistakes. Your function may contain it: `check_gradient`
# > then takes Richardson's rule in place of the complex step, and says so.

# %% [markdown]
# ## 5. Kinks
#
# ReLU has no derivative at 0. Every convention for it (0, 1, 1/2) is a *subgradient*, a slope between that to the left and that
# to the right, and training does not care. A difference does: within $h$ of the kink it straddles two slopes and is neither.
#
# **Predict, then run.** ReLU at w = 3e-7 has slope 1. What is the central difference with h = 1e-6? `____`


# %%
def relu(w):
    return max(w, 0.0)


w, h = 3e-7, 1e-6
print(f"central difference {(relu(w + h) - relu(w - h)) / (2 * h):.4f}")
assert abs((relu(w + h) - relu(w - h)) / (2 * h) - 0.65) < 1e-6

h = 10.0 ** np.linspace(-8, -4, 200)
right, left = [np.array([(relu(w + s * step) - relu(w)) / (s * step) for step in h]) for s in (1, -1)]
plt.figure(layout="constrained")
plt.semilogx(h, right, "--", color="black", label="slope to the right")
plt.semilogx(h, (right + left) / 2, "-", color="tab:blue", label="central difference")
plt.semilogx(h, left, ":", color="black", label="slope to the left")
plt.gca().invert_xaxis()
plt.xlabel("step h, smaller to the right")
plt.ylabel("slope of ReLU at 3e-7")
plt.legend()
assert np.all((left <= 1 + 1e-8) & (right >= 1 - 1e-8))

# %% [markdown]
# *The picture:* for steps longer than 3e-7 the slope to the left, and with it the central difference, bends away from 1; the
# backprop value 1 always lies between the two one-sided slopes. For shorter steps all three agree.
#
# So a disagreement near a kink is no proof of anything. What decides: do the one-sided slopes stay apart as the step shrinks?
# Then it is a kink, and a value *between* them is right. Do they meet? Then the gradient must meet them. A black picture
# with biases that are 0 is the everyday case: every pre-activation of the first layer is exactly 0. By central differences:

# %%
rng = np.random.default_rng(1)
kinked = VAE.dense(6, (4,), 2, Bernoulli(), ReLU, rng=rng, dtype=float)
pictures = (rng.uniform(size=(3, 6)) > 0.5).astype(float)
pictures[0] = 0  # black
noise = rng.standard_normal((3, 2))
report = check_model(kinked, pictures, noise, method="central")
print(report)
assert report.ok and sum(row.kinks for row in report.rows) > 0

# %% [markdown]
# The report counts the entries "at a kink" and does not call them wrong. An error elsewhere in the same block, or a value
# outside of the two slopes, would be. The complex step, method="auto", has no such trouble here: it moves nothing along the
# real axis, so that it meets no kink, and at 0 itself it gives the convention of the code, slope 0.
#
# > **A mistake found in public code**, `relu_two_subgradients`: the forward pass keeps `x > 0`, the backward pass `x >= 0`. Both
# > are subgradients; only exactly at 0 do they differ.

# %% [markdown]
# ## 6. Is this difference large?
#
# ### Relative error 1/3
#
# Courses compare an analytic value $a$ with a numeric one $n$ by
#
# $$
# r = \frac{|a - n|}{|a| + |n|} \tag{7}
# $$
#
# A learner posts "difference = 0.333, I cannot find the bug" (XingxingHuang/deeplearning.ai#4). But the number names the bug. If
# $a = cn$ with $c > 1$, then
#
# $$
# r = \frac{c - 1}{c + 1} \quad \text{and back} \quad c = \frac{1 + r}{1 - r} \tag{8}
# $$
#
# **Predict, then run.** Which factor is r = 1/3? And 0.6? And r = 1? `____` `____` `____`

# %%
for r in (1 / 3, 0.6, 0.5, 0.0123):
    print(f"r = {r:.4f}: one side is {(1 + r) / (1 - r):.4f} times the other")
for c in (2, 4, 8, 128):
    print(f"factor {c}: r = {(c - 1) / (c + 1):.4f}")
assert abs((1 + 1 / 3) / (1 - 1 / 3) - 2) < 1e-12 and abs((1 + 0.6) / (1 - 0.6) - 4) < 1e-12

# %% [markdown]
# 1/3 is a factor of 2, say a forgotten 1/2; 0.6 is a factor of 4. That post had both: 2 in one weight and 4 in one bias. r = 1
# means that one side is 0 or that the signs differ.
#
# The reports of npvae divide by the larger of $|a|$ and $|n|$ in place of the sum, so that a factor c shows as 1 - 1/c: 0.5 for
# 2, 0.75 for 4, and 0.01 really is one percent. The factor itself you need not compute: the report names it.
#
# ### An absolute tolerance is blind
#
# `np.allclose` accepts $|a - n| \le \mathrm{atol} + \mathrm{rtol} |n|$. So does PyTorch's gradcheck, with atol = 1e-5 and
# rtol = 1e-3. Let f be $s \sum \tanh \theta$, and let the gradient be **exactly twice too large**. Small $s$ is no academic
# case: section 8 counts how many entries of a real gradient are that small.

# %%
rng = np.random.default_rng(1)
point = rng.standard_normal((4, 3))
print("s         allclose(atol=1e-5, rtol=1e-3)   check_gradient")
for s in (1e6, 1.0, 1e-3, 1e-4, 1e-5, 1e-6, 1e-9, 1e-12):
    true = s * (1 - np.tanh(point) ** 2)
    report = check_gradient(lambda theta, s=s: s * np.sum(np.tanh(theta)), point, 2 * true)
    passed = np.allclose(2 * true, true, atol=1e-5, rtol=1e-3)
    print(f"{s:.0e}     {'passes' if passed else 'fails':<30}   {'passes' if report.ok else 'fails'}")
    assert not report.ok and passed == (s <= 1e-5)
print("\n" + report.diagnosis)

# %% [markdown]
# Relative error alone will not do, either: where the true derivative is 0, rounding makes it 100 %. npvae allows a relative
# error (1e-9 by complex step) plus a *floor*, which is measured: for differences, the noise of f over the step; for the complex
# step, 100 roundings of the block's largest entry and 1000 of the largest of all. It is a column of every report.

# %% [markdown]
# ## 7. A verdict without a tolerance
#
# Go a step $h$ along some direction $d$ and subtract what the gradient predicts:
#
# $$
# R(h) = f(\theta + hd) - f(\theta) - h g \cdot d = h (\nabla f - g) \cdot d + \frac{h^2}{2} d^T f'' d + \ldots \tag{9}
# $$
#
# If $g$ is right, the first term is gone and R falls with the *square* of h; if not, only with h. So halve the step and look
# at the exponent, the base-2 logarithm of $R(h) / R(h/2)$: the *rate*. 2 is right, 1 is wrong, and no tolerance had to be chosen.

# %%
for name, g in (("right", gradient), ("3 % too large", 1.03 * gradient), ("twice too large", 2 * gradient)):
    rates = taylor_rates(loss, theta, g, h=0.02, halvings=8)
    print(f"{name:<16}", *(f"{rate:.2f}" for rate in rates))
assert np.all(np.abs(taylor_rates(loss, theta, gradient, h=0.02, halvings=8) - 2) < 0.1)
assert taylor_rates(loss, theta, 2 * gradient, h=0.02, halvings=8)[-1] < 1.1

# %% [markdown]
# A small error needs a small step before it shows: 3 % drifts from near 2 to near 1. The method works for functions that are
# noisy or not fit for the complex step; what it cannot do is say where the error sits.

# %% [markdown]
# ## 8. 652,824 parameters in under a second
#
# One derivative at a time, a model for MNIST needs 652,824 evaluations of the loss. But along a *direction* $d$ one evaluation
# gives the whole inner product, $\nabla f \cdot d = \mathrm{Im} f(\theta + ihd) / h$. Let $e = g - \nabla f$ be the unknown error
# of our gradient. For random directions with independent standard normal entries
#
# $$
# s = g \cdot d - \nabla f \cdot d = e \cdot d = \sum_j e_j d_j \sim N(0, |e|^2) \tag{10}
# $$
#
# since normal numbers add up to a normal number, and variances add. So each direction is a draw whose *typical size is the norm
# of the error*, wherever in the 652,824 entries the error sits. With k of them
#
# $$
# \frac{s_1^2 + \ldots + s_k^2}{|e|^2} \sim \chi_k^2 \tag{11}
# $$
#
# a sum of k squares of standard normal numbers, which is rarely near 0. Let $q$ be so small a number that the sum lies below it
# with probability alpha only. Then, with confidence 1 - alpha,
#
# $$
# |e| \le \sqrt{\frac{s_1^2 + \ldots + s_k^2}{q}} \tag{12}
# $$
#
# **How to find q.** Half a sum of two such squares is exponentially distributed: the radius of a 2-D normal point satisfies
# $P(r^2 / 2 > y) = e^{-y}$. So half a chi-square of k squares is the sum of k/2 exponential waiting times, the time of event
# number k/2 of a Poisson process. It comes before time y if at least k/2 events happen until then:
#
# $$
# P(\chi_k^2 \le 2y) = e^{-y} \sum_{j \ge k/2} \frac{y^j}{j!} \tag{13}
# $$
#
# which is a few lines of code and a bisection: `npvae.verify.directions.chi2_lower_quantile`.
#
# **Predict, then run.** We want confidence 1 - 1e-9. By which factor must the root of the sum of squares be multiplied with k =
# 1 direction, and with 8? `____` `____`

# %%
alpha = 1e-9
print(f"k =  1: {math.sqrt(2 / math.pi) / alpha:.1e}")  # P(|N(0, 1)| < t) = t sqrt(2 / pi) for small t
for k in (2, 4, 8, 16):
    print(f"k = {k:>2}: {1 / math.sqrt(chi2_lower_quantile(k, alpha)):.1f}")

rng = np.random.default_rng(2)
error = rng.standard_normal(50) ** 3  # any error vector
s = rng.standard_normal((20_000, 8, 50)) @ error  # 20,000 experiments of 8 directions
bounds = np.sqrt(np.sum(s**2, axis=1) / chi2_lower_quantile(8, 0.01))
print(f"the 99 % bound holds in {100 * np.mean(bounds >= np.linalg.norm(error)):.1f} % of 20,000 experiments")
assert abs(np.mean(bounds >= np.linalg.norm(error)) - 0.99) < 0.004

# %% [markdown]
# One direction proves next to nothing: it may happen to be almost perpendicular to the error. Eight cost eight evaluations and
# a factor of 6. By hand, on the full model with its 784 pixels, 400 hidden units and 20 latents:

# %%
rng = np.random.default_rng(3)
big = VAE.dense(784, (400,), 20, rng=rng, dtype=float)
images, noise = (rng.uniform(size=(8, 784)) < 0.2).astype(float), rng.standard_normal((8, 20))
big.loss_and_grad(images, noise)
twin, s = big.astype(complex), []
for _ in range(8):
    d = rng.standard_normal(big.params.size)
    twin.params.theta = big.params.theta + 1e-30j * d
    s.append(big.params.grad @ d - twin.loss(images, noise).total.imag / 1e-30)
bound = np.linalg.norm(s) / math.sqrt(chi2_lower_quantile(8, 1e-9))
print(
    f"{big.params.size:,} parameters: |error| / |gradient| <= {bound / np.linalg.norm(big.params.grad):.1e} at confidence 1 - 1e-9"
)
small = np.mean(np.abs(big.params.grad) / 784 < 1e-5)
print(f"of a loss that is the mean over the pixels, {100 * small:.0f} % of the entries are below 1e-5")
assert big.params.size == 652_824 and bound < 1e-12 * np.linalg.norm(big.params.grad)

# %% [markdown]
# `check_model` does the same, with one refinement: the directions are scaled block by block, so that the bound holds for the
# small blocks, too. Now spoil the gradient: **one entry of the 652,824, by 1 %.** To find it, halve: is the error in the first
# half of the block, or in the second? Twenty questions are enough for a million entries.


# %%
twins = {dtype: big.astype(dtype) for dtype in (float, complex)}


def big_loss(theta):
    """The loss of the big model for a dict of named arrays, real or complex."""
    twin = twins[complex if np.iscomplexobj(theta["encoder.0.W"]) else float]
    for name, value, _ in twin.params:
        value[...] = theta[name]
    return twin.loss(images, noise).total


parameters = {name: value.copy() for name, value, _ in big.params}
spoiled = {name: grad.copy() for name, _, grad in big.params}
spoiled["decoder.0.W"][7, 123] *= 1.01
report = check_gradient(big_loss, parameters, spoiled)
print(report)
assert report.worst.name == "decoder.0.W" and report.worst.index == (7, 123) and report.evaluations < 300

# %% [markdown]
# Seen, blamed on the right block, and found in it, with fewer than 300 evaluations of the loss. What the bound says, and what
# not: it holds at this one point theta, for directions that know nothing of the error; and it says that g is the gradient
# of *this* loss, not that this is the right loss.

# %% [markdown]
# ## 9. Your own code
#
# **A function.** Three lines, in a notebook or in a test for pytest. theta is an array or a dict of named arrays:

# %%
theta_own = {"w": np.array([0.3, -1.2, 2.0]), "b": np.array([0.5])}
f_own = lambda t: np.sum(np.log(np.cosh(t["w"] + t["b"])))  # noqa: E731    the function ...
g_own = {"w": np.tanh(theta_own["w"] + theta_own["b"]), "b": np.tanh(theta_own["w"] + theta_own["b"])[:1]}  # ... its gradient
report = check_gradient(f_own, theta_own, g_own)
print(report)

# %% [markdown]
# Read it from the top. *The sentence:* right or wrong, and the worst entry. *The diagnosis:* what is probably wrong, if an
# explanation fits to rounding; if none does, the report says so, and never guesses. *The table,* last block first, the order
# in which backprop works, so that the first wrong line is the nearest to the bug. *The last line:* how it was measured.
#
# Here `b` has one entry, and all three terms of the sum depend on it, but the gradient has only the first:
# `np.sum(np.tanh(...))` would be right. No simple pattern there, so no diagnosis, but the block is the right one. In a test,
# the last line is `report.assert_ok()`.
#
# Some comparisons cannot be made. Then there is no report, but one sentence:

# %%
for f_bad, g_bad in (
    (lambda t: np.sum(t**2) + rng.standard_normal(), 2 * point),
    (lambda t: t**2, 2 * point),
    (lambda t: np.sum(t**2), 2 * point.T),
):
    try:
        check_gradient(f_bad, point, g_bad)
    except (ValueError, TypeError) as error:
        print(error)

# %% [markdown]
# **A layer.** Any class with forward and backward in this form; each parameter `W` leaves its gradient in `dW`. This one has
# two bugs. Can you see them?


# %%
class MyDense:
    parameters = ("W", "b")

    def __init__(self, n_in, n_out, rng):
        self.W, self.b = rng.standard_normal((n_in, n_out)), np.zeros(n_out)

    def forward(self, x):
        y = np.tanh(x @ self.W + self.b)
        return y, (x, y)

    def backward(self, dy, cache):
        x, y = cache
        da = dy * (1 - y**2)
        self.dW = x.T @ da
        self.db = da.mean(axis=0)
        return dy @ self.W.T


rng = np.random.default_rng(4)
report = check_layer(MyDense(5, 3, rng), rng.standard_normal((4, 5)))
print(report)

# %% [markdown]
# `check_layer` weights the outputs with random numbers `dy`, which is what the layer above would send, and checks `dx` (the
# block x) and each parameter. `b`: the mean over the batch in place of the sum, named. `x`: `dy` in place of `da` in the last
# line, which skips the tanh. W, between the two, is right. One bug, one block: that is the merit of checking layers alone. In a
# whole model every block upstream of a wrong dx is wrong.
#
# > **A common mistake here**, `vacuous_cotangent`: all weights `dy` equal to 1. The sum of a softmax is always 1, so its gradient
# > is 0, and a backward pass that returns zeros passes. Exercise 4 tries it.
#
# **A model.** `check_model(model, x, eps)` differentiates reconstruction and KL separately, which is why it can say *which* of
# them lacks a factor. Then it checks each layer alone, from the loss back, and names the first that is wrong:


# %%
class Forgetful(VAE):
    """A VAE whose backward pass forgets beta."""

    def loss_and_grad(self, x, eps, beta=1.0):
        super().loss_and_grad(x, eps, 1.0)
        return self.loss(x, eps, beta)


model = Forgetful.dense(5, (4,), 3, rng=rng, dtype=float)
report = check_model(model, rng.uniform(size=(6, 5)), rng.standard_normal((6, 3)), beta=4.0)
print(report)
assert not report.ok and "beta" in report.diagnosis

# %% [markdown]
# ## Exercises
#
# The answers are folded; the last cell computes them.
#
# 1. The relative difference (7) is 0.9. By which factor do the two differ? And which r has a gradient that lacks 1/B, for a
#    batch of 32?
# 2. A function computes in float32, where u is 6e-8. What are the best step and the best relative error of a central
#    difference?
# 3. `np.linalg.norm(x)` is not fit for the complex step. Write the same function so that it is.
# 4. Write a softmax layer whose backward returns zeros. What does `check_layer` say with `dy` all ones, and what with its own?
# 5. How many evaluations of the loss does a check of all 652,824 parameters need with forward differences, central
#    differences, and eight directions?
# 6. Taylor rates for a function that is linear in theta: what is R when g is right, and what would you see?
#
# <details><summary>Answer to 1</summary>
#
# (1 + 0.9) / (1 - 0.9) = 19. Without 1/B it is 32 times too large: r = 31/33 = 0.939.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# By (4), h near the cube root of 6e-8, which is 4e-3, and an error near its square, 1.5e-5: five digits. Check in float64, and
# compare float32 with that.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# `np.sqrt(np.sum(x**2))`: the root and the square are analytic, and nothing is conjugated.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# With ones the true dx is zero as well: the check proves nothing, and the report says so in place of "right". With random dy
# it is wrong everywhere: "not propagated".
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# 652,825 with forward differences (each moved once, and f itself), 1,305,648 with central ones, and eight.
#
# </details>
#
# <details><summary>Answer to 6</summary>
#
# R is 0 up to rounding for every h: there is no second term, and no rate. `taylor_rates` gives nan, not a number.
#
# </details>

# %%
print(f"1: {(1 + 0.9) / (1 - 0.9):.0f} and {31 / 33:.3f}")
assert f"{(1 + 0.9) / (1 - 0.9):.0f} {31 / 33:.3f}" == "19 0.939"
print(f"2: h = {(2.0**-24) ** (1 / 3):.0e}, error {(2.0**-24) ** (2 / 3):.1e}")
root = lambda x: np.sqrt(np.sum(x**2))  # noqa: E731
print("3:", np.max(np.abs(complex_step(root, point) - point / root(point))) < 1e-15)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.real.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True), None

    def backward(self, dy, cache):
        return np.zeros_like(dy)


scores = rng.standard_normal((4, 3))
with_ones, with_its_own = check_layer(Softmax(), scores, np.ones((4, 3))), check_layer(Softmax(), scores)
print("4:", with_ones.diagnosis)
print("  ", with_its_own.diagnosis)
assert not with_ones.ok and not with_its_own.ok and with_its_own.worst.verdict == "wrong"
P = big.params.size
print(f"5: {P + 1:,}, {2 * P:,}, 8")
assert (P + 1, 2 * P) == (652_825, 1_305_648)
rates = taylor_rates(lambda t: np.sum(3 * t), point, 3 * np.ones_like(point))
print("6:", rates)
assert np.all(np.isnan(rates))

# %% [markdown]
# ## Summary
#
# | judge | error at best | evaluations for each derivative | trust it for |
# |---|---|---|---|
# | forward difference | u to the power 1/2: 1e-8 | 1 | a first look |
# | central difference | u to the power 2/3: 2e-11 | 2 | code that you cannot run on complex numbers |
# | Richardson | u to the power 4/5: 2e-13 | 4 | the same, better |
# | complex step | u: 1e-16 | 1 | everything else |
# | random directions | a bound at a stated confidence | 8 in all | large models |
# | Taylor rates | no tolerance at all | a handful in all | a second opinion |
#
# A check compares two derivatives of one function. It has never heard of log p(x).
#
# **Next:** [05_bug_clinic](05_bug_clinic.ipynb): the gradient check passed, and the model is wrong.
