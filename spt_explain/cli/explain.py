"""``spt-explain explain``: why the network says so, track by track."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import (
    network_options,
    parse_columns,
    quality_options,
    reading_options,
)
from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError, printable
from spt_explain.resandi import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from spt_explain.explain.reasons import Explainer

EXAMPLE = "quickstart.csv"
_REMEMBERED = (
    "columns", "pixel_size_um", "frame_interval_s", "override_units", "all_tracks", "min_length",
    "gaps", "max_gap", "branches", "weights", "threshold", "exposure", "alone",
)  # fmt: skip
"""Options that `explain` without an input takes over from the last `classify`."""


@click.command("explain")
@click.argument("inputs", nargs=-1, metavar="[INPUT…]")
@click.option(
    "--method",
    type=click.Choice(["auto", "gradcam", "layercam", "integrated-gradients", "occlusion"]),
    default="auto",
    show_default=True,
    help="auto: the finest that passes the check at the track's length (integrated-gradients, a "
    "score for each frame). gradcam: at the speed of classify, a score for every 32 frames.",
)
@click.option(
    "--layer",
    type=click.Choice(["block1", "block2", "block3", "block4"]),
    default="block4",
    show_default=True,
    help="Of gradcam and layercam: a score for every 4, 8, 16 or 32 frames.",
)
@click.option(
    "--class",
    "class_name",
    metavar="CLASS",
    help="Class to explain. Default: each track's most probable one.",
)
@click.option(
    "--against",
    metavar="CLASS",
    help="Class of the contrast (column score_contrast). Default: the most probable other one.",
)
@click.option(
    "--of",
    type=click.Choice(["log-odds", "probability", "logit"]),
    default="log-odds",
    show_default=True,
    help="What a score is of: the class's log-odds, its probability (the paper's Eq. 1; the same "
    "ranking within a track), or its logit (the authors' code).",
)
@click.option(
    "--draws",
    type=int,
    default=20,
    show_default=True,
    metavar="N",
    help="Random erasures that each explanation is checked against; 0 for no check, which is 20 "
    "times as fast.",
)
@click.option(
    "--share",
    type=float,
    default=0.2,
    show_default=True,
    metavar="SHARE",
    help="Share of a track's frames that the check erases.",
)
@click.option(
    "--erase",
    type=click.Choice(["cut", "rest", "line"]),
    default="cut",
    show_default=True,
    help="How the check erases frames: cut them out and join the rest, let the particle rest, or "
    "draw a straight line.",
)
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Of the check.")
@click.option(
    "--particle",
    "only",
    type=int,
    multiple=True,
    metavar="N",
    help="Explain this particle only; may be given several times. With --plot, each gets a figure.",
)
@click.option("--plot", is_flag=True, help="Draw figures: a contact sheet and single tracks.")
@click.option(
    "--figure-format",
    type=click.Choice(["png", "svg", "pdf"]),
    multiple=True,
    default=("png",),
    show_default=True,
    help="Format of the figures; may be given several times.",
)
@click.option(
    "--picks",
    type=int,
    default=3,
    show_default=True,
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
@click.option(
    "--threshold",
    type=float,
    default=DEFAULT_THRESHOLD,
    show_default=True,
    metavar="P",
    help="A track whose best class is less probable than this is 'undetermined'.",
)
@click.option(
    "--exposure",
    type=float,
    default=DEFAULT_EXPOSURE,
    show_default=True,
    metavar="SHARE",
    help="Share of the frame that the shutter is open, 0 to 1; for sigma_loc_um.",
)
@click.option(
    "--alone",
    is_flag=True,
    help="Judge each track without what the file's other tracks show of noise and motion blur.",
)
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
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output."
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.pass_context
def command(
    context: click.Context,
    /,
    inputs: tuple[str, ...],
    method: Any,
    layer: str,
    class_name: str | None,
    against: str | None,
    of: Any,
    draws: int,
    share: float,
    erase: Any,
    seed: int,
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
    from spt_explain.cli.explained import make_listener, print_summary
    from spt_explain.explain.reasons import How
    from spt_explain.explanation import Pictures, explain_files
    from spt_explain.tracks import QualityPolicy

    _check(context, plot=plot, movie=movie, method=method)
    if picks < 1:
        raise SptError(f"--picks is {picks}; expected at least 1.")
    if seed < 0:
        raise SptError(f"--seed is {seed}; expected 0 or more.")
    how = How(
        method=method,
        layer=layer,
        class_name=class_name or "",
        against=against or "",
        of=of,
        draws=draws,
        share=share,
        erase=erase,
        seed=seed,
    )
    console = make_console(quiet=quiet)
    inputs, output, options = _inputs(context, console, inputs, output, options)
    policy = QualityPolicy(
        **{name: options[name] for name in ("min_length", "gaps", "max_gap", "branches")}
    )
    reading = {
        name: options[name]
        for name in ("pixel_size_um", "frame_interval_s", "override_units", "all_tracks")
    } | {"columns": parse_columns(options["columns"])}
    network = ("weights", "backend", "device", "batch_size", "jobs", "threshold", "alone")

    def make_explainer() -> Explainer:
        from spt_explain.explain.reasons import Explainer

        return Explainer(how, **{name: options[name] for name in network})

    pictures = Pictures(
        tracks=plot,
        formats=tuple(dict.fromkeys(figure_format)),
        picks=picks,
        movie=Path(movie) if movie is not None else None,
        animate=animate or "",
    )
    with make_progress(console) as progress:
        results = explain_files(
            inputs,
            make_explainer,
            policy=policy,
            exposure=options["exposure"],
            reading=reading,
            only=only,
            output=output,
            fmt=fmt,
            overwrite=overwrite,
            pictures=pictures,
            page=Path(page) if page is not None else None,
            command=["spt-explain", *sys.argv[1:]],
            listener=make_listener(console, progress, movie=movie is not None),
        )
    failed = [r for r in results if r.failed]
    problems = list(dict.fromkeys(problem for r in results for problem in r.problems))
    print_summary(console, results)
    code = 1 if problems else 3 if failed else 0
    if as_json:
        summary = {
            "exit_code": code,
            "files": [
                {
                    **r.report,
                    "name": r.name,
                    "also_named": list(r.again),
                    "outputs": [printable(str(path)) for path in r.outputs],
                    "seconds": {k: round(v, 3) for k, v in r.seconds.items()},
                }
                for r in results
                if r.done
            ],
            "failed": [{"name": r.name, "error": str(r.error)} for r in failed],
            "problems": [str(problem) for problem in problems],
            "skipped": [{"name": r.name, "reason": str(r.error)} for r in results if r.skipped],
        }
        click.echo(json.dumps(summary, indent=1, ensure_ascii=False))
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
        raise SptError("--picks is for the figures of --plot; give that too.")
    if not plot and movie is None and "figure_format" in given:
        raise SptError("--figure-format is for the figures of --plot and --movie; give one.")
    if "layer" in given and method not in ("gradcam", "layercam"):
        raise SptError(
            f"--layer is for --method gradcam and layercam, not {method}; give one of the two."
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
            "INPUT was named. Name what to explain."
        )
    if there:
        known = {name: settings[name] for name in _REMEMBERED if name in settings}
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
