"""Positions that are none, and groups of them: what several readers do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from spt_explain.readers.wording import some

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pandas as pd


def drop_missing(table: pd.DataFrame, notes: list[str], counts: dict[str, int]) -> pd.DataFrame:
    """Drop rows whose x or y is not a number, and the column z where it is incomplete.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``particle``, ``x``, ``y`` and optionally ``z``.
    notes, counts : list, dict
        What was dropped is added here.

    Returns
    -------
    pandas.DataFrame
        The remaining rows, index 0…n−1.
    """
    import numpy as np

    good = np.isfinite(table["x"].to_numpy()) & np.isfinite(table["y"].to_numpy())
    if not good.all():
        missing = int((~good).sum())
        before = table["particle"].nunique()
        table = table[good].reset_index(drop=True)
        lost = before - table["particle"].nunique()
        notes.append(
            f"{some(missing, 'detection')} without a position (NaN or infinite): left out"
            + (f", and with them {some(lost, 'track')} without any other." if lost else ".")
        )
        counts["missing_positions"] = missing
        if lost:
            counts["tracks_without_positions"] = lost
    if "z" in table.columns:
        unknown = int((~np.isfinite(table["z"].to_numpy())).sum())
        if unknown:
            table = table.drop(columns="z")
            if unknown < len(table):
                notes.append(f"z is missing for {some(unknown, 'detection')}: left out for all.")
    return table


class Points(Protocol):
    """Positions in flat arrays, particle after particle."""

    frame: array[int]
    x: array[float]
    y: array[float]
    z: array[float]


def table_of(
    particles: npt.ArrayLike,
    sizes: npt.NDArray[np.int64],
    points: Points,
    others: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return a table sorted by particle and frame.

    Parameters
    ----------
    particles : array_like of int, shape (n,)
        Numbers of the particles, in the order of the points.
    sizes : numpy.ndarray of int64, shape (n,)
        Points of each.
    points : Points
        The positions.
    others : mapping of str to array, optional
        Further columns, in the order of the points.

    Returns
    -------
    pandas.DataFrame
        Columns ``particle``, ``frame``, ``x``, ``y``, ``z``, and the others.
    """
    import numpy as np
    import pandas as pd

    columns = {
        "particle": np.repeat(np.asarray(particles, dtype=np.int64), sizes),
        "frame": np.frombuffer(points.frame, dtype=np.int64),
        **{
            axis: np.frombuffer(getattr(points, axis), dtype=np.float64) for axis in ("x", "y", "z")
        },
    }
    order = np.lexsort((columns["frame"], columns["particle"]))
    return pd.DataFrame(
        {key: values[order] for key, values in (columns | dict(others or {})).items()}
    )


def without_points(particles: npt.NDArray[np.int64], table: pd.DataFrame) -> tuple[int, ...]:
    """Return those of `particles` that have no row in `table`, in order, as plain numbers."""
    import numpy as np

    return tuple(np.setdiff1d(particles, table["particle"].to_numpy()).tolist())


def sizes_of(ends: array[int]) -> npt.NDArray[np.int64]:
    """Return the sizes of consecutive groups from the positions at which they end.

    Parameters
    ----------
    ends : array of int
        End of each group (exclusive), growing.
    """
    import numpy as np

    stops = np.frombuffer(ends, dtype=np.int64)
    return stops - np.concatenate((np.zeros(1, dtype=np.int64), stops[:-1]))[: len(stops)]
