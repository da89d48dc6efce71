"""What a finished test says of a classifier: accuracy, calibration and α, by everything known.

Every share has a standard error and Wilson's 95 % interval, every mean a standard error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.resandi import DEFAULT_THRESHOLD
from spt_explain.training.scores import (
    CALIBRATION_BINS,
    calibration,
    confusion_counts,
    f1,
    macro_f1,
    mean,
    share,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from spt_explain.resandi.judging import Prediction

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Row = dict[str, Any]

LENGTH_EDGES = (10, 20, 50, 100, 200, 400, 700, 1001)
"""Fewest points of each length band; the last ends the last band."""
ALPHA_WIDTH = 0.1
"""Width of the bins of α."""
MOST_NOISE_LEVELS = 25
"""More distinct noise levels than this are rounded to tenths."""
ALL = "all"
"""What tables call the trajectories of all noise levels together."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of a test.

    Rows are plain dicts. A key that ends in ``_se`` is a standard error, ``_low`` and ``_high``
    end a 95 % interval. NaN stands for what can't be said.

    Attributes
    ----------
    classes : tuple of str
        The classes, in the order of the probabilities.
    overall : dict
        ``n``, ``accuracy``, ``macro_f1``, ``confidence`` (mean probability of the best class),
        ``undetermined`` (share whose best class is below the threshold), ``accuracy_determined``
        (of the others), ``ece``, ``ece_expected``, ``ece_debiased`` (see
        `spt_explain.training.scores.Calibration`); where α was predicted and is known,
        ``alpha_n``, ``alpha_mae``, ``alpha_bias`` (mean of predicted − true) and
        ``alpha_coverage`` (share whose 5–95 % interval holds the true one; 0.9 is right).
    by_class : list of dict
        For each class ``class``, ``n``, ``recall``, ``precision``, ``f1`` and those of α.
    by_length : list of dict
        For each occupied band ``min_points``, ``max_points`` (None: no limit), then as `overall`.
    by_alpha : list of dict
        For each class and bin of the true α: ``class``, ``alpha_from``, ``alpha_to``, ``n``,
        ``accuracy``, the mean probability ``p_<class>`` of every class, and those of α.
    by_noise : list of dict
        For each noise level ``noise`` (1/SNR), then as `overall`. Empty if noise is not known.
    confusion : numpy.ndarray, shape (classes, classes)
        Counts; rows are true classes, columns the most probable ones.
    reliability : list of dict
        For each bin of confidence ``confidence_from``, ``confidence_to``, ``n``, ``confidence``
        (mean) and ``accuracy``.
    at_noise : dict of float to Evaluation
        The same for each noise level alone, if there are several.
    alpha_pairs : numpy.ndarray, shape (k, 4)
        True α and the predicted 5, 50 and 95 % quantiles, where known.
    noise_rounded : bool
        Whether noise took so many values that they were rounded to tenths.
    """

    classes: tuple[str, ...]
    overall: Row
    by_class: list[Row]
    by_length: list[Row]
    by_alpha: list[Row]
    by_noise: list[Row]
    confusion: Ints
    reliability: list[Row]
    at_noise: dict[float, Evaluation] = field(default_factory=dict)
    alpha_pairs: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    noise_rounded: bool = False

    @property
    def cleanest(self) -> Evaluation:
        """The evaluation at the lowest noise level; this one if there are no separate levels."""
        return (
            self if self.noise_rounded or not self.at_noise else self.at_noise[min(self.at_noise)]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None stands for NaN."""
        values: dict[str, Any] = {
            "classes": list(self.classes),
            "overall": self.overall,
            "by_class": self.by_class,
            "by_length": self.by_length,
            "by_alpha": self.by_alpha,
            "by_noise": self.by_noise,
            "confusion": self.confusion.tolist(),
            "reliability": self.reliability,
            "at_noise": {f"{level:g}": one.to_dict() for level, one in self.at_noise.items()},
        }
        plain: dict[str, Any] = _plain(values)
        return plain

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name: a column for each number, a row for each case.

        Names are ``summary, by_noise, by_class, by_length, by_alpha, confusion, calibration``.
        All but ``by_noise`` begin with a column ``noise``: the level (1/SNR), or ``all`` for the
        trajectories of all levels together.
        """
        import pandas as pd

        parts: list[tuple[Any, Evaluation]] = [(ALL, self)]
        parts += [(f"{level:g}", one) for level, one in self.at_noise.items()]
        tables: dict[str, pd.DataFrame] = {}
        makers: dict[str, Callable[[Evaluation], list[Row]]] = {
            "summary": lambda one: _long(one.overall),
            "by_class": lambda one: one.by_class,
            "by_length": lambda one: one.by_length,
            "by_alpha": lambda one: one.by_alpha,
            "confusion": lambda one: one._confusion_rows(),
            "calibration": lambda one: one.reliability,
        }
        for name, rows_of in makers.items():
            rows = [{"noise": level, **row} for level, one in parts for row in rows_of(one)]
            table = pd.DataFrame(rows)
            if "max_points" in table:
                table["max_points"] = table["max_points"].astype("Int64")
            tables[name] = table
        tables["by_noise"] = pd.DataFrame(self.by_noise or [{"noise": None, **self.overall}])
        return tables

    def _confusion_rows(self) -> list[Row]:
        rows = []
        for true, counts in zip(self.classes, self.confusion, strict=True):
            for taken, count in zip(self.classes, counts.tolist(), strict=True):
                values = _named("share", share(count, int(counts.sum())))
                rows.append({"class": true, "predicted": taken, "n": count, **values})
        return rows


def evaluate_predictions(
    prediction: Prediction,
    labels: NDArray[Any] | Sequence[Any],
    lengths: NDArray[Any] | Sequence[int],
    alpha: NDArray[Any] | Sequence[float] | None = None,
    noise: NDArray[Any] | Sequence[float] | float | None = None,
    *,
    classes: Sequence[str] = CLASS_NAMES,
    threshold: float = DEFAULT_THRESHOLD,
    bins: int = CALIBRATION_BINS,
    length_edges: Sequence[int] = LENGTH_EDGES,
) -> Evaluation:
    """Compare predictions with the truth.

    Parameters
    ----------
    prediction : Prediction
        What `Classifier.predict` said of m trajectories.
    labels : array, shape (m,)
        True classes: positions in `classes`, or names.
    lengths : array, shape (m,)
        Points of each trajectory.
    alpha : array, shape (m,), optional
        True anomalous exponents; NaN where unknown.
    noise : float or array, shape (m,), optional
        Localisation noise of each trajectory in units of the displacement's standard deviation
        (1/SNR); NaN where unknown.
    classes : sequence of str
        Names of the columns of the probabilities.
    threshold : float
        Probability below which a trajectory is ``undetermined``.
    bins : int
        Bins of equal width for the calibration error.
    length_edges : sequence of int
        Fewest points of each length band; the last ends the last band. Shorter and longer
        trajectories have bands of their own.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If shapes don't match, a label is unknown or there is no trajectory.
    """
    return _evaluate(
        _checked(prediction, labels, lengths, alpha, noise, classes),
        _Settings(threshold, bins, tuple(length_edges)),
    )


@dataclass(frozen=True)
class _Settings:
    threshold: float
    bins: int
    length_edges: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Truth:
    """Predictions and truth, an element or row for each trajectory; NaN where not known."""

    classes: tuple[str, ...]
    p: Floats
    quantiles: Floats
    label: Ints
    length: Ints
    alpha: Floats
    noise: Floats
    noise_rounded: bool = False

    @property
    def predicted(self) -> Ints:
        best: Ints = self.p.argmax(axis=1)
        return best

    def take(self, rows: NDArray[Any]) -> _Truth:
        return _Truth(
            self.classes,
            self.p[rows],
            self.quantiles[rows],
            self.label[rows],
            self.length[rows],
            self.alpha[rows],
            self.noise[rows],
        )


def _checked(
    prediction: Prediction,
    labels: Any,
    lengths: Any,
    alpha: Any,
    noise: Any,
    classes: Sequence[str],
) -> _Truth:
    p = np.asarray(prediction.probabilities, np.float64)
    m = len(p)
    if p.ndim != 2 or p.shape[1] != len(classes):
        raise ValueError(f"probabilities have shape {p.shape}; expected (m, {len(classes)})")
    if not m:
        raise ValueError("there is not one trajectory to evaluate")
    if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + 1e-6:
        raise ValueError("probabilities must be finite and within 0 to 1")
    label = np.asarray(labels)
    if label.dtype.kind in "OUS":
        position = {name: i for i, name in enumerate(classes)}
        unknown = sorted({str(name) for name in label.tolist()} - set(position))
        if unknown:
            raise ValueError(f"unknown classes {unknown}; expected some of {list(classes)}")
        label = np.array([position[str(name)] for name in label.tolist()])
    if label.min() < 0 or label.max() >= len(classes) or label.dtype.kind not in "iu":
        raise ValueError(f"labels must be whole numbers from 0 to {len(classes) - 1}, or names")

    def column(values: Any, name: str) -> Floats:
        if values is None:
            return np.full(m, np.nan)
        values = np.asarray(values, np.float64)
        values = np.full(m, float(values)) if values.ndim == 0 else values
        if values.shape != (m,):
            raise ValueError(f"{name} has shape {values.shape}; expected ({m},)")
        return np.asarray(values)

    quantiles = np.full((m, 3), np.nan)
    if prediction.alpha is not None:
        quantiles = np.asarray(prediction.alpha, np.float64)
        if quantiles.shape != (m, 3):
            raise ValueError(f"alpha is predicted with shape {quantiles.shape}; expected ({m}, 3)")
    levels = np.round(column(noise, "noise"), 6)
    rounded = len(np.unique(levels[np.isfinite(levels)])) > MOST_NOISE_LEVELS
    return _Truth(
        tuple(classes),
        p,
        quantiles,
        column(label, "labels").astype(np.int64),
        column(lengths, "lengths").astype(np.int64),
        column(alpha, "alpha"),
        (np.round(levels, 1) if rounded else levels) + 0.0,  # no −0
        rounded,
    )


def length_bands(edges: Sequence[int]) -> list[tuple[int, int | None]]:
    """Return the bands (fewest, most points) that `edges` make, those outside included."""
    starts = [0, *edges]
    bands: list[tuple[int, int | None]] = [
        (low, high - 1) for low, high in pairwise(starts) if low < high
    ]
    return [*bands, (starts[-1], None)]


def _evaluate(truth: _Truth, settings: _Settings, *, alone: bool = False) -> Evaluation:
    confusion = confusion_counts(truth.label, truth.predicted, len(truth.classes))
    found = _calibration(truth, settings)
    by_length = []
    for low, high in length_bands(settings.length_edges):
        rows = (truth.length >= low) & (truth.length <= (np.inf if high is None else high))
        if rows.any():
            row = _described(truth.take(rows), settings)
            by_length.append({"min_points": low, "max_points": high, **row})
    levels = np.unique(truth.noise[np.isfinite(truth.noise)]).tolist()
    at = {}
    if not alone:
        at = {v: _evaluate(truth.take(truth.noise == v), settings, alone=True) for v in levels}
    overall = _described(truth, settings)
    known = _with_alpha(truth)
    return Evaluation(
        classes=truth.classes,
        overall=overall,
        by_class=[_of_class(truth, confusion, i) for i in range(len(truth.classes))],
        by_length=by_length,
        by_alpha=_by_alpha(truth),
        by_noise=[{"noise": v, **(at[v].overall if at else overall)} for v in levels],
        confusion=confusion,
        reliability=[
            {
                "confidence_from": float(found.edges[b]),
                "confidence_to": float(found.edges[b + 1]),
                "n": int(n),
                "confidence": float(found.confidence[b]),
                **_named("accuracy", share(round(float(found.accuracy[b] * n)) if n else 0, n)),
            }
            for b, n in enumerate(found.count.tolist())
        ],
        at_noise=at if len(at) > 1 else {},
        alpha_pairs=np.column_stack([truth.alpha, truth.quantiles])[known],
        noise_rounded=truth.noise_rounded,
    )


def _calibration(truth: _Truth, settings: _Settings) -> Any:
    hit = truth.predicted == truth.label
    return calibration(np.minimum(truth.p.max(axis=1), 1.0), hit, bins=settings.bins)


def _described(truth: _Truth, settings: _Settings) -> Row:
    """Return what is said of any set of trajectories that does not depend on their truth."""
    hit = truth.predicted == truth.label
    n = len(hit)
    best = truth.p.max(axis=1)
    sure = best >= settings.threshold
    found = _calibration(truth, settings)
    low, high = found.interval
    score, score_se = macro_f1(confusion_counts(truth.label, truth.predicted, len(truth.classes)))
    return {
        "n": n,
        **_named("accuracy", share(int(hit.sum()), n)),
        "macro_f1": score,
        "macro_f1_se": score_se,
        **_named("confidence", mean(best)),
        **_named("undetermined", share(int((~sure).sum()), n)),
        **_named("accuracy_determined", share(int(hit[sure].sum()), int(sure.sum()))),
        "ece": found.error,
        "ece_expected": found.expected,
        "ece_debiased": found.debiased,
        "ece_debiased_se": found.se,
        "ece_debiased_low": low,
        "ece_debiased_high": high,
        **_alpha_scores(truth),
    }


def _of_class(truth: _Truth, confusion: Ints, index: int) -> Row:
    hits = int(confusion[index, index])
    n = int(confusion[index].sum())
    return {
        "class": truth.classes[index],
        "n": n,
        **_named("recall", share(hits, n)),
        **_named("precision", share(hits, int(confusion[:, index].sum()))),
        **_named("f1", f1(confusion, index)),
        **_alpha_scores(truth.take(truth.label == index)),
    }


def _by_alpha(truth: _Truth) -> list[Row]:
    rows: list[Row] = []
    known = np.isfinite(truth.alpha)
    # the small amount keeps 0.3, which is 2.9999… tenths, in the bin that begins at 0.3
    bin_of = np.floor(np.where(known, truth.alpha, 0) / ALPHA_WIDTH + 1e-6).astype(np.int64)
    for index, name in enumerate(truth.classes):
        these = known & (truth.label == index)
        for b in np.unique(bin_of[these]).tolist():
            part = truth.take(these & (bin_of == b))
            hits = int((part.predicted == index).sum())
            rows.append(
                {
                    "class": name,
                    "alpha_from": round(b * ALPHA_WIDTH, 6),
                    "alpha_to": round((b + 1) * ALPHA_WIDTH, 6),
                    "n": len(part.p),
                    **_named("accuracy", share(hits, len(part.p))),
                    **{
                        f"p_{other}": float(value)
                        for other, value in zip(truth.classes, part.p.mean(axis=0), strict=True)
                    },
                    **_alpha_scores(part),
                }
            )
    return rows


def _with_alpha(truth: _Truth) -> Bools:
    known: Bools = np.isfinite(truth.alpha) & np.isfinite(truth.quantiles).all(axis=1)
    return known


def _alpha_scores(truth: _Truth) -> Row:
    """Return errors of α where it was predicted at all; empty if not."""
    if not np.isfinite(truth.quantiles).any():
        return {}
    known = _with_alpha(truth)
    if not known.any() and not np.isfinite(truth.alpha).any():
        return {}
    true, (low, median, high) = truth.alpha[known], truth.quantiles[known].T
    error = median - true
    inside = int(((low <= true) & (true <= high)).sum())
    return {
        "alpha_n": int(known.sum()),
        **_named("alpha_mae", mean(np.abs(error))),
        **_named("alpha_bias", mean(error)),
        **_named("alpha_coverage", share(inside, int(known.sum()))),
    }


def _named(name: str, values: tuple[float, float, float, float]) -> Row:
    return {f"{name}{end}": v for end, v in zip(("", "_se", "_low", "_high"), values, strict=True)}


def _long(overall: Row) -> list[Row]:
    """Return a row for each quantity: its value, standard error and interval."""
    ends = ("_se", "_low", "_high")
    return [
        {"quantity": key, "value": value, **{e[1:]: overall.get(key + e, np.nan) for e in ends}}
        for key, value in overall.items()
        if not (key.endswith(ends) and key.rpartition("_")[0] in overall)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value
