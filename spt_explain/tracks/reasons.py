"""Why a track was left out or flagged, in plain words; many at a time, each wording made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import option
from spt_explain.tracks.runs import run_starts

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from spt_explain.tracks.policy import QualityPolicy
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.runs import Bools, Floats, Ints
    from spt_explain.tracks.table import Tracks

    Words = npt.NDArray[np.object_]

STATUS = ("", "too short", "immobile", "gapped", "duplicate frames", "branched")
NO_POSITION = "no point with a position (all NaN, infinite or missing)"
TO_CLASSIFY, TOO_SHORT, IMMOBILE, GAPPED, DUPLICATE, BRANCHED = range(6)


def number(count: int, noun: str) -> str:
    """Return "1 track", "2,203 tracks"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def too_short(n_points: Ints, n_filled: Ints, piece: Bools, min_length: int) -> Words:
    """Word the reasons of tracks, or pieces of tracks, with fewer than `min_length` points."""

    def word(points: int, filled: int, is_piece: int) -> str:
        subject = number(points, "point")
        if filled:
            subject += f" ({filled:,} of them filled in)"
        if is_piece:
            subject = f"piece of {subject}"
        return f"{subject}; at least {min_length:,} are needed ({option('min_length')})"

    return worded(word, n_points, n_filled, piece)


def motionless(n_observed: Ints) -> Words:
    """Word the reasons of segments whose positions are all the same."""
    return worded(
        lambda points: f"all {points:,} positions are identical: there is no motion to classify",
        n_observed,
    )


def noise_like(ratio: Floats) -> Words:
    """Word the reasons of segments that look like noise, from their von Neumann ratios."""
    return worded(
        lambda hundredths: (
            "positions can't be told from localisation noise around a fixed point "
            f"(von Neumann ratio {hundredths / 100:.2f}; noise alone gives about 2)"
        ),
        np.round(ratio * 100).astype(np.int64),
    )


def gapped(n_gaps: Ints) -> Words:
    """Word the reasons of tracks with gaps, where those are to be left out."""
    return worded(
        lambda gaps: (
            f"{number(gaps, 'gap')} in its frames; such tracks are left out "
            f"({option('gaps', 'drop')})"
        ),
        n_gaps,
    )


def branched(particle: Ints, tracks: Tracks, policy: QualityPolicy) -> Words:
    """Word the reasons of branched tracks: the reader's, and what could be done."""
    linked = set() if tracks.links is None else set(tracks.links["particle"].tolist())
    no_cut = f"; {option('branches', 'split')} can't cut it, as the file holds no links for it"
    otherwise = no_cut if policy.branches == "split" else ""

    def word(key: int) -> str:
        why = tracks.branching[key].rstrip(" .") or "it splits or merges"
        cut = f"; {option('branches', 'split')} classifies its unbranched pieces"
        return why + (cut if key in linked else otherwise)

    return worded(word, particle)


def duplicate_frames(repeated: Bools, frame: Ints, chosen: Ints, starts: Ints) -> Words:
    """Word the reasons of tracks with several points in one frame.

    Parameters
    ----------
    repeated : numpy.ndarray of bool, shape (n,)
        Rows in the same track and frame as the row before.
    frame : numpy.ndarray of int64, shape (n,)
    chosen : numpy.ndarray of int64
        First rows of the tracks to be worded; a subset of `starts`.
    starts : numpy.ndarray of int64
        First rows of all tracks and segments.
    """
    begins = np.flatnonzero(run_starts(repeated) & repeated)
    ends = np.flatnonzero(run_starts(repeated[::-1])[::-1] & repeated)
    owner = starts[np.searchsorted(starts, begins, side="right") - 1]
    first = np.searchsorted(owner, chosen, side="left")
    frames = np.searchsorted(owner, chosen, side="right") - first

    def word(n: int, at: int, more: int) -> str:
        further = f" (and {number(more, 'more frame')})" if more else ""
        return f"{n:,} points in frame {at}{further}"

    return worded(word, (ends - begins + 2)[first], frame[begins[first]], frames - 1)


def nothing_left(segments: Segments, tracks: Tracks) -> str:
    """Return why none of the tracks can be classified, and what to do about it."""
    name = "standard input" if tracks.source.name == "-" else tracks.source.name
    summary, policy = segments.summary, segments.policy
    if not len(summary):
        return f"{name} holds no tracks: expected at least one."
    status = summary["status"].to_numpy(dtype=object)
    code = np.zeros(len(summary), dtype=np.intp)
    for value, word in enumerate(STATUS):
        code[status == word] = value
    # A track in pieces is named after what is not merely too short in it.
    firsts = np.flatnonzero(run_starts(summary["particle"].to_numpy(dtype=np.int64)))
    per_track = np.maximum.reduceat(code, firsts)
    total = len(per_track)
    kinds = {int(kind): int((per_track == kind).sum()) for kind in np.unique(per_track)}
    if len(kinds) > 1:
        parts = [_in_short(kind, n, policy.min_length) for kind, n in kinds.items()]
        return f"{name}: none of its {total:,} tracks can be classified: {', '.join(parts)}."

    (kind,) = kinds
    every = "its only track" if total == 1 else f"all its {total:,} tracks"
    one = total == 1
    if kind == TOO_SHORT:
        return _all_too_short(segments, name, total)
    if kind == IMMOBILE:
        return (
            f"{name}: {every} {'stands' if one else 'stand'} still, at identical positions in "
            "every frame: expected motion. Check that x and y are the right columns "
            f"({option('columns', 'x=NAME,y=NAME')})."
        )
    if kind == GAPPED:
        return (
            f"{name}: {every} {'has' if one else 'have'} gaps, and {option('gaps', 'drop')} leaves "
            f"such tracks out. Give {option('gaps', 'fill')}, split or keep."
        )
    if kind == BRANCHED:
        return _all_branched(tracks, policy, name, every, one)
    reason = str(summary["reason"].iloc[0])
    if one:
        return (
            f"{name} has one track id for all rows, and {reason}: expected one point of a track in "
            "a frame. If the track ids were lost, name the right column "
            f"({option('columns', 'particle=NAME')})."
        )
    return (
        f"{name}: {every} have several points in one frame (track {summary['particle'].iloc[0]}: "
        f"{reason}): expected one. Check that the right column was taken for the track, and name "
        f"it if not ({option('columns', 'particle=NAME')})."
    )


def _in_short(kind: int, n: int, least: int) -> str:
    """Word how many tracks of one kind can't be classified."""
    why = {
        TOO_SHORT: f"too short ({option('min_length', least)})",
        IMMOBILE: "without any motion",
        GAPPED: f"with gaps ({option('gaps', 'drop')})",
        DUPLICATE: "with several points in one frame",
        BRANCHED: f"branched ({option('branches')})",
    }
    return f"{n:,} {why[kind]}"


def _all_too_short(segments: Segments, name: str, total: int) -> str:
    longest = int(segments.summary["n_points"].max())
    least = segments.policy.min_length
    pieces = " once split at gaps" if segments.counts["tracks_split_at_gaps"] else ""
    if segments.counts["branched_split"]:
        pieces = " once cut at branches"
    remedy = (
        f"Give {option('min_length', longest)} or less, or link the tracks again to make longer "
        "ones."
        if longest >= 2
        else "Link them to tracks first; single points can't be classified."
    )
    if total == 1:
        return (
            f"{name}: its only track has at most {number(longest, 'point')}{pieces}, and at least "
            f"{least:,} are needed ({option('min_length')}). {remedy}"
        )
    return (
        f"{name}: all its {total:,} tracks are too short{pieces}: the longest has "
        f"{number(longest, 'point')}, and at least {least:,} are needed ({option('min_length')}). "
        f"{remedy}"
    )


def _all_branched(tracks: Tracks, policy: QualityPolicy, name: str, every: str, one: bool) -> str:
    what = f"{name}: {every} {'splits or merges' if one else 'split or merge'}"
    if policy.branches == "skip" and tracks.links is not None and len(tracks.links):
        return (
            f"{what}: expected unbranched ones. Give {option('branches', 'split')} to classify "
            "their unbranched pieces."
        )
    return (
        f"{what}, and the file does not say which points are linked. Give a file that holds the "
        f"links (TrackMate's full XML: button Save) and {option('branches', 'split')}."
    )


def worded(word: Callable[..., str], *columns: npt.NDArray[Any]) -> Words:
    """Return ``word(*row)`` for each row of `columns`, called once for each distinct row.

    Parameters
    ----------
    word : callable
        Takes a value of each column, as a plain Python object.
    *columns : numpy.ndarray, shape (n,)
    """
    words = np.empty(len(columns[0]), dtype=object)
    if not len(words):
        return words
    order = np.lexsort(columns)
    first = run_starts(*(column[order] for column in columns))
    distinct = order[first]
    values = [
        word(*row) for row in zip(*(column[distinct].tolist() for column in columns), strict=True)
    ]
    words[order] = np.array(values, dtype=object)[np.cumsum(first) - 1]
    return words
