"""What a wrong argument is told: the helpers that refuse it name the argument, what was expected, what came, and where."""

import numpy as np
import pytest

from npvae.core.checks import NonFiniteError, finite, first_nonfinite, generator, has_shape, positive_integer, same_shape


def test_equal_shapes_pass():
    same_shape("f", a=np.zeros((3, 2)), b=np.ones((3, 2)), c=[[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (), (4,), (3, 3)])
def test_shapes_that_would_broadcast_are_refused(shape):
    with pytest.raises(ValueError, match=r"^f: c has shape \(.*\) but a has shape \(3,\); they must be equal\.$"):
        same_shape("f", a=np.zeros(3), b=np.zeros(3), c=np.zeros(shape))


def test_a_letter_stands_for_any_length():
    has_shape("f", "x", np.zeros((5, 20)), ("B", 20))
    has_shape("f", "x", np.zeros((0, 20)), ("B", 20))


@pytest.mark.parametrize(
    "shape, expected, message",
    [
        ((5, 3), ("B", 20), r"^f: x has shape \(5, 3\), expected \(B, 20\)\.$"),
        ((20,), ("B", 20), r"^f: x has shape \(20,\), expected \(B, 20\)\.$"),
        ((5, 1), (5,), r"^f: x has shape \(5, 1\), expected \(5,\)\.$"),
        ((1, 5, 20), ("B", 20), r"^f: x has shape \(1, 5, 20\), expected \(B, 20\)\.$"),
    ],
)
def test_another_shape_is_refused(shape, expected, message):
    with pytest.raises(ValueError, match=message):
        has_shape("f", "x", np.zeros(shape), expected)


def test_the_hint_about_a_shape_is_passed_on():
    with pytest.raises(ValueError, match=r"expected \(B, 2\); one example a row\.$"):
        has_shape("f", "x", np.zeros(3), ("B", 2), hint="one example a row.")


def test_first_nonfinite_gives_place_and_value():
    assert first_nonfinite(np.zeros((2, 3))) is None
    assert first_nonfinite(np.zeros((0, 3))) is None
    assert first_nonfinite(np.array([[0, 1], [-np.inf, np.nan]])) == ((1, 0), -np.inf)
    assert first_nonfinite(np.inf) == ((), np.inf)


def test_finite_names_the_first_culprit_in_the_order_of_computation():
    good, bad, worse = np.zeros((2, 2)), np.array([[0, 1], [np.nan, np.inf]]), np.full(3, np.inf)
    finite("f", good=good)
    with pytest.raises(
        NonFiniteError, match=r"^f: bad is nan at \[1, 0\] \(2 of 4 values are not finite\), and nothing before it\.$"
    ):
        finite("f", good=good, bad=bad, worse=worse)
    with pytest.raises(NonFiniteError, match=r"^f: worse is inf at \[0\] \(3 of 3 values are not finite\); repair it\.$"):
        finite("f", "repair it.", worse=worse, bad=bad)
    with pytest.raises(NonFiniteError, match=r"^f: total is inf \(1 of 1 values are not finite\)"):
        finite("f", total=np.inf)


def test_a_nonfinite_value_is_a_value_error():
    assert issubclass(NonFiniteError, ValueError)


@pytest.mark.parametrize("n", [1, 7, np.int64(7), np.uint8(3)])
def test_positive_integers_come_back_as_int(n):
    assert positive_integer("f", "n", n) == n
    assert type(positive_integer("f", "n", n)) is int


@pytest.mark.parametrize("n", [2.0, "2", None, True, np.float64(2), [2]])
def test_what_is_no_integer_is_a_type_error(n):
    with pytest.raises(TypeError, match=r"^f: n must be an integer, got "):
        positive_integer("f", "n", n)


@pytest.mark.parametrize("n", [0, -3, np.int64(0)])
def test_less_than_one_is_a_value_error(n):
    with pytest.raises(ValueError, match=rf"^f: n must be at least 1, got {n}\.$"):
        positive_integer("f", "n", n)


def test_only_a_generator_is_a_generator():
    rng = np.random.default_rng(0)
    assert generator("f", rng) is rng
    for wrong in (None, 0, np.random, np.random.RandomState(0)):
        message = rf"^f: rng must be a numpy.random.Generator, got {type(wrong).__name__}; pass np.random.default_rng\(0\)\.$"
        with pytest.raises(TypeError, match=message):
            generator("f", wrong)
