"""What was found in a few frames of a movie, as a picture to choose parameters by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import elided, plain, say, scale_bar, wrapped
from spt_explain.report.placing import contrast
from spt_explain.report.style import INK, PAGE_MM, new_figure, place_axes, readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spt_explain.movies.look import LookedFrame

    Floats = npt.NDArray[np.float64]

RING_COLOUR = "#C8102E"
"""Of what was found: no class's colour, and far from the greys of a movie."""
WEAK = "#BBBBBB"
"""Of peaks that are too weak to be spots."""
BINS = 60
"""Of the histogram, at least."""
CLOSE_UP_DIAMETERS, CLOSE_UP_LEAST_PX = 14, 64
"""Side of a close-up, in diameters of a spot, and in px at least."""
CLOSE_UP_BELOW = 0.6
"""Frames are shown from near, too, where that shows less than this share of the longer side."""
SMALLEST_RING_MM = 1.1
"""Rings are not drawn smaller, in frames of very many pixels."""

# All in mm.
_EDGE, _GAP, _LINE, _HEAD, _BAR = 4.0, 4.0, 3.6, 4.2, 5.6
_TALLEST = 90.0
_MASSES, _AXIS_LEFT, _AXIS_BELOW = 24.0, 13.0, 11.5


def draw_preview(
    frames: Sequence[LookedFrame],
    *,
    name: str,
    said: Sequence[str],
    diameter: float,
    minmass: float,
    dark: bool,
    pixel_size_um: float | None = None,
) -> Figure:
    """Draw frames with the spots circled, close-ups of where they are densest, and their masses.

    Parameters
    ----------
    frames : sequence of LookedFrame
        One to three, of one movie.
    name : str
        The movie.
    said : sequence of str
        What to say of it, a line or more each: parameters, numbers.
    diameter : float
        Of the rings, in px.
    minmass : float
        Least mass of a spot.
    dark : bool
        Whether spots are darker than the background.
    pixel_size_um : float, optional
        For the scale bars, which are in pixels without it.

    Returns
    -------
    matplotlib.figure.Figure
        To be made and saved within `spt_explain.report.style.house_style`.
    """
    height, width = frames[0].image.shape
    ends = contrast(np.stack([frame.image for frame in frames]), dark=dark)
    column = (PAGE_MM - 2 * _EDGE - (len(frames) - 1) * _GAP) / max(len(frames), 2)
    scale = min(column / width, _TALLEST / height)
    side = close_up_side(height, width, diameter)
    near = min(column, _TALLEST) if side else 0.0

    title = elided(readable(name), PAGE_MM - 2 * _EDGE, bold=True)
    lines = [
        part for line in said for part in wrapped(readable(line), PAGE_MM - 2 * _EDGE)
    ]  # fmt: skip
    top = _EDGE + _LINE * (1 + len(lines)) + 1.5
    pictures = top + _HEAD
    below = pictures + scale * height + _BAR
    masses = below + (near + _BAR if side else 0.0)
    some = np.concatenate([frame.masses for frame in frames])
    some = some[np.isfinite(some) & (some > 0)]
    whole = masses + (_MASSES + _AXIS_BELOW if len(some) else 0.0)

    figure = new_figure(PAGE_MM, whole)
    say(figure, _EDGE, _EDGE - 1, title, fontweight="bold")
    for row, line in enumerate(lines):
        say(figure, _EDGE, _EDGE - 1 + _LINE * (row + 1), line)
    for k, frame in enumerate(frames):
        left = _EDGE + k * (column + _GAP)
        count = len(frame.spots)
        head = f"frame {frame.index:,} ({frame.role}): {count:,} spot{'' if count == 1 else 's'}"
        say(figure, left, top, elided(head, column))
        axes = _picture(figure, (left, pictures, scale * width, scale * height), frame, ends, dark)
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
        _rings(axes, frame.spots, max(diameter, SMALLEST_RING_MM / scale), 0.5)
        if not side:
            continue
        x, y = densest_place(frame.spots, (height, width), side)
        _outline(axes, x, y, side)
        axes = _picture(figure, (left, below, near, near), frame, ends, dark)
        axes.set_xlim(x - 0.5, x + side - 0.5)
        axes.set_ylim(y + side - 0.5, y - 0.5)
        _rings(axes, frame.spots, diameter, 0.8)
    unit, pixel = ("px", 1.0) if pixel_size_um is None else ("µm", pixel_size_um)
    scale_bar(figure, _EDGE, below - _BAR / 2, scale / pixel, 0.3 * scale * width, unit)
    if side:
        scale_bar(figure, _EDGE, masses - _BAR / 2, near / side / pixel, 0.3 * near, unit)
    if len(some):
        place = (_EDGE + _AXIS_LEFT, masses + 1, PAGE_MM - 2 * _EDGE - _AXIS_LEFT - 2, _MASSES - 1)
        _histogram(place_axes(figure, *place), some, minmass)
    return figure


def close_up_side(height: int, width: int, diameter: float) -> int:
    """Return the side of close-ups in px; 0 where the whole frame shows enough."""
    side = max(CLOSE_UP_LEAST_PX, math.ceil(CLOSE_UP_DIAMETERS * diameter))
    return side if side < CLOSE_UP_BELOW * max(height, width) and side <= min(height, width) else 0


def densest_place(spots: Floats, shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Return left and upper edge in px of a square that holds as many spots as possible.

    It is sought about each spot, and lies within the frame; in the middle where there are none.
    """
    from scipy.spatial import KDTree

    height, width = shape
    middle = np.array([width / 2, height / 2])
    if len(spots):
        tree = KDTree(spots)
        near = tree.query_ball_point(spots, side / 2, p=math.inf, return_length=True)
        middle = spots[int(np.argmax(near))]
    x, y = (np.clip(np.round(middle - side / 2), 0, [width - side, height - side])).astype(int)
    return int(x), int(y)


def _picture(
    figure: Figure,
    place: tuple[float, float, float, float],
    frame: LookedFrame,
    ends: tuple[float, float],
    dark: bool,
) -> Axes:
    axes = place_axes(figure, *place)
    # spots dark on white, as everywhere else: it prints, and rings are seen on it
    axes.imshow(
        frame.image, cmap="gray" if dark else "gray_r", vmin=ends[0], vmax=ends[1],
        interpolation="antialiased", aspect="auto",
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#BBBBBB")
    return axes


def _rings(axes: Axes, spots: Floats, diameter: float, line_points: float) -> None:
    from matplotlib.collections import EllipseCollection

    size = np.full(len(spots), diameter)
    axes.add_collection(
        EllipseCollection(
            size, size, np.zeros(len(spots)), units="xy", offsets=spots.reshape(-1, 2),
            offset_transform=axes.transData, facecolors="none", edgecolors=RING_COLOUR,
            linewidths=line_points,
        ),
        autolim=False,
    )  # fmt: skip


def _outline(axes: Axes, x: int, y: int, side: int) -> None:
    from matplotlib.patches import Rectangle

    square = Rectangle((x - 0.5, y - 0.5), side, side, fill=False, edgecolor=INK, linewidth=0.6)
    axes.add_patch(square)


def _edges(low: float, high: float, minmass: float) -> Floats:
    """Return the edges of bins that are even in the logarithm; one edge is the least mass."""
    first, last = math.log10(low), math.log10(high)
    step = max((last - first) / BINS, 1e-3)
    start = math.log10(minmass) if minmass > 0 else first
    before, after = math.ceil((start - first) / step) + 1, math.ceil((last - start) / step) + 1
    return np.asarray(10 ** (start + step * np.arange(-before, after + 1)), dtype=np.float64)


def _histogram(axes: Axes, masses: Floats, minmass: float) -> None:
    """Draw the masses of all peaks, and the least that a spot has."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    low, high = float(masses.min()), float(masses.max())
    if minmass > 0:
        low, high = min(low, minmass), max(high, minmass)
    kept = masses >= minmass
    edges: Any = _edges(low, high, minmass)
    axes.hist([masses[~kept], masses[kept]], edges, stacked=True, color=[WEAK, RING_COLOUR])
    axes.set_xscale("log")
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(bottom=0.7)
    axes.set_xlim(edges[0], edges[-1])
    if minmass > 0:
        axes.axvline(minmass, color=INK, linewidth=1)
        right = math.log10(minmass / low) > 0.6 * math.log10(high / low)
        axes.annotate(
            f"minmass {plain(float(f'{minmass:.4g}'))}", (minmass, 0.97),
            xycoords=("data", "axes fraction"), xytext=(-4 if right else 4, 0),
            textcoords="offset points", ha="right" if right else "left", va="top",
        )  # fmt: skip
    fine = edges[-1] < 100 * edges[0]
    for axis, subs in ((axes.xaxis, (1.0, 2.0, 5.0) if fine else (1.0,)), (axes.yaxis, (1.0,))):
        axis.set_major_locator(LogLocator(subs=subs, numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: plain(float(f"{value:.6g}"))))
    axes.minorticks_off()
    axes.set_xlabel(
        "mass of a peak in these frames (grey values above background, summed); coloured: spots"
    )
    axes.set_ylabel("peaks")
