import pytest
import torch

from spt_explain.xddpm.augment import augmented, random_masks
from spt_explain.xddpm.recipe import RegressorRecipe


def _generator(seed=1):
    return torch.Generator().manual_seed(seed)


def test_masks_keep_every_share_about_as_often():
    masks = random_masks(torch.zeros(400, 3, 13, 17), _generator())
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    shares = masks.mean((1, 2, 3))
    for level in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert (shares < level).float().mean().item() == pytest.approx(level, abs=0.08)


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
    both = augmented(x, RegressorRecipe(augment="both"), _generator())
    assert len(both.unique()) > 100
    again = augmented(x, RegressorRecipe(augment="both"), _generator())
    assert torch.equal(both, again)
