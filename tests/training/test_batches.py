import numpy as np
import pytest
import torch

from spt_explain.training.batches import (
    batches,
    draw_lengths,
    lose_frames,
    measure,
    simulate_pool,
)
from spt_explain.training.recipe import Recipe

RECIPE = Recipe(name="test", pool=256, batch_size=32, window=128, short_share=0.3)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_pool_has_as_many_of_each_class_and_none_without_motion():
    pool = simulate_pool(RECIPE, _generator())
    assert torch.bincount(pool.label).tolist() == [32] * 8
    for steps, length in zip(pool.steps, pool.length, strict=True):
        assert steps[: length - 1].abs().sum() > 0
    assert pool.length.min() >= RECIPE.min_points
    assert pool.length.max() <= RECIPE.window


def test_lengths_are_uniform_or_log_uniform():
    uniform = draw_lengths(40000, 10, 1000, 0.0, _generator()).numpy()
    assert (uniform.min(), uniform.max()) == (10, 1000)
    assert np.mean(uniform) == pytest.approx(505, abs=6)
    short = draw_lengths(40000, 10, 1000, 1.0, _generator()).numpy()
    assert np.median(short) == pytest.approx(100, rel=0.03)


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


def test_rotation_is_uniform_and_keeps_distances():
    n = 2000
    steps = torch.tensor([[1.0, 0.0]]).expand(n, 31, 2).contiguous()
    path = measure(steps, torch.full((n,), 32), torch.zeros(n), _generator())
    end = path[:, -1]
    # a straight line has no deviation; it is scaled by its root mean square per axis instead
    np.testing.assert_allclose(end.abs(), 31, rtol=1e-4)
    quadrant = (end[:, 0] > 0).int() * 2 + (end[:, 1] > 0).int()
    assert torch.bincount(quadrant).min() > 400


def test_lost_frames_are_filled_as_numpy_would():
    path = torch.randn(60, 40, 2, generator=_generator()).cumsum(1)
    length = torch.randint(10, 41, (60,), generator=_generator(1))
    filled = lose_frames(path, length, torch.full((60,), 0.4), _generator(2))
    changed = (filled != path).any(-1).numpy()
    assert 0.2 < changed[:, 1:9].mean() < 0.6
    for i in range(60):
        n = int(length[i])
        assert not changed[i, n - 1 :].any()
        assert not changed[i, 0]
        kept = np.flatnonzero(~changed[i, :n])
        for axis in (0, 1):
            expected = np.interp(np.arange(n), kept, path[i, kept, axis])
            np.testing.assert_allclose(filled[i, :n, axis], expected, atol=1e-5)


def test_batches_are_the_same_for_the_same_seed_and_new_on_reuse():
    stream = batches(RECIPE, _generator(5))
    again = batches(RECIPE, _generator(5))
    first = [next(stream) for _ in range(16)]
    for (x, label), (y, other) in zip(first, (next(again) for _ in range(16)), strict=True):
        assert torch.equal(x, y)
        assert torch.equal(label, other)
    inputs = torch.cat([x for x, _ in first])
    assert inputs.shape == (512, 4, 128)
    assert torch.isfinite(inputs).all()
    # the second half uses the same pool, rotated and disturbed anew
    assert len(torch.unique(inputs[:, 2].sum(1))) == 512
