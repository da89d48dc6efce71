import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, jaccard_score

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.overlap import (
    Threshold,
    average_precision,
    choose_threshold,
    iou,
    iou_at,
    scaled,
    top_iou,
)

SHAPE = (5, 3, 8, 8)


def made(seed, levels=None):
    rng = np.random.default_rng(seed)
    truth = rng.random(SHAPE) < 0.2
    maps = truth + rng.normal(0, 0.8, SHAPE)
    return (np.round(maps * levels) / levels if levels else maps), truth


@given(seed=st.integers(0, 1000), levels=st.sampled_from([None, 1, 3]))
def test_average_precision_is_that_of_sklearn(seed, levels):
    maps, truth = made(seed, levels)
    expected = [
        average_precision_score(t.ravel(), m.ravel()) for m, t in zip(maps, truth, strict=True)
    ]
    np.testing.assert_allclose(average_precision(maps, truth), expected, atol=1e-12)


@given(seed=st.integers(0, 1000))
def test_iou_is_that_of_sklearn(seed):
    maps, truth = made(seed)
    expected = [
        jaccard_score(t.ravel(), m.ravel() >= 0.4) for m, t in zip(maps, truth, strict=True)
    ]
    np.testing.assert_allclose(iou_at(maps, truth, Threshold(0.4, "none", 0.0)), expected)


def test_two_empty_masks_agree_and_nothing_is_found_without_truth():
    empty = np.zeros(SHAPE, bool)
    assert (iou(empty, empty) == 1).all()
    assert (iou(~empty, empty) == 0).all()
    assert np.isnan(average_precision(np.ones(SHAPE), empty)).all()
    assert np.isnan(top_iou(np.ones(SHAPE), empty)).all()


@given(seed=st.integers(0, 200), scaling=st.sampled_from(["none", "peak"]))
def test_the_threshold_is_the_best_of_all(seed, scaling):
    maps, truth = made(seed, 10)
    found = choose_threshold(maps, truth, scaling=scaling)
    every = np.unique(scaled(maps, scaling))
    best = max(iou_at(maps, truth, Threshold(t, scaling, 0.0)).mean() for t in every)
    assert found.iou == pytest.approx(best, abs=0.01)
    assert found.iou == pytest.approx(iou_at(maps, truth, found).mean())


def test_a_rare_value_is_found_although_few_pixels_hold_it():
    truth = np.zeros((2, 4, 64, 64), bool)
    truth[:, 1, 3, 3] = True
    found = choose_threshold(truth * 0.3, truth)
    assert found.iou == 1
    assert found.tau > 0


def test_videos_of_other_sizes_of_gradient_are_scaled_when_that_is_better():
    _, truth = made(3)
    size = 10.0 ** np.arange(-2, 3).reshape(-1, 1, 1, 1)
    maps = (truth + 0.3 * np.random.default_rng(0).random(SHAPE)) * size
    found = choose_threshold(maps, truth)
    assert found.scaling == "peak"
    assert found.iou == 1
    assert choose_threshold(maps, truth, scaling="none").iou < 0.9


def test_top_pixels():
    maps, truth = made(1)
    n = truth.reshape(len(truth), -1).sum(axis=1)
    expected = []
    for each, mark, size in zip(maps, truth, n, strict=True):
        top = np.zeros(each.size, bool)
        top[np.argsort(-each.ravel())[:size]] = True
        expected.append(jaccard_score(mark.ravel(), top))
    np.testing.assert_allclose(top_iou(maps, truth), expected)
    assert (top_iou(truth.astype(float), truth) == 1).all()


def test_tied_top_pixels_count_as_a_fair_draw_would():
    truth = np.zeros((1, 1, 10, 10), bool)
    truth[0, 0, :4] = True
    # all tied: of 40 drawn, 16 are expected to be hits
    assert top_iou(np.ones(truth.shape), truth)[0] == pytest.approx(16 / 64)


@pytest.mark.parametrize(
    ("maps", "truth", "says"),
    [
        (np.ones((2, 1, 3, 3)), np.ones((2, 1, 3, 4), bool), "both must be the same"),
        (np.full((2, 1, 3, 3), np.nan), np.ones((2, 1, 3, 3), bool), "no numbers"),
        (np.ones((2, 1, 3, 3)), np.full((2, 1, 3, 3), 0.5), "must be a mask"),
        (np.ones((0, 1, 3, 3)), np.ones((0, 1, 3, 3), bool), "no pixels"),
    ],
)
def test_refused(maps, truth, says):
    for measure in (average_precision, top_iou, choose_threshold):
        with pytest.raises(SptError, match=says):
            measure(maps, truth)


def test_unknown_scaling():
    maps, truth = made(0)
    with pytest.raises(SptError, match="no scaling"):
        choose_threshold(maps, truth, scaling="log")
