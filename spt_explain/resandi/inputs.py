"""Trajectories shaped into the network's channels, for ragged batches, in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.resandi.architecture import SERIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import InputKind, PaddingKind


def build_inputs(
    positions: NDArray[np.float64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    *,
    window: int,
    kind: InputKind,
    padding: PaddingKind = "start",
) -> NDArray[np.float32]:
    """Return the network's input for each stretch of consecutive positions.

    Every stretch starts at the origin, is padded with zeros before its start and is scaled per
    axis to 0…1 (Bae, Baek & Jeong, supplement B.2), so the padding lies at the scaled starting
    point; masked padding is zero, and a last channel holds 1 inside the stretch. The displacement
    channels hold x(t) − x(t−1) at frame t, divided by their root mean square per axis, and zero in
    the padding. Nothing depends on the unit of length.

    Parameters
    ----------
    positions : numpy.ndarray, shape (n_points, 2)
        x and y of many trajectories, one after the other, in any unit.
    starts, stops : numpy.ndarray, shape (n,)
        Rows of the stretches, ``positions[start:stop]``; none longer than `window`, none empty.
    window : int
        Points of the network's input: what the stretches are padded to.
    kind : {"positions", "positions+displacements"}
        Which series.
    padding : {"start", "masked"}
        What lies before a stretch; see `Architecture`.

    Returns
    -------
    numpy.ndarray, shape (n, channels, window), float32
    """
    lengths = stops - starts
    masked = padding == "masked"
    out = np.zeros((len(lengths), SERIES[kind] + masked, window), np.float32)
    if len(lengths) == 0:
        return out
    if lengths.min() < 1 or lengths.max() > window:
        raise ValueError(
            f"stretches of {lengths.min()} to {lengths.max()} points; expected 1 to {window}"
        )
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(len(rows)) - firsts[rows]
    columns = window - lengths[rows] + within
    path = positions[starts[rows] + within] - positions[starts][rows]  # (points, 2)
    # The result does not depend on the scale; squares of 1e-200 or 1e+200 would be lost.
    reach = np.maximum.reduceat(np.abs(path).max(axis=1), firsts)
    path /= np.where(reach > 0, reach, 1.0)[rows, None]
    low = np.minimum.reduceat(path, firsts, axis=0)
    span = np.maximum.reduceat(path, firsts, axis=0) - low
    span[span == 0] = 1.0
    if masked:
        out[rows, -1, columns] = 1
    else:
        out[:, :2, :] = (-low / span)[:, :, None]
    scaled = (path - low[rows]) / span[rows]
    out[rows, 0, columns] = scaled[:, 0]
    out[rows, 1, columns] = scaled[:, 1]
    if kind == "positions":
        return out
    steps = np.diff(path, axis=0, prepend=0.0)
    steps[firsts] = 0.0
    square = np.add.reduceat(steps**2, firsts, axis=0)
    rms = np.sqrt(square / np.maximum(lengths - 1, 1)[:, None])
    rms[rms == 0] = 1.0
    steps /= rms[rows]
    out[rows, 2, columns] = steps[:, 0]
    out[rows, 3, columns] = steps[:, 1]
    return out
