"""Displacements of many tracks, on a scale of their own, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ScaleKind = Literal["track", "axis", "all"]

FEWEST_STEPS = 8
"""Displacements of the shortest track that can be explained."""


@dataclass(frozen=True)
class Steps:
    """Scaled displacements of m tracks.

    Attributes
    ----------
    values : numpy.ndarray of float32, shape (n, 2)
        Along x and y; displacement t leads to point t + 1 of its track.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Track *i* is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: NDArray[np.float32]
    offsets: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Displacements of each track, shape (m,)."""
        return np.diff(self.offsets)

    def take(self, index: NDArray[np.int64]) -> Steps:
        """Return some of the tracks, in the given order."""
        lengths = self.lengths[index]
        offsets = offsets_of(lengths)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], lengths)
        return Steps(self.values[rows], offsets)


def scaled_steps(
    positions: Floats, offsets: Ints, kind: ScaleKind = "track", spread: float = 0.0
) -> Steps:
    """Return the displacements of tracks, scaled.

    Parameters
    ----------
    positions : numpy.ndarray, shape (points, 2)
        Of all tracks, one after the other, in any unit; finite.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Track *i* is ``positions[offsets[i]:offsets[i + 1]]``.
    kind : {"track", "axis", "all"}
        track: divided by the root mean square of the track's displacements along one axis, both
        axes together. axis: each axis by its own, as in the input of the classifier (Bae, Baek &
        Jeong, supplement B.2). all: all by `spread`.
    spread : float
        In units of the positions, see `common_spread`.

    Raises
    ------
    SptError
        If a track has fewer than 9 points, or never moves.
    """
    points = np.diff(offsets)
    if len(points) and points.min() <= FEWEST_STEPS:
        raise SptError(
            f"a track has {points.min()} points; expected at least {FEWEST_STEPS + 1}. Leave short "
            f"ones out ({option('min_length', FEWEST_STEPS + 1)}).",
            option="min_length",
        )
    starts = offsets[:-1]
    bounds = offsets_of(points - 1)
    if not len(points):
        return Steps(np.zeros((0, 2), np.float32), bounds)
    inside = np.ones(len(positions), dtype=bool)
    inside[starts] = False
    steps = np.diff(positions, axis=0, prepend=positions[:1])[inside]
    if kind == "all":
        return Steps((steps / spread).astype(np.float32), bounds)
    # squares of 1e-200 or 1e+200 would be lost
    reach = np.maximum.reduceat(np.abs(steps).max(axis=1), bounds[:-1])
    if not (np.isfinite(reach) & (reach > 0)).all():
        raise SptError(
            "a track never moves, or its displacements can't be counted; expected tracks that move."
        )
    steps = steps / np.repeat(reach, points - 1)[:, None]
    square = np.add.reduceat(steps**2, bounds[:-1], axis=0) / (points - 1)[:, None]
    if kind == "track":
        square = np.repeat(square.mean(axis=1, keepdims=True), 2, axis=1)
    rms = np.sqrt(square)
    rms[rms == 0] = 1.0
    return Steps((steps / np.repeat(rms, points - 1, axis=0)).astype(np.float32), bounds)


def common_spread(positions: Floats, offsets: Ints) -> float:
    """Return the root mean square displacement along one axis, in units of the positions.

    The median over tracks, so that a few fast ones do not set the scale.

    Raises
    ------
    SptError
        If most tracks never move.
    """
    rms = []
    for start, stop in pairwise(offsets.tolist()):
        rms.append(float(np.sqrt(np.mean(np.diff(positions[start:stop], axis=0) ** 2))))
    spread = float(np.median(rms)) if rms else 0.0
    if not (np.isfinite(spread) and spread > 0):
        raise SptError("most of the tracks never move; expected tracks that move.")
    return spread
