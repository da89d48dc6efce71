import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.ndimage import correlate
from scipy.optimize import least_squares

from spt_explain.xddpm.simulate.phase_field import PhaseField


def _step(*values):
    return torch.tensor(values, dtype=torch.float32)


def test_a_circle_shrinks_at_two_pi_without_a_fixed_volume(disc):
    # curvature flow: dA/dt = -m ∮ κ ds = -2π m, whatever the radius
    field = PhaseField(disc(40, 12.0, 1.5), _step(0.1), width=1.5, fixed_volume=False)
    field.advance(50, field.volume())
    before = field.volume().item()
    field.advance(100, field.volume())
    assert (field.volume().item() - before) / 10 == pytest.approx(-2 * np.pi, rel=0.03)


def test_elongation_relaxes_as_curvature_flow_at_fixed_area_does():
    # linear theory around a circle: mode n decays at (n² - 1) m / R², here n = 2
    size, radius, width = 48, 10.0, 1.5
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    outline = radius * (1 + 0.1 * np.cos(2 * np.arctan2(y, x) + 0.7))
    phase = 1 / (1 + np.exp((np.hypot(y, x) - outline) / width))
    field = PhaseField(
        torch.tensor(phase, dtype=torch.float32)[None, None], _step(0.1), width=width
    )

    def elongation():
        now = field.phase[0, 0].double().numpy()
        return np.hypot((now * (x * x - y * y)).sum(), (now * 2 * x * y).sum())

    field.advance(50, field.volume())
    before = elongation()
    field.advance(200, field.volume())
    assert np.log(before / elongation()) / 20 == pytest.approx(3 / radius**2, rel=0.04)


def test_volume_stays_and_follows_what_is_asked(disc):
    phase = torch.cat([disc(32, 6.0, 0.8), disc(32, 8.0, 0.8)])
    field = PhaseField(phase, _step(0.1, 0.2), width=0.8)
    volume = field.volume()
    field.advance(200, volume)
    torch.testing.assert_close(field.volume(), volume, rtol=1e-5, atol=0)
    field.advance(12, volume * 1.4)
    torch.testing.assert_close(field.volume(), volume * 1.4, rtol=1e-5, atol=0)
    assert field.phase.min() > -0.05
    assert field.phase.max() < 1.05
    # and it is the outline that moved: π R² within the outline
    area = (field.phase >= 0.5).sum(dim=(-2, -1)).float()
    torch.testing.assert_close(area, volume * 1.4, rtol=0.08, atol=0)


@pytest.mark.parametrize("degrees", [50, 75, 90, 120, 140])
def test_a_cell_on_a_wall_takes_youngs_angle(disc, degrees):
    size, width = 44, 0.8
    start = disc(size, 9.0, width, (size - 4.0, (size - 1) / 2))
    contact = _step(np.cos(np.radians(degrees)))
    field = PhaseField(start, _step(0.2), width=width, contact=contact)
    field.advance(2500, field.volume())
    phase = field.phase[0, 0].numpy()
    points = []
    for flip, image in ((False, phase[:-1]), (True, phase.T)):
        for i, line in enumerate(image - 0.5):
            for j in np.nonzero(line[1:] * line[:-1] < 0)[0]:
                at = j + line[j] / (line[j] - line[j + 1])
                points.append((at, i) if flip else (i, at))
    y, x = np.array(points).T
    fit = least_squares(lambda p: np.hypot(y - p[0], x - p[1]) - p[2], [size - 5.0, size / 2, 9.0])
    assert np.abs(fit.fun).max() < 0.1  # an arc of a circle
    wall = size - 0.5
    angle = np.degrees(np.arccos((fit.x[0] - wall) / fit.x[2]))
    assert angle == pytest.approx(degrees, abs=2.5)


def test_agrees_with_an_adaptive_solver(disc):
    # the same equation by the method of lines with scipy's own stencil and Runge-Kutta
    size, width = 20, 1.0
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    outline = 5 * (1 + 0.3 * np.cos(2 * np.arctan2(y, x)))
    start = 1 / (1 + np.exp((np.hypot(y, x) - outline) / width))
    stencil = np.array([[1, 4, 1], [4, -20, 4], [1, 4, 1]]) / 6

    def slope(_, flat):
        phase = flat.reshape(size, size)
        well = phase * (1 - phase) * (1 - 2 * phase) / width**2
        change = correlate(phase, stencil, mode="nearest") - well
        near = phase * (1 - phase)
        return (change - near * change.sum() / near.sum()).ravel()

    reference = solve_ivp(slope, (0, 5), start.ravel(), rtol=1e-6, atol=1e-8).y[:, -1]
    field = PhaseField(
        torch.tensor(start, dtype=torch.float32)[None, None], _step(0.05), width=width
    )
    field.advance(100, field.volume())
    np.testing.assert_allclose(field.phase[0, 0].numpy(), reference.reshape(size, size), atol=3e-3)
    assert np.abs(reference - start.ravel()).max() > 0.15


def test_movies_of_a_batch_do_not_touch_each_other(disc):
    one, two = disc(24, 5.0, 0.8), disc(24, 3.0, 0.8, (20.0, 21.0))
    both = PhaseField(torch.cat([one, two]), _step(0.1, 0.2), width=0.8)
    alone = PhaseField(one, _step(0.1), width=0.8)
    both.advance(50, both.volume())
    alone.advance(50, alone.volume())
    torch.testing.assert_close(both.phase[0], alone.phase[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("repulsion", "apart"), [(1.0, True), (0.0, False)])
def test_cells_that_overlap_are_pushed_apart(disc, repulsion, apart):
    phase = torch.cat([disc(32, 6.0, 0.8, (16, 11)), disc(32, 6.0, 0.8, (16, 20))], dim=1)
    field = PhaseField(phase, _step(0.2), width=0.8, repulsion=repulsion)
    field.advance(300, field.volume())
    both = (field.phase >= 0.5).all(dim=1).sum().item()
    assert (both == 0) == apart
