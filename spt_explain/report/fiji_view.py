"""How Fiji opens a movie: the size of its pixels and which axis is time.

TrackMate draws spots on a movie by the calibration that Fiji gave the movie when it opened it,
not by the one in TrackMate's own file. So positions for TrackMate are in the unit that Fiji reads
from the movie, whatever a user said about the size of a pixel elsewhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.tracks.units import is_pixels, length_factor_um

if TYPE_CHECKING:
    from collections.abc import Mapping

TIFF_SUFFIXES = (".tif", ".tiff")
"""What ImageJ's own reader opens; anything else goes to Bio-Formats."""
SMALL_CM = {True: 1e-4, False: 1e-3}
"""Pixels in cm up to this size are shown in µm by ImageJ; by whether ImageJ wrote the file."""


@dataclass(frozen=True)
class FijiView:
    """A movie as Fiji shows it.

    Attributes
    ----------
    file : pathlib.Path or None
        The file; None where the movie is no single file that Fiji could be told to open.
    width, height : int
        Size of a frame in px.
    n_frames : int
        Frames of the movie as they were tracked.
    n_slices : int
        Planes of depth of a frame, as Fiji shows them.
    pixel_width, pixel_height, voxel_depth : float
        Size of a pixel and distance of planes, in `unit`.
    unit : str
        Unit of length: ``"pixel"``, ``"micron"`` or as the file has it.
    remarks : tuple of str
        What a person must do before TrackMate shows the spots on this movie.
    """

    file: Path | None
    width: int
    height: int
    n_frames: int
    n_slices: int = 1
    pixel_width: float = 1.0
    pixel_height: float = 1.0
    voxel_depth: float = 1.0
    unit: str = "pixel"
    remarks: tuple[str, ...] = ()


def fiji_view(
    name: str | Path | None,
    width: int,
    height: int,
    n_frames: int,
    pixel_size_um: float | None = None,
) -> FijiView:
    """Say how Fiji opens a movie.

    Parameters
    ----------
    name : str, pathlib.Path or None
        The movie's file. A folder, or None, stands for a movie of several files.
    width, height : int
        Size of a frame in px.
    n_frames : int
        Number of frames that were tracked.
    pixel_size_um : float or None
        Size of a pixel in µm by the file's own metadata, for files that Bio-Formats opens (ND2,
        CZI); a TIFF's tags are read here.

    Returns
    -------
    FijiView
    """
    path = None if name is None else Path(name)
    if path is None or not path.is_file():
        return FijiView(
            None,
            width,
            height,
            n_frames,
            remarks=(
                "The movie is not one file that Fiji could open: in Fiji, import it (File > "
                "Import > Image Sequence) and save it as one TIFF with time as frames.",
            ),
        )
    if path.name.lower().endswith(TIFF_SUFFIXES):
        return _of_tiff(path, width, height, n_frames)
    size = pixel_size_um or 1.0
    unit = "micron" if pixel_size_um else "pixel"
    return FijiView(path, width, height, n_frames, 1, size, size, 1.0, unit)


def _of_tiff(path: Path, width: int, height: int, n_frames: int) -> FijiView:
    """Read what ImageJ's TIFF reader reads: the first page's tags and its own description."""
    import struct

    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            tags = tif.pages.first.tags
            x, y = (_rational(tags.get(key)) for key in ("XResolution", "YResolution"))
            code = tags.get("ResolutionUnit")
            unit_code = None if code is None else int(code.value)
            imagej: Mapping[str, Any] | None = tif.imagej_metadata
            n_pages = len(tif.pages)
    except (OSError, ValueError, TypeError, LookupError, struct.error):
        return FijiView(path, width, height, n_frames)

    pixel = _pixel(x, y, unit_code, imagej)
    shown = imagej or {}
    frames = int(_number(shown.get("frames")) or 1)
    n_slices = max(int(_number(shown.get("slices")) or 1), 1) if frames > 1 else 1
    remarks: tuple[str, ...] = ()
    if n_frames > 1 and frames == 1 and (n_pages > 1 or imagej):
        remarks = (
            f"Fiji opens {path.name} with its {n_frames} frames as planes of depth, and TrackMate "
            "then shows the first frame's spots alone: in Fiji, open it, exchange slices and "
            "frames under Image > Properties, and save it as TIFF under this name beside the XML.",
        )
    depth = _number(shown.get("spacing")) if n_slices > 1 else None
    return FijiView(
        path, width, height, n_frames, n_slices, pixel[0], pixel[1], depth or 1.0, pixel[2], remarks
    )


def _pixel(
    x: float, y: float, code: int | None, imagej: Mapping[str, Any] | None
) -> tuple[float, float, str]:
    """Return width, height and unit of a pixel by ImageJ's rules; `x`, `y` are pixels per unit.

    A TIFF that names no unit has no calibration, nor has one of 72 per inch, which is what
    programs write when none was set. ImageJ's own description replaces the tag's unit, by none
    where it has none: then the size counts all the same. Small sizes in cm become µm.
    """
    width, height = 1 / x if x else 1.0, 1 / y if y else 1.0
    if code == 2 and math.isclose(width, 1 / 72, rel_tol=1e-12):
        width, height, code = 1.0, 1.0, None
    if imagej is not None:
        unit = str(imagej.get("unit", "")).strip()
    elif code is None:
        return 1.0, 1.0, "pixel"
    else:
        unit = {2: "inch", 3: "cm"}.get(code, "")
    if unit == "cm" and width <= SMALL_CM[imagej is not None]:
        return width * 1e4, height * 1e4, "micron"
    if not unit or is_pixels(unit):
        return width, height, "pixel"
    return width, height, "micron" if length_factor_um(unit) == 1 else unit


def _rational(tag: Any) -> float:
    """Return a resolution tag as a number, 0 where there is none."""
    if tag is None:
        return 0.0
    value = tag.value
    top, bottom = value if isinstance(value, tuple) else (value, 1)
    return float(top) / float(bottom) if bottom else 0.0


def _number(value: Any) -> float | None:
    """Return a positive number, None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None
