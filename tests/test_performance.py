"""What keeps npvae fast, by counts and never by the clock: no float64 where a float32 model trains, few new arrays a step, no
product that nobody asks for, memory that grows with the batch and not with the data or the draws. `spies` does the counting."""

import math
import os
import sys
from collections import Counter

import numpy as np
import pytest
import spies
from spies import memory

from npvae import SGD, VAE, Adagrad, Adam, Autoencoder, Bernoulli, Gaussian, Momentum, ReLU, RMSProp, Sigmoid, Softplus, Tanh, fit
from npvae.beyond import (
    Categorical,
    ContinuousBernoulli,
    DiagonalGaussian,
    capacity,
    convolutional,
    doubly_reparameterized,
    free_bits,
    importance_weighted,
)
from npvae.beyond.estimators import analytic_kl, leave_one_out, path_derivative, sampled_kl, score_function
from npvae.core.optimizers import BLOCK, FLUSH
from npvae.data import Dataset
from npvae.evaluation import bounds, elbo, log_likelihood
from npvae.models import ConditionalVAE
from npvae.training import batches, loop, options, schedules

LIKELIHOODS = {
    "Bernoulli": Bernoulli,
    "Gaussian": lambda: Gaussian(0.7),
    "Gaussian, learned sigma": lambda: Gaussian(0.7, learn=True),
    "DiagonalGaussian": DiagonalGaussian,
    "ContinuousBernoulli": ContinuousBernoulli,
    "Categorical": lambda: Categorical(3),
}
OBJECTIVES = {
    "importance_weighted": importance_weighted,
    "doubly_reparameterized": doubly_reparameterized,
    "capacity": capacity(2.0, 3.0),
    "free_bits": free_bits(0.5),
    **{each.__name__: each for each in (analytic_kl, sampled_kl, path_derivative, leave_one_out, score_function)},
}
OPTIMIZERS = {kind.__name__: kind for kind in (SGD, Momentum, RMSProp, Adagrad, Adam)}
B, D, Z = 16, 30, 4
N = 23  # rows to train on, in four batches of 5 and one of 3


@pytest.fixture
def spy():
    with spies.watching() as spy:
        yield spy


def batch(spy=None, likelihood="", D=D, Z=Z, B=B, K=()):
    """x (B, D), one-hot for the Categorical likelihood, and noise (B, Z), or (K, B, Z) for K = (K,); watched if there is a spy."""
    rng = np.random.default_rng(0)
    x = np.eye(3)[rng.integers(0, 3, (B, D // 3))].reshape(B, D) if likelihood == "Categorical" else rng.random((B, D))
    pair = x.astype(np.float32), rng.standard_normal((*K, B, Z), dtype=np.float32)
    return pair if spy is None else tuple(map(spy.watch, pair))


def dense(kind=VAE, likelihood="Bernoulli", activation=Tanh, D=D, hidden=(20, 10), Z=Z, **more):
    """A small model in float32."""
    return kind.dense(D, hidden, Z, LIKELIHOODS[likelihood](), activation, rng=np.random.default_rng(1), **more)


def grey(spy=None, rows=N, D=6, floats=False):
    """A Dataset of grey 8-bit images, or the same as floats, with labels; watched if there is a spy."""
    rng = np.random.default_rng(0)
    arrays = *rng.integers(0, 256, (2, rows, D)).astype(np.uint8), np.arange(rows) % 3
    if floats:
        arrays = *(a.astype(np.float32) / np.float32(255) for a in arrays[:2]), arrays[2]
    train, valid, labels = arrays if spy is None else map(spy.watch, arrays)
    told = {"scale": None if floats else 255.0, "train_labels": labels, "valid_labels": labels}
    return Dataset(name="grey", train=train, valid=valid, test=train[:1], **told)


def run(model, data, **settings):
    """An epoch of fit with all that it can do to a gradient, and a validation."""
    settings = {"batch_size": 5, "validation": "valid", "patience": 3, "clip_norm": 0.1, "lr": schedules.cosine(0.01), **settings}
    return fit(model, data, optimizer=Adam(), epochs=1, rng=np.random.default_rng(3), **settings)


def assert_single(spy):
    """All floats that were seen are float32, with no exception for vectors and NumPy scalars; and nothing went unseen."""
    assert spy.wide() == []
    assert spy.made and spy.strangers == []


# --- the spy itself --------------------------------------------------------------------------------------------------------------
# Ten stray float64s; most of them are cast back at once, so that no result shows them.


def tanh_in_double(self, x):
    y = np.tanh(x.astype(np.float64)).astype(x.dtype)
    return y, y


def slope_by_a_numpy_scalar(self, dy, y, need_dx=True):
    return (dy * (np.float64(1) - y**2)).astype(dy.dtype) if need_dx else None


def gradient_by_assignment(self, dy, y, need_dx=True):
    dx = np.empty(dy.shape, dy.dtype)
    dx[...] = np.tanh(np.zeros(dy.shape))
    return dx


def likelihood_with_a_wide_constant(self, out, x, dnll=None):
    nll, dout = (-np.ones(len(x)) * 2).astype(out.dtype), (out - x) / len(x)
    return nll, dout


def sum_in_double(self, out, x, dnll=None):
    return np.sum(out, axis=1, dtype=np.float64).astype(out.dtype), (out - x) / len(x)


def update_in_double(self, theta, grad, m, v):
    theta -= (self.lr * grad.astype(np.float64)).astype(theta.dtype)


def step_by_wide_zeros(self, theta, grad):
    theta -= (self.lr * np.zeros(theta.shape)).astype(theta.dtype)


def scaled_in_double(rows, scale, dtype):
    return (rows / scale).astype(dtype)


def noise_in_double(model, n, rng, samples):
    return rng.standard_normal((n, model.latent_dim)).astype(np.float32)


def norm_in_double(params):
    return float(np.linalg.norm(params.grad.astype(np.float64)))


PLANTS = {
    tanh_in_double: "npvae.core.layers.Tanh.forward",
    slope_by_a_numpy_scalar: "npvae.core.layers.Tanh.backward",
    gradient_by_assignment: "npvae.core.layers.Tanh.backward",
    likelihood_with_a_wide_constant: "npvae.core.likelihoods.Bernoulli.nll_and_grad",
    sum_in_double: "npvae.core.likelihoods.Bernoulli.nll_and_grad",
    update_in_double: "npvae.core.optimizers.Adam._update",
    step_by_wide_zeros: "npvae.core.optimizers.Adam.step",
    scaled_in_double: "npvae.training.batches.scaled",
    noise_in_double: "npvae.training.batches.noise",
    norm_in_double: "npvae.training.loop.gradient_norm",
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_float64_is_seen_in_a_run(plant, monkeypatch):
    monkeypatch.setattr(PLANTS[plant], plant)
    with spies.watching(sys.modules[__name__]) as spy:
        model, data = dense(D=6, hidden=(5,)), grey(spy)
        spy.forget()
        run(model, data, binarize="dynamic")
    assert spy.wide() and all(os.path.basename(__file__) in line for line in spy.wide())


def test_a_plain_array_is_a_stranger(monkeypatch):
    constant = np.ones(5, np.float32)
    with spies.watching() as spy:
        model, (x, eps) = dense(D=6, hidden=(5,)), batch(spy, D=6)
        monkeypatch.setattr(Tanh, "forward", lambda self, x: (x * constant, x))
        model.loss_and_grad(x, eps)
        np.concatenate([x[0], constant])
    name = os.path.basename(__file__)
    line = test_a_plain_array_is_a_stranger.__code__.co_firstlineno + 4
    assert spy.strangers[:2] == [f"float32 (5,) by multiply in {name}:{line}"] * 2
    assert spy.strangers[2:] == [f"float32 (5,) by concatenate in {name}:{line + 2}"]


INTO_FLOAT32 = {  # each leaves float32, and makes no new array
    "assignment": lambda a, wide: a.__setitem__(..., wide),
    "scalar": lambda a, wide: a.__imul__(wide[0]),
    "operand": lambda a, wide: np.add(a, wide, out=a, casting="same_kind"),
    "function": lambda a, wide: np.copyto(a, wide, casting="same_kind"),
    "dtype": lambda a, wide: np.add(a, a, out=a, dtype=np.float64, casting="same_kind"),
}


@pytest.mark.parametrize("compute", INTO_FLOAT32.values(), ids=INTO_FLOAT32)
def test_float64_is_seen_where_all_results_are_float32(compute, spy):
    a, wide = spy.watch(np.ones(3, np.float32)), spy.watch(np.ones(3))
    spy.forget()
    compute(a, wide)
    assert spy.made == [] and len(spy.wide()) == 1 and "float64" in spy.wide()[0]


def test_the_spy_counts_what_is_new_and_nothing_else(spy):
    a, rows = spy.watch(np.ones((4, 6), np.float32)), spy.watch(np.array([0, 2]))
    results = a + 1, a.copy(), a.T.reshape(3, 8), a[rows], np.concatenate([a, a]), np.tile(a, 2), a.sum(axis=0), np.pad(a, 1)
    assert [each.size for each in spy.made] == [each.size for each in results]
    spy.forget()
    results += a[1:], a.T, a.reshape(3, 8), a.real, a.astype(np.float32, copy=False), np.broadcast_to(a, (2, 4, 6))
    a += 1
    np.exp(a, out=a)
    np.copyto(a, 0)
    assert spy.made == [] and all(isinstance(each, spies.Watched) for each in results)
    a @ a.T, np.matmul(a.T, a)
    assert spy.products == [((4, 6), (6, 4)), ((6, 4), (4, 6))] and [each.shape for each in spy.made] == [(4, 4), (6, 6)]


# --- no float64 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", [VAE, Autoencoder, ConditionalVAE])
def test_a_training_step_is_float32_throughout(kind, likelihood, spy):
    more, told = ({"n_classes": 3}, {"condition": np.arange(B) % 3}) if kind is ConditionalVAE else ({}, {})
    for activation in (ReLU, Tanh, Softplus, Sigmoid):
        model, (x, eps) = dense(kind, likelihood, activation, **more), batch(spy, likelihood)
        spy.forget()
        model.loss_and_grad(x, None if kind is Autoencoder else eps, 0.5, **told)
        assert_single(spy)


@pytest.mark.parametrize("likelihood", ["Bernoulli", "Gaussian, learned sigma", "DiagonalGaussian"])
@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_a_step_of_a_convolutional_model_is_float32_throughout(kind, likelihood, spy):
    rng = np.random.default_rng(1)
    model = convolutional((8, 8), Z, LIKELIHOODS[likelihood](), rng=rng, channels=(3, 5), hidden=6, kind=kind)
    x, eps = batch(spy, D=64)
    spy.forget()
    model.loss_and_grad(x, None if kind is Autoencoder else eps)
    assert_single(spy)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_other_objectives_are_float32_throughout(objective, spy):
    for likelihood in LIKELIHOODS:
        model, (x, eps) = dense(likelihood=likelihood, hidden=(8,)), batch(spy, likelihood, K=(3,))
        spy.forget()
        OBJECTIVES[objective](model, x, eps)
        assert_single(spy)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_are_float32_throughout(make, spy):
    model, optimizer = dense(), make(0.1)
    spy.forget()
    for _ in range(FLUSH + 1):  # the last but one sets subnormal averages to 0
        optimizer.step(model.params.theta, model.params.grad)
    assert_single(spy)


@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("binarize", [None, "threshold", "static", "dynamic"])
@pytest.mark.parametrize("kind", [batches.TrainingBatches, batches.ValidationBatches])
def test_batches_are_float32_throughout(kind, binarize, floats, samples, spy):
    data, model = grey(spy, floats=floats), dense(D=6)
    spy.forget()
    made = kind(model, batches.Rows(data.train, data.scale), 5, binarize, 2**60, samples)
    assert {a.dtype for x, eps, _ in made.epoch(1) for a in (x, eps)} == {np.dtype(np.float32)}
    assert_single(spy)


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("binarize", [None, "threshold", "static", "dynamic"])
def test_fit_is_float32_throughout(binarize, floats, spy):
    model, data = dense(D=6, hidden=(5,)), grey(spy, floats=floats)
    spy.forget()
    run(model, data, binarize=binarize, beta=schedules.linear_warmup(1.0))
    assert_single(spy)


@pytest.mark.parametrize("objective", [None, importance_weighted])
def test_fit_of_a_conditional_model_is_float32_throughout(objective, spy):
    model, data = dense(ConditionalVAE, "Gaussian, learned sigma", ReLU, D=6, n_classes=3), grey(spy)
    spy.forget()
    run(model, data, objective=objective, samples=None if objective is None else 3)
    assert_single(spy)


# --- new arrays and memory a step ------------------------------------------------------------------------------------------------

MNIST = {"D": 784, "hidden": (400,), "Z": 20}
P = 652_824  # parameters of that model
ROWS = 128
LARGE = ROWS * 784 // 2  # numbers; a hidden layer's (B, 400) is counted, too


@pytest.mark.parametrize(
    ("likelihood", "activation", "most", "peak"),
    [
        ("Bernoulli", ReLU, 12, 6.4),
        ("Bernoulli", Tanh, 14, 6.4),
        ("Gaussian", ReLU, 19, 6.2),  # the peak of all Gaussians where NumPy finds no temporary to write over; else 5.5
        ("Gaussian", Tanh, 21, 6.2),
        ("Gaussian, learned sigma", ReLU, 20, 6.2),
        ("Gaussian, learned sigma", Tanh, 22, 6.2),
    ],
)
def test_a_step_makes_few_large_arrays_and_holds_few_at_once(likelihood, activation, most, peak):
    """most: new arrays of at least half of x's size; peak: the memory of a step in units of x's."""
    with spies.watching() as spy:
        model = dense(likelihood=likelihood, activation=activation, **MNIST)
        spy.forget()
        model.loss_and_grad(*batch(spy, B=ROWS, D=784, Z=20))
    large = spy.as_large_as(LARGE)
    assert 0 < len(large) <= most, "\n".join(large)
    x, eps = batch(B=ROWS, D=784, Z=20)
    model = dense(likelihood=likelihood, activation=activation, **MNIST)
    assert memory(lambda: model.loss_and_grad(x, eps))[0] <= peak * x.nbytes


def stepper(make, spy=None):
    """An optimizer after two steps on P parameters, when its averages are there, and a function that makes another."""
    theta, grad, optimizer = np.ones(P, np.float32), np.full(P, 1e-3, np.float32), make(1e-3)
    if spy is not None:
        theta, grad = spy.watch(theta), spy.watch(grad)
    for _ in range(2):
        optimizer.step(theta, grad)
    return optimizer, lambda: optimizer.step(theta, grad)


@pytest.mark.parametrize(("make", "most"), [(SGD, 1), (Momentum, 1), (RMSProp, 6), (Adagrad, 5), (Adam, 1)])
def test_an_optimizer_makes_arrays_of_a_block_and_never_of_all_parameters(make, most, spy):
    """most: new arrays a block."""
    _, step = stepper(make, spy)
    spy.forget()
    step()
    assert spy.strangers == [] and spy.as_large_as(BLOCK + 1) == []
    assert 0 < len(spy.made) <= most * math.ceil(P / BLOCK)


def test_nor_does_it_where_it_sets_subnormal_averages_to_0(spy):
    optimizer, step = stepper(Adam, spy)
    optimizer.t = FLUSH - 1
    spy.forget()
    step()
    assert spy.as_large_as(BLOCK + 1) == []


def test_adam_takes_the_memory_of_one_block_which_fits_into_a_cache():
    assert memory(stepper(Adam)[1])[0] < 1.1 * 4 * BLOCK < 300_000  # theta, grad, m, v and this: 1.3 MB of float32


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_no_array_outlives_its_step(likelihood):
    model, x, eps, optimizer = dense(likelihood=likelihood), *batch(likelihood=likelihood), Adam()

    def steps():
        for _ in range(3):
            model.loss_and_grad(x, eps)
            optimizer.step(model.params.theta, model.params.grad)

    steps()
    assert memory(steps)[1] == 0


# --- memory of a run -------------------------------------------------------------------------------------------------------------


def run_peak(monkeypatch, rows, binarize, likelihood):
    """Peak memory of fit on so many 8-bit rows of 30 values, and as many for validation; never more than 64 of them at a time."""
    for module in (batches, options):
        monkeypatch.setattr(module, "CHUNK_ROWS", 64)
    monkeypatch.setattr(loop, "VALIDATION_BATCH", 64)
    model, data = dense(likelihood=likelihood), grey(rows=rows, D=D)
    return memory(lambda: run(model, data, binarize=binarize, batch_size=64))[0]


@pytest.mark.parametrize(
    ("binarize", "likelihood", "copies"),
    [
        (None, "Bernoulli", 0),
        ("dynamic", "Bernoulli", 1),  # 8-bit copies: here the validation rows, drawn black or white
        ("static", "Bernoulli", 2),
        ("threshold", "Bernoulli", 2),
        (None, "Gaussian, learned sigma", 0),
        (None, "ContinuousBernoulli", 0),
        (None, "DiagonalGaussian", 0),
    ],
)
def test_fit_holds_a_batch_as_floats_and_never_the_data(binarize, likelihood, copies, monkeypatch):
    """What grows with the rows is their order, 8 bytes each, and 8-bit copies of those that were binarized once for all."""
    few, many = (run_peak(monkeypatch, rows, binarize, likelihood) for rows in (1000, 4000))
    assert few < 25 * 64 * 4 * D + 1000 * (8 + copies * D)
    assert many - few < 3000 * (8 + copies * D) + 20_000


# --- products --------------------------------------------------------------------------------------------------------------------


def products_of(chain, rows, need_dx):
    """The products of a Dense network on so many rows: y = x W, dW = x^T dy, and dx = dy W^T but for the first layer's."""
    for i, layer in enumerate(chain.layers[::2]):
        yield (rows, layer.n_in), (layer.n_in, layer.n_out)
        yield (layer.n_in, rows), (rows, layer.n_out)
        if need_dx or i > 0:
            yield (rows, layer.n_out), (layer.n_out, layer.n_in)


@pytest.mark.parametrize("hidden", [(), (20,), (20, 10)])
@pytest.mark.parametrize("kind", [VAE, Autoencoder, ConditionalVAE])
def test_a_step_makes_three_products_a_layer_less_the_one_for_the_data(kind, hidden, spy):
    more, told = ({"n_classes": 3}, {"condition": np.arange(B) % 3}) if kind is ConditionalVAE else ({}, {})
    model, (x, eps) = dense(kind, hidden=hidden, **more), batch(spy)
    spy.forget()
    model.loss_and_grad(x, None if kind is Autoencoder else eps, **told)
    layers = 2 * (len(hidden) + 1)
    assert len(spy.products) == 3 * layers - 1
    assert Counter(spy.products) == Counter([*products_of(model.encoder, B, False), *products_of(model.decoder, B, True)])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_objective_encodes_once_and_decodes_its_draws_together(objective, spy):
    model, (x, eps) = dense(), batch(spy, K=(3,))
    spy.forget()
    OBJECTIVES[objective](model, x, eps)
    assert Counter(spy.products) == Counter([*products_of(model.encoder, B, False), *products_of(model.decoder, 3 * B, True)])


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
def test_the_first_convolution_makes_no_dx_either(kind, spy):
    model = convolutional((8, 8), Z, DiagonalGaussian(), rng=np.random.default_rng(1), channels=(3, 5), hidden=6, kind=kind)
    x, eps = batch(spy, D=64)
    spy.forget()
    model.loss_and_grad(x, None if kind is Autoencoder else eps)
    assert ((B * 64, 3), (3, 9)) not in spy.products  # dy W^T, for all pixels: asked for by none but the Reshape below it
    convolutions, layers = 5, 8  # a convolution makes one product more, for db
    assert len(spy.products) == 3 * layers - 1 + convolutions


# --- evaluation ------------------------------------------------------------------------------------------------------------------

each_bound = pytest.mark.parametrize("bound", [elbo, log_likelihood])


@each_bound
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_eight_times_the_draws_take_no_more_memory(bound, likelihood):
    model, (x, _) = dense(likelihood=likelihood), batch(likelihood=likelihood, B=2)
    at_once = bounds.AT_ONCE // 256  # draws
    few, many = (memory(lambda K=K: bound(model, x, np.random.default_rng(0), K))[0] for K in (at_once, 8 * at_once))
    assert many < 1.02 * few


@each_bound
@pytest.mark.parametrize(("K", "rows"), [(1, [5]), (100, [5]), (3000, [1] * 5)])
def test_each_row_is_encoded_once_whatever_the_number_of_draws(bound, K, rows, monkeypatch):
    encode, decode, encoded, decoded = VAE.encode, VAE.decode, [], []
    monkeypatch.setattr(VAE, "encode", lambda self, x: encoded.append(len(x)) or encode(self, x))
    monkeypatch.setattr(VAE, "decode", lambda self, z: decoded.append(len(z)) or decode(self, z))
    bound(dense(), batch(B=5)[0], np.random.default_rng(0), K)
    assert encoded == rows and sum(decoded) == 5 * K
