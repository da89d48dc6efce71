"""Names of results that no two inputs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.readers.folders import folded

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_parents(names: Sequence[str], paths: Sequence[Path], folder: Path) -> list[Path]:
    """Put results into one folder, their inputs' folders in front: ``x/a.csv`` → ``x_a.csv…``.

    Parameters
    ----------
    names : sequence of str
        The inputs.
    paths : sequence of pathlib.Path
        The results, of which the names are kept.
    folder : pathlib.Path
        Where to.
    """
    found = []
    for name, path in zip(names, paths, strict=True):
        inside = Path(name)
        parents = [part for part in inside.parts[:-1] if part != inside.anchor]
        found.append(folder / "_".join((*parents, path.name)).replace("..", "up"))
    return found


def numbered(paths: Sequence[Path], ending: str) -> list[Path]:
    """Give each path that is there already the next free number, from 2, before its ending.

    Two paths are the same if they are one file on Windows and macOS. No number takes the name of
    another path.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Names of results.
    ending : str
        What all of them end in, such as ``".verdicts.csv"``.
    """
    taken = set(map(folded, paths))
    seen: set[str] = set()
    found = []
    for path in paths:
        free, number = path, 1
        if folded(path) in seen:
            while folded(free) in taken:
                number += 1
                free = path.with_name(f"{path.name.removesuffix(ending)}-{number}{ending}")
        taken.add(folded(free))
        seen.add(folded(path))
        found.append(free)
    return found
