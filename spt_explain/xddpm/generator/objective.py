"""What the denoiser is trained on: three objectives, and their losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from spt_explain.xddpm.generator.recipe import Objective, Output

RELEVANT = 0.5
"""Least M of a pixel that the loss of relevant pixels counts."""


def irrelevant_replaced(x: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
    """Return W = M x + √(1 - M²) n: Section 3.1's definition, with the variance kept at 1.

    Where M = 0 it is the noise, N(0, 1); where M = 1 it is the pixel.
    """
    return mask * x + (1 - mask**2).clamp(min=0).sqrt() * noise


@dataclass(frozen=True)
class Noised:
    """A batch on its way.

    Attributes
    ----------
    x_t : torch.Tensor
        What the denoiser sees.
    target : torch.Tensor
        What it is to say of the noise.
    """

    x_t: Tensor
    target: Tensor


def noised(
    objective: Objective, x: Tensor, mask: Tensor, kept: Tensor, noise: Tensor, other: Tensor
) -> Noised:
    """Return the input and the target of one batch.

    Parameters
    ----------
    objective : {"w", "eps-mask", "plain"}
    x, mask : torch.Tensor, shape (batch, frames, height, width)
        Clips in the generator's units and M, from the frozen mask network.
    kept : torch.Tensor, shape (batch,)
        ᾱ_t of each clip.
    noise, other : torch.Tensor, same shape as the clips
        ε, and the noise in the place of what is irrelevant.
    """
    kept = kept.view(-1, 1, 1, 1)
    start = irrelevant_replaced(x, mask, other) if objective == "w" else x
    x_t = kept.sqrt() * start + (1 - kept).sqrt() * noise
    return Noised(x_t, mask * noise if objective == "eps-mask" else noise)


def read_out(out: Tensor, x_t: Tensor, kept: Tensor, output: Output) -> tuple[Tensor, Tensor]:
    """Return the noise and the logits of the mask from what the U-Net gave.

    Of v (Salimans & Ho 2022), ε = √(1 - ᾱ) x_t + √ᾱ v. Where x₀ is N(0, 1), the mean of v given x_t
    is 0: the U-Net has nothing to learn there, and what it gets wrong counts for little early in
    the chain, where deterministic samplers would blow it up.

    Parameters
    ----------
    out : torch.Tensor, shape (batch, 2 · frames, height, width)
    x_t : torch.Tensor, shape (batch, frames, height, width)
    kept : torch.Tensor, shape (batch,)
        ᾱ_t of each clip.
    output : {"v", "eps"}
    """
    said, logits = out.float().chunk(2, 1)
    if output == "v":
        kept = kept.view(-1, 1, 1, 1)
        said = (1 - kept).sqrt() * x_t + kept.sqrt() * said
    return said, logits


def losses(said: Tensor, logits: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error of the noise and the mask's cross-entropy."""
    return (
        functional.mse_loss(said, target),
        functional.binary_cross_entropy_with_logits(logits, mask),
    )


@torch.no_grad()
def relevant_error(said: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of squared errors in pixels with M of at least 0.5, and their number."""
    relevant = mask >= RELEVANT
    return ((said - target) ** 2 * relevant).sum(), relevant.sum()
