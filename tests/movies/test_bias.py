import numpy as np
import pytest
from scipy import stats

from spt_explain.movies.bias import WARN_STRENGTH, measure_bias
from spt_explain.movies.locate import band_pass, find_spots
from spt_explain.movies.parameters import EstimationSettings, deviation
from spt_explain.movies.render import Optics, expected_photons, expose


def rendered(sigma, diameter, minmass, seed=0):
    """Positions (x, y) that are found of spots rendered at places of any fraction of a pixel."""
    rng = np.random.default_rng(seed)
    optics = Optics(spot_sigma_px=sigma, photons=3000)
    found = []
    for _ in range(4):
        grid = np.arange(13, 240, 26)
        places = np.array([(x, y) for x in grid for y in grid]) + rng.uniform(-3, 3, (81, 2))
        frame = expose(expected_photons(places, 256, 256, optics), optics, rng)
        band = band_pass(frame.astype(float), diameter)
        peak = EstimationSettings().noise_peak * deviation(band)  # as movies get it
        spots = find_spots(band, diameter, minmass, peak=peak)
        found.append(spots[["x", "y"]].to_numpy())
    return np.concatenate(found)


@pytest.mark.parametrize(("sigma", "diameter"), [(1.0, 5), (1.3, 7), (1.5, 7), (2.0, 9)])
def test_spots_located_with_the_right_diameter_give_no_warning(sigma, diameter):
    bias = measure_bias(rendered(sigma, diameter, 400))
    assert bias.n_positions > 250
    assert bias.warning(diameter) is None


@pytest.mark.parametrize(("sigma", "diameter"), [(2.0, 3), (1.5, 5), (2.0, 5)])
def test_a_diameter_too_small_is_warned_about_with_its_remedy(sigma, diameter):
    bias = measure_bias(rendered(sigma, diameter, 5 if diameter == 3 else 60))
    said = bias.warning(diameter)
    assert "middles of pixels" in said
    assert f"diameter= {diameter + 2}" in said
    assert "along x and y" in said
    assert "drawn by up to" in bias.describe()


def test_strength_and_place_are_those_of_the_density():
    """Fractions of density 1 + 2 s cos 2π(f − a), drawn through the inverse of its integral."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 10_001)
    for s, a in ((0.1, 0.5), (0.4, 0.0), (0.3, -0.25)):
        cumulated = grid + s / np.pi * (np.sin(2 * np.pi * (grid - a)) + np.sin(2 * np.pi * a))
        x = np.interp(rng.random(40_000), cumulated, grid) + rng.integers(0, 200, 40_000)
        y = rng.uniform(0, 200, 40_000)
        bias = measure_bias(np.stack([x, y], axis=1))
        assert bias.strength[0] == pytest.approx(s, abs=0.02)
        assert abs(np.exp(2j * np.pi * bias.at[0]) - np.exp(2j * np.pi * a)) < 0.15
        assert bias.strength[1] < 0.02
        assert bias.biased == (s > WARN_STRENGTH)


def test_positions_drawn_by_a_sine_are_drawn_as_far_as_is_said():
    x = np.random.default_rng(1).uniform(0, 300, (30_000, 2))
    drawn = x - 0.1 * np.sin(2 * np.pi * x)
    assert measure_bias(drawn).drawn_px == pytest.approx(0.1, rel=0.1)


def test_edges_have_their_own_remedy():
    x = np.random.default_rng(2).uniform(0, 300, (5_000, 2))
    bias = measure_bias(x + 0.12 * np.sin(2 * np.pi * x))
    assert abs(abs(bias.at[0]) - 0.5) < 0.02
    said = bias.warning(7)
    assert "edges of pixels" in said
    assert "saturated" in said


def test_the_axis_is_named():
    x = np.random.default_rng(3).uniform(0, 300, (5_000, 2))
    x[:, 1] -= 0.12 * np.sin(2 * np.pi * x[:, 1])
    assert "along y:" not in measure_bias(x).warning(7)
    assert "px along y)" in measure_bias(x).warning(7)


def walk(rng, n, step, n_frames=300):
    paths = rng.uniform(0, 100, (n, 1, 2)) + np.cumsum(rng.normal(0, step, (n, n_frames, 2)), 1)
    return paths.reshape(-1, 2), np.repeat(np.arange(n), n_frames)


@pytest.mark.parametrize("step", [0.0, 0.003, 0.05, 0.5])
@pytest.mark.parametrize("named", [True, False])
def test_few_particles_that_hardly_move_are_no_evidence(step, named):
    rng = np.random.default_rng(4)
    beyond = 0
    for _ in range(60):
        xy, particle = walk(rng, 35, step)
        bias = measure_bias(xy + rng.normal(0, 0.02, xy.shape), particle if named else None)
        if bias is not None:
            assert bias.warning(7) is None
            beyond += any(s > c for s, c in zip(bias.strength, bias.chance, strict=True))
    # 2 of 1000 by chance, on either of two axes
    assert beyond <= stats.binom.ppf(0.999, 60, 0.002)


def test_one_particle_that_moves_is_evidence_enough():
    xy, particle = walk(np.random.default_rng(5), 1, 1.0, 4000)
    assert not measure_bias(xy, particle).biased
    assert measure_bias(xy - 0.15 * np.sin(2 * np.pi * xy), particle).biased


def test_too_few_positions_say_nothing():
    rng = np.random.default_rng(6)
    assert measure_bias(np.empty((0, 2))) is None
    assert measure_bias(rng.uniform(0, 50, (29, 2))) is None
    assert measure_bias(np.full((1000, 2), 7.2), np.zeros(1000, np.int64)) is None
    assert measure_bias(np.full((1000, 2), np.nan)) is None
    few = np.repeat(rng.uniform(0, 50, (20, 2)), 100, axis=0)
    assert measure_bias(few, np.repeat(np.arange(20), 100)) is None


def test_all_on_whole_pixels_is_as_strong_as_can_be():
    rng = np.random.default_rng(7)
    bias = measure_bias(rng.integers(0, 200, (2000, 2)).astype(float))
    assert bias.strength == pytest.approx((1, 1))
    assert bias.at == pytest.approx((0, 0), abs=1e-9)
    assert bias.biased
