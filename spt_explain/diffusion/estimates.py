"""The numbers of each segment that need no network: exponent, D and localisation error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.diffusion import DEFAULT_EXPOSURE
from spt_explain.diffusion.covariance import estimate_covariance
from spt_explain.diffusion.msd import msd_exponent
from spt_explain.errors import SptError, option
from spt_explain.tracks.runs import offsets_of
from spt_explain.tracks.thinning import renumbered, thin

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            f"{option('exposure')} is {exposure:g}; expected the share of the frame that the "
            "shutter is open, 0 to 1: exposure time divided by frame interval.",
            option="exposure",
        )


def estimate_motion(
    segments: Segments,
    calibration: Calibration,
    *,
    exposure: float = DEFAULT_EXPOSURE,
    every: int = 1,
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
    every : int
        From every so many-th point, averaged over the ways to begin.

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
    if every > 1:
        interval = calibration.frame_interval_s
        longer = replace(
            calibration, frame_interval_s=None if interval is None else every * interval
        )
        parts = [
            estimate_motion(
                renumbered(thin(segments, every, first), every), longer, exposure=exposure / every
            )
            for first in range(every)
        ]
        return {name: _mean([part[name] for part in parts]) for name in parts[0]}
    points = segments.points
    measured = ~points["interpolated"].to_numpy()
    owner = points["segment_id"].to_numpy()[measured]
    count = np.bincount(owner, minlength=len(segments))
    seen = count > 0  # of every so many points of a segment, all may be filled in
    starts = offsets_of(count[seen])[:-1]
    frame, x, y = (points[name].to_numpy()[measured] for name in ("frame", "x", "y"))
    columns = {"alpha_msd": msd_exponent(frame, x, y, starts)}
    if calibration.length_unit == "um":
        found = estimate_covariance(frame, x, y, starts, exposure=exposure)
        if calibration.frame_interval_s is not None:
            columns["D_um2_s"] = found.d / calibration.frame_interval_s
        columns["sigma_loc_um"] = found.sigma
    if not seen.all():
        for name, values in columns.items():
            columns[name] = np.full(len(seen), np.nan)
            columns[name][seen] = values
    return columns


def _mean(values: Sequence[Floats]) -> Floats:
    """Return the mean of what is known; NaN where nothing is."""
    held = np.array(values)
    known = np.isfinite(held)
    total = np.where(known, held, 0.0).sum(axis=0)
    mean: Floats = np.divide(
        total, known.sum(axis=0), out=np.full(held.shape[1], np.nan), where=known.any(axis=0)
    )
    return mean
