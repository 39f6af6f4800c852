"""The notebooks: the .ipynb files are what their .py sources say, executed, clean and small; the sources run as plain scripts."""

import base64
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
QUICK = {"01_derivation", "02_worked_example"}  # the others train or check whole models, which takes seconds

spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
assert spec is not None and spec.loader is not None
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

NAMES = build.sources()
SOURCES = {name: (FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in NAMES}
NOTEBOOKS = {name: json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")) for name in NAMES}
each = pytest.mark.parametrize("name", NAMES)

PREDICT = "Predict, then run"


def outputs(name):
    return [output for cell in NOTEBOOKS[name]["cells"] for output in cell.get("outputs", [])]


def pictures(name):
    return [base64.b64decode(o["data"]["image/png"]) for o in outputs(name) if "image/png" in o.get("data", {})]


def prose(name):
    return "\n\n".join(source for kind, source in build.parse(SOURCES[name]) if kind == "markdown")


def test_they_are_numbered_without_a_gap_and_no_files_are_astray():
    assert [name[:3] for name in NAMES] == [f"{i:02d}_" for i in range(1, len(NAMES) + 1)]
    assert len(NAMES) >= 6 and set(NAMES) > QUICK
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


def test_parse_splits_at_percent_lines_and_uncovers_markdown():
    text = "# a header\n\n# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n\ny = 2  # %% no cell\n\n# %%\n# a comment\n"
    assert build.parse(text) == [
        ("markdown", "# Title\n\ntext"),
        ("code", "x = 1\n\n\ny = 2  # %% no cell"),
        ("code", "# a comment"),
    ]


@each
def test_the_notebook_has_the_cells_of_its_source(name):
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in NOTEBOOKS[name]["cells"]]
    assert cells == build.parse(SOURCES[name]), "run: python notebooks/build.py"


@each
def test_every_cell_was_executed_in_order_without_error_or_warning(name):
    code = [cell for cell in NOTEBOOKS[name]["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert {output["output_type"] for output in outputs(name)} <= {"stream", "display_data", "execute_result"}
    assert {output["name"] for output in outputs(name) if output["output_type"] == "stream"} == {"stdout"}


@each
def test_nothing_in_it_depends_on_the_run_or_the_machine(name):
    notebook = NOTEBOOKS[name]
    assert [cell["id"] for cell in notebook["cells"]] == [f"c{i:02d}" for i in range(len(notebook["cells"]))]
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    assert all(output.get("metadata", {}) == {} for output in outputs(name))
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    printed = "".join("".join(o.get("text", [])) + "".join(o.get("data", {}).get("text/plain", [])) for o in outputs(name))
    assert re.findall(r"(?<![\w)])/\w[\w.-]*/\S*|[A-Za-z]:\\\S+|0x[0-9a-f]{6,}", printed) == []


@each
def test_it_is_small_and_its_pictures_fit_a_page(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size <= 300 * 1024
    for png in pictures(name):
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert 100 <= width <= 620
        assert 80 <= height <= 480


def test_every_picture_is_described_in_words():
    for name in NAMES:
        described = len(re.findall(r"^\*The picture:\*", prose(name), re.MULTILINE))
        assert described == len(pictures(name)), name


@each
def test_it_has_the_frame_of_a_lesson(name):
    text = prose(name)
    for part in ("**You will be able to**", "**You need**", "**Time:**", PREDICT, "## Exercises", "## Summary", "**Next:**"):
        assert part in text, part
    exercises = text.partition("## Exercises")[2]
    numbered = re.findall(r"^(\d+)\. ", exercises, re.MULTILINE)
    assert numbered == [str(i) for i in range(1, len(numbered) + 1)]
    assert re.findall(r"<summary>Answer to (\d+)</summary>", exercises) == numbered
    assert exercises.count("<details>") == exercises.count("</details>") == len(numbered) > 0


@each
def test_formulas_survive_the_viewers(name):
    """Displayed formulas stand alone between $$ lines; nothing in them or in inline ones is Markdown by accident."""
    text = re.sub(r"`[^`]*`", "", prose(name))
    lines = text.splitlines()
    assert lines.count("$$") % 2 == 0
    blocks = text.split("\n$$\n")[1::2]
    assert all("$" not in block for block in blocks)
    assert sum("$$" in line for line in lines) == lines.count("$$") == 2 * len(blocks)
    for block in blocks:
        assert len(block.splitlines()) <= 3, block
        assert not re.search(r"^\s*([-+*>]|\d+\.|=+$)\s|^\s*$|^#", block, re.MULTILINE), block
        assert not re.search(r"\\[,;:!{}|_*]", block), f"escaped punctuation in {block}"
    inline = re.findall(r"\$([^$\n]+)\$", "\n".join(text.split("\n$$\n")[::2]))
    assert [formula for formula in inline if re.search(r"[_*]|\\[,;:!{}|]", formula)] == []
    assert "\n".join(text.split("\n$$\n")[::2]).count("$") == 2 * len(inline), "an inline formula runs over the end of a line"


@each
def test_its_table_rows_have_one_number_of_columns(name):
    for table in re.findall(r"(?:^\|.*\|$\n?)+", prose(name), re.MULTILINE):
        rows = table.strip().splitlines()
        assert set(rows[1]) <= set("|-: ")
        assert len({row.count("|") for row in rows}) == 1, table


def words(text):
    """The text without its numbers, whose last digits another processor may round otherwise."""
    return re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?", "number", text).split()


ALONE = """
import runpy, socket, sys

def refuse(*args, **kwargs):
    raise OSError("a notebook must not need the network")

socket.socket = socket.create_connection = socket.getaddrinfo = refuse
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES])
def test_the_source_runs_as_a_plain_script_without_network_and_writes_nothing(name, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()}
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", "-c", ALONE, str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = "".join("".join(output["text"]) for output in outputs(name) if output["output_type"] == "stream")
    assert words(done.stdout) == words(printed)
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()} == before


@pytest.mark.slow
def test_a_rebuild_gives_the_same_notebooks():
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="executing notebooks needs: pip install '.[notebooks]'")
    done = subprocess.run([sys.executable, str(FOLDER / "build.py"), "--check"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as its source gives it") == len(NAMES)


def test_a_notebook_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        build.main(["04_flows"])
    assert stopped.value.code == 2
    assert "no such notebook: 04_flows; there are 01_derivation" in capsys.readouterr().err


def test_the_readme_lists_every_notebook():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        (minutes,) = re.findall(rf"\[{name}\]\({name}\.ipynb\) \| (\d+) \|", text)
        assert f"**Time:** {minutes} minutes" in prose(name)
