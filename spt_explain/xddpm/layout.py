"""How a movie becomes clips, and how maps of clips become maps of the movie again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

WHOLE_SIDE = 64
"""Largest side of whole frames in clips, in px after binning, where nothing else is said."""
LEAST_TILE = 8
"""Smallest side of a tile in px."""


@dataclass(frozen=True)
class Layout:
    """How clips are cut from a movie; stored with each model.

    Attributes
    ----------
    tile : int or None
        Side of a square tile in px, after binning; None: whole frames.
    frames : int
        Frames of a clip, one after the other.
    stride : int
        Frames from the start of one clip to that of the next, when clips are gathered.
    bin : int
        Squares of so many by so many pixels are averaged to one.
    channel : int or None
        Which channel was read, from 1; None is the first.
    z : str or int
        What was made of planes of depth: ``"max"``, ``"mean"``, or one plane, from 1.
    """

    tile: int | None
    frames: int
    stride: int
    bin: int
    channel: int | None = None
    z: str | int = "max"

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < LEAST_TILE:
            raise SptError(
                f"{option('tile')} is {self.tile}; expected at least {LEAST_TILE} px (after "
                "binning).",
                option="tile",
            )
        for name, value, least in (
            ("frames", self.frames, 1),
            ("stride", self.stride, 1),
            ("bin", self.bin, 1),
        ):
            if value < least:
                raise SptError(
                    f"{option(name)} is {value}; expected at least {least}.", option=name
                )

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of a binned frame."""
        return -(-height // self.bin), -(-width // self.bin)

    def binned(self, frame: NDArray[np.generic]) -> Pixels:
        """Return a frame (or frames), float32, with squares of pixels averaged to one.

        Squares at the lower and the right edge may be cut off; they are the mean of what they have.

        Parameters
        ----------
        frame : numpy.ndarray, shape (..., height, width)
        """
        return binned(frame, self.bin)

    def spread(self, maps: Pixels, height: int, width: int) -> Pixels:
        """Return maps of binned frames at the size of the movie's own pixels, values repeated."""
        if self.bin == 1:
            return maps
        large = maps.repeat(self.bin, axis=-2).repeat(self.bin, axis=-1)
        return np.ascontiguousarray(large[..., :height, :width])

    def share(self, height: int, width: int) -> Pixels:
        """Return what a movie's pixel has of its square of binned pixels, (height, width).

        What is counted (nats) and not averaged is multiplied by it, so that sums stay.
        """
        rows, columns = (
            np.minimum(self.bin, n - np.arange(n) // self.bin * self.bin) for n in (height, width)
        )
        return np.asarray(1 / np.multiply.outer(rows, columns), np.float32)

    def in_words(self) -> str:
        """Return it as words for people."""
        what = "whole frames" if self.tile is None else f"tiles of {self.tile} × {self.tile} px"
        averaged = f", {self.bin} × {self.bin} px averaged to one" if self.bin > 1 else ""
        return f"{what}, {self.frames} frames each, every {self.stride}{averaged}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, for a card."""
        return asdict(self)

    def changed(self, **values: Any) -> Layout:
        """Return it with other values."""
        return replace(self, **values)


def binned(frame: NDArray[np.generic], size: int) -> Pixels:
    """Return frames, (..., height, width), with squares of `size` px averaged to one, float32."""
    if size == 1:
        return np.asarray(frame, np.float32)
    height, width = frame.shape[-2:]
    rows, columns = np.arange(0, height, size), np.arange(0, width, size)
    total = np.add.reduceat(np.asarray(frame, np.float64), rows, axis=-2)
    total = np.add.reduceat(total, columns, axis=-1)
    counts = np.multiply.outer(np.diff(np.append(rows, height)), np.diff(np.append(columns, width)))
    return np.asarray(total / counts, np.float32)


def bin_for(height: int, width: int, side: int = WHOLE_SIDE) -> int:
    """Return the least bin that makes a frame no larger than `side` a side."""
    return max(1, -(-max(height, width) // side))
