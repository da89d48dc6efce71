import numpy as np
import pytest

from spt_explain.xddpm.simulate.texture import drifting_texture


def _texture(**settings):
    given = {"frames": 6, "size": 48, "grain_px": 2.0, "drift_px": (1.5, 1.5)}
    return drifting_texture(20, rng=np.random.default_rng(2), **(given | settings))


def test_moments_and_grain():
    texture = _texture()
    assert texture.mean() == pytest.approx(0, abs=0.03)
    assert texture.std() == pytest.approx(1, rel=0.03)
    # white noise smoothed by a Gaussian of s px has the correlation exp(-d² / 4 s²)
    near = (texture[..., :-3] * texture[..., 3:]).mean()
    assert near == pytest.approx(np.exp(-9 / 16), abs=0.05)


def test_drifts_by_the_distance_asked_for():
    texture = _texture(frames=3, grain_px=3.0)
    dy, dx = np.gradient(texture[:, 1], axis=(1, 2))
    dt = (texture[:, 2] - texture[:, 0]) / 2
    for v, u, change in zip(dy, dx, dt, strict=True):  # brightness is carried along
        slopes = np.stack([v[2:-2, 2:-2].ravel(), u[2:-2, 2:-2].ravel()], axis=1)
        move, *_ = np.linalg.lstsq(slopes, -change[2:-2, 2:-2].ravel(), rcond=None)
        assert np.hypot(*move) == pytest.approx(1.5, rel=0.1)


def test_without_drift_it_stays():
    texture = _texture(drift_px=(0.0, 0.0))
    np.testing.assert_allclose(texture, texture[:, :1].repeat(6, axis=1), atol=1e-5)
