"""Maps that need no thought, which any method must beat, and the one that none can.

"Relevance = brightness" wins where a signal is the area of the only cell, and the truths of two
videos overlap as much as published scores do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import checked_clips, checked_reference, checked_truth

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Kind = TypeVar("Kind", bound=np.generic)

FLOORS = ("random", "brightness", "whole cell", "edges", "unrelated video")
CEILING = "true map"
_BINS = 256


def random_maps(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Return uniform random numbers between 0 and 1."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def brightness(clips: ArrayLike, reference: ArrayLike = 0.0) -> NDArray[np.float32]:
    """Return each pixel's distance from the reference, |x − reference|.

    Raises
    ------
    SptError
    """
    videos = checked_clips(clips)
    missing = checked_reference(reference, videos.shape[1:]).reshape(videos.shape[1:])
    return np.asarray(np.abs(videos - missing))


def whole_cell(clips: ArrayLike, reference: ArrayLike = 0.0) -> NDArray[np.float32]:
    """Return 1 inside and 0 outside, by Otsu's threshold of each video's `brightness`.

    Otsu 1979, doi:10.1109/TSMC.1979.4310076, with 256 bins. A video of one value is all outside.

    Raises
    ------
    SptError
    """
    found = brightness(clips, reference)
    return np.stack([(each > _otsu(each)).astype(np.float32) for each in found])


def edges(clips: ArrayLike) -> NDArray[np.float32]:
    """Return the size of Sobel's gradient in each frame.

    Raises
    ------
    SptError
    """
    from scipy.ndimage import sobel

    videos = checked_clips(clips)
    return np.asarray(np.hypot(sobel(videos, axis=-1), sobel(videos, axis=-2)))


def unrelated(maps: NDArray[Kind], seed: int = 0) -> NDArray[Kind]:
    """Return the maps of other videos: all in another order, none in its place.

    Raises
    ------
    SptError
        For fewer than two videos.
    """
    n = len(maps)
    if n < 2:
        raise SptError(f"the map of an unrelated video needs two videos; there is {n}.")
    ring = np.random.default_rng(seed).permutation(n)
    other = np.empty(n, np.int64)
    other[ring] = np.roll(ring, 1)
    return maps[other]


def floors(
    clips: ArrayLike,
    truth: ArrayLike | None,
    *,
    reference: ArrayLike = 0.0,
    cell: ArrayLike | None = None,
    seed: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """Return all floors' maps by name (`FLOORS`).

    Parameters
    ----------
    clips : array_like, shape (videos, frames, height, width)
    truth : array_like of bool, or None
        Their true maps; the floor "unrelated video" is that of another video, and is not there
        without them.
    reference : float or array_like
        The background's level.
    cell : array_like of bool, optional
        Where cells are, if the simulator says so; otherwise `whole_cell`.
    seed : int

    Raises
    ------
    SptError
    """
    videos = checked_clips(clips)
    marks = None if truth is None else checked_truth(truth)
    if marks is not None and marks.shape != videos.shape:
        raise SptError(f"true maps have the shape {marks.shape}, clips {videos.shape}.")
    inside = whole_cell(videos, reference) if cell is None else checked_truth(cell)
    if inside.shape != videos.shape:
        raise SptError(f"the cells' masks have the shape {inside.shape}, clips {videos.shape}.")
    maps = [
        random_maps(videos.shape, seed),
        brightness(videos, reference),
        inside.astype(np.float32),
        edges(videos),
    ]
    if marks is not None:
        maps.append(unrelated(marks, seed).astype(np.float32))
    return dict(zip(FLOORS, maps, strict=False))


def _otsu(values: NDArray[np.float32]) -> float:
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return high
    counts, borders = np.histogram(values, _BINS, (low, high))
    middles = (borders[1:] + borders[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    first = np.cumsum(counts * middles)
    means = first[:-1] / np.maximum(below, 1), (first[-1] - first[:-1]) / np.maximum(above, 1)
    between = below * above * np.square(means[0] - means[1])
    # of equal ones the middle: between two groups all borders are as good
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return float(borders[1:][best].mean())
