import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from spt_explain.training import scores


@given(st.integers(1, 5000), st.floats(0, 1))
def test_interval_of_a_share_is_wilsons(n, p):
    k = round(p * n)
    value, se, low, high = scores.share(k, n)
    expected = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert value == k / n
    assert se == pytest.approx(np.sqrt(value * (1 - value) / n))
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_nothing_can_be_said_of_nothing():
    assert np.isnan(scores.share(0, 0)).all()
    assert np.isnan(scores.mean(np.zeros(0))).all()
    one = scores.mean(np.ones(1))
    assert one[0] == 1
    assert np.isnan(one[1:]).all()
    empty = scores.calibration(np.zeros(0), np.zeros(0, bool), bins=15)
    assert np.isnan([empty.error, empty.debiased, empty.se, *empty.interval]).all()


def test_mean_and_its_error():
    values = np.random.default_rng(0).normal(3, 2, 50)
    average, se, low, high = scores.mean(values)
    assert average == pytest.approx(values.mean())
    assert se == pytest.approx(stats.sem(values))
    assert (low + high) / 2 == pytest.approx(average)
    assert (high - low) / 2 == pytest.approx(stats.norm.ppf(0.975) * se)


def _drawn(n, n_classes, seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(n_classes, size=n)
    predicted = np.where(rng.random(n) < 0.7, label, rng.integers(n_classes, size=n))
    return label, predicted


@pytest.mark.parametrize(("n", "n_classes", "seed"), [(400, 8, 0), (30, 8, 1), (7, 3, 2)])
def test_confusion_and_f1_are_scikit_learns(n, n_classes, seed):
    label, predicted = _drawn(n, n_classes, seed)
    counts = scores.confusion_counts(label, predicted, n_classes)
    np.testing.assert_array_equal(
        counts, metrics.confusion_matrix(label, predicted, labels=range(n_classes))
    )
    expected = metrics.f1_score(
        label, predicted, labels=range(n_classes), average=None, zero_division=0
    )
    for i in range(n_classes):
        if counts[i].sum() + counts[:, i].sum():
            assert scores.f1(counts, i)[0] == pytest.approx(expected[i])
    present = np.unique(label)
    assert scores.macro_f1(counts)[0] == pytest.approx(
        metrics.f1_score(label, predicted, labels=present, average="macro", zero_division=0)
    )


def test_errors_of_f1_are_those_of_repeated_tests():
    rng = np.random.default_rng(3)
    truth = np.array([300, 200, 150])
    p = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.2, 0.2, 0.6]])
    tables = [
        np.stack([rng.multinomial(n, row) for n, row in zip(truth, p, strict=True)])
        for _ in range(3000)
    ]
    found = np.array([[scores.macro_f1(t)[0], scores.f1(t, 0)[0]] for t in tables])
    macro_se = np.mean([scores.macro_f1(t)[1] for t in tables[:300]])
    assert macro_se == pytest.approx(found[:, 0].std(), rel=0.06)
    # a class's interval lets the number taken for it vary as well: it may be a little wide
    exact = scores.macro_f1((p * truth[:, None] * 1000).astype(int))[0]
    assert found[:, 0].mean() == pytest.approx(exact, abs=0.003)
    large = (p * truth[:, None] * 1000).astype(int)
    inside = [scores.f1(t, 0)[2] <= scores.f1(large, 0)[0] <= scores.f1(t, 0)[3] for t in tables]
    assert np.mean(inside) > 0.94


def test_perfect_f1_still_has_an_interval():
    value, se, low, high = scores.f1(np.diag([5, 5]), 0)
    assert (value, se, high) == (1, 0, 1)
    jaccard = stats.binomtest(5, 5).proportion_ci(0.95, method="wilson").low
    assert low == pytest.approx(2 * jaccard / (1 + jaccard))


def _calibrated(rng, n, sharpness=1.0):
    """Confidences of 8 classes, hits drawn from the true ones; `sharpness` over 1: too sure."""
    p = rng.dirichlet(np.full(8, 0.6), n)
    said = p**sharpness
    said /= said.sum(1, keepdims=True)
    right = p[np.arange(n), said.argmax(1)]
    return said.max(1), rng.random(n) < right, right


def test_calibration_error_is_its_definition():
    rng = np.random.default_rng(4)
    confidence, hit, _ = _calibrated(rng, 500, 1.4)
    found = scores.calibration(confidence, hit, bins=15)
    total = 0.0
    edges = np.linspace(0, 1, 16)
    for b, (low, high) in enumerate(itertools.pairwise(edges)):
        rows = (confidence >= low) & ((confidence < high) | (b == 14))
        assert found.count[b] == rows.sum()
        if rows.any():
            total += rows.mean() * abs(hit[rows].mean() - confidence[rows].mean())
    assert found.error == pytest.approx(total)
    assert found.count.sum() == 500


@pytest.mark.parametrize("n", [40, 400, 4000])
def test_chance_is_what_perfect_calibration_shows(n):
    """The part taken off as chance is, on average, all there is for calibrated probabilities."""
    rng = np.random.default_rng(n)
    found = [scores.calibration(*_calibrated(rng, n)[:2], bins=15) for _ in range(400)]
    error, expected, debiased = np.array([[c.error, c.expected, c.debiased] for c in found]).T
    se = debiased.std() / np.sqrt(len(found))
    assert abs(debiased.mean()) < 3.5 * se + 0.002
    assert error.mean() == pytest.approx(expected.mean(), abs=3.5 * se + 0.002)
    assert error.mean() > 4 * abs(debiased.mean())  # the plain error is far from 0
    assert found[0].se == pytest.approx(debiased.std(), rel=0.3)
    inside = [c.interval[0] <= 0 for c in found]
    assert np.mean(inside) > 0.94


def test_true_miscalibration_is_not_taken_off():
    rng = np.random.default_rng(5)
    confidence, _, right = _calibrated(rng, 300_000, 1.5)
    bin_of = np.minimum((confidence * 15).astype(int), 14)
    truth = np.abs(np.bincount(bin_of, right - confidence)).sum() / len(right)
    found = [scores.calibration(*_calibrated(rng, 3000, 1.5)[:2], bins=15) for _ in range(200)]
    error, debiased, naive = np.array(
        [[c.error, c.debiased, c.error - c.expected] for c in found]
    ).T
    assert abs(debiased.mean() - truth) < 0.06 * truth
    assert abs(debiased.mean() - truth) < 0.4 * abs(naive.mean() - truth)
    inside = [c.interval[0] <= truth <= c.interval[1] for c in found]
    assert np.mean(inside) > 0.85
    assert error.mean() >= truth - 0.002


def test_the_mean_distance_of_a_binomial_is_exact():
    for n, p in ((1, 0.95), (7, 0.4), (60, 0.99), (100_000, 0.9999)):
        k = np.arange(n + 1)
        mass = stats.binom.pmf(k, n, p)
        distance, fade = scores._chance(n, p)
        assert distance == pytest.approx(mass @ np.abs(k / n - p), rel=1e-6)
        square = (k / n - p) ** 2 / (2 * p * (1 - p) / n)
        assert fade == pytest.approx(mass @ np.exp(-square), rel=1e-6)
    assert scores._chance(10, 1.0) == (0.0, 1.0)


def test_certainty_needs_no_correction():
    sure = scores.calibration(np.ones(50), np.ones(50, bool), bins=15)
    assert sure.error == sure.debiased == sure.expected == sure.se == 0
    wrong = scores.calibration(np.ones(50), np.zeros(50, bool), bins=15)
    assert wrong.error == wrong.debiased == 1
