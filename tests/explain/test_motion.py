import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.explain.motion import Motion, Settings


def motion(*paths, **settings):
    xy = np.concatenate([np.asarray(p, float) for p in paths])
    offsets = np.cumsum([0] + [len(p) for p in paths])
    return Motion(xy[:, 0], xy[:, 1], offsets, Settings(**settings))


def walk(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 2)).cumsum(axis=0)


@pytest.mark.parametrize("n", [20, 93, 200])
def test_local_numbers_are_those_of_a_loop(n):
    paths = [walk(n, 1), walk(37, 2)]
    found = motion(*paths)
    half = int(np.floor(max(0.05 * n, 5) / 2 + 0.5))
    path = paths[0]
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    mean = (steps**2).mean()
    for i in range(n):
        a, b = max(i - half, 0), min(i + half, n - 1)
        assert found.diffusivity[i] == pytest.approx((steps[a:b] ** 2).mean() / mean)
        assert found.jump_rate[i] == pytest.approx((steps[a:b] > np.sqrt(mean)).mean())
        straight = np.linalg.norm(path[b] - path[a]) / steps[a:b].sum()
        assert found.straightness[i] == pytest.approx(straight)
    at_jump = np.zeros(n, bool)
    for i in np.flatnonzero(steps > np.sqrt(mean)):
        at_jump[i : i + 2] = True
    np.testing.assert_array_equal(found.jumps[:n], at_jump)


def test_longest_slow_period():
    rng = np.random.default_rng(0)
    size = np.ones(199)
    size[20:40] = size[100:170] = 0.05
    path = (rng.normal(size=(199, 2)) * size[:, None]).cumsum(axis=0)
    found = np.flatnonzero(motion(path, walk(60)).slow_period[:199])
    assert found[0] == pytest.approx(100, abs=6)
    assert found[-1] == pytest.approx(170, abs=6)
    np.testing.assert_array_equal(np.diff(found), 1)


def test_longest_straight_piece_and_its_ends():
    turns = np.zeros(40)
    turns[[5, 12, 30]] = 1.0  # at frames 5, 12 and 30
    turns[20] = 0.2  # 11°, still straight
    angle = turns.cumsum()[1:]
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    path = np.concatenate([[[0.0, 0.0]], steps.cumsum(axis=0)])
    step_angle = np.arctan2(*np.diff(path, axis=0).T[::-1])
    assert len(step_angle) == 39
    found = np.flatnonzero(motion(path).straight_piece)
    corners = np.flatnonzero(np.abs(np.diff(step_angle)) > 0.5) + 1  # frames
    np.testing.assert_array_equal(found, np.arange(corners[1], corners[2] + 1))
    tighter = np.flatnonzero(motion(path, straight_degrees=5).straight_piece)
    assert len(tighter) < len(found)


def test_resting_is_not_straight_and_has_no_straightness():
    still = np.zeros((30, 2))
    still[20:] = 1.0
    found = motion(still)
    assert not found.straight_piece.any()
    assert np.isnan(found.straightness[5])
    assert found.straightness[20] == pytest.approx(1)
    assert found.jump_rate.max() == pytest.approx(0.25, abs=0.1)


@given(st.integers(4, 300))
def test_portions_and_boundaries(n):
    found = motion(walk(n))
    assert found.initial.sum() == pytest.approx(n / 4, abs=0.5)
    assert found.terminal.sum() == found.initial.sum()
    np.testing.assert_array_equal(found.initial, found.terminal[::-1])
    assert found.interior.sum() == pytest.approx(0.8 * n, abs=1.01)
    np.testing.assert_array_equal(found.interior, found.interior[::-1])


def test_settings_out_of_range():
    for options in (
        {"around": 0.0},
        {"portion": 0.7},
        {"level": 1.0},
        {"shifts": 0},
        {"shortest": 2},
        {"resamples": 0},
    ):
        with pytest.raises(ValueError, match="expected"):
            Settings(**options)
