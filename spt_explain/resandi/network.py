"""The classifier as a torch module: trained with it, run with it by ``--backend torch``.

A batch may hold trajectories padded to several lengths. Between convolutions all of them lie in
one array of rows, (positions of all trajectories, channels), so that batch normalisation has the
statistics of the whole batch: a batch split by length has the same ones as a batch padded to one
length. Convolutions see each group as images of height 1, channels last, without a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.resandi.architecture import Architecture

Sizes = list[tuple[int, int]]
"""(trajectories, nodes) of each group of a batch."""


class BatchNorm(nn.Module):
    """Batch normalisation of rows, over those that are inside a trajectory.

    Ioffe & Szegedy 2015, arXiv:1502.03167, with torch's names for parameters and statistics.
    """

    weight: torch.Tensor
    running_mean: torch.Tensor
    running_var: torch.Tensor
    batches: torch.Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("batches", torch.zeros(()), persistent=False)

    def reset_running_stats(self) -> None:
        """Forget the statistics; with ``momentum = None`` they become plain averages."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.batches.zero_()

    def forward(self, x: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
        """Normalise `x`, (rows, channels); `inside`, (rows, 1), is 1 where rows count."""
        if self.training:
            values = x.float()
            if inside is None:
                variance, mean = torch.var_mean(values, dim=0, correction=0)
            else:
                count = inside.sum()
                mean = (values * inside).sum(0) / count
                variance = ((values**2 * inside).sum(0) / count - mean**2).clamp(min=0)
            with torch.no_grad():
                share: torch.Tensor | float | None = self.momentum
                if share is None:
                    self.batches += 1
                    share = 1 / self.batches
                self.running_mean += share * (mean - self.running_mean)
                self.running_var += share * (variance - self.running_var)
        else:
            mean, variance = self.running_mean, self.running_var
        gain = self.weight * torch.rsqrt(variance + self.eps)
        return (x * gain + (self.bias - mean * gain)).to(x.dtype)


class Convolution(nn.Conv2d):
    """One-dimensional convolution of rows, group by group."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__(
            channels_in, channels_out, (1, kernel), (1, stride), (0, kernel // 2), bias=False
        )
        if not self.weight.is_meta:  # no numbers are drawn there, but torch's compiler is loaded
            nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def rows(self, x: torch.Tensor, sizes: Sizes) -> tuple[torch.Tensor, Sizes]:
        """Return the convolved rows, (rows', channels_out), and their groups."""
        groups = [self(image) for image in _images(x, sizes)]
        return _rows(groups), [(g.size(0), g.size(3)) for g in groups]


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016, doi:10.1109/CVPR.2016.90)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = Convolution(channels_in, channels_out, kernel, stride)
        self.bn1 = BatchNorm(channels_out)
        self.conv2 = Convolution(channels_out, channels_out, kernel, 1)
        self.bn2 = BatchNorm(channels_out)
        self.downsample: nn.ModuleList | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.ModuleList(
                [Convolution(channels_in, channels_out, 1, stride), BatchNorm(channels_out)]
            )

    def forward(
        self, x: torch.Tensor, sizes: Sizes, inside: torch.Tensor | None
    ) -> tuple[torch.Tensor, Sizes, torch.Tensor | None]:
        """Return the block's rows, their groups, and which of them are inside."""
        before = sizes
        y, sizes = self.conv1.rows(x, before)
        if self.stride != 1:
            inside = _halve(inside, before)
        y = _masked(torch.relu(self.bn1(y, inside)), inside)
        y = self.bn2(self.conv2.rows(y, sizes)[0], inside)
        if self.downsample is not None:
            convolution, norm = self.downsample
            assert isinstance(convolution, Convolution)
            x = norm(convolution.rows(x, before)[0], inside)
        return _masked(torch.relu(y + x), inside), sizes, inside


class ResAnDi(nn.Module):
    """ResNet18 with one-dimensional kernels.

    Parameters
    ----------
    architecture : Architecture
        Inputs, width, kernels, padding, outputs.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.stage_widths
        self.conv1 = Convolution(architecture.channels, widths[0], architecture.stem_kernel, 2)
        self.bn1 = BatchNorm(widths[0])
        self.pool = nn.MaxPool2d((1, 3), stride=(1, 2), padding=(0, 1))
        stages = []
        channels = widths[0]
        for index, width in enumerate(widths):
            stride = 1 if index == 0 else 2
            stages.append(
                nn.ModuleList(
                    [
                        BasicBlock(channels, width, architecture.kernel, stride),
                        BasicBlock(width, width, architecture.kernel, 1),
                    ]
                )
            )
            channels = width
        self.stages = nn.ModuleList(stages)
        self.fc = nn.Linear(channels, architecture.outputs)

    def features(
        self, groups: Sequence[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        """Return the last stage's feature maps and which of its nodes are inside.

        Parameters
        ----------
        groups : sequence of torch.Tensor, shape (n_i, channels, length_i)
            Inputs, the trajectories of each group padded to one length.

        Returns
        -------
        maps : list of torch.Tensor, shape (n_i, 8 * width, nodes_i)
        inside : list of torch.Tensor, shape (n_i, 1, nodes_i), or None
            1 where a node covers frames of the trajectory or its margin, 0 in the rest of the
            padding; None without a mask.
        """
        x, sizes, inside = self._last_stage(groups)
        maps = [image.squeeze(2) for image in _images(x, sizes)]
        if inside is None:
            return maps, [None] * len(maps)
        return maps, [image.squeeze(2) for image in _images(inside, sizes)]

    def forward(self, *groups: torch.Tensor) -> torch.Tensor:
        """Return the outputs, (n, outputs), of one or several groups of inputs, in their order."""
        x, sizes, inside = self._last_stage(groups)
        means = []
        for image, (n, nodes), start in zip(_images(x, sizes), sizes, _starts(sizes), strict=True):
            if inside is None:
                means.append(image.mean((2, 3)))
                continue
            count = inside[start : start + n * nodes].view(n, nodes).sum(1, keepdim=True)
            means.append(image.sum((2, 3)) / count.clamp(min=1))
        outputs: torch.Tensor = self.fc(torch.cat(means))
        return outputs

    def stage_features(
        self, groups: Sequence[torch.Tensor]
    ) -> list[tuple[list[torch.Tensor], list[torch.Tensor | None]]]:
        """Return what `features` does, of each of the four stages (the paper's blocks).

        Each stage works on the maps returned of the one before, so gradients reach them.
        """
        stages: list[tuple[list[torch.Tensor], list[torch.Tensor | None]]] = []
        self._last_stage(groups, stages)
        return stages

    def outputs_of(
        self, maps: Sequence[torch.Tensor], inside: Sequence[torch.Tensor | None]
    ) -> torch.Tensor:
        """Return the outputs, (n, outputs), of feature maps of the last stage (see `features`)."""
        means = []
        for image, mask in zip(maps, inside, strict=True):
            if mask is None:
                means.append(image.mean(2))
            else:
                means.append(image.sum(2) / mask.sum(2).clamp(min=1))
        outputs: torch.Tensor = self.fc(torch.cat(means))
        return outputs

    def _last_stage(
        self,
        groups: Sequence[torch.Tensor],
        stages: list[tuple[list[torch.Tensor], list[torch.Tensor | None]]] | None = None,
    ) -> tuple[torch.Tensor, Sizes, torch.Tensor | None]:
        images = [group.unsqueeze(2) for group in groups]
        sizes = [(group.size(0), group.size(2)) for group in groups]
        x = _rows([self.conv1(image) for image in images])
        inside: torch.Tensor | None = None
        if self.architecture.padding == "masked":
            margin = self.architecture.margin
            inside = _rows([_widened(image[:, -1:], margin) for image in images])
            inside = _halve(inside, sizes)
        sizes = [(n, -(-length // 2)) for n, length in sizes]
        x = _masked(torch.relu(self.bn1(x, inside)), inside)
        x = _rows([self.pool(image) for image in _images(x, sizes)])
        inside = _halve(inside, sizes)
        sizes = [(n, -(-length // 2)) for n, length in sizes]
        x = _masked(x, inside)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                x, sizes, inside = block(x, sizes, inside)
            if stages is not None:
                maps = [image.squeeze(2) for image in _images(x, sizes)]
                masks: list[torch.Tensor | None] = [None] * len(maps)
                if inside is not None:
                    masks = [image.squeeze(2) for image in _images(inside, sizes)]
                stages.append((maps, masks))
                x = _rows([image.unsqueeze(2) for image in maps])
        return x, sizes, inside


def _starts(sizes: Sizes) -> list[int]:
    starts = [0]
    for n, length in sizes[:-1]:
        starts.append(starts[-1] + n * length)
    return starts


def _images(x: torch.Tensor, sizes: Sizes) -> list[torch.Tensor]:
    """View rows as images of height 1, (n, channels, 1, length), channels last."""
    return [
        x[start : start + n * length].view(n, 1, length, x.size(1)).permute(0, 3, 1, 2)
        for start, (n, length) in zip(_starts(sizes), sizes, strict=True)
    ]


def _rows(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the positions of all images, one after the other, as rows of channels."""
    rows = [image.permute(0, 2, 3, 1).reshape(-1, image.size(1)) for image in images]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _widened(inside: torch.Tensor, margin: int) -> torch.Tensor:
    """Return the mask, (n, 1, 1, length), with as many points before each trajectory."""
    if not margin:
        return inside
    longer = nn.functional.pad(inside, (0, margin))
    return nn.functional.max_pool2d(longer, (1, margin + 1), 1)


def _halve(inside: torch.Tensor | None, sizes: Sizes) -> torch.Tensor | None:
    """Return the mask of nodes at twice the spacing: inside if either of their two nodes is."""
    if inside is None:
        return None
    return _rows(
        [
            nn.functional.max_pool2d(image, (1, 2), (1, 2), ceil_mode=True)
            for image in _images(inside, sizes)
        ]
    )


def _masked(x: torch.Tensor, inside: torch.Tensor | None) -> torch.Tensor:
    return x if inside is None else x * inside.to(x.dtype)
