"""The flags of `python -m benchmarks`, and who takes part in its comparisons: those who agree, and whose library is there."""

import contextlib
import importlib
import itertools
import json
import pathlib
from types import SimpleNamespace

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# What a peer of these tests computes is the number that it is told; a call takes a millisecond.
PEER = """
import os, time
from benchmarks.peer import Workload

def number(value=1.0):
    return Workload(lambda calls: time.sleep(0.001 * calls), {"loss": value, "norm": 1.0, "products": [0.0]})

def threads():
    return number(float(os.environ["OPENBLAS_NUM_THREADS"]))

WORKLOADS = {"number": number, "threads": threads}
"""


@pytest.fixture
def benchmarks(monkeypatch):
    """A function: the name of a module of benchmarks -> the module."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


# --- the flags -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def main(benchmarks):
    """A function: the flags -> what `python -m benchmarks` does with them."""
    return lambda *flags: benchmarks("__main__").main(flags)


@pytest.mark.parametrize("flag", ["--cores", "--repeats"])
@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_a_number_below_one_is_refused(flag, value, main, capsys):
    with pytest.raises(SystemExit) as stop:
        main(flag, value)
    assert stop.value.code == 2
    assert f"argument {flag}: expected a whole number of at least 1, got '{value}'" in capsys.readouterr().err


def test_help_says_what_the_flags_are_and_their_defaults(main, benchmarks, capsys):
    with pytest.raises(SystemExit) as stop:
        main("--help")
    assert stop.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for default in ("(default: 2)", "(default: 15; with --quick 3)", "(default: all)", "(default: npvae-benchmarks)"):
        assert default in said
    assert f"any of {', '.join(benchmarks('__main__').NAMES)}" in said


def test_a_benchmark_that_is_not_there_is_refused_with_those_that_are(main, benchmarks, capsys):
    with pytest.raises(SystemExit) as stop:
        main("layers", "stpe")
    assert stop.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "there is no benchmark 'stpe'; there are " + ", ".join(benchmarks("__main__").NAMES) in said


def test_the_turns_that_the_host_disturbed_least_are_those_that_count(benchmarks, monkeypatch):
    turns, calls, clock, stolen = benchmarks("turns"), itertools.count(), itertools.count(), 0.0
    taken = [9, 0.3, 0.0, 0.5, 0.1, 0.4, 0.2]  # seconds that are taken away during the calls; the first one warms up
    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter=lambda: next(clock)))  # a second a call
    monkeypatch.setattr(turns, "stolen_seconds", lambda: stolen)

    def turn():
        nonlocal stolen
        stolen += taken[at := next(calls)]
        return at

    kept, steal = turns.quiet_turns(turn, 3, cores=2)
    assert kept == [2, 4, 6] and abs(steal - 0.1) < 1e-9


@pytest.mark.parametrize("off", [{"loss": 2.02}, {"norm": 3.03}, {"products": [0.5, -0.21]}])
def test_results_disagree_if_loss_norm_or_one_of_the_products_does(off, benchmarks):
    disagreement, one = benchmarks("workloads").disagreement, {"loss": 2.0, "norm": 3.0, "products": [0.5, -0.2]}
    assert disagreement(one, one) == 0 and disagreement(one | off, one) == pytest.approx(0.01)


def test_more_cores_than_there_are_are_refused(main, capsys):
    with pytest.raises(SystemExit):
        main("step", "--cores", "4096")
    assert "--cores 4096: this machine has" in capsys.readouterr().err


def test_other_kernels_must_be_a_tenth_faster_in_most_turns(benchmarks):
    suited = benchmarks("machine").suited
    slow = [2.0, 3.0, 2.0, 4.0]
    assert suited({None: slow, "Haswell": [2.0, 1.0, 1.9, 1.0]}) is None  # faster on average, not in most turns
    assert suited({None: slow, "Haswell": [3.0, 3.0, 3.0, 4.0], "SkylakeX": [1.7, 2.5, 1.7, 3.5]}) == "SkylakeX"
    assert suited({None: slow, "Haswell": [3.0, 3.0, 3.0, 4.0]}) is None


@pytest.mark.parametrize("named", [True, False])
def test_every_kind_of_kernels_is_timed_and_known_doubles_once(named, benchmarks, monkeypatch):
    machine = benchmarks("machine")

    class FakePeer:  # a processor whose OpenBLAS chooses SkylakeX, and that cannot run SapphireRapids
        def __init__(self, module, cores, kernels):
            self.kernels = kernels

        def versions(self):
            return {"BLAS kernels": self.kernels or "SkylakeX" if named else machine.UNKNOWN}

        def prepare(self, workload, **arguments):
            if self.kernels == "SapphireRapids":
                raise machine.PeerError("illegal instruction")

        def burst(self, workload, seconds):
            return 2.0 if self.kernels == "Haswell" else 1.0

        def close(self):
            pass

    monkeypatch.setattr(machine, "Peer", FakePeer)
    times = machine.kernel_times(cores=2, turns=3)
    assert set(times) == {None, "Haswell", "Zen", "Cooperlake"} | (set() if named else {"SkylakeX"})
    assert times["Haswell"] == [2, 2, 2]


def made_up(name, **about):
    """A case of two contestants: ours takes 2, 3 and 4 seconds, in turns in which the other takes half of that."""
    times = {"npvae": [2.0, 3.0, 4.0], "other": [1.0, 1.5, 2.0]}
    memory = {"npvae": 10.0, "other": 30.0}
    return {"case": name, "times": times, "memory": memory, "missing": {"third": "is not installed"}, "steal": 0.25, **about}


MADE_UP = {
    "step": [made_up("a step", model="784-400-20", batch=batch) for batch in (20, 128)],
    "parts": [made_up("forward")],
    "threads": [made_up("step", what="step", batch=128, times={"all threads": [2.0, 3.0], "one thread": [1.0, 1.5]})],
    "epoch": [made_up("60,000 images")],
    "importance": made_up("L"),
    "layers": {"cases": [made_up("Dense")], "epoch": None},
}


@pytest.mark.parametrize("name", MADE_UP)
def test_tables_give_ratios_turn_by_turn_and_pictures_can_be_drawn(name, benchmarks):
    benchmark = benchmarks(name)
    table = benchmark.table(MADE_UP[name])
    assert "2.00 x (2.00 to 2.00)" in table and "third: is not installed" in table
    assert benchmark.picture(MADE_UP[name])._repr_png_()[:4] == b"\x89PNG"


def test_an_axis_over_little_more_than_a_decade_has_numbers_on_it(benchmarks):
    picture = benchmarks("tables").lines(
        {"a panel": {"npvae": [(20, 3.0), (128, 12.0), (512, 60.0)]}}, "batch size", "milliseconds"
    )
    written = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert {"5", "10", "20", "50"} <= set(written)


def test_threads_are_those_of_the_cores_and_one(benchmarks, monkeypatch):
    threads, seen = benchmarks("threads"), []
    monkeypatch.setattr(threads, "compare", lambda contestants, options: seen.append(contestants) or {"times": {}})
    threads.measure(SimpleNamespace(quick=False, say=lambda text: None))
    assert {(one[threads.MANY].threads, one[threads.ONE].threads) for one in seen} == {(None, 1)}
    assert [one[threads.ONE].arguments["batch"] for one in seen] == [20, 20, 128, 128, 512, 512, 2048, 2048]


@pytest.mark.parametrize(("milliseconds", "slow"), [(29, False), (31, True)])
def test_the_guard_fails_above_three_times_the_matrix_products(milliseconds, slow, benchmarks, monkeypatch, capsys):
    guard = benchmarks("guard")

    class FakePeer:
        def __init__(self, module, cores):
            assert cores == 1

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def prepare(self, workload, **arguments):
            assert arguments == {"model": "784-400-20", "batch": 128}

        def burst(self, workload, seconds):
            return {"step": milliseconds, "matrix products": 10}[workload]

        def versions(self):
            return {"BLAS kernels": "those"}

    monkeypatch.setattr(guard, "Peer", FakePeer)
    with pytest.raises(SystemExit, match="has become slower") if slow else contextlib.nullcontext():
        guard.main()
    assert f"a step takes {milliseconds / 10:.2f} times its matrix products" in capsys.readouterr().out


def test_the_page_holds_every_result_of_the_folder_and_how_much_the_host_took(benchmarks, tmp_path):
    result = {"date": "today", "repeats": 3, "machine": {"processor": "one"}, "data": MADE_UP["step"]}
    (tmp_path / "step.json").write_text(json.dumps(result))
    page = benchmarks("__main__").results_page(tmp_path)
    assert "## A training step" in page and "![](step.png)" in page and "## Growth" not in page
    assert "today, 3 turns; the machine's host took up to 25% of the cores away; processor one." in page


@pytest.mark.parametrize("part", ["", "haswell", "one-core"])
def test_the_pages_of_the_repository_are_made_from_the_figures_beside_them(part, benchmarks):
    folder = ROOT / "benchmarks" / "results" / part
    page = (folder / "RESULTS.md").read_text(encoding="utf-8")
    assert page == benchmarks("__main__").results_page(folder) and page.count("![](") == len(list(folder.glob("*.png"))) > 0


# --- who takes part --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def peers(tmp_path, monkeypatch):
    """Make three peers: npvae's own, another, and one whose library nobody has."""
    for name, text in {"numpy_made_up": PEER, "other": PEER, "absent": "import a_library_that_nobody_has"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "peer.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def compare(benchmarks, peers):
    """A function: label -> (peer, workload, arguments, ...) -> what comparing them gives."""
    module = benchmarks("compare")

    def compare(cores=1, own=False, **contestants):
        options = SimpleNamespace(cores=cores, repeats=2, kernels=None, own=own)
        contestants = {label: module.Contestant(f"{peer}.peer", *more) for label, (peer, *more) in contestants.items()}
        return module.compare(contestants, options, seconds=0.01)

    compare.Disagreement = module.Disagreement
    return compare


def test_contestants_that_compute_something_else_are_refused(compare):
    with pytest.raises(
        compare.Disagreement, match=r"^second computes something else than first: 2\.0e-04 apart, more than 0\.0001"
    ):
        compare(first=("numpy_made_up", "number", {}), second=("other", "number", {"value": 1.0002}))


def test_those_whose_library_is_missing_are_left_out_and_the_others_work_in_turn(compare):
    found = compare(
        npvae=("numpy_made_up", "number", {}),
        one=("absent", "number", {}, "a process of both"),
        two=("absent", "number", {}, "a process of both"),
        other=("other", "number", {"value": 1.00001}),
    )
    assert list(found["times"]) == ["npvae", "other"]
    for times in found["times"].values():
        assert len(times) == 2 and min(times) >= 0.001
    why = "a_library_that_nobody_has is not installed: pip install '.[bench]'"
    assert found["missing"] == {"one": why, "two": why}
    assert all(5 < megabytes < 40 for megabytes in found["memory"].values())  # its own, nothing of what these tests hold


def test_a_peer_that_does_not_exist_is_no_missing_library(compare, benchmarks):
    with pytest.raises(benchmarks("peer").PeerError, match="No module named 'nobody'"):
        compare(npvae=("nobody", "number", {}))


def test_npvae_alone_asks_no_other(compare):
    contestants = {
        "npvae": ("numpy_made_up", "number", {}),
        "other": ("other", "number", {"value": 2.0}),
        "one": ("absent", "number", {}),
    }
    found = compare(own=True, **contestants)
    assert list(found["times"]) == list(found["memory"]) == ["npvae"] and found["missing"] == {}


def test_a_process_has_as_many_threads_as_cores_unless_told(compare):
    with pytest.raises(compare.Disagreement, match=r"^told computes something else than not_told: 5\.0e-01 apart"):  # 1 for 2
        compare(cores=2, not_told=("other", "threads", {}), told=("other", "threads", {}, None, 1))
