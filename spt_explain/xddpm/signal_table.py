"""A table of signals as columns of text: CSV, TSV and their kin, or Parquet."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, printable
from spt_explain.readers.text import decode, find_encoding, is_missing, is_number
from spt_explain.readers.wording import quoted

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 30
"""A larger file is taken for something else."""
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
"""Of files in a folder of movies that may hold signals."""

_MAGIC = {
    b"PK\x03\x04": "an Excel file or another archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"II*\0": "a TIFF, a movie",
    b"MM\0*": "a TIFF, a movie",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "compressed with gzip",
}
_DELIMITERS = ("\t", ";", ",", "|")


@dataclass(frozen=True)
class TextTable:
    """Columns of a table, as text.

    Attributes
    ----------
    path : str
        The file, for messages.
    columns : dict of str to list of str
        Equally long; numbers with a decimal point.
    lines : list of int
        Of each row its line in the file, from 1.
    """

    path: str
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)


def read_table(path: Path) -> TextTable:
    """Read a table with a header row.

    Raises
    ------
    SptError
        If there is no such file, or it is no table with a header row and rows of equal length.
    """
    name = printable(str(path))
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            if head.startswith(b"PAR1"):
                return _parquet(path, name)
            data = head + stream.read(MAX_BYTES)
    except FileNotFoundError as error:
        raise SptError(
            f"{name} was not found: expected a table of signals (CSV, TSV or Parquet). Check the "
            "spelling and the folder you are in."
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SptError(f"{name} can't be opened ({why}): expected a table of signals.") from error
    if not data.strip():
        raise SptError(f"{name} is empty: expected a table of signals. Export it again.")
    known = next((words for magic, words in _MAGIC.items() if data.startswith(magic)), None)
    encoding = None if known or len(data) > MAX_BYTES else find_encoding(data[: 1 << 16])
    if encoding is None:
        raise SptError(
            f"{name} is {known or 'neither text nor Parquet'}: expected a table of signals. Save "
            "it as CSV (UTF-8)."
        )
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = decode(data, "cp1252" if encoding.startswith("utf-8") else encoding)
    return _parse(text.lstrip("\ufeff"), name)


def _parquet(path: Path, name: str) -> TextTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
        columns = {
            str(key): ["" if v is None else str(v) for v in table.column(i).to_pylist()]
            for i, key in enumerate(table.column_names)
        }
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:80]
        raise SptError(
            f"{name} is a damaged Parquet file ({said}): write it again, or save it as CSV."
        ) from error
    if len(columns) != table.num_columns:
        raise SptError(f"{name} has two columns of one name: rename one of them.")
    if not table.num_rows:
        raise SptError(f"{name} has no rows: expected a table of signals.")
    return TextTable(name, columns, list(range(1, table.num_rows + 1)))


def _parse(text: str, name: str) -> TextTable:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 0
    while first < len(lines) and (not lines[first].strip() or lines[first].startswith("#")):
        first += 1
    if first == len(lines):
        raise SptError(f"{name} holds no table: expected columns with a header row.")
    delimiter = _delimiter(lines[first : first + 50])
    rows: list[tuple[int, list[str]]] = []
    try:
        if delimiter == " ":
            rows = [(i, line.split()) for i, line in enumerate(lines[first:], first + 1)]
        else:
            reader = csv.reader(io.StringIO("\n".join(lines[first:])), delimiter=delimiter)
            rows = [(first + reader.line_num, [f.strip() for f in row]) for row in reader]
    except csv.Error as error:
        raise SptError(
            f"{name} can't be read as a table ({error}): save it as CSV again.", code="unreadable"
        ) from error
    rows = [(i, row) for i, row in rows if any(row)]
    if not rows:
        raise SptError(f"{name} holds no table: expected columns with a header row.")
    header = rows.pop(0)[1]
    while header and not header[-1] and all(len(r) < len(header) or not r[-1] for _, r in rows):
        header.pop()
    if all(is_number(field) for field in header if field):
        raise SptError(
            f"{name} has no header row (it begins with {quoted(delimiter.join(header))}): expected "
            "names of columns first, such as movie, frame, area."
        )
    if not rows:
        raise SptError(f"{name} has a header row and nothing below it: expected rows of a signal.")
    width = len(header)
    for number, row in rows:
        if len(row) < width or any(row[width:]):
            raise SptError(
                f"{name}: line {number} has {len(row)} fields, the header row {width}. The file "
                "was cut short or edited; export it again."
            )
    named = [field for field in header if field]
    twice = next((field for field in named if named.count(field) > 1), None)
    if twice is not None:
        raise SptError(f"{name} has two columns named {quoted(twice)}: rename one of them.")
    columns = {field: [row[i] for _, row in rows] for i, field in enumerate(header) if field}
    if delimiter != ",":
        columns = {key: _with_points(values) for key, values in columns.items()}
    return TextTable(name, columns, [number for number, _ in rows])


def _delimiter(lines: list[str]) -> str:
    """Return what separates fields; a table of one column has none and a comma does no harm."""
    useful = [line for line in lines if line.strip()]
    best = (0, ",")
    for delimiter in _DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(useful, delimiter=delimiter)]
        except csv.Error:
            continue
        header = counts[0] if counts else 0
        fitting = sum(count >= header for count in counts)
        if header > 1 and fitting >= 0.8 * len(counts) and header > best[0]:
            best = (header, delimiter)
    if not best[0] and len(useful) > 1:
        counts = [len(line.split()) for line in useful]
        if counts[0] > 1 and min(counts) == max(counts):
            return " "
    return best[1]


def _with_points(values: list[str]) -> list[str]:
    """Turn decimal commas into points, if all that is there are numbers, some with a comma."""
    there = [value for value in values if not is_missing(value)]
    if any("," in value for value in there) and all(
        is_number(value) and "." not in value for value in there
    ):
        return [value.replace(",", ".") for value in values]
    return values
