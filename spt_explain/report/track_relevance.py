"""A track's Grad-CAM and its bottleneck relevance side by side, and how both fare over all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import coloured_line
from spt_explain.report.style import (
    ACCENT,
    FAINT,
    INK,
    NEUTRAL,
    PAGE_MM,
    SIGNED_COLOURS,
    centred,
    new_figure,
    readable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_METHODS = {
    "gradcam": "Grad-CAM",
    "layercam": "LayerCAM",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}


def pick_tracks(table: pd.DataFrame, most: int) -> list[int]:
    """Return rows to draw: those whose check was passed first, the longest of each prediction."""
    if most < 1 or not len(table):
        return []
    passed = (table["check"] == "passed").to_numpy()
    order = np.lexsort((-table["n_points"].to_numpy(), ~passed))
    if table["predicted"].dtype.kind in "fiu":
        values = table["predicted"].to_numpy(np.float64)
        edges = np.quantile(values, np.linspace(0, 1, 4)[1:-1])
        group = np.searchsorted(edges, values)
    else:
        group = np.unique(table["predicted"].astype(str), return_inverse=True)[1]
    turn = np.zeros(len(table), np.int64)
    seen: dict[int, int] = {}
    for row in order:
        turn[row] = seen.get(int(group[row]), 0)
        seen[int(group[row])] = turn[row] + 1
    again = order[np.argsort(turn[order], kind="stable")]
    return [int(table.index[row]) for row in again[:most]]


def draw_track(
    one: pd.Series[Any], frames: pd.DataFrame, *, unit: str, method: str, threshold: float
) -> Figure:
    """Draw a track coloured by both maps, and both over time.

    Parameters
    ----------
    one : pandas.Series
        Its row of the table of tracks.
    frames : pandas.DataFrame
        Of all tracks.
    unit : str
        Of the positions, "um" or "px".
    method : str
        Whose score the column ``score`` is; "none" without.
    threshold : float
        Contribution from which on a displacement is relevant.
    """
    mine = (frames["particle"] == one["particle"]) & (frames["segment"] == one["segment"])
    own = frames[mine]
    frame, x, y = (own[name].to_numpy(np.float64) for name in ("frame", "x", "y"))
    contribution = own["contribution"].to_numpy(np.float64)
    score = own["score"].to_numpy(np.float64) if "score" in own else None
    figure = new_figure(PAGE_MM, 105)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    below = figure.add_subplot(grid[1, :])
    name = _METHODS.get(method, method)
    if score is not None:
        _path(left, x, y, score, unit)
        said = readable(one.get("class", ""))
        left.set_title(f"{name}: speaks for {said} (orange), against (purple)")
    else:
        _path(left, x, y, None, unit)
        left.set_title("the track")
    low = np.nan_to_num(contribution)
    _path(right, x, y, low, unit, limit=1.0)
    right.set_title(f"bottleneck: kept for {readable(_predicted(one))} (orange)")
    below.fill_between(frame, 0, low, step="mid", color=SIGNED_COLOURS[3], alpha=0.5, linewidth=0)
    below.step(frame, contribution, where="mid", color=SIGNED_COLOURS[4], linewidth=1.0)
    below.axhline(threshold, color=FAINT, linewidth=0.6, linestyle=(0, (3, 2)))
    below.set_ylim(0, 1.02)
    below.set_xlim(frame[0] - 0.5, frame[-1] + 0.5)
    below.set_xlabel("frame")
    below.set_ylabel("contribution")
    if score is not None:
        other = below.twinx()
        other.plot(frame, score, color=INK, linewidth=0.9)
        other.axhline(0, color=FAINT, linewidth=0.5)
        most = 1.1 * float(np.nanmax(np.abs(score), initial=0.0)) or 1.0
        other.set_ylim(-most, most)
        other.spines["right"].set_visible(True)
        other.set_ylabel(f"{name} (line)")
    words = f"check: {one['check']}"
    rho = float(one.get("rho", np.nan))
    if np.isfinite(rho):
        words += f"; rank correlation {rho:.2f} (shifted maps do as well: {one['p']:.2f})"
    elif score is not None:
        words += "; no rank correlation: one of the maps is flat"
    below.set_title(words, loc="left")
    return figure


def draw_fit(
    kept: Sequence[float],
    r2: Sequence[float],
    random_r2: Sequence[float],
    chosen: int,
    *,
    rho: Floats | None = None,
) -> Figure:
    """Draw the sufficiency curve, and the rank correlations of all tracks."""
    figure = new_figure(PAGE_MM if rho is not None else 0.5 * PAGE_MM, 65)
    many: Any = figure.subplots(1, 2 if rho is not None else 1, squeeze=False)
    axes = many[0, 0]
    axes.plot(kept, r2, color=ACCENT, marker=".", label="most relevant")
    axes.plot(kept, random_r2, color=NEUTRAL, linestyle=(0, (3, 2)), label="at random places")
    axes.plot(kept[chosen], r2[chosen], "o", color=INK, markersize=5, label="enough")
    axes.set_xlabel("share of displacements kept")
    axes.set_ylabel("R² on tracks held out")
    axes.legend(loc="lower right")
    if rho is not None:
        known = rho[np.isfinite(rho)]
        axes = many[0, 1]
        axes.hist(known, bins=np.linspace(-1, 1, 21).tolist(), color=SIGNED_COLOURS[2])
        if known.size:
            axes.axvline(float(np.median(known)), color=INK)
        axes.set_xlabel("rank correlation of both maps (line: median)")
        axes.set_ylabel("tracks")
    return figure


def _path(
    axes: Axes, x: Floats, y: Floats, score: Floats | None, unit: str, limit: float = 0.0
) -> None:
    from matplotlib.colors import Normalize

    norm = Normalize(-limit, limit) if limit else None
    if norm is None and score is not None:
        norm = centred(score)
    coloured_line(axes, x, y, score, norm)
    middle = (x.max() + x.min()) / 2, (y.max() + y.min()) / 2
    half = 0.55 * max(float(np.ptp(x)), float(np.ptp(y))) or 1.0
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] + half, middle[1] - half)
    axes.set_aspect("equal")
    words = "µm" if unit == "um" else "pixel"
    axes.set_xlabel(f"x [{words}]")
    axes.set_ylabel(f"y [{words}]")


def _predicted(one: pd.Series[Any]) -> str:
    value = one["predicted"]
    return f"{value:.3g}" if isinstance(value, float) else str(value)
