"""What supplement E of Bae, Baek & Jeong says of each class, as measured statements.

The paper looks at one sample of each class and says which parts of it have high scores. Here each
remark becomes one or two numbers a track, in words that can be true or false of a track, and a
statement over many tracks with an interval (bootstrap over tracks) and a chance level: the same
number when the scores of each track are shifted along it by a random distance, the end joined to
the start, so that scores keep their values and their smoothness and lose their place.

What is compared with the scores:

- the local diffusivity, the jump rate and the straightness around each frame, over a stretch of a
  twentieth of the track, five frames at least. A jump is a step longer than the root mean square of
  the track's steps; straightness is net displacement over path length.
- the longest slow period: the longest run of frames whose local diffusivity is below the track's
  median.
- the longest straight piece: the longest run of steps each turning by at most 15° from the one
  before. That is meant for tracks with little noise.
- boundary and interior: the first and the last tenth of the frames, and the rest.
- the initial, the terminal portion: the first, the last quarter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spt_explain.explain.correlation import class_order, classes_of, ranks
from spt_explain.explain.motion import Motion, Settings
from spt_explain.explain.windows import track_offsets
from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from spt_explain.tracks.runs import Bools, Floats, Ints

_DRAWN_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Scored:
    """Tracks of one class, m of n frames in all, and their scores.

    Attributes
    ----------
    motion : Motion
        What motion is like along them.
    score, rank : numpy.ndarray, shape (n,)
        Scores, and their ranks within each track.
    """

    motion: Motion
    score: Floats
    rank: Floats

    def shifted(self, rng: np.random.Generator) -> Scored:
        """Return the tracks with the scores of each shifted along it by a random distance."""
        length, start = self.motion.length, self.motion.offsets[:-1][self.motion.owner]
        by = (rng.random(len(length)) * length).astype(np.int64)[self.motion.owner]
        row = start + (np.arange(len(self.score)) - start + by) % length[self.motion.owner]
        return replace(self, score=self.score[row], rank=self.rank[row])

    def means(self, values: Floats, rows: Bools | None = None) -> Floats:
        """Return each track's mean of some of its frames, (m,); NaN where there are none."""
        weight = np.ones(len(values)) if rows is None else rows.astype(np.float64)
        owner = self.motion.owner
        count = np.bincount(owner, weight)
        total = np.bincount(owner, np.where(weight > 0, values, 0.0))
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))

    def share(self, rows: Bools, of: Bools | None = None) -> Floats:
        """Return the share of some frames, all by default, that others make up, (m,)."""
        return self.means(rows.astype(np.float64), of)

    def contrast(self, rows: Bools) -> Floats:
        """Return how much higher some frames of each track score than its others, (m,)."""
        return self.means(self.score, rows) - self.means(self.score, ~rows)

    def correlation(self, feature: str) -> Floats:
        """Return the rank correlation of scores with a feature of the motion, (m,)."""
        owner = self.motion.owner
        other = self.motion.ranked(feature)
        a = self.rank - self.means(self.rank)[owner]
        b = other - self.means(other)[owner]
        aa, bb, ab = (np.bincount(owner, v) for v in (a * a, b * b, a * b))
        varies = (aa > 0) & (bb > 0)  # not NaN
        return np.asarray(np.where(varies, ab / np.sqrt(np.where(varies, aa * bb, 1.0)), np.nan))

    @property
    def top(self) -> Bools:
        """Which frames have the highest scores of their track, (n,)."""
        length = self.motion.length[self.motion.owner]
        return np.asarray(self.rank > (1 - self.motion.settings.top) * length + 0.5)

    @property
    def upper_half(self) -> Bools:
        """Which frames score above the middle of the lowest and highest of their track, (n,)."""
        edges = self.motion.offsets[:-1]
        low, high = (f.reduceat(self.score, edges) for f in (np.minimum, np.maximum))
        return np.asarray(self.score > ((low + high) / 2)[self.motion.owner])

    def positive_mass(self, rows: Bools) -> Floats:
        """Return the share of each track's positive score that lies in some frames, (m,)."""
        positive = np.maximum(self.score, 0.0)
        total = self.means(positive)
        inside = self.means(np.where(rows, positive, 0.0))
        return np.asarray(np.where(total > 0, inside / np.where(total > 0, total, 1.0), np.nan))

    def highest_in(self, rows: Bools) -> Floats:
        """Return whether the highest score lies in some frames, (m,): shares where it is tied.

        NaN for tracks with none or all of their frames among them.
        """
        highest = np.maximum.reduceat(self.rank, self.motion.offsets[:-1])
        inside = self.share(rows)
        found = self.share(rows, self.rank == highest[self.motion.owner])
        return np.where((inside > 0) & (inside < 1), found, np.nan)


@dataclass(frozen=True)
class Measure:
    """One way to ask whether a remark is true of tracks.

    Attributes
    ----------
    class_name, remark : str
        The class, and the remark in short.
    name : str
        What is measured.
    kind : {"share", "mean"}
        Whether the statement is about the share of tracks whose number is above 0 (half of those
        at 0), or about the mean of the numbers.
    number : callable
        One number a track, (m,); NaN for tracks that don't count.
    words : str
        The sentence, with ``{value}`` and ``{n}``; the chance level follows.
    """

    class_name: str
    remark: str
    name: str
    kind: Literal["share", "mean"]
    number: Callable[[Scored], Floats]
    words: str


_SLOW = "long periods of low diffusivity score high"
_JUMPS = "stretches with frequent jumps score high"
_INTERIOR = "all but the boundaries scores high"
_START = "only the initial portion scores high"
_PERSISTENT = "persistent stretches score high"
_STRAIGHT = "the longest straight piece scores high"
_END = "only the terminal portion scores high"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "SubATTM",
        _SLOW,
        "the longest slow period scores above the rest",
        "share",
        lambda t: t.contrast(t.motion.slow_period),
        "in {value} of {n} tracks the longest period of low diffusivity scores above the rest",
    ),
    Measure(
        "SubATTM",
        _SLOW,
        "scores fall with local diffusivity",
        "share",
        lambda t: -t.correlation("diffusivity"),
        "in {value} of {n} tracks scores are higher where diffusivity is lower",
    ),
    Measure(
        "SubCTRW",
        _JUMPS,
        "scores rise with the local rate of jumps",
        "share",
        lambda t: t.correlation("jump_rate"),
        "in {value} of {n} tracks scores are higher where jumps are more frequent",
    ),
    Measure(
        "SubCTRW",
        _JUMPS,
        "share of the jumps at the highest scores",
        "mean",
        lambda t: t.share(t.top, t.motion.jumps),
        "{value} of the jumps of {n} tracks lie in the {top} of frames that score highest",
    ),
    Measure(
        "SubFBM",
        _INTERIOR,
        "the interior scores above the boundaries",
        "share",
        lambda t: t.contrast(t.motion.interior),
        "in {value} of {n} tracks the interior scores above the first and the last {boundary}",
    ),
    Measure(
        "SubFBM",
        _INTERIOR,
        "share of the interior in the upper half of the scores",
        "mean",
        lambda t: t.share(t.upper_half, t.motion.interior),
        "{value} of the interior of {n} tracks scores above the middle of lowest and highest score",
    ),
    Measure(
        "SubSBM",
        _START,
        "the initial portion scores above the rest",
        "share",
        lambda t: t.contrast(t.motion.initial),
        "in {value} of {n} tracks the first {portion} scores above the rest",
    ),
    Measure(
        "SubSBM",
        _START,
        "share of the positive score in the initial portion",
        "mean",
        lambda t: t.positive_mass(t.motion.initial),
        "{value} of the positive score of {n} tracks lies in their first {portion}",
    ),
    Measure(
        "SupFBM",
        _PERSISTENT,
        "scores rise with local straightness",
        "share",
        lambda t: t.correlation("straightness"),
        "in {value} of {n} tracks scores are higher where motion is straighter",
    ),
    Measure(
        "SupLW",
        _STRAIGHT,
        "the highest score lies in the longest straight piece",
        "mean",
        lambda t: t.highest_in(t.motion.straight_piece),
        "in {value} of {n} tracks the highest score lies in the longest straight piece",
    ),
    Measure(
        "SupLW",
        _STRAIGHT,
        "the longest straight piece scores above the rest",
        "share",
        lambda t: t.contrast(t.motion.straight_piece),
        "in {value} of {n} tracks the longest straight piece scores above the rest",
    ),
    Measure(
        "SupSBM",
        _END,
        "the terminal portion scores above the rest",
        "share",
        lambda t: t.contrast(t.motion.terminal),
        "in {value} of {n} tracks the last {portion} scores above the rest",
    ),
    Measure(
        "SupSBM",
        _END,
        "share of the positive score in the terminal portion",
        "mean",
        lambda t: t.positive_mass(t.motion.terminal),
        "{value} of the positive score of {n} tracks lies in their last {portion}",
    ),
)
"""The measures of the seven remarks; the first of each class is the remark itself."""

COLUMNS = (
    *("class", "remark", "measure", "kind", "value", "low", "high", "chance"),
    *("holds", "n_tracks", "sentence"),
)


def remarks(
    frames: pd.DataFrame,
    tracks: pd.DataFrame,
    *,
    label: str = "class",
    score: str = "score",
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Say how far the paper's remarks are true of these scores.

    Parameters
    ----------
    frames : pandas.DataFrame
        A row a frame, those of a track together and in order: ``file, particle, segment, x, y``
        and the score.
    tracks : pandas.DataFrame
        A row a track: ``file, particle, segment``, the class, and ``explained`` if there is one;
        tracks whose scores are for another class than their own are left out.
    label : str
        Column of `tracks` that says which class a track is of: the verdict's, or the truth.
    score : str
        Column of `frames` with the score.
    settings : Settings, optional
        Numbers.

    Returns
    -------
    pandas.DataFrame
        A row for each measure of the classes that there are tracks of: ``class, remark, measure,
        kind, value, low, high, chance`` (shares, 0 to 1), ``holds`` (the whole interval lies above
        chance), ``n_tracks, sentence``. Tracks that are too short, don't move, lack scores, or have
        the same score everywhere don't count. Brownian motion has no remark.

    Raises
    ------
    ValueError
        If columns are missing, or a track is not in `tracks`.
    """
    import pandas as pd

    settings = settings or Settings()
    offsets = track_offsets(frames, "x", "y", score)
    name = classes_of(frames.iloc[offsets[:-1]], tracks, label)
    values = frames[["x", "y", score]].to_numpy(np.float64)
    good = _usable(values, offsets, settings.shortest)
    rng = np.random.default_rng(settings.seed)
    rows = []
    for class_name in class_order(name):
        chosen = np.flatnonzero((name == class_name) & good)
        measures = [m for m in MEASURES if m.class_name == class_name]
        if not len(chosen) or not measures:
            continue
        scored = _scored(values, offsets, chosen, settings)
        moved = [scored.shifted(rng) for _ in range(settings.shifts)]
        for measure in measures:
            number = _statement(measure, measure.number(scored))
            by_chance = [_statement(measure, measure.number(other)) for other in moved]
            rows.append(_row(measure, number, np.concatenate(by_chance), settings, rng))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _usable(values: Floats, offsets: Ints, shortest: int) -> Bools:
    """Return which tracks are long enough, move, and have scores that differ, (m,)."""
    length = np.diff(offsets)
    if not len(length):
        return np.zeros(0, bool)
    finite = np.logical_and.reduceat(np.isfinite(values).all(axis=1), offsets[:-1])
    clean = np.where(np.isfinite(values), values, 0.0)
    low, high = (f.reduceat(clean, offsets[:-1]) for f in (np.minimum, np.maximum))
    differs = high > low
    return np.asarray(
        (length >= shortest) & finite & differs[:, 2] & (differs[:, 0] | differs[:, 1])
    )


def _scored(values: Floats, offsets: Ints, chosen: Ints, settings: Settings) -> Scored:
    """Return some of the tracks, positions and scores in units of their track's extent."""
    length = np.diff(offsets)[chosen]
    own = offsets_of(length)
    owner = np.repeat(np.arange(len(chosen)), length)
    values = values[np.arange(own[-1]) + (offsets[:-1][chosen] - own[:-1])[owner]]
    x, y, score = values.T
    largest = []
    for column in (x, y):
        column -= column[own[:-1]][owner]
        largest.append(np.maximum.reduceat(np.abs(column), own[:-1]))
    extent = np.maximum(*largest)[owner]
    size = np.maximum.reduceat(np.abs(score), own[:-1])[owner]
    motion = Motion(x / extent, y / extent, own, settings)
    return Scored(motion, score / size, ranks(score, owner))


def _statement(measure: Measure, number: Floats) -> Floats:
    """Return what a track adds to the statement; nothing for tracks that don't count."""
    number = number[np.isfinite(number)]
    return (np.sign(number) + 1) / 2 if measure.kind == "share" else number


def _row(
    measure: Measure,
    number: Floats,
    by_chance: Floats,
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    n = len(number)
    value = float(number.mean()) if n else np.nan
    chance = float(by_chance.mean()) if len(by_chance) else np.nan
    low, high = _interval(number, settings, rng)
    words = {
        "value": f"{100 * value:.0f} % ({100 * low:.0f}–{100 * high:.0f})",
        "n": f"{n:,} {measure.class_name}",
        **{k: f"{100 * getattr(settings, k):g} %" for k in ("top", "boundary", "portion")},
    }
    sentence = measure.words.format(**words) + f"; chance {100 * chance:.0f} %"
    if not n:
        sentence = f"no {measure.class_name} track shows whether {measure.remark}"
    return {
        "class": measure.class_name,
        "remark": measure.remark,
        "measure": measure.name,
        "kind": measure.kind,
        "value": value,
        "low": low,
        "high": high,
        "chance": chance,
        "holds": bool(low > chance),
        "n_tracks": n,
        "sentence": sentence,
    }


def _interval(number: Floats, settings: Settings, rng: np.random.Generator) -> tuple[float, float]:
    """Return the bootstrap interval of the mean; the whole range 0…1 if there are too few."""
    n = len(number)
    if n < 2:
        return 0.0, 1.0
    most = max(1, _DRAWN_AT_ONCE // n)
    means = []
    for start in range(0, settings.resamples, most):
        size = min(most, settings.resamples - start)
        means.append(number[rng.integers(n, size=(size, n))].mean(axis=1))
    edges = [(1 - settings.level) / 2, (1 + settings.level) / 2]
    low, high = np.quantile(np.concatenate(means), edges)
    return float(low), float(high)
