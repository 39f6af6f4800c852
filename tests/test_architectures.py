"""The convolutional model as a whole: its layers and sizes, its gradient, its way through files and copies, its training, its
errors."""

import copy
import json
import pickle

import numpy as np
import pytest
from joined import assert_joined, slots

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, check_model, fit, load_digits
from npvae.beyond import ContinuousBernoulli, Conv2D, DiagonalGaussian, Flatten, convolutional
from npvae.models import ConditionalVAE, from_config
from npvae.training import load_checkpoint, save_checkpoint

LIKELIHOODS = {
    "Bernoulli": Bernoulli,
    "Gaussian with learned sigma": lambda: Gaussian(0.7, learn=True),
    "DiagonalGaussian": DiagonalGaussian,
    "ContinuousBernoulli": ContinuousBernoulli,
}
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)


def small(likelihood=Bernoulli, seed=0, dtype=np.float64, kind=VAE, image_shape=(4, 8)):
    """A model of 32 pixels with every parameter away from 0, data and noise."""
    rng = np.random.default_rng(seed)
    model = convolutional(image_shape, 3, likelihood(), rng=rng, dtype=dtype, channels=(2, 3), hidden=5, kind=kind)
    model.params.theta += rng.normal(scale=0.2, size=model.params.size).astype(dtype)
    return model, rng.random((3, image_shape[0] * image_shape[1])).astype(dtype), model.noise(3, rng)


def pictures(layers, x):
    """(kind, shape of one example) after each layer."""
    found = []
    for layer in layers:
        x, _ = layer.forward(x)
        found.append((type(layer).__name__, x.shape[1:]))
    return found


# --- the architecture ------------------------------------------------------------------------------------------------------------


def test_the_architecture_of_article_4(rng):
    model = convolutional((28, 28), 2, Gaussian(), rng=rng)
    assert type(model) is VAE and model.dtype == np.float32 and (model.data_dim, model.latent_dim) == (784, 2)
    assert pictures(model.encoder.layers, np.zeros((1, 784))) == [
        ("Reshape", (28, 28, 1)), ("Conv2D", (28, 28, 32)), ("ReLU", (28, 28, 32)), ("MaxPool2D", (14, 14, 32)),
        ("Conv2D", (14, 14, 64)), ("ReLU", (14, 14, 64)), ("MaxPool2D", (7, 7, 64)),
        ("Flatten", (3136,)), ("Dense", (64,)), ("ReLU", (64,)), ("Dense", (4,)),
    ]  # fmt: skip
    assert pictures(model.decoder.layers, np.zeros((1, 2))) == [
        ("Dense", (3136,)), ("ReLU", (3136,)), ("Reshape", (7, 7, 64)), ("ConvTranspose2D", (14, 14, 64)), ("ReLU", (14, 14, 64)),
        ("ConvTranspose2D", (28, 28, 32)), ("ReLU", (28, 28, 32)), ("ConvTranspose2D", (28, 28, 1)), ("Flatten", (784,)),
    ]  # fmt: skip
    kernels = {value.shape[:2] for name, value, _ in model.params if value.ndim == 4}
    assert kernels == {(3, 3)} and model.params.size == 284_933


@pytest.mark.parametrize("channels, widths", [((4,), [8, 4, 8, 8]), ((2, 3, 4), [8, 4, 2, 1, 2, 4, 8, 8])])
def test_a_picture_is_halved_once_for_each_of_channels(channels, widths, rng):
    model = convolutional((16, 8), 2, Bernoulli(), rng=rng, channels=channels, hidden=5)
    encoder = [shape for kind, shape in pictures(model.encoder.layers, np.zeros((1, 128))) if kind in ("Reshape", "MaxPool2D")]
    decoder = [shape for kind, shape in pictures(model.decoder.layers, np.zeros((1, 2))) if kind == "ConvTranspose2D"]
    assert [shape[1] for shape in encoder + decoder] == widths
    assert all(shape[0] == 2 * shape[1] for shape in encoder + decoder)
    assert [shape[2] for shape in encoder] == [1, *channels]
    assert [shape[2] for shape in decoder] == [*channels[::-1], 1]


def test_the_rows_are_pictures_in_reading_order(rng):
    """One pixel of x moves the convolution around its place, and the picture of the output is the row of out."""
    model, x, _ = small()
    moved = x[:1].copy()
    moved[0, 2 * 8 + 5] += 1  # row 2, column 5
    images, convolution = model.encoder.layers[:2]
    change = convolution.forward(images.forward(moved)[0])[0] - convolution.forward(images.forward(x[:1])[0])[0]
    assert np.array_equal(np.argwhere(change[0].any(axis=-1)), [[i, j] for i in (1, 2, 3) for j in (4, 5, 6)])
    h = rng.normal(size=(2, 3))
    for layer in model.decoder.layers[:-1]:
        h, _ = layer.forward(h)
    assert np.array_equal(model.decoder.layers[-1].forward(h)[0].reshape(2, 4, 8), h[..., 0])


def test_two_outputs_a_pixel_are_all_means_and_then_all_of_the_second(rng):
    model, *_ = small(DiagonalGaussian)
    last = model.decoder.layers[-2]
    last.W[..., 1, :] = 0
    last.b = [0.25, -3]
    out = model.decode(rng.normal(size=(2, 3)))
    assert out.shape == (2, 64) and np.all(out[:, 32:] == -3)
    assert np.array_equal(model.likelihood.mean(out), out[:, :32]) and np.ptp(out[:, :32]) > 0.01


@each_likelihood
def test_the_output_starts_at_the_mean_of_the_data(likelihood, rng):
    mean = rng.uniform(0.1, 0.3, 64)
    model = convolutional((8, 8), 2, likelihood(), rng=rng, channels=(2,), output_mean=mean, dtype=np.float64)
    model.decoder.layers[-2].W = np.zeros_like(model.decoder.layers[-2].W)
    assert model.sample(3, rng) == pytest.approx(np.full((3, 64), mean.mean()), rel=1e-9)


# --- its gradient ----------------------------------------------------------------------------------------------------------------


@each_likelihood
def test_check_model_finds_nothing(likelihood):
    """Along random directions; for the autoencoder below, entry by entry."""
    report = check_model(*small(likelihood, dtype=np.float32), 0.5, directions=8)
    assert report.ok and report.method == "complex" and report.norm_error <= 1e-13, str(report)


def test_check_model_finds_nothing_in_an_autoencoder():
    report = check_model(*small(kind=Autoencoder))
    assert report.ok and report.norm_error <= 1e-13, str(report)


def test_ties_and_kinks_accuse_nobody():
    """A black picture, biases of 0: every pooling window is a tie, every ReLU at its kink."""
    rng = np.random.default_rng(0)
    model = convolutional((4, 4), 2, Bernoulli(), rng=rng, channels=(2,), hidden=3, dtype=np.float64)
    x = rng.random((3, 16))
    x[0] = 0
    assert check_model(model, x, model.noise(3, rng)).ok


def test_a_wrong_backward_is_blamed_on_its_layer(monkeypatch):
    model, x, eps = small(image_shape=(4, 4))
    convolution = model.encoder.layers[4]
    monkeypatch.setattr(type(convolution), "backward", wrong_backward(type(convolution).backward))
    report = check_model(model, x, eps)
    assert "The backward of encoder.4 (Conv2D) alone is wrong" in report.diagnosis


def wrong_backward(backward):
    def wrong(self, dy, cache, need_dx=True):
        dx = backward(self, dy, cache, need_dx)
        return dx[:, ::-1] if need_dx else None

    return wrong


def test_a_duplicated_batch_changes_nothing():
    model, x, eps = small()
    once, gradient = model.loss_and_grad(x, eps), model.params.grad.copy()
    twice = model.loss_and_grad(np.tile(x, (2, 1)), np.tile(eps, (2, 1)))
    assert twice == pytest.approx(once, rel=1e-13)
    assert model.params.grad == pytest.approx(gradient, rel=1e-11, abs=1e-13)


# --- files and copies ------------------------------------------------------------------------------------------------------------


@each_likelihood
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_the_model_comes_back_from_a_checkpoint(likelihood, kind, tmp_path):
    model, x, eps = small(likelihood, dtype=np.float32, kind=kind)
    optimizer = Adam()
    want = model.loss_and_grad(x, eps)
    optimizer.step(model.params.theta, np.zeros(model.params.size, np.float32))
    save_checkpoint(tmp_path / "model.npz", model, optimizer)
    again = load_checkpoint(tmp_path / "model.npz").model
    assert type(again) is kind and again.dtype == np.float32
    assert again.params.theta.tobytes() == model.params.theta.tobytes()
    assert again.loss_and_grad(x, eps) == want
    assert [type(layer) for layer in again.decoder.layers] == [type(layer) for layer in model.decoder.layers]


def test_the_model_is_built_again_from_its_config():
    model, x, eps = small(DiagonalGaussian)
    config = json.loads(json.dumps(model.config()))  # plain data
    again = from_config(config)
    assert again.config() == model.config() == config
    again.params.theta = model.params.theta
    assert again.loss(x, eps) == model.loss(x, eps)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_a_copy_has_its_own_parameters(duplicate):
    model, x, eps = small()
    twin = duplicate(model)
    assert twin.loss_and_grad(x, eps) == model.loss_and_grad(x, eps)
    assert np.array_equal(twin.params.grad, model.params.grad) and model.params.grad.any()
    twin.params.theta *= 2
    for m in (model, twin):
        assert_joined(m.params, slots(m))
    assert not np.array_equal(twin.params.theta, model.params.theta)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_a_twin_in_another_dtype(dtype):
    model, x, eps = small()
    twin = model.astype(dtype)
    assert twin.dtype == dtype and twin.encode(x)[0].dtype == dtype
    assert np.real(twin.loss(x, eps).total) == pytest.approx(model.loss(x, eps).total, rel=1e-5)


# --- training --------------------------------------------------------------------------------------------------------------------


def test_it_learns_the_digits_better_than_a_picture_of_one_grey():
    digits, rng = load_digits(), np.random.default_rng(0)
    model = convolutional((8, 8), 2, Bernoulli(), rng=rng, channels=(4, 8), hidden=16)
    optimizer, rng = Adam(lr=3e-3), np.random.default_rng(1)
    history = fit(model, digits, optimizer=optimizer, epochs=3, batch_size=64, rng=rng, validation="test", progress=False)
    losses = history["valid_loss"]
    assert losses == sorted(losses, reverse=True)
    p = digits.train.mean() / digits.scale
    one_grey = 64 * -(p * np.log(p) + (1 - p) * np.log1p(-p))
    assert losses[-1] < one_grey - 3


# --- errors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (
            dict(image_shape=(28, 30)),
            ValueError,
            r"a picture of 28 x 30 cannot be halved 2 times, once for each of channels \(32, 64\)",
        ),
        (
            dict(image_shape=(28, 28), channels=(2, 2, 2)),
            ValueError,
            "a picture of 28 x 28 cannot be halved 3 times.*multiples of 8",
        ),
        (dict(image_shape=(784,)), ValueError, r"image_shape must be \(height, width\), got \(784,\)"),
        (dict(image_shape=784), ValueError, r"image_shape must be \(height, width\), got 784"),
        (dict(image_shape=(28.0, 28)), TypeError, r"image_shape must be an integer, got 28\.0"),
        (dict(channels=()), TypeError, r"channels must be a tuple of widths such as \(32, 64\), got \(\)"),
        (dict(channels=32), TypeError, r"channels must be a tuple of widths such as \(32, 64\), got 32"),
        (dict(channels=(32, 0)), ValueError, "channels must be at least 1, got 0"),
        (dict(hidden=(64,)), TypeError, r"hidden must be an integer, got \(64,\)"),
        (dict(latent_dim=0), ValueError, "latent_dim must be at least 1, got 0"),
        (dict(likelihood=Bernoulli), TypeError, r"likelihood must be an instance such as Bernoulli\(\), got <class"),
        (dict(kind=ConditionalVAE), ValueError, "kind must be VAE or Autoencoder, whose rows are pictures and nothing else; got"),
        (dict(output_mean=np.zeros(3)), ValueError, r"output_mean has shape \(3,\), expected \(64,\); give the mean of each pixel"),
        (dict(output_mean=np.full(64, np.nan)), ValueError, r"output_mean is nan at \[0\]"),
    ],
)
def test_a_wrong_argument_is_named(wrong, error, message, rng):
    with pytest.raises(error, match=f"^convolutional: {message}"):
        convolutional(**{"image_shape": (8, 8), "latent_dim": 2, "likelihood": Bernoulli(), "rng": rng, **wrong})


def test_a_likelihood_of_no_whole_number_of_outputs_a_pixel_is_refused(rng):
    class Odd(Bernoulli):
        def n_outputs(self, D):
            return D + 1

    with pytest.raises(ValueError, match="^convolutional: the likelihood wants 65 outputs for 64 pixels, which is no whole number"):
        convolutional((8, 8), 2, Odd(), rng=rng)


def test_a_model_without_its_door_to_pictures_says_so(rng):
    encoder = Chain([Conv2D(1, 2, rng=rng), Flatten(), Dense(2, 6, rng=rng)])
    message = r"^Conv2D\(1, 2\): x has shape \(1, 32\), expected \(B, H, W, 1\); pictures of one channel have that axis"
    with pytest.raises(ValueError, match=message):
        VAE(encoder, Dense(3, 32, rng=rng), Bernoulli(), 3)
