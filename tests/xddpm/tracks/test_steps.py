import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spt_explain.errors import SptError
from spt_explain.resandi.inputs import build_inputs
from spt_explain.xddpm.tracks.steps import common_spread, scaled_steps


def some(seed=1, lengths=(12, 9, 30)):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.normal(size=(offsets[-1], 2)).cumsum(0) * [1.0, 3.0], offsets


def test_axis_is_what_the_classifier_sees():
    positions, offsets = some()
    steps = scaled_steps(positions, offsets, "axis")
    theirs = build_inputs(
        positions, offsets[:-1], offsets[1:], window=30, kind="positions+displacements"
    )
    for i, length in enumerate(np.diff(offsets)):
        own = steps.values[steps.offsets[i] : steps.offsets[i + 1]]
        np.testing.assert_allclose(own, theirs[i, 2:4, 30 - length + 1 :].T, rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.floats(-150, 150), st.floats(-1e3, 1e3))
def test_unit_and_place_do_not_matter(power, where):
    positions, offsets = some()
    plain = scaled_steps(positions, offsets)
    moved = scaled_steps(positions * 10.0**power, offsets)
    np.testing.assert_allclose(plain.values, moved.values, rtol=1e-5)
    shifted = scaled_steps(positions + where, offsets)
    np.testing.assert_allclose(plain.values, shifted.values, atol=1e-6)


def test_root_mean_square_is_one():
    steps = scaled_steps(*some())
    for i in range(3):
        own = steps.values[steps.offsets[i] : steps.offsets[i + 1]]
        assert np.sqrt((own**2).mean()) == pytest.approx(1, abs=1e-5)
        assert own.std(0)[1] > own.std(0)[0]  # both axes keep their proportion


def test_all_keeps_sizes():
    positions, offsets = some()
    positions[: offsets[1]] *= 5
    spread = common_spread(positions, offsets)
    steps = scaled_steps(positions, offsets, "all", spread)
    np.testing.assert_allclose(
        steps.values[:11] * spread, np.diff(positions[:12], axis=0), rtol=1e-4
    )


def test_take():
    steps = scaled_steps(*some())
    part = steps.take(np.array([2, 0]))
    assert part.lengths.tolist() == [29, 11]
    np.testing.assert_array_equal(part.values[29:], steps.values[:11])


def test_refuses_short_and_still():
    positions, _ = some()
    with pytest.raises(SptError, match="has 8 points; expected at least 9"):
        scaled_steps(positions[:8], np.array([0, 8]))
    with pytest.raises(SptError, match="never moves"):
        scaled_steps(np.zeros((9, 2)), np.array([0, 9]))
    with pytest.raises(SptError, match="never move"):
        common_spread(np.zeros((9, 2)), np.array([0, 9]))
