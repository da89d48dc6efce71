import numpy as np
import pytest
from scipy.stats import spearmanr

from spt_explain.xddpm.tracks.compare import likeness


@pytest.mark.parametrize("seed", range(5))
def test_rho_is_spearmans(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 6, 60).astype(float)
    b = a + rng.normal(size=60) * 3
    assert likeness(a, b).rho == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_missing_frames_are_left_out():
    a, b = np.arange(20.0), np.arange(20.0) ** 2
    a[0] = b[5] = np.nan
    assert likeness(a, b).rho == pytest.approx(1)


def test_smooth_maps_are_alike_by_chance():
    """Where shifted maps do as well, p says so: about 5 % of unrelated pairs are below 0.05."""
    rng = np.random.default_rng(3)
    few = 0
    for _ in range(300):
        a, b = (np.convolve(rng.normal(size=180), np.ones(30), "valid") for _ in range(2))
        few += likeness(a, b).p <= 0.05
    assert 2 <= few <= 35


def test_flat_and_short():
    assert np.isnan(likeness(np.ones(30), np.arange(30.0)).rho)
    assert np.isnan(likeness(np.arange(7.0), np.arange(7.0)).rho)
