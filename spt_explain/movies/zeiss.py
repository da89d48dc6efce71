"""Zeiss CZI, plane by plane, through Zeiss's own library (pylibCZIrw)."""

from __future__ import annotations

import re
import struct
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from spt_explain.errors import SptError
from spt_explain.movies.calibration import microscope_units
from spt_explain.movies.planes import Layout, damaged, not_installed
from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    import numpy.typing as npt

    from spt_explain.movies.calibration import StackUnits

CZI_MAGIC = b"ZISRAWFILE"

_DIMENSIONS = "TZCRIHVB"
_TYPES = {
    "Gray8": ("u1", 1),
    "Gray16": ("u2", 1),
    "Gray32Float": ("f4", 1),
    "Bgr24": ("u1", 3),
    "Bgr48": ("u2", 3),
    "Bgr96Float": ("f4", 3),
}
# Places in a CZI file, from Zeiss's description of the format (ZISRAW, version 1.2.2).
_SEGMENT = struct.Struct("<16sqq")
_ATTACHMENTS_AT = _SEGMENT.size + 72
_ENTRIES_AT = _SEGMENT.size + 256
_ENTRY = struct.Struct("<2s10sqi16s8s80s")
MAX_ATTACHMENTS = 10_000
"""A directory with more attachments than this is taken for damaged."""


class CziPlanes:
    """The first scene of a CZI file.

    Parameters
    ----------
    name : str
        The file.

    Raises
    ------
    SptError
        If pylibCZIrw isn't installed, or the file is damaged.
    """

    layout: Layout

    def __init__(self, name: str) -> None:
        try:
            from pylibCZIrw import czi
        except ImportError as error:
            raise not_installed(name, "Zeiss CZI") from error
        self._name = name
        self._czi: Any = None
        try:
            with silence():
                # Its file names are UTF-8 everywhere; what isn't can't be opened.
                self._czi = czi.CziReader(name)
                self._read_layout()
        except BaseException as error:
            self.close()
            if isinstance(error, SptError) or not isinstance(error, Exception):
                raise
            raise damaged(name, "CZI", error) from error

    def _read_layout(self) -> None:
        import numpy as np

        there, rectangle, n_scenes = self._survey()
        axes = [a for a in _DIMENSIONS if len(there[a]) > 1]
        self._axes, self._there = axes, there
        self._rectangle = rectangle
        kind = self._czi.get_channel_pixel_type(0)
        if kind not in _TYPES:
            raise SptError(
                f"{self._name} has pixels of type {kind}: expected grey values or colours of 8, "
                "16 or 32 bit. Save the movie as TIFF."
            )
        self._kind = kind
        number, samples = _TYPES[kind]
        self._samples = samples
        shape = [len(there[a]) for a in axes]
        self._outer = tuple(shape)
        # Our letters: views, phases and the like have no letters of their own in TIFF.
        letters = [a if a in "TZC" else "Q" for a in axes]
        letters += ["Y", "X"]
        shape += [rectangle[3], rectangle[2]]
        if samples > 1:
            letters.append("S")
            shape.append(samples)
        xml = self._czi.raw_metadata
        notes = []
        if n_scenes > 1:
            notes.append(f"The file holds {n_scenes} scenes; the first was read.")
        self.layout = Layout(
            "CZI",
            "".join(letters),
            tuple(shape),
            np.dtype(number),
            czi_units(xml, time_stamps(self._name)),
            tuple(notes),
            "CZI" if len(there["Z"]) > 1 and len(there["T"]) == 1 else "",
            _significant_bits(xml),
            self._find_missing(),
        )

    def _survey(self) -> tuple[dict[str, list[int]], tuple[int, int, int, int], int]:
        """Return the entries of each dimension, where the first scene lies, and how many are."""
        box = self._czi.total_bounding_box_no_pyramid
        there = {a: list(range(*box.get(a, (0, 1)))) for a in _DIMENSIONS}
        scenes = self._czi.scenes_bounding_rectangle_no_pyramid
        self._scene = min(scenes) if len(scenes) > 1 else None
        rectangle = scenes[min(scenes)] if scenes else self._czi.total_bounding_rectangle_no_pyramid
        self._held: set[tuple[int, ...]] | None = None
        if hasattr(self._czi, "enumerate_subblocks"):  # since version 6
            found: set[tuple[int, ...]] = set()

            def look(_: int, block: Any) -> bool:
                at = {str(getattr(k, "name", k)): v for k, v in block.coordinate.to_dict().items()}
                if self._scene is None or at.get("S", self._scene) == self._scene:
                    found.add(tuple(at.get(a, 0) for a in _DIMENSIONS))
                return True

            self._czi.enumerate_subblocks(look)
            if found:
                self._held = found
                there = {a: sorted({at[k] for at in found}) for k, a in enumerate(_DIMENSIONS)}
        return there, tuple(rectangle), len(scenes)

    def _find_missing(self) -> frozenset[int]:
        if self._held is None or len(self._held) == prod(self._outer):
            return frozenset()
        return frozenset(
            number
            for number in range(prod(self._outer))
            if tuple(self._at(number)[a] for a in _DIMENSIONS) not in self._held
        )

    def _at(self, number: int) -> dict[str, int]:
        """Return the coordinates of plane `number`."""
        at = {a: self._there[a][0] for a in _DIMENSIONS}
        for axis, length in zip(reversed(self._axes), reversed(self._outer), strict=True):
            number, index = divmod(number, length)
            at[axis] = self._there[axis][index]
        return at

    def plane(self, number: int) -> npt.NDArray[Any]:
        """Return the pixels of plane `number`."""
        with silence():
            image = self._czi.read(
                roi=self._rectangle,
                plane=self._at(number),
                scene=self._scene,
                pixel_type=self._kind,
            )
        if self._samples == 1:
            return image[..., 0]  # type: ignore[no-any-return]
        return image[..., ::-1]  # type: ignore[no-any-return]

    def origin(self, number: int) -> tuple[str, int]:
        """Return the file, and the number of a plane among all of its scene."""
        return self._name, number

    def close(self) -> None:
        """Close the file."""
        if self._czi is not None:
            self._czi.close()
            self._czi = None


def czi_units(xml: str, stamps: list[float]) -> StackUnits:
    """Read the units of a CZI file.

    Parameters
    ----------
    xml : str
        Its metadata: ``Scaling`` in metres, and the planned interval of a time series.
    stamps : list of float
        When each time point was taken, in s; empty where not known. The median step comes before
        the planned interval.

    Returns
    -------
    StackUnits
    """
    sides: dict[str, float] = {}
    increment = None
    try:
        root = ElementTree.fromstring(xml.encode())
    except (ElementTree.ParseError, ValueError):
        root = None
    if root is not None:
        for distance in root.findall(".//Scaling/Items/Distance"):
            value = _number(distance.findtext("Value"))
            if value is not None:
                sides[distance.get("Id", "")] = value * 1e6
        found = root.findtext(".//Image/Dimensions/T/Positions/Interval/Increment")
        increment = _number(found)
    steps = sorted(b - a for a, b in pairwise(stamps))
    measured = steps[len(steps) // 2] if steps else None
    return microscope_units(
        sides.get("X"),
        sides.get("Y"),
        f"CZI Scaling, {sides.get('X', 0):g} µm",
        measured,
        "median step of CZI TimeStamps",
        increment,
        "CZI Interval Increment",
    )


def time_stamps(name: str) -> list[float]:
    """Return when each time point of a CZI file was taken, in s; empty where not known.

    The library reads no attachments, in which ZEN keeps these times.

    Parameters
    ----------
    name : str
        The file.

    Returns
    -------
    list of float
    """
    try:
        with Path(name).open("rb") as stream:
            stream.seek(_ATTACHMENTS_AT)
            (at,) = struct.unpack("<q", stream.read(8))
            if at <= 0:
                return []
            stream.seek(at)
            (word, _, _), (count,) = (
                _SEGMENT.unpack(stream.read(_SEGMENT.size)),
                struct.unpack("<i", stream.read(4)),
            )
            if not word.startswith(b"ZISRAWATTDIR") or not 0 < count <= MAX_ATTACHMENTS:
                return []
            stream.seek(at + _ENTRIES_AT)
            entries = stream.read(count * _ENTRY.size)
            for _, _, place, _, _, kind, _ in _ENTRY.iter_unpack(entries):
                if kind.rstrip(b"\0") != b"CZTIMS":
                    continue
                stream.seek(place + _ENTRIES_AT)
                _, n = struct.unpack("<ii", stream.read(8))
                if n <= 0:
                    continue
                return list(struct.unpack(f"<{n}d", stream.read(8 * n)))
    except (OSError, ValueError, struct.error, OverflowError, MemoryError):
        pass
    return []


def _significant_bits(xml: str) -> int | None:
    found = re.search(r"<Image>(?:(?!</Image>).)*?<ComponentBitCount>\s*(\d+)", xml, re.S)
    bits = int(found.group(1)) if found else 0
    return bits if 8 <= bits <= 16 else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
