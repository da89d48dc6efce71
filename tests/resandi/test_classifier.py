import contextlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.resandi.backends import load_backend
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.weights import find_weights, list_weights
from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "andi_sample.npz"


@pytest.fixture(scope="module")
def classifier():
    return Classifier(device="cpu")


@pytest.fixture(scope="module")
def sample():
    """128 trajectories of the official package, with their labels."""
    data = np.load(SAMPLE)
    offsets = np.concatenate([[0], np.cumsum(data["lengths"])])
    return data["positions"].astype(np.float64), offsets, data["labels"]


def make_tracks(paths, **kwargs):
    """Tracks from a list of (n, 2) arrays, particle numbers from 1."""
    lengths = [len(p) for p in paths]
    table = pd.DataFrame(
        {
            "particle": np.repeat(np.arange(1, len(paths) + 1), lengths),
            "frame": np.concatenate([np.arange(n) for n in lengths]),
            "x": np.concatenate([np.asarray(p)[:, 0] for p in paths]),
            "y": np.concatenate([np.asarray(p)[:, 1] for p in paths]),
        }
    )
    return Tracks(table, Calibration(), Source("made.csv", "made"), **kwargs)


def test_official_trajectories_are_told_apart(classifier, sample):
    positions, offsets, labels = sample
    prediction = classifier.predict(positions, offsets)
    p, windows = prediction.probabilities, prediction.windows
    assert (windows == 1).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)
    # 128 trajectories of 20-400 points; the measured accuracy of these lengths is near 0.88
    assert (p.argmax(axis=1) == labels).mean() > 0.78


def test_noise_does_not_undo_it(classifier, sample):
    positions, offsets, labels = sample
    noisy = positions + np.random.default_rng(0).normal(size=positions.shape)
    p = classifier.predict(noisy, offsets).probabilities
    assert (p.argmax(axis=1) == labels).mean() > 0.66  # the published weights reach 0.15


@pytest.mark.parametrize("name", list_weights())
def test_backends_agree_to_a_thousandth(name, sample):
    positions, offsets, _ = sample
    weights = find_weights(name)
    architecture = weights.architecture
    inputs = build_inputs(
        positions, offsets[:-1:4], offsets[1::4], window=1000, kind=architecture.inputs
    )

    def probabilities(backend):
        logits = load_backend(weights, backend=backend, device="cpu").logits(inputs)
        p = np.exp(logits.astype(float) - logits.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(probabilities("onnx"), probabilities("torch"), atol=1e-3)


def test_table_has_the_stated_columns_and_a_row_for_every_track(classifier, sample):
    positions, offsets, _ = sample
    paths = [positions[a:b] for a, b in itertools.pairwise(offsets[:5])]
    paths += [np.zeros((30, 2)), np.arange(8.0).reshape(4, 2)]
    verdicts = classifier.classify(make_tracks(paths, branching={2: "splits in frame 3"}))
    table = verdicts.table
    assert list(table.columns) == [
        "file", "particle", "segment", "n_points", "first_frame", "last_frame", "n_gaps",
        "status", "reason", "class", "probability", "runner_up",
        *[f"p_{name}" for name in CLASS_NAMES], "alpha_msd",
    ]  # fmt: skip
    assert table["particle"].tolist() == [1, 2, 3, 4, 5, 6]
    status = table.set_index("particle")["status"]
    assert status[2] == "branched"
    assert status[5] == "immobile"
    assert status[6] == "too short"
    left_out = table[table["status"].isin(["branched", "too short"])]
    assert left_out["class"].isna().all()
    assert left_out["probability"].isna().all()
    assert (left_out["reason"] != "").all()
    done = table[table["status"].isin(["classified", "undetermined"])]
    p = done[[f"p_{name}" for name in CLASS_NAMES]].to_numpy()
    np.testing.assert_allclose(p.max(axis=1), done["probability"])
    assert [CLASS_NAMES[i] for i in p.argmax(axis=1)] == done["class"].tolist()
    assert [CLASS_NAMES[i] for i in np.argsort(-p)[:, 1]] == done["runner_up"].tolist()


def test_threshold_moves_tracks_between_classified_and_undetermined(sample):
    positions, offsets, _ = sample
    tracks = make_tracks([positions[a:b] for a, b in itertools.pairwise(offsets[:9])])
    always = Classifier(device="cpu", threshold=0).classify(tracks).table
    never = Classifier(device="cpu", threshold=1).classify(tracks).table
    assert "undetermined" not in set(always["status"])
    uncertain = never[never["status"] == "undetermined"]
    assert len(uncertain) > 0
    assert uncertain["reason"].str.contains("below 1 ").all()
    pd.testing.assert_series_equal(always["class"], never["class"])


def test_a_track_longer_than_the_window_is_classified_in_windows(classifier):
    rng = np.random.default_rng(3)
    path = rng.normal(size=(2300, 2)).cumsum(axis=0)
    table = classifier.classify(make_tracks([path, path[:900]])).table
    assert table["n_points"].tolist() == [2300, 900]
    assert "4 overlapping windows" in table["reason"][0]
    assert table["reason"][1] == ""
    assert table["class"].tolist() == ["BM", "BM"]


def test_unit_origin_and_frame_numbers_do_not_change_the_verdict(classifier):
    path = np.random.default_rng(4).normal(size=(60, 2)).cumsum(axis=0)
    here = make_tracks([path])
    there = make_tracks([path * 0.11 + 500])
    there.table["frame"] += 29_984
    columns = [f"p_{name}" for name in CLASS_NAMES]
    np.testing.assert_allclose(
        classifier.classify(here).table[columns],
        classifier.classify(there).table[columns],
        atol=1e-4,
    )


def test_nothing_to_classify_is_an_error_that_says_why(classifier):
    with pytest.raises(SptError, match="--min-length"):
        classifier.classify(make_tracks([np.zeros((3, 2)), np.ones((5, 2))]))


def test_progress_ends_at_the_total(classifier):
    seen = []
    path = np.random.default_rng(5).normal(size=(40, 2)).cumsum(axis=0)
    classifier.classify(
        make_tracks([path] * 3),
        QualityPolicy(min_length=5),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 1.5}, "probability, 0 to 1"),
        ({"batch_size": 0}, "--batch-size"),
        ({"jobs": -1}, "--jobs"),
        ({"backend": "tensorflow"}, "onnx, torch"),
        ({"device": "tpu"}, "auto, cuda, mps, cpu"),
        ({"device": "mps"}, "--backend torch"),
        ({"weights": "nothing"}, "there are: resandi-"),
    ],
)
def test_options_that_cannot_be_used(options, words):
    with pytest.raises(SptError, match=words):
        Classifier(**options)


def test_memory_that_runs_out_is_one_line_with_a_remedy(monkeypatch):
    classifier = Classifier(device="cpu")

    class Full:
        def run(self, *_):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 99\nat ...")

    monkeypatch.setattr(classifier.backend, "_session", Full())
    with pytest.raises(SptError, match=r"Failed to allocate .*\n.*--batch-size") as caught:
        classifier.classify(make_tracks([np.arange(40.0).reshape(20, 2) ** 2]))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_cuda_by_name_is_used_or_refused(backend):
    with contextlib.ExitStack() as stack:
        if not torch.cuda.is_available():
            stack.enter_context(pytest.raises(SptError, match=r"--device cuda.*Leave --device out"))
        assert Classifier(backend=backend, device="cuda").backend.device.kind == "cuda"
