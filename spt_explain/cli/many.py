"""What the commands that take several files print, while they run and in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from spt_explain.errors import printable
from spt_explain.many import InputResult, Listener

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.progress import Progress, TaskID

    from spt_explain.resandi.classifier import Classifier
    from spt_explain.tracks import Tracks


class FilePrinter(Listener):
    """Prints a line for each file as it is read, and keeps the progress bar going.

    Parameters
    ----------
    console : rich.console.Console
        Where lines go.
    bar : rich.progress.Progress
        What shows the progress.
    """

    def __init__(self, console: Console, bar: Progress) -> None:
        self.console, self.bar = console, bar
        self.classifier: Classifier | None = None
        self.noted = 0
        self.task: TaskID | None = None
        self.index, self.total = 0, 1

    def reading(self, name: str, index: int, total: int) -> None:
        """Note which file it is."""
        self.index, self.total = index, total

    def read(self, tracks: Tracks) -> None:
        """Print format, units and notes of a file."""
        said = f"{tracks.source.format} · {units_in_words(tracks)}"
        self.console.print(f"[bold]{escape(tracks.source.name)}[/bold]  {escape(said)}")
        for note in tracks.source.notes:
            self.console.print(f"  {escape(self.worded(note))}", style="dim")

    def worded(self, note: str) -> str:
        """Return a note on a file as this command puts it."""
        return note

    def network(self, classifier: Classifier) -> None:
        """Print which network runs where."""
        self.classifier = classifier
        device = classifier.backend.device.description
        self.console.print(f"[bold]weights[/bold]  {escape(classifier.weights.describe())}")
        self.console.print(f"[bold]device[/bold]   {escape(device)}")

    def finished(self, result: InputResult) -> None:
        """Print why a file was skipped; of several files, why it failed; and a device given up."""
        if self.classifier is not None:
            for note in self.classifier.backend.notes[self.noted :]:
                self.console.print(escape(note), style="yellow")
            self.noted = len(self.classifier.backend.notes)
        if result.skipped:
            said = str(result.error).splitlines()[0]  # the remedy is for files named by hand
            self.console.print(f"skipped: {escape(said)}", style="yellow")
        elif result.failed and self.total > 1:
            said = str(result.error).replace("\n", "\n       ")
            self.console.print(f"Error: {escape(said)}", style="red")

    def show(self, description: str, done: int, total: int, unit: str = "") -> None:
        """Move the progress bar; it starts anew where the total is 0."""
        if self.task is None:
            self.task = self.bar.add_task(description, total=total or None, count="")
        elif not total:
            self.bar.reset(self.task)
        self.bar.update(
            self.task,
            description=description,
            completed=done,
            total=total or None,
            count=f"{done:,}/{total:,} {unit}".rstrip() if total else "",
        )


def units_in_words(tracks: Tracks) -> str:
    """Say which units a file has, where they came from, and which options would add others."""
    calibration = tracks.calibration
    length = "µm" if calibration.length_unit == "um" else "pixels"
    interval = calibration.frame_interval_s
    time = "frames" if interval is None else f"{interval:.6g} s a frame"
    # "pixels (pixels, by the format …)" says it twice
    length_source = calibration.length_source.removeprefix("pixels, ")
    text = f"{length} ({length_source}), {time} ({calibration.time_source})"
    missing = []
    if calibration.length_unit == "px":
        missing.append("--pixel-size-um")
    if interval is None:
        missing.append("--frame-interval-s")
    if missing:
        text += f": give {' and '.join(missing)} for results in units"
    return text


def print_end(console: Console, results: Sequence[InputResult]) -> None:
    """Print which files were named more than once, and which failed."""
    said = _again_line(results)
    if said:
        console.print(escape(said), style="dim")
    failed = [result.name for result in results if result.failed]
    if failed:
        said = f"{len(failed)} of {len(results)} files failed: {', '.join(failed)}"
        console.print(escape(said), style="red")


def _again_line(results: Sequence[InputResult]) -> str:
    """Say which files were named more than once, and how; nothing if none was."""
    several = {r.name: dict.fromkeys(r.again) for r in results if r.again}
    said = [
        f"{name} (also as {', '.join(other for other in others if other != name)})"
        if set(others) - {name}
        else name
        for name, others in several.items()
    ]
    more = f" and {len(said) - 4} more" if len(said) > 4 else ""
    return f"named more than once, read once: {', '.join(said[:4])}{more}" if said else ""


def summary(code: int, results: Sequence[InputResult], **further: Any) -> dict[str, Any]:
    """Return what ``--json`` prints.

    Parameters
    ----------
    code : int
        With which the command leaves.
    results : sequence of InputResult
        Of all files.
    **further : object
        What this command says besides.
    """
    return {
        "exit_code": code,
        "files": [
            {
                **one.report,
                "name": one.name,
                "also_named": list(one.again),
                "outputs": [printable(str(path)) for path in one.outputs],
                "seconds": {key: round(value, 3) for key, value in one.seconds.items()},
            }
            for one in results
            if one.done
        ],
        "failed": [{"name": one.name, "error": str(one.error)} for one in results if one.failed],
        **further,
        "skipped": [{"name": one.name, "reason": str(one.error)} for one in results if one.skipped],
    }
