"""How a Dense layer starts: the range, variance and bias of each initializer, and that one generator draws different layers."""

import math

import numpy as np
import pytest

from npvae import Dense

N_IN, N_OUT = 150, 250


def assert_moments(sample, variance, kurtosis):
    """Mean 0, the variance, both within 4.5 standard errors."""
    n, sample = sample.size, sample.ravel() / math.sqrt(variance)
    assert abs(sample.mean()) * math.sqrt(n) < 4.5
    assert abs((sample**2).mean() - 1) * math.sqrt(n / (kurtosis - 1)) < 4.5


def assert_uniform(sample, a):
    assert np.abs(sample).max() <= a
    assert np.abs(sample).max() > a * (1 - 10 / sample.size)  # it reaches its ends
    assert_moments(sample, a**2 / 3, kurtosis=9 / 5)


def test_glorot_is_uniform_within_root_six_over_fan_in_plus_fan_out(rng):
    layer = Dense(N_IN, N_OUT, rng=rng)  # the default
    assert_uniform(layer.W, math.sqrt(6 / (N_IN + N_OUT)))
    assert not layer.b.any()


def test_he_is_normal_with_variance_two_over_fan_in(rng):
    layer = Dense(N_IN, N_OUT, rng=rng, init="he")
    assert_moments(layer.W, 2 / N_IN, kurtosis=3)
    assert np.abs(layer.W).max() > 3.5 * math.sqrt(2 / N_IN)  # tails: 37,500 normal draws
    assert not layer.b.any()


def test_uniform_draws_weights_and_biases_within_one_over_root_fan_in(rng):
    layer = Dense(N_IN, N_OUT, rng=rng, init="uniform")
    assert_uniform(layer.W, 1 / math.sqrt(N_IN))
    assert_uniform(layer.b, 1 / math.sqrt(N_IN))


def test_a_function_can_initialize(rng):
    def identity(n_in, n_out, rng):
        return np.eye(n_in, n_out), np.arange(n_out)

    layer = Dense(2, 3, rng=rng, init=identity, dtype=np.float32)
    assert np.array_equal(layer.W, [[1, 0, 0], [0, 1, 0]]) and np.array_equal(layer.b, [0, 1, 2])
    assert layer.W.dtype == layer.b.dtype == np.float32


@pytest.mark.parametrize("init", ["glorot", "he", "uniform"])
def test_layers_from_one_generator_differ_and_from_one_seed_agree(init):
    rng = np.random.default_rng(5)
    first, second = (Dense(3, 2, rng=rng, init=init) for _ in range(2))
    again = Dense(3, 2, rng=np.random.default_rng(5), init=init)
    assert not np.array_equal(first.W, second.W)
    assert np.array_equal(first.W, again.W) and np.array_equal(first.b, again.b)
