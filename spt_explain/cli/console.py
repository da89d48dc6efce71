"""What is printed, and where: people's text on stderr, data on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def make_console(*, quiet: bool = False) -> Console:
    """Return a console on stderr: colour only on a terminal, off with NO_COLOR, wrapping off."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True, emoji=False)


def make_progress(console: Console) -> Progress:
    """Return a progress display on stderr; it shows nothing where stderr is not a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not sys.stderr.isatty(),
    )
