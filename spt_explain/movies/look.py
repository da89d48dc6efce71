"""A few frames of a movie with the spots in them, to judge parameters by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.movies.calibration import settle
from spt_explain.movies.parameters import EstimationSettings
from spt_explain.movies.quiet import silence
from spt_explain.movies.settings import TrackingSettings
from spt_explain.movies.stack import Stack
from spt_explain.tracks.units import check_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from spt_explain.movies.frames import FrameFiles
    from spt_explain.movies.tracked import Tracked
    from spt_explain.tracks.table import Calibration

    Floats = npt.NDArray[np.float64]

MASS_SIDE_PX = 512
"""Masses of all peaks, noise included, are measured in a square of this side, which saves time."""


@dataclass(frozen=True, eq=False)
class LookedFrame:
    """One frame, and what was found there.

    Attributes
    ----------
    index : int
        Its number, from 0.
    role : str
        Why this one: ``"first"``, ``"middle"``, ``"densest"``, or several of them.
    image : numpy.ndarray of float64, shape (height, width)
        Grey values.
    spots : numpy.ndarray of float64, shape (n, 2)
        x and y of the spots found, in px.
    masses : numpy.ndarray of float64, shape (k,)
        Masses of all peaks in the middle of the frame, those too weak to be spots included.
    """

    index: int
    role: str
    image: Floats
    spots: Floats
    masses: Floats


@dataclass(frozen=True, eq=False)
class Look:
    """What a look at a few frames of a movie gives.

    Attributes
    ----------
    settings : TrackingSettings
        As they would be used; a memory that was not given is None: it takes the tracks to tell.
    reasons : dict of str to str
        Why each value of `settings` is what it is, by its name.
    frames : tuple of LookedFrame
        The first, the middle and the densest frame, as far as they differ.
    calibration : Calibration
        Units, and where they came from.
    format : str
        The format in words.
    notes : tuple of str
        What was assumed about axes and units.
    n_frames, n_looked, height, width : int
        Frames of the movie; frames in which spots were counted; size of a frame in px.
    """

    settings: TrackingSettings
    reasons: dict[str, str]
    frames: tuple[LookedFrame, ...]
    calibration: Calibration
    format: str
    notes: tuple[str, ...]
    n_frames: int
    n_looked: int
    height: int
    width: int


def look_at(
    name: str | Path | Sequence[str | Path] | FrameFiles,
    settings: TrackingSettings | None = None,
    *,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> Look:
    """Find the spots in a few frames only, with the parameters that tracking would take.

    Parameters
    ----------
    name, settings, pixel_size_um, frame_interval_s, override_units
        As in `track_movie`.
    progress : callable, optional
        Called with frames done, their number, and spots so far.

    Returns
    -------
    Look

    Raises
    ------
    SptError
        As `track_movie`; that there are no spots is no error here.
    """
    import numpy as np

    from spt_explain.movies.estimate import estimate, sample
    from spt_explain.movies.locate import band_pass, find_spots

    settings = settings or TrackingSettings()
    check_options(pixel_size_um, frame_interval_s, override_units)
    with Stack(name, channel=settings.channel, z=settings.z) as stack, silence():
        calibration, unit_notes = settle(
            stack.units,
            pixel_size_um=pixel_size_um,
            frame_interval_s=frame_interval_s,
            override_units=override_units,
        )
        found = estimate(stack, settings)
        some = sample(stack.n_frames, stack.height * stack.width, EstimationSettings())
        numbers = sorted({0, stack.n_frames // 2, *some})
        spots: dict[int, Floats] = {}
        for done, index in enumerate(numbers):
            frame = stack.frame(index)
            spots[index] = np.empty((0, 2))
            if np.ptp(frame) > 0:
                band = band_pass(frame, found.diameter, dark=found.dark)
                here = find_spots(band, found.diameter, found.minmass, peak=found.peak)
                spots[index] = here[["x", "y"]].to_numpy(np.float64)
            if progress is not None:
                progress(done + 1, len(numbers), sum(map(len, spots.values())))
        settled = settings.changed(
            diameter=found.diameter,
            minmass=found.minmass,
            search_range=found.search_range,
            dark=found.dark,
            peak=found.peak,
            adaptive=found.adaptive,
        )
        counts = np.zeros(stack.n_frames, dtype=np.int64)
        counts[numbers] = [len(spots[index]) for index in numbers]
        frames = [
            _looked(stack, index, role, spots[index], settled)
            for index, role in frames_to_show(counts)
        ]
        return Look(
            settings=settled,
            reasons={**found.reasons, **_not_yet(settings)},
            frames=tuple(frames),
            calibration=calibration,
            format=f"{stack.format} stack ({stack.axes})",
            notes=(*stack.notes, *unit_notes),
            n_frames=stack.n_frames,
            n_looked=len(numbers),
            height=stack.height,
            width=stack.width,
        )


def frames_of(
    name: str | Path | Sequence[str | Path] | FrameFiles, tracked: Tracked
) -> tuple[LookedFrame, ...]:
    """Return the first, the middle and the densest frame of a movie that was tracked.

    Parameters
    ----------
    name : str, pathlib.Path, a sequence of them, or FrameFiles
        The movie.
    tracked : Tracked
        What tracking it gave.

    Raises
    ------
    SptError
        If the movie can't be read any more.
    """
    import numpy as np

    table = tracked.tracks.table
    frame = table["frame"].to_numpy()
    settings = tracked.settings
    with Stack(name, channel=settings.channel, z=settings.z) as stack, silence():
        return tuple(
            _looked(
                stack, index, role,
                table.loc[frame == index, ["x_px", "y_px"]].to_numpy(np.float64), settings,
            )
            for index, role in frames_to_show(tracked.spots_per_frame)
        )  # fmt: skip


def frames_to_show(counts: npt.NDArray[np.int64]) -> list[tuple[int, str]]:
    """Return the numbers of the first, the middle and the densest frame, and what each is.

    Parameters
    ----------
    counts : numpy.ndarray of int64, shape (n_frames,)
        Spots in each frame.
    """
    roles: dict[int, list[str]] = {}
    named = {"first": 0, "middle": len(counts) // 2, "densest": int(counts.argmax())}
    for role, index in named.items():
        roles.setdefault(index, []).append(role)
    return [(index, ", ".join(roles[index])) for index in sorted(roles)]


def _looked(
    stack: Stack, index: int, role: str, spots: Floats, settings: TrackingSettings
) -> LookedFrame:
    import numpy as np

    from spt_explain.movies.locate import band_pass, find_spots

    image = stack.frame(index)
    assert settings.diameter is not None
    masses = np.empty(0)
    y, x = (slice(max((n - MASS_SIDE_PX) // 2, 0), (n + MASS_SIDE_PX) // 2) for n in image.shape)
    if np.ptp(image[y, x]) > 0:
        band = band_pass(image[y, x], settings.diameter, dark=bool(settings.dark))
        masses = find_spots(band, settings.diameter, 0.0)["mass"].to_numpy(np.float64)
    return LookedFrame(index, role, image, spots, masses)


def _not_yet(settings: TrackingSettings) -> dict[str, str]:
    return {"memory": "found from the tracks"} if settings.memory is None else {}
