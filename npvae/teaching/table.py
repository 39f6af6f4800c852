"""A trace as text to read: plain, for Markdown, or for LaTeX."""

import numpy as np

LARGEST, WIDEST = 24, 6  # numbers of an array, and of one of its rows, that are printed one by one; a bigger one is summarized
HEAD = ("name", "equation", "formula", "shape", "value")
LATEX = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


def format_trace(rows, style="text", digits=6):
    """The rows of `trace` as one string: aligned columns, a matrix on several lines, big arrays as their min, max and norm.

    style: "text", "markdown" (a table of GitHub's kind), or "latex" (a longtable: the document needs \\usepackage{longtable});
    digits: after the point; small numbers get as many significant ones. Raises ValueError for another style.
    """
    if style not in STYLES:
        raise ValueError(f"format_trace: style must be one of {', '.join(STYLES)}, got {style!r}.")
    lines = []
    for row in rows:
        values = _values(row.value, digits)
        shape = f"({', '.join(map(str, row.shape))}{',' * (len(row.shape) == 1)})"
        lines.append((row.name, row.equation, row.formula, shape, values[0]))
        lines += [("", "", "", "", value) for value in values[1:]]
    return STYLES[style](lines)


def _values(value, digits):
    """The lines that stand for an array: one for each row of a matrix, or a summary."""
    n = value.shape[-1] if value.ndim else 1
    if value.size > LARGEST or n > WIDEST:
        parts = {"min": value.min(), "max": value.max(), "norm": np.linalg.norm(value)}
        return [", ".join(f"{name} {_number(number, digits)}" for name, number in parts.items())]
    texts = [_number(number, digits) for number in value.ravel()]
    width = max(map(len, texts))
    return ["  ".join(text.rjust(width) for text in texts[i : i + n]) for i in range(0, len(texts), n)]


def _number(value, digits):
    """Exact zeros and integers as they are; numbers too small or too large for `digits` after the point in powers of ten."""
    if value == 0:
        return "0"
    if isinstance(value, np.integer) or not np.isfinite(value):
        return str(value)
    fixed = 10 ** -((digits + 1) // 2) <= abs(value) < 1e6
    return f"{value:.{digits}f}" if fixed else f"{value:.{digits - 1}e}"


def _text(lines):
    widths = [max(len(line[i]) for line in [HEAD, *lines]) for i in range(len(HEAD))]
    lines = [HEAD, tuple("-" * width for width in widths), *lines]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _markdown(lines):
    def code(cell):
        return "`" + cell.replace("|", r"\|") + "`" if cell.strip() else ""

    lines = [tuple(map(code, line)) for line in lines]
    widths = [max(len(line[i]) for line in [HEAD, *lines]) for i in range(len(HEAD))]
    lines = [HEAD, tuple("-" * width for width in widths), *lines]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def _latex(lines):
    def code(cell):
        return r"\texttt{" + "".join(LATEX.get(c, c) for c in cell) + "}" if cell else ""

    def value(cell):
        words = cell.replace(",", "").split()
        return r"\enspace ".join(f"${word}$" if word[-1].isdigit() else word for word in words)

    body = [" & ".join([*map(code, line[:4]), value(line[4])]) + r" \\" for line in lines]
    head = " & ".join(HEAD) + r" \\ \hline"
    return "\n".join([r"\begin{longtable}{llp{0.3\textwidth}ll}", head, r"\endhead", *body, r"\end{longtable}"])


STYLES = {"text": _text, "markdown": _markdown, "latex": _latex}
