"""Schedules: their equations at the points that matter, their names, and one sentence for a wrong argument."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npvae.training import schedules


def values(schedule, steps):
    return [schedule(step, steps) for step in range(steps)]


def test_constant():
    assert values(schedules.constant(0.3), 4) == [0.3] * 4


def test_warmup_by_a_number_of_steps():
    assert values(schedules.linear_warmup(2.0, warmup=4), 6) == [0, 0.5, 1, 1.5, 2, 2]


def test_warmup_by_a_fraction_of_all_steps():
    assert values(schedules.linear_warmup(1.0, warmup=0.5), 8) == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert values(schedules.linear_warmup(1.0, warmup=1, start=0.5), 3) == [0.5, 1, 1], "the integer 1 is one step"


def test_cycles():
    assert values(schedules.cyclical(1.0, cycles=2, ramp=0.5), 8) == [0, 0.5, 1, 1, 0, 0.5, 1, 1]
    assert values(schedules.cyclical(3.0, cycles=1, ramp=1.0), 3) == [0, 1, 2]
    assert values(schedules.cyclical(1.0, cycles=9), 3) == [0, 0, 0], "more cycles than steps: each has one step, its first"


def test_cosine_ends_where_it_should():
    schedule = schedules.cosine(0.1, end=0.02)
    assert schedule(0, 10) == 0.1 and schedule(10, 10) == pytest.approx(0.02) and schedule(5, 10) == pytest.approx(0.06)
    assert schedule(2, 10) == pytest.approx(0.02 + 0.04 * (1 + math.cos(math.pi / 5)))


def test_step_decay():
    assert values(schedules.step_decay(1.0, factor=0.5, every=2), 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert values(schedules.step_decay(1.0, factor=0.5, every=0.5), 4) == [1, 1, 0.5, 0.5]


def test_exponential():
    np.testing.assert_allclose(values(schedules.exponential(1e-2, 1e-4), 4), [1e-2, 10**-2.5, 1e-3, 10**-3.5], rtol=1e-14)


def test_the_stages_of_burda_et_al():
    """3^i passes at 0.001 10^(-i/7), i = 0 .. 7: 3,280 passes; the same proportions where there are fewer steps."""
    schedule = schedules.stages(1e-3, 1e-4)
    expected = [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    np.testing.assert_allclose(values(schedule, 3280), expected, rtol=1e-14)
    np.testing.assert_allclose(values(schedule, 7 * 3280), np.repeat(expected, 7), rtol=1e-14)
    assert len(set(values(schedule, 328))) == 7, "the first stage, a tenth of a pass, is over before the second step"
    assert schedule(327, 328) == pytest.approx(1e-4)


def test_stages_of_other_numbers_and_lengths():
    assert values(schedules.stages(4.0, 1.0, n=3, growth=2), 7) == [4, 2, 2, 1, 1, 1, 1]
    assert values(schedules.stages(4.0, 1.0, n=2, growth=1), 5) == [4, 4, 4, 1, 1]
    assert values(schedules.stages(4.0, 1.0, n=1), 3) == [4, 4, 4]


@given(steps=st.integers(1, 500), warmup=st.floats(0.01, 1), cycles=st.integers(1, 9), ramp=st.floats(0.01, 1))
def test_schedules_stay_between_their_ends(steps, warmup, cycles, ramp):
    for schedule in (
        schedules.linear_warmup(2.0, warmup), schedules.cyclical(2.0, cycles, ramp), schedules.cosine(2.0, 0.5),
        schedules.exponential(0.5, 2.0), schedules.step_decay(2.0, 0.9, warmup), schedules.stages(2.0, 0.5, cycles),
    ):  # fmt: skip
        assert all(0 <= value <= 2 * (1 + 1e-12) for value in values(schedule, steps))


@given(steps=st.integers(1, 300))
def test_warmup_never_falls_and_cosine_never_rises(steps):
    assert np.all(np.diff(values(schedules.linear_warmup(1.0), steps)) >= 0)
    assert np.all(np.diff(values(schedules.cosine(1.0), steps)) <= 0)


def test_a_schedule_is_named_after_the_call_that_made_it():
    assert schedules.linear_warmup(1.0, warmup=10).__qualname__ == "linear_warmup(1.0, warmup=10)"
    assert schedules.cosine(0.1).__qualname__ != schedules.cosine(0.2).__qualname__


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: schedules.constant(-1), "constant: value must be a finite number of at least 0, got -1"),
        (lambda: schedules.linear_warmup(math.nan), "linear_warmup: end .* got nan"),
        (lambda: schedules.linear_warmup(1.0, warmup=0), "warmup must be an integer of at least 1, got 0"),
        (lambda: schedules.linear_warmup(1.0, warmup=1.5), "warmup must be above 0 and at most 1, got 1.5"),
        (lambda: schedules.linear_warmup(1.0, start="0"), "start must be a finite number"),
        (lambda: schedules.cyclical(cycles=2.5), "cycles must be an integer of at least 1, got 2.5"),
        (lambda: schedules.cyclical(ramp=0.0), "ramp must be above 0 and at most 1"),
        (lambda: schedules.cosine(math.inf), "start must be a finite number"),
        (lambda: schedules.step_decay(1.0, factor=-0.1), "factor must be a finite number of at least 0"),
        (lambda: schedules.step_decay(1.0, every=0.0), "every must be above 0"),
        (lambda: schedules.exponential(1.0, 0.0), "end must be above 0; a factor never reaches 0"),
        (lambda: schedules.stages(1.0, 0.0), "stages: end must be above 0; a factor never reaches 0"),
        (lambda: schedules.stages(1.0, 0.1, n=0), "stages: n must be an integer of at least 1, got 0"),
        (lambda: schedules.stages(1.0, 0.1, growth=1.5), "stages: growth must be an integer of at least 1, got 1.5"),
        (lambda: schedules.constant(True), "value must be a finite number"),
    ],
)
def test_a_wrong_argument_is_told(make, words):
    with pytest.raises(ValueError, match=words):
        make()
