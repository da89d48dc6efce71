from pathlib import Path

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi.classifier import Classifier
from spt_explain.training.labelled import read_labelled
from spt_explain.training.testing import Watcher, evaluate

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "andi_sample.npz"
SMALL = {"device": "cpu", "length": (10, 60)}


class Listening(Watcher):
    def __init__(self):
        self.seen, self.said, self.files = [], "", []

    def read(self, tracks):
        self.files.append(tracks.report["name"])

    def ready(self, classifier, what):
        self.said = what

    def progress(self, done, total):
        self.seen.append((done, total))


def test_official_trajectories_from_an_archive():
    """The same numbers as from the classifier and the sample by hand."""
    heard = Listening()
    run = evaluate(data=[SAMPLE], tracks=48, device="cpu", watcher=heard)
    tracks = read_labelled(SAMPLE).subset(48, seed=1)
    p = Classifier(device="cpu").predict(tracks.positions, tracks.offsets).probabilities
    assert run.evaluation.overall["n"] == 48
    hits = (p.argmax(1) == tracks.label).mean()
    assert run.evaluation.overall["accuracy"] == pytest.approx(hits)
    assert hits > 0.7
    assert run.evaluation.by_noise == []
    assert run.weights["sha256"]
    assert run.data["files"][0]["sha256"]
    assert not run.published
    assert heard.files == [str(SAMPLE)]
    assert heard.seen[-1] == (48, 48)
    assert "48 labelled tracks" in heard.said


def test_noise_on_files_tests_the_same_tracks_at_each_level():
    run = evaluate(data=[SAMPLE], tracks=16, noise=[1.0, 0.0, 1.0], device="cpu")
    assert [(row["noise"], row["n"]) for row in run.evaluation.by_noise] == [(0, 16), (1, 16)]
    assert "same tracks" in run.notes[-1]
    labels = [one.confusion.sum(axis=1).tolist() for one in run.evaluation.at_noise.values()]
    assert labels[0] == labels[1]


def test_simulated_tracks_by_level_and_seed():
    heard = Listening()
    first = evaluate(tracks=9, noise=[0, 0.5], seed=4, watcher=heard, **SMALL)
    assert [row["n"] for row in first.evaluation.by_noise] == [16, 16]  # rounded up to the classes
    assert np.diff(first.evaluation.confusion.sum(axis=1)).tolist() == [0] * 7
    assert first.data["simulated"]["seed"] == 4
    assert "2 simulated tracks of each of 8 classes at each of 2 noise levels" in heard.said
    assert heard.seen == sorted(heard.seen)
    assert heard.seen[-1] == (32, 32)
    again = evaluate(tracks=9, noise=[0, 0.5], seed=4, **SMALL)
    assert again.evaluation.to_dict() == first.evaluation.to_dict()
    alone = evaluate(tracks=9, noise=[0.5], seed=4, **SMALL)
    assert alone.evaluation.overall == first.evaluation.at_noise[0.5].overall


def test_several_files_are_tested_together(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        walk = rng.normal(size=(40, 2)).cumsum(axis=0)
        rows = [f"0,{t},{x},{y},BM,1.0,0.3" for t, (x, y) in enumerate(walk)]
        (tmp_path / f"{name}.csv").write_text(
            "\n".join(["particle,frame,x,y,class,alpha,noise", *rows]) + "\n"
        )
    run = evaluate(data=[tmp_path / "a.csv", tmp_path / "b.csv"], device="cpu")
    assert run.evaluation.overall["n"] == 2
    assert [row["noise"] for row in run.evaluation.by_noise] == [0.3]
    assert [report["tracks_tested"] for report in run.data["files"]] == [1, 1]
    with pytest.raises(SptError, match="already"):
        evaluate(data=[tmp_path / "a.csv"], noise=[0.5], device="cpu")


@pytest.mark.parametrize("noise", [[-0.1], [float("nan")], [float("inf")], [1e9]])
def test_impossible_noise(noise):
    with pytest.raises(SptError, match="noise="):
        evaluate(noise=noise)


def test_bad_files_and_options_are_told_before_any_work(tmp_path):
    with pytest.raises(SptError, match="not found"):
        evaluate(data=[tmp_path / "none.csv"], device="cpu")
    with pytest.raises(SptError, match="tracks="):
        evaluate(tracks=0)
    with pytest.raises(SptError, match="nonesuch"):
        evaluate("nonesuch")
