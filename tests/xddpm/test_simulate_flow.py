import math

import pytest
import torch

from spt_explain.xddpm.simulate.flow import Flow

SIDE = 2 * math.pi


def _grid(cells, side=SIDE):
    place = torch.arange(cells, dtype=torch.float64) * side / cells
    return place[None].expand(cells, cells), place[:, None].expand(cells, cells)


def _vortices(x, y):
    u, v = torch.sin(x) * torch.cos(y), -torch.cos(x) * torch.sin(y)
    return torch.stack([u, v])[None]


def _disc(cells, radius):
    place = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells - 0.5
    away = torch.hypot(place[None], place[:, None])
    return (0.5 + (radius - away) * cells).clamp(0, 1)[None]


def test_taylor_green_vortices_decay_as_they_should():
    x, y = _grid(32)
    flow = Flow(1, 32, side=SIDE, viscosity=0.05, dtype=torch.float64)
    flow.velocity = _vortices(x, y)
    for _ in range(20):
        flow.advance(0.1)
    left = math.exp(-2 * 0.05 * 2)
    assert (flow.velocity - left * _vortices(x, y)).abs().max() < 1e-13
    p = left**2 * (torch.cos(2 * x) + torch.cos(2 * y)) / 4
    assert (flow.pressure()[0] - p).abs().max() < 1e-13
    assert (flow.vorticity()[0] - 2 * left * torch.sin(x) * torch.sin(y)).abs().max() < 1e-12


def test_taylor_green_vortices_are_carried_by_a_stream_to_third_order():
    x, y = _grid(32)
    stream = torch.tensor([[0.7, -0.4]], dtype=torch.float64)
    ends = []
    for step in (0.04, 0.02):
        flow = Flow(1, 32, side=SIDE, viscosity=0.02, stream=stream, dtype=torch.float64)
        flow.velocity = _vortices(x, y) + stream[:, :, None, None]
        for _ in range(round(0.8 / step)):
            flow.advance(step)
        there = _vortices(x - 0.7 * 0.8, y + 0.4 * 0.8) * math.exp(-2 * 0.02 * 0.8)
        ends.append((flow.velocity - there - stream[:, :, None, None]).abs().max().item())
    assert ends[0] < 1e-5
    assert ends[0] / ends[1] == pytest.approx(8, rel=0.15)


def test_what_is_set_loses_its_divergence():
    values = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    flow = Flow(2, 32, side=SIDE, viscosity=0.1, dtype=torch.float64)
    flow.velocity = values
    u = flow.velocity
    wave = 1j * torch.fft.fftfreq(32, 1 / 32).double()
    x = torch.fft.ifft(torch.fft.fft(u[:, 0], dim=-1) * wave, dim=-1).real
    y = torch.fft.ifft(torch.fft.fft(u[:, 1], dim=-2) * wave[:, None], dim=-2).real
    assert (x + y).abs().max() < 1e-12
    assert u.std() > 0.3


def test_creeping_flow_through_an_array_of_cylinders_has_the_drag_of_the_series():
    # A. S. Sangani, A. Acrivos 1982, doi:10.1016/0301-9322(82)90047-7, square array, share c
    c, speed = 0.2, 1e-3
    exact = 4 * math.pi / (-0.5 * math.log(c) - 0.738 + c - 0.887 * c**2 + 2.038 * c**3)
    cells, eta = 64, 1e-4  # the flow enters the cylinder by √(ν η), 0.6 cells
    body = _disc(cells, math.sqrt(c / math.pi))
    stream = torch.tensor([[speed, 0.0]], dtype=torch.float64)
    flow = Flow(1, cells, viscosity=1.0, stream=stream, held=True, dtype=torch.float64)
    for step in (5e-4, 1e-4, 2e-5, 4e-6):
        for _ in range(60):
            given = flow.advance(step, body, eta=eta) / step
    assert abs(given[0, 1].item()) < 1e-6 * given[0, 0].item()
    assert given[0, 0].item() / speed == pytest.approx(exact, rel=0.01)
    slope = (body.roll(-1, 2) - body.roll(1, 2)) * cells / 2
    by_pressure = (flow.pressure() * slope).sum().item() / cells**2
    assert 0.35 < by_pressure / given[0, 0].item() < 0.55  # a half around a single cylinder


def test_a_cylinder_that_sets_off_feels_its_added_mass_in_the_pressure():
    # potential flow: -π a² dU/dt, the mass of the fluid it displaces, whatever the viscosity
    cells, radius, rate, step = 128, 0.05, 2.0, 1e-3
    body = _disc(cells, radius)
    flow = Flow(1, cells, viscosity=1e-4, dtype=torch.float64)
    velocity = torch.zeros(1, 2, cells, cells, dtype=torch.float64)
    before = 0.0
    for i in range(1, 6):
        velocity[:, 0] = rate * step * i
        own = (body * velocity[:, 0]).sum().item() / cells**2
        given = flow.advance(step, body, velocity)
        whole = (given[0, 0].item() + own - before) / step
        before = own
    slope = (body.roll(-1, 2) - body.roll(1, 2)) * cells / 2
    by_pressure = (flow.pressure() * slope).sum().item() / cells**2
    expected = -math.pi * radius**2 * rate
    assert by_pressure == pytest.approx(expected, rel=0.06)
    assert by_pressure > whole > 1.2 * by_pressure  # negative; friction comes on top


def test_the_fluid_takes_on_the_velocity_of_a_body():
    body = _disc(48, 0.2)
    flow = Flow(1, 48, viscosity=1e-3)
    speed = torch.full((1, 2, 48, 48), 0.3)
    for eta in (0.0, 1e-3):
        for _ in range(40):
            flow.advance(0.01, body.float(), speed, eta=eta)
        inside = flow.velocity[0, :, body[0] == 1]
        assert (inside - 0.3).abs().mean() < 0.01


def test_a_sponge_takes_the_flow_back_to_the_stream():
    x, y = _grid(32)
    stream = torch.tensor([[0.5, 0.0]], dtype=torch.float64)
    flow = Flow(1, 32, side=SIDE, viscosity=1e-6, stream=stream, dtype=torch.float64,
                sponge=torch.full((32, 32), 2.0))  # fmt: skip
    flow.velocity = _vortices(x, y) + stream[:, :, None, None]
    for _ in range(20):
        flow.advance(0.1)
    left = flow.velocity - stream[:, :, None, None]
    assert left.abs().max().item() == pytest.approx(math.exp(-2 * 2.0), rel=0.02)


def test_what_can_not_be_computed_is_said():
    flow = Flow(1, 16, viscosity=0.1)
    flow.velocity = torch.full((1, 2, 16, 16), math.nan)
    with pytest.raises(FloatingPointError):
        flow.advance(0.1)
