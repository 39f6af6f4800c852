"""Hypothesis profiles and the fixtures that many tests share.

HYPOTHESIS_PROFILE chooses the profile: dev (the default), ci (the default where CI is set) or mut (for mutation testing: few
examples, no shrinking).
"""

import gc
import importlib
import os
import pathlib

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: threads that wait for each other make small products slow

import numpy as np
import pytest
from hypothesis import Phase, settings

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, database=None, print_blob=True)
settings.register_profile(
    "mut", max_examples=10, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_collection_finish():
    """What collection leaves lives to the end of the run: the garbage collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture
def rng():
    """A generator of fixed seed, fresh for each test. Under @given draw a seed instead: strategies.seeds."""
    return np.random.default_rng(20240607)


@pytest.fixture
def reproduce(monkeypatch):
    """A function: the name of a module of benchmarks.reproduce -> the module."""
    monkeypatch.syspath_prepend(pathlib.Path(__file__).resolve().parents[1])
    return lambda name: importlib.import_module(f"benchmarks.reproduce.{name}")


@pytest.fixture
def undrawn(monkeypatch):
    """`npvae train` leaves no pictures, which take longer than a short training does."""
    monkeypatch.setattr("npvae.cli.running.draw", lambda *_: None)
