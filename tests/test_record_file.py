"""Records in files: saved and loaded with the values of their rows, and what is never written over."""

import dataclasses
import json
import re

import numpy as np
import pytest
from test_record import PROTOCOL, record

from npvae import VAE, Bernoulli
from npvae.evaluation import Protocol, Record, compare, elbo
from npvae.evaluation.protocol import measure, rows_sha256
from npvae.evaluation.record import number
from npvae.evaluation.record_file import check_place, rows_file


def test_the_lines_of_the_docstring_save_load_and_compare(rng, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vae, x = VAE.dense(5, (), 1, rng=rng), (rng.random((6, 5)) < 0.5).astype(np.float32)
    lines = re.findall(r"^        (\S.*)$", Record.__doc__.split("numbers    ")[0], re.M)
    assert len(lines) == 4
    names = {"vae": vae, "x": x, "rng": rng, "elbo": elbo, "measure": measure, "rows_sha256": rows_sha256, "number": number}
    exec("\n".join(lines[:3]), names | {"Record": Record, "Protocol": Protocol})
    (tmp_path / "npvae-run").mkdir()
    (tmp_path / "npvae-run" / "metrics.json").write_text(json.dumps({"record": Record.load("mine.json").to_plain()}))
    (found,), _ = eval(lines[3], {"compare": compare, "Record": Record})
    assert found.difference == 0 and not found.paired  # a metrics.json has no values of rows


def test_a_record_keeps_its_rows_in_a_file_and_is_paired_with_itself(tmp_path):
    before = record({"ELBO": [-1.0, -2.0, -4.0, -5.5], "KL": [0.1, 0.2, 0.3, 1 / 3]})
    before.save(tmp_path / "r.json")
    after = Record.load(str(tmp_path / "r.json"))
    assert after == before and all(np.array_equal(after.values[name], v) for name, v in before.values.items())
    assert [(d.difference, d.standard_error, d.paired) for d in compare(before, after).differences] == [(0.0, 0.0, True)] * 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.rows.npz"]


def test_a_record_without_rows_has_no_file_of_them_and_takes_no_others(tmp_path):
    record().save(tmp_path / "r.json")
    record(keep=False).save(tmp_path / "r.json")
    assert rows_file(tmp_path / "r.json").exists() and not Record.load(tmp_path / "r.json").values
    record(keep=False).save(tmp_path / "alone.json")
    assert not rows_file(tmp_path / "alone.json").exists()


def test_a_file_that_is_no_record_is_never_written_over(tmp_path):
    for name, content in (("model.npz", b"PK\x03\x04"), ("run.json", b'{"settings": {}}'), ("metrics.json", b"{}"), ("a.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            FileExistsError, match=f"{name} is there already and is no record, so it is not replaced; choose another"
        ):
            record().save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == content
    (tmp_path / "metrics.json").write_text(json.dumps({"record": record().to_plain()}))  # a file with a record in it is none
    with pytest.raises(FileExistsError):
        check_place(tmp_path / "metrics.json")
    record().save(tmp_path / "r.json")
    dataclasses.replace(record(), origin={"seed": 1}).save(tmp_path / "r.json")
    assert Record.load(tmp_path / "r.json").origin == {"seed": 1}
    assert len(list(tmp_path.iterdir())) == 6  # and nothing else is left


def test_places_that_hold_no_record_are_told(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder, and a record is a file"):
        record().save(tmp_path)
    with pytest.raises(OSError, match="cannot write the record to .*: No such file or directory; choose another place"):
        record().save(tmp_path / "no" / "r.json")
    with pytest.raises(IsADirectoryError, match="is a folder; name the file of a record in it"):
        Record.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such file; npvae evaluate writes records, and so does Record.save"):
        Record.load(tmp_path / "r.json")
    (tmp_path / "r.json").write_text("[]")
    with pytest.raises(ValueError, match="r.json: this is no record of npvae"):
        Record.load(tmp_path / "r.json")


@pytest.mark.parametrize(
    "make, error, said",
    [
        (lambda: Record({}, PROTOCOL), ValueError, "numbers is empty"),
        (lambda: Record(record().numbers, None), TypeError, "protocol must be a Protocol, got NoneType"),
        (lambda: Record({"ELBO": -3.0}, PROTOCOL), TypeError, r"numbers\['ELBO'\] must be a Number, got float; record.number"),
        (lambda: Record([], PROTOCOL), TypeError, "numbers must be a dict, got list"),
        (lambda: Record(record().numbers, PROTOCOL, values=None), TypeError, "values must be a dict, got NoneType"),
        (lambda: dataclasses.replace(PROTOCOL, rows=True), TypeError, "rows must be int, got True"),
        (lambda: dataclasses.replace(PROTOCOL, likelihood=Bernoulli()), TypeError, "likelihood must be dict, got "),
        (lambda: compare(1, record()), TypeError, r"compare: a must be a Record, got int; Record.load\(FILE\) reads one"),
        (lambda: compare(record(), "r.json"), TypeError, "compare: b must be a Record, got str"),
    ],
)
def test_what_is_no_record_or_protocol_is_told(make, error, said):
    with pytest.raises(error, match=said):
        make()
