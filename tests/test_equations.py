"""Equation, code and test belong together: a label in a docstring is derived in its notebook, and a derived one has its test."""

import ast
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest
from equations import EQUATIONS, family, markdown, notebook
from equations import NOTEBOOKS as VOLUMES

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))}
TAGS = {number: re.findall(r"\\tag\{([^}]*)\}", NOTEBOOKS[name]) for number, name in VOLUMES.items()}
DERIVED = {number: [tag for tag in tags if "-" in tag] for number, tags in TAGS.items()}
LABELS = [label for labels in DERIVED.values() for label in labels]


def docstrings(path):
    """Yield (dotted name within the package, docstring) of everything in a file that has one."""

    def walk(node, name):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                inner = f"{name}.{child.name}"
                yield inner, ast.get_docstring(child) or ""
                yield from walk(child, inner)

    name = ".".join(path.relative_to(ROOT / "npvae").with_suffix("").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield name, ast.get_docstring(tree) or ""
    yield from walk(tree, name)


DOCSTRINGS = [pair for path in sorted((ROOT / "npvae").rglob("*.py")) for pair in docstrings(path)]
# a label at the end of a docstring's line numbers the equation on it; anywhere else it refers to one
STATED = [(label, name) for name, text in DOCSTRINGS for label in re.findall(r"\[([A-Z]+-\d+)\]$", text, re.MULTILINE)]
MENTIONED = {label for _, text in DOCSTRINGS for label in re.findall(r"\[([A-Z]+-\d+)\]", text)}


def test_there_is_something_to_compare():
    assert set(VOLUMES.values()) < set(NOTEBOOKS)
    assert len(DERIVED[1]) > 50 and len(DERIVED[6]) > 30
    assert len(STATED) > 80


def test_no_equation_has_two_places():
    assert [label for label, n in Counter(LABELS).items() if n > 1] == []
    elsewhere = [text for name, text in NOTEBOOKS.items() if name not in VOLUMES.values()]
    assert [tag for text in elsewhere for tag in re.findall(r"\\tag\{([^}]*)\}", text) if "-" in tag] == []


def test_each_family_is_numbered_from_1_without_a_gap_and_in_order():
    for name in dict.fromkeys(map(family, LABELS)):
        members = [label for label in LABELS if family(label) == name]
        assert members == [f"{name}-{i}" for i in range(1, len(members) + 1)]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_steps_in_between_are_numbered_from_1_without_a_gap_and_in_order(name):
    steps = [int(tag) for tag in re.findall(r"\\tag\{(\d+)\}", NOTEBOOKS[name])]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_equation_that_a_notebook_refers_to_is_there(name):
    prose = "\n".join(line for line in NOTEBOOKS[name].splitlines() if r"\tag" not in line)
    assert set(re.findall(r"\(([A-Z]+-\d+)\)", prose)) <= set(LABELS)
    steps = set(re.findall(r"\\tag\{(\d+)\}", NOTEBOOKS[name]))
    markdown_lines = "\n".join(line for line in prose.splitlines() if line.startswith("# "))
    assert set(re.findall(r"(?<=[\s,])\((\d{1,2})\)", markdown_lines)) <= steps


def test_every_label_in_the_code_is_derived():
    assert sorted(MENTIONED - set(LABELS)) == []


def test_the_map_has_every_derived_equation_and_no_other():
    assert sorted(EQUATIONS) == sorted(LABELS)


@pytest.mark.parametrize("number", VOLUMES)
def test_an_equation_is_derived_in_the_notebook_of_its_volume(number):
    assert sorted(label for label in EQUATIONS if notebook(label) == number) == sorted(DERIVED[number])


@pytest.mark.parametrize("label", EQUATIONS)
def test_the_docstrings_that_state_an_equation_are_those_of_the_map(label):
    assert sorted(name for stated, name in STATED if stated == label) == sorted(EQUATIONS[label].homes)


def test_an_equation_has_one_home_unless_a_layer_or_likelihood_repeats_it():
    assert {label: len(e.homes) for label, e in EQUATIONS.items() if len(e.homes) != 1} == {
        "ELBO-1": 0, "ELBO-2": 0, "ACT-5": 2, "ACT-7": 2, "INIT-4": 2,
    }  # fmt: skip


@pytest.mark.parametrize("test", sorted({equation.test for equation in EQUATIONS.values()}))
def test_the_test_of_an_equation_is_there(test):
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_trace_uses_derived_labels_only():
    module = importlib.import_module("npvae.teaching.trace")
    used = {label for label, _ in [*module.FORWARD.values(), *module.BACKWARD.values()]}
    used |= {label for table in (module.LIKELIHOODS, module.OPTIMIZERS) for rows in table.values() for label, _ in rows.values()}
    used |= set(re.findall(r'"([A-Z]+-\d+)"', Path(module.__file__).read_text(encoding="utf-8")))
    assert len(used) > 30
    assert used <= set(LABELS)


def resolves(name):
    """Is this dotted name a module, or an attribute of one?"""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        for part in parts[i:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_every_name_that_the_notebooks_give_for_the_code_exists():
    names = {name for text in NOTEBOOKS.values() for name in re.findall(r"`(npvae(?:\.\w+)+)`", text)}
    assert len(names) > 15
    assert [name for name in sorted(names) if not resolves(name)] == []


def test_the_table_for_readers_has_a_line_for_each_family_with_its_code_and_tests():
    lines = markdown().splitlines()[2:]
    assert len(lines) == len(dict.fromkeys(map(family, EQUATIONS)))
    for line, name in zip(lines, dict.fromkeys(map(family, EQUATIONS))):
        assert re.match(rf"\| {name}-1 (to \d+ )?\| {notebook(f'{name}-1')} \|", line)
        for label in (label for label in EQUATIONS if family(label) == name):
            assert EQUATIONS[label].test.partition("::")[0] in line
            assert all(home in line or home.rpartition(".")[0] in line for home in EQUATIONS[label].homes)
