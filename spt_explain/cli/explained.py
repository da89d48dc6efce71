"""What `spt-explain explain` prints while it runs, and in the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from spt_explain.cli.console import plain_table
from spt_explain.cli.many import FilePrinter, print_end
from spt_explain.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.explain.reasons import Explainer
    from spt_explain.explanation import Explained


class Printer(FilePrinter):
    """Prints a line for each file, and keeps the progress bar going.

    Parameters
    ----------
    console : rich.console.Console
        Where lines go.
    bar : rich.progress.Progress
        What shows the progress.
    movie : bool
        With a movie, ``--pixel-size-um`` may be for that alone.
    """

    def __init__(self, console: Console, bar: Progress, *, movie: bool = False) -> None:
        super().__init__(console, bar)
        self.movie = movie

    def worded(self, note: str) -> str:
        """Return a note on a file as this command puts it."""
        if self.movie and note.startswith("--pixel-size-um") and "ignored" in note:
            return "--pixel-size-um is that of the movie: the file gives positions in µm."
        return note

    def ready(self, engine: Explainer) -> None:
        """Print which network runs where, and what the options mean for what comes out."""
        self.network(engine.classifier)
        for note in engine.how.notes():
            self.console.print(escape(note), style="yellow")

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the progress bar."""
        where = f" ({self.index + 1}/{self.total})" if self.total > 1 else ""
        self.show(f"{what}{where}", done, total)


def print_summary(console: Console, results: Sequence[Explained]) -> None:
    """Print what was found in each file, and where it is."""
    for result in results:
        if not result.done:
            continue
        console.print()
        if len(results) > 1:
            console.print(escape(result.name), style="bold")
        console.print(_table(result.report))
        for line in _sentences(result.report):
            console.print(escape(line), style="dim")
    outputs = dict.fromkeys(path for r in results for path in r.outputs)
    for path in sorted(outputs, key=Path.is_file):  # the page of all of them last
        named = escape(printable(str(path)))
        console.print(f"→ {named}{'/' if path.is_dir() else ''}")
    print_end(console, results)


def _table(report: dict[str, Any]) -> Any:
    table = plain_table("explained", "tracks", "passed", "no better", "loss by score", "at random")
    for name, row in report["by_class"].items():
        table.add_row(
            name,
            f"{row['tracks']:,}",
            f"{row['passed']:,}",
            f"{row['no better than random']:,}",
            "" if row["loss_top"] is None else f"{row['loss_top']:z.2f}",
            "" if row["loss_random"] is None else f"{row['loss_random']:z.2f}",
        )
    return table


def _sentences(report: dict[str, Any]) -> list[str]:
    said = []
    for row in report["methods"]:
        where = f" at {row['layer']}" if row["layer"] else ""
        frames = row["resolution_frames"]
        each = "each frame" if frames == 1 else f"every {frames} frames"
        said.append(f"{row['method']}{where}: a score for {each}, {_count(row['tracks'])}")
    blank = sum(row["tracks"] - row["overlay"] for row in report["by_class"].values())
    if blank:
        said.append(f"{_count(blank)} without an overlay: the column remark says why")
    if report["long_tracks"]:
        changes = _count(report["changes"], "change")
        long = _count(report["long_tracks"], "long track")
        said.append(f"{long} followed in a sliding window: {changes} of class")
    for particle, why in report.get("not_explained", {}).items():
        said.append(f"particle {particle} is not explained: {why}")
    left = report.get("left_out")
    if left and not report["asked_for"]:
        named = ", ".join(f"{count:,} {status}" for status, count in left.items())
        said.append(f"not explained: {named}")
    return said


def _count(number: int, noun: str = "track") -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
