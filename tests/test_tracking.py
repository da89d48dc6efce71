import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

import spt_explain as spt
from spt_explain import tracking
from spt_explain.errors import SptError
from spt_explain.movies import TrackingSettings, track_movie
from spt_explain.movies.parameter_file import read_parameters
from spt_explain.tracking import TrackListener, track_files

HOMES = np.array([(14.0, 14.0), (14.0, 44.0), (44.0, 14.0), (44.0, 44.0)])


def movie(path, n_frames=14, seed=0, calibrated=True, axes="TYX"):
    """Write four spots that wander, and return where they were: (frame, spot, (y, x))."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:60, :60]
    truth = HOMES + rng.normal(0, 0.5, (n_frames, 4, 2)).cumsum(axis=0)
    frames = rng.normal(100, 4, (n_frames, 60, 60))
    for frame, spots in zip(frames, truth, strict=True):
        for v, u in spots:
            frame += 300 * np.exp(-((y - v) ** 2 + (x - u) ** 2) / 4.5)
    units = {"unit": "um", "finterval": 0.05, "tunit": "s"} if calibrated else {}
    path.parent.mkdir(exist_ok=True, parents=True)
    tifffile.imwrite(
        path, frames.astype(np.uint16), imagej=True, metadata={"axes": axes, **units},
        resolution=(8.0, 8.0) if calibrated else (1.0, 1.0),
    )  # fmt: skip
    return truth


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def sidecar(path):
    return json.loads(Path(path).read_text("utf-8"))


def test_a_movie_gives_a_table_that_is_read_back_with_its_units(here):
    truth = movie(here / "m.tif")
    (result,), stdout = track_files(["m.tif"])
    assert result.done
    assert stdout == b""
    assert [path.name for path in result.outputs] == [
        "m.tracks.csv", "m.tracks.json", "m.tracking.toml",
    ]  # fmt: skip
    assert listed(here) == sorted(["m.tif", *(path.name for path in result.outputs)])
    tracks = spt.read_tracks("m.tracks.csv")
    assert tracks.calibration.length_unit == "um"
    assert tracks.calibration.pixel_size_um == pytest.approx(0.125)
    assert tracks.calibration.frame_interval_s == pytest.approx(0.05)
    assert tracks.n_tracks == 4
    assert len(tracks.table) == 14 * 4
    for spot in range(4):
        path = truth[:, spot, ::-1] * 0.125
        away = [
            np.abs(rows[["x", "y"]].to_numpy() - path).max()
            for _, rows in tracks.table.groupby("particle")
        ]
        assert min(away) < 0.5 * 0.125


def test_the_table_holds_positions_in_the_movie_too(here):
    movie(here / "m.tif")
    track_files(["m.tif"])
    table = pd.read_csv("m.tracks.csv")
    assert list(table.columns[:8]) == [
        "particle", "frame", "t [s]", "x [µm]", "y [µm]", "x_px", "y_px", "mass",
    ]  # fmt: skip
    assert np.allclose(table["x [µm]"], 0.125 * table["x_px"])
    tracked = track_movie("m.tif").tracks.table
    assert np.array_equal(table["mass"], tracked["mass"])


def test_pixels_are_read_back_as_pixels(here):
    movie(here / "m.tif", calibrated=False)
    track_files(["m.tif"])
    tracks = spt.read_tracks("m.tracks.csv")
    assert tracks.calibration.length_unit == "px"
    assert tracks.calibration.frame_interval_s is None
    assert tracks.n_tracks == 4
    tracks = spt.read_tracks("m.tracks.csv", pixel_size_um=0.2)
    assert tracks.table["x"].max() == pytest.approx(0.2 * pd.read_csv("m.tracks.csv")["x_px"].max())


def test_the_parameter_file_reproduces_the_run(here):
    movie(here / "m.tif")
    track_files(["m.tif"])
    settings = read_parameters("m.tracking.toml")
    assert None not in (settings.diameter, settings.minmass, settings.search_range, settings.memory)
    assert settings.dark is not None
    (again,), _ = track_files(["m.tif"], settings, output="again.csv")
    assert (here / "again.csv").read_bytes() == (here / "m.tracks.csv").read_bytes()
    assert again.report["settings"] == sidecar("m.tracks.json")["inputs"][0]["settings"]
    assert read_parameters("again.tracking.toml") == settings


def test_the_sidecar_says_how_it_was_made(here):
    movie(here / "m.tif")
    track_files(
        ["m.tif"], TrackingSettings(diameter=9), pixel_size_um=0.2, override_units=True,
        command=["spt-explain", "track", "m.tif"],
    )  # fmt: skip
    made = sidecar("m.tracks.json")
    assert made["version"] == spt.__version__
    assert made["command"] == ["spt-explain", "track", "m.tif"]
    assert made["given"] == {"diameter": 9, "pixel_size_um": 0.2, "override_units": True}
    assert set(made["libraries"]) >= {"trackpy", "scipy", "tifffile"}
    (one,) = made["inputs"]
    assert one["settings"]["diameter"] == 9
    assert isinstance(one["settings"]["dark"], bool)
    assert one["reasons"]["minmass"]
    assert one["spots"] == 56
    assert one["tracks"] == one["tracks_of_10_points"] == 4
    assert one["points"] == {"median": 14.0, "most": 14}
    assert one["spots_per_frame"] == {
        "mean": 4.0, "median": 4.0, "least": 4, "most": 4, "densest_frame": 0, "frames_without": 0,
    }  # fmt: skip
    assert one["pixel_size_um"] == 0.2
    assert "pixel_size_um=0.2" in one["length_source"]
    assert len(one["sha256"]) == 64
    assert "pixel_size_um=0.2 override_units=True" in (here / "m.tracking.toml").read_text("utf-8")


def test_notes_do_not_repeat_parameters_and_counts(here):
    movie(here / "m.tif", axes="ZYX")
    (result,), _ = track_files(["m.tif"])
    said = " ".join(result.notes)
    assert "time axis" in said
    for word in ("diameter", "minmass", "search range", "memory", "joined to"):
        assert word not in said
        assert word in " ".join(result.report["notes"])


def test_preview_and_trackmate_beside_the_table(here):
    movie(here / "m.tif")
    (result,), _ = track_files(["m.tif"], preview=True, trackmate="tm.xml")
    assert not result.problems
    assert (here / "m.preview.png").read_bytes().startswith(b"\x89PNG")
    tracks = spt.read_tracks("tm.xml")
    assert tracks.n_tracks == 4
    assert len(tracks.table) == 56


def test_a_picture_that_fails_does_not_lose_the_table(here, monkeypatch):
    movie(here / "m.tif")

    def fail(*_):
        raise SptError("the movie is gone.")

    monkeypatch.setattr(tracking, "frames_of", fail)
    (result,), _ = track_files(["m.tif"], preview=True)
    assert result.done
    assert [str(problem) for problem in result.problems] == ["the movie is gone."]
    assert listed(here) == ["m.tif", "m.tracking.toml", "m.tracks.csv", "m.tracks.json"]


def test_preview_only_tracks_nothing(here, monkeypatch):
    movie(here / "m.tif")
    monkeypatch.setattr(tracking, "track_movie", None)
    (result,), _ = track_files(["m.tif"], TrackingSettings(minmass=300.0), preview_only=True)
    assert listed(here) == ["m.preview.png", "m.tif"]
    assert result.report["settings"]["minmass"] == 300.0
    assert result.report["spots_in"] == {"0": 4, "7": 4}


def test_preview_only_of_a_movie_without_spots_says_so_in_the_picture(here):
    movie(here / "m.tif")
    (result,), _ = track_files(["m.tif"], TrackingSettings(minmass=1e9), preview_only=True)
    assert result.report["spots_in"] == {"0": 0, "7": 0}


def test_one_that_fails_does_not_stop_the_others(here):
    movie(here / "in" / "a.tif")
    (here / "in" / "b.tif").write_bytes(b"II*\x00broken")
    movie(here / "in" / "c.tif", seed=1)
    results, _ = track_files(["in/a.tif", "in/b.tif", "in/c.tif"], output="out/")
    assert [result.done for result in results] == [True, False, True]
    assert results[1].failed
    assert "b.tif" in str(results[1].error)
    assert listed(here / "out") == sorted(
        f"{name}.{end}" for name in "ac" for end in ("tracks.csv", "tracks.json", "tracking.toml")
    )


def test_if_all_fail_it_is_an_error_and_no_folder_is_left(here):
    for name in "ab":
        (here / f"{name}.tif").write_bytes(b"II*\x00broken")
    with pytest.raises(SptError, match="none of 2 files could be tracked"):
        track_files(["a.tif", "b.tif"], output="out/")
    assert listed(here) == ["a.tif", "b.tif"]


def test_what_is_no_movie_in_a_folder_is_listed(here):
    movie(here / "in" / "a.tif")
    (here / "in" / "notes.txt").write_text("hello")
    results, _ = track_files(["in"])
    assert [(Path(r.name).name, r.done, r.skipped) for r in results] == [
        ("a.tif", True, False), ("notes.txt", False, True),
    ]  # fmt: skip
    assert not any(result.failed for result in results)
    # our own results are no input of a second run
    results, _ = track_files(["in"], overwrite=True)
    assert [Path(r.name).name for r in results] == ["a.tif", "notes.txt"]


def test_single_frames_in_a_folder_are_one_movie(here):
    movie(here / "m.tif")
    (here / "frames").mkdir()
    for index, frame in enumerate(tifffile.imread("m.tif")):
        tifffile.imwrite(here / "frames" / f"f{index}.tif", frame)
    (result,), _ = track_files(["frames"])
    assert result.outputs[0].name == "frames.tracks.csv"
    assert result.report["spots"] == 56
    (one,) = sidecar("frames.tracks.json")["inputs"]
    assert [Path(file).name for file in one["files"]] == [f"f{k}.tif" for k in range(14)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pixel_size_um": -1.0}, "pixel"),
        ({"jobs": 0}, "jobs="),
        ({"output": "no/m.csv"}, "is not there"),
        ({"output": "m.tif.csv", "trackmate": "no/x.xml"}, "is not there"),
    ],
)
def test_what_cannot_be_is_refused_before_work(here, monkeypatch, options, said):
    movie(here / "m.tif")
    monkeypatch.setattr(tracking, "track_movie", None)
    with pytest.raises(SptError, match=said):
        track_files(["m.tif"], **options)
    assert listed(here) == ["m.tif"]


def test_nothing_is_written_over(here, monkeypatch):
    movie(here / "m.tif")
    for name in ("m.tracks.csv", "m.tracks.json", "m.tracking.toml", "m.preview.png"):
        (here / name).write_text("mine")
        with pytest.raises(SptError, match=r"exists and is not written over"):
            track_files(["m.tif"], preview=True)
        (here / name).unlink()
    with pytest.raises(SptError, match="one of the inputs"):
        track_files(["m.tif"], preview_only=True, output="m.tif.png", trackmate=None,
                    read_from="m.tif.png", overwrite=True)  # fmt: skip
    with pytest.raises(SptError, match="standard input"):
        track_files(["-"])


def test_a_parameter_file_that_was_read_stays_as_it_is(here):
    movie(here / "m.tif")
    text = '# mine\n[spots]\ndiameter = 9\nminmass = "auto"\n'
    (here / "m.tracking.toml").write_text(text)
    (result,), _ = track_files(
        ["m.tif"], read_parameters("m.tracking.toml"), read_from="m.tracking.toml"
    )  # fmt: skip
    assert (here / "m.tracking.toml").read_text() == text
    assert result.report["settings"]["diameter"] == 9
    assert "stays as it is" in " ".join(result.notes)
    assert sidecar("m.tracks.json")["given"] == {"parameters": "m.tracking.toml", "diameter": 9}


def test_an_interruption_leaves_what_is_whole_and_nothing_else(here, monkeypatch):
    for name in "ab":
        movie(here / f"{name}.tif")
    real = track_movie

    def interrupted(source, *rest, **options):
        if str(source).endswith("b.tif"):
            raise KeyboardInterrupt
        return real(source, *rest, **options)

    monkeypatch.setattr(tracking, "track_movie", interrupted)
    with pytest.raises(KeyboardInterrupt):
        track_files(["a.tif", "b.tif"], output="out/")
    assert listed(here / "out") == ["a.tracking.toml", "a.tracks.csv", "a.tracks.json"]
    (here / "b.tif").unlink()


def test_standard_output_and_json(here):
    movie(here / "m.tif")
    _, stdout = track_files(["m.tif"], output="-")
    assert listed(here) == ["m.tif"]
    track_files(["m.tif"])
    assert stdout == (here / "m.tracks.csv").read_bytes()
    track_files(["m.tif"], output="j.json")
    document = sidecar("j.json")
    assert len(document["tracks"]) == 56
    assert document["provenance"]["inputs"][0]["spots"] == 56
    track_files(["m.tif"], fmt="parquet", overwrite=True)
    assert len(pd.read_parquet("m.tracks.parquet")) == 56


def test_the_listener_hears_how_far_it_is(here):
    movie(here / "m.tif")
    heard = []

    class Ear(TrackListener):
        def located(self, done, total, spots):
            heard.append((done, total))

        def tracked(self, result):
            heard.append(result.name)

    track_files(["m.tif"], listener=Ear())
    assert heard[-1] == "m.tif"
    assert heard[-2] == (14, 14)
    assert [done for done, _ in heard[:-1]] == sorted(done for done, _ in heard[:-1])


def test_names_that_are_not_utf8(here):
    import os

    name = os.fsdecode(b"caf\xe9.tif")
    try:
        (here / name).touch()
    except (OSError, UnicodeError):
        pytest.skip("file names are always UTF-8 here")
    (here / name).unlink()
    movie(here / "m.tif")
    (here / "m.tif").rename(here / name)
    (result,), _ = track_files([name], preview=True)
    assert result.name == r"caf\xe9.tif"
    assert (here / os.fsdecode(b"caf\xe9.tracks.csv")).is_file()
    assert not result.problems


def test_of_what_is_written_only_the_table_is_read_with_the_folder(here):
    from spt_explain.readers import find_inputs

    movie(here / "m.tif")
    track_files(["m.tif"], preview=True, trackmate="./")
    assert "m.trackmate.xml" in listed(here)
    assert [Path(one.name).name for one in find_inputs(["."])] == ["m.tif", "m.tracks.csv"]
