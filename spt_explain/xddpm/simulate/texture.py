"""Random textures that drift behind a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def drifting_texture(
    n: int,
    *,
    frames: int,
    size: int,
    grain_px: float,
    drift_px: tuple[float, float],
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return smooth Gaussian noise that moves at a constant velocity, by parts of a pixel.

    Parameters
    ----------
    n, frames, size : int
        Number of movies, their frames, and the side of a frame in px.
    grain_px : float
        Standard deviation of the Gaussian with which white noise is smoothed.
    drift_px : tuple of (float, float)
        Least and greatest distance between frames, in px; the direction is random.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray of float32, shape (n, frames, size, size)
        Mean 0 and standard deviation 1 over all movies, periodic over twice the frame's side.
    """
    import numpy as np
    from scipy import fft

    side = 2 * size
    row, column = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    blur = np.exp(-2 * (np.pi * grain_px) ** 2 * (row**2 + column**2)).astype(np.float32)
    blur[0, 0] = 0
    blur[side // 2], blur[:, -1] = 0, 0  # no side of its own to move to
    weight = np.full(blur.shape[1], 2.0)
    weight[0] = 1
    power = float((weight * blur.astype(float) ** 2).sum()) / side**2
    speed = rng.uniform(*drift_px, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    times = np.arange(frames)
    out = np.empty((n, frames, size, size), np.float32)
    for movie in range(n):
        spectrum = fft.rfft2(rng.standard_normal((side, side), np.float32)) * blur
        path = -2j * np.pi * speed[movie] * times[:, None, None]
        down = np.exp(path * np.sin(angle[movie]) * row).astype(np.complex64)
        across = np.exp(path * np.cos(angle[movie]) * column).astype(np.complex64)
        moved = spectrum * down * across
        out[movie] = fft.irfft2(moved, s=(side, side))[:, :size, :size]
    out /= np.sqrt(power)
    return out
