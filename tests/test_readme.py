"""What the README says of the command line is so."""

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from spt_explain.cli import _COMMANDS
from spt_explain.readers import FORMATS

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def text():
    return README.read_text(encoding="utf-8")


def test_every_command_is_documented(text):
    for command in _COMMANDS:
        assert f"spt-explain {command}" in text


def test_every_option_named_exists(text):
    commands = [import_module(f"spt_explain.cli.{name}").command for name in _COMMANDS]
    for one in tuple(commands):
        if isinstance(one, click.Group):
            context = click.Context(one)
            subs = (one.get_command(context, name) for name in one.list_commands(context))
            commands += [sub for sub in subs if sub is not None]
    known = {
        option for one in commands for parameter in one.params for option in parameter.opts
    } | {"--help"}
    ours = "\n".join(
        line
        for line in text.splitlines()
        if not line.startswith(("pip ", "python ", "    python", "torchrun "))
    )
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", ours))
    assert named - known - {"--no-deps"} == set()


def test_every_format_is_named(text):
    for title in (f.title for f in FORMATS):
        program = re.split(r",", title)[0]
        assert program in text or program.startswith("any other")


def test_the_two_commands_are_marked(text):
    for mark, words in (("quickstart", "recipes/quickstart.csv"), ("test", "pytest")):
        block = re.search(rf"<!-- {mark} -->\n```\n(.+)\n```", text)
        assert block, f"the {mark} command is one line below its mark"
        assert words in block[1]
        assert "-c constraints.txt" in block[1]
