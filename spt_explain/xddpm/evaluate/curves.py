"""Insertion and deletion: pixels appear, or vanish, in the order of their relevance.

After Petsiuk et al. 2018, arXiv:1806.07421, for regression: what is drawn is fidelity, 1 where the
prediction is that of the whole clip and 0 where it is as far off as that of an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import (
    checked_clips,
    checked_maps,
    checked_reference,
    signals_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from spt_explain.xddpm.evaluate.arrays import Predict

STEPS = tuple(float(x) for x in np.linspace(0, 1, 21))


@dataclass(frozen=True, eq=False)
class Curves:
    """Fidelity while pixels appear or vanish.

    Attributes
    ----------
    shares : numpy.ndarray, shape (steps,)
        Parts of the pixels inserted, or deleted; from 0 to 1.
    insertion, deletion : numpy.ndarray, shape (videos, steps)
        Fidelity. A good map rises early in the first and falls early in the second. It can be
        below 0: a part of a clip may mislead more than nothing does.
    """

    shares: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion: NDArray[np.float64]

    @property
    def insertion_area(self) -> NDArray[np.float64]:
        """Area under each video's insertion curve (more is better)."""
        return _area(self.insertion, self.shares)

    @property
    def deletion_area(self) -> NDArray[np.float64]:
        """Area under each video's deletion curve (less is better)."""
        return _area(self.deletion, self.shares)


def insertion_deletion(
    predict: Predict,
    clips: ArrayLike,
    maps: ArrayLike,
    reference: ArrayLike,
    *,
    shares: Sequence[float] = STEPS,
    seed: int = 0,
    batch: int = 256,
) -> Curves:
    """Insert and delete pixels, most relevant first.

    Fidelity of a video is 1 − |S(x) − S(x′)|² / mean over videos of |S(x) − S(reference)|²: one
    scale for all videos, as that of a single one may be next to nothing.

    Parameters
    ----------
    predict, clips, reference
        See `sensitivity.occlude`.
    maps : array_like, shape (videos, frames, height, width)
    shares : sequence of float
        Rising, from 0 to 1.
    seed : int
        Of the order of pixels with one value, the same for all maps.
    batch : int
        Clips at once in `predict`.

    Returns
    -------
    Curves

    Raises
    ------
    SptError
        Also for a regressor that says of an empty clip what it says of whole ones.
    """
    videos = checked_clips(clips)
    values = checked_maps(maps, videos, "maps")
    missing = checked_reference(reference, videos.shape[1:])
    at = np.asarray(shares, np.float64)
    if len(at) < 2 or at[0] != 0 or at[-1] != 1 or (np.diff(at) <= 0).any():
        raise SptError("shares of pixels must rise from 0 to 1.")
    whole = signals_of(predict, videos, batch)
    empty = signals_of(predict, missing.reshape(1, *videos.shape[1:]), batch)
    unit = float(np.mean(np.square(whole - empty).sum(axis=1)))
    if not unit > 0:
        raise SptError("the regressor says of an empty clip what it says of every whole one.")
    counts = np.round(at * values.shape[1]).astype(int)
    insertion, deletion = np.empty((2, len(videos), len(at)))
    for video, clip in enumerate(videos.reshape(len(videos), -1)):
        draw = np.random.default_rng((seed, video)).permutation(len(clip))
        order = draw[np.argsort(-values[video][draw], kind="stable")]
        rank = np.empty(len(clip), np.int64)
        rank[order] = np.arange(len(clip))
        chosen = rank < counts[:, None]
        for found, shown in ((insertion, chosen), (deletion, ~chosen)):
            part = np.where(shown, clip, missing).reshape(-1, *videos.shape[1:])
            off = np.square(signals_of(predict, part, batch) - whole[video]).sum(axis=1)
            found[video] = 1 - off / unit
    return Curves(at, insertion, deletion)


def _area(curves: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.integrate import trapezoid

    return np.asarray(trapezoid(curves, shares, axis=1))
