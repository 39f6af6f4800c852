"""The recipes: what each asks for, that it learns, and that the losses in their docstrings are those of benchmarks/RECIPES.md."""

import argparse
import json
import pathlib
import re
import shlex

import numpy as np
import pytest

from npvae import fit, load_digits
from npvae.beyond.convolution import Conv2D, ConvTranspose2D
from npvae.cli import build_parser, main, running
from npvae.cli.recipes import command
from npvae.cli.train import DEFAULTS, FLAGS, _folder_and_settings
from npvae.core.layers import Dense
from npvae.recipes import CONV_EPOCHS, RECIPES, find, normal

NAMES = ["adam-mnist", "beta-mlp", "bce-mlp", "conv-mnist", "nonlinear-2d", "pytorch-example", "iwae-paper", "kingma-welling"]
ARTICLES = NAMES[:5]
TABLE = pathlib.Path(__file__).resolve().parents[1] / "benchmarks" / "RECIPES.md"


def settings_of(*flags):
    """All settings of `npvae train FLAGS`."""
    return _folder_and_settings(build_parser().parse_args(["train", "--out", "nowhere", *flags]))[2]


def digits_or_own(name):
    return "paraboloid" if name == "nonlinear-2d" else "digits"


def test_there_are_the_eight():
    assert list(RECIPES) == NAMES
    assert [RECIPES[name].article.partition(",")[0] for name in ARTICLES] == [f"article {i}" for i in range(1, 6)]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_settings_of_npvae_train_that_its_flags_accept(name):
    for data in (RECIPES[name].data, "digits"):
        settings = RECIPES[name].settings(data)
        assert settings["data"] == data and set(settings) <= set(FLAGS)
        typed = settings_of(*shlex.split(command(settings))[2:])  # the long command, through the real parser
        assert typed == settings_of("--recipe", name, "--data", data) | {"recipe": None}


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_was_wrong_and_what_stands_here_instead(name):
    text = RECIPES[name].text
    assert re.search(r"^Here: ", text, re.M) and len(text.splitlines()) <= 22
    assert (re.search(r"^Wrong: ", text, re.M) is not None) == (name in ARTICLES)


@pytest.mark.parametrize("name", NAMES)
def test_each_learns_from_its_first_steps_on(name):
    settings = settings_of("--recipe", name, "--data", digits_or_own(name), "--epochs", "3")
    model, data, rng = running.build(settings)
    x = data.floats("test", model.real_dtype)
    x = x if settings["binarize"] == "none" else (x >= 0.5).astype(x.dtype)
    eps = model.noise(len(x), np.random.default_rng(0))
    before = model.loss(x, eps).elbo
    history = fit(model, data, rng=rng, **running.fit_arguments(settings, data))
    assert model.loss(x, eps).elbo > before + 0.5
    assert history["elbo"][0] < history["elbo"][1] < history["elbo"][2]


def widths(chain):
    return [layer.W.shape for layer in chain.layers if isinstance(layer, Dense)]


def model_of(name, monkeypatch):
    """The model of a recipe for its own data; in place of MNIST three grey rows of its size."""
    digits = load_digits()
    grey = np.arange(3 * 784, dtype=np.uint8).reshape(3, 784)
    changes = {"train": grey, "test": grey, "scale": 255.0, "image_shape": (28, 28), "train_labels": None, "test_labels": None}
    monkeypatch.setattr(running, "load_dataset", lambda *_, **__: type(digits)(**{"name": "mnist", **changes}))
    settings = settings_of("--recipe", name)
    return running.build(settings)[0], settings


@pytest.mark.parametrize(
    "name, encoder, decoder",
    [
        ("adam-mnist", [(784, 400), (400, 40)], [(20, 400), (400, 784)]),
        ("beta-mlp", [(784, 128), (128, 64), (64, 40)], [(20, 64), (64, 128), (128, 784)]),
        ("bce-mlp", [(784, 128), (128, 64), (64, 40)], [(20, 64), (64, 128), (128, 784)]),
        ("conv-mnist", [(7 * 7 * 64, 64), (64, 4)], [(2, 7 * 7 * 64)]),
        ("pytorch-example", [(784, 400), (400, 40)], [(20, 400), (400, 784)]),
        ("iwae-paper", [(784, 200), (200, 200), (200, 100)], [(50, 200), (200, 200), (200, 784)]),
        ("kingma-welling", [(784, 500), (500, 40)], [(20, 500), (500, 784)]),
    ],
)
def test_the_networks_are_those_of_the_texts(name, encoder, decoder, monkeypatch):
    model, _ = model_of(name, monkeypatch)
    assert widths(model.encoder) == encoder and widths(model.decoder) == decoder


def test_the_convolutions_of_article_4(monkeypatch):
    model, settings = model_of("conv-mnist", monkeypatch)
    assert [layer.W.shape for layer in model.encoder.layers if isinstance(layer, Conv2D)] == [(3, 3, 1, 32), (3, 3, 32, 64)]
    assert sum(isinstance(layer, ConvTranspose2D) for layer in model.decoder.layers) == 3
    assert (settings["epochs"], settings["batch_size"], settings["validation"]) == (CONV_EPOCHS, 256, "test")


def test_what_the_squared_errors_stand_for(monkeypatch):
    """SSE + KL is sigma^2 = 1/2; 1/2 SSE + beta KL is sigma = 1; on the digits sigma falls by 8/28."""
    for name, variance in {"adam-mnist": 0.5, "beta-mlp": 1.0, "conv-mnist": 0.5}.items():
        model, _ = model_of(name, monkeypatch)
        assert model.likelihood.sigma**2 == pytest.approx(variance)
        assert RECIPES[name].settings("digits")["sigma"] ** 2 == pytest.approx(variance * 64 / 784)


def test_the_likelihoods_activations_and_first_parameters():
    """ReLU in the articles and PyTorch's example, tanh in the papers; Keras starts by Glorot, PyTorch by its uniform rule."""
    asked = {name: settings_of("--recipe", name) for name in NAMES}
    assert [asked[name]["likelihood"] for name in ARTICLES] == ["gaussian", "gaussian", "bernoulli", "gaussian", "gaussian"]
    assert [asked[name]["likelihood"] for name in NAMES[5:]] == [None] * 3  # on MNIST Bernoulli, the default
    chosen = [(asked[name]["activation"], asked[name]["init"]) for name in NAMES]
    assert chosen == [
        ("relu", None), ("relu", None), ("relu", None), (None, "glorot"), ("relu", None),
        ("relu", "uniform"), ("tanh", "glorot"), ("tanh", "normal"),
    ]  # fmt: skip
    assert [name for name in NAMES if asked[name]["output_mean"]] == ["iwae-paper"]
    assert [name for name in NAMES if asked[name]["learn_sigma"]] == ["nonlinear-2d"]
    assert {asked[name]["beta"] for name in NAMES} == {1.0}


def test_the_optimizers_and_schedules(monkeypatch):
    data = load_digits()
    given = {name: running.fit_arguments(settings_of("--recipe", name), data) for name in NAMES}
    assert [(given[name]["epochs"], given[name]["batch_size"]) for name in NAMES] == [
        (10, 32), (100, 32), (10, 32), (CONV_EPOCHS, 256), (100, 32), (10, 128), (3280, 20), (100, 100),
    ]  # fmt: skip
    assert all(type(given[name]["optimizer"]).__name__ == "Adam" for name in NAMES[:-1])
    assert type(given["kingma-welling"]["optimizer"]).__name__ == "Adagrad"
    iwae = given["iwae-paper"]
    assert iwae["optimizer"].eps == 1e-4 and iwae["binarize"] == "dynamic" and given["kingma-welling"]["binarize"] == "dynamic"
    rates = [iwae["lr"](epoch, 3280) for epoch in (0, 1, 3, 4, 13, 1093, 3279)]
    assert rates == pytest.approx([1e-3 * 10 ** (-i / 7) for i in (0, 1, 1, 2, 3, 7, 7)])


def test_kingma_and_wellings_first_parameters(rng):
    W, b = normal(300, 200, rng)
    assert W.shape == (300, 200) and b.shape == (200,)
    assert W.std() == pytest.approx(0.01, rel=0.02) and b.std() == pytest.approx(0.01, rel=0.2) and abs(W.mean()) < 1e-4


def test_flags_given_by_hand_override_the_recipe():
    plain = settings_of("--recipe", "nonlinear-2d")
    assert plain["learn_sigma"] and plain["hidden"] == (100,) and plain["data"] == "paraboloid"
    given = settings_of("--recipe", "nonlinear-2d", "--data", "ring", "--no-learn-sigma", "--hidden", "20", "--epochs", "3")
    changed = {"data": "ring", "learn_sigma": False, "hidden": (20,), "epochs": 3}
    assert given == {**plain, **changed}
    assert settings_of() == DEFAULTS


def test_a_recipe_that_there_is_not_is_told_with_the_list(capsys, tmp_path):
    with pytest.raises(ValueError, match="there is no recipe 'adam'; there are adam-mnist, beta-mlp, .*, kingma-welling"):
        find("adam")
    assert main(["train", "--recipe", "adam", "--out", str(tmp_path / "run")]) == 2
    assert "npvae train: there is no recipe 'adam'; there are adam-mnist" in capsys.readouterr().err


def test_a_recipe_trains_and_resumes_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(running, "draw", lambda *_: None)
    run = str(tmp_path / "run")
    assert main(["train", "--recipe", "bce-mlp", "--data", "digits", "--epochs", "1", "--out", run, "--quiet"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["recipe"] == "bce-mlp"
    assert main(["train", "--resume", run, "--epochs", "2", "--quiet"]) == 0
    assert main(["train", "--resume", run, "--recipe", "beta-mlp"]) == 2
    assert "--recipe beta-mlp (the run has bce-mlp)" in capsys.readouterr().err


def test_npvae_recipes_lists_all_and_shows_one(capsys):
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed and RECIPES[name].article in listed for name in NAMES)
    assert all(f"{data} {loss}" in listed for name in NAMES for data, loss in RECIPES[name].expected.items())
    assert main(["recipes", "conv-mnist"]) == 0
    shown = capsys.readouterr().out
    assert RECIPES["conv-mnist"].text in shown and "npvae train --data mnist --architecture convolutional" in shown
    assert main(["recipes", "nothing"]) == 2
    capsys.readouterr()
    assert main(["recipes", "iwae-paper", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["settings"]["hidden"] == [200, 200] and result["commands"]["digits"].startswith("npvae train --hidden 64,64")


# ---- the losses that the docstrings state ----------------------------------------------------------------------------------------


def measured():
    """(recipe, data) -> loss, from the table that benchmarks/recipes.py writes."""
    rows = re.findall(r"^\| ([\w-]+) \| ([\w-]+) \| (-?[\d.]+(?: \+- [\d.]+)?) \|", TABLE.read_text(encoding="utf-8"), re.M)
    return {(name, data): loss for name, data, loss in rows}


def test_the_losses_in_the_docstrings_are_those_measured():
    stated = {(name, data): loss for name, recipe in RECIPES.items() for data, loss in recipe.expected.items()}
    assert stated == measured()


def test_every_recipe_states_the_loss_on_the_data_that_come_with_the_package():
    assert all(digits_or_own(name) in RECIPES[name].expected for name in NAMES)


def test_expected_losses_are_read_from_the_docstring():
    def make(data):
        """Something.

        Expected test loss, in nats per example:
            digits: -6.73 +- 0.05 = reconstruction -11.48 + KL 4.75
            mnist: 105.44 = reconstruction 80.01 + KL 25.43
        """

    expected = find("adam-mnist")._replace(make=make).expected
    assert expected == {"digits": "-6.73 +- 0.05", "mnist": "105.44"}


def test_no_setting_has_a_flag_that_argparse_reads_otherwise():
    """A flag's default must be None, so that "not given" can be told from "given"."""
    args = build_parser().parse_args(["train"])
    assert isinstance(args, argparse.Namespace) and all(getattr(args, name) is None for name in FLAGS)


def test_the_list_says_that_one_of_its_numbers_is_of_a_run_only_started(capsys):
    assert main(["recipes"]) == 0
    assert "iwae-paper is after 40 of its 3,280 epochs" in capsys.readouterr().out
    assert find("iwae-paper").settings()["epochs"] == 3280 and "after --epochs 40" in find("iwae-paper").text
    assert "| iwae-paper | mnist | 100.64 | 75.24 | 25.40 |" in TABLE.read_text() and "| 40 | 0 |" in TABLE.read_text()
