import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.report import evaluation as report
from spt_explain.report import evaluation_figures as draw
from spt_explain.report import published
from spt_explain.report.style import CLASS_COLOURS, FONT_POINTS, house_style
from spt_explain.resandi.judging import Prediction
from spt_explain.training.evaluation import evaluate_predictions
from spt_explain.training.testing import TestRun


def made(n=600, *, alpha=True, noise=(0.0, 0.5, 1.0), classes=CLASS_NAMES, only=None, seed=0):
    rng = np.random.default_rng(seed)
    k = len(classes)
    label = rng.integers(k, size=n) if only is None else np.full(n, only)
    p = rng.dirichlet(np.full(k, 0.2), n)
    swap = rng.random(n) < 0.6
    best = p.argmax(1)
    rows = np.flatnonzero(swap)
    p[rows, best[rows]], p[rows, label[rows]] = p[rows, label[rows]], p[rows, best[rows]]
    true = np.where(label < 4, rng.uniform(0.1, 0.9, n), rng.uniform(1.1, 1.9, n))
    true[label == 7] = 1
    median = true + rng.normal(0, 0.1, n)
    said = np.stack([median - 0.2, median, median + 0.2], axis=1).clip(0, 2) if alpha else None
    return evaluate_predictions(
        Prediction(p, said, np.ones(n, int)),
        label,
        rng.integers(10, 1001, n),
        true if alpha else None,
        rng.choice(noise, n) if noise else None,
        classes=classes,
    )


def a_run(evaluation, **changes):
    weights = {"name": "w", "version": "1", "sha256": "00"}
    given = {"device": "cpu", "backend": "onnx", "data": {}, "settings": {"seed": 1}}
    return TestRun(evaluation, weights, **(given | changes))


CASES = {
    "protocol": {},
    "many": {"n": 5000},
    "one level": {"noise": (0.3,)},
    "no noise": {"noise": ()},
    "no alpha": {"alpha": False},
    "one class": {"only": 2},
    "few": {"n": 3, "noise": ()},
    "one track": {"n": 1, "noise": (0.0,)},
    "own classes": {"classes": ("Free", "Confined", "BM"), "noise": ()},
    "any noise": {"noise": tuple(np.linspace(0, 1, 60))},
}


@pytest.mark.parametrize("name", list(CASES))
def test_every_figure_can_be_drawn_and_keeps_its_text_inside(name):
    evaluation = made(**CASES[name])
    with house_style():
        for made_by in draw.figures(evaluation, compare=name == "protocol").values():
            figure = made_by()
            figure.draw_without_rendering()
            width, height = figure.get_size_inches()
            box = figure.get_tightbbox()
            assert min(box.x0, box.y0) > -0.02
            assert box.x1 < width + 0.02
            assert box.y1 < height + 0.02
            for axes in figure.axes:
                for text in [*axes.get_xticklabels(), axes.xaxis.label, axes.yaxis.label]:
                    assert text.get_fontsize() >= FONT_POINTS
            assert figure.axes[0].get_xlabel() or figure.axes[-1].get_xlabel()
            assert figure.axes[0].get_ylabel()


def test_figure_5_holds_our_curve_and_the_papers():
    evaluation = made()
    (axes,) = draw.accuracy_by_noise(evaluation, compare=True).axes
    ours, gradcam, random, plain = axes.get_lines()
    assert ours.get_xdata().tolist() == [0, 0.5, 1]
    assert ours.get_ydata().tolist() == [row["accuracy"] for row in evaluation.by_noise]
    assert gradcam.get_ydata()[5] == 0.494
    assert random.get_ydata()[10] == 0.144
    assert plain.get_ydata()[0] == published.ACCURACY
    assert len(draw.accuracy_by_noise(evaluation, compare=False).axes[0].get_lines()) == 1


def test_figure_s2_is_the_confusion_matrix_by_rows():
    evaluation = made()
    axes = draw.confusion(evaluation).axes[0]
    shown = axes.get_images()[0].get_array()
    expected = evaluation.confusion / evaluation.confusion.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shown, expected)
    diagonal = [text.get_text() for text in axes.texts if text.get_position()[0] == 0]
    assert diagonal[0] == f"{100 * expected[0, 0]:.1f}"


def test_figure_s3_stacks_mean_probabilities_in_the_classes_colours():
    evaluation = made(n=4000, noise=())
    figure = draw.confidence_by_alpha(evaluation)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == list(CLASS_NAMES)
    axes = panels[2]
    rows = [row for row in evaluation.by_alpha if row["class"] == "SubFBM"]
    areas = axes.collections
    assert len(areas) == 8
    bottom = np.zeros(len(rows))
    import matplotlib as mpl

    for name, area in zip(CLASS_NAMES, areas, strict=True):
        assert mpl.colors.to_hex(area.get_facecolor()[0]).upper() == CLASS_COLOURS[name]
        top = bottom + [row[f"p_{name}"] for row in rows]
        vertices = area.get_paths()[0].vertices
        for row, height in zip(rows, top, strict=True):
            at = vertices[np.isclose(vertices[:, 0], row["alpha_from"] + 0.05)]
            assert np.isclose(at[:, 1], height).any()
        bottom = top
    np.testing.assert_allclose(bottom, 1)
    assert panels[2].get_xlim() == pytest.approx((0.1, 0.9))


def test_reliability_and_length_show_the_tables():
    evaluation = made(noise=())
    axes, below = draw.reliability(evaluation).axes
    rows = [row for row in evaluation.reliability if row["n"]]
    points = axes.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points, [[r["confidence"], r["accuracy"]] for r in rows])
    assert [bar.get_height() for bar in below.patches] == [r["n"] for r in evaluation.reliability]
    (axes,) = draw.accuracy_by_length(evaluation).axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[:2] == ["10–19", "20–49"]
    drawn = axes.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, [row["accuracy"] for row in evaluation.by_length])


def test_folder_holds_tables_figures_and_how_they_were_made(tmp_path):
    evaluation = made()
    run = a_run(evaluation, published=True)
    made_how = report.provenance(run, version="9", command=["spt-explain", "evaluate"])
    files = report.write_evaluation(run, tmp_path / "out", made_how, formats=("svg",))
    names = {path.name for path in files}
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "evaluation.json",
        *(f"{table}.csv" for table in report.TABLES),
        *(f"{figure}.{fmt}" for figure in report.FIGURES for fmt in ("svg",)),
    }
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert document["provenance"]["weights"]["sha256"] == "00"
    assert document["provenance"]["version"] == "9"
    assert document["provenance"]["seed"] == 1
    assert document["overall"]["n"] == 600
    assert "15 bins" in document["definitions"]["ece"]
    by_noise = pd.read_csv(tmp_path / "out" / "by_noise.csv")
    assert by_noise["accuracy"].tolist() == pytest.approx(
        [row["accuracy"] for row in evaluation.by_noise], abs=1e-6
    )
    drawing = (tmp_path / "out" / "figS2-confusion.svg").read_text(encoding="utf-8")
    assert ">SubATTM<" in drawing  # text stays text


def test_without_figures_matplotlib_is_not_needed(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np, pathlib\n"
        "from spt_explain.report.evaluation import *\n"
        "from spt_explain.training.evaluation import evaluate_predictions\n"
        "from spt_explain.training.testing import TestRun\n"
        "from spt_explain.resandi.judging import Prediction\n"
        "e = evaluate_predictions(Prediction(np.eye(8), None, np.ones(8)), range(8), [20] * 8)\n"
        "run = TestRun(e, {}, 'cpu', 'onnx', {}, {})\n"
        f"write_evaluation(run, pathlib.Path({str(tmp_path / 'out')!r}), {{}}, formats=())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(list((tmp_path / "out").iterdir())) == 8


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spt_explain.report.folders.save_figure", fail)
    with pytest.raises(SptError, match="No space left"):
        report.write_evaluation(a_run(made()), tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []


def test_our_own_folder_may_be_replaced_and_no_other(tmp_path):
    folder = tmp_path / "out"
    report.write_evaluation(a_run(made(n=50)), folder, {}, formats=())
    report.check_folder(folder, [], overwrite=True)
    with pytest.raises(SptError, match="overwrite=True"):
        report.check_folder(folder, [], overwrite=False)
    (folder / "mine.txt").write_text("1")
    with pytest.raises(SptError, match=r"mine\.txt"):
        report.check_folder(folder, [], overwrite=True)
