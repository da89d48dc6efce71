import numpy as np
import pandas as pd
import pytest
from scipy import stats

from spt_explain.explain.correlation import correlations, ranks


def tables(n_tracks=60, n_windows=32, classes=("BM", "SubFBM"), seed=0, slope=1.0, between=0.0):
    """Windows whose statistic AC follows the score; `between` shifts whole tracks."""
    rng = np.random.default_rng(seed)
    track = np.repeat(np.arange(n_tracks), n_windows)
    level = between * rng.normal(size=n_tracks)[track]
    score = rng.normal(size=len(track))
    windows = pd.DataFrame(
        {
            "file": "a.csv",
            "particle": track,
            "segment": 0,
            "score": score + level,
            "AC": np.exp(slope * score + rng.normal(size=len(track)) - level),
            "CS": rng.normal(size=len(track)),
        }
    )
    names = np.array(classes, dtype=object)[np.arange(n_tracks) % len(classes)]
    tracks = pd.DataFrame(
        {
            "file": "a.csv",
            "particle": np.arange(n_tracks),
            "segment": 0,
            "class": names,
            "explained": names,
        }
    )
    return windows, tracks


OPTIONS = {"statistics": ("AC", "CS"), "resamples": 200}


def test_pooled_coefficients_are_scipys():
    windows, tracks = tables(between=0.5)
    windows.loc[3, "AC"] = np.nan
    found = correlations(windows, tracks, **OPTIONS).set_index(["class", "variant", "statistic"])
    for name in ("BM", "SubFBM"):
        own = windows[windows["particle"].map(tracks["class"]) == name].dropna(subset=["AC"])
        row = found.loc[name, "pooled", "AC"]
        assert row["pearson"] == pytest.approx(stats.pearsonr(own["score"], own["AC"]).statistic)
        assert row["spearman"] == pytest.approx(stats.spearmanr(own["score"], own["AC"]).statistic)
        assert row["n_windows"] == len(own)
        assert row["n_tracks"] == 30


def test_within_is_the_mean_of_the_tracks_own_coefficients():
    windows, tracks = tables(between=3.0)
    found = correlations(windows, tracks, **OPTIONS).set_index(["class", "variant", "statistic"])
    groups = [g for _, g in windows.groupby("particle") if g["particle"].iloc[0] % 2 == 0]
    pearson = np.mean([stats.pearsonr(g["score"], g["AC"]).statistic for g in groups])
    spearman = np.mean([stats.spearmanr(g["score"], g["AC"]).statistic for g in groups])
    row = found.loc["BM", "within", "AC"]
    assert row["pearson"] == pytest.approx(pearson)
    assert row["spearman"] == pytest.approx(spearman)
    # whole tracks differ the other way round than the windows of a track
    assert row["spearman"] > 0.5
    assert found.loc["BM", "pooled", "AC"]["spearman"] < 0


def test_intervals_cover_the_truth():
    """Independent tracks with a known correlation of 0.6 within each."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        windows, tracks = tables(n_tracks=40, classes=("BM",), seed=seed)
        noise = rng.normal(size=len(windows))
        windows["AC"] = 0.6 * windows["score"] + 0.8 * noise
        row = correlations(
            windows, tracks, statistics=("AC",), variants=("pooled",), resamples=200
        ).iloc[0]
        hits += row["pearson_low"] < 0.6 < row["pearson_high"]
    assert 50 <= hits <= 60


def test_interval_knows_that_windows_of_a_track_are_alike():
    """Twins of every window don't narrow it."""
    windows, tracks = tables(n_tracks=30, classes=("BM",))
    twice = windows.loc[windows.index.repeat(4)].reset_index(drop=True)
    one, four = (
        correlations(w, tracks, statistics=("AC",), variants=("pooled",)).iloc[0]
        for w in (windows, twice)
    )
    width = [row["pearson_high"] - row["pearson_low"] for row in (one, four)]
    assert width[1] == pytest.approx(width[0], rel=0.1)


def test_tracks_explained_for_another_class_or_without_one_are_left_out():
    windows, tracks = tables(n_tracks=20)
    tracks.loc[0, "explained"] = "SupLW"
    tracks.loc[2, "class"] = None
    found = correlations(windows, tracks, **OPTIONS)
    counts = found.groupby("class")["n_tracks"].first().to_dict()
    assert counts == {"BM": 8, "SubFBM": 10}
    truth = tracks.drop(columns="explained").assign(truth="SubFBM")
    assert set(correlations(windows, truth, label="truth", **OPTIONS)["class"]) == {"SubFBM"}


def test_order_published_values_and_columns():
    windows, tracks = tables(classes=("Mine", "BM", "SubFBM"))
    found = correlations(windows, tracks, **OPTIONS)
    assert list(dict.fromkeys(found["class"])) == ["SubFBM", "BM", "Mine"]
    row = found[(found["class"] == "SubFBM") & (found["statistic"] == "AC")].iloc[0]
    assert row["published"] == -0.22
    assert found[found["class"] == "Mine"]["published"].isna().all()


def test_nothing_that_varies_gives_nan_without_warnings():
    windows, tracks = tables(n_tracks=6, classes=("BM",))
    windows["CS"] = 3.3
    windows["AC"] = np.nan
    found = correlations(windows, tracks, **OPTIONS)
    assert found[["pearson", "spearman", "pearson_low"]].isna().all(axis=None)
    assert (found[found["statistic"] == "AC"]["n_windows"] == 0).all()
    empty = correlations(windows.iloc[:0], tracks, **OPTIONS)
    assert len(empty) == 0
    assert list(empty) == list(found)
    one = correlations(*tables(n_tracks=1, classes=("BM",)), **OPTIONS).iloc[0]
    assert np.isfinite(one["pearson"])
    assert np.isnan(one["pearson_low"])


def test_nothing_to_correlate_is_an_empty_table():
    windows, tracks = tables(n_tracks=6)
    whole = correlations(windows, tracks, **OPTIONS)
    for none in ({"statistics": ()}, {"variants": ()}):
        found = correlations(windows, tracks, **(OPTIONS | none))
        assert len(found) == 0
        assert list(found) == list(whole)


@pytest.mark.parametrize("integer", [np.int32, np.int64])
def test_ranks_of_many_groups(integer):
    values, groups = np.random.default_rng(0).random(200_000), np.arange(200_000) // 2
    found = ranks(values, groups.astype(integer))
    first = values[::2] < values[1::2]
    np.testing.assert_array_equal(found[::2], np.where(first, 1, 2))


def test_same_seed_same_intervals():
    windows, tracks = tables()
    first, again = (correlations(windows, tracks, seed=5, **OPTIONS) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)


def test_ranks_are_scipys():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, size=50).astype(float)
    groups = rng.integers(0, 4, size=50)
    found = ranks(values, groups)
    for g in range(4):
        np.testing.assert_array_equal(found[groups == g], stats.rankdata(values[groups == g]))


def test_wrong_arguments():
    windows, tracks = tables(n_tracks=4)
    for args, options, word in (
        ((windows, tracks), {"variants": ("mine",)}, "variants"),
        ((windows, tracks), {"level": 1.5}, "level"),
        ((windows.drop(columns="AC"), tracks), {}, "'AC'"),
        ((windows, tracks.drop(columns="class")), {}, "'class'"),
        ((windows, tracks.iloc[1:]), {}, "lacks particle 0"),
        ((windows, pd.concat([tracks, tracks])), {}, "same file"),
    ):
        with pytest.raises(ValueError, match=word):
            correlations(*args, **(OPTIONS | options))
