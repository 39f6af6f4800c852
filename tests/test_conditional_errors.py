"""A conditional model, given bad labels or none: one sentence that names the method, what was expected and what came."""

import numpy as np
import pytest
from conditional_cases import make_case

from npvae import VAE, Autoencoder, Gaussian
from npvae.models import ConditionalVAE

METHODS = {
    "loss": lambda m, c: m.loss(np.full((7, 5), 0.5), np.zeros((7, 3)), condition=c),
    "loss_and_grad": lambda m, c: m.loss_and_grad(np.full((7, 5), 0.5), np.zeros((7, 3)), condition=c),
    "encode": lambda m, c: m.encode(np.full((7, 5), 0.5), condition=c),
    "decode": lambda m, c: m.decode(np.zeros((7, 3)), condition=c),
    "reconstruct": lambda m, c: m.reconstruct(np.full((7, 5), 0.5), condition=c),
    "sample": lambda m, c: m.sample(7, np.random.default_rng(0), condition=c),
    "given": lambda m, c: m.given(c).loss(np.full((7, 5), 0.5), np.zeros((7, 3))),
}
BAD = {
    "missing": (None, TypeError, r"condition is missing; .* give condition=, the integer labels \((B|7),\)"),
    "floats": (np.zeros(7), TypeError, "condition must be integer labels, got float64"),
    "truth values": (np.zeros(7, bool), TypeError, "condition must be integer labels, got bool"),
    "text": (["a"] * 7, TypeError, "condition must be integer labels, got <U1"),
    "too large": ([0, 1, 2, 3, 4, 0, 9], ValueError, r"condition is 4 at \[4\], expected 0 to 3, .* \(2 of 7 labels are out of"),
    "negative": ([0, 1, 2, 3, 0, -1, 0], ValueError, r"condition is -1 at \[5\], expected 0 to 3, since n_classes is 4"),
    "one-hot rows": (np.eye(7, dtype=int), ValueError, r"condition has shape \(7, 7\), .* become labels by .argmax\(axis=1\)"),
    "a column": (np.zeros((7, 1), int), ValueError, r"condition has shape \(7, 1\), expected"),
    "too few": (np.zeros(6, int), ValueError, r"6 labels|condition has shape \(6,\), expected \(7,\)"),
    "none": (np.zeros(0, int), ValueError, r"condition holds no labels|condition has shape \(0,\), expected \(7,\)"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("method", METHODS)
def test_bad_labels_get_one_sentence(method, bad):
    condition, kind, words = BAD[bad]
    model = make_case().model
    grad = model.params.grad.copy()
    with pytest.raises(kind, match=words) as caught:
        METHODS[method](model, condition)
    message = str(caught.value)
    assert message.startswith("ConditionalVAE.") and "\n" not in message and message.endswith("."), message
    np.testing.assert_array_equal(model.params.grad, grad)


def test_a_number_is_one_label_for_sample_alone():
    with pytest.raises(ValueError, match=r"ConditionalVAE.encode: condition has shape \(\), expected \(B,\)"):
        make_case().model.encode(np.full((7, 5), 0.5), condition=2)
    with pytest.raises(ValueError, match=r"ConditionalVAE.sample: condition is 4 at \[0\]"):
        make_case().model.sample(2, np.random.default_rng(0), condition=4)


def test_other_models_take_no_labels():
    vae, x, eps = VAE.dense(5, (4,), 3, rng=np.random.default_rng(0)), np.full((7, 5), 0.5), np.zeros((7, 3))
    with pytest.raises(TypeError, match="condition"):
        vae.loss(x, eps, condition=np.zeros(7, int))
    with pytest.raises(TypeError, match="n_classes"):
        Autoencoder.dense(5, (4,), 3, n_classes=2, rng=np.random.default_rng(0))


def test_the_number_of_classes_is_asked_for_and_looked_at():
    with pytest.raises(TypeError, match="n_classes"):
        ConditionalVAE.dense(5, (4,), 3, rng=np.random.default_rng(0))
    for n, kind in ((0, ValueError), (2.0, TypeError), ("3", TypeError)):
        with pytest.raises(kind, match=r"ConditionalVAE.dense: n_classes must be"):
            ConditionalVAE.dense(5, (4,), 3, n_classes=n, rng=np.random.default_rng(0))
    vae = VAE.dense(5, (4,), 3, rng=np.random.default_rng(0), dtype=float)
    with pytest.raises(ValueError, match="Dense"):  # networks that leave no room for the labels
        ConditionalVAE(vae.encoder.astype(float), vae.decoder.astype(float), Gaussian(), 3, 2)


def test_what_is_not_finite_is_named():
    case = make_case()
    case.eps[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"ConditionalVAE.loss: eps is nan at \[2, 1\]"):
        case.loss()


@pytest.mark.parametrize("label", [1.0, 1.9, True])
def test_one_label_for_all_samples_must_be_an_integer_too(label):
    model = ConditionalVAE.dense(6, n_classes=3, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match="integer labels"):
        model.sample(2, np.random.default_rng(0), condition=label)
