import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import SptError
from spt_explain.explain.windows import WIDTH
from spt_explain.studies import correlation as module
from spt_explain.studies.correlation import correlation
from spt_explain.studies.scoring import PAPER_METHOD, ScoreMethod, Scorer
from spt_explain.studies.sources import TrackSource


def _windows(name, one, how=PAPER_METHOD, before=None):
    seen = Scorer(weights=name, device="cpu").examine(one)
    found = seen.maps(how, "true", "logit")
    return seen, found, module._windows(seen, found, how, 0, "here", "code", before)


@pytest.mark.parametrize("name", ["published", "masked"])
def test_windows_have_the_scores_of_their_frames_and_of_the_node_of_their_number(
    networks, tracks, name
):
    one = tracks((1000, 200, 1000))
    seen, found, table = _windows(name, one)
    assert table.groupby("particle").size().tolist() == [32, 32, 32]
    score = seen.frames(found).score
    for _, row in table.iloc[[0, 7, 31, 64]].iterrows():
        start = one.offsets[row["particle"]] + 25 * row["window"]
        assert row["score"] == pytest.approx(score[start : start + WIDTH].mean())
    nodes = table.pivot_table(index="particle", columns="window", values="node_score", dropna=False)
    whole = [part for part in found if part.scores.shape[1] == 32]
    own = {int(w): s for part in whole for w, s in zip(part.windows, part.scores, strict=True)}
    for track in (0, 2):
        assert nodes.loc[track].to_numpy() == pytest.approx(own[track])
    # a short track does not fill the input: its 32 windows have no nodes of their own
    assert table.loc[table["particle"] == 1, "node_score"].isna().all()


def test_statistics_are_computed_once_for_all_methods(networks, tracks):
    one = tracks((1000, 300))
    how = ScoreMethod("layercam", "block2")
    _, _, before = _windows("published", one)
    _, _, anew = _windows("published", one, how)
    _, _, reused = _windows("published", one, how, before)
    pd.testing.assert_frame_equal(anew, reused)


def test_a_study_has_the_papers_numbers_beside(networks):
    study = correlation(
        TrackSource(tracks=16), methods=["gradcam", "layercam:block3"], resamples=10,
        weights="published", device="cpu",
    )  # fmt: skip
    table = study.correlations
    assert set(table["pairing"]) == {"window", "node"}
    assert set(table.loc[table["method"] == "layercam:block3", "pairing"]) == {"window"}
    one = table.query("method == 'gradcam:block4' and variant == 'pooled' and pairing == 'node'")
    assert one.set_index(["class", "statistic"]).loc[("SubSBM", "VD"), "published"] == -0.38
    assert (one["n_windows"] == 64).all()
    assert (one["n_tracks"] == 2).all()
    low, high = one["pearson_low"], one["pearson_high"]
    assert ((low <= high) | low.isna()).all()
    assert any("signs that the paper reports" in sentence for sentence in study.sentences)


def test_signs_are_compared_where_the_paper_has_one():
    table = pd.DataFrame(
        [
            ("SubSBM", "VD", -0.2, 0.9, -0.38),
            ("SupSBM", "VD", -0.2, 0.9, 0.34),
            ("SubATTM", "SG", -0.1, 0.0, -0.07),  # small, but in the text
            ("SubATTM", "AC", 0.1, 0.0, -0.03),  # small
            ("SupLW", "CS", 0.5, -0.1, 0.00),  # seen by ranks alone
            ("BM", "NG", 0.5, 0.5, np.nan),
        ],
        columns=["class", "statistic", "pearson", "spearman", "published"],
    )
    found = module._beside(table)
    assert found["agrees"].tolist() == ["yes", "no", "yes", "", "yes", ""]
    assert found["mentioned"].tolist() == [-1, 1, -1, 0, -1, 0]
    assert found["published_spearman"].dropna().tolist() == [-0.28]


def test_tracks_told_wrong_are_left_out_where_verdicts_are_explained(networks):
    options = {"resamples": 0, "weights": "published", "device": "cpu"}
    every = correlation(TrackSource(tracks=24), **options).correlations
    told = correlation(TrackSource(tracks=24), explained="predicted", **options).correlations
    count = [t.drop_duplicates("class")["n_tracks"].sum() for t in (every, told)]
    assert count[0] == 24
    assert count[1] < 24


def test_short_tracks_are_left_out_or_refused(networks):
    options = {"resamples": 0, "weights": "masked", "device": "cpu"}
    some = correlation(TrackSource(tracks=16, length=(60, 120)), **options)
    assert "too short for windows" in some.record.notes[0]
    with pytest.raises(SptError, match="87 points"):
        correlation(TrackSource(tracks=8, length=(20, 30)), **options)
