"""The numbers of each segment that need no network: exponent, D and localisation error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.diffusion.covariance import estimate_covariance
from spt_explain.diffusion.msd import msd_exponent
from spt_explain.errors import SptError
from spt_explain.tracks.runs import offsets_of

if TYPE_CHECKING:
    from spt_explain.tracks.quality import Segments
    from spt_explain.tracks.runs import Floats
    from spt_explain.tracks.table import Calibration


def check_exposure(exposure: float) -> None:
    """Refuse what is no share of a frame.

    Raises
    ------
    SptError
        If it is not within 0…1.
    """
    if not 0 <= exposure <= 1:
        raise SptError(
            f"--exposure is {exposure:g}; expected the share of the frame that the shutter is "
            "open, 0 to 1: exposure time divided by frame interval."
        )


def estimate_motion(
    segments: Segments, calibration: Calibration, *, exposure: float = DEFAULT_EXPOSURE
) -> dict[str, Floats]:
    """Return the columns of the verdict table that describe motion, (m,) each.

    Only measured positions count, not those that gaps were filled with.

    Parameters
    ----------
    segments : Segments
        What is to be classified.
    calibration : Calibration
        Units of the positions.
    exposure : float
        Share of the frame that the shutter is open; matters to the localisation error alone.

    Returns
    -------
    dict of str to numpy.ndarray
        ``alpha_msd``, always; ``sigma_loc_um`` where the pixel size is known, ``D_um2_s`` where
        the frame interval is known too. NaN where there is no estimate; D can be negative.

    Raises
    ------
    SptError
        If the exposure is not within 0…1.
    """
    check_exposure(exposure)
    points = segments.points
    measured = ~points["interpolated"].to_numpy()
    owner = points["segment_id"].to_numpy()[measured]
    starts = offsets_of(np.bincount(owner, minlength=len(segments)))[:-1]
    frame, x, y = (points[name].to_numpy()[measured] for name in ("frame", "x", "y"))
    columns = {"alpha_msd": msd_exponent(frame, x, y, starts)}
    if calibration.length_unit == "um":
        found = estimate_covariance(frame, x, y, starts, exposure=exposure)
        if calibration.frame_interval_s is not None:
            columns["D_um2_s"] = found.d / calibration.frame_interval_s
        columns["sigma_loc_um"] = found.sigma
    return columns
