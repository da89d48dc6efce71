import numpy as np
import pandas as pd
import pytest

from spt_explain.errors import SptError
from spt_explain.explain.erasure import UNCHECKED
from spt_explain.explain.options import ExplainOptions
from spt_explain.explain.reasons import Explainer
from spt_explain.resandi.classifier import Classifier
from spt_explain.tracks import Calibration, QualityPolicy, Source, Tracks

NETWORK = {"device": "cpu", "jobs": 1}


def tracks_of(lengths, seed=0, gap_in=()):
    rng = np.random.default_rng(seed)
    parts = []
    for i, n in enumerate(lengths):
        path = rng.normal(size=(n, 2)).cumsum(0)
        part = pd.DataFrame(
            {"particle": i, "frame": np.arange(n), "x": path[:, 0], "y": path[:, 1]}
        )
        if i in gap_in:
            part = part.drop(part.index[n // 2])
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return Tracks(table, Calibration("um", frame_interval_s=0.1), Source("a.csv", "a test"))


@pytest.fixture
def explain(install):
    def run(tracks, how=None, network="masked", only=(), policy=None, **options):
        explainer = Explainer(how, weights=install(network), **NETWORK, **options)
        return explainer.explain(tracks, policy, only=only), explainer

    return run


def test_every_track_and_frame_has_its_row(explain):
    tracks = tracks_of([120, 5, 40, 96, 12], gap_in=[2])
    found, explainer = explain(tracks, ExplainOptions(method="gradcam", draws=2))
    assert found.tracks["particle"].tolist() == [0, 2, 3, 4]
    assert found.verdicts.table["particle"].nunique() == 5
    sizes = found.frames.groupby("particle").size()
    assert sizes.tolist() == found.tracks["n_points"].tolist() == [120, 40, 96, 12]
    assert found.frames["filled"].sum() == 1
    row = found.frames[found.frames["filled"]].iloc[0]
    assert (row["particle"], row["frame"]) == (2, 20)
    assert found.unit == "µm"
    assert found.frame_interval_s == 0.1
    p = found.tracks[[f"p_{c}" for c in explainer.classes]].to_numpy()
    best = np.array(explainer.classes)[p.argmax(1)]
    assert found.tracks["explained"].tolist() == best.tolist()
    second = np.array(explainer.classes)[np.argsort(-p, 1)[:, 1]]
    assert found.tracks["against"].tolist() == second.tolist()
    assert found.tracks["check"].isin(["passed", "no better than random"]).all()
    assert {"AC", "CS", "NG", "SG", "VD"} <= set(found.windows.columns)


def test_too_coarse_maps_say_so_and_have_no_overlay(explain):
    found, _ = explain(tracks_of([120, 30, 64]), ExplainOptions(method="gradcam", draws=0))
    by = found.tracks.set_index("particle")
    assert by["nodes"].tolist() == [4, 1, 2]
    assert by["resolution_frames"].tolist() == [32, 32, 32]
    assert not by.loc[1, "overlay"]
    assert "1 node of block4 (32 frames each) covers this track" in by.loc[1, "remark"]
    assert "2 nodes" in by.loc[2, "remark"]
    assert (by["check"] == UNCHECKED).all()
    finer, _ = explain(tracks_of([120, 30, 64]), ExplainOptions(draws=0))
    assert (finer.tracks["resolution_frames"] == 1).all()
    assert not finer.tracks["remark"].str.contains("coarse").any()


def test_one_class_for_all_and_another_against_it(explain):
    tracks = tracks_of([100, 80])
    how = ExplainOptions(method="gradcam", class_name="SubFBM", against="BM", draws=0)
    found, _ = explain(tracks, how)
    assert (found.tracks["explained"] == "SubFBM").all()
    assert (found.tracks["against"] == "BM").all()
    other, _ = explain(
        tracks, ExplainOptions(method="gradcam", class_name="BM", against="SubFBM", draws=0)
    )
    np.testing.assert_allclose(
        found.frames["score_contrast"], -other.frames["score_contrast"], atol=1e-9
    )


def test_only_some_particles_are_explained_as_if_all_were(explain):
    tracks = tracks_of([100, 80, 60, 30])
    every, _ = explain(tracks, ExplainOptions(method="gradcam", draws=0))
    some, _ = explain(tracks, ExplainOptions(method="gradcam", draws=0), only=[2, 0])
    assert some.tracks["particle"].tolist() == [0, 2]
    wanted = every.frames[every.frames["particle"].isin([0, 2])].reset_index(drop=True)
    pd.testing.assert_frame_equal(some.frames, wanted, atol=1e-5)
    assert len(some.verdicts.table) == 4


def test_particles_that_cannot_be_explained_are_named(explain):
    tracks = tracks_of([100, 5])
    with pytest.raises(SptError, match="no particle 7"):
        explain(tracks, only=[7])
    with pytest.raises(SptError, match="particle 1 was not classified: too short"):
        explain(tracks, only=[1])


@pytest.mark.parametrize(
    "method", ["input-x-gradient", "gradcam", "layercam", "integrated-gradients", "occlusion"]
)
def test_the_same_again_is_the_same(explain, method):
    tracks = tracks_of([70, 50])
    how = ExplainOptions(method=method, layer="block2", draws=2)
    one, _ = explain(tracks, how)
    two, _ = explain(tracks, how)
    pd.testing.assert_frame_equal(one.tracks, two.tracks)
    pd.testing.assert_frame_equal(one.frames, two.frames)
    assert one.frames["score"].abs().max() > 1e-6


def test_a_flat_map_is_said(explain, monkeypatch):
    from spt_explain.explain import reasons
    from spt_explain.explain.scores import FrameScores

    def flat(parts, lengths):
        n = int(lengths.sum())
        score = np.zeros(n)
        score[: lengths[0]] = -1 - np.arange(lengths[0])
        return FrameScores(score, score, score, np.zeros(n, int), np.full(len(lengths), 9))

    monkeypatch.setattr(reasons, "_joined", flat)
    found, _ = explain(tracks_of([100, 80]), ExplainOptions(draws=0))
    assert "negative everywhere" in found.tracks["remark"][0]
    assert "same score" in found.tracks["remark"][1]
    assert not found.tracks["overlay"].any()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"method": "magic"}, "method='magic': expected one of"),
        ({"method": "gradcam", "layer": "block7"}, "layer='block7': expected one of"),
        ({"draws": -1}, "draws="),
        ({"draws": 2.5}, r"draws=2\.5: expected a whole number, 0 or more"),
        ({"draws": "20"}, "draws="),
        ({"share": 1.0}, r"share=1\.0: .*above 0 and below 1"),
        ({"share": float("nan")}, "above 0 and below 1"),
        ({"share": "a fifth"}, "above 0 and below 1"),
        ({"of": "odds"}, "of='odds': expected one of log-odds, probability, logit"),
        ({"erase": None}, "erase=None: expected one of cut, rest, line"),
        ({"seed": -1}, "seed=-1: expected a whole number, 0 or more"),
        ({"seed": 1.5}, "seed="),
        ({"layer": "block2"}, "method 'auto'.*'gradcam' or 'layercam'"),
        ({"class_name": "Sub"}, "no class 'Sub'"),
        ({"class_name": "BM", "against": "BM"}, "both"),
    ],
)
def test_what_cannot_be_asked_is_refused(install, keys, said):
    with pytest.raises(SptError, match=said) as error:
        Explainer(ExplainOptions(**keys), weights=install("masked"), **NETWORK)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("draws", "chance"), [(1, 2), (18, 19)])
def test_few_draws_are_noted(draws, chance):
    (note,) = ExplainOptions(draws=draws).notes()
    assert note.startswith(f"draws= is {draws}: ")
    assert f"1 in {chance} " in note
    assert ExplainOptions(draws=0).notes() == ExplainOptions(draws=20).notes() == []


def test_networks_without_conditions_or_alpha_explain_too(explain):
    found, _ = explain(tracks_of([90, 40]), ExplainOptions(draws=1), network="plain")
    assert len(found.frames) == 130
    assert "alpha" not in found.tracks


def test_tracks_longer_than_a_window_are_explained_whole(explain):
    found, _ = explain(tracks_of([300]), ExplainOptions(method="gradcam", draws=1))
    assert len(found.frames) == 300
    assert found.frames["node"].is_monotonic_increasing
    assert found.frames["score"].nunique() > 5


def test_gaps_kept_or_split_follow_the_policy(explain):
    tracks = tracks_of([100], gap_in=[0])
    found, _ = explain(
        tracks, ExplainOptions(method="gradcam", draws=0), policy=QualityPolicy(gaps="split")
    )
    assert found.tracks["segment"].tolist() == [0, 1]
    assert len(found.frames) == 99


def test_of_every_third_frame_the_class_of_the_verdict_is_explained(explain):
    reasons, *_ = explain(tracks_of([90] * 6), policy=QualityPolicy(every=3))
    assert (reasons.tracks["explained"] == reasons.tracks["class"]).all()
    frames = reasons.frames[reasons.frames["particle"] == 0]["frame"]
    assert set(np.diff(frames)) == {3}
    assert frames.max() <= 89


@pytest.mark.parametrize(
    ("method", "asked"), [("gradcam", None), ("gradcam", [2, 4]), ("auto", None)]
)
def test_the_network_sees_each_whole_track_once(install, monkeypatch, method, asked):
    """One pass serves the verdict, the maps of Grad-CAM, and the unerased side of the check."""
    explainer = Explainer(
        ExplainOptions(method=method, draws=0),
        weights=install("masked"),
        device="cpu",
        timeline=False,
    )
    tracks = tracks_of([70, 260, 50, 100, 130])
    runs = []
    run = Classifier.run
    monkeypatch.setattr(
        Classifier, "run", lambda self, *a, **k: (runs.append(len(a[1]) - 1), run(self, *a, **k))[1]
    )
    found = explainer.explain(tracks, only=asked or ())
    assert runs == [5]
    whole = explainer.explain(tracks).frames
    whole = whole[whole["particle"].isin(asked or range(5))].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.frames, whole)


def test_draws_stand_in_the_table(explain):
    found, _ = explain(tracks_of([90, 60, 80]), ExplainOptions(draws=20))
    assert found.tracks["draws"].between(1, 20).all()
    found, _ = explain(tracks_of([90]), ExplainOptions(draws=0))
    assert (found.tracks["draws"] == 0).all()
