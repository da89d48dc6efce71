"""Torch modules that the checks wrap around a regressor, or fit by themselves."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

from spt_explain.xddpm.augment import random_field

Output = int | Literal["sum"]
"""One value of a signal, counted from 0, or the sum of all."""


class OneValue(nn.Module):
    """A regressor that tells one number for each clip: what attribution methods differentiate."""

    def __init__(self, regressor: nn.Module, output: Output = "sum") -> None:
        super().__init__()
        self.regressor = regressor
        self.output = output

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return shape (batch,), of clips (batch, frames, height, width)."""
        told = self.regressor(clips).reshape(len(clips), -1)
        return told.sum(dim=1) if self.output == "sum" else torch.as_tensor(told[:, self.output])


class RandomMask(nn.Module):
    """A regressor in front of which random pixels are set to the reference, while it is trained.

    In training each clip keeps a share of its pixels that is drawn anew between `keep`'s limits;
    in evaluation (`eval()`) clips pass untouched. So the regressor has seen what Sensitivity-n,
    insertion and deletion show it (REAL-X: Jethani et al. 2021, arXiv:2103.01890).

    Parameters
    ----------
    regressor : torch.nn.Module
        Clips (batch, frames, height, width) to (batch, values).
    reference : torch.Tensor or float
        What a missing pixel holds; broadcasts to a clip.
    keep : (float, float)
        Limits of the share that is kept.
    blocks : float
        Share of the clips whose pixels are missing in blocks of 1 to 16 px, as whole objects are
        when the most relevant pixels go first; in the others each pixel by itself.
    """

    reference: torch.Tensor

    def __init__(
        self,
        regressor: nn.Module,
        reference: torch.Tensor | float = 0.0,
        *,
        keep: tuple[float, float] = (0.0, 1.0),
        blocks: float = 0.0,
    ) -> None:
        super().__init__()
        self.regressor = regressor
        self.keep = keep
        self.blocks = blocks
        self.register_buffer("reference", torch.as_tensor(reference, dtype=torch.float32))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return the regressor's predictions, (batch, values)."""
        return torch.as_tensor(self.regressor(self.holed(clips) if self.training else clips))

    def holed(self, clips: torch.Tensor) -> torch.Tensor:
        """Return clips with random pixels missing."""
        low, high = self.keep
        share = low + (high - low) * torch.rand(len(clips), 1, 1, 1, device=clips.device)
        drawn = torch.rand_like(clips)
        if self.blocks:
            chosen = torch.rand(len(clips), 1, 1, 1, device=clips.device) < self.blocks
            # its own generator, from torch's: `random_field` can't do with the default one
            generator = torch.Generator(clips.device)
            generator.manual_seed(int(torch.randint(2**62, ())))
            drawn = torch.where(chosen, random_field(clips, generator), drawn)
        return torch.where(drawn < share, clips, self.reference)

    def calibrate(self, clips: torch.Tensor) -> None:
        """Calibrate the regressor, if it can be, on clips as it will see them.

        Features of whole clips differ far less than those of clips with holes: centred on the
        former, the latter would be so large that the regressor never learns.
        """
        calibrate: Any = getattr(self.regressor, "calibrate", None)
        if calibrate is not None:
            calibrate(self.holed(clips))


class SmallProbe(nn.Module):
    """A small regressor with frames as channels: enough to see whether a signal can be read.

    Features are averaged over pixels and centred on those of the training clips (`calibrate`), as
    areas and counts change the averages by small shares.
    """

    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, frames: int, values: int, width: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(frames, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.register_buffer("centre", torch.zeros(2 * width))
        self.register_buffer("spread", torch.ones(2 * width))
        self.head = nn.Sequential(
            nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, values)
        )

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Return shape (batch, values), of clips (batch, frames, height, width)."""
        pooled = self.features(clips).mean((2, 3))
        return torch.as_tensor(self.head((pooled - self.centre) / self.spread))

    @torch.no_grad()
    def calibrate(self, clips: torch.Tensor) -> None:
        """Centre the averaged features on those of some clips."""
        pooled = self.features(clips).mean((2, 3))
        self.centre.copy_(pooled.mean(0))
        self.spread.copy_(pooled.std(0, correction=0).clamp(min=1e-3))
