"""Small pictures of the most typical, doubtful and surprising tracks of each class on one page."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import option
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
PIECES = " Pieces (pc.) of split tracks are numbered as in the tables' column segment."

# All in mm, from the upper left corner.
_LEFT, _NAMES, _TOP, _BELOW, _NOTE = 4.0, 19.0, 13.5, 15.0, 3.9
_WORDS = 13.0  # beneath each picture, with two lines of caption
_CAPTION_LINE = 2.8
_GROUP_GAP, _GAP = 2.4, 1.0
_BESIDE = 1.4  # between captions
_SMALL, _SMALLER, _LEAST = 7.0, 6.2, 5.6  # points
_SMALLEST = 8.0
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
    pieces = set(_split(tracks))
    explained = EXPLAINED + (PIECES if _among(picks, pieces) else "")
    said = [explained] if classes else []
    notes = [
        line
        for text in (*said, _left_out(tracks, picks))
        for line in wrapped(text, PAGE_MM - 2 * _LEFT)
    ]
    listed = [f"{letter} = {readable(file)}" for file, letter in letters.items()]
    notes += wrapped(";  ".join(listed), PAGE_MM - 2 * _LEFT) if listed else []
    most = max(int(picks["place"].max()) if len(picks) else 1, 1)
    names = {_key(pick): _named(pick, pieces, letters) for _, pick in picks.iterrows()}
    lines = _caption_lines(picks, names, _Grid.width(most) + _GAP - _BESIDE)
    words = _WORDS + (lines - 2) * _CAPTION_LINE
    grid = _Grid.of(most, len(classes), words, _BELOW + _NOTE * len(notes))
    if not classes:
        grid = replace(grid, height=4 + _NOTE * len(notes))
    figure.set_size_inches(PAGE_MM / 25.4, grid.height / 25.4)
    page = place_axes(figure, 0, 0, PAGE_MM, grid.height)
    page.set_xlim(0, PAGE_MM)
    page.set_ylim(grid.height, 0)
    page.set_axis_off()

    for why in WHY if classes else ():
        head, meant = HEADS[why]
        say(figure, grid.left(why), 3, head, fontweight="bold")
        say(figure, grid.left(why), 6.8, meant, fontsize=_SMALL)
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
            width = grid.side + grid.gap - _BESIDE
            caption = _caption(names[_key(pick)], pick, track, apart=lines > 2)
            for k, choices in enumerate(caption):
                written, size = _fitting(choices, width)
                below = top + grid.side + 5.2 + _CAPTION_LINE * k
                say(figure, left, below, written, fontsize=size)
    if classes:
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
    words: float
    height: float

    @classmethod
    def of(cls, n: int, rows: int, words: float, below: float) -> _Grid:
        """Return the largest pictures that fit, `words` beneath each and `below` them all."""
        wide = cls.width(n)
        high = (_HIGHEST - _TOP - below) / max(rows, 1) - words
        side = min(wide, max(high, _SMALLEST))
        return cls(n, side, _GAP + wide - side, words, _TOP + rows * (side + words) + below)

    @staticmethod
    def width(n: int) -> float:
        """Return the width that each picture has for itself."""
        return (PAGE_MM - 2 * _LEFT - _NAMES - 2 * _GROUP_GAP - 3 * (n - 1) * _GAP) / (3 * n)

    @property
    def step(self) -> float:
        """Height of a row."""
        return self.side + self.words

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


def _split(tracks: pd.DataFrame) -> list[tuple[str, int]]:
    """Return file and particle of the tracks that were split into pieces."""
    several = tracks.duplicated(["file", "particle"], keep=False) | (tracks["segment"] != 0)
    some = tracks[several]
    return list(zip(some["file"].astype(str), some["particle"].astype(int), strict=True))


def _among(picks: pd.DataFrame, pieces: set[tuple[str, int]]) -> bool:
    return any(_key(pick)[:2] in pieces for _, pick in picks.iterrows())


def _left_out(tracks: pd.DataFrame, picks: pd.DataFrame) -> str:
    """Say which explained tracks no picture can be of, "" for none."""
    immobile = int((tracks["status"] == "immobile").sum()) if "status" in tracks else 0
    if immobile:
        first = "Not shown" if len(picks) else "No track to show"
        many = f"{immobile:,} flagged immobile"
        return f"{first}: {many}; {option('only', 'N')} draws the one of that number."
    return "" if len(picks) else "No track to show: none was given a class."


def _named(
    pick: pd.Series[Any], pieces: set[tuple[str, int]], letters: dict[str, str]
) -> tuple[str, str]:
    """Return a track's number, after the letter of its file, and its piece, "" if it is whole."""
    file, particle, segment = _key(pick)
    piece = f"piece {segment}" if (file, particle) in pieces else ""
    return f"{letters.get(file, '')}{particle}", piece


def _caption_lines(
    picks: pd.DataFrame, names: dict[tuple[Any, ...], tuple[str, str]], width: float
) -> int:
    """Return the lines of a caption: three where its name and a probability don't fit in one."""
    for _, pick in picks.iterrows():
        shortest = _with_probability(", ".join(filter(None, names[_key(pick)])), pick)[-1]
        if text_width_mm(shortest, points=_SMALLER) > width:
            return 3
    return 2


def _with_probability(name: str, pick: pd.Series[Any]) -> list[str]:
    probability = float(pick["probability"])
    short = "> 99 %" if probability >= 0.995 else percent(probability)
    return [" · ".join(filter(None, (name, words))) for words in (percent(probability), short)]


def _caption(
    name: tuple[str, str], pick: pd.Series[Any], track: pd.Series[Any], *, apart: bool
) -> list[list[str]]:
    """Return what each line of a caption says, the longest choice first."""
    runner = readable(value_of(pick, "runner_up", ""))
    p = float(value_of(track, f"p_{runner}", math.nan))
    alpha = float(value_of(pick, "alpha_msd", math.nan))
    points = value_of(track, "n_points", None)
    last = [""] if points is None else [f"{int(points):,} points"]
    if pick["why"] == "doubtful" and runner and math.isfinite(p):
        last = [f"{runner} {percent(p)}", runner]
    elif pick["why"] == "surprising" and math.isfinite(alpha):
        last = [f"α {alpha:.2f}".replace("-", "−")]
    number, piece = name
    if apart:
        second = _with_probability(piece, pick)
        if piece:
            second += _with_probability(piece.replace("piece", "pc."), pick)
        return [[number], second, last]
    return [_with_probability(", ".join(filter(None, name)), pick), last]


def _fitting(choices: list[str], width: float) -> tuple[str, float]:
    """Return the first text that fits at one of two sizes, else the last one, made to fit."""
    for text in choices:
        for points in (_SMALL, _SMALLER):
            if text_width_mm(text, points=points) <= width:
                return text, points
    return elided(choices[-1], width, points=_LEAST), _LEAST


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
