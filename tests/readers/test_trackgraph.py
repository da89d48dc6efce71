from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.readers.trackgraph import Links, paths


def order(frames: dict[int, int], edges: list[tuple[int, int]]):
    columns = np.array(edges, dtype=np.int64).reshape(-1, 2)
    links = Links(np.zeros(len(edges), dtype=np.int64), columns[:, 0], columns[:, 1])
    ids = np.fromiter(frames.keys(), dtype=np.int64)
    return paths(ids, np.fromiter(frames.values(), dtype=np.int64), links, np.array([0]))


def test_nothing():
    found = order({}, [])
    assert found.track.size == found.spot.size == found.linked.size == found.n_tracks == 0
    assert found.branching == {}
    assert found.links is None


def test_links_without_spots():
    found = order({}, [(1, 2)])
    assert found.n_broken == 1
    assert found.n_tracks == 0


def test_spots_of_one_frame_linked_to_each_other():
    # Two spots of one frame, one after the other in the graph: a path, with a repeated frame.
    found = order({1: 0, 2: 1, 3: 1}, [(1, 2), (2, 3)])
    assert found.spot.tolist() == [0, 1, 2]
    assert found.branching == {}


@given(
    frames=st.dictionaries(st.integers(-50, 50), st.integers(0, 12), min_size=2, max_size=9),
    data=st.data(),
)
def test_rows_and_branching_against_a_plain_count(frames, data):
    ids = st.sampled_from(sorted(frames))
    edges = data.draw(st.lists(st.tuples(ids, ids), max_size=10))
    found = order(frames, edges)

    known = {
        (a, b) if frames[a] <= frames[b] else (b, a)
        for a, b in edges
        if a != b and frames[a] != frames[b]
    }
    names = list(frames)
    rows = [names[spot] for spot in found.spot]
    assert sorted(rows) == sorted({end for edge in edges for end in edge})
    assert [frames[name] for name in rows] == sorted(frames[name] for name in rows)
    assert [names[i] for i in np.flatnonzero(found.linked)] == [
        name for name in names if name in set(rows)
    ]
    out, into = (Counter(edge[end] for edge in known) for end in (0, 1))
    forks = any(n > 1 for n in [*out.values(), *into.values()])
    if forks:
        assert 0 in found.branching
    if not forks and all(frames[a] != frames[b] for a, b in edges):
        chain = set(pairwise(rows))
        assert (0 in found.branching) == (not known <= chain)
    if found.links is not None:
        ends = found.links[["source", "target"]].itertuples(index=False, name=None)
        assert known <= {(rows[a], rows[b]) for a, b in ends}


def test_kept_tracks_alone_are_returned():
    links = Links(np.array([5, 6]), np.array([1, 3]), np.array([2, 4]))
    found = paths(np.arange(1, 5), np.array([0, 1, 0, 1]), links, np.array([6]))
    assert found.track.tolist() == [6, 6]
    assert found.spot.tolist() == [2, 3]
    assert found.linked.all()


def test_a_spot_in_two_tracks_has_a_row_in_each():
    links = Links(np.array([5, 6]), np.array([1, 1]), np.array([2, 3]))
    found = paths(np.arange(1, 4), np.array([0, 1, 1]), links, np.array([5, 6]))
    assert found.track.tolist() == [5, 5, 6, 6]
    assert found.spot.tolist() == [0, 1, 0, 2]
    assert found.branching == {}


def test_links_are_numbered_by_row_over_all_tracks():
    links = Links(np.array([1, 2, 2]), np.array([10, 20, 20]), np.array([11, 21, 22]))
    ids = np.array([22, 21, 20, 11, 10])
    found = paths(ids, np.array([1, 1, 0, 1, 0]), links, np.array([1, 2]))
    expected = pd.DataFrame({"particle": [2, 2], "source": [2, 2], "target": [3, 4]})
    pd.testing.assert_frame_equal(found.links, expected)
    assert found.branching == {2: "it splits 1 time, so its spots do not form one path"}
