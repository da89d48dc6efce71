"""Nikon ND2, plane by plane, through the library nd2."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.movies.calibration import microscope_units
from spt_explain.movies.planes import Layout, damaged, not_installed
from spt_explain.movies.quiet import silence

if TYPE_CHECKING:
    import numpy.typing as npt

    from spt_explain.movies.calibration import StackUnits

ND2_MAGIC = (b"\xda\xce\xbe\x0a", b"\0\0\0\x0cjP  ")
"""How ND2 files start: those of today, and those of before 2011 (which are JPEG 2000)."""
TIMED_FRAMES = 200
"""From so many time points at the start the interval is taken."""
MAX_PROMISED = 10_000
"""A file that promises this many times the images it holds is taken for damaged."""


class Nd2Planes:
    """The images of an ND2 file.

    Parameters
    ----------
    name : str
        The file.

    Raises
    ------
    SptError
        If nd2 isn't installed, or the file is damaged.
    """

    layout: Layout

    def __init__(self, name: str) -> None:
        try:
            import nd2
        except ImportError as error:
            raise not_installed(name, "Nikon ND2") from error
        self._name = name
        self._file: Any = None
        try:
            with silence("nd2"):
                self._file = nd2.ND2File(name)
                self._read_layout()
        except BaseException as error:
            self.close()
            if isinstance(error, SptError) or not isinstance(error, Exception):
                raise
            if "imagecodecs" in str(error):
                raise SptError(
                    f"{name} is an ND2 file of before 2011 (JPEG 2000), which needs a further "
                    "package. Install it (pip install imagecodecs), or save the movie as TIFF."
                ) from error
            raise damaged(name, "ND2", error) from error

    def _read_layout(self) -> None:
        import numpy as np

        file = self._file
        sizes = dict(file.sizes)
        samples = sizes.pop("S", 1)
        self._channels = sizes.pop("C", 1)
        height, width = sizes.pop("Y"), sizes.pop("X")
        # nd2's letters for loops are ours, but for those of no name.
        letters = [a if a in "TZP" else "Q" for a in sizes]
        shape = list(sizes.values())
        self._n_images = prod(shape)
        if self._channels > 1:
            letters.append("C")
            shape.append(self._channels)
        self._image = (height, width) if samples == 1 else (height, width, samples)
        bits = file.attributes.bitsPerComponentSignificant
        missing = self._find_missing()
        self.layout = Layout(
            "ND2",
            "".join(letters) + ("YX" if samples == 1 else "YXS"),
            (*shape, *self._image),
            np.dtype(file.dtype),
            self._units(sizes),
            (),
            "ND2" if sizes.get("Z", 1) > 1 and sizes.get("T", 1) == 1 else "",
            bits if bits and 8 <= bits <= 16 else None,
            missing,
        )

    def _find_missing(self) -> frozenset[int]:
        """Return the planes that aren't there, which the library hands out as zeros."""
        reader = getattr(self._file, "_rdr", None)
        held = getattr(reader, "_frame_offsets", None)
        if not isinstance(held, dict):
            return frozenset()
        if self._n_images > MAX_PROMISED * max(len(held), 1):
            raise ValueError(f"{len(held)} of {self._n_images} images are there")
        return frozenset(
            image * self._channels + channel
            for image in range(self._n_images)
            if image not in held
            for channel in range(self._channels)
        )

    def _units(self, sizes: dict[str, int]) -> StackUnits:
        width, height = None, None
        try:
            volume = self._file.metadata.channels[0].volume
            if all(volume.axesCalibrated[:2]):
                width, height = volume.axesCalibration[:2]
        except Exception:  # whatever the library can't read of a file whose images it can
            width = None
        return microscope_units(
            width,
            height,
            f"ND2 calibration, {width or 0:g} µm",
            self._measured_interval(sizes),
            "median step of ND2 frame times",
            self._planned_interval(),
            "ND2 period",
        )

    def _measured_interval(self, sizes: dict[str, int]) -> float | None:
        """Return the median time between frames in s, from the times of images, or None."""
        if "T" not in sizes:
            return None
        axes = list(sizes)
        stride = prod(sizes[a] for a in axes[axes.index("T") + 1 :])
        times = []
        for point in range(min(sizes["T"], TIMED_FRAMES)):
            try:
                found = self._file.frame_metadata(point * stride)
                times.append(float(found.channels[0].time.relativeTimeMs) / 1e3)
            except Exception:  # files without times, or with metadata that the library can't read
                break
        steps = sorted(b - a for a, b in pairwise(times))
        step = steps[len(steps) // 2] if steps else 0.0
        return step if isfinite(step) and step > 0 else None

    def _planned_interval(self) -> float | None:
        for loop in self._file.experiment:
            if loop.type not in ("TimeLoop", "NETimeLoop"):
                continue
            periods = getattr(loop.parameters, "periods", None) or [loop.parameters]
            average = getattr(periods[0].periodDiff, "avg", 0) or 0
            value = (average if average > 0 else periods[0].periodMs) / 1e3
            return value if isfinite(value) and value > 0 else None
        return None

    def plane(self, number: int) -> npt.NDArray[Any]:
        """Return the pixels of plane `number`."""
        image, channel = divmod(number, self._channels)
        with silence("nd2"):
            pixels = self._file.read_frame(image)
        if self._channels > 1:
            pixels = pixels[channel]
        return pixels.reshape(self._image)  # type: ignore[no-any-return]

    def origin(self, number: int) -> tuple[str, int]:
        """Return the file, and the number of the image that holds a plane."""
        return self._name, number // self._channels

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
