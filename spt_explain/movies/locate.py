"""Spots in each frame and their links over frames, by trackpy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.parameters import Parameters
    from spt_explain.movies.stack import Stack

    Frame = npt.NDArray[np.float64]
    Band = npt.NDArray[np.float32]

NOISE_SIZE_PX = 1.0
"""Radius of the Gaussian that smooths away pixel noise before spots are looked for."""
SATURATED_NOTE_FRACTION = 0.001
"""Above this fraction of saturated spots the user is told."""
COMPILE_ABOVE = 20_000
"""Above this many spots, compiling trackpy's numba code (some seconds) pays, if numba is there."""
TRIAL_RUNS, TRIAL_FRAMES = 3, 200
"""Memory and longer jumps are judged by so many runs of so many frames of longer movies."""
MAX_WIDENED = 3
"""The search range is widened this often at most."""
CLOSEST_PX = 3
"""Maxima of light that are further apart than this are looked at each for itself."""
LEAST_RANGE_PX = 0.5
"""A search range that had to be made smaller than this can't be linked at all."""
_FULL_SCALE = 60_000.0
_TYPES = {"particle": "int64", "frame": "int64", "x": "float64", "y": "float64"}


def band_pass(frame: Frame, diameter: int, *, dark: bool = False) -> Band:
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
    numpy.ndarray of float32, shape (height, width)
        Grey values above background, negative ones included.
    """
    import numpy as np
    from scipy import ndimage

    level = (frame - np.median(frame)).astype(np.float32)
    if dark:
        np.negative(level, out=level)
    # Mirrored at the border, which trackpy's own filters darken by taking zero beyond it.
    band: Band = ndimage.gaussian_filter(level, NOISE_SIZE_PX, mode="reflect")
    band -= ndimage.uniform_filter(level, diameter, mode="reflect")
    return band


def find_spots(
    band: Band, diameter: int, minmass: float, *, peak: float = 0.0, engine: str = "python"
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
        Columns y, x (px, the middle of the first pixel is 0) and mass (grey values).
    """
    import numpy as np
    import pandas as pd

    trackpy = _trackpy()
    empty = pd.DataFrame({name: np.empty(0) for name in ("y", "x", "mass")})
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
    with silence("trackpy"):
        spots = trackpy.locate(
            whole,
            diameter,
            minmass=minmass * gain,
            separation=max(CLOSEST_PX, diameter // 2),
            preprocess=False,
            percentile=percentile,
            characterize=False,
            engine=engine,
        )
    spots = spots[["y", "x", "mass"]].reset_index(drop=True)
    spots = spots[np.isfinite(spots.to_numpy()).all(axis=1)].reset_index(drop=True)
    if len(spots) == 0:
        return empty
    spots["mass"] /= gain
    # Of two that are closer the higher one stays: masses overlap, and differ by noise alone.
    yx = spots[["y", "x"]].to_numpy()
    height = light[tuple(yx.round().astype(int).T)]
    close = trackpy.find.where_close(yx, (separation_px(diameter),) * 2, height)
    kept: pd.DataFrame = spots.drop(index=close).sort_values(["y", "x"], ignore_index=True)
    return kept


def separation_px(diameter: int) -> int:
    """Return how far apart two spots are at least, in px.

    trackpy's own choice, ``diameter + 1``, merges neighbours that can be told apart: on rendered
    movies of 10 spots in 100 × 100 px this one finds 2 to 5 % more, and loses nothing elsewhere.
    """
    return diameter // 2 + 2


def engine_for(n_spots: int, n_frames: int, n_all: int) -> str:
    """Return trackpy's engine: numba only where there is enough to do to pay for compiling.

    Parameters
    ----------
    n_spots, n_frames : int
        Spots found in the first frames, and the number of those.
    n_all : int
        Frames in all.
    """
    available = _trackpy().try_numba.NUMBA_AVAILABLE
    expected = n_spots / max(n_frames, 1) * n_all
    return "numba" if available and expected > COMPILE_ABOVE else "python"


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
        Columns ``particle``, ``frame`` (int64), ``x``, ``y`` in px, and ``mass`` where `spots` has
        it, sorted by particle, then frame.

    Raises
    ------
    SptError
        If spots are too dense for the search range.
    """
    trackpy = _trackpy()
    adaptive = {}
    if parameters.adaptive:
        adaptive = {"adaptive_stop": parameters.search_range / 4, "adaptive_step": 0.9}
    try:
        with silence("trackpy"):
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
    columns = [*_TYPES, *(["mass"] if "mass" in linked.columns else [])]
    table: pd.DataFrame = linked[columns].astype(_TYPES)
    return table.sort_values(["particle", "frame"], kind="stable", ignore_index=True)


def link_movie(
    spots: pd.DataFrame, parameters: Parameters, stack: Stack, *, any_memory: bool
) -> tuple[pd.DataFrame, Parameters]:
    """Link, and settle what the links themselves tell: the memory, and a range that can be linked.

    Parameters
    ----------
    spots : pandas.DataFrame
        Columns ``frame``, ``y``, ``x`` in px.
    parameters : Parameters
        Search range and memory.
    stack : Stack
        The movie.
    any_memory : bool
        Whether the memory is to be estimated.

    Returns
    -------
    table : pandas.DataFrame
        As from `link`.
    parameters : Parameters
        With the memory and the search range that were used, and why.

    Raises
    ------
    SptError
        If spots are too dense for a search range that was given.
    """
    from spt_explain.movies.linking import estimate_memory, widen_range

    shape = (stack.height, stack.width)
    free_range = parameters.reasons.get("search_range", "given") != "given"
    if not free_range and not any_memory:
        return link(spots, parameters, stack.name), parameters
    some = _trial(spots, stack.n_frames)
    table, parameters = _link_somehow(some, parameters, stack.name, free_range)
    for _ in range(MAX_WIDENED if free_range else 0):
        wider = widen_range(table, parameters.search_range, shape)
        if wider is None:
            break
        wanted = _with(parameters, "search_range", *wider)
        table, parameters = _link_somehow(some, wanted, stack.name, free_range)
        if parameters.search_range < wanted.search_range:
            break
    if any_memory:
        memory, why = estimate_memory(table, parameters.search_range, shape)
        parameters = _with(parameters, "memory", memory, why)
    if parameters.memory == 0 and len(some) == len(spots):
        return table, parameters
    try:
        return _link_somehow(spots, parameters, stack.name, free_range=False)
    except SptError:
        if any_memory and parameters.memory:
            said = f"{parameters.reasons['memory']}, but spots are too dense to bridge it"
            parameters = _with(parameters, "memory", 0, said)
        return _link_somehow(spots, parameters, stack.name, free_range)


def _trial(spots: pd.DataFrame, n_frames: int) -> pd.DataFrame:
    """Return the spots of some runs of frames of a long movie, all those of a short one."""
    if n_frames <= TRIAL_RUNS * TRIAL_FRAMES:
        return spots
    frame = spots["frame"].to_numpy()
    step = (n_frames - TRIAL_FRAMES) // (TRIAL_RUNS - 1)
    wanted = (frame % step < TRIAL_FRAMES) & (frame // step < TRIAL_RUNS)
    return spots[wanted].reset_index(drop=True)


def drop_lone(table: pd.DataFrame, lone_mass: float) -> tuple[pd.DataFrame, int]:
    """Leave out faint spots that are linked to no other, as noise, and say how many."""
    alone = ~table["particle"].duplicated(keep=False)
    noise = alone & (table["mass"] < lone_mass)
    return table[~noise].reset_index(drop=True), int(noise.sum())


def _link_somehow(
    spots: pd.DataFrame, parameters: Parameters, name: str, free_range: bool
) -> tuple[pd.DataFrame, Parameters]:
    """Link; where spots are too dense for a range that was not given, with a smaller one."""
    while True:
        try:
            return link(spots, parameters, name), parameters
        except SptError:
            smaller = round(0.8 * parameters.search_range, 1)
            if not free_range or smaller < LEAST_RANGE_PX:
                raise
            why = (
                "the largest at which spots so dense can be linked; "
                f"{parameters.search_range:g} px are too much"
            )
            parameters = _with(parameters, "search_range", smaller, why)


def _with(parameters: Parameters, name: str, value: float, why: str) -> Parameters:
    changed: dict[str, Any] = {name: value}
    return replace(parameters, **changed, reasons={**parameters.reasons, name: why})


def library() -> str:
    """Return trackpy's name and version."""
    return f"trackpy {_trackpy().__version__}"


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
            "they hold no spots."
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


def _trackpy() -> ModuleType:
    """Import trackpy without the warnings of what it imports."""
    with silence():
        import trackpy
    return trackpy  # type: ignore[no-any-return]


def _rounded_down(value: float) -> str:
    return f"{value:.2g}"
