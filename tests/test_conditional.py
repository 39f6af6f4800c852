"""The conditional VAE: its gradient against exact derivatives, its loss against literal loops, the plain VAE that it is for given
labels, what labels must and must not change, check_model with labels, and copies."""

import copy
import json
import pickle

import numpy as np
import pytest
import reference
from conditional_cases import cases, make_case
from derivatives import assert_agree, complex_step, layer_arguments, layer_gradients, weighted_output
from hypothesis import given
from hypothesis import strategies as st
from joined import assert_joined, slots
from model_cases import LIKELIHOODS, assert_same_config, blocks

from npvae import VAE, Dense, Gaussian, ReLU, check_layer, check_model
from npvae.core.layers import Chain
from npvae.models import ConditionalVAE, from_config
from npvae.models.conditional import GivenLabels, WithLabels
from npvae.training import load_checkpoint, save_checkpoint


def loss_of_theta(case):
    """theta -> the total loss of the complex twin."""
    twin = case.model.astype(complex)

    def f(theta):
        twin.params.theta = theta
        return case.loss(model=twin).total

    return f


# --- the gradient and the value -------------------------------------------------------------------------------------------------


@given(cases())
def test_the_whole_gradient_agrees_with_the_complex_step(case):
    analytic = case.gradient()
    numeric = complex_step(loss_of_theta(case), case.model.params.theta.copy())
    assert_agree(blocks(case.model, analytic), blocks(case.model, numeric), rtol=1e-10)
    assert np.linalg.norm(analytic - numeric) <= 1e-13 * np.linalg.norm(numeric)


def literal_loss(model, x, eps, beta, labels):
    """1/B sum_b ( -log p(x_b|z_b, c_b) + beta KL_b ) in loops over Python numbers                                [CVAE-2]"""
    B, Z, n = len(x), model.latent_dim, model.n_classes
    reconstruction = kl = 0.0
    for row, noise, label in zip(x.tolist(), eps.tolist(), labels.tolist()):
        onehot = [1.0 if c == label else 0.0 for c in range(n)]
        (code,) = reference.chain(model.encoder.layers, [row + onehot])
        mu, logvar = code[:Z], code[Z:]
        (out,) = reference.chain(model.decoder.layers, [reference.reparameterize(mu, logvar, noise) + onehot])
        reconstruction += reference.nll(model.likelihood, out, row) / B
        kl += reference.kl_divergence(mu, logvar) / B
    return reconstruction + beta * kl, reconstruction, kl


@given(cases())
def test_the_loss_agrees_with_literal_loops(case):
    np.testing.assert_allclose(case.loss(), literal_loss(*case), rtol=1e-12)
    loss = case.model.loss_and_grad(case.x, case.eps, case.beta, condition=case.labels)
    assert loss == case.loss() and loss.total == loss.reconstruction + case.beta * loss.kl


@given(cases(), st.integers(1, 3))
def test_a_layer_told_labels_has_the_gradient_of_its_own_input(case, K):
    """The columns of the labels are cut off again, and K samples of each example get the labels of their examples."""
    onehot = np.eye(case.model.n_classes)[case.labels]
    layer = WithLabels(case.model.encoder.astype(float), onehot)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(K, *case.x.shape))
    y, _ = layer.forward(x.reshape(-1, x.shape[2]))
    for sample, part in zip(x, y.reshape(K, len(onehot), -1)):
        np.testing.assert_allclose(part, layer.layers[0].forward(np.hstack([sample, onehot]))[0], rtol=1e-13)
    x, dy = x.reshape(-1, x.shape[2]), rng.normal(size=y.shape)
    analytic = layer_gradients(layer, x, dy)
    assert analytic["x"].shape == x.shape
    assert_agree(analytic, complex_step(weighted_output(layer, dy), layer_arguments(layer, x)), rtol=1e-10)
    assert layer.backward(dy, layer.forward(x)[1], need_dx=False) is None


def test_a_label_is_a_row_of_w_added_to_the_bias():
    case = make_case(hidden=())
    (dense,) = case.model.encoder.layers
    D = case.x.shape[1]
    mu, logvar = case.model.encode(case.x, condition=case.labels)
    by_hand = case.x @ dense.W[:D] + dense.b + dense.W[D:][case.labels]
    np.testing.assert_allclose(np.hstack([mu, logvar]), by_hand, rtol=1e-13)


@given(cases())
def test_gradients_are_assigned_never_accumulated_and_nothing_given_is_written_into(case):
    before = [a.tobytes() for a in (case.x, case.eps, case.labels, case.model.params.theta)]
    first = case.gradient()
    case.model.params.grad[:] = np.nan
    np.testing.assert_array_equal(case.gradient(), first)
    assert [a.tobytes() for a in (case.x, case.eps, case.labels, case.model.params.theta)] == before


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_float32_keeps_its_dtype_everywhere_and_stays_close_to_float64(likelihood, monkeypatch):
    backward, seen = Dense.backward, []

    def watched(self, dy, x, need_dx=True):
        dx = backward(self, dy, x, need_dx)
        seen.extend(a.dtype for a in (dy, x, dx) if a is not None)
        return dx

    case = make_case(B=16, D=30, hidden=(20, 10), likelihood=likelihood, dtype=np.float32)
    double = case.gradient(model=case.model.astype(np.float64))
    monkeypatch.setattr(Dense, "backward", watched)
    single, model, c = case.gradient(), case.model, case.labels
    assert len(seen) == 17 and set(seen) == {np.dtype(np.float32)}, "a stray float64 would cost time and not show"
    assert np.linalg.norm(single - double) <= 2e-6 * np.linalg.norm(double)
    outputs = *model.encode(case.x, condition=c), model.decode(case.eps, condition=c), model.reconstruct(case.x, condition=c)
    assert {a.dtype for a in (*outputs, model.sample(3, np.random.default_rng(1), condition=0))} == {np.dtype(np.float32)}


# --- the plain VAE inside, and the labels ---------------------------------------------------------------------------------------


def plain_twin(case, W_c=None):
    """The VAE of the same weights without those of the labels, which are set to W_c (0 if None) in the conditional model."""
    widths = {"encoder": case.x.shape[1], "decoder": case.model.latent_dim}
    chains = {}
    for name, n_in in widths.items():
        chain = getattr(case.model, name)
        first, rest = chain.layers[0], chain.layers[1:]
        first.W[n_in:] = 0 if W_c is None else W_c[: len(first.W) - n_in, : first.n_out]
        twin = Dense(n_in, first.n_out, rng=np.random.default_rng(0))
        twin.W, twin.b = first.W[:n_in], first.b
        chains[name] = Chain([twin, *(layer.astype(float) for layer in rest)])
    return VAE(chains["encoder"], chains["decoder"], case.model.likelihood.astype(float), case.model.latent_dim)


@given(cases())
def test_without_weights_for_the_labels_it_is_the_plain_vae(case):
    vae = plain_twin(case)
    np.testing.assert_allclose(case.loss(), vae.loss(case.x, case.eps, case.beta), rtol=1e-13)
    vae.loss_and_grad(case.x, case.eps, case.beta)
    ours, theirs = blocks(case.model, case.gradient()), {name: grad for name, _, grad in vae.params}
    for name, width in (("encoder.0.W", case.x.shape[1]), ("decoder.0.W", case.model.latent_dim)):
        ours[name] = ours[name][:width]
    assert_agree(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(case.model.reconstruct(case.x, condition=case.labels), vae.reconstruct(case.x), rtol=1e-12)


@given(cases())
def test_the_label_weights_of_all_classes_have_the_gradient_of_the_bias_together(case):
    """One-hot rows sum to 1; and a class that is not in the batch is not touched."""
    case.gradient()
    for chain, n_in in ((case.model.encoder, case.x.shape[1]), (case.model.decoder, case.model.latent_dim)):
        dW_c, db = chain.layers[0].dW[n_in:], chain.layers[0].db
        assert_agree(np.sum(dW_c, axis=0), db, rtol=1e-12)
        absent = np.setdiff1d(np.arange(case.model.n_classes), case.labels)
        assert not np.any(dW_c[absent])


def test_a_single_class_is_a_vae_with_another_bias():
    case = make_case(n_classes=1)
    W_c = np.random.default_rng(1).normal(size=(1, 9))
    vae = plain_twin(case, W_c)
    vae.encoder.layers[0].b += W_c[0, :6]
    vae.decoder.layers[0].b += W_c[0, :6]
    np.testing.assert_allclose(case.loss(), vae.loss(case.x, case.eps), rtol=1e-13)


@given(cases(), st.randoms(use_true_random=False))
def test_rows_may_be_permuted_together_with_their_labels(case, random):
    order = random.sample(range(len(case.x)), len(case.x))
    other = dict(x=case.x[order], eps=case.eps[order], labels=case.labels[order])
    np.testing.assert_allclose(case.loss(**other), case.loss(), rtol=1e-12)
    assert_agree(case.gradient(**other), case.gradient(), rtol=1e-11)


@given(cases(), st.randoms(use_true_random=False))
def test_the_names_of_the_classes_do_not_matter(case, random):
    n = case.model.n_classes
    new = np.array(random.sample(range(n), n))  # old label -> new label
    twin = case.model.astype(float)
    for chain in (twin.encoder, twin.decoder):
        W = chain.layers[0].W
        W[-n:][new] = W[-n:].copy()
    np.testing.assert_allclose(case.loss(model=twin, labels=new[case.labels]), case.loss(), rtol=1e-12)


@given(cases())
def test_the_batch_may_be_cut_by_class(case):
    """Each example sees its own label and no other's."""
    total = 0.0
    for label in np.unique(case.labels):
        rows = case.labels == label
        part = case.loss(x=case.x[rows], eps=case.eps[rows], labels=case.labels[rows])
        total = total + np.mean(rows) * np.array(part)
    np.testing.assert_allclose(total, case.loss(), rtol=1e-12)


def test_the_label_matters_to_both_networks():
    case = make_case()
    model, (x, z) = case.model, (case.x, case.eps)
    losses, codes, outs = set(), set(), set()
    for label in range(4):
        labels = np.full(len(x), label)
        losses.add(case.loss(labels=labels))
        codes.add(model.encode(x, condition=labels)[0].tobytes())
        outs.add(model.decode(z, condition=labels).tobytes())
    assert len(losses) == len(codes) == len(outs) == 4


# --- the other methods ----------------------------------------------------------------------------------------------------------


@given(cases())
def test_shapes_of_every_method(case):
    model, (B, D), Z, c = case.model, case.x.shape, case.eps.shape[1], case.labels
    rng = np.random.default_rng(0)
    assert (model.data_dim, model.latent_dim) == (D, Z)
    mu, logvar = model.encode(case.x, condition=c)
    assert mu.shape == logvar.shape == model.noise(B, rng).shape == (B, Z)
    assert model.decode(mu, condition=c).shape == (B, D)
    assert model.reconstruct(case.x, condition=c).shape == model.sample(B, rng, condition=c).shape == (B, D)
    np.testing.assert_array_equal(
        model.reconstruct(case.x, condition=c), model.likelihood.mean(model.decode(mu, condition=c)), "decoded from z = mu"
    )


def test_one_label_for_all_samples_or_a_label_each():
    model = make_case().model
    sevens = model.sample(5, np.random.default_rng(1), condition=2)
    np.testing.assert_array_equal(sevens, model.sample(5, np.random.default_rng(1), condition=np.int8(2)))
    np.testing.assert_array_equal(sevens, model.sample(5, np.random.default_rng(1), condition=[2] * 5))
    z = model.noise(5, np.random.default_rng(1))
    np.testing.assert_array_equal(sevens, model.likelihood.mean(model.decode(z, condition=[2] * 5)), "z comes from the prior")
    each, threes = (model.sample(4, np.random.default_rng(1), condition=c) for c in (range(4), 3))
    np.testing.assert_array_equal(each[3], threes[3])
    assert not np.any(each[:3] == threes[:3])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64, np.int8])
def test_labels_of_every_integer_dtype_are_the_same(dtype):
    case = make_case()
    assert case.loss(labels=case.labels.astype(dtype)) == case.loss() == case.loss(labels=case.labels.tolist())


def test_the_first_layers_are_wider_by_the_classes_and_nothing_else():
    mean = np.array([-2.0, 0.5, 7.0])
    options = dict(rng=np.random.default_rng(0), output_mean=mean, init="he")
    model = ConditionalVAE.dense(3, (20, 10), 4, Gaussian(), ReLU, n_classes=6, **options)
    widths = [[layer.W.shape for layer in chain.layers if isinstance(layer, Dense)] for chain in (model.encoder, model.decoder)]
    assert widths == [[(9, 20), (20, 10), (10, 8)], [(10, 10), (10, 20), (20, 3)]]
    np.testing.assert_array_equal(model.decoder.layers[-1].b, mean.astype(np.float32))
    assert model.dtype == np.float32 and np.std(model.encoder.layers[0].W) == pytest.approx(np.sqrt(2 / 9), rel=0.2)


# --- given: the VAE of a batch --------------------------------------------------------------------------------------------------


def test_given_labels_it_is_a_vae_over_the_same_parameters():
    case = make_case()
    vae = case.model.given(case.labels)
    assert isinstance(vae, VAE) and vae.params is case.model.params
    assert vae.loss_and_grad(case.x, case.eps, 2.0) == case.loss(beta=2.0)
    np.testing.assert_array_equal(case.model.params.grad, case.gradient(beta=2.0))
    case.model.params.theta *= 0.5
    assert vae.loss(case.x, case.eps) == case.loss()
    assert vae.sample(len(case.x), np.random.default_rng(0)).shape == case.x.shape
    assert check_model(vae, case.x, case.eps).ok
    assert vae.astype(np.float64).loss(case.x, case.eps) == case.loss(), "its twin has the same labels"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["deepcopy", "pickle"])
def test_a_copy_of_it_is_one_over_a_copy_of_the_model(duplicate):
    case = make_case()
    vae = case.model.given(case.labels)
    twin = duplicate(vae)
    assert isinstance(twin, GivenLabels) and twin.params is twin.model.params is not vae.params
    assert twin.loss(case.x, case.eps) == vae.loss(case.x, case.eps)
    with pytest.raises(TypeError, match="view for one batch; describe, save and train the ConditionalVAE itself"):
        vae.config()


def test_rows_that_do_not_fit_the_labels_are_refused():
    case = make_case()
    vae = case.model.given(case.labels)
    with pytest.raises(ValueError, match=r"ConditionalVAE.loss: x has 14 rows, but condition has 7 labels"):
        vae.loss(np.tile(case.x, (2, 1)), np.tile(case.eps, (2, 1)))
    for z in (case.eps[:6], np.tile(case.eps, (2, 1))[:13], case.eps[:0]):
        with pytest.raises(ValueError, match=r"there are \d+ rows, expected 7, or K times 7 for K samples"):
            vae.decode(z)


# --- check_model ----------------------------------------------------------------------------------------------------------------


class Wrong(Dense):
    """Dense whose dW is 1 % too large."""

    def backward(self, dy, x, need_dx=True):
        dx = super().backward(dy, x, need_dx)
        self.dW *= 1.01
        return dx


SMALL = dict(B=3, D=5, hidden=(4,), Z=2, n_classes=3)  # of which each entry is differentiated


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_check_model_certifies_it(likelihood):
    for dtype, beta in ((np.float64, 4.0), (np.float32, 0.5)):
        case = make_case(**SMALL, likelihood=likelihood, activation=ReLU, dtype=dtype)
        report = check_model(case.model, case.x, case.eps, beta, condition=case.labels)
        assert report.ok and report.method == "complex" and report.norm_error <= 1e-13


@pytest.mark.parametrize("chain, i", [("encoder", 0), ("encoder", 2), ("decoder", 0), ("decoder", 2)])
def test_check_model_blames_the_layer_that_is_wrong(chain, i):
    case = make_case(**SMALL)
    getattr(case.model, chain).layers[i].__class__ = Wrong
    report = check_model(case.model, case.x, case.eps, condition=case.labels)
    assert [row.name for row in report.rows if row.verdict == "wrong"] == [f"{chain}.{i}.W"]
    assert f"The backward of {chain}.{i} (Wrong) alone is wrong, at W" in report.diagnosis


def test_check_model_blames_no_layer_for_a_mistake_between_them(monkeypatch):
    def first_columns_left_out(self, dy, cache, need_dx=True):
        dx = self.layers[0].backward(dy, cache, need_dx)
        return dx[:, self.onehot.shape[1] :] if need_dx else None  # the labels come last, not first

    case = make_case(**SMALL)
    monkeypatch.setattr(WithLabels, "backward", first_columns_left_out)
    report = check_model(case.model, case.x, case.eps, condition=case.labels)
    assert not report.ok and {row.name.split(".")[0] for row in report.rows if row.verdict == "wrong"} == {"encoder"}
    assert "alone is right, but not the way through the sampling, from z back" in report.diagnosis
    layer = WithLabels(case.model.decoder.astype(float), np.eye(3)[case.labels])
    assert not check_layer(layer, case.eps).ok


# --- twins, copies, descriptions, files -----------------------------------------------------------------------------------------


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "float64": lambda model: model.astype(np.float64),
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_copies_are_whole_models(duplicate):
    case = make_case(likelihood="Gaussian with learned sigma")
    twin = duplicate(case.model)
    assert type(twin) is ConditionalVAE and twin.n_classes == 4
    assert case.loss(model=twin) == case.loss()
    np.testing.assert_array_equal(case.gradient(model=twin), case.gradient())
    twin.params.theta += 0.1
    assert case.loss(model=twin) != case.loss()
    for model in (case.model, twin):
        assert_joined(model.params, slots(model))


@given(cases())
def test_a_model_is_rebuilt_from_its_config(case):
    config = json.loads(json.dumps(case.model.config()))  # plain data
    assert config["type"] == "ConditionalVAE" and config["n_classes"] == case.model.n_classes
    model = from_config(config)
    assert_same_config(model, case.model)
    model.params.theta = case.model.params.theta
    assert case.loss(model=model) == case.loss()


def test_a_model_comes_back_from_its_file(tmp_path):
    case = make_case(dtype=np.float32)
    save_checkpoint(tmp_path / "model.npz", case.model)
    model = load_checkpoint(tmp_path / "model.npz").model
    assert type(model) is ConditionalVAE and model.dtype == np.float32
    assert model.params.theta.tobytes() == case.model.params.theta.tobytes() and case.loss(model=model) == case.loss()
