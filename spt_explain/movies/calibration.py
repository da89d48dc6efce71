"""Pixel size and frame interval of a stack: from its metadata where plausible, or from options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from spt_explain.errors import option
from spt_explain.tracks.table import Calibration
from spt_explain.tracks.units import check_options, length_factor_um, plain_unit, time_factor_s

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_PIXEL_SIZE_UM = 1e-3
"""A file's pixel size below this (1 nm) is a leftover of the file, not a camera's pixel."""
MAX_PIXEL_SIZE_UM = 100.0
"""A file's pixel size above this is a print resolution (72 dpi is 353 µm), not a microscope's."""
MIN_FRAME_INTERVAL_S = 1e-6
"""A file's frame interval below this is a leftover of the file (5e-37 occurs)."""
MAX_FRAME_INTERVAL_S = 1e6
"""A file's frame interval above this (11 days) is not taken for one."""
SQUARE_WITHIN = 0.01
"""Pixels whose sides differ by less than this fraction count as square."""


@dataclass(frozen=True)
class StackUnits:
    """What a stack's metadata say, kept only where plausible.

    Attributes
    ----------
    pixel_size_um, frame_interval_s : float or None
        The values, or None where absent or implausible.
    pixel_source, time_source : str
        Where each came from, for people.
    notes : tuple of str
        What was found and not believed, and why.
    """

    pixel_size_um: float | None = None
    pixel_source: str = ""
    frame_interval_s: float | None = None
    time_source: str = ""
    notes: tuple[str, ...] = ()

    def or_else(self, other: StackUnits) -> StackUnits:
        """Return these units with what they lack filled in from `other`."""
        size, time = self, self
        if self.pixel_size_um is None:
            size = other
        if self.frame_interval_s is None:
            time = other
        notes = [*self.notes, *(note for note in other.notes if note not in self.notes)]
        if size.pixel_size_um is not None:
            notes = [note for note in notes if option("pixel_size_um") not in note]
        if time.frame_interval_s is not None:
            notes = [note for note in notes if option("frame_interval_s") not in note]
        return StackUnits(
            size.pixel_size_um,
            size.pixel_source,
            time.frame_interval_s,
            time.time_source,
            tuple(notes),
        )


def imagej_units(
    metadata: Mapping[str, Any], x_resolution: float | None, y_resolution: float | None
) -> StackUnits:
    """Read the units of an ImageJ stack.

    Parameters
    ----------
    metadata : mapping
        The entries of ImageJ's image description (``unit``, ``finterval``, ``tunit``).
    x_resolution, y_resolution : float or None
        Pixels per unit, from the tags XResolution and YResolution.

    Returns
    -------
    StackUnits
    """
    word = str(metadata.get("unit", "")).strip()
    factor = length_factor_um(word)
    notes: list[str] = []
    pixel = None
    if factor is not None and x_resolution:
        width = factor / x_resolution
        height = factor / y_resolution if y_resolution else width
        pixel = _plausible_pixel(width, height, "ImageJ", notes)
    source = f"file: ImageJ unit={_shown(word)}, XResolution={x_resolution or 0:g} pixels per unit"

    interval = None
    value = _number(metadata.get("finterval"))
    time_word = str(metadata.get("tunit", "sec")).strip()
    time_factor = time_factor_s(time_word)
    if value is not None and value != 0 and time_factor is not None:
        interval = _plausible_interval(
            value * time_factor, f"ImageJ finterval={value:g} {_shown(time_word)}", notes
        )
    return StackUnits(
        pixel,
        source,
        interval,
        f"file: ImageJ finterval={value or 0:g} {_shown(time_word)}",
        tuple(notes),
    )


def ome_units(xml: str, image: int = 0) -> StackUnits:
    """Read the units of an OME-TIFF from its XML.

    Parameters
    ----------
    xml : str
        The OME-XML in the image description.
    image : int
        Which ``Image`` element.

    Returns
    -------
    StackUnits
        Empty where the XML can't be parsed.
    """
    try:
        images = ElementTree.fromstring(xml.encode()).findall("{*}Image")
    except (ElementTree.ParseError, ValueError):
        return StackUnits(notes=("The OME-XML of the file can't be parsed: no units from it.",))
    pixels = images[image].find("{*}Pixels") if image < len(images) else None
    if pixels is None:
        return StackUnits()
    notes: list[str] = []
    pixel, source = None, ""
    width = _ome_length(pixels, "PhysicalSizeX")
    if width is not None:
        height = _ome_length(pixels, "PhysicalSizeY") or width
        pixel = _plausible_pixel(width, height, "OME", notes)
        source = f"file: OME PhysicalSizeX={pixels.get('PhysicalSizeX')} " + _shown(
            pixels.get("PhysicalSizeXUnit", "µm")
        )
    interval, where = None, ""
    value = _number(pixels.get("TimeIncrement"))
    unit = pixels.get("TimeIncrementUnit", "s")
    factor = time_factor_s(unit)
    if value is not None and value != 0 and factor is not None:
        where = f"OME TimeIncrement={value:g} {_shown(unit)}"
        interval = _plausible_interval(value * factor, where, notes)
    if interval is None:
        step = _ome_delta_t(pixels)
        if step is not None:
            where = f"median step of OME DeltaT, {step:g} s"
            interval = _plausible_interval(step, where, notes)
            if interval is not None:
                notes = [note for note in notes if option("frame_interval_s") not in note]
    return StackUnits(pixel, source, interval, f"file: {where}", tuple(notes))


def ome_sizes(xml: str, image: int = 0) -> tuple[int, int, bool]:
    """Read how many planes of depth and time points an OME-TIFF says it has.

    Parameters
    ----------
    xml : str
        The OME-XML in the image description.
    image : int
        Which ``Image`` element.

    Returns
    -------
    depth, time : int
        SizeZ and SizeT; 1 where not said.
    timed : bool
        Whether the XML gives a time between frames: the planes then are frames in time.
    """
    try:
        images = ElementTree.fromstring(xml.encode()).findall("{*}Image")
    except (ElementTree.ParseError, ValueError):
        return 1, 1, False
    pixels = images[image].find("{*}Pixels") if image < len(images) else None
    if pixels is None:
        return 1, 1, False
    depth, time = (int(_number(pixels.get(name)) or 1) for name in ("SizeZ", "SizeT"))
    return depth, time, bool(_number(pixels.get("TimeIncrement")))


def microscope_units(
    width_um: float | None,
    height_um: float | None,
    pixel_source: str,
    interval_s: float | None,
    time_source: str,
    other: float | None = None,
    other_source: str = "",
) -> StackUnits:
    """Check the units that a microscope's own file gives.

    Parameters
    ----------
    width_um, height_um : float or None
        Sides of a pixel in µm.
    pixel_source : str
        Where they stand, e.g. ``"ND2 calibration"``.
    interval_s : float or None
        Time between frames in s.
    time_source : str
        Where it stands.
    other : float or None
        Used where `interval_s` is absent or implausible.
    other_source : str
        Where that stands.

    Returns
    -------
    StackUnits
    """
    notes: list[str] = []
    pixel = None
    if width_um:
        pixel = _plausible_pixel(width_um, height_um or width_um, pixel_source, notes)
    said = list(notes)
    interval, source = None, ""
    for value, where in ((interval_s, time_source), (other, other_source)):
        if value and interval is None:
            interval = _plausible_interval(value, f"{where}, {value:g} s", notes)
            source = f"file: {where}, {value:g} s"
    if interval is not None:
        notes = said
    return StackUnits(pixel, f"file: {pixel_source}", interval, source, tuple(notes))


def settle(
    file: StackUnits,
    *,
    pixel_size_um: float | None = None,
    frame_interval_s: float | None = None,
    override_units: bool = False,
) -> tuple[Calibration, list[str]]:
    """Decide on pixel size and frame interval: the file's first, options fill in or override.

    Parameters
    ----------
    file : StackUnits
        What the file says.
    pixel_size_um, frame_interval_s : float or None
        What the user says, in µm and s.
    override_units : bool
        Whether the user's values replace the file's.

    Returns
    -------
    calibration : Calibration
        ``length_unit`` is "um" where a pixel size is known: positions in pixels are to be
        multiplied by it, once.
    notes : list of str
        Options ignored, values replaced, values of the file not believed.
    """
    check_options(pixel_size_um, frame_interval_s, override_units)
    notes = list(file.notes)
    size, size_source = _choose(
        file.pixel_size_um,
        file.pixel_source,
        pixel_size_um,
        override_units,
        ("pixel_size_um", "a pixel size", "µm"),
        notes,
    )
    interval, time_source = _choose(
        file.frame_interval_s,
        file.time_source,
        frame_interval_s,
        override_units,
        ("frame_interval_s", "a frame interval", "s"),
        notes,
    )
    unit = "um" if size is not None else "px"
    return Calibration(unit, size_source, interval, time_source, size), notes  # type: ignore[arg-type]


def _choose(
    held: float | None,
    held_source: str,
    given: float | None,
    override: bool,
    words: tuple[str, str, str],
    notes: list[str],
) -> tuple[float | None, str]:
    field, what, unit = words
    if given is None:
        return (held, held_source) if held is not None else (None, "not given")
    notes[:] = [note for note in notes if option(field) not in note]
    if held is None:
        return given, option(field, f"{given:g}")
    if override:
        if held != given:
            notes.append(
                f"{option('override_units', True)}: the file's {what.split(' ', 1)[1]} of {held:g} "
                f"{unit} was replaced by {given:g} {unit}."
            )
        return given, f"{option(field, f'{given:g}')} ({option('override_units', True)})"
    notes.append(
        f"{option(field, f'{given:g}')} was ignored: the file gives {held:g} {unit} "
        f'("{held_source}"). '
        f"To replace that, add {option('override_units', True)}."
    )
    return held, held_source


def _plausible_pixel(width: float, height: float, where: str, notes: list[str]) -> float | None:
    mend = f"Give {option('pixel_size_um')} for results in µm."
    if not all(MIN_PIXEL_SIZE_UM <= side <= MAX_PIXEL_SIZE_UM for side in (width, height)):
        notes.append(
            f"The pixel size in the file ({width:g} × {height:g} µm, {where}) is not a "
            f"microscope's, and was not used. {mend}"
        )
        return None
    if math.isclose(width, 1.0, rel_tol=1e-6):
        notes.append(
            f"The pixel size in the file is exactly 1 µm ({where}), which programs write when "
            f"none was set; it was not used. {mend}"
        )
        return None
    if abs(width - height) > SQUARE_WITHIN * max(width, height):
        notes.append(
            f"Pixels in the file are not square ({width:g} × {height:g} µm, {where}): positions "
            f"stay in pixels. {mend}"
        )
        return None
    return width


def _plausible_interval(seconds: float, where: str, notes: list[str]) -> float | None:
    mend = f"Give {option('frame_interval_s')} for results in seconds."
    if not MIN_FRAME_INTERVAL_S <= seconds <= MAX_FRAME_INTERVAL_S:
        notes.append(f"The frame interval in the file ({where}) can't be right. {mend}")
        return None
    if math.isclose(seconds, 1.0, rel_tol=1e-9):
        notes.append(
            f"The frame interval in the file is exactly 1 s ({where}), which programs write when "
            f"none was set; it was not used. {mend}"
        )
        return None
    return seconds


def _ome_length(pixels: ElementTree.Element, name: str) -> float | None:
    value = _number(pixels.get(name))
    factor = length_factor_um(pixels.get(f"{name}Unit", "µm"))
    return None if value is None or value == 0 or factor is None else value * factor


def _ome_delta_t(pixels: ElementTree.Element) -> float | None:
    """Return the median time between frames in s, from the planes' times, or None."""
    times: dict[int, float] = {}
    for plane in pixels.findall("{*}Plane"):
        frame, value = _number(plane.get("TheT")), _number(plane.get("DeltaT"))
        factor = time_factor_s(plane.get("DeltaTUnit", "s"))
        if frame is not None and value is not None and factor is not None:
            times.setdefault(int(frame), value * factor)
    steps = sorted(times[t + 1] - times[t] for t in times if t + 1 in times)
    return steps[len(steps) // 2] if steps else None


def _number(value: Any) -> float | None:
    """Return `value` as a finite float, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shown(word: str) -> str:
    """Return a unit as people write it."""
    return "µm" if plain_unit(word) == "um" else word
