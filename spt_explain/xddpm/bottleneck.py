"""What a mask lets through: three bottlenecks, and the information in each pixel in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

BottleneckKind = Literal["fixed", "iba", "paper"]

_LARGEST = 0.999
"""Largest M of `iba`, whose noise vanishes at 1."""
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Passed:
    """What a bottleneck made of a batch.

    Attributes
    ----------
    z : torch.Tensor, shape (batch, frames, height, width)
        Scaled pixels as the decoder sees them.
    mask : torch.Tensor, same shape
        M, between 0 and 1.
    nats : torch.Tensor, same shape
        KL divergence of each pixel's distribution from the prior: an upper bound of the
        information that passes, 0 where M = 0 (but for `paper`).
    """

    z: Tensor
    mask: Tensor
    nats: Tensor


@dataclass(frozen=True)
class Bottleneck:
    """How a mask M and scaled pixels x̃ become what the decoder sees.

    Attributes
    ----------
    kind : {"fixed", "iba", "paper"}
        fixed: z = M x̃ + s₀ η, so that M is the only channel; prior N(0, s₀²). iba: z = M x̃ +
        (1 - M) η, prior N(0, 1) (Schulz et al. 2020). paper: mean clamp(M) x̃, variance
        softplus(ξ x̃), prior N(0, 1), as in Section A.3 of the xDDPM paper with the sign mended;
        its variance channel carries information where M is 0.
    noise : float
        s₀², the variance of `fixed`'s noise.
    """

    kind: BottleneckKind = "fixed"
    noise: float = 0.1

    def mask(self, raw: Tensor) -> Tensor:
        """Return M from the first output of the mask network."""
        if self.kind == "paper":
            return raw.clamp(0, 1)
        mask = torch.sigmoid(raw)
        return mask.clamp(max=_LARGEST) if self.kind == "iba" else mask

    def start(self, opening: float) -> float:
        """Return the network's bias at which M is `opening` everywhere."""
        return opening if self.kind == "paper" else math.log(opening / (1 - opening))

    def moments(self, x: Tensor, raw: Tensor, xi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean and the variance of z, and M, for scaled pixels `x`."""
        mask = self.mask(raw)
        mean = mask * x
        if self.kind == "fixed":
            variance = torch.full_like(mean, self.noise)
        elif self.kind == "iba":
            variance = (1 - mask) ** 2
        else:
            variance = functional.softplus(xi * x).clamp(min=_LEAST_VARIANCE)
        return mean, variance, mask

    def nats(self, x: Tensor, raw: Tensor, xi: Tensor) -> Tensor:
        """Return the nats of each pixel."""
        mean, variance, _ = self.moments(x, raw, xi)
        return self._nats(mean, variance)

    def _nats(self, mean: Tensor, variance: Tensor) -> Tensor:
        return kl(mean, variance, self.noise if self.kind == "fixed" else 1.0)

    def pass_on(
        self, x: Tensor, raw: Tensor, xi: Tensor, generator: torch.Generator | None = None
    ) -> Passed:
        """Draw z once.

        Parameters
        ----------
        x : torch.Tensor, shape (batch, frames, height, width)
            Scaled pixels.
        raw, xi : torch.Tensor, same shape
            Both outputs of the mask network.
        generator : torch.Generator, optional
            Of the noise, on the same device.
        """
        mean, variance, mask = self.moments(x, raw, xi)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return Passed(mean + variance.sqrt() * noise, mask, self._nats(mean, variance))


def kl(mean: Tensor, variance: Tensor, prior_variance: float = 1.0) -> Tensor:
    """Return KL(N(mean, variance) ‖ N(0, prior_variance)) of each element, in nats.

    With a prior of variance 1, ½ (μ² + σ² - 1 - log σ²): the term of Eqs. 6, 12 and 15 of the
    xDDPM paper with the sign that a loss needs and the 1 inside the sum. It is never negative.
    """
    ratio = variance / prior_variance
    return 0.5 * (mean**2 / prior_variance + ratio - 1 - ratio.log())


def printed_term(mean: Tensor, variance: Tensor) -> Tensor:
    """Return the second term of Eq. 12 as printed, ½ (1 + Σ (log σ² - μ² - σ²)), one per sample.

    It has no lower bound: minimised, it sends the mean or the variance to infinity. It is here to
    be compared with, and for the ablation ``sign = "printed"``.
    """
    return 0.5 * (1 + (variance.log() - mean**2 - variance).flatten(1).sum(1))
