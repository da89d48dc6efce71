"""What of a movie is cell and what background: one level of grey for all of its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.xddpm.scale import otsu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.float64]

SMOOTHING_PX = (0.0, 1.0, 2.0, 4.0)
"""Radii of the Gaussian that frames are smoothed with; the first that is enough is taken."""
SAMPLE_FRAMES = 8
"""Frames, spread over the movie, that the level is found from."""
CLEAR = 6.0
"""Cell and background are this many deviations of the noise apart, or frames are smoothed more."""
TWO_LEVELS = 0.7
"""Least share of the variance that two levels explain; of noise alone they explain 0.64."""
PEAK, FOOT = 8.0, 4.0
"""Small cells in a large frame stand out by so many deviations of the background, in their middle
and everywhere."""
LEAST_PX = 4.0
"""They cover so many pixels of a frame at least, on average, and `MOST_SHARE` of it at most."""
MOST_SHARE = 0.4
MOST_BRIGHT = 0.75
"""Where more of the frame and of its border is bright than this, dark cells are meant."""
_HOT = 12.0
_MOST_VALUES = 1_000_000
_RANGE = (0.01, 99.99)
_MOST_SMOOTHED = 1 / 16
"""Of a side of the frame."""


@dataclass(frozen=True)
class Foreground:
    """The levels of a movie, in grey values (of dark cells: turned over).

    Attributes
    ----------
    background, threshold : float
        Pixels above the latter, halfway from background to cell, belong to a cell.
    smoothing : float
        Radius of the Gaussian that frames are smoothed with before they are compared, in px.
    dark : bool
        Whether cells are darker than the background.
    """

    background: float
    threshold: float
    smoothing: float
    dark: bool = False

    def smooth(self, frame: Image) -> Image:
        """Return a frame, turned over if cells are dark, without pixel noise."""
        from scipy import ndimage

        image = np.negative(frame) if self.dark else frame
        if not self.smoothing:
            return image
        smoothed: Image = ndimage.gaussian_filter(image, self.smoothing, mode="reflect")
        return smoothed

    def cell(self, frame: Image) -> NDArray[np.bool_]:
        """Return which pixels belong to a cell."""
        return np.asarray(self.smooth(frame) > self.threshold)

    def fills(self, frames: Sequence[Image]) -> bool:
        """Return whether what would be cell is most of the frame and of its border."""
        cells = np.stack([self.cell(frame) for frame in frames])
        edges = (cells[:, 0], cells[:, -1], cells[:, :, 0], cells[:, :, -1])
        border = np.concatenate([edge.reshape(-1) for edge in edges])
        return bool(cells.mean() > MOST_BRIGHT and border.mean() > MOST_BRIGHT)

    def in_words(self) -> str:
        """Return it as words for people."""
        sign = -1 if self.dark else 1
        side = "below" if self.dark else "above"
        return (
            f"pixels {side} {sign * self.threshold:.4g} are cell (background "
            f"{sign * self.background:.4g}"
            + (f", smoothed over {self.smoothing:g} px)" if self.smoothing else ")")
        )


def find_foreground(
    frames: Sequence[Image], *, dark: bool = False, threshold: float | None = None
) -> Foreground | None:
    """Find the levels of a movie from some of its frames.

    Otsu's threshold divides the pixels of all frames; the level of either class is its median
    (of cells, where they are flat), and
    a pixel belongs to a cell from halfway between both on. Where the classes are nearer than the
    noise allows, or explain no more of the variance than they would of noise, groups of pixels
    that stand out from the background are taken (small cells in a large frame); where there are
    none, frames are smoothed more.

    Parameters
    ----------
    frames : sequence of numpy.ndarray, shape (height, width)
        Grey values.
    dark : bool
        Whether cells are darker than the background.
    threshold : float, optional
        Grey value that divides both, if it is known.

    Returns
    -------
    Foreground or None
        None where nothing stands out.
    """
    sign = -1.0 if dark else 1.0
    side = min(frames[0].shape)
    radii = [r for r in SMOOTHING_PX if r <= max(1.0, side * _MOST_SMOOTHED)]
    if threshold is not None:
        plain = Foreground(0.0, 0.0, 0.0, dark)
        values = np.stack([plain.smooth(frame) for frame in frames])
        below = values[values <= sign * threshold]
        if not below.size or below.size == values.size:
            return None
        return Foreground(float(np.median(below)), sign * threshold, 0.0, dark)
    noise = float(np.median([noise_of(frame) for frame in frames]))
    frames = [_without_hot_pixels(frame, noise) for frame in frames]
    for radius in radii:
        empty = Foreground(0.0, 0.0, radius, dark)
        smoothed = np.stack([empty.smooth(frame) for frame in frames])
        # of white noise after smoothing
        left = noise / (2 * math.sqrt(math.pi) * radius) if radius else noise
        levels = _two_levels(smoothed, left) or _sparse(smoothed, left)
        if levels is not None:
            low, high = levels
            return Foreground(low, (low + high) / 2, radius, dark)
    return None


def _two_levels(images: Image, noise: float) -> tuple[float, float] | None:
    values = images.reshape(-1)[:: max(1, images.size // _MOST_VALUES)]
    least, most = np.percentile(values, _RANGE)  # a hot pixel is no cell
    if least == most:
        return None
    level = otsu(np.clip(values, least, most))
    below = values <= level
    share = float(below.mean())
    if not 0 < share < 1:
        return None
    gap = float(values[~below].mean() - values[below].mean())
    explained = share * (1 - share) * gap**2 / float(values.var())
    low, high = float(np.median(values[below])), _plateau(images, images > level)
    return (low, high) if explained >= TWO_LEVELS and high - low >= CLEAR * noise else None


def _sparse(images: Image, noise: float) -> tuple[float, float] | None:
    from scipy import ndimage

    values = images.reshape(-1)[:: max(1, images.size // _MOST_VALUES)]
    low = float(np.median(values))
    under = values[values < low]
    deviation = max(1.4826 * float(np.median(low - under)) if under.size else 0.0, noise)
    foot = images > low + FOOT * deviation
    within = np.zeros((3, 3, 3), int)
    within[1] = 1  # not from frame to frame
    labels, count = ndimage.label(foot, within)
    if not count or not deviation:
        return None
    tops = ndimage.maximum(images, labels, np.arange(1, count + 1))
    kept = np.append(False, tops > low + PEAK * deviation)[labels]
    pixels = float(kept.sum()) / len(images)
    if not LEAST_PX <= pixels <= MOST_SHARE * images[0].size:
        return None
    high = _plateau(images, kept)
    # Halfway must be above the noise too: a large frame has many pixels.
    return (low, high) if high - low >= 2 * FOOT * deviation else None


def _without_hot_pixels(frame: Image, noise: float) -> Image:
    """Return a frame in which single pixels that differ much from all around them are mended."""
    from scipy import ndimage

    around = ndimage.median_filter(frame, 3, mode="reflect")
    return np.where(np.abs(frame - around) > _HOT * noise, around, frame) if noise else frame


def _plateau(images: Image, chosen: NDArray[np.bool_]) -> float:
    """Return the level of some pixels: the median of the flatter half, which leaves edges out."""
    down, across = (
        np.gradient(images, axis=(1, 2)) if min(images.shape[1:]) > 1 else (images * 0,) * 2
    )
    slope = np.hypot(down, across)[chosen]
    values = images[chosen]
    return float(np.median(values[slope <= np.median(slope)]))


def noise_of(frame: Image) -> float:
    """Return the standard deviation of the noise of a frame, whatever is in it.

    From a second difference along both axes, to which plane surfaces and straight edges along an
    axis add nothing (Immerkær 1996, doi:10.1006/cviu.1996.0060), by its median.
    """
    if min(frame.shape) < 3:
        return 0.0
    rows = frame[2:] - 2 * frame[1:-1] + frame[:-2]
    both = rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]
    return float(np.median(np.abs(both))) / 0.6745 / 6
