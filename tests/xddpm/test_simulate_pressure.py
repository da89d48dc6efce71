import numpy as np
import pytest
import torch

from spt_explain.xddpm.simulate import simulate
from spt_explain.xddpm.simulate.pressure import ellipse, force


def _body(size=64, edge=2.0):
    return ellipse(np.array([31.2, 30.7]), np.array([14.0, 8.0]), np.array(0.4), size, edge)


def test_the_body_is_an_ellipse_of_its_area_and_direction():
    body = _body().astype(float)
    assert body.sum() == pytest.approx(np.pi * 14 * 8, rel=0.02)
    y, x = np.mgrid[:64, :64]
    assert (body * y).sum() / body.sum() == pytest.approx(31.2, abs=0.05)
    cov = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=body.ravel())
    lengths, axes = np.linalg.eigh(cov)
    np.testing.assert_allclose(2 * np.sqrt(lengths), [8, 14], rtol=0.03)
    assert abs(axes[:, 1] @ [np.cos(0.4), np.sin(0.4)]) == pytest.approx(1, abs=1e-3)


def test_archimedes():
    # under p = g · y the force is -g times the area along y, whatever the shape; none along x
    body = _body()
    depth = np.mgrid[:64, :64][0].astype(np.float32)
    pull, _ = force(0.1 * depth * (1 - body), body)
    assert pull[1] == pytest.approx(-0.1 * np.pi * 14 * 8, rel=0.1)
    assert pull[0] == pytest.approx(0, abs=0.5)
    # the same with the pressure of a body that ends nowhere: half of the factor 2, exactly
    whole, _ = force(0.1 * depth, body)
    assert whole[1] / 2 == pytest.approx(-0.1 * body.sum(), rel=1e-4)


def test_an_even_pressure_moves_nothing():
    body = _body()
    pull, _ = force(np.full_like(body, 3.0), body)
    np.testing.assert_allclose(pull, 0, atol=1e-3)


def test_each_pixel_counts_as_much_as_the_derivative_says():
    body = _body(32)[None]
    frame = torch.randn(32, 32, dtype=torch.float64, requires_grad=True)
    dy, dx = (torch.tensor(part) for part in np.gradient(body[0].astype(float)))
    gradients = [
        torch.autograd.grad((2 * frame * part).sum(), frame)[0].numpy() for part in (dx, dy)
    ]
    pull, slope = force(frame.detach().numpy()[None].astype(np.float32), body)
    np.testing.assert_allclose(slope[0], np.hypot(*gradients), atol=1e-5)
    assert pull[0, 0] == pytest.approx((2 * frame * dx).sum().item(), abs=1e-3)


def test_movies_hold_the_forces_and_the_edge_that_carries_them():
    made = simulate("pressure", 40, seed=2)
    edge = made.truth["force-x"]
    share = edge.mean(axis=(2, 3))
    assert 0.02 < share.min()  # noqa: SIM300
    assert share.max() < 0.35
    # nothing outside the edge counts: the force is the same without it
    middle = made.clips[:, :, 15:17, 15:17]
    assert np.median(np.abs(middle)) == 0  # the body shows as an even patch
    assert made.clips[~edge].std() > 0.5
    for name in ("force-x", "force-y"):
        values = made.signals[name]
        assert abs(values.mean()) < values.std()
    r = np.corrcoef(made.signals["force-x"].ravel(), made.signals["force-y"].ravel())[0, 1]
    assert abs(r) < 0.4
