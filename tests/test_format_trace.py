"""`format_trace` prints a trace for three kinds of reader: aligned text, a Markdown table, a LaTeX longtable."""

import re

import numpy as np
import pytest

from npvae import Adam
from npvae.teaching import Row, format_trace, trace, worked_example


def rows_of(value, name="a_b|c^2", formula="x^T {dy} & 50 % # $ ~ \\"):
    value = np.array(value)
    return [Row(name, "DENSE-1", formula, value.shape, value)]


def all_rows():
    vae, x, eps = worked_example()
    return trace(vae, x, eps, optimizer=Adam(lr=0.1))


def test_text_columns_are_aligned_and_a_matrix_stands_below_itself():
    lines = format_trace(all_rows()).split("\n")
    starts = [m.start() for m in re.finditer(r"-+", lines[1])]
    for line in lines:
        assert all(line[start - 1 : start].strip() == "" for start in starts[1:])
        assert line == line.rstrip()
    (i,) = (i for i, line in enumerate(lines) if line.startswith("encoder.0.W "))
    assert [line[starts[-1] :] for line in lines[i : i + 3]] == [
        " 0.100000  -0.200000",
        " 0.300000   0.400000",
        "-0.500000   0.600000",
    ]
    assert lines[i + 1][: starts[-1]].strip() == ""
    assert "(3, 2)" in lines[i]


@pytest.mark.parametrize(
    "value, digits, text",
    [
        (0.0, 6, "0"),
        (-0.0, 6, "0"),
        (3, 6, "3"),
        (0.123456789, 6, "0.123457"),
        (0.123456789, 3, "0.123"),
        (-12.5, 2, "-12.50"),
        (2.58836e-5, 6, "2.58836e-05"),
        (1234567.0, 6, "1.23457e+06"),
        (np.inf, 6, "inf"),
    ],
)
def test_numbers_keep_their_digits(value, digits, text):
    assert format_trace(rows_of(value), digits=digits).split()[-1] == text


def test_big_and_wide_arrays_are_summarized_and_others_are_not():
    text = format_trace(rows_of(np.tile(np.arange(-3.0, 5.0), (4, 1))), digits=3)
    assert "min -3.000, max 4.000, norm 13.266" in text
    assert "(4, 8)" in text
    for shape, summarized in {(24, 1): False, (25, 1): True, (6,): False, (7,): True, (4, 6): False, (1, 7): True}.items():
        assert ("norm" in format_trace(rows_of(np.ones(shape)))) == summarized, shape


def test_markdown_is_a_table_whose_pipes_are_escaped():
    for rows in (all_rows(), rows_of([[1.0, -2.0]])):
        lines = format_trace(rows, style="markdown").split("\n")
        assert all(len(re.findall(r"(?<!\\)\|", line)) == 6 for line in lines)
        assert set(lines[1]) <= set("|- ")
    assert r"`a_b\|c^2`" in lines[2]


def test_latex_is_a_longtable_with_everything_escaped():
    for rows in (all_rows(), rows_of([[1.0, -2.0], [0.0, 1e-9]]), rows_of(np.arange(100.0))):
        lines = format_trace(rows, style="latex").split("\n")
        assert lines[0].startswith(r"\begin{longtable}{llp")
        assert lines[-1] == r"\end{longtable}"
        for line in lines[3:-1]:
            assert line.endswith(r" \\")
            plain = re.sub(r"\\textbackslash\{\}|\\textasciicircum\{\}|\\textasciitilde\{\}|\\[&%$#_{}]", "", line[:-2])
            assert plain.count("&") == 4
            assert plain.count("{") == plain.count("}")
            assert not re.search(r"[%#_^~]", plain)
            assert plain.count("$") % 2 == 0
    assert r"\texttt{a\_b|c\textasciicircum{}2}" in lines[3]
    assert r"x\textasciicircum{}T \{dy\} \& 50 \% \# \$ \textasciitilde{} \textbackslash{}" in lines[3]
    assert lines[3].endswith(r"min\enspace $0$\enspace max\enspace $99.000000$\enspace norm\enspace $573.018324$ \\")


def test_a_style_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="one of text, markdown, latex, got 'html'"):
        format_trace([], style="html")
