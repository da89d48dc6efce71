"""Making the network's numbers mean what they say: corrections by the length of a trajectory."""

from __future__ import annotations

import math
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

    Raises
    ------
    ValueError
        If there are not as many of each, or they are not such numbers.
    """

    n_points: tuple[float, ...] = (10.0,)
    temperature: tuple[float, ...] = (1.0,)
    alpha_stretch: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        columns = (self.n_points, self.temperature, self.alpha_stretch)
        if len({len(column) for column in columns}) > 1:
            raise ValueError("calibration: expected as many of each number as lengths")
        if not self.n_points:
            raise ValueError("calibration: expected numbers for at least one length")
        if not all(0 < value < math.inf for column in columns for value in column):
            raise ValueError("calibration: expected finite numbers above 0")
        if list(self.n_points) != sorted(set(self.n_points)):
            raise ValueError(f"calibration: lengths are {self.n_points}; expected them ascending")

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Calibration:
        """Return what a card says under ``calibration``; no correction if it says nothing.

        Raises
        ------
        ValueError
            If it says something else.
        """
        values = card.get("calibration")
        if not values:
            return cls()
        try:
            columns = {name: tuple(map(float, values[name])) for name in cls.__annotations__}
        except (TypeError, KeyError, ValueError) as error:
            names = ", ".join(cls.__annotations__)
            raise ValueError(f"calibration: expected lists of numbers for {names}") from error
        return cls(**columns)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain values, for a card."""
        return {name: [float(v) for v in getattr(self, name)] for name in self.__annotations__}

    def logits(
        self, logits: NDArray[np.floating], n_points: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return calibrated logits, (n, classes), of trajectories of `n_points` points, (n,)."""
        out: NDArray[np.float64] = logits / self.temperatures(n_points)[:, None]
        return out

    def temperatures(self, n_points: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what the logits of trajectories of `n_points` points are divided by, (n,)."""
        return self._at(self.temperature, n_points)[:, 0]

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
