"""Which axis of a file is time, and what becomes of channels, depth and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.movies.settings import DEFAULT_Z

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_CHANNELS = 4
"""An axis of channels alone, no longer than this, is one coloured frame and not a movie."""
COLOURS = ("red", "green", "blue")
AXES = {
    "T": "time",
    "Z": "depth",
    "C": "channel",
    "Q": "unnamed",
    "I": "sequence",
    "S": "colour",
    "P": "position",
    "R": "tile",
}
"""What the letters of axes stand for."""


@dataclass(frozen=True)
class Plan:
    """How the axes of a file become frames.

    Attributes
    ----------
    planes : numpy.ndarray of int, shape (n_frames, k)
        Numbers of the planes behind each frame; k > 1 where planes are projected.
    axes : str
        The file's axes with their lengths, for people, e.g. ``"T 50, Y 128, X 128"``.
    notes : tuple of str
        What was assumed or left out.
    colour : int or None
        Which of red (0), green and blue is read; None for the mean of colours, or no colours.
    projection : {"max", "mean"}
        What is made of several planes.
    """

    planes: npt.NDArray[np.intp]
    axes: str
    notes: tuple[str, ...]
    colour: int | None = None
    projection: str = DEFAULT_Z


def check_choice(channel: int | None, z: str | int) -> None:
    """Refuse a channel or plane of depth that no file can have.

    Raises
    ------
    SptError
        If `channel` is no whole number from 1, or `z` not ``"max"``, ``"mean"`` or a number from 1.
    """
    if channel is not None and (
        isinstance(channel, bool) or not isinstance(channel, int) or channel < 1
    ):
        raise SptError(
            f"{option('channel')} is {channel}: expected a whole number from 1.", option="channel"
        )
    good = z in ("max", "mean") if isinstance(z, str) else isinstance(z, int) and z >= 1
    if not good or isinstance(z, bool):
        raise SptError(
            f"{option('z')} is {z}: expected max (the brightest of all planes), mean, or the "
            "number of one plane from 1.",
            option="z",
        )


def plan_axes(
    axes: str,
    shape: tuple[int, ...],
    name: str,
    *,
    channel: int | None = None,
    z: str | int = DEFAULT_Z,
    depth_from: str = "",
) -> Plan:
    """Decide which axis is time, and what happens to the others.

    Time is the axis T; without one, the first axis that is not channels (said in a note). Of
    channels one is read, depth is projected or one plane of it read, of any other axis the first
    entry is read.

    Parameters
    ----------
    axes : str
        tifffile's letters, e.g. ``"TZCYX"``, those of the image itself last.
    shape : tuple of int
        Length of each axis.
    name : str
        The file, for messages.
    channel : int, optional
        Which channel is read, from 1; the first by default. Of colour frames without other
        channels 1, 2 and 3 are red, green and blue, and the default is their mean.
    z : {"max", "mean"} or int, optional
        What is made of several planes of depth; a number is one plane, from 1.
    depth_from : str, optional
        Where the file says that its axis Z is depth and not time, e.g. ``"OME"``; empty where
        that is not sure, as in ImageJ's stacks of slices.

    Returns
    -------
    Plan

    Raises
    ------
    SptError
        If there is one frame only, depth and no time, no such channel or plane, or the axes
        aren't in an order that can be read.
    """
    import numpy as np

    check_choice(channel, z)
    size = dict(zip(axes, shape, strict=True))
    shown = ", ".join(f"{a} {n}" for a, n in zip(axes, shape, strict=True) if n > 1 or a in "YX")
    lead = next((i for i, a in enumerate(axes) if a in "YX"), len(axes))
    if lead > 0 and axes[lead - 1] == "S":
        lead -= 1
    if sorted(axes[lead:].replace("S", "")) != ["X", "Y"] or axes.count("S") > 1:
        raise SptError(
            f"{name} has axes in an order that can't be read as frames ({shown}): expected time "
            "first and the image (Y, X) last. Save it from Fiji with Image > Hyperstacks."
        )
    outer = [(i, axes[i], shape[i]) for i in range(lead) if shape[i] > 1]
    depth_is_sure = bool(depth_from) or (isinstance(z, int) and z > 1)
    time, notes = _find_time(outer, shown, name, channel, depth_from, depth_is_sure)
    number = np.arange(prod(shape[:lead]), dtype=np.intp).reshape(shape[:lead])
    depth = next((i for i, a, _ in outer if i != time and a == "Z"), None)
    channels = next((i for i, a, _ in outer if i != time and a == "C"), None)
    samples = size.get("S", 1)
    for i, a, n in outer:
        if i == time:
            continue
        if i == depth:
            number = _take_depth(number, i, n, z, name, notes)
        elif i == channels:
            _check_channel(channel, n, name)
            number = number.take([(channel or 1) - 1], axis=i)
            other = "" if channel else f"; {option('channel')} picks another"
            notes.append(f"Channel {channel or 1} of {n} (axis C) was read{other}.")
        else:
            number = number.take([0], axis=i)
            kind = AXES.get(a, "unknown")
            notes.append(f"Only the first of {n} entries of axis {a} ({kind}) was read.")
    if depth is None and isinstance(z, int) and z > 1:
        raise SptError(
            f"{option('z', z)}: {name} has one plane of depth ({shown}). Leave {option('z')} out, "
            "or give 1.",
            option="z",
            code="conflict",
        )
    colour = None
    if channels is None and channel is not None:
        _check_channel(channel, 3 if samples > 2 else 1, name)
        colour = channel - 1 if samples > 2 else None
    planes = np.moveaxis(number, time, 0).reshape(shape[time], -1)
    if samples > 1:
        notes.append(_colour_note(samples, colour))
    return Plan(planes, shown, tuple(notes), colour, "mean" if z == "mean" else "max")


def _find_time(
    outer: list[tuple[int, str, int]],
    shown: str,
    name: str,
    channel: int | None,
    depth_from: str,
    depth_is_sure: bool,
) -> tuple[int, list[str]]:
    """Return the axis that is time, and a note where the file does not say so."""
    time = next((i for i, a, _ in outer if a == "T"), None)
    if time is not None:
        return time, []
    known = "CZ" if depth_is_sure else "C"
    time = next((i for i, a, _ in outer if a not in known), None)
    if time is None and depth_is_sure and any(a == "Z" for _, a, _ in outer):
        n = next(n for _, a, n in outer if a == "Z")
        why = f"{depth_from}: " if depth_from else ""
        raise SptError(
            f"{name} is a Z-stack without time ({why}{shown}): {n} planes of depth at one moment, "
            "in which no motion can be tracked.\nIf the planes are frames in time, say so in Fiji "
            "with Image > Properties (swap slices and frames), save it, and track that.",
            code="wrong-kind",
        )
    if time is None and channel is None:
        time = next((i for i, _, n in outer if n > MAX_CHANNELS), None)
    if time is None:
        held = f"one frame of {outer[0][2]} channels" if outer else "one frame"
        raise SptError(
            f"{name} holds {held} ({shown}): no motion can be tracked. Expected a time "
            "series: save the whole stack in one file, time as its frames.",
            code="wrong-kind",
        )
    letter, n = next((a, n) for i, a, n in outer if i == time)
    note = (
        f"The file names no time axis ({shown}): its first axis ({letter}, "
        f"{AXES.get(letter, 'unknown')}, {n} planes) was taken as time."
    )
    if letter == "Z":
        note += (
            " If these are planes of depth at one moment, there is no motion in them and the "
            "tracks mean nothing."
        )
    return time, [note]


def _take_depth(
    number: npt.NDArray[np.intp], axis: int, n: int, z: str | int, name: str, notes: list[str]
) -> npt.NDArray[np.intp]:
    if isinstance(z, str):
        what = "brightest value" if z == "max" else "mean"
        notes.append(f"Each frame is the {what} over {n} planes of depth (axis Z).")
        return number
    if z > n:
        raise SptError(
            f"{option('z', z)}: {name} has {n} planes of depth. Give 1 to {n}, max or mean.",
            option="z",
        )
    notes.append(f"Plane {z} of {n} planes of depth (axis Z) was read.")
    return number.take([z - 1], axis=axis)


def _check_channel(channel: int | None, there: int, name: str) -> None:
    if channel is not None and channel > there:
        have = "one channel" if there == 1 else f"{there} channels"
        mend = f"Leave {option('channel')} out." if there == 1 else f"Give 1 to {there}."
        raise SptError(f"{option('channel', channel)}: {name} has {have}. {mend}", option="channel")


def _colour_note(samples: int, colour: int | None) -> str:
    if samples == 2:
        return "Of 2 samples a pixel, the first was read (the second is transparency)."
    left = f", leaving out {samples - 3} more (transparency)" if samples > 3 else ""
    if colour is not None:
        return f"Of colour frames the {COLOURS[colour]} was read (channel {colour + 1} of 3)."
    return f"Colour frames were made grey by the mean of red, green and blue{left}."
