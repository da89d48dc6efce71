import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.readers.times import frames_of, interval_of


@given(
    step=st.floats(1e-6, 1e4),
    frames=st.lists(st.integers(0, 5000), min_size=2, max_size=60, unique=True).map(sorted),
    start=st.floats(-1e3, 1e3),
)
def test_frames_come_back_from_times(step, frames, start):
    frames = np.array([*frames, frames[-1] + 1])  # one step of a single interval
    times = start * step + frames * step
    found, interval = frames_of(np.zeros(len(frames), np.int64), times, "f", '"t"')
    assert (found == frames - frames[0]).all()
    assert interval == pytest.approx(step, rel=1e-6)


def test_float_noise_over_a_long_recording():
    times = np.cumsum(np.full(100_000, 0.1))
    found, interval = frames_of(np.zeros(100_000, np.int64), times, "f", '"t"')
    assert (found == np.arange(100_000)).all()
    assert interval == pytest.approx(0.1)


def test_a_camera_that_jitters():
    rng = np.random.default_rng(3)
    times = (np.arange(500) + rng.uniform(-0.03, 0.03, 500)) * 0.04
    found, interval = frames_of(np.zeros(500, np.int64), times, "f", '"t"')
    assert (found == np.arange(500)).all()
    assert interval == pytest.approx(0.04, rel=1e-3)


def test_tracks_share_one_grid():
    particle = np.repeat([1, 2], 3)
    times = np.array([0.5, 0.6, 0.8, 1.0, 1.1, 1.2])
    found, interval = frames_of(particle, times, "f", '"t"')
    assert found.tolist() == [0, 1, 3, 5, 6, 7]
    assert interval == pytest.approx(0.1)


def test_single_points_and_repeats():
    particle = np.array([1, 2, 3, 4])
    assert frames_of(particle, np.array([0.0, 2.0, 2.0, 6.0]), "f", '"t"')[0].tolist() == [
        *(0, 1, 1, 3)
    ]
    same, interval = frames_of(particle, np.full(4, 2.5), "f", '"t"')
    assert same.tolist() == [0, 0, 0, 0]
    assert interval is None


def test_times_off_any_grid_are_refused():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.5, 1.7, 200))
    with pytest.raises(SptError, match="not multiples of one interval"):
        frames_of(np.zeros(200, np.int64), times, "f", '"t"')


def test_interval_where_frames_and_times_are_given():
    frame = np.array([5, 3, 10, 4])
    assert interval_of(frame, frame * 0.06 + 2) == pytest.approx(0.06)
    assert interval_of(frame, np.array([1.0, np.nan, 2.0, np.nan])) == pytest.approx(0.2)


@pytest.mark.parametrize("time", [[0.0, 0, 0, 0], [0.0, 3, 1, 9], [np.nan] * 4, [0.0, -1, -2, -3]])
def test_no_interval_where_times_do_not_follow_frames(time):
    assert interval_of(np.arange(4), np.array(time)) is None
