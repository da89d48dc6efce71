import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.graph import BLOCKS
from spt_explain.studies import embedding as module
from spt_explain.studies.embedding import embedding, pooled
from spt_explain.studies.sources import TrackSource


@pytest.mark.parametrize("weights", ["published", "masked"])
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_what_is_pooled_of_the_last_block_is_what_the_network_decides_by(
    networks, tracks, weights, backend
):
    one = tracks((60, 128, 129, 1000, 2))
    classifier = Classifier(weights, device="cpu", taps=BLOCKS, backend=backend)
    found = pooled(classifier, one)
    tensors = classifier.weights.load()
    outputs = found["block4"] @ tensors["fc.weight"].T + tensors["fc.bias"]
    assert np.allclose(outputs, classifier.run(one.positions, one.offsets).outputs, atol=1e-4)
    assert [found[block].shape[1] for block in BLOCKS] == [2, 4, 8, 16]


def test_a_track_in_several_windows_is_their_mean(networks, tracks):
    one = tracks((1500,))
    classifier = Classifier("masked", device="cpu", taps=BLOCKS)
    ran = classifier.run(one.positions, one.offsets)
    assert len(ran.starts) == 2
    parts = [
        pooled(classifier, tracks((1500,)).__class__(
            one.positions[a:b], np.array([0, b - a]), one.label, one.alpha, one.noise
        ))["block2"]
        for a, b in zip(ran.starts, ran.stops, strict=True)
    ]  # fmt: skip
    assert np.allclose(pooled(classifier, one)["block2"], np.mean(parts, axis=0), atol=1e-6)


def test_neighbours_are_counted_as_by_hand():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 3)).astype(np.float32)
    values[5] = values[6]  # at the same place: a track is still not its own neighbour
    label = np.repeat([0, 1, 2], 20)
    scored = np.arange(60)
    classes = ("BM", "SupLW", "SupFBM")
    row, rows = module._separation("block1", values, label, scored, classes, 5)
    far = ((values[:, None].astype(float) - values[None]) ** 2).sum(2)
    np.fill_diagonal(far, np.inf)
    near = label[np.argsort(far, axis=1)[:, :5]]
    share = np.stack([(near == k).mean(axis=1) for k in range(3)], axis=1)
    assert row["knn_accuracy"] == (share.argmax(axis=1) == label).mean()
    for k, own in enumerate(rows):
        assert [own[f"near_{c}"] for c in classes] == pytest.approx(share[label == k].mean(axis=0))
    # SupLW and SupFBM are one cluster of the paper's in the first block
    group = np.array([0, 1, 1])
    by_group = np.stack([share[:, 0], share[:, 1] + share[:, 2]], axis=1)
    assert row["n_groups"] == 2
    assert row["group_accuracy"] == (by_group.argmax(axis=1) == group[label]).mean()


def test_a_study_with_maps(networks):
    pytest.importorskip("openTSNE")
    study = embedding(TrackSource(tracks=40, length=(60, 100)), neighbours=5, weights="masked",
                      device="cpu")  # fmt: skip
    assert study.blocks["block"].tolist() == list(BLOCKS)
    assert study.blocks["channels"].tolist() == [2, 4, 8, 16]
    assert len(study.points) == 40
    assert np.isfinite(study.points[[f"{b}_{i}" for b in BLOCKS for i in (1, 2)]]).all(axis=None)
    assert len(study.classes) == 4 * 8
    near = study.classes[[c for c in study.classes if c.startswith("near_")]].sum(axis=1)
    assert near.to_numpy() == pytest.approx(1)


def test_numbers_alone_are_of_a_sample(networks, monkeypatch):
    monkeypatch.setattr(module, "SCORED", 10)
    study = embedding(TrackSource(tracks=24, length=(30, 60)), neighbours=3, maps=False,
                      weights="masked", device="cpu")  # fmt: skip
    assert study.points.empty
    assert (study.blocks["n_scored"] == 10).all()
    assert (study.blocks["n_tracks"] == 24).all()
    assert any("chosen at random" in note for note in study.record.notes)


def test_what_is_missing_is_said_in_one_line_with_a_remedy(networks, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SptError, match=r"pip install .*studies") as caught:
        embedding(weights="masked", device="cpu")
    assert "\n" not in str(caught.value)


def test_too_few_tracks_are_refused(networks):
    with pytest.raises(SptError, match="neighbours="):
        embedding(TrackSource(tracks=8, length=(30, 30)), weights="masked", device="cpu")
