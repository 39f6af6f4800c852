"""What a model says to bad arguments: one sentence that names the argument, what was expected, what came and what to do."""

import numpy as np
import pytest
from model_cases import make_case

from npvae import VAE, Autoencoder, Bernoulli, Chain, Dense, Gaussian, Tanh
from npvae.core.checks import NonFiniteError

MODEL, X, EPS, _ = make_case(B=4, D=6, Z=3)
GAUSSIAN = make_case(B=4, D=6, Z=3, likelihood="Gaussian").model
METHODS = ("loss", "loss_and_grad")


def changed(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


def each(*rows):
    return pytest.mark.parametrize(("bad", "error", "message"), rows, ids=[message[:40] for _, _, message in rows])


@pytest.mark.parametrize("method", METHODS)
@each(
    (X[:, :5], ValueError, r"x has shape \(4, 5\), expected \(B, 6\); one example a row; flatten images"),
    (X[0], ValueError, r"x has shape \(6,\), expected \(B, 6\)"),
    (X.reshape(4, 2, 3), ValueError, r"x has shape \(4, 2, 3\), expected \(B, 6\)"),
    (X[:0], ValueError, "x has no rows"),
    ((X * 255).astype(np.uint8), ValueError, r"x holds integers from \d+ to 2\d\d; scale them first, e.g. x / 2\d\d"),
    ((X * 16).astype(int), ValueError, r"x holds integers from \d+ to 1\d; scale them first, e.g. x / 1\d"),
    (X.astype(object), TypeError, "x must be an array of floats, got object"),
    (X.astype(complex), TypeError, "x must be an array of floats, got complex128"),
    (X.astype(str), TypeError, "x must be an array of floats, got <U"),
    (None, TypeError, "x must be an array of floats, got object"),
)
def test_x_is_looked_at_before_anything_is_computed(method, bad, error, message):
    with pytest.raises(error, match=rf"VAE.{method}: {message}"):
        getattr(MODEL, method)(bad, EPS)


@pytest.mark.parametrize("method", METHODS)
@each(
    (X * 255, ValueError, r"Bernoulli: x has 2\d of 24 values outside \[0, 1\] \(.*largest 2.*\); divide 8-bit images by 255"),
    (changed(X, (1, 2), -0.5), ValueError, r"x has 1 of 24 values outside \[0, 1\] \(smallest -0\.5, .*use the Gaussian"),
    (changed(X, (1, 2), 1.5), ValueError, r"x has 1 of 24 values outside \[0, 1\] \(.*largest 1\.5\)"),
    (changed(X, (1, 2), np.nan), NonFiniteError, r"x is nan at \[1, 2\].*repair such rows"),
    (changed(X, (3, 0), np.inf), NonFiniteError, r"x is inf at \[3, 0\].*repair such rows"),
)
def test_values_that_no_bernoulli_gives(method, bad, error, message):
    with pytest.raises(error, match=message):
        getattr(MODEL, method)(bad, EPS)


@pytest.mark.parametrize("method", METHODS)
@each(
    (None, TypeError, r"eps is missing; draw it once with model.noise\(4, rng\)"),
    (EPS[:, :2], ValueError, r"eps has shape \(4, 2\), expected \(4, 3\)"),
    (EPS[:3], ValueError, r"eps has shape \(3, 3\), expected \(4, 3\)"),
    (EPS[0], ValueError, r"eps has shape \(3,\), expected \(4, 3\)"),
    (EPS[:, 0], ValueError, r"eps has shape \(4,\), expected \(4, 3\)"),
    (EPS.astype(object), TypeError, "eps must be an array of floats, got object"),
)
def test_eps(method, bad, error, message):
    with pytest.raises(error, match=rf"VAE.{method}: {message}"):
        getattr(MODEL, method)(X, bad)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize("beta", [-0.1, np.nan, np.inf, 1j, "1", None, [1.0]])
def test_beta(method, kind, beta):
    model, x, eps, _ = make_case(kind)
    with pytest.raises(ValueError, match=rf"{kind.__name__}.{method}: beta must be a finite number of at least 0, got "):
        getattr(model, method)(x, eps, beta)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda rng: MODEL.decode(EPS[:, :2]), ValueError, r"VAE.decode: z has shape \(4, 2\), expected \(B, 3\)"),
        (lambda rng: MODEL.decode(None), TypeError, "VAE.decode: z is missing"),
        (lambda rng: MODEL.encode(X[:, :4]), ValueError, r"VAE.encode: x has shape \(4, 4\), expected \(B, 6\)"),
        (lambda rng: MODEL.encode((X * 255).astype(int)), ValueError, "VAE.encode: x holds integers .* scale them first"),
        (lambda rng: MODEL.reconstruct(X[0]), ValueError, r"x has shape \(6,\), expected \(B, 6\)"),
        (lambda rng: MODEL.sample(0, rng), ValueError, "B must be at least 1, got 0"),
        (lambda rng: MODEL.sample(2.5, rng), TypeError, "B must be an integer, got 2.5"),
        (lambda rng: MODEL.sample(3, None), TypeError, r"rng must be a numpy.random.Generator, got NoneType; pass np.random"),
        (lambda rng: MODEL.noise(3, 42), TypeError, "rng must be a numpy.random.Generator, got int"),
    ],
)
def test_the_other_methods(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(rng)


DENSE = {"data_dim": 6, "hidden": (5,), "latent_dim": 3}
BAD_DENSE = [
    ({"latent_dim": 0}, ValueError, "VAE: latent_dim must be at least 1, got 0"),
    ({"latent_dim": 2.0}, TypeError, "VAE: latent_dim must be an integer, got 2.0"),
    ({"latent_dim": True}, TypeError, "VAE: latent_dim must be an integer, got True"),
    ({"data_dim": 0}, ValueError, "VAE: data_dim must be at least 1, got 0"),
    ({"hidden": 400}, TypeError, r"VAE.dense: hidden must be a tuple of widths such as \(400,\), got 400"),
    ({"hidden": (5, 0)}, ValueError, "VAE: hidden must be at least 1, got 0"),
    ({"hidden": (5, "4")}, TypeError, "VAE: hidden must be an integer, got '4'"),
    ({"likelihood": Bernoulli}, TypeError, r"VAE.dense: likelihood must be an instance such as Bernoulli\(\), got <class"),
    ({"likelihood": "bernoulli"}, TypeError, r"VAE.dense: likelihood must be an instance such as Bernoulli\(\), got 'bernoulli'"),
    ({"activation": Tanh()}, TypeError, "VAE.dense: activation must be a Layer class such as Tanh, got <"),
    ({"activation": "tanh"}, TypeError, "VAE.dense: activation must be a Layer class such as Tanh, got 'tanh'"),
    ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, got int"),
    ({"init": "xavier"}, ValueError, "init must be one of glorot, he, uniform or a function, got 'xavier'"),
    ({"dtype": int}, TypeError, "must be an array of floats, got int64"),
    ({"output_mean": np.zeros(5)}, ValueError, r"output_mean has shape \(5,\), expected \(6,\); give the mean of each data column"),
    ({"output_mean": changed(np.zeros(6), 2, np.nan)}, NonFiniteError, r"output_mean is nan at \[2\]"),
]


@pytest.mark.parametrize("arguments, error, message", BAD_DENSE)
def test_building_a_dense_model(arguments, error, message, rng):
    with pytest.raises(error, match=message):
        VAE.dense(**{**DENSE, "rng": rng, **arguments})


@pytest.mark.parametrize(
    "encoder, decoder, message",
    [
        ((6, 5), (3, 6), r"VAE: the encoder gives 5 outputs, expected 6: 2 x latent_dim = 2 x 3 \(mu, then logvar\)"),
        ((6, 3), (3, 6), "VAE: the encoder gives 3 outputs, expected 6"),
        ((6, 6), (2, 6), r"Dense\(2, 6\): x has shape \(1, 3\), expected \(B, 2\)"),
        ((7, 6), (3, 6), r"Dense\(7, 6\): x has shape \(1, 6\), expected \(B, 7\)"),
    ],
)
def test_widths_that_do_not_fit_together(encoder, decoder, message, rng):
    with pytest.raises(ValueError, match=message):
        VAE(Chain([Dense(*encoder, rng=rng)]), Chain([Dense(*decoder, rng=rng)]), Bernoulli(), 3)


def test_parts_that_are_not_layers(rng):
    encoder, decoder = Dense(6, 6, rng=rng), Dense(3, 6, rng=rng)
    with pytest.raises(TypeError, match=r"VAE: likelihood must be an instance such as Bernoulli\(\), got <class"):
        VAE(encoder, decoder, Bernoulli, 3)
    with pytest.raises(TypeError, match="layer 0 must be a Layer with forward and backward, got <class.*make an instance: Tanh"):
        VAE(Tanh, decoder, Bernoulli(), 3)
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        VAE(encoder, decoder, Bernoulli(), 0)


def test_a_layer_that_another_model_owns_is_refused(rng):
    with pytest.raises(ValueError, match="encoder.0.W: this Dense belongs to another model already"):
        VAE(MODEL.encoder, MODEL.decoder, MODEL.likelihood, 3)


# --- where a NaN or an infinity first arose -------------------------------------------------------------------------------------


def overflowing(change, **arguments):
    case = make_case(B=4, D=6, hidden=(), Z=3, **arguments)
    change(case.model)
    return case


def set_encoder_bias(index, value):
    return lambda model: model.encoder.layers[-1].b.__setitem__(index, value)


CULPRITS = [
    (lambda: make_case()._replace(eps=changed(EPS, (2, 1), np.nan)), r"eps is nan at \[2, 1\] \(1 of 12 values .*model.noise"),
    (lambda: make_case(likelihood="Gaussian")._replace(x=changed(X, (2, 1), np.nan)), r"x is nan at \[2, 1\] .*repair such rows"),
    (lambda: overflowing(lambda m: m.decoder.layers[0].W.__setitem__((1, 4), np.nan)),
     r"decoder.0.W is nan at \[1, 4\] \(1 of 18 .*the parameter itself is broken: go back to the last good checkpoint"),
    (lambda: overflowing(lambda m: m.encoder.layers[0].b.__setitem__(0, np.inf)), r"encoder.0.b is inf at \[0\]"),
    (lambda: overflowing(lambda m: m.encoder.layers[0].W.__setitem__((slice(None), 1), 1.7e308)), r"mu is inf at \[0, 1\]"),
    (lambda: overflowing(set_encoder_bias(4, 1e4)), r"z is -?inf at \[0, 1\] \(4 of 12 .*nothing before it"),
    (lambda: overflowing(set_encoder_bias(4, 900.0)), r"kl is inf at \[0\]"),
    (lambda: overflowing(lambda m: m.decoder.layers[0].W.__setitem__((0, 5), 1.7e308)), r"(out|reconstruction) is -?inf at"),
    (lambda: overflowing(lambda m: setattr(m.likelihood, "sigma", 1e-200), likelihood="Gaussian"), r"reconstruction is inf"),
    (lambda: overflowing(set_encoder_bias(0, 1e10))._replace(beta=1e300), "the loss is inf, though every term is finite"),
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make, message", CULPRITS, ids=[message[:20] for _, message in CULPRITS])
def test_the_first_culprit_is_named_with_its_place(method, make, message):
    case = make()
    theta = case.model.params.theta.copy()
    with pytest.raises(NonFiniteError, match=rf"VAE.{method}: {message}"):
        getattr(case.model, method)(*case[1:])
    np.testing.assert_array_equal(case.model.params.theta, theta)


@pytest.mark.parametrize("method", METHODS)
def test_the_autoencoder_names_the_culprit_too(method):
    model, x, _, _ = make_case(Autoencoder, likelihood="Gaussian")
    with pytest.raises(NonFiniteError, match=rf"Autoencoder.{method}: x is nan at \[1, 2\]"):
        getattr(model, method)(changed(x, (1, 2), np.nan))
    model.decoder.layers[-1].b[3] = np.nan
    with pytest.raises(NonFiniteError, match=rf"Autoencoder.{method}: decoder.2.b is nan at \[3\]"):
        getattr(model, method)(x)


def test_gaussian_takes_any_finite_data():
    assert np.isfinite(GAUSSIAN.loss(X * 1000 - 500, EPS).total) and Gaussian(2).check_data(X) is None
