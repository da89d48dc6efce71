"""What is done to clips while a regressor is trained: noise, and random masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from spt_explain.xddpm.recipe import RegressorRecipe

_BLOCKS = (1, 2, 4, 8, 16)
"""Sides of the blocks of random fields, in pixels."""
_WHOLE = 0.15
"""Share of clips that random masks leave as they are."""


def augmented(
    x: Tensor, how: RegressorRecipe, generator: torch.Generator, done: float = 1.0
) -> Tensor:
    """Return scaled clips, (clips, frames, height, width), masked and with noise as asked.

    The noise has a level of its own for each clip, uniform from 0 to `noise_max`. Masks join
    slowly: after a share `done` of the training, that of masked clips is 2 done, up to its most.
    """
    if how.augment in ("masks", "both"):
        x = x * random_masks(x, generator, min(2 * done, 1.0))
    if how.augment in ("noise", "both"):
        level = torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        x = x + how.noise_max * level * noise
    return x


def turned(x: Tensor, number: int) -> Tensor:
    """Return clips turned by quarters and mirrored: one of 8 ways, of 4 if frames aren't square."""
    if number & 1:
        x = x.flip(-1)
    if number & 2:
        x = x.flip(-2)
    if number & 4 and x.shape[-1] == x.shape[-2]:
        x = x.transpose(-1, -2)
    return x


def turned_back(x: Tensor, number: int) -> Tensor:
    """Return clips as they were before `turned`."""
    if number & 4 and x.shape[-1] == x.shape[-2]:
        x = x.transpose(-1, -2)
    return turned(x, number & 3)


def turns(height: int, width: int) -> int:
    """Return how many ways `turned` knows for frames of a size."""
    return 8 if height == width else 4


def random_masks(x: Tensor, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """Return masks of 0 and 1 that keep a random part of each clip, in blocks of random size.

    Half of the clips keep as much everywhere; in the other half it differs from place to place,
    so that some objects are missing and others whole. Some clips keep every pixel, at least
    1 - `share` of them.
    """

    def drawn() -> Tensor:
        return torch.rand((len(x), 1, 1, 1), generator=generator, device=x.device)

    even = drawn()
    places = _blocks(x, 16, generator, still=True)
    kept = torch.where(drawn() < 0.5, (places + even - 0.5).clamp(0, 1), even)
    whole = drawn() > share * (1 - _WHOLE)
    return ((random_field(x, generator) < kept) | whole).to(x.dtype)


def random_field(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers, each uniform in [0, 1), alike within blocks of a size drawn for each batch.

    In half of the batches they are the same in all frames.

    Parameters
    ----------
    x : torch.Tensor, shape (clips, frames, height, width)
        Only shape and device count.
    generator : torch.Generator
        Its seed tells the size too: asking a GPU for it would make it wait.
    """
    number = generator.initial_seed()
    side = _BLOCKS[number % len(_BLOCKS)]
    return _blocks(x, side, generator, still=number // len(_BLOCKS) % 2 == 0)


def _blocks(x: Tensor, side: int, generator: torch.Generator, *, still: bool) -> Tensor:
    """Return numbers in [0, 1), one for each block of a grid that lies anywhere."""
    clips, frames, height, width = x.shape
    rows, columns = -(-height // side) + 1, -(-width // side) + 1
    shape = (clips, 1 if still else frames, rows, columns)
    coarse = torch.rand(shape, generator=generator, device=x.device)
    fine = coarse.repeat_interleave(side, 2).repeat_interleave(side, 3)
    number = generator.initial_seed() // 16
    down, right = number % side, number // side % side
    return fine[:, :, down : down + height, right : right + width].expand(x.shape)
