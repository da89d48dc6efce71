"""``spt-explain simulate KIND`` for kinds of movies, each with its own help."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, GroupedOption, options_from, saying_options
from spt_explain.xddpm.simulate.described import SIGNALS, SIGNALS_OF, described, summary
from spt_explain.xddpm.simulate.kinds import KINDS
from spt_explain.xddpm.simulate.options import MovieSimulationOptions

if TYPE_CHECKING:
    from rich.console import Console

    from spt_explain.movie_simulation import MoviesResult

SWITCHES = {"--overwrite", "--resume", "--quiet", "-q", "--json", "--debug", "--help", "-h"}
"""Options after which a word is no value of theirs."""
_HELP = """Simulate movies, their signals, and the pixels that carry each signal.

{summary}

\b
Example:
    spt-explain simulate {kind} --movies 500 --seed 1 -o movies/
    spt-explain simulate {kind} --set {example} -o other/

\b
The folder then holds
    movie-0000.tif …           32-bit ImageJ stacks
    signals-per-frame.csv      movie, frame and one column for each signal, and
    signals-per-movie.csv      movie and signals that have one value for the whole movie
    truth/SIGNAL/movie-0000.tif …   masks, 255 where a pixel carries that signal
    settings.json              all that is needed to make it again

What is interrupted (Ctrl-C, --minutes) is kept: the same command with --resume goes on to the same
movies.
"""


def find_kind(arguments: list[str]) -> int | None:
    """Return which of the arguments is a kind of movies, if one is."""
    before = ""
    for number, argument in enumerate(arguments):
        if not argument.startswith("-"):
            value = before.startswith("-") and before not in SWITCHES and "=" not in before
            if not value:
                return number if argument.lower() in KINDS else None
        before = argument
    return None


class _Command(GroupedCommand):
    """A command whose help ends with the settings of a kind."""

    kind = ""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for one in described(self.kind):
            word = "" if one.choices or one.default is None else " A..B" if one.drawn else " A"
            drawn = "drawn for each movie; " if one.drawn else ""
            said = f"[{drawn}{one.possible}; default: {one.shown}]"
            rows.append((f"{one.name}{word}", f"{one.text}  {said}"))
        with formatter.section("Signals"):
            formatter.write_dl([(name, SIGNALS[name]) for name in SIGNALS_OF[self.kind]])
        with formatter.section("Settings (--set NAME=VALUE, or [settings] of a recipe)"):
            formatter.write_dl(rows)


@cache
def movies_command(kind: str) -> click.Command:
    """Return the command of a kind."""
    example = {"spots": "mobile=1..20", "pressure": "aspect=2", "jellyfish": "wing=0.25..0.35"}
    text = _HELP.format(
        kind=kind, summary=summary(kind), example=example.get(kind, "radius=0.15..0.2")
    )

    def run(**options: Any) -> int:
        return _run(kind, options)

    run.__doc__ = text
    function: Any = run
    for decorate in reversed(_options(kind)):
        function = decorate(function)
    command = click.command(f"simulate {kind}", cls=_Command)(function)
    command.kind = kind
    return command


def _options(kind: str) -> list[Any]:
    group: dict[str, Any] = {"cls": GroupedOption, "heading": MovieSimulationOptions.heading}
    return [
        options_from(MovieSimulationOptions, "movies", "frames", "size"),
        click.option(
            "--set",
            "given",
            multiple=True,
            metavar="NAME=VALUE",
            help="Change a setting; they are below. Where one is drawn for each movie, give two "
            "numbers (radius=0.1..0.2) or one for all. May be given several times. Default: none.",
            **group,
        ),
        click.option(
            "--recipe",
            metavar="FILE.toml",
            help="Any of kind, movies, frames, size, seed, and [settings]; options go before it. "
            "Default: none.",
            **group,
        ),
        options_from(MovieSimulationOptions, "seed", "minutes", "resume", "device"),
        click.option(
            "-o",
            "--output",
            metavar="FOLDER",
            help=f"Folder to make. Default: simulated-{kind} in this one.",
        ),
        saying_options("a folder of simulated movies, finished or not"),
    ]


def _run(kind: str, options: dict[str, Any]) -> int:
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.movie_simulation import parse_settings, simulate_movies

    settings = parse_settings(options["given"])
    asked = MovieSimulationOptions.taken_from(options)
    console = make_console(quiet=options["quiet"])
    with make_progress(console) as bar:
        task = bar.add_task("simulating", total=None, count="")

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, count=f"{done:,}/{total:,} movies")

        try:
            result = simulate_movies(
                kind,
                settings=settings,
                command=["spt-explain", *sys.argv[1:]],
                progress=progress,
                recipe=options["recipe"],
                output=options["output"],
                overwrite=options["overwrite"],
                **dict(asked),
            )
        except KeyboardInterrupt:
            _say_kept(console, kind, options["output"])
            raise
    _print_summary(console, result)
    if options["as_json"]:
        said = {"exit_code": 0, **result.report, "notes": result.notes}
        click.echo(json.dumps(said, indent=1, ensure_ascii=False))
    return 0


def _say_kept(console: Console, kind: str, output: str | None) -> None:
    from pathlib import Path

    from spt_explain.movie_simulation import unfinished_folder

    if unfinished_folder(Path(output or f"simulated-{kind}")).exists():
        console.print("What is done is kept: the same command with --resume goes on with it.")


def _print_summary(console: Console, result: MoviesResult) -> None:
    from rich.markup import escape

    report = result.report
    done = f"{report['movies']:,}"
    if not result.finished:
        done = f"{report['movies_done']:,} of {done}"
    console.print(
        f"[bold]movies[/bold]  {done} of {report['frames']:,} frames, "
        f"{report['size']} × {report['size']} px"
    )
    for name, one in report.get("signals", {}).items():
        console.print(
            f"[bold]signal[/bold]  {name}, one per {one['per']}: {one['mean']:.4g} ± "
            f"{one['std']:.4g} ({one['min']:.4g} to {one['max']:.4g})"
        )
    console.print(f"[bold]seed[/bold]    {report['seed']}")
    for note in result.notes:
        console.print(f"  {escape(note)}", style="dim")
    if result.finished:
        console.print(f"→ {escape(str(result.folder))}")
