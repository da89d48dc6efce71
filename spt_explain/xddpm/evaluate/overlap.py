"""Maps against the true relevant pixels: IoU, average precision, and the top pixels.

All are for each video; means and intervals are taken later (`intervals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.arrays import checked_maps, checked_truth

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Scaling = Literal["none", "peak"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
CANDIDATES = 1000
"""Thresholds tried for each scaling, at quantiles of all pixels, and as many of the true ones."""


@dataclass(frozen=True)
class Threshold:
    """A threshold chosen on validation videos.

    Attributes
    ----------
    tau : float
        A pixel is relevant if its (scaled) value is at least this.
    scaling : {"none", "peak"}
        Whether each video's map was divided by its own largest absolute value before.
    iou : float
        Mean over the validation videos: optimistic, as it was chosen for.
    """

    tau: float
    scaling: Scaling
    iou: float


def scaled(maps: ArrayLike, scaling: Scaling) -> NDArray[np.float64]:
    """Return maps, divided by each video's largest absolute value if so wanted.

    Raises
    ------
    SptError
        For a scaling that is not there.
    """
    found = np.asarray(maps, np.float64)
    if scaling not in SCALINGS:
        raise SptError(
            f"no scaling is called {scaling!r}; there are: {', '.join(SCALINGS)}.", code="not-found"
        )
    if scaling == "none":
        return found
    peak = np.abs(found).max(axis=tuple(range(1, found.ndim)), keepdims=True)
    return np.asarray(found / np.where(peak > 0, peak, 1.0))


def choose_threshold(
    maps: ArrayLike,
    truth: ArrayLike,
    *,
    scaling: Scaling | Literal["best"] = "best",
    candidates: int = CANDIDATES,
) -> Threshold:
    """Return the threshold with the largest mean IoU over validation videos.

    Parameters
    ----------
    maps : array_like, shape (n, ...)
    truth : array_like of bool, shape (n, ...)
        Of videos that are not used to report the IoU.
    scaling : {"best", "none", "peak"}
        "best": whichever is better here. Gradients differ in size between videos, and masks do
        not; each method gets the better of both.
    candidates : int
        Thresholds tried are quantiles of all pixels' values and of the true pixels' values.

    Raises
    ------
    SptError
    """
    marks = checked_truth(truth)
    checked_maps(maps, marks, "maps")
    tried: tuple[Scaling, ...] = SCALINGS if scaling == "best" else (scaling,)
    found = [_best(scaled(maps, each), marks, each, candidates) for each in tried]
    return max(found, key=lambda one: one.iou)


def iou(predicted: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return intersection over union of two masks (Eq. 13), for each video.

    Returns
    -------
    numpy.ndarray, shape (n,)
        1 where both masks are empty.

    Raises
    ------
    SptError
    """
    marks = checked_truth(truth)
    chosen = checked_maps(checked_truth(predicted), marks, "masks") > 0
    real = marks.reshape(len(marks), -1)
    both, either = (chosen & real).sum(axis=1), (chosen | real).sum(axis=1)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def iou_at(maps: ArrayLike, truth: ArrayLike, threshold: Threshold) -> NDArray[np.float64]:
    """Return the IoU of thresholded maps with the truth, shape (n,).

    Raises
    ------
    SptError
    """
    return iou(scaled(maps, threshold.scaling) >= threshold.tau, truth)


def average_precision(maps: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return the area under each video's precision-recall curve, as average precision.

    Σ (R_k − R_{k−1}) P_k over the distinct values of the map, without interpolation. A map that
    says nothing has the share of relevant pixels.

    Returns
    -------
    numpy.ndarray, shape (n,)
        NaN where no pixel is relevant.

    Raises
    ------
    SptError
    """
    marks = checked_truth(truth)
    values = checked_maps(maps, marks, "maps")
    return np.array(
        [_precision(v, t) for v, t in zip(values, marks.reshape(values.shape), strict=True)]
    )


def top_iou(maps: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return the IoU of as many top pixels as are truly relevant: no threshold to choose.

    Where the last of them are tied with others, the expected number of hits of a fair draw counts.

    Returns
    -------
    numpy.ndarray, shape (n,)
        NaN where no pixel is relevant.

    Raises
    ------
    SptError
    """
    marks = checked_truth(truth)
    values = checked_maps(maps, marks, "maps")
    return np.array([_top(v, t) for v, t in zip(values, marks.reshape(values.shape), strict=True)])


def _best(
    maps: NDArray[np.float64], truth: NDArray[np.bool_], scaling: Scaling, candidates: int
) -> Threshold:
    values, marks = maps.reshape(len(maps), -1), truth.reshape(len(truth), -1)
    levels = np.linspace(0, 1, candidates)
    taus = np.quantile(values, levels, method="inverted_cdf")
    if marks.any():
        taus = np.append(taus, np.quantile(values[marks], levels, method="inverted_cdf"))
    taus = np.unique(taus)
    total = np.zeros(len(taus))
    for value, mark in zip(values, marks, strict=True):
        order = np.argsort(value)
        # hits among the k largest, for k = 0 … pixels
        hits = np.concatenate([[0], np.cumsum(mark[order][::-1])])
        chosen = len(value) - np.searchsorted(value[order], taus, side="left")
        either = chosen + hits[-1] - hits[chosen]
        total += np.where(either > 0, hits[chosen] / np.maximum(either, 1), 1.0)
    at = int(np.argmax(total))
    return Threshold(float(taus[at]), scaling, float(total[at] / len(values)))


def _precision(values: NDArray[np.float64], marks: NDArray[np.bool_]) -> float:
    if not marks.any():
        return np.nan
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], np.cumsum(marks[order])
    last = np.append(ranked[1:] != ranked[:-1], True)
    chosen = np.flatnonzero(last) + 1
    caught = hits[last]
    gained = np.diff(caught, prepend=0) / hits[-1]
    return float(np.sum(gained * caught / chosen))


def _top(values: NDArray[np.float64], marks: NDArray[np.bool_]) -> float:
    n = int(marks.sum())
    if not n:
        return np.nan
    edge = np.partition(values, len(values) - n)[len(values) - n]
    above, tied = values > edge, values == edge
    hits = marks[above].sum() + (n - above.sum()) * marks[tied].mean()
    return float(hits / (2 * n - hits))
