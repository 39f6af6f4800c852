"""Every flag of `npvae train` arrives: in the model, the data, and the arguments of fit."""

import json
import types

import numpy as np
import pytest

from npvae import VAE, Autoencoder, Dense, ReLU, load_digits
from npvae.cli import build_parser, main, pictures, running
from npvae.cli import evaluate as evaluate_verb
from npvae.cli.train import _folder_and_settings
from npvae.evaluation.record import standard_error

DIGITS = load_digits()


def settings(*flags):
    """All settings of `npvae train FLAGS`."""
    return _folder_and_settings(build_parser().parse_args(["train", "--out", "nowhere", *flags]))[2]


def built(*flags):
    """The model that the flags ask for."""
    return running.build(settings(*flags))[0]


def fit_arguments(*flags):
    """What the flags say to fit, on the digits: 45 steps an epoch by default."""
    return running.fit_arguments(settings(*flags), DIGITS)


def test_the_flags_of_the_model():
    model = built("--hidden", "9,7", "--latent-dim", "3", "--activation", "relu", "--dtype", "float64")
    shapes = [layer.W.shape for layer in model.encoder.layers if isinstance(layer, Dense)]
    assert isinstance(model, VAE) and shapes == [(64, 9), (9, 7), (7, 6)]
    assert isinstance(model.encoder.layers[1], ReLU) and model.dtype == np.float64 and model.latent_dim == 3
    assert isinstance(built("--kind", "autoencoder"), Autoencoder)
    assert built().dtype == np.float32


def test_the_flags_of_the_likelihood():
    assert built("--likelihood", "gaussian", "--sigma", "0.3").likelihood.config() == {
        "type": "Gaussian", "sigma": 0.3, "learn": False,
    }  # fmt: skip
    learned = built("--likelihood", "gaussian", "--sigma", "0.5", "--learn-sigma").likelihood
    assert learned.learn and np.exp(learned.log_sigma[0]) == pytest.approx(0.5)


def test_the_flags_of_the_first_values():
    """uniform draws biases, he scales with 2 / n_in, the seed decides, and the output bias gives the mean of scaled pixels."""
    assert built("--init", "uniform").encoder.layers[0].b.any() and not built().encoder.layers[0].b.any()
    assert built("--init", "he").encoder.layers[0].W.std() == pytest.approx(np.sqrt(2 / 64), rel=0.05)
    assert np.array_equal(built().params.theta, built().params.theta)
    assert not np.array_equal(built("--seed", "1").params.theta, built().params.theta)
    model = built("--output-mean")
    mean = np.clip(DIGITS.floats("train").mean(axis=0), 0.001, 0.999)
    assert np.allclose(model.likelihood.mean(model.decoder.layers[-1].b), mean, atol=1e-6)


def test_the_flags_of_fit():
    given = fit_arguments("--epochs", "7", "--batch-size", "11", "--clip-norm", "5", "--patience", "3", "--binarize", "dynamic")
    assert {name: given[name] for name in ("epochs", "batch_size", "clip_norm", "patience", "binarize")} == {
        "epochs": 7, "batch_size": 11, "clip_norm": 5.0, "patience": 3, "binarize": "dynamic",
    }  # fmt: skip
    assert fit_arguments()["binarize"] is None and fit_arguments("--validation", "none")["validation"] is None


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum", "rmsprop", "adagrad"])
def test_the_flags_of_the_optimizer(name):
    optimizer = fit_arguments("--optimizer", name, "--lr", "0.02")["optimizer"]
    assert type(optimizer).__name__.lower() == name and optimizer.lr == 0.02
    assert fit_arguments("--adam-eps", "0.001")["optimizer"].eps == 0.001


def test_the_flags_of_beta():
    assert fit_arguments("--beta", "4")["beta"] == 4
    warm = fit_arguments("--beta", "4", "--beta-warmup", "2")["beta"]
    assert [warm(step, 900) for step in (0, 45, 90, 899)] == [0, 2, 4, 4]  # two epochs are 90 steps
    cyclic = fit_arguments("--beta", "4", "--beta-cycles", "2")["beta"]
    assert [cyclic(step, 100) for step in (0, 49, 50, 99)] == [0, 4, 0, 4]


def test_the_validation_rows_are_those_of_valid_if_there_are_any(tmp_path):
    rows = np.random.default_rng(0).random((30, 4))
    np.savez(tmp_path / "three.npz", train=rows, valid=rows, test=rows)
    for flags, expected in (((), "test"), (("--data", str(tmp_path / "three.npz")), "valid")):
        chosen = settings(*flags)
        running.build(chosen)
        assert chosen["validation"] == expected


def test_binarized_is_thresholded_or_drawn_with_the_seed():
    x = np.full((200, 5), 0.3, np.float32)
    assert not pictures.binarized(x, "threshold", 0).any()
    assert np.array_equal(pictures.binarized(x, "none", 0), x)
    for how in ("static", "dynamic"):
        drawn = pictures.binarized(x, how, 0)
        assert set(np.unique(drawn)) == {0, 1} and drawn.mean() == pytest.approx(0.3, abs=0.06)
        assert np.array_equal(drawn, pictures.binarized(x, how, 0)) and not np.array_equal(drawn, pictures.binarized(x, how, 1))


def test_the_standard_error_is_that_of_the_mean():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    assert standard_error(values) == pytest.approx(np.sqrt(np.var(values, ddof=1) / 4))
    assert np.isnan(standard_error(values[:1]))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings") / "run"
    assert main(["train", "--out", str(folder), "--hidden", "8", "--epochs", "1", "--quiet"]) == 0
    return types.SimpleNamespace(path=str(folder), folder=folder)


def test_the_flags_of_evaluate(run_folder, capsys):
    def evaluate(*flags):
        assert main(["evaluate", "--model", run_folder.path, "--json", *flags]) == 0
        return json.loads(capsys.readouterr().out)

    grey = evaluate("--binarize", "none", "--samples", "2", "--limit", "20")
    assert grey["rows"] == 20 and grey["grey cross-entropy + KL"]["mean"] > 0
    total = grey["grey cross-entropy"]["mean"] + grey["KL"]["mean"]
    assert total == pytest.approx(grey["grey cross-entropy + KL"]["mean"])
    black = evaluate("--binarize", "threshold", "--samples", "50", "--split", "train")
    assert black["rows"] == 1437 and black["split"] == "train"
    assert -black["ELBO"]["mean"] == pytest.approx(black["reconstruction"]["mean"] + black["KL"]["mean"])
    assert evaluate("--binarize", "threshold", "--samples", "1", "--split", "train")["L_1"]["mean"] < black["L_50"]["mean"]
    shared = evaluate("--binarize", "threshold", "--samples", "50", "--split", "train", "--workers", "3")
    assert {**shared, "record": None} == {**black, "record": None}


def test_workers_are_passed_on(run_folder, monkeypatch, capsys):
    seen, original = [], evaluate_verb.importance_sampling
    monkeypatch.setattr(evaluate_verb, "importance_sampling", lambda *a, **b: seen.append(b["workers"]) or original(*a, **b))
    for flags in ([], ["--workers", "3"]):
        assert main(["evaluate", "--model", run_folder.path, "--binarize", "threshold", "--samples", "2", "--quiet", *flags]) == 0
    assert seen == [1, 3]


def test_the_flags_of_sample_reconstruct_and_trace(run_folder, capsys, tmp_path):
    drawn = []
    for seed in ("0", "0", "1"):
        assert main(["sample", "--model", run_folder.path, "--n", "3", "--seed", seed, "--out", str(tmp_path), "--quiet"]) == 0
        drawn.append(np.load(tmp_path / "samples.npy"))
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])

    assert main(["reconstruct", "--model", run_folder.path, "--n", "4", "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["squared_error"]
    with np.load(tmp_path / "reconstructions.npz") as archive:
        assert printed == pytest.approx(np.sum((archive["x"] - archive["x_hat"]) ** 2) / 4)

    assert main(["trace", "--beta", "3", "--lr", "0.25", "--json"]) == 0
    rows = {row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)}
    assert rows["beta"] == 3 and rows["Adam.lr"] == 0.25
    assert rows["loss.total"] == pytest.approx(rows["loss.reconstruction"] + 3 * rows["loss.kl"])


def test_data_of_another_width_than_the_models_are_refused(run_folder, tmp_path, capsys):
    np.save(tmp_path / "narrow.npy", np.ones((20, 3)))
    assert main(["evaluate", "--model", run_folder.path, "--data", str(tmp_path / "narrow.npy")]) == 2
    assert "narrow has 3 values an example, but this model was trained on 64" in capsys.readouterr().err
