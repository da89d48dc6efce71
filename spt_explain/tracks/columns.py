"""Columns of a source beyond the positions: their names, and their values by row and by track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

POSITION_COLUMNS = ("particle", "frame", "x", "y", "z")
"""What every table of tracks holds (``z`` where the source has it)."""
RESERVED = frozenset({*POSITION_COLUMNS, "movie", "sigma_static"})
"""Names that have a meaning of ours in a table of tracks."""
SUFFIX = "_source"
"""What is appended to a source's column name that has a meaning of ours."""


def unique_names(names: Sequence[str], ours: Collection[str] = RESERVED) -> list[str]:
    """Return a distinct name for each column of a source.

    A name stays as the source has it. One of `ours` gets the suffix ``_source``, and a name that
    occurs again ``_2``, ``_3`` ….

    Parameters
    ----------
    names : sequence of str
        Names as the source has them, in its order.
    ours : collection of str
        Names that are taken.

    Examples
    --------
    >>> unique_names(["frame", "mass", "mass"])
    ['frame_source', 'mass', 'mass_2']
    """
    spelled, taken = set(names), set(ours)
    found = []
    for name in names:
        new = base = name if name not in ours else name + SUFFIX
        count = 1
        # A name that the source itself has elsewhere stays free for that column.
        while new in taken or (new != name and new in spelled):
            count += 1
            new = f"{base}_{count}"
        taken.add(new)
        found.append(new)
    return found


def take(column: pd.Series, index: npt.NDArray[np.int64]) -> Any:
    """Return the values at these positions; missing where a position is −1.

    Whole numbers and truth values stay what they are: where one is missing, they become pandas'
    nullable ``Int64`` and ``boolean``.
    """
    import numpy as np
    import pandas as pd

    values = column.array
    if not (len(index) and index.min() < 0):
        return values.take(index)
    kind = column.dtype
    if isinstance(kind, np.dtype):
        if kind.kind == "b":
            values = column.astype("boolean").array
        elif kind.kind in "iu":
            values = column.astype("UInt64" if kind == np.uint64 else "Int64").array
    return pd.api.extensions.take(values, index, allow_fill=True)


def constant_in_tracks(column: pd.Series, first: npt.NDArray[np.int64]) -> Any | None:
    """Return the one value of each track; None if any track has two.

    Parameters
    ----------
    column : pandas.Series, shape (n,)
        Values of the rows, track after track. Missing ones are passed over.
    first : numpy.ndarray of int64, shape (m,)
        First row of each track.

    Returns
    -------
    array or None, shape (m,)
        Of the column's type; missing for a track with no value at all.
    """
    row, conflict = rows_with_value(column, first)
    return take(column, row) if conflict is None else None


def rows_with_value(
    column: pd.Series, first: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], tuple[int, int] | None]:
    """Return a row of each track that has a value, and two rows of one track that differ.

    Parameters
    ----------
    column, first
        See `constant_in_tracks`.

    Returns
    -------
    row : numpy.ndarray of int64, shape (m,)
        −1 for a track whose values are all missing.
    conflict : (int, int) or None
        The first two rows of one track with different values.
    """
    import numpy as np

    known = np.flatnonzero(column.notna().to_numpy())
    track = np.repeat(np.arange(len(first)), np.diff(first, append=len(column)))[known]
    values = column.array.take(known)
    same = track[1:] == track[:-1]
    wrong = np.flatnonzero(same & np.asarray(values[1:] != values[:-1], dtype=bool))
    row = np.full(len(first), -1, dtype=np.int64)
    row[track] = known
    if not len(wrong):
        return row, None
    return row, (int(known[wrong[0]]), int(known[wrong[0] + 1]))
