"""Microscopy stacks as a sequence of grey frames, read one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spt_explain.errors import SptError
from spt_explain.movies.axes import check_choice, plan_axes
from spt_explain.movies.frames import FrameFiles, FramePlanes, gather
from spt_explain.movies.nikon import ND2_MAGIC, Nd2Planes
from spt_explain.movies.planes import reason
from spt_explain.movies.settings import DEFAULT_Z
from spt_explain.movies.tiff import TIFF_MAGIC, TiffPlanes
from spt_explain.movies.zeiss import CZI_MAGIC, CziPlanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from spt_explain.movies.planes import Planes

    Frame = npt.NDArray[np.float64]

MAX_FRAME_PIXELS = 1 << 28
"""Frames with more pixels than this are taken for a damaged header."""

_GZIP_MAGIC = b"\x1f\x8b"


def is_stack(head: bytes) -> bool:
    """Say whether a file that starts with `head` is a movie: TIFF, BigTIFF, ND2 or CZI."""
    return head.startswith((*TIFF_MAGIC, *ND2_MAGIC, CZI_MAGIC))


class Stack:
    """A movie in one file or several, open for reading; use as a context manager.

    Attributes
    ----------
    name : str
        The file or folder as the user gave it.
    format : str
        The kind of file in words.
    axes : str
        The file's axes with their lengths, for people, e.g. ``"T 50, Y 128, X 128"``.
    n_frames, height, width : int
        Numbers of frames, of rows and of columns.
    units : StackUnits
        What the metadata say about pixel size and frame interval.
    notes : tuple of str
        What was assumed about the axes, and what was left out.
    saturation : float or None
        The largest value a pixel can have; None for floating-point frames.
    options : tuple
        What was opened, channel and z: ``Stack(*options)`` opens it again, in another process too.
    n_not_finite : int
        Pixels that were no number in the frames read so far (replaced by the frame's median).
    """

    def __init__(
        self,
        name: str | Path | Sequence[str | Path] | FrameFiles,
        channel: int | None = None,
        z: str | int = DEFAULT_Z,
    ) -> None:
        """Open a movie and look at its metadata.

        Parameters
        ----------
        name : str, pathlib.Path, sequence of them, or FrameFiles
            A TIFF of any kind, an ND2 or CZI file; or single frames as TIFF: their folder, or
            their names.
        channel : int, optional
            Which channel is read, from 1; the first by default.
        z : {"max", "mean"} or int, optional
            What is made of several planes of depth; a number is one plane, from 1.

        Raises
        ------
        SptError
            If there is no such file, it is no movie, is damaged, holds one frame only, or a
            Z-stack without time, or pixels of a kind that isn't an image's; if there is no such
            channel or plane; if the reader for its format isn't installed.
        """
        check_choice(channel, z)
        self.n_not_finite = 0
        self._planes: Planes | None = None
        try:
            source, self.name, self._planes = _open(name)
            self.options: tuple[str | FrameFiles, int | None, str | int] = (source, channel, z)
            self._settle(channel, z)
        except BaseException:
            self.close()
            raise

    def _settle(self, channel: int | None, z: str | int) -> None:
        import numpy as np

        assert self._planes is not None
        layout = self._planes.layout
        dtype = layout.dtype
        if dtype.kind not in "biuf":
            raise SptError(
                f"{self.name} has pixels of type {dtype}: expected grey values (8, 16 or 32 "
                "bit, whole numbers or floating-point). Convert it in Fiji with Image > Type."
            )
        plan = plan_axes(
            layout.axes, layout.shape, self.name, channel=channel, z=z, depth_from=layout.depth_from
        )
        image = {a: n for a, n in zip(layout.axes, layout.shape, strict=True) if a in "YXS"}
        self._image_axes = "".join(a for a in layout.axes if a in image)
        self.height, self.width = image["Y"], image["X"]
        if self.height * self.width > MAX_FRAME_PIXELS:
            raise SptError(
                f"{self.name} says its frames have {self.width} × {self.height} pixels, which is "
                "no camera's: the file is damaged, or not a movie.",
                code="unreadable",
            )
        self._plan = plan
        self._numbers, cut = self._without_missing(plan.planes, layout.missing)
        self.n_frames = len(self._numbers)
        self.format, self.axes, self.units = layout.format, plan.axes, layout.units
        self.notes = (*layout.notes, *plan.notes, *cut)
        self.saturation = None
        if dtype.kind in "iu":
            full = float(np.iinfo(dtype).max)
            self.saturation = min(2.0**layout.bits - 1, full) if layout.bits else full

    def _without_missing(
        self, numbers: npt.NDArray[np.intp], missing: frozenset[int]
    ) -> tuple[npt.NDArray[np.intp], list[str]]:
        """Leave out the frames from the first on that the file does not hold."""
        import numpy as np

        gone = np.isin(numbers, list(missing)).any(axis=1) if missing else np.zeros(1, bool)
        if not gone.any():
            return numbers, []
        there = int(np.argmax(gone))
        if there < 2:
            raise SptError(
                f"{self.name} holds {there} complete frame{'s' * (there != 1)} of "
                f"{len(numbers)} that were planned: no motion can be tracked. The recording was "
                "stopped, or the file was cut short.",
                code="wrong-kind",
            )
        later = len(numbers) - there - int(gone.sum())
        more = f" ({later:,} complete ones after that were left out)" if later else ""
        return numbers[:there], [
            f"Of {len(numbers):,} frames planned, frame {there + 1:,} is not in the file: the "
            f"{there:,} before it were read{more}."
        ]

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._planes is not None:
            self._planes.close()

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

        assert self._planes is not None
        numbers = self._numbers[index]
        grey: Frame | None = None
        weight: Any = 0  # of each pixel: planes in which it is a number
        for number in numbers:
            try:
                pixels = self._planes.plane(int(number))
                plane = self._grey(pixels)
            except SptError:
                raise
            except Exception as error:
                raise self._unreadable(index, error) from error
            exact = pixels.dtype.kind != "f"
            if len(numbers) > 1 and self._plan.projection == "mean":
                good = 1 if exact else np.isfinite(plane)
                weight = weight + good
                plane = plane if exact else np.where(good, plane, 0.0)
                grey = plane if grey is None else np.add(grey, plane, out=grey)
            else:
                grey = plane if grey is None else np.fmax(grey, plane, out=grey)
        assert grey is not None
        if len(numbers) > 1 and self._plan.projection == "mean":
            with np.errstate(invalid="ignore"):
                grey /= weight
        if not exact:
            finite = np.isfinite(grey)
            if not finite.all():
                self.n_not_finite += int(grey.size - finite.sum())
                grey[~finite] = np.median(grey[finite]) if finite.any() else 0.0
        return grey

    def origin(self, index: int) -> tuple[tuple[str, int], ...]:
        """Return where frame `index` comes from.

        Parameters
        ----------
        index : int
            0 … n_frames − 1.

        Returns
        -------
        tuple of (str, int)
            For each plane behind the frame its file and its number there, from 0: the page of a
            TIFF, the image of an ND2 or CZI file.
        """
        assert self._planes is not None
        return tuple(self._planes.origin(int(number)) for number in self._numbers[index])

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.n_frames):
            yield self.frame(index)

    def _grey(self, image: npt.NDArray[Any]) -> Frame:
        """Return a plane of any type, with or without colours, as float64 of (height, width)."""
        import numpy as np

        if "S" in self._image_axes:
            image = np.moveaxis(image, self._image_axes.index("S"), -1)
            if self._plan.colour is not None:
                image = image[..., self._plan.colour]
            else:
                image = image[..., : 3 if image.shape[-1] > 2 else 1]
                image = image.mean(axis=-1, dtype=np.float64)
        if self._image_axes.replace("S", "") == "XY":
            image = image.T
        if image.shape != (self.height, self.width):
            raise ValueError(f"it has {image.shape[-1]} × {image.shape[0]} pixels")
        grey = image.astype(np.float64, order="C", copy=image.dtype != np.float64)
        # Readers may hand out their own, read-only memory.
        return grey if grey.flags.writeable and grey.flags.owndata else grey.copy()

    def _unreadable(self, index: int, error: Exception) -> SptError:
        return SptError(
            f"{self.name} can't be read at frame {index + 1} of {self.n_frames} "
            f"({reason(error)}): the file is damaged or was cut short. Copy or export it again.",
            code="unreadable",
        )


def _open(
    name: str | Path | Sequence[str | Path] | FrameFiles,
) -> tuple[str | FrameFiles, str, Planes]:
    """Return what opens the movie again, its name, and its planes."""
    if isinstance(name, FrameFiles):
        return name, name.name, FramePlanes(name)
    if isinstance(name, str | Path):
        name = str(name)
        if name != "-" and _is_folder(name):
            files = gather(name)
            return files, name, FramePlanes(files)
        readers: dict[str, Callable[[str], Planes]]
        readers = {"TIFF": TiffPlanes, "ND2": Nd2Planes, "CZI": CziPlanes}
        return name, name, readers[_kind(name)](name)
    files = gather([str(one) for one in name])
    return files, files.name, FramePlanes(files)


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):
        return False


def _kind(name: str) -> str:
    """Return the kind of movie a file is, by its first bytes."""
    if name == "-":
        raise SptError("A stack can't be read from standard input: give the name of its file.")
    try:
        with Path(name).open("rb") as stream:
            head = stream.read(16)
    except FileNotFoundError as error:
        raise SptError(
            f"{name} was not found: expected a microscopy stack (TIFF, ND2 or CZI). "
            "Check the spelling and the folder you are in."
        ) from error
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
    if head.startswith(ND2_MAGIC):
        return "ND2"
    if head.startswith(CZI_MAGIC):
        return "CZI"
    if not head.startswith(TIFF_MAGIC):
        raise SptError(
            f"{name} is no TIFF file: expected a microscopy stack as TIFF, BigTIFF or OME-TIFF, "
            "ND2 or CZI. Save it as TIFF, in Fiji with File > Save As > Tiff."
        )
    return "TIFF"
