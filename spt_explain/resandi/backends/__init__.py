"""Running the network: by torch or ONNX Runtime, on CUDA or the CPU, compared with a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from spt_explain.errors import SptError, option
from spt_explain.resandi.backends import devices
from spt_explain.resandi.backends.devices import NO_GPU, Device, first_line
from spt_explain.resandi.backends.runner import PRECISIONS, Output, Precision, Runner
from spt_explain.resandi.backends.trusted import Candidate, TrustedBackend
from spt_explain.threads import core_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spt_explain.resandi.weights import Weights

__all__ = [
    "BACKENDS",
    "DEVICES",
    "PRECISIONS",
    "Device",
    "Output",
    "Precision",
    "TrustedBackend",
    "load_backend",
]

BACKENDS = ("auto", "onnx", "torch")
DEVICES = ("auto", "cuda", "mps", "cpu")
POINTS_A_CORE = 50_000
"""Points for each CPU core from which a GPU is worth its start. That takes 3 to 6 s; two cores (AMD
Zen 3) judge 100,000 points a second in tracks of 40, sixteen (Intel Sapphire Rapids) 400,000."""
TORCH_POINTS = 30_000_000
"""Points from which torch is worth its start on a GPU on which ONNX Runtime runs as well. On an
H200 torch takes 4 s to start and ONNX Runtime 1 s; then torch is up to ten times faster."""
SMALLER = (1, 4, 16)
"""Where float32 is wrong at a batch size, the batch is divided by these."""


def load_backend(
    weights: Weights,
    *,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    jobs: int | None = None,
    taps: Sequence[str] = (),
    batch_size: int | None = None,
    points: int | None = None,
) -> TrustedBackend:
    """Load `weights` into the fastest backend that works and agrees with the reference.

    Parameters
    ----------
    weights : Weights
        Verified as they are read.
    backend : {"auto", "onnx", "torch"}
        ONNX Runtime, or torch. "auto" takes ONNX Runtime on the CPU, where it is faster, and torch
        on a GPU, where torch is; but ONNX Runtime, if it can use the GPU, for fewer points than
        `TORCH_POINTS`: it starts sooner.
    device : {"auto", "cuda", "mps", "cpu"}
        "auto" takes the best that works; a device named is used or refused.
    precision : {"auto", "float16", "tf32", "float32"}
        Of the multiplications on CUDA; sums are in float32. "auto" is float16. On other devices
        all is in float32.
    jobs : int, optional
        CPU threads; all cores by default.
    taps : sequence of str
        What is given beside the outputs, of `graph.TAPS`.
    batch_size : int, optional
        Windows of full length at a time.
    points : int, optional
        Points of all tracks to be judged, where that is known. With fewer than `POINTS_A_CORE` for
        each core, "auto" is the CPU: it is done before a GPU has started.

    Raises
    ------
    SptError
        If the device asked for can't be used, with the reason.
    """
    for what, value, known in (
        ("backend", backend, BACKENDS),
        ("device", device, DEVICES),
        ("precision", precision, ("auto", *get_args(Precision))),
    ):
        if value not in known:
            raise SptError(
                f"no {what} is called {value!r}; there are: {', '.join(known)}.", code="not-found"
            )
    if device == "mps" and backend != "torch":
        raise SptError(
            f"ONNX Runtime does not run on Apple's GPU (mps): give {option('backend', 'torch')} as "
            "well.",
            code="unavailable",
            option="backend",
        )
    choice = _Choice(weights, jobs, tuple(taps), batch_size, precision)
    small = points is not None and points < POINTS_A_CORE * (jobs or core_count())
    if small and (backend, device) == ("auto", "auto") and devices.nvidia_gpus():
        candidates = choice.cpu("auto", "a job of this size is done before a GPU has started")
    else:
        candidates = choice.candidates(backend, device, points)
    reasons: dict[str, str] = {}
    first: SptError | None = None
    started: Runner | None = None
    while started is None:
        try:
            started = candidates[0].start(candidates[0].batch_size)
        except SptError as error:
            # a GPU that only seems to work is no reason to stop, unless it was asked for
            reasons.setdefault(first_line(error), candidates.pop(0).name)
            asked_for = device != "auto" and (
                backend != "auto" or not candidates or candidates[0].kind != device
            )
            first = first or error
            if asked_for or not candidates:
                raise first from error
    loaded = TrustedBackend(weights, candidates, started)
    for why, name in reasons.items():
        loaded.notes.append(f"{name} does not start ({why}): {candidates[0].name} is used instead.")
    return loaded


class _Choice:
    """The ways of running the network on this machine, in the order they are tried."""

    def __init__(
        self,
        weights: Weights,
        jobs: int | None,
        taps: tuple[str, ...],
        batch_size: int | None,
        precision: str,
    ) -> None:
        self.weights, self.jobs, self.taps = weights, jobs, taps
        self.batch_size, self.precision = batch_size, precision

    def candidates(self, backend: str, device: str, points: int | None) -> list[Candidate]:
        """Return all ways for a choice of backend and device; the CPU comes last."""
        found: list[Candidate] = []
        reasons: list[str] = []
        few = points is not None and points < TORCH_POINTS and not self.taps
        if few and backend == "auto" and device in ("auto", "cuda"):
            sooner = self._onnx_gpu(device, [], instead=True)
            if sooner:  # torch is not imported to learn whether it could be used instead
                return sooner + self._torch_cuda() + self.cpu(backend, "")
        if backend in ("auto", "torch") and device != "cpu":
            found += self._torch_gpu(backend, device, reasons)
        if backend in ("auto", "onnx") and device in ("auto", "cuda"):
            found += self._onnx_gpu(device, reasons, instead=bool(found))
        if device == "cuda" and not found:
            raise SptError(
                f"{option('device', 'cuda')}: {'; '.join(dict.fromkeys(reasons)) or NO_GPU}. Leave "
                f"{option('device')} out to run on the CPU; spt-explain doctor says more.",
                code="unavailable",
                option="device",
            )
        why_not = "" if device == "cpu" or found else "; ".join(dict.fromkeys(reasons))
        return found + self.cpu(backend, why_not)

    def cpu(self, backend: str, why_not: str) -> list[Candidate]:
        """Return the ways on the CPU; `why_not` says why it is no GPU."""
        order = ("torch", "onnx") if backend == "torch" else ("onnx", "torch")
        return [self._candidate(name, "cpu", "float32", why_not=why_not) for name in order]

    def _torch_gpu(self, backend: str, device: str, reasons: list[str]) -> list[Candidate]:
        # torch takes seconds to import: only where the driver shows a GPU, or it was asked for
        if backend == "auto" and device == "auto" and not devices.nvidia_gpus():
            return []
        try:
            why_not = {"cuda": devices.why_not_torch_cuda(), "mps": devices.why_not_torch_mps()}
        except (ImportError, OSError) as error:
            why_not = dict.fromkeys(("cuda", "mps"), f"torch does not load ({error})")
        kinds = [device] if device != "auto" else ["cuda", "mps"]
        if backend == "auto":
            kinds = ["cuda"]
        usable = [kind for kind in kinds if not why_not[kind]]
        if not usable:
            if backend == "torch" and device != "auto":
                raise SptError(
                    f"{option('device', device)}: torch can't use it here: {why_not[device]}. "
                    f"Leave {option('device')} out to run on the CPU; spt-explain doctor says "
                    "more.",
                    code="unavailable",
                    option="device",
                )
            if devices.nvidia_gpus():
                reasons.append(why_not["cuda"])
            return []
        if usable[0] == "mps":
            return [self._candidate("torch", "mps", "float32")]
        return self._torch_cuda()

    def _torch_cuda(self) -> list[Candidate]:
        order = list(PRECISIONS)
        if self.precision != "auto":  # what was asked for first, then what is more exact
            order = order[order.index(self.precision) :]  # type: ignore[arg-type]
        found = []
        for precision in order:
            for part in SMALLER if precision == "float32" else (1,):
                found.append(self._candidate("torch", "cuda", precision, part=part))
        return found

    def _onnx_gpu(self, device: str, reasons: list[str], *, instead: bool) -> list[Candidate]:
        try:
            usable, why_not = devices.probe_onnx_cuda()
        except ImportError as error:
            usable, why_not = False, f"ONNX Runtime does not load ({error})"
        if not usable:
            if not instead and (why_not or device == "cuda"):
                reasons.append(f"ONNX Runtime can't use a GPU here: {why_not or NO_GPU}")
            return []
        exact = self.precision in ("tf32", "float32")
        order: tuple[Precision, ...] = ("float32",) if exact else ("float16", "float32")
        return [self._candidate("onnx", "cuda", precision) for precision in order]

    def _candidate(
        self, name: str, kind: str, precision: Precision, *, part: int = 1, why_not: str = ""
    ) -> Candidate:
        def start(batch_size: int | None) -> Runner:
            runner: Runner
            try:
                if name == "torch":
                    if kind == "cuda" and (why := devices.why_not_torch_cuda()):
                        raise SptError(
                            f"torch can't use it here: {why}.", exit_code=1, code="unavailable"
                        )
                    from spt_explain.resandi.backends.torch import TorchRunner

                    runner = TorchRunner(
                        self.weights, kind, precision=precision, jobs=self.jobs, taps=self.taps,
                        batch_size=batch_size, why_not=why_not,
                    )  # fmt: skip
                else:
                    from spt_explain.resandi.backends.onnx import OnnxRunner

                    runner = OnnxRunner(
                        self.weights, kind, precision=precision, jobs=self.jobs, taps=self.taps,
                        batch_size=batch_size, why_not=why_not,
                    )  # fmt: skip
            except (ImportError, OSError) as error:
                raise SptError(
                    f"{library} does not load ({error}).", exit_code=1, code="unavailable"
                ) from error
            if part > 1:
                runner.batch_size = max(1, runner.batch_size // part)
            return runner

        library = {"torch": "torch", "onnx": "ONNX Runtime"}[name]
        smaller = f", batches a {part}th as large" if part > 1 else ""
        label = f"{library} on {kind} in {precision}{smaller}"
        return Candidate(label, start, self.batch_size, kind)
