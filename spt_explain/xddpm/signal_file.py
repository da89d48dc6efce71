"""Signals from a file: a number, several, or a category of each movie or each of its frames."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from spt_explain.errors import SptError, option, printable
from spt_explain.readers.text import is_missing, is_number
from spt_explain.readers.wording import quoted, some
from spt_explain.xddpm.signal_table import TextTable, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spt_explain.xddpm.signals import Kind

MOVIE_COLUMNS = ("movie", "file", "filename", "file name", "movie name", "image", "stack", "video")
"""Names of the column that says which movie, whatever their case."""
FRAME_COLUMNS = ("frame", "frames", "slice", "frame number", "timepoint", "time point")
"""Names of the column that says which frame."""
TIME_COLUMNS = ("t", "time")
"""The same, if it holds whole numbers; else it is left out."""
SHOWN = 3
"""So many names are shown in a message."""

_EXTENSIONS = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".nd2", ".czi", ".lsm", ".stk")


@dataclass(frozen=True)
class FileSignals:
    """The signal of each movie.

    Attributes
    ----------
    names : tuple of str
        Of the values.
    per : {"movie", "frame"}
        What has one set of values.
    kind : {"number", "category"}
    each : list of numpy.ndarray
        Values of each movie: numbers (values,) or (frames, values), NaN where not known; of
        categories texts () or (frames,), empty where not known.
    notes : tuple of str
        What was assumed and what was left out.
    """

    names: tuple[str, ...]
    per: Literal["movie", "frame"]
    kind: Kind
    each: list[NDArray[np.generic]]
    notes: tuple[str, ...]


def read_signals(
    path: Path,
    movies: Sequence[tuple[str, int]],
    *,
    columns: Sequence[str] = (),
    kind: Literal["auto", "number", "category"] = "auto",
) -> FileSignals:
    """Read the signals of some movies from a table.

    A column ``movie`` names the movie of each row, with or without folder and extension; with one
    movie it may be absent. A column ``frame`` (from 0, or from 1 where the last frame's number
    says so) makes it a signal per frame; frames may be missing. All other columns are values.

    Parameters
    ----------
    path : pathlib.Path
        CSV, TSV (also with semicolons and decimal commas), or Parquet; with a header row.
    movies : sequence of (str, int)
        Name and number of frames of each movie.
    columns : sequence of str, optional
        Columns to take as values; all numbers by default.
    kind : {"auto", "number", "category"}
        By default numbers; one column of text is a category.

    Raises
    ------
    SptError
        If the table can't be read, or table and movies don't fit; says what is missing.
    """
    table = read_table(path)
    notes: list[str] = []
    keys = {name.strip().lower(): name for name in table.columns}
    movie_key = next((keys[name] for name in MOVIE_COLUMNS if name in keys), None)
    frame_key = next((keys[name] for name in FRAME_COLUMNS if name in keys), None)
    time_key = next((keys[name] for name in TIME_COLUMNS if name in keys), None)
    if time_key is not None and time_key not in columns:
        if frame_key is None and _whole(table.columns[time_key]):
            frame_key, time_key = time_key, None
        elif len(table.columns) > 1:
            notes.append(f"Column {quoted(time_key)} was taken for the time and is no signal.")
        else:
            time_key = None
    else:
        time_key = None
    taken = {key for key in (movie_key, frame_key, time_key) if key is not None}
    if movie_key is None and len(movies) > 1:
        movie_key = _names_movies(table, taken, [name for name, _ in movies])
        if movie_key is None:
            raise SptError(
                f"{table.path} has no column movie (columns: {', '.join(table.columns)}), and "
                f"there are {len(movies):,} movies: expected the file name of a movie in each row.",
                code="not-found",
            )
        taken.add(movie_key)
    chosen, kind_found = _value_columns(table, taken, columns, kind, notes)
    rows = _rows_of(table, movie_key, [name for name, _ in movies], notes)
    values = _values(table, chosen, kind_found)
    if frame_key is None and any(len(own) > 1 for own in rows):
        for (name, n_frames), own in zip(movies, rows, strict=True):
            if len(own) != n_frames:
                raise SptError(
                    f"{table.path} has {some(len(own), 'row')} for {printable(name)}, which has "
                    f"{n_frames:,} frames, and no column frame: expected one row for each movie, "
                    "one for each frame, or the frame's number in a column frame.",
                    code="not-found",
                )
        notes.append("Rows were taken for frames in their order, as there is no column frame.")
        return FileSignals(chosen, "frame", kind_found, [values[own] for own in rows], tuple(notes))
    if frame_key is None:
        each = [values[own[0]] for own in rows]
        return FileSignals(chosen, "movie", kind_found, each, tuple(notes))
    frames = _frame_numbers(table, frame_key)
    first = _first_frame(frames, rows, movies, notes)
    each = [
        _by_frame(table, values, frames - first, own, movie, first)
        for own, movie in zip(rows, movies, strict=True)
    ]
    _tell_missing(each, movies, notes)
    return FileSignals(chosen, "frame", kind_found, each, tuple(notes))


def _value_columns(
    table: TextTable,
    taken: set[str],
    wanted: Sequence[str],
    kind: Literal["auto", "number", "category"],
    notes: list[str],
) -> tuple[tuple[str, ...], Kind]:
    """Return the columns that are values, and what they are."""
    if wanted:
        by_name = {name.lower(): name for name in table.columns}
        missing = [name for name in wanted if name.lower() not in by_name]
        if missing:
            raise SptError(
                f"{table.path} has no column {quoted(missing[0])}; it has "
                f"{', '.join(table.columns)}.",
                code="not-found",
            )
        names = [name if name in table.columns else by_name[name.lower()] for name in wanted]
    else:
        names = [name for name in table.columns if name not in taken]
    if not names:
        raise SptError(
            f"{table.path} has no values (columns: {', '.join(table.columns)}): expected a column "
            "with the signal beside movie and frame."
        )
    numbers = [name for name in names if _numeric(table.columns[name])]
    if kind == "category" or (kind == "auto" and not numbers):
        if len(names) > 1:
            raise SptError(
                f"{table.path} has several columns ({', '.join(names)}); a signal of categories is "
                f"one of them. Name it: {option('signal', f'{table.path}:{names[0]}')}.",
                option="signal",
            )
        return tuple(names), "category"
    text = [name for name in names if name not in numbers]
    if text and (wanted or kind == "number"):
        at, said = next(
            (line, v)
            for line, v in zip(table.lines, table.columns[text[0]], strict=True)
            if not is_missing(v) and not is_number(v)
        )
        raise SptError(
            f"{table.path}: column {quoted(text[0])} holds {quoted(said)} in line {at}; expected "
            f"numbers. If these are categories, say so with {option('kind', 'category')} and name "
            "this column alone.",
            code="wrong-kind",
            option="kind",
        )
    if text:
        notes.append(f"Columns of text are no signal: {', '.join(text)}.")
    return tuple(numbers), "number"


def _numeric(values: Sequence[str]) -> bool:
    there = [value for value in values if not is_missing(value)]
    return bool(there) and all(is_number(value) and "," not in value for value in there)


def _whole(values: Sequence[str]) -> bool:
    return all(value.removesuffix(".0").removeprefix("-").isdecimal() for value in values)


def _values(table: TextTable, names: Sequence[str], kind: Kind) -> NDArray[np.generic]:
    """Return (rows, values) numbers, or (rows,) texts."""
    if kind == "category":
        return np.asarray(["" if is_missing(v) else v for v in table.columns[names[0]]], dtype=str)
    values = np.empty((len(table), len(names)))
    for i, name in enumerate(names):
        values[:, i] = [math.nan if is_missing(v) else float(v) for v in table.columns[name]]
        if np.isinf(values[:, i]).any():
            line = table.lines[int(np.argmax(np.isinf(values[:, i])))]
            raise SptError(
                f"{table.path}: column {quoted(name)} is infinite in line {line}; expected a "
                "number, or nothing where it is not known."
            )
    return values


def _names_movies(table: TextTable, taken: set[str], movies: Sequence[str]) -> str | None:
    """Return a column of another name (Fiji's Label) whose texts are the names of movies."""
    known = {form for name in movies for form in _forms(name)}
    for name, values in table.columns.items():
        if name not in taken and not _numeric(values):
            there = {value for value in values if value}
            if there and all(any(form in known for form in _forms(value)) for value in there):
                return name
    return None


def _forms(name: str) -> list[str]:
    """Return the ways to name a movie, the most exact first: less and less of its folders."""
    plain = PurePosixPath(printable(name).strip().replace("\\", "/")).as_posix().lower()
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    whole = ["/".join(parts[i:]) for i in range(len(parts))]
    forms = []
    for form in whole:
        forms.append(form)
        cut = next((form[: -len(e)] for e in _EXTENSIONS if form.endswith(e)), None)
        if cut:
            forms.append(cut)
    return forms


def _rows_of(
    table: TextTable, movie_key: str | None, movies: Sequence[str], notes: list[str]
) -> list[NDArray[np.int64]]:
    """Return the rows of each movie."""
    if movie_key is None:
        return [np.arange(len(table))]
    owners: dict[str, set[int]] = defaultdict(set)
    for i, name in enumerate(movies):
        for form in _forms(name):
            owners[form].add(i)
    found: list[list[int]] = [[] for _ in movies]
    resolved: dict[str, int | None] = {}
    for row, value in enumerate(table.columns[movie_key]):
        if value not in resolved:
            own = next((owners[form] for form in _forms(value) if form in owners), set[int]())
            if len(own) > 1:
                shown = ", ".join(printable(movies[i]) for i in sorted(own)[:SHOWN])
                raise SptError(
                    f"{table.path}: {quoted(value)} in line {table.lines[row]} can be any of "
                    f"{shown}: give its folder too."
                )
            resolved[value] = next(iter(own), None)
        owner = resolved[value]
        if owner is not None:
            found[owner].append(row)
    strangers = [value for value, owner in resolved.items() if owner is None]
    without = [name for name, rows in zip(movies, found, strict=True) if not rows]
    if len(without) == len(movies):
        raise SptError(
            f"{table.path} has rows for {_listed(strangers)}, and none for the "
            f"{some(len(movies), 'movie')} given ({_listed(movies)}): expected their file names in "
            f"column {quoted(movie_key)}."
        )
    if without:
        raise SptError(
            f"{table.path} has no row for {len(without):,} of {len(movies):,} movies: "
            f"{_listed(without)}. Add their rows, or leave these movies out.",
            code="not-found",
        )
    if strangers:
        notes.append(
            f"Rows of {some(len(strangers), 'other movie')} were left out: {_listed(strangers)}."
        )
    return [np.asarray(rows, np.int64) for rows in found]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) or "(nothing)" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _frame_numbers(table: TextTable, key: str) -> NDArray[np.int64]:
    numbers = np.empty(len(table), np.int64)
    for row, value in enumerate(table.columns[key]):
        number = float(value) if is_number(value) and "," not in value else math.nan
        if not number.is_integer() or not 0 <= number < 2**53:
            raise SptError(
                f"{table.path}: column {quoted(key)} holds {quoted(value)} in line "
                f"{table.lines[row]}; expected the number of a frame, from 0.",
                code="wrong-kind",
            )
        numbers[row] = int(number)
    return numbers


def _first_frame(
    frames: NDArray[np.int64],
    rows: Sequence[NDArray[np.int64]],
    movies: Sequence[tuple[str, int]],
    notes: list[str],
) -> int:
    """Return 1 if frames are counted from 1: none is 0, and a movie's last one is its length."""
    own = np.concatenate(list(rows))
    last = any(len(r) and frames[r].max() == n for r, (_, n) in zip(rows, movies, strict=True))
    if last and frames[own].min() >= 1:
        notes.append("Frames were counted from 1 in the table.")
        return 1
    return 0


def _by_frame(
    table: TextTable,
    values: NDArray[np.generic],
    frames: NDArray[np.int64],
    rows: NDArray[np.int64],
    movie: tuple[str, int],
    first: int,
) -> NDArray[np.generic]:
    """Return the values of each frame of a movie, not known where there is no row."""
    name, n_frames = movie
    at = frames[rows]
    if at.max() >= n_frames:
        line = table.lines[rows[int(np.argmax(at))]]
        raise SptError(
            f"{table.path}: line {line} is frame {at.max() + first} of {printable(name)}, which "
            f"has frames {first} to {n_frames - 1 + first}."
        )
    counts = np.bincount(at, minlength=n_frames)
    if counts.max() > 1:
        frame = int(np.argmax(counts > 1))
        line = table.lines[rows[np.flatnonzero(at == frame)[1]]]
        raise SptError(
            f"{table.path}: frame {frame + first} of {printable(name)} is there twice (line "
            f"{line}); expected one row for each frame. With several cells in a frame, add them "
            "up or cut them out as movies."
        )
    whole: NDArray[np.generic]
    if values.dtype.kind == "U":
        whole = np.full(n_frames, "", values.dtype)
    else:
        whole = np.full((n_frames, values.shape[1]), np.nan)
    whole[at] = values[rows]
    return whole


def _tell_missing(
    each: Sequence[NDArray[np.generic]], movies: Sequence[tuple[str, int]], notes: list[str]
) -> None:
    gone = 0
    for values in each:
        gone += int(
            (values == "").sum() if values.dtype.kind == "U" else np.isnan(values).any(axis=1).sum()
        )
    if gone:
        whole = sum(n for _, n in movies)
        notes.append(f"{gone:,} of {whole:,} frames have no value in the table: not known.")
