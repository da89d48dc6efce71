"""How often the erasure check passes maps that point somewhere and maps that point nowhere.

    python benchmarks/explanation_check.py                         # minutes on a GPU
    python benchmarks/explanation_check.py --weights resandi-small --tracks 40 --noise 0.3

Tracks of every class, length and noise are explained and checked twice with the same random draws:
by the full test, and by the one that stops when its answer is clear. So is a map that points
nowhere: the track's own, moved round it by a random number of frames. Printed by length and over
all: the share that passes each test, with 95 % intervals, and the mean number of draws.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from spt_explain.diffusion.population import simulate
from spt_explain.explain import erasure
from spt_explain.explain.methods import maps
from spt_explain.explain.reasons import AUTO
from spt_explain.explain.scores import to_frames
from spt_explain.resandi.classifier import Classifier

BANDS = ((10, 30), (30, 100), (100, 300), (300, 1000))


def simulated(tracks: int, length: tuple[int, int], noise: float, seed: int) -> tuple:
    """Return positions and offsets of tracks of all classes."""
    table = simulate("all", tracks=tracks, length=length, noise=noise, seed=seed).table
    first = np.flatnonzero(np.diff(table["particle"].to_numpy(), prepend=-1))
    return table[["x", "y"]].to_numpy(np.float64), np.append(first, len(table))


def nowhere(score: np.ndarray, offsets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the scores of each track moved round it by a random number of frames."""
    lengths = np.diff(offsets)
    by = np.repeat(rng.integers(1, lengths), lengths)
    first = np.repeat(offsets[:-1], lengths)
    return score[first + (np.arange(len(score)) - first + by) % np.repeat(lengths, lengths)]


def measured(classifier: Classifier, positions: np.ndarray, offsets: np.ndarray, seed: int) -> dict:
    """Return, by kind of map and test, which tracks pass, and their draws."""
    prediction = classifier.predict(positions, offsets)
    p = prediction.probabilities
    every = np.arange(len(p))
    target = p.argmax(1)
    others = p.copy()
    others[every, target] = -1
    ran = classifier.place(offsets)
    found = maps(
        classifier, positions, ran, prediction.recording, target, others.argmax(1),
        method=AUTO[0][1],
    )  # fmt: skip
    score = to_frames(found, ran, offsets).score
    away = nowhere(score, offsets, np.random.default_rng(seed))
    table = {"points": np.diff(offsets)}
    for kind, values in (("map", score), ("nowhere", away)):
        for stop_early in (False, True):
            check = erasure.check(
                classifier, positions, offsets, values, target, p[every, target],
                prediction.recording, seed=seed, stop_early=stop_early,
            )  # fmt: skip
            test = "early" if stop_early else "full"
            table[f"{kind} {test}"] = check.verdicts() == erasure.PASSED
            table[f"{kind} {test} draws"] = check.draws
    return table


def row(name: str, some: pd.DataFrame) -> str:
    """Return a line of the table."""
    cells = [f"{name:>9} {len(some):>7}"]
    for kind in ("map", "nowhere"):
        for test in ("full", "early"):
            share = some[f"{kind} {test}"].mean()
            half = 1.96 * np.sqrt(share * (1 - share) / len(some))
            cells.append(f"{100 * share:6.1f} ± {100 * half:3.1f} %")
        cells.append(f"{some[f'{kind} early draws'].mean():6.1f}")
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--backend", default="onnx")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tracks", type=int, default=640, help="of each length and noise")
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.3, 1.0])
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    classifier = Classifier(options.weights, backend=options.backend, device=options.device)
    print(classifier.weights.describe(), "|", classifier.backend.device.description)
    print(f"{'points':>9} {'tracks':>7}  map: full, early, draws   nowhere: full, early, draws")
    parts = []
    for band in BANDS:
        for noise in options.noise:
            seed = options.seed + len(parts)
            tracks = simulated(options.tracks, band, noise, seed)
            parts.append(pd.DataFrame(measured(classifier, *tracks, seed)))
        some = pd.concat(parts[-len(options.noise) :])
        print(row(f"{band[0]}-{band[1]}", some), flush=True)
    print(row("all", pd.concat(parts)))


if __name__ == "__main__":
    main()
