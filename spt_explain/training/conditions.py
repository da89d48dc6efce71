"""What recordings are like: lengths, noise, missing frames, blur; from a recipe or a lab's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from spt_explain.training.recipe import DataRecipe


@dataclass(frozen=True)
class Conditions:
    """Laws that trajectories are drawn from. Tensors are samples to draw from, on any device.

    Attributes
    ----------
    recipe : DataRecipe
        The laws where there is no sample.
    lengths : torch.Tensor or None
        Lengths in points; uniform by default.
    noise : torch.Tensor or None
        1/SNR.
    missed : torch.Tensor or None
        Shares of frames missed.
    exposures : torch.Tensor or None
        Exposures as shares of the frame, for the share of trajectories that are blurred.
    """

    recipe: DataRecipe
    lengths: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    missed: torch.Tensor | None = None
    exposures: torch.Tensor | None = None

    @property
    def blur_share(self) -> float:
        """Share of trajectories with motion blur."""
        return self.recipe.blur_share

    def draw_lengths(self, n: int, low: int, high: int, generator: torch.Generator) -> torch.Tensor:
        """Draw n lengths in points in low…high, int64."""
        u = torch.rand(n, generator=generator, device=generator.device)
        if self.lengths is not None:
            fitting = self.lengths[(self.lengths >= low) & (self.lengths <= high)]
            if len(fitting):
                return fitting.to(u.device)[(u * len(fitting)).long()].long()
        return (low + u * (high + 1 - low)).long().clamp(low, high)

    def draw_noise(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw n standard deviations of noise for each axis, (n, 2), as 1/SNR."""
        device = generator.device
        u = torch.rand(4, n, generator=generator, device=device)
        if self.noise is not None:
            sigma = self.noise.to(device)[(u[0] * len(self.noise)).long()]
        else:
            sigma = torch.where(
                u[0] < self.recipe.clean_share,
                0.0,
                u[1] ** self.recipe.noise_power * self.recipe.noise_max,
            )
        # one axis has the noise, the other up to the largest ratio less
        ratio = self.recipe.anisotropy_max ** -u[2]
        ratio = torch.where(u[3] < self.recipe.anisotropy_share, ratio, 1.0)
        both = torch.stack([sigma, sigma * ratio], dim=1)
        swap = torch.rand(n, generator=generator, device=device) < 0.5
        return torch.where(swap[:, None], both.flip(1), both)

    def draw_missed(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw n probabilities of missing a frame."""
        u = torch.rand(2, n, generator=generator, device=generator.device)
        if self.missed is not None:
            return self.missed.to(u.device)[(u[0] * len(self.missed)).long()]
        return torch.where(u[0] < self.recipe.gap_share, u[1] * self.recipe.gap_max, 0.0)
