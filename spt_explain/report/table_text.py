"""Tables as text, CSV and JSON, in pieces of some rows: fast, and never whole in memory."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PIECE_ROWS = 1 << 15
_EXACT_POWERS = 22
"""Powers of ten up to this one are doubles without an error."""
_NEAR_HALF = 1e-8
"""How near to a half the eighth digit leaves the rounding of a product of doubles in doubt."""


def csv_pieces(
    table: pd.DataFrame,
    digits: int,
    *,
    exact: Collection[str] = (),
    jobs: int | None = None,
    rows: int = PIECE_ROWS,
) -> Iterator[bytes]:
    """Yield a table as CSV: names, then some rows at a time.

    What is missing is empty, and text stands in quotes where it must (it holds a comma, a quote or
    the end of a line).

    Parameters
    ----------
    table : pandas.DataFrame
        Its index is left out.
    digits : int
        Significant digits of numbers that are not whole by their type.
    exact : collection of str
        Columns whose numbers keep all their digits.
    jobs : int, optional
        Threads; one for each core by default.
    rows : int
        Rows of a piece.
    """
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(table.columns)
    yield header.getvalue().encode()
    if not len(table.columns):
        return

    def text(first: int) -> bytes:
        return _csv_rows(table.iloc[first : first + rows], digits, exact)

    yield from in_order(text, range(0, len(table), rows), jobs=jobs)


def _csv_rows(table: pd.DataFrame, digits: int, exact: Collection[str] = ()) -> bytes:
    """Return rows as lines."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [
        _words(table.iloc[:, i], None if name in exact else digits)
        for i, name in enumerate(table.columns)
    ]
    if len(columns) == 1:  # an empty line would be no row
        found = pc.fill_null(columns[0], "")
        columns = [pc.if_else(pc.equal(found, ""), '""', found)]
    ends = pa.scalar("\n", pa.string())
    last = pc.binary_join_element_wise(
        columns.pop(), ends, "", null_handling="replace", null_replacement=""
    )
    lines = pc.binary_join_element_wise(
        *columns, last, ",", null_handling="replace", null_replacement=""
    )
    # The values of an array of text lie one after the other: the lines as they go to the file.
    values = lines.buffers()[2]
    return b"" if values is None else values.to_pybytes()


def _words(column: pd.Series, digits: int | None) -> Any:
    """Return a column as an array of text, in quotes where needed, null where missing."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind):
        flags = pa.array(column, type=pa.bool_(), from_pandas=True)
        return pc.if_else(flags, pa.scalar("True"), pa.scalar("False"))
    if pd.api.types.is_integer_dtype(kind):
        return pa.array(column, from_pandas=True).cast(pa.string())
    if pd.api.types.is_float_dtype(kind):
        values = column.to_numpy("float64", na_value=float("nan"))
        if digits is not None:
            values = rounded(values, digits)
        return pa.array(values, from_pandas=True).cast(pa.string())
    if not pd.api.types.is_object_dtype(kind) and not isinstance(
        kind, pd.StringDtype
    ):  # times, categories
        column = column.astype(object)
    try:
        words = pa.array(column, type=pa.string(), from_pandas=True)
    except (pa.ArrowTypeError, pa.ArrowInvalid):  # objects of other types among text
        plain = [
            None if missing else str(v) for v, missing in zip(column, column.isna(), strict=True)
        ]
        words = pa.array(plain, type=pa.string())
    if isinstance(words, pa.ChunkedArray):
        words = words.combine_chunks()
    special = pc.match_substring_regex(words, '[,"\n\r]')
    if not pc.any(special).as_py():
        return words
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(words, '"', '""'), '"', "")
    return pc.if_else(special, quoted, words)


def rounded(values: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """Return numbers with so many significant digits, each the double nearest to its decimal.

    So the shortest text that means the double is that decimal, as ``format(value, ".7g")`` has it.

    Parameters
    ----------
    values : numpy.ndarray
    digits : int
        1 to 15.
    """
    import numpy as np

    powers = np.array([float(f"1e{i}") for i in range(_EXACT_POWERS + 1)])
    with np.errstate(all="ignore"):
        shift = digits - 1 - np.floor(np.log10(np.abs(values)))
        plain = np.abs(shift) <= _EXACT_POWERS  # neither 0 nor infinite nor missing
        steps = np.where(plain, shift, 0).astype(np.intp)
        up, down = powers[np.maximum(steps, 0)], powers[np.maximum(-steps, 0)]
        scaled = values * up / down
        # An integer of so few digits divided by such a power, or times it, is rounded once.
        out: NDArray[np.float64] = np.where(plain, np.rint(scaled) / up * down, values)
        doubtful = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) < _NEAR_HALF
        doubtful |= ~plain & (values != 0) & np.isfinite(values)
    for i in np.flatnonzero(doubtful):
        out[i] = float(f"{values[i]:.{digits}g}")
    return out


def json_pieces(
    table: pd.DataFrame, provenance: dict[str, Any], *, name: str = "verdicts"
) -> Iterator[bytes]:
    """Yield a document of the provenance and of a table, a list with an object for each row.

    Parameters
    ----------
    table : pandas.DataFrame
    provenance : dict
        Of the table.
    name : str
        What the table is called.
    """
    # As `json.dumps(…, indent=1)` writes it, which needs the whole document and many times as long.
    head = json.dumps({"provenance": provenance}, indent=1, ensure_ascii=False, default=str)
    yield (head.removesuffix("\n}") + f',\n "{name}": [').encode()
    before, between = "\n  {\n   ", ",\n   "
    for first in range(0, len(table), PIECE_ROWS):
        some = table.iloc[first : first + PIECE_ROWS]
        rows = json.loads(some.to_json(orient="records", double_precision=15, force_ascii=False))
        text = json.dumps(rows, ensure_ascii=False, separators=(between, ": "))
        # Text within quotes has no line ends, so this stands between rows alone.
        text = text[2:-2].replace("}" + between + "{", "\n  }," + before)
        yield ((before if not first else "," + before) + text + "\n  }").encode()
    yield b"\n ]\n}\n" if len(table) else b"]\n}\n"
