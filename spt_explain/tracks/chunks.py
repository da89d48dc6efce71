"""Tracks in chunks: some whole particles at a time, so that what is worked out stays small."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spt_explain.tracks.runs import Ints
    from spt_explain.tracks.table import Tracks

CHUNK_ROWS = 1 << 18
"""About the rows of a chunk: its columns nearly fit in a core's cache. With fewer, many threads
would wait for one another in Python, between one call of numpy and the next."""


def chunks_of(tracks: Tracks, rows: int | None = None) -> Iterator[Tracks]:
    """Yield tracks in chunks of about so many rows; no particle is in two of them.

    Parameters
    ----------
    tracks : Tracks
        Tracks whose table is sorted by particle, then frame.
    rows : int, optional
        Rows of a chunk, at least; the last one may have fewer. `CHUNK_ROWS` by default.

    Yields
    ------
    Tracks
        With the same calibration and source, the branching and links of its particles, and no
        labels nor particles without points. There is always one, if without rows.

    Raises
    ------
    ValueError
        If the particles are not sorted where the table is cut.
    """
    table, links = tracks.table, tracks.links
    particle = table["particle"].to_numpy(dtype=np.int64)
    cuts = _cuts(particle, rows or CHUNK_ROWS)
    branching = np.fromiter(tracks.branching, dtype=np.int64, count=len(tracks.branching))
    linked = None if links is None else links["particle"].to_numpy(dtype=np.int64)
    for first, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        some = table.iloc[first:stop].reset_index(drop=True)
        # a cut in a table that is not sorted may have the particles of a later one before it
        lowest, highest = (particle[first], particle[stop - 1]) if stop > first else (0, -1)
        branched = branching[(branching >= lowest) & (branching <= highest)].tolist()
        within = None
        if links is not None and linked is not None:
            within = links[(linked >= lowest) & (linked <= highest)].copy()
            for name in ("source", "target"):
                within[name] = within[name].to_numpy(dtype=np.int64) - first
        yield replace(
            tracks,
            table=some,
            branching={key: tracks.branching[key] for key in branched},
            links=within,
            labels=None,
            without_points=(),
        )


def _cuts(particle: Ints, rows: int) -> Ints:
    """Return the rows at which chunks begin, and where the last one ends."""
    n = len(particle)
    cuts = [0]
    while cuts[-1] + rows < n:
        # The first row of the next particle, looked for in steps: particles are short.
        at, step = cuts[-1] + rows, 1 << 12
        while at < n:
            other = particle[at : at + step] != particle[at - 1]
            if other.any():
                at += int(other.argmax())
                break
            at += step
        if at >= n:
            break
        if particle[at] < particle[at - 1]:
            raise ValueError("the table of Tracks must be sorted by particle, then frame")
        cuts.append(at)
    return np.array([*cuts, n], dtype=np.int64)
