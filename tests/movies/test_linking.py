import numpy as np
import pandas as pd
import pytest

from spt_explain.movies.linking import estimate_memory, widen_range

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


def _jumping(jump: float, seed: int = 0, n: int = 12) -> tuple[pd.DataFrame, int]:
    """Return tracks of particles that jump once, each broken in two there, and how many jump."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        at = rng.uniform(20, 180, 2) + rng.normal(0, 0.3, (40, 2)).cumsum(axis=0)
        when = int(rng.integers(10, 30))
        at[when:] += jump * np.array([np.cos(i), np.sin(i)])
        rows += [(2 * i + (k >= when), k, x, y, 100.0) for k, (x, y) in enumerate(at)]
    return pd.DataFrame(rows, columns=["particle", "frame", "x", "y", "mass"]), n


def test_the_range_reaches_as_far_as_particles_jump() -> None:
    table, n = _jumping(9.0)
    found = widen_range(table, 3.0, SHAPE)
    assert found is not None
    assert 9.0 <= found[0] <= 15.0
    assert f"{n} tracks end where another begins" in found[1]


def test_jumps_within_the_range_change_nothing() -> None:
    assert widen_range(_jumping(2.0)[0], 3.0, SHAPE) is None


def test_faint_spots_that_come_and_go_are_no_jumps() -> None:
    faint, _ = _jumping(9.0)
    bright, _ = _jumping(0.0, seed=1, n=30)
    bright = bright.assign(particle=1000 + bright["particle"] // 2, mass=400.0)
    assert widen_range(pd.concat([faint, bright], ignore_index=True), 3.0, SHAPE) is None


def test_beginnings_all_over_the_frame_are_no_jumps() -> None:
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
    assert widen_range(table, 3.0, SHAPE) is None
