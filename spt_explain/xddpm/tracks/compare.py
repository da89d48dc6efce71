"""How alike two maps of one track are: rank correlation, and how often chance does as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_SHIFTS = 199


@dataclass(frozen=True)
class Likeness:
    """Spearman's rank correlation of two maps of a track.

    Attributes
    ----------
    rho : float
        NaN where a map is flat, or fewer than 8 frames have both.
    p : float
        Share of the shifts of one map along the track, ends joined, at which |ρ| is as large or
        larger: maps are smooth, so that neighbouring frames count as little more than one.
    """

    rho: float
    p: float


def likeness(a: NDArray[np.float64], b: NDArray[np.float64], *, seed: int = 1) -> Likeness:
    """Compare two maps of one track.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (n,)
        Of each frame; frames at which one is NaN are left out.
    seed : int
        Of the shifts, where there are more than 199.
    """
    both = np.isfinite(a) & np.isfinite(b)
    count = int(both.sum())
    if count < 8:
        return Likeness(float("nan"), float("nan"))
    ranks = [_ranks(values[both]) for values in (a, b)]
    first, second = (one - one.mean() for one in ranks)
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if size < 1e-9:
        return Likeness(float("nan"), float("nan"))
    shifts = np.arange(1, count)
    if count - 1 > _MOST_SHIFTS:
        shifts = np.sort(np.random.default_rng(seed).choice(shifts, _MOST_SHIFTS, replace=False))
    rho = float((first * second).sum()) / size
    others = np.array([(first * np.roll(second, s)).sum() / size for s in shifts])
    beaten = int((np.abs(others) >= abs(rho) - 1e-12).sum())
    return Likeness(min(max(rho, -1.0), 1.0), (beaten + 1) / (len(shifts) + 1))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks; equal values share the mean of theirs."""
    _, code, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[code], np.float64)
