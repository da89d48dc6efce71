"""The scale of pixel values: zero where nothing is, about one where something is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ScaleKind = Literal["fluorescence", "field"]

_MOST_PIXELS = 2_000_000
"""Pixels that percentiles are taken from, evenly spread: more change nothing."""


@dataclass(frozen=True)
class Scale:
    """x̃ = (x - reference) / spread; stored with each model.

    A mask removes a pixel by setting x̃ to 0, so the reference is what a pixel without anything in
    it holds: the background of fluorescence, the mean of a field that swings about it.

    Attributes
    ----------
    reference, spread : float
        In the units of the pixels; the spread is above 0.
    """

    reference: float
    spread: float

    @classmethod
    def fit(
        cls,
        clips: NDArray[np.generic],
        kind: ScaleKind = "fluorescence",
        *,
        percentile: float = 99.5,
    ) -> Scale:
        """Measure the scale of some clips.

        Parameters
        ----------
        clips : numpy.ndarray
            Pixel values, any shape.
        kind : {"fluorescence", "field"}
            fluorescence: the reference is the median of the darker of two classes of pixels
            (Otsu's threshold), the spread reaches from there to the `percentile`. field: the mean,
            and half the range between both percentiles.
        percentile : float
            Share of pixels, in per cent, at or below the upper end.

        Raises
        ------
        SptError
            If a pixel is not a finite number, or all are alike.
        """
        flat = np.asarray(clips).reshape(-1)
        values = flat[:: max(1, flat.size // _MOST_PIXELS)].astype(np.float64)
        if not values.size or not np.isfinite(values).all():
            raise SptError(
                "the movies hold pixels that are not finite numbers; expected finite values. "
                "Export the movies again without NaN or infinity."
            )
        if kind == "fluorescence":
            reference = float(np.median(values[values <= otsu(values)]))
            spread = float(np.percentile(values, percentile)) - reference
            if spread <= 0:  # a few bright pixels on an even ground
                spread = float(values.max()) - reference
        else:
            reference = float(values.mean())
            low, high = np.percentile(values, (100 - percentile, percentile))
            spread = float(high - low) / 2 or float(values.max() - values.min()) / 2
        if not np.isfinite(spread) or spread <= 0:
            raise SptError(
                f"all pixels of the movies are alike ({reference:g}); expected an image that "
                "varies. Look at the movie, its channel and its frames."
            )
        return cls(reference, spread)

    def apply(self, clips: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return x̃, float32, of the same shape."""
        shifted = np.asarray(clips, np.float32) - np.float32(self.reference)
        return np.asarray(shifted / np.float32(self.spread), np.float32)

    def invert(self, scaled: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return pixel values from x̃."""
        values = np.asarray(scaled, np.float32) * np.float32(self.spread)
        return np.asarray(values + np.float32(self.reference), np.float32)


def otsu(values: NDArray[np.float64], bins: int = 256) -> float:
    """Return the threshold with the largest variance between both classes (Otsu 1979)."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return high
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = values.size - below
    sums = np.cumsum(counts * middles)
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * gap**2
    return float(edges[1:-1][int(np.argmax(between))])
