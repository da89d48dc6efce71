"""Rendered movies: photons where the particles are, read back and tracked by our own movies."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.integrate import dblquad
from scipy.spatial import KDTree

from spt_explain.errors import SptError
from spt_explain.movies import track_stack
from spt_explain.movies.render import (
    MAX_BYTES,
    Optics,
    check_movie,
    expected_photons,
    expose,
    render_movie,
)
from spt_explain.movies.stack import Stack
from spt_explain.tracks import Calibration, Source, Tracks

PIXEL, INTERVAL = 0.11, 0.03


def _tracks(n: int = 9, n_frames: int = 12, spacing: float = 20.0, seed: int = 0) -> Tracks:
    """Return Brownian particles that stay near the points of a grid."""
    rng = np.random.default_rng(seed)
    side = int(np.sqrt(n))
    home = spacing * (1 + np.array([(i % side, i // side) for i in range(n)]))
    walk = home[:, None] + rng.normal(scale=0.6, size=(n, n_frames, 2)).cumsum(axis=1)
    table = pd.DataFrame(
        {
            "particle": np.repeat(np.arange(n), n_frames),
            "frame": np.tile(np.arange(n_frames), n),
            "x": walk[..., 0].ravel() * PIXEL,
            "y": walk[..., 1].ravel() * PIXEL,
        }
    )
    calibration = Calibration("um", "simulated", INTERVAL, "simulated", PIXEL)
    return Tracks(table, calibration, Source("simulated", "simulated"))


def test_a_spot_is_a_gaussian_integrated_over_each_pixel() -> None:
    optics = Optics(spot_sigma_px=0.9, photons=1000, background=0)
    x, y = 7.3, 5.8
    light = expected_photons(np.array([[x, y]]), 16, 12, optics)
    assert light.shape == (12, 16)
    assert light.sum() == pytest.approx(1000, rel=1e-5)
    columns, rows = np.arange(16), np.arange(12)
    assert (light.sum(0) * columns).sum() / 1000 == pytest.approx(x, abs=1e-4)
    assert (light.sum(1) * rows).sum() / 1000 == pytest.approx(y, abs=1e-4)
    expected, _ = dblquad(
        lambda v, u: np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * 0.81)) / (2 * np.pi * 0.81),
        7.5, 8.5, 4.5, 5.5,
    )  # fmt: skip
    assert light[5, 8] == pytest.approx(1000 * expected, rel=1e-6)


def test_spots_add_up_and_those_beyond_the_border_shine_in() -> None:
    optics = Optics(spot_sigma_px=1.0, photons=100, background=2)
    spots = np.array([[4.0, 4.0], [4.0, 4.0], [-0.5, 4.0], [-40.0, 4.0], [4.0, 900.0]])
    light = expected_photons(spots, 9, 9, optics) - 2
    assert light.sum() == pytest.approx(250, abs=0.5)
    assert expected_photons(np.zeros((0, 2)), 9, 9, optics) == pytest.approx(np.full((9, 9), 2.0))


def test_the_camera_has_the_mean_and_variance_of_its_parts() -> None:
    optics = Optics(read_noise=3.0, gain=4.0, offset=200.0)
    grey = expose(np.full((300, 300), 20.0), optics, np.random.default_rng(0)).astype(float)
    assert grey.mean() == pytest.approx(200 + 4 * 20, rel=0.005)
    assert grey.var() == pytest.approx(16 * (20 + 9) + 1 / 12, rel=0.03)
    dark = expose(np.zeros((50, 50)), Optics(offset=0.0), np.random.default_rng(0))
    assert dark.dtype == np.uint16
    assert dark.max() < 100  # nothing wraps around below zero


def test_our_reader_takes_pixel_size_and_interval_from_the_movie(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    assert render_movie(_tracks(), path, 81, 80) == 12
    with Stack(path) as stack:
        assert (stack.n_frames, stack.height, stack.width) == (12, 80, 81)
        assert stack.units.pixel_size_um == pytest.approx(PIXEL, rel=1e-6)
        assert stack.units.frame_interval_s == pytest.approx(INTERVAL)
        assert "ImageJ" in stack.format
        assert not stack.notes
    assert tifffile.imread(path).dtype == np.uint16


def test_tracking_the_movie_gives_the_tracks_back(tmp_path: Path) -> None:
    tracks = _tracks(n=16, n_frames=25, spacing=24)
    render_movie(tracks, tmp_path / "m.tif", 120, 120, Optics(photons=2000), seed=1)
    # mirrored, a regular grid falls on itself, which the estimate of the range takes for chance
    found = track_stack(tmp_path / "m.tif", search_range=5)
    assert found.n_tracks == 16
    assert found.calibration.length_unit == "um"
    assert found.calibration.frame_interval_s == pytest.approx(INTERVAL)
    errors = []
    for _, track in found.table.groupby("particle"):
        assert len(track) == 25
        _, near = KDTree(tracks.table.loc[tracks.table["frame"] == 0, ["x", "y"]]).query(
            track[["x", "y"]].to_numpy()[0]
        )
        truth = tracks.table.loc[tracks.table["particle"] == near, ["x", "y"]].to_numpy()
        errors.append((track[["x", "y"]].to_numpy() - truth) / PIXEL)
    error = np.concatenate(errors)
    # shot noise alone leaves about 0.05 px (Thompson et al. 2002); no offset of half a pixel
    assert np.sqrt((error**2).mean()) < 0.1
    assert np.abs(error.mean(axis=0)).max() < 0.02


def test_a_particle_is_not_seen_where_it_has_no_position_or_a_filled_one(tmp_path: Path) -> None:
    tracks = _tracks(n=1, n_frames=6)
    table = tracks.table
    table["filled"] = table["frame"] == 2
    gappy = Tracks(table[table["frame"] != 4], tracks.calibration, tracks.source)
    render_movie(gappy, tmp_path / "m.tif", 40, 40, Optics(background=0, read_noise=0))
    light = tifffile.imread(tmp_path / "m.tif").astype(float) - 100
    photons = light.sum(axis=(1, 2)) / 2
    assert list(photons > 300) == [True, True, False, True, False, True]
    assert photons[[2, 4]].tolist() == [0, 0]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    heard = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        render_movie(
            _tracks(), tmp_path / name, 80, 80, seed=seed,
            progress=lambda done, total: heard.append((done, total)),
        )  # fmt: skip
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert heard[11] == (12, 12)


def test_absurd_movies_are_refused() -> None:
    check_movie(100, 1000, 1000)
    with pytest.raises(SptError, match=r"at most 8,192 px a side .* fewer tracks="):
        check_movie(2, 100_000, 10)
    with pytest.raises(SptError, match=r"would take 4\.0 GB \(2,000 frames of 1,000 × 1,001 px\)"):
        check_movie(MAX_BYTES // 2_000_000, 1000, 1001)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"photons": 1e6}, "the middle of a spot would have a grey value of"),
        ({"photons": 0}, "photons=0: expected a number"),
        ({"spot_sigma_px": float("nan")}, "expected a number, 0.3 to 50 (pixels)"),
        ({"background": -1}, "background=-1"),
        ({"read_noise": -1}, "read_noise="),
        ({"gain": 0}, "gain="),
        ({"offset": -5}, "offset="),
    ],
)
def test_optics_that_cannot_be_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(SptError) as refused:
        Optics(**settings)
    assert said in str(refused.value)


def test_tracks_without_a_pixel_size_have_no_place_in_a_movie(tmp_path: Path) -> None:
    tracks = _tracks()
    bare = Tracks(tracks.table, Calibration(), tracks.source)
    with pytest.raises(ValueError, match="pixel size"):
        render_movie(bare, tmp_path / "m.tif", 80, 80)
