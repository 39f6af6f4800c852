"""The command line as a user meets it: every verb on small inputs, its files, its exit codes, its sentences."""

import json
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import npvae
from npvae.cli import main
from npvae.training import load_checkpoint

SMALL = ["--hidden", "8", "--epochs", "2", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small trained run on the digits."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "--out", str(folder), *SMALL]) == 0
    return folder


def fails(capsys, *argv):
    """The sentence that a command fails with, which must be one line without a traceback."""
    assert main(list(argv)) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"npvae {argv[0]}: ")
    assert printed.err.count("\n") == 1 and "Traceback" not in printed.err
    return printed.err


def test_train_leaves_the_model_the_history_the_metrics_and_the_pictures(trained):
    names = {path.name for path in trained.iterdir()}
    pictures = {"history.png", "reconstructions.png", "samples.png", "latent.png", "manifold.png", "kl_per_dimension.png"}
    assert names == {"model.npz", "history.csv", "metrics.json", "run.json"} | pictures
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["last"]["epoch"] == 2
    assert metrics["units"].startswith("nats per example")
    assert len((trained / "history.csv").read_text().splitlines()) == 3


def test_same_seed_same_result_and_another_seed_another(trained, tmp_path, undrawn):
    for name, seed in (("same", "0"), ("other", "1")):
        assert main(["train", "--out", str(tmp_path / name), "--seed", seed, *SMALL]) == 0
    loss = [json.loads((f / "metrics.json").read_text())["last"]["loss"] for f in (trained, tmp_path / "same", tmp_path / "other")]
    assert loss[0] == loss[1] != loss[2]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, undrawn):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", "--out", str(whole), "--hidden", "8", "--epochs", "3", "--quiet"]) == 0
    assert main(["train", "--out", str(parts), "--hidden", "8", "--epochs", "1", "--quiet"]) == 0
    assert main(["train", "--resume", str(parts), "--epochs", "3", "--quiet"]) == 0
    a, b = (load_checkpoint(folder / "model.npz").model.params.theta for folder in (whole, parts))
    assert np.array_equal(a, b)


def test_an_interrupted_run_says_how_to_go_on_and_does(tmp_path):
    folder = tmp_path / "a run"
    command = [
        sys.executable,
        "-m",
        "npvae",
        "train",
        "--out",
        str(folder),
        "--hidden",
        "8",
        "--epochs",
        "5000",
        "--checkpoint-every",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (folder / "model.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert said.startswith("npvae train: fit: stopped by SIGTERM in epoch ") and said.count("\n") == 1
    go_on = shlex.split(said.partition("go on with: ")[2])
    assert go_on == ["npvae", "train", "--resume", str(folder)]
    epoch = load_checkpoint(folder / "model.npz").training["epoch"]  # the one under way
    assert main([*go_on[1:], "--epochs", str(epoch), "--quiet"]) == 0
    assert json.loads((folder / "metrics.json").read_text())["last"]["epoch"] == epoch


def test_a_resumed_run_keeps_its_settings(trained, capsys):
    said = fails(capsys, "train", "--resume", str(trained), "--hidden", "9")
    assert "--hidden" in said and "8" in said and "9" in said


def test_a_folder_that_holds_a_run_is_not_overwritten(trained, capsys):
    said = fails(capsys, "train", "--out", str(trained), *SMALL)
    assert "--resume" in said and "--out" in said


def test_sample_and_reconstruct_write_arrays_and_pictures(trained, tmp_path):
    assert main(["sample", "--model", str(trained), "--n", "7", "--out", str(tmp_path), "--quiet"]) == 0
    assert np.load(tmp_path / "samples.npy").shape == (7, 64)
    assert main(["reconstruct", "--model", str(trained), "--n", "4", "--out", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "reconstructions.npz") as archive:
        assert archive["x_hat"].shape == (4, 64) and archive["z"].shape == (4, 2)
    assert (tmp_path / "samples.png").stat().st_size > 1000 and (tmp_path / "reconstructions.png").stat().st_size > 1000


def test_drawn_samples_are_black_and_white(trained, tmp_path):
    assert main(["sample", "--model", str(trained), "--n", "5", "--draw", "--out", str(tmp_path), "--quiet"]) == 0
    assert set(np.unique(np.load(tmp_path / "samples.npy"))) == {0.0, 1.0}


def test_evaluate_refuses_grey_pixels_until_told_how(trained, capsys):
    assert "--binarize" in fails(capsys, "evaluate", "--model", str(trained))


def test_evaluate_calls_a_grey_number_grey_and_a_likelihood_a_likelihood(trained, capsys):
    assert main(["evaluate", "--model", str(trained), "--binarize", "none", "--samples", "2", "--limit", "20"]) == 0
    grey = capsys.readouterr().out
    assert "grey cross-entropy" in grey and "ELBO" not in grey
    assert main(["evaluate", "--model", str(trained), "--binarize", "threshold", "--samples", "5", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ELBO"]["mean"] < result["L_5"]["mean"] < 0
    assert result["units"] == "nats per example"


def test_the_elbo_that_evaluate_prints_is_the_models(trained, capsys):
    model = load_checkpoint(trained / "model.npz").model
    x = (npvae.load_digits().floats("test") >= 0.5).astype(np.float32)
    assert main(["evaluate", "--model", str(trained), "--binarize", "threshold", "--samples", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["ELBO"]
    rng = np.random.default_rng(5)
    elbo = np.mean([model.loss(x, model.noise(len(x), rng)).elbo for _ in range(20)])
    assert abs(printed["mean"] - elbo) < 5 * printed["standard_error"]


def test_trace_prints_the_worked_example_and_a_trained_model(trained, capsys):
    assert main(["trace"]) == 0
    text = capsys.readouterr().out
    assert "KL-1" in text and "ADAM-5" in text
    for style in ("markdown", "latex"):
        assert main(["trace", "--format", style, "--model", str(trained)]) == 0
        assert "KL-1" in capsys.readouterr().out


def test_demo_writes_what_it_promises(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    promised = [word.strip(",") for word in printed.split() if word.strip(",").endswith((".png", ".json", ".npz", ".csv"))]
    assert len(promised) == 10
    assert all((tmp_path / "demo" / name).stat().st_size > 100 for name in promised)


def test_an_autoencoder_and_a_learned_sigma_train_from_the_command_line(tmp_path, capsys):
    plain, gaussian = tmp_path / "plain", tmp_path / "gaussian"
    assert main(["train", "--kind", "autoencoder", "--out", str(plain), *SMALL]) == 0
    assert "no prior" in fails(capsys, "sample", "--model", str(plain))
    flags = ["--likelihood", "gaussian", "--sigma", "0.3", "--learn-sigma", "--latent-dim", "3", "--clip-norm", "5"]
    assert main(["train", "--out", str(gaussian), *flags, *SMALL]) == 0
    assert main(["evaluate", "--model", str(gaussian), "--samples", "3", "--json"]) == 0
    assert "ELBO" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["cosine", "exponential", "step"])
def test_the_learning_rate_follows_its_schedule(tmp_path, kind, undrawn):
    out = ["--out", str(tmp_path / "run"), "--batch-size", "1000", "--quiet"]
    assert main(["train", *out, "--hidden", "8", "--epochs", "2", "--lr-schedule", kind]) == 0
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    rates = [float(line.split(",")[history[0].split(",").index("lr")]) for line in history[1:]]
    assert rates[0] > rates[1]
    x = 3 / 4  # two epochs of two steps: the last one is step 3 of 4
    expected = {"cosine": 0.001 * (1 + np.cos(np.pi * x)) / 2, "exponential": 0.001 * 0.1**x, "step": 0.0001}[kind]
    assert rates[1] == pytest.approx(expected)


def test_every_training_option_is_a_flag_that_reaches_fit(tmp_path, capsys, undrawn):
    flags = ["--optimizer", "rmsprop", "--lr", "0.002", "--lr-schedule", "cosine", "--beta", "2", "--beta-warmup", "2"]
    flags += ["--binarize", "dynamic", "--patience", "2", "--output-mean", "--activation", "relu", "--init", "he"]
    assert main(["train", "--out", str(tmp_path / "run"), *flags, "--hidden", "8,6", "--epochs", "3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["settings"]["hidden"] == [8, 6]
    assert result["last"]["epoch"] == 3


@pytest.mark.parametrize("name", ["rows.npy", "rows.npz"])
def test_a_users_own_array_trains(tmp_path, name):
    rows = np.random.default_rng(0).normal(size=(60, 5))
    (np.save if name.endswith("npy") else np.savez)(tmp_path / name, rows)
    flags = ["--data", str(tmp_path / name), "--likelihood", "gaussian", "--batch-size", "10"]
    assert main(["train", "--out", str(tmp_path / "run"), *flags, *SMALL]) == 0
    assert main(["sample", "--model", str(tmp_path / "run"), "--quiet"]) == 0


def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run"), "--quiet"]
    assert "no such file" in fails(capsys, "train", "--data", "nowhere.npz", *out)
    assert "no model" in fails(capsys, "sample", "--model", str(tmp_path / "nothing"))
    assert "batch_size" in fails(capsys, "train", "--batch-size", "5000", *out)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    assert "broken.npz" in fails(capsys, "sample", "--model", str(tmp_path / "broken.npz"))
    assert "broken.npz" in fails(capsys, "train", "--data", str(tmp_path / "broken.npz"), *out)
    (tmp_path / "file").write_text("")
    assert "output folder" in fails(capsys, "train", "--out", str(tmp_path / "file"))
    np.save(tmp_path / "wide.npy", np.ones((20, 3)))
    assert "[0, 1]" not in fails(capsys, "train", "--resume", str(tmp_path))


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--epochs", "0"],
        ["train", "--lr", "-1"],
        ["train", "--beta", "-0.5"],
        ["train", "--hidden", "8,zero"],
        ["train", "--latent-dim", "0"],
        ["train", "--nonsense"],
        ["fly"],
        [],
    ],
)
def test_bad_usage_is_exit_code_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "usage: npvae" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        main(["train", "--data", "nowhere.npz", "--out", str(tmp_path / "run"), "--debug"])


@pytest.mark.parametrize("arguments", [["-m", "npvae", "--help"], ["-c", "import npvae"]])
def test_help_and_import_do_without_matplotlib(arguments):
    code = [sys.executable, "-X", "importtime", *arguments]
    said = subprocess.run(code, capture_output=True, text=True, check=True).stderr
    assert "npvae" in said
    assert "matplotlib" not in said
