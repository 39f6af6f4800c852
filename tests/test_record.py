"""Records: what a number carries with it, that it survives JSON, and what is no record or contradicts itself."""

import copy
import dataclasses
import hashlib
import json
import types

import numpy as np
import pytest

from npvae import VAE, Autoencoder, Gaussian, load_digits
from npvae.beyond import Categorical, ContinuousBernoulli, DiagonalGaussian
from npvae.core.checks import NonFiniteError
from npvae.evaluation.protocol import Protocol, labels_sha256, measure, rows_sha256
from npvae.evaluation.record import Number, Record, model_origin, number, standard_error

PROTOCOL = Protocol("log-probability", {"type": "Bernoulli"}, "digits", "test", 4, "a" * 64, "threshold", k=100)


def record(values=None, protocol=PROTOCOL, keep=True, **changes):
    """A record of those values, {name: (4,)}."""
    values = {"ELBO": [-1.0, -2.0, -4.0, -5.0]} if values is None else values
    kept = {name: np.array(v) for name, v in values.items()} if keep else {}
    numbers = {name: number(np.array(v))._replace(rows=changes.get("rows", len(v))) for name, v in values.items()}
    return Record(numbers, dataclasses.replace(protocol, **changes), {"seed": 0}, {"floor": 0.0, "ceiling": None}, kept)


# ---- numbers ---------------------------------------------------------------------------------------------------------------------


def test_a_number_is_a_mean_with_the_standard_error_of_that_mean():
    found = number(np.array([1.0, 2.0, 4.0, 5.0]), np.array([0.3, 0.0, 0.4, 0.0]))
    assert found.mean == 3 and found.rows == 4
    assert found.standard_error == pytest.approx(np.sqrt((4 + 1 + 1 + 4) / 3 / 4), rel=1e-15)
    assert found.monte_carlo_error == pytest.approx(0.5 / 4, rel=1e-15)  # independent draws: squares add up
    assert number(np.array([1.0, 2.0])).monte_carlo_error is None


def test_a_single_row_has_a_mean_and_no_error_and_one_draw_no_monte_carlo_error():
    assert number(np.array([2.5]), np.array([np.nan])) == Number(2.5, None, 1, None)
    assert np.isnan(standard_error(np.array([2.5])))


def test_the_mean_of_many_float32_values_is_taken_in_float64():
    values = np.full(300_000, 0.1, np.float32)
    assert number(values).mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize(
    "values, error, said",
    [
        (np.zeros(0), ValueError, "values has no rows"),
        (np.zeros((3, 1)), ValueError, r"values has shape \(3, 1\), expected \(B,\)"),
        (np.array([0.0, np.inf]), NonFiniteError, r"values is inf at \[1\]"),
    ],
)
def test_what_has_no_mean_is_told(values, error, said):
    with pytest.raises(error, match=said):
        number(values)


def test_errors_of_another_shape_are_told():
    with pytest.raises(ValueError, match=r"monte_carlo_errors has shape \(3,\)"):
        number(np.zeros(4), np.zeros(3))


# ---- what it was measured on -----------------------------------------------------------------------------------------------------


def test_rows_have_one_hash_in_every_form_that_holds_the_same_numbers():
    data = load_digits()
    rows, expected = data.test, hashlib.sha256(b"360 64 " + (data.test / data.scale).astype("<f8").tobytes()).hexdigest()
    assert rows_sha256(rows, data.scale) == expected
    for same in (
        data.floats("test", np.float32),
        data.floats("test", np.float64),
        np.asfortranarray(rows / 16),
        (rows / 16).astype(">f8"),
    ):
        assert rows_sha256(same) == expected
    black = rows >= 8
    assert rows_sha256(black.astype(np.uint8), 1.0) == rows_sha256(black.astype(np.float32)) == rows_sha256(-0.0 + black)
    assert rows_sha256(np.array([[-0.0]])) == rows_sha256(np.array([[0.0]]))


def test_other_rows_another_order_or_another_shape_have_another_hash():
    x = np.arange(12.0).reshape(4, 3)
    changed = x.copy()
    changed[3, 2] += 1e-12
    others = [x[::-1], x[:3], x.reshape(3, 4), x[:, ::-1], changed, -x]
    assert len({rows_sha256(rows) for rows in [x, *others]}) == 7


def test_rows_are_hashed_in_parts_as_a_whole(monkeypatch):
    x = np.random.default_rng(0).random((11, 3))
    whole = rows_sha256(x)
    monkeypatch.setattr("npvae.evaluation.protocol.CHUNK_ROWS", 4)
    assert rows_sha256(x) == whole == hashlib.sha256(b"11 3 " + x.tobytes()).hexdigest()


def test_labels_and_models_are_told_apart(rng):
    assert labels_sha256(None) is None
    assert labels_sha256(np.array([1, 2], np.uint8)) == labels_sha256(np.array([1, 2])) != labels_sha256(np.array([2, 1]))
    vae = VAE.dense(5, (4,), 2, rng=rng)
    before, twin = model_origin(vae), model_origin(vae.astype(np.float32))
    assert before == twin and before["type"] == "VAE" and before["parameters"] == vae.params.size and before["dtype"] == "float32"
    vae.decoder.layers[-1].b[4] += 1e-6
    assert model_origin(vae)["sha256"] != before["sha256"]


@pytest.mark.parametrize(
    "likelihood, x, expected",
    [
        (None, [[0, 1, 1]], "log-probability"),
        (None, [[0, 1, 0.5]], "grey cross-entropy"),
        (Gaussian(0.3), [[0, 1, 1]], "log-density"),
        (Gaussian(0.3, learn=True), [[0, 1, 1]], "log-density"),
        (DiagonalGaussian(), [[0, 1, 1]], "log-density"),
        (ContinuousBernoulli(), [[0, 1, 1]], "log-density"),
        (Categorical(3), [[0, 1, 0]], "log-probability"),
    ],
)
def test_the_measure_is_told_by_likelihood_and_rows(likelihood, x, expected, rng):
    given = {} if likelihood is None else {"likelihood": likelihood}
    model, plain = (kind.dense(3, (), 1, rng=rng, **copy.deepcopy(given)) for kind in (VAE, Autoencoder))
    assert measure(model, np.array(x, float)) == expected
    assert measure(plain, np.array(x, float)) == f"reconstruction of an autoencoder, {expected}"


def test_one_grey_pixel_among_many_rows_is_seen(monkeypatch, rng):
    monkeypatch.setattr("npvae.evaluation.protocol.CHUNK_ROWS", 2)
    x = np.zeros((5, 3))
    vae = VAE.dense(3, (), 1, rng=rng)
    assert measure(vae, x) == "log-probability"
    x[4, 2] = 0.5
    assert measure(vae, x) == "grey cross-entropy"


def test_a_likelihood_of_ones_own_measures_its_own_thing(rng):
    class Laplace(Gaussian):
        pass

    assert "Laplace" in measure(VAE.dense(3, (), 1, Laplace(), rng=rng), np.zeros((1, 3)))


# ---- JSON ------------------------------------------------------------------------------------------------------------------------


def test_a_record_survives_json():
    before = record({"ELBO": [-1.0, -2.0, -4.0, -5.5], "KL": [0.1, 0.2, 0.3, 1 / 3]}, labels_sha256="b" * 64)
    plain = json.loads(json.dumps(before.to_plain()))
    after = Record.from_plain(plain)
    assert after == before and not after.values and plain["numbers"]["KL"]["mean"] == before.numbers["KL"].mean
    single = Record({"ELBO": number(np.array([1.0]))}, dataclasses.replace(PROTOCOL, rows=1))
    assert Record.from_plain(json.loads(json.dumps(single.to_plain()))) == single


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda plain: [1, 2], "no record of npvae: it has no format 'npvae record'"),
        (lambda plain: plain | {"format": "npvae checkpoint"}, "no record of npvae"),
        (lambda plain: plain | {"version": 2}, "version is 2, this npvae reads up to 1; update npvae"),
        (lambda plain: plain | {"version": "1"}, "damaged: its version is '1', no whole number"),
        (lambda plain: plain | {"version": 0}, "damaged: its version is 0, no whole number of at least 1"),
        (lambda plain: plain | {"version": True}, "damaged: its version is True"),
        (lambda plain: {k: v for k, v in plain.items() if k != "numbers"}, "damaged: it has no 'numbers'"),
        (lambda plain: plain | {"numbers": []}, r"damaged: its numbers is \[\], no JSON object\.$"),
        (lambda plain: plain | {"numbers": {}}, "damaged: .*numbers is empty"),
        (lambda plain: plain | {"numbers": {"ELBO": 3.0}}, "damaged: ELBO is 3.0, no JSON object"),
        (lambda plain: plain | {"numbers": {"ELBO": {"mean": 3.0, "rows": 4}}}, "damaged: ELBO has no 'standard_error'"),
        (lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"x": 1}}}, "ELBO has an unknown entry 'x'"),
        (
            lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"mean": "3"}}},
            "the mean of ELBO is '3', not an int or float",
        ),
        (
            lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"mean": float("nan")}}},
            "damaged: the mean of ELBO is nan, not",
        ),
        (
            lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"standard_error": True}}},
            "the standard_error of ELBO is True, not an",
        ),
        (
            lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"rows": 4.0}}},
            "the rows of ELBO are 4.0, not a whole",
        ),
        (
            lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"mean": 10**400}}},
            "an integer too large for a float",
        ),
        (
            lambda plain: plain | {"numbers": {"ELBO": plain["numbers"]["ELBO"] | {"rows": 5}}},
            "ELBO is of 5 rows, and its protocol of 4",
        ),
        (lambda plain: plain | {"protocol": plain["protocol"] | {"k": 0}}, "damaged: Protocol: k must be at least 1, got 0"),
        (lambda plain: plain | {"protocol": {}}, "damaged: its protocol has no 'measure'"),
        (lambda plain: plain | {"protocol": plain["protocol"] | {"colour": 1}}, "its protocol has an unknown entry 'colour'"),
        (lambda plain: plain | {"protocol": plain["protocol"] | {"k": "100"}}, "k must be int or None, got '100'"),
        (lambda plain: plain | {"protocol": plain["protocol"] | {"measure": None}}, "measure must be str, got None"),
        (lambda plain: plain | {"origin": 3}, "damaged: its origin is 3, no JSON object"),
    ],
)
def test_what_is_no_record_is_told(change, said):
    with pytest.raises(ValueError, match=said) as caught:
        Record.from_plain(change(record().to_plain()))
    assert "__" not in str(caught.value) and "object has no" not in str(caught.value)  # Python's own words


def test_the_key_tells_protocols_apart_but_not_two_models_that_learned_their_sigma():
    assert PROTOCOL.key() == dataclasses.replace(PROTOCOL).key() and len(PROTOCOL.key()) == 8
    changes = {"k": 5, "split": "train", "binarization": "none", "rows_sha256": "b" * 64, "likelihood": {"type": "Categorical"}}
    assert len({PROTOCOL.key(), *(dataclasses.replace(PROTOCOL, **{n: v}).key() for n, v in changes.items())}) == 6

    def key(sigma, learn):
        return dataclasses.replace(PROTOCOL, likelihood={"type": "Gaussian", "sigma": sigma, "learn": learn}).key()

    assert key(0.5, True) == key(0.6, True) and key(0.5, False) != key(0.6, False)


# ---- what contradicts itself -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [float("nan"), float("inf"), -float("inf")])
def test_a_record_made_by_hand_has_finite_means(mean):
    with pytest.raises(ValueError, match=f"Record: the mean of ELBO is {mean}, not a finite number"):
        Record({"ELBO": Number(mean, 0.1, 4)}, PROTOCOL)


@pytest.mark.parametrize("what", ["standard_error", "monte_carlo_error"])
def test_an_error_is_finite_and_never_negative(what):
    plain = record().to_plain()
    for value, said in ((-1e-9, "is -1e-09, and an error is never negative"), (float("inf"), "is inf, not a finite number")):
        plain["numbers"]["ELBO"][what] = value
        with pytest.raises(ValueError, match=f"damaged: the {what} of ELBO {said}"):
            Record.from_plain(plain)
    for value in (0, 0.0, None):
        plain["numbers"]["ELBO"][what] = value
        assert getattr(Record.from_plain(plain).numbers["ELBO"], what) == value


@pytest.mark.parametrize(
    "values, error, said",
    [
        (
            {"ELBO": np.array([49.0, 48.0, 46.0, 45.0])},
            ValueError,
            r"values\['ELBO'\] have the mean 47, and numbers\['ELBO'\] is -3;",
        ),
        ({"ELBO": np.array([-1.0, -2.0, -4.0, -5.0001])}, ValueError, "have the mean -3"),
        ({"ELBO": np.zeros(3)}, ValueError, r"values\['ELBO'\] has shape \(3,\), expected \(4,\)"),
        ({"ELBO": np.array([-3.0, -3.0, -3.0, np.nan])}, ValueError, r"values\['ELBO'\] is nan at \[3\]"),
        ({"ELBO": np.array(["a"] * 4)}, TypeError, "must be an array of floats, got <U1"),
        ({"KL": np.zeros(4)}, ValueError, r"values\['KL'\] are given, and numbers has no 'KL'"),
    ],
)
def test_values_are_those_that_their_number_is_the_mean_of(values, error, said):
    with pytest.raises(error, match=said):
        dataclasses.replace(record(), values=values)


def test_values_in_float32_are_those_of_their_number():
    values = 1e4 + np.random.default_rng(0).random(1000, np.float32)
    protocol = dataclasses.replace(PROTOCOL, rows=1000)
    own = Number(float(np.mean(values)), 0.01, 1000)  # a mean taken in float32
    for one in (number(values), own):
        assert Record({"ELBO": one}, protocol, values={"ELBO": values}).numbers["ELBO"] == one


def test_models_are_told_apart_by_names_shapes_and_kinds_of_numbers():
    """The bytes are the same in all of them."""

    class Parameters(list):
        size = 6

    def sha256(*parameters):
        model = types.SimpleNamespace(params=Parameters((name, value, None) for name, value in parameters), dtype=np.dtype("f4"))
        return model_origin(model)["sha256"]

    zeros = np.zeros(6, np.float32)
    found = [sha256(("W", zeros)), sha256(("b", zeros)), sha256(("W", zeros.reshape(2, 3))), sha256(("W", zeros.view(np.int32)))]
    assert len(set(found)) == 4 and sha256(("W", zeros.copy())) == found[0]
