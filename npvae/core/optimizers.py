"""Gradient descent and its descendants. This file knows arrays and nothing else: copy it anywhere.

`adam_update` is Adam as printed; `Adam` is the same numbers, in place and several times faster. All `step(theta, grad)` methods
change theta in place and return nothing; theta may have any shape and any strides.
"""

import math

import numpy as np

BLOCK = 65_536  # elements worked on at a time, so that theta, grad and the averages stay in the cache between two operations
FLUSH = 64  # steps from one flushing of subnormal averages to the next


def adam_update(theta, grad, m, v, t, lr, beta1, beta2, eps):
    """One step of Adam: Algorithm 1 of Kingma & Ba (2015), line by line.

        m     = beta1 m + (1 - beta1) g                    average of the gradient                                 [ADAM-1]
        v     = beta2 v + (1 - beta2) g^2                  average of its square                                   [ADAM-2]
        mhat  = m / (1 - beta1^t)                          both started at 0: undo that bias                       [ADAM-3]
        vhat  = v / (1 - beta2^t)                                                                                  [ADAM-4]
        theta = theta - lr mhat / (sqrt(vhat) + eps)       eps outside the root, after the correction              [ADAM-5]

    t counts from 1. Any shape. Returns the new theta, m, v and changes nothing.
    """
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    mhat = m / (1 - beta1**t)
    vhat = v / (1 - beta2**t)
    theta = theta - lr * mhat / (np.sqrt(vhat) + eps)
    return theta, m, v


class Optimizer:
    """What the optimizers share: the checks, the running averages (zero at the start), saving them, and the walk in blocks."""

    averages: tuple[str, ...] = ()  # the names of the running averages, arrays like theta
    hyperparameters: tuple[str, ...] = ("lr",)

    def __init__(self, lr):
        self.lr = _number(self, "lr", lr, 0, math.inf)
        self.t = 0  # steps made
        for name in self.averages:
            setattr(self, name, None)  # an array like theta from the first step on

    def step(self, theta, grad):
        """theta <- the next theta, in place.

        theta, grad: arrays of one shape, any strides. Raises TypeError, ValueError before anything has changed."""
        self._check(theta, grad)
        if self.t == 0:
            for name in self.averages:
                setattr(self, name, np.zeros(theta.shape, theta.dtype))
        self.t += 1
        arrays = theta, grad, *(getattr(self, name) for name in self.averages)
        for block in _blocks(arrays):
            self._update(*block)
            if self.t % FLUSH == 0:
                self._flush(*block[2:])

    def _flush(self, *averages):
        """Set to 0 what is below the smallest normal number, 1e-38 in float32.

        The average of a weight whose gradient stays at 0 (a border pixel, a dead ReLU) decays into that range, where processors
        are many times slower; nothing that it could still do to theta is as large as a rounding error. Without an eps the averages
        stay as they are, since 0 / sqrt(0) would be NaN."""
        if getattr(self, "eps", None) == 0:
            return
        for a in averages:
            np.copyto(a, 0, where=np.abs(a) < np.finfo(a.dtype).tiny)

    def _update(self, theta, grad, *averages):
        raise NotImplementedError

    def _check(self, theta, grad):
        name = type(self).__name__
        if not isinstance(theta, np.ndarray) or not np.issubdtype(theta.dtype, np.inexact):
            raise TypeError(f"{name}.step: theta must be an array of floats, which is changed in place; got {theta!r:.60}.")
        if not theta.flags.writeable:
            raise ValueError(f"{name}.step: theta is read-only; it must be an array that can be changed in place.")
        if not isinstance(grad, np.ndarray) or grad.dtype.kind not in "fc" or not np.can_cast(grad.dtype, theta.dtype, "same_kind"):
            raise TypeError(f"{name}.step: grad must be an array of floats, like theta ({theta.dtype}); got {grad!r:.60}.")
        if grad.shape != theta.shape:
            raise ValueError(f"{name}.step: grad has shape {grad.shape} but theta has shape {theta.shape}.")
        for average in self.averages:
            a = getattr(self, average)
            if a is not None and a.shape != theta.shape:
                raise ValueError(
                    f"{name}.step: theta has shape {theta.shape}, but this optimizer has been stepping an array of shape "
                    f"{a.shape}; make one {name} for each array."
                )

    def config(self):
        """Name and hyperparameters, as plain data."""
        return {"type": type(self).__name__, **{name: getattr(self, name) for name in self.hyperparameters}}

    def state_dict(self):
        """t and copies of the running averages: all that a bit-identical continuation needs beside the hyperparameters."""
        state = {"t": self.t}
        for name in self.averages:
            a = getattr(self, name)
            state[name] = None if a is None else a.copy()
        return state

    def load_state_dict(self, d):
        """Continue from `state_dict()`.  Raises ValueError, before anything has changed, if the names do not agree."""
        if set(d) != {"t", *self.averages}:
            raise ValueError(f"{type(self).__name__}.load_state_dict: expected t, {', '.join(self.averages)}; got {', '.join(d)}.")
        self.t = int(d["t"])
        for name in self.averages:
            setattr(self, name, None if d[name] is None else np.array(d[name]))


class SGD(Optimizer):
    """theta = theta - lr g          stochastic gradient descent, Robbins & Monro (1951)                           [SGD-1]"""

    def _update(self, theta, grad):
        theta -= self.lr * grad


class Momentum(Optimizer):
    """Heavy ball, Polyak (1964).

    v     = mu v + g                                                                                           [MOM-1]
    theta = theta - lr v                                                                                       [MOM-2]
    """

    averages = ("v",)
    hyperparameters = ("lr", "mu")

    def __init__(self, lr, mu=0.9):
        super().__init__(lr)
        self.mu = _number(self, "mu", mu, 0, 1)

    def _update(self, theta, grad, v):
        v *= self.mu
        v += grad
        theta -= self.lr * v


class RMSProp(Optimizer):
    """Steps divided by a running root mean square of the gradient; Tieleman & Hinton (2012).

    v     = rho v + (1 - rho) g^2                                                                              [RMS-1]
    theta = theta - lr g / (sqrt(v) + eps)                                                                     [RMS-2]
    """

    averages = ("v",)
    hyperparameters = ("lr", "rho", "eps")

    def __init__(self, lr=1e-3, rho=0.9, eps=1e-8):
        super().__init__(lr)
        self.rho = _number(self, "rho", rho, 0, 1)
        self.eps = _number(self, "eps", eps, 0, math.inf)

    def _update(self, theta, grad, v):
        v *= self.rho
        v += (1 - self.rho) * grad**2
        theta -= self.lr * grad / (np.sqrt(v) + self.eps)


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients; Duchi et al. (2011).

    v     = v + g^2                                                                                            [ADA-1]
    theta = theta - lr g / (sqrt(v) + eps)                                                                     [ADA-2]
    """

    averages = ("v",)
    hyperparameters = ("lr", "eps")

    def __init__(self, lr=1e-2, eps=1e-8):
        super().__init__(lr)
        self.eps = _number(self, "eps", eps, 0, math.inf)

    def _update(self, theta, grad, v):
        v += grad**2
        theta -= self.lr * grad / (np.sqrt(v) + self.eps)


class Adam(Optimizer):
    """`adam_update` in place: with c1 = 1 - beta1^t and c2 = 1 - beta2^t taken out of the arrays,

        theta = theta - (lr sqrt(c2) / c1) m / (sqrt(v) + sqrt(c2) eps)                                            [ADAM-6]

    which is [ADAM-5] with numerator and denominator times sqrt(c2): the same numbers. A constant in place of sqrt(c2) eps
    ("epsilon hat") would be another optimizer.
    """

    averages = ("m", "v")
    hyperparameters = ("lr", "beta1", "beta2", "eps")

    def __init__(self, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        super().__init__(lr)
        self.beta1 = _number(self, "beta1", beta1, 0, 1)
        self.beta2 = _number(self, "beta2", beta2, 0, 1)
        self.eps = _number(self, "eps", eps, 0, math.inf)

    def _update(self, theta, grad, m, v):
        c1, c2 = 1 - self.beta1**self.t, 1 - self.beta2**self.t
        work = (1 - self.beta1) * grad
        m *= self.beta1
        m += work  # [ADAM-1]
        np.multiply(grad, grad, out=work)
        work *= 1 - self.beta2
        v *= self.beta2
        v += work  # [ADAM-2]
        np.sqrt(v, out=work)
        work += math.sqrt(c2) * self.eps
        np.divide(m, work, out=work)
        work *= self.lr * math.sqrt(c2) / c1
        theta -= work  # [ADAM-6]


def _blocks(arrays):
    """The arrays cut alike into views of at most BLOCK elements; uncut if one of them has other strides."""
    if not all(a.flags.c_contiguous for a in arrays):
        return [arrays]
    flat = [a.reshape(-1) for a in arrays]  # views
    return [[a[start : start + BLOCK] for a in flat] for start in range(0, flat[0].size, BLOCK)]


def _number(optimizer, name, value, low, high):
    """-> float(value), if low <= value < high."""
    where = type(optimizer).__name__
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}.")
    if not low <= value < high:
        raise ValueError(f"{where}: {name} must be at least {low} and below {high}, got {value}.")
    return float(value)
