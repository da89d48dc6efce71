import numpy as np
import pandas as pd
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks
from spt_explain.training.matching import match_recordings
from spt_explain.training.recipe import Recipe

RECIPE = Recipe(name="test", batch={64: 64, 128: 64, 1024: 32})


def _tracks(lengths, noise=0.0, lost=0.0, seed=0):
    """Brownian tracks, in pixels, with a displacement of 1 a frame along each axis."""
    rng = np.random.default_rng(seed)
    parts = []
    for particle, n in enumerate(lengths):
        xy = rng.normal(size=(n, 2)).cumsum(0) + rng.normal(0, noise, (n, 2))
        part = pd.DataFrame(xy, columns=["x", "y"]).assign(particle=particle, frame=range(n))
        kept = rng.random(n) >= lost
        kept[[0, -1]] = True
        parts.append(part[kept])
    table = pd.concat(parts, ignore_index=True)[["particle", "frame", "x", "y"]]
    return Tracks(table, Calibration(), Source("test.csv", "table"))


def test_lengths_and_gaps_are_those_of_the_tracks():
    lengths = [12] * 30 + [60] * 20 + [300] * 10 + [2000]
    match = match_recordings([_tracks(lengths, lost=0.05)], QualityPolicy(max_gap=9))
    expected = np.minimum(lengths, 1000)
    np.testing.assert_array_equal(np.sort(match.lengths), np.sort(expected))
    assert match.missed[match.lengths == 1000][0] == pytest.approx(0.05, abs=0.02)
    assert match.describe()["tracks"] == 61


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_noise_is_that_of_the_tracks(noise):
    match = match_recordings([_tracks([400] * 40, noise=noise)])
    assert np.median(match.noise) == pytest.approx(noise, abs=0.12)


def test_tracks_too_short_to_tell_their_noise_leave_it_to_the_recipe():
    match = match_recordings([_tracks([15] * 40, noise=0.5)])
    assert len(match.noise) == 0
    assert match.conditions(RECIPE).noise is None
    assert match.describe()["noise_5_50_95"] is None


def test_trajectories_are_drawn_like_the_tracks():
    match = match_recordings([_tracks([20] * 60 + [100] * 20, noise=0.4)])
    batch = match.batch(RECIPE)
    assert batch == {64: 120, 128: 40, 1024: 8}
    conditions = match.conditions(RECIPE)
    generator = torch.Generator().manual_seed(0)
    assert set(conditions.draw_lengths(500, 10, 64, generator).tolist()) == {20}
    assert set(conditions.draw_lengths(500, 65, 128, generator).tolist()) == {100}
    # there are none so long: the recipe's law
    assert conditions.draw_lengths(500, 129, 1000, generator).float().mean() > 400
    drawn = conditions.draw_noise(2000, generator).amax(dim=1)
    assert drawn.mean() == pytest.approx(match.noise.mean(), abs=0.03)


def test_too_few_tracks_are_refused():
    with pytest.raises(SptError, match=r"only 5 tracks of test\.csv"):
        match_recordings([_tracks([30] * 5)])
