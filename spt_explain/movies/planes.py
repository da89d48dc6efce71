"""What every kind of movie file offers: numbered planes, read one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from spt_explain.errors import SptError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from spt_explain.movies.calibration import StackUnits


@dataclass(frozen=True)
class Layout:
    """How a file's planes are arranged, and what it says about itself.

    Attributes
    ----------
    format : str
        The kind of file in words.
    axes : str
        tifffile's letters; those of the image (Y, X and perhaps S, samples of colour) last.
    shape : tuple of int
        Length of each axis.
    dtype : numpy.dtype
        Of the pixels.
    units : StackUnits
        What the metadata say.
    notes : tuple of str
        What was left out or assumed.
    depth_from : str
        Where the file says that its axis Z is depth; empty where it need not be.
    bits : int or None
        Bits of a pixel that the camera filled; None for all.
    missing : frozenset of int
        Planes that the axes promise and the file does not hold (an interrupted recording).
    """

    format: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    units: StackUnits
    notes: tuple[str, ...] = ()
    depth_from: str = ""
    bits: int | None = None
    missing: frozenset[int] = frozenset()


class Planes(Protocol):
    """An open file, or several: planes numbered along the outer axes, the last fastest."""

    layout: Layout

    def plane(self, number: int) -> npt.NDArray[Any]:
        """Return the pixels of a plane, in the order of the image's axes; raises anything."""
        ...

    def origin(self, number: int) -> tuple[str, int]:
        """Return the file a plane lies in, and its number in there, from 0."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def reason(error: Exception) -> str:
    """Return what a library said, in at most 80 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 80 else text[:79] + "…"


def damaged(name: str, kind: str, error: Exception) -> SptError:
    """Return the error for a file that starts like a `kind` and can't be read."""
    return SptError(
        f"{name} starts like a {kind} file and can't be read ({reason(error)}): it is damaged or "
        "was cut short. Copy or export it again."
    )


def not_installed(name: str, kind: str) -> SptError:
    """Return the error for a file whose reader is an optional extra."""
    return SptError(
        f"{name} is a {kind} movie, which needs a further package. Install it with "
        'pip install "spt-explain[microscopes]", or save the movie as TIFF.'
    )
