"""Signals of a phase field and the pixels that carry them, by definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Field = npt.NDArray[np.float32]

THRESHOLD = 0.5
"""Phase from which on a pixel belongs to the cell."""


def inside(phase: Field) -> Mask:
    """Return the pixels of the cell: those with a phase of at least 0.5."""
    return phase >= THRESHOLD


def ring(cell: Mask) -> Mask:
    """Return the pixels of a cell that have at least one of 8 neighbours outside it.

    What lies beyond the frame counts as cell, so the line along which a cell touches a wall (or is
    cut by the frame) is no part of its outline.

    Parameters
    ----------
    cell : numpy.ndarray of bool, shape (..., H, W)

    Returns
    -------
    numpy.ndarray of bool, shape (..., H, W)
    """
    kernel = cell.copy()
    kernel[..., 1:, :] &= cell[..., :-1, :]
    kernel[..., :-1, :] &= cell[..., 1:, :]
    rows = kernel.copy()
    kernel[..., 1:] &= rows[..., :-1]
    kernel[..., :-1] &= rows[..., 1:]
    return cell & ~kernel


def outline_length(phase: Field) -> npt.NDArray[np.float32]:
    """Return the length of a cell's outline in px: the integral of |∇φ| over the frame.

    Unlike the number of pixels in `ring` it does not depend on the direction of the outline.

    Parameters
    ----------
    phase : numpy.ndarray of float32, shape (..., H, W)
        0 outside, 1 inside, a smooth interface between.

    Returns
    -------
    numpy.ndarray of float32, shape (...)
    """
    import numpy as np

    padded = np.pad(phase, [(0, 0)] * (phase.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    slope: npt.NDArray[np.float32] = np.sqrt(dx * dx + dy * dy)
    return np.asarray(slope.sum(axis=(-2, -1)) / 2, np.float32)
