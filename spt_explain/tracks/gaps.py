"""Filling gaps: linear interpolation of missing frames, for all segments at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from spt_explain.tracks.runs import Bools, Floats, Ints


def fill_gaps(
    frame: Ints, x: Floats, y: Floats, missing: Ints
) -> tuple[Ints, Floats, Floats, Bools]:
    """Insert `missing[i]` interpolated rows before row i.

    Parameters
    ----------
    frame : numpy.ndarray of int64, shape (n,)
        Frames, increasing wherever something is to be inserted.
    x, y : numpy.ndarray of float64, shape (n,)
        Positions in any unit.
    missing : numpy.ndarray of int64, shape (n,)
        Number of frames that are missing between row i − 1 and row i and are to be filled;
        0 in the first row of every segment.

    Returns
    -------
    frame, x, y : numpy.ndarray, shape (n + missing.sum(),)
    interpolated : numpy.ndarray of bool, same shape
        True for the rows that were inserted.
    """
    after = np.flatnonzero(missing)
    if not after.size:
        return frame, x, y, np.zeros(len(frame), dtype=bool)
    counts = missing[after]
    observed = np.cumsum(missing) + np.arange(len(frame))
    total = int(observed[-1]) + 1
    interpolated = np.ones(total, dtype=bool)
    interpolated[observed] = False
    ends = np.repeat(after, counts)
    step = np.arange(1, len(ends) + 1) - np.repeat(offsets_of(counts)[:-1], counts)
    weight = step / (np.repeat(counts, counts) + 1.0)

    frames = np.empty(total, dtype=np.int64)
    frames[observed] = frame
    frames[interpolated] = frame[ends - 1] + step
    filled = []
    for values in (x, y):
        out = np.empty(total)
        out[observed] = values
        # Halves, so that the difference of two huge positions does not overflow.
        before, behind = values[ends - 1] / 2, values[ends] / 2
        out[interpolated] = 2 * (before + (behind - before) * weight)
        filled.append(out)
    return frames, filled[0], filled[1], interpolated
