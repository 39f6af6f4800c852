"""Which record of a folder `npvae compare` takes: that of the model that lies there now, and of the protocol of the other."""

import dataclasses
import json
import shlex

import numpy as np
import pytest
from small_runs import printed
from test_cli import fails
from test_record import PROTOCOL, record

from npvae import VAE
from npvae.cli import build_parser, main
from npvae.cli.records import METRICS, find, pair, record_name
from npvae.evaluation import Record
from npvae.evaluation.record import model_origin
from npvae.training import load_checkpoint, save_checkpoint


class Run:
    """A folder as npvae train and npvae evaluate leave it, with records made by hand."""

    def __init__(self, folder, seed):
        self.folder = folder
        folder.mkdir()
        self.train(seed)

    def train(self, seed):
        """Another model takes the place of the one before."""
        save_checkpoint(self.folder / "model.npz", VAE.dense(3, (), 1, rng=np.random.default_rng(seed)))

    def origin(self, **more):
        model = model_origin(load_checkpoint(self.folder / "model.npz").model)
        return {"model": model, "checkpoint": f"elsewhere/{self.folder.name}/model.npz", **more}

    def evaluate(self, name=None, **protocol):
        """The file of a new record of the model that is there now."""
        one = dataclasses.replace(record(**protocol), origin=self.origin())
        path = self.folder / (name or record_name(one.protocol, one.origin["model"]["sha256"]))
        one.save(path)
        return path

    def __str__(self):
        return str(self.folder)


@pytest.fixture
def a(tmp_path):
    return Run(tmp_path / "a", 0)


@pytest.fixture
def b(tmp_path):
    return Run(tmp_path / "b", 7)


def taken(a, b):
    """The files that stand for a and b."""
    return tuple(found.path for found in pair(str(a), str(b)))


def test_a_file_is_named_by_protocol_and_model(a):
    old = a.evaluate()
    assert old.name == f"evaluation-test-threshold-L100-{PROTOCOL.key()}-{a.origin()['model']['sha256'][:8]}.json"
    a.train(1)
    assert a.evaluate() != old and a.evaluate(k=None).name.startswith(f"evaluation-test-threshold-{record(k=None).protocol.key()}-")
    assert old.exists()


def test_the_record_of_the_model_that_lies_there_now_is_taken(a, b):
    old, other = a.evaluate(), b.evaluate()
    assert taken(a, b) == (old, other)
    a.train(1)
    new = a.evaluate()
    assert taken(a, b) == (new, other)


def test_an_older_record_is_compared_with_a_note(a, b, capsys):
    old = a.evaluate()
    b.evaluate()
    assert printed(capsys, "compare", str(a), str(b))["notes"] == []
    before = a.origin()["model"]["sha256"][:8]
    a.train(1)
    (note,) = printed(capsys, "compare", str(a), str(b))["notes"]
    changed = f"{a.folder / 'model.npz'} has changed since: it is {a.origin()['model']['sha256'][:8]}. Evaluate it anew."
    assert note == f"Note: A is of model {before}, and {changed}"
    (note,) = printed(capsys, "compare", str(b), str(old))["notes"]  # a file that is named is compared, too
    assert note.startswith(f"Note: B is of model {before}")
    assert main(["compare", str(a), str(b)]) == 0 and note.replace("B is", "A is") in capsys.readouterr().out


def test_of_several_records_the_pair_of_one_protocol_is_taken(a, b):
    a.evaluate(k=5)
    first, second = a.evaluate(k=100), b.evaluate(k=100)
    b.evaluate(k=1000, binarization="none", rows_sha256="b" * 64)
    assert taken(a, b) == taken(a, second) == (first, second)
    assert taken(b, first) == (second, first)


def test_only_what_stays_ambiguous_is_refused_with_the_files_to_choose_from(a, b, capsys):
    files = [run.evaluate(k=k) for k in (100, 5) for run in (a, b)]
    said = fails(capsys, "compare", str(a), str(b))
    assert f"{a} and {b} hold 2 pairs of records that compare; name the two that you mean: " in said
    choices = {f"{files[0]} {files[1]}", f"{files[2]} {files[3]}"}
    assert set(said.strip().partition("that you mean: ")[2].split(" or ")) == choices
    assert main(["compare", str(files[0]), str(b), "--quiet"]) == 0


def test_records_of_another_k_alone_compare_without_their_bounds(a, b, capsys):
    a.evaluate(k=5)
    b.evaluate(k=100)
    assert [d["name"] for d in printed(capsys, "compare", str(a), str(b))["differences"]] == ["ELBO"]


def test_where_no_two_compare_the_nearest_are_told(a, b, capsys):
    near = a.evaluate(split="train", rows_sha256="b" * 64)
    far = a.evaluate(measure="grey cross-entropy", binarization="none", rows_sha256="c" * 64)
    other = b.evaluate()
    said = fails(capsys, "compare", str(a), str(b))
    what = f"no record of {a} compares with one of {b}; the nearest are {near} and {other}, with split train against test. "
    assert what + f"Evaluate one of them anew, as the other was: npvae evaluate --model {b} --split train" in said
    assert str(far) not in said


def test_the_command_that_is_advised_measures_as_the_other_was_measured(a, b, capsys):
    a.evaluate(binarization="static", rows_seed=3, rows_sha256="b" * 64, rows=2, keep=False, k=50)
    b.evaluate()
    command = f"npvae evaluate --model {b} --split test --binarize static --samples 50 --seed 3 --limit 2"
    assert fails(capsys, "compare", str(a), str(b)).endswith(f": {command}\n")
    build_parser().parse_args(shlex.split(command)[1:])
    command = f"npvae evaluate --model {a} --split test --binarize threshold --samples 100"
    assert fails(capsys, "compare", str(b), str(a)).endswith(f": {command}\n")
    (a.folder / "model.npz").unlink()
    assert fails(capsys, "compare", str(b), str(a)).endswith("Evaluate one of them anew, as the other was.\n")


def test_no_command_is_advised_that_would_not_help(a, b, capsys):
    a.evaluate()
    b.evaluate(measure="log-density")
    assert fails(capsys, "compare", str(a), str(b)).endswith("no other evaluation of the two models changes that.\n")


def test_of_a_model_in_a_file_of_another_name_that_file_is_named(a, b, capsys):
    a.evaluate()
    one = record(split="train", rows_sha256="b" * 64)
    dataclasses.replace(one, origin=b.origin() | {"checkpoint": "b/second.npz"}).save(b.folder / "r.json")
    (b.folder / "model.npz").rename(b.folder / "second.npz")
    assert f"npvae evaluate --model {b.folder / 'second.npz'} --split test" in fails(
        capsys, "compare", str(a), str(b.folder / "r.json")
    )


def test_one_result_beside_itself_is_noted_and_of_a_folder_two_are_taken(a, b, tmp_path, capsys):
    first = a.evaluate(k=100)
    for given in ((a, a), (a, first), (first, first)):
        assert printed(capsys, "compare", *map(str, given))["notes"] == ["Note: A and B are one and the same record."]
    second = a.evaluate(k=5)
    assert set(taken(a, a)) == {first, second}
    assert printed(capsys, "compare", str(a), str(a))["notes"] == ["Note: A and B are of the same model."]
    first.unlink()
    a.evaluate(split="train", rows_sha256="b" * 64)
    said = fails(capsys, "compare", str(a), str(a))
    assert f"no two records of {a} compare; the nearest are " in said and said.endswith(". Name another run beside it.\n")
    for name in ("x", "y"):
        record().save(tmp_path / name)  # of models unknown
    assert printed(capsys, "compare", str(tmp_path / "x"), str(tmp_path / "y"))["notes"] == []


def test_names_of_older_versions_are_found_and_give_way_to_the_new_ones(a, b):
    old, other = a.evaluate(name=f"evaluation-test-threshold-L100-{PROTOCOL.key()}.json"), b.evaluate()
    assert taken(a, b) == (old, other)
    new = a.evaluate()
    assert old.exists() and taken(a, b) == (new, other)


def test_records_stand_without_their_model(a, b, capsys):
    files = a.evaluate(), b.evaluate()
    (a.folder / "model.npz").unlink()
    (b.folder / "model.npz").write_bytes(b"damaged")
    assert taken(a, b) == files and printed(capsys, "compare", str(a), str(b))["notes"] == []
    Record.from_plain(record().to_plain() | {"origin": {"model": 3}}).save(files[0])
    assert find(files[0])[0].sha256 == "unknown" and main(["compare", str(a), str(b), "--quiet"]) == 0


def test_a_next_step_is_told_only_where_it_can_be_done(a, b, tmp_path, capsys):
    file, there = tmp_path / "r.json", b.evaluate()
    record().save(file)
    assert main(["compare", str(there), str(file)]) == 0 and "Next:" not in capsys.readouterr().out
    assert main(["compare", str(file), str(there)]) == 0
    assert capsys.readouterr().out.endswith(f"Next: npvae sample --model {b}\n")


def test_the_better_direction_stands_beside_each_number(a, tmp_path, capsys):
    higher, lower = (
        ("ELBO", "L_100", "grey L_100"),
        ("reconstruction", "nll", "loss", "grey cross-entropy", "grey cross-entropy + KL"),
    )
    path = tmp_path / "r.json"
    record({name: [1.0, 2.0, 3.0, 4.0] for name in (*higher, *lower, "KL", "mine")}).save(path)
    found = {d["name"]: d["better"] for d in printed(capsys, "compare", str(path), str(path))["differences"]}
    assert found == {**dict.fromkeys(higher, "higher"), **dict.fromkeys(lower, "lower"), "KL": None, "mine": None}
    assert main(["compare", str(path), str(path)]) == 0
    lines = {line.split("  ")[1]: line for line in capsys.readouterr().out.splitlines() if "+- 0.0000" in line}
    assert lines["ELBO"].endswith("+- 0.0000   higher is better") and lines["nll"].endswith("   lower is better")
    assert lines["KL"].endswith("+- 0.0000")


def test_of_training_it_is_said_what_to_evaluate(a, b, tmp_path, capsys):
    a.evaluate(binarization="static", rows_seed=0)
    trained = record(binarization="static", rows_seed=6609599751387875367, rows_sha256="b" * 64, k=None)
    trained = dataclasses.replace(trained, origin=b.origin(epoch=20))
    (b.folder / METRICS).write_text(json.dumps({"record": trained.to_plain()}))
    said = fails(capsys, "compare", str(a), str(b))
    what = f"{b.folder / METRICS} holds what training measured, on pixels that it drew with a seed of its own; what compares is "
    assert what + f"measured by: npvae evaluate --model {b} --split test --binarize static --samples 100 --seed 0\n" in said
    assert "Evaluate one of them anew" not in said
    c = Run(tmp_path / "c", 3)
    grey = dataclasses.replace(trained.protocol, measure="grey cross-entropy", binarization="none", rows_sha256="c" * 64)
    other = dataclasses.replace(trained, origin=c.origin(epoch=1), protocol=grey)
    (c.folder / METRICS).write_text(json.dumps({"record": other.to_plain()}))
    said = fails(capsys, "compare", str(c), str(b))
    assert f"{c.folder / METRICS} and {b.folder / METRICS} hold what training measured" in said
    assert f"flags by: npvae evaluate --model {c} --binarize static and npvae evaluate --model {b} --binarize static\n" in said
