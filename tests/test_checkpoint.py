"""Checkpoint files: everything that goes in comes back, into a model that is built from the file or into one's own."""

import json
import os

import numpy as np
import pytest
from runs import D, Z, make_model, run

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, ReLU
from npvae.core.parameters import Layer
from npvae.training import CheckpointError, History, load_checkpoint, save_checkpoint


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.npz"


def trained(file, **options):
    """A run with every kind of content: best parameters, optimizer, history."""
    return run(validation="valid", patience=9, checkpoint=file, binarize="dynamic", **options)


# --- round trips ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Gaussian(0.5), Gaussian(0.5, learn=True)], ids=["Bernoulli", "fixed", "learned"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_comes_back_bit_for_bit_from_its_file_alone(file, kind, likelihood, dtype):
    model = make_model(kind=kind, likelihood=likelihood.astype(np.float64), activation=ReLU, dtype=dtype)
    model.params.theta += np.random.default_rng(1).normal(size=model.params.size).astype(dtype)
    save_checkpoint(file, model)
    again = load_checkpoint(file).model
    assert type(again) is kind and again.dtype == dtype and again.params.theta.tobytes() == model.params.theta.tobytes()
    x = np.random.default_rng(2).random((3, D)).astype(dtype)
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))


def test_a_file_holds_what_it_was_given(file):
    model, optimizer, history = run()
    save_checkpoint(file, model, optimizer, history=history, training={"note": [1, 2.5, None]}, best_theta=2 * model.params.theta)
    c = load_checkpoint(file)
    np.testing.assert_array_equal(c.theta, model.params.theta)
    np.testing.assert_array_equal(c.best_theta, 2 * model.params.theta)
    np.testing.assert_array_equal(c.model.params.theta, c.best_theta, "the best ones, if there are such")
    assert c.optimizer == optimizer.config() and c.history.records == history.records and c.training == {"note": [1, 2.5, None]}
    other = Adam()
    other.load_state_dict(c.optimizer_state)
    assert other.t == optimizer.t and other.m.tobytes() == optimizer.m.tobytes() and other.v.tobytes() == optimizer.v.tobytes()
    assert set(c.manifest["versions"]) == {"npvae", "numpy", "python"}
    save_checkpoint(file, model)
    c = load_checkpoint(file)
    assert (c.best_theta, c.optimizer, c.optimizer_state, c.history, c.training) == (None,) * 5


def test_an_optimizer_that_has_not_stepped_comes_back_too(file):
    save_checkpoint(file, make_model(), Adam(0.25))
    assert load_checkpoint(file).optimizer_state == {"t": 0, "m": None, "v": None}


def test_fit_leaves_a_file_with_the_last_and_the_best_parameters(file):
    model, optimizer, history = trained(file)
    c = load_checkpoint(file)
    np.testing.assert_array_equal(c.model.params.theta, model.params.theta)
    np.testing.assert_array_equal(c.best_theta, model.params.theta)
    assert c.history.records == history.records and c.training["epoch"] == 4 and c.training["step"] == 0
    assert c.optimizer == {"type": "Adam", "lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert c.optimizer_state["t"] == 15


def test_people_can_read_a_file_with_numpy_alone(file):
    model = make_model()
    save_checkpoint(file, model)
    with np.load(file, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["encoder.0.W"], model.encoder.layers[0].W)
        manifest = json.loads(archive["manifest"].tobytes())
        assert set(archive) == {"manifest", *(name for name, _, _ in model.params)}
    assert manifest["format"] == "npvae checkpoint" and manifest["version"] == 1
    assert manifest["arrays"][0].keys() == {"name", "shape", "dtype", "sha256"}


def test_the_path_is_used_as_it_is_given(tmp_path):
    for name in ("no_suffix", "model.ckpt", "späce [1].npz"):
        save_checkpoint(str(tmp_path / name), make_model())
        assert (tmp_path / name).is_file()
        load_checkpoint(tmp_path / name)
    assert len(os.listdir(tmp_path)) == 3


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        save_checkpoint(tmp_path / name, make_model(), Adam())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_callbacks_add_is_kept_as_plain_numbers(file):
    def note(record, model):
        record |= {"norm": np.float32(0.5), "units": np.arange(2)}

    run(checkpoint=file, callbacks=[note])
    assert load_checkpoint(file).history.records[0]["units"] == [0, 1]
    with pytest.raises(TypeError, match="cannot be kept in a checkpoint; use numbers"):
        save_checkpoint(file, make_model(), history=History([{"bad": object()}]))
    assert load_checkpoint(file).history["norm"] == [0.5] * 3


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "real" / "model.npz")
    save_checkpoint(tmp_path / "link.npz", make_model())
    assert (tmp_path / "link.npz").is_symlink() and os.listdir(tmp_path / "real") == ["model.npz"]


# --- loading into a model that is there -----------------------------------------------------------------------------------------


class Scale(Layer):
    """A layer of one's own, unknown to the library."""

    parameters = ("g",)

    def __init__(self):
        self.g = np.ones(2 * Z)

    def forward(self, x):
        return x * self.g, x

    def backward(self, dy, x, need_dx=True):
        self.dg = np.sum(dy * x, axis=0)
        return dy * self.g if need_dx else None


def own_model(seed=0):
    rng = np.random.default_rng(seed)
    return VAE(Chain([Dense(D, 2 * Z, rng=rng), Scale()]), Dense(Z, D, rng=rng), Bernoulli(), Z)


def test_a_model_with_layers_of_ones_own_is_loaded_into_one_that_the_caller_builds(file):
    model = own_model()
    model.encoder.layers[1].g *= 3
    save_checkpoint(file, model)
    with pytest.raises(CheckpointError, match=r"unknown layer or likelihood '.*Scale'.*build the model and pass it as model="):
        load_checkpoint(file)
    other = own_model(seed=5)
    assert load_checkpoint(file, other).model is other
    np.testing.assert_array_equal(other.params.theta, model.params.theta)


def test_a_float32_file_can_be_loaded_into_a_float64_twin(file):
    model = make_model()
    save_checkpoint(file, model)
    twin = make_model(seed=3, dtype=np.float64)
    load_checkpoint(file, twin)
    np.testing.assert_array_equal(twin.params.theta, model.params.theta.astype(np.float64))


def test_everything_that_does_not_fit_is_listed_together_and_the_model_is_untouched(file):
    save_checkpoint(file, make_model())
    other = VAE.dense(D, (7, 5), Z, rng=np.random.default_rng(0))
    before = other.params.theta.copy()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(file, other)
    for words in ("encoder.4.W (5, 4) is not in the file", "encoder.0.W is (6, 5) in the file, (6, 7) in the model", str(file)):
        assert words in str(caught.value)
    np.testing.assert_array_equal(other.params.theta, before)
    save_checkpoint(file, other)
    with pytest.raises(CheckpointError, match=r"the model has no encoder.4.W \(5, 4\)"):
        load_checkpoint(file, make_model())


def test_complex_parameters_do_not_go_into_a_real_model(file):
    save_checkpoint(file, make_model().astype(np.complex128))
    with pytest.raises(CheckpointError, match="encoder.0.W is complex128 in the file, float32 in the model"):
        load_checkpoint(file, make_model())
