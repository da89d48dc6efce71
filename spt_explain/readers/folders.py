"""From what a user names to the files to read: folders, patterns, standard input."""

from __future__ import annotations

import difflib
import glob
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OWN_OUTPUTS = re.compile(
    r"\.(?:verdicts|reasons)\.[^.].*$|\.params\.json$"
    r"|\.tracks\.json$|\.tracking\.toml$|\.preview\.png$|\.trackmate\.xml$",
    re.I,
)
"""Names of our own results, which a folder or pattern does not read again.

Tables of the tracks of movies (``.tracks.csv``) are read, what else was written beside them is not:
TrackMate's XML holds the same tracks once more.
"""
SKIPPED = frozenset(["thumbs.db", "desktop.ini"])
"""Files that a system leaves in folders."""
SKIPPED_FOLDERS = (".zarr", "__MACOSX")
"""Folders (by the end of their names) that hold pieces of one file, or shadows of files."""
OWN_FOLDERS = (".reasons", ".relevance")
OWN_FILES = (("reasons.json",), ("explain.json", "checks.json"))
"""Our own results, whose tables look like tracks, lie in folders of such names, or that hold such
files together."""


@dataclass(frozen=True)
class FoundInput:
    """One file to read.

    Attributes
    ----------
    name : str
        Its path, or ``"-"`` for standard input.
    explicit : bool
        True if the user named it; False if it was found in a folder or by a pattern, where
        files that hold no tracks are skipped rather than refused.
    again : tuple of str
        How else it was named or found; it is read once.
    """

    name: str
    explicit: bool
    again: tuple[str, ...] = ()


def find_inputs(names: Sequence[str], *, recursive: bool = True) -> list[FoundInput]:
    """Expand files, folders and patterns to the files to read.

    Parameters
    ----------
    names : sequence of str
        Paths, patterns with ``*``, ``?``, ``[`` or ``**``, and ``"-"``.
    recursive : bool, optional
        Whether folders in folders are looked into.

    Returns
    -------
    list of FoundInput
        In the order of `names`; within a folder or pattern sorted by name, numbers by value.
        Each file once. Hidden files are left out unless named, and so are our own results; of
        these folders are left out among other names too, as a shell's ``*`` names everything.

    Raises
    ------
    SptError
        If a name is not there, or a folder or pattern holds no file.
    """
    found: dict[str, FoundInput] = {}
    others = [name for name in names if not (Path(name).is_dir() and _is_own(Path(name)))]
    for name in others or names:
        for item in _expand(str(name), recursive):
            key = item.name if item.name == "-" else os.path.realpath(item.name)
            first = found.setdefault(key, item)
            if first is not item:
                explicit = first.explicit or item.explicit
                found[key] = FoundInput(first.name, explicit, (*first.again, item.name))
    return list(found.values())


def one_spelling(names: Sequence[str]) -> list[str]:
    """Return names with each folder spelled as it was first.

    What is put beside ``y/a.csv`` and ``/data/y/a.xml`` can then be compared by its name.

    Parameters
    ----------
    names : sequence of str
        Files, or ``"-"``.
    """
    first: dict[str, Path] = {}
    spelled = []
    for name in names:
        path = Path(name)
        folder = first.setdefault(os.path.realpath(path.parent), path.parent)
        spelled.append(name if name == "-" or folder == path.parent else str(folder / path.name))
    return spelled


def folded(path: Path) -> str:
    """Return what names have in common that are one file on Windows and macOS."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _expand(name: str, recursive: bool) -> Iterator[FoundInput]:
    if name == "-":
        yield FoundInput("-", True)
        return
    path = Path(name)
    try:
        there = path.exists() or path.is_symlink()
        if not there and name.startswith("~"):
            path = path.expanduser()
            there = path.exists()
    except (OSError, ValueError, RuntimeError):
        there = False
    if there and path.is_dir():
        files = [] if _is_own(path) else list(_walk(path, recursive))
        if not files:
            raise SptError(
                f"{name} is a folder without files to read (hidden files and spt-explain's own "
                "results don't count): expected tracks.\nGive another folder, or a file by name.",
                code="wrong-kind",
            )
        yield from (FoundInput(str(file), False) for file in files)
    elif there:
        yield FoundInput(str(path), True)
    elif glob.has_magic(name):
        yield from _matches(str(path), name, recursive)
    else:
        raise _not_found(path, name)


def _matches(pattern: str, name: str, recursive: bool) -> Iterator[FoundInput]:
    files: list[Path] = []
    # pathlib's glob takes no absolute patterns and always needs a folder to start from.
    for match in sorted(glob.glob(pattern, recursive=True), key=_natural):  # noqa: PTH207
        path = Path(match)
        if path.is_dir():
            # With ** the files of every folder are matched by themselves.
            if "**" not in pattern and not _is_own(path):
                files += _walk(path, recursive)
        elif _wanted(path.name) and not _is_own(path.parent):
            files.append(path)
    if not files:
        raise SptError(
            f"{name} matches no file to read (in {Path.cwd()}): expected at least one.\n"
            "Check the pattern and the folder you are in."
        )
    yield from (FoundInput(str(file), False) for file in files)


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the files of a folder in natural order, each folder once even if links form a loop."""
    seen: set[str] = set()

    def visit(here: Path) -> Iterator[Path]:
        real = os.path.realpath(here)
        if real in seen:
            return
        seen.add(real)
        try:
            entries = sorted(here.iterdir(), key=lambda entry: _natural(entry.name))
        except OSError as error:
            raise SptError(
                f"{here} can't be listed ({error.strerror or error}): expected a readable folder. "
                "Check its permissions."
            ) from error
        folders = []
        for entry in entries:
            if entry.is_dir():
                hidden = entry.name.startswith(".")
                skipped = entry.name.endswith(SKIPPED_FOLDERS) or _is_own(entry)
                if recursive and not hidden and not skipped:
                    folders.append(entry)
            elif entry.is_file() and _wanted(entry.name):
                yield entry
        for entry in folders:
            yield from visit(entry)

    yield from visit(folder)


def _is_own(folder: Path) -> bool:
    return folder.name.endswith(OWN_FOLDERS) or any(
        all(_is_there(folder / name) for name in names) for names in OWN_FILES
    )


def _wanted(name: str) -> bool:
    return not (name.startswith((".", "~$")) or name.lower() in SKIPPED or OWN_OUTPUTS.search(name))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts "a2" before "a10"."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def _not_found(path: Path, name: str) -> SptError:
    folder = path.parent
    close: list[str] = []
    try:
        if folder.is_dir():
            entries = [entry.name for entry in folder.iterdir()]
            close = difflib.get_close_matches(path.name, entries, n=1, cutoff=0.6)
    except (OSError, ValueError):
        pass
    if close:
        hint = f'Did you mean "{folder / close[0]}"?'
    elif str(folder) not in ("", ".") and not _is_there(folder):
        hint = f"There is no folder {folder} either; you are in {Path.cwd()}."
    else:
        hint = f"Check the spelling; you are in {Path.cwd()}."
    return SptError(f"{name} was not found: expected a file or folder of tracks.\n{hint}")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
