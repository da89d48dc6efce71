"""A generator that is fitted after its model, interrupted and gone on with."""

import shutil

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.relevance_fitting import CHECKPOINT, fit_relevance
from spt_explain.report.relevance_files import GENERATOR_CHECKPOINT
from spt_explain.xddpm.generator.generator import Generator
from spt_explain.xddpm.generator.run import digest_of
from spt_explain.xddpm.recipe import RelevanceRecipe

RECIPE = "width = 8\nmultipliers = [1, 2]\nlayers = 1\nattention = false\nsteps = 2\nbatch = 2\n"
PLAN = RelevanceRecipe(
    seed=3, regressor={"width": 2, "min_r2": 0.0}, mask={"width": 2}, judge={"share": 0},
    schedule={"regressor_steps": 2, "mask_steps": 2, "batch": 4},
)  # fmt: skip


@pytest.fixture(scope="module")
def movies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movies")
    lines = ["movie,value"]
    for i in range(6):
        movie = np.random.default_rng(i).integers(90, 200 + 50 * i, (4, 16, 16)).astype(np.uint16)
        tifffile.imwrite(folder / f"m{i}.tif", movie, imagej=True, metadata={"axes": "TYX"})
        lines.append(f"m{i}.tif,{i}")
    (folder / "values.csv").write_text("\n".join(lines) + "\n")
    (folder / "generator.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def patched(monkeypatch):
    monkeypatch.setattr("spt_explain.xddpm.run.Run._insist_on_prediction", lambda _: None)
    monkeypatch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)
    monkeypatch.setattr("spt_explain.relevance_fitting.PROBE_STEPS", 2)
    return monkeypatch


def fit(movies, folder, **changes):
    given = {"frames": 4, "recipe": PLAN, "generator": True, "device": "cpu"}
    given["generator_recipe"] = movies / "generator.toml"
    return fit_relevance(movies, movies / "values.csv", folder, **given | changes)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_interrupted_before_its_first_checkpoint_it_is_fitted_by_resume(movies, patched, tmp_path):
    folder = tmp_path / "model"
    with patched.context() as patch:
        patch.setattr("spt_explain.xddpm.generator.fit.fit_generator", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(movies, folder)
    assert (folder / "relevance.json").exists()
    assert not (folder / "generator.json").exists()
    before = (folder / "relevance.json").read_bytes()
    with pytest.raises(SptError, match="cut otherwise"):
        fit(movies, folder, resume=True, bin=2)
    with pytest.raises(SptError, match="holds a model already"):
        fit(movies, folder)
    found = fit(movies, folder, resume=True)
    assert (folder / "relevance.json").read_bytes() == before
    generator = Generator.load(folder)
    assert generator.trained.model == digest_of(found.model)
    with pytest.raises(SptError, match="nothing to go on with"):
        fit(movies, folder, resume=True)


def test_what_was_left_of_a_generator_does_not_stop_a_new_model(movies, patched, tmp_path):
    folder = tmp_path / "model"
    fit(movies, folder)
    old = shutil.copy(folder / "relevance.json", tmp_path / "old.json").read_bytes()
    (folder / GENERATOR_CHECKPOINT).write_bytes(b"of the old mask")
    with patched.context() as patch:
        patch.setattr("spt_explain.xddpm.fit.fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(movies, folder, overwrite=True, seed=4)
    assert not (folder / GENERATOR_CHECKPOINT).exists()
    # The old model is there until the new one is: with a fit begun, resume goes on with that.
    (folder / GENERATOR_CHECKPOINT).write_bytes(b"of the old mask")
    (folder / CHECKPOINT).write_bytes(b"begun")
    with pytest.raises(SptError, match="checkpoint"):
        fit(movies, folder, overwrite=True, resume=True, seed=4)
    (folder / CHECKPOINT).unlink()
    found = fit(movies, folder, overwrite=True, seed=4)
    assert (folder / "relevance.json").read_bytes() != old
    assert Generator.load(folder).trained.model == digest_of(found.model)
