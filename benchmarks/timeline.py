"""Time-resolved verdicts: how often a change is marked where there is none, and where there is one.

    python benchmarks/timeline.py                      # default weights; minutes on two cores
    python benchmarks/timeline.py --points 400 --penalty 2

False alarms: simulated tracks of one mechanism, all classes alike. Detection: tracks that switch
mechanism halfway, all ordered pairs of classes alike, steps of both halves of the same root mean
square, the second half begun afresh. All tracks of a noise level are one recording, whose noise
is estimated from the whole tracks, as `explain` does. Found is a change within 100 frames.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
import torch

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.measurement import measure
from spt_explain.diffusion.simulate import simulate_steps
from spt_explain.explain.timeline import PENALTY, timeline_table
from spt_explain.resandi.classifier import Classifier

LOCAL = ("SubATTM", "SubSBM", "SupSBM", "BM")
"""Classes that look Brownian in a window."""


def steps_of(index: int, n: int, n_steps: int, generator: torch.Generator) -> torch.Tensor:
    """Simulate steps of root mean square 1."""
    moves = torch.full((n,), float(n_steps + 1))
    steps, _ = simulate_steps(index, n, n_steps + 1, generator=generator, moves_within=moves)
    steps = steps / steps.abs().amax((1, 2), keepdim=True).clamp(min=1e-37)
    return steps / steps.square().mean((1, 2), keepdim=True).sqrt()


def simulate(
    tracks: int, pairs: int, points: int, noise: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return paths (m, points, 2), and the classes of both halves (m, 2)."""
    generator = torch.Generator().manual_seed(seed)
    half = points // 2
    paths, label = [], []
    for a in range(len(CLASS_NAMES)):
        for b in range(len(CLASS_NAMES)):
            n = tracks if a == b else pairs
            if not n:
                continue
            if a == b:
                steps = steps_of(a, n, points - 1, generator)
            else:
                parts = [steps_of(a, n, half, generator)]
                parts.append(steps_of(b, n, points - 1 - half, generator))
                steps = torch.cat(parts, dim=1)
            length = torch.full((n,), points)
            sigma = torch.full((n,), noise)
            paths.append(measure(steps, length, sigma, generator).double().numpy())
            label += [(a, b)] * n
    return np.concatenate(paths), np.array(label)


def judge(table: pd.DataFrame, label: np.ndarray, points: int, near: int) -> dict[str, object]:
    """Return shares of the tracks."""
    m = len(label)
    changes = table[table["change"]]
    marked = np.bincount(changes["particle"], minlength=m)
    close = changes[(changes["change_frame"] - points / 2).abs() <= near]
    found = np.bincount(close["particle"], minlength=m) > 0
    first, last = (getattr(table.groupby("particle")["stretch"], k)() for k in ("first", "last"))
    name = np.array(CLASS_NAMES, dtype=object)
    named = found & (first.to_numpy() == name[label[:, 0]])
    named &= last.to_numpy() == name[label[:, 1]]
    same = label[:, 0] == label[:, 1]
    local = np.isin(name[label], LOCAL).all(axis=1)
    alarms = [(marked[same & (label[:, 0] == c)] > 0).mean() for c in range(len(name))]
    out = {
        "tracks": int(same.sum()),
        "false alarms": float(np.mean(alarms)),
        "false alarms by class": dict(zip(CLASS_NAMES, np.round(alarms, 3).tolist(), strict=True)),
    }
    if (~same).any():
        out |= {
            "switching": int((~same).sum()),
            "found": float(found[~same].mean()),
            "found, one of both not locally Brownian": float(found[~same & ~local].mean()),
            "found, both locally Brownian": float(found[~same & local].mean()),
            "found, both classes right": float(named[~same].mean()),
            "more than one change": float((marked[~same] > 1).mean()),
            "median error (frames)": float((close["change_frame"] - points / 2).abs().median()),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--tracks", type=int, default=40, help="of each class")
    parser.add_argument("--pairs", type=int, default=5, help="of each pair of classes")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--penalty", type=float, default=PENALTY)
    parser.add_argument("--near", type=int, default=100, help="frames")
    parser.add_argument("--seed", type=int, default=100)
    args = parser.parse_args()
    classifier = Classifier(args.weights)
    for i, noise in enumerate(args.noise):
        paths, label = simulate(args.tracks, args.pairs, args.points, noise, args.seed + i)
        m = len(paths)
        positions = paths.reshape(-1, 2)
        whole = classifier.predict(positions, np.arange(m + 1, dtype=np.int64) * args.points)
        frames = pd.DataFrame(
            {
                "file": "simulated",
                "particle": np.repeat(np.arange(m), args.points),
                "segment": 0,
                "frame": np.tile(np.arange(args.points), m),
                "x": positions[:, 0],
                "y": positions[:, 1],
            }
        )
        table = timeline_table(frames, classifier, recording=whole.recording, penalty=args.penalty)
        told = None if whole.recording is None else whole.recording.noise
        found = {"noise": noise, "noise told": told, "points": args.points, "seed": args.seed + i}
        print(json.dumps(found | judge(table, label, args.points, args.near)), flush=True)


if __name__ == "__main__":
    main()
