"""Where the shipped files are: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def shipped(kind: Literal["weights", "recipes"]) -> Path:
    """Return the folder of shipped weights or recipes.

    Raises
    ------
    FileNotFoundError
        If the installation holds neither; then it is broken.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_data" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"this installation of spt-explain lacks its {kind} folder")
