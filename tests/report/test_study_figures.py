import numpy as np
import pandas as pd
import pytest

from spt_explain.report.studies import check_study_folder, study_figures, summary_of, write_study
from spt_explain.report.study_maps import smoothed
from spt_explain.report.style import house_style
from spt_explain.studies.correlation import CorrelationStudy
from spt_explain.studies.embedding import EmbeddingStudy
from spt_explain.studies.erasure import ErasureStudy
from spt_explain.studies.erasure_tables import Tally, tables
from spt_explain.studies.gallery import GalleryStudy
from spt_explain.studies.record import Record
from spt_explain.studies.sensitivity import UNTRAINED, SensitivityStudy

CLASSES = ("SubATTM", "SubFBM", "SupLW", "BM")
BLOCKS = ("block1", "block2", "block3", "block4")


def _record(study):
    weights = {"name": "mine", "version": "1.0", "sha256": "0" * 64}
    return Record(study, weights, "onnx", "cpu", {}, "some tracks", {"seed": 1})


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def erasure(rng):
    def tally(top):
        right = rng.random((40, 10)) < np.linspace(1, top, 10)
        return Tally([right], [right], [np.full(40, 1 - top)], [np.zeros(40)], [np.ones(40)])

    def plain(top):
        return Tally([rng.random((40, 10)) < np.linspace(1, top, 10)])

    deciles, methods = tables(
        np.repeat([15, 500], 20),
        np.ones(40, bool),
        {
            ("cut", "gradcam:block4"): tally(0.8),
            ("cut", "integrated-gradients"): tally(0.2),
            ("paper", "random"): plain(0.5),
            ("paper", "gradcam:block4"): plain(0.1),
            ("paper", "integrated-gradients"): plain(0.6),
        },
        comparable=True,
    )
    parts = [
        pd.DataFrame({"track": i, "class": "BM", "method": "gradcam:block4", "frame": range(40),
                      "x": rng.normal(size=40).cumsum(), "y": rng.normal(size=40).cumsum(),
                      "score": 0.0, "by_score": np.arange(40) < 4, "at_random": np.arange(40) > 35})
        for i in range(2)
    ]  # fmt: skip
    return ErasureStudy(deciles, methods, pd.concat(parts), _record("erasure"))


@pytest.fixture
def sensitivity():
    widths, responses, nodes = [], [], []
    for network, change in (("mine", "impulse"), ("mine", "step"), (UNTRAINED, "impulse")):
        for i, block in enumerate(BLOCKS):
            widths.append(
                {"network": network, "change": change, "block": block, "frames_per_node": 4 * 2**i,
                 "nodes": 32, "receptive_field": 263 * (i + 1), "holding_90": 50 * (i + 1),
                 "above_half": 20, "above_threshold": 70 * (i + 1),
                 "published": 225 if i == 3 else np.nan}
            )  # fmt: skip
            responses += [
                {"network": network, "change": change, "block": block, "node": node, "frame": frame,
                 "response": 1.0, "size": 1.0}
                for node in (0, 15, 31) for frame in (0, 500)
            ]  # fmt: skip
        nodes.append({"network": network, "change": change, "node": 0, "above_threshold": 200})
    return SensitivityStudy(
        *(pd.DataFrame(rows) for rows in (widths, nodes, responses)), _record("sensitivity")
    )


@pytest.fixture
def embedding(rng):
    blocks = pd.DataFrame({"block": BLOCKS, "channels": 4, "knn_accuracy": 0.5, "silhouette": -0.1})
    by_class = pd.DataFrame(
        [{"block": b, "class": c, **{f"near_{d}": 0.25 for d in CLASSES}}
         for b in BLOCKS for c in CLASSES]
    )  # fmt: skip
    points = {"track": range(20), "class": np.resize(CLASSES, 20), "n_points": 100}
    points |= {f"{b}_{i}": rng.normal(size=20) for b in BLOCKS for i in (1, 2)}
    return EmbeddingStudy(blocks, by_class, pd.DataFrame(points), _record("embedding"))


@pytest.fixture
def correlation():
    rows = [
        {"method": "gradcam:block4", "pairing": pairing, "class": c, "variant": v, "statistic": s,
         "pearson": -0.123, "spearman": 0.1, "published": np.nan if s == "NG" else 0.37,
         "agrees": "no"}
        for pairing in ("window", "node") for c in CLASSES for v in ("pooled", "within")
        for s in ("AC", "CS", "NG", "SG", "VD")
    ]  # fmt: skip
    return CorrelationStudy(pd.DataFrame(rows), _record("correlation"))


@pytest.fixture
def gallery(rng):
    remarks = pd.DataFrame(
        [{"method": m, "class": c, "remark": "r", "measure": "the middle scores high",
          "kind": "share", "value": 0.6, "low": 0.5, "high": 0.7, "chance": 0.4, "holds": True,
          "n_tracks": 9, "sentence": "in 60 % it does"}
         for m in ("gradcam:block4", "occlusion") for c in CLASSES[:3]]
    )  # fmt: skip
    samples = pd.concat(
        pd.DataFrame({"method": m, "class": c, "sample": i, "track": i, "frame": range(64),
                      "x": rng.normal(size=64).cumsum(), "y": 0.0, "score": rng.normal(size=64)})
        for m in ("gradcam:block4", "occlusion") for c in CLASSES for i in range(3)
    )  # fmt: skip
    return GalleryStudy(remarks, samples, _record("gallery"))


def _texts(figure):
    from matplotlib.text import Text

    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.fixture
def drawn():
    """Return a function that draws all figures of a study: the texts in each, by file name."""

    def draw(study):
        with house_style():
            return {name: _texts(make()) for name, make in study_figures(study).items()}

    return draw


def test_erasure(erasure, drawn):
    found = drawn(erasure)
    assert list(found) == ["fig2-erased", "fig3-accuracy-by-decile", "methods", "methods-by-length"]
    three = " ".join(found["fig3-accuracy-by-decile"])
    assert "best: integrated gradients" in three  # of cut
    assert "best: Grad-CAM, block 4" in three  # of paper
    for words in ("paper, random", "nothing erased", "decile"):
        assert words in three
    assert "integrated gradients" in found["methods"]
    assert "10–19\n(20)" in found["methods-by-length"]
    assert any(text.startswith("BM, 40 frames") for text in found["fig2-erased"])


def test_one_method_and_one_length_need_no_comparison(erasure, drawn):
    from dataclasses import replace

    def some(table):
        return table[(table["points"] == "all") & (table["method"] != "integrated-gradients")]

    study = replace(erasure, deciles=some(erasure.deciles), methods=some(erasure.methods),
                    examples=pd.DataFrame())  # fmt: skip
    study.methods["best"] = False
    assert list(drawn(study)) == ["fig3-accuracy-by-decile"]


def test_sensitivity(sensitivity, drawn):
    found = drawn(sensitivity)
    assert list(found) == ["figS4-responses", "widths-by-block"]
    assert any("untrained" in text for text in found["figS4-responses"])
    assert "paper: 225" in found["widths-by-block"]


def test_embedding(embedding, drawn):
    found = drawn(embedding)
    assert list(found) == ["fig6-embedding", "neighbours"]
    assert set(CLASSES) < set(found["fig6-embedding"])
    assert any("50 % have neighbours" in text and "−0.10" in text for text in
               found["fig6-embedding"])  # fmt: skip
    from dataclasses import replace

    assert list(drawn(replace(embedding, points=pd.DataFrame()))) == ["neighbours"]


def test_correlation(correlation, drawn):
    found = drawn(correlation)
    assert list(found) == ["fig7-correlation-gradcam-block4"]
    texts = found["fig7-correlation-gradcam-block4"]
    assert texts.count("paper (Fig. 7)") == 1
    assert texts.count("−.12") == 4 * 5 * 4
    assert texts.count(".37") == 4 * 4  # NG has no published value


def test_gallery(gallery, drawn):
    found = drawn(gallery)
    assert list(found) == ["figS5-gallery-gradcam-block4", "figS5-gallery-occlusion", "remarks"]
    assert set(CLASSES) < set(found["figS5-gallery-gradcam-block4"])
    assert any("means over 1/32" in text for text in found["figS5-gallery-occlusion"])
    assert not any("means over" in text for text in found["figS5-gallery-gradcam-block4"])
    assert "SubATTM: the middle scores high" in found["remarks"]


def test_a_running_mean_of_what_is_there():
    values = np.arange(10.0)
    assert smoothed(values, 1) is values
    assert smoothed(values, 3)[1:-1] == pytest.approx(values[1:-1])
    assert smoothed(values, 3)[0] == pytest.approx(0.5)
    assert smoothed(np.ones(10), 4) == pytest.approx(np.ones(10))


def test_the_folder_holds_tables_figures_and_how_they_were_made(correlation, tmp_path):
    import json

    files = write_study(correlation, tmp_path / "out", {"program": "spt-explain"}, formats=("svg",))
    assert [path.name for path in files] == [
        "correlations.csv", "fig7-correlation-gradcam-block4.svg", "study.json"
    ]  # fmt: skip
    table = pd.read_csv(files[0], keep_default_na=False, na_values=[""])
    assert len(table) == len(correlation.correlations)
    document = json.loads(files[-1].read_text(encoding="utf-8"))
    assert document["provenance"] == {"program": "spt-explain"}
    assert document["correlations"][2]["published"] is None  # no NaN, which is no JSON
    assert "NaN" not in files[-1].read_text(encoding="utf-8")
    check_study_folder(tmp_path / "out", [], overwrite=True)


def test_large_tables_are_not_in_the_summary(gallery, erasure):
    assert set(summary_of(gallery)) == {"study", "sentences", "remarks"}
    assert set(summary_of(erasure)) == {"study", "sentences", "methods", "deciles"}
