"""Options that several commands share: the same word, default and unit everywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spt_explain.errors import SptError
from spt_explain.tracks.policy import QualityPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    F = TypeVar("F", bound=Callable[..., Any])

ROLES = ("particle", "frame", "x", "y", "z", "t")


def _stack(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def reading_options(function: F) -> F:
    """Add what a file does not say itself."""
    return _stack(
        click.option(
            "--columns",
            multiple=True,
            metavar="ROLE=NAME,…",
            help="Column names (or numbers, from 1) for particle, frame, x, y, z or t (seconds), "
            "e.g. particle=Track,frame=Slice,x=X,y=Y. Default: found by name.",
        ),
        click.option(
            "--pixel-size-um",
            type=float,
            metavar="UM",
            help="Size of a pixel in µm, where the file does not say it.",
        ),
        click.option(
            "--frame-interval-s",
            type=float,
            metavar="S",
            help="Time between frames in seconds, where the file does not say it.",
        ),
        click.option(
            "--override-units",
            is_flag=True,
            help="Let the two options above replace what the file says. Default: they fill in.",
        ),
        click.option(
            "--all-tracks",
            is_flag=True,
            help="TrackMate's save files: also the tracks its filters hid. Default: only those "
            "kept.",
        ),
    )(function)


def label_option(function: F) -> F:
    """Add the column of class names of labelled tracks."""
    return _stack(
        click.option(
            "--label-column",
            default="class",
            show_default=True,
            metavar="NAME",
            help="Column of --data with the class names.",
        ),
    )(function)


def quality_options(function: F) -> F:
    """Add the policy for gaps, branches and short tracks."""
    return _stack(
        click.option(
            "--min-length",
            type=int,
            default=QualityPolicy.min_length,
            show_default=True,
            metavar="POINTS",
            help="Shortest track, in points, that is classified.",
        ),
        click.option(
            "--gaps",
            type=click.Choice(["fill", "split", "keep", "drop"]),
            default=QualityPolicy.gaps,
            show_default=True,
            help="fill: fill gaps up to --max-gap by straight lines, split at longer ones; split: "
            "split at every gap; keep: ignore gaps; drop: leave tracks with gaps out.",
        ),
        click.option(
            "--max-gap",
            type=int,
            default=QualityPolicy.max_gap,
            show_default=True,
            metavar="FRAMES",
            help="Longest gap, in missing frames, that --gaps fill fills.",
        ),
        click.option(
            "--branches",
            type=click.Choice(["skip", "split"]),
            default=QualityPolicy.branches,
            show_default=True,
            help="Tracks that split or merge: leave them out (listed), or cut them at the branch "
            "points where the file holds the links (TrackMate's full XML).",
        ),
    )(function)


def network_options(function: F) -> F:
    """Add which weights, run by what, where."""
    return _stack(
        click.option(
            "--weights",
            metavar="NAME",
            help="Weights to use; spt-explain weights list lists them. Default: the best shipped.",
        ),
        click.option(
            "--backend",
            type=click.Choice(["onnx", "torch"]),
            default="onnx",
            show_default=True,
            help="What runs the network: ONNX Runtime or torch.",
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cuda", "mps", "cpu"]),
            default="auto",
            show_default=True,
            help="Where it runs; auto takes the GPU if it can be used.",
        ),
        click.option(
            "--batch-size",
            type=int,
            metavar="N",
            help="Windows at a time. Default: 64 on the CPU, 1024 on a GPU.",
        ),
        click.option("--jobs", type=int, metavar="N", help="CPU threads. Default: all cores."),
    )(function)


def output_options(function: F) -> F:
    """Add where results go and how much is said."""
    return _stack(
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
        click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
        click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print the summary as JSON on standard output."
        ),
        click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
    )(function)


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
                raise SptError(f"--columns names {role} twice: {columns[role]!r} and {name!r}.")
            columns[role] = name
    return columns or None
