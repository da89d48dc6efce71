"""Which segments stand still, or show nothing but localisation noise around a fixed point.

The statistic is von Neumann's ratio of the mean squared successive difference to the variance,
pooled over the axes,

    R = [ sum over pairs of |r(t+1) − r(t)|² / m ] / [ sum over points of |r(t) − mean|² / n ]

with n observed points and m pairs of points observed in consecutive frames; points that were
filled in are not used. It is the likelihood-ratio statistic between white noise and a random
walk, free of the unit, the origin and the size of the noise. Positions that are independent and
normal give a mean of 2n/(n−1), and a variance that is known exactly (`von_neumann_moments`,
which for one axis without gaps is von Neumann's own); motion of any kind, however small beside
the noise, lowers the ratio as the track gets longer. A segment is flagged where R reaches both

* mean − z·sd, where z leaves a share `immobile_miss` (4 %) of noise-only tracks unflagged, and
* a guard, 27/(e+3) for two axes and 45/(e+6) where one axis is constant, e = (n+m+1)/2: a fit to
  the 99.3 % quantile of R for Brownian motion without noise. It rules below 15 points (28 for one
  axis), where noise and diffusion can't be told apart every time, and costs power there.

Measured per cent of 2-D tracks flagged, default policy (20,000 tracks each; 5,000 at 300 and
1,000 points); "BM + s" has localisation noise of s times the standard deviation of a displacement
and axis; SubFBM is without noise, by its anomalous exponent:

============ ====== ====== ====== ====== ====== ====== ====== ====== ======
points           10     12     15     20     30     50    100    300   1000
============ ====== ====== ====== ====== ====== ====== ====== ====== ======
noise only    62.05  80.99  95.33  95.89  95.94  96.16  96.05  96.12  96.08
BM             0.61   0.61   0.64   0.07   0.00   0.00   0.00   0.00   0.00
BM + 0.5       2.56   2.62   3.01   0.49   0.01   0.00   0.00   0.00   0.00
BM + 1         9.52  11.47  14.87   4.95   0.45   0.00   0.00   0.00   0.00
BM + 2        29.37  39.34  51.80  33.47  11.12   0.81   0.00   0.00   0.00
SubFBM 0.1    44.16  62.58  82.34  76.31  61.80  36.59   6.27   0.00   0.00
SubFBM 0.2    30.82  44.13  62.39  48.66  25.32   5.29   0.04   0.00   0.00
SubFBM 0.3    20.66  28.82  41.99  26.39   7.66   0.52   0.00   0.00   0.00
SubFBM 0.5     8.36  10.93  15.85   5.91   0.60   0.01   0.00   0.00   0.00
============ ====== ====== ====== ====== ====== ====== ====== ====== ======

Of the seven anomalous classes of `andi_datasets` (exponents 0.1–0.9, 1.1–1.9), SubFBM was flagged
without noise in 11, 26, 10, 0.9 and 0 % at 10, 15, 30, 100 and 300 points (1,500 tracks each; 500
at 300), every other class in at most 1.2 %; with noise of one displacement, SubFBM in 27, 52, 29, 8
and 1 % and the others in at most 17, 4 and 0.4 % at 15, 30 and 100 points or more.

So an immobile flag on fewer than 30 points says only that the positions can't be told from
noise: motion may be hidden beneath it. From 100 points on it is hardly ever raised on
fractional Brownian motion of an exponent of 0.2 or more (0.04 %). A stuck particle on
a drifting stage is not flagged once the drift shows.

References
----------
.. [1] J. von Neumann, "Distribution of the ratio of the mean square successive difference to the
   variance", Ann. Math. Statist. 12 (1941) 367–395, doi:10.1214/aoms/1177731677.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.tracks.policy import QualityPolicy
from spt_explain.tracks.runs import distances, run_lengths, run_sums

if TYPE_CHECKING:
    import numpy.typing as npt

    from spt_explain.tracks.runs import Bools, Floats, Ints

# Guard g = a / (e + b) by number of axes with any variation; see the module's docstring.
_GUARD = {1: (45.0, 6.0), 2: (27.0, 3.0)}


@dataclass(frozen=True, eq=False)
class Immobility:
    """The verdicts on m segments.

    Attributes
    ----------
    motionless : numpy.ndarray of bool, shape (m,)
        All observed positions are identical.
    noise_like : numpy.ndarray of bool, shape (m,)
        The positions can't be told from white noise around a fixed point.
    ratio : numpy.ndarray of float64, shape (m,)
        Von Neumann's ratio; NaN where it is undefined (no variation, or no two points in
        consecutive frames).
    limit : numpy.ndarray of float64, shape (m,)
        The ratio from which a segment is flagged; NaN likewise.
    """

    motionless: Bools
    noise_like: Bools
    ratio: Floats
    limit: Floats


def von_neumann_moments(
    n: npt.ArrayLike, pairs: npt.ArrayLike, triples: npt.ArrayLike, axes: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Return mean and variance of the pooled ratio for independent, normal positions.

    The ratio Q/S of the squared successive differences to the squared deviations does not depend
    on S, so that E[(Q/S)^k] = E[Q^k]/E[S^k]; with the Laplacian A of the graph of pairs,
    E[Q] = 2 m k, Var[Q] = 2 k tr(A²) = 2 k (4 m + 2 t), and S is chi-squared with k (n−1) degrees
    of freedom.

    Parameters
    ----------
    n : array_like of int
        Observed points, at least 2.
    pairs : array_like of int
        Pairs (m) of points in consecutive frames, at least 1.
    triples : array_like of int
        Runs of three points in consecutive frames (t), overlapping ones counted.
    axes : array_like of int
        Number of axes (k) pooled.

    Returns
    -------
    mean, variance : numpy.ndarray of float64

    References
    ----------
    .. [1] J. von Neumann, Ann. Math. Statist. 12 (1941) 367–395, doi:10.1214/aoms/1177731677.
    """
    points, m, t, k = (np.asarray(value, dtype=np.float64) for value in (n, pairs, triples, axes))
    freedom = k * (points - 1)
    mean = 2 * points / (points - 1)
    square_q = 2 * k * (4 * m + 2 * t) + (2 * k * m) ** 2
    square = square_q / (freedom * (freedom + 2)) * (points / m) ** 2
    return mean, square - mean**2


def assess_immobility(
    frame: Ints, x: Floats, y: Floats, starts: Ints, policy: QualityPolicy | None = None
) -> Immobility:
    """Flag segments without motion, or with none that could be told from noise.

    Parameters
    ----------
    frame : numpy.ndarray of int64, shape (n,)
        Frames of the observed points, increasing within each segment.
    x, y : numpy.ndarray of float64, shape (n,)
        Positions, in any unit.
    starts : numpy.ndarray of int64, shape (m,)
        First row of each segment; the last one ends at n.
    policy : QualityPolicy, optional
        The thresholds (``immobile_miss``, ``immobile_guard``, ``immobile_min_points``) and
        whether noise is flagged at all (``flag_immobile``).

    Returns
    -------
    Immobility
    """
    policy = QualityPolicy() if policy is None else policy
    n = run_lengths(starts, len(frame))
    if not n.size:
        none = np.zeros(0, dtype=bool)
        return Immobility(none, none, np.zeros(0), np.zeros(0))
    varies = [
        np.minimum.reduceat(values, starts) != np.maximum.reduceat(values, starts)
        for values in (x, y)
    ]
    axes = varies[0].astype(np.int64) + varies[1]

    # A pair is counted at its second point, a triple at its third.
    pair = distances(frame) == 1
    pair[starts] = False
    triple = pair.copy()
    triple[1:] &= pair[:-1]
    pairs, triples = run_sums(pair, starts), run_sums(triple, starts)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        successive, spread = np.zeros(len(n)), np.zeros(len(n))
        for values in (x, y):
            shifted = values - np.repeat(values[starts], n)
            step = np.zeros(len(values))
            step[1:] = np.diff(shifted)
            step[~pair] = 0.0
            successive += run_sums(np.square(step, out=step), starts)
            shifted -= np.repeat(run_sums(shifted, starts) / n, n)
            spread += run_sums(np.square(shifted, out=shifted), starts)
        ratio = (successive / pairs) / (spread / n)
        mean, variance = von_neumann_moments(n, pairs, triples, np.maximum(axes, 1))
        limit = mean - NormalDist().inv_cdf(1 - policy.immobile_miss) * np.sqrt(variance)
        extent = (n + pairs + 1) / 2
        for number, (a, b) in _GUARD.items():
            guard = policy.immobile_guard * a / (extent + b)
            limit = np.where(axes == number, np.maximum(limit, guard), limit)
    defined = (pairs > 0) & (axes > 0) & np.isfinite(ratio)
    ratio, limit = np.where(defined, ratio, np.nan), np.where(defined, limit, np.nan)
    noise_like = defined & (n >= policy.immobile_min_points) & (ratio >= limit)
    return Immobility(axes == 0, noise_like & policy.flag_immobile, ratio, limit)
