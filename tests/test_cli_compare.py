"""`npvae compare`: the differences of two records, what stands for a record, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from small_runs import printed, trainer
from test_cli import fails

from npvae.cli import main
from npvae.evaluation import Record
from npvae.evaluation.record_file import rows_file


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return trainer(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def two(runs, tmp_path):
    """The records of two runs on the same rows."""
    files = [tmp_path / f"{name}.json" for name in ("black", "other")]
    for name, file in zip(("black", "other"), files):
        assert main(["evaluate", "--model", runs(name), "--samples", "3", "--record", str(file), "--quiet"]) == 0
    return files


def test_compare_prints_the_differences_row_by_row(two, capsys):
    a, b = (Record.load(file) for file in two)
    result = printed(capsys, "compare", *map(str, two))
    found = {d["name"]: d for d in result["differences"]}
    assert result["paired"] and list(found) == ["ELBO", "reconstruction", "KL", "L_3", "nll"]
    d = b.values["L_3"] - a.values["L_3"]
    assert found["L_3"]["difference"] == pytest.approx(d.mean(), rel=1e-12) == -found["nll"]["difference"]
    assert found["L_3"]["standard_error"] == pytest.approx(d.std(ddof=1) / 360**0.5, rel=1e-12)
    assert main(["compare", *map(str, two)]) == 0
    out = capsys.readouterr().out
    assert f"{d.mean():+.4f}  +- {d.std(ddof=1) / 360**0.5:.4f}" in out and "row by row" in out and f"A: {two[0]}, VAE" in out


def test_compare_without_the_rows_says_that_its_errors_are_too_large(two, capsys):
    assert printed(capsys, "compare", *map(str, two))["left_out"] == {}
    rows_file(two[1]).unlink()
    result = printed(capsys, "compare", *map(str, two))
    a, b = (Record.load(file).numbers["ELBO"].standard_error for file in two)
    assert not result["paired"] and result["differences"][0]["standard_error"] == pytest.approx(np.hypot(a, b))
    assert main(["compare", *map(str, two)]) == 0
    out = capsys.readouterr().out
    assert "too large" in out and "(.rows.npz); B has none." in out and "Left out" not in out


def test_a_folder_stands_for_its_one_record_or_for_its_training(runs, two, tmp_path, capsys):
    trained = printed(capsys, "compare", runs("other"), runs("other"))
    assert trained["a"].endswith("metrics.json") and all(d["difference"] == 0 for d in trained["differences"])
    run = shutil.copytree(runs("other"), tmp_path / "run")
    assert main(["evaluate", "--model", str(run), "--samples", "3", "--quiet"]) == 0
    assert printed(capsys, "compare", str(run), str(two[1]))["differences"][3]["difference"] == 0
    assert main(["evaluate", "--model", str(run), "--samples", "4", "--quiet"]) == 0
    result = printed(capsys, "compare", str(run), str(two[1]))
    assert "-L3-" in result["a"] and [d["difference"] for d in result["differences"]] == [0] * 5


def test_other_protocols_are_refused(runs, two, tmp_path, capsys):
    grey = ["--binarize", "none", "--samples", "3", "--record", str(tmp_path / "grey.json"), "--quiet"]
    assert main(["evaluate", "--model", runs("black"), *grey]) == 0
    said = fails(capsys, "compare", str(two[0]), str(tmp_path / "grey.json"))
    assert "measure log-probability against grey cross-entropy; binarization threshold against none. Evaluate one of them" in said


def test_two_runs_of_another_beta_compare_in_all_but_their_loss(runs, capsys):
    """What training measured, on the same rows: ELBO and its terms are the same quantities whatever beta is."""
    result = printed(capsys, "compare", runs("black"), runs("other"))
    assert [d["name"] for d in result["differences"]] == ["ELBO", "reconstruction", "KL"]
    assert result["left_out"] == {"loss": "reconstruction + 4 KL against reconstruction + 1 KL"}
    assert main(["compare", runs("black"), runs("other")]) == 0
    out = capsys.readouterr().out
    assert "  Left out: loss (reconstruction + 4 KL against reconstruction + 1 KL)\n" in out
    assert "(.rows.npz); A and B have none.\n" in out and "Note" not in out


def test_an_evaluated_and_a_trained_run_compare_in_what_they_have_in_common(runs, two, capsys):
    result = printed(capsys, "compare", str(two[0]), runs("other"))
    assert [d["name"] for d in result["differences"]] == ["ELBO", "reconstruction", "KL"] and not result["paired"]
    assert result["left_out"] == {"L_3": "only in A", "nll": "only in A", "loss": "only in B"}
    assert main(["compare", str(two[0]), runs("other")]) == 0
    out = capsys.readouterr().out
    assert "Left out: L_3, nll (only in A); loss (only in B)" in out and "(.rows.npz); B has none." in out


def test_what_is_no_record_is_told(runs, two, tmp_path, capsys):
    def told(path):
        return fails(capsys, "compare", str(two[0]), str(path))

    assert "there is no such file or folder" in told(tmp_path / "nowhere")
    assert "there is no record in this folder; npvae evaluate --model" in told(folder_of(tmp_path / "empty"))
    assert "no record, not even JSON" in told(runs("black") + "/model.npz")
    assert "no record of npvae" in told(runs("black") + "/run.json")
    (tmp_path / "list.json").write_text("[]")
    assert "list.json: this is no record of npvae" in told(tmp_path / "list.json")
    content = json.loads(two[1].read_text())
    del content["protocol"]["measure"]
    two[1].write_text(json.dumps(content))
    assert "the record is damaged: " in told(two[1])


def folder_of(path):
    path.mkdir()
    return path


def test_the_rows_of_another_evaluation_are_not_paired_with_this_one(two, capsys):
    rows_file(two[0]).write_bytes(rows_file(two[1]).read_bytes())
    assert "holds the values of another evaluation" in fails(capsys, "compare", *map(str, two))


def test_a_record_is_written_whole_or_not_at_all_and_its_place_is_looked_at_first(runs, tmp_path, monkeypatch, capsys):
    given = ["evaluate", "--model", runs("black"), "--samples", "1", "--record"]
    monkeypatch.setattr("npvae.cli.evaluate.importance_sampling", None)  # nothing is measured before
    assert "choose another place with --record FILE" in fails(capsys, *given, str(tmp_path / "no" / "r.json"))
    assert "is a folder, and a record is a file" in fails(capsys, *given, str(tmp_path))
    assert not list(tmp_path.iterdir())
