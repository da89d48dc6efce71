"""Reading columns row by row, so that what is wrong can be named with its line."""

from __future__ import annotations

import csv
import io
from array import array
from typing import IO, TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.readers.arrays import (
    Loaded,
    Numbers,
    Words,
    as_numbers,
    as_typed,
    ends_with_newline,
    guarded,
    joined,
    truncated,
)
from spt_explain.readers.dialects import NUMBER_ROLES
from spt_explain.readers.text import is_missing, is_number
from spt_explain.readers.wording import quoted, some

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from spt_explain.readers.dialects import Column
    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import Layout


class Careful:
    """Reads row by row, so that what is wrong can be named with its line."""

    def __init__(
        self, source: Input, layout: Layout, columns: Mapping[str, Column], encoding: str
    ) -> None:
        self.source = source
        self.layout = layout
        self.columns = columns
        self.encoding = encoding
        self.codes: dict[str, array[int]] = {}
        self.words: dict[str, dict[str, int]] = {}
        self.numbers: dict[str, array[float]] = {}
        for role in columns:
            if role not in NUMBER_ROLES:
                self.codes[role] = array("q")
                self.words[role] = {}
            else:
                self.numbers[role] = array("d")

    def load(self) -> Loaded:
        """Read all rows; raise an error that names the line where one is wrong."""
        import numpy as np

        wrong: _WrongRowError | None = None
        errors = "strict" if self.encoding.startswith("utf-8") else "replace"
        with (
            guarded(self.source),
            io.TextIOWrapper(self.source.open(), self.encoding, errors, newline="") as text,
        ):
            for number, row in self._rows(text):
                if wrong is not None:
                    raise wrong.error
                try:
                    self._take(number, row)
                except _WrongRowError as error:
                    wrong = error  # held back: in the last row it is a truncated file
        if wrong is not None:
            cut = wrong.at_end and not ends_with_newline(self.source)
            if wrong.breaks_off or cut:
                raise truncated(self.source, self.layout, wrong.row, wrong.number)
            raise wrong.error
        loaded: Loaded = {}
        for role in self.columns:
            if role in self.numbers:
                loaded[role] = Numbers(np.array(self.numbers[role], dtype=np.float64))
            else:
                codes = np.array(self.codes[role], dtype=np.int64)
                words = Words(codes, list(self.words[role]))
                if role == "particle":
                    loaded[role] = as_numbers(words)
                else:
                    typed = role != "visible"
                    loaded[role] = as_typed(words, self.layout.decimal) if typed else words
        return loaded

    def _rows(self, text: IO[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield line numbers and fields of the rows of data."""
        skip = self.layout.skip
        for _ in range(skip):
            text.readline()
        if self.layout.delimiter is None:
            for number, line in enumerate(text, skip + 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line.split()
            return
        reader = csv.reader(text, delimiter=self.layout.delimiter)
        while True:
            first = skip + reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise SptError(
                    f"{self.source.label}: line {first} can't be read as a row ({error}): a quote "
                    "may lack its end.\nRepair that line, or export the table again.",
                    code="unreadable",
                ) from error
            if row is None:
                return
            if not row or (len(row) == 1 and not row[0].strip()) or row[0].startswith("#"):
                continue
            yield first, row

    def _take(self, number: int, row: list[str]) -> None:
        width = self.layout.width
        if len(row) != width and (len(row) < width or any(row[width:])):
            raise self._malformed(number, row)
        values: dict[str, float] = {}
        for role in self.numbers:
            field = row[self.columns[role].index].strip()
            if self.layout.decimal == ",":
                field = field.replace(",", ".")
            if is_missing(field):
                values[role] = float("nan")
            elif is_number(field) and "," not in field:
                values[role] = float(field)
            else:
                raise self._no_number(number, self.columns[role], row)
        for role, value in values.items():
            self.numbers[role].append(value)
        for role, words in self.words.items():
            word = row[self.columns[role].index].strip()
            code = -1 if is_missing(word) else words.setdefault(word, len(words))
            self.codes[role].append(code)

    def _malformed(self, number: int, row: Sequence[str]) -> _WrongRowError:
        width = self.layout.width
        label = self.source.label
        if any("\n" in field or "\r" in field for field in row):
            error = SptError(
                f"{label}: line {number} opens a quote that is not closed on that line: "
                f"{quoted(joined(row, self.layout))}.\nRepair that line, or export the table again."
            )
            return _WrongRowError(error, number, row, at_end=False)
        error = SptError(
            f"{label}: line {number} has {some(len(row), 'field')}, where {width} were expected: "
            f"{quoted(joined(row, self.layout))}.\nRepair or delete that line, or export the "
            "table again."
        )
        return _WrongRowError(error, number, row, at_end=True, breaks_off=len(row) < width)

    def _no_number(self, number: int, column: Column, row: Sequence[str]) -> _WrongRowError:
        label = self.source.label
        if self.layout.names and [field.strip() for field in row] == list(self.layout.names):
            error = SptError(
                f"{label}: line {number} repeats the header: two tables were joined, and their "
                "track numbers would be mixed up.\nGive the tables as separate files."
            )
        else:
            error = SptError(
                f"{label}: line {number} has {quoted(row[column.index])} in the column "
                f"{column.shown}, where a number was expected.\nRepair that line, or name the "
                f"right columns: {option('columns', 'particle=NAME,frame=NAME,x=NAME,y=NAME')}.",
                option="columns",
            )
        return _WrongRowError(error, number, row, at_end=column.index == len(row) - 1)


class _WrongRowError(Exception):
    """A row that can't be read, and whether a file broken off there would explain it."""

    def __init__(
        self,
        error: SptError,
        number: int,
        row: Sequence[str],
        *,
        at_end: bool,
        breaks_off: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.number = number
        self.row = row
        self.at_end = at_end
        self.breaks_off = breaks_off
