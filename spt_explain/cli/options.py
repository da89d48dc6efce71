"""Options that several commands share: the same word, default and unit everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel

from spt_explain.cli.spelling import CommandLineSpelling
from spt_explain.core.config import (
    choices_of,
    described,
    extra_of,
    heading_of,
    item_of,
    kinds_of,
    words_of,
)
from spt_explain.errors import SptError, option, use_spelling
from spt_explain.report.options import FigureOptions
from spt_explain.resandi.options import JudgingOptions, NetworkOptions
from spt_explain.tracks.policy import QualityPolicy
from spt_explain.tracks.units import UnitOptions
from spt_explain.training.options import SimulatedOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spt_explain.core.config import Options

    F = TypeVar("F", bound=Callable[..., Any])

REMEMBERED = (
    "columns", "pixel_size_um", "frame_interval_s", "override_units", "all_tracks", "tracking",
    "min_length", "gaps", "max_gap", "branches", "every",
    "weights", "threshold", "exposure", "alone",
)  # fmt: skip
"""Options of `classify` that `explain` without an input takes over."""
_SIMULATED = tuple(name for name in SimulatedOptions.model_fields if name != "seed")
_OF_FILES = ("label_column", "columns", "min_length", "gaps", "max_gap", "branches")
SPELLING = CommandLineSpelling()
_LONG = {"output": "--output"}
"""Long names of options that messages name by a letter."""
ROLES = ("particle", "frame", "x", "y", "z", "t")


def stacked(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return what adds several options, in this order."""

    def decorate(function: F) -> F:
        for add in reversed(options):
            function = add(function)
        return function

    return decorate


def choice_option(
    name: str, choices: Sequence[str], *, default: str, help: str
) -> Callable[[F], F]:
    """Return an option for one of several words, with its default in the help."""
    return click.option(
        name, type=click.Choice(choices), default=default, show_default=True, help=help
    )


def number_option(
    name: str, kind: type[float], *, default: float, metavar: str, help: str
) -> Callable[[F], F]:
    """Return an option for a number (`int` or `float`), with its default in the help."""
    return click.option(
        name, type=kind, default=default, show_default=True, metavar=metavar, help=help
    )


class GroupedOption(click.Option):
    """An option that the help shows under a heading."""

    def __init__(self, *names: Any, heading: str = "", **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that belong to an operation under its heading, the others last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "heading", ""), []).append(record)
        rest = groups.pop("", [])
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)
        if rest:
            with formatter.section("Options" if not groups else "Other options"):
                formatter.write_dl(rest)


def options_from(model: type[Options], *names: str, **defaults: Any) -> Callable[[F], F]:
    """Return what adds the options of an operation.

    Parameters
    ----------
    model : type
        Holds their types, defaults and meanings.
    *names : str
        Those wanted, in this order; by default all, the model's own before those of its bases.
    **defaults
        Other defaults than the model's.
    """
    homes = [home for home in model.__mro__ if issubclass(home, BaseModel)]
    own_first = sorted(model.model_fields, key=lambda n: sum(n in h.model_fields for h in homes))
    return stacked(*(_option_from(model, name, defaults) for name in names or own_first))


def _number_or_word(kind: type[float], none: str) -> Callable[[Any], Any]:
    """Return what reads a number, or a word in any case, of which `none` stands for None.

    What is neither is refused by the model.
    """

    def value(text: Any) -> float | str | None:
        word = str(text).strip().lower()
        if word == none:
            return None
        try:
            return kind(word)
        except ValueError:
            return word

    return value


def _option_from(
    model: type[Options], name: str, defaults: Mapping[str, Any]
) -> Callable[[Any], Any]:
    """Return the option for a field, of click's type for the field's.

    A bool is a switch, or a pair of them where it is on by default or has an ``off``; words are
    choices; a `Several` may be given several times; a number that has words beside it takes those,
    too; another type makes itself of what is written.
    """
    field = model.model_fields[name]
    default = defaults.get(name, field.get_default())
    item, words, none = item_of(field), words_of(field), extra_of(field, "none")
    kinds = kinds_of(field) if item is None else (item,)
    number = next((kind for kind in (int, float) if kind in kinds), None)
    off = extra_of(field, "off") or (f"no_{name}" if default is True else "")
    shown = default not in (None, "", ()) and (bool not in kinds or bool(off))
    settings: dict[str, Any] = {"type": kinds[0], "metavar": extra_of(field, "metavar") or None}
    if choices_of(field):
        settings = {"type": click.Choice(words)}
    elif bool in kinds:
        settings = {"is_flag": True}
    elif number is not None and item is None and (words or none):
        default = none if default is None and none else default
        shown = shown or bool(none)
        shown_as = (*words, *filter(None, [none]), "N" if number is int else "X")
        settings = {"type": _number_or_word(number, none), "metavar": "|".join(shown_as)}
    elif kinds[0] not in (int, float, str):  # it makes itself of what is written
        settings["type"] = str
        default = str(default) if shown and item is None else default
    with use_spelling(SPELLING):
        flags, meaning = [option(name)], described(field)
        flags[0] += f"/{option(off)}" if off else ""
    if name in _LONG:
        flags.append(_LONG[name])
    return click.option(
        *flags, name, cls=GroupedOption, heading=heading_of(model, name), default=default,
        show_default=shown, multiple=item is not None, help=meaning, **settings,
    )  # fmt: skip


def reading_options(function: F) -> F:
    """Add what a file does not say itself."""
    return stacked(
        click.option(
            "--columns",
            multiple=True,
            metavar="ROLE=NAME,…",
            help="Column names (or numbers, from 1) for particle, frame, x, y, z or t (seconds), "
            "e.g. particle=Track,frame=Slice,x=X,y=Y. Default: found by name.",
        ),
        options_from(UnitOptions),
        click.option(
            "--all-tracks",
            is_flag=True,
            help="TrackMate's save files: also the tracks its filters hid. Default: only those "
            "kept.",
        ),
        click.option(
            "--tracking",
            metavar="FILE.toml",
            help="Stacks: how they are tracked, a parameter file that spt-explain track wrote. "
            "Default: found from each stack.",
        ),
    )(function)


def reading_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `reading_options` gave, as `spt_explain.read_tracks` takes it."""
    names = ("pixel_size_um", "frame_interval_s", "override_units", "all_tracks", "tracking")
    return {"columns": parse_columns(options["columns"]), **_some(options, names)}


def _some(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: options[name] for name in names}


def quality_options(function: F) -> F:
    """Add the policy for gaps, branches and short tracks."""
    return options_from(QualityPolicy, "min_length", "gaps", "max_gap", "branches")(function)


def policy_of(options: Mapping[str, Any]) -> QualityPolicy:
    """Return what `quality_options` gave."""
    return QualityPolicy.taken_from(options)


def network_options(function: F) -> F:
    """Add which weights, run by what, where."""
    return options_from(NetworkOptions)(function)


def network_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `network_options` gave."""
    return dict(NetworkOptions.taken_from(options))


def judging_options(function: F) -> F:
    """Add how each track of a file is judged."""
    return stacked(options_from(JudgingOptions), options_from(QualityPolicy, "every"))(function)


def judging_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `network_options` and `judging_options` gave, as a classifier takes it."""
    judging = JudgingOptions.taken_from(options)
    return {**network_of(options), "threshold": judging.threshold, "alone": judging.alone}


def rememberable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `explain` without an input needs; a file is found from other folders, too."""
    settings = _some(options, REMEMBERED)
    if settings["tracking"] is not None:
        settings["tracking"] = str(Path(settings["tracking"]).absolute())
    return settings


def refuse_unused(context: click.Context, *, with_data: bool) -> None:
    """Refuse options that were given and would do nothing, with or without ``--data``."""
    for name in _SIMULATED if with_data else _OF_FILES:
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            what = "simulated tracks, and --data was given" if with_data else "--data"
            raise SptError(
                f"{option(name)} is for {what}. Leave one of the two out.", code="conflict"
            )


def output_options(function: F) -> F:
    """Add where tables go and how much is said."""
    return stacked(
        click.option(
            "-o",
            "--output",
            metavar="FILE|FOLDER|-",
            help="One table for all inputs (.csv, .parquet, .json), a folder for a table each "
            "(end a new one with /), or - for standard output. Default: NAME.verdicts.csv beside "
            "each input.",
        ),
        click.option(
            "--format",
            "fmt",
            type=click.Choice(["csv", "parquet", "json"]),
            help="Table format. Default: what -o ends in, else csv.",
        ),
        saying_options("outputs that exist"),
    )(function)


def figure_options(function: F) -> F:
    """Add whether figures are drawn beside the tables, and as what."""
    return options_from(FigureOptions)(function)


def saying_options(
    replaced: str = "",
    printed: str = "the summary as JSON on standard output",
    *,
    quiet: bool = True,
) -> Callable[[F], F]:
    """Return what adds whether results are replaced, and how much is said, as far as wanted."""
    switches = (
        (("--overwrite",), f"Replace {replaced}.", bool(replaced)),
        (("--quiet", "-q"), "Say nothing but errors.", quiet),
        (("--json", "as_json"), f"Print {printed}.", bool(printed)),
        (("--debug",), "Show a traceback when something fails.", True),
    )
    wanted = [(names, said) for names, said, is_wanted in switches if is_wanted]
    return stacked(*(click.option(*names, is_flag=True, help=said) for names, said in wanted))


def names_of(files: Sequence[str | Path]) -> list[str]:
    """Return the names of files that were given, with those of folders and globs."""
    from spt_explain.readers import find_inputs

    return [one.name for one in find_inputs([str(file) for file in files])] if files else []


def parse_columns(given: Sequence[str]) -> dict[str, str] | None:
    """Turn ``particle=Track ID,x=X (a, b)`` into a dict; commas within names are kept.

    Raises
    ------
    SptError
        If a part is not ROLE=NAME, a role is unknown or named twice.
    """
    columns: dict[str, str] = {}
    for text in given:
        for part in re.split(rf",(?=\s*(?:{'|'.join(ROLES)})\s*=)", text):
            role, equals, name = part.partition("=")
            role, name = role.strip(), name.strip()
            if not equals or not name or role not in ROLES:
                raise SptError(
                    f"--columns {part.strip()!r} was not understood; expected ROLE=NAME with a "
                    f"role of {', '.join(ROLES)}, e.g. --columns particle=Track,frame=Slice,x=X,y=Y"
                )
            if role in columns:
                raise SptError(
                    f"--columns names {role} twice: {columns[role]!r} and {name!r}.",
                    code="conflict",
                )
            columns[role] = name
    return columns or None
