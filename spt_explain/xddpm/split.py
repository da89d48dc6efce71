"""Clips to train on and clips held out: by movie or field, never at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Which clips are trained on and which held out.

    Attributes
    ----------
    train, validation : numpy.ndarray of int
        Numbers of clips, ascending.
    held_out : tuple of str
        Movies or fields of the latter.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    held_out: tuple[str, ...]


def split(
    groups: Sequence[str],
    share: float = 0.2,
    *,
    seed: int = 0,
    values: NDArray[np.generic] | None = None,
) -> Split:
    """Hold out whole movies (or fields).

    Clips of one movie overlap in time or show the same cells: apart, they would let a model
    recognise what it has seen.

    Parameters
    ----------
    groups : sequence of str
        The movie or field of each clip.
    share : float
        Share of the clips to hold out, at least about that and at least one movie.
    seed : int
        Which movies.
    values : numpy.ndarray, shape (clips, ...), optional
        The signal. While it is the same in all clips held out, further movies are.

    Raises
    ------
    SptError
        If all clips are of one movie.
    """
    names, of_clip = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise SptError(
            f"all {len(of_clip)} clips are of one movie or field; expected at least 2, so that one "
            "can be held out. Add a movie, or cut this one into fields."
        )
    counts = np.bincount(of_clip)
    order = np.random.default_rng([seed, 7]).permutation(len(names))
    out: list[int] = []

    def alike() -> bool:
        if values is None:
            return False
        rows = np.asarray(values)[np.isin(of_clip, out)]
        return bool((rows == rows[:1]).all())

    while len(out) < len(names) - 1 and (sum(counts[out]) < share * len(of_clip) or alike()):
        out.append(int(order[len(out)]))
    held = np.isin(of_clip, out)
    return Split(
        np.flatnonzero(~held), np.flatnonzero(held), tuple(str(names[i]) for i in sorted(out))
    )
