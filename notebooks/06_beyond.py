# The source of 06_beyond.ipynb: edit this file, then run: python notebooks/build.py 06_beyond

# %% [markdown]
# # 6. The derivation, volume two: pictures, other data, other objectives, labels
#
# **You will be able to** derive the backward pass of a convolution, of its transpose and of pooling; say for data of a
# given kind which p(x|z) is a likelihood, and derive its gradient; say what an objective with a kink asks of the KL on each
# side of it; condition a VAE on labels and draw the digit that is asked for.
#
# **You need** notebook 1, sections 1, 2, 5 and 7. **Time:** 90 minutes; the cells run in less than a minute. The four parts
# stand alone.
#
# **How to read.** As in notebook 1: formulas that the library uses carry its labels, here those of `npvae.beyond` and of
# `npvae.models.conditional`; the steps in between are numbered (1), (2), ...; each result is checked by the cell below it.
# Labels such as (DENSE-2), (BER-1) or (ELBO-4) are those of notebook 1. Where it says *predict, then run*, write your
# number down first.

# %%
import functools
import math
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # these matrices are too small to be worth several threads

import matplotlib.pyplot as plt
import numpy as np

from npvae import VAE, Adam, Bernoulli, Gaussian, fit, load_digits
from npvae.beyond.architectures import convolutional
from npvae.beyond.categorical import Categorical
from npvae.beyond.convolution import Conv2D, ConvTranspose2D
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.beyond.objectives import capacity, free_bits
from npvae.beyond.pooling import MaxPool2D
from npvae.core.gaussian import kl_divergence
from npvae.data.strings import from_strings, read_strings
from npvae.evaluation import elbo, kl_per_dimension
from npvae.models import ConditionalVAE
from npvae.training.schedules import linear_warmup
from npvae.verify import check_layer
from npvae.visual import plot_samples

plt.rcParams.update({"figure.figsize": (6, 3), "figure.dpi": 100, "font.size": 9})
digits = load_digits()
train_x, test_x = digits.floats("train", np.float64), digits.floats("test", np.float64)
binary_test = (test_x > 0.5).astype(np.float32)


def derivative(f, a):
    """f'(a) by the complex step, exact to rounding."""
    return np.imag(f(a + 1e-30j)) / 1e-30


def agree(what, computed, expected, rtol=1e-10):
    """Print both numbers and stop if they differ by more than rtol of the larger."""
    print(f"{what:<46} {computed:+.10g}   {expected:+.10g}")
    assert abs(computed - expected) <= rtol * max(abs(computed), abs(expected)), what


def unit(shape, *at):
    """Zeros with a single 1."""
    one = np.zeros(shape)
    one[at] = 1
    return one


# %% [markdown]
# ## 1. Convolution is a dense layer that looks through a window
#
# To a dense layer a picture is a list. Shuffle the pixels of all pictures in one and the same way, and it learns as well as
# before: that two pixels are neighbors, and that a stroke is a stroke wherever it lies, it cannot know. A convolution is
# built on both. Each of its outputs sees a small window of the picture, and all windows share one set of weights.
#
# In one dimension, with a window of $k$ values, windows that begin $s$ values apart (the *stride*), and $P$ zeros put
# before and behind the data (the *padding*):
#
# $$
# y_i = b + \sum_{p=0}^{k-1} x_{si+p-P} W_p \quad \text{where} \quad x_u = 0 \quad \text{outside the data} \tag{1}
# $$
#
# (In mathematics that is a correlation, and a convolution runs through the window backwards. For weights that are learned
# it makes no difference.)
#
# **By hand.** x = (1, 2, 3, 4, 5), W = (1, 2, 3), b = 0, stride 2, padding 1. The windows are (0, 1, 2), (2, 3, 4) and (4,
# 5, 0), so y = (8, 20, 14).
#
# Pictures have rows, columns and *channels*, several numbers a pixel: grey ones have one channel, what comes out of a
# convolution has as many as we like. A batch is an array (B, H, W, C). Let x be padded already, and write down the sum of
# products that pairs every window of x with one pixel of an array y, through the weights:
#
# $$
# T(x, W, y) = \sum_{b,i,j} \sum_{p,q,c,o} x_{b,si+p,sj+q,c} W_{pqco} y_{bijo} \tag{CONV-1}
# $$
#
# Here (b, i, j) is the window, (p, q) the place in it, c a channel of x and o a channel of y. Nearly everything that
# follows is in this one number. What multiplies y at (b, i, j, o) is the weighted sum over that window, which is the
# convolution, up to the bias. With P put back:
#
# $$
# y_{bijo} = b_o + \sum_{p,q,c} x_{b,si+p-P,sj+q-P,c} W_{pqco} \tag{CONV-2}
# $$
#
# **How many windows are there?** Along an axis with $H$ values and kernel $k$ the last window begins at $s (H' - 1)$ and
# has to end within the $H + 2P$ values of the padded data. The largest $H'$ for which it does is
#
# $$
# H' = \left\lfloor \frac{H + 2P - k}{s} \right\rfloor + 1 \tag{CONV-3}
# $$
#
# If the stride does not divide, what is left at the end is in no window.
#
# ### The way back
#
# Let dy be the derivative of the loss with respect to y. Then a small change of y changes the loss by the sum of dy times
# that change, and y changes, because T is linear in x and in W, by what (CONV-2) says with the change in place of x, plus
# the same with the change in place of W:
#
# $$
# \delta L = \sum_{b,i,j,o} dy_{bijo} \delta y_{bijo}
# = T(\delta x, W, dy) + T(x, \delta W, dy) + \sum_{b,i,j,o} dy_{bijo} \delta b_o \tag{2}
# $$
#
# A derivative is what stands in front of a change. In the second term, in front of the change of W:
#
# $$
# \frac{\partial L}{\partial W_{pqco}} = \sum_{b,i,j} x_{b,si+p-P,sj+q-P,c} dy_{bijo} \tag{CONV-4}
# $$
#
# $$
# \frac{\partial L}{\partial b_o} = \sum_{b,i,j} dy_{bijo} \tag{CONV-5}
# $$
#
# The first term names each pixel once for every window that it stands in. Collect them: pixel (u, v) is at place (p, q) of
# window (i, j) if $si + p - P = u$ and $sj + q - P = v$.
#
# $$
# \frac{\partial L}{\partial x_{buvc}} = \sum_{si+p-P=u} \sum_{sj+q-P=v} \sum_o dy_{bijo} W_{pqco} \tag{CONV-6}
# $$
#
# The sums run over i and p, over j and q. What falls on the padding belongs to no pixel and is dropped.
#
# **As matrix products.** Write each window as a row of k times k times C numbers, one below the other, and W as a matrix in
# the same order. Then (CONV-2) is (DENSE-1), a dense layer whose examples are the windows; (CONV-4) and (CONV-5) are
# (DENSE-2) and (DENSE-3); and (CONV-6) is (DENSE-4), after which every number is added to the pixel that it came from. That
# is how the library computes them. Code: `npvae.beyond.convolution.Conv2D`.
#
# **By hand**, with dy = (1, 0, 2) in the example above: dW is the first window plus twice the third, (0, 1, 2) + (8, 10, 0)
# = (8, 11, 2); db = 3; dx is once (1, 2, 3), spread over the first window, plus twice (1, 2, 3), over the third: (2, 3, 0,
# 0, 0) + (0, 0, 0, 2, 4) = (2, 3, 0, 2, 4). One 1 and one 6 fell on the padding.

# %%
rng = np.random.default_rng(0)


def row(*values):
    """A picture of one row and one channel: (1, 1, W, 1)."""
    return np.array(values, float).reshape(1, 1, -1, 1)


small = Conv2D(1, 1, kernel=(1, 3), stride=(1, 2), padding=(0, 1), rng=rng)
small.W = np.array([1.0, 2, 3]).reshape(1, 3, 1, 1)
y, cache = small.forward(row(1, 2, 3, 4, 5))
dx = small.backward(row(1, 0, 2), cache)
for what, array, expected in (
    ("y ", y, [8, 20, 14]),
    ("dW", small.dW, [8, 11, 2]),
    ("db", small.db, [3]),
    ("dx", dx, [2, 3, 0, 2, 4]),
):
    print(what, array.ravel())
    assert array.ravel().tolist() == expected

# %% [markdown]
# The same for pictures of 5 x 6 pixels with two channels, kernel 3 x 2, stride 2, padding 1: (CONV-1) term by term, and its
# derivatives by the complex step.


# %%
def T(x, W, y, s):
    """CONV-1, term by term; x is padded."""
    windows, places = np.ndindex(y.shape), list(np.ndindex(W.shape[:3]))
    return sum(x[b, s * i + p, s * j + q, c] * W[p, q, c, o] * y[b, i, j, o] for b, i, j, o in windows for p, q, c in places)


def padded(x, P):
    return np.pad(x, [(0, 0), (P, P), (P, P), (0, 0)])


conv = Conv2D(2, 3, kernel=(3, 2), stride=2, padding=1, rng=rng)
conv.b = rng.standard_normal(3)
x = rng.standard_normal((2, 5, 6, 2))
y, cache = conv.forward(x)
dy = rng.standard_normal(y.shape)
dx = conv.backward(dy, cache)
agree("CONV-1, and the sum of (y - b) dy", T(padded(x, 1), conv.W, dy, 2), np.sum((y - conv.b) * dy))
print("CONV-3: from 5 x 6 to", y.shape[1:3])
assert y.shape[1:3] == ((5 + 2 - 3) // 2 + 1, (6 + 2 - 2) // 2 + 1)
weight, pixel = unit(conv.W.shape, 2, 1, 0, 2), unit(x.shape, 1, 2, 3, 0)
agree("CONV-4, one weight", conv.dW[2, 1, 0, 2], derivative(lambda a: T(padded(x, 1), conv.W + a * weight, dy, 2), 0))
agree("CONV-5, one bias", conv.db[2], sum(dy[b, i, j, 2] for b in range(2) for i in range(3) for j in range(4)))
agree("CONV-6, one pixel", dx[1, 2, 3, 0], derivative(lambda a: T(padded(x + a * pixel, 1), conv.W, dy, 2), 0))
report = check_layer(conv, x)
print("check_layer, every weight, bias and pixel:", "ok" if report.ok else report)
assert report.ok

# %% [markdown]
# > **A mistake that NumPy invites.** With a table of indices `dx[windows] += dX` reads well and is wrong: of the additions
# > to one and the same pixel only the last one counts. Forward is right, the shapes are right; a gradient check sees it at
# > once.
#
# **Predict, then run.** Three weights that are all 1, stride 1, padding 1, and dy = 1 everywhere. What is dx, away from the
# ends, and what does the line above give? `____` and `____`

# %%
windows = np.arange(8)[:, None] + np.arange(3)  # (8, 3): places in the padded data, 10 long
right, wrong = np.zeros(10), np.zeros(10)
np.add.at(right, windows, np.ones((8, 3)))
wrong[windows] += np.ones((8, 3))
print("right", right[1:-1], " wrong", wrong[1:-1])
flat = Conv2D(1, 1, kernel=(1, 3), padding=(0, 1), rng=rng)
flat.W = np.ones((1, 3, 1, 1))
assert (flat.backward(row(*np.ones(8)), flat.forward(row(*np.ones(8)))[1]).ravel() == right[1:-1]).all()
assert right[4] == 3 and wrong[4] == 1

# %% [markdown]
# ### The transposed convolution
#
# An encoder's convolutions make pictures smaller; a decoder needs a layer that makes them larger. But for its bias a
# convolution is linear. Write the picture as one long column, and it is a matrix: $y = Ax$, with mostly zeros and the same
# few weights in every row. Here it is for eight values in a row and three weights.

# %%
stride_1 = Conv2D(1, 1, kernel=(1, 3), stride=1, padding=(0, 1), rng=rng)
stride_2 = Conv2D(1, 1, kernel=(1, 3), stride=(1, 2), padding=(0, 1), rng=rng)
transposed = ConvTranspose2D(1, 1, kernel=(1, 3), stride=(1, 2), padding=(0, 1), output_padding=(0, 1), rng=rng)
for layer in (stride_1, stride_2, transposed):
    layer.W = np.array([1.0, 2, 3]).reshape(1, 3, 1, 1)


def matrix(layer, n):
    """A of y = A x: its columns are what becomes of unit vectors."""
    return layer.forward(np.eye(n).reshape(n, 1, n, 1))[0].reshape(n, -1).T


panels = {"stride 1": matrix(stride_1, 8), "stride 2": matrix(stride_2, 8), "stride 2, transposed": matrix(transposed, 4)}
figure, axes = plt.subplots(1, 3, figsize=(6, 2.4), layout="constrained")
for axis, (name, A) in zip(axes, panels.items()):
    axis.imshow(A, cmap="gray_r", vmin=0, vmax=3)
    axis.set(title=f"{name}: {A.shape[0]} x {A.shape[1]}", xticks=range(A.shape[1]), yticks=range(A.shape[0]))
    axis.title.set_fontsize(9)
assert (panels["stride 2"] == panels["stride 1"][::2]).all() and (panels["stride 2, transposed"] == panels["stride 2"].T).all()

# %% [markdown]
# *The picture:* three matrices, their entries 0, 1, 2, 3 as shades of grey. Stride 1: a band along the diagonal. Stride 2:
# every other row of it. Right, the transpose of the middle one, with more rows than columns: four values in, eight out.
#
# For any matrix, and any two vectors that fit,
#
# $$
# \langle Ax, y \rangle = \sum_i \sum_j A_{ij} x_j y_i = \langle x, A^T y \rangle \tag{3}
# $$
#
# and $A^T$ is called the *adjoint* of A. The backward pass of $y = Ax$ is $dx = A^T dy$, by (CHAIN-2). So (CONV-6) *is* the
# adjoint of the convolution, and the layer that we want is there already: run that backward pass forward. This is the
# **transposed convolution**. To go from C channels to O it takes the W of the convolution from O to C whose adjoint it is:
#
# $$
# y_{buvo} = b_o + \sum_{si+p-P=u} \sum_{sj+q-P=v} \sum_c x_{bijc} W_{pqoc} \tag{CONVT-1}
# $$
#
# In words: each input value paints a copy of the kernel, scaled by itself, into the output; the copies lie $s$ pixels
# apart, and where they overlap they add up. (Only one in $s^2$ places of the kernel reaches a given pixel. So that the
# scale of a signal is kept, as in section 8 of notebook 1, the library lets W start $s$ times larger.)
#
# **How large is the output?** Solve (CONV-3) for H, which is the output now. Because of the floor there are $s$ solutions:
# at stride 2 with padding 1 a 3 x 3 convolution makes 7 of 13 and of 14 alike. On the way back somebody has to say which of
# them it was. That is the *output padding*, a number from 0 to $s - 1$:
#
# $$
# H' = (H - 1) s + k - 2P + \mathrm{output padding} \tag{CONVT-2}
# $$
#
# As a test that needs no loops, (3) for pictures, both layers without their bias:
#
# $$
# \sum \mathrm{conv}(y) \odot x = \sum y \odot \mathrm{convT}(x) \quad \text{for all} \quad x, y \tag{CONVT-3}
# $$
#
# **The way back** needs nothing new. The weighted sum in (CONVT-1) is what multiplies the first argument of T, now the
# large picture, so dy stands there and x in the place of the small one:
# $\delta L = T(dy, W, \delta x) + T(dy, \delta W, x) + \ldots$ Read off what stands in front:
#
# $$
# \frac{\partial L}{\partial W_{pqoc}} = \sum_{b,i,j} dy_{b,si+p-P,sj+q-P,o} x_{bijc} \tag{CONVT-4}
# $$
#
# $$
# \frac{\partial L}{\partial b_o} = \sum_{b,u,v} dy_{buvo} \tag{CONVT-5}
# $$
#
# $$
# \frac{\partial L}{\partial x_{bijc}} = \sum_{p,q,o} dy_{b,si+p-P,sj+q-P,o} W_{pqoc} \tag{CONVT-6}
# $$
#
# The last one is the convolution of dy: the adjoint of the adjoint. So two layers share three functions, each the
# derivative of T with respect to one of its arguments. Code: `npvae.beyond.convolution.ConvTranspose2D`.

# %%
big = ConvTranspose2D(3, 2, kernel=(3, 2), stride=2, padding=1, output_padding=(0, 1), rng=rng)
big.W = conv.W  # that of the convolution from 2 channels to 3 above
y_big, cache = big.forward(dy)  # dy, (2, 3, 4, 3), is just some input here
dy_big = rng.standard_normal(y_big.shape)
dx_big = big.backward(dy_big, cache)
print("CONVT-2: from 3 x 4 to", y_big.shape[1:3])
assert y_big.shape[1:3] == (2 * 2 + 3 - 2 + 0, 3 * 2 + 2 - 2 + 1)
agree("CONVT-1, CONVT-3: both sides", np.sum((conv.forward(dy_big)[0] - conv.b) * dy), np.sum(dy_big * y_big))
weight, pixel = unit(big.W.shape, 2, 1, 0, 2), unit(dy.shape, 1, 2, 3, 0)
agree("CONVT-4, one weight", big.dW[2, 1, 0, 2], derivative(lambda a: T(padded(dy_big, 1), big.W + a * weight, dy, 2), 0))
agree("CONVT-5, one bias", big.db[1], dy_big[..., 1].sum())
agree("CONVT-6, one pixel", dx_big[1, 2, 3, 0], derivative(lambda a: T(padded(dy_big, 1), big.W, dy + a * pixel, 2), 0))
report = check_layer(big, dy)
print("check_layer, every weight, bias and pixel:", "ok" if report.ok else report)
assert report.ok

# %% [markdown]
# **Why 7 never becomes 28.** Article 4, the convolutional VAE, goes from 7 x 7 through three transposed convolutions with a
# 3 x 3 kernel, stride 1 and no padding, and expects 28 x 28. By (CONVT-2) each of them adds $k - 1 = 2$: 7, 9, 11, 13. More
# of them would not help, since 28 - 7 = 21 is odd. With stride 2, padding 1 and output padding 1 each doubles the size: 7,
# 14, 28.
#
# **Predict, then run.** A transposed convolution with three weights that are all 1, stride 2, padding 1, output padding 1,
# on a row of ones. Which pattern comes out? `____`

# %%
for name, settings in (
    ("article 4", [{}] * 3),
    ("corrected", [{"stride": 2, "padding": 1, "output_padding": 1}] * 2 + [{"padding": 1}]),
):
    picture, sizes = np.zeros((1, 7, 7, 1)), [7]
    for options in settings:
        picture = ConvTranspose2D(1, 1, kernel=3, **options, rng=rng).forward(picture)[0]
        sizes.append(picture.shape[1])
    print(name, sizes)
assert sizes == [7, 14, 28, 28]
transposed.W = np.ones((1, 3, 1, 1))
print("ones become", transposed.forward(row(1, 1, 1, 1, 1))[0].ravel())
assert transposed.forward(row(1, 1, 1, 1, 1))[0].ravel().tolist() == [1, 2, 1, 2, 1, 2, 1, 2, 1, 1]

# %% [markdown]
# Ones and twos in turn, because 2 does not divide 3: every other pixel is reached by two copies of the kernel. In two
# dimensions this is the *checkerboard* in the early samples of such decoders. It is no bug, and the weights can learn to
# undo it.
#
# ### Max-pooling
#
# The other way to make a picture smaller: of each window keep the largest value, in each channel.
#
# $$
# y_{bijc} = \max_{p,q} x_{b,si+p,sj+q,c} \tag{POOL-1}
# $$
#
# A value that is larger than all others of its window stays the largest while it moves a little, so y moves as it does; the
# others move and y stays. A pixel gets the derivatives of all windows whose largest value it is:
#
# $$
# \frac{\partial L}{\partial x_{buvc}} = \sum_{i,j} dy_{bijc}
# \quad \text{over the windows whose largest pixel is} \quad (u, v) \tag{POOL-2}
# $$
#
# With windows side by side, the usual case, the sum has at most one term. If two values are equal and largest there is no
# derivative, as for ReLU at 0; npvae gives all of it to the first in reading order. That happens all the time, where ReLU
# has set a whole window to 0. Code: `npvae.beyond.pooling.MaxPool2D`.

# %%
pool = MaxPool2D(2)
x = np.array([[1.0, 5, 2, 2], [3, 4, 0, 2]]).reshape(1, 2, 4, 1)
y, cache = pool.forward(x)
dx = pool.backward(np.array([10.0, 20]).reshape(1, 1, 2, 1), cache)
print("x\n", x[0, :, :, 0], "\ny ", y.ravel(), "\ndx\n", dx[0, :, :, 0])
assert y.ravel().tolist() == [5, 2] and dx.ravel().tolist() == [0, 10, 20, 0, 0, 0, 0, 0]
report = check_layer(MaxPool2D((3, 2), stride=2), rng.standard_normal((2, 7, 6, 3)))
print("check_layer, overlapping windows:", "ok" if report.ok else report)
assert report.ok

# %% [markdown]
# ### A convolutional VAE beside a dense one
#
# `convolutional` builds the model of article 4 as it was meant: down by convolutions and pooling, up by transposed ones of
# stride 2. On the 8 x 8 digits with few channels it has as many parameters as a dense VAE with 51 hidden units. Both see
# the same pictures, black and white, drawn afresh from the greys in each epoch; beta grows from 0 to 1 in the first half,
# by (SCHED-1).
#
# **Predict, then run.** Which of them has the better ELBO on the test digits, and which needs fewer multiplications? `____`
# and `____`

# %%
settings = dict(latent_dim=8, likelihood=Bernoulli(), output_mean=train_x.mean(axis=0))
warm = dict(epochs=40, batch_size=64, binarize="dynamic", beta=linear_warmup(1.0, warmup=0.5), progress=False)
pictures = {}
for name, build in (
    ("convolutional", functools.partial(convolutional, (8, 8), channels=(8, 16), hidden=32)),
    ("dense", functools.partial(VAE.dense, 64, hidden=(51,))),
):
    vae = build(rng=np.random.default_rng(1), **settings)
    last = fit(vae, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), **warm).records[-1]
    bound = elbo(vae, binary_test, np.random.default_rng(3), samples=10).mean()
    print(f"{name:<14} {vae.params.size:,} parameters   KL {last['kl']:.1f}   ELBO on the test digits {bound:.1f} nats")
    pictures[name] = vae.sample(10, np.random.default_rng(4))
    assert {"convolutional": -23 < bound < -20.6, "dense": -20.7 < bound < -19.8}[name]
plot_samples(np.concatenate(list(pictures.values())), (8, 8))

# %% [markdown]
# *The picture:* ten samples of the convolutional VAE above, ten of the dense one below.
#
# The dense one is better by about a nat, and it needs a seventh of the multiplications: a weight of a convolution is used
# at every place of the picture. That is an honest result and no rule. These digits are tiny, centered and upright, so that
# a weight that looks at one place always finds the same part of a digit there, and 1,437 pictures are few. What a
# convolution is built on, that things may lie anywhere, is not what these pictures are like.

# %% [markdown]
# ## 2. What p(x|z) may be
#
# The decoder's output says which distribution $x$ has, given $z$. Of that distribution three things are asked. It must be
# one: a density that integrates to 1 over all $x$, or probabilities that sum to 1. The nll must have every factor that
# depends on the output. And it must have a lower bound, or training has no end.
#
# ### A variance for each pixel
#
# The Gaussian of notebook 1 has one $\sigma$ for all pixels. But some are easy, the corner that is always empty, and some
# are hard, the edge of a stroke. Let the decoder give two numbers a pixel, a mean $m$ and an $s$ that the variance is made
# of. With $\sigma^2 = e^s$, as in the encoder, the nll of a pixel is
#
# $$
# \frac{1}{2} \left( \frac{(x - m)^2}{e^s} + s + \log 2\pi \right) \tag{4}
# $$
#
# If a pixel has the same value in every picture, the decoder learns it exactly, $m = x$. What is left is half of
# $s + \log 2\pi$, and that has no lower bound: **the likelihood is unbounded**. One such pixel is enough. The remedy is a
# floor:
#
# $$
# \sigma^2 = \sigma_{min}^2 + e^s \tag{PIX-1}
# $$
#
# $$
# \mathrm{nll} = \frac{1}{2} \sum_d \left( \frac{(x_d - m_d)^2}{\sigma_d^2} + \log \sigma_d^2 + \log 2\pi \right) \tag{PIX-2}
# $$
#
# Now no pixel costs less than log min_sigma + 0.919. The floor is smooth, with a slope at every $s$; below a hard one,
# $\max(s, \mathrm{floor})$, a pixel would be stuck. How high? Grey levels are rounded. A value known to a step $\delta$ is
# off by up to $\delta / 2$, and an error that is uniform has the standard deviation $\delta / \sqrt{12}$: 0.018 for the 17
# levels of the bundled digits, 0.0011 for 8-bit pictures. A lower floor claims to know more than the data say.
#
# **Gradient.** The mean stands in the square only. As for the variance,
#
# $$
# \frac{\partial \mathrm{nll}}{\partial \sigma^2} = \frac{1}{2} \left( \frac{1}{\sigma^2} - \frac{(x - m)^2}{\sigma^4} \right),
# \qquad \frac{d\sigma^2}{ds} = e^s \tag{5}
# $$
#
# $$
# \frac{\partial \mathrm{nll}}{\partial m} = -\frac{x - m}{\sigma^2} \tag{PIX-3}
# $$
#
# $$
# \frac{\partial \mathrm{nll}}{\partial s}
# = \frac{1}{2} \left( 1 - \frac{(x - m)^2}{\sigma^2} \right) \frac{e^s}{\sigma^2} \tag{PIX-4}
# $$
#
# (PIX-4) is 0 where $\sigma^2$ is the squared error: the model learns how wrong it is. The last factor is the part of the
# variance that is no floor; with f for twice the logarithm of min_sigma it is $\mathrm{sigmoid}(s - f)$, and
# $\log \sigma^2 = f + \mathrm{softplus}(s - f)$. Computed so, nothing overflows. Code:
# `npvae.beyond.likelihoods.DiagonalGaussian`.
#
# **Predict, then run.** How many of the 64 pixels never change in the training digits? `____` And what does such a pixel
# cost at s = -1000, without a floor and with 0.018? `____` and `____`

# %%
print("pixels that never change:", np.sum(train_x.std(axis=0) == 0))
floored = DiagonalGaussian(min_sigma=0.018)
for s in (0.0, -10.0, -100.0, -1000.0):
    print(f"s = {s:6.0f}: without a floor {0.5 * (s + math.log(2 * math.pi)):9.3f}, with it", end=" ")
    print(f"{floored.nll(np.array([[0.25, s]]), np.array([[0.25]]))[0]:7.3f} nats")
lowest = floored.nll(np.array([[0.25, -1000]]), np.array([[0.25]]))[0]
agree("lowest nll, log 0.018 + 0.919", lowest, math.log(0.018) + 0.5 * math.log(2 * math.pi))
assert 0.0175 < 1 / 16 / math.sqrt(12) < 0.0185 and 0.0011 < 1 / 255 / math.sqrt(12) < 0.00115
assert np.sum(train_x.std(axis=0) == 0) == 3

x, out = np.array([[0.2, 0.9]]), np.array([[0.25, 0.6, -6.0, -2.5]])  # out: m of both pixels, s of both
sigma = np.sqrt(0.018**2 + np.exp(out[0, 2:]))  # PIX-1
nll, dout = floored.nll_and_grad(out, x)
by_hand = sum(0.5 * math.log(2 * math.pi) + math.log(sd) + 0.5 * ((x[0, i] - out[0, i]) / sd) ** 2 for i, sd in enumerate(sigma))
agree("PIX-1, PIX-2", nll[0], by_hand)
for i, label in enumerate(("PIX-3, pixel 0", "PIX-3, pixel 1", "PIX-4, pixel 0", "PIX-4, pixel 1")):
    agree(label, dout[0, i], derivative(lambda a, i=i: floored.nll(out + a * unit(out.shape, 0, i), x)[0], 0))
best = DiagonalGaussian(min_sigma=1e-6).nll_and_grad(np.array([[0.2, 2 * math.log(0.3)]]), np.array([[0.5]]))[1][0, 1]
print(f"PIX-4 where sigma is the error, 0.3: {best:.0e}")
assert abs(best) < 1e-10

# %% [markdown]
# What is it worth? The same VAE with one sigma that is learned, and with one for each pixel:

# %%
grey = dict(hidden=(128,), latent_dim=8, dtype=np.float64, output_mean=train_x.mean(axis=0))
runs = dict(epochs=40, batch_size=64, progress=False)
for name, likelihood in (("one sigma, learned", Gaussian(sigma=0.2, learn=True)), ("sigma for each pixel", floored)):
    vae = VAE.dense(64, likelihood=likelihood, rng=np.random.default_rng(1), **grey)
    fit(vae, digits, optimizer=Adam(lr=1e-3), rng=np.random.default_rng(2), **runs)
    bound = elbo(vae, test_x, np.random.default_rng(3), samples=10).mean()
    print(f"{name:<22} ELBO on the test digits {bound:5.1f} nats")
    assert (bound > 45) == (likelihood is floored) and bound > 10
out = vae.decode(vae.encode(test_x)[0])
mean, sigma = out[:, :64], np.sqrt(0.018**2 + np.exp(out[:, 64:]))
for about in (0.02, 0.05, 0.1, 0.2, 0.3):
    some = (sigma > 0.8 * about) & (sigma < 1.25 * about)
    error = np.sqrt(np.mean((test_x - mean)[some] ** 2))
    print(f"{np.sum(some):5d} test pixels with sigma about {about}: typical error {error:.3f}")
    assert about < 0.1 or abs(error / about - 1) < 0.2
plot_samples(np.concatenate([test_x[:10], np.clip(mean[:10], 0, 1), np.clip(2 * sigma[:10], 0, 1)]), (8, 8))

# %% [markdown]
# *The picture:* ten test digits; below, their reconstructed means; at the bottom sigma, black from 0.5 on: white at the two
# sides, where hardly a digit has ink, and grey where digits differ.
#
# The sigma that the model states is the error that it makes, on pictures that it has never seen; only near the floor is it
# too cautious. Mind, though, where most of the gain in ELBO comes from: from pixels that are nearly always 0. It says
# little about how the digits look.
#
# The ELBO is that of a density here, and positive: at sigma 0.02 a density is about 20. It does not compare with the nats
# of black and white pixels.

# %% [markdown]
# ### Grey pixels: the continuous Bernoulli
#
# (BER-1) is the nll of a pixel that is black or white. Much public code feeds it grey ones. Is it then the nll of
# something? Call $\lambda = \mathrm{sigmoid}(l)$, so that $\lambda / (1 - \lambda) = e^l$ and
# $1 - \lambda = 1 / (1 + e^l)$. The "density" is
#
# $$
# \lambda^x (1 - \lambda)^{1-x} = (1 - \lambda) e^{lx} = \frac{e^{lx}}{1 + e^l} \tag{6}
# $$
#
# and integrated over all greys it gives, since $\tanh(l/2) = (e^l - 1) / (e^l + 1)$,
#
# $$
# \int_0^1 \frac{e^{lx}}{1 + e^l} dx = \frac{e^l - 1}{l (e^l + 1)} = \frac{\tanh(l/2)}{l} \le \frac{1}{2} \tag{7}
# $$
#
# At least half of the probability is missing, and how much depends on the output, so that it cannot be left out as a
# constant: no likelihood. Divide by it, with $C = l / \tanh(l/2)$, and it is one, the *continuous Bernoulli* of
# Loaiza-Ganem & Cunningham:
#
# $$
# \mathrm{nll} = \sum_d \left( (1 - x_d) \mathrm{softplus}(l_d) + x_d \mathrm{softplus}(-l_d) - \log C(l_d) \right) \tag{CB-1}
# $$
#
# $$
# C(l) = \frac{l}{\tanh(l/2)} = 2 + 2l \left( \mathbb{E}[x \mid z] - \frac{1}{2} \right), \qquad C(0) = 2 \tag{CB-2}
# $$
#
# The second form follows below. **The mean.** By (6) and (7) the nll of a pixel is, collected,
#
# $$
# \mathrm{nll} = \log Q(l) - lx \quad \text{with} \quad Q(l) = \int_0^1 e^{lx} dx = \frac{e^l - 1}{l} \tag{8}
# $$
#
# Differentiate log Q in two ways: under the integral the mean comes out, and from the closed form we learn what it is.
#
# $$
# \frac{d \log Q}{dl} = \frac{1}{Q} \int_0^1 x e^{lx} dx = \mathbb{E}[x \mid z], \qquad
# \frac{d \log Q}{dl} = \frac{e^l}{e^l - 1} - \frac{1}{l} \tag{9}
# $$
#
# $$
# \mathbb{E}[x \mid z] = \frac{1}{1 - e^{-l}} - \frac{1}{l}, \qquad \frac{1}{2} \quad \text{at} \quad l = 0 \tag{CB-3}
# $$
#
# This is not $\lambda$; it is nearer to 1/2. (And since $1 / (1 - e^{-l})$ is 1/2 plus half of $1 / \tanh(l/2)$, twice $l$
# times (CB-3) less 1/2 is $C - 2$, which was the second form of (CB-2).) The gradient is by (8) and (9) *predicted minus
# true*, as for black and white, but what is predicted is the mean:
#
# $$
# \frac{\partial \mathrm{nll}}{\partial l} = (1 - x) \mathbb{E}[x \mid z] - x (1 - \mathbb{E}[x \mid z])
# = \mathbb{E}[x \mid z] - x \tag{CB-4}
# $$
#
# The middle form, again, is the one without cancellation.
#
# **Near l = 0** nothing happens, C is about 2 and the mean about 1/2, but (CB-3) subtracts two huge numbers. A power series
# does not. Bernoulli's numbers (the same Bernoulli) are defined by
#
# $$
# \frac{l}{e^l - 1} = 1 - \frac{l}{2} + \sum_{k=1}^{\infty} \frac{B_{2k}}{(2k)!} l^{2k} \quad \text{with} \quad
# B_2 = \frac{1}{6}, \quad B_4 = -\frac{1}{30}, \quad B_6 = \frac{1}{42}, \ldots \tag{10}
# $$
#
# Since $1 / (1 - e^{-l}) = 1 + 1 / (e^l - 1)$, divide (10) by $l$ and put it into (CB-3). Both poles cancel:
#
# $$
# \mathbb{E}[x \mid z] = \frac{1}{2} + \sum_{k=1}^{\infty} \frac{B_{2k}}{(2k)!} l^{2k-1}
# = \frac{1}{2} + \frac{l}{12} - \frac{l^3}{720} + \frac{l^5}{30240} - \ldots \tag{11}
# $$
#
# It converges up to the next pole, for $|l| < 2\pi$. The library takes ten terms where $|l| < 1$ and (CB-3) elsewhere; C
# follows from the second form of (CB-2). Code: `npvae.beyond.likelihoods.ContinuousBernoulli`.
#
# **What is left of the third demand.** A pixel that is exactly 0 or 1 in every picture still has no lower bound: its nll is
# -log C but for a vanishing term, and C grows like $|l|$. That is slow, where the Gaussian without a floor was fast (ten times
# the logit for each 2.3 nats), but black and white pixels belong under Bernoulli.
#
# **Predict, then run.** What does (CB-3) give at l = 1e-8, computed as printed? `____` And a pixel with $\lambda = 0.9$:
# what is its mean? `____`

# %%
continuous = ContinuousBernoulli()
greys = (np.arange(200_000) + 0.5) / 200_000  # the middles of 200,000 steps


def cb_nll(logit, x):
    return continuous.nll(np.array([[logit]]), np.array([[x]]))[0]


def cb_mean(logit):
    return continuous.mean(np.array([[logit]]))[0, 0]


for lam, log_C, mean in ((0.1, 1.01033855949085408, 0.330119613313418697), (0.4, 0.706717456716220392, 0.466303462376431686)):
    logit = math.log(lam / (1 - lam))
    density = np.exp(-continuous.nll(np.full((200_000, 1), logit), greys[:, None]))
    agree(f"(7): the missing factor, lambda = {lam}", np.mean(lam**greys * (1 - lam) ** (1 - greys)), math.exp(-log_C), rtol=1e-9)
    agree("CB-1: integral of the density", np.mean(density), 1, rtol=1e-9)
    agree("CB-2: log C, 18-digit value", math.log(logit / math.tanh(logit / 2)), log_C)
    agree("CB-2: C, second form", logit / math.tanh(logit / 2), 2 + 2 * logit * (cb_mean(logit) - 0.5))
    agree("CB-3: the mean, by integral", cb_mean(logit), np.mean(greys * density), rtol=1e-9)
    agree("CB-3: the mean, 18-digit value", cb_mean(logit), mean)
for logit in (-30.0, 0.0, 0.999, 1.001, 5.0):
    gradient = continuous.nll_and_grad(np.array([[logit]]), np.array([[0.7]]))[1][0, 0]
    agree(f"CB-4 at l = {logit}", gradient, derivative(lambda a: cb_nll(a, 0.7), logit))
agree("(11), three terms, at l = 0.1", cb_mean(0.1), 0.5 + 0.1 / 12 - 0.1**3 / 720 + 0.1**5 / 30240)
print("CB-3 as printed at l = 1e-8:", round(1 / (1 - math.exp(-1e-8)) - 1e8, 4), " by the series:", cb_mean(1e-8))
print("mean at lambda = 0.9:", round(cb_mean(math.log(9)), 4))
assert abs(cb_mean(1e-8) - 0.5) < 1e-9 and abs(1 / (1 - math.exp(-1e-8)) - 1e8 - 0.5) > 0.1
assert abs(cb_mean(math.log(9)) - 0.669880386686581303) < 1e-14

# %%
figure, axes = plt.subplots(1, 2, figsize=(6, 2.6), sharey=True, layout="constrained")
shades = np.linspace(0, 1, 101)
for lam, style in ((0.02, "-"), (0.2, "--"), (0.5, ":")):
    bare = lam**shades * (1 - lam) ** (1 - shades)
    logit = math.log(lam / (1 - lam))
    axes[0].plot(shades, bare, style, color="tab:blue", label=f"lambda {lam}")
    axes[1].plot(shades, np.exp(-continuous.nll(np.full((101, 1), logit), shades[:, None])), style, color="tab:blue")
axes[0].set(title="Bernoulli on greys", xlabel="x", ylabel="density")
axes[1].set(title="continuous Bernoulli", xlabel="x")
axes[0].legend()
assert continuous.nll(np.zeros((1, 1)), np.array([[0.3]]))[0] == 0  # at lambda = 1/2 the density is 1

# %% [markdown]
# *The picture:* left, three curves with an area of at most a half beneath each; right, the same curves raised until the
# area is 1: a falling exponential, a flatter one, and the uniform density at $\lambda = 1/2$.
#
# What does it change? Two VAEs, alike but for the likelihood. The second column reads both with the right density, in nats.

# %%
for likelihood in (Bernoulli(), continuous):
    vae = VAE.dense(64, likelihood=likelihood, rng=np.random.default_rng(1), **grey)
    last = fit(vae, digits, optimizer=Adam(lr=2e-3), rng=np.random.default_rng(2), **runs).records[-1]
    error = np.mean((vae.reconstruct(test_x) - test_x) ** 2)
    as_density = VAE(vae.encoder.astype(np.float64), vae.decoder.astype(np.float64), continuous, 8)
    bound = elbo(as_density, test_x, np.random.default_rng(3), samples=10).mean()
    name = type(likelihood).__name__
    print(f"{name:<20} loss {last['loss']:6.1f}, as a density {bound:5.1f}, KL {last['kl']:3.1f}, mean squared error {error:.4f}")
    assert (bound > 120) == (likelihood is continuous) == (error < 0.028)

# %% [markdown]
# The loss of the first is a cross-entropy and bounds nothing; that of the second is minus a bound on the density of grey
# pictures. Learned with its factor C the model dares more extreme $\lambda$, its codes carry more nats, and its mean
# (CB-3), which is what one shows, comes closer to the pictures than $\lambda$ does after training without.
#
# > **A common mistake**: $\lambda$ is shown as the reconstruction of a continuous Bernoulli. At $\lambda = 0.9$ the mean is
# > 0.67.

# %% [markdown]
# ### Letters: the categorical distribution
#
# A letter is one of $n$. Written *one-hot*, it is $n$ numbers, a single 1 among zeros; a string of L letters is a row of L
# n numbers. The decoder gives as many logits $a$, and at each place the softmax makes probabilities of them, positive and
# with sum 1 whatever the logits are, $p = e^a / \sum e^a$ in short. In logarithms, with the largest logit $m$ taken out as
# in (LSE-1):
#
# $$
# \log p_i = a_i - m - \log \sum_j e^{a_j - m} \quad \text{with} \quad m = \max_j a_j \tag{CAT-1}
# $$
#
# Given z the letters of a string are independent, so that their logarithms add up; the one-hot row picks the right one:
#
# $$
# \mathrm{nll} = -\sum_{places} \sum_i x_i \log p_i \tag{CAT-2}
# $$
#
# Differentiate (CAT-1), where $m$ cancels and may be ignored: the logarithm of the sum has the derivative $e^a / \sum e^a$,
# which is $p$ again,
#
# $$
# \frac{\partial \log p_i}{\partial a_k} = \delta_{ik} - p_k \quad \Rightarrow \quad
# \frac{\partial \mathrm{nll}}{\partial a_k} = -\sum_i x_i (\delta_{ik} - p_k) = p_k \sum_i x_i - x_k \tag{12}
# $$
#
# and since the x of a place sum to 1, it is predicted minus true for the third time:
#
# $$
# \frac{\partial \mathrm{nll}}{\partial a} = p - x \tag{CAT-3}
# $$
#
# The gradients of a place sum to 0: the same number added to all its logits changes nothing. With two letters only the
# difference of the logits counts, and (CAT-2) is (BER-1). Code: `npvae.beyond.categorical.Categorical`.

# %%
a, x = np.array([[1.0, -0.5, 0.25, 800.0, 0.0, 801.0]]), np.array([[0.0, 1, 0, 0, 0, 1]])  # two places, three letters
letters = Categorical(3)
nll, da = letters.nll_and_grad(a, x)
agree("CAT-1, CAT-2", nll[0], math.log(math.e + math.exp(-0.5) + math.exp(0.25)) + 0.5 + math.log(1 + math.exp(-1)))
for k in range(6):
    agree(f"CAT-3, logit {k}", da[0, k], derivative(lambda t, k=k: letters.nll(a + t * unit(a.shape, 0, k), x)[0], 0))
assert abs(da[0, :3].sum()) < 1e-15
of_two = Categorical(2).nll(np.array([[0.3, 1.1]]), np.array([[0.0, 1]]))[0]
agree("CAT-2 with two letters, BER-1", of_two, Bernoulli().nll(np.array([[1.1 - 0.3]]), np.ones((1, 1)))[0])

# %% [markdown]
# **Strings that obey a grammar.** Chemists write molecules as strings (SMILES). For an alkane three letters will do: C is a
# carbon, bonded to the one before; what branches off stands in brackets. CC(C)C is isobutane, whose second carbon has three
# neighbors. Hydrogens are not written; they fill each carbon up to four bonds. A string is *valid* if it begins with a
# carbon, its brackets match, none is empty or opens right behind another, and no carbon has more than four bonds.
#
# That makes a strict test, since nobody tells the decoder, and one wrong bracket spoils a string. All strings of up to nine
# carbons, the main chain written last:


# %%
@functools.cache
def chains(n, bonds):
    """Every way to write n carbons, the first of which has so many bonds to give."""
    return frozenset("C" + rest for rest in onward(n - 1, bonds))


@functools.cache
def onward(n, bonds):
    """Every way to go on with n carbons behind one that has so many bonds left: branches first, then the main chain."""
    if n == 0:
        return frozenset([""])
    branched = ((part, side) for part in range(1, n) for side in chains(part, 3) if bonds > 1)
    return chains(n, 3).union(f"({side}){rest}" for part, side in branched for rest in onward(n - part, bonds - 1))


def is_valid(string):
    """Is this an alkane? The bonds of each carbon, and a stack of the carbons at which branches began."""
    bonds, branches, last, before = [], [], None, ""
    for letter in string:
        if letter == "C":
            bonds.append(0 if last is None else 1)
            if last is not None:
                bonds[last] += 1
            last = len(bonds) - 1
        elif letter == "(" and before not in ("", "("):
            branches.append(last)
        elif letter == ")" and branches and before != "(":
            last = branches.pop()
        else:
            return False
        before = letter
    return bool(bonds) and not branches and max(bonds) <= 4


strings = sorted(string for n in range(1, 10) for string in chains(n, 4))
assert all(map(is_valid, strings)) and is_valid("CC(C)C")
assert not any(map(is_valid, ("", "(C)C", "C()C", "C((C))C", "CC(C", "CC)C", "C(C)(C)(C)(C)C", "C C")))
shuffled = [strings[i] for i in np.random.default_rng(0).permutation(len(strings))]
molecules = from_strings(shuffled, "alkanes", alphabet=" C()")
known, unseen = shuffled[: len(molecules.train)], shuffled[len(molecules.train) :]
print(len(strings), "strings of up to", max(map(len, strings)), "letters, such as", *shuffled[:3])
print(len(known), "for training,", len(unseen), "held out")

# %% [markdown]
# A VAE of 19 places and four letters, the space among them, which fills up the shorter ones. First: does it read back what
# it has not seen, from z = mu, the likeliest letter of each place?

# %%
D = molecules.train.shape[1]
sizes = dict(hidden=(128,), latent_dim=8, dtype=np.float64, output_mean=molecules.train.mean(axis=0))
vae = VAE.dense(D, likelihood=Categorical(4), rng=np.random.default_rng(1), **sizes)
fit(vae, molecules, optimizer=Adam(lr=3e-3), epochs=80, batch_size=64, rng=np.random.default_rng(2), progress=False)
held_out = molecules.floats("test", np.float64)
read_back = read_strings(vae.reconstruct(held_out), molecules.alphabet)
for string, again in list(zip(unseen, read_back))[:5]:
    print(f"{string:<20} {again:<20} {'the same' if string == again else 'another one' if is_valid(again) else 'no molecule'}")
same = np.mean([string == again for string, again in zip(unseen, read_back)])
print(f"{100 * same:.0f} % of the held-out strings come back without a mistake")
assert 0.6 < same < 0.9

# %% [markdown]
# **Predict, then run.** Now new ones: z from the prior, then each letter from its own probabilities. What share of a
# thousand strings is valid? For comparison, letters drawn without any z, each place from its own frequencies. `____` and
# `____`

# %%
rng = np.random.default_rng(3)
z = vae.noise(1000, rng)
mu, logvar = vae.encode(held_out)
from_posterior = np.tile(mu, (7, 1))[:1000] + np.exp(np.tile(logvar, (7, 1))[:1000] / 2) * vae.noise(1000, rng)
frequencies = np.tile(np.log(np.maximum(molecules.train.mean(axis=0), 1e-9)), (1000, 1))
draws = {
    "no z: each place by itself": vae.likelihood.sample(frequencies, rng),
    "z from the prior, letters drawn": vae.likelihood.sample(vae.decode(z), rng),
    "z from the prior, likeliest letters": vae.likelihood.mean(vae.decode(z)),
    "z from q(z|x) of held-out x, drawn": vae.likelihood.sample(vae.decode(from_posterior), rng),
}
share = {}
for name, rows in draws.items():
    found = read_strings(rows, molecules.alphabet)
    valid = [string for string in found if is_valid(string)]
    share[name] = len(valid) / len(found)
    new = len(set(valid) - set(known))
    print(f"{name:<36} {100 * share[name]:5.1f} % valid, {len(set(valid)):3d} different, {new:3d} of them not seen in training")
assert share["no z: each place by itself"] < 0.03 and 0.1 < share["z from the prior, letters drawn"] < 0.25
print("drawn:", *read_strings(draws["z from the prior, letters drawn"][:6], molecules.alphabet), sep="\n   ")

# %% [markdown]
# About one in six, against one in a hundred: z does most of the work, and not enough. The codes of real strings, last line,
# do only a little better than those of the prior, so the fault lies with the letters. Each is drawn by itself: where z leaves open
# whether a bracket stands here or one place further, the others do not know which was drawn. Taking the likeliest letters
# helps, and is no longer sampling from the model. The cure is a decoder that sees the letters before it, and belongs to
# another book.
#
# > **A common mistake**: the share of valid strings among reconstructions, or among likeliest letters, is reported as that
# > of samples.

# %% [markdown]
# ## 3. What the objective may be
#
# Each objective below is the reconstruction plus something made of the KL. In the gradient only one thing changes: the
# factor dL/dKL that (KL-2) and (KL-3) multiply by: beta / B in section 9 of notebook 1. From there on the way back is the
# same, so one derivative each is all there is to derive. And whatever is minimized, what is reported is the ELBO, with beta
# = 1.
#
# **beta-VAE** is (ELBO-4) itself, `fit(..., beta=4)`: a nat of KL has a price. How many are bought depends on the data, and
# may well be none.
#
# ### Capacity: so many nats
#
# One would rather say how many nats the code shall have. Article 5, the one on nonlinear problems, wants the KL below a
# threshold and then minimizes the reconstruction *minus* beta KL, which pays for every nat without limit. Burgess et al.
# put the difference between bars:
#
# $$
# L = \mathrm{reconstruction} + \beta \left| \mathrm{KL} - C \right| \quad \text{with} \quad
# \mathrm{KL} = \frac{1}{B} \sum_b \mathrm{KL}_b \tag{CAP-1}
# $$
#
# Above C the bars hold $\mathrm{KL} - C$, below it $C - \mathrm{KL}$:
#
# $$
# \frac{\partial L}{\partial \mathrm{KL}} = \beta \mathrm{sign}(\mathrm{KL} - C) \tag{CAP-2}
# $$
#
# Above C a nat costs beta, below it earns beta. At C there is no derivative; npvae takes 0. The KL is the batch's: bars
# around the KL of each example would ask the same of every picture, the easy and the hard.
#
# **Where does it end?** Let R(k) be the least reconstruction that codes of $k$ nats allow. It falls as $k$ grows, ever more
# slowly. Left of C both terms of $R(k) + \beta |k - C|$ fall, so the minimum is not there. Right of C the sum rises at once
# if R falls by less than beta a nat at C, and then the minimum is at C; else it lies where R falls by just beta a nat,
# which is where the beta-VAE ends. So **C is reached only if beta is above the price that the data pay**, and a large beta
# is safe, other than in a beta-VAE.
#
# **Is it a bound?** For $\beta \ge 1$ the loss is at least reconstruction + KL - C. So -(L + C) is a bound, too, if a loose
# one.
#
# ### Free bits: a floor for each latent
#
# Early in training the decoder cannot read the code, and the KL is pure cost. Switching latents off is the quick way out,
# and some never come back. Kingma et al. charge nothing for the first $\lambda$ nats of each:
#
# $$
# L = \mathrm{reconstruction} + \beta \sum_k \max(\lambda, \mathrm{KL}_k) \quad \text{with} \quad
# \mathrm{KL}_k = \frac{1}{B} \sum_b \mathrm{KL}_{bk} \tag{FREE-1}
# $$
#
# $$
# \frac{\partial L}{\partial \mathrm{KL}_k} = \beta \quad \text{where} \quad \mathrm{KL}_k > \lambda,
# \quad \text{else} \quad 0 \tag{FREE-2}
# $$
#
# Below $\lambda$ a latent feels the reconstruction alone, which nearly always likes to know more; so each rises to about
# $\lambda$. At the kink npvae takes 0. With beta = 1 the loss is at least minus the ELBO, since each maximum is at least
# its KL. (Their $\lambda$ is for a group of latents; here a group is one latent.) Code: `npvae.beyond.objectives.capacity`
# and `free_bits`.
#
# **Check**, on both sides of each kink: the gradient of the objective along a random direction, against the complex step;
# and against the two gradients that it is made of, that of the reconstruction (beta = 0) and that of the KL.

# %%
rng = np.random.default_rng(4)
tiny = VAE.dense(5, hidden=(4,), latent_dim=3, rng=rng, dtype=np.float64)
tiny.params.theta += 0.3 * rng.standard_normal(tiny.params.size)
x, eps = rng.integers(0, 2, (6, 5)).astype(float), tiny.noise(6, rng)
direction = rng.standard_normal(tiny.params.size)
kl = tiny.loss(x, eps).kl
kl_each = kl_per_dimension(tiny, x)


def slopes(objective):
    """The slope of an objective along the direction: by its gradient, and by the complex step."""
    objective(tiny, x, eps[None])  # (K, B, Z) with K = 1
    twin = tiny.astype(complex)
    twin.params.theta += 1e-30j * direction
    return tiny.params.grad @ direction, objective(twin, x, eps[None]).total.imag / 1e-30


def part(beta):
    """The slope of reconstruction + beta KL."""
    tiny.loss_and_grad(x, eps, beta)
    return tiny.params.grad @ direction


print(f"KL {kl:.3f}, of each latent", kl_each.round(3))
for C in (0.5 * kl, 2 * kl):
    by_gradient, by_step = slopes(capacity(beta=3.0, C=C))
    agree(f"CAP-2 at C = {C:.3f}, complex step", by_gradient, by_step)
    agree("   reconstruction + beta sign(KL - C) KL", by_gradient, part(0) + 3 * np.sign(kl - C) * (part(1) - part(0)))
agree("   at the kink, C = KL: 0", slopes(capacity(beta=3.0, C=kl))[0], part(0))
agree("   at C = 0 it is the beta-VAE", slopes(capacity(beta=3.0, C=0.0))[0], part(3))
for nats in (0.0, float(np.sort(kl_each)[1]) + 1e-3, 9.0):
    by_gradient, by_step = slopes(free_bits(nats, beta=3.0))
    agree(f"FREE-2 at {nats:.3f} nats, {np.sum(kl_each > nats)} of 3 above", by_gradient, by_step)
agree("   all latents above: beta = 3", slopes(free_bits(0.0, beta=3.0))[0], part(3))
agree("   none above: beta = 0", slopes(free_bits(9.0, beta=3.0))[0], part(0))
plain = tiny.loss(x, eps)
agree("CAP-1", capacity(3.0, 1.5)(tiny, x, eps[None]).total, plain.reconstruction + 3 * abs(kl - 1.5))
agree("FREE-1", free_bits(0.2)(tiny, x, eps[None]).total, plain.reconstruction + np.maximum(0.2, kl_each).sum())
assert capacity(3.0, 1.5)(tiny, x, eps[None]).total + 1.5 >= -plain.elbo
assert free_bits(0.2)(tiny, x, eps[None]).total >= -plain.elbo

# %% [markdown]
# **Predict, then run.** On the digits the ELBO's own KL is about 5 nats. Where does the KL end with beta |KL - 8| at beta =
# 20, and where with beta |KL - 1| at beta = 1? `____` and `____`

# %%
objectives = {
    "ELBO": {},
    "beta = 4": dict(beta=4.0),
    "20 |KL - 8|": dict(objective=capacity(beta=20.0, C=8.0)),
    "20 |KL - C|, C from 0 to 8": dict(objective=capacity(beta=20.0, C=linear_warmup(8.0, warmup=0.75))),
    "1 |KL - 1|": dict(objective=capacity(beta=1.0, C=1.0)),
    "0.5 nats free": dict(objective=free_bits(0.5)),
}
runs = dict(epochs=60, batch_size=64, binarize="dynamic", progress=False)
paths, latents = {}, {}
for name, options in objectives.items():
    vae = VAE.dense(64, hidden=(128,), latent_dim=10, rng=np.random.default_rng(1), output_mean=train_x.mean(axis=0))
    history = fit(vae, digits, optimizer=Adam(lr=2e-3), rng=np.random.default_rng(2), **runs, **options)
    paths[name] = [record["kl"] for record in history.records]
    latents[name] = np.sort(kl_per_dimension(vae, binary_test))[::-1]
    bound = elbo(vae, binary_test, np.random.default_rng(3), samples=10).mean()
    last = history.records[-1]
    print(f"{name:<28} reconstruction {last['reconstruction']:4.1f}   KL {last['kl']:4.1f}   ELBO on the test digits {bound:.1f}")
assert abs(paths["20 |KL - 8|"][-1] - 8) < 0.3 and abs(paths["1 |KL - 1|"][-1] - paths["ELBO"][-1]) < 0.5

# %%
figure, axes = plt.subplots(1, 2, figsize=(6, 3), width_ratios=(3, 2), layout="constrained")
inks, styles = ("black", "gray", "tab:blue", "tab:blue", "gray", "tab:orange"), ("-", "-", "-", ":", "--", "--")
for name, ink, style in zip(paths, inks, styles):
    axes[0].plot(np.arange(1, 61), paths[name], color=ink, ls=style, label=name)
axes[0].set(xlabel="epoch", ylabel="KL, nats", ylim=(-0.3, 12))
axes[0].legend(ncols=2, fontsize=7.5, loc="upper center")
for name, ink, style in (("ELBO", "black", "-"), ("20 |KL - 8|", "tab:blue", "-"), ("0.5 nats free", "tab:orange", "--")):
    axes[1].plot(np.arange(1, 11), latents[name], color=ink, ls=style, marker="o", ms=3)
axes[1].set(xlabel="latent, by its KL", ylabel="KL of the latent, nats", ylim=(0, None))
assert latents["ELBO"].min() < 0.3 < 0.4 < latents["0.5 nats free"].min() and latents["0.5 nats free"].max() < 0.75

# %% [markdown]
# *The picture:* left, the KL over the epochs. The ELBO's rises to 5 nats. With beta = 4 it falls to 0 and stays there. With
# 20 |KL - 8| it is at 8 within a few epochs; with a C that rises it follows the line up to 8. 1 |KL - 1| runs along the
# ELBO's: below the price, the target is ignored. Right, in the same lines, the KL of each latent: the ELBO's fall from 0.9
# nats to 0.2; with the target of 8 nearly all are higher, the first ones most; with free bits all ten lie near 0.5.
#
# A KL that is moved away from its 5 nats is paid for with ELBO: little with free bits, two nats at a target of 8. What one
# gets is control, of how much the code says or of how many latents stay in use.

# %% [markdown]
# ## 4. Labels: a VAE that draws what it is asked for
#
# The VAE of notebook 3 draws digits, and chance says which. If the training pictures have labels $c$, tell them to both
# networks: given $c$, draw $z$ from $N(0, I)$, whatever $c$ is, then $x$ from $p(x \mid z, c)$. In section 1 of notebook 1
# nothing was used but the product rule, and that a KL is never negative. Both hold with everything conditioned on $c$. So,
# for any $q(z \mid x, c)$, with $p(x, z \mid c) = p(x \mid z, c) p(z)$ because the prior does not depend on $c$,
#
# $$
# \log p(x \mid c) = \mathbb{E}_q \left[ \log \frac{p(x \mid z, c) p(z)}{q(z \mid x, c)} \right] +
# \mathrm{KL}( q(z \mid x, c) \Vert p(z \mid x, c) ) \tag{13}
# $$
#
# Leave the last term out, split the logarithm, and collect:
#
# $$
# \log p(x \mid c) \ge \mathbb{E}_q \left[ \log p(x \mid z, c) \right] - \mathrm{KL}( q(z \mid x, c) \Vert p(z) ) \tag{CVAE-1}
# $$
#
# $$
# L = \frac{1}{B} \sum_b \left( -\log p(x_b \mid z_b, c_b) + \beta \mathrm{KL}_b \right)
# \quad \text{with} \quad z_b \sim q(z \mid x_b, c_b) \tag{CVAE-2}
# $$
#
# **How is a network told?** By a one-hot row e appended to its input. The rows of the first weight matrix fall into two
# blocks, those for $x$ and those for the label, and a one-hot row times a matrix is one row of it:
#
# $$
# (x, e_c) W = x W_x + e_c W_c = x W_x + \text{row} \quad c \quad \text{of} \quad W_c \tag{CVAE-3}
# $$
#
# To a dense layer a label is a second bias, one for each class. The gradient of that row is, by (DENSE-2), the sum of dy
# over the examples of its class. The label itself is given and has no gradient: of what comes back the columns of $x$ go
# on,
#
# $$
# \frac{\partial L}{\partial x} = \text{the first columns of} \quad \frac{\partial L}{\partial (x, e_c)} \tag{CVAE-4}
# $$
#
# and all the rest is section 9 of notebook 1. Code: `npvae.models.conditional.ConditionalVAE`.

# %%
rng = np.random.default_rng(5)
tiny = ConditionalVAE.dense(5, hidden=(4,), latent_dim=2, n_classes=3, rng=rng, dtype=np.float64)
tiny.params.theta += 0.3 * rng.standard_normal(tiny.params.size)
x, eps, c = rng.integers(0, 2, (6, 5)).astype(float), tiny.noise(6, rng), np.array([0, 2, 2, 0, 2, 0])
first = tiny.encoder.layers[0]
W_x, W_c = first.W[:5], first.W[5:]
h = np.tanh(x @ W_x + first.b + W_c[c])  # CVAE-3: a bias for each class
mu, logvar = np.split(tiny.encoder.layers[2].forward(h)[0], 2, axis=1)
agree("CVAE-3: mu of the last example", mu[5, 1], tiny.encode(x, condition=c)[0][5, 1])
out = tiny.decode(mu + np.exp(logvar / 2) * eps, condition=c)
by_hand = np.mean(Bernoulli().nll(out, x) + 0.5 * kl_divergence(mu, logvar))
agree("CVAE-2", tiny.loss_and_grad(x, eps, beta=0.5, condition=c).total, by_hand)
direction = rng.standard_normal(tiny.params.size)
twin = tiny.astype(complex)
twin.params.theta += 1e-30j * direction
agree("its gradient", tiny.params.grad @ direction, twin.loss(x, eps, beta=0.5, condition=c).total.imag / 1e-30)
print("gradient of the row of class 1, which no example has:", np.abs(first.dW[5 + 1]).max())
view = tiny.given(c)
z = rng.standard_normal((6, 2))
dz = view.decoder.backward(np.ones((6, 5)), view.decoder.forward(z)[1])
bump = unit(z.shape, 3, 1)
agree("CVAE-4: dL/dz, L the sum of the logits", dz[3, 1], derivative(lambda a: view.decoder.forward(z + a * bump)[0].sum(), 0))

# %% [markdown]
# **On demand.** Two VAEs on the digits, one of which is told the label.
#
# **Predict, then run.** By how many nats does the KL fall when the label is told? `____` (There are ten digits, about
# equally frequent.)

# %%
settings = dict(hidden=(128, 64), latent_dim=8, dtype=np.float64, output_mean=train_x.mean(axis=0))
plain_vae = VAE.dense(64, rng=np.random.default_rng(1), **settings)
conditional = ConditionalVAE.dense(64, n_classes=10, rng=np.random.default_rng(1), **settings)
bounds = {}
for name, model, given in (("plain", plain_vae, {}), ("conditional", conditional, {"condition": digits.test_labels})):
    last = fit(model, digits, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), **runs).records[-1]
    bounds[name] = elbo(model, binary_test, np.random.default_rng(3), samples=20, **given).mean()
    print(f"{name:<12} KL {last['kl']:.1f}   ELBO on the test digits {bounds[name]:.2f}")
print(f"log 10 = {math.log(10):.2f}; conditional, with the label paid for: {bounds['conditional'] - math.log(10):.2f}")
assert bounds["conditional"] - math.log(10) > bounds["plain"]

# %% [markdown]
# The KL falls by about two nats, what it takes to say which of ten it is: that need not go through $z$ any longer. The two
# ELBOs bound different things, $\log p(x)$ and $\log p(x \mid c)$. Adding $\log p(c) = -\log 10$ to the second makes it a
# bound on $\log p(x, c)$, which is below $\log p(x)$, and even so it is the better of the two: labels are information.
#
# Now ask. Six codes from the prior, a row each, and ten labels for each code:

# %%
z = np.repeat(conditional.noise(6, np.random.default_rng(6)), 10, axis=0)  # (60, 8)
asked = np.tile(np.arange(10), 6)
drawn = Bernoulli().mean(conditional.decode(z, condition=asked))
plot_samples(drawn, (8, 8))

# %% [markdown]
# *The picture:* six rows of the digits 0 to 9, as asked. A row shares its $z$, and with it something of the handwriting:
# how bold, how slanted.
#
# **Do they look like what was asked for?** Let the nearest training picture judge. And the model can be asked the other way
# round: by Bayes' rule $p(c \mid x)$ is proportional to $p(x \mid c)$ here, so that the label with the largest ELBO is a
# guess at the class.

# %%
many = np.random.default_rng(7).integers(0, 10, 1000)
images = conditional.sample(1000, np.random.default_rng(8), condition=many)


def nearest(images, pictures):
    """The label of the training picture that is nearest to each image."""
    distance = np.sum(pictures**2, axis=1) - 2 * images @ pictures.T
    return digits.train_labels[np.argmin(distance, axis=1)]


print(f"the nearest training digit has the label asked for: {100 * np.mean(nearest(images, train_x) == many):.0f} %")
scores = [elbo(conditional, binary_test, np.random.default_rng(3), samples=10, condition=np.full(360, k)) for k in range(10)]
accuracy = np.mean(np.argmax(scores, axis=0) == digits.test_labels)
neighbor = np.mean(nearest(binary_test, (train_x > 0.5).astype(float)) == digits.test_labels)
print(f"class by the largest ELBO: {100 * accuracy:.0f} % right; by the nearest training digit: {100 * neighbor:.0f} %")
assert np.mean(nearest(images, train_x) == many) > 0.95 and 0.85 < accuracy < neighbor

# %% [markdown]
# As a classifier it is worse than the plainest one there is. A generative model has to explain every pixel; the few that
# tell a 1 from a 7 are among many.
#
# > **A common mistake**: the label enters as one number, 0 to 9, in place of a one-hot row. Then W_c in (CVAE-3) has a
# > single row, and whatever it does for a 4 it does twice over for an 8.

# %% [markdown]
# ## Exercises
#
# Pen and paper first. The answers are folded; the last cell computes them.
#
# 1. Three transposed convolutions with stride 1, no padding and one kernel size are to lead from 7 x 7 to 28 x 28. Which size?
# 2. How many multiplications does it take to send one picture through the convolutional VAE of section 1, how many through the
#    dense one? (Count weights, and how often each is used.)
# 3. For a given error x - m, which s minimizes the nll of (PIX-2)? When is there none, and what does the gradient do then?
# 4. What is the variance of a continuous Bernoulli at l = 0? Read it off (11), whose derivative it is.
# 5. Strings are drawn evenly from the 1,638 alkanes. Which nll can no model go below, on average? Which one has a model that
#    knows nothing?
# 6. Someone drops the bars in (CAP-1), and minimizes reconstruction + beta (KL - C). What is that? And with
#    beta max(KL - C, 0)?
# 7. With 0.5 nats free for each of ten latents the KL can be 3. What is the penalty then, at least?
# 8. How many parameters more than the plain VAE has the conditional one of section 4?
#
# <details><summary>Answer to 1</summary>
#
# Each adds k - 1, so 3 (k - 1) = 21 and k = 8: 7, 14, 21, 28.
#
# </details>
#
# <details><summary>Answer to 2</summary>
#
# Convolutional: 64 * 9 * 8 + 16 * 9 * 8 * 16 + 64 * 32 + 32 * 16 in the encoder and 8 * 64 + 4 * 9 * 16 * 16 + 16 * 9 * 16
# * 8 + 64 * 9 * 8 in the decoder, 58,368. Dense: 64 * 51 + 51 * 16 + 8 * 51 + 51 * 64 = 7,752, each weight once.
#
# </details>
#
# <details><summary>Answer to 3</summary>
#
# sigma^2 = (x - m)^2, so s = log((x - m)^2 - min_sigma^2). If the error is below the floor there is none: s falls, and the
# gradient with it, as e^s. Nothing diverges.
#
# </details>
#
# <details><summary>Answer to 4</summary>
#
# The derivative of log Q is the mean, its second derivative the variance. (11) has the derivative 1/12 at 0, the variance
# of the uniform distribution.
#
# </details>
#
# <details><summary>Answer to 5</summary>
#
# The entropy, log 1638 = 7.40 nats. Four letters alike at each of 19 places cost 19 log 4 = 26.34 nats.
#
# </details>
#
# <details><summary>Answer to 6</summary>
#
# The beta-VAE: the constant has no gradient. With the maximum nothing pulls the KL up to C: a limit, and no target.
#
# </details>
#
# <details><summary>Answer to 7</summary>
#
# Each maximum is at least 0.5, so at least 5 nats, whatever the KL.
#
# </details>
#
# <details><summary>Answer to 8</summary>
#
# Ten rows more in the first layer of each network, of 128 and of 64 columns: 1,920.
#
# </details>

# %%
assert 7 + 3 * (8 - 1) == 28
encoder = 64 * 9 * 8 + 16 * 9 * 8 * 16 + 64 * 32 + 32 * 16
decoder = 8 * 64 + 4 * 9 * 16 * 16 + 16 * 9 * 16 * 8 + 64 * 9 * 8
print(f"2: {encoder + decoder:,} and {64 * 51 + 51 * 16 + 8 * 51 + 51 * 64:,}, a ratio of {(encoder + decoder) / 7752:.1f}")

s_best = math.log(0.3**2 - 0.018**2)
agree("3: the slope at the best s, plus 1", 1 + floored.nll_and_grad(np.array([[0.2, s_best]]), np.array([[0.5]]))[1][0, 1], 1)
agree("4: variance of the uniform, complex step", derivative(cb_mean, 0.0), 1 / 12)
print(f"5: {math.log(len(strings)):.2f} and {19 * math.log(4):.2f}")
print("8:", conditional.params.size - plain_vae.params.size)
assert conditional.params.size - plain_vae.params.size == 10 * (128 + 64) == 1920

# %% [markdown]
# ## Summary
#
# | part | forward | backward |
# |---|---|---|
# | convolution | (CONV-2) | (CONV-4) to (CONV-6) |
# | its transpose | (CONVT-1) | (CONVT-4) to (CONVT-6) |
# | pooling | (POOL-1) | (POOL-2) |
# | a variance for each pixel | (PIX-1), (PIX-2) | (PIX-3), (PIX-4) |
# | grey pixels | (CB-1) to (CB-3) | (CB-4) |
# | letters | (CAT-1), (CAT-2) | (CAT-3) |
# | capacity, free bits | (CAP-1), (FREE-1) | (CAP-2), (FREE-2) |
# | labels | (CVAE-2), (CVAE-3) | (CVAE-4) |
#
# Three likelihoods, three times predicted minus true. One sum of products, and a convolution and its transpose are its
# three derivatives. One factor dL/dKL, and all objectives share one way back. What is new is small; that it is right is
# shown by the same checks as before.
#
# **Next:** [07_five_articles](07_five_articles.ipynb) reads five articles on VAEs with care, formula by formula.
