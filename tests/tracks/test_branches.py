import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.tracks.branches import cut_branches


def pieces(frames, links, particle=None):
    particle = np.zeros(len(frames), dtype=np.int64) if particle is None else np.array(particle)
    links = np.array(links, dtype=np.int64).reshape(-1, 2)
    return cut_branches(particle, np.array(frames), links[:, 0], links[:, 1]).tolist()


def test_a_path_is_one_piece_whatever_the_direction_of_its_links():
    assert pieces([0, 1, 2, 3], [(0, 1), (2, 1), (2, 3)]) == [0, 0, 0, 0]


def test_a_split_ends_the_piece_that_leads_to_it():
    # 0 - 1 - 2 (split) then 3 - 5 and 4 - 6
    links = [(0, 1), (1, 2), (2, 3), (2, 4), (3, 5), (4, 6)]
    assert pieces([0, 1, 2, 3, 3, 4, 4], links) == [0, 0, 0, 1, 2, 1, 2]


def test_a_merge_begins_the_piece_that_leaves_it():
    # 0 - 2 and 1 - 3 merge in 4, then 5
    links = [(0, 2), (1, 3), (2, 4), (3, 4), (4, 5)]
    assert pieces([0, 0, 1, 1, 2, 3], links) == [0, 1, 0, 1, 2, 2]


def test_a_point_that_merges_and_splits_stands_alone():
    links = [(0, 2), (1, 2), (2, 3), (2, 4)]
    assert pieces([0, 0, 1, 2, 2], links) == [0, 1, 2, 3, 4]


def test_links_that_make_no_sense_are_ignored():
    particle = [0, 0, 0, 1]
    links = [(0, 1), (0, 1), (1, 0), (1, 2), (2, 3), (0, 99), (-1, 2)]
    # frames 1 and 1: points 1 and 2 can't follow each other
    assert pieces([0, 1, 1, 5], links, particle) == [0, 0, 1, 2]


def test_points_without_links_are_pieces():
    assert pieces([0, 1, 2], []) == [0, 1, 2]


@given(st.data())
def test_pieces_are_the_unbranched_components(data):
    n = data.draw(st.integers(1, 25))
    frames = sorted(data.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)))
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    links = data.draw(st.lists(pairs, max_size=40))
    got = pieces(frames, links)

    edges = {(min(e), max(e)) for e in links if frames[e[0]] != frames[e[1]]}
    after = {i: [b for a, b in edges if a == i] for i in range(n)}
    before = {i: [a for a, b in edges if b == i] for i in range(n)}
    expected: list[int] = []
    heads = 0
    for i in range(n):
        if len(before[i]) == 1 and len(after[before[i][0]]) == 1:
            expected.append(expected[before[i][0]])
        else:
            expected.append(heads)
            heads += 1
    assert got == expected
    for piece in set(got):
        run = [f for f, p in zip(frames, got, strict=True) if p == piece]
        assert run == sorted(set(run))
