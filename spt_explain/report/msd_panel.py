"""Mean squared displacement against lag, on logarithmic axes, with the line of its exponent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.diffusion.msd import (
    FEWEST_LAGS,
    MOST_LAGS,
    POINTS_PER_LAG,
    mean_squared_displacements,
)
from spt_explain.report.drawing import plain, power_of_ten
from spt_explain.report.style import ACCENT, FAINT, INK

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    Floats = npt.NDArray[np.float64]

SHARE_OF_LAGS = 0.25
"""Lags up to this share of the track are drawn; beyond, few pairs are left to average over."""
_LEAST_RANGE = 4.0  # of a logarithmic axis
_LONGEST_LABEL = 5  # characters beside the axis: wider ones run into its name


def alpha_words(track: pd.Series[Any]) -> list[str]:
    """Say which exponents a track has: from its displacements, and from the network."""
    words = []
    fitted = _number(track, "alpha_msd")
    if math.isfinite(fitted):
        words.append(f"MSD grows as lag to power α = {_two(fitted)}")
    said, low, high = (_number(track, name) for name in ("alpha", "alpha_low", "alpha_high"))
    if math.isfinite(said):
        interval = f" (5–95 %: {_two(low)}–{_two(high)})" if low <= high else ""
        words.append(f"network: α = {_two(said)}{interval}")
    return words


def draw_msd(
    axes: Axes, frames: pd.DataFrame, alpha: float, *, unit: str, frame_interval_s: float | None
) -> None:
    """Draw the time-averaged mean squared displacement and the line of slope `alpha`.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    frames : pandas.DataFrame
        ``frame``, ``x``, ``y`` of one track; rows that are True in ``filled`` are left out.
    alpha : float
        Slope of the line, drawn through the middle of the lags that it was fitted to, and dotted
        beyond them; NaN for none.
    unit : str
        Unit of the positions.
    frame_interval_s : float or None
        Time between frames in s.
    """
    lag, msd, used = msd_curve(frames)
    step = frame_interval_s if frame_interval_s else 1.0
    axes.set_xlabel("lag (s)" if frame_interval_s else "lag (frames)")
    axes.set_ylabel(f"MSD ({unit}²)" if unit else "MSD")
    good = np.isfinite(msd) & (msd > 0)
    if not good.any():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no displacement", transform=axes.transAxes, ha="center",
                  va="center", color=FAINT)  # fmt: skip
        return
    time = lag * step
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(time[good], msd[good], "o", color=ACCENT, markersize=2.2, markeredgewidth=0)
    fitted = good & used
    if math.isfinite(alpha) and fitted.any():
        at = np.log(time)
        height = np.log(msd[fitted]).mean() + alpha * (at - at[fitted].mean())
        with np.errstate(over="ignore", under="ignore"):
            line = np.exp(height)
        axes.plot(time[fitted], line[fitted], color=INK, linewidth=1.0)
        after = np.arange(len(time)) >= np.flatnonzero(fitted)[-1]
        axes.plot(time[after], line[after], color=INK, linewidth=0.8, linestyle=":")
    for axis, values in ((axes.xaxis, time[good]), (axes.yaxis, msd[good])):
        low, high = _room(float(values.min()), float(values.max()))
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(low, high)
        ticks = log_ticks(low, high, 4)
        axis.set_ticks(ticks, tick_labels(ticks))
        axis.set_ticks([], minor=True)


def msd_curve(frames: pd.DataFrame) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return lags in frames, mean squared displacements, and which lags α is fitted to."""
    measured = frames
    if "filled" in frames:
        measured = frames[frames["filled"].to_numpy() != True]  # noqa: E712
    frame = measured["frame"].to_numpy(np.int64)
    x, y = (measured[axis].to_numpy(np.float64) for axis in "xy")
    fit = min(max(len(frame) // POINTS_PER_LAG, FEWEST_LAGS), MOST_LAGS)
    lags = max(1, min(max(fit, int(SHARE_OF_LAGS * len(frame))), len(frame) - 1))
    start = np.zeros(1 if len(frame) else 0, np.int64)
    msd = mean_squared_displacements(frame, x, y, start, lags)
    lag = np.arange(1, lags + 1, dtype=np.float64)
    return lag, msd[0] if len(msd) else np.full(lags, np.nan), lag <= fit


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers between two positive ones for a logarithmic axis, at least two if any.

    Powers of ten, every so many of them in wide ranges; with 2 and 5 between in narrow ones.
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    decades = list(range(first, last + 1))
    if len(decades) >= 2:
        every = -(-len(decades) // most)
        return [10.0**power for power in decades[::every]]
    for factors in ((1, 3), (1, 2, 5), range(1, 10)):
        ticks = [
            float(f"{factor}e{power}")
            for power in range(first - 2, last + 2)
            for factor in factors
            if low <= float(f"{factor}e{power}") <= high
        ]
        if len(ticks) >= 2:
            return ticks[:: -(-len(ticks) // most)]
    return ticks


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Write the ticks of a logarithmic axis: in full, or if one is long all as powers of ten."""
    written = [plain(tick) for tick in ticks]
    if max(map(len, written), default=0) <= _LONGEST_LABEL:
        return written
    return [power_of_ten(tick) for tick in ticks]


def _room(low: float, high: float) -> tuple[float, float]:
    """Return wider ends of a logarithmic axis, at least a factor `_LEAST_RANGE` apart."""
    wider = max(high / low, _LEAST_RANGE) ** 0.06
    narrow = max(1.0, (_LEAST_RANGE / (high / low)) ** 0.5)
    return (max(low / narrow / wider, 1e-300), min(high * narrow * wider, 1e300))


def _number(track: pd.Series[Any], name: str) -> float:
    try:
        return float(track.get(name, math.nan))
    except (TypeError, ValueError):
        return math.nan


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
