"""Time-averaged mean squared displacements, and the anomalous exponent fitted to them.

The exponent is the slope of a straight line through log MSD against log lag, by least squares,
over the first lags: a fifth of the track's points, but at least 4 and at most 10. Neither
localisation error nor motion blur is taken out. Error pulls the exponent towards 0, blur (of short
lags) towards larger values. Mean deviation and mean absolute deviation from the true exponent
(400 tracks of each; subdiffusive FBM 0.15…0.85, superdiffusive 1.15…1.85; noise in standard
deviations of a displacement):

====== ===== ============= ============= =============
points noise SubFBM        BM            SupFBM
====== ===== ============= ============= =============
20     0      0.00   0.18  −0.04   0.19  −0.08   0.18
20     0.5   −0.11   0.21  −0.22   0.26  −0.25   0.28
20     1     −0.26   0.30  −0.49   0.49  −0.57   0.58
50     0     −0.01   0.11  −0.01   0.14  −0.05   0.13
50     0.5   −0.10   0.13  −0.16   0.19  −0.18   0.21
50     1     −0.25   0.26  −0.39   0.39  −0.42   0.42
200    0      0.00   0.05   0.00   0.06  −0.02   0.07
200    0.5   −0.10   0.11  −0.15   0.15  −0.14   0.15
====== ===== ============= ============= =============

A fit of A·lag^α + 2σ² with the offset left free takes the deviation out of tracks of 200 points
or more, and ruins short ones, which can't tell error from subdiffusion: for SubFBM of 20 and 50
points without noise the mean absolute deviation rises from 0.18 and 0.11 to 0.56 and 0.26. As most
tracks are short, and an exponent should mean the same at any length, the plain fit is used.

CTRW, ATTM and scaled Brownian motion age: the time average of a single track grows nearly
linearly with lag whatever their exponent is, so for these the fit is near 1 by nature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.tracks.runs import distances, run_lengths, run_sums

if TYPE_CHECKING:
    from spt_explain.tracks.runs import Floats, Ints

FEWEST_LAGS, MOST_LAGS, POINTS_PER_LAG = 4, 10, 5


def mean_squared_displacements(
    frame: Ints, x: Floats, y: Floats, starts: Ints, lags: int = MOST_LAGS
) -> Floats:
    """Return the time-averaged MSD of each segment, for lags of 1 to `lags` frames.

    Parameters
    ----------
    frame : numpy.ndarray of int64, shape (n,)
        Frames of the measured positions, increasing within a segment. Every pair of positions
        counts at the lag of its frames; positions that were filled in must not be among them.
    x, y : numpy.ndarray of float64, shape (n,)
        Positions, in any unit.
    starts : numpy.ndarray of int64, shape (m,)
        First row of each segment; no segment is empty.
    lags : int
        Number of lags.

    Returns
    -------
    numpy.ndarray, shape (m, lags)
        Sum of both axes, in the unit squared; NaN where no pair has the lag.
    """
    msd, extent = _scaled_msd(frame, x, y, starts, lags)
    with np.errstate(over="ignore"):
        return msd * extent[:, None] ** 2


def msd_exponent(frame: Ints, x: Floats, y: Floats, starts: Ints) -> Floats:
    """Return the slope of log MSD against log lag of each segment; see this module for the lags.

    Parameters
    ----------
    frame, x, y, starts
        As for `mean_squared_displacements`.

    Returns
    -------
    numpy.ndarray, shape (m,)
        NaN where fewer than two lags have a mean squared displacement above 0.
    """
    n_points = run_lengths(starts, len(frame))
    used = np.clip(n_points // POINTS_PER_LAG, FEWEST_LAGS, MOST_LAGS)
    lags = int(used.max(initial=2))
    # Sums over as many lags for all, so that no track's digits depend on the length of another.
    msd = np.full((len(starts), MOST_LAGS), np.nan)
    msd[:, :lags] = _scaled_msd(frame, x, y, starts, lags)[0]
    lag = np.log(np.arange(1, MOST_LAGS + 1))
    with np.errstate(all="ignore"):
        height = np.log(msd)
        good = np.isfinite(height) & (np.arange(MOST_LAGS) < used[:, None])
        count = good.sum(axis=1)
        middle = np.where(good, lag, 0.0).sum(axis=1) / count
        centred = np.where(good, lag - middle[:, None], 0.0)
        slope: Floats = (centred * np.where(good, height, 0.0)).sum(axis=1) / (centred**2).sum(1)
    return np.where(count > 1, slope, np.nan)


def _scaled_msd(
    frame: Ints, x: Floats, y: Floats, starts: Ints, lags: int
) -> tuple[Floats, Floats]:
    """Return MSDs in units of extent², (m, lags), and the extents, (m,).

    The extent is the largest distance along an axis from the segment's first position; without
    it, squares of 1e-200 would be lost.
    """
    m, n = len(starts), len(frame)
    if not m:
        return np.zeros((0, lags)), np.zeros(0)
    lengths = run_lengths(starts, n)
    total, pairs = np.zeros((m, lags)), np.zeros((m, lags), np.int64)
    with np.errstate(all="ignore"):  # positions near 1e308: NaN
        path = [values - np.repeat(values[starts], lengths) for values in (x, y)]
        extent = np.maximum.reduceat(np.maximum(*(np.abs(p) for p in path)), starts)
        scale = np.repeat(1 / np.where(extent > 0, extent, 1.0), lengths)
        path = [p * scale for p in path]
        one = distances(frame)
        within = np.arange(n) - np.repeat(starts, lengths)
        gaps = bool((one[within > 0] != 1).any())
        ahead = np.zeros(n, np.uint64)  # frames from row i − shift to row i
        for shift in range(1, min(lags, n - 1) + 1):
            inside = within >= shift
            square = np.zeros(n)
            for p in path:
                square[shift:] += (p[shift:] - p[:-shift]) ** 2
            direct = inside
            if gaps:
                ahead[1:] = ahead[:-1] + one[1:]
                direct = inside & (ahead == shift)
            total[:, shift - 1] += run_sums(np.where(direct, square, 0.0), starts)
            pairs[:, shift - 1] += run_sums(direct, starts)
            if gaps:
                rows = np.flatnonzero(inside & (ahead > shift) & (ahead <= lags))
                cell = np.searchsorted(starts, rows, "right") - 1, ahead[rows].astype(int) - 1
                np.add.at(total, cell, square[rows])
                np.add.at(pairs, cell, 1)
        return total / pairs, extent
