"""Strings as one-hot rows and back; what is told about a bad file, line by line; and a model that learns to write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npvae import VAE, Adam, fit
from npvae.beyond import Categorical
from npvae.data.strings import from_strings, load_strings, read_strings

WORDS = ["ab", "c", "", "abcab", "cc", "b a", " b", "a", "bb", "ca", "ac"]


def test_every_letter_is_a_single_1_at_its_place():
    data = from_strings(["ba", "a", "b"], "words", test_fraction=0.4)
    assert (data.name, data.alphabet, data.image_shape, data.scale) == ("words", " ab", (2, 3), 1.0)
    assert data.train.tolist() == [[0, 0, 1, 0, 1, 0]] and data.train.dtype == np.uint8
    assert data.test.tolist() == [[0, 1, 0, 1, 0, 0], [0, 0, 1, 1, 0, 0]]


def test_rows_are_what_the_categorical_takes():
    data = from_strings(WORDS, "words")
    Categorical(len(data.alphabet)).check_data(data.floats("train"))
    assert data.image_shape == (5, 4) and data.train.shape == (9, 20)


@given(st.lists(st.text(alphabet="ab c", max_size=7).map(str.rstrip), min_size=2, max_size=12), st.integers(0, 3))
def test_what_is_written_reads_back(strings, longer):
    length = max(1, max(map(len, strings)) + longer)
    data = from_strings(strings, "words", alphabet=" cab", length=length, test_fraction=0.5)
    assert read_strings(np.concatenate([data.train, data.test]), data.alphabet) == strings
    assert data.image_shape == (length, 4) and len(data.train) == len(strings) - len(strings) // 2 - len(strings) % 2


def test_the_likeliest_letter_is_read():
    p = np.array([[0.1, 0.5, 0.4, 0.3, 0.3, 0.4, 0.6, 0.3, 0.1], [0.9, 0.0, 0.1, 0.2, 0.7, 0.1, 0.4, 0.3, 0.3]])
    assert read_strings(p, " ab") == ["ab", " a"]  # a padding in the middle is a letter
    assert read_strings(p, "_ab") == ["ab", "_a"]
    assert read_strings(np.zeros((2, 6)), " ab") == ["", ""] and read_strings(np.zeros((0, 6)), " ab") == []


def test_the_alphabet_is_the_padding_and_all_letters_in_order():
    assert from_strings(["CC", "CCO", "CC=O"], "molecules").alphabet == " =CO"
    assert from_strings(["a b", "zb"], "words", test_fraction=0.5).alphabet == " abz"
    given = from_strings(["ab", "a"], "words", alphabet="-bax", test_fraction=0.5)
    assert given.alphabet == "-bax" and given.test.tolist() == [[0, 0, 1, 0, 1, 0, 0, 0]]


def test_the_last_tenth_is_held_out():
    data = from_strings([f"{i:03}" for i in range(100)], "numbers")
    assert read_strings(data.test, data.alphabet) == [f"{i:03}" for i in range(90, 100)] and len(data.train) == 90


def test_a_file_has_one_string_a_line(tmp_path):
    file = tmp_path / "molecules.txt"
    file.write_bytes("\ufeffCC\r\nCCO \nC=Oé\n\n".encode())
    data = load_strings(file, test_fraction=0.3)
    assert (data.name, data.alphabet) == ("molecules", " =COé")
    assert read_strings(np.concatenate([data.train, data.test]), data.alphabet) == ["CC", "CCO", "C=Oé"]
    assert load_strings(str(file), alphabet="~CO=é", length=6).image_shape == (6, 5)


# --- errors ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, options, message",
    [
        ("", {}, "there are 0 strings, too few to hold a test set out"),
        ("\n \n\n", {}, "there are 0 strings"),
        ("CC\n", {}, "there are 1 strings, too few"),
        ("CC\n\nCO\n", {}, "line 2: the line is empty; remove it"),
        ("CC\nCO\nCXN\n", dict(alphabet=" CO"), "line 3: 'CXN' has 'X' at place 2, which is not in the alphabet ' CO'"),
        ("CC\nCO\nCOCO\n", dict(length=3), "line 3: 'COCO' has 4 letters, more than length = 3"),
        ("CC\nCO\n", dict(length=0), "length must be at least 1, got 0"),
        ("CC\nCO\n", dict(alphabet=" COC"), "the alphabet ' COC' has 'C' twice"),
        ("CC\nCO\n", dict(alphabet=" "), "the alphabet ' ' needs the padding and at least one letter"),
        ("CC\nCO\n", dict(alphabet="OC"), "line 2: 'CO' ends with 'O', the padding, and could not be read back"),
        ("CC\nCO\n", dict(test_fraction=1.0), "test_fraction must be above 0 and below 1, got 1.0"),
    ],
)
def test_a_bad_file_is_told_by_file_and_line(tmp_path, content, options, message):
    file = tmp_path / "bad.txt"
    file.write_text(content)
    with pytest.raises(ValueError) as error:
        load_strings(file, **options)
    assert str(error.value).startswith(str(file)) and message in str(error.value)


def test_a_file_that_is_missing_or_no_text(tmp_path):
    with pytest.raises(FileNotFoundError, match="words.txt: there is no such file"):
        load_strings(tmp_path / "words.txt")
    (tmp_path / "bytes.txt").write_bytes(b"CC\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"bytes.txt: it is no text in UTF-8 \(invalid start byte at byte 3\)"):
        load_strings(tmp_path / "bytes.txt")


def test_what_is_no_list_of_strings_is_refused():
    with pytest.raises(TypeError, match="data set 'words': strings must be a list of strings, got one string, 'abc'"):
        from_strings("abc", "words")
    with pytest.raises(TypeError, match="data set 'words', line 2: expected a string, got 3"):
        from_strings(["a", 3], "words")
    with pytest.raises(TypeError, match="alphabet must be a string, the padding first, such as ' abc'; got"):
        from_strings(["a", "b"], "words", alphabet=["a", "b"])
    with pytest.raises(ValueError, match="data set 'words', line 2: 'b ' ends with ' ', the padding"):
        from_strings(["a", "b "], "words")
    with pytest.raises(ValueError, match=r"read_strings: x has shape \(2, 7\), expected \(N, L A\).* 3 letters divide"):
        read_strings(np.zeros((2, 7)), " ab")
    with pytest.raises(ValueError, match=r"read_strings: x has shape \(6,\)"):
        read_strings(np.zeros(6), " ab")


# --- a model that writes ---------------------------------------------------------------------------------------------------------


def alkane(rng):
    """A chain of 2 to 8 carbon atoms, with one branch or none: CCCC, CC(C)CC, CCC(CC)CC."""
    chain = "C" * rng.integers(2, 9)
    if len(chain) < 3 or rng.random() < 0.4:
        return chain
    place = rng.integers(2, len(chain))
    return f"{chain[:place]}({'C' * rng.integers(1, 3)}){chain[place:]}"


def test_a_small_model_reads_back_what_it_encodes(rng):
    data = from_strings([alkane(rng) for _ in range(300)], "alkanes")
    x = data.floats("test")
    mean = data.floats("train").mean(axis=0)
    options = dict(likelihood=Categorical(len(data.alphabet)), rng=rng, output_mean=mean)
    vae = VAE.dense(x.shape[1], (64,), 8, **options)
    history = fit(vae, data, optimizer=Adam(5e-3), epochs=60, batch_size=30, rng=rng, validation="test")
    assert history["valid_elbo"][-1] > history["valid_elbo"][0] + 2

    def share_right(probabilities):
        strings = read_strings(x, data.alphabet)
        return np.mean([a == b for a, b in zip(read_strings(probabilities, data.alphabet), strings)])

    chance = share_right(np.tile(mean, (len(x), 1)))  # the likeliest letter of each place, whatever the string
    assert chance < 0.2 < 0.6 < share_right(vae.reconstruct(x))
    written = read_strings(vae.sample(50, rng), data.alphabet)
    assert set("".join(written)) <= set(data.alphabet) and len(set(written)) > 10
