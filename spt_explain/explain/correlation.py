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

from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.statistics import STATISTICS
from spt_explain.explain.published import FIGURE_7
from spt_explain.explain.windows import KEYS, track_offsets
from spt_explain.threads import in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from spt_explain.tracks.runs import Floats, Ints

CorrelationVariant = Literal["pooled", "within"]

RESAMPLES = 500
LEVEL = 0.95
SEED = 1
FEWEST_WINDOWS = 5
"""Windows of a track that have a coefficient of their own."""
_WEIGHTS_AT_ONCE = 4_000_000


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
        Seed of the bootstrap, of which each class and statistic has its own part.

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
    owner = np.repeat(np.arange(len(name)), np.diff(offsets))
    values = {c: windows[c].to_numpy(np.float64) for c in (score, *statistics)}
    pairs = list(product(class_order(name), statistics))
    seeds = np.random.SeedSequence(seed).spawn(len(pairs))

    def correlate(
        job: tuple[tuple[str, str], np.random.SeedSequence],
    ) -> list[dict[str, Any]]:
        (class_name, statistic), own_seed = job
        rng = np.random.default_rng(own_seed)
        both = (name == class_name)[owner]
        both &= np.isfinite(values[score]) & np.isfinite(values[statistic])
        a, b = values[score][both], values[statistic][both]
        track = np.unique(owner[both], return_inverse=True)[1]
        rows = []
        for variant in variants:
            kept = np.bincount(track, minlength=1) >= (fewest_windows if variant == "within" else 1)
            row: dict[str, Any] = {
                "class": class_name,
                "variant": variant,
                "statistic": statistic,
            }
            for kind in ("pearson", "spearman"):
                at, low, high = _coefficient(
                    a, b, track, kept, kind, variant, resamples, level, rng
                )
                row |= {kind: at, f"{kind}_low": low, f"{kind}_high": high}
            used = kept[track] if len(track) else np.zeros(0, bool)
            row["n_windows"] = int(used.sum())
            row["n_tracks"] = int(kept.sum()) if len(track) else 0
            row["published"] = FIGURE_7.get(class_name, {}).get(statistic, np.nan)
            rows.append(row)
        return rows

    found = list(in_order(correlate, zip(pairs, seeds, strict=True)))
    rows = [row for some in found for row in some]
    columns = ["class", "variant", "statistic"]
    for kind in ("pearson", "spearman"):
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


def _coefficient(
    a: Floats,
    b: Floats,
    track: Ints,
    kept: Any,
    kind: str,
    variant: str,
    resamples: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Return the coefficient and its interval."""
    if not len(a):
        return np.nan, np.nan, np.nan
    if kind == "spearman":
        groups = track if variant == "within" else np.zeros_like(track)
        a, b = ranks(a, groups), ranks(b, groups)
    sums = _sums(a, b, track, centre_each=variant == "within")
    if variant == "pooled":
        return _interval(lambda w: _pearson(w @ sums), len(sums), resamples, level, rng)
    own = _pearson(sums[kept])
    own = own[np.isfinite(own)]
    if not len(own):
        return np.nan, np.nan, np.nan
    return _interval(lambda w: w @ own / len(own), len(own), resamples, level, rng)


def ranks(values: Floats, groups: Ints) -> Floats:
    """Return ranks within each group, from 1; the mean of ties.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
    groups : numpy.ndarray of int64, shape (n,)
        Numbers of the groups; rows of a group need not follow one another.
    """
    order = np.lexsort((values, groups))
    sorted_groups, sorted_values = groups[order], values[order]
    n = len(values)
    new_group = np.ones(n, bool)
    new_group[1:] = sorted_groups[1:] != sorted_groups[:-1]
    new = new_group.copy()
    new[1:] |= sorted_values[1:] != sorted_values[:-1]
    first = np.flatnonzero(new)
    size = np.diff(first, append=n)
    start = np.maximum.accumulate(np.where(new_group, np.arange(n), 0))[first]
    out = np.empty(n)
    out[order] = np.repeat(first - start + (size + 1) / 2, size)
    return out


def _sums(a: Floats, b: Floats, track: Ints, *, centre_each: bool) -> Floats:
    """Return each track's n, Σa, Σb, Σa², Σb², Σab, shape (m, 6), of standardised values."""
    n = np.bincount(track)
    columns = []
    for values in (a, b):
        mean = np.bincount(track, values)[track] / n[track] if centre_each else values.mean()
        values = values - mean
        largest = np.abs(values).max()
        columns.append(values / (largest if largest > 0 else 1.0))
    a, b = columns
    weights = [np.ones_like(a), a, b, a * a, b * b, a * b]
    return np.stack([np.bincount(track, w) for w in weights], axis=1)


def _pearson(sums: Floats) -> Floats:
    """Return Pearson's coefficient of sums, shape (…, 6); NaN where one of both doesn't vary."""
    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    va, vb = n * aa - a * a, n * bb - b * b
    varies = (va > 1e-12 * n * aa) & (vb > 1e-12 * n * bb)
    below = np.sqrt(np.where(varies, va, 1.0)) * np.sqrt(np.where(varies, vb, 1.0))
    return np.asarray(np.where(varies, np.clip((n * ab - a * b) / below, -1, 1), np.nan))


def _interval(
    estimate: Any, n: int, resamples: int, level: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return an estimate from weights (…, n) of the tracks, and its bootstrap interval."""
    at = float(estimate(np.ones((1, n)))[0])
    if not resamples or n < 2:
        return at, np.nan, np.nan
    drawn = []
    most = max(1, _WEIGHTS_AT_ONCE // n)
    for start in range(0, resamples, most):
        size = min(most, resamples - start)
        picked = rng.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        weights = np.bincount(picked.ravel(), minlength=size * n).reshape(size, n)
        drawn.append(estimate(weights.astype(np.float64)))
    found = np.concatenate(drawn)
    found = found[np.isfinite(found)]
    if not len(found):
        return at, np.nan, np.nan
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return at, float(low), float(high)
