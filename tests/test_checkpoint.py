"""Checkpoint files: everything comes back, nothing is ever half written, and damage is always told, never loaded."""

import errno
import json
import os
import threading

import numpy as np
import pytest
from runs import D, Z, make_model, run

from npvae import VAE, Adam, Autoencoder, Bernoulli, Chain, Dense, Gaussian, ReLU
from npvae.core.parameters import Layer
from npvae.training import CheckpointError, History, load_checkpoint, save_checkpoint
from npvae.training import archive as archive_module
from npvae.training.atomic import replace_file


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.npz"


def trained(file, **options):
    """A run with every kind of content: best parameters, optimizer, history."""
    return run(validation="valid", patience=9, checkpoint=file, binarize="dynamic", **options)


def content(path, model=None):
    """Everything in a file, comparable."""
    c = load_checkpoint(path, model)
    arrays = [
        c.theta,
        c.best_theta,
        c.model.params.theta,
        *(v for v in (c.optimizer_state or {}).values() if hasattr(v, "tobytes")),
    ]
    return (
        [None if a is None else a.tobytes() for a in arrays],
        c.optimizer,
        c.training,
        c.history and c.history.records,
        c.manifest,
    )


def rewrite(path, edit, arrays=None):
    """Save the file again with an edited manifest and arrays: damage that no CRC-32 notices."""
    with np.load(path) as archive:
        members = dict(archive)
    manifest = json.loads(members.pop("manifest").tobytes())
    manifest = edit(manifest) or manifest
    members = members if arrays is None else arrays(members)
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    with open(path, "wb") as out:
        np.savez(out, manifest=text, **members)


# --- round trips ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VAE, Autoencoder])
@pytest.mark.parametrize(
    "likelihood", [Bernoulli(), Gaussian(0.5), Gaussian(0.5, learn=True)], ids=["Bernoulli", "fixed", "learned"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_comes_back_bit_for_bit_from_its_file_alone(file, kind, likelihood, dtype):
    model = make_model(kind=kind, likelihood=likelihood.astype(np.float64), activation=ReLU, dtype=dtype)
    model.params.theta += np.random.default_rng(1).normal(size=model.params.size).astype(dtype)
    save_checkpoint(file, model)
    again = load_checkpoint(file).model
    assert type(again) is kind and again.dtype == dtype and again.params.theta.tobytes() == model.params.theta.tobytes()
    x = np.random.default_rng(2).random((3, D)).astype(dtype)
    np.testing.assert_array_equal(again.reconstruct(x), model.reconstruct(x))


def test_a_file_holds_what_it_was_given(file):
    model, optimizer, history = run()
    save_checkpoint(file, model, optimizer, history=history, training={"note": [1, 2.5, None]}, best_theta=2 * model.params.theta)
    c = load_checkpoint(file)
    np.testing.assert_array_equal(c.theta, model.params.theta)
    np.testing.assert_array_equal(c.best_theta, 2 * model.params.theta)
    np.testing.assert_array_equal(c.model.params.theta, c.best_theta, "the best ones, if there are such")
    assert c.optimizer == optimizer.config() and c.history.records == history.records and c.training == {"note": [1, 2.5, None]}
    other = Adam()
    other.load_state_dict(c.optimizer_state)
    assert other.t == optimizer.t and other.m.tobytes() == optimizer.m.tobytes() and other.v.tobytes() == optimizer.v.tobytes()
    assert set(c.manifest["versions"]) == {"npvae", "numpy", "python"}
    save_checkpoint(file, model)
    c = load_checkpoint(file)
    assert (c.best_theta, c.optimizer, c.optimizer_state, c.history, c.training) == (None,) * 5


def test_an_optimizer_that_has_not_stepped_comes_back_too(file):
    save_checkpoint(file, make_model(), Adam(0.25))
    assert load_checkpoint(file).optimizer_state == {"t": 0, "m": None, "v": None}


def test_fit_leaves_a_file_with_the_last_and_the_best_parameters(file):
    model, optimizer, history = trained(file)
    c = load_checkpoint(file)
    np.testing.assert_array_equal(c.model.params.theta, model.params.theta)
    np.testing.assert_array_equal(c.best_theta, model.params.theta)
    assert c.history.records == history.records and c.training["epoch"] == 4 and c.training["step"] == 0
    assert c.optimizer == {"type": "Adam", "lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert c.optimizer_state["t"] == 15


def test_people_can_read_a_file_with_numpy_alone(file):
    model = make_model()
    save_checkpoint(file, model)
    with np.load(file, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["encoder.0.W"], model.encoder.layers[0].W)
        manifest = json.loads(archive["manifest"].tobytes())
        assert set(archive) == {"manifest", *(name for name, _, _ in model.params)}
    assert manifest["format"] == "npvae checkpoint" and manifest["version"] == 1
    assert manifest["arrays"][0].keys() == {"name", "shape", "dtype", "sha256"}


def test_the_path_is_used_as_it_is_given(tmp_path):
    for name in ("no_suffix", "model.ckpt", "späce [1].npz"):
        save_checkpoint(str(tmp_path / name), make_model())
        assert (tmp_path / name).is_file()
        load_checkpoint(tmp_path / name)
    assert len(os.listdir(tmp_path)) == 3


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        save_checkpoint(tmp_path / name, make_model(), Adam())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_callbacks_add_is_kept_as_plain_numbers(file):
    def note(record, model):
        record |= {"norm": np.float32(0.5), "units": np.arange(2)}

    run(checkpoint=file, callbacks=[note])
    assert load_checkpoint(file).history.records[0]["units"] == [0, 1]
    with pytest.raises(TypeError, match="cannot be kept in a checkpoint; use numbers"):
        save_checkpoint(file, make_model(), history=History([{"bad": object()}]))
    assert load_checkpoint(file).history["norm"] == [0.5] * 3


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "real" / "model.npz")
    save_checkpoint(tmp_path / "link.npz", make_model())
    assert (tmp_path / "link.npz").is_symlink() and os.listdir(tmp_path / "real") == ["model.npz"]


# --- loading into a model that is there -----------------------------------------------------------------------------------------


class Scale(Layer):
    """A layer of one's own, unknown to the library."""

    parameters = ("g",)

    def __init__(self):
        self.g = np.ones(2 * Z)

    def forward(self, x):
        return x * self.g, x

    def backward(self, dy, x, need_dx=True):
        self.dg = np.sum(dy * x, axis=0)
        return dy * self.g if need_dx else None


def own_model(seed=0):
    rng = np.random.default_rng(seed)
    return VAE(Chain([Dense(D, 2 * Z, rng=rng), Scale()]), Dense(Z, D, rng=rng), Bernoulli(), Z)


def test_a_model_with_layers_of_ones_own_is_loaded_into_one_that_the_caller_builds(file):
    model = own_model()
    model.encoder.layers[1].g *= 3
    save_checkpoint(file, model)
    with pytest.raises(CheckpointError, match=r"unknown layer or likelihood '.*Scale'.*build the model and pass it as model="):
        load_checkpoint(file)
    other = own_model(seed=5)
    assert load_checkpoint(file, other).model is other
    np.testing.assert_array_equal(other.params.theta, model.params.theta)


def test_a_float32_file_can_be_loaded_into_a_float64_twin(file):
    model = make_model()
    save_checkpoint(file, model)
    twin = make_model(seed=3, dtype=np.float64)
    load_checkpoint(file, twin)
    np.testing.assert_array_equal(twin.params.theta, model.params.theta.astype(np.float64))


def test_everything_that_does_not_fit_is_listed_together_and_the_model_is_untouched(file):
    save_checkpoint(file, make_model())
    other = VAE.dense(D, (7, 5), Z, rng=np.random.default_rng(0))
    before = other.params.theta.copy()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(file, other)
    for words in ("encoder.4.W (5, 4) is not in the file", "encoder.0.W is (6, 5) in the file, (6, 7) in the model", str(file)):
        assert words in str(caught.value)
    np.testing.assert_array_equal(other.params.theta, before)
    save_checkpoint(file, other)
    with pytest.raises(CheckpointError, match=r"the model has no encoder.4.W \(5, 4\)"):
        load_checkpoint(file, make_model())


def test_complex_parameters_do_not_go_into_a_real_model(file):
    save_checkpoint(file, make_model().astype(np.complex128))
    with pytest.raises(CheckpointError, match="encoder.0.W is complex128 in the file, float32 in the model"):
        load_checkpoint(file, make_model())


# --- files that are no good -----------------------------------------------------------------------------------------------------


def test_what_is_no_checkpoint_is_told_so(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "pickle.npz", manifest=np.array([object()]), allow_pickle=True)
    np.savez(tmp_path / "floats.npz", manifest=np.ones(3))
    for name, words in {
        "nothing.npz": "there is no such file", "text": "damaged, truncated or no checkpoint", "empty": "damaged, truncated",
        "other.npz": "it has no manifest", "array.npy": "damaged, truncated or no checkpoint", "pickle.npz": "allow_pickle",
        "floats.npz": "its manifest is damaged", "": "there is no such file",
    }.items():  # fmt: skip
        with pytest.raises(CheckpointError, match=words) as caught:
            load_checkpoint(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_a_file_of_a_newer_version_asks_for_an_update(file):
    save_checkpoint(file, make_model())
    rewrite(file, lambda manifest: manifest | {"version": 2})
    with pytest.raises(CheckpointError, match="format 2, but this version of npvae reads up to 1; update npvae"):
        load_checkpoint(file)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda a: a | {"encoder.0.W": a["encoder.0.W"] + 1}, r"encoder.0.W has been changed \(SHA-256\)"),
        (lambda a: {n: v for n, v in a.items() if n != "encoder.0.b"}, "encoder.0.b is missing"),
        (lambda a: a | {"extra": np.ones(2)}, "extra is unexpected"),
        (lambda a: a | {"encoder.0.W": a["encoder.0.W"].T}, r"encoder.0.W is <f4 \[5, 6\], the manifest says <f4 \[6, 5\]"),
        (lambda a: a | {"encoder.0.b": a["encoder.0.b"].astype(float)}, r"encoder.0.b is <f8 \[5\], the manifest says <f4 \[5\]"),
        (lambda a: {n.replace("r.0.b", "r.0.c"): v for n, v in a.items()}, "encoder.0.b is missing; decoder.0.b is missing; encoder.0.c is"),
    ],
)  # fmt: skip
def test_arrays_that_are_not_those_of_the_manifest_are_refused(file, edit, words):
    save_checkpoint(file, make_model())
    rewrite(file, lambda manifest: None, edit)
    model = make_model(seed=2)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(file, model)
    assert model.params.theta.tobytes() == make_model(seed=2).params.theta.tobytes()


def test_broken_parameters_are_neither_saved_nor_loaded(file, monkeypatch):
    save_checkpoint(file, make_model())
    before = file.read_bytes()
    broken = make_model()
    broken.encoder.layers[0].W[2, 1] = np.nan
    with pytest.raises(CheckpointError, match=r"not written, since encoder.0.W is nan at \[2, 1\]"):
        save_checkpoint(file, broken)
    with pytest.raises(CheckpointError, match=r"not written, since best/encoder.0.W is inf at \[0, 0\]"):
        save_checkpoint(file, make_model(), best_theta=np.full(broken.params.size, np.inf))
    assert file.read_bytes() == before
    monkeypatch.setattr("npvae.training.checkpoint.first_nonfinite", lambda a: None)
    save_checkpoint(file, broken)
    with pytest.raises(CheckpointError, match="encoder.0.W holds NaN or infinity"):
        load_checkpoint(file, make_model())


def test_a_truncated_file_is_refused_at_every_length(file):
    trained(file)
    whole, expected = file.read_bytes(), content(file)
    for length in [*range(0, len(whole), 97), *range(len(whole) - 30, len(whole))]:
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged, truncated"):
            load_checkpoint(file)
    file.write_bytes(whole)
    assert content(file) == expected


def test_a_flipped_bit_is_told_or_harmless(file):
    trained(file)
    whole, expected = file.read_bytes(), content(file)
    rng = np.random.default_rng(0)
    directory = whole.index(b"PK\x01\x02")  # where the archive's table of contents begins
    places = [*rng.integers(0, len(whole), 100), *rng.integers(directory, len(whole), 200)]
    told = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            assert content(file) == expected, f"byte {place} loaded as something else"
        except CheckpointError:
            told += 1
    assert told > 150


def paths(value, path=()):
    """Every place in nested plain data."""
    if isinstance(value, dict) or (isinstance(value, list) and path[:1] == ("history",)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            yield from paths(inner, (*path, key))


def replaced(value, path, new):
    """A copy with another value at one place (or, for ..., without it)."""
    value = value.copy()
    if len(path) > 1:
        value[path[0]] = replaced(value[path[0]], path[1:], new)
    elif new is ...:
        del value[path[0]]
    else:
        value[path[0]] = new
    return value


@pytest.mark.parametrize("values", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_whatever_is_wrong_in_the_manifest_is_a_checkpoint_error_and_touches_nothing(file, values):
    trained(file, epochs=1)
    whole = file.read_bytes()
    with np.load(file) as archive:
        manifest = json.loads(archive["manifest"].tobytes())
    refused = []
    wrong = [None, "x", -1, 0.5, [], {}]
    for i, path in enumerate(paths(manifest)):
        for new in [..., *(wrong[(i + k) % 6] for k in range(values))]:
            file.write_bytes(whole)
            rewrite(file, lambda manifest: replaced(manifest, path, new))  # noqa: B023
            model, optimizer = make_model(seed=4), Adam(1e-2)
            try:
                load_checkpoint(file)
                run(model, optimizer=optimizer, epochs=1, resume=file, validation="valid", binarize="dynamic", seed=9)
            except CheckpointError as error:
                assert str(file) in str(error)
                refused.append(".".join(map(str, path)))
                assert model.params.theta.tobytes() == make_model(seed=4).params.theta.tobytes() and optimizer.t == 0
    for field in ("format", "version", "arrays", "model.latent_dim", "training.root", "training.epoch", "training.sums.kl",
                  "training.settings.batch_size", "training.settings.data.sha256", "optimizer.state.t", "history"):  # fmt: skip
        assert field in refused


# --- writing --------------------------------------------------------------------------------------------------------------------


class FullDisk:
    """A file system on which only so many bytes fit."""

    def __init__(self, monkeypatch, room):
        self.room = room
        opened = archive_module.replace_file.__globals__["_temporary"]

        def temporary(path):
            file = opened(path)
            return _Limited(file, self)

        monkeypatch.setattr("npvae.training.atomic._temporary", temporary)


class _Limited:
    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, data):
        if self.file.tell() + len(data) > self.disk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    save_checkpoint(file, make_model())
    before = file.read_bytes()
    for room in range(0, len(before), 500):
        with monkeypatch.context() as patched:
            FullDisk(patched, room)
            with pytest.raises(CheckpointError, match="No space left on device.*what was in the file before is untouched"):
                save_checkpoint(file, make_model(seed=1))
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_system_call_leaves_the_old_file_and_nothing_else(file, monkeypatch, call):
    save_checkpoint(file, make_model())
    before = file.read_bytes()

    def fail(*args):
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(CheckpointError, match="Read-only file system"):
        save_checkpoint(file, make_model(seed=1))
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


def test_a_disk_that_fills_up_during_training_is_told_and_the_last_file_stays(file, monkeypatch):
    disk = FullDisk(monkeypatch, 10**9)

    def fill(record, model):
        disk.room = 1000

    with pytest.raises(CheckpointError, match="No space left"):
        run(checkpoint=file, checkpoint_every=0, callbacks=[fill])
    assert load_checkpoint(file).training["epoch"] == 1 and os.listdir(file.parent) == [file.name]


def test_room_and_permission_are_checked_before_training_starts(file, monkeypatch):
    model, rng = make_model(), np.random.default_rng(0)
    before = model.params.theta.tobytes(), rng.bit_generator.state

    def refused(path, words):
        with pytest.raises(CheckpointError, match=words):
            run(model, checkpoint=path)
        assert (model.params.theta.tobytes(), rng.bit_generator.state) == before

    refused(file.parent / "no" / "model.npz", "the folder .*no does not exist; make it first")
    refused(file.parent, "this is a folder; checkpoint must be a file name, e.g. ")
    run(epochs=1, checkpoint=file)
    size = file.stat().st_size
    disk = FullDisk(monkeypatch, size + 1000)  # a file of its size would fit, with little to spare
    refused(file, "No space left on device.*nothing was trained")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(PermissionError(errno.EACCES, "Permission denied")))
    disk.room = 10**9
    refused(file, "Permission denied")
    assert os.listdir(file.parent) == [file.name]


def test_what_killed_processes_left_is_cleaned_and_what_living_ones_write_is_not(file):
    folder = file.parent
    orphan, other = folder / f".{file.name}.0123abcd.tmp", folder / ".other.npz.0123abcd.tmp"
    orphan.write_bytes(b"half"), other.write_bytes(b"half")
    written = []

    def write(out):
        out.write(b"slow")
        out.flush()
        save_checkpoint(file, make_model())  # a second writer, while the first is at it
        written.extend(os.listdir(folder))

    replace_file(file, write)
    assert orphan.name not in written and other.name in written
    assert sorted(os.listdir(folder)) == sorted([file.name, other.name]) and file.read_bytes() == b"slow"


def test_two_writers_never_damage_the_file(file):
    errors = []

    def write(seed):
        try:
            for _ in range(25):
                save_checkpoint(file, make_model(seed))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2, 3)]
    save_checkpoint(file, make_model())
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        load_checkpoint(file)
    assert not errors and os.listdir(file.parent) == [file.name]
