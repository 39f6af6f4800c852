"""softplus, sigmoid, log-sum-exp: stable for every finite argument, and safe for complex ones.

Complex-safe means that f(x + ih) = f(x) + ih f'(x) to rounding, so that Im f(x + ih) / h is the exact derivative (Squire &
Trapp 1998). That forbids np.abs, np.clip and np.where on signs, which lose or tear the imaginary part. np.maximum keeps it: it
orders complex numbers by their real parts, and at a real part of exactly 0 by the imaginary ones, as one-sided derivatives need.
"""

import numpy as np


def softplus(a):
    """softplus(a) = log(1 + e^a) = max(a, 0) + log(1 + e^-|a|)                                                    [ACT-5]

    The exponent is never positive, so nothing overflows: softplus(800) = 800, softplus(-800) = 0 (Maechler 2012).
    Any shape; the same shape out.  d softplus / da = sigmoid(a).
    """
    return np.maximum(a, 0) + np.log1p(np.exp(-np.maximum(a, -a)))


def sigmoid(a):
    """sigmoid(a) = 1 / (1 + e^-a) = p / (p + q)   with   p = e^min(a, 0),  q = e^-max(a, 0)                         [ACT-7]

    1 / (1 + e^-a) with numerator and denominator times p; neither exponent is ever positive. Full relative accuracy in both
    tails, where 1/2 (1 + tanh(a/2)) has none for a << 0.  Any shape; the same shape out.  d sigmoid / da = sigmoid(a) sigmoid(-a).
    """
    p = np.exp(np.minimum(a, 0))
    q = np.exp(-np.maximum(a, 0))
    return p / (p + q)


def log_sigmoid(a):
    """log sigmoid(a) = -softplus(-a), where log(sigmoid(a)) would be log 0 below a = -745.  Any shape; the same shape out."""
    return -softplus(-a)


def logsumexp(a, axis):
    """log sum_i e^a_i = m + log sum_i e^(a_i - m)   with   m = max_i a_i                                          [LSE-1]

    The largest term is e^0 = 1: no overflow, and no underflow to log 0.  `axis` is summed away.
    The log-mean-exp of importance sampling is logsumexp(a, axis) - log K.
    """
    m = np.max(np.real(a), axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, 0)  # a row of -inf alone stays log 0 = -inf, without -inf - -inf = NaN
    with np.errstate(divide="ignore"):
        return np.squeeze(m, axis=axis) + np.log(np.sum(np.exp(a - m), axis=axis))


def row_blocks(a):
    """Slices of the rows of a (B, D), some 32,768 numbers each: what is computed of a block stays in the processor's cache.

    A likelihood makes a dozen arrays of (B, D) on its way. Whole, they cost a quarter of a training step at batch 2,048, and a
    third of its memory at any batch (benchmarks/README.md)."""
    rows = max(1, 2**15 // max(1, a.shape[1]))
    return [slice(i, i + rows) for i in range(0, max(1, len(a)), rows)]
