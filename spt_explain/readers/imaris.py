"""Imaris' statistics of spots, "Position", as CSV."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers.dialects import Column, Dialect, Roles, columns_of, list_names, override
from spt_explain.readers.tables import finish, whole_numbers
from spt_explain.readers.text import layout_of

if TYPE_CHECKING:
    from spt_explain.readers.inputs import Input, ReadOptions
    from spt_explain.readers.text import Layout
    from spt_explain.tracks.table import Tracks

_TITLE = "Imaris position table"


def sniff(source: Input) -> bool:
    """Whether `source` is a table of Imaris' statistics."""
    try:
        names = {name.lower() for name in layout_of(source).names}
    except SptError:
        return False
    return "category" in names and "unit" in names and bool({"id", "trackid", "time"} & names)


def read(source: Input, options: ReadOptions) -> Tracks:
    """Read Imaris' table of positions.

    ``Time`` is the number of the time point, from 1, and is the frame. Positions are in the unit
    of the column ``Unit``. Spots without ``TrackID`` are left out and counted.

    Raises
    ------
    NotTracksError
        If it is another statistic than the positions, or the spots were not tracked.
    SptError
        If the table can't be read.
    """
    layout = layout_of(source)
    by_name = {column.name.lower(): column for column in reversed(columns_of(layout))}
    unit = _unit(layout, by_name["unit"])
    keys = {"particle": "trackid", "x": "position x", "y": "position y", "z": "position z"}
    roles = Roles({role: by_name[key] for role, key in keys.items() if key in by_name})
    time = by_name.get("time") or by_name.get("time index")
    if time is not None:
        role = "frame" if whole_numbers(layout, time) else "t"
        roles.columns[role] = time
    override(roles, source, layout, options.columns)
    listed = f"(columns: {list_names(columns_of(layout))})"
    if not {"x", "y"} <= set(roles.columns):
        raise NotTracksError(
            f"{source.label} is a table of Imaris without positions {listed}: expected Position X "
            'and Position Y.\nExport the statistic "Position" of the tracked spots.'
        )
    if "particle" not in roles.columns:
        raise NotTracksError(
            f"{source.label} is Imaris' table of positions without TrackID {listed}: the spots "
            'were not tracked.\nTrack them in Imaris and export "Position" again.'
        )
    if not {"frame", "t"} & set(roles.columns):
        raise SptError(
            f"{source.label} is Imaris' table of positions without Time {listed}: tracks need it.\n"
            'Export the statistic "Position" again.'
        )
    for axis in {"x", "y", "z"} & set(roles.columns):
        roles.columns[axis] = replace(roles.columns[axis], unit=unit)
    return finish(source, layout, roles, Dialect(_TITLE), options)


def _unit(layout: Layout, column: Column) -> str | None:
    return next((row[column.index] for row in layout.sample if row[column.index]), None)
