import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from spt_explain.errors import SptError
from spt_explain.relevance_evaluation import evaluate_relevance
from spt_explain.xddpm.bottleneck import Bottleneck
from spt_explain.xddpm.model import Fitted, RelevanceModel
from spt_explain.xddpm.network import MaskNetwork, Regressor, Shape
from spt_explain.xddpm.scale import Scale
from spt_explain.xddpm.signals import Signal
from spt_explain.xddpm.simulate import simulate
from spt_explain.xddpm.simulate.files import write_labelled
from spt_explain.xddpm.sufficiency import Curve

FAST = {"subsets": 10, "encoding": False, "formats": (), "device": "cpu"}


class Bright(MaskNetwork):
    """Relevant is what is bright."""

    def forward(self, clips):
        return 8 * (clips - 0.5), torch.zeros_like(clips)


class Sum(Regressor):
    """The sum of each frame: what each pixel adds is known."""

    def forward(self, clips):
        return self.last(clips).sum((2, 3)) / 50


def a_model(seed=0, size=(16, 16)):
    torch.manual_seed(seed)
    shape = Shape(outputs=1, per_frame=True, width=2, mask_width=2)
    values = np.random.default_rng(seed).normal(20, 4, (9, 2))
    curve = Curve((0.1, 1.0), (0.5, 0.0), (0.9, 0.9), 0.95, 0)
    fitted = Fitted(0.9, 0.0, 0.9, 9, ("movie-0001.tif",), 5, 1.0, 0.1, curve, {})
    signal = Signal.fit(values, ("area",), per="frame")
    return RelevanceModel(
        Sum(shape), Bright(shape), Bottleneck("fixed", 0.1), Scale(0.0, 1.0), signal, 2, size,
        fitted=fitted,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("movies") / "test"
    write_labelled(simulate("tension", 12, frames=2, size=16, seed=3), path)
    return path


@pytest.fixture
def models(tmp_path, monkeypatch):
    made = {}
    for name in ("one", "two"):
        made[name] = a_model()
        made[name].save(tmp_path / name)
    monkeypatch.setattr(
        RelevanceModel, "load", classmethod(lambda cls, place, device="cpu": made[place.name])
    )
    return [tmp_path / name for name in made]


def test_maps_that_are_right_score_as_the_true_map(folder, models, tmp_path):
    found = evaluate_relevance(models, folder, tmp_path / "out", published=True, **FAST)
    table = found.comparison.table.set_index("method")
    # a cell without noise: what is brighter than one half is the cell
    assert table.loc["xddpm", "iou"] > 0.9
    assert table.loc["xddpm", "n_seeds"] == 2
    assert table.loc["true map", "iou"] == table.loc["floor: whole cell", "iou"] == 1
    assert table.loc["floor: random", "iou"] < 0.3
    # a regressor that sums is asked: brightness is what each pixel adds
    assert table.loc["floor: brightness", "sensitivity_own"] > 0.9
    assert abs(table.loc["floor: random", "sensitivity_own"]) < 0.35
    assert found.stability == pytest.approx(1)
    assert len(table) == 2 + 7 + 5 + 1
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "IoU, paper" in text
    assert "0.669" in text
    written = pd.read_csv(tmp_path / "out" / "evaluation.csv")
    assert written["method"].tolist() == list(table.index)
    said = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert said["clips"]["to choose"] + said["clips"]["measured"] == 12
    assert said["models"][0]["iou_half"] > 0.9


def test_without_truth_what_needs_none_is_measured(folder, models, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine, ignore=shutil.ignore_patterns("truth", "settings.json"))
    found = evaluate_relevance(
        models[0],
        mine,
        tmp_path / "out",
        signal=f"{mine}/signals-per-frame.csv:area",
        baselines=False,
        **FAST,
    )
    table = found.comparison.table
    assert "iou" not in table
    assert table["sensitivity_own"].notna().all()
    assert "true map" not in set(table["method"])
    assert any("No true pixels" in note for note in found.notes)


def test_movies_fitted_to_are_left_out(folder, models, tmp_path):
    known = [{"name": str(folder / f"movie-{i:04d}.tif")} for i in range(4)]
    (models[0] / "fit.json").write_text(json.dumps({"movies": known, "cwd": "/"}))
    found = evaluate_relevance(models[0], folder, tmp_path / "out", baselines=False, **FAST)
    clips = found.document["clips"]
    # of the four one was held out in the fit, if clips of movies bear their movies' names
    assert clips["to choose"] + clips["measured"] in (8, 9)
    assert any("were left out" in note for note in found.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signal": "nothing.csv"}, "nothing.csv"),
        ({"truth": "nowhere"}, "truth='nowhere' is no folder"),
        ({"movies": "nowhere"}, "nowhere was not found"),
        ({"model": "nowhere"}, "nowhere was not found"),
        ({"model": []}, "no model was named"),
        ({"signal": "circumference"}, "the model predicts area"),
        ({"yardstick": "nowhere"}, "nowhere was not found"),
    ],
)
def test_refused(changes, message, folder, models, tmp_path):
    given = {"model": models[0], "movies": folder, "baselines": False, **FAST} | changes
    with pytest.raises(SptError, match=message):
        evaluate_relevance(output=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_models_must_be_seeds_of_one_fit(folder, tmp_path):
    a_model().save(tmp_path / "one")
    a_model(size=(16, 12)).save(tmp_path / "two")
    with pytest.raises(SptError, match="have not the same clips"):
        evaluate_relevance([tmp_path / "one", tmp_path / "two"], folder, tmp_path / "out", **FAST)


def test_results_are_not_lost(folder, models, tmp_path):
    out = tmp_path / "out"
    evaluate_relevance(models[0], folder, out, baselines=False, **FAST)
    with pytest.raises(SptError, match="exists and is not written over"):
        evaluate_relevance(models[0], folder, out, baselines=False, **FAST)
    (out / "mine.txt").write_text("x")
    with pytest.raises(SptError, match=r"mine\.txt"):
        evaluate_relevance(models[0], folder, out, baselines=False, overwrite=True, **FAST)


def test_a_model_named_twice_is_refused(folder, models, tmp_path):
    twice = [models[0], models[0].parent / "two" / ".." / "one"]
    with pytest.raises(SptError, match="named twice"):
        evaluate_relevance(twice, folder, tmp_path / "out", **FAST)


def test_movies_are_no_masks(folder, models, tmp_path):
    with pytest.raises(SptError, match="holds no mask"):
        evaluate_relevance(
            models[0], folder, tmp_path / "out", truth=folder, baselines=False, **FAST
        )


def test_what_is_no_movie_is_said_before_its_table_is_missed(models, tmp_path):
    (tmp_path / "notes.txt").write_text("no movie")
    with pytest.raises(SptError, match="no TIFF file"):
        evaluate_relevance(models[0], tmp_path / "notes.txt", tmp_path / "out", **FAST)


def test_advice_on_fits_is_left_out(folder, models, tmp_path):
    found = evaluate_relevance(
        models[0], folder, tmp_path / "out", baselines=False, published=True, **FAST
    )
    assert not any("to learn from" in note or "held out" in note for note in found.notes)
    assert any("The paper's clips are 20 × 32 × 32" in note for note in found.notes)
    text = (tmp_path / "out" / "evaluation.md").read_text(encoding="utf-8")
    assert "Signal area;" in text
    assert "95 % intervals" in text


def test_the_figure_says_what_is_what_and_holds_the_papers_figures():
    from spt_explain.report.relevance_evaluation import draw

    rows = [("xddpm", "method", 0.7), ("gradient", "baseline", 0.5), ("true map", "ceiling", 1.0)]
    table = pd.DataFrame(
        [{"method": m, "role": r, "iou": v, "iou_low": v - 0.1, "iou_high": v} for m, r, v in rows]
    )
    figure = draw(table, {"gradient": (0.53, 0.0)})
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[-1] == "the paper"
    assert [word.partition(",")[0] for word in said[:-1]] == [
        "the model", "baselines", "the true map",
    ]  # fmt: skip
    (axes,) = [one for one in figure.axes if one.get_visible()]
    diamonds = [line for line in axes.lines if line.get_marker() == "D"]
    assert [tuple(line.get_xdata()) for line in diamonds] == [(0.53,)]
    assert len(draw(table).legends[0].get_texts()) == 3
