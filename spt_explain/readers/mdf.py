"""MTrackJ data files (MDF): points of tracks, in pixels, one a line.

The format is described at https://imagescience.org/meijering/software/mtrackj/format/: lines
``Assembly``, ``Cluster id``, ``Track id`` and ``Point id x y z t c`` between a first line with the
version and a last line ``End of MTrackJ Data File``. x and y are pixels from 0; z, t and c are
indices of slice, frame and channel from 1. Later versions add display settings and colours, which
are passed over.
"""

from __future__ import annotations

import io
import re
import zlib
from array import array
from typing import TYPE_CHECKING, Any, NoReturn

from spt_explain.errors import SptError
from spt_explain.readers.positions import drop_missing, sizes_of, table_of, without_points
from spt_explain.readers.units import FileUnits, calibrate
from spt_explain.readers.wording import quoted, some
from spt_explain.readers.xmlstream import Texts, whole
from spt_explain.tracks.table import Source, SourceColumn, Tracks

if TYPE_CHECKING:
    import pandas as pd

    from spt_explain.readers.inputs import Input, ReadOptions

_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?\s*MTrackJ\s+\S{1,20}\s+Data File\b", re.IGNORECASE)
_VERSION = re.compile(r"MTrackJ\s+(\S{1,20})\s+Data File\b", re.IGNORECASE)
_LAST = re.compile(r"End of MTrackJ Data File\b", re.IGNORECASE)
_MAX_LINE = 1 << 20


def sniff(source: Input) -> bool:
    """Say whether the file starts like an MTrackJ data file.

    Parameters
    ----------
    source : Input
        The file; only its `head` is looked at.
    """
    return _FIRST.match(source.head) is not None


def read(source: Input, options: ReadOptions) -> Tracks:
    """Read an MTrackJ data file.

    Frames are numbered as in the file, from 1. `particle` is MTrackJ's track id; where these start
    anew in each cluster, tracks are numbered from 0 in the order of the file, and `labels` holds
    their names. The points' ids and channels are further columns, ``id`` and ``c``.

    Parameters
    ----------
    source : Input
        The file.
    options : ReadOptions
        Units, which MTrackJ's files do not hold.

    Returns
    -------
    Tracks
        Positions in pixels, or in µm where a pixel size is given.

    Raises
    ------
    SptError
        If the file is cut off, holds no points, or has lines that are not as they should be.
    """
    import numpy as np

    found = _Points(source, keep_columns=options.keep_columns)
    found.read()
    if not found.frame:
        raise SptError(
            f"{source.label} holds no tracks: it is an MTrackJ data file with "
            f"{some(len(found.names), 'track')} and no point. Save the tracks in MTrackJ again.",
            code="no-data",
        )
    sizes = sizes_of(found.ends)
    ids, labels = _numbers(found.names)
    table = table_of(ids, sizes, found, found.columns())

    notes: list[str] = []
    counts: dict[str, int] = {}
    table = drop_missing(table, notes, counts)
    if table.empty:
        raise SptError(
            f"{source.label} holds no tracks: of {some(len(found.frame), 'point')}, none has a "
            "position that is a number. Save the tracks in MTrackJ again.",
            code="no-data",
        )
    empty = int((sizes == 0).sum())
    if empty:
        notes.append(f"{some(empty, 'track')} without any point.")
        counts["empty_tracks"] = empty
    if labels is not None:
        notes.append("Track ids occur more than once: tracks were numbered anew, from 0.")
    calibration, unit_notes = calibrate(
        table,
        FileUnits("pixel", "frame", None, where_length="file: MTrackJ writes pixels"),
        options,
    )
    name = f"MTrackJ {found.version} data file (MDF)"
    return Tracks(
        table,
        calibration,
        Source(
            source.name,
            name,
            (*notes, *unit_notes),
            counts,
            tuple(SourceColumn(one, one) for one in found.texts),
        ),
        labels=labels,
        without_points=without_points(np.asarray(ids), table),
    )


class _Points:
    """Reads the lines into flat arrays, and where each track ends."""

    def __init__(self, source: Input, *, keep_columns: bool) -> None:
        self.source = source
        self.texts = {"id": Texts(), "c": Texts()} if keep_columns else {}
        self.version = ""
        self.names: list[tuple[str, str]] = []
        self.ends = array("q")
        self.frame = array("q")
        self.x = array("d")
        self.y = array("d")
        self.z = array("d")

    def read(self) -> None:
        """Read the whole file.

        Raises
        ------
        SptError
            If it is cut off or has lines that are not as they should be.
        """
        cluster = ""
        number = 0
        complete = False
        try:
            with (
                self.source.open() as stream,
                io.TextIOWrapper(stream, encoding="utf-8", errors="replace") as text,
            ):
                while line := text.readline(_MAX_LINE):
                    number += 1
                    words = line.split()
                    kind = words[0].lower() if words else ""
                    if kind == "point":
                        self._point(words, line, number)
                    elif kind == "track":
                        self._close()
                        self.names.append((cluster, words[1] if len(words) > 1 else ""))
                    elif kind == "cluster":
                        cluster = words[1] if len(words) > 1 else ""
                    elif kind == "end" and _LAST.match(line.strip()):
                        complete = True
                        break
                    elif not self.version and (first := _VERSION.search(line)):
                        self.version = first[1]
        except (EOFError, zlib.error, OSError) as error:
            raise SptError(
                f"{self.source.label} can't be read to its end ({error}; read {self._progress()} "
                "until there): expected a complete file. Copy it again, or compress it again.",
                code="unreadable",
            ) from error
        if not complete:
            raise SptError(
                f"{self.source.label} is cut off after line {number:,} (read {self._progress()} "
                'until there): expected "End of MTrackJ Data File" as the last line. Save or copy '
                "it again; if a script wrote it without that line, add the line.",
                code="unreadable",
            )
        self._close()

    def _point(self, words: list[str], line: str, number: int) -> None:
        if not self.names:
            self._bad(line, number, "a point before the first track")
        if not line.endswith("\n"):
            return  # The last line of a file that was cut off: its last number may be too.
        if len(words) < 6:
            self._bad(line, number, "a point with too few numbers")
        try:
            x, y, z = (float(word) for word in words[2:5])
            frame = whole(words[5])
        except ValueError:
            self._bad(line, number, "a point that can't be read")
        self.frame.append(frame)
        self.x.append(x)
        self.y.append(y)
        self.z.append(z)
        row = len(self.z) - 1
        for name, at in (("id", 1), ("c", 6)) if self.texts else ():
            if at < len(words):
                self.texts[name].set(row, words[at])

    def columns(self) -> dict[str, Any]:
        """Return what points have beside their positions."""
        return {name: texts.column(len(self.frame)) for name, texts in self.texts.items()}

    def _close(self) -> None:
        if self.names:
            self.ends.append(len(self.frame))

    def _progress(self) -> str:
        return f"{some(len(self.names), 'track')} with {some(len(self.frame), 'point')}"

    def _bad(self, line: str, number: int, what: str) -> NoReturn:
        raise SptError(
            f"{self.source.label}, line {number}: {what} ({quoted(line, 60)}); expected "
            '"Point id x y z t c" with t a frame number (1, 2, 3 …). Save the tracks in MTrackJ '
            "again, or correct the line."
        )


def _numbers(names: list[tuple[str, str]]) -> tuple[pd.Index[int], pd.Series[str] | None]:
    """Return a number for each track: its id if these are distinct and whole, else its order."""
    import pandas as pd

    try:
        ids = [whole(track) for _, track in names]
    except ValueError:
        ids = []
    if ids and len(set(ids)) == len(ids):
        return pd.Index(ids, dtype="int64"), None
    order = pd.RangeIndex(len(names)).astype("int64")
    labels = [f"cluster {cluster or '?'}, track {track or '?'}" for cluster, track in names]
    return order, pd.Series(labels, index=order.rename("particle"), name="label")
