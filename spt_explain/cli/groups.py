"""Groups of commands that are imported when they are run."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path

import click


class LazyGroup(click.Group):
    """Commands are imported when they are run, and listed without being imported."""

    room = ""
    """Package of the modules, each with a `command`."""
    summaries: dict[str, str]
    """What each command does, in order."""
    file_hint = ""
    """What to do with a file that was given instead of a command."""
    title = "there is no command"

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in order."""
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now."""
        if cmd_name not in self.summaries:
            return None
        command: click.Command = import_module(f"{self.room}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for, or say what there is."""
        name = args[0]
        if name not in self.summaries and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.summaries, n=1)
            hint = f"Did you mean {near[0]}?" if near else ""
            if Path(name).exists():
                hint = self.file_hint.format(name)
            ctx.fail(f"{self.title} {name!r}. {hint}".rstrip())
        return super().resolve_command(ctx, args)
