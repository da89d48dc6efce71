"""Accuracy of shipped weights on the paper's test protocol, by noise and length.

    python benchmarks/accuracy.py                       # 80,000 fresh trajectories, default weights
    python benchmarks/accuracy.py --per-class 500       # minutes on a CPU

Needs andi-datasets 2.1.13 and stochastic 0.6.0 (pip install --no-deps) unless --data is given.
Runs the same inputs and backend as `spt-explain classify`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from spt_explain.resandi.classifier import Classifier

BANDS = ((10, 19), (20, 49), (50, 99), (100, 199), (200, 399), (400, 699), (700, 1000))


def calibration_error(p: np.ndarray, label: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the best class's probability, equal-width bins."""
    top = p.max(1)
    hit = p.argmax(1) == label
    index = np.minimum((top * bins).astype(int), bins - 1)
    counts = np.bincount(index, minlength=bins)
    gap = np.abs(np.bincount(index, top, bins) - np.bincount(index, hit, bins))
    return float(gap.sum() / counts.sum())


def subset(data: dict[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Return a random subset of trajectories, the same for the same data and size."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(data["label"]))[:size])
    offsets = data["offsets"]
    parts = [data["positions"][offsets[i] : offsets[i + 1]] for i in chosen]
    return {
        "positions": np.concatenate(parts),
        "offsets": np.concatenate([[0], np.cumsum([len(p) for p in parts])]),
        "label": data["label"][chosen],
        "seed": data["seed"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="trajectories from benchmarks/official.py")
    parser.add_argument("--per-class", type=int, default=10_000)
    parser.add_argument("--limit", type=int, help="a random subset of --data, of this size")
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--weights")
    parser.add_argument("--backend", default="onnx")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--noise", type=float, nargs="*", default=[i / 10 for i in range(11)])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.data:
        data = dict(np.load(options.data))
    else:
        from official import generate

        data = generate(options.per_class, options.seed)
    if options.limit:
        data = subset(data, options.limit)
    positions, offsets, label = data["positions"], data["offsets"], data["label"]
    lengths = np.diff(offsets)
    classifier = Classifier(options.weights, backend=options.backend, device=options.device)
    print(classifier.weights.describe(), "|", classifier.backend.device.description)
    rng = np.random.default_rng(int(data["seed"]) + 1)
    result = {
        "protocol": "andi_datasets 2.1.13, 8 classes, length 10-1000, unit displacements per axis",
        "trajectories": {},
        "seed": int(data["seed"]),
        "device": classifier.backend.device.description,
        "by_noise": {},
        "calibration_error_by_noise": {},
    }
    for sigma in options.noise:
        noise = rng.normal(0, sigma, positions.shape) if sigma else 0.0
        started = time.perf_counter()
        p = classifier.predict(positions + noise, offsets).probabilities
        seconds = time.perf_counter() - started
        hit = p.argmax(1) == label
        result["trajectories"][f"{sigma:.1f}"] = len(label)
        result["by_noise"][f"{sigma:.1f}"] = round(float(hit.mean()), 4)
        result["calibration_error_by_noise"][f"{sigma:.1f}"] = round(calibration_error(p, label), 4)
        print(
            f"1/SNR {sigma:.1f}: {hit.mean():.4f}  calibration error "
            f"{calibration_error(p, label):.4f}  ({len(label) / seconds:,.0f}/s)",
            flush=True,
        )
        if sigma == 0:
            result["by_length"] = {
                f"{low}-{high}": round(float(hit[(lengths >= low) & (lengths <= high)].mean()), 4)
                for low, high in BANDS
            }
            confusion = np.zeros((8, 8))
            np.add.at(confusion, (label, p.argmax(1)), 1)
            confusion /= confusion.sum(1, keepdims=True)
            result["confusion"] = confusion.round(3).tolist()
            print(json.dumps(result["by_length"]))
        if options.output:  # after each level: a run that is cut short keeps what it has
            options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
