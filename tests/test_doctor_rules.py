"""What the doctor must never do: name what is not there, explain few numbers with many choices, prefer the odd to the simple,
depend on the scale of the gradient, write to its input."""

import copy

import doctor_cases as cases
import numpy as np
import pytest
from doctor_cases import B, D, kl, reconstruction
from hypothesis import given
from strategies import seeds

from npvae import ReLU, Tanh
from npvae.verify.constants import known_numbers
from npvae.verify.doctor import Finding, diagnose, explain

CONSTANTS = {"B": 6, "D": 5, "Z": 3, "beta": 2.5}
CAUSES = ("missing", "averaged", "summed", "twice", "sign", "exchanged", "order", "transposed")


@pytest.fixture(scope="module")
def patients():
    """Right gradients with all that can be known of them."""
    model = cases.model_patient()
    dx = np.random.default_rng(1).normal(size=(B, D))
    layers = [cases.layer_patient(kind(), dx) for kind in (Tanh, ReLU)]
    return [model, cases.dense_patient(), *layers, cases.sampler_patient(lambda s, eps, lv: 0.5 * s * eps)]


def spoiled(n, rng, where):
    """n with noise of a random size on one entry, on some, or on all."""
    size = np.max(np.abs(n)) * 10.0 ** rng.uniform(-8, 1)
    chosen = {"one": np.arange(n.size) == rng.integers(n.size), "some": rng.random(n.size) < 0.5, "all": np.ones(n.size, bool)}[
        where
    ]
    return n + size * rng.normal(size=n.shape) * chosen.reshape(n.shape)


def assert_nameless(patient, block, where, rng):
    """Spoil one block, or all of them for None."""
    wrong = patient.planted(**{name: lambda n: spoiled(n, rng, where) for name in patient.numeric if block in (name, None)})
    assert wrong.findings() == []


@pytest.mark.parametrize("where", ["one", "some", "all"])
@given(seed=seeds)
def test_a_random_error_has_no_name(patients, where, seed):
    rng = np.random.default_rng(seed)
    for patient in patients:
        assert_nameless(patient, rng.choice([*patient.numeric, None]), where, rng)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["one", "some", "all"])
@given(seed=seeds)
def test_a_random_error_has_no_name_in_any_block(patients, where, seed):
    rng = np.random.default_rng(seed)
    for patient in patients:
        for block in [*patient.numeric, None]:
            assert_nameless(patient, block, where, rng)


@pytest.mark.parametrize("name", cases.WITHOUT_PATTERN)
def test_a_mistake_without_a_simple_pattern_gets_no_name(name):
    patient = cases.model_patient(cases.WITHOUT_PATTERN[name])
    assert any(np.any(np.abs(patient.analytic[k] - n) > 0.01) for k, n in patient.numeric.items())
    assert patient.findings() == []


@pytest.mark.parametrize("c", [1.2345, 0.8901, -1.7654, 39.5, 0.0123])
def test_an_unknown_factor_is_told_without_a_cause(patients, c):
    for patient in patients:
        block = max(patient.numeric, key=lambda name: patient.numeric[name].size)
        (finding,) = patient.planted(**{block: lambda n: c * n}).findings()
        assert finding.kind == "factor" and f"{c:.6g} times the numeric gradient" in finding.sentence
        assert not any(word in finding.sentence for word in CAUSES)


@pytest.mark.parametrize("c", [1.2345, 0.8901, -1.7654, 39.5])
def test_an_unknown_factor_on_a_term_is_not_told(patients, c):
    model = patients[0]
    analytic = {k: n + (c - 1) * model.more["terms"]["kl"][k] for k, n in model.numeric.items()}
    assert model._replace(analytic=analytic).findings() == []


@given(seed=seeds)
def test_a_right_gradient_with_rounding_noise_below_the_floors_has_no_finding(patients, seed):
    rng = np.random.default_rng(seed)
    for patient in patients:
        noise = {k: patient.floors[k] * rng.uniform(-1, 1, n.shape) for k, n in patient.numeric.items()}
        again = {k: n + patient.floors[k] * rng.uniform(-1, 1, n.shape) for k, n in patient.numeric.items()}
        noisy = patient._replace(
            analytic={k: n + noise[k] for k, n in patient.numeric.items()}, more=patient.more | {"again": again}
        )
        assert noisy.findings() == []


@pytest.fixture(scope="module")
def mistaken(patients):
    """Wrong gradients that the doctor explains, each with its findings."""
    model = patients[0]
    wrong = [
        model.planted(**{"encoder.0.W": lambda n: 2 * n, "encoder.2.b": lambda n: n[::-1], "decoder.0.W": lambda n: 0 * n}),
        cases.model_patient(reconstruction(B)),
        cases.dense_patient(W=lambda x, dy: np.outer(x[0], dy[0])),
        *(
            cases.activation_patient(*cases.ACTIVATIONS[name][:2])
            for name in ("1 - y for tanh'", "tanh' twice", "tanh' divided by")
        ),
        *(cases.sampler_patient(slope) for slope, _ in cases.SAMPLERS.values()),
    ]
    return [(patient, patient.findings()) for patient in wrong]


@pytest.mark.parametrize("exponent", [-300, -150, -12, 6, 150, 300])
def test_findings_do_not_depend_on_the_scale_of_the_gradient(patients, mistaken, exponent):
    for patient, here in mistaken:
        there = patient.scaled(10.0**exponent).findings()
        assert here and [f[:3] for f in there] == [f[:3] for f in here]
    for patient in patients[:2]:
        assert patient.scaled(10.0**exponent).findings() == []


def test_what_a_mask_hides_is_not_explained_by_it(patients, rng):
    relu = patients[3]
    dead = relu.more["tensors"]["x"]["x"] <= 0
    assert relu.planted(x=lambda n: n + dead * rng.normal(size=n.shape)).findings() == []


def test_a_tensor_that_is_constant_is_a_number_like_any_other(patients):
    sampler = patients[4]
    tensors = {"x": sampler.more["tensors"]["x"] | {"sigma": np.full((B, 3), 0.7)}}
    (finding,) = sampler._replace(more={"tensors": tensors}).planted(x=lambda n: n / 0.7).findings()
    assert finding.kind == "factor" and "1.42857 is none of" in finding.sentence


@pytest.mark.parametrize("entries, named", [(2, False), (3, True)])
def test_a_missing_tensor_needs_three_entries(patients, entries, named):
    sampler = patients[4]
    sigma, wrong = sampler.more["tensors"]["x"]["sigma"], np.arange(B * 3).reshape(B, 3) < entries
    cut = {"sigma": np.where(wrong, sigma, 1.0)}  # right elsewhere
    patient = sampler._replace(more={"tensors": {"x": cut}}).planted(x=lambda n: n / cut["sigma"])
    assert [finding.kind for finding in patient.findings()] == ["tensor"] * named


def test_findings_come_in_backward_order(patients):
    wrong = {"encoder.0.W": lambda n: 2 * n, "encoder.2.b": lambda n: n[::-1], "decoder.0.W": lambda n: 0 * n}
    assert [f.names[0] for f in patients[0].planted(**wrong).findings()] == ["decoder.0.W", "encoder.2.b", "encoder.0.W"]


# --- few numbers ----------------------------------------------------------------------------------------------------------------


def small(n, change, terms=None, constants=CONSTANTS):
    n = {name: np.array(value, float) for name, value in n.items()}
    analytic = {name: change(value) for name, value in n.items()}
    return diagnose(analytic, n, {name: 1e-15 for name in n}, constants=constants, terms=terms)


@pytest.mark.parametrize(
    "numeric, factor, named",
    [
        *(([0.3], factor, True) for factor in (2, 0.5, -1)),
        *(([0.3], factor, False) for factor in (0, 6, 12, 1.2345)),
        ([0.3, 0, 0, 0], 6, False),
        ([0.3, 0.7], 6, True),
        ([0.3, 0.7], 1.2345, False),
        ([0.3, 0.7, 0.1], 1.2345, True),
    ],
)
def test_a_factor_of_a_small_block_must_be_simple(numeric, factor, named):
    assert bool(small({"log_sigma": numeric}, lambda n: factor * n)) == named


def test_a_factor_shared_with_another_block_counts_in_a_block_of_one_entry():
    (finding,) = small({"W": [0.1, 0.4, -0.3], "log_sigma": [0.3]}, lambda n: 6 * n)
    assert finding.names == ("log_sigma", "W") and finding.sentence.startswith("every wrong block: 6 times too large")


@pytest.mark.parametrize("entries, named", [(2, False), (3, False), (4, True)])
def test_two_terms_need_four_entries(rng, entries, named):
    terms = {t: {"W": rng.normal(size=entries)} for t in ("reconstruction", "kl")}
    wrong = small({"W": terms["reconstruction"]["W"] + terms["kl"]["W"]}, lambda n: n + 5 * terms["kl"]["W"], terms)
    assert [finding.kind for finding in wrong] == ["terms"] * named


def test_three_terms_need_six_entries(rng):
    for entries in (5, 6):
        terms = {t: {"W": rng.normal(size=entries)} for t in ("reconstruction", "kl", "l2")}
        n = sum(term["W"] for term in terms.values())
        findings = small({"W": n}, lambda n, terms=terms: n + terms["kl"]["W"], terms)
        assert [finding.kind for finding in findings] == ["terms"] * (entries == 6)


def test_a_mixture_that_explains_two_entries_and_no_other_block_is_not_told(rng):
    r, k = rng.normal(size=(2, 6))
    Q, _ = np.linalg.qr(np.stack([r, k, rng.normal(size=6)], axis=1))  # Q[:, 2]: an error that no mixture explains, nor bends
    terms = {"reconstruction": {"W": r, "b": r[:2]}, "kl": {"W": k, "b": k[:2]}}
    analytic, numeric = {"W": 2 * r + k + 1e-3 * Q[:, 2], "b": (2 * r + k)[:2]}, {"W": r + k, "b": (r + k)[:2]}
    floors = {"W": 1e-15, "b": 1e-15}
    assert diagnose(analytic, numeric, floors, terms=terms) == []
    assert len(diagnose(analytic | {"W": 2 * r + k}, numeric, floors, terms=terms)[0].names) == 2


def test_nearly_parallel_terms_are_not_told_apart(rng):
    r = rng.normal(size=8)
    k = 2 * r + 1e-4 * rng.normal(size=8)  # above the floor, and yet the coefficients are known to one percent only
    terms = {"reconstruction": {"W": r}, "kl": {"W": k}}
    assert diagnose({"W": r + 3 * k}, {"W": r + k}, {"W": 3e-9}, terms=terms, constants=CONSTANTS) == []
    (finding,) = diagnose({"W": r + 3 * k}, {"W": r + k}, {"W": 3e-12}, terms=terms, constants=CONSTANTS)
    assert finding.kind == "terms"


@pytest.mark.parametrize(
    "numeric, change",
    [
        ([0.3, 0.7], lambda n: n[::-1]),  # two numbers in the wrong order
        ([0.3, 0.7], lambda n: n * [1, 6]),  # the one number of the logvar half, for Z = 1
        (np.ones((3, 1)) * [0.3, 0.7], lambda n: n + [0.1, -0.2]),  # constant along the rows, as it should be
        ([0.1, 0.2, 0.4, 0.8], lambda n: n * [2, 1 + 1e-11, 1, 1]),  # not "right but for" the first
    ],
)
def test_too_little_is_wrong_for_a_name(numeric, change):
    assert small({"b": numeric}, change, constants={"B": 6, "Z": 1}) == []


def test_single_numbers_that_changed_places_are_not_told():
    assert diagnose({"s": [0.7], "t": [0.3]}, {"s": [0.3], "t": [0.7]}, {"s": 1e-15, "t": 1e-15}) == []


def test_parallel_terms_share_a_gradient_in_any_proportion_so_nothing_is_said(rng):
    n = rng.normal(size=8)
    terms = {"reconstruction": {"W": n}, "kl": {"W": 2 * n}}
    (finding,) = small({"W": 3 * n}, lambda n: 7 / 3 * n, terms)  # kl three times, or the reconstruction five times
    assert finding.kind == "factor" and "2.33333 is none of" in finding.sentence


def test_a_floor_that_leaves_no_digits_silences_the_doctor_and_one_of_differences_does_not(rng):
    n = {"W": rng.normal(size=(4, 3))}
    for floor, named in ((1e-1, False), (1e-3, False), (1e-4, True), (1e-7, True), (0.0, True)):
        assert bool(diagnose({"W": 2 * n["W"]}, n, {"W": floor})) == named


# --- simplicity -----------------------------------------------------------------------------------------------------------------


def test_numbers_of_one_value_are_told_together_and_products_stay_out_of_it():
    (finding,) = small({"W": [0.3, 0.1, 0.7]}, lambda n: 2 * n, constants={"B": 2, "Z": 2, "D": 5})
    assert "a 1/2 is missing" in finding.sentence and "2 = B: " in finding.sentence and "2 = Z: " in finding.sentence
    assert " x " not in finding.sentence
    values = [number.value for number in known_numbers({"B": 2, "Z": 2, "D": 4, "beta": 1.0, "K": 0})]
    assert len(set(values)) == len(values) and 1 not in values and 0 not in values


def test_one_explanation_of_all_blocks_beats_two_of_some():
    (finding,) = cases.model_patient(reconstruction(B)).findings()
    assert finding.kind == "terms" and len(finding.names) == 8  # the decoder alone would be "6 times too large"
    plant = cases.both(reconstruction(-1), kl(lambda dmu, dlogvar: (-dmu, -dlogvar)))
    (finding,) = cases.model_patient(plant).findings()
    assert finding.kind == "factor" and finding.sentence.startswith("every wrong block: of the opposite sign")


# --- manners --------------------------------------------------------------------------------------------------------------------


def test_inputs_keep_their_bits_and_the_answer_is_always_the_same(patients):
    for patient in [*patients, cases.model_patient(cases.swap_heads), cases.dense_patient(b=lambda x, dy: dy[-1])]:
        patient.more["again"] = {name: a + 1 for name, a in patient.analytic.items()}
        before = copy.deepcopy(patient)
        assert patient.findings() == patient.findings()
        np.testing.assert_equal(patient._asdict(), before._asdict())
        del patient.more["again"]


def test_a_block_with_nan_is_passed_over_and_the_others_are_explained():
    n = {"W": np.array([0.1, 0.2, 0.3]), "b": np.array([0.1, 0.2, 0.4])}
    for bad in (np.nan, np.inf):
        findings = diagnose({"W": np.array([0.1, bad, 0.3]), "b": 2 * n["b"]}, n, {"W": 1e-15, "b": 1e-15})
        assert [finding.names for finding in findings] == [("b",)]


def test_one_dimensional_samples_of_blocks_and_arrays_without_axes_are_welcome(rng):
    n = {"W": rng.normal(size=50), "c": np.array(0.25), "none": np.zeros((0, 3))}
    findings = diagnose(
        {"W": -n["W"], "c": -n["c"], "none": n["none"]}, n, dict.fromkeys(n, 1e-15), constants=CONSTANTS | {"Z": 25}
    )
    assert [finding.names for finding in findings] == [("c", "W")]


def test_float32_gradients_are_judged_with_their_own_floor(rng):
    n = {"W": rng.normal(size=(5, 4))}
    (finding,) = diagnose({"W": (6 * n["W"]).astype(np.float32)}, n, {"W": 1e-6}, constants=CONSTANTS)
    assert "6 = B" in finding.sentence


def test_explain_joins_the_sentences_and_says_what_to_make_of_the_rest():
    first, second = Finding(("c",), "zero", "c: 0 everywhere.", 0.0), Finding(("b",), "factor", "b: 2 times too large.", 0.0)
    assert explain([], ["a", "b"]) is None
    assert explain([first, second], ["b", "c"]) == "c: 0 everywhere. b: 2 times too large."
    passed_on = explain([first], ["e.a", "e.b", "c"])
    assert passed_on.startswith("c: 0 everywhere. e.b and e.a: no simple explanation; backward gets there later")
    assert explain([second], ["a", "b", "c"]).endswith(
        "c and a: no simple explanation; start with c, which backward reaches first."
    )
