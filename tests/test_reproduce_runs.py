"""The runs of benchmarks/reproduce: what is kept of each and how far it is trusted, and how they go on side by side."""

import json
import sys
import time

import pytest

# --- what is kept -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(reproduce, tmp_path):
    return reproduce("kept").Kept(tmp_path / "work", quick=False)


def test_an_outcome_is_there_only_when_the_run_is_done_and_whole(kept, reproduce, monkeypatch):
    main, card, module = reproduce("__main__"), reproduce("pytorch_example"), reproduce("kept")
    path, seen = kept.folder("pytorch_example", "seed-0") / "outcome.json", []
    monkeypatch.setattr(card, "run", lambda job, **settings: seen.append((path.exists(), settings)) or {"a": 1})
    with monkeypatch.context() as m:
        kept.begin("pytorch_example", "seed-0")
        m.setattr(module, "replace_file", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            main.work(kept, "pytorch_example", "seed-0")
    assert not path.exists()
    main.work(kept, "pytorch_example", "seed-0")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["a"], found["settings"]) == (1, card.FULL | card.RUNS["seed-0"])
    assert set(found) == {"a", "settings", "date", "machine"}
    assert seen == [(False, card.FULL | card.RUNS["seed-0"])] * 2


def test_settings_are_the_cards_of_that_version_and_the_runs_own_before_them(kept, reproduce, tmp_path, monkeypatch):
    card, short = reproduce("static_mnist"), reproduce("kept").Kept(tmp_path, quick=True)
    monkeypatch.setattr(card, "FULL", card.FULL | {"hidden": (1,)})
    assert kept.settings("static_mnist", "two-layers") == card.FULL | {"hidden": (400, 400), "seed": 0}
    assert short.settings("static_mnist", "two-layers") == card.QUICK | {"hidden": (400, 400), "seed": 0}
    assert kept.folder("static_mnist", "two-layers") != short.folder("static_mnist", "two-layers")


def test_what_has_no_outcome_is_run_and_nothing_else(reproduce, tmp_path, monkeypatch):
    main, module = reproduce("__main__"), reproduce("kept")
    kept, started = module.Kept(tmp_path, quick=True), []
    kept.begin("pytorch_example", "seed-0")  # was interrupted
    kept.begin("pytorch_example", "seed-1")
    kept.write("pytorch_example", "seed-1", {})
    monkeypatch.setattr(main, "in_processes", lambda commands, cores: started.extend(commands))
    monkeypatch.setattr(main, "tell", lambda kept, names: [])
    main.main(["pytorch_example", "pytorch_example", "--quick", "--work", str(tmp_path)])
    assert [words[words.index("--run") + 1] for words in started] == ["seed-0", "seed-2"]
    assert all(words[3] == "pytorch_example" and words[-1] == "--quick" for words in started)


def test_a_run_of_other_settings_is_neither_gone_on_with_nor_published(kept, reproduce, monkeypatch):
    card = reproduce("linear_vae")
    for run in card.RUNS:
        kept.begin("linear_vae", run)
        kept.write("linear_vae", run, {})
    assert set(kept.outcomes("linear_vae")) == set(card.RUNS)
    monkeypatch.setattr(card, "FULL", card.FULL | {"steps": 7})
    there = r"q-2 holds a run with other settings \(steps is 100000 there, 7 here\)\. Delete that folder"
    with pytest.raises(ValueError, match=there):
        kept.begin("linear_vae", "q-2")
    with pytest.raises(ValueError, match=there):
        kept.outcomes("linear_vae")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"{}"])
def test_a_damaged_outcome_is_named_with_what_to_do(content, kept, reproduce):
    for run in reproduce("linear_vae").RUNS:
        kept.begin("linear_vae", run)
        kept.write("linear_vae", run, {})
    (kept.folder("linear_vae", "q-5") / "outcome.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"q-5.*Delete"):
        kept.outcomes("linear_vae")


# --- runs side by side ------------------------------------------------------------------------------------------------------------

SLEEPER = """import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(30)
except KeyboardInterrupt:
    time.sleep(0.2)
    pathlib.Path(sys.argv[1] + "-kept").touch()
"""
FAILING = """import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
raise SystemExit(3)
"""


def test_a_failing_run_stops_the_others_which_keep_what_they_have(reproduce, tmp_path):
    processes = reproduce("processes")
    sleeper, failing = ([sys.executable, "-c", text, str(tmp_path / "a")] for text in (SLEEPER, FAILING))
    start = time.perf_counter()
    with pytest.raises(processes.RunFailed, match="a run ended with an error"):
        processes.in_processes([sleeper, failing, [sys.executable, "-c", "raise AssertionError"]], 2)
    assert (tmp_path / "a-kept").exists()
    assert time.perf_counter() - start < 20


def test_no_more_runs_at_once_than_cores(reproduce, tmp_path):
    text = (
        "import pathlib, sys, time\nfolder = pathlib.Path(sys.argv[1])\nown = folder / sys.argv[2]\nown.touch()\n"
        "time.sleep(0.3)\nn = len(list(folder.glob('*')))\nown.unlink()\nraise SystemExit(n > 2)"
    )
    folder = tmp_path / "at-work"
    folder.mkdir()
    reproduce("processes").in_processes([[sys.executable, "-c", text, str(folder), str(i)] for i in range(5)], 2)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),  # as the kernel does when memory is out
        ("raise SystemExit(2)", "ended with an error"),
    ],
)
def test_the_death_of_a_run_is_seen(text, how, reproduce):
    processes = reproduce("processes")
    with pytest.raises(processes.RunFailed, match=how):
        processes.in_processes([[sys.executable, "-c", text]], 1)


def test_a_run_has_one_blas_thread_and_a_session_of_its_own(reproduce, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    text = "import os; raise SystemExit(os.environ['OPENBLAS_NUM_THREADS'] != '1' or os.getsid(0) != os.getpid())"
    reproduce("processes").in_processes([[sys.executable, "-c", text]], 1)
