"""Data: the digits that ship, the Dataset's checks, MNIST's file format, and arrays of one's own."""

import gzip
import os
import pathlib
from importlib.resources import files

import numpy as np
import pytest
from idx_files import IMAGES, LABELS, idx, write_mnist_format

from npvae.data import Dataset, load_arrays, load_dataset, load_digits, load_fashion_mnist, load_idx_folder, load_mnist, read_idx
from npvae.data.dataset import scaled
from npvae.data.mnist import SOURCES
from npvae.data.source import check

# --- the digits -----------------------------------------------------------------------------------------------------------------


def test_the_digits_are_the_published_ones():
    digits = load_digits()
    pixels = np.concatenate([digits.train, digits.test])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert pixels.shape == (1797, 64) and pixels.dtype == np.uint8 and pixels.max() == 16 and pixels.min() == 0
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert pixels.mean() / 16 == pytest.approx(0.30526028624, abs=5e-12)
    assert (pixels.std(axis=0) == 0).sum() == 3
    eigenvalues = np.linalg.eigvalsh(np.cov(pixels.T / 16, bias=True))[::-1]
    np.testing.assert_allclose(eigenvalues[:3], [0.6988567, 0.63916657, 0.55355288], rtol=1e-7)
    assert labels[:10].tolist() == list(range(10)), "the rows stand in their original order"


def test_the_split_of_the_digits_is_the_documented_one():
    digits = load_digits()
    assert len(digits.train) == 1437 and len(digits.test) == 360 and digits.valid is None and digits.valid_labels is None
    assert (digits.scale, digits.image_shape, digits.name) == (16.0, (8, 8), "digits")
    assert "rows 0..1436 of the original order train" in (words := " ".join(load_digits.__doc__.split()))
    assert "rows 1437..1796 test" in words
    again = load_digits()
    np.testing.assert_array_equal(again.train, digits.train)
    assert not np.shares_memory(again.train, digits.train), "whoever writes into a data set spoils only their own"


def test_the_file_of_the_digits_is_small_and_needs_no_pickle():
    folder = files("npvae.data")
    assert len((folder / "digits.npz").read_bytes()) <= 60_000
    with (folder / "digits.npz").open("rb") as f, np.load(f, allow_pickle=False) as archive:
        assert set(archive) == {"pixels", "labels"} and {archive[name].dtype for name in archive} == {np.dtype(np.uint8)}
    notice = (folder / "DIGITS.txt").read_text(encoding="utf-8")
    assert "Alpaydin" in notice and "Creative Commons Attribution 4.0" in notice and "10.24432/C50P49" in notice


# --- Dataset --------------------------------------------------------------------------------------------------------------------

ROWS = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_gives_the_asked_dtype_and_nothing_in_between(dtype):
    x = scaled(ROWS, 16.0, dtype)
    assert x.dtype == dtype and x.shape == ROWS.shape
    np.testing.assert_array_equal(x, (ROWS / 16).astype(dtype))
    np.testing.assert_array_equal(scaled(ROWS, 255.0, dtype), ROWS.astype(dtype) / dtype(255), "one division, in that dtype")
    floats = ROWS.astype(dtype)
    assert scaled(floats, None, dtype) is floats, "no copy where none is needed"
    assert scaled(floats, None, np.float64).dtype == np.float64


def test_a_data_set_gives_its_splits_as_floats():
    data = Dataset("toy", train=ROWS, test=ROWS[:2], scale=255.0, test_labels=np.array([1, 2]))
    assert data.image_shape == (6,)
    assert [(split, len(rows), labels is None) for split, rows, labels in data.splits()] == [("train", 4, True), ("test", 2, False)]
    assert data.floats().dtype == np.float32 and data.floats("train", np.float64).dtype == np.float64
    np.testing.assert_array_equal(data.floats("train", np.float64), ROWS / 255)
    with pytest.raises(ValueError, match="data set 'toy' has no valid split"):
        data.floats("valid")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"train": ROWS[:0]}, "data set 'toy', train: there are no examples"),
        ({"train": ROWS.reshape(2, 2, 6)}, r"train: expected rows of 6 values, got an array of shape \(2, 2, 6\)"),
        ({"test": ROWS[:, :5]}, r"test: expected rows of 6 values, got an array of shape \(4, 5\)"),
        ({"valid": ROWS[0]}, r"valid: expected rows of 6 values, got an array of shape \(6,\)"),
        ({"train_labels": np.arange(3)}, r"train: 4 examples but labels of shape \(3,\)"),
        ({"test_labels": np.zeros((4, 1))}, r"test: 4 examples but labels of shape \(4, 1\)"),
        ({"scale": None}, r"train: integers need a scale \(255 for 8-bit images\), floats have none; got uint8"),
        ({"train": ROWS / 255}, "train: integers need a scale .* floats have none; got float64"),
        ({"test": ROWS / 255}, "test: integers need a scale .* floats have none; got float64"),
        ({"image_shape": (2, 4)}, r"image_shape \(2, 4\) does not have 6 pixels"),
    ],
)
def test_a_data_set_that_does_not_fit_together_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dataset(**{"name": "toy", "train": ROWS, "test": ROWS, "scale": 255.0, **arguments})


# --- IDX files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("array", [IMAGES, LABELS, IMAGES[:0]], ids=["images", "labels", "no images"])
def test_an_idx_file_is_read_back(tmp_path, pack, array):
    path = tmp_path / "any-name"
    path.write_bytes(pack(idx(array)))
    got = read_idx(path)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, array)


GZIPPED = gzip.compress(idx(IMAGES), mtime=0)
DAMAGED = {
    "gzip, cut near the end": (GZIPPED[:-12], "damaged or truncated gzip file .*; fetch it again"),
    "gzip, cut near the start": (GZIPPED[:30], "damaged or truncated gzip file"),
    "gzip, wrong checksum": (GZIPPED[:-8] + b"\x00" * 8, "damaged or truncated gzip file"),
    "gzip, wrong compressed data": (GZIPPED[:10] + b"\xff" * 40, "damaged or truncated gzip file"),
    "gzip by its first bytes alone": (b"\x1f\x8b not gzip at all", "damaged or truncated gzip file"),
    "empty": (b"", "not an IDX file of unsigned bytes: it starts with nothing"),
    "zip": (b"PK\x03\x04 a zip", "not an IDX file of unsigned bytes: it starts with 50 4b 03 04"),
    "floats": (b"\x00\x00\x0d" + idx(IMAGES)[3:], "not an IDX file of unsigned bytes: it starts with 00 00 0d 03"),
    "nine axes": (b"\x00\x00\x08\x09" + bytes(100), "not an IDX file of unsigned bytes: it starts with 00 00 08 09"),
    "too short": (idx(IMAGES)[:-7], r"the header promises \(5, 3, 4\) = 60 bytes, but 53 follow; fetch it again"),
    "too long": (idx(IMAGES) + b"more", r"the header promises \(5, 3, 4\) = 60 bytes, but 64 follow"),
    "half a header": (idx(IMAGES)[:10], "its header is cut short; fetch it again"),
    "four bytes": (idx(IMAGES)[:4], "its header is cut short; fetch it again"),
}


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_idx_file_is_refused_with_its_name(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"train-images-idx3-ubyte: {message}"):
        read_idx(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_mnist_format_files_becomes_a_data_set(tmp_path, suffix):
    data = load_idx_folder(write_mnist_format(tmp_path / "glyphs", suffix))
    np.testing.assert_array_equal(data.train, IMAGES.reshape(5, 12))
    np.testing.assert_array_equal(data.test, IMAGES[:2].reshape(2, 12))
    np.testing.assert_array_equal(data.train_labels, LABELS)
    np.testing.assert_array_equal(data.test_labels, LABELS[:2])
    assert (data.name, data.scale, data.image_shape, data.train.dtype) == ("glyphs", 255.0, (3, 4), np.uint8)


def test_files_that_do_not_match_or_are_missing(tmp_path):
    with pytest.raises(ValueError, match=r"train images have shape \(5, 3, 4\), labels \(4,\); they do not match"):
        load_idx_folder(write_mnist_format(tmp_path / "a", train_labels_idx1_ubyte=idx(LABELS[:4])))
    with pytest.raises(ValueError, match=r"test images have shape \(2,\), labels \(2,\); they do not match"):
        load_idx_folder(write_mnist_format(tmp_path / "b", t10k_images_idx3_ubyte=idx(LABELS[:2])))
    folder = write_mnist_format(tmp_path / "c")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"c: t10k-labels-idx1-ubyte.gz is not there \(nor t10k-labels-.*into that folder"):
        load_idx_folder(folder)


def test_where_mnist_is_looked_for(tmp_path, monkeypatch):
    """root, else NPVAE_DATA, else a per-user cache; in a folder of its own there, or right there."""
    write_mnist_format(tmp_path / "mnist")
    write_mnist_format(tmp_path / "fashion-mnist", train_labels_idx1_ubyte=idx(LABELS[::-1]))
    monkeypatch.setenv("NPVAE_DATA", str(tmp_path / "nowhere"))
    assert load_mnist(tmp_path).name == "mnist" and load_mnist(tmp_path / "mnist").name == "mnist"
    monkeypatch.setenv("NPVAE_DATA", str(tmp_path))
    assert load_mnist().train_labels.tolist() == LABELS.tolist()
    fashion = load_fashion_mnist()
    assert fashion.name == "fashion-mnist" and fashion.train_labels.tolist() == LABELS[::-1].tolist()
    monkeypatch.delenv("NPVAE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        FileNotFoundError, match="cache/npvae/mnist: train-images-idx3-ubyte.gz is not there .*NPVAE_DATA.*--download"
    ):
        load_mnist()
    (tmp_path / "cache" / "npvae").mkdir(parents=True)
    write_mnist_format(tmp_path / "cache" / "npvae" / "mnist")
    assert len(load_mnist().train) == 5


MNIST = pathlib.Path(os.environ.get("NPVAE_DATA", "/nonexistent")) / "mnist"
needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST is not on this machine; set NPVAE_DATA")


@needs_mnist
def test_mnist_is_the_published_one():
    mnist = load_mnist()
    assert mnist.train.shape == (60_000, 784) and mnist.test.shape == (10_000, 784) and mnist.image_shape == (28, 28)
    assert mnist.train.mean(dtype=np.float64) / 255 == pytest.approx(0.1306604763, abs=5e-11)
    assert np.bincount(mnist.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9] and mnist.scale == 255.0


@pytest.mark.skipif(not (MNIST.parent / "fashion-mnist").is_dir(), reason="Fashion-MNIST is not on this machine; set NPVAE_DATA")
def test_fashion_mnist_is_the_published_one():
    fashion = load_fashion_mnist()
    assert fashion.train.shape == (60_000, 784) and fashion.test.shape == (10_000, 784) and fashion.image_shape == (28, 28)
    assert fashion.train.mean(dtype=np.float64) / 255 == pytest.approx(0.2860, abs=5e-5)
    assert fashion.test.mean(dtype=np.float64) / 255 == pytest.approx(0.2868, abs=5e-5)
    assert np.bincount(fashion.train_labels).tolist() == [6000] * 10 and np.bincount(fashion.test_labels).tolist() == [1000] * 10


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_checksums_are_those_of_the_published_files(name):
    """What a download is held to, held against the files of this machine."""
    source, paths = SOURCES[name], [MNIST.parent / name / file for file in SOURCES[name].files]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"the gzipped files of {source.title} are not on this machine; set NPVAE_DATA")
    assert [len(check(path, source)) for path in paths] == [size for _, size in source.files.values()]


# --- arrays of one's own --------------------------------------------------------------------------------------------------------

FLOATS = np.random.default_rng(1).uniform(size=(20, 6)).astype(np.float32)
BYTES = np.random.default_rng(2).integers(0, 256, (20, 2, 3), dtype=np.uint8)


def saved(path, *arrays, **named):
    if path.suffix == ".npy":
        np.save(path, *arrays)
    else:
        np.savez(path, *arrays, **named)
    return path


def test_a_single_array_holds_its_last_tenth_out(tmp_path):
    for path in (saved(tmp_path / "mine.npy", FLOATS), saved(tmp_path / "mine.npz", anything=FLOATS)):
        data = load_arrays(path)
        assert (data.name, data.scale, data.image_shape, data.valid) == ("mine", None, (6,), None)
        np.testing.assert_array_equal(data.train, FLOATS[:18])
        np.testing.assert_array_equal(data.test, FLOATS[18:])
        assert data.train.dtype == np.float32
    quarter = load_arrays(path, test_fraction=0.25)
    assert (len(quarter.train), len(quarter.test)) == (15, 5)


def test_labels_are_held_out_with_their_rows(tmp_path):
    data = load_arrays(saved(tmp_path / "mine.npz", train=FLOATS, train_labels=np.arange(20)))
    assert data.train_labels.tolist() == list(range(18)) and data.test_labels.tolist() == [18, 19]


def test_all_keys_of_an_npz_are_used(tmp_path):
    path = saved(
        tmp_path / "all.npz", train=BYTES, valid=BYTES[:4], test=BYTES[:3], train_labels=np.arange(20),
        valid_labels=np.arange(4), test_labels=np.arange(3), scale=np.array(16), image_shape=np.array([3, 2]),
    )  # fmt: skip
    data = load_arrays(path)
    assert [(split, rows.shape, len(labels)) for split, rows, labels in data.splits()] == [
        ("train", (20, 6), 20), ("valid", (4, 6), 4), ("test", (3, 6), 3),
    ]  # fmt: skip
    assert (data.scale, data.image_shape) == (16.0, (3, 2))
    np.testing.assert_array_equal(data.train, BYTES.reshape(20, 6))


@pytest.mark.parametrize(
    "array, scale, dtype",
    [
        (BYTES, 255.0, np.uint8),
        (BYTES // 128, 1.0, np.uint8),  # zeros and ones are black and white pixels already
        (BYTES > 127, 1.0, np.uint8),
        (FLOATS.astype(np.float64), None, np.float64),
    ],
)
def test_the_scale_follows_from_the_kind_of_array(tmp_path, array, scale, dtype):
    data = load_arrays(saved(tmp_path / "mine.npy", array))
    assert data.scale == scale and data.train.dtype == data.test.dtype == dtype
    assert data.image_shape == array.shape[1:] and 0 <= data.floats("train").min() <= data.floats("train").max() <= 1


@pytest.mark.parametrize(
    "named, message",
    [
        ({"train": FLOATS, "trian_labels": LABELS}, "expected an array `train` and any of valid, .*; it has train, trian_labels"),
        ({"a": FLOATS, "b": FLOATS}, "expected an array `train` .*; it has a, b"),
        ({"train": FLOATS[0]}, r"expected one example a row, \(N, D\) or \(N, height, width\); got shape \(6,\)"),
        ({"train": np.array(1.0)}, r"expected one example a row, .*; got shape \(\)"),
        ({"train": BYTES.astype(np.int64)}, r"arrays must be floats, 8-bit images \(uint8\) or bool, got int64"),
        ({"train": BYTES.astype(str)}, r"arrays must be floats, 8-bit images \(uint8\) or bool, got <U3"),
        ({"train": FLOATS[:1]}, "1 examples are too few to hold a test set out; give a `test` array"),
        ({"train": FLOATS[:0]}, "train: there are no examples|0 examples are too few"),
        ({"train": BYTES[:0], "test": BYTES}, "there are no examples"),
        ({"train": BYTES, "test": FLOATS}, "test is float32 but train is uint8; .*same"),
        ({"train": FLOATS, "test": BYTES}, "test is uint8 but train is float32; .*same"),
        ({"train": BYTES, "valid": BYTES.astype(np.int64) * 2}, "valid is int64 but train is uint8; .*same"),
        ({"train": BYTES, "test": BYTES[:, :, :2]}, r"test: expected rows of 6 values, got an array of shape \(20, 4\)"),
        ({"train": BYTES, "test": np.uint8(3)}, r"test: expected one example a row, .*; got shape \(\)"),
        ({"train": BYTES, "scale": np.array(0)}, "scale must be a positive number, got 0"),
        ({"train": BYTES, "scale": np.array([16, 16])}, r"scale must be a positive number, got \[16 16\]"),
        ({"train": FLOATS, "scale": np.array(255)}, "floats are used as they are; .*`scale`"),
        ({"train": FLOATS, "test": FLOATS, "train_labels": LABELS}, r"train: 20 examples but labels of shape \(5,\)"),
        ({"train": BYTES, "image_shape": np.array([7, 7])}, r"image_shape \(7, 7\) does not have 6 pixels"),
    ],
)
def test_an_archive_that_does_not_fit_is_refused(tmp_path, named, message):
    with pytest.raises(ValueError, match=message):
        load_arrays(saved(tmp_path / "mine.npz", **named))


def test_files_that_are_no_arrays(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.npz: there is no such file"):
        load_arrays(tmp_path / "gone.npz")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="objects.npy: cannot be read as .npy or .npz without pickle"):
        load_arrays(tmp_path / "objects.npy")
    whole = saved(tmp_path / "whole.npz", train=FLOATS).read_bytes()
    damaged = {"text.npy": b"1,2,3\n", "empty.npz": b"", "cut.npz": whole[: len(whole) // 2], "flipped.npz": flipped(whole, 200)}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: cannot be read as .npy or .npz"):
            load_arrays(tmp_path / name)


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


# --- by name, file or folder ------------------------------------------------------------------------------------------------------


def test_a_data_set_by_name_file_or_folder(tmp_path):
    assert load_dataset("digits").name == "digits"
    assert load_dataset(str(saved(tmp_path / "mine.npy", FLOATS))).name == "mine"
    assert load_dataset(write_mnist_format(tmp_path / "glyphs")).name == "glyphs"
    (tmp_path / "images").write_bytes(idx(IMAGES))
    data = load_dataset(tmp_path / "images")
    assert (len(data.train), len(data.test), data.scale, data.image_shape) == (4, 1, 255.0, (3, 4))
    (tmp_path / "molecules.txt").write_text("CC\nCO\nC=O\n")
    assert load_dataset(tmp_path / "molecules.txt").alphabet == " =CO"
    everything = "there are digits, mnist, fashion-mnist, binarized-mnist, paraboloid, ring, two-moons, spiral, grid"
    with pytest.raises(FileNotFoundError, match=f"data 'digit': no such file, and no data set of that name; {everything}"):
        load_dataset("digit")
