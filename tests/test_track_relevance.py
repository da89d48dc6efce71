import json

import numpy as np
import pytest

import spt_explain as spt
from spt_explain.errors import SptError
from spt_explain.track_relevance import (
    explain_track_relevance,
    fit_track_relevance,
    is_track_model,
    looks_like_tracks,
)
from spt_explain.track_relevance.inputs import (
    RECIPES,
    find_recipe,
    find_tables,
    load_model,
    split_signal,
)
from spt_explain.track_relevance.words import explained_in_words
from spt_explain.xddpm.tracks.recipe import TrackRelevanceRecipe
from spt_explain.xddpm.tracks.run import TrackRun

RECIPE = TrackRelevanceRecipe.model_validate(
    {
        "schedule": {"regressor_steps": 25, "mask_steps": 20, "batch": 16},
        "regressor": {"width": 8, "depth": 2, "min_r2": 0.0},
        "mask": {"width": 8},
    }
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    tracks = spt.simulate("SubFBM,SupLW", tracks=24, length="40-70", seed=5)
    path = tmp_path_factory.mktemp("tracks") / "tracks.csv"
    tracks.table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrackRun, "_insist_on_prediction", lambda self: None)
        patch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)
        return fit_track_relevance(table, "class", folder, recipe=RECIPE, device="cpu")


def test_fit_writes_a_model_and_how_it_was_made(fitted, table):
    assert is_track_model(fitted.folder)
    said = json.loads((fitted.folder / "fit.json").read_text())
    assert said["recipe"] == RECIPE.model_dump()
    assert said["tracks"] == 24
    assert "Brownian motion" in said["removed"]
    assert said["found"]["r2"] == pytest.approx(fitted.model.fitted.r2)
    assert not (fitted.folder / "fit.safetensors").exists()
    with pytest.raises(SptError, match="holds a model already"):
        fit_track_relevance(table, "class", fitted.folder, recipe=RECIPE)


def test_explain_lays_both_maps_side_by_side(fitted, table, tmp_path):
    found = explain_track_relevance(table, fitted.folder, tmp_path / "out", picks=2, device="cpu")
    tracks, frames = found.tracks, found.frames
    assert len(tracks) == 24
    assert len(frames) == tracks["n_points"].sum()
    first = frames.groupby("particle")["contribution"].first
    assert frames.groupby("particle").head(1)["contribution"].isna().all()
    assert frames["contribution"].isna().sum() == 24
    assert first().notna().all()
    reasons = spt.explain(
        str(table), method="gradcam", draws=0, statistics=False, timeline=False, device="cpu"
    )
    np.testing.assert_allclose(frames["score"], reasons.frames["score"], rtol=1e-5, atol=1e-6)
    assert set(tracks["check"]) <= {"passed", "failed", "flat"}
    one = tracks[tracks["rho"].notna()].iloc[0]
    own = frames[frames["particle"] == one["particle"]]
    assert own["contribution"].corr(own["score"], method="spearman") == pytest.approx(one["rho"])
    names = sorted(path.name for path in found.files)
    assert names[0] == "frames.csv"
    assert sum(name.startswith("track-") for name in names) == 2
    assert {"relevance.json", "sufficiency.png", "tracks.csv"} <= set(names)
    with pytest.raises(SptError, match="not written over"):
        explain_track_relevance(table, fitted.folder, tmp_path / "out")


def test_explain_some_without_the_classifier(fitted, table):
    found = explain_track_relevance(table, fitted.model, method="none", only=[3, 7])
    assert found.tracks["particle"].tolist() == [3, 7]
    assert "rho" not in found.tracks
    assert found.folder is None
    with pytest.raises(SptError, match="no particle 999"):
        explain_track_relevance(table, fitted.model, method="none", only=[999])


def test_needs_the_unit_it_was_fitted_to(fitted, table):
    from dataclasses import replace

    model = replace(fitted.model, scale="all", spread=0.1, unit="um")
    with pytest.raises(SptError, match="is in pixels, and the model was fitted to tracks in µm"):
        explain_track_relevance(table, model, method="none")


def test_looks_like_tracks(table, tmp_path):
    from tifffile import imwrite

    assert looks_like_tracks(table)
    imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint16), photometric="minisblack")
    assert not looks_like_tracks(tmp_path / "a.tif")
    (tmp_path / "a.xml").write_text('<?xml version="1.0"?>\n<Tracks nTracks="1">')
    assert looks_like_tracks(tmp_path / "a.xml")
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)) * 4)
    assert not looks_like_tracks(tmp_path / "junk.bin")
    assert not looks_like_tracks(tmp_path / "nothing.csv")


def test_options_that_cannot_be(fitted, table, tmp_path):
    with pytest.raises(SptError, match="share= is"):
        explain_track_relevance(table, fitted.model, share=1.5)
    with pytest.raises(SptError, match="figure format"):
        explain_track_relevance(table, fitted.model, formats=("bmp",))
    with pytest.raises(SptError, match="minutes"):
        fit_track_relevance(table, minutes=-1)
    (tmp_path / "r.toml").write_text("[mask]\nprise = 3\n")
    with pytest.raises(SptError, match=r"mask\.prise"):
        fit_track_relevance(table, recipe=tmp_path / "r.toml")


def test_the_shipped_recipe_is_the_default(tmp_path, monkeypatch):
    from spt_explain.resources import shipped

    monkeypatch.chdir(tmp_path)
    path = shipped("recipes") / RECIPES / "default.toml"
    assert TrackRelevanceRecipe.load(path) == find_recipe("default") == TrackRelevanceRecipe()


def test_recipes_that_cannot_be(tmp_path):
    with pytest.raises(SptError, match="recipes that ship: default"):
        find_recipe("nope")
    with pytest.raises(SptError, match="is a folder"):
        find_recipe(tmp_path)
    (tmp_path / "m.toml").write_text("[judge]\nshare = 0.3\n")
    with pytest.raises(SptError, match="is a recipe for movies"):
        find_recipe(tmp_path / "m.toml")


def test_minutes_replace_steps_of_the_recipe():
    schedule = RECIPE.with_schedule(minutes=3).schedule
    assert (schedule.minutes, schedule.regressor_steps, schedule.mask_steps) == (3, None, None)
    assert RECIPE.with_schedule(seed=4).schedule == RECIPE.schedule


def test_tables_are_told_from_movies(table, tmp_path):
    from tifffile import imwrite

    (tmp_path / "tables").mkdir()
    own = tmp_path / "tables" / "a.csv"
    own.write_bytes(table.read_bytes())
    (tmp_path / "tables" / "notes.md").write_text("hello")
    assert find_tables([str(tmp_path / "tables")]) == [str(own)]
    assert find_tables([str(tmp_path / "tables" / "*.csv"), str(own)]) == [str(own)]
    (tmp_path / "text.csv").write_text("hello world\n")  # read_tracks says what is wrong with it
    assert find_tables([str(tmp_path / "text.csv")]) == [str(tmp_path / "text.csv")]
    with pytest.raises(SptError, match=r"missing\.csv"):
        find_tables([str(tmp_path / "missing.csv")])
    assert find_tables([str(tmp_path / "missing.tif")]) is None
    imwrite(tmp_path / "tables" / "m.tif", np.zeros((3, 8, 8), np.uint16), photometric="minisblack")
    assert find_tables([str(tmp_path / "tables")]) is None


def test_signals_in_a_table_of_their_own(table, tmp_path):
    from spt_explain.xddpm.tracks.labels import read_signal_tracks

    other = tmp_path / "values.csv"
    other.write_text("particle,speed\n" + "".join(f"{i},{i}.5\n" for i in range(24)))
    assert split_signal(str(other)) == ("", other)
    assert split_signal(f"{other}:speed") == ("speed", other)
    assert split_signal("class") == ("class", None)
    found = read_signal_tracks([table], "", signal_file=other)
    assert found.names == ("speed",)
    assert sorted(found.numbers()) == [i + 0.5 for i in range(24)]
    other.write_text("particle,speed,state\n" + "".join(f"{i},{i}.5,a\n" for i in range(24)))
    with pytest.raises(SptError, match=r"several columns .*: speed, state"):
        read_signal_tracks([table], "", signal_file=other)
    with pytest.raises(SptError, match="was not found"):
        split_signal("gone.csv")
    with pytest.raises(SptError, match="no signal was named"):
        split_signal(" ")


def test_a_model_of_movies_is_refused(tmp_path):
    (tmp_path / "relevance.json").write_text("{}")
    with pytest.raises(SptError, match="was fitted to movies"):
        load_model(tmp_path)


def test_says_when_checks_pass_no_more_than_by_chance():
    import pandas as pd

    few = pd.DataFrame({"check": ["passed"] * 2 + ["failed"] * 37 + ["flat"]})
    many = pd.DataFrame({"check": ["passed"] * 20 + ["failed"] * 20})
    assert "BEWARE" in explained_in_words(few, 20, 0.2)[1]
    assert "1 maps are flat" in explained_in_words(few, 20, 0.2)[0]
    assert len(explained_in_words(many, 20, 0.2)) == 1
