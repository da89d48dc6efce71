"""Means over videos and seeds, with bootstrap intervals of both.

Videos are the same for all seeds of a method: a resample draws seeds and, for all of them, videos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

RESAMPLES, LEVEL = 2000, 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes
    ----------
    mean, low, high : float
        NaN where there is nothing to average; `low` and `high` also where there are no resamples
        or only one video and one seed.
    n_seeds, n_videos : int
        Those with any value. A bootstrap of three seeds is too narrow, as they are few.
    """

    mean: float
    low: float
    high: float
    n_seeds: int
    n_videos: int


def bootstrap_mean(
    values: ArrayLike, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Interval:
    """Return the mean of values (seeds, videos), or (videos,), and its percentile interval.

    NaN values are left out.

    Raises
    ------
    SptError
        For other shapes, or a level that is not between 0 and 1.
    """
    table = _table(values)
    return _interval(table, lambda s, v: _mean(table, s, v), resamples, level, seed)


def bootstrap_ratio(
    values: ArrayLike,
    others: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return the ratio of two methods' means, and its interval; videos are paired.

    Parameters
    ----------
    values, others : array_like, shape (seeds, videos) or (videos,)
        The same videos; seeds may differ in number and are drawn for each apart.
    resamples, level, seed
        See `bootstrap_mean`.

    Raises
    ------
    SptError
    """
    table, below = _table(values), _table(others)
    if table.shape[1] != below.shape[1]:
        raise SptError(
            f"{table.shape[1]} and {below.shape[1]} videos; a ratio needs the same for both."
        )
    rng = np.random.default_rng((seed, 1))

    def ratio(s: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        other = np.ones((1, len(below))) if len(s) == 1 else _weights(rng, len(s), len(below))
        under = _mean(below, other, v)
        over = _mean(table, s, v)
        return np.asarray(np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0))

    return _interval(table, ratio, resamples, level, seed)


def _table(values: ArrayLike) -> NDArray[np.float64]:
    table = np.atleast_2d(np.asarray(values, np.float64))
    if table.ndim != 2 or not table.size:
        raise SptError(f"values have the shape {np.shape(values)}; expected (seeds, videos).")
    return table


def _interval(
    table: NDArray[np.float64],
    estimate: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    if not 0 < level < 1:
        raise SptError(f"an interval's level must be between 0 and 1, not {level}.")
    known = np.isfinite(table)
    seeds, videos = int(known.any(axis=1).sum()), int(known.any(axis=0).sum())
    n_seeds, n_videos = table.shape
    at = float(estimate(np.ones((1, n_seeds)), np.ones((1, n_videos)))[0])
    if resamples < 2 or seeds * videos < 2:
        return Interval(at, np.nan, np.nan, seeds, videos)
    rng = np.random.default_rng(seed)
    drawn = estimate(_weights(rng, resamples, n_seeds), _weights(rng, resamples, n_videos))
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Interval(at, np.nan, np.nan, seeds, videos)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(at, float(low), float(high), seeds, videos)


def _weights(rng: np.random.Generator, resamples: int, n: int) -> NDArray[np.float64]:
    """Return how often each of n things is drawn, shape (resamples, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def _mean(
    table: NDArray[np.float64], seeds: NDArray[np.float64], videos: NDArray[np.float64]
) -> NDArray[np.float64]:
    known = np.isfinite(table)
    total = ((seeds @ np.where(known, table, 0.0)) * videos).sum(axis=1)
    count = ((seeds @ known.astype(np.float64)) * videos).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
