"""Fitting what makes a trained network's numbers mean what they say; see `resandi.calibration`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.resandi.calibration import Calibration
from spt_explain.resandi.windows import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOTS = (10, 15, 22, 35, 55, 85, 130, 200, 320, 500, 800)
"""Lengths in points at which the corrections are fitted."""
_SPREAD = 0.25
"""Each fit uses trajectories of lengths within this distance of its knot, in log10 of points."""
_FEWEST = 200
_TEMPERATURES = np.exp(np.linspace(np.log(0.5), np.log(2.0), 71))


def fit_calibration(
    logits: NDArray[np.floating],
    label: NDArray[np.integer],
    n_points: NDArray[np.integer],
    quantiles: NDArray[np.floating] | None = None,
    alpha: NDArray[np.floating] | None = None,
    *,
    coverage: float = 0.9,
) -> Calibration:
    """Fit a temperature, and a stretch of the interval of α, at each of a few lengths.

    The temperature is the one of greatest likelihood (Guo et al. 2017, arXiv:1706.04599). The
    stretch is the one with which the interval covers the truth as often as it says (split
    conformal prediction with scaled residuals: Romano, Patterson & Candès 2019, arXiv:1905.03222).

    Parameters
    ----------
    logits : numpy.ndarray, shape (n, classes)
        Of trajectories that the network was not trained on.
    label : numpy.ndarray, shape (n,)
        Their classes.
    n_points : numpy.ndarray, shape (n,)
        Their lengths.
    quantiles : numpy.ndarray, shape (n, 3), optional
        Low, median and high α.
    alpha : numpy.ndarray, shape (n,), optional
        Their exponents.
    coverage : float
        Share of trajectories whose α lies in the interval.

    Returns
    -------
    Calibration
        No correction at lengths with fewer than 200 trajectories.
    """
    log_n = np.log10(n_points)
    knots, temperatures, stretches = [], [], []
    for knot in KNOTS:
        near = np.flatnonzero(np.abs(log_n - np.log10(knot)) <= _SPREAD / 2)
        if len(near) < _FEWEST:
            continue
        knots.append(float(knot))
        temperatures.append(_temperature(logits[near], label[near]))
        if quantiles is None or alpha is None:
            stretches.append(1.0)
        else:
            stretches.append(_stretch(quantiles[near], alpha[near], coverage))
    if not knots:
        return Calibration()
    return Calibration(tuple(knots), tuple(temperatures), tuple(stretches))


def _temperature(logits: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    rows = np.arange(len(label))
    losses = [
        -np.log(np.maximum(softmax(logits / t)[rows, label], 1e-12)).mean() for t in _TEMPERATURES
    ]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _stretch(
    quantiles: NDArray[np.floating], alpha: NDArray[np.floating], coverage: float
) -> float:
    median = quantiles[:, 1]
    above = (alpha - median) / np.maximum(quantiles[:, 2] - median, 1e-6)
    below = (median - alpha) / np.maximum(median - quantiles[:, 0], 1e-6)
    return float(np.quantile(np.maximum(above, below), coverage))
