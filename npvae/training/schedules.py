"""Schedules: functions (step, steps) -> number, for beta and for the learning rate.

step counts the optimizer steps from 0, steps is how many there are in the whole run. Anyone's own function will do, too:
`fit(..., beta=lambda step, steps: min(1, step / 1000))`.
"""

import functools
import math
import numbers


def _described(make):
    """The schedule carries the call that made it as its name, so that a checkpoint can tell two schedules apart."""

    @functools.wraps(make)
    def named(*args, **kwargs):
        schedule = make(*args, **kwargs)
        arguments = [repr(a) for a in args] + [f"{name}={value!r}" for name, value in kwargs.items()]
        schedule.__qualname__ = f"{make.__name__}({', '.join(arguments)})"
        return schedule

    return named


@_described
def constant(value):
    """value at every step."""
    _at_least("constant", "value", value, 0)
    return lambda step, steps: value


@_described
def linear_warmup(end=1.0, warmup=0.5, start=0.0):
    """From start to end in a straight line, then end.

        value = start + (end - start) min(1, step / w)          Bowman et al. (2016); Sonderby et al. (2016)      [SCHED-1]

    warmup: w, in steps if it is an integer, else a fraction of all steps in (0, 1].
    """
    _at_least("linear_warmup", "end", end, 0)
    _at_least("linear_warmup", "start", start, 0)
    length = _length("linear_warmup", "warmup", warmup)
    return lambda step, steps: start + (end - start) * min(1.0, step / length(steps))


@_described
def cyclical(end=1.0, cycles=4, ramp=0.5):
    """`cycles` times: from 0 to end in a straight line over the first `ramp` of the cycle, then end for the rest of it.

        c = ceil(steps / cycles)        tau = (step mod c) / c
        value = end min(1, tau / ramp)          Fu et al. (2019), eq. 6 and 7                                      [SCHED-2]

    step counts from 0 here and from 1 there, so that each cycle begins at exactly 0.
    """
    _at_least("cyclical", "end", end, 0)
    _fraction("cyclical", "ramp", ramp)
    _integer("cyclical", "cycles", cycles)

    def schedule(step, steps):
        length = math.ceil(steps / cycles)
        return end * min(1.0, (step % length) / length / ramp)

    return schedule


@_described
def cosine(start, end=0.0):
    """From start down to end along half a cosine.

    value = end + (start - end) (1 + cos(pi step / steps)) / 2          Loshchilov & Hutter (2017), eq. 5      [SCHED-3]
    """
    _at_least("cosine", "start", start, 0)
    _at_least("cosine", "end", end, 0)
    return lambda step, steps: end + (start - end) * 0.5 * (1 + math.cos(math.pi * step / steps))


@_described
def step_decay(start, factor=0.1, every=0.5):
    """Times `factor` after each `every` (an integer: steps; else a fraction of all steps in (0, 1]).

    value = start factor^floor(step / every)                                                                   [SCHED-4]
    """
    _at_least("step_decay", "start", start, 0)
    _at_least("step_decay", "factor", factor, 0)
    length = _length("step_decay", "every", every)
    return lambda step, steps: start * factor ** math.floor(step / length(steps))


@_described
def exponential(start, end):
    """From start to end by the same factor at every step.

    value = start (end / start)^(step / steps)                                                                 [SCHED-5]
    """
    for name, value in (("start", start), ("end", end)):
        _above_zero("exponential", name, value)
    return lambda step, steps: start * (end / start) ** (step / steps)


@_described
def stages(start, end, n=8, growth=3):
    """n stages, each `growth` times as long as the one before; the rate falls from start to end by the same factor each time.

        value = start (end / start)^(i / (n - 1)) in stage i = 0 .. n - 1          Burda et al. (2016), section 5      [SCHED-6]

    Stage i lasts growth^i / (1 + growth + ... + growth^(n - 1)) of all steps. Theirs: from 1e-3 to 1e-4 in 8 stages of 1, 3, 9
    ... 2,187 passes over the data, 3,280 in all. start, end: above 0; n, growth: integers.
    """
    for name, value in (("start", start), ("end", end)):
        _above_zero("stages", name, value)
    _integer("stages", "n", n)
    _integer("stages", "growth", growth)
    begins = [sum(growth**j for j in range(i)) for i in range(n + 1)]  # in units of the first stage; the last is the end of all

    def schedule(step, steps):
        i = sum(step * begins[-1] >= steps * begin for begin in begins[1:-1])  # in integers: no stage begins a step too late
        return start * (end / start) ** (i / max(1, n - 1))

    return schedule


def _above_zero(where, name, value):
    _at_least(where, name, value, 0)
    if value == 0:
        raise ValueError(f"{where}: {name} must be above 0; a factor never reaches 0.")


def _at_least(where, name, value, low):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not low <= value < math.inf:
        raise ValueError(f"{where}: {name} must be a finite number of at least {low}, got {value!r}.")


def _integer(where, name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{where}: {name} must be an integer of at least 1, got {value!r}.")


def _fraction(where, name, value):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value <= 1:
        raise ValueError(f"{where}: {name} must be above 0 and at most 1, got {value!r}.")


def _length(where, name, value):
    """-> a function of steps: the length meant by a number of steps (an integer) or by a fraction of all."""
    if isinstance(value, numbers.Integral):
        _integer(where, name, value)
        return lambda steps: value
    _fraction(where, name, value)
    return lambda steps: value * steps
