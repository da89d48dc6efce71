"""Times to frames: the step of a time grid, and the frame interval where a table has both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GRID_TOLERANCE = 0.1
"""How far a step may be from a whole number of intervals, in intervals."""
STEPS_OFF_GRID = 0.01
"""The fraction of steps that may be farther."""
SUPPORT = 0.01
"""The fraction of steps that must be about as small as the smallest one that is believed."""


def interval_of(frame: npt.NDArray[np.int64], time: npt.NDArray[np.float64]) -> float | None:
    """Return the time between two frames where a table has both, or None if they don't agree.

    Parameters
    ----------
    frame : numpy.ndarray of int64
        Frame numbers.
    time : numpy.ndarray of float64
        Times in any unit; NaN where missing.
    """
    import numpy as np

    known = np.isfinite(time)
    if not known.all():
        frame, time = frame[known], time[known]
    if len(frame) < 2:
        return None
    first, last = int(frame.argmin()), int(frame.argmax())
    frames = int(frame[last]) - int(frame[first])
    if frames <= 0:
        return None
    step = float(time[last] - time[first]) / frames
    if not np.isfinite(step) or step <= 0:
        return None
    expected = time[first] + step * (frame - frame[first])
    if np.abs(time - expected).max() > max(0.5 * step, 1e-6 * abs(float(time[last]))):
        return None
    return float(f"{step:.9g}")


def frames_of(
    particle: npt.NDArray[np.int64], time: npt.NDArray[np.float64], label: str, column: str
) -> tuple[npt.NDArray[np.int64], float | None]:
    """Return frame numbers for a table that has only times.

    The interval is the smallest time difference within a track that enough steps share, refined
    over all steps; the first time in the file becomes frame 0.

    Parameters
    ----------
    particle : numpy.ndarray of int64
        Track numbers, sorted.
    time : numpy.ndarray of float64
        Times in any unit, sorted within each track, finite.
    label, column : str
        Names of the file and of the column with the times, for the message.

    Returns
    -------
    frame : numpy.ndarray of int64
        Frame numbers from 0.
    interval : float or None
        Time between two frames in the unit of `time`; None if all times are equal.

    Raises
    ------
    SptError
        If the times are not multiples of one interval.
    """
    import numpy as np

    if not len(time):
        return np.zeros(0, np.int64), None
    steps = np.diff(time)
    steps[particle[1:] != particle[:-1]] = 0.0
    inside = steps[steps > 0]
    if not len(inside):  # no track has two times: what the tracks have between them will do
        inside = np.diff(np.unique(time))
    if not len(inside):
        return np.zeros(len(time), np.int64), None
    step = _smallest(inside)
    for _ in range(3):
        multiples = np.round(inside / step)
        near = np.abs(inside / step - multiples) <= GRID_TOLERANCE
        near &= multiples >= 1
        if near.any():
            step = float(inside[near].sum() / multiples[near].sum())
    ratio = inside / step
    wrong = (np.abs(ratio - np.round(ratio)) > GRID_TOLERANCE) | (ratio < 0.5)
    start = float(time.min())
    if wrong.mean() > STEPS_OFF_GRID or (float(time.max()) - start) / step > 2**53:
        off = float(inside[wrong].min()) if wrong.any() else float(inside.min())
        raise SptError(
            f"{label}: the times in column {column} are not multiples of one interval (steps of "
            f"{step:.6g} and of {off:.6g} occur): expected a camera's regular frames.\n"
            f"Give a column with frame numbers: {option('columns', 'frame=NAME')}.",
            option="columns",
        )
    # Frames are counted within each track from its first time on, so that a slightly wrong step
    # can't add up over a long recording.
    firsts = np.flatnonzero(np.r_[True, particle[1:] != particle[:-1]])
    lengths = np.diff(np.r_[firsts, len(time)])
    begin = np.repeat(time[firsts], lengths)
    frame = np.round((begin - start) / step) + np.round((time - begin) / step)
    return frame.astype(np.int64), float(f"{step:.9g}")


def _smallest(steps: npt.NDArray[np.float64]) -> float:
    """Return the smallest of the steps that at least `SUPPORT` of them share."""
    import numpy as np

    ordered = np.sort(steps)
    upper = np.searchsorted(ordered, ordered * (1 + GRID_TOLERANCE), side="right")
    count = upper - np.arange(len(ordered))
    enough = count >= max(1, int(np.ceil(SUPPORT * len(ordered))))
    first = int(np.argmax(enough))
    return float(np.median(ordered[first : int(upper[first])]))
