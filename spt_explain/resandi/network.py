"""The classifier as a torch module: trained with it, run with it by ``--backend torch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from spt_explain.resandi.architecture import Architecture


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016, doi:10.1109/CVPR.2016.90)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels_in, channels_out, kernel, stride)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = _conv(channels_out, channels_out, kernel, 1)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                _conv(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, shape (n, channels_out, 1, ceil(t / stride))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResAnDi(nn.Module):
    """ResNet18 with one-dimensional kernels, held as images of height 1.

    Height 1 rather than one-dimensional layers lets the GPU use its channels-last kernels.

    Parameters
    ----------
    architecture : Architecture
        Inputs, width, kernels, classes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.stage_widths
        self.conv1 = _conv(architecture.channels, widths[0], architecture.stem_kernel, 2)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.pool = nn.MaxPool2d((1, 3), stride=(1, 2), padding=(0, 1))
        stages = []
        channels = widths[0]
        for index, width in enumerate(widths):
            stride = 1 if index == 0 else 2
            stages.append(
                nn.Sequential(
                    BasicBlock(channels, width, architecture.kernel, stride),
                    BasicBlock(width, width, architecture.kernel, 1),
                )
            )
            channels = width
        self.stages = nn.ModuleList(stages)
        self.fc = nn.Linear(channels, len(architecture.classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last stage's feature maps, shape (n, 8 * width, nodes)."""
        x = self.pool(torch.relu(self.bn1(self.conv1(x.unsqueeze(2)))))
        for stage in self.stages:
            x = stage(x)
        return x.squeeze(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (n, classes), of inputs of shape (n, channels, window)."""
        logits: torch.Tensor = self.fc(self.features(x).mean(dim=-1))
        return logits


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(
        channels_in, channels_out, (1, kernel), (1, stride), (0, kernel // 2), bias=False
    )
