import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from spt_explain.resandi.windows import average, place_windows, softmax


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


@given(arrays(np.float32, (3, 8), elements=st.floats(-1e5, 1e5, width=32)))
def test_softmax_is_that_of_scipy(logits):
    found = softmax(logits)
    np.testing.assert_allclose(found, special.softmax(logits.astype(float), axis=1), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_softmax_keeps_its_precision_in_single_logits():
    """A difference of 1e-3 at 1e4 is the rounding of float32, not of the softmax."""
    logits = np.array([[1e4, 1e4 - 3]], np.float32)
    np.testing.assert_allclose(softmax(logits)[0, 1], 1 / (1 + np.exp(3)), rtol=1e-12)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=10), st.integers(0, 1000))
def test_values_are_averaged_over_a_tracks_windows(counts, seed):
    values = np.random.default_rng(seed).normal(size=(sum(counts), 3))
    owner = np.repeat(np.arange(len(counts)), counts)
    found = average(values, owner, len(counts))
    expected = [values[owner == i].mean(axis=0) for i in range(len(counts))]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_track_that_changes_its_mind_is_left_divided():
    p = np.array([[0.99, 0.01], [0.01, 0.99], [0.1, 0.9]])
    np.testing.assert_allclose(average(p, np.array([0, 0, 1]), 2), [[0.5, 0.5], [0.1, 0.9]])


def test_no_tracks_no_probabilities():
    none = np.zeros((0, 8))
    assert softmax(none).shape == (0, 8)
    assert average(none, np.zeros(0, np.int64), 0).shape == (0, 8)
