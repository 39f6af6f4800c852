"""Right losses with a wrong gradient, in layers and likelihoods: what derivative checks are for."""

from functools import partial

import numpy as np

from npvae.core.layers import Dense, ReLU, Sigmoid, Tanh
from npvae.core.numerics import sigmoid
from npvae.verify.mistakes.exhibit import exhibit
from npvae.verify.mistakes.planting import (
    bernoulli_backward,
    both,
    dense_backward,
    gaussian_backward,
    gradient_times,
    layer_backward,
    method,
)

_ = partial(exhibit, "backward")
EXERCISE = (
    "an exercise of Coursera's deeplearning.ai, 'Gradient Checking', plants it; learners report its number: "
    "XingxingHuang/deeplearning.ai#4, bighuang624/Andrew-Ng-Deep-Learning-notes#10"
)


def accumulating(self, dy, x, need_dx=True):
    """Dense.backward with += for =."""
    self.dW[...] += x.T @ dy
    self.db[...] += dy.sum(axis=0)
    return dy @ self.W.T if need_dx else None


def writes_upstream(dy, active):
    """ReLU's dx, written into dy."""
    dy *= active
    return dy


def overwrites_cache(dy, y):
    """Tanh's dx, with 1 - y^2 written over y."""
    np.subtract(1, np.square(y, out=y), out=y)
    return dy * y


def mask_of_the_last_relu():
    """All ReLUs share one mask, that of the last forward pass, as long as the shapes agree."""
    last = []

    def forward(self, x):
        last[:] = [x.real > 0]
        return x * last[0], last[0]

    def backward(self, dy, active, need_dx=True):
        return dy * (last[0] if last[0].shape == dy.shape else active) if need_dx else None

    return both(method(ReLU, "forward", forward), method(ReLU, "backward", backward))


def right_slope(a, x):
    """dnll/dl of the Bernoulli, as it should be."""
    return sigmoid(a) - x


EXHIBITS = [
    _("missing_batch_mean", "the mean over the batch forgotten: no 1/B",
      wrong="dL/dnll_b = 1", right="dL/dnll_b = 1/B   [ELBO-4]",
      symptom="every gradient 7 times too large at B = 7; relative difference (7-1)/(7+1) = 0.75",
      evidence="dennybritz/nn-from-scratch#13",
      seen_by="derivative duplicates",
      diagnosis=("7 times too large", "(1/B) is missing"),
      plant=gradient_times(len)),
    _("batch_mean_twice", "1/B in the loss's gradient and once more in the layers",
      wrong="dL/dtheta = 1/B^2 sum_b ...", right="dL/dtheta = 1/B sum_b ...   [ELBO-4]",
      symptom="every gradient a seventh at B = 7; relative difference 0.75",
      seen_by="derivative duplicates",
      diagnosis=("7 times too small", "once too often"),
      plant=gradient_times(lambda x: 1 / len(x))),
    _("gradient_factor_two", "a factor of 2 on every gradient",
      wrong="dL/dtheta = 2 sum_b ...", right="dL/dtheta = sum_b ...",
      symptom="relative difference 1/3 = (2-1)/(2+1), which learners report as 0.333",
      evidence=EXERCISE,
      seen_by="derivative",
      diagnosis=("2 times too large",),
      plant=gradient_times(lambda x: 2)),
    _("gradient_four_over_m", "a factor of 4 on the biases alone",
      wrong="dL/db = 4 sum_b dy", right="dL/db = sum_b dy   [DENSE-3]",
      symptom="relative difference 0.6 = (4-1)/(4+1), in the biases alone",
      evidence=EXERCISE,
      seen_by="derivative adam",
      diagnosis=("(Dense) alone is wrong, at b", "4 times too large"),
      plant=dense_backward(db=lambda dy: 4 * dy.sum(axis=0))),
    _("weight_transposed", "W for its transpose, where the shapes allow it",
      wrong="dL/dx = dy W", right="dL/dx = dy W^T   [DENSE-4]",
      symptom="everything upstream of a square layer is wrong; 0 errors are raised when n_in = n_out",
      seen_by="derivative",
      diagnosis=("(Dense) alone is wrong, at x", "dy W in place of dy W^T: the weight is not transposed"),
      plant=dense_backward(W=lambda layer: layer.W if layer.n_in == layer.n_out else layer.W.T)),
    _("bias_mean", "the mean over the batch once more, in the biases",
      wrong="dL/db = 1/B sum_b dy", right="dL/db = sum_b dy   [DENSE-3]",
      symptom="each bias's gradient a seventh at B = 7, all weights right",
      seen_by="derivative duplicates adam",
      diagnosis=("(Dense) alone is wrong, at b", "7 times too small"),
      plant=dense_backward(db=lambda dy: dy.mean(axis=0))),
    _("last_row_only", "the last example's gradient for that of all",
      wrong="dL/dW = x_B^T dy_B", right="dL/dW = sum_b x_b^T dy_b = x^T dy   [DENSE-2]",
      symptom="weight gradients of rank 1, about 1/B of the right size",
      seen_by="derivative duplicates adam",
      diagnosis=("(Dense) alone is wrong, at W", "only the last row"),
      plant=dense_backward(dW=lambda x, dy: x[-1:].T @ dy[-1:])),
    _("gradient_accumulates", "+= for =: the first call is right",
      wrong="dW += x^T dy", right="dW = x^T dy   [DENSE-2]",
      symptom="twice the gradient at the second call, 10 times at the tenth",
      evidence="micrograd#102",
      seen_by="derivative duplicates purity resume",
      diagnosis=("accumulated",),
      plant=method(Dense, "backward", accumulating)),
    _("missing_activation_derivative", "the activation's derivative forgotten: dy passed on",
      wrong="dL/dx = dy", right="dL/dx = (1 - y^2) dy   [ACT-2]",
      symptom="element by element 1 / (1 - y^2) too large: 1.33 at y = 0.5",
      seen_by="derivative",
      diagnosis=("(Tanh) alone is wrong", "the derivative of the activation is missing"),
      plant=layer_backward(Tanh, lambda dy, y: dy)),
    _("tanh_derivative", "1 - y for 1 - y^2",
      wrong="dL/dx = (1 - y) dy", right="dL/dx = (1 - y^2) dy   [ACT-2]",
      symptom="element by element 1 / (1 + y): 0.67 at y = 0.5, 2 at y = -0.5",
      seen_by="derivative",
      diagnosis=("1 - y in place of 1 - y^2",),
      plant=layer_backward(Tanh, lambda dy, y: dy * (1 - y))),
    _("tanh_derivative_twice", "the derivative applied in the layer and again by its caller",
      wrong="dL/dx = (1 - y^2)^2 dy", right="dL/dx = (1 - y^2) dy   [ACT-2]",
      symptom="element by element 1 - y^2 too small: 0.75 at y = 0.5",
      seen_by="derivative",
      diagnosis=("applied twice",),
      plant=layer_backward(Tanh, lambda dy, y: dy * (1 - y**2) ** 2)),
    _("pre_post_activation_mixed", "the derivative's formula for the output, fed with the input",
      wrong="dL/dx = (1 - x^2) dy", right="dL/dx = (1 - y^2) dy,  y = tanh(x)   [ACT-2]",
      symptom="right at x = 0, wrong in sign beyond |x| = 1: -3 for 0.07 at x = 2",
      evidence="danielkurniadi decoder_model.py:48, a public 'educational' NumPy VAE",
      seen_by="derivative",
      diagnosis=("1 - x^2 in place of 1 - y^2",),
      plant=both(method(Tanh, "forward", lambda self, x: (np.tanh(x), x)), layer_backward(Tanh, lambda dy, x: dy * (1 - x**2)))),
    _("sigmoid_of_sigmoid", "the derivative's formula for the input, fed with the output",
      wrong="dL/dx = sigmoid(y) (1 - sigmoid(y)) dy", right="dL/dx = y (1 - y) dy,  y = sigmoid(x)   [ACT-8]",
      symptom="never below 0.1966 where the right slope goes to 0: 0.2350 for 0.25 at x = 0, 0.1972 for 0.0066 at x = 5",
      seen_by="derivative adam",
      diagnosis=("sigmoid(y) (1 - sigmoid(y)) in place of y (1 - y)",),
      plant=layer_backward(Sigmoid, lambda dy, y: dy * sigmoid(y) * sigmoid(-y))),
    _("relu_mask_forgotten", "the mask forgotten: dy passed on where x < 0",
      wrong="dL/dx = dy", right="dL/dx = dy where x > 0, else 0   [ACT-4]",
      symptom="dead units get a gradient: about half of all entries, 50 % of the units of a fresh network",
      seen_by="derivative extremes",
      diagnosis=("(ReLU) alone is wrong", "the derivative of the activation is missing"),
      plant=layer_backward(ReLU, lambda dy, active: dy)),
    _("mask_from_wrong_layer", "the mask of a neighbouring layer, since the widths agree",
      wrong="dL/dx = dy where the decoder's x > 0", right="dL/dx = dy where this layer's x > 0, else 0   [ACT-4]",
      symptom="zeros in the wrong places: 14 of the 20 entries of the check's model",
      evidence="danielkurniadi decoder_model.py",
      seen_by="derivative",
      diagnosis=("(ReLU) alone is wrong", "another forward pass comes between"),
      plant=mask_of_the_last_relu()),
    _("relu_two_subgradients", "the slope at 0 by >= in one pass, by > in the other",
      wrong="dL/dx = dy where x >= 0, else 0", right="dL/dx = dy where x > 0, else 0   [ACT-4]",
      symptom="slope 1 for 0 at exactly x = 0 and nowhere else",
      evidence="deep-learning-from-scratch#43",
      seen_by="extremes",
      unnamed="a gradient check does not see it: at x = 0 each of the two slopes is a derivative from one side",
      plant=method(ReLU, "forward", lambda self, x: (x * (x.real > 0), x.real >= 0))),
    _("relu_writes_upstream", "the upstream gradient overwritten: right at its first use",
      wrong="dy[x <= 0] = 0; return dy", right="return dy * (x > 0)   [ACT-4]",
      symptom="a gradient used twice has zeros at its second use: in about 50 % of its entries",
      evidence="deep-learning-from-scratch common/layers.py, kwj2104 utils_vae.py:36",
      seen_by="derivative purity",
      diagnosis=("writes into dy",),
      plant=layer_backward(ReLU, writes_upstream)),
    _("cache_overwritten", "the cache used up by one backward pass",
      wrong="y = 1 - y^2, in place; return dy y", right="return dy (1 - y^2)   [ACT-2]",
      symptom="the second backward pass of one forward multiplies by 1 - (1 - y^2)^2: 0.44 for 0.75 at y = 0.5",
      evidence="abhayran's and oakleafwarrior's NumPy VAEs",
      seen_by="derivative purity",
      diagnosis=("writes into its cache",),
      plant=layer_backward(Tanh, overwrites_cache)),
    _("activation_derivative_twice", "sigmoid' on top of the gradient that has it already",
      wrong="dnll/dl = (s - x) s (1 - s)", right="dnll/dl = s - x,  s = sigmoid(l)   [BER-2]",
      symptom="at most 1/4 of the gradient, little where the model is certain: 0.0024 for 0.05 at s = 0.05, x = 0",
      seen_by="derivative extremes",
      diagnosis=("(Bernoulli) alone is wrong", "the factor y (1 - y) stands there once too often"),
      plant=bernoulli_backward(lambda a, x: right_slope(a, x) * sigmoid(a) * sigmoid(-a))),
    _("bce_gradient_half", "the derivative of the second term forgotten",
      wrong="dnll/dl = -x (1 - s)", right="dnll/dl = (1-x) s - x (1-s)   [BER-2]",
      symptom="0 for black pixels, x = 0: pictures only get brighter",
      evidence="danielkurniadi functionals.py:42",
      seen_by="derivative",
      diagnosis=("(Bernoulli) alone is wrong",),
      unnamed="the report names the likelihood: its two terms come as one number, and cannot be told apart",
      plant=bernoulli_backward(lambda a, x: -x * sigmoid(-a))),
    _("gaussian_gradient_half", "half of the Gaussian's gradient",
      wrong="dnll/dout = -1/2 (x - out) / sigma^2", right="dnll/dout = -(x - out) / sigma^2   [NOR-2]",
      symptom="constant ratio 1/2, relative difference 1/3, from the decoder's output on",
      seen_by="derivative",
      diagnosis=("(Gaussian) alone is wrong", "2 times too small"),
      plant=gaussian_backward(lambda self, dout, out, x, dnll: 0.5 * dout)),
    _("output_pair_mismatch", "'out - x', which belongs to another pair of output and loss",
      wrong="dnll/dout = out - x", right="dnll/dout = (out - x) / sigma^2   [NOR-2]",
      symptom="sigma^2 of the gradient: 0.2521 of it at sigma = 0.5021",
      evidence="scikit-learn: which pairs allow it stands in a comment alone",
      seen_by="derivative",
      diagnosis=("(Gaussian) alone is wrong", "a constant factor, 0.252"),
      plant=gaussian_backward(lambda self, dout, out, x, dnll: (out - x) * dnll[:, None])),
    _("learned_sigma_gradient_without_d", "the normalizing constant's part forgotten",
      wrong="dnll/dlog_sigma = -sum_d ((x - out) / sigma)^2", right="dnll/dlog_sigma = D - sum_d ((x - out) / sigma)^2   [NOR-3]",
      symptom="D = 3 too low: sigma grows without end",
      seen_by="derivative",
      diagnosis=("(Gaussian) alone is wrong, at log_sigma",),
      unnamed="the report names the parameter: what is missing is a summand, and no factor explains one number",
      plant=gaussian_backward(dlog_sigma=lambda self, out, x, dnll: -np.sum(((x - out) / self._sigma()[0]) ** 2 * dnll[:, None]))),
]  # fmt: skip
