"""What is printed, and where: people's text on stderr, data on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

_FILE_WIDTH = 400  # columns of a log file: tables are not cut there


def make_console(*, quiet: bool = False) -> Console:
    """Return a console on stderr: colour only on a terminal, off with NO_COLOR, wrapping off."""
    from rich.console import Console

    width = None if sys.stderr.isatty() else _FILE_WIDTH
    return Console(
        stderr=True, quiet=quiet, highlight=False, soft_wrap=True, emoji=False, width=width
    )


def make_progress(console: Console) -> Progress:
    """Return a progress display on stderr; it shows nothing where stderr is not a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not sys.stderr.isatty(),
    )


def plain_table(first: str, *others: str) -> Table:
    """Return an empty table in our style; all columns but the first are aligned to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table
