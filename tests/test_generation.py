import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from spt_explain.errors import SptError
from spt_explain.generation import GenerationListener, clips_of, generate_relevance
from spt_explain.relevance_fitting import fit_relevance
from spt_explain.report.relevance_samples import samples_figure
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.generator.generator import Generator
from spt_explain.xddpm.generator.recipe import GeneratorRecipe
from spt_explain.xddpm.layout import Layout
from spt_explain.xddpm.model import RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal

PLAN = GeneratorRecipe(
    objective="eps-mask", width=8, multipliers=(1, 2), layers=1, attention=False, timesteps=10,
    batch=4, steps=2,
)  # fmt: skip


def make_model(tile=None, bin=1):
    shape = Shape(outputs=1, width=4, mask_width=4)
    return RelevanceModel(
        regressor=Regressor(shape).eval(),
        masker=MaskNetwork(shape).eval(),
        bottleneck=Bottleneck(),
        scale=Scale(100.0, 50.0),
        signal=Signal.fit(np.arange(4.0), ("area",)),
        frames=3,
        size=(8, 8) if tile else (6, 8),
        layout=Layout(tile, 3, 3, bin),
    )


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "model"
    make_model().save(folder)
    said = {"movies": [{"pixel_size_um": 0.1, "frame_interval_s": 2.0}] * 2}
    (folder / "fit.json").write_text(json.dumps(said))
    return folder


@pytest.fixture
def movies(tmp_path):
    folder = tmp_path / "movies"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(4):
        pixels = rng.integers(90, 200, (7, 6, 8)).astype(np.uint16)
        tifffile.imwrite(folder / f"m{i}.tif", pixels, imagej=True, metadata={"axes": "TYX"})
    return folder


def test_fitted_here_and_sampled(home, movies, tmp_path):
    out = tmp_path / "samples"
    made = generate_relevance(
        home, out, n=2, movies=movies, recipe=PLAN, device="cpu", plot=True, command=["x"]
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "generate.json", "mask-0001.tif", "mask-0002.tif", "sample-0001.tif", "sample-0002.tif",
        "samples.png",
    ]  # fmt: skip
    np.testing.assert_allclose(tifffile.imread(out / "sample-0002.tif"), made.samples.w[1])
    np.testing.assert_allclose(tifffile.imread(out / "mask-0001.tif"), made.samples.masks[0])
    with tifffile.TiffFile(out / "sample-0001.tif") as file:
        assert file.imagej_metadata["finterval"] == 2
        assert file.pages[0].tags["XResolution"].value[0] / file.pages[0].tags["XResolution"].value[
            1
        ] == pytest.approx(10)
    said = json.loads((out / "generate.json").read_text())
    assert said["sampler"] == "ddpm"
    assert said["generator"]["objective"] == "eps-mask"
    again = generate_relevance(home, tmp_path / "more", n=1, device="cpu")
    np.testing.assert_allclose(again.samples.w[0], made.samples.w[0], rtol=1e-4)
    assert not (home / "generator.checkpoint").exists()


def test_the_papers_sampler_comes_with_its_spread(home, movies, tmp_path):
    notes = []

    class Listener(GenerationListener):
        def note(self, text):
            notes.append(text)

    made = generate_relevance(
        home, tmp_path / "s", n=1, movies=movies, recipe=PLAN, device="cpu", sampler="paper",
        listener=Listener(),
    )  # fmt: skip
    assert "not 1" in made.notes[0]
    assert made.notes[0] in notes


def test_what_can_not_be_used_is_said(home, movies, tmp_path):
    out = tmp_path / "s"
    with pytest.raises(SptError, match="has no generator"):
        generate_relevance(home, out, device="cpu")
    for given, said in (
        ({"n": 0}, "n=0: expected"),
        ({"seed": -1}, "seed="),
        ({"minutes": 3.0}, "movies= too"),
        ({"minutes": 0.0, "movies": movies}, "minutes=0.0: expected"),
        ({"recipe": tmp_path / "no.toml", "movies": movies}, "not found"),
        ({"recipe": "nice", "movies": movies}, "that ship: default"),
        ({"movies": tmp_path / "nowhere"}, "nowhere"),
        ({"movies": movies, "most_clips": 1}, "most_clips=1: expected"),
    ):
        with pytest.raises(SptError, match=said):
            generate_relevance(home, out, device="cpu", **given)
    with pytest.raises(SptError, match="not found"):
        generate_relevance(tmp_path / "none", out)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(SptError, match="other files"):
        generate_relevance(home, out, overwrite=True)


def test_a_generator_of_another_mask_is_refused(home, movies, tmp_path):
    given = {"n": 1, "device": "cpu"}
    generate_relevance(home, tmp_path / "a", movies=movies, recipe=PLAN, **given)
    with pytest.raises(SptError, match="holds a generator already"):
        generate_relevance(home, tmp_path / "b", movies=movies, recipe=PLAN, **given)
    with pytest.raises(SptError, match="not written over"):
        generate_relevance(home, tmp_path / "a", **given)
    make_model().save(home, overwrite=True)
    with pytest.raises(SptError, match="fitted anew"):
        generate_relevance(home, tmp_path / "b", **given)


def test_clips_are_cut_as_those_of_the_model(movies, tmp_path):
    whole, groups = clips_of(make_model(), [str(movies)])
    assert whole.shape[1:] == (3, 6, 8)
    assert len(set(groups)) == 4
    first = tifffile.imread(movies / "m0.tif")
    np.testing.assert_array_equal(whole[0], first[:3])
    few, _ = clips_of(make_model(), [str(movies)], most_clips=3)
    assert len(few) <= 3
    with pytest.raises(SptError, match="8 × 6 px"):
        clips_of(make_model(tile=8), [str(movies)])
    large = np.random.default_rng(2).integers(0, 9, (6, 32, 40)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "large.tif", large, imagej=True, metadata={"axes": "TYX"})
    tiles, _ = clips_of(make_model(tile=8, bin=2), [str(tmp_path / "large.tif")])
    assert tiles.shape[1:] == (3, 8, 8)
    with pytest.raises(SptError, match="whole frames of 8 × 6 px"):
        clips_of(make_model(), [str(tmp_path / "large.tif")])


def test_a_finished_fit_is_not_begun_anew_by_resume(home, movies, tmp_path):
    given = {"n": 1, "movies": movies, "recipe": PLAN, "device": "cpu"}
    generate_relevance(home, tmp_path / "a", **given)
    before = (home / "generator.json").read_bytes()
    heard = []

    class Listener(GenerationListener):
        def note(self, text):
            heard.append(text)

    generate_relevance(home, tmp_path / "b", resume=True, listener=Listener(), **given)
    assert (home / "generator.json").read_bytes() == before
    assert any("was finished" in text for text in heard)


def test_masks_that_are_open_everywhere_are_said(home, movies, tmp_path, monkeypatch):
    made = generate_relevance(home, tmp_path / "a", n=1, movies=movies, recipe=PLAN, device="cpu")
    open_everywhere = made.samples.masks.min() > 0.1
    assert any("No pixel of the samples" in note for note in made.notes) == open_everywhere
    made.samples.masks[:] = 0.6
    monkeypatch.setattr(Generator, "generate", lambda *_, **__: made.samples)
    again = generate_relevance(home, tmp_path / "b", n=1, device="cpu")
    assert "the median is 0.60" in again.notes[-1]
    assert again.document["notes"] == again.notes
    model = RelevanceModel.load(home)
    monkeypatch.setattr(RelevanceModel, "load", lambda *_, **__: model)
    for usual, said in ((0.55, "higher mask.price"), (0.2, "of movies 0.20: the generator has")):
        model.fitted = SimpleNamespace(mean_mask=usual)
        folder = tmp_path / f"{usual}"
        assert said in generate_relevance(home, folder, n=1, device="cpu").notes[-1]
    made.samples.masks[..., 0] = 0.0
    last = generate_relevance(home, tmp_path / "c", n=1, device="cpu")
    assert not last.notes


def test_without_diffusers_it_says_what_to_install_before_anything_else(
    home, movies, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(SptError, match=r"pip install \"spt-explain\[generator\]\"") as said:
        generate_relevance(home, tmp_path / "s", movies=movies, recipe=PLAN, device="cpu")
    assert len(str(said.value).splitlines()) == 1
    with pytest.raises(SptError, match="pip install"):
        fit_relevance(movies, "area", tmp_path / "other", generator=True, device="cpu")
    assert not (tmp_path / "other").exists()


def test_a_folder_with_a_space_is_quoted_in_what_to_type(movies, tmp_path):
    make_model().save(tmp_path / "my model")
    with pytest.raises(SptError, match=r"model='.*my model', movies="):
        generate_relevance(tmp_path / "my model", tmp_path / "s", device="cpu")


@pytest.mark.parametrize("shape", [(1, 1, 5, 5), (3, 20, 12, 12), (20, 9, 40, 10), (2, 4, 6, 30)])
def test_the_sheet_holds_samples_and_masks_on_one_scale(shape):
    rng = np.random.default_rng(1)
    w, masks = rng.normal(100, 20, shape), rng.random(shape)
    figure = samples_figure(w.astype(np.float32), masks.astype(np.float32))
    count = min(shape[0], 8)
    panels, bars = figure.axes[: 2 * count], figure.axes[2 * count :]
    assert len(bars) == 2
    assert len({axis.images[0].get_clim() for axis in panels[::2]}) == 1
    assert {axis.images[0].get_clim() for axis in panels[1::2]} == {(0.0, 1.0)}
    first = np.asarray(panels[0].images[0].get_array())
    np.testing.assert_allclose(first[:, : shape[3]], w[0, 0], rtol=1e-6)
    boxes = [axis.get_position() for axis in figure.axes]
    assert all(0 <= b.x0 < b.x1 <= 1 and 0 <= b.y0 < b.y1 <= 1 for b in boxes)
    overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(overlaps)
