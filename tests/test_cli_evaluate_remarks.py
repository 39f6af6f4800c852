"""What `npvae evaluate` never writes over, what it refuses or remarks, and that the next step that it names can be done."""

import shutil
import types

import numpy as np
import pytest
from small_runs import trainer
from test_cli import fails

from npvae import VAE, load_digits
from npvae.cli import evaluate, main
from npvae.evaluation import Record
from npvae.training import save_checkpoint

DIGITS = load_digits()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return trainer(tmp_path_factory.mktemp("runs"))


def test_a_record_replaces_no_file_that_is_none(runs, tmp_path, capsys):
    run = shutil.copytree(runs("black"), tmp_path / "run")
    for name in ("model.npz", "run.json", "metrics.json", "history.csv"):
        before = (run / name).read_bytes()
        said = fails(capsys, "evaluate", "--model", str(run), "--samples", "1", "--limit", "9", "--record", str(run / name))
        assert f"{name} is there already and is no record, so it is not replaced; choose another place with --record FILE" in said
        assert (run / name).read_bytes() == before
    given = ["evaluate", "--model", str(run), "--samples", "1", "--limit", "9", "--record", str(tmp_path / "r.json"), "--quiet"]
    assert main(given) == main(given) == 0  # a record is replaced by the next


def test_a_run_json_without_settings_is_told(runs, tmp_path, capsys):
    run = shutil.copytree(runs("black"), tmp_path / "run")
    for content in ('{"format": "npvae record"}', "[]", "no JSON", '{"settings": 3}'):
        (run / "run.json").write_text(content)
        for verb in (["evaluate", "--model"], ["train", "--resume"]):
            assert "run.json: this is no run.json of npvae train, it has no settings" in fails(capsys, *verb, str(run))


def test_two_models_of_one_folder_have_two_records(runs, tmp_path):
    run = shutil.copytree(runs("black"), tmp_path / "run")
    shutil.copy(f"{runs('other')}/model.npz", run / "second.npz")
    for model in (run, run / "second.npz"):
        assert main(["evaluate", "--model", str(model), "--samples", "1", "--limit", "9", "--quiet"]) == 0
    assert len({Record.load(file).origin["model"]["sha256"] for file in run.glob("evaluation-*.json")}) == 2


@pytest.mark.parametrize("binarize", [[], ["--binarize", "threshold"], ["--binarize", "static"], ["--binarize", "none"]])
def test_a_nan_in_the_data_is_told_however_pixels_are_made(binarize, runs, tmp_path, capsys):
    x = DIGITS.floats("test")
    x[3, 5] = np.nan
    np.save(tmp_path / "x.npy", x)
    said = fails(capsys, "evaluate", "--model", runs("grey"), "--data", str(tmp_path / "x.npy"), *binarize)
    assert "x.npy: train is nan at [3, 5] (1 of 23040 values are not finite); remove or repair such rows" in said


def test_the_next_step_is_one_that_can_be_done(runs, tmp_path, capsys):
    bare = tmp_path / "bare.npz"
    save_checkpoint(bare, VAE.dense(64, (4,), 2, rng=np.random.default_rng(0)))
    run, few = shutil.copytree(runs("black"), tmp_path / "a run"), ["--samples", "1", "--limit", "9"]
    assert main(["evaluate", "--model", str(bare), "--data", "digits", "--binarize", "threshold", *few]) == 0
    (record,) = tmp_path.glob("evaluation-*.json")
    assert f"npvae compare {record} ANOTHER-RUN" in capsys.readouterr().out
    assert main(["evaluate", "--model", str(run), *few]) == 0
    assert f"Next: npvae sample --model '{run}', or npvae compare '{run}' ANOTHER-RUN" in capsys.readouterr().out
    assert main(["evaluate", "--model", str(run), *few, "--record", str(tmp_path / "r.json")]) == 0
    assert f"npvae compare {tmp_path / 'r.json'} ANOTHER-RUN" in capsys.readouterr().out


def test_integers_that_were_divided_are_told(runs, tmp_path, capsys):
    np.save(tmp_path / "integers.npy", DIGITS.test)
    said = fails(capsys, "evaluate", "--model", runs("grey"), "--data", str(tmp_path / "integers.npy"))
    assert "goes from 0 to 0.06275, its integers divided by 255 (an .npz can say another `scale`), but this model" in said


def test_what_a_few_draws_and_a_few_rows_say_is_remarked(runs, tmp_path, capsys):
    given = ["--model", runs("black"), "--record", str(tmp_path / "r.json")]
    assert main(["evaluate", *given, "--limit", "1", "--samples", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 test row of digits") and "1 importance sample a row" in out
    assert "these are few" not in out  # it is all there is
    assert main(["evaluate", *given, "--samples", "50"]) == 0
    assert "these are few" not in capsys.readouterr().out


@pytest.mark.parametrize("K, enough", [(2, 1.0), (10, 5.0), (20, 10.0), (100, 10.0), (1000, 10.0), (5000, 50.0)])
def test_effective_samples_are_few_below_ten_half_of_the_first_ones_and_a_hundredth(K, enough):
    numbers = {"ELBO": types.SimpleNamespace(mean=-20.0), f"L_{K}": types.SimpleNamespace(mean=-19.0)}
    record = types.SimpleNamespace(numbers=numbers, protocol=types.SimpleNamespace(k=K))
    assert evaluate._remarks(record, f"L_{K}", enough) == []
    (line,) = evaluate._remarks(record, f"L_{K}", 0.99 * enough)
    assert f"these are few of {K:,} sample" in line and f"L_{K} may lie well below log p(x); try more --samples" in line


@pytest.mark.parametrize("elbo, effective, said", [(-18.0, 49.0, 2), (-20.0, 49.0, 1), (-18.0, 51.0, 1), (-20.0, 51.0, 0)])
def test_an_elbo_above_l_k_and_less_than_a_hundredth_of_effective_samples_are_remarked(elbo, effective, said):
    numbers = {"ELBO": types.SimpleNamespace(mean=elbo), "L_5000": types.SimpleNamespace(mean=-19.0)}
    record = types.SimpleNamespace(numbers=numbers, protocol=types.SimpleNamespace(k=5000))
    lines = evaluate._remarks(record, "L_5000", effective)
    assert len(lines) == said and any("few of 5,000 samples" in line for line in lines) == (effective < 50)
    assert any("the ELBO is above L_5000 by chance: it is one draw of z a row" in line for line in lines) == (elbo > -19)


def test_black_and_white_data_are_the_same_pixels_however_they_are_made(runs, tmp_path, capsys):
    black, file = np.where(DIGITS.test >= 8, np.uint8(255), np.uint8(0)), tmp_path / "black.npz"
    np.savez(file, train=black, test=black)
    given = ["--model", runs("grey"), "--data", str(file), "--samples", "1"]
    assert main(["evaluate", *given, "--binarize", "threshold", "--record", str(tmp_path / "r.json")]) == 0
    assert "it was trained" not in capsys.readouterr().out


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interruption_is_said_in_words_and_leaves_no_record(workers, runs, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("npvae.evaluation.bounds._decoded", interrupted)
    given = ["--model", runs("black"), "--samples", "9", "--workers", workers, "--record", str(tmp_path / "r.json")]
    assert main(["evaluate", *given]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "npvae evaluate: interrupted before it was done."
    assert not list(tmp_path.iterdir())
