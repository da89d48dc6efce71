"""The estimation of the parameters of a movie from a few of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import (
    EstimationSettings,
    Parameters,
    deviation,
    diameter_for,
    estimate_range,
    estimate_size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from spt_explain.movies.stack import Stack

    Frame = npt.NDArray[np.float64]

SATURATED_FRACTION = 0.25
"""Above this fraction of pixels at the camera's maximum there is nothing to track."""


def estimate(
    stack: Stack,
    *,
    diameter: int | None = None,
    minmass: float | None = None,
    search_range: float | None = None,
    memory: int = 0,
    dark: bool | None = None,
    settings: EstimationSettings | None = None,
) -> Parameters:
    """Estimate from a few frames what was not given.

    Parameters
    ----------
    stack : Stack
        The movie.
    diameter, minmass, search_range, memory, dark
        As in `track_stack`; None is estimated.
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

    settings = settings or EstimationSettings()
    numbers = sample(stack.n_frames, stack.height * stack.width, settings)
    frames = [stack.frame(i) for i in numbers]
    check_exposure(stack, frames)
    kept = [i for i, frame in enumerate(frames) if np.ptp(frame) > 0]
    numbers, frames = [numbers[i] for i in kept], [frames[i] for i in kept]
    reasons = []

    given = diameter is not None
    sigma, n_blobs = float("nan"), 0
    if diameter is None or dark is None:
        sigma, n_blobs, looks_dark = estimate_size(_for_scale(frames, settings), settings)
        if dark is None:
            dark = looks_dark
            if dark:
                reasons.append(
                    "Spots are darker than the background, judged by their contrast: dark spots "
                    "were tracked."
                )
    if diameter is None:
        diameter = settings.fallback_diameter if np.isnan(sigma) else diameter_for(sigma)
    why = f"the {n_blobs} clearest spots have a Gaussian radius of {sigma:.1f} px"
    if np.isnan(sigma):
        why = f"the default: only {n_blobs} spots stand out clearly in {len(frames)} frames"
    reasons.append(f"diameter {diameter} px ({'given' if given else why}).")
    if min(stack.height, stack.width) < diameter + 4:
        raise SptError(
            f"{stack.name} has frames of {stack.width} × {stack.height} pixels, too small for "
            f"spots of diameter {diameter} px: give a smaller diameter, or larger frames."
        )

    bands = [band_pass(frame, diameter, dark=bool(dark)) for frame in frames]
    why, least = "given", 0.0
    if minmass is None:
        minmass, least, why = _estimate_mass(bands, diameter, settings)
    reasons.append(f"minmass {minmass:g} ({why}).")

    spots = [find_spots(band, diameter, minmass, peak=least) for band in bands]
    positions = [s[["y", "x"]].to_numpy() for s in spots]
    heights = np.concatenate(
        [band[tuple(p.round().astype(int).T)] for band, p in zip(bands, positions, strict=True)]
    )
    # Half the height of the lowest accepted spot: far below what the mass lets pass.
    peak = max(0.5 * float(heights.min()), 0.0) if len(heights) else 0.0
    why = "given"
    adaptive = search_range is None
    if search_range is None:
        where = {number: i for i, number in enumerate(numbers)}
        pairs = [(where[n], where[n + 1]) for n in numbers if n + 1 in where]
        search_range, why = estimate_range(positions, pairs, bands[0].shape, settings)
    reasons.append(f"search range {search_range:g} px ({why}).")
    if memory:
        reasons.append(f"memory {memory} frames (given).")
    return Parameters(
        diameter,
        minmass,
        search_range,
        memory,
        bool(dark),
        peak,
        adaptive,
        tuple(reasons),
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


def _estimate_mass(
    bands: Sequence[Frame], diameter: int, settings: EstimationSettings
) -> tuple[float, float, str]:
    """Return the least mass that noise does not reach, a least height, and how it came about."""
    import numpy as np

    noise = float(np.median([deviation(band) for band in bands]))
    top = max(float(band.max()) for band in bands)
    if noise > settings.noise_free * top:
        mean, std = noise_mass(diameter)
        mass = noise * (mean + settings.noise_sigmas * std)
        why = f"{settings.noise_sigmas:g} deviations above what noise alone gives in this movie"
        return _three_digits(mass), settings.noise_peak * noise, why
    least = 0.5 * settings.clean_mass * top
    spots = [find_spots(band, diameter, 0.0, peak=least) for band in bands]
    masses = np.concatenate([s["mass"].to_numpy() for s in spots])
    mass = settings.clean_mass * float(np.quantile(masses, 0.9)) if len(masses) else 0.0
    why = f"{settings.clean_mass:g} of the mass of bright spots, as the movie has no noise"
    return _three_digits(mass), least, why


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
