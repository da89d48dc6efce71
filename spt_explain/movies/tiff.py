"""TIFF of every kind (BigTIFF, ImageJ, OME, compressed, in several files), plane by plane."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.movies.calibration import StackUnits, imagej_units, ome_sizes, ome_units
from spt_explain.movies.planes import Layout, damaged
from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    import numpy.typing as npt
    import tifffile

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# What tifffile logs when the file itself, and not some tag of no importance, is damaged.
_DAMAGE = re.compile(
    r"invalid (page )?offset|invalid offset to|circular reference|corrupted tag list of page"
    r"|metadata invalid or corrupted|series raised|missing data offset|missing ByteCounts"
    r"|incorrect Strip|failed to reshape|does not match page shape|incompletely written"
    r"|missing required tags|contains no pages|expected \d+ segments"
)
_MISSING = re.compile(r"is missing|missing files|failed to read|expected \d+ frames")
_MASTER = re.compile(r"<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile=[\"']([^\"']*)[\"']")


class TiffPlanes:
    """The longest image series of a TIFF file.

    Parameters
    ----------
    name : str
        The file.

    Raises
    ------
    SptError
        If it is damaged, or is one part of a stack whose other parts are not there.
    """

    layout: Layout

    def __init__(self, name: str) -> None:
        import numpy as np

        self._name = name
        self._tif: tifffile.TiffFile | None = None
        try:
            with silence("tifffile") as said:
                self._tif, self._series, axes, shape = _open(name)
                check_said(name, said)
                dtype = np.dtype(self._series.dtype)
                self._dtype = dtype
                self._offset = _contiguous_offset(self._tif, self._series)
                form, units, notes, depth_from = _describe(self._tif, self._series, name)
                self._image_shape = tuple(n for a, n in zip(axes, shape, strict=True) if a in "YXS")
                self._count = prod(self._image_shape)
                self._check_end(prod(shape) // max(self._count, 1), prod(shape))
            self.layout = Layout(form, axes, shape, dtype, units, tuple(notes), depth_from)
        except BaseException as error:
            self.close()
            if isinstance(error, SptError) or not isinstance(error, Exception):
                raise
            # A parser fed with broken bytes raises anything.
            raise damaged(name, "TIFF", error) from error

    def _check_end(self, planes: int, pixels: int) -> None:
        """Refuse a file that ends before its last plane, before any work is done."""
        assert self._tif is not None
        if self._offset is not None:
            there = (self._tif.filehandle.size - self._offset) // max(
                self._count * self._dtype.itemsize, 1
            )
            needed = planes
        else:
            there = len(self._series)
            needed = pixels // max(prod(self._series.keyframe.shape), 1)
        if there < needed:
            raise ValueError(f"{max(there, 0)} of {needed} images are there")

    def plane(self, number: int) -> npt.NDArray[Any]:
        """Return the pixels of plane `number`."""
        assert self._tif is not None
        data: npt.NDArray[Any]
        if self._offset is not None:
            data = self._tif.filehandle.read_array(
                self._dtype.newbyteorder(self._tif.byteorder),
                self._count,
                self._offset + number * self._count * self._dtype.itemsize,
            )
            return data.reshape(self._image_shape)
        per_page = max(prod(self._series.keyframe.shape) // self._count, 1)
        page = self._series[number // per_page]
        if page is None:
            raise ValueError("it is not in this file")
        with silence("tifffile") as said:
            try:
                data = page.asarray(maxworkers=1)
            except Exception as error:
                raise explain(self._name, page, error) from error
        if any(_DAMAGE.search(line) for line in said):
            raise ValueError(said[0])
        data = data.reshape(per_page, self._count)[number % per_page]
        return data.reshape(self._image_shape)

    def origin(self, number: int) -> tuple[str, int]:
        """Return the file of a plane, and its page there; for pages in one block, the plane."""
        page: Any = None
        if self._offset is None:
            per_page = max(prod(self._series.keyframe.shape) // self._count, 1)
            page = self._series[number // per_page]
            if page is None or per_page > 1:
                return self._name, number
            file = page.parent.filehandle
            assert self._tif is not None
            name = self._name if file is self._tif.filehandle else str(file.path)
        else:
            name, page = self._name, self._series.keyframe
        # A series need not start at the file's first page; pages in pages have a tuple.
        index = page.index if isinstance(page.index, int) else page.index[0]
        return name, index + (number if self._offset is not None else 0)

    def close(self) -> None:
        """Close the file."""
        if self._tif is not None:
            self._tif.close()


def explain(name: str, page: Any, error: Exception) -> Exception:
    """Return `error` of reading a page, or the error that says how to mend it."""
    if "imagecodecs" not in str(error):
        return error
    method = getattr(page.compression, "name", "") or "a method"
    return SptError(
        f"{name} is compressed ({method}) in a way that needs a further package. "
        "Install it (pip install imagecodecs), or save the stack uncompressed in Fiji."
    )


def check_said(name: str, said: list[str]) -> None:
    """Raise what tifffile only logs: parts of a stack that are not there, and damage."""
    if any(_MISSING.search(line) for line in said):
        raise SptError(
            f"{name} is one part of a stack of several files, and parts of it are not "
            "there. Put all files of the stack into one folder, or save it as one file."
        )
    broken = next((line for line in said if _DAMAGE.search(line)), None)
    if broken is not None:
        raise damaged(name, "TIFF", ValueError(re.sub(r"<tifffile\S+( \S+>)?", "", broken)))


def _open(name: str) -> tuple[tifffile.TiffFile, tifffile.TiffPageSeries, str, tuple[int, ...]]:
    import tifffile

    tif = tifffile.TiffFile(name)
    try:
        found = [s for s in tif.series if len(s.shape) > 1 and prod(s.shape) > 0]
        if not found:
            raise ValueError("no image in it")
        series = max(found, key=_n_planes)
        axes, shape = series.get_axes(squeeze=False), tuple(series.get_shape(squeeze=False))
    except BaseException:
        tif.close()
        raise
    return tif, series, axes, shape


def _n_planes(series: tifffile.TiffPageSeries) -> int:
    return prod(n for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS")


def _contiguous_offset(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int | None:
    """Return where the pixels start if they lie in one block of `tif` itself, else None."""
    if series.is_multifile or series.keyframe.parent is not tif or series.transform is not None:
        return None
    offset: int | None = series.dataoffset
    return offset


def _describe(
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, name: str
) -> tuple[str, StackUnits, list[str], str]:
    """Return the kind of file in words, its units, a note on series left out, who says depth."""
    tags = series.keyframe.tags
    units = StackUnits()
    words = []
    depth_from = ""
    found = list(tif.series)
    number = next(i for i, s in enumerate(found) if s is series)
    xml = tif.ome_metadata if tif.is_ome else None
    if xml:
        master = _MASTER.search(xml)
        if master:
            raise SptError(
                f"{name} is one part of a stack of several files. Give the file that describes "
                f"them all: {master.group(1)}."
            )
        words.append("OME-TIFF")
        units = units.or_else(ome_units(xml, number))
        depth, time, timed = ome_sizes(xml, number)
        depth_from = f"OME SizeZ={depth}, SizeT={time}" if depth > 1 and not timed else ""
    imagej = tif.imagej_metadata
    if imagej:
        words.append("ImageJ TIFF")
        x, y = (_resolution(tags.valueof(tag)) for tag in ("XResolution", "YResolution"))
        units = units.or_else(imagej_units(imagej, x, y))
    if not words:
        words.append("BigTIFF" if tif.is_bigtiff else "TIFF")
    notes = []
    if len(found) > 1:
        notes.append(
            f"The file holds {len(found)} image series; number {number + 1} (the longest) was read."
        )
    return " / ".join(words), units, notes, depth_from


def _resolution(value: Any) -> float | None:
    try:
        above, below = value
        return float(above) / float(below) if above and below else None
    except (TypeError, ValueError, OverflowError):
        return None
