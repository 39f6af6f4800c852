"""The flags of benchmarks/log_likelihood.py: each is described, with its default, and numbers that make no sense are refused."""

import importlib.util
import pathlib

import pytest

FILE = pathlib.Path(__file__).resolve().parent.parent / "benchmarks" / "log_likelihood.py"


@pytest.fixture
def run(monkeypatch):
    """A function: the flags -> what main does with them."""
    spec = importlib.util.spec_from_file_location("benchmark_of_log_likelihood", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def main(*flags):
        monkeypatch.setattr("sys.argv", ["log_likelihood.py", *flags])
        return module.main()

    return main


@pytest.mark.parametrize("flag", ["--images", "--repeats"])
@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_a_number_below_one_is_refused(flag, value, run, capsys):
    with pytest.raises(SystemExit) as stop:
        run(flag, value)
    assert stop.value.code == 2
    assert f"argument {flag}: expected a whole number of at least 1, got '{value}'" in capsys.readouterr().err


def test_help_says_what_the_flags_are_and_their_defaults(run, capsys):
    with pytest.raises(SystemExit):
        run("--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "(default: 100)" in said and "(default: 3)" in said and "--peer" not in said
