"""The fractions of the classes among many tracks, corrected for the known confusions.

Each track comes with the probabilities of the classes if all were equally common; divided by a
constant, these are likelihoods. The fractions are those that make all tracks together most
likely, found by expectation maximisation (Saerens, Latinne & Decaestecker 2002,
doi:10.1162/089976602753284446). Where the weights come with `Confusions`, the shares of a few
levels of noise are found along with them, the same for all classes.

Intervals are of the profile likelihood: the fractions of a class at which the likelihood, at its
best over everything else, is above that of a 95 % test. Unlike a bootstrap's they do not collapse
where a fraction is 0 or 1, and unlike equal-tailed posterior intervals they hold 0 and 1 there.
The deviation that remains however many the tracks are (`Confusions.systematic`) is added in
quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.resandi.confusions import Confusions
from spt_explain.resandi.weights import find_weights
from spt_explain.tracks.runs import run_starts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.resandi.weights import Weights

    Floats = NDArray[np.float64]

COUNTED = ("classified", "undetermined")
"""Status of the rows of a verdict table that count."""
LEVEL = 0.95
FEW_TRACKS = 50
"""With fewer tracks the fractions are given with a warning."""

_MOST_FOR_INTERVALS = 2000
_LEAST = 1e-6
_RELAXATION = 1.7  # of each step of EM; it converges below 2


@dataclass(frozen=True, eq=False)
class Population:
    """Fractions of the classes among tracks.

    Attributes
    ----------
    classes : tuple of str
        Names.
    fraction, low, high : numpy.ndarray, shape (classes,)
        Fractions, which sum to 1, and the ends of their intervals, each for its class alone.
    n_tracks, n_segments : int
        Tracks that count, and the rows they are made of: the segments of a split track share its
        weight by their points.
    noise : float or None
        Mean noise that was found along with the fractions, 1/SNR; None without `Confusions`.
    level : float
        Level of the intervals.
    seed : int
        Seed of the choice of tracks that the width of the intervals was found from, where there
        are more than 2,000.
    note : str
        What a user must know; empty if nothing.
    """

    classes: tuple[str, ...]
    fraction: Floats
    low: Floats
    high: Floats
    n_tracks: int
    n_segments: int
    noise: float | None
    level: float = LEVEL
    seed: int = 0
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for sidecar files; None for what is not known."""
        method = "maximum likelihood under label shift (EM), profile-likelihood intervals"
        return {
            "fractions": {
                name: {
                    "fraction": _rounded(self.fraction[i], 4),
                    "low": _rounded(self.low[i], 4),
                    "high": _rounded(self.high[i], 4),
                }
                for i, name in enumerate(self.classes)
            },
            "level": self.level,
            "n_tracks": self.n_tracks,
            "n_segments": self.n_segments,
            "status_counted": list(COUNTED),
            "noise": None if self.noise is None else _rounded(self.noise, 3),
            "method": method,
            "seed": self.seed,
            "note": self.note,
        }


def _rounded(value: float, digits: int) -> float | None:
    """Return a number as JSON can hold it, which knows no NaN."""
    return round(float(value), digits) if np.isfinite(value) else None


def populations(
    verdicts: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    *,
    weights: str | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the fractions of the classes in a verdict table, or in each condition of it.

    Tracks that were classified or are undetermined count, each once; immobile ones don't, so the
    fractions are those of the tracks that visibly move. (Short SubFBM tracks are flagged immobile
    more often than others: of 20 to 50 points, 6 % without noise, 24 % with noise of one
    displacement.) The fractions are corrected for the network's known confusions, so they differ
    from shares of rows by class.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        What `spt_explain.classify` returns or ``spt-explain classify`` writes, of one file or
        many.
    by : str or sequence of str, optional
        Columns whose values say which condition a row belongs to, e.g. ``"file"`` or one of your
        own; all rows together by default.
    weights : str, optional
        Name of the weights that made the verdicts; the shipped default if not given.
    level : float
        Level of the intervals.
    seed : int
        See `Population`.

    Returns
    -------
    pandas.DataFrame
        A row for each condition and class: the columns of `by`, ``class``, ``fraction``, ``low``,
        ``high``, ``n_tracks``, ``note``. Conditions without a track that counts have NaN.

    Raises
    ------
    SptError
        If columns are missing, or the weights know other classes.
    """
    import pandas as pd

    keys = [by] if isinstance(by, str) else list(by or ())
    missing = [name for name in (*keys, "particle", "n_points", "status") if name not in verdicts]
    if missing:
        raise SptError(
            f"the table of verdicts has no column {missing[0]!r}; it has: "
            f"{', '.join(map(str, verdicts.columns))}.",
            code="not-found",
        )
    found = find_weights(weights)
    groups: Any = verdicts.groupby(keys, sort=False, dropna=False) if keys else [((), verdicts)]
    rows = []
    for key, part in groups:
        one = describe_population(part, found, level=level, seed=seed)
        for i, name in enumerate(one.classes):
            values = (one.fraction[i], one.low[i], one.high[i], one.n_tracks, one.note)
            rows.append((*key, name, *values))
    return pd.DataFrame(
        rows, columns=[*keys, "class", "fraction", "low", "high", "n_tracks", "note"]
    )


def describe_population(
    verdicts: pd.DataFrame, weights: Weights, *, level: float = LEVEL, seed: int = 0
) -> Population:
    """Return the fractions of the classes among all tracks of a verdict table.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        Verdicts; ``file`` and ``particle`` say which rows are one track.
    weights : Weights
        What made them.
    level, seed
        As for `populations`.

    Raises
    ------
    SptError
        If the weights know other classes.
    """
    classes = weights.architecture.classes
    columns = [f"p_{name}" for name in classes]
    if missing := [name for name in columns if name not in verdicts]:
        raise SptError(
            f"the table of verdicts has no column {missing[0]!r}, which the weights "
            f"{weights.name} fill. Name the weights that made the table.",
            code="not-found",
        )
    p = verdicts[columns].to_numpy(np.float64)
    counts = verdicts["status"].isin(COUNTED).to_numpy() & np.isfinite(p).all(axis=1)
    p, rows = p[counts], verdicts[counts]
    if not len(rows):
        nothing = np.full(len(classes), np.nan)
        note = "no track was classified"
        return Population(classes, nothing, nothing, nothing, 0, 0, None, level, seed, note)
    n_points = rows["n_points"].to_numpy(np.float64)
    track = _track_numbers(rows)
    share = n_points / np.bincount(track, n_points)[track]
    confusions = Confusions.from_card(weights.card)
    joint = p[:, :, None] if confusions is None else confusions.joint(p, n_points.astype(np.int64))
    fraction, low, high, levels = estimate(
        joint,
        share,
        level=level,
        systematic=confusions.systematic if confusions else 0.0,
        seed=seed,
    )
    n_tracks = int(track.max()) + 1
    tracks = f"{n_tracks} track{'' if n_tracks == 1 else 's'}"
    return Population(
        classes=tuple(classes),
        fraction=fraction,
        low=low,
        high=high,
        n_tracks=n_tracks,
        n_segments=len(rows),
        noise=float(levels @ confusions.noise) if confusions else None,
        level=level,
        seed=seed,
        note=f"only {tracks}: fractions need {FEW_TRACKS} or more" if n_tracks < FEW_TRACKS else "",
    )


def _track_numbers(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return which track each row of a verdict table belongs to, numbered as they appear."""
    particle = rows["particle"]
    of_one_file = "file" not in rows or len(rows["file"].unique()) == 1
    if of_one_file and particle.dtype.kind == "i" and particle.is_monotonic_increasing:
        return np.asarray(np.cumsum(run_starts(particle.to_numpy()), dtype=np.int64) - 1)
    names = [name for name in ("file", "particle") if name in rows]
    return np.asarray(rows.groupby(names, sort=False, dropna=False).ngroup(), np.int64)


def estimate(
    joint: Floats,
    share: Floats | None = None,
    *,
    level: float = LEVEL,
    systematic: float = 0.0,
    seed: int = 0,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the most likely fractions, their intervals, and the shares of the noise levels.

    Parameters
    ----------
    joint : numpy.ndarray, shape (n, classes, levels)
        Probabilities of class and noise level of each row, if all pairs were equally common;
        n is at least 1.
    share : numpy.ndarray, shape (n,), optional
        Weight of each row; 1 by default.
    level : float
        Level of the intervals.
    systematic : float
        Standard deviation to be added to the intervals in quadrature.
    seed : int
        The width of the intervals is that of 2,000 rows chosen with this seed, scaled by the
        root of their number, where there are more.

    Returns
    -------
    fraction, low, high : numpy.ndarray, shape (classes,)
    noise : numpy.ndarray, shape (levels,)
    """
    n, n_classes, n_levels = joint.shape
    share = np.ones(n) if share is None else share
    data = _Likelihood(np.maximum(joint, _LEAST), share)
    start = np.full((1, n_classes), 1 / n_classes), np.full((1, n_levels), 1 / n_levels)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    if n <= _MOST_FOR_INTERVALS:
        best, noise, top = data.climb(*start)
        low, high = _profile_interval(data, best[0], noise[0], float(top[0]), z)
    else:
        few = np.random.default_rng(seed).choice(n, _MOST_FOR_INTERVALS, replace=False)
        sample = _Likelihood(data.joint[few], share[few])
        near, noise, top = sample.climb(*start)
        low, high = _profile_interval(sample, near[0], noise[0], float(top[0]), z)
        half = np.maximum(high - near[0], near[0] - low)
        half = half * np.sqrt(sample.total / data.total)
        best, noise, _ = data.climb(_inwards(near), _inwards(noise))
        low, high = best[0] - half, best[0] + half
    fraction = best[0]
    low = np.maximum(0, fraction - np.hypot(fraction - low, z * systematic))
    high = np.minimum(1, fraction + np.hypot(high - fraction, z * systematic))
    return fraction, low, high, noise[0]


class _Likelihood:
    """The likelihood of fractions and noise levels, for several of them at a time."""

    def __init__(self, joint: Floats, share: Floats) -> None:
        self.joint = joint
        self.shape = joint.shape[1:]
        self.flat = joint.reshape(len(joint), -1)
        self.share = share
        self.total = float(share.sum())

    def climb(
        self,
        fraction: Floats,
        noise: Floats,
        *,
        fixed: NDArray[np.intp] | None = None,
        most: int = 3000,
        enough: float = 1e-5,
    ) -> tuple[Floats, Floats, Floats]:
        """Climb to the maximum from `fraction`, (b, classes), and `noise`, (b, levels).

        `fixed`, (b,), is the class whose fraction is kept in each of the b problems. It ends
        when no log likelihood changes by more than `enough` in a step. Returns both and the log
        likelihoods, (b,).
        """
        before = np.full(len(fraction), -np.inf)
        which = np.arange(len(fraction))
        for _ in range(most):
            weight = (fraction[:, :, None] * noise[:, None, :]).reshape(len(fraction), -1)
            density = np.maximum(self.flat @ weight.T, np.finfo(float).tiny)
            height = self.share @ np.log(density)
            if (np.abs(height - before) <= enough).all():
                break
            before = height
            gain = ((self.share[:, None] / density).T @ self.flat).reshape(-1, *self.shape)
            gain /= self.total
            up = np.einsum("bcs,bs->bc", gain, noise) ** _RELAXATION * fraction
            noise = noise * np.einsum("bcs,bc->bs", gain, fraction) ** _RELAXATION
            noise /= noise.sum(axis=1, keepdims=True)
            if fixed is None:
                fraction = up / up.sum(axis=1, keepdims=True)
            else:
                kept = fraction[which, fixed]
                up[which, fixed] = 0
                rest = np.maximum(up.sum(axis=1), np.finfo(float).tiny)
                fraction = up * ((1 - kept) / rest)[:, None]
                fraction[which, fixed] = kept
        return fraction, noise, height


def _inwards(shares: Floats) -> Floats:
    """Return shares, (b, k), moved a little away from 0, where EM would stay for ever."""
    moved: Floats = 0.98 * shares + 0.02 / shares.shape[1]
    return moved


def _profile_interval(
    data: _Likelihood, best: Floats, noise: Floats, top: float, z: float
) -> tuple[Floats, Floats]:
    """Return where the profile likelihood of each class falls by z²/2, (classes,) each."""
    k = len(best)
    fixed = np.tile(np.arange(k), 2)
    centre = best[fixed]
    edge = np.repeat([0.0, 1.0], k)
    start = _inwards(best[None])[0]
    nuisance = np.tile(_inwards(noise[None]), (2 * k, 1))

    def depth(value: Floats) -> Floats:
        rest = np.tile(start, (2 * k, 1))
        rest[np.arange(2 * k), fixed] = 0
        fraction = rest * ((1 - value) / rest.sum(axis=1))[:, None]
        fraction[np.arange(2 * k), fixed] = value
        _, _, height = data.climb(fraction, nuisance, fixed=fixed, most=80, enough=5e-4)
        drop: Floats = np.sqrt(np.maximum(2 * (top - height), 0)) - z
        return drop

    # Regula falsi (Illinois): the root of the drop is nearly linear in the fraction.
    inner, f_inner = centre, np.full(2 * k, -z)
    outer, f_outer = edge, depth(edge)
    inside = f_outer <= 0  # the edge itself is likely enough
    spread = 2 * z * np.sqrt((centre * (1 - centre) + 1 / data.total) / data.total)
    trial = np.clip(centre + np.where(edge > 0, spread, -spread), 0, 1)
    was_beyond = np.full(2 * k, -1)
    for _ in range(7):
        f = depth(trial)
        beyond = f > 0
        again = was_beyond == beyond
        f_inner = np.where(beyond, np.where(again, f_inner / 2, f_inner), f)
        f_outer = np.where(beyond, f, np.where(again, f_outer / 2, f_outer))
        inner, outer = np.where(beyond, inner, trial), np.where(beyond, trial, outer)
        was_beyond = beyond.astype(int)
        trial = inner - f_inner * (outer - inner) / np.where(inside, 1.0, f_outer - f_inner)
        trial = np.where(inside, edge, trial)
    return trial[:k], trial[k:]
