"""What a user may say about how a movie is tracked, and what a run settled on."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_Z = "max"
"""What is made of several planes of depth where nothing is said: the brightest value."""


@dataclass(frozen=True)
class TrackingSettings:
    """How a movie becomes tracks; None stands for what is found from the movie itself.

    Attributes
    ----------
    channel : int or None
        Which channel is read, counted from 1 as Fiji shows them; None is the first.
    z : str or int
        Of several planes of depth the brightest value (``"max"``), their mean (``"mean"``) or one
        plane, counted from 1.
    diameter : int or None
        Odd diameter of the spots in px.
    minmass : float or None
        Least brightness of a spot: its grey values above background, summed.
    search_range : float or None
        Largest move of a spot between two frames, in px.
    memory : int or None
        For how many frames a spot may be gone and still be the same particle.
    dark : bool or None
        Whether spots are darker than the background.
    peak : float or None
        Least height of a spot after the band-pass, in grey values; saves time.
    lone_mass : float or None
        Least brightness of a spot that is linked to no other, in grey values; fainter ones are
        taken for noise.
    adaptive : bool or None
        Whether the search range shrinks where spots are too dense for it; None: where it was
        not given.
    drift : bool
        Whether the motion that all particles share is subtracted.
    """

    channel: int | None = None
    z: str | int = DEFAULT_Z
    diameter: int | None = None
    minmass: float | None = None
    search_range: float | None = None
    memory: int | None = None
    dark: bool | None = None
    peak: float | None = None
    lone_mass: float | None = None
    adaptive: bool | None = None
    drift: bool = False
