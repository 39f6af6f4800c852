"""History: records by epoch, columns by name, a CSV that loses no digits."""

import csv
import json

import pytest

from npvae.training import History

RECORDS = [{"epoch": 1, "loss": 0.1 + 0.2, "valid_loss": 3.0}, {"epoch": 2, "loss": 1 / 3, "valid_loss": 2.5, "extra": 7}]


def test_records_can_be_read_by_epoch_and_by_name():
    history = History(RECORDS)
    assert len(history) == 2 and list(history) == RECORDS and history.records[1]["extra"] == 7
    assert history["loss"] == [0.1 + 0.2, 1 / 3]
    assert history["extra"] == [None, 7], "a value an epoch, also where a callback added it later"
    assert history.columns() == ["epoch", "loss", "valid_loss", "extra"]
    assert history.best() == RECORDS[1]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match="no 'kl'; it has epoch, loss, valid_loss, extra"):
        History(RECORDS)["kl"]
    with pytest.raises(KeyError, match="no records yet"):
        History()["loss"]
    with pytest.raises(KeyError, match="valid_loss"):
        History([{"epoch": 1, "loss": 1.0}]).best()


def test_the_csv_loses_no_digits(tmp_path):
    History(RECORDS).to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [0.1 + 0.2, 1 / 3]
    assert rows[0]["extra"] == "" and rows[1]["extra"] == "7"


def test_plain_data_and_back():
    history = History(json.loads(json.dumps(History(RECORDS).to_list())))
    assert history.records == RECORDS


def test_a_history_owns_its_records():
    records = [{"epoch": 1}]
    history = History(records)
    history.to_list()[0]["epoch"] = records[0]["epoch"] = 9
    assert history.records == [{"epoch": 1}]


def test_its_representation_says_how_far_it_got():
    assert repr(History()) == "History(0 epochs)"
    assert repr(History(RECORDS)) == "History(2 epochs, loss=0.333333, valid_loss=2.5)"
