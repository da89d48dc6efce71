import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.floors import (
    FLOORS,
    brightness,
    edges,
    floors,
    random_maps,
    unrelated,
    whole_cell,
)


def square():
    clips = np.full((2, 3, 16, 16), 100.0, np.float32)
    clips[:, :, 4:10, 4:10] = 180
    return clips + np.random.default_rng(0).normal(0, 5, clips.shape).astype(np.float32)


def test_the_cell_is_found_and_its_edge():
    clips = square()
    inside = np.zeros(clips.shape, bool)
    inside[:, :, 4:10, 4:10] = True
    np.testing.assert_array_equal(whole_cell(clips, 100.0), inside)
    rim = np.zeros((16, 16), bool)
    rim[3:11, 3:11], rim[5:9, 5:9] = True, False
    found = edges(clips)[0, 0]
    assert found[rim].mean() > 5 * found[~rim].mean()


def test_edges_are_within_frames():
    clips = np.zeros((1, 2, 5, 5), np.float32)
    clips[0, 1] = 7  # a change in time is no edge
    assert not edges(clips).any()


def test_brightness_is_a_distance():
    clips = np.array([[[[1.0, 4.0]]]], np.float32)
    np.testing.assert_array_equal(brightness(clips, 3.0), [[[[2, 1]]]])


def test_an_even_video_has_no_cell():
    assert not whole_cell(np.full((1, 2, 4, 4), 3.0)).any()


@given(n=st.integers(2, 30), seed=st.integers(0, 50))
def test_no_map_stays_in_its_place(n, seed):
    found = unrelated(np.arange(n), seed)
    assert sorted(found) == list(range(n))
    assert (found != np.arange(n)).all()


def test_random_maps_are_uniform_and_repeat():
    found = random_maps((3, 4, 32, 32), 7)
    np.testing.assert_array_equal(found, random_maps((3, 4, 32, 32), 7))
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert found.std() == pytest.approx(12**-0.5, abs=0.01)


def test_all_floors():
    clips = square()
    truth = clips > 140
    truth[1] = False
    found = floors(clips, truth, reference=100.0)
    assert tuple(found) == FLOORS
    assert all(each.shape == clips.shape for each in found.values())
    np.testing.assert_array_equal(found["unrelated video"][1], truth[0])
    given = floors(clips, truth, cell=truth)
    np.testing.assert_array_equal(given["whole cell"], truth)


def test_refused():
    clips = square()
    with pytest.raises(SptError, match="two videos"):
        unrelated(clips[:1])
    with pytest.raises(SptError, match="true maps"):
        floors(clips, np.ones((2, 3, 16, 15), bool))
    with pytest.raises(SptError, match="cells' masks"):
        floors(clips, clips > 140, cell=np.ones((2, 3, 16, 15), bool))
