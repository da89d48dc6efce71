"""The clips that a generator learns from: what each step sees of them, and their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from spt_explain.xddpm.augment import turned, turns

if TYPE_CHECKING:
    from torch import Tensor

    from spt_explain.xddpm.generator.recipe import GeneratorRecipe

_AT_ONCE = 256
"""Clips that a mean is taken of at a time."""


@dataclass(frozen=True)
class Batch:
    """Clips of one step.

    Attributes
    ----------
    x, mask : torch.Tensor, shape (clips, frames, height, width)
    times : torch.Tensor, shape (batch,)
        Steps of the chain.
    generator : torch.Generator
        Of their noise.
    """

    x: Tensor
    mask: Tensor
    times: Tensor
    generator: torch.Generator


@dataclass(frozen=True)
class Clips:
    """Clips in the generator's units with M, where there is room for them.

    Attributes
    ----------
    x, mask : torch.Tensor, shape (clips, frames, height, width)
    recipe : GeneratorRecipe
        As `GeneratorRecipe.for_device` gives it, with flips decided.
    device : torch.device
        Where batches go.
    """

    x: Tensor
    mask: Tensor
    recipe: GeneratorRecipe
    device: torch.device

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, step: int, size: int, for_mask: int) -> Batch:
        """Draw the clips of a step; they depend on seed and step alone.

        Parameters
        ----------
        step : int
        size : int
            Clips.
        for_mask : int
            How many of them have no noise.
        """
        recipe, count = self.recipe, len(self)
        rng = np.random.default_rng([recipe.seed, 3, step])
        chosen = torch.from_numpy(rng.choice(count, size, replace=count < size))
        times = torch.from_numpy(rng.integers(0, recipe.timesteps, size))
        times[:for_mask] = 0
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(0, 2**62)))
        number = int(rng.integers(8)) if recipe.flips else 0
        chosen = chosen.to(self.x.device)
        x, mask = (turned(part[chosen], number).to(self.device) for part in (self.x, self.mask))
        return Batch(x, mask.float(), times.to(self.device), generator)

    def mean(self) -> Tensor | None:
        """Return the mean of x_0 (None of eps-mask, where the noise has no mean), on the CPU."""
        if self.recipe.objective == "eps-mask":
            return None
        masked = self.recipe.objective == "w"
        total = torch.zeros(self.x.shape[1:], dtype=torch.float64, device=self.x.device)
        for x, mask in zip(
            torch.split(self.x, _AT_ONCE), torch.split(self.mask, _AT_ONCE), strict=True
        ):
            total += (x * mask if masked else x).sum(0, dtype=torch.float64)
        mean = total / len(self)
        if self.recipe.flips:
            ways = turns(*mean.shape[-2:])
            mean = torch.stack([turned(mean, i) for i in range(ways)]).mean(0)
        return mean.float().cpu()
