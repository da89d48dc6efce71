"""Windows along a track in which scores and statistics are compared.

Bae, Baek & Jeong take 225 points at a stride of 25 for tracks of 1000 points: 32 windows, as many
as the last stage of their network has nodes (supplement D). Here both scale with the track: the
windows of a track of n points, up to 1000, are 0.225 n wide, rounded, and start at 0, 0.025 n,
0.05 n, …, rounded, so that there are 32 and the last ends with the track. Longer tracks, which the
network sees in pieces of 1000 points, have windows of 225 at a stride of 25, the last of which ends
less than a stride before the track. A track whose windows would be narrower than 20 points (below
87 points) has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.diffusion.statistics import Variant, window_statistics
from spt_explain.threads import in_order
from spt_explain.tracks.runs import offsets_of, run_lengths, run_starts

if TYPE_CHECKING:
    import pandas as pd

    from spt_explain.tracks.runs import Floats, Ints

KEYS = ("file", "particle", "segment")
"""Columns that name a track in every table."""

FULL, WIDTH, STRIDE = 1000, 225, 25
"""Points of the paper's tracks, and of its windows and their stride."""
_WINDOWS_AT_ONCE = 20_000
SMALLEST = 20
"""Points below which a window is too narrow: four subintervals of five."""


def place_score_windows(
    lengths: Ints,
    *,
    width: int = WIDTH,
    stride: int = STRIDE,
    full: int = FULL,
    smallest: int = SMALLEST,
) -> tuple[Ints, Ints, Ints]:
    """Place the windows of tracks of these lengths; see this module for the rule.

    Parameters
    ----------
    lengths : numpy.ndarray of int64, shape (m,)
        Points of each track.
    width, stride : int
        Points of a window and between starts, for a track of `full` points or more.
    full : int
        Points below which both scale with the track.
    smallest : int
        Tracks whose windows would be narrower have none.

    Returns
    -------
    begin, size, owner : numpy.ndarray of int64, shape (w,)
        First point of each window within its track, its points, and the track it is of.

    Raises
    ------
    ValueError
        If width, stride or `full` are out of range.
    """
    if not 1 <= width <= full or stride < 1:
        raise ValueError(
            f"width {width}, stride {stride}: expected at least 1, and at most {full} for the width"
        )
    scale = np.minimum(lengths, full) / full
    size = np.floor(width * scale + 0.5).astype(np.int64)
    fits = (size >= max(smallest, 1)) & (size <= lengths)
    apart = np.where(fits, stride * scale, 1.0)
    room = lengths - width * scale
    counts = np.where(fits, np.floor(room / apart + 1e-9).astype(np.int64) + 1, 0)
    owner = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(owner)) - np.repeat(offsets_of(counts)[:-1], counts)
    begin = np.floor(number * apart[owner] + 0.5).astype(np.int64)
    return np.minimum(begin, (lengths - size)[owner]), size[owner], owner


def window_table(frames: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """Return scores and statistics in windows along each track.

    Parameters
    ----------
    frames : pandas.DataFrame
        A row a frame, those of a track together and in order: ``file, particle, segment, frame,
        x, y, score``, and ``score_contrast`` if there is one.
    **options
        As for `WindowStatistics.of`.

    Returns
    -------
    pandas.DataFrame
        A row a window: ``file, particle, segment, window`` (from 0), ``first_frame, last_frame,
        score`` (mean of its frames that have one), ``score_contrast`` likewise, ``AC, CS, NG, SG,
        VD``. Tracks that are too short have no rows.

    Raises
    ------
    ValueError
        If columns are missing, or the numbers are out of range.
    """
    return WindowStatistics.of(frames, **options).with_scores(frames)


@dataclass(frozen=True, eq=False)
class WindowStatistics:
    """Windows along tracks and their statistics, for which no scores are needed.

    Attributes
    ----------
    place : dict of str to array
        ``file, particle, segment, window, first_frame, last_frame`` of each window.
    statistics : dict of str to numpy.ndarray, shape (w,)
    starts, stops : numpy.ndarray of int64, shape (w,)
        Rows of the windows in the table of frames.
    """

    place: dict[str, Any]
    statistics: dict[str, Floats]
    starts: Ints
    stops: Ints

    @classmethod
    def of(
        cls,
        frames: pd.DataFrame,
        *,
        variant: Variant = "paper",
        width: int = WIDTH,
        stride: int = STRIDE,
        full: int = FULL,
        smallest: int = SMALLEST,
        **options: Any,
    ) -> WindowStatistics:
        """Place the windows and compute their statistics.

        Parameters
        ----------
        frames : pandas.DataFrame
            As for `window_table`; no scores are needed.
        variant : {"paper", "code"}
            Which statistics; see `spt_explain.diffusion.statistics`.
        width, stride, full, smallest : int
            Where the windows lie; see `place_score_windows`.
        **options
            Further arguments of `spt_explain.diffusion.statistics.window_statistics`.

        Raises
        ------
        ValueError
            If columns are missing, or the numbers are out of range.
        """
        offsets = track_offsets(frames, "frame", "x", "y")
        begin, size, owner = place_score_windows(
            np.diff(offsets), width=width, stride=stride, full=full, smallest=smallest
        )
        starts = offsets[:-1][owner] + begin
        stops = starts + size
        frame = frames["frame"].to_numpy()
        place: dict[str, Any] = {name: frames[name].array.take(starts) for name in KEYS}
        first = np.flatnonzero(run_starts(owner))
        place["window"] = np.arange(len(owner)) - np.repeat(first, run_lengths(first, len(owner)))
        place["first_frame"], place["last_frame"] = frame[starts], frame[stops - 1]
        positions = frames[["x", "y"]].to_numpy(np.float64)
        found = _statistics(positions, starts, stops, owner, variant=variant, **options)
        return cls(place, found, starts, stops)

    def with_scores(self, frames: pd.DataFrame) -> pd.DataFrame:
        """Return the table of `window_table`, with the mean scores of the frames."""
        import pandas as pd

        if "score" not in frames:
            raise ValueError("the table has no column 'score'")
        scores = {
            name: window_means(frames[name].to_numpy(np.float64), self.starts, self.stops)
            for name in ("score", "score_contrast")
            if name in frames
        }
        return pd.DataFrame({**self.place, **scores, **self.statistics})


def _statistics(
    positions: Floats, starts: Ints, stops: Ints, owner: Ints, **options: Any
) -> dict[str, Floats]:
    """Return `window_statistics` of all windows, some tracks at a time, in threads.

    Scaling is within a track, so tracks do not depend on each other.
    """
    first = np.flatnonzero(run_starts(owner))
    cuts = first[np.flatnonzero(np.diff(first // _WINDOWS_AT_ONCE, prepend=-1))]
    bounds = list(pairwise([*cuts.tolist(), len(owner)]))
    if len(bounds) < 2:
        return window_statistics(positions, starts, stops, owner, **options)

    def some(bound: tuple[int, int]) -> dict[str, Floats]:
        part = slice(*bound)
        low, high = int(starts[part].min()), int(stops[part].max())
        return window_statistics(
            positions[low:high], starts[part] - low, stops[part] - low, owner[part], **options
        )

    found = list(in_order(some, bounds))
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def track_offsets(frames: pd.DataFrame, *columns: str) -> Ints:
    """Return where each track of a table begins and where the last ends, shape (m + 1,).

    Parameters
    ----------
    frames : pandas.DataFrame
        Rows of a track follow one another.
    *columns : str
        Columns that must be there beside the keys.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    import pandas as pd

    missing = [name for name in (*KEYS, *columns) if name not in frames]
    if missing:
        raise ValueError(f"the table has no column {missing[0]!r}")
    file, keys = frames["file"], [frames[name].to_numpy() for name in KEYS[1:]]
    if len(file) and not (file == file.iloc[0]).all():
        keys.append(pd.factorize(file)[0])
    return np.append(np.flatnonzero(run_starts(*keys)), len(frames)).astype(np.int64)


def window_means(values: Floats, starts: Ints, stops: Ints) -> Floats:
    """Return the mean of what is not NaN in each window, shape (w,); NaN where there is nothing.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
    starts, stops : numpy.ndarray of int64, shape (w,)
        Window *i* is ``values[starts[i]:stops[i]]`` and not empty; windows may overlap.
    """
    if not len(starts):
        return np.zeros(0)
    known = np.isfinite(values)
    edges = np.stack([starts, stops], axis=1).ravel()
    total, count = (
        np.add.reduceat(np.append(v, 0.0), edges)[::2]
        for v in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
