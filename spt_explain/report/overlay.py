"""Tracks over their movie: on its projection, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.movies.stack import Stack
from spt_explain.report.drawing import coloured_line, elided, say, scale_bar, text_width_mm, wrapped
from spt_explain.report.placing import (
    Placed,
    Scene,
    check_colour_by,
    class_colours,
    contrast,
    place,
    shades,
)
from spt_explain.report.style import (
    FAINT,
    INK,
    NEUTRAL,
    PAGE_MM,
    new_figure,
    place_axes,
    readable,
    signed_colours,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Image = npt.NDArray[np.float32]

MOST_PIXELS = 2000
"""Longest side of the projection in a figure; larger ones are drawn in blocks."""
HIGHEST_MM = 180.0

_LEFT = 4.0


def overlay_projection(
    stack_path: str | Path,
    frames: pd.DataFrame,
    tracks: pd.DataFrame,
    *,
    unit: str,
    classes: Sequence[str] = (),
    colour_by: str = "class",
    pixel_size_um: float | None = None,
    override_units: bool = False,
    dark: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Figure:
    """Draw all tracks on the maximum projection of their movie.

    The movie is read one frame at a time. It is drawn on white, bright spots dark, so that the
    classes and scores have the colours of every other figure.

    Parameters
    ----------
    stack_path : str or pathlib.Path
        The movie, any stack that `track_stack` reads.
    frames, tracks : pandas.DataFrame
        The tables of the explained tracks of this movie.
    unit : str
        Unit of the positions: ``"µm"`` or ``"pixel"``.
    classes : sequence of str
        All classes, in the order of the network.
    colour_by : {"class", "score"}
        What the colours mean; scores are on a scale of each track's own.
    pixel_size_um : float, optional
        Size of the movie's pixels in µm, where its metadata don't say.
    override_units : bool, optional
        Let it replace what the metadata say.
    dark : bool, optional
        Whether spots are darker than the background: takes the minimum over all frames.
    progress : callable, optional
        Called with the number of frames read and the number of frames.

    Returns
    -------
    matplotlib.figure.Figure
        To be made and saved within `spt_explain.report.style.house_style`.

    Raises
    ------
    SptError
        If the movie can't be read, its pixel size is needed and not known, or no track lies in it.
    """
    check_colour_by(colour_by)
    with Stack(stack_path) as stack:
        scene = place(
            stack, frames, tracks, unit=unit, pixel_size_um=pixel_size_um,
            override_units=override_units,
        )  # fmt: skip
        image = project(stack, dark=dark, progress=progress)
        kind = "Minimum" if dark else "Maximum"
        title = f"{kind} of {stack.n_frames:,} frames"
        size = stack.width, stack.height
    return _draw(Path(stack_path).name, title, image, size, scene, classes, colour_by, dark=dark)


def project(
    stack: Stack, *, dark: bool = False, progress: Callable[[int, int], None] | None = None
) -> Image:
    """Return the maximum (or minimum) over all frames, (height, width), a frame at a time."""
    best: Image | None = None
    reduce: Any = np.minimum if dark else np.maximum
    for index, frame in enumerate(stack):
        if best is None:
            best = frame.astype(np.float32)
        else:
            reduce(best, frame, out=best, casting="same_kind")
        if progress:
            progress(index + 1, stack.n_frames)
    assert best is not None
    return best


def in_blocks(image: Image, most: int = MOST_PIXELS, *, dark: bool = False) -> Image:
    """Return an image whose sides are no longer than `most`: the brightest value of each block."""
    height, width = image.shape
    block = -(-max(height, width) // most)
    if block <= 1:
        return image
    edge = [(0, -height % block), (0, -width % block)]
    padded = np.pad(image, edge, mode="edge")
    blocks = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)
    return np.asarray(blocks.min(axis=(1, 3)) if dark else blocks.max(axis=(1, 3)))


def _draw(
    name: str,
    title: str,
    image: Image,
    size: tuple[int, int],
    scene: Scene,
    classes: Sequence[str],
    colour_by: str,
    *,
    dark: bool,
) -> Figure:
    width, height = size
    room = PAGE_MM - 2 * _LEFT
    scale = min(room / width, HIGHEST_MM / height)
    figure = new_figure(PAGE_MM, 100)
    n = len(scene.paths)
    words = f"{title}, {n:,} track{'' if n == 1 else 's'} coloured by {colour_by}"
    notes = [line for note in scene.notes for line in wrapped(readable(note), room)]
    lines = _legend(scene.paths, classes) if colour_by == "class" else []
    top = 3 + 4.2 * (2 + len(notes)) + 1.5
    bottom = 7.0 + (4.4 * len(lines) if colour_by == "class" else 7.0) + 2
    figure.set_size_inches(PAGE_MM / 25.4, (top + scale * height + bottom) / 25.4)
    say(figure, _LEFT, 3, elided(readable(name), room, bold=True), fontweight="bold")
    for row, line in enumerate([words, *notes], start=1):
        say(figure, _LEFT, 3 + 4.2 * row, line)

    axes = place_axes(figure, (PAGE_MM - scale * width) / 2, top, scale * width, scale * height)
    small = in_blocks(image, dark=dark)
    grey = shades(small, contrast(small, dark=dark), dark=dark)
    axes.imshow(
        grey, cmap="gray", vmin=0, vmax=255, extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="nearest", aspect="auto",
    )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(True)
    axes.spines[:].set(color=FAINT, linewidth=0.5)
    _tracks(axes, scene.paths, classes, colour_by)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)

    below = top + scale * height + 4
    left = (PAGE_MM - scale * width) / 2
    scale_bar(figure, left, below, scale / scene.pixel, 0.25 * scale * width, scene.unit)
    shown = "dark spots as they are" if dark else "bright spots are shown dark"
    say(figure, PAGE_MM - left, below, shown, va="center", ha="right", color=FAINT)
    if colour_by == "class":
        _draw_legend(figure, below + 4.5, lines)
    else:
        _colour_bar(figure, below + 6)
    return figure


def _tracks(axes: Axes, paths: Sequence[Placed], classes: Sequence[str], colour_by: str) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    many = len(paths) > 2000
    width = 0.6 if many else 1.1
    lines: Any = [np.column_stack([path.x, path.y]) for path in paths]
    casing: Any = {"linewidths": width + 0.5, "colors": "white", "alpha": 0.6, "rasterized": many}
    axes.add_collection(LineCollection(lines, **casing), autolim=False)
    if colour_by == "score":
        for path in paths:
            coloured_line(axes, path.x, path.y, path.share, Normalize(-1, 1),
                          widths=(0.6, 1.5), dots=False)  # fmt: skip
    else:
        colours = {name: look[0] for name, look in class_colours(paths, classes).items()}
        axes.add_collection(
            LineCollection(
                lines, colors=[colours[path.name] for path in paths], linewidths=width,
                rasterized=many, capstyle="round", joinstyle="round",
            ),
            autolim=False,
        )  # fmt: skip


def _legend(paths: Sequence[Placed], classes: Sequence[str]) -> list[list[tuple[float, str, str]]]:
    """Return lines of (left end in mm, colour, words) that name the classes."""
    lines: list[list[tuple[float, str, str]]] = [[]]
    at: float = _LEFT
    for name, (colour, count) in class_colours(paths, classes).items():
        words = f"{elided(readable(name or 'no class'), 40)} ({count:,})"
        width = 6 + text_width_mm(words) + 4
        if lines[-1] and at + width > PAGE_MM - _LEFT:
            lines.append([])
            at = _LEFT
        lines[-1].append((at, colour, words))
        at += width
    return lines


def _draw_legend(
    figure: Figure, top: float, lines: Sequence[Sequence[tuple[float, str, str]]]
) -> None:
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches() * 25.4
    for row, line in enumerate(lines):
        y = top + 2 + 4.4 * row
        for left, colour, words in line:
            ends = [left / width, (left + 4.5) / width]
            figure.add_artist(Line2D(ends, [1 - y / height] * 2, color=colour, linewidth=2))
            say(figure, left + 6, y, words, va="center")


def _colour_bar(figure: Figure, top: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    row = top + 2
    before = "score, on a scale of each track's own: against its class"
    say(figure, _LEFT, row, before, va="center")
    left = _LEFT + text_width_mm(before) + 1.5
    axes = place_axes(figure, left, row - 1.2, 30, 2.4)
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), signed_colours()), cax=axes, orientation="horizontal"
    )
    bar.outline.set_visible(False)
    axes.set_xticks([])
    say(figure, left + 31.5, row, "for it", va="center")
    width, height = figure.get_size_inches() * 25.4
    ends = [(left + 48) / width, (left + 52) / width]
    figure.add_artist(Line2D(ends, [1 - row / height] * 2, color=NEUTRAL, linewidth=1))
    say(figure, left + 53.5, row, "no map", va="center", color=INK)
