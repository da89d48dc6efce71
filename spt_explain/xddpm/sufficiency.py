"""How little of the pixels is enough: the sufficiency curve, which gives a map its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SHARES = (
    *(0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15),
    *(0.18, 0.22, 0.26, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
"""Shares of the pixels that are tried."""


@dataclass(frozen=True)
class Curve:
    """R² with only the pixels of highest relevance kept; the others are set to the reference.

    Attributes
    ----------
    kept : tuple of float
        Shares of the pixels, ascending; the last is 1.
    thresholds : tuple of float
        Least relevance of a kept pixel.
    r2 : tuple of float
        R² (of categories: McFadden's) of the regressor on what is kept.
    keep_r2 : float
        Share of the R² with all pixels that is called sufficient.
    chosen : int
        The smallest share that is sufficient, as the next larger one is too: one alone may be
        luck. Still larger ones may fall below: what carries nothing can mislead.
    """

    kept: tuple[float, ...]
    thresholds: tuple[float, ...]
    r2: tuple[float, ...]
    keep_r2: float
    chosen: int

    @property
    def threshold(self) -> float:
        """Least relevance of the smallest sufficient set."""
        return self.thresholds[self.chosen]

    @property
    def share(self) -> float:
        """Share of the pixels in that set."""
        return self.kept[self.chosen]

    @property
    def knee(self) -> int:
        """Where the share of R² that is kept is furthest above that of the pixels."""
        most = self.r2[-1]
        if most <= 0:
            return len(self.kept) - 1
        above = [r2 / most - kept for kept, r2 in zip(self.kept, self.r2, strict=True)]
        return above.index(max(above))

    @property
    def excess(self) -> float:
        """How far R² with some pixels removed is above R² with all.

        Above some hundredths, which pixels are kept tells the regressor what the pixels do not:
        the mask encodes the signal, and must not be read as a map.
        """
        return max(self.r2) - self.r2[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for a card."""
        return {
            "kept": list(self.kept),
            "thresholds": list(self.thresholds),
            "r2": list(self.r2),
            "keep_r2": self.keep_r2,
            "chosen": self.chosen,
        }


def sufficiency(
    skill: Callable[[NDArray[np.float32]], float],
    scaled: NDArray[np.float32],
    relevance: NDArray[np.float32],
    *,
    keep_r2: float = 0.95,
    shares: tuple[float, ...] = SHARES,
) -> Curve:
    """Measure the curve on clips that the model was not trained on.

    One threshold holds for all clips, so that a clip in which more carries the signal keeps more.

    Parameters
    ----------
    skill : callable
        R² from scaled clips, (clips, frames, height, width).
    scaled : numpy.ndarray
        Scaled clips.
    relevance : numpy.ndarray, same shape
        Finite; the higher, the more relevant.
    keep_r2 : float
        Share of the R² with all pixels that is called sufficient.
    shares : tuple of float
        Shares to try, in (0, 1].
    """
    ranked = np.sort(relevance, axis=None)[::-1]
    counts = sorted({min(ranked.size, max(1, round(s * ranked.size))) for s in (*shares, 1.0)})
    kept: list[float] = []
    thresholds: list[float] = []
    values: list[float] = []
    for count in counts:
        threshold = float(ranked[count - 1])
        if thresholds and threshold == thresholds[-1]:
            continue  # pixels that are equally relevant are kept or removed together
        keep = relevance >= threshold
        kept.append(float(keep.mean()))
        thresholds.append(threshold)
        values.append(float(skill(np.where(keep, scaled, np.float32(0)))))
    enough = np.asarray(values) >= keep_r2 * values[-1]
    both = np.flatnonzero(enough[:-1] & enough[1:])
    chosen = int(both[0]) if both.size else len(values) - 1
    return Curve(tuple(kept), tuple(thresholds), tuple(values), keep_r2, chosen)
