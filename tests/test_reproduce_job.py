"""A run's folder of benchmarks/reproduce: what is trained is not trained again, and what is measured is what the card says."""

import importlib
import signal

import numpy as np
import pytest

from npvae import VAE, Adam, load_digits
from npvae.evaluation import Record, active_units, elbo
from npvae.evaluation.bounds import importance_sampling
from npvae.evaluation.protocol import rows_sha256
from npvae.training import Interrupted


@pytest.fixture
def job(reproduce, tmp_path):
    return new_job(reproduce, tmp_path / "run")


def new_job(reproduce, folder):
    folder.mkdir()
    return reproduce("job").Job("a card, a run", folder)


def small(rng=0):
    """An untrained VAE of the digits."""
    return VAE.dense(64, (16,), 3, rng=np.random.default_rng(rng))


# --- training ---------------------------------------------------------------------------------------------------------------------


def train(job, steps, stop_at=None):
    """Sixteen steps in four epochs. steps: where the steps are noted that are made."""

    def rate(step, total):
        steps.append(step)
        if step == stop_at:
            signal.raise_signal(signal.SIGTERM)  # in the midst of an epoch
        return 1e-3

    vae, x, rng = small(), load_digits().floats("train")[:200], np.random.default_rng(1)
    return vae, job.fit(vae, x, optimizer=Adam(), lr=rate, epochs=4, batch_size=50, rng=rng)


def test_training_goes_on_from_its_checkpoint_to_the_same_end(reproduce, job, tmp_path):
    whole, _ = train(new_job(reproduce, tmp_path / "whole"), [])
    with pytest.raises(Interrupted):
        train(job, [], stop_at=6)
    made = []
    part, history = train(job, made)
    assert sorted(set(made) - {0}) == list(range(7, 16))  # 0 and the last: fit asks for the schedule's ends
    assert len(history) == 4
    np.testing.assert_array_equal(part.params.theta, whole.params.theta)


def test_no_more_than_a_minute_is_lost(reproduce, job, monkeypatch):
    given = {}
    monkeypatch.setattr(reproduce("job"), "fit", lambda *_, **settings: given.update(settings))
    job.fit(small(), None, epochs=1)
    assert given["checkpoint_every"] <= 60


def test_a_damaged_checkpoint_is_named_with_what_to_do(job):
    path = job.folder / "training.npz"
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"training\.npz.*If .*training\.npz is deleted, the training begins anew"):
        train(job, [])


@pytest.mark.parametrize("epochs", [1, 10, 99, 100, 101, 1600])
def test_a_curve_keeps_every_epoch_of_a_short_run_and_not_too_many_of_a_long_one(epochs, reproduce):
    module = reproduce("job")
    history = importlib.import_module("npvae.training").History(
        [{"epoch": e, "step": 10 * e, "loss": 1 / e} for e in range(1, epochs + 1)]
    )
    curve = module.curve(history, "loss")
    if epochs <= module.POINTS:
        assert curve["epoch"] == list(range(1, epochs + 1))
    assert curve["epoch"][:5] == [1, 2, 3, 4, 5][:epochs]
    assert curve["epoch"][-1] == epochs
    assert len(curve["epoch"]) <= module.POINTS
    assert curve["step"] == [10 * e for e in curve["epoch"]]
    assert curve["loss"] == [1 / e for e in curve["epoch"]]


def test_the_output_begins_at_the_mean_of_each_training_pixel(reproduce):
    digits = load_digits()
    np.testing.assert_allclose(reproduce("job").mean_pixels(digits), digits.floats("train", np.float64).mean(axis=0))


# --- measuring --------------------------------------------------------------------------------------------------------------------


def test_measured_is_what_the_library_gives_of_the_drawn_test_rows(job):
    digits, vae = load_digits(), small()
    outcome = job.measure(vae, digits, "dynamic", samples=7, seed=4)
    x = (np.random.default_rng(4).random(digits.test.shape) < digits.floats("test", np.float64)).astype(np.float32)
    bound = importance_sampling(vae, x, np.random.default_rng([4, 0]), 7, progress=False)
    log_p = bound.log_likelihood
    assert outcome == {
        "elbo": pytest.approx(elbo(vae, x, np.random.default_rng(4)).mean()),
        "nll": pytest.approx(-log_p.mean()),
        "error": pytest.approx(log_p.std(ddof=1) / len(x) ** 0.5),
        "monte_carlo_error": pytest.approx(np.linalg.norm(bound.monte_carlo_error) / len(x)),
        "samples": 7, "rows": len(x), "effective_samples": pytest.approx(np.median(bound.effective_samples)),
        "active_units": active_units(vae, x).sum(),
    }  # fmt: skip
    protocol = Record.load(job.folder / "record.json").protocol
    assert (protocol.split, protocol.binarization, protocol.k, protocol.rows_seed) == ("test", "dynamic", 7, 4)
    assert protocol.rows_sha256 == rows_sha256(x)


@pytest.mark.parametrize("binarize", ["threshold", "static", "dynamic"])
def test_measured_rows_are_the_same_for_every_model(binarize, job, reproduce, tmp_path):
    digits, other = load_digits(), new_job(reproduce, tmp_path / "other")
    job.measure(small(), digits, binarize, samples=3, seed=4)
    other.measure(VAE.dense(64, (5,), 2, rng=np.random.default_rng(1)), digits, binarize, samples=3, seed=4)
    record, second = (Record.load(folder / "record.json") for folder in (job.folder, other.folder))
    assert record.protocol == second.protocol
    assert record.protocol.rows_seed == (None if binarize == "threshold" else 4)


def test_active_units_are_counted_over_all_rows_at_the_usual_threshold(job, reproduce, monkeypatch):
    asked = []

    def noting(vae, x, *more, **named):
        asked.append((len(x), more, named))
        return np.ones(2)

    monkeypatch.setattr(reproduce("job"), "active_units", noting)
    assert job.measure(small(), load_digits(), "static", samples=2, seed=0)["active_units"] == 2
    assert asked == [(360, (), {})]


# --- importance samples, part by part ---------------------------------------------------------------------------------------------


@pytest.fixture
def parts(reproduce, monkeypatch):
    """Parts of 40 rows; the sizes of those that are computed."""
    module = reproduce("job")
    calls, sample = [], module.importance_sampling

    def counting(vae, x, *rest, **more):
        calls.append(len(x))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sample(vae, x, *rest, **more)

    monkeypatch.setattr(module, "PART", 40)
    monkeypatch.setattr(module, "importance_sampling", counting)
    return calls


def test_what_was_computed_of_these_parameters_rows_and_seed_is_not_computed_again(job, parts):
    vae, x = small(), load_digits().floats("test")[:100]
    with pytest.raises(KeyboardInterrupt):
        job.importance_samples(vae, x, 7, seed=5)
    again = job.importance_samples(vae, x, 7, seed=5)
    assert parts == [40, 40, 20, 20]  # the third was interrupted; the first two stay
    assert [len(values) for values in again] == [100, 100, 100]
    first = importance_sampling(vae, x[:40], np.random.default_rng([5, 0]), 7, progress=False)
    np.testing.assert_array_equal(again.log_likelihood[:40], first.log_likelihood)
    for other in ((small(1), x, 7, 5), (vae, x > 0.5, 7, 5), (vae, x, 7, 6), (vae, x, 8, 5)):
        parts[:] = [0] * 3
        job.importance_samples(*other)
        assert parts[3:] == [40, 40, 20]


def test_a_damaged_part_is_computed_again(job, parts):
    vae, x = small(), load_digits().floats("test")[:80]
    whole = job.importance_samples(vae, x, 7, seed=5).log_likelihood
    parts[:] = [0] * 3
    first, second = sorted(job.folder.glob("L_7-*.npz"))
    first.write_bytes(first.read_bytes()[:-20])
    second.write_bytes(b"")
    np.testing.assert_array_equal(job.importance_samples(vae, x, 7, seed=5).log_likelihood, whole)
    assert parts[3:] == [40, 40]


def test_every_part_has_noise_of_its_own(job, parts):
    x = load_digits().floats("test")[:40]
    both = job.importance_samples(small(), np.concatenate([x, x]), 7, seed=5).log_likelihood
    assert not np.array_equal(both[:40], both[40:])


def test_a_part_is_there_whole_or_not_at_all(reproduce, job, monkeypatch):
    def full(*_):
        raise OSError("full")

    monkeypatch.setattr(reproduce("job"), "replace_file", full)
    with pytest.raises(OSError, match="full"):
        job.importance_samples(small(), load_digits().floats("test")[:5], 7, seed=5)
    assert list(job.folder.iterdir()) == []
