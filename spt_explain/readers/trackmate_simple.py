"""TrackMate's "Export tracks to XML file": the simple XML, tracks as lists of detections."""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.readers.positions import drop_missing, sizes_of, table_of, without_points
from spt_explain.readers.units import FileUnits, calibrate
from spt_explain.readers.wording import some
from spt_explain.readers.xmlstream import bad_value, number, root_of, walk, whole
from spt_explain.tracks.table import Source, Tracks

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.readers.inputs import Input, ReadOptions

_MARKS = (b"nTracks", b"spaceUnits", b"frameInterval", b"<particle")


def sniff(source: Input) -> bool:
    """Say whether the file starts like TrackMate's simple XML.

    Parameters
    ----------
    source : Input
        The file; only its `head` is looked at.
    """
    root = root_of(source.head)
    return root is not None and root[0] == "Tracks" and any(mark in root[1] for mark in _MARKS)


def read(source: Input, options: ReadOptions) -> Tracks:
    """Read TrackMate's simple XML.

    Particles are numbered in the order of the file from 0, since this export holds no ids.
    Branches of a split or merged track are interleaved in it, and spots at the same time are left
    out, which is recognised from ``nSpots``; such particles are listed in `Tracks.branching`.

    Parameters
    ----------
    source : Input
        The file.
    options : ReadOptions
        Units that fill in or replace those of the file.

    Returns
    -------
    Tracks
        Positions in µm, or in pixels where no pixel size is known.

    Raises
    ------
    SptError
        If the file is cut off or damaged, holds no tracks, or has positions that are no numbers.
    """
    import numpy as np

    found = walk(source, lambda: _Detections(source))
    name = _name(found.root.get("from"))
    if not found.frame:
        _no_tracks(source, found)

    said = np.frombuffer(found.said, dtype=np.int64)
    sizes = sizes_of(found.ends)
    ids = np.arange(len(sizes), dtype=np.int64)
    table = table_of(ids, sizes, found)
    branching = _branching(table, said, sizes)

    notes: list[str] = []
    counts: dict[str, int] = {}
    table = drop_missing(table, notes, counts)
    empty = int((sizes == 0).sum())
    if empty:
        notes.append(f"{some(empty, 'particle')} without any detection.")
        counts["empty_tracks"] = empty
    if table.empty:
        _no_tracks(source, found)

    calibration, unit_notes = calibrate(table, _units(found.root), options)
    return Tracks(
        table,
        calibration,
        Source(source.name, name, (*notes, *unit_notes), counts),
        branching={key: why for key, why in branching.items() if sizes[key]},
        without_points=without_points(ids, table),
    )


class _Detections:
    """Takes the detections of each particle into flat arrays."""

    tags: tuple[str, ...] = ("particle", "Tracks")

    def __init__(self, source: Input) -> None:
        self.source = source
        self.root: dict[str, str] = {}
        self.frame = array("q")
        self.x = array("d")
        self.y = array("d")
        self.z = array("d")
        self.said = array("q")
        self.ends = array("q")

    def take(self, element: Any) -> None:
        if element.tag == "Tracks":
            self.root = dict(element.attrib)
            return
        # Taking the detections of a particle at once is half again as fast as one by one.
        for detection in element.iterchildren("detection"):
            get = detection.get
            try:
                x, y, frame = float(get("x")), float(get("y")), whole(get("t"))
                z = float(get("z", "nan"))
            except (TypeError, ValueError):
                values = {key: get(key) for key in ("t", "x", "y")}
                if get("z") is not None:
                    values["z"] = get("z")
                bad_value(self.source, detection, "a detection", values)
            self.frame.append(frame)
            self.x.append(x)
            self.y.append(y)
            self.z.append(z)
        try:
            said = whole(element.get("nSpots"))
        except ValueError:
            said = -1
        self.said.append(said)
        self.ends.append(len(self.frame))

    def progress(self) -> str:
        return f"{some(len(self.ends), 'track')} with {some(len(self.frame), 'position')}"


def _name(made_by: str | None) -> str:
    version = re.search(r"\d[\w.+-]*", made_by or "")
    return f"TrackMate{' ' + version[0] if version else ''} tracks export (simple XML)"


def _no_tracks(source: Input, found: _Detections) -> None:
    if found.frame:
        what = f"{some(len(found.frame), 'detection')}, none with a position that is a number"
    elif found.ends:
        what = f"{some(len(found.ends), 'particle')} without a single detection"
    else:
        what = "no particle"
    raise SptError(
        f"{source.label} holds no tracks: it is TrackMate's tracks export (simple XML) with "
        f"{what}. Check that linking and the track filters left tracks visible in TrackMate, and "
        "export again.",
        code="no-data",
    )


def _branching(
    table: pd.DataFrame, said: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
) -> dict[int, str]:
    """Return the particles that can't be one path, and why."""
    reasons: dict[int, str] = {}
    for particle in ((said >= 0) & (said != sizes)).nonzero()[0].tolist():
        reasons[particle] = (
            f"it has {said[particle]} spots of which this export holds {sizes[particle]}: it "
            "splits or merges, and its branches, interleaved here, can't be told apart; "
            "TrackMate's own save file (full XML, button Save) keeps the links"
        )
    repeated = table.duplicated(["particle", "frame"])
    for particle in table.loc[repeated, "particle"].unique().tolist():
        reasons.setdefault(
            particle,
            "it has two or more positions in one frame: it splits or merges, and its branches "
            "can't be told apart in this export; TrackMate's own save file (full XML, button "
            "Save) keeps the links",
        )
    return dict(sorted(reasons.items()))


def _units(root: dict[str, str]) -> FileUnits:
    length, time, interval = (root.get(key) for key in ("spaceUnits", "timeUnits", "frameInterval"))
    return FileUnits(
        length=length,
        time=time,
        frame_interval=number(interval),
        where_length=f"file: spaceUnits={length}" if length else "",
        where_time=f"file: frameInterval={interval} {time}" if interval and time else "",
    )
