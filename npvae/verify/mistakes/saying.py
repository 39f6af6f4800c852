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
        raise AssertionError(f"{what} is {got[j]:.10g}, should be {expected[j]:.10g}")


def close_in_mean(what, samples, expected):
    """The mean over axis 0 of the library's samples lies within 5 standard errors of what is expected."""
    mean, expected, error, wrong = _compared(samples, expected)
    for j in map(tuple, wrong[:1]):
        raise AssertionError(f"{what} is {mean[j]:.4g} +- {error[j]:.1g}, should be {expected[j]:.4g}")


def close_to_mean(what, got, samples):
    """The library's number lies within 5 standard errors of the mean over axis 0 of samples that are right."""
    mean, got, error, wrong = _compared(samples, got)
    for j in map(tuple, wrong[:1]):
        raise AssertionError(f"{what} is {got[j]:.4g}, should be {mean[j]:.4g} +- {error[j]:.1g}")


def _compared(samples, number):
    """The mean over axis 0, the number, the standard error, of one shape, and where the two are more than 5 errors apart."""
    error = samples.std(axis=0) / math.sqrt(len(samples)) + 1e-12
    mean, number, error = np.broadcast_arrays(samples.mean(axis=0), number, error)
    return mean, number, error, np.argwhere(~(np.abs(mean - number) < 5 * error))
