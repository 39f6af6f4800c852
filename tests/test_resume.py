"""fit(resume=...): a run that stopped anywhere ends as if it had not, bit for bit; another run's file is refused."""

import functools
import json
import re

import numpy as np
import pytest
from runs import STEPS, Crash, crash_at, grey_data, make_model, outcome, run

from npvae import SGD, VAE, Adagrad, Adam, Autoencoder, Gaussian, Momentum, RMSProp
from npvae.models import Loss
from npvae.training import CheckpointError, History, fit, load_checkpoint, save_checkpoint, schedules
from npvae.training.state import State, Sums


@pytest.fixture
def file(tmp_path):
    return tmp_path / "run.npz"


def crash_and_resume(file, at, make=make_model, optimizer=lambda: Adam(1e-2), seed=99, **options):
    """Train until step `at`, lose everything but the file, and go on from there with other objects and another seed."""
    with pytest.raises(Crash):
        run(make(), optimizer=crash_at(at, optimizer()), checkpoint=file, checkpoint_every=0, **options)
    return run(make(seed=7), optimizer=optimizer(), seed=seed, resume=file, **options)


EVERYTHING = dict(validation="valid", binarize="dynamic", lr=schedules.cosine(0.01), clip_norm=0.5)


@functools.cache
def expected_of_everything():
    return outcome(run(**EVERYTHING))


@pytest.mark.parametrize("at", range(1, 3 * STEPS))
def test_stopped_at_any_step_it_ends_as_if_it_had_not(file, at):
    assert outcome(crash_and_resume(file, at, **EVERYTHING)) == expected_of_everything()


@pytest.mark.parametrize(
    "make_optimizer", [lambda: SGD(0.1), lambda: Momentum(0.1), RMSProp, Adagrad], ids=["SGD", "Momentum", "RMSProp", "Adagrad"]
)
def test_every_optimizer_goes_on_where_it_was(file, make_optimizer):
    resumed = crash_and_resume(file, 7, optimizer=make_optimizer)
    assert outcome(resumed) == outcome(run(optimizer=make_optimizer()))


@pytest.mark.parametrize("binarize", [None, "threshold", "static", "dynamic"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_binarization_and_dtype_goes_on(file, binarize, dtype):
    def make(seed=0):
        return make_model(seed, dtype=dtype)

    resumed = crash_and_resume(file, 8, make, binarize=binarize, validation="test")
    assert outcome(resumed) == outcome(run(make(), binarize=binarize, validation="test"))


def test_an_autoencoder_and_a_learned_sigma_go_on(file):
    for kind, likelihood in ((Autoencoder, Gaussian(0.5)), (VAE, Gaussian(0.5, learn=True))):

        def make(seed=0, kind=kind, likelihood=likelihood):
            return make_model(seed, kind=kind, likelihood=likelihood.astype(np.float64))

        assert outcome(crash_and_resume(file, 8, make)) == outcome(run(make()))


def test_a_loaded_model_resumes_too_though_its_sigma_has_been_learned(file):
    def make():
        return make_model(likelihood=Gaussian(0.5, learn=True))

    run(make(), epochs=2, checkpoint=file)
    assert outcome(run(load_checkpoint(file).model, resume=file)) == outcome(run(make()))


def averaged(model, x, eps):
    """The mean of the loss over the samples."""
    losses, grad = [], 0
    for sample in eps:
        losses.append(model.loss_and_grad(x, sample))
        grad = grad + model.params.grad / len(eps)
    model.params.grad = grad
    return Loss(*np.mean(losses, axis=0).tolist())


def test_a_run_with_an_objective_goes_on(file):
    options = dict(objective=averaged, samples=3, validation="valid")
    assert outcome(crash_and_resume(file, 7, **options)) == outcome(run(**options))


def test_a_run_that_is_stopped_again_and_again_ends_the_same(file):
    expected = outcome(run(validation="valid", patience=5))
    options = dict(checkpoint=file, checkpoint_every=0, validation="valid", patience=5)
    for at in range(1, 3 * STEPS):
        with pytest.raises(Crash):
            run(make_model(at - 1), optimizer=crash_at(at, Adam(1e-2)), resume=file if at > 1 else None, seed=at, **options)
    assert outcome(run(make_model(50), resume=file, **options)) == expected


def test_more_epochs_than_at_first_are_as_if_asked_for_from_the_start(file):
    run(epochs=2, checkpoint=file)
    assert outcome(run(make_model(5), epochs=5, resume=file)) == outcome(run(epochs=5))


def test_a_run_that_is_done_returns_at_once(file):
    done = run(checkpoint=file)
    for epochs in (3, 2):
        again = run(make_model(5), epochs=epochs, resume=file)
        assert outcome(again) == outcome(done) and len(again.history) == 3


class Scripted(Autoencoder):
    """An autoencoder whose validation loss falls until epoch 3 and rises from then on."""

    calls = 0

    def loss(self, x, eps=None, beta=1.0):
        Scripted.calls += 1
        value = float(abs(Scripted.calls - 3))
        return Loss(value, value, 0.0)


@pytest.mark.parametrize("at", [2, 12, 18, 24])
def test_patience_and_the_best_parameters_survive(file, at):
    def make(seed=0):
        return make_model(seed, kind=Scripted)

    options = dict(validation="valid", patience=3, epochs=20)
    Scripted.calls = 0
    expected = run(make(), **options)
    assert expected.history["epoch"][-1] == 6
    Scripted.calls = 0
    resumed = crash_and_resume(file, at, make, **options)
    assert outcome(resumed) == outcome(expected)
    Scripted.calls = 0
    run(make(), checkpoint=file, **options)
    stopped = run(make(3), resume=file, **options | {"patience": None, "epochs": 99})
    assert outcome(stopped)["theta"] == outcome(expected)["theta"], "patience, left out, comes from the file; it is at its end"
    assert len(stopped.history) == 6


def test_nothing_is_drawn_from_the_generator_of_a_resumed_run(file):
    run(checkpoint=file)
    rng = np.random.default_rng(4)
    fit(make_model(), grey_data(), optimizer=Adam(1e-2), epochs=4, batch_size=5, rng=rng, resume=file)
    assert rng.random() == np.random.default_rng(4).random()


# --- what does not belong together ----------------------------------------------------------------------------------------------

OTHER = {
    "batch_size": (dict(batch_size=4), "batch_size is 5 in the file, 4 here"),
    "binarize": (dict(binarize="static"), "binarize is None in the file, 'static' here"),
    "learning rate": (dict(optimizer=Adam(1e-3)), "optimizer.lr is 0.01 in the file, 0.001 here"),
    "optimizer": (
        dict(optimizer=SGD(1e-2)),
        "optimizer.type is 'Adam' in the file, 'SGD' here; optimizer.beta1 is 0.9 in the file, missing here",
    ),
    "architecture": (
        dict(model=VAE.dense(6, (4,), 2, rng=np.random.default_rng(0))),
        "model.encoder.layers.0.n_out is 5 in the file, 4 here",
    ),
    "dtype": (dict(model=make_model(dtype=np.float64)), "model.dtype is 'float32' in the file, 'float64' here"),
    "likelihood": (
        dict(model=make_model(likelihood=Gaussian())),
        "model.likelihood.type is 'Bernoulli' in the file, 'Gaussian' here",
    ),
    "kind of model": (dict(model=make_model(kind=Autoencoder)), "model.type is 'VAE' in the file, 'Autoencoder' here"),
    "rows": (dict(data=grey_data(seed=1)), "data.sha256 is "),
    "number of rows": (dict(data=grey_data(rows=24)), "data.shape.0 is 23 in the file, 24 here"),
    "scale": (dict(data=grey_data().floats("train"), validation=None), "data.scale is 255.0 in the file, None here"),
    "validation": (dict(validation="valid"), "validation.shape.0 is 7 in the file, 9 here"),
    "no validation": (dict(validation=None), "validation is missing in the file, None here"),
    "beta": (dict(beta=0.5), "beta is 1.0 in the file, 0.5 here"),
    "schedule": (dict(beta=schedules.linear_warmup(1.0)), "beta is 1.0 in the file, 'linear_warmup(1.0)' here"),
    "lr": (dict(lr=0.01), "lr is None in the file, 0.01 here"),
    "clip_norm": (dict(clip_norm=2.0), "clip_norm is None in the file, 2.0 here"),
    "patience": (dict(patience=2), "patience is None in the file, 2 here"),
    "objective": (dict(objective=averaged), "objective is None in the file, 'averaged' here; samples is None in the file, 1 here"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_another_run_is_refused_with_both_values_and_nothing_changes(file, name):
    run(checkpoint=file, validation="test")
    options, words = OTHER[name]
    options = dict(model=make_model(3), optimizer=Adam(1e-2), validation="test") | options
    before = options["model"].params.theta.tobytes()
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        run(resume=file, **options)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    assert "start a new run from load_checkpoint(file).model" in str(caught.value)
    assert options["model"].params.theta.tobytes() == before and options["optimizer"].t == 0


def test_all_differences_are_told_at_once(file):
    run(checkpoint=file)
    with pytest.raises(CheckpointError, match="optimizer.lr is .*; batch_size is .*; binarize is "):
        run(resume=file, optimizer=Adam(0.5), batch_size=2, binarize="static")


def test_a_new_run_can_start_from_the_file_of_another(file):
    run(checkpoint=file)
    model = load_checkpoint(file).model
    history = run(model, optimizer=Adam(1e-4), batch_size=4).history
    assert history["epoch"] == [1, 2, 3] and history["loss"][0] < run(epochs=1, optimizer=Adam(1e-4)).history["loss"][0]


def test_a_file_without_a_run_is_refused(file):
    save_checkpoint(file, make_model(), Adam())
    with pytest.raises(CheckpointError, match="it holds a model, but no training run"):
        run(resume=file)
    with pytest.raises(CheckpointError, match="there is no such file"):
        run(resume=file.parent / "nothing.npz")


def test_an_optimizer_state_that_does_not_fit_is_refused(file):
    finished = run(checkpoint=file)
    c = load_checkpoint(file)
    for spoil in (
        lambda o: setattr(o, "m", o.m[:-1]),
        lambda o: setattr(o, "v", o.v.astype(float)),
        lambda o: setattr(o, "m", None),
    ):
        spoilt = Adam(1e-2)
        spoilt.load_state_dict(finished.optimizer.state_dict())
        spoil(spoilt)
        save_checkpoint(file, finished.model, spoilt, history=c.history, training=c.training)
        model, optimizer = make_model(3), Adam(1e-2)
        with pytest.raises(
            CheckpointError, match="its training state is damaged .*the optimizer's [mv] does not fit the parameters"
        ):
            run(model, optimizer=optimizer, resume=file)
        assert optimizer.t == 0 and model.params.theta.tobytes() == make_model(3).params.theta.tobytes()


# --- the state --------------------------------------------------------------------------------------------------------------------


def test_the_state_survives_json_to_the_last_bit():
    sums = Sums()
    for B, loss in ((5, Loss(0.1 + 0.2, 1 / 3, 1e-300)), (3, Loss(1e300, -2 / 3, 0.0))):
        sums.add(B, loss, 0.7, 0.001)
    state = State(root=2**63 - 1, epoch=3, step=4, sums=sums, best_loss=1 / 7, waited=2)
    again = State.from_plain(json.loads(json.dumps(state.to_plain())), None, History())
    assert again.to_plain() == state.to_plain() and again.root == 2**63 - 1
