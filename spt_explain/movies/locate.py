"""Spots in each frame and their links over frames, by trackpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.errors import SptError
from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.parameters import Parameters
    from spt_explain.movies.stack import Stack

    Frame = npt.NDArray[np.float64]

NOISE_SIZE_PX = 1.0
"""Radius of the Gaussian that smooths away pixel noise before spots are looked for."""
SATURATED_NOTE_FRACTION = 0.001
"""Above this fraction of saturated spots the user is told."""
COMPILE_ABOVE = 20_000
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

    bandpass = _trackpy().preprocessing.bandpass
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
            preprocess=False,
            percentile=percentile,
            characterize=False,
            engine=engine,
        )
    if len(spots) == 0:
        return empty
    spots = spots[["y", "x", "mass"]].reset_index(drop=True)
    spots["mass"] /= gain
    kept: pd.DataFrame = spots[np.isfinite(spots.to_numpy()).all(axis=1)]
    return kept.reset_index(drop=True)


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
    table: pd.DataFrame = linked[["particle", "frame", "x", "y"]].astype(
        {"particle": np.int64, "frame": np.int64, "x": np.float64, "y": np.float64}
    )
    return table.sort_values(["particle", "frame"], kind="stable", ignore_index=True)


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


def _trackpy() -> ModuleType:
    """Import trackpy without the warnings of what it imports."""
    with silence():
        import trackpy
    return trackpy  # type: ignore[no-any-return]


def _engine(n_spots: int, n_done: int, n_frames: int) -> str:
    """Return trackpy's engine: numba only where there is enough to do to pay for compiling."""
    available = _trackpy().try_numba.NUMBA_AVAILABLE
    expected = n_spots / max(n_done, 1) * n_frames
    return "numba" if available and expected > COMPILE_ABOVE else "python"


def _rounded_down(value: float) -> str:
    return f"{value:.2g}"
