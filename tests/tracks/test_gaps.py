import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spt_explain.tracks.gaps import fill_gaps

position = st.floats(-1e6, 1e6)


@given(
    st.integers(-(10**12), 10**12),
    st.lists(st.tuples(st.integers(1, 5), position, position), min_size=1, max_size=30),
)
def test_equals_numpy_interp_on_every_frame(start, rows):
    steps, x, y = (np.array(column) for column in zip(*rows, strict=True))
    steps[0] = 0
    frame = start + np.cumsum(steps)
    missing = np.maximum(steps - 1, 0)
    frames, xs, ys, interpolated = fill_gaps(frame, x, y, missing)
    assert_array_equal(frames, np.arange(frame[0], frame[-1] + 1))
    assert_array_equal(frames[~interpolated], frame)
    assert_array_equal(xs[~interpolated], x)
    # numpy.interp on small frame numbers, which float64 holds exactly and with room for slopes
    assert_allclose(xs, np.interp(frames - start, frame - start, x), rtol=1e-12, atol=1e-9)
    assert_allclose(ys, np.interp(frames - start, frame - start, y), rtol=1e-12, atol=1e-9)


def test_fills_within_segments_only():
    frame = np.array([0, 2, 10, 13])
    frames, x, _, new = fill_gaps(
        frame, np.array([0.0, 2, 5, 8]), np.zeros(4), np.array([0, 1, 0, 2])
    )
    assert frames.tolist() == [0, 1, 2, 10, 11, 12, 13]
    assert_allclose(x, [0, 1, 2, 5, 6, 7, 8])
    assert new.tolist() == [False, True, False, False, True, True, False]


def test_identical_ends_give_identical_positions_and_huge_ones_do_not_overflow():
    _, x, y, _ = fill_gaps(
        np.array([0, 4]), np.full(2, 0.1), np.array([-1.7e308, 1.7e308]), np.array([0, 3])
    )
    assert (x == 0.1).all()
    assert_allclose(y / 1.7e308, [-1, -0.5, 0, 0.5, 1], atol=1e-12)


def test_nothing_to_fill():
    frames, x, y, new = fill_gaps(
        np.arange(3), np.ones(3), np.zeros(3), np.zeros(3, dtype=np.int64)
    )
    assert (frames.tolist(), x.tolist(), y.tolist()) == ([0, 1, 2], [1] * 3, [0] * 3)
    assert not new.any()
