"""Unit words as files and people write them, and the options that give units."""

from __future__ import annotations

import math
from typing import ClassVar

from spt_explain.core.config import Options, setting
from spt_explain.errors import SptError, option

_LENGTHS_UM = {
    **dict.fromkeys(["um", "micron", "micrometer", "micrometre", "mu", "mum"], 1.0),
    **dict.fromkeys(["nm", "nanometer", "nanometre"], 1e-3),
    **dict.fromkeys(["å", "angstrom", "angström", "ångström", "ångstrom"], 1e-4),
    **dict.fromkeys(["pm", "picometer", "picometre"], 1e-6),
    **dict.fromkeys(["mm", "millimeter", "millimetre"], 1e3),
    **dict.fromkeys(["cm", "centimeter", "centimetre"], 1e4),
    **dict.fromkeys(["m", "meter", "metre"], 1e6),
    **dict.fromkeys(["inch", "inches", "in"], 25_400.0),
}
_TIMES_S = {
    **dict.fromkeys(["s", "sec", "second"], 1.0),
    **dict.fromkeys(["ms", "msec", "millisec", "millisecond"], 1e-3),
    **dict.fromkeys(["us", "usec", "microsec", "microsecond"], 1e-6),
    **dict.fromkeys(["ns", "nsec", "nanosec", "nanosecond"], 1e-9),
    **dict.fromkeys(["min", "minute"], 60.0),
    **dict.fromkeys(["h", "hr", "hour"], 3600.0),
    **dict.fromkeys(["d", "day"], 86_400.0),
}
_PIXELS = {"px", "pix", "pixel", "voxel"}
_FRAMES = {"frame", "fr", "slice", "timepoint", "time point"}
_INCHES = {"inch", "inches", "in"}
# The micro sign as UTF-8, CP1252, ImageJ's escape, and what wrong decodings make of it. Longest
# first; "å" (Å is lower-cased) must not be touched.
_MICRO = ("\\u00b5", "ã‚âµ", "âµ", "î¼", "µ", "μ", "\ufffd", "?")


class UnitOptions(Options):
    """Pixel size and frame interval; `override_units` puts them before what the file says.

    Attributes
    ----------
    pixel_size_um : float or None
        Size of a pixel in µm.
    frame_interval_s : float or None
        Time between frames in s.
    override_units : bool
        Whether the two above replace what the file says; else they fill in.
    """

    heading: ClassVar[str] = "Units"

    pixel_size_um: float | None = setting(
        None,
        "Size of a pixel in µm, where the file does not say it.",
        unit="µm",
        metavar="UM",
    )
    frame_interval_s: float | None = setting(
        None,
        "Time between frames in seconds, where the file does not say it.",
        unit="s",
        metavar="S",
    )
    override_units: bool = setting(
        False, "Let the two options above replace what the file says. Default: they fill in."
    )


def length_factor_um(word: str | None) -> float | None:
    """Return the µm in one unit called `word`; None for pixels, unknown words and no word."""
    return _look_up(word, _LENGTHS_UM)


def time_factor_s(word: str | None) -> float | None:
    """Return the seconds in one unit called `word`; None for frames, unknown words and no word."""
    return _look_up(word, _TIMES_S)


def is_pixels(word: str | None) -> bool:
    """Whether a unit word means pixels."""
    return plain_unit(word) in _PIXELS


def is_inches(word: str | None) -> bool:
    """Whether a unit word means inches, which images without a calibration often say."""
    return plain_unit(word) in _INCHES


def check_options(
    pixel_size_um: float | None, frame_interval_s: float | None, override_units: bool
) -> None:
    """Refuse options that can't be meant.

    Raises
    ------
    SptError
        If a value is not a positive number, or there is nothing to override with.
    """
    for name, value, unit in (
        (option("pixel_size_um"), pixel_size_um, "µm per pixel"),
        (option("frame_interval_s"), frame_interval_s, "seconds between frames"),
    ):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SptError(f"{name} is {value:g}: expected a number above 0 ({unit}).")
    if override_units and pixel_size_um is None and frame_interval_s is None:
        raise SptError(
            f"{option('override_units', True)} was given without a value to replace the file's "
            f"units with: add {option('pixel_size_um')}, {option('frame_interval_s')} or both.",
            code="conflict",
            option="override_units",
        )


def _look_up(word: str | None, table: dict[str, float]) -> float | None:
    plain = plain_unit(word)
    factor = table.get(plain)
    return factor if factor is not None else table.get(plain.removesuffix("s"))


def plain_unit(word: str | None) -> str:
    """Return a unit word lower-cased, without brackets and plural, and with "u" for micro."""
    plain = (word or "").lower().strip(" \t\r\n()[]{}.\"'")
    for micro in _MICRO:
        plain = plain.replace(micro, "u")
    singular = plain.removesuffix("s")
    return singular if singular in _PIXELS | _FRAMES else plain
