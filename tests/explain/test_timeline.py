from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.measurement import measure
from spt_explain.diffusion.simulate import simulate_steps
from spt_explain.explain.likeness import NOISELESS, NOISY, likeness_at, measure_likeness
from spt_explain.explain.timeline import REFERENCE, find_changes, timeline_table
from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.judging import Prediction
from spt_explain.resandi.recording import Recording

PLAIN = likeness_at(None, ("A", "B", "C"))


class Told:
    """A network that says what class each window is, from the x of its middle."""

    def __init__(self):
        self.weights = SimpleNamespace(
            architecture=SimpleNamespace(classes=("A", "B", "C"), window=1000)
        )
        self.asked = self.recording = None

    def predict(self, positions, offsets, *, recording=None, progress=None):
        self.asked, self.recording = (positions, offsets), recording
        middle = positions[(offsets[:-1] + offsets[1:]) // 2, 0].astype(int)
        p = np.full((len(middle), 3), 0.02)
        p[np.arange(len(middle)), middle] = 0.96
        if progress is not None:
            progress(len(middle), len(middle))
        return Prediction(p, None, np.ones(len(middle), int), recording)


def frames_of(*kinds, file="a.csv", first_frame=0):
    """Tracks whose x says of which class (0, 1, 2) each point is."""
    parts = [
        pd.DataFrame(
            {
                "file": file,
                "particle": i,
                "segment": 0,
                "frame": np.arange(len(kind)) + first_frame,
                "x": np.asarray(kind, float),
                "y": 0.0,
            }
        )
        for i, kind in enumerate(kinds)
    ]
    return pd.concat(parts, ignore_index=True)


def best_by_trying(evidence, penalty):
    """Every path of classes, the best of them."""
    n, k = evidence.shape
    paths = np.array(list(product(range(k), repeat=n)))
    worth = evidence[np.arange(n), paths].sum(axis=1)
    worth -= penalty * (np.diff(paths, axis=1) != 0).sum(axis=1)
    return worth.max(), paths, worth


@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.1, 3))
def test_the_cut_is_the_best_of_all(seed, n, penalty):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(3, 0.3), size=n)
    weight = 0.5
    found = find_changes(p, np.zeros(n, int), PLAIN, weight=weight, penalty=penalty)
    evidence = weight * np.log(np.maximum(p @ PLAIN.T, 1e-3))
    cost = penalty * np.sqrt(n * weight / REFERENCE)  # fewer windows than the reference
    best, _, _ = best_by_trying(evidence, cost)
    worth = evidence[np.arange(n), found.stretch].sum() - cost * found.change.sum()
    assert worth == pytest.approx(best)
    assert (found.gain[found.change] >= cost - 1e-9).all()
    assert np.isnan(found.gain[~found.change]).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 1000))
def test_tracks_do_not_know_of_each_other(counts, seed):
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(counts)), counts)
    p = rng.dirichlet(np.full(3, 0.2), size=len(owner))
    together = find_changes(p, owner, PLAIN, weight=0.5, penalty=0.7)
    for i in range(len(counts)):
        rows = owner == i
        alone = find_changes(p[rows], owner[rows], PLAIN, weight=0.5, penalty=0.7)
        np.testing.assert_array_equal(alone.stretch, together.stretch[rows])
        np.testing.assert_array_equal(alone.change, together.change[rows])
        np.testing.assert_allclose(alone.gain, together.gain[rows])


def test_a_lasting_change_is_found_and_a_passing_one_is_not():
    lasting = [0] * 500 + [2] * 500
    passing = [0] * 480 + [1] * 60 + [0] * 460
    table = timeline_table(frames_of(lasting, passing, [1] * 399, first_frame=7), Told())
    assert table["particle"].unique().tolist() == [0, 1]
    first = table[table["particle"] == 0]
    assert len(first) == 17
    assert first["first_frame"].iloc[0] == 7
    assert first["last_frame"].iloc[-1] == 1006
    assert first["change"].sum() == 1
    change = first[first["change"]].iloc[0]
    assert change["change_frame"] == pytest.approx(507, abs=30)
    assert change["gain"] > 2
    assert first["stretch"].tolist() == first["class"].tolist()
    second = table[table["particle"] == 1]
    assert "B" in second["class"].tolist()  # it is told, but not taken for a change
    assert set(second["stretch"]) == {"A"}
    assert not second["change"].any()
    assert second["change_frame"].isna().all()


def test_table_has_the_columns_and_the_windows_of_the_track():
    frames = frames_of([0] * 500, [1] * 400, file="b.csv")
    network = Told()
    seen = []
    table = timeline_table(
        frames, network, width=100, stride=40, progress=lambda *now: seen.append(now)
    )
    assert list(table) == [
        *("file", "particle", "segment", "window", "first_frame", "last_frame", "class"),
        *("p_A", "p_B", "p_C", "stretch", "change", "change_frame", "gain"),
    ]
    assert set(table["file"]) == {"b.csv"}
    positions, offsets = network.asked
    assert set(np.diff(offsets)) == {100}
    starts = table["first_frame"] + 500 * table["particle"]
    np.testing.assert_array_equal(positions[offsets[:-1], 0], frames["x"].to_numpy()[starts])
    assert (table["last_frame"] - table["first_frame"] == 99).all()
    gap = table.groupby("particle")["first_frame"].diff().dropna()
    assert gap.max() <= 40
    assert seen == [(len(table), len(table))]


def test_short_tracks_give_an_empty_table_with_columns():
    table = timeline_table(frames_of([0] * 399), Told())
    assert len(table) == 0
    assert "p_B" in table
    again = timeline_table(frames_of([0] * 399), Told(), shortest=200)
    assert len(again) == 5
    assert list(again) == list(table)


def test_windows_are_judged_under_the_recording_that_is_given():
    frames = frames_of([0] * 200 + [1] * 300)
    network = Told()
    timeline_table(frames, network)
    assert network.recording is None
    known = Recording(np.array([1.0, 0.0]), 0.0, 0.0)
    timeline_table(frames, network, recording=known)
    assert network.recording is known


def test_wrong_arguments():
    frames = frames_of([0] * 500)
    for options in ({"width": 1}, {"width": 2000}, {"stride": 0}, {"stride": 300}, {"penalty": -1}):
        with pytest.raises(ValueError, match="expected a width"):
            timeline_table(frames, Told(), **options)
    with pytest.raises(ValueError, match="likeness"):
        timeline_table(frames, Told(), likeness=np.eye(8))
    with pytest.raises(ValueError, match="'x'"):
        timeline_table(frames.drop(columns="x"), Told())


def test_likeness_tables_are_shares_and_follow_the_noise():
    for table in (NOISELESS, NOISY):
        np.testing.assert_allclose(np.sum(table, axis=1), 1, atol=0.005)
    assert likeness_at(0.0)[1, 2] < 0.01  # SubCTRW without noise never looks like SubFBM
    assert likeness_at(0.5)[1, 2] > 0.3
    assert 0.05 < likeness_at(0.1)[1, 2] < likeness_at(0.5)[1, 2]
    np.testing.assert_array_equal(likeness_at(None), likeness_at(2.0))
    other = likeness_at(0.0, ("A", "B"))
    np.testing.assert_allclose(other, [[0.9, 0.1], [0.1, 0.9]])
    assert likeness_at(0.0, ("A",)).shape == (1, 1)


@pytest.fixture(scope="module")
def small():
    return Classifier("resandi-small", device="cpu", jobs=1)


def halves(first, second, n_tracks, points, seed):
    """Tracks that switch mechanism halfway, steps of both of the same size."""
    generator = torch.Generator().manual_seed(seed)
    steps = []
    for name, alpha in (first, second):
        half, _ = simulate_steps(
            CLASS_NAMES.index(name),
            n_tracks,
            points // 2 + 1,
            generator=generator,
            alpha=torch.full((n_tracks,), alpha),
        )
        steps.append(half / half.square().mean((1, 2), keepdim=True).sqrt())
    length = torch.full((n_tracks,), points)
    noise = torch.full((n_tracks,), 0.2)
    path = measure(torch.cat(steps, dim=1), length, noise, generator)
    table = frames_of(*[[0] * points] * n_tracks)
    table[["x", "y"]] = path[:, :points].double().numpy().reshape(-1, 2)
    return table


def test_shipped_weights_find_a_switch_and_none_where_there_is_none(small):
    switching = halves(("SubFBM", 0.3), ("SupLW", 1.4), 2, 800, seed=3)
    steady = halves(("SubFBM", 0.3), ("SubFBM", 0.3), 2, 800, seed=4)
    steady["particle"] += 2
    table = timeline_table(pd.concat([switching, steady], ignore_index=True), small)
    changes = table[table["change"]]
    assert changes["particle"].tolist() == [0, 1]
    assert changes["change_frame"].to_numpy() == pytest.approx(400, abs=100)
    assert set(changes["stretch"]) == {"SupLW"}
    assert set(table[table["particle"] >= 2]["stretch"]) == {"SubFBM"}


def test_likeness_is_measured_on_any_weights(small):
    found = measure_likeness(small, tracks=1, points=250)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found[5, 5] > 0.9  # SupLW
    with pytest.raises(ValueError, match="other classes"):
        measure_likeness(Told())
