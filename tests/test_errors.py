"""How errors name options: as whoever called wrote them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import spt_explain
from spt_explain.cli import main
from spt_explain.cli.spelling import CommandLineSpelling
from spt_explain.errors import (
    Code,
    NotTracksError,
    SptError,
    command,
    option,
    printable,
    use_spelling,
)
from spt_explain.tracks.quality import QualityPolicy

PACKAGE = Path(spt_explain.__file__).parent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tracks µ 粒子.csv", "tracks µ 粒子.csv"),
        (b"caf\xe9/\xc3\xa9.csv".decode("utf-8", "surrogateescape"), r"caf\xe9/é.csv"),
        ("half\ud83d.csv", r"half\ud83d.csv"),  # a name on Windows
        ("", ""),
    ],
)
def test_what_is_no_unicode_is_spelled_out(text, shown):
    assert printable(text) == shown
    assert str(SptError(text)) == shown


@given(st.binary())
def test_any_name_can_be_written(name):
    printable(name.decode("utf-8", "surrogateescape")).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "value", "in_python", "in_a_shell"),
    [
        ("min_length", None, "min_length=", "--min-length"),
        ("min_length", 5, "min_length=5", "--min-length 5"),
        ("length", "20-50", "length='20-50'", "--length 20-50"),
        ("noise", "0.5", "noise=0.5", "--noise 0.5"),
        ("resume", True, "resume=True", "--resume"),
        ("signal", "FILE:COLUMN", "signal=FILE:COLUMN", "--signal FILE:COLUMN"),
        ("columns", "x=A,y=B", "columns={'x': 'A', 'y': 'B'}", "--columns x=A,y=B"),
        ("columns", 'x="A B"', "columns={'x': 'A B'}", '--columns x="A B"'),
        ("model", "my model", "model='my model'", "--model 'my model'"),
        ("class_name", None, "class_name=", "--class"),
        ("output", "t.csv", "output='t.csv'", "-o t.csv"),
        ("n", None, "n=", "-n"),
        ("z", 2, "z=2", "--z 2"),
    ],
)
def test_an_option_is_named_as_the_caller_wrote_it(name, value, in_python, in_a_shell):
    assert option(name, value) == in_python
    with use_spelling(CommandLineSpelling()):
        assert option(name, value) == in_a_shell
    assert option(name, value) == in_python


def test_a_command_is_named_as_the_caller_would_call_it():
    assert command("relevance fit", "MOVIES", signal="FILE") == (
        "spt_explain.relevance.fit(MOVIES, signal=FILE)"
    )
    with use_spelling(CommandLineSpelling()):
        assert command("weights import", "a.zip", overwrite=True, name="NAME") == (
            "spt-explain weights import a.zip --overwrite --name NAME"
        )


def test_one_error_speaks_to_python_and_to_a_shell(tmp_path, capsys):
    with pytest.raises(SptError, match=r"^min_length=1: expected") as caught:
        QualityPolicy(min_length=1)
    assert (caught.value.option, caught.value.code) == ("min_length", "invalid-value")
    with pytest.raises(SystemExit) as left:
        main(["classify", str(tmp_path / "a.csv"), "--min-length", "1"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "--min-length" in said
    assert "min_length" not in said


def test_errors_have_codes_and_stay_printable():
    error = SptError("caf\udce9 is there", code="exists", option="overwrite", exit_code=1)
    assert (error.code, error.option, error.exit_code) == ("exists", "overwrite", 1)
    assert str(error) == printable("caf\udce9 is there") == "caf\\xe9 is there"
    assert NotTracksError("a log").code == "wrong-kind"
    assert SptError("so").code in get_args(Code)


def _strings(path):
    """Yield line and text of every string in a module that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loose = {
        id(node.value) for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in loose:
            yield node.lineno, node.value


def test_no_string_outside_the_command_line_names_a_flag():
    flag = re.compile(r"(^|[\s(`])(--[a-z]|-o\b)")
    found = [
        f"{path.name}:{line}: {text}"
        for path in PACKAGE.rglob("*.py")
        if "cli" not in path.relative_to(PACKAGE).parts
        for line, text in _strings(path)
        if flag.search(text)
    ]
    assert not found
