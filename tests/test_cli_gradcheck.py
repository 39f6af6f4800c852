"""npvae gradcheck: the library is right, a user's wrong layer is wrong with exit code 1, and what cannot be checked is told."""

import json

import numpy as np
import pytest

from npvae import VAE, Tanh
from npvae.cli import main
from npvae.training import save_checkpoint

LAYERS = """
import numpy as np

class Scale:
    parameters = ("g",)
    def __init__(self, n):
        self.g = np.linspace(1, 2, n)
    def forward(self, x):
        return x * self.g, x
    def backward(self, dy, x):
        self.dg = np.sum(dy * x, axis=0) * FACTOR
        return dy * self.g

x = np.random.default_rng(0).normal(size=(5, 3))
CHECKS = [(Scale(3), x)]
"""


def check_file(tmp_path, text, *flags):
    """Exit code of gradcheck on a file with that text."""
    path = tmp_path / "my_layers.py"
    path.write_text(text)
    return main(["gradcheck", "--file", str(path), *flags])


def test_a_right_layer_of_a_users_own_is_right(tmp_path, capsys):
    assert check_file(tmp_path, LAYERS.replace("FACTOR", "1")) == 0
    out = capsys.readouterr().out
    assert "ok    1. Scale" in out and "Next: npvae mistakes" in out


def test_a_wrong_one_has_exit_code_1_and_its_bug_is_named(tmp_path, capsys):
    assert check_file(tmp_path, LAYERS.replace("FACTOR", "2")) == 1
    out = capsys.readouterr().out
    assert "WRONG 1. Scale" in out and "g: 2 times too large" in out
    assert out.splitlines()[-1].startswith("1 wrong. Next: npvae mistakes ")


def test_json_holds_every_report(tmp_path, capsys):
    assert check_file(tmp_path, LAYERS.replace("FACTOR", "2"), "--json") == 1
    result = json.loads(capsys.readouterr().out)
    report = result["reports"]["1. Scale"]
    assert result["ok"] is False and report["worst"]["name"] == "g" and "2 times" in report["diagnosis"]


def test_full_shows_the_tables_of_right_ones_too(tmp_path, capsys):
    check_file(tmp_path, LAYERS.replace("FACTOR", "1"), "--full")
    assert "worst at" in capsys.readouterr().out
    check_file(tmp_path, LAYERS.replace("FACTOR", "1"), "--quiet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "defines no list CHECKS"),
        ("CHECKS = [3]", "CHECKS[0] is int; expected"),
        ("CHECKS = [(1, 2, 3)]", "CHECKS[0] is tuple of 3; expected"),
        ("CHECKS = [(1,)]", "CHECKS[0] is tuple of 1; expected"),
        ("import no_such_module", "raised ModuleNotFoundError"),
        ("def f(:", "raised SyntaxError"),
    ],
)
def test_a_file_that_is_none_is_told_so_in_one_sentence(text, words, tmp_path, capsys):
    assert check_file(tmp_path, text) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_a_file_that_is_not_there(capsys):
    assert main(["gradcheck", "--file", "no_such_file.py"]) == 2
    assert "no_such_file.py: there is no such file" in capsys.readouterr().err


def test_one_layer_that_cannot_be_checked_keeps_no_other_from_being_checked(tmp_path, capsys):
    text = LAYERS.replace("FACTOR", "1") + "class None_:\n    pass\nCHECKS.insert(0, (None_(), x))\nCHECKS.append((Scale(4), x))\n"
    assert check_file(tmp_path, text) == 2
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert [line[:8] for line in lines[:3]] == ["?     1.", "ok    2.", "?     3."]  # in their order in the file
    assert lines[0].startswith("?     1. None_  could not be checked: check_layer(None_): ")
    assert lines[3] == "2 not checked, 1 right. Next: npvae gradcheck --help  (what a layer must have)"


RAISING = """
class Broken:
    def __init__(self, where): self.where = where
    def forward(self, x):
        return (self.helper() if self.where == "forward" else x), None
    def backward(self, dy, cache):
        return self.no_such_thing if self.where == "attribute" else np.ones(3) @ np.ones(4)
    def helper(self): raise KeyError("a")
CHECKS = [(Broken("attribute"), x), (Broken("value"), x), (Broken("forward"), x), (Scale(3), x, "the right one"), (Scale(3), "x")]
"""


def test_what_a_layer_of_yours_raises_is_told_with_its_pass(tmp_path, capsys):
    assert check_file(tmp_path, LAYERS.replace("FACTOR", "1") + RAISING) == 2
    lines = capsys.readouterr().out.splitlines()
    assert "checked: backward raised AttributeError: 'Broken' object has no attribute 'no_such_thing' (--debug shows" in lines[0]
    assert "checked: backward raised ValueError: " in lines[1]  # numpy's own words, which name no place
    assert "checked: forward raised KeyError: 'a' (--debug shows the line)" in lines[2]
    assert lines[3].startswith("ok    4. the right one ")
    assert "checked: check_layer(Scale): x must be an array" in lines[4]  # the package's own sentence
    with pytest.raises(AttributeError, match="no_such_thing"):
        check_file(tmp_path, LAYERS.replace("FACTOR", "1") + RAISING, "--debug")


SILENT = """
class Doubling(Scale):
    def backward(self, dy, x):
        dx = super().backward(dy, x)
        dy *= 2
        return dx
class Nothing:
    def forward(self, x): return 0 * x, None
    def backward(self, dy, cache): return 0 * dy
"""


@pytest.mark.parametrize(
    "entries, label, count",
    [
        ("(Doubling(3), x)", "MISBEHAVES 1. Doubling ", "1 misbehaves. Next: npvae mistakes "),
        ("(Nothing(), x)", "PROVES NOTHING 1. Nothing ", "1 proves nothing. Next: npvae gradcheck --help "),
        ("(Scale(3), x), (Doubling(3), x)", "ok         1. Scale ", "1 misbehaves, 1 right. Next: npvae mistakes "),
    ],
)
def test_a_failure_without_a_wrong_entry_is_not_called_wrong(entries, label, count, tmp_path, capsys):
    assert check_file(tmp_path, LAYERS.replace("FACTOR", "1") + SILENT + f"CHECKS = [{entries}]") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(label) and lines[-1].startswith(count) and not any(line.startswith("WRONG") for line in lines)


def test_a_file_without_its_flag_is_told_where_it_goes(capsys):
    assert main(["gradcheck", "my layers.py"]) == 2
    told = "npvae gradcheck: a file of yours goes after --file: npvae gradcheck --file 'my layers.py'\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("flags, told", [("--rows 8", "--rows needs"), ("--data x --beta 1", "--data, --beta need")])
def test_the_flags_of_a_model_are_refused_without_one(flags, told, capsys):
    assert main(["gradcheck", *flags.split()]) == 2
    assert capsys.readouterr().err == f"npvae gradcheck: {told} --model DIR, a trained model.\n"


def test_the_help_tells_what_an_entry_may_be(capsys):
    with pytest.raises(SystemExit):
        main(["gradcheck", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert '(layer, x, "name")' in out and "A layer without parameters leaves .parameters out." in out
    assert "(default: 8)" in out and "(default: 1)" in out and "stray" not in out


def test_a_neighbour_of_the_file_can_be_imported(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    (tmp_path / "neighbour_of_my_layers.py").write_text("n = 3")
    text = "from neighbour_of_my_layers import n\n" + LAYERS.replace("FACTOR", "1").replace("Scale(3)", "Scale(n)")
    assert check_file(tmp_path, text) == 0


def test_the_library_is_right_and_a_planted_mistake_is_seen(capsys, monkeypatch):
    monkeypatch.setattr("npvae.cli.library.LARGE", (20, (6,), 3))  # 784-400-20 takes a second
    assert main(["gradcheck"]) == 0
    assert "All 28 right" in capsys.readouterr().out
    monkeypatch.setattr(Tanh, "backward", lambda self, dy, y, need_dx=True: dy * (1 - y))
    assert main(["gradcheck"]) == 1
    out = capsys.readouterr().out
    assert "WRONG 2. Tanh" in out and "ok    1. Dense" in out and "1 - y in place of 1 - y^2" in out
    wrong = sum(line.startswith("WRONG") for line in out.splitlines())
    assert out.splitlines()[-1].startswith(f"{wrong} wrong, {28 - wrong} right. Next: npvae mistakes ")


def test_a_trained_model_is_checked_on_its_data(tmp_path, capsys, rng):
    model = VAE.dense(6, (5,), 3, rng=rng)
    np.save(tmp_path / "x.npy", rng.uniform(size=(30, 6)))
    save_checkpoint(tmp_path / "model.npz", model)
    flags = ["--model", str(tmp_path / "model.npz"), "--data", str(tmp_path / "x.npy"), "--rows", "3", "--beta", "2"]
    assert main(["gradcheck", *flags]) == 0
    out = capsys.readouterr().out
    assert "the gradient is right" in out and "encoder.0.W" in out
    assert main(["gradcheck", *flags[:4]]) == 0  # --rows and --beta left out
    assert main(["gradcheck", "--model", str(tmp_path / "nowhere")]) == 2
