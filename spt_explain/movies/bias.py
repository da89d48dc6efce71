"""Sub-pixel bias: whether positions fall evenly within a pixel, as they should."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import option

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MIN_INDEPENDENT = 30
"""With fewer independent positions, nothing can be said."""
CHANCE = 0.001
"""A strength is beyond chance if positions without bias reach it this rarely."""
WARN_STRENGTH = 0.25
"""From this strength on the user is warned: positions are drawn by up to 0.08 px.

Rendered movies: 0.17 at most at the diameter that is estimated, 0.3 and more where it is one step
(2 px) too small, 0.7 at a diameter of 3 px."""
_CELL_PX = 2


@dataclass(frozen=True)
class Bias:
    """How unevenly positions fall within a pixel, along x and along y.

    Attributes
    ----------
    strength : (float, float)
        Amplitude of the first Fourier component of the fractional parts, 0 (even) to 1 (all in
        one place): their density is 1 + 2 × strength × cos 2π(fraction − `at`).
    at : (float, float)
        Where in a pixel positions pile up, in px: 0 is its middle, ±0.5 its edge.
    chance : (float, float)
        Strength that positions without bias exceed with a probability of `CHANCE`.
    n_positions : int
        Positions.
    n_independent : int
        How many of them count, on the less favourable axis: a particle that stays in its place
        is one.
    """

    strength: tuple[float, float]
    at: tuple[float, float]
    chance: tuple[float, float]
    n_positions: int
    n_independent: int

    @property
    def drawn_px(self) -> float:
        """By how much the most affected positions are drawn along an axis, in px."""
        return max(self.strength) / math.pi

    @property
    def biased(self) -> bool:
        """Whether either axis is beyond chance and beyond `WARN_STRENGTH`."""
        return any(self._counts(axis) for axis in range(2))

    def describe(self) -> str:
        """Return a sentence on what was measured."""
        x, y = self.strength
        beyond = [s > c for s, c in zip(self.strength, self.chance, strict=True)]
        if not any(beyond):
            said = "no more than chance"
        elif self.biased:
            said = f"positions are drawn by up to {self.drawn_px:.2f} px"
        else:
            said = f"little: positions are drawn by up to {self.drawn_px:.2f} px"
        return (
            f"Sub-pixel bias {x:.2f} along x and {y:.2f} along y (0 none, 1 all in one place), "
            f"from {self.n_positions:,} positions: {said}."
        )

    def warning(self, diameter: int) -> str | None:
        """Return a sentence with a remedy, where the bias is one to mend.

        Parameters
        ----------
        diameter : int
            That the spots were located with, in px.
        """
        if not self.biased:
            return None
        worst = max((0, 1), key=lambda axis: self.strength[axis] * self._counts(axis))
        axes = " and ".join(name for i, name in enumerate("xy") if self._counts(i))
        head = f"by up to {self.drawn_px:.2f} px along {axes}"
        if abs(self.at[worst]) < 0.25:
            return (
                f"Positions pile up on the middles of pixels ({head}): the diameter of {diameter} "
                f"px is too small for these spots. Give a larger one (try {option('diameter')} "
                f"{diameter + 2}); if that does not help, the spots are smaller than a pixel or "
                "saturated."
            )
        return (
            f"Positions pile up on the edges of pixels ({head}): spots may be saturated, overlap, "
            f"or be far smaller than the diameter of {diameter} px. Check the brightest pixels, or "
            f"give another {option('diameter')}."
        )

    def _counts(self, axis: int) -> bool:
        return self.strength[axis] > max(WARN_STRENGTH, self.chance[axis])


def measure_bias(
    xy_px: npt.NDArray[np.float64], particle: npt.NDArray[np.int64] | None = None
) -> Bias | None:
    """Measure the sub-pixel bias of positions.

    What trackpy's ``subpx_bias`` shows as a histogram, as a number. Positions of one particle in
    the same 2 × 2 pixels are taken as one observation for the level of chance, so that few
    particles that don't move are no evidence.

    Parameters
    ----------
    xy_px : numpy.ndarray, shape (n, 2)
        x and y in px; whole numbers are the middles of pixels. What is not finite is left out.
    particle : numpy.ndarray of int64, shape (n,), optional
        Whose position it is; if not given, positions in the same place count as one particle's.

    Returns
    -------
    Bias or None
        None if fewer than `MIN_INDEPENDENT` positions are independent.
    """
    import numpy as np

    finite = np.isfinite(xy_px).all(axis=1)
    xy = np.asarray(xy_px, dtype=np.float64)[finite]
    n = len(xy)
    if n < MIN_INDEPENDENT:
        return None
    cell = np.floor((xy + 0.5) / _CELL_PX)
    keys = [cell[:, 0], cell[:, 1]]
    if particle is not None:
        keys.append(np.asarray(particle)[finite].astype(np.float64))
    order = np.lexsort(keys)
    new = np.zeros(n, dtype=bool)
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    group = np.empty(n, dtype=np.int64)
    group[order] = np.cumsum(new)
    if int(group.max()) + 1 < MIN_INDEPENDENT:
        return None
    phase = 2 * np.pi * xy
    strength, at, chance, independent = [], [], [], []
    for axis in range(2):
        cosine, sine = np.cos(phase[:, axis]), np.sin(phase[:, axis])
        mean = complex(cosine.mean(), sine.mean())
        # Variance of the mean if the groups are independent and there is no bias.
        groups = np.bincount(group, cosine) ** 2 + np.bincount(group, sine) ** 2
        variance = float(groups.sum()) / n**2
        strength.append(abs(mean))
        at.append(math.atan2(mean.imag, mean.real) / (2 * math.pi))
        chance.append(math.sqrt(-math.log(CHANCE) * variance))
        independent.append(min(int(1 / variance), n) if variance > 0 else n)
    if min(independent) < MIN_INDEPENDENT and not any(
        s > c for s, c in zip(strength, chance, strict=True)
    ):
        return None
    return Bias(
        (strength[0], strength[1]), (at[0], at[1]), (chance[0], chance[1]), n, min(independent)
    )
