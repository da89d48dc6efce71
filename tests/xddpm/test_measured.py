import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import SptError
from spt_explain.movies.stack import Stack
from spt_explain.tracks.table import Calibration
from spt_explain.xddpm.foreground import Foreground
from spt_explain.xddpm.measured import (
    LEAST_STEPS,
    Measurement,
    in_units,
    outline,
    prepare,
    unit_of,
)

WHOLE = np.array([[0, 100, 0, 100]])


@pytest.mark.parametrize("radius", [8, 15, 30])
def test_the_outline_of_a_disc_is_its_circumference(radius):
    y, x = np.mgrid[:100, :100]
    cell = np.hypot(y - 49.7, x - 50.2) < radius
    assert outline(cell).sum() == pytest.approx(2 * np.pi * radius, rel=0.02)


def test_the_outline_does_not_follow_the_edge_of_the_frame():
    cell = np.zeros((50, 50), bool)
    cell[:, :20] = True
    assert outline(cell).sum() == pytest.approx(50, rel=1e-6)
    assert outline(np.ones((50, 50), bool)).sum() == 0


@pytest.mark.parametrize("signal", ["area", "circumference", "intensity"])
def test_tiles_add_up_to_the_frame(signal):
    frame = np.random.default_rng(1).normal(size=(100, 100)).cumsum(0)
    measurement = Measurement(signal, foreground=Foreground(-1.0, 0.5, 1.0))
    tiles = np.array([[y, y + 20, x, x + 25] for y in range(0, 100, 20) for x in range(0, 100, 25)])
    parts = measurement.sums(0, frame, (100, 100), tiles)[:, 0]
    whole = measurement.sums(0, frame, (100, 100), WHOLE)[0, 0]
    assert whole > 0
    assert parts.sum() == pytest.approx(whole)


def test_intensity_is_above_background_and_in_cells_only():
    frame = np.full((100, 100), 10.0)
    frame[20:30, 40:50] = 110.0
    measurement = Measurement("intensity", foreground=Foreground(10.0, 60.0, 0.0))
    assert measurement.sums(0, frame, (100, 100), WHOLE)[0, 0] == pytest.approx(100 * 100)
    dark = Measurement("intensity", foreground=Foreground(-110.0, -60.0, 0.0, dark=True))
    assert dark.sums(0, frame, (100, 100), WHOLE)[0, 0] == pytest.approx(9900 * 100)


def test_spots_are_counted_in_their_tile_and_frame():
    spots = pd.DataFrame({"frame": [3, 0, 3], "y": [10.2, 50.0, 99.6], "x": [10.0, 1.0, 99.4]})
    measurement = Measurement("spots", spots=spots)
    cuts = np.array([[0, 50, 0, 50], [50, 100, 50, 100], [0, 100, 0, 100]])
    assert measurement.sums(3, None, (100, 100), cuts)[:, 0].tolist() == [1, 1, 2]
    assert measurement.sums(1, None, (100, 100), cuts)[:, 0].tolist() == [0, 0, 0]


def _walk(d, sigma, tracks=300, frames=20, seed=1):
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, np.sqrt(2 * d), (tracks, frames, 2))
    true = 500 + steps.cumsum(1)
    seen = true + rng.normal(0, sigma, true.shape)
    return pd.DataFrame(
        {
            "particle": np.repeat(np.arange(tracks), frames),
            "frame": np.tile(np.arange(frames), tracks),
            "y": seen[..., 0].ravel(),
            "x": seen[..., 1].ravel(),
        }
    )


@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_d_of_brownian_motion_whatever_the_localisation_error(sigma):
    measurement = Measurement("msd-d", spots=_walk(0.5, sigma))
    shape, cut = (1000, 1000), np.array([[0, 1000, 0, 1000]])
    sums = np.stack([measurement.sums(i, None, shape, cut) for i in range(20)], 1)
    assert measurement.of_clip(sums)[0, 0] == pytest.approx(0.5, rel=0.06)


def test_d_leaves_out_gaps_and_other_particles_and_is_not_known_from_few_steps():
    path = pd.DataFrame(
        {
            "particle": [0] * 6 + [1] * 2,
            "frame": [0, 1, 2, 4, 5, 6, 7, 8],
            "y": [0.0, 1, 2, 50, 51, 52, 90, 91],
            "x": [0.0] * 8,
        }
    )
    measurement = Measurement("msd-d", spots=path)
    sums = np.stack([measurement.sums(i, None, (100, 100), WHOLE) for i in range(9)], 1)
    # two pairs of steps of 1 px in one direction: |d|² + 2 d·d' = 3
    assert sums[0].sum(0).tolist() == [6.0, 9 * 0 + 2]
    assert np.isnan(measurement.of_clip(sums)).all()
    assert LEAST_STEPS > 2


def test_units():
    both = Calibration("um", "file", 0.5, "file", 0.1)
    assert unit_of("area", 0.1, None) == "µm²"
    assert in_units("area", both, "µm²") == pytest.approx(0.01)
    assert in_units("circumference", both, "µm") == pytest.approx(0.1)
    assert unit_of("msd-d", 0.1, None) == "px²/frame"
    assert in_units("msd-d", both, "µm²/s") == pytest.approx(0.02)
    assert in_units("msd-d", both, "px²/frame") == 1
    assert unit_of("spots", 0.1, 0.5) == ""


def _movie(path, frames):
    import tifffile

    tifffile.imwrite(path, frames.astype(np.uint16), imagej=True, metadata={"axes": "TYX"})
    return lambda: Stack(path)


def test_a_movie_without_cells_takes_the_levels_of_the_others(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 5, (4, 64, 64))
    cells = noise.copy()
    cells[:, 20:40, 20:40] += 200
    opened = [_movie(tmp_path / "a.tif", cells), _movie(tmp_path / "b.tif", noise + 50)]
    (one, other), notes = prepare("area", opened)
    assert one.foreground.threshold == pytest.approx(200, rel=0.05)
    assert other.foreground.threshold == pytest.approx(250, rel=0.05)
    assert any("nothing stands out" in note and "b.tif" in note for note in notes)
    with pytest.raises(SptError, match="no cell stands out") as error:
        prepare("area", opened[1:])
    assert "\n" not in str(error.value)
    (whole,), notes = prepare("intensity", opened[1:])
    assert whole.foreground.threshold == -np.inf
    assert "all pixels" in notes[0]


def test_dark_cells_are_found_where_there_are_no_bright_ones(tmp_path):
    frames = np.random.default_rng(0).normal(500, 5, (4, 64, 64))
    frames[:, 20:40, 20:40] -= 200
    (one,), notes = prepare("area", [_movie(tmp_path / "a.tif", frames)])
    assert one.foreground.cell(frames[0]).sum() == pytest.approx(400, abs=5)
    assert any("darker" in note for note in notes)
