import math
from collections.abc import Callable

import numpy as np
import pytest

from spt_explain.movies.parameters import (
    EstimationSettings,
    deviation,
    diameter_for,
    estimate_range,
    estimate_size,
)

SETTINGS = EstimationSettings()


@pytest.mark.parametrize("sigma", [1.0, 1.4, 2.0, 2.8, 4.0])
@pytest.mark.parametrize("dark", [False, True])
def test_spot_size_and_polarity_are_those_rendered(
    sigma: float, dark: bool, render: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> None:
    movie, truth = render(sigma=sigma, dark=dark, n_frames=3, spacing=32.0, height=150.0)
    found, n_blobs, is_dark = estimate_size(list(movie.astype(float)), SETTINGS)
    assert found == pytest.approx(sigma, rel=0.2)
    assert is_dark == dark
    assert n_blobs >= 0.8 * truth[..., 0].size


def test_pure_noise_has_no_spot_size() -> None:
    frames = list(np.random.default_rng(0).normal(100, 10, (4, 128, 128)))
    sigma, n_blobs, dark = estimate_size(frames, SETTINGS)
    assert math.isnan(sigma)
    assert n_blobs < SETTINGS.min_blobs
    assert not dark


def test_the_mask_is_odd_and_grows_with_the_spot() -> None:
    diameters = [diameter_for(sigma) for sigma in np.linspace(0.5, 8, 40)]
    assert all(d % 2 == 1 and d >= 5 for d in diameters)
    assert diameters == sorted(diameters)
    assert diameter_for(1.3) == 7


def test_search_range_covers_the_moves_of_sparse_spots() -> None:
    rng = np.random.default_rng(0)
    step = 2.0
    frames = [rng.uniform(0, 256, (12, 2))]
    for _ in range(8):
        frames.append(frames[-1] + rng.normal(0, step, (12, 2)))
    value, reason = estimate_range(frames, [(i, i + 1) for i in range(8)], (256, 256), SETTINGS)
    # Moves are Rayleigh: 99.9 % are below 3.7 steps.
    assert 3.7 * step <= value <= 8 * step
    assert "not chance" in reason


def test_search_range_stays_below_the_distance_of_dense_spots() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 200, (600, 2))
    frames = [places + rng.normal(0, 2.0, places.shape) for _ in range(6)]
    value, reason = estimate_range(frames, [(i, i + 1) for i in range(5)], (200, 200), SETTINGS)
    spacing = 0.5 * 200 / np.sqrt(600)  # of points at random
    assert 2.0 <= value <= 1.5 * spacing
    assert "too dense" in reason


def test_search_range_without_moves_is_a_guess() -> None:
    value, reason = estimate_range([np.empty((0, 2))] * 2, [(0, 1)], (200, 100), SETTINGS)
    assert value == 5.0
    assert "guess" in reason


def test_deviation_is_the_standard_deviation_whatever_the_outliers() -> None:
    values = np.random.default_rng(0).normal(5, 3, 20_001)
    values[:500] = 1e6
    assert deviation(values) == pytest.approx(3, rel=0.05)
