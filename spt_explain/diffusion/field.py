"""The field of view: tracks are laid out side by side, so that no two can be confused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spt_explain.tracks.runs import Floats, Ints


@dataclass(frozen=True)
class Field:
    """A field of view; the middle of its first pixel is the origin.

    Attributes
    ----------
    width_px, height_px : int
        Numbers of columns and rows.
    """

    width_px: int
    height_px: int


def arrange(positions: Floats, lengths: Ints, spacing: float) -> tuple[Floats, Field]:
    """Move each track to a place of its own, in rows from the top left.

    Boxes are put on shelves, the tallest first; the field is about square.

    Parameters
    ----------
    positions : numpy.ndarray of float64, shape (n, 2)
        Positions in px, tracks one after the other.
    lengths : numpy.ndarray of int64, shape (m,)
        Points of each track, at least 1.
    spacing : float
        Least distance between two tracks' boxes, and of a box from the border, in px.

    Returns
    -------
    positions : numpy.ndarray of float64, shape (n, 2)
        In px, all inside the field.
    field : Field
    """
    import numpy as np

    starts = np.cumsum(lengths) - lengths
    low = np.minimum.reduceat(positions, starts)
    size = np.maximum.reduceat(positions, starts) - low + spacing
    wanted = max(float(size[:, 0].max()), math.sqrt(float(size.prod(axis=1).sum())))
    corner = np.empty_like(size)
    x = y = shelf = widest = 0.0
    for i in np.argsort(-size[:, 1], kind="stable"):
        if x and x + size[i, 0] > wanted:
            x, y, shelf = 0.0, y + shelf, 0.0
        corner[i] = x, y
        x += size[i, 0]
        shelf, widest = max(shelf, size[i, 1]), max(widest, x)
    move = corner - low + spacing
    field = Field(math.ceil(widest + spacing) + 1, math.ceil(y + shelf + spacing) + 1)
    return positions + np.repeat(move, lengths, axis=0), field
