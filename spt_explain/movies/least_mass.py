"""Which spots are real: their least mass, judged by the links between frames.

Spots that are noise link to others by chance alone. What links more often than chance allows is
real; the least mass (and, where few spots stand out, the diameter) that serves those links best is
taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spt_explain.movies.locate import band_pass, engine_for, find_spots
from spt_explain.movies.parameters import (
    EstimationSettings,
    deviation,
    moves_and_chance,
    range_of_moves,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Frame = npt.NDArray[np.float64]
    Band = npt.NDArray[np.float32]

SPOT_PIXELS = 100
"""About one peak of noise in so many pixels is looked at."""


@dataclass(frozen=True)
class LeastMass:
    """The least mass of spots, and what it was found with.

    Attributes
    ----------
    diameter : int
        Odd diameter of the mask in px, of those that were tried.
    minmass, lone_mass : float
        Least mass of spots, and of those that are linked to no other (0: no other limit).
    why : str
        How `minmass` came about.
    by_links : bool
        Whether links told; if not, the first diameter was taken.
    bands : list of numpy.ndarray
        The frames looked at, band-passed for that diameter.
    spots : list of pandas.DataFrame
        All spots found in them, fainter ones included: ``y``, ``x``, ``mass``.
    """

    diameter: int
    minmass: float
    lone_mass: float
    why: str
    by_links: bool
    bands: list[Band]
    spots: list[pd.DataFrame]


@dataclass(frozen=True)
class _Tried:
    """What one diameter gives: for each level of noise the links there are, and the real ones."""

    diameter: int
    bands: list[Band]
    spots: list[pd.DataFrame]
    masses: list[float]
    lone_mass: float
    linked: list[int]
    real: list[float]


def choose_mass(
    frames: Sequence[Frame],
    pairs: Sequence[tuple[int, int]],
    diameters: Sequence[int],
    search_range: float | None,
    dark: bool,
    settings: EstimationSettings,
) -> LeastMass:
    """Choose the least mass, and one of several diameters, that serve the links best.

    Parameters
    ----------
    frames : sequence of numpy.ndarray, shape (height, width)
        Frames spread over the movie.
    pairs : sequence of (int, int)
        Which of them are consecutive.
    diameters : sequence of int
        Odd diameters of the mask in px; the first is taken unless another is clearly better.
    search_range : float or None
        Largest move between frames in px, if it is known.
    dark : bool
        Whether spots are darker than the background.
    settings : EstimationSettings
        Levels that are tried.

    Returns
    -------
    LeastMass
    """
    tried: list[_Tried] = []
    for diameter in diameters:
        bands = [band_pass(frame, diameter, dark=dark) for frame in frames]
        engine = engine_for_sample(bands)
        noise = float(sorted(map(deviation, bands))[len(bands) // 2])
        top = max(float(band.max()) for band in bands)
        if noise <= settings.noise_free * top:
            return _clean_mass(bands, diameter, top, settings, engine)
        tried.append(_try(bands, pairs, diameter, noise, search_range, settings, engine))
    most = max(max(one.real) for one in tried)
    if most < settings.min_moves:
        one = tried[0]
        why = f"{settings.noise_sigmas:g} deviations above what noise alone gives in this movie"
        return LeastMass(one.diameter, one.lone_mass, 0.0, why, False, one.bands, one.spots)
    # Twice the links that are real, over those there are and those there could be (F1).
    scores = [
        [2 * real / (linked + most) for real, linked in zip(one.real, one.linked, strict=True)]
        for one in tried
    ]
    which = max(range(len(tried)), key=lambda i: max(scores[i]))
    if max(scores[0]) >= (1 - settings.diameter_tolerance) * max(scores[which]):
        which = 0
    one, score = tried[which], scores[which]
    level = max(
        i for i, value in enumerate(score) if value >= max(score) - settings.level_tolerance
    )
    why = (
        f"{settings.noise_levels[level]:g} deviations above what noise alone gives in this movie, "
        "where links between frames are most, less those by chance"
    )
    minmass = three_digits(one.masses[level])
    return LeastMass(one.diameter, minmass, one.lone_mass, why, True, one.bands, one.spots)


def engine_for_sample(bands: Sequence[Band]) -> str:
    """Return trackpy's engine for a few frames in which every peak of noise is looked at."""
    return engine_for(len(bands) * bands[0].size // SPOT_PIXELS, 1, 1)


def _try(
    bands: list[Band],
    pairs: Sequence[tuple[int, int]],
    diameter: int,
    noise: float,
    search_range: float | None,
    settings: EstimationSettings,
    engine: str,
) -> _Tried:
    mean, std = noise_mass(diameter)
    masses = [noise * (mean + level * std) for level in settings.noise_levels]
    peak = settings.noise_peak * noise
    spots = [
        find_spots(band, diameter, max(masses[0], 0.0), peak=peak, engine=engine) for band in bands
    ]
    shape = bands[0].shape
    found = [(one[["y", "x"]].to_numpy(), one["mass"].to_numpy()) for one in spots]
    linked, real = [], []
    for mass in masses:
        places = [yx[mass_of >= mass] for yx, mass_of in found]
        moves, chance = moves_and_chance(places, pairs, shape)
        reach = search_range or range_of_moves(moves, chance, shape, settings)[0]
        linked.append(int((moves <= reach).sum()))
        real.append(linked[-1] - int((chance <= reach).sum()) / 3)
    lone = three_digits(noise * (mean + settings.noise_sigmas * std))
    return _Tried(diameter, bands, spots, masses, lone, linked, real)


def _clean_mass(
    bands: list[Band], diameter: int, top: float, settings: EstimationSettings, engine: str
) -> LeastMass:
    """Return the least mass in a movie without noise, from its bright spots."""
    import numpy as np

    least = 0.5 * settings.clean_mass * top
    spots = [find_spots(band, diameter, 0.0, peak=least, engine=engine) for band in bands]
    masses = np.concatenate([s["mass"].to_numpy() for s in spots])
    mass = settings.clean_mass * float(np.quantile(masses, 0.9)) if len(masses) else 0.0
    why = f"{settings.clean_mass:g} of the mass of bright spots, as the movie has no noise"
    return LeastMass(diameter, three_digits(mass), 0.0, why, False, bands, spots)


@lru_cache
def noise_mass(diameter: int, *, seed: int = 0) -> tuple[float, float]:
    """Return mean and standard deviation of the mass of peaks in pure noise.

    Parameters
    ----------
    diameter : int
        Odd diameter of the mask, in px.
    seed : int, optional
        Of the noise.

    Returns
    -------
    mean, std : float
        In units of the deviation of the band-passed noise.
    """
    import numpy as np

    side = int(np.clip(24 * (diameter + 1), 192, 1024))
    band = band_pass(np.random.default_rng(seed).normal(size=(side, side)), diameter)
    mass = find_spots(band, diameter, 0.0)["mass"].to_numpy() / deviation(band)
    return float(mass.mean()), float(mass.std())


def three_digits(value: float) -> float:
    """Return a value above 0 with three digits, else 0."""
    return float(f"{value:.3g}") if value > 0 else 0.0
