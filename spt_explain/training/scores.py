"""Shares, means, F1 and calibration errors of a finished test, each with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

Z95 = 1.959963984540054
"""Quantile of the standard normal distribution for two-sided 95 % intervals."""
CALIBRATION_BINS = 15


def share(k: float, n: float) -> tuple[float, float, float, float]:
    """Return ``k / n``, its standard error, and Wilson's 95 % interval.

    The standard error is √(p(1 − p)/n). Wilson's interval (1927,
    doi:10.1080/01621459.1927.10502953) stays within 0…1 and holds for shares near either.
    All NaN if `n` is 0.
    """
    if n <= 0:
        return (np.nan,) * 4
    p = k / n
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    low, high = min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half))
    return p, float(np.sqrt(p * (1 - p) / n)), float(low), float(high)


def mean(values: Floats) -> tuple[float, float, float, float]:
    """Return the mean, its standard error, and a 95 % interval (mean ± 1.96 standard errors).

    The error is NaN for fewer than two values, all is NaN for none.
    """
    if not len(values):
        return (np.nan,) * 4
    average = float(values.mean())
    se = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
    return average, se, average - Z95 * se, average + Z95 * se


def confusion_counts(label: Ints, predicted: Ints, n_classes: int) -> Ints:
    """Return how often each class (row) was taken for each class (column)."""
    flat = np.bincount(label * n_classes + predicted, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def f1(confusion: Ints, index: int) -> tuple[float, float, float, float]:
    """Return a class's F1, its standard error and 95 % interval.

    F1 = 2J/(1 + J) grows with Jaccard's index J = TP/(TP + FP + FN), which is a share of the
    trajectories that are of the class or were taken for it; Wilson's interval of J, transformed,
    is that of F1, and the standard error follows from that of J times dF1/dJ.
    """
    hits = float(confusion[index, index])
    union = float(confusion[index].sum() + confusion[:, index].sum() - hits)
    j, se, low, high = share(hits, union)

    def transformed(x: float) -> float:
        return 2 * x / (1 + x)

    return transformed(j), 2 * se / (1 + j) ** 2, transformed(low), transformed(high)


def macro_f1(confusion: Ints) -> tuple[float, float]:
    """Return the mean F1 of the classes that occur, and its standard error.

    Classes without a single trajectory are left out of the mean. The error is that of the delta
    method, with the number of trajectories of each class as given and their predictions drawn
    from a multinomial distribution.
    """
    counts = confusion.astype(np.float64)
    truth, taken = counts.sum(axis=1), counts.sum(axis=0)
    present = truth > 0
    if not present.any():
        return np.nan, np.nan
    hits = np.diag(counts)
    total = np.where(present, truth + taken, 1.0)
    scores = np.where(present, 2 * hits / total, 0.0)
    n_present = present.sum()
    # change of the mean with one more trajectory of class i that is taken for class j
    by_column = np.where(present, -2 * hits / total**2, 0.0) / n_present
    slope = np.tile(by_column, (len(counts), 1))
    slope[np.diag_indices(len(counts))] += np.where(present, 2 / total, 0.0) / n_present
    p = counts / np.where(present, truth, 1.0)[:, None]
    spread = (p * slope**2).sum(axis=1) - (p * slope).sum(axis=1) ** 2
    return float(scores.sum() / n_present), float(np.sqrt((truth * spread.clip(min=0)).sum()))


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy are apart, in bins of confidence.

    Attributes
    ----------
    error : float
        The expected calibration error (ECE): Σ n_b/N · |accuracy_b − confidence_b|.
    expected : float
        What that would be on average for perfectly calibrated probabilities and as many
        trajectories: the part of it that is chance.
    debiased : float
        ECE with the part that is chance taken off; its mean is 0 for perfectly calibrated
        probabilities, so it can be negative.
    se : float
        Standard error of `debiased`.
    edges : numpy.ndarray, shape (bins + 1,)
        Edges of the bins.
    count, confidence, accuracy : numpy.ndarray, shape (bins,)
        Trajectories of each bin, their mean confidence and their accuracy (NaN where none).
    """

    error: float
    expected: float
    debiased: float
    se: float
    edges: Floats
    count: Ints
    confidence: Floats
    accuracy: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the true calibration error.

        `debiased` ± 1.96 standard errors, not below 0; its upper end is not below `error`, which
        errs high. Simulated with 60 to 30,000 trajectories it holds the true value in 96 to 99 %
        of cases for calibrated probabilities and 82 to 99 % for others (73 % at the worst, where
        each bin is wrong by about as much as chance moves it).
        """
        if np.isnan(self.error):
            return np.nan, np.nan
        reach = Z95 * self.se
        return max(0.0, self.debiased - reach), max(self.error, self.debiased + reach)


def calibration(confidence: Floats, hit: NDArray[np.bool_], *, bins: int) -> Calibration:
    """Return the expected calibration error of the best class's probability.

    ECE (Guo et al. 2017, arXiv:1706.04599) with equal-width bins weighted by counts. It is
    biased upward: chance alone sets a bin's accuracy apart from its confidence c. For n
    trajectories and perfect calibration the hits are binomial, and their distance D from n·c has
    the mean size E|D|. Taking all of that off would take off too much where confidence is truly
    wrong, as a large distance d is hardly biased. So each bin gives up

        E|D| · exp(−d²/2s²) / E[exp(−D²/2s²)],   s² = nc(1 − c),  D = B(n, c) − nc,

    whose mean under perfect calibration is E|D| exactly, and which fades as d outgrows chance
    (for large n: 1.13 s exp(−d²/2s²)).

    Parameters
    ----------
    confidence : numpy.ndarray, shape (m,)
        Probability of the best class, 0 to 1.
    hit : numpy.ndarray of bool, shape (m,)
        Whether the best class was the true one.
    bins : int
        Number of bins of equal width between 0 and 1.
    """
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins).astype(np.int64)
    occupied = np.maximum(count, 1)
    centre = np.clip(np.bincount(index, confidence, bins) / occupied, 0, 1)
    accuracy = np.bincount(index, hit, bins) / occupied
    total = max(len(confidence), 1)
    gap = np.abs(accuracy - centre)
    expected = np.zeros(bins)
    taken_off = np.zeros(bins)
    for b in np.flatnonzero(count):
        expected[b], fade = _chance(int(count[b]), float(centre[b]))
        variance = centre[b] * (1 - centre[b]) / count[b]
        if variance > 0:
            taken_off[b] = expected[b] * np.exp(-(gap[b] ** 2) / (2 * variance)) / fade
    weight = count / total
    error = float((weight * gap).sum())
    nowhere = np.where(count > 0, 1.0, np.nan)
    variances = weight**2 * centre * (1 - centre) / occupied
    empty = np.nan if not len(confidence) else 0.0
    return Calibration(
        error=error + empty,
        expected=float((weight * expected).sum()) + empty,
        debiased=error - float((weight * taken_off).sum()) + empty,
        se=float(np.sqrt(variances.sum())) + empty,
        edges=np.linspace(0, 1, bins + 1),
        count=count,
        confidence=centre * nowhere,
        accuracy=accuracy * nowhere,
    )


def _chance(n: int, p: float) -> tuple[float, float]:
    """Return E|K/n − p| and E[exp(−(K/n − p)²/2s²)], s² = p(1 − p)/n, of a binomial K."""
    variance = p * (1 - p) / n
    if variance <= 0:
        return 0.0, 1.0
    reach = 12 * np.sqrt(n * p * (1 - p)) + 12
    k = np.arange(max(0, int(n * p - reach)), min(n, int(n * p + reach)) + 1)
    ratio = np.log((n - k[:-1]) / (k[:-1] + 1)) + np.log(p / (1 - p))
    log_mass = np.concatenate([[0.0], np.cumsum(ratio)])
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    gap = np.abs(k / n - p)
    return float(mass @ gap), float(mass @ np.exp(-(gap**2) / (2 * variance)))
