"""The network by torch: the fast path on CUDA, and the reference on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spt_explain.resandi.architecture import SERIES
from spt_explain.resandi.backends import devices
from spt_explain.resandi.backends.devices import Device, cpu_device
from spt_explain.resandi.backends.runner import Output, failing_as, stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray

    from spt_explain.resandi.architecture import Architecture
    from spt_explain.resandi.backends.runner import Part, Precision, Windows
    from spt_explain.resandi.folded import FoldedNetwork
    from spt_explain.resandi.weights import Weights

CPU_BATCH = 64
GPU_BATCH = 2048
_IN_FLIGHT = 3
"""Batches on the GPU at a time: one that works, one whose inputs are ready, one on its way back."""


class TorchRunner:
    """The network by torch; see `runner.Runner`.

    On CUDA positions are copied once, and inputs are made, run and copied back batch by batch on
    the device, while the CPU goes on.

    Parameters
    ----------
    weights : Weights
        What to run.
    kind : {"cuda", "mps", "cpu"}
        Where.
    precision : {"float32", "tf32", "float16"}
        Of the multiplications; the last two on CUDA only.
    jobs : int, optional
        CPU threads; all cores by default.
    taps : sequence of str
        What is given beside the outputs, of `graph.TAPS`.
    batch_size : int, optional
        Windows of full length at a time.
    why_not : str
        Why no GPU is used, for the device's description.
    """

    def __init__(
        self,
        weights: Weights,
        kind: str,
        *,
        precision: Precision = "float32",
        jobs: int | None = None,
        taps: Sequence[str] = (),
        batch_size: int | None = None,
        why_not: str = "",
    ) -> None:
        import torch

        if jobs:
            torch.set_num_threads(jobs)
        self.architecture = weights.architecture
        self.precision: Precision = precision
        self._kind = kind
        self._taps = tuple(taps)
        self._tensors = weights.load()
        self._networks: dict[int, FoldedNetwork] = {}
        self._dtype = torch.float16 if precision == "float16" else torch.float32
        self.fixed = kind != "cpu"
        self.batch_size = batch_size or (CPU_BATCH if kind == "cpu" else GPU_BATCH)
        runtime = self.versions = f"torch {torch.__version__}"
        if kind == "cuda":
            name = torch.cuda.get_device_name(0)
            self.device = Device(kind, f"cuda:0 {name} ({runtime}, {precision})")
            cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
            self.versions = (
                f"{runtime}, CUDA {torch.version.cuda}, cuDNN {cudnn}, "
                f"driver {devices.nvidia_driver()}"
            )
        elif kind == "mps":
            self.device = Device(kind, f"mps Apple GPU ({runtime})")
        else:
            self.versions = f"{runtime}, {devices.processor()}"
            self.device = cpu_device(runtime, jobs, why_not)

    def expect(self, points: dict[int, int]) -> None:
        """Nothing is prepared."""

    def variant(self, padded: int) -> str:
        """Return how many stages have direct convolutions at a padded length."""
        with failing_as(self.device):  # the network is moved to the device
            return f"{self._network(padded).direct} direct stages"

    def run(self, inputs: NDArray[np.float32], *, tapped: bool = True) -> Output:
        """Run the network on inputs, (n, channels, padded); `tapped` as for `Windows`."""
        import torch

        with failing_as(self.device), torch.inference_mode(), self._rounding():
            x = torch.from_numpy(inputs).to(self._kind, self._dtype)
            names = self._taps if tapped else ()
            outputs, taps = self._network(inputs.shape[2])(x, 1, names)
            return Output(
                outputs.cpu().numpy(), {name: value.cpu().numpy() for name, value in taps.items()}
            )

    def stream(self, windows: Windows, parts: Sequence[Part]) -> Iterator[tuple[Part, Output]]:
        """Run the network on parts of many windows, in their order."""
        if self._kind != "cuda":
            yield from stream_of(self.run, windows, parts, self.architecture)
            return
        import torch

        waiting: list[tuple[Part, torch.Tensor, dict[str, torch.Tensor], torch.cuda.Event]] = []
        with failing_as(self.device):
            positions = _copied(windows.positions)
            lengths = windows.lengths
        names = self._taps if windows.tapped else ()
        for part in parts:
            with failing_as(self.device), torch.inference_mode(), self._rounding():
                index = part.windows
                if len(index) < part.size:
                    rest = np.repeat(index[-1:], part.size - len(index))
                    index = np.concatenate([index, rest])
                place = np.stack([windows.starts[index], lengths[index]])
                on_device = torch.from_numpy(place).pin_memory().to("cuda", non_blocking=True)
                x = inputs_on_device(
                    positions, on_device[0], on_device[1], part.padded, self.architecture
                )
                network = self._network(part.padded)
                shortest = int(lengths[part.windows].min())
                outputs, taps = network(x.to(self._dtype), shortest, names)
                n = len(part.windows)
                back = {k: v[:n].to("cpu", non_blocking=True) for k, v in taps.items()}
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                first = outputs[:n].to("cpu", non_blocking=True)
                event.record()
                waiting.append((part, first, back, event))
                if len(waiting) < _IN_FLIGHT:
                    continue
            yield self._finished(*waiting.pop(0))
        while waiting:
            yield self._finished(*waiting.pop(0))

    def _finished(
        self,
        part: Part,
        outputs: torch.Tensor,
        taps: dict[str, torch.Tensor],
        event: torch.cuda.Event,
    ) -> tuple[Part, Output]:
        with failing_as(self.device):
            event.synchronize()
        return part, Output(outputs.numpy(), {name: v.numpy() for name, v in taps.items()})

    def _network(self, padded: int) -> FoldedNetwork:
        if padded not in self._networks:
            from spt_explain.resandi.folded import FoldedNetwork

            self._networks[padded] = FoldedNetwork.on(
                self._kind, self.architecture, self._tensors, padded, self._dtype
            )
        return self._networks[padded]

    def _rounding(self) -> Rounding:
        return Rounding(tf32=self.precision == "tf32")


class Rounding:
    """How CUDA rounds factors of float32 products, for as long as the network runs.

    These are settings of the process, which other code of the same process may want otherwise.
    """

    def __init__(self, *, tf32: bool) -> None:
        self.tf32 = tf32

    def __enter__(self) -> None:
        import torch

        backends = torch.backends
        self._before = (
            backends.cuda.matmul.allow_tf32,
            backends.cudnn.allow_tf32,
            backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        )
        self._set(self.tf32, self.tf32, False)

    def __exit__(self, *_: object) -> None:
        self._set(*self._before)

    @staticmethod
    def _set(matmul: bool, convolution: bool, reduced: bool) -> None:
        import torch

        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = convolution
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = reduced


def _copied(positions: NDArray[np.float64]) -> torch.Tensor:
    """Return positions on the GPU, by way of pinned memory, which is copied at full speed."""
    import torch

    # torch wants memory that may be written to; what pandas gives may not be
    return (
        torch.from_numpy(np.require(positions, None, ["C", "W"]))
        .pin_memory()
        .to("cuda", non_blocking=True)
    )


def inputs_on_device(
    positions: torch.Tensor,
    start: torch.Tensor,
    length: torch.Tensor,
    padded: int,
    architecture: Architecture,
) -> torch.Tensor:
    """Return what `resandi.inputs.build_inputs` does, made where the positions are.

    Parameters
    ----------
    positions : torch.Tensor, shape (n_points, 2), float64
        x and y of many trajectories, one after the other, in any unit.
    start, length : torch.Tensor, shape (n,), int64
        First row, and points, of each window.
    padded : int
        Frames of the input.
    architecture : Architecture
        Which series, which padding.

    Returns
    -------
    torch.Tensor, shape (n, channels, padded), float32
    """
    import torch

    at = torch.arange(padded, device=positions.device) - (padded - length)[:, None]
    inside = (at >= 0)[..., None]
    path = positions[start[:, None] + at.clamp(min=0)] - positions[start][:, None]
    path *= inside
    # the result does not depend on the scale; squares of 1e-200 or 1e+200 would be lost
    reach = path.abs().amax((1, 2), keepdim=True)
    path /= torch.where(reach > 0, reach, 1.0)
    low, high = path.amin(1, keepdim=True), path.amax(1, keepdim=True)
    span = high - low
    scaled = (path - low) / torch.where(span > 0, span, 1.0)
    masked = architecture.padding == "masked"
    series = [scaled * inside if masked else scaled]
    if SERIES[architecture.inputs] > 2:
        steps = torch.nn.functional.pad(path.diff(dim=1), (0, 0, 1, 0))
        count = (length - 1).clamp(min=1)[:, None, None]
        rms = (steps.square().sum(1, keepdim=True) / count).sqrt()
        series.append(steps / torch.where(rms > 0, rms, 1.0))
    if masked:
        series.append(inside.to(path.dtype))
    return torch.cat(series, dim=2).transpose(1, 2).float()
