"""Making the network's numbers mean what they say: corrections by the length of a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """Corrections at a few lengths, interpolated in the logarithm of the length between them.

    Attributes
    ----------
    n_points : tuple of float
        Lengths in points, ascending.
    temperature : tuple of float
        Logits are divided by it (Guo et al. 2017, arXiv:1706.04599).
    alpha_stretch : tuple of float
        The interval of α is stretched by it, on both sides of the median.
    """

    n_points: tuple[float, ...] = (10.0,)
    temperature: tuple[float, ...] = (1.0,)
    alpha_stretch: tuple[float, ...] = (1.0,)

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Calibration:
        """Return what a card says under ``calibration``; no correction if it says nothing."""
        values = card.get("calibration")
        if not values:
            return cls()
        return cls(**{name: tuple(map(float, values[name])) for name in cls.__annotations__})

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, for a card."""
        return {name: [float(v) for v in getattr(self, name)] for name in self.__annotations__}

    def logits(
        self, logits: NDArray[np.floating], n_points: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return calibrated logits, (n, classes), of trajectories of `n_points` points, (n,)."""
        out: NDArray[np.float64] = logits / self._at(self.temperature, n_points)
        return out

    def alpha(
        self, quantiles: NDArray[np.float64], n_points: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return calibrated low, median and high α, (n, 3), within 0…2."""
        median = quantiles[:, 1:2]
        stretched = median + self._at(self.alpha_stretch, n_points) * (quantiles - median)
        return np.clip(stretched, 0, 2)

    def _at(self, values: tuple[float, ...], n_points: NDArray[np.int64]) -> NDArray[np.float64]:
        at = np.interp(np.log(n_points), np.log(self.n_points), values)
        return np.asarray(at)[:, None]
