"""Tables of numbers from .csv files: what is read, and what is refused, with line and column."""

import gzip

import numpy as np
import pytest

from npvae.data import load_csv, load_dataset

NUMBERS = "\n".join(f"{i},{i / 4},{-i}e-1" for i in range(20))
TABLE = np.array([[i, i / 4, -i / 10] for i in range(20)])


def written(tmp_path, text, name="mine.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        NUMBERS,
        NUMBERS + "\n",
        "a,b,c\n" + NUMBERS,
        "\ufeff" + NUMBERS,
        "\n\na,b,c\n\n" + NUMBERS + "\n\n",
        ("a,b,c\n" + NUMBERS + "\n").replace("\n", "\r\n"),
        '"name, with a comma","b","c"\n' + NUMBERS,
        "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in NUMBERS.split("\n")),
        NUMBERS.replace(",", " , "),
    ],
    ids=["plain", "newline", "header", "byte order mark", "empty lines", "Windows", "quoted header", "quoted numbers", "spaces"],
)
def test_a_table_is_read_with_or_without_a_header(tmp_path, text):
    data = load_csv(written(tmp_path, text))
    np.testing.assert_array_equal(np.concatenate([data.train, data.test]), TABLE)
    assert (len(data.train), len(data.test), data.train.dtype, data.scale) == (18, 2, np.float64, None)
    assert (data.name, data.image_shape, data.train_labels) == ("mine", (3,), None)


def test_gzipped_and_by_load_dataset(tmp_path):
    path = written(tmp_path, gzip.compress(NUMBERS.encode()), "my.table.csv.gz")
    data = load_dataset(path)
    assert data.name == "my.table"
    np.testing.assert_array_equal(data.train, TABLE[:18])
    assert len(load_csv(path, test_fraction=0.25).test) == 5
    np.testing.assert_array_equal(load_dataset(str(written(tmp_path, NUMBERS, "LOUD.CSV"))).train, TABLE[:18])


def test_a_column_named_label_gives_the_labels(tmp_path):
    for names, text in [("0,label,1", "{0},{1},{2}"), ("label,a,b", "{1},{0},{2}"), (" a , b , label ", "{0},{2},{1}")]:
        rows = [text.format(i / 7, i % 10, -i) for i in range(20)]
        data = load_csv(written(tmp_path, "\n".join([names, *rows])))
        np.testing.assert_array_equal(data.train, [[i / 7, -i] for i in range(18)])
        assert data.train_labels.dtype == data.test_labels.dtype == np.int64
        assert data.train_labels.tolist() + data.test_labels.tolist() == [i % 10 for i in range(20)]


def test_a_single_column_and_numbers_of_every_spelling(tmp_path):
    data = load_csv(written(tmp_path, "1\n-2.5\n+3e2\n.5\n4.\n1E-3\n7\n8\n9\n10\n"))
    assert data.train[:6, 0].tolist() == [1, -2.5, 300, 0.5, 4, 0.001] and data.train.shape == (9, 1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "mine.csv: there are no rows of numbers"),
        ("\n \n".replace(" ", ""), "mine.csv: there are no rows of numbers"),
        ("a,b\n", "mine.csv: there are no rows of numbers"),
        ("1,2\n3,4\n5,6,7\n", "mine.csv, line 3: 3 columns, but 2 in the lines before; every line needs as many"),
        ("1,2\n\n3\n", "mine.csv, line 3: 1 columns, but 2 in the lines before"),
        ("a,b,c\n1,2\n3,4\n", "mine.csv, line 2: 2 columns, but 3 in the lines before"),
        ("a,b\n1,2\n3,x\n", "mine.csv, line 3, column 2: 'x' is not a number."),
        ("1,two\n3,4\n", "mine.csv, line 1, column 2: 'two' is not a number."),
        ("a,b\n1,2\n3,\n", "mine.csv, line 3, column 2: '' is not a number."),
        ("a,b,label\n1,2,cat\n", "mine.csv, line 2, column 3: 'cat' is not a number."),
        ("1;2\n3;4\n", "mine.csv, line 2, column 1: '3;4' is not a number; columns are separated by commas, decimals written with"),
        ("a\tb\n3\t4\n", "line 2, column 1: '3.t4' is not a number; columns are separated by commas"),
        ('1,"2,5"\n3,4\n', "line 1, column 2: '2,5' is not a number; columns are separated by commas"),
        ("1,2\n3,nan\n", "mine.csv, line 2, column 2: nan is not a finite number; remove the line or fill in a value"),
        ("1,2\n-inf,4\n", "mine.csv, line 2, column 1: -inf is not a finite number"),
        ("1,1e999\n3,4\n", "mine.csv, line 1, column 2: 1e999 is not a finite number"),
        (",a,b\n0,1,2\n", r"mine.csv, line 1, column 1: this column has no name. .*pandas: to_csv\(..., index=False\)"),
        ("label,a,label\n1,2,3\n", "mine.csv, line 1: 2 columns are named 'label'; expected one at most"),
        ("label,a\n1,2\n\n1.5,3\n", "mine.csv, line 4, column 1: label 1.5 is not an integer"),
        ("label\n1\n2\n", "mine.csv: there is no column but 'label'"),
        ("1,2\n", "mine.csv: 1 examples are too few to hold a test set out"),
        (b"1,2\n\xff\xfe,4\n", "mine.csv: not a text in UTF-8 .byte 4.; save it as comma-separated text"),
        (gzip.compress(NUMBERS.encode())[:-12], "mine.csv: damaged or truncated gzip file"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_with_the_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_csv(written(tmp_path, text))


def test_a_number_that_only_python_reads_is_refused_too(tmp_path):
    with pytest.raises(ValueError, match="mine.csv, .*1_000"):
        load_csv(written(tmp_path, "1,1_000\n3,4\n"))


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.csv: there is no such file"):
        load_csv(tmp_path / "gone.csv")


def test_lines_may_end_with_a_carriage_return_alone(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\r1,2\r3,4\r5,6\r")
    assert load_csv(tmp_path / "a.csv").train.tolist() == [[1, 2], [3, 4]]


def test_labels_too_large_to_be_kept_exactly_are_refused(tmp_path):
    for label in ("9007199254740993", "1e300"):
        (tmp_path / "a.csv").write_text(f"x,label\n1,{label}\n3,4\n")
        with pytest.raises(ValueError, match="line 2, column 2: label"):
            load_csv(tmp_path / "a.csv")


def test_an_unclosed_quotation_mark_is_told(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n"1,2\n' + "3,4\n" * 60_000)
    with pytest.raises(ValueError, match="quotation mark"):
        load_csv(tmp_path / "a.csv")
