"""Three ways to erase a tenth of a trajectory by its scores, and to ask the network again.

"cut"
    The tool's own, as in the check of `explain`: the frames of each tenth are cut out and the rest
    is joined, so what remains moves as before (`explain.erasure.erase`). At random: the same
    pattern moved round the trajectory.
"paper"
    What the authors' program does for Fig. 3. The input, padded to 1000 points, falls into 32
    subintervals, padding included; a decile are those whose score lies strictly between two deciles
    of the scores of all points (two or three of the 32, never the lowest nor the highest); their
    scaled positions become 0. At random: the same with random scores.
"track"
    What the text of Sec. III A says: each trajectory itself falls into 32 subintervals about equal
    (as many as it has points, if fewer), ranked by mean score; each tenth of them in turn is
    erased in the input. At random: the same with random scores.

Erased positions lie at 0 after min-max scaling, the lowest point of each axis ("corner": the
authors' program), or where the trajectory starts ("origin": the text). Of networks that also see
displacements, those of erased frames are set to 0, a particle at rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spt_explain.explain.scores import FrameScores, Maps
    from spt_explain.resandi.classifier import Classifier, WindowOutputs
    from spt_explain.resandi.recording import Recording
    from spt_explain.studies.options import ErasedValue, ErasureProtocol

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PARTS = 10
SUBINTERVALS = 32
NONE = -1
"""What no decile erases."""
_ROWS_AT_ONCE = 4096


def frame_parts(score: Floats, then: Floats, offsets: Ints, parts: int = PARTS) -> Ints:
    """Return which tenth of its trajectory's scores each frame is in, 0 the lowest.

    Parameters
    ----------
    score, then : numpy.ndarray, shape (n_points,)
        Scores, and what ranks frames of the same score.
    offsets : numpy.ndarray, shape (m + 1,)
        From 0.
    parts : int
        Into how many parts.

    Returns
    -------
    numpy.ndarray of int64, shape (n_points,)
    """
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    rank = np.empty(len(owner), np.int64)
    rank[np.lexsort((then, score, owner))] = np.arange(len(owner))
    rank -= offsets[:-1][owner]
    return np.asarray(rank * parts // np.maximum(lengths, 1)[owner])


def subinterval_parts(
    score: Floats, then: Floats, offsets: Ints, parts: int = PARTS, subintervals: int = SUBINTERVALS
) -> Ints:
    """Return which tenth each frame is in when whole subintervals of a trajectory are ranked.

    Parameters
    ----------
    score, then, offsets, parts
        See `frame_parts`.
    subintervals : int
        Of each trajectory; fewer for those of fewer points.
    """
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(len(owner)) - offsets[:-1][owner]
    pieces = np.minimum(lengths, subintervals)
    ends = np.concatenate([[0], np.cumsum(pieces)])
    piece = ends[:-1][owner] + within * pieces[owner] // np.maximum(lengths, 1)[owner]
    size = np.bincount(piece, minlength=int(ends[-1]))
    means = [np.bincount(piece, v, int(ends[-1])) / size for v in (score, then)]
    return np.asarray(frame_parts(means[0], means[1], ends, parts)[piece])


def padded_scores(found: Sequence[Maps], ran: WindowOutputs, full: int) -> Floats:
    """Return the mean score of each of the 32 subintervals of the padded input, (windows, 32).

    Parameters
    ----------
    found : sequence of Maps
        Scores of windows that may be padded to less.
    ran : WindowOutputs
        The windows.
    full : int
        Points that all are padded to: what shorter inputs lack at their start scores 0, as what is
        masked does.
    """
    out = np.zeros((len(ran.starts), SUBINTERVALS))
    piece = np.arange(full) * SUBINTERVALS // full
    size = np.bincount(piece)
    for one in found:
        nodes = one.scores.shape[1]
        frame = np.zeros((len(one.windows), full))
        frame[:, full - one.padded :] = one.scores[:, np.arange(one.padded) * nodes // one.padded]
        out[one.windows] = np.add.reduceat(frame, np.flatnonzero(np.diff(piece, prepend=-1)), 1)
        out[one.windows] /= size
    return out


def padded_parts(score: Floats, full: int, parts: int = PARTS) -> Ints:
    """Return which decile erases each subinterval of the padded input, (windows, 32); −1 for none.

    Parameters
    ----------
    score : numpy.ndarray, shape (windows, 32)
    full : int
        Points of the padded input.
    parts : int
        Into how many parts.
    """
    piece = np.arange(full) * SUBINTERVALS // full
    out = np.full(score.shape, NONE, np.int64)
    for start in range(0, len(score), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        own = score[rows]
        edges = np.percentile(own[:, piece], np.linspace(0, 100, parts + 1), axis=1).T
        for part in range(parts):
            inside = (own > edges[:, part, None]) & (own < edges[:, part + 1, None])
            out[rows][inside] = part
    return out


def ask_erased(
    classifier: Classifier,
    positions: Floats,
    ran: WindowOutputs,
    recording: Recording | None,
    erased: Callable[[Ints, int], Bools],
    value: ErasedValue = "corner",
) -> Ints:
    """Return the class that each trajectory is taken for with a part of its input erased, (m,).

    Parameters
    ----------
    classifier : Classifier
    positions : numpy.ndarray, shape (n_points, 2)
    ran : WindowOutputs
        Where the windows lie.
    recording : Recording or None
        Conditions that the verdicts were given under.
    erased : callable
        From windows, (n,), and the length they are padded to, which columns of their input are
        erased, (n, padded).
    value : {"corner", "origin"}
        Where an erased position lies.
    """
    out = classifier.place(_offsets_of(ran, len(positions)))
    series = classifier.weights.architecture.channels
    series -= classifier.weights.architecture.padding == "masked"
    for part, inputs in classifier.inputs(positions, out.starts, out.stops):
        padded = inputs.shape[2]
        gone = erased(part, padded)
        inputs = inputs.copy()
        start = padded - (out.stops - out.starts)[part]
        for channel in range(series):
            to = np.zeros(len(part), np.float32)
            if value == "origin" and channel < 2:
                to = inputs[np.arange(len(part)), channel, start]
            inputs[:, channel] = np.where(gone, to[:, None], inputs[:, channel])
        out.outputs[part] = classifier.backend.outputs(inputs)
    said = classifier.judge(out, recording).probabilities
    return np.asarray(said.argmax(axis=1), np.int64)


def on_track(mask: Bools, ran: WindowOutputs) -> Callable[[Ints, int], Bools]:
    """Return, for `ask_erased`, the columns of frames that are marked, (n_points,)."""
    lengths = ran.stops - ran.starts

    def erased(part: Ints, padded: int) -> Bools:
        found = np.zeros((len(part), padded), bool)
        own = lengths[part]
        row = np.repeat(np.arange(len(part)), own)
        within = np.arange(len(row)) - np.repeat(np.cumsum(own) - own, own)
        found[row, padded - own[row] + within] = mask[ran.starts[part][row] + within]
        return found

    return erased


def on_input(parts: Ints, part_number: int, full: int) -> Callable[[Ints, int], Bools]:
    """Return, for `ask_erased`, the columns of the subintervals of one decile."""
    piece = np.arange(full) * SUBINTERVALS // full

    def erased(part: Ints, padded: int) -> Bools:
        return np.asarray((parts[part] == part_number)[:, piece[full - padded :]])

    return erased


def erased_frames(parts: Ints, ran: WindowOutputs, full: int) -> tuple[Ints, Ints]:
    """Return how many frames of the input each decile erases, and how many of them are padding.

    Parameters
    ----------
    parts : numpy.ndarray, shape (windows, 32)
        See `padded_parts`.
    ran : WindowOutputs
        Where the windows lie.
    full : int
        Points of the padded input.

    Returns
    -------
    erased, padding : numpy.ndarray of int64, shape (m, 10)
    """
    size = np.bincount(np.arange(full) * SUBINTERVALS // full)
    begin = np.cumsum(size) - size
    before = full - (ran.stops - ran.starts)
    padding = np.clip(before[:, None] - begin, 0, size)
    found = np.zeros((2, ran.n_segments, PARTS), np.int64)
    for part in range(PARTS):
        for out, frames in zip(found, (np.broadcast_to(size, padding.shape), padding), strict=True):
            each = np.where(parts == part, frames, 0).sum(axis=1)
            out[:, part] = np.bincount(ran.owner, each, ran.n_segments)
    return found[0], found[1]


def parts_of(
    protocol: ErasureProtocol, scores: FrameScores, offsets: Ints, found: Sequence[Maps],
    ran: WindowOutputs, full: int,
) -> Ints:  # fmt: skip
    """Return the decile of each frame, or of each subinterval of the input, by a protocol."""
    if protocol == "cut":
        return frame_parts(scores.score, scores.smooth, offsets)
    if protocol == "track":
        return subinterval_parts(scores.score, scores.smooth, offsets)
    return padded_parts(padded_scores(found, ran, full), full)


def _offsets_of(ran: WindowOutputs, n_points: int) -> Ints:
    """Return where the trajectories of windows begin, and where the last ends."""
    first = np.flatnonzero(np.diff(ran.owner, prepend=-1))
    return np.append(ran.starts[first], n_points)
