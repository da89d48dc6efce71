"""What `spt-explain explain` prints while it runs, and in the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.progress import Progress

    from spt_explain.explain.reasons import Explainer
    from spt_explain.explanation import Explained
    from spt_explain.tracks import Tracks


def make_listener(console: Console, progress: Progress, *, movie: bool = False) -> Any:
    """Return what prints a line for each file, and keeps the progress bar going.

    With a movie, ``--pixel-size-um`` may be for that alone.
    """
    from rich.markup import escape

    from spt_explain.cli.classify import units_in_words
    from spt_explain.explanation import Listener

    class Printer(Listener):
        """Prints a line for each file, and keeps the progress bar going."""

        task: Any = None
        index, total = 0, 1

        def reading(self, name: str, index: int, total: int) -> None:
            self.index, self.total = index, total

        def read(self, tracks: Tracks) -> None:
            said = f"{tracks.source.format} · {units_in_words(tracks)}"
            console.print(f"[bold]{escape(tracks.source.name)}[/bold]  {escape(said)}")
            for note in tracks.source.notes:
                if movie and note.startswith("--pixel-size-um") and "ignored" in note:
                    note = "--pixel-size-um is that of the movie: the file gives positions in µm."
                console.print(f"  {escape(note)}", style="dim")

        def ready(self, explainer: Explainer) -> None:
            classifier = explainer.classifier
            console.print(f"[bold]weights[/bold]  {escape(classifier.weights.describe())}")
            console.print(f"[bold]device[/bold]   {escape(classifier.backend.device.description)}")
            for note in explainer.how.notes():
                console.print(escape(note), style="yellow")

        def finished(self, result: Explained) -> None:
            if result.skipped:
                said = str(result.error).splitlines()[0]  # the remedy is for files named by hand
                console.print(f"skipped: {escape(said)}", style="yellow")
            elif result.failed and self.total > 1:
                said = str(result.error).replace("\n", "\n       ")
                console.print(f"Error: {escape(said)}", style="red")

        def progress(self, what: str, done: int, total: int) -> None:
            if self.task is None:
                self.task = progress.add_task(what, total=total or None, count="")
            where = f" ({self.index + 1}/{self.total})" if self.total > 1 else ""
            progress.update(
                self.task,
                description=f"{what}{where}",
                completed=done,
                total=total or None,
                count=f"{done:,}/{total:,}" if total else "",
            )

    return Printer()


def print_summary(console: Console, results: Sequence[Explained]) -> None:
    """Print what was found in each file, and where it is."""
    from rich.markup import escape

    from spt_explain.cli.classify import again_line
    from spt_explain.errors import printable

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
    said = again_line(results)
    if said:
        console.print(escape(said), style="dim")
    failed = [result.name for result in results if result.failed]
    if failed:
        said = f"{len(failed)} of {len(results)} files failed: {', '.join(failed)}"
        console.print(escape(said), style="red")


def _table(report: dict[str, Any]) -> Any:
    from spt_explain.cli.classify import plain_table

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
