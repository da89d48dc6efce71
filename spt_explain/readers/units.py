"""Unit words as files have them, and the one place where positions are scaled to µm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spt_explain.errors import SptError, option
from spt_explain.readers.wording import quoted
from spt_explain.tracks.table import Calibration, LengthUnit
from spt_explain.tracks.units import (
    check_options,
    is_inches,
    is_pixels,
    length_factor_um,
    time_factor_s,
)

if TYPE_CHECKING:
    import pandas as pd

    from spt_explain.readers.inputs import ReadOptions

__all__ = ["FileUnits", "calibrate", "length_factor_um", "time_factor_s"]

MIN_FRAME_INTERVAL_S = 1e-8
"""A file's frame interval below this is a leftover of the file, not a time (5e-37 occurs)."""
MAX_FRAME_INTERVAL_S = 1e7
"""A file's frame interval above this (about 4 months) is not taken for one."""


@dataclass(frozen=True)
class FileUnits:
    """What a file itself says about its units, in its own words.

    Attributes
    ----------
    length : str or None
        The word for the unit of length (``"micron"``, ``"µm"``, ``"pixels"``, ``" "`` …).
    time : str or None
        The word for the unit of time of `frame_interval` (``"ms"``, ``"sec"``, ``"frame"`` …).
    frame_interval : float or None
        Time between two frames in the unit `time`.
    pixel_size_um : float or None
        Size of a pixel in µm with which the file's positions were calibrated, where it says so.
    where_length, where_time : str
        Where the file says it, for people, e.g. ``"file: spaceUnits=µm"``.
    """

    length: str | None
    time: str | None
    frame_interval: float | None
    pixel_size_um: float | None = None
    where_length: str = ""
    where_time: str = ""


def calibrate(
    table: pd.DataFrame, file: FileUnits, options: ReadOptions
) -> tuple[Calibration, list[str]]:
    """Scale the positions of `table` to µm, once, and say what was done and why.

    The file's units come first; options fill in what the file lacks, or replace what it says with
    ``--override-units``.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``x``, ``y`` and optionally ``z`` and ``sigma_static`` in the file's unit. Changed
        in place.
    file : FileUnits
        What the file says.
    options : ReadOptions
        What the user says.

    Returns
    -------
    calibration : Calibration
        Units and where they came from.
    notes : list of str
        What the user must know: options ignored, units replaced, words not understood.

    Raises
    ------
    SptError
        If an option is not a positive number, if ``--override-units`` has nothing to put in, or
        if positions become too large for a number.
    """
    check_options(options.pixel_size_um, options.frame_interval_s, options.override_units)
    notes: list[str] = []
    scale, unit, length_source, pixel_size_um = _length(file, options, notes)
    if scale != 1.0:
        _scale(table, scale, length_source)
    if scale != 1.0 and length_factor_um(file.length) is None and _has_depth(table):
        notes.append("z was multiplied by the same pixel size as x and y.")
    frame_interval_s, time_source = _time(file, options, notes)
    calibration = Calibration(unit, length_source, frame_interval_s, time_source, pixel_size_um)
    return calibration, notes


def _length(
    file: FileUnits, options: ReadOptions, notes: list[str]
) -> tuple[float, LengthUnit, str, float | None]:
    """Return factor to apply, unit after it, its source and the pixel size in µm."""
    factor = length_factor_um(file.length)
    given = options.pixel_size_um
    held = file.pixel_size_um
    if held is not None and not (math.isfinite(held) and held > 0):
        held = None
    word = (file.length or "").strip()
    where = file.where_length or f"file: {word}"

    if factor is None:
        if word and not is_pixels(word):
            notes.append(
                f'The unit of length "{word}" is not known: positions are taken as pixels.'
            )
        if given is not None:
            return given, "um", option("pixel_size_um", f"{given:g}"), given
        source = where if is_pixels(word) else "not given"
        return 1.0, "px", source, None

    if given is not None and options.override_units:
        source = f"{option('pixel_size_um', f'{given:g}')} ({option('override_units', True)})"
        if held is not None:
            notes.append(
                f"{option('override_units', True)}: positions in {word}, made with pixels of "
                f"{held:g} µm, were rescaled to pixels of {given:g} µm."
            )
            return factor * given / held, "um", source, given
        notes.append(
            f"{option('override_units', True)}: the file says its positions are in {word} "
            f'("{where}"); they were '
            f"taken as pixels instead and multiplied by {given:g} µm."
        )
        return given, "um", source, given

    if given is not None:
        notes.append(
            f"{option('pixel_size_um', f'{given:g}')} was ignored: the file gives positions in "
            f"{word} "
            f'("{where}"). To replace that, add {option("override_units", True)}.'
        )
    elif is_inches(word):
        notes.append(
            "The file's unit is inch, which images without a calibration often say; positions were "
            f"converted. If that is wrong, give {option('pixel_size_um')} with "
            f"{option('override_units', True)}."
        )
    return factor, "um", where, held


def _time(file: FileUnits, options: ReadOptions, notes: list[str]) -> tuple[float | None, str]:
    """Return the frame interval in s and its source."""
    given = options.frame_interval_s
    known, problem = _file_interval(file)
    where = file.where_time or f"file: frame interval {file.frame_interval} {file.time}"
    if given is not None and (known is None or options.override_units):
        source = option("frame_interval_s", f"{given:g}")
        if known is None:
            return given, source
        if known != given:
            notes.append(
                f"{option('override_units', True)}: the file's frame interval of {known:g} s was "
                f"replaced by {given:g} s."
            )
        return given, f"{source} ({option('override_units', True)})"
    if known is None:
        if problem:
            notes.append(problem)
        return None, "not given"
    if given is not None:
        notes.append(
            f"{option('frame_interval_s', f'{given:g}')} was ignored: the file gives {known:g} s "
            f'("{where}"). To replace that, add {option("override_units", True)}.'
        )
    return known, where


def _file_interval(file: FileUnits) -> tuple[float | None, str]:
    """Return the file's frame interval in s, or None and what to say about it (or nothing)."""
    value = file.frame_interval
    if value is None:
        return None, ""
    word = (file.time or "").strip()
    factor = time_factor_s(word)
    mend = f"Give {option('frame_interval_s')} for results in seconds."
    if factor is None:
        if value == 1 or not math.isfinite(value) or value <= 0:
            return None, ""
        called = f"{quoted(word)}, which is no unit of time" if word else "no unit"
        return (
            None,
            f"The file's frame interval of {value:g} has {called}, and was not used. {mend}",
        )
    seconds = value * factor
    if not MIN_FRAME_INTERVAL_S <= seconds <= MAX_FRAME_INTERVAL_S:
        return None, f"The file's frame interval of {value:g} {word} can't be right. {mend}"
    return seconds, ""


def _scale(table: pd.DataFrame, scale: float, source: str) -> None:
    import numpy as np

    for axis in ("x", "y", "z"):
        if axis in table.columns:
            with np.errstate(over="ignore"):
                scaled = table[axis].to_numpy(dtype=np.float64) * scale
            if not np.isfinite(scaled).all():
                raise SptError(
                    f"Positions are too large to convert to µm ({source}): the largest "
                    f"{axis} is {np.abs(table[axis].to_numpy()).max():g}. Check the file's "
                    "positions and its unit of length."
                )
            table[axis] = scaled
    if "sigma_static" in table.columns:
        table["sigma_static"] = table["sigma_static"].to_numpy(dtype=np.float64) * scale


def _has_depth(table: pd.DataFrame) -> bool:
    return "z" in table.columns and bool(table["z"].min() != table["z"].max())
