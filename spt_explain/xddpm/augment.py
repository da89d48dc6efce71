"""What is done to clips while a regressor is trained: noise, and random masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from spt_explain.xddpm.recipe import RegressorRecipe


def augmented(x: Tensor, how: RegressorRecipe, generator: torch.Generator) -> Tensor:
    """Return scaled clips, (clips, frames, height, width), masked and with noise as asked.

    The noise has a level of its own for each clip, uniform from 0 to `noise_max`.
    """
    if how.augment in ("masks", "both"):
        x = x * random_masks(x, generator)
    if how.augment in ("noise", "both"):
        level = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        x = x + how.noise_max * level * noise
    return x


def random_masks(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return masks of 0 and 1 that keep a random share of each clip, in blocks of random size."""
    count, frames, height, width = x.shape
    masks = torch.empty_like(x)
    for i in range(count):
        size = 2 ** int(torch.randint(0, 4, (), generator=generator, device=x.device))
        size = min(size, height, width)
        share = torch.rand((), generator=generator, device=x.device)
        coarse = torch.rand(
            (frames, -(-height // size), -(-width // size)), generator=generator, device=x.device
        )
        fine = coarse.repeat_interleave(size, 1).repeat_interleave(size, 2)
        masks[i] = (fine[:, :height, :width] < share).to(x.dtype)
    return masks
