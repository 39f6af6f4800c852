"""Arrays that note what NumPy makes of them: which arrays arise, of which dtype and size, and which matrix products; and the
memory that a call takes.

    with watching() as spy:
        model = VAE.dense(...)                     # made of watched arrays, as is all that comes of them
        x = spy.watch(x)
        spy.forget()                               # what was noted so far
        model.loss_and_grad(x, eps)
    spy.made, spy.used, spy.products, spy.strangers

A subclass of ndarray sees each operation that one of its arrays takes part in; but np.asarray, np.full, np.zeros and generators
give plain arrays. So the modules of npvae that train see a `np` whose functions and generators give watched ones. A plain array
that meets a watched one all the same is noted as a stranger: where there are none, nothing went unseen, but for what NumPy's own
functions do inside.

NumPy may compute a + b + c in the memory of a + b. It does not do so for a subclass, where that counts as two new arrays.
"""

import contextlib
import os
import sys
import tracemalloc
from types import ModuleType
from typing import NamedTuple
from unittest import mock

import numpy as np

import npvae.beyond
import npvae.training  # noqa: F401  what is to be watched must have been imported

WATCHED = tuple(f"npvae.{package}." for package in ("core", "models", "beyond", "data", "training"))
HIDDEN = (os.path.dirname(np.__file__) + os.sep, __file__)  # code that is never named as the place of an operation


class Seen(NamedTuple):
    """An array or a NumPy scalar: its dtype and shape, the function it belongs to, and the place in the code."""

    dtype: np.dtype
    shape: tuple
    by: str
    where: tuple

    @property
    def size(self):
        """How many numbers."""
        return int(np.prod(self.shape))

    def __str__(self):
        file, line = self.where
        return f"{self.dtype} {self.shape} by {self.by} in {os.path.basename(file)}:{line}"


class Spy:
    """What was noted.

    made       new arrays, each with memory of its own, and NumPy scalars
    used       operands, values written into arrays, and dtypes asked for: what NumPy computes with
    products   the shapes of the two operands of each matrix product
    strangers  plain arrays that met watched ones
    """

    def __init__(self):
        self.inside = 0  # depth of NumPy's own Python code, which may make plain arrays
        self.forget()

    def forget(self):
        """Begin anew."""
        self.made, self.used, self.products, self.strangers = [], [], [], []

    def watch(self, a):
        """A watched view of the array."""
        return a.view(Watched)

    def wide(self):
        """All floats seen that are not float32."""
        return [str(seen) for seen in self.made + self.used if seen.dtype.kind in "fc" and seen.dtype != np.float32]

    def as_large_as(self, size):
        """The new arrays of at least so many numbers."""
        return [str(seen) for seen in self.made if seen.size >= size]

    def note_operands(self, operands, by):
        """Arrays and NumPy scalars that go into an operation; Python's numbers take every dtype and are not noted."""
        for a in operands:
            if isinstance(a, (np.ndarray, np.generic)):
                self.used.append(Seen(a.dtype, a.shape, by, here()))
                if isinstance(a, np.ndarray) and not isinstance(a, Watched) and not self.inside:
                    self.strangers.append(str(self.used[-1]))

    def watched(self, result, operands, by):
        """The result of a function, watched from now on, its new arrays and scalars noted; tuples and lists part by part."""
        if type(result) in (tuple, list):
            return type(result)(self.watched(part, operands, by) for part in result)
        if isinstance(result, np.random.Generator):
            return WatchedGenerator(result.bit_generator)
        if isinstance(result, np.generic):
            self.made.append(Seen(result.dtype, (), by, here()))
        if type(result) is not np.ndarray:  # one that is watched was noted when it arose
            return result
        if not any(overlap(result, a) for a in operands if isinstance(a, np.ndarray)):
            self.made.append(Seen(result.dtype, result.shape, by, here()))
        return result.view(Watched)

    def seeing(self, function):
        """The same function, its results watched."""

        def call(*args, **options):
            return self.watched(function(*args, **options), opened(args, options), function.__name__)

        return call


SPIES: list[Spy] = []  # the last one is at work


class Watched(np.ndarray):
    """An array whose operations are noted while a spy is at work."""

    def __array_finalize__(self, parent):
        """Called for every watched array that arises, by methods such as astype and by indexing, too; views are not new."""
        if SPIES and (self.flags.owndata or not (isinstance(parent, np.ndarray) and overlap(self, parent))):
            SPIES[-1].made.append(Seen(self.dtype, self.shape, "a method", here()))

    def __setitem__(self, place, value):
        if SPIES:
            SPIES[-1].note_operands([value], "assignment")
        super().__setitem__(place, value)

    def __array_ufunc__(self, ufunc, method, *operands, out=None, **options):
        spy = SPIES[-1] if SPIES else Spy()
        spy.note_operands([*operands, *(out or ())], ufunc.__name__)
        if options.get("dtype") is not None:
            spy.used.append(Seen(np.dtype(options["dtype"]), np.shape(operands[0]), f"{ufunc.__name__}(dtype=)", here()))
        if ufunc is np.matmul:
            spy.products.append((np.shape(operands[0]), np.shape(operands[1])))
        if out is not None:
            options["out"] = tuple(map(plain, out))
        result = getattr(ufunc, method)(*map(plain, operands), **options)
        if out is None:
            return spy.watched(result, (), ufunc.__name__)
        return out[0] if len(out) == 1 else out

    def __array_function__(self, function, types, args, options):
        spy = SPIES[-1] if SPIES else Spy()
        operands = opened(args, options)
        spy.note_operands(operands, function.__name__)
        spy.inside += 1
        try:
            result = super().__array_function__(function, types, args, options)
        finally:
            spy.inside -= 1
        return spy.watched(result, operands, function.__name__)


class WatchedGenerator(np.random.Generator):
    """A generator whose draws are watched."""

    def __getattribute__(self, name):
        there = super().__getattribute__(name)
        return SPIES[-1].seeing(there) if SPIES and callable(there) and name[0] != "_" else there


class WatchedNumpy:
    """numpy, or a module in it, as the watched code sees it."""

    def __init__(self, spy, module=np):
        self._spy, self._module = spy, module

    def __getattr__(self, name):
        there = getattr(self._module, name)
        if isinstance(there, ModuleType):
            return WatchedNumpy(self._spy, there)
        return self._spy.seeing(there) if callable(there) and not isinstance(there, type) else there


@contextlib.contextmanager
def watching(*others):
    """A Spy at work in the code that trains, and in other modules if they are given."""
    spy, modules = Spy(), [module for name, module in sys.modules.items() if name.startswith(WATCHED)]
    with contextlib.ExitStack() as patches:
        for module in (*modules, *others):
            if getattr(module, "np", None) is np:
                patches.enter_context(mock.patch.object(module, "np", WatchedNumpy(spy)))
        SPIES.append(spy)
        patches.callback(SPIES.pop)
        yield spy


def plain(a):
    """The same array, unwatched."""
    return a.view(np.ndarray) if isinstance(a, Watched) else a


def overlap(a, b):
    """Whether two arrays lie in the same memory."""
    return np.may_share_memory(plain(a), plain(b))


def opened(args, options):
    """All arguments of a call, and the parts of the lists and tuples among them."""
    return [a for part in (*args, *options.values()) for a in (part if isinstance(part, (list, tuple)) else [part])]


def here():
    """The file and line that are being run, outside of NumPy and of this file."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(HIDDEN):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def memory(f):
    """Bytes that f() takes at its peak, and bytes of arrays that are still there when it is done."""
    tracemalloc.start()
    try:
        f()
        peak = tracemalloc.get_traced_memory()[1]
        of_arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)  # Python keeps small objects of its own for later
        left = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([of_arrays]).traces)
    finally:
        tracemalloc.stop()
    return peak, left
