"""Figures of a relevance model: over the movie, over time, and how little is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.report.drawing import length_text, round_length
from spt_explain.report.placing import contrast, shades, stands_out_dark
from spt_explain.report.style import (
    ACCENT,
    FAINT,
    INK,
    OTHER_COLOURS,
    PAGE_MM,
    new_figure,
    place_axes,
    readable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from spt_explain.xddpm.sufficiency import Curve

    Picture = NDArray[np.uint8]

RELEVANCE_COLOURS = ("#FDD49E", "#F08C3C", "#C2410C", "#6B1F00")
"""From little to much relevance; laid over the greys of the movie, the more opaque the more."""
_FRAMES = 5
_MOST_DRAWN = 1200  # pixels of a frame's longer side in a figure
_LEAST_SCALE = 0.05


@dataclass(frozen=True)
class Shown:
    """A frame of the movie and the relevance of its pixels.

    Attributes
    ----------
    index : int
        From 0.
    image, relevance : numpy.ndarray, shape (height, width)
    """

    index: int
    image: NDArray[np.floating[Any]]
    relevance: NDArray[np.floating[Any]]


def frames_to_show(relevance: NDArray[np.floating[Any]], count: int = _FRAMES) -> list[int]:
    """Return frames, evenly spread, with the one of most relevance among them.

    Parameters
    ----------
    relevance : numpy.ndarray, shape (frames,)
        Mean of each frame.
    count : int
        How many.
    """
    chosen = np.unique(np.linspace(0, len(relevance) - 1, min(count, len(relevance))).round())
    frames = chosen.astype(int)
    best = int(np.argmax(relevance))
    if best not in frames:
        nearest = frames[np.argmin(np.abs(frames - best))]
        frames = np.sort(np.where(frames == nearest, best, frames))
    return [int(frame) for frame in frames]


def top_of(relevance: NDArray[np.floating[Any]]) -> float:
    """Return the relevance that has the strongest colour."""
    if not relevance.size:
        return 1.0
    return max(float(np.quantile(relevance, 0.999)), _LEAST_SCALE)


def painted(
    image: NDArray[Any],
    relevance: NDArray[np.floating[Any]],
    ends: tuple[float, float],
    *,
    top: float,
    dark: bool = False,
) -> Picture:
    """Return a frame in greys with its relevance over it.

    Parameters
    ----------
    image, relevance : numpy.ndarray, shape (height, width)
    ends : (float, float)
        Grey values of the movie that become white and dark.
    top : float
        Relevance of the strongest colour.
    dark : bool
        Whether what is seen is darker than the background.

    Returns
    -------
    numpy.ndarray of uint8, shape (height, width, 3)
    """
    grey = shades(image, ends, dark=dark).astype(np.float32)[..., None]
    share = np.clip(np.nan_to_num(np.asarray(relevance, np.float32)) / top, 0, 1)
    colour = 255 * _colours(share)
    opaque = (0.9 * share)[..., None]
    return np.asarray(np.round((1 - opaque) * grey + opaque * colour), np.uint8)


def overlay_figure(
    shown: Sequence[Shown],
    *,
    threshold: float,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    title: str = "",
) -> Figure:
    """Draw frames of the movie, and below each its relevance over it.

    Pixels within the outline are the smallest set that was sufficient on clips held out.
    """
    images = [_thin(one.image) for one in shown]
    maps = [_thin(one.relevance) for one in shown]
    values = np.concatenate([image.ravel() for image in images])
    dark = stands_out_dark(values)
    ends = contrast(values, dark=dark)
    top = top_of(np.concatenate([each.ravel() for each in maps]))
    gap, left, above, bar = 2.0, 3.0, 9.0, 16.0
    width = (PAGE_MM - left - bar - gap * (len(shown) - 1)) / max(len(shown), 3)
    height = width * images[0].shape[0] / images[0].shape[1]
    figure = new_figure(PAGE_MM, above + 2 * height + gap + 9)
    for column, (one, image, relevance) in enumerate(zip(shown, images, maps, strict=True)):
        at = left + column * (width + gap)
        upper = place_axes(figure, at, above, width, height)
        upper.imshow(shades(image, ends, dark=dark), cmap="gray", vmin=0, vmax=255)
        upper.set_title(_when(one.index, frame_interval_s), pad=2)
        lower = place_axes(figure, at, above + height + gap, width, height)
        lower.imshow(painted(image, relevance, ends, top=top, dark=dark))
        if relevance.min() < threshold <= relevance.max():
            lower.contour(relevance, levels=[threshold], colors=[INK], linewidths=0.5)
        for axes in (upper, lower):
            axes.set_axis_off()
        if column == 0:
            _scale_bar(lower, one.image.shape, images[0].shape, pixel_size_um)
    end = left + len(shown) * (width + gap)
    _colour_bar(place_axes(figure, end, above + height + gap, 2.5, height), top, threshold)
    if title:
        figure.text(left / PAGE_MM, 0.995, readable(title), ha="left", va="top", color=INK)
    return figure


def time_course_figure(
    table: pd.DataFrame, names: Sequence[str], *, threshold: float, per: str = "frame"
) -> Figure:
    """Draw the signal, as measured and as predicted, and below it the relevance of each frame.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each frame: ``frame``, perhaps ``time_s``, ``predicted_NAME`` and perhaps
        ``measured_NAME``, ``relevance``, ``share_relevant``, ``information_nats``.
    names : sequence of str
        Of the signal's values, or of its categories.
    threshold : float
        Least relevance that counts in ``share_relevant``.
    per : {"clip", "frame"}
        What has a value of its own.
    """
    names = [name for name in names if f"predicted_{name}" in table][:6]
    in_s = "time_s" in table and bool(table["time_s"].notna().all())
    x = table["time_s" if in_s else "frame"].to_numpy(float)
    figure = new_figure(120.0, 34.0 * 3)
    signal, share, nats = figure.subplots(3, 1, sharex=True)
    colours = [ACCENT, *OTHER_COLOURS]
    for name, colour in zip(names, colours, strict=False):
        told = table[f"predicted_{name}"].to_numpy(float)
        said = readable(name)
        if f"measured_{name}" in table:
            real = table[f"measured_{name}"].to_numpy(float)
            dots = "." if np.isfinite(real).sum() < 200 else ""
            signal.plot(x, real, dots + "-", color=FAINT, label=f"{said}, measured", zorder=1)
        signal.plot(x, told, color=colour, label=f"{said}, predicted")
    one = readable(names[0]) if len(names) == 1 else "signal"
    signal.set_ylabel(one if per == "frame" else f"{one}\n(of the clip around)")
    signal.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    share.plot(x, table["relevance"], color=ACCENT, label="mean relevance")
    reached = f"share of pixels ≥ {threshold:.2g}"
    share.plot(x, table["share_relevant"], color=OTHER_COLOURS[0], label=reached)
    share.set_ylim(bottom=0)
    share.set_ylabel("relevance")
    share.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    nats.plot(x, table["information_nats"], color=ACCENT)
    nats.set_ylim(bottom=0)
    nats.set_ylabel("information\n(nats a frame)")
    nats.set_xlabel("time (s)" if in_s else "frame")
    return figure


def sufficiency_figure(curve: Curve, movie: Curve | None = None, *, score: str = "R²") -> Figure:
    """Draw how much is predicted from the most relevant pixels alone."""
    from matplotlib.ticker import FuncFormatter

    figure = new_figure(85.0, 60.0)
    axes = figure.subplots()
    axes.axhline(curve.keep_r2 * curve.r2[-1], color=FAINT, linewidth=0.6, linestyle="--")
    axes.plot(curve.kept, curve.r2, "o-", color=ACCENT, label="clips held out")
    axes.plot(curve.share, curve.r2[curve.chosen], "o", color=INK, markersize=5, zorder=3)
    axes.annotate(
        f"{100 * curve.share:.3g} % of the pixels\n(relevance ≥ {curve.threshold:.2g})",
        (curve.share, curve.r2[curve.chosen]), (6, -14), textcoords="offset points", va="top",
    )  # fmt: skip
    if movie is not None:
        axes.plot(movie.kept, movie.r2, "s-", color=OTHER_COLOURS[0], label="this movie")
        axes.legend(loc="lower right")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    low = min(*curve.r2, *(movie.r2 if movie is not None else ()), 0.0)
    axes.set_ylim(max(low, -1.0) - 0.05, 1.05)
    axes.set_xlabel("most relevant pixels kept (%)")
    axes.set_ylabel(f"{score} of what is predicted")
    return figure


def _colours(share: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    from matplotlib.colors import LinearSegmentedColormap

    table = LinearSegmentedColormap.from_list("relevance", RELEVANCE_COLOURS)
    return np.asarray(table(np.asarray(share))[..., :3], np.float32)


def _colour_bar(axes: Axes, top: float, threshold: float) -> None:
    steps = np.linspace(top, 0, 128, dtype=np.float32)[:, None]
    empty = np.zeros_like(steps)
    axes.imshow(painted(empty, steps, (0.0, 1.0), top=top), extent=(0, 1, 0, top), aspect="auto")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    if threshold <= top:
        axes.axhline(threshold, color=INK, linewidth=0.5)
    axes.set_ylabel("relevance")


def _scale_bar(
    axes: Axes, shape: tuple[int, ...], drawn: tuple[int, ...], pixel_size_um: float | None
) -> None:
    pixel, unit = (pixel_size_um, "µm") if pixel_size_um else (1.0, "pixel")
    length = round_length(0.3 * shape[1] * pixel)
    end = length / pixel * drawn[1] / shape[1]
    below = -0.06
    axes.plot(
        [0, end / drawn[1]], [below, below], color=INK, linewidth=2, transform=axes.transAxes,
        clip_on=False, solid_capstyle="butt",
    )  # fmt: skip
    axes.text(
        end / drawn[1] + 0.04, below, length_text(length, unit), va="center",
        transform=axes.transAxes,
    )  # fmt: skip


def _when(index: int, interval_s: float | None) -> str:
    return f"frame {index:,}" if not interval_s else f"{index * interval_s:.4g} s"


def _thin(image: NDArray[Any]) -> NDArray[Any]:
    step = max(1, -(-max(image.shape) // _MOST_DRAWN))
    return np.asarray(image[::step, ::step])
