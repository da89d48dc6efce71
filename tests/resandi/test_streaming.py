import threading
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from spt_explain.resandi import streaming
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.network import ResAnDi
from spt_explain.resandi.store import install_weights
from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks, apply_policy
from spt_explain.tracks.thinning import thin

CONDITIONS = {"noise_edges": (0.05, 0.5), "exposure_edges": (0.001,)}


@pytest.fixture
def classifier(data, monkeypatch):
    """A classifier whose outputs are a function of a window's first and last position alone."""
    architecture = Architecture(
        width=2, window=64, padding="masked", alpha_levels=(0.05, 0.5, 0.95), **CONDITIONS
    )
    tensors = {k: v.numpy() for k, v in ResAnDi(architecture).state_dict().items()}
    install_weights("own", tensors, {"architecture": architecture.to_dict()})
    found = Classifier("own", device="cpu", jobs=2)
    numbers = np.random.default_rng(0).normal(size=(2, architecture.outputs))
    found.calls = []

    def run(positions, offsets, *, progress=None, seconds=None):
        assert threading.current_thread() is threading.main_thread()
        ran = found.place(offsets)
        ends = positions[ran.stops - 1, 0], positions[ran.starts, 1]
        ran.outputs[:] = np.cos(np.stack(ends, axis=1) @ numbers)
        for first in (0, 1):
            rows = np.arange(first, len(ran.owner), 2)
            ran.taps.append((rows, {"nodes": ran.outputs[rows, :3]}))
        found.calls.append(len(ran.owner))
        if progress is not None:
            progress(len(ran.owner) // 2, len(ran.owner))
            progress(len(ran.owner), len(ran.owner))
        seconds["network"] = seconds.get("network", 0.0)
        return ran

    monkeypatch.setattr(found, "run", run)
    return found


def walks(n, seed=0, longest=150, **kwargs):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, n)
    particle = np.repeat(np.arange(n), lengths)
    frame = np.concatenate([np.cumsum(rng.choice([1, 1, 1, 2, 4], k)) for k in lengths])
    xy = rng.normal(size=(len(frame), 2)).cumsum(axis=0)
    xy[particle % 7 == 3] = rng.normal(size=((particle % 7 == 3).sum(), 2))
    table = pd.DataFrame({"particle": particle, "frame": frame, "x": xy[:, 0], "y": xy[:, 1]})
    table["sigma_static"] = 0.1
    calibration = Calibration("um", "made", 0.05, "made", 0.1)
    return Tracks(table, calibration, Source("made.csv", "made"), **kwargs)


@pytest.fixture(scope="module")
def expectations():
    """Of each policy, what all tracks at once give."""
    return {}


@pytest.mark.parametrize(
    "policy",
    [
        QualityPolicy(),
        QualityPolicy(gaps="fill", max_gap=9),
        QualityPolicy(gaps="split", min_length=3),
        QualityPolicy(every=3, min_length=4),
    ],
)
@pytest.mark.parametrize(("rows", "at_once", "jobs"), [(1, 1, 1), (150, 7, 3), (999, 10**6, 2)])
def test_chunks_do_not_change_a_verdict(
    classifier, expectations, monkeypatch, policy, rows, at_once, jobs
):
    tracks = walks(
        70,
        branching={4: "it splits in frame 3.", 60: "it merges."},
        labels=pd.Series([f"Track_{i}" for i in range(71)]),
        without_points=(-1, 70),
    )
    if policy not in expectations:
        expectations[policy] = classifier.classify(tracks, policy)  # all at once
        assert len(classifier.calls) == (policy.every or 1)
    expected = expectations[policy]
    monkeypatch.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", rows)
    monkeypatch.setattr(streaming, "NETWORK_SEGMENTS", at_once)
    monkeypatch.setattr("spt_explain.resandi.judging._SLICE", 5)
    classifier.jobs = jobs
    classifier.calls.clear()
    said = []
    found = classifier.classify(tracks, policy, progress=lambda *done: said.append(done))
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    assert found.counts == expected.counts
    np.testing.assert_array_equal(found.recording.shares, expected.recording.shares)
    assert said[-1] == (sum(classifier.calls), sum(classifier.calls))
    assert all(done <= total for done, total in said)
    assert [done for done, _ in said] == sorted(done for done, _ in said)
    if at_once == 10**6:
        assert len(classifier.calls) == (policy.every or 1)
    else:
        assert len(classifier.calls) > 5


@pytest.mark.parametrize("policy", [QualityPolicy(), QualityPolicy(every=2, min_length=4)])
@pytest.mark.parametrize(("rows", "at_once", "jobs"), [(1, 1, 1), (150, 7, 3), (10**6, 10**6, 2)])
def test_what_the_verdicts_were_made_from_is_kept(
    classifier, monkeypatch, policy, rows, at_once, jobs
):
    tracks = walks(70)
    every = policy.every or 1
    needed = policy.changed(min_length=every * policy.min_length)
    segments = thin(apply_policy(tracks, needed), every, 0)
    xy = segments.points[["x", "y"]].to_numpy()
    expected = classifier.run(xy, segments.offsets, seconds={})
    monkeypatch.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", rows)
    monkeypatch.setattr(streaming, "NETWORK_SEGMENTS", at_once)
    classifier.jobs = jobs
    found = classifier.examine(tracks, policy)
    pd.testing.assert_frame_equal(found.segments.points, segments.points)
    np.testing.assert_array_equal(found.segments.offsets, segments.offsets)
    assert found.ran.n_segments == len(segments)
    for name in ("starts", "stops", "owner", "outputs"):
        np.testing.assert_array_equal(getattr(found.ran, name), getattr(expected, name))
    nodes = np.full((len(expected.owner), 3), np.nan)
    for index, taps in found.ran.taps:
        nodes[index] = taps["nodes"]
    np.testing.assert_array_equal(nodes, expected.outputs[:, :3])
    p = classifier.judge(expected, found.verdicts.recording).probabilities
    np.testing.assert_array_equal(found.prediction.probabilities, p)
    table = classifier.classify(tracks, policy).table
    pd.testing.assert_frame_equal(found.verdicts.table, table)
    best = table["probability"].dropna()
    np.testing.assert_array_equal(found.judged.max(axis=1), best)


@pytest.mark.parametrize("alone", [False, True])
def test_the_conditions_are_estimated_from_the_same_tracks(classifier, monkeypatch, alone):
    tracks = walks(100)
    classifier.alone = alone
    monkeypatch.setattr("spt_explain.resandi.recording.MOST_TRACKS", 17)
    expected = classifier.classify(tracks)
    monkeypatch.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", 100)
    monkeypatch.setattr(streaming, "NETWORK_SEGMENTS", 10)
    monkeypatch.setattr("spt_explain.resandi.judging._SLICE", 3)
    found = classifier.classify(tracks)
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    assert (found.recording is None) is alone


def test_the_time_of_the_calling_thread_is_named(classifier):
    seconds = classifier.classify(walks(30)).seconds
    assert set(seconds) == {"quality", "network", "judging", "table"}


def test_the_memory_does_not_grow_with_the_points(classifier, monkeypatch):
    monkeypatch.setattr("spt_explain.tracks.chunks.CHUNK_ROWS", 1 << 12)
    monkeypatch.setattr(streaming, "NETWORK_ROWS", 1 << 14)
    monkeypatch.setattr("spt_explain.resandi.judging._SLICE", 512)
    policy = QualityPolicy(gaps="keep")
    classifier.classify(walks(10), policy)  # what is imported on the way
    tracks = walks(2000, longest=500)
    tracks.table.pop("sigma_static")
    tracemalloc.start()
    classifier.classify(tracks, policy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Segments, their positions and a single column of float64 alone would be more than that.
    assert peak < 0.6 * 32 * len(tracks.table)
