"""The estimation of the parameters of a movie from a few of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.movies.least_mass import choose_mass, engine_for_sample, three_digits
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import (
    EstimationSettings,
    Parameters,
    diameter_for,
    estimate_range,
    estimate_size,
)
from spt_explain.movies.settings import TrackingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from spt_explain.movies.stack import Stack

    Frame = npt.NDArray[np.float64]

ROOM_PX = 4
"""A frame must be larger than a spot by this, so that its mask and margin fit in."""
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

    reasons["diameter"], sigma, n_blobs = "given", float("nan"), 0
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
    small = min(stack.height, stack.width) - ROOM_PX
    diameters = [wanted.diameter] if wanted.diameter else []
    if not diameters:
        sure = not np.isnan(sigma) and n_blobs >= settings.sure_blobs
        if not np.isnan(sigma):
            diameters = [diameter_for(sigma)]
            reasons["diameter"] = (
                f"the {n_blobs} clearest spots have a Gaussian radius of {sigma:.1f} px"
            )
        else:
            diameters = [settings.fallback_diameter]
            reasons["diameter"] = (
                f"the default: only {n_blobs} spots stand out clearly in {len(frames)} frames"
            )
        if not sure and wanted.minmass is None:
            diameters += [d for d in settings.diameters if d not in diameters and d <= small]
    if diameters[0] > small:
        raise SptError(
            f"{stack.name} has frames of {stack.width} × {stack.height} pixels, too small for "
            f"spots of diameter {diameters[0]} px: give a smaller diameter, or larger frames."
        )

    where = {number: i for i, number in enumerate(numbers)}
    pairs = [(where[n], where[n + 1]) for n in numbers if n + 1 in where]
    minmass, lone_mass, search_range = wanted.minmass, wanted.lone_mass, wanted.search_range
    reasons["minmass"] = reasons["search_range"] = "given"
    if minmass is None:
        mass = choose_mass(frames, pairs, diameters, search_range, dark, settings)
        bands, diameter, minmass = mass.bands, mass.diameter, mass.minmass
        reasons["minmass"] = mass.why
        if diameter != diameters[0]:
            reasons["diameter"] = (
                f"of {', '.join(map(str, sorted(diameters)))} px the one with most links between "
                f"frames, less those by chance, as only {n_blobs} spots stand out clearly"
            )
        spots = [one[one["mass"] >= minmass] for one in mass.spots]
        if lone_mass is None and mass.lone_mass > minmass:
            lone_mass = mass.lone_mass
            reasons["lone_mass"] = (
                f"{settings.noise_sigmas:g} deviations above what noise alone gives in this movie"
            )
    else:
        diameter = diameters[0]
        bands = [band_pass(frame, diameter, dark=dark) for frame in frames]
        engine = engine_for_sample(bands)
        spots = [find_spots(band, diameter, minmass, engine=engine) for band in bands]
    positions = [one[["y", "x"]].to_numpy() for one in spots]
    peak = wanted.peak
    if peak is None:
        heights = np.concatenate(
            [band[tuple(p.round().astype(int).T)] for band, p in zip(bands, positions, strict=True)]
        )
        # Half the height of the lowest accepted spot: far below what the mass lets pass.
        peak = three_digits(0.5 * float(heights.min())) if len(heights) else 0.0
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


def _for_scale(frames: Sequence[Frame], settings: EstimationSettings) -> list[Frame]:
    """Return fewer frames, or their middles, so that the spot size takes a few seconds at most."""
    side = int((settings.max_scale_pixels / 2) ** 0.5)
    cut = []
    for frame in frames:
        y, x = (max((n - side) // 2, 0) for n in frame.shape)
        cut.append(frame[y : y + side, x : x + side])
    step = -(-len(cut) * cut[0].size // settings.max_scale_pixels)
    return cut[:: max(step, 1)]
