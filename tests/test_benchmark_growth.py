"""What the benchmarks of growth and of starting make of their measurements: exponents, verdicts, tables, pictures."""

import importlib
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def load(monkeypatch):
    """A function: the name of a module in benchmarks, which is no part of the installed package -> the module."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def growth(load):
    """The module."""
    return load("growth")


@pytest.fixture
def start(load):
    """The module."""
    return load("start")


def case(sizes, seconds, megabytes, **more):
    """A made-up result of one variable: seconds a turn and size."""
    about = {"name": "k", "fixed": "all else", "power": 1, "limited": False, "flat": False, **more}
    return {**about, "sizes": sizes, "times": seconds, "megabytes": megabytes}


def cells(line):
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- exponents -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [-0.5, 0, 1, 2])
def test_the_exponent_of_a_power_law_is_found(growth, power):
    sizes = np.array([3, 10, 11, 200])
    assert growth.exponent(sizes, 7 * sizes.astype(float) ** power) == pytest.approx(power, abs=1e-12)


def test_the_exponent_is_that_of_the_larger_half_in_every_turn(growth):
    overhead = [5.0, 5.0, 5.0]  # of the small sizes, in which nothing grows
    turns = [[*overhead, 2.0 * drift, 4.0 * drift, 8.0 * drift] for drift in (1, 30, 7)]
    found = case([1, 2, 4, 8, 16, 32], turns, [*overhead, 1, 1, 4])
    assert growth.exponents(found, growth.fitted(found)) == (pytest.approx((1, 1, 1)), pytest.approx(1))
    assert growth.exponents(found, 2) == (pytest.approx((1, 1, 1)), pytest.approx(2))


def test_of_few_sizes_three_are_fitted_and_of_many_the_half(growth):
    assert [growth.fitted({"sizes": range(n)}) for n in (3, 5, 7, 8)] == [3, 3, 3, 4]


def test_an_exponent_against_the_square_is_half_of_that_against_the_size(growth):
    found = case([1, 2, 4], [[1.0, 4.0, 16.0]], [1.0, 2.0, 4.0], power=2)
    assert growth.exponents(found, 3) == (pytest.approx((1, 1, 1)), pytest.approx(0.5))


# --- verdicts --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("power", "verdict"), [(0.7, "holds"), (1.049, "holds"), (1.051, "**does not hold**")])
def test_time_holds_up_to_the_limit(growth, power, verdict):
    found = case([100, 200, 400], [[1, 2**power, 4**power]], [1, 2, 4], limited=True)
    assert growth.verdicts(found) == [f"time at most 1.05: {verdict}"]


@pytest.mark.parametrize(("last", "verdict"), [(2.6, "holds (1.04"), (2.7, "**does not hold** (1.08")])
def test_memory_is_flat_if_it_hardly_grows(growth, last, verdict):
    found = case([100, 200, 400, 1600], [[1, 1, 1, 1]], [1.0, 2.5, 2.5, last], flat=True)
    assert growth.verdicts(found) == [f"memory flat: {verdict} times from 200 to 1,600)"]


def test_what_has_no_limit_has_no_verdict(growth):
    assert growth.verdicts(case([1, 2, 4], [[1, 4, 16]], [1, 4, 16])) == []


def test_the_issue_s_limits_are_asked_of_batch_squared_width_and_k(growth):
    limited = [(v.name, v.power) for v in growth.VARIABLES if v.limited]
    assert limited == [("batch", 1), ("width h", 2), ("k", 1)]
    assert [v.name for v in growth.VARIABLES if v.flat] == ["k"]


# --- growth on paper -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cases():
    """Two made-up variables."""
    k = case([500, 1000, 2000], [[0.001, 0.002, 0.004]] * 3, [2.51, 2.52, 2.5099], limited=True, flat=True)
    width = case([16, 32, 64], [[0.5, 2.0, 8.0]], [1.0, 2.0, 4.0], name="width h", power=2)
    return [k, width]


def test_the_table_holds_exponents_verdicts_and_all_figures(growth, cases):
    exponents, of_k, of_width = growth.table(cases).split("\n\n")
    _, _, k, width = exponents.splitlines()
    assert cells(k)[:7] == ["k", "all else", "500 to 2,000", "1.00 (1.00 to 1.00)", "1.00", "0.00", "-0.01"]
    assert cells(k)[7] == "time at most 1.05: holds<br>memory flat: holds (1.00 times from 500 to 2,000)"
    assert cells(width)[:3] == ["width h squared", "all else", "16 to 64"] and cells(width)[5:] == ["0.50", "0.50", ""]
    assert [cells(line) for line in of_k.splitlines() if "---" not in line] == [
        ["k (all else)", "500", "1,000", "2,000"], ["milliseconds", "1", "2", "4"], ["megabytes", "2.51", "2.52", "2.51"],
    ]  # fmt: skip
    assert "8,000" in of_width


def test_the_picture_has_time_and_memory_of_each_variable_with_their_exponents(growth, cases):
    written = [ax.texts[0].get_text() for ax in growth.picture(cases).axes]
    assert written == ["exponent 1.00", "exponent 0.00", "exponent 1.00 of h squared", "exponent 0.50 of h squared"]


def test_the_numbers_on_an_axis_are_round_and_not_few(growth):
    assert growth.round_numbers(0.5, 2000) == pytest.approx([1, 10, 100, 1000])
    assert growth.round_numbers(0.8, 8) == pytest.approx([1, 2, 5])


# --- the peer that measures ------------------------------------------------------------------------------------------------------


def test_peak_memory_is_that_of_one_call_without_what_the_first_one_leaves(load):
    kept = []

    def run(n):
        if not kept:
            kept.append(np.ones(10**6))
        a = np.ones(2 * 10**5)  # 1.6 MB
        return a + a

    assert load("peers.growth_peer").peak_megabytes(run) == pytest.approx(3.2, rel=0.01)


def test_log_likelihood_needs_no_more_memory_for_more_draws(load, monkeypatch):
    peer = load("peers.growth_peer")
    monkeypatch.setattr(peer, "images", lambda data_dim, n: np.zeros((n, data_dim), np.float32))
    few, many = peer.Turns(peer.importance_sampling, [{"samples": k, "rows": 1, "hidden": [5]} for k in (400, 3200)]).result
    assert many < 1.01 * few


# --- start -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(start):
    """A made-up result without JAX: the n-th command takes n times as long as the first in a turn, and one turn is slower."""
    names = [name for name in start.COMMANDS if name != "import jax"]
    times = {name: [0.1 * n, 0.1 * n, 0.4 * n] for n, name in enumerate(names, 1)}
    return {"times": times, "megabytes": {name: [30.0, 32.0, 31.0] for name in names}, "missing": {"import jax": "not there"}}


def test_what_is_started_finds_compiled_files_as_an_installed_program_does(start, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    start.run(["-c", "import sys; sys.exit(sys.dont_write_bytecode)"], SimpleNamespace(cores=1, kernels=None))  # else PeerError


def test_the_table_of_start_compares_within_a_turn(start, started):
    table, verdict, missing = start.table(started).split("\n\n")
    rows = {cells(line)[0]: cells(line)[1:] for line in table.splitlines()}
    assert rows["import npvae"] == ["100 (100 to 250)", "0.2 (0.2 to 0.2)", "31"]
    assert rows["import numpy"] == ["500 (500 to 1,250)", "1", "31"]
    assert verdict == "`npvae --help` within 0.3 s: holds (0.20 s)." and missing == "import jax: not there"


def test_a_help_that_is_late_does_not_hold(start):
    assert start.verdict({start.HELP: [0.2, 0.31, 0.5]}) == "`npvae --help` within 0.3 s: **does not hold** (0.31 s)."


def test_the_picture_of_start_keeps_the_demonstration_apart(start, started):
    short, demo, memory = ([label.get_text() for label in ax.get_yticklabels()] for ax in start.picture(started).axes)
    assert demo == [start.DEMO] and start.DEMO not in short and sorted(short + demo) == sorted(memory)


def options():
    """Of a run on one core."""
    return SimpleNamespace(cores=1, kernels=None)


def test_the_memory_of_a_started_process_is_its_own(start):
    held = np.ones(10**7)  # 80 MB of the process that starts it
    seconds, megabytes = start.run(["-c", "pass"], options())
    assert 0 < seconds < 60 and 3 < megabytes < held.nbytes / 2e6


def test_a_process_that_fails_is_told_of(start):
    with pytest.raises(start.NotInstalled, match="torch is not installed"):
        start.run(["-c", "raise ModuleNotFoundError(\"No module named 'torch'\")"], options())
    with pytest.raises(start.PeerError, match=r"(?s)ended with exit code 1:.*something else"):
        start.run(["-c", "raise SystemExit('something else')"], options())
