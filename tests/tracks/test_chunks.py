import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks, apply_policy
from spt_explain.tracks.chunks import chunks_of
from spt_explain.tracks.quality import policy_chunks


@st.composite
def tables(draw):
    """Tracks with gaps, repeated and doubled frames, standing still, branching, or without points.

    All in a few rows each, so that every chunk has its share.
    """
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows, branching, links = [], {}, []
    for particle in draw(st.lists(st.integers(-3, 30), unique=True, max_size=12).map(sorted)):
        frames = np.cumsum(rng.choice([0, 1, 1, 1, 2, 3, 5], rng.integers(1, 25)))
        first = len(rows)
        xy = rng.choice([0.0, 1.0, 1.5], (len(frames), 2)) * rng.choice([0, 1])
        again = rng.random(len(frames)) < 0.2
        xy[1:][again[1:]] = xy[:-1][again[1:]]
        rows += [(particle, f, x, y) for f, (x, y) in zip(frames, xy, strict=True)]
        if rng.random() < 0.3:
            branching[particle] = rng.choice(["it splits in frame 3.", ""])
            if rng.random() < 0.7:
                ends = rng.integers(first, len(rows), (2, len(frames)))
                links += [(particle, *pair) for pair in ends.T]
    table = pd.DataFrame(rows, columns=["particle", "frame", "x", "y"]).astype(
        {"particle": "int64", "frame": "int64", "x": "float64", "y": "float64"}
    )
    links = pd.DataFrame(links, columns=["particle", "source", "target"], dtype="int64")
    return Tracks(
        table,
        Calibration(),
        Source("made", "made"),
        branching,
        links if draw(st.booleans()) else None,
        without_points=draw(st.sampled_from([(), (4,), (-9, 31)])),
    )


POLICIES = st.builds(
    QualityPolicy,
    min_length=st.integers(2, 8),
    gaps=st.sampled_from(["fill", "split", "keep", "drop"]),
    max_gap=st.sampled_from([0, 2, 50]),
    branches=st.sampled_from(["skip", "split"]),
)


@given(tables(), POLICIES, st.integers(1, 30))
def test_chunks_do_not_change_what_the_policy_does(tracks, policy, rows):
    whole = apply_policy(tracks, policy, jobs=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", rows)
        cut = apply_policy(tracks, policy, jobs=2)
    pd.testing.assert_frame_equal(cut.points, whole.points, check_exact=True)
    pd.testing.assert_frame_equal(cut.summary, whole.summary, check_exact=True)
    assert cut.offsets.tolist() == whole.offsets.tolist()
    assert cut.counts == whole.counts


@given(tables(), st.integers(1, 30))
def test_chunks_are_whole_particles_in_order(tracks, rows):
    chunks = list(chunks_of(tracks, rows))
    together = pd.concat([chunk.table for chunk in chunks], ignore_index=True)
    pd.testing.assert_frame_equal(together, tracks.table)
    particles = [set(chunk.table["particle"]) for chunk in chunks]
    assert sum(map(len, particles)) == len(set(tracks.table["particle"]))
    assert all(len(chunk.table) >= rows for chunk in chunks[:-1])
    assert {k: v for chunk in chunks for k, v in chunk.branching.items()} == tracks.branching
    before = 0
    for chunk in chunks:
        assert chunk.table.index.tolist() == list(range(len(chunk.table)))
        if tracks.links is not None:
            links = tracks.links[tracks.links["particle"].isin(set(chunk.table["particle"]))]
            assert (chunk.links["source"] + before).tolist() == links["source"].tolist()
        before += len(chunk.table)


def test_a_particle_may_be_longer_than_many_chunks(make_tracks):
    tracks = make_tracks([(1, f, f, f) for f in range(20_000)] + [(2, f, f, f) for f in range(3)])
    assert [len(chunk.table) for chunk in chunks_of(tracks, 100)] == [20_000, 3]


@pytest.mark.parametrize("rows", [1, 2, 3, 10])
def test_a_table_that_is_not_sorted_is_refused_wherever_it_is_cut(make_tracks, rows, monkeypatch):
    monkeypatch.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", rows)
    tracks = make_tracks([(p, f, f, f) for p in (1, 2, 3, 4) for f in range(3)])
    tracks.table["particle"] = np.repeat([1, 3, 2, 4], 3)
    with pytest.raises(ValueError, match="sorted by particle"):
        apply_policy(tracks)


def test_filling_that_may_run_away_is_seen_in_the_whole_file_alone(make_tracks, monkeypatch):
    monkeypatch.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", 1)
    tracks = make_tracks([(p, f, f, f) for p in (1, 2, 3) for f in range(3)])
    assert len(list(policy_chunks(tracks, QualityPolicy(max_gap=9)))) == 3
    assert len(list(policy_chunks(tracks, QualityPolicy(max_gap=10)))) == 1
    assert len(list(policy_chunks(tracks, QualityPolicy(max_gap=10, gaps="split")))) == 3
