import numpy as np
import pytest
from scipy.stats import pearsonr

from spt_explain.xddpm.simulate.outlines import Outlines, draw_outlines


def _draw(n=50, **settings):
    given = {"radius": (5.0, 7.0), "aspect": (1.0, 4.0), "roughness": (0.0, 0.3), "room": 15.0}
    return draw_outlines(np.random.default_rng(4), (n, 1), **(given | settings))


def test_the_area_drawn_does_not_depend_on_the_shape():
    outlines = _draw()
    phase = outlines.phase(np.full((50, 1, 2), 15.5), 32, 0.8, "cpu").numpy()
    areas = (phase >= 0.5).sum(axis=(-2, -1))[:, 0]
    np.testing.assert_allclose(areas, np.pi * outlines.radius[:, 0] ** 2, rtol=0.06)
    assert abs(pearsonr(outlines.aspect[:, 0], outlines.radius[:, 0]).statistic) < 0.4


def test_an_ellipse_has_its_axes_and_its_direction():
    none = np.zeros((1, 1, 4))
    one = np.ones((1, 1))
    ellipse = Outlines(8 * one, 2.25 * one, np.pi / 2 * one, none, none)
    phase = ellipse.phase(np.full((1, 1, 2), 19.5), 40, 0.8, "cpu").numpy()[0, 0]
    y, x = np.nonzero(phase >= 0.5)
    assert (x.max() - x.min() + 1) / 2 == pytest.approx(8 / 1.5, abs=0.8)
    assert (y.max() - y.min() + 1) / 2 == pytest.approx(8 * 1.5, abs=0.8)
    assert ellipse.reach().item() == pytest.approx(12, rel=0.01)


def test_the_interface_is_as_wide_along_a_rough_outline_as_along_a_circle():
    # |∇φ| = φ (1 - φ) / w wherever the phase is a distance's
    outlines = _draw(20, radius=(9.0, 9.0), aspect=(2.0, 2.0), roughness=(0.1, 0.1), room=40.0)
    phase = outlines.phase(np.full((20, 1, 2), 23.5), 48, 1.5, "cpu").numpy().astype(float)
    slope = np.hypot(*np.gradient(phase, axis=(-2, -1)))
    near = (phase > 0.4) & (phase < 0.6)
    ratio = slope[near] / (phase * (1 - phase) / 1.5)[near]
    assert np.median(ratio) == pytest.approx(1, abs=0.05)
    assert np.percentile(np.abs(ratio - 1), 95) < 0.2


def test_outlines_keep_within_their_room():
    outlines = _draw(200, aspect=(1.0, 6.0), roughness=(0.0, 0.6), room=9.0)
    assert outlines.reach().max() < 9.1
    assert outlines.aspect.max() > 1.3
