"""TrackMate's save file: the full XML, all spots and the links between them."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any, NoReturn

from spt_explain.errors import NotTracksError, SptError, option
from spt_explain.readers.positions import drop_missing, sizes_of, without_points
from spt_explain.readers.trackgraph import Links, paths
from spt_explain.readers.trackmate_csv import KEYS
from spt_explain.readers.units import FileUnits, calibrate, length_factor_um
from spt_explain.readers.wording import quoted, some
from spt_explain.readers.xmlstream import Texts, bad_value, number, root_of, walk, whole
from spt_explain.tracks.columns import unique_names
from spt_explain.tracks.table import Source, SourceColumn, Tracks

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.readers.inputs import Input, ReadOptions
    from spt_explain.readers.trackgraph import Paths


_OF_POSITIONS = frozenset(key for role, key in KEYS.items() if role != "t")


def sniff(source: Input) -> bool:
    """Say whether the file starts like TrackMate's full XML.

    Parameters
    ----------
    source : Input
        The file; only its `head` is looked at. The log that comes first may be longer than that,
        so a file of settings without spots is told apart only if all of it was seen.
    """
    root = root_of(source.head)
    if root is None or root[0] != "TrackMate":
        return False
    return b"</TrackMate>" not in root[1] or b"<AllSpots" in root[1]


def read(source: Input, options: ReadOptions) -> Tracks:
    """Read TrackMate's full XML of any version.

    A track is the spots of its edges, ordered by frame. Only tracks that passed the user's track
    filters are read, unless `options.all_tracks` is set.

    Parameters
    ----------
    source : Input
        The file.
    options : ReadOptions
        Units that fill in or replace those of the file; `all_tracks`.

    Returns
    -------
    Tracks
        Positions in µm, or in pixels where no pixel size is known; `particle` is TrackMate's
        TRACK_ID; `links` holds the links of the tracks that split or merge. The other features
        of the spots (``ID``, ``name``, ``QUALITY`` …) are further columns.

    Raises
    ------
    SptError
        If the file is cut off or damaged, holds no tracks, or has values that are no numbers.
    """
    import numpy as np
    import pandas as pd

    model = walk(source, lambda: _Model(source, keep_columns=options.keep_columns))
    if not model.has_spots:
        raise NotTracksError(
            f"{source.label} is a TrackMate file without spots or tracks (settings only): expected "
            "tracks. Save again after tracking, or export tracks to an XML file."
        )
    spots = pd.DataFrame(
        {
            "frame": np.frombuffer(model.frame, dtype=np.int64),
            "x": np.frombuffer(model.x, dtype=np.float64),
            "y": np.frombuffer(model.y, dtype=np.float64),
            "z": np.frombuffer(model.z, dtype=np.float64),
            **model.features(),
        }
    )
    tracks = np.frombuffer(model.track, dtype=np.int64)
    kept = tracks
    if model.filtered is not None and not options.all_tracks:
        kept = tracks[np.isin(tracks, np.fromiter(model.filtered, dtype=np.int64))]
    links = Links(
        track=np.repeat(tracks, sizes_of(model.ends)),
        source=np.frombuffer(model.source, dtype=np.int64),
        target=np.frombuffer(model.target, dtype=np.int64),
    )
    ids = np.frombuffer(model.spot, dtype=np.int64)
    found = paths(ids, spots["frame"].to_numpy(), links, kept)
    notes, counts = _left_out(model, found, tracks, kept)

    table = spots.take(found.spot).reset_index(drop=True)
    table.insert(0, "particle", found.track)
    good = np.isfinite(table["x"].to_numpy()) & np.isfinite(table["y"].to_numpy())
    row_after = np.where(good, np.cumsum(good) - 1, -1)
    depth = table["z"].to_numpy()[good]
    table = drop_missing(table, notes, counts)
    if table.empty:
        _no_tracks(source, model, len(tracks), len(kept))
    if options.keep_columns and "z" not in table and np.isfinite(depth).any():
        table[KEYS["z"]] = depth

    remaining = set(table["particle"].unique().tolist())
    units = _units(model, table, notes)
    calibration, unit_notes = calibrate(table, units, options)
    return Tracks(
        table,
        calibration,
        Source(
            source.name, _name(model.version), (*notes, *unit_notes), counts, _columns(model, table)
        ),
        branching={key: why for key, why in found.branching.items() if key in remaining},
        links=None if found.links is None else _renumbered(found.links, row_after),
        without_points=without_points(kept, table),
    )


class _Model:
    """Takes spots, edges, filters and image data into flat arrays."""

    tags: tuple[str, ...] = (
        "Spot",
        "SpotsInFrame",
        "AllSpots",
        "SpotID",
        "FilteredSpots",
        "Edge",
        "Track",
        "TrackID",
        "FilteredTracks",
        "ImageData",
        "Model",
        "Log",
        "TrackMate",
    )

    def __init__(self, of: Input, *, keep_columns: bool) -> None:
        self.of = of
        self.texts: dict[str, Texts] | None = {} if keep_columns else None
        self.spot = array("q")
        self.frame = array("q")
        self.x = array("d")
        self.y = array("d")
        self.z = array("d")
        self.visible = array("b")
        self.source = array("q")
        self.target = array("q")
        self.track = array("q")
        self.ends = array("q")
        self.broken = 0
        self.has_spots = False
        self.filtered: set[int] | None = None
        self.times: dict[int, float] = {}
        self.image: dict[str, str] = {}
        self.units: dict[str, str] = {}
        self.version: str | None = None
        self._passed: set[int] = set()

    def take(self, element: Any) -> None:
        tag = element.tag
        if tag == "Spot":
            self._take_spot(element)
        elif tag == "Edge":
            self._take_edge(element)
        elif tag == "Track":
            self.track.append(self._id(element, "a track", "TRACK_ID", "trackID"))
            self.ends.append(len(self.source))
        elif tag == "TrackID":
            self._passed.add(self._id(element, "a filtered track", "TRACK_ID", "trackID"))
        elif tag == "FilteredTracks":
            self.filtered = self._passed
        elif tag == "AllSpots":
            self.has_spots = True
        elif tag == "ImageData":
            self.image = dict(element.attrib)
        elif tag == "Model":
            self.units = dict(element.attrib)
        elif tag == "TrackMate":
            self.version = element.get("version")

    def progress(self) -> str:
        return f"{some(len(self.spot), 'spot')} and {some(len(self.track), 'track')}"

    def _take_spot(self, element: Any) -> None:
        get = element.get
        parent = element.getparent()
        frame_word = get("FRAME")
        try:
            x, y = float(get("POSITION_X")), float(get("POSITION_Y"))
            spot = whole(get("ID"))
            # Before version 2, the frame was that of the enclosing element alone.
            if frame_word is None and parent is not None:
                frame_word = parent.get("frame")
            frame = whole(frame_word)
            z = float(get("POSITION_Z", "nan"))
        except (TypeError, ValueError):
            if parent is None or parent.tag != "SpotsInFrame":
                return
            values = {key: get(key) for key in ("ID", "POSITION_X", "POSITION_Y")}
            values["FRAME"] = frame_word
            if number(get("POSITION_Z", "0")) is None:
                values["POSITION_Z"] = get("POSITION_Z")
            bad_value(self.of, element, "a spot", values)
        self.spot.append(spot)
        self.frame.append(frame)
        self.x.append(x)
        self.y.append(y)
        self.z.append(z)
        self.visible.append(get("VISIBILITY", "1") not in ("0", "0.0", "false"))
        if self.texts is not None:
            row = len(self.spot) - 1
            for key, text in element.attrib.items():
                if key not in _OF_POSITIONS:
                    if key not in self.texts:
                        self.texts[key] = Texts()
                    self.texts[key].set(row, text)
        if frame not in self.times:
            time = number(get("POSITION_T"))
            if time is not None and math.isfinite(time):
                self.times[frame] = time

    def features(self) -> dict[str, Any]:
        """Return the spots' other features, by the names that they have in the table."""
        texts = self.texts or {}
        names = unique_names(list(texts))
        return {
            name: column.column(len(self.spot))
            for name, column in zip(names, texts.values(), strict=True)
        }

    def _take_edge(self, element: Any) -> None:
        if not element.attrib:
            return
        parent = element.getparent()
        if parent is None or parent.tag != "Track":
            self.broken += 1
            return
        try:
            ends = [
                whole(element.get(new, element.get(old)))
                for new, old in (("SPOT_SOURCE_ID", "sourceID"), ("SPOT_TARGET_ID", "targetID"))
            ]
        except ValueError:
            self.broken += 1
            return
        self.source.append(ends[0])
        self.target.append(ends[1])

    def _id(self, element: Any, what: str, *keys: str) -> int:
        text = next((element.get(key) for key in keys if element.get(key) is not None), None)
        try:
            return whole(text)
        except ValueError:
            bad_value(self.of, element, what, {keys[0]: text})


def _columns(model: _Model, table: pd.DataFrame) -> tuple[SourceColumn, ...]:
    """Return the spots' features and where they are in the table."""
    where = {key: role if role in table else "" for role, key in KEYS.items() if role != "t"}
    where |= {KEYS["z"]: KEYS["z"]} if KEYS["z"] in table else {}
    features = list(model.texts or {})
    where |= dict(zip(features, unique_names(features), strict=True))
    return tuple(SourceColumn(name, kept_as) for name, kept_as in where.items())


def _left_out(
    model: _Model, found: Paths, tracks: npt.NDArray[np.int64], kept: npt.NDArray[np.int64]
) -> tuple[list[str], dict[str, int]]:
    """Return notes and counts of what is in the file and not in the tracks."""
    import numpy as np

    visible = np.frombuffer(model.visible, dtype=np.int8).astype(bool)
    loose = ~found.linked
    n_spots, n_tracks, n_kept = len(visible), len(np.unique(tracks)), len(np.unique(kept))
    table = [
        (
            "hidden_tracks",
            n_tracks - n_kept,
            "track",
            f"of {n_tracks:,} hidden by TrackMate's track filters: left out "
            f"({option('all_tracks', True)} reads them).",
        ),
        (
            "untracked_spots",
            int((loose & visible).sum()),
            "spot",
            f"of {n_spots:,} in no track: left out.",
        ),
        (
            "hidden_spots",
            int((loose & ~visible).sum()),
            "spot",
            f"of {n_spots:,} hidden by TrackMate's spot filters: left out.",
        ),
        (
            "hidden_spots_in_tracks",
            int((~visible[found.spot]).sum()),
            "spot",
            "hidden by TrackMate's spot filters, but part of a track: kept there.",
        ),
        (
            "broken_links",
            model.broken + found.n_broken,
            "link",
            "without two spots of this file: left out.",
        ),
        (
            "empty_tracks",
            n_kept - found.n_tracks,
            "track",
            "without any link to a spot of this file.",
        ),
        ("repeated_spots", found.n_repeated, "spot", "with the ID of an earlier spot: left out."),
    ]
    notes = [f"{some(n, thing)} {rest}" for _, n, thing, rest in table if n]
    return notes, {key: n for key, n, _, _ in table if n}


def _renumbered(links: pd.DataFrame, row_after: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the links between rows that remain, with their new row numbers."""
    links = links.assign(
        source=row_after[links["source"].to_numpy()], target=row_after[links["target"].to_numpy()]
    )
    return links[(links["source"] >= 0) & (links["target"] >= 0)].reset_index(drop=True)


def _name(version: str | None) -> str:
    if not version:
        return "TrackMate save file without version, from 2010–11 (full XML)"
    return f"TrackMate {version[:40]} save file (full XML)"


def _no_tracks(source: Input, model: _Model, n_tracks: int, n_kept: int) -> NoReturn:
    have = (
        f"{source.label} is TrackMate's save file (full XML) with {some(len(model.spot), 'spot')}"
    )
    if n_tracks and not n_kept and model.filtered is not None:
        raise SptError(
            f"{have} and {some(n_tracks, 'track')}, all hidden by its track filters: no tracks to "
            "read. Loosen the filters in TrackMate and save again, or add "
            f"{option('all_tracks', True)}.",
            code="no-data",
            option="all_tracks",
        )
    if n_tracks:
        raise SptError(
            f"{have} and {some(n_tracks, 'track')}, but none has a link to a spot with a position. "
            "Link the spots in TrackMate, and save again."
        )
    what = "no tracks: the spots were not linked" if model.spot else "no tracks"
    raise SptError(f"{have} and {what}. Run detection and linking in TrackMate, and save again.")


def _units(model: _Model, table: pd.DataFrame, notes: list[str]) -> FileUnits:
    """Collect the units; make positions pixels where the file scaled them to no unit of length."""
    import numpy as np

    length, time = (
        model.units.get(key, model.image.get(key)) for key in ("spatialunits", "timeunits")
    )
    sizes = {
        axis: number(model.image.get(key))
        for axis, key in (("x", "pixelwidth"), ("y", "pixelheight"), ("z", "voxeldepth"))
    }
    sizes = {
        axis: size if size and math.isfinite(size) and size > 0 else None
        for axis, size in sizes.items()
    }
    width = sizes["x"]
    factor = length_factor_um(length)
    if factor is None and width is not None and width != 1:
        for axis, size in sizes.items():
            if size is not None and axis in table.columns:
                table[axis] = table[axis] / size
                if not np.isfinite(table[axis].to_numpy()).all():
                    raise SptError(
                        f"The file has a {axis} too large for its pixel size of {size:g}: expected "
                        "positions that divide by it. Check the image's calibration, save again."
                    )
        called = quoted(length) if length and length.strip() else "no unit"
        notes.append(
            f"The file's positions are scaled by a pixel width of {width:g} in {called}: they were "
            "divided by it to give pixels."
        )
    interval, where = _interval(model, time)
    return FileUnits(
        length=length,
        time=time,
        frame_interval=interval,
        pixel_size_um=width * factor if width is not None and factor is not None else None,
        where_length=f"file: spatialunits={length}" if length else "",
        where_time=where,
    )


def _interval(model: _Model, unit: str | None) -> tuple[float | None, str]:
    """Return the frame interval in the file's unit, and where it says so."""
    import numpy as np

    said = number(model.image.get("timeinterval"))
    if said is not None and math.isfinite(said) and said > 0:
        return said, f"file: timeinterval={model.image['timeinterval']} {unit or ''}".rstrip()
    if len(model.times) < 2:
        return None, ""
    frames = np.fromiter(model.times.keys(), dtype=np.float64)
    times = np.fromiter(model.times.values(), dtype=np.float64)
    with np.errstate(all="ignore"):
        frames, times = frames - frames.mean(), times - times.mean()
        slope = float((frames * times).sum() / (frames**2).sum())
        spread = np.abs(times - slope * frames).max() / np.abs(times).max()
    # Times that do not grow evenly with the frame are no measure of its interval.
    if not (slope > 0 and spread < 0.01):
        return None, ""
    slope = float(f"{slope:.9g}")
    return slope, f"file: POSITION_T against FRAME, {slope:g} {unit or ''}".rstrip()
