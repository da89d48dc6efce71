"""The estimation of the parameters of a movie from a few of its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.movies.locate import band_pass, engine_for, find_spots
from spt_explain.movies.parameters import (
    EstimationSettings,
    Parameters,
    deviation,
    diameter_for,
    estimate_range,
    estimate_size,
    moves_and_chance,
)
from spt_explain.movies.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.stack import Stack

    Frame = npt.NDArray[np.float64]
    Band = npt.NDArray[np.float32]

SPOT_PIXELS = 100
"""About one peak of noise in so many pixels is looked at."""
SATURATED_FRACTION = 0.25
"""Above this fraction of pixels at the camera's maximum there is nothing to track."""


def estimate(
    stack: Stack,
    wanted: TrackingSettings | None = None,
    *,
    settings: EstimationSettings | None = None,
) -> Parameters:
    """Estimate from a few frames what was not given.

    Parameters
    ----------
    stack : Stack
        The movie.
    wanted : TrackingSettings, optional
        What was given. A memory that was not is 0 here: it takes the tracks to tell
        (`spt_explain.movies.linking.estimate_memory`).
    settings : EstimationSettings, optional
        What the estimation depends on.

    Returns
    -------
    estimated : Parameters
        Every value, given or estimated, with its reason.

    Raises
    ------
    SptError
        If all frames looked at are blank or saturated, or too small for the spots.
    """
    import numpy as np

    wanted = wanted or TrackingSettings()
    settings = settings or EstimationSettings()
    numbers = sample(stack.n_frames, stack.height * stack.width, settings)
    frames = [stack.frame(i) for i in numbers]
    check_exposure(stack, frames)
    kept = [i for i, frame in enumerate(frames) if np.ptp(frame) > 0]
    numbers, frames = [numbers[i] for i in kept], [frames[i] for i in kept]
    reasons = {"memory": "given", "dark": "given"}

    reasons["diameter"] = "given"
    if wanted.diameter is None or wanted.dark is None:
        sigma, n_blobs, looks_dark = estimate_size(_for_scale(frames, settings), settings)
    dark = wanted.dark
    if dark is None:
        dark = looks_dark
        reasons["dark"] = (
            f"judged by the contrast of the {n_blobs} clearest spots"
            if n_blobs
            else "the default: no spot stands out clearly"
        )
    diameter = wanted.diameter
    if diameter is None:
        known = not np.isnan(sigma)
        diameter = diameter_for(sigma) if known else settings.fallback_diameter
        reasons["diameter"] = (
            f"the {n_blobs} clearest spots have a Gaussian radius of {sigma:.1f} px"
            if known
            else f"the default: only {n_blobs} spots stand out clearly in {len(frames)} frames"
        )
    if min(stack.height, stack.width) < diameter + 4:
        raise SptError(
            f"{stack.name} has frames of {stack.width} × {stack.height} pixels, too small for "
            f"spots of diameter {diameter} px: give a smaller diameter, or larger frames."
        )

    bands = [band_pass(frame, diameter, dark=dark) for frame in frames]
    engine = engine_for(len(bands) * bands[0].size // SPOT_PIXELS, 1, 1)
    where = {number: i for i, number in enumerate(numbers)}
    pairs = [(where[n], where[n + 1]) for n in numbers if n + 1 in where]
    minmass, lone_mass, search_range = wanted.minmass, wanted.lone_mass, wanted.search_range
    reasons["minmass"] = reasons["search_range"] = "given"
    if minmass is None:
        mass = _estimate_mass(bands, pairs, diameter, search_range, settings, engine)
        minmass, reasons["minmass"] = mass.minmass, mass.why
        spots = [one[one["mass"] >= minmass] for one in mass.spots]
        if lone_mass is None and mass.lone_mass > minmass:
            lone_mass, reasons["lone_mass"] = mass.lone_mass, mass.why_lone
    else:
        spots = [find_spots(band, diameter, minmass, engine=engine) for band in bands]
    positions = [one[["y", "x"]].to_numpy() for one in spots]
    peak = wanted.peak
    if peak is None:
        heights = np.concatenate(
            [band[tuple(p.round().astype(int).T)] for band, p in zip(bands, positions, strict=True)]
        )
        # Half the height of the lowest accepted spot: far below what the mass lets pass.
        peak = _three_digits(0.5 * float(heights.min())) if len(heights) else 0.0
    if search_range is None:
        search_range, reasons["search_range"] = estimate_range(
            positions, pairs, bands[0].shape, settings
        )
    adaptive = wanted.search_range is None if wanted.adaptive is None else wanted.adaptive
    return Parameters(
        diameter,
        minmass,
        search_range,
        wanted.memory or 0,
        dark,
        peak,
        adaptive,
        lone_mass or 0.0,
        reasons,
    )


def sample(n_frames: int, n_pixels: int, settings: EstimationSettings) -> list[int]:
    """Return the numbers of the frames to look at: pairs of consecutive ones over the movie."""
    import numpy as np

    fit = settings.max_sample_pixels // (2 * n_pixels)
    n_pairs = int(np.clip(fit, 1, settings.n_pairs))
    first = np.unique(np.linspace(0, max(n_frames - 2, 0), n_pairs).round().astype(int))
    return sorted({int(i) for f in first for i in (f, f + 1)})


def check_exposure(stack: Stack, frames: Sequence[Frame]) -> None:
    """Refuse blank and saturated movies.

    Raises
    ------
    SptError
        If every frame in `frames` has one value only, or most pixels are at the maximum.
    """
    import numpy as np

    top = max(float(frame.max()) for frame in frames)
    if all(np.ptp(frame) == 0 for frame in frames):
        if top == stack.saturation:
            raise SptError(
                f"{stack.name} is saturated: every pixel of the {len(frames)} frames looked at has "
                f"the largest value, {top:g}. Record it with less light or a shorter exposure."
            )
        raise SptError(
            f"{stack.name} is blank: every pixel of a frame has the same value ({top:g} in the "
            f"brightest of the {len(frames)} frames looked at). Check the export and the channel."
        )
    at_top = saturated_fraction(frames)
    if at_top > SATURATED_FRACTION and top > 1:
        raise SptError(
            f"{stack.name} is saturated: {at_top:.0%} of the pixels have the same largest value, "
            f"{top:g}, so that spots can't be told apart. Record it with less light or a shorter "
            "exposure, or export it without stretching the contrast."
        )


def saturated_fraction(frames: Sequence[Frame]) -> float:
    """Return the fraction of pixels that have the largest value of all."""
    import numpy as np

    top = max(float(frame.max()) for frame in frames)
    return float(np.mean([np.mean(frame == top) for frame in frames]))


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


@dataclass(frozen=True)
class _Mass:
    """The least mass, that of lone spots, why, and all spots found in the frames looked at."""

    minmass: float
    why: str
    lone_mass: float
    why_lone: str
    spots: list[pd.DataFrame]


def _estimate_mass(
    bands: Sequence[Band],
    pairs: Sequence[tuple[int, int]],
    diameter: int,
    search_range: float | None,
    settings: EstimationSettings,
    engine: str,
) -> _Mass:
    """Return the least mass that serves the links best; noise links to noise by chance alone."""
    import numpy as np

    noise = float(np.median([deviation(band) for band in bands]))
    top = max(float(band.max()) for band in bands)
    if noise <= settings.noise_free * top:
        return _clean_mass(bands, diameter, settings, top, engine)
    mean, std = noise_mass(diameter)
    masses = [noise * (mean + level * std) for level in settings.noise_levels]
    spots = [
        find_spots(
            band, diameter, max(masses[0], 0.0), peak=settings.noise_peak * noise, engine=engine
        )
        for band in bands
    ]
    shape = bands[0].shape
    linked, real = [], []
    for mass in masses:
        places = [one.loc[one["mass"] >= mass, ["y", "x"]].to_numpy() for one in spots]
        reach = search_range or estimate_range(places, pairs, shape, settings)[0]
        moves, chance = moves_and_chance(places, pairs, shape)
        linked.append(int((moves <= reach).sum()))
        real.append(linked[-1] - int((chance <= reach).sum()) / 3)
    lone = _three_digits(noise * (mean + settings.noise_sigmas * std))
    why_lone = f"{settings.noise_sigmas:g} deviations above what noise alone gives in this movie"
    most = max(real)
    if most < settings.min_moves:
        return _Mass(lone, why_lone, 0.0, "", spots)
    # Twice the links that are real, over those there are and those there could be (F1).
    score = [2 * r / (n + most) for r, n in zip(real, linked, strict=True)]
    best = max(i for i, value in enumerate(score) if value >= max(score) - settings.level_tolerance)
    why = (
        f"{settings.noise_levels[best]:g} deviations above what noise alone gives in this movie, "
        "where links between frames are most, less those by chance"
    )
    return _Mass(_three_digits(masses[best]), why, lone, why_lone, spots)


def _clean_mass(
    bands: Sequence[Band], diameter: int, settings: EstimationSettings, top: float, engine: str
) -> _Mass:
    """Return the least mass in a movie without noise, from its bright spots."""
    import numpy as np

    least = 0.5 * settings.clean_mass * top
    spots = [find_spots(band, diameter, 0.0, peak=least, engine=engine) for band in bands]
    masses = np.concatenate([s["mass"].to_numpy() for s in spots])
    mass = settings.clean_mass * float(np.quantile(masses, 0.9)) if len(masses) else 0.0
    why = f"{settings.clean_mass:g} of the mass of bright spots, as the movie has no noise"
    return _Mass(_three_digits(mass), why, 0.0, "", spots)


def _for_scale(frames: Sequence[Frame], settings: EstimationSettings) -> list[Frame]:
    """Return fewer frames, or their middles, so that the spot size takes a few seconds at most."""
    side = int((settings.max_scale_pixels / 2) ** 0.5)
    cut = []
    for frame in frames:
        y, x = (max((n - side) // 2, 0) for n in frame.shape)
        cut.append(frame[y : y + side, x : x + side])
    step = -(-len(cut) * cut[0].size // settings.max_scale_pixels)
    return cut[:: max(step, 1)]


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}") if value > 0 else 0.0
