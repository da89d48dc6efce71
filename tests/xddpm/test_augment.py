import numpy as np
import pytest
import torch

from spt_explain.xddpm.augment import (
    augmented,
    random_field,
    random_masks,
    turned,
    turned_back,
    turns,
)
from spt_explain.xddpm.recipe import RegressorRecipe


def _generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_masks_keep_every_share_and_some_clips_whole():
    shares = []
    for seed in range(40):  # a seed has one size of blocks
        masks = random_masks(torch.zeros(30, 3, 13, 17), _generator(seed))
        assert set(masks.unique().tolist()) <= {0.0, 1.0}
        shares.append(masks.mean((1, 2, 3)))
    all_shares = torch.cat(shares)
    assert (all_shares == 1).float().mean() > 0.12
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        within = (all_shares >= low) & (all_shares <= low + 0.2)
        assert within.float().mean() > 0.08


def test_a_share_of_clips_stays_whole():
    masks = random_masks(torch.zeros(2000, 1, 4, 4), _generator(), share=0.25)
    assert (masks.mean((1, 2, 3)) < 1).float().mean().item() <= 0.25


def test_a_random_field_is_uniform_and_alike_in_its_blocks():
    fields = torch.cat(
        [random_field(torch.zeros(8, 2, 32, 32), _generator(s)).flatten() for s in range(60)]
    )
    assert fields.min() >= 0
    assert fields.max() < 1
    assert fields.mean().item() == pytest.approx(0.5, abs=0.02)
    assert (fields < 0.25).float().mean().item() == pytest.approx(0.25, abs=0.03)
    counts = {
        len(random_field(torch.zeros(1, 1, 32, 32), _generator(seed)).unique()) for seed in range(5)
    }
    assert max(counts) == 1024
    assert min(counts) <= 9


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (2, 3, 6, 8)])
def test_turned_clips_keep_their_pixels_and_shape(shape):
    x = torch.arange(float(np.prod(shape))).reshape(shape)
    ways = {tuple(turned(x, number).flatten().tolist()) for number in range(8)}
    assert len(ways) == (8 if shape[2] == shape[3] else 4)
    for number in range(8):
        way = turned(x, number)
        assert way.shape == x.shape
        assert torch.equal(way.flatten(2).sort().values, x.flatten(2))  # frames stay in order


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (2, 3, 6, 8)])
def test_clips_are_turned_back(shape):
    x = torch.randn(shape, generator=_generator())
    count = turns(*shape[-2:])
    seen = [turned(x, number) for number in range(count)]
    assert len({each.numpy().tobytes() for each in seen}) == count
    for number, each in enumerate(seen):
        assert torch.equal(turned_back(each, number), x)


def test_noise_has_a_level_of_its_own_for_each_clip():
    x = torch.zeros(300, 4, 16, 16)
    noisy = augmented(x, RegressorRecipe(augment="noise", noise_max=0.5), _generator())
    levels = noisy.std((1, 2, 3))
    assert levels.max().item() == pytest.approx(0.5, abs=0.03)
    assert levels.mean().item() == pytest.approx(0.25, abs=0.03)


def test_what_is_asked_for_is_done():
    x = torch.ones(8, 2, 8, 8)
    assert torch.equal(augmented(x, RegressorRecipe(augment="none"), _generator()), x)
    masked = augmented(x, RegressorRecipe(augment="masks"), _generator())
    assert set(masked.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(augmented(x, RegressorRecipe(augment="masks"), _generator(), done=0.0), x)
    both = augmented(x, RegressorRecipe(augment="both"), _generator())
    assert len(both.unique()) > 100
    again = augmented(x, RegressorRecipe(augment="both"), _generator())
    assert torch.equal(both, again)
