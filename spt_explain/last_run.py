"""What was last classified, so that ``spt-explain explain`` without an input knows it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError
from spt_explain.resandi.weights import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "last-classified.json"


def remember(inputs: Sequence[str], settings: dict[str, Any]) -> None:
    """Note which files were classified, and how; where that can't be written, nothing happens.

    Parameters
    ----------
    inputs : sequence of str
        What was classified; only files can be found again, not standard input.
    settings : dict
        What the command was given, by the names of its options.
    """
    try:
        # as it was named: results go beside a link, not beside what it points to
        paths = [str(Path(name).absolute()) for name in inputs if Path(name).is_file()]
        folder = data_folder()
    except (SptError, OSError):
        return
    if not paths:
        return
    text = json.dumps({"inputs": paths, "settings": settings}, indent=1) + "\n"
    # a read-only home is no reason for classify to fail
    with suppress(OSError, SptError):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / NAME) as part:
            part.write_text(text, "utf-8")


def recall() -> tuple[list[str], dict[str, Any]]:
    """Return the files that were last classified, whether they still are there or not, and how.

    Both are empty where nothing was, or where that can't be read.
    """
    try:
        noted = json.loads((data_folder() / NAME).read_text("utf-8"))
        inputs, settings = noted["inputs"], noted["settings"]
    except (SptError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return [], {}
    names = isinstance(inputs, list) and all(isinstance(name, str) for name in inputs)
    if not names or not isinstance(settings, dict):
        return [], {}
    return inputs, settings
