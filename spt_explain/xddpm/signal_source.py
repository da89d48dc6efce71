"""What the user means by a signal: something to measure, a table, or a column of a table."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option, printable
from spt_explain.readers.wording import quoted
from spt_explain.xddpm.measured import MEASURED
from spt_explain.xddpm.signal_table import SUFFIXES, read_table
from spt_explain.xddpm.simulate.files import PER_FRAME, PER_MOVIE

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class SignalSource:
    """Where a signal comes from.

    Attributes
    ----------
    measured : str or None
        What is measured from the movies.
    path : pathlib.Path or None
        The table.
    columns : tuple of str
        Its columns that are values; none: all of them.
    """

    measured: str | None = None
    path: Path | None = None
    columns: tuple[str, ...] = ()


def signal_source(signal: str | Path, movies: Sequence[str | Path]) -> SignalSource:
    """Find out what a user means.

    Parameters
    ----------
    signal : str or pathlib.Path
        A name of `MEASURED`, a table, ``TABLE:COLUMN,COLUMN``, the folder of a table, or a column
        of a table in a folder of movies.
    movies : sequence of str or pathlib.Path
        As given: tables are looked for in those that are folders.

    Raises
    ------
    SptError
        If it is none of these, or can be several.
    """
    text = str(signal)
    if text.lower() in MEASURED and not isinstance(signal, Path):
        return SignalSource(measured=text.lower())
    path = Path(text)
    if not text.strip():
        raise SptError(
            f"no signal was named: expected {', '.join(MEASURED)}, or a table "
            f"({option('signal', 'FILE')}).",
            code="not-found",
            option="signal",
        )
    if _is(path, "file"):
        return SignalSource(path=path)
    if _is(path, "dir"):
        return SignalSource(path=_only_table(path))
    before, _, after = text.rpartition(":")
    if before and after and (_is(Path(before), "file") or _is(Path(before), "dir")):
        columns = tuple(part.strip() for part in after.split(",") if part.strip())
        place = Path(before)
        if place.is_dir():
            return SignalSource(path=_table_with(place, columns, text), columns=columns)
        return SignalSource(path=place, columns=columns)
    if path.suffix.lower() in SUFFIXES or "/" in text or "\\" in text:
        raise SptError(
            f"{printable(text)} was not found: expected a table of signals (CSV, TSV or Parquet), "
            f"or one of {', '.join(MEASURED)}. {_instead(Path(before) if after else path)}",
            code="not-found",
        )
    folders = [Path(movie) for movie in movies if _is(Path(movie), "dir")]
    with_column = [
        table for folder in folders for table in _tables(folder) if _has(table, text.split(","))
    ]
    if len(with_column) > 1:
        raise SptError(
            f"{quoted(text)} is a column of {with_column[0]} and of {with_column[1]}: name one, "
            f"{option('signal', f'{with_column[0]}:{text}')}.",
            code="wrong-kind",
            option="signal",
        )
    if with_column:
        names = tuple(part.strip() for part in text.split(","))
        return SignalSource(path=with_column[0], columns=names)
    close = difflib.get_close_matches(text.lower(), MEASURED, n=1, cutoff=0.6)
    raise SptError(
        f"there is no signal {quoted(text)}: expected {', '.join(MEASURED)} (measured from the "
        "movies), or a table with the columns movie, frame and the signal (CSV, TSV or Parquet)."
        + (f" Did you mean {close[0]}?" if close else "")
    )


def _instead(path: Path) -> str:
    """Return what a user may have meant by a table that is not there."""
    there: list[str] = []
    with contextlib.suppress(OSError, ValueError):
        there = [one.name for one in path.parent.iterdir() if one.suffix.lower() in SUFFIXES]
    close = difflib.get_close_matches(path.name, there, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {printable(str(path.with_name(close[0])))}?"
    return f"Check the spelling; you are in {Path.cwd()}."


def _is(path: Path, what: str) -> bool:
    try:
        return path.is_file() if what == "file" else path.is_dir()
    except (OSError, ValueError):
        return False


def _tables(folder: Path) -> list[Path]:
    """Return the tables of a folder; what simulate wrote first."""
    own = [folder / name for name in (PER_FRAME, PER_MOVIE) if (folder / name).is_file()]
    if own:
        return own
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _only_table(folder: Path) -> Path:
    tables = _tables(folder)
    if not tables:
        raise SptError(
            f"{folder} holds no table of signals: expected a file that ends in "
            f"{', '.join(SUFFIXES)}, or the table itself.",
            code="no-data",
        )
    if len(tables) > 1 and tables[0].name != PER_FRAME:
        raise SptError(
            f"{folder} holds {len(tables)} tables ({tables[0].name}, {tables[1].name}): name one, "
            f"{option('signal', tables[0])}.",
            code="wrong-kind",
            option="signal",
        )
    return tables[0]


def _table_with(folder: Path, columns: tuple[str, ...], text: str) -> Path:
    found = [table for table in _tables(folder) if _has(table, columns)]
    if len(found) != 1:
        held = "no table" if not found else f"{len(found)} tables"
        raise SptError(
            f"{printable(text)}: the folder {folder} holds {held} with that column. Name "
            "the table.",
            code="wrong-kind",
        )
    return found[0]


def _has(path: Path, columns: Sequence[str]) -> bool:
    try:
        there = {name.lower() for name in read_table(path).columns}
    except SptError:
        return False
    return all(column.strip().lower() in there for column in columns)
