"""Single frames in files of their own, taken together as one movie."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.movies.axes import MAX_CHANNELS
from spt_explain.movies.planes import Layout, damaged
from spt_explain.movies.quiet import silence
from spt_explain.movies.tiff import TIFF_MAGIC, TiffPlanes, check_said, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

MAX_NAMED = 5
"""Of missing numbers so many are named."""

_NUMBER = re.compile(r"(\d+)")
_LETTERS = {
    "T": ("t", "time", "timepoint", "frame", "tp"),
    "Z": ("z", "slice", "plane", "depth"),
    "C": ("c", "ch", "channel", "w"),
    "P": ("p", "pos", "position", "xy", "s", "series", "field", "fov"),
}
_WORDS = {word: letter for letter, words in _LETTERS.items() for word in words}
_LAST_WORD = re.compile(r"([a-z]+)[^a-z]*$")


@dataclass(frozen=True)
class FrameFiles:
    """Files of one frame each, checked to belong together; can be pickled.

    Attributes
    ----------
    name : str
        The movie, for people: the folder, or the first file and how many more.
    files : tuple of (str or None)
        One for each entry of `axes`, the last axis fastest; None where there is no such file.
    axes : str
        What the numbers in the names stand for, e.g. ``"T"`` or ``"TC"``.
    shape : tuple of int
        Length of each.
    notes : tuple of str
        How the order was found, and which numbers are missing.
    """

    name: str
    files: tuple[str | None, ...]
    axes: str
    shape: tuple[int, ...]
    notes: tuple[str, ...]


class FramePlanes:
    """Frames in files of their own; each file is opened while it is read.

    Parameters
    ----------
    files : FrameFiles
        From `gather`.

    Raises
    ------
    SptError
        If the first file can't be read.
    """

    layout: Layout

    def __init__(self, files: FrameFiles) -> None:
        self._files = files
        first = next(name for name in files.files if name is not None)
        planes = TiffPlanes(first)
        inner = planes.layout
        planes.close()
        lead = next(i for i, a in enumerate(inner.axes) if a in "YXS")
        kept = [i for i in range(len(inner.axes)) if i >= lead or inner.shape[i] > 1]
        shape = tuple(inner.shape[i] for i in kept)
        self._per_file = prod(inner.shape[:lead])
        self._image = inner.shape[lead:]
        missing = frozenset(
            number * self._per_file + k
            for number, name in enumerate(files.files)
            if name is None
            for k in range(self._per_file)
        )
        # What a program wrote into a file of one frame says nothing about the time between files.
        units = replace(inner.units, frame_interval_s=None, time_source="")
        self.layout = replace(
            inner,
            format=f"{inner.format} files of one frame",
            axes=files.axes + "".join(inner.axes[i] for i in kept),
            shape=files.shape + shape,
            units=units,
            notes=(*inner.notes, *files.notes),
            depth_from="",
            missing=missing,
        )

    def plane(self, number: int) -> npt.NDArray[Any]:
        """Return the pixels of plane `number`."""
        index, within = divmod(number, self._per_file)
        name = self._files.files[index]
        if name is None:
            raise ValueError("there is no file for it")
        try:
            if self._per_file > 1:
                planes = TiffPlanes(name)
                try:
                    data = planes.plane(within)
                finally:
                    planes.close()
            else:
                data = _first_page(name)
        except SptError:
            raise
        except Exception as error:
            raise damaged(name, "TIFF", error) from error
        if data.size != prod(self._image) or data.dtype.kind != self.layout.dtype.kind:
            raise SptError(
                f"{name} is not like the other frames of its movie ({data.shape}, {data.dtype}; "
                f"expected {self._image}, {self.layout.dtype}). It changed since, or is damaged."
            )
        return data.reshape(self._image)

    def origin(self, number: int) -> tuple[str, int]:
        """Return the file a plane lies in, and its number in there, from 0."""
        index, within = divmod(number, self._per_file)
        return self._files.files[index] or "", within

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""


def gather(source: str | Sequence[str], name: str | None = None) -> FrameFiles:
    """Find the single frames that a folder or a list of files holds, and their order.

    Parameters
    ----------
    source : str or sequence of str
        A folder, whose hidden files and files that are no TIFF are left out; or files, all of
        which are taken.
    name : str, optional
        The movie, for people.

    Returns
    -------
    FrameFiles

    Raises
    ------
    SptError
        If there are fewer than two frames, files of several frames, frames of different sizes
        or types, or frames of more than one movie.
    """
    if isinstance(source, str):
        files, others = _in_folder(source)
        name = name or source
        groups: dict[Any, list[str]] = {}
        for file in files:
            groups.setdefault(template(file), []).append(file)
        several = {key: group for key, group in groups.items() if len(group) > 1}
        if len(several) > 1:
            shown = ", ".join(Path(group[0]).name for group in list(several.values())[:3])
            raise SptError(
                f"{name} is a folder of frames of {len(several)} movies (they start with {shown})."
                "\nName the files of one of them (with a pattern), or put each into its own folder."
            )
        if several:
            ((_, taken),) = several.items()
            others += len(files) - len(taken)
            files = taken
        notes = [f"{others:,} other files of the folder were left out."] if others else []
    else:
        files = sorted(dict.fromkeys(source), key=natural)
        name = name or (f"{files[0]} and {len(files) - 1} more" if len(files) > 1 else str(files))
        notes = []
    if len(files) < 2:
        what = "one frame" if files else "no frame as TIFF"
        raise SptError(
            f"{name} is a folder with {what}: expected single frames, of one size and named in "
            "their order, or give a movie by the name of its file."
            if isinstance(source, str)
            else f"{name}: expected the names of at least two single frames as TIFF."
        )
    check_alike(files, name)
    axes, shape, placed, order_notes = _arrange(files)
    return FrameFiles(name, placed, axes, shape, (*order_notes, *notes))


def _in_folder(folder: str) -> tuple[list[str], int]:
    """Return the TIFF files of a folder in natural order, and how many others it has."""
    try:
        entries = [e for e in Path(folder).iterdir() if e.is_file()]
    except OSError as error:
        raise SptError(
            f"{folder} can't be listed ({error.strerror or error}): expected a readable folder. "
            "Check its permissions."
        ) from error
    names = [str(e) for e in entries if not e.name.startswith(".")]
    files = [name for name in names if head_of(name).startswith(TIFF_MAGIC)]
    return sorted(files, key=natural), len(names) - len(files)


def head_of(name: str, size: int = 16) -> bytes:
    """Return a file's first bytes, none where it can't be opened."""
    try:
        with Path(name).open("rb") as stream:
            return stream.read(size)
    except (OSError, ValueError):
        return b""


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts "a2" before "a10"."""
    parts = _NUMBER.split(name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def template(name: str) -> tuple[str, ...]:
    """Return what of a file's name is no number: frames of one movie have it in common."""
    return (str(Path(name).parent), *_NUMBER.split(Path(name).name.lower())[::2])


@dataclass(frozen=True)
class Single:
    """What makes a file a frame: its page and pixels, and that there is one moment only.

    Attributes
    ----------
    pages : int
        Pages in the file (channels).
    shape : tuple of int
        Of the page.
    dtype : str
        Of the pixels.
    """

    pages: int
    shape: tuple[int, ...]
    dtype: str


def look_at(name: str) -> Single | None:
    """Say what frame a TIFF file is, or None if it holds several or can't be read.

    Parameters
    ----------
    name : str
        The file.

    Raises
    ------
    SptError
        If it is damaged.
    """
    import tifffile

    try:
        with silence("tifffile"), tifffile.TiffFile(name) as tif:
            page = tif.pages.first
            try:
                tif.pages[MAX_CHANNELS]
            except IndexError:
                pages = len(tif.pages)
            else:
                return None
            if pages > 1 or tif.is_imagej or tif.is_ome or tif.is_shaped:
                axes = tif.series[0].axes if tif.series else "YX"
                size = dict(zip(axes, tif.series[0].shape, strict=True))
                others = prod(n for a, n in size.items() if a not in "YXSC")
                if others > 1 or size.get("C", 1) > MAX_CHANNELS:
                    return None
                pages = size.get("C", 1)
            return Single(pages, tuple(page.shape), str(page.dtype))
    except Exception as error:
        raise damaged(name, "TIFF", error) from error


def check_alike(files: Sequence[str], name: str) -> None:
    """Check that files hold one frame each, all of the same size and type.

    Raises
    ------
    SptError
        Says which file differs, and how.
    """
    first: Single | None = None
    for file in files:
        head = head_of(file)
        if not head.startswith(TIFF_MAGIC):
            why = "is no TIFF" if head else "can't be opened, or is empty"
            raise SptError(f"{file} {why}: expected single frames as TIFF, all alike.")
        single = look_at(file)
        if single is None:
            raise SptError(
                f"{name} is a folder or list of stacks, not of single frames ({file} has several)."
                "\nName each stack by itself."
            )
        first = first or single
        if single != first:
            raise SptError(
                f"{file} is not like {files[0]} ({_words(single)}; expected {_words(first)}): "
                "frames of one movie have the same size and type.",
                code="wrong-kind",
            )


def _words(single: Single) -> str:
    size = " × ".join(str(n) for n in single.shape)
    return f"{size} pixels of {single.dtype}" + (f" in {single.pages}" * (single.pages > 1))


@dataclass(frozen=True)
class _Numbers:
    """What the numbers in files' names stand for.

    Attributes
    ----------
    columns : list of tuple of int
        Of each number that varies, its value in each file.
    letters : list of (str or None)
        The axis that the word before it names.
    is_grid : bool
        Whether more than one varies, each on its own.
    """

    columns: list[tuple[int, ...]]
    letters: list[str | None]
    is_grid: bool


def _read_names(files: Sequence[str]) -> _Numbers:
    names = [Path(file).name for file in files]
    alike = len({template(file) for file in files}) == 1
    numbers = [[int(n) for n in _NUMBER.findall(one)] for one in names] if alike else []
    columns = list(zip(*numbers, strict=True))
    texts = _NUMBER.split(names[0].lower())[::2]
    varying = [k for k, column in enumerate(columns) if len(set(column)) > 1]
    letters = [_letter(texts[k]) for k in varying]
    columns = [columns[k] for k in varying]
    cells = set(zip(*columns, strict=True))
    # A clock beside a count varies with it, and fills the diagonal of a grid.
    full = len(cells) == len(files) and 2 * len(files) > prod(len(set(c)) for c in columns)
    if len(columns) < 2 or not full:
        return _Numbers(columns, letters, False)
    if "T" not in letters and None in letters:  # the number that runs last
        letters[len(letters) - 1 - letters[::-1].index(None)] = "T"
    return _Numbers(columns, [letter or "P" for letter in letters], True)


def by_position(files: Sequence[str]) -> list[list[str]]:
    """Part frames whose names say that they were taken at several places.

    Parameters
    ----------
    files : sequence of str
        Names with the same text; a number that is neither time, channel nor depth is a place.

    Returns
    -------
    list of list of str
        Frames of one place each, all in one list where the names say nothing of the kind.
    """
    numbers = _read_names(files)
    places = [
        column
        for column, letter in zip(numbers.columns, numbers.letters, strict=True)
        if letter == "P"
    ]
    if not numbers.is_grid or not places:
        return [list(files)]
    groups: dict[tuple[int, ...], list[str]] = {}
    for file, place in zip(files, zip(*places, strict=True), strict=True):
        groups.setdefault(place, []).append(file)
    return list(groups.values())


def _arrange(
    files: Sequence[str],
) -> tuple[str, tuple[int, ...], tuple[str | None, ...], list[str]]:
    """Return what the numbers in files' names stand for, and the files in their order."""
    numbers = _read_names(files)
    columns, letters = numbers.columns, numbers.letters
    if numbers.is_grid:
        cells = list(zip(*columns, strict=True))
        values = [sorted(set(column)) for column in columns]
        return _grid(files, cells, values, [str(letter) for letter in letters])
    letter = letters[0] if len(columns) == 1 and letters[0] in ("Z", "C") else "T"
    notes = []
    if letter == "T":
        how = "numbers" if columns else "names"
        notes.append(f"{len(files):,} files of one frame each, in the order of their {how}.")
    if len(columns) == 1:
        notes += _gaps(columns[0])
    return str(letter), (len(files),), tuple(files), notes


def _grid(
    files: Sequence[str],
    cells: Sequence[tuple[int, ...]],
    values: Sequence[Sequence[int]],
    letters: Sequence[str],
) -> tuple[str, tuple[int, ...], tuple[str | None, ...], list[str]]:
    shape = tuple(map(len, values))
    placed: list[str | None] = [None] * prod(shape)
    places = [{v: i for i, v in enumerate(column)} for column in values]
    for file, cell in zip(files, cells, strict=True):
        at = 0
        for value, place, length in zip(cell, places, shape, strict=True):
            at = at * length + place[value]
        placed[at] = file
    shown = ", ".join(f"{a} {n}" for a, n in zip(letters, shape, strict=True))
    notes = [
        f"{len(files):,} files of one frame each, sorted by the numbers in their names ({shown})."
    ]
    if "T" in letters:
        notes += _gaps(values[list(letters).index("T")])
    return "".join(letters), shape, tuple(placed), notes


def _letter(text: str) -> str | None:
    """Return the axis that the word before a number names: "_t001" is time."""
    word = _LAST_WORD.search(text)
    return _WORDS.get(word.group(1)) if word else None


def _gaps(numbers: Sequence[int]) -> list[str]:
    """Return a note on numbers that are not there."""
    there = sorted(set(numbers))
    steps = Counter(b - a for a, b in pairwise(there))
    if len(steps) < 2:
        return []
    usual = steps.most_common(1)[0][0]
    lost: list[int] = []
    for a, b in pairwise(there):
        lost += range(a + usual, min(b, a + usual * 1001), usual)
    if not lost:
        return []
    more = ", …" if len(lost) > MAX_NAMED else ""
    return [
        f"Of the numbers {there[0]} to {there[-1]} in the files' names {len(lost):,} are missing "
        f"({', '.join(map(str, lost[:MAX_NAMED]))}{more}): the frames around them were taken as "
        "neighbours in time, so that steps there are too long."
    ]


def _first_page(name: str) -> npt.NDArray[Any]:
    import tifffile

    with silence("tifffile") as said, tifffile.TiffFile(name) as tif:
        page = tif.pages.first
        try:
            data = page.asarray(maxworkers=1)
        except Exception as error:
            raise explain(name, page, error) from error
    check_said(name, said)
    return data
