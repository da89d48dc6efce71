"""Spots in each frame and their links over frames, by trackpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.movies.parameters import (
    MIN_DIAMETER,
    EstimationSettings,
    Parameters,
    deviation,
    diameter_for,
    estimate_range,
    estimate_size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.stack import Stack

    Frame = npt.NDArray[np.float64]

NOISE_SIZE_PX = 1.0
"""Radius of the Gaussian that smooths away pixel noise before spots are looked for."""
SEPARATION = 0.7
"""Spots nearer than this times the diameter are one. trackpy's default (a diameter and a pixel)
loses a quarter more of the spots where they are dense, and no fewer wrong ones are found."""
SATURATED_FRACTION = 0.25
"""Above this fraction of pixels at the camera's maximum there is nothing to track."""
SATURATED_NOTE_FRACTION = 0.001
"""Above this fraction of saturated spots the user is told."""
COMPILE_ABOVE = 200_000
"""Above this many spots, compiling trackpy's numba code (some seconds) pays, if numba is there."""
_FULL_SCALE = 60_000.0


def band_pass(frame: Frame, diameter: int, *, dark: bool = False) -> Frame:
    """Smooth away pixel noise and subtract the background, as trackpy does, without its clipping.

    Parameters
    ----------
    frame : numpy.ndarray, shape (height, width)
        Grey values.
    diameter : int
        Odd size of the box over which the background is averaged, in px.
    dark : bool
        Look for dark spots: the frame is turned over first.

    Returns
    -------
    numpy.ndarray, shape (height, width)
        Grey values above background, negative ones included.
    """
    import numpy as np
    from trackpy.preprocessing import bandpass

    level = frame - np.median(frame)
    if dark:
        level = -level
    # trackpy's filters take what lies outside of the frame as zero, which darkens the border.
    padded = np.pad(level, diameter, mode="symmetric")
    inside = slice(diameter, -diameter)
    result: Frame = bandpass(padded, NOISE_SIZE_PX, diameter, threshold=-np.inf)[inside, inside]
    return result


def find_spots(
    band: Frame, diameter: int, minmass: float, *, peak: float = 0.0, engine: str = "python"
) -> pd.DataFrame:
    """Locate spots in a band-passed frame with trackpy.

    Parameters
    ----------
    band : numpy.ndarray, shape (height, width)
        Grey values above background, from `band_pass`.
    diameter : int
        Odd diameter of the mask, in px.
    minmass : float
        Least sum of `band` over the mask, in grey values.
    peak : float, optional
        Least height of a spot in `band`, in grey values.
    engine : {"python", "numba"}, optional
        trackpy's engine; the results are the same.

    Returns
    -------
    pandas.DataFrame
        Columns y, x (px, the middle of the first pixel is 0), mass and signal (grey values).
    """
    import numpy as np
    import pandas as pd
    import trackpy

    empty = pd.DataFrame({name: np.empty(0) for name in ("y", "x", "mass", "signal")})
    light = np.clip(band, 0.0, None)
    top = float(light.max())
    # trackpy needs room for a whole mask and its margin on every side.
    if not top > peak or min(band.shape) < diameter + 4:
        return empty
    # Whole numbers of 16 bit, each frame to full scale: what trackpy makes of float frames itself
    # has 8 bit, too coarse where one spot is much brighter than the others.
    gain = _FULL_SCALE / top
    whole = (light * gain).astype(np.uint16)
    lit = whole[whole > 0]
    percentile = 100.0 * float(np.mean(lit <= peak * gain)) if peak > 0 else 0.0
    spots = trackpy.locate(
        whole,
        diameter,
        minmass=minmass * gain,
        separation=max(SEPARATION * diameter, MIN_DIAMETER),
        preprocess=False,
        percentile=percentile,
        characterize=True,
        engine=engine,
    )
    if len(spots) == 0:
        return empty
    spots = spots[["y", "x", "mass", "signal"]].reset_index(drop=True)
    spots[["mass", "signal"]] /= gain
    kept: pd.DataFrame = spots[np.isfinite(spots.to_numpy()).all(axis=1)]
    return kept.reset_index(drop=True)


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
    why = "given"
    if minmass is None:
        minmass, why = _estimate_mass(bands, diameter, settings)
    reasons.append(f"minmass {minmass:g} ({why}).")

    spots = [find_spots(band, diameter, minmass) for band in bands]
    heights = np.concatenate([s["signal"].to_numpy() for s in spots])
    # Half the height of the lowest accepted spot: far below what the mass lets pass.
    peak = 0.5 * float(heights.min()) if len(heights) else 0.0
    why = "given"
    adaptive = search_range is None
    if search_range is None:
        where = {number: i for i, number in enumerate(numbers)}
        pairs = [(where[n], where[n + 1]) for n in numbers if n + 1 in where]
        positions = [s[["y", "x"]].to_numpy() for s in spots]
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


def locate_movie(
    stack: Stack, parameters: Parameters, progress: Callable[[int, int], None] | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Find the spots of every frame, one frame in memory at a time.

    Parameters
    ----------
    stack : Stack
        The movie.
    parameters : Parameters
        Diameter, least mass and polarity.
    progress : callable, optional
        Called with frames done and frames in all.

    Returns
    -------
    spots : pandas.DataFrame
        Columns ``frame`` (int64), ``y``, ``x`` in px, sorted by frame.
    counts : dict of str to int
        ``blank_frames`` (one value only) and ``saturated_spots`` (the largest value of the pixel
        type in their middle).

    Raises
    ------
    SptError
        If there is no spot in any frame.
    """
    import numpy as np
    import pandas as pd

    found = []
    n_spots = n_blank = n_saturated = 0
    for index in range(stack.n_frames):
        frame = stack.frame(index)
        if np.ptp(frame) > 0:
            spots = find_spots(
                band_pass(frame, parameters.diameter, dark=parameters.dark),
                parameters.diameter,
                parameters.minmass,
                peak=parameters.peak,
                engine=_engine(n_spots, index, stack.n_frames),
            )
            n_spots += len(spots)
            yx = spots[["y", "x"]].to_numpy()
            if stack.saturation is not None and len(yx):
                row, column = yx.round().astype(int).T
                n_saturated += int((frame[row, column] >= stack.saturation).sum())
            found.append((np.full(len(yx), index, dtype=np.int64), yx))
        else:
            n_blank += 1
        if progress is not None:
            progress(index + 1, stack.n_frames)
    if n_spots == 0:
        kind = "dark" if parameters.dark else "bright"
        raise SptError(
            f"No spots were found in {stack.name}: looked in {stack.n_frames} frames for {kind} "
            f"ones of diameter {parameters.diameter} px and mass {parameters.minmass:g} or more. "
            "Give a smaller minmass, or another diameter."
        )
    yx = np.concatenate([p for _, p in found])
    frames = np.concatenate([f for f, _ in found])
    table = pd.DataFrame({"frame": frames, "y": yx[:, 0], "x": yx[:, 1]})
    return table, {"blank_frames": n_blank, "saturated_spots": n_saturated}


def link(spots: pd.DataFrame, parameters: Parameters, name: str) -> pd.DataFrame:
    """Join spots over frames into tracks with trackpy (Crocker and Grier 1996).

    Parameters
    ----------
    spots : pandas.DataFrame
        Columns ``frame``, ``y``, ``x`` in px.
    parameters : Parameters
        Search range and memory.
    name : str
        The file, for messages.

    Returns
    -------
    pandas.DataFrame
        Columns ``particle``, ``frame`` (int64), ``x``, ``y`` in px, sorted by particle, then
        frame.

    Raises
    ------
    SptError
        If spots are too dense for the search range.
    """
    import numpy as np
    import trackpy

    adaptive = {}
    if parameters.adaptive:
        adaptive = {"adaptive_stop": parameters.search_range / 4, "adaptive_step": 0.9}
    try:
        linked = trackpy.link(
            spots,
            parameters.search_range,
            pos_columns=["y", "x"],
            memory=parameters.memory,
            link_strategy="auto" if len(spots) > COMPILE_ABOVE else "recursive",
            **adaptive,
        )
    except trackpy.SubnetOversizeException as error:
        raise SptError(
            f"{name} has too many spots within a search range of {parameters.search_range:g} px "
            "to tell which is which. Give a smaller search range "
            f"(try {_rounded_down(parameters.search_range / 2)}), or a larger minmass."
        ) from error
    table: pd.DataFrame = linked[["particle", "frame", "x", "y"]].astype(
        {"particle": np.int64, "frame": np.int64, "x": np.float64, "y": np.float64}
    )
    return table.sort_values(["particle", "frame"], kind="stable", ignore_index=True)


def library() -> str:
    """Return trackpy's name and version."""
    import trackpy

    return f"trackpy {trackpy.__version__}"


def warnings_for(counts: Mapping[str, int], n_tracks: int) -> list[str]:
    """Return sentences on what in the movie speaks against the tracks.

    Parameters
    ----------
    counts : mapping of str to int
        ``frames``, ``spots``, and where present ``blank_frames``, ``not_finite_pixels`` and
        ``saturated_spots``.
    n_tracks : int
        Tracks after linking.

    Returns
    -------
    list of str
    """
    notes = []
    if counts.get("blank_frames"):
        notes.append(
            f"{counts['blank_frames']} of {counts['frames']} frames are blank (one value only): "
            "tracks end there."
        )
    if counts.get("not_finite_pixels"):
        notes.append(
            f"{counts['not_finite_pixels']} pixels are no number (NaN or infinite) and were read "
            "as the median of their frame."
        )
    if counts.get("saturated_spots"):
        share = counts["saturated_spots"] / counts["spots"]
        if share > SATURATED_NOTE_FRACTION:
            notes.append(
                f"{share:.1%} of the spots are saturated (the camera's largest value in their "
                "middle): their positions are less exact."
            )
    if n_tracks == counts["spots"]:
        notes.append(
            "No spot could be linked to one in the next frame: give a larger search range, or "
            "check that the movie shows spots."
        )
    return notes


def _engine(n_spots: int, n_done: int, n_frames: int) -> str:
    """Return trackpy's engine: numba only where there is enough to do to pay for compiling."""
    from trackpy.try_numba import NUMBA_AVAILABLE

    expected = n_spots / max(n_done, 1) * (n_frames - n_done)
    return "numba" if NUMBA_AVAILABLE and expected > COMPILE_ABOVE else "python"


def _for_scale(frames: Sequence[Frame], settings: EstimationSettings) -> list[Frame]:
    """Return fewer frames, or their middles, so that the spot size takes a few seconds at most."""
    side = int((settings.max_scale_pixels / 2) ** 0.5)
    cut = []
    for frame in frames:
        y, x = (max((n - side) // 2, 0) for n in frame.shape)
        cut.append(frame[y : y + side, x : x + side])
    step = -(-len(cut) * cut[0].size // settings.max_scale_pixels)
    return cut[:: max(step, 1)]


def _estimate_mass(
    bands: Sequence[Frame], diameter: int, settings: EstimationSettings
) -> tuple[float, str]:
    """Return the least mass that noise does not reach, and how it came about."""
    import numpy as np

    noise = float(np.median([deviation(band) for band in bands]))
    top = max(float(band.max()) for band in bands)
    if noise > settings.noise_free * top:
        mean, std = noise_mass(diameter)
        mass = noise * (mean + settings.noise_sigmas * std)
        why = f"{settings.noise_sigmas:g} deviations above what noise alone gives in this movie"
        return _three_digits(mass), why
    spots = [find_spots(band, diameter, 0.0, peak=settings.clean_mass * top) for band in bands]
    masses = np.concatenate([s["mass"].to_numpy() for s in spots])
    mass = settings.clean_mass * float(np.quantile(masses, 0.9)) if len(masses) else 0.0
    why = f"{settings.clean_mass:g} of the mass of bright spots, as the movie has no noise"
    return _three_digits(mass), why


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}") if value > 0 else 0.0


def _rounded_down(value: float) -> str:
    return f"{value:.2g}"
