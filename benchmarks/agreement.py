"""Verdicts by every way of running the network on the paper's protocol, against float32.

    python benchmarks/agreement.py                               # on a GPU
    python benchmarks/agreement.py --cpu 0.5 -o agreement.json   # and the CPU, at one noise level

80,000 official trajectories (benchmarks/official.py) at each noise level, judged as
`spt-explain classify` does, each level as one recording. Against float32 on the same GPU, or with
--cpu against ONNX Runtime on the CPU: share of the same class, largest difference of a probability
and the one that 99.9 % of the trajectories stay below, and the differences of accuracy, of the
calibration error and of the error of α.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from accuracy import evaluate, load

from spt_explain.resandi.classifier import Classifier

WAYS = (("torch", "cuda", "float16"), ("torch", "cuda", "tf32"))


def judged(classifier: Classifier, data: dict[str, np.ndarray], noise: float):
    """Return probabilities, and accuracy, calibration error and error of α."""
    kept = {}
    plain = classifier.predict

    def keeping(*arguments, **keywords):
        kept["prediction"] = plain(*arguments, **keywords)
        return kept["prediction"]

    classifier.predict = keeping
    try:
        row = evaluate(classifier, data, noise).overall
    finally:
        classifier.predict = plain
    return kept["prediction"].probabilities, row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--data", type=Path, default=Path("/tmp/spt-explain-official"))
    parser.add_argument("--per-class", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.5, 1.0])
    parser.add_argument("--cpu", type=float, nargs="*", default=[], help="levels also on the CPU")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    data = load("official", options.data, options.per_class, options.seed)
    print(f"{len(data['label']):,} trajectories, seed {options.seed}")
    reference = Classifier(options.weights, backend="torch", device="cuda", precision="float32")
    others = [
        Classifier(options.weights, backend=backend, device=device, precision=precision)
        for backend, device, precision in WAYS
    ]
    rows = []
    for noise in options.noise:
        base, overall = judged(reference, data, noise)
        more = others
        if noise in options.cpu:
            more = [*others, Classifier(options.weights, backend="onnx", device="cpu")]
        for classifier in more:
            started = time.perf_counter()
            p, row = judged(classifier, data, noise)
            off = np.abs(p - base).max(axis=1)
            rows.append(
                {
                    "noise": noise,
                    "device": classifier.backend.device.description,
                    "same_class": float((p.argmax(1) == base.argmax(1)).mean()),
                    "largest": float(off.max()),
                    "below_999": float(np.quantile(off, 0.999)),
                    "accuracy": float(row["accuracy"]),
                    "accuracy_difference": float(row["accuracy"] - overall["accuracy"]),
                    "ece_difference": float(row["ece"] - overall["ece"]),
                    "alpha_difference": float(row["alpha_mae"] - overall["alpha_mae"]),
                    "notes": classifier.backend.notes + reference.backend.notes,
                }
            )
            print(json.dumps(rows[-1]), f"{time.perf_counter() - started:.1f} s", flush=True)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
