"""``spt-explain relevance evaluate``: how good relevance maps are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import figure_options, saying_options
from spt_explain.cli.relevance.fit import device_option, jobs_option, make_listener, use_threads

if TYPE_CHECKING:
    from rich.console import Console

    from spt_explain.relevance_evaluation import RelevanceEvaluation


@click.command("evaluate")
@click.argument("movies", nargs=-1, required=True, metavar="MOVIES…")
@click.option(
    "--model", multiple=True, required=True, metavar="FOLDER",
    help="What spt-explain relevance fit wrote; several are seeds of one fit, over which is "
    "averaged.",
)  # fmt: skip
@click.option(
    "--signal", metavar="FILE|FILE:COLUMN|area|…",
    help="As for fit. Default: what the model was fitted to, from a table beside the movies.",
)  # fmt: skip
@click.option(
    "--truth", metavar="FOLDER",
    help="Masks with the movies' names, not 0 where a pixel carries the signal. Default: what "
    "spt-explain simulate put beside the movies; without it what needs no truth is measured.",
)  # fmt: skip
@click.option(
    "--baselines/--no-baselines", default=True, show_default=True,
    help="Measure the seven methods of the paper as well, on the models' regressors.",
)  # fmt: skip
@click.option(
    "--definition", type=click.Choice(["textbook", "paper"]), default="textbook",
    show_default=True, help="Of these methods: as in the literature, or Eqs. 24-30 of the paper.",
)  # fmt: skip
@click.option(
    "--yardstick", metavar="FOLDER",
    help="A model fitted with --recipe yardstick, which is asked about missing pixels. Default: "
    "such a regressor is fitted here, to half of the movies (of 120 at least).",
)  # fmt: skip
@click.option(
    "--yardstick-steps", type=click.IntRange(min=1), default=1500, show_default=True, metavar="N",
    help="Steps of that fit.",
)  # fmt: skip
@click.option(
    "--subsets", type=click.IntRange(min=3), default=200, show_default=True, metavar="N",
    help="Random sets of half of the pixels of each clip, for Sensitivity-n.",
)  # fmt: skip
@click.option(
    "--curves/--no-curves", default=True, show_default=True, help="Insert and delete pixels."
)
@click.option(
    "--encoding/--no-encoding", default=True, show_default=True,
    help="Look whether masks alone tell the signal.",
)  # fmt: skip
@click.option(
    "--published",
    is_flag=True,
    help="Put the paper's Table 1 beside it (tension and wetting, area and circumference).",
)
@click.option(
    "--most-clips", type=click.IntRange(min=8), default=400, show_default=True, metavar="N",
    help="Clips at most, half of them to choose thresholds by; more are thinned out evenly.",
)  # fmt: skip
@figure_options
@device_option
@jobs_option
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
    help="Of what is drawn: halves of the movies, sets of pixels, noise.",
)  # fmt: skip
@click.option(
    "-o", "--output", default="relevance.evaluation", show_default=True, metavar="FOLDER",
    help="Folder of the results.",
)  # fmt: skip
@saying_options("a folder of results that exists")
def command(
    movies: tuple[str, ...],
    model: tuple[str, ...],
    plot: bool,
    figure_format: tuple[str, ...],
    jobs: int | None,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Measure how good relevance maps are, beside other methods.

    MOVIES is a folder that spt-explain simulate wrote, whose true pixels are known: IoU, average
    precision, Sensitivity-n, insertion and deletion, of the model, the paper's seven methods,
    floors (random, brightness, the whole cell, edges, an unrelated video) and the true map. Of
    other movies only what needs no truth. Movies that the model was fitted to are left out.

    \b
    Examples:
        spt-explain simulate tension --movies 200 --seed 99 -o test/
        spt-explain relevance evaluate test/ --model seed-1/ --model seed-2/ --published
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.relevance_evaluation import evaluate_relevance

    use_threads(jobs)
    console = make_console(quiet=quiet)
    with make_progress(console) as progress:
        result = evaluate_relevance(
            list(model),
            list(movies),
            formats=figure_format if plot else (),
            command=["spt-explain", *sys.argv[1:]],
            listener=make_listener(console, progress),
            **options,
        )
    _say(console, result)
    if as_json:
        from spt_explain.report.relevance_evaluation import DOCUMENT

        click.echo((result.folder / DOCUMENT).read_text(encoding="utf-8").rstrip())
    return 0


def _say(console: Console, result: RelevanceEvaluation) -> None:
    from rich.markup import escape
    from rich.table import Table

    from spt_explain.report.relevance_evaluation import MEASURES, ratio_lines

    found = result.comparison.table
    there = [m for m in MEASURES if m in found and found[m].notna().any()]
    table = Table("method", *(MEASURES[m] for m in there), box=None)
    for row in found.to_dict("records"):
        style = "bold" if row["role"] == "method" else "dim" if row["role"] != "baseline" else None
        cells = ["" if row[m] != row[m] else f"{row[m]:.3f}" for m in there]
        table.add_row(escape(str(row["method"])), *cells, style=style)
    console.print(table)
    for line in (*ratio_lines(result.comparison), *result.notes):
        console.print(f"  {escape(line)}", style="yellow" if "BEWARE" in line else "dim")
    files = ", ".join(path.name for path in result.files)
    console.print(f"→ {escape(str(result.folder))}: {escape(files)}")
