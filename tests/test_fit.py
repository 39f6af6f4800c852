"""fit: what it trains, what it records, and what must not change what it trains."""

import threading

import numpy as np
import pytest
from runs import BATCH, STEPS, D, grey_data, make_model, outcome, run

from npvae import SGD, VAE, Adagrad, Adam, Autoencoder, Gaussian, Momentum, ReLU, RMSProp, load_digits
from npvae.models import Loss
from npvae.training import fit, schedules
from npvae.training.batches import Rows, TrainingBatches


def test_the_digits_are_learned_within_seconds():
    digits = load_digits()
    model = VAE.dense(64, (64,), 8, activation=ReLU, rng=np.random.default_rng(0))
    options = dict(optimizer=Adam(2e-3), epochs=15, batch_size=64, rng=np.random.default_rng(1))
    history = fit(model, digits, validation="test", binarize="dynamic", **options)
    assert history["valid_loss"][0] > 34 and history["valid_loss"][-1] < 26.5, history["valid_loss"]
    assert history["loss"][0] > history["loss"][4] > history["loss"][14]


@pytest.mark.parametrize(
    "make", [lambda: SGD(0.05), lambda: Momentum(0.01), lambda: RMSProp(0.01), lambda: Adagrad(0.05), lambda: Adam(0.01)],
    ids=["SGD", "Momentum", "RMSProp", "Adagrad", "Adam"],
)  # fmt: skip
def test_every_optimizer_brings_the_loss_down(make):
    losses = run(data=np.full((23, D), 0.9), optimizer=make(), epochs=20).history["loss"]
    assert losses[0] > 3 and losses[-1] < 2.2, "the entropy of the pixels, 1.95, is the floor"


def test_the_autoencoder_trains():
    model, _, history = run(make_model(kind=Autoencoder), epochs=20)
    assert history["loss"][-1] < history["loss"][0] - 0.1
    assert history["kl"] == [0.0] * 20 and history["loss"] == history["reconstruction"]


def test_a_gaussian_with_learned_sigma_learns_it():
    rows = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((200, D))
    model = make_model(likelihood=Gaussian(1.0, learn=True), dtype=np.float64)
    run(model, rows, optimizer=Adam(0.02), epochs=80, batch_size=20)
    assert np.exp(model.likelihood.log_sigma[0]) == pytest.approx(0.1, rel=0.1)


def test_one_step_is_loss_and_grad_and_the_optimizer_and_nothing_else():
    model, optimizer, history = run(epochs=1, seed=8)
    twin, its_optimizer = make_model(), Adam(1e-2)
    root = int(np.random.default_rng(8).integers(2**63))
    norms = []
    for x, eps, _ in TrainingBatches(twin, Rows(grey_data().train, 255.0), BATCH, None, root).epoch(1):
        twin.loss_and_grad(x, eps, 1.0)
        norms.append(np.linalg.norm(twin.params.grad.astype(float)))
        its_optimizer.step(twin.params.theta, twin.params.grad)
    np.testing.assert_array_equal(twin.params.theta, model.params.theta)
    assert optimizer.t == STEPS and history.records[0]["step"] == STEPS
    assert history["grad_norm"] == [pytest.approx(np.mean(norms), rel=1e-5)]
    assert history["grad_norm_max"] == [pytest.approx(np.max(norms), rel=1e-5)]


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    assert outcome(run()) == outcome(run())
    assert outcome(run())["theta"] != outcome(run(seed=2))["theta"]


def test_one_number_is_drawn_from_the_generator():
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    fit(make_model(), grey_data(), optimizer=Adam(), epochs=1, batch_size=5, rng=rng)
    other.integers(2**63)
    assert rng.random() == other.random()


def test_a_dataset_and_its_floats_give_the_same_run():
    data = grey_data()
    as_floats = run(data=data.floats("train"), validation=data.floats("valid"))
    assert outcome(run(data=data, validation="valid")) == outcome(as_floats)
    wider = run(data=data.train / 255, validation=data.valid / 255)  # float64 rows, cast to the model's float32
    np.testing.assert_allclose(wider.model.params.theta, as_floats.model.params.theta, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("binarize", [None, "threshold", "static", "dynamic"])
def test_validating_or_not_leaves_the_training_as_it_is(binarize):
    watched = run(binarize=binarize, validation="test", callbacks=[lambda record, model: model.sample(3, np.random.default_rng())])
    alone = run(binarize=binarize)
    assert watched.model.params.theta.tobytes() == alone.model.params.theta.tobytes()
    assert watched.history["loss"] == alone.history["loss"]


def test_neither_data_nor_validation_rows_are_written_into():
    data, rows = grey_data(), grey_data().floats("valid")
    run(data=data, validation=rows, binarize="dynamic")
    np.testing.assert_array_equal(data.train, grey_data().train)
    np.testing.assert_array_equal(rows, grey_data().floats("valid"))


def test_the_records_are_means_over_examples_not_over_batches():
    """At learning rate 0 an autoencoder's epoch is the plain mean over all 23 rows; the last batch has 3 of them, not 5."""
    model = make_model(kind=Autoencoder, dtype=np.float64)
    data = grey_data()
    record = run(model, data, optimizer=SGD(0.0), epochs=1, validation="valid").history.records[0]
    x = data.floats("train", np.float64)
    assert record["loss"] == pytest.approx(model.loss(x).total, rel=1e-13)
    assert record["valid_loss"] == pytest.approx(model.loss(data.floats("valid", np.float64)).total, rel=1e-13)


def test_validation_is_a_mean_over_rows_of_several_batches(monkeypatch):
    monkeypatch.setattr("npvae.training.loop.VALIDATION_BATCH", 4)  # 9 rows: 5, 4 of them a batch
    model = make_model(kind=Autoencoder, dtype=np.float64)
    record = run(model, optimizer=SGD(0.0), epochs=1, validation="valid").history.records[0]
    assert record["valid_loss"] == pytest.approx(model.loss(grey_data().floats("valid", np.float64)).total, rel=1e-13)


def test_a_record_adds_up():
    for record in run(beta=0.25, validation="valid", lr=schedules.cosine(0.01)).history:
        for prefix in ("", "valid_"):
            reconstruction, kl = record[f"{prefix}reconstruction"], record[f"{prefix}kl"]
            assert record[f"{prefix}loss"] == pytest.approx(reconstruction + 0.25 * kl, rel=1e-6)
            assert record[f"{prefix}elbo"] == pytest.approx(-(reconstruction + kl), rel=1e-6), "whatever beta is"
        assert record["step"] == STEPS * record["epoch"] and record["beta"] == 0.25
        assert record["examples_per_second"] == pytest.approx(23 / record["seconds"])


@pytest.mark.parametrize(
    ("binarize", "data", "measure"),
    [
        (None, grey_data(), "grey cross-entropy"),
        (None, np.eye(6)[[0, 1, 2, 3, 4, 5] * 3], "negative log-likelihood"),
        ("dynamic", grey_data(), "negative log-likelihood, dynamic binarization"),
        ("threshold", grey_data(), "negative log-likelihood, threshold binarization"),
    ],
)
def test_every_record_says_what_its_reconstruction_measures(binarize, data, measure):
    assert set(run(data=data, binarize=binarize).history["measure"]) == {measure}


def test_a_gaussian_on_grey_rows_has_a_likelihood():
    history = run(make_model(likelihood=Gaussian()), epochs=1).history
    assert history["measure"] == ["negative log-likelihood"]


class Recording(VAE):
    """A VAE that notes the beta of every call."""

    def __init__(self, *parts):
        super().__init__(*parts)
        self.betas, self.valid_betas = [], []

    def loss_and_grad(self, x, eps, beta=1.0):
        self.betas.append(beta)
        return super().loss_and_grad(x, eps, beta)

    def loss(self, x, eps, beta=1.0):
        self.valid_betas.append(beta)
        return super().loss(x, eps, beta)


def test_the_schedule_of_beta_is_followed_step_by_step_and_validation_uses_its_end():
    model = make_model(kind=Recording)
    history = run(model, beta=schedules.linear_warmup(0.5, warmup=10), validation="valid").history
    np.testing.assert_allclose(model.betas, [0.05 * min(step, 10) for step in range(3 * STEPS)])
    assert model.valid_betas == [0.5] * 3
    assert history["beta"] == pytest.approx([0.2, 0.45, 0.5])


class RateNotes(SGD):
    """SGD that notes the learning rate of every step."""

    def __init__(self, lr):
        super().__init__(lr)
        self.rates = []

    def step(self, theta, grad):
        self.rates.append(self.lr)
        super().step(theta, grad)


def test_the_schedule_of_the_learning_rate_is_followed_and_the_optimizers_own_put_back():
    optimizer = RateNotes(0.125)
    history = run(optimizer=optimizer, lr=lambda step, steps: (steps - step) / 1000).history
    assert optimizer.rates == [(15 - step) / 1000 for step in range(15)]
    assert optimizer.lr == 0.125 and history["lr"] == [0.011, 0.006, 0.001]
    optimizer = RateNotes(0.125)
    assert run(optimizer=optimizer, epochs=1).history["lr"] == [0.125] and optimizer.rates == [0.125] * 5
    assert run(optimizer=RateNotes(0.125), lr=0.5, epochs=1).optimizer.rates == [0.5] * 5


def test_an_objective_takes_the_place_of_the_loss():
    """A toy: theta is drawn to 0, whatever the data; the noise comes with an axis of samples."""
    shapes = []

    def pull(model, x, eps):
        shapes.append((x.shape, eps.shape))
        model.params.grad = model.params.theta
        total = 0.5 * float(np.sum(model.params.theta.astype(float) ** 2))
        return Loss(total, 2.0, 1.0)

    start = make_model().params.theta
    model, _, history = run(optimizer=SGD(0.5), objective=pull, samples=3, epochs=2, validation="test", clip_norm=1e9)
    np.testing.assert_allclose(model.params.theta, start * 0.5**10, rtol=1e-6)
    assert shapes[:6] == [((5, 6), (3, 5, 2))] * 4 + [((3, 6), (3, 3, 2)), ((7, 6), (3, 7, 2))]
    assert history["reconstruction"] == [2.0, 2.0] and history["elbo"] == [-3.0, -3.0]
    assert history["valid_loss"][1] == pytest.approx(0.5 * np.sum(model.params.theta.astype(float) ** 2))
    shapes.clear()
    run(objective=pull, epochs=1)
    assert shapes[0] == ((5, 6), (1, 5, 2)), "one sample if none is asked for"


def test_a_long_gradient_is_scaled_down_to_clip_norm_and_a_short_one_left_alone():
    def ones(model, x, eps):
        model.params.grad = np.ones(model.params.size)
        return Loss(0.0, 0.0, 0.0)

    start = make_model(dtype=np.float64).params.theta.copy()
    norm = np.sqrt(start.size)
    for clip, moved in ((norm / 4, 0.25), (norm * 4, 1.0)):
        options = dict(objective=ones, epochs=1, batch_size=23, clip_norm=clip)
        model, _, history = run(make_model(dtype=np.float64), optimizer=SGD(1.0), **options)
        np.testing.assert_allclose(start - model.params.theta, moved, rtol=1e-12)
        assert history["grad_norm"] == [pytest.approx(norm)], "the norm before clipping"


class Scripted(Autoencoder):
    """An autoencoder whose validation losses are given."""

    losses = (5.0, 4.0, 3.0, 3.5, 2.0, 2.5, 2.0, 2.25, 1.0)

    def __init__(self, *parts):
        super().__init__(*parts)
        self.script = iter(self.losses)

    def loss(self, x, eps=None, beta=1.0):
        value = next(self.script)
        return Loss(value, value, 0.0)


def test_training_stops_when_patience_is_at_its_end_and_the_best_parameters_are_put_back():
    seen = []
    model = make_model(kind=Scripted)
    options = dict(validation="valid", callbacks=[lambda record, model: seen.append(model.params.theta.copy())])
    history = run(model, epochs=20, patience=3, **options).history
    assert history["valid_loss"] == [5, 4, 3, 3.5, 2, 2.5, 2, 2.25], "an equal loss is no better one"
    np.testing.assert_array_equal(model.params.theta, seen[4])
    assert history.best()["epoch"] == 5
    model = make_model(kind=Scripted)
    assert len(run(model, epochs=9, patience=9, **options).history) == 9
    np.testing.assert_array_equal(model.params.theta, seen[-1])


def test_the_best_parameters_are_put_back_when_the_epochs_run_out_first():
    seen = []
    model = make_model(kind=Scripted)
    run(model, epochs=4, patience=5, validation="valid", callbacks=[lambda r, m: seen.append(m.params.theta.copy())])
    np.testing.assert_array_equal(model.params.theta, seen[2])


def test_without_patience_the_last_parameters_stay():
    seen = []
    model = make_model(kind=Scripted)
    run(model, epochs=4, validation="valid", callbacks=[lambda record, model: seen.append(model.params.theta.copy())])
    np.testing.assert_array_equal(model.params.theta, seen[3])


def test_callbacks_see_every_epoch_and_what_they_add_stays():
    def note(record, model):
        record["norm"] = np.linalg.norm(model.params.theta)

    model, _, history = run(callbacks=[note])
    assert len(set(history["norm"])) == 3 and history["norm"][-1] == np.linalg.norm(model.params.theta)


def test_training_goes_on_from_where_the_model_and_the_optimizer_are():
    first = run(epochs=1)
    again = run(first.model, optimizer=first.optimizer, epochs=1)
    assert again.optimizer.t == 2 * STEPS and again.history["epoch"] == [1]


def test_a_full_batch_and_single_rows_both_train():
    assert run(batch_size=23, epochs=1).optimizer.t == 1
    assert run(batch_size=1, epochs=1).optimizer.t == 23


def test_fit_works_in_another_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(outcome(run())))
    thread.start()
    thread.join()
    assert results == [outcome(run())]
