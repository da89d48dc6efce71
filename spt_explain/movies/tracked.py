"""What tracking a movie gives besides the tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.bias import Bias
    from spt_explain.movies.settings import TrackingSettings
    from spt_explain.tracks.table import Tracks


@dataclass(frozen=True, eq=False)
class Tracked:
    """A movie's tracks, and how they came about.

    Attributes
    ----------
    tracks : Tracks
        Positions; further columns ``x_px``, ``y_px`` (px in the movie, before drift is
        subtracted), ``mass`` (grey values above background) and ``sigma_static`` (static
        localisation error, per axis, in the unit of ``x``; nan where not known).
    settings : TrackingSettings
        Every value as it was used; the same settings give the same tracks.
    reasons : dict of str to str
        Why each value of `settings` is what it is, by its name.
    spots_per_frame : numpy.ndarray of int64, shape (n_frames,)
        Spots found in each frame.
    drift_px : pandas.DataFrame or None
        Columns ``frame``, ``x``, ``y``: what was subtracted, in px; None where nothing was.
    bias : Bias or None
        How evenly positions fall within a pixel; None with too few spots.
    static_error_px : float or None
        Median static localisation error, per axis, in px; None where not known.
    """

    tracks: Tracks
    settings: TrackingSettings
    reasons: dict[str, str]
    spots_per_frame: npt.NDArray[np.int64]
    drift_px: pd.DataFrame | None
    bias: Bias | None
    static_error_px: float | None
