"""p(x|z): the negative log-likelihood (nll) of the data and its gradient, straight from the decoder's raw output.

The nll carries its constants: it is a number of nats, comparable between models. A likelihood is a Layer, so that a parameter
of its own (the Gaussian's log_sigma) lives in the model's parameter vector like any weight.
"""

import math

import numpy as np

from npvae.core.checks import NonFiniteError, first_nonfinite, generator, has_shape, same_shape
from npvae.core.gaussian import LOG_2PI
from npvae.core.numerics import row_blocks, sigmoid
from npvae.core.parameters import Layer


class Bernoulli(Layer):
    """x in [0, 1] (black and white), out = l: the logits.  p(x=1|z) = sigmoid(l).

    nll = sum_d ( (1-x) softplus(l) + x softplus(-l) )             = -sum_d log( s^x (1-s)^(1-x) ), s = sigmoid(l)  [BER-1]

    On grey x this is a cross-entropy, not a log-likelihood: it cannot fall below the entropy of the grey values.
    """

    def n_outputs(self, D):
        """How many numbers the decoder gives for D data values: a logit each."""
        return D

    def nll(self, out, x):
        """-log p(x|z) of each example, in nats [BER-1].  out, x: (B, D).  Returns (B,).

        Raises ValueError if x leaves [0, 1], where the loss would have no lower bound."""
        self._check(out, x)
        return np.concatenate([self._terms(out[rows], x[rows])[0] for rows in row_blocks(out)])

    def nll_and_grad(self, out, x, dnll=None):
        """-log p(x|z) and its gradient, from the same two exponentials.

            dnll/dl = (1-x) sigmoid(l) - x sigmoid(-l)          = sigmoid(l) - x, without its cancellation         [BER-2]

        out, x: (B, D); dnll: (B,), the weight of each example in the loss (1/B for the batch mean), 1 if None.
        Returns nll (B,) and dL/dout (B, D).
        """
        self._check(out, x)
        dtype = np.result_type(out, x)
        nll, dout = np.empty(len(x), dtype), np.empty(x.shape, dtype)  # (B,), (B, D)
        for rows in row_blocks(out):
            x_b = x[rows]
            nll[rows], p, q = self._terms(out[rows], x_b)
            dout[rows] = ((1 - x_b) * p - x_b * q) / (p + q)  # sigmoid(l) = p / (p + q), sigmoid(-l) = q / (p + q)
        if dnll is not None:
            has_shape("Bernoulli", "dnll", dnll, (len(x),), "one weight an example.")
            dout *= dnll[:, None]
        return nll, dout

    def nll_of_draws(self, out, x):
        """-log p(x|z_k) of each example under K draws of z, in which x enters by one matrix product.

            nll_k = sum_d softplus(l_kd) - sum_d l_kd x_d          which is [BER-1], since softplus(l) - softplus(-l) = l

        A third of the time of `nll`, for evaluations that decode thousands of draws (benchmarks/importance.py). Where the two
        sums cancel, as for logits of the right sign and far out, the draw is given to `nll`, in which nothing cancels.
        out: (B, K, D); x: (B, D), looked at by check_data before.  Returns (B, K).
        """
        with np.errstate(over="ignore", invalid="ignore"):  # e^l may overflow: such draws are lost, and found below
            e = np.exp(out)  # (B, K, D)
            total = np.sum(np.log1p(e, out=e), axis=2)  # (B, K)    softplus(l) = log(1 + e^l)
            nll = total - np.matmul(out, x[:, :, None])[:, :, 0]  # (B, K)
            lost = ~(nll > total / 64)  # six of its bits, or more
        if np.any(lost):
            nll[lost] = self.nll(out[lost], np.broadcast_to(x[:, None], out.shape)[lost])
        return nll

    def _terms(self, out, x):
        """nll (B,) and the exponentials p = e^min(l, 0), q = e^-max(l, 0) (B, D): no exponent is ever positive."""
        pos = np.maximum(out, 0)  # (B, D)    max(l, 0)
        neg = pos - out  # (B, D)    max(-l, 0)
        p, q = np.exp(-neg), np.exp(-pos)  # (B, D)    p q = e^-|l|
        # softplus(l) = pos + log1p(e^-|l|) and softplus(-l) = neg + log1p(e^-|l|): their mean under x has no cancellation
        nll = np.sum((1 - x) * pos + x * neg + np.log1p(p * q), axis=1)  # (B,)
        return nll, p, q

    def _check(self, out, x):
        """Refuse shapes that do not fit, and x outside [0, 1]."""
        same_shape("Bernoulli", x=x, out=out)
        self.check_data(x)

    def check_data(self, x):
        """Refuse x outside [0, 1].  Raises ValueError with the count, the range and the likely fix."""
        if x.size == 0 or (x.min() >= 0 and x.max() <= 1):
            return
        bad = first_nonfinite(x)
        if bad:
            raise NonFiniteError(f"Bernoulli: x is {bad[1]} at {list(bad[0])}; remove or repair such rows first.")
        n = int(np.sum((x < 0) | (x > 1)))
        hint = (
            "divide 8-bit images by 255" if x.min() >= 0 and x.max() > 16 else "scale it to [0, 1], or use the Gaussian likelihood"
        )
        raise ValueError(
            f"Bernoulli: x has {n} of {x.size} values outside [0, 1] (smallest {x.min():.6g}, largest {x.max():.6g}); {hint}."
        )

    def mean(self, out):
        """E[x|z] = sigmoid(l).  (B, D) -> (B, D)."""
        return sigmoid(out)

    def sample(self, out, rng):
        """x ~ p(x|z): zeros and ones.  (B, D) -> (B, D)."""
        return (generator("Bernoulli.sample", rng).random(out.shape) < sigmoid(out)).astype(out.dtype)

    def output_for_mean(self, mean):
        """The output at which E[x|z] = mean: the logit, of a mean kept within [0.001, 0.999] so that it is finite.     [INIT-4]

        As an initial output bias it is worth about one nat on MNIST (code of Burda et al. 2016; not in their paper)."""
        mean = np.clip(mean, 0.001, 0.999)
        return np.log(mean) - np.log1p(-mean)


class Gaussian(Layer):
    """Real x, out = the mean.  x ~ N(out, sigma^2 I), sigma one number: fixed, or learned as log_sigma (shape (1,)).

        nll = sum_d 1/2 ( (x - out) / sigma )^2  +  D log sigma  +  D/2 log 2 pi                                   [NOR-1]

    Squared error without the 1/2 is the case sigma^2 = 1/2; with the 1/2 it is sigma = 1; both but for constants.
    """

    def __init__(self, sigma=1.0, learn=False):
        if isinstance(sigma, bool) or not (isinstance(sigma, (int, float, np.number)) and 0 < sigma < math.inf):
            raise ValueError(f"Gaussian: sigma must be a positive number, got {sigma!r}.")
        self.learn = bool(learn)
        if self.learn:
            self.parameters = ("log_sigma",)
            self.log_sigma = np.array([math.log(sigma)])  # (1,)
        else:
            self.sigma = float(sigma)

    def config(self):
        """The constructor's arguments; a learned sigma starts where it stands now."""
        return {**super().config(), "sigma": float(np.squeeze(np.real(self._sigma()[0]))), "learn": self.learn}

    def _sigma(self):
        """sigma and log sigma: arrays (1,) if learned; if fixed, Python floats, which leave every dtype as it is."""
        if self.learn:
            return np.exp(self.log_sigma), self.log_sigma
        return self.sigma, math.log(self.sigma)

    def n_outputs(self, D):
        """How many numbers the decoder gives for D data values: a mean each."""
        return D

    def nll(self, out, x):
        """-log p(x|z) of each example, in nats [NOR-1].  out, x: (B, D).  Returns (B,)."""
        same_shape("Gaussian", x=x, out=out)
        sigma, log_sigma = self._sigma()
        r = (x - out) / sigma  # (B, D)
        return 0.5 * np.sum(r**2, axis=1) + x.shape[1] * (log_sigma + 0.5 * LOG_2PI)  # (B,)

    def nll_and_grad(self, out, x, dnll=None):
        """-log p(x|z) and its gradient; fills .dlog_sigma if sigma is learned.

            dnll/dout       = -(x - out) / sigma^2                                                                 [NOR-2]
            dnll/dlog_sigma = D - sum_d ( (x - out) / sigma )^2                                                    [NOR-3]

        out, x: (B, D); dnll: (B,), the weight of each example in the loss (1/B for the batch mean), 1 if None.
        Returns nll (B,) and dL/dout (B, D).
        """
        nll = self.nll(out, x)
        sigma, _ = self._sigma()
        r = (x - out) / sigma  # (B, D)
        dnll = np.ones_like(nll) if dnll is None else dnll
        has_shape("Gaussian", "dnll", dnll, (len(x),), "one weight an example.")
        if self.learn:
            self.dlog_sigma[...] = np.sum((x.shape[1] - np.sum(r**2, axis=1)) * dnll)
        return nll, -r / sigma * dnll[:, None]

    def check_data(self, x):
        """Any finite x will do; the model looks for NaN and infinity itself."""

    def mean(self, out):
        """E[x|z] = out.  (B, D) -> (B, D)."""
        return out

    def sample(self, out, rng):
        """x ~ N(out, sigma^2 I).  (B, D) -> (B, D)."""
        noise = generator("Gaussian.sample", rng).standard_normal(out.shape)
        return (out + self._sigma()[0] * noise).astype(out.dtype)

    def output_for_mean(self, mean):
        """The output at which E[x|z] = mean: the mean itself.                                                       [INIT-4]"""
        return mean
