"""Sensitivity-n (Ancona et al. 2017, arXiv:1711.06104), as Eq. 14 of the xDDPM paper has it.

Random sets of pixels are set to the reference. A good map gives a set the more relevance, the more
the prediction changes. The sets, and so the regressor's answers, are the same for all methods. The
correlation is taken within each video and then averaged: pooled over videos, any map that is large
where the signal is large would score. (Quantus' metric of this name is a different one.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import (
    checked_clips,
    checked_maps,
    checked_reference,
    signals_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.evaluate.arrays import Predict

Name = TypeVar("Name")

SUBSETS, SHARES = 200, (0.5,)
PAPER_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of Fig. 2; Table 1 has one half."""
FEW_VIDEOS = 100
"""Below this the mean over videos is too rough: 200 sets leave ±0.07 for each."""
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Occlusions:
    """How a regressor answered to random sets of pixels being set to the reference.

    Attributes
    ----------
    changes : numpy.ndarray, shape (videos, shares, subsets)
        (S(x) − S(x without the set))², summed over the values of a signal.
    shares : tuple of float
        Parts of a clip's pixels in a set.
    shape : tuple of int
        Of the clips, (videos, frames, height, width).
    seed : int
        The sets are drawn again from it, rather than kept.
    """

    changes: NDArray[np.float64]
    shares: tuple[float, ...]
    shape: tuple[int, ...]
    seed: int

    def correlate(self, maps: Mapping[Name, ArrayLike]) -> dict[Name, NDArray[np.float64]]:
        """Return Pearson's correlation of the sets' summed relevance with the changes.

        Parameters
        ----------
        maps : mapping to array_like, shape (videos, frames, height, width)
            Of each method, by its name or another key.

        Returns
        -------
        dict to numpy.ndarray, shape (videos, shares)
            0 for a map that is the same everywhere (it tells sets of one size not apart), NaN
            where the regressor's answer never changed.

        Raises
        ------
        SptError
        """
        like = np.broadcast_to(np.False_, self.shape)
        for name, each in maps.items():
            checked_maps(each, like, f"the maps of {name}")
        given = [np.asarray(each) for each in maps.values()]
        found = np.full((len(given), *self.changes.shape[:2]), np.nan)
        for video in range(self.shape[0]):
            values = np.stack([each[video].reshape(-1) for each in given], axis=1).astype(float)
            # all sets are of one size: the mean shifts every sum by the same amount
            values = values - values.mean(axis=0)
            for at, share in enumerate(self.shares):
                sums = np.concatenate(
                    [part.astype(np.float64) @ values for part in self._sets(video, at, share)]
                )
                scale = np.abs(values).max(axis=0) * np.sqrt(values.shape[0])
                found[:, video, at] = _pearson(sums, self.changes[video, at], scale)
        return dict(zip(maps, found, strict=True))

    def _sets(self, video: int, at: int, share: float) -> Iterator[NDArray[np.bool_]]:
        pixels = int(np.prod(self.shape[1:]))
        return _sets(pixels, share, self.changes.shape[2], (self.seed, video, at))


def occlude(
    predict: Predict,
    clips: ArrayLike,
    reference: ArrayLike,
    *,
    shares: Sequence[float] = SHARES,
    n_subsets: int = SUBSETS,
    change: Literal["squared", "drop"] = "squared",
    seed: int = 0,
    batch: int = 256,
) -> Occlusions:
    """Set random pixels to the reference, and note how the prediction changes.

    Parameters
    ----------
    predict : callable
        Clips (n, frames, height, width) to standardised signals (n, values). It should be one that
        was trained with random pixels missing (`probes.fit_random_masks`): any other is asked for
        what it has never seen.
    clips : array_like, shape (videos, frames, height, width)
        At least a hundred give a mean to ±0.01.
    reference : float or array_like
        What a missing pixel holds: the background of fluorescence, the mean of a field.
    shares : sequence of float
        Parts of the pixels in a set, each above 0 and below 1.
    n_subsets : int
        Sets of each share, for each video.
    change : {"squared", "drop"}
        "squared": Eq. 14. "drop": S(x) − S(x without the set), as Ancona et al. have it, summed
        over the values of a signal.
    seed : int
    batch : int
        Clips at once in `predict`.

    Returns
    -------
    Occlusions

    Raises
    ------
    SptError
    """
    video_clips = checked_clips(clips)
    if n_subsets < 3:
        raise SptError(
            f"{n_subsets} sets of pixels give no correlation; at least 3 are needed.",
            code="no-data",
        )
    if not shares or not all(0 < share < 1 for share in shares):
        raise SptError("shares of pixels must be above 0 and below 1, and there must be one.")
    if change not in ("squared", "drop"):
        raise SptError(
            f"no change is called {change!r}; there are: squared, drop.", code="not-found"
        )
    missing = checked_reference(reference, video_clips.shape[1:])
    before = signals_of(predict, video_clips, batch)
    changes = np.empty((len(video_clips), len(shares), n_subsets))
    for video, clip in enumerate(video_clips):
        for at, share in enumerate(shares):
            done = 0
            for sets in _sets(clip.size, share, n_subsets, (seed, video, at)):
                holed = np.where(sets, missing, clip.reshape(-1)).reshape(-1, *clip.shape)
                drop = before[video] - signals_of(predict, holed, batch)
                changes[video, at, done : done + len(sets)] = (
                    np.square(drop) if change == "squared" else drop
                ).sum(axis=1)
                done += len(sets)
    return Occlusions(changes, tuple(shares), video_clips.shape, seed)


def sensitivity_n(
    predict: Predict,
    clips: ArrayLike,
    maps: Mapping[str, ArrayLike],
    reference: ArrayLike,
    *,
    shares: Sequence[float] = SHARES,
    n_subsets: int = SUBSETS,
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Return Sensitivity-n of each method, video and share (`occlude`, then `correlate`).

    Returns
    -------
    dict of str to numpy.ndarray, shape (videos, shares)

    Raises
    ------
    SptError
    """
    seen = occlude(predict, clips, reference, shares=shares, n_subsets=n_subsets, seed=seed)
    return seen.correlate(maps)


def _sets(pixels: int, share: float, n: int, seed: tuple[int, ...]) -> Iterator[NDArray[np.bool_]]:
    """Yield sets of one size, as booleans (some, pixels), n in all."""
    size = min(max(round(share * pixels), 1), max(pixels - 1, 1))
    rng = np.random.default_rng(seed)
    most = max(1, _AT_ONCE // pixels)
    for start in range(0, n, most):
        keys = rng.random((min(most, n - start), pixels), dtype=np.float32)
        chosen = np.argpartition(keys, size - 1, axis=1)[:, :size]
        sets = np.zeros(keys.shape, np.bool_)
        np.put_along_axis(sets, chosen, True, axis=1)
        yield sets


def _pearson(
    sums: NDArray[np.float64], changes: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the correlation of each column (subsets, methods) with the changes (subsets,)."""
    x = sums - sums.mean(axis=0)
    y = changes - changes.mean()
    spread_x, spread_y = np.sqrt(np.square(x).sum(axis=0)), np.sqrt(np.square(y).sum())
    if spread_y <= 1e-12 * np.sqrt(len(y)) * np.abs(changes).max():
        return np.full(sums.shape[1], np.nan)
    flat = spread_x <= 1e-12 * scale
    found = (x * y[:, None]).sum(axis=0) / (np.where(flat, 1.0, spread_x) * spread_y)
    return np.where(flat, 0.0, np.clip(found, -1, 1))
