"""How fast the network is on this machine's devices, and whether it is right: ratios in one run.

    python benchmarks/speed.py                     # all that this machine has; minutes on two cores
    python benchmarks/speed.py --only network wrong --device cuda

- network: the network alone, by padded length, in full batches that are on the device already, as a
  share of the matrix rate measured in the same run (bfloat16 on a GPU, float32 on a CPU). The
  operations counted are those of direct convolutions (1.67 GFLOP for 1000 frames), whatever the
  algorithm; so the share may pass 100 %.
- published: tracks a second from positions to outputs, against eager torch in float32, padded to
  1000, 64 at a time, on the same device; lengths uniform in 10-1000, and as labs have them
  (geometric, mean 40).
- int8: on the CPU, ONNX Runtime's own static quantisation of the direct convolutions (int8 weights
  by channel, uint8 maps, first and last layer in float32) against float32, direct and by Fourier
  transform: why the latter is used on every CPU.
- wrong: 8,192 tracks of each padded length by each way of running the network, against ONNX Runtime
  on the CPU in float32: rows whose probabilities are off by more than is allowed, and classes that
  change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from spt_explain.resandi.architecture import Architecture
from spt_explain.resandi.backends import load_backend
from spt_explain.resandi.backends.reference import difference
from spt_explain.resandi.backends.runner import rows_at
from spt_explain.resandi.backends.trusted import TOLERANCE
from spt_explain.resandi.inputs import build_inputs
from spt_explain.resandi.network import ResAnDi
from spt_explain.resandi.weights import find_weights

FLOP_A_FRAME = 1.67e6
SECTIONS = ("network", "published", "int8", "wrong")


def clock(job, device: str, seconds: float = 1.0) -> float:
    """Return the median time of a job that is repeated for about so many seconds."""
    for _ in range(2):
        job()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        job()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def matrix_rate(device: str) -> float:
    """Return operations a second of a large matrix product."""
    n, dtype = (8192, torch.bfloat16) if device == "cuda" else (2048, torch.float32)
    a = torch.randn(n, n, device=device, dtype=dtype)
    return 2 * n**3 / clock(lambda: a @ a, device)


def walks(lengths: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy random walks of these lengths, and their offsets."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    steps = rng.normal(size=(offsets[-1], 2)) * (rng.random((offsets[-1], 1)) < 0.7)
    return steps.cumsum(0) + rng.normal(0, 0.3, steps.shape), offsets


def lengths_at(shape: Architecture, padded: int, n: int) -> np.ndarray:
    """Return lengths of tracks that are padded to a length."""
    fitting = np.arange(min(10, shape.window), shape.window + 1)
    fitting = fitting[shape.padded_length(fitting) == padded]
    return np.random.default_rng(padded).choice(fitting, n)


def network(weights, device: str, precision: str, seconds: float) -> None:
    rate = matrix_rate(device)
    print(f"\nnetwork alone, {device}: matrix product {rate / 1e12:.3g} TFLOP/s")
    shape = weights.architecture
    backend = load_backend(weights, device=device, precision=precision)
    runner = backend._runner
    print(f"  {runner.device.description}")
    print(f"  {'padded to':>9} {'batch':>7} {'tracks/s':>12} {'share of the rate':>18}")
    for padded in shape.run_lengths:
        n = rows_at(runner.batch_size, shape, padded)
        lengths = lengths_at(shape, padded, n)
        positions, offsets = walks(lengths)
        inputs = build_inputs(
            positions, offsets[:-1], offsets[1:],
            window=padded, kind=shape.inputs, padding=shape.padding,
        )  # fmt: skip
        runner.expect({padded: 10**9})
        if device == "cuda":
            x, model = torch.from_numpy(inputs).to(device, runner._dtype), runner._network(padded)
            least = int(lengths.min())

            def job(x=x, model=model, shortest=least):
                with torch.inference_mode(), runner._rounding():
                    model(x, shortest)
        else:

            def job(inputs=inputs):
                runner.run(inputs)

        speed = n / clock(job, device, seconds)
        share = 100 * speed * padded * FLOP_A_FRAME / rate
        print(f"  {padded:>9} {n:>7} {speed:>12,.0f} {share:>16.1f} %", flush=True)


def published(weights, device: str, precision: str, tracks: int) -> None:
    plain = ResAnDi(Architecture(inputs="positions")).eval().to(device)
    backend = load_backend(weights, device=device, precision=precision)
    print(f"\nagainst the published path (eager torch, float32, padded to 1000), {device}")
    print(f"  {'lengths':<22} {'published':>11} {'this':>11} {'ratio':>7}")
    rng = np.random.default_rng(3)
    for name, lengths in (
        ("uniform in 10-1000", rng.integers(10, 1001, tracks)),
        ("geometric, mean 40", np.clip(rng.geometric(1 / 31, tracks * 10) + 9, 10, 1000)),
    ):
        positions, offsets = walks(lengths)
        few = min(len(lengths), 256 if device == "cpu" else 4096)

        def plainly(few=few, positions=positions, offsets=offsets):
            with torch.inference_mode():
                for i in range(0, few, 64):
                    part = slice(i, min(i + 64, few))
                    x = build_inputs(
                        positions, offsets[:-1][part], offsets[1:][part],
                        window=1000, kind="positions",
                    )  # fmt: skip
                    plain(torch.from_numpy(x).to(device)).cpu()

        def ours(positions=positions, offsets=offsets):
            for _ in backend.stream(positions, offsets[:-1], offsets[1:]):
                pass

        ours()  # what is started once
        best = [np.inf, np.inf]
        for _ in range(3):  # in turn, so that a busy machine is busy for both
            for which, job in enumerate((plainly, ours)):
                started = time.perf_counter()
                job()
                best[which] = min(best[which], time.perf_counter() - started)
        old, new = few / best[0], len(lengths) / best[1]
        print(f"  {name:<22} {old:>9,.0f}/s {new:>9,.0f}/s {new / old:>6.1f}x", flush=True)


def int8(weights, n: int, seconds: float) -> None:
    import onnxruntime as ort
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    from spt_explain.resandi.graph import build_model

    class Some(CalibrationDataReader):
        """Gives a few batches of inputs."""

        def __init__(self, batches):
            self.batches = iter(batches)

        def get_next(self):
            """Return the next one."""
            batch = next(self.batches, None)
            return None if batch is None else {"trajectories": batch}

    shape, tensors = weights.architecture, weights.load()
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    folder = Path(tempfile.mkdtemp())
    print("\nint8 on the CPU against float32: speed, and largest difference of a probability")
    print(f"  {'padded':>6} {'direct':>10} {'Fourier':>16} {'int8':>16} {'off by':>8}")
    for padded in (64, 256, 1024):
        rows = rows_at(n, shape, padded)
        positions, offsets = walks(lengths_at(shape, padded, 3 * rows), padded)
        x = build_inputs(
            positions, offsets[:-1], offsets[1:],
            window=padded, kind=shape.inputs, padding=shape.padding,
        )  # fmt: skip
        masked = padded > 2 * shape.margin
        plain = build_model(shape, tensors, masked=masked)
        fourier = build_model(shape, tensors, masked=masked, longest=padded)
        path, quantised = folder / "plain.onnx", folder / f"{padded}.onnx"
        path.write_bytes(plain)
        import onnx

        model = onnx.load_from_string(plain)
        for i, node in enumerate(model.graph.node):
            node.name = f"{node.op_type}_{i}"
        onnx.save(model, path)
        convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
        quantize_static(
            path, quantised, Some([x[rows : 2 * rows], x[2 * rows :]]),
            quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "Add", "Relu", "Mul"],
            nodes_to_exclude=convolutions[:1],
        )  # fmt: skip
        sessions = [
            ort.InferenceSession(one, options, providers=["CPUExecutionProvider"])
            for one in (plain, fourier, str(quantised))
        ]
        speeds, found = [], []
        for session in sessions:
            job = partial(session.run, ["outputs"], {"trajectories": x[:rows]})
            found.append(job()[0])
            speeds.append(rows / clock(job, "cpu", seconds))
        off = difference(found[2], found[0], shape).max()
        ratios = [f"{s:>8,.0f}/s {s / speeds[0]:>4.1f}x" for s in speeds[1:]]
        print(f"  {padded:>6} {speeds[0]:>8,.0f}/s {'  '.join(ratios)} {off:>8.2f}", flush=True)


def wrong(weights, ways: list[tuple[str, str, str]], n: int) -> None:
    shape = weights.architecture
    exact = load_backend(weights, backend="onnx", device="cpu")
    print(f"\nagainst ONNX Runtime on the CPU in float32, {n:,} tracks of each padded length")
    print(f"  {'way':<28} {'padded':>6} {'batch':>6} {'wrong':>6} {'most':>8} {'classes':>8}")
    backends = {
        way: load_backend(weights, backend=way[0], device=way[1], precision=way[2]) for way in ways
    }
    for padded in shape.run_lengths:
        positions, offsets = walks(lengths_at(shape, padded, n), padded)
        expected = outputs_of(exact, positions, offsets)
        for (backend, device, _), loaded in backends.items():
            found = outputs_of(loaded, positions, offsets)
            off = difference(found, expected, shape)
            tolerance = TOLERANCE[loaded.precision]
            changed = (classes_of(found, shape) != classes_of(expected, shape)).mean()
            name = f"{backend} {device} {loaded.precision}"
            print(
                f"  {name:<28} {padded:>6} {rows_at(loaded.batch_size, shape, padded):>6} "
                f"{int((~(off <= tolerance)).sum()):>6} {off.max():>8.1e} {100 * changed:>6.2f} %",
                *loaded.notes,
                flush=True,
            )


def outputs_of(backend, positions: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    out = np.full((len(offsets) - 1, backend.architecture.outputs), np.nan, np.float32)
    for part, found in backend.stream(positions, offsets[:-1], offsets[1:]):
        out[part] = found.outputs
    return out


def classes_of(outputs: np.ndarray, shape: Architecture) -> np.ndarray:
    joint = outputs[:, : shape.n_logits].reshape(len(outputs), len(shape.classes), -1)
    return np.logaddexp.reduce(joint, axis=2).argmax(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="both by default")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each timing")
    parser.add_argument("--tracks", type=int, default=2000, help="of 'published'")
    parser.add_argument("--each", type=int, default=8192, help="tracks of 'wrong'")
    options = parser.parse_args()
    weights = find_weights(options.weights)
    devices = ["cuda"] if torch.cuda.is_available() else []
    devices = [options.device] if options.device else [*devices, "cpu"]
    print(weights.describe(), "| torch", torch.__version__, "|", torch.get_num_threads(), "threads")
    model = Path("/proc/cpuinfo")
    if model.is_file():
        names = [x for x in model.read_text().splitlines() if x.startswith("model name")]
        print(names[0].partition(":")[2].strip() if names else "")
    for device in devices:
        if "network" in options.only:
            network(weights, device, options.precision, options.seconds)
        if "published" in options.only:
            published(weights, device, options.precision, options.tracks)
    if "int8" in options.only and "cpu" in devices:
        int8(weights, 32, options.seconds)
    if "wrong" in options.only:
        ways = [("torch", "cpu", "float32")]
        if "cuda" in devices:
            ways = [("torch", "cuda", p) for p in ("float16", "tf32", "float32")]
            from spt_explain.resandi.backends.devices import probe_onnx_cuda

            if probe_onnx_cuda()[0]:
                ways += [("onnx", "cuda", p) for p in ("float16", "float32")]
        wrong(weights, ways, options.each)


if __name__ == "__main__":
    main()
