import numpy as np
import pytest

from spt_explain.diffusion.covariance import estimate_covariance


def recordings(n_tracks, n_points, *, d, sigma, exposure, seed=0, fine=20):
    """Brownian motion as a camera sees it: positions averaged over the exposure, and noise.

    The shutter opens at the start of each frame; `fine` steps of the path make a frame.
    """
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, np.sqrt(2 * d / fine), (n_tracks, n_points * fine, 2))
    path = steps.cumsum(axis=1).reshape(n_tracks, n_points, fine, 2)
    seen = path[:, :, : max(1, round(exposure * fine))].mean(axis=2)
    return seen + rng.normal(0, sigma, seen.shape)


def estimate(positions, exposure, frame=None):
    m, n, _ = positions.shape
    frame = np.tile(np.arange(n), m) if frame is None else frame
    flat = positions.reshape(-1, 2)
    return estimate_covariance(frame, flat[:, 0], flat[:, 1], np.arange(m) * n, exposure=exposure)


def standard_error_of_the_paper(d, sigma, blur, n_steps):
    """Vestergaard et al. 2014, one axis: D² [(6 + 4ε + 2ε²)/N + 4(1 + ε)²/N²]; two are averaged."""
    e = sigma**2 / d - 2 * blur
    variance = d**2 * ((6 + 4 * e + 2 * e**2) / n_steps + 4 * (1 + e) ** 2 / n_steps**2)
    return np.sqrt(variance / 2)


@pytest.mark.parametrize(
    ("n_points", "d", "sigma", "exposure"),
    [(30, 0.5, 0.0, 0.0), (30, 0.5, 0.7, 1.0), (100, 2.0, 3.0, 0.5), (20, 0.1, 0.2, 1.0)],
)
def test_no_bias_and_the_papers_scatter_with_blur_and_noise(n_points, d, sigma, exposure):
    n, fine = 4000, 20
    found = estimate(recordings(n, n_points, d=d, sigma=sigma, exposure=exposure), exposure)
    # R of `fine` equally weighted samples instead of an integral: e/6 · (1 − 1/k²)
    k = max(1, round(exposure * fine))
    true_blur = exposure / 6 * (1 - 1 / k**2)
    expected = standard_error_of_the_paper(d, sigma, true_blur, n_points - 1)
    assert found.d.mean() == pytest.approx(d, abs=4 * expected / np.sqrt(n))
    assert found.d.std() == pytest.approx(expected, rel=0.06)
    slack = 2 * d * (exposure / 6 - true_blur)
    spread = found.sigma2.std() / np.sqrt(n)
    assert found.sigma2.mean() == pytest.approx(sigma**2, abs=4 * spread + slack)
    assert (found.n_steps == n_points - 1).all()


def test_the_stated_error_is_the_papers_where_tracks_are_long():
    d, sigma, exposure = 0.7, 0.5, 1.0
    found = estimate(recordings(20, 3000, d=d, sigma=sigma, exposure=exposure), exposure)
    expected = standard_error_of_the_paper(d, sigma, exposure / 6, 2999)
    np.testing.assert_allclose(found.d_error, expected, rtol=0.15)
    assert np.median(found.d_error) == pytest.approx(expected, rel=0.04)


def test_lost_frames_cost_precision_but_no_truth():
    positions = recordings(3000, 40, d=1.0, sigma=0.5, exposure=0.0, seed=1)
    rng = np.random.default_rng(2)
    seen = rng.random((3000, 40)) > 0.2
    seen[:, :4] = True
    frame = np.broadcast_to(np.arange(40), seen.shape)[seen]
    flat = positions[seen]
    starts = np.concatenate([[0], seen.sum(axis=1).cumsum()[:-1]])
    found = estimate_covariance(frame, flat[:, 0], flat[:, 1], starts, exposure=0.0)
    assert found.n_steps[0] == (seen[0, 1:] & seen[0, :-1]).sum()
    assert found.d.mean() == pytest.approx(1.0, abs=4 * found.d.std() / np.sqrt(3000))
    assert found.sigma2.mean() == pytest.approx(0.25, abs=4 * found.sigma2.std() / np.sqrt(3000))
    # scatter of estimates with the truth known, against the error each states for itself
    assert found.d.std() == pytest.approx(np.sqrt((found.d_error**2).mean()), rel=0.15)


def test_by_hand():
    # steps 1, 2, −1 in x and none in y; frames 0 1 2 3: <d²> = 6/3, <dd'> = (2 − 2)/2
    x = np.array([0.0, 1, 3, 2])
    found = estimate_covariance(np.arange(4), x, np.zeros(4), np.array([0]), exposure=0.6)
    assert found.d[0] == pytest.approx((2 / 2 + 0) / 2)
    assert found.sigma2[0] == pytest.approx(0.1 * 2 / 2)
    # frame 2 lost: two single steps that have no neighbour, so no covariance and no estimate
    lost = estimate_covariance(np.array([0, 1, 3, 4]), x, x, np.array([0]), exposure=0.6)
    assert lost.n_steps[0] == 2
    assert np.isnan(lost.d[0])


def test_negative_estimates_are_kept_for_d_and_missing_for_the_error():
    still = np.random.default_rng(0).normal(0, 1, (500, 25, 2))
    found = estimate(still, 1.0)
    assert (found.d < 0).mean() > 0.3
    assert found.d.mean() == pytest.approx(0, abs=0.02)
    assert np.isfinite(found.sigma).mean() > 0.99
    straight = np.arange(20.0)[None, :, None] * np.ones((1, 1, 2))
    moving = estimate(straight, 0.0)
    assert moving.sigma2[0] < 0
    assert np.isnan(moving.sigma[0])


def test_exposure_changes_the_localisation_error_only():
    positions = recordings(50, 30, d=1.0, sigma=1.0, exposure=1.0)
    full, short = estimate(positions, 1.0), estimate(positions, 0.0)
    np.testing.assert_array_equal(full.d, short.d)
    assert (full.sigma2 > short.sigma2).all()


@pytest.mark.parametrize("factor", [1e-200, 1e-3, 1e100])
def test_units_scale_the_result(factor):
    positions = recordings(5, 30, d=1.0, sigma=0.5, exposure=1.0)
    ours, theirs = estimate(positions, 1.0), estimate(positions * factor, 1.0)
    with np.errstate(under="ignore"):
        np.testing.assert_allclose(theirs.d, ours.d * factor**2, rtol=1e-9, atol=0)
        np.testing.assert_allclose(theirs.sigma2, ours.sigma2 * factor**2, rtol=1e-9, atol=0)


def test_degenerate_tracks():
    huge = np.array([1e308, -1e308, 1e308, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0])
    frame = np.array([0, 1, 2, 0, 1, 7, 8, 9, 10])
    found = estimate_covariance(frame, huge, huge, np.array([0, 3, 5]))
    assert np.isnan(found.d[:2]).all()  # overflow; a single step
    assert (found.d[2], found.sigma2[2]) == (0, 0)
    none = np.zeros(0)
    assert len(estimate_covariance(none.astype(int), none, none, none.astype(int)).d) == 0
    with pytest.raises(ValueError, match="0 to 1"):
        estimate_covariance(frame, huge, huge, np.array([0]), exposure=2)
