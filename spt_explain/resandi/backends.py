"""Running the network: ONNX Runtime (CUDA, else CPU) or torch (cuda, mps, cpu)."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from spt_explain.errors import SptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from spt_explain.resandi.weights import Weights

BACKENDS = ("onnx", "torch")
DEVICES = ("auto", "cuda", "mps", "cpu")
CPU_BATCH = 64
GPU_BATCH = 1024
NO_GPU = "there is no NVIDIA GPU with a driver"


@dataclass(frozen=True)
class Device:
    """Where the network runs.

    Attributes
    ----------
    kind : str
        ``"cuda"``, ``"mps"`` or ``"cpu"``.
    description : str
        For people: device, its name, the library and its version, and why not the GPU where there
        is one that can't be used.
    reason : str
        Why a better device is not used; empty if it is.
    """

    kind: str
    description: str
    reason: str = ""


class Backend(Protocol):
    """What runs the network."""

    device: Device
    batch_size: int

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's (n, outputs) of (n, channels, padded length) inputs."""
        ...

    def tapped(
        self, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the outputs, and by name what was asked for beside them (`graph.TAPS`)."""
        ...


def load_backend(
    weights: Weights,
    *,
    backend: str = "onnx",
    device: str = "auto",
    jobs: int | None = None,
    taps: Sequence[str] = (),
) -> Backend:
    """Load `weights` into a backend.

    Parameters
    ----------
    weights : Weights
        Verified as they are read.
    backend : {"onnx", "torch"}
        ONNX Runtime, or torch.
    device : {"auto", "cuda", "mps", "cpu"}
        "auto" takes the best that works; a device named is used or refused.
    jobs : int, optional
        CPU threads; all cores by default.
    taps : sequence of str
        What `Backend.tapped` gives, of `graph.TAPS`.

    Raises
    ------
    SptError
        If the device asked for can't be used, with the reason.
    """
    if backend not in BACKENDS:
        raise SptError(f"no backend is called {backend!r}; there are: {', '.join(BACKENDS)}.")
    if device not in DEVICES:
        raise SptError(f"no device is called {device!r}; there are: {', '.join(DEVICES)}.")
    if backend == "torch":
        return TorchBackend(weights, device, jobs, taps)
    return OnnxBackend(weights, device, jobs, taps)


class OnnxBackend:
    """ONNX Runtime.

    Parameters
    ----------
    weights : Weights
        What to run.
    device : str
        "auto", "cuda" or "cpu".
    jobs : int or None
        CPU threads.
    taps : sequence of str
        What `tapped` gives.
    """

    def __init__(
        self, weights: Weights, device: str, jobs: int | None, taps: Sequence[str] = ()
    ) -> None:
        import onnxruntime as ort

        from spt_explain.resandi.graph import build_model

        if device == "mps":
            raise SptError(
                "ONNX Runtime does not run on Apple's GPU (mps): give --backend torch as well."
            )
        ort.set_default_logger_severity(4)
        # for a runtime imported before spt_explain, or older than ORT_DISABLE_TELEMETRY
        ort.disable_telemetry_events()
        usable, why_not = (False, "") if device == "cpu" else probe_onnx_cuda()
        if device == "cuda" and not usable:
            raise SptError(
                f"--device cuda: ONNX Runtime can't use a GPU here: {why_not or NO_GPU}. "
                "Leave --device out to run on the CPU; spt-explain doctor says more."
            )
        model = build_model(weights.architecture, weights.load(), taps=taps)
        self._taps = tuple(taps)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        if jobs:
            options.intra_op_num_threads = jobs
        providers: list[Any] = ["CPUExecutionProvider"]
        if usable:
            # TF32 moves probabilities by up to 8e-4, too near the 1e-3 to which backends agree
            providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": "0"}))
        try:
            self._session = ort.InferenceSession(model, options, providers=providers)
        except Exception as error:  # ONNX Runtime has no error type of its own for this
            if not usable:
                raise
            why_not = f"the session could not start: {_first_line(error)}"
            if device == "cuda":
                raise SptError(f"--device cuda: {why_not}.", exit_code=1) from error
            self._session = ort.InferenceSession(model, options, providers=providers[1:])
        on_gpu = self._session.get_providers()[0].startswith("CUDA")
        if usable and not on_gpu and not why_not:
            why_not = "ONNX Runtime did not load its CUDA libraries"
        runtime = f"ONNX Runtime {ort.__version__}"
        if on_gpu:
            name = (nvidia_gpus() or ["NVIDIA GPU"])[0]
            self.device = Device("cuda", f"cuda:0 {name} ({runtime})")
        else:
            self.device = _cpu(runtime, jobs, "" if device == "cpu" else why_not)
        self.batch_size = GPU_BATCH if on_gpu else CPU_BATCH

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's (n, outputs) of (n, channels, padded length) inputs."""
        with _explained(self.device):
            out: NDArray[np.float32] = self._session.run(["outputs"], {"trajectories": inputs})[0]
        return out

    def tapped(
        self, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the outputs, and by name what was asked for beside them (`graph.TAPS`)."""
        names = ["outputs", *self._taps]
        with _explained(self.device):
            out, *taps = self._session.run(names, {"trajectories": inputs})
        return out, dict(zip(self._taps, taps, strict=True))


class TorchBackend:
    """torch, on cuda, mps or the CPU.

    Parameters
    ----------
    weights : Weights
        What to run.
    device : str
        "auto", "cuda", "mps" or "cpu".
    jobs : int or None
        CPU threads.
    taps : sequence of str
        What `tapped` gives.
    """

    def __init__(
        self, weights: Weights, device: str, jobs: int | None, taps: Sequence[str] = ()
    ) -> None:
        import torch

        from spt_explain.resandi.network import ResAnDi

        reasons = {"cuda": why_not_torch_cuda(), "mps": why_not_torch_mps()}
        kind, why_not = device, ""
        if device == "auto":
            kind = next((k for k, reason in reasons.items() if not reason), "cpu")
            if kind == "cpu" and nvidia_gpus():
                why_not = reasons["cuda"]
        elif reasons.get(device):
            raise SptError(
                f"--device {device}: torch can't use it here: {reasons[device]}. "
                "Leave --device out to run on the CPU; spt-explain doctor says more."
            )
        if jobs:
            torch.set_num_threads(jobs)
        network = ResAnDi(weights.architecture)
        tensors = {k: torch.from_numpy(v) for k, v in weights.load().items()}
        network.load_state_dict(tensors)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self._torch = torch
        self._kind = kind
        self._taps = tuple(taps)
        self._network = network.eval().to(kind)
        if kind == "cuda":  # the layout that cuDNN's fast kernels want
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        runtime = f"torch {torch.__version__}"
        if kind == "cuda":
            self.device = Device(kind, f"cuda:0 {torch.cuda.get_device_name(0)} ({runtime})")
        elif kind == "mps":
            self.device = Device(kind, f"mps Apple GPU ({runtime})")
        else:
            self.device = _cpu(runtime, jobs, why_not)
        self.batch_size = CPU_BATCH if kind == "cpu" else GPU_BATCH

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the network's (n, outputs) of (n, channels, padded length) inputs."""
        torch = self._torch
        with _explained(self.device), torch.inference_mode():
            tensor = torch.from_numpy(inputs).to(self._kind)
            out: NDArray[np.float32] = self._network(tensor).float().cpu().numpy()
        return out

    def tapped(
        self, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the outputs, and by name what was asked for beside them (`graph.TAPS`)."""
        from spt_explain.resandi.graph import BLOCKS, NODES

        torch, network = self._torch, self._network
        with _explained(self.device), torch.inference_mode():
            tensor = torch.from_numpy(inputs).to(self._kind)
            stages = network.stage_features([tensor])
            maps, inside = stages[-1]
            out = network.outputs_of(maps, inside).float().cpu().numpy()
            found = dict(zip(BLOCKS, (stage[0][0] for stage in stages), strict=True))
            if NODES in self._taps:
                weight = network.fc.weight[: network.architecture.n_logits]
                count = maps[0].size(2) if inside[0] is None else inside[0].sum(2, keepdim=True)
                found[NODES] = torch.einsum("nkt,ck->nct", maps[0], weight) / count
            taps = {name: found[name].float().cpu().numpy() for name in self._taps}
        return out, taps


@contextlib.contextmanager
def _explained(device: Device) -> Iterator[None]:
    """Turn what a library raises while the network runs into one line with a remedy."""
    try:
        yield
    except Exception as error:
        elsewhere = "" if device.kind == "cpu" else ", or --device cpu"
        raise SptError(
            f"the network failed on {device.description}: {_first_line(error)}\n"
            f"If memory ran out, give a smaller --batch-size (e.g. 16){elsewhere}.",
            exit_code=1,
        ) from error


def probe_onnx_cuda() -> tuple[bool, str]:
    """Return whether ONNX Runtime can use an NVIDIA GPU, and why not.

    The reason is empty where there is no NVIDIA GPU at all: then there is nothing to explain.
    """
    import onnxruntime as ort

    gpus = nvidia_gpus()
    if not gpus:
        return False, ""
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return False, (
            f"there is a {gpus[0]}, but this ONNX Runtime is built without CUDA "
            "(pip install onnxruntime-gpu)"
        )
    _preload_cuda(ort)
    missing = _missing_cuda_library()
    if missing and _import_cuda_torch():
        missing = _missing_cuda_library()
    if missing:
        return False, (
            f"there is a {gpus[0]}, but a CUDA library is missing ({missing}); a CUDA build of "
            "torch brings them, or pip install onnxruntime-gpu[cuda,cudnn]"
        )
    return True, ""


def _preload_cuda(ort: Any) -> None:
    """Let ONNX Runtime find the CUDA libraries that torch's packages bring.

    `preload_dlls` prints its failures on standard output, which is for data.
    """
    import io

    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _import_cuda_torch() -> bool:
    """Import torch, whose CUDA build loads the CUDA libraries wherever they are installed."""
    try:
        import torch
    except (ImportError, OSError):
        return False
    return torch.version.cuda is not None


def _missing_cuda_library() -> str:
    """Return the first CUDA library, of those ONNX Runtime needs, that does not load (Linux)."""
    import ctypes

    try:
        from onnxruntime.capi.build_and_package_info import cuda_version
    except ImportError:
        return ""
    major = str(cuda_version or "").split(".")[0]
    if not sys.platform.startswith("linux") or not major.isdigit():
        return ""
    cufft = {"11": "10", "12": "11"}.get(major, "12")
    for name in (
        f"libcudart.so.{major}",
        f"libcublasLt.so.{major}",
        f"libcublas.so.{major}",
        f"libcufft.so.{cufft}",
        "libcurand.so.10",
        "libcudnn.so.9",
    ):
        try:
            ctypes.CDLL(name)
        except OSError:
            return name
    return ""


@functools.cache
def nvidia_gpus() -> Sequence[str]:
    """Return the names of the NVIDIA GPUs the driver shows, without loading CUDA; asked once."""
    import shutil
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return _nvidia_gpus_of_the_kernel()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _nvidia_gpus_of_the_kernel() -> Sequence[str]:
    """Return the GPUs that the kernel's driver lists: containers often lack nvidia-smi."""
    from pathlib import Path

    names = []
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in file.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "Model":
                names.append(value.strip())
    return names


def why_not_torch_cuda() -> str:
    """Return why torch can't use an NVIDIA GPU; empty if it can."""
    import torch

    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return "this torch is built without CUDA"
    return "torch finds no NVIDIA GPU with a working driver"


def why_not_torch_mps() -> str:
    """Return why torch can't use Apple's GPU; empty if it can."""
    import torch

    if torch.backends.mps.is_available():
        return ""
    if not torch.backends.mps.is_built():
        return "this torch is built without MPS (Apple's GPU)"
    return "macOS shows no GPU that MPS can use"


def _cpu(runtime: str, jobs: int | None, why_not: str) -> Device:
    threads = jobs or os.cpu_count() or 1
    text = f"cpu, {threads} threads ({runtime})"
    if why_not:
        text += f"; not the GPU: {why_not}"
    return Device("cpu", text, why_not)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
