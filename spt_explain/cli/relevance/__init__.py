"""``spt-explain relevance``: which pixels of a movie carry a signal."""

from __future__ import annotations

import click

from spt_explain.cli.groups import LazyGroup

_COMMANDS = {
    "fit": "A model from movies and a number (or category) that goes with each.",
    "explain": "Which pixels of a movie carry that signal, and when: maps, figures, checks.",
    "generate": "Samples that hold only what carries the signal.",
    "evaluate": "How good maps are, against the truth or without it, beside other methods.",
}


class _Commands(LazyGroup):
    room = "spt_explain.cli.relevance"
    summaries = _COMMANDS
    file_hint = "To explain it: spt-explain relevance explain {} --model model/"
    title = "relevance has no command"


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Say which pixels of a movie carry a signal, and when.

    The signal is a number or category that goes with each movie or frame: a cell's area, an
    intensity, a count of spots, a calcium trace, a condition. It comes from a table, or is
    measured from the movie.

    \b
    Example: movies, and a table with the columns movie and value
        spt-explain relevance fit movies/ --signal values.csv -o model/
        spt-explain relevance explain movies/cell-1.tif --model model/
    """
