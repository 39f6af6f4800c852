# The source of 07_five_articles.ipynb: edit this file, then run: python notebooks/build.py 07_five_articles

# %% [markdown]
# # 7. Five articles, read carefully
#
# **You will be able to** read a published formula or program of a VAE line by line and say what it does when it is run; turn
# any mixture of sums and means into the beta that it amounts to; recognize a rewarded KL, a missing sample and a sample without
# a mean by their numbers; and repair each of them in one line.
#
# **You need** notebooks 1, 3 and 5. **Time:** 75 minutes; the cells run in less than a minute.
#
# npvae began with five articles from the web, in Chinese, of the kind that one finds first when one looks for "VAE". Each
# explains the model and prints a short TensorFlow program. *None of the five programs runs as printed, and each of them, mended
# until it runs, trains something else than its text says.* They are not alone: several of the mistakes below stand in
# well-known public code, too, which `npvae mistakes NAME` cites.
#
# | | article | its system | recipe, put right |
# |---|---|---|---|
# | 1 | Adam and the VAE | dense, squared error, Adam | `adam-mnist` |
# | 2 | optimizing a VAE | 784-128-64-20 and back, weight beta | `beta-mlp` |
# | 3 | the loss function of the VAE | 128-64 and back, cross-entropy | `bce-mlp` |
# | 4 | the convolutional VAE | convolutions 32 and 64, latent size 2 | `conv-mnist` |
# | 5 | nonlinear problems | 2-D data, 100 hidden units, latent size 2 | `nonlinear-2d` |
#
# `npvae recipes` lists them, and `npvae train --recipe beta-mlp --data digits` runs one. Here we go the other way: we take a
# line *as printed*, plant it in npvae, train on the bundled digits, and look at what comes out. The line that is right stands
# beside it. Every section ends with a summary in Chinese (小结), the language of the articles.
#
# All numbers are nats per example, unless they are called squared errors.

# %%
import contextlib
import math
import os
import textwrap

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, ReLU, Sigmoid, Tanh, evaluation, load_digits
from npvae.beyond import Conv2D, ConvTranspose2D, capacity
from npvae.core import gaussian  # the module: planted functions are found in it
from npvae.core.gaussian import kl_divergence  # the name: this one stays right, whatever is planted
from npvae.core.optimizers import SGD, adam_update
from npvae.data.toy import load_toy, log_density
from npvae.training import fit
from npvae.verify.mistakes import MISTAKES, planted
from npvae.verify.mistakes.left_out import LEFT_OUT

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})

digits = load_digits()
x, test = digits.floats("train"), digits.floats("test")  # (1437, 64), (360, 64), in [0, 1]
D, mean_picture = x.shape[1], x.mean(axis=0)
eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]  # of the pixels' covariance, the largest first

# computed once from the 60,000 training pictures, divided by 255; this notebook has no MNIST
MNIST = dict(D=784, mean=0.130660476, sd=0.308107804, mean_square=0.112002579, top_eigenvalue=5.116788)


def seeded(seed):
    """A generator of our own for each purpose."""
    return np.random.default_rng(seed)


def plant(*names):
    """All these mistakes at once, for a with statement."""
    stack = contextlib.ExitStack()
    for name in names:
        stack.enter_context(planted(name))
    return stack


def train(model, data=x, mistakes=(), epochs=40, lr=3e-3, **settings):
    """Adam on batches of 32, with these mistakes planted -> History; afterwards the library is healthy again."""
    settings = dict(batch_size=32, optimizer=Adam(lr), rng=seeded(2), progress=False) | settings
    with plant(*mistakes):
        return fit(model, data, epochs=epochs, **settings)


def measure(model, data=test, scale=1.0):
    """Squared error of a picture (z drawn), its KL, the typical sigma: by the right formulas, on the test set."""
    mu, logvar = model.encode(data)
    z = mu + np.exp(logvar / 2) * model.noise(len(data), seeded(3))
    error = np.sum((model.likelihood.mean(model.decode(z)) - data) ** 2, axis=1).mean() / scale**2
    return float(error), float(kl_divergence(mu, logvar).mean()), float(np.exp(logvar / 2).mean())


def crash(line, **names):
    """Run one printed line, in which only these names exist, and say what Python says."""
    try:
        exec(line, names)
    except Exception as error:
        print(f"{line}\n{textwrap.fill(f'{type(error).__name__}: {error}', 110, initial_indent='    ', subsequent_indent='    ')}")


def draw_rows(rows, axes=None):
    """Ten pictures a row, ink dark on white, the rows named."""
    if axes is None:
        axes = plt.figure(figsize=(6, 0.1 + 0.47 * len(rows)), layout="constrained").gca()
    strips = [np.pad(images[:10].reshape(10, 8, 8), [(0, 0), (1, 1), (1, 1)]).transpose(1, 0, 2) for images in rows.values()]
    axes.imshow(np.concatenate([strip.reshape(10, 100) for strip in strips]), cmap="gray_r", vmin=0, vmax=1)
    axes.set_yticks([4.5 + 10 * i for i in range(len(rows))], list(rows))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


collapsed = float(np.sum((test - mean_picture) ** 2, axis=1).mean())
print(f"{len(x)} + {len(test)} digits; the mean picture has a squared error of {collapsed:.2f} on the test set")
print(f"largest eigenvalue {eigenvalues[0]:.3f}")
assert abs(collapsed - 4.72) < 0.01

# %% [markdown]
# ## 1. Article 1: Adam and the VAE
#
# **What it describes.** Encoder, decoder, the loss in one formula, the five lines of Adam, and a program: MNIST, squared error,
# ten epochs of batches of 32.
#
# **What is right.** Adam. The five formulas are (ADAM-1) to (ADAM-5), with eps outside the root and after the correction, where
# many get it wrong. The sampling line is (REP-1).

# %%
rng = seeded(0)
theta, g, m, v = rng.standard_normal((4, 1000))
v, t, alpha, beta1, beta2, epsilon = v**2, 7, 1e-3, 0.9, 0.999, 1e-8
m_t = beta1 * m + (1 - beta1) * g  # the article's lines, letter by letter
v_t = beta2 * v + (1 - beta2) * g**2
m_hat, v_hat = m_t / (1 - beta1**t), v_t / (1 - beta2**t)
theta_t = theta - alpha / (np.sqrt(v_hat) + epsilon) * m_hat
assert np.allclose(theta_t, adam_update(theta, g, m, v, t, alpha, beta1, beta2, epsilon)[0], rtol=1e-14)
print("the article's Adam is Algorithm 1 of Kingma & Ba")

# %% [markdown]
# ### The formula: a bound that is called a loss
#
# $$
# \mathcal{L}_{VAE} = E_{q(z \mid x)} [\log p(x \mid z)] - D_{KL}[q(z \mid x) || p(z)] \tag{1}
# $$
#
# is what one *maximizes*: the ELBO (ELBO-3). The article calls it the loss. Whoever believes the word, and minimizes it, trains
# away from the data. (The article's own program has the signs of a loss.) It is `elbo_minimized` in the museum.
#
# **Predict, then run.** The "loss" after 1, 2 and 3 epochs of minimizing (1)? `____`

# %%
SSE = math.sqrt(0.5)  # the sigma at which (NOR-1) is the squared error without 1/2, but for a constant


def dense(likelihood, Z=2, hidden=(128,), activation=Tanh, scale=1.0, **settings):
    """The notebook's model: D - hidden - Z and back."""
    settings = dict(rng=seeded(1), output_mean=scale * mean_picture) | settings
    return VAE.dense(D, hidden, Z, likelihood, activation, **settings)


history = train(dense(Gaussian(SSE)), mistakes=["elbo_minimized"], epochs=3)
print("minimizing (1):             ", *(f"{loss:.1e}" for loss in history["loss"]))
history = train(dense(Gaussian(SSE)), epochs=3)
print("minimizing its negative:    ", *(f"{loss:.2f}" for loss in history["loss"]))

# %% [markdown]
# The right line: `loss = -(log p - KL)`, that is (ELBO-4).
#
# ### The program: two means
#
# The program takes `tf.reduce_mean` of the squared error over everything, and of the KL over everything:
#
# $$
# \frac{1}{D} \sum_d (x_d - \hat{x}_d)^2 + \frac{1}{Z} \sum_z KL_z
# = \frac{1}{D} \left( \sum_d (x_d - \hat{x}_d)^2 + \frac{D}{Z} KL \right) \tag{2}
# $$
#
# A factor before the whole loss does not matter. Within the bracket stand the sums of (ELBO-4), with **beta = D/Z**. The
# article leaves Z open; with 20 latents, as in article 2, MNIST has 784/20 = 39.2. And since the squared error without 1/2 is a
# Gaussian of variance 1/2, this is the ELBO of a Gaussian of variance D/(2Z) = 19.6, where the largest eigenvalue of MNIST is
# 5.12: a linear VAE would not switch on a single latent.
#
# The claim can be proved to the last bit. Our model has D/Z = 64/2 = 32. Train it with (2), as printed, and once more with the
# sums and beta = 32, from the same start on the same batches and noise.
#
# **Predict, then run.** With plain gradient descent the rates must be in the ratio D = 64. And with Adam? `____`


# %%
def path(optimizer, mistakes=(), beta=1.0, steps=300):
    """All parameters after each step."""
    model, rng, thetas = dense(Gaussian(SSE), hidden=(32,), dtype=np.float64), seeded(2), []
    with plant(*mistakes):
        for _ in range(steps):
            batch, eps = x[rng.integers(len(x), size=32)], model.noise(32, rng)
            model.loss_and_grad(batch, eps, beta)
            optimizer.step(model.params.theta, model.params.grad)
            thetas.append(model.params.theta.copy())
    return np.array(thetas)


def apart(a, b):
    """The largest difference of any parameter after 1, 10, 100 and 300 steps."""
    return [float(np.abs(a[i] - b[i]).max()) for i in (0, 9, 99, 299)]


Z = 2
sgd = apart(path(SGD(lr=0.001 * D), ["both_means"]), path(SGD(lr=0.001), beta=D / Z))
means = path(Adam(lr=0.01), ["both_means"])
adam = apart(means, path(Adam(lr=0.01), beta=D / Z))
adam_eps = apart(means, path(Adam(lr=0.01, eps=D * 1e-8), beta=D / Z))
other = apart(means, path(Adam(lr=0.01), beta=1.0))
moved = float(np.abs(means[-1] - means[0]).max())
print("means against sums                       1 step    10       100      300 steps")
for name, row in [
    ("SGD, beta = D/Z, rate 1/D", sgd),
    ("Adam, beta = D/Z, same rate", adam),
    ("Adam, beta = D/Z, same rate, eps times D", adam_eps),
    ("Adam, beta = 1", other),
]:
    print(f"{name:<40}", *(f"{value:.1e} " for value in row))
print(f"on the way a parameter moved by up to {moved:.2f}")
assert sgd == adam_eps == [0.0] * 4 and 0 < adam[-1] < 0.3 * min(moved, other[-1])
assert MNIST["D"] / 20 == 39.2 and MNIST["D"] / 40 > MNIST["top_eigenvalue"] and eigenvalues[0] < D / (2 * Z)

# %% [markdown]
# Zero, not "small": 64 and 2 are powers of two, and multiplying by them loses no bit. Adam divides by the size of the gradient,
# so that it keeps its rate; only its eps notices the factor 1/D, and with an eps of D times 1e-8 there is nothing to notice.
# *Two means are beta = D/Z, step by step.*
#
# ### The program: pixels from 0 to 255
#
# The article loads MNIST and hands the integers over as they are; nowhere are they divided by 255. The squared error is then
# 65,025 times as large, so that beta is 65,025 times smaller. The two mistakes pull in opposite directions, and the second
# wins: 39.2/65,025 = 0.0006 in all on MNIST. npvae refuses such pixels; as floats it has to believe them.
#
# **Predict, then run.** Four trainings: two means (as in the formula (2)); two means and pixels 0..255 (as printed); sums;
# sums, with sigma learned. Which have a KL near 0, which a sigma near 0? `____`

# %%
pixels = np.round(255 * x)  # our digits as 8-bit pictures
crash("model.loss(pixels, eps)", model=dense(Gaussian(SSE)), pixels=pixels.astype(np.uint8), eps=np.zeros((len(x), 2)))
square = MNIST["mean_square"]
print(f"squared error per pixel at the start: {255**2 * square:,.0f} on MNIST, {square:.3f} when divided")
print(f"beta in all: {39.2 / 255**2:.4f} on MNIST, {D / Z / 255**2:.4f} here\n")
assert 39.2 / 65_025 < 0.00061 and round(255**2 * square) == 7283

first = {
    "two means": (dense(Gaussian(SSE)), x, ["both_means"], 1),
    "as printed": (dense(Gaussian(SSE), scale=255), pixels, ["both_means"], 255),
    "sums": (dense(Gaussian(SSE)), x, [], 1),
    "sigma learned": (dense(Gaussian(0.3, learn=True)), x, [], 1),
}
pictures, article1 = {"test digits": test}, {}
print("                squared error     KL    sigma    codes within radius 2")
for name, (model, data, mistakes, scale) in first.items():
    train(model, data, mistakes)
    error, kl, sigma = article1[name] = measure(model, scale * test, scale)
    mu, logvar = model.encode(scale * test)
    z = mu + np.exp(logvar / 2) * model.noise(len(test), seeded(4))
    inside = 100 * np.mean(np.sum(z**2, axis=1) < 4)
    pictures[name] = model.reconstruct(scale * test) / scale
    print(f"{name:<15}     {error:9.2f}  {kl:5.2f}    {sigma:.3f}    {inside:.0f} % (86 % of the prior)")
draw_rows(pictures)
assert article1["two means"][1] < 0.01 and abs(article1["two means"][0] - collapsed) < 0.02
assert article1["as printed"][2] < 0.1 and article1["as printed"][1] > 15
assert 0.2 < article1["sums"][1] < 0.5 and 2 < article1["sigma learned"][1] < 3.2 and article1["sigma learned"][0] < 3.7

# %% [markdown]
# *The picture:* ten test digits, and below them their reconstructions. Two means: ten times the same gray blot, the mean
# picture. As printed: digits, some of them others than the original. Sums: blots of a few kinds. Sigma learned: digits.
#
# Two means alone give the mean picture: the posterior has collapsed. With pixels up to 255 the KL counts for nothing; sigma
# goes towards 0, the codes leave the region where the prior has its mass, and the thing is an autoencoder. The sums put the
# beta right. What remains is that the squared error has a sigma of its own, 0.71, far too wide for pixels between 0 and 1;
# learned, it comes out near 0.23, and two latents carry 2.5 nats.
#
# ### The program: the loop
#
# The rows are never shuffled; what is printed is the loss of a batch, as if it were that of the epoch; and the optimizer asks a
# Python function for its parameters, which is where the program stops. What does order cost? On these digits, as they come, and
# sorted by class, as many collections are:

# %%
crash("def vae(x): ...\nvae.trainable_variables")
by_class = x[np.argsort(digits.train_labels, kind="stable")]
print("\nELBO on the test set, sigma learned, for three seeds of training:")
order = {}
for name, data, mistakes in [
    ("shuffled", x, []),
    ("never shuffled", x, ["never_shuffled"]),
    ("sorted, never shuffled", by_class, ["never_shuffled"]),
]:
    elbos = []
    for seed in (2, 12, 22):
        model = dense(Gaussian(0.3, learn=True))
        train(model, data, mistakes, rng=seeded(seed))
        elbos.append(float(evaluation.elbo(model, test, seeded(5), samples=10).mean()))
    order[name] = np.array(elbos)
    print(f"    {name:<24}", *(f"{elbo:6.2f}" for elbo in elbos))
price = {name: float((order["shuffled"] - elbos).mean()) for name, elbos in order.items()}
print(f"    the price of never shuffling: {price['never shuffled']:.1f} nats, if sorted {price['sorted, never shuffled']:.1f}")
assert 0.3 < price["never shuffled"] < 0.7 and 1.2 < price["sorted, never shuffled"] < 2.2
assert (order["never shuffled"] < order["shuffled"].min()).all()

losses = {}
for mistake in ("healthy", "last_batch_as_epoch"):
    history = train(dense(Gaussian(0.3, learn=True)), mistakes=[] if mistake == "healthy" else [mistake])
    losses[mistake] = np.array(history["loss"][-10:])
    print(f"{mistake}: the last ten epochs between {losses[mistake].min():.2f} and {losses[mistake].max():.2f}")
assert np.ptp(losses["healthy"]) < 0.3 and np.ptp(losses["last_batch_as_epoch"]) > 2

# %% [markdown]
# The order costs half a nat as the digits come, and between one and two when they are sorted. The loss of a last batch jumps by
# nats while nothing happens; the mean over the epoch stands still within a tenth or so. Right: a new permutation in each epoch,
# and the mean of the batches, weighted by their sizes.
#
# ### 小结：文章一，Adam 与 VAE
#
# 文章介绍了 VAE 的两个网络、一条损失公式、Adam 的五个更新式，以及在 MNIST 上训练的程序。
# Adam 的公式完全正确，就是原论文的算法 1；重参数化那一行也对。
# 公式部分把证据下界（ELBO）称作“损失函数”：照字面去最小化它，训练会背离数据，必须先取负号。
# 程序对重构误差和 KL 散度都取平均，等价于求和形式下 beta = D/Z：
# MNIST 配 20 个隐变量时是 39.2，本库自带的 8×8 手写数字配 2 个隐变量时是 32：后验坍塌，重构只剩一张平均图像。
# 我们用逐步相同的参数轨迹验证了这一点，误差为零。
# 像素没有除以 255，又使有效的 beta 缩小到 1/65025；两个错误合在一起，得到的其实是普通的自编码器。
# 此外，数据从不打乱，打印的是单个批次的损失，而且向一个普通函数索取可训练参数，程序会直接报错。
# 正确的写法：像素除以 255；对像素和隐变量求和，对批次取平均；
# 最小化“重构误差 + KL”，并让高斯似然的 sigma 一起学习。

# %% [markdown]
# ## 2. Article 2: optimizing a VAE
#
# **What it describes.** Autoencoders, GANs, variational inference; a loss with a weight beta; two update rules; a program with
# layers 784-128-64-20 and back, Adam at 1e-3, a hundred epochs.
#
# ### The formula: a reward for the KL
#
# $$
# \mathcal{L} = \frac{1}{2N} \sum_{i=1}^{N} ||x_i - x'_i||^2 - \beta KL(q(z \mid x) || p(z)) \quad \text{is to be minimized} \tag{3}
# $$
#
# The first term is a loss, the second comes from a bound, with the bound's sign. Minimized, the pair pays beta nats for each
# nat of KL, and a KL has no upper limit. Right is a plus. (And the text calls the thing a lower bound, which one would
# maximize.)
#
# ### The program: no KL at all
#
# The program minimizes the mean squared error and nothing else. Its encoder has one head, `z_mean`; sigma is read from a
# variable that does not exist, `z_mean_stddev`; and the noise is a `layers.Input`, a placeholder that no one fills.
# (`layers.Model`, the base class of all three, does not exist either.) There are two ways to mend it: take sigma = 1, or give
# the encoder a second head.
#
# Five runs, 2,000 steps each. The KL is always measured by (KL-1), whatever the loss makes of it.
#
# **Predict, then run.** What does the KL do with the minus sign; without a KL in the loss, with sigma = 1 and with a head; with
# the plus sign? `____`


# %%
def watch_kl(mistakes=(), beta=1.0, likelihood=None, steps=2000):
    """Article 2's network, Adam at 1e-3, batches of 32 -> the model, and the KL of each step's batch by (KL-1)."""
    model = dense(likelihood or Gaussian(sigma=1.0), 20, (128, 64), ReLU, init="he", dtype=np.float64)
    optimizer, rng, kl = Adam(lr=1e-3), seeded(2), []
    with plant(*mistakes), np.errstate(all="ignore"):
        for _ in range(steps):
            batch, eps = x[rng.integers(len(x), size=32)], model.noise(32, rng)
            mu, logvar = model.encode(batch)
            kl.append(kl_divergence(mu, 0 * logvar if "no_logvar_head" in mistakes else logvar).mean())
            model.loss_and_grad(batch, eps, beta)
            optimizer.step(model.params.theta, model.params.grad)
    return model, np.array(kl)


second = {
    "- KL (the formula)": dict(mistakes=["kl_sign"]),
    "no KL, sigma = 1": dict(mistakes=["no_logvar_head", "kl_omitted"]),
    "no KL, with a head": dict(mistakes=["kl_omitted"]),
    "+ KL, beta = 1": dict(),
    "+ KL, beta = 0.05": dict(beta=0.05),
}
runs = {name: watch_kl(**settings) for name, settings in second.items()}
plt.figure(layout="constrained")
for (name, (_, kl)), style in zip(runs.items(), (":", "--", "--", "-", "-")):
    color = "tab:blue" if name.endswith(("head", "0.05")) else "0.6" if style == "--" else "black"
    plt.semilogy(kl, style, label=name, color=color, lw=2 if style == ":" else 1.2)
plt.ylim(1e-5, 1e9)
plt.xlabel("step")
plt.ylabel("KL of a batch in nats")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
rewarded, free = runs["- KL (the formula)"][1], runs["no KL, with a head"][1]
for limit in (1e3, 1e6, 1e100):
    print(f"minus sign: the KL passes {limit:.0e} nats at step {np.argmax(rewarded > limit)}")
print(f"no KL, with a head: {free[100]:.0f} nats after 100 steps, {free[-1]:.0f} after 2,000, and sigma", end=" ")
print(f"{measure(runs['no KL, with a head'][0])[2]:.3f}")
mu = runs["no KL, sigma = 1"][0].encode(test)[0]
picture = runs["no KL, sigma = 1"][0].decode(mu + seeded(3).standard_normal(mu.shape))
blind = float(np.mean(np.sum((picture - test) ** 2, axis=1)))
scatter = float(mu.std(axis=0).mean())
print(f"no KL, sigma = 1: the means scatter by {scatter:.3f}; squared error {blind:.2f}, the mean picture's {collapsed:.2f}")
assert np.argmax(rewarded > 1e6) < 100 and np.argmax(rewarded > 1e100) < 300 and free[-1] > 100
assert abs(blind - collapsed) < 0.1 and scatter < 0.05

# %% [markdown]
# *The picture:* the KL during training, on a logarithmic scale. With the minus sign (dotted) it leaves the picture almost
# vertically. Without a KL in the loss (dashed) it falls to nothing if sigma is 1, and climbs to more than a hundred nats if
# there is a head. With the plus sign (solid) and beta = 1 it falls to nothing; with beta = 0.05 it stays near ten.
#
# With the minus sign the KL passes a million nats within a hundred steps. Without a KL and with a head, noise is a mere
# nuisance: sigma goes towards 0, the codes move apart, and nothing asks them to be where the prior is. That was to be expected.
# The surprise is the mildest repair: *no KL at all, and the posterior collapses.* Twenty latents with a noise of 1 drown the
# small means of a new network; the decoder learns to ignore them, and from then on no gradient reaches the encoder.
#
# ### The right sign, and still nothing: sigma = 1
#
# With the plus sign and beta = 1 the posterior collapses. The reason stands in the first term of (3). Sum over pixels, mean
# over the N examples: that reduction is right, and 1/2 of a squared error is (NOR-1) with **sigma = 1**, but for the constant
# D/2 log 2 pi. Pixels between 0 and 1 do not scatter with a standard deviation of 1. A linear decoder uses latent i if and only
# if the i-th eigenvalue of the pixels exceeds beta times sigma squared (it is probabilistic PCA; Lucas et al. 2019), and the
# largest of these digits is 0.69.
#
# **Predict, then run.** How many of the 20 latents live at beta = 1, 0.1, 0.05? `____`

# %%
print(f"the constant is {D / 2 * math.log(2 * math.pi):.1f} nats here\n")
print("              linear theory     used    squared error      KL")
used = {}
for beta in (1.0, 0.1, 0.05):
    name = f"+ KL, beta = {beta:g}"
    model, _ = runs[name] if name in runs else watch_kl(beta=beta)
    used[beta] = int(evaluation.active_units(model, x).sum()), measure(model)
    error, kl, _ = used[beta][1]
    theory = np.sum(eigenvalues > beta)
    print(f"beta = {beta:<4g}       {theory:2d} of 20      {used[beta][0]:2d}          {error:.2f}      {kl:6.2f}")
model, _ = watch_kl(likelihood=Gaussian(0.1, learn=True))
learned, sigma = measure(model), math.exp(model.likelihood.log_sigma[0])
alive = evaluation.active_units(model, x).sum()
print(f"sigma learned: {sigma:.2f}; {alive} used, squared error {learned[0]:.2f}, KL {learned[1]:.2f}")
assert np.sum(eigenvalues > 1) == used[1.0][0] == 0 and round(eigenvalues[0], 2) == 0.69 and round(math.sqrt(0.05), 2) == 0.22
assert abs(used[1.0][1][0] - collapsed) < 0.1 and used[0.05][1][0] < 0.7 * collapsed
assert used[0.1][0] < 20 and used[0.05][0] >= 16 and 0.1 < sigma < 0.15 and learned[0] < 0.4 * collapsed

# %% [markdown]
# So beta = 0.05 is not a taste for "less regularization". It is sigma = 0.22 under another name, and (with the sigma stated) an
# honest ELBO. The corrected lines: two heads, `z = mu + exp(logvar/2) * eps`, `loss = recon + beta * KL`, and beta said
# together with the sigma that it goes with; or let the model learn sigma, from a small one on: a wide sigma at the start
# invites the collapse.
#
# ### The words: whose parameter is phi?
#
# The article calls theta the parameters of encoder *and* decoder, and phi those of the *prior*, "learned by the encoder from
# the data", in the same paragraph in which the prior is the standard normal. Theta is the decoder, phi the encoder, and the
# prior N(0, I) has no parameters at all:

# %%
names = [name for name, _, _ in model.params]
print(textwrap.fill(", ".join(names), 110))
assert all(name.startswith(("encoder.", "decoder.", "likelihood.")) for name in names)

# %% [markdown]
# Nor does a VAE "combine autoencoder and GAN": it has no adversary, and is the older of the two. Its reference list, printed
# over and over again, gives Rezende et al. another title, and both VAE papers another conference. They are *Auto-Encoding
# Variational Bayes* (ICLR 2014) and *Stochastic Backpropagation and Approximate Inference in Deep Generative Models* (ICML
# 2014).
#
# ### 小结：文章二，优化 VAE 的参数
#
# 文章介绍了自编码器、变分推断、带权重 beta 的损失函数和两条参数更新规则，并给出 784-128-64-20 的程序。
# 公式写成“重构误差减去 beta 乘 KL”并要求最小化，等于奖励 KL：
# 实验中不到一百步，KL 就超过一百万纳特。正确的符号是加号。
# 程序里根本没有 KL，只有均方误差；编码器也没有对数方差的输出，sigma 取自一个不存在的变量，
# 噪声只是一个没有人填入数据的占位符，程序无法运行。
# 若把 sigma 补成 1，噪声会淹没均值，解码器学会忽略 z，即使没有 KL，后验也会坍塌；
# 若补上对数方差的输出，sigma 会趋于 0，编码四散，成为普通的自编码器。
# 1/(2N) 的归约方式是对的，但它相当于 sigma = 1 的高斯似然，对 0 到 1 之间的像素太宽，
# 所以即使符号正确，beta = 1 时后验也会坍塌；应取较小的 beta（并说明对应的 sigma），或者学习 sigma。
# 文中说 phi 是先验的参数，这也不对：theta 属于解码器，phi 属于编码器，先验 N(0, I) 没有参数。

# %% [markdown]
# ## 3. Article 3: the loss function of the VAE
#
# **What it describes.** The two terms of the loss and the balance between them; squared error or cross-entropy; a program with
# layers 128-64 and back, and the binary cross-entropy.
#
# ### The formula: half a cross-entropy
#
# $$
# CE = - \sum_{i=1}^{N} x_i \log(\hat{x}_i) \tag{4}
# $$
#
# is right for classes, whose probabilities sum to one: what one class gains another loses. Pixels are not like that. Each has
# its own probability, and (4) lets all of them go to 1. The second term is missing: + (1 - x) log(1 - x̂), as in (BER-1).
#
# ### The program: a mean beside a sum
#
# The program uses Keras' cross-entropy, which has both terms, but it is the *mean* over the pixels; beside it the KL is
# *summed* over the latents. By the argument of (2) that is **beta = D**: 784 on MNIST, 64 here. All that a perfect
# reconstruction could win is the distance from ceiling to floor, divided by D; the KL costs more from the start.
#
# ### The prose: standard deviation or log-variance
#
# The text says that the encoder gives "a mean vector and a standard deviation vector"; so does the comment in the program. The
# code takes the same numbers for a log-variance. If sampler and KL disagree about it, the model cheats:
# `std_head_used_as_logvar` multiplies the noise by the head, and the KL reads the head as log-variance. A head of 0 is then "no
# noise at all" to the sampler, and "sigma = 1, nothing to pay" to the KL.
#
# **Predict, then run.** Which of the four reports the lowest loss in training, and which is the best model? `____`

# %%
third = {
    "one term": ["bce_missing_second_term"],
    "mean over pixels": ["recon_mean_over_pixels"],
    "std as logvar": ["std_head_used_as_logvar"],
    "right": [],
}
pictures, article3 = {"test digits": test}, {}
print("                     reported     test loss, right formulas     sigma   mean pixel")
for name, mistakes in third.items():
    model = dense(Bernoulli(), 10, (128, 64), ReLU, init="he")
    reported = train(model, mistakes=mistakes, lr=2e-3).records[-1]["loss"]
    loss = model.loss(test, model.noise(len(test), seeded(4)))
    pictures[name] = model.reconstruct(test)
    sigma, pixel = np.exp(model.encode(test)[1] / 2).mean(), pictures[name].mean()
    article3[name] = reported, loss, pixel
    parts = f"{loss.reconstruction:6.2f} + {loss.kl:.2f} = {loss.total:6.2f}"
    print(f"{name:<20}    {reported:5.2f}     {parts}      {sigma:.2f}    {pixel:.2f}")
with planted("std_head_used_as_logvar"):
    z, _ = gaussian.reparameterize(np.zeros((1000, 1)), np.zeros((1000, 1)), seeded(6).standard_normal((1000, 1)))
    print(f"\nstd as logvar, asked for mu = 0, logvar = 0: KL {kl_divergence(0 * z, 0 * z).sum():.0f}, variance of z {z.var():.0f}")
assert z.var() == 0 and article3["one term"][0] < 0.01 and article3["one term"][2] > 0.7 and article3["one term"][1].total > 400
assert article3["mean over pixels"][1].kl < 0.01 and article3["mean over pixels"][0] < 0.5
assert article3["std as logvar"][0] < 18 and article3["std as logvar"][1].total > 100
assert abs(article3["right"][0] - 24) < 1 and abs(article3["std as logvar"][0] - 16) < 1
assert min(article3, key=lambda name: article3[name][1].total) == max(article3, key=lambda name: article3[name][0]) == "right"
assert max(article3, key=lambda name: article3[name][1].total) == "one term"


# %%
def cross_entropy(p, target):
    """(BER-1) for probabilities p, summed over pixels, mean over rows; 0 log 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(target > 0, target * np.log(p), 0) + np.where(target < 1, (1 - target) * np.log1p(-p), 0)
    return float(-np.mean(np.sum(terms, axis=1)))


target = x.astype(np.float64)
floor, ceiling = cross_entropy(target, target), cross_entropy(np.broadcast_to(target.mean(axis=0), x.shape), target)
print(f"floor {floor:.1f}, ceiling {ceiling:.1f}; to win with a mean over pixels: {(ceiling - floor) / D:.2f} nats")
assert abs((ceiling - floor) / D - 0.21) < 0.005 and abs(article3["mean over pixels"][0] - ceiling / D) < 0.005

figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.6), width_ratios=(1, 3), layout="constrained")
p = np.linspace(0.01, 0.99, 197)
left.plot(p, -0.3 * np.log(p), "k:", label="one term")
left.plot(p, -0.3 * np.log(p) - 0.7 * np.log(1 - p), "k-", label="both")
left.set(xlabel="reconstruction of x = 0.3", ylabel="cost in nats", ylim=(0, 2.8))
left.legend(fontsize=7, loc="upper left")
draw_rows(pictures, right)
assert abs(p[np.argmin(-0.3 * np.log(p) - 0.7 * np.log(1 - p))] - 0.3) < 0.01

# %% [markdown]
# *The picture:* on the left the cost of one pixel of value 0.3: with one term it falls all the way to x̂ = 1, with both it is
# lowest at 0.3. On the right ten test digits and four reconstructions. One term: every pixel that ever had ink is full of it
# (on MNIST's black ground: all white). Mean over pixels: ten times the mean picture. The last two rows are digits.
#
# The lowest loss, 0.00, is that of the worst model, a picture full of ink. The next, 0.42, is that of the mean picture: the
# ceiling divided by 64. The third, with 16 nats against 24, looks better than the right model, and its pictures are sharper;
# measured as the VAE that it claims to be, it has more than 100 nats. The highest of the four losses is that of the best model.
# *A loss is not comparable with another until both are the same formula.*
#
# ### The program: names that do not exist, and a fixed batch
#
# `vae_loss(inputs, outputs)` is all that Keras hands over; `mean` and `logvar` are local to the model's `call`. And the noise
# has `batch_size` rows, whereas the last batch of our 1,437 digits has 29.

# %%
crash("kl_loss = -0.5 * np.sum(1 + logvar - mean**2 - np.exp(logvar), axis=1)", np=np, inputs=x, outputs=x)
rows = len(x) % 64
crash("z = mean + np.exp(0.5 * logvar) * eps", np=np, mean=np.zeros((rows, 2)), logvar=np.zeros((rows, 2)), eps=np.ones((64, 2)))
one = np.zeros((1, 2)) + np.ones((64, 2))  # a single picture, and the noise of a full batch
print(f"a single picture passes in silence: its z has shape {one.shape}")
crash("model.loss(x[:29], eps)", model=dense(Bernoulli()), x=x, eps=np.zeros((64, 2)))
assert rows == 29

model = dense(Bernoulli(), 10, (128, 64), ReLU, init="he")
train(model, mistakes=["kl_omitted"], lr=2e-3)
constant = model.loss(test, model.noise(len(test), seeded(4)))
sigma = np.exp(model.encode(test)[1] / 2).mean()
print(f"a KL that is a constant: {constant.reconstruction:.1f} + {constant.kl:.0f} nats, sigma {sigma:.3f}")
assert constant.kl > 50

# %% [markdown]
# Whoever mends the first crash by a global `logvar` left over from another cell has a KL that is a *constant*: its gradient is
# 0, and the model is an autoencoder with 85 nats of KL that nobody counts. Right: compute the KL where mu and logvar are, in
# one function with the reconstruction; draw `eps` with the shape of mu.
#
# One sentence more: "the distribution of z is unknown, *therefore* reparameterization". It is known: N(mu, sigma²), we have
# just written it down. The reason is the gradient: a draw has no derivative with respect to mu and sigma, mu + sigma eps has
# one (REP-2).
#
# ### 小结：文章三，VAE 的损失函数
#
# 文章说明了损失函数的两部分（重构误差与 KL 散度）以及二者的平衡，并给出用交叉熵训练的程序。
# 公式里的交叉熵只有 x·log(x̂) 一项，缺少 (1-x)·log(1-x̂)：
# 使它最小的是全白的图像，此时损失为 0，却什么也没学到。
# 程序对像素取平均，对隐变量却求和，等价于 beta = D（MNIST 上是 784），后验必然坍塌。
# 正文说编码器输出“标准差”，代码却当作对数方差使用；
# 若采样和 KL 的理解不一致，模型会“作弊”：报告的损失更低，真正的 ELBO 却差得多。
# 损失函数里的 mean 和 logvar 是不存在的变量；噪声的形状固定为 batch_size，最后一个较小的批次就会报错。
# 重参数化也不是因为“分布未知”，而是为了让梯度能够穿过采样。
# 正确的写法：两项都写全，对像素和隐变量都求和，对批次取平均；
# eps 的形状与 mu 相同，KL 在有 mu 和 logvar 的地方计算。

# %% [markdown]
# ## 4. Article 4: the convolutional VAE
#
# **What it describes.** The idea of a VAE in four steps; an objective with beta; a program for MNIST with two convolutions, two
# latents, and transposed convolutions back to the picture, 50 epochs, validated on the test set.
#
# **What is right.** The objective,
#
# $$
# E_{q} [\log p(x \mid z)] - \beta D_{KL}(q || p(z)) \tag{5}
# $$
#
# is that of the beta-VAE, as something to be maximized (the next sentence minimizes it, as "loss"); and the answer on choosing
# beta, a larger one makes the model simpler, is right, too. The words around it are not: theta and phi are named the wrong way
# round (theta is the decoder's, phi the encoder's), and Kullback and Leibler have got other names.
#
# ### The program: no sample, no KL
#
# Nothing of (5) is in the program. It joins encoder and decoder and minimizes the squared error: a plain autoencoder (AE-1),
# with a tanh on its code. It has no prior, and there is nothing to sample from. Whoever samples all the same, z ~ N(0, I) as
# the text promises, feeds the decoder with codes that it has never seen, since a tanh stays between -1 and 1.
#
# **Predict, then run.** What share of N(0, 1) lies outside of -1..1? What share of a plane lies outside of the square? `____`


# %%
def networks(width, *last, output=Sigmoid):
    """An encoder with `width` outputs and a decoder of two latents; dense, since convolutions change nothing in the argument."""
    he = dict(rng=seeded(1), init="he", dtype=np.float32)
    encoder = Chain([Dense(D, 128, **he), ReLU(), Dense(128, 64, **he), ReLU(), Dense(64, width, **he), *last])
    decoder = Chain([Dense(2, 64, **he), ReLU(), Dense(64, 128, **he), ReLU(), Dense(128, D, **he)])
    if output is not None:
        decoder = Chain([*decoder.layers, output()])
    return encoder, decoder


def nearest(images):
    """The digit of the training picture that is most like each image: how many are 0, 1, ..., 9."""
    distance = np.sum(x**2, axis=1) - 2 * images @ x.T
    return np.bincount(digits.train_labels[np.argmin(distance, axis=1)], minlength=10)


as_printed = Autoencoder(*networks(2, Tanh()), Gaussian(1.0), 2)
corrected = VAE(*networks(4), Gaussian(0.2, learn=True), 2)
for model in (as_printed, corrected):
    train(model, epochs=60, lr=2e-3)

noise = seeded(3).standard_normal((1000, 2))
outside = np.any(np.abs(noise) > 1, axis=1)
drawn = {"article 4": as_printed.decode(noise), "corrected": corrected.decode(noise)}
one, both = 100 * math.erfc(1 / math.sqrt(2)), 100 * (1 - math.erf(1 / math.sqrt(2)) ** 2)
print(f"outside of -1..1: {one:.0f} % of one latent; of the plane {both:.0f} %, of these draws {100 * outside.mean():.0f} %")
error = np.mean(np.sum((as_printed.reconstruct(test) - test) ** 2, axis=1))
print(f"reconstruction: squared error {error:.2f} with the mean as code; corrected {measure(corrected)[0]:.2f} with a sample")
print("\ndigit       ", *(f"{digit:4d}" for digit in range(10)))
counts = {name: nearest(images) for name, images in (drawn | {"4, outside": drawn["article 4"][outside]}).items()}
for name, count in counts.items():
    print(f"{name:<12}", *(f"{n:4d}" for n in count))
assert round(one) == 32 and round(both) == 53
assert counts["article 4"].min() < 40 and counts["article 4"].max() > 200 and counts["corrected"].min() > 40
assert np.sort(counts["4, outside"])[1] < 3

figure, (left, right) = plt.subplots(1, 2, figsize=(6, 2.6), width_ratios=(1, 2.2), layout="constrained")
left.plot(*noise.T, ".", color="0.8", ms=2, label="N(0, I)")
left.plot(*as_printed.encode(x).T, ".", color="tab:blue", ms=2, label="codes")
left.add_patch(plt.Rectangle((-1, -1), 2, 2, fill=False, lw=1))
left.set(aspect="equal", xlim=(-3.2, 3.2), ylim=(-3.2, 3.2))
left.legend(loc="lower right", fontsize=7, markerscale=4)
draw_rows(
    {
        "z inside": drawn["article 4"][~outside],
        "z outside": drawn["article 4"][outside],
        "corrected": drawn["corrected"],
        "": drawn["corrected"][10:],
    },
    right,
)

# %% [markdown]
# *The picture:* on the left the codes of the training digits, pressed into the square of the tanh and against its border, and a
# thousand draws of the prior around them. On the right decoded draws: of article 4's autoencoder, first from inside the square,
# then from outside, where the strokes are hard and some digits never come; below, twenty of the corrected model, all kinds.
#
# Its reconstructions are good, which is why nobody notices. But the samples are no samples: some digits come over two hundred
# times in a thousand, one hardly at all, and outside of the square two of the ten as good as never. The corrected lines: a
# linear layer with 2 Z outputs, `z = mu + exp(logvar/2) * eps`, and the KL.
#
# ### The program: 7, 9, 11, 13
#
# The decoder starts from 7 x 7 and applies three transposed convolutions of kernel 3, without a stride. Each grows the picture
# to
#
# $$
# n' = (n - 1) \cdot stride + kernel - 2 \cdot padding + extra \tag{6}
# $$
#
# **Predict, then run.** How large is the picture at the end? (It is compared with 28 x 28.) `____`

# %%
rng = seeded(7)
sizes = {"as printed": [7], "stride 2": [7]}
twice = dict(stride=2, padding=1, output_padding=1)
for name, settings in (("as printed", [{}, {}, {}]), ("stride 2", [twice, twice, dict(padding=1)])):
    picture = rng.standard_normal((1, 7, 7, 1))
    for setting in settings:
        picture, _ = ConvTranspose2D(1, 1, 3, **setting, rng=rng).forward(picture)
        n, stride, padding = sizes[name][-1], setting.get("stride", 1), setting.get("padding", 0)
        sizes[name].append(picture.shape[1])
        assert sizes[name][-1] == (n - 1) * stride + 3 - 2 * padding + setting.get("output_padding", 0)
    print(f"{name:<10}:", " -> ".join(map(str, sizes[name])))
assert sizes == {"as printed": [7, 9, 11, 13], "stride 2": [7, 14, 28, 28]}

images = rng.standard_normal((5, 28, 28))  # as the article's InputLayer has them: no axis for the channels
crash("convolution.forward(images)", convolution=Conv2D(1, 32, 3, rng=rng), images=images)
print("with the axis:", Conv2D(1, 32, 3, padding=1, rng=rng).forward(images[..., None])[0].shape)

# %% [markdown]
# A picture of 13 x 13 against one of 28 x 28 is an error, and so are images without an axis of channels. Stride 2, padding 1
# and one extra row and column make 7 -> 14 -> 28; the last layer keeps the size. That is the decoder of the recipe
# `conv-mnist`.
#
# ### The prose: standardize, then a sigmoid
#
# Step 1 of the text scales the data to mean 0 and standard deviation 1. (The program divides by 255.) With the sigmoid of the
# program at the end the decoder could never reach them: most of MNIST is background, and background becomes negative.
#
# **Predict, then run.** Which part of the squared error can no decoder with a sigmoid remove? `____`

# %%
m, s = float(x.mean()), float(x.std())
standardized = (x - m) / s
best = np.clip(standardized, 0, 1)  # the nearest that a sigmoid can give
irreducible, total = (float(np.mean(np.sum(d**2, axis=1))) for d in (standardized - best, standardized))
print(f"background: {-MNIST['mean'] / MNIST['sd']:.3f} on MNIST, {-m / s:.3f} here, where a sigmoid stays above 0")
print(f"irreducible: {irreducible:.1f} of {total:.1f} per picture, {100 * irreducible / total:.0f} %")
for name, output in (("sigmoid", Sigmoid), ("linear", None)):
    model = Autoencoder(*networks(2, output=output), Gaussian(1.0), 2)
    train(model, standardized, epochs=30, lr=2e-3)
    error = np.mean(np.sum((model.reconstruct(standardized) - standardized) ** 2, axis=1))
    print(f"trained, {name} output: {error:.1f}")
    assert (error > irreducible) == (name == "sigmoid")
crash("model.loss(standardized, eps)", model=dense(Bernoulli()), standardized=standardized, eps=np.zeros((len(x), 2)))
assert abs(MNIST["mean"] / MNIST["sd"] - 0.424) < 0.0005 and 0.4 < irreducible / total < 0.5

# %% [markdown]
# Divide by 255 under a sigmoid, or standardize under a linear output (`npvae train --standardize`); not both.
#
# ### 小结：文章四，卷积 VAE
#
# 文章介绍了 VAE 的思想、带 beta 的目标函数，并给出 MNIST 上的卷积网络程序。
# 目标函数（期望对数似然减去 beta 乘 KL）本身是对的，但它应当被最大化，文中却称之为损失。
# theta 和 phi 的归属写反了：theta 是解码器的参数，phi 是编码器的参数；Kullback 和 Leibler 的译名也不对。
# 程序里既没有采样，也没有 KL，只是一个编码带 tanh 的普通自编码器：
# 重构不错，但没有先验。tanh 把编码限制在 -1 到 1 之间，而标准正态有 32% 的质量在区间之外，
# 从先验采样解码，得到的只是反复出现的少数几种数字。
# 步长为 1 的转置卷积把 7 变成 9、11、13，永远到不了 28；输入还缺少通道维。
# 正文把数据标准化，输出层却是 sigmoid：背景变成负值（MNIST 上是 -0.424），这部分误差永远无法消除。
# 正确的写法：两个线性的输出头、重参数化采样、加上 KL；步长取 2；像素除以 255。

# %% [markdown]
# ## 5. Article 5: nonlinear problems
#
# **What it describes.** Autoencoder and VAE; an objective with a threshold; data in the plane with quadratic structure; a
# program with 100 hidden units and two latents, 1,000 points, a hundred steps; a scatter plot of data and "generated" points.
#
# ### The program: noise without the mean
#
# The mean of q is computed, enters the KL, and is never used: `z = random.normal(...) * exp(z_log_var / 2)`. That is z = s eps.
# Nor is the decoder's output what the loss takes it for: a cross-entropy for *probabilities* gets logits. And the KL, already
# summed over the latents, is summed over axis 1 once more: an error; and whoever mends it by leaving `axis=1` away has a sum
# over the batch. The cross-entropy is a mean over the two columns (beta = D = 2, as in article 3), and the program asks Keras
# for a `MeanMetric`, which it has not got (it is `Mean`).
#
# **Predict, then run.** Without mu in z, what can z still say of x? Where does the reconstruction stay? `____`

# %%
thresholded = (x >= 0.5).astype(np.float32)
ceilings = {}
for name, train_rows, all_rows in (
    ("gray", x, np.concatenate([x, test])),
    ("thresholded", thresholded, np.concatenate([thresholded, test >= 0.5])),
):
    rows = [np.asarray(r, np.float64) for r in (train_rows, all_rows)]
    ceilings[name] = [cross_entropy(np.broadcast_to(r.mean(axis=0), r.shape), r) for r in rows]
    print(f"{name}: the mean picture has {ceilings[name][0]:.1f} nats ({ceilings[name][1]:.1f} on train and test together)")
assert [round(value[1], 1) for value in ceilings.values()] == [27.1, 25.1]

fifth = {
    "right": [],
    "noise without mean": ["noise_without_mean"],
    "KL summed twice": ["kl_summed_twice"],
    "both": ["noise_without_mean", "kl_summed_twice"],
    "logits as probabilities": ["logits_as_probabilities"],
    "extra jitter": ["extra_jitter"],
    "clipped": ["z_clipped"],
}
article5 = {}
print("\n                             reported in training        spread of mu, sigma     test, right formulas")
for name, mistakes in fifth.items():
    model = dense(Bernoulli(), hidden=(100,), activation=ReLU, init="he")
    last = train(model, mistakes=mistakes, epochs=30).records[-1]
    mu, logvar = model.encode(x)
    spread = mu.std(), np.exp(logvar / 2).std()
    total = model.loss(test, model.noise(len(test), seeded(4))).total
    article5[name] = last["reconstruction"], last["kl"], *spread, total
    print(f"{name:<24}   {last['reconstruction']:7.2f} + {last['kl']:.2f} = {last['loss']:7.2f}", end="")
    print(f"         {spread[0]:.2f}   {spread[1]:.2f}             {total:.2f}")
ceiling = ceilings["gray"][0]
assert article5["noise without mean"][2] < 0.05 < 0.2 < article5["noise without mean"][3]
assert ceiling - 1 < article5["noise without mean"][0] < ceiling and abs(article5["both"][0] - ceiling) < 0.2
assert article5["both"][1] < 0.1 and article5["KL summed twice"][2] < 0.05 and article5["KL summed twice"][1] < 0.1
assert min(article5["logits as probabilities"][0], article5["logits as probabilities"][4]) > ceiling + 0.5
assert article5["clipped"][:2] == article5["right"][:2] and abs(article5["extra jitter"][4] - article5["right"][4]) < 0.1

# %% [markdown]
# Without its mean, mu feels nothing but the KL and goes to 0. What is left is a whisper: sigma depends on x, a wide cloud for
# some digits, a narrow one for others, and the reconstruction gains less than a nat on the mean picture. With the KL of the
# whole batch on every example (beta = 32) the whisper ends, too: the collapsed ceiling. Logits taken for probabilities report a
# loss of far more nats than the mean picture has, and the model that comes out is worse than the mean picture.
#
# The last two mistakes cost nothing *here*; they are traps for later. The clip to -5..5 changes not a single digit, because no
# code comes near; where one does, its gradient is 0, and it never returns. The jitter stands in `call` and not in `train_step`:
# the model that is shown is not the model that was trained, and its z has another variance than its KL.

# %%
with planted("z_clipped"):
    z, cache = gaussian.reparameterize(np.full((1, 1), 8.0), np.zeros((1, 1)), np.zeros((1, 1)))
    gradient, _ = gaussian.reparameterize_backward(np.ones((1, 1)), cache)
    print(f"clip: mu = 8 gives z = {z[0, 0]:.0f}, and the gradient {gradient[0, 0]:.0f}")
    assert z[0, 0] == 5 and gradient[0, 0] == 0
with planted("extra_jitter"):
    narrow = np.full((20_000, 1), -9.0)
    z, _ = gaussian.reparameterize(0 * narrow, narrow, seeded(8).standard_normal(narrow.shape))
    print(f"jitter: variance {z.var():.2e}, where the KL believes {math.exp(-9):.2e}")
    assert abs(z.var() / math.exp(-9) - 1.8) < 0.1

# %% [markdown]
# ### The formula: a threshold that is a weight, and a minus sign
#
# The text wants the KL *below a threshold* beta, and then writes the loss with beta as a *factor*, and with the minus of
# article 2:
#
# $$
# \mathcal{L}_{KL} \le \beta, \qquad \mathcal{L} = \mathcal{L}_{recon} - \beta \mathcal{L}_{KL} \tag{7}
# $$
#
# Threshold and weight are two numbers. With C for the threshold the loss is recon + beta |KL - C| (Burgess et al. 2018), and
# then C is what one gets, in nats:

# %%
reached = {}
for C in (1.0, 2.0, 4.0):
    model = dense(Bernoulli(), hidden=(100,), activation=ReLU, init="he")
    last = train(model, epochs=20, objective=capacity(beta=10.0, C=C), samples=1).records[-1]
    reached[C] = last["kl"]
    print(f"C = {C:.0f}: KL {last['kl']:.2f}, reconstruction {last['reconstruction']:.2f}")
    assert abs(last["kl"] - C) < 0.1

# %% [markdown]
# ### The data: built, and thrown away
#
# `generate_data` draws x from a standard normal and builds y = 1/2 x1² + 1/2 x2² + noise, the nonlinear part. Its line adds an
# array of shape (n,) to one of (n, 2), which NumPy refuses, except where n is 2, when it adds them *the wrong way round in
# silence*. And then the program trains on x. Nothing nonlinear is left: x is an isotropic Gaussian, and the best code for it is
# an empty one.
#
# **Predict, then run.** Squared error with sigma = 1, which is the true noise of both. The KL on x, and on y? How near do the
# losses come to -log p, which is known for both? `____`

# %%
line = "y = 0.5 * x[:, 0]**2 + 0.5 * x[:, 1]**2 + noise"
crash(line, x=np.ones((1000, 2)), noise=np.zeros((1000, 2)))
square = np.array([[1.0, 0.0], [2.0, 0.0]])  # two rows, whose y without noise are 0.5 and 2
print("and with two rows:", (0.5 * square[:, 0] ** 2 + 0.5 * square[:, 1] ** 2 + np.zeros((2, 2))).tolist(), "\n")

isotropic, isotropic_test = seeded(9).standard_normal((2, 1000, 2))
plane = load_toy("paraboloid", 1000, rng=seeded(10))
entropies = {  # -log p of the test rows
    "x": float(np.mean(0.5 * np.sum(isotropic_test**2, axis=1))) + math.log(2 * math.pi),
    "y": float(-log_density("paraboloid", plane.test).mean()),
}
models, kls = {}, {}
for name, data, held_out in (("x", isotropic, isotropic_test), ("y", plane.train, plane.test)):
    models[name] = VAE.dense(2, (100,), 2, Gaussian(1.0), ReLU, rng=seeded(1), init="he", output_mean=data.mean(axis=0))
    history = train(models[name], data, epochs=150, lr=1e-3, batch_size=100, validation=held_out)
    last, kls[name] = history.records[-1], float(np.mean(history["valid_kl"][-20:]))
    loss = float(np.mean(history["valid_loss"][-20:]))
    print(f"trained on {name}: KL {kls[name]:.2f}; loss on the test set {loss:.2f}, -log p {entropies[name]:.2f}")
    assert entropies[name] - 0.02 < loss < entropies[name] + 0.08
assert kls["x"] < 0.06 < 0.4 < kls["y"]

# %% [markdown]
# On x the KL is next to 0: the model has learned that there is nothing to learn, and its loss is the entropy of x. On y it
# spends half a nat on the one number that matters, the height on the paraboloid, and comes within a few hundredths of -log p.
#
# ### The picture: posterior samples called generation
#
# At the end the program "generates": it *encodes the data* and decodes that. New points need z from the prior, and for a
# picture of points also the noise of p(x|z). Here is the article's program, with only its crashes mended, beside the right one.
# The data x are no probabilities, yet a cross-entropy judges them; npvae has to be told to look away.
#
# **Predict, then run.** How much nearer is a "generated" point to the x that it was made from than to the x of another row?
# `____`

# %%
mended = VAE.dense(2, (100,), 2, Bernoulli(), ReLU, rng=seeded(1), init="he")
mistakes = ["data_outside_unit_interval", "logits_as_probabilities", "noise_without_mean", "kl_summed_twice"]
losses = train(mended, isotropic, mistakes, epochs=100, lr=1e-3, batch_size=1000)["loss"]  # one step an epoch, as printed
z = np.clip(np.exp(mended.encode(isotropic)[1] / 2) * mended.noise(1000, seeded(3)), -5, 5)
generated = mended.decode(z)
sample = models["y"].likelihood.sample(models["y"].decode(models["y"].noise(1000, seeded(3))), seeded(4))

figure, panels = plt.subplots(1, 4, figsize=(6, 2.0), layout="constrained", sharey=True)
for axes, (title, points) in zip(
    panels, {"x: trained on": isotropic, "article 5": generated, "y: thrown away": plane.train, "corrected": sample}.items()
):
    axes.plot(*points.T, ".", ms=1.5, color="tab:blue" if title in ("article 5", "corrected") else "0.3")
    axes.set(title=title, xlim=(-8, 8), ylim=(-8, 8), aspect="equal")
    axes.title.set_size(9)
own, other = (float(np.mean(np.sum((generated - rows) ** 2, axis=1))) for rows in (isotropic, np.roll(isotropic, 1, axis=0)))
stuck = float(np.mean((generated <= 1e-7) | (generated >= 1 - 1e-7)))
agreement = [float(np.corrcoef(rows.T)[0, 1]) for rows in (plane.train, sample)]
print(f"squared distance of the article's points from their own x {own:.2f}, from another row's {other:.2f}; loss {losses[-1]:.2f}")
print(f"outputs that the clipped logarithm gives no gradient: {100 * stuck:.0f} %")
print(f"correlation of y1 and y2: data {agreement[0]:.2f}, samples {agreement[1]:.2f}")
assert abs(own / other - 1) < 0.1 and stuck > 0.6 and abs(agreement[0] - agreement[1]) < 0.1

# %% [markdown]
# *The picture:* the round cloud x that is trained on; what the article's program draws in its place, a fan of points off the
# center; the data y, a cloud drawn out along the diagonal; and the corrected model's samples, drawn out in the same way.
#
# The article's points are no nearer to their own x than to any other: they are noise, sent through a decoder that has hardly
# learned, since most of its outputs lie where the clipped logarithm has no slope.
#
# One more trap for those who mend only the crashes: with data outside of 0..1 and logits, a right cross-entropy has no lower
# bound. At x = 1.5 it is -50 at logit 100 and -500 at logit 1,000.

# %%
with planted("data_outside_unit_interval"):
    for logit in (100.0, 1000.0):
        print(f"logit {logit:.0f}: {Bernoulli().nll(np.full((1, 1), logit), np.full((1, 1), 1.5))[0]:.0f}")
        assert Bernoulli().nll(np.full((1, 1), logit), np.full((1, 1), 1.5))[0] == -logit / 2

# %% [markdown]
# ### 小结：文章五，用 VAE 解决非线性问题
#
# 文章介绍了自编码器与 VAE、带“阈值”的目标函数，并给出一个二维数据的程序。
# 程序采样时只用噪声乘标准差，漏掉了均值：编码器的均值对重构毫无作用，重构停留在平均图的水平附近。
# 解码器输出的是 logits，却被当作概率计算交叉熵；数据又不在 0 到 1 之间，若不是 Keras 把概率截断，这个损失甚至没有下界。
# KL 求和两次，照原样会报错；若为了不报错而去掉 axis=1，就成了对整个批次求和，相当于把 beta 放大到批次大小的倍数。
# 把 z 截断到 [-5, 5]，超出之处梯度为零；额外的抖动毫无必要。
# 公式把“KL 不超过 beta”的阈值与权重混为一谈，还多了一个负号；正确的写法是重构误差加 beta·|KL − C|。
# 数据生成那一行的形状 (n,) 与 (n, 2) 不能相加；而且造好了非线性的 y，却拿 x 去训练：
# x 是各向同性的高斯分布，没有可学的结构，KL 趋于 0。
# 最后的“生成”其实是对训练数据的重构，真正的生成应当从先验 N(0, I) 采样再解码。
# 正确的写法：z = mu + sigma·eps，KL 只求和一次，用 y 训练，并采用高斯似然。

# %% [markdown]
# ## 6. All of them
#
# | | as printed | what it does | right | name |
# |---|---|---|---|---|
# | 1 | log p - KL called loss | minimized: below -1e8 | its negative | `elbo_minimized` |
# | 1 | two means | beta = D/Z: 39.2 on MNIST, 32 here; KL 0.00 | sums; mean over the batch | `both_means` |
# | 1 | pixels 0..255 | beta 65,025 times smaller; sigma below 0.1 | x / 255 | `uint8_not_scaled` |
# | 1 | rows in their order | half a nat; sorted by class above 1 | a permutation each epoch | `never_shuffled` |
# | 1 | the loss of a batch | jumps by nats, 0.1 is right | mean of the epoch | `last_batch_as_epoch` |
# | 1 | variables of a function | AttributeError | those of a model | `trainable_variables_of_a_function` |
# | 2 | recon - beta KL | KL above 1e6 within 100 steps | recon + beta KL | `kl_sign` |
# | 2 | no KL in the program | with a head: KL above 100, sigma below 0.02 | + beta KL | `kl_omitted` |
# | 2 | one head | with sigma = 1: the mean picture | 2 Z outputs | `no_logvar_head` |
# | 2 | 1/2 squared error | sigma = 1: 0 of 20 latents at beta = 1 | sigma stated, learned | `gaussian_without_constant` |
# | 2 | phi is the prior's | the prior has no parameter | the encoder's | `prior_parameters_phi` |
# | 3 | - sum x log x̂ | loss 0.00, all ink | + (1 - x) log(1 - x̂) | `bce_missing_second_term` |
# | 3 | mean beside sum | beta = D: 784, 64 here; 0.21 nats to win | sums | `recon_mean_over_pixels` |
# | 3 | "standard deviation" | reports 16 nats, has above 100 | sigma = exp(logvar / 2) | `std_head_used_as_logvar` |
# | 3 | noise (batch size, Z) | ValueError; one picture becomes 64 | the shape of mu | `noise_fixed_shape` |
# | 3 | loss without mu, logvar | NameError; else 85 nats uncounted | loss beside the model | `loss_reads_undefined_names` |
# | 4 | decoder(encoder(x)) | one digit above 200 times in 1,000, one below 40 | sample and KL | `no_sampling`, `kl_omitted` |
# | 4 | tanh on the code | 32 % of each latent's prior outside | a linear head | `tanh_on_mean` |
# | 4 | stride 1 | 7, 9, 11, 13 | stride 2: 7, 14, 28 | `decoder_never_reaches_28` |
# | 4 | pictures (28, 28) | ValueError | (28, 28, 1) | `channel_axis_missing` |
# | 4 | standardized, sigmoid | -0.424; 44 % irreducible here | x / 255, or linear | `sigmoid_with_standardized_data` |
# | 4 | theta, phi | named the wrong way round | theta decoder, phi encoder | `theta_phi_swapped` |
# | 5 | z = sigma eps | less than a nat below the mean picture | mu + sigma eps | `noise_without_mean` |
# | 5 | logits as probabilities | worse than the mean picture | logits as logits | `logits_as_probabilities` |
# | 5 | clip to -5..5 | nothing here; at mu = 8 gradient 0 | no clip | `z_clipped` |
# | 5 | jitter | variance 2.2e-4, the KL has 1.2e-4 | none | `extra_jitter` |
# | 5 | two copies of the sampler | another model is shown | one | `model_call_and_step_differ` |
# | 5 | KL summed twice | beta = B: KL 0.01 | once | `kl_summed_twice` |
# | 5 | threshold as weight | minus: as article 2 | beta abs(KL - C): the KL is C | `kl_threshold_as_weight` |
# | 5 | (n,) + (n, 2) | ValueError; wrong in silence at n = 2 | (n, 1), by keepdims | `silent_broadcast` |
# | 5 | y built, x trained on | KL 0.02; on y 0.5 | train on y | `target_built_not_used` |
# | 5 | "generated" | reconstructions | `vae.sample(n, rng)` | `posterior_sampling_called_generation` |
# | 5 | cross-entropy of real x | -50, -500: no bound | a Gaussian | `data_outside_unit_interval` |
#
# The names are those of `npvae mistakes NAME`. What can be planted is, in the test suite (`tests/test_mistakes.py`), which
# demands that exactly the checks named below see it. The others crash by themselves, or stand in prose.

# %%
PLANTED = [
    "elbo_minimized", "both_means", "uint8_not_scaled", "never_shuffled", "last_batch_as_epoch", "kl_sign", "kl_omitted",
    "no_logvar_head", "gaussian_without_constant", "bce_missing_second_term", "recon_mean_over_pixels",
    "std_head_used_as_logvar", "no_sampling", "tanh_on_mean", "noise_without_mean", "logits_as_probabilities", "z_clipped",
    "extra_jitter", "model_call_and_step_differ", "kl_summed_twice", "silent_broadcast", "data_outside_unit_interval",
]  # fmt: skip
TOLD = [
    "trainable_variables_of_a_function", "prior_parameters_phi", "noise_fixed_shape", "loss_reads_undefined_names",
    "decoder_never_reaches_28", "channel_axis_missing", "sigmoid_with_standardized_data", "theta_phi_swapped",
    "kl_threshold_as_weight", "target_built_not_used", "posterior_sampling_called_generation",
]  # fmt: skip
for name in PLANTED:
    print(f"{name:<28} {', '.join(MISTAKES[name].seen_by)}")
assert not set(TOLD) - set(LEFT_OUT) - set(MISTAKES)
by_gradient = [name for name in PLANTED if "derivative" in MISTAKES[name].seen_by]
print(f"\nof these {len(PLANTED)} a gradient check sees {len(by_gradient)}: {', '.join(by_gradient)}")
assert by_gradient == ["model_call_and_step_differ"]
assert free[-1] > 100 and 70 < constant.kl < 100
assert measure(runs["no KL, with a head"][0])[2] < 0.02

# %% [markdown]
# ## Exercises
#
# 1. A popular repository trains on 64 x 64 color pictures with the mean squared error plus 0.00025 times the KL, summed over
#    the latents. Which beta is that?
# 2. The bundled digits are integers from 0 to 16 before they are divided. What is beta if article 1's program runs on them as
#    printed, and what does it learn?
# 3. Somebody takes article 2 at its word and trains the prior's mean and variance, too. What is gained?
# 4. On article 5's y the KL is half a nat. Derive the number from the covariance of y.
# 5. "Then I sample article 4's codes uniformly from the square." Is that a generative model?
#
# <details><summary>Answer to 1</summary>
#
# The mean divides by D = 64 * 64 * 3 = 12,288, so that beta = 0.00025 * 12,288 = 3.07, relative to the squared error without
# 1/2.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# D/Z = 32, divided by 16 squared: 0.125, a Gaussian of sigma = sqrt(0.125 / 2) = 0.25, near the learned 0.23. The two mistakes
# happen to cancel, and the model is good. On MNIST the same program has 0.0006. *That it works is no proof.*
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# Nothing. With a prior N(m, t²) the KL is that of ((mu - m)/t, sigma/t) and N(0, 1), and the last layer of the encoder and the
# first of the decoder can shift and scale by themselves. (A prior of another *shape*, such as a mixture, is another matter.)
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# y = (t, t) + noise, where t is half of x1² + x2², an exponential variable of variance 1. So the covariance of y is 1 in every
# entry, plus the identity; its largest eigenvalue is 1 + 2 = 3. At its optimum a linear model with sigma = 1 has a posterior of
# variance 1/3 on that axis, and means of variance 2/3: by (KL-1) that is 1/2 (2/3 + 1/3 - 1 + log 3) = 1/2 log 3 = 0.55 nats.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# It is better than N(0, I): no draw lies outside. But nothing has made the codes uniform, so that some digits come several
# times as often as others, and nobody knows the density: there is no ELBO to compare.
#
# </details>

# %%
print(f"1: {0.00025 * 64 * 64 * 3:.2f}")
assert round(0.00025 * 64 * 64 * 3, 2) == 3.07

levels = dense(Gaussian(SSE), scale=16)
train(levels, 16 * x, ["both_means"])
cancelled = measure(levels, 16 * test, 16)
error, kl, _ = article1["sigma learned"]
sigma = math.exp(first["sigma learned"][0].likelihood.log_sigma[0])
print(f"2: beta {D / Z / 16**2}, squared error {cancelled[0]:.2f}, KL {cancelled[1]:.2f};", end=" ")
print(f"sigma learned: {error:.2f}, {kl:.2f}, sigma {sigma:.2f}")
assert D / Z / 16**2 == 0.125 and math.sqrt(0.125 / 2) == 0.25 and cancelled[0] < 3.7 and 2 < cancelled[1] < 4.5
assert abs(sigma - 0.23) < 0.015

mu, logvar, m, t = 0.3, -0.7, 1.1, 1.9
general = 0.5 * (((mu - m) ** 2 + math.exp(logvar)) / t**2 - 1 - logvar + 2 * math.log(t))
shifted = kl_divergence(np.array([[(mu - m) / t]]), np.array([[logvar - 2 * math.log(t)]]))[0]
print(f"3: {general:.6f} = {shifted:.6f}")
assert abs(general - shifted) < 1e-12

top = float(np.linalg.eigvalsh(np.cov(plane.train.T))[-1])
print(f"4: largest eigenvalue {top:.2f}, 1/2 log 3 = {0.5 * math.log(3):.2f}, found {kls['y']:.2f}")
assert abs(top - 3) < 0.4 and abs(0.5 * math.log(3) - kls["y"]) < 0.08

count = nearest(as_printed.decode(seeded(11).uniform(-1, 1, (1000, 2)).astype(np.float32)))
print("5:", count)
assert count.max() > 3 * count.min() and count.min() > counts["article 4"].min()

# %% [markdown]
# ## Summary
#
# | read | ask | the number that answers |
# |---|---|---|
# | a formula called loss | to be minimized, or maximized? | its sign on data that fit badly |
# | a mean | over what, and over what is the other term's? | beta = D/Z, D, 1/Z, B |
# | a squared error | which sigma? | the eigenvalues that exceed beta sigma squared |
# | the sample | has it a mean, a standard deviation, a row for each example? | its moments |
# | the head | standard deviation, variance, or logarithm? | KL against samples |
# | the data | in the range of the output, shuffled, and the ones that were meant? | floor and ceiling |
# | "generated" | from which z? | the share of the prior that the codes cover |
#
# Most of the repairs are small: a plus, a sum, a mu. That is what makes such mistakes hard to see, and why every line here was
# *run*.
#
# **Next:** `npvae recipes` has the five systems as they should be; `npvae train --recipe conv-mnist --data digits` trains one
# of them, and `npvae mistakes` tells of many more such lines.
