import numpy as np
import pandas as pd
import pytest

from spt_explain.report.picks import LEAST_SURPRISE, WHY, class_names, lead, pick_tracks, surprise


def verdicts(m=240, *, seed=0, file="a.csv"):
    """Half of the tracks SubFBM with α near 0.5, half SupFBM with α near 1.5."""
    rng = np.random.default_rng(seed)
    sub = np.arange(m) % 2 == 0
    p = np.where(sub, rng.uniform(0.85, 0.99, m), rng.uniform(0.01, 0.15, m))
    return pd.DataFrame(
        {
            "file": file,
            "particle": np.arange(m) + 100,
            "segment": 0,
            "n_points": rng.integers(20, 400, m),
            "status": "classified",
            "class": np.where(sub, "SubFBM", "SupFBM"),
            "probability": np.maximum(p, 1 - p),
            "runner_up": np.where(sub, "SupFBM", "SubFBM"),
            "p_SubFBM": p,
            "p_SupFBM": 1 - p,
            "alpha_msd": np.where(sub, 0.5, 1.5) + rng.normal(0, 0.1, m),
        }
    )


def of(picks, name, why):
    return picks[(picks["class"] == name) & (picks["why"] == why)]


def test_typical_doubtful_and_surprising():
    table = verdicts()
    table.loc[[4, 10], "alpha_msd"] = [1.5, 1.6]  # classified SubFBM
    table.loc[[4, 10], "n_points"] = [50, 350]
    table.loc[[4, 10], "probability"] = table.loc[[4, 10], "p_SubFBM"] = [0.95, 0.94]
    table["p_SupFBM"] = 1 - table["p_SubFBM"]
    picks = pick_tracks(table, 3)
    assert set(of(picks, "SubFBM", "surprising").index) == {4, 10}
    assert of(picks, "SupFBM", "surprising").empty
    sub = table[(table["class"] == "SubFBM") & ~table.index.isin([4, 10])]
    typical = sub.sort_values("probability", ascending=False).index[:3]
    assert of(picks, "SubFBM", "typical").index.tolist() == typical.tolist()
    assert of(picks, "SubFBM", "typical")["place"].tolist() == [1, 2, 3]
    doubtful = sub.sort_values("probability").index[:3]
    assert of(picks, "SubFBM", "doubtful").index.tolist() == doubtful.tolist()
    assert picks["class"].drop_duplicates().tolist() == ["SubFBM", "SupFBM"]
    assert (picks["particle"] == table.loc[picks.index, "particle"]).all()
    assert not picks.index.has_duplicates


def test_surprise_by_hand():
    """13 tracks in a row of α, each with three neighbours."""
    m = 13
    table = verdicts(m).assign(alpha_msd=np.arange(m) / 10, n_points=50)
    found = surprise(table, neighbours=3)
    p = np.where(table["class"] == "SubFBM", table["p_SubFBM"], table["p_SupFBM"])
    k = 6
    name = f"p_{table['class'][k]}"
    others = np.delete(table[name].to_numpy(), k)
    near = table[name][[5, 7]].tolist()
    expected = [
        p[k] * np.log2(others.mean() / ((sum(near) + third + others.mean()) / 4))
        for third in table[name][[4, 8]]  # as near as each other
    ]
    assert np.isclose(found[k], expected).any()
    assert np.isnan(surprise(table.iloc[:12])).all()


def test_files_are_judged_alone():
    one, two = verdicts(file="a"), verdicts(file="b", seed=1)
    two["alpha_msd"] += 1.0  # say, another kind of noise
    both = pd.concat([one, two], ignore_index=True)
    np.testing.assert_allclose(surprise(both)[:240], surprise(one))
    assert (surprise(both) < LEAST_SURPRISE).all()


def test_a_rare_class_is_no_surprise_by_itself():
    table = verdicts()
    rare = table.index[table["class"] == "SupFBM"][:118]
    table = table.drop(index=rare)  # two are left
    assert (surprise(table) < LEAST_SURPRISE).all()


def test_few_tracks_show_something_of_each_kind_and_none_twice():
    table = verdicts(4)
    picks = pick_tracks(table, 3)
    for name in ("SubFBM", "SupFBM"):
        assert of(picks, name, "typical")["place"].tolist() == [1]
        assert of(picks, name, "doubtful")["place"].tolist() == [1]


def test_undetermined_tracks_only_where_nothing_was_classified():
    table = verdicts(20)
    table.loc[table["class"] == "SupFBM", "status"] = "undetermined"
    table.loc[[0, 2], "status"] = ["undetermined", "immobile"]
    picks = pick_tracks(table)
    assert not {0, 2} & set(picks.index)
    assert (picks["class"] == "SupFBM").sum() == 6


def test_tracks_in_the_same_place_are_not_their_own_neighbours():
    table = verdicts().assign(alpha_msd=1.0, n_points=50)
    assert np.abs(surprise(table)).max() < 0.5


@pytest.mark.parametrize(
    "table",
    [
        verdicts(0),
        verdicts(5).assign(**{"class": None}),
        verdicts(30).drop(columns=["alpha_msd", "file", "segment", "runner_up", "status"]),
        verdicts(30).assign(alpha_msd=np.nan, p_SubFBM=np.nan),
        verdicts(30)[["particle", "class", "probability"]],
    ],
)
def test_whatever_is_missing(table):
    picks = pick_tracks(table, 2)
    assert set(picks["why"]) <= set(WHY)
    assert picks.columns[:3].tolist() == ["class", "why", "place"]
    assert len(surprise(table)) == len(lead(table, class_names(table))) == len(table)


def test_any_index():
    table = verdicts(40)
    shuffled = table.set_axis(["x"] * 40, axis=0)
    expected = pick_tracks(table)["particle"].tolist()
    assert pick_tracks(shuffled)["particle"].tolist() == expected
