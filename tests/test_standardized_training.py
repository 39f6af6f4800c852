"""The standardization of the training data goes into the checkpoint and comes back exactly; a resumed run must have the same."""

import re

import numpy as np
import pytest
from runs import Crash, D, crash_at, make_model, outcome, run

from npvae import Adam, Gaussian
from npvae.data import Dataset, Standardization
from npvae.training import CheckpointError, load_checkpoint, save_checkpoint
from npvae.training.archive import read_archive, write_archive


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.npz"


def raw_data(seed=0):
    """Rows on scales from 0.001 to 1,000, far from 0."""
    rng = np.random.default_rng(seed)
    scale, shift = 10.0 ** np.arange(-3, D - 3), 100 * rng.standard_normal(D)
    train, valid, test = (shift + scale * rng.standard_normal((n, D)) for n in (23, 9, 7))
    return Dataset(name="raw", train=train, valid=valid, test=test)


def train(seed=0, data=None, **options):
    data = raw_data().standardized() if data is None else data
    return run(make_model(seed, likelihood=Gaussian()), data, **options)


def assert_same(found, expected):
    """Equal to the last bit, in float64."""
    for name in ("mean", "std"):
        a, b = getattr(found, name), getattr(expected, name)
        assert a.dtype == np.float64 and a.tobytes() == b.tobytes()


def test_a_file_gives_back_what_it_was_given(file):
    standardization = Standardization(np.array([0.1, 1e300, -3.0, 0, 1 / 3, 2]), np.array([1e-300, 1, 2, 3, 1 / 7, 1]))
    save_checkpoint(file, make_model(), standardization=standardization)
    assert_same(load_checkpoint(file).standardization, standardization)
    assert_same(load_checkpoint(file, make_model(seed=3)).standardization, standardization)
    save_checkpoint(file, make_model())
    assert load_checkpoint(file).standardization is None


@pytest.mark.parametrize("options", [{}, dict(validation="valid", patience=9)], ids=["last", "best"])
def test_fit_keeps_that_of_its_data_and_samples_can_be_undone(file, options):
    data = raw_data().standardized()
    model = train(data=data, checkpoint=file, **options).model
    c = load_checkpoint(file)
    assert_same(c.standardization, data.standardization)
    np.testing.assert_array_equal(c.model.params.theta, model.params.theta)
    x = c.standardization.undo(c.model.sample(500, np.random.default_rng(0)).astype(float))
    assert np.all(np.abs(x.mean(axis=0) - raw_data().train.mean(axis=0)) < data.standardization.std)
    np.testing.assert_allclose(c.standardization.apply(raw_data().test), data.test, rtol=1e-12)


def test_other_data_have_none(file):
    run(checkpoint=file)
    assert load_checkpoint(file).standardization is None
    train(data=raw_data().standardized().train, checkpoint=file)  # an array
    assert load_checkpoint(file).standardization is None
    manifest, arrays = read_archive(file)
    assert "standardization" not in manifest["training"]["settings"], "the settings of such files are what they have always been"
    assert not [name for name in arrays if name.startswith("standardization")]


def test_people_can_read_it_with_numpy_alone(file):
    data = raw_data().standardized()
    train(data=data, checkpoint=file, epochs=1)
    with np.load(file, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["standardization/mean"], data.standardization.mean)
        np.testing.assert_array_equal(archive["standardization/std"], data.standardization.std)


# --- resuming -------------------------------------------------------------------------------------------------------------------


def test_a_standardized_run_goes_on_as_if_it_had_not_stopped_and_keeps_it(file):
    with pytest.raises(Crash):
        train(optimizer=crash_at(7, Adam(1e-2)), checkpoint=file, checkpoint_every=0)
    assert outcome(train(seed=7, resume=file, checkpoint=file)) == outcome(train())
    assert_same(load_checkpoint(file).standardization, raw_data().standardized().standardization)


def renamed(data, by):
    """The same rows, said to be standardized by other numbers, or not at all."""
    return Dataset(name="raw", train=data.train, valid=data.valid, test=data.test, standardization=by)


def test_the_same_rows_standardized_otherwise_are_refused(file):
    data = raw_data().standardized()
    train(data=data, checkpoint=file)
    own = data.standardization
    others = [Standardization(own.mean + 1e-9, own.std), Standardization(own.mean, own.std * (1 + 1e-15))]
    for other in others:
        with pytest.raises(CheckpointError, match=r"standardization.sha256 is \w{12}\.\.\. in the file, \w{12}\.\.\. here"):
            train(data=renamed(data, other), resume=file)
    with pytest.raises(CheckpointError, match=r"standardization.sha256 is \w{12}\.\.\. in the file, missing here"):
        train(data=renamed(data, None), resume=file)
    train(data=renamed(data, None), checkpoint=file)
    with pytest.raises(CheckpointError, match=r"standardization.sha256 is missing in the file, \w{12}\.\.\. here"):
        train(data=data, resume=file)


# --- damage ---------------------------------------------------------------------------------------------------------------------

DAMAGE = {
    "one of the two": (lambda a: a.pop("standardization/std"), "the standardization is damaged .*'std'.*use another copy"),
    "not finite": (lambda a: a["standardization/mean"].put(2, np.nan), "the standardization is damaged .*finite"),
    "std of 0": (lambda a: a["standardization/std"].put(2, 0), "the standardization is damaged"),
    "something more": (lambda a: a.update({"standardization/scale": np.ones(D)}), "the standardization is damaged .*'scale'"),
    "other columns": (
        lambda a: a.update({f"standardization/{name}": np.ones(D + 1) for name in ("mean", "std")}),
        "the standardization has 7 columns, the model's data 6",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_one_is_refused_in_one_sentence(file, name):
    spoil, words = DAMAGE[name]
    train(checkpoint=file, epochs=1)
    manifest, arrays = read_archive(file)
    spoil(arrays)
    write_archive(file, {key: manifest[key] for key in ("model", "optimizer", "training", "history")}, arrays)
    for use in (load_checkpoint, lambda file: train(resume=file, epochs=1)):
        with pytest.raises(CheckpointError, match=words) as caught:
            use(file)
        assert "\n" not in str(caught.value) and re.match(re.escape(str(file)), str(caught.value))
