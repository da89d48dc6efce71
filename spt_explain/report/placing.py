"""Tracks on the pixels of their movie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.movies.calibration import settle
from spt_explain.report.style import NEUTRAL, centred, colour_of
from spt_explain.tracks.units import is_pixels, length_factor_um

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.stack import Stack
    from spt_explain.tracks.table import Tracks

    Floats = npt.NDArray[np.float64]
    Image = npt.NDArray[np.uint8]

COLOUR_BY = ("class", "score")
CONTRAST = (20.0, 99.8)
"""Grey values, as percentiles, that become white and the darkest grey."""
DARKEST = 125
"""The darkest grey of a movie, of 255: tracks on it are still seen."""
_KEYS = ("file", "particle", "segment")


@dataclass(frozen=True)
class Placed:
    """A track on the movie.

    Attributes
    ----------
    name : str
        Its class; "" for none.
    frame : numpy.ndarray of int64, shape (n,)
        Frames of the movie, from 0.
    x, y : numpy.ndarray, shape (n,)
        Positions in pixels; the middle of the first pixel is 0.
    share : numpy.ndarray, shape (n,), or None
        Scores over the end of the track's own scale (see `centred`), −1 … 1; None where none are
        to be drawn.
    """

    name: str
    frame: npt.NDArray[np.int64]
    x: Floats
    y: Floats
    share: Floats | None


@dataclass(frozen=True)
class Scene:
    """Tracks on a movie, and what a user should know about them.

    Attributes
    ----------
    paths : list of Placed
        In the order of the table.
    pixel : float
        Length of a pixel in `unit`.
    unit : str
        ``"µm"`` or ``"px"``.
    frame_interval_s : float or None
        Time between frames in s.
    notes : tuple of str
        Tracks outside of the movie, units ignored.
    """

    paths: list[Placed]
    pixel: float
    unit: str
    frame_interval_s: float | None
    notes: tuple[str, ...]


def place(
    stack: Stack,
    frames: pd.DataFrame,
    tracks: pd.DataFrame,
    *,
    unit: str,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
) -> Scene:
    """Put tracks onto the pixels of a movie.

    Parameters
    ----------
    stack : Stack
        The movie.
    frames, tracks : pandas.DataFrame
        The tables of the explained tracks.
    unit : str
        Unit of the positions.
    pixel_size_um, frame_interval_s : float, optional
        Fill in what the movie's metadata don't say.
    override_units : bool, optional
        Let the two above replace what the metadata say.

    Raises
    ------
    SptError
        If positions are lengths and the pixel size isn't known, or no position lies in the movie.
    """
    calibration, notes = settle(
        stack.units,
        pixel_size_um=pixel_size_um,
        frame_interval_s=frame_interval_s,
        override_units=override_units,
    )
    size = calibration.pixel_size_um
    factor = length_factor_um(unit)
    if factor is None and not is_pixels(unit):
        raise SptError(
            f"the positions are in {unit or 'an unknown unit'!r}: expected µm or pixels to draw "
            f"them on {stack.name}. Give {option('pixel_size_um')} when classifying the tracks.",
            option="pixel_size_um",
        )
    if factor is not None and size is None:
        raise SptError(
            f"{stack.name} does not say how large its pixels are, and the positions are in {unit}: "
            f"give the movie's pixel size with {option('pixel_size_um')}.",
            option="pixel_size_um",
        )
    scale = 1.0 if factor is None or size is None else factor / size
    paths = _paths(frames, tracks, scale)
    # options ignored, values replaced
    given = tuple(map(option, ("pixel_size_um", "frame_interval_s", "override_units")))
    notes = [note for note in notes if note.startswith(given)]
    notes += _outside(paths, stack, unit)
    known = size if size is not None else 1.0
    return Scene(paths, known, "px" if size is None else "µm",
                 calibration.frame_interval_s, tuple(notes))  # fmt: skip


def in_movie(frames: pd.DataFrame, tracks: Tracks) -> pd.DataFrame:
    """Return positions as they lie in the movie, where drift was subtracted from them.

    Parameters
    ----------
    frames : pandas.DataFrame
        Columns ``frame``, ``x``, ``y``.
    tracks : Tracks
        They were made from. Those of a movie hold their pixels, ``x_px`` and ``y_px``.

    Returns
    -------
    pandas.DataFrame
        `frames` with the drift of each frame added to ``x`` and ``y`` again.
    """
    table = tracks.table
    if not {"x_px", "y_px"} <= set(table.columns):
        return frames
    calibration = tracks.calibration
    scale = calibration.pixel_size_um if calibration.length_unit == "um" else 1.0
    if not scale:
        return frames
    moved = frames.copy()
    for axis in "xy":
        drift = (table[f"{axis}_px"] * scale - table[axis]).groupby(table["frame"]).mean()
        moved[axis] += np.interp(frames["frame"], drift.index, drift.to_numpy())
    return moved


def check_colour_by(colour_by: str) -> None:
    """Refuse what tracks can't be coloured by.

    Raises
    ------
    SptError
        If it is none of `COLOUR_BY`.
    """
    if colour_by not in COLOUR_BY:
        raise SptError(f"tracks coloured by {colour_by!r}: expected {' or '.join(COLOUR_BY)}.")


def shades(image: npt.NDArray[Any], ends: tuple[float, float], *, dark: bool) -> Image:
    """Return a frame as greys for print: background white, spots grey, whichever way they were.

    Parameters
    ----------
    image : numpy.ndarray, shape (height, width)
        Grey values.
    ends : (float, float)
        Grey values that become one and the other end.
    dark : bool
        Whether spots are darker than the background.
    """
    low, high = ends
    value = np.asarray(image, dtype=np.float64)
    share = np.clip((value - low) / (high - low), 0, 1) if high > low else np.zeros(value.shape)
    if dark and high > low:
        share = 1 - share
    grey: Image = np.round(255 - (255 - DARKEST) * share).astype(np.uint8)
    return grey


def stands_out_dark(values: npt.NDArray[Any]) -> bool:
    """Return whether what stands out of a movie is darker than most of it."""
    low, middle, high = np.percentile(values, (0.1, 50.0, 99.9))
    return bool(middle - low > high - middle)


def contrast(values: npt.NDArray[Any], *, dark: bool) -> tuple[float, float]:
    """Return the grey values between which a movie is drawn; see `CONTRAST`."""
    low, high = CONTRAST
    ends = (100 - high, 100 - low) if dark else (low, high)
    first, last = np.percentile(values, ends)
    if not last > first:  # few spots on a background of one grey
        first, last = values.min(), values.max()
    return float(first), float(last)


def class_colours(paths: Sequence[Placed], classes: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return colour and number of tracks of each class that occurs, in the order of `classes`."""
    count: dict[str, int] = {}
    for path in paths:
        count[path.name] = count.get(path.name, 0) + 1
    order = [*classes, *sorted(name for name in count if name not in classes)]
    return {
        name: (colour_of(name, classes) if name else NEUTRAL, count[name])
        for name in order
        if name in count
    }


def _paths(frames: pd.DataFrame, tracks: pd.DataFrame, scale: float) -> list[Placed]:
    keys = [key for key in _KEYS if key in frames and key in tracks]
    rows = frames.groupby(keys, sort=False, dropna=False).indices
    frame = frames["frame"].to_numpy(np.int64)
    x, y = (frames[axis].to_numpy(np.float64) * scale for axis in "xy")
    score = frames["score"].to_numpy(np.float64)
    overlay = tracks["overlay"] if "overlay" in tracks else [True] * len(tracks)
    paths = []
    names = tracks["class"].fillna("").astype(str)
    listed = zip(tracks[keys].itertuples(index=False, name=None), names, overlay, strict=True)
    for key, name, drawn in listed:
        at = rows.get(key if len(keys) > 1 else key[0])
        if at is None:
            continue
        value = score[at]
        share = None
        if bool(drawn) and np.isfinite(value).any():
            share = np.clip(value / float(centred(value).vmax or 1.0), -1, 1)
        paths.append(Placed(name, frame[at], x[at], y[at], share))
    return paths


def _outside(paths: list[Placed], stack: Stack, unit: str) -> list[str]:
    inside = np.array([
        bool((
            (path.x >= -0.5) & (path.x <= stack.width - 0.5)
            & (path.y >= -0.5) & (path.y <= stack.height - 0.5)
            & (path.frame >= 0) & (path.frame < stack.n_frames)
        ).any())
        for path in paths
    ])  # fmt: skip
    movie = f"{stack.name} ({stack.n_frames:,} frames of {stack.width} × {stack.height} pixels)"
    if not len(paths):
        raise SptError(f"there are no tracks to draw on {movie}.", code="no-data")
    if not inside.any():
        one = len(paths) == 1
        none = "the one track does not lie" if one else f"none of the {len(paths):,} tracks lies"
        held = (
            "" if is_pixels(unit) else f", and the movie's pixel size ({option('pixel_size_um')})"
        )
        raise SptError(
            f"{none} within {movie}. "
            f"Check that it is the movie of {'this track' if one else 'these tracks'}{held}."
        )
    if inside.all():
        return []
    out = int((~inside).sum())
    lie = "lies" if out == 1 else "lie"
    return [f"{out:,} of {len(paths):,} tracks {lie} outside of the movie."]
