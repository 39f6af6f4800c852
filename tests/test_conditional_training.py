"""fit with labels: every batch has those of its rows, a resumed run too; objectives that take labels and that change with the step;
and a model trained on the digits draws the digit that is asked for."""

import re
from dataclasses import replace

import numpy as np
import pytest
from derivatives import assert_agree, complex_step
from runs import BATCH, STEPS, Crash, crash_at, grey_data, make_model, outcome, run

from npvae import SGD, VAE, Adam, ReLU, load_digits
from npvae.beyond.objectives import capacity
from npvae.models import ConditionalVAE, Loss
from npvae.training import CheckpointError, fit, load_checkpoint, schedules
from npvae.training.batches import SHUFFLE, Rows, TrainingBatches, ValidationBatches, stream
from npvae.training.options import fingerprint

CLASSES = 3


def labelled(seed=0, rows=23, dtype=np.uint8):
    """The grey images, each with a label of its own in every split."""
    rng, data = np.random.default_rng(seed), grey_data(rows=rows)
    labels = {f"{split}_labels": rng.integers(0, CLASSES, len(x)).astype(dtype) for split, x, _ in data.splits()}
    return replace(data, **labels)


def conditional(seed=0, **options):
    return make_model(seed, kind=ConditionalVAE, n_classes=CLASSES, **options)


def train(model=None, data=None, **options):
    return run(conditional() if model is None else model, labelled() if data is None else data, **options)


# --- batches --------------------------------------------------------------------------------------------------------------------


def marked():
    """Rows whose first pixel is white exactly where their label is 1, whatever is drawn."""
    labels = np.random.default_rng(0).integers(0, 2, 23)
    rows = np.random.default_rng(1).integers(1, 255, (23, 6)).astype(np.uint8)
    rows[:, 0] = 255 * labels
    return Rows(rows, 255.0, labels)


@pytest.mark.parametrize("binarize", [None, "threshold", "static", "dynamic"])
@pytest.mark.parametrize("kind", [TrainingBatches, ValidationBatches])
def test_every_batch_has_the_labels_of_its_rows(kind, binarize):
    batches = kind(conditional(), marked(), BATCH, binarize, 7)
    for epoch in (1, 2):
        made = list(batches.epoch(epoch))
        for x, _, given in made:
            assert list(given) == ["condition"]
            np.testing.assert_array_equal(given["condition"], x[:, 0])
        assert np.sum([len(given["condition"]) for *_, given in made]) == 23


def test_without_labels_a_batch_has_nothing_beside():
    rows = Rows(grey_data().train, 255.0)
    for batches in (TrainingBatches(make_model(), rows, 5, None, 7), ValidationBatches(make_model(), rows, 5, "dynamic", 7)):
        assert [given for *_, given in batches.epoch(1)] == [{}] * 5


# --- what is trained ------------------------------------------------------------------------------------------------------------


def test_one_step_is_loss_and_grad_with_the_labels_and_the_optimizer():
    data = labelled()
    model, _, history = train(data=data, epochs=1, seed=8, beta=0.5)
    twin, optimizer, losses = conditional(), Adam(1e-2), []
    root = int(np.random.default_rng(8).integers(2**63))
    order = stream(root, SHUFFLE, 1).permutation(23)
    for i, (x, eps, _) in enumerate(TrainingBatches(twin, Rows(data.train, 255.0), BATCH, None, root).epoch(1)):
        labels = data.train_labels[order[i * BATCH : (i + 1) * BATCH]]
        losses.append(len(x) * twin.loss_and_grad(x, eps, 0.5, condition=labels).total)
        optimizer.step(twin.params.theta, twin.params.grad)
    np.testing.assert_array_equal(twin.params.theta, model.params.theta)
    assert history["loss"] == [pytest.approx(sum(losses) / 23, rel=1e-12)] and history["beta"] == [0.5]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_the_validation_loss_is_that_of_the_labels_of_its_split(split, monkeypatch):
    monkeypatch.setattr("npvae.training.loop.VALIDATION_BATCH", 4)  # several batches
    data, seen = labelled(), []

    class Watched(ConditionalVAE):
        def loss(self, x, eps, beta=1.0, *, condition=None):
            seen.append((x, condition))
            return super().loss(x, eps, beta, condition=condition)

    train(make_model(kind=Watched, n_classes=CLASSES), data, epochs=1, validation=split)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in seen]), data.floats(split))
    np.testing.assert_array_equal(np.concatenate([c for _, c in seen]), getattr(data, f"{split}_labels"))


def test_other_labels_train_another_model_and_a_plain_one_ignores_them():
    assert outcome(train())["theta"] == outcome(train())["theta"] != outcome(train(data=labelled(seed=1)))["theta"]
    assert outcome(run(data=labelled(), validation="test")) == outcome(run(data=grey_data(), validation="test"))


def test_labels_that_say_all_are_used():
    """Three pictures, one a class: nothing is left to z."""
    labels = np.repeat(np.arange(3), 20)
    data = replace(grey_data(rows=60), train=(np.eye(3, 6)[labels] * 255).astype(np.uint8), train_labels=labels)
    history = train(data=data, optimizer=Adam(0.03), epochs=60, batch_size=12).history
    assert history["loss"][-1] < 0.1 < np.log(3) < history["loss"][0], "a VAE without labels needs log 3 nats at least"


# --- resuming -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return tmp_path / "run.npz"


def crash_and_resume(file, at, **options):
    """Train until step `at`, lose everything but the file, and go on from there with other objects and another seed."""
    with pytest.raises(Crash):
        train(optimizer=crash_at(at, Adam(1e-2)), checkpoint=file, checkpoint_every=0, **options)
    return train(conditional(seed=7), optimizer=Adam(1e-2), seed=99, resume=file, **options)


@pytest.mark.parametrize("at", [1, 5, 8, 14])
def test_stopped_at_any_step_it_ends_as_if_it_had_not(file, at):
    options = dict(validation="valid", binarize="dynamic", beta=schedules.linear_warmup(0.5, warmup=10), patience=9)
    assert outcome(crash_and_resume(file, at, **options)) == outcome(train(**options))


def test_the_file_gives_the_conditional_model_back(file):
    model = train(checkpoint=file).model
    again = load_checkpoint(file).model
    assert type(again) is ConditionalVAE and again.n_classes == CLASSES
    assert again.params.theta.tobytes() == model.params.theta.tobytes()


OTHER = {
    "labels": (dict(data=labelled(seed=1)), "data.labels_sha256 is "),
    "validation labels": (
        dict(data=replace(labelled(), test_labels=np.zeros(7, int))), "validation.labels_sha256 is ",
    ),
    "classes": (dict(model=make_model(kind=ConditionalVAE, n_classes=4)), "model.n_classes is 3 in the file, 4 here"),
    "kind of model": (dict(model=make_model()), "data.labels_sha256 is "),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_a_run_with_other_labels_is_refused(file, name):
    train(checkpoint=file, validation="test")
    options, words = OTHER[name]
    with pytest.raises(CheckpointError, match=re.escape(words)):
        train(resume=file, validation="test", **options)


def test_labels_are_equal_whatever_their_dtype_and_a_plain_run_has_none(file):
    train(checkpoint=file)
    assert outcome(train(data=labelled(dtype=np.int64), resume=file)) == outcome(train())
    assert set(fingerprint(Rows(grey_data().train, 255.0))) == {"shape", "dtype", "scale", "sha256"}, "as files have always had"


# --- bad input ------------------------------------------------------------------------------------------------------------------

FLOATS = grey_data().floats("train")
BAD = {
    "an array": (dict(data=FLOATS), r"data must be a Dataset with train_labels for a ConditionalVAE, got ndarray"),
    "no labels": (dict(data=grey_data()), r"a ConditionalVAE needs labels, but data set 'grey' has no train_labels"),
    "no labels of the split": (
        dict(data=replace(labelled(), valid_labels=None), validation="valid"), r"data set 'grey' has no valid_labels",
    ),
    "validation is an array": (dict(validation=FLOATS), r'validation of a ConditionalVAE needs labels; give "valid" or "test"'),
    "out of range": (
        dict(data=replace(labelled(), train_labels=np.r_[np.zeros(20, int), 3, 0, 5])),
        r"train_labels is 3 at \[20\], expected 0 to 2, since n_classes is 3 \(2 of 23 labels",
    ),
    "out of range in the split": (
        dict(data=replace(labelled(), test_labels=np.full(7, -1)), validation="test"), r"test_labels is -1 at \[0\]",
    ),
    "floats": (dict(data=replace(labelled(), train_labels=np.zeros(23))), r"train_labels must be integer labels, got float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_labels_get_one_sentence_before_anything_starts(name):
    options, words = BAD[name]
    model, optimizer, rng = conditional(), Adam(), np.random.default_rng(5)
    options = {"data": labelled(), "optimizer": optimizer, "epochs": 3, "batch_size": BATCH, "rng": rng} | options
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        fit(model, options.pop("data"), **options)
    message = str(caught.value)
    assert message.startswith("fit: ") and "\n" not in message and message.endswith("."), message
    assert rng.random() == np.random.default_rng(5).random() and optimizer.t == 0
    np.testing.assert_array_equal(model.params.theta, conditional().params.theta)


def test_a_model_with_its_labels_given_is_not_trained():
    vae = conditional().given(labelled().train_labels)
    with pytest.raises(TypeError, match="a view for one batch; .* train the ConditionalVAE itself"):
        run(vae, grey_data(), batch_size=23)


# --- objectives -----------------------------------------------------------------------------------------------------------------


class Growing:
    """beta rises from 0 to 1 over the run; notes the steps that it is asked for, and the labels that it is told."""

    __qualname__ = "Growing()"

    def __init__(self):
        self.steps, self.told = [], []

    def __call__(self, model, x, eps, **given):
        raise AssertionError("fit asks for the objective of the step")

    def at(self, step, steps):
        self.steps.append((step, steps))

        def objective(model, x, eps, **given):
            self.told.append(given)
            return model.loss_and_grad(x, eps[0], beta=step / steps, **given)

        return objective


def test_an_objective_that_changes_is_asked_at_every_step_and_validation_uses_the_last():
    objective, steps = Growing(), 3 * STEPS
    model, _, history = train(objective=objective, validation="test")
    assert objective.steps[:2] == [(0, steps), (steps - 1, steps)], "looked at before the run starts"
    expected = [(step, steps) for step in range(steps)]
    for end in (15, 10, 5):  # after each epoch's steps, the validation
        expected.insert(end, (steps - 1, steps))
    assert objective.steps[2:] == expected
    assert "beta" not in history.columns(), "it would say 1, whatever the objective does"
    plain = train(beta=lambda step, steps: step / steps, validation="test")
    assert plain.model.params.theta.tobytes() == model.params.theta.tobytes()
    for name in ("loss", "valid_loss", "kl", "elbo"):
        assert plain.history[name] == history[name]


def test_an_objective_is_told_the_labels_of_a_conditional_model_and_nothing_of_another():
    objective = Growing()
    data = labelled()
    train(data=data, objective=objective, epochs=1, seed=8)
    order = stream(int(np.random.default_rng(8).integers(2**63)), SHUFFLE, 1).permutation(23)
    np.testing.assert_array_equal(np.concatenate([given["condition"] for given in objective.told]), data.train_labels[order])
    objective = Growing()
    run(data=data, objective=objective, epochs=1)
    assert objective.told == [{}] * STEPS


def test_a_run_with_a_changing_objective_goes_on_and_its_table_is_whole(file, tmp_path):
    expected = train(objective=Growing(), validation="valid", samples=2)
    resumed = crash_and_resume(file, 7, objective=Growing(), validation="valid", samples=2)
    assert outcome(resumed) == outcome(expected)
    resumed.history.to_csv(tmp_path / "history.csv")
    header, *lines = (tmp_path / "history.csv").read_text().splitlines()
    assert header.startswith("epoch,step,lr,loss,") and {line.count(",") for line in lines} == {header.count(",")}


def test_a_run_with_a_library_objective_and_labels(file):
    options = dict(objective=capacity(2.0, schedules.linear_warmup(0.5)), samples=3, validation="valid")
    assert outcome(crash_and_resume(file, 8, **options)) == outcome(train(**options))
    with pytest.raises(CheckpointError, match=r"objective is 'capacity\(.*linear_warmup\(0.5\).*' in the file, 'capacity\("):
        train(resume=file, **options | {"objective": capacity(2.0, 0.5)})


def test_the_gradient_of_an_objective_with_labels_agrees_with_the_complex_step():
    model, rng, labels = conditional(dtype=np.float64), np.random.default_rng(0), [0, 2, 1, 2]
    x, eps, twin = rng.random((4, 6)), rng.standard_normal((3, 4, 2)), model.astype(complex)
    objective = capacity(2.0, 0.01)

    def f(theta):
        twin.params.theta = theta
        return objective(twin, x, eps, condition=labels).total

    loss = objective(model, x, eps, condition=labels)
    assert_agree(model.params.grad.copy(), complex_step(f, model.params.theta.copy()), rtol=1e-10)
    parts = [model.loss(x, sample, condition=labels) for sample in eps]
    assert loss.reconstruction == pytest.approx(np.mean([part.reconstruction for part in parts]), rel=1e-13)
    assert loss.kl == pytest.approx(parts[0].kl, rel=1e-13)


def test_what_is_no_objective_is_refused():
    class Broken(Growing):
        def at(self, step, steps):
            return None if step else super().at(step, steps)

    with pytest.raises(TypeError, match=r"fit: objective.at\(14, 15\) must give a function \(model, x, eps\) -> Loss, got None"):
        train(objective=Broken())
    with pytest.raises(TypeError, match="objective must be a function"):
        train(objective=type("OnlyAt", (), {"at": Growing.at})())


@pytest.mark.parametrize("beta", [4, 0.0, schedules.linear_warmup(1.0)])
def test_a_beta_that_would_do_nothing_is_refused(beta):
    with pytest.raises(ValueError, match=r"fit: beta is .*, but objective takes the place of the loss; weigh the KL there"):
        run(objective=lambda model, x, eps: Loss(0.0, 0.0, 0.0), beta=beta)
    model = make_model(kind=VAE)
    run(model, objective=lambda model, x, eps: model.loss_and_grad(x, eps[0]), beta=1, optimizer=SGD(0.1), epochs=1)


# --- the digit that is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs, seed", [(10, 0), *(pytest.param(40, seed, marks=pytest.mark.slow) for seed in range(3))])
def test_a_model_of_the_digits_draws_the_digit_that_is_asked_for(epochs, seed):
    """100 of each, read by the nearest training digit and by the nearest class mean.

    Measured: 0.970 to 0.981 are read as what was asked for, the worst digit 0.89; their variance is 0.17 of the training digits' or
    more after 10 epochs, 0.32 after 40. Of the real test digits the two readers get 0.956 and 0.850 right."""
    digits, rng = load_digits(), np.random.default_rng(seed)
    model = ConditionalVAE.dense(64, (128,), 8, activation=ReLU, n_classes=10, rng=rng)
    fit(model, digits, optimizer=Adam(2e-3), epochs=epochs, batch_size=32, rng=rng, binarize="dynamic")
    x, labels = digits.floats("train"), digits.train_labels
    asked = np.repeat(np.arange(10), 100)
    drawn = model.sample(1000, rng, condition=asked)
    means = np.stack([x[labels == c].mean(axis=0) for c in range(10)])
    for rows, names in ((x, labels), (means, np.arange(10))):
        right = names[np.argmin(_squared_distances(drawn, rows), axis=1)] == asked
        assert right.mean() > 0.94 and right.reshape(10, 100).mean(axis=1).min() > 0.8
    spread = [np.sum(np.var(drawn[asked == c], axis=0)) / np.sum(np.var(x[labels == c], axis=0)) for c in range(10)]
    assert min(spread) > 0.1, "a class is more than one picture"


def _squared_distances(a, b):
    return np.sum(a**2, axis=1)[:, None] - 2 * a @ b.T + np.sum(b**2, axis=1)
