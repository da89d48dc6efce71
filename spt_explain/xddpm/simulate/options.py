"""What a user may decide about simulated movies, beside the settings of their kind."""

from __future__ import annotations

from typing import ClassVar, Literal

from spt_explain.core.config import Options, setting
from spt_explain.xddpm.simulate.kinds import MAX_FRAMES, MAX_SIZE, MIN_SIZE, SIZES

MOVIES = 100
"""Number of movies where none is given."""
FRAMES = 20
"""Frames of a movie where none are given."""
_LARGE = SIZES["jellyfish"]


class MovieSimulationOptions(Options):
    """How many movies are simulated, of what size, where and for how long.

    Attributes
    ----------
    movies, frames, size : int or None
        Number of movies, their frames, and the side of a frame in px. None: what the recipe says,
        else `MOVIES`, `FRAMES` and the kind's `SIZES`.
    seed : int or None
        Same seed and options, same movies. None: the recipe's, else drawn.
    minutes : float or None
        Begin no further block of movies after so many.
    resume : bool
        Whether to go on with the folder that was interrupted.
    device : {"cpu", "cuda", "auto"}
        Where phase fields and flows are computed.
    """

    heading: ClassVar[str] = "Simulation"

    movies: int | None = setting(
        None, f"Number of movies. Default: {MOVIES}.", metavar="N", ge=1, le=10_000_000
    )
    frames: int | None = setting(
        None,
        f"Frames of a movie. Default: {FRAMES}.",
        unit="frames",
        metavar="N",
        ge=2,
        le=MAX_FRAMES,
    )
    size: int | None = setting(
        None,
        f"Side of a frame in pixels. Default: {SIZES['spots']}; {_LARGE} for jellyfish.",
        unit="pixels",
        metavar="PX",
        ge=MIN_SIZE,
        le=MAX_SIZE,
    )
    seed: int | None = setting(
        None,
        "Same seed and options, same movies. Default: drawn, and said.",
        metavar="N",
        ge=0,
        le=2**63 - 1,
    )
    minutes: float | None = setting(
        None,
        "Begin no more movies after so many minutes; {resume} goes on. Default: no end.",
        unit="minutes",
        metavar="M",
        gt=0,
    )
    resume: bool = setting(
        False, "Go on with the movies that were interrupted; those that are done stay."
    )
    device: Literal["cpu", "cuda", "auto"] = setting(
        "cpu", "Where cells and flows are computed; last digits differ between devices."
    )
