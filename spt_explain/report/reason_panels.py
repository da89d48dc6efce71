"""What a track does over time: position, score, the paper's statistics, class probabilities."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import coloured_line, colours_of, even_numbers, limits, plain
from spt_explain.report.style import (
    FAINT,
    INK,
    NEUTRAL,
    SHADES,
    SIGNED_COLOURS,
    centred,
    colour_of,
    percent_axis,
    readable,
    text_colour_on,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

    Floats = npt.NDArray[np.float64]

STATISTICS: dict[str, str] = {
    "AC": "correlation of\nsuccessive steps",
    "CS": "steps keep their\ndirection",
    "NG": "non-Gaussian\nsteps",
    "SG": "sudden changes\nof step size",
    "VD": "step size rises\nor falls",
}
"""The paper's statistics (Bae, Baek & Jeong, Eqs. 3–8) and what they tell, in two lines."""
STEPS_SHOWN = 50
"""Lines of finer scores are running means: about as many of them as this, side by side."""
NODES_SHOWN = 64
"""Borders between the network's nodes are drawn for no more of them than this."""

_BESIDE = 1.02  # where words to the right of a panel begin, in its widths


def draw_position(
    axes: Axes, frame: Floats, value: Floats, score: Floats | None, norm: Normalize, label: str
) -> None:
    """Draw one coordinate over time, coloured by score."""
    coloured_line(axes, frame, value, score, norm, widths=(0.7, 1.6))
    axes.set_ylim(*limits(value, around=0.1))
    few_ticks(axes, 3)
    axes.set_ylabel(label)


def draw_score(
    axes: Axes,
    frames: pd.DataFrame,
    *,
    explained: str,
    against: str,
    overlay: bool,
    resolution: float,
) -> None:
    """Draw the score and the contrast over time, shaded by sign, on one axis that holds 0.

    Scores much finer than the figure are shaded, and the lines are running means of them. Few
    peaks that stand far out are cut off, which is said.
    """
    frame = frames["frame"].to_numpy(np.float64)
    score = frames["score"].to_numpy(np.float64)
    contrast = (
        frames["score_contrast"].to_numpy(np.float64)
        if "score_contrast" in frames and against
        else np.full(len(frame), np.nan)
    )
    span = len(frame) // STEPS_SHOWN | 1
    span = span if span >= 3 and resolution < span else 1
    if "node" in frames:
        _node_borders(axes, frame, frames["node"].to_numpy())
    level_line(axes, 0, color=FAINT, linewidth=0.6, zorder=1)
    lines = []
    if np.isfinite(score).any():
        _shade(axes, frame, score, overlay=overlay, strength=SHADES[span > 1])
        smooth = _running_mean(score, span)
        axes.plot(frame, smooth, color=INK, linewidth=0.9, **_dot(smooth))
        lines.append(f"— for {readable(explained)}")
    if np.isfinite(contrast).any():
        smooth = _running_mean(contrast, span)
        axes.plot(frame, smooth, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        lines.append(f"- - and not {readable(against)}")
    if span > 1 and lines:
        lines += ["lines: running mean", f"of {span} frames"]
    shown, cut = _without_peaks(score, contrast if span == 1 else np.zeros(0))
    axes.set_ylim(*limits(np.append(shown, 0.0), around=0.08))
    if cut:
        lines += [f"cut peaks to {plain(float(f'{cut:.2g}'))}"]
    few_ticks(axes, 4)
    axes.set_ylabel("score")
    if not lines:
        beside(axes, "no scores for\nthis track")
        return
    axes.annotate("score", (_BESIDE, 1), xycoords="axes fraction", va="top", fontweight="bold")
    for row, words in enumerate(lines, start=1):
        axes.annotate(
            words, (_BESIDE, 1), (0, -9.6 * row), xycoords="axes fraction",
            textcoords="offset points", va="top", annotation_clip=False,
        )  # fmt: skip


def _shade(axes: Axes, frame: Floats, score: Floats, *, overlay: bool, strength: float) -> None:
    at, value = _with_zeros(frame, score)
    known = np.isfinite(value)
    for sign, colour in ((-1, SIGNED_COLOURS[0]), (1, SIGNED_COLOURS[-1])):
        axes.fill_between(
            at,
            0,
            np.maximum(value, 0) if sign > 0 else np.minimum(value, 0),
            where=None if known.all() else known,
            color=colour if overlay else NEUTRAL,
            alpha=strength if overlay else 0.6 * strength,
            linewidth=0,
            zorder=1.5,
        )


def _with_zeros(frame: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Return frames and scores with the places between them where the score crosses 0.

    So each sign is one polygon: `fill_between` looks for them stretch by stretch, which takes a
    tenth of a second.
    """
    with np.errstate(invalid="ignore"):
        crossing = np.flatnonzero(score[:-1] * score[1:] < 0)
    low, high = np.abs(score[crossing]), np.abs(score[crossing + 1])
    place = frame[crossing] + (frame[crossing + 1] - frame[crossing]) * low / (low + high)
    return np.insert(frame, crossing + 1, place), np.insert(score, crossing + 1, 0.0)


def _running_mean(values: Floats, span: int) -> Floats:
    """Return means of `span` values around each, fewer at the ends; missing ones are left out."""
    if span == 1:
        return values
    known = np.isfinite(values)
    ones = np.ones(span)
    total = np.convolve(np.where(known, values, 0.0), ones, "same")
    count = np.convolve(known, ones, "same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _without_peaks(score: Floats, contrast: Floats) -> tuple[Floats, float]:
    """Return the values that an axis is made for, and the largest that is cut off (0: none)."""
    values = np.concatenate([score, contrast])
    values = values[np.isfinite(values)]
    most = 1.6 * float(centred(values).vmax or 1.0)
    if not values.size or np.abs(values).max() <= most:
        return values, 0.0
    return np.clip(values, -most, most), float(values[np.abs(values).argmax()])


def draw_statistic(axes: Axes, name: str, windows: pd.DataFrame, *, overlay: bool) -> None:
    """Draw a statistic over the middles of its windows; dots have the colour of their mean score.

    Means are much smaller than single scores: their colours are on a scale of their own.

    Where there are no more than three windows, each is drawn as wide as it is.
    """
    first = windows["first_frame"].to_numpy(np.float64)
    last = windows["last_frame"].to_numpy(np.float64)
    value = windows[name].to_numpy(np.float64) if name in windows else np.full(len(first), np.nan)
    known = np.isfinite(value)
    middle = (first + last) / 2
    score = windows["score"].to_numpy(np.float64) if "score" in windows and overlay else None
    colours: Any = NEUTRAL if score is None else colours_of(score, centred(score))[known]
    if known.any() and (value[known].min() <= 0 <= value[known].max() or name in ("AC", "CS")):
        level_line(axes, 0, color=FAINT, linewidth=0.6, zorder=1)
    if len(first) <= 3:
        axes.hlines(value[known], first[known], last[known], color=INK, linewidth=0.7)
    else:
        axes.plot(middle, value, color=INK, linewidth=0.7)
    axes.scatter(
        middle[known], value[known], s=7, c=colours, edgecolors=INK, linewidths=0.3, zorder=3
    )
    if known.any():
        axes.set_ylim(*limits(value, around=0.15))
        few_ticks(axes, 2)
    else:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not defined here", transform=axes.transAxes, ha="center", va="center",
                  color=FAINT)  # fmt: skip
    axes.set_ylabel(name)
    beside(axes, STATISTICS.get(name, ""))


def draw_timeline(axes: Axes, timeline: pd.DataFrame, classes: Sequence[str]) -> None:
    """Draw the probabilities of the classes in a sliding window as stacked areas.

    The best class's name stands within its area where there is room.
    """
    middle, height = stacked(timeline, classes)
    colours = [colour_of(name, classes) for name in classes]
    axes.stackplot(middle, height, colors=colours, linewidth=0.2, edgecolor="white")
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])
    percent_axis(axes.yaxis)
    axes.set_ylabel("probability")
    best = timeline["class"].fillna("").astype(str).to_numpy()
    run = np.flatnonzero(np.r_[True, best[1:] != best[:-1], True])
    first, last = axes.get_xlim()
    for start, end in pairwise(run):
        if best[start] not in classes:
            continue
        k = list(classes).index(best[start])
        ends = _edges(timeline)[[start, end]]
        name = readable(best[start])
        room = 1.75 * len(name) + 1  # mm, at 8 points
        if (ends[1] - ends[0]) / (last - first) * _width_mm(axes) < room:
            continue
        inside = slice(start + 1, end + 1)  # `stacked` has one more at each end
        base = height[:k, inside].sum(axis=0).mean()
        axes.text(
            ends.mean(), base + height[k, inside].mean() / 2, name, ha="center",
            va="center", color=text_colour_on(colour_of(best[start], classes)),
        )  # fmt: skip
    dashed = "\ndashed: change" if len(change_points(timeline)) else ""
    beside(axes, f"class, in a\nsliding window{dashed}")


def stacked(timeline: pd.DataFrame, classes: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the middles of the windows and the probabilities (classes, windows).

    The first and last values are carried to the ends of the track: their windows reach there.
    """
    first = timeline["first_frame"].to_numpy(np.float64)
    last = timeline["last_frame"].to_numpy(np.float64)
    rows = [
        timeline[f"p_{name}"].to_numpy(np.float64) if f"p_{name}" in timeline else 0 * first
        for name in classes
    ]
    height = np.nan_to_num(np.array(rows, dtype=np.float64).reshape(len(classes), len(first)))
    middle = np.concatenate([first[:1], (first + last) / 2, last[-1:]])
    return middle, np.concatenate([height[:, :1], height, height[:, -1:]], axis=1)


def change_points(timeline: pd.DataFrame) -> Floats:
    """Return where the class changes: half-way between the middles of two windows, in frames."""
    if not len(timeline) or "change" not in timeline:
        return np.zeros(0)
    changed = timeline["change"].to_numpy() == True  # noqa: E712 (missing values are no change)
    found: Floats = _edges(timeline)[:-1][changed]
    return found


def _edges(timeline: pd.DataFrame) -> Floats:
    first = timeline["first_frame"].to_numpy(np.float64)
    last = timeline["last_frame"].to_numpy(np.float64)
    middle = (first + last) / 2
    return np.concatenate([first[:1], (middle[1:] + middle[:-1]) / 2, last[-1:]])


def few_ticks(axes: Axes, most: int) -> None:
    """Put few round numbers on the vertical axis, away from its ends where others begin."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_formatter(even_numbers())
    low, high = axes.get_ylim()
    if max(abs(low), abs(high)) > 1e300:
        return
    kept: list[float] = []
    for room, n in ((0.1, most), (0.1, most + 1), (0.1, most + 2), (0.02, most + 1)):
        found = MaxNLocator(n, min_n_ticks=2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        ends = low + room * (high - low), high - room * (high - low)
        kept = [float(tick) for tick in found if ends[0] <= tick <= ends[1]]
        if len(kept) > 1:
            break
    axes.yaxis.set_ticks(kept)


def level_line(axes: Axes, level: float, **look: Any) -> None:
    """Draw a line across at a level, as `axhline` does, but without new limits: 2 ms less."""
    from matplotlib.lines import Line2D

    axes.add_artist(Line2D([0, 1], [level, level], transform=axes.get_yaxis_transform(), **look))


def frame_line(axes: Axes, frame: float, **look: Any) -> None:
    """Draw a line upwards at a frame, as `axvline` does, but without new limits."""
    from matplotlib.lines import Line2D

    axes.add_artist(Line2D([frame, frame], [0, 1], transform=axes.get_xaxis_transform(), **look))


def beside(axes: Axes, text: str) -> None:
    """Write to the right of a panel."""
    axes.text(_BESIDE, 1.0, text, transform=axes.transAxes, va="top", linespacing=1.15)


def _dot(values: Floats) -> dict[str, Any]:
    """Return a marker where a line would show nothing: single values between missing ones."""
    known = np.isfinite(values)
    alone = known.copy()
    alone[1:] &= ~known[:-1]
    alone[:-1] &= ~known[1:]
    return {"marker": ".", "markevery": np.flatnonzero(alone).tolist()} if alone.any() else {}


def _node_borders(axes: Axes, frame: Floats, node: npt.NDArray[Any]) -> None:
    change = np.flatnonzero(node[1:] != node[:-1])
    if 0 < len(change) < min(NODES_SHOWN, len(frame) / 2):
        for at in (frame[change] + frame[change + 1]) / 2:
            frame_line(axes, at, color="#E4E4E4", linewidth=0.6, zorder=0)


def _width_mm(axes: Axes) -> float:
    figure: Any = axes.figure
    return float(axes.get_position().width * figure.get_size_inches()[0] * 25.4)
