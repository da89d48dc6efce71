import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.explain import erasure as erasing
from spt_explain.studies.erasure import erasure
from spt_explain.studies.erasure_tables import Tally, tables
from spt_explain.studies.scoring import PAPER_METHOD, Scorer
from spt_explain.studies.sources import TrackSource, Watcher


def _tally(correct, top=None, random=None):
    tally = Tally([np.asarray(correct, bool)])
    if top is not None:
        tally.by_chance.append(np.ones_like(correct, dtype=bool))
        tally.top.append(np.asarray(top, float))
        tally.random.append(np.asarray(random, float))
        tally.passed.append(np.where(np.isnan(top), np.nan, np.greater(top, random)).astype(float))
    return tally


def test_the_tables_say_which_method_wins():
    rng = np.random.default_rng(0)
    length = np.repeat([15, 500], 50)
    falling = rng.random((100, 10)) < np.linspace(1, 0, 10)
    flat = rng.random((100, 10)) < 0.5
    deciles, methods = tables(
        length,
        np.ones(100, bool),
        {
            ("paper", "random"): _tally(flat),
            ("paper", "gradcam:block4"): _tally(falling),
            ("paper", "occlusion"): _tally(flat),
        },
        comparable=True,
    )
    assert methods["points"].unique().tolist() == ["all", "10–19", "400–699"]
    row = methods.set_index(["method", "points"]).loc["gradcam:block4", "all"]
    assert row["difference"] == 1
    assert row["falls"] == (np.diff(falling.mean(axis=0)) < 0).sum()
    assert row["best"]
    assert row["as_good"]
    assert row["random"] == pytest.approx(flat.mean())
    other = methods.set_index(["method", "points"]).loc["occlusion", "all"]
    expected = 1 - (flat[:, 0].mean() - flat[:, -1].mean())
    assert other["behind"] == pytest.approx(expected)
    assert other["behind_low"] < expected < other["behind_high"]
    assert not other["best"]
    assert not other["as_good"]
    own = deciles[(deciles["method"] == "gradcam:block4") & (deciles["points"] == "all")]
    assert own["accuracy"].to_numpy() == pytest.approx(falling.mean(axis=0))
    assert own["published"].iloc[[0, -1]].tolist() == [0.447, 0.238]
    assert deciles[deciles["method"] != "gradcam:block4"]["published"].isna().all()


def test_the_check_decides_where_there_is_one():
    right = np.ones((4, 10), bool)
    top, random = np.array([0.5, 0.4, 0.6, np.nan]), np.array([0.1, 0.2, 0.1, np.nan])
    _, methods = tables(
        np.full(4, 30),
        np.ones(4, bool),
        {
            ("cut", "occlusion"): _tally(right, random, random),
            ("cut", "gradcam:block1"): _tally(right, top, random),
        },
        comparable=False,
    )
    row = methods.set_index("method").loc["gradcam:block1"]
    assert (row["loss_top"], row["loss_random"]) == pytest.approx((0.5, 0.4 / 3))
    assert row["gain"] == pytest.approx(0.5 - 0.4 / 3)
    assert (row["n_checked"], row["passed"]) == (3, 1)
    assert row["best"]
    assert methods.set_index("method").loc["occlusion", "behind"] == pytest.approx(row["gain"])


@pytest.mark.parametrize("weights", ["published", "masked"])
def test_a_study_of_all_protocols(networks, weights):
    said = []

    class Listening(Watcher):
        def progress(self, what, done, total):
            said.append((done, total))

    study = erasure(
        TrackSource(tracks=8, length=(12, 90)),
        methods=["gradcam", "layercam:block2"],
        protocols=("cut", "track", "paper"),
        draws=2,
        watcher=Listening(),
        weights=weights,
        device="cpu",
    )
    assert set(study.methods["protocol"]) == {"cut", "track", "paper"}
    whole = study.methods[study.methods["points"] == "all"]
    assert (whole["n_tracks"] == 8).all()
    assert whole["accuracy"].nunique() == 1
    assert whole["best"].sum() == 3
    assert len(study.deciles[study.deciles["points"] == "all"]) == 10 * (2 + 3 + 3)
    assert study.deciles[["accuracy", "random"]].apply(lambda c: c.between(0, 1).all()).all()
    paper = study.deciles[(study.deciles["protocol"] == "paper")]
    assert paper["padding"].between(0, 1).any()
    assert study.deciles[study.deciles["protocol"] != "paper"]["padding"].isna().all()
    assert said[-1] == (8, 8)
    assert study.examples.groupby("track")["by_score"].mean().between(0.05, 0.15).all()
    assert any("wins" in sentence for sentence in study.sentences)
    assert study.record.settings["of"] == {"cut": "log-odds", "track": "logit", "paper": "logit"}
    again = erasure(
        TrackSource(tracks=8, length=(12, 90)), methods=["gradcam"], protocols=("cut",), draws=2,
        weights=weights, device="cpu",
    )  # fmt: skip
    both = [
        s.methods.query("protocol == 'cut' and method == 'gradcam:block4'")[
            ["lowest", "highest", "loss_top"]
        ]
        for s in (study, again)
    ]
    assert np.allclose(both[0], both[1])


def test_cutting_is_what_explain_does(networks):
    source = TrackSource(tracks=8, length=(100, 100))
    study = erasure(
        source, methods=["gradcam"], protocols=("cut",), draws=1, weights="masked", device="cpu"
    )
    scorer = Scorer(weights="masked", device="cpu")
    opened = source.open(scorer.classes, tracks=8, length=(100, 100))
    scorer.settle(opened)
    seen = scorer.examine(next(iter(opened.batches())))
    frames = seen.frames(seen.maps(PAPER_METHOD, "predicted", "log-odds"))
    offsets = seen.tracks.offsets
    top = erasing.top_frames(frames.score, offsets, 0.1, then=frames.smooth)
    path, bounds = erasing.erase(seen.tracks.positions, offsets, top, "cut")
    p = scorer.plain.predict(path, bounds, recording=scorer.recording).probabilities
    expected = (p.argmax(axis=1) == seen.tracks.label).mean()
    assert study.methods["highest"].iloc[0] == expected


def test_tracks_too_short_are_said(networks, tracks, tmp_path):
    one = tracks((60, 9, 40))
    path = tmp_path / "lab.npz"
    np.savez(path, positions=one.positions, offsets=one.offsets, label=one.label)
    study = erasure(
        TrackSource((str(path),)), methods=["gradcam:block1"], protocols=("track",),
        weights="masked", device="cpu",
    )  # fmt: skip
    assert study.record.notes == ("1 track shorter than 10 points: left out.",)
    assert study.deciles["n_tracks"].max() == 2
    with pytest.raises(SptError, match="10 points"):
        erasure(TrackSource(tracks=8, length=(5, 6)), methods=["gradcam"], weights="masked",
                device="cpu")  # fmt: skip


@pytest.mark.parametrize(
    "keys", [{"protocols": ("cuts",)}, {"draws": -1}, {"share": 0.0}, {"methods": ["x"]}]
)
def test_what_can_not_be_done_is_refused(networks, keys):
    with pytest.raises(SptError):
        erasure(weights="masked", device="cpu", **keys)
