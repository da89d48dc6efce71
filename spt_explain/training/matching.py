"""A lab's own recordings as the law of the training data: their lengths, gaps and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.diffusion.covariance import estimate_covariance
from spt_explain.errors import SptError, option
from spt_explain.tracks.quality import QualityPolicy, apply_policy
from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spt_explain.tracks.table import Tracks
    from spt_explain.training.conditions import Conditions
    from spt_explain.training.recipe import Recipe

FEWEST = 20
"""Tracks that a law can be drawn from."""
_NOISE_FROM = 20
"""Measured positions from which on a track's own 1/SNR is worth something."""
_MOST_NOISE = 1.5


@dataclass(frozen=True)
class Match:
    """What was found in the recordings.

    Attributes
    ----------
    lengths : numpy.ndarray of int64, shape (n,)
        Points of each track or segment that would be classified.
    missed : numpy.ndarray, shape (n,)
        Share of its frames that were missed and filled.
    noise : numpy.ndarray, shape (m,)
        1/SNR of the tracks that are long enough to tell; empty if there are too few.
    """

    lengths: NDArray[np.int64]
    missed: NDArray[np.float64]
    noise: NDArray[np.float64]

    def conditions(self, recipe: Recipe) -> Conditions:
        """Return the law that trajectories are drawn from."""
        import torch

        from spt_explain.training.conditions import Conditions

        return Conditions(
            recipe.data,
            lengths=torch.from_numpy(self.lengths),
            noise=torch.from_numpy(self.noise).float() if len(self.noise) else None,
            missed=torch.from_numpy(self.missed).float(),
        )

    def batch(self, recipe: Recipe) -> dict[int, int]:
        """Return as many trajectories of each padded length as there are tracks of it.

        Every length keeps a few, so that the network does not forget them.
        """
        total = recipe.batch_size
        edges = sorted(recipe.batch)
        index = np.searchsorted(edges, np.minimum(self.lengths, edges[-1]))
        shares = np.bincount(index, minlength=len(edges)) / len(self.lengths)
        return {
            length: max(8, 8 * round(float(share) * total / 8))
            for length, share in zip(edges, shares, strict=True)
        }

    def describe(self) -> dict[str, Any]:
        """Return medians and ranges, for people and for the card."""

        def spread(values: NDArray[Any]) -> list[float]:
            return [round(float(v), 3) for v in np.quantile(values, (0.05, 0.5, 0.95))]

        return {
            "tracks": len(self.lengths),
            "points_5_50_95": spread(self.lengths),
            "missed_5_50_95": spread(self.missed),
            "noise_5_50_95": spread(self.noise) if len(self.noise) else None,
            "tracks_for_noise": len(self.noise),
        }


def match_recordings(
    recordings: Sequence[Tracks], policy: QualityPolicy | None = None, *, window: int = 1000
) -> Match:
    """Measure lengths, missed frames and noise of a lab's tracks, as `classify` would take them.

    The noise is the localisation error of the covariance estimator over the standard deviation of
    a displacement without it, √(2DΔt) per axis. It is right for Brownian motion; anti-persistent
    motion looks noisier than it is.

    Parameters
    ----------
    recordings : sequence of Tracks
        Files of tracks.
    policy : QualityPolicy, optional
        Minimum length, gaps, branches.
    window : int
        Longest track that is trained on; longer ones count as that long.

    Returns
    -------
    Match

    Raises
    ------
    SptError
        If there are fewer than 20 tracks that can be classified.
    """
    lengths, missed, noise = [], [], []
    for tracks in recordings:
        segments = apply_policy(tracks, policy or QualityPolicy())
        points = segments.points
        if not len(points):
            continue
        owner = points["segment_id"].to_numpy()
        filled = points["interpolated"].to_numpy(dtype=bool)
        n = np.bincount(owner)
        lengths.append(n)
        missed.append(np.bincount(owner, filled, len(n)) / np.maximum(n, 1))
        frame, x, y = (points.loc[~filled, name].to_numpy() for name in ("frame", "x", "y"))
        counts = np.bincount(owner[~filled], minlength=len(n))
        found = estimate_covariance(frame, x, y, offsets_of(counts)[:-1], exposure=0.0)
        usable = (counts >= _NOISE_FROM) & (found.d > 0)
        ratio = np.sqrt(np.maximum(found.sigma2[usable], 0) / (2 * found.d[usable]))
        noise.append(np.minimum(ratio, _MOST_NOISE))
    count = sum(map(len, lengths))
    if count < FEWEST:
        raise SptError(
            f"{option('match')}: only {count} tracks of "
            f"{', '.join(t.source.name for t in recordings)} can be classified; expected at least "
            f"{FEWEST} to draw lengths, gaps and noise from. Give more files, or leave "
            f"{option('match')} out.",
            option="match",
        )
    own_noise = np.concatenate(noise)
    if len(own_noise) < FEWEST:
        own_noise = np.zeros(0)
    return Match(np.minimum(np.concatenate(lengths), window), np.concatenate(missed), own_noise)
