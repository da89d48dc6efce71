"""The network by ONNX Runtime, on CUDA or the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spt_explain.errors import SptError, option
from spt_explain.resandi.backends import devices
from spt_explain.resandi.backends.devices import Device, cpu_device, first_line
from spt_explain.resandi.backends.runner import AHEAD, Output, failing_as, stream_of
from spt_explain.resandi.graph import build_model
from spt_explain.threads import core_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spt_explain.resandi.backends.runner import Part, Precision, Windows
    from spt_explain.resandi.weights import Weights

CPU_BATCH = 64
GPU_BATCH = 1024
FOURIER_POINTS = 100_000
"""Points, padding counted, from which a Fourier model of their length is worth its loading: on two
cores it loads in 0.2 (64 frames) to 1.4 s (1024) and saves 6 to 9 s in a million points."""


class OnnxRunner:
    """The network by ONNX Runtime; see `runner.Runner`.

    Parameters
    ----------
    weights : Weights
        What to run.
    kind : {"cuda", "cpu"}
        Where.
    precision : {"float32", "float16"}
        Of the multiplications; float16 on CUDA only.
    jobs : int, optional
        CPU threads; all cores by default.
    taps : sequence of str
        What is given beside the outputs, of `graph.TAPS`.
    batch_size : int, optional
        Windows of full length at a time.
    why_not : str
        Why no GPU is used, for the device's description.

    Raises
    ------
    SptError
        If ONNX Runtime does not start on the device.
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
        import onnxruntime as ort

        ort.set_default_logger_severity(4)
        ort.disable_telemetry_events()  # in case it was imported before this package
        self.architecture = weights.architecture
        self.precision: Precision = precision
        self._kind = kind
        self._run_lengths = frozenset(weights.architecture.run_lengths)
        self._tensors = weights.load()
        self._taps = tuple(taps)
        self._jobs = jobs
        self._sessions: dict[int | None, Any] = {}
        self.fixed = kind == "cuda"
        self.batch_size = batch_size or (GPU_BATCH if self.fixed else CPU_BATCH)
        runtime = f"ONNX Runtime {ort.__version__}"
        self.versions = runtime
        if kind == "cuda":
            name = (devices.nvidia_gpus() or ["NVIDIA GPU"])[0]
            self.device = Device("cuda", f"cuda:0 {name} ({runtime})")
            self.versions = f"{runtime}, driver {devices.nvidia_driver()}"
            self._session(None)  # whether CUDA really works is known only then
        else:
            self.versions = f"{runtime}, {devices.processor()}"
            self.device = cpu_device(runtime, jobs, why_not)

    def expect(self, points: dict[int, int]) -> None:
        """Load Fourier models for the lengths that have enough points to come."""
        if self._kind == "cuda" or not self._has_fourier:
            return
        total: dict[int, int] = {}
        for padded, number in points.items():
            longest = self._longest(padded)
            total[longest] = total.get(longest, 0) + number
        for longest, number in total.items():
            if number >= FOURIER_POINTS:
                with failing_as(self.device):
                    self._session(longest)

    def variant(self, padded: int) -> str:
        """Return whether convolutions go by Fourier transform at a padded length."""
        return "Fourier" if self._goes_by_fourier(padded) else "direct"

    def run(self, inputs: NDArray[np.float32], *, tapped: bool = True) -> Output:
        """Run the network on inputs, (n, channels, padded); `tapped` as for `Windows`."""
        longest = self._longest(inputs.shape[2])
        fourier = self._goes_by_fourier(inputs.shape[2]) and (
            self._masked(longest) or self._all_inside(inputs)
        )
        import onnxruntime as ort

        names = self._taps if tapped else ()
        options = ort.RunOptions()
        options.only_execute_path_to_fetches = not tapped
        with failing_as(self.device):
            session = self._session(longest if fourier else None)
            outputs, *taps = session.run(["outputs", *names], {"trajectories": inputs}, options)
        return Output(outputs, dict(zip(names, taps, strict=True)))

    def stream(self, windows: Windows, parts: Sequence[Part]) -> Iterator[tuple[Part, Output]]:
        """Run the network on parts of many windows, in their order."""
        # on the CPU the network itself takes the cores
        threads = (self._jobs or core_count()) if self._kind == "cuda" else AHEAD
        return stream_of(self.run, windows, parts, self.architecture, threads)

    @property
    def _has_fourier(self) -> bool:
        """Whether each length either is one of the architecture's or a multiple of the stride."""
        lengths = self.architecture.lengths
        return len(lengths) == 1 or all(length % 32 == 0 for length in lengths)

    def _goes_by_fourier(self, padded: int) -> bool:
        """Whether there is a Fourier model for a length; lengths of one's own may fit none."""
        return padded in self._run_lengths and self._longest(padded) in self._sessions

    def _longest(self, padded: int) -> int:
        """Return the longest length of the Fourier model that a padded length has."""
        lengths = self.architecture.lengths
        return lengths[int(np.searchsorted(lengths, padded))] if padded <= lengths[-1] else padded

    def _masked(self, longest: int) -> bool:
        """Whether windows that are padded to a length have padding beyond their margin."""
        lengths = self.architecture.lengths
        shorter = [length for length in lengths if length < longest]
        return longest - (max(shorter, default=0) + 1) > self.architecture.margin

    def _all_inside(self, inputs: NDArray[np.float32]) -> bool:
        if self.architecture.padding != "masked":
            return True
        return bool(inputs[:, -1, min(self.architecture.margin, inputs.shape[2] - 1)].all())

    def _session(self, longest: int | None) -> Any:
        """Return the session of direct convolutions (None), or by Fourier transform."""
        if longest not in self._sessions:
            self._sessions[longest] = self._start(longest)
        return self._sessions[longest]

    def _start(self, longest: int | None) -> Any:
        import onnxruntime as ort

        model = build_model(
            self.architecture,
            self._tensors,
            half=self.precision == "float16",
            taps=self._taps,
            longest=longest,
            masked=longest is None or self._masked(longest),
        )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # By itself ONNX Runtime takes all cores of the machine, also those that a scheduler or
        # taskset keeps from this process, and pins its threads to them.
        options.intra_op_num_threads = self._jobs or core_count()
        if self._kind == "cpu":
            return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        settings = {
            # cuDNN's own choice of kernels takes no time; trying all of them takes seconds for each
            # shape, and chose ones that were thirty times slower (cuDNN 9.19 on an H200)
            "cudnn_conv_algo_search": "HEURISTIC",
            "prefer_nhwc": str(int(self.precision == "float16")),  # what its kernels want
            "use_tf32": "0",  # asked for by name, or not used
        }
        try:
            session = ort.InferenceSession(
                model,
                options,
                providers=[("CUDAExecutionProvider", settings), "CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime has no error type of its own for this
            raise SptError(
                f"{option('device', 'cuda')}: the session could not start: {first_line(error)}.",
                exit_code=1,
                code="unavailable",
                option="device",
            ) from error
        if not session.get_providers()[0].startswith("CUDA"):
            raise SptError(
                f"{option('device', 'cuda')}: ONNX Runtime did not load its CUDA libraries.",
                exit_code=1,
                code="unavailable",
                option="device",
            )
        return session
