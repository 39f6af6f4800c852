"""The house rules, read off the syntax tree of every file: imports run one way, matplotlib is a guest in one package, nobody
touches global random state, and what is public in the book has a docstring. Each rule is shown to catch a file that breaks it."""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

import npvae

ROOT = pathlib.Path(npvae.__file__).parent
FILES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in ROOT.rglob("*.py")
}
each_file = pytest.mark.parametrize("module", FILES)

# Which packages of npvae each may import. "" is npvae itself, which has nothing for them but its version.
MATHEMATICS = {"core", "models", "beyond", "data"}
TOP = {"recipes", "visual", "teaching", "cli"}
MAY_IMPORT = {
    "core": {"core"},
    "models": {"core", "models"},
    "beyond": {"core", "models", "beyond"},
    "data": {"core", "data"},
    "training": {*MATHEMATICS, "training", ""},
    "evaluation": {*MATHEMATICS, "evaluation"},
    "verify": {"verify"},
    **{package: {*MATHEMATICS, "training", "evaluation", "verify", *TOP, ""} for package in TOP},
    "__main__": {"cli"},
    "": {*MATHEMATICS, "training", "evaluation", "verify", *TOP} - {"cli"},
}
MISTAKES = "npvae.verify.mistakes"  # the museum, a package, plants its exhibits in the library itself
IN_CORE = {  # and inside the book, file by file
    "checks": set(),
    "numerics": set(),
    "parameters": set(),
    "optimizers": set(),
    "gaussian": {"checks"},
    "layers": {"parameters", "numerics", "gaussian", "checks"},
    "likelihoods": {"parameters", "numerics", "gaussian", "checks"},
}
GENERATORS = {"Generator", "default_rng", "SeedSequence", "BitGenerator", "PCG64"}  # np.random names that hold no global state


KNOWN = {module.split(".")[1] for module in FILES if "." in module} | set(MAY_IMPORT)


@functools.cache
def tree_of(module):
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@functools.cache
def imports(tree, module):
    """A list of (dotted name, node) of all that is imported anywhere in the file; "from npvae import core" is npvae.core."""
    found: list[tuple[str, ast.AST]] = []
    is_package = module in FILES and FILES[module].name == "__init__.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*package, *filter(None, [base])])
            found.extend((f"{base}.{alias.name}", node) for alias in node.names)
    return found


def package_of(name):
    """npvae.core.layers -> core; npvae or npvae.__version__ -> ""."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in KNOWN else ""


def of_the_museum(name):
    """npvae.verify.mistakes, a file of it, or something in one."""
    return f"{name}.".startswith(f"{MISTAKES}.")


def wrong_direction(tree, module):
    """Imports of npvae that run against the house."""
    package = package_of(module)
    allowed = set(MAY_IMPORT) if of_the_museum(module) else MAY_IMPORT[package]
    for name, _ in imports(tree, module):
        if name.split(".")[0] != "npvae":
            continue
        if package_of(name) not in allowed or (package_of(name) == "" and name != "npvae.__version__"):
            yield f"{module} imports {name}"
        if package == "verify" and of_the_museum(name) and not of_the_museum(module):
            yield f"{module} imports {name}, and all that it imports"
        _, *own = module.split(".")
        if package == "core" and len(own) == 2 and (name.split(".") + [""] * 3)[2] not in IN_CORE[own[1]]:
            yield f"{module} imports {name}"


def strangers(tree, module):
    """Imports of anything but the standard library, NumPy, npvae and, where it may be, matplotlib."""
    for name, node in imports(tree, module):
        top = name.split(".")[0]
        if top == "matplotlib":
            if package_of(module) != "visual" or node in module_level(tree):
                yield f"{module} imports {name}"
        elif top not in {"numpy", "npvae"} | sys.stdlib_module_names:
            yield f"{module} imports {name}"


def module_level(tree):
    """The nodes that run when the file is imported: all that stand outside of functions."""
    nodes, waiting = set(), list(tree.body)
    while waiting:
        node = waiting.pop()
        nodes.add(node)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return nodes


def global_randomness(tree, module):
    """np.random.normal and its like, and the standard library's random."""
    for name, _ in imports(tree, module):
        if name.split(".")[0] == "random" or (name.startswith("numpy.random") and name.split(".")[-1] not in GENERATORS):
            yield f"{module} imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "random":
            owner = node.value.value
            if isinstance(owner, ast.Name) and owner.id in ("np", "numpy") and node.attr not in GENERATORS:
                yield f"{module}, line {node.lineno}: np.random.{node.attr}"


def without_docstring(tree, module):
    """Public classes, functions and methods that say nothing; a property's setter belongs to its getter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (f"{module}: {node.name}.{name}" for name in silent(node.body))
    yield from (f"{module}: {name}" for name in silent(tree.body))
    if ast.get_docstring(tree) is None:
        yield f"{module}: the file itself"


def silent(body):
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            setter = any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list)
            if ast.get_docstring(node) is None and not setter:
                yield node.name


RULES = (wrong_direction, strangers, global_randomness)


@each_file
@pytest.mark.parametrize("rule", RULES, ids=[rule.__name__ for rule in RULES])
def test_every_file_keeps_the_rule(rule, module):
    assert list(rule(tree_of(module), module)) == []


@pytest.mark.parametrize("module", [module for module in FILES if package_of(module) in ("core", "models", "data")])
def test_everything_public_in_the_book_has_a_docstring(module):
    assert list(without_docstring(tree_of(module), module)) == []


def test_the_rules_for_core_name_every_file_of_it():
    assert {f"npvae.core.{name}" for name in IN_CORE} == {module for module in FILES if module.startswith("npvae.core.")}
    packages = {module.split(".")[1] for module in FILES if "." in module}
    assert packages <= set(MAY_IMPORT), "a new package needs its place in the table"


@pytest.mark.parametrize(
    "rule, module, source",
    [
        (wrong_direction, "npvae.core.layers", "from npvae.models import VAE"),
        (wrong_direction, "npvae.core.layers", "from npvae import training"),
        (wrong_direction, "npvae.core.layers", "def f():\n    import npvae.data.digits"),
        (wrong_direction, "npvae.core.layers", "from npvae.core.optimizers import Adam"),
        (wrong_direction, "npvae.core.layers", "from npvae.core import optimizers"),
        (wrong_direction, "npvae.core.layers", "from . import optimizers"),
        (wrong_direction, "npvae.core.layers", "import npvae"),
        (wrong_direction, "npvae.core.optimizers", "from npvae.core.checks import finite"),
        (wrong_direction, "npvae.core.numerics", "from npvae.core.gaussian import LOG_2PI"),
        (wrong_direction, "npvae.models.vae", "from npvae.data import load_digits"),
        (wrong_direction, "npvae.models.vae", "from ..training import fit"),
        (wrong_direction, "npvae.data.digits", "from npvae.models import VAE"),
        (wrong_direction, "npvae.training.loop", "from npvae.evaluation import elbo"),
        (wrong_direction, "npvae.evaluation.bounds", "from npvae.training import fit"),
        (wrong_direction, "npvae.verify.doctor", "from npvae.core.numerics import softplus"),
        (wrong_direction, "npvae.verify.mistakes_too", "from npvae.core.numerics import softplus"),
        (wrong_direction, "npvae.verify.doctor", "from npvae.verify.mistakes import MISTAKES"),
        (wrong_direction, "npvae.verify.mistakes.checks", "from npvae import Adam"),
        (wrong_direction, "npvae", "from npvae import cli"),
        (wrong_direction, "npvae.training.loop", "from npvae import VAE"),
        (wrong_direction, "npvae.cli.train", "import npvae"),
        (strangers, "npvae.core.layers", "import scipy.special"),
        (strangers, "npvae.core.layers", "def f():\n    from matplotlib import pyplot"),
        (strangers, "npvae.visual.plots", "import matplotlib.pyplot as plt"),
        (strangers, "npvae.visual.plots", "if True:\n    import matplotlib"),
        (global_randomness, "npvae.core.layers", "x = np.random.normal(size=3)"),
        (global_randomness, "npvae.core.layers", "def f():\n    numpy.random.seed(0)"),
        (global_randomness, "npvae.core.layers", "from numpy.random import normal"),
        (global_randomness, "npvae.core.layers", "import random"),
        (without_docstring, "npvae.core.layers", '"""A."""\nclass A:\n    """B."""\n    def f(self):\n        pass'),
        (without_docstring, "npvae.core.layers", '"""A."""\ndef f():\n    pass'),
    ],
)
def test_each_rule_catches_a_file_that_breaks_it(rule, module, source):
    assert len(list(rule(ast.parse(source), module))) >= 1


@pytest.mark.parametrize(
    "rule, module, source",
    [
        (wrong_direction, "npvae.core.likelihoods", "from npvae.core.gaussian import LOG_2PI\nimport math"),
        (wrong_direction, "npvae.training.loop", "from npvae import __version__, models\nfrom npvae.data.dataset import Dataset"),
        (wrong_direction, "npvae.verify.mistakes", "from npvae.core.numerics import softplus"),
        (wrong_direction, "npvae.verify.mistakes.exhibits.kl", "from npvae.models import VAE"),
        (strangers, "npvae.visual.plots", "def f():\n    import matplotlib.pyplot as plt"),
        (
            global_randomness,
            "npvae.core.layers",
            "from numpy.random import Generator\nrng = np.random.default_rng(0)\nx: np.random.Generator = rng\nrng.random(3)",
        ),
    ],
)
def test_and_leaves_a_good_one_alone(rule, module, source):
    assert list(rule(ast.parse(source), module)) == []


def test_importing_npvae_imports_no_matplotlib_and_draws_nothing():
    code = (
        "import numpy as np, sys; before = np.random.get_state()[1].tobytes(); import npvae, npvae.cli; "
        "assert np.random.get_state()[1].tobytes() == before; "
        "print([name for name in sys.modules if name.split('.')[0] in ('matplotlib', 'PIL', 'scipy')])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
