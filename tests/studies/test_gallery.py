import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.explain.motion import Settings
from spt_explain.explain.remarks import remarks
from spt_explain.studies import gallery as module
from spt_explain.studies.gallery import gallery
from spt_explain.studies.scoring import PAPER_METHOD, Scorer
from spt_explain.studies.sources import TrackSource

SOURCE = TrackSource(tracks=24, length=(100, 120), seed=5)
FAST = Settings(resamples=20, shifts=2)


def test_remarks_of_each_class_and_samples_to_draw(networks):
    study = gallery(SOURCE, methods=["gradcam", "layercam:block1"], samples=2, remark_settings=FAST,
                    weights="masked", device="cpu")  # fmt: skip
    assert set(study.remarks["method"]) == {"gradcam:block4", "layercam:block1"}
    assert study.remarks["class"].nunique() == 7  # none on Brownian motion
    assert study.remarks["value"].dropna().between(0, 1).all()
    frames = study.samples.groupby(["method", "class", "sample"]).size()
    assert len(frames) == 2 * 8 * 2
    assert frames.between(100, 120).all()
    assert study.sentences[0].startswith("gradcam:block4: ")
    assert len(study.sentences) == 2 + len(study.remarks)


def test_remarks_are_those_of_all_tracks_at_once(networks, monkeypatch):
    monkeypatch.setattr(module, "POINTS_AT_ONCE", 250)
    study = gallery(SOURCE, remark_settings=FAST, weights="masked", device="cpu")
    scorer = Scorer(weights="masked", device="cpu")
    opened = SOURCE.open(scorer.classes, tracks=24, length=(100, 120))
    scorer.settle(opened)
    _, tracks = list(opened.by_class())[3]
    seen = scorer.examine(tracks)
    score = seen.frames(seen.maps(PAPER_METHOD, "true", "logit")).score
    frames = module._frames(tracks, score, "simulated")
    told = frames.drop_duplicates("particle").assign(**{"class": "SubSBM"})
    expected = remarks(frames, told, settings=FAST)
    own = study.remarks[study.remarks["class"] == "SubSBM"]
    assert own["value"].tolist() == pytest.approx(expected["value"].tolist(), nan_ok=True)
    assert own["chance"].tolist() == pytest.approx(expected["chance"].tolist(), nan_ok=True)


def test_samples_are_of_tracks_told_right_where_there_are_enough():
    correct = np.zeros(50, bool)
    correct[[4, 9, 30, 41]] = True
    first = module._sample(correct, 3, seed=1)
    assert correct[first].all()
    assert len(set(first)) == 3
    assert set(np.flatnonzero(correct)) < set(module._sample(correct, 6, seed=1))
    assert not np.array_equal(
        module._sample(np.ones(50, bool), 3, 1), module._sample(np.ones(50, bool), 3, 2)
    )


def test_numbers_out_of_range_are_refused(networks):
    with pytest.raises(SptError, match="samples="):
        gallery(samples=-1, weights="masked", device="cpu")


def test_more_tracks_of_a_class_than_are_measured_are_said(networks, monkeypatch):
    monkeypatch.setattr(module, "MOST_TRACKS", 2)
    study = gallery(SOURCE, remark_settings=FAST, weights="masked", device="cpu")
    assert study.remarks["n_tracks"].max() <= 2
    assert "8 were left out" in study.record.notes[0]
