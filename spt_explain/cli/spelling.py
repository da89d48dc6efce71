"""How messages name options on the command line."""

from __future__ import annotations

from typing import Any

from spt_explain.errors import Spelling

_FLAGS = {
    "class_name": "--class",
    "methods": "--method",
    "figure_formats": "--figure-format",
    "formats": "--figure-format",
    "n": "-n",
    "only": "--particle",
    "output": "-o",
    "page": "--report",
    "protocols": "--protocol",
    "start": "--from",
    "value": "--erased-value",
}
"""Parameters that have another name here."""


class CommandLineSpelling(Spelling):
    """Options as flags, commands as a shell takes them."""

    def option(self, name: str, value: Any = None) -> str:
        """Return ``--min-length``, or with a value ``--min-length 5``."""
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        if value is None or value is True:
            return flag
        text = str(value)
        return f"{flag} '{text}'" if " " in text and not {"'", '"'} & {*text} else f"{flag} {text}"

    def command(self, name: str, /, *arguments: str, **options: Any) -> str:
        """Return ``spt-explain classify tracks.csv --min-length 5``."""
        named = [self.option(key, value) for key, value in options.items()]
        return " ".join(["spt-explain", name, *arguments, *named])
