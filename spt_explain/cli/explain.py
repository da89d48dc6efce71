"""``spt-explain explain``: why the network says so, track by track."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import (
    REMEMBERED,
    GroupedCommand,
    judging_of,
    judging_options,
    network_options,
    number_option,
    options_from,
    policy_of,
    quality_options,
    reading_of,
    reading_options,
    saying_options,
)
from spt_explain.errors import SptError, printable
from spt_explain.explain.options import ExplainOptions
from spt_explain.report.options import FigureOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from spt_explain.explain.reasons import Explainer

EXAMPLE = "quickstart.csv"


@click.command("explain", cls=GroupedCommand)
@click.argument("inputs", nargs=-1, metavar="[INPUT…]")
@options_from(ExplainOptions)
@click.option(
    "--particle",
    "only",
    type=int,
    multiple=True,
    metavar="N",
    help="Explain this particle only; may be given several times. With --plot, each gets a figure.",
)
@click.option("--plot", is_flag=True, help="Draw figures: a contact sheet and single tracks.")
@options_from(FigureOptions, "figure_format", figure_format=("png",))
@number_option(
    "--picks",
    int,
    default=3,
    metavar="N",
    help="Most typical, doubtful and surprising tracks of each class that get a figure.",
)
@click.option(
    "--movie",
    metavar="STACK",
    help="Stack that was tracked: the scores are drawn on its maximum projection.",
)
@click.option(
    "--animate",
    type=click.Choice(["gif", "mp4"]),
    help="Also draw them on every frame of --movie (mp4 needs ffmpeg).",
)
@click.option(
    "--report",
    "page",
    metavar="FILE.html",
    help="Write one HTML file with everything in it: opens offline in any browser.",
)
@reading_options
@quality_options
@network_options
@judging_options
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    help="Folder of results; of several inputs, a folder for their folders. Default: NAME.reasons "
    "beside each input.",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="Format of the tables.",
)
@saying_options("results that exist")
@click.pass_context
def command(
    context: click.Context,
    /,
    inputs: tuple[str, ...],
    only: tuple[int, ...],
    plot: bool,
    figure_format: tuple[str, ...],
    picks: int,
    movie: str | None,
    animate: str | None,
    page: str | None,
    output: str | None,
    fmt: str,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,
    **options: Any,
) -> int:
    """Say why: which frames of each track speak for its class, and how far that can be trusted.

    INPUT is what classify takes. Without one, what was last classified is explained, with the same
    options; where nothing was, the example that comes with the program.

    \b
    Example:
        spt-explain explain tracks.csv --plot --report why.html

    \b
    writes the folder tracks.reasons/ with
        tracks.csv        a row a track: verdict, method, resolution, result of the check
        frames.csv        a row a frame: x, y, score (positive speaks for the class), contrast
        windows.csv       a row a window: score and the statistics AC, CS, NG, SG, VD
        correlations.csv  of score and statistics, by class
        timeline.csv      long tracks: class in a sliding window, change points
        reasons.json      how it was made
    and figures. Every explanation is checked: its best frames are erased, and as many at random;
    one that costs the class no more than chance does is marked.
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.cli.explained import Printer, print_summary
    from spt_explain.cli.many import summary
    from spt_explain.explanation import Pictures, explain_files

    _check(context, plot=plot, movie=movie, method=options["method"])
    if picks < 1:
        raise SptError(f"--picks is {picks}; expected at least 1.")
    how = ExplainOptions.taken_from(options)
    console = make_console(quiet=quiet)
    inputs, output, options = _inputs(context, console, inputs, output, options)

    def make_explainer() -> Explainer:
        from spt_explain.explain.reasons import Explainer

        return Explainer(how, **judging_of(options))

    pictures = Pictures(
        tracks=plot,
        formats=tuple(dict.fromkeys(figure_format)),
        picks=picks,
        movie=Path(movie) if movie is not None else None,
        animate=animate or "",
        jobs=options["jobs"],
    )
    with make_progress(console) as progress:
        results = explain_files(
            inputs,
            make_explainer,
            policy=policy_of(options),
            exposure=options["exposure"],
            reading=reading_of(options),
            only=only,
            output=output,
            fmt=fmt,
            overwrite=overwrite,
            pictures=pictures,
            page=Path(page) if page is not None else None,
            command=["spt-explain", *sys.argv[1:]],
            listener=Printer(console, progress, movie=movie is not None),
        )
    problems = list(dict.fromkeys(problem for r in results for problem in r.problems))
    print_summary(console, results)
    code = 1 if problems else 3 if any(r.failed for r in results) else 0
    if as_json:
        told = summary(code, results, problems=[str(problem) for problem in problems])
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    for problem in problems:
        if debug:
            raise problem
        said = str(problem).replace("\n", "\n       ")
        click.echo(f"Error: {said}", err=True)
    return code


def _check(context: click.Context, *, plot: bool, movie: str | None, method: str) -> None:
    """Refuse options that would do nothing, so that nobody waits for what won't come."""
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    }
    if movie is None and "animate" in given:
        raise SptError("--animate draws on the frames of a stack; name it with --movie.")
    if not plot and "picks" in given:
        raise SptError("--picks is for the figures of --plot; give that too.", code="conflict")
    if not plot and movie is None and "figure_format" in given:
        raise SptError(
            "--figure-format is for the figures of --plot and --movie; give one.", code="conflict"
        )
    if "layer" in given and method not in ("gradcam", "layercam"):
        raise SptError(
            f"--layer is for --method gradcam and layercam, not {method}; give one of the two.",
            code="conflict",
        )


def _inputs(
    context: click.Context,
    console: Console,
    inputs: tuple[str, ...],
    output: str | None,
    options: dict[str, Any],
) -> tuple[tuple[str, ...], str | None, dict[str, Any]]:
    """Return what to explain: what was named, else what was last classified, else the example."""
    from rich.markup import escape

    if inputs:
        return inputs, output, options
    from spt_explain.last_run import recall

    last, settings = recall()
    there = [name for name in last if Path(name).is_file()]
    if last and not there:
        raise SptError(
            f"what was last classified is not there any more ({_some(last)}): expected it, as no "
            "INPUT was named. Name what to explain.",
            code="not-found",
        )
    if there:
        known = {name: settings[name] for name in REMEMBERED if name in settings}
        taken = {
            name: value
            for name, value in known.items()
            if context.get_parameter_source(name) != click.core.ParameterSource.COMMANDLINE
        }
        console.print(f"what was last classified: {escape(_some(there))}", style="dim")
        gone = [name for name in last if name not in there]
        if gone:
            console.print(f"not there any more: {escape(_some(gone))}", style="yellow")
        return tuple(there), output, options | taken
    from spt_explain.resources import shipped

    console.print(
        "nothing was classified here yet: this is the example that comes with spt-explain",
        style="dim",
    )
    example = shipped("recipes") / EXAMPLE
    return (str(example),), output or f"{example.stem}.reasons", options


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{printable(names[0])}{more}"
