import numpy as np
import pytest

from spt_explain.movies.estimate import sample
from spt_explain.movies.least_mass import noise_mass
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import EstimationSettings, deviation


@pytest.mark.parametrize("diameter", [5, 7, 13])
def test_mass_of_noise_bounds_what_noise_gives(diameter: int) -> None:
    mean, std = noise_mass(diameter)
    band = band_pass(np.random.default_rng(5).normal(50, 7, (300, 300)), diameter)
    every = find_spots(band, diameter, 0.0)
    above = find_spots(band, diameter, deviation(band) * (mean + 5 * std))
    assert len(every) > 50
    assert len(above) <= 0.01 * len(every)


@pytest.mark.parametrize("n_frames", [2, 3, 5, 17, 1000])
def test_frames_looked_at_are_pairs_over_the_whole_movie(n_frames: int) -> None:
    settings = EstimationSettings()
    numbers = sample(n_frames, 256 * 256, settings)
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    assert numbers[-1] == n_frames - 1
    assert len(numbers) <= 2 * settings.n_pairs
    assert all(n + 1 in numbers or n - 1 in numbers for n in numbers)


def test_fewer_frames_are_looked_at_where_they_are_large() -> None:
    settings = EstimationSettings()
    assert len(sample(1000, 2048 * 2048, settings)) * 2048 * 2048 <= settings.max_sample_pixels
    assert sample(1000, 10**9, settings) == [0, 1]
