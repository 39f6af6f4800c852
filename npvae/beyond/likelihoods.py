"""More of p(x|z) for pixels: a Gaussian that learns a variance for each of them, and the continuous Bernoulli for grey ones.

The same protocol as in core: the nll carries its constants, in nats, and its gradient stands right under it.
"""

import math

import numpy as np

from npvae.core.checks import NonFiniteError, first_nonfinite, generator, has_shape, same_shape
from npvae.core.gaussian import LOG_2PI
from npvae.core.numerics import sigmoid, softplus
from npvae.core.parameters import Layer


class DiagonalGaussian(Layer):
    """Real x, out = (m, s) (B, 2D): the mean of each pixel, then what its variance is made of.  x ~ N(m, diag sigma^2).

        sigma^2 = min_sigma^2 + e^s                                                                                [PIX-1]
        nll = 1/2 sum_d ( (x - m)^2 / sigma^2 + log sigma^2 + log 2 pi )                                           [PIX-2]

    Without the floor min_sigma the likelihood has no upper bound: a pixel that never changes, in the corner of every picture, would
    be met exactly and pay with log sigma -> -infinity. The floor is smooth, so that there is a slope at every s.
    Raises ValueError if min_sigma is not a positive number.
    """

    def __init__(self, min_sigma=0.01):
        if isinstance(min_sigma, bool) or not (isinstance(min_sigma, (int, float, np.number)) and 0 < min_sigma < math.inf):
            raise ValueError(f"DiagonalGaussian: min_sigma must be a positive number, got {min_sigma!r}.")
        self.min_sigma = float(min_sigma)

    def config(self):
        """The constructor's argument."""
        return {**super().config(), "min_sigma": self.min_sigma}

    def n_outputs(self, D):
        """How many numbers the decoder gives for D data values: D means, then D s."""
        return 2 * D

    def nll(self, out, x):
        """-log p(x|z) of each example, in nats [PIX-2].  out: (B, 2D); x: (B, D).  Returns (B,)."""
        r, precision, logvar, _ = self._terms(out, x)
        return 0.5 * np.sum(r**2 * precision + logvar + LOG_2PI, axis=1)  # (B,)

    def nll_and_grad(self, out, x, dnll=None):
        """-log p(x|z) and its gradient.

            dnll/dm = -(x - m) / sigma^2                                                                           [PIX-3]
            dnll/ds = 1/2 ( 1 - (x - m)^2 / sigma^2 ) e^s / sigma^2       since dlog sigma^2/ds = e^s / sigma^2    [PIX-4]

        out: (B, 2D); x: (B, D); dnll: (B,), the weight of each example in the loss (1/B for the batch mean), 1 if None.
        Returns nll (B,) and dL/dout (B, 2D).
        """
        r, precision, logvar, share = self._terms(out, x)
        nll = 0.5 * np.sum(r**2 * precision + logvar + LOG_2PI, axis=1)  # (B,)
        dm = -r * precision  # (B, D)
        ds = 0.5 * (1 - r**2 * precision) * share  # (B, D)
        dout = np.concatenate([dm, ds], axis=1)  # (B, 2D)
        if dnll is not None:
            has_shape("DiagonalGaussian", "dnll", dnll, (len(x),), "one weight an example.")
            dout *= dnll[:, None]
        return nll, dout

    def _terms(self, out, x):
        """x - m, 1 / sigma^2, log sigma^2 and e^s / sigma^2: (B, D) each."""
        hint = "means, then s: twice as many columns as x."
        has_shape("DiagonalGaussian", "x", x, ("B", "D"))
        has_shape("DiagonalGaussian", "out", out, (len(x), 2 * x.shape[1]), hint)
        m, s = self._split(out)
        logvar = self._logvar(s)
        return x - m, np.exp(-logvar), logvar, sigmoid(s - 2 * math.log(self.min_sigma))

    def _logvar(self, s):
        """log( min_sigma^2 + e^s ) [PIX-1], with the floor's logarithm f taken out of both terms: f + log(1 + e^(s - f))."""
        floor = 2 * math.log(self.min_sigma)
        return floor + softplus(s - floor)

    @staticmethod
    def _split(out):
        """m, s (B, D): views."""
        D = out.shape[1] // 2
        return out[:, :D], out[:, D:]

    def check_data(self, x):
        """Any finite x will do; the model looks for NaN and infinity itself."""

    def mean(self, out):
        """E[x|z] = m.  (B, 2D) -> (B, D)."""
        return self._split(out)[0]

    def sample(self, out, rng):
        """x ~ N(m, diag sigma^2).  (B, 2D) -> (B, D)."""
        m, s = self._split(out)
        noise = generator("DiagonalGaussian.sample", rng).standard_normal(m.shape)
        return (m + np.exp(0.5 * self._logvar(s)) * noise).astype(out.dtype)

    def output_for_mean(self, mean):
        """An output at which E[x|z] = mean: the mean itself, and s = 0, that is sigma near 1.  (D,) -> (2D,)."""
        return np.concatenate([mean, np.zeros_like(mean)])


# B_2k / (2k)! for k = 1, 2, ..., with Bernoulli's numbers B: the power series of [CB-3] about l = 0 has radius 2 pi, so that ten
# terms leave an error below 1e-17 where |l| < 1.
SERIES = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600, -3617 / 10670622842880000,
    43867 / 5109094217170944000, -174611 / 802857662698291200000,
)  # fmt: skip


class ContinuousBernoulli(Layer):
    """Grey x, real numbers in [0, 1]; out = l: the logits of lambda = sigmoid(l).

        p(x|z) = C(l) lambda^x (1 - lambda)^(1-x)                     Loaiza-Ganem & Cunningham (2019)
        nll    = sum_d ( (1-x) softplus(l) + x softplus(-l) - log C(l) )                                           [CB-1]
        C(l)   = l / tanh(l/2) = 2 + 2 l ( E[x|z] - 1/2 ),   C(0) = 2                                              [CB-2]
        E[x|z] = 1 / (1 - e^-l) - 1/l,                       1/2 at l = 0                                          [CB-3]

    Why not Bernoulli: without C the integral of lambda^x (1 - lambda)^(1-x) over x in [0, 1] is 1 / C, at most 1/2. What Bernoulli
    gives for grey x is therefore no likelihood, and its sum with the KL bounds no log p(x). Here it does: nats of a density, which
    may be negative and do not compare with those of black and white pixels. lambda is no longer the mean. Black and white pixels
    need Bernoulli: here a pixel that is exactly 0 or 1 in every picture has no lower bound, though -log C falls only like -log |l|.
    """

    def n_outputs(self, D):
        """How many numbers the decoder gives for D data values: a logit each."""
        return D

    def nll(self, out, x):
        """-log p(x|z) of each example, in nats [CB-1].  out, x: (B, D).  Returns (B,).

        Raises ValueError if x leaves [0, 1], where the density is 0."""
        return self._terms(out, x)[0]

    def nll_and_grad(self, out, x, dnll=None):
        """-log p(x|z) and its gradient.

            dnll/dl = (1-x) E[x|z] - x (1 - E[x|z])               = E[x|z] - x, without its cancellation           [CB-4]

        out, x: (B, D); dnll: (B,), the weight of each example in the loss (1/B for the batch mean), 1 if None.
        Returns nll (B,) and dL/dout (B, D).
        """
        nll, mean, rest = self._terms(out, x)
        dout = (1 - x) * mean - x * rest  # (B, D)
        if dnll is not None:
            has_shape("ContinuousBernoulli", "dnll", dnll, (len(x),), "one weight an example.")
            dout *= dnll[:, None]
        return nll, dout

    def _terms(self, out, x):
        """nll (B,), E[x|z] and 1 - E[x|z] (B, D)."""
        same_shape("ContinuousBernoulli", x=x, out=out)
        self.check_data(x)
        C, mean, rest = normalizer_and_mean(out)
        pos = np.maximum(out, 0)  # (B, D)    max(l, 0)
        neg = pos - out  # (B, D)    max(-l, 0)
        nll = np.sum((1 - x) * pos + x * neg + (np.log1p(np.exp(-pos - neg)) - np.log(C)), axis=1)  # (B,)
        return nll, mean, rest

    def check_data(self, x):
        """Refuse x outside [0, 1].  Raises ValueError with the count, the range and the likely fix."""
        if x.size == 0 or (x.min() >= 0 and x.max() <= 1):
            return
        bad = first_nonfinite(x)
        if bad:
            raise NonFiniteError(f"ContinuousBernoulli: x is {bad[1]} at {list(bad[0])}; remove or repair such rows first.")
        n = int(np.sum((x < 0) | (x > 1)))
        hint = "divide 8-bit images by 255" if x.min() >= 0 and x.max() > 16 else "scale it to [0, 1], or use a Gaussian likelihood"
        raise ValueError(
            f"ContinuousBernoulli: x has {n} of {x.size} values outside [0, 1] "
            f"(smallest {x.min():.6g}, largest {x.max():.6g}); {hint}."
        )

    def mean(self, out):
        """E[x|z] [CB-3], which is nearer to 1/2 than lambda.  (B, D) -> (B, D)."""
        return normalizer_and_mean(out)[1]

    def sample(self, out, rng):
        """x ~ p(x|z), in [0, 1].  (B, D) -> (B, D).

        The distribution function (e^(lx) - 1) / (e^l - 1) set to a uniform u and solved for x: log(1 + u (e^l - 1)) / l. It is
        solved for -|l|, where nothing overflows; if l > 0, 1 - x is what has the logit -l."""
        u = generator("ContinuousBernoulli.sample", rng).random(out.shape)
        a = np.maximum(np.abs(out), 1e-30)  # at l = 0, x = u, which the formula reaches without a 0 / 0
        x = np.minimum(np.log1p(u * np.expm1(-a)) / -a, 1)  # rounding may lead past 1
        return np.where(out > 0, 1 - x, x).astype(out.dtype)

    def output_for_mean(self, mean):
        """The logit at which E[x|z] = mean, of a mean kept within [0.001, 0.999]; found by halving the interval -1001..1001."""
        mean = np.clip(np.asarray(mean, np.float64), 0.001, 0.999)
        low, high = np.full(mean.shape, -1001.0), np.full(mean.shape, 1001.0)
        for _ in range(64):  # 2002 / 2^64 = 1e-16
            middle = (low + high) / 2
            below = self.mean(middle) < mean  # E[x|z] rises with l
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2


def normalizer_and_mean(logits):
    """C [CB-2], E[x|z] and 1 - E[x|z] [CB-3] of the continuous Bernoulli.  Any shape; three arrays of that shape.

    C is even, and 1 - E[x|z] is the mean at -l; so all is worked out at |l|, whose exponential cannot overflow. Below |l| = 1,
    where both forms are differences of large and nearly equal numbers, 1/2 - E[x|z] is taken from its power series. Complex-safe:
    each branch is the whole function, so that no derivative is torn where they meet.
    """
    a = np.maximum(logits, -logits)  # |l|
    small = a.real < 1

    t = np.where(small, a, 0)  # elsewhere the powers would overflow
    t2, shift = t * t, np.full_like(t, SERIES[-1])
    for coefficient in reversed(SERIES[:-1]):
        shift *= t2
        shift += coefficient
    shift *= t  # E[x|z] - 1/2 at |l|

    a1 = np.where(small, 1, a)
    q = np.exp(-a1)
    low = np.where(small, 0.5 - shift, 1 / a1 - q / (1 - q))  # E[x|z] at -|l|
    C = np.where(small, 2 + 2 * t * shift, a1 * (1 + q) / (1 - q))
    up = a == logits  # l > 0, and in complex numbers also l = ih, where a sign of the real part would tear the slope
    return C, np.where(up, 1 - low, low), np.where(up, low, 1 - low)
