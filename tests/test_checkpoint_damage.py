"""Checkpoint files that are no good: damage is always told, never loaded, and the live model is untouched."""

import json

import numpy as np
import pytest
from runs import make_model, run

from npvae import Adam
from npvae.training import CheckpointError, load_checkpoint, save_checkpoint


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


def members(path):
    """The manifest of a file, and its arrays by name."""
    with np.load(path) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("manifest").tobytes()), arrays


def write(path, manifest, arrays):
    """A file of an edited manifest or arrays: damage that no CRC-32 notices."""
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    with open(path, "wb") as out:
        np.savez(out, manifest=text, **arrays)


def test_what_is_no_checkpoint_is_told_so(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "pickle.npz", manifest=np.array([object()]))
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
    manifest, arrays = members(file)
    write(file, manifest | {"version": 2}, arrays)
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
        (
            lambda a: {name.replace("r.0.b", "r.0.c"): v for name, v in a.items()},
            "encoder.0.b is missing; decoder.0.b is missing; encoder.0.c is unexpected; decoder.0.c is unexpected",
        ),
    ],
)  # fmt: skip
def test_arrays_that_are_not_those_of_the_manifest_are_refused(file, edit, words):
    save_checkpoint(file, make_model())
    manifest, arrays = members(file)
    write(file, manifest, edit(arrays))
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
    manifest, arrays = members(file)
    refused = []
    wrong = [None, "x", -1, 0.5, [], {}]
    for i, path in enumerate(paths(manifest)):
        for new in [..., *(wrong[(i + k) % 6] for k in range(values))]:
            write(file, replaced(manifest, path, new), arrays)
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
