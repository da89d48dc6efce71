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
        What the U-Net is to give: the noise, or v.
    """

    x_t: Tensor
    target: Tensor


def noised(
    objective: Objective,
    output: Output,
    x: Tensor,
    mask: Tensor,
    kept: Tensor,
    noise: Tensor,
    other: Tensor,
) -> Noised:
    """Return the input and the target of one batch.

    Of W, the target is not ε itself but its mean given x_t, the clip and M: what a denoiser without
    fault says is the same, but of irrelevant pixels the target is no longer noise. It is
    √(1 - ᾱ) x_t, or v = 0, there, and ε or v where M = 1. As in Eq. 4, only relevant pixels have
    something to learn; unlike there, the chain stays one of variance 1.

    Parameters
    ----------
    objective : {"w", "eps-mask", "plain"}
    output : {"v", "eps"}
        What the U-Net gives; eps with eps-mask.
    x, mask : torch.Tensor, shape (batch, frames, height, width)
        Clips in the generator's units and M, from the frozen mask network.
    kept : torch.Tensor, shape (batch,)
        ᾱ_t of each clip, below 1.
    noise, other : torch.Tensor, same shape as the clips
        ε, and the noise in the place of what is irrelevant.
    """
    kept = kept.view(-1, 1, 1, 1)
    if objective == "eps-mask":
        return Noised(kept.sqrt() * x + (1 - kept).sqrt() * noise, mask * noise)
    if objective == "plain":
        mask = torch.ones_like(x)
    x_t = kept.sqrt() * irrelevant_replaced(x, mask, other) + (1 - kept).sqrt() * noise
    share = (1 - kept).sqrt() / (1 - kept * mask**2)
    if output == "v":
        return Noised(x_t, share * mask * (kept.sqrt() * mask * x_t - x))
    return Noised(x_t, share * (x_t - kept.sqrt() * mask * x))


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
    """Return the mean squared error of what the U-Net gives and the mask's cross-entropy."""
    return (
        functional.mse_loss(said, target),
        functional.binary_cross_entropy_with_logits(logits, mask),
    )


@torch.no_grad()
def relevant_error(said: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of squared errors in pixels with M of at least 0.5, and their number."""
    relevant = mask >= RELEVANT
    return ((said - target) ** 2 * relevant).sum(), relevant.sum()
