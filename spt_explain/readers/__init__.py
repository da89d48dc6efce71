"""Other programs' files of tracks: one module a format, picked by content, never by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from spt_explain.errors import option
from spt_explain.readers.folders import FoundInput, find_inputs
from spt_explain.readers.inputs import Input, ReadOptions
from spt_explain.readers.magic import StackError, refuse_known_binary, refuse_other_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spt_explain.tracks.table import Tracks

__all__ = ["FORMATS", "Format", "FoundInput", "StackError", "find_inputs", "read_tracks"]


class Format(NamedTuple):
    """A format that is read.

    Attributes
    ----------
    title : str
        Program and export in words.
    module : str
        The module under `spt_explain.readers` that reads it.
    told_by : str
        What it is recognised by.
    """

    title: str
    module: str
    told_by: str


FORMATS = (
    Format("TrackMate, save file", "trackmate_full", "XML, <TrackMate>"),
    Format("TrackMate, Export tracks to XML file", "trackmate_simple", "XML, <Tracks>"),
    Format("MTrackJ", "mdf", "text, begins with MTrackJ"),
    Format("TrackMate, spots as CSV", "trackmate_csv", "POSITION_X, TRACK_ID, FRAME"),
    Format("Imaris, Position", "imaris", "Position X, Unit, Category, TrackID"),
    Format("trackpy", "tables", "y, x, mass, …, frame, particle"),
    Format("saSPT, quot", "tables", "trajectory, frame, y, x"),
    Format("MOSAIC", "tables", "Trajectory, Frame, x, y, z, m0, …, NPscore"),
    Format("AnDi-2, FreeTrace, BI-ADD", "tables", "traj_idx, frame, x, y"),
    Format("GEMspa", "tables", "track_id, frame, z, y, x"),
    Format("DeepSPT", "tables", "x, y, z, particle, frame"),
    Format("TrackSegNet", "tables", "x, y, frame, track_id"),
    Format("ExTrack", "tables", "X, Y, frame, track_ID"),
    Format("swift", "tables", "x [nm], y [nm], frame, track.id, seg.id"),
    Format("DoM", "tables", "X_(nm), Y_(nm), Frame_Number, Track_ID"),
    Format("Spot-On", "tables", "frame, t, trajectory, x, y"),
    Format("TRAIT2D", "tables", "t, x, y, id"),
    Format("btrack", "tables", "ID, t, x, y, z, parent, root"),
    Format("any other table", "tables", "column names, or which column is what"),
)
"""The formats that `read_tracks` reads, in the order in which they are tried."""

_XML = ("trackmate_full", "trackmate_simple", "mdf")
_TABLES = ("trackmate_csv", "imaris")


def read_tracks(
    name: str | Path | Input,
    *,
    columns: Mapping[str, str] | None = None,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    all_tracks: bool = False,
    keep_columns: bool = True,
) -> Tracks:
    """Read one file of tracks, whichever program wrote it.

    Parameters
    ----------
    name : str, pathlib.Path or Input
        The file, gzipped or not, opened already or not; ``"-"`` for standard input.
    columns : mapping of str to str, optional
        Which column holds what, for tables: roles ``particle``, ``frame``, ``x``, ``y``, ``z``
        and ``t`` to column names, or to positions counted from 1. Roles left out are found.
    pixel_size_um : float, optional
        Size of a pixel in µm, where the file does not give positions in a unit of length.
    frame_interval_s : float, optional
        Time between two frames in s, where the file does not say it.
    override_units : bool, optional
        Let the two above replace what the file says.
    all_tracks : bool, optional
        TrackMate: read tracks that the user's filters had hidden, too.
    keep_columns : bool, optional
        Keep every other column of the file beside the positions (see `Tracks.table`); without
        them, large files are read faster and take less memory.

    Returns
    -------
    Tracks
        Rows sorted by particle and frame, positions in µm where the unit is known.

    Raises
    ------
    StackError
        If the file is a microscopy stack (TIFF), which has to be tracked first.
    NotTracksError
        If the file is readable and holds something else than tracks.
    SptError
        If it can't be read.
    """
    options = ReadOptions(
        columns=dict(columns) if columns else None,
        pixel_size_um=pixel_size_um,
        frame_interval_s=frame_interval_s,
        override_units=override_units,
        all_tracks=all_tracks,
        keep_columns=keep_columns,
    )
    source = name if isinstance(name, Input) else Input.of(name)
    refuse_known_binary(source)
    for module in _XML:
        reader = import_module(f"spt_explain.readers.{module}")
        if reader.sniff(source):
            tracks: Tracks = reader.read(source, options)
            if columns:
                tracks = tracks.with_notes(
                    f"{option('columns')} was ignored: this format says itself what is what."
                )
            return tracks
    refuse_other_text(source)
    for module in _TABLES:
        reader = import_module(f"spt_explain.readers.{module}")
        if reader.sniff(source):
            return cast("Tracks", reader.read(source, options))
    from spt_explain.readers import tables

    return tables.read(source, options)
