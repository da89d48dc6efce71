"""What a user may decide about how a movie is tracked, and what a run found."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from spt_explain.core.config import LARGEST_WHOLE, Options, setting

DEFAULT_Z: Literal["max"] = "max"
"""What is made of several planes of depth by default: the brightest value."""


class TrackingSettings(Options):
    """How a movie becomes tracks; None stands for what is found from the movie itself.

    Attributes
    ----------
    channel : int or None
        Which channel is read, counted from 1 as Fiji shows them; None is the first.
    z : {"max", "mean"} or int
        Of several planes of depth the brightest value (``"max"``), their mean (``"mean"``) or one
        plane, counted from 1.
    diameter : int or None
        Odd diameter of the spots in px.
    minmass : float or None
        Least brightness of a spot: its grey values above background, summed.
    lone_mass : float or None
        Least brightness of a spot that is linked to no other, in grey values; fainter ones are
        taken for noise.
    dark : bool or None
        Whether spots are darker than the background.
    peak : float or None
        Least height of a spot after the band-pass, in grey values; saves time.
    search_range : float or None
        Largest move of a spot between two frames, in px.
    memory : int or None
        For how many frames a spot may be gone and still be the same particle.
    adaptive : bool or None
        Whether the search range shrinks where spots are too dense for it; None: where it was
        not given.
    drift : bool
        Whether the motion that all particles share is subtracted.

    Raises
    ------
    SptError
        If a value is of another type, or out of its range.

    Notes
    -----
    In a parameter file (`spt_explain.movies.parameter_file`), a value stands in the ``table`` of
    its field, by its name or its ``key``, with its ``comment``.
    """

    heading: ClassVar[str] = "Tracking"

    channel: int | None = setting(
        None,
        "Which channel is tracked, counted from 1 as in Fiji. Default: the first.",
        metavar="N",
        file={"table": "stack", "comment": "counted from 1; the first if nothing is said"},
        ge=1,
        le=LARGEST_WHOLE,
    )
    z: Literal["max", "mean"] | Annotated[int, Field(ge=1, le=LARGEST_WHOLE)] = setting(
        DEFAULT_Z,
        "Of several planes of depth: the brightest value, the mean, or one plane, counted from 1.",
        file={"table": "stack", "comment": "of several planes of depth"},
    )
    diameter: int | None = setting(
        None,
        "Diameter of the spots in px, an odd number. auto: from their size in the movie.",
        none="auto",
        expects="an odd whole number of pixels, 3 or more",
        file={"table": "spots", "comment": "px"},
        ge=3,
        le=LARGEST_WHOLE,
    )
    minmass: float | None = setting(
        None,
        "Least brightness of a spot: its grey values above background, summed. auto: what noise "
        "alone does not reach.",
        unit="grey values",
        none="auto",
        file={
            "table": "spots",
            "comment": "grey values above background, summed over a spot",
        },
        ge=0,
    )
    lone_mass: float | None = setting(
        None,
        "Least brightness of a spot that is linked to no other.",
        unit="grey values",
        file={"table": "spots", "comment": "the same for spots that are linked to no other"},
        ge=0,
    )
    dark: bool | None = setting(
        None,
        "Spots are darker, or brighter, than the background. Default: found from the movie.",
        off="bright",
        file={"table": "spots", "comment": "whether spots are darker than the background"},
    )
    peak: float | None = setting(
        None,
        "Least height of a spot after the band-pass.",
        unit="grey values",
        file={
            "table": "spots",
            "comment": "grey values; lower peaks are not tried, which saves time",
        },
        ge=0,
    )
    search_range: float | None = setting(
        None,
        "Largest move of a spot between two frames, in px. auto: from the moves in the movie.",
        unit="px",
        none="auto",
        file={"table": "links", "comment": "px"},
        gt=0,
    )
    memory: int | None = setting(
        None,
        "For how many frames a spot may be gone and still be the same particle. auto: as many as "
        "tracks resume after more often than by chance.",
        unit="frames",
        none="auto",
        file={"table": "links", "comment": "frames"},
        ge=0,
        le=LARGEST_WHOLE,
    )
    adaptive: bool | None = setting(
        None,
        "Whether the search range shrinks where spots are too dense for it.",
        file={
            "table": "links",
            "comment": "whether the range shrinks where spots are too dense for it",
        },
    )
    drift: bool = setting(
        False,
        "Subtract the motion that all particles share.",
        off="no_drift",
        file={
            "table": "drift",
            "key": "correct",
            "comment": "whether the motion that all particles share is subtracted",
        },
    )

    @field_validator("diameter")
    @classmethod
    def _odd(cls, diameter: int | None) -> int | None:
        # A spot needs a middle pixel.
        if diameter is not None and diameter % 2 == 0:
            raise ValueError
        return diameter
