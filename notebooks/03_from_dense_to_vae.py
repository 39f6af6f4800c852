# The source of 03_from_dense_to_vae.ipynb: edit this file, then run: python notebooks/build.py 03_from_dense_to_vae

# %% [markdown]
# # 3. From one dense layer to a VAE that draws digits
#
# **You will be able to** train a layer, a network, an autoencoder and a VAE with the same four lines; say what each step adds
# and show it in a picture; read the numbers of a training run against their floor and ceiling.
#
# **You need** to have seen notebook 1 or 2. **Time:** 45 minutes; the cells run in about ten seconds.
#
# Four stations: a line, a curve, an autoencoder, a VAE. At each one a picture, and one thing that does not work yet.

# %%
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, Tanh, load_digits
from npvae.core.gaussian import kl_divergence, reparameterize
from npvae.core.optimizers import SGD
from npvae.core.parameters import ParamVector
from npvae.training import fit
from npvae.visual import plot_history, plot_latent, plot_manifold, plot_reconstructions, plot_samples

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})

# %% [markdown]
# ## 1. A line: one dense layer
#
# Forty points around the line y = 2x + 1. A dense layer with one input and one output *is* a line, and it starts at a random
# slope. Training is a loop of four lines: forward, derivative of the loss, backward, step.
#
# $$
# L = \frac{1}{B} \sum_b \frac{1}{2} (y_b - \hat{y}_b)^2 + \mathrm{const}, \qquad \hat{y} = x W + b \tag{1}
# $$
#
# is (NOR-1) with sigma = 1 and (DENSE-1). `ParamVector` puts W and b into one vector theta, and their derivatives into one
# vector grad, so that the optimizer needs to know nothing about layers.

# %%
rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (40, 1))
y = 2 * x + 1 + 0.3 * rng.standard_normal(x.shape)


def train(model, optimizer, steps, snapshots=()):
    """Fit y to x; -> {step: the curve at that step}."""
    params = ParamVector({"model": [model]}, np.float64)
    likelihood, grid, curves = Gaussian(sigma=1.0), np.linspace(-1, 1, 101)[:, None], {}
    for step in range(steps + 1):
        if step in snapshots:
            curves[step] = model.forward(grid)[0]
        if step == steps:
            return curves
        y_hat, cache = model.forward(x)
        nll, dy = likelihood.nll_and_grad(y_hat, y, dnll=np.full(len(x), 1 / len(x)))
        model.backward(dy, cache, need_dx=False)
        optimizer.step(params.theta, params.grad)


def draw(curves):
    """The points, and the curves from pale to dark."""
    plt.figure(layout="constrained")
    plt.plot(x, y, "o", color="tab:blue", ms=4, label="data")
    for i, (step, curve) in enumerate(curves.items()):
        ink = str(0.65 * (1 - i / (len(curves) - 1)))
        plt.plot(np.linspace(-1, 1, 101), curve, color=ink, lw=1.5 + i / 3, ls=":" if i == 0 else "-", label=f"step {step}")
    plt.xlabel("x")
    plt.ylabel("y")
    plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))


line = Dense(1, 1, rng=rng)
draw(train(line, SGD(lr=0.3), steps=200, snapshots=(0, 1, 3, 10, 200)))
slope, intercept = np.polyfit(x[:, 0], y[:, 0], 1)
print(f"after 200 steps: y = {line.W[0, 0]:.4f} x + {line.b[0]:.4f}; least squares: y = {slope:.4f} x + {intercept:.4f}")
assert abs(line.W[0, 0] - slope) < 1e-6 and abs(line.b[0] - intercept) < 1e-6

# %% [markdown]
# *The picture:* points along a line, and lines that swing from the random start (dotted) most of the way onto them within ten
# steps.
#
# > **A common mistake here**, `batch_sum_gradient`: the derivatives are summed over the batch, not averaged. With these forty
# > points the step is then forty times as long.
#
# **Predict, then run.** The same loop with learning rate 0.3 * 40: what becomes of the slope after ten steps? `____`

# %%
line = Dense(1, 1, rng=np.random.default_rng(1))
train(line, SGD(lr=0.3 * 40), steps=10)
print(f"slope after ten steps: {line.W[0, 0]:.1e}")
assert abs(line.W[0, 0]) > 1e6

# %% [markdown]
# ## 2. A curve: layers in a chain
#
# The line cannot bend. Another layer behind it would not help: a line of a line is a line. With a tanh in between, each
# hidden unit is a soft step, and the last layer adds up sixteen of them (CHAIN-1). Nothing else in the loop changes; Adam
# saves us from tuning the learning rate.

# %%
y = np.sin(4 * x) + 0.1 * rng.standard_normal(x.shape)
network = Chain([Dense(1, 16, rng=rng), Tanh(), Dense(16, 1, rng=rng)])
draw(train(network, Adam(lr=0.02), steps=1000, snapshots=(0, 30, 100, 1000)))
error = np.sqrt(np.mean((network.forward(x)[0] - y) ** 2))
print(f"typical error after 1,000 steps: {error:.2f}, the noise is 0.1")
assert error < 0.12

# %% [markdown]
# *The picture:* points along a wave; the fitted curve is flat at first and follows the wave in the end.
#
# ## 3. An autoencoder: the target is the input
#
# Now the data are real: 1,797 handwritten digits of 8 x 8 pixels, 1,437 of them for training. The target of the network is
# its own input, but on the way there are only two numbers: the *code* z. What comes through a bottleneck of two must be what
# matters most.
#
# The loss is (AE-1) with the Bernoulli likelihood (BER-1). The pixels are grey, from 0 to 1, so it is a *grey cross-entropy*,
# which cannot fall below the entropy of the greys. That gives two landmarks, in nats per picture: the floor, and the ceiling
# of a model that knows nothing but the mean picture.

# %%
digits = load_digits()
train_x, test_x = digits.floats("train", np.float64), digits.floats("test", np.float64)


def grey_cross_entropy(p, x):
    """BER-1 for probabilities p, mean over the rows; 0 log 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(x > 0, x * np.log(p), 0) + np.where(x < 1, (1 - x) * np.log(1 - p), 0)
    return -np.mean(np.sum(terms, axis=1))


floor = grey_cross_entropy(train_x, train_x)
ceiling = grey_cross_entropy(np.broadcast_to(train_x.mean(axis=0), train_x.shape), train_x)
print(f"floor {floor:.1f}, mean picture {ceiling:.1f}, all logits 0: {64 * np.log(2):.1f} nats")
plot_samples(train_x[:20], digits.image_shape)

# %% [markdown]
# *The picture:* twenty of the digits, dark on white.
#
# `fit` is the loop from above with what real data ask for: shuffled batches, records, validation.

# %%
settings = dict(hidden=(128, 64), latent_dim=2, dtype=np.float64, output_mean=train_x.mean(axis=0))
training = dict(epochs=60, batch_size=64, validation="test", progress=False)

autoencoder = Autoencoder.dense(64, **settings, rng=np.random.default_rng(1))
history = fit(autoencoder, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), **training)
last = history.records[-1]
print(f"grey cross-entropy: train {last['loss']:.1f}, test {last['valid_loss']:.1f} nats")
assert floor < last["loss"] < last["valid_loss"] < 23 < ceiling
plot_reconstructions(test_x, autoencoder.reconstruct(test_x), digits.image_shape)

# %% [markdown]
# *The picture:* ten test digits, and below each what two numbers keep of it. Most are recognizable.
#
# ### What does not work: drawing new digits
#
# It looks as if only a $z$ were needed to draw a new digit. But which? Here is where the encoder puts the training pictures:

# %%
codes = autoencoder.encode(train_x)
plot_latent(codes, digits.train_labels)

# %% [markdown]
# *The picture:* each training digit as a small numeral at its code. The digits lie in rays and islands, with gaps between.
#
# Nothing in (AE-1) says where codes should lie, so they lie anywhere, on any scale. **Predict, then run.** 86 % of a standard
# normal in two dimensions lie within a circle of radius 2. What share of the codes does? `____`


# %%
def within_two(z):
    """The share of rows within radius 2, in percent."""
    return 100 * np.mean(np.sum(z**2, axis=1) < 4)


noise = np.random.default_rng(3).standard_normal((1000, 2))
drawn = Bernoulli().mean(autoencoder.decode(noise))
print(f"standard deviation of the codes: {codes.std(axis=0).round(1)}; within radius 2: {within_two(codes):.0f} %")
assert within_two(codes) < 60 and abs(1 - np.exp(-2) - 0.86) < 0.005
plot_samples(drawn[:20], digits.image_shape)

# %% [markdown]
# *The picture:* twenty "samples" from z ~ N(0, I): single digits again and again, and blurs between them. Others never come.
# Count a thousand of them, each as the digit of the most similar training picture; fair would be a hundred each.


# %%
def count(images):
    """How many images resemble most a 0, a 1, ..., a 9 of the training set."""
    distance = np.sum(train_x**2, axis=1) - 2 * images @ train_x.T  # of each image to each training picture, but for a constant
    return np.bincount(digits.train_labels[np.argmin(distance, axis=1)], minlength=10)


fitted = codes.mean(axis=0) + codes.std(axis=0) * noise
print("digit                     ", *(f"{digit:4d}" for digit in range(10)))
print("z from N(0, I)            ", *(f"{n:4d}" for n in count(drawn)))
print("z from a Gaussian fitted  ", *(f"{n:4d}" for n in count(Bernoulli().mean(autoencoder.decode(fitted)))))
assert count(drawn).min() <= 20 and count(drawn).max() >= 180

# %% [markdown]
# Sevens and sixes hardly exist for the first row. A Gaussian fitted to the codes afterwards does better here, and still
# misses the islands: nines are rare. It is a guess about codes that nobody asked to be Gaussian, and with twenty latents in
# place of two nearly everything is gap. The remedy is to tell the encoder where to put its codes.
#
# > **A common mistake here**, `posterior_sampling_called_generation`: codes of real pictures are decoded and shown as new
# > ones. They look good; they are reconstructions.

# %% [markdown]
# ## 4. A VAE: noise and KL
#
# Two changes, no more. The encoder gives, for each latent, a mean and a log-variance, and $z$ is drawn from that Gaussian
# (REP-1): a code becomes a cloud, and everything within the cloud must decode to the same picture, so there are no gaps
# within it. And each cloud pays for its distance from N(0, I) (KL-1), so the clouds crowd together where we will sample.
# Reconstruction pushes them apart, the KL together; the loss (ELBO-4) is the sum.

# %%
vae = VAE.dense(64, **settings, rng=np.random.default_rng(1))
batch, eps = train_x[:64], np.random.default_rng(4).standard_normal((64, 2))

code, _ = vae.encoder.forward(batch)  # (64, 4)
mu, logvar = code[:, :2], code[:, 2:]  # (64, 2) each
z, _ = reparameterize(mu, logvar, eps)  # (64, 2)    new: the noise
out, _ = vae.decoder.forward(z)  # (64, 64)
nll = vae.likelihood.nll(out, batch)  # (64,)
kl = kl_divergence(mu, logvar)  # (64,)    new: the price
loss = np.mean(nll + kl)
print(f"loss before training: {np.mean(nll):.2f} + {np.mean(kl):.2f} = {loss:.2f}")
assert abs(loss - vae.loss(batch, eps).total) < 1e-12

history = fit(vae, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), **training)
last = history.records[-1]
print(f"after training: {last['reconstruction']:.1f} + {last['kl']:.1f} = {last['loss']:.1f}; test {last['valid_loss']:.1f} nats")
assert abs(last["loss"] - last["reconstruction"] - last["kl"]) < 1e-9
assert floor < last["loss"] < last["valid_loss"] < ceiling and abs(last["kl"] - 2.6) < 0.2
plot_history(history)

# %% [markdown]
# *The picture:* the negative of the loss rises fast and then slowly; the reconstruction falls while the KL grows: the model
# learns to say more about each picture, and pays for it. Training (solid) and test (dashed) part a little.
#
# The reconstruction is worse than the autoencoder's, and has to be: the code is noisy now. A KL of 2.6 nats means that a code
# tells apart about 13 kinds of pictures, e to the 2.6.

# %%
plot_reconstructions(test_x, vae.reconstruct(test_x), digits.image_shape)

# %% [markdown]
# *The picture:* the same ten test digits and the VAE's reconstructions, a little smoother than before.
#
# Where are the codes now?

# %%
means, logvars = vae.encode(train_x)
z = means + np.exp(logvars / 2) * vae.noise(len(train_x), np.random.default_rng(5))
print(f"within radius 2: {within_two(z):.0f} % of the codes, 86 % of N(0, I); typical sigma {np.exp(logvars / 2).mean():.2f}")
assert 78 < within_two(z) < 94
plot_latent(means, digits.train_labels)

# %% [markdown]
# *The picture:* the same digits within three units of the origin, side by side.
#
# Now sampling is honest: draw z from N(0, I), decode. The same thousand draws as above:

# %%
drawn = Bernoulli().mean(vae.decode(noise))
print("digit           ", *(f"{digit:4d}" for digit in range(10)))
print("z from N(0, I)  ", *(f"{n:4d}" for n in count(drawn)))
assert count(drawn).min() >= 50 and count(drawn).max() <= 160
plot_samples(drawn[:40], digits.image_shape)

# %% [markdown]
# *The picture:* forty new digits. Every kind comes about equally often. Most can be named; some lie between two digits, as
# their codes do.
#
# And since the latent space has two dimensions, all of it fits on a page: a grid with equal shares of the prior, each point
# decoded.

# %%
assert abs(math.erf(1 / math.sqrt(2)) ** 2 - 0.47) < 0.005  # the share of N(0, I) in the square from -1 to 1
plot_manifold(vae, digits.image_shape, n=12)

# %% [markdown]
# *The picture:* a map of digits; neighbors are alike, and one digit turns into the next without a break.
#
# > **A common mistake here**, `latent_grid_linear`: the grid runs evenly over [-1, 1]. Only 47 % of the prior's mass lie in
# > that square.
#
# ## 5. The price of a code: beta
#
# **Predict, then run.** With beta = 4 in (ELBO-4), do reconstruction and KL rise or fall? And with beta = 0, what becomes of
# sigma? `____`

# %%
training["epochs"] = 30
for beta in (0.0, 1.0, 4.0):
    model = VAE.dense(64, **settings, rng=np.random.default_rng(1))
    last = fit(model, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), beta=beta, **training).records[-1]
    sigma = np.exp(model.encode(test_x)[1] / 2).mean()
    print(f"beta {beta:.0f}: reconstruction {last['reconstruction']:.1f}, KL {last['kl']:4.1f}, mean sigma {sigma:.2f}")
    assert {0.0: sigma < 0.1, 1.0: 1 < last["kl"] < 4, 4.0: last["kl"] < 0.1 and last["reconstruction"] > 27}[beta]

# %% [markdown]
# At beta = 0 noise is only a nuisance: sigma goes towards 0, the codes spread, the KL is large, and nobody counts it. That is
# the autoencoder again. At beta = 4 a nat of information costs four nats of reconstruction, and here no code is worth that:
# the KL goes to 0, sigma to 1, the reconstruction to the ceiling, the mean picture. The posterior has *collapsed*. Only at
# beta = 1 is the sum a bound on log p(x) (of binary pixels).
#
# > **A common mistake here**, `recon_mean_over_pixels`: the mean over the pixels makes beta = 64 of beta = 1 on these digits,
# > with the end just seen at 4.

# %% [markdown]
# ## Exercises
#
# 1. How many parameters has the line, the curve's network, the autoencoder, the VAE? Where do the VAE's extra ones sit?
# 2. A VAE reports reconstruction 27.2 and KL 0.0 on these data. What has happened?
# 3. Someone reports a loss of 12 for grey digits with the Bernoulli likelihood. Why can that not be?
# 4. What does `autoencoder.sample(10, rng)` do, and why?
#
# <details><summary>Answer to 1</summary>
#
# 2; 49; 33,474; 33,604. The encoder's last layer has two more outputs, the log-variances: 2 * 64 weights and 2 biases.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# The posterior has collapsed: every code is the prior, the decoder ignores z and gives the mean picture, whose cross-entropy
# is 27.1.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# It is below the floor, the entropy of the greys, 13.7 nats. Perhaps the pixels were binarized, or averaged, or not between 0
# and 1.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# It refuses: an autoencoder has no prior.
#
# </details>

# %%
small = Dense(1, 1, rng=rng), Chain([Dense(1, 16, rng=rng), Tanh(), Dense(16, 1, rng=rng)])
assert [ParamVector({"model": [model]}, np.float64).size for model in small] == [2, 49]
print(autoencoder.params.size, vae.params.size)
assert (autoencoder.params.size, vae.params.size) == (33_474, 33_604) and vae.params.size - autoencoder.params.size == 2 * 64 + 2
assert abs(ceiling - 27.2) < 0.05 and abs(floor - 13.7) < 0.05
try:
    autoencoder.sample(10, rng)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Summary
#
# | station | new | what did not work yet |
# |---|---|---|
# | line | (DENSE-1), (NOR-2), (SGD-1) | it cannot bend |
# | curve | (CHAIN-1), (ACT-1), (ADAM-5) | it needs a target |
# | autoencoder | (AE-1), (BER-1) | its codes lie anywhere: it cannot draw |
# | VAE | (REP-1), (KL-1), (ELBO-4) | the samples are blurred |
#
# **Next:** [04_gradient_checking](04_gradient_checking.ipynb) checks derivatives, the library's and yours. `npvae demo` does
# station 4 in one command and writes the pictures to files; `npvae train --help` has all its options.
