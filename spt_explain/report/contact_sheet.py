"""Small pictures of the most typical, doubtful and surprising tracks of each class on one page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import (
    coloured_line,
    elided,
    length_text,
    round_length,
    say,
    text_width_mm,
    wrapped,
)
from spt_explain.report.picks import WHY, class_names, pick_tracks
from spt_explain.report.style import (
    FAINT,
    INK,
    PAGE_MM,
    centred,
    colour_of,
    new_figure,
    place_axes,
    readable,
    signed_colours,
)
from spt_explain.report.track_words import percent, value_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Floats = npt.NDArray[np.float64]

__all__ = ["contact_sheet", "pick_tracks"]

HEADS: dict[str, tuple[str, str]] = {
    "typical": ("most typical", "highest probability"),
    "doubtful": ("most doubtful", "smallest lead over the runner-up"),
    "surprising": ("most surprising", "verdict at odds with α"),
}
EXPLAINED = (
    "Beneath each path: its scale, the particle's number and the probability of the class; then "
    "the track's length, the runner-up's probability, or α. Most surprising: the class is at least "
    "twice as rare among the tracks of that file most alike in length and in α (exponent of the "
    "mean squared displacement) as in the whole file; blank where there is none."
)

# All in mm, from the upper left corner.
_LEFT, _NAMES, _TOP, _BELOW, _NOTE = 4.0, 19.0, 13.5, 15.0, 3.9
_WORDS = 12.8  # beneath each picture
_GROUP_GAP, _GAP = 2.4, 1.0
_SMALL, _SMALLER = 7.0, 6.2  # points
_SMALLEST = 10.0
_HIGHEST = 236.0
"""A page; pictures become smaller to fit."""


def contact_sheet(
    tracks: pd.DataFrame,
    frames: pd.DataFrame,
    *,
    unit: str,
    picks: pd.DataFrame | None = None,
    n: int = 3,
) -> Figure:
    """Draw the paths of the tracks most worth looking at, a row a class.

    Each path has a scale bar of its own, and is coloured by score on a scale of its own (see
    `spt_explain.report.style.centred`); grey where the scores are not to be drawn.

    Parameters
    ----------
    tracks, frames : pandas.DataFrame
        The tables of the explained tracks.
    unit : str
        Unit of the positions.
    picks : pandas.DataFrame, optional
        What `pick_tracks` returned; by default it is called.
    n : int
        Tracks of each kind and class.

    Returns
    -------
    matplotlib.figure.Figure
        To be made and saved within `spt_explain.report.style.house_style`.
    """
    if picks is None:
        picks = pick_tracks(tracks, n)
    classes = [name for name in class_names(tracks) if (picks["class"] == name).any()]
    files = list(dict.fromkeys(picks["file"].astype(str)))
    letters = {file: _letter(k) for k, file in enumerate(files)} if len(files) > 1 else {}
    figure = new_figure(PAGE_MM, 100)
    notes = wrapped(EXPLAINED, PAGE_MM - 2 * _LEFT)
    listed = [f"{letter} = {readable(file)}" for file, letter in letters.items()]
    notes += wrapped(";  ".join(listed), PAGE_MM - 2 * _LEFT) if listed else []
    most = max(int(picks["place"].max()) if len(picks) else 1, 1)
    grid = _Grid.of(most, max(len(classes), 1), _BELOW + _NOTE * len(notes))
    figure.set_size_inches(PAGE_MM / 25.4, grid.height / 25.4)
    page = place_axes(figure, 0, 0, PAGE_MM, grid.height)
    page.set_xlim(0, PAGE_MM)
    page.set_ylim(grid.height, 0)
    page.set_axis_off()

    for why in WHY:
        head, words = HEADS[why]
        say(figure, grid.left(why), 3, head, fontweight="bold")
        say(figure, grid.left(why), 6.8, words, fontsize=_SMALL)
    paths, rows = _by_track(frames, picks), _rows(tracks, picks)
    for row, name in enumerate(classes):
        top = _TOP + row * grid.step
        count = int((tracks["class"] == name).sum())
        page.plot([_LEFT, PAGE_MM - _LEFT], [top, top], color="#DDDDDD", linewidth=0.5)
        _class_name(figure, page, top + 2.2, name, count, classes)
        for _, pick in picks[picks["class"] == name].iterrows():
            left = grid.left(str(pick["why"]), int(pick["place"]))
            path, track = paths.get(_key(pick)), rows.get(_key(pick), pick)
            _thumbnail(figure, page, (left, top + 1.6, grid.side), path, track, unit)
            width = grid.side + grid.gap - 0.4
            _caption(figure, (left, top + grid.side + 5.2, width), pick, track, letters)
    if not classes:
        say(figure, _LEFT, _TOP + 4, "No track was given a class.", color=FAINT)
    _colours(figure, grid.height - _NOTE * len(notes) - 12)
    for row, line in enumerate(notes):
        say(figure, _LEFT, grid.height - 2 - _NOTE * (len(notes) - row), line)
    return figure


@dataclass(frozen=True)
class _Grid:
    """Where the pictures are: `n` for each of three reasons, in rows; all in mm."""

    n: int
    side: float
    gap: float
    height: float

    @classmethod
    def of(cls, n: int, rows: int, below: float) -> _Grid:
        wide = (PAGE_MM - 2 * _LEFT - _NAMES - 2 * _GROUP_GAP - 3 * (n - 1) * _GAP) / (3 * n)
        high = (_HIGHEST - _TOP - below) / rows - _WORDS
        side = min(wide, max(high, _SMALLEST))
        return cls(n, side, _GAP + wide - side, _TOP + rows * (side + _WORDS) + below)

    @property
    def step(self) -> float:
        """Height of a row."""
        return self.side + _WORDS

    def left(self, why: str, place: int = 1) -> float:
        """Return where a picture begins."""
        before = WHY.index(why) * self.n + place - 1
        groups = WHY.index(why) * (_GROUP_GAP - _GAP)
        return _LEFT + _NAMES + before * (self.side + self.gap) + groups


def _by_track(frames: pd.DataFrame, picks: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    """Return the rows of each picked track, by file, particle and segment."""
    some = frames[frames["particle"].isin(picks["particle"].unique())]
    keys = ["file", "particle", "segment"]
    return {_plain_key(key): rows for key, rows in some.groupby(keys, sort=False, dropna=False)}


def _rows(tracks: pd.DataFrame, picks: pd.DataFrame) -> dict[tuple[Any, ...], pd.Series[Any]]:
    some = tracks[tracks["particle"].isin(picks["particle"].unique())]
    return {_key(track): track for _, track in some.iterrows()}


def _key(pick: pd.Series[Any]) -> tuple[Any, ...]:
    return _plain_key((pick["file"], pick["particle"], pick["segment"]))


def _plain_key(key: Any) -> tuple[Any, ...]:
    file, particle, segment = key
    return str(file), int(particle), int(segment)


def _thumbnail(
    figure: Figure,
    page: Axes,
    place: tuple[float, float, float],
    path: pd.DataFrame | None,
    track: pd.Series[Any],
    unit: str,
) -> None:
    """Draw a path into a square of the page, and its scale bar beneath."""
    left, top, side = place
    if path is None or not len(path):
        return
    x, y = (path[axis].to_numpy(np.float64) for axis in "xy")
    score = path["score"].to_numpy(np.float64)
    overlay = bool(value_of(track, "overlay", True)) and bool(np.isfinite(score).any())
    with np.errstate(over="ignore"):
        size = float(max(np.ptp(x), np.ptp(y)))
    scale = 0.92 * side / size if size > 0 and math.isfinite(size) else 0.0
    px = left + side / 2 + (x - (x.min() / 2 + x.max() / 2)) * scale
    py = top + side / 2 + (y - (y.min() / 2 + y.max() / 2)) * scale
    coloured_line(
        page, px, py, score if overlay else None, centred(score), widths=(0.5, 1.3), dots=False
    )
    page.plot(px[:1], py[:1], "o", markersize=2.4, markerfacecolor="white", markeredgecolor=INK,
              markeredgewidth=0.5, zorder=4)  # fmt: skip
    if not scale:
        return
    length = round_length(0.4 * side / scale)
    row = top + side + 2.0
    page.plot([left, left + length * scale], [row, row], color=INK, linewidth=1.4,
              solid_capstyle="butt")  # fmt: skip
    words = length_text(length, unit)
    say(figure, left + length * scale + 0.8, row, words, va="center", fontsize=_SMALL)


def _caption(
    figure: Figure,
    place: tuple[float, float, float],
    pick: pd.Series[Any],
    track: pd.Series[Any],
    letters: dict[str, str],
) -> None:
    left, top, width = place
    letter = letters.get(str(pick["file"]), "")
    segment = int(pick["segment"])
    number = f"{letter}{int(pick['particle'])}" + (f".{segment}" if segment else "")
    probability = float(pick["probability"])
    first = [
        f"{number} · {words}" for words in (percent(probability), f"{100 * probability:.0f} %")
    ]
    runner = readable(value_of(pick, "runner_up", ""))
    p = float(value_of(track, f"p_{runner}", math.nan))
    alpha = float(value_of(pick, "alpha_msd", math.nan))
    points = value_of(track, "n_points", None)
    second = [""] if points is None else [f"{int(points):,} points"]
    if pick["why"] == "doubtful" and runner and math.isfinite(p):
        second = [f"{runner} {percent(p)}", runner]
    elif pick["why"] == "surprising" and math.isfinite(alpha):
        second = [f"α {alpha:.2f}".replace("-", "−")]
    for row, choices in enumerate((first, second)):
        written, size = _fitting(choices, width)
        say(figure, left, top + 2.9 * row, written, fontsize=size)


def _fitting(choices: list[str], width: float) -> tuple[str, float]:
    """Return the first text that fits at one of two sizes, else the last one shortened."""
    for text in choices:
        for points in (_SMALL, _SMALLER):
            if text_width_mm(text, points=points) <= width:
                return text, points
    return elided(choices[-1], width, points=_SMALLER), _SMALLER


def _class_name(
    figure: Figure, page: Axes, top: float, name: str, count: int, classes: list[str]
) -> None:
    from matplotlib.patches import Rectangle

    page.add_patch(Rectangle((_LEFT, top), 2.2, 2.6, color=colour_of(name, classes), linewidth=0))
    written = elided(readable(name), _NAMES - 3.4)
    say(figure, _LEFT + 3, top - 0.1, written, fontweight="bold", fontsize=_SMALL + 0.5)
    tracks = f"{count:,} track{'' if count == 1 else 's'}"
    say(figure, _LEFT, top + 4, tracks, fontsize=_SMALL)


def _colours(figure: Figure, top: float) -> None:
    """Draw what the colours mean."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    before = "score, on a scale of each track's own: against the class"
    say(figure, _LEFT, top + 3.2, before, va="center")
    left = _LEFT + text_width_mm(before) + 2
    axes = place_axes(figure, left, top + 2.0, 34, 2.4)
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), signed_colours()), cax=axes, orientation="horizontal"
    )
    bar.outline.set_visible(False)
    axes.set_xticks([])
    say(figure, left + 35.5, top + 3.2, "for it", va="center")
    key = place_axes(figure, PAGE_MM - _LEFT - 11, top + 1.2, 4, 4)
    key.set_axis_off()
    key.plot([0], [0], "o", markersize=2.4, markerfacecolor="white", markeredgecolor=INK,
             markeredgewidth=0.5)  # fmt: skip
    say(figure, PAGE_MM - _LEFT, top + 3.2, "start", va="center", ha="right")


def _letter(k: int) -> str:
    """Return a letter, as columns of a spreadsheet are named: a, z, aa, ab."""
    text = ""
    k += 1
    while k:
        k, rest = divmod(k - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
