"""Whether a movie was compressed as video, and over how many frames its motion is then faithful.

Video formats (MPEG, H.264, AVI with JPEG) cut a frame into blocks of 8 × 8 px, keep few waves of
each, and repeat blocks that hardly changed. What is left is a lattice of small steps at the edges
of the blocks, and particles that move by fits and starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Frame = npt.NDArray[np.float64]

BLOCK_PX = 8
"""Side of the blocks of all these formats, in px."""
LEAST_EXCESS = 0.1
"""Blocks count as seen where the steps at their edges are higher than others by this share."""
LEAST_SIGMAS = 6.0
"""And by this many standard errors, in both directions."""
FAITHFUL_BELOW = 0.05
"""Steps are taken as free of the compression where they correlate by less than this."""
MAX_EVERY = 5
"""Where steps still correlate over more frames than this, it is the motion's own doing."""
LEAST_STEPS = 500
"""With fewer pairs of steps, nothing is concluded from their correlation."""


@dataclass(frozen=True)
class Blocks:
    """The lattice of blocks that video compression leaves.

    Attributes
    ----------
    excess_y, excess_x : float
        By which share grey values change more across the edges of the blocks than elsewhere.
    """

    excess_y: float
    excess_x: float

    def describe(self) -> str:
        """Return a sentence for people."""
        share = 0.5 * (self.excess_y + self.excess_x)
        return (
            f"The movie was compressed as video: grey values change {share:.0%} more across the "
            f"edges of {BLOCK_PX} × {BLOCK_PX} px blocks than elsewhere. Its particles move by "
            "fits and starts from frame to frame; track the camera's own file if there is one."
        )


def find_blocks(frames: Sequence[Frame]) -> Blocks | None:
    """Look for the lattice of blocks that video compression leaves.

    Parameters
    ----------
    frames : sequence of numpy.ndarray, shape (height, width)
        Frames spread over the movie.

    Returns
    -------
    Blocks or None
        None where there is no such lattice, or frames are too small to tell.
    """
    import numpy as np

    found = []
    for axis in (0, 1):
        jumps = np.mean([np.abs(np.diff(f, axis=axis)).mean(axis=1 - axis) for f in frames], axis=0)
        # The middles of particles and uneven light are smooth from edge to edge: what counts is
        # how far an edge stands out from the lines beside it.
        around = np.convolve(jumps, np.ones(BLOCK_PX) / BLOCK_PX, mode="same")
        inner = slice(BLOCK_PX, -BLOCK_PX)
        relative = (jumps[inner] / np.maximum(around[inner], np.finfo(float).tiny)) - 1
        if len(relative) < 4 * BLOCK_PX:
            return None
        place = np.arange(len(relative)) % BLOCK_PX
        means = np.array([relative[place == k].mean() for k in range(BLOCK_PX)])
        best = int(np.argmax(means))
        rest = relative[place != best]
        edges = relative[place == best]
        excess = float(edges.mean() - rest.mean())
        error = float(np.hypot(edges.std() / len(edges) ** 0.5, rest.std() / len(rest) ** 0.5))
        if excess < LEAST_EXCESS or excess < LEAST_SIGMAS * error:
            return None
        found.append(excess)
    return Blocks(*found)


def step_correlation(table: pd.DataFrame, lag: int) -> tuple[float, int]:
    """Return how much steps `lag` frames apart correlate, over all tracks, and of how many pairs.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``particle``, ``frame``, ``x``, ``y``, sorted by particle, then frame.
    lag : int
        Frames from the beginning of one step to that of the other.

    Returns
    -------
    correlation : float
        Mean product over mean square; nan without a pair.
    n_pairs : int
        Pairs of steps, of both axes together.
    """
    import numpy as np

    particle, frame = table["particle"].to_numpy(), table["frame"].to_numpy()
    xy = table[["x", "y"]].to_numpy()
    step = np.diff(xy, axis=0)
    whole = (np.diff(particle) == 0) & (np.diff(frame) == 1)
    step[~whole] = np.nan
    first, second = step[:-lag], step[lag:]
    same = (particle[:-1][:-lag] == particle[:-1][lag:]) & (
        frame[:-1][lag:] - frame[:-1][:-lag] == lag
    )
    product = (first * second)[same]
    product = product[np.isfinite(product)]
    size = float(np.nanmean(step**2)) if len(product) else 0.0
    if size == 0.0:
        return float("nan"), len(product)
    return float(product.mean()) / size, len(product)


def faithful_every(table: pd.DataFrame) -> int:
    """Return at every how many frames the motion of a compressed movie can be believed.

    Free motion correlates neighbouring steps at most, by the exposure. Compression hands part of
    a step to the frames after it, so that steps further apart correlate, too.

    Parameters
    ----------
    table : pandas.DataFrame
        Tracks as for `step_correlation`, drift subtracted.

    Returns
    -------
    int
        From how many frames on steps no longer correlate; 1 where it can't be told, or where they
        never do, which then is the motion's own doing.
    """
    for lag in range(2, MAX_EVERY + 1):
        value, n_pairs = step_correlation(table, lag)
        if n_pairs < LEAST_STEPS:
            return 1
        if value < FAITHFUL_BELOW:
            return lag if lag > 2 else 1
    return 1
