"""What motion is like around each frame of a track, to be compared with its scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.explain.correlation import ranks
from spt_explain.explain.windows import window_means
from spt_explain.tracks.runs import run_starts

if TYPE_CHECKING:
    from spt_explain.tracks.runs import Bools, Floats, Ints


@dataclass(frozen=True)
class Settings:
    """Numbers of the remarks.

    Attributes
    ----------
    around : float
        Share of the track over which diffusivity, jump rate and straightness are taken.
    fewest_around : int
        Frames of that, at least.
    jump : float
        Steps longer than this, in root mean squares of the track's steps, are jumps.
    straight_degrees : float
        Turn from one step to the next up to which they are one straight piece.
    boundary : float
        Share of the track that is boundary, at either end.
    portion : float
        Share of the track that is its initial, its terminal portion.
    top : float
        Share of the frames that count as those with the highest scores.
    shortest : int
        Frames of a track that counts.
    resamples : int
        Bootstrap samples of the tracks.
    level : float
        Coverage of the intervals.
    shifts : int
        Random shifts of each track that chance is measured with.
    seed : int
        Seed of both.
    """

    around: float = 0.05
    fewest_around: int = 5
    jump: float = 1.0
    straight_degrees: float = 15.0
    boundary: float = 0.1
    portion: float = 0.25
    top: float = 0.2
    shortest: int = 20
    resamples: int = 1000
    level: float = 0.95
    shifts: int = 10
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("around", "boundary", "portion", "top"):
            value = getattr(self, name)
            if not 0 < value < 0.5:
                raise ValueError(f"{name} is {value}; expected a share of a track, 0 to 0.5")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}; expected 0 to 1")
        if min(self.resamples, self.shifts, self.fewest_around) < 1 or self.shortest < 4:
            raise ValueError("resamples, shifts, fewest_around: expected 1 or more, shortest 4")


@dataclass(frozen=True, eq=False)
class Motion:
    """What motion is like along m tracks of n frames in all.

    Attributes
    ----------
    x, y : numpy.ndarray, shape (n,)
        Positions.
    offsets : numpy.ndarray of int64, shape (m + 1,)
        Track *i* is rows ``offsets[i]:offsets[i + 1]``.
    settings : Settings
        Numbers.
    """

    x: Floats
    y: Floats
    offsets: Ints
    settings: Settings
    _ranks: dict[str, Floats] = field(default_factory=dict, repr=False)

    @cached_property
    def length(self) -> Ints:
        """Frames of each track, (m,)."""
        return np.diff(self.offsets)

    @cached_property
    def owner(self) -> Ints:
        """Track of each frame, (n,)."""
        return np.repeat(np.arange(len(self.length)), self.length)

    @cached_property
    def place(self) -> Floats:
        """Where each frame lies in its track: the middle of the first of 10 is 0.05."""
        within = np.arange(len(self.x)) - self.offsets[:-1][self.owner]
        return (within + 0.5) / self.length[self.owner]

    @cached_property
    def initial(self) -> Bools:
        """Whether each frame lies in the initial portion, (n,)."""
        return np.asarray(self.place < self.settings.portion)

    @cached_property
    def terminal(self) -> Bools:
        """Whether each frame lies in the terminal portion, (n,)."""
        return np.asarray(self.place > 1 - self.settings.portion)

    @cached_property
    def interior(self) -> Bools:
        """Whether each frame lies beyond the boundaries, (n,)."""
        return np.asarray(np.abs(self.place - 0.5) < 0.5 - self.settings.boundary)

    @cached_property
    def steps(self) -> tuple[Floats, Floats]:
        """Step of each axis to the next frame, (n,); 0 after the last."""
        out = []
        for values in (self.x, self.y):
            step = np.diff(values, append=values[-1:])
            step[self.offsets[1:] - 1] = 0.0
            out.append(step)
        return out[0], out[1]

    @cached_property
    def square(self) -> Floats:
        """Squared step in mean squared steps of the track, (n,)."""
        square = self.steps[0] ** 2 + self.steps[1] ** 2
        mean = np.bincount(self.owner, square) / (self.length - 1)
        return np.asarray(square / np.where(mean > 0, mean, 1.0)[self.owner])

    @cached_property
    def stretch(self) -> tuple[Ints, Ints]:
        """First frame and last frame of the stretch around each frame, (n,) each."""
        half = np.maximum(self.length * self.settings.around, self.settings.fewest_around) / 2
        half = np.floor(half + 0.5).astype(np.int64)[self.owner]
        row = np.arange(len(self.x))
        first = np.maximum(row - half, self.offsets[:-1][self.owner])
        return first, np.minimum(row + half, self.offsets[1:][self.owner] - 1)

    @cached_property
    def diffusivity(self) -> Floats:
        """Mean squared step around each frame, (n,)."""
        return window_means(self.square, *self.stretch)

    @cached_property
    def jumps(self) -> Bools:
        """Whether the step to or from each frame is a jump, (n,)."""
        jump = self.square > self.settings.jump**2
        jump[1:] |= jump[:-1].copy()
        return jump

    @cached_property
    def jump_rate(self) -> Floats:
        """Share of the steps around each frame that are jumps, (n,)."""
        jump = self.square > self.settings.jump**2
        return window_means(jump.astype(np.float64), *self.stretch)

    @cached_property
    def straightness(self) -> Floats:
        """Net displacement over path length around each frame, (n,); NaN without motion."""
        first, last = self.stretch
        net = np.hypot(self.x[last] - self.x[first], self.y[last] - self.y[first])
        path = window_means(np.hypot(*self.steps), first, last) * (last - first)
        return np.asarray(np.where(path > 0, net / np.where(path > 0, path, 1.0), np.nan))

    @cached_property
    def slow_period(self) -> Bools:
        """Whether each frame lies in the longest slow period of its track, (n,)."""
        slow = ranks(self.diffusivity, self.owner) <= (self.length[self.owner] + 1) / 2
        return _longest(slow, self.owner)

    @cached_property
    def straight_piece(self) -> Bools:
        """Whether each frame lies in the longest straight piece of its track, (n,)."""
        x, y = self.steps
        n = len(x)
        turn = np.full(n, np.inf)  # at each frame
        across, along = x[:-1] * y[1:] - y[:-1] * x[1:], x[:-1] * x[1:] + y[:-1] * y[1:]
        turn[1:] = np.abs(np.arctan2(across, along))
        moves = (x != 0) | (y != 0)
        turn[1:][~(moves[1:] & moves[:-1])] = np.inf
        turn[self.offsets[:-1]] = np.inf
        inner = _longest(turn <= np.radians(self.settings.straight_degrees), self.owner)
        piece = inner.copy()  # and the frames at its ends
        piece[1:] |= inner[:-1]
        piece[:-1] |= inner[1:]
        return piece

    def ranked(self, feature: str) -> Floats:
        """Return the ranks of a feature within each track, (n,); NaN in tracks that lack it."""
        if feature not in self._ranks:
            values: Floats = getattr(self, feature)
            known = np.isfinite(values)
            lacking = np.bincount(self.owner, ~known) > 0
            found = ranks(np.where(known, values, 0.0), self.owner)
            self._ranks[feature] = np.where(lacking[self.owner], np.nan, found)
        return self._ranks[feature]


def _longest(inside: Bools, owner: Ints) -> Bools:
    """Return which rows lie in the longest run of True of their track; the first of several."""
    first = np.flatnonzero(run_starts(owner, inside))
    size = np.diff(first, append=len(owner)) * inside[first]
    track = owner[first]
    order = np.lexsort((first, -size, track))
    best = order[run_starts(track[order])]
    chosen = np.zeros(len(first), bool)
    chosen[best[size[best] > 0]] = True
    return np.repeat(chosen, np.diff(first, append=len(owner)))
