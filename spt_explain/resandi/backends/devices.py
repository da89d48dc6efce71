"""Which devices there are, and why one can't be used."""

from __future__ import annotations

import contextlib
import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spt_explain.threads import core_count

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def probe_onnx_cuda() -> tuple[bool, str]:
    """Return whether ONNX Runtime can use an NVIDIA GPU, and why not.

    The reason is empty where there is no NVIDIA GPU at all: then there is nothing to explain.
    """
    import onnxruntime as ort

    ort.disable_telemetry_events()  # in case it was imported before this package
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
    found = _nvidia_gpus_of_the_kernel()  # at once, where nvidia-smi may take a second
    if found:
        return found
    return [line.strip() for line in (_nvidia_smi("name") or "").splitlines() if line.strip()]


def _nvidia_smi(what: str) -> str | None:
    """Return what nvidia-smi says; empty if it fails, None if it is not there."""
    import shutil
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        done = subprocess.run(
            [tool, *(f"--{flag}" for flag in (f"query-gpu={what}", "format=csv,noheader"))],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _nvidia_gpus_of_the_kernel() -> Sequence[str]:
    """Return the GPUs that the driver lists under Linux; containers often lack nvidia-smi."""
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


def cpu_device(runtime: str, jobs: int | None, why_not: str) -> Device:
    """Return the CPU as a device; `why_not` says why it is no GPU."""
    threads = jobs or core_count()
    text = f"cpu, {threads} threads ({runtime})"
    if why_not:
        text += f"; not the GPU: {why_not}"
    return Device("cpu", text, why_not)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or what kind it is of."""
    return (str(error) or type(error).__name__).splitlines()[0]


@functools.cache
def nvidia_driver() -> str:
    """Return the version of the NVIDIA driver, or "unknown"."""
    from pathlib import Path

    try:
        text = Path("/proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return (_nvidia_smi("driver_version") or "unknown").split("\n")[0].strip()
    words = text.split()
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


@functools.cache
def processor() -> str:
    """Return the model of the CPU: machines that share a home folder may differ in it."""
    import platform
    from pathlib import Path

    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
