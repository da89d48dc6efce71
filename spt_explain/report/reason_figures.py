"""The figure of one explained track: where it went, what speaks for its class, and how sure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report import reason_panels as panels
from spt_explain.report.drawing import (
    coloured_line,
    colours_of,
    elided,
    limits,
    page_mm,
    round_ticks,
    say,
    scale_bar,
    text_width_mm,
    tick_marks,
    wrapped,
)
from spt_explain.report.msd_panel import alpha_words, draw_msd
from spt_explain.report.style import (
    FAINT,
    INK,
    PAGE_MM,
    centred,
    colour_of,
    new_figure,
    place_axes,
    readable,
)
from spt_explain.report.track_words import check_words, headline, name_of, scores_words, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    Floats = npt.NDArray[np.float64]

CLASSES_SHOWN = 8
"""Bars of class probabilities; networks with more classes show the most probable."""

FAR = 1e5
"""Coordinates of this size are shown from the track's start."""

# All in mm, from the upper left corner.
_EDGE, _LEFT, _LEFT_WIDTH, _LINE = 3.0, 4.0, 56.0, 4.2
_TIME_LEFT, _TIME_WIDTH, _TIME_GAP = 78.0, 68.5, 2.6
_BODY, _BELOW = 158.0, 9.5
_BAR_STEP = 4.0
_TIP = 0.03  # of the bar of colours, where scores are beyond it: its length over the bar's
_MSD_NAME = 10.5  # from the axis to the middle of its name, at least


def track_figure(
    track: pd.Series[Any],
    frames: pd.DataFrame,
    windows: pd.DataFrame,
    timeline: pd.DataFrame,
    *,
    unit: str,
    frame_interval_s: float | None,
    classes: Sequence[str],
    share: float = 0.2,
    whole: bool = True,
    page: Callable[[float, float], Figure] = new_figure,
) -> Figure:
    """Draw an explained track, a page wide.

    On the left its path coloured by score, the class probabilities and the mean squared
    displacement; on the right, over time, its coordinates, the score, the paper's statistics
    and, for long tracks, the class in a sliding window. The path is drawn as in the movie: y grows
    downwards. Parts that there is nothing for are left out.

    Parameters
    ----------
    track : pandas.Series
        The track's row of the table ``tracks``.
    frames, windows, timeline : pandas.DataFrame
        The rows of that track; the last two may be empty. A column ``filled`` (bool) in `frames`
        keeps positions that were filled in out of the mean squared displacement.
    unit : str
        Unit of the positions: ``"µm"``, ``"pixel"`` or another; "" if not known.
    frame_interval_s : float or None
        Time between frames in s.
    classes : sequence of str
        All classes, in the order of the network.
    share : float
        Share of the frames that the check erased.
    whole : bool
        False for a piece of a split track: the first is then called one, too.
    page : callable, optional
        Returns an empty figure of a width and height in mm.

    Returns
    -------
    matplotlib.figure.Figure
        To be made and saved within `spt_explain.report.style.house_style`.
    """
    doubt = name_of(track, "check") == "no better than random"
    said = ((scores_words(track), False), (check_words(track, share), doubt),
            (name_of(track, "remark"), False))  # fmt: skip
    words = [
        (line, bold)
        for text, bold in said
        for line in wrapped(readable(text), PAGE_MM - 2 * _LEFT, bold=bold)
    ]
    top = _EDGE + _LINE * (1 + len(words)) + 3.0
    figure = page(PAGE_MM, top + _BODY)
    _title(figure, track, words, whole=whole)

    score = frames["score"].to_numpy(np.float64)
    overlay = bool(value_of(track, "overlay", True)) and bool(np.isfinite(score).any())
    norm = centred(score)
    below = _path(figure, top, frames, score if overlay else None, norm, unit)
    if overlay:
        below = _colour_bar(figure, below, score, norm, name_of(track, "explained"))
    below = _probabilities(figure, below + 3.5, track, classes)
    _displacement(figure, below + 3.5, top + _BODY, track, frames, unit, frame_interval_s)
    _over_time(
        figure, top, track, frames, windows, timeline, overlay=overlay, norm=norm, unit=unit,
        frame_interval_s=frame_interval_s, classes=classes,
    )  # fmt: skip
    return figure


def _title(
    figure: Figure, track: pd.Series[Any], words: list[tuple[str, bool]], *, whole: bool
) -> None:
    head = elided(readable(headline(track, whole=whole)), PAGE_MM - 2 * _LEFT, bold=True)
    say(figure, _LEFT, _EDGE, head, fontweight="bold")
    room = PAGE_MM - 2 * _LEFT - text_width_mm(head, bold=True) - 4
    if room > 10:
        file = elided(readable(value_of(track, "file", "")), room)
        say(figure, PAGE_MM - _LEFT, _EDGE, file, ha="right", color=FAINT)
    for row, (line, bold) in enumerate(words, start=1):
        look = {"fontweight": "bold"} if bold else {}
        say(figure, _LEFT, _EDGE + row * _LINE, line, **look)


def _path(
    figure: Figure,
    top: float,
    frames: pd.DataFrame,
    score: Floats | None,
    norm: Normalize,
    unit: str,
) -> float:
    """Draw where the track went; return where the picture ends, in mm."""
    from matplotlib.lines import Line2D

    axes = place_axes(figure, _LEFT, top, _LEFT_WIDTH, _LEFT_WIDTH)
    x, y = (frames[axis].to_numpy(np.float64) for axis in "xy")
    (left, right), (low, high) = limits(x), limits(y)
    if x.size and max(np.ptp(x), np.ptp(y)) > 0:  # an axis that doesn't change has no size
        spans = [end - start if np.ptp(v) > 0 else 0.0
                 for v, start, end in ((x, left, right), (y, low, high))]  # fmt: skip
        half = max(spans) / 2
    else:
        half = max(right - left, high - low) / 2
    middle = left + (right - left) / 2, low + (high - low) / 2
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] + half, middle[1] - half)
    axes.set_axis_off()
    coloured_line(axes, x, y, score, norm)
    marks: dict[str, Any] = {
        "linestyle": "none", "markeredgecolor": INK, "markeredgewidth": 0.8, "zorder": 4,
        "clip_on": False,
    }  # fmt: skip
    start: dict[str, Any] = {"marker": "o", "markersize": 4.5, "markerfacecolor": "white"} | marks
    end: dict[str, Any] = {"marker": "s", "markersize": 3.5, "markerfacecolor": INK} | marks
    axes.plot(x[:1], y[:1], **start)
    axes.plot(x[-1:], y[-1:], **end)
    row = top + _LEFT_WIDTH + 3.0
    scale_bar(figure, _LEFT, row, _LEFT_WIDTH / (2 * half), 0.3 * _LEFT_WIDTH, unit)
    width, height = figure.get_size_inches() * 25.4
    for left, look in ((19.0, start), (7.5, end)):
        place = [(_LEFT + _LEFT_WIDTH - left) / width], [1 - row / height]
        figure.add_artist(Line2D(*place, **look))
    say(figure, _LEFT + _LEFT_WIDTH - 17.2, row, "start", va="center")
    say(figure, _LEFT + _LEFT_WIDTH - 5.8, row, "end", va="center")
    return row + 2


def _colour_bar(
    figure: Figure, top: float, score: Floats, norm: Normalize, explained: str
) -> float:
    """Draw which score has which colour, over the scores that occur; return where it ends."""
    from matplotlib.collections import QuadMesh
    from matplotlib.patches import Polygon

    low, high = (float(end) for end in (np.nanmin(score), np.nanmax(score)))
    most = float(norm.vmax or 1.0)
    ends = (max(min(low, 0.0), -most), min(max(high, 0.0), most)) if high > low else (-most, most)
    # the bar is as long with the tips, which stand for scores beyond the scale, as without
    left, right = _LEFT + 3, _LEFT + _LEFT_WIDTH - 3
    beyond = low < -most, high > most
    tip = _TIP * (right - left) / (1 + _TIP * sum(beyond))
    inner = left + tip * beyond[0], right - tip * beyond[1]
    edges, upper, lower = np.linspace(0, 1, 257), top + 2.0, top + 4.4
    steps = inner[0] + (inner[1] - inner[0]) * edges
    value = ends[0] + (ends[1] - ends[0]) * (edges[1:] + edges[:-1]) / 2
    corners = np.array([[(x, y) for x in steps] for y in (upper, lower)])
    paper = page_mm(figure)
    figure.add_artist(QuadMesh(corners, facecolors=colours_of(value, norm), antialiased=False,
                               transform=paper))  # fmt: skip
    for shown, at, out, colour in zip(beyond, inner, (-tip, tip), (-most, most), strict=True):
        if shown:
            points = [(at, upper), (at + out, (upper + lower) / 2), (at, lower)]
            face = colours_of(np.array([colour]), norm)[0]
            figure.add_artist(Polygon(points, facecolor=face, linewidth=0, transform=paper))
    ticks, written = round_ticks(*ends, 4)
    places = np.interp(ticks, ends, inner)
    tick_marks(figure, places, np.full(len(places), lower), points=2)
    for place, words in zip(places, written, strict=True):
        say(figure, place, lower + 3.5 / 72 * 25.4, words, ha="center")
    name = elided(readable(explained), 18)
    row = top + 11.3
    if low < 0:
        say(figure, _LEFT, row, "◂ against", va="center")
    say(figure, _LEFT + 0.45 * _LEFT_WIDTH, row, "score", va="center", ha="center")
    if high > 0:
        say(figure, _LEFT + _LEFT_WIDTH, row, f"for {name} ▸", va="center", ha="right")
    return top + 13.5


def _probabilities(
    figure: Figure, top: float, track: pd.Series[Any], classes: Sequence[str]
) -> float:
    """Draw the class probabilities as bars; return where they end, in mm."""
    explained, against = name_of(track, "explained"), name_of(track, "against")
    found = {name: _probability(track, name) for name in classes}
    always = [name for name in (explained, against) if name in found]
    ranked = sorted(found, key=lambda name: -np.nan_to_num(found[name]))
    kept = list(dict.fromkeys([*always, *ranked]))[:CLASSES_SHOWN]
    shown = [name for name in classes if name in kept]
    say(figure, _LEFT, top, "probability of each class")
    height = _BAR_STEP * max(len(shown), 1)
    room = max([text_width_mm(readable(n), bold=True) for n in shown], default=10.0)
    names = min(room, 24.0) + 2.0
    axes = place_axes(figure, _LEFT + names, top + 4.8, _LEFT_WIDTH - names - 12.0, height)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(side == "left")
    axes.set_xticks([])
    axes.set_yticks([])
    lengths = [np.nan_to_num(found[name]) for name in shown]
    colours = [colour_of(name, classes) for name in shown]
    axes.barh(range(len(shown)), lengths, height=0.72, color=colours)
    for row, name in enumerate(shown):
        value = found[name]
        middle = top + 4.8 + (row + 0.5) * _BAR_STEP
        look: dict[str, Any] = {"va": "center", "ha": "right"}
        bold = {"fontweight": "bold"} if name == explained else {}
        written = elided(readable(name), names - 2.0, bold=bool(bold))
        say(figure, _LEFT + names - 1.3, middle, written, **look, **bold)
        percent = f"{100 * value:.0f} %" if value < 0.995 else "> 99 %"
        percent = percent if math.isfinite(value) else "—"
        say(figure, _LEFT + _LEFT_WIDTH, middle, percent, **look, **bold)
        role = {explained: "explained", against: "contrast"}.get(name)
        if role:
            inside = np.nan_to_num(value) > 0.5
            _role(axes, row, value if inside else np.nan_to_num(value), role, inside,
                  colour_of(name, classes))  # fmt: skip
    return top + 4.8 + height


def _role(axes: Axes, row: int, value: float, role: str, inside: bool, colour: str) -> None:
    from spt_explain.report.style import text_colour_on

    axes.annotate(
        role, (value, row), (-2.5 if inside else 2.5, -0.4), textcoords="offset points",
        ha="right" if inside else "left", va="center", fontsize=7,
        color=text_colour_on(colour) if inside else INK,
    )  # fmt: skip


def _displacement(
    figure: Figure,
    top: float,
    bottom: float,
    track: pd.Series[Any],
    frames: pd.DataFrame,
    unit: str,
    frame_interval_s: float | None,
) -> None:
    words = alpha_words(track)
    for row, line in enumerate(words):
        say(figure, _LEFT, top + row * _LINE, line)
    top += _LINE * len(words) + 1.5
    axes = place_axes(figure, _LEFT, top, _LEFT_WIDTH, max(bottom - _BELOW - top, 12))
    alpha = value_of(track, "alpha_msd", math.nan)
    draw_msd(axes, frames, float(alpha), unit=_short(unit), frame_interval_s=frame_interval_s)
    numbers = [label.get_text() for label in axes.get_yticklabels()]
    name = max(_MSD_NAME, max(map(text_width_mm, numbers), default=0.0) + 3.3)
    left = _LEFT + name + 1.5  # wide numbers keep off the axis's name
    page, box = figure.get_size_inches()[0] * 25.4, axes.get_position()
    axes.set_position((left / page, box.y0, box.x1 - left / page, box.height))
    axes.yaxis.set_label_coords(-name / (box.x1 * page - left), 0.5)


def _over_time(
    figure: Figure,
    top: float,
    track: pd.Series[Any],
    frames: pd.DataFrame,
    windows: pd.DataFrame,
    timeline: pd.DataFrame,
    *,
    overlay: bool,
    norm: Normalize,
    unit: str,
    frame_interval_s: float | None,
    classes: Sequence[str],
) -> None:
    """Draw everything that has a time, one panel above the other on the same frames."""
    frame = frames["frame"].to_numpy(np.float64)
    shares = {"x": 16.0, "y": 16.0, "score": 24.0}
    if len(windows):
        shares |= dict.fromkeys(panels.STATISTICS, 9.4)
    if len(timeline):
        shares["timeline"] = 20.0
    extra = 6.0 if frame_interval_s else 0.0  # seconds above the panels
    room = _BODY - _BELOW - extra - _TIME_GAP * (len(shares) - 1)
    scale = room / sum(shares.values())
    ends = limits(frame, around=0.01)
    changes = panels.change_points(timeline)
    at = top + extra
    score = frames["score"].to_numpy(np.float64) if overlay else None
    every: list[Axes] = []
    below: list[float] = []
    for kind, share in shares.items():
        axes = place_axes(figure, _TIME_LEFT, at, _TIME_WIDTH, share * scale)
        every.append(axes)
        axes.set_xlim(*ends)
        if kind in "xy":
            value = frames[kind].to_numpy(np.float64)
            far = bool(np.abs(value).max(initial=0) >= FAR)
            what = f"{kind} from start" if far else kind
            panels.draw_position(
                axes, frame, value - value[0] if far else value, score, norm,
                f"{what} ({_short(unit)})" if unit else what,
            )  # fmt: skip
        elif kind == "score":
            panels.draw_score(
                axes, frames, explained=name_of(track, "explained"),
                against=name_of(track, "against"), overlay=overlay,
                resolution=float(value_of(track, "resolution_frames", math.inf)),
            )  # fmt: skip
        elif kind == "timeline":
            panels.draw_timeline(axes, timeline, classes)
        else:
            panels.draw_statistic(axes, kind, windows, overlay=overlay)
        for change in changes:
            panels.frame_line(
                axes, change, color=INK, linewidth=0.7, linestyle=(0, (2, 1.5)), zorder=3.5
            )
        axes.yaxis.set_label_coords(-13.0 / _TIME_WIDTH, 0.5)
        axes.xaxis.set_visible(False)
        below.append(at + share * scale)
        at += share * scale + _TIME_GAP
    _time_axes(figure, every, below, ends, frame_interval_s)
    if len(windows) and overlay:
        words = "dots: window's\nmean, own scale"
        say(figure, _TIME_LEFT + _TIME_WIDTH + 5.5, at - 1.2, words, linespacing=1.15)


def _time_axes(
    figure: Figure,
    stack: list[Axes],
    below_mm: list[float],
    ends: tuple[float, float],
    frame_interval_s: float | None,
) -> None:
    """Mark the same frames below all panels, with numbers below the last, seconds above the first.

    The marks of all are one line: those of an axis, two texts and three lines each, take longer
    than what the panels show.
    """
    ticks, written = round_ticks(*ends, 6, integer=True)
    places = np.interp(ticks, ends, (_TIME_LEFT, _TIME_LEFT + _TIME_WIDTH))
    upper = below_mm[:-1]
    tick_marks(figure, np.tile(places, len(upper)), np.repeat(upper, len(places)))
    first, last = stack[0], stack[-1]
    last.xaxis.set_visible(True)
    last.xaxis.set_ticks(ticks, written)
    last.set_xlabel("frame")
    if not frame_interval_s:
        return
    span = ends[0] * frame_interval_s, ends[1] * frame_interval_s
    seconds, written = round_ticks(*span, 5)
    first.xaxis.set_visible(True)
    first.xaxis.tick_top()
    first.tick_params("x", pad=1)
    first.spines["top"].set_visible(True)
    first.xaxis.set_ticks(np.interp(seconds, span, ends), written)
    first.annotate(
        "time (s)", (1.08, 1), (0, 5), xycoords="axes fraction", textcoords="offset points"
    )


def _probability(track: pd.Series[Any], name: str) -> float:
    return float(value_of(track, f"p_{name}", math.nan))


def _short(unit: str) -> str:
    return "px" if unit == "pixel" else readable(unit)
