"""Fractions of classes in simulated mixtures: how far off, and how often the intervals hold them.

    python benchmarks/populations.py                    # default weights; minutes on two cores
    python benchmarks/populations.py --fit --install    # fit their confusions first, into the card
    python benchmarks/populations.py --pool FOLDER      # keep, and use again, what was classified

Tracks of 20-50 points (--points) of all classes are simulated and classified once for each noise
level; mixtures of 500 of them (--tracks) are then drawn without replacement, with true fractions
of four kinds: Dirichlet(1), two or three classes only, one class only, and all alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

from spt_explain.resandi.classifier import Classifier
from spt_explain.resandi.confusions import CARD_KEY, Confusions
from spt_explain.resandi.populations import estimate
from spt_explain.resandi.recording import class_probabilities, estimate_recording
from spt_explain.resandi.windows import average
from spt_explain.training.confusions import TRACKS, fit_confusions, simulate_recordings

if TYPE_CHECKING:
    from spt_explain.resandi.architecture import Architecture

KINDS = ("dirichlet", "sparse", "one class", "uniform")
METHODS = ("counts", "mean probability", "EM", "EM with noise", "joint EM")
"""Joint EM: of classes and of the conditions that the network tells."""
N = 8


def true_fractions(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Draw the fractions of one mixture."""
    if kind == "uniform":
        return np.full(N, 1 / N)
    members = {"dirichlet": N, "sparse": rng.integers(2, 4), "one class": 1}[kind]
    fraction = np.zeros(N)
    fraction[rng.choice(N, members, replace=False)] = rng.dirichlet(np.ones(members))
    return fraction


def make_pool(
    classifier: Classifier, noise: float, per_class: int, points: list[int], seed: int
) -> dict[str, np.ndarray]:
    """Simulate and classify `per_class` tracks of each class."""
    rng = np.random.default_rng([seed, round(1000 * noise)])
    label = np.repeat(np.arange(N), per_class)
    length = rng.integers(points[0], points[1] + 1, len(label))
    paths = simulate_recordings(
        label, length, np.full(len(label), noise), seed=int(rng.integers(2**62))
    )
    ran = classifier.run(paths, np.append(0, length.cumsum()))
    pool = {"p": classifier.judge(ran).probabilities, "label": label, "length": length}
    if (conditions := classifier.weights.architecture.n_conditions) > 1:
        joint = average(softmax(classifier.joint_logits(ran), axis=1), ran.owner, ran.n_segments)
        joint = joint.reshape(ran.n_segments, -1, conditions)
        pool |= {"joint": joint.astype(np.float32), "shares": classifier.shares}
    return pool


def say(done: int, total: int) -> None:
    print(f"\r{done:,}/{total:,} tracks", end="" if done < total else "\n", file=sys.stderr)


def measure(
    pool: dict[str, np.ndarray],
    confusions: Confusions | None,
    tracks: int,
    mixtures: int,
    seed: int,
    architecture: Architecture,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean error, coverage and width by kind of mixture and method."""
    label, p = pool["label"], pool["p"]
    joint = confusions.joint(p, pool["length"]) if confusions else None
    result: dict[str, dict[str, dict[str, float]]] = {}
    for kind in KINDS:
        rng = np.random.default_rng(seed)
        found: dict[str, list[tuple[float, ...]]] = {}
        for _ in range(mixtures):
            true = true_fractions(kind, rng)
            counts = rng.multinomial(tracks, true)
            rows = np.concatenate(
                [rng.choice(np.flatnonzero(label == k), counts[k], False) for k in range(N)]
            )
            x = p[rows]
            conditions = "joint" in pool
            if conditions:  # each mixture is a recording of its own
                told, shares = pool["joint"][rows], pool["shares"]
                recording = estimate_recording(told, shares, architecture)
                x = class_probabilities(told, shares, recording)
            answers = {
                "counts": (np.bincount(x.argmax(1), minlength=N) / tracks,),
                "mean probability": (x.mean(0),),
                "EM": estimate(x[:, :, None])[:3],
            }
            if confusions is not None and joint is not None:
                answers["EM with noise"] = estimate(joint[rows], systematic=confusions.systematic)[
                    :3
                ]
            if conditions:
                equal = told / np.where(shares > 0, shares, np.inf)
                equal /= equal.sum(axis=(1, 2), keepdims=True)
                answers["joint EM"] = estimate(equal)[:3]
            for name, (fraction, *ends) in answers.items():
                values = [np.abs(fraction - true).mean(), np.nan, np.nan]
                if ends:
                    low, high = ends
                    inside = (true >= low - 1e-9) & (true <= high + 1e-9)
                    values[1:] = [inside.mean(), (high - low).mean()]
                found.setdefault(name, []).append(tuple(values))
        result[kind] = {
            name: dict(
                zip(("error", "coverage", "width"), np.mean(rows, axis=0).round(4), strict=True)
            )
            for name, rows in found.items()
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="onnx")
    parser.add_argument("--noise", type=float, nargs="*", default=[0, 0.5, 1.0])
    parser.add_argument("--points", type=int, nargs=2, default=[20, 50])
    parser.add_argument("--per-class", type=int, default=2000)
    parser.add_argument("--tracks", type=int, default=500, help="tracks of a mixture")
    parser.add_argument("--mixtures", type=int, default=50, help="of each kind and noise level")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--pool", type=Path, help="folder for classified tracks, used again")
    parser.add_argument("--fit", action="store_true", help="fit the confusions; else the card's")
    parser.add_argument("--fit-tracks", type=int, default=TRACKS)
    parser.add_argument("--install", action="store_true", help="write the fit into the card")
    parser.add_argument("-o", "--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    if options.tracks > options.per_class:
        parser.error("--per-class must not be below --tracks: a mixture may be of one class")
    classifier = Classifier(options.weights, backend=options.backend, device=options.device)
    weights = classifier.weights
    print(weights.describe(), "|", classifier.backend.device.description)
    confusions = Confusions.from_card(weights.card)
    if options.fit:
        started = time.perf_counter()
        confusions = fit_confusions(classifier, tracks=options.fit_tracks, progress=say)
        print(f"confusions fitted in {time.perf_counter() - started:.0f} s")
    if confusions is None:
        print("no confusions on the card: plain EM only (give --fit)")
    else:
        print(f"systematic deviation {100 * confusions.systematic:.2f} points")
    if options.fit and options.install:
        path = weights.folder / f"{weights.name}.json"
        card = json.loads(path.read_text(encoding="utf-8"))
        card[CARD_KEY] = confusions.to_dict()
        path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"→ {path}")
    report = {"weights": weights.name, "sha256": weights.sha256, "by_noise": {}}
    for noise in options.noise:
        name = f"{weights.sha256[:12]}-{noise:g}-{options.points[0]}-{options.points[1]}"
        path = (options.pool or Path()) / f"{name}-{options.per_class}-{options.seed}.npz"
        if options.pool and path.is_file():
            pool = dict(np.load(path))
        else:
            pool = make_pool(classifier, noise, options.per_class, options.points, options.seed)
            if options.pool:
                options.pool.mkdir(parents=True, exist_ok=True)
                np.savez(path, **pool)
        accuracy = (pool["p"].argmax(1) == pool["label"]).mean()
        print(f"\nnoise {noise:g}: accuracy {100 * accuracy:.1f} %")
        found = measure(
            pool,
            confusions,
            options.tracks,
            options.mixtures,
            options.seed,
            weights.architecture,
        )
        report["by_noise"][f"{noise:g}"] = found
        for method in METHODS:
            cells = [found[kind][method] for kind in KINDS if method in found[kind]]
            if not cells:
                continue
            errors = " ".join(f"{100 * c['error']:5.2f}" for c in cells)
            mean = np.mean([list(c.values()) for c in cells], axis=0)
            text = f"  {method:17s} error {errors}  mean {100 * mean[0]:.2f} points"
            if not np.isnan(mean[1]):
                held = " ".join(f"{100 * c['coverage']:5.1f}" for c in cells)
                text += f"; coverage {held}  mean {100 * mean[1]:.1f} %, width {100 * mean[2]:.1f}"
            print(text, flush=True)
    print(f"\ncolumns: {', '.join(KINDS)}; {options.mixtures} mixtures each")
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
