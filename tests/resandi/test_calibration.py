import json

import numpy as np
import pytest

from spt_explain.errors import SptError
from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.calibration import Calibration
from spt_explain.resandi.check import check_card
from spt_explain.resandi.windows import softmax

CALIBRATION = Calibration((10.0, 40.0, 1000.0), (1.5, 1.1, 0.8), (1.0, 1.2, 2.0))
LOGITS = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)


def test_none_changes_nothing():
    n = np.array([2, 10, 500, 1000])
    np.testing.assert_allclose(Calibration().logits(LOGITS, n), LOGITS)
    quantiles = np.array([[0.2, 0.5, 1.9]] * 4)
    np.testing.assert_allclose(Calibration().alpha(quantiles, n), quantiles)


def test_temperature_follows_the_logarithm_of_the_length():
    n = np.array([10, 20, 40, 200])  # 20 lies halfway between 10 and 40, 200 halfway to 1000
    found = CALIBRATION.logits(LOGITS, n)
    np.testing.assert_allclose(found, LOGITS / np.array([[1.5], [1.3], [1.1], [0.95]]), rtol=1e-6)


def test_beyond_the_lengths_measured_the_nearest_counts():
    n = np.array([1, 3, 1024, 50_000])
    found = CALIBRATION.logits(LOGITS, n)
    np.testing.assert_allclose(found, LOGITS / np.array([[1.5], [1.5], [0.8], [0.8]]), rtol=1e-6)


def test_the_verdict_stays_and_its_certainty_changes():
    n = np.array([10, 10, 1000, 1000])
    before, after = softmax(LOGITS), softmax(CALIBRATION.logits(LOGITS, n))
    np.testing.assert_array_equal(before.argsort(axis=1), after.argsort(axis=1))
    assert (after[:2].max(axis=1) < before[:2].max(axis=1)).all()
    assert (after[2:].max(axis=1) > before[2:].max(axis=1)).all()


def test_intervals_of_alpha_are_stretched_about_the_median():
    quantiles = np.array([[0.4, 0.6, 1.0], [0.4, 0.6, 1.0], [0.4, 0.6, 1.6]])
    found = CALIBRATION.alpha(quantiles, np.array([10, 20, 1000]))
    expected = [[0.4, 0.6, 1.0], [0.38, 0.6, 1.04], [0.2, 0.6, 2.0]]  # never beyond 0…2
    np.testing.assert_allclose(found, expected)


def test_a_card_keeps_it_and_may_say_nothing():
    card = json.loads(json.dumps({"calibration": CALIBRATION.to_dict()}))
    assert Calibration.from_card(card) == CALIBRATION
    assert Calibration.from_card({}) == Calibration.from_card({"calibration": None})
    assert Calibration.from_card({}) == Calibration()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": (1.0,)}, "as many"),
        ({"n_points": (10.0, 40.0, 30.0)}, "ascending"),
        ({"n_points": (0.0, 40.0, 100.0)}, "above 0"),
        ({"temperature": (1.0, 0.0, 1.0)}, "above 0"),
        ({"alpha_stretch": (1.0, -1.0, 1.0)}, "above 0"),
        ({"temperature": (1.0, float("nan"), 1.0)}, "above 0"),
        ({"n_points": (), "temperature": (), "alpha_stretch": ()}, "at least one"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(change, words):
    values = CALIBRATION.to_dict() | change
    with pytest.raises(ValueError, match=words):
        Calibration.from_card({"calibration": values})


@pytest.mark.parametrize(
    "calibration", [{"n_points": [10.0]}, {"n_points": 3, "temperature": 1}, [1, 2], "warm"]
)
def test_a_card_with_something_else_is_refused(calibration):
    with pytest.raises(ValueError, match="calibration"):
        Calibration.from_card({"calibration": calibration})
    card = {
        "version": "1.0",
        "architecture": Architecture(width=2).to_dict(),
        "calibration": calibration,
    }
    with pytest.raises(SptError, match="the card: calibration: expected"):
        check_card(card, "the card")
