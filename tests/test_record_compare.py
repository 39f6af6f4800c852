"""Comparing records: the differences and their errors, what is left out and why, and what is refused."""

import dataclasses

import numpy as np
import pytest
from test_record import PROTOCOL, record

from npvae.evaluation.protocol import protocol_differences
from npvae.evaluation.record import ProtocolError, Record, compare, listed, number


def test_a_difference_is_b_minus_a_with_the_error_of_the_rows_differences():
    a, b = record({"ELBO": [-1.0, -2.0, -4.0, -5.0]}), record({"ELBO": [-0.5, -1.0, -3.5, -4.0]})
    (found,), left_out = compare(a, b)
    assert (found.name, found.a, found.b, found.difference, found.paired) == ("ELBO", -3.0, -2.25, 0.75, True) and not left_out
    assert found.standard_error == pytest.approx(np.sqrt(4 * 0.25**2 / 3 / 4), rel=1e-14)
    assert compare(b, a).differences[0].difference == -0.75


def test_without_the_rows_the_errors_add_up_as_squares():
    a, b = record({"ELBO": [-1.0, -2.0, -4.0, -5.0]}), record({"ELBO": [0.0, 0.0, 4.0, 4.0]}, keep=False)
    (found,), _ = compare(a, b)
    assert not found.paired
    assert found.standard_error == pytest.approx(np.sqrt(10 / 3 / 4 + 16 / 3 / 4), rel=1e-14)
    one = Record({"ELBO": number(np.array([1.0]))}, dataclasses.replace(PROTOCOL, rows=1))
    assert compare(one, one).differences[0].standard_error is None


def test_only_numbers_of_one_name_are_compared():
    a = record({"ELBO": [1.0, 2.0, 3.0, 4.0], "L_100": [1.0, 2.0, 3.0, 4.0]})
    (found,), left_out = compare(a, record())
    assert found.name == "ELBO" and left_out == {"L_100": "only in A"}
    assert compare(record(), a).left_out == {"L_100": "only in B"}
    with pytest.raises(ProtocolError, match=r"alike: ELBO \(only in A\); KL \(only in B\)\.$"):
        compare(record(), record({"KL": [1.0, 2.0, 3.0, 4.0]}))


# ---- what is left out ------------------------------------------------------------------------------------------------------------

ROWS = [1.0, 2.0, 3.0, 4.0]


def test_another_k_concerns_the_bounds_and_nll_alone():
    a, b = (record({name: ROWS for name in ("ELBO", "KL", f"L_{k}", "nll", "mine")}, k=k) for k in (100, 5000))
    found, left_out = compare(a, b)
    assert [d.name for d in found] == ["ELBO", "KL", "mine"] and all(d.paired for d in found)
    assert left_out == {"L_100": "only in A", "nll": "k 100 against 5,000", "L_5000": "only in B"}
    assert listed(left_out) == "L_100 (only in A); nll (k 100 against 5,000); L_5000 (only in B)"
    assert compare(record(k=100), record(k=5000)).left_out == {}
    grey = [record({"grey L_7": ROWS, "grey cross-entropy": ROWS, "loss": ROWS}, k=k) for k in (7, None)]
    assert compare(*grey).left_out == {"grey L_7": "k 7 against not told"}


def test_another_loss_concerns_the_loss_alone():
    names = ("ELBO", "reconstruction", "nll", "loss")
    a, b, untold = (
        record(dict.fromkeys(names, ROWS), loss=loss) for loss in ("reconstruction + 1 KL", "reconstruction + 4 KL", None)
    )
    assert compare(a, b).left_out == {"loss": "reconstruction + 1 KL against reconstruction + 4 KL"}
    assert compare(a, untold).left_out == {"loss": "reconstruction + 1 KL against not told"}
    assert [d.name for d in compare(a, b).differences] == ["ELBO", "reconstruction", "nll"]
    assert compare(a, a).left_out == {} == compare(untold, untold).left_out


@pytest.mark.parametrize("name, changes", [("nll", {"k": 5000}), ("nll", {"k": None}), ("loss", {"loss": "reconstruction + 4 KL"})])
def test_if_nothing_is_left_it_is_refused(name, changes):
    with pytest.raises(ProtocolError, match=rf"no number in common that was measured alike: {name} \((k 100|not told) against "):
        compare(record({name: ROWS}), record({name: ROWS}, **changes))


# ---- what is refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"measure": "grey cross-entropy"}, "measure log-probability against grey cross-entropy"),
        ({"rows_sha256": "b" * 64, "binarization": "dynamic"}, "binarization threshold against dynamic"),
        ({"rows_sha256": "b" * 64, "split": "train"}, "split test against train"),
        ({"rows_sha256": "b" * 64, "rows": 5000, "keep": False}, "rows 4 against 5,000"),
        ({"rows_sha256": "b" * 64}, "the rows themselves, SHA-256 aaaaaaaa against bbbbbbbb, under the same name"),
        ({"rows": 5, "keep": False}, "rows 4 against 5 under one SHA-256, which only one of them can have"),
        ({"reduction": "bits per pixel"}, "reduction 'nats per example: .*' against 'bits per pixel'"),
    ],
)
def test_another_protocol_is_refused_with_what_differs(changes, said):
    with pytest.raises(ProtocolError, match=f"^these two do not compare: {said}. Evaluate one of them anew, as the other was.$"):
        compare(record(), record(**changes))
    assert protocol_differences(PROTOCOL, PROTOCOL) == []


def test_all_differences_stand_in_one_sentence():
    other = record(rows_sha256="b" * 64, binarization="dynamic", split="train", measure="grey cross-entropy")
    said = "measure log-probability against grey cross-entropy; split test against train; binarization threshold against dynamic"
    with pytest.raises(ProtocolError, match=f"compare: {said}. Evaluate one of them anew"):
        compare(record(), other)


def test_two_kinds_of_labels_do_not_compare_and_the_same_do():
    a, b = (record(labels_sha256=letter * 64) for letter in "bc")
    with pytest.raises(ProtocolError, match="given labels bbbbbbbb against given labels cccccccc. Evaluate one of them anew"):
        compare(a, b)
    assert compare(a, a).differences[0].difference == 0


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"measure": "log-density"}, "measure log-probability against log-density. These are different quantities"),
        ({"labels_sha256": "c" * 64}, "given no labels against given labels cccccccc. These are different quantities"),
        ({"data": "mnist", "rows_sha256": "b" * 64}, "data digits against mnist. Only results of the same rows of the same data"),
    ],
)
def test_where_another_evaluation_would_not_help_none_is_advised(changes, said):
    with pytest.raises(ProtocolError, match=f"^these two do not compare: {said}") as caught:
        compare(record(), record(**changes))
    assert "anew" not in str(caught.value)


def test_pixels_drawn_with_other_seeds_are_told():
    drawn = dataclasses.replace(PROTOCOL, binarization="static", rows_seed=1)
    other = dataclasses.replace(drawn, rows_seed=20000, rows_sha256="b" * 64)
    assert protocol_differences(drawn, other) == ["pixels drawn with seed 1 against 20000"]


def test_what_does_not_matter_is_left_alone():
    """The same rows by another name, another sigma, another model, and a bound that the other has not got."""
    assert compare(record(), record(data="mine", binarization="none", rows_seed=3))
    fixed = record(measure="log-density", likelihood={"type": "Gaussian", "sigma": 0.5, "learn": False})
    learned = record(measure="log-density", likelihood={"type": "Gaussian", "sigma": 0.1, "learn": True})
    assert compare(fixed, learned)
    assert compare(record(), dataclasses.replace(record(k=None), origin={"seed": 5, "versions": {"numpy": "1.26"}}))


def test_values_that_are_missing_are_not_paired():
    assert not compare(record(), record(keep=False)).differences[0].paired


def test_a_paired_error_is_taken_in_float64():
    values = [np.full(4, -(2.0**24), np.float32), np.array([0.5, 0, 0.5, 0], np.float32)]  # in float32, 2^24 + 1/2 is 2^24
    a, b = (dataclasses.replace(record({"ELBO": v}), values={"ELBO": v}) for v in values)
    assert compare(a, b).differences[0].standard_error == pytest.approx(np.sqrt(1 / 48), rel=1e-12)
