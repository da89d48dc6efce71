"""From what a user names to the movies to track: files, folders, patterns, single frames."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.movies.frames import (
    FrameFiles,
    Single,
    by_position,
    gather,
    head_of,
    look_at,
    natural,
    template,
)
from spt_explain.movies.quiet import silence
from spt_explain.movies.stack import is_stack
from spt_explain.movies.tiff import TIFF_MAGIC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OWN_OUTPUTS = re.compile(
    r"\.(?:tracks|tracking|verdicts|reasons|preview)\.[^.].*$|\.params\.json$", re.I
)
"""Names of our own results, which are no movies."""
OWN_FOLDERS = (".reasons", ".relevance")
"""How the names of folders of our own results end."""
OWN_FILES = (("reasons.json",), ("explain.json", "relevance.tif"), ("generate.json",))
"""Files that lie together in folders of our own results, whatever these are called."""
SIMULATED, TRUTH = "settings.json", "truth"
"""Where simulated movies lie, the folder of their true masks, which are no movies to look at."""

_PART = re.compile(r"\bFileName=[\"']([^\"']+)[\"']")
_MASTER = re.compile(r"<(?:\w+:)?BinaryOnly\b")


@dataclass(frozen=True)
class Movie:
    """One movie to track.

    Attributes
    ----------
    name : str
        For people, and to name what is written: the file, or the folder of its frames.
    source : str or FrameFiles
        What `Stack` opens.
    explicit : bool
        True if the user named it; False if it was found in a folder or by a pattern.
    """

    name: str
    source: str | FrameFiles
    explicit: bool


class Movies(list[Movie]):
    """The movies found.

    Attributes
    ----------
    left_out : tuple of str
        Files of folders and patterns that are no movies.
    """

    left_out: tuple[str, ...] = ()


def find_movies(names: Sequence[str]) -> Movies:
    """Expand files, folders and patterns to movies.

    Single frames of one size whose names differ in numbers are one movie, as are the parts of an
    OME-TIFF in several files.

    Parameters
    ----------
    names : sequence of str
        Paths, and patterns with ``*``, ``?``, ``[`` or ``**``. Folders in folders are looked
        into, hidden ones are not.

    Returns
    -------
    Movies
        In the order of `names`, within a folder by name, numbers by value; each once. In its
        attribute `left_out` are the files of folders that are no movies; hidden files and our own
        results are not counted.

    Raises
    ------
    SptError
        If a name is not there, or a folder or pattern holds no movie.
    """
    found = Movies()
    left_out: list[str] = []
    given: list[str] = []  # files named one by one, as a shell expands a pattern
    seen: set[str] = set()

    def take(files: list[str], explicit: bool) -> int:
        fresh = [f for f in files if os.path.realpath(f) not in seen]
        seen.update(os.path.realpath(f) for f in fresh)
        movies, others = _group(fresh, explicit)
        found.extend(movies)
        left_out.extend(others)
        return len(movies) + len(files) - len(fresh)

    # A shell's * names everything, our own results too.
    others = [name for name in names if not (_is_folder(Path(name)) and _is_own(Path(name)))]
    for name in others or names:
        path = Path(name)
        if _is_folder(path):
            _flush(given, take)
            if not take(_walk(path), False):
                raise SptError(
                    f"{name} is a folder without movies (spt-explain's own results don't count): "
                    "expected TIFF, ND2 or CZI files, or single frames as TIFF.\n"
                    "Give another folder, or a file by name.",
                    code="wrong-kind",
                )
        elif _is_there(path):
            given.append(str(path))
        elif glob.has_magic(name):
            _flush(given, take)
            if not take(_matches(name), False):
                raise SptError(
                    f"{name} matches no movie (in {Path.cwd()}): expected TIFF, ND2 or CZI files."
                    "\nCheck the pattern and the folder you are in."
                )
        else:
            raise SptError(
                f"{name} was not found: expected a movie (TIFF, ND2, CZI), or a folder of them.\n"
                f"Check the spelling; you are in {Path.cwd()}."
            )
    _flush(given, take)
    found.left_out = tuple(left_out)
    return found


def _flush(given: list[str], take: Callable[[list[str], bool], int]) -> None:
    if given:
        take(list(given), True)
        given.clear()


def _group(files: list[str], explicit: bool) -> tuple[list[Movie], list[str]]:
    """Return the movies that files make, and the files that are none."""
    singles: dict[str, Single] = {}
    parts: set[str] = set()
    others: list[str] = []
    stacks: list[str] = []
    for file in files:
        head = head_of(file)
        if not is_stack(head):
            (stacks if explicit else others).append(file)  # whoever named it is told
            continue
        if os.path.realpath(file) in parts:
            continue
        single, mates = None, list[str]()
        if head.startswith(TIFF_MAGIC):
            try:
                single, mates = _look(file)
            except SptError:
                single = None  # said when it is opened
        parts.update(mates)
        if single is None:
            stacks.append(file)
        else:
            singles[file] = single
    rows = _rows(singles)
    in_rows = {file: row for row in rows for file in row}
    movies: list[Movie] = []
    taken: set[str] = set()
    for file in files:
        if os.path.realpath(file) in parts:
            continue
        if file in in_rows:
            row = in_rows[file]
            if row[0] == file:
                name = _name(row, rows)
                name = str(Path(row[0]).with_suffix("")) if name in taken else name
                taken.add(name)
                movies.append(Movie(name, gather(row, name), explicit))
        elif file in stacks or (file in singles and explicit):
            movies.append(Movie(file, file, explicit))
        elif file in singles:
            others.append(file)
    return movies, others


def _rows(singles: dict[str, Single]) -> list[list[str]]:
    """Return the single frames that make a movie together, in their order."""
    folders: dict[tuple[str, Single], list[str]] = {}
    for file, single in singles.items():
        folders.setdefault((str(Path(file).parent), single), []).append(file)
    rows = []
    for files in folders.values():
        groups: dict[tuple[str, ...], list[str]] = {}
        for file in files:
            groups.setdefault(template(file), []).append(file)
        several = [group for group in groups.values() if len(group) > 1]
        several = [row for group in several for row in by_position(group)]
        # Names that have nothing in common are one movie as long as all have nothing in common.
        rows += several or ([files] if len(files) > 1 else [])
    return [sorted(row, key=natural) for row in rows]


def _name(row: list[str], rows: list[list[str]]) -> str:
    """Return a name for frames: their folder, or what their names have in common."""
    folder = Path(row[0]).parent
    alone = sum(Path(other[0]).parent == folder for other in rows) == 1
    if alone and str(folder) not in ("", "."):
        return str(folder)
    parts = [re.split(r"(\d+)", Path(file).stem) for file in row]
    kept = [p[0] for p in zip(*parts, strict=False) if len(set(p)) == 1]
    stem = re.sub(r"[\W_]{2,}", "_", "".join(kept)).strip("_-. ") or Path(row[0]).stem
    return str(folder / stem)


def _look(file: str) -> tuple[Single | None, list[str]]:
    """Return what frame a TIFF is, or None, and the other files of which it is the first part."""
    single = look_at(file)
    xml = _ome(file)
    if xml is None:
        return single, []
    if _MASTER.search(xml):
        return None, [os.path.realpath(file)]  # a part that points to the file that describes all
    here = Path(file)
    mates = [os.path.realpath(here.parent / name) for name in _PART.findall(xml)]
    own = os.path.realpath(file)
    mates = [mate for mate in dict.fromkeys(mates) if mate != own and os.path.isfile(mate)]  # noqa: PTH113
    return (None if mates else single), mates


def _ome(file: str) -> str | None:
    import tifffile

    with silence("tifffile"):
        try:
            with tifffile.TiffFile(file) as tif:
                return tif.ome_metadata if tif.is_ome else None
        except Exception:  # a parser fed with broken bytes raises anything
            return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _matches(pattern: str) -> list[str]:
    files: list[str] = []
    # pathlib's glob takes no absolute patterns.
    for match in sorted(glob.glob(pattern, recursive=True), key=natural):  # noqa: PTH207
        if Path(match).is_dir():
            # With ** the files of every folder are matched by themselves.
            files += [] if "**" in pattern else _walk(Path(match))
        elif _wanted(Path(match).name) and not _is_own(Path(match).parent):
            files.append(match)
    return files


def _walk(folder: Path) -> list[str]:
    """Return the files of a folder in natural order, each folder once even if links form a loop."""
    seen: set[str] = set()
    found: list[str] = []

    def visit(here: Path) -> None:
        real = os.path.realpath(here)
        if real in seen:
            return
        seen.add(real)
        try:
            entries = sorted(here.iterdir(), key=lambda entry: natural(entry.name))
        except OSError as error:
            raise SptError(
                f"{here} can't be listed ({error.strerror or error}): expected a readable folder. "
                "Check its permissions."
            ) from error
        found.extend(str(e) for e in entries if e.is_file() and _wanted(e.name))
        for entry in entries:
            skipped = entry.name.startswith(".") or _is_own(entry) or _is_truth(entry)
            if entry.is_dir() and not skipped:
                visit(entry)

    if not _is_own(folder):
        visit(folder)
    return found


def _is_own(folder: Path) -> bool:
    return folder.name.endswith(OWN_FOLDERS) or any(
        all(_is_there(folder / name) for name in names) for names in OWN_FILES
    )


def _is_truth(folder: Path) -> bool:
    return folder.name == TRUTH and _is_there(folder.parent / SIMULATED)


def _wanted(name: str) -> bool:
    return not (name.startswith((".", "~$")) or OWN_OUTPUTS.search(name))
