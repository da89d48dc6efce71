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
    """Draw some samples, a row each: frames above, their masks below; all on one scale."""
    from matplotlib.figure import Figure

    count = min(len(w), MOST_SAMPLES)
    shown = np.unique(np.linspace(0, w.shape[1] - 1, MOST_FRAMES).round().astype(int))
    low, high = np.percentile(w[:count], (1, 99))
    height, width = w.shape[2:]
    figure = Figure(
        figsize=(1.2 * len(shown), 2 * 1.2 * count * height / width), layout="constrained"
    )
    axes = figure.subplots(2 * count, len(shown), squeeze=False)
    for row in range(count):
        for column, frame in enumerate(shown):
            top, below = axes[2 * row, column], axes[2 * row + 1, column]
            top.imshow(w[row, frame], cmap="gray", vmin=low, vmax=max(high, low + 1e-9))
            below.imshow(masks[row, frame], cmap="magma", vmin=0, vmax=1)
            for axis in (top, below):
                axis.set_xticks([])
                axis.set_yticks([])
            if row == 0:
                top.set_title(f"frame {frame + 1}")
        axes[2 * row, 0].set_ylabel(f"W {row + 1}")
        axes[2 * row + 1, 0].set_ylabel("M")
    return figure
