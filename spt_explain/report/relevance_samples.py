"""Generated samples: their files, and a sheet that shows some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.report.relevance_maps import MapUnits, map_files

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

MOST_SAMPLES, MOST_FRAMES = 8, 6
"""Of the sheet."""
_ACROSS = 12
"""Frames beside each other on it."""
_WIDTH_MM, _FRAME_MM, _MOST_MM = 160.0, 18.0, 300.0
"""Width of all frames and of one at most, and height of all."""


def write_samples(
    folder: Path, w: NDArray[np.float32], masks: NDArray[np.float32], units: MapUnits
) -> list[str]:
    """Write ``sample-0001.tif`` and ``mask-0001.tif``, float32, one of each for each clip.

    Parameters
    ----------
    folder : pathlib.Path
    w, masks : numpy.ndarray, shape (n, frames, height, width)
    units : MapUnits

    Returns
    -------
    list of str
        The names.
    """
    names = []
    for number, (clip, mask) in enumerate(zip(w, masks, strict=True), 1):
        pair = (f"sample-{number:04d}", f"mask-{number:04d}")
        with map_files(folder, clip.shape, units, pair) as files:
            files[pair[0]][...] = clip
            files[pair[1]][...] = mask
        names += [f"{name}.tif" for name in pair]
    return names


def samples_figure(w: NDArray[np.float32], masks: NDArray[np.float32]) -> Figure:
    """Draw some samples: frames side by side, their masks below; all on one scale.

    Samples stand beside each other where they are short.
    """
    from spt_explain.report.style import new_figure, place_axes

    count = min(len(w), MOST_SAMPLES)
    shown = np.unique(np.linspace(0, w.shape[1] - 1, MOST_FRAMES).round().astype(int))
    beside = min(max(1, _ACROSS // len(shown)), count)
    blocks = -(-count // beside)
    height, width = w.shape[2:]
    gap = max(1, width // 16)
    low, high = np.percentile(w[:count], (1, 99))
    # Millimetres: of a row of frames, then of all that belongs to a sample, then of the sheet.
    long = min(_WIDTH_MM / beside, _FRAME_MM * len(shown))
    tall = min(long / len(shown) * height / width, _MOST_MM / (2 * blocks))
    long = tall * len(shown) * width / height
    across, down = long + 9.0, 2 * tall + 10.0
    sheet = (beside * across + 50.0, max(blocks * down + 6.0, 45.0))
    figure = new_figure(*sheet)
    middles = np.arange(len(shown)) * (width + gap) + (width - 1) / 2
    images = []
    for number in range(count):
        left = number % beside * across + 8.0
        top = number // beside * down + 3.0
        for movie, colours, limits, word, at in (
            (w, "gray", (low, max(high, low + 1e-9)), f"W {number + 1}", top),
            (masks, "magma", (0.0, 1.0), "M", top + tall + 1.0),
        ):
            axis = place_axes(figure, left, at, long, tall)
            image = axis.imshow(
                _side_by_side(movie[number, shown], gap),
                cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto",
            )  # fmt: skip
            axis.set_yticks([])
            axis.set_xticks(middles if word == "M" else [])
            axis.tick_params(length=0)
            for side in axis.spines.values():
                side.set_visible(False)
            axis.set_ylabel(word)
            images.append(image)
        axis.set_xticklabels([str(frame + 1) for frame in shown])
        if number >= count - beside:
            axis.set_xlabel("frame", labelpad=1)
    for image, label, left in (
        (images[0], "W, as the movies' pixels", sheet[0] - 44.0),
        (images[1], "M", sheet[0] - 20.0),
    ):
        bar = place_axes(figure, left, 4.0, 3.0, min(sheet[1] - 12.0, 60.0))
        figure.colorbar(image, cax=bar, label=label)
    return figure


def _side_by_side(frames: NDArray[np.float32], gap: int) -> NDArray[np.float32]:
    """Return frames in a row, with nothing between them."""
    apart = np.pad(frames, ((0, 0), (0, 0), (0, gap)), constant_values=np.nan)
    return np.asarray(np.concatenate(list(apart), axis=1)[:, :-gap], np.float32)
