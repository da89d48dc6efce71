from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree

from spt_explain.errors import SptError
from spt_explain.movies.least_mass import noise_mass
from spt_explain.movies.locate import band_pass, find_spots, link
from spt_explain.movies.parameters import Parameters, deviation

Render = Callable[..., tuple[np.ndarray, np.ndarray]]


def _errors(spots: pd.DataFrame, truth: np.ndarray) -> np.ndarray:
    distance, _ = KDTree(spots[["y", "x"]].to_numpy()).query(truth)
    return np.asarray(distance)


@pytest.mark.parametrize("dark", [False, True])
def test_spots_are_found_where_they_were_rendered(dark: bool, render: Render) -> None:
    movie, truth = render(n_frames=1, dark=dark, height=200.0)
    band = band_pass(movie[0].astype(float), 7, dark=dark)
    mean, std = noise_mass(7)
    spots = find_spots(band, 7, deviation(band) * (mean + 5 * std))
    assert len(spots) == len(truth[0])
    assert np.sqrt(np.mean(_errors(spots, truth[0]) ** 2)) < 0.15


def test_the_background_level_and_its_slope_do_not_matter(render: Render) -> None:
    movie, truth = render(n_frames=1, noise=1.0)
    slope = np.linspace(0, 500, movie.shape[2])
    flat = find_spots(band_pass(movie[0].astype(float), 7), 7, 300)
    tilted = find_spots(band_pass(movie[0] - 5000.0 + slope, 7), 7, 300)
    assert len(flat) == len(tilted) == len(truth[0])
    assert _errors(tilted, flat[["y", "x"]].to_numpy()).max() < 0.1


def test_a_dim_spot_is_not_lost_beside_one_far_brighter() -> None:
    y, x = np.mgrid[:64, :64]
    frame = 20_000 * np.exp(-((y - 15.3) ** 2 + (x - 15.7) ** 2) / 4)
    frame += 40 * np.exp(-((y - 45.4) ** 2 + (x - 45.2) ** 2) / 4)
    spots = find_spots(band_pass(frame, 7), 7, 50)
    assert _errors(spots, np.array([[15.3, 15.7], [45.4, 45.2]])).max() < 0.1


def test_mass_is_in_grey_values_of_the_frame(render: Render) -> None:
    movie, _ = render(n_frames=1, noise=0.5)
    once = find_spots(band_pass(movie[0].astype(float), 7), 7, 100)
    twice = find_spots(band_pass(movie[0] * 2.0, 7), 7, 200)
    np.testing.assert_allclose(twice["mass"], 2 * once["mass"], rtol=1e-3)


def test_the_least_height_saves_time_and_changes_nothing(render: Render) -> None:
    movie, _ = render(n_frames=1)
    band = band_pass(movie[0].astype(float), 7)
    every = find_spots(band, 7, 400)
    heights = band[tuple(every[["y", "x"]].to_numpy().round().astype(int).T)]
    pd.testing.assert_frame_equal(find_spots(band, 7, 400, peak=heights.min() / 2), every)


def test_both_engines_give_the_same_spots(render: Render) -> None:
    pytest.importorskip("numba")
    movie, _ = render(n_frames=1)
    band = band_pass(movie[0].astype(float), 7)
    fast = find_spots(band, 7, 400, engine="numba")
    pd.testing.assert_frame_equal(find_spots(band, 7, 400), fast)


@pytest.mark.parametrize("shape", [(64, 64), (3, 64), (4, 4), (8, 8), (10, 60)])
def test_frames_without_spots_and_small_frames_give_none(shape: tuple[int, int]) -> None:
    for frame in (np.zeros(shape), np.full(shape, 7.0)):
        assert find_spots(band_pass(frame, 5), 5, 0.0).empty
    noise = np.random.default_rng(0).normal(size=shape)
    assert list(find_spots(band_pass(noise, 5), 5, 1e6).columns) == ["y", "x", "mass"]


def _parameters(search_range: float, memory: int = 0, adaptive: bool = False) -> Parameters:
    return Parameters(7, 0.0, search_range, memory, False, 0.0, adaptive, ())


def _spots(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["frame", "y", "x"])


def test_linking_keeps_particles_apart_and_types_whole() -> None:
    rows = [(t, 10.0 + t, 10.0) for t in range(5)] + [(t, 40.0, 40.0 - t) for t in range(5)]
    table = link(_spots(sorted(rows)), _parameters(3.0), "m.tif")
    assert list(table.columns) == ["particle", "frame", "x", "y"]
    assert [str(t) for t in table.dtypes] == ["int64", "int64", "float64", "float64"]
    assert table["particle"].tolist() == [0] * 5 + [1] * 5
    assert table["frame"].tolist() == [0, 1, 2, 3, 4] * 2
    assert set(table.loc[table["particle"] == 0, "x"]) == {10.0}


def test_memory_bridges_frames_without_the_spot() -> None:
    rows = [(t, 10.0, 10.0) for t in (0, 1, 4, 5)]
    without = link(_spots(rows), _parameters(3.0), "m.tif")
    assert without["particle"].tolist() == [0, 0, 1, 1]
    bridged = link(_spots(rows), _parameters(3.0, memory=2), "m.tif")
    assert bridged["particle"].tolist() == [0, 0, 0, 0]


def test_too_many_spots_within_the_range_name_a_smaller_one() -> None:
    grid = [(t, float(y), float(x)) for t in (0, 1) for y in range(12) for x in range(12)]
    spots = _spots(grid)
    spots[["y", "x"]] += np.random.default_rng(0).normal(0, 0.2, (len(spots), 2))
    with pytest.raises(SptError, match=r"smaller search range \(try 2.5\)"):
        link(spots, _parameters(5.0), "m.tif")


def test_an_estimated_range_shrinks_where_spots_are_dense() -> None:
    rng = np.random.default_rng(0)
    dense = np.array([(y, x) for y in range(0, 24, 2) for x in range(0, 24, 2)], float)
    rows = [
        (t, *place)
        for t in (0, 1)
        for place in [*(dense + rng.normal(0, 0.1, dense.shape)), (60.0, 60.0 + 4 * t)]
    ]
    table = link(_spots(rows), _parameters(5.0, adaptive=True), "m.tif")
    assert (table.groupby("particle").size() == 2).all()
