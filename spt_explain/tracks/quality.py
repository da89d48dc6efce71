"""The stated policy: from tracks as they were found to the segments that are classified.

A segment is an unbranched run of points of one particle, between gaps that were not filled.
Checks come in this order, and the first that fails decides: branched, duplicate frames, gapped
(only with ``gaps="drop"``), too short, immobile. Whatever is left out keeps a row in the summary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.threads import in_order
from spt_explain.tracks import reasons
from spt_explain.tracks.chunks import chunks_of
from spt_explain.tracks.columns import take, unique_names
from spt_explain.tracks.gaps import fill_gaps
from spt_explain.tracks.immobile import assess_immobility
from spt_explain.tracks.policy import QualityPolicy
from spt_explain.tracks.rows import drop_repeated_rows, rows_of
from spt_explain.tracks.runs import distances, offsets_of, run_lengths, run_starts, run_sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from spt_explain.tracks.rows import Rows
    from spt_explain.tracks.runs import Bools, Floats, Ints
    from spt_explain.tracks.table import Tracks

__all__ = [
    "QualityPolicy",
    "Segments",
    "apply_policy",
    "apply_to_chunk",
    "join_counts",
    "join_segments",
    "join_summaries",
    "policy_chunks",
    "require_some",
]


@dataclass(frozen=True, eq=False)
class Segments:
    """What is to be classified, and what became of every track.

    Attributes
    ----------
    points : pandas.DataFrame
        The m segments to be classified, one after the other: ``segment_id`` (int64, 0…m−1),
        ``frame`` (int64), ``x``, ``y`` (float64, in the unit of the tracks), ``interpolated``
        (bool, True for frames that were filled in). Then the tracks' further columns, missing in
        frames that were filled in; one called ``segment_id`` or ``interpolated`` gets the suffix
        ``_source``.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Segment i is ``points[offsets[i]:offsets[i + 1]]``.
    summary : pandas.DataFrame
        A row for each segment and each track left out, by particle and segment: ``particle``,
        ``segment`` (0… within the particle), ``n_points`` (with filled frames), ``n_observed``,
        ``first_frame``, ``last_frame``, ``n_gaps`` (runs of missing frames inside the segment),
        ``n_filled`` (frames filled in), ``status``, ``reason``, ``segment_id`` (−1 where it is
        not to be classified). ``status`` is "" (to be classified), "immobile" (to be classified
        too, unless no point differs from another), "too short", "branched", "duplicate frames"
        or "gapped".
    counts : mapping of str to int
        ``tracks``, ``points`` (rows of the input), ``segments`` (to be classified),
        ``classified_tracks`` (with at least one such segment), ``duplicate_rows`` (exact
        repetitions left out), ``gaps_filled`` and ``frames_filled`` (in segments to be
        classified), ``tracks_split_at_gaps``, ``too_short`` (rows) and ``too_short_tracks``
        (tracks with no other rows), ``branched`` (left out), ``branched_split`` (cut into
        pieces), ``branch_pieces``, ``duplicate_frames``, ``gapped``, ``immobile`` (rows) and
        ``motionless`` (those of them that can't be classified).
    policy : QualityPolicy
        What was asked for.
    """

    points: pd.DataFrame
    offsets: Ints
    summary: pd.DataFrame
    counts: Mapping[str, int]
    policy: QualityPolicy = field(default_factory=QualityPolicy)

    def __len__(self) -> int:
        return len(self.offsets) - 1


def apply_policy(
    tracks: Tracks, policy: QualityPolicy | None = None, *, jobs: int | None = None
) -> Segments:
    """Treat gaps, branches, duplicates, short and immobile tracks as `policy` says.

    Rows that repeat frame, x and y of another row of their particle are left out and counted
    (not in branched tracks, whose rows are left as they are). Every particle of the input has at
    least one row in the summary.

    Parameters
    ----------
    tracks : Tracks
        Tracks whose table is sorted by particle, then frame.
    policy : QualityPolicy, optional
        By default, `QualityPolicy()`.
    jobs : int, optional
        Threads; one for each core by default.

    Returns
    -------
    Segments

    Raises
    ------
    SptError
        If filling gaps would need far more points than there are (see `max_gap`).
    ValueError
        If the table is not sorted by particle, then frame.
    """
    policy = QualityPolicy() if policy is None else policy
    parts = in_order(
        lambda chunk: apply_to_chunk(chunk, policy), policy_chunks(tracks, policy), jobs=jobs
    )
    return join_segments(list(parts), tracks, policy)


def policy_chunks(tracks: Tracks, policy: QualityPolicy) -> Iterator[Tracks]:
    """Yield chunks of tracks for `apply_to_chunk`."""
    # Only a file as a whole shows that filling its gaps would run away; see the end of this module.
    may_run_away = policy.gaps == "fill" and policy.max_gap + 1 > _MOST_FILLED
    return chunks_of(tracks, len(tracks.table) + 1) if may_run_away else chunks_of(tracks)


def apply_to_chunk(tracks: Tracks, policy: QualityPolicy, *, keep_columns: bool = True) -> Segments:
    """Apply the policy to one of `policy_chunks`; see `apply_policy`.

    Particles without points are left to `join_segments`; with `keep_columns` false, the points
    are without the tracks' further columns.
    """
    import pandas as pd

    rows, n_repeated = drop_repeated_rows(rows_of(tracks, policy))
    cut = _cut(rows, policy)
    eligible = (cut.code == reasons.TO_CLASSIFY) & (cut.n_points >= policy.min_length)
    cut.code[(cut.code == reasons.TO_CLASSIFY) & ~eligible] = reasons.TOO_SHORT

    # Immobile segments are judged by their observed points alone.
    observed = np.repeat(eligible, cut.n_observed)
    immobility = assess_immobility(
        rows.frame[observed],
        rows.x[observed],
        rows.y[observed],
        offsets_of(cut.n_observed[eligible])[:-1],
        policy,
    )
    ratio = np.full(len(eligible), np.nan)
    ratio[eligible] = np.where(immobility.noise_like, immobility.ratio, np.nan)
    kept = eligible.copy()
    kept[eligible] = ~immobility.motionless
    cut.code[(eligible & ~kept) | np.isfinite(ratio)] = reasons.IMMOBILE

    offsets = offsets_of(cut.n_points[kept])
    _refuse_runaway_fill(int(offsets[-1]), len(rows.frame), policy)
    selected = np.repeat(kept, cut.n_observed)
    frame, x, y, interpolated = fill_gaps(
        rows.frame[selected], rows.x[selected], rows.y[selected], cut.missing[selected]
    )
    points = pd.DataFrame(
        {
            "segment_id": np.repeat(np.arange(len(offsets) - 1, dtype=np.int64), np.diff(offsets)),
            "frame": frame,
            "x": x,
            "y": y,
            "interpolated": interpolated,
            **(_further(tracks, rows.row[selected], interpolated) if keep_columns else {}),
        },
        copy=False,
    )
    summary = _summary(tracks, policy, rows, cut, kept, ratio)
    counts = _counts(policy, rows, cut, kept)
    counts["points"] = len(tracks.table)
    counts["duplicate_rows"] = n_repeated
    return Segments(points, offsets, summary, counts, policy)


def _further(tracks: Tracks, row: Ints, interpolated: Bools) -> dict[str, Any]:
    """Return the tracks' further columns for the points at these rows and those filled in."""
    names = tracks.extra_columns
    if not names:
        return {}
    places = np.full(len(interpolated), -1, dtype=np.int64)
    places[~interpolated] = row
    spelled = unique_names(names, ("segment_id", "interpolated", "frame", "x", "y"))
    return {new: take(tracks.table[name], places) for new, name in zip(spelled, names, strict=True)}


def join_segments(parts: Sequence[Segments], tracks: Tracks, policy: QualityPolicy) -> Segments:
    """Return what the policy made of the chunks of `tracks` as one.

    Parameters
    ----------
    parts : sequence of Segments
        Of all chunks, in order; at least one.
    tracks : Tracks
        What was cut into chunks.
    policy : QualityPolicy
    """
    import pandas as pd

    points, offsets = parts[0].points, parts[0].offsets
    if len(parts) > 1:
        firsts = offsets_of(np.array([len(part) for part in parts]))
        moved = [
            part.points.assign(segment_id=part.points["segment_id"] + first)
            for part, first in zip(parts, firsts[:-1].tolist(), strict=True)
        ]
        points = pd.concat(moved, ignore_index=True)
        offsets = offsets_of(np.concatenate([np.diff(part.offsets) for part in parts]))
    summary = join_summaries([part.summary for part in parts], tracks)
    counts = join_counts([part.counts for part in parts], tracks)
    return Segments(points, offsets, summary, counts, policy)


def join_summaries(parts: Sequence[pd.DataFrame], tracks: Tracks) -> pd.DataFrame:
    """Return the summaries of chunks as one; see `Segments.summary`."""
    import pandas as pd

    summary = parts[0]
    if len(parts) > 1:
        summary = pd.concat(parts, ignore_index=True)
        kept = summary["segment_id"].to_numpy() >= 0
        summary["segment_id"] = np.where(kept, np.cumsum(kept, dtype=np.int64) - 1, -1)
    return _with_pointless(summary, tracks.without_points) if tracks.without_points else summary


def join_counts(parts: Sequence[Mapping[str, int]], tracks: Tracks) -> dict[str, int]:
    """Return the counts of chunks as one; see `Segments.counts`."""
    counts = {key: sum(part[key] for part in parts) for key in parts[0]}
    for key in ("tracks", "too_short", "too_short_tracks"):
        counts[key] += len(tracks.without_points)
    return counts


def require_some(segments: Segments, tracks: Tracks) -> None:
    """Raise a one-line reason if no segment is left to be classified.

    Raises
    ------
    SptError
        Naming the file, what became of its tracks and which option or export mends it.
    """
    if not len(segments):
        raise SptError(reasons.nothing_left(segments, tracks))


@dataclass(frozen=True, eq=False)
class _Cut:
    """Segments, kept or not: runs of the rows; one element each, but for the last two."""

    starts: Ints
    n_observed: Ints
    n_gaps: Ints
    n_filled: Ints
    code: npt.NDArray[np.intp]  # of the status, as far as it is known
    of_split: Bools  # whether the track or branch piece was split at a gap
    missing: Ints  # rows to be filled in before each row
    repeated: Bools  # rows in the same unit and frame as the row before

    @property
    def n_points(self) -> Ints:
        return self.n_observed + self.n_filled


def _cut(rows: Rows, policy: QualityPolicy) -> _Cut:
    """Cut tracks and branch pieces at gaps, as the policy says, but for those to be left out."""
    n = len(rows.frame)
    unit_first = run_starts(rows.particle, rows.piece)
    unit_starts = np.flatnonzero(unit_first)
    distance = distances(rows.frame)
    distance[unit_starts] = 1
    repeated, gap = distance == 0, distance > 1

    unit_code = np.full(len(unit_starts), reasons.TO_CLASSIFY, dtype=np.intp)
    if policy.gaps == "drop":
        unit_code[run_sums(gap, unit_starts) > 0] = reasons.GAPPED
    unit_code[run_sums(repeated, unit_starts) > 0] = reasons.DUPLICATE
    unit_code[rows.branched[unit_starts]] = reasons.BRANCHED
    sound = np.repeat(unit_code == reasons.TO_CLASSIFY, run_lengths(unit_starts, n))

    first = unit_first
    if policy.gaps == "split":
        first = unit_first | (gap & sound)
    elif policy.gaps == "fill":
        first = unit_first | ((distance > np.uint64(policy.max_gap + 1)) & sound)
    starts = np.flatnonzero(first)
    gap[starts] = False
    missing = np.zeros(n, dtype=np.int64)
    if policy.gaps == "fill":
        fillable = gap & sound
        missing[fillable] = (distance[fillable] - np.uint64(1)).astype(np.int64)
    segments_in_unit = run_lengths(np.flatnonzero(unit_first[starts]), len(starts))
    return _Cut(
        starts=starts,
        n_observed=run_lengths(starts, n),
        n_gaps=run_sums(gap, starts),
        n_filled=run_sums(missing, starts),
        code=np.repeat(unit_code, segments_in_unit),
        of_split=np.repeat(segments_in_unit > 1, segments_in_unit),
        missing=missing,
        repeated=repeated,
    )


def _summary(
    tracks: Tracks, policy: QualityPolicy, rows: Rows, cut: _Cut, kept: Bools, ratio: Floats
) -> pd.DataFrame:
    """Return `Segments.summary`; `ratio` is NaN but for segments flagged as noise."""
    import pandas as pd

    particle = rows.particle[cut.starts]
    firsts = np.flatnonzero(run_starts(particle))
    first_segment = np.repeat(firsts, run_lengths(firsts, len(particle)))
    why = np.full(len(particle), "", dtype=object)
    these = cut.code == reasons.TOO_SHORT
    piece = cut.of_split | (rows.piece[cut.starts] > 0)
    why[these] = reasons.too_short(
        cut.n_points[these], cut.n_filled[these], piece[these], policy.min_length
    )
    these = np.isfinite(ratio)
    why[these] = reasons.noise_like(ratio[these])
    these = (cut.code == reasons.IMMOBILE) & ~these
    why[these] = reasons.motionless(cut.n_observed[these])
    these = cut.code == reasons.GAPPED
    why[these] = reasons.gapped(cut.n_gaps[these])
    these = cut.code == reasons.DUPLICATE
    why[these] = reasons.duplicate_frames(cut.repeated, rows.frame, cut.starts[these], cut.starts)
    these = cut.code == reasons.BRANCHED
    why[these] = reasons.branched(particle[these], tracks, policy)
    return pd.DataFrame(
        {
            "particle": particle,
            "segment": np.arange(len(particle), dtype=np.int64) - first_segment,
            "n_points": cut.n_points,
            "n_observed": cut.n_observed,
            "first_frame": rows.frame[cut.starts],
            "last_frame": rows.frame[cut.starts + cut.n_observed - 1],
            "n_gaps": cut.n_gaps,
            "n_filled": cut.n_filled,
            "status": np.array(reasons.STATUS, dtype=object)[cut.code],
            "reason": why,
            "segment_id": np.where(kept, np.cumsum(kept, dtype=np.int64) - 1, -1),
        },
        copy=False,
    )


def _with_pointless(summary: pd.DataFrame, particles: tuple[int, ...]) -> pd.DataFrame:
    """Return the summary with a row for each track that has no usable position."""
    import pandas as pd

    rows = pd.DataFrame(0, index=range(len(particles)), columns=summary.columns)
    rows["particle"] = list(particles)
    rows["segment_id"] = -1
    rows["status"], rows["reason"] = reasons.STATUS[reasons.TOO_SHORT], reasons.NO_POSITION
    for column in ("first_frame", "last_frame"):
        summary[column] = summary[column].astype("Int64")
        rows[column] = pd.array([pd.NA] * len(particles), dtype="Int64")
    joined = pd.concat([summary, rows], ignore_index=True)
    return joined.sort_values("particle", kind="stable", ignore_index=True)


def _counts(policy: QualityPolicy, rows: Rows, cut: _Cut, kept: Bools) -> dict[str, int]:
    """Return `Segments.counts`, but for the rows of the input."""
    particle = rows.particle[cut.starts]
    firsts = np.flatnonzero(run_starts(particle))
    piece = rows.piece[cut.starts]
    of_piece = piece > 0

    def tracks_with(segments: Bools) -> int:
        return int((run_sums(segments, firsts) > 0).sum())

    def count(code: int) -> int:
        return int((cut.code == code).sum())

    return {
        "tracks": len(firsts),
        "segments": int(kept.sum()),
        "classified_tracks": tracks_with(kept),
        "gaps_filled": int(cut.n_gaps[kept].sum()) if policy.gaps == "fill" else 0,
        "frames_filled": int(cut.n_filled[kept].sum()),
        "tracks_split_at_gaps": tracks_with(cut.of_split),
        "too_short": count(reasons.TOO_SHORT),
        "too_short_tracks": len(firsts) - tracks_with(cut.code != reasons.TOO_SHORT),
        "branched": count(reasons.BRANCHED),
        "branched_split": tracks_with(of_piece),
        "branch_pieces": int((run_starts(particle, piece) & of_piece).sum()),
        "duplicate_frames": count(reasons.DUPLICATE),
        "gapped": count(reasons.GAPPED),
        "immobile": count(reasons.IMMOBILE),
        "motionless": int(((cut.code == reasons.IMMOBILE) & ~kept).sum()),
    }


_MOST_FILLED = 10
"""So many times as many points may filled gaps make of a file."""


def _refuse_runaway_fill(n_after: int, n_before: int, policy: QualityPolicy) -> None:
    if n_after > max(_MOST_FILLED * n_before, 10_000_000):
        raise SptError(
            f"{option('max_gap', policy.max_gap)}: filling gaps of up to that many frames would "
            f"turn {n_before:,} points into {n_after:,}, nearly all of them made up. Give a "
            "smaller one (the default is 2).",
            option="max_gap",
        )
