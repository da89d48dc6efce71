"""How a text table is written: its encoding, separator, decimal sign, header and first rows."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.readers.inputs import Input

SAMPLE_LINES = 200
"""Lines looked at to find out how a table is written."""
ENOUGH_LINES = 30
"""As few lines will do, where lines are long."""
MAX_SAMPLE_BYTES = 1 << 23
"""Bytes looked at, at most."""
MAX_ROWS_BELOW = 3
"""Further header rows below the names (names for people, short names, units)."""

MISSING = frozenset(
    (
        *("", "none", "null", "nan", "-nan", "na", "n/a", "<na>", "#n/a", "ø", "?"),
        *("1.#qnan", "-1.#ind", "1.#ind", "\ufffd"),
    )
)
"""Fields that stand for "no value" (lower-cased)."""

_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?)|-?nan", re.I
)
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")
_COMMENT = ("#", "%", "//")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_DELIMITERS = ("\t", ";", ",", "|", " ", None)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Layout:
    """How a table is written.

    Attributes
    ----------
    encoding : str
        Name of the encoding for Python's codecs.
    delimiter : str or None
        What separates fields; None for runs of blanks.
    decimal : str
        ``"."`` or ``","``.
    names : tuple of str
        A name for each column (``""`` where it has none); empty if there is no header row.
    width : int
        Number of columns.
    skip : int
        Lines before the first row of data.
    header_line : int
        Line number of the header row, counted from 1; 0 if there is none.
    below : tuple of tuple of str
        Further header rows below the names.
    sample : tuple of tuple of str
        The first rows of data, fields stripped.
    """

    encoding: str
    delimiter: str | None
    decimal: str
    names: tuple[str, ...]
    width: int
    skip: int
    header_line: int
    below: tuple[tuple[str, ...], ...]
    sample: tuple[tuple[str, ...], ...]


def is_number(field: str) -> bool:
    """Whether a field reads as a number, with either decimal sign."""
    return _NUMBER.fullmatch(field) is not None


def is_missing(field: str) -> bool:
    """Whether a field stands for "no value"."""
    return field.strip().lower() in MISSING


def find_encoding(head: bytes) -> str | None:
    """Return the encoding of a file that begins with `head`, or None if it is no text.

    Byte order marks first, then the pattern of zeros that UTF-16 leaves in numbers, then UTF-8;
    what is none of these and has no control characters is CP1252 (TrackMate on Windows).
    """
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    zeros = head.count(0)
    if zeros:
        even, odd = (head[start::2].count(0) / max(1, len(head) // 2) for start in (0, 1))
        if max(even, odd) < 0.7 or min(even, odd) > 0.05:
            return None
        return "utf-16-le" if odd > even else "utf-16-be"
    control = sum(head.count(code) for code in range(32) if code not in b"\t\n\r\f\v")
    if control > len(head) * 0.002:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        high = len(head) - len(head.translate(None, bytes(range(128, 256))))
        return None if high > len(head) * 0.1 else "cp1252"
    return "utf-8"


def first_lines(source: Input, encoding: str) -> list[str]:
    """Return the first lines of a text, without the one that was cut off at the end."""
    data = source.head
    whole = False
    with source.open() as stream:
        data = stream.read(len(source.head))
        while True:
            lines = _NEWLINE.split(decode(data, encoding))
            if len(lines) > ENOUGH_LINES or len(data) >= MAX_SAMPLE_BYTES:
                break
            more = stream.read(max(len(data), 1 << 16))
            if not more:
                whole = True
                break
            data += more
    if not whole and len(lines) > 1:
        lines = lines[:-1]
    return lines[:SAMPLE_LINES]


def decode(data: bytes, encoding: str) -> str:
    """Decode the beginning of a file; what can't be decoded becomes a question mark."""
    return codecs.getincrementaldecoder(encoding)(errors="replace").decode(data)


def layout_of(source: Input) -> Layout:
    """Find out how the table in `source` is written.

    Raises
    ------
    SptError
        If the file's bytes are no text.
    NotTracksError
        If it is text but no table.
    """
    known = source.memory.get("layout")
    if known is None:
        try:
            known = _look(source)
        except SptError as error:
            known = error
        source.memory["layout"] = known
    if isinstance(known, SptError):
        raise known
    assert isinstance(known, Layout)
    return known


def split(line: str, delimiter: str | None) -> list[str]:
    """Return the fields of one line, stripped."""
    if delimiter is None:
        return line.split()
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return [line]


def _look(source: Input) -> Layout:
    encoding = find_encoding(source.head)
    if encoding is None:
        raise SptError(
            f"{source.label} is neither text nor a file type known here: expected tracks as text "
            "(CSV, TSV, XML).\nExport it again as CSV, in UTF-8.",
            code="unreadable",
        )
    lines = first_lines(source, encoding)
    delimiter, width = _delimiter(lines)
    if not width:
        raise not_a_table(source, lines)
    rows: list[tuple[int, tuple[str, ...]]] = []
    comment: str | None = None
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(_COMMENT) and not rows:
            comment = line
        elif line.strip():
            rows.append((number, tuple(split(line, delimiter))))

    start = next((i for i, (_, row) in enumerate(rows) if _heads(row, width)), None)
    if start is None:
        raise not_a_table(source, lines)
    number, names = rows[start]
    header_line = number
    below: list[tuple[str, ...]] = []
    if _mostly_numbers(names):
        names, header_line = _names_in_comment(comment, delimiter, width), 0
        skip = number - 1
    else:
        start += 1
        skip = number
        while start < len(rows) and len(below) < MAX_ROWS_BELOW and _is_words(rows[start][1]):
            skip = rows[start][0]
            below.append(rows[start][1])
            start += 1
    data = [row for _, row in rows[start:] if not row[0].startswith(_COMMENT)]
    if names and len(names) != width:
        names = _fit(names, width, data)
    if not names and sum(map(_mostly_numbers, data)) * 2 < len(data):
        raise not_a_table(source, lines)
    if names and data and not any(sum(map(is_number, row)) >= 2 for row in data):
        raise not_a_table(source, lines)
    return Layout(
        encoding=encoding,
        delimiter=delimiter,
        decimal=_decimal(data),
        names=names,
        width=width,
        skip=skip,
        header_line=header_line,
        below=tuple(below),
        sample=tuple(row for row in data if len(row) == width),
    )


def not_a_table(source: Input, lines: Sequence[str]) -> NotTracksError:
    """Return the error for text that is no table (a log, notes, a script)."""
    first = next((line for line in lines if line.strip()), "")
    named = source.name.lower().removesuffix(".gz")
    kind = "text, not a table"
    if named.endswith((".xml", ".mdf")) or "trackmate" in " ".join(lines[:20]).lower():
        kind = "plain text (a log?), neither XML nor a table"
    return NotTracksError(
        f"{source.label} is {kind}: it begins with {quoted(first)}; expected a table with a row "
        "for each position.\nExport the tracks themselves: as CSV, or from TrackMate with "
        '"Export tracks to XML file".'
    )


def _delimiter(lines: Sequence[str]) -> tuple[str | None, int]:
    """Return the separator and the number of columns, 0 if the lines form no table."""
    useful = [line for line in lines if line.strip() and not line.lstrip().startswith(_COMMENT)]
    best: tuple[float, int] = (0.0, 0)
    found: str | None = None
    for delimiter in _DELIMITERS:
        if delimiter == " " and any("  " in line or line != line.strip() for line in useful):
            continue  # columns are lined up with blanks
        counts = Counter(len(split(line, delimiter)) for line in useful)
        counts.pop(0, None)
        counts.pop(1, None)
        if not counts:
            continue
        width, rows = max(counts.items(), key=lambda item: (item[1], item[0]))
        # Names in a header may hold blanks: a real separator explains the header as well.
        score = (round(rows / len(useful), 2), width if delimiter not in (" ", None) else 0)
        if score > best:
            best, found, best_width = score, delimiter, width
    if best[0] < 0.5:
        return None, 0
    return found, best_width


def _heads(row: Sequence[str], width: int) -> bool:
    """Whether a row can be the header or the first row of data, not a line of a preamble."""
    filled = sum(1 for field in row if field)
    return width - 1 <= len(row) <= width + 1 and filled >= max(2, width / 2 - 1)


def _mostly_numbers(row: Sequence[str]) -> bool:
    filled = [field for field in row if field]
    return sum(map(is_number, filled)) * 2 >= max(1, len(filled))


def _is_words(row: Sequence[str]) -> bool:
    return any(row) and not any(map(is_number, row))


def _names_in_comment(comment: str | None, delimiter: str | None, width: int) -> tuple[str, ...]:
    """Return column names from the last comment above a table without header (numpy.savetxt)."""
    if comment is None:
        return ()
    text = comment.strip().lstrip("#%/ ")
    for separator in (delimiter, ",", "\t", None):
        names = tuple(split(text, separator))
        if len(names) == width and not _mostly_numbers(names):
            return names
    return ()


def _fit(names: tuple[str, ...], width: int, data: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return names for each column where header and rows differ in length by one."""
    if len(names) > width:
        return names[:width]
    if all(not row[-1] for row in data if len(row) == width):
        return (*names, "")  # rows end with a separator that the header lacks
    return ("", *names)  # R's write.table leaves out the name of the row names


def _decimal(data: Sequence[Sequence[str]]) -> str:
    fields = [field for row in data for field in row]
    comma = any(_COMMA_NUMBER.fullmatch(field) for field in fields)
    return "," if comma and not any(_POINT_NUMBER.fullmatch(field) for field in fields) else "."
