"""How sharp the tests of the mathematics are: mutation testing of npvae/core and npvae/models/vae.py with mutmut.

    pip install mutmut==3.8.1
    python benchmarks/mutation.py                    every file, one after the other; an interrupted run goes on where it was
    python benchmarks/mutation.py gaussian vae       these files
    python benchmarks/mutation.py --added-tests      after adding tests: what was killed stays so, the survivors run again

Each file is mutated in its own copy of the tree below --work, and tested with the fast tests that concern it. Prints the score by
file and each survivor in the form in which MUTATION.md lists it; that page says what is counted and why each survivor lives.
Exit code 0; 1 if a survivor is not listed there or the score is below 93 %; 2 if mutmut could not run.
"""

import argparse
import ast
import difflib
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = Path(__file__).with_name("MUTATION.md")
BAR = 93  # percent
VERSION = "3.8.1"  # of mutmut; another one makes other mutants

FILES = {  # a file of npvae: the test files that concern it
    "core/numerics.py": "numerics complex_safety layers likelihoods",
    "core/gaussian.py": "gaussian complex_safety vae",
    "core/likelihoods.py": "likelihoods complex_safety distributions copies vae importance_sampling",
    "core/layers.py": "layers initializers complex_safety copies vae performance",
    "core/parameters.py": "parameters copies layers vae",
    "core/optimizers.py": "optimizers adam",
    "core/checks.py": "checks gaussian layers likelihoods model_errors",
    "models/vae.py": "vae copies model_errors",
}

# mutmut leaves every __setattr__ alone; that of Layer is the heart of parameters.py, and mutates well
MUTMUT = """
import mutmut.mutation.file_mutation as generator
generator.NEVER_MUTATE_FUNCTION_NAMES.remove("__setattr__")
from mutmut.__main__ import cli
cli()
"""

MESSAGE_ARGUMENTS = {  # function: its arguments that go into error messages and nowhere else, by position or name
    "same_shape": {0},
    "has_shape": {0, 1, 4, "hint"},
    "finite": {0, 1, "hint"},
    "positive_integer": {0, 1},
    "generator": {0},
    "_number": {1},
    "_arguments": {0},
    "_checked": {0},
    "_latent": {0, 1},
    "_beta": {0},
    "as_data": {0},
}


class Mutant(NamedTuple):
    """One change of one function, and what became of it."""

    function: str  # core.gaussian.reparameterize
    change: str  # `the line` -> `the line changed`
    message: bool  # the change reaches the text of an error message and nothing else
    fate: str  # killed, timeout, survived, unknown


# --- running -----------------------------------------------------------------------------------------------------------------


def prepare(file, work, added_tests):
    """-> the copy of the tree in which `file` is mutated. Begins anew if the mathematics or its tests have changed."""
    tests = [f"tests/test_{name}.py" for name in FILES[file].split()]
    content = {Path("setup.cfg"): (ROOT / "setup.cfg").read_bytes(), Path("pyproject.toml"): settings(file, tests).encode()}
    for folder in ("npvae", "tests"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            name = path.relative_to(ROOT)
            hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
            other_test = name.name.startswith("test_") and name.as_posix() not in tests
            if path.is_file() and not hidden and not other_test:
                content[name] = path.read_bytes()
    # the tests stand on core, models and verify; what is above these may change during a run
    judged = [name for name in content if name.parts[0] != "npvae" or name.parts[1] in ("core", "models", "verify")]
    fingerprint = hashlib.sha256(b"\0".join(str(name).encode() + b"\0" + content[name] for name in judged)).hexdigest()
    copy = work / Path(file).stem
    seen = copy / "fingerprint"
    same_tree = seen.exists() and seen.read_text() == fingerprint
    if same_tree or added_tests:
        keep = {"killed", "timeout", "survived"} if same_tree else {"killed"}
        forget_all_but(keep, copy / "mutants/npvae" / (file + ".meta"))
    else:
        shutil.rmtree(copy, ignore_errors=True)
    for name, data in content.items():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != data:  # mutmut goes by the time of a file
            target.write_bytes(data)
    seen.write_text(fingerprint)
    return copy


def settings(file, tests):
    """pyproject.toml of the copy."""
    return f"""[tool.mutmut]
source_paths = ["npvae"]
only_mutate = ["npvae/{file}"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {json.dumps(tests)}
use_git_change_detection = false
on_dependency_change = "ignore"
timeout_multiplier = 4.0
timeout_constant = 10.0
"""


def forget_all_but(keep, meta):
    """Make mutmut test again all mutants with another fate, such as one that was being tested when the run was stopped."""
    if meta.exists():
        data = json.loads(meta.read_text())
        codes = data["exit_code_by_key"]
        data["exit_code_by_key"] = {name: code if fate(code) in keep else None for name, code in codes.items()}
        meta.write_text(json.dumps(data))


def run_mutmut(copy, processes):
    """-> mutmut's exit code. One BLAS thread; ten derandomized Hypothesis examples, not shrunk (tests/conftest.py); the tests of
    a mutant, which mutmut keeps in a set, always in one order."""
    threads = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {**dict.fromkeys(threads, "1"), "HYPOTHESIS_PROFILE": "mut", "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", MUTMUT, "run", "--max-children", str(processes)]
    return subprocess.run(command, cwd=copy, env=environment).returncode


# --- reading what mutmut left ------------------------------------------------------------------------------------------------


def fate(code):
    """What mutmut's exit code of a mutant means. One that no test reaches has survived."""
    if code in (0, 5, 33):
        return "survived"
    if code in (1, 3, -11):  # a test failed, pytest broke, the interpreter crashed
        return "killed"
    return "timeout" if code in (-24, -9, 24, 36, 152, 255) else "unknown"


def mutants(copy, file):
    """The mutants of a file. mutmut writes them into one file: f__mutmut_orig, f__mutmut_1, f__mutmut_2 ..."""
    mutated = copy / "mutants/npvae" / file
    text = mutated.read_text(encoding="utf-8")
    functions = {node.name: node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    module = file.removesuffix(".py").replace("/", ".")
    for key, code in json.loads(Path(f"{mutated}.meta").read_text())["exit_code_by_key"].items():
        name = key.rpartition(".")[2]
        stem = name.partition("__mutmut_")[0]
        old, new = functions[f"{stem}__mutmut_orig"], functions[name]
        function = re.sub("^xǁ(.*)ǁ", r"\1.", stem).removeprefix("x_")
        difference = change(source(text, old), source(text, new))
        yield Mutant(f"{module}.{function}", difference, only_message(old, new), fate(code))


def source(text, function):
    """The lines of a function, without their indentation and comments, and without its name."""
    lines = text.splitlines()[function.lineno - 1 : function.end_lineno]
    return [re.sub(r"  # .*", "", line).strip().replace(function.name, "f") for line in lines]


def change(old, new):
    """`old` -> `new`: the lines that differ, joined."""
    lines = list(difflib.ndiff(old, new))
    removed, added = (" ".join(line[2:] for line in lines if line.startswith(sign)) for sign in ("- ", "+ "))
    return f"`{removed}` -> `{added}`"


def only_message(old, new):
    """Does the one change between two trees lie in what is raised, or in an argument that is there for a message?"""
    for field, a in ast.iter_fields(old):
        b = getattr(new, field)
        if same(a, b) or (isinstance(old, ast.FunctionDef) and field == "name"):
            continue
        if isinstance(old, ast.Raise):
            return True
        if not isinstance(a, list):
            return type(a) is type(b) and isinstance(a, ast.AST) and only_message(a, b)
        if len(a) != len(b):
            return False  # an argument was taken out
        i = next(i for i in range(len(a)) if not same(a[i], b[i]))
        if isinstance(old, ast.Call):
            function = getattr(old.func, "attr", getattr(old.func, "id", None))
            if (i if field == "args" else a[i].arg) in MESSAGE_ARGUMENTS.get(function, ()):
                return True
        return type(a[i]) is type(b[i]) and isinstance(a[i], ast.AST) and only_message(a[i], b[i])
    return False


def same(a, b):
    """Are two syntax trees, lists of them, or names, equal?"""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return ast.dump(a) == ast.dump(b) if isinstance(a, ast.AST) and isinstance(b, ast.AST) else a == b


# --- the report --------------------------------------------------------------------------------------------------------------


def print_scores(found):
    """A line for each file and one for all; -> the score of all, in percent."""
    print(f"\n{'file':<22}{'mutants':>8}{'messages':>10}{'counted':>9}{'killed':>8}{'timeout':>9}{'survived':>10}{'score':>9}")
    everything = [mutant for group in found.values() for mutant in group]
    for file, group in {**found, "all": everything}.items():
        n = Counter(mutant.fate for mutant in group if not mutant.message)
        dead = n["killed"] + n["timeout"]
        score = 100 * dead / max(1, dead + n["survived"])
        messages, counted = sum(mutant.message for mutant in group), dead + n["survived"]
        print(f"{file:<22}{len(group):8}{messages:10}{counted:9}{n['killed']:8}{n['timeout']:9}{n['survived']:10}{score:8.2f}%")
    living = sum(mutant.message and mutant.fate == "survived" for mutant in everything)
    print(f"{messages} mutants change the text of a message alone and are left out; {living} of them live.")
    return score


def compare(found):
    """Print the survivors, listed and not; -> how many are not."""
    group = [mutant for group in found.values() for mutant in group if mutant.fate == "survived" and not mutant.message]
    living = Counter((mutant.function, mutant.change) for mutant in group)
    modules = tuple(file.removesuffix(".py").replace("/", ".") + "." for file in found)
    text = PUBLISHED.read_text(encoding="utf-8") if PUBLISHED.exists() else ""
    entry = r"^- ([\w.]+): (`.+` -> `.*`)\n  (?:equivalent|performance only): "  # one without a reason does not count
    listed = Counter(pair for pair in re.findall(entry, text, re.MULTILINE) if pair[0].startswith(modules))
    for title, entries in (
        (f"survivors that {PUBLISHED.name} lists with a reason", living & listed),
        (f"survivors that {PUBLISHED.name} does NOT list", living - listed),
        (f"no survivors any more, to be taken out of {PUBLISHED.name}", listed - living),
    ):
        print(f"\n{title}: {entries.total()}")
        for function, what in sorted(entries.elements()):
            print(f"- {function}: {what}")
    return (living - listed).total()


def arguments():
    """The parser, and the parsed arguments, with .files as paths below npvae/."""
    names = {Path(file).stem: file for file in FILES}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"any of {', '.join(names)} (default: all)")
    parser.add_argument("--processes", type=int, default=1, help="mutants tested at a time (default: 1)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "npvae-mutation"), help="default: %(default)s")
    parser.add_argument("--added-tests", action="store_true", help="keep what was killed, though tests or sources have changed")
    args = parser.parse_args()
    if unknown := [name for name in args.files if name not in names]:
        parser.error(f"no such file: {', '.join(unknown)}; choose from {', '.join(names)}")
    try:
        version = importlib.metadata.version("mutmut")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if version != VERSION:
        parser.error(f"mutmut {VERSION} is needed, {version} is installed: pip install mutmut=={VERSION}")
    args.files = [names[name] for name in args.files or names]
    return parser, args


def main():
    parser, args = arguments()
    found = {}
    for file in args.files:
        print(f"\nnpvae/{file}, with the tests of: {FILES[file]}", flush=True)
        copy = prepare(file, args.work.resolve(), args.added_tests)
        if run_mutmut(copy, args.processes) != 0:
            parser.error(f"mutmut failed in {copy}, see above.")
        found[file] = list(mutants(copy, file))
    score, unlisted = print_scores(found), compare(found)
    undecided = sum(mutant.fate == "unknown" for group in found.values() for mutant in group)
    print(f"\nscore {score:.2f} % (at least {BAR} % is asked), survivors not listed: {unlisted}, without a verdict: {undecided}")
    return int(score < BAR or unlisted > 0 or undecided > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
