"""Microscopy stacks as a sequence of grey frames, read one at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.movies.calibration import StackUnits, imagej_units, ome_units
from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    import tifffile

    Frame = npt.NDArray[np.float64]

MAX_CHANNELS = 4
"""An axis of channels alone, no longer than this, is one coloured frame and not a movie."""
MAX_FRAME_PIXELS = 1 << 28
"""Frames with more pixels than this are taken for a damaged header."""

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GZIP_MAGIC = b"\x1f\x8b"
_AXES = {
    "T": "time",
    "Z": "depth",
    "C": "channel",
    "Q": "unnamed",
    "I": "sequence",
    "S": "colour",
    "P": "position",
    "R": "tile",
}
# What tifffile logs when the file itself, and not some tag of no importance, is damaged.
_DAMAGE = re.compile(
    r"invalid (page )?offset|invalid offset to|circular reference|corrupted tag list of page"
    r"|metadata invalid or corrupted|series raised|missing data offset|missing ByteCounts"
    r"|incorrect Strip|failed to reshape|does not match page shape|incompletely written"
    r"|missing required tags|contains no pages|expected \d+ segments"
)
_MISSING = re.compile(r"is missing|missing files|failed to read|expected \d+ frames")


def is_stack(head: bytes) -> bool:
    """Say whether a file that starts with `head` is a TIFF or BigTIFF."""
    return head[:4] in _MAGIC


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
    """

    planes: npt.NDArray[np.intp]
    axes: str
    notes: tuple[str, ...]


def plan_axes(axes: str, shape: tuple[int, ...], name: str) -> Plan:
    """Decide which axis is time, and what happens to the others.

    Time is the axis T; without one, the first axis that is not channels (said in a note). Of
    channels the first is read, over depth the brightest value is taken, of any other axis the
    first entry is read.

    Parameters
    ----------
    axes : str
        tifffile's letters, e.g. ``"TZCYX"``, those of the image itself last.
    shape : tuple of int
        Length of each axis.
    name : str
        The file, for messages.

    Returns
    -------
    Plan

    Raises
    ------
    SptError
        If there is one frame only, or the axes aren't in an order that can be read.
    """
    import numpy as np

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
    time = next((i for i, a, _ in outer if a == "T"), None)
    notes = []
    if time is None:
        time = next((i for i, a, _ in outer if a != "C"), None)
        if time is None:
            time = next((i for i, _, n in outer if n > MAX_CHANNELS), None)
        if time is None:
            held = f"one frame of {size['C']} channels" if outer else "one frame"
            raise SptError(
                f"{name} holds {held} ({shown}): no motion can be tracked. Expected a time "
                "series: save the whole stack in one file, time as its frames."
            )
        kind = _AXES.get(axes[time], "unknown")
        notes.append(
            f"The file names no time axis ({shown}): its first axis ({axes[time]}, {kind}, "
            f"{shape[time]} planes) was taken as time."
        )
    number = np.arange(prod(shape[:lead]), dtype=np.intp).reshape(shape[:lead])
    projected = [i for i, a, _ in outer if i != time and a == "Z" and "Z" not in axes[:i]]
    for i, a, n in outer:
        if i == time:
            continue
        if i in projected:
            notes.append(f"Each frame is the brightest value over {n} planes of depth (axis Z).")
            continue
        number = number.take([0], axis=i)
        kind = _AXES.get(a, "unknown")
        notes.append(f"Only the first of {n} entries of axis {a} ({kind}) was read.")
    planes = np.moveaxis(number, time, 0).reshape(shape[time], -1)
    if size.get("S", 1) > 1:
        notes.append(_colour_note(size["S"]))
    return Plan(planes, shown, tuple(notes))


def _colour_note(samples: int) -> str:
    if samples == 2:
        return "Of 2 samples a pixel, the first was read (the second is transparency)."
    left = f", leaving out {samples - 3} more (transparency)" if samples > 3 else ""
    return f"Colour frames were made grey by the mean of red, green and blue{left}."


class Stack:
    """A stack of frames in one TIFF file, open for reading; use as a context manager.

    Attributes
    ----------
    name : str
        The file as the user gave it.
    format : str
        The kind of file in words.
    n_frames, height, width : int
        Numbers of frames, of rows and of columns.
    units : StackUnits
        What the metadata say about pixel size and frame interval.
    notes : tuple of str
        What was assumed about the axes.
    saturation : float or None
        The largest value a pixel of this type can have; None for floating-point frames.
    n_not_finite : int
        Pixels that were no number in the frames read so far (replaced by the frame's median).
    """

    def __init__(self, name: str | Path) -> None:
        """Open the stack `name` and look at its metadata.

        Raises
        ------
        SptError
            If there is no such file, it is no TIFF, is damaged, holds one frame only, or pixels
            of a kind that isn't an image's.
        """
        import numpy as np

        self.name = str(name)
        self.n_not_finite = 0
        self._tif: tifffile.TiffFile | None = None
        _check_file(self.name)
        try:
            with silence("tifffile") as said:
                self._tif, self._series, axes, shape = _open(self.name)
                self._dtype = np.dtype(self._series.dtype)
                self.format, self.units, notes = _describe(self._tif, self._series)
                self._offset = _contiguous_offset(self._tif, self._series)
                self.notes = (*notes, *self._read_layout(axes, shape, said))
        except BaseException as error:
            self.close()
            if isinstance(error, SptError) or not isinstance(error, Exception):
                raise
            # A parser fed with broken bytes raises anything.
            raise _damaged(self.name, error) from error

    def _read_layout(self, axes: str, shape: tuple[int, ...], said: list[str]) -> tuple[str, ...]:
        import numpy as np

        missing = next((line for line in said if _MISSING.search(line)), None)
        if missing is not None:
            raise SptError(
                f"{self.name} is one part of a stack of several files, and parts of it are not "
                "there. Put all files of the stack into one folder, or save it as one file."
            )
        broken = next((line for line in said if _DAMAGE.search(line)), None)
        if broken is not None:
            raise _damaged(self.name, ValueError(re.sub(r"<tifffile\S+( \S+>)?", "", broken)))
        if self._dtype.kind not in "biuf":
            raise SptError(
                f"{self.name} has pixels of type {self._dtype}: expected grey values (8, 16 or 32 "
                "bit, whole numbers or floating-point). Convert it in Fiji with Image > Type."
            )
        plan = plan_axes(axes, shape, self.name)
        image = {a: n for a, n in zip(axes, shape, strict=True) if a in "YXS"}
        self._image_axes = "".join(a for a in axes if a in image)
        self._image_shape = tuple(image[a] for a in self._image_axes)
        self._planes = plan.planes
        self.axes = plan.axes
        self.n_frames = len(plan.planes)
        self.height, self.width = image["Y"], image["X"]
        self.saturation = float(np.iinfo(self._dtype).max) if self._dtype.kind in "iu" else None
        if self.height * self.width > MAX_FRAME_PIXELS:
            raise SptError(
                f"{self.name} says its frames have {self.width} × {self.height} pixels, which is "
                "no camera's: the file is damaged, or not a movie."
            )
        stored = len(self._series) if self._offset is None else None
        needed = prod(shape) // max(prod(self._series.keyframe.shape), 1)
        if stored is not None and stored < needed:
            raise _damaged(self.name, ValueError(f"{stored} of {needed} images are there"))
        self._check_end()
        return plan.notes

    def _check_end(self) -> None:
        """Refuse a file that ends before its last plane, before any work is done."""
        if self._offset is None or self._tif is None:
            return
        size = prod(self._image_shape) * self._dtype.itemsize
        there = (self._tif.filehandle.size - self._offset) // max(size, 1)
        needed = int(self._planes.max()) + 1
        if there < needed:
            raise _damaged(self.name, ValueError(f"{max(there, 0)} of {needed} images are there"))

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._tif is not None:
            self._tif.close()

    def frame(self, index: int) -> Frame:
        """Return frame `index` as grey values.

        Parameters
        ----------
        index : int
            0 … n_frames − 1.

        Returns
        -------
        numpy.ndarray of float64, shape (height, width)
            Grey values as they are in the file; what is no finite number is replaced by the
            median of the rest.

        Raises
        ------
        SptError
            If the frame can't be read.
        """
        import numpy as np

        grey: Frame | None = None
        for number in self._planes[index]:
            try:
                with silence("tifffile") as said:
                    plane = self._grey(self._plane(int(number)))
            except Exception as error:
                raise self._unreadable(index, error) from error
            if any(_DAMAGE.search(line) for line in said):
                raise self._unreadable(index, ValueError(said[0]))
            grey = plane if grey is None else np.fmax(grey, plane)
        assert grey is not None
        finite = np.isfinite(grey)
        if not finite.all():
            self.n_not_finite += int(grey.size - finite.sum())
            grey[~finite] = np.median(grey[finite]) if finite.any() else 0.0
        return grey

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.n_frames):
            yield self.frame(index)

    def _plane(self, number: int) -> npt.NDArray[Any]:
        assert self._tif is not None
        count = prod(self._image_shape)
        if self._offset is not None:
            return self._tif.filehandle.read_array(
                self._tif.byteorder + self._dtype.char,
                count,
                self._offset + number * count * self._dtype.itemsize,
            )
        per_page = max(prod(self._series.keyframe.shape) // count, 1)
        page = self._series[number // per_page]
        if page is None:
            raise ValueError("it is not in this file")
        data = page.asarray(maxworkers=1)
        return data.reshape(per_page, count)[number % per_page]  # type: ignore[no-any-return]

    def _grey(self, plane: npt.NDArray[Any]) -> Frame:
        """Return a plane of any type, with or without colours, as float64 of (height, width)."""
        import numpy as np

        image = plane.reshape(self._image_shape)
        if "S" in self._image_axes:
            image = np.moveaxis(image, self._image_axes.index("S"), -1)
            samples = image.shape[-1]
            image = image[..., : 3 if samples > 2 else 1].mean(axis=-1, dtype=np.float64)
        if self._image_axes.replace("S", "") == "XY":
            image = image.T
        return np.array(image, dtype=np.float64)

    def _unreadable(self, index: int, error: Exception) -> SptError:
        if "imagecodecs" in str(error):
            method = getattr(self._series.keyframe.compression, "name", "") or "a method"
            return SptError(
                f"{self.name} is compressed ({method}) in a way that needs a further package. "
                "Install it (pip install imagecodecs), or save the stack uncompressed in Fiji."
            )
        return SptError(
            f"{self.name} can't be read at frame {index + 1} of {self.n_frames} "
            f"({_reason(error)}): the file is damaged or was cut short. Copy or export it again."
        )


def _check_file(name: str) -> None:
    if name == "-":
        raise SptError("A stack can't be read from standard input: give the name of its file.")
    try:
        with Path(name).open("rb") as stream:
            head = stream.read(8)
    except FileNotFoundError as error:
        raise SptError(
            f"{name} was not found: expected a microscopy stack (TIFF). "
            "Check the spelling and the folder you are in."
        ) from error
    except IsADirectoryError as error:
        raise SptError(f"{name} is a folder; expected a stack in one file.") from error
    except OSError as error:
        raise SptError(
            f"{name} can't be opened ({error.strerror or error}): expected a readable file."
        ) from error
    except ValueError as error:
        raise SptError(f"{name!r} is no file name ({error}).") from error
    if not head:
        raise SptError(f"{name} is empty: expected a microscopy stack (TIFF). Export it again.")
    if head.startswith(_GZIP_MAGIC):
        raise SptError(f"{name} is compressed with gzip: unzip the stack first.")
    if not is_stack(head):
        raise SptError(
            f"{name} is no TIFF file: expected a microscopy stack as TIFF, BigTIFF or OME-TIFF. "
            "Save it as TIFF, in Fiji with File > Save As > Tiff."
        )


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
    tif: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> tuple[str, StackUnits, list[str]]:
    """Return the kind of file in words, its units, and a note on series left out."""
    tags = series.keyframe.tags
    units = StackUnits()
    words = []
    found = list(tif.series)
    number = next(i for i, s in enumerate(found) if s is series)
    if tif.is_ome and tif.ome_metadata:
        words.append("OME-TIFF")
        units = units.or_else(ome_units(tif.ome_metadata, number))
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
    return " / ".join(words), units, notes


def _resolution(value: Any) -> float | None:
    try:
        above, below = value
        return float(above) / float(below) if above and below else None
    except (TypeError, ValueError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 80 else text[:79] + "…"


def _damaged(name: str, error: Exception) -> SptError:
    return SptError(
        f"{name} starts like a TIFF file and can't be read ({_reason(error)}): it is damaged or "
        "was cut short. Copy or export it again."
    )
