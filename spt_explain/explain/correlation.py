"""Correlation of scores with statistics over windows, class by class (Fig. 7 of Bae et al.).

The paper correlates "the Grad-CAM score of the subtrajectories" with each statistic; in the
authors' program all windows of all tracks of a class go into one coefficient: the variant
``"pooled"``. It mixes two things: tracks whose scores are high as a whole, and the parts of a track
that score higher than its others. The variant ``"within"`` has the second alone: the coefficient of
each track's windows, averaged over the tracks of the class; min-max or z-scaling of a track would
not change it.

Intervals are those of a bootstrap over tracks (percentiles), as windows of one track overlap and
are far from independent. For pooled rank correlations the ranks are those among all windows, not
drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.statistics import STATISTICS
from spt_explain.explain.options import RESAMPLES
from spt_explain.explain.published import FIGURE_7
from spt_explain.explain.windows import KEYS, track_offsets
from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from spt_explain.tracks.runs import Floats, Ints

CorrelationVariant = Literal["pooled", "within"]
KINDS = ("pearson", "spearman")

LEVEL = 0.95
SEED = 1
FEWEST_WINDOWS = 5
"""Windows of a track that have a coefficient of their own."""
_WEIGHTS_AT_ONCE, _DRAWS_AT_ONCE = 1_000_000, 100
"""Of a bootstrap, for each thread."""


def correlations(
    windows: pd.DataFrame,
    tracks: pd.DataFrame,
    *,
    label: str = "class",
    score: str = "score",
    statistics: Sequence[str] = STATISTICS,
    variants: Sequence[CorrelationVariant] = ("pooled", "within"),
    fewest_windows: int = FEWEST_WINDOWS,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = SEED,
) -> pd.DataFrame:
    """Correlate scores with statistics, class by class.

    Parameters
    ----------
    windows : pandas.DataFrame
        A row a window, those of a track together: ``file, particle, segment``, the score, and the
        statistics (`spt_explain.explain.windows.window_table`).
    tracks : pandas.DataFrame
        A row a track: ``file, particle, segment``, the class, and ``explained`` if the scores are
        for some class; tracks whose scores are for another class than their own are left out.
    label : str
        Column of `tracks` that says which class a track is of: the verdict's, or the truth.
    score : str
        Column of `windows` with the score, e.g. ``"score_contrast"``.
    statistics : sequence of str
        Columns to correlate it with.
    variants : sequence of {"pooled", "within"}
        See this module.
    fewest_windows : int
        Windows that a track needs for a coefficient of its own ("within").
    resamples : int
        Bootstrap samples of the tracks; 0 for no intervals.
    level : float
        Coverage of the intervals.
    seed : int
        Seed of the bootstrap, which draws the tracks of a class once for all its coefficients.

    Returns
    -------
    pandas.DataFrame
        A row for each class, variant and statistic: ``class, variant, statistic, pearson,
        pearson_low, pearson_high, spearman, spearman_low, spearman_high, n_windows, n_tracks,
        published`` (Pearson, Fig. 7; NaN where there is none). NaN where neither varies.
        Classes in the order of the simulators, those of other networks after them.

    Raises
    ------
    ValueError
        If columns are missing, a window is of no track, or an argument is out of range.
    """
    import pandas as pd

    if unknown := set(variants) - set(get_args(CorrelationVariant)):
        raise ValueError(
            f"variants: {min(unknown)!r}; expected some of {get_args(CorrelationVariant)}"
        )
    if not 0 < level < 1 or resamples < 0:
        raise ValueError(f"level {level}, resamples {resamples}: expected 0…1 and 0 or more")
    offsets = track_offsets(windows, score, *statistics)
    name = classes_of(windows.iloc[offsets[:-1]], tracks, label)
    values = {c: windows[c].to_numpy(np.float64) for c in (score, *statistics)}
    order = class_order(name)
    scored = list(
        in_order(lambda c: _Scored.of(values[score], name == c, offsets, variants), order)
    )
    of_class = dict(zip(order, scored, strict=True))

    def prepare(job: tuple[str, str, CorrelationVariant, str]) -> _Coefficient:
        class_name, statistic, variant, kind = job
        fewest = fewest_windows if variant == "within" else 1
        return _prepared(of_class[class_name], values[statistic], kind, variant, fewest)

    prepared = list(in_order(prepare, product(order, statistics, variants, KINDS)))
    of_a_class = len(prepared) // max(len(order), 1)
    seeds = np.random.SeedSequence(seed).spawn(len(order))
    intervals: list[tuple[float, float]] = []
    for i, own_seed in enumerate(seeds):
        own = prepared[i * of_a_class : (i + 1) * of_a_class]
        intervals += _intervals(own, resamples, level, own_seed)
    rows = []
    both = iter(zip(prepared, intervals, strict=True))
    for class_name, statistic, variant in product(order, statistics, variants):
        row: dict[str, Any] = {"class": class_name, "variant": variant, "statistic": statistic}
        for kind in KINDS:
            one, (low, high) = next(both)
            row |= {kind: one.value(), f"{kind}_low": low, f"{kind}_high": high}
            row |= {"n_windows": one.n_windows, "n_tracks": one.n_tracks}
        row["published"] = FIGURE_7.get(class_name, {}).get(statistic, np.nan)
        rows.append(row)
    columns = ["class", "variant", "statistic"]
    for kind in KINDS:
        columns += [kind, f"{kind}_low", f"{kind}_high"]
    return pd.DataFrame(rows, columns=[*columns, "n_windows", "n_tracks", "published"])


def classes_of(first: pd.DataFrame, tracks: pd.DataFrame, label: str = "class") -> Any:
    """Return the class of each track whose scores are for it, shape (m,), dtype object.

    Parameters
    ----------
    first : pandas.DataFrame
        A row of each track, with ``file, particle, segment``.
    tracks : pandas.DataFrame
        ``file, particle, segment``, `label`, and ``explained`` if there is one.
    label : str
        Column with the class.

    Returns
    -------
    numpy.ndarray of object
        None for tracks without a class, and for those whose scores are for another.

    Raises
    ------
    ValueError
        If columns are missing, a track is not in `tracks`, or twice.
    """
    import pandas as pd

    missing = [c for c in (*KEYS, label) if c not in tracks]
    if missing:
        raise ValueError(f"the table of tracks has no column {missing[0]!r}")
    index = pd.MultiIndex.from_frame(tracks[list(KEYS)])
    if not index.is_unique:
        raise ValueError("the table of tracks has rows with the same file, particle and segment")
    at = index.get_indexer(pd.MultiIndex.from_frame(first[list(KEYS)]))
    if (at < 0).any():
        row = first[list(KEYS)].iloc[int(np.flatnonzero(at < 0)[0])]
        raise ValueError(f"the table of tracks lacks particle {row['particle']} of {row['file']}")
    found = tracks[label].to_numpy(dtype=object)[at]
    known = pd.notna(found)
    if "explained" in tracks:
        known &= found == tracks["explained"].to_numpy(dtype=object)[at]
    out: Any = np.where(known, found, np.array(None, dtype=object))
    return out


def class_order(names: Any) -> list[str]:
    """Return the classes that occur, those of the simulators first and in their order."""
    there = {name for name in names if name is not None}
    return [c for c in CLASS_NAMES if c in there] + sorted(there - set(CLASS_NAMES))


@dataclass(frozen=True, eq=False)
class _Coefficient:
    """A coefficient as a function of sums over tracks, which a bootstrap draws anew.

    Attributes
    ----------
    parts : numpy.ndarray, shape (m, k)
        Of each track of the class; zeros where it has nothing to add.
    of_sums : callable
        Returns coefficients, shape (...), of sums of the parts over tracks, shape (..., k).
    n_values : int
        Tracks that add something.
    n_windows, n_tracks : int
        What it rests on.
    """

    parts: Floats
    of_sums: Callable[[Floats], Floats]
    n_values: int
    n_windows: int
    n_tracks: int

    def value(self) -> float:
        """Return the coefficient of all tracks; NaN where there is none."""
        return float(self.of_sums(self.parts.sum(axis=0)))


@dataclass(frozen=True, eq=False)
class _Scored:
    """The windows of a class that have a score.

    Attributes
    ----------
    rows, track : numpy.ndarray of int64, shape (n,)
        Which windows, and the track of each, numbered within the class.
    n_tracks : int
        Tracks of the class.
    score : numpy.ndarray, shape (n,)
    ranks : mapping of str to numpy.ndarray
        Of the score, by variant.
    """

    rows: Ints
    track: Ints
    n_tracks: int
    score: Floats
    ranks: Mapping[CorrelationVariant, Floats]

    @classmethod
    def of(
        cls, score: Floats, of_class: Any, offsets: Ints, variants: Sequence[CorrelationVariant]
    ) -> _Scored:
        track = np.repeat(
            np.where(of_class, np.cumsum(of_class, dtype=np.int64) - 1, -1), np.diff(offsets)
        )
        rows = np.flatnonzero((track >= 0) & np.isfinite(score))
        score, track = score[rows], track[rows]
        found = {variant: ranks(score, _groups(track, variant)) for variant in variants}
        return cls(rows, track, int(of_class.sum()), score, found)


def _groups(track: Ints, variant: str) -> Ints:
    """Return what windows are ranked within."""
    return track if variant == "within" else np.zeros_like(track)


def _prepared(
    scored: _Scored, statistic: Floats, kind: str, variant: CorrelationVariant, fewest: int
) -> _Coefficient:
    """Return the coefficient of the score and a statistic, which has a value for every window."""
    track, a, b = scored.track, scored.score, statistic[scored.rows]
    known = np.isfinite(b)
    all_known = bool(known.all())
    if not all_known:
        track, a, b = track[known], a[known], b[known]
    if kind == "spearman":
        groups = _groups(track, variant)
        a = scored.ranks[variant] if all_known else ranks(a, groups)
        b = ranks(b, groups)
    count = np.bincount(track, minlength=scored.n_tracks)
    kept = count >= max(fewest, 1)
    sums = _sums(a, b, track, count, centre_each=variant == "within")
    used = int(count[kept].sum()), int(kept.sum())
    if variant == "pooled":
        return _Coefficient(sums, _pearson, int(kept.sum()), *used)
    own = _pearson(sums)
    has = kept & np.isfinite(own)
    parts = np.stack([has, np.where(has, own, 0.0)], axis=1)
    return _Coefficient(parts, _mean, int(has.sum()), *used)


def _mean(sums: Floats) -> Floats:
    """Return means of numbers and sums, shape (..., 2); NaN of nothing."""
    n, total = np.moveaxis(sums, -1, 0)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))


def _intervals(
    coefficients: Sequence[_Coefficient], resamples: int, level: float, seed: np.random.SeedSequence
) -> list[tuple[float, float]]:
    """Return bootstrap intervals of coefficients of the same tracks, drawn together."""
    n = len(coefficients[0].parts) if coefficients else 0
    if not resamples or n < 2:
        return [(np.nan, np.nan)] * len(coefficients)
    parts = np.concatenate([one.parts for one in coefficients], axis=1)
    columns = np.cumsum([one.parts.shape[1] for one in coefficients])[:-1]
    at_once = min(_DRAWS_AT_ONCE, max(1, _WEIGHTS_AT_ONCE // n))
    sizes = [min(at_once, resamples - i) for i in range(0, resamples, at_once)]

    def draw(job: tuple[int, np.random.SeedSequence]) -> Floats:
        size, own_seed = job
        picked = np.random.default_rng(own_seed).integers(n, size=(size, n))
        picked += np.arange(size)[:, None] * n
        weights = np.bincount(picked.ravel(), minlength=size * n).reshape(size, n)
        return weights.astype(np.float64)

    drawn = []
    # products in this thread: those of several threads would wait for each other's BLAS threads
    for weights in in_order(draw, zip(sizes, seed.spawn(len(sizes)), strict=True)):
        sums = np.split(weights @ parts, columns, axis=1)
        drawn.append([one.of_sums(some) for one, some in zip(coefficients, sums, strict=True)])
    out = []
    for one, *values in zip(coefficients, *drawn, strict=True):
        found = np.concatenate(values)
        found = found[np.isfinite(found)]
        if one.n_values < 2 or not len(found):
            out.append((np.nan, np.nan))
            continue
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
        out.append((float(low), float(high)))
    return out


def ranks(values: Floats, groups: Ints) -> Floats:
    """Return ranks within each group, from 1; the mean of ties.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
    groups : numpy.ndarray of int64, shape (n,)
        Numbers of the groups; rows of a group need not follow one another.
    """
    n = len(values)
    order = np.argsort(values)
    new = np.ones(n, bool)
    ascending = values[order]
    new[1:] = ascending[1:] != ascending[:-1]
    level = np.empty(n, np.int64)
    level[order] = np.cumsum(new)
    key = (
        groups.astype(np.int64) * (n + 1) + level
    )  # a sort of one column is several times as fast as of two
    order = np.argsort(key)
    new_group = np.ones(n, bool)
    new_group[1:] = np.diff(groups[order]) != 0
    new = new_group.copy()
    new[1:] |= np.diff(key[order]) != 0
    first = np.flatnonzero(new)
    size = np.diff(first, append=n)
    start = np.maximum.accumulate(np.where(new_group, np.arange(n), 0))[first]
    out = np.empty(n)
    out[order] = np.repeat(first - start + (size + 1) / 2, size)
    return out


def _sums(a: Floats, b: Floats, track: Ints, count: Ints, *, centre_each: bool) -> Floats:
    """Return each track's n, Σa, Σb, Σa², Σb², Σab, shape (m, 6), of standardised values."""
    columns = []
    for values in (a, b):
        if centre_each:
            values = values - (np.bincount(track, values, len(count)) / np.maximum(count, 1))[track]
        elif len(values):
            values = values - values.mean()
        largest = np.abs(values).max(initial=0.0)
        columns.append(values / (largest if largest > 0 else 1.0))
    a, b = columns
    sums = [np.bincount(track, w, len(count)) for w in (a, b, a * a, b * b, a * b)]
    return np.stack([count, *sums], axis=1)


def _pearson(sums: Floats) -> Floats:
    """Return Pearson's coefficient of sums, shape (…, 6); NaN where one of both doesn't vary."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    va, vb = n * aa - a * a, n * bb - b * b
    varies = (va > 1e-12 * n * aa) & (vb > 1e-12 * n * bb)
    below = np.sqrt(np.where(varies, va, 1.0)) * np.sqrt(np.where(varies, vb, 1.0))
    return np.asarray(np.where(varies, np.clip((n * ab - a * b) / below, -1, 1), np.nan))
