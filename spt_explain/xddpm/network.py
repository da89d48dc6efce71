"""The networks: a regressor, which is the decoder too, and the one that draws the mask.

Convolutions within frames and across them are kept apart ((1, 3, 3) and (3, 1, 1)). Each
activation is a `torch.nn.ReLU` module of its own, as guided backpropagation and DeepLIFT need.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


Norm = Literal["batch", "group"]


@dataclass(frozen=True)
class Shape:
    """Shape of both networks.

    Attributes
    ----------
    outputs : int
        Values that the regressor gives: of the clip, or of each frame.
    per_frame : bool
        Whether it gives them for each frame.
    width : int
        Channels at full resolution of the regressor; 2 and 4 times as many further down.
    mask_width : int
        Likewise, of the mask network.
    coordinates : bool
        Whether the networks see where in the clip, and when, a pixel is.
    norm : {"batch", "group"}
        How the regressor normalises: by statistics of the training clips, so that what it sees of
        a pixel does not depend on pixels far away, or of the clip itself (GroupNorm), which makes
        everything bright in a clip a yardstick for everything else.
    """

    outputs: int
    per_frame: bool = False
    width: int = 16
    mask_width: int = 16
    coordinates: bool = True
    norm: Norm = "batch"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class Regressor(nn.Module):
    """Predicts a signal from scaled clips.

    The stream through the residual blocks is not normalised, so that brightness is not lost;
    features are averaged over the clip (or each frame) at the end.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.stem = _spatial(4 if shape.coordinates else 1, width)
        self.top = Block(width, shape.norm)
        self.down_1 = _down(width, 2 * width)
        self.middle = Block(2 * width, shape.norm)
        self.down_2 = _down(2 * width, 4 * width)
        self.bottom = Block(4 * width, shape.norm)
        self.last = nn.ReLU()
        self.register_buffer("centre", torch.zeros(4 * width))
        self.register_buffer("spread", torch.ones(4 * width))
        self.hidden = nn.Conv1d(4 * width, 4 * width, 1)
        self.hidden_relu = nn.ReLU()
        self.head = nn.Conv1d(4 * width, shape.outputs, 1)

    def pooled(self, clips: Tensor) -> Tensor:
        """Return features averaged over pixels, (batch, channels, frames or 1)."""
        x = self.stem(_with_coordinates(clips, self.shape.coordinates))
        x = self.middle(self.down_1(self.top(x)))
        x = self.last(self.bottom(self.down_2(x)))
        features: Tensor = x.mean((3, 4))
        return features if self.shape.per_frame else features.mean(2, keepdim=True)

    def forward(self, clips: Tensor) -> Tensor:
        """Return standardised predictions.

        Parameters
        ----------
        clips : torch.Tensor, shape (batch, frames, height, width)
            Scaled pixels.

        Returns
        -------
        torch.Tensor, shape (batch, outputs) or (batch, frames · outputs)
            Of each frame, all its outputs before those of the next.
        """
        features = (self.pooled(clips) - self.centre[:, None]) / self.spread[:, None]
        values = self.head(self.hidden_relu(self.hidden(features)))
        return torch.as_tensor(values.transpose(1, 2).flatten(1))

    @torch.no_grad()
    def calibrate(self, clips: Tensor) -> None:
        """Centre the averaged features on those of some clips: areas differ by small shares."""
        features = self.pooled(clips).transpose(1, 2).flatten(0, 1)
        self.centre.copy_(features.mean(0))
        deviation = features.std(0, correction=0)
        self.spread.copy_(deviation.clamp(min=1e-3))


class MaskNetwork(nn.Module):
    """Draws the mask: a small U-Net over frames, with two outputs for each pixel."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.mask_width
        self.stem = _spatial(4 if shape.coordinates else 1, width)
        self.stem_relu = nn.ReLU()
        self.down_1 = _down(width, 2 * width)
        self.middle = Block(2 * width)
        self.down_2 = _down(2 * width, 4 * width)
        self.bottom = Block(4 * width)
        self.join_1 = nn.Conv3d(6 * width, 2 * width, 1)
        self.up_1 = Block(2 * width)
        self.join_0 = nn.Conv3d(3 * width, width, 1)
        self.up_0 = Block(width)
        self.last = nn.Sequential(_norm(width), nn.ReLU())
        self.head = nn.Conv3d(width, 2, 1)

    def start_at(self, bias: float) -> None:
        """Make the first output about `bias` everywhere, the second about 0."""
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            assert self.head.bias is not None
            self.head.bias.copy_(torch.tensor([bias, 0.0]))

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return raw M and ξ, each (batch, frames, height, width), of scaled clips."""
        top = self.stem_relu(self.stem(_with_coordinates(clips, self.shape.coordinates)))
        middle = self.middle(self.down_1(top))
        bottom = self.bottom(self.down_2(middle))
        x = self.up_1(self.join_1(torch.cat([_up(bottom, middle), middle], 1)))
        x = self.up_0(self.join_0(torch.cat([_up(x, top), top], 1)))
        out = self.head(self.last(x))
        return out[:, 0], out[:, 1]


class Block(nn.Module):
    """A residual block: within frames, then across them."""

    def __init__(self, width: int, norm: Norm = "group") -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _norm(width, norm),
            nn.ReLU(),
            _spatial(width, width),
            _norm(width, norm),
            nn.ReLU(),
            nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return what it makes of (batch, width, frames, height, width of the frame)."""
        return torch.as_tensor(x + self.inner(x))


def _norm(width: int, norm: Norm = "group") -> nn.Module:
    if norm == "group":
        return nn.GroupNorm(math.gcd(width, 8), width)
    return nn.BatchNorm3d(width, momentum=0.05)


def _spatial(channels: int, width: int) -> nn.Conv3d:
    return nn.Conv3d(channels, width, (1, 3, 3), padding=(0, 1, 1))


def _down(channels: int, width: int) -> nn.Conv3d:
    return nn.Conv3d(channels, width, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))


def _up(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")


def _with_coordinates(clips: Tensor, wanted: bool) -> Tensor:
    """Return (batch, 1 or 4, frames, height, width): pixels, and t, y, x from -1 to 1."""
    x = clips.unsqueeze(1)
    if not wanted:
        return x.contiguous(memory_format=torch.channels_last_3d)
    _, frames, height, width = clips.shape
    axes = [
        torch.linspace(-1, 1, size, device=clips.device, dtype=clips.dtype)
        if size > 1
        else torch.zeros(1, device=clips.device, dtype=clips.dtype)
        for size in (frames, height, width)
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    both = torch.cat([x, grid.expand(clips.shape[0], -1, -1, -1, -1)], 1)
    return both.contiguous(memory_format=torch.channels_last_3d)  # convolutions are twice as fast
