"""The check of an explanation: what is lost when the frames it points at are erased.

The frames of highest score are erased, and as many at random, and the network is asked again. An
explanation that points at what the verdict rests on loses more (Bae, Baek & Jeong, Sec. III A).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError
from spt_explain.explain.options import DRAWS, SEED, SHARE, Erasure
from spt_explain.explain.sequential import Plan
from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spt_explain.resandi.classifier import Classifier
    from spt_explain.resandi.recording import Recording

PASSED, FAILED, UNCHECKED = "passed", "no better than random", "not checked"
_POINTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Check:
    """Loss of the explained class's probability, for each trajectory.

    Attributes
    ----------
    top : numpy.ndarray, shape (m,)
        With the frames of highest score erased; NaN where nothing was erased.
    random, random_sd : numpy.ndarray, shape (m,)
        Mean and standard deviation over the random draws that were used. A draw that costs as much
        as the frames of highest score ends the check: the mean of few draws is too high there.
    draws : numpy.ndarray, shape (m,)
        Random draws that were used.
    passed : numpy.ndarray, shape (m,), bool
        Whether the frames of highest score cost more than chance.
    """

    top: NDArray[np.float64]
    random: NDArray[np.float64]
    random_sd: NDArray[np.float64]
    draws: NDArray[np.int64]
    passed: NDArray[np.bool_]

    @classmethod
    def of(
        cls, losses: NDArray[np.float64], draws: NDArray[np.int64], passed: NDArray[np.bool_]
    ) -> Check:
        """Sum up the losses, (most draws + 1, m): first by score, then at random, NaN if unused."""
        chance = losses[1:]
        mean = np.nansum(chance, axis=0) / np.where(draws > 0, draws, np.nan)
        spread = np.nansum((chance - mean) ** 2, axis=0) / np.where(draws > 1, draws - 1, np.nan)
        return cls(losses[0], mean, np.sqrt(spread), draws, passed)

    def verdicts(self) -> NDArray[np.object_]:
        """Return the words of the check."""
        out = np.full(len(self.top), FAILED, dtype=object)
        out[self.passed] = PASSED
        out[np.isnan(self.top)] = UNCHECKED
        return out


def top_frames(
    score: NDArray[np.float64],
    offsets: NDArray[np.int64],
    share: float = SHARE,
    *,
    then: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Mark the frames of highest score of each trajectory.

    Parameters
    ----------
    score : numpy.ndarray, shape (n_points,)
    offsets : numpy.ndarray, shape (m + 1,)
        Trajectory *i* is rows ``offsets[i]:offsets[i + 1]``.
    share : float
        Of a trajectory's frames, rounded.
    then : numpy.ndarray, shape (n_points,), optional
        Ranks frames of the same score.

    Returns
    -------
    numpy.ndarray, shape (n_points,), bool
    """
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-(score if then is None else then), -score, owner))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    wanted = np.rint(share * lengths).astype(np.int64)
    chosen: NDArray[np.bool_] = rank - (offsets[:-1] - offsets[0])[owner] < wanted[owner]
    return chosen


def shifted(
    mask: NDArray[np.bool_], offsets: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return the mask moved round each trajectory by a random number of frames.

    So frames that are erased at random lie together as those of highest score do: erasing 20
    frames here and there does other harm than erasing 20 in a row.
    """
    return _moved(mask, offsets, _moves(np.diff(offsets), rng))


def _moves(lengths: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw how many frames the mask of each trajectory is moved by."""
    return rng.integers(1, np.maximum(lengths, 2))


def _moved(
    mask: NDArray[np.bool_], offsets: NDArray[np.int64], by: NDArray[np.int64]
) -> NDArray[np.bool_]:
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first = (offsets[:-1] - offsets[0])[owner]
    within = np.arange(len(owner)) - first
    moved: NDArray[np.bool_] = mask[first + (within + by[owner]) % np.maximum(lengths[owner], 1)]
    return moved


def erase(
    positions: NDArray[np.float64],
    offsets: NDArray[np.int64],
    mask: NDArray[np.bool_],
    how: Erasure = "cut",
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Erase frames, that is, the displacements that lead to them.

    Parameters
    ----------
    positions : numpy.ndarray, shape (n_points, 2)
        Of m trajectories, one after the other.
    offsets : numpy.ndarray, shape (m + 1,)
    mask : numpy.ndarray, shape (n_points,), bool
        What is erased. A trajectory's first position leads nowhere and stays.
    how : {"cut", "rest", "line"}
        "cut": the displacements are left out and the rest is joined, so what remains moves as
        before, and is shorter. "rest": the particle stands still in these frames. "line": each run
        of erased frames becomes a straight line at constant speed, as filled gaps are.

    Returns
    -------
    positions, offsets
        Of the erased trajectories.
    """
    mask = mask.copy()
    firsts = offsets[:-1] - offsets[0]
    lengths = np.diff(offsets)
    mask[firsts[lengths > 0]] = False
    if how == "line":
        return _lines(positions, offsets, mask), offsets - offsets[0]
    steps = np.diff(positions, axis=0, prepend=positions[:1])
    steps[firsts[lengths > 0]] = 0.0
    if how == "rest":
        steps[mask] = 0.0
        kept = np.ones(len(mask), bool)
    elif how == "cut":
        kept = ~mask
    else:
        raise SptError(
            f"no way to erase is called {how!r}; expected cut, rest or line.", code="not-found"
        )
    total = np.concatenate([[0], np.cumsum(kept)])
    ends = total[offsets - offsets[0]]
    path = np.cumsum(steps[kept], axis=0)
    # of one long sum, each trajectory's own part, from its own first position
    owner = np.repeat(np.arange(len(lengths)), np.diff(ends))
    filled = np.diff(ends) > 0
    start = np.zeros((len(lengths), 2))
    start[filled] = path[ends[:-1][filled]] - positions[firsts[filled]]
    return path - start[owner], ends


def _lines(
    positions: NDArray[np.float64], offsets: NDArray[np.int64], mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    lengths = np.diff(offsets)
    mask = mask.copy()
    mask[(offsets[1:] - offsets[0] - 1)[lengths > 0]] = False  # both ends stay: no line crosses
    rows, kept = np.arange(len(mask)), ~mask
    out = positions.copy()
    for axis in range(positions.shape[1]):
        out[:, axis] = np.interp(rows, rows[kept], positions[kept, axis])
    return out


def check(
    classifier: Classifier,
    positions: NDArray[np.float64],
    offsets: NDArray[np.int64],
    score: NDArray[np.float64],
    target: NDArray[np.int64],
    probability: NDArray[np.float64],
    recording: Recording | None,
    *,
    then: NDArray[np.float64] | None = None,
    share: float = SHARE,
    draws: int = DRAWS,
    how: Erasure = "cut",
    seed: int = SEED,
    stop_early: bool = True,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Check:
    """Erase the frames of highest score, and as many at random, and ask the network again.

    Parameters
    ----------
    classifier : Classifier
    positions : numpy.ndarray, shape (n_points, 2)
        Of m trajectories.
    offsets : numpy.ndarray, shape (m + 1,)
    score : numpy.ndarray, shape (n_points,)
    target : numpy.ndarray, shape (m,)
        Class that was explained.
    probability : numpy.ndarray, shape (m,)
        Its probability, of the whole trajectory.
    recording : Recording or None
        Conditions that the verdicts were given under.
    then, share
        See `top_frames`.
    draws : int
        Most random draws; each is the same pattern moved round the trajectory by a random number of
        frames.
    how : {"cut", "rest", "line"}
        See `erase`.
    seed : int
        Of the draws.
    stop_early : bool
        Whether trajectories get no further draws once their verdict is clear; see
        `sequential.Plan`. Their draws are the first of those they would get otherwise.
    jobs : int, optional
        Threads; one for each core by default.
    progress : callable, optional
        Called with trajectories decided and their number.

    Returns
    -------
    Check
    """
    m = len(offsets) - 1
    lengths = np.diff(offsets)
    checked = np.rint(share * lengths) >= 1
    losses = np.full((draws + 1, m), np.nan)
    used = np.zeros(m, np.int64)
    passed = np.zeros(m, bool)
    if not draws or m == 0:
        return Check.of(losses, used, passed)
    plan = Plan.of(draws, stop_early=stop_early)
    rng = np.random.default_rng(seed)
    done = 0

    def chunks() -> Iterator[_Chunk]:
        for first, last in _chunks(lengths, _POINTS_AT_ONCE // (draws + 1)):
            # all draws at once, used or not: those of a trajectory don't depend on who stops
            moves = np.stack([_moves(lengths[first:last], rng) for _ in range(draws)])
            moves = np.concatenate([np.zeros((1, last - first), np.int64), moves])
            yield _Chunk(first, last, moves)

    def ranked(chunk: _Chunk) -> tuple[_Chunk, NDArray[np.bool_]]:
        some = offsets[chunk.first : chunk.last + 1]
        rows = slice(int(some[0]), int(some[-1]))
        own = None if then is None else then[rows]
        return chunk, top_frames(score[rows], some, share, then=own)

    for chunk, top in in_order(ranked, chunks(), jobs=jobs):
        first, last, moves = chunk.first, chunk.last, chunk.moves
        some = offsets[first : last + 1]
        tracks = _Tracks(positions[int(some[0]) : int(some[-1])], some - some[0], jobs)
        open_ones = np.flatnonzero(checked[first:last])
        before = 0
        for look, stop in enumerate(plan.looks):
            which, at = first + open_ones, np.arange(before + (before > 0), stop + 1)
            path, bounds = tracks.erased(open_ones, top, moves[np.ix_(at, open_ones)], how)
            p = classifier.predict(path, bounds, recording=recording).probabilities
            left = p.reshape(len(at), len(which), -1)[:, np.arange(len(which)), target[which]]
            losses[np.ix_(at, which)] = probability[which] - left
            used[which] = before = stop
            good, bad = plan.decide(look, losses[: stop + 1, which], probability[which])
            passed[which] = good
            open_ones = open_ones[~(good | bad)]
            if progress is not None:
                progress(done + last - first - len(open_ones), m)
            if not len(open_ones):
                break
        done += last - first
    return Check.of(losses, used, passed)


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some trajectories, and how far their masks are moved, (draws + 1, trajectories)."""

    first: int
    last: int
    moves: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Tracks:
    """Trajectories one after the other: their positions, where each begins, from 0; threads."""

    positions: NDArray[np.float64]
    offsets: NDArray[np.int64]
    jobs: int | None

    def erased(
        self,
        which: NDArray[np.int64],
        mask: NDArray[np.bool_],
        moves: NDArray[np.int64],
        how: Erasure,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return some trajectories erased by each row of `moves`, one row after the other.

        Parameters
        ----------
        which : numpy.ndarray, shape (k,)
        mask : numpy.ndarray, shape (n_points,), bool
            What is erased, of all trajectories, before it is moved.
        moves : numpy.ndarray, shape (rows, k)
            Frames that the mask of each trajectory is moved by.
        how : {"cut", "rest", "line"}
        """
        lengths = np.diff(self.offsets)[which]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.arange(ends[-1]) + np.repeat(self.offsets[which] - ends[:-1], lengths)
        positions, mask = self.positions[rows], mask[rows]

        def moved(by: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            return erase(positions, ends, _moved(mask, ends, by), how)

        parts = list(in_order(moved, moves, jobs=self.jobs))
        sizes = np.concatenate([np.diff(bounds) for _, bounds in parts])
        joined = np.concatenate([path for path, _ in parts])
        return joined, np.concatenate([[0], np.cumsum(sizes)])


def _chunks(lengths: NDArray[np.int64], points: int) -> list[tuple[int, int]]:
    """Cut a run of trajectories where about as many points have come together."""
    block = np.cumsum(lengths) // max(points, 1)
    cuts = np.flatnonzero(np.diff(block)) + 1
    ends = [0, *cuts.tolist(), len(lengths)]
    return [(a, b) for a, b in pairwise(ends) if b > a]
