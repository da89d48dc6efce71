"""Reading the columns of a text table: pyarrow's way, or row by row where that fails."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.readers.arrays import Loaded, Numbers, ends_with_newline, truncated
from spt_explain.readers.load_careful import Careful
from spt_explain.readers.load_fast import NotSoSimpleError, load_fast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spt_explain.readers.dialects import Column
    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import Layout


def load(
    source: Input, layout: Layout, columns: Mapping[str, Column], *, carefully: bool = False
) -> Loaded:
    """Read some columns of a table.

    Parameters
    ----------
    source : Input
        The file.
    layout : Layout
        How it is written.
    columns : mapping of str to Column
        Roles and columns. ``frame``, ``t``, ``x``, ``y`` and ``z`` must be numbers; ``particle``,
        ``visible`` and columns without a role may hold text.
    carefully : bool, optional
        Read with Python's csv module from the start, as is done where pyarrow fails.

    Returns
    -------
    dict of str to Numbers or Words
        A column for each role, equally long.

    Raises
    ------
    SptError
        If a row is malformed, the file is truncated, or a number can't be read; with the line.
    """
    loaded = _load(source, layout, columns, carefully)
    _check_last_row(source, layout, columns, loaded)
    return loaded


def _load(source: Input, layout: Layout, columns: Mapping[str, Column], carefully: bool) -> Loaded:
    if not carefully and layout.delimiter is not None:
        with contextlib.suppress(NotSoSimpleError):
            return load_fast(source, layout, columns)
    encodings = [layout.encoding, "cp1252"] if layout.encoding.startswith("utf-8") else []
    for encoding in encodings or [layout.encoding]:
        with contextlib.suppress(UnicodeError):
            return Careful(source, layout, columns, encoding).load()
    raise SptError(
        f"{source.label} can't be read as text ({layout.encoding} was tried): expected one "
        "encoding throughout.\nExport it again as CSV, in UTF-8.",
        code="unreadable",
    )


def _check_last_row(
    source: Input, layout: Layout, columns: Mapping[str, Column], loaded: Loaded
) -> None:
    """Refuse a file that ends, without a line end, in a row with an empty last position."""
    last = layout.width - 1
    for role, column in columns.items():
        values = loaded[role]
        if role in ("x", "y") and column.index == last and isinstance(values, Numbers):
            empty = len(values.array) and values.array[-1] != values.array[-1]
            if empty and not ends_with_newline(source):
                raise truncated(source, layout, (), None)
