"""Random outlines of cells: ellipses with rough edges, of a given area whatever their shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    Numbers = npt.NDArray[np.float64]
    Span = tuple[float, float]

_MODES = (3, 4, 5, 6)
_ANGLES = 256


@dataclass(frozen=True)
class Outlines:
    """Outlines r(θ) = s · ellipse(θ - tilt) · (1 + Σ a_k cos(k θ + p_k)).

    Attributes
    ----------
    radius : numpy.ndarray, shape (...)
        Radius of the circle of the same area, in px.
    aspect : numpy.ndarray, shape (...)
        Long over short axis of the ellipse.
    tilt : numpy.ndarray, shape (...)
        Direction of the long axis in radians.
    waves, phases : numpy.ndarray, shape (..., 4)
        a_k and p_k for k = 3 to 6.
    """

    radius: Numbers
    aspect: Numbers
    tilt: Numbers
    waves: Numbers
    phases: Numbers

    def reach(self) -> Numbers:
        """Return the largest distance from the middle in px."""
        import numpy as np

        angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
        return np.asarray(self._scale() * self._relative(angles).max(axis=-1))

    def _relative(self, angles: Numbers) -> Numbers:
        """Return r(θ) before scaling, shape (..., len(angles))."""
        import numpy as np

        root = np.sqrt(self.aspect)[..., None]
        along = angles - self.tilt[..., None]
        ellipse = 1 / np.hypot(np.cos(along) / root, np.sin(along) * root)
        wave: Numbers = np.ones(1)
        for k, mode in enumerate(_MODES):
            wave = wave + self.waves[..., k, None] * np.cos(
                mode * angles + self.phases[..., k, None]
            )
        return np.asarray(ellipse * wave)

    def _scale(self) -> Numbers:
        """Return s, by which the outline encloses π radius²."""
        import numpy as np

        angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
        return np.asarray(self.radius / np.sqrt((self._relative(angles) ** 2).mean(axis=-1)))

    def take(self, index: npt.NDArray[np.intp]) -> Outlines:
        """Return the outlines of `index` along the first axis."""
        return Outlines(
            self.radius[index],
            self.aspect[index],
            self.tilt[index],
            self.waves[index],
            self.phases[index],
        )

    def scaled(self, factor: Numbers) -> Outlines:
        """Return outlines of the same shape, larger by `factor`, shape (...)."""
        return replace(self, radius=self.radius * factor)

    def phase(self, middle: Numbers, size: int, width: float, device: str) -> torch.Tensor:
        """Draw the cells as phase fields.

        Parameters
        ----------
        middle : numpy.ndarray, shape (..., 2)
            Row and column of the middle in px; pixels are centred on whole numbers.
        size : int
            Side of the frame in px.
        width : float
            Width of the interface in px.
        device : str
            Where the tensor lives.

        Returns
        -------
        torch.Tensor of float32, shape (..., size, size)
        """
        import numpy as np
        import torch

        def number(values: Numbers) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)[..., None, None]

        pixel = torch.arange(size, dtype=torch.float32, device=device)
        dy = pixel[:, None] - number(middle[..., 0])
        dx = pixel - number(middle[..., 1])
        away, angle = torch.hypot(dy, dx), torch.atan2(dy, dx)
        root = number(np.sqrt(self.aspect))
        along = angle - number(self.tilt)
        x, y = torch.cos(along) / root, torch.sin(along) * root
        radial = 1 / torch.hypot(x, y)
        wave, slope = torch.ones_like(radial), torch.zeros_like(radial)
        for k, mode in enumerate(_MODES):
            turn = mode * angle + number(self.phases[..., k])
            height = number(self.waves[..., k])
            wave = wave + height * torch.cos(turn)
            slope = slope - mode * height * torch.sin(turn)
        # r'/r: how far the outline leans from the direction across the radius
        lean = slope / wave - radial**2 * (
            torch.sin(along) * torch.cos(along) * (root**2 - root**-2)
        )
        distance = (number(self._scale()) * radial * wave - away) / torch.hypot(
            lean, torch.ones_like(lean)
        )
        return torch.sigmoid(distance / width)


def draw_outlines(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    radius: Span,
    aspect: Span,
    roughness: Span,
    room: float,
) -> Outlines:
    """Draw outlines whose area, aspect and roughness don't depend on each other.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : tuple of int
        How many.
    radius, aspect, roughness : tuple of (float, float)
        Least and greatest radius (px), long over short axis, and root of Σ a_k².
    room : float
        Largest distance from the middle in px; where an outline would be longer, its aspect and
        roughness are drawn in.

    Returns
    -------
    Outlines
    """
    import numpy as np

    waves = rng.standard_normal((*shape, len(_MODES))) / np.array(_MODES)
    waves *= (rng.uniform(*roughness, shape) / np.sqrt((waves**2).sum(-1)))[..., None]
    outlines = Outlines(
        radius=rng.uniform(*radius, shape),
        aspect=rng.uniform(*aspect, shape),
        tilt=rng.uniform(0, np.pi, shape),
        waves=waves,
        phases=rng.uniform(0, 2 * np.pi, (*shape, len(_MODES))),
    )
    for _ in range(20):
        long = outlines.reach() > room
        if not long.any():
            break
        shrink = np.where(long, 0.85, 1.0)
        outlines = replace(
            outlines,
            aspect=1 + (outlines.aspect - 1) * shrink,
            waves=outlines.waves * shrink[..., None],
        )
    return outlines
