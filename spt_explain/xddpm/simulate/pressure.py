"""Movies of a pressure field around a body; the force on the body is the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.xddpm.simulate.cells import Made
from spt_explain.xddpm.simulate.texture import drifting_texture

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from spt_explain.xddpm.simulate.settings import Pressure

    Numbers = npt.NDArray[np.float64]

_AT_ONCE = 64


def make_pressure(
    settings: Pressure,
    n: int,
    *,
    frames: int,
    size: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Simulate movies of a body that moves and turns in a fluctuating pressure.

    The pressure is a smooth random field that drifts (no flow is computed), 0 within the body.
    Signals ``force-x`` and ``force-y``, one per frame, as in `force`.

    Parameters
    ----------
    settings : Pressure
        What is set.
    n, frames, size : int
        Number of movies, their frames, and the side of a frame in px.
    rng : numpy.random.Generator
        Source of all randomness.
    progress : callable, optional
        Called with movies done and their number.

    Returns
    -------
    Made
    """
    import numpy as np

    clips = drifting_texture(
        n,
        frames=frames,
        size=size,
        grain_px=settings.texture_px,
        drift_px=settings.drift_px,
        rng=rng,
    )
    radius, root = rng.uniform(*settings.radius, n) * size, rng.uniform(*settings.aspect, n) ** 0.5
    half_axes = np.stack([radius * root, radius / root], axis=-1)
    along = np.linspace(-0.5, 0.5, frames)
    way = rng.uniform(*settings.travel, n) * size
    course = rng.uniform(0, 2 * np.pi, n)
    path = along[:, None] * (way[:, None] * np.stack([np.sin(course), np.cos(course)], -1))[:, None]
    middle = (size - 1) / 2 + path + rng.uniform(-1, 1, (n, 1, 2)) * 0.05 * size
    turn = np.deg2rad(rng.uniform(*settings.turn_deg, n)) * rng.choice([-1, 1], n)
    tilt = rng.uniform(0, np.pi, (n, 1)) + turn[:, None] * along
    truth = np.empty(clips.shape, np.bool_)
    pull = np.empty((2, n, frames), np.float32)
    for begin in range(0, n, _AT_ONCE):
        at = slice(begin, min(begin + _AT_ONCE, n))
        body = ellipse(middle[at], half_axes[at, None], tilt[at], size, settings.edge_px)
        clips[at] *= 1 - body
        pull[:, at], slope = force(clips[at], body)
        truth[at] = slope > 0
        if progress is not None:
            progress(at.stop, n)
    if settings.noise:
        for clip in clips:  # one movie at a time: memory
            clip += settings.noise * rng.standard_normal(clip.shape, np.float32)
    signals = {"force-x": pull[0], "force-y": pull[1]}
    return Made(clips, signals, dict.fromkeys(signals, truth))


def ellipse(
    middle: Numbers, half_axes: Numbers, tilt: Numbers, size: int, edge_px: float
) -> npt.NDArray[np.float32]:
    """Return χ of elliptic bodies: 1 inside, 0 outside, exactly so beyond half an edge.

    Parameters
    ----------
    middle : numpy.ndarray, shape (..., 2)
        Row and column in px.
    half_axes : numpy.ndarray, shape (..., 2)
        In px.
    tilt : numpy.ndarray, shape (...)
        Direction of the first axis in radians, from the rows' direction to the columns'.
    size : int
        Side of the frame in px.
    edge_px : float
        Width over which χ goes from 0 to 1.

    Returns
    -------
    numpy.ndarray of float32, shape (..., size, size)
    """
    import numpy as np

    dy = np.arange(size)[:, None] - middle[..., 0, None, None]
    dx = np.arange(size) - middle[..., 1, None, None]
    cos, sin = np.cos(tilt)[..., None, None], np.sin(tilt)[..., None, None]
    a, b = half_axes[..., 0, None, None], half_axes[..., 1, None, None]
    u, v = (dx * cos + dy * sin) / a, (dy * cos - dx * sin) / b
    level = np.hypot(u, v)
    steep = np.hypot(u / a, v / b) / np.maximum(level, 1e-9)
    inward = np.clip(0.5 + (1 - level) / np.maximum(steep, 1e-9) / edge_px, 0, 1)
    return np.asarray(inward**2 * (3 - 2 * inward), np.float32)


def force(
    pressure: npt.NDArray[np.float32], body: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the force of a pressure on a body, 2 Σ p ∇χ, and how much each pixel counts.

    With a pressure p (1 - χ) that ends at the body, Σ p (1 - χ) ∇χ is half of Σ p ∇χ, the force
    -∮ p n dS on the body; hence the 2. As S = 2 Σ p ∇χ is linear in the frame's pixels, the
    length of its derivative is 2 |∇χ|, exactly.

    Parameters
    ----------
    pressure, body : numpy.ndarray of float32, shape (..., H, W)
        The frame, p (1 - χ), and χ.

    Returns
    -------
    pull : numpy.ndarray of float32, shape (2, ...)
        Along x (columns) and along y (rows).
    slope : numpy.ndarray of float32, shape (..., H, W)
        2 |∇χ|.
    """
    import numpy as np

    dy, dx = np.gradient(body, axis=(-2, -1))
    pull = np.stack([(2 * pressure * part).sum(axis=(-2, -1)) for part in (dx, dy)])
    return pull.astype(np.float32), 2 * np.hypot(dy, dx)
