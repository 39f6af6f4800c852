"""The README does what it says: its Python blocks run and print what stands under them, its shell lines parse."""

import contextlib
import io
import pathlib
import re
import shlex

import pytest
from equations import markdown

from npvae.cli import build_parser

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)


def test_the_python_blocks_run_and_print_the_text_blocks_that_follow_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    ran = 0
    for (kind, code), (following, expected) in zip(BLOCKS, [*BLOCKS[1:], ("", "")]):
        if kind != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "README.md", "exec"), names)
        if following == "text":
            assert printed.getvalue() == expected
        ran += 1
    tests = [test for name, test in names.items() if name.startswith("test_")]
    for test in tests:  # that a reader is told to write
        test()
    assert ran >= 1 and tests


SHELL = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line and not line.startswith("#")]
COMMANDS = [
    command
    for line in SHELL
    for command in re.split(r"\s*&&\s*", line)
    if re.match(r"(\w+=\S+ )*(npvae|python -m npvae) ", command)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_npvae_command_is_understood_by_the_real_command_line(command):
    words = [word for word in shlex.split(command, comments=True) if not re.match(r"\w+=", word)]
    arguments = words[1:] if words[0] == "npvae" else words[3:]
    assert build_parser().parse_args(arguments).verb == arguments[0]


def test_what_is_compared_was_trained_and_evaluated_above():
    made = {"train": set(), "evaluate": set()}
    compared = []
    for command in COMMANDS:
        args = build_parser().parse_args(shlex.split(command, comments=True)[1:]) if command.startswith("npvae ") else None
        if args is not None and args.verb == "train":
            made["train"].add(args.out or "npvae-run")
        elif args is not None and args.verb == "evaluate":
            made["evaluate"].add(args.model)
        elif args is not None and args.verb == "compare":
            compared.append((args.a, args.b))
            assert {args.a, args.b} <= made["train"] & made["evaluate"], command
    assert compared


def test_the_map_of_equations_is_the_checked_one():
    assert markdown() in README


def test_the_readme_has_commands_to_check():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http|#)([^)#]+)", README))
def test_every_file_that_the_readme_links_to_is_there(target):
    assert (ROOT / target).exists()
