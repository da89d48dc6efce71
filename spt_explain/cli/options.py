"""Options that several commands share: the same word, default and unit everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.errors import SptError
from spt_explain.resandi import DEFAULT_THRESHOLD
from spt_explain.tracks.policy import QualityPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    F = TypeVar("F", bound=Callable[..., Any])

REMEMBERED = (
    "columns", "pixel_size_um", "frame_interval_s", "override_units", "all_tracks", "tracking",
    "min_length", "gaps", "max_gap", "branches", "every",
    "weights", "threshold", "exposure", "alone",
)  # fmt: skip
"""Options of `classify` that `explain` without an input takes over."""
ROLES = ("particle", "frame", "x", "y", "z", "t")


def stacked(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Return what adds several options, in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
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


def unit_options(function: F) -> F:
    """Add the size of a pixel and the time between frames."""
    return stacked(
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
    )(function)


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
        unit_options,
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


def label_option(function: F) -> F:
    """Add the column of class names of labelled tracks."""
    return stacked(
        click.option(
            "--label-column",
            default="class",
            show_default=True,
            metavar="NAME",
            help="Column of --data with the class names.",
        )
    )(function)


def quality_options(function: F) -> F:
    """Add the policy for gaps, branches and short tracks."""
    return stacked(
        number_option(
            "--min-length",
            int,
            default=QualityPolicy.min_length,
            metavar="POINTS",
            help="Shortest track, in points, that is classified.",
        ),
        choice_option(
            "--gaps",
            ["fill", "split", "keep", "drop"],
            default=QualityPolicy.gaps,
            help="fill: fill gaps up to --max-gap by straight lines, split at longer ones; split: "
            "split at every gap; keep: ignore gaps; drop: leave tracks with gaps out.",
        ),
        number_option(
            "--max-gap",
            int,
            default=QualityPolicy.max_gap,
            metavar="FRAMES",
            help="Longest gap, in missing frames, that --gaps fill fills.",
        ),
        choice_option(
            "--branches",
            ["skip", "split"],
            default=QualityPolicy.branches,
            help="Tracks that split or merge: leave them out (listed), or cut them at the branch "
            "points where the file holds the links (TrackMate's full XML).",
        ),
    )(function)


def policy_of(options: Mapping[str, Any]) -> QualityPolicy:
    """Return what `quality_options` gave."""
    names = ("min_length", "gaps", "max_gap", "branches", "every")
    return QualityPolicy(**_some(options, [name for name in names if name in options]))


def network_options(function: F) -> F:
    """Add which weights, run by what, where."""
    return stacked(
        click.option(
            "--weights",
            metavar="NAME",
            help="Weights to use; spt-explain weights list lists them. Default: the best shipped.",
        ),
        choice_option(
            "--backend",
            ["auto", "onnx", "torch"],
            default="auto",
            help="What runs the network: torch, ONNX Runtime, or whichever is faster: torch on an "
            "NVIDIA GPU, ONNX Runtime on the CPU.",
        ),
        choice_option(
            "--device",
            ["auto", "cuda", "mps", "cpu"],
            default="auto",
            help="Where it runs; auto takes the GPU if it can be used.",
        ),
        choice_option(
            "--precision",
            ["auto", "float16", "tf32", "float32"],
            default="auto",
            help="Of multiplications on a GPU; auto is float16, float32 the reference. Sums, and "
            "all on the CPU, are in float32.",
        ),
        click.option(
            "--batch-size",
            type=int,
            metavar="N",
            help="Windows of 1024 frames at a time, shorter ones in proportion. Default: 64 on the "
            "CPU; on a GPU 2048 (torch) or 1024.",
        ),
        click.option("--jobs", type=int, metavar="N", help="CPU threads. Default: all cores."),
    )(function)


def network_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `network_options` gave."""
    return _some(options, ("weights", "backend", "device", "precision", "batch_size", "jobs"))


def judging_options(function: F) -> F:
    """Add how each track of a file is judged."""
    return stacked(
        number_option(
            "--threshold",
            float,
            default=DEFAULT_THRESHOLD,
            metavar="P",
            help="A track whose best class is less probable than this is 'undetermined'.",
        ),
        number_option(
            "--exposure",
            float,
            default=DEFAULT_EXPOSURE,
            metavar="SHARE",
            help="Share of the frame that the shutter is open, 0 to 1 (exposure time / frame "
            "interval): motion blur, which sigma_loc_um is corrected for. D_um2_s does not depend "
            "on it.",
        ),
        click.option(
            "--alone",
            is_flag=True,
            help="Judge each track without what the file's other tracks show of noise and motion "
            "blur.",
        ),
        click.option(
            "--every",
            type=int,
            metavar="N",
            help="Judge tracks by every N-th frame, averaged over the ways to begin; each then "
            "needs N times --min-length points. Default: every frame, but for movies that were "
            "compressed as video, as they show.",
        ),
    )(function)


def judging_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `network_options` and `judging_options` gave, as a classifier takes it."""
    return {**network_of(options), **_some(options, ("threshold", "alone"))}


def rememberable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `explain` without an input needs; a file is found from other folders, too."""
    settings = _some(options, REMEMBERED)
    if settings["tracking"] is not None:
        settings["tracking"] = str(Path(settings["tracking"]).absolute())
    return settings


def labelled_options(function: F) -> F:
    """Add the columns of labelled tracks."""
    return stacked(
        label_option,
        click.option(
            "--columns",
            multiple=True,
            metavar="ROLE=NAME,…",
            help="Column names of --data (or numbers, from 1) for particle, frame, x, y or t. "
            "Default: found by name.",
        ),
    )(function)


def recorded_options(function: F) -> F:
    """Add how simulated tracks are recorded."""
    return stacked(
        number_option(
            "--exposure",
            float,
            default=0.0,
            metavar="SHARE",
            help="Motion blur of simulated tracks: share of the frame, 0 to 1, that the shutter is "
            "open.",
        ),
        number_option(
            "--missing",
            float,
            default=0.0,
            metavar="SHARE",
            help="Share of the frames of simulated tracks that are missed, and filled by lines.",
        ),
    )(function)


def refuse_unused(
    context: click.Context, with_data: bool, *, simulated: Sequence[str], of_files: Sequence[str]
) -> None:
    """Refuse options that were given and would do nothing, with or without ``--data``."""
    for name in simulated if with_data else of_files:
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            option = "--" + name.replace("_", "-")
            what = "simulated tracks, and --data was given" if with_data else "--data"
            raise SptError(f"{option} is for {what}. Leave one of the two out.", code="conflict")


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
    return stacked(
        click.option(
            "--plot/--no-plot",
            default=True,
            show_default=True,
            help="Draw figures, or only tables.",
        ),
        figure_format_option("png", "svg"),
    )(function)


def figure_format_option(*default: str) -> Callable[[F], F]:
    """Return the option for the format of figures."""
    return click.option(
        "--figure-format",
        type=click.Choice(["png", "svg", "pdf"]),
        multiple=True,
        default=default,
        show_default=True,
        help="Format of the figures; may be given several times.",
    )


def saying_options(
    replaced: str, printed: str = "the summary as JSON on standard output"
) -> Callable[[F], F]:
    """Return what adds whether results are replaced, and how much is said."""
    return stacked(
        click.option("--overwrite", is_flag=True, help=f"Replace {replaced}."),
        click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors."),
        click.option("--json", "as_json", is_flag=True, help=f"Print {printed}."),
        click.option("--debug", is_flag=True, help="Show a traceback when something fails."),
    )


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


def parse_length(text: str) -> tuple[int, int]:
    """Turn ``10-1000``, or ``1000``, into fewest and most points.

    Raises
    ------
    SptError
        If it is neither.
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*(?:(?:-|–|\.\.)\s*(\d{1,9}))?\s*", text)
    if found is None:
        raise SptError(
            f"--length {text!r} was not understood; expected one whole number of points, or two "
            "with a hyphen between them, e.g. --length 10-1000."
        )
    return int(found[1]), int(found[2] or found[1])
