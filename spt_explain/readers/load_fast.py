"""Reading columns with pyarrow: fast, and without a word on what is wrong."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Literal

from spt_explain.errors import printable
from spt_explain.readers.arrays import (
    MAX_EXACT,
    Loaded,
    Numbers,
    Words,
    as_numbers,
    as_typed,
    guarded,
)
from spt_explain.readers.dialects import NUMBER_ROLES
from spt_explain.readers.text import MISSING, is_missing, is_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from spt_explain.readers.dialects import Column
    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import Layout

BLOCK_BYTES = 1 << 22
"""Bytes that pyarrow parses at a time."""

Kind = Literal["int", "float", "words"]
_WIDER: dict[Kind, Kind] = {"int": "float", "float": "words"}


class NotSoSimpleError(Exception):
    """Pyarrow could not read the table; the careful way finds out why, or reads it."""


def load_fast(source: Input, layout: Layout, columns: Mapping[str, Column]) -> Loaded:
    """Read columns with pyarrow.

    Raises
    ------
    NotSoSimpleError
        If pyarrow can't; `Careful` then says why, or reads it.
    """
    import pyarrow as pa

    kinds = {role: _likely_kind(role, column, layout) for role, column in columns.items()}
    counted = {role for role, kind in kinds.items() if kind == "int"}
    while True:
        try:
            table = _arrow(source, layout, columns, kinds)
        except UnicodeDecodeError as error:
            raise NotSoSimpleError from error
        except pa.ArrowInvalid as error:
            if not _widen(str(error), columns, kinds):
                raise NotSoSimpleError from error
            continue
        loaded: Loaded = {}
        again = False
        for role in list(columns):
            if kinds[role] == "words":
                words = _arrow_words(table, role)
                if role == "particle":
                    loaded[role] = as_numbers(words)
                else:
                    loaded[role] = words if role == "visible" else as_typed(words, layout.decimal)
            else:
                loaded[role] = _arrow_numbers(table, role)
                # Numbers that name something keep all digits.
                names = role == "particle" or (role in counted and role not in NUMBER_ROLES)
                if names and _inexact(loaded[role]):
                    kinds[role] = "words"
                    again = True
                    break
            table = table.drop_columns([role])
        if not again:
            pa.default_memory_pool().release_unused()
            return loaded


def _likely_kind(role: str, column: Column, layout: Layout) -> Kind:
    """Guess from the first rows what a column holds, so that it is read right the first time."""
    if role == "visible":
        return "words"
    if role in NUMBER_ROLES and role != "frame":
        return "float"
    fields = [row[column.index] for row in layout.sample if not is_missing(row[column.index])]
    digits = [field.removeprefix("-") for field in fields]
    if all(field.isascii() and field.isdigit() and len(field) <= 18 for field in digits):
        return "int"
    if role == "frame":
        return "float"
    if role != "particle" and all(map(str.isdigit, digits)):
        return "words"  # too long for 64 bits, or nearly: these are no measured numbers
    if all(map(is_number, fields)):
        return "float"
    return "words"


def _widen(message: str, columns: Mapping[str, Column], kinds: dict[str, Kind]) -> bool:
    """After a failed conversion, read that column as something wider; False if there is nothing."""
    found = re.search(r"CSV column #(\d+)", message)
    if found is None or "conversion error" not in message:
        return False
    index = int(found.group(1))
    for role, column in columns.items():
        wider = _WIDER.get(kinds[role])
        if column.index == index and wider and (wider != "words" or role not in NUMBER_ROLES):
            kinds[role] = wider
            return True
    return False


def _arrow(
    source: Input, layout: Layout, columns: Mapping[str, Column], kinds: Mapping[str, Kind]
) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = {
        "int": pa.int64(),
        "float": pa.float64(),
        "words": pa.dictionary(pa.int32(), pa.binary()),
    }
    # Names are positions, so that equal and missing names do no harm. One column may have two
    # roles only in error; it is then read twice by renaming.
    names = [f"#{index}" for index in range(layout.width)]
    wanted = {f"#{column.index}": types[kinds[role]] for role, column in columns.items()}
    missing = {*MISSING, *(word.upper() for word in MISSING), "None", "NaN", "Null", "-NaN"}
    encoding = {"utf-8": "utf8", "utf-8-sig": "utf8", "cp1252": "latin-1"}.get(
        layout.encoding, layout.encoding
    )
    file: Any
    with contextlib.ExitStack() as stack:
        stack.enter_context(guarded(source))
        file = str(source.plain_path or "")
        if not file or file != printable(file):  # pyarrow takes no names that are not UTF-8
            file = stack.enter_context(source.open())
        table = arrow_csv.read_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                skip_rows=layout.skip, column_names=names, encoding=encoding, block_size=BLOCK_BYTES
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=layout.delimiter),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(wanted),
                column_types=wanted,
                null_values=sorted(missing),
                strings_can_be_null=True,
                decimal_point=layout.decimal,
            ),
        )
    return pa.table({role: table.column(f"#{column.index}") for role, column in columns.items()})


def _arrow_numbers(table: Any, role: str) -> Numbers:
    import numpy as np
    import pyarrow as pa

    column = table.column(role)
    whole = pa.types.is_integer(column.type)
    values: npt.NDArray[Any] = np.empty(len(column), np.int64 if whole else np.float64)
    missing = np.zeros(len(column), bool) if whole and column.null_count else None
    start = 0
    for chunk in column.chunks:
        stop = start + len(chunk)
        if missing is not None:
            missing[start:stop] = chunk.is_null().to_numpy(zero_copy_only=False)
            chunk = chunk.fill_null(0)
        values[start:stop] = chunk.to_numpy(zero_copy_only=False)
        start = stop
    return Numbers(values, missing)


def _arrow_words(table: Any, role: str) -> Words:
    import numpy as np

    column = table.column(role).unify_dictionaries()
    codes = np.empty(len(column), np.int64)
    words: list[str] = []
    start = 0
    for chunk in column.chunks:
        stop = start + len(chunk)
        codes[start:stop] = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        start = stop
        words = [_word(value) for value in chunk.dictionary.to_pylist()]
    return _without_missing(codes, words)


def _word(value: bytes) -> str:
    try:
        return value.decode("utf-8").strip()
    except UnicodeDecodeError:
        return value.decode("cp1252", errors="replace").strip()


def _without_missing(codes: npt.NDArray[np.int64], words: list[str]) -> Words:
    """Give missing values the code -1, and equal words (after stripping) one code."""
    import numpy as np

    kept: dict[str, int] = {}
    renumbered = np.array(
        [-1 if is_missing(word) else kept.setdefault(word, len(kept)) for word in words] + [-1],
        dtype=np.int64,
    )
    return Words(renumbered[codes], list(kept))


def _inexact(column: Numbers | Words) -> bool:
    import numpy as np

    if not isinstance(column, Numbers) or column.array.dtype != np.float64:
        return False
    return bool((np.abs(column.array) > MAX_EXACT).any())
