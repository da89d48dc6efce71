"""The check of an explanation: what is lost when the frames it points at are erased.

The frames of highest score are erased, and as many at random, and the network is asked again. An
explanation that points at what the verdict rests on loses more (Bae, Baek & Jeong, Sec. III A).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spt_explain.resandi.classifier import Classifier
    from spt_explain.resandi.recording import Recording

Erasure = Literal["cut", "rest", "line"]
SHARE = 0.2
DRAWS = 20
SEED = 1
PASSED, FAILED, UNCHECKED = "passed", "no better than random", "not checked"
LEAST_LOSS = 1e-6
"""Losses of probability below this are rounding in float32."""
_POINTS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Check:
    """Loss of the explained class's probability, for each trajectory.

    Attributes
    ----------
    top : numpy.ndarray, shape (m,)
        With the frames of highest score erased; NaN where nothing was erased.
    random, random_sd : numpy.ndarray, shape (m,)
        Mean and standard deviation over the random draws.
    as_much : numpy.ndarray, shape (m,)
        Share of the random draws that cost as much as the frames of highest score, or more.
    draws : int
        How many there were.
    """

    top: NDArray[np.float64]
    random: NDArray[np.float64]
    random_sd: NDArray[np.float64]
    as_much: NDArray[np.float64]
    draws: int = DRAWS

    def verdicts(self, most: float = 0.05) -> NDArray[np.object_]:
        """Return the words of the check.

        Parameters
        ----------
        most : float
            Share of maps that point nowhere which may pass, by the rank of the loss among those of
            the random draws (Phipson & Smyth 2010, doi:10.2202/1544-6115.1585): of 20 draws none
            may cost as much, of 39 one. Of fewer than 19 none may, and more of such maps pass. The
            map's own frames must cost at least `LEAST_LOSS`.
        """
        allowed = max(int(most * (self.draws + 1) + 1e-9) - 1, 0)
        out = np.full(len(self.top), FAILED, dtype=object)
        as_good = np.rint(self.as_much * self.draws) <= allowed
        out[as_good & (self.top >= LEAST_LOSS)] = PASSED
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
    lengths = np.diff(offsets)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first = (offsets[:-1] - offsets[0])[owner]
    by = rng.integers(1, np.maximum(lengths, 2))[owner]
    within = np.arange(len(owner)) - first
    moved: NDArray[np.bool_] = mask[first + (within + by) % np.maximum(lengths[owner], 1)]
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
        raise SptError(f"no way to erase is called {how!r}; expected cut, rest or line.")
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
        Random draws; each is the same pattern moved round the trajectory by a random number of
        frames.
    how : {"cut", "rest", "line"}
        See `erase`.
    seed : int
        Of the draws.
    progress : callable, optional
        Called with trajectories asked about and their number.

    Returns
    -------
    Check
    """
    m = len(offsets) - 1
    losses = np.full((draws + 1, m), np.nan)
    lengths = np.diff(offsets)
    if not draws or m == 0:
        nothing = np.full(m, np.nan)
        return Check(nothing, nothing.copy(), nothing.copy(), nothing.copy(), draws)
    done = 0
    rng = np.random.default_rng(seed)
    for first, last in _chunks(lengths, _POINTS_AT_ONCE // (draws + 1)):
        some = offsets[first : last + 1]
        rows = slice(int(some[0]), int(some[-1]))
        own = None if then is None else then[rows]
        top = top_frames(score[rows], some, share, then=own)
        masks = [top, *(shifted(top, some, rng) for _ in range(draws))]
        parts = [erase(positions[rows], some, mask, how) for mask in masks]
        joined = np.concatenate([path for path, _ in parts])
        bounds = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(o) for _, o in parts]))])

        def say(part: int, total: int, done: int = done, n: int = last - first) -> None:
            if progress is not None:
                progress(done + n * part // max(total, 1), m)

        p = classifier.predict(joined, bounds, recording=recording, progress=say).probabilities
        p = p.reshape(draws + 1, last - first, -1)
        which = np.broadcast_to(target[None, first:last, None], (draws + 1, last - first, 1))
        left = np.take_along_axis(p, which, 2)[..., 0]
        losses[:, first:last] = probability[first:last] - left
        done += last - first
    nothing_erased = np.rint(share * lengths) < 1
    losses[:, nothing_erased] = np.nan
    return Check(
        losses[0],
        losses[1:].mean(axis=0),
        losses[1:].std(axis=0, ddof=1) if draws > 1 else np.zeros(m),
        np.where(np.isnan(losses[0]), np.nan, (losses[1:] >= losses[0]).mean(axis=0)),
        draws,
    )


def _chunks(lengths: NDArray[np.int64], points: int) -> list[tuple[int, int]]:
    """Cut a run of trajectories where about as many points have come together."""
    block = np.cumsum(lengths) // max(points, 1)
    cuts = np.flatnonzero(np.diff(block)) + 1
    ends = [0, *cuts.tolist(), len(lengths)]
    return [(a, b) for a, b in pairwise(ends) if b > a]
