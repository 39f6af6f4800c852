"""The command, the page and the pictures of benchmarks/reproduce: nothing is made twice, nothing is lost, and the page says what
the result files hold."""

import importlib
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from npvae.evaluation import Record

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "reproduce"
CARDS = ("pytorch_example", "static_mnist", "iwae_k1", "iwae_k5", "linear_vae")


# --- the page ---------------------------------------------------------------------------------------------------------------------


def test_the_page_is_what_the_result_files_give(reproduce):
    page = reproduce("page")
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


def test_every_card_was_run_and_every_picture_and_record_of_the_page_is_there(reproduce):
    page = reproduce("page")
    for name in CARDS:
        outcomes = page.load(name)
        assert list(outcomes) == list(page.card(name).RUNS)
        assert (page.RESULTS / f"{name}.png").is_file()
        for run, outcome in outcomes.items():
            if "nll" in outcome:
                record = Record.load(page.RESULTS / f"{name}-{run}.record.json")
                bound = f"L_{outcome['samples']}"
                assert record.numbers[bound].mean == pytest.approx(-outcome["nll"])
                assert len(record.values[bound]) == outcome["rows"]


def test_cards_are_listed_once(reproduce):
    assert importlib.import_module("benchmarks.reproduce").CARDS == CARDS
    helpers = {"__init__", "__main__", "drawing", "job", "kept", "page", "processes"}
    assert {path.stem for path in FOLDER.glob("*.py")} - helpers == set(CARDS)


@pytest.mark.parametrize("name", CARDS)
def test_the_directions_hold_of_the_long_runs(name, reproduce):
    page = reproduce("page")
    for sentence, holds in page.card(name).directions(page.load(name)):
        assert holds, sentence


def test_the_readme_quotes_the_result_files(reproduce):
    page = reproduce("page")
    pytorch, static, k1, k5, linear = (page.load(name) for name in CARDS)
    worth = k5["k1"]["nll"] - k5["k5"]["nll"]
    last = [outcome["curve"]["valid_loss"][-1] for outcome in pytorch.values()]
    quoted = [
        *(f"here {outcome['nll']:.2f} +- {outcome['error']:.2f}" for outcome in (k1["mean"], k1["zero"], static["one-layer"])),
        f"{static['two-layers']['nll']:.2f} +- {static['two-layers']['error']:.2f} with two hidden layers",
        f"{worth:.2f} nats and {k5['k5']['active_units']} against {k5['k1']['active_units']}",
        "here {:.2f}, {:.2f} and {:.2f}".format(*last),
        "within {:.4f} nats of it with 2 latents, {:.4f} with 5, {:.4f} with 10".format(
            *(
                math.ceil(1e4 * max(one["loss"] - linear[f"q-{q}"]["optimum"] for one in linear[f"q-{q}"]["runs"])) / 1e4
                for q in (2, 5, 10)
            )
        ),
    ]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert [sentence for sentence in quoted if sentence not in readme] == []


@pytest.mark.parametrize("name", CARDS)
def test_a_long_card_writes_its_page_picture_and_records(name, reproduce, tmp_path, monkeypatch, capsys):
    main, page = reproduce("__main__"), reproduce("page")
    outcomes, there, kept = page.load(name), page.RESULTS, reproduce("kept").Kept(tmp_path / "work", quick=False)
    for run, outcome in outcomes.items():
        folder = kept.begin(name, run)
        (folder / "outcome.json").write_text(json.dumps(outcome))
        for record in there.glob(f"{name}-{run}.record.*"):
            (folder / record.name.removeprefix(f"{name}-{run}.")).write_bytes(record.read_bytes())
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    assert main.tell(kept, [name]) == []
    assert page.load(name) == outcomes
    written, committed = ({path.name for path in folder.glob(f"{name}[-.]*")} for folder in (page.RESULTS, there))
    assert written == committed
    table = "\n".join(row.line() for row in page.card(name).rows(outcomes))
    assert table in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out


def test_a_row_is_within_what_was_accepted_its_ends_included(reproduce):
    row = reproduce("page").Row("-L_5", "86.76", (86.2, 86.8), 86.8, 0.1, "0", 3700.4)
    assert row.within is True
    assert row.line() == "| -L_5 | 86.76 | 86.20 to 86.80 | **86.80** | 0.10 | within | 0 | 1:01:40 |"
    assert row._replace(ours=86.81).within is False
    assert "**outside**" in row._replace(ours=86.19).line()
    assert row._replace(accepted=None).within is None
    assert row._replace(accepted=None, error=None, seconds=0, digits=0).line() == "| -L_5 | 86.76 |  | **87** |  |  | 0 |  |"


# --- the command ------------------------------------------------------------------------------------------------------------------


def command(*words, cwd, **environment):
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg", **environment}
    words = [sys.executable, "-m", "benchmarks.reproduce", *words]
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def test_help_and_list_name_every_card(tmp_path):
    for words in (["--help"], ["--list"]):
        said = command(*words, cwd=tmp_path)
        assert said.returncode == 0
        assert all(name in said.stdout for name in CARDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["unknown"], "there is no card 'unknown'; there are pytorch_example"),
        (["iwae_k1", "--run", "unknown"], "--run takes a run of one card: iwae_k1: mean, zero."),
        (["--run", "mean"], "--run takes a run of one card"),
        (["--cores", "0"], "expected a whole number of at least 1"),
    ],
)
def test_a_wrong_word_is_answered_in_a_sentence(words, message, tmp_path):
    said = command(*words, cwd=tmp_path)
    assert said.returncode == 2
    assert message in said.stderr
    assert "Traceback" not in said.stderr


def test_a_quick_card_runs_tells_its_directions_and_is_not_run_twice(tmp_path):
    before = (FOLDER / "RESULTS.md").read_bytes()
    first = command("pytorch_example", "--quick", "--work", "here", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("right: ") == 3
    assert first.stderr.count(": done") == 3
    again = command("pytorch_example", "--quick", "--work", "here", cwd=tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")
    assert (FOLDER / "RESULTS.md").read_bytes() == before


def test_a_wrong_direction_ends_with_an_error(reproduce, tmp_path):
    work = tmp_path / "npvae-reproduce" / "quick" / "pytorch_example"
    for seed in range(3):
        (work / f"seed-{seed}").mkdir(parents=True)
        settings = reproduce("kept").Kept(tmp_path, quick=True).settings("pytorch_example", f"seed-{seed}")
        outcome = {"curve": {"valid_loss": [20.0, 21.0, 22.0]}, "seed": seed, "seconds": 1.0, "settings": settings}
        (work / f"seed-{seed}" / "outcome.json").write_text(json.dumps(outcome))
    said = command("pytorch_example", "--quick", cwd=tmp_path)
    assert said.returncode == 1
    assert "WRONG: The test loss of every seed is lower at the end" in said.stdout
    assert "directions are wrong" in said.stderr


def test_a_finished_card_is_told_though_another_fails(tmp_path):
    assert command("pytorch_example", "--quick", cwd=tmp_path).returncode == 0
    broken = tmp_path / "npvae-reproduce" / "quick" / "linear_vae" / "q-2"
    broken.mkdir(parents=True)
    (broken / "seed 0.npz").write_bytes(b"damaged")
    said = command("pytorch_example", "linear_vae", "--quick", "--cores", "1", cwd=tmp_path)
    assert said.returncode == 1
    assert said.stdout.count("right: ") == 3
    assert "is deleted, the training begins anew" in said.stderr
    assert "a run ended with an error: -m benchmarks.reproduce linear_vae --run q-2" in said.stderr
    assert "Traceback" not in said.stderr


def test_missing_data_are_told_before_anything_runs(tmp_path):
    (tmp_path / "nothing").mkdir()
    said = command("pytorch_example", "static_mnist", cwd=tmp_path, NPVAE_DATA=str(tmp_path / "nothing"), HOME=str(tmp_path))
    assert said.returncode == 1
    assert "NPVAE_DATA" in said.stderr
    assert "--download" in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "npvae-reproduce").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_command_keeps_what_its_runs_have(number, tmp_path):
    words = [sys.executable, "-m", "benchmarks.reproduce", "iwae_k1", "--quick", "--cores", "1", "--work", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    launcher = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    run = tmp_path / "quick" / "iwae_k1" / "mean"
    while not (run / "settings.json").is_file():
        time.sleep(0.01)
    time.sleep(0.3)
    launcher.send_signal(number)
    _, said = launcher.communicate(timeout=20)
    assert launcher.returncode == 1
    assert "The same command goes on from here." in said
    assert "Traceback" not in said
    assert (run / "training.npz").is_file()
    assert not (run / "outcome.json").exists()


# --- the pictures -----------------------------------------------------------------------------------------------------------------


def test_lines_draw_what_they_are_given(reproduce):
    y = [1000.0, *np.linspace(100, 50, 99)]
    marked = {"b": ([1, 50], [99.0, 60.0])}
    (axes,) = reproduce("drawing").lines({"a": (range(1, 101), y)}, "epoch", "loss", marked=marked, logarithmic=True).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [list(range(1, 101)), [1, 50]]
    assert list(axes.lines[0].get_ydata()) == y
    low, high = axes.get_ylim()
    assert low < 50
    assert 99 < high < 200  # the first of a long curve is left out
    assert {1, 10, 100} <= set(axes.get_xticks())
    (short,) = reproduce("drawing").lines({"a": ([1, 2], [1000.0, 50.0])}, "epoch", "loss").axes
    assert short.get_ylim()[1] > 1000


def test_a_curve_without_a_style_is_refused(reproduce):
    with pytest.raises(ValueError, match="shorter"):
        reproduce("drawing").lines({name: ([1], [1.0]) for name in "abcde"}, "x", "y")
