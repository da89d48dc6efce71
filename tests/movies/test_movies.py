import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy.spatial import KDTree

from spt_explain.errors import SptError
from spt_explain.movies import is_stack, track_stack
from spt_explain.tracks.table import Tracks

Render = Callable[..., tuple[np.ndarray, np.ndarray]]


def _lengths(tracks: Tracks) -> pd.Series:
    return tracks.table.groupby("particle").size()


@pytest.fixture(scope="module")
def movie(render: Render, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    frames, truth = render(height=200.0)
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path, truth


@pytest.fixture(scope="module")
def tracks(movie: tuple[Path, np.ndarray]) -> Tracks:
    return track_stack(movie[0])


@pytest.fixture(scope="module")
def short(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie of 6 frames, for what does not depend on how long it is."""
    frames, _ = render(n_frames=6, height=200.0)
    path = tmp_path_factory.mktemp("short") / "movie.tif"
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path


@pytest.fixture(scope="module")
def faketracks(shared_stacks: Path) -> Tracks:
    return track_stack(shared_stacks / "faketracks.tif")


def test_every_particle_is_one_track_where_it_was(
    movie: tuple[Path, np.ndarray], tracks: Tracks
) -> None:
    truth = movie[1]
    assert tracks.n_tracks == truth.shape[1]
    assert (_lengths(tracks) == len(truth)).all()
    for _, track in tracks.table.groupby("particle"):
        error = np.linalg.norm(truth - track[["y", "x"]].to_numpy()[:, None], axis=2)
        assert np.sqrt((error**2).mean(axis=0)).min() < 0.2


def test_the_table_is_what_the_contract_says(tracks: Tracks) -> None:
    table = tracks.table
    columns = ["particle", "frame", "x", "y", "x_px", "y_px", "mass", "sigma_static"]
    assert list(table.columns) == columns
    assert [str(t) for t in table.dtypes] == ["int64"] * 2 + ["float64"] * 6
    pd.testing.assert_frame_equal(
        table, table.sort_values(["particle", "frame"], ignore_index=True)
    )
    assert not table.duplicated(["particle", "frame"]).any()
    assert tracks.calibration.length_unit == "px"
    assert tracks.calibration.length_source == "not given"


def test_every_parameter_is_said_with_its_reason(tracks: Tracks) -> None:
    notes = " ".join(tracks.source.notes)
    for word in ("diameter 7 px (the ", "minmass ", "search range ", "trackpy", "spots in 20"):
        assert word in notes
    assert tracks.source.counts["frames"] == 20
    assert tracks.source.counts["spots"] == len(tracks.table)
    assert "ImageJ TIFF" in tracks.source.format


def test_given_parameters_are_used_and_said(movie: tuple[Path, np.ndarray]) -> None:
    tracks = track_stack(movie[0], diameter=9, minmass=500, search_range=4.5, memory=2, dark=False)
    notes = " ".join(tracks.source.notes)
    for said in ("diameter 9 px (given)", "minmass 500 (given)", "range 4.5 px (given)"):
        assert said in notes
    assert "memory 2 frames (given)" in notes


def test_the_same_movie_gives_the_same_tracks_and_positions_are_scaled_once(short: Path) -> None:
    tracks = track_stack(short)
    pd.testing.assert_frame_equal(track_stack(short).table, tracks.table)
    scaled = track_stack(short, pixel_size_um=0.5, frame_interval_s=0.02)
    np.testing.assert_allclose(scaled.table[["x", "y"]], 0.5 * tracks.table[["x", "y"]])
    assert scaled.calibration.length_unit == "um"
    assert scaled.calibration.pixel_size_um == 0.5
    assert scaled.calibration.frame_interval_s == 0.02


def test_pixel_size_of_the_file_and_its_override(render: Render, tmp_path: Path) -> None:
    frames, _ = render(n_frames=3, side=64)
    path = tmp_path / "m.tif"
    metadata = {"axes": "TYX", "unit": "micron", "finterval": 0.05}
    tifffile.imwrite(path, frames, imagej=True, resolution=(4, 4), metadata=metadata)
    kept = track_stack(path, pixel_size_um=0.5)
    assert kept.calibration.pixel_size_um == 0.25
    assert "ImageJ unit=micron" in kept.calibration.length_source
    assert any("was ignored" in note for note in kept.source.notes)
    forced = track_stack(path, pixel_size_um=0.5, override_units=True)
    np.testing.assert_allclose(forced.table["x"], 2 * kept.table["x"])
    assert forced.calibration.frame_interval_s == 0.05


def test_progress_counts_every_frame(movie: tuple[Path, np.ndarray]) -> None:
    seen: list[tuple[int, int]] = []
    track_stack(movie[0], diameter=7, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(k, 20) for k in range(1, 21)]


def test_dark_spots_are_noticed_and_said(render: Render, tmp_path: Path) -> None:
    frames, truth = render(dark=True, height=150.0, n_frames=6)
    tifffile.imwrite(tmp_path / "m.tif", frames)
    tracks = track_stack(tmp_path / "m.tif")
    assert tracks.n_tracks == truth.shape[1]
    assert any("dark spots on a brighter" in note for note in tracks.source.notes)


def test_a_movie_without_noise(render: Render, tmp_path: Path) -> None:
    frames, truth = render(noise=0.0, n_frames=6)
    tifffile.imwrite(tmp_path / "m.tif", frames - 300)
    tracks = track_stack(tmp_path / "m.tif")
    assert tracks.n_tracks == truth.shape[1]
    assert (_lengths(tracks) == 6).all()


def test_blank_frames_are_counted_and_bridged(render: Render, tmp_path: Path) -> None:
    frames, truth = render(n_frames=8, height=200.0)
    frames[4] = 0
    tifffile.imwrite(tmp_path / "m.tif", frames)
    tracks = track_stack(tmp_path / "m.tif")
    assert tracks.source.counts["blank_frames"] == 1
    assert tracks.n_tracks == truth.shape[1]
    assert any("memory 1 frame (25 tracks resume" in note for note in tracks.source.notes)
    assert track_stack(tmp_path / "m.tif", memory=0).n_tracks == 2 * truth.shape[1]
    assert any("1 of 8 frames are blank" in note for note in tracks.source.notes)


def test_saturated_spots_are_said(render: Render, tmp_path: Path) -> None:
    frames, _ = render(n_frames=4, height=200.0)
    frames = np.minimum(frames - 200, 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", frames, photometric="minisblack")
    tracks = track_stack(tmp_path / "m.tif")
    assert tracks.source.counts["saturated_spots"] > 0
    assert any("saturated" in note for note in tracks.source.notes)


def _noisy(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((5, 64, 64), np.uint16), "is blank"),
        (np.full((5, 64, 64), 412, np.uint16), "is blank"),
        (np.full((5, 64, 64), 255, np.uint8), "is saturated: every pixel"),
        (np.minimum(_noisy((5, 64, 64)), 100), "is saturated: 6"),
        (np.where(_noisy((5, 64, 64)) > 120, 4095, 90).astype(np.uint16), "is saturated: 5"),
        (_noisy((5, 5, 5)), "too small"),
        (_noisy((64, 64)), "one frame"),
        (np.full((3, 64, 64), np.nan, np.float32), "is blank"),
    ],
)
def test_movies_that_can_not_be_tracked(frames: np.ndarray, message: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", frames, photometric="minisblack")
    with pytest.raises(SptError, match=message) as caught:
        track_stack(tmp_path / "m.tif")
    assert len(str(caught.value).splitlines()) == 1


def test_no_spots_names_what_was_tried(short: Path) -> None:
    with pytest.raises(SptError, match=r" 6 frames for bright ones of diameter 7 px and mass 1e\+"):
        track_stack(short, diameter=7, minmass=1e9)


def test_options_are_checked_before_the_file(tmp_path: Path) -> None:
    with pytest.raises(SptError, match="odd"):
        track_stack(tmp_path / "absent.tif", diameter=8)
    with pytest.raises(SptError, match="pixel_size_um="):
        track_stack(tmp_path / "absent.tif", pixel_size_um=-1)


def test_nothing_is_printed_warned_or_logged(
    short: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("trackpy")
    before = (logger.level, logger.propagate, logger.handlers[:])
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        track_stack(short, diameter=7)
    assert capfd.readouterr() == ("", "")
    assert caught == []
    assert [r.name for r in caplog.records if r.name.startswith(("trackpy", "tifffile"))] == []
    assert (logger.level, logger.propagate, logger.handlers[:]) == before


def test_faketracks_agrees_with_trackmate(
    faketracks: Tracks, shared_stacks: Path, shared_tracks: Path
) -> None:
    assert is_stack((shared_stacks / "faketracks.tif").read_bytes()[:8])
    tracks = faketracks
    root = ElementTree.parse(shared_tracks / "faketracks-trackmate-v7.6-full.xml").getroot()
    names = ("FRAME", "POSITION_X", "POSITION_Y")
    theirs = np.array([[float(s.attrib[k]) for k in names] for s in root.iter("Spot")])
    # Frames apart by more than any distance, so that spots match within their frame only.
    mine = tracks.table[["frame", "x", "y"]].to_numpy(float) * [1e4, 1, 1]
    distance, match = KDTree(mine).query(theirs * [1e4, 1, 1])
    assert len(theirs) == 84
    assert np.mean(distance < 1) >= 0.95
    assert np.median(distance) < 0.1
    ids = {s.attrib["ID"]: k for k, s in enumerate(root.iter("Spot"))}
    particle = tracks.table["particle"].to_numpy()[match]
    edges = [
        (ids[e.attrib["SPOT_SOURCE_ID"]], ids[e.attrib["SPOT_TARGET_ID"]])
        for e in root.iter("Edge")
    ]
    near = [(a, b) for a, b in edges if theirs[b, 0] - theirs[a, 0] == 1]
    assert np.mean([particle[a] == particle[b] for a, b in near]) >= 0.9
    assert any("exactly 1 s" in note for note in tracks.source.notes)


def test_faketracks_agrees_with_another_run_of_trackpy(
    faketracks: Tracks, shared_tracks: Path
) -> None:
    table = faketracks.table
    theirs = pd.read_csv(shared_tracks / "faketracks-trackpy.csv")
    scale = [1e4, 1, 1]
    mine = table[["frame", "x", "y"]].to_numpy(float) * scale
    distance, _ = KDTree(mine).query(theirs[["frame", "x", "y"]].to_numpy(float) * scale)
    assert abs(len(table) - len(theirs)) <= 0.05 * len(theirs)
    assert np.mean(distance < 0.5) >= 0.95


def test_lipids_in_a_float_stack_with_negatives(shared_stacks: Path) -> None:
    """The average of the movie shows seven lipids; blinking cuts some of them into pieces."""
    tracks = track_stack(shared_stacks / "lipids-slb-float32.tif")
    lengths = _lengths(tracks)
    assert 7 <= (lengths >= 5).sum() <= 16
    assert lengths.max() >= 20
    assert lengths[lengths >= 5].sum() >= 80


@pytest.mark.parametrize(
    ("name", "axis", "n_tracks"),
    [("plain-tiff-qyx.tif", "Z 5", (35, 50)), ("faketracks-5frames-zyx.tif", "Z 5", (3, 3))],
)
def test_slices_are_taken_as_time_and_said(
    name: str, axis: str, n_tracks: tuple[int, int], shared_stacks: Path
) -> None:
    tracks = track_stack(shared_stacks / name)
    assert n_tracks[0] <= (_lengths(tracks) == 5).sum() <= n_tracks[1]
    assert axis in tracks.source.format
    assert any("taken as time" in note for note in tracks.source.notes)


def test_colloids_in_water_diffuse_as_physics_says(shared_stacks: Path, tmp_path: Path) -> None:
    """Spheres of 1 µm in water at 20-25 °C: Stokes and Einstein give 0.43 to 0.49 µm²/s."""
    frames = tifffile.imread(shared_stacks / "bulk-water-brownian.tif")[:30]
    tifffile.imwrite(tmp_path / "m.tif", frames, imagej=True, metadata={"axes": "TYX"})
    tracks = track_stack(tmp_path / "m.tif", pixel_size_um=1 / 2.85, frame_interval_s=1 / 24)
    assert any("dark spots" in note for note in tracks.source.notes)
    lengths = _lengths(tracks)
    whole = tracks.table[tracks.table["particle"].isin(lengths.index[lengths == 30])]
    assert len(whole) // 30 > 50
    x, y = (whole[axis].to_numpy().reshape(-1, 30) for axis in "xy")
    # The sample drifts: what all particles do together is taken off.
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    msd = {k: np.mean((x[:, k:] - x[:, :-k]) ** 2 + (y[:, k:] - y[:, :-k]) ** 2) for k in (2, 6)}
    # The difference of two lags is free of localisation error and of motion blur.
    d_um2_s = (msd[6] - msd[2]) / (4 * 4 / 24)
    assert d_um2_s == pytest.approx(0.43, rel=0.3)
