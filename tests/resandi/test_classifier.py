import contextlib
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture, alpha_quantiles
from spt_explain.resandi.backends import load_backend
from spt_explain.resandi.backends.onnx import OnnxRunner
from spt_explain.resandi.backends.torch import TorchRunner
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.network import ResAnDi
from spt_explain.resandi.store import install_weights
from spt_explain.resandi.weights import find_weights, shipped_names
from spt_explain.resandi.windows import place_windows, softmax
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


def tells_alpha(classifier):
    return bool(classifier.weights.architecture.alpha_levels)


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


@pytest.mark.parametrize("name", shipped_names())
def test_backends_agree_to_a_thousandth(name, sample):
    positions, offsets, _ = sample
    weights = find_weights(name)
    architecture = weights.architecture
    padded = int(architecture.padded_length(np.diff(offsets)).max())
    inputs = build_inputs(
        positions,
        offsets[:-1:8],
        offsets[1::8],
        window=padded,
        kind=architecture.inputs,
        padding=architecture.padding,
    )

    def outputs(backend):
        found = load_backend(weights, backend=backend, device="cpu").outputs(inputs)
        n_classes = len(architecture.classes)
        return np.concatenate([softmax(found[:, :n_classes]), found[:, n_classes:]], axis=1)

    np.testing.assert_allclose(outputs("onnx"), outputs("torch"), atol=1e-3)


def test_table_has_the_stated_columns_and_a_row_for_every_track(classifier, sample):
    positions, offsets, _ = sample
    paths = [positions[a:b] for a, b in itertools.pairwise(offsets[:5])]
    paths += [np.zeros((30, 2)), np.arange(8.0).reshape(4, 2)]
    verdicts = classifier.classify(make_tracks(paths, branching={2: "splits in frame 3"}))
    table = verdicts.table
    assert list(table.columns) == [
        "file", "particle", "segment", "n_points", "first_frame", "last_frame", "n_gaps",
        "status", "reason", "class", "probability", "runner_up",
        *[f"p_{name}" for name in CLASS_NAMES],
        *(("alpha", "alpha_low", "alpha_high") if tells_alpha(classifier) else ()), "alpha_msd",
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
    with pytest.raises(SptError, match="min_length="):
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
        ({"batch_size": 0}, "batch_size="),
        ({"jobs": -1}, "jobs="),
        ({"backend": "tensorflow"}, "onnx, torch"),
        ({"device": "tpu"}, "auto, cuda, mps, cpu"),
        ({"device": "mps"}, "backend='torch'"),
        ({"weights": "nothing"}, "there are: resandi-"),
    ],
)
def test_options_that_cannot_be_used(options, words):
    with pytest.raises(SptError, match=words):
        Classifier(**options)


class Full:
    """A session, or a network, without memory."""

    def __call__(self, *_):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 99\nat ...")

    run = __call__


def test_memory_that_runs_out_is_one_line_with_a_remedy(monkeypatch, tmp_path):
    classifier = Classifier(device="cpu")
    tracks = make_tracks([np.arange(40.0).reshape(20, 2) ** 2])
    expected = classifier.classify(tracks).table
    monkeypatch.setattr(OnnxRunner, "_session", lambda *_: Full())
    with pytest.raises(SptError, match="Failed to allocate"):  # in the middle of the work
        classifier.classify(tracks)
    # where nothing was run before, the other library is tried
    monkeypatch.setenv("SPT_EXPLAIN_CACHE", str(tmp_path))
    classifier = Classifier(device="cpu")
    found = classifier.classify(tracks).table
    (note,) = classifier.backend.notes
    assert "Failed to allocate" in note
    assert "torch on cpu" in note
    probabilities = [f"p_{name}" for name in CLASS_NAMES]
    np.testing.assert_allclose(found[probabilities], expected[probabilities], atol=1e-4)
    # and that may have no memory either
    monkeypatch.setattr(TorchRunner, "_network", Full())
    for full in (classifier, Classifier(device="cpu")):
        with pytest.raises(SptError, match=r"Failed to allocate .*\n.*batch_size=") as caught:
            full.classify(tracks)
        assert caught.value.exit_code == 1
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_cuda_by_name_is_used_or_refused(backend):
    with contextlib.ExitStack() as stack:
        if not torch.cuda.is_available():
            stack.enter_context(pytest.raises(SptError, match=r"device='cuda'.*Leave device= out"))
        assert Classifier(backend=backend, device="cuda").backend.device.kind == "cuda"


# --- tracks padded to several lengths, and α, with weights of a lab's own

LENGTHS = (64, 128, 256)
CARD = {
    "architecture": Architecture(
        width=8, window=200, padding="masked", lengths=LENGTHS, alpha_levels=(0.05, 0.5, 0.95)
    ).to_dict(),
    "calibration": {
        "n_points": [10.0, 200.0], "temperature": [2.0, 0.5], "alpha_stretch": [0.5, 0.1]
    },
}  # fmt: skip


@pytest.fixture
def own(data):
    """A classifier with a tiny network, trained on nothing, that says different things."""
    torch.manual_seed(0)
    network = ResAnDi(Architecture.from_dict(CARD["architecture"]))
    tensors = {k: v.numpy().copy() for k, v in network.state_dict().items()}
    tensors["bn1.running_mean"] += 0.3
    tensors["fc.weight"] *= 30
    install_weights("own", tensors, CARD)
    return Classifier("own", device="cpu", batch_size=4)


def _walks(lengths, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.normal(size=(offsets[-1], 2)).cumsum(axis=0), offsets


def _definition(classifier, positions, offsets):
    """Probabilities and α, window by window, every one padded to the longest."""
    architecture = classifier.weights.architecture
    network = ResAnDi(architecture).eval()
    network.load_state_dict({k: torch.from_numpy(v) for k, v in classifier.weights.load().items()})
    probabilities, alphas, windows = [], [], []
    for i in range(len(offsets) - 1):
        starts, stops, _ = place_windows(offsets[i : i + 2], architecture.window)
        p, a = [], []
        for start, stop in zip(starts, stops, strict=True):
            x = build_inputs(
                positions, np.array([start]), np.array([stop]),
                window=architecture.lengths[-1], kind=architecture.inputs, padding="masked",
            )  # fmt: skip
            with torch.inference_mode():
                out = network(torch.from_numpy(x)).numpy()
            share = np.clip(np.log((stop - start) / 10) / np.log(20), 0, 1)
            p.append(softmax(out[:, :8] / (2 - 1.5 * share))[0])
            quantiles = alpha_quantiles(out[:, 8:])[0]
            a.append(quantiles[1] + (0.5 - 0.4 * share) * (quantiles - quantiles[1]))
        probabilities.append(np.mean(p, axis=0))
        alphas.append(np.mean(a, axis=0))
        windows.append(len(p))
    return np.array(probabilities), np.array(alphas), np.array(windows)


def test_each_track_gets_its_own_result_whatever_it_is_padded_to(own):
    lengths = [150, 10, 64, 65, 700, 128, 3, 129, 200, 201, 20, 11, 12, 13, 14, 15, 16]
    positions, offsets = _walks(lengths)
    seen = []
    own.predict(positions, offsets)  # compares each shape with the reference
    shapes = []
    runner = own.backend._runner
    plain = runner.run

    def noting(inputs, **options):
        shapes.append(inputs.shape)
        return plain(inputs, **options)

    runner.run = noting
    found = own.predict(positions, offsets, progress=lambda *done: seen.append(done))
    p, alpha, windows = _definition(own, positions, offsets)
    np.testing.assert_allclose(found.probabilities, p, atol=1e-4)
    np.testing.assert_allclose(found.alpha, alpha, atol=1e-4)
    assert found.windows.tolist() == windows.tolist()
    assert p.std(axis=0).max() > 0.05  # they do differ from track to track
    # the shortest length that fits, and more tracks at a time where it is shorter; what is left
    # goes in powers of two, so that few shapes need to be compared with the reference
    assert [(n, t) for n, _, t in shapes] == [
        (8, 64), (2, 64), (2, 128), (4, 256), (4, 256), (2, 256), (1, 256),
    ]  # fmt: skip
    assert seen[-1] == (23, 23)
    assert [done for done, _ in seen] == np.cumsum([n for n, _, _ in shapes]).tolist()


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_the_batch_size_does_not_change_what_is_said(own, batch_size):
    positions, offsets = _walks([150, 10, 64, 300, 65, 12])
    expected = own.predict(positions, offsets)
    found = Classifier("own", device="cpu", batch_size=batch_size).predict(positions, offsets)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(found.alpha, expected.alpha, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_chunks_of_tracks_give_what_all_together_give(own, size):
    positions, offsets = _walks([150, 10, 64, 300, 65, 12, 700, 3, 128, 200, 1, 2])
    expected = own.run(positions, offsets)
    found, owners = [], []
    for first in range(0, len(offsets) - 1, size):
        some = offsets[first : first + size + 1]
        ran = own.run(positions[some[0] : some[-1]], some - some[0])
        found.append(ran.outputs)
        owners.append(ran.owner + first)
    np.testing.assert_array_equal(np.concatenate(owners), expected.owner)
    p, q = (softmax(values[:, :8]) for values in (np.concatenate(found), expected.outputs))
    np.testing.assert_allclose(p, q, rtol=0, atol=1e-6)


def test_taps_come_for_every_window_once(own):
    positions, offsets = _walks([150, 10, 64, 300, 65, 12])
    expected = own.run(positions, offsets)
    tapped = Classifier("own", device="cpu", batch_size=4, taps=["nodes", "block4"])
    ran = tapped.run(positions, offsets)
    np.testing.assert_allclose(ran.outputs, expected.outputs, rtol=1e-4, atol=1e-4)
    windows = np.concatenate([part for part, _ in ran.taps])
    assert sorted(windows) == list(range(len(ran.owner)))
    bias = own.weights.load()["fc.bias"][:8]
    for part, maps in ran.taps:
        assert set(maps) == {"nodes", "block4"}
        logits = maps["nodes"].sum(axis=2) + bias
        np.testing.assert_allclose(logits, expected.outputs[part, :8], rtol=1e-3, atol=1e-3)
    assert expected.taps == []


def test_inputs_come_for_every_window_once_and_give_the_same_outputs(own):
    positions, offsets = _walks([150, 10, 64, 300, 65, 12, 20, 30, 40, 50, 60, 3, 4, 5, 6, 7, 8, 9])
    ran = own.run(positions, offsets)
    seen = np.zeros(len(ran.owner), int)
    for part, inputs in own.inputs(positions, ran.starts, ran.stops):
        seen[part] += 1
        found = own.backend.outputs(inputs)
        np.testing.assert_allclose(found, ran.outputs[part], rtol=1e-4, atol=1e-4)
        assert len(inputs) * inputs.shape[2] <= own.batch_size * 256
    assert (seen == 1).all()


def test_positions_in_any_layout_of_memory(own):
    positions, offsets = _walks([150, 10, 64])
    expected = own.predict(positions, offsets).probabilities
    frozen = positions.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(positions), positions[::-1].copy()[::-1], frozen):
        np.testing.assert_array_equal(own.predict(same, offsets).probabilities, expected)


def test_alpha_is_in_the_table_with_its_interval(own):
    positions, offsets = _walks([40, 250, 90])
    paths = [positions[a:b] for a, b in itertools.pairwise(offsets)]
    table = own.classify(make_tracks([*paths, np.zeros((4, 2))])).table
    found = table[["alpha_low", "alpha", "alpha_high"]].to_numpy()
    np.testing.assert_allclose(found[:3], own.predict(positions, offsets).alpha, atol=1e-6)
    assert (found[:3, 0] <= found[:3, 1]).all()
    assert (found[:3, 1] <= found[:3, 2]).all()
    assert np.isnan(found[3]).all()  # too short
    at = list(table.columns).index("alpha")
    assert list(table.columns[at : at + 4]) == ["alpha", "alpha_low", "alpha_high", "alpha_msd"]


def test_no_tracks_no_predictions(own):
    found = own.predict(np.zeros((0, 2)), np.zeros(1, np.int64))
    assert found.probabilities.shape == (0, 8)
    assert found.alpha.shape == (0, 3)
    assert len(found.windows) == 0


def test_weights_that_do_not_tell_alpha_say_none(data, sample):
    positions = sample[0]
    torch.manual_seed(0)
    architecture = Architecture(width=2, window=64)
    tensors = {k: v.numpy() for k, v in ResAnDi(architecture).state_dict().items()}
    install_weights("plain", tensors, {"architecture": architecture.to_dict()})
    found = Classifier("plain", device="cpu").predict(positions[:100], np.array([0, 30, 100]))
    assert found.alpha is None
    assert found.windows.tolist() == [1, 2]


def test_noise_is_in_the_table_where_the_tracks_know_their_errors(own):
    positions, offsets = _walks([40, 90])
    paths = [positions[a:b] for a, b in itertools.pairwise(offsets)]
    tracks = make_tracks([paths[0], np.zeros((4, 2)), paths[1]])
    assert "inv_snr" not in own.classify(tracks).table
    tracks.table["sigma_static"] = 0.2
    table = own.classify(tracks).table
    assert table.columns[-1] == "inv_snr"
    assert np.isnan(table["inv_snr"][1])  # too short
    for row, path in ((0, paths[0]), (2, paths[1])):
        moved = (np.diff(path, axis=0) ** 2).mean() - 2 * 0.2**2
        assert table["inv_snr"][row] == pytest.approx(0.2 / np.sqrt(moved))


def test_by_every_third_frame_is_the_mean_over_the_three_ways_to_begin() -> None:
    from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks

    rng = np.random.default_rng(0)
    paths = rng.normal(size=(4, 90, 2)).cumsum(axis=1)
    table = pd.DataFrame(
        {
            "particle": np.repeat(np.arange(4), 90),
            "frame": np.tile(np.arange(90), 4),
            "x": paths[..., 0].ravel(),
            "y": paths[..., 1].ravel(),
        }
    )
    tracks = Tracks(table, Calibration("um", "made", 0.1, "made", 0.1), Source("t", "made"))
    classifier = Classifier(alone=True)
    found = classifier.classify(tracks, QualityPolicy(every=3)).table
    told = [
        classifier.predict(paths[:, first::3].reshape(-1, 2), np.arange(5) * 30).probabilities
        for first in range(3)
    ]
    names = [name for name in found.columns if name.startswith("p_")]
    np.testing.assert_allclose(found[names], np.mean(told, axis=0), atol=1e-6)
    assert (found["n_points"] == 90).all()
    assert found["reason"].str.contains("every 3 frames").all()
    slow = Tracks(
        table[table["frame"] % 3 == 0].assign(frame=lambda t: t["frame"] // 3),
        Calibration("um", "made", 0.3, "made", 0.1),
        Source("t", "made"),
    )
    alone = classifier.classify(slow).table
    # D of one way to begin is one of three that are averaged.
    np.testing.assert_allclose(found["D_um2_s"], alone["D_um2_s"], rtol=1.0)
    short = classifier.classify(tracks, QualityPolicy(every=8, min_length=11))
    assert (short.table["status"] != "too short").all()
    with pytest.raises(SptError, match="at least 96"):
        classifier.classify(tracks, QualityPolicy(every=8, min_length=12))
