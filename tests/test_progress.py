"""The progress line: rewritten in place on a terminal, silent elsewhere unless asked for."""

import io
import sys

import pytest
from runs import run

from npvae.training.progress import Progress, _clock
from npvae.training.state import Sums


class Terminal(io.StringIO):
    def isatty(self):
        return True


def sums():
    s = Sums()
    s.add(10, type("Loss", (), {"total": 3.0, "reconstruction": 2.0, "kl": 1.0}), 0.5, 0.1)
    return s


def test_it_is_silent_where_there_is_no_terminal(capsys):
    run()
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_on_a_terminal_each_epoch_leaves_one_line_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    history = run(validation="valid").history
    lines = sys.stderr.getvalue().splitlines()  # a carriage return ends a line, too
    finished = [line for line in lines if "valid" in line]
    assert len(finished) == 3
    for line, record in zip(finished, history):
        for words in (f"epoch {record['epoch']}/3", f"loss {record['loss']:.2f}", f"recon {record['reconstruction']:.2f}",
                      f"kl {record['kl']:.2f}", f"valid {record['valid_loss']:.2f}", "examples/s"):  # fmt: skip
            assert words in line
    assert "left" in finished[0] and "left" not in finished[-1]
    assert sys.stderr.getvalue().count("\n") == 3 and sys.stderr.getvalue().endswith("\n")
    assert capsys.readouterr().out == ""


def test_it_can_be_forced_and_forbidden(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    run(progress=True)
    assert sys.stderr.getvalue().count("\n") == 3 and "\r" not in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    run(progress=False)
    assert sys.stderr.getvalue() == ""


def test_the_line_is_rewritten_over_the_longer_one_before_it_and_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    progress = Progress(None, 10, 1000, stream=terminal)
    progress.step(1.0, 0.1, 1, 1, sums())
    progress.step(1.01, 0.1, 1, 2, sums())
    assert terminal.getvalue().count("\r") == 1, "at most ten times a second"
    progress.step(2.0, 0.1, 1, 3, sums())
    first, second = terminal.getvalue().split("\r")[1:]
    assert len(first) == len(second) == 39
    monkeypatch.setenv("COLUMNS", "20")
    progress.step(3.0, 0.1, 1, 4, sums())
    assert len(terminal.getvalue().split("\r")[-1]) == 39, "spaces cover the rest of the longer line"
    progress.close()
    assert terminal.getvalue().endswith("\n")
    progress.close()
    assert terminal.getvalue().count("\n") == 1


def test_the_time_left_is_that_of_the_steps_to_come():
    progress = Progress(True, 10, 1000, stream=io.StringIO())
    for step in range(1, 5):
        progress.step(0.0, 0.5, 1, step, sums())
    assert progress.line(1, sums().means(), 4).endswith("100 examples/s  8:18 left")


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (83.4, "1:23"), (3723, "1:02:03"), (359999, "99:59:59")])
def test_clock(seconds, text):
    assert _clock(seconds) == text
