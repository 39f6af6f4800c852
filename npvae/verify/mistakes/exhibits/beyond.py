"""Mistakes in what came after the plain VAE: other likelihoods, other objectives, convolution."""

from functools import partial

import numpy as np
from numpy import arctanh, exp, log, log1p, maximum

from npvae.beyond import draws, likelihoods, objectives
from npvae.beyond.categorical import Categorical
from npvae.beyond.convolution import Conv2D
from npvae.beyond.likelihoods import ContinuousBernoulli, DiagonalGaussian
from npvae.beyond.pooling import MaxPool2D
from npvae.core.gaussian import kl_per_dimension
from npvae.core.numerics import sigmoid
from npvae.models.base import Loss
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import both, everywhere, method

# --- likelihoods ------------------------------------------------------------------------------------------------------------------


def printed_normalizer(logits):
    """C, E[x|z] and 1 - E[x|z] by the formulas in lambda."""
    p = sigmoid(logits)
    mean = p / (2 * p - 1) + 1 / (2 * arctanh(1 - 2 * p))
    return 2 * arctanh(1 - 2 * p) / (1 - 2 * p), mean, 1 - mean


def plain_cross_entropy(self, out, x):
    """nll, E[x|z] and 1 - E[x|z] with C = 1, whose derivative is lambda - x."""
    self.check_data(x)
    nll = np.sum(maximum(out, 0) * (1 - x) + maximum(-out, 0) * x + log1p(exp(-maximum(out, -out))), axis=1)
    return nll, sigmoid(out), sigmoid(-out)


def across_places(self, out):
    """log p and p (B, L, n), where p sums to 1 over the places."""
    a = self._groups("out", out)
    a = a - np.max(a.real, axis=1, keepdims=True)
    e = exp(a)
    total = np.sum(e, axis=1, keepdims=True)
    return a - log(total), e / total


def across_places_grad(self, out, x, dnll=None):
    """The gradient of -sum x log p for that p."""
    nll, p = self._terms(out, x)
    count = np.sum(self._groups("x", x), axis=1, keepdims=True)  # how often each letter comes in the word
    dout = (p * count).reshape(x.shape) - x
    return nll, dout if dnll is None else dout * dnll[:, None]


def averaged_over_places(self, out, x, dnll=None, right=Categorical.nll_and_grad):
    """The nll is the sum over the places, its gradient the mean."""
    nll, dout = right(self, out, x, dnll)
    return nll, dout / (out.shape[1] // self.n_classes)


def without_floor(self, out, x):
    """x - m, 1 / sigma^2, log sigma^2 and e^s / sigma^2, where sigma^2 = e^s."""
    m, s = self._split(out)
    return x - m, exp(-s), s, np.ones_like(s)


# --- objectives -------------------------------------------------------------------------------------------------------------------

CAPACITY = objectives.capacity  # the right one, also while another stands in its place


def of_numbers(make):
    """make(beta, C) for a number C, and step by step for a schedule."""

    def either(beta, C):
        if callable(C):
            return objectives._by_step(lambda step, steps: make(beta, C(step, steps)), make.__name__)
        return make(beta, C)

    return either


def capacity_without_bars(beta, C):
    """beta (KL - C): the beta-VAE's loss less a constant."""
    plain = objectives.free_bits(0, beta)  # the beta-VAE

    def objective(vae, x, eps, condition=None):
        loss = plain(vae, x, eps, condition)
        return loss._replace(total=loss.total - beta * C)

    return objective


def capacity_always_down(beta, C):
    """beta |KL - C| with the gradient of beta (KL - C)."""
    right, plain = CAPACITY(beta, C), objectives.free_bits(0, beta)

    def objective(vae, x, eps, condition=None):
        loss = right(vae, x, eps, condition)
        plain(vae, x, eps, condition)
        return loss

    return objective


def free_bits_of_examples(nats, beta=1.0):
    """max(nats, KL_bz), and then the mean over the batch."""

    def objective(vae, x, eps, condition=None):
        vae, x, eps = draws.arguments("free_bits", vae, x, eps, condition)
        samples = draws.forward(vae, x, eps)
        kl = kl_per_dimension(samples.mu, samples.logvar)  # (B, Z)
        paid = kl.real > nats
        nll = draws.elbo_backward(vae, samples, np.full(len(x), beta / len(x), vae.dtype), paid)
        reconstruction, price = np.mean(nll).item(), np.mean(np.sum(np.where(paid, kl, nats), axis=1)).item()
        return Loss(reconstruction + beta * price, reconstruction, np.mean(np.sum(kl, axis=1)).item())

    return objective


# --- convolution ------------------------------------------------------------------------------------------------------------------


def cut_at_the_end(self, dy, x, need_dx=True, right=Conv2D.backward):
    """As many rows and columns as x had without its padding, but the first ones."""
    rows, columns = padding = self.padding
    _, H, W, _ = x.shape  # of the padded picture
    self.padding = 0, 0  # so that nothing is cut off
    try:
        dx = right(self, dy, x)
    finally:
        self.padding = padding
    return dx[:, : H - 2 * rows, : W - 2 * columns] if need_dx else None


def kernel_turned(self, dy, x, need_dx=True, right=Conv2D.backward):
    """The right backward pass, of the kernel turned by 180 degrees."""
    W = self.W.copy()
    self.W = W[::-1, ::-1]
    dx = right(self, dy, x, need_dx)
    self.W = W
    return dx


def to_all_ties(self, dy, cache, need_dx=True):
    """dy to every pixel of a window that equals its maximum."""
    (x, y), (kh, kw), (down, across) = cache, self.size, self.stride
    dx = np.zeros(x.shape, dy.dtype)
    for i, j in np.ndindex(y.shape[1:3]):
        window, pixel = np.s_[:, down * i : down * i + kh, across * j : across * j + kw], np.s_[:, i : i + 1, j : j + 1]
        dx[window] += dy[pixel] * (x[window] == y[pixel])
    return dx if need_dx else None


def keeps_x_and_y(self, x, right=MaxPool2D.forward):
    """The right maximum; the cache is x and y."""
    y, _ = right(self, x)
    return y, (x.real, y.real)


likelihood, backward = partial(exhibit, "likelihood"), partial(exhibit, "backward")

EXHIBITS = [
    likelihood("gray_without_normalizer", "the cross-entropy of grey pixels called a likelihood",
      wrong="nll = sum_d (1-x) softplus(l) + x softplus(-l)",
      right="nll = sum_d (1-x) softplus(l) + x softplus(-l) - log C(l)   [CB-1]",
      symptom="the density integrates to 0.5 at l = 0, to less elsewhere: 0.381 at l = -2",
      evidence="Loaiza-Ganem & Cunningham (2019), 'fixing a pervasive error in variational autoencoders'; pyro#529, #2519",
      seen_by="normalization extremes",
      plant=both(method(ContinuousBernoulli, "_terms", plain_cross_entropy),
                 method(ContinuousBernoulli, "mean", lambda self, out: sigmoid(out)))),
    likelihood("lambda_as_mean", "lambda shown as the continuous Bernoulli's mean, as if it were the Bernoulli's",
      wrong="E[x|z] = sigmoid(l)", right="E[x|z] = 1 / (1 - e^-l) - 1/l   [CB-3]",
      symptom="too much contrast: 0.018 for 0.231 at l = -4",
      seen_by="normalization",
      plant=method(ContinuousBernoulli, "mean", lambda self, out: sigmoid(out))),
    likelihood("softmax_wrong_axis", "a softmax over the places of a word in place of the letters of its alphabet",
      wrong="log p_li = a_li - log sum_l e^a_li", right="log p_li = a_li - log sum_i e^a_li   [CAT-1]",
      symptom="over the 9 words of the check the probabilities sum to 2.22 (and over a single place every letter would have 1)",
      evidence="ctallec/world-models#10 (over the batch), karpathy/minGPT#132 ('incredibly low losses'), "
      "dongjun-Lee/text-classification-models-tf#1",
      seen_by="normalization extremes",
      plant=both(method(Categorical, "_softmax", across_places), method(Categorical, "nll_and_grad", across_places_grad))),
    likelihood("per_pixel_variance_collapse", "a variance for each pixel, without a floor",
      wrong="sigma^2 = e^s", right="sigma^2 = min_sigma^2 + e^s   [PIX-1]",
      symptom="no lower bound where a pixel never changes (3 on digits, 67 on MNIST): -49.1 nats at s = -100; the floor 0.01 "
      "holds at -3.69",
      evidence="orybkin/sigma-vae-pytorch#6 (the loss goes to -infinity; is the floor of log sigma still there?)",
      seen_by="extremes",
      plant=both(method(DiagonalGaussian, "_logvar", lambda self, s: s),
                 method(DiagonalGaussian, "_terms", without_floor))),
    exhibit("numerics", "continuous_bernoulli_at_half", "the normalizer by its formula, also where that is 0/0",
      wrong="C = 2 artanh(1 - 2 lambda) / (1 - 2 lambda)", right="C = l / tanh(l/2),  by a series near l = 0   [CB-2]",
      symptom="0/0 = NaN exactly at lambda = 1/2, where C = 2 and an untrained decoder starts; infinite beyond l = 37",
      evidence="cunningham-lab/cb (a series within 0.01 of it), PyTorch (from 0.499 to 0.501), tensorflow/probability#1512",
      seen_by="extremes",
      plant=everywhere(likelihoods.normalizer_and_mean, printed_normalizer)),
    exhibit("kl", "capacity_without_bars", "the capacity subtracted, without the bars around the difference",
      wrong="loss = reconstruction + beta (KL - C)", right="loss = reconstruction + beta |KL - C|   [CAP-1]",
      symptom="the gradient of the beta-VAE: C does nothing; at beta = 3, C = 2 the check's loss is 1.48, where 8.32 is right",
      seen_by="values",
      plant=everywhere(objectives.capacity, of_numbers(capacity_without_bars))),
    exhibit("reduction", "free_bits_per_example", "free nats for each example, where they belong to the batch",
      wrong="1/B sum_b max(nats, KL_bz)", right="max(nats, 1/B sum_b KL_bz)   [FREE-1]",
      symptom="what a plain example leaves unused is lost: 7.851 for 7.732 nats in the check's loss",
      evidence="DreamerV3, which clips before the mean (weipu-zhang/STORM#12), valdersoul/bn-vae#2",
      seen_by="values",
      plant=everywhere(objectives.free_bits, free_bits_of_examples)),
    backward("capacity_sign_forgotten", "the KL pulled down on both sides of its target",
      wrong="dloss/dKL = beta", right="dloss/dKL = beta sign(KL - C)   [CAP-2]",
      symptom="below C the gradient points the wrong way: the KL goes to 0 and the loss up, to beta C",
      seen_by="derivative",
      unnamed="the slope along one direction is all that is asked of an objective",
      plant=everywhere(objectives.capacity, of_numbers(capacity_always_down))),
    backward("time_averaged", "the loss summed over the places of a word, its gradient averaged",
      wrong="dnll/da = (p - x) / L", right="dnll/da = p - x   [CAT-3]",
      symptom="2 times too small for words of 2 letters; 39.5 in a recurrent network, where float precision was blamed",
      evidence="datascience.stackexchange 30850",
      seen_by="derivative",
      diagnosis=("2 times too small",),
      plant=method(Categorical, "nll_and_grad", averaged_over_places)),
    backward("conv_padding_cut_at_the_end", "the gradient's margins cut off at one end only",
      wrong="dx = spread(dy)[:H, :W]", right="dx = spread(dy)[P:P+H, P:P+W]   [CONV-6]",
      symptom="every pixel gets the gradient of a neighbour, P = 1 rows and columns away",
      seen_by="derivative",
      unnamed="the report names dx alone, not dW and db: the right numbers stand in the wrong places",
      plant=method(Conv2D, "backward", cut_at_the_end)),
    backward("conv_kernel_turned", "the kernel turned by 180 degrees, where dy is spread and no window slides over it",
      wrong="dL/dx[s i + p, s j + q] += dy[i, j] W[k-1-p, k-1-q]", right="dL/dx[s i + p, s j + q] += dy[i, j] W[p, q]   [CONV-6]",
      symptom="right for symmetric kernels, and for those of 1 x 1 alone",
      seen_by="derivative",
      unnamed="the report names dx alone, not dW and db: no factor turns a kernel",
      plant=method(Conv2D, "backward", kernel_turned)),
    backward("max_pool_all_ties", "the gradient given to every pixel that equals the largest",
      wrong="dx = dy where x = y", right="dx = dy at the first x = y of the window   [POOL-2]",
      symptom="4 times the gradient in a window of zeros, which is common after a ReLU and in MNIST's margins",
      evidence="Theano/Theano#5248, #5404, old Caffe",
      seen_by="extremes",
      unnamed="a gradient check does not see it: at a tie each of the slopes 0 and 1 is a derivative from one side",
      plant=both(method(MaxPool2D, "forward", keeps_x_and_y), method(MaxPool2D, "backward", to_all_ties))),
]  # fmt: skip
