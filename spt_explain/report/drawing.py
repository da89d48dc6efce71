"""Pieces that several pictures of tracks share: coloured paths, scale bars, words that fit."""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.style import (
    DOTS_PER_INCH,
    FONT_POINTS,
    INK,
    NEUTRAL,
    centred,
    signed_colours,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.ticker import Formatter
    from matplotlib.transforms import Transform

    Floats = npt.NDArray[np.float64]

WIDTHS_POINTS = (0.7, 2.0)
"""Line width at the most negative and at the most positive score: read without colours, too."""
DOTS_UP_TO = 60
"""Paths of no more points show each of them."""
FULL_WIDTH_UP_TO = 60
"""Paths of more points are drawn finer."""
RASTER_FROM = 5000
"""Paths of more points are pixels within an SVG or PDF."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def coloured_line(
    axes: Axes,
    x: Floats,
    y: Floats,
    score: Floats | None,
    norm: Normalize | None = None,
    *,
    widths: tuple[float, float] = WIDTHS_POINTS,
    dots: bool = True,
) -> LineCollection:
    """Draw a line whose colour and width follow a score; the strongest scores lie on top.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Its limits are left alone.
    x, y : numpy.ndarray, shape (n,)
        The line's points.
    score : numpy.ndarray, shape (n,), or None
        A score for each point; a piece between two points has their mean. Pieces without a score,
        and all of them for None, are of the neutral colour.
    norm : matplotlib.colors.Normalize, optional
        From score to colour; `centred` on the score by default.
    widths : (float, float)
        Line widths in points at the two ends of the scale.
    dots : bool
        Whether points of short paths are marked.
    """
    from matplotlib.collections import LineCollection

    finer = min(1.0, max(0.45, (FULL_WIDTH_UP_TO / max(len(x), 1)) ** 0.3))
    widths = widths[0] * finer, widths[1] * finer
    points = np.column_stack([x, y])
    pieces: Any = np.stack([points[:-1], points[1:]], axis=1)
    middle = 0.5 * (widths[0] + widths[1])
    common: Any = {"capstyle": "round", "rasterized": len(x) > RASTER_FROM, "zorder": 2.5}
    if score is None:
        lines = LineCollection(pieces, colors=NEUTRAL, linewidths=0.7 * middle, **common)
    else:
        norm = norm or centred(score)
        value = 0.5 * (score[:-1] + score[1:])
        order = np.argsort(np.abs(np.nan_to_num(value)), kind="stable")
        value, pieces = value[order], pieces[order]
        colours = colours_of(value, norm)
        share = np.nan_to_num(np.asarray(norm(value), dtype=np.float64), nan=0.5)
        width = widths[0] + (widths[1] - widths[0]) * np.clip(share, 0, 1)
        lines = LineCollection(pieces, colors=colours, linewidths=width, **common)
    axes.add_collection(lines, autolim=False)
    if dots and len(x) <= DOTS_UP_TO:
        colour: Any = NEUTRAL if score is None else colours_of(score, norm or centred(score))
        axes.scatter(x, y, s=(2.2 * middle) ** 2, c=colour, linewidths=0, zorder=2.6)
    return lines


def colours_of(score: Floats, norm: Normalize) -> Floats:
    """Return the colour of each score, (n, 4); the neutral one where there is no score."""
    from matplotlib.colors import to_rgba

    value = np.asarray(score, dtype=np.float64)
    missing = ~np.isfinite(value)
    colours = np.array(signed_colours()(norm(np.where(missing, 0.0, value))))
    colours[missing] = to_rgba(NEUTRAL)
    return colours


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`."""
    if not (math.isfinite(most) and most > 0):
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    if not power:
        return most
    return next((f * power for f in (5.0, 2.0, 1.0) if f * power <= most * (1 + 1e-9)), power)


def length_text(length: float, unit: str) -> str:
    """Return a round length as people write it: ``"200 nm"`` for 0.2 µm."""
    if unit in ("µm", "um", "μm"):
        for factor, name in ((1e-3, "mm"), (1.0, "µm"), (1e3, "nm")):
            if length * factor >= 1 - 1e-9:
                return f"{plain(length * factor)}\u2009{name}"
        return f"{plain(length * 1e3)}\u2009nm"
    if unit in ("pixel", "px"):
        return f"{plain(length)}\u2009px"
    return f"{plain(length)}\u2009{unit}" if unit else f"{plain(length)} (no unit)"


def plain(value: float) -> str:
    """Return a number as people write it: 0.002, 1,000, 3×10⁻⁵."""
    if not math.isfinite(value):
        return "—"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:,.6g}".replace("-", "−")
    if "e" not in (short := f"{value:.3g}"):
        return short.replace("-", "−")
    return power_of_ten(value)


def power_of_ten(value: float) -> str:
    """Return a finite number with its power of ten: 10⁴, 3×10⁻⁵."""
    digits, _, power = f"{value:.2e}".partition("e")
    digits = f"{float(digits):g}"
    raised = f"10{str(int(power)).translate(_SUPERSCRIPT)}"
    return raised if digits == "1" else f"{digits}×{raised}".replace("-", "−")


def even_numbers() -> Formatter:
    """Return a formatter that writes all ticks of an axis with the same decimals, in full."""
    from matplotlib.ticker import Formatter

    class Even(Formatter):
        def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002
            return plain(x)

        def format_ticks(self, values: Any) -> list[str]:
            return _same_decimals(np.asarray(values, dtype=np.float64))

    return Even()


def _same_decimals(values: Floats) -> list[str]:
    steps = np.abs(np.diff(values))
    step = float(steps.min()) if len(steps) else float(np.abs(values).max(initial=0))
    if not (step >= 1e-4 and np.abs(values).max(initial=0) < 1e5):
        return [plain(value) for value in values]
    scaled = step * 10.0 ** np.arange(7)
    whole = np.isclose(scaled, np.round(scaled), rtol=1e-6)
    digits = int(whole.argmax()) if whole.any() else 6
    return [f"{value + 0.0:,.{digits}f}".replace("-", "−") for value in np.round(values, digits)]


def scale_bar(
    figure: Figure, left_mm: float, y_mm: float, mm_per_unit: float, most_mm: float, unit: str
) -> float:
    """Draw a bar of a round length and its length in words to the right of it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    left_mm, y_mm : float
        Its left end, from the figure's upper left corner.
    mm_per_unit : float
        Scale of the picture.
    most_mm : float
        Longest bar.
    unit : str
        Unit of length.

    Returns
    -------
    float
        The bar's length in `unit`.
    """
    from matplotlib.lines import Line2D

    length = round_length(most_mm / mm_per_unit)
    drawn = length * mm_per_unit
    width, height = figure.get_size_inches() * 25.4
    y = 1 - y_mm / height
    figure.add_artist(
        Line2D(
            [left_mm / width, (left_mm + drawn) / width],
            [y, y],
            color=INK,
            linewidth=2,
            solid_capstyle="butt",
        )
    )
    say(figure, left_mm + drawn + 1.2, y_mm, length_text(length, unit), va="center")
    return length


def say(figure: Figure, left_mm: float, top_mm: float, text: str, **look: Any) -> None:
    """Write in a figure, at a place measured from its upper left corner."""
    width, height = figure.get_size_inches() * 25.4
    style: dict[str, Any] = {"va": "top", "ha": "left", "fontsize": FONT_POINTS} | look
    figure.text(left_mm / width, 1 - top_mm / height, text, **style)


def page_mm(figure: Figure) -> Transform:
    """Return the transform of places in mm from a figure's upper left corner."""
    from matplotlib.transforms import Affine2D

    width, height = figure.get_size_inches() * 25.4
    return Affine2D().scale(1 / width, -1 / height).translate(0, 1) + figure.transFigure


def tick_marks(figure: Figure, x_mm: Any, y_mm: Any, *, points: float = 3.0) -> None:
    """Draw tick marks that point downwards from places in a figure, all as one line's markers."""
    from matplotlib.lines import Line2D
    from matplotlib.markers import TICKDOWN, MarkerStyle

    figure.add_artist(
        Line2D(
            x_mm, y_mm, linestyle="none", marker=MarkerStyle(TICKDOWN), markersize=points,
            color=INK, markeredgewidth=0.6, transform=page_mm(figure),
        )
    )  # fmt: skip


def round_ticks(
    low: float, high: float, most: int, *, integer: bool = False
) -> tuple[Floats, list[str]]:
    """Return up to `most` + 1 round numbers on an axis of these ends, and how they are written."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(most, integer=integer, steps=[1, 2, 5, 10])
    ticks = np.asarray(locator.tick_values(low, high), dtype=np.float64)
    room = 1e-9 * (high - low)
    ticks = np.clip(ticks[(ticks >= low - room) & (ticks <= high + room)], low, high)
    return ticks, even_numbers().format_ticks(ticks.tolist())


def text_width_mm(text: str, *, points: float = FONT_POINTS, bold: bool = False) -> float:
    """Return how wide a text becomes."""
    return _text_width_mm(text.replace(r"\$", "S"), points, bold)


@lru_cache(maxsize=4096)
def _text_width_mm(text: str, points: float, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=points, weight="bold" if bold else "normal")
    width, _, _ = _renderer().get_text_width_height_descent(text, font, ismath=False)
    return float(width) / DOTS_PER_INCH * 25.4


@cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    made: Any = RendererAgg
    return made(1, 1, DOTS_PER_INCH)


def wrapped(
    text: str, width_mm: float, *, points: float = FONT_POINTS, bold: bool = False
) -> list[str]:
    """Break a text into lines no wider than that, between words."""
    whole = " ".join(text.split())
    if whole and text_width_mm(whole, points=points, bold=bold) <= width_mm:
        return [whole]
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width_mm(longer, points=points, bold=bold) <= width_mm:
            lines[-1] = longer
        else:
            lines.append(elided(word, width_mm, points=points, bold=bold))
    return lines


def elided(text: str, width_mm: float, *, points: float = FONT_POINTS, bold: bool = False) -> str:
    """Return a text with as much of its middle left out as needed to be no wider than that."""

    def fits(some: str) -> bool:
        return text_width_mm(some, points=points, bold=bold) <= width_mm

    if fits(text):
        return text
    short, long = 0, len(text)
    while long - short > 1:
        kept = (short + long) // 2
        short, long = (kept, long) if fits(_without_middle(text, kept)) else (short, kept)
    return _without_middle(text, short)


def _without_middle(text: str, kept: int) -> str:
    head = text[: (kept + 1) // 2].rstrip("\\")
    return f"{head}…{text[len(text) - kept // 2 :]}"


def limits(values: Any, *, around: float = 0.06) -> tuple[float, float]:
    """Return the ends of an axis that holds all values; never two equal ends.

    Parameters
    ----------
    values : array_like
        Those that are not finite are left out.
    around : float
        Room at both ends, as a share of the range.
    """
    known = np.asarray(values, dtype=np.float64).ravel()
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    size = max(abs(low), abs(high))
    if high / 2 - low / 2 <= 1e-9 * size:
        half = max(0.5, 1e-3 * size)
        return low - half, high + half
    room = around * high - around * low
    return low - room, high + room
