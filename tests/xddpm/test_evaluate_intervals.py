import numpy as np
import pytest
from scipy.stats import bootstrap

from spt_explain.errors import SptError
from spt_explain.xddpm.evaluate.intervals import bootstrap_mean, bootstrap_ratio

RNG = np.random.default_rng(0)


def test_over_videos_it_is_scipys():
    values = RNG.exponential(size=80)
    found = bootstrap_mean(values, resamples=20000)
    other = bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.01)
    assert (found.n_seeds, found.n_videos) == (1, 80)


def test_seeds_that_differ_widen_it():
    videos = RNG.normal(0, 0.1, 200)
    same = bootstrap_mean(np.stack([videos] * 5))
    differ = bootstrap_mean(videos + np.array([-1, -0.5, 0, 0.5, 1])[:, None])
    assert same.high - same.low < 0.05
    # of five seeds' mean: standard error 0.316
    assert differ.high - differ.low == pytest.approx(2 * 1.96 * 0.316, rel=0.15)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        found = bootstrap_mean(
            np.random.default_rng(seed).normal(3, 1, 60), resamples=500, seed=seed, level=0.9
        )
        inside += found.low <= 3 <= found.high
    assert 168 <= inside <= 194


def test_missing_values_are_left_out():
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, 5.0]])
    found = bootstrap_mean(values)
    assert found.mean == 3
    assert (found.n_seeds, found.n_videos) == (2, 2)
    nothing = bootstrap_mean([np.nan, np.nan])
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


def test_a_single_value_has_no_interval():
    found = bootstrap_mean([0.5])
    assert found.mean == 0.5
    assert np.isnan(found.low)


def test_ratio_of_paired_videos():
    other = RNG.uniform(0.2, 0.8, 100)
    found = bootstrap_ratio(np.stack([1.5 * other] * 3), other)
    # video by video one is 1.5 times the other: no resample can say otherwise
    assert (found.mean, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))
    loose = bootstrap_ratio(1.5 * other[::-1], other)
    assert loose.low < 1.45 < 1.55 < loose.high


def test_it_repeats():
    values = RNG.random((3, 20))
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)


def test_refused():
    with pytest.raises(SptError, match="level"):
        bootstrap_mean([1, 2], level=95)
    with pytest.raises(SptError, match=r"\(seeds, videos\)"):
        bootstrap_mean(np.ones((2, 2, 2)))
    with pytest.raises(SptError, match="same for both"):
        bootstrap_ratio([1, 2], [1, 2, 3])
