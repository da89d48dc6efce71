"""The relevance model that ships, and the movie to try it with."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.relevance import explain_relevance
from spt_explain.report.relevance_files import model_folder, shipped_models
from spt_explain.resources import shipped
from spt_explain.track_relevance.inputs import load_model, looks_like_tracks
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.simulate import simulate

MOVIE = shipped("recipes") / "quickstart-spots.tif"


@pytest.fixture(scope="module")
def spots():
    return RelevanceModel.load(model_folder(shipped("weights") / "spots"))


def test_it_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_folder(Path("spots")) == shipped("weights") / "spots"
    assert "spots" in shipped_models()
    with pytest.raises(SptError, match="spots was not found: expected the folder of a model"):
        model_folder(Path("spots"), own=True)
    with pytest.raises(SptError, match="or the name of one that ships: spots"):
        model_folder(Path("spot"))
    (tmp_path / "spots").mkdir()  # movies, say
    assert model_folder(Path("spots")) == shipped("weights") / "spots"
    (tmp_path / "spots" / "track-relevance.json").touch()
    with pytest.raises(SptError, match="fitted to tracks, and movies were given"):
        model_folder(tmp_path / "spots")
    (tmp_path / "spots" / "track-relevance.json").unlink()
    with pytest.raises(SptError, match="fitted to movies, and tracks were given"):
        load_model("spots", "cpu")


def test_the_movie_is_no_table_of_tracks():
    assert not looks_like_tracks(MOVIE)


def test_mobile_spots_carry_their_number_and_immobile_ones_do_not(spots):
    """New movies, whose spots are as bright whether they move or not."""
    made = simulate("spots", 40, frames=20, size=32, seed=907)
    count, mobile = made.signals["count"], made.truth["count"]
    predicted = spots.predict(made.clips)[:, 0]
    assert np.corrcoef(predicted, count)[0, 1] > 0.85
    maps = spots.maps(made.clips)
    bright = spots.scale.apply(made.clips) > 0.4
    for each in (maps.contribution, maps.information):
        assert each[bright & mobile].mean() > 2 * each[bright & ~mobile].mean()
    assert maps.contribution[mobile].mean() > 10 * maps.contribution[~mobile & ~bright].mean()


def test_the_movie_is_one_of_those_that_simulate_makes():
    made = simulate(
        "spots", 1, frames=20, size=32, seed=12, settings={"mobile": (4, 4), "immobile": (4, 4)}
    )
    np.testing.assert_allclose(tifffile.imread(MOVIE), made.clips[0], atol=1e-6)


def test_it_is_explained(tmp_path):
    found = explain_relevance(MOVIE, "spots", tmp_path / "out", device="cpu", animation="none")
    maps = tifffile.imread(found.folder / "relevance.tif")
    assert maps.shape == (20, 32, 32)
    assert 0 <= maps.min() < 0.1 < maps.max() <= 1
    assert (found.folder / "overlay.png").exists()
