"""The documented systems by name: five VAEs of published articles and three of references, each as settings of `npvae train`.

None of the five articles' programs runs as printed, and most would train something other than their text says. Each recipe is a
function of the data's name whose docstring says what the article says, what was wrong, and what stands here instead; its last lines
are measured (benchmarks/RECIPES.md). Squared error is a Gaussian likelihood whose sigma is stated; its constants are counted.

On the bundled 8 x 8 digits each is made smaller. A Gaussian's sigma is then times 8/28: an image has 12.25 times fewer pixels
than one of MNIST, so at the same sigma the data would weigh that much less against the KL, and the latents would collapse.
"""

import inspect
import math
import re
from collections.abc import Callable
from typing import NamedTuple

FEWER_PIXELS = 8 / 28  # times sigma, on the digits
CONV_EPOCHS = 10  # of conv-mnist on MNIST: the article has 50, which take longer than half an hour on two cores


class Recipe(NamedTuple):
    """A documented system: its name, where it comes from, the data it is made for, the settings for data of a name."""

    name: str
    article: str
    data: str
    make: Callable

    def settings(self, data=None):
        """The settings of `npvae train` that differ from its defaults, a dict; on the digits, adapted to them.

        Data of other kinds take the settings of MNIST; a sigma, above all, is then to be chosen anew."""
        data = self.data if data is None else data
        return {"data": data, **self.make(data)}

    @property
    def text(self):
        """What the article says, what was wrong, what stands here instead, and the losses expected."""
        return inspect.cleandoc(self.make.__doc__ or "")

    @property
    def expected(self):
        """Data set -> the test loss that the docstring states, as text: "26.31 +- 0.05" or "105.44"."""
        return dict(re.findall(r"^    ([\w-]+): (-?[\d.]+(?: \+- [\d.]+)?) ", self.text, re.MULTILINE))


RECIPES: dict[str, Recipe] = {}


def recipe(name, article, data):
    """Register the function under it as a recipe."""

    def register(make):
        RECIPES[name] = Recipe(name, article, data, make)
        return make

    return register


def normal(n_in, n_out, rng):
    """W, b ~ N(0, 0.01^2), Kingma & Welling's beginning (2014), with 0.01 read as the standard deviation: a `Dense(init=)`.

    Returns W (n_in, n_out), b (n_out,)."""
    return rng.normal(0, 0.01, (n_in, n_out)), rng.normal(0, 0.01, n_out)


def find(name):
    """The recipe of that name.  Raises ValueError that lists them."""
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


@recipe("adam-mnist", "article 1, the VAE and Adam", "mnist")
def adam_mnist(data):
    """Article 1: a dense VAE on MNIST by squared error, with Adam: 10 epochs of batch 32. Its layers are left as "...".

    Wrong: the formula E_q log p(x|z) - KL is the ELBO, to be maximized, yet is called the loss (the program's sign is right). The
    program averages the squared error over the pixels and the KL over the latents; in nats that is beta = D/Z = 39 for 784 pixels
    and 20 latents, at which a linear VAE would use none of them. But pixels enter as integers 0..255, so that the error is 65,025
    times larger and the KL next to nothing. Rows are never shuffled, the loss printed is that of one batch, no test row is looked
    at, and the optimizer asks a plain function for its variables, which stops the program. Adam's update is printed right.

    Here: loss = -ELBO, summed over pixels and latents; squared error without 1/2 is a Gaussian of sigma^2 = 1/2; pixels / 255,
    shuffled every epoch. Layers chosen here: 784-400-20 and back, ReLU. Adam 1e-3. The decoder's mean is linear. On the
    digits sigma is times 8/28: with 12.25 times fewer pixels, they weigh as much against the KL as MNIST's.

    Expected test loss, in nats per example:
        digits: -16.81 +- 0.24 = reconstruction -27.75 + KL 10.95
        mnist: 480.00 = reconstruction 469.44 + KL 10.56
    """
    settings = dict(hidden=(400,), latent_dim=20, activation="relu", likelihood="gaussian", sigma=math.sqrt(0.5), epochs=10)
    if data == "digits":
        settings |= dict(hidden=(128,), latent_dim=20, sigma=math.sqrt(0.5) * FEWER_PIXELS, epochs=100)
    return settings


@recipe("beta-mlp", "article 2, how a VAE is trained", "mnist")
def beta_mlp(data):
    """Article 2: 784-128-64-20 and back, ReLU, 1/(2N) sum |x - x'|^2 and a KL with weight beta; Adam 1e-3, 100 epochs of batch 32.

    Wrong: the loss to be minimized has -beta KL, which rewards the divergence and has no lower bound. phi is said to be the
    parameters of the prior (it is the encoder's; the prior N(0, I) is fixed), and the latent's distribution to be standard normal
    and learned at once. The program's encoder has one output, no log-variance, and takes its sigma from an undefined name; there is
    no KL in it at all, so it is a plain autoencoder on the mean squared error. layers.Model does not exist.

    Here: loss = 1/2 |x - x'|^2 + beta KL, that is a Gaussian of sigma = 1 (its D/2 log 2 pi is counted), with beta = 1 (--beta
    changes it), and an encoder of two heads. The article's output is a sigmoid, which can reach pixels only, and squares errors all
    the same; here the decoder's mean is linear.

    Expected test loss, in nats per example:
        digits: -5.00 +- 0.19 = reconstruction -10.71 + KL 5.71
        mnist: 739.74 = reconstruction 734.44 + KL 5.30
    """
    settings = dict(hidden=(128, 64), latent_dim=20, activation="relu", likelihood="gaussian", sigma=1.0, beta=1.0, epochs=100)
    if data == "digits":
        settings |= dict(sigma=FEWER_PIXELS)
    return settings


@recipe("bce-mlp", "article 3, the loss of a VAE", "mnist")
def bce_mlp(data):
    """Article 3: dense 128-64-2Z and 64-128-784, ReLU, cross-entropy; 10 epochs at Keras' defaults (Adam 1e-3, batch 32).

    Wrong: the cross-entropy's formula -sum x log x' lacks (1 - x) log(1 - x'), so that an all-white output costs nothing, and sums
    over the samples. The text's encoder gives standard deviations, the program's log-variances. The program averages the
    cross-entropy over the pixels and sums the KL over the latents: beta = 784, at which all latents together can earn 0.2 nats on
    MNIST, and the decoder shows one mean image. The loss reads mean and logvar, which exist only inside the model; the noise has
    the shape of an undefined batch size, and no batch of another length would pass. Z is not given.

    Here: Bernoulli on logits (no sigmoid layer), both terms, summed; Z = 20, chosen here. On grey pixels it is a cross-entropy that
    cannot fall below their entropy, not a likelihood.

    Expected test loss, in nats per example:
        digits: 23.91 +- 0.04 = reconstruction 20.50 + KL 3.42
        mnist: 108.13 = reconstruction 87.87 + KL 20.26
    """
    settings = dict(hidden=(128, 64), latent_dim=20, activation="relu", likelihood="bernoulli", epochs=10)
    if data == "digits":
        settings |= dict(epochs=200)
    return settings


@recipe("conv-mnist", "article 4, the convolutional VAE", "mnist")
def conv_mnist(data):
    """Article 4: convolutions 32 and 64 (3x3, ReLU, each with 2x2 max-pooling), dense 64, two latents; back by dense 7*7*64 and
    three transposed convolutions; squared error; 50 epochs of batch 256, measured on the test set, at Keras' defaults (Adam 1e-3).

    Wrong: the formula E log p(x|z) - beta KL is one to maximize, yet is called the loss; its theta and phi are swapped; and nothing
    of it is in the program: no sampling, no log-variance, no KL, a plain autoencoder by mean squared error, with tanh on the code
    (of each latent, 32 % of the prior lie outside). Transposed convolutions of stride 1 go 7, 9, 11, 13 and never reach 28; the
    images lack the axis of channels. The text standardizes the data, out of a sigmoid's reach; the program divides by 255.

    Here: two linear heads, sampled z, loss = -ELBO with squared error as a Gaussian of sigma^2 = 1/2; 3x3 convolutions padded by 1
    (28-14-7), and transposed ones of stride 2, 2, 1 (7-14-28-28). Pixels / 255; the decoder's mean is linear. On MNIST 10 epochs, a
    quarter of an hour of one core; --epochs 50 is the article's.

    Expected test loss, in nats per example:
        digits: -7.71 +- 0.80 = reconstruction -12.32 + KL 4.61
        mnist: 486.38 = reconstruction 481.78 + KL 4.60
    """
    settings = dict(
        architecture="convolutional", channels=(32, 64), hidden=(64,), latent_dim=2, likelihood="gaussian", sigma=math.sqrt(0.5),
        init="glorot", epochs=CONV_EPOCHS, batch_size=256, validation="test",
    )  # fmt: skip
    if data == "digits":
        settings |= dict(channels=(8, 16), hidden=(32,), sigma=math.sqrt(0.5) * FEWER_PIXELS, lr=3e-3, batch_size=32, epochs=60)
    return settings


@recipe("nonlinear-2d", "article 5, nonlinear problems", "paraboloid")
def nonlinear_2d(data):
    """Article 5: y = 1/2 x1^2 + 1/2 x2^2 + noise; 1,000 samples, 100 ReLU units, two latents, 100 epochs; data and samples drawn.

    Wrong: y adds (n,) and (n, 2), which do not broadcast; it is then left aside, and x, pure N(0, I), trained on: nothing to learn.
    beta is a threshold of the KL in one formula and its weight, with a minus, in the next. The program draws z = sigma eps
    without mu, clips it to [-5, 5] and adds 0.01 noise in one of its three copies; takes logits for probabilities and real
    numbers for pixels in a cross-entropy, which only Keras' clipping then bounds from below; sums the KL twice, over an axis that
    is gone, and averages the cross-entropy over the two columns; asks for a metric that Keras has not got (MeanMetric); makes one
    step an epoch; and decodes q(z|x) where it says "generate".

    Here: y_j = 1/2 |x|^2 + e_j, j = 1, 2, trained on. Gaussian of learned sigma, from sigma^2 = 1/2 (their squared error) to
    about 0.85: below the noise's 1, since two latents can carry some of it. beta = 1 (for the threshold: --capacity). Batch 32; new
    points are drawn from the prior. No model can have an expected loss below the entropy, 3.33 on these test points.

    Expected test loss, in nats per example:
        paraboloid: 3.38 +- 0.04 = reconstruction 2.54 + KL 0.83
    """
    gaussian = dict(likelihood="gaussian", sigma=math.sqrt(0.5), learn_sigma=True)
    return dict(hidden=(100,), latent_dim=2, activation="relu", **gaussian, epochs=100)


@recipe("pytorch-example", "PyTorch's example vae/main.py", "mnist")
def pytorch_example(data):
    """PyTorch's example vae/main.py: 784-400-20 and back, ReLU; Adam 1e-3, batch 128, 10 epochs, grey pixels.

    Its reductions are right (sums over pixels and latents), and it is the cheapest curve to compare with. What to know: on grey
    pixels binary cross-entropy is no likelihood, and 45.5 of its 105.6 nats on the MNIST test set are entropy that no model can
    remove; it sums over the batch where here is the mean, which Adam hardly notices; its weights and biases start at
    U(-1/sqrt(n_in), 1/sqrt(n_in)). Published logs end at test losses of 105.56 and 105.59, four further seeds at 105.57 to 105.91.

    Here: the same, on logits instead of a sigmoid and its logarithm.

    Expected test loss, in nats per example:
        digits: 24.14 +- 0.04 = reconstruction 20.79 + KL 3.35
        mnist: 105.44 = reconstruction 80.36 + KL 25.09
    """
    settings = dict(hidden=(400,), latent_dim=20, activation="relu", init="uniform", batch_size=128, epochs=10)
    if data == "digits":
        settings |= dict(hidden=(128,), batch_size=32, epochs=200)
    return settings


@recipe("iwae-paper", "Burda, Grosse, Salakhutdinov (2016), k = 1", "mnist")
def iwae_paper(data):
    """Burda et al. (2016), one stochastic layer, k = 1, which is the VAE: 784-200-200-50, tanh, Glorot; Adam with eps = 1e-4, batch
    20; pixels drawn black or white anew each epoch; 3^i passes at the rate 0.001 10^(-i/7), i = 0 .. 7: 3,280 passes.

    Published: 86.76 nats, 19 active units, as the mean of L_5000 over the MNIST test set (npvae evaluate --samples 5000), not the
    loss below. What the paper leaves out and its code has: the output bias starts at the logit of the training pixels' mean,
    worth about one nat (86.31 with it, 87.16 without, by others; 86.31 and 87.42 in benchmarks/reproduce, with larger batches). Its
    code further sums gradients over the batch, which eps = 1e-4 notices, has beta1 = 0.99 and never shuffles; here are the paper's
    mean and 0.9, and rows are shuffled.

    Here: the paper, plus the bias of its code. All of it on MNIST takes hours; --epochs 364 is a ninth of it, with the same eight
    rates in the same proportions.

    Expected test loss, in nats per example:
        digits: 23.76 +- 0.08 = reconstruction 19.99 + KL 3.77
        mnist: 100.64 = reconstruction 75.24 + KL 25.40 after --epochs 40, an eightieth of the whole
    """
    settings = dict(
        hidden=(200, 200), latent_dim=50, activation="tanh", init="glorot", output_mean=True, binarize="dynamic", batch_size=20,
        adam_eps=1e-4, lr=1e-3, lr_schedule="stages", epochs=3280,
    )  # fmt: skip
    if data == "digits":
        settings |= dict(hidden=(64, 64), latent_dim=20, epochs=328)
    return settings


@recipe("kingma-welling", "Kingma & Welling (2014)", "mnist")
def kingma_welling(data):
    """Kingma & Welling (2014): 500 tanh units each way, batch 100, one sample of z, Adagrad, all parameters from N(0, 0.01).

    The paper has figures, no table: Fig. 2 shows the bound for 3, 5, 10, 20 and 200 latents over 1e5 to 1e8 training samples. It
    leaves out whether 0.01 is a variance or a standard deviation (here the latter, as others read it), which of the rates 0.01,
    0.02 and 0.1 was taken, and how grey pixels became Bernoulli data. A small weight decay, its prior on theta, is not done here.

    Here: 20 latents, rate 0.02, pixels drawn black or white anew each epoch; 100 epochs, 6e6 samples on MNIST.

    Expected test loss, in nats per example:
        digits: 23.77 +- 0.07 = reconstruction 20.75 + KL 3.02
        mnist: 102.02 = reconstruction 75.89 + KL 26.13
    """
    settings = dict(
        hidden=(500,), latent_dim=20, activation="tanh", init="normal", optimizer="adagrad", lr=0.02, binarize="dynamic",
        batch_size=100, epochs=100,
    )  # fmt: skip
    if data == "digits":
        settings |= dict(hidden=(100,), epochs=400)
    return settings
