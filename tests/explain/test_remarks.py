import numpy as np
import pandas as pd
import pytest
import torch

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.simulate import simulate_steps
from spt_explain.explain.motion import Motion
from spt_explain.explain.remarks import COLUMNS, MEASURES, Settings, remarks

SETTINGS = Settings(resamples=200, shifts=5)


def simulated(name, n_tracks=60, points=150, seed=0, alpha=None):
    """Tracks of one class and their motion; the score is still to be invented."""
    generator = torch.Generator().manual_seed(seed)
    given = None if alpha is None else torch.full((n_tracks,), alpha)
    steps, _ = simulate_steps(
        CLASS_NAMES.index(name),
        n_tracks,
        points,
        generator=generator,
        alpha=given,
        moves_within=torch.full((n_tracks,), points / 2),
    )
    path = np.zeros((n_tracks, points, 2))
    path[:, 1:] = steps.double().numpy().cumsum(axis=1)
    frames = pd.DataFrame(
        {
            "file": "simulated",
            "particle": np.repeat(np.arange(n_tracks), points),
            "segment": 0,
            "x": path[..., 0].ravel(),
            "y": path[..., 1].ravel(),
        }
    )
    tracks = pd.DataFrame(
        {"file": "simulated", "particle": np.arange(n_tracks), "segment": 0, "class": name}
    )
    offsets = np.arange(n_tracks + 1) * points
    motion = Motion(frames["x"].to_numpy(), frames["y"].to_numpy(), offsets, SETTINGS)
    return frames, tracks.assign(explained=name), motion


RANDOM = np.random.default_rng(1)

INVENTED = {
    "SubATTM": lambda m: -np.log(m.diffusivity + 1e-9),
    "SubCTRW": lambda m: m.jump_rate,
    "SubFBM": lambda m: 1.0 - (np.abs(m.place - 0.5) > 0.4),
    "SubSBM": lambda m: np.exp(-m.place / 0.2),
    "SupFBM": lambda m: m.straightness,
    "SupLW": lambda m: m.straight_piece.astype(float),
    "SupSBM": lambda m: np.exp((m.place - 1) / 0.2),
}
"""Scores as the paper describes them."""


@pytest.mark.parametrize("name", INVENTED)
def test_scores_as_the_paper_describes_them_hold_and_others_do_not(name):
    frames, tracks, motion = simulated(name, alpha=1.5 if name == "SupLW" else None)
    ideal = np.nan_to_num(INVENTED[name](motion)) + 0.05 * RANDOM.normal(size=len(frames))
    found = remarks(frames.assign(score=ideal), tracks, settings=SETTINGS)
    assert list(found) == list(COLUMNS)
    assert set(found["class"]) == {name}
    assert len(found) == sum(m.class_name == name for m in MEASURES)
    assert found["holds"].all(), found[["measure", "value", "low", "chance"]]
    assert (found["value"] > found["chance"] + 0.15).all()
    opposite = remarks(frames.assign(score=-ideal), tracks, settings=SETTINGS)
    assert not opposite["holds"].any(), opposite[["measure", "value", "low", "chance"]]


def test_scores_that_know_nothing_hold_no_more_often_than_chance():
    """Smooth noise that has nothing to do with the track: 2.5 % of the statements hold."""
    held = total = 0
    for seed, name in enumerate(INVENTED):
        frames, tracks, motion = simulated(name, n_tracks=80, seed=seed)
        m = len(motion.length)
        rng = np.random.default_rng(seed)
        kernel = np.ones(31) / 31
        noise = rng.normal(size=(m, motion.length[0] + 30))
        score = np.array([np.convolve(row, kernel, "valid") for row in noise]).ravel()
        found = remarks(frames.assign(score=score), tracks, settings=SETTINGS)
        assert (np.abs(found["value"] - found["chance"]) < 0.2).all(), name
        held += int(found["holds"].sum())
        total += len(found)
    assert total == len(MEASURES)
    assert held <= 3


def test_sentence_says_the_numbers():
    frames, tracks, motion = simulated("SubSBM", n_tracks=40)
    score = np.where(motion.owner < 30, 1 - motion.place, motion.place)  # 30 of 40 begin high
    found = remarks(frames.assign(score=score), tracks, settings=SETTINGS).iloc[0]
    assert found["value"] == 0.75
    assert found["chance"] == pytest.approx(0.5, abs=0.15)
    assert found["low"] == pytest.approx(0.75 - 1.96 * np.sqrt(0.75 * 0.25 / 40), abs=0.05)
    assert found["high"] == pytest.approx(0.75 + 1.96 * np.sqrt(0.75 * 0.25 / 40), abs=0.05)
    assert found["sentence"] == (
        f"in 75 % ({100 * found['low']:.0f}–{100 * found['high']:.0f}) of 40 SubSBM tracks the "
        f"first 25 % scores above the rest; chance {100 * found['chance']:.0f} %"
    )


def test_positive_mass_and_highest_score_are_what_they_say():
    frames, tracks, motion = simulated("SupSBM", n_tracks=10, points=100)
    score = np.where(motion.place > 0.9, 3.0, np.where(motion.place > 0.5, 0.5, -1.0))
    found = remarks(frames.assign(score=score), tracks, settings=SETTINGS)
    assert found["value"].iloc[1] == pytest.approx((10 * 3 + 15 * 0.5) / (10 * 3 + 40 * 0.5))
    frames, tracks, motion = simulated("SupLW", n_tracks=30, alpha=1.3)
    score = np.tile(np.where(np.arange(150) == 20, 1.0, 0.0), 30)
    found = remarks(frames.assign(score=score), tracks, settings=SETTINGS).iloc[0]
    piece = motion.straight_piece.reshape(30, 150)
    some = piece.any(axis=1) & ~piece.all(axis=1)
    assert found["value"] == pytest.approx(piece[some, 20].mean())
    assert found["n_tracks"] == some.sum()
    assert found["chance"] == pytest.approx(piece[some].mean(), abs=0.1)


def test_what_does_not_count():
    frames, tracks, motion = simulated("SubSBM", n_tracks=12, points=60)
    score = 1 - motion.place
    score[motion.owner == 0] = 0.3  # the same everywhere
    score[5 + 60] = np.nan
    frames = frames.assign(score=score)
    frames.loc[motion.owner == 2, ["x", "y"]] = 4.0  # doesn't move
    frames = frames[(frames["particle"] != 3) | (motion.place < 0.2)]  # too short
    tracks.loc[4, "explained"] = "BM"
    tracks.loc[5, "class"] = None
    found = remarks(frames, tracks, settings=SETTINGS)
    assert found["n_tracks"].tolist() == [6, 6]
    brown = tracks.assign(**{"class": "BM", "explained": "BM"})
    for empty in (remarks(frames, brown), remarks(frames.iloc[:0], tracks)):
        assert len(empty) == 0
        assert list(empty) == list(COLUMNS)


def test_no_positive_score_is_said():
    frames, tracks, motion = simulated("SubSBM", n_tracks=5, points=40)
    found = remarks(frames.assign(score=-1 - motion.place), tracks, settings=SETTINGS).iloc[1]
    assert found["n_tracks"] == 0
    assert np.isnan(found["value"])
    assert not found["holds"]
    assert found["sentence"].startswith("no SubSBM track shows")


def test_labels_of_one_s_own_contrast_scores_and_seeds():
    frames, tracks, motion = simulated("SubSBM", n_tracks=20, points=40)
    frames = frames.assign(score=np.nan, score_contrast=1 - motion.place)
    tracks = tracks.drop(columns=["explained", "class"]).assign(truth="SubSBM")
    once, again = (
        remarks(frames, tracks, label="truth", score="score_contrast", settings=SETTINGS)
        for _ in range(2)
    )
    assert once["holds"].all()
    pd.testing.assert_frame_equal(once, again)
    with pytest.raises(ValueError, match="'class'"):
        remarks(frames, tracks)
    with pytest.raises(ValueError, match="'other'"):
        remarks(frames, tracks, label="truth", score="other")


def test_every_class_but_brownian_motion_has_a_remark():
    assert {m.class_name for m in MEASURES} == set(CLASS_NAMES) - {"BM"}
