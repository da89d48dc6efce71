"""What can be set for each kind of simulated movie, with ranges that are checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Mapping

Span = tuple[float, float]
"""Least and greatest value; each movie draws its own, uniformly."""


@dataclass(frozen=True)
class Cell:
    """One cell that becomes rounder under its tension; its volume stays.

    The defaults hold the correlation of area and circumference to about 0.65 (0.97 in round cells):
    else neither could be told from the other.

    Attributes
    ----------
    radius : tuple of (float, float)
        Radius of the circle of the cell's area, in sides of the frame.
    aspect : tuple of (float, float)
        Long over short axis at the beginning.
    roughness : tuple of (float, float)
        Relative height of the bumps along the outline at the beginning.
    rounding : tuple of (float, float)
        Length of the movie in units of R² / 3m, the time in which an elongated cell loses all but
        1/e of its elongation (the tension's strength).
    interface_px : float
        Width w of the interface; from 10 to 90 % of the phase it takes 4.4 w.
    noise : float
        Standard deviation of the camera's noise; the brightest cell has 1.
    circumference : {"pixels", "length"}
        Whether the signal ``circumference`` is the number of pixels of the cell with a background
        8-neighbour, or the length of its outline in px.
    """

    limits: ClassVar[dict[str, Span]] = {
        "radius": (0.04, 0.4),
        "aspect": (1.0, 6.0),
        "roughness": (0.0, 0.6),
        "rounding": (0.0, 20.0),
        "interface_px": (0.7, 4.0),
        "noise": (0.0, 10.0),
        "brightness": (0.01, 10.0),
        "dim": (0.01, 10.0),
        "bright": (0.01, 10.0),
        "contact_angle_deg": (20.0, 160.0),
        "height": (0.0, 0.95),
        "texture_px": (0.5, 20.0),
        "texture_mean": (-10.0, 10.0),
        "contrast": (0.0, 10.0),
        "drift_px": (0.0, 20.0),
        "swing": (0.0, 0.6),
    }

    radius: Span = (0.155, 0.195)
    aspect: Span = (1.0, 5.0)
    roughness: Span = (0.0, 0.5)
    rounding: Span = (0.05, 0.5)
    interface_px: float = 0.8
    noise: float = 0.0
    circumference: Literal["pixels", "length"] = "pixels"


@dataclass(frozen=True)
class Tension(Cell):
    """A cell in the middle of the frame; signals area and circumference of each frame."""


@dataclass(frozen=True)
class Wetting(Cell):
    """A cell that spreads on a wall, the lower edge of the frame, or draws back from it.

    Attributes
    ----------
    contact_angle_deg : tuple of (float, float)
        Young's angle between wall and outline, inside the cell.
    height : tuple of (float, float)
        Height of the cell's middle above the wall at the beginning, in radii.
    """

    radius: Span = (0.15, 0.19)
    rounding: Span = (0.2, 2.0)
    contact_angle_deg: Span = (50.0, 140.0)
    height: Span = (0.0, 0.95)


@dataclass(frozen=True)
class TwoCells(Cell):
    """Two cells that don't overlap; area, circumference and intensity of one of them.

    Attributes
    ----------
    dim, bright : tuple of (float, float)
        Brightness of the dimmer and of the brighter cell.
    signal_from : {"dim", "bright"}
        The cell that carries the signals.
    """

    radius: Span = (0.12, 0.16)
    aspect: Span = (1.0, 4.0)
    noise: float = 0.02
    dim: Span = (0.4, 0.55)
    bright: Span = (0.8, 1.0)
    signal_from: Literal["dim", "bright"] = "dim"


@dataclass(frozen=True)
class Textured(Cell):
    """A cell in front of a texture that drifts; area and circumference of the cell.

    Attributes
    ----------
    brightness : tuple of (float, float)
        Brightness of the cell.
    texture_px : float
        Radius of the texture's grains.
    texture_mean, contrast : float
        Mean and standard deviation of the texture.
    drift_px : tuple of (float, float)
        Distance by which the texture moves from frame to frame, in a direction of its own.
    """

    noise: float = 0.02
    brightness: Span = (0.7, 0.9)
    texture_px: float = 1.5
    texture_mean: float = 0.5
    contrast: float = 0.3
    drift_px: Span = (0.3, 1.5)


@dataclass(frozen=True)
class SomeFrames(Cell):
    """A cell whose size and brightness change from frame to frame; signals of some frames only.

    The radius varies little from movie to movie: what all frames share tells nothing of the signal.

    Attributes
    ----------
    brightness : tuple of (float, float)
        Brightness of the cell, drawn anew for each frame.
    swing : float
        Largest relative change of the volume, drawn anew for each frame.
    first, last : int or None
        The frames, counted from 0 and both included, whose mean area and mean intensity are the
        signals; by default a fifth of the movie from its middle on.
    """

    radius: Span = (0.17, 0.185)
    aspect: Span = (1.0, 2.0)
    roughness: Span = (0.0, 0.2)
    noise: float = 0.02
    brightness: Span = (0.3, 1.0)
    swing: float = 0.4
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class Spots:
    """Spots that diffuse among spots that don't; number, light and diffusion of the former.

    Attributes
    ----------
    mobile, immobile : tuple of (int, int)
        Least and greatest number in a movie.
    diffusion : tuple of (float, float)
        Diffusion coefficient of the mobile spots in px² per frame, the same for all of a movie;
        drawn uniformly in its logarithm.
    sigma_px : float
        Gaussian radius of a spot.
    brightness : tuple of (float, float)
        Height of a spot; each has its own.
    flicker : float
        Relative standard deviation of a spot's brightness from frame to frame.
    reach_sigma : float
        Pixels whose middle is within so many radii of a mobile spot carry the signals.
    noise : float
        Standard deviation of the camera's noise.
    """

    limits: ClassVar[dict[str, Span]] = {
        "mobile": (1, 1000),
        "immobile": (0, 1000),
        "diffusion": (1e-3, 100.0),
        "sigma_px": (0.3, 10.0),
        "brightness": (0.01, 10.0),
        "flicker": (0.0, 1.0),
        "reach_sigma": (0.5, 5.0),
        "noise": (0.0, 10.0),
    }

    mobile: tuple[int, int] = (1, 8)
    immobile: tuple[int, int] = (1, 8)
    diffusion: Span = (0.1, 2.0)
    sigma_px: float = 1.0
    brightness: Span = (0.5, 1.0)
    flicker: float = 0.1
    reach_sigma: float = 2.0
    noise: float = 0.03


@dataclass(frozen=True)
class Pressure:
    """A body in a fluctuating pressure; signals are the components of the force on it.

    Attributes
    ----------
    radius : tuple of (float, float)
        Radius of the circle of the body's area, in sides of the frame.
    aspect : tuple of (float, float)
        Long over short axis of the body, an ellipse.
    travel : tuple of (float, float)
        Way of the body over the movie, in sides of the frame.
    turn_deg : tuple of (float, float)
        Angle by which the body turns over the movie, to either side.
    edge_px : float
        Width of the body's edge; the pixels in it carry the force.
    texture_px : float
        Standard deviation of the Gaussian with which the pressure is smoothed; its own is 1.
    drift_px : tuple of (float, float)
        Distance by which the pressure moves from frame to frame.
    noise : float
        Standard deviation of noise in each pixel.
    """

    limits: ClassVar[dict[str, Span]] = {
        "radius": (0.04, 0.4),
        "aspect": (1.0, 6.0),
        "travel": (0.0, 1.0),
        "turn_deg": (0.0, 720.0),
        "edge_px": (1.0, 10.0),
        "texture_px": (0.5, 20.0),
        "drift_px": (0.0, 20.0),
        "noise": (0.0, 10.0),
    }

    radius: Span = (0.12, 0.18)
    aspect: Span = (1.0, 2.5)
    travel: Span = (0.0, 0.2)
    turn_deg: Span = (0.0, 90.0)
    edge_px: float = 2.0
    texture_px: float = 2.5
    drift_px: Span = (0.3, 1.5)
    noise: float = 0.0


@dataclass(frozen=True)
class Jellyfish:
    """Two wings that open and close in a fluid; the pressure around them, and the force on them.

    Lengths are in sides of the frame, times in periods of the wings; the unit of pressure is the
    fluid's density times (wing / period)².

    Attributes
    ----------
    mean_deg : tuple of (float, float)
        Mean angle between a wing and the jellyfish's axis.
    amplitude_deg : tuple of (float, float)
        How far the angle goes to either side of its mean; no farther than between 0 and widest_deg.
    widest_deg : float
        Widest angle between a wing and the axis.
    closing : tuple of (float, float)
        Share of a period in which the wings close.
    wing : tuple of (float, float)
        Length of a wing, an ellipse.
    slenderness : float
        Short over long axis of a wing.
    head_x, head_y : tuple of (float, float)
        Where the wings meet.
    heading_deg : tuple of (float, float)
        Angle by which all is turned about the frame's middle; where it isn't 0, the force along y
        is a signal, too.
    stream : tuple of (float, float)
        Velocity of the fluid far away, along the axis from head to tail.
    viscosity : float
        Kinematic viscosity.
    settle : float
        Time before the first frame.
    frame_interval : float
        Time between frames.
    grid : int
        Least number of the flow's cells along a side of the frame; a multiple of the frame's
        pixels is taken.
    steps : int
        Least number of steps in a period.
    edge_px : float
        Width of the wings' edge in the frame; the pixels in it carry the force.
    wings : {"seen", "hidden"}
        seen: the frame is p (1 - χ), 0 within a wing. hidden: it is p, which goes on through the
        wings.
    noise : float
        Standard deviation of noise in each pixel; the pressure's is about 2.
    """

    limits: ClassVar[dict[str, Span]] = {
        "mean_deg": (5.0, 85.0),
        "amplitude_deg": (1.0, 80.0),
        "widest_deg": (10.0, 90.0),
        "closing": (0.05, 0.95),
        "wing": (0.1, 0.5),
        "slenderness": (0.05, 1.0),
        "head_x": (0.05, 0.95),
        "head_y": (0.05, 0.95),
        "heading_deg": (-180.0, 180.0),
        "stream": (-2.0, 2.0),
        "viscosity": (1e-4, 1.0),
        "settle": (0.0, 100.0),
        "frame_interval": (0.005, 1.0),
        "grid": (32, 2048),
        "steps": (20, 10_000),
        "edge_px": (1.0, 10.0),
        "noise": (0.0, 10.0),
    }

    mean_deg: Span = (20.0, 40.0)
    amplitude_deg: Span = (10.0, 40.0)
    widest_deg: float = 60.0
    closing: Span = (0.2, 0.8)
    wing: Span = (0.3, 0.3)
    slenderness: float = 0.15
    head_x: Span = (0.2, 0.2)
    head_y: Span = (0.5, 0.5)
    heading_deg: Span = (0.0, 0.0)
    stream: Span = (0.0, 0.0)
    viscosity: float = 4e-4
    settle: float = 1.0
    frame_interval: float = 0.05
    grid: int = 128
    steps: int = 200
    edge_px: float = 2.0
    wings: Literal["seen", "hidden"] = "seen"
    noise: float = 0.0


Chosen = Cell | Spots | Pressure | Jellyfish
"""What is set for a kind."""


def settings_of(kind: type[Chosen], name: str, given: Mapping[str, Any]) -> Chosen:
    """Return the settings of a kind, those in `given` in place of the defaults, checked.

    Raises
    ------
    SptError
        If there is no such setting, or its value can't be used.
    """
    known = {f.name: f.default for f in fields(kind)}
    values = {}
    for key, value in given.items():
        if key not in known:
            raise SptError(
                f"{name} has no setting {key!r}: expected one of {', '.join(sorted(known))}."
            )
        values[key] = _checked(f"{name}: {key}", value, known[key], kind.limits.get(key))
    return kind(**values)


def _checked(what: str, value: Any, default: Any, limits: Span | None) -> Any:
    if key_choices := CHOICES.get(what.rsplit(": ")[-1]):
        if value not in key_choices:
            raise SptError(f"{what} is {value!r}: expected {' or '.join(key_choices)}.")
        return value
    if default is None:  # a frame, checked where the number of frames is known
        if value is not None and not _is_whole(value):
            raise SptError(f"{what} is {value!r}: expected the number of a frame, from 0.")
        return value
    least, most = limits or (-float("inf"), float("inf"))
    if isinstance(default, int):
        if not _is_whole(value) or not least <= value <= most:
            raise SptError(
                f"{what} is {value!r}: expected a whole number from {least:g} to {most:g}."
            )
        return value
    if not isinstance(default, tuple):
        if not _is_number(value) or not least <= value <= most:
            raise SptError(f"{what} is {value!r}: expected a number from {least:g} to {most:g}.")
        return float(value)
    pair = (value, value) if _is_number(value) else value
    whole = all(isinstance(v, int) for v in default)
    if (
        not isinstance(pair, list | tuple)
        or len(pair) != 2
        or not all(_is_whole(v) if whole else _is_number(v) for v in pair)
        or not least <= pair[0] <= pair[1] <= most
    ):
        numbers = "whole numbers" if whole else "numbers"
        raise SptError(
            f"{what} is {value!r}: expected the least and the greatest value, or one for all: "
            f"{numbers} from {least:g} to {most:g}."
        )
    return tuple(int(v) if whole else float(v) for v in pair)


CHOICES: dict[str, tuple[str, ...]] = {
    "circumference": ("pixels", "length"),
    "signal_from": ("dim", "bright"),
    "wings": ("seen", "hidden"),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
