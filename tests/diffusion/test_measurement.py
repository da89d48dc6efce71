import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion import measurement
from spt_explain.diffusion.measurement import (
    fill_frames,
    leave_sums_uncompiled,
    lose_frames,
    measure,
    record,
)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_measured_displacements_have_unit_deviation_and_the_noise_asked_for():
    n, length = 400, 120
    steps = torch.randn(n, 127, 2, generator=_generator()) * 37
    lengths = torch.full((n,), length)
    clean = measure(steps, lengths, torch.zeros(n), _generator(1))
    deviation = clean[:, :length].diff(dim=1).std(dim=1, correction=0)
    np.testing.assert_allclose(deviation, 1, atol=1e-3)
    assert (clean[:, 0] == 0).all()
    noisy = measure(steps, lengths, torch.full((n,), 0.7), _generator(1))
    # positions carry noise of 0.7, so displacements gain twice its variance
    variance = noisy[:, :length].diff(dim=1).var().item()
    assert variance == pytest.approx(1 + 2 * 0.49, rel=0.02)
    error = (noisy - clean)[:, :length]
    assert error.std().item() == pytest.approx(0.7, rel=0.01)
    # one position's error is no other's
    assert abs((error[:, 1:] * error[:, :-1]).mean().item()) < 0.01


def test_noise_may_differ_between_the_axes():
    n = 500
    steps = torch.randn(n, 99, 2, generator=_generator())
    sigma = torch.tensor([[0.2, 1.0]]).repeat(n, 1)
    sigma[::2] = sigma[::2].flip(1)
    lengths = torch.full((n,), 100)
    noise = measure(steps, lengths, sigma, _generator(1)) - measure(
        steps, lengths, torch.zeros(n), _generator(1)
    )
    found = noise.view(n // 2, 2, 100, 2).std(dim=(0, 2))
    np.testing.assert_allclose(found, [[1.0, 0.2], [0.2, 1.0]], rtol=0.02)


def test_rotation_is_uniform_and_keeps_distances():
    n = 2000
    steps = torch.tensor([[1.0, 0.0]]).expand(n, 31, 2).contiguous()
    path = measure(steps, torch.full((n,), 32), torch.zeros(n), _generator())
    end = path[:, -1]
    # a straight line has no deviation; it is scaled by its root mean square per axis instead
    np.testing.assert_allclose(end.abs(), 31, rtol=1e-4)
    quadrant = (end[:, 0] > 0).int() * 2 + (end[:, 1] > 0).int()
    assert torch.bincount(quadrant).min() > 400


def test_half_of_them_are_mirrored():
    n = 2000
    corner = torch.zeros(n, 40, 2)  # along x, then along y: a turn to the left
    corner[:, :20, 0] = 1
    corner[:, 20:, 1] = 1
    path = measure(corner, torch.full((n,), 41), torch.zeros(n), _generator())
    a, b = path[:, 20] - path[:, 0], path[:, 40] - path[:, 20]
    left = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0).float().mean().item()
    assert left == pytest.approx(0.5, abs=0.05)


def test_a_recording_is_turned_mirrored_scaled_and_disturbed_in_that_order():
    """Against the definition in numpy, one trajectory at a time."""
    rng = np.random.default_rng(0)
    n, t = 6, 30
    steps = rng.normal(size=(n, t - 1, 2)) * [3, 1]
    length = np.array([2, 3, 10, 17, 29, 30])
    turn, flip = rng.uniform(0, 7, n), rng.choice([-1.0, 1.0], n)
    noise = rng.normal(size=(n, t, 2))
    given = [torch.from_numpy(v).float() for v in (steps, turn, flip, noise)]
    found = record(given[0], torch.from_numpy(length), *given[1:]).numpy()
    for i in range(2, n):
        moved = steps[i, : length[i] - 1] * [1, flip[i]]
        c, s = np.cos(turn[i]), np.sin(turn[i])
        moved = moved @ np.array([[c, s], [-s, c]])
        path = np.concatenate([[[0, 0]], (moved / moved.std(axis=0)).cumsum(0)])
        np.testing.assert_allclose(found[i, : length[i]], path + noise[i, : length[i]], atol=1e-4)
        # after the last point it stays where it was, without noise
        after = path[-1:].repeat(t - length[i], 0)
        np.testing.assert_allclose(found[i, length[i] :], after, atol=1e-4)
    # a single displacement has no deviation: it becomes one of unit length per axis
    step = found[0, 1] - found[0, 0] - noise[0, 1] + noise[0, 0]
    np.testing.assert_allclose(np.abs(step), 1, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_unit_of_the_steps_does_not_matter(scale):
    steps = torch.randn(20, 49, 2, generator=_generator())
    lengths = torch.full((20,), 50)
    here = measure(steps, lengths, torch.zeros(20), _generator(1))
    there = measure(steps * scale, lengths, torch.zeros(20), _generator(1))
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-4)


def test_steps_beyond_the_length_do_not_matter():
    steps = torch.randn(20, 49, 2, generator=_generator())
    length = torch.arange(10, 30)
    other = steps.clone()
    for i, n in enumerate(length.tolist()):
        other[i, n - 1 :] = 1e6
    args = (length, torch.full((20,), 0.3))
    here, there = (measure(s, *args, _generator(1)) for s in (steps, other))
    assert torch.equal(here, there)


def test_a_particle_at_rest_stays_finite():
    path = measure(torch.zeros(3, 9, 2), torch.full((3,), 10), torch.zeros(3), _generator())
    assert torch.equal(path, torch.zeros(3, 10, 2))


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(2, 30))
def test_lost_frames_are_filled_as_numpy_would(seed, share, longest):
    rng = np.random.default_rng(seed)
    n, t = 6, 30
    positions = rng.normal(size=(n, t, 2)).astype(np.float32)
    length = rng.integers(2, longest + 1, n)
    lost = rng.random((n, t)) < share
    filled = fill_frames(
        torch.from_numpy(positions), torch.from_numpy(length), torch.from_numpy(lost)
    ).numpy()
    for i in range(n):
        frames = np.arange(length[i])
        kept = ~lost[i, : length[i]]
        kept[[0, -1]] = True
        for axis in (0, 1):
            own = positions[i, : length[i], axis]
            expected = np.interp(frames, frames[kept], own[kept])
            np.testing.assert_allclose(filled[i, : length[i], axis], expected, atol=1e-5)
            np.testing.assert_array_equal(filled[i, frames[kept], axis], own[kept])
        np.testing.assert_array_equal(filled[i, length[i] :], positions[i, length[i] :])


def test_each_trajectory_loses_its_share():
    n = 3000
    path = torch.randn(n, 52, 2, generator=_generator())
    missed = torch.tensor([0.0, 0.1, 0.4]).repeat(n // 3)
    filled = lose_frames(path, torch.full((n,), 52), missed, _generator(2))
    changed = (filled != path).any(-1)
    assert not changed[:, 0].any()
    assert not changed[:, -1].any()
    found = changed[:, 1:-1].float().mean(1).view(-1, 3).mean(0)
    np.testing.assert_allclose(found, [0.0, 0.1, 0.4], atol=0.01)


def test_sums_can_be_left_out_of_compiling(monkeypatch):
    for name in ("_cumulate", "_highest"):
        monkeypatch.setattr(measurement, name, getattr(measurement, name))
    seen = set()

    def note(graph, _):
        seen.update(str(node.target) for node in graph.graph.nodes)
        return graph

    def sums(frames):
        return measurement._cumulate(frames) + measurement._highest(frames).flip(1)

    frames = torch.rand(3, 5)
    leave_sums_uncompiled()
    compiled = torch.compile(sums, backend=note)
    assert compiled(frames).equal(frames.cumsum(1) + frames.cummax(1).values.flip(1))
    assert "flip" in seen
    assert not seen & {"cumsum", "cummax"}
