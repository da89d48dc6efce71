"""``spt-explain relevance evaluate``: how good relevance maps are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, options_from, saying_options
from spt_explain.cli.relevance.fit import jobs_option, make_listener, use_threads
from spt_explain.xddpm.options import RelevanceEvaluateOptions

if TYPE_CHECKING:
    from rich.console import Console

    from spt_explain.relevance_evaluation import RelevanceEvaluation


@click.command("evaluate", cls=GroupedCommand)
@click.argument("movies", nargs=-1, required=True, metavar="MOVIES…")
@click.option(
    "--model", multiple=True, required=True, metavar="FOLDER",
    help="What spt-explain relevance fit wrote; several are seeds of one fit, over which is "
    "averaged.",
)  # fmt: skip
@options_from(RelevanceEvaluateOptions)
@click.option(
    "--plot/--no-plot", default=True, show_default=True, help="Draw figures, or only tables."
)
@jobs_option
@click.option(
    "-o", "--output", default="relevance.evaluation", show_default=True, metavar="FOLDER",
    help="Folder of the results.",
)  # fmt: skip
@saying_options("a folder of results that exists")
def command(
    movies: tuple[str, ...],
    model: tuple[str, ...],
    plot: bool,
    jobs: int | None,
    output: str,
    overwrite: bool,
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

    asked = RelevanceEvaluateOptions.taken_from(options if plot else {**options, "formats": ()})
    use_threads(jobs)
    console = make_console(quiet=quiet)
    with make_progress(console) as progress:
        result = evaluate_relevance(
            list(model),
            list(movies),
            output,
            overwrite=overwrite,
            command=["spt-explain", *sys.argv[1:]],
            listener=make_listener(console, progress),
            **dict(asked),
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
