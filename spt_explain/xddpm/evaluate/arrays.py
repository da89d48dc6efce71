"""What all measures ask of maps, clips and truths, and how a regressor is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Predict = Callable[["NDArray[np.float32]"], "NDArray[np.floating]"]
"""Clips (n, frames, height, width) in, signals (n, values) out, standardised."""


def checked_maps(maps: ArrayLike, like: NDArray[np.generic], what: str) -> NDArray[np.float64]:
    """Return maps as float64 of shape (videos, pixels).

    Parameters
    ----------
    maps : array_like, shape (n, ...)
    like : numpy.ndarray, shape (n, ...)
        Clips or truths of the same videos.
    what : str
        What the maps are called in the message.

    Raises
    ------
    SptError
        For another shape, no videos, or values that are no numbers.
    """
    found = np.asarray(maps, np.float64)
    if found.shape != like.shape:
        raise SptError(
            f"{what} have the shape {found.shape}, the videos {like.shape}; both must be the same."
        )
    if not found.size:
        raise SptError(f"{what} hold no pixels; at least one video is needed.")
    if not np.isfinite(found).all():
        raise SptError(f"{what} hold values that are no numbers (NaN or infinite).")
    return found.reshape(len(found), -1)


def checked_truth(truth: ArrayLike) -> NDArray[np.bool_]:
    """Return true maps as booleans.

    Raises
    ------
    SptError
        For values other than 0 and 1: a truth is the set of relevant pixels.
    """
    found = np.asarray(truth)
    if found.dtype == np.bool_:
        return found
    if not np.isin(found, (0, 1)).all():
        raise SptError(
            "a true map holds values other than 0 and 1; it must be a mask.", code="wrong-kind"
        )
    return found.astype(np.bool_)


def checked_clips(clips: ArrayLike) -> NDArray[np.float32]:
    """Return clips as float32.

    Raises
    ------
    SptError
        For another number of axes than 4, no clips, or values that are no numbers.
    """
    found = np.asarray(clips, np.float32)
    if found.ndim != 4 or not found.size:
        raise SptError(
            f"clips have the shape {found.shape}; "
            "expected (videos, frames, height, width), none of them 0.",
            code="no-data",
        )
    if not np.isfinite(found).all():
        raise SptError("clips hold values that are no numbers (NaN or infinite).")
    return found


def checked_reference(reference: ArrayLike, frame_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the value of a pixel that tells nothing, for each pixel of a clip, flat.

    Parameters
    ----------
    reference : float or array_like
        One value, or an array that broadcasts to a clip (frames, height, width).
    frame_shape : tuple of int
        (frames, height, width).

    Raises
    ------
    SptError
    """
    try:
        found = np.broadcast_to(np.asarray(reference, np.float32), frame_shape)
    except ValueError:
        raise SptError(
            f"the reference has the shape {np.shape(reference)}, a clip {frame_shape}; "
            "expected one value, or one for each pixel of a clip."
        ) from None
    if not np.isfinite(found).all():
        raise SptError("the reference is no number (NaN or infinite).")
    return np.ascontiguousarray(found).reshape(-1)


def signals_of(
    predict: Predict, clips: NDArray[np.float32], batch: int = 256
) -> NDArray[np.float64]:
    """Return a regressor's predictions, shape (n, values), in batches.

    Raises
    ------
    SptError
        For predictions of another length than the clips, or that are no numbers.
    """
    parts = []
    for start in range(0, len(clips), batch):
        part = clips[start : start + batch]
        told = np.asarray(predict(part), np.float64)
        if not told.ndim or len(told) != len(part):
            raise SptError(
                f"the regressor told {told.shape} for {len(part)} clips; "
                "expected one row for each clip."
            )
        parts.append(told.reshape(len(part), -1))
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise SptError("the regressor's predictions hold values that are no numbers.")
    return found
