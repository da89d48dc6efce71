import numpy as np
import pandas as pd
import pytest

from spt_explain.movies.linking import estimate_memory

SHAPE = (200, 200)


def _tracks(missing: int, n: int = 12, seed: int = 0) -> pd.DataFrame:
    """Return particles that are unseen for `missing` frames once, which a track ends at."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        at = rng.uniform(20, 180, 2) + rng.normal(0, 1.0, (40, 2)).cumsum(axis=0)
        lost = int(rng.integers(10, 30))
        for frame, (x, y) in enumerate(at):
            if lost <= frame < lost + missing:
                continue
            particle = 2 * i + (frame >= lost + missing) if missing else 2 * i
            rows.append((particle, frame, x, y))
    return pd.DataFrame(rows, columns=["particle", "frame", "x", "y"])


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_memory_is_the_gap_that_particles_make(missing: int) -> None:
    table = _tracks(missing)
    if missing > 1:
        # Shorter gaps have to occur for longer ones to be looked at.
        for shorter in range(1, missing):
            more = _tracks(shorter, seed=shorter)
            more["particle"] += 100 * shorter
            table = pd.concat([table, more], ignore_index=True)
    memory, reason = estimate_memory(table, 6.0, SHAPE)
    assert memory == missing
    assert "by chance" in reason


def test_no_memory_where_nothing_resumes() -> None:
    memory, reason = estimate_memory(_tracks(0), 6.0, SHAPE)
    assert memory == 0
    assert "no track resumes" in reason


def test_no_memory_where_chance_makes_as_many() -> None:
    """Short-lived spots all over the frame: many begin near where another ended."""
    rng = np.random.default_rng(0)
    n = 3000
    table = pd.DataFrame(
        {
            "particle": np.arange(n),
            "frame": rng.integers(0, 50, n),
            "x": rng.uniform(0, 200, n),
            "y": rng.uniform(0, 200, n),
        }
    )
    assert estimate_memory(table, 6.0, SHAPE)[0] == 0
