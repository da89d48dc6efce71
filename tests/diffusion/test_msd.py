import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion.msd import mean_squared_displacements, msd_exponent
from spt_explain.diffusion.simulate import fbm_steps

# trackpy 0.7 with pandas 3.1
pytestmark = [
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
    pytest.mark.filterwarnings("ignore:Starting with pandas version"),
]


def ragged(seed, n_tracks=6, lost=0.25):
    """Tracks of several lengths with lost frames: frame, x, y, starts."""
    rng = np.random.default_rng(seed)
    frames, paths = [], []
    for _ in range(n_tracks):
        n = int(rng.integers(2, 40))
        seen = rng.random(n) > lost
        seen[[0, -1]] = True
        frames.append(np.flatnonzero(seen) + int(rng.integers(0, 1000)))
        paths.append(rng.normal(size=(n, 2)).cumsum(axis=0)[seen] + 50)
    starts = np.concatenate([[0], np.cumsum([len(f) for f in frames])[:-1]])
    xy = np.concatenate(paths)
    return np.concatenate(frames), xy[:, 0], xy[:, 1], starts


@pytest.mark.parametrize("seed", range(4))
def test_msd_is_trackpys(seed):
    import trackpy

    frame, x, y, starts = ragged(seed, lost=0.25 if seed % 2 else 0.0)
    ours = mean_squared_displacements(frame, x, y, starts)
    stops = np.append(starts[1:], len(frame))
    for i, (a, b) in enumerate(zip(starts, stops, strict=True)):
        table = pd.DataFrame({"frame": frame[a:b], "x": x[a:b], "y": y[a:b]})
        theirs = trackpy.msd(table, mpp=1, fps=1, max_lagtime=10)["msd"].reindex(range(1, 11))
        np.testing.assert_allclose(ours[i], theirs, rtol=1e-9, equal_nan=True)


def test_exponent_is_the_fit_of_polyfit_to_trackpys_msd():
    import trackpy

    rng = np.random.default_rng(7)
    lengths = np.array([5, 21, 33, 80])
    starts = np.concatenate([[0], lengths.cumsum()[:-1]])
    frame = np.concatenate([np.arange(n) for n in lengths])
    x, y = rng.normal(size=(2, lengths.sum())).cumsum(axis=1)
    table = pd.DataFrame({"frame": frame, "x": x, "y": y, "particle": lengths.repeat(lengths)})
    found = msd_exponent(frame, x, y, starts)
    theirs = trackpy.imsd(table, 1, 1, max_lagtime=10)
    for value, n, lags in zip(found, lengths, (4, 4, 6, 10), strict=True):
        curve = theirs[n].iloc[:lags]
        expected = np.polyfit(np.log(np.arange(1, lags + 1)), np.log(curve.to_numpy()), 1)[0]
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 1.6])
def test_exponent_of_fractional_brownian_motion(alpha):
    steps = fbm_steps(torch.full((300,), alpha), 300, torch.Generator().manual_seed(1))
    path = steps.double().numpy().cumsum(axis=1)
    m, n, _ = path.shape
    found = msd_exponent(np.tile(np.arange(n), m), *path.reshape(-1, 2).T, np.arange(m) * n)
    assert found.mean() == pytest.approx(alpha, abs=0.03)
    assert found.std() < 0.12


def test_straight_motion_has_two_and_no_motion_has_none():
    frame = np.tile(np.arange(12), 2)
    x = np.where(np.arange(24) < 12, frame * 3.0, 4.0)
    found = msd_exponent(frame, x, x * 0, np.array([0, 12]))
    assert found[0] == pytest.approx(2)
    assert np.isnan(found[1])


@given(st.integers(0, 10_000), st.sampled_from([1e-150, 1e-6, 1e6, 1e120]))
def test_exponent_does_not_depend_on_unit_origin_or_frame_numbers(seed, factor):
    frame, x, y, starts = ragged(seed)
    here = msd_exponent(frame, x, y, starts)
    there = msd_exponent(frame + 2**62, (x - 7) * factor, y * factor, starts)
    np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-7)


def test_degenerate_tracks():
    none = np.zeros(0)
    assert mean_squared_displacements(none.astype(int), none, none, none.astype(int)).shape == (
        0,
        10,
    )
    assert msd_exponent(none.astype(int), none, none, none.astype(int)).shape == (0,)
    frame = np.array([-(2**63), 2**63 - 1, 0, 5, 6])
    x = np.array([0.0, 1.0, 1e308, -1e308, 3.0])
    assert np.isnan(msd_exponent(frame, x, x, np.array([0, 2, 4]))).all()
