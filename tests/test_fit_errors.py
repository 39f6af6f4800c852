"""fit, given bad input: one sentence that names the argument, and nothing has changed; and a loss that turns NaN."""

import re

import numpy as np
import pytest
from runs import BATCH, D, grey_data, make_model, outcome, run

from npvae import SGD, VAE, Adam, Gaussian
from npvae.beyond import Categorical, ContinuousBernoulli
from npvae.core.checks import NonFiniteError
from npvae.data import Dataset
from npvae.models import Loss
from npvae.training import fit, load_checkpoint, options

FLOATS = grey_data().floats("train")


def with_value(value, row=17, column=3):
    rows = FLOATS.copy()
    rows[row, column] = value
    return rows


BAD = {
    "model is no model": (dict(model=object()), TypeError, r"fit: model must be a model such as VAE.dense"),
    "model is a class": (dict(model=VAE), TypeError, r"fit: model must be a model"),
    "model is the complex twin": (
        dict(model=make_model().astype(np.complex128)), TypeError,
        r"complex twin.* train the real model",
    ),
    "data is a list": (dict(data=FLOATS.tolist()), TypeError, r"data must be a Dataset or a NumPy array of floats, got list"),
    "data is integers": (
        dict(data=grey_data().train), TypeError,
        r"data is an array of uint8.* pass data / 255, or a Dataset with scale=255",
    ),
    "data is 0 and 1": (dict(data=FLOATS > 0.5), TypeError, r"array of bool, expected floats; pass data.astype\(np.float32\)"),
    "data is text": (dict(data=np.full((23, D), "x")), TypeError, r"data is an array of <U1, expected floats; pass floats"),
    "data is too narrow": (dict(data=FLOATS[:, 1:]), ValueError, r"data has shape \(23, 5\), expected \(N, 6\)"),
    "data is one row": (dict(data=FLOATS[0]), ValueError, r"data has shape \(6,\), expected \(N, 6\); one example a row"),
    "data is empty": (dict(data=FLOATS[:0]), ValueError, r"data has no rows"),
    "data has a NaN": (dict(data=with_value(np.nan)), NonFiniteError, r"data is nan at \[17, 3\] .*the first index is the row"),
    "data has an infinity": (dict(data=with_value(np.inf)), NonFiniteError, r"data is inf at \[17, 3\]"),
    "data leaves [0, 1]": (dict(data=with_value(1.5)), ValueError, r"Bernoulli: x has 1 of 138 values outside \[0, 1\]"),
    "data has a wrong scale": (
        dict(data=Dataset(name="d", train=grey_data().train, test=grey_data().test, scale=16.0)), ValueError,
        r"values outside \[0, 1\] \(smallest .*, largest 15.9",
    ),
    "binarize on real numbers": (
        dict(model=make_model(likelihood=Gaussian()), data=with_value(-0.25), binarize="static"), ValueError,
        r"binarize='static' needs data in \[0, 1\], but it goes from -0.25",
    ),
    "optimizer is a class": (
        dict(optimizer=Adam), TypeError,
        r"optimizer must be an optimizer such as Adam\(lr=1e-3\), got .*; make an instance: Adam\(\)",
    ),
    "optimizer is a name": (dict(optimizer="adam"), TypeError, r"optimizer must be .* got 'adam'"),
    "no epochs": (dict(epochs=0), ValueError, r"epochs must be at least 1, got 0"),
    "half an epoch": (dict(epochs=0.5), TypeError, r"epochs must be an integer, got 0.5"),
    "batch of 0": (dict(batch_size=0), ValueError, r"batch_size must be at least 1, got 0"),
    "batch larger than the data": (dict(batch_size=24), ValueError, r"batch_size is 24, but there are only 23 training examples"),
    "rng is a seed": (dict(rng=0), TypeError, r"rng must be a numpy.random.Generator, got int"),
    "validation is unknown": (
        dict(data=grey_data(), validation="dev"), ValueError,
        r"validation must be None, \"valid\", \"test\" or",
    ),
    "validation of an array": (dict(validation="test"), ValueError, r"validation='test' needs a Dataset"),
    "validation is not there": (
        dict(data=Dataset(name="d", train=FLOATS, test=FLOATS), validation="valid"), ValueError,
        r"'d' has no valid split; use \"test\"",
    ),
    "validation is integers": (dict(validation=grey_data().valid), TypeError, r"validation is an array of uint8"),
    "validation is too narrow": (dict(validation=FLOATS[:, 1:]), ValueError, r"validation has shape \(23, 5\), expected \(N, 6\)"),
    "validation has a NaN": (dict(validation=with_value(np.nan)), NonFiniteError, r"validation is nan at \[17, 3\]"),
    "beta below 0": (dict(beta=-0.1), ValueError, r"beta must be a finite number of at least 0, got -0.1"),
    "beta is text": (dict(beta="1"), TypeError, r"beta must be a number, got '1'"),
    "beta schedule gives None": (
        dict(beta=lambda step, steps: None), TypeError,
        r"schedule beta at step 0 of 15 must be a number, got None",
    ),
    "beta schedule ends in NaN": (
        dict(beta=lambda step, steps: 1.0 if step < 14 else np.nan), ValueError,
        r"beta at step 14 of 15 .* got nan",
    ),
    "lr below 0": (dict(lr=-1e-3), ValueError, r"lr must be a finite number of at least 0, got -0.001"),
    "lr schedule gives an array": (
        dict(lr=lambda step, steps: np.ones(2)), TypeError,
        r"schedule lr at step 0 of 15 must be a number",
    ),
    "lr schedule is below 0": (dict(lr=lambda step, steps: 1 - step), ValueError, r"schedule lr at step 14 of 15 .* got -13"),
    "binarize is unknown": (
        dict(binarize="random"), ValueError,
        r"binarize must be one of None, 'threshold', 'static', 'dynamic'; got 'random'",
    ),
    "objective is no function": (dict(objective=3), TypeError, r"objective must be a function \(model, x, eps\) -> Loss"),
    "samples without an objective": (dict(samples=5), ValueError, r"samples .* give objective=, too, or drop it"),
    "no samples": (dict(objective=lambda model, x, eps: None, samples=0), ValueError, r"samples must be at least 1, got 0"),
    "clip_norm of 0": (dict(clip_norm=0), ValueError, r"clip_norm must be above 0, got 0"),
    "clip_norm below 0": (dict(clip_norm=-1.0), ValueError, r"clip_norm must be a finite number of at least 0, got -1.0"),
    "patience without validation": (dict(patience=3), ValueError, r"patience stops on the validation loss; give validation="),
    "patience of 0": (dict(patience=0, validation=FLOATS), ValueError, r"patience must be at least 1, got 0"),
    "callback is no function": (
        dict(callbacks=["print"]), TypeError,
        r"callbacks must be functions \(record, model\), got 'print'",
    ),
    "checkpoint_every is text": (dict(checkpoint_every="10"), TypeError, r"checkpoint_every must be a number, got '10'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_one_sentence_and_changes_nothing(name):
    options, kind, words = BAD[name]
    rng = np.random.default_rng(5)
    options = {"data": FLOATS, "optimizer": Adam(), "epochs": 3, "batch_size": BATCH, "rng": rng} | options
    model, data = options.pop("model", None), options.pop("data")
    model = make_model() if model is None else model
    before = model.params.theta.copy() if hasattr(model, "params") else None
    with pytest.raises(kind, match=words) as caught:
        fit(model, data, **options)
    message = str(caught.value)
    assert "\n" not in message and message.rstrip().endswith("."), message
    assert rng.random() == np.random.default_rng(5).random(), "nothing was drawn"
    if before is not None:
        np.testing.assert_array_equal(model.params.theta, before)
    assert getattr(options["optimizer"], "t", 0) == 0


def test_missing_arguments_are_named():
    with pytest.raises(TypeError, match="'optimizer', 'epochs', 'batch_size', and 'rng'"):
        fit(make_model(), FLOATS)


def test_an_objective_must_give_a_loss():
    with pytest.raises(TypeError, match=r"objective must return a Loss\(total, reconstruction, kl\), got 1.0"):
        run(objective=lambda model, x, eps: 1.0)


def test_a_schedule_that_turns_bad_in_the_middle_is_told_where():
    with pytest.raises(ValueError, match="the schedule beta at step 7 of 15 must be a finite number of at least 0, got -1"):
        run(beta=lambda step, steps: -1 if step == 7 else 1)


def test_the_rate_is_put_back_when_a_schedule_fails():
    optimizer = Adam(0.5)
    with pytest.raises(ValueError, match="the schedule lr at step 7"):
        run(optimizer=optimizer, lr=lambda step, steps: -1 if step == 7 else 0.01)
    assert optimizer.lr == 0.5 and optimizer.t == 7


# --- a run that diverges --------------------------------------------------------------------------------------------------------


def explode_at(step):
    """A learning rate that throws the parameters to infinity at that step."""
    return lambda now, steps: 1e300 if now == step else 1e-3


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_diverging_run_says_where_and_keeps_the_last_good_checkpoint(tmp_path, checkpoint):
    file = tmp_path / "run.npz"
    options = dict(lr=explode_at(7), optimizer=SGD(0.1), checkpoint_every=0, checkpoint=file if checkpoint else None)
    with pytest.raises(NonFiniteError) as caught:
        run(make_model(likelihood=Gaussian()), **options)
    message = str(caught.value)
    assert re.match(r"fit: epoch 2, in step [34] of 5: ", message), message  # the step thrown to infinity, or the one after
    assert "try a lower lr, or clip_norm" in message
    assert (str(file) in message) == checkpoint
    if checkpoint:
        kept = load_checkpoint(file)
        assert np.isfinite(kept.theta).all()
        assert f"epoch {kept.training['epoch']} after step {kept.training['step']}" in message


def test_a_run_that_breaks_in_its_very_last_step_does_not_end_as_if_it_were_well(tmp_path):
    file = tmp_path / "run.npz"

    class Breaking(SGD):
        def step(self, theta, grad):
            super().step(theta, grad)
            self.t == 15 and theta.__setitem__(0, np.nan)

    with pytest.raises(
        NonFiniteError, match=r"fit: epoch 3, after the last of 5 steps: optimizer.step: encoder.0.W is nan at \[0, 0\]"
    ):
        run(optimizer=Breaking(0.1))
    with pytest.raises(NonFiniteError):
        run(optimizer=Breaking(0.1), checkpoint=file, checkpoint_every=0)
    assert load_checkpoint(file).optimizer_state["t"] == 14


def test_a_broken_gradient_stops_the_run_before_it_reaches_the_parameters():
    def broken(model, x, eps):
        model.params.grad = np.zeros(model.params.size)
        model.encoder.layers[2].db[1] = np.nan
        return Loss(1.0, 1.0, 0.0)

    model = make_model()
    with pytest.raises(NonFiniteError, match=r"epoch 1, in step 1 of 5: .*the gradient of encoder.2.b is nan at \[1\]"):
        run(model, objective=broken)
    np.testing.assert_array_equal(model.params.theta, make_model().params.theta)


def test_an_objective_that_turns_nan_is_told():
    with pytest.raises(NonFiniteError, match="epoch 1, in step 1 of 5: objective: loss is nan"):
        run(objective=lambda model, x, eps: Loss(np.nan, 1.0, 0.0))


def test_a_gradient_whose_square_overflows_is_still_clipped():
    def huge(model, x, eps):
        model.params.grad = np.full(model.params.size, 1e30)
        return Loss(1.0, 1.0, 0.0)

    model, _, history = run(objective=huge, optimizer=SGD(1.0), clip_norm=1.0, epochs=1, batch_size=23)
    P = model.params.size
    assert history["grad_norm"] == [pytest.approx(1e30 * np.sqrt(P))]
    np.testing.assert_allclose(make_model().params.theta - model.params.theta, 1 / np.sqrt(P), rtol=1e-4)


def test_clipping_saves_a_run_that_would_diverge():
    rows = 30 * np.random.default_rng(0).standard_normal((23, D))
    options = dict(optimizer=SGD(1.0), epochs=5)
    with pytest.raises(NonFiniteError):
        run(make_model(likelihood=Gaussian()), rows, **options)
    losses = run(make_model(likelihood=Gaussian()), rows, clip_norm=1.0, **options).history["loss"]
    assert np.isfinite(losses).all()


def test_an_optimizer_of_another_model_is_refused():
    used = run(epochs=1).optimizer
    other = VAE.dense(D, (4,), 2, rng=np.random.default_rng(0))
    before = other.params.theta.copy()
    with pytest.raises(ValueError, match="make one Adam for each array"):
        run(other, optimizer=used)
    np.testing.assert_array_equal(other.params.theta, before)
    assert outcome(run(epochs=1))["optimizer"]["t"] == used.t


def test_a_likelihood_looks_at_all_rows_before_anything_is_changed():
    vae = VAE.dense(6, likelihood=Categorical(3), rng=np.random.default_rng(0), dtype=np.float64)
    rows = np.tile([1.0, 0, 0], (40, 2))
    rows[-1] = 0  # in [0, 1], but no letter
    before = vae.params.theta.copy()
    with pytest.raises(ValueError, match="row 39, place 0"):  # of the data, not of a shuffled batch
        fit(vae, rows, optimizer=Adam(), epochs=1, batch_size=2, rng=np.random.default_rng(0))
    assert np.array_equal(vae.params.theta, before)


def test_a_continuous_bernoulli_is_not_given_zeros_and_ones():
    vae = VAE.dense(6, likelihood=ContinuousBernoulli(), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="no upper bound; use Bernoulli"):
        fit(vae, np.full((4, 6), 0.5), optimizer=Adam(), epochs=1, batch_size=2, rng=np.random.default_rng(0), binarize="dynamic")


def test_rows_that_are_looked_at_in_chunks_are_counted_as_a_whole(monkeypatch):
    """Two rows out of range, of which the first chunk holds none; the message is that of all rows at once."""
    monkeypatch.setattr(options, "CHUNK_ROWS", 4)
    x = np.full((12, 6), 0.5, np.float32)
    x[[5, 11], 2] = 1.5
    vae = VAE.dense(6, likelihood=ContinuousBernoulli(), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="2 of 72 values outside"):
        fit(vae, x, optimizer=Adam(), epochs=1, batch_size=4, rng=np.random.default_rng(0))
