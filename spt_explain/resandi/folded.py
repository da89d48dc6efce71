"""The trained classifier made ready to run: normalisation folded in, convolutions fast and fused.

`network.ResAnDi` is what is trained; this computes the same outputs several times faster. Batch
normalisation becomes part of the kernels. Then each residual block is computed in one of three
ways, whichever takes least time at its number of nodes:

- directly, with bias, shortcut and ReLU in the convolution's own kernel on CUDA, and without the
  taps that meet nothing but zeros;
- over a few nodes, as one product with a matrix of all taps between all nodes;
- in the last stages of long inputs, by Fourier transform (`resandi.fourier`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from spt_explain.resandi.fourier import phases, taps_between, transforms
from spt_explain.resandi.graph import BATCH_NORM_EPS, BLOCKS, NODES
from spt_explain.resandi.graph import DENSE_NODES as CPU_DENSE_NODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture

DIRECT_STAGES = 2
"""Stages of direct convolutions where the rest goes by Fourier transform. In float16 the transforms
of the first two stages would double the error of the probabilities (2e-4 against 1e-4, root mean
square); those of the last two leave it as it is and save four fifths of the operations."""
FOURIER_FROM = 384
"""Padded length from which the transforms pay, on an H200: below, few taps meet a node at all."""
DENSE_NODES = 8
"""Nodes up to which a convolution is one matrix product. With 15 taps it multiplies half as often
as a direct one of 8 nodes, and products of matrices are what GPUs are best at."""
_POOLED = 4
"""Frames of the input for each node of the first stage."""


class FoldedNetwork(nn.Module):
    """The classifier for inputs padded to one length.

    Parameters
    ----------
    architecture : Architecture
        Shape of the network.
    tensors : mapping of str to numpy.ndarray
        Parameters and running statistics by their torch names (`network.ResAnDi`).
    padded : int
        Length of the inputs, in frames.
    device : str
        Where it is put together, and lies.
    direct : int, optional
        Stages, of four, that do not go by Fourier transform; by default `DIRECT_STAGES`, or all
        for inputs shorter than `FOURIER_FROM`.
    dense_nodes : int
        Nodes up to which a convolution is one matrix product.

    Notes
    -----
    ``to(device, dtype)`` moves it, as any module; parameters are buffers and are not trained.
    """

    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, NDArray[np.float32]],
        padded: int,
        *,
        device: str = "cpu",
        direct: int | None = None,
        dense_nodes: int = DENSE_NODES,
    ) -> None:
        super().__init__()
        if direct is None:
            direct = DIRECT_STAGES if padded >= FOURIER_FROM else len(BLOCKS)
        self.architecture = architecture
        self.padded = padded
        self.direct = direct
        parts = {k: torch.from_numpy(np.array(v)).to(device) for k, v in tensors.items()}
        self.stem = _Direct(*_folded(parts, "conv1", "bn1"), 2, padded)
        nodes = math.ceil(padded / _POOLED)
        blocks: list[nn.Module] = []
        for stage in range(len(BLOCKS)):
            for block in range(2):
                name, stride = f"stages.{stage}.{block}", 2 if stage and not block else 1
                kind: type[_Block] = _DirectBlock
                if math.ceil(nodes / stride) <= dense_nodes:
                    kind = _DenseBlock
                elif stage >= direct:
                    kind = _FourierBlock
                blocks.append(kind(parts, name, nodes, stride))
                nodes = -(-nodes // stride)
        self.blocks = nn.ModuleList(blocks)
        self.register_buffer("weight", parts["fc.weight"])
        self.register_buffer("bias", parts["fc.bias"])

    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def on(
        cls,
        kind: str,
        architecture: Architecture,
        tensors: Mapping[str, NDArray[np.float32]],
        padded: int,
        dtype: torch.dtype = torch.float32,
    ) -> FoldedNetwork:
        """Return the network as it is fastest on a kind of device ("cuda", "mps", "cpu")."""
        # a CPU gains wherever there is less to multiply
        direct, dense_nodes = (0, CPU_DENSE_NODES) if kind == "cpu" else (None, DENSE_NODES)
        network = cls(
            architecture, tensors, padded, device=kind, direct=direct, dense_nodes=dense_nodes
        )
        return network.to_layout(kind, dtype).eval()

    def to_layout(self, device: str, dtype: torch.dtype) -> FoldedNetwork:
        """Move to a device and precision, images channels last; return the network itself."""
        self.to(device, dtype)
        for module in self.modules():
            if isinstance(module, _Direct):
                module.weight = module.weight.contiguous(memory_format=torch.channels_last)
        return self

    def forward(
        self, x: torch.Tensor, shortest: int = 1, taps: Sequence[str] = ()
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the outputs and what is asked for beside them.

        Parameters
        ----------
        x : torch.Tensor, shape (n, channels, padded)
            Inputs, as `ResAnDi` takes them, in the network's precision.
        shortest : int
            Points of the shortest trajectory; with masked padding, maps are masked only as far as
            padding can reach.
        taps : sequence of str
            Of `graph.TAPS`.

        Returns
        -------
        outputs : torch.Tensor, shape (n, outputs), float32
        taps : dict of str to torch.Tensor
            As `graph.build_model` says.
        """
        inside = self._inside(x, shortest)
        image = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        y = inside.mask(self.stem(image, relu=True), 2, time=3)
        y = nn.functional.max_pool2d(y, (1, 3), (1, 2), (0, 1))
        y = inside.mask(y, _POOLED, time=3)
        found: dict[str, torch.Tensor] = {}
        stride = _POOLED
        before: _Block | None = None
        for index, block in enumerate(self.blocks):
            assert isinstance(block, (_DirectBlock, _DenseBlock, _FourierBlock))
            stage = index // 2
            if index and index % 2 == 0:
                stride *= 2
            if type(block) is not (_DirectBlock if before is None else type(before)):
                y = block.entered(y.squeeze(2) if before is None else before.maps(y))
            y = block(y, inside, stride)
            if index % 2 and BLOCKS[stage] in taps:
                found[BLOCKS[stage]] = block.maps(y).float()
            before = block
        assert before is not None
        maps = before.maps(y)
        count = inside.count(maps.size(2), stride, maps.device)
        if NODES in taps:
            weight = self.weight[: self.architecture.n_logits]
            each = torch.einsum("nkt,ck->nct", maps, weight).float()
            found[NODES] = each / count[:, None]
        pooled = (maps.sum(2, dtype=torch.float32) / count).to(maps.dtype)
        outputs = nn.functional.linear(pooled, self.weight, self.bias)
        return outputs.float(), found

    def _inside(self, x: torch.Tensor, shortest: int) -> _Inside:
        if self.architecture.padding != "masked":
            return _Inside(None, 0)
        margin = self.architecture.margin
        start = x.size(2) - x[:, -1].sum(1, dtype=torch.float32).long()
        outside = max(self.padded - shortest - margin, 0)
        return _Inside((start - margin).clamp(min=0), outside)


@dataclass(frozen=True)
class _Inside:
    """Where feature maps are kept: from the margin before each trajectory on.

    Attributes
    ----------
    first : torch.Tensor, shape (n,), or None
        First frame of each margin; None without a mask.
    outside : int
        Frames before the latest of them, at most.
    """

    first: torch.Tensor | None
    outside: int

    def mask(self, x: torch.Tensor, stride: int, *, time: int) -> torch.Tensor:
        """Set nodes that cover no frame inside to zero; only the first nodes can be such.

        Parameters
        ----------
        x : torch.Tensor
            Maps; changed in place where no gradient is wanted.
        stride : int
            Frames of each node.
        time : int
            Axis of the nodes: 3 of images (n, channels, 1, nodes), 1 of rows (n, nodes, channels),
            0 of series (nodes, n, channels).
        """
        nodes = self.outside // stride
        if self.first is None or not nodes:
            return x
        node, first = torch.arange(nodes, device=x.device), self.first // stride
        keep = (node >= first[:, None]).to(x.dtype)  # (n, nodes)
        shaped = {3: keep[:, None, None], 1: keep[..., None], 0: keep.T[..., None]}[time]
        head = x.narrow(time, 0, nodes)
        if torch.is_grad_enabled():
            rest = x.narrow(time, nodes, x.size(time) - nodes)
            return torch.cat([head * shaped, rest], time)
        head.mul_(shaped)
        return x

    def count(self, nodes: int, stride: int, device: torch.device) -> torch.Tensor:
        """Return the nodes that count, (n, 1), or their number, (1, 1), where all do."""
        if self.first is None:
            return torch.full((1, 1), float(nodes), device=device)
        return (nodes - self.first // stride).clamp(min=1).float()[:, None]


def _folded(
    tensors: Mapping[str, torch.Tensor], conv: str, norm: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return kernel, (out, in, taps), and bias of a convolution with its batch normalisation."""
    gain = tensors[f"{norm}.weight"] * torch.rsqrt(tensors[f"{norm}.running_var"] + BATCH_NORM_EPS)
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * gain
    return tensors[f"{conv}.weight"][:, :, 0] * gain[:, None, None], bias


class _Direct(nn.Module):
    """A direct convolution, its bias and, fused where CUDA can, shortcut and ReLU."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, kernel: torch.Tensor, bias: torch.Tensor, stride: int, nodes: int) -> None:
        super().__init__()
        self.stride = stride
        reach = kernel.shape[2] // 2
        if stride == 1:  # taps beyond meet nothing but zeros
            kept = min(reach, nodes - 1)
            kernel = kernel[:, :, reach - kept : reach + kept + 1]
            reach = kept
        self.reach = reach
        self.register_buffer("weight", kernel[:, :, None].contiguous())
        self.register_buffer("bias", bias)

    def forward(
        self, x: torch.Tensor, *, relu: bool = False, shortcut: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the convolution of images, (n, channels, 1, nodes)."""
        stride, padding = (1, self.stride), (0, self.reach)
        if x.is_cuda and relu and x.dtype == torch.float16 and not torch.is_grad_enabled():
            if shortcut is None:
                return torch.cudnn_convolution_relu(
                    x, self.weight, self.bias, stride, padding, (1, 1), 1
                )
            return torch.cudnn_convolution_add_relu(
                x, self.weight, shortcut, 1.0, self.bias, stride, padding, (1, 1), 1
            )
        y = nn.functional.conv2d(x, self.weight, self.bias, stride, padding)
        if shortcut is not None:
            y = y + shortcut
        return y.relu() if relu else y


class _DirectBlock(nn.Module):
    """A residual block of direct convolutions, on images (n, channels, 1, nodes)."""

    def __init__(
        self, tensors: Mapping[str, torch.Tensor], name: str, nodes: int, stride: int
    ) -> None:
        super().__init__()
        self.conv1 = _Direct(*_folded(tensors, f"{name}.conv1", f"{name}.bn1"), stride, nodes)
        nodes = -(-nodes // stride)
        self.conv2 = _Direct(*_folded(tensors, f"{name}.conv2", f"{name}.bn2"), 1, nodes)
        self.shortcut: _Direct | None = None
        if f"{name}.downsample.0.weight" in tensors:
            parts = _folded(tensors, f"{name}.downsample.0", f"{name}.downsample.1")
            self.shortcut = _Direct(*parts, stride, nodes)

    def entered(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps, (n, channels, nodes), in this block's layout."""
        return maps.unsqueeze(2).contiguous(memory_format=torch.channels_last)

    def maps(self, y: torch.Tensor) -> torch.Tensor:
        """Return maps as (n, channels, nodes)."""
        return y.squeeze(2)

    def forward(self, x: torch.Tensor, inside: _Inside, stride: int) -> torch.Tensor:
        """Return the block's maps, masked; `stride` in frames for each of their nodes."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = inside.mask(self.conv1(x, relu=True), stride, time=3)
        return inside.mask(self.conv2(y, relu=True, shortcut=shortcut), stride, time=3)


class _Dense(nn.Module):
    """A convolution over a few nodes as one product, on rows (n, nodes * channels)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, kernel: torch.Tensor, bias: torch.Tensor, stride: int, nodes: int) -> None:
        super().__init__()
        channels, taps = kernel.shape[1:]
        index = torch.from_numpy(taps_between(nodes, stride, taps)).to(kernel.device)
        # (taps, in, out), and one more for pairs of nodes too far apart
        padded = nn.functional.pad(kernel, (0, 1)).permute(2, 1, 0)
        matrix = padded[index].transpose(1, 2)  # (nodes, in, nodes out, out)
        self.register_buffer("weight", matrix.reshape(nodes * channels, -1))
        self.register_buffer("bias", bias.repeat(index.size(1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution with its bias, (n, nodes out * channels out)."""
        return torch.addmm(self.bias, x, self.weight)


class _DenseBlock(nn.Module):
    """A residual block over a few nodes, on rows (n, nodes, channels)."""

    def __init__(
        self, tensors: Mapping[str, torch.Tensor], name: str, nodes: int, stride: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = _Dense(*_folded(tensors, f"{name}.conv1", f"{name}.bn1"), stride, nodes)
        self.nodes = -(-nodes // stride)
        self.conv2 = _Dense(*_folded(tensors, f"{name}.conv2", f"{name}.bn2"), 1, self.nodes)
        self.shortcut: _Dense | None = None
        if f"{name}.downsample.0.weight" in tensors:
            parts = _folded(tensors, f"{name}.downsample.0", f"{name}.downsample.1")
            self.shortcut = _Dense(*parts, 1, 1)

    def entered(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps, (n, channels, nodes), in this block's layout; images lie in memory so."""
        return maps.transpose(1, 2).contiguous()

    def maps(self, y: torch.Tensor) -> torch.Tensor:
        """Return maps as (n, channels, nodes)."""
        return y.transpose(1, 2)

    def forward(self, x: torch.Tensor, inside: _Inside, stride: int) -> torch.Tensor:
        """Return the block's maps, masked; `stride` in frames for each of their nodes."""
        n, shortcut = len(x), x
        if self.shortcut is not None:
            some = x[:, :: self.stride]
            shortcut = self.shortcut(some.reshape(-1, some.size(2)))
        y = self.conv1(x.reshape(n, -1))
        y = y.relu() if torch.is_grad_enabled() else y.relu_()
        y = inside.mask(y.view(n, self.nodes, -1), stride, time=1).view(n, -1)
        flat = shortcut.reshape(n, -1)
        if torch.is_grad_enabled():
            z = (self.conv2(y) + flat).relu()
        else:
            z = self.conv2(y).add_(flat).relu_()
        return inside.mask(z.view(n, self.nodes, -1), stride, time=1)


class _Fourier(nn.Module):
    """A convolution by Fourier transform, on series (nodes, n, channels), its bias within."""

    analysis: torch.Tensor
    weight: torch.Tensor
    synthesis: torch.Tensor
    bias: torch.Tensor

    def __init__(self, kernel: torch.Tensor, bias: torch.Tensor, stride: int, nodes: int) -> None:
        super().__init__()
        self.stride = stride
        self.nodes = -(-nodes // stride)
        out, channels, taps = kernel.shape
        found = transforms(self.nodes, taps, stretched=False)
        index = torch.from_numpy(phases(taps, stride, found.reach)).to(kernel.device)
        parts = nn.functional.pad(kernel, (0, 1)).permute(2, 1, 0)[index]
        turned = torch.from_numpy(found.kernel).to(kernel)
        weight = torch.tensordot(turned, parts, ([1], [1]))  # (rows, phases, in, out)
        weight = weight.reshape(-1, channels, out)
        # the bias comes in as one more row of products, which the synthesis adds to every node
        ones = np.ones((self.nodes, 1))
        synthesis = np.concatenate([np.repeat(found.synthesis, stride, axis=1), ones], axis=1)
        self.register_buffer("analysis", torch.from_numpy(found.analysis).to(kernel))
        self.register_buffer("weight", weight)
        self.register_buffer("synthesis", torch.from_numpy(synthesis).to(kernel))
        self.register_buffer("bias", bias)

    def products(self, x: torch.Tensor) -> torch.Tensor:
        """Return what `synthesis` is to be multiplied with, (rows, n * channels out)."""
        nodes, n, channels = x.shape
        if nodes % self.stride:
            x = nn.functional.pad(x, (0, 0, 0, 0, 0, 1))
        spectrum = (self.analysis @ x.reshape(self.nodes, -1)).view(-1, n, channels)
        rows, _, out = self.weight.shape
        if torch.is_grad_enabled():
            found = torch.bmm(spectrum, self.weight)
            return torch.cat([found, self.bias.expand(1, n, out)]).view(rows + 1, -1)
        found = x.new_empty(rows + 1, n, out)
        torch.bmm(spectrum, self.weight, out=found[:rows])
        found[rows] = self.bias
        return found.view(rows + 1, -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the convolution and ReLU of series."""
        y = (self.synthesis @ self.products(x)).view(self.nodes, x.size(1), -1)
        return y.relu() if torch.is_grad_enabled() else y.relu_()


class _FourierBlock(nn.Module):
    """A residual block by Fourier transform, on series (nodes, n, channels)."""

    kernel: torch.Tensor
    bias: torch.Tensor

    def __init__(
        self, tensors: Mapping[str, torch.Tensor], name: str, nodes: int, stride: int
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = _Fourier(*_folded(tensors, f"{name}.conv1", f"{name}.bn1"), stride, nodes)
        nodes = -(-nodes // stride)
        self.conv2 = _Fourier(*_folded(tensors, f"{name}.conv2", f"{name}.bn2"), 1, nodes)
        self.reshaped = f"{name}.downsample.0.weight" in tensors
        if self.reshaped:
            kernel, bias = _folded(tensors, f"{name}.downsample.0", f"{name}.downsample.1")
            self.register_buffer("kernel", kernel[:, :, 0].T.contiguous())
            self.register_buffer("bias", bias)

    def entered(self, maps: torch.Tensor) -> torch.Tensor:
        """Return maps, (n, channels, nodes), in this block's layout."""
        return maps.permute(2, 0, 1).contiguous()

    def maps(self, y: torch.Tensor) -> torch.Tensor:
        """Return maps as (n, channels, nodes)."""
        return y.permute(1, 2, 0)

    def forward(self, x: torch.Tensor, inside: _Inside, stride: int) -> torch.Tensor:
        """Return the block's maps, masked; `stride` in frames for each of their nodes."""
        shortcut = x
        if self.reshaped:
            some = x[:: self.stride]
            flat = torch.addmm(self.bias, some.reshape(-1, some.size(2)), self.kernel)
            shortcut = flat.view(some.size(0), some.size(1), -1)
        y = inside.mask(self.conv1(x), stride, time=0)
        products = self.conv2.products(y)
        flat = shortcut.reshape(shortcut.size(0), -1)
        if torch.is_grad_enabled():
            z = torch.addmm(flat, self.conv2.synthesis, products).relu()
        else:  # the shortcut is needed no more
            z = flat.addmm_(self.conv2.synthesis, products).relu_()
        return inside.mask(z.view(shortcut.shape), stride, time=0)


_Block = _DirectBlock | _DenseBlock | _FourierBlock
