"""TrackMate's own save file of tracks, so that a lab checks them on its movie in Fiji.

Fiji opens it with Plugins > Tracking > Load a TrackMate file. Positions are those in the movie, in
the unit in which Fiji shows it (`spt_explain.report.fiji_view` says why). What
TrackMate's reader needs, and the type of each number, is in ``tests/data/trackmate-v7.xsd``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.core.files import atomic_file
from spt_explain.errors import SptError, option
from spt_explain.report.trackmate_features import (
    EDGE_FEATURES,
    SPOT_FEATURES,
    TRACK_FEATURES,
    Feature,
    links_of,
    track_features,
)
from spt_explain.report.trackmate_words import attributes, java, javas, plain, quoted, shorts
from spt_explain.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.settings import TrackingSettings
    from spt_explain.report.fiji_view import FijiView
    from spt_explain.tracks.table import Tracks

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

FORMAT_VERSION = "7.6.0"
"""The version of TrackMate whose file format is written; TrackMate 7 and later read it."""
NO_QUALITY = 1.0
"""The quality of spots of unknown mass."""
BLOCK = 2000
"""Tracks whose text is made at a time."""
MAX_INT = 2**31 - 1
"""The largest whole number that TrackMate reads."""


def encode_trackmate(
    tracks: Tracks,
    movie: FijiView,
    settings: TrackingSettings,
    *,
    labels: Mapping[int, str] | None = None,
    values: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> bytes:
    """Return TrackMate's save file of some tracks; see `trackmate_pieces`."""
    pieces = trackmate_pieces(tracks, movie, settings, labels=labels, values=values, notes=notes)
    return "".join(pieces).encode()


def write_trackmate(
    path: Path,
    tracks: Tracks,
    movie: FijiView,
    settings: TrackingSettings,
    *,
    labels: Mapping[int, str] | None = None,
    values: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write TrackMate's save file of some tracks, whole or not at all; see `trackmate_pieces`.

    Raises
    ------
    SptError
        Also if the file can't be written. An existing file is replaced.
    """
    pieces = trackmate_pieces(tracks, movie, settings, labels=labels, values=values, notes=notes)
    with (
        atomic_file(path, option="output") as part,
        part.open("w", encoding="utf-8", newline="") as out,
    ):
        out.writelines(pieces)


def trackmate_pieces(
    tracks: Tracks,
    movie: FijiView,
    settings: TrackingSettings,
    *,
    labels: Mapping[int, str] | None = None,
    values: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> Iterator[str]:
    """Give TrackMate's save file in pieces of text, without holding all of it in memory.

    Every row of the table is a spot, whose ID is the number of the row from 0. Particles with one
    position are spots without a track, as in TrackMate. Links join successive positions of
    a particle across its gaps; particles that split or merge keep their own links. The number of a
    particle is its TRACK_ID where TrackMate can hold it, and its name is ``Track_`` and that
    number.

    Parameters
    ----------
    tracks : Tracks
        The tracks. Where the table has ``x_px``, ``y_px``, these are where the spots are in the
        movie, else ``x``, ``y``; ``mass`` becomes TrackMate's quality.
    movie : FijiView
        The movie, as Fiji shows it.
    settings : TrackingSettings
        How the movie was tracked; `diameter` gives the radius of the spots.
    labels : mapping of int to str, optional
        By particle, what follows its name, e.g. ``"SubFBM 0.83"``.
    values : pandas.DataFrame, optional
        Numbers by particle (index), which become features of the tracks: TrackMate filters and
        colours by them. A column ``class probability`` is TrackMate's ``SPT_CLASS_PROBABILITY``.
    notes : sequence of str
        Sentences for the log that TrackMate shows.

    Returns
    -------
    iterator of str
        Pieces of the XML.

    Raises
    ------
    SptError
        If positions in µm can't be placed in the movie for want of a pixel size, if a particle is
        twice in a frame, or splits and its links are not known.
    """
    model = _model(tracks, movie, settings, values)
    return _pieces(model, movie, _log(tracks, movie, settings, notes), labels or {})


@dataclass(frozen=True, eq=False)
class _Model:
    """Spots, links and tracks in TrackMate's terms; n spots, m links, k tracks."""

    spots: pd.DataFrame
    source: Ints
    target: Ints
    links: pd.DataFrame
    offsets: Ints
    tracks: pd.DataFrame
    ids: Ints
    names: list[str]
    custom: list[Feature]
    radius: float
    z: float
    interval: float
    time_unit: str


def _model(
    tracks: Tracks, movie: FijiView, settings: TrackingSettings, values: pd.DataFrame | None
) -> _Model:
    import numpy as np
    import pandas as pd

    table = tracks.table
    interval = tracks.calibration.frame_interval_s
    x, y = _places(tracks)
    frame = table["frame"].to_numpy(np.int64)
    if len(frame) and (frame.min() < 0 or frame.max() > MAX_INT):
        raise SptError(
            f"The tracks have frame {frame[(frame < 0) | (frame > MAX_INT)][0]}: TrackMate counts "
            "frames from 0. Number the frames from 0."
        )
    plane = settings.z - 1 if isinstance(settings.z, int) else (movie.n_slices - 1) / 2
    mass = table["mass"].to_numpy(np.float64) if "mass" in table else None
    spots = pd.DataFrame(
        {
            "particle": table["particle"].to_numpy(np.int64),
            "frame": frame,
            "t": frame * (interval or 1.0),
            "x": x * movie.pixel_width,
            "y": y * movie.pixel_height,
            "z": min(plane, movie.n_slices - 1) * movie.voxel_depth,
            "quality": NO_QUALITY if mass is None else mass,
        }
    )
    source, target = links_of(tracks)
    links, features = track_features(spots, source, target)
    particle = features.index.to_numpy(np.int64)
    offsets = np.searchsorted(spots["particle"].to_numpy()[source], particle)
    named = particle if tracks.labels is None else tracks.labels.reindex(particle).to_numpy()
    fits = not len(particle) or (particle.min() >= 0 and particle.max() <= MAX_INT)
    custom = []
    for column in [] if values is None else values.columns:
        series = pd.to_numeric(values[column]).reindex(particle).astype(np.float64)  # type: ignore[index]
        key = "SPT_" + re.sub(r"[^A-Z0-9]+", "_", str(column).upper()).strip("_")
        custom.append(Feature(key, str(column), str(column)[:12], "NONE", False))
        features[key] = series.to_numpy()
    return _Model(
        spots=spots,
        source=source,
        target=target,
        links=links,
        offsets=np.append(offsets, len(source)),
        tracks=features,
        ids=particle if fits else np.arange(len(particle)),
        names=[f"Track_{name}" for name in named],
        custom=custom,
        radius=(settings.diameter or 1) / 2 * movie.pixel_width,
        z=float(spots["z"].iloc[0]) if len(spots) else 0.0,
        interval=interval or 1.0,
        time_unit="sec" if interval else "frame",
    )


def _places(tracks: Tracks) -> tuple[Floats, Floats]:
    """Return positions in the movie in px."""
    import numpy as np

    table, calibration = tracks.table, tracks.calibration
    if "x_px" in table and "y_px" in table:
        return table["x_px"].to_numpy(np.float64), table["y_px"].to_numpy(np.float64)
    x, y = table["x"].to_numpy(np.float64), table["y"].to_numpy(np.float64)
    if calibration.length_unit == "px":
        return x, y
    if calibration.pixel_size_um is None:
        raise SptError(
            "The tracks are in µm and the size of a pixel is not known: expected one, to place "
            f"them on the movie. Give {option('pixel_size_um')}.",
            option="pixel_size_um",
        )
    return x / calibration.pixel_size_um, y / calibration.pixel_size_um


def _pieces(model: _Model, movie: FijiView, log: str, labels: Mapping[int, str]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<TrackMate version={quoted(FORMAT_VERSION)}>\n  <Log>{plain(log)}</Log>\n"
    units = f"spatialunits={quoted(movie.unit)} timeunits={quoted(model.time_unit)}"
    yield f"  <Model {units}>\n    <FeatureDeclarations>\n"
    declared = (
        ("SpotFeatures", SPOT_FEATURES),
        ("EdgeFeatures", EDGE_FEATURES),
        ("TrackFeatures", [*TRACK_FEATURES, *model.custom]),
    )
    for tag, features in declared:
        yield f"      <{tag}>\n"
        for one in features:
            yield (
                f"        <Feature feature={quoted(one.key)} name={quoted(one.name)} "
                f"shortname={quoted(one.short)} dimension={quoted(one.dimension)} "
                f'isint="{str(one.whole).lower()}" />\n'
            )
        yield f"      </{tag}>\n"
    yield "    </FeatureDeclarations>\n"
    yield from _spots(model)
    yield from _tracks(model, labels)
    yield "    <FilteredTracks>\n"
    yield from (f'      <TrackID TRACK_ID="{one}" />\n' for one in model.ids.tolist())
    yield "    </FilteredTracks>\n  </Model>\n"
    yield _settings(model, movie)
    yield '  <GUIState state="ConfigureViews" />\n'
    yield f"  <DisplaySettings>{plain(_display(len(model.ids)))}</DisplaySettings>\n</TrackMate>\n"


def _spots(model: _Model) -> Iterator[str]:
    """Give the spots, frame by frame."""
    import numpy as np

    order = np.argsort(model.spots["frame"].to_numpy(), kind="stable")
    frames, starts = np.unique(model.spots["frame"].to_numpy()[order], return_index=True)
    ends = np.append(starts, len(order))[1:]
    columns = [model.spots[key].to_numpy() for key in ("x", "y", "quality")]
    fixed = f'POSITION_Z="{java(model.z)}" RADIUS="{java(model.radius)}" VISIBILITY="1"'
    yield f'    <AllSpots nspots="{len(order)}">\n'
    for frame, start, end in zip(frames.tolist(), starts.tolist(), ends.tolist(), strict=True):
        rows = order[start:end]
        when = f'FRAME="{frame}" POSITION_T="{java(frame * model.interval)}" {fixed}'
        lines = [
            f'        <Spot ID="{row}" name="ID{row}" QUALITY="{quality}" POSITION_X="{x}" '
            f'POSITION_Y="{y}" {when} />\n'
            for row, x, y, quality in zip(
                rows.tolist(), *(javas(column[rows]) for column in columns), strict=True
            )
        ]
        yield f'      <SpotsInFrame frame="{frame}">\n{"".join(lines)}      </SpotsInFrame>\n'
    yield "    </AllSpots>\n"


def _tracks(model: _Model, labels: Mapping[int, str]) -> Iterator[str]:
    """Give the tracks and their links, some tracks at a time."""
    whole = {feature.key for feature in TRACK_FEATURES if feature.whole}
    particles = model.tracks.index.tolist()
    yield "    <AllTracks>\n"
    for start in range(0, len(particles), BLOCK):
        block = slice(start, start + BLOCK)
        features = [
            [
                f'{key}="{value}"'
                for value in (
                    model.tracks[key].iloc[block].astype(int).tolist()
                    if key in whole
                    else shorts(model.tracks[key].iloc[block].to_numpy())
                )
            ]
            for key in model.tracks.columns
        ]
        ends = model.offsets[start : start + BLOCK + 1].tolist()
        links = _links(model, slice(ends[0], ends[-1]))
        for i, (particle, *words) in enumerate(zip(particles[block], *features, strict=True)):
            name, label = model.names[start + i], labels.get(particle)
            known = quoted(name if label is None else f"{name} {label}")
            yield (
                f'      <Track name={known} TRACK_ID="{model.ids[start + i]}" '
                f'TRACK_INDEX="{start + i}" {" ".join(words)}>\n'
            )
            yield from links[ends[i] - ends[0] : ends[i + 1] - ends[0]]
            yield "      </Track>\n"
    yield "    </AllTracks>\n"


def _links(model: _Model, rows: slice) -> list[str]:
    """Return the lines of some links."""
    keys = ("SPEED", "DISPLACEMENT", "EDGE_TIME")
    columns = (shorts(model.links[key].to_numpy()[rows]) for key in keys)
    return [
        f'        <Edge SPOT_SOURCE_ID="{source}" SPOT_TARGET_ID="{target}" '
        f'SPEED="{speed}" DISPLACEMENT="{step}" EDGE_TIME="{time}" />\n'
        for source, target, speed, step, time in zip(
            model.source[rows].tolist(), model.target[rows].tolist(), *columns, strict=True
        )
    ]


def _settings(model: _Model, movie: FijiView) -> str:
    """Give the settings: the movie, and a detector and a tracker that stand for none of its own."""
    import numpy as np

    last = int(model.spots["frame"].max()) if len(model.spots) else 0
    n_frames = max(movie.n_frames, last + 1)
    quality = model.spots["quality"].to_numpy()
    lowest = float(quality[np.isfinite(quality)].min(initial=1.0))
    # Other readers keep what is above it, and not what is equal.
    threshold = 0.0 if lowest > 0 else lowest - 1
    file = movie.file
    name, folder = ("", "") if file is None else (file.name, str(file.absolute().parent))
    image = {
        "filename": name,
        "folder": folder,
        "width": movie.width,
        "height": movie.height,
        "nslices": movie.n_slices,
        "nframes": n_frames,
        "pixelwidth": java(movie.pixel_width),
        "pixelheight": java(movie.pixel_height),
        "voxeldepth": java(movie.voxel_depth),
        "timeinterval": java(model.interval),
    }
    ends = {"x": movie.width, "y": movie.height, "z": movie.n_slices, "t": n_frames}
    crop = {f"{axis}{end}": n * (n_axis - 1) for axis, n_axis in ends.items() for end, n in _ENDS}
    return f"""  <Settings>
    <ImageData {attributes(image)} />
    <BasicSettings {attributes(crop)} />
    <DetectorSettings DETECTOR_NAME="MANUAL_DETECTOR" RADIUS="{java(model.radius)}" />
    <InitialSpotFilter feature="QUALITY" value="{java(threshold)}" isabove="true" />
    <SpotFilterCollection />
    <TrackerSettings TRACKER_NAME="MANUAL_TRACKER" />
    <TrackFilterCollection />
    <AnalyzerCollection>
      <SpotAnalyzers />
      <EdgeAnalyzers>
        <Analyzer key="Edge target" />
        <Analyzer key="Edge speed" />
      </EdgeAnalyzers>
      <TrackAnalyzers>
        <Analyzer key="Branching analyzer" />
        <Analyzer key="Track duration" />
        <Analyzer key="Track index" />
        <Analyzer key="Track location" />
        <Analyzer key="Track speed" />
        <Analyzer key="Track quality" />
      </TrackAnalyzers>
    </AnalyzerCollection>
  </Settings>
"""


_ENDS = (("start", 0), ("end", 1))


def _log(tracks: Tracks, movie: FijiView, settings: TrackingSettings, notes: Sequence[str]) -> str:
    """Return what TrackMate shows as the log: who made the file, and how."""
    calibration = tracks.calibration
    lines = [
        f"Written by spt-explain {__version__}, not by TrackMate, in the format of TrackMate "
        f"{FORMAT_VERSION}.",
        "The spots were found and linked by spt-explain with trackpy; TrackMate's detector and "
        "tracker stand at manual, so that nothing is detected or linked anew.",
        f"Movie: {movie.file.name if movie.file else 'several files'}.",
        "Positions are those in the movie, before any drift was subtracted.",
        "TrackMate places spots by the calibration that Fiji reads from the movie: "
        + (
            "none, so positions are in pixels."
            if movie.unit == "pixel" and movie.pixel_width == 1
            else f"pixels of {movie.pixel_width:g} {movie.unit}."
        ),
        f"Units of the analysis: {calibration.length_unit} ({calibration.length_source}); pixel "
        f"size {_said(calibration.pixel_size_um, 'µm')}; frame interval "
        f"{_said(calibration.frame_interval_s, 's')} ({calibration.time_source}).",
        "QUALITY is a spot's mass, its grey values above the background summed."
        if "mass" in tracks.table
        else f"QUALITY is {NO_QUALITY:g} throughout: the masses of the spots are not known.",
        *movie.remarks,
        *notes,
        "Settings of the tracking:",
        *(f"  {key}: {value}" for key, value in settings if value is not None),
    ]
    return "\n".join(lines)


def _display(n_tracks: int) -> str:
    """Return how TrackMate draws: tracks near in time, each in its colour."""
    font = {
        "name": "Arial",
        "style": 1,
        "size": 12,
        "pointSize": 12.0,
        "fontSerializedDataVersion": 1,
    }
    return json.dumps(
        {
            "name": "spt-explain",
            "spotUniformColor": "204, 51, 204, 255",
            "spotColorByType": "DEFAULT",
            "spotColorByFeature": "UNIFORM_COLOR",
            "spotDisplayRadius": 1.0,
            "spotDisplayedAsRoi": True,
            "spotMin": 0.0,
            "spotMax": 10.0,
            "spotShowName": False,
            "trackMin": 0.0,
            "trackMax": float(max(n_tracks - 1, 1)),
            "trackColorByType": "TRACKS",
            "trackColorByFeature": "TRACK_INDEX",
            "trackUniformColor": "204, 204, 51, 255",
            "undefinedValueColor": "0, 0, 0, 255",
            "missingValueColor": "89, 89, 89, 255",
            "highlightColor": "51, 230, 51, 255",
            "trackDisplayMode": "LOCAL",
            "colormap": "Jet",
            "limitZDrawingDepth": False,
            "drawingZDepth": 10.0,
            "fadeTracks": True,
            "fadeTrackRange": 30,
            "useAntialiasing": True,
            "spotVisible": True,
            "trackVisible": True,
            "font": font,
            "lineThickness": 1.0,
            "selectionLineThickness": 4.0,
            "trackschemeBackgroundColor1": "128, 128, 128, 255",
            "trackschemeBackgroundColor2": "192, 192, 192, 255",
            "trackschemeForegroundColor": "0, 0, 0, 255",
            "trackschemeDecorationColor": "0, 0, 0, 255",
            "trackschemeFillBox": False,
            "spotFilled": False,
            "spotTransparencyAlpha": 1.0,
        },
        indent=2,
    )


def _said(value: float | None, unit: str) -> str:
    return "not known" if value is None else f"{value:g} {unit}"
