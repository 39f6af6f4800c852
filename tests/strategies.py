"""What Hypothesis draws: unequal sizes, a seed for bulk values, floats in the range where the mathematics is used.

Hypothesis shrinks sizes and seeds; the arrays come from a generator, quick to make and without equal entries that hide errors.
"""

from hypothesis import settings
from hypothesis import strategies as st

few = settings(max_examples=max(5, settings.default.max_examples // 5))  # for claims that hang on the code and hardly on the data

seeds = st.integers(0, 2**32 - 1)  # for np.random.default_rng

floats = st.floats(-5, 5, allow_subnormal=False)
logvars = st.floats(-6, 6, allow_subnormal=False)


def sizes(n):
    """n pairwise different sizes, from 1 and the primes: no matrix is square, so that a missing transpose cannot hide."""
    return st.permutations((1, 2, 3, 5, 7)).map(lambda drawn: tuple(drawn[:n]))


def values(rng, *shape):
    """Activations, weights, means: uniform in -5..5."""
    return rng.uniform(-5, 5, shape)


def log_variances(rng, *shape):
    """Uniform in -6..6: sigma from 0.05 to 20."""
    return rng.uniform(-6, 6, shape)
