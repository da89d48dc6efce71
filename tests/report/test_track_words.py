import numpy as np
import pandas as pd
import pytest

from spt_explain.report import track_words


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"particle": 3, "class": "BM", "probability": 0.871, "n_points": 1200},
            "Particle 3: BM, probability 87 % · 1,200 points",
        ),
        ({"particle": 3, "segment": 1, "class": None}, "Particle 3, piece 1: no class"),
        (
            {"particle": 3, "class": "BM", "probability": 0.4, "status": "undetermined"},
            "Particle 3: undetermined, most likely BM, probability 40 %",
        ),
        (
            {"particle": 3, "class": "BM", "probability": 0.9999, "status": "immobile"},
            "Particle 3: flagged immobile; BM, probability > 99.9 %",
        ),
    ],
)
def test_headline(given, said):
    assert track_words.headline(pd.Series(given, dtype=object)) == said


def test_the_first_piece_of_a_split_track_is_called_one():
    track = pd.Series({"particle": 3, "segment": 0}, dtype=object)
    assert track_words.headline(track, whole=False).startswith("Particle 3, piece 0: ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"explained": "BM", "method": "occlusion", "layer": "", "resolution_frames": 1.0},
            "Scores for BM by occlusion: one score covers 1 frame.",
        ),
        (
            {"explained": "BM", "method": "layercam", "layer": "block4", "nodes": 1.0,
             "resolution_frames": 31.25},
            "Scores for BM by LayerCAM at block 4 of the network: one score covers 31 frames, "
            "1 score along the track.",
        ),
        (
            {"explained": "BM", "method": "new", "resolution_frames": 3.9},
            "Scores for BM by new: one score covers 3.9 frames.",
        ),
        ({"explained": None, "method": ""}, "Scores for the class."),
    ],
)  # fmt: skip
def test_scores(given, said):
    assert track_words.scores_words(pd.Series(given, dtype=object)) == said


LOSSES = ("loss_top", "loss_random", "loss_random_sd", "check")


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (
            (0.31, 0.12, 0.03, "passed"),
            "Check: erasing the top 20 % of frames costs 0.31 of the probability, at random "
            "0.12 ± 0.03: passed.",
        ),
        (
            (0.02, 0.05, 0.03, "no better than random"),
            "Check: erasing the top 20 % of frames costs 0.02 of the probability, at random "
            "0.05 ± 0.03: no better than random.",
        ),
        (
            (-0.04, -0.001, np.nan, ""),
            "Check: erasing the top 20 % of frames raises the probability by 0.04, at random it "
            "costs 0.00.",
        ),
        (
            (-0.004, -0.02, 0.01, "passed"),
            "Check: erasing the top 20 % of frames costs none of the probability, at random "
            "−0.02 ± 0.01: passed.",
        ),
        ((np.nan, np.nan, np.nan, "not checked"), "Not checked by erasing frames."),
        ((0.3, 0.1, 0.1, "not checked"), "Not checked by erasing frames."),
    ],
)
def test_check(losses, said):
    assert track_words.check_words(pd.Series(dict(zip(LOSSES, losses, strict=True)))) == said


def test_check_of_another_share():
    track = pd.Series(dict(zip(LOSSES, (0.3, 0.1, 0.1, "passed"), strict=True)))
    assert "the top 12.5 % of" in track_words.check_words(track, 0.125)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "50 %"), (0.994, "99 %"), (0.996, "99.6 %"), (0.9994, "99.9 %"), (1.0, "> 99.9 %")],
)
def test_probabilities_are_never_rounded_up_to_certainty(value, text):
    assert track_words.percent(value) == text


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_values(missing):
    assert track_words.value_of(pd.Series({"a": missing}, dtype=object), "a", 7) == 7
    assert track_words.value_of(pd.Series({"b": 1}), "a", 7) == 7
    assert track_words.value_of(pd.Series({"a": False}, dtype=object), "a", True) is False
