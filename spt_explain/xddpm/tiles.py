"""Movies of any size in overlapping tiles, whose results are blended without seams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def starts(size: int, tile: int, overlap: float = 0.5) -> list[int]:
    """Return where tiles along one axis start, so that they cover it and end where it ends.

    Parameters
    ----------
    size, tile : int
        Pixels or frames; a size below the tile gives one start at 0.
    overlap : float
        Least share of a tile that the next one covers too, in [0, 1).
    """
    if size <= tile:
        return [0]
    step = max(1, round(tile * (1 - overlap)))
    count = -(-(size - tile) // step) + 1
    return [round(i * (size - tile) / (count - 1)) for i in range(count)]


def window(tile: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the weight of each pixel of a tile: the largest in the middle, nowhere 0."""
    weight = np.ones(())
    for size in tile:
        axis = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
        weight = np.multiply.outer(weight, axis)
    return weight


def blend_frames(
    frame: Callable[[int], NDArray[np.float32]],
    shape: tuple[int, int, int],
    tile: tuple[int, int, int],
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    overlap: float = 0.5,
    fill: float = 0.0,
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give maps of a movie that is read frame by frame, as soon as frames are done.

    They are means of the tiles over each pixel, weighted by `window`; no more than one tile's
    frames are held.

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
    result: NDArray[np.float32] | None = None
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
