"""``spt-explain relevance explain``: which pixels of a movie carry the signal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, options_from, saying_options
from spt_explain.cli.relevance.fit import (
    jobs_option,
    make_listener,
    say_checks,
    use_threads,
)
from spt_explain.xddpm.options import RelevanceExplainOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from spt_explain.movies.sequence import Movie
    from spt_explain.relevance import Explained


@click.command("explain", cls=GroupedCommand)
@click.argument("movies", nargs=-1, required=True, metavar="MOVIE…")
@click.option(
    "--model", required=True, metavar="FOLDER",
    help="What spt-explain relevance fit wrote; or spots, a model that ships, to try it with.",
)  # fmt: skip
@options_from(RelevanceExplainOptions, figure_formats=("png", "svg"))
@jobs_option
@click.option(
    "-o", "--output", metavar="FOLDER",
    help="Folder of the results; of several movies, the folder of their folders. Default: "
    "NAME.relevance beside each movie.",
)  # fmt: skip
@saying_options("folders of results that exist")
def command(
    movies: tuple[str, ...],
    model: str,
    jobs: int | None,
    output: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Say which pixels of a movie carry the signal, and when.

    MOVIE is TIFF of any kind, an ND2 or CZI file, of any size and length; several movies, folders
    and globs are explained one after the other.

    \b
    Example:
        spt-explain relevance explain movie.tif --model model/

    \b
    writes into movie.relevance/
        relevance.tif      contribution of each pixel, 0 to 1, as long and large as the movie
        information.tif    nats that pass of each pixel
        overlay.png        frames with their relevance over them
        overlay.gif        the same, moving
        time-course.png    the signal and the relevance of each frame (time-course.csv)
        sufficiency.png    how much is predicted from the most relevant pixels alone
        checks.txt         whether to believe it (checks.json)
        explain.json       how all of it was made
    """
    from spt_explain.cli.console import make_console
    from spt_explain.cli.relevance.tracks import are_tracks, explain_tracks

    asked = RelevanceExplainOptions.taken_from(options)
    use_threads(jobs)
    console = make_console(quiet=quiet)
    if are_tracks(movies):
        return explain_tracks(movies, model, output, console, as_json, asked, overwrite=overwrite)
    results, errors = _each(movies, model, output, console, asked, overwrite=overwrite)
    for name, error in errors:
        click.echo(f"Error: {name}: {error}".replace("\n", "\n       "), err=True)
    if as_json:
        said = {
            "files": [result.document | {"folder": str(result.folder)} for result in results],
            "failed": [{"name": name, "error": str(error)} for name, error in errors],
        }
        click.echo(json.dumps(said, indent=1, ensure_ascii=False, default=str))
    return 3 if errors else 0


def _each(
    names: Sequence[str],
    model: str,
    output: str | None,
    console: Console,
    asked: RelevanceExplainOptions,
    *,
    overwrite: bool,
) -> tuple[list[Explained], list[tuple[str, Exception]]]:
    """Explain movies one after the other; of several, one that fails stops no other."""
    from rich.markup import escape

    from spt_explain.cli.console import make_progress
    from spt_explain.errors import SptError
    from spt_explain.movies.sequence import find_movies
    from spt_explain.relevance import explain_relevance
    from spt_explain.report.relevance_files import model_folder

    model_folder(Path(model))  # told once, not for each movie
    found = find_movies(list(names))
    results: list[Explained] = []
    errors: list[tuple[str, Exception]] = []
    for movie, folder in zip(found, _folders(found, output), strict=True):
        console.print(f"[bold]{escape(movie.name)}[/bold]")
        try:
            with make_progress(console) as progress:
                result = explain_relevance(
                    movie,
                    model,
                    folder,
                    overwrite=overwrite,
                    command=["spt-explain", *sys.argv[1:]],
                    listener=make_listener(console, progress),
                    **dict(asked),
                )
        except SptError as error:
            if len(found) == 1:
                raise
            errors.append((movie.name, error))
            continue
        results.append(result)
        _say(console, result)
    if not results:
        raise SptError(
            f"not one of {len(found)} movies could be explained; the first: {errors[0][1]}",
            exit_code=2,
            code="no-data",
        )
    return results, errors


def _folders(found: Sequence[Movie], output: str | None) -> list[Path | None]:
    if output is None:
        return [None] * len(found)
    if len(found) == 1:
        return [Path(output)]
    from spt_explain.errors import SptError
    from spt_explain.relevance_explanation import default_folder

    folders: list[Path | None] = [Path(output) / default_folder(one.name).name for one in found]
    if len(set(folders)) < len(folders):
        raise SptError(
            "several movies have the same name, so their results in one folder would, too.\n"
            "Leave -o out, or explain them one by one.",
            code="conflict",
        )
    Path(output).mkdir(parents=True, exist_ok=True)
    return folders


_MOST_TOLD = 6
"""Values of a signal, or categories, that are printed."""
_NEARLY_ALL = 0.9
"""Share of relevant pixels from which on nothing is singled out."""


def _say(console: Console, result: Explained) -> None:
    from rich.markup import escape

    for note in result.notes:
        console.print(f"  {escape(note)}", style="dim")
    found = result.document["found"]
    share = found["share_relevant"]
    told = ", ".join(f"{n} {v:.4g}" for n, v in list(found["predicted_mean"].items())[:_MOST_TOLD])
    console.print(f"  predicted, mean over the movie: {escape(told)}")
    console.print(
        f"  mean relevance {found['relevance']:.3f}, {100 * share:.3g} % of the pixels reach the "
        f"threshold; the most in frame {found['most_relevant_frame']:,}"
    )
    if share >= _NEARLY_ALL:
        console.print(
            "  nearly all pixels do: the threshold singles nothing out (the check of the share of "
            "pixels says why)",
            style="red",
        )
    say_checks(console, result.checks)
    files = ", ".join(path.name for path in result.files)
    console.print(f"→ {escape(str(result.folder))}: {escape(files)}")
