"""What `npvae evaluate` says of a model, the record that it leaves, and what it refuses."""

import json
import pathlib
import shutil
import types

import numpy as np
import pytest
from small_runs import metrics, printed, trainer
from test_cli import fails

from npvae import VAE, Adam, Bernoulli, load_digits
from npvae.cli import main
from npvae.evaluation import Record, elbo, log_likelihood
from npvae.evaluation.bounds import importance_sampling
from npvae.evaluation.limits import limits
from npvae.evaluation.protocol import rows_sha256
from npvae.evaluation.record import model_origin
from npvae.training import load_checkpoint, save_checkpoint
from npvae.training.archive import read_archive, write_archive

DIGITS = load_digits()
BLACK = (DIGITS.test >= 8).astype(np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return trainer(tmp_path_factory.mktemp("runs"))


# ---- the record ------------------------------------------------------------------------------------------------------------------


def test_evaluate_writes_what_it_prints_and_how_it_was_measured(runs, tmp_path, capsys):
    run, file = runs("black"), tmp_path / "r.json"
    result = printed(capsys, "evaluate", "--model", run, "--samples", "7", "--limit", "50", "--seed", "3", "--record", str(file))
    record = Record.load(file)
    assert result["record_file"] == str(file) and record.to_plain() == result["record"]
    model, protocol = load_checkpoint(f"{run}/model.npz").model, record.protocol
    assert (protocol.measure, protocol.likelihood, protocol.k) == ("log-probability", {"type": "Bernoulli"}, 7)
    assert (protocol.data, protocol.split, protocol.rows, protocol.binarization) == ("digits", "test", 50, "threshold")
    assert protocol.rows_sha256 == rows_sha256(BLACK[:50]) and protocol.rows_seed is None and protocol.loss is None
    assert record.origin["model"] == model_origin(model) and record.origin["seed"] == 3
    assert set(record.origin["versions"]) == {"npvae", "numpy", "python"} and "nats per example" in protocol.reduction
    rng = np.random.default_rng(3)
    bound, estimate = elbo(model, BLACK[:50], rng), importance_sampling(model, BLACK[:50], rng, samples=7)
    assert np.array_equal(record.values["ELBO"], bound) and np.array_equal(record.values["L_7"], estimate.log_likelihood)
    assert np.array_equal(record.values["nll"], -estimate.log_likelihood)
    numbers = record.numbers
    assert numbers["nll"].mean == -numbers["L_7"].mean > 0 and numbers["nll"].standard_error == numbers["L_7"].standard_error
    error = np.sqrt(np.sum(estimate.monte_carlo_error**2)) / 50
    assert numbers["L_7"].monte_carlo_error == pytest.approx(error, rel=1e-12) and numbers["ELBO"].monte_carlo_error is None
    assert numbers["ELBO"].mean == pytest.approx(-numbers["reconstruction"].mean - numbers["KL"].mean, rel=1e-6)


def test_the_text_has_every_number_with_its_error_the_limits_and_the_protocol(runs, tmp_path, capsys):
    run = shutil.copytree(runs("black"), tmp_path / "run")
    assert main(["evaluate", "--model", str(run), "--samples", "7"]) == 0
    out = capsys.readouterr().out
    (file,) = run.glob("evaluation-*.json")
    record = Record.load(file)
    assert (
        file.name == f"evaluation-test-threshold-L7-{record.protocol.key()}-{record.origin['model']['sha256'][:8]}.json"
        and f"record: {file}" in out
    )
    for name, n in record.numbers.items():
        assert any(line.split()[:4] == [name, f"{n.mean:.4f}", "+-", f"{n.standard_error:.4f}"] for line in out.splitlines())
    assert record.limits == limits(DIGITS, Bernoulli(), BLACK, "threshold")._asdict()
    for words in (["floor", "0.0000"], ["ceiling", "24.8043"]):
        assert any(line.split()[:2] == words for line in out.splitlines())
    assert "worse than the model that ignores z" in out  # an epoch at beta = 4
    error = record.numbers["L_7"].monte_carlo_error
    assert f"Monte-Carlo error of L_7: {error:.4f}; effective samples of a row: " in out
    assert "log-probability, Bernoulli, k = 7, rows" in out
    assert max(map(len, out.replace(str(run), "run").splitlines())) < 133


def test_the_pixels_drawn_are_the_same_for_every_precision_and_their_seed_is_kept(runs, tmp_path, capsys):
    run = runs("drawn")
    twin = tmp_path / "twin.npz"
    save_checkpoint(twin, load_checkpoint(f"{run}/model.npz").model.astype(np.float64))
    given = ["--data", "digits", "--binarize", "static", "--samples", "1", "--seed", "5", "--record", str(tmp_path / "r.json")]
    protocols = [printed(capsys, "evaluate", "--model", str(m), *given)["record"]["protocol"] for m in (run, twin)]
    assert protocols[0] == protocols[1] and protocols[0]["rows_seed"] == 5
    drawn = np.random.default_rng(5).random(DIGITS.test.shape) < DIGITS.test / 16
    assert protocols[0]["rows_sha256"] == rows_sha256(drawn.astype(float))
    assert len(protocols[0]["labels_sha256"]) == 64 and protocols[0]["binarization"] == "static"
    result = printed(capsys, "evaluate", "--model", run, "--samples", "1", "--record", str(tmp_path / "r.json"))
    assert result["binarize"] == "dynamic" and result["limits"]["floor"] == pytest.approx(13.304, abs=1e-3)  # of the greys


def test_grey_pixels_are_measured_as_such_and_keep_their_floor(runs, tmp_path, capsys):
    result = printed(
        capsys, "evaluate", "--model", runs("grey"), "--binarize", "none", "--samples", "2", "--record", str(tmp_path / "r.json")
    )
    protocol = result["record"]["protocol"]
    assert protocol["measure"] == "grey cross-entropy" and protocol["rows_sha256"] == rows_sha256(DIGITS.test, 16)
    assert "nll" not in result and result["limits"]["floor"] == pytest.approx(13.304, abs=1e-3)


def test_a_standardized_model_is_measured_on_the_rows_as_they_are(runs, tmp_path, capsys):
    """In nats of the data, with the limits shifted alike: the ceiling is that of a Gaussian with a sigma for each pixel."""
    run = runs("standard")
    result = printed(capsys, "evaluate", "--model", run, "--samples", "1", "--record", str(tmp_path / "r.json"))
    by = load_checkpoint(f"{run}/model.npz").standardization
    assert result["record"]["protocol"]["rows_sha256"] == rows_sha256(DIGITS.test, 16)
    x, train = DIGITS.floats("test", np.float64), DIGITS.floats("train", np.float64)
    std = np.where(train.std(axis=0) > 0, train.std(axis=0), 1.0)
    nll = 0.5 * np.sum(((x - train.mean(axis=0)) / std) ** 2 + np.log(2 * np.pi * std**2), axis=1)
    assert result["limits"]["ceiling"] == pytest.approx(nll.mean(), rel=1e-5) and by.log_volume < -50
    assert result["limits"]["linear"] < result["limits"]["ceiling"]
    model, u = load_checkpoint(f"{run}/model.npz").model, by.apply(DIGITS.floats("test"))
    bound, L_1 = (f(model, u, np.random.default_rng(0), samples=1).mean() for f in (elbo, log_likelihood))
    assert result["ELBO"]["mean"] == pytest.approx(bound - by.log_volume, rel=1e-5)
    assert result["L_1"]["mean"] == pytest.approx(L_1 - by.log_volume, rel=0.01)  # other draws
    trained = metrics(run)
    assert trained["record"]["limits"] == result["limits"]
    assert trained["record"]["protocol"]["rows_sha256"] == rows_sha256(DIGITS.test, 16)
    numbers, last = trained["record"]["numbers"], trained["last"]
    assert numbers["ELBO"]["mean"] == pytest.approx(last["valid_elbo"] - by.log_volume, rel=1e-5)
    assert numbers["loss"]["mean"] == pytest.approx(last["valid_loss"] + by.log_volume, rel=1e-5)


def test_an_autoencoder_has_a_reconstruction_and_no_bound(runs, tmp_path, capsys):
    file = str(tmp_path / "r.json")
    assert main(["evaluate", "--model", runs("plain"), "--binarize", "none", "--record", file]) == 0
    out = capsys.readouterr().out
    assert "The loss (reconstruction) is" in out and "Next: npvae reconstruct" in out and "ELBO" not in out.replace("no ELBO", "")
    record = Record.load(file)
    assert list(record.numbers) == ["reconstruction"] and record.protocol.k is None
    assert record.protocol.measure == "reconstruction of an autoencoder, grey cross-entropy"
    assert list(metrics(runs("plain"))["record"]["numbers"]) == ["reconstruction"]


def test_one_row_has_no_standard_error(runs, tmp_path, capsys):
    file = str(tmp_path / "r.json")
    assert main(["evaluate", "--model", runs("black"), "--limit", "1", "--samples", "1", "--record", file]) == 0
    out = capsys.readouterr().out
    assert "+- unknown" in out and "nan" not in out and "active units: not told by a single row" in out
    assert "NaN" not in pathlib.Path(file).read_text() and Record.load(file).numbers["ELBO"].standard_error is None


# ---- bad input -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path):
    """A model that was never trained, and a place to save it."""
    model = VAE.dense(64, (4,), 2, rng=np.random.default_rng(0))
    return types.SimpleNamespace(model=model, path=tmp_path / "bare.npz", flags=["--data", "digits", "--binarize", "threshold"])


def test_a_model_without_a_single_training_step_is_told(bare, runs, capsys):
    save_checkpoint(bare.path, bare.model, Adam())
    said = fails(capsys, "evaluate", "--model", str(bare.path), *bare.flags)
    assert "has not made a single training step" in said and "npvae train" in said
    manifest, arrays = read_archive(f"{runs('black')}/model.npz")
    manifest["training"] |= {"epoch": 1, "step": 0}
    manifest["history"] = []
    write_archive(bare.path, {n: manifest[n] for n in ("model", "optimizer", "training", "history")}, arrays)
    assert "has not made a single training step" in fails(capsys, "evaluate", "--model", str(bare.path), *bare.flags)


def test_of_a_file_without_its_training_it_is_said_that_it_does_not_tell(bare, capsys):
    save_checkpoint(bare.path, bare.model)
    assert main(["evaluate", "--model", str(bare.path), *bare.flags, "--samples", "1"]) == 0
    out = capsys.readouterr().out
    assert "its file does not say how long it was trained" in out and "worse than the model that ignores z" in out


def test_a_nan_among_the_parameters_is_told(bare, capsys):
    arrays = {name: value.copy() for name, value, _ in bare.model.params}
    arrays["decoder.0.W"][0, 1] = np.nan
    write_archive(bare.path, {"model": bare.model.config(), "optimizer": None, "training": None, "history": None}, arrays)
    said = fails(capsys, "evaluate", "--model", str(bare.path), *bare.flags)
    assert "decoder.0.W holds NaN or infinity: the model is broken; use an earlier copy" in said


def test_data_of_another_scaling_are_told_by_every_verb(runs, tmp_path, capsys):
    x = DIGITS.floats("test")
    for name, factor in (("large", 16), ("small", 0.2), ("four", 4), ("near", 3), ("negative", -1)):
        np.save(tmp_path / f"{name}.npy", factor * x)
    given = ["--model", runs("gauss"), "--data"]
    for name, low_high in (("large", "0 to 16"), ("small", "0 to 0.2"), ("four", "0 to 4")):
        for verb in ("evaluate", "reconstruct", "trace"):
            said = fails(capsys, verb, *given, str(tmp_path / f"{name}.npy"))
            assert f"{name} goes from {low_high}, but this model was trained on values from 0 to 1; bring" in said
    flags = ["--samples", "1", "--record", str(tmp_path / "r.json"), "--quiet"]
    for name in ("near", "negative"):
        assert main(["evaluate", *given, str(tmp_path / f"{name}.npy"), *flags]) == 0


def test_the_scaling_is_that_of_the_rows_as_the_model_saw_them(runs):
    for name in ("black", "gauss"):
        assert load_checkpoint(f"{runs(name)}/model.npz").training["range"] == [0.0, 1.0]
    by = load_checkpoint(f"{runs('standard')}/model.npz")
    u = by.standardization.apply(DIGITS.floats("train"))
    assert by.training["range"] == pytest.approx([u.min(), u.max()], rel=1e-6)


def test_a_folder_of_an_older_version_still_evaluates_and_resumes(runs, tmp_path, capsys):
    run = shutil.copytree(runs("black"), tmp_path / "old")
    manifest, arrays = read_archive(run / "model.npz")
    del manifest["training"]["range"]
    write_archive(run / "model.npz", {n: manifest[n] for n in ("model", "optimizer", "training", "history")}, arrays)
    plain = json.loads((run / "run.json").read_text())
    for name in ("objective", "samples"):
        del plain["settings"][name]
    (run / "run.json").write_text(json.dumps(plain))
    (run / "metrics.json").write_text("{}")
    assert "no record of npvae" in fails(capsys, "compare", str(run), str(run))
    assert main(["evaluate", "--model", str(run), "--samples", "1", "--quiet"]) == 0
    assert main(["train", "--resume", str(run), "--epochs", "4", "--quiet"]) == 0


def test_a_split_that_is_not_there_and_no_samples_are_told(runs, capsys):
    said = fails(capsys, "evaluate", "--model", runs("black"), "--split", "valid")
    assert "digits has no valid split, but train, test; choose with --split" in said
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--model", runs("black"), "--samples", "0"])
    assert stop.value.code == 2 and "argument --samples: expected a whole number of at least 1, got '0'" in capsys.readouterr().err


def test_other_pixels_than_the_models_own_are_noted(runs, tmp_path, capsys):
    given = ["--samples", "1", "--limit", "9", "--record", str(tmp_path / "r.json")]
    assert main(["evaluate", "--model", runs("grey"), "--binarize", "threshold", *given]) == 0
    out = capsys.readouterr().out
    assert "it was trained on grey pixels (--binarize none), and these are others (--binarize threshold)." in out
    assert main(["evaluate", "--model", runs("black"), *given]) == 0
    assert "it was trained" not in capsys.readouterr().out


def test_progress_is_on_a_terminal_alone_and_never_under_quiet_or_json(runs, tmp_path, monkeypatch):
    asked = []

    def spy(*arguments, progress, **given):
        asked.append(progress)
        return importance_sampling(*arguments, **given)

    monkeypatch.setattr("npvae.cli.evaluate.importance_sampling", spy)
    given = ["evaluate", "--model", runs("black"), "--samples", "1", "--limit", "3", "--record", str(tmp_path / "r.json")]
    for flags in ([], ["--quiet"], ["--json"]):
        assert main([*given, *flags]) == 0
    assert asked == [None, False, False]
