"""What a user may decide about gaps, branches, short and immobile tracks."""

from __future__ import annotations

from typing import ClassVar, Literal

from spt_explain.core.config import Options, setting

GapRule = Literal["fill", "split", "keep", "drop"]
BranchRule = Literal["skip", "split"]


class QualityPolicy(Options):
    """The stated policy; `model_dump` gives it for a sidecar file.

    Attributes
    ----------
    min_length : int
        Fewest points, after gaps were treated, of a segment that is classified; at least 2.
    gaps : {"fill", "split", "keep", "drop"}
        "fill": gaps of up to `max_gap` missing frames are filled by linear interpolation, and
        tracks are split at longer ones. "split": split at every gap. "keep": consecutive points
        are taken as consecutive frames. "drop": tracks with a gap are left out.
    max_gap : int
        Longest gap, in missing frames, that "fill" fills; 0 fills none; at most a million.
    branches : {"skip", "split"}
        "skip": tracks that split or merge are left out. "split": they are cut at their branch
        points into unbranched pieces, where the file has the links between its points.
    flag_immobile : bool
        Whether to flag segments that look like localisation noise around a fixed point.
        Segments that don't move at all are flagged in any case, as nothing can be classified.
    immobile_miss : float
        Share of noise-only tracks that the flag misses when they are long (more are missed below
        16 points; see `spt_explain.tracks.immobile`).
    immobile_guard : float
        Factor on the limit that keeps short Brownian tracks from being flagged; a larger one
        flags fewer short tracks, 0 switches the guard off.
    immobile_min_points : int
        Fewest observed points of a segment that may be flagged; at least 3.
    every : int or None
        Judge tracks by every so many-th frame, averaged over the ways to begin; each then needs so
        many times `min_length` points. None: by every frame, but where the tracks come from a
        movie that shows motion faithfully over more frames only (`Tracks.faithful_every`).

    Raises
    ------
    SptError
        If a value is outside what is listed above.
    """

    heading: ClassVar[str] = "Gaps, branches and short tracks"

    min_length: int = setting(
        10, "Shortest track, in points, that is classified.", unit="points", ge=2
    )
    gaps: GapRule = setting(
        "fill",
        "fill: fill gaps up to {max_gap} by straight lines, split at longer ones; split: split at "
        "every gap; keep: ignore gaps; drop: leave tracks with gaps out.",
    )
    max_gap: int = setting(
        2,
        "Longest gap, in missing frames, that {gaps:fill} fills.",
        unit="missing frames",
        ge=0,
        le=1_000_000,
    )
    branches: BranchRule = setting(
        "skip",
        "Tracks that split or merge: leave them out (listed), or cut them at the branch points "
        "where the file holds the links (TrackMate's full XML).",
    )
    flag_immobile: bool = setting(
        True, "Flag tracks that look like localisation noise around a fixed point."
    )
    immobile_miss: float = setting(
        0.04, "Share of noise-only tracks that the flag misses when they are long.", gt=0, lt=0.5
    )
    immobile_guard: float = setting(
        1.0,
        "Factor on the limit that keeps short Brownian tracks from being flagged; 0: no limit.",
        ge=0,
    )
    immobile_min_points: int = setting(
        8, "Fewest observed points of a track that may be flagged.", unit="points", ge=3
    )
    every: int | None = setting(
        None,
        "Judge tracks by every N-th frame, averaged over the ways to begin; each then needs N "
        "times {min_length} points. Default: every frame, but for movies that were compressed as "
        "video, as they show.",
        unit="frames",
        ge=1,
        le=1_000,
    )
