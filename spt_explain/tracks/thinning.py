"""Tracks at every so many-th frame, where motion from frame to frame can't be believed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from spt_explain.tracks.policy import QualityPolicy
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.table import Tracks


def frames_apart(tracks: Tracks, policy: QualityPolicy) -> int:
    """Return how many frames apart the points are that a verdict rests on.

    Parameters
    ----------
    tracks : Tracks
        They know if they come from a movie whose motion is faithful over several frames only.
    policy : QualityPolicy
        Its `every` goes before that.
    """
    return tracks.faithful_every if policy.every is None else policy.every


def thin(segments: Segments, every: int, first: int = 0) -> Segments:
    """Return segments with every `every`-th point alone.

    Parameters
    ----------
    segments : Segments
        Each with `every` points or more.
    every : int
        1 or more.
    first : int
        The first point of each segment that is kept, 0 … every − 1.

    Returns
    -------
    Segments
        Points keep the number of their frame; the summary still counts all points.
    """
    if every == 1:
        return segments
    lengths = np.diff(segments.offsets)
    place = np.arange(int(segments.offsets[-1])) - np.repeat(segments.offsets[:-1], lengths)
    points = segments.points[place % every == first].reset_index(drop=True)
    return replace(segments, points=points, offsets=offsets_of((lengths - first - 1) // every + 1))


def renumbered(segments: Segments, every: int) -> Segments:
    """Return thinned segments whose points are one frame apart, for what counts frames."""
    if every == 1:
        return segments
    points = segments.points.copy(deep=False)
    points["frame"] = points["frame"] // every
    return replace(segments, points=points)
