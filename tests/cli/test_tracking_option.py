import json

import numpy as np
import pytest
import tifffile

import spt_explain as spt
from spt_explain.errors import SptError

FAST = ("--device", "cpu", "--weights", "resandi-small")
PARAMETERS = "[spots]\ndiameter = 7\n\n[links]\nsearch_range = 6.5\nmemory = 2\n"


@pytest.fixture
def movie(tmp_path):
    """Write a stack of two spots that wander, well apart, for 30 frames."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:64, :96]
    places = np.array([[32.0, 24.0], [32.0, 72.0]]) + rng.normal(size=(30, 2, 2)).cumsum(0)
    frames = rng.normal(100, 2, (30, 64, 96))
    for frame, spots in zip(frames, places, strict=True):
        for row, column in spots:
            frame += 900 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 4.5)
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, frames.round().astype(np.uint16), metadata={"axes": "TYX"})
    return path


@pytest.fixture
def parameters(tmp_path):
    path = tmp_path / "film.tracking.toml"
    path.write_text(PARAMETERS)
    return path


@pytest.fixture
def used(monkeypatch):
    """The settings that stacks are tracked with, as they come."""
    from spt_explain import api

    heard = []

    def spy(name, settings=None, **rest):
        heard.append(settings)
        return spt.track_movie(name, settings, **rest)

    monkeypatch.setattr(api, "track_movie", spy)
    return heard


def test_a_stack_is_tracked_as_the_file_says_and_again_without_input(
    run, movie, parameters, used, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPT_EXPLAIN_DATA", str(tmp_path / "data"))
    done = run("classify", movie, *FAST, "--tracking", parameters.name)
    assert done.code == 0, done.err
    settings = spt.TrackingSettings(diameter=7, search_range=6.5, memory=2)
    assert used == [settings]
    made = json.loads((tmp_path / "film.verdicts.json").read_text("utf-8"))
    told = made["reading"]["tracking"]
    assert told["file"] == parameters.name
    assert (told["diameter"], told["search_range"], told["memory"]) == (7, 6.5, 2)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = run("explain", *FAST, "--draws", "2")
    assert done.code == 0, done.err
    assert used == [settings, settings]
    made = json.loads((tmp_path / "film.reasons" / "reasons.json").read_text("utf-8"))
    assert made["reading"]["tracking"]["file"] == str(parameters)
    assert made["reading"]["tracking"]["diameter"] == 7


def test_python_takes_settings_or_a_file(movie, parameters, used):
    settings = spt.TrackingSettings(diameter=7, search_range=6.5, memory=2)
    one = spt.read_tracks(movie, tracking=settings)
    other = spt.read_tracks(movie, tracking=parameters)
    assert used == [settings, settings]
    assert one.table.equals(other.table)
    spt.read_tracks(movie)
    assert used[2] is None
    with pytest.raises(SptError, match="TrackingSettings"):
        spt.read_tracks(movie, tracking={"diameter": 7})


def test_a_file_that_is_none_stops_all_before_any_work(run, movie, tmp_path):
    (tmp_path / "odd.toml").write_text("[spots]\ndiametre = 7\n")
    for name in ("odd.toml", "absent.toml"):
        done = run("classify", movie, *FAST, "--tracking", tmp_path / name)
        assert done.code == 2
        assert name in done.err
        assert "Traceback" not in done.err
    assert not list(tmp_path.glob("*.verdicts.*"))


def test_tables_say_that_it_does_nothing(run, tracks_csv, parameters):
    done = run("classify", tracks_csv, *FAST, "--tracking", parameters)
    assert done.code == 0
    assert "--tracking was ignored" in done.err
