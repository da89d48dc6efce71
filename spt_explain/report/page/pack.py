"""Arrays of numbers as text in a page: few bytes, and quick to read in a browser."""

from __future__ import annotations

import base64
import gzip
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

MISSING_16, MISSING_8 = 65535, 255
"""What stands for a missing value among whole numbers of 16 and 8 bits."""
_GZIP_LEVEL = 6
_KINDS = {"u1", "u2", "u4", "f4", "f8"}


class Pack:
    """Named arrays, compressed into one text.

    Whole numbers are stored as the differences from one to the next, all low
    bytes first, then all next bytes…: paths and smooth scores shrink to about half.

    Attributes
    ----------
    directory : dict of str to list
        For each array its kind (``"u1"``, ``"u2"``, ``"u4"``, ``"f4"`` or ``"f8"``), the byte it
        begins at, and its number of values.
    """

    def __init__(self) -> None:
        self.directory: dict[str, list[str | int]] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, name: str, kind: str, values: npt.ArrayLike) -> None:
        """Append an array.

        Parameters
        ----------
        name : str
            What the page calls it; each name once.
        kind : {"u1", "u2", "u4", "f4", "f8"}
            As what to store it.
        values : array_like
            Whole numbers must fit.
        """
        assert kind in _KINDS
        assert name not in self.directory
        with np.errstate(over="ignore"):  # beyond the largest float32: infinite, drawn as missing
            array = np.ascontiguousarray(np.ravel(values), dtype=f"<{kind}")
        data = array.tobytes()
        if kind.startswith("u"):
            steps = np.diff(array, prepend=array.dtype.type(0)).astype(array.dtype)
            data = steps.view(np.uint8).reshape(-1, array.itemsize).T.tobytes()
        self.directory[name] = [kind, self._size, len(array)]
        padding = -len(data) % 8
        self._parts += [data, bytes(padding)]
        self._size += len(data) + padding

    def add_whole(self, name: str, values: npt.ArrayLike) -> None:
        """Append whole numbers from 0 to 2³² − 1, as small as they fit."""
        array = np.ravel(values)
        most = array.max(initial=0)
        self.add(name, "u1" if most < 2**8 else "u2" if most < 2**16 else "u4", array)

    def text(self) -> str:
        """Return all arrays, gzip-compressed, in base64; the same arrays give the same text."""
        packed = gzip.compress(b"".join(self._parts), _GZIP_LEVEL, mtime=0)
        return base64.b64encode(packed).decode("ascii")


def quantise(values: Floats, low: Floats, span: Floats, levels: int) -> Ints:
    """Return values as whole numbers 0…`levels`, and `levels` + 1 where they are not finite.

    Parameters
    ----------
    values, low, span : numpy.ndarray, shape (n,)
        Each value lies from its `low` to `low` + `span`.
    levels : int
        Number of the highest level.
    """
    with np.errstate(all="ignore"):
        share = np.where(span > 0, (values - low) / np.where(span > 0, span, 1.0), 0.0)
    good = np.isfinite(values) & np.isfinite(share)
    steps = np.rint(np.clip(np.where(good, share, 0.0), 0.0, 1.0) * levels)
    result: Ints = np.where(good, steps, levels + 1).astype(np.int64)
    return result


def ranges(values: Floats, start: Ints, count: Ints) -> tuple[Floats, Floats]:
    """Return the least finite value of each group of rows, and the largest less the least.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
        Sorted by group.
    start, count : numpy.ndarray of int64, shape (m,)
        First row and number of rows of each group.

    Returns
    -------
    low, span : numpy.ndarray, shape (m,)
        0 for groups without a finite value.
    """
    low, high = np.zeros(len(start)), np.zeros(len(start))
    some = count > 0
    if some.any():
        good = np.isfinite(values)
        at = start[some]
        least = np.minimum.reduceat(np.where(good, values, np.inf), at)
        most = np.maximum.reduceat(np.where(good, values, -np.inf), at)
        found = least <= most
        low[some] = np.where(found, least, 0.0)
        high[some] = np.where(found, most, 0.0)
    with np.errstate(over="ignore"):
        return low, high - low
