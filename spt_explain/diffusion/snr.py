"""How noisy the tracks of a movie are, from the localisation error of their spots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.runs import Floats
    from spt_explain.tracks.table import Tracks

ERROR_COLUMN = "sigma_static"
"""Column of a track table with each position's error per axis, in the unit of ``x``."""
_KEYS = ["particle", "frame", "x", "y"]


def inverse_snr(segments: Segments, tracks: Tracks, *, every: int = 1) -> dict[str, Floats]:
    """Return the column ``inv_snr`` of the verdict table, where the tracks know their errors.

    1/SNR is the standard deviation of a position's error in units of that of a displacement along
    one axis, √(2 D Δt). The error is the root mean square of the segment's; 2 D Δt is its mean
    squared displacement per axis less what the error adds, twice its square. Only measured
    positions count, not those that gaps were filled with.

    Parameters
    ----------
    segments : Segments
        What is to be classified, from `tracks`.
    tracks : Tracks
        With or without a column ``sigma_static``.
    every : int
        Frames that a displacement lasts.

    Returns
    -------
    dict of str to numpy.ndarray
        ``inv_snr``, (m,); NaN where no error is known, or the displacements are not larger than
        the errors alone would make them (immobile particles). Empty where the tracks have no such
        column.
    """
    if ERROR_COLUMN not in tracks.table.columns:
        return {}
    m = len(segments)
    points = segments.points[~segments.points["interpolated"].to_numpy()]
    owner, frame = points["segment_id"].to_numpy(), points["frame"].to_numpy()
    square = _errors(segments, tracks)[~segments.points["interpolated"].to_numpy()] ** 2
    known = np.isfinite(square)
    variance = _mean(owner[known], square[known], m)

    # Rows `step` apart may be `every` frames apart: as many steps as that, fewer across gaps.
    xy = points[["x", "y"]].to_numpy()
    starts, squares = [], []
    for step in range(1, every + 1):
        pair = (owner[step:] == owner[:-step]) & (frame[step:] - frame[:-step] == every)
        with np.errstate(over="ignore"):
            squares.append(((xy[step:] - xy[:-step])[pair] ** 2).mean(axis=1))
        starts.append(owner[step:][pair])
    moved = _mean(np.concatenate(starts), np.concatenate(squares), m) - 2 * variance
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(moved > 0, np.sqrt(variance / moved), np.nan)
    return {"inv_snr": ratio}


def _errors(segments: Segments, tracks: Tracks) -> Floats:
    """Return the error of each point of the segments; NaN for those that were filled in."""
    summary = segments.summary
    kept = summary["segment_id"].to_numpy() >= 0
    particles = np.empty(len(segments), dtype=np.int64)
    particles[summary["segment_id"].to_numpy()[kept]] = summary["particle"].to_numpy()[kept]
    points = segments.points[["segment_id", "frame", "x", "y"]]
    points = points.assign(particle=particles[points["segment_id"].to_numpy()])
    known = tracks.table[[*_KEYS, ERROR_COLUMN]].drop_duplicates(_KEYS)
    found = points.merge(known, how="left", on=_KEYS)[ERROR_COLUMN].to_numpy(np.float64)
    errors: Floats = np.where(segments.points["interpolated"].to_numpy(), np.nan, found)
    return errors


def _mean(owner: Floats, values: Floats, m: int) -> Floats:
    """Return the mean of the values of each segment; NaN where it has none."""
    count = np.bincount(owner, minlength=m)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.bincount(owner, values, minlength=m) / count
    return mean
