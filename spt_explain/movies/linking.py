"""What links tell of themselves: how far spots jump, and for how many frames they are gone.

Both are seen where tracks end and others begin: more often near each other than by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spt_explain.movies.parameters import moves_and_chance

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Places = npt.NDArray[np.float64]

MAX_MEMORY = 3
"""At most so many missing frames are bridged without being asked for."""
CHANCE = 0.05
"""Gaps are bridged where chance alone makes so many resumptions with less than this probability."""
JUMP_MARGIN = 1.2
"""The search range is this times the longest jump that is likelier real than chance."""
OTHER_FRAMES = (4, 6, 9, 13, -3, -5, -8)
"""So many frames after the end of a track, beginnings near it are chance."""
MOST_CHANCE = 0.2
"""A search range is widened only as far as this share of the jumps at most is chance."""
LONG = 5
"""Tracks of so many points tell how bright particles are."""
CLEAR_MASS = 0.7
"""Spots with less than this share of their median mass don't count for jumps."""
LEAST_JUMPS = 3
"""With fewer jumps the search range stays."""
LEAST_SIGMAS = 3.0
"""It stays, too, where jumps exceed chance by fewer deviations than this (Poisson)."""
LEAST_REAL_SHARE = 0.5
"""Gaps are bridged where more than this share of the resumptions is more than chance."""


def estimate_memory(
    table: pd.DataFrame, search_range: float, shape: tuple[int, int]
) -> tuple[int, str]:
    """Estimate for how many frames spots go missing, from tracks linked without any memory.

    A track that ends and one that begins nearby some frames later may be one particle, unseen in
    between. Such pairs (each the other's nearest, within the search range) are counted and
    compared with what chance gives: the same after mirroring the beginnings, or, where that is
    more, what the density of beginnings gives (Poisson).

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``particle``, ``frame``, ``x``, ``y`` in px, linked with memory 0.
    search_range : float
        Largest move between frames, in px.
    shape : tuple of int
        Height and width of a frame in px.

    Returns
    -------
    memory : int
        0 … `MAX_MEMORY`.
    reason : str
        How it came about.
    """
    import numpy as np
    from scipy.stats import poisson

    ends, starts = _ends_and_starts(table)
    circle = np.pi * search_range**2 / (shape[0] * shape[1])
    memory, said = 0, "no track resumes after a gap more often than by chance"
    for gap in range(1, MAX_MEMORY + 1):
        moves, by_chance = _distances(ends, starts, gap + 1, shape)
        pairs = _in_turn(ends, starts, gap + 1)
        real = int((moves <= search_range).sum())
        possible = sum(len(a) * len(b) for a, b in pairs) * circle
        chance = max(int((by_chance <= search_range).sum()) / 3, possible)
        if real == 0 or poisson.sf(real - 1, chance) >= CHANCE:
            break
        if real - chance < LEAST_REAL_SHARE * real:
            break
        memory = gap
        expected = f"{chance:.1f}" if chance >= 0.05 else "none"
        said = (
            f"{real} {'track resumes' if real == 1 else 'tracks resume'} after {gap} missing "
            f"{'frame' if gap == 1 else 'frames'}, {expected} expected by chance"
        )
    return memory, said


def widen_range(
    table: pd.DataFrame, search_range: float, shape: tuple[int, int]
) -> tuple[float, str] | None:
    """Look for jumps that are longer than the search range, in tracks linked with it.

    A particle that jumps further ends a track and begins another in the next frame. The distances
    of such ends and beginnings (each the other's nearest) are compared with what is chance: those
    after mirroring the beginnings, or, where these are more, those of beginnings in other frames,
    which are as crowded. Faint spots are left out, as they come and go for other reasons. The
    range that gains most jumps over chance is found.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``particle``, ``frame``, ``x``, ``y`` in px, linked with memory 0.
    search_range : float
        Largest move between frames, in px.
    shape : tuple of int
        Height and width of a frame in px.

    Returns
    -------
    (float, str) or None
        The range in px and why; None where there are no such jumps, or too few to tell.
    """
    import numpy as np

    ends, starts = _ends_and_starts(table)
    if "mass" in table:
        long = table["particle"].map(table["particle"].value_counts()) >= LONG
        clear = CLEAR_MASS * float(table["mass"][long if long.any() else slice(None)].median())
        ends, starts = ends[ends["mass"] >= clear], starts[starts["mass"] >= clear]
    moves, mirrored = _distances(ends, starts, 1, shape)
    if len(moves) == 0:
        return None
    count = np.arange(1, len(moves) + 1)
    other = [_distances(ends, starts, later, shape)[0] for later in OTHER_FRAMES]
    by_chance = np.maximum(
        np.searchsorted(mirrored, moves, side="right") / 3,
        np.mean([np.searchsorted(d, moves, side="right") for d in other], axis=0),
    )
    # A wrong link costs the track it ends, too: chance weighs a third more.
    gain = np.where(by_chance <= MOST_CHANCE * count, count - by_chance * 4 / 3, -1.0)
    best = int(np.argmax(gain))
    real, false = int(count[best]), float(by_chance[best])
    if gain[best] <= 0:
        return None
    wider = round(JUMP_MARGIN * float(moves[best]), 1)
    if wider <= search_range or real < LEAST_JUMPS:
        return None
    if real - false < LEAST_SIGMAS * max(false, 1.0) ** 0.5:
        return None
    return wider, (
        f"{JUMP_MARGIN:g} × {float(moves[best]):.1f} px: {real} tracks end where another begins "
        f"within that, {false:.1f} by chance; most moves are within {search_range:g} px"
    )


def _ends_and_starts(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the last and the first row of each track."""
    ordered = table.sort_values(["particle", "frame"])
    tracks = ordered.groupby("particle", sort=False)
    return tracks.tail(1), tracks.head(1)


def _in_turn(ends: pd.DataFrame, starts: pd.DataFrame, later: int) -> list[tuple[Places, Places]]:
    """Return where tracks end in a frame, and where others begin `later` frames on."""
    import numpy as np

    at = dict(_by_frame(starts))
    none = np.empty((0, 2))
    return [(place, at.get(frame + later, none)) for frame, place in _by_frame(ends)]


def _by_frame(rows: pd.DataFrame) -> Iterator[tuple[int, Places]]:
    for frame, part in rows.groupby(rows["frame"].to_numpy()):
        yield int(frame), part[["y", "x"]].to_numpy()  # type: ignore[call-overload]


def _distances(
    ends: pd.DataFrame, starts: pd.DataFrame, later: int, shape: tuple[int, int]
) -> tuple[Places, Places]:
    """Return distances of ends and beginnings, and those mirrored, each from small to large."""
    import numpy as np

    pairs = _in_turn(ends, starts, later)
    places = [place for pair in pairs for place in pair]
    turns = [(2 * i, 2 * i + 1) for i in range(len(pairs))]
    real, chance = moves_and_chance(places, turns, shape)
    return np.sort(real), np.sort(chance)
