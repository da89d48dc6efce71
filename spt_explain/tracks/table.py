"""The one table that crosses rooms: positions by particle and frame, their units and source."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from spt_explain.tracks.columns import POSITION_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

LengthUnit = Literal["um", "px"]


@dataclass(frozen=True)
class Calibration:
    """Units of a `Tracks` table and where each of them came from.

    Attributes
    ----------
    length_unit : {"um", "px"}
        Unit of ``x``, ``y`` (and ``z``) in the table. "px" means that no pixel size is known.
    length_source : str
        Where the unit came from, for people: ``"file: spaceUnits=µm"``, ``"--pixel-size-um 0.11"``
        or ``"not given"``.
    frame_interval_s : float or None
        Time between two frames in seconds; None when unknown.
    time_source : str
        Where the frame interval came from, in the same words.
    pixel_size_um : float or None
        Pixel size in µm when it is known (from the file or the option), else None. Positions
        are never scaled by it again.
    """

    length_unit: LengthUnit = "px"
    length_source: str = "not given"
    frame_interval_s: float | None = None
    time_source: str = "not given"
    pixel_size_um: float | None = None


class SourceColumn(NamedTuple):
    """A column of the source.

    Attributes
    ----------
    name : str
        Its name in the source; its number, counted from 1, where it has none.
    kept_as : str
        Its name in `Tracks.table`; ``""`` if it is not there.
    """

    name: str
    kept_as: str


@dataclass(frozen=True)
class Source:
    """Where a table came from.

    Attributes
    ----------
    name : str
        The path as the user gave it, or ``"-"`` for standard input.
    format : str
        The format in words, e.g. ``"TrackMate 7.7.2 tracks export (simple XML)"``.
    notes : tuple of str
        Sentences a user must know: rows left out and why, ids renumbered, options ignored.
    counts : mapping of str to int
        Counts behind the notes (``untracked_spots``, ``hidden_spots``, ``missing_positions`` …).
    columns : tuple of SourceColumn
        The source's columns in its order, those of the positions included; empty where the source
        has no columns.
    """

    name: str
    format: str
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[SourceColumn, ...] = ()


@dataclass(frozen=True, eq=False)
class Tracks:
    """Trajectories: one row for each localisation.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns ``particle`` (int64), ``frame`` (int64), ``x``, ``y`` and, where the source has
        them, ``z`` (float64), in the unit of `calibration`; sorted by particle, then frame;
        index 0…n−1. Duplicated (particle, frame) rows are kept as they were found; positions
        are finite. Then every other column of the source, unless it was read without them:
        names and values as in the source, numbers where all values are numbers, else text,
        missing where the source has none. A name that has a meaning of ours (``particle``,
        ``frame``, ``x``, ``y``, ``z``, ``movie``, ``sigma_static``) gets the suffix ``_source``,
        a repeated one ``_2``, ``_3`` …. In tables that ``track`` wrote, ``sigma_static`` is ours:
        the static localisation error in the unit of ``x``.
    calibration : Calibration
        Units and where they came from.
    source : Source
        File, format, notes.
    branching : mapping of int to str
        Particles that split or merge and the reason in words; their rows do not form one path.
    links : pandas.DataFrame or None
        For branching particles whose links are known (TrackMate's full XML): columns
        ``particle``, ``source``, ``target``, the latter two being positions of rows in `table`.
    labels : pandas.Series or None
        Original names of the particles, indexed by ``particle``, where the source's ids were not
        whole numbers.
    without_points : tuple of int
        Particles of the source that have no usable position at all: not in `table`, and still
        listed in every result.
    faithful_every : int
        Over how many frames motion is faithful; more than 1 for movies that were compressed as
        video, whose particles move by fits and starts from frame to frame.
    """

    table: pd.DataFrame
    calibration: Calibration
    source: Source
    branching: Mapping[int, str] = field(default_factory=dict)
    links: pd.DataFrame | None = None
    labels: pd.Series | None = None
    without_points: tuple[int, ...] = ()
    faithful_every: int = 1

    @property
    def n_tracks(self) -> int:
        """Number of particles, those without any usable position included."""
        return int(self.table["particle"].nunique()) + len(self.without_points)

    @property
    def extra_columns(self) -> list[str]:
        """Names of the table's columns beyond the positions, in order."""
        return [name for name in self.table.columns if name not in POSITION_COLUMNS]

    def __len__(self) -> int:
        return self.n_tracks

    def with_notes(self, *notes: str, **counts: int) -> Tracks:
        """Return the same tracks with further notes and counts on their source."""
        source = replace(
            self.source, notes=(*self.source.notes, *notes), counts={**self.source.counts, **counts}
        )
        return replace(self, source=source)

    def describe(self) -> dict[str, Any]:
        """Return format, units and their sources as a plain dict, for sidecar files."""
        return {
            "name": self.source.name,
            "format": self.source.format,
            "notes": list(self.source.notes),
            "counts": dict(self.source.counts),
            "length_unit": self.calibration.length_unit,
            "length_source": self.calibration.length_source,
            "frame_interval_s": self.calibration.frame_interval_s,
            "time_source": self.calibration.time_source,
            "pixel_size_um": self.calibration.pixel_size_um,
            "faithful_every": self.faithful_every,
        }
