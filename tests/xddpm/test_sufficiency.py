import numpy as np
import pytest

from spt_explain.xddpm.sufficiency import Curve, sufficiency


def _problem(seed=1):
    rng = np.random.default_rng(seed)
    scaled = rng.normal(size=(50, 2, 10, 10)).astype(np.float32)
    scaled[:, :, :3, :4] += rng.normal(size=(50, 1, 1, 1)).astype(np.float32)
    target = scaled[:, :, :3, :4].sum((1, 2, 3))

    def skill(kept):
        rest = target - kept[:, :, :3, :4].sum((1, 2, 3))
        return 1 - float((rest**2).mean() / target.var())

    return scaled, skill


def test_the_true_map_keeps_its_own_share():
    scaled, skill = _problem()
    relevance = np.zeros_like(scaled)
    relevance[:, :, :3, :4] = 1
    curve = sufficiency(skill, scaled, relevance)
    assert curve.share == pytest.approx(0.12)
    assert curve.threshold == 1
    assert curve.r2[-1] == pytest.approx(1)
    assert curve.excess == pytest.approx(0, abs=1e-6)


def test_a_map_that_knows_nothing_needs_nearly_all():
    scaled, skill = _problem()
    relevance = np.random.default_rng(2).random(scaled.shape).astype(np.float32)
    curve = sufficiency(skill, scaled, relevance)
    assert curve.share >= 0.7
    assert list(curve.kept) == sorted(curve.kept)
    assert list(curve.thresholds) == sorted(curve.thresholds, reverse=True)


def test_equal_pixels_are_kept_together():
    scaled, skill = _problem()
    curve = sufficiency(skill, scaled, np.full_like(scaled, 0.3))
    assert curve.kept == (1.0,)
    assert curve.share == 1


def test_a_lucky_small_set_is_not_enough():
    """R² that rises for one share alone, and falls again."""
    scaled = np.ones((1, 1, 10, 10), np.float32)
    relevance = np.linspace(1, 0, 100, dtype=np.float32).reshape(1, 1, 10, 10)

    def skill(kept):
        count = int(kept.sum())
        return 1.0 if count == 5 or count >= 50 else 0.2

    assert sufficiency(skill, scaled, relevance).share == pytest.approx(0.5)


def test_pixels_that_mislead_do_not_make_a_small_set_insufficient():
    scaled = np.ones((1, 1, 10, 10), np.float32)
    relevance = np.linspace(1, 0, 100, dtype=np.float32).reshape(1, 1, 10, 10)

    def skill(kept):
        count = int(kept.sum())
        return 0.0 if count < 8 else 0.8 if 30 < count < 100 else 1.0

    assert sufficiency(skill, scaled, relevance).share == pytest.approx(0.08)


def test_a_mask_that_encodes_the_signal_is_seen():
    """How many pixels are kept tells more than what is in them."""
    rng = np.random.default_rng(7)
    target = rng.integers(1, 50, 40)
    scaled = np.ones((40, 1, 10, 10), np.float32)
    relevance = (np.arange(100) < target[:, None]).reshape(scaled.shape).astype(np.float32)

    def skill(kept):
        count = kept.sum((1, 2, 3))
        return 1 - float(((target - np.minimum(count, 50)) ** 2).mean() / target.var())

    assert sufficiency(skill, scaled, relevance).excess > 0.9


def test_the_knee_is_where_few_pixels_keep_most():
    shares, thresholds = (0.01, 0.02, 0.1, 0.5, 1.0), (0.9, 0.8, 0.1, 0.05, 0.0)
    curve = Curve(shares, thresholds, (0.5, 0.86, 0.88, 0.8, 0.97), 0.95, 4)
    assert curve.kept[curve.knee] == 0.02
    even = Curve(shares, thresholds, (-0.2, 0.0, 0.05, 0.4, 0.97), 0.95, 4)
    assert even.knee == 4
    assert Curve(shares, thresholds, (-0.5, -0.2, -0.2, -0.1, -0.1), 0.95, 4).knee == 4
