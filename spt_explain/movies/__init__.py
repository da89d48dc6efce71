"""Movies to tracks: a microscopy stack is located and linked with trackpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.movies.chain import track_movie
from spt_explain.movies.settings import TrackingSettings
from spt_explain.movies.stack import is_stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spt_explain.tracks.table import Tracks

__all__ = ["TrackingSettings", "is_stack", "track_movie", "track_stack"]


def track_stack(
    name: str | Path,
    *,
    diameter: int | None = None,
    minmass: float | None = None,
    search_range: float | None = None,
    memory: int | None = None,
    dark: bool | None = None,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Tracks:
    """Locate the spots of a movie and link them into tracks.

    Frames are read one at a time, so memory does not grow with the length of the movie. What is
    not given is estimated from a few frames of the movie itself; each value and its reason is in
    the notes of the result.

    Parameters
    ----------
    name : str or pathlib.Path
        A stack as TIFF, BigTIFF, ImageJ TIFF or OME-TIFF. One axis is time (the first, if none is
        named); of several channels the first is read, over depth the brightest value is taken.
    diameter : int, optional
        Odd diameter of the spots in px.
    minmass : float, optional
        Least brightness of a spot: its grey values above background, summed.
    search_range : float, optional
        Largest move of a spot between two frames, in px.
    memory : int, optional
        For how many frames a spot may be gone and still be the same particle.
    dark : bool, optional
        Whether spots are darker than the background (bright field).
    pixel_size_um, frame_interval_s : float, optional
        Pixel size in µm and time between frames in s; they fill in what the file does not say.
    override_units : bool, optional
        Let the two above replace what the file says.
    progress : callable, optional
        Called with the number of frames done and the number of frames.

    Returns
    -------
    Tracks
        Positions in µm if the pixel size is known, else in px; the middle of the first pixel is
        0. Frames count from 0.

    Raises
    ------
    SptError
        If the file is no stack, is damaged, holds one frame only, is blank or saturated; if an
        option can't be used; if there are no spots, or too many to link.
    """
    settings = TrackingSettings(
        diameter=diameter, minmass=minmass, search_range=search_range, memory=memory, dark=dark
    )
    return track_movie(
        name,
        settings,
        pixel_size_um=pixel_size_um,
        frame_interval_s=frame_interval_s,
        override_units=override_units,
        progress=progress,
    ).tracks
