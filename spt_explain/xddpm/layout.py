"""How a movie becomes clips, and how maps of clips become maps of the movie again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError
from spt_explain.xddpm.tiles import starts, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
                f"--tile is {self.tile}; expected at least {LEAST_TILE} px (after binning)."
            )
        for name, value, least in (
            ("frames", self.frames, 1),
            ("stride", self.stride, 1),
            ("bin", self.bin, 1),
        ):
            if value < least:
                raise SptError(f"--{name} is {value}; expected at least {least}.")

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


def blend_frames(
    frame: Callable[[int], Pixels],
    shape: tuple[int, int, int],
    tile: tuple[int, int, int],
    function: Callable[[Pixels], Pixels],
    *,
    overlap: float = 0.5,
    fill: float = 0.0,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Pixels]]:
    """Give maps of a movie that is read frame by frame, as soon as frames are done.

    The maps are those of `spt_explain.xddpm.tiles.blend`; no more than one tile's frames are held.

    Parameters
    ----------
    frame : callable
        Returns frame i, (height, width); each is asked for once, in order.
    shape : tuple of int
        Frames, height and width of the movie.
    tile : tuple of int
        Frames, height and width that `function` takes.
    function : callable
        From (n, *tile) to (n, maps, *tile).
    overlap : float
        Least share that neighbouring tiles have in common, along each axis.
    fill : float
        What movies smaller than a tile are filled up with.
    batch : int
        Tiles at a time.
    progress : callable, optional
        Called with frames done and their number.

    Yields
    ------
    first : int
        Number of the first frame.
    maps : numpy.ndarray of float32, shape (maps, frames, height, width)
        Of as many frames as are done.
    """
    frames, height, width = shape
    long, high, wide = tile
    weight = window(tile).astype(np.float32)
    room = (max(height, high), max(width, wide))
    places = [(y, x) for y in starts(height, high, overlap) for x in starts(width, wide, overlap)]
    held = np.full((long, *room), np.float32(fill))
    total = np.zeros((long, *room), np.float32)
    result: Pixels | None = None
    begins = starts(frames, long, overlap)
    read = 0
    for number, begin in enumerate(begins):
        for i in range(read, min(begin + long, frames)):
            held[i - begin, :height, :width] = frame(i)
        read = min(begin + long, frames)
        for at in range(0, len(places), batch):
            some = places[at : at + batch]
            cuts = [(slice(y, y + high), slice(x, x + wide)) for y, x in some]
            maps = function(np.stack([held[:, a, b] for a, b in cuts]))
            if result is None:
                result = np.zeros((maps.shape[1], long, *room), np.float32)
            for (a, b), values in zip(cuts, maps, strict=True):
                result[:, :, a, b] += values * weight
                total[:, a, b] += weight
        assert result is not None
        last = number + 1 == len(begins)
        done = min(long, frames - begin) if last else begins[number + 1] - begin
        yield begin, np.ascontiguousarray((result[:, :done] / total[:done])[..., :height, :width])
        if progress is not None:
            progress(begin + done, frames)
        if not last:
            for array in (held, total, *result):
                array[: long - done] = array[done:].copy()
            held[long - done :] = fill
            total[long - done :] = 0
            result[:, long - done :] = 0
