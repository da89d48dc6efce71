import inspect
from typing import Annotated, ClassVar, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from spt_explain.cli.options import GroupedCommand, options_from
from spt_explain.core.config import LARGEST_WHOLE, Options, expected, setting, takes
from spt_explain.errors import SptError


class _Base(Options):
    heading: ClassVar[str] = "Base"

    depth: Literal["max", "mean"] | Annotated[int, Field(ge=1, le=LARGEST_WHOLE)] = setting(
        "max", "Plane, or what is made of them."
    )


class _Some(_Base):
    heading: ClassVar[str] = "Some"

    memory: int | None = setting(None, "Frames.", unit="frames", none="auto", ge=0)
    mass: float | None = setting(None, "Brightness. Default: any.", unit="photons", gt=0, lt=9)
    dark: bool | None = setting(None, "Dark, or bright.", off="bright")
    formats: tuple[Literal["png", "svg"], ...] = setting(("png",), "Of figures.")
    odd: int = setting(3, "An odd one.", expects="an odd number")


def _given(*arguments):
    found = {}

    @click.command(cls=GroupedCommand)
    @click.argument("name", default="x")
    @options_from(_Some)
    def command(**options):
        del options["name"]
        found.update(options)

    done = CliRunner().invoke(command, list(arguments))
    return found, done


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ([], {}),
        (["--depth", "Mean"], {"depth": "mean"}),
        (["--depth", "4"], {"depth": 4}),
        (["--memory", "AUTO"], {"memory": None}),
        (["--memory", "2", "--mass", "1.5"], {"memory": 2, "mass": 1.5}),
        (["--dark"], {"dark": True}),
        (["--bright"], {"dark": False}),
        (["--figure-format", "svg", "--figure-format", "png"], {"formats": ("svg", "png")}),
    ],
)
def test_command_line_options_give_the_model_its_values(arguments, changes):
    found, done = _given(*arguments)
    assert done.exit_code == 0, done.output
    assert _Some(**found) == _Some(**changes)


def test_help_is_in_groups_the_models_own_first():
    _, done = _given("--help")
    lines = done.output.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Some:", "Base:", "Other options:"
    ]  # fmt: skip
    for words in ("--memory auto|N", "--depth max|mean|N", "--dark / --bright", "[default: auto]"):
        assert words in done.output
    assert lines[-1].split()[0] == "--help"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("depth", "max, mean or a whole number, 1 or more"),
        ("memory", "a whole number of frames, 0 or more"),
        ("mass", "a number, above 0 and below 9 (photons)"),
        ("dark", "true or false"),
        ("formats", "some of png, svg"),
        ("odd", "an odd number"),
    ],
)
def test_what_a_field_takes_is_said(name, words):
    assert expected(_Some.model_fields[name]) == words


def test_lists_are_taken_for_tuples():
    assert _Some(formats=["svg"]).formats == ("svg",)
    with pytest.raises(SptError, match="formats='bmp': expected some of png, svg"):
        _Some(formats=["bmp"])


def test_a_function_shows_the_options_it_takes():
    @takes(_Some)
    def work(path, *, overwrite=False, **options):
        return path, overwrite, _Some(**options)

    parameters = inspect.signature(work).parameters
    assert list(parameters) == [
        "path", "depth", "memory", "mass", "dark", "formats", "odd", "overwrite"
    ]  # fmt: skip
    assert parameters["formats"].default == ("png",)
    assert work("a", odd=5) == ("a", False, _Some(odd=5))
