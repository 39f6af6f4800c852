"""check_model: every model of the library is right; a wrong one is blamed on the right part; the model keeps its bits."""

import numpy as np
import pytest
from model_cases import LIKELIHOODS, make_case

from npvae import VAE, Autoencoder, Bernoulli, Dense, ReLU, Sigmoid, Softplus, Tanh
from npvae.verify import check_gradient, check_model


@pytest.mark.parametrize("j, likelihood", list(enumerate(LIKELIHOODS)))
@pytest.mark.parametrize("i, activation", list(enumerate([Tanh, ReLU, Softplus, Sigmoid])))
def test_every_model_of_the_library(i, activation, j, likelihood):
    """Every pair of a kind, an activation and a likelihood."""
    kind = (VAE, Autoencoder)[(i + j) % 2]
    for dtype, beta in ((np.float64, 4.0), (np.float32, 0.0)):
        model, x, eps, _ = make_case(kind, 3, 4, (3,), 2, likelihood, activation, dtype=dtype)
        before = model.params.theta.tobytes(), model.params.grad.tobytes(), x.tobytes()
        report = check_model(model, x, eps, beta)
        assert report.ok and report.method == "complex" and report.norm_error <= 1e-13
        assert (model.params.theta.tobytes(), model.params.grad.tobytes(), x.tobytes()) == before
        assert [row.name for row in report.rows] == [name for name, *_ in model.params][::-1]
    assert any("float32" in note for note in report.notes)


@pytest.mark.parametrize("method", ["auto", "richardson"])
def test_relu_units_at_their_kink_accuse_nobody(method):
    """Biases of 0 and a picture of nothing but zeros."""
    rng = np.random.default_rng(0)
    model = VAE.dense(6, (5, 4), 3, Bernoulli(), ReLU, rng=rng, dtype=np.float64)
    x = rng.uniform(size=(4, 6))
    x[0] = 0
    assert check_model(model, x, model.noise(4, rng), method=method).ok


def wrong_dense(change):
    """Dense whose dW is changed."""

    class Wrong(Dense):
        def backward(self, dy, x, need_dx=True):
            dx = super().backward(dy, x, need_dx)
            self.dW = change(self.dW)
            return dx

    return Wrong


@pytest.mark.parametrize("chain, i", [("encoder", 0), ("encoder", 2), ("decoder", 0), ("decoder", 2)])
def test_one_wrong_backward_blames_one_layer(chain, i):
    case = make_case(VAE)
    layers = getattr(case.model, chain).layers
    layers[i].__class__ = wrong_dense(lambda dW: 1.01 * dW)
    report = check_model(case.model, case.x, case.eps)
    assert [row.name for row in report.rows if row.verdict == "wrong"] == [f"{chain}.{i}.W"]
    assert f"The backward of {chain}.{i} (Wrong) alone is wrong, at W" in report.diagnosis


def test_what_lies_between_the_layers_is_blamed_when_they_are_right(monkeypatch):
    from npvae.models import vae

    case = make_case(VAE)
    original = vae.kl_divergence_backward
    monkeypatch.setattr(vae, "kl_divergence_backward", lambda mu, logvar, dkl: original(mu, logvar, 2 * dkl))
    report = check_model(case.model, case.x, case.eps)
    assert not report.ok and all(row.name.startswith("encoder") for row in report.rows if row.verdict == "wrong")
    assert "kl" in report.diagnosis.lower()


def test_a_tiny_block_is_checked_as_strictly_as_the_others():
    case = make_case(VAE, likelihood="Gaussian")
    case.model.decoder.layers[2].W *= 1e-7  # what lies before it hardly matters now
    assert check_model(case.model, case.x, case.eps, beta=0.0).ok
    case.model.encoder.layers[0].__class__ = wrong_dense(lambda dW: 2 * dW)
    report = check_model(case.model, case.x, case.eps, beta=0.0)
    assert [row.name for row in report.rows if row.verdict == "wrong"] == ["encoder.0.W"]
    assert abs(report.worst.numeric) < 1e-6 * max(abs(row.numeric) for row in report.rows)


def test_a_loss_that_draws_its_own_noise_and_a_thing_that_is_no_model():
    case, rng = make_case(VAE), np.random.default_rng(0)

    class Redrawn(VAE):
        def loss(self, x, eps, beta=1.0):
            return super().loss(x, rng.normal(size=eps.shape), beta)

    case.model.__class__ = Redrawn
    with pytest.raises(ValueError, match=r"check_model\(Redrawn\): your loss is random"):
        check_model(case.model, case.x, case.eps)
    with pytest.raises(TypeError, match=r"check_model\(Dense\): model has no \.loss; use check_gradient"):
        check_model(Dense(2, 3, rng=rng), case.x, case.eps)


# --- 652,824 parameters -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist_size():
    """784-400-20, its data, its gradient by name, and f: parameters by name -> loss."""
    rng = np.random.default_rng(0)
    model = VAE.dense(784, (400,), 20, rng=rng, dtype=np.float64)
    x, eps = rng.uniform(size=(2, 784)), model.noise(2, rng)
    twins = model.astype(np.float64), model.astype(complex)
    model.loss_and_grad(x, eps)

    def f(theta):
        twin = twins[np.iscomplexobj(theta["encoder.0.b"])]
        for name, value, _ in twin.params:
            value[...] = theta[name]
        return twin.loss(x, eps).total

    theta = {name: value.copy() for name, value, _ in model.params}
    return model, x, eps, f, theta, {name: grad.copy() for name, _, grad in model.params}


def test_a_model_of_mnist_size_is_certified(mnist_size):
    model, x, eps, *_ = mnist_size
    report = check_model(model, x, eps)
    assert model.params.size == 652_824 and report.evaluations < 60
    assert report.ok and report.method == "complex" and report.norm_error <= 1e-12 and report.confidence == 1 - 1e-9


def plant(mnist_size, j, relative):
    """The report on the gradient with entry j of the whole vector 1 % off, and the block and index of that entry."""
    *_, f, theta, g = mnist_size
    wrong = dict(g)
    for name, block in g.items():
        if j < block.size:
            index = tuple(int(i) for i in np.unravel_index(j, block.shape))
            wrong[name] = block.copy()
            wrong[name][index] *= 1 + relative
            return check_gradient(f, theta, wrong), (name, index)
        j -= block.size


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_one_entry_of_652824_that_is_one_percent_off_is_found(mnist_size, seed):
    everything = np.concatenate([block.ravel() for block in mnist_size[-1].values()])
    report, where = plant(mnist_size, np.random.default_rng(seed).choice(np.flatnonzero(everything)), 0.01)
    assert not report.ok and (report.worst.name, report.worst.index) == where
    assert [row.name for row in report.rows if row.verdict == "wrong"] == [where[0]]


@pytest.mark.slow
def test_an_entry_a_million_times_smaller_than_the_largest_too(mnist_size):
    everything = np.abs(np.concatenate([block.ravel() for block in mnist_size[-1].values()]))
    j = int(np.argmin(np.abs(everything - 1e-6 * everything.max())))
    report, where = plant(mnist_size, j, 0.01)
    assert not report.ok and (report.worst.name, report.worst.index) == where


def test_in_a_large_weight_the_halves_of_mu_and_logvar_are_told_apart():
    """Only some rows of it are differentiated, but whole ones."""
    from npvae.verify.mistakes import planted

    case = make_case(VAE, B=5, D=40, hidden=(60,), Z=4, beta=3.0)
    assert case.model.params.size > 2000 and case.model.encoder.layers[-1].W.size > 256
    with planted("kl_gradient_mean_missing"):
        diagnosis = check_model(case.model, case.x, case.eps, case.beta).diagnosis
    first = "encoder.2.b and encoder.2.W: columns 0..3 (mu): the gradient of the kl term is missing"
    assert diagnosis.startswith(first) and "columns 4..7 (logvar) right" in diagnosis


def test_of_two_wrong_layers_the_one_nearer_to_the_loss_is_blamed():
    case = make_case(VAE)
    for layer in (case.model.encoder.layers[0], case.model.decoder.layers[2]):
        layer.__class__ = wrong_dense(lambda dW: 1.01 * dW)
    assert "The backward of decoder.2 (Wrong)" in check_model(case.model, case.x, case.eps).diagnosis


def test_a_layer_at_which_nothing_can_be_proved_is_not_blamed():
    case = make_case(VAE, activation=ReLU)
    case.model.decoder.layers[0].b = np.full(5, -100.0)  # the ReLU after it lets nothing through
    case.model.encoder.layers[2].__class__ = wrong_dense(lambda dW: 1.01 * dW)
    assert "The backward of encoder.2 (Wrong)" in check_model(case.model, case.x, case.eps).diagnosis


def test_the_noise_of_other_rows_is_recognized(monkeypatch):
    from npvae.models import vae

    def reversed_rows(dz, cache):
        sigma, eps = cache
        return dz, 0.5 * sigma * eps[::-1] * dz

    monkeypatch.setattr(vae, "reparameterize_backward", reversed_rows)
    case = make_case(VAE)
    assert "eps of the rows in reverse in place of eps" in check_model(case.model, case.x, case.eps).diagnosis
