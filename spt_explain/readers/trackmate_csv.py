"""TrackMate's spot tables as CSV: version 6 and before, 7 and after, and the headless exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import NotTracksError, SptError
from spt_explain.readers.dialects import Dialect, Roles, columns_of, list_names, override
from spt_explain.readers.refuse import count_rows, refuse_other_tables
from spt_explain.readers.tables import finish
from spt_explain.readers.text import layout_of
from spt_explain.readers.wording import some

if TYPE_CHECKING:
    from spt_explain.readers.inputs import Input, ReadOptions
    from spt_explain.readers.text import Layout
    from spt_explain.tracks.table import Tracks

KEYS = {
    "particle": "TRACK_ID",
    "frame": "FRAME",
    "t": "POSITION_T",
    "x": "POSITION_X",
    "y": "POSITION_Y",
    "z": "POSITION_Z",
}
"""TrackMate's keys for what a track needs."""

BRANCH_REPEATS = 4.0
"""Rows for each frame from which a single TrackMate track can't be one that branches."""


def sniff(source: Input) -> bool:
    """Whether `source` is one of TrackMate's tables (also its edges, tracks and branches)."""
    try:
        names = set(layout_of(source).names)
    except SptError:
        return False
    if {"POSITION_X", "POSITION_Y"} <= names and names & {"FRAME", "TRACK_ID", "POSITION_T"}:
        return True
    return bool(names & {"SPOT_SOURCE_ID", "TRACK_INDEX", "NUMBER_SPOTS", "N_PREDECESSORS"})


def read(source: Input, options: ReadOptions) -> Tracks:
    """Read TrackMate's table of spots.

    Spots without a track are left out and counted. ``POSITION_T`` and ``FRAME`` together give the
    frame interval.

    Raises
    ------
    NotTracksError
        If the table holds edges, tracks or branches, or has no track numbers.
    SptError
        If the table can't be read, or no spot belongs to a track.
    """
    layout = layout_of(source)
    refuse_other_tables(source, layout.names)
    by_name = {column.name: column for column in reversed(columns_of(layout))}
    roles = Roles({role: by_name[key] for role, key in KEYS.items() if key in by_name})
    override(roles, source, layout, options.columns)
    if "particle" not in roles.columns:
        raise NotTracksError(
            f"{source.label} is TrackMate's table of {some(count_rows(source, layout), 'spot')} "
            f"without TRACK_ID (columns: {list_names(columns_of(layout))}).\nExport it again after "
            'tracking (last panel, Spots tab), or use "Export tracks to XML file".'
        )
    if "frame" not in roles.columns and "t" not in roles.columns:
        raise SptError(
            f"{source.label} is TrackMate's table of spots without FRAME and POSITION_T: tracks "
            "need one of them.\nExport it again with all columns."
        )
    dialect = Dialect(_title(layout))
    visible = by_name.get("TRACK_VISIBLE")
    if visible is not None and not options.all_tracks:
        roles.columns["visible"] = visible
    return finish(source, layout, roles, dialect, options, lost_repeats=BRANCH_REPEATS)


def _title(layout: Layout) -> str:
    if layout.below:
        return "TrackMate spot table (CSV, version 7 or later)"
    if "LABEL" in layout.names:
        return "TrackMate spot table (CSV, headless exporter)"
    return "TrackMate spot table (CSV, version 6 or before)"
