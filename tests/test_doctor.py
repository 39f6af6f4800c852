"""The doctor names each planted mistake in real gradients, says nothing of what it cannot explain, and never writes to its input.

The patients are in doctor_cases.py: a VAE and single layers, with right gradients by complex step."""

import copy

import doctor_cases as cases
import numpy as np
import pytest
from doctor_cases import BETA, B, D, H, Z, both, kl, reconstruction, sample

from npvae.verify.doctor import PATTERNS, diagnose

ENCODER = {"encoder.0.W", "encoder.0.b", "encoder.2.W", "encoder.2.b"}
HEADS = {"encoder.2.W", "encoder.2.b"}
EVERY = ENCODER | {"decoder.0.W", "decoder.0.b", "decoder.2.W", "decoder.2.b"}
MU, LOGVAR = "columns 0..2 (mu)", "columns 3..5 (logvar)"

MODEL = {  # planted in the backward pass of the VAE: kind, blocks, words
    "missing_batch_mean": (
        both(reconstruction(B), kl(lambda dmu, dlv: (B * dmu, B * dlv))),
        "factor",
        EVERY,
        ["every wrong block: 6 times too large everywhere", "6 = B: the mean over the batch (1/B) is missing"],
    ),
    "reconstruction_not_averaged": (
        reconstruction(B),
        "terms",
        EVERY,
        ["every wrong block", "reconstruction term is 6 times too large", "6 = B", "that of the kl is right"],
    ),
    "reconstruction_averaged_over_pixels": (
        reconstruction(1 / D),
        "terms",
        EVERY,
        ["reconstruction term is 5 times too small", "1/5 = 1/D"],
    ),
    "no_gradient_through_sampling": (
        sample(lambda s, eps: (0, 0)),
        "terms",
        ENCODER,
        ["every wrong encoder block", "reconstruction is missing", "no path through the sampling", "kl is right"],
    ),
    "no gradient from the likelihood": (
        reconstruction(0),
        "terms",
        EVERY,
        ["every wrong block: the gradient of the reconstruction term is missing (0 times); that of the kl is right"],
    ),
    "no_gradient_to_logvar": (
        sample(lambda s, eps: (1, 0)),
        "terms",
        HEADS,
        [LOGVAR, "reconstruction is missing", f"{MU} right"],
    ),
    "reparam_missing_half": (
        sample(lambda s, eps: (1, s * eps)),
        "terms",
        HEADS,
        [LOGVAR, "reconstruction term is 2 times too large", "a 1/2 is missing"],
    ),
    "kl_gradient_missing": (
        kl(lambda dmu, dlv: (0 * dmu, 0 * dlv)),
        "terms",
        ENCODER,
        ["kl term is missing", "reconstruction is right"],
    ),
    "kl_gradient_of_mu_missing": (
        kl(lambda dmu, dlv: (0 * dmu, dlv)),
        "terms",
        HEADS,
        [MU, "kl term is missing", f"{LOGVAR} right"],
    ),
    "kl_gradient_missing_half": (
        kl(lambda dmu, dlv: (dmu, 2 * dlv)),
        "terms",
        HEADS,
        [LOGVAR, "kl term is 2 times too large"],
    ),
    "kl_gradient_sign": (
        kl(lambda dmu, dlv: (-dmu, dlv)),
        "terms",
        HEADS,
        [MU, "kl term is of the opposite sign", f"{LOGVAR} right"],
    ),
    "kl_gradient_sign_of_both": (
        kl(lambda dmu, dlv: (-dmu, -dlv)),
        "terms",
        ENCODER,
        ["kl term is of the opposite sign"],
    ),
    "kl_gradient_not_averaged": (
        kl(lambda dmu, dlv: (B * dmu, B * dlv)),
        "terms",
        ENCODER,
        ["kl term is 6 times too large", "6 = B"],
    ),
    "backward_without_beta": (
        kl(lambda dmu, dlv: (dmu / BETA, dlv / BETA)),
        "terms",
        ENCODER,
        ["kl term is 2.5 times too small", "1/beta: beta is missing"],
    ),
    "heads_swapped": (
        cases.swap_heads,
        "heads",
        HEADS,
        ["halves are exchanged", "(mu) hold what belongs to columns 3..5 (logvar)"],
    ),
    "two_mistakes": (
        kl(lambda dmu, dlv: (-dmu, 2 * dlv)),
        "terms",
        HEADS,
        [
            f"{MU}: the gradient of the kl term is of the opposite sign",
            f"{LOGVAR}: the gradient of the kl term is 2 times too large",
        ],
    ),
}
W, b = "encoder.0.W", "encoder.2.b"  # (5, 4) and (6,)
BLOCKS = {  # one block of the VAE's gradient replaced by a function of the right one
    "gradient_factor_two": (W, lambda n: 2 * n, "factor", ["encoder.0.W: 2 times too large everywhere", "show this as 1/3"]),
    "gradient_four_over_m": (b, lambda n: 4 * n, "factor", ["4 times too large", "show this as 0.6"]),
    "half": (W, lambda n: n / 2, "factor", ["2 times too small everywhere; a 2 is missing"]),
    "sign": (W, lambda n: -n, "factor", ["of the opposite sign everywhere", "minus sign"]),
    "bias mean": (b, lambda n: n / B, "factor", ["6 times too small", "1/6 = 1/B: the mean over the batch"]),
    "minus two": (W, lambda n: -2 * n, "factor", ["2 times too large and of the opposite sign", "-2 = 2 x -1"]),
    "product": (W, lambda n: n * B * D, "factor", ["30 times too large everywhere; 30 = B x D"]),
    "two factors": (b, lambda n: n / 2 / B, "factor", ["12 times too small", "1/12 = 1/2 x 1/B"]),
    "unknown": (W, lambda n: 1.2345 * n, "factor", ["a constant factor, 1.2345 times", "is none of 2, 1/2, -1, 4, 1/4, B, 1/B"]),
    "not propagated": (W, lambda n: 0 * n, "zero", ["0 everywhere", "not propagated"]),
    "reshaped": (W, lambda n: n.T.reshape(n.shape), "transposed", ["transposed gradient (4, 5)", "a reshape in place of .T"]),
    "rows reversed": (W, lambda n: n[::-1], "permuted", ["the right rows, in reverse order"]),
    "columns shifted": (W, lambda n: np.roll(n, -1, 1), "permuted", ["the right columns, shifted: place 0 holds that of place 1"]),
    "rows permuted": (W, lambda n: n[[0, 2, 1, 4, 3]], "permuted", ["rows, in another order: place 1 holds that of place 2"]),
    "entries reversed": (b, lambda n: n[::-1], "permuted", ["the right entries, in reverse order"]),
    "summed over rows": (W, lambda n: np.ones((D, 1)) * n.sum(0), "axis", ["every row holds the sum of all rows"]),
    "averaged over entries": (b, lambda n: np.full(2 * Z, n.mean()), "axis", ["every entry holds the mean of all entries"]),
    "filled": (W, lambda n: np.ones(D)[:, None] * n[2] ** 2, "axis", ["the same in every row"]),
    "rows not filled": (W, lambda n: n * [[1], [0], [0], [1], [1]], "slices", ["right but for rows 1, 2: 0"]),
    "columns twice": (W, lambda n: n * [1, 2, 2, 2], "slices", ["right but for columns 1..3: 2 times too large"]),
    "logvar columns twice": (b, lambda n: n * [1, 1, 1, 2, 2, 2], "factor", [f"{LOGVAR}: 2 times too large", f"{MU} right"]),
    "one entry": (b, lambda n: n * [1, 1, 1, 1, -1, 1], "slices", ["entry 4 of the 6 compared: of the opposite sign"]),
}  # fmt: skip
DENSE = {  # the backward pass of a Dense layer
    "last_row_only": (
        {"W": lambda x, dy: np.outer(x[-1], dy[-1]), "b": lambda x, dy: dy[-1]},
        "rows",
        ["only the last row (5)"],
    ),
    "last row times B": (
        {"b": lambda x, dy: B * dy[-1]},
        "rows",
        ["only the last row (5) of the batch of 6 is used, 6 times"],
    ),
    "first row only": (
        {"b": lambda x, dy: dy[0]},
        "rows",
        ["only the first row (0)"],
    ),
    "row missing": (
        {"b": lambda x, dy: dy.sum(0) - dy[2], "W": lambda x, dy: x.T @ dy - np.outer(x[2], dy[2])},
        "rows",
        ["row 2 of the batch of 6 is missing"],
    ),
    "row tiled": (
        {"W": lambda x, dy: x.T @ dy + np.outer(x[5], dy[5])},
        "rows",
        ["the last row (5) of the batch of 6 is counted twice"],
    ),
    "bias mean": (
        {"b": lambda x, dy: dy.mean(0)},
        "factor",
        ["0.b: 6 times too small", "or in place of a sum"],
    ),
}
SECOND_CALL = {  # analytic and again, from the right gradient and a second, random one
    "accumulated": (lambda n, r: (n, 2 * n), "accumulated"),
    "accumulated before": (lambda n, r: (3 * n, 4 * n), "accumulated"),
    "random": (lambda n, r: (n + r, n - r), "random"),
}


@pytest.mark.parametrize("name", MODEL)
def test_a_mistake_in_the_models_backward_pass_is_named(name):
    plant, kind, blocks, words = MODEL[name]
    (finding,) = cases.model_patient(plant).findings()
    assert (finding.kind, set(finding.names)) == (kind, blocks)
    assert [word for word in words if word not in finding.sentence] == [], finding.sentence
    assert finding.residual < 1e-13


@pytest.mark.parametrize("name", BLOCKS)
def test_a_wrong_block_is_named(name):
    block, change, kind, words = BLOCKS[name]
    (finding,) = cases.model_patient().planted(**{block: change}).findings()
    assert (finding.kind, finding.names) == (kind, (block,))
    assert [word for word in words if word not in finding.sentence] == [], finding.sentence


@pytest.mark.parametrize("name", DENSE)
def test_a_mistake_in_a_dense_layer_is_named(name):
    wrong, kind, words = DENSE[name]
    (finding,) = cases.dense_patient(**wrong).findings()
    assert (finding.kind, set(finding.names)) == (kind, {f"0.{block}" for block in wrong})
    assert [word for word in words if word not in finding.sentence] == [], finding.sentence


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_a_wrong_activation_derivative_is_named(name):
    kind, slope, expected, words = cases.ACTIVATIONS[name]
    (finding,) = cases.activation_patient(kind, slope).findings()
    assert finding.kind == expected
    assert [word for word in words if word not in finding.sentence] == [], finding.sentence


@pytest.mark.parametrize("name", cases.SAMPLERS)
def test_a_wrong_factor_in_the_sampler_is_named(name):
    slope, words = cases.SAMPLERS[name]
    (finding,) = cases.sampler_patient(slope).findings()
    assert finding.kind == "tensor"
    assert [word for word in words if word not in finding.sentence] == [], finding.sentence


def test_reparam_missing_half_is_the_constant_2_to_the_sampler():
    (finding,) = cases.sampler_patient(lambda s, eps, lv: s * eps).findings()
    assert finding.kind == "factor" and "2 times too large" in finding.sentence


@pytest.mark.parametrize("name", SECOND_CALL)
def test_a_second_call_that_gives_another_gradient_is_explained(name, rng):
    change, kind = SECOND_CALL[name]
    right = cases.model_patient()
    pairs = {block: change(n, rng.normal(size=n.shape)) for block, n in right.numeric.items()}
    patient = right._replace(analytic={k: a for k, (a, _) in pairs.items()})
    patient.more["again"] = {k: again for k, (_, again) in pairs.items()}
    (finding,) = patient.findings()
    assert finding.kind == kind and finding.sentence.startswith("every block: ")


def test_an_upstream_gradient_that_is_missing_is_named():
    patient = cases.sampler_patient(lambda s, eps, lv: 0.5 * s * eps)
    (finding,) = patient.planted(x=lambda n: n / patient.more["tensors"]["x"]["dz"]).findings()
    assert finding.kind == "tensor" and "the factor dz, the upstream gradient, is missing" in finding.sentence


def test_the_second_call_of_a_repeatable_gradient_says_nothing_and_hides_nothing():
    patient = cases.model_patient().planted(**{W: lambda n: 2 * n})
    patient.more["again"] = copy.deepcopy(patient.analytic)
    assert [finding.kind for finding in patient.findings()] == ["factor"]
    patient.more["again"] = {k: 2 * a for k, a in patient.analytic.items()}
    assert {finding.kind for finding in patient.findings()} == {"accumulated", "factor"}


def test_the_bias_summed_over_the_features_of_a_square_batch_is_named():
    (finding,) = cases.dense_patient(rows=H, b=lambda x, dy: dy.sum(1)).findings()
    assert finding.kind == "axis" and "summed over the wrong axis: over the features of each row" in finding.sentence


def test_the_transpose_of_a_square_block_is_named():
    (finding,) = cases.dense_patient(n_out=D, W=lambda x, dy: dy.T @ x).findings()
    assert finding.kind == "transposed" and "0.W: the transpose of the numeric gradient" in finding.sentence


def test_a_square_weight_that_is_not_transposed_is_named():
    rng = np.random.default_rng(3)
    dy, W = rng.normal(size=(B, D)), rng.normal(size=(D, D))
    suspects = {"x": {"dy W in place of dy W^T.": dy @ W}}
    (finding,) = diagnose({"x": dy @ W}, {"x": dy @ W.T}, {"x": 1e-14}, suspects=suspects)
    assert (finding.kind, finding.sentence) == ("suspected", "x: dy W in place of dy W^T.")
    assert diagnose({"x": dy @ W + 1e-3}, {"x": dy @ W.T}, {"x": 1e-14}, suspects=suspects) == []


def test_blocks_that_hold_each_others_gradient_are_named():
    right = cases.model_patient()
    n = {k: right.numeric[k] for k in ("encoder.0.b", "decoder.0.b")}
    (finding,) = right.planted(**{"encoder.0.b": n["decoder.0.b"], "decoder.0.b": n["encoder.0.b"]}).findings()
    assert finding.kind == "swapped" and finding.names == ("decoder.0.b", "encoder.0.b")
    (finding,) = right.planted(**{"encoder.0.b": n["decoder.0.b"]}).findings()
    assert finding.kind == "copied" and finding.sentence.startswith("encoder.0.b: equal to the gradient of decoder.0.b")


def test_every_pattern_that_is_published_is_planted_above():
    tables = (MODEL, BLOCKS, DENSE, SECOND_CALL, cases.ACTIVATIONS)
    planted = {word for table in tables for row in table.values() for word in row if isinstance(word, str)} - {W, b}
    assert planted | {"tensor", "swapped", "copied", "suspected"} == set(PATTERNS)
