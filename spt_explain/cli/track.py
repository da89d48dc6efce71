"""``spt-explain track``: movies in, tracks out, with what was assumed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import GroupedCommand, options_from, saying_options
from spt_explain.movies.settings import TrackingSettings
from spt_explain.tracks.units import UnitOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.tracking import TrackedFile, TrackListener

_SETTINGS = (
    "channel", "z", "diameter", "minmass", "search_range", "memory", "dark", "drift",
)  # fmt: skip
"""Options that are settings of the tracking, by the same names."""
_SAID = {
    "diameter": ("diameter", "{:,} px"),
    "minmass": ("minmass", "{:,g}"),
    "lone_mass": ("lone spots", "{:,g}"),
    "search_range": ("search range", "{:g} px"),
    "memory": ("memory", "{:,}"),
}


@click.command("track", cls=GroupedCommand)
@click.argument("stacks", nargs=-1, required=True, metavar="STACK…")
@options_from(TrackingSettings, *_SETTINGS)
@click.option(
    "--parameters",
    metavar="FILE.toml",
    help="Track as this file says, which an earlier run wrote (NAME.tracking.toml); options that "
    "are given besides count more. Default: every value is found from the movie.",
)
@options_from(UnitOptions)
@click.option(
    "--preview",
    is_flag=True,
    help="Also draw NAME.preview.png: the first, the middle and the densest frame with the spots "
    "circled, and the brightness of all that might be one.",
)
@click.option(
    "--preview-only",
    is_flag=True,
    help="Draw that picture from a few frames, and track nothing: to try parameters quickly.",
)
@click.option(
    "--trackmate",
    metavar="FILE.xml|FOLDER/",
    help="Also write a file that TrackMate opens with the movie in Fiji; for several movies a "
    "folder of them. Default: none.",
)
@click.option("--jobs", type=int, metavar="N", help="Frames at a time. Default: as many as cores.")
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER/|-",
    help="The table of one movie (.csv, .parquet, .json), a folder for a table each (end a new one "
    "with /), or - for standard output. Default: NAME.tracks.csv beside each movie.",
)
@click.option(
    "--format",
    "fmt",
    type=click.Choice(["csv", "parquet", "json"]),
    help="Table format; classify reads CSV. Default: what -o ends in, else csv.",
)
@saying_options("outputs that exist")
def command(
    stacks: tuple[str, ...],
    parameters: str | None,
    preview: bool,
    preview_only: bool,
    trackmate: str | None,
    jobs: int | None,
    output: str | None,
    fmt: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Find the spots of a movie and link them to tracks, and say how.

    STACK is a movie: TIFF of any kind, ND2 or CZI; a folder of single frames; a folder of movies,
    or a glob. Every parameter is found from the movie itself and shown with its reason; an option
    replaces it.

    \b
    Example:
        spt-explain track movie.tif --preview

    \b
    writes movie.tracks.csv (a row for each position, in µm where the pixel size is known),
    movie.tracks.json (how it was made), movie.tracking.toml (the parameters, for --parameters)
    and movie.preview.png (to see whether the spots were found). spt-explain classify reads
    movie.tracks.csv as it is.
    """
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.cli.many import summary
    from spt_explain.errors import SptError
    from spt_explain.tracking import track_files

    if as_json and output == "-":
        raise SptError(
            "--json and -o - both want standard output; give one of the two.", code="conflict"
        )
    settings = _settings(parameters, options)
    console = make_console(quiet=quiet)
    with make_progress(console) as progress:
        results, stdout = track_files(
            stacks,
            settings,
            **dict(UnitOptions.taken_from(options)),
            jobs=jobs,
            output=output,
            fmt=fmt,
            preview=preview,
            preview_only=preview_only,
            trackmate=trackmate,
            read_from=parameters,
            overwrite=overwrite,
            command=["spt-explain", *sys.argv[1:]],
            listener=_make_listener(console, progress),
        )
    if stdout:
        from spt_explain.report.tables import write_stdout

        write_stdout(stdout, sys.stdout.buffer)
    problems = [problem for result in results for problem in result.problems]
    code = 1 if problems else 3 if any(result.failed for result in results) else 0
    _print_summary(console, results)
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if as_json:
        said = summary(code, results, problems=[str(problem) for problem in problems])
        for file, result in zip(said["files"], (r for r in results if r.done), strict=True):
            file["notes"] = result.notes
        click.echo(json.dumps(said, indent=1, ensure_ascii=False, default=str))
    return code


def _settings(parameters: str | None, options: Mapping[str, Any]) -> TrackingSettings:
    """Return what a parameter file says, and over it what was given."""
    from spt_explain.movies.parameter_file import override, read_parameters

    source = click.get_current_context().get_parameter_source
    given = {
        name: options[name]
        for name in _SETTINGS
        if source(name) is not click.core.ParameterSource.DEFAULT
    }
    read = TrackingSettings() if parameters is None else read_parameters(parameters)
    return override(read, **given)


def _make_listener(console: Console, bar: Progress) -> TrackListener:
    from rich.markup import escape

    from spt_explain.cli.many import FilePrinter
    from spt_explain.tracking import TrackListener

    class Printer(FilePrinter, TrackListener):
        """Says what is found in each movie, and how far the present one has come."""

        def reading(self, name: str, index: int, total: int) -> None:
            super().reading(name, index, total)
            self.show(f"opening {index + 1}/{total}", 0, 0)

        def read(self, tracks: Any) -> None:
            pass  # said once it is tracked

        def located(self, done: int, total: int, spots: int | None) -> None:
            density = "" if spots is None else f" · {spots / max(done, 1):,.3g} a frame"
            self.show("locating", done, total, f"frames{density}")

        def tracked(self, result: TrackedFile) -> None:
            self.show("writing", 0, 0)
            for line in describe(result):
                console.print(line)
            for note in result.notes:
                console.print(f"  {escape(note)}", style="dim")

    return Printer(console, bar)


def describe(result: TrackedFile) -> list[str]:
    """Return what is printed of a movie: format, units, parameters with their reasons, counts."""
    from rich.markup import escape

    report = result.report
    settings, reasons = report["settings"], report["reasons"]
    rows = [
        (label, form.format(settings[name]), reasons.get(name, "given"))
        for name, (label, form) in _SAID.items()
        if settings[name] is not None and not (name == "lone_mass" and settings[name] == 0)
    ]
    rows.append(("spots", "dark" if settings["dark"] else "bright", reasons.get("dark", "given")))
    if settings["drift"]:
        drift = report.get("drift_px")
        far = f"subtracted, {drift['most']:g} px at most" if drift else "not subtracted"
        rows.append(("drift", far, reasons.get("drift", "given")))
    width = max(len(label) for label, *_ in rows), max(len(value) for _, value, _ in rows)
    lines = [f"[bold]{escape(result.name)}[/bold]  {escape(report['format'])} · {_units(report)}"]
    lines += [
        f"  {label:<{width[0]}}  {value:<{width[1]}}  {escape(why)}" for label, value, why in rows
    ]
    lines.append(f"  [bold]{escape(_counts(report))}[/bold]")
    return lines


def _counts(report: Mapping[str, Any]) -> str:
    from spt_explain.report.track_report import LONG_TRACK

    if "tracks" not in report:
        shown = ", ".join(f"{count:,} in frame {index}" for index, count in _spots_in(report))
        return f"spots: {shown} ({report['frames']:,} frames in all)"
    frame = report["spots_per_frame"]
    spots, median = report["spots"], report["points"]["median"]
    said = [
        f"{spots:,} spots in {report['frames']:,} frames ({frame['mean']:,.3g} a frame)",
        f"{report['tracks']:,} tracks",
        f"median length {median:,g} points",
        f"{report[f'tracks_of_{LONG_TRACK}_points']:,} of {LONG_TRACK} points or more",
    ]
    error = report["static_error_px"]
    if error is not None:
        micro = report["static_error_um"]
        known = f"{error:.2g} px" if micro is None else f"{1000 * micro:.3g} nm"
        said.append(f"static localisation error {known}")
    return " · ".join(said)


def _spots_in(report: Mapping[str, Any]) -> list[tuple[str, int]]:
    return list(report["spots_in"].items())


def _units(report: Mapping[str, Any]) -> str:
    from types import SimpleNamespace

    from rich.markup import escape

    from spt_explain.cli.many import units_in_words

    tracks: Any = SimpleNamespace(calibration=SimpleNamespace(**report))
    return escape(units_in_words(tracks))


def _print_summary(console: Console, results: Sequence[TrackedFile]) -> None:
    from rich.markup import escape

    from spt_explain.cli.many import print_end
    from spt_explain.errors import printable

    done = [result.outputs for result in results if result.outputs]
    if len(done) == 1:
        console.print(f"→ {escape(', '.join(printable(str(path)) for path in done[0]))}")
    elif done:
        shown = ", ".join(printable(str(paths[0])) for paths in done[:8])
        more = f" and {len(done) - 8} more" if len(done) > 8 else ""
        n_others = sum(map(len, done)) - len(done)
        others = f", and what belongs to them: {n_others} files" if n_others else ""
        console.print(f"→ {escape(shown)}{more}{others}")
    left_out = [result.name for result in results if result.skipped]
    if left_out:
        more = f" and {len(left_out) - 4} more" if len(left_out) > 4 else ""
        said = f"no movies, left out: {', '.join(left_out[:4])}{more}"
        console.print(escape(said), style="dim")
    print_end(console, results)
