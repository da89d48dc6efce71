"""``spt-explain relevance``: which pixels of a movie carry a signal."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {
    "fit": "A model from movies and a number (or category) that goes with each.",
    "explain": "Which pixels of a movie carry that signal, and when: maps, figures, checks.",
    "generate": "Samples that hold only what carries the signal.",
    "evaluate": "How good maps are, against the truth or without it, beside other methods.",
}


class _LazyGroup(click.Group):
    """Commands are imported when they are run, and listed without being imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found: click.Command = import_module(f"spt_explain.cli.relevance.{cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            import difflib
            from pathlib import Path

            near = difflib.get_close_matches(name, _COMMANDS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(_COMMANDS)}."
            if Path(name).exists():
                hint = f"To explain it: spt-explain relevance explain {name} --model model/"
            ctx.fail(f"relevance has no command {name!r}. {hint}")
        return super().resolve_command(ctx, args)


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Say which pixels of a movie carry a signal, and when.

    The signal is a number or category that goes with each movie or frame: a cell's area, an
    intensity, a count of spots, a calcium trace, a condition. It comes from a table, or is
    measured from the movie.

    \b
    Start with movies and a table with the columns movie and value:
        spt-explain relevance fit movies/ --signal values.csv -o model/
        spt-explain relevance explain movies/cell-1.tif --model model/
    """
