"""What is left of a track when displacements are removed, wholly or in part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from spt_explain.xddpm.bottleneck import Bottleneck

if TYPE_CHECKING:
    from torch import Tensor

Removed = Literal["brownian", "rest"]
MaskOf = Literal["gates", "soft"]

_LONGEST_STRETCH = 0.5
"""Of a track: random masks keep and remove stretches of up to this share."""
_TEMPERATURE = 0.5
"""Of the gradient of gates (the concrete distribution)."""
_EDGE = 1e-4
_SHARE_OF_NOISE = 0.01


@dataclass(frozen=True)
class Removal:
    """How a mask M and scaled displacements x become what the decoder sees.

    A mask removes displacements, not positions: what follows a removed frame is the same path,
    moved. What a removed frame holds, r, is with ``brownian`` a step of Brownian motion of the
    track's own scale, N(0, 1) (of all tracks' scale, with ``scale = "all"``): what is left when
    nothing but the scale is known, so that a rest is something that can be kept. With ``rest``,
    the particle stays where it is but for noise, N(0, noise); then rests can't be told from
    removed frames, and the mask gets no gradient where x = 0.

    With ``soft``, z = M x + (1 - M) r (of ``rest``: M x + r). With ``gates``, each displacement is
    wholly removed or kept, with probability M; in half of the tracks those of a stretch together,
    as what matters is often how a step follows another.

    Attributes
    ----------
    removed : {"brownian", "rest"}
    noise : float
        Variance of ``rest``'s noise.
    kind : {"soft", "gates"}
    """

    removed: Removed = "brownian"
    noise: float = 0.1
    kind: MaskOf = "soft"

    @property
    def bottleneck(self) -> Bottleneck:
        """The soft one, of pixels."""
        return Bottleneck("iba" if self.removed == "brownian" else "fixed", self.noise)

    def start(self, opening: float) -> float:
        """Return the network's bias at which M is `opening` everywhere."""
        return self.bottleneck.start(opening)

    def mask(self, raw: Tensor) -> Tensor:
        """Return M from the output of the mask network."""
        return torch.as_tensor(
            torch.sigmoid(raw) if self.kind == "gates" else self.bottleneck.mask(raw)
        )

    def pass_on(
        self, x: Tensor, raw: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw z once.

        Parameters
        ----------
        x : torch.Tensor, shape (batch, 2, n)
            Scaled displacements.
        raw : torch.Tensor, shape (batch, n)
            Output of the mask network.
        generator : torch.Generator
            Of the noise, on the same device.

        Returns
        -------
        z : torch.Tensor, shape (batch, 2, n)
        mask : torch.Tensor, shape (batch, n)
        nats : torch.Tensor, shape (batch, n)
            See `nats`.
        """
        mask, nats = self.mask(raw), self.nats(x, raw)
        if self.kind == "gates":
            drawn = _stretches(x, generator).clamp(_EDGE, 1 - _EDGE)
            smooth = torch.sigmoid((raw - torch.logit(drawn)) / _TEMPERATURE)
            hard = (mask > drawn).to(x.dtype)
            return self.kept(x, hard + smooth - smooth.detach(), generator), mask, nats
        return self.kept(x, mask, generator), mask, nats

    def nats(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the nats of each displacement, both axes together, (batch, n).

        An upper bound of the information that passes. Of gates, M times that of a displacement of
        which 1 % is noise (the KL divergence is convex); a gate that passes a number exactly would
        pass no end of it.
        """
        if self.kind == "gates":
            almost = torch.full_like(x, self.bottleneck.start(1 - _SHARE_OF_NOISE))
            nats = self.bottleneck.nats(x, almost, torch.zeros_like(x)).sum(1)
            return torch.as_tensor(self.mask(raw) * nats)
        both = raw[:, None].expand_as(x)
        return torch.as_tensor(self.bottleneck.nats(x, both, torch.zeros_like(x)).sum(1))

    def kept(self, x: Tensor, keep: Tensor, generator: torch.Generator) -> Tensor:
        """Return displacements of which only those are left where `keep`, (batch, n), is 1.

        Partly removed where it is in between.
        """
        eta = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        keep = keep[:, None]
        rest: Tensor = (1 - keep) * eta if self.removed == "brownian" else self.noise**0.5 * eta
        return keep * x + rest


def random_keep(x: Tensor, augment: str, whole: float, generator: torch.Generator) -> Tensor:
    """Return what random augmentation keeps of each displacement, (batch, n), from 0 to 1.

    Parameters
    ----------
    x : torch.Tensor, shape (batch, 2, n)
        Only shape and device count.
    augment : {"none", "noise", "masks", "both"}
        noise: one share for all displacements of a track. masks: stretches, kept or removed.
    whole : float
        Share of tracks that is left as it is.
    generator : torch.Generator
    """
    batch, _, count = x.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=x.device)

    even = uniform(batch, 1).expand(batch, count)
    share = uniform(batch, 1)
    patches = (_stretches(x, generator, single=0.0) < share).to(x.dtype)
    if augment == "none":
        keep = torch.ones_like(patches)
    elif augment == "noise":
        keep = even
    elif augment == "masks":
        keep = patches
    else:
        keep = torch.where(uniform(batch, 1) < 0.5, even, patches)
    return torch.where(uniform(batch, 1) < whole, torch.ones_like(keep), keep)


def _stretches(x: Tensor, generator: torch.Generator, single: float = 0.5) -> Tensor:
    """Return numbers, each uniform in [0, 1), alike within stretches of random length, (batch, n).

    In a share `single` of the tracks each displacement has its own.
    """
    batch, _, count = x.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=x.device)

    longest = (count * _LONGEST_STRETCH) ** uniform(batch, 1)
    longest = torch.where(uniform(batch, 1) < single, torch.ones_like(longest), longest)
    stretch = (uniform(batch, count) < 1 / longest).cumsum(1)
    return uniform(batch, count + 1).gather(1, stretch)


def turned(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return tracks turned by a random angle, half of them mirrored."""
    angle = torch.rand(len(x), generator=generator, device=x.device) * (2 * torch.pi)
    mirror = torch.rand(len(x), generator=generator, device=x.device) < 0.5
    sign = torch.where(mirror, -1.0, 1.0).to(x.dtype)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    a, b = x[:, 0], x[:, 1] * sign[:, None]
    return torch.stack([cos * a - sin * b, sin * a + cos * b], 1)
