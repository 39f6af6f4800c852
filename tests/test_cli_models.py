"""The command line on what is not a plain VAE of grey images: labels, strings, standardized data, points, convolutions, objectives.

Each run is trained once, small, and every verb after it is asked about it."""

import json
import pathlib
import re

import numpy as np
import pytest
from test_cli import fails

from npvae import load_digits
from npvae.beyond.convolution import Conv2D
from npvae.cli import main
from npvae.evaluation import elbo, kl_per_dimension
from npvae.training import load_checkpoint

WORDS = ["kat", "kit", "ko", "ta", "tok", "tik", "at", "it"] * 5


def train(folder, *flags):
    """A small run in that folder -> the folder as text."""
    assert main(["train", "--out", str(folder), "--epochs", "2", "--hidden", "8", "--quiet", *flags]) == 0
    return str(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by name, each trained when it is first asked for."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    flags = {
        "conditional": ["--kind", "conditional", "--latent-dim", "3"],
        "words": ["--data", str(folder / "words.txt"), "--latent-dim", "3", "--batch-size", "8"],
        "standardized": ["--standardize", "--likelihood", "gaussian", "--learn-sigma", "--latent-dim", "3"],
        "convolutional": ["--architecture", "convolutional", "--channels", "2,3", "--batch-size", "256"],
    }

    def run(name):
        return str(folder / name) if (folder / name).exists() else train(folder / name, *flags[name])

    return run


def printed(capsys, *argv):
    """The JSON object that a command prints."""
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# ---- labels ----------------------------------------------------------------------------------------------------------------------


def test_sample_draws_the_labels_asked_for(runs, tmp_path, capsys):
    sample = ["sample", "--model", runs("conditional"), "--out", str(tmp_path)]
    result = printed(capsys, *sample, "--label", "7")
    model = load_checkpoint(runs("conditional") + "/model.npz").model
    expected = model.sample(10, np.random.default_rng(0), condition=7)
    assert np.array_equal(np.load(tmp_path / "samples.npy"), expected) and result["labels"] == [7] * 10
    assert printed(capsys, *sample, "--label", "3,0", "--n", "2", "--draw")["labels"] == [3, 3, 0, 0]
    assert set(np.unique(np.load(tmp_path / "samples.npy"))) <= {0.0, 1.0}
    assert printed(capsys, *sample)["labels"] == [label for label in range(10) for _ in range(10)]
    assert (tmp_path / "samples.png").stat().st_size > 1000


def test_the_other_verbs_take_the_labels_from_the_data(runs, tmp_path, capsys):
    run = runs("conditional")
    result = printed(capsys, "evaluate", "--model", run, "--binarize", "threshold", "--samples", "3", "--limit", "50")
    model, data = load_checkpoint(run + "/model.npz").model, load_digits()
    x = (data.floats("test") >= 0.5).astype(np.float32)[:50]
    given = {"condition": data.test_labels[:50]}
    assert result["ELBO"]["mean"] == pytest.approx(np.mean(elbo(model, x, np.random.default_rng(0), **given)))
    assert result["kl_per_dimension"] == pytest.approx(kl_per_dimension(model, x, **given).tolist())
    assert main(["reconstruct", "--model", run, "--out", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "reconstructions.npz") as archive:
        labels = data.test_labels[archive["row"]]
        assert np.allclose(archive["x_hat"], model.reconstruct(archive["x"], condition=labels), atol=1e-6)
    assert main(["gradcheck", "--model", run, "--rows", "3"]) == 0
    assert "without labels" in fails(capsys, "trace", "--model", run)


def test_wrong_labels_are_told(runs, tmp_path, capsys):
    assert "knows the labels 0 to 9" in fails(capsys, "sample", "--model", runs("conditional"), "--label", "10")
    assert "--label needs a conditional model" in fails(capsys, "sample", "--model", runs("convolutional"), "--label", "1")
    np.save(tmp_path / "x.npy", load_digits().floats("test"))
    wanted = "no labels, and a conditional model asks for them"
    for verb in ("evaluate", "reconstruct", "gradcheck"):
        assert wanted in fails(capsys, verb, "--model", runs("conditional"), "--data", str(tmp_path / "x.npy"))
    out = ["--out", str(tmp_path / "run")]
    data = ["--data", str(tmp_path / "x.npy")]
    assert "--kind conditional needs labels, and x has none" in fails(capsys, "train", "--kind", "conditional", *data, *out)
    with pytest.raises(SystemExit):
        main(["sample", "--label", "seven"])
    assert "argument --label" in capsys.readouterr().err


# ---- strings ---------------------------------------------------------------------------------------------------------------------


def test_strings_are_printed_and_written(runs, tmp_path, capsys):
    run = runs("words")
    assert main(["sample", "--model", run, "--n", "6", "--draw", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()[:6]
    assert (tmp_path / "samples.txt").read_text().splitlines() == shown
    assert all(re.fullmatch("[aikot ]{0,3}", text) for text in shown) and np.load(tmp_path / "samples.npy").shape == (6, 18)
    result = printed(capsys, "reconstruct", "--model", run, "--n", "3", "--out", str(tmp_path))
    originals = {original for original, _ in result["strings"]}
    assert originals <= set(WORDS) and len(result["strings"]) == 3
    assert printed(capsys, "evaluate", "--model", run, "--samples", "2")["ELBO"]["mean"] < 0
    written = {path.name for path in pathlib.Path(run).iterdir()}
    assert {"samples.txt", "reconstructions.txt"} <= written and not {"samples.png", "manifold.png"} & written


def test_strings_of_other_letters_or_under_another_likelihood_are_refused(runs, tmp_path, capsys):
    words = tmp_path / "other.txt"
    words.write_text("\n".join(word.replace("k", "p") for word in WORDS))
    assert "in the letters ' aiopt'" in fails(capsys, "evaluate", "--model", runs("words"), "--data", str(words))
    out = ["--out", str(tmp_path / "run")]
    assert "holds strings" in fails(capsys, "train", "--data", str(words), "--likelihood", "gaussian", *out)
    assert "holds no strings" in fails(capsys, "train", "--likelihood", "categorical", *out)


# ---- standardization -------------------------------------------------------------------------------------------------------------


def test_standardization_is_undone_on_output(runs, tmp_path, capsys):
    run = runs("standardized")
    checkpoint, data = load_checkpoint(run + "/model.npz"), load_digits()
    by = checkpoint.standardization
    assert np.allclose(by.mean, data.floats("train", np.float64).mean(axis=0), atol=1e-6)
    assert main(["sample", "--model", run, "--n", "4", "--out", str(tmp_path), "--quiet"]) == 0
    assert np.allclose(np.load(tmp_path / "samples.npy"), by.undo(checkpoint.model.sample(4, np.random.default_rng(0))))
    assert main(["reconstruct", "--model", run, "--out", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "reconstructions.npz") as archive:
        assert np.allclose(archive["x"], data.floats("test")[archive["row"]], atol=1e-5)
        assert np.allclose(archive["x_hat"], by.undo(checkpoint.model.reconstruct(by.apply(archive["x"]))), atol=1e-4)


def test_evaluate_reports_nats_of_the_data_themselves(runs, capsys):
    """-log p(x) = -log p(u) + log_volume, on the ELBO, the reconstruction and L_K; the KL has no volume."""
    run = runs("standardized")
    model, by = load_checkpoint(run + "/model.npz").model, load_checkpoint(run + "/model.npz").standardization
    u = by.apply(load_digits().floats("test"))
    loss = model.loss(u, model.noise(len(u), np.random.default_rng(1)))
    result = printed(capsys, "evaluate", "--model", run, "--samples", "1")
    tolerance = 5 * result["ELBO"]["standard_error"]
    assert result["log_volume"] == pytest.approx(np.sum(np.log(by.std))) and abs(by.log_volume) > 10 * tolerance
    assert result["ELBO"]["mean"] == pytest.approx(loss.elbo - by.log_volume, abs=tolerance)
    assert result["reconstruction"]["mean"] == pytest.approx(loss.reconstruction + by.log_volume, abs=tolerance)
    assert result["KL"]["mean"] == pytest.approx(loss.kl, abs=1e-3)
    assert result["L_1"]["mean"] == pytest.approx(loss.elbo - by.log_volume, abs=tolerance)
    units = json.loads((pathlib.Path(run) / "metrics.json").read_text())["units"]
    assert f"standardized data, {by.log_volume:+.6g} for those of the data themselves" in units


def test_other_data_are_standardized_as_the_training_data_were(runs, tmp_path, capsys):
    x = load_digits().floats("test")
    np.savez(tmp_path / "bright.npz", train=2 * x, test=2 * x)
    run = runs("standardized")
    model, by = load_checkpoint(run + "/model.npz").model, load_checkpoint(run + "/model.npz").standardization
    result = printed(capsys, "evaluate", "--model", run, "--data", str(tmp_path / "bright.npz"), "--samples", "1")
    expected = np.mean(elbo(model, by.apply(2 * x), np.random.default_rng(0))) - by.log_volume
    assert result["ELBO"]["mean"] == pytest.approx(expected, rel=1e-5)


def test_standardized_data_under_bernoulli_are_refused(tmp_path, capsys):
    for likelihood in ([], ["--likelihood", "continuous-bernoulli"]):
        said = fails(capsys, "train", "--standardize", *likelihood, "--out", str(tmp_path / "run"))
        assert "out of reach of --likelihood" in said and "choose gaussian or pixel-gaussian" in said


# ---- convolutions, likelihoods, objectives ---------------------------------------------------------------------------------------


def test_a_convolutional_model_goes_through_every_verb(runs, tmp_path, capsys):
    run = runs("convolutional")
    model = load_checkpoint(run + "/model.npz").model
    assert [layer.c_out for layer in model.encoder.layers if isinstance(layer, Conv2D)] == [2, 3]
    for verb in (["sample"], ["reconstruct"]):
        assert main([*verb, "--model", run, "--out", str(tmp_path), "--quiet"]) == 0
    assert main(["evaluate", "--model", run, "--binarize", "threshold", "--samples", "2", "--quiet"]) == 0
    assert main(["gradcheck", "--model", run, "--rows", "2", "--quiet"]) == 0
    assert main(["trace", "--model", run]) == 0
    assert "Conv2D(" in capsys.readouterr().out


def test_what_a_convolutional_model_cannot_have_is_told(tmp_path, capsys):
    def refused(*flags):
        return fails(capsys, "train", "--architecture", "convolutional", *flags, "--out", str(tmp_path / "run"))

    assert "needs --architecture dense" in refused("--kind", "conditional")
    assert "has --activation relu, not tanh" in refused("--activation", "tanh")
    assert "--hidden takes one width" in refused("--hidden", "9,8")
    assert "needs images, and ring has none" in refused("--data", "ring", "--likelihood", "gaussian")
    assert "cannot be halved 4 times" in refused("--channels", "2,2,2,2")


@pytest.mark.parametrize("flags", [["--capacity", "20", "--beta", "3"], ["--free-bits", "0.001", "--beta", "2"]])
def test_objectives_are_trained_recorded_and_described(flags, tmp_path, capsys, undrawn):
    assert main(["train", "--out", str(tmp_path / "run"), "--epochs", "2", "--hidden", "8", *flags]) == 0
    said = capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())["last"]
    if "--capacity" in flags:
        assert "+ 3 x |KL - 20|, KL " in said and record["valid_kl"] < 15  # every batch lies below
        assert record["valid_loss"] == pytest.approx(record["valid_reconstruction"] + 3 * (20 - record["valid_kl"]))
    else:
        assert "+ 2 x KL above 0.001 nats a latent, KL " in said and min(record["valid_kl"], record["kl"]) > 0.1
        assert record["valid_loss"] == pytest.approx(record["valid_reconstruction"] + 2 * record["valid_kl"], abs=0.004)
    assert main(["train", "--resume", str(tmp_path / "run"), "--epochs", "3", "--quiet"]) == 0


def test_objectives_that_exclude_each_other_are_told(tmp_path, capsys):
    def refused(*flags):
        return fails(capsys, "train", *flags, "--out", str(tmp_path / "run"))

    assert "--capacity and --free-bits exclude each other" in refused("--capacity", "1", "--free-bits", "1")
    assert "--kind autoencoder has none" in refused("--capacity", "1", "--kind", "autoencoder")
    assert "--free-bits and --beta-warmup exclude each other" in refused("--free-bits", "1", "--beta-warmup", "2")
    assert "--capacity and --beta-cycles exclude each other" in refused("--capacity", "1", "--beta-cycles", "2")


@pytest.mark.parametrize("likelihood", ["pixel-gaussian", "continuous-bernoulli"])
def test_the_likelihoods_of_grey_pixels_are_densities(likelihood, tmp_path, capsys, undrawn):
    run = train(tmp_path / "run", "--likelihood", likelihood)
    assert "ELBO" in printed(capsys, "evaluate", "--model", run, "--samples", "2", "--limit", "20")


def test_download_is_asked_for_by_its_flag_alone(tmp_path, monkeypatch, undrawn):
    asked = []
    for module in ("common", "running"):
        monkeypatch.setattr(f"npvae.cli.{module}.load_dataset", lambda source, download: asked.append(download) or load_digits())
    run = train(tmp_path / "run")
    assert main(["reconstruct", "--model", run, "--download", "--quiet"]) == 0
    train(tmp_path / "other", "--download")
    assert asked == [False, True, True]
    assert "download" not in json.loads((tmp_path / "run" / "run.json").read_text())["settings"]


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--sigma", "0.3"], "--sigma needs --likelihood gaussian"),
        (["--learn-sigma"], "--learn-sigma needs --likelihood gaussian"),
        (["--channels", "8"], "--channels needs --architecture convolutional"),
        (["--likelihood", "continuous-bernoulli", "--binarize", "dynamic"], "continuous-bernoulli is for grey pixels"),
    ],
)
def test_a_flag_that_would_have_no_effect_is_told(flags, said, tmp_path, capsys):
    assert said in fails(capsys, "train", *flags, "--out", str(tmp_path / "run"))


def test_a_run_that_is_not_there_cannot_be_resumed(tmp_path, capsys):
    assert "nosuch: there is no such run" in fails(capsys, "train", "--resume", str(tmp_path / "nosuch"))


def test_labels_with_a_gap_are_told(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("label,a,b\n" + "".join(f"{5 + 10 * (i % 2)},0.{i},0.5\n" for i in range(1, 31)))
    arguments = ("train", "--kind", "conditional", "--data", str(tmp_path / "t.csv"), "--out", str(tmp_path / "run"))
    assert "numbered 0, 1, 2 ... without a gap; those of t are 5, 15" in fails(capsys, *arguments)


def test_the_next_command_of_a_grey_run_says_that_it_is_grey(tmp_path, capsys, undrawn):
    folder = str(tmp_path / "run")
    assert main(["train", "--epochs", "1", "--hidden", "4", "--out", folder]) == 0
    assert f"npvae evaluate --model {folder} --binarize none" in capsys.readouterr().out
    assert main(["reconstruct", "--model", folder]) == 0
    assert f"npvae evaluate --model {folder} --binarize none" in capsys.readouterr().out


def test_a_standardized_model_is_not_asked_about_black_and_white(runs, capsys):
    run = runs("standardized")
    assert "standardized values" in fails(capsys, "evaluate", "--model", run, "--binarize", "threshold")


def test_a_standardized_autoencoder_reports_nats_of_the_data_themselves(tmp_path, capsys, undrawn):
    run = train(tmp_path / "run", "--kind", "autoencoder", "--standardize", "--likelihood", "gaussian")
    model, by = load_checkpoint(run + "/model.npz").model, load_checkpoint(run + "/model.npz").standardization
    expected = model.loss(by.apply(load_digits().floats("test"))).reconstruction + by.log_volume
    assert printed(capsys, "evaluate", "--model", run)["reconstruction"]["mean"] == pytest.approx(expected, rel=1e-5)


def test_a_continuous_bernoulli_is_not_asked_about_black_and_white(tmp_path, capsys, undrawn):
    run = train(tmp_path / "run", "--likelihood", "continuous-bernoulli")
    assert "a density of grey values" in fails(capsys, "evaluate", "--model", run, "--binarize", "threshold")


def test_the_last_line_of_numbers_says_of_what_data_and_leaves_out_a_kl_that_is_none(tmp_path, capsys, undrawn):
    flags = ["--epochs", "1", "--hidden", "4", "--likelihood", "gaussian", "--out"]
    assert main(["train", *flags, str(tmp_path / "a"), "--standardize"]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said.endswith("(nats per example, of the standardized data).") and "x KL" in said
    assert main(["train", *flags, str(tmp_path / "b"), "--kind", "autoencoder"]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said.endswith("(nats per example).") and "KL" not in said
