import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.resandi.windows import combine, place_windows


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=20),
    st.integers(2, 60),
)
def test_windows_cover_every_point_and_overlap_by_half(lengths, window):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts, stops, owner = place_windows(offsets, window)
    for i, length in enumerate(lengths):
        mine = owner == i
        s, e = starts[mine], stops[mine]
        assert s[0] == offsets[i]
        assert e[-1] == offsets[i + 1]
        assert ((e - s) == min(length, window)).all()
        assert (np.diff(s) <= window // 2).all()
        covered = np.zeros(length, bool)
        for a, b in zip(s - offsets[i], e - offsets[i], strict=True):
            covered[a:b] = True
        assert covered.all()
        assert len(s) == (1 if length <= window else -(-(length - window) // (window // 2)) + 1)


def test_probabilities_are_averaged_over_a_tracks_windows():
    p = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
    found = combine(np.log(p) + 5, np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(found, [[0.4, 0.6], [0.1, 0.9]])


def test_large_logits_do_not_overflow():
    found = combine(np.array([[1e4, -1e4]]), np.array([0]), 1)
    np.testing.assert_allclose(found, [[1, 0]])
