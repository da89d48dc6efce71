"""Arithmetic on runs: flat arrays in which each track or segment is a run of neighbouring rows."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


def run_starts(*keys: npt.NDArray[Any]) -> Bools:
    """Return whether each row differs from the one before it in any of `keys`.

    Parameters
    ----------
    *keys : numpy.ndarray, shape (n,)
        Columns, sorted or at least grouped.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        True in the first row of every run.
    """
    first = np.zeros(len(keys[0]), dtype=bool)
    first[:1] = True
    for key in keys:
        first[1:] |= key[1:] != key[:-1]
    return first


def run_sums(values: npt.NDArray[Any], starts: Ints) -> npt.NDArray[Any]:
    """Return the sum of `values` over each run; bool values are counted.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
    starts : numpy.ndarray of int, shape (m,)
        First row of each run, increasing and without empty runs; the last one ends at n.

    Returns
    -------
    numpy.ndarray, shape (m,)
        int64 for bool and int values, else float64.
    """
    kind = np.int64 if values.dtype.kind in "bi" else np.float64
    if not len(starts):
        return np.zeros(0, dtype=kind)
    return np.asarray(np.add.reduceat(values, starts, dtype=kind))


def run_lengths(starts: Ints, n: int) -> Ints:
    """Return the number of rows of each run of an array of `n` rows."""
    return np.diff(starts, append=np.int64(n))


def offsets_of(lengths: Ints) -> Ints:
    """Return where runs of these lengths begin and where the last one ends; shape (m + 1,)."""
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def distances(frame: Ints) -> npt.NDArray[np.uint64]:
    """Return the distance of each frame from the one before it (0 for the first row).

    Frames may be any 64-bit numbers: within a run, where they don't decrease, the distance is
    right even where int64 would overflow. Between runs it means nothing.
    """
    distance = np.zeros(len(frame), dtype=np.uint64)
    unsigned = frame.view(np.uint64)
    np.subtract(unsigned[1:], unsigned[:-1], out=distance[1:])
    return distance
