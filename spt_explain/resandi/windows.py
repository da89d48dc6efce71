"""Long tracks in overlapping windows: where they lie, and how their probabilities are combined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def place_windows(
    offsets: NDArray[np.int64], window: int, stride: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cover every segment with stretches of at most `window` points.

    A segment that fits is one stretch. A longer one gets as many evenly spaced stretches of
    exactly `window` points as are needed for neighbours to start at most `stride` apart; the
    first begins and the last ends with the segment.

    Parameters
    ----------
    offsets : numpy.ndarray, shape (m + 1,)
        Segment *i* is rows ``offsets[i]:offsets[i + 1]``.
    window : int
        Points the network takes.
    stride : int, optional
        Largest distance between starts; half a window by default.

    Returns
    -------
    starts, stops, owner : numpy.ndarray, shape (n_windows,)
        Rows of each stretch and the segment it belongs to, in order.
    """
    stride = stride or window // 2
    lengths = np.diff(offsets)
    excess = np.maximum(lengths - window, 0)
    counts = -(-excess // stride) + 1
    owner = np.repeat(np.arange(len(lengths)), counts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    position = np.arange(len(owner)) - first[owner] if len(owner) else np.zeros(0, np.int64)
    gaps = np.maximum(counts - 1, 1)[owner]
    starts = offsets[:-1][owner] + (position * excess[owner] + gaps // 2) // gaps
    stops = np.minimum(starts + window, offsets[1:][owner])
    return starts, stops, owner


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return probabilities, (n, classes), of logits of the same shape."""
    p = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
    p /= p.sum(axis=1, keepdims=True)
    return np.asarray(p)


def average(
    values: NDArray[np.floating], owner: NDArray[np.int64], n_segments: int
) -> NDArray[np.floating]:
    """Return the mean of the windows' values for each segment, shape (n_segments, columns).

    Every segment has a window; where none has several, the values themselves are returned.

    Windows of one track overlap and share its past, so their evidence is averaged, not
    multiplied: a track that changes its mind is left with divided probabilities.
    """
    if len(owner) == n_segments:
        return values
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    counts = np.bincount(owner, minlength=n_segments)[:, None]
    out: NDArray[np.floating] = np.add.reduceat(values, first, axis=0)
    out /= counts.astype(out.dtype)
    return out
