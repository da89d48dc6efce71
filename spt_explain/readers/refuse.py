"""Tables that are not tracks, told from their headers; each with the export that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import NotTracksError, SptError, option
from spt_explain.readers.dialects import Roles, columns_of, list_names, plain
from spt_explain.readers.wording import quoted, some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.readers.inputs import Input
    from spt_explain.readers.text import Layout

_SPOTS_EXPORT = (
    'Export "Spots" instead: TrackMate, last panel, Spots tab, Export to CSV; or "Export tracks '
    'to XML file".'
)


def refuse_other_tables(source: Input, names: Sequence[str]) -> None:
    """Refuse tables that are known and are not positions of tracks.

    Raises
    ------
    NotTracksError
        For TrackMate's edges, tracks and branch exports, and for our own results.
    """
    have = {name.strip() for name in names}
    upper = {name.upper() for name in have}
    if "SPOT_SOURCE_ID" in upper or "SPOT_TARGET_ID" in upper:
        raise NotTracksError(
            f"{source.label} is TrackMate's edges export (it has SPOT_SOURCE_ID), which holds "
            f"links, not positions.\n{_SPOTS_EXPORT}"
        )
    if {"N_PREDECESSORS", "N_SUCCESSORS"} & upper:
        raise NotTracksError(
            f"{source.label} is TrackMate's branch hierarchy (it has N_PREDECESSORS), which holds "
            f"a row for each branch, not positions.\n{_SPOTS_EXPORT}"
        )
    if "POSITION_X" not in upper and {"TRACK_INDEX", "NUMBER_SPOTS", "TRACK_DURATION"} & upper:
        found = next(n for n in ("NUMBER_SPOTS", "TRACK_INDEX", "TRACK_DURATION") if n in upper)
        raise NotTracksError(
            f"{source.label} is TrackMate's tracks export (it has {found}), which holds a row for "
            f"each track, not positions.\n{_SPOTS_EXPORT}"
        )
    if {"p_BM", "p_SubFBM"} <= have or {"particle", "segment", "status", "n_points"} <= have:
        raise NotTracksError(
            f"{source.label} is spt-explain's own table of verdicts, which holds a row for each "
            "track, not positions.\nGive the tracks that it was made from."
        )
    if {"particle", "segment", "score"} <= have:
        raise NotTracksError(
            f"{source.label} is spt-explain's own table of reasons, which holds scores, not "
            "positions.\nGive the tracks that it was made from."
        )


def missing_role(source: Input, layout: Layout, roles: Roles) -> SptError | None:
    """Return the error for a table that lacks a column tracks must have, or None.

    Positions without a track column are localisations; a header with none of the roles is some
    other table.
    """
    have = set(roles.columns)
    columns = columns_of(layout)
    listed = f"(columns: {list_names(columns)})"
    if not layout.names:
        return None if _complete(have) else _no_header(source, layout, have)
    position = {"x", "y"} & have
    if not position:
        return NotTracksError(
            f"{source.label} is a table without positions {listed}: expected columns for the "
            "track, the frame, x and y.\nExport the spots or positions, or name the columns: "
            f"{option('columns', 'particle=NAME,frame=NAME,x=NAME,y=NAME')}.",
            option="columns",
        )
    if len(position) == 1:
        axis = ({"x", "y"} - have).pop()
        return SptError(
            f"{source.label} has no column for {axis} {listed}: tracks need x and y.\n"
            f"Export it again with {axis}, or name the column: "
            f"{option('columns', f'{axis}=NAME')}.",
            code="not-found",
            option="columns",
        )
    if "particle" not in have:
        return _localisations(source, layout, listed)
    if not {"frame", "t"} & have:
        return SptError(
            f"{source.label} has no column for the frame {listed}: tracks need a frame number or "
            f"a time in each row.\nName it: {option('columns', 'frame=NAME')}, or for times "
            f"{option('columns', 't=NAME')}.",
            code="not-found",
            option="columns",
        )
    return None


def _complete(have: set[str]) -> bool:
    return {"particle", "x", "y"} <= have and bool({"frame", "t"} & have)


def _localisations(source: Input, layout: Layout, listed: str) -> NotTracksError:
    rows = some(count_rows(source, layout), "localisation")
    label = next((name for name in layout.names if plain(name) == "label"), None)
    if label is not None:
        return NotTracksError(
            f"{source.label} holds {rows} and no track column {listed}; {quoted(label)} is usually "
            "a class or a mask, not a track.\nIf it is the track: "
            f"{option('columns', f'particle={quoted(label)}')}. Otherwise link them "
            "first (TrackMate, trackpy).",
            option="columns",
        )
    return NotTracksError(
        f"{source.label} holds {rows} and no track column {listed}.\nLink them first (TrackMate, "
        f"trackpy), or name the column: {option('columns', 'particle=NAME')}.",
        option="columns",
    )


def _no_header(source: Input, layout: Layout, have: set[str]) -> SptError:
    first = quoted(", ".join(layout.sample[0][:6])) if layout.sample else "empty"
    lacking = [role for role in ("particle", "frame", "x", "y") if role not in have]
    if "t" in have and "frame" in lacking:
        lacking.remove("frame")
    said = f"{option('columns')} lacks {', '.join(lacking)}" if have else "expected column names"
    return SptError(
        f"{source.label} has no header row (its first line is {first}): {said}.\n"
        f"Say which of its {layout.width} columns is which, counted from 1: "
        f"{option('columns', 'particle=1,frame=2,x=3,y=4')}.",
        option="columns",
    )


def count_rows(source: Input, layout: Layout) -> int:
    """Return the number of rows of data, for a message."""
    from spt_explain.readers.arrays import guarded

    lines, ended = 0, True
    with guarded(source), source.open() as stream:
        while chunk := stream.read(1 << 20):
            lines += max(chunk.count(b"\n"), chunk.count(b"\r"))
            ended = chunk.rstrip(b"\0").endswith((b"\n", b"\r"))
    return max(0, lines + (not ended) - layout.skip)
