"""Movies of any size in overlapping tiles, whose results are blended without seams."""

from __future__ import annotations

from itertools import product
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


def cut(
    movie: NDArray[np.float32], tile: tuple[int, int, int], overlap: float, fill: float
) -> Iterator[tuple[tuple[int, int, int], NDArray[np.float32]]]:
    """Give each tile's start (frame, row, column) and pixels; small movies are filled up."""
    padded = np.pad(
        movie,
        [(0, max(0, t - s)) for s, t in zip(movie.shape, tile, strict=True)],
        constant_values=fill,
    )
    for start in product(*(starts(s, t, overlap) for s, t in zip(movie.shape, tile, strict=True))):
        part = tuple(slice(a, a + t) for a, t in zip(start, tile, strict=True))
        yield (start[0], start[1], start[2]), padded[part]


def blend(
    movie: NDArray[np.float32],
    tile: tuple[int, int, int],
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    overlap: float = 0.5,
    fill: float = 0.0,
    batch: int = 16,
) -> NDArray[np.float32]:
    """Return maps of a whole movie from a function of tiles.

    Parameters
    ----------
    movie : numpy.ndarray, shape (frames, height, width)
        Of any size.
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

    Returns
    -------
    numpy.ndarray, shape (maps, frames, height, width), float32
        Means of the tiles over each pixel, weighted by `window`.
    """
    weight = window(tile)
    padded = tuple(max(s, t) for s, t in zip(movie.shape, tile, strict=True))
    total = np.zeros(padded)
    result: NDArray[np.float64] | None = None
    held: list[tuple[tuple[int, int, int], NDArray[np.float32]]] = []

    def empty() -> None:
        nonlocal result
        maps = function(np.stack([pixels for _, pixels in held]))
        if result is None:
            result = np.zeros((maps.shape[1], *padded))
        for (start, _), values in zip(held, maps, strict=True):
            part = tuple(slice(a, a + t) for a, t in zip(start, tile, strict=True))
            result[(slice(None), *part)] += values * weight
            total[part] += weight
        held.clear()

    for item in cut(movie, tile, overlap, fill):
        held.append(item)
        if len(held) == batch:
            empty()
    if held:
        empty()
    assert result is not None
    result /= total
    frames, height, width = movie.shape
    return np.asarray(result[:, :frames, :height, :width], np.float32)
