"""How a check complains: an AssertionError with one sentence."""

import math

import numpy as np


def demand(condition, sentence):
    """Raise AssertionError(sentence) unless the condition holds."""
    if not condition:
        raise AssertionError(sentence)


def close(what, got, expected, rtol=1e-12, atol=0.0):
    """Each entry of `got` within rtol of that of `expected`, or within atol; the first that is not is named."""
    got, expected = np.broadcast_arrays(got, expected)
    with np.errstate(invalid="ignore"):
        wrong = np.argwhere(~(np.abs(got - expected) <= rtol * np.abs(expected) + atol))
    if len(wrong):
        j = tuple(wrong[0])
        raise AssertionError(f"{what}: {got[j]:.10g} for {expected[j]:.10g}")


def close_in_mean(what, samples, expected):
    """The mean over axis 0 lies within 5 standard errors of what is expected."""
    error = samples.std(axis=0) / math.sqrt(len(samples)) + 1e-12
    mean, expected, error = np.broadcast_arrays(samples.mean(axis=0), expected, error)
    wrong = np.argwhere(~(np.abs(mean - expected) < 5 * error))
    if len(wrong):
        j = tuple(wrong[0])
        raise AssertionError(f"{what}: {mean[j]:.4g} +- {error[j]:.1g} for {expected[j]:.4g}")
