"""The static binarized MNIST: read from the original texts or the packed archive, and only if it is that and nothing else."""

import hashlib
import os
import pathlib

import numpy as np
import pytest

from npvae.data import binarized, load_binarized_mnist, load_dataset
from npvae.data.source import Source

SIZES = {"train": 6, "valid": 3, "test": 2}
BITS = {split: np.random.default_rng(n).integers(0, 2, (n, 784), dtype=np.uint8) for split, n in SIZES.items()}


def text_of(bits):
    return b"".join(" ".join(map(str, row)).encode() + b"\n" for row in bits.tolist())


TEXTS = {f"binarized_mnist_{split}.amat": text_of(bits) for split, bits in BITS.items()}
PACKED = {split: np.packbits(bits, axis=1) for split, bits in BITS.items()}


@pytest.fixture(autouse=True)
def small_set(monkeypatch, request):
    """Eleven rows with their own hashes in place of the 70,000."""
    if "real" in request.node.name:
        return
    files = {name: (hashlib.sha256(text).hexdigest(), len(text)) for name, text in TEXTS.items()}
    monkeypatch.setattr(binarized, "SOURCE", Source("the static binarized MNIST", (), files))
    hashes = {split: hashlib.sha256(packed.tobytes()).hexdigest() for split, packed in PACKED.items()}
    monkeypatch.setattr(binarized, "PACKED_SHA256", hashes)


def write_texts(folder, **replaced):
    folder.mkdir(exist_ok=True)
    for name, text in (TEXTS | {f"binarized_mnist_{split}.amat": text for split, text in replaced.items()}).items():
        (folder / name).write_bytes(text)
    return folder


def write_packed(folder, **replaced):
    folder.mkdir(exist_ok=True)
    arrays = {split: a for split, a in (PACKED | replaced).items() if a is not None}
    np.savez_compressed(folder / "static_binarized_mnist.npz", **arrays)
    return folder


@pytest.mark.parametrize("write", [write_texts, write_packed])
@pytest.mark.parametrize("folder", ["static-binarized-mnist", "binarized-mnist", "."])
def test_both_forms_give_the_bits_wherever_they_are_looked_for(tmp_path, write, folder, monkeypatch):
    write(tmp_path / folder)
    monkeypatch.setenv("NPVAE_DATA", str(tmp_path))
    for data in (
        load_binarized_mnist(),
        load_binarized_mnist(tmp_path),
        load_dataset("binarized-mnist"),
        load_dataset(tmp_path / folder),
    ):
        for split, bits in BITS.items():
            np.testing.assert_array_equal(getattr(data, split), bits)
            assert getattr(data, split).dtype == np.uint8 and getattr(data, split).flags.c_contiguous
        assert (data.name, data.scale, data.image_shape, data.train_labels) == ("binarized-mnist", 1.0, (28, 28), None)


def test_the_archive_is_known_by_its_name_and_may_be_stored_by_columns(tmp_path):
    folder = write_packed(tmp_path, train=np.asfortranarray(PACKED["train"]))
    data = load_dataset(folder / "static_binarized_mnist.npz")
    np.testing.assert_array_equal(data.train, BITS["train"])
    assert data.train.flags.c_contiguous


@pytest.mark.parametrize(
    "text",
    [
        TEXTS["binarized_mnist_valid.amat"][:-1],
        TEXTS["binarized_mnist_valid.amat"][:1000],
        TEXTS["binarized_mnist_valid.amat"].replace(b"1", b"0", 1),
        TEXTS["binarized_mnist_valid.amat"].replace(b"\n", b"\r\n"),
        b"",
    ],
    ids=["no last newline", "cut", "one bit", "Windows", "empty"],
)
def test_a_text_that_is_not_the_original_is_refused(tmp_path, text):
    message = (
        r"binarized_mnist_valid.amat: wrong SHA-256: this is not the file of the static binarized MNIST, which has 4,704 bytes"
    )
    with pytest.raises(ValueError, match=message):
        load_binarized_mnist(write_texts(tmp_path, valid=text))


@pytest.mark.parametrize(
    "replaced, message",
    [
        ({"test": PACKED["test"] ^ np.uint8(1)}, "array test has a wrong SHA-256: these are not the bits of the static binarized"),
        ({"train": PACKED["train"][::-1]}, "array train has a wrong SHA-256"),
        ({"valid": None}, r"array valid is missing; expected np.packbits\(rows, axis=1\), uint8 \(N, 98\)"),
        ({"test": BITS["test"]}, r"array test is uint8 \(2, 784\); expected np.packbits"),
        ({"test": PACKED["test"].astype(int)}, r"array test is int64 \(2, 98\); expected np.packbits"),
        ({"test": PACKED["test"].ravel()}, r"array test is uint8 \(196,\); expected np.packbits"),
    ],
    ids=["other bits", "other order", "missing", "not packed", "dtype", "flat"],
)
def test_an_archive_with_other_bits_is_refused(tmp_path, replaced, message):
    with pytest.raises(ValueError, match=f"static_binarized_mnist.npz: {message}"):
        load_binarized_mnist(write_packed(tmp_path, **replaced))


def test_a_damaged_archive_and_missing_files(tmp_path):
    path = write_packed(tmp_path / "damaged") / "static_binarized_mnist.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="static_binarized_mnist.npz: cannot be read as .npy or .npz"):
        load_binarized_mnist(tmp_path / "damaged")
    with pytest.raises(FileNotFoundError, match=r"static-binarized-mnist: binarized_mnist_train.amat is not there. Put static_bin"):
        load_binarized_mnist(tmp_path / "nowhere")
    (write_texts(tmp_path / "two") / "binarized_mnist_test.amat").unlink()
    with pytest.raises(FileNotFoundError, match="two: binarized_mnist_test.amat is not there.*NPVAE_DATA.*download=True"):
        load_binarized_mnist(tmp_path / "two")


ROOT = pathlib.Path(os.environ.get("NPVAE_DATA", "/nonexistent"))
needs_it = pytest.mark.skipif(
    not (ROOT / "static-binarized-mnist").is_dir(), reason="the static binarized MNIST is not on this machine; set NPVAE_DATA"
)


@needs_it
def test_the_real_one_has_its_published_sizes_and_means():
    data = load_binarized_mnist()
    assert [rows.shape for _, rows, _ in data.splits()] == [(50_000, 784), (10_000, 784), (10_000, 784)]
    means = [rows.mean(dtype=np.float64) for _, rows, _ in data.splits()]
    np.testing.assert_allclose(means, [0.13056, 0.13113, 0.13251], atol=5e-6)
    assert data.train.max() == 1


@needs_it
@pytest.mark.slow
def test_the_real_texts_and_the_packed_bits_are_one_set(tmp_path):
    """Whatever form is there gives, as text, the three published files, and read from them the same rows."""
    data = load_binarized_mnist()
    for (_, rows, _), (name, (sha256, size)) in zip(data.splits(), binarized.SOURCE.files.items()):
        text = np.full((len(rows), 2 * 784), ord(" "), np.uint8)
        text[:, ::2], text[:, -1] = rows + ord("0"), ord("\n")
        assert (hashlib.sha256(text).hexdigest(), text.size) == (sha256, size)
        text.tofile(tmp_path / name)
    again = load_binarized_mnist(tmp_path)
    for (_, rows, _), (_, same, _) in zip(data.splits(), again.splits()):
        np.testing.assert_array_equal(rows, same)
    np.savez(tmp_path / "static_binarized_mnist.npz", **{split: np.packbits(rows, axis=1) for split, rows, _ in data.splits()})
    np.testing.assert_array_equal(load_binarized_mnist(tmp_path).train, data.train)
