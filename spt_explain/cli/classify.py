"""``spt-explain classify``: any file of tracks in, a verdict for every track out."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from spt_explain.cli.options import (
    GroupedCommand,
    judging_of,
    judging_options,
    network_options,
    output_options,
    policy_of,
    quality_options,
    reading_of,
    reading_options,
    rememberable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from spt_explain.batch import FileResult
    from spt_explain.resandi.classifier import Classifier
    from spt_explain.tracks import QualityPolicy

_OTHER_STATUS = (
    "undetermined", "immobile", "too short", "branched", "duplicate frames", "gapped",
)  # fmt: skip


@click.command("classify", cls=GroupedCommand)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT…")
@reading_options
@quality_options
@network_options
@judging_options
@output_options
@click.option(
    "--keep-columns/--no-keep-columns",
    default=None,
    help="Add those other columns of the input that are the same in all rows of each track (a "
    "condition, a cell), by their names; one that a verdict table has gets the suffix _source. "
    "Default: with Parquet only.",
)
def command(
    inputs: tuple[str, ...],
    output: str | None,
    fmt: str | None,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
    keep_columns: bool | None,
    debug: bool,  # noqa: ARG001 - read by `main` from the arguments
    **options: Any,
) -> int:
    """Say which mechanism moves each particle, how sure that is, and what was left out.

    INPUT is a file of tracks from any program (TrackMate XML or CSV, trackpy, MOSAIC, saSPT,
    Imaris, … — gzipped or not), a movie, a folder, a glob, or - for standard input. The
    content decides, not the name.

    \b
    Example:
        spt-explain classify tracks.csv --pixel-size-um 0.11 --frame-interval-s 0.02

    \b
    writes tracks.verdicts.csv (a row for each track) and tracks.verdicts.json (how it was made).

    The table also holds alpha_msd (exponent of the time-averaged MSD), and where the units are
    known D_um2_s and sigma_loc_um (diffusion coefficient and localisation error by the covariance
    estimator: of Brownian motion; for the other classes the apparent D over one to two frames).
    The fractions that are printed, and stored in the .json, are of all tracks that were classified
    or are undetermined, corrected for the network's known confusions, with 95 % intervals.
    """
    from spt_explain.batch import classify_files, expected_points
    from spt_explain.cli.console import make_console, make_progress
    from spt_explain.cli.many import summary
    from spt_explain.clock import process_start
    from spt_explain.errors import SptError
    from spt_explain.last_run import remember

    if as_json and output == "-":
        raise SptError(
            "--json and -o - both want standard output; give one of the two.", code="conflict"
        )
    policy = policy_of(options)

    def make_classifier() -> Classifier:
        from spt_explain.resandi.classifier import Classifier

        return Classifier(**judging_of(options), points=expected_points(inputs))

    console = make_console(quiet=quiet)
    with make_progress(console) as progress:
        results, stdout = classify_files(
            inputs,
            make_classifier,
            policy=policy,
            exposure=options["exposure"],
            reading=reading_of(options),
            output=output,
            fmt=fmt,
            overwrite=overwrite,
            command=["spt-explain", *sys.argv[1:]],
            listener=_make_listener(console, progress),
            jobs=options["jobs"],
            keep_columns=keep_columns,
            started=process_start(),
        )
    if stdout:
        from spt_explain.report.tables import write_stdout

        write_stdout(stdout, sys.stdout.buffer)
    remember([r.source for r in results if r.done], rememberable(options))
    code = 3 if any(r.failed for r in results) else 0
    _print_summary(console, results, policy)
    if as_json:
        click.echo(json.dumps(summary(code, results), indent=1, ensure_ascii=False))
    return code


def _make_listener(console: Console, progress: Progress) -> Any:
    from spt_explain.cli.many import FilePrinter

    class Printer(FilePrinter):
        """Says what is done to the present file, and how far it has come."""

        def reading(self, name: str, index: int, total: int) -> None:
            super().reading(name, index, total)
            self.show(f"reading {index + 1}/{total}", 0, 0)

        def progress(self, what: str, done: int, total: int) -> None:
            self.show("classifying" if what == "windows" else "tracking", done, total, what)

        def ready(self, engine: Classifier) -> None:
            self.network(engine)

    return Printer(console, progress)


def _print_summary(console: Console, results: Sequence[FileResult], policy: QualityPolicy) -> None:
    from rich.markup import escape

    from spt_explain.cli.many import print_end
    from spt_explain.diffusion import CLASSES
    from spt_explain.errors import printable

    done = [r for r in results if r.done]
    counts = {r.name: r.report for r in done}
    seen = [c.name for c in CLASSES if any(c.name in one["classes"] for one in counts.values())]
    shown = [s for s in _OTHER_STATUS if any(s in one["status"] for one in counts.values())]
    console.print()
    if len(counts) == 1:
        console.print(_one_file(next(iter(counts.values())), seen, shown))
    else:
        _print_many(console, counts, seen, shown)
        console.print("classes: tracks or segments (median probability)", style="dim")
    said = _fractions_line(done)
    if said:
        console.print(escape(said), style="dim")
    said = _recording_line(done)
    if said:
        console.print(escape(said))
    said = _policy_line(done, policy)
    if said:
        console.print(escape(said))
    outputs = list(dict.fromkeys(path for r in done for path in r.outputs))
    if outputs:
        rows = sum(one["rows"] for one in counts.values())
        named = ", ".join(printable(str(path)) for path in outputs[:4])
        more = f" and {len(outputs) - 4} more" if len(outputs) > 4 else ""
        console.print(f"→ {escape(named)}{more} ({rows:,} rows)")
    print_end(console, results)


def _one_file(one: dict[str, Any], seen: list[str], shown: list[str]) -> Table:
    """Return a table with a row for each class and each other status."""
    from spt_explain.cli.console import plain_table
    from spt_explain.diffusion import CLASSES

    table = plain_table("class", "tracks", "median probability", "fraction (95 %)", "")
    longest = max([c["count"] for c in one["classes"].values()], default=1)
    fractions = _fractions(one)
    for name in [c.name for c in CLASSES if c.name in seen or c.name in fractions]:
        count, median, bar = "0", "", ""
        if name in seen:
            entry = one["classes"][name]
            count, median = f"{entry['count']:,}", f"{entry['median_probability']:.2f}"
            bar = "█" * max(1, round(24 * entry["count"] / longest))
        table.add_row(name, count, median, fractions.get(name, ""), bar)
    for name in shown:
        table.add_row(f"[dim]{name}[/dim]", f"{one['status'][name]:,}", "", "", "")
    return table


def _fractions(one: dict[str, Any]) -> dict[str, str]:
    """Return the fraction of each class in words, ``"23 % (18–29)"``; none without a track.

    Classes whose fraction rounds to 0 % and may be 0 are left out.
    """
    return {
        name: f"{100 * f['fraction']:.0f} % ({100 * f['low']:.0f}–{100 * f['high']:.0f})"
        for name, f in one["populations"]["fractions"].items()
        if one["populations"]["n_tracks"] and (f["fraction"] >= 0.005 or f["low"] > 0)
    }


def _fractions_line(done: Sequence[FileResult]) -> str:
    """Say which tracks the fractions are of, and where they are too few."""
    all_of = {r.name: r.report["populations"] for r in done}
    total = sum(p["n_tracks"] for p in all_of.values())
    if not total:
        return ""
    text = f"fractions: of {total:,} tracks classified or undetermined, corrected for confusions"
    notes = {name: p["note"] for name, p in all_of.items() if p["note"]}
    if len(all_of) == 1:
        return f"{text}; {', '.join(notes.values())}" if notes else text
    few = f"; too few tracks in {', '.join(list(notes)[:4])}" if notes else ""
    return text + few + (f" and {len(notes) - 4} more" if len(notes) > 4 else "")


def _print_many(
    console: Console, counts: dict[str, dict[str, Any]], seen: list[str], shown: list[str]
) -> None:
    """Print a table with a row for each file, or a few lines for each where that is too wide."""
    from rich.markup import escape

    table = _many_files(counts, seen, shown)
    if console.measure(table, options=console.options.update(width=10_000)).maximum <= (
        console.width
    ):
        console.print(table)
        return
    for name, one in counts.items():
        parts = [f"{c} {_cell(one['classes'][c])}" for c in seen if c in one["classes"]]
        parts += [f"{s} {one['status'][s]:,}" for s in shown if s in one["status"]]
        console.print(f"[bold]{escape(name)}[/bold]  {one['tracks']:,} tracks")
        console.print(f"  {escape(' · '.join(parts))}", soft_wrap=False)
        fractions = " · ".join(f"{c} {f}" for c, f in _fractions(one).items())
        if fractions:
            console.print(f"  fractions (95 %): {escape(fractions)}", soft_wrap=False)


def _many_files(counts: dict[str, dict[str, Any]], seen: list[str], shown: list[str]) -> Table:
    """Return a table with a row for each file."""
    from rich.markup import escape

    from spt_explain.cli.console import plain_table

    table = plain_table("file", "tracks", *seen, *shown, "fractions (95 %)")
    for name, one in counts.items():
        table.add_row(
            escape(name),
            f"{one['tracks']:,}",
            *(_cell(one["classes"].get(c)) for c in seen),
            *(f"{one['status'].get(s, 0):,}" for s in shown),
            " · ".join(f"{c} {f}" for c, f in _fractions(one).items()),
        )
    return table


def _cell(entry: dict[str, Any] | None) -> str:
    return "" if entry is None else f"{entry['count']:,} ({entry['median_probability']:.2f})"


def _recording_line(done: Sequence[FileResult]) -> str:
    """Say how noisy and blurred the recordings were taken to be."""
    found = [(r.name, r.report.get("recording")) for r in done]
    said = [
        f"{name + ': ' if len(found) > 1 else ''}noise (1/SNR) {one['noise_1_over_snr']:g}, "
        f"exposure {one['exposure_share']:g} of a frame"
        for name, one in found
        if one
    ]
    return f"estimated from all tracks of a file: {'; '.join(said)}" if said else ""


def _policy_line(done: Sequence[FileResult], policy: QualityPolicy) -> str:
    """Say in words what the quality policy did over all files; nothing if it did nothing."""
    total: dict[str, int] = {}
    for result in done:
        for key, value in result.report["policy_counts"].items():
            total[key] = total.get(key, 0) + value
    frames = total.get("frames_filled", 0)
    gap = f"of up to {policy.max_gap} frames filled ({frames:,} frame{'' if frames == 1 else 's'})"
    words = {
        "gaps_filled": ("gap", gap),
        "tracks_split_at_gaps": ("track", "split at gaps"),
        "gapped": ("track", "with gaps left out"),
        "too_short_tracks": ("track", f"shorter than {policy.min_length} points left out"),
        "branched": ("branching track", "left out (--branches)"),
        "branched_split": ("branching track", f"cut into {total.get('branch_pieces', 0):,} pieces"),
        "duplicate_frames": ("track", "with two positions in one frame left out"),
        "duplicate_rows": ("repeated row", "ignored"),
        "immobile": ("track", "flagged immobile (noise around a fixed point)"),
        "motionless": ("track", "without any motion, not classifiable"),
    }
    return "; ".join(
        f"{total[key]:,} {noun}{'' if total[key] == 1 else 's'} {rest}"
        for key, (noun, rest) in words.items()
        if total.get(key)
    )
