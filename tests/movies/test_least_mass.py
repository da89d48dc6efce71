from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial import KDTree

from spt_explain.movies.least_mass import choose_mass, noise_mass, three_digits
from spt_explain.movies.parameters import EstimationSettings

Render = Callable[..., tuple[np.ndarray, np.ndarray]]
SETTINGS = EstimationSettings()
PAIRS = [(i, i + 1) for i in range(7)]


def _found(render: Render, height: float, diameters: list[int], sigma: float = 1.3) -> tuple:
    movie, truth = render(n_frames=8, height=height, sigma=sigma, noise=10.0)
    mass = choose_mass(list(movie.astype(float)), PAIRS, diameters, None, False, SETTINGS)
    return mass, truth


@pytest.mark.parametrize("height", [40.0, 60.0, 200.0])
def test_most_spots_are_above_it_and_little_noise(render: Render, height: float) -> None:
    mass, truth = _found(render, height, [7])
    right = wrong = 0
    for spots, places in zip(mass.spots, truth, strict=True):
        yx = spots.loc[spots["mass"] >= mass.minmass, ["y", "x"]].to_numpy()
        away = KDTree(yx).query(places)[0]
        right += int((away < 1.5).sum())
        wrong += len(yx) - int((away < 1.5).sum())
    assert mass.by_links
    assert right >= 0.8 * truth[..., 0].size
    assert wrong <= 0.35 * right


def test_of_several_diameters_the_first_stays_unless_another_is_clearly_better(
    render: Render,
) -> None:
    assert _found(render, 200.0, [7, 5, 9, 11])[0].diameter == 7
    dim, _ = _found(render, 14.0, [5, 7, 9, 11], sigma=2.5)
    assert dim.diameter >= 9


def test_pure_noise_has_the_careful_limit() -> None:
    frames = list(np.random.default_rng(0).normal(100, 10, (8, 128, 128)))
    mass = choose_mass(frames, PAIRS, [7], None, False, SETTINGS)
    mean, std = noise_mass(7)
    assert mass.lone_mass == 0.0 or mass.lone_mass > mass.minmass
    kept = sum(int((spots["mass"] >= mass.minmass).sum()) for spots in mass.spots)
    if not mass.by_links:
        assert kept <= 8
    assert 0 < std < mean


def test_three_digits() -> None:
    assert three_digits(1234.5) == 1230.0
    assert three_digits(-1.0) == 0.0
