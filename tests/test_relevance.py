"""Fitting to movies and a signal, and explaining a movie, as a caller in Python meets them."""

import json
import signal as signals

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.relevance import RelevanceListener, explain_relevance, find_recipe, fit_relevance
from spt_explain.report import style
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.recipe import RelevanceRecipe
from spt_explain.xddpm.run import Run

SIZE, FRAMES = 16, 8
INSIST = Run._insist_on_prediction


def tiny(**schedule):
    steps = {"regressor_steps": 3, "mask_steps": 3, "batch": 4} | schedule
    return RelevanceRecipe(
        seed=3, regressor={"width": 2, "min_r2": 0.0}, mask={"width": 2}, schedule=steps
    )


def write_movies(folder, count=6, *, frames=FRAMES, size=SIZE, **how):
    """Write movies of a disc that grows and shrinks, and a table of its area in each frame."""
    folder.mkdir(exist_ok=True)
    y, x = np.mgrid[:size, :size]
    lines = ["movie,frame,area"]
    for i in range(count):
        rng = np.random.default_rng(i)
        radius = rng.uniform(2, 5) + 0.5 * np.sin(np.arange(frames) + i)
        disc = np.hypot(y - size / 2, x - size / 2)[None] <= radius[:, None, None]
        movie = 100 + 900 * disc + rng.normal(0, 10, disc.shape)
        how = how or {
            "imagej": True, "resolution": (5.0, 5.0),
            "metadata": {"axes": "TYX", "unit": "micron", "finterval": 0.5, "Info": "mine"},
        }  # fmt: skip
        tifffile.imwrite(folder / f"cell-{i}.tif", movie.round().astype(np.uint16), **how)
        lines += [f"cell-{i},{t},{area}" for t, area in enumerate(disc.sum((1, 2)))]
    (folder / "areas.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spt_explain.xddpm.run.Run._insist_on_prediction", lambda _: None)
        patch.setattr("spt_explain.relevance_fitting.PROBE_STEPS", 2)
        patch.setattr("spt_explain.xddpm.staged._LEAST_STEPS", 3)
        for name in ("figure.dpi", "savefig.dpi"):
            patch.setitem(style._RC, name, 60)
        yield patch


@pytest.fixture(scope="module")
def fitted(patched, tmp_path_factory):
    folder = write_movies(tmp_path_factory.mktemp("fit") / "movies")
    found = fit_relevance(
        folder, folder / "areas.csv", folder.parent / "model", frames=4, recipe=tiny(),
        command=["spt-explain", "relevance", "fit"],
    )  # fmt: skip
    return folder, found


@pytest.fixture(scope="module")
def explained(fitted, tmp_path_factory):
    folder, found = fitted
    out = tmp_path_factory.mktemp("explained") / "cell-1.relevance"
    return explain_relevance(folder / "cell-1.tif", found.folder, out)


def test_a_model_s_folder_says_all_that_is_needed_to_make_it_again(fitted):
    folder, found = fitted
    said = json.loads((found.folder / "fit.json").read_text())
    assert said["settings"]["frames"] == 4
    assert said["signal"] == {"table": str((folder / "areas.csv").absolute()), "columns": []}
    assert RelevanceRecipe.of(said["recipe"], "fit.json").schedule.mask_steps == 3
    assert len(said["movies"]) == 6
    assert {check["name"] for check in said["checks"]} >= {
        "held_out_r2", "shuffled_r2", "encoding_excess", "deletion", "randomisation", "encoding",
    }  # fmt: skip
    names = {path.name for path in found.folder.iterdir()}
    assert {"checks.txt", "checks.json", "sufficiency.png", "relevance.json"} <= names
    assert "fit.checkpoint" not in names
    model = RelevanceModel.load(found.folder)
    assert model.layout is not None
    assert (model.layout.tile, model.layout.frames, model.frames) == (None, 4, 4)
    assert model.signal.per == "frame"


def test_maps_have_the_movie_s_shape_axes_units_and_words(fitted, explained):
    for name in ("relevance", "information"):
        with tifffile.TiffFile(explained.folder / f"{name}.tif") as tif:
            assert tif.series[0].shape == (FRAMES, SIZE, SIZE)
            assert tif.series[0].axes == "TYX"
            said = tif.imagej_metadata
            assert said["unit"] == "micron"
            assert said["finterval"] == 0.5
            assert said["Info"] == "mine"
            assert tif.pages[0].tags["XResolution"].value == (5, 1)


def test_maps_are_those_of_the_model(fitted, explained):
    folder, found = fitted
    movie = tifffile.imread(folder / "cell-1.tif")
    maps = found.model.explain(movie)
    for name, own in (("relevance", maps.contribution), ("information", maps.information)):
        written = tifffile.imread(explained.folder / f"{name}.tif")
        np.testing.assert_allclose(written, own, atol=1e-5)
    table = explained.table
    np.testing.assert_allclose(table["relevance"], maps.contribution.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(table["information_nats"], maps.information.sum((1, 2)), rtol=1e-4)
    threshold = found.model.threshold
    expected = (maps.contribution >= threshold).mean((1, 2))
    np.testing.assert_allclose(table["share_relevant"], expected, atol=0.02)
    np.testing.assert_allclose(table["brightness"], movie.mean((1, 2)), rtol=1e-5)


def test_the_time_course_has_the_signal_of_the_table_and_seconds(fitted, explained):
    folder, found = fitted
    rows = np.loadtxt(folder / "areas.csv", delimiter=",", skiprows=1, usecols=2)
    table = explained.table
    assert "measured_area" in table, explained.notes
    np.testing.assert_allclose(table["measured_area"], rows[FRAMES : 2 * FRAMES])
    np.testing.assert_allclose(table["time_s"], 0.5 * np.arange(FRAMES))
    # both windows that a frame lies in have their say: the first frames lie in one
    first = found.model.predict(tifffile.imread(folder / "cell-1.tif")[None, :4])[0]
    np.testing.assert_allclose(table["predicted_area"][0], first[0], rtol=1e-4)


def test_what_was_drawn_and_said_is_there(explained):
    names = {path.name for path in explained.folder.iterdir()}
    assert names == {
        "relevance.tif", "information.tif", "overlay.png", "overlay.gif", "time-course.png",
        "time-course.csv", "sufficiency.png", "checks.txt", "checks.json", "explain.json",
    }  # fmt: skip
    assert names == {path.name for path in explained.files}
    said = json.loads((explained.folder / "explain.json").read_text())
    assert said["settings"]["signal"].endswith("areas.csv")
    assert any("fitted to this movie" in note for note in said["notes"])
    assert {"movie_r2", "scale", "deletion"} <= {check["name"] for check in said["checks"]}


def test_an_animation_has_all_frames_and_words_fit(explained):
    from PIL import Image

    with Image.open(explained.folder / "overlay.gif") as picture:
        assert picture.n_frames == FRAMES
        assert picture.width >= 360


def test_results_are_not_written_over_unasked(fitted, explained, tmp_path):
    folder, found = fitted
    with pytest.raises(SptError, match="overwrite=True"):
        explain_relevance(folder / "cell-1.tif", found.folder, explained.folder)
    with pytest.raises(SptError, match="overwrite=True"):
        fit_relevance(folder, "area", found.folder, recipe=tiny())
    own = tmp_path / "own"
    own.mkdir()
    (own / "notes.docx").write_text("mine")
    with pytest.raises(SptError, match="other files"):
        explain_relevance(folder / "cell-1.tif", found.folder, own, overwrite=True)
    with pytest.raises(SptError, match="other files"):
        fit_relevance(folder, "area", own, recipe=tiny(), overwrite=True)


def test_an_ome_movie_gets_ome_maps(fitted, tmp_path):
    _, found = fitted
    said = {"axes": "TYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "TimeIncrement": 0.25}
    pixels = np.random.default_rng(0).integers(100, 1000, (9, 20, 24)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=said)
    done = explain_relevance(
        tmp_path / "a.ome.tif", found.folder, plot=False, animation="none", signal="none"
    )
    assert done.folder == tmp_path / "a.relevance"
    with tifffile.TiffFile(done.folder / "information.tif") as tif:
        assert tif.is_ome
        assert tif.series[0].shape == pixels.shape
        assert 'TimeIncrement="0.25"' in tif.ome_metadata
        assert 'PhysicalSizeX="0.2"' in tif.ome_metadata
    assert any("cut into tiles" in note for note in done.notes)
    assert not any(path.suffix == ".png" for path in done.files)


def test_short_and_small_movies_are_explained_and_it_is_said(fitted, tmp_path):
    _, found = fitted
    pixels = np.random.default_rng(0).integers(100, 1000, (3, 12, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", pixels, photometric="minisblack")
    done = explain_relevance(tmp_path / "s.tif", found.folder)
    assert tifffile.imread(done.folder / "relevance.tif").shape == (3, 12, 16)
    assert any("filled up" in note for note in done.notes)
    assert any("not known" in note for note in done.notes)  # it has no row in the table
    assert "time_s" not in done.table


def test_a_movie_of_another_exposure_is_noticed(fitted, tmp_path):
    folder, found = fitted
    pixels = tifffile.imread(folder / "cell-1.tif").astype(np.float32) * 20
    tifffile.imwrite(tmp_path / "bright.tif", pixels, photometric="minisblack")
    done = explain_relevance(
        tmp_path / "bright.tif", found.folder, signal="none", animation="none", plot=False
    )
    (check,) = (check for check in done.checks if check.name == "scale")
    assert check.good is False
    assert check.value == pytest.approx(20, rel=0.2)


def test_one_channel_of_several_is_explained(fitted, tmp_path):
    folder, found = fitted
    movie = tifffile.imread(folder / "cell-2.tif")
    both = np.stack([np.zeros_like(movie), movie], 1)
    tifffile.imwrite(tmp_path / "two.tif", both, imagej=True, metadata={"axes": "TCYX"})
    done = explain_relevance(
        tmp_path / "two.tif", found.folder, channel=2, signal="none", plot=False
    )
    np.testing.assert_allclose(
        tifffile.imread(done.folder / "relevance.tif"), found.model.explain(movie).contribution,
        atol=1e-5,
    )  # fmt: skip


def test_a_measured_signal_stands_beside_the_prediction(patched, tmp_path):
    folder = write_movies(tmp_path / "movies", 5)
    found = fit_relevance(folder, "area", tmp_path / "m", tile=0, frames=4, recipe=tiny())
    assert found.model.signal.names == ("area [µm²]",)
    done = explain_relevance(folder / "cell-0.tif", found.folder, plot=False)
    rows = np.loadtxt(folder / "areas.csv", delimiter=",", skiprows=1, usecols=2)[:FRAMES]
    measured = done.table["measured_area [µm²]"]
    np.testing.assert_allclose(measured, rows * 0.04, rtol=0.1)


def test_categories_are_predicted_as_probabilities(patched, tmp_path):
    folder = write_movies(tmp_path / "movies", 8)
    lines = ["movie,condition", *(f"cell-{i}.tif,{'AB'[i % 2]}" for i in range(8))]
    (folder / "areas.csv").write_text("\n".join(lines) + "\n")
    found = fit_relevance(folder, folder / "areas.csv", tmp_path / "m", frames=4, recipe=tiny())
    assert found.model.signal.kind == "category"
    done = explain_relevance(folder / "cell-0.tif", found.folder, animation="none")
    total = done.table["predicted_A"] + done.table["predicted_B"]
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert (done.table["measured_A"] == 1).all()


class _Stopper(RelevanceListener):
    def fitting(self, progress):
        signals.raise_signal(signals.SIGINT)


def test_an_interrupted_fit_is_kept_and_resumed_to_the_same(patched, fitted, tmp_path, monkeypatch):
    folder, plain = fitted
    out = tmp_path / "model"
    given = {"frames": 4, "recipe": tiny()}
    from spt_explain.xddpm import fit as fitting

    def eager(*args, **more):
        return real(*args, **more, report_every_s=-1.0)

    real = fitting.fit
    monkeypatch.setattr("spt_explain.xddpm.fit.fit", eager)
    with pytest.raises(KeyboardInterrupt):
        fit_relevance(folder, folder / "areas.csv", out, **given, listener=_Stopper())
    assert (out / "fit.checkpoint").exists()
    with pytest.raises(SptError, match="resume=True"):
        fit_relevance(folder, folder / "areas.csv", out, **given)
    again = fit_relevance(folder, folder / "areas.csv", out, **given, resume=True)
    for name, value in plain.model.masker.state_dict().items():
        np.testing.assert_array_equal(value, again.model.masker.state_dict()[name])
    assert not (out / "fit.checkpoint").exists()


def test_clips_are_turned_where_the_signal_is_measured_unless_the_recipe_says(
    patched, tmp_path, monkeypatch
):
    # what is checked after the fits is not what this is about
    monkeypatch.setattr("spt_explain.report.relevance_checks.checks_of_clips", lambda *_, **__: [])
    folder = write_movies(tmp_path / "movies", 5)
    told = []
    given = {"tile": 0, "frames": 4}
    for number, (signal, recipe) in enumerate(
        [
            ("area", tiny()),
            (folder / "areas.csv", tiny()),
            ("area", RelevanceRecipe.of({**tiny().model_dump(exclude_unset=True), "regressor": {
                "width": 2, "min_r2": 0.0, "flips": False}}, "x")),
        ]
    ):  # fmt: skip
        found = fit_relevance(folder, signal, tmp_path / f"m{number}", recipe=recipe, **given)
        told.append(
            (
                found.document["recipe"]["regressor"]["flips"],
                any("turned and mirrored" in note for note in found.notes),
            )
        )
    assert told == [(True, True), (False, False), (False, False)]


class _Looker(RelevanceListener):
    def looking(self, done, total):
        raise AssertionError("the movie was looked at before the signal was checked")


def test_a_signal_of_other_movies_is_refused_before_the_movie_is_looked_at(fitted, tmp_path):
    folder, found = fitted
    (tmp_path / "other.csv").write_text("movie,frame,area\nfoo,0,1\nbar,0,2\n")
    for signal, said in ((tmp_path / "other.csv", "foo, bar"), ("area", "the model predicts area")):
        with pytest.raises(SptError, match=said):
            explain_relevance(
                folder / "cell-1.tif", found.folder, tmp_path / "out", signal=signal,
                listener=_Looker(),
            )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_a_resumed_fit_that_finds_nothing_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "_insist_on_prediction", INSIST)
    folder = write_movies(tmp_path / "movies", 5)
    strict = tiny().model_copy(
        update={"regressor": tiny().regressor.model_copy(update={"min_r2": 1.0})}
    )
    given = {"frames": 4, "recipe": strict, "listener": _Stopper()}
    from spt_explain.xddpm import fit as fitting

    def eager(*args, **more):
        return real(*args, **more, report_every_s=-1.0)

    real = fitting.fit
    monkeypatch.setattr("spt_explain.xddpm.fit.fit", eager)
    with pytest.raises(KeyboardInterrupt):
        fit_relevance(folder, folder / "areas.csv", tmp_path / "m", **given)
    assert (tmp_path / "m" / "fit.checkpoint").exists()
    given["listener"] = RelevanceListener()
    with pytest.raises(SptError, match="can't be predicted"):
        fit_relevance(folder, folder / "areas.csv", tmp_path / "m", **given, resume=True)
    assert not (tmp_path / "m").exists()


def test_a_fresh_regressor_is_shown_small_maps(monkeypatch):
    from types import SimpleNamespace

    from spt_explain.report import relevance_checks
    from spt_explain.xddpm.evaluate import probes

    seen = []

    def check(maps, clips, told, reference, **how):
        seen.append((maps.shape, clips.shape, how["ask_clips"]))
        return probes.Encoding(0.1, 0.9, np.nan)

    monkeypatch.setattr(probes, "encoding_check", check)
    model = SimpleNamespace(
        signal=SimpleNamespace(encode=np.asarray, kind="number"),
        maps_of_scaled=lambda clips: SimpleNamespace(contribution=np.ones_like(clips)),
        device="cpu",
    )
    clips = np.zeros((30, 3, 50, 64), np.float32)
    found = relevance_checks._encoding(model, clips, np.arange(30.0)[:, None], (), 0, 5)
    assert found.good
    assert seen == [((30, 3, 25, 32), (30, 3, 25, 32), False)]


def test_a_signal_that_can_t_be_predicted_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "_insist_on_prediction", INSIST)
    folder = write_movies(tmp_path / "movies", 5)
    rng = np.random.default_rng(0)
    lines = ["movie,frame,value"]
    lines += [f"cell-{i},{t},{rng.normal():.4f}" for i in range(5) for t in range(FRAMES)]
    (folder / "areas.csv").write_text("\n".join(lines) + "\n")
    strict = tiny().model_copy(
        update={"regressor": tiny().regressor.model_copy(update={"min_r2": 0.5})}
    )
    with pytest.raises(SptError, match="can't be predicted") as error:
        fit_relevance(folder, folder / "areas.csv", tmp_path / "m", frames=4, recipe=strict)
    assert error.value.exit_code == 1
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"overlap": 1.0}, "overlap="),
        ({"batch_size": 0}, "batch_size="),
        ({"animation": "avi"}, "animation="),
        ({"figure_formats": ("bmp",)}, "figure_formats="),
        ({"channel": 3}, "channel"),
        ({"signal": "nothing.csv"}, "nothing.csv"),
    ],
)
def test_options_that_can_t_be_used_are_said(fitted, tmp_path, option, said):
    folder, found = fitted
    with pytest.raises(SptError, match=said):
        explain_relevance(folder / "cell-1.tif", found.folder, tmp_path / "out", **option)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_said(fitted, tmp_path):
    folder, found = fitted
    movie = folder / "cell-1.tif"
    with pytest.raises(SptError, match="was not found"):
        explain_relevance(movie, tmp_path / "nowhere")
    with pytest.raises(SptError, match="is a file"):
        explain_relevance(movie, folder / "areas.csv")
    with pytest.raises(SptError, match="holds no model"):
        explain_relevance(movie, folder)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in found.folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "fit.json").write_text("{not json")
    done = explain_relevance(movie, copy / "relevance.json", tmp_path / "out", plot=False)
    assert "measured_area" not in done.table  # nothing says any more what it was fitted to
    (weights,) = copy.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SptError, match="damaged"):
        explain_relevance(movie, copy, tmp_path / "other")


def test_recipes_are_found_by_name_or_file(tmp_path):
    assert find_recipe(None)[0] == RelevanceRecipe()
    with pytest.raises(SptError, match=r"recipes that ship: default, .*ablations/"):
        find_recipe("nothing")
    with pytest.raises(SptError, match=r"no\.toml was not found: .*default"):
        find_recipe(tmp_path / "no.toml")
    with pytest.raises(SptError, match="is a folder"):
        find_recipe(tmp_path)
    (tmp_path / "mine.toml").write_text("[schedule]\nminutes = 3\n")
    assert find_recipe(tmp_path / "mine.toml")[0].schedule.minutes == 3


def test_minutes_and_seed_replace_those_of_the_recipe():
    from spt_explain.relevance_fitting import _changed

    changed = _changed(tiny(), minutes=2.0, seed=9)
    assert (changed.schedule.minutes, changed.schedule.regressor_steps, changed.seed) == (
        2,
        None,
        9,
    )
    for bad in ({"minutes": 0.0}, {"seed": -1}, {"seed": 2**63}, {"generator_minutes": 0.0}):
        (name,) = bad
        with pytest.raises(SptError, match=f"{name}=.*: expected "):
            fit_relevance("nowhere", "area", **bad)
