"""Cutting tracks that split or merge into unbranched pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spt_explain.tracks.runs import Ints


def cut_branches(particle: Ints, frame: Ints, source: Ints, target: Ints) -> Ints:
    """Cut a graph of points at every branch point into maximal unbranched paths.

    A point with two or more successors (a split) ends the piece that leads to it; a point with
    two or more predecessors (a merge) begins the piece that leaves it; one that is both is a
    piece of its own. So every point belongs to exactly one piece, and no displacement that the
    links don't contain is made up. The displacements across a cut are lost.

    Parameters
    ----------
    particle, frame : numpy.ndarray of int64, shape (n,)
        The points, sorted by particle, then frame.
    source, target : numpy.ndarray of int64, shape (m,)
        Links, as positions of points; their direction is that of time whichever end is named
        first. Links that are repeated, leave the particle or join points of one frame are
        ignored.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
        Number of the piece of each point, in the order of the pieces' first points; within a
        piece the frames increase.
    """
    n = len(frame)
    inside = (source >= 0) & (source < n) & (target >= 0) & (target < n)
    source, target = source[inside], target[inside]
    useful = (particle[source] == particle[target]) & (frame[source] != frame[target])
    source, target = source[useful], target[useful]
    # Points are sorted by frame within a particle, so the earlier one has the smaller position.
    edges = np.unique(np.minimum(source, target) * n + np.maximum(source, target))
    if edges.size:
        source, target = edges // n, edges % n

    splits = np.bincount(source, minlength=n) > 1
    merges = np.bincount(target, minlength=n) > 1
    kept = ~(splits[source] | merges[target])
    head = np.arange(n)
    head[target[kept]] = source[kept]
    while True:  # each point jumps to its predecessor's predecessor: log2(longest piece) rounds
        further = head[head]
        if np.array_equal(further, head):
            break
        head = further
    piece: Ints = np.unique(head, return_inverse=True)[1].astype(np.int64)
    return piece
