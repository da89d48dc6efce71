import numpy as np
import pytest
from numpy.testing import assert_allclose

from spt_explain.tracks import QualityPolicy
from spt_explain.tracks.immobile import assess_immobility, von_neumann_moments


def assess(x, y, frame=None, policy=None):
    """Assess tracks of shape (tracks, points)."""
    tracks, points = x.shape
    frame = np.arange(points) if frame is None else frame
    starts = np.arange(tracks) * points
    return assess_immobility(np.tile(frame, tracks), x.ravel(), y.ravel(), starts, policy)


def fbm(rng, exponent, tracks, points):
    """Fractional Brownian motion from the Cholesky factor of its covariance."""
    t = np.arange(1, points, dtype=float)
    covariance = 0.5 * (t[:, None] ** exponent + t**exponent - np.abs(t[:, None] - t) ** exponent)
    walk = rng.normal(size=(tracks, points - 1)) @ np.linalg.cholesky(covariance).T
    return np.hstack([np.zeros((tracks, 1)), walk])


@pytest.mark.parametrize("n", [4, 5, 10, 57, 1000])
def test_moments_are_von_neumanns(n):
    mean, variance = von_neumann_moments(n, n - 1, n - 2, 1)
    assert mean == pytest.approx(2 * n / (n - 1))
    assert variance == pytest.approx(4 * n**2 * (n - 2) / ((n + 1) * (n - 1) ** 3))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_moments_with_gaps_and_axes_are_those_of_a_ratio_of_quadratic_forms(axes):
    observed = np.array([1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 0, 1], dtype=bool)
    frame = np.flatnonzero(observed)
    n = len(frame)
    pair = np.diff(frame) == 1
    differences = np.diff(np.eye(n), axis=0)[pair]
    form = np.kron(np.eye(axes), differences.T @ differences)
    # Durbin and Watson, Biometrika 37 (1950) 409: mean and variance of x'Ax / x'x
    freedom = axes * (n - 1)
    trace, square = np.trace(form), np.trace(form @ form)
    scale = n / pair.sum()
    expected = scale**2 * 2 * (freedom * square - trace**2) / (freedom**2 * (freedom + 2))
    mean, variance = von_neumann_moments(n, pair.sum(), (pair[1:] & pair[:-1]).sum(), axes)
    assert mean == pytest.approx(scale * trace / freedom)
    assert variance == pytest.approx(expected)


def test_ratio_uses_observed_consecutive_frames_only():
    rng = np.random.default_rng(1)
    frame = np.array([0, 1, 2, 5, 6, 7, 8, 10, 11, 12])
    x, y = rng.normal(size=(2, 1, 10))
    pair = np.diff(frame) == 1
    steps = (np.diff(x)[0, pair] ** 2 + np.diff(y)[0, pair] ** 2).mean()
    assert_allclose(assess(x, y, frame).ratio, steps / (x.var() + y.var()))


def test_ratio_is_free_of_unit_and_origin_and_of_the_neighbours():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3, 20))
    alone = [assess(x[i : i + 1], y[i : i + 1]).ratio[0] for i in range(3)]
    assert_allclose(assess(x, y).ratio, alone)
    assert_allclose(assess(1e-9 * x, 1e-9 * y).ratio, alone)
    assert_allclose(assess(x + 1e6, y - 1e6).ratio, alone, rtol=1e-6)


def test_identical_positions_are_motionless_and_not_noise():
    x = np.array([np.full(12, 0.1), np.full(12, 3.3), np.arange(12) * 0.1])
    y = np.array([np.full(12, 1 / 3), np.arange(12) % 2.0, np.full(12, 7.7)])
    result = assess(x, y)
    assert result.motionless.tolist() == [True, False, False]
    assert not result.noise_like[0]
    assert np.isnan(result.ratio[0])


def test_undefined_or_overflowing_ratios_are_not_flagged():
    every_second = np.arange(0, 60, 2)
    x, y = np.random.default_rng(3).normal(size=(2, 1, 30))
    assert not assess(x, y, every_second).noise_like[0]
    assert not assess(x * 1e200, y * 1e200).noise_like[0]
    assert not assess(x * 1e-200, y * 1e-200).noise_like[0]
    nothing = assess_immobility(*(np.zeros(0, dtype=t) for t in "qdd"), np.zeros(0, dtype=int))
    assert len(nothing.noise_like) == len(nothing.ratio) == 0


def test_policy_switches_and_thresholds():
    x, y = np.random.default_rng(4).normal(size=(2, 4000, 40))
    assert not assess(x, y, policy=QualityPolicy(flag_immobile=False)).noise_like.any()
    assert not assess(x, y, policy=QualityPolicy(immobile_min_points=41)).noise_like.any()
    for miss in (0.01, 0.1, 0.3):
        found = assess(x, y, policy=QualityPolicy(immobile_miss=miss)).noise_like.mean()
        assert found == pytest.approx(1 - miss, abs=0.02)
    strict = assess(x[:, :10], y[:, :10], policy=QualityPolicy(immobile_guard=2.0))
    assert not strict.noise_like.any()


# The bounds are those that the module's table states; see there for the measured values.
@pytest.mark.parametrize(
    ("points", "least"), [(10, 58), (15, 94), (30, 95), (100, 95), (300, 95), (1000, 95)]
)
def test_noise_around_a_fixed_point_is_found(points, least):
    x, y = np.random.default_rng(5).normal(size=(2, 4000 if points < 300 else 1500, points))
    assert 100 * assess(x, y).noise_like.mean() >= least


@pytest.mark.parametrize("points", [8, 10, 12, 15, 20, 30, 100, 1000])
def test_brownian_motion_is_not(points):
    steps = np.random.default_rng(6).normal(size=(2, 20_000 if points < 100 else 1000, points))
    x, y = steps.cumsum(axis=-1)
    assert 100 * assess(x, y).noise_like.mean() <= 1
    assert 100 * assess(x, np.zeros_like(x)).noise_like.mean() <= 1


def test_brownian_motion_with_gaps_is_not():
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(2, 20_000, 14)).cumsum(axis=-1)
    for left_out in ([5], [4, 9], [2, 5, 8, 11]):
        frame = np.delete(np.arange(14), left_out)
        assert 100 * assess(x[:, frame], y[:, frame], frame).noise_like.mean() <= 1


@pytest.mark.parametrize(
    ("exponent", "points", "most"), [(0.1, 100, 8), (0.2, 100, 1), (0.2, 200, 0.2), (0.5, 30, 1.5)]
)
def test_long_subdiffusive_tracks_are_rarely_flagged(exponent, points, most):
    rng = np.random.default_rng(8)
    x, y = (fbm(rng, exponent, 3000, points) for _ in range(2))
    assert 100 * assess(x, y).noise_like.mean() <= most
