"""The networks over displacements: a regressor, which is the decoder too, and the mask's.

Neither pads a track: those of a batch have one length. The regressor's convolutions see zeros
beyond the ends, and normalisation is over the channels of each frame, so that nothing of one frame
reaches another but through the convolutions and the mean at the end.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn import functional

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from torch import Tensor

MaskKind = Literal["dilated", "unet1d"]

_LONGEST = 1000.0
"""Displacements at which the length's channel is 1."""
_TIME = 2
"""The channel of the time."""
_HEAD = 32
_GAIN = 3.0
"""Standard deviation of raw M: some displacements are kept and others are not."""
_UNIT, _LEAST = 8, 24
"""UNet1DModel halves its input three times, and mirrors three frames at its ends."""


@dataclass(frozen=True)
class TrackShape:
    """Shape of both networks.

    Attributes
    ----------
    outputs : int
        Values, or categories, that the regressor gives.
    width, depth : int
        Channels and blocks of the regressor, and blocks of a dilated mask network.
    mask : {"dilated", "unet1d"}
        What draws the mask.
    mask_width : int
        Its channels.
    mask_time : bool
        Whether it is told where in the track a displacement is. If not, its dilated network sees
        the track's end joined to its start: zeros beyond the ends tell as well where they are.
    """

    outputs: int
    width: int = 32
    depth: int = 5
    mask: MaskKind = "dilated"
    mask_width: int = 32
    mask_time: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class TrackRegressor(nn.Module):
    """Predicts a signal from scaled displacements of tracks of one length."""

    def __init__(self, shape: TrackShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.body = _body(width, shape.depth)
        self.hidden = nn.Linear(2 * width + 1, 2 * width)
        self.relu = nn.ReLU()
        self.head = nn.Linear(2 * width, shape.outputs)

    def forward(self, steps: Tensor) -> Tensor:
        """Return standardised predictions or logits, (batch, outputs).

        Parameters
        ----------
        steps : torch.Tensor, shape (batch, 2, displacements)
        """
        features = self.body(_with_time(steps))
        mean = features.mean(2)
        spread = (features.var(2, correction=0) + 1e-6).sqrt()
        length = _log_length(steps).expand(len(steps), 1)
        hidden = self.relu(self.hidden(torch.cat([mean, spread, length], 1)))
        return torch.as_tensor(self.head(hidden))


class TrackMask(nn.Module):
    """Draws the mask: one raw value for each displacement.

    Raw M has a fixed spread over the displacements of many tracks, about a level that the fit sets
    (`level`): a mask that learned both would first open or close everywhere, and then have no
    gradient left to tell one displacement from another.
    """

    level: Tensor

    def __init__(self, shape: TrackShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.mask_width
        self.last: nn.Module
        if shape.mask == "unet1d":
            self.body: nn.Module = _UNet(width)
        else:
            self.body = _body(width, shape.depth, joined=not shape.mask_time)
        self.last = nn.Sequential(_ChannelNorm(width), nn.ReLU())
        self.head = nn.Conv1d(width, 1, 1)
        # Evened out over the batch: how much is kept is set apart, by `level`.
        self.even = nn.BatchNorm1d(1, affine=False, momentum=0.05)
        self.register_buffer("level", torch.zeros(()))

    def forward(self, steps: Tensor) -> Tensor:
        """Return raw M, (batch, displacements), of scaled displacements (batch, 2, …)."""
        x = _with_time(steps)
        if not self.shape.mask_time:
            x[:, _TIME] = 0
        features = self.body(x)
        rank = self.even(self.head(self.last(features)))[:, 0]
        return torch.as_tensor(_GAIN * rank + self.level)


class _UNet(nn.Module):
    """UNet1DModel of diffusers without its time: the constant embedding of t = 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        try:
            import diffusers
        except ImportError as error:
            raise SptError(
                'mask.network = "unet1d" needs the package diffusers, which is not installed. '
                'Install it (pip install diffusers), or take "dilated".',
                code="unavailable",
            ) from error
        if width % _HEAD:
            raise SptError(
                f'mask.width is {width}; with mask.network = "unet1d", whose attention has heads '
                f"of {_HEAD} channels, expected a multiple of {_HEAD}."
            )
        model: Any = diffusers.UNet1DModel
        self.net = model(
            in_channels=5,
            out_channels=width,
            extra_in_channels=width,
            time_embedding_dim=width,
            block_out_channels=(width, width, 2 * width),
        )
        self.net.time_proj.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[2]
        padded = max(_LEAST, -(-count // _UNIT) * _UNIT)
        inside = torch.ones_like(x[:, :1])
        x = functional.pad(torch.cat([x, inside], 1), (0, padded - count))
        time = torch.zeros(len(x), device=x.device)
        return torch.as_tensor(self.net(x, time).sample[:, :, :count])


def _body(width: int, depth: int, *, joined: bool = False) -> nn.Module:
    blocks: list[nn.Module] = [_conv(4, width, 5, 1, joined)]
    blocks += [_Block(width, 2**i, joined) for i in range(depth)]
    return nn.Sequential(*blocks)


def _conv(inputs: int, outputs: int, size: int, dilation: int, joined: bool) -> nn.Conv1d:
    kind = _JoinedConv if joined else nn.Conv1d
    return kind(inputs, outputs, size, padding=dilation * (size // 2), dilation=dilation)


class _JoinedConv(nn.Conv1d):
    """A convolution over a track whose end is joined to its start, however short it is."""

    def forward(self, x: Tensor) -> Tensor:
        count, reach = x.shape[2], int(self.padding[0])
        around = torch.arange(-reach, count + reach, device=x.device) % count
        return functional.conv1d(x[:, :, around], self.weight, self.bias, dilation=self.dilation)


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int, joined: bool) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _ChannelNorm(width),
            nn.ReLU(),
            _conv(width, width, 3, dilation, joined),
            nn.ReLU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(x + self.inner(x))


class _ChannelNorm(nn.Module):
    """Divides by the root mean square over the channels of each frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, 1))
        self.bias = nn.Parameter(torch.zeros(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        # The 1 keeps small steps small, and large ones from drowning the rest.
        return x / (1 + x.square().mean(1, keepdim=True)).sqrt() * self.gain + self.bias


def _with_time(steps: Tensor) -> Tensor:
    """Return (batch, 4, n): both displacements, time from -1 to 1, the logarithm of the length."""
    batch, _, count = steps.shape
    time = torch.linspace(-1, 1, count, device=steps.device, dtype=steps.dtype)
    length = _log_length(steps).expand(batch, 1, count)
    return torch.cat([steps, time.expand(batch, 1, count), length], 1)


def _log_length(steps: Tensor) -> Tensor:
    value = math.log(steps.shape[2]) / math.log(_LONGEST)
    return torch.tensor(value, device=steps.device, dtype=steps.dtype)
