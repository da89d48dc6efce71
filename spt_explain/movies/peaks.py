"""Peaks of light in a frame: trackpy's maxima, centres and pairs that are too close, by numpy.

The same to the last bit as trackpy 0.6 finds them (its ``grey_dilation``, ``refine_com`` and
``where_close``), for all peaks of a frame together, and without its import: 2 s in each process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]
    Whole = npt.NDArray[np.uint16]

_MOVES, _MOVE_PX = 10, 0.6
"""The mask moves so often at most, by a pixel where its light is further from its middle."""
_AT_ONCE = 1 << 20
"""Pixels that are summed at once."""


def maxima(whole: Whole, separation: int, percentile: float, margin: int) -> Ints:
    """Return the pixels that no other of a square about them is brighter than.

    Parameters
    ----------
    whole : numpy.ndarray, shape (height, width)
        The frame.
    separation : int
        The square is the largest in a disc of this radius, in px.
    percentile : float
        Pixels must be brighter than this percentile of those that are not 0.
    margin : int
        Pixels nearer to the border are left out.

    Returns
    -------
    numpy.ndarray of int, shape (n, 2)
        Row and column.
    """
    import numpy as np
    from scipy import ndimage

    lit = whole[whole > 0]
    if not len(lit):
        return np.empty((0, 2), dtype=np.int64)
    highest = ndimage.grey_dilation(whole, (int(2 * separation / np.sqrt(2)),) * 2, mode="constant")
    pixels = np.argwhere((whole == highest) & (whole > np.percentile(lit, percentile)))
    inside = (pixels >= margin) & (pixels < np.array(whole.shape) - margin)
    found: Ints = pixels[inside.all(axis=1)]
    return found


def disc(radius: int) -> Bools:
    """Return which pixels of a square belong to a round mask; rounding decides at its edge."""
    import numpy as np

    away = (np.arange(-radius, radius + 1) / radius) ** 2
    inside: Bools = away[:, None] + away <= 1
    return inside


def centres(whole: Whole, peaks: Ints, diameter: int) -> tuple[Floats, Floats]:
    """Move a round mask from each maximum onto the centre of its light, all peaks together.

    The same to the last bit as trackpy's ``refine_com``, which takes one after the other: sums of
    whole numbers are exact in any order.

    Parameters
    ----------
    whole : numpy.ndarray, shape (height, width)
        The frame.
    peaks : numpy.ndarray, shape (n, 2)
        Row and column of each, at least the mask's radius away from the border.
    diameter : int
        Odd diameter of the mask, in px.

    Returns
    -------
    yx : numpy.ndarray, shape (n, 2)
        The centres, in px.
    mass : numpy.ndarray, shape (n,)
        Sum over the mask.
    """
    import numpy as np

    radius = diameter // 2
    inside = np.argwhere(disc(radius))
    weights = np.column_stack([np.ones(len(inside)), inside])
    steps = (inside - radius) @ [whole.shape[1], 1]
    flat = whole.ravel()
    yx, mass = np.empty((len(peaks), 2)), np.empty(len(peaks))
    at_once = max(1, _AT_ONCE // len(inside))
    for first in range(0, len(peaks), at_once):
        moving = np.arange(first, min(first + at_once, len(peaks)))
        middle = peaks[moving].astype(np.int64)
        for _ in range(_MOVES):
            light = flat[(middle @ [whole.shape[1], 1])[:, None] + steps].astype(np.float64)
            total, *moments = (light @ weights).T
            dark = total == 0
            off = np.stack(moments, axis=1) / np.where(dark, 1.0, total)[:, None] - radius
            off[dark] = 0.0
            yx[moving], mass[moving] = off + middle, total
            still = (np.abs(off) < _MOVE_PX).all(axis=1)
            if still.all():
                break
            moving, off = moving[~still], off[~still]
            middle = middle[~still] + (off > _MOVE_PX) - (off < -_MOVE_PX)
            middle = np.clip(middle, radius, np.array(whole.shape) - 1 - radius)
    return yx, mass


def highest_of_close(yx: Floats, separation: float, height: npt.NDArray[np.floating]) -> Bools:
    """Return which places have no other nearer than `separation` that is higher.

    Of two that are as high, the one further up and to the left is left out.
    """
    import numpy as np
    from scipy.spatial import KDTree

    kept = np.ones(len(yx), dtype=bool)
    if not len(yx):
        return kept
    scaled = yx / separation
    one, other = KDTree(scaled, 30).query_pairs(1 - 1e-7, output_type="ndarray").T
    place = scaled.sum(axis=1)
    lower = np.where(
        (height[one] > height[other])
        | ((height[one] == height[other]) & (place[one] > place[other])),
        other,
        one,
    )
    kept[lower] = False
    return kept
