import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion.statistics import STATISTICS, window_statistics
from spt_explain.explain.windows import place_score_windows, window_table


def frames_of(*lengths, seed=0, file="a.csv"):
    rng = np.random.default_rng(seed)
    parts = []
    for particle, n in enumerate(lengths):
        xy = rng.normal(size=(n, 2)).cumsum(axis=0)
        parts.append(
            pd.DataFrame(
                {
                    "file": file,
                    "particle": particle,
                    "segment": 0,
                    "frame": np.arange(n) + 10,
                    "x": xy[:, 0],
                    "y": xy[:, 1],
                    "score": rng.normal(size=n),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_the_papers_windows_of_a_thousand_points():
    begin, size, owner = place_score_windows(np.array([1000]))
    np.testing.assert_array_equal(begin, np.arange(32) * 25)
    assert set(size) == {225}
    assert set(owner) == {0}


@given(st.integers(87, 1000))
def test_shorter_tracks_have_as_many_in_proportion(n):
    begin, size, _ = place_score_windows(np.array([n]))
    assert len(begin) == 32
    assert begin[0] == 0
    assert begin[-1] + size[-1] == n
    assert size[0] == pytest.approx(0.225 * n, abs=0.5)
    assert np.ptp(np.diff(begin)) <= 1


@given(st.integers(1000, 5000))
def test_longer_tracks_keep_width_and_stride(n):
    begin, size, _ = place_score_windows(np.array([n]))
    assert set(np.diff(begin)) == {25}
    assert set(size) == {225}
    assert 0 <= n - (begin[-1] + 225) < 25


def test_too_short_for_a_window():
    lengths = np.array([0, 1, 86, 87])
    assert set(place_score_windows(lengths)[2]) == {3}
    assert set(place_score_windows(lengths, smallest=1)[2]) == {2, 3}
    begin, size, owner = place_score_windows(lengths, full=100, width=50, stride=50, smallest=5)
    assert list(owner) == [2, 2, 3, 3]
    assert ((begin + size) <= lengths[owner]).all()


def test_table_of_ragged_tracks():
    frames = frames_of(300, 40, 120, 1010)
    frames["score_contrast"] = -frames["score"]
    table = window_table(frames)
    assert list(table) == [
        *("file", "particle", "segment", "window", "first_frame", "last_frame"),
        *("score", "score_contrast", *STATISTICS),
    ]
    assert table.groupby("particle").size().to_dict() == {0: 32, 2: 32, 3: 32}
    for row in table.sample(20, random_state=0).itertuples():
        track = frames[frames["particle"] == row.particle]
        inside = track[track["frame"].between(row.first_frame, row.last_frame)]
        assert row.score == pytest.approx(inside["score"].mean())
        assert row.score_contrast == pytest.approx(-inside["score"].mean())
    row = table[table["particle"] == 2].iloc[5]
    own = frames[frames["particle"] == 2].reset_index(drop=True)
    inside = np.flatnonzero(own["frame"].between(row["first_frame"], row["last_frame"]))
    path = own[["x", "y"]].to_numpy()
    alone = window_statistics(path, inside[:1], inside[-1:] + 1, np.zeros(1, int), min_max=())
    assert row["AC"] == pytest.approx(alone["AC"][0])
    assert row["NG"] == pytest.approx(alone["NG"][0])


def test_tracks_are_told_apart_by_every_key_and_empty_tables_are_fine():
    two = frames_of(100)
    other = two.assign(file="b.csv")
    third = two.assign(segment=1)
    table = window_table(pd.concat([two, third, other], ignore_index=True))
    assert len(table) == 96
    assert (table.groupby(["file", "segment"])["window"].max() == 31).all()
    none = window_table(frames_of(30))
    assert len(none) == 0
    assert list(none.columns) == list(window_table(two).columns)


def test_scores_that_are_missing_are_left_out_of_the_mean():
    frames = frames_of(100)
    frames.loc[frames.index % 2 == 0, "score"] = np.nan
    frames.loc[:39, "score"] = np.nan
    table = window_table(frames)
    assert np.isnan(table["score"].iloc[0])
    assert table["score"].iloc[-1] == pytest.approx(frames["score"].iloc[-23:].mean())


def test_wrong_arguments():
    with pytest.raises(ValueError, match="'score'"):
        window_table(frames_of(100).drop(columns="score"))
    with pytest.raises(ValueError, match="width"):
        window_table(frames_of(100), width=2000)
    with pytest.raises(ValueError, match="variant"):
        window_table(frames_of(100), variant="mine")


def test_statistics_of_many_tracks_are_those_of_some_at_a_time(monkeypatch):
    from spt_explain.explain import windows

    rng = np.random.default_rng(4)
    lengths = rng.integers(90, 140, 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    frames = pd.DataFrame(rng.normal(size=(offsets[-1], 2)).cumsum(0), columns=["x", "y"])
    frames["file"], frames["segment"] = "a.csv", 0
    frames["particle"] = np.repeat(np.arange(40), lengths)
    frames["frame"] = np.arange(len(frames)) - np.repeat(offsets[:-1], lengths)
    frames["score"] = rng.normal(size=len(frames))
    whole = windows.window_table(frames)
    monkeypatch.setattr(windows, "_WINDOWS_AT_ONCE", 100)
    pd.testing.assert_frame_equal(windows.window_table(frames), whole, rtol=1e-9)
