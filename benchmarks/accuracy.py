"""Every accuracy that the README and the cards state, of one set of weights.

    python benchmarks/accuracy.py --weights NAME -o accuracy.json    # 80,000 fresh trajectories
    python benchmarks/accuracy.py --per-class 500 --data /tmp/test   # minutes on a CPU

Trajectories come from the official `andi_datasets` package (benchmarks/official.py; pip install
--no-deps andi-datasets==2.1.13 stochastic==0.6.0, and scipy) and are kept in the folder --data for
the next run. Inputs, network and calibration are those of `spt-explain classify`; each test set is
one recording. What is measured:

- the paper's protocol at 1/SNR 0 … 1: accuracy, calibration error, error and coverage of α, by
  length;
- trajectories of 1000 points; 5 % of the frames missing and filled; motion blur over whole frames;
- tracks of 10–19, 20–49, 50–99 and 100–199 points, enough of them for their calibration error;
- padding: the same trajectories padded to the longest length only.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np

from spt_explain.resandi.classifier import Classifier
from spt_explain.training.evaluation import evaluate_predictions

LEVELS = [i / 10 for i in range(11)]
BAND_LEVELS = (0.0, 0.5, 1.0)
SETS = {
    # name: (share of --per-class, seed's offset, lengths, blur)
    "official": (1.0, 0, (10, 1000), False),
    "long": (0.2, 1, (1000, 1000), False),
    "blur": (0.2, 2, (10, 1000), True),
    "10-19": (0.5, 3, (10, 19), False),
    "20-49": (0.5, 4, (20, 49), False),
    "50-99": (0.5, 5, (50, 99), False),
    "100-199": (0.2, 6, (100, 199), False),
}
MISSING = 0.05


def load(name: str, folder: Path, per_class: int, seed: int) -> dict[str, np.ndarray]:
    """Return a test set from the folder, or make it."""
    share, offset, lengths, blur = SETS[name]
    path = folder / f"{name}.npz"
    n = max(1, round(share * per_class))
    if not path.exists():
        from official import generate

        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **generate(n, seed + offset, lengths=lengths, blur=blur))
    with np.load(path) as data:
        return {key: data[key] for key in data.files}


def miss_frames(data: dict[str, np.ndarray], share: float) -> np.ndarray:
    """Return positions of which a share was lost and filled by straight lines."""
    rng = np.random.default_rng(1)
    positions, offsets = data["positions"].copy(), data["offsets"]
    frame = np.arange(len(positions))
    kept = rng.random(len(positions)) >= share
    kept[offsets[:-1]] = kept[offsets[1:] - 1] = True
    for axis in (0, 1):
        positions[:, axis] = np.interp(frame, frame[kept], positions[kept, axis])
    return positions


def evaluate(classifier, data, noise, positions=None):
    """Return an `Evaluation` of one recording."""
    positions = data["positions"] if positions is None else positions
    rng = np.random.default_rng(int(data["seed"]) + round(10 * noise))
    if noise:
        positions = positions + rng.normal(0, noise, positions.shape)
    prediction = classifier.predict(positions, data["offsets"])
    lengths = np.diff(data["offsets"])
    return evaluate_predictions(prediction, data["label"], lengths, data["alpha"], noise)


def short(row: dict) -> dict:
    """Return the figures of an evaluation's row that a card keeps."""
    keep = (
        "accuracy",
        "macro_f1",
        "ece",
        "ece_debiased",
        "alpha_mae",
        "alpha_coverage",
        "n",
    )
    return {k: round(float(row[k]), 5) for k in keep if row.get(k) is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--data", type=Path, default=Path("/tmp/spt-explain-official"))
    parser.add_argument("--per-class", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--noise", type=float, nargs="*", default=LEVELS)
    parser.add_argument("--only", nargs="*", choices=["noise", "rest", "bands"])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    only = options.only or ["noise", "rest", "bands"]
    way = {k: getattr(options, k) for k in ("backend", "device", "precision")}
    classifier = Classifier(options.weights, **way)
    print(classifier.weights.describe(), "|", classifier.backend.device.description, flush=True)
    result = {
        "protocol": "andi_datasets 2.1.13, 8 classes, length 10-1000, unit displacements per axis",
        "seed": options.seed,
        "device": classifier.backend.device.description,
        "measured_with": "benchmarks/accuracy.py",
        "by_noise": {},
        "trajectories": {},
        "detail": {},
        "by_length_and_noise": {},
    }

    def say(what: str, evaluation, started: float) -> dict:
        row = short(evaluation.overall)
        print(f"{what:>12}", json.dumps(row), f"{time.perf_counter() - started:.1f} s", flush=True)
        if options.output:  # after each: a run that is cut short keeps what it has
            options.output.write_text(json.dumps(result, indent=1) + "\n")
        return row

    def get(name: str) -> dict[str, np.ndarray]:
        return load(name, options.data, options.per_class, options.seed)

    official = get("official")
    for noise in options.noise if "noise" in only else ():
        started = time.perf_counter()
        evaluation = evaluate(classifier, official, noise)
        key = f"{noise:.1f}"
        result["by_noise"][key] = round(float(evaluation.overall["accuracy"]), 4)
        result["trajectories"][key] = len(official["label"])
        result["detail"][key] = short(evaluation.overall)
        result["by_length_and_noise"][key] = {
            f"{row['min_points']}-{row['max_points']}": short(row) for row in evaluation.by_length
        }
        if noise == 0:
            counts = np.asarray(evaluation.confusion, float)
            shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            result["confusion"] = shares.round(3).tolist()
            result["by_length"] = {
                band: row["accuracy"] for band, row in result["by_length_and_noise"][key].items()
            }
            print(json.dumps(result["by_length"]))
        say(f"1/SNR {key}", evaluation, started)
    if "rest" in only:
        started = time.perf_counter()
        gaps = evaluate(classifier, official, 0.0, miss_frames(official, MISSING))
        result["gaps_5_percent"] = say("gaps 5 %", gaps, started)
        for name, key in (("long", "length_1000"), ("blur", "blur_full_frame")):
            started = time.perf_counter()
            result[key] = say(key, evaluate(classifier, get(name), 0.0), started)
        shape = classifier.weights.architecture
        if len(shape.lengths) > 1:
            started = time.perf_counter()
            longest = dataclasses.replace(shape, lengths=shape.lengths[-1:])
            card = classifier.weights.card | {"architecture": longest.to_dict()}
            always = Classifier(dataclasses.replace(classifier.weights, card=card), **way)
            result["padded_to_longest"] = say(
                "longest pad", evaluate(always, official, 0.0), started
            )
    for name in list(SETS)[3:] if "bands" in only else ():
        for noise in BAND_LEVELS:
            started = time.perf_counter()
            key = f"{name} at {noise:.1f}"
            result.setdefault("bands", {})[key] = say(
                key, evaluate(classifier, get(name), noise), started
            )
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
