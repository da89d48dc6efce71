"""The chain from the frames of a movie to its tracks, and what is measured on the way."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from spt_explain.errors import option, printable
from spt_explain.movies.calibration import settle
from spt_explain.movies.compression import faithful_every, find_blocks
from spt_explain.movies.drift import measure_drift, subtract_drift
from spt_explain.movies.quiet import silence
from spt_explain.movies.settings import TrackingSettings
from spt_explain.movies.stack import Stack
from spt_explain.movies.tracked import Tracked
from spt_explain.tracks.table import Source, Tracks
from spt_explain.tracks.units import check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spt_explain.movies.bias import Bias
    from spt_explain.movies.compression import Blocks
    from spt_explain.movies.frames import FrameFiles

COLUMNS = ("particle", "frame", "x", "y", "x_px", "y_px", "mass", "sigma_static")
"""Columns of the tracks of a movie; the last one where it is known."""
SAMPLE_FRAMES = 8
"""Frames that are looked at for signs of compression."""
DRIFT_NOTE_PX = 1.0
"""A shared motion that goes further than this is said."""


def track_movie(
    name: str | Path | Sequence[str | Path] | FrameFiles,
    settings: TrackingSettings | None = None,
    *,
    jobs: int | None = None,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    progress: Callable[..., None] | None = None,
) -> Tracked:
    """Locate the spots of a movie and link them, and measure how good the tracks can be.

    Frames are read one at a time, so memory does not grow with the length of the movie. What
    `settings` leaves open is estimated from the movie itself.

    Parameters
    ----------
    name : str or pathlib.Path, or a sequence of them
        A stack, a folder of frames, or the files of the frames.
    settings : TrackingSettings, optional
        What is known; those of an earlier run give the same tracks again.
    jobs : int, optional
        Processes at most; the cores of this machine if not given.
    pixel_size_um, frame_interval_s : float, optional
        Pixel size in µm and time between frames in s; they fill in what the file does not say.
    override_units : bool, optional
        Let the two above replace what the file says.
    progress : callable, optional
        Called with the number of frames done, the number of frames and, if it takes three
        arguments, the number of spots found so far.

    Returns
    -------
    Tracked
        The tracks, the settled parameters with their reasons, and what was measured.

    Raises
    ------
    SptError
        If the file is no stack, is damaged, holds one frame only, is blank or saturated; if an
        option can't be used; if there are no spots, or too many to link.
    """
    import numpy as np

    from spt_explain.movies import locate
    from spt_explain.movies.bias import measure_bias
    from spt_explain.movies.estimate import estimate
    from spt_explain.movies.parallel import locate_movie
    from spt_explain.movies.precision import static_error

    settings = settings or TrackingSettings()
    check_options(pixel_size_um, frame_interval_s, override_units)
    with Stack(name, settings.channel, settings.z) as stack, silence():
        calibration, unit_notes = settle(
            stack.units,
            pixel_size_um=pixel_size_um,
            frame_interval_s=frame_interval_s,
            override_units=override_units,
        )
        parameters = estimate(stack, settings)
        spots, seen = locate_movie(stack, parameters, _telling(progress), jobs)
        table, parameters = locate.link_movie(
            spots, parameters, stack, any_memory=settings.memory is None
        )
        table, n_lone = locate.drop_lone(table, parameters.lone_mass)
        error, precision_note = static_error(stack, parameters, table)
        blocks = find_blocks(_sample(stack))
    table["x_px"], table["y_px"] = table["x"], table["y"]
    drift, every, motion_notes = _shared_motion(table, stack.n_frames, settings.drift, blocks)
    if drift is not None:
        table = subtract_drift(table, drift)
    bias = measure_bias(table[["x_px", "y_px"]].to_numpy(), table["particle"].to_numpy())
    n_tracks = int(table["particle"].nunique())
    counts = {"frames": stack.n_frames, "spots": len(table), **seen}
    if parameters.dark:
        counts["dark_spots"] = len(table)
    if n_lone:
        counts["lone_spots_left_out"] = n_lone
    notes = [
        *stack.notes,
        *unit_notes,
        f"{len(table):,} spots in {stack.n_frames:,} frames, joined to {n_tracks:,} tracks "
        f"with {locate.library()}.",
        *parameters.sentences(),
        *locate.warnings_for(counts, n_tracks),
        *motion_notes,
        precision_note,
        *_bias_notes(bias, parameters.diameter),
    ]
    table["sigma_static"] = np.nan if error is None else error
    if calibration.pixel_size_um is not None:
        table[["x", "y", "sigma_static"]] *= calibration.pixel_size_um
    columns = COLUMNS if error is not None else COLUMNS[:-1]
    form = f"{stack.format} stack ({stack.axes})"
    source = Source(printable(stack.name), form, tuple(notes), counts)
    settled = {
        field: getattr(parameters, field)
        for field in (
            "diameter", "minmass", "search_range", "memory", "dark", "peak", "adaptive", "lone_mass"
        )
    }  # fmt: skip
    return Tracked(
        tracks=Tracks(table[list(columns)], calibration, source, faithful_every=every),
        settings=settings.changed(**settled),
        reasons=dict(parameters.reasons),
        spots_per_frame=np.bincount(table["frame"], minlength=stack.n_frames).astype(np.int64),
        drift_px=drift,
        bias=bias,
        static_error_px=None if error is None else float(np.nanmedian(error)),
    )


def _shared_motion(
    table: pd.DataFrame, n_frames: int, subtract: bool, blocks: Blocks | None
) -> tuple[pd.DataFrame | None, int, list[str]]:
    """Return the drift to subtract, over how many frames motion is faithful, and what to say."""
    import numpy as np

    drift, note = measure_drift(table, n_frames)
    notes = []
    if subtract:
        notes.append(note)
    elif drift is not None:
        reach = float(np.hypot(drift["x"], drift["y"]).max())
        if reach > DRIFT_NOTE_PX:
            notes.append(
                f"All particles drift together, by up to {reach:.2g} px: {option('drift')} "
                "subtracts that."
            )
    every = 1
    if blocks is not None:
        free = table if drift is None else subtract_drift(table, drift)
        every = faithful_every(free)
        notes.append(blocks.describe())
        if every > 1:
            notes.append(
                f"Steps correlate over {every} frames, more than an exposure can make them: tracks "
                f"are judged by every {every} frames ({option('every', every)}, also for a table "
                "of these tracks)."
            )
    return drift if subtract else None, every, notes


def _sample(stack: Stack) -> list[npt.NDArray[np.float64]]:
    """Return some frames over the movie."""
    import numpy as np

    numbers = np.unique(np.linspace(0, stack.n_frames - 1, SAMPLE_FRAMES).round().astype(int))
    return [stack.frame(int(i)) for i in numbers]


def _bias_notes(bias: Bias | None, diameter: int) -> list[str]:
    if bias is None:
        return []
    warning = bias.warning(diameter)
    return [bias.describe()] + ([warning] if warning else [])


def _telling(progress: Callable[..., None] | None) -> Callable[[int, int, int], None] | None:
    """Return a function that tells of frames done, frames in all, and spots so far."""
    if progress is None:
        return None
    try:
        inspect.signature(progress).bind(0, 0, 0)
    except TypeError:
        return lambda done, total, _: progress(done, total)
    return progress
