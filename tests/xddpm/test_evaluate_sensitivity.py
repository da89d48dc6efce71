import numpy as np
import pytest
from scipy.stats import pearsonr

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.floors import random_maps
from spt_explain.xddpm.evaluate.sensitivity import occlude, sensitivity_n


def discs(n, frames=2, size=32, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    cy, cx = rng.uniform(10, 22, (2, n, 1, 1, 1))
    radius = rng.uniform(5, 9, (n, frames, 1, 1))
    return ((y - cy) ** 2 + (x - cx) ** 2 <= radius**2).astype(np.float32)


def area(clips):
    return clips.sum(axis=(1, 2, 3))[:, None] / 500


CLIPS = discs(120)


def test_an_oracle_is_above_095_and_random_below_003_on_exact_area():
    maps = {"oracle": CLIPS, "random": random_maps(CLIPS.shape, 1)}
    found = sensitivity_n(area, CLIPS, maps, 0.0)
    assert found["oracle"].shape == (120, 1)
    assert found["oracle"].mean() >= 0.95
    assert abs(found["random"].mean()) <= 0.03


def test_it_is_equation_14():
    seen = occlude(area, CLIPS[:2], 0.0, shares=(0.3,), n_subsets=20, seed=5)
    maps = random_maps(CLIPS[:2].shape, 2) * CLIPS[:2]
    found = seen.correlate({"map": maps})["map"]
    for video in range(2):
        (sets,) = seen._sets(video, 0, 0.3)
        clip, weight = CLIPS[video].ravel(), maps[video].ravel()
        assert (sets.sum(axis=1) == round(0.3 * clip.size)).all()
        change = [(clip[one].sum() / 500) ** 2 for one in sets]
        relevance = [weight[one].sum() for one in sets]
        assert found[video, 0] == pytest.approx(pearsonr(relevance, change).statistic, abs=1e-5)


def test_sets_are_uniform_and_differ_between_videos():
    seen = occlude(area, CLIPS[:2, :1], 0.0, n_subsets=2000, seed=0)
    (first,), (second,) = seen._sets(0, 0, 0.5), seen._sets(1, 0, 0.5)
    assert not (first == second).all()
    # 1,024 pixels, each in a half of 2,000 sets: 6 standard deviations
    assert abs(first.mean(axis=0) - 0.5).max() < 6 * 0.5 / np.sqrt(2000)


def test_methods_see_the_same_sets_whether_alone_or_together():
    seen = occlude(area, CLIPS[:3], 0.0, shares=(0.1, 0.9), n_subsets=50, seed=3)
    maps = {"a": random_maps(CLIPS[:3].shape, 1), "b": CLIPS[:3]}
    both = seen.correlate(maps)
    again = occlude(area, CLIPS[:3], 0.0, shares=(0.1, 0.9), n_subsets=50, seed=3)
    for name, each in maps.items():
        np.testing.assert_allclose(again.correlate({name: each})[name], both[name], atol=1e-12)


def test_one_map_everywhere_scores_nothing_and_a_deaf_regressor_is_no_judge():
    found = sensitivity_n(area, CLIPS[:2], {"flat": np.full(CLIPS[:2].shape, 0.3)}, 0.0)
    assert (found["flat"] == 0).all()

    def deaf(clips):
        return np.ones((len(clips), 1))

    assert np.isnan(sensitivity_n(deaf, CLIPS[:2], {"oracle": CLIPS[:2]}, 0.0)["oracle"]).all()


def test_missing_pixels_hold_the_reference():
    reference = np.full(CLIPS.shape[1:], 0.25, np.float32)
    low = []

    def watch(clips):
        low.append(np.unique(clips))
        return area(clips)

    occlude(watch, CLIPS[:1] + 1, reference, n_subsets=5)
    np.testing.assert_array_equal(low[-1], [0.25, 1, 2])


def test_a_drop_has_a_sign_and_a_square_has_none():
    seen = occlude(area, -CLIPS[:4], 0.0, change="drop")
    squared = occlude(area, -CLIPS[:4], 0.0)
    np.testing.assert_allclose(seen.changes**2, squared.changes, rtol=1e-6)
    assert seen.correlate({"x": CLIPS[:4]})["x"].mean() < -0.95
    assert squared.correlate({"x": CLIPS[:4]})["x"].mean() > 0.95


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shares": (0.0,)}, "above 0 and below 1"),
        ({"shares": ()}, "there must be one"),
        ({"n_subsets": 2}, "at least 3"),
        ({"change": "cubed"}, "no change"),
        ({"reference": np.zeros((2, 2))}, "the reference has the shape"),
        ({"reference": np.nan}, "no number"),
    ],
)
def test_refused(options, says):
    with pytest.raises(SptError, match=says):
        occlude(area, CLIPS[:1], **{"reference": 0.0, **options})


def test_a_regressor_that_tells_too_few_or_no_numbers_is_refused():
    with pytest.raises(SptError, match="one row for each clip"):
        occlude(lambda clips: np.ones(1), CLIPS[:2], 0.0)
    with pytest.raises(SptError, match="no numbers"):
        occlude(lambda clips: np.full((len(clips), 1), np.inf), CLIPS[:2], 0.0)
    with pytest.raises(SptError, match=r"expected \(videos"):
        occlude(area, CLIPS[0], 0.0)
