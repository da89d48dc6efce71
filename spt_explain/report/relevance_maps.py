"""Relevance maps as TIFF: frame by frame, as long as the movie, with its units."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spt_explain.movies.stack import Stack

MAPS = ("relevance", "information")
_LARGEST_IMAGEJ = 2**32 - 2**25
"""Bytes of pixels that ImageJ's own kind of TIFF can hold."""


@dataclass(frozen=True)
class MapUnits:
    """What a map takes over from its movie.

    Attributes
    ----------
    pixel_size_um, frame_interval_s : float or None
        As settled from the file and the options.
    ome : bool
        Whether the movie is an OME-TIFF: its maps are, too.
    kept : dict
        Entries of the movie's own metadata.
    """

    pixel_size_um: float | None
    frame_interval_s: float | None
    ome: bool
    kept: dict[str, Any]


def units_of(stack: Stack, pixel_size_um: float | None, frame_interval_s: float | None) -> MapUnits:
    """Return what a movie's maps take over from it."""
    from spt_explain.movies.quiet import silence

    kept: dict[str, Any] = {}
    ome = "OME" in stack.format
    file, _ = stack.origin(0)[0]
    if "ImageJ" in stack.format:
        import tifffile

        with silence("tifffile"), tifffile.TiffFile(file) as tif:
            said = tif.imagej_metadata or {}
        kept = {name: said[name] for name in ("Info", "fps", "loop") if name in said}
    return MapUnits(pixel_size_um, frame_interval_s, ome, kept)


@contextmanager
def map_files(
    folder: Path, shape: tuple[int, int, int], units: MapUnits, names: Sequence[str] = MAPS
) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """Give arrays that lie in TIFF files, float32, one file for each map.

    They are ImageJ's kind of TIFF, or OME-TIFF where the movie is one or ImageJ's kind could not
    hold them (4 GB and more).

    Parameters
    ----------
    folder : pathlib.Path
        Where; the files are named after the maps.
    shape : tuple of int
        Frames, height and width of the movie.
    units : MapUnits
        What they take over.
    names : sequence of str
        Of the maps.

    Raises
    ------
    SptError
        If the disk has no room for them.
    """
    import tifffile

    size = 4 * int(np.prod(shape))
    free = shutil.disk_usage(folder).free
    if free < size * len(names) + 2**20:
        raise SptError(
            f"the maps need {size * len(names) / 1e9:.3g} GB and {folder.parent} has "
            f"{free / 1e9:.3g} GB left. Make room, or choose another disk with {option('output')}.",
            exit_code=1,
            code="unwritable",
            option="output",
        )
    files = {
        name: tifffile.memmap(
            folder / f"{name}.tif", shape=shape, dtype=np.float32, **_how(size, units, name)
        )
        for name in names
    }
    try:
        yield files
        for array in files.values():
            array.flush()
    finally:
        for array in files.values():
            mapped: Any = array
            mapped._mmap.close()
        files.clear()


def _how(size: int, units: MapUnits, name: str) -> dict[str, Any]:
    pixel, step = units.pixel_size_um, units.frame_interval_s
    if units.ome or size > _LARGEST_IMAGEJ:
        said: dict[str, Any] = {"axes": "TYX", "Channel": {"Name": [name]}, "Name": name}
        if pixel:
            for axis in "XY":
                said |= {f"PhysicalSize{axis}": pixel, f"PhysicalSize{axis}Unit": "µm"}
        if step:
            said |= {"TimeIncrement": step, "TimeIncrementUnit": "s"}
        return {"ome": True, "byteorder": "<", "metadata": said, "photometric": "minisblack"}
    said = {**units.kept, "axes": "TYX"}
    if name == "relevance":
        said |= {"min": 0.0, "max": 1.0}
    if step:
        said |= {"finterval": step, "tunit": "sec"}
    how: dict[str, Any] = {"imagej": True, "byteorder": ">", "metadata": said}
    if pixel:
        said["unit"] = "micron"
        how["resolution"] = (1 / pixel, 1 / pixel)
    return how
