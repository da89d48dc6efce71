"""The rows of a table as they are judged: by track, or by piece of one that branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.tracks.branches import cut_branches
from spt_explain.tracks.runs import run_starts

if TYPE_CHECKING:
    import numpy.typing as npt

    from spt_explain.tracks.policy import QualityPolicy
    from spt_explain.tracks.runs import Bools, Floats, Ints
    from spt_explain.tracks.table import Tracks


@dataclass(frozen=True, eq=False)
class Rows:
    """Points, those of one unit (a track, or a piece of one) together and by frame.

    Attributes
    ----------
    particle, frame : numpy.ndarray of int64, shape (n,)
    x, y : numpy.ndarray of float64, shape (n,)
    piece : numpy.ndarray of int64, shape (n,)
        Number (from 1) of the piece, for branched tracks that were cut; else 0.
    branched : numpy.ndarray of bool, shape (n,)
        Points of tracks that branch and were not cut.
    row : numpy.ndarray of int64, shape (n,)
        Where each point is in the table.
    """

    particle: Ints
    frame: Ints
    x: Floats
    y: Floats
    piece: Ints
    branched: Bools
    row: Ints

    def take(self, index: npt.NDArray[Any]) -> Rows:
        """Return the rows at these positions or under this mask."""
        return Rows(
            self.particle[index],
            self.frame[index],
            self.x[index],
            self.y[index],
            self.piece[index],
            self.branched[index],
            self.row[index],
        )


def rows_of(tracks: Tracks, policy: QualityPolicy) -> Rows:
    """Return the rows of the table, those of branched tracks cut into pieces if the policy says so.

    Raises
    ------
    ValueError
        If the table is not sorted by particle, then frame.
    """
    table = tracks.table
    particle, frame = (table[name].to_numpy(dtype=np.int64) for name in ("particle", "frame"))
    x, y = (table[name].to_numpy(dtype=np.float64) for name in ("x", "y"))
    same = particle[1:] == particle[:-1]
    if np.any(particle[1:] < particle[:-1]) or np.any(same & (frame[1:] < frame[:-1])):
        raise ValueError("the table of Tracks must be sorted by particle, then frame")
    piece, branched = np.zeros(len(frame), dtype=np.int64), np.zeros(len(frame), dtype=bool)
    if tracks.branching:
        branched = np.isin(particle, np.fromiter(tracks.branching, dtype=np.int64))
    rows = Rows(particle, frame, x, y, piece, branched, np.arange(len(frame)))
    if policy.branches == "skip" or tracks.links is None or not branched.any():
        return rows

    linked = np.isin(particle, tracks.links["particle"].to_numpy(dtype=np.int64))
    chosen = np.flatnonzero(branched & linked)
    source, target = (
        _positions_in(chosen, tracks.links[name].to_numpy(dtype=np.int64))
        for name in ("source", "target")
    )
    piece[chosen] = 1 + cut_branches(particle[chosen], frame[chosen], source, target)
    branched[chosen] = False
    # Pieces interleave in time: put them one after the other. The rows of a particle stay
    # together, so sorting the chosen rows among themselves is enough.
    order = np.arange(len(frame))
    order[chosen] = chosen[np.lexsort((frame[chosen], piece[chosen], particle[chosen]))]
    return rows.take(order)


def _positions_in(chosen: Ints, rows: Ints) -> Ints:
    """Return where in `chosen` (increasing) each row is, or −1."""
    if not len(chosen):
        return np.full(len(rows), -1)
    at = np.minimum(np.searchsorted(chosen, rows), len(chosen) - 1)
    return np.where(chosen[at] == rows, at, -1)


def drop_repeated_rows(rows: Rows) -> tuple[Rows, int]:
    """Leave out rows that say again what another row of their track and frame says.

    Tracks left out because they branch are not touched.

    Returns
    -------
    rows : Rows
    n : int
        Number of rows left out.
    """
    tied = ~run_starts(rows.particle, rows.piece, rows.frame) & ~rows.branched
    if not tied.any():
        return rows, 0
    tied[:-1] |= tied[1:]
    index = np.flatnonzero(tied)
    group = rows.take(index)
    order = np.lexsort((group.y, group.x, group.frame, group.particle))
    group = group.take(order)
    again = ~run_starts(group.particle, group.frame, group.x, group.y)
    keep = np.ones(len(rows.frame), dtype=bool)
    keep[index[order[again]]] = False
    return rows.take(keep), int(again.sum())
