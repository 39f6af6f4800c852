"""What `npvae train` says and records of its validation rows, and its importance-weighted objectives."""

import pytest
from small_runs import SHORT, metrics, trainer
from test_cli import fails

from npvae import load_digits
from npvae.beyond import objectives
from npvae.cli import build_parser, main, running
from npvae.cli.train import _folder_and_settings
from npvae.training import load_checkpoint

DIGITS = load_digits()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return trainer(tmp_path_factory.mktemp("runs"))


# ---- the record ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["black", "best", "grey", "drawn", "gauss"])
def test_train_records_the_very_numbers_of_its_validation_rows(name, runs):
    """The pixels and the noise of the epoch, drawn again: the best epoch's, where the best parameters are kept."""
    content = metrics(runs(name))
    record, history = content["record"], load_checkpoint(f"{runs(name)}/model.npz").history
    numbers, epoch = record["numbers"], history.best() if name == "best" else history.records[-1]
    assert record["origin"]["epoch"] == epoch["epoch"] and (epoch is history.records[-1]) == (name != "best")
    grey = "grey cross-entropy"
    total = numbers[f"{grey} + KL"]["mean"] if name == "grey" else -numbers["ELBO"]["mean"]
    reconstruction = numbers[grey if name == "grey" else "reconstruction"]["mean"]
    assert total == pytest.approx(-epoch["valid_elbo"], rel=1e-5) and numbers["KL"]["mean"] == pytest.approx(
        epoch["valid_kl"], rel=1e-5
    )
    assert reconstruction == pytest.approx(epoch["valid_reconstruction"], rel=1e-5)
    loss = numbers["loss"]["mean"] if name != "grey" else total  # which is the same number, and stands there once
    assert loss == pytest.approx(epoch["valid_loss"], rel=1e-5) and ("loss" in numbers) == (name != "grey")
    betas = {"black": 4, "gauss": 2 * 22 / 23}  # at the last of 23 steps of a warm-up
    assert record["protocol"]["loss"] == (None if name == "grey" else f"reconstruction + {betas.get(name, 1):g} KL")
    assert record["protocol"]["rows"] == 360 and (record["protocol"]["rows_seed"] is None) == (name != "drawn")
    if name == "drawn":  # the root of the run's streams, which draw the pixels: not the seed that was given
        checkpoint = load_checkpoint(f"{runs(name)}/model.npz").training
        assert record["protocol"]["rows_seed"] == checkpoint["root"] != record["origin"]["seed"]
    assert record["limits"]["ceiling"] is not None and (record["limits"]["linear"] is not None) == (name == "gauss")


def test_a_grey_loss_is_a_number_of_its_own_where_beta_is_not_one(tmp_path, undrawn):
    assert main(["train", "--out", str(tmp_path / "run"), *SHORT, "--beta", "4", "--quiet"]) == 0
    record = metrics(tmp_path / "run")["record"]
    means = {name: number["mean"] for name, number in record["numbers"].items()}
    assert means["loss"] == pytest.approx(means["grey cross-entropy"] + 4 * means["KL"], rel=1e-6)
    assert record["protocol"]["loss"] == "reconstruction + 4 KL"


def test_a_run_of_an_objective_records_its_elbo_and_no_loss(runs):
    content = metrics(runs("weighted"))
    numbers, last = content["record"]["numbers"], content["last"]
    assert list(numbers) == ["ELBO", "reconstruction", "KL"] and content["record"]["protocol"]["loss"] is None
    assert numbers["reconstruction"]["mean"] == pytest.approx(last["valid_reconstruction"], rel=1e-5)
    assert numbers["KL"]["mean"] == pytest.approx(last["valid_kl"], rel=0.2)  # there a sample of it, here the KL itself
    assert content["record"]["limits"]["floor"] == pytest.approx(13.304, abs=1e-3)


def test_train_says_where_the_loss_lies(tmp_path, undrawn, capsys):
    assert main(["train", "--out", str(tmp_path / "said"), *SHORT]) == 0
    out = capsys.readouterr().out
    assert "of the 360 test rows, after epoch 1, is" in out and "  floor " in out and "26.8304   the model that ignores z" in out
    assert "worse than the model that ignores z: not trained, or not enough" in out
    assert "nats of the data" not in out
    assert main(["train", "--out", str(tmp_path / "standard"), *SHORT, "--standardize", "--likelihood", "gaussian"]) == 0
    assert "of the 360 test rows, after epoch 1, in nats of the data as they are, is" in capsys.readouterr().out
    assert main(["train", "--out", str(tmp_path / "unsaid"), *SHORT, "--validation", "none"]) == 0
    assert "floor" not in capsys.readouterr().out and metrics(tmp_path / "unsaid")["record"] is None
    assert "the run measured no validation rows" in fails(capsys, "compare", str(tmp_path / "unsaid"), str(tmp_path / "said"))


# ---- the importance-weighted objective -------------------------------------------------------------------------------------------


def settings(*flags):
    return _folder_and_settings(build_parser().parse_args(["train", "--out", "nowhere", *flags]))[2]


def test_the_flags_of_the_importance_weighted_objective():
    chosen = settings("--objective", "importance-weighted", "--samples", "7")
    running.build(chosen)
    given = running.fit_arguments(chosen, DIGITS)
    assert given["objective"] is objectives.importance_weighted and given["samples"] == 7 and given["beta"] == 1.0
    chosen = settings("--objective", "doubly-reparameterized")
    running.build(chosen)
    assert chosen["samples"] == 5 and running.fit_arguments(chosen, DIGITS)["objective"] is objectives.doubly_reparameterized
    chosen = settings()
    running.build(chosen)
    assert chosen["samples"] is None and running.fit_arguments(chosen, DIGITS)["samples"] is None


def test_such_a_run_is_described_resumed_and_evaluated(tmp_path, undrawn, capsys):
    run = str(tmp_path / "iwae")
    assert main(["train", "--out", run, *SHORT, "--objective", "importance-weighted", "--samples", "3"]) == 0
    out, last = capsys.readouterr().out, metrics(run)["last"]
    assert f"train loss {last['loss']:.4f} = -grey L_3; over its draws, grey cross-entropy {last['reconstruction']:.4f} + KL" in out
    assert "beta" not in last and last["loss"] < last["reconstruction"] + last["kl"]
    assert main(["train", "--resume", run, "--epochs", "2", "--quiet"]) == 0
    assert metrics(run)["last"]["epoch"] == 2 and metrics(run)["settings"]["samples"] == 3
    assert "--samples 4 (the run has 3)" in fails(capsys, "train", "--resume", run, "--samples", "4")
    assert main(["evaluate", "--model", run, "--binarize", "threshold", "--samples", "2", "--quiet"]) == 0


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--samples", "3"], "--samples is the K of L_K, so it needs --objective importance-weighted or doubly-reparameterized"),
        (["--objective", "importance-weighted", "--beta", "2"], "the KL has no weight of its own; leave --beta 2 out"),
        (["--objective", "importance-weighted", "--capacity", "2"], "--objective and --capacity exclude each other"),
        (["--objective", "importance-weighted", "--free-bits", "2"], "--objective and --free-bits exclude each other"),
        (["--objective", "importance-weighted", "--beta-warmup", "2"], "--objective and --beta-warmup exclude each other"),
        (["--objective", "importance-weighted", "--kind", "autoencoder"], "--kind autoencoder has none"),
    ],
)
def test_senseless_combinations_are_told(flags, said, tmp_path, capsys):
    assert said in fails(capsys, "train", *flags, "--out", str(tmp_path / "run"))
