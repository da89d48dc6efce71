"""Columns in memory, and what every way of reading them needs."""

from __future__ import annotations

import contextlib
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.readers.inputs import damaged
from spt_explain.readers.text import is_number
from spt_explain.readers.wording import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import Layout

MAX_EXACT = 2**53
"""Whole numbers up to here are exact as floating-point numbers."""


@dataclass
class Numbers:
    """A column of numbers.

    Attributes
    ----------
    array : numpy.ndarray, shape (rows,)
        int64 or float64; NaN where a float is missing.
    missing : numpy.ndarray of bool or None
        Rows of an int64 column without a value; None if there are none.
    """

    array: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None = None


@dataclass
class Words:
    """A column of text: a code for each row (-1 where it is missing) and the texts.

    Attributes
    ----------
    codes : numpy.ndarray of int64, shape (rows,)
        Positions in `words`.
    words : list of str
        The distinct texts in order of first appearance.
    """

    codes: npt.NDArray[np.int64]
    words: list[str]


Loaded = dict[str, "Numbers | Words"]


@contextlib.contextmanager
def guarded(source: Input) -> Iterator[None]:
    """Turn the failures of a file being read into messages."""
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise damaged(source.label, error) from error
    except OSError as error:
        if source.compressed:
            raise damaged(source.label, error) from error
        raise SptError(
            f"{source.label} could not be read to its end ({error.strerror or error}). Copy it "
            "to a local folder and try again.",
            code="unreadable",
        ) from error


def truncated(source: Input, layout: Layout, row: Sequence[str], line: int | None) -> SptError:
    """Return the error for a table whose last row breaks off after the fields in `row`."""
    where = f" ({line})" if line else ""
    after = f" at {quoted(joined(row, layout)[-30:])}" if row else ""
    had = f" ({len(row)} of {layout.width} fields)" if row else ", before its last field"
    return SptError(
        f"{source.label} is truncated: its last line{where} breaks off{after}{had}.\nExport or "
        "copy it again; to use it as it is, delete that line.",
        code="unreadable",
    )


def joined(row: Sequence[str], layout: Layout) -> str:
    """Return a row as it stands in the file, more or less."""
    return (layout.delimiter or " ").join(row)


def ends_with_newline(source: Input) -> bool:
    """Whether the last line of a file is ended."""
    tail = b""
    with guarded(source), source.open() as stream:
        while chunk := stream.read(1 << 20):
            tail = (tail + chunk)[-8:]
    return tail.rstrip(b"\0").endswith((b"\n", b"\r"))  # zeros: the other half of UTF-16


def as_typed(column: Words, decimal: str = ".") -> Numbers | Words:
    """Return text as numbers where all of it, but what is missing, reads as numbers."""
    import numpy as np

    fields = [word.replace(decimal, ".") for word in column.words]
    missing = column.codes < 0
    if not fields or not all(is_number(field) and "," not in field for field in fields):
        return Numbers(np.full(len(missing), np.nan)) if not fields else column
    if all(re.fullmatch(r"[+-]?\d+", field) for field in fields):
        whole = [int(field) for field in fields]
        if any(abs(value) >= 2**63 for value in whole):  # text keeps all digits
            return column
        values = np.array([*whole, 0], dtype=np.int64)[column.codes]
        return Numbers(values, missing if missing.any() else None)
    return Numbers(np.array([*map(float, fields), np.nan])[column.codes])


def values_of(column: Numbers | Words) -> Any:
    """Return a column as pandas holds it: int64, Int64, float64 or text."""
    import numpy as np
    import pandas as pd

    if isinstance(column, Words):
        words = pd.array(column.words, dtype="str")
        return words.take(column.codes, allow_fill=True)
    if column.missing is None:
        return column.array
    if column.missing.all():
        return np.full(len(column.array), np.nan)
    return pd.arrays.IntegerArray(column.array, column.missing)


def as_numbers(column: Words) -> Numbers | Words:
    """Return track names as numbers where all of them are whole numbers."""
    import numpy as np

    values = []
    for word in column.words:
        if word.isascii() and word.removeprefix("-").removeprefix("+").isdigit():
            values.append(int(word))
        elif is_number(word) and abs(number := float(word.replace(",", "."))) < MAX_EXACT:
            if number != int(number):
                return column
            values.append(int(number))
        else:
            return column
    if any(abs(value) >= 2**63 for value in values):
        return column
    missing = column.codes < 0
    numbers = np.array([*values, 0], dtype=np.int64)[column.codes]
    return Numbers(numbers, missing if missing.any() else None)
