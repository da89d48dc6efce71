import json

import numpy as np
import pytest
import tifffile

from spt_explain import tracking
from spt_explain.cli.track import command
from spt_explain.errors import SptError
from spt_explain.movies import TrackingSettings
from spt_explain.movies.parameter_file import read_parameters, write_parameters

HOMES = np.array([(14.0, 14.0), (14.0, 34.0), (34.0, 14.0), (34.0, 34.0)])


def movie(path, n_frames=12, calibrated=True, dark=False):
    """Write four spots that wander."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    truth = HOMES + rng.normal(0, 0.4, (n_frames, 4, 2)).cumsum(axis=0)
    frames = rng.normal(1000, 4, (n_frames, 48, 48))
    for frame, spots in zip(frames, truth, strict=True):
        for v, u in spots:
            spot = 300 * np.exp(-((y - v) ** 2 + (x - u) ** 2) / 4.5)
            frame += -spot if dark else spot
    units = {"unit": "um", "finterval": 0.05, "tunit": "s"} if calibrated else {}
    tifffile.imwrite(
        path, frames.astype(np.uint16), imagej=True, metadata={"axes": "TYX", **units},
        resolution=(8.0, 8.0) if calibrated else (1.0, 1.0),
    )  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / ".home"))
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    """What the library was asked for; nothing is tracked."""
    calls = {}

    def fake(names, settings, **options):
        calls.update(options, names=names, settings=settings)
        return [], b""

    monkeypatch.setattr(tracking, "track_files", fake)
    return calls


def listed(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_what_a_run_says(run, here):
    movie(here / "m.tif")
    done = run("track", "m.tif")
    assert done.code == 0
    assert not done.out
    lines = done.err.splitlines()
    assert lines[0].startswith("m.tif  ImageJ TIFF stack")
    assert "µm (file: ImageJ" in lines[0]
    assert "0.05 s a frame" in lines[0]
    for word in ("diameter", "minmass", "search range", "memory", "spots"):
        (line,) = [one for one in lines if one.startswith(f"  {word} ")]
        assert len(line.split()) > 3  # a value, and why
    assert "48 spots in 12 frames (4 a frame) · 4 tracks · median length 12 points" in done.err
    assert "4 of 10 points or more" in done.err
    assert lines[-1] == "→ m.tracks.csv, m.tracks.json, m.tracking.toml"
    assert listed(here) == ["m.tif", "m.tracking.toml", "m.tracks.csv", "m.tracks.json"]


def test_the_table_is_classified_without_any_option(run, here):
    movie(here / "m.tif")
    assert run("track", "m.tif", "--quiet").err == ""
    done = run("classify", "m.tracks.csv", "--device", "cpu", "--json", "--quiet",
               "--weights", "resandi-small")  # fmt: skip
    assert done.code == 0
    (report,) = json.loads(done.out)["files"]
    assert report["tracks"] == 4
    assert report["length_unit"] == "um"
    assert report["frame_interval_s"] == pytest.approx(0.05)


def test_units_that_are_missing_are_asked_for_and_taken(run, here):
    movie(here / "m.tif", calibrated=False)
    done = run("track", "m.tif")
    assert "give --pixel-size-um and --frame-interval-s" in done.err
    done = run("track", "m.tif", "--pixel-size-um", "0.1", "--frame-interval-s", "0.02",
               "--overwrite")  # fmt: skip
    assert "µm (--pixel-size-um 0.1)" in done.err
    header, first = (here / "m.tracks.csv").read_text("utf-8").splitlines()[:2]
    assert header.startswith("particle,frame,t [s],x [µm],y [µm],x_px,y_px,mass")
    values = dict(zip(header.split(","), first.split(","), strict=True))
    assert float(values["x [µm]"]) == pytest.approx(0.1 * float(values["x_px"]))


def test_every_option_reaches_the_library(run, asked):
    done = run(
        "track", "a.tif", "b.tif", "--channel", "2", "--z", "3", "--diameter", "9", "--minmass",
        "120.5", "--search-range", "4", "--memory", "2", "--dark", "--drift", "--pixel-size-um",
        "0.1", "--frame-interval-s", "0.02", "--override-units", "--preview", "--trackmate",
        "xml/", "--jobs", "3", "-o", "out/", "--format", "parquet", "--overwrite",
    )  # fmt: skip
    assert done.code == 0
    assert asked["names"] == ("a.tif", "b.tif")
    assert asked["settings"] == TrackingSettings(
        channel=2, z=3, diameter=9, minmass=120.5, search_range=4.0, memory=2, dark=True, drift=True
    )
    expected = {
        "pixel_size_um": 0.1, "frame_interval_s": 0.02, "override_units": True, "preview": True,
        "preview_only": False, "trackmate": "xml/", "jobs": 3, "output": "out/",
        "fmt": "parquet", "overwrite": True, "read_from": None,
    }  # fmt: skip
    assert {name: asked[name] for name in expected} == expected


def test_nothing_given_leaves_all_to_the_movie(run, asked):
    assert run("track", "a.tif").code == 0
    assert asked["settings"] == TrackingSettings()
    assert run("track", "a.tif", "--diameter", "AUTO", "--z", "Mean", "--bright").code == 0
    assert asked["settings"] == TrackingSettings(z="mean", dark=False)


def test_options_beside_a_parameter_file_count_more(run, here, asked):
    file = TrackingSettings(
        channel=2, z="mean", diameter=9, minmass=50.0, search_range=5.0, memory=3, dark=True,
        peak=4.0, adaptive=False, drift=True,
    )  # fmt: skip
    (here / "p.toml").write_text(write_parameters(file), "utf-8")
    assert run("track", "a.tif", "--parameters", "p.toml").code == 0
    assert asked["settings"] == file
    assert asked["read_from"] == "p.toml"
    assert run("track", "a.tif", "--parameters", "p.toml", "--minmass", "auto", "--z", "max",
               "--bright", "--no-drift").code == 0  # fmt: skip
    assert asked["settings"] == TrackingSettings(
        channel=2, z="max", diameter=9, minmass=None, search_range=5.0, memory=3, dark=False,
        peak=None, adaptive=False, drift=False,
    )  # fmt: skip


def test_the_parameter_file_reproduces_the_run(run, here):
    movie(here / "m.tif")
    assert run("track", "m.tif", "--diameter", "9", "--memory", "1").code == 0
    assert run("track", "m.tif", "--parameters", "m.tracking.toml", "-o", "b.csv").code == 0
    assert (here / "b.csv").read_bytes() == (here / "m.tracks.csv").read_bytes()
    assert read_parameters("b.tracking.toml") == read_parameters("m.tracking.toml")
    assert read_parameters("b.tracking.toml").diameter == 9


@pytest.mark.parametrize("option", ["--diameter", "--memory", "--minmass", "--search-range", "--z"])
def test_a_value_that_is_no_number(run, asked, option):
    done = run("track", "a.tif", option, "x")
    assert done.code == 2
    assert done.err.startswith(f"Error: {option} x: expected ")
    assert not asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.tif"], "was not found"),
        (["m.tif", "--json", "-o", "-"], "--json and -o -"),
        (["m.tif", "--diameter", "6"], "odd"),
        (["m.tif", "--minmass", "nan"], "minmass"),
        (["m.tif", "--minmass", "1e12"], "No spots were found"),
        (["m.tif", "--parameters", "no.toml"], "was not found"),
        (["m.tif", "--parameters", "m.tif"], "can't be read as a parameter file"),
        (["m.tif", "--channel", "5"], "channel"),
        (["m.tif", "--preview-only", "--trackmate", "x.xml"], "--trackmate"),
        (["text.tif"], "text.tif"),
    ],
)
def test_errors_are_short_and_leave_nothing(run, here, arguments, said):
    movie(here / "m.tif")
    (here / "text.tif").write_text("frame,x,y\n")
    done = run("track", *arguments)
    assert done.code == 2
    (line, *more) = done.err.splitlines()
    assert line.startswith("Error: ")
    assert len(more) <= 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert listed(here) == ["m.tif", "text.tif"]


def test_several_movies(run, here):
    for name in "ab":
        movie(here / f"{name}.tif")
    (here / "c.tif").write_bytes(b"II*\x00broken")
    (here / "notes.txt").write_text("hello")
    done = run("track", ".", "-o", "out/", "--json")
    assert done.code == 3
    summary = json.loads(done.out)
    assert summary["exit_code"] == 3
    assert [one["name"] for one in summary["files"]] == ["a.tif", "b.tif"]
    assert summary["files"][0]["outputs"][0].endswith("a.tracks.csv")
    assert summary["files"][0]["tracks"] == 4
    assert [one["name"] for one in summary["failed"]] == ["c.tif"]
    assert [one["name"] for one in summary["skipped"]] == ["notes.txt"]
    assert "1 of 4 files failed: c.tif" in done.err
    assert "no movies, left out: notes.txt" in done.err


def test_preview_only(run, here):
    movie(here / "m.tif", dark=True)
    done = run("track", "m.tif", "--preview-only")
    assert done.code == 0
    assert listed(here) == ["m.preview.png", "m.tif"]
    (line,) = [one for one in done.err.splitlines() if one.startswith("  spots  ")]
    assert "dark" in line
    assert "4 in frame 0" in done.err


def test_standard_output_holds_the_table_only(run, here):
    movie(here / "m.tif")
    done = run("track", "m.tif", "-o", "-")
    assert done.code == 0
    assert done.out.startswith("particle,frame,t [s],x [µm]")
    assert len(done.out.splitlines()) == 1 + 48
    assert listed(here) == ["m.tif"]


def test_a_preview_that_fails_is_told_and_the_table_is_there(run, here, monkeypatch):
    movie(here / "m.tif")

    def fail(*_):
        raise SptError("the movie is gone.")

    monkeypatch.setattr(tracking, "frames_of", fail)
    done = run("track", "m.tif", "--preview", "--json")
    assert done.code == 1
    assert "Error: the movie is gone." in done.err
    assert json.loads(done.out)["problems"] == ["the movie is gone."]
    assert (here / "m.tracks.csv").is_file()


def test_an_interruption_leaves_nothing_half_written(run, here, monkeypatch):
    movie(here / "m.tif")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tracking, "encode_tracks", interrupted)
    done = run("track", "m.tif", "--preview", "-o", "out/")
    assert done.code == 130
    assert listed(here) == ["m.tif"]


def test_every_option_says_its_default_or_that_it_is_a_switch():
    for option in command.params:
        text = getattr(option, "help", None)
        if option.name == "stacks" or (option.is_flag and not option.secondary_opts):
            continue
        assert text
        assert option.show_default or "Default" in text or "where the file does not" in text


def test_a_real_movie_with_the_numbers_trackmate_gives(run, here, shared_stacks):
    done = run("track", shared_stacks / "faketracks.tif", "-o", "f.csv", "--json", "--quiet")
    assert done.code == 0
    (report,) = json.loads(done.out)["files"]
    assert report["tracks"] == 6
