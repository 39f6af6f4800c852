"""Make the notebooks from their sources: NAME.py, in percent format, is executed and written to NAME.ipynb with its outputs.

    python notebooks/build.py                         all of them
    python notebooks/build.py 02_worked_example       this one
    python notebooks/build.py --check                 write nothing; exit 1 if a notebook is not what its source gives

The same source gives the same bytes on one machine: fixed cell ids, no timing, metadata reduced. --check leaves the pictures' bytes
out, which change with matplotlib's version. Needs `pip install '.[notebooks]'`; reading a source needs nothing.
"""

import argparse
import base64
import difflib
import io
import json
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 120  # that one cell may take


def parse(text):
    """The cells of a percent file: [(kind, source)], kind "markdown" or "code". What stands before the first cell is dropped."""
    cells = []
    for block in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        head, _, body = block.partition("\n")
        kind = "markdown" if head.strip() == "[markdown]" else "code"
        if kind == "markdown":
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        cells.append((kind, body.strip("\n")))
    return cells


def sources():
    """The names of the notebooks, in order."""
    return sorted(path.stem for path in HERE.glob("[0-9]*.py"))


def build(name):
    """The notebook of this name as JSON text, executed in an empty folder. Raises nbclient's CellExecutionError if a cell fails."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook()
    for i, (kind, source) in enumerate(parse((HERE / f"{name}.py").read_text(encoding="utf-8"))):
        make = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
        notebook.cells.append(make(source, id=f"c{i:02d}"))
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # pictures go below their cells, whatever the caller has set
            "IPYTHONDIR": folder,  # nobody's own settings
            "OPENBLAS_NUM_THREADS": "1",
        }
        quiet = ["--log-level=ERROR"]  # a remark on the kernel's ports would be printed each time
        client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", record_timing=False, extra_arguments=quiet)
        client.execute(cwd=folder, env=environment)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [_plain(output) for output in _joined(cell.outputs)]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def _joined(outputs):
    """Neighboring pieces of one stream as one piece: where they were cut depends on timing."""
    joined = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _plain(output):
    """Without metadata, pictures made smaller."""
    if "metadata" in output:
        output.metadata = {}
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _smaller(output.data["image/png"])
    return output


def _smaller(png):
    """The picture, base64 in and out, on white and with 128 colors: a third of the bytes, and no difference to the eye."""
    from PIL import Image  # comes with matplotlib

    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    file = io.BytesIO()
    page.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def without_pictures(text):
    """The notebook's JSON with every picture's bytes taken out."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = "picture"
    return json.dumps(notebook, indent=1, ensure_ascii=False)


def main(argv=None):
    """-> exit code: 0, or 1 if --check found a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="notebooks, without .py (default: all)")
    parser.add_argument("--check", action="store_true", help="compare in place of writing")
    args = parser.parse_args(argv)
    names = [Path(name).stem for name in args.names] or sources()
    unknown = set(names) - set(sources())
    if unknown:
        parser.error(f"no such notebook: {', '.join(sorted(unknown))}; there are {', '.join(sources())}.")
    with ProcessPoolExecutor(min(len(names), os.cpu_count() or 1)) as pool:
        stale = [name for name, text in zip(names, pool.map(build, names)) if not (_same if args.check else _write)(name, text)]
    return 1 if stale else 0


def _write(name, text):
    (HERE / f"{name}.ipynb").write_text(text, encoding="utf-8")
    print(f"{name}.ipynb: {len(text.encode()) / 1024:.0f} KB")
    return True


def _same(name, text):
    path = HERE / f"{name}.ipynb"
    old = without_pictures(path.read_text(encoding="utf-8")).splitlines() if path.exists() else []
    new = without_pictures(text).splitlines()
    difference = list(difflib.unified_diff(old, new, f"{name}.ipynb", "rebuilt", lineterm="", n=1))
    print(f"{name}.ipynb: {'as its source gives it' if not difference else 'differs; run python notebooks/build.py ' + name}")
    print("\n".join(line[:200] for line in difference[:40]), end="\n" if difference else "")
    return not difference


if __name__ == "__main__":
    sys.exit(main())
